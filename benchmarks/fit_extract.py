"""Fit the small models of ``kb/extract.json`` (see ``kb/extract.py``) and cross-validate them.

    python -m benchmarks.asked SQUADSHIFTS.jsonl.gz TREC.jsonl.gz ASKED.pkl      # once
    python -m benchmarks.fit_extract ASKED.pkl [--write]

*order* ranks all candidates by their features: a softmax over the candidates of a question. *answerable* says
how likely the best candidate is right: logistic regression over a summary, its squares and products. Both are
fitted and measured in five folds by paragraph. Questions that have an answer and those that have none count
equally; the news of TREC are a quarter of all (in the order, three times their number). The threshold
balances possible questions answered and impossible ones refused, on the folds that were left out: the middle
of all that do so about as well as the best one, whose place is chance.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
from collections.abc import Sequence
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
PLATEAU = 0.005  # about the standard error of the balance
POSSIBLE = ("asked", "reworded", "compound")


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
    possible = np.isin(variant, POSSIBLE)
    news = np.array([a.collection == "trec" for a in asked])
    weight = weights_of(asked)
    right, probability = np.zeros(len(asked), bool), np.zeros(len(asked))
    for train, test in folds:
        order = fit_order(balanced([asked[i] for i in train]))
        summaries, firsts = summarise(asked, order)
        model = fit_answerable(order, summaries[train], firsts[train], weight[train])
        right[test], probability[test] = firsts[test], model.probability(summaries[test])
    threshold = best_threshold(probability, possible, weight)
    order = fit_order(balanced(asked))
    summaries, firsts = summarise(asked, order)
    model = fit_answerable(order, summaries, firsts, weight)
    answered = probability >= threshold
    figures: dict[str, object] = {
        "questions": len(asked),
        "right_among_candidates": _mean([bool(a.right.any()) for a in asked if a.variant == "asked"]),
        "right_first": _mean(right[variant == "asked"]),
        "auc_right": round(float(roc_auc_score(right, probability, sample_weight=weight)), 4),
        "threshold": round(threshold, 4),
        "right_first_trec": _mean(right[(variant == "asked") & news]),
        **{f"answered_{v}": _mean(answered[variant == v]) for v in POSSIBLE},
        **{
            f"refused_{v}": _mean(~answered[variant == v])
            for v in ("removed", "reworded_removed", "compound_removed", "altered")
        },
        "right_of_answered": round(float(np.average(right[answered], weights=weight[answered])), 4),
        "calibration_error": round(calibration_error(probability, right, weight), 4),
    }
    fitted = {
        "order": {n: round(float(w), 5) for n, w in zip(extract.FEATURES, order, strict=True)},
        "mean": {n: round(float(m), 5) for n, m in zip(extract.SUMMARY, model.mean, strict=True)},
        "scale": {n: round(float(v), 5) for n, v in zip(extract.SUMMARY, model.scale, strict=True)},
        "answerable": {n: round(float(w), 5) for n, w in zip(extract.TERMS, model.weight, strict=True)},
        "bias": round(model.bias, 5),
        "threshold": round(threshold, 4),
    }
    return fitted, figures


def weights_of(asked: Sequence[Asked]) -> Array:
    """What each question counts: those with an answer as much as those without, and news a quarter of all."""
    possible = np.array([a.variant in POSSIBLE for a in asked])
    news = np.array([a.collection == "trec" for a in asked])
    weight = np.zeros(len(asked))
    for collection, share in ((news, NEWS), (~news, 1 - NEWS)):
        for part in (collection & possible, collection & ~possible):
            weight[part] = len(asked) / 2 * share / max(1, part.sum())
    return weight


NEWS = 0.25  # TREC has few questions that the reader was not trained on


def summarise(asked: Sequence[Asked], order: Array) -> tuple[Array, Mask]:
    """The summary of each question, and whether its best candidate is right."""
    summaries, firsts = [], []
    for a in asked:
        scores = a.rows @ order
        hits = list({id(c.hit): c.hit for c in a.found}.values())
        summaries.append(extract.summarise(a.weights, hits, scores, a.rows))
        firsts.append(bool(a.right[np.argmax(scores)]))
    return np.array(summaries), np.array(firsts)


def balanced(asked: Sequence[Asked]) -> list[tuple[Array, Mask]]:
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


def fit_answerable(order: Array, summaries: Array, right: Mask, weight: Array) -> extract.Model:
    """The model that says how likely the best candidate is right; its threshold is still to be chosen."""
    mean, scale = summaries.mean(axis=0), summaries.std(axis=0)
    scale[scale < 1e-6] = 1.0  # a constant column tells nothing and gets no weight
    rows = extract.terms((summaries - mean) / scale)
    fitted = LogisticRegression(C=0.3, max_iter=5000).fit(rows, right, sample_weight=weight)
    return extract.Model(order, mean, scale, fitted.coef_[0], float(fitted.intercept_[0]), threshold=0.5)


def best_threshold(probability: Array, possible: Mask, weight: Array) -> float:
    """The median of the thresholds whose mean of possible questions answered and impossible ones refused is
    within ``PLATEAU`` of the best."""

    def balance(threshold: float) -> float:
        answered = probability >= threshold
        yes = np.average(answered[possible], weights=weight[possible])
        no = np.average(~answered[~possible], weights=weight[~possible])
        return float(yes + no) / 2

    grid = np.quantile(probability, np.linspace(0.02, 0.98, 97))
    balances = np.array([balance(threshold) for threshold in grid])
    return float(np.median(grid[balances >= balances.max() - PLATEAU]))


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
