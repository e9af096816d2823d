"""The invented archive: its questions must say what their lines say they do."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from benchmarks import archive
from benchmarks.archive import Story
from benchmarks.exercises import Exercise, held_out

LINES = (
    {
        "story": 1,
        "article": "a",
        "title": "Holm gets a bridge",
        "outlet": "Holm Post",
        "date": "2024-05-03",
        "sentences": ["Nora Blum will build the Holm bridge.", "It costs 4 million euros.", "Rain fell."],
    },
    {
        "story": 1,
        "article": "b",
        "title": "Bridge is dearer",
        "outlet": "River Wire",
        "date": "2025-01-09",
        "sentences": ["The Holm bridge costs 6 million euros.", "Steel rose in price."],
    },
    {
        "story": 1,
        "article": "c",
        "title": "Apples",
        "outlet": "River Wire",
        "date": "2025-02-01",
        "sentences": ["Apples are picked in autumn by hand.", "The harvest was late."],
    },
    {"story": 1, "kind": "plain", "question": "Who builds the bridge at Holm?", "answers": {"a": [1]}},
    {
        "story": 1,
        "kind": "several",
        "question": "By how much did the Holm bridge grow dearer between the reports?",
        "answers": {"a": [2], "b": [1, 2]},
    },
    {"story": 1, "kind": "near", "question": "Who designed the Holm bridge?", "answers": {}},
)


def read(folder: Path) -> list[Story]:
    file = folder / "archive.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in LINES))
    return archive.read(file)


def test_every_story_has_its_articles_and_answers_that_are_sentences_of_them() -> None:
    stories = archive.read()
    kinds = Counter(one.kind for story in stories for one in story.questions)
    assert set(kinds) == {"plain", "searched", "open", "near", "untold", "several", "several_near"}
    assert len({one.text.lower() for story in stories for one in story.questions}) == sum(kinds.values())
    for story in stories:
        assert len(story.articles) == 4, story.group
        assert all(date.fromisoformat(a.date) and a.title and a.outlet for a in story.articles)
        for one in story.questions:
            assert bool(one.answers) == (one.kind in {"plain", "searched", "open", "several"}), one.text
            for n, spans in one.answers.items():
                assert spans, one.text
                assert all(0 <= a < b <= len(story.articles[n].text) for a, b in spans), one.text


def test_answers_are_the_sentences_that_the_line_names(tmp_path: Path) -> None:
    (story,) = read(tmp_path)
    several = story.questions[1]
    told = {n: [story.articles[n].text[a:b] for a, b in spans] for n, spans in several.answers.items()}
    assert told == {
        0: ["It costs 4 million euros."],
        1: ["The Holm bridge costs 6 million euros.", "Steel rose in price."],
    }


def drawn(story: Story, number: int) -> list[Exercise]:
    """What one question of a story makes, many times over."""
    rng, part = random.Random(1), held_out(story.group)
    alone = replace(story, questions=(story.questions[number],))
    return [e for _ in range(80) for e in archive.draw([alone], part, rng)]


@pytest.mark.parametrize(
    ("number", "kind", "told"),
    [
        (0, "archive", {"Nora Blum will build the Holm bridge."}),
        (
            1,
            "archive several",
            {
                "It costs 4 million euros.",
                "The Holm bridge costs 6 million euros.",
                "Steel rose in price.",
            },
        ),
    ],
)
def test_a_page_holds_the_answer_of_its_article_or_nothing_of_any(
    tmp_path: Path, number: int, kind: str, told: set[str]
) -> None:
    (story,) = read(tmp_path)
    made = drawn(story, number)
    assert {e.kind for e in made} == {kind}
    assert {e.page.text[slice(*span)] for e in made for span in e.answers} == told
    without = [e for e in made if not e.answers]
    assert without
    assert not any(sentence in e.page.text for e in without for sentence in told)


def test_a_near_miss_is_read_where_it_looks_most_like_answered(tmp_path: Path) -> None:
    (story,) = read(tmp_path)
    made = drawn(story, 2)
    assert not any(e.answers for e in made)
    assert {e.page.heading for e in made} == {"", "Holm gets a bridge", "Bridge is dearer"}
    assert any("Nora Blum" in e.page.text for e in made)


def test_a_story_is_for_one_part_alone(tmp_path: Path) -> None:
    (story,) = read(tmp_path)
    others = {"train", "fit", "test"} - {held_out(story.group)}
    assert not [e for part in others for e in archive.draw([story], part, random.Random(1))]
