"""Documents to passages: whole sentences, packed within a section to about a target size, no overlap.

Offsets are those of the sentences; nothing is searched for, and nothing but white space is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from kb.text import sentence_spans
from kb.types import Document, Passage, Section

CHARACTERS_PER_TOKEN = 16
"""A tokenizer may count a line of 5,000 letters as one unknown token; a passage is never longer than this."""

_INSIDE_PARAGRAPH = 0.15
_AFTER_HEADING = 10.0
"""What it costs to end a passage there, on the scale of ``_misfit``: an empty passage costs 1."""

CountTokens = Callable[[Sequence[str]], list[int]]


@dataclass(frozen=True, slots=True)
class _Unit:
    """A sentence, or a piece of one that is too long; ``cost`` is that of ending a passage after it."""

    start: int
    end: int
    tokens: int
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class _Region:
    """The text between two headings; ``body`` is the offset at which its own heading line ends."""

    start: int
    body: int
    end: int
    section: Section | None


def split(
    document: Document, count_tokens: CountTokens, *, target: int = 160, limit: int = 220
) -> tuple[Passage, ...]:
    """The passages of a document, each of about ``target`` and at most ``limit`` tokens.

    A passage keeps to one section, except that a heading without text of its own opens the passage of
    the heading below it. An entry of a FAQ that fits is one passage.
    """
    regions = list(_regions(document))
    units = _units(document.text, regions, count_tokens, limit)
    passages: list[Passage] = []
    for region, group in _merged(regions, units, limit):
        for start, end in _packed(group, target, limit):
            passages.append(
                Passage(
                    document_id=document.id,
                    ordinal=len(passages),
                    start=start,
                    end=end,
                    text=document.text[start:end],
                    section=region.section.title if region.section else None,
                    page=document.page_at(start),
                )
            )
    return tuple(passages)


def _regions(document: Document) -> Iterator[_Region]:
    length = len(document.text)
    sections = sorted(document.sections, key=lambda section: section.start)
    if not sections or sections[0].start > 0:
        yield _Region(0, 0, sections[0].start if sections else length, None)
    for index, section in enumerate(sections):
        end = sections[index + 1].start if index + 1 < len(sections) else length
        line_end = document.text.find("\n", section.start, end)
        yield _Region(section.start, line_end if line_end >= 0 else end, end, section)


def _merged(
    regions: Sequence[_Region], units: Sequence[list[_Unit]], limit: int
) -> Iterator[tuple[_Region, list[_Unit]]]:
    """Regions with their units, headings without text put before the region below where that fits."""
    waiting: list[_Unit] = []
    owner: _Region | None = None
    for region, own in zip(regions, units, strict=True):
        if (
            waiting
            and owner is not None
            and _tokens(waiting) + _tokens(own) > limit
            and _fits_alone(region, own, limit)
        ):
            yield owner, waiting
            waiting = []
        group, owner = [*waiting, *own], region
        heading_only = region.section is not None and bool(own) and own[-1].end <= region.body
        if heading_only and _tokens(group) <= limit // 2:
            waiting = group
            continue
        waiting = []
        yield region, group
    if waiting and owner is not None:
        yield owner, waiting


def _fits_alone(region: _Region, own: Sequence[_Unit], limit: int) -> bool:
    """Whether a region is a FAQ entry that headings above it would break apart."""
    return region.section is not None and region.section.is_question and _tokens(own) <= limit


def _tokens(units: Sequence[_Unit]) -> int:
    return sum(unit.tokens for unit in units)


# ----------------------------------------------------------------------------------------- packing


def _packed(units: Sequence[_Unit], target: int, limit: int) -> Iterator[tuple[int, int]]:
    """Runs of units as offsets: all in one if that fits, else the cheapest way to cut them."""
    if not units:
        return
    if _tokens(units) <= limit:
        yield units[0].start, units[-1].end
        return
    for first, last in pairwise(_cuts(units, target, limit)):
        yield units[first].start, units[last - 1].end


def _cuts(units: Sequence[_Unit], target: int, limit: int) -> list[int]:
    """Where to cut, by dynamic programming: ``best[n]`` is the least cost of packing the first n units."""
    best, came_from = [0.0], [0]
    for last in range(1, len(units) + 1):
        tokens, cheapest, origin = 0, float("inf"), last - 1
        for first in range(last - 1, -1, -1):
            tokens += units[first].tokens
            if tokens > limit and first < last - 1:
                break
            cost = best[first] + _misfit(tokens, target) + (units[last - 1].cost if last < len(units) else 0)
            if cost < cheapest:
                cheapest, origin = cost, first
        best.append(cheapest)
        came_from.append(origin)
    cuts = [len(units)]
    while cuts[-1]:
        cuts.append(came_from[cuts[-1]])
    return cuts[::-1]


def _misfit(tokens: int, target: int) -> float:
    return ((tokens - target) / target) ** 2


# ------------------------------------------------------------------------------------------- units


def _units(text: str, regions: Sequence[_Region], count_tokens: CountTokens, limit: int) -> list[list[_Unit]]:
    """The sentences of each region, counted in one call; those over the limit cut into pieces."""
    spans = [sentence_spans(text, region.start, region.end) for region in regions]
    counts = _counts(text, [span for group in spans for span in group], count_tokens)
    pieces = _pieces(text, [span for span, tokens in counts.items() if tokens > limit], count_tokens, limit)
    units: list[list[_Unit]] = []
    for region, group in zip(regions, spans, strict=True):
        units.append([])
        for start, end in group:
            whole = [_Unit(start, end, counts[start, end], _cost(text, end, region))]
            units[-1] += pieces.get((start, end), whole)
    return units


def _cost(text: str, end: int, region: _Region) -> float:
    """What it costs to end a passage after the sentence that ends at ``end``."""
    if region.section is not None and end <= region.body:
        return _AFTER_HEADING
    return 0.0 if text.startswith("\n\n", end) else _INSIDE_PARAGRAPH


def _counts(
    text: str, spans: Sequence[tuple[int, int]], count_tokens: CountTokens
) -> dict[tuple[int, int], int]:
    """The size of each span in tokens, at least 1 and at least its share of characters."""
    counted = count_tokens([text[start:end] for start, end in spans]) if spans else []
    return {
        span: max(tokens, 1, -(-(span[1] - span[0]) // CHARACTERS_PER_TOKEN))
        for span, tokens in zip(spans, counted, strict=True)
    }


def _pieces(
    text: str, sentences: Sequence[tuple[int, int]], count_tokens: CountTokens, limit: int
) -> dict[tuple[int, int], list[_Unit]]:
    """Sentences over the limit, each cut between words, at the end of a clause where there is one."""
    words = {sentence: list(_words(text, *sentence, limit)) for sentence in sentences}
    counts = _counts(text, [word for group in words.values() for word in group], count_tokens)
    found: dict[tuple[int, int], list[_Unit]] = {}
    for sentence, group in words.items():
        units = [
            _Unit(*word, counts[word], 0.0 if _ends_clause(text, word) else _INSIDE_PARAGRAPH)
            for word in group
        ]
        cuts = _cuts(units, limit * 3 // 4, limit)
        found[sentence] = [
            _Unit(units[first].start, units[last - 1].end, _tokens(units[first:last]), _INSIDE_PARAGRAPH)
            for first, last in pairwise(cuts)
        ]
    return found


def _words(text: str, start: int, end: int, limit: int) -> Iterator[tuple[int, int]]:
    """The words of a sentence; one so long that it may exceed the limit by itself is cut by length."""
    # Four tokens a character is what a byte-level tokenizer makes of an emoji.
    longest = max(1, limit // 4)
    for match in re.compile(r"\S+").finditer(text, start, end):
        for first in range(match.start(), match.end(), longest):
            yield first, min(first + longest, match.end())


def _ends_clause(text: str, word: tuple[int, int]) -> bool:
    return text[word[1] - 1] in ",;:)\u2014\u2013\u3001\uff0c\u060c"
