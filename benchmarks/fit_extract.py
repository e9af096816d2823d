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
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from kb import extract

Array = NDArray[np.float64]


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
