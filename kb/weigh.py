"""How much speaks for and against a claim where no rule names a difference.

The rules of ``kb.rules`` are sure of what they name and blind to the rest; the reader (``kb.reader``) sees
the rest and is never quite sure. What it says, of a sentence and of the whole passage, is weighed together
with what the rules miss: a fitted multinomial logistic regression over a handful of numbers (``FEATURES``)
says how likely each verdict is. Its weights, its limits and the data they were fitted on are in
``weigh.json``; ``benchmarks/fit_weigh.py`` makes that file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kb.types import Judgement

Array = NDArray[np.float64]

# Log odds by the reader, of the sentence after the one before it and of its whole passage; what of the claim
# stands in the evidence, and how near both are in meaning; whether something named is missing, whether all
# figures and dates of a claim that has any are there, whether a kind of thing is left open.
FEATURES = (
    *("supports", "contradicts", "passage_supports", "passage_contradicts"),
    *("shared", "near", "missing", "figures_agree", "kind_open"),
)
VERDICTS: tuple[Judgement, ...] = ("supported", "contradicted", "not_found")


@dataclass(frozen=True, slots=True)
class Scales:
    """``mean`` and ``scale``, shape (len(FEATURES),); ``weight``, shape (3, len(FEATURES)), and ``bias``,
    shape (3,).

    A verdict needs at least the probability ``supported`` or ``contradicted``; else it is not found.
    ``named`` is the share of differences named by a rule that are contradictions.
    """

    mean: Array
    scale: Array
    weight: Array
    bias: Array
    supported: float
    contradicted: float
    named: float

    def probabilities(self, rows: Array) -> Array:
        """Of each of ``VERDICTS``, shape (rows, 3). Beyond three deviations nothing was seen."""
        z = np.clip((rows - self.mean) / self.scale, -3.0, 3.0) @ self.weight.T + self.bias
        e = np.exp(z - z.max(axis=-1, keepdims=True))
        return np.asarray(e / e.sum(axis=-1, keepdims=True))

    def verdicts(self, shares: Array) -> NDArray[np.int64]:
        """The verdicts, as places in ``VERDICTS``, of probabilities of shape (rows, 3)."""
        against = shares[:, 1] >= np.maximum(self.contradicted, shares[:, 0])
        return np.where(against, 1, np.where(shares[:, 0] >= self.supported, 0, 2))


@lru_cache(maxsize=1)
def load_scales() -> Scales:
    """The scales that are shipped, from ``weigh.json``."""
    data = json.loads(Path(__file__).with_name("weigh.json").read_text(encoding="utf-8"))
    arrays = {name: np.array(data[name]) for name in ("mean", "scale", "weight", "bias")}
    return Scales(
        **arrays, supported=data["supported"], contradicted=data["contradicted"], named=data["named"]
    )
