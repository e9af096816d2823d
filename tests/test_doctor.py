"""A knowledge base that was damaged, saved and brought back: what is said of it, and that answers stay."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import sys
import threading
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from conftest import Command

from ingest.sync import ingest
from kb.backup import back_up, restore
from kb.catalogue import FILE_NAME
from kb.doctor import Health, examine, repair
from kb.errors import KBError, StorageError, UsageError
from kb.pipeline import KnowledgeBase
from kb.settings import Settings
from kb.store import Store
from kb.vectors import FOLDER_NAME

QUESTION = "When was the harbour bridge closed to lorries?"
TODAY = date(2026, 12, 1)


def settings(folder: Path) -> Settings:
    return Settings(kb=folder, embedder="hash")


@pytest.fixture
def folder(library_folder: Path, tmp_path: Path) -> Path:
    """A copy of the small knowledge base, to be damaged."""
    copy = tmp_path / "kb"
    shutil.copytree(library_folder, copy)
    return copy


def answer(folder: Path) -> str:
    with KnowledgeBase.open(folder, settings(folder)) as kb:
        return json.dumps(kb.ask(QUESTION).to_dict() | {"seconds": 0})


def health(folder: Path, *, mend: bool = False) -> Health:
    with Store.open(folder, settings(folder)) as store:
        return (repair if mend else examine)(store, today=TODAY)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    for place in range(100, len(data), 97):
        data[place] ^= 0xFF
    path.write_bytes(data)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "deleted": shutil.rmtree,
    "emptied": lambda index: [shutil.rmtree(index), index.mkdir()],
    "truncated": lambda index: (index / "chroma.sqlite3").write_bytes(
        (index / "chroma.sqlite3").read_bytes()[:5000]
    ),
    "flipped": lambda index: [flip(path) for path in index.rglob("*") if path.is_file()],
    "no database": lambda index: (index / "chroma.sqlite3").write_bytes(b"nothing" * 99),
}


def test_a_sound_library_is_said_to_be(folder: Path) -> None:
    found = health(folder)
    assert (found.sound, found.findings) == (True, ())
    assert health(folder, mend=True) == found


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_index_is_named_and_mended_without_embedding(folder: Path, damage: str) -> None:
    before = answer(folder)
    DAMAGE[damage](folder / FOLDER_NAME)
    found = health(folder)
    assert not found.sound
    assert "doctor --repair" in found.findings[0].cure
    with pytest.raises(StorageError, match="doctor --repair"):
        answer(folder)
    with Store.open(folder, settings(folder)) as store:
        store.embedder = None  # type: ignore[assignment]  # nothing may be embedded
        mended = repair(store, today=TODAY)
    assert mended.sound
    assert mended.repaired
    assert answer(folder) == before


def test_single_vectors_and_words_that_are_lost_are_noticed(folder: Path) -> None:
    before = answer(folder)
    with Store.open(folder, settings(folder)) as store:
        [key, other, *_] = next(store.catalogue.every_vector())[0]
        vectors = store.catalogue.vectors([other])[1]
        store.vectors.delete([key])
        store.vectors.add([other], -vectors)
        store.vectors.add([10**9], vectors)
    catalogue = sqlite3.connect(folder / FILE_NAME)
    catalogue.execute("DELETE FROM words WHERE rowid = ?", (key,))
    catalogue.commit()
    catalogue.close()
    assert [finding.what for finding in health(folder).findings] == [
        "1 passages cannot be found by their words",
        "1 passages are missing from the vector index",
        "1 passages have another vector there than in the catalogue",
        "1 vectors belong to no passage",
    ]
    assert health(folder, mend=True).findings == ()
    assert answer(folder) == before


def test_a_damaged_catalogue_asks_for_a_backup(folder: Path) -> None:
    path = folder / FILE_NAME
    data = bytearray(path.read_bytes())
    data[8192:20000] = bytes(20000 - 8192)
    path.write_bytes(data)
    try:
        cures = [finding.cure for finding in health(folder).findings if finding.damage]
    except StorageError as error:
        cures = [error.cure]
    assert any("restore" in cure for cure in cures)


def test_dates_that_cannot_be_are_noted(folder: Path, tmp_path: Path) -> None:
    for name, days in (
        ("ahead", "date: 2026-01-01\nupdated: 2031-01-01"),
        ("misread", "date: 1022-03-04"),
    ):
        (tmp_path / f"{name}.md").write_text(f"---\n{days}\n---\nText of {name}.")
    with Store.open(folder, settings(folder)) as store:
        ingest([str(tmp_path / "ahead.md"), str(tmp_path / "misread.md")], store)
        found = examine(store, today=TODAY)
    assert found.sound
    assert [finding.what for finding in found.findings] == [
        "the date of ahead.md (2031-01-01) lies in the future",
        "the date of misread.md (1022-03-04) cannot be right",
    ]


def test_the_command(folder: Path, kbqa: Callable[..., Any]) -> None:
    done = kbqa("doctor", "--kb", folder)
    assert (done.returncode, done.stdout) == (0, "The knowledge base is sound.\n")
    shutil.rmtree(folder / FOLDER_NAME)
    done = kbqa("doctor", "--kb", folder)
    assert done.returncode == 1
    assert "is gone" in done.stdout
    done = kbqa("doctor", "--repair", "--json", "--kb", folder)
    assert json.loads(done.stdout)["sound"]


def test_a_folder_that_cannot_be_written_to_is_asked_all_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = answer(folder)
    kept = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    may = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK and may(path, mode))
    monkeypatch.setitem(sys.modules, "chromadb", None)  # it would write
    assert answer(folder) == before
    assert health(folder).findings == ()
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == kept


# --------------------------------------------------------------------------- backup and restoring


def test_a_backup_is_one_file_and_comes_back_the_same(folder: Path, tmp_path: Path) -> None:
    before = answer(folder)
    file = tmp_path / "library.backup"
    with Store.open(folder, settings(folder)) as store:
        count = back_up(store, file)
        assert count == store.catalogue.counts()[0] > 0
        with pytest.raises(UsageError, match="already"):
            back_up(store, file)
    shutil.rmtree(folder)
    other = tmp_path / "elsewhere" / "kb"
    assert restore(file, settings(other)) == count
    assert answer(other) == before
    assert health(other).findings == ()


def test_restoring_over_a_library_needs_a_word_and_is_seen_by_its_readers(
    folder: Path, tmp_path: Path
) -> None:
    file = tmp_path / "library.backup"
    (tmp_path / "new.txt").write_text("The zebra crossing at the quarry is painted blue.")
    with Store.open(folder, settings(folder)) as store:
        back_up(store, file)
        ingest([str(tmp_path / "new.txt")], store)
    with KnowledgeBase.open(folder, settings(folder)) as reader:
        assert reader.search("zebra crossing quarry")[0].passage.document_id == "new.txt"
        with pytest.raises(UsageError, match="--replace"):
            restore(file, settings(folder))
        restore(file, settings(folder), replace=True)
        assert "new.txt" not in {hit.passage.document_id for hit in reader.search("zebra crossing quarry")}
        assert "new.txt" not in {document.id for document in reader.documents()}


def test_a_backup_of_a_library_at_work_is_of_one_moment(folder: Path, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        with Store.open(folder, settings(folder)) as store:
            number = 0
            while not stop.is_set():
                number += 1
                for name in ("a", "b"):
                    (tmp_path / f"{name}.txt").write_text(f"Edition {number}.")
                ingest([str(tmp_path / "a.txt"), str(tmp_path / "b.txt")], store)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        with Store.open(folder, settings(folder)) as store:
            for n in range(5):
                back_up(store, tmp_path / f"{n}.backup")
    finally:
        stop.set()
        writer.join()
    for n in range(5):
        other = tmp_path / f"kb{n}"
        restore(tmp_path / f"{n}.backup", settings(other))
        with Store.open(other, settings(other)) as store:
            assert examine(store, today=TODAY).findings == ()
            texts = {
                store.catalogue.document(i).text for i in ("a.txt", "b.txt") if store.catalogue.origin_of(i)
            }
            assert len(texts) <= 1, "both files are written in one step"


def test_what_is_no_backup_is_refused(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "letter.txt").write_text("Dear editor, " * 100)
    before = answer(folder)
    for source in (tmp_path / "letter.txt", tmp_path / "nowhere"):
        with pytest.raises(KBError):
            restore(source, settings(folder), replace=True)
    assert answer(folder) == before


@pytest.mark.parametrize("damage", ["no database", "truncated", "flipped"])
def test_a_backup_takes_the_place_of_a_damaged_catalogue_which_is_kept(
    folder: Path, tmp_path: Path, kbqa: Command, damage: str
) -> None:
    before, path, file = answer(folder), folder / FILE_NAME, tmp_path / "library.backup"
    done = kbqa("backup", file, "--kb", folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"documents backed up to {file}.\n")

    if damage == "flipped":
        flip(path)
    else:
        path.write_bytes(path.read_bytes()[:5000] if damage == "truncated" else b"nothing" * 99)
    path.with_name(f"{FILE_NAME}.damaged-wal").write_bytes(b"of one that was set aside long ago")
    broken = path.read_bytes()
    asked = kbqa("ask", QUESTION, "--kb", folder)
    assert asked.returncode == 1
    assert "restore a backup (`kbqa restore FILE --replace`)" in asked.stderr
    refused = kbqa("restore", file, "--kb", folder)
    assert refused.returncode == 2
    assert "add --replace" in refused.stderr
    assert path.read_bytes() == broken

    done = kbqa("restore", file, "--replace", "--kb", folder)
    aside = path.with_name(f"{FILE_NAME}.damaged")
    assert done.returncode == 0
    assert done.stdout.endswith(f"documents restored to {folder}.\n")
    assert f"The catalogue could not be read and is kept as {aside}" in done.stderr
    assert aside.read_bytes() == broken
    assert b"long ago" not in b"".join(p.read_bytes() for p in folder.glob(f"{FILE_NAME}.damaged-*"))
    assert answer(folder) == before
    assert kbqa("doctor", "--kb", folder).stdout == "The knowledge base is sound.\n"
