"""Question to hits: nearest in meaning and sharing words, fused.

The two searches fail on different questions (names and numbers are the lexical one's, paraphrase the
dense one's), so their rankings are fused by reciprocal rank (Cormack, Clarke and Buettcher, SIGIR 2009).
Where a question names its source or a time, the documents of these are searched by themselves as well.
Filters are answered by the catalogue; what they let through is scored exactly when it is few.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from kb.catalogue import StoredPassage
from kb.embed import Embed
from kb.shelf import Keys, among
from kb.store import Store
from kb.text import Word, Wording, stems, wording
from kb.types import Filters, Hit, Passage

POOL = 50  # passages taken from each of the two searches
_RANK_OFFSET = 20  # the constant k of reciprocal rank fusion; small, since the first ranks matter here
_READING_COUNTS = 2.0  # rankings that the one by sentences counts for: it has read, the others only matched
_TRIES = 5  # how often a search begins anew because the library changed under it
_ALWAYS = 2  # hits of each search that are read in any case
_EXACT = 20_000  # up to so many passages that a filter lets through are scored one by one
_WIDE = 2_000  # so many of the nearest are looked through for those that a wide filter lets through


@dataclass(frozen=True, slots=True)
class Weights:
    """How rare each of a question's words is, by stem, among so many ``passages``."""

    rarity: dict[str, float]
    passages: int

    @property
    def total(self) -> float:
        return sum(self.rarity.values())

    def coverage(self, stems: frozenset[str] | set[str]) -> float:
        """The share of the question's words, weighted by rarity, that is among ``stems``; 0...1."""
        if not self.total:
            return 0.0
        return sum(weight for stem, weight in self.rarity.items() if stem in stems) / self.total


def search(
    store: Store,
    query: str,
    query_words: Sequence[Word],
    *,
    filters: Filters = Filters(),
    preferred: Filters = Filters(),
    limit: int = 10,
    embed: Embed | None = None,
) -> tuple[list[Hit], Weights]:
    """The best ``limit`` hits for a query, and how rare its words are.

    Documents that ``preferred`` lets through are ranked by themselves too, which moves them up and shuts
    nothing out. ``score`` is the fused rank as a share of the best possible one: 1.0 is first everywhere.
    ``embed`` is the store's own, with a memory for instance.
    """
    vector = (embed or store.embedder.embed)([query])[0]
    for _ in range(_TRIES):
        generation = store.catalogue.generation()
        hits, weights = _search(store, vector, query_words, (filters, preferred), limit, generation)
        # A version published meanwhile: what was found may be neither its old passages nor its new ones.
        if store.catalogue.generation() == generation:
            break
    return hits, weights


def _search(
    store: Store,
    vector: NDArray[np.float32],
    query_words: Sequence[Word],
    filters: tuple[Filters, Filters],
    limit: int,
    generation: int,
) -> tuple[list[Hit], Weights]:
    asked, preferred = filters
    searched = [asked, *([_both(asked, preferred)] if preferred else [])]
    dense, lexical = [], []
    for each in searched:
        allowed = store.catalogue.matching(each)
        if each is asked or (allowed is not None and len(allowed)):
            wide = _wide(store, allowed)
            with store.vectors.searched_for(vector, wide, generation=generation) as nearest:
                lexical.append(store.catalogue.match([w.text for w in query_words], POOL, allowed))
                found = nearest()
            dense.append(_dense(store, vector, allowed, found))
    keys = {key for ranking in (*dense, *lexical) for key, _ in ranking}
    weights = word_weights(store, query_words)
    stored = store.catalogue.passages(keys)
    return _fuse(dense, lexical, stored, weights, limit, named=bool(preferred)), weights


def _both(asked: Filters, preferred: Filters) -> Filters:
    """What was asked for narrowed down to what is preferred."""
    return Filters(
        publishers=asked.publishers or preferred.publishers,
        document_ids=asked.document_ids,
        after=max(filter(None, (asked.after, preferred.after)), default=None),
        before=min(filter(None, (asked.before, preferred.before)), default=None),
    )


def _wide(store: Store, allowed: Keys | None) -> int:
    """How many of the nearest the vector index is asked for; 0 where it is not needed."""
    passages = store.catalogue.counts()[1]
    if allowed is None:
        return min(POOL, passages)
    if len(allowed) <= _EXACT:
        return 0
    # About twice the pool should pass of so many.
    return min(_WIDE, 2 * POOL * passages // len(allowed))


def _dense(
    store: Store, vector: NDArray[np.float32], allowed: Keys | None, nearest: Sequence[tuple[int, float]]
) -> list[tuple[int, float]]:
    """The pool out of the ``nearest``, or where too few of these pass, out of all that may."""
    if allowed is None:
        return list(nearest)
    passed = among([key for key, _ in nearest], allowed)
    if passed.sum() >= POOL:
        return [nearest[n] for n in np.flatnonzero(passed)[:POOL]]
    keys, similarities = store.kept.similarities(allowed, vector, restored=store.catalogue.shelf().restored)
    order = np.argsort(-similarities, kind="stable")[:POOL]
    return [(int(keys[n]), float(similarities[n])) for n in order]


def _fuse(
    dense: list[list[tuple[int, float]]],
    lexical: list[list[tuple[int, float]]],
    stored: dict[int, StoredPassage],
    weights: Weights,
    limit: int,
    *,
    named: bool,
) -> list[Hit]:
    # What the catalogue does not list as live (a version on its way in or out) never gets a rank.
    rankings = [[key for key, _ in ranking if key in stored] for ranking in (*dense, *lexical)]
    fused: dict[int, float] = {}
    for ranking in rankings:
        for rank, key in enumerate(ranking, start=1):
            fused[key] = fused.get(key, 0.0) + 1.0 / (_RANK_OFFSET + rank)
    best = len(rankings) / (_RANK_OFFSET + 1)
    similarity = {key: cosine for ranking in dense for key, cosine in ranking}
    found = {key for ranking in lexical for key, _ in ranking}
    order = sorted(fused, key=lambda key: (-fused[key], -similarity.get(key, -1.0), key))
    # The best of either search is always read, however the other one ranks it.
    always = {key for ranking in rankings for key in ranking[:_ALWAYS]}
    kept = _without_copies(order, stored, limit, always)
    hits = []
    for rank, (key, copies) in enumerate(kept.items(), start=1):
        # Of the very same words those are cited that stood there first, unless a source was asked for.
        first = key if named else _first_of([key, *copies], stored)
        passage, source = stored[first].passage, stored[first].source
        others = (stored[copy].passage.document_id for copy in (key, *copies) if copy != first)
        held = stems(f"{source.title} {passage.section or ''} {passage.text}")
        hits.append(
            Hit(
                passage=passage,
                source=source,
                score=fused[key] / best,
                rank=rank,
                dense=similarity.get(key),
                lexical=weights.coverage(held) if key in found else None,
                copies=tuple(dict.fromkeys(others)),
            )
        )
    return hits


def _first_of(keys: Sequence[int], stored: dict[int, StoredPassage]) -> int:
    """The one that was published first, of those with the text of the first of them."""
    best = stored[keys[0]]
    same = [key for key in keys if stored[key].passage.text == best.passage.text]
    return (
        min(same, key=lambda key: stored[key].source.published or "9999")
        if best.source.published
        else keys[0]
    )


def _without_copies(
    order: Sequence[int], stored: dict[int, StoredPassage], limit: int, always: set[int]
) -> dict[int, list[int]]:
    """The first ``limit`` and those to keep ``always``, but of passages that say the same only the first.

    Each comes with the copies of it that were left out.
    """
    kept: dict[int, list[int]] = {}
    seen: list[tuple[int, Wording]] = []
    for place, key in enumerate(order):
        if len(kept) >= limit and not always & set(order[place:]):
            break
        if len(kept) >= limit and key not in always:
            continue
        found = wording(stored[key].passage.text)
        first = next((earlier for earlier, other in seen if found.is_copy_of(other)), None)
        if first is None:
            kept[key] = []
            seen.append((key, found))
        else:
            kept[first].append(key)
    return kept


def reread(hits: Sequence[Hit], best_first: Sequence[Passage]) -> list[Hit]:
    """The hits in the order that results when the ranking by their best sentences is fused in.

    ``best_first`` are the passages whose sentences were read. The score is still the share of the best
    possible fused rank.
    """
    place = {(p.document_id, p.ordinal): rank for rank, p in reversed(list(enumerate(best_first, start=1)))}
    best = (2.0 + _READING_COUNTS) / (_RANK_OFFSET + 1)

    def score(hit: Hit) -> float:
        fused = hit.score * 2.0 / (_RANK_OFFSET + 1)
        rank = place.get((hit.passage.document_id, hit.passage.ordinal))
        return (fused + (_READING_COUNTS / (_RANK_OFFSET + rank) if rank else 0.0)) / best

    rescored = sorted((replace(hit, score=score(hit)) for hit in hits), key=lambda hit: -hit.score)
    return [replace(hit, rank=rank) for rank, hit in enumerate(rescored, start=1)]


def word_weights(store: Store, query_words: Sequence[Word]) -> Weights:
    """The rarity of each word: ln(1 + N / n), the highest there is for one that no passage holds."""
    _, total = store.catalogue.counts()
    counts = store.catalogue.word_counts(w.text for w in query_words)
    return Weights({w.stem: math.log(1 + total / max(counts[w.text], 1)) for w in query_words}, total)
