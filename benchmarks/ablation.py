"""What each part brings: the same questions with one part after the other switched on.

    python -m benchmarks.ablation ASKED.pkl SET_FOLDER [SET_FOLDER ...] [--json OUT.json]

ASKED.pkl comes from ``benchmarks.asked``, the set folders are those of ``benchmarks.quality``. Every stage is
fitted to what it has, on ASKED.pkl alone:

    dense      the passages nearest in meaning; the sentence that holds most of the question
    lexical    full text search besides
    words      sentences ordered by all features but the reader's
    reader     by all features
    closer     with a closer look at the best sentences, before it is decided whether they answer

    doc_hit@1      the first passage is of a document with the evidence
    gold_sentence  the first sentence shares half of its words, or of the evidence's, with the evidence;
                   nothing is refused
    auc            how well questions with and without an answer are told apart (0.5 is a coin)
"""

from __future__ import annotations

import argparse
import json
import pickle
import statistics
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from benchmarks.asked import Asked, look, senses_of
from benchmarks.fit_extract import (
    POSSIBLE,
    balanced,
    fit_model,
    fit_near,
    fit_order,
    scores_of,
    summary_of,
    weights_of,
)
from benchmarks.quality import Row, alike, rows
from ingest.sync import ingest
from kb import extract
from kb.question import analyse
from kb.retrieve import reread, search
from kb.settings import load_settings
from kb.store import Store
from kb.types import Hit

Array = NDArray[np.float64]
STAGES = {
    "dense": ("cosine", "covered"),
    "lexical": ("cosine", "covered", "fused", "first_hit"),
    "words": tuple(name for name in extract.FEATURES if name != "reader"),
    "reader": extract.FEATURES,
    "closer": extract.FEATURES,
}
CLOSER = ("near", "borne_out", "differs")  # what only a closer look at the best sentences shows


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage with what was fitted for it; columns that it does not have weigh nothing."""

    name: str
    model: extract.Model


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("asked", type=Path)
    parser.add_argument("sets", nargs="+", type=Path)
    parser.add_argument("--json", type=Path, help="write the figures here")
    args = parser.parse_args()
    asked: list[Asked] = pickle.loads(args.asked.read_bytes())
    stages = [fitted(name, columns, asked) for name, columns in STAGES.items()]
    figures = {}
    for folder in args.sets:
        for name, values in measure(folder, stages).items():
            figures[f"{folder.name} {name}"] = values
            print(f"{folder.name:18s} {name:8s}", json.dumps(values), flush=True)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n")


def fitted(name: str, columns: Sequence[str], asked: Sequence[Asked]) -> Stage:
    """The stage fitted on the questions that were asked."""
    kept = np.array([column in columns for column in extract.FEATURES], float)
    order = fit_order([(rows * kept, right) for rows, right in balanced(asked)]) * kept
    near = fit_near(asked, order) if name == "closer" else 0.0
    scored = [scores_of(a, order, near) for a in asked]
    summaries = np.array([_summary(a, scores, name) for a, scores in zip(asked, scored, strict=True)])
    right = np.array([a.right[np.argmax(scores)] for a, scores in zip(asked, scored, strict=True)], bool)
    possible = np.array([a.variant in POSSIBLE for a in asked])
    return Stage(name, fit_model(order, near, summaries, possible, right, weights_of(asked)))


def _summary(asked: Asked, scores: Array, stage: str) -> Array:
    missing = [f"first_{name}" for name in extract.FEATURES if name not in STAGES[stage]]
    missing += [] if "reader" in STAGES[stage] else ["reader", "second"]
    missing += [] if stage == "closer" else CLOSER
    return summary_of(asked, scores) * ~np.isin(extract.SUMMARY, missing)


def measure(folder: Path, stages: Sequence[Stage]) -> dict[str, dict[str, float]]:
    """The figures of every stage on one set."""
    told: dict[str, dict[str, list[float]]] = {s.name: defaultdict(list) for s in stages}
    queries = rows(folder / "queries.jsonl")
    settings = load_settings()
    with tempfile.TemporaryDirectory() as kb, Store.open(Path(kb), settings, create=True) as store:
        ingest([str(folder / "corpus.jsonl")], store)
        senses = senses_of(store, settings.cache)
        for query in queries:
            question = analyse(query["question"])
            fused, weights = search(store, question.search_text, question.words, limit=extract.READ)
            dense = sorted(fused, key=lambda hit: -(hit.dense or 0.0))
            found = extract.candidates(fused)
            asked = Asked(
                *(folder.name, str(query["id"]), "", question, weights, tuple(found)),
                *look(question, weights, found, senses),
                right=np.zeros(len(found), bool),
            )
            for stage in stages:
                scores = scores_of(asked, stage.model.order, stage.model.near)
                best = [found[i] for i in np.argsort(-scores, kind="stable")]
                hits: Sequence[Hit] = (
                    dense
                    if stage.name == "dense"
                    else reread(fused, list(dict.fromkeys(c.hit.passage for c in best)))
                )
                summary = _summary(asked, scores, stage.name)
                _note(told[stage.name], query, hits, best[0], float(stage.model.probabilities(summary)[0]))
    return {name: _figures(values, queries) for name, values in told.items()}


def _note(
    told: dict[str, list[float]], query: Row, hits: Sequence[Hit], first: extract.Candidate, score: float
) -> None:
    told["score"].append(score)
    evidence = [(e["doc_id"], e.get("quote") or "") for e in query["evidence"]]
    if query["answerable"] and evidence:
        document = first.hit.passage.document_id
        told["doc_hit@1"].append(hits[0].passage.document_id in {i for i, _ in evidence})
        told["gold_sentence"].append(any(i == document and alike(first.text, quote) for i, quote in evidence))


def _figures(told: dict[str, list[float]], queries: Sequence[Row]) -> dict[str, float]:
    figures = {n: round(statistics.fmean(v), 3) for n, v in told.items() if n != "score" and v}
    answerable = [bool(query["answerable"]) for query in queries]
    if len(set(answerable)) == 2:
        figures["auc"] = round(float(roc_auc_score(answerable, told["score"])), 3)
    return figures


if __name__ == "__main__":
    main()
