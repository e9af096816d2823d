"""What a knowledge base holds, document by document: copies, what is odd about one, lists and counts of them.

Nothing here reads a file or the catalogue: summaries and texts are handed in.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from typing import Literal

from kb.doctor import OLDEST
from kb.types import DocumentSummary

Order = Literal["newest", "oldest", "title", "publisher", "passages"]
Only = Literal["all", "copies", "problems"]

SAME = 0.8
"""Of the text of the shorter of two documents, the share in lines of the other that makes them copies."""
TELLING = 40
"""Characters that a line has to have: "By our correspondent" stands in many articles."""
COMMON = 20
"""A line that more documents have than these is no sign of a copy either."""
SHORT = 80
MONTHS_SHOWN = 36
_DATE = re.compile(r"(\d{4})(?:-(0[1-9]|1[0-2]))?(?!\d)")


@dataclass(frozen=True, slots=True)
class Holding:
    """A document of the library: the ids of those with nearly the same text, and what is odd about it."""

    document: DocumentSummary
    copies: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class View:
    """Which documents are wanted, in which order: all ``words`` stand in what is known of a document."""

    words: str = ""
    publisher: str = ""
    only: Only = "all"
    order: Order = "newest"


def holdings(
    summaries: Iterable[DocumentSummary], texts: Iterable[tuple[str, str]], today: date
) -> list[Holding]:
    """All documents with what is to be said of each; ``texts`` are (id, text) of the same documents."""
    copies = _copies(texts)
    return [Holding(s, tuple(sorted(copies.get(s.id, ()))), tuple(problems(s, today))) for s in summaries]


def problems(document: DocumentSummary, today: date) -> list[str]:
    """What a reader would stumble over, in words."""
    found = []
    if not document.published:
        found.append("It has no date: questions about a time pass it over.")
    elif document.published[:10] > today.isoformat():
        found.append("Its date lies in the future.")
    elif document.published[:4] < OLDEST:
        found.append("Its date cannot be right.")
    if not document.publisher:
        found.append("It names no publisher.")
    if document.characters < SHORT:
        found.append("It has hardly any text.")
    return found


def chosen(held: Iterable[Holding], view: View) -> list[Holding]:
    """The documents of a view, in its order; those without a date come last."""
    wanted = view.words.casefold().split()
    found = [
        one
        for one in held
        if (not view.publisher or one.document.publisher == view.publisher)
        and (view.only != "copies" or one.copies)
        and (view.only != "problems" or one.problems)
        and all(word in _known(one.document) for word in wanted)
    ]
    found.sort(key=lambda one: (one.document.title.casefold(), one.document.id))
    if view.order == "publisher":
        found.sort(key=lambda one: (not one.document.publisher, (one.document.publisher or "").casefold()))
    elif view.order == "passages":
        found.sort(key=lambda one: -one.document.passages)
    elif view.order in ("newest", "oldest"):
        found.sort(key=lambda one: one.document.published or "", reverse=view.order == "newest")
        found.sort(key=lambda one: not one.document.published)
    return found


def over_time(held: Iterable[Holding]) -> list[tuple[str, int]]:
    """How many documents each month has, or each year if that would be too many months; gaps are zeros."""
    dates = [found for one in held if (found := _DATE.match(one.document.published or ""))]
    months = Counter(found.group() for found in dates if found[2])
    years = Counter(found[1] for found in dates)
    if not years:
        return []
    if sum(months.values()) == len(dates):
        first, last = (int(m[:4]) * 12 + int(m[5:7]) - 1 for m in (min(months), max(months)))
        if last - first < MONTHS_SHOWN:
            names = [f"{n // 12:04}-{n % 12 + 1:02}" for n in range(first, last + 1)]
            return [(name, months[name]) for name in names]
    first, last = int(min(years)), int(max(years))
    if last - first < MONTHS_SHOWN:
        return [(f"{year:04}", years[f"{year:04}"]) for year in range(first, last + 1)]
    return sorted(years.items())


def by_publisher(held: Iterable[Holding], most: int = 8) -> list[tuple[str, int]]:
    """How many documents each publisher has, most first; those after the first few are counted together."""
    counts = Counter(one.document.publisher or "No publisher" for one in held)
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0].casefold()))
    rest = sum(count for _, count in ordered[most:])
    return ordered[:most] + ([(f"{len(ordered) - most} others", rest)] if rest else [])


def _known(document: DocumentSummary) -> str:
    known = (document.title, document.publisher, document.author, document.published, document.id)
    return " ".join(filter(None, known)).casefold()


def _copies(texts: Iterable[tuple[str, str]]) -> dict[str, set[str]]:
    """For each document that has any, the ids of its copies."""
    sizes: dict[str, int] = {}
    holders: dict[int, list[str]] = defaultdict(list)
    lengths: dict[int, int] = {}
    for document_id, text in texts:
        lines = {" ".join(line.split()).casefold() for line in text.split("\n")}
        telling = {hash(line): len(line) for line in lines if len(line) >= TELLING}
        sizes[document_id] = sum(telling.values())
        lengths |= telling
        for line in telling:
            holders[line].append(document_id)
    shared: Counter[tuple[str, str]] = Counter()
    for line, found in holders.items():
        if 1 < len(found) <= COMMON:
            for pair in combinations(found, 2):
                shared[pair] += lengths[line]
    copies: dict[str, set[str]] = defaultdict(set)
    for (one, other), size in shared.items():
        if size >= SAME * min(sizes[one], sizes[other]):
            copies[one].add(other)
            copies[other].add(one)
    return copies


def publishers(held: Sequence[Holding]) -> list[str]:
    """The publishers that there are, as people look for them."""
    return sorted({one.document.publisher for one in held if one.document.publisher}, key=str.casefold)
