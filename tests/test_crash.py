"""Real processes that are killed, that write at once, and that read what another one wrote.

``KILLS=100 pytest tests/test_crash.py`` kills that many times.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from conftest import Command, command_environment

from ingest.sync import ingest
from kb.pipeline import KnowledgeBase
from kb.settings import Settings
from kb.store import Store

FILES = 300
KILLS = int(os.environ.get("KILLS", "6"))
_TOPICS = ("bridge", "ferry", "orchard", "tram", "library", "harbour", "school")


def article(n: int, edition: int) -> str:
    """File ``n`` of an edition; each sentence names both, and editions differ in length."""
    topic = _TOPICS[n % len(_TOPICS)]
    lines = [f"# The {topic} of district {n}", ""]
    for k in range(3 + (n + edition) % 3):
        lines += [f"Note {k} on the {topic} of district {n} stands in edition e{edition}.", ""]
    return "\n".join(lines)


def write(folder: Path, edition: int) -> None:
    folder.mkdir(exist_ok=True)
    for n in range(FILES):
        (folder / f"district{n:03}.md").write_text(article(n, edition), encoding="utf-8")


@pytest.fixture(scope="module")
def news(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crash") / "news"


def settings(folder: Path) -> Settings:
    return Settings(kb=folder, embedder="hash")


def killed_ingest(kb: Path, news: Path, seconds: float) -> bool:
    """Start ``kbqa ingest`` and kill it after its first line of progress and some seconds; false if it was
    done before that."""
    command = [sys.executable, "-m", "kb", "ingest", str(news), "--kb", str(kb), "--quiet"]
    process = subprocess.Popen(
        command, cwd=kb.parent, env=command_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    wait_for_lock(kb, process)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode in (0, -signal.SIGKILL), errors.decode()
    return process.returncode != 0


def wait_for_lock(kb: Path, process: subprocess.Popen[bytes]) -> None:
    """Until the process has the right to write, or has ended."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if json.loads((kb / "writer.json").read_text())["pid"] == process.pid:
                return
        except (OSError, ValueError):
            pass
        time.sleep(0.002)
    assert process.poll() is not None, "no lock was taken"


def state(folder: Path) -> dict[str, Any]:
    """All that a person can see of a knowledge base, and whether the vector index follows the catalogue."""
    with Store.open(folder, settings(folder)) as store:
        documents = [summary.to_dict() for summary in store.catalogue.documents()]
        texts = {d["id"]: store.catalogue.document(d["id"]).text for d in documents}
        passages = {d["id"]: store.catalogue.neighbours(d["id"], 0, 999) for d in documents}
        keys = [key for keys, _ in store.catalogue.every_vector() for key in keys]
        assert store.vectors.keys() == keys
        assert not store.catalogue.has_dead()
        return {"documents": documents, "texts": texts, "passages": passages}


def assert_every_document_whole(folder: Path, editions: tuple[int, ...]) -> set[int]:
    """Each document is one edition, text and passages both; gives the editions that are there."""
    found = set()
    with KnowledgeBase.open(folder, settings(folder)) as kb:
        expected = {f"district{n:03}.md": {f"e{e}": article(n, e) for e in editions} for n in range(FILES)}
        for summary in kb.documents():
            text = kb.document(summary.id).text
            edition = text.rstrip(".").rsplit(" ", 1)[1]
            source = expected[summary.id][edition]
            assert text.split() == source.replace("# ", "").split()
            passages = kb.store.catalogue.neighbours(summary.id, 0, 999)
            assert [p.text for p in passages] == [text[p.start : p.end] for p in passages]
            assert "".join("".join(p.text for p in passages).split()) == "".join(text.split())
            found.add(int(edition[1:]))
        if kb.documents():
            [hit, *_] = kb.search(f"note on the {_TOPICS[0]} of district 0")
            found_in = kb.document(hit.passage.document_id).text
            assert found_in[hit.passage.start : hit.passage.end] == hit.passage.text
    return found


def test_kill_9_at_any_moment_loses_and_mixes_nothing(tmp_path: Path, news: Path) -> None:
    kb = tmp_path / "kb"
    chance = random.Random(20261123)
    write(news, 0)
    command = [sys.executable, "-m", "kb", "ingest", str(news), "--kb", str(kb), "--quiet"]
    process = subprocess.Popen(command, cwd=tmp_path, env=command_environment())
    wait_for_lock(kb, process)
    started = time.monotonic()
    assert process.wait(timeout=60) == 0
    # Till it lets go of the lock: a tenth or so of what follows is the end of the process.
    whole_run = 0.9 * (time.monotonic() - started)
    killed = 0
    edition = 0
    for n in range(KILLS):
        if edition == n // 2:  # two kills an edition: the second one has the leftovers of the first to heal
            edition += 1
            write(news, edition)
        # Moments spread over a run, each somewhere in its own stretch.
        seconds = whole_run * (n + chance.random()) / KILLS
        killed += killed_ingest(kb, news, seconds)
        assert assert_every_document_whole(kb, tuple(range(edition + 1)))
    assert killed >= max(2, KILLS // 4), "some runs must have been killed before they were done"
    with Store.open(kb, settings(kb)) as store:
        report = ingest([str(news)], store)
    assert report.failed == ()
    assert report.updated + report.unchanged == FILES
    assert assert_every_document_whole(kb, (edition,)) == {edition}
    never_killed = tmp_path / "calm"
    with Store.open(never_killed, settings(never_killed), create=True) as store:
        ingest([str(news)], store)
    assert state(kb) == state(never_killed)


def test_kill_9_while_the_knowledge_base_is_made(tmp_path: Path, news: Path, kbqa_process: Command) -> None:
    """The first seconds of all, when there is not even a catalogue yet."""
    write(news, 0)
    kb = tmp_path / "kb"
    command = [sys.executable, "-m", "kb", "ingest", str(news / "district000.md"), "--kb", str(kb)]
    for delay in (0.0, 0.002, 0.01):
        process = subprocess.Popen(
            command, cwd=tmp_path, env=command_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        while not (kb / "writer.lock").exists() and process.poll() is None:
            time.sleep(0.0005)
        time.sleep(delay)
        process.kill()
        process.communicate(timeout=60)
    done = kbqa_process("ingest", news / "district000.md", "--kb", kb)
    assert done.returncode == 0, done.stderr
    assert state(kb)["texts"].keys() == {"district000.md"}


class Slow(BaseHTTPRequestHandler):
    """A site that answers when it is told to, so that an ingestion lasts as long as we like."""

    asked: ClassVar[threading.Event]
    answer: ClassVar[threading.Event]

    def do_GET(self) -> None:
        self.asked.set()
        self.answer.wait(60)
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        self.wfile.write(b"The slow page has come.")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def slow_page() -> Iterator[str]:
    Slow.asked, Slow.answer = threading.Event(), threading.Event()
    with ThreadingHTTPServer(("127.0.0.1", 0), Slow) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/page"
        Slow.answer.set()
        server.shutdown()


def test_a_second_writer_is_told_who_writes(
    tmp_path: Path, texts: Path, slow_page: str, kbqa_process: Command
) -> None:
    kb = tmp_path / "kb"
    command = [sys.executable, "-m", "kb", "ingest", slow_page, "--kb", str(kb), "--quiet", "--json"]
    environment = {**command_environment(), "KBQA_PRIVATE_URLS": "true"}
    first = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE)
    # Not only for the lock: the catalogue is also made under it, and then it is taken again.
    assert Slow.asked.wait(60)
    second = kbqa_process("ingest", texts, "--kb", kb)
    removal = kbqa_process("remove", "bridge.md", "--kb", kb)
    Slow.answer.set()
    report = json.loads(first.communicate(timeout=60)[0])
    assert (first.returncode, report["added"]) == (0, 1)
    assert (second.returncode, second.stdout) == (1, "")
    assert f"Process {first.pid} on " in second.stderr
    assert len(second.stderr.strip().splitlines()) == 1
    assert removal.returncode == 1
    assert kbqa_process("ingest", texts, "--kb", kb).returncode == 0, "the lock is free again"
    assert len(state(kb)["texts"]) == 6


@pytest.fixture
def reader(library_copy: Path) -> Iterator[KnowledgeBase]:
    with KnowledgeBase.open(library_copy, settings(library_copy)) as kb:
        yield kb


@pytest.fixture
def library_copy(tmp_path: Path, texts: Path, kbqa_process: Command) -> Path:
    assert kbqa_process("ingest", texts, "--kb", tmp_path / "kb").returncode == 0
    return tmp_path / "kb"


def test_the_next_question_sees_what_another_process_did(
    reader: KnowledgeBase, library_copy: Path, tmp_path: Path, kbqa_process: Command
) -> None:
    question = "zebra crossing quarry"
    assert {h.passage.document_id for h in reader.search(question)}.isdisjoint({"zebra.txt"})
    path = tmp_path / "zebra.txt"
    path.write_text("The zebra crossing at the quarry is painted blue.", encoding="utf-8")
    assert kbqa_process("ingest", path, "--kb", library_copy).returncode == 0
    first = reader.search(question)[0]
    assert first.passage.document_id == "zebra.txt"
    assert first.lexical is not None, "found by its words"
    assert first.dense is not None, "and by its vector"
    path.write_text("The zebra crossing at the quarry is painted green.", encoding="utf-8")
    assert kbqa_process("ingest", path, "--kb", library_copy).returncode == 0
    first = reader.search(question)[0]
    assert first.passage.text.endswith("green.")
    assert first.dense is not None
    assert kbqa_process("remove", "zebra.txt", "--kb", library_copy).returncode == 0
    assert {h.passage.document_id for h in reader.search(question)}.isdisjoint({"zebra.txt"})
    assert "zebra.txt" not in {s.id for s in reader.documents()}


def test_a_reader_lives_through_a_rebuilding_by_another_process(
    reader: KnowledgeBase, library_copy: Path, texts: Path, kbqa_process: Command
) -> None:
    import shutil

    question = "harbour bridge lorries"
    before = [h.to_dict() for h in reader.search(question)]
    shutil.rmtree(library_copy / "chroma")
    assert kbqa_process("ingest", texts, "--kb", library_copy).returncode == 0
    assert [h.to_dict() for h in reader.search(question)] == before


ASKS_ALL_THE_TIME = """
import sys
from pathlib import Path
from kb.settings import Settings
from kb.store import Store
folder, begun, enough, asked = *map(Path, sys.argv[1:]), 0
while not enough.exists() or asked < 9:
    with Store.open(folder, Settings(kb=folder, embedder="hash")) as store:
        vector = store.embedder.embed(["harbour bridge"])[0]
        for _ in range(3):
            found = store.vectors.nearest(vector, 3, generation=store.catalogue.generation())
            assert len(found) == 3, found
            asked += 1
    begun.touch()
print(asked)
"""


def test_a_reader_finds_a_whole_index_while_another_takes_its_place(
    library_copy: Path, tmp_path: Path
) -> None:
    begun, enough = tmp_path / "begun", tmp_path / "enough"
    command = [sys.executable, "-c", ASKS_ALL_THE_TIME, *map(str, (library_copy, begun, enough))]
    reader = subprocess.Popen(
        command, env=command_environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    while not begun.exists() and reader.poll() is None:
        time.sleep(0.01)
    rebuilt, end = 0, time.monotonic() + 3
    with Store.open(library_copy, settings(library_copy)) as store:
        while reader.poll() is None and (time.monotonic() < end or rebuilt < 3):
            with store.writer() as writer:
                writer.rebuild_vectors()
            rebuilt += 1
            time.sleep(0.05)  # far more often than ever in earnest, but not all the time
    enough.touch()
    asked, errors = reader.communicate(timeout=60)
    assert (reader.returncode, errors) == (0, "")
    assert rebuilt > 2
    assert int(asked) > 2


def test_readers_do_not_hinder_a_writer_nor_each_other(
    library_copy: Path, texts: Path, tmp_path: Path, kbqa_process: Command
) -> None:
    """Several readers in processes of their own while this one writes."""
    command = [sys.executable, "-m", "kb", "search", "harbour bridge", "--json", "--kb", str(library_copy)]
    readers = [
        subprocess.Popen(command, cwd=tmp_path, env=command_environment(), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    with Store.open(library_copy, settings(library_copy)) as store:
        while any(reader.poll() is None for reader in readers):
            for n in range(3):
                (tmp_path / "more.txt").write_text(f"More of the harbour bridge, version {n}.")
                assert ingest([str(tmp_path / "more.txt")], store).failed == ()
    for reader in readers:
        found = json.loads(reader.communicate()[0])
        assert reader.returncode == 0
        assert len({hit["text"] for hit in found if hit["document_id"] == "more.txt"}) <= 1
        assert found[0]["text"]
