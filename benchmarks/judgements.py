"""What the judge is trained on: claims, each with a page that supports it, contradicts it or leaves it open.

Labelled pairs come from files of {"claim", "evidence", "label", "origin"} (label "supported", "refuted" or
"not_enough_info"). Our own are made of paragraphs and of questions with their answers (SquadShifts, see
``benchmarks/asked.py``):

    repeated    a sentence of the page, as it is, in other words, or only its first part
    changed     the same with a name, number, word or "not" changed: contradicted
    both        the same change in sentence and page: supported
    stated      a question and its answer made into a statement, over the page that answers
    misstated   the same with another answer of its kind: contradicted
    open        a sentence or statement over the page without the sentence that says it

Every change has unchanged twins, so that neither the wording of a claim nor a likeness gives the verdict
away.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.altered import Swap, Thesaurus, swaps_for
from benchmarks.exercises import WIKIPEDIA, held_out, strangers, stretch
from benchmarks.reworded import with_synonyms
from kb.reader import Page
from kb.text import Span, names, normalise, sentence_spans

Row = dict[str, Any]
VERDICTS = ("supported", "contradicted", "not_found")
_LABELS = {"supported": 0, "refuted": 1, "not_enough_info": 2}
# How often the pairs of an origin are used: short sentences that were made by pattern add little each.
_SHARE = {"breaking_nli": 0.3, "med": 0.4, "monli": 0.4, "sick": 0.6}


@dataclass(frozen=True, slots=True)
class Judgement:
    """A claim, what it is held against, and the verdict, a place in ``VERDICTS``."""

    kind: str
    group: str
    claim: str
    page: Page
    verdict: int


def of_pairs(files: Sequence[Path], part: str, rng: random.Random) -> Iterator[Judgement]:
    """The labelled pairs of a part; pairs without evidence are left out."""
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                origin, evidence = str(row["origin"]), normalise(str(row["evidence"]))
                if (
                    not evidence
                    or held_out(str(row["claim"])) != part
                    or rng.random() > _SHARE.get(origin, 1)
                ):
                    continue
                claim = normalise(str(row["claim"]))
                yield Judgement(origin, claim, claim, Page("", evidence), _LABELS[row["label"]])


class Judgements:
    """Draws a fresh set of our own for every epoch."""

    def __init__(self, by_context: Mapping[str, Sequence[Row]], thesaurus: Thesaurus) -> None:
        self._by_context = by_context
        self._thesaurus = thesaurus
        self._names = strangers(by_context)

    def draw(self, part: str, rng: random.Random) -> Iterator[Judgement]:
        """Some dozen for every paragraph of Wikipedia; nobody checks what a review says of a kettle."""
        for context, rows in self._by_context.items():
            group = hashlib.sha256(context.encode()).hexdigest()
            if held_out(group) != part or rows[0]["domain"] != WIKIPEDIA:
                continue
            spans = [s for s in sentence_spans(context) if 40 <= s[1] - s[0] <= 320]
            for span in rng.sample(spans, min(len(spans), 4)):
                yield from self._of_sentence(context, group, span, rng)
            for row in rng.sample(list(rows), min(len(rows), 4)):
                yield from self._of_question(context, group, row, rng)

    def _of_sentence(self, context: str, group: str, span: Span, rng: random.Random) -> Iterator[Judgement]:
        page, without = self._page(context, span, rng), _without(context, span, rng)
        sentence = context[slice(*span)]
        said = self._in_other_words(sentence, rng)
        yield Judgement("repeated", group, said, page, 0)
        swaps = [s for s in self._swaps(sentence, context, rng) if s.stands_in(sentence)]
        if swaps:
            swap = rng.choice(swaps)
            yield Judgement("changed", group, self._in_other_words(swap.into(sentence), rng), page, 1)
            if rng.random() < 0.5:
                text = swap.exchanged(page.text)
                yield Judgement("both", group, swap.into(sentence), Page("", text), 0)
        if rng.random() < 0.25 and (opposite := _negated(sentence)):
            yield Judgement("changed", group, opposite, page, 1)
        if without and rng.random() < 0.6:
            yield Judgement("open", group, said, Page("", without), 2)

    def _of_question(self, context: str, group: str, row: Row, rng: random.Random) -> Iterator[Judgement]:
        answer = rng.choice(row["answers"])
        span = (int(answer["start"]), int(answer["start"]) + len(answer["text"]))
        own = next((s for s in sentence_spans(context) if s[0] <= span[0] < s[1]), span)
        statement = stated(str(row["question"]), str(answer["text"]))
        if statement is None:
            return
        page, without = self._page(context, own, rng), _without(context, own, rng)
        yield Judgement("stated", group, statement, page, 0)
        other = self._another(str(answer["text"]), context, rng)
        if other and (false := stated(str(row["question"]), other)):
            yield Judgement("misstated", group, false, page, 1)
        if without and rng.random() < 0.6:
            yield Judgement("open", group, statement, Page("", without), 2)

    def _swaps(self, sentence: str, context: str, rng: random.Random) -> list[Swap]:
        return swaps_for(f"… {sentence}", context, self._names, self._thesaurus, rng)

    def _page(self, context: str, span: Span, rng: random.Random) -> Page:
        """The sentence alone, or with some around it."""
        start, end = span if rng.random() < 0.5 else stretch(context, span, rng)
        return Page("", context[start:end])

    def _in_other_words(self, sentence: str, rng: random.Random) -> str:
        if rng.random() < 0.2:
            sentence = with_synonyms(sentence, self._thesaurus, rng)
        first, comma, _ = sentence.partition(", ")
        if comma and rng.random() < 0.3 and len(first.split()) >= 5:
            sentence = first.rstrip(" ,") + "."
        return sentence

    def _another(self, answer: str, context: str, rng: random.Random) -> str | None:
        """Another value of the same kind: a number for a number, a name of the page for a name."""
        digits = re.search(r"\d", answer)
        if digits:
            swaps = swaps_for(f"x {answer}", context, self._names, self._thesaurus, rng)
            swaps = [s for s in swaps if re.search(r"\d", s.old)]
            return rng.choice(swaps).into(answer) if swaps else None
        if not answer[:1].isupper():
            return None
        own = [context[s:e] for s, e in names(context)]
        there = [n for n in own if not set(n.lower().split()) & set(answer.lower().split())]
        pool = there if there and rng.random() < 0.6 else self._names
        return rng.choice(pool)


def _without(context: str, span: Span, rng: random.Random) -> str | None:
    left = [context[s:e] for s, e in sentence_spans(context) if e <= span[0] or s >= span[1]]
    if not left:
        return None
    at = rng.randrange(len(left))
    return " ".join(left[at : at + rng.randint(1, 4)])


_IS = re.compile(r"(?<=\w )(?:is|are|was|were|has|have|had|can|could|will|would|should)\b(?! not\b|n't)")


def _negated(sentence: str) -> str | None:
    match = _IS.search(sentence)
    return f"{sentence[: match.end()]} not{sentence[match.end() :]}" if match else None


_WHO_DOES = re.compile(
    r"(?:who|what|which \w+|what \w+) "
    r"(?!did|do|does|was the \w+ of|can|could|should|would|will|has|have|had|if)"
    r"(?P<rest>(?:is|was|are|were|\w+(?:s|ed|ew|ote|ught|ade|ad|an|on|ook|ave))\b .+)",
    re.IGNORECASE,
)
_WHEN_DONE = re.compile(
    r"(?:when|where|in what \w+|what year) (?P<be>was|were|is|are) (?P<x>.+) "
    r"(?P<done>\w+(?:ed|en|un|ilt|orn|ade))",
    re.IGNORECASE,
)


def stated(question: str, answer: str) -> str | None:
    """Question and answer as one statement, for the plainest forms of questions; else ``None``."""
    bare, answer = question.strip().rstrip("? "), answer.strip().rstrip(".")
    if match := _WHEN_DONE.fullmatch(bare):
        small = answer[:1].lower() + answer[1:] if re.match(r"(?:In|On|At|During)\b", answer) else answer
        place = "" if re.match(r"(?:in|on|at|during|from|by|near)\b", small) else "in "
        return f"{_capital(match['x'])} {match['be']} {match['done']} {place}{small}."
    if match := _WHO_DOES.fullmatch(bare):
        return f"{_capital(answer)} {match['rest']}."
    return None


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
