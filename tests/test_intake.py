"""Changes of the library on the page: what is taken in, read again, removed and put back, and by whom."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import BRIDGE, BRIEFS

from ingest.sync import ingest
from kb.errors import Busy, NoSuchDocument, UsageError
from kb.phrases import LIBRARY_NOT_YOURS as NOT_YOURS
from kb.pipeline import KnowledgeBase
from kb.settings import Settings
from kb.store import Store
from kb.web.desk import VISITOR, Visitor
from kb.web.intake import Intake, Step, Taken, safe_name
from kb.web.library import Library, Seen

COST = "What will the repair of the harbour bridge cost?"


@pytest.fixture
def kb(tmp_path: Path, cache: Path) -> Iterator[KnowledgeBase]:
    settings = Settings(kb=tmp_path / "kb", embedder="hash", cache=cache, upload_files=3)
    Store.open(settings.kb, settings, create=True).close()
    with KnowledgeBase.open(settings.kb, settings) as kb:
        yield kb


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "handed in"
    folder.mkdir()
    (folder / "bridge.md").write_text(BRIDGE)
    (folder / "briefs.csv").write_text(BRIEFS)
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 not at all")
    return folder


def run(steps: Iterator[Step]) -> dict[str, Taken]:
    *_, last = steps
    assert last.results is not None
    return {taken.name: taken for taken in last.results}


def ids(kb: KnowledgeBase) -> list[str]:
    return [document.id for document in kb.documents()]


def sender(edits: bool) -> Any:
    return SimpleNamespace(request=SimpleNamespace(scope={VISITOR: Visitor("x", edits)}), query_params={})


def test_each_file_has_its_result_and_is_kept(kb: KnowledgeBase, files: Path) -> None:
    intake = Intake(kb)
    steps = list(intake.take(sorted(files.iterdir())))
    assert (steps[0].done, steps[0].total) == (0, 3)
    results = run(iter(steps))
    assert results["bridge.md"] == Taken("bridge.md", "added", ("bridge.md",))
    assert results["briefs.csv"].documents == ("brief-1", "brief-2")
    assert results["broken.pdf"].outcome == "failed"
    assert results["broken.pdf"].error
    assert sorted(path.name for path in intake.folder.iterdir()) == ["bridge.md", "briefs.csv"]
    assert kb.ask(COST).status == "answered"
    (files / "bridge.md").write_text(BRIDGE.replace("41 million", "43 million"))
    assert run(intake.take([files / "bridge.md"]))["bridge.md"].outcome == "updated"
    assert run(intake.take([files / "bridge.md"]))["bridge.md"].outcome == "unchanged"
    assert "43 million" in kb.ask(COST).text


def test_sources_are_read_again(kb: KnowledgeBase, files: Path) -> None:
    (files / "broken.pdf").unlink()
    assert not ingest([str(files)], kb.store).failed
    (files / "bridge.md").unlink()
    (files / "briefs.csv").write_text(BRIEFS.replace("90,000", "95,000"))
    results = run(Intake(kb).again())
    assert results["briefs.csv"].outcome == "updated"
    assert results["bridge.md"].outcome == "gone"
    assert "bridge.md" in ids(kb)  # it may lie on a disk that is not there just now


def test_what_was_removed_can_be_put_back(kb: KnowledgeBase, files: Path) -> None:
    intake = Intake(kb)
    run(intake.take([files / "bridge.md", files / "briefs.csv"]))
    before = kb.ask(COST).to_dict() | {"seconds": 0}
    undo = intake.remove(["bridge.md"])
    assert ids(kb) == ["brief-1", "brief-2"]
    assert not (intake.folder / "bridge.md").exists()
    assert run(intake.again()).keys() == {"briefs.csv"}  # it does not come back by itself
    assert intake.undo(undo) == 1
    assert kb.ask(COST).to_dict() | {"seconds": 0} == before
    assert run(intake.again())["bridge.md"].outcome == "unchanged"
    row = intake.remove(["brief-1"])  # one row of a list: the others stay, and so does the list
    assert ids(kb) == ["bridge.md", "brief-2"]
    assert (intake.folder / "briefs.csv").exists()
    assert intake.undo(row) == 1
    assert intake.undo(row) == 0  # once is enough
    assert ids(kb) == ["bridge.md", "brief-1", "brief-2"]
    with pytest.raises(NoSuchDocument):
        intake.remove(["bridge.md", "none"])
    assert len(ids(kb)) == 3


def test_limits(kb: KnowledgeBase, files: Path) -> None:
    with pytest.raises(UsageError, match="4 files, and 3 are taken"):
        next(Intake(kb).take([files / "bridge.md"] * 4))
    with (files / "huge.txt").open("wb") as file:
        file.truncate((20 << 20) + 1)
    with pytest.raises(UsageError, match=r"huge\.txt is larger than 20 MB"):
        next(Intake(kb).take([files / "huge.txt"]))
    assert ids(kb) == []


def test_one_change_at_a_time(kb: KnowledgeBase, files: Path) -> None:
    intake = Intake(kb)
    first = intake.take([files / "bridge.md"])
    next(first)
    with pytest.raises(Busy, match="somebody else"):
        intake.remove(["bridge.md"])
    run(first)
    intake.remove(["bridge.md"])


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a.md", "a.md"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("..", "upload"),
        (".kbqaignore", "kbqaignore"),
        ("", "upload"),
        ("a\u202egnp.md", "a_gnp.md"),
        ("a\x00b\n.md", "a_b_.md"),
        ("ä" * 300 + ".md", "ä" * 98 + ".md"),
        ("<img src=x onerror=alert(1)>.md", "<img src=x onerror=alert(1)>.md"),
    ],
)
def test_a_name_stays_in_its_folder(name: str, kept: str) -> None:
    assert safe_name(name) == kept


# ---------------------------------------------------------------------------------------- by whom


def event(**sent: Any) -> Any:
    return SimpleNamespace(_data=sent)


def test_a_reader_changes_nothing(kb: KnowledgeBase, files: Path) -> None:
    library = Library(kb)
    run(library.intake.take([files / "bridge.md"]))
    undo = library.intake.remove(["bridge.md"])
    library.intake.undo(undo)
    generation = kb.store.catalogue.generation()
    for nobody in (sender(edits=False), None, SimpleNamespace(request=None), SimpleNamespace()):
        told = [
            *(step[0] for step in library.add([str(files / "briefs.csv")], Seen(), nobody)),
            *(step[0] for step in library.again(Seen(), nobody)),
            library.discard(Seen(), event(ids=["bridge.md"]), nobody)[0],
            library.restore(Seen(undo=undo), nobody)[0],
            library.mend(nobody),
            library.examine(nobody),
        ]
        assert len(told) == 6
        assert all(NOT_YOURS.rstrip(".") in html for html in told)
    assert kb.store.catalogue.generation() == generation
    _, _, shelf, editing = library.arrive(sender(edits=False))
    assert editing["visible"] is False
    assert "data-discard" not in shelf
    assert "Read from" not in library.open(event(document="bridge.md"), sender(edits=False))


def test_an_editor_changes_it_and_undoes_it(kb: KnowledgeBase, files: Path) -> None:
    library, ada = Library(kb), sender(edits=True)
    assert "The library is empty" in library.arrive(ada)[2]
    *_, (news, controls, charts, shelf, uploads) = library.add(
        [str(files / "bridge.md"), str(files / "broken.pdf")], Seen(), ada
    )
    assert "1 added, 1 failed." in news
    assert uploads is None
    assert "The Harbour Post" in controls
    assert "March 2026" in charts
    assert 'data-view="bridge.md"' in shelf
    page = library.open(event(document="bridge.md", page=99), ada)
    assert "The city council approved the repair" in page
    assert "Read from" in page
    news, _, _, shelf, seen = library.discard(Seen(), event(ids=["bridge.md"]), ada)
    assert "“Harbour bridge closed to lorries” was removed." in news
    assert "The library is empty" in shelf
    news, _, _, shelf, seen = library.restore(seen, ada)
    assert "1 document is there again." in news
    assert 'data-view="bridge.md"' in shelf
    assert "nothing to undo" in library.restore(seen, ada)[0]
    assert "The library is sound." in library.examine(ada)


@pytest.mark.parametrize("ids", [None, [], "bridge.md", ["x"] * 1001, [1]])
def test_what_cannot_be_removed_is_a_sentence(kb: KnowledgeBase, ids: Any) -> None:
    news = Library(kb).discard(Seen(), event(ids=ids), sender(edits=True))[0]
    assert 'class="problem"' in news
