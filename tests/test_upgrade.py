"""A knowledge base that an older kbqa made: opened, it is brought up to date, and what it was is kept."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kb.catalogue import FILE_NAME, SCHEMA_VERSION, Catalogue
from kb.pipeline import KnowledgeBase
from kb.settings import Settings
from kb.store import Store

VERSION_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE origins (origin TEXT PRIMARY KEY, content_hash TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL, live INTEGER NOT NULL DEFAULT 0, origin TEXT NOT NULL, source TEXT NOT NULL,
    title TEXT NOT NULL, text TEXT NOT NULL, media_type TEXT NOT NULL, content_hash TEXT NOT NULL,
    author TEXT, publisher TEXT, published TEXT, url TEXT, language TEXT,
    sections TEXT NOT NULL, page_starts TEXT NOT NULL, retrieved_at TEXT
);
CREATE UNIQUE INDEX live_documents ON documents (id) WHERE live = 1;
CREATE INDEX documents_by_origin ON documents (origin);
CREATE INDEX documents_by_published ON documents (published) WHERE live = 1;
CREATE TABLE passages (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    document INTEGER NOT NULL REFERENCES documents (key) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
    section TEXT, page INTEGER, vector BLOB NOT NULL
);
CREATE UNIQUE INDEX passages_by_document ON passages (document, ordinal);
CREATE VIRTUAL TABLE words USING fts5 (
    text, section, title, tokenize = 'porter unicode61 remove_diacritics 2'
);
CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, 'row');
"""
QUESTION = "When was the harbour bridge closed to lorries?"
REPORT = (
    "A ferry named Marta carries lorries across the harbour every twenty minutes from five in the morning \
until midnight, and a crossing costs 18 euros for a lorry until the harbour bridge is open to traffic again."
)
NOTICE = "Correction: An earlier version of this article gave another fare."


def settings(folder: Path) -> Settings:
    return Settings(kb=folder, embedder="hash")


def answer(folder: Path) -> str:
    with KnowledgeBase.open(folder, settings(folder)) as kb:
        return json.dumps(kb.ask(QUESTION).to_dict() | {"seconds": 0})


def dump(path: Path) -> list[str]:
    with sqlite3.connect(path) as connection:
        return list(connection.iterdump())


@pytest.fixture
def folder(library_folder: Path, tmp_path: Path, kbqa: Callable[..., Any]) -> Path:
    """The small knowledge base, with two copies of a report, as version 1 kept it."""
    folder = tmp_path / "kb"
    shutil.copytree(library_folder, folder)
    for name, text in (("post.txt", f"{REPORT}\n\n{NOTICE}"), ("radio.txt", f"From the coast.\n\n{REPORT}")):
        (tmp_path / name).write_text(text)
        assert kbqa("ingest", tmp_path / name, "--kb", folder).returncode == 0
    new, old = folder / "new.sqlite", folder / FILE_NAME
    old.rename(new)
    connection = sqlite3.connect(old)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(VERSION_1)
    connection.execute("ATTACH ? AS new", (str(new),))
    for table in ("meta", "origins", "documents", "passages"):
        columns = ", ".join(row[1] for row in connection.execute(f"PRAGMA main.table_info({table})"))
        connection.execute(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM new.{table}")
    connection.execute(
        "INSERT INTO words (rowid, text, section, title) SELECT rowid, text, section, title FROM new.words"
    )
    connection.execute("UPDATE meta SET value = '1' WHERE key = 'schema'")
    connection.commit()
    connection.close()
    for path in folder.glob("new.sqlite*"):
        path.unlink()
    return folder


def columns(path: Path) -> dict[str, set[tuple[Any, ...]]]:
    """Each table and index with its columns, in no order."""
    with sqlite3.connect(path) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema ORDER BY name")]
        return {
            t: {
                row[1:]
                for kind in ("table", "index")
                for row in connection.execute(f"PRAGMA {kind}_info({t})")
            }
            for t in tables
        }


def test_it_is_brought_up_to_date_when_it_is_opened(
    folder: Path, library_folder: Path, kbqa: Callable[..., Any]
) -> None:
    before = dump(folder / FILE_NAME)
    done = kbqa("documents", "--json", "--kb", folder)
    listed = {d["id"]: d for d in json.loads(done.stdout)}
    assert listed["post.txt"]["correction"] == NOTICE
    assert {i: d["copies"] for i, d in listed.items() if d["copies"]} == {
        "post.txt": ["radio.txt"],
        "radio.txt": ["post.txt"],
    }
    kept = folder / "catalogue.v1.sqlite"
    assert done.stderr.count(f"kept as it was: {kept}") == 1
    assert dump(kept) == before
    assert columns(folder / FILE_NAME) == columns(library_folder / FILE_NAME)
    assert kbqa("doctor", "--kb", folder).stdout == "The knowledge base is sound.\n"
    assert kbqa("documents", "--kb", folder).stderr == ""


def test_answers_stay_and_it_can_be_written_to(
    folder: Path, kbqa: Callable[..., Any], tmp_path: Path
) -> None:
    with Store.open(folder, settings(folder)) as store:
        assert store.catalogue.version() == SCHEMA_VERSION
    first = answer(folder)
    assert json.loads(first)["status"] == "answered"
    (tmp_path / "echo.txt").write_text(f"The echo.\n\n{REPORT}")
    assert kbqa("ingest", tmp_path / "echo.txt", tmp_path / "post.txt", "--kb", folder).returncode == 0
    listed = {d["id"]: d for d in json.loads(kbqa("documents", "--json", "--kb", folder).stdout)}
    assert listed["post.txt"]["copies"] == ["echo.txt", "radio.txt"]
    assert kbqa("remove", "echo.txt", "--kb", folder).returncode == 0
    assert answer(folder) == first


def test_killed_on_the_way_it_is_what_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = dump(folder / FILE_NAME)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Catalogue, "_find_families", killed)
        with pytest.raises(KeyboardInterrupt):
            Store.open(folder, settings(folder))
    assert dump(folder / FILE_NAME) == before
    assert json.loads(answer(folder))["status"] == "answered"


def test_of_several_that_open_it_at_once_one_does_it(folder: Path) -> None:
    answers: list[str] = []
    threads = [threading.Thread(target=lambda: answers.append(answer(folder))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 4
    assert len(set(answers)) == 1


def test_a_backup_of_an_older_version_can_be_restored(
    folder: Path, tmp_path: Path, kbqa: Callable[..., Any]
) -> None:
    old = tmp_path / "old.backup"
    shutil.copy(folder / FILE_NAME, old)
    kept = old.read_bytes()
    assert kbqa("restore", old, "--kb", tmp_path / "other").returncode == 0
    assert answer(tmp_path / "other") == answer(folder)
    assert kbqa("restore", old, "--replace", "--kb", folder).returncode == 0
    assert answer(folder) == answer(tmp_path / "other")
    assert old.read_bytes() == kept
