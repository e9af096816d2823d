"""Questions as users ask them, made from a set with known answers: for fitting and training.

    python -m benchmarks.asked SQUADSHIFTS.jsonl.gz TREC.jsonl.gz ASKED.pkl [--questions 1500]

The shipped models come from SquadShifts (Miller, Krauth, Recht and Schmidt, ICML 2020; one JSON object a
line with ``context``, ``question`` and ``answers`` [{"text", "start"}]) and from TREC QA as cleaned by Wang,
Smith and Mitamura (EMNLP 2007; ``question``, ``sentence`` and ``label``), whose sentences are news. All
sentences of TREC make one knowledge base, whose questions are asked as they are and with their answers
removed. Questions of SquadShifts are put to knowledge bases of 30, 200 and 1,600 paragraphs (a library may be
small or large) in several variants:

    asked      as it is; the sentence that holds the answer is right
    reworded   in other words (``benchmarks/reworded.py``), as by someone who has not seen the paragraph
    typed      as one types it into a search box: small letters, no question mark
    compound   joined with one or two other questions of the same knowledge base; either answer is right
    removed    with its own paragraphs left out of the hits; nothing is right
    reworded_removed, typed_removed, compound_removed   both
    altered    with a name, number or word changed for another one, a word turned into its opposite, or a
               "not" put in; nothing is right

Beside each question about a paragraph of Wikipedia, a near miss about that paragraph is asked, another of
the questions that were written about it (``benchmarks/written.py``), and one that needs a second paragraph
("several"). The questions of an invented newspaper archive (``benchmarks/archive.py``) are put to the whole
archive, and to only the stories kept for fitting.

Only questions that the reader was not trained on are asked (``exercises.held_out``), and twice as many about
paragraphs of Wikipedia as about others.
"""

from __future__ import annotations

import argparse
import gzip
import json
import multiprocessing
import os
import pickle
import random
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from datetime import date
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import archive
from benchmarks.altered import Thesaurus, negated, swaps_for
from benchmarks.archive import Article, Story
from benchmarks.exercises import group_of, held_out, strangers
from benchmarks.reworded import reworded
from benchmarks.written import Written, places
from benchmarks.written import read as read_written
from ingest.split import split
from kb import extract
from kb.embed import remembering as remembering_vectors
from kb.pipeline import find
from kb.question import Question, analyse
from kb.reader import Marks, Page, Reader
from kb.retrieve import Weights, search
from kb.settings import load_settings
from kb.store import Change, Store
from kb.text import normalise
from kb.types import Document, Hit

SEED = 20261123
TODAY = date(2026, 11, 27)  # what "last week" is counted from
SIZES = ((30, 40), (200, 8), (1600, 3))  # paragraphs in a knowledge base, and how many such bases
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Asked:
    """One question as it was put to one knowledge base.

    ``looked`` are the candidates (indices into ``found``) that the shipped order puts first, ``near`` how
    near in meaning they are, ``judged`` what the judge says of the one that the shipped model prefers, and
    ``differs`` whether the question says something else.
    """

    collection: str
    group: str
    variant: str
    question: Question
    weights: Weights
    found: tuple[extract.Candidate, ...]
    rows: NDArray[np.float64]
    looked: NDArray[np.int64]
    near: NDArray[np.float64]
    judged: float
    differs: float
    right: NDArray[np.bool_]  # which candidates hold the answer; none in an unanswerable variant


def read(path: Path) -> dict[str, list[Row]]:
    """The questions by paragraph."""
    by_context: dict[str, list[Row]] = {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            by_context.setdefault(row["context"], []).append(row)
    return by_context


@dataclass(frozen=True, slots=True)
class Base:
    """The n-th knowledge base of a size, and how many questions are put to it."""

    size: int
    n: int
    questions: int


def ask_base(
    by_context: dict[str, list[Row]], written: dict[str, list[Written]], alter: Alterations, base: Base
) -> Iterator[Asked]:
    """Put questions that the reader was not trained on to a knowledge base with some of their paragraphs."""
    rng = random.Random(f"{SEED} {base.size} {base.n}")
    contexts = sorted(by_context)
    unseen = [c for c in contexts if held_out(group_of(c)) == "fit"]
    own = rng.sample(unseen, min(len(unseen), max(10, base.size // 4)))
    where = places(written)
    partners = partners_of(where)
    beside = [partners[context] for context in own if context in partners]
    part = list(dict.fromkeys([*own, *beside, *rng.sample(contexts, base.size)]))[: base.size]
    settings = load_settings()
    with (
        tempfile.TemporaryDirectory() as folder,
        Store.open(Path(folder), settings, create=True) as store,
    ):
        fill(store, part)
        senses = senses_of(store, settings.cache)
        rows = [(i, row) for i, context in enumerate(own) for row in by_context[context]]
        often = [2.0 if row["domain"] == "new_wiki" else 0.7 for _, row in rows]
        wanted = rng.choices(range(len(rows)), often, k=min(len(rows), base.questions))
        chosen = [rows[i] for i in dict.fromkeys(wanted)]
        for n, (i, row) in enumerate(chosen):
            others = [(f"d{j}", other) for j, other in (chosen * 2)[n + 1 : n + 1 + rng.randint(1, 2)]]
            asker = Asker(store, remembering(senses), alter, rng)
            # What is asked of two paragraphs together must not be in two folds.
            group = min(group_of(context) for context in (part[i], partners.get(part[i], part[i])))
            yield from asker.ask((f"d{i}", part[i], row), group, others)
            about = written.get(part[i], [])
            for kinds in (("near",), ("searched", "open", "untold", "plain"), ("several",)):
                if some := [one for one in about if one.kind in kinds]:
                    yield from asker.ask_written(rng.choice(some), group, part, where)


def partners_of(where: Mapping[str, Mapping[str, Written]]) -> dict[str, str]:
    """For each paragraph the other one that questions need together with it."""
    pairs = [list(about) for about in where.values() if {one.kind for one in about.values()} == {"several"}]
    return {one: other for a, b in pairs for one, other in ((a, b), (b, a))}


def senses_of(store: Store, cache: Path) -> extract.Senses:
    reader = Reader(cache, fast=True)
    return extract.Senses(reader.read, remembering_vectors(store.embedder.embed), reader.judge)


def remembering(senses: extract.Senses) -> extract.Senses:
    """The senses for one question and its variants: each page is read once."""
    known: dict[tuple[str, Page], Marks] = {}

    def read_remembered(question: str, pages: Sequence[Page]) -> list[Marks]:
        new = [page for page in pages if (question, page) not in known]
        known.update(zip(((question, page) for page in new), senses.read(question, new), strict=True))
        return [known[question, page] for page in pages]

    return replace(senses, read=read_remembered)


class Alterations:
    """Makes near misses of questions, and puts them in other words."""

    def __init__(self, by_context: dict[str, list[Row]]) -> None:
        self._thesaurus = Thesaurus.of(by_context)
        self._names = strangers(by_context)

    def reworded(self, text: str, rng: random.Random) -> str | None:
        other = reworded(text, self._thesaurus, rng)
        return other if other != text else None

    def __call__(self, text: str, context: str, rng: random.Random) -> str | None:
        swaps = swaps_for(text, context, self._names, self._thesaurus, rng)
        altered = negated(text) if rng.random() < 0.06 or not swaps else rng.choice(swaps).into(text)
        return altered if altered and altered.lower() != text.lower() else None


def fill(store: Store, contexts: Sequence[str]) -> None:
    documents = []
    for i, context in enumerate(contexts):
        document = Document(f"d{i}", f"d{i}", "", normalise(context), "text/plain", str(i))
        documents.append(document)
    put(store, documents)


def put(store: Store, documents: Sequence[Document]) -> None:
    cut = [(document, split(document, store.embedder.count_tokens)) for document in documents]
    with store.writer() as writer:
        writer.replace([Change("data", "1", tuple(cut))])


def ask_archive(stories: Sequence[Story], *, small: bool) -> Iterator[Asked]:
    """Put the questions about the stories that the reader was not trained on to the archive: the whole, or
    only these stories (``small``)."""
    rng = random.Random(f"{SEED} archive {small}")
    unseen = [story for story in stories if held_out(story.group) == "fit"]
    kept = unseen if small else stories
    articles = [(f"s{n}-{a}", one) for n, story in enumerate(kept) for a, one in enumerate(story.articles)]
    settings = load_settings()
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder), settings, create=True) as store:
        put(store, [_document(i, one) for i, one in articles])
        senses = senses_of(store, settings.cache)
        for n, story in enumerate(kept):
            if held_out(story.group) != "fit":
                continue
            for one in story.questions:
                remembered = remembering(senses)
                gold = {
                    f"s{n}-{a}": {normalise(story.articles[a].text[s:e]) for s, e in spans}
                    for a, spans in one.answers.items()
                }
                yield from ask_text(store, remembered, story.group, one.kind, one.text, gold, "archive")
                if gold and (one.kind == "several" or rng.random() < 0.5):
                    variant = f"{one.kind}_removed"
                    yield from ask_text(store, remembered, story.group, variant, one.text, gold, "archive")


def _document(i: str, one: Article) -> Document:
    text = normalise(one.text)
    return Document(i, i, one.title, text, "text/plain", i, publisher=one.outlet, published=one.date)


def ask_text(
    store: Store,
    senses: extract.Senses,
    group: str,
    variant: str,
    text: str,
    gold: Mapping[str, set[str]],
    collection: str = "squadshifts",
) -> Iterator[Asked]:
    """Ask one question; ``gold`` holds for documents the words, or the sentences, that answer it."""
    question = analyse(text)
    hits, weights = find(store, question, store.catalogue.publishers(), TODAY, limit=extract.READ + 15)
    if variant.endswith("removed"):
        hits = [h for h in hits if h.passage.document_id not in gold]
        gold = {}
    found = extract.candidates(extract.worth_reading(_ranked(hits[: extract.READ])))
    if found:
        right = [
            any(a in c.text or c.text in a for a in gold.get(c.hit.passage.document_id, ())) for c in found
        ]
        looked = look(question, weights, found, senses)
        yield Asked(collection, group, variant, question, weights, tuple(found), *looked, np.array(right))


@dataclass(frozen=True, slots=True)
class Asker:
    store: Store
    senses: extract.Senses
    alter: Alterations
    rng: random.Random

    def ask(
        self, own: tuple[str, str, Row], group: str, others: Sequence[tuple[str, Row]]
    ) -> Iterator[Asked]:
        """Ask a question about the paragraph that ``own`` names, in its variants."""
        own_id, context, row = own
        text = str(row["question"]).strip()
        compound = (
            ", and ".join(str(r["question"]).strip().rstrip("?") for r in (row, *(r for _, r in others)))
            + "?"
        )
        alone = {own_id: _answers(row)}
        together = alone | {i: _answers(r) for i, r in others}
        in_other_words = self.alter.reworded(text, self.rng)
        variants = (
            ("asked", text, alone),
            ("removed", text, alone),
            ("reworded", in_other_words, alone),
            ("reworded_removed", in_other_words, alone),
            ("typed", text.lower().rstrip("? "), alone),
            ("typed_removed", text.lower().rstrip("? "), alone),
            ("altered", self.alter(text, context, self.rng), {}),
            *(
                (("compound", compound, together), ("compound_removed", compound, together))
                if self.rng.random() < 0.5
                else ()
            ),
        )
        for variant, asked_text, gold in variants:
            if asked_text is not None:
                yield from ask_text(self.store, self.senses, group, variant, asked_text, gold)

    def ask_written(
        self,
        written: Written,
        group: str,
        contexts: Sequence[str],
        where: Mapping[str, Mapping[str, Written]],
    ) -> Iterator[Asked]:
        """Ask a question that was written; ``where``: of which paragraphs (``contexts`` are those of the
        library), and what of each answers it."""
        gold = {
            f"d{contexts.index(context)}": {normalise(context[a:b]) for a, b in one.answers}
            for context, one in where[written.question].items()
            if context in contexts and one.kind == written.kind
        }
        yield from ask_text(self.store, self.senses, group, written.kind, written.question, gold)
        if written.kind == "several":
            yield from ask_text(self.store, self.senses, group, "several_removed", written.question, gold)


def look(
    question: Question, weights: Weights, found: Sequence[extract.Candidate], senses: extract.Senses
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64], float, float]:
    """``rows``, ``looked``, ``near``, ``judged`` and ``differs`` of ``Asked``."""
    model = extract.load_model()
    rows = extract.features(question, weights, found, extract.mark(question, found, senses.read))
    order = rows @ model.order
    looked = np.argsort(-order, kind="stable")[: extract.LOOKED_AT]
    near = extract.nearness(question, [found[i] for i in looked], senses.embed)
    first = found[int(extract.reordered(order, looked, near, model.near).argmax())]
    judged, differs = extract.borne_out(question, first, senses.judge), extract.differs(question, first)
    return rows, looked, near, judged, differs


def _answers(row: Row) -> set[str]:
    return {normalise(str(answer["text"])) for answer in row["answers"]}


def _ranked(hits: list[Hit]) -> list[Hit]:
    """Ranks closed up after some hits were left out, as if these had never been there."""
    return [replace(hit, rank=rank) for rank, hit in enumerate(hits, start=1)]


def pairs_by_question(path: Path) -> dict[str, list[tuple[str, bool]]]:
    """The sentences of each question, and whether they answer it."""
    pairs: dict[str, list[tuple[str, bool]]] = {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            pairs.setdefault(row["question"], []).append((normalise(row["sentence"]), bool(row["label"])))
    return pairs


def ask_sentences(path: Path) -> Iterator[Asked]:
    """Ask the questions of a set of question and sentence pairs."""
    pairs = pairs_by_question(path)
    sentences = sorted({sentence for found in pairs.values() for sentence, _ in found})
    ids = {sentence: f"d{i}" for i, sentence in enumerate(sentences)}
    settings = load_settings()
    with tempfile.TemporaryDirectory() as folder, Store.open(Path(folder), settings, create=True) as store:
        fill(store, sentences)
        senses = senses_of(store, settings.cache)
        for text, found_pairs in pairs.items():
            if held_out(text) == "train":
                continue
            remembered = remembering(senses)
            gold = {ids[sentence] for sentence, label in found_pairs if label}
            question = analyse(text)
            hits, weights = search(store, question.search_text, question.words, limit=40)
            left = [h for h in hits if h.passage.document_id not in gold]
            for variant, part in (("asked", hits), ("removed", left)) if gold else (("removed", left),):
                found = extract.candidates(extract.worth_reading(_ranked(part[: extract.READ])))
                if found:
                    right = np.array(
                        [variant == "asked" and c.hit.passage.document_id in gold for c in found]
                    )
                    looked = look(question, weights, found, remembered)
                    yield Asked("trec", text, variant, question, weights, tuple(found), *looked, right)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("squadshifts", type=Path)
    parser.add_argument("trec", type=Path)
    parser.add_argument("asked", type=Path)
    parser.add_argument("--questions", dest="number", type=int, default=1500)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    args = parser.parse_args()
    bases = [Base(size, n, args.number // len(SIZES) // count) for size, count in SIZES for n in range(count)]
    with ProcessPoolExecutor(args.workers, multiprocessing.get_context("spawn")) as pool:
        news = [
            pool.submit(_list_of_archive, small=False),
            pool.submit(_list_of_archive, small=True),
            pool.submit(_list_of_sentences, args.trec),
        ]
        asked: list[Asked] = []
        # The large ones first, so that no worker is left alone with one at the end.
        for part in pool.map(partial(_list_of_base, args.squadshifts), bases[::-1]):
            asked += part
            print(f"{len(asked)} asked", flush=True)
        for some in news:
            asked += some.result()
    args.asked.write_bytes(pickle.dumps(asked))


def _list_of_base(squadshifts: Path, base: Base) -> list[Asked]:
    return list(ask_base(*_loaded(squadshifts), base))


@lru_cache(maxsize=1)
def _loaded(squadshifts: Path) -> tuple[dict[str, list[Row]], dict[str, list[Written]], Alterations]:
    by_context = read(squadshifts)
    return by_context, read_written(list(by_context)), Alterations(by_context)


def _list_of_archive(*, small: bool) -> list[Asked]:
    return list(ask_archive(archive.read(), small=small))


def _list_of_sentences(trec: Path) -> list[Asked]:
    return list(ask_sentences(trec))


if __name__ == "__main__":
    from benchmarks.asked import main as run  # what is pickled is then of this module, not of "__main__"

    run()
