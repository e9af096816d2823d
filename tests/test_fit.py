"""How the threshold of refusing is chosen."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.fit_extract import best_threshold, error_of


def test_the_error_is_that_of_independent_questions() -> None:
    possible = np.arange(2000) % 2 == 0
    answered = np.random.default_rng(1).random(2000) < 0.8
    alone = error_of(answered, possible, np.ones(2000), np.arange(2000))
    assert alone == pytest.approx(np.sqrt(0.8 * 0.2 / 1000 / 2), rel=0.1)
    # Ten questions about one paragraph that are answered together tell as much as one.
    ten = error_of(
        np.repeat(answered, 10), np.repeat(possible, 10), np.ones(20_000), np.repeat(np.arange(2000), 10)
    )
    assert ten == pytest.approx(alone, rel=0.1)


def test_of_thresholds_that_are_level_the_lowest_is_taken() -> None:
    chance, possible = np.random.default_rng(2), np.repeat([True, False], 100)
    probability = np.where(possible, chance.normal(0.6, 0.1, 200), chance.normal(0.4, 0.1, 200))
    many, them = np.repeat(probability, 25), np.repeat(possible, 25)
    # With 25 questions to each paragraph the place of the best threshold is less sure than they make it look.
    alone = best_threshold(many, them, np.ones(5000), np.arange(5000))
    together = best_threshold(many, them, np.ones(5000), np.arange(5000) // 25)
    assert 0.4 < together < alone < 0.55
