"""Questions in other words: they must still ask the same."""

from __future__ import annotations

import random

import pytest

from benchmarks.altered import Thesaurus
from benchmarks.reworded import reworded, turned, with_synonyms
from tests.test_exercises import thesaurus as thesaurus


def ways(question: str) -> set[str]:
    rng = random.Random(1)
    return {turned(question, rng) for _ in range(60)}


@pytest.mark.parametrize(
    ("question", "other"),
    [
        ("Who founded the yard?", "who is the founder of the yard"),
        ("When was the bridge built?", "in which year was the bridge built"),
        ("How many people live in Holm?", "population of Holm"),
        ("How long is the river Lenne?", "what is the length of the river Lenne"),
        ("Where is the yard located?", "location of the yard"),
        ("Why did the council close it?", "for what reason the council close it"),
        ("What is the capital of Norway?", "capital of Norway"),
    ],
)
def test_another_turn_of_phrase(question: str, other: str) -> None:
    assert other in ways(question)


def test_what_has_no_other_turn_stays_as_it_is() -> None:
    assert ways("Did the bridge close?") == {"Did the bridge close?"}


def test_synonyms_come_from_the_commonest_sense(thesaurus: Thesaurus) -> None:
    assert thesaurus.synonyms("ferry") == ["boat"]
    assert thesaurus.synonyms("ferries") == ["boats"]
    assert thesaurus.synonyms("bridge") == []
    question = with_synonyms("Who sold the ferry to Ferry Holm?", thesaurus, random.Random(1))
    assert question == "Who sold the boat to Boat Holm?"


def test_the_words_that_matter_survive(thesaurus: Thesaurus) -> None:
    rng = random.Random(1)
    for _ in range(100):
        assert "Marta" in reworded("When was the Marta built?", thesaurus, rng)
