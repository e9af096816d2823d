"""Questions as users ask them, made from a set with known answers: for fitting and training.

    python -m benchmarks.asked SQUADSHIFTS.jsonl.gz TREC.jsonl.gz ASKED.pkl [--questions 3600]

The shipped models come from SquadShifts (Miller, Krauth, Recht and Schmidt, ICML 2020; one JSON object a
line with ``context``, ``question`` and ``answers`` [{"text", "start"}]) and from TREC QA as cleaned by Wang,
Smith and Mitamura (EMNLP 2007; ``question``, ``sentence`` and ``label``), whose sentences are news. All
sentences of TREC make one knowledge base, whose questions are asked as they are and with their answers
removed. Questions of SquadShifts are put to knowledge bases of 30, 200 and 1,600 paragraphs (a reader's
library may be small or large) in several variants:

    asked      as it is; the sentence that holds the answer is right
    compound   joined with one or two other questions of the same knowledge base; either answer is right
    removed    with its own paragraphs left out of the hits; nothing is right
    compound_removed   both
    altered    with a name, number or word changed for another one, a word turned into its opposite, or a
               "not" put in; nothing is right
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import pickle
import random
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ingest.split import split
from kb import extract
from kb.question import Question, analyse
from kb.retrieve import Weights, search
from kb.settings import load_settings
from kb.store import Change, Store
from kb.text import content_words, names, normalise
from kb.types import Document, Hit

SEED = 20261123
SIZES = ((30, 40), (200, 8), (1600, 3))  # paragraphs in a knowledge base, and how many such bases
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """One question as it was put to one knowledge base."""

    collection: str
    group: str
    variant: str
    question: Question
    weights: Weights
    found: tuple[extract.Candidate, ...]
    rows: NDArray[np.float64]
    right: NDArray[np.bool_]  # which candidates hold the answer; none in an unanswerable variant


def read(path: Path) -> dict[str, list[Row]]:
    """The questions by paragraph."""
    by_context: dict[str, list[Row]] = {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            by_context.setdefault(row["context"], []).append(row)
    return by_context


def ask_all(by_context: dict[str, list[Row]], number: int) -> Iterator[Asked]:
    """Ask about ``number`` questions, a third of them in knowledge bases of each size."""
    rng = random.Random(SEED)
    contexts = sorted(by_context)
    rng.shuffle(contexts)
    settings = load_settings()
    taken = 0
    for size, count in SIZES:
        for _ in range(count):
            part = [contexts[(taken + i) % len(contexts)] for i in range(size)]
            taken += size
            with (
                tempfile.TemporaryDirectory() as folder,
                Store.open(Path(folder), settings, create=True) as store,
            ):
                fill(store, part)
                embed = extract.remembering(store.embedder.embed, 10**7)
                rows = [(i, row) for i, context in enumerate(part) for row in by_context[context]]
                chosen = rng.sample(rows, min(len(rows), number // len(SIZES) // count))
                for n, (i, row) in enumerate(chosen):
                    others = [
                        (f"d{j}", other) for j, other in (chosen * 2)[n + 1 : n + 1 + rng.randint(1, 2)]
                    ]
                    yield from ask(store, embed, (f"d{i}", part[i], row), others, rng)


def fill(store: Store, contexts: Sequence[str]) -> None:
    documents = []
    for i, context in enumerate(contexts):
        document = Document(f"d{i}", f"d{i}", "", normalise(context), "text/plain", str(i))
        documents.append((document, split(document, store.embedder.count_tokens)))
    with store.writer() as writer:
        writer.replace([Change("data", "1", tuple(documents))])


def ask(
    store: Store,
    embed: extract.Embed,
    own: tuple[str, str, Row],
    others: Sequence[tuple[str, Row]],
    rng: random.Random,
) -> Iterator[Asked]:
    own_id, context, row = own
    text, group = str(row["question"]).strip(), hashlib.sha256(context.encode()).hexdigest()
    compound = (
        ", and ".join(str(r["question"]).strip().rstrip("?") for r in (row, *(r for _, r in others))) + "?"
    )
    alone = {own_id: _answers(row)}
    together = alone | {i: _answers(r) for i, r in others}
    variants = (
        ("asked", text, alone),
        ("removed", text, alone),
        ("altered", alter(text, context, rng), {}),
        *(
            (("compound", compound, together), ("compound_removed", compound, together))
            if rng.random() < 0.5
            else ()
        ),
    )
    for variant, asked_text, gold in variants:
        if asked_text is None:
            continue
        question = analyse(asked_text)
        hits, weights = search(store, question.search_text, question.words, limit=extract.READ + 15)
        if variant.endswith("removed"):
            hits = [h for h in hits if h.passage.document_id not in gold]
            gold = {}
        found = extract.candidates(_ranked(hits[: extract.READ]))
        if found:
            right = [any(a in c.text for a in gold.get(c.hit.passage.document_id, ())) for c in found]
            rows = extract.features(question, weights, found, embed)
            yield Asked("squadshifts", group, variant, question, weights, tuple(found), rows, np.array(right))


def _answers(row: Row) -> set[str]:
    return {normalise(str(answer["text"])) for answer in row["answers"]}


def _ranked(hits: list[Hit]) -> list[Hit]:
    """Ranks closed up after some hits were left out, as if these had never been there."""
    return [replace(hit, rank=rank) for rank, hit in enumerate(hits, start=1)]


_PAIRS = """
first/last before/after most/least more/fewer increase/decrease increased/decreased north/south
northern/southern
east/west eastern/western largest/smallest larger/smaller highest/lowest higher/lower maximum/minimum win/lose
won/lost start/end started/ended began/ended best/worst oldest/youngest older/younger earliest/latest
earlier/later always/never allowed/forbidden male/female buy/sell bought/sold gain/lose long/short hot/cold
positive/negative above/below good/bad easy/hard cheap/expensive same/different include/exclude strong/weak
advantages/disadvantages advantage/disadvantage present/absent like/dislike major/minor public/private
"""
_OPPOSITES = {
    word: other
    for pair in _PAIRS.split()
    for one, two in [pair.split("/")]
    for word, other in ((one, two), (two, one))
}
_AUXILIARY = re.compile(
    r"\b(is|are|was|were|does|do|did|can|could|will|would|has|have|had|should)\b", re.IGNORECASE
)


def alter(text: str, context: str, rng: random.Random) -> str | None:
    """The question changed so that its paragraph does not answer it any more, or ``None`` if that fails."""
    ways = [_swap_word, _swap_word, _opposite, _negate, _swap_name, _swap_name, _swap_name]
    for way in rng.sample(ways, len(ways)):
        altered = way(text, context, rng)
        if altered and altered.lower() != text.lower():
            return altered
    return None


def _swap_name(text: str, context: str, rng: random.Random) -> str | None:
    """Another name or number of the same paragraph in the place of one of the question's."""
    spans = [(s, e) for s, e in names(text) if s > 0] + [
        m.span() for m in re.finditer(r"\b\d[\d,.]*\b", text)
    ]
    if not spans:
        return None
    start, end = rng.choice(spans)
    if text[start].isdigit():
        there = re.findall(r"\b\d[\d,.]*\b", context)
    else:
        there = [context[s:e] for s, e in names(context)]
    there = sorted(
        {x for x in there if x.lower() not in text.lower() and text[start:end].lower() not in x.lower()}
    )
    return text[:start] + rng.choice(there) + text[end:] if there else None


def _swap_word(text: str, context: str, rng: random.Random) -> str | None:
    """Another content word of the same paragraph in the place of one of the question's."""
    mine = [w for w in content_words(text) if w.text.islower() and len(w.text) > 3]
    stems = {w.stem for w in content_words(text)}
    there = sorted(
        {
            w.text
            for w in content_words(context)
            if w.text.islower() and len(w.text) > 3 and w.stem not in stems
        }
    )
    if len(mine) < 2 or not there:
        return None
    word = rng.choice(mine)
    alike = [t for t in there if t[-2:] == word.text[-2:]] or there  # -ed for -ed, -ly for -ly
    return text[: word.start] + rng.choice(alike) + text[word.end :]


def _opposite(text: str, context: str, rng: random.Random) -> str | None:
    found = [m for m in re.finditer(r"\w+", text) if m.group().lower() in _OPPOSITES]
    if not found:
        return None
    match = rng.choice(found)
    return text[: match.start()] + _OPPOSITES[match.group().lower()] + text[match.end() :]


def _negate(text: str, context: str, rng: random.Random) -> str | None:
    match = _AUXILIARY.search(text)
    if match is None or " not " in text or "n't" in text or rng.random() < 0.5:
        return None
    if match.start() == 0:
        return None
    return text[: match.end()] + " not" + text[match.end() :]


def ask_sentences(path: Path) -> Iterator[Asked]:
    """Ask the questions of a set of question and sentence pairs."""
    pairs: dict[str, list[tuple[str, bool]]] = {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            pairs.setdefault(row["question"], []).append((normalise(row["sentence"]), bool(row["label"])))
    sentences = sorted({sentence for found in pairs.values() for sentence, _ in found})
    ids = {sentence: f"d{i}" for i, sentence in enumerate(sentences)}
    settings = load_settings()
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder), settings, create=True) as store:
        fill(store, sentences)
        embed = extract.remembering(store.embedder.embed, 10**7)
        for text, found_pairs in pairs.items():
            gold = {ids[sentence] for sentence, label in found_pairs if label}
            question = analyse(text)
            hits, weights = search(store, question.search_text, question.words, limit=40)
            left = [h for h in hits if h.passage.document_id not in gold]
            for variant, part in (("asked", hits), ("removed", left)) if gold else (("removed", left),):
                found = extract.candidates(_ranked(part[: extract.READ]))
                if found:
                    right = np.array(
                        [variant == "asked" and c.hit.passage.document_id in gold for c in found]
                    )
                    rows = extract.features(question, weights, found, embed)
                    yield Asked("trec", text, variant, question, weights, tuple(found), rows, right)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("squadshifts", type=Path)
    parser.add_argument("trec", type=Path)
    parser.add_argument("asked", type=Path)
    parser.add_argument("--questions", dest="number", type=int, default=3600)
    args = parser.parse_args()
    asked = list(ask_sentences(args.trec))
    for one in ask_all(read(args.squadshifts), args.number):
        asked.append(one)
        if len(asked) % 1000 == 0:
            print(f"{len(asked)} asked", flush=True)
    args.asked.write_bytes(pickle.dumps(asked))


if __name__ == "__main__":
    main()
