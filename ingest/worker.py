"""Parsing in child processes with limits, so that a hostile or broken file costs nothing but itself.

    parent  -> size, JSON header, bytes of the source ->  child
    child   -> size, JSON: documents and failures, or one error ->  parent

A child lives on for the next file, which makes small files cheap; after an error of memory or time it is
replaced. It may use so much time and address space and answer with so much text as the size of its source
allows, and can put nothing into a file. JSON is what comes back, never a pickle: a parser that was taken over
can send wrong text, but nothing that runs. Address space is limited by Linux alone; on macOS and Windows time
and the size of the answer still are, since the parent watches over those.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from typing import IO, Any

from ingest.load import Loaded, Options
from ingest.load.scan import SECONDS, Scanned
from kb.errors import KBError, NotADocument, SourceError
from kb.types import Document, Failure, Section

MIB = 1 << 20
SPENT = 400 * MIB
"""A child that has held this much memory is not used again."""

COMMAND = (sys.executable, "-P", "-c", "from ingest.worker import serve; serve()")
_SIZE = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class Limits:
    """What reading one source may take: wall time, address space of the process, bytes of the answer."""

    seconds: float
    memory: int
    answer: int

    @classmethod
    def of(cls, size: int) -> Limits:
        """The limits for a source of ``size`` bytes; a small file has no reason to grow large."""
        return cls(10 + 10 * size / MIB, 1000 * MIB + 12 * size, 16 * MIB + 8 * size)


def parse(data: bytes, document_id: str, *, source: str, name: str, options: Options = Options()) -> Loaded:
    """``ingest.load.parse`` in a child process; safe to call from several threads at once.

    Raises ``SourceError`` for whatever goes wrong with this source, a crash of the parser included.
    """
    with _idle_worker() as worker:
        try:
            return worker.parse(data, document_id, source=source, name=name, options=options)
        except Scanned as scanned:
            limits = Limits.of(len(data))
            return worker.parse(
                data,
                document_id,
                source=source,
                name=name,
                options=replace(options, scans=True),
                limits=replace(limits, seconds=limits.seconds + SECONDS * scanned.pages),
            )


class Worker:
    """One child process, started when it is first needed and again after it has died."""

    def __init__(self, command: Sequence[str] = COMMAND) -> None:
        self.owner = os.getpid()
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def parse(
        self,
        data: bytes,
        document_id: str,
        *,
        source: str,
        name: str,
        options: Options = Options(),
        limits: Limits | None = None,
    ) -> Loaded:
        limits = limits or Limits.of(len(data))
        header: dict[str, Any] = {"id": document_id, "source": source, "name": name}
        header |= {"options": asdict(options), "limits": asdict(limits)}
        answer = self._exchange(json.dumps(header).encode(), data, limits)
        try:
            return self._understood(json.loads(answer))
        except (ValueError, LookupError, TypeError) as error:  # only a parser that was taken over says that
            self.close()
            raise _death(None, limits, late=False) from error

    def _understood(self, answer: dict[str, Any]) -> Loaded:
        if answer["spent"]:
            self.close()
        if answer.get("scanned"):
            raise Scanned(answer["scanned"])
        if "error" in answer:
            kind = NotADocument if answer["passed_over"] else SourceError
            raise kind(answer["error"], answer["cure"])
        failures = tuple(Failure(**failure) for failure in answer["failures"])
        documents = tuple(map(_document, answer["documents"]))
        return Loaded(documents, failures, tuple(answer["links"]), bool(answer["unrecognised"]))

    def kill(self) -> None:
        """Kill the child, also while another thread waits for its answer."""
        if (process := self._process) is not None:
            process.kill()

    def close(self) -> None:
        """End the child; the next ``parse`` would start another."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def _exchange(self, header: bytes, data: bytes, limits: Limits) -> bytes:
        process = self._running()
        assert process.stdin is not None
        assert process.stdout is not None
        late = threading.Event()

        def stop() -> None:
            late.set()
            process.kill()

        timer = threading.Timer(limits.seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            for part in (header, data):
                process.stdin.write(_SIZE.pack(len(part)) + part)
            process.stdin.flush()
            answer = _read_frame(process.stdout, limits.answer)
        except OSError:  # it died while it was written to
            answer = None
        except BaseException:  # an answer that is waited for no longer must not meet the next question
            self.close()
            raise
        finally:
            timer.cancel()
        if answer is None or late.is_set():
            self.close()
            raise _death(process.returncode, limits, late=late.is_set())
        return answer

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            # In a session of its own, since Ctrl-C is the parent's to handle.
            try:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                    env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                )
            except OSError as error:
                raise KBError(
                    f"no process can be started to read files in ({error.strerror})",
                    "close other programs and run the command again",
                ) from error
        return self._process


_idle: list[Worker] = []
_busy: set[Worker] = set()


@contextmanager
def _idle_worker() -> Iterator[Worker]:
    """A worker that nobody uses, kept for the next file of this process afterwards."""
    worker = _idle.pop() if _idle else Worker()
    if worker.owner != os.getpid():  # the process was forked: the pipes are the other one's
        worker = Worker()
    _busy.add(worker)
    try:
        yield worker
    finally:
        _busy.discard(worker)
        _idle.append(worker)


def stop_busy() -> None:
    """Kill the children that are reading; whoever waits for them is told that they crashed."""
    for worker in list(_busy):
        worker.kill()


@atexit.register
def close_idle() -> None:
    """End the children that wait for work."""
    while _idle:
        worker = _idle.pop()
        if worker.owner == os.getpid():
            worker.close()


def _document(fields: dict[str, Any]) -> Document:
    sections = tuple(Section(**section) for section in fields.pop("sections"))
    listed = {name: tuple(fields[name]) for name in ("page_starts", "copies")}
    return Document(**fields | listed | {"sections": sections})


def _death(code: int | None, limits: Limits, *, late: bool) -> SourceError:
    if late:
        return SourceError(
            f"reading it took longer than {limits.seconds:.0f} s and was stopped",
            "save it anew in the program that made it, or split it",
        )
    name = ""
    with suppress(ValueError):
        name = f", {signal.Signals(-code).name}" if code is not None and code < 0 else ""
    return SourceError(
        f"its parser crashed or answered with too much text{name}", "check that it is whole, or save it anew"
    )


def _read_frame(stream: IO[bytes], limit: int | None = None) -> bytes | None:
    """The next message; ``None`` at the end of the stream, or where it is longer than ``limit``."""
    head = stream.read(_SIZE.size)
    if len(head) < _SIZE.size:
        return None
    (size,) = _SIZE.unpack(head)
    if limit is not None and size > limit:
        return None
    body = stream.read(size)
    return body if len(body) == size else None


# --------------------------------------------------------------------------------------- the child


def serve() -> None:
    """Answer the parent until it closes the pipe; what runs in the child process."""
    # What a parser prints must not get between the messages.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    questions = sys.stdin.buffer
    _forbid_files()
    while (header := _read_frame(questions)) is not None and (data := _read_frame(questions)) is not None:
        asked = json.loads(header)
        limits = Limits(**asked["limits"])
        try:
            with _limited(limits):
                answer = _encoded(_answer(data, asked))
            if len(answer) > limits.answer:
                answer = _encoded(
                    _refusal(f"it holds more than {limits.answer // MIB} MB of text", "split it")
                )
        except MemoryError:
            needed = f"reading it takes more than {limits.memory // MIB} MB of memory"
            answer = _encoded({**_refusal(needed, "split it, or save it anew"), "spent": True})
        answers.write(_SIZE.pack(len(answer)) + answer)
        answers.flush()


def _encoded(answer: dict[str, Any]) -> bytes:
    return json.dumps({"spent": _resident() > SPENT, **answer}).encode()


def _answer(data: bytes, asked: dict[str, Any]) -> dict[str, Any]:
    from ingest.load import misunderstood
    from ingest.load import parse as parse_here

    columns = tuple((field, name) for field, name in asked["options"]["columns"])
    options = Options(asked["options"]["password"], columns, asked["options"]["scans"])
    try:
        loaded = parse_here(data, asked["id"], source=asked["source"], name=asked["name"], options=options)
    except Scanned as error:
        return {**_refusal(error.message, error.cure), "scanned": error.pages}
    except SourceError as error:
        return _refusal(error.message, error.cure, passed_over=isinstance(error, NotADocument))
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a parser raises is a fault of this source alone
        unknown = misunderstood(error)
        return _refusal(unknown.message, unknown.cure)
    return {
        "documents": [document.to_dict() for document in loaded.documents],
        "failures": [asdict(failure) for failure in loaded.failures],
        "links": loaded.links,
        "unrecognised": loaded.unrecognised,
    }


def _refusal(message: str, cure: str, *, passed_over: bool = False) -> dict[str, Any]:
    return {"error": message, "cure": cure, "passed_over": passed_over}


@contextmanager
def _limited(limits: Limits) -> Iterator[None]:
    """Hold this process to its limits; it ends by itself, in case the parent is no longer there to end it."""
    try:
        import resource
    except ImportError:  # Windows
        yield
        return
    hard = resource.getrlimit(resource.RLIMIT_AS)[1]
    with suppress(ValueError, OSError):  # macOS refuses what is below its shared libraries
        resource.setrlimit(resource.RLIMIT_AS, (limits.memory, hard))
    signal.setitimer(signal.ITIMER_REAL, limits.seconds + 5)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        with suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_AS, (hard, hard))


def _forbid_files() -> None:
    """From here on no file can grow, wherever an archive or a parser would have it."""
    with suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _resident() -> int:
    """The most memory that this process has held, in bytes; 0 where that cannot be told."""
    # On Linux, getrusage counts what the parent held when it started us: below a large parent, which a server
    # with its models is, each child would seem spent after its first file.
    with suppress(OSError, StopIteration), open("/proc/self/status", "rb") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(b"VmHWM:"))
    with suppress(ImportError):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return 0
