"""A newspaper archive that was invented for this project, and questions about it: for training the reader and
for fitting what comes after.

The archive is ``archive.jsonl``, one article or question a line, story by story: {"story", "article": "a",
"title", "outlet", "date", "sentences"} and {"story", "kind", "question", "answers": {"a": [3], "c": [1]}},
which names for each article that answers, or bears on the answer, the sentences that do, from 1. A language
model wrote both, story by story: four articles, most of different outlets, which overlap, and 25 questions as
people ask who have not seen them. People, firms and events are invented. The kinds of questions:

    plain, searched, open, near, untold     as in ``benchmarks/written.py``; any article named answers
    several         needs two or more of the articles together; each named bears on the answer
    several_near    the same form, but no article tells any part of it
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.exercises import Exercise, as_typed, held_out, stretch, without
from kb.reader import Page
from kb.text import Span, content_words

FILE = Path(__file__).with_name("archive.jsonl")


@dataclass(frozen=True, slots=True)
class Article:
    title: str
    outlet: str
    date: str
    text: str


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and for the articles that answer (by index in the story) the stretches that do."""

    kind: str
    text: str
    answers: Mapping[int, tuple[Span, ...]]


@dataclass(frozen=True, slots=True)
class Story:
    """``group``: what all its questions belong to when some are held out."""

    group: str
    articles: tuple[Article, ...]
    questions: tuple[Question, ...]


def read(file: Path = FILE) -> list[Story]:
    found: dict[int, list[dict[str, object]]] = {}
    with file.open(encoding="utf-8") as lines:
        for line in map(json.loads, lines):
            found.setdefault(line["story"], []).append(line)
    return [_story(number, lines) for number, lines in found.items()]


def _story(number: int, lines: Sequence[Mapping[str, object]]) -> Story:
    articles: list[Article] = []
    place: dict[str, int] = {}
    spans: list[list[Span]] = []
    questions = []
    for line in lines:
        if "article" in line:
            sentences: Sequence[str] = line["sentences"]  # type: ignore[assignment]
            starts = [sum(len(s) + 1 for s in sentences[:i]) for i in range(len(sentences))]
            place[str(line["article"])] = len(articles)
            spans.append([(a, a + len(s)) for a, s in zip(starts, sentences, strict=True)])
            articles.append(
                Article(str(line["title"]), str(line["outlet"]), str(line["date"]), " ".join(sentences))
            )
        else:
            told: Mapping[str, Sequence[int]] = line["answers"]  # type: ignore[assignment]
            answers = {place[a]: tuple(spans[place[a]][n - 1] for n in sorted(ns)) for a, ns in told.items()}
            questions.append(Question(str(line["kind"]), str(line["question"]), answers))
    return Story(f"story number {number}", tuple(articles), tuple(questions))


def draw(stories: Sequence[Story], part: str, rng: random.Random) -> Iterator[Exercise]:
    """The questions about the stories of a part: each on a stretch of every article that answers it, on one
    that does not, and half the time on one of the first without its answer; or on the two of its story that
    look most like an answer if none does."""
    for story in stories:
        if held_out(story.group) != part:
            continue
        for one in story.questions:
            kind = "archive several" if one.kind.startswith("several") else "archive"
            for page, answers in _pages(story, one, rng):
                question = as_typed(one.text, rng)
                # As in a search box, whether answered or not.
                if one.kind != "searched" and rng.random() < 0.2:
                    question = question.lower().rstrip("? ")
                yield Exercise(kind, story.group, question, page, answers, exact=False)


def _pages(story: Story, one: Question, rng: random.Random) -> Iterator[tuple[Page, tuple[Span, ...]]]:
    for n, answers in one.answers.items():
        article = story.articles[n]
        start, end = stretch(article.text, (answers[0][0], answers[-1][1]), rng)
        title = article.title if rng.random() < 0.8 else ""
        yield Page(title, article.text[start:end]), tuple((a - start, b - start) for a, b in answers)
    asked = _stems(one.text)
    others = [a for n, a in enumerate(story.articles) if n not in one.answers]
    others.sort(key=lambda a: -len(asked & _stems(f"{a.title} {a.text}")))
    for article in others[: 1 if one.answers else 2]:
        start, end = stretch(article.text, (0, 0), rng, anywhere=True)
        yield Page(article.title if rng.random() < 0.8 else "", article.text[start:end]), ()
    if one.answers and rng.random() < 0.5:
        n = rng.choice(list(one.answers))
        article, answers = story.articles[n], one.answers[n]
        told = frozenset().union(*(_stems(article.text[a:b]) for a, b in answers))
        if text := without(article.text, answers):
            # A title that says what the sentences said would answer in their place.
            title = "" if _stems(article.title) & told - asked else article.title
            yield Page(title, text), ()


def _stems(text: str) -> frozenset[str]:
    return frozenset(word.stem for word in content_words(text))
