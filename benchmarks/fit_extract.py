"""Fit the small models of ``kb/extract.json`` (see ``kb/extract.py``) and cross-validate them.

    python -m benchmarks.asked QUESTIONS.jsonl.gz ASKED.pkl      # once; also what the reader is trained on
    python -m benchmarks.fit_extract ASKED.pkl [--write]

Three things are fitted. *order* ranks all candidates by their features (a softmax over the candidates of a
question), on the paragraphs that the reader was trained on. *final* weighs that rank and the reader's score
into one, and *answerable* says how likely the best candidate answers (logistic regression); both on
paragraphs that the reader has not seen, in five folds by paragraph. Questions that have an answer and those
that have none count equally. The threshold is the one with the best balance of answered and refused on the
folds that were left out.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold

from benchmarks.asked import SEED, Asked, held_out
from kb import extract
from kb.reader import Reader
from kb.settings import load_settings

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Read:
    """A question with the candidates that the reader read, best of the order first."""

    asked: Asked
    found: tuple[extract.Candidate, ...]
    rows: Array
    both: Array  # (candidates, 2): order and reader scores
    right: Mask


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("asked", type=Path)
    parser.add_argument("--write", action="store_true", help="write kb/extract.json")
    args = parser.parse_args()
    data = args.asked.read_bytes()
    asked: list[Asked] = pickle.loads(data)
    order = fit_order([(a.rows, a.right) for a in asked if held_out(a.group) == "train"])
    reader = Reader(load_settings().cache)
    unseen = [read(a, order, reader) for a in asked if held_out(a.group) != "train"]
    final, answerable, figures = fit(unseen)
    for name, value in figures.items():
        print(f"{name:32s} {value}")
    if args.write:
        about = {"data": hashlib.sha256(data).hexdigest(), "seed": SEED, "figures": figures}
        model = {
            "about": about,
            "order": {n: round(float(w), 5) for n, w in zip(extract.FEATURES, order, strict=True)},
            "final": {"order": round(float(final[0]), 5), "reader": round(float(final[1]), 5)},
            **answerable,
        }
        path = Path(extract.__file__).with_name("extract.json")
        path.write_text(json.dumps(model, indent=1) + "\n", encoding="utf-8")


def read(asked: Asked, order: Array, reader: Reader) -> Read:
    scores = asked.rows @ order
    short = np.argsort(-scores, kind="stable")[: extract.SHORTLIST]
    found = tuple(asked.found[i] for i in short)
    read_scores = reader.scores(asked.question.search_text, [extract.line_of(c) for c in found])
    return Read(
        asked, found, asked.rows[short], np.stack([scores[short], read_scores], axis=1), asked.right[short]
    )


def fit(unseen: Sequence[Read]) -> tuple[Array, dict[str, object], dict[str, object]]:
    """The final weights, the answerability model, and the figures of cross-validation."""
    folds = list(GroupKFold(5).split(unseen, groups=[r.asked.group for r in unseen]))
    variant = np.array([r.asked.variant for r in unseen])
    possible = np.isin(variant, ("asked", "compound"))
    # Questions with and without an answer count equally, whatever their numbers.
    weight = np.where(possible, 0.5 / possible.sum(), 0.5 / (~possible).sum()) * len(unseen)
    right, probability = np.zeros(len(unseen), bool), np.zeros(len(unseen))
    for train, test in folds:
        final = fit_order([(unseen[i].both, unseen[i].right) for i in train])
        summaries, firsts = summarise(unseen, final)
        model = logistic(summaries[train], firsts[train], weight[train])
        right[test], probability[test] = firsts[test], model.probability(summaries[test])
    threshold = best_threshold(probability, right, ~possible)
    final = fit_order([(r.both, r.right) for r in unseen])
    summaries, firsts = summarise(unseen, final)
    model = logistic(summaries, firsts, weight)
    answered = probability >= threshold
    figures: dict[str, object] = {
        "questions": len(unseen),
        "right_on_shortlist": _mean([r.right.any() for r in unseen if r.asked.variant == "asked"]),
        "right_first": _mean(right[variant == "asked"]),
        "right_first_by_order_alone": _mean([r.right[0] for r in unseen if r.asked.variant == "asked"]),
        "auc_right": round(float(roc_auc_score(right, probability, sample_weight=weight)), 4),
        "threshold": round(threshold, 4),
        "answered_asked": _mean(answered[variant == "asked"]),
        "answered_compound": _mean(answered[variant == "compound"]),
        "refused_removed": _mean(~answered[variant == "removed"]),
        "refused_altered": _mean(~answered[variant == "altered"]),
        "right_of_answered": round(float(np.average(right[answered], weights=weight[answered])), 4),
        "calibration_error": round(calibration_error(probability, right, weight), 4),
    }
    answerable = {
        "answerable": {
            name: {"weight": round(float(w), 5), "mean": round(float(m), 5), "scale": round(float(s), 5)}
            for name, w, m, s in zip(extract.SUMMARY, model.weight, model.mean, model.scale, strict=True)
        },
        "bias": round(model.bias, 5),
        "threshold": round(threshold, 4),
    }
    return final, answerable, figures


def _mean(values: Sequence[bool] | Mask) -> float:
    return round(float(np.mean(values)), 4)


def summarise(unseen: Sequence[Read], final: Array) -> tuple[Array, Mask]:
    """The summary of each question, and whether its best candidate is right."""
    summaries, firsts = [], []
    for r in unseen:
        best = np.argsort(-(r.both @ final), kind="stable")
        ranked = [r.found[i] for i in best]
        hits = list({id(c.hit): c.hit for c in r.asked.found}.values())
        a = r.asked
        summaries.append(
            extract.summarise(
                a.question, a.weights, hits, ranked, r.rows[best], r.both[best, 0], r.both[best, 1]
            )
        )
        firsts.append(bool(r.right[best[0]]))
    return np.array(summaries), np.array(firsts)


def fit_order(questions: Sequence[tuple[Array, Mask]], penalty: float = 1.0) -> Array:
    """Weights w that maximise the softmax share of the right candidates, with an L2 penalty."""
    groups = [(rows, right) for rows, right in questions if right.any() and not right.all()]
    rows = np.concatenate([r for r, _ in groups])
    right = np.concatenate([ok for _, ok in groups])
    starts = np.cumsum([0, *(len(r) for r, _ in groups)])[:-1]
    owner = np.repeat(np.arange(len(groups)), [len(r) for r, _ in groups])

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


def logistic(x: Array, y: Mask, weight: Array) -> Logistic:
    mean, scale = x.mean(axis=0), x.std(axis=0)
    scale[scale < 1e-6] = 1.0  # a constant column tells nothing and gets no weight
    model = LogisticRegression(C=0.3, max_iter=2000).fit((x - mean) / scale, y, sample_weight=weight)
    return Logistic(mean, scale, model.coef_[0], float(model.intercept_[0]))


def best_threshold(probability: Array, right: Mask, impossible: Mask) -> float:
    """Where the share of right answers given and of impossible questions refused is largest in sum."""
    grid = np.quantile(probability, np.linspace(0.02, 0.98, 97))
    balance = [(probability >= t)[right].mean() + (probability < t)[impossible].mean() for t in grid]
    return float(grid[int(np.argmax(balance))])


def calibration_error(probability: Array, right: Mask, weight: Array, bins: int = 10) -> float:
    """Expected calibration error over equally wide bins."""
    place = np.minimum((probability * bins).astype(int), bins - 1)
    error = 0.0
    for b in set(place):
        here = place == b
        gap = np.average(probability[here], weights=weight[here]) - np.average(
            right[here], weights=weight[here]
        )
        error += abs(gap) * weight[here].sum()
    return float(error / weight.sum())


if __name__ == "__main__":
    main()
