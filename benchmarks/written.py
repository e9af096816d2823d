"""Questions written for this project about paragraphs of SquadShifts, for training the reader and for fitting
what comes after: near misses as people make them, and what is typed by who has not seen the text.

The questions are in ``written.tsv``, one a line: the paragraph (the first 12 digits of its SHA-256), the
kind, the stretches of the paragraph that answer ("start-end" in characters, separated by commas) and the
question. A language model wrote them paragraph by paragraph, told what near misses people make (Rajpurkar,
Jia and Liang, ACL 2018, table 2). The paragraphs are not ours and not in this repository. The kinds:

    near        looks as if the paragraph answered it; it does not
    searched    typed by someone who has not seen the paragraph; a sentence or two answer
    open        the same, asking why, how or what something is; whole sentences answer
    untold      the same, about something that the paragraph speaks of but does not tell
    plain       well-formed, in other words than the paragraph; a sentence or two answer
    several     needs two paragraphs together, and stands there once for each, with what bears on it

A near miss may be about two paragraphs as well; neither tells any part of it then.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.exercises import Exercise, as_typed, group_of, held_out, stretch, without
from kb.reader import Page
from kb.text import Span

FILE = Path(__file__).with_name("written.tsv")


@dataclass(frozen=True, slots=True)
class Written:
    """A question about a paragraph, and the stretches of it that answer; none for ``near`` and ``untold``."""

    kind: str
    question: str
    answers: tuple[Span, ...]


def read(contexts: Sequence[str], file: Path = FILE) -> dict[str, list[Written]]:
    """The questions by paragraph; those about other paragraphs than ``contexts`` are passed over."""
    known = {group_of(context)[:12]: context for context in contexts}
    found: dict[str, list[Written]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        paragraph, kind, places, question = line.split("\t")
        if paragraph in known:
            spans = tuple(_span(place) for place in places.split(",") if place)
            found.setdefault(known[paragraph], []).append(Written(kind, question, spans))
    return found


def places(written: Mapping[str, Sequence[Written]]) -> dict[str, dict[str, Written]]:
    """For each question by its text the paragraphs that it is about, as it is asked of each."""
    found: dict[str, dict[str, Written]] = {}
    for context, questions in written.items():
        for one in questions:
            found.setdefault(one.question, {})[context] = one
    return found


def _span(place: str) -> Span:
    start, end = place.split("-")
    return int(start), int(end)


def draw(
    written: Mapping[str, Sequence[Written]],
    alike: Mapping[str, Sequence[str]],
    part: str,
    rng: random.Random,
) -> Iterator[Exercise]:
    """The questions about paragraphs of a part, each on a stretch of its own paragraph; one that is answered
    there also on a page that does not answer it: the paragraph without its answer, or one of those that
    retrieval ranks high for it (``alike``, by question)."""
    answering = places(written)
    for context, questions in written.items():
        group = group_of(context)
        if held_out(group) != part:
            continue
        for one in questions:
            others = [text for text in alike.get(one.question, ()) if text not in answering[one.question]]
            for page, answers in _pages(context, one, others, rng):
                question = as_typed(one.question, rng)
                # How a question is written must not give away whether it is answered.
                if rng.random() < 0.3 and one.kind in {"near", "plain", "several"}:
                    question = question.lower().rstrip("? ")
                elif rng.random() < 0.3:
                    question = f"{question[:1].upper()}{question[1:].rstrip('? ')}?"
                yield Exercise(one.kind, group, question, page, answers, exact=False)


def _pages(
    context: str, one: Written, others: Sequence[str], rng: random.Random
) -> Iterator[tuple[Page, tuple[Span, ...]]]:
    if not one.answers:
        start, end = stretch(context, (0, 0), rng, anywhere=True)
        yield Page("", context[start:end]), ()
        return
    around = one.answers[0][0], one.answers[-1][1]
    start, end = stretch(context, around, rng)
    yield Page("", context[start:end]), tuple((a - start, b - start) for a, b in one.answers)
    left = without(context, one.answers)
    text = rng.choice(others[:4]) if others and (not left or rng.random() < 0.5) else left
    if text:
        start, end = stretch(text, (0, 0), rng, anywhere=True)
        yield Page("", text[start:end]), ()
