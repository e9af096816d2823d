"""A list of questions or claims answered row by row, in its order, and nothing lost on the way.

Every finished row goes to a journal beside the output (``answers.csv.journal``) before anything else
happens, and the output is made from the journal alone, in one step, at the end. So a run that was cut
off is continued by the same command, does only what is missing, and writes the very bytes that an
uninterrupted run would have written. A row that failed is tried again. The list is read three times (to
count, to answer, to write) instead of being kept, so that 100,000 rows need no more memory than ten.
"""

from __future__ import annotations

import logging
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache, reduce
from itertools import islice
from operator import add
from pathlib import Path
from typing import Any, Protocol, TypeVar

from kb import __version__
from kb.errors import Busy, KBError, SourceError, UsageError
from kb.journal import Journal, Result, journal_path, look_into_journal, open_journal
from kb.outputs import (
    WRITERS,
    Output,
    Receipt,
    check_target,
    citations_of,
    file_hash,
    is_unworded,
    new_receipt,
    outcome,
    receipt_path,
    replacing,
    sidecar,
    usage_of,
    with_sources,
    writing,
)
from kb.tables import READS, TEXT_COLUMNS, Mode, Row, Table, digest, read_table
from kb.types import Answer, CheckReport, DocumentSummary, Failure, Filters, Turn, Usage

T = TypeVar("T")
R = TypeVar("R")
Progress = Callable[[int, int, str], None]  # done, in all, name; no name: these were done before

WRITES = tuple(WRITERS)
TITLES = {"ask": "Answers to {}", "check": "Verdicts on {}"}
ORDER = ("answered", "supported", "contradicted", "not_found", "error")
WAITING_PER_WORKER = 8  # rows that are read ahead
SAMPLED_PER_WORKER = 6  # rows that are tried to see how long a row takes
SAMPLED_OF_A_MODEL = 3  # ... and what it costs: these are paid for

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
    """What a run did: ``done`` rows are in the output, ``resumed`` of them from an earlier run.

    ``left`` are the rows that a run which was told to stop did not come to. ``usage`` is what all rows of the
    output took of a chat model, if one was asked; ``unworded`` are answered in the documents' words, since it
    failed, and the next run asks it again.
    """

    done: int = 0
    answered: int = 0
    not_found: int = 0
    failed: tuple[Failure, ...] = ()
    resumed: int = 0
    left: int = 0
    seconds: float = 0.0
    usage: Usage | None = None
    unworded: int = 0

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "failed": [asdict(f) for f in self.failed], "seconds": round(self.seconds, 2)}


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """What a run would do with the ``rows`` of a list.

    ``faulty`` ones are errors in the list, ``done`` ones are there from an earlier run, ``stale`` ones too,
    but the knowledge base, the settings or kbqa changed since. ``each`` is how many seconds go by for a row
    when ``workers`` are at work, as ``sampled`` rows took them. ``usage`` is about what the rows that are
    left will take of a chat model, seen from ``tried``, which the sampled rows took; ``None`` if none was
    asked.
    """

    rows: int
    faulty: tuple[Failure, ...]
    done: int
    stale: int
    left: int
    sampled: int
    workers: int
    each: float
    usage: Usage | None = None
    tried: Usage | None = None

    @property
    def seconds(self) -> float:
        """About how long the rows that are left will take."""
        return self.left * self.each

    def to_dict(self) -> dict[str, Any]:
        return {
            **asdict(self),
            "faulty": [asdict(f) for f in self.faulty],
            "each": round(self.each, 4),
            "seconds": round(self.seconds, 1),
        }


def run_batch(
    kb: Library,
    source: Path,
    target: Path,
    *,
    mode: Mode = "ask",
    workers: int = 1,
    filters: Filters = Filters(),
    top: int | None = None,
    journal: Path | None = None,
    progress: Progress | None = None,
    seen: Callable[[Row, Result], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> BatchReport:
    """Answer (or check) every row of ``source`` and write ``target``; continues a run that was cut off.

    A row's own filters come before ``filters``. What is done is kept in ``journal``; the default lies beside
    the output and goes away with the last row. ``progress`` is told rows done, rows in all and the row's
    id, ``seen`` is shown each row with its result. When ``stop`` says so, what is done is written, and the
    same call goes on from there. Raises ``UsageError`` for a kind of file or a column that will not do,
    ``SourceError`` for a list that cannot be read.
    """
    _check_request(source, target, mode, workers)
    started = time.perf_counter()
    table, list_hash = read_table(source, mode), file_hash(source)
    documents = kb.documents()
    receipt, state = _asked_of(kb, documents, mode, filters, top)
    kept = journal or journal_path(target)
    with _only_one(target), open_journal(kept, state=state) as past:
        total, sound, stale = _count(table, past)
        resumed = len(past.done)
        _say_what_is_resumed(resumed, sound, stale)
        finished = total - sound + resumed
        answer = _answerer(kb, mode, filters, top)

        def work(row: Row) -> Result:
            result = answer(row)
            past.add(row.key, result, failed=outcome(result) == "error" or is_unworded(result))
            return result

        todo = (row for row in table.rows() if row.error is None and row.key not in past)
        if progress and finished:
            progress(finished, total, "")
        with closing(spread(work, todo, workers)) as results:
            for row, result in results:
                finished += 1
                if progress:
                    progress(finished, total, row.id)
                if seen:
                    seen(row, result)
                if stop():
                    break
        if resumed < sound and kb.info().get("generation") != receipt.generation:
            _log.warning(
                "the knowledge base changed during the run: some rows were answered from its new content"
            )
        if file_hash(source) != list_hash:
            raise SourceError(f"{source} changed during the run", "run the same command again")
        output = Output(TITLES[mode].format(source.name), mode, table.columns, {}, receipt, table.mark)
        report = _write(target, table, total, past, output, documents)
    if not (journal or report.failed or report.unworded or report.left):
        kept.unlink()
    return replace(report, resumed=resumed, seconds=time.perf_counter() - started)


def plan_batch(
    kb: Library,
    source: Path,
    target: Path,
    *,
    mode: Mode = "ask",
    workers: int = 1,
    filters: Filters = Filters(),
    top: int | None = None,
) -> BatchPlan:
    """What ``run_batch`` would do, and about how long it would take; nothing is written.

    A few of the rows that are left, spread over the list, are answered to see how long they take and what
    they cost; what a chat model replies to them is remembered, so that it is not paid for twice. Raises what
    ``run_batch`` raises.
    """
    _check_request(source, target, mode, workers)
    table = read_table(source, mode)
    receipt, state = _asked_of(kb, kb.documents(), mode, filters, top)
    most = SAMPLED_OF_A_MODEL if receipt.settings.get("model") else SAMPLED_PER_WORKER * workers
    with look_into_journal(journal_path(target), state=state) as journal:
        total, sound, stale = _count(table, journal)
        left = sound - len(journal.done)
        todo = (row for row in table.rows() if row.error is None and row.key not in journal)
        step = max(1, left // most)
        sample = list(islice(todo, 0, None, step))
    faulty = tuple(Failure(row.id, row.error) for row in table.rows() if row.error is not None)
    answer = _answerer(kb, mode, filters, top)
    began = time.perf_counter()
    results = [answer(row) for row in sample[:1]]  # the first one waits for the models to load
    first = time.perf_counter() - began
    began = time.perf_counter()
    results += [result for _, result in spread(answer, sample[1:], workers)]
    tried = len(sample) - 1
    each = (time.perf_counter() - began) / tried if tried > 0 else first
    used, usage = _expected_usage(results, left)
    done = total - len(faulty) - left
    return BatchPlan(total, faulty, done, stale, left, len(sample), workers, each, usage, used)


def _expected_usage(results: Sequence[Result], rows: int) -> tuple[Usage | None, Usage | None]:
    """What some rows took of a chat model, and what so many would.

    A reply that was remembered says nothing of what one costs.
    """
    taken = [usage_of(result) for result in results]
    used = _sum(taken)
    telling = [usage for usage in taken if not usage or usage.calls]
    paid = _sum(telling)
    if used is None or paid is None:
        return used, None
    share = rows / len(telling)
    calls, read, wrote = (round(n * share) for n in (paid.calls, paid.input_tokens, paid.output_tokens))
    return used, Usage(calls, read, wrote, None if paid.cost is None else paid.cost * share)


def _sum(usages: Iterable[Usage | None]) -> Usage | None:
    known = [usage for usage in usages if usage]
    return reduce(add, known) if known else None


_ASKED_HOW = ("reading", "model", "unsupported", "model_anyway", "model_tokens", "model_calls", "model_spend")


def _asked_of(
    kb: Library, documents: Sequence[DocumentSummary], mode: Mode, filters: Filters, top: int | None
) -> tuple[Receipt, str]:
    """The receipt of a run before anything is cited, and the state under which its rows are kept."""
    info = kb.info()
    asked: dict[str, Any] = {name: info[name] for name in _ASKED_HOW if name in info}
    receipt = new_receipt(info, documents, {"mode": mode, "top": top, **asked, **asdict(filters)})
    # Another knowledge base may have the same generation: the folder and what it holds tell them apart.
    folder = info.get("folder")
    identity = [folder and str(Path(folder).resolve()), info.get("documents"), info.get("passages")]
    version = [__version__, answering_model()]
    return receipt, digest([identity, receipt.generation, receipt.embedder, *version, receipt.settings])


@cache
def answering_model() -> str:
    """A hash of the weights that are shipped: with others, the same release answers otherwise."""
    found = (p for p in sorted(Path(__file__).parent.iterdir()) if p.suffix in (".safetensors", ".json"))
    return digest([(path.name, file_hash(path)) for path in found])


# --- the request -------------------------------------------------------------------------------------


def _check_request(source: Path, target: Path, mode: str, workers: int) -> None:
    if mode not in TEXT_COLUMNS:
        raise UsageError(f"there is no mode {mode!r}", "use ask or check")
    if workers < 1:
        raise UsageError(f"{workers} workers cannot work", "use 1 or more")
    if source.suffix.lower() not in READS:
        raise UsageError(f"{source.name} is not a list that can be read", f"use one of {' '.join(READS)}")
    if target.exists() and source.exists() and target.samefile(source):
        raise UsageError("the output would overwrite the list", "give the output another name")
    check_target(target, WRITES)


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
            "%d rows of an earlier run are asked again, since the knowledge base, the settings or kbqa itself"
            " changed",
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
            # What it says may tell of the machine, and the output is handed around.
            _log.warning("row %s: %s: %s", row.id, type(error).__name__, error)
            _log.debug("row %s", row.id, exc_info=True)
            return _failed(row.text, mode, f"Unexpected error ({type(error).__name__}).")

    return answer


def _merge(own: Filters, general: Filters) -> Filters:
    return Filters(
        publishers=own.publishers or general.publishers,
        document_ids=own.document_ids or general.document_ids,
        after=own.after or general.after,
        before=own.before or general.before,
    )


def spread(work: Callable[[T], R], items: Iterable[T], workers: int) -> Generator[tuple[T, R], None, None]:
    """Each item with what ``work`` makes of it, as they are finished; only a few items are read ahead."""
    if workers == 1:
        yield from ((item, work(item)) for item in items)
        return
    pool = ThreadPoolExecutor(workers)
    waiting: dict[Future[R], T] = {}
    try:
        for item in items:
            waiting[pool.submit(work, item)] = item
            if len(waiting) >= workers * WAITING_PER_WORKER:
                yield from _finished(waiting)
        while waiting:
            yield from _finished(waiting)
    finally:
        pool.shutdown(cancel_futures=True)


def _finished(waiting: dict[Future[R], T]) -> Iterator[tuple[T, R]]:
    """Wait for at least one item and take out those that are finished."""
    for future in wait(waiting, return_when=FIRST_COMPLETED).done:
        yield waiting.pop(future), future.result()


def _failed(text: str, mode: Mode, error: str) -> Result:
    if mode == "check":
        return CheckReport(text, error=error).to_dict()
    return Answer(text, status="error", error=error).to_dict()


# --- writing -----------------------------------------------------------------------------------------


def _write(
    target: Path,
    table: Table,
    total: int,
    journal: Journal,
    output: Output,
    documents: Iterable[DocumentSummary],
) -> BatchReport:
    """Write the whole output in one visible step and count what it holds."""
    counts: Counter[str] = Counter()
    failed: list[Failure] = []
    cited: set[str] = set()
    usage: Usage | None = None
    unworded = 0
    for row, result in _results(table, journal, output.mode):
        counts[outcome(result)] += 1
        cited |= {citation["document_id"] for citation in citations_of(result)}
        usage = _sum([usage, usage_of(result)])
        unworded += is_unworded(result)
        if outcome(result) == "error":
            failed.append(Failure(row.id, result["error"] or "The question could not be answered."))
    receipt = with_sources(output.receipt, cited, documents)
    left = total - counts.total()
    by_status = {status: counts[status] for status in ORDER}
    output = replace(output, counts=by_status, left=left, receipt=receipt, usage=usage)
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
    return BatchReport(
        counts.total(),
        answered,
        counts["not_found"],
        tuple(failed),
        left=left,
        usage=usage,
        unworded=unworded,
    )


def _results(table: Table, journal: Journal, mode: Mode) -> Iterator[tuple[Row, Result]]:
    for row in table.rows():
        if row.error:
            yield row, _failed(row.text, mode, row.error)
        elif (result := journal.result(row.key)) is not None:
            yield row, result


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
    names = "|".join(re.escape(path.name) for path in (target, receipt_path(target)))
    draft = re.compile(rf"\.(?:{names})\.(\d+)\.(?:tmp|try)")
    for path in target.parent.iterdir():
        if (found := draft.fullmatch(path.name)) and int(found[1]) != os.getpid():
            path.unlink(missing_ok=True)
