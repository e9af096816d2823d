"""One contract for every combination of engines: SQLite or PostgreSQL, Chroma embedded or on a server."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Place
from servers import free_port
from test_doctor import TODAY
from test_store import assert_whole, change, hits, version, written

from kb.doctor import examine, repair
from kb.errors import Busy, NoKnowledgeBase, NoSuchDocument, StorageError, UsageError
from kb.migrate import migrate, target_settings
from kb.pipeline import KnowledgeBase
from kb.settings import Settings
from kb.store import Store
from kb.types import Filters
from kb.vectors import ServedIndex

ENGINES = [(c, v) for c in ("sqlite", "postgresql") for v in ("embedded", "server")]
QUESTIONS = (
    "When was the harbour bridge closed to lorries?",
    "What does the repair of the bridge cost?",
    "Who carried 1.2 million passengers?",
    "How much apple blossom was lost to the frost of 21 April 2026?",
    "Which rocket will fly?",
)


def opened(settings: Settings, *, create: bool = False) -> Store:
    return Store.open(settings.kb, settings, create=create)


def put(store: Store, *changes: Any) -> None:
    with store.writer(wait_s=10) as writer:
        writer.replace(changes)


@pytest.mark.parametrize(("catalogue", "vectors"), ENGINES)
def test_the_contract_of_a_store(place: Place, catalogue: str, vectors: str) -> None:
    settings = place(catalogue, vectors)
    with pytest.raises(NoKnowledgeBase):
        opened(settings)
    with opened(settings, create=True) as store, opened(settings) as replica:
        put(store)
        assert hits(replica, "harbour") == []
        put(store, version(1))
        assert_whole(replica, version(1))
        # A new version takes the place of the old one, whole, and everybody sees it at once.
        put(store, version(2), change(written("b", "A walrus swam by.", publisher="The Post")))
        assert_whole(replica, version(2), change(written("b", "A walrus swam by.", publisher="The Post")))
        found = hits(replica, "walrus")
        assert found[0].passage.document_id == "b"
        assert found[0].lexical == pytest.approx(1)
        only = hits(replica, "harbour walrus", filters=Filters(publishers=("post",)))
        assert {hit.passage.document_id for hit in only} == {"b"}
        # What a killed run left is cleared away, and what was lost is made again.
        replica.catalogue.stage([])
        with store.writer() as writer:
            assert writer.remove(["b", "nowhere"]) == 1
        assert hits(replica, "walrus", filters=Filters(document_ids=("b",))) == []
        with pytest.raises(NoSuchDocument):
            replica.catalogue.document("b")
        assert replica.catalogue.word_counts(["walrus", "harbour", "of the harbour"])["walrus"] == 0
        assert examine(replica, today=TODAY).findings == ()
        with store.writer(), pytest.raises(Busy), replica.writer():
            pass


@pytest.mark.parametrize(("catalogue", "vectors"), ENGINES)
def test_an_index_of_several_collections(
    place: Place, catalogue: str, vectors: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kb.vectors._SHARD", 2)
    settings = place(catalogue, vectors)
    with opened(settings, create=True) as store, opened(settings) as replica:
        for n in range(4):
            put(store, change(written(f"d{n}", f"Report {n} on the harbour.", f"Ferry {n} sailed.")))
            assert examine(replica, today=TODAY).findings == ()
            assert len(hits(replica, "harbour ferry")) == 2 * n + 2
        put(store, change(written("d0", "Report 0 on the walrus.")))
        assert "walrus" in hits(replica, "walrus")[0].passage.text
        assert examine(replica, today=TODAY).findings == ()
        before = [hit.passage for hit in hits(replica, "harbour ferry")]
        with store.writer(anew=True):
            pass
        assert examine(replica, today=TODAY).findings == ()
        assert [hit.passage for hit in hits(replica, "harbour ferry")] == before


@pytest.mark.parametrize(("catalogue", "vectors"), ENGINES)
def test_a_lost_vector_index_is_built_again(place: Place, catalogue: str, vectors: str) -> None:
    settings = place(catalogue, vectors)
    with opened(settings, create=True) as store:
        put(store, version(1))
        before = hits(store, "harbour report")
        store.vectors.delete(store.vectors.keys()[:2])
        assert not examine(store, today=TODAY).sound
        assert repair(store, today=TODAY).sound
        assert hits(store, "harbour report") == before


def test_an_index_that_missed_changes_from_another_folder_is_noticed(
    place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    here = place("postgresql", "embedded")
    there = replace(here, kb=tmp_path / "there")
    a = change(written("a", "The harbour is closed."))
    with opened(here, create=True) as store, opened(there, create=True) as other:
        put(store, a)
        assert nearest(store) == nearest(other) == keys(store)
        assert "lacks what was written from elsewhere" in caplog.text  # there is no index there yet
        caplog.clear()

        # As many passages as before, so that a count would show nothing.
        put(other, change(written("a", "A walrus is closed.")))
        assert nearest(other) == nearest(store) == keys(store)
        assert str(here.kb) in caplog.text
        caplog.clear()
        nearest(store)
        assert not caplog.text, "it is said once"

        put(store, change(written("b", "The ferry sank.")))
        assert store.vectors.keys() == keys(store) == nearest(store)
        assert examine(store, today=TODAY).findings == ()
        nearest(store)
        assert not caplog.text


def test_an_index_of_another_database_is_not_taken_for_this_one(place: Place) -> None:
    one, two = place("postgresql", "embedded"), place("postgresql", "embedded")
    for settings, text in ((one, "The harbour is closed."), (two, "A walrus swam by.")):
        with opened(settings, create=True) as store:
            put(store, change(written("a", text)))
    with opened(replace(one, catalogue=two.catalogue)) as store:
        [vector] = store.embedder.embed(["Harbour\nA walrus swam by."])
        [(_, similarity)] = store.vectors.nearest(vector, 5, generation=store.catalogue.generation())
        assert similarity == pytest.approx(1, abs=1e-3)
        with store.writer():
            pass
        assert examine(store, today=TODAY).findings == ()


def nearest(store: Store) -> list[int]:
    """The keys that a search for anything finds."""
    vector = store.embedder.embed(["harbour"])[0]
    found = store.vectors.nearest(vector, 99, generation=store.catalogue.generation())
    return sorted(key for key, _ in found)


def keys(store: Store) -> list[int]:
    return [key for part, _ in store.catalogue.every_vector() for key in part]


WAY = [("postgresql", "server"), ("postgresql", "embedded"), ("sqlite", "server"), ("sqlite", "embedded")]


def test_migration_changes_no_answer(place: Place, texts: Path) -> None:
    """From a folder through every combination and back: not one byte of an answer is another."""
    from ingest.sync import ingest

    settings = place("sqlite", "embedded")
    with opened(settings, create=True) as store:
        assert not ingest([str(texts)], store).failed
        put(store, change(written("odd", "U.S. state-of-the-art tests aren't over; e-mail 3.5% more.")))
    before = answers(settings)
    checksums = set()
    for catalogue, vectors in WAY:
        target = place(catalogue, vectors)
        with opened(settings) as store:
            checksums.add(migrate(store, target).checksum)
        assert answers(target) == before, (catalogue, vectors)
        settings = target
    assert len(checksums) == 1
    with opened(settings) as store, pytest.raises(UsageError, match="holds documents"):
        migrate(store, settings)


def answers(settings: Settings) -> list[dict[str, Any]]:
    with KnowledgeBase.open(settings.kb, settings) as kb:
        asked = [
            kb.ask(question, top=20) for question in (*QUESTIONS, "Are U.S. state-of-the-art tests over?")
        ]
        found = [replace(a, seconds=0.0).to_dict() for a in asked]
        words = kb.store.catalogue.word_counts(["state-of-the-art", "U.S.", "harbour", "e-mail", "zzz"])
        ranked = kb.store.catalogue.match(["harbour", "bridge", "state-of-the-art", "lorries"], 50)
        scores = [(key, round(score, 9)) for key, score in ranked]
        return [*found, {"words": words, "scores": scores, "h": kb.store.catalogue.vocabulary("h")}]


def test_a_backup_of_a_server_is_restored_to_a_folder(place: Place, tmp_path: Path) -> None:
    from kb.backup import back_up, restore

    settings = place("postgresql", "server")
    with opened(settings, create=True) as store:
        put(store, version(1))
        assert back_up(store, tmp_path / "backup") == 1
    with pytest.raises(UsageError, match="migrate"):
        restore(tmp_path / "backup", settings)
    local = Settings(kb=tmp_path / "restored", embedder="hash")
    assert restore(tmp_path / "backup", local) == 1
    with opened(local) as store:
        assert_whole(store, version(1))


def test_the_target_of_a_migration(tmp_path: Path) -> None:
    here = Settings(kb=tmp_path, vectors="http://127.0.0.1:8000")
    there = target_settings(here, "postgresql://news", None)
    assert (there.catalogue, there.vectors) == ("postgresql://news", here.vectors)
    back = target_settings(there, str(tmp_path / "b"), None)
    assert (back.kb, back.catalogue, back.vectors) == (tmp_path / "b", "", "")


def test_a_server_that_is_away_is_named_without_its_password(place: Place) -> None:
    pytest.importorskip("psycopg")
    away = f"postgresql://me:secret@127.0.0.1:{free_port()}/news"
    with pytest.raises(StorageError, match=r"127\.0\.0\.1.*cannot be reached") as error:
        opened(Settings(catalogue=away, embedder="hash"))
    assert "secret" not in str(error.value)
    settings = replace(place("sqlite", "embedded"), vectors=f"http://127.0.0.1:{free_port()}")
    with opened(settings, create=True) as store, pytest.raises(StorageError, match="cannot be used"):
        put(store, version(1))


def test_a_server_that_does_not_answer_is_given_up(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """As from a host that was cut off: what is sent there is not refused, and nothing comes back."""
    monkeypatch.setattr("kb.vectors._PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = replace(place("sqlite", "embedded"), vectors=f"http://127.0.0.1:{silent.getsockname()[1]}")
        with opened(settings, create=True) as store, pytest.raises(StorageError, match="timed out"):
            put(store, version(1))
        address = f"postgresql://me@127.0.0.1:{silent.getsockname()[1]}/news?connect_timeout=2"
        with pytest.raises(StorageError, match="cannot be reached"):
            opened(Settings(catalogue=address, embedder="hash"))


class Noted:
    """A catalogue that notes which collection is the index."""

    def meta(self) -> dict[str, str]:
        return {"collection": "kbqa-1"}

    def note(self, key: str, value: str | None) -> None:
        raise AssertionError("a reader notes nothing")


def test_questions_wait_for_a_silent_server_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kb.vectors._PATIENCE", patience := 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        index = ServedIndex(address, Noted(), embedder="hash", dimension=4)

        def ask(n: int) -> str:
            with pytest.raises(StorageError) as error:
                index.nearest(np.ones(4, np.float32), 3, generation=1)
            return str(error.value)

        ask(0)  # loads what is loaded once
        began = time.monotonic()
        with ThreadPoolExecutor(6) as pool:
            said = list(pool.map(ask, range(6)))
        assert all("timed out" in one for one in said)
        assert time.monotonic() - began < 3 * patience
