"""Lists that visitors handed in, each answered in a thread of its own, whether the page stays open or not.

A list, its answers and the journal lie in a folder that only the visitor's secret leads to; the browser keeps
that secret. So one visitor never sees another's, and whoever hands in a list of the same name again goes on
where it stopped, even after the server was started anew.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from kb.batch import BatchReport, run_batch
from kb.errors import Busy, KBError, UsageError
from kb.journal import Result
from kb.outputs import outcome, receipt_path
from kb.settings import Settings
from kb.tables import Mode, Row, Table, read_table, recognised
from kb.web.desk import DEFECT

if TYPE_CHECKING:
    from kb.pipeline import KnowledgeBase

AT_ONCE = 2  # lists that are worked on at the same time; the other tabs must stay quick
SHOWN = 50  # results that the page shows
FIRST = 5  # rows that are shown before
ENDINGS = {"ask": "answers", "check": "verdicts"}

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Preview:
    """What a list holds: ``understood`` are columns by what they mean, ``faulty`` the first wrong rows."""

    name: str
    mode: Mode
    columns: tuple[str, ...]
    understood: dict[str, str]
    first: tuple[Row, ...]
    rows: int
    faulty: tuple[Row, ...]
    wrong: int


@dataclass
class Job:
    """A list at work; a thread changes it, the page looks at it."""

    name: str
    mode: Mode
    target: Path
    done: int = 0
    total: int = 0
    before: int = 0
    began: float = field(default_factory=time.monotonic)
    counts: Counter[str] = field(default_factory=Counter)
    latest: deque[tuple[Row, Result]] = field(default_factory=lambda: deque(maxlen=SHOWN))
    report: BatchReport | None = None
    error: str | None = None
    stopping: threading.Event = field(default_factory=threading.Event)
    finished: threading.Event = field(default_factory=threading.Event)

    def advance(self, done: int, total: int, name: str) -> None:
        """Told by the batch; no name: what was done before."""
        self.done, self.total = done, total
        if not name:
            self.before = done

    def see(self, row: Row, result: Result) -> None:
        """Shown each result as it comes."""
        self.counts[outcome(result)] += 1
        self.latest.appendleft((row, result))

    @property
    def files(self) -> list[Path]:
        """What can be taken away: the output and, where that has no room for it, its receipt."""
        if self.report is None:
            return []
        return [path for path in (self.target, receipt_path(self.target)) if path.exists()]


class Jobs:
    """The lists of all visitors, each found by the secret of its visitor alone."""

    def __init__(self, kb: KnowledgeBase, settings: Settings) -> None:
        self._kb = kb
        self._settings = settings
        self._folder = settings.cache / "lists"
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}

    def of(self, secret: str) -> Job | None:
        """The last list of a visitor."""
        return self._jobs.get(secret)

    def look(self, upload: Path, mode: Mode) -> Preview:
        """What an uploaded list holds, and what is wrong with it.

        A list that has claims and no questions is looked at as a list of claims, and the other way round.
        Raises ``KBError`` for one that will not do.
        """
        self._weigh(upload)
        table, mode = _fitting(upload, mode)
        first: list[Row] = []
        faulty: list[Row] = []
        rows = wrong = 0
        for row in self._limited(table, upload):
            rows += 1
            if len(first) < FIRST:
                first.append(row)
            if row.error is not None:
                wrong += 1
                if len(faulty) < FIRST:
                    faulty.append(row)
        understood = recognised(table.columns, mode)
        return Preview(upload.name, mode, table.columns, understood, tuple(first), rows, tuple(faulty), wrong)

    def start(self, secret: str, upload: Path, mode: Mode, kind: str) -> Job:
        """Begin with a list, or go on with it; ``kind`` is the suffix of the output.

        Raises ``Busy`` while the visitor's last list, or too many others', are worked on, and ``KBError``
        for a list that will not do.
        """
        self._weigh(upload)
        for _ in self._limited(read_table(upload, mode), upload):
            pass
        with self._lock:
            self._forget()
            last = self._jobs.get(secret)
            if last and not last.finished.is_set():
                raise Busy(f"{last.name} is still being worked on", "wait until it has finished, or stop it")
            if sum(not job.finished.is_set() for job in self._jobs.values()) >= AT_ONCE:
                raise Busy("other lists are being worked on", "try again in a few minutes")
            folder = self._folder / _hash(secret) / _hash(upload.name)
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            source = folder / "list" / upload.name
            source.parent.mkdir(exist_ok=True)
            shutil.copyfile(upload, source)
            target = folder / f"{upload.stem}-{ENDINGS[mode]}{kind}"
            job = self._jobs[secret] = Job(upload.name, mode, target)
        work = threading.Thread(target=self._work, args=(job, source), name="kbqa-list", daemon=True)
        work.start()
        return job

    def stop(self, secret: str) -> None:
        """Stop the visitor's list soon; what is done is kept and written."""
        if job := self.of(secret):
            job.stopping.set()

    def _work(self, job: Job, source: Path) -> None:
        try:
            job.report = run_batch(
                self._kb,
                source,
                job.target,
                mode=job.mode,
                top=self._settings.top,
                journal=job.target.with_name(f"{job.mode}.journal"),
                progress=job.advance,
                seen=job.see,
                stop=job.stopping.is_set,
            )
        except KBError as error:
            job.error = str(error)
        except Exception:  # the visitor gets a sentence, the log gets the traceback
            log.exception("a list failed")
            job.error = DEFECT
        finally:
            job.finished.set()

    def _weigh(self, upload: Path) -> None:
        if upload.stat().st_size > self._settings.upload_megabytes << 20:
            raise UsageError(
                f"{upload.name} is larger than {self._settings.upload_megabytes} MB",
                "split it, or use `kbqa batch`, which has no such limit",
            )

    def _limited(self, table: Table, upload: Path) -> Iterator[Row]:
        most = self._settings.upload_rows
        rows = table.rows()
        yield from islice(rows, most)
        if next(rows, None) is not None:
            raise UsageError(
                f"{upload.name} has more than {most:,} rows",
                "split it, or use `kbqa batch`, which has no such limit",
            )

    def _forget(self) -> None:
        """Remove what visitors left longer ago than lists are kept."""
        oldest = time.time() - self._settings.upload_days * 86_400
        at_work = {job.target.parent for job in self._jobs.values() if not job.finished.is_set()}
        for folder in self._folder.glob("*/*"):
            with suppress(OSError):
                newest = max((path.stat().st_mtime for path in folder.iterdir()), default=0.0)
                if newest < oldest and folder not in at_work:
                    shutil.rmtree(folder)


def _fitting(upload: Path, mode: Mode) -> tuple[Table, Mode]:
    """A list read in this mode, or in the other if it has the columns of that."""
    try:
        return read_table(upload, mode), mode
    except UsageError:
        other: Mode = "check" if mode == "ask" else "ask"
        with suppress(UsageError):
            return read_table(upload, other), other
        raise


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
