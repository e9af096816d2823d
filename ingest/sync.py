"""Files, folders and URLs into a knowledge base: walk, skip what is unchanged, load, split, write, report.

A source that cannot be read costs its own line in the report and leaves its older version in place. What
storage or the embedding model raise is passed on, since no other source would fare better.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from ingest.fetch import Fetcher, Page
from ingest.load import (
    OLD_OFFICE,
    SUFFIXES,
    Loaded,
    Options,
    content_hash,
    is_supported,
    scan,
    unrecognised_hash,
)
from ingest.split import split
from ingest.worker import parse, stop_busy
from kb.errors import NotADocument, SourceError, UsageError
from kb.types import Document, Failure, IngestReport, Passage

if TYPE_CHECKING:
    from kb.store import Change, Store, Writer

Progress = Callable[[int, int, str], None]

BATCH_PASSAGES = 256
PASSAGE_TOKENS = 220
ROOM_FOR_TITLE = 36
"""Tokens of the embedding model's window left for the title and heading that are embedded with a passage."""

SOURCE_BYTES = 1 << 30
PARSERS = 4
"""At most so many child processes parse at a time, and no more than there are cores."""

IGNORE_NAME = ".kbqaignore"
MOST_FEEDS_DEEP = 3
"""A sitemap may list sitemaps, so deep and no deeper."""


@dataclass(frozen=True, slots=True)
class Item:
    """A file or page to look at: ``origin`` is its absolute path or URL, ``id`` the document id wanted.

    ``walked`` says that it was come upon in a folder, not named by anybody, ``feeds`` how many feeds and
    sitemaps led to it, each to the next. ``data`` is what a file held when it was queued.
    """

    origin: str
    id: str
    path: Path | None = None
    walked: bool = False
    feeds: int = 0
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which files of a folder to read, as patterns of .gitignore: those included, without those excluded."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()


@dataclass(slots=True)
class Tally:
    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    passages: int = 0
    failed: list[Failure] = field(default_factory=list)

    def fail(self, source: str, error: Exception) -> None:
        self.failed.append(Failure(source, str(error)))

    def report(self, seconds: float) -> IngestReport:
        return IngestReport(
            added=self.added,
            updated=self.updated,
            unchanged=self.unchanged,
            removed=self.removed,
            failed=tuple(self.failed),
            passages=self.passages,
            seconds=seconds,
        )


def ingest(
    sources: Sequence[str],
    store: Store,
    *,
    prune: bool = False,
    options: Options = Options(),
    chosen: Chosen = Chosen(),
    fetcher: Fetcher | None = None,
    progress: Progress | None = None,
    wait_s: float = 0.0,
) -> IngestReport:
    """Bring files, folders and URLs into the store and say what was done.

    ``prune`` removes documents whose file below an ingested folder is gone. ``options`` say how to read,
    ``chosen`` which files of a folder, ``fetcher`` how to reach pages. ``progress`` is called with (sources
    done, sources known so far, document id). Counts are documents. Raises ``Busy`` where another process
    still writes after ``wait_s``.
    """
    began = time.perf_counter()
    tally = Tally()
    items, folders = find(sources, chosen, tally)
    with store.writer(wait_s=wait_s) as writer, parsers() as pool:
        run = Run(store, lambda: nullcontext(writer), tally, pool, options, fetcher or Fetcher())
        for done, item in enumerate(run.settled(items), start=1):
            if progress is not None:
                progress(done, len(items), item.id)
        run.flush()
        if prune:
            tally.removed += _prune(store, writer, folders)
    return tally.report(time.perf_counter() - began)


# ----------------------------------------------------------------------------------------- finding


def find(sources: Sequence[str], chosen: Chosen, tally: Tally) -> tuple[list[Item], list[Path]]:
    """What to look at, each origin once, and the folders that were walked."""
    items: dict[str, Item] = {}
    folders: list[Path] = []
    for source in sources:
        if is_url(source):
            items.setdefault(source, Item(source, source))
            continue
        if "://" in source:
            tally.fail(source, SourceError("only http and https addresses are read", "download it"))
            continue
        path = Path(source).expanduser()
        if path.is_dir():
            folders.append(path.resolve())
            found = _walk(path, chosen, tally)
        elif path.is_file():
            found = [Item(str(path.resolve()), path.name, path)]
        else:
            tally.fail(source, SourceError("there is no such file or folder", "check the path"))
            continue
        for item in found:
            items.setdefault(item.origin, item)
    return list(items.values()), folders


def _walk(folder: Path, chosen: Chosen, tally: Tally) -> list[Item]:
    """The supported and chosen files below a folder in the order of their ids; hidden ones are left out."""
    is_chosen = _matcher(folder, chosen)

    def failed(error: OSError) -> None:
        tally.fail(
            str(error.filename),
            SourceError(f"the folder cannot be read ({error.strerror})", "check its permissions"),
        )

    found: list[Item] = []
    inside = folder.resolve()
    for parent, folder_names, names in os.walk(folder, onerror=failed):
        folder_names[:] = [name for name in folder_names if not name.startswith(".")]
        for name in names:
            path = Path(parent, name)
            if (
                name.startswith(".")
                or not path.is_file()
                or not is_chosen(path.relative_to(folder).as_posix())
            ):
                continue
            real = path.resolve()
            if path.is_symlink() and not real.is_relative_to(inside):
                outside = SourceError(
                    f"the link leads out of the folder, to {real}", "ingest that file by its own path"
                )
                tally.fail(str(path), outside)
            elif _is_supported(path):
                found.append(Item(str(real), path.relative_to(folder).as_posix(), path, walked=True))
    return sorted(found, key=lambda item: item.id)


def _matcher(folder: Path, chosen: Chosen) -> Callable[[str], bool]:
    """Whether a path below the folder is wanted; its ``.kbqaignore`` adds to what is excluded."""
    own = folder / IGNORE_NAME
    excluded = list(chosen.exclude)
    if own.is_file():
        excluded += own.read_text(encoding="utf-8", errors="replace").splitlines()
    if not excluded and not chosen.include:
        return lambda path: True
    from pathspec import GitIgnoreSpec

    try:
        include = GitIgnoreSpec.from_lines(chosen.include or ["*"])
        exclude = GitIgnoreSpec.from_lines(excluded)
    except ValueError as error:
        raise UsageError(f"a pattern cannot be read ({error})", "write it as in .gitignore") from error
    return lambda path: include.match_file(path) and not exclude.match_file(path)


def _is_supported(path: Path) -> bool:
    """Whether a file in a folder is ours; its beginning is looked at only where that decides."""
    suffix = path.suffix.lower()
    if suffix and SUFFIXES.get(suffix) not in ("csv", "tsv"):
        return suffix in SUFFIXES or suffix in OLD_OFFICE
    try:
        with path.open("rb") as file:
            return is_supported(file.read(65536), path.name)
    except (OSError, SourceError):
        # Named in the report by the attempt to read it.
        return bool(suffix)


def _prune(store: Store, writer: Writer, folders: Sequence[Path]) -> int:
    """Remove the documents of files that are gone from below these folders; says how many."""
    gone = [
        origin
        for origin in store.catalogue.origins()
        if any(Path(origin).is_relative_to(folder) for folder in folders) and _is_gone(origin)
    ]
    return writer.remove_origins(gone) if gone else 0


def _is_gone(path: str) -> bool:
    """Whether there is no such file; one that may not be looked at just now counts as there."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


# ----------------------------------------------------------------------------------------- reading


class Run:
    """The state of one ingestion: changes that wait to be written.

    ``right`` gives the right to write, for as long as what is waiting is written.
    """

    def __init__(
        self,
        store: Store,
        right: Callable[[], AbstractContextManager[Writer]],
        tally: Tally,
        parsers: ThreadPoolExecutor,
        options: Options,
        fetcher: Fetcher,
    ) -> None:
        self._store = store
        self._right = right
        self._tally = tally
        self._parsers = parsers
        self._options = options
        self._fetcher = fetcher
        self._waiting: list[tuple[Item, str, tuple[tuple[Document, tuple[Passage, ...]], ...]]] = []
        self._limit = max(16, min(PASSAGE_TOKENS, store.embedder.max_tokens - ROOM_FOR_TITLE))

    def settled(self, items: list[Item]) -> Iterator[Item]:
        """The items, each after it was parsed and put among the changes, in their order.

        Parsing goes on beside splitting and embedding, but not so far ahead that it fills the memory. The
        pages that feeds and sitemaps list are added to ``items``.
        """
        begun: deque[tuple[Item, str, Future[Loaded]]] = deque()
        known = {item.origin for item in items}
        taken = 0
        while taken < len(items) or begun:
            if taken < len(items) and len(begun) <= 2 * PARSERS:
                begun.append((items[taken], *self._begin(items[taken])))
                taken += 1
            else:
                settled, links = self._settle(*begun.popleft())
                items += [link for link in links if link.origin not in known]
                known |= {link.origin for link in links}
                yield settled

    def read(self, item: Item) -> list[Item]:
        """Put one item by itself among the changes; gives those that it leads to."""
        _, links = self._settle(item, *self._begin(item))
        return links

    def _begin(self, item: Item) -> tuple[str, Future[Loaded]]:
        """The hash of an item, and its documents to come; none where it has not changed."""
        future: Future[Loaded] = Future()
        try:
            page = self._page(item)
        except SourceError as error:
            future.set_exception(error)
            return "", future
        digest = content_hash(page.data, self._options.columns)
        if not self._is_known(item.origin, digest):
            return digest, self._parsers.submit(_parse, page, item, self._options)
        self._tally.unchanged += len(self._store.catalogue.documents_of(item.origin))
        future.set_result(Loaded(()))
        return digest, future

    def _page(self, item: Item) -> Page:
        if item.path is None:
            return self._fetcher.fetch(item.origin)
        return read(item.origin, item.path.name) if item.data is None else Page(item.data, item.path.name, "")

    def _is_known(self, origin: str, digest: str) -> bool:
        """Whether the origin was read as it is; without its scanned pages only as long as they cannot be."""
        known = self._store.catalogue.origin_hash(origin)
        return known == digest or (known == unrecognised_hash(digest) and not scan.is_possible())

    def _settle(self, item: Item, digest: str, loading: Future[Loaded]) -> tuple[Item, list[Item]]:
        """The item itself, and those that it leads to."""
        try:
            loaded = loading.result()
            links = _linked(loaded, item)
        except SourceError as error:
            if not (item.walked and isinstance(error, NotADocument)):
                self._tally.fail(item.origin, error)
            return item, []
        self._tally.failed += loaded.failures
        if loaded.documents:
            documents = tuple((document, self._split(document)) for document in loaded.documents)
            digest = unrecognised_hash(digest) if loaded.unrecognised else digest
            self._waiting.append((item, digest, documents))
        if sum(len(passages) for _, _, pairs in self._waiting for _, passages in pairs) >= BATCH_PASSAGES:
            self.flush()
        return item, links

    def flush(self) -> None:
        """Write what is waiting, in one visible step; all that takes long is done before."""
        if not self._waiting:
            return
        vectors = self._store.vectors_for([pair for change in self._changes() for pair in change.documents])
        with self._right() as writer:
            changes = self._changes()  # another process may have given an id away
            counts = [self._count(change.origin, change.documents) for change in changes]
            with _uninterrupted():
                writer.replace(changes, vectors)
        for added, updated, unchanged, removed in counts:
            self._tally.added += added
            self._tally.updated += updated
            self._tally.unchanged += unchanged
            self._tally.removed += removed
        self._tally.passages += sum(len(passages) for change in changes for _, passages in change.documents)
        self._waiting = []

    def _split(self, document: Document) -> tuple[Passage, ...]:
        target = self._limit * 8 // 11
        return split(document, self._store.embedder.count_tokens, target=target, limit=self._limit)

    def _count(
        self, origin: str, documents: Iterable[tuple[Document, tuple[Passage, ...]]]
    ) -> tuple[int, int, int, int]:
        """(added, updated, unchanged, removed) that a change of this origin will mean."""
        before = set(self._store.catalogue.documents_of(origin))
        added = updated = unchanged = 0
        for document, _ in documents:
            if document.id not in before:
                added += 1
            elif self._store.catalogue.document(document.id).content_hash == document.content_hash:
                unchanged += 1
            else:
                updated += 1
        return added, updated, unchanged, len(before - {document.id for document, _ in documents})

    def _changes(self) -> list[Change]:
        """What is waiting, its documents under ids that no other origin holds."""
        from kb.store import Change

        owners: dict[str, str] = {}
        return [
            Change(item.origin, digest, tuple(self._named(documents, item, owners)))
            for item, digest, documents in self._waiting
        ]

    def _named(
        self, documents: Sequence[tuple[Document, tuple[Passage, ...]]], item: Item, owners: dict[str, str]
    ) -> Iterator[tuple[Document, tuple[Passage, ...]]]:
        own = set(self._store.catalogue.documents_of(item.origin))
        for document, passages in documents:
            free = [
                name
                for name in _names(document.id, item, single=len(documents) == 1)
                if (owners.get(name) or self._store.catalogue.origin_of(name)) in (None, item.origin)
            ]
            # Once given, an id stays, even if a shorter one has become free.
            chosen = next((name for name in free if name in own), free[0])
            owners[chosen] = item.origin
            if chosen == document.id:
                yield document, passages
            else:
                renamed = tuple(replace(passage, document_id=chosen) for passage in passages)
                yield replace(document, id=chosen), renamed


def _names(document_id: str, item: Item, *, single: bool) -> Iterator[str]:
    """The ids to try: the wanted one, then with more and more of the parent folders' names before it."""
    yield document_id
    if item.path is None:
        yield f"{item.origin}#{document_id}"
        return
    parts = PurePosixPath(Path(item.origin).as_posix()).parts[1:]
    # The id of a file is the end of its path already; that of a record has nothing of it.
    own = len(PurePosixPath(item.id).parts) if document_id == item.id else 0
    for count in range(own + 1, len(parts) + 1):
        prefix = parts[len(parts) - count : len(parts) - own]
        yield "/".join((*prefix, document_id))
    yield f"{item.origin}#{document_id}"


def read(origin: str, name: str) -> Page:
    """A file, by its real path, since a link may point elsewhere by now."""
    try:
        origin.encode()
        with open(origin, "rb") as file:
            data = file.read(SOURCE_BYTES + 1)
    except UnicodeEncodeError as error:
        raise SourceError("the name of the file is not valid UTF-8", "rename it") from error
    except OSError as error:
        raise SourceError(f"the file cannot be read ({error.strerror})", "check its permissions") from error
    if len(data) > SOURCE_BYTES:
        raise SourceError(f"the file is larger than {SOURCE_BYTES >> 30} GB", "split it")
    return Page(data, name, "")


@contextmanager
def parsers() -> Iterator[ThreadPoolExecutor]:
    """Threads that each wait for a child process; where ingestion is broken off, the children are stopped."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    pool = ThreadPoolExecutor(min(PARSERS, cores), thread_name_prefix="parser")
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        stop_busy()
        raise
    finally:
        pool.shutdown()


def _parse(page: Page, item: Item, options: Options) -> Loaded:
    """The documents of an item, as a child process reads them."""
    loaded = parse(page.data, item.id, source=item.origin, name=page.name, options=options)
    if item.path is not None:
        return loaded
    now = datetime.now(UTC).isoformat(timespec="seconds")
    documents = tuple(replace(d, url=d.url or page.url, retrieved_at=now) for d in loaded.documents)
    return replace(loaded, documents=documents, links=tuple(urljoin(page.url, link) for link in loaded.links))


def _linked(loaded: Loaded, item: Item) -> list[Item]:
    """The pages that a feed lists; raises ``SourceError`` where a feed may not lead on."""
    if not loaded.links:
        return []
    if item.path is not None:
        raise NotADocument("this is a feed or a sitemap", "ingest it by its address")
    if item.feeds >= MOST_FEEDS_DEEP:
        raise SourceError("sitemaps lead to sitemaps without end", "ingest the one that lists the pages")
    pages = (link for link in loaded.links if is_url(link))
    return [Item(page, page, feeds=item.feeds + 1) for page in pages]


def is_url(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Hold Ctrl-C back until a batch is written; it is then raised, between two batches."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    pressed: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: pressed.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed:
        raise KeyboardInterrupt
