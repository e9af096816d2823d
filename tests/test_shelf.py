"""Filters answered from columns, and passages scored from memory: the same as asking one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_store import change, opened, written

from kb import catalogue, retrieve, vectors
from kb.shelf import Shelf, among
from kb.types import Filters
from kb.vectors import Kept

NAMES = (None, "The Harbour Post", "Straße heute", "Coast Radio")
DATES = (None, "2025", "2026-03", "2026-03-20", "2026-03-20T08:00", "2027-01-01")
DOCUMENTS = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(DATES), st.integers(0, 4)), max_size=8)
LIMITS = st.builds(
    Filters,
    publishers=st.sampled_from([(), ("post",), ("STRASSE", "radio"), ("x",)]),
    after=st.sampled_from([None, "2026-03-20", "2026-01-01"]),
    before=st.sampled_from([None, "2026-03-20", "2026-12-31"]),
)


@given(DOCUMENTS, LIMITS, st.none() | st.sets(st.integers(1, 8)))
def test_a_filter_lets_through_what_each_document_says(
    documents: list[tuple[str | None, str | None, int]], filters: Filters, named: set[int] | None
) -> None:
    first, counted, expected = 10, [], []
    for key, (publisher, published, passages) in enumerate(documents, start=1):
        keys = range(first, first + passages)
        first += passages + 3  # what was removed leaves a gap
        if passages:
            counted.append((key, keys[0], passages))
        day = (published or "")[:10]
        if (
            (named is None or key in named)
            and (
                not filters.publishers
                or any(p.casefold() in (publisher or "").casefold() for p in filters.publishers)
            )
            and (not filters.after or day >= filters.after)
            and (not filters.before or (day and day <= filters.before))
        ):
            expected += keys
    columns = [(key, name, (day or "")[:10]) for key, (name, day, _) in enumerate(documents, start=1)]
    shelf = Shelf.of(1, "", columns, counted)
    assert shelf.select(filters, named).tolist() == expected
    assert shelf.counts == (len(documents), sum(n for _, _, n in documents))
    assert among([9, *expected], shelf.select(filters, named)).tolist() == [False, *(True for _ in expected)]


def test_vectors_are_kept_until_there_are_too_many_or_keys_are_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[list[int]] = []
    stored = {key: np.eye(8, dtype=np.float32)[key % 8] for key in range(1, 7)}

    def load(keys: list[int]) -> tuple[list[int], np.ndarray]:
        asked.append(keys)
        there = [key for key in keys if key in stored]
        return there, np.array([stored[key] for key in there], np.float32).reshape(-1, 8)

    kept = Kept(load)

    def score(*keys: int, restored: str = "") -> dict[int, float]:
        query = np.arange(8, dtype=np.float32)
        found, similarities = kept.similarities(np.array(keys, np.int64), query, restored=restored)
        return dict(zip(found.tolist(), similarities.tolist(), strict=True))

    assert score(1, 3) == {1: 1.0, 3: 3.0}
    assert score(1, 2, 3, 9) == {1: 1.0, 2: 2.0, 3: 3.0}
    assert asked == [[1, 3], [2, 9]]
    assert score() == {}
    score(1, restored="7")  # a backup came in: its keys stand for other passages
    assert asked[-1] == [1]
    monkeypatch.setattr(vectors, "MOST_KEPT", 4)
    assert score(1, 2, 3, 4, 5, 6, restored="7") == {key: float(key) for key in range(1, 7)}


def test_common_words_do_not_find_but_still_tell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Among the passages that hold the rare word the order and the scores are those of the full ranking."""
    lines = [
        f"The harbour report {n} on the ferry{' and a walrus' if n % 7 == 0 else ''}." for n in range(60)
    ]
    lines[14] = "A walrus, a walrus: nothing else."
    with opened(tmp_path / "kb", create=True) as store:
        with store.writer() as writer:
            writer.replace([change(written("log", *lines))])
        words = ["harbour", "walrus", "ferry"]
        full = store.catalogue.match(words, 100)
        monkeypatch.setattr(catalogue, "_MOST_SCORED", 20)
        rare = store.catalogue.match(words, 100)
        assert len(full) == 60
        assert len(rare) == 9
        assert rare == [(key, pytest.approx(score)) for key, score in full if key in dict(rare)]
        keys = np.array(sorted(dict(full))[:10], np.int64)
        assert {key for key, _ in store.catalogue.match(words, 100, keys)} == set(keys.tolist())


def test_a_wide_filter_finds_the_same_as_scoring_every_passage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [
        written(
            f"d{n}", *(f"Report {n} {k} on harbour {k % 5}." for k in range(6)), publisher=NAMES[1 + n % 2]
        )
        for n in range(40)
    ]
    with opened(tmp_path / "kb", create=True) as store:
        with store.writer() as writer:
            writer.replace([change(pair) for pair in pairs])
        allowed = store.catalogue.matching(Filters(publishers=("post",)))
        vector, generation = store.embedder.embed(["Report 12 on harbour"])[0], store.catalogue.generation()

        def similarities() -> list[float]:
            wide = retrieve._wide(store, allowed)
            with store.vectors.searched_for(vector, wide, generation=generation) as nearest:
                ranked = retrieve._dense(store, vector, allowed, nearest())
            assert allowed is not None
            assert among([key for key, _ in ranked], allowed).all()
            return [round(similarity, 3) for _, similarity in ranked]

        exact = similarities()
        assert len(exact) == retrieve.POOL
        monkeypatch.setattr(retrieve, "_EXACT", 5)
        monkeypatch.setattr(store, "kept", None)  # the index alone has to do
        monkeypatch.setattr(retrieve, "POOL", 10)
        assert similarities() == exact[:10]
