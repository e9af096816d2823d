"""What speaks for and against a claim, weighed: a verdict needs its share, and the stronger one decides."""

from __future__ import annotations

import numpy as np
import pytest

from kb.weigh import FEATURES, VERDICTS, Scales, load_scales


def scales(supported: float, contradicted: float) -> Scales:
    """Scales that weigh the first two features alone."""
    n = len(FEATURES)
    weight = np.zeros((3, n))
    weight[0, 0] = weight[1, 1] = 1.0
    return Scales(np.zeros(n), np.ones(n), weight, np.zeros(3), supported, contradicted, 0.9)


@pytest.mark.parametrize(
    ("shares", "verdict"),
    [
        ((0.6, 0.3, 0.1), "supported"),
        ((0.3, 0.6, 0.1), "contradicted"),
        ((0.3, 0.3, 0.4), "not_found"),
        ((0.45, 0.5, 0.05), "supported"),  # likelier, but a contradiction needs more than that
        ((0.35, 0.55, 0.1), "not_found"),
    ],
)
def test_a_verdict_needs_its_share(shares: tuple[float, float, float], verdict: str) -> None:
    (told,) = scales(0.4, 0.6).verdicts(np.array([shares]))
    assert VERDICTS[told] == verdict


def test_what_lies_beyond_all_that_was_seen_counts_as_the_edge_of_it() -> None:
    rows = np.zeros((2, len(FEATURES)))
    rows[:, 0] = 3.0, 300.0
    near, far = scales(0.4, 0.6).probabilities(rows)
    assert near.tolist() == far.tolist()
    assert near.sum() == pytest.approx(1.0)
    assert near.argmax() == 0


def test_the_shipped_scales_are_those_of_the_features() -> None:
    shipped = load_scales()
    assert shipped.weight.shape == (len(VERDICTS), len(FEATURES))
    alike = dict.fromkeys(FEATURES, 0.0) | {"shared": 1.0, "near": 0.9}
    rows = [
        alike | {name: 5.0, f"passage_{name}": 5.0, other: -2.0, f"passage_{other}": -2.0}
        for name, other in (("supports", "contradicts"), ("contradicts", "supports"))
    ]
    told = shipped.verdicts(
        shipped.probabilities(np.array([[row[name] for name in FEATURES] for row in rows]))
    )
    assert [VERDICTS[n] for n in told] == ["supported", "contradicted"]
