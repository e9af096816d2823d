"""Sources by way of the queue: ``enqueue`` puts them there, ``work`` reads them, in any number of processes.

A worker reads, splits and embeds beside the others and takes the right to write only for the short step that
makes a document visible. What comes of a source is what ``ingest`` would have made of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ingest.fetch import Fetcher, site_of
from ingest.load import Options, content_hash
from ingest.sync import Chosen, Item, Progress, Run, Tally, find, parsers, read
from kb.errors import Busy, SourceError, StorageError, UsageError
from kb.queue import Queue, Taken, Task
from kb.types import Failure, IngestReport, QueueReport

if TYPE_CHECKING:
    from kb.store import Store, Writer

Columns = tuple[tuple[str, str], ...]

MOST_BYTES = 256 << 20
"""A larger file does not go through the queue."""

LOOK_S = 0.5
"""So often a worker that has nothing to do looks for more."""

AGAIN_S = 5.0
"""So long it waits where a server cannot be reached."""

WAIT_S = 600.0
"""So long it waits for another process that writes."""


def enqueue(
    sources: Sequence[str],
    store: Store,
    *,
    columns: Columns = (),
    chosen: Chosen = Chosen(),
    progress: Progress | None = None,
) -> QueueReport:
    """Put files, folders and URLs into the queue, but for files that are in the store as they are.

    Raises ``UsageError`` where the catalogue is not in PostgreSQL.
    """
    queue, tally = Queue(store.catalogue), Tally()
    items, _ = find(sources, chosen, tally)

    def tasks() -> Iterator[Task]:
        for done, item in enumerate(items, start=1):
            try:
                if (task := _task(item, columns)).data is not None and is_known(task):
                    tally.unchanged += 1
                else:
                    yield task
            except SourceError as error:
                tally.fail(item.origin, error)
            if progress is not None:
                progress(done, len(items), item.id)

    def is_known(task: Task) -> bool:
        known = store.catalogue.origin_hash(task.origin) == content_hash(task.data or b"", columns)
        return known and not queue.holds(task.origin)

    queued = queue.put(tasks())
    return QueueReport(queued, tally.unchanged, tuple(tally.failed))


def work(
    store: Store,
    *,
    fetcher: Fetcher,
    tell: Callable[[IngestReport], None],
    drain: bool = False,
) -> IngestReport:
    """Read what is in the queue, one source after the other, without end, or until it is empty (``drain``).

    ``tell`` gets the report of each source that changed something or failed. A server that cannot be reached
    is tried again, but not by one who drains. Raises ``UsageError`` where others would not see what it does.
    """
    from kb.vectors import ServedIndex

    queue = Queue(store.catalogue)
    if not isinstance(store.vectors, ServedIndex):
        raise UsageError(
            "workers share their vector index, and this one is in a folder",
            "start a Chroma server (`chroma run`) and name its address in KBQA_VECTORS",
        )
    began, total, told = time.perf_counter(), IngestReport(), ""
    with parsers() as pool:
        while True:
            try:
                report, told = _next(queue, store, pool, fetcher), ""
                if report is None and drain and queue.is_done():
                    return replace(total, seconds=time.perf_counter() - began)
            except (Busy, StorageError) as error:
                if drain:
                    raise
                if told != (told := str(error)):
                    tell(IngestReport(failed=(Failure("the queue", told),)))
                time.sleep(AGAIN_S)
                continue
            if report is None:
                time.sleep(LOOK_S)
            else:
                total = _sum(total, report)
                if report.added or report.updated or report.removed or report.failed:
                    tell(report)


def _next(queue: Queue, store: Store, pool: ThreadPoolExecutor, fetcher: Fetcher) -> IngestReport | None:
    """The report of the next task; ``None`` where there is none."""
    began, tally = time.perf_counter(), Tally()
    with queue.next() as taken:
        if taken is None:
            return None
        item, columns = _item(taken.task)

        @contextmanager
        def right() -> Iterator[Writer]:
            with store.writer(wait_s=WAIT_S) as writer:
                taken.confirm()  # from here on no other worker could have written it
                yield writer

        run = Run(store, right, tally, pool, Options(columns=columns), fetcher)
        try:
            links = run.read(item)
            run.flush()
            queue.put(_tasks(links, columns, tally))
        except SourceError as error:
            tally.fail(item.origin, error)
        if item.path is None:
            fetcher.rest(item.origin)  # the next page of its site may be another worker's
        _settle(taken, tally)
    return tally.report(time.perf_counter() - began)


def _settle(taken: Taken, tally: Tally) -> None:
    """Keep a task that failed; what is said of one that will be tried again is said then."""
    if not tally.failed:
        return
    # Records that could not be read stand beside others that could: another attempt would find it unchanged.
    final = taken.is_last or bool(tally.added or tally.updated or tally.unchanged)
    taken.fail("; ".join(dict.fromkeys(failure.error for failure in tally.failed)), final=final)
    if not final:
        tally.failed = []


def _tasks(items: Iterable[Item], columns: Columns, tally: Tally) -> Iterator[Task]:
    """One for each; what cannot be one stands in the tally."""
    for item in items:
        try:
            yield _task(item, columns)
        except SourceError as error:
            tally.fail(item.origin, error)


def _task(item: Item, columns: Columns) -> Task:
    """Raises ``SourceError`` for a file that cannot be read or does not fit."""
    about: dict[str, Any] = {"id": item.id, "walked": item.walked, "feeds": item.feeds, "columns": columns}
    if item.path is None:
        return Task(item.origin, site_of(item.origin), about)
    data = read(item.origin, item.path.name).data
    if len(data) > MOST_BYTES:
        raise SourceError(
            f"the file is larger than {MOST_BYTES >> 20} MB", "read it with `kbqa ingest`, or split it"
        )
    return Task(item.origin, item.origin, {**about, "name": item.path.name}, data)


def _item(task: Task) -> tuple[Item, Columns]:
    about = task.about
    path = None if task.data is None else Path(about["name"])
    item = Item(task.origin, about["id"], path, about["walked"], about["feeds"], task.data)
    return item, tuple((field, column) for field, column in about["columns"])


def _sum(one: IngestReport, other: IngestReport) -> IngestReport:
    return IngestReport(
        added=one.added + other.added,
        updated=one.updated + other.updated,
        unchanged=one.unchanged + other.unchanged,
        removed=one.removed + other.removed,
        failed=(*one.failed, *other.failed),
        passages=one.passages + other.passages,
    )
