"""Parsing in a child process: what hangs, explodes or crashes there costs its own file and nothing else.

The children are real; only the parser in them is one of ours, which does what the source tells it to.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ingest import sync, worker
from ingest.load import parse as parse_here
from ingest.sync import ingest
from ingest.worker import MIB, SPENT, Limits, Worker, close_idle, parse
from kb.errors import SourceError
from kb.settings import Settings
from kb.store import Store

OBEDIENT = """
import os, signal, time
import ingest.load
from ingest.load import parse
from ingest.worker import serve

def obey(data, *rest, **more):
    word = data.decode().split()[0]
    if word == "hang":
        while True: pass
    if word == "sleep": time.sleep(60)
    if word == "crash": os.kill(os.getpid(), signal.SIGSEGV)
    if word == "leave": os._exit(3)
    if word == "grow": parse(bytes(3_000_000_000), *rest, **more)
    if word == "large": b"x" * 500_000_000
    if word == "recurse": raise RecursionError("too deep")
    if word == "lie":
        os.write(3, (5).to_bytes(8, "big") + b'{"a":')
    if word == "print": print("x" * 100_000, flush=True)
    if word == "write":
        with open(data.decode().split()[1], "w") as file: file.write("I was here")
    if word == "swell": data = b"word " * 2_000_000
    return parse(data, *rest, **more)

ingest.load.parse = obey
serve()
"""


@pytest.fixture
def obedient() -> Iterator[Worker]:
    child = Worker((sys.executable, "-P", "-c", OBEDIENT))
    yield child
    child.close()


def read(child: Worker, text: str, limits: Limits | None = None) -> str:
    data = text.encode()
    loaded = child.parse(data, "a.txt", source="/a.txt", name="a.txt", limits=limits)
    return loaded.documents[0].text


def test_the_child_reads_what_the_parent_would(texts: Path) -> None:
    for path in sorted(texts.rglob("*.*")):
        here = parse_here(path.read_bytes(), path.name, source=str(path), name=path.name)
        assert parse(path.read_bytes(), path.name, source=str(path), name=path.name) == here


def test_an_error_keeps_its_cure() -> None:
    with pytest.raises(SourceError) as caught:
        parse(b"", "a.txt", source="/a.txt", name="a.txt")
    assert (caught.value.message, caught.value.cure) == (
        "there is no text in it",
        "check that it was saved completely",
    )


@pytest.mark.parametrize("deed", ["hang", "sleep"])
def test_what_takes_too_long_is_stopped(obedient: Worker, deed: str) -> None:
    read(obedient, "warm up")
    began = time.monotonic()
    with pytest.raises(SourceError, match="took longer than"):
        read(obedient, deed, replace(Limits.of(4), seconds=0.5))
    assert time.monotonic() - began < 5
    assert read(obedient, "fine") == "fine"


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited on Linux alone")
def test_what_grows_too_large_is_refused(obedient: Worker) -> None:
    with pytest.raises(SourceError, match="MB of memory"):
        read(obedient, "grow")
    assert read(obedient, "fine") == "fine"


@pytest.mark.parametrize(
    ("deed", "said"),
    [("crash", "SIGSEGV"), ("leave", "crashed"), ("recurse", "too deep"), ("lie", "crashed")],
)
def test_a_crash_costs_its_own_file(obedient: Worker, deed: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        read(obedient, deed)
    assert read(obedient, "fine") == "fine"


def test_an_answer_out_of_proportion_is_refused(obedient: Worker) -> None:
    with pytest.raises(SourceError, match="holds more than 1 MB of text"):
        read(obedient, "swell", replace(Limits.of(5), answer=MIB))
    assert read(obedient, "fine") == "fine"


def test_what_a_parser_prints_is_no_answer(obedient: Worker) -> None:
    assert read(obedient, "print this") == "print this"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_a_parser_puts_nothing_into_a_file(obedient: Worker, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="too large"):
        read(obedient, f"write {tmp_path / 'note'}")
    assert (tmp_path / "note").read_text() == ""


def test_one_child_serves_file_after_file(obedient: Worker) -> None:
    read(obedient, "one")
    process = obedient._process
    read(obedient, "two")
    assert obedient._process is process


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts the memory of the parent too")
def test_a_child_of_a_large_parent_serves_file_after_file(obedient: Worker) -> None:
    large = b"x" * (SPENT + 50 * MIB)
    read(obedient, "one")
    process = obedient._process
    assert len(large) > SPENT
    assert process
    read(obedient, "two")
    assert obedient._process is process


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell")
def test_a_child_that_has_grown_is_not_used_again(obedient: Worker) -> None:
    read(obedient, "large")
    assert obedient._process is None


ORPHAN = """
import os, sys
sys.path.insert(0, {tests!r})
from test_worker import OBEDIENT
from ingest.worker import Worker
child = Worker((sys.executable, "-P", "-c", OBEDIENT))
child.parse(b"fine", "a", source="a", name="a.txt")
print(child._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(shutil.which("ps") is None, reason="needs ps to look at processes")
def test_a_child_does_not_outlive_a_parent_that_is_killed() -> None:
    code = ORPHAN.format(tests=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and is_running(int(done.stdout)):
        time.sleep(0.02)
    assert not is_running(int(done.stdout))


def is_running(pid: int) -> bool:
    """Whether a process is there and not merely waiting to be buried."""
    shown = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return bool(shown.stdout.strip()) and "Z" not in shown.stdout


def test_threads_have_children_of_their_own() -> None:
    close_idle()
    found: list[str] = []

    def run(text: str) -> None:
        loaded = parse(text.encode(), "a.txt", source="/a.txt", name="a.txt")
        found.append(loaded.documents[0].text)

    threads = [threading.Thread(target=run, args=(f"Text {n}.",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [f"Text {n}." for n in range(8)]
    pids = [idle._process.pid for idle in worker._idle if idle._process]
    close_idle()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_folder_survives_its_worst_files(
    obedient: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "news"
    folder.mkdir()
    for deed in ("crash", "fine", "leave", "recurse", "zeal"):
        (folder / f"{deed}.txt").write_text(f"{deed} text.")
    monkeypatch.setattr(sync, "parse", obedient.parse)
    monkeypatch.setattr(sync, "PARSERS", 1)  # there is one child
    kb = tmp_path / "kb"
    with Store.open(kb, Settings(kb=kb, embedder="hash"), create=True) as store:
        report = ingest([str(folder)], store)
        assert [s.id for s in store.catalogue.documents()] == ["fine.txt", "zeal.txt"]
    assert [Path(failure.source).stem for failure in report.failed] == ["crash", "leave", "recurse"]
