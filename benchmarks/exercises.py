"""What the reader is trained on: questions, each with a passage that answers it or does not.

From SquadShifts (questions with the words that answer them) and TREC QA (questions with the sentences that
do); see ``benchmarks/asked.py`` for both. A question comes with

    asked       a stretch of its own paragraph that holds the answer
    removed     its own paragraph without the sentences that hold the answer
    alike       a paragraph that our own retrieval ranks high for it and that does not hold the answer
    altered     its own paragraph, one thing in the question changed (``benchmarks/altered.py``)
    narrowed    its own paragraph, with a year or a name added to the question that the paragraph lacks
    turned      its own paragraph, asked why where the answer is a time or a place
    elsewhere   its own paragraph, one thing in the paragraph changed that the question relies on
    twin        the same change in both, so that the answer stands
    joined      another question joined to it, over a paragraph that answers one of the two

and is put in other words (``benchmarks/reworded.py``) and typed as people type: without a question mark, with
slips of the finger, in the style of a headline. Beside these, what something is may be asked of the sentence
that says so ("defined"), since people ask for more than names and figures.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.altered import Swap, Thesaurus, negated, swaps_for
from benchmarks.reworded import reworded
from kb.reader import Page
from kb.text import Span, names, sentence_spans

Row = dict[str, Any]
WIKIPEDIA = "new_wiki"


@dataclass(frozen=True, slots=True)
class Exercise:
    """A question and a page.

    ``answers`` are stretches of the page's text that answer; none says that the page does not. ``exact`` says
    whether they are the very words, or the sentences in which these are somewhere.
    """

    kind: str
    group: str
    question: str
    page: Page
    answers: tuple[Span, ...]
    exact: bool = True


def group_of(context: str) -> str:
    """The group of the questions about a paragraph."""
    return hashlib.sha256(context.encode()).hexdigest()


def held_out(group: str) -> str:
    """What the questions of a group (a paragraph) are for: "train", "fit" what comes after, or "test"."""
    place = int(hashlib.sha256(group.encode()).hexdigest(), 16) % 100
    return "test" if place < 5 else "fit" if place < 20 else "train"


# ------------------------------------------------------------------------------------ SquadShifts


class Exercises:
    """Draws a fresh set of exercises from the same questions for every epoch."""

    def __init__(self, by_context: Mapping[str, Sequence[Row]], alike: Mapping[str, Sequence[str]]) -> None:
        """``alike`` holds for questions the paragraphs that retrieval ranks highest."""
        self._alike = alike
        self.thesaurus = Thesaurus.of(by_context)
        self._names = strangers(by_context)
        self._rows = [(text, row) for text, rows in by_context.items() for row in rows]

    def draw(self, part: str, rng: random.Random) -> Iterator[Exercise]:
        """For the questions of a part the page that answers it and one or two others.

        Those of Wikipedia, whose prose is nearest to that of articles, come twice, and of the others (Reddit
        and product reviews) three in five.
        """
        for context, row in self._rows:
            group = group_of(context)
            if held_out(group) != part:
                continue
            for _ in range(2 if row["domain"] == WIKIPEDIA else int(rng.random() < 0.6)):
                yield from self._of_question(context, group, row, rng)
            if row["domain"] == WIKIPEDIA and rng.random() < 0.25:
                yield from self._defined(context, group, row, rng)

    def _of_question(self, context: str, group: str, row: Row, rng: random.Random) -> Iterator[Exercise]:
        question = str(row["question"]).strip()
        answers = _answers(context, row)
        made = [self._asked(question, context, answers, rng)]
        ways = rng.sample(_WAYS, len(_WAYS))
        made.append(next((e for way in ways if (e := way(self, question, context, row, answers, rng))), None))
        if rng.random() < 0.25:
            made.append(self._twin(question, context, row, answers, rng))
        for one in filter(None, made):
            asked = reworded(one.question, self.thesaurus, rng) if rng.random() < 0.35 else one.question
            yield replace(
                one,
                group=group,
                question=as_typed(asked, rng),
                page=replace(one.page, heading=_heading(context, rng)),
            )

    def _defined(self, context: str, group: str, row: Row, rng: random.Random) -> Iterator[Exercise]:
        """What something is, asked of a text with the sentence that says so, and of one without."""
        spans = sentence_spans(context)
        found = [(match, span) for span in spans if (match := _DEFINITION.match(context[slice(*span)]))]
        if not found:
            return
        match, span = rng.choice(found)
        question = rng.choice(_ASKING_FOR_ONE).format(re.sub(r"^(?:The|An?) ", "", match["what"]))
        start, end = stretch(context, span, rng)
        page, inside = Page("", context[start:end]), (span[0] - start, span[1] - start)
        yield Exercise("defined", group, as_typed(question, rng), page, (inside,), exact=False)
        others = [s for s in spans if match["what"].lower() not in context[slice(*s)].lower()]
        if others:
            text = " ".join(context[slice(*s)] for s in others)
            a, b = stretch(text, (0, 0), rng, anywhere=True)
            yield Exercise("defined", group, as_typed(question, rng), Page("", text[a:b]), ())

    def _asked(
        self, question: str, context: str, answers: Sequence[Span], rng: random.Random, kind: str = "asked"
    ) -> Exercise | None:
        start, end = stretch(context, rng.choice(answers), rng)
        inside = [(s - start, e - start) for s, e in answers if s >= start and e <= end]
        return Exercise(kind, "", question, Page("", context[start:end]), tuple(inside))

    def _removed(
        self, question: str, context: str, row: Row, answers: Sequence[Span], rng: random.Random
    ) -> Exercise | None:
        said = {context[s:e].lower() for s, e in answers}
        left = [
            context[s:e]
            for s, e in sentence_spans(context)
            if not any(s < b and a < e for a, b in answers)
            and not any(a in context[s:e].lower() for a in said)
        ]
        if not left:
            return None
        text = " ".join(left)
        start, end = stretch(text, (0, 0), rng, anywhere=True)
        return Exercise("removed", "", question, Page("", text[start:end]), ())

    def _look_alike(
        self, question: str, context: str, row: Row, answers: Sequence[Span], rng: random.Random
    ) -> Exercise | None:
        said = {context[s:e].lower() for s, e in answers}
        others = [
            text
            for text in self._alike.get(question, ())
            if text != context and not any(a in text.lower() for a in said)
        ]
        if not others:
            return None
        text = others[min(int(rng.expovariate(0.5)), len(others) - 1)]
        start, end = stretch(text, (0, 0), rng, anywhere=True)
        return Exercise("alike", "", question, Page("", text[start:end]), ())

    def _swap(
        self, question: str, context: str, answers: Sequence[Span], rng: random.Random, *, both: bool
    ) -> Swap | None:
        """A change of something other than the answer; ``both``: of something that stands in both."""
        swaps = swaps_for(question, context, self._names, self.thesaurus, rng)
        swaps = [s for s in swaps if not both or s.stands_in(context)]
        swaps = [s for s in swaps if not any(s.stands_in(context[a:b]) for a, b in answers)]
        return rng.choice(swaps) if swaps else None

    def _altered(
        self, question: str, context: str, row: Row, answers: Sequence[Span], rng: random.Random
    ) -> Exercise | None:
        swap = self._swap(question, context, answers, rng, both=rng.random() < 0.6)
        if rng.random() < 0.06:
            changed = negated(question)
        else:
            changed = swap.into(question) if swap else None
        if changed is None or changed.lower() == question.lower():
            return None
        made = self._asked(changed, context, answers, rng, "altered")
        return replace(made, answers=()) if made else None

    def _narrowed(
        self, question: str, context: str, row: Row, answers: Sequence[Span], rng: random.Random
    ) -> Exercise | None:
        """With a condition at the end. One that the answering sentence meets leaves the answer standing."""
        start, end = rng.choice(answers)
        sentence = next((context[a:b] for a, b in sentence_spans(context) if a <= start < b), "")
        said = context[start:end].lower()
        if rng.random() < 0.3:
            there = [sentence[a:b] for a, b in names(sentence) if a > 0] + _YEAR.findall(sentence)
            kept = [n for n in there if n.lower() not in question.lower() and n.lower() not in said]
            if not kept:
                return None
            added = rng.choice(kept)
        else:
            added = rng.choice(self._names) if rng.random() < 0.5 else str(rng.randint(1600, 2020))
            if added.lower() in f"{context} {question}".lower():
                return None
            sentence = ""
        word = "in" if _YEAR.fullmatch(added) else rng.choice(("in", "of", "for", "with", "at", "by"))
        narrowed = f"{question.rstrip('? ')} {word} {added}?"
        made = self._asked(narrowed, context, [(start, end)], rng, "narrowed")
        return made if made is None or sentence else replace(made, answers=())

    def _turned(
        self, question: str, context: str, row: Row, answers: Sequence[Span], rng: random.Random
    ) -> Exercise | None:
        changed = re.sub(r"^(?:when|where)(?= (?:did|was|were|is|does|do)\b)", "Why", question, flags=re.I)
        if changed == question:
            return None
        made = self._asked(changed, context, answers, rng, "turned")
        return replace(made, answers=()) if made else None

    def _elsewhere(
        self, question: str, context: str, row: Row, answers: Sequence[Span], rng: random.Random
    ) -> Exercise | None:
        swap = self._swap(question, context, answers, rng, both=True)
        if swap is None:
            return None
        start, end = stretch(context, rng.choice(answers), rng)
        own = context[start:end]
        changed = swap.exchanged(own)
        return Exercise("elsewhere", "", question, Page("", changed), ()) if changed != own else None

    def _twin(
        self, question: str, context: str, row: Row, answers: Sequence[Span], rng: random.Random
    ) -> Exercise | None:
        swap = self._swap(question, context, answers, rng, both=True)
        if swap is None:
            return None
        start, end = stretch(context, rng.choice(answers), rng)
        # The answer is kept whole: what comes before, between and after is changed.
        parts, at, inside = "", start, []
        for a, b in sorted(set(answers)):
            if a < at or b > end:
                continue
            parts += swap.exchanged(context[at:a])
            inside.append((len(parts), len(parts) + b - a))
            parts, at = parts + context[a:b], b
        parts += swap.exchanged(context[at:end])
        return Exercise("twin", "", swap.into(question), Page("", parts), tuple(inside)) if inside else None

    def _joined(
        self, question: str, context: str, row: Row, answers: Sequence[Span], rng: random.Random
    ) -> Exercise | None:
        other_context, other = rng.choice(self._rows)
        if held_out(group_of(other_context)) == "test":
            return None
        parts = [question.rstrip("?"), str(other["question"]).strip().rstrip("?")]
        rng.shuffle(parts)
        together = rng.choice((", and ", " and ", "? ")).join(parts) + "?"
        if rng.random() < 0.5:
            return self._asked(together, context, answers, rng, "joined")
        nothing = self._look_alike(question, context, row, answers, rng)
        return replace(nothing, kind="joined", question=together) if nothing else None


_WAYS = [
    *[Exercises._removed] * 3,
    *[Exercises._look_alike] * 4,
    *[Exercises._altered] * 6,
    *[Exercises._narrowed] * 2,
    *[Exercises._turned] * 2,
    *[Exercises._elsewhere] * 4,
    *[Exercises._joined] * 1,
]

_YEAR = re.compile(r"\b1[5-9]\d\d\b|\b20[0-2]\d\b")
_DEFINITION = re.compile(
    r"(?P<what>(?:The |An? )?"
    r"(?!(?:It|This|That|These|Those|They|He|She|We|I|There|One|Its|His|Her|Their)\b)"
    r"[A-Z][\w'’-]*(?: [\w'’-]+){0,4}?)(?: \([^)]*\))?(?:, [^,]{3,60},)? "
    r"(?:is|was|are|were|refers to|means|consists of) (?:an?|the|one of|any|used|known|located|defined)\b"
)
_ASKING_FOR_ONE = (
    *["what is {}?"] * 4,
    "who is {}?",
    "{}",
    "describe {}",
    "tell me about {}",
    "what is meant by {}?",
    "define {}",
    "explain {}",
    "what does {} mean?",
    "what was {}?",
)


def strangers(by_context: Mapping[str, Sequence[Row]]) -> list[str]:
    """The names in the paragraphs of Wikipedia, to put in the place of others."""
    wiki = [text for text, rows in by_context.items() if rows[0]["domain"] == WIKIPEDIA]
    return sorted({text[s:e] for text in wiki for s, e in names(text) if e - s > 3 and s > 0})


def _answers(context: str, row: Row) -> list[Span]:
    return sorted({(a["start"], a["start"] + len(a["text"])) for a in row["answers"]})


def stretch(text: str, around: Span, rng: random.Random, *, anywhere: bool = False) -> Span:
    """Whole sentences next to each other that hold ``around``, 150 to 800 characters if the text has them."""
    spans = sentence_spans(text) or [(0, len(text))]
    wanted = rng.randint(150, 800)
    if anywhere:
        around = rng.choice(spans)
    first = max((i for i, (s, _) in enumerate(spans) if s <= around[0]), default=0)
    last = min((i for i, (_, e) in enumerate(spans) if e >= around[1]), default=len(spans) - 1)
    first, last = min(first, last), max(first, last)
    while spans[last][1] - spans[first][0] < wanted and (first > 0 or last < len(spans) - 1):
        if first > 0 and (last == len(spans) - 1 or rng.random() < 0.5):
            first -= 1
        else:
            last += 1
    return min(spans[first][0], around[0]), max(spans[last][1], around[1])


def without(text: str, answers: Sequence[Span]) -> str:
    """The sentences of a text that hold nothing of the answers."""
    spans = sentence_spans(text)
    return " ".join(text[a:b] for a, b in spans if not any(a < d and c < b for c, d in answers))


def _heading(text: str, rng: random.Random) -> str:
    """The name that a text speaks of most, in the place of the title that these paragraphs lack."""
    found = Counter(text[s:e] for s, e in names(text))
    return found.most_common(1)[0][0] if found and rng.random() < 0.4 else ""


# ------------------------------------------------------------------------------------------- TREC


def of_sentences(
    pairs: Mapping[str, Sequence[tuple[str, bool]]], part: str, rng: random.Random
) -> Iterator[Exercise]:
    """Pages of two to six sentences of one question, with one that answers or none."""
    for question, found in pairs.items():
        if held_out(question) != part:
            continue
        right = [s for s, label in found if label]
        wrong = [s for s, label in found if not label]
        for answer in [*rng.sample(right, min(3, len(right))), *[None] * min(3, len(wrong) // 2)]:
            sentences = rng.sample(wrong, min(len(wrong), rng.randint(1, 4)))
            place = rng.randint(0, len(sentences))
            if answer is not None:
                sentences.insert(place, answer)
            starts = [sum(len(s) + 1 for s in sentences[:i]) for i in range(len(sentences))]
            spans = tuple((a, a + len(s)) for a, s in zip(starts, sentences, strict=True) if s in right)
            yield Exercise(
                "news", question, as_typed(question, rng), Page("", " ".join(sentences)), spans, exact=False
            )


# -------------------------------------------------------------------------------- as people type

_WRAPPED = (
    "can you tell me {}",
    "I would like to know {}",
    "please tell me: {}",
    "{} according to the article",
    "according to the report, {}",
    "do you know {}",
    "what do the documents say: {}",
)
_DROPPED = re.compile(r"\b(?:the|a|an|is|are|was|were|do|does|did)\b\s*", re.IGNORECASE)


def as_typed(question: str, rng: random.Random) -> str:
    if rng.random() < 0.3:
        question = question.rstrip("? ")
    chance = rng.random()
    if chance < 0.06:
        bare = question.rstrip("? ")
        question = rng.choice(_WRAPPED).format(bare[:1].lower() + bare[1:]) + rng.choice(("", "?"))
    elif chance < 0.12:
        question = _DROPPED.sub("", question)
    elif chance < 0.2:
        question = _slip(question, rng)
    return question


def _slip(question: str, rng: random.Random) -> str:
    """One long word with two letters in the wrong order, or one letter missing or doubled."""
    found = list(re.finditer(r"[a-z]{5,}", question))
    if not found:
        return question
    match = rng.choice(found)
    i = rng.randint(match.start() + 1, match.end() - 2)
    a, b = question[i], question[i + 1]
    return question[:i] + rng.choice((b + a, b, a + a + b)) + question[i + 2 :]
