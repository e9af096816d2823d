"""Changes of the library that editors make on the page: files taken in, sources read again, removal and undo.

What is uploaded is kept in ``uploads/`` of the knowledge base, so that it can be read again like any other
file. A removed upload waits in ``uploads/.removed/`` for its undo, and is deleted when lists are (see
``upload_days``). Reading goes through ``ingest.sync``, so through child processes with limits.
"""

from __future__ import annotations

import queue
import shutil
import threading
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal

from ingest.fetch import Fetcher
from ingest.sync import ingest
from kb.errors import Busy, UsageError
from kb.store import Removed
from kb.types import IngestReport

if TYPE_CHECKING:
    from kb.pipeline import KnowledgeBase
    from kb.store import Store

FOLDER = "uploads"
BIN = ".removed"
NAME_BYTES = 200
TOLD_S = 0.3  # how often progress is told
WAIT_S = 5.0  # for another process that writes

Outcome = Literal["added", "updated", "unchanged", "failed", "gone"]


@dataclass(frozen=True, slots=True)
class Taken:
    """What came of one source: its name, and the ids of its documents or the error in words."""

    name: str
    outcome: Outcome
    documents: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """How far it is: sources done, and all of them. The last one has ``results``."""

    done: int
    total: int
    name: str = ""
    results: tuple[Taken, ...] | None = None


@dataclass(frozen=True, slots=True)
class Undo:
    """What was removed together: the documents, and where their uploads were moved from and to."""

    removed: tuple[Removed, ...]
    moved: tuple[tuple[Path, Path], ...] = ()


class Intake:
    """Changes the library, one change at a time; whoever comes second is told so at once."""

    def __init__(self, kb: KnowledgeBase) -> None:
        self._kb = kb
        self._at_work = threading.Lock()

    @property
    def _store(self) -> Store:
        return self._kb.store

    @property
    def folder(self) -> Path:
        """Where uploads are kept."""
        return self._store.folder / FOLDER

    def take(self, uploads: Sequence[Path]) -> Iterator[Step]:
        """Keep uploaded files and read them, telling how it goes; one of the same name is replaced.

        Raises ``UsageError`` for more or larger files than are taken, ``Busy`` while others write.
        """
        settings = self._kb.settings
        if len(uploads) > settings.upload_files:
            raise UsageError(
                f"these are {len(uploads):,} files, and {settings.upload_files:,} are taken at once",
                "hand them in in parts, or use `kbqa ingest`",
            )
        for upload in uploads:
            if upload.stat().st_size > settings.upload_megabytes << 20:
                raise UsageError(
                    f"{upload.name} is larger than {settings.upload_megabytes} MB", "use `kbqa ingest` for it"
                )
        with self._alone():
            self.folder.mkdir(exist_ok=True, mode=0o700)
            self._empty_bin()
            names = [safe_name(upload.name) for upload in uploads]
            if twice := next((name for name in names if names.count(name) > 1), None):
                raise UsageError(
                    f"two of these files are called {twice}", "rename one, or add them one by one"
                )
            kept = [self.folder / name for name in names]
            for upload, path in zip(uploads, kept, strict=True):
                draft = path.with_name(f".{path.name[:100]}.new")
                shutil.copyfile(upload, draft)
                draft.replace(path)
            for step in self._ingest([str(path) for path in kept]):
                if step.results is not None:
                    for path in kept:
                        if not self._store.catalogue.documents_of(str(path.resolve())):
                            path.unlink(missing_ok=True)  # nothing became of it
                yield step

    def again(self) -> Iterator[Step]:
        """Read every source again that has changed, telling how it goes.

        A file that is gone keeps its documents: it may lie on a disk that is not there just now.
        """
        with self._alone():
            yield from self._ingest(self._store.catalogue.origins())

    def remove(self, document_ids: Sequence[str]) -> Undo:
        """Remove documents; raises ``NoSuchDocument`` for an unknown id, and then removes none."""
        with self._alone(), self._store.writer(wait_s=WAIT_S) as writer:
            removed = tuple(writer.take_out(document_ids))
            moved = []
            for origin in dict.fromkeys(one.origin for one in removed):
                path = Path(origin)
                if path.parent == self.folder.resolve() and not self._store.catalogue.documents_of(origin):
                    thrown = path.parent / BIN / f"{time.time_ns()}-{path.name}"
                    thrown.parent.mkdir(exist_ok=True, mode=0o700)
                    with suppress(OSError):  # it was gone already
                        path.replace(thrown)
                        moved.append((path, thrown))
        return Undo(removed, tuple(moved))

    def undo(self, undo: Undo) -> int:
        """Put back what was removed; says how many documents are there again."""
        with self._alone(), self._store.writer(wait_s=WAIT_S) as writer:
            before = self._store.catalogue.counts()[0]
            writer.put_back(undo.removed)
            for path, thrown in undo.moved:
                if thrown.exists() and not path.exists():
                    thrown.replace(path)
            return self._store.catalogue.counts()[0] - before

    def _ingest(self, sources: Sequence[str]) -> Iterator[Step]:
        catalogue = self._store.catalogue
        origins = [source if "://" in source else str(Path(source).resolve()) for source in sources]
        before = {
            origin: (catalogue.origin_hash(origin), catalogue.documents_of(origin)) for origin in origins
        }
        missing = [o for o in origins if "://" not in o and not Path(o).exists()]
        present = [s for s, o in zip(sources, origins, strict=True) if o not in missing]
        fetcher = Fetcher(private=self._kb.settings.private_urls)
        told: queue.Queue[Step | IngestReport | Exception] = queue.Queue()

        def work() -> None:
            try:
                told.put(
                    ingest(
                        present,
                        self._store,
                        fetcher=fetcher,
                        progress=lambda done, total, name: told.put(Step(done, total, name)),
                    )
                )
            except Exception as error:  # noqa: BLE001  raised again where somebody waits for it
                told.put(error)

        yield Step(0, len(present))
        threading.Thread(target=work, name="kbqa-intake", daemon=True).start()
        last = 0.0
        while not isinstance(news := told.get(), IngestReport):
            if isinstance(news, Exception):
                raise news
            if time.monotonic() - last > TOLD_S:
                last = time.monotonic()
                yield news
        failed = {failure.source: failure.error for failure in news.failed}
        results = [self._taken(o, before[o], failed) if o not in missing else _gone(o) for o in origins]
        named = set(origins)
        # A row of a list, or a page that a feed named, fails under a name of its own.
        results += [Taken(s, "failed", error=why) for s, why in failed.items() if s not in named]
        yield Step(len(present), len(present), results=tuple(results))

    def _taken(self, origin: str, before: tuple[str | None, list[str]], failed: dict[str, str]) -> Taken:
        name = origin if "://" in origin else PurePosixPath(Path(origin).as_posix()).name
        documents = tuple(self._store.catalogue.documents_of(origin))
        if origin in failed:
            return Taken(name, "failed", documents, failed[origin])
        if not before[1]:
            return Taken(name, "added" if documents else "unchanged", documents)
        same = self._store.catalogue.origin_hash(origin) == before[0]
        return Taken(name, "unchanged" if same else "updated", documents)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """One change at a time in this process; for other processes there is the writer's lock."""
        if not self._at_work.acquire(blocking=False):
            raise Busy("the library is being changed by somebody else", "try again in a moment")
        try:
            yield
        finally:
            self._at_work.release()

    def _empty_bin(self) -> None:
        oldest = time.time_ns() - self._kb.settings.upload_days * 86_400 * 10**9
        for path in (self.folder / BIN).glob("*-*"):
            with suppress(OSError, ValueError):
                if int(path.name.partition("-")[0]) < oldest:
                    path.unlink()


def safe_name(name: str) -> str:
    """A file name that stays in its folder, is not hidden, and holds nothing that cannot be seen."""
    last = name.replace("\\", "/").rpartition("/")[2]
    seen = "".join("_" if unicodedata.category(c)[0] == "C" else c for c in last).strip().lstrip(".")
    stem, dot, suffix = seen.rpartition(".")
    if not dot or len(suffix) > 10:
        stem, suffix = seen, ""
    room = NAME_BYTES - len(suffix.encode()) - 1
    stem = stem.encode()[:room].decode(errors="ignore") or "upload"
    return f"{stem}.{suffix}" if suffix else stem


def _gone(origin: str) -> Taken:
    name = PurePosixPath(Path(origin).as_posix()).name
    return Taken(name, "gone", error="The file is gone; its documents stay until they are removed.")
