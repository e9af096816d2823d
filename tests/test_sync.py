"""Ingestion into a real store: what is written, what is left alone, and what a bad source may cost."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
import samples

import ingest as pipeline
from ingest import load as loading
from ingest import sync
from ingest.fetch import Fetcher
from ingest.sync import Chosen, ingest
from kb.errors import Busy, KBError, ModelError
from kb.settings import Settings
from kb.store import Change, Store, Writer


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    folder = tmp_path / "kb"
    with Store.open(folder, Settings(kb=folder, embedder="hash"), create=True) as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to ingest, outside the knowledge base's own."""
    path = tmp_path / "news"
    path.mkdir()
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def ids(store: Store) -> list[str]:
    return sorted(summary.id for summary in store.catalogue.documents())


def fingerprint(store: Store) -> dict[str, str]:
    """A hash of every file of the knowledge base, apart from the lock and who held it."""
    files = [p for p in store.folder.rglob("*") if p.is_file() and not p.name.startswith("writer.")]
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


class Embedding:
    """Counts what an embedder is asked for, and lets it do its work."""

    def __init__(self, store: Store) -> None:
        self.texts = 0
        self._inner = store.embedder
        self.name, self.dimension = self._inner.name, self._inner.dimension
        self.max_tokens = self._inner.max_tokens
        self.count_tokens = self._inner.count_tokens
        store.embedder = self

    def embed(self, texts):  # type: ignore[no-untyped-def]
        self.texts += len(texts)
        return self._inner.embed(texts)


# ------------------------------------------------------------------------------------- first time


def test_every_format_in_one_run(store: Store, folder: Path) -> None:
    for suffix in samples.FORMATS:
        samples.article(folder, suffix)
    samples.records(folder / "..", "csv").rename(folder / "records.csv")
    calls: list[tuple[int, int, str]] = []
    report = ingest([str(folder)], store, progress=lambda *call: calls.append(call))
    assert (report.added, report.updated, report.unchanged, report.removed, report.failed) == (7, 0, 0, 0, ())
    assert ids(store) == ["clock.docx", "clock.html", "clock.md", "clock.pdf", "clock.txt", "r1", "r2"]
    assert store.catalogue.counts() == (7, report.passages)
    assert calls == [(n, 6, name) for n, name in enumerate(sorted(p.name for p in folder.iterdir()), start=1)]
    document = store.catalogue.document("clock.md")
    assert document.source == str(folder / "clock.md")
    assert samples.QUESTIONS[0][0] in store.catalogue.questions(10)


def test_ids_are_paths_below_the_folder_and_names_of_single_files(store: Store, folder: Path) -> None:
    write(folder / "sub" / "deep" / "a.txt", "Text of a.")
    single = write(folder / "b.txt", "Text of b.")
    ingest([str(folder / "sub"), str(single)], store)
    assert ids(store) == ["b.txt", "deep/a.txt"]


def test_hidden_and_foreign_files_are_passed_over(store: Store, folder: Path) -> None:
    write(folder / "a.txt", "Text.")
    write(folder / ".hidden.txt", "No.")
    write(folder / ".git" / "b.txt", "No.")
    write(folder / "image.png", "No.")
    write(folder / "Makefile", "all:\n\tno")
    write(folder / "questions.csv", "id,question\n1,Why?\n")
    (folder / "report").write_bytes(samples.article(folder, "pdf").read_bytes())
    report = ingest([str(folder)], store)
    assert report.failed == ()
    assert ids(store) == ["a.txt", "clock.pdf", "report"]


def test_patterns_choose_among_the_files_of_a_folder(store: Store, folder: Path) -> None:
    for name in ("a.md", "b.txt", "drafts/c.md", "drafts/keep.md", "old/d.md"):
        write(folder / name, f"Text of {name}.")
    write(folder / ".kbqaignore", "/old/\n")
    ingest([str(folder)], store, chosen=Chosen(include=("*.md",), exclude=("drafts/*", "!drafts/keep.md")))
    assert ids(store) == ["a.md", "drafts/keep.md"]


def test_the_same_file_named_twice_is_read_once(store: Store, folder: Path) -> None:
    path = write(folder / "a.txt", "Text.")
    assert ingest([str(folder), str(path), str(folder)], store).added == 1
    assert ids(store) == ["a.txt"]


# ----------------------------------------------------------------------------------- second time


def test_unchanged_means_no_embedding_and_no_write(store: Store, folder: Path) -> None:
    for suffix in ("md", "pdf"):
        samples.article(folder, suffix)
    samples.records(folder, "jsonl")
    ingest([str(folder)], store)
    embedding, before = Embedding(store), fingerprint(store)
    report = ingest([str(folder)], store)
    assert (report.added, report.updated, report.unchanged, report.passages) == (0, 0, 4, 0)
    assert embedding.texts == 0
    assert fingerprint(store) == before


def test_unchanged_files_are_not_parsed(store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples.article(folder, "md")
    ingest([str(folder)], store)

    def parse(*_: object, **__: object) -> None:
        raise AssertionError("parsed")

    monkeypatch.setattr(sync, "parse", parse)
    report = ingest([str(folder)], store)
    assert (report.unchanged, report.failed) == (1, ())


def test_a_new_pipeline_reads_everything_again(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "a.txt", "Text.")
    ingest([str(folder)], store)
    monkeypatch.setattr(loading, "PIPELINE_VERSION", pipeline.PIPELINE_VERSION + "x")
    monkeypatch.setattr(sync, "parse", loading.parse)  # in this process, where the version is another now
    assert ingest([str(folder)], store).updated == 1


def test_a_changed_file_replaces_its_old_version(store: Store, folder: Path) -> None:
    path = write(folder / "a.txt", "The old text.")
    write(folder / "b.txt", "Another.")
    ingest([str(folder)], store)
    write(path, "The new text.")
    report = ingest([str(folder)], store)
    assert (report.added, report.updated, report.unchanged) == (0, 1, 1)
    assert store.catalogue.document("a.txt").text == "The new text."
    assert store.catalogue.counts() == (2, 2)


def test_counts_of_a_changed_record_file_are_per_record(store: Store, folder: Path) -> None:
    rows = [{"id": n, "text": f"Record {n} says this."} for n in "abc"]
    path = write(folder / "f.jsonl", "\n".join(map(json.dumps, rows)))
    assert ingest([str(folder)], store).added == 3
    rows = [rows[0], {"id": "b", "text": "Changed."}, {"id": "d", "text": "New."}]
    write(path, "\n".join(map(json.dumps, rows)))
    report = ingest([str(folder)], store)
    assert (report.added, report.updated, report.unchanged, report.removed) == (1, 1, 1, 1)
    assert ids(store) == ["a", "b", "d"]


def test_removed_documents_come_back_when_their_file_is_ingested_again(store: Store, folder: Path) -> None:
    write(folder / "a.txt", "Text.")
    ingest([str(folder)], store)
    with store.writer() as writer:
        writer.remove(["a.txt"])
    assert ingest([str(folder)], store).added == 1


# -------------------------------------------------------------------------------------------- ids


def test_taken_ids_get_parent_folders(store: Store, folder: Path) -> None:
    first = write(folder / "x" / "news" / "a.txt", "First.")
    second = write(folder / "y" / "news" / "a.txt", "Second.")
    third = write(folder / "z" / "news" / "a.txt", "Third.")
    ingest([str(first), str(second)], store)
    ingest([str(third)], store)
    assert ids(store) == ["a.txt", "news/a.txt", "z/news/a.txt"]
    assert store.catalogue.document("news/a.txt").text == "Second."


def test_an_id_once_given_stays(store: Store, folder: Path) -> None:
    first = write(folder / "x" / "a.txt", "First.")
    second = write(folder / "y" / "a.txt", "Second.")
    ingest([str(first), str(second)], store)
    with store.writer() as writer:
        writer.remove(["a.txt"])
    write(second, "Second, changed.")
    report = ingest([str(second)], store)
    assert (report.updated, report.added) == (1, 0)
    assert ids(store) == ["y/a.txt"]


def test_records_whose_id_is_taken(store: Store, folder: Path) -> None:
    one = write(folder / "one.jsonl", '{"id": "1", "text": "First."}')
    two = write(folder / "two.jsonl", '{"id": "1", "text": "Second."}\n{"id": "2", "text": "Third."}')
    ingest([str(one), str(two)], store)
    assert ids(store) == ["1", "2", "two.jsonl/1"]
    assert ingest([str(one), str(two)], store).unchanged == 3


# --------------------------------------------------------------------------------------- failures


def test_bad_sources_never_stop_the_rest(store: Store, folder: Path) -> None:
    write(folder / "a.txt", "Good.")
    (folder / "b.pdf").write_bytes(b"%PDF-1.4 broken")
    (folder / "c.docx").write_bytes(b"PK\x03\x04 broken")
    (folder / "d.txt").write_bytes(bytes(range(256)) * 9)
    write(folder / "e.md", "")
    write(folder / "f.jsonl", '{"text": "Good."}\n{bad')
    picture = write(folder / "g.png", "x")
    write(folder / "z.txt", "Good.")
    report = ingest([str(folder / "nowhere"), str(folder), str(picture)], store)
    assert ids(store) == ["a.txt", "f.jsonl#1", "z.txt"]
    failed = {Path(failure.source).name for failure in report.failed}
    assert failed == {"nowhere", "b.pdf", "c.docx", "d.txt", "e.md", "f.jsonl#2", "g.png"}
    assert all(": " in failure.error for failure in report.failed), "every failure names a cure"


def test_a_link_does_not_lead_out_of_the_folder(store: Store, folder: Path, tmp_path: Path) -> None:
    secret = write(tmp_path / "secret.txt", "The key is under the mat.")
    write(folder / "a.txt", "Fine.")
    (folder / "inside.txt").symlink_to(folder / "a.txt")
    (folder / "outside.txt").symlink_to(secret)
    (folder / "away").symlink_to(tmp_path)
    report = ingest([str(folder)], store)
    assert ids(store) == ["a.txt"]
    assert [Path(failure.source).name for failure in report.failed] == ["outside.txt"]
    assert "leads out of the folder" in report.failed[0].error


def test_a_file_that_breaks_keeps_its_old_version(store: Store, folder: Path) -> None:
    path = samples.article(folder, "pdf")
    ingest([str(folder)], store)
    path.write_bytes(path.read_bytes()[:300])
    report = ingest([str(folder)], store)
    assert len(report.failed) == 1
    assert store.catalogue.document("clock.pdf").title == samples.TITLE


def test_what_storage_and_models_raise_is_passed_on(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(folder / "a.txt", "Text.")

    def broken(texts: object) -> None:
        raise ModelError("the model is missing", "install it")

    monkeypatch.setattr(type(store.embedder), "embed", lambda self, texts: broken(texts))
    with pytest.raises(KBError, match="model is missing"):
        ingest([str(folder)], store)
    assert ids(store) == []


def test_a_second_writer_is_told_who_writes(store: Store, folder: Path) -> None:
    write(folder / "a.txt", "Text.")
    with store.writer(), pytest.raises(Busy, match=str(os.getpid())):
        ingest([str(folder)], store)


# ------------------------------------------------------------------------------------------ prune


def test_prune_removes_what_is_gone_and_nothing_else(store: Store, folder: Path) -> None:
    gone = write(folder / "in" / "gone.txt", "Gone.")
    write(folder / "in" / "kept.txt", "Kept.")
    elsewhere = write(folder / "out" / "gone.txt", "Elsewhere.")
    beside = write(folder / "in2" / "x.txt", "Beside.")
    ingest([str(folder / "in"), str(elsewhere), str(beside)], store)
    for path in (gone, elsewhere, beside):
        path.unlink()
    assert ingest([str(folder / "in")], store).removed == 0
    report = ingest([str(folder / "in")], store, prune=True)
    assert (report.removed, report.unchanged) == (1, 1)
    assert ids(store) == ["kept.txt", "out/gone.txt", "x.txt"]


def test_prune_removes_the_rest_of_a_list_of_which_a_row_was_removed(store: Store, folder: Path) -> None:
    rows = folder / "in" / "rows.jsonl"
    rows.parent.mkdir()
    rows.write_text("".join(f'{{"id": "r{n}", "text": "Row {n}."}}\n' for n in range(3)))
    ingest([str(rows.parent)], store)
    with store.writer() as writer:
        writer.remove(["r0"])
    rows.unlink()
    assert ingest([str(rows.parent)], store, prune=True).removed == 2
    assert store.catalogue.documents() == []


def test_prune_of_a_missing_folder_removes_nothing(store: Store, folder: Path) -> None:
    path = write(folder / "in" / "a.txt", "Text.")
    ingest([str(folder / "in")], store)
    path.unlink()
    path.parent.rmdir()
    report = ingest([str(folder / "in")], store, prune=True)
    assert (report.removed, len(report.failed)) == (0, 1)
    assert ids(store) == ["a.txt"]


# ---------------------------------------------------------------------------------------- batches


def test_long_runs_are_written_in_batches(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "BATCH_PASSAGES", 4)
    for n in range(10):
        write(folder / f"{n}.txt", f"Text {n}.")
    visible: list[int] = []
    ingest([str(folder)], store, progress=lambda *_: visible.append(store.catalogue.counts()[0]))
    assert visible == [0, 0, 0, 4, 4, 4, 4, 8, 8, 8]
    assert store.catalogue.counts() == (10, 10)


def test_an_interrupt_stops_between_batches(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sync, "BATCH_PASSAGES", 2)
    for n in range(6):
        write(folder / f"{n}.txt", f"Text {n}.")
    replace = Writer.replace
    batches: list[int] = []

    def interrupted(writer: Writer, changes: list[Change], *vectors: Any) -> None:
        batches.append(len(changes))
        os.kill(os.getpid(), signal.SIGINT)
        replace(writer, changes, *vectors)

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ingest([str(folder)], store)
    assert batches == [2]
    assert ids(store) == ["0.txt", "1.txt"]
    report = ingest([str(folder)], store)
    assert (report.added, report.unchanged) == (4, 2)


# ------------------------------------------------------------------------------------------- URLs


LOCAL = Fetcher(private=True, pause=0)


class Pages(BaseHTTPRequestHandler):
    pages: ClassVar[dict[str, tuple[str, bytes]]] = {}

    def do_GET(self) -> None:
        if self.path not in self.pages:
            self.send_error(404)
            return
        media_type, data = self.pages[self.path]
        self.send_response(200)
        self.send_header("Content-Type", media_type)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """The address of a local site with a few pages."""
    Pages.pages = {
        "/clock": ("text/html; charset=utf-8", samples.html().encode()),
        "/report": ("application/pdf", samples.article(tmp_path, "pdf").read_bytes()),
        "/latin": ("text/plain; charset=iso-8859-1", "Gruß aus Köln.".encode("latin-1")),
        "/image": ("image/png", b"\x89PNG\r\n\x1a\n\0\0\0\0"),
        "/huge": ("text/plain", b"x" * 5000),
    }
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_urls(store: Store, site: str) -> None:
    urls = [f"{site}/{name}" for name in ("clock", "report", "latin")]
    report = ingest(urls, store, fetcher=LOCAL)
    assert (report.added, report.failed) == (3, ())
    assert ids(store) == sorted(urls)
    clock, pdf, latin = (store.catalogue.document(url) for url in urls)
    assert (clock.title, clock.source, clock.url) == (samples.TITLE, urls[0], "https://courier.example/clock")
    assert clock.retrieved_at is not None
    assert (pdf.media_type, pdf.url) == ("application/pdf", urls[1])
    assert (latin.text, latin.title) == ("Gruß aus Köln.", "latin")
    assert ingest(urls, store, fetcher=LOCAL).unchanged == 3
    Pages.pages["/latin"] = ("text/plain", b"Changed.")
    assert ingest(urls, store, fetcher=LOCAL).updated == 1


def test_urls_that_fail(store: Store, site: str) -> None:
    urls = [f"{site}/missing", f"{site}/image", f"{site}/huge", "http://127.0.0.1:9/", "http://[bad"]
    report = ingest([*urls, f"{site}/latin"], store, fetcher=Fetcher(private=True, pause=0, size=4000))
    assert [failure.source for failure in report.failed] == urls
    assert "404" in report.failed[0].error
    assert ids(store) == [f"{site}/latin"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a file have a name that is no text")
def test_a_name_that_is_no_text_costs_only_its_file(store: Store, folder: Path) -> None:
    write(folder / "good.txt", "The ferry sails at nine.")
    (folder / os.fsdecode(b"bad\xff.txt")).write_text("The ferry sails at ten.")
    report = ingest([str(folder)], store)
    assert (report.added, ids(store)) == (1, ["good.txt"])
    assert "not valid UTF-8" in report.failed[0].error


def test_prune_keeps_what_it_may_not_look_at(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = write(folder / "gone.txt", "The ferry sails at nine.")
    locked = write(folder / "locked" / "note.txt", "The ferry sails at ten.")
    ingest([str(folder)], store)
    look, unseen = os.lstat, str(locked.resolve())

    def lstat(path, **options):  # type: ignore[no-untyped-def]
        if str(path) == unseen:
            raise PermissionError(13, "Permission denied", str(path))
        return look(path, **options)

    gone.unlink()
    locked.unlink()
    monkeypatch.setattr(os, "lstat", lstat)
    assert ingest([str(folder)], store, prune=True).removed == 1
    assert ids(store) == ["locked/note.txt"]
