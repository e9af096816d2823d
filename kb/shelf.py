"""What filters and counts are answered from: the live documents of one generation, as columns.

A filter that lets a hundred thousand passages through is answered in a millisecond: publishers are compared
by name once each, dates as bytes, and the passages of a document have keys that follow one another, so that
two numbers stand for all of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kb.types import Filters

Keys = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shelf:
    """One entry a live document, in the order of their keys; ``publisher`` points into ``publishers``.

    ``restored`` names the backup that the knowledge base was last restored from: with another one the same
    key may stand for another passage.
    """

    generation: int
    restored: str
    publishers: tuple[str | None, ...]
    key: Keys
    publisher: NDArray[np.int32]
    published: NDArray[np.bytes_]
    first: Keys
    passages: Keys

    @classmethod
    def of(
        cls,
        generation: int,
        restored: str,
        documents: Iterable[tuple[int, str | None, str | None]],
        passages: Iterable[tuple[int, int, int]],
    ) -> Shelf:
        """From (key, publisher, date) of each live document and (document, first key, count) of any."""
        rows = sorted(documents)
        names: dict[str | None, int] = {}
        publisher = [names.setdefault(row[1], len(names)) for row in rows]
        key = np.array([row[0] for row in rows], np.int64)
        counted = np.array(sorted(passages), np.int64).reshape(-1, 3)
        first, count = np.zeros_like(key), np.zeros_like(key)
        if len(counted):
            place = np.searchsorted(counted[:, 0], key).clip(max=len(counted) - 1)
            there = counted[place, 0] == key
            first[there], count[there] = counted[place[there], 1], counted[place[there], 2]
        published = np.array([(row[2] or "").encode()[:10] for row in rows], "S10")
        return cls(
            generation, restored, tuple(names), key, np.array(publisher, np.int32), published, first, count
        )

    @property
    def counts(self) -> tuple[int, int]:
        """How many live documents and passages there are."""
        return len(self.key), int(self.passages.sum())

    def select(self, filters: Filters, documents: Collection[int] | None) -> Keys:
        """The passages that a filter lets through, in order; ``documents`` are the keys of those it names."""
        chosen = np.ones(len(self.key), bool)
        if documents is not None:
            chosen &= np.isin(self.key, np.array(sorted(documents), np.int64))
        if filters.publishers:
            wanted = [name.casefold() for name in filters.publishers]
            named = [p is not None and any(w in p.casefold() for w in wanted) for p in self.publishers]
            chosen &= np.array(named, bool)[self.publisher]
        if filters.after:
            chosen &= self.published >= filters.after.encode()
        if filters.before:
            chosen &= (self.published <= filters.before.encode()) & (self.published != b"")
        return ranges(self.first[chosen], self.passages[chosen])


def ranges(first: Keys, count: Keys) -> Keys:
    """The numbers from each ``first`` on, ``count`` of them, one after the other."""
    ends = np.cumsum(count)
    return np.repeat(first - (ends - count), count) + np.arange(ends[-1] if len(ends) else 0)


def among(keys: Sequence[int] | Keys, allowed: Keys) -> NDArray[np.bool_]:
    """Which of ``keys`` are in ``allowed``, which is sorted."""
    wanted = np.asarray(keys, np.int64)
    if not len(allowed):
        return np.zeros(len(wanted), bool)
    found: NDArray[np.bool_] = allowed[np.searchsorted(allowed, wanted).clip(max=len(allowed) - 1)] == wanted
    return found
