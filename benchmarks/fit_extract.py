"""Fit the small models of ``kb/extract.json`` (see ``kb/extract.py``) and cross-validate them.

    python -m benchmarks.asked SQUADSHIFTS.jsonl.gz TREC.jsonl.gz ASKED.pkl      # once
    python -m benchmarks.fit_extract ASKED.pkl [--write]

*order* ranks all candidates by their features: a softmax over the candidates of a question. *answerable* says
how likely the best candidate is right: logistic regression. Both are fitted and measured in five folds by
paragraph. Both collections count equally, and so do questions that have an answer and those that have none
(the order is fitted on all with the rarer collection three times). The threshold is the most careful one
within a standard error of the best balance of right answers given and impossible questions refused, on the
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

from benchmarks.asked import SEED, Asked
from kb import extract

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("asked", type=Path)
    parser.add_argument("--write", action="store_true", help="write kb/extract.json")
    args = parser.parse_args()
    data = args.asked.read_bytes()
    model, figures = fit(pickle.loads(data))
    for name, value in figures.items():
        print(f"{name:32s} {value}")
    if args.write:
        about = {"data": hashlib.sha256(data).hexdigest(), "seed": SEED, "figures": figures}
        path = Path(extract.__file__).with_name("extract.json")
        path.write_text(json.dumps({"about": about, **model}, indent=1) + "\n", encoding="utf-8")


def fit(asked: Sequence[Asked]) -> tuple[dict[str, object], dict[str, object]]:
    """The models, and the figures of cross-validation."""
    folds = list(GroupKFold(5).split(asked, groups=[a.group for a in asked]))
    variant = np.array([a.variant for a in asked])
    possible = np.isin(variant, ("asked", "compound"))
    news = np.array([a.collection == "trec" for a in asked])
    weight = np.zeros(len(asked))
    for collection in (news, ~news):
        for part in (collection & possible, collection & ~possible):
            weight[part] = len(asked) / 4 / max(1, part.sum())
    right, probability = np.zeros(len(asked), bool), np.zeros(len(asked))
    for train, test in folds:
        order = fit_order(_balanced([asked[i] for i in train]))
        summaries, firsts = summarise(asked, order)
        model = logistic(summaries[train], firsts[train], weight[train])
        right[test], probability[test] = firsts[test], model.probability(summaries[test])
    threshold = best_threshold(probability, right, ~possible, weight, [test for _, test in folds])
    order = fit_order(_balanced(asked))
    summaries, firsts = summarise(asked, order)
    model = logistic(summaries, firsts, weight)
    answered = probability >= threshold
    figures: dict[str, object] = {
        "questions": len(asked),
        "right_among_candidates": _mean([bool(a.right.any()) for a in asked if a.variant == "asked"]),
        "right_first": _mean(right[variant == "asked"]),
        "auc_right": round(float(roc_auc_score(right, probability, sample_weight=weight)), 4),
        "threshold": round(threshold, 4),
        "right_first_trec": _mean(right[(variant == "asked") & news]),
        **{f"answered_{v}": _mean(answered[variant == v]) for v in ("asked", "compound")},
        **{
            f"refused_{v}": _mean(~answered[variant == v]) for v in ("removed", "compound_removed", "altered")
        },
        "right_of_answered": round(float(np.average(right[answered], weights=weight[answered])), 4),
        "calibration_error": round(calibration_error(probability, right, weight), 4),
    }
    fitted = {
        "order": {n: round(float(w), 5) for n, w in zip(extract.FEATURES, order, strict=True)},
        "answerable": {
            name: {"weight": round(float(w), 5), "mean": round(float(m), 5), "scale": round(float(s), 5)}
            for name, w, m, s in zip(extract.SUMMARY, model.weight, model.mean, model.scale, strict=True)
        },
        "bias": round(model.bias, 5),
        "threshold": round(threshold, 4),
    }
    return fitted, figures


def summarise(asked: Sequence[Asked], order: Array) -> tuple[Array, Mask]:
    """The summary of each question, and whether its best candidate is right."""
    summaries, firsts = [], []
    for a in asked:
        scores = a.rows @ order
        hits = list({id(c.hit): c.hit for c in a.found}.values())
        summaries.append(extract.summarise(a.weights, hits, scores))
        firsts.append(bool(a.right[np.argmax(scores)]))
    return np.array(summaries), np.array(firsts)


def _balanced(asked: Sequence[Asked]) -> list[tuple[Array, Mask]]:
    return [(a.rows, a.right) for a in asked for _ in range(3 if a.collection == "trec" else 1)]


def _mean(values: Sequence[bool] | Mask) -> float:
    return round(float(np.mean(values)), 4)


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


def best_threshold(
    probability: Array, right: Mask, impossible: Mask, weight: Array, folds: Sequence[NDArray[np.int64]]
) -> float:
    """The most careful threshold within one standard error of the best balance.

    What is balanced is the share of right answers given and of impossible questions refused. Of thresholds
    that the folds cannot tell apart the highest is taken, since of the two mistakes a refusal is the lesser;
    the rule is that of Breiman, Friedman, Olshen and Stone (Classification and Regression Trees, 1984).
    """
    grid = np.quantile(probability, np.linspace(0.02, 0.98, 97))

    def share(mask: Mask, part: Mask, fold: NDArray[np.int64]) -> float:
        inside = fold[part[fold]]
        return float(np.average(mask[inside], weights=weight[inside]))

    balance = np.array(
        [
            [(share(probability >= t, right, f) + share(probability < t, impossible, f)) / 2 for f in folds]
            for t in grid
        ]
    )
    mean, error = balance.mean(axis=1), balance.std(axis=1, ddof=1) / np.sqrt(len(folds))
    best = int(mean.argmax())
    return float(grid[mean >= mean[best] - error[best]].max())


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
