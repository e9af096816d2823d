"""Sources kept in step: ingested again when a file changes, and all of them now and then.

A change is only a reason to look: the same ingestion as ever finds out what it is. What is written while it
runs is seen afterwards; what no system tells of (shares of other machines, pages, feeds) is found by looking
regularly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from ingest.sync import is_url
from kb.errors import Busy, StorageError
from kb.types import Failure, IngestReport

EVERY_S = 600.0
"""After so long everything is looked at, whether or not a change was seen."""

TICK_S = 0.5
QUIET_S = 0.5
"""A file is likely to be written completely when nothing has changed for so long."""

LONGEST_S = 5.0
"""Where something changes all the time, the changes of so long are taken together."""


def keep_in_step(
    sources: Sequence[str],
    aside: Path,
    ingest: Callable[[Sequence[str], bool], IngestReport],
    tell: Callable[[IngestReport], None],
    *,
    every_s: float = EVERY_S,
) -> None:
    """Ingest what is ``due``, until Ctrl-C. Called with sources and whether to prune, ``ingest`` does it.

    ``tell`` gets the report of each run that changed something or failed in a new way. A knowledge base that
    cannot be written to just now is tried again with the next change.
    """
    told: dict[str, str] = {}
    for part in due(sources, aside=aside, every_s=every_s):
        try:
            report = ingest(part, all(map(_holds_something, _folders(part))))
        except (Busy, StorageError) as error:
            report = IngestReport(failed=(Failure(str(aside), str(error)),))
        new = tuple(failure for failure in report.failed if told.get(failure.source) != failure.error)
        # What was not looked at this time is no news when it is the next.
        told = {} if set(part) == set(sources) else told
        told |= {failure.source: failure.error for failure in report.failed}
        if report.added or report.updated or report.removed or new:
            tell(replace(report, failed=new))


def due(sources: Sequence[str], *, aside: Path, every_s: float = EVERY_S) -> Iterator[list[str]]:
    """The sources to ingest: all of them, then those on this machine whenever one has changed, without end.

    Every ``every_s`` seconds it is all of them again. Changes below ``aside``, the knowledge base, do not
    count, nor those of hidden files.
    """
    from watchfiles import watch

    local = [source for source in sources if not is_url(source)]
    folders = _folders(local)
    files = [Path(source).expanduser() for source in local if Path(source).expanduser() not in folders]
    aside = aside.resolve()

    def counts(_: object, path: str) -> bool:
        changed = Path(path)
        inside = next((f for f in map(Path.resolve, folders) if changed.is_relative_to(f)), changed.parent)
        hidden = any(part.startswith(".") for part in changed.relative_to(inside).parts)
        return not hidden and not changed.is_relative_to(aside)

    last, seen = float("-inf"), _stamps(files)
    for changes in watch(
        *folders,
        watch_filter=counts,
        debounce=round(LONGEST_S * 1000),
        step=round(QUIET_S * 1000),
        rust_timeout=round(TICK_S * 1000),
        yield_on_timeout=True,
        ignore_permission_denied=True,
    ):
        now, stamps = time.monotonic(), _stamps(files)
        if now - last >= every_s:
            last = now
            yield list(sources)
        elif changes or stamps != seen:
            yield local
        seen = stamps


def _folders(sources: Sequence[str]) -> list[Path]:
    paths = (Path(source).expanduser() for source in sources if not is_url(source))
    return [path for path in paths if path.is_dir()]


def _holds_something(folder: Path) -> bool:
    """False for an empty folder, too: it may be a drive that is not there at the moment."""
    try:
        return any(folder.iterdir())
    except OSError:
        return False


def _stamps(files: Sequence[Path]) -> list[tuple[int, int] | None]:
    """When each file was last changed, and how long it is; a single file is not watched but looked at."""

    def stamp(file: Path) -> tuple[int, int] | None:
        try:
            state = file.stat()
        except OSError:
            return None
        return state.st_mtime_ns, state.st_size

    return [stamp(file) for file in files]
