"""Any number of workers, as on machines of their own, over one PostgreSQL and one Chroma server."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import Command, Place, command_environment
from test_crash import Slow, slow_page  # noqa: F401  a fixture
from test_doctor import TODAY
from test_engines import answers, opened
from test_fetch import RSS, Site, site  # noqa: F401  a fixture
from test_store import assert_whole, change, hits, version, written

from ingest.fetch import Fetcher
from ingest.queue import enqueue, work
from ingest.sync import ingest
from kb import queue as queues
from kb.doctor import examine
from kb.errors import StorageError, UsageError
from kb.pipeline import KnowledgeBase
from kb.queue import Queue, Task, state
from kb.settings import Settings
from kb.store import Store
from kb.types import IngestReport

FILES = 40
LOCAL = Fetcher(private=True, pause=0)


@pytest.fixture
def settings(place: Place) -> Settings:
    made: Settings = place("postgresql", "server")
    return made


@pytest.fixture
def store(settings: Settings) -> Iterator[Store]:
    with opened(settings, create=True) as made:
        yield made


def drained(store: Store, fetcher: Fetcher = LOCAL) -> IngestReport:
    return work(store, fetcher=fetcher, drain=True, tell=lambda report: None)


def news(folder: Path) -> dict[str, str]:
    """Forty small files, each of its own words; the text of each by its name."""
    folder.mkdir(exist_ok=True)
    texts = {
        f"note{n:02}.txt": f"Note {n} is about quay q{n}x.\nThe quay q{n}x has {n} cranes."
        for n in range(FILES)
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    return texts


def contents(store: Store) -> dict[str, tuple[Any, ...]]:
    """All that is there: documents without the time at which they were read, and their passages."""
    found = {}
    for summary in store.catalogue.documents():
        passages = tuple(stored.passage for stored in store.catalogue.passages_of(summary.id))
        found[summary.id] = (summary, store.catalogue.document(summary.id), passages)
    return found


class Workers:
    """``kbqa work`` in processes, each as on another machine: with its own folder."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self.processes: list[subprocess.Popen[str]] = []

    def start(self) -> subprocess.Popen[str]:
        n = len(self.processes)
        environment = command_environment() | {
            "KBQA_KB": str(self._folder / f"machine{n}"),
            "KBQA_CATALOGUE": self._settings.catalogue,
            "KBQA_VECTORS": self._settings.vectors,
            "KBQA_PRIVATE_URLS": "true",
        }
        command = [sys.executable, "-m", "kb", "work", "--json"]
        process = subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.processes.append(process)
        return process

    def stop(self) -> list[dict[str, Any]]:
        """End those that are still there, in good order; what each one of these has reported, in one."""
        reports = []
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            out, errors = process.communicate(timeout=60)
            assert process.returncode == 0, errors
            lines = [json.loads(line) for line in out.splitlines()]
            reports.append({k: sum(line[k] for line in lines) for k in ("added", "updated", "unchanged")})
        return reports


@pytest.fixture
def workers(settings: Settings, tmp_path: Path) -> Iterator[Workers]:
    made = Workers(settings, tmp_path)
    yield made
    for process in made.processes:
        process.kill()
        process.communicate()


def until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def cut_off(store: Store, locking: str) -> None:
    """Do what the server does when it hears nothing more of a host: end the connection that locks this."""
    holding = f"SELECT DISTINCT pid FROM pg_locks WHERE pid <> pg_backend_pid() AND granted AND {locking}"
    ended = store.catalogue.query(  # type: ignore[attr-defined]
        f"SELECT pg_terminate_backend(pid, 10000) FROM ({holding}) AS holding"
    )
    assert ended == [(True,)]


def test_three_workers_share_forty_documents(
    settings: Settings, store: Store, workers: Workers, tmp_path: Path
) -> None:
    news(tmp_path / "news")
    for _ in range(3):
        workers.start()
    until(lambda: all((tmp_path / f"machine{n}").exists() for n in range(3)))
    with KnowledgeBase.open(settings.kb, settings) as replica:
        assert replica.search("quay") == ()
        report = enqueue([str(tmp_path / "news")], store)
        assert (report.queued, report.unchanged, report.failed) == (FILES, 0, ())
        reports = workers.processes[0].stdout
        assert reports is not None
        first = json.loads(reports.readline())
        assert (first["added"], first["passages"]) == (1, 1)
        # The very next question to a replica finds what a worker has reported.
        assert any(hit.dense is not None for hit in replica.search("quay"))
    until(Queue(store.catalogue).is_done)
    done = workers.stop()
    assert sum(each["added"] for each in done) == FILES - 1, "each once, and one report was read already"
    assert not any(each["updated"] + each["unchanged"] for each in done)
    assert sum(each["added"] > 0 for each in done) > 1, "they shared"
    with opened(Settings(kb=tmp_path / "alone", embedder="hash"), create=True) as alone:
        ingest([str(tmp_path / "news")], alone)
        assert contents(store) == contents(alone)
    assert examine(store, today=TODAY).findings == ()
    assert enqueue([str(tmp_path / "news")], store).unchanged == FILES


def test_the_work_of_killed_workers_is_taken_over(
    store: Store,
    workers: Workers,
    slow_page: str,  # noqa: F811
    tmp_path: Path,
) -> None:
    texts = news(tmp_path / "news")
    assert enqueue([slow_page, str(tmp_path / "news")], store).queued == FILES + 1
    reading = workers.start()
    assert Slow.asked.wait(60)
    writing, other = workers.start(), workers.start()
    assert writing.stdout is not None
    writing.stdout.readline()
    writing.kill()  # somewhere in its second document
    until(lambda: len(store.catalogue.documents()) == FILES)
    queue = Queue(store.catalogue)
    assert not queue.is_done(), "the page is still being read"
    reading.kill()
    reading.wait()
    Slow.answer.set()
    until(queue.is_done)
    assert other.poll() is None
    found = contents(store)
    assert found.keys() == {slow_page, *texts}
    assert all(found[name][1].text == text for name, text in texts.items())
    assert examine(store, today=TODAY).findings == ()


def test_the_result_is_that_of_an_ingestion(
    store: Store, settings: Settings, place: Place, texts: Path
) -> None:
    plain = place("postgresql", "server")
    with opened(plain, create=True) as other:
        straight = ingest([str(texts)], other)
    enqueue([str(texts)], store)
    report = drained(store)
    assert replace(report, seconds=0) == replace(straight, seconds=0)
    assert answers(settings) == answers(plain)


def test_a_source_that_cannot_be_read_is_tried_thrice_and_kept(
    store: Store, settings: Settings, tmp_path: Path, kbqa: Command
) -> None:
    (tmp_path / "broken.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0\0")
    (tmp_path / "fine.txt").write_text("The quay is open.")
    sources = [str(tmp_path / name) for name in ("broken.txt", "fine.txt", "nowhere.txt")]
    assert [failure.source for failure in enqueue(sources, store).failed] == sources[2:]
    began: list[int] = []
    with _counted(began):
        report = drained(store)
    assert (report.added, len(report.failed), len(began)) == (1, 1, 3 + 1)
    assert report.failed[0].source == sources[0]
    [(origin, error)] = state(store.catalogue).failed
    assert (origin, error) == (sources[0], report.failed[0].error)
    [finding] = examine(store, today=TODAY).findings
    assert not finding.damage
    assert sources[0] in finding.what
    environment = {"KBQA_CATALOGUE": settings.catalogue, "KBQA_VECTORS": settings.vectors}
    assert json.loads(kbqa("info", "--json", env=environment).stdout)["queue"] == {"waiting": 0, "failed": 1}
    # Mended, and enqueued again, it is read.
    (tmp_path / "broken.txt").write_text("The crane is broken.")
    assert kbqa("enqueue", sources[0], env=environment).stdout == "1 queued.\n"
    assert kbqa("work", "--drain", env=environment).returncode == 0
    assert state(store.catalogue).failed == ()
    (tmp_path / "broken.txt").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0")
    kbqa("enqueue", sources[0], env=environment)
    failed = kbqa("work", "--drain", env=environment)
    assert failed.returncode == 1
    assert failed.stderr.startswith(f"failed: {sources[0]}: ")
    assert kbqa("enqueue", "--forget", env=environment).stderr == "1 failed source taken out.\n"
    assert examine(store, today=TODAY).findings == ()


@contextmanager
def _counted(began: list[int]) -> Iterator[None]:
    """Note the number of each task that is begun."""
    begin = Queue._begin

    def noting(queue: Queue, number: int) -> int:
        began.append(number)
        return begin(queue, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Queue, "_begin", noting)
        yield


def test_one_source_twice_is_read_one_after_the_other(store: Store) -> None:
    queue = Queue(store.catalogue)

    def put(origin: str, text: str, lane: str = "") -> None:
        queue.put([Task(origin, lane or origin, {}, text.encode())])

    put("a", "old")
    with queue.next() as first:
        assert first is not None
        put("a", "newer")
        put("a", "newest")  # of those that wait only the last one is left
        put("b", "other")
        with queue.next() as second, queue.next() as third:
            assert second is not None
            assert (second.task.data, third) == (b"other", None)
    with queue.next() as fourth:
        assert fourth is not None
        assert fourth.task.data == b"newest"
    assert queue.is_done()
    # Of one site one page at a time.
    put("page1", "", lane="site")
    put("page2", "", lane="site")
    with queue.next() as page, queue.next() as nothing:
        assert page is not None
        assert nothing is None


def test_a_task_whose_worker_dies_every_time_is_given_up(store: Store) -> None:
    queue = Queue(store.catalogue)
    queue.put([Task("a", "a", {}, b"deadly"), Task("b", "b", {}, b"fine")])
    for _ in range(queues.ATTEMPTS):
        with pytest.raises(ZeroDivisionError), queue.next():
            raise ZeroDivisionError  # not an error that a worker would have handled
    with queue.next() as taken:
        assert taken is not None
        assert taken.task.origin == "b"
        # To be seen at once, not only when the task after it is done with.
        assert state(store.catalogue) == queues.State(1, (("a", queues._LOST),))
    assert state(store.catalogue) == queues.State(0, (("a", queues._LOST),))
    # Who leaves in good order, or because a server is away, does not count.
    queue.put([Task("a", "a", {}, b"harmless")])
    for error in (KeyboardInterrupt, StorageError) * queues.ATTEMPTS:
        with pytest.raises(error), queue.next() as taken:
            raise error("stopped")
    with queue.next() as taken:
        assert taken is not None
        assert not taken.is_last


def test_who_was_cut_off_loses_the_task_and_can_write_nothing(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    with opened(replace(settings, kb=tmp_path / "elsewhere")) as other:
        queue = Queue(store.catalogue)
        queue.put([Task("a", "a", {}, b"text")])
        with pytest.raises(StorageError), queue.next() as taken:  # noqa: PT012
            assert taken is not None
            cut_off(other, "relation = 'queue'::regclass")
            with Queue(other.catalogue).next() as again:
                assert again is not None, "another has it"
            taken.confirm()
        put(store, version(1))
        with pytest.raises(StorageError), store.writer() as late:  # noqa: PT012
            cut_off(other, "locktype = 'advisory'")
            put(other, version(2))
            late.replace([change(written("report", "What was to be written before."))])
        assert_whole(store, version(2))
        assert {hit.passage.document_id for hit in hits(store, "harbour report")} == {"report"}
        put(store, version(3))
        assert examine(other, today=TODAY).findings == ()


def test_an_attempt_that_ended_with_the_connection_does_not_count(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    with opened(replace(settings, kb=tmp_path / "elsewhere")) as other:
        queue = Queue(store.catalogue)
        queue.put([Task("a", "a", {}, b"text")])
        for _ in range(queues.ATTEMPTS):
            with pytest.raises(StorageError), queue.next() as taken:  # noqa: PT012
                assert taken is not None
                cut_off(other, "relation = 'queue'::regclass")
                taken.confirm()
        assert store.catalogue.query("SELECT count FROM queue_attempts") == [(0,)]  # type: ignore[attr-defined]
        # What another has done with meanwhile is not counted again.
        with pytest.raises(StorageError), queue.next() as taken:  # noqa: PT012
            cut_off(other, "relation = 'queue'::regclass")
            with Queue(other.catalogue).next() as again:
                assert again is not None
            assert taken is not None
            taken.confirm()
        assert store.catalogue.query("SELECT count FROM queue_attempts") == []  # type: ignore[attr-defined]


def put(store: Store, *changes: Any) -> None:
    with store.writer(wait_s=10) as writer:
        writer.replace(changes)


def test_a_worker_that_was_cut_off_does_not_bring_an_old_version_back(
    store: Store, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "quay.txt"
    path.write_text("The quay is open.")
    enqueue([str(path)], store)
    parsed, go_on = threading.Event(), threading.Event()
    embed = store.embedder.embed

    def slowly(texts: Any) -> Any:
        parsed.set()
        assert go_on.wait(60)
        return embed(texts)

    store.embedder.embed = slowly  # type: ignore[method-assign]
    errors: list[BaseException] = []

    def cut_off_worker() -> None:
        try:
            drained(store)
        except StorageError as error:
            errors.append(error)

    thread = threading.Thread(target=cut_off_worker)
    thread.start()
    assert parsed.wait(60)
    with opened(replace(settings, kb=tmp_path / "elsewhere")) as other:
        cut_off(other, "relation = 'queue'::regclass")
        path.write_text("The quay is closed.")
        enqueue([str(path)], other)
        assert drained(other).added == 1
        go_on.set()
        thread.join(60)
        assert len(errors) == 1
        assert other.catalogue.document("quay.txt").text == "The quay is closed."
        assert examine(other, today=TODAY).findings == ()


def test_two_files_that_want_one_id_both_get_one(store: Store, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "quay.txt").write_text(f"The quay of {folder}.")
    enqueue([str(tmp_path / folder / "quay.txt") for folder in ("a", "b")], store)
    assert drained(store).added == 2
    assert contents(store).keys() == {"quay.txt", "b/quay.txt"}
    assert contents(store)["b/quay.txt"][2][0].document_id == "b/quay.txt"


def test_a_feed_leaves_its_pages_to_all(store: Store, site: Site) -> None:  # noqa: F811
    site.answers = {
        "/feed": RSS.format(site.url).encode(),
        "/one": b"<html><title>One</title><p>The first page is about the quay, at some length.</p></html>",
        "/two": b"<html><title>Two</title><p>The second page is about the cranes, at some length.</p></html>",
    }
    enqueue([f"{site.url}/feed"], store)
    report = drained(store)
    assert report.failed == ()
    assert contents(store).keys() == {f"{site.url}/one", f"{site.url}/two"}


def test_records_keep_their_columns(store: Store, tmp_path: Path) -> None:
    (tmp_path / "list.csv").write_text(
        "id,headline,text\nr1,Quay,The quay is open.\nr2,Crane,The crane fell.\n"
    )
    enqueue([str(tmp_path / "list.csv")], store, columns=(("title", "headline"),))
    assert drained(store).added == 2
    assert [(i, summary.title) for i, (summary, *_) in contents(store).items()] == [
        ("r1", "Quay"),
        ("r2", "Crane"),
    ]


def test_a_queue_needs_servers(kbqa: Command, texts: Path, place: Place) -> None:
    for arguments in (("enqueue", texts), ("work",)):
        done = kbqa(*arguments)
        assert done.returncode == 2
        assert "a queue needs a catalogue in PostgreSQL" in done.stderr.replace("A queue", "a queue")
        assert "kbqa migrate" in done.stderr
    with (
        opened(place("postgresql", "embedded"), create=True) as store,
        pytest.raises(UsageError, match="Chroma"),
    ):
        drained(store)
