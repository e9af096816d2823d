"""Fit how rules and reader are weighed when a claim is judged (``kb/weigh.json``), and cross-validate it.

    python -m benchmarks.fit_weigh SQUADSHIFTS.jsonl.gz PAIRS.jsonl.gz ... [--claims 4000] [--write]

The claims are those that the reader was not trained on (``benchmarks/judgements.py``, part "fit"): as many
labelled pairs as claims of our own making. Each is held against its page by the very code of ``kb.verify``,
and the sentence nearest to it is weighed. The figures are of five folds by claim: accuracy and macro F1 of
the verdicts, beside those of the rules alone and of the reader alone. Claims of our own count half as much as
labelled ones, and the three verdicts of each equally. The limits are those with the best share of right
verdicts among the ones that call at most three in a hundred supported claims contradicted.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GroupKFold

from benchmarks.altered import Thesaurus
from benchmarks.asked import SEED
from benchmarks.asked import read as read_squadshifts
from benchmarks.judgements import Judgement, Judgements, of_pairs
from kb import extract, verify, weigh
from kb.embed import load_embedder, remembering
from kb.reader import Reader
from kb.settings import load_settings
from kb.types import Hit, Passage, Source

Array = weigh.Array
MOST_FLAGGED = 0.03  # of supported claims: a reporter who is called wrong for nothing stops looking


@dataclass(frozen=True, slots=True)
class Row:
    """A claim as it is weighed; ``verdict`` is the right one, a place in ``weigh.VERDICTS``. ``named``: a
    rule named a difference, which settles it."""

    kind: str
    group: str
    own: bool
    features: tuple[float, ...]
    named: bool
    verdict: int


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("squadshifts", type=Path)
    parser.add_argument("pairs", type=Path, nargs="+")
    parser.add_argument("--claims", type=int, default=4000)
    parser.add_argument("--rows", type=Path, help="keep what was measured here, and use it if it is there")
    parser.add_argument("--write", action="store_true", help="write kb/weigh.json")
    args = parser.parse_args()
    if args.rows and args.rows.exists():
        rows: list[Row] = pickle.loads(args.rows.read_bytes())
    else:
        rows = list(measured(drawn(args.squadshifts, args.pairs, args.claims)))
        if args.rows:
            args.rows.write_bytes(pickle.dumps(rows))
    scales, figures = fit(rows)
    for name, value in figures.items():
        print(f"{name:32s} {value}")
    if args.write:
        files = (args.squadshifts, *args.pairs)
        about = {
            "data": {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files},
            "seed": SEED,
            "claims": len(rows),
            "figures": figures,
        }
        fitted = {
            "features": weigh.FEATURES,
            **{
                name: np.round(getattr(scales, name), 5).tolist()
                for name in ("mean", "scale", "weight", "bias")
            },
            "supported": scales.supported,
            "contradicted": scales.contradicted,
            "named": round(scales.named, 4),
        }
        path = Path(weigh.__file__).with_name("weigh.json")
        path.write_text(json.dumps({"about": about, **fitted}, indent=1) + "\n", encoding="utf-8")


def drawn(squadshifts: Path, pairs: Sequence[Path], count: int) -> list[Judgement]:
    rng = random.Random(f"{SEED} weigh")
    by_context = read_squadshifts(squadshifts)
    own = list(Judgements(by_context, Thesaurus.of(by_context)).draw("fit", rng))
    labelled = list(of_pairs(pairs, "fit", rng))
    return [one for part in (own, labelled) for one in rng.sample(part, min(len(part), count // 2))]


def measured(judgements: Sequence[Judgement]) -> Iterator[Row]:
    settings = load_settings()
    reader, embed = (
        Reader(settings.cache),
        remembering(load_embedder(settings.embedder, settings.cache).embed),
    )
    for n, one in enumerate(judgements):
        text = one.page.text
        hit = Hit(Passage("page", 0, 0, len(text), text), Source(one.page.heading), 1.0, 1)
        compared = verify.compare(one.claim, verify.sentences(hit), embed, reader.judge)
        if compared:
            own = one.kind in {"repeated", "changed", "both", "stated", "misstated", "open"}
            named = compared[0].difference is not None
            yield Row(one.kind, one.group, own, compared[0].row, named, one.verdict)
        if (n + 1) % 500 == 0:
            print(f"{n + 1} of {len(judgements)} measured", flush=True)


def fit(rows: Sequence[Row]) -> tuple[weigh.Scales, dict[str, object]]:
    """The scales, and the figures of cross-validation."""
    features = np.array([r.features for r in rows])
    right = np.array([r.verdict for r in rows])
    own, named = np.array([r.own for r in rows]), np.array([r.named for r in rows])
    weight = weights_of(own, right)
    open_weight = np.where(named, 0.0, weight)
    shares = np.zeros((len(rows), 3))
    for train, test in GroupKFold(5).split(rows, groups=[r.group for r in rows]):
        shares[test] = fit_scales(features[train], right[train], open_weight[train]).probabilities(
            features[test]
        )
    shares[named] = (0.0, 1.0, 0.0)
    supported, contradicted = best_limits(shares, right, weight)
    fitted = fit_scales(features, right, open_weight)
    told = verdicts(shares, supported, contradicted)
    alone = {
        "rules": np.where(named, 1, np.where((features[:, 4:] == 0).all(1) & (features[:, 2] > 0.65), 0, 2)),
        "reader": np.column_stack([features[:, :2], np.zeros(len(rows))]).argmax(1),
        "weighed": told,
    }
    figures: dict[str, object] = {"claims": len(rows), "supported": supported, "contradicted": contradicted}
    for name, said in alone.items():
        for part, here in (("labelled", ~own), ("own", own)):
            f1 = f1_score(right[here], said[here], average="macro")
            figures[f"{name}, {part}"] = f"right {np.mean(said[here] == right[here]):.3f}, macro F1 {f1:.3f}"
        flagged = np.mean(said[right == 0] == 1)
        figures[f"{name}, supported but flagged"] = round(float(flagged), 3)
    for kind in sorted({r.kind for r in rows}):
        here = np.array([r.kind == kind for r in rows])
        figures[f"weighed, {kind}"] = round(float(np.mean(told[here] == right[here])), 3)
    return (
        replace(
            fitted,
            supported=supported,
            contradicted=contradicted,
            named=float(np.average(right[named] == 1, weights=weight[named])),
        ),
        figures,
    )


def weights_of(own: np.ndarray, right: np.ndarray) -> Array:
    """Each verdict the same, for the labelled claims twice as much in all as for our own."""
    weight = np.zeros(len(right))
    for mine in (False, True):
        for verdict in range(3):
            here = (own == mine) & (right == verdict)
            weight[here] = (1.0 if mine else 2.0) / max(1, here.sum())
    return weight * len(right) / weight.sum()


def fit_scales(features: Array, right: np.ndarray, weight: Array) -> weigh.Scales:
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale[scale < 1e-6] = 1.0
    rows = extract.terms((features - mean) / scale)
    model = LogisticRegression(C=0.3, max_iter=5000).fit(rows, right, sample_weight=weight)
    return weigh.Scales(mean, scale, model.coef_, model.intercept_, 0.5, 0.5, 1.0)


def verdicts(shares: Array, supported: float, contradicted: float) -> np.ndarray:
    """As ``kb.verify`` decides."""
    against = shares[:, 1] >= np.maximum(contradicted, shares[:, 0])
    return np.where(against, 1, np.where(shares[:, 0] >= supported, 0, 2))


def best_limits(shares: Array, right: np.ndarray, weight: Array) -> tuple[float, float]:
    """The limits with the best mean share of right verdicts, each verdict counting the same."""
    grid = np.round(np.arange(0.5, 0.96, 0.05), 2)  # a verdict is at least as likely as not

    def worth(limits: tuple[float, float]) -> float:
        said = verdicts(shares, *limits)
        return float(
            np.mean([np.average(said[right == v] == v, weights=weight[right == v]) for v in range(3)])
        )

    careful = [
        (float(s), float(c))
        for s in grid
        for c in grid
        if np.average(verdicts(shares, s, c)[right == 0] == 1, weights=weight[right == 0]) <= MOST_FLAGGED
    ]
    return max(careful, key=worth)


if __name__ == "__main__":
    from benchmarks.fit_weigh import main as run  # what is pickled is then of this module

    run()
