"""Fit how rules and reader are weighed when a claim is judged (``kb/weigh.json``), and cross-validate it.

    python -m benchmarks.fit_weigh SQUADSHIFTS.jsonl.gz PAIRS.jsonl.gz ... [--claims 4000] [--write]

The claims are those that the reader was not trained on (``benchmarks/judgements.py``, part "fit"): as many
labelled pairs as claims of our own making, and sentences of their pages in other words that mean the same
(``reword`` of ``benchmarks/perturb.py``). Each is held against its page by the very code of ``kb.verify``,
and the sentence nearest to it is weighed. The figures are of five folds by claim: accuracy and macro F1 of
the verdicts, beside those of the rules alone and of the reader alone. Claims of our own count half as much as
labelled ones, and the three verdicts of each equally. The limits are those with the best share of right
verdicts among the ones that call at most four in a hundred sentences contradicted that say what the page
says, as it stands there or in other words.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import pickle
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import GroupKFold

from benchmarks.altered import Thesaurus
from benchmarks.asked import SEED
from benchmarks.asked import read as read_squadshifts
from benchmarks.exercises import WIKIPEDIA, group_of, held_out
from benchmarks.judgements import Judgement, Judgements, of_pairs
from benchmarks.perturb import reword
from kb import verify, weigh
from kb.embed import load_embedder, remembering
from kb.reader import Page, Reader
from kb.settings import load_settings
from kb.text import sentence_spans
from kb.types import Hit, Passage, Source

Array = weigh.Array
MOST_FLAGGED = 0.04  # of what a page says: a reporter who is called wrong for nothing stops looking
SAID = ("repeated", "both", "reworded")  # sentences as a page has them, or in other words
REWORDED = 300
ALIKE = 0.65  # of a claim's words, what a sentence has that says it, for the rules alone
OWN = {"repeated", "changed", "both", "stated", "misstated", "open", "reworded"}


@dataclass(frozen=True, slots=True)
class Row:
    """A claim as it is weighed; ``verdict`` is the right one, a place in ``weigh.VERDICTS``. What settles it
    without weighing: a rule ``named`` a difference, or the sentence ``said`` it in the same words."""

    kind: str
    group: str
    own: bool
    features: tuple[float, ...]
    named: bool
    said: bool
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
    reworded = list(rewordings(by_context, rng))
    parts = ((own, count // 2), (labelled, count // 2), (reworded, REWORDED))
    return [one for part, wanted in parts for one in rng.sample(part, min(len(part), wanted))]


def rewordings(by_context: Mapping[str, Sequence[Any]], rng: random.Random) -> Iterator[Judgement]:
    """Sentences of Wikipedia in other words that mean the same, each over its paragraph."""
    for context, rows in by_context.items():
        group = group_of(context)
        if held_out(group) == "fit" and rows[0]["domain"] == WIKIPEDIA:
            for start, end in sentence_spans(context):
                said = reword(context[start:end], rng)
                if said:
                    yield Judgement("reworded", group, said, Page("", context), 0)


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
            first = compared[0]
            yield Row(
                one.kind,
                one.group,
                one.kind in OWN,
                first.row,
                first.difference is not None,
                verify.says_it(one.claim, first.evidence.text) or first.same_words,
                one.verdict,
            )
        if (n + 1) % 500 == 0:
            print(f"{n + 1} of {len(judgements)} measured", flush=True)


def fit(rows: Sequence[Row]) -> tuple[weigh.Scales, dict[str, object]]:
    """The scales, and the figures of cross-validation."""
    features = np.array([r.features for r in rows])
    right = np.array([r.verdict for r in rows])
    kind, own = np.array([r.kind for r in rows]), np.array([r.own for r in rows])
    said = np.array([r.said for r in rows])
    named = np.array([r.named for r in rows]) & ~said
    weight = weights_of(own, right)
    open_weight = np.where(named | said, 0.0, weight)
    shares = np.zeros((len(rows), 3))
    for train, test in GroupKFold(5).split(rows, groups=[r.group for r in rows]):
        shares[test] = fit_scales(features[train], right[train], open_weight[train]).probabilities(
            features[test]
        )
    shares[named], shares[said] = (0.0, 1.0, 0.0), (1.0, 0.0, 0.0)
    repeated = np.isin(kind, SAID)
    fitted = fit_scales(features, right, open_weight)
    scales = replace(
        with_best_limits(fitted, shares, right, weight, repeated),
        named=float(np.average(right[named] == 1, weights=weight[named])),
    )
    column = {name: features[:, n] for n, name in enumerate(weigh.FEATURES)}
    complete = (column["missing"] == 0) & (column["kind_open"] == 0) & (column["shared"] > ALIKE)
    alone = {
        "rules": np.select([said, named, complete], [0, 1, 0], 2),
        "reader": np.column_stack([features[:, :2], np.zeros(len(rows))]).argmax(1),
        "weighed": scales.verdicts(shares),
    }
    figures: dict[str, object] = {"claims": len(rows)}
    for name, verdicts in alone.items():
        for part, here in (("labelled", ~own), ("own", own)):
            f1 = f1_score(right[here], verdicts[here], average="macro")
            figures[f"{name}, {part}"] = (
                f"right {np.mean(verdicts[here] == right[here]):.3f}, macro F1 {f1:.3f}"
            )
        for part, here in (("supported", right == 0), ("repeated or reworded", repeated)):
            figures[f"{name}, {part} but flagged"] = round(float(np.mean(verdicts[here] == 1)), 3)
    for one in sorted(set(kind)):
        here = kind == one
        figures[f"weighed, {one}"] = round(float(np.mean(alone["weighed"][here] == right[here])), 3)
    return scales, figures


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
    rows = np.clip((features - mean) / scale, -3.0, 3.0)
    model = LogisticRegression(C=0.3, max_iter=5000).fit(rows, right, sample_weight=weight)
    return weigh.Scales(mean, scale, model.coef_, model.intercept_, 0.5, 0.5, 1.0)


def with_best_limits(
    scales: weigh.Scales, shares: Array, right: np.ndarray, weight: Array, repeated: np.ndarray
) -> weigh.Scales:
    """The limits with the best mean share of right verdicts, each verdict counting the same."""

    def worth(limited: weigh.Scales) -> float:
        said = limited.verdicts(shares)
        return float(
            np.mean([np.average(said[right == v] == v, weights=weight[right == v]) for v in range(3)])
        )

    grid = [round(float(limit), 2) for limit in np.arange(0.35, 0.96, 0.05)]
    limited = [replace(scales, supported=s, contradicted=c) for s in grid for c in grid]
    careful = [one for one in limited if np.mean(one.verdicts(shares[repeated]) == 1) <= MOST_FLAGGED]
    return max(careful, key=worth)


if __name__ == "__main__":
    from benchmarks.fit_weigh import main as run  # what is pickled is then of this module

    run()
