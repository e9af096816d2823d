"""The store: what may never break when it is written, killed, reopened, damaged or filtered."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kb import retrieve, vectors
from kb.catalogue import FILE_NAME, Catalogue, storage_errors
from kb.errors import Busy, EmbedderMismatch, KBError, KnowledgeBaseError, NoSuchDocument, StorageError
from kb.pipeline import KnowledgeBase
from kb.settings import Settings
from kb.store import Change, Store, Writer
from kb.text import content_words
from kb.types import Document, DocumentSummary, Filters, Passage, Section
from kb.vectors import FOLDER_NAME, VectorIndex

Pair = tuple[Document, tuple[Passage, ...]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kb"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with opened(folder, create=True) as made:
        yield made


def opened(folder: Path, *, create: bool = False) -> Store:
    return Store.open(folder, Settings(kb=folder, embedder="hash"), create=create)


def written(document_id: str, *sentences: str, **fields: Any) -> Pair:
    """A document with a sentence a line, and each sentence a passage."""
    text = "\n".join(sentences)
    passages, start = [], 0
    for ordinal, sentence in enumerate(sentences):
        passages.append(Passage(document_id, ordinal, start, start + len(sentence), sentence))
        start += len(sentence) + 1
    fields = {
        "source": f"/news/{document_id}",
        "title": "Harbour",
        "media_type": "text/plain",
        "content_hash": f"hash of {text}",
        **fields,
    }
    return Document(id=document_id, text=text, **fields), tuple(passages)


def change(*pairs: Pair, origin: str | None = None, content_hash: str = "h") -> Change:
    return Change(origin or pairs[0][0].source, content_hash, pairs)


def version(n: int, document_id: str = "report") -> Change:
    """Version ``n`` of a document; each has another length, and names its number in every sentence."""
    sentences = [f"Sentence {k} of the harbour report belongs to version v{n}." for k in range(5 + n % 3)]
    return change(written(document_id, *sentences), content_hash=f"v{n}")


def replace(store: Store, *changes: Change) -> None:
    with store.writer() as writer:
        writer.replace(changes)


def live_keys(store: Store) -> list[int]:
    return [key for keys, _ in store.catalogue.every_vector() for key in keys]


def rows(store: Store, table: str) -> int:
    """How many rows a table holds, by a connection of our own."""
    with sqlite3.connect(store.folder / FILE_NAME) as connection:
        return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def assert_tidy(store: Store) -> None:
    """The vector index follows the catalogue, and the catalogue holds live documents and nothing else."""
    keys = live_keys(store)
    documents, passages = store.catalogue.counts()
    assert store.vectors.keys() == keys
    assert (rows(store, "documents"), rows(store, "passages"), rows(store, "words")) == (
        documents,
        passages,
        passages,
    )
    assert not store.catalogue.has_dead()
    assert store.catalogue.dead_passages() == []


def assert_whole(store: Store, *expected: Change) -> None:
    """The live documents are those of ``expected``, word for word and passage for passage."""
    pairs = [pair for change in expected for pair in change.documents]
    assert [s.id for s in store.catalogue.documents()] == sorted(document.id for document, _ in pairs)
    for document, passages in pairs:
        assert dataclasses.replace(store.catalogue.document(document.id), copies=()) == document
        assert tuple(store.catalogue.neighbours(document.id, 0, 10_000)) == passages


def hits(store: Store, query: str, *, filters: Filters = Filters(), limit: int = 50) -> list[Any]:
    return retrieve.search(store, query, content_words(query), filters=filters, limit=limit)[0]


class Counting:
    """An embedder that says how many texts it was asked for."""

    def __init__(self, store: Store) -> None:
        self.texts = 0
        self._inner = store.embedder
        self.name, self.dimension = self._inner.name, self._inner.dimension
        self.max_tokens, self.count_tokens = self._inner.max_tokens, self._inner.count_tokens
        store.embedder = self

    def embed(self, texts):  # type: ignore[no-untyped-def]
        self.texts += len(texts)
        return self._inner.embed(texts)


# -------------------------------------------------------------------------------------- round trips


def test_a_document_comes_back_with_every_field(store: Store) -> None:
    document, passages = written(
        "späti/Ölpreis #1?.md",
        "Über den Ölpreis — “what now?” 🛢️",
        'Second line; with \\ and \' and "quotes" and 数字.',
        "Correction: it was the third line.",
        author="Zoë Ångström",
        publisher="Die Straße",
        published="2026-04-28T09:30:00+02:00",
        url="https://example.org/a?b=c#d",
        language="de",
        sections=(Section("Über", 1, 0), Section("What now?", 2, 35)),
        page_starts=(0, 35),
        retrieved_at="2026-05-01T00:00:00+00:00",
        updated="2026-04-30",
        correction="Correction: it was the third line.",
    )
    passages = (passages[0], Passage(*_fields(passages[1]), section="What now?", page=2), passages[2])
    unset = [name for name in Document.__slots__ if getattr(document, name) in (None, "", ())]
    assert unset == ["copies"], "the test must fill in every field, but for what the catalogue finds"
    replace(store, change((document, passages)))
    assert_whole(store, change((document, passages)))
    [summary] = store.catalogue.documents()
    assert (summary.characters, summary.passages) == (len(document.text), 3)
    for name in set(DocumentSummary.__slots__) & set(Document.__slots__):
        assert getattr(summary, name) == getattr(document, name)


def _fields(passage: Passage) -> tuple[str, int, int, int, str]:
    return passage.document_id, passage.ordinal, passage.start, passage.end, passage.text


def test_unknown_fields_come_back_as_none(store: Store) -> None:
    document, passages = written("a", "Only text.")
    replace(store, change((document, passages)))
    assert store.catalogue.document("a") == document
    assert document.author is None


def test_a_document_without_passages_is_kept_and_can_go(store: Store) -> None:
    replace(store, change(written("empty")))
    assert store.catalogue.counts() == (1, 0)
    with store.writer() as writer:
        assert writer.remove(["empty"]) == 1
    assert_tidy(store)


def test_an_unknown_document_is_named(store: Store) -> None:
    with pytest.raises(NoSuchDocument, match="nowhere"):
        store.catalogue.document("nowhere")


def test_half_precision_keeps_the_direction(store: Store) -> None:
    replace(store, *(version(n, f"report{n}") for n in range(9)))
    [(keys, stored)] = store.catalogue.every_vector()
    passages = [store.catalogue.passages([key])[key] for key in keys]
    fresh = store.embedder.embed([f"{p.source.title}\n{p.passage.text}" for p in passages])
    assert stored.shape == fresh.shape == (len(keys), 64)
    assert float(np.sum(stored * fresh, axis=1).min()) > 0.9999
    assert np.allclose(np.linalg.norm(stored, axis=1), 1, atol=1e-3)


def test_every_vector_comes_once_and_in_batches_of_any_size(store: Store) -> None:
    replace(store, *(version(n, f"report{n}") for n in range(4)))
    [(keys, stored)] = store.catalogue.every_vector()
    in_parts = list(store.catalogue.every_vector(batch=3))
    assert [key for part, _ in in_parts for key in part] == keys
    assert np.array_equal(np.concatenate([rows for _, rows in in_parts]), stored)


# ------------------------------------------------------------------------------------------ replacing


def test_the_new_version_takes_the_place_of_the_old(store: Store) -> None:
    for n in range(4):
        replace(store, version(n), version(n, "other"))
        assert_whole(store, version(n), version(n, "other"))
        assert_tidy(store)
    assert {h.passage.text[-3:] for h in hits(store, "harbour report version")} == {"v3."}
    assert store.catalogue.match(["v2"], 10) == []
    assert store.catalogue.origin_hash("/news/report") == "v3"


def test_rows_that_left_a_record_file_go_in_the_same_step(store: Store) -> None:
    one, two, three = (written(f"r{n}", f"Record {n} stands.") for n in range(3))
    replace(store, change(one, two, origin="/f.csv"), version(1))
    before = store.catalogue.generation()
    replace(store, change(two, three, origin="/f.csv"))
    assert_whole(store, change(two, three), version(1))
    assert store.catalogue.documents_of("/f.csv") == ["r1", "r2"]
    assert store.catalogue.generation() == before + 1, "one visible step"
    replace(store, Change("/f.csv", "empty", ()))
    assert_whole(store, version(1))
    assert_tidy(store)


def test_passage_keys_are_never_used_twice(store: Store) -> None:
    seen: set[int] = set()
    for n in range(4):
        replace(store, version(n))
        assert seen.isdisjoint(live_keys(store))
        seen.update(live_keys(store))
        with store.writer() as writer:
            writer.remove(["report"])
    assert rows(store, "passages") == 0, "with nothing left, a counter that starts anew would be at 1"
    replace(store, version(9))
    assert min(live_keys(store)) > max(seen)


def test_a_removed_document_is_gone_everywhere(store: Store) -> None:
    replace(store, version(0), version(1, "other"))
    with store.writer() as writer:
        assert writer.remove(["report", "nowhere", "report"]) == 1
        assert writer.remove(["report"]) == 0
    assert_whole(store, version(1, "other"))
    assert_tidy(store)
    assert store.catalogue.origin_hash("/news/report") is None, "the file would be taken for unchanged"
    with store.writer() as writer:
        assert writer.remove_origins(["/news/other", "/nowhere"]) == 1
    assert store.catalogue.counts() == (0, 0)
    assert_tidy(store)


def test_the_generation_moves_with_every_visible_change_and_no_other(store: Store) -> None:
    at = [store.catalogue.generation()]
    replace(store, version(0))
    at.append(store.catalogue.generation())
    with store.writer() as writer:
        writer.remove(["nowhere"])
    at.append(store.catalogue.generation())
    with store.writer() as writer:
        writer.remove(["report"])
    at.append(store.catalogue.generation())
    assert at == [0, 1, 1, 2]


def test_a_reader_sees_the_old_version_or_the_new_one_and_never_a_mix(store: Store) -> None:
    replace(store, version(0), version(0, "bystander"))
    begun, done = threading.Event(), threading.Event()
    looks: list[tuple[str, list[str]]] = []
    wrong: list[object] = []

    def look(kb: KnowledgeBase) -> None:
        document = kb.document("report")
        looks.append(("document", document.text.split("\n")))
        found = kb.search("harbour report version", filters=Filters(document_ids=("report",)), top=50)
        in_order = sorted(found, key=lambda h: h.passage.ordinal)
        looks.append(("search", [h.passage.text for h in in_order]))
        answer = kb.ask("Which version does sentence 3 of the harbour report belong to?")
        quotes = [c.quote for c in answer.citations if c.document_id == "report"]
        if len({quote.rsplit(" ", 1)[1] for quote in quotes}) > 1:
            wrong.append(answer)

    def read() -> None:
        try:
            with KnowledgeBase.open(store.folder, Settings(embedder="hash")) as kb:
                while not done.is_set():
                    look(kb)
                    begun.set()
        except BaseException as error:
            wrong.append(error)
            raise

    reader = threading.Thread(target=read)
    reader.start()
    try:
        assert begun.wait(60)  # the first answer may have to prepare the models
        for n in range(1, 31):
            replace(store, version(n))
    finally:
        done.set()
        reader.join()
    assert wrong == []
    versions = {tuple(p.text for p in version(n).documents[0][1]): n for n in range(31)}
    for kind in ("document", "search"):
        numbers = [versions[tuple(texts)] for looked_at, texts in looks if looked_at == kind]
        assert numbers == sorted(numbers), "what was seen once is not unseen"
        assert len(set(numbers)) > 1, "the reader must have looked while the writer wrote"


@pytest.mark.parametrize(
    ("moment", "filters"),
    [
        ("match", Filters()),
        ("passages", Filters()),
        ("matching", Filters(publishers=("post",))),
        ("vectors", Filters(publishers=("post",))),
        ("match", Filters(publishers=("post",))),
        ("passages", Filters(publishers=("post",))),
    ],
)
def test_a_version_published_in_the_middle_of_a_search_leaves_no_gap(
    store: Store, monkeypatch: pytest.MonkeyPatch, moment: str, filters: Filters
) -> None:
    old, new = (
        change(written("report", f"The harbour report, v{n}.", f"The weather of v{n}.", publisher="Post"))
        for n in range(2)
    )
    replace(store, old)
    with opened(store.folder) as reader:
        original = getattr(reader.catalogue, moment)
        published: list[int] = []

        def in_between(*arguments: Any) -> Any:
            if not published:
                published.append(1)
                replace(store, new)
            return original(*arguments)

        monkeypatch.setattr(reader.catalogue, moment, in_between)
        found = hits(reader, "harbour report weather", filters=filters)
    assert published
    assert {h.passage.text[-3:] for h in found} in ({"v0."}, {"v1."})
    assert all(h.dense is not None and h.lexical is not None for h in found)


# -------------------------------------------------------------------------------------------- killed


class Killed(BaseException):
    """Stands for the end of the process: no ``except Exception`` may hold it up."""


def kill_at(patch: pytest.MonkeyPatch, owner: type, method: str, moment: str) -> None:
    """Let the process end before a step, in the middle of it (vectors only), or after it."""
    original = getattr(owner, method)

    def step(self: Any, *arguments: Any) -> Any:
        if moment == "after":
            original(self, *arguments)
        if moment == "half":
            original(self, *(part[: len(part) // 2] for part in arguments))
        raise Killed

    patch.setattr(owner, method, step)


STEPS = [
    (Catalogue, "stage", "before"),
    (Catalogue, "stage", "after"),
    (VectorIndex, "add", "half"),
    (VectorIndex, "add", "after"),
    (Catalogue, "publish", "before"),
    (Catalogue, "publish", "after"),
    (VectorIndex, "delete", "half"),
    (VectorIndex, "delete", "after"),
    (Catalogue, "purge", "after"),
]
PUBLISHED = 5  # from this step on it is the new version that is live


@pytest.mark.parametrize("n", range(len(STEPS)), ids=[f"{m}-{w}" for _, m, w in STEPS])
def test_a_run_that_is_killed_leaves_a_whole_version_and_heals(
    folder: Path, monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    rows_before = change(written("r1", "Record one."), written("r2", "Record two."), origin="/f.csv")
    rows_after = change(written("r2", "Record two, changed."), origin="/f.csv", content_hash="new")
    before = (version(1), version(2, "other"), rows_before)
    after = (version(3), version(2, "other"), rows_after)
    with opened(folder, create=True) as store:
        replace(store, *before)
    with opened(folder) as store, monkeypatch.context() as patch:
        kill_at(patch, *STEPS[n])
        with pytest.raises(Killed):
            replace(store, version(3), rows_after, version(7, "new"))
    expected = (*after, version(7, "new")) if n >= PUBLISHED else before
    with opened(folder) as store:
        assert_whole(store, *expected)
        live = {p.text for c in expected for _, passages in c.documents for p in passages}
        assert {h.passage.text for h in hits(store, "harbour report record version")} == live
        hashes = [store.catalogue.origin_hash(c.origin) for c in (version(3), rows_after)]
        assert hashes == (["v3", "new"] if n >= PUBLISHED else ["v1", "h"]), "what is left to do is known"
        with store.writer():
            assert_tidy(store)
        replace(store, version(3), rows_after)
        assert_whole(store, *after, *expected[3:])
        assert_tidy(store)


@pytest.mark.parametrize(
    ("owner", "method", "moment", "left"),
    [
        (Catalogue, "retire", "before", ["other", "report"]),
        (Catalogue, "retire", "after", ["other"]),
        (VectorIndex, "delete", "half", ["other"]),
        (Catalogue, "purge", "before", ["other"]),
    ],
)
def test_a_removal_that_is_killed_heals(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    owner: type,
    method: str,
    moment: str,
    left: list[str],
) -> None:
    replace(store, version(0), version(1, "other"))
    with monkeypatch.context() as patch:
        kill_at(patch, owner, method, moment)
        with store.writer() as writer, pytest.raises(Killed):
            writer.remove(["report"])
    with opened(store.folder) as again, again.writer():
        assert [s.id for s in again.catalogue.documents()] == left
        assert_tidy(again)


def test_the_first_run_of_all_may_be_killed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(folder, create=True) as store, monkeypatch.context() as patch:
        kill_at(patch, VectorIndex, "add", "half")
        with pytest.raises(Killed):
            replace(store, version(0))
    with opened(folder) as store:
        assert store.catalogue.counts() == (0, 0)
        assert hits(store, "harbour report") == []
        replace(store, version(1))
        assert_whole(store, version(1))
        assert_tidy(store)


class Dying:
    """A connection to SQLite that does so many statements and then is gone with its process."""

    def __init__(self, connection: sqlite3.Connection, left: list[int]) -> None:
        self._connection, self._left = connection, left

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def _count(self) -> None:
        self._left[0] -= 1
        if self._left[0] < 0:
            raise Killed

    def execute(self, *arguments: Any) -> Any:
        self._count()
        return self._connection.execute(*arguments)

    def executescript(self, script: str) -> None:
        self._count()
        self._connection.executescript(script)

    def executemany(self, sql: str, rows: Any) -> None:
        for row in rows:
            self.execute(sql, row)


def test_a_kill_while_the_catalogue_is_made_does_not_cost_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect
    for statements in range(50):
        folder, left = tmp_path / str(statements), [statements]
        with monkeypatch.context() as patch:
            patch.setattr(sqlite3, "connect", lambda *a, left=left, **k: Dying(connect(*a, **k), left))
            try:
                opened(folder, create=True).close()
                break
            except Killed:
                pass
        with opened(folder, create=True) as store:
            replace(store, version(1))
            assert_whole(store, version(1))
            assert_tidy(store)
    assert 3 < statements < 49, "it was killed at each of its statements"


def test_an_error_in_the_middle_frees_the_lock_and_heals(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(store, version(0))
    with monkeypatch.context() as patch:
        patch.setattr(VectorIndex, "add", lambda *_: (_ for _ in ()).throw(StorageError("full", "free some")))
        with pytest.raises(StorageError):
            replace(store, version(1))
    replace(store, version(2))
    assert_whole(store, version(2))
    assert_tidy(store)


# ------------------------------------------------------------------------------------ one writer


def test_the_lock_names_its_holder_and_is_freed(store: Store) -> None:
    with store.writer(), opened(store.folder) as other:
        with pytest.raises(Busy, match=f"process {os.getpid()} on ") as busy, other.writer():
            pass
        assert busy.value.cure
        assert busy.value.exit_code == 1
    with opened(store.folder) as other:
        replace(other, version(0))


def test_a_writer_sees_what_another_one_wrote_before_it(store: Store) -> None:
    replace(store, version(0))
    hits(store, "harbour")
    # More than Chroma keeps in its log: what it has in memory of the index is out of date.
    long = written("long", *[f"Pier {n} of the harbour is {n * 7} metres long." for n in range(1200)])
    with opened(store.folder) as other:
        replace(other, change(long))
    with store.writer() as writer:
        writer.remove(["report"])
    vector = store.embedder.embed([f"Harbour\n{long[1][700].text}"])[0]
    found = store.vectors.nearest(vector, 5, generation=store.catalogue.generation())
    assert len(found) == 5
    assert found[0][1] > 0.999


def test_a_writer_may_wait_for_the_other(store: Store) -> None:
    holds, free = threading.Event(), threading.Event()

    def hold() -> None:
        with store.writer():
            holds.set()
            free.wait(10)

    holder = threading.Thread(target=hold)
    holder.start()
    holds.wait(10)
    threading.Timer(0.2, free.set).start()
    with opened(store.folder) as other, other.writer(wait_s=10) as writer:
        writer.replace([version(1)])
    holder.join()
    assert_whole(store, version(1))


def test_a_disk_that_is_full_when_the_lock_is_taken_is_explained(store: Store) -> None:
    (store.folder / "writer.json").unlink(missing_ok=True)
    (store.folder / "writer.json").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="disk is full"), store.writer():
        pass


# ---------------------------------------------------------------------------------- opening, damage


def test_the_cure_for_another_embedder_is_one_that_works(tmp_path: Path) -> None:
    folder = tmp_path / "kb"
    Store.open(folder, Settings(kb=folder), create=True).close()
    with pytest.raises(EmbedderMismatch) as mismatch:
        opened(folder)
    [spec] = re.findall(r"KBQA_EMBEDDER=(\S+?)[,.]? ", mismatch.value.cure + " ")
    Store.open(folder, Settings(kb=folder, embedder=spec)).close()


def test_another_embedder_is_an_error_with_its_cure(store: Store) -> None:
    with pytest.raises(EmbedderMismatch, match="embedder hash") as mismatch:
        Store.open(store.folder, Settings(kb=store.folder, embedder="minilm"))
    assert "KBQA_EMBEDDER=hash" in mismatch.value.cure


def test_a_catalogue_of_the_future_is_not_touched(store: Store, kbqa: Any) -> None:
    replace(store, version(0))
    with sqlite3.connect(store.folder / FILE_NAME) as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE key = 'schema'")
    with pytest.raises(KnowledgeBaseError, match="version 99"):
        opened(store.folder)
    done = kbqa("documents", "--kb", store.folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert "version 99" in done.stderr
    assert rows(store, "documents") == 1


def _garbage(path: Path) -> None:
    path.write_bytes(b"this is no database " * 1000)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:20_000])


def _overwritten(path: Path) -> None:
    """Another program wrote over the end of the file; its first pages, with what is read first, are whole."""
    data = path.read_bytes()
    path.write_bytes(data[:12_288] + b"\xa5" * (len(data) - 12_288))


@pytest.mark.parametrize("damage", [_garbage, _cut, _overwritten])
@pytest.mark.parametrize("command", [("documents",), ("ask", "What of the harbour?"), ("ingest", ".")])
def test_a_damaged_catalogue_is_a_sentence(
    store: Store, kbqa: Any, damage: Callable[[Path], None], command: tuple[str, ...]
) -> None:
    replace(store, *(version(n, f"report{n}") for n in range(20)))
    store.close()
    damage(store.folder / FILE_NAME)
    done = kbqa(*command, "--kb", store.folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    assert "catalogue" in done.stderr
    assert "backup" in done.stderr
    assert "should not have happened" not in done.stderr


@pytest.mark.parametrize("call", ["documents", "info", "key_questions"])
def test_a_catalogue_damaged_while_it_is_open_is_a_storage_error(store: Store, call: str) -> None:
    replace(store, *(version(n, f"report{n}") for n in range(20)))
    store.close()
    with KnowledgeBase.open(store.folder, Settings(embedder="hash")) as kb:
        kb.close()  # the connection must not have the file in its memory
        _garbage(store.folder / FILE_NAME)
        with pytest.raises(StorageError):
            getattr(kb, call)()


@pytest.mark.parametrize("asked_first", [False, True], ids=["at once", "after a question"])
def test_a_lost_vector_folder_is_built_again_without_embedding(
    store: Store, texts: Path, asked_first: bool
) -> None:
    from ingest.sync import ingest

    ingest([str(texts)], store)
    query = "harbour bridge lorries"
    before = [h.to_dict() for h in hits(store, query)]
    assert sum(h.dense is not None for h in hits(store, query)) == store.catalogue.counts()[1]
    store.close()
    shutil.rmtree(store.folder / FOLDER_NAME)
    if asked_first:
        with opened(store.folder) as reader, pytest.raises(StorageError, match="gone"):
            hits(reader, query)
    with opened(store.folder) as again:
        embedder = Counting(again)
        report = ingest([str(texts)], again)
        assert (report.unchanged, embedder.texts) == (5, 0)
        assert_tidy(again)
        assert [h.to_dict() for h in hits(again, query)] == before


def test_only_what_is_new_in_a_document_is_embedded(
    store: Store, texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ingest.sync import ingest

    news = shutil.copytree(texts, tmp_path / "news")
    ingest([str(news)], store)
    before = [h.to_dict() for h in hits(store, "harbour bridge")]
    embedder = Counting(store)
    monkeypatch.setattr("ingest.load.PIPELINE_VERSION", "next")  # so that every file is read again
    assert ingest([str(news)], store).passages > 5
    assert embedder.texts == 0
    assert [h.to_dict() for h in hits(store, "harbour bridge")] == before
    embedder.texts = 0
    bridge = news / "bridge.md"
    bridge.write_text(bridge.read_text().replace("31 votes", "32 votes"))
    report = ingest([str(news)], store)
    assert (report.updated, embedder.texts) == (1, 1)
    assert report.passages > 1
    assert_tidy(store)
    assert "32 votes" in " ".join(h.passage.text for h in hits(store, "votes of the council"))


def test_a_vector_folder_lost_with_work_half_done_is_built_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace(store, version(0), version(1, "other"))
    with monkeypatch.context() as patch:
        kill_at(patch, Catalogue, "publish", "after")
        with pytest.raises(Killed):
            replace(store, version(2))
    store.close()
    shutil.rmtree(store.folder / FOLDER_NAME)
    with opened(store.folder) as again, again.writer():
        assert_whole(again, version(2), version(1, "other"))
        assert_tidy(again)


def test_a_rebuilding_that_is_killed_is_done_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    replace(store, version(0), version(1, "other"))
    store.close()
    shutil.rmtree(store.folder / FOLDER_NAME)
    with opened(store.folder) as again, monkeypatch.context() as patch:
        kill_at(patch, VectorIndex, "add", "half")
        with pytest.raises(Killed), again.writer():
            pass
    with opened(store.folder) as again, again.writer():
        assert_tidy(again)


def test_a_damaged_vector_folder_is_explained(store: Store) -> None:
    replace(store, version(0))
    store.close()
    (store.folder / FOLDER_NAME / "chroma.sqlite3").write_bytes(b"no database " * 500)
    with opened(store.folder) as again, pytest.raises(StorageError, match="vector index") as error:
        hits(again, "harbour report")
    assert "doctor --repair" in error.value.cure


def test_threads_that_ended_leave_no_open_file(store: Store) -> None:
    replace(store, version(0))

    def files() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    def ask() -> None:
        thread = threading.Thread(target=store.catalogue.documents)
        thread.start()
        thread.join()

    ask()
    before = files()
    for _ in range(30):
        ask()
    assert files() <= before + 4


def test_rebuilding_leaves_no_client_behind(store: Store) -> None:
    replace(store, version(0))
    before = len(vectors._open_paths)
    with store.writer() as writer:
        for _ in range(3):
            writer.rebuild_vectors()
    assert len(vectors._open_paths) <= before


def test_a_file_that_is_gone_when_it_is_measured_does_not_matter(store: Store) -> None:
    (store.folder / "vanished").symlink_to(store.folder / "nowhere")
    assert store.info()["size_bytes"] > 0


def test_half_a_letter_is_found_nowhere(store: Store) -> None:
    replace(store, version(0))
    with pytest.raises(NoSuchDocument):
        store.catalogue.document("report\udcff")
    assert hits(store, "harbour", filters=Filters(publishers=("\udcff",))) == []


def test_the_cure_does_not_depend_on_the_name_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as error, storage_errors(tmp_path):
        raise PermissionError(13, "Permission denied", "/home/fuller/kb")
    assert "may write" in error.value.cure


def test_a_closed_store_opens_again_by_itself(store: Store) -> None:
    replace(store, version(0))
    store.close()
    store.close()
    assert store.catalogue.counts() == (1, 5)
    assert len(hits(store, "harbour")) == 5


# ------------------------------------------------------------------------------------------- filters


@pytest.fixture(scope="module")
def filtered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """Documents that differ in what filters look at."""
    folder = tmp_path_factory.mktemp("filtered") / "kb"
    about = {
        "a": {"publisher": "The Harbour Post", "published": "2026-03-01"},
        "b": {"publisher": "DIE STRASSE", "published": "2026-03-15T23:59:59+02:00"},
        "c": {"publisher": "Ökonomie & Ärger", "published": "2026-03-31"},
        "d": {"publisher": "100% News", "published": "2025-12-31"},
        "e": {"publisher": "snake_case", "published": None},
        "f": {"publisher": None, "published": "2026-03-15"},
    }
    with opened(folder, create=True) as store:
        pairs = [written(name, f"The harbour of {name}.", **fields) for name, fields in about.items()]
        replace(store, *(change(pair) for pair in pairs))
        yield store


ALL = "abcdef"


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (Filters(), ALL),
        (Filters(publishers=("harbour post",)), "a"),
        (Filters(publishers=("HARBOUR",)), "a"),
        (Filters(publishers=("straße",)), "b"),
        (Filters(publishers=("ÖKONOMIE",)), "c"),
        (Filters(publishers=("ärger",)), "c"),
        (Filters(publishers=("%",)), "d"),
        (Filters(publishers=("0% n",)), "d"),
        (Filters(publishers=("_",)), "e"),
        (Filters(publishers=("post", "snake")), "ae"),
        (Filters(publishers=("'); DROP TABLE documents; --",)), ""),
        (Filters(document_ids=("a", "f", "nowhere")), "af"),
        (Filters(document_ids=("A",)), ""),
        (Filters(after="2026-03-15"), "bcf"),
        (Filters(before="2026-03-15"), "abdf"),
        (Filters(after="2026-03-15", before="2026-03-15"), "bf"),
        (Filters(after="2026-03-31", before="2026-03-01"), ""),
        (Filters(after="0000-01-01"), "abcdf"),
        (Filters(publishers=("harbour",), before="2025-12-31"), ""),
        (Filters(document_ids=("a", "b"), publishers=("post",)), "a"),
    ],
)
def test_filters(filtered: Store, filters: Filters, expected: str) -> None:
    found = hits(filtered, "harbour", filters=filters)
    assert "".join(sorted(h.passage.document_id for h in found)) == expected
    assert "".join(sorted({h.passage.document_id for h in found if h.dense is not None})) == expected
    assert "".join(sorted({h.passage.document_id for h in found if h.lexical is not None})) == expected


def test_a_filter_sees_live_versions_only(store: Store) -> None:
    old = written("a", "The harbour.", publisher="Old Post", published="2020-01-01")
    new = written("a", "The harbour.", publisher="New Post", published="2026-01-01")
    replace(store, change(old))
    replace(store, change(new))
    assert hits(store, "harbour", filters=Filters(publishers=("old",))) == []
    assert hits(store, "harbour", filters=Filters(before="2020-12-31")) == []
    assert len(hits(store, "harbour", filters=Filters(publishers=("new",)))) == 1


def test_many_ids_in_one_filter(filtered: Store) -> None:
    many = tuple(f"missing{n}" for n in range(2000))
    found = hits(filtered, "harbour", filters=Filters(document_ids=(*many, "c")))
    assert [h.passage.document_id for h in found] == ["c"]


# ------------------------------------------------------------------------------------ dense and dead


def test_vectors_that_are_not_live_never_come_to_light(store: Store) -> None:
    replace(store, version(0))
    stray = store.embedder.embed(["harbour report version"])
    store.vectors.add([999_999], stray)
    assert store.vectors.nearest(stray[0], 1, generation=store.catalogue.generation())[0][0] == 999_999
    found = hits(store, "harbour report version")
    assert len(found) == 5
    assert [h.rank for h in found] == [1, 2, 3, 4, 5]


def test_a_staged_version_is_not_found(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    replace(store, version(0))
    with monkeypatch.context() as patch:
        kill_at(patch, Catalogue, "publish", "before")
        with pytest.raises(Killed):
            replace(store, version(1))
    assert len(store.vectors.keys()) == 11, "both versions are in the index"
    assert {h.passage.text[-3:] for h in hits(store, "harbour report version")} == {"v0."}
    matching = store.catalogue.matching(Filters(document_ids=("report",)))
    assert matching is not None
    assert matching.tolist() == live_keys(store)


def test_many_passages_go_in_and_out_in_batches(store: Store) -> None:
    many = [f"Line {n} of the long report." for n in range(2100)]
    replace(store, change(written("long", *many)))
    assert len(store.vectors.keys()) == 2100
    with store.writer() as writer:
        writer.rebuild_vectors()
    assert_tidy(store)
    with store.writer() as writer:
        writer.remove(["long"])
    assert store.vectors.keys() == []
    assert_tidy(store)


def test_every_error_of_the_store_has_a_cure(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for action in (
        lambda: opened(tmp_path / "nowhere"),
        lambda: opened(tmp_path / "file" / "kb", create=True),
        lambda: store.catalogue.document("x"),
    ):
        with pytest.raises(KBError) as error:
            action()
        assert error.value.cure


def test_a_writer_is_only_got_with_the_lock(store: Store) -> None:
    with store.writer() as writer:
        assert isinstance(writer, Writer)
        assert (store.folder / "writer.lock").exists()
