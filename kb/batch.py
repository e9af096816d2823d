"""A list of questions or claims answered row by row, in its order, and nothing lost on the way.

Every finished row goes to a journal beside the output (``answers.csv.journal``) before anything else
happens, and the output is made from the journal alone, in one step, at the end. So a run that was cut
off is continued by the same command, does only what is missing, and writes the very bytes that an
uninterrupted run would have written. A row that failed is tried again. The list is read three times (to
count, to answer, to write) instead of being kept, so that 100,000 rows need no more memory than ten.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from kb import __version__
from kb.errors import Busy, KBError, SourceError, UsageError
from kb.outputs import (
    WRITERS,
    CitedSource,
    Output,
    Result,
    citations_of,
    file_hash,
    new_receipt,
    outcome,
    receipt_path,
    sidecar,
    writing,
)
from kb.tables import READS, TEXT_COLUMNS, Mode, Row, Table, digest, read_table
from kb.types import Answer, CheckReport, DocumentSummary, Failure, Filters, Turn

Progress = Callable[[int, int, str], None]

WRITES = tuple(WRITERS)
TITLES = {"ask": "Answers to {}", "check": "Verdicts on {}"}
ORDER = ("answered", "supported", "contradicted", "not_found", "error")
WAITING_PER_WORKER = 8  # rows that are read ahead

_log = logging.getLogger(__name__)


class Library(Protocol):
    """What a batch needs of a knowledge base."""

    def ask(
        self,
        question: str,
        *,
        filters: Filters = ...,
        history: Sequence[Turn] = ...,
        top: int | None = ...,
    ) -> Answer: ...

    def check(self, text: str, *, filters: Filters = ...) -> CheckReport: ...

    def info(self) -> dict[str, Any]: ...

    def documents(self) -> list[DocumentSummary]: ...


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What a run did: ``done`` rows are in the output, ``resumed`` of them from an earlier run."""

    done: int = 0
    answered: int = 0
    not_found: int = 0
    failed: tuple[Failure, ...] = ()
    resumed: int = 0
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "failed": [asdict(f) for f in self.failed], "seconds": round(self.seconds, 2)}


def run_batch(
    kb: Library,
    source: Path,
    target: Path,
    *,
    mode: Mode = "ask",
    workers: int = 1,
    filters: Filters = Filters(),
    top: int | None = None,
    progress: Progress | None = None,
) -> BatchReport:
    """Answer (or check) every row of ``source`` and write ``target``; continues a run that was cut off.

    A row's own filters come before ``filters``. ``progress`` is told rows done, rows in all and the row's
    id. Raises ``UsageError`` for a kind of file or a column that will not do, ``SourceError`` for a list
    that cannot be read.
    """
    _check_request(source, target, mode, workers)
    started = time.perf_counter()
    table, list_hash = read_table(source, mode), file_hash(source)
    info, documents = kb.info(), kb.documents()
    worded: dict[str, Any] = {name: info[name] for name in ("model", "unsupported") if name in info}
    receipt = new_receipt(info, documents, {"mode": mode, "top": top, **worded, **asdict(filters)})
    # Another knowledge base may have the same generation: the folder and what it holds tell them apart.
    folder = info.get("folder")
    identity = [folder and str(Path(folder).resolve()), info.get("documents"), info.get("passages")]
    state = digest([identity, receipt.generation, receipt.embedder, __version__, receipt.settings])
    with _only_one(target), Journal(journal_path(target), state=state) as journal:
        total, sound, stale = _count(table, journal)
        resumed = len(journal.done)
        _say_what_is_resumed(resumed, sound, stale)
        finished = total - sound + resumed
        todo = (row for row in table.rows() if row.error is None and row.key not in journal)
        with closing(_answer_all(_answerer(kb, mode, filters, top), todo, workers)) as results:
            for row, result in results:
                journal.add(row.key, result, failed=outcome(result) == "error")
                finished += 1
                if progress:
                    progress(finished, total, row.id)
        if resumed < sound and kb.info().get("generation") != receipt.generation:
            _log.warning(
                "the knowledge base changed during the run: some rows were answered from its new content"
            )
        if file_hash(source) != list_hash:
            raise SourceError(f"{source} changed during the run", "run the same command again")
        output = Output(TITLES[mode].format(source.name), mode, table.columns, {}, receipt, table.mark)
        report = _write(target, table, journal, output, {document.id: document for document in documents})
    if not report.failed:
        journal_path(target).unlink()
    return replace(report, resumed=resumed, seconds=time.perf_counter() - started)


def journal_path(target: Path) -> Path:
    """Where the finished rows of a run are kept until its output is complete."""
    return target.with_name(target.name + ".journal")


# --- the request -------------------------------------------------------------------------------------


def _check_request(source: Path, target: Path, mode: str, workers: int) -> None:
    if mode not in TEXT_COLUMNS:
        raise UsageError(f"there is no mode {mode!r}", "use ask or check")
    if workers < 1:
        raise UsageError(f"{workers} workers cannot work", "use 1 or more")
    if source.suffix.lower() not in READS:
        raise UsageError(f"{source.name} is not a list that can be read", f"use one of {' '.join(READS)}")
    if target.suffix.lower() not in WRITES:
        raise UsageError(
            f"{target.name} cannot be written", f"name an output that ends in one of {' '.join(WRITES)}"
        )
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}", "make it first")
    if target.exists() and source.exists() and target.samefile(source):
        raise UsageError("the output would overwrite the list", "give the output another name")


def _count(table: Table, journal: Journal) -> tuple[int, int, int]:
    """How many rows there are, sound ones, and stale ones; the journal forgets rows that are not there."""
    total = sound = stale = 0
    there: set[str] = set()
    for row in table.rows():
        total += 1
        if row.error is None:
            sound += 1
            stale += row.key in journal.stale
            there.add(row.key)
    journal.done &= there
    return total, sound, stale


def _say_what_is_resumed(resumed: int, sound: int, stale: int) -> None:
    if stale:
        _log.warning(
            "%d rows of an earlier run are asked again, since the knowledge base or the settings changed",
            stale,
        )
    if resumed:
        _log.info("%d of %d rows are there from an earlier run", resumed, sound)


# --- answering ---------------------------------------------------------------------------------------


def _answerer(kb: Library, mode: Mode, filters: Filters, top: int | None) -> Callable[[Row], Result]:
    def answer(row: Row) -> Result:
        limited = _merge(row.filters, filters)
        try:
            if mode == "check":
                return kb.check(row.text, filters=limited).to_dict()
            return kb.ask(row.text, filters=limited, history=row.history, top=top).to_dict()
        except KBError as error:
            return _failed(row.text, mode, str(error))
        except Exception as error:  # noqa: BLE001  a defect met in one row must not cost the others
            _log.debug("row %s", row.id, exc_info=True)
            return _failed(row.text, mode, f"Unexpected error ({type(error).__name__}: {error}).")

    return answer


def _merge(own: Filters, general: Filters) -> Filters:
    return Filters(
        publishers=own.publishers or general.publishers,
        document_ids=own.document_ids or general.document_ids,
        after=own.after or general.after,
        before=own.before or general.before,
    )


def _answer_all(
    answer: Callable[[Row], Result], rows: Iterable[Row], workers: int
) -> Generator[tuple[Row, Result], None, None]:
    """Each row with its result, as they are finished; only a few rows are read ahead."""
    if workers == 1:
        yield from ((row, answer(row)) for row in rows)
        return
    pool = ThreadPoolExecutor(workers)
    waiting: dict[Future[Result], Row] = {}
    try:
        for row in rows:
            waiting[pool.submit(answer, row)] = row
            if len(waiting) >= workers * WAITING_PER_WORKER:
                yield from _finished(waiting)
        while waiting:
            yield from _finished(waiting)
    finally:
        pool.shutdown(cancel_futures=True)


def _finished(waiting: dict[Future[Result], Row]) -> Iterator[tuple[Row, Result]]:
    """Wait for at least one row and take out those that are finished."""
    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
        yield waiting.pop(future), future.result()


def _failed(text: str, mode: Mode, error: str) -> Result:
    if mode == "check":
        return CheckReport(text, error=error).to_dict()
    return Answer(text, status="error", error=error).to_dict()


# --- the journal -------------------------------------------------------------------------------------


@contextmanager
def _only_one(target: Path) -> Iterator[None]:
    """Keep a second batch from writing the same output at the same time; raises ``Busy``."""
    from filelock import FileLock, Timeout

    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Busy(f"another batch is writing {target}", "wait until it has finished") from None
    try:
        _clear_drafts(target)
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


def _clear_drafts(target: Path) -> None:
    """Remove what runs that were killed while they wrote have left half written."""
    draft = re.compile(rf"\.{re.escape(target.name)}\.(\d+)\.tmp")
    for path in target.parent.iterdir():
        if (found := draft.fullmatch(path.name)) and int(found[1]) != os.getpid():
            path.unlink(missing_ok=True)


class Journal:
    """Finished rows on disk, one a line; in memory only where each line begins.

    ``key in journal`` means that the row was finished under the same ``state`` (knowledge base and
    settings) and did not fail; ``done`` holds these keys, ``stale`` those finished under another one.
    """

    def __init__(self, path: Path, *, state: str) -> None:
        self.state = state
        self.stale: set[str] = set()
        self.done: set[str] = set()
        self._places: dict[str, int] = {}
        self._file = path.open("a+b")
        self._load()

    def _load(self) -> None:
        place = 0
        self._file.seek(0)
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            try:
                entry = json.loads(line)
                self._note(entry["key"], place, entry["state"], failed=entry["failed"])
            except (ValueError, KeyError, TypeError):
                _log.warning("a line of the journal cannot be read, its row is asked again")
            place += len(line)
        self._file.truncate(place)  # a line that a killed run left half written

    def _note(self, key: str, place: int, state: str, *, failed: bool) -> None:
        for group in (self.done, self.stale):
            group.discard(key)
        self._places[key] = place
        if not failed:
            (self.done if state == self.state else self.stale).add(key)

    def add(self, key: str, result: Result, *, failed: bool) -> None:
        """Keep the result of a row, past the end of this process."""
        place = self._file.seek(0, os.SEEK_END)
        entry = {"key": key, "state": self.state, "failed": failed, "result": result}
        self._file.write(json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        self._file.flush()
        self._note(key, place, self.state, failed=failed)

    def result(self, key: str) -> Result:
        """The latest result of a row."""
        self._file.seek(self._places[key])
        found: Result = json.loads(self._file.readline())["result"]
        return found

    def __contains__(self, key: str) -> bool:
        return key in self.done

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


# --- writing -----------------------------------------------------------------------------------------


def _write(
    target: Path, table: Table, journal: Journal, output: Output, documents: dict[str, DocumentSummary]
) -> BatchReport:
    """Write the whole output in one visible step and count what it holds."""
    counts: Counter[str] = Counter()
    failed: list[Failure] = []
    cited: set[str] = set()
    for row, result in _results(table, journal, output.mode):
        counts[outcome(result)] += 1
        cited |= {citation["document_id"] for citation in citations_of(result)}
        if outcome(result) == "error":
            failed.append(Failure(row.id, result["error"] or "The question could not be answered."))
    sources = tuple(_cited_source(document_id, documents) for document_id in sorted(cited))
    receipt = replace(output.receipt, sources=sources)
    output = replace(output, counts={status: counts[status] for status in ORDER}, receipt=receipt)
    with (
        replacing(target) as draft,
        writing(draft, target.suffix.lower(), output) as put,
    ):
        for row, result in _results(table, journal, output.mode):
            put(row, result)
    if beside := sidecar(receipt, target):
        with replacing(receipt_path(target)) as draft:
            draft.write_text(beside, encoding="utf-8")
    answered = sum(counts[status] for status in ("answered", "supported", "contradicted"))
    return BatchReport(counts.total(), answered, counts["not_found"], tuple(failed))


def _results(table: Table, journal: Journal, mode: Mode) -> Iterator[tuple[Row, Result]]:
    for row in table.rows():
        yield row, _failed(row.text, mode, row.error) if row.error else journal.result(row.key)


def _cited_source(document_id: str, documents: dict[str, DocumentSummary]) -> CitedSource:
    known = documents.get(document_id)
    return CitedSource(document_id, *((known.title, known.content_hash) if known else (None, None)))


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path to write to; what is there takes the place of ``target`` when all of it is written."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        yield draft
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)
