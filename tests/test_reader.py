"""The reader: what goes in, what comes out, and that it reads rather than matches words."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from kb import minilm, reader
from kb.reader import Marks, Page, Reader, pieces, read_weights, write_weights
from kb.text import sentence_spans

FERRY = (
    "The ferry Marta was built in 1974 by the Holm yard. It crosses the Lenne every twenty minutes. "
    "In 2019 the council bought it from Nora Blum for 2.4 million crowns."
)
SHIPPED = Path(reader.__file__).with_name(reader.FILE_NAME)


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Reader:
    return Reader(tmp_path_factory.mktemp("cache"))


def best_sentence(marks: Marks, text: str) -> str:
    start, end = max(sentence_spans(text), key=lambda span: marks.score(*span))
    return text[start:end]


# ------------------------------------------------------------------------------------------ what goes in


def test_a_question_and_a_page_become_two_segments() -> None:
    given = pieces("Who built it?", Page("Ferries", FERRY))
    assert given.ids[0] == minilm.CLS
    assert (given.ids == minilm.SEP).sum() == 3
    assert len(given.ids) == len(given.segments)
    assert set(given.segments[: list(given.ids).index(minilm.SEP) + 1]) == {0}
    words = [FERRY[s:e] for s, e in given.offsets]
    assert words[:3] == ["The", "ferry", "Mart"] or words[:2] == ["The", "ferry"]
    assert given.first + len(words) + 1 == len(given.ids)


def test_what_is_too_long_is_cut_and_still_read(read: Reader) -> None:
    given = pieces("why " * 500, Page("Heading " * 200, FERRY * 50))
    assert len(given.ids) <= 80 + 32 + 300 + 4
    (marks,) = read.read("why " * 500, [Page("Heading " * 200, FERRY * 50)])
    assert np.isfinite(marks.begins).all()
    assert marks.score(len(FERRY) * 49, len(FERRY) * 50) == -20.0, "what was cut off answers nothing"


def test_odd_pages_do_no_harm(read: Reader) -> None:
    assert read.read("Who?", []) == []
    for text in ("", " ", "\U0001f600", "\ud800", "\u202e", "x" * 3000):
        (marks,) = read.read("Who?", [Page("", text)])
        assert marks.span(0, 0) is None
        assert np.isfinite(marks.score(0, len(text)))


# ----------------------------------------------------------------------------------------- what comes out


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("When was the Marta built?", "1974"),
        ("How often does the ferry cross the river?", "twenty minutes"),
        ("What did the council pay for the ferry?", "2.4 million"),
        ("Who sold the ferry to the council?", "Nora Blum"),
    ],
)
def test_it_finds_the_words_that_answer(read: Reader, question: str, words: str) -> None:
    (marks,) = read.read(question, [Page("", FERRY)])
    assert words in best_sentence(marks, FERRY)
    start, end = marks.span(0, len(FERRY)) or (0, 0)
    assert words.split()[0] in FERRY[start:end]


@pytest.mark.parametrize(
    ("answered", "not_answered"),
    [
        ("When was the Marta built?", "When was the Marta sunk?"),
        ("Who built the ferry?", "Who painted the ferry?"),
        ("What did the council pay for the ferry?", "What did the council pay for the bridge?"),
        ("How often does the ferry cross the Lenne?", "How many people live in the valley?"),
    ],
)
def test_a_question_that_is_answered_scores_higher_than_a_near_miss(
    read: Reader, answered: str, not_answered: str
) -> None:
    (yes,), (no,) = (read.read(question, [Page("", FERRY)]) for question in (answered, not_answered))
    assert yes.score(0, len(FERRY)) > no.score(0, len(FERRY))


def test_a_span_lies_within_what_it_was_asked_for(read: Reader) -> None:
    (marks,) = read.read("When was the Marta built?", [Page("", FERRY)])
    for start, end in sentence_spans(FERRY):
        first, last = marks.span(start, end) or (0, 0)
        assert start <= first < last <= end


def test_the_same_page_has_the_same_marks_whatever_is_read_beside_it(read: Reader) -> None:
    page = Page("Ferries", FERRY)
    (alone,) = read.read("Who built it?", [page])
    together = read.read("Who built it?", [Page("", "Apples."), page, Page("", FERRY * 3)])
    assert np.array_equal(alone.begins, together[1].begins)


# -------------------------------------------------------------------------------------------- its weights


@pytest.mark.parametrize("rounding", ["blocks", "rows", "narrow"])
def test_eight_bits_change_little(rounding: minilm.Rounding) -> None:
    weights = read_weights(SHIPPED.read_bytes())
    rounded, exact = (
        minilm.open_session(minilm.reader_graph(weights, each).SerializeToString())
        for each in (rounding, "none")
    )
    for question in ("When was the Marta built?", "Who owns the harbour?"):
        given = pieces(question, Page("", FERRY))
        inputs = {"ids": given.ids[None], "segments": given.segments[None]}
        one, other = rounded.run(None, inputs)[0], exact.run(None, inputs)[0]
        change = np.abs(one - other)  # log odds
        assert (change.max() < 1.0, change.mean() < 0.2) == (True, True)


@pytest.mark.parametrize(("rounding", "largest"), [("rows", 127), ("narrow", 63)])
def test_a_machine_reads_in_the_widest_rows_that_lose_nothing(
    rounding: Literal["rows", "narrow"], largest: int, tmp_path: Path
) -> None:
    random = np.random.default_rng(1)
    x = random.integers(0, 256, (3, 64)).astype(np.uint8)
    (sums,) = minilm.open_session(minilm._probe(largest).SerializeToString()).run(None, {"x": x})
    exact = bool((sums == x.astype(int).sum(axis=1, keepdims=True) * largest).all())
    assert exact or not minilm.loses_nothing(tmp_path, rounding)
    chosen = minilm.fast_rounding(tmp_path)
    assert minilm.loses_nothing(tmp_path, rounding) or chosen != rounding
    if rounding == "rows" and minilm.loses_nothing(tmp_path, rounding):
        assert chosen == "rows"


def test_narrow_rows_are_cut_off_nowhere() -> None:
    """A pair of products fits in 16 bits, which is all that older processors have for it."""
    numbers, _ = minilm.in_rows(np.random.default_rng(3).normal(size=(50, 384)).astype(np.float32), 63)
    assert 2 * 255 * int(np.abs(numbers.astype(int)).max()) < 2**15


def test_rows_are_rounded_to_what_is_nearest() -> None:
    table = np.random.default_rng(2).normal(size=(5, 384)).astype(np.float32)
    table[0, 3] = 40  # one large number must not cost the others all that they say
    numbers, scales = minilm.in_rows(table)
    plain = np.abs(table).max(axis=1, keepdims=True) / 127
    error = np.square(numbers * scales[:, None] - table).sum(axis=1)
    assert (error <= np.square(np.rint(table / plain) * plain - table).sum(axis=1) + 1e-6).all()


def test_weights_survive_being_written(tmp_path: Path) -> None:
    weights = read_weights(SHIPPED.read_bytes())
    own = {name: w for name, w in weights.items() if not name.startswith("embeddings.")}
    write_weights(tmp_path / "again.safetensors", own)
    again = read_weights((tmp_path / "again.safetensors").read_bytes())
    assert set(again) == set(weights)
    assert all(np.allclose(again[name], weights[name], atol=1e-3) for name in own)


def test_the_weights_are_small_and_say_where_they_come_from() -> None:
    from safetensors import safe_open

    assert SHIPPED.stat().st_size < 25_000_000
    with safe_open(SHIPPED, "numpy") as file:
        about = file.metadata()["about"]
    assert '"seed"' in about
    assert '"data"' in about
