"""Quality on a public question set, beside what a tutorial builds, in one run.

    python -m benchmarks.quality SET_FOLDER [SET_FOLDER ...] [--tutorial] [--json OUT.json]

A set folder holds ``corpus.jsonl`` ({"id", "title", "text", ...}) and ``queries.jsonl`` ({"id", "question",
"answer", "answerable", "evidence": [{"doc_id", "quote"}]}). The product is run as it is shipped, with one
configuration for all sets. The tutorial is the usual ten minutes' work (Chroma, the same MiniLM weights,
800-character pieces, the two sentences nearest to the question). It refuses below a similarity that is chosen
*with the right answers in view*: the one that suits all sets together best ("tutorial"), and the one that
suits each set best ("tutorial*"), a bar that no real configuration of it would reach.

    doc_hit@1, @5   a document with the evidence is the first, among the first five distinct ones
    contains        the answer holds one of the expected answers (0 where it was refused)
    gold_sentence   a quote shares half of its words, or of the evidence's, with the evidence
    balanced        mean of answerable questions answered and unanswerable ones refused; 0.5 is a coin
    quote_exact     quotes that stand in the corpus letter by letter, white space folded
    differ          answers with a notice that sources differ
"""

from __future__ import annotations

import argparse
import json
import re
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ingest.sync import ingest
from kb.pipeline import KnowledgeBase
from kb.settings import Settings, load_settings
from kb.store import Store
from kb.text import sentence_spans, words
from kb.types import Turn

Row = dict[str, Any]
TUTORIAL_CHARACTERS, TUTORIAL_HITS, TUTORIAL_SENTENCES = 800, 10, 2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--tutorial", action="store_true", help="run the tutorial too")
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    figures: dict[str, dict[str, float]] = {}
    answers: dict[str, list[Row]] = {}
    sets = {folder.name: _read_set(folder) for folder in args.sets}

    def report(name: str, system: str, given: list[Row]) -> None:
        corpus, queries = sets[name]
        figures[f"{name} {system}"] = score(corpus, queries, given)
        print(f"{name:18s} {system:10s}", json.dumps(figures[f"{name} {system}"]), flush=True)

    for folder in args.sets:
        corpus, queries = sets[folder.name]
        report(folder.name, "kbqa", product(folder / "corpus.jsonl", queries))
        if args.tutorial:
            answers[folder.name] = tutorial(corpus, queries)
    for name, given in answers.items():
        own = [(given, sets[name][1])]
        report(name, "tutorial*", _refusing(given, _best_threshold(own)))
        everything = [(answers[n], sets[n][1]) for n in answers]
        report(name, "tutorial", _refusing(given, _best_threshold(everything)))
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


def _read_set(folder: Path) -> tuple[dict[str, Row], list[Row]]:
    return {row["id"]: row for row in rows(folder / "corpus.jsonl")}, rows(folder / "queries.jsonl")


def rows(path: Path) -> list[Row]:
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines if line.strip()]


# ---------------------------------------------------------------------------------------- two systems


def product(corpus: Path, queries: Sequence[Row]) -> list[Row]:
    """The answers of kbqa as it is shipped."""
    with tempfile.TemporaryDirectory() as folder:
        settings = replace(load_settings(), kb=Path(folder))
        with Store.open(Path(folder), settings, create=True) as store:
            report = ingest([str(corpus)], store)
        assert not report.failed, report.failed
        return list(_asked(settings, queries))


def _asked(settings: Settings, queries: Sequence[Row]) -> Iterator[Row]:
    with KnowledgeBase.open(None, settings) as kb:
        for query in queries:
            history = [Turn(turn["role"], turn["content"]) for turn in query.get("history") or []]
            yield kb.ask(query["question"], history=history).to_dict()


def tutorial(corpus: dict[str, Row], queries: Sequence[Row]) -> list[Row]:
    """The two sentences nearest to the question out of its ten nearest pieces, with its best similarity."""
    import chromadb

    embedder = load_settings()
    with tempfile.TemporaryDirectory() as folder:
        with Store.open(Path(folder) / "kb", embedder, create=True) as store:
            embed = store.embedder.embed
        collection = chromadb.PersistentClient(f"{folder}/tutorial").create_collection(
            "pieces", configuration={"hnsw": {"space": "cosine"}}, embedding_function=None
        )
        pieces = [
            (i, p) for i, row in corpus.items() for p in _pieces(f"{row.get('title') or ''}\n{row['text']}")
        ]
        vectors = embed([p for _, p in pieces])
        for first in range(0, len(pieces), 2000):
            part = range(first, min(first + 2000, len(pieces)))
            collection.add(ids=[str(n) for n in part], embeddings=vectors[first : part.stop])
        return [_tutorial_answer(query["question"], pieces, collection, embed) for query in queries]


def _pieces(text: str) -> list[str]:
    return [text[i : i + TUTORIAL_CHARACTERS] for i in range(0, len(text), TUTORIAL_CHARACTERS)]


def _tutorial_answer(question: str, pieces: list[tuple[str, str]], collection: Any, embed: Any) -> Row:
    started = time.perf_counter()
    vector = embed([question])[0]
    found = collection.query(query_embeddings=vector[None, :], n_results=TUTORIAL_HITS, include=["distances"])
    hits = [pieces[int(n)] for n in found["ids"][0]]
    sentences = [(i, text[s:e]) for i, text in hits for s, e in sentence_spans(text)]
    near = embed([s for _, s in sentences]) @ vector
    best = [sentences[i] for i in np.argsort(-near, kind="stable")[:TUTORIAL_SENTENCES]]
    return {
        "status": "answered",
        "answer": " ".join(s for _, s in best),
        "citations": [{"document_id": i, "quote": s} for i, s in best],
        "sentences": [{"citations": [1]} for _ in best],
        "passages": [{"document_id": i} for i, _ in hits],
        "similarity": 1 - found["distances"][0][0],
        "seconds": time.perf_counter() - started,
    }


def _best_threshold(sets: Sequence[tuple[list[Row], list[Row]]]) -> float:
    """The similarity with the best mean balance over some sets of (answers, queries).

    A set all of whose questions are answerable has no balance; for such sets alone nothing is refused.
    """
    parts = []
    for answers, queries in sets:
        similar = np.array([a["similarity"] for a in answers])
        answerable = np.array([q["answerable"] for q in queries])
        if not answerable.all():
            parts.append((similar, answerable))
    if not parts:
        return -1.0

    def balance(threshold: float) -> float:
        return float(sum((s >= threshold)[yes].mean() + (s < threshold)[~yes].mean() for s, yes in parts))

    return float(max(np.unique(np.concatenate([s for s, _ in parts])), key=balance))


def _refusing(answers: list[Row], threshold: float) -> list[Row]:
    return [a if a["similarity"] >= threshold else {**a, "status": "not_found"} for a in answers]


# --------------------------------------------------------------------------------------------- scores


def score(corpus: dict[str, Row], queries: Sequence[Row], answers: Sequence[Row]) -> dict[str, float]:
    """The figures of the module's docstring."""
    s: dict[str, list[float]] = defaultdict(list)
    texts = {i: _fold(f"{row.get('title') or ''}\n{row['text']}") for i, row in corpus.items()}
    for query, answer in zip(queries, answers, strict=True):
        answered = answer["status"] == "answered"
        quotes = [(c["document_id"], _fold(c["quote"])) for c in answer["citations"] if answered]
        s["quote_exact"] += [quote in texts[i] for i, quote in quotes]
        s["seconds"].append(answer["seconds"])
        s["differ"].append(any("differ" in notice for notice in answer.get("notices") or []))
        if not query["answerable"]:
            s["refused_right"].append(not answered)
            continue
        s["answered_right"].append(answered)
        golds = query["answer"] if isinstance(query["answer"], list) else [query["answer"]]
        prose = re.sub(r"\[\d+\]", " ", answer["answer"]) if answered else ""
        text = f" {_plain(prose)} "
        s["contains"].append(any(f" {_plain(str(gold))} " in text for gold in golds if gold))
        evidence = [(e["doc_id"], e.get("quote") or "") for e in query["evidence"]]
        documents = {i for i, _ in evidence}
        ranked = list(dict.fromkeys(p["document_id"] for p in answer["passages"]))
        if documents:
            for k in (1, 5):
                s[f"doc_hit@{k}"].append(bool(documents & set(ranked[:k])))
            s["gold_sentence"].append(any(i == j and alike(q, g) for i, q in quotes for j, g in evidence))
    figures = {name: round(statistics.fmean(map(float, values)), 4) for name, values in s.items() if values}
    if "refused_right" in figures:
        figures["balanced"] = round((figures["refused_right"] + figures["answered_right"]) / 2, 4)
    figures["seconds"] = round(statistics.median(s["seconds"]), 4)
    figures["seconds_p95"] = round(statistics.quantiles(s["seconds"], n=20)[-1], 4)
    return figures


def _fold(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+(?:[.,][0-9]+)*", text.lower()))


def alike(one: str, other: str) -> bool:
    mine, theirs = ({w.text.lower() for w in words(text)} for text in (one, other))
    return bool(mine and theirs) and len(mine & theirs) / min(len(mine), len(theirs)) >= 0.5


if __name__ == "__main__":
    main()
