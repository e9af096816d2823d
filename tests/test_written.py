"""The questions that were written for training: each must say what its line says it does."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

from benchmarks import written
from benchmarks.exercises import group_of, held_out
from benchmarks.written import FILE, Written

RIVER = (
    "The Lenne rises near Holm and is 130 miles long. In 1974 Nora Blum built a bridge over the Lenne. "
    "Ada Holm bought the bridge in 1990. It was painted red, and then the council closed it for repairs."
)
APPLES = "Apples grow in the valley. They are picked in autumn by hand."
BUILT, REPAIRS = (49, 97), (134, 198)
LINES = (
    ("near", "", "Who designed the bridge over the Lenne?"),
    ("searched", "49-97", "who put up the lenne bridge"),
    ("open", "49-97,134-198", "what happened to the lenne bridge"),
    ("untold", "", "how high is the lenne bridge"),
    ("several", "49-97", "Is the bridge over the Lenne older than the one at Ostrau?"),
)


def test_every_line_is_a_question_of_a_kind_about_some_paragraph() -> None:
    lines = [line.split("\t") for line in FILE.read_text(encoding="utf-8").splitlines()]
    assert {len(line) for line in lines} == {4}
    kinds = Counter(kind for _, kind, _, _ in lines)
    assert set(kinds) == {"near", "searched", "open", "untold", "plain", "several"}
    assert min(kinds.values()) > 1000
    for paragraph, kind, places, question in lines:
        assert len(paragraph) == 12, question
        assert bool(places) == (kind in {"searched", "open", "plain", "several"}), question
        assert question == " ".join(question.split()), question
        assert len(question) > 5, question
    assert len({(paragraph, question.lower()) for paragraph, _, _, question in lines}) == len(lines)
    about = Counter(question for _, kind, _, question in lines if kind == "several")
    assert set(about.values()) == {2}


def read(folder: Path) -> dict[str, list[Written]]:
    file = folder / "written.tsv"
    rows = [(group_of(RIVER)[:12], *line) for line in LINES]
    rows.append(("0" * 12, "near", "", "About a paragraph that is not there?"))
    file.write_text("".join("\t".join(row) + "\n" for row in rows))
    return written.read([APPLES, RIVER], file)


def test_questions_come_with_their_paragraph_and_the_sentences_that_answer(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert list(found) == [RIVER]
    assert [one.answers for one in found[RIVER]] == [(), (BUILT,), (BUILT, REPAIRS), (), (BUILT,)]
    assert RIVER[slice(*BUILT)] == "In 1974 Nora Blum built a bridge over the Lenne."


def test_a_page_holds_the_whole_answer_or_nothing_of_it(tmp_path: Path) -> None:
    questions, part = read(tmp_path), held_out(group_of(RIVER))
    alike = {question: [RIVER, APPLES] for _, _, question in LINES}
    rng = random.Random(1)
    made = [e for _ in range(60) for e in written.draw(questions, alike, part, rng)]
    assert not [
        e for other in {"train", "fit", "test"} - {part} for e in written.draw(questions, alike, other, rng)
    ]
    assert {(e.kind, bool(e.answers)) for e in made} == {
        *((kind, False) for kind, _, _ in LINES),
        ("searched", True),
        ("open", True),
        ("several", True),
    }
    for e in made:
        told = [e.page.text[slice(*span)] for span in e.answers]
        if told:
            assert told[0] == RIVER[slice(*BUILT)]
            assert told[1:] == ([RIVER[slice(*REPAIRS)]] if e.kind == "open" else [])
        elif e.kind in {"searched", "open", "several"}:
            assert RIVER[slice(*BUILT)] not in e.page.text
    assert any(e.page.text in APPLES for e in made)


def test_a_question_about_two_paragraphs_is_never_read_on_the_other_as_if_that_told_nothing(
    tmp_path: Path,
) -> None:
    question, file = "Is the Lenne bridge older than the apples of the valley?", tmp_path / "written.tsv"
    rows = [(RIVER, "49-97"), (APPLES, "0-26")]
    file.write_text("".join(f"{group_of(c)[:12]}\tseveral\t{at}\t{question}\n" for c, at in rows))
    questions, rng = written.read([RIVER, APPLES], file), random.Random(3)
    assert written.places(questions)[question].keys() == {RIVER, APPLES}
    made = []
    for part in ("train", "fit", "test"):
        for _ in range(60):
            made += written.draw(questions, {question: [APPLES, RIVER]}, part, rng)
    told = {e.page.text[slice(*e.answers[0])] for e in made if e.answers}
    assert told == {RIVER[slice(*BUILT)], "Apples grow in the valley."}
    for e in made:
        if not e.answers:
            assert RIVER[slice(*BUILT)] not in e.page.text
            assert "Apples grow" not in e.page.text


def test_how_a_question_is_written_does_not_tell_whether_it_is_answered(tmp_path: Path) -> None:
    questions, part = read(tmp_path), held_out(group_of(RIVER))
    rng = random.Random(2)
    made = [e for _ in range(200) for e in written.draw(questions, {}, part, rng)]
    for kind in ("near", "searched", "untold", "several"):
        small = [e.question == e.question.lower() for e in made if e.kind == kind]
        assert any(small), kind
        assert not all(small), kind
