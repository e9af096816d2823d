"""Retrieval: what every hit promises, whatever its score is made of."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kb import vectors
from kb.errors import StorageError
from kb.pipeline import KnowledgeBase
from kb.retrieve import POOL, search, word_weights
from kb.settings import Settings
from kb.store import Change, Store
from kb.text import content_words
from kb.types import Document, Filters, Hit, Passage


def find(store: Store, query: str, *, filters: Filters = Filters(), limit: int = 10) -> list[Hit]:
    return search(store, query, content_words(query), filters=filters, limit=limit)[0]


@pytest.mark.parametrize(
    "query", ["harbour bridge lorries", "apple blossom", "ferry", "zzz", "the of and", "?"]
)
def test_what_every_hit_promises(library: KnowledgeBase, query: str) -> None:
    hits = find(library.store, query)
    assert [h.rank for h in hits] == list(range(1, len(hits) + 1))
    assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)
    assert len({(h.passage.document_id, h.passage.start) for h in hits}) == len(hits)
    for hit in hits:
        document = library.document(hit.passage.document_id)
        assert hit.passage.text == document.text[hit.passage.start : hit.passage.end]
        assert hit.source.title == document.title
        assert hit.source.publisher == document.publisher
        assert 0 < hit.score <= 1
        assert hit.dense is not None or hit.lexical is not None
        assert hit.dense is None or -1 <= hit.dense <= 1
        assert hit.lexical is None or 0 <= hit.lexical <= 1


def test_first_in_both_searches_is_the_best_score(library: KnowledgeBase) -> None:
    passage = library.store.catalogue.neighbours("orchard.txt", 0, 0)[0]
    best = find(library.store, passage.text)[0]
    assert best.passage == passage
    assert best.score == pytest.approx(1)
    assert best.lexical == pytest.approx(1)


@pytest.mark.parametrize(
    ("query", "document"),
    [
        ("Nora Blum overdue", "bridge.md"),
        ("ferry Marta twenty minutes", "news/ferry.html"),
        ("frost in the Lenne valley", "orchard.txt"),
        ("library open late evening", "brief-1"),
        ("tram passengers", "brief-2"),
    ],
)
def test_the_document_that_says_it_comes_first(library: KnowledgeBase, query: str, document: str) -> None:
    assert find(library.store, query)[0].passage.document_id == document


def test_the_same_question_gives_the_same_hits(library: KnowledgeBase) -> None:
    once, again = (find(library.store, "harbour bridge repair") for _ in range(2))
    assert once == again


def test_a_limit_cuts_and_changes_nothing_else(library: KnowledgeBase) -> None:
    whole = find(library.store, "harbour bridge", limit=50)
    assert find(library.store, "harbour bridge", limit=2) == whole[:2]


def test_a_filter_that_lets_all_through_changes_no_order(library: KnowledgeBase) -> None:
    """With a filter every passage is scored exactly; without one Chroma answers. Both must agree."""
    every = Filters(document_ids=tuple(s.id for s in library.documents()))
    for query in ("harbour bridge repair", "apple blossom", "tram passengers in May"):
        free, filtered = (find(library.store, query, filters=f, limit=50) for f in (Filters(), every))
        assert {h.passage.text for h in free} == {h.passage.text for h in filtered}
        exact = {h.passage.text: h.dense for h in filtered}
        assert all(exact[h.passage.text] == pytest.approx(h.dense, abs=2e-3) for h in free)


def test_a_filter_holds_for_both_searches(library: KnowledgeBase) -> None:
    only = find(library.store, "harbour bridge", filters=Filters(publishers=("coast radio",)), limit=50)
    assert {h.passage.document_id for h in only} == {"news/ferry.html", "brief-2"}
    assert find(library.store, "harbour bridge", filters=Filters(document_ids=("nowhere",))) == []


def test_rare_words_weigh_more_and_unknown_ones_most(library: KnowledgeBase) -> None:
    weights = word_weights(library.store, content_words("harbour marta zzz"))
    assert weights.rarity["harbour"] < weights.rarity["marta"] <= weights.rarity["zzz"]
    assert weights.coverage({"harbour", "marta", "zzz"}) == pytest.approx(1)
    assert weights.coverage(set()) == 0
    assert word_weights(library.store, []).coverage({"a"}) == 0


@given(st.text(max_size=60))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_query_is_an_error(library: KnowledgeBase, query: str) -> None:
    """Quotes, operators and signs of the full-text language are words like any other."""
    assert len(find(library.store, query)) <= 10
    answerable = any(c.isalnum() for c in query)
    assert (library.search(query) is not None) if answerable else True


@pytest.mark.parametrize(
    "query", ['"', 'a" OR "b', "NEAR(harbour, 5)", "harbour AND", "text:harbour", "har*", "^x", "-"]
)
def test_operators_of_the_engine_are_plain_words(library: KnowledgeBase, query: str) -> None:
    assert isinstance(find(library.store, query), list)


def test_accents_and_case_do_not_matter(store: Store) -> None:
    _put(store, "a", "Die Brücke über den Fluß ist GESPERRT.")
    for query in ("brucke", "BRÜCKE", "gesperrt"):
        assert find(store, query)[0].lexical == pytest.approx(1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "kb", Settings(kb=tmp_path / "kb", embedder="hash"), create=True) as opened:
        yield opened


def _put(store: Store, document_id: str, *texts: str) -> None:
    joined = "\n".join(texts)
    passages, start = [], 0
    for ordinal, text in enumerate(texts):
        passages.append(Passage(document_id, ordinal, start, start + len(text), text))
        start += len(text) + 1
    document = Document(document_id, f"/{document_id}", "T", joined, "text/plain", "h")
    with store.writer() as writer:
        writer.replace([Change(f"/{document_id}", "h", ((document, tuple(passages)),))])


def live_key(store: Store, ordinal: int) -> int:
    return next(key for keys, _ in store.catalogue.every_vector() for key in keys[ordinal : ordinal + 1])


def test_an_empty_library_has_no_hits(store: Store) -> None:
    with store.writer():  # as an ingestion that finds nothing does
        pass
    assert find(store, "harbour") == []
    with KnowledgeBase.open(store.folder, Settings(embedder="hash")) as kb:
        assert kb.search("harbour bridge") == ()


def test_a_library_larger_than_the_pool(store: Store) -> None:
    """The one passage that says it is found among hundreds that share its common words."""
    lines = [f"Report {n} on the harbour and the weather of the day." for n in range(5 * POOL)]
    lines[137] += " A walrus was seen."
    _put(store, "log", *lines)
    # With a filter, so that every passage is scored: Chroma's answer is a near guess among so many alike.
    every = Filters(document_ids=("log",))
    assert find(store, "walrus in the harbour", filters=every)[0].passage.ordinal == 137
    assert store.catalogue.match(["walrus"], 10)[0][0] == live_key(store, 137)
    assert len(find(store, "harbour weather", limit=200)) <= 2 * POOL


def test_a_text_that_stands_twice_is_shown_once(store: Store) -> None:
    for name in ("a", "b", "c"):
        _put(store, name, "The harbour bridge was closed on Monday.", f"Only {name} says harbour so.")
    with KnowledgeBase.open(store.folder, Settings(embedder="hash")) as kb:
        answer = kb.ask("When was the harbour bridge closed?", top=10)
        shown = [h.passage.text for h in answer.hits]
        assert len(shown) == len(set(shown)) == 4
        assert [h.rank for h in answer.hits] == [1, 2, 3, 4]


@pytest.fixture
def scattered(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Ten passages in five collections of the vector index, which has been searched once."""
    monkeypatch.setattr("kb.vectors._SHARD", 2)
    for name in ("a", "b", "c", "d", "e"):
        _put(store, name, f"The harbour bridge was closed by {name}.", f"Only {name} says harbour so.")
    find(store, "harbour")
    return store


def test_both_searches_go_on_side_by_side(scattered: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    before = find(scattered, "harbour bridge")
    catalogue, match, asked = scattered.catalogue, scattered.catalogue.match, vectors._asked
    both = threading.Barrier(2, timeout=10)  # nobody passes it alone

    def together(*args: Any, **named: Any) -> list[tuple[int, float]]:
        both.wait()
        return match(*args, **named)

    def of_one(collection: Any, *args: Any) -> Any:
        if collection.name == vectors.COLLECTION:
            both.wait()
        return asked(collection, *args)

    monkeypatch.setattr(catalogue, "match", together)
    monkeypatch.setattr(vectors, "_asked", of_one)
    assert find(scattered, "harbour bridge") == before


def test_an_index_that_fails_is_searched_again_and_then_an_error(
    scattered: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "_PAUSES", (0.0,))
    before, asked, failing = find(scattered, "harbour bridge"), vectors._asked, [True]

    def fails(*args: Any) -> Any:
        if failing and failing.pop():
            raise StorageError("the vector index cannot be read", "build it anew")
        return asked(*args)

    monkeypatch.setattr(vectors, "_asked", fails)
    assert find(scattered, "harbour bridge") == before
    failing += [True] * 1000
    with pytest.raises(StorageError, match="cannot be read"):
        find(scattered, "harbour bridge")
    failing.clear()
    with ThreadPoolExecutor(1) as other:  # which waits for ever if what failed holds something
        assert other.submit(find, scattered, "harbour bridge").result(timeout=20) == before


def test_the_index_is_not_closed_while_a_collection_is_searched(
    scattered: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, close, searching, cut_off = vectors._asked, scattered.vectors.close, set[int](), []

    def slowly(collection: Any, *args: Any) -> Any:
        if collection.name == vectors.COLLECTION:
            raise StorageError("the vector index cannot be read", "build it anew")
        searching.add(threading.get_ident())
        time.sleep(0.1)
        searching.discard(threading.get_ident())
        return asked(collection, *args)

    def closing() -> None:
        cut_off.append(len(searching))
        close()

    monkeypatch.setattr(vectors, "_PAUSES", (0.0,))
    monkeypatch.setattr(vectors, "_asked", slowly)
    monkeypatch.setattr(scattered.vectors, "close", closing)
    with pytest.raises(StorageError, match="cannot be read"):
        find(scattered, "harbour bridge")
    assert cut_off
    assert not any(cut_off)


def test_a_search_that_is_broken_off_leaves_nothing_behind(
    scattered: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def slowly(*args: Any) -> Any:
        time.sleep(0.2)
        asked.append(args)
        raise StorageError("nobody waits for this", "")

    def interrupted(*args: Any, **named: Any) -> list[tuple[int, float]]:
        raise KeyboardInterrupt

    monkeypatch.setattr(vectors, "_asked", slowly)
    monkeypatch.setattr(scattered.catalogue, "match", interrupted)
    with pytest.raises(KeyboardInterrupt):
        find(scattered, "harbour bridge")
    assert len(asked) == 5  # nothing goes on behind a store that may be closed
