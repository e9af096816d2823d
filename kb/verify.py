"""Does this text support this claim? The one judge, by the rules of a careful sub-editor.

A claim is held against the sentences that are nearest to it. Evidence must be about the same thing
before anything is said; then numbers, dates, names and negations are compared one by one, and the first
that differs is named in the explanation. What no rule can settle is ``not_found``: a human has to look.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kb import claims
from kb.claims import Claim
from kb.extract import Candidate, Embed, candidates, cite
from kb.text import (
    Amount,
    Date,
    amounts,
    content_words,
    dates,
    fold,
    names,
    word_set,
    words,
)
from kb.types import Hit, Judgement, Verdict

Find = Callable[[str], Sequence[Hit]]

# How much of the claim must stand in the evidence, and how near both must be, to be about the same thing.
_SAME_THING = 0.5
_SAME_CLAIM = 0.7
_NEAR = 0.5
_CONSIDERED = 6

_NEGATION = re.compile(
    r"\b(?:not|no|never|none|neither|nor|without|cannot|fails? to|failed to|denie[sd]|refused? to)\b"
    r"|n['\u2019]t\b",
    re.IGNORECASE,
)
_AT_LEAST = re.compile(
    r"\b(?:over|more than|at least|above|exceed(?:s|ed|ing)?|upwards? of)\s+$", re.IGNORECASE
)
# "up to 256" is not here: it names a ceiling, and a source with the ceiling 128 says something else.
_AT_MOST = re.compile(r"\b(?:under|less than|fewer than|below)\s+$", re.IGNORECASE)
_ABOUT = re.compile(
    r"\b(?:about|around|roughly|some|nearly|almost|approximately|close to|an estimated)\s+$", re.IGNORECASE
)
_OPPOSITES = [
    (word_set(one), word_set(other))
    for one, other in (
        ("rise rises rose risen rising", "fall falls fell fallen falling"),
        ("increase increases increased increasing", "decrease decreases decreased decreasing"),
        ("grow grows grew grown growing", "shrink shrinks shrank shrunk shrinking"),
        ("approve approves approved approving approval", "reject rejects rejected rejecting rejection"),
        ("accept accepts accepted", "refuse refuses refused reject rejects rejected"),
        ("support supports supported", "oppose opposes opposed"),
        ("win wins won winning", "lose loses lost losing"),
        ("open opens opened", "close closes closed"),
        ("buy buys bought", "sell sells sold"),
        ("profit profits", "loss losses"),
        ("higher", "lower"),
        ("faster", "slower"),
        ("highest largest biggest", "lowest smallest"),
        ("import imports imported", "export exports exported"),
    )
]

_TITLES = word_set("mr mrs ms dr prof sir")


@dataclass(frozen=True, slots=True)
class Finding:
    """What one sentence says of a claim, and how surely (0...1)."""

    verdict: Judgement
    strength: float
    explanation: str
    evidence: Candidate


def check(text: str, find: Find, embed: Embed) -> tuple[Verdict, ...]:
    """A verdict for each statement of ``text``; what is no claim is left alone, and says so."""
    return tuple(_verdict(text, claim, find, embed) for claim in claims.split(text))


_LEFT_ALONE = {
    "opinion": "This is an opinion, which no document can settle; it was not checked.",
    "question": "This is a question, not a claim; it was not checked.",
    "instruction": "This is an instruction, not a claim; it was not checked.",
}


def _verdict(text: str, part: Claim, find: Find, embed: Embed) -> Verdict:
    start, end = part.start, part.end
    claim = text[start:end]
    if part.kind != "claim":
        return Verdict(claim, start, end, "not_found", 1.0, _LEFT_ALONE[part.kind], kind=part.kind)
    near = _nearest(part.alone, find(part.alone), embed)
    findings = [judge(part.alone, evidence, nearness) for evidence, nearness in near]
    decided = [f for f in findings if f.verdict != "not_found"]
    if not decided:
        closest = max(findings, key=lambda f: f.strength, default=None)
        why = closest.explanation if closest else "No document says anything about this."
        return Verdict(claim, start, end, "not_found", 1.0 - (closest.strength if closest else 0.0), why)
    best = max(decided, key=lambda f: (f.strength, f.verdict == "supported"))
    agreeing = [f for f in decided if f.verdict == best.verdict][:3]
    agreeing.sort(key=lambda f: f is not best)
    citations = tuple(
        cite(n, f.evidence.hit, f.evidence.start, f.evidence.end) for n, f in enumerate(agreeing, start=1)
    )
    return Verdict(claim, start, end, best.verdict, best.strength, best.explanation, citations)


def _nearest(claim: str, hits: Sequence[Hit], embed: Embed) -> list[tuple[Candidate, float]]:
    found = candidates(hits)
    if not found:
        return []
    vectors = embed([claim, *(c.text for c in found)])
    near = vectors[1:] @ vectors[0]
    worth = [float(near[i]) + _shared(claim, c) for i, c in enumerate(found)]
    order = np.argsort([-w for w in worth], kind="stable")[:_CONSIDERED]
    return [(found[i], float(near[i])) for i in order]


def judge(claim: str, evidence: Candidate, near: float) -> Finding:
    """What one sentence says of a claim; ``near`` is the cosine similarity of the two."""
    if _plain(claim) in _plain(evidence.text):
        return Finding("supported", 1.0, "The source says this word for word.", evidence)
    shared = _shared(claim, evidence)
    strength = min(1.0, max(0.0, (shared + near) / 2))
    if shared < _SAME_THING or near < _NEAR:
        return Finding("not_found", strength, "The closest passage is about something else.", evidence)
    for rule in (_amounts_differ, _dates_differ, _negation_differs, _opposites):
        difference = rule(claim, evidence.text)
        if difference:
            return Finding("contradicted", strength, difference, evidence)
    missing = _missing(claim, evidence)
    if missing:
        return Finding("not_found", strength, f"The closest passage does not mention {missing}.", evidence)
    if shared >= _SAME_CLAIM:
        return Finding("supported", strength, "The source says the same.", evidence)
    return Finding("not_found", strength, "The closest passage leaves part of this open.", evidence)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", fold(text)))


def _shared(claim: str, evidence: Candidate) -> float:
    """The share of the claim's content words in the evidence; those only in its context count half."""
    asked = {w.stem for w in content_words(claim)}
    if not asked:
        return 0.0
    source = evidence.hit
    around = " ".join((source.source.title, source.passage.section or "", evidence.before))
    context = {w.stem for w in content_words(around)}
    return sum(1.0 if s in evidence.stems else 0.5 if s in context else 0.0 for s in asked) / len(asked)


def _amounts_differ(claim: str, evidence: str) -> str | None:
    """The first amount of the claim for which the evidence has another one of the same unit instead."""
    there, mine = _quantities(evidence), _quantities(claim)
    for amount in mine:
        same_unit = [a for a in there if (a.kind, a.unit) == (amount.kind, amount.unit)]
        if amount.kind == "count":
            same_unit = [a for a in same_unit if _counted(evidence, a) & _counted(claim, amount)]
        free = [a for a in same_unit if not any(_equal(a, m) for m in mine)]
        if free and not any(_agrees(claim, amount, a) for a in same_unit):
            said, claimed = evidence[free[0].start : free[0].end], claim[amount.start : amount.end]
            return f"The source says {said}, the claim says {claimed}."
    return None


def _quantities(text: str) -> list[Amount]:
    """The amounts in a text that are no part of a date."""
    dated = dates(text)
    return [
        a
        for a in amounts(text)
        if a.kind != "year" and not (a.kind == "count" and any(d.start <= a.start < d.end for d in dated))
    ]


def _equal(one: Amount, other: Amount) -> bool:
    return (one.kind, one.unit) == (other.kind, other.unit) and abs(one.value - other.value) <= 1e-9 * abs(
        one.value
    )


def _agrees(claim: str, amount: Amount, other: Amount) -> bool:
    """Whether an amount of the claim, with "over" or "about" before it, holds for one of the evidence."""
    if _equal(amount, other):
        return True
    if (amount.kind, amount.unit) != (other.kind, other.unit):
        return False
    before = claim[: amount.start]
    return bool(
        (_AT_LEAST.search(before) and other.value >= amount.value)
        or (_AT_MOST.search(before) and other.value <= amount.value)
        or (_ABOUT.search(before) and abs(other.value - amount.value) <= 0.1 * abs(other.value))
    )


def _counted(text: str, amount: Amount) -> set[str]:
    """The stems of the words right after a bare number: what it counts."""
    return {w.stem for w in content_words(text[amount.end :])[:2]}


def _dates_differ(claim: str, evidence: str) -> str | None:
    mine, there = dates(claim), dates(evidence)
    for date in mine:
        if there and not any(_compatible(date, other) for other in there):
            other = there[0]
            said, claimed = evidence[other.start : other.end], claim[date.start : date.end]
            return f"The source says {said}, the claim says {claimed}."
    return None


def _compatible(one: Date, other: Date) -> bool:
    parts = zip((one.year, one.month, one.day), (other.year, other.month, other.day), strict=True)
    return all(a is None or b is None or a == b for a, b in parts)


def _negation_differs(claim: str, evidence: str) -> str | None:
    negated, there = bool(_NEGATION.search(claim)), bool(_NEGATION.search(evidence))
    if negated == there:
        return None
    return "The claim denies what the source says." if negated else "The source denies what the claim says."


def _opposites(claim: str, evidence: str) -> str | None:
    """A word of the claim in whose place the evidence has its opposite."""
    mine, there = ({w.text.lower() for w in words(text)} for text in (claim, evidence))
    for one, other in (*_OPPOSITES, *((b, a) for a, b in _OPPOSITES)):
        said, claimed = there & other, mine & one
        if said and claimed and not there & one and not mine & other:
            return f"The source says \u201c{min(said)}\u201d, the claim says \u201c{min(claimed)}\u201d."
    return None


def _missing(claim: str, evidence: Candidate) -> str | None:
    """The first name, amount or date of the claim that the evidence and its heading do not have."""
    source = evidence.hit
    around = " ".join((source.source.title, source.passage.section or "", source.passage.text))
    stems = {w.stem for w in words(around)} | {w.text.lower() for w in words(around)}
    for start, end in names(claim):
        parts = [w for w in content_words(claim[start:end]) if w.text.lower() not in _TITLES]
        if not all(w.stem in stems or w.text.lower() in stems for w in parts):
            return claim[start:end]
    there = amounts(source.passage.text)
    for amount in amounts(claim):
        if amount.kind in {"money", "percent", "measure"} and not any(
            _agrees(claim, amount, a) for a in there
        ):
            return claim[amount.start : amount.end]
    return None
