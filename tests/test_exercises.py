"""What the reader is trained on: a change must do what it says, or the training teaches nonsense."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.altered import Swap, Thesaurus, name_swaps, negated, swaps_for
from benchmarks.exercises import Exercise, Exercises, as_typed, held_out, of_sentences, stretch
from kb.text import sentence_spans

RIVER = (
    "The Lenne rises near Holm and is 130 miles long. In 1974 Nora Blum built a bridge over the Lenne. "
    "Ada Holm bought the bridge in 1990. It was painted red, and then the council closed it for repairs."
)
QUESTIONS = [
    ("When did Nora Blum build a bridge over the Lenne?", "1974"),
    ("Who bought the bridge?", "Ada Holm"),
    ("How long is the river Lenne?", "130 miles"),
    ("Why did the council close the bridge?", "for repairs"),
]


@pytest.fixture
def thesaurus(tmp_path: Path) -> Thesaurus:
    """A WordNet of some words: bridge and tunnel are sorts of crossing, long and short are opposites, and a
    ferry is a boat."""
    synsets = {
        "noun": [
            "00000001 06 n 01 crossing 0 002 ~ 00000002 n 0000 ~ 00000003 n 0000 | a way over",
            "00000002 06 n 01 bridge 0 001 @ 00000001 n 0000 | a span",
            "00000003 06 n 01 tunnel 0 001 @ 00000001 n 0000 | a tube",
            "00000006 06 n 02 ferry 0 boat 0 000 | a vessel",
        ],
        "adj": [
            "00000004 00 a 01 long 0 001 ! 00000005 a 0101 | of length",
            "00000005 00 a 01 short(p) 0 001 ! 00000004 a 0101 | of no length",
        ],
        "verb": [],
        "adv": [],
    }
    index = {
        "noun": [
            "bridge n 1 1 @ 1 0 00000002",
            "tunnel n 1 1 @ 1 0 00000003",
            "ferry n 1 0 1 2 00000006",
            "boat n 1 0 1 2 00000006",
        ],
        "adj": ["long a 1 1 ! 1 0 00000004", "short a 1 1 ! 1 0 00000005"],
        "verb": [],
        "adv": [],
    }
    for part, lines in synsets.items():
        (tmp_path / f"data.{part}").write_text("\n".join(["  1 licence", *lines]))
        (tmp_path / f"index.{part}").write_text("\n".join(["  1 licence", *index[part]]))
    common = "bridge bridges tunnel tunnels long short ferry ferries boat boats"
    return Thesaurus(frozenset(common.split()), tmp_path)


def test_opposites_and_sister_terms(thesaurus: Thesaurus) -> None:
    assert thesaurus.opposites("long") == ["short"]
    assert thesaurus.sisters("bridge") == ["tunnel"]
    assert thesaurus.sisters("bridges") == ["tunnels"]
    assert thesaurus.sisters("nothing") == thesaurus.opposites("bridge") == []


def test_a_swap_changes_whole_words_and_keeps_their_case() -> None:
    swap = Swap("bridge", "tunnel")
    assert swap.into("Bridge, bridges, bridge.") == "Tunnel, bridges, tunnel."
    assert swap.exchanged("The bridge or the tunnel? Tunnel!") == "The tunnel or the bridge? Bridge!"
    assert Swap("\u0130stanbul", "Ankara").exchanged("\u0130stanbul and Ankara")
    assert not swap.stands_in("bridges")


def test_names_and_numbers_are_swapped_for_others() -> None:
    rng = random.Random(1)
    for _ in range(50):
        for swap in name_swaps("Did Nora Blum sell 130 boats in 1974?", RIVER, ["Ida Berg"], rng):
            assert swap.old in {"Nora Blum", "130", "1974"}
            assert swap.new != swap.old
            assert not set(swap.old.split()) & set(swap.new.split())


def test_a_question_is_negated_once() -> None:
    assert negated("What was painted red?") == "What was not painted red?"
    assert negated("What was not painted red?") is None
    assert negated("Who bought it?") is None


def drawn(thesaurus: Thesaurus, monkeypatch: pytest.MonkeyPatch, rounds: int = 40) -> list[Exercise]:
    monkeypatch.setattr(Thesaurus, "of", lambda texts: thesaurus)
    apples = "Apples grow in the valley. They are picked in autumn by hand."
    rows = [
        {"id": str(n), "domain": "new_wiki", "question": q, "answers": [{"text": a, "start": RIVER.index(a)}]}
        for n, (q, a) in enumerate(QUESTIONS)
    ]
    exercises = Exercises({RIVER: rows}, {question: [RIVER, apples] for question, _ in QUESTIONS})
    rng = random.Random(1)
    return [e for _ in range(rounds) for part in ("train", "fit", "test") for e in exercises.draw(part, rng)]


def test_every_exercise_is_what_its_kind_says(thesaurus: Thesaurus, monkeypatch: pytest.MonkeyPatch) -> None:
    made = drawn(thesaurus, monkeypatch)
    assert {e.kind for e in made} >= {"asked", "removed", "alike", "altered", "elsewhere", "twin"}
    answers = {answer for _, answer in QUESTIONS}
    for e in made:
        told = {e.page.text[s:t] for s, t in e.answers}
        match e.kind:
            case "asked" | "twin":
                assert told
                assert told <= answers, "the answer itself is never changed"
            case "removed" | "alike" | "turned":
                assert not told
            case "narrowed":
                assert told <= answers
                assert len(e.question.split()) > 3
            case "altered" | "elsewhere":
                assert not told
                assert any(answer in e.page.text for answer in answers), "it looks as if it answered"
        if e.kind in ("asked", "altered"):
            assert e.page.text in RIVER
        if e.kind == "elsewhere":
            assert e.page.text not in RIVER


def test_a_stretch_is_of_whole_sentences_around_what_is_asked() -> None:
    spans = sentence_spans(RIVER)
    rng = random.Random(1)
    for _ in range(200):
        start = rng.randrange(len(RIVER) - 5)
        around = (start, start + 5)
        first, last = stretch(RIVER, around, rng)
        assert first <= around[0] < around[1] <= last
        assert first in {s for s, _ in spans} | {around[0]}
        assert last in {e for _, e in spans} | {around[1]}


def test_pages_of_sentences_mark_the_ones_that_answer() -> None:
    pairs = {
        f"Who did {n}?": [("Ada did it.", True), ("It rained.", False), ("Snow fell.", False)]
        for n in range(40)
    }
    made = [e for part in ("train", "fit", "test") for e in of_sentences(pairs, part, random.Random(1))]
    assert made
    for e in made:
        assert [e.page.text[s:t] for s, t in e.answers] in ([], ["Ada did it."])
        assert ("Ada" in e.page.text) == bool(e.answers)
        assert not e.exact


def test_paragraphs_keep_their_part() -> None:
    parts = [held_out(str(n)) for n in range(2000)]
    assert parts == [held_out(str(n)) for n in range(2000)]
    assert 0.02 < parts.count("test") / 2000 < 0.08
    assert 0.11 < parts.count("fit") / 2000 < 0.19


def test_typing_keeps_a_question_readable() -> None:
    rng = random.Random(1)
    made = [as_typed("Who built the bridge over the Lenne?", rng) for _ in range(300)]
    assert "Who built the bridge over the Lenne?" in made
    assert len(set(made)) > 10
    assert all("Lenne" in one for one in made)


def test_swaps_of_all_sorts_have_something_to_swap(thesaurus: Thesaurus) -> None:
    found = swaps_for(QUESTIONS[0][0], RIVER, ["Ida Berg"], thesaurus, random.Random(1))
    assert {s.old for s in found} >= {"Nora Blum", "bridge"}
    assert all(s.stands_in(QUESTIONS[0][0]) for s in found)
