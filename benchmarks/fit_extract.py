"""Fit the two small models of ``kb/extract.json`` (see ``kb/extract.py``) and cross-validate them.

    python -m benchmarks.fit_extract QUESTIONS.jsonl.gz [--questions N] [--write]

QUESTIONS holds one JSON object a line: ``context``, ``question`` and ``answers`` [{"text", "start"}], the
layout of SquadShifts (Miller, Krauth, Recht and Schmidt, ICML 2020), on which the shipped weights were
fitted. The paragraphs become knowledge bases of 30, 200 and 1,600 documents, since a reader's library may
be small or large. Each question is asked three times: as it is (answerable), with its own paragraph left
out of the hits, and, where it names somebody or a number, with that changed for another of the same data
(both unanswerable). Folds are made by paragraph. The order of candidates is fitted by a softmax over the
candidates of a question, whether there is an answer by logistic regression, the threshold as the one with
the best balanced accuracy on the folds that were left out.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import json
import random
import re
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from ingest.split import split
from kb import extract
from kb.question import Question, analyse
from kb.retrieve import Weights, search
from kb.settings import load_settings
from kb.store import Change, Store
from kb.text import names, normalise
from kb.types import Document, Hit

SEED = 20261123
SIZES = ((30, 40), (200, 8), (1600, 1))  # documents in a knowledge base, and how many such bases
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Asked:
    """One question as it was put to one knowledge base."""

    group: str
    variant: str
    question: Question
    weights: Weights
    found: tuple[extract.Candidate, ...]
    rows: Array
    right: NDArray[np.bool_]  # which candidates hold the answer; none in an unanswerable variant


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("questions", type=Path)
    parser.add_argument("--questions", dest="number", type=int, default=4500)
    parser.add_argument("--write", action="store_true", help="write kb/extract.json")
    args = parser.parse_args()
    asked = list(ask_all(read(args.questions), args.number))
    order, figures, answerable = fit(asked)
    for name, value in figures.items():
        print(f"{name:32s} {value}")
    if args.write:
        path = Path(extract.__file__).with_name("extract.json")
        digest = hashlib.sha256(args.questions.read_bytes()).hexdigest()
        about = {"data": args.questions.name, "sha256": digest, "seed": SEED, "figures": figures}
        path.write_text(json.dumps({"about": about, "order": order, **answerable}, indent=1) + "\n")


# ------------------------------------------------------------------------------- questions asked


def read(path: Path) -> dict[str, list[dict[str, object]]]:
    """The questions by paragraph."""
    by_context: dict[str, list[dict[str, object]]] = {}
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            by_context.setdefault(row["context"], []).append(row)
    return by_context


def ask_all(by_context: dict[str, list[dict[str, object]]], number: int) -> Iterator[Asked]:
    """Ask about ``number`` questions, a third of them in knowledge bases of each size."""
    rng = random.Random(SEED)
    contexts = sorted(by_context)
    rng.shuffle(contexts)
    settings = load_settings()
    taken = 0
    all_names = sorted(
        {
            q[s:e]
            for rows in by_context.values()
            for r in rows
            for q in [str(r["question"])]
            for s, e in names(q)
        }
    )
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
                for i, row in rng.sample(rows, min(len(rows), number // len(SIZES) // count)):
                    yield from ask(store, embed, f"d{i}", part[i], row, all_names, rng)


def fill(store: Store, contexts: Sequence[str]) -> None:
    documents = []
    for i, context in enumerate(contexts):
        text = normalise(context)
        document = Document(f"d{i}", f"d{i}", "", text, "text/plain", str(i))
        documents.append((document, split(document, store.embedder.count_tokens)))
    with store.writer() as writer:
        writer.replace([Change("data", "1", tuple(documents))])


def ask(
    store: Store,
    embed: extract.Embed,
    own: str,
    context: str,
    row: dict[str, object],
    all_names: list[str],
    rng: random.Random,
) -> Iterator[Asked]:
    text = str(row["question"])
    answers = {normalise(str(a["text"])) for a in row["answers"]}  # type: ignore[attr-defined]
    group = hashlib.sha256(context.encode()).hexdigest()
    for variant, asked_text in (("asked", text), ("removed", text), ("altered", alter(text, all_names, rng))):
        if asked_text is None:
            continue
        question = analyse(asked_text)
        hits, weights = search(store, question.search_text, question.words, limit=extract.READ + 5)
        if variant == "removed":
            hits = [h for h in hits if h.passage.document_id != own]
        found = extract.candidates(ranked(hits[: extract.READ]))
        if not found:
            continue
        rows = extract.features(question, weights, found, embed)
        right = np.array(
            [
                variant == "asked" and c.hit.passage.document_id == own and any(a in c.text for a in answers)
                for c in found
            ]
        )
        yield Asked(group, variant, question, weights, tuple(found), rows, right)


def ranked(hits: list[Hit]) -> list[Hit]:
    """Ranks closed up after some hits were left out, as if these had never been there."""
    from dataclasses import replace

    return [replace(hit, rank=rank) for rank, hit in enumerate(hits, start=1)]


def alter(text: str, all_names: list[str], rng: random.Random) -> str | None:
    """The question with one name or number changed for another, so that nothing answers it."""
    spans = [(s, e) for s, e in names(text)] + [m.span() for m in re.finditer(r"\b\d[\d,.]*\b", text)]
    if not spans:
        return None
    start, end = rng.choice(spans)
    old = text[start:end]
    if old[0].isdigit():
        new = str(int(re.sub(r"\D", "", old)) + rng.choice([1, 3, 7, 12])) if len(old) < 9 else "12"
    else:
        new = rng.choice(all_names)
    return None if new.lower() in text.lower() else text[:start] + new + text[end:]


# ----------------------------------------------------------------------------------------- fitting


def fit(asked: list[Asked]) -> tuple[dict[str, float], dict[str, object], dict[str, object]]:
    """The order weights by feature, the figures of cross-validation, and the answerability model."""
    folds = list(GroupKFold(5).split(asked, groups=[a.group for a in asked]))
    out_scores: list[Array | None] = [None] * len(asked)
    for train, test in folds:
        weights = fit_order([asked[i] for i in train])
        for i in test:
            out_scores[i] = asked[i].rows @ weights
    scores = [s for s in out_scores if s is not None]
    found = [a for a in asked if a.right.any()]
    first = [a.right[np.argmax(s)] for a, s in zip(asked, scores, strict=True) if a.right.any()]
    order = fit_order(asked)

    summaries = np.array(
        [
            extract.summarise(a.question, a.weights, a.found, a.rows, s)
            for a, s in zip(asked, scores, strict=True)
        ]
    )
    # Answering is right only where the right sentence comes first.
    possible = np.array([bool(a.right.any()) for a in asked])
    right = np.array([bool(a.right[np.argmax(s)]) for a, s in zip(asked, scores, strict=True)])
    probability = np.zeros(len(asked))
    for train, test in folds:
        model = logistic(summaries[train], right[train])
        probability[test] = model.probability(summaries[test])
    threshold = best_threshold(probability, possible)
    model = logistic(summaries, right)
    columns = [*extract.SUMMARY, *(f"best_{name}" for name in extract.FEATURES)]
    variants = np.array([a.variant for a in asked])
    answered = probability >= threshold
    figures: dict[str, object] = {
        "questions": len(asked),
        "right_sentence_in_hits": round(len(found) / max(1, (variants == "asked").sum()), 4),
        "right_sentence_first": round(float(np.mean(first)), 4),
        "auc_right": round(float(roc_auc_score(right, probability)), 4),
        "auc_possible": round(float(roc_auc_score(possible, probability)), 4),
        "threshold": round(threshold, 4),
        "answered_when_possible": round(float(answered[possible].mean()), 4),
        "refused_removed": round(float((~answered)[variants == "removed"].mean()), 4),
        "refused_altered": round(float((~answered)[variants == "altered"].mean()), 4),
        "right_of_answered": round(float(right[answered].mean()), 4),
        "calibration_error": round(calibration_error(probability, right), 4),
    }
    answerable = {
        "answerable": {
            name: {"weight": round(float(w), 5), "mean": round(float(m), 5), "scale": round(float(s), 5)}
            for name, w, m, s in zip(columns, model.weight, model.mean, model.scale, strict=True)
        },
        "bias": round(model.bias, 5),
        "threshold": round(threshold, 4),
    }
    return {n: round(float(w), 5) for n, w in zip(extract.FEATURES, order, strict=True)}, figures, answerable


def fit_order(asked: Sequence[Asked], penalty: float = 1.0) -> Array:
    """Weights w that maximise the softmax share of the right candidates, with an L2 penalty."""
    groups = [a for a in asked if a.right.any() and not a.right.all()]
    rows = np.concatenate([a.rows for a in groups])
    right = np.concatenate([a.right for a in groups])
    starts = np.cumsum([0, *(len(a.rows) for a in groups)])[:-1]
    owner = np.repeat(np.arange(len(groups)), [len(a.rows) for a in groups])

    def loss(w: Array) -> tuple[float, Array]:
        z = rows @ w
        z -= np.maximum.reduceat(z, starts)[owner]
        e = np.exp(z)
        share = e / np.add.reduceat(e, starts)[owner]
        mass = np.add.reduceat(share * right, starts)
        gradient = rows.T @ (share - share * right / mass[owner])
        return float(-np.log(mass).sum() + penalty * w @ w / 2), gradient + penalty * w

    return np.asarray(minimize(loss, np.zeros(rows.shape[1]), jac=True, method="L-BFGS-B").x)


@dataclass(frozen=True, slots=True)
class Logistic:
    mean: Array
    scale: Array
    weight: Array
    bias: float

    def probability(self, x: Array) -> Array:
        return np.asarray(1 / (1 + np.exp(-(((x - self.mean) / self.scale) @ self.weight + self.bias))))


def logistic(x: Array, y: NDArray[np.bool_]) -> Logistic:
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale < 1e-6] = 1.0  # a constant column tells nothing and gets no weight
    model = LogisticRegression(C=0.3, max_iter=2000).fit((x - mean) / scale, y)
    return Logistic(mean, scale, model.coef_[0], float(model.intercept_[0]))


def best_threshold(probability: Array, possible: NDArray[np.bool_]) -> float:
    grid = np.quantile(probability, np.linspace(0.02, 0.98, 97))
    balance = [((probability >= t)[possible].mean() + (probability < t)[~possible].mean()) / 2 for t in grid]
    return float(grid[int(np.argmax(balance))])


def calibration_error(probability: Array, right: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error over equally wide bins."""
    place = np.minimum((probability * bins).astype(int), bins - 1)
    return float(
        sum(
            abs(probability[place == b].mean() - right[place == b].mean()) * (place == b).mean()
            for b in set(place)
        )
    )


if __name__ == "__main__":
    main()
