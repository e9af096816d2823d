"""The vector index: the one module that knows Chroma.

A cache of what the catalogue holds, which can be rebuilt from it at any time. Chroma's ids are the
catalogue's passage keys; its own copy of text and metadata is left empty, since filters are answered by
the catalogue (embedded Chroma scans its whole table for them).

Three properties of embedded Chroma shape this module. It does not see what another process wrote until it
is opened anew, so a reader passes the catalogue's generation and the index reopens when that has moved.
Two processes that write one folder damage it without an error, so only ``kb.store`` writes, under its lock;
for the same reason a new index is built in a folder of its own, which then takes the place of the old one.
And who opens a folder to read reads files that a writer may be half through, and puts what the log holds
beyond them into these files itself. So readers hold a lock while they open the index, and a writer, while
it writes, holds it alone (without it a writer beside two readers hung, or its process died, within seconds).
"""

from __future__ import annotations

import itertools
import logging
import shutil
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from kb.errors import KBError, StorageError

if TYPE_CHECKING:
    from chromadb.api.client import Client
    from chromadb.api.collection_configuration import CreateHNSWConfiguration
    from chromadb.api.models.Collection import Collection
    from chromadb.auth import UserIdentity
    from filelock import AcquireReturnProxy, ReadWriteLock

    Held = AcquireReturnProxy[ReadWriteLock]

log = logging.getLogger(__name__)

Batches = Iterable[tuple[Sequence[int], NDArray[np.float32]]]
"""Keys with their vectors of length 1, shape (keys, dimension), batch by batch."""

FOLDER_NAME = "chroma"
COMPLETE_NAME = "complete"
EDITION_NAME = "edition"
LOCK_NAME = "lock"
COLLECTION = "passages"
_BATCH = 500  # readers that open the index wait for so many
_SHARD = 15_000
"""Passages in a collection, after which the next one is begun: the fuller one is, the longer it takes to add
to it, and the more has to be looked at for the same recall."""
_SEARCHED, _SEARCHED_FIRST = 350, 800
"""So many of the nearest are kept in view while a collection is searched; in the first one, which in most
libraries is the only one, more. At 100,000 passages that finds .99 of the ten nearest."""
_THREADS, _THREADS_SERVED = 8, 64
"""So many collections are asked side by side; of a server, which is waited for, those of many questions."""
_SHORT = 50
"""So many are asked of a collection at least."""
_HNSW: CreateHNSWConfiguration = {
    "space": "cosine",
    "ef_construction": 128,
    # Two passages or more are in the index's files as soon as they are added; else they would be added anew
    # at every opening.
    "sync_threshold": 2,
}

MOST_KEPT = 150_000
"""Vectors kept in memory at most: 230 MB of 384 numbers each."""

_AT_ONCE = 256
"""So many of them, 400 kB, are put together and scored at once: more do not stay in the processor's cache,
which takes five times as long."""

_REPAIR = "run `kbqa doctor --repair`: it is built again without embedding"

_PAUSES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Seconds between the attempts of a reader that finds the index unusable."""

_PATIENCE = 20.0
"""Seconds to wait for a server: from a host that was cut off no answer comes, and no error."""

_WAITING = 600.0
"""Seconds to wait for the files: the first search of a large index reads it all; who is killed holds none."""

_OPEN_FILES = 4096

_TURN = 0.02
"""Seconds that a writer leaves to readers after a long writing, since a lock has no queue; less after a
short one."""

_TOLERANCE = 1e-2
"""By so much a number of a vector may differ: older versions kept more digits than the catalogue does."""
_open_paths: set[str] = set()
_open_paths_lock = threading.Lock()


class _Shard(NamedTuple):
    """A collection, and the lowest key that it may hold; the next one begins where it ends."""

    first: int
    collection: Collection


class VectorIndex:
    """Passage keys by nearness of their vectors (cosine), in an embedded Chroma folder.

    It consists of collections of bounded size, each for a range of keys. An index that an older version made
    is one collection however large, and the next ones follow it.
    """

    _threads_at_most = _THREADS

    def __init__(self, folder: Path, *, embedder: str, dimension: int) -> None:
        self.folder = folder
        self._where = str(folder)
        self._name = COLLECTION
        self._embedder = embedder
        self._dimension = dimension
        self._generation: int | None = None
        self._client: Client | None = None
        self._shards: list[_Shard] = []
        self._threads = ThreadPoolExecutor(self._threads_at_most, "nearest")  # begins none before it is asked
        self._searched = False  # since it was opened, in all collections
        self._path = ""
        self._turn = 0.0  # when a writer here may write again
        self._opened: object = None  # what _identity said when it was opened
        # Held for a whole call: a reopening must not take the index from under a running search (2 ms).
        self._lock = threading.RLock()

    @property
    def engine(self) -> str:
        """Where it lives, in words."""
        return f"chroma, embedded ({self.folder.name}/)"

    def add(self, keys: Sequence[int], vectors: NDArray[np.float32]) -> None:
        """Add vectors of length 1, shape (len(keys), dimension).

        The keys are higher than any that was there before, as the catalogue gives them; one that is there
        is replaced.
        """
        with self._lock, _chroma_errors(self._where):
            for first in range(0, len(keys), _BATCH):
                part = keys[first : first + _BATCH]
                with self._files(writing=True):
                    self._make_room(min(part))
                    for collection, places in self._by_shard(part):
                        ids = [str(part[n]) for n in places]
                        collection.upsert(ids=ids, embeddings=vectors[first + places])

    def delete(self, keys: Sequence[int]) -> None:
        """Forget keys; those that are not there are passed over."""
        with self._lock, _chroma_errors(self._where):
            for first in range(0, len(keys), _BATCH):
                part = keys[first : first + _BATCH]
                with self._files(writing=True):
                    for collection, places in self._by_shard(part):
                        collection.delete(ids=[str(part[n]) for n in places])

    def _make_room(self, key: int) -> None:
        """Begin another collection, from this key on, if the last one is full."""
        shards = self._open()
        if key > shards[-1].first and shards[-1].collection.count() >= _SHARD:
            shards.append(self._made(key))
            self._searched = False

    def _by_shard(self, keys: Sequence[int]) -> Iterator[tuple[Collection, NDArray[np.intp]]]:
        """The collections that some keys belong to, each with the places of these."""
        shards = self._open()
        belongs = np.searchsorted([shard.first for shard in shards], keys, side="right") - 1
        for n in np.unique(belongs):
            yield shards[n].collection, np.flatnonzero(belongs == n)

    def nearest(self, vector: NDArray[np.float32], limit: int, *, generation: int) -> list[tuple[int, float]]:
        """The nearest keys with their cosine similarity, best first: ``limit`` of them, or if that is large
        and there are several collections perhaps fewer.

        ``generation`` is the catalogue's: when it has moved on, another process may have written.
        """
        began = time.monotonic()
        for pause in _PAUSES:
            try:
                return self._attempt(vector, limit, generation)
            except StorageError:
                # A writer may be putting a new index in the place of this one, which takes a moment.
                if time.monotonic() - began > _PATIENCE:
                    raise
                time.sleep(pause)
        return self._attempt(vector, limit, generation)

    def _attempt(self, vector: NDArray[np.float32], limit: int, generation: int) -> list[tuple[int, float]]:
        with self._lock:
            try:
                return self._nearest(vector, limit, generation)
            except StorageError:
                self.close()
                raise

    def _nearest(self, vector: NDArray[np.float32], limit: int, generation: int) -> list[tuple[int, float]]:
        with _chroma_errors(self._where):
            if generation != self._generation:
                self.close()
                self._generation = generation
            # The first search brings Chroma's copy up to date; after it the files are not looked at again.
            with nullcontext() if self._searched else self._files():
                found = self._nearest_in(self._open(create=False), vector, limit)
            self._searched = True
            if self._identity() != self._opened:
                # Another took its place: part of what was read may be of the one, part of the other.
                raise StorageError(f"the vector index in {self._where} was replaced", "ask again")
            return found

    @contextmanager
    def searched_for(
        self, vector: NDArray[np.float32], limit: int, *, generation: int
    ) -> Iterator[Callable[[], list[tuple[int, float]]]]:
        """Look for the ``nearest`` while something else is done; what is given waits for them.

        Only several collections that are open and up to date are looked through meanwhile. Otherwise it
        begins when it is waited for: there is little to gain, and everything to be seen to first. Of no
        keys at all (``limit`` 0) there need not be an index.
        """
        if not limit:
            yield list
            return
        begun: list[Future[_Found]] = []
        with self._lock:
            if self._is_open_at(generation) and len(self._shards) > 1:
                begun = self._begin(self._shards, vector, limit)
                try:
                    yield lambda: self._ended(begun, vector, limit, generation)
                finally:
                    wait(begun)
        if not begun:
            yield lambda: self.nearest(vector, limit, generation=generation)

    def _is_open_at(self, generation: int) -> bool:
        return self._searched and self._generation == generation

    def _ended(
        self, begun: Sequence[Future[_Found]], vector: NDArray[np.float32], limit: int, generation: int
    ) -> list[tuple[int, float]]:
        try:
            with _chroma_errors(self._where):
                found = _merged(_results(begun), limit)
            if self._identity() == self._opened:
                return found
        except StorageError:
            log.debug("the vector index is searched again", exc_info=True)
        self.close()
        return self.nearest(vector, limit, generation=generation)

    def _nearest_in(
        self, shards: Sequence[_Shard], vector: NDArray[np.float32], limit: int
    ) -> list[tuple[int, float]]:
        if len(shards) == 1:
            return _merged([_asked(shards[0].collection, vector, limit)], limit)
        return _merged(_results(self._begin(shards, vector, limit)), limit)

    def _begin(
        self, shards: Sequence[_Shard], vector: NDArray[np.float32], limit: int
    ) -> list[Future[_Found]]:
        """Ask all collections; Chroma does not hold Python's lock meanwhile."""
        # A long list costs more than the search, so that each gives some more than its share of one.
        each = min(limit, _SHORT + 2 * limit // len(shards))
        return [self._threads.submit(_asked, shard.collection, vector, each) for shard in shards]

    def seen(self, generation: int) -> None:
        """Note that this process itself brought the index to ``generation``: no need to reopen."""
        self._generation = generation

    def count(self) -> int:
        """How many keys are there. For a writer, as is ``keys``."""
        with self._lock, _chroma_errors(self._where), self._files(writing=True):
            return self._count()

    def is_scattered(self) -> bool:
        """Whether its keys, after many changes, lie in far more collections than they need."""
        with self._lock, _chroma_errors(self._where), self._files(writing=True):
            return len(self._open()) > 2 * (self._count() // _SHARD + 1) + 1

    def _count(self) -> int:
        return sum(collection.count() for _, collection in self._open())

    def keys(self) -> list[int]:
        """Every key that is there, in order."""
        with self._lock, _chroma_errors(self._where), self._files(writing=True):
            return sorted(
                int(key) for _, collection in self._open() for key in collection.get(include=[])["ids"]
            )

    def difference(self, batches: Batches) -> tuple[int, int, int]:
        """How many of these keys are missing, how many others are there, how many have another vector."""
        with self._lock, _chroma_errors(self._where):
            self.close()  # another process may have written since
            with self._files():
                self._open(create=False)
                there_are = self._count()  # as a first search does
            asked = missing = wrong = 0
            for keys, vectors in batches:
                asked += len(keys)
                for collection, places in self._by_shard(keys):
                    found = collection.get(ids=[str(keys[n]) for n in places], include=["embeddings"])
                    there = {int(key): place for place, key in enumerate(found["ids"])}
                    both = [n for n in places if keys[n] in there]
                    stored = np.asarray(found["embeddings"], np.float32)[[there[keys[n]] for n in both]]
                    if both:
                        wrong += int((np.abs(stored - vectors[both]).max(axis=1) > _TOLERANCE).sum())
                    missing += len(places) - len(both)
            return missing, there_are - (asked - missing), wrong

    def is_complete(self) -> bool:
        """Whether it was once filled to the end: not lost, nor made by a run that was killed at it."""
        return self._identity() is not None

    def _identity(self) -> tuple[int, int] | None:
        """What tells this complete index from the one that takes its place; None while there is none."""
        try:
            found = (self.folder / COMPLETE_NAME).stat()
        except FileNotFoundError:
            return None
        return found.st_ino, found.st_mtime_ns

    def rebuild(self, batches: Batches) -> None:
        """Put a new index of these keys and vectors in the place of the old one, whatever state that is in.

        It is built beside the old one, so that readers find one of the two whole at any moment.
        """
        with self._lock, _chroma_errors(self._where):
            self.tidy()
            draft = VectorIndex(self._beside(".new"), embedder=self._embedder, dimension=self._dimension)
            try:
                for keys, vectors in batches:
                    draft.add(keys, vectors)
                draft.count()  # makes the folder, even for no vectors at all
            finally:
                draft.close()
            (draft.folder / COMPLETE_NAME).touch()
            self.close()
            with ExitStack() as held:
                with suppress(sqlite3.Error, OSError, ValueError):  # a lock that cannot be had is nobody's
                    held.enter_context(self._files(writing=True))
                self.folder.rename(self._beside(".old"))
                draft.folder.rename(self.folder)
            self.tidy()

    def tidy(self) -> None:
        """Clear away what a rebuilding that was killed left beside the index."""
        for name in (".new", ".old"):
            shutil.rmtree(self._beside(name), ignore_errors=True)

    @contextmanager
    def _files(self, *, writing: bool = False) -> Iterator[None]:
        """Hold the files as the one who writes, or as one of those who read; they stay in their place."""
        from filelock import ReadWriteLock, Timeout

        before = self._identity()
        if writing:
            self.folder.mkdir(parents=True, exist_ok=True)
        elif before is None:  # only a writer makes it: one that a reader made would be empty and look sound
            raise StorageError(f"the vector index in {self.folder} is gone", _REPAIR)
        with closing(ReadWriteLock(self.folder / LOCK_NAME, is_singleton=False)) as lock:
            try:
                if writing:
                    time.sleep(max(0.0, self._turn - time.monotonic()))
                    held = lock.acquire_write(timeout=_WAITING)
                else:
                    held = _often_tried(lock.acquire_read)
            except Timeout:
                raise StorageError(
                    f"the vector index in {self.folder} is busy: another process reads or writes it",
                    "try again in a moment",
                ) from None
            with held:
                if self._identity() != before:
                    raise StorageError(f"the vector index in {self.folder} was replaced", "try again")
                began = time.monotonic()
                try:
                    yield
                finally:
                    if writing:
                        self._turn = (now := time.monotonic()) + min(_TURN, (now - began) / 5)

    def _beside(self, suffix: str) -> Path:
        return self.folder.with_name(self.folder.name + suffix)

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.close()
                _open_paths.discard(self._path)
            self._client = None
            self._shards, self._searched = [], False

    def _open(self, *, create: bool = True) -> list[_Shard]:
        """The collections, in the order of their keys; there is always one."""
        if not self._shards:
            self._opened = self._identity()
            import chromadb
            from chromadb.config import Settings

            self.close()  # a client whose collections were cleared or could not be had
            # Where Chroma fails to open a path it keeps what failed: such a spelling stays taken.
            self._path = _unused_spelling(self.folder)
            _allow_open_files()
            settings = Settings(anonymized_telemetry=False)
            client = cast("Client", chromadb.PersistentClient(self._path, settings=settings))
            self._client = client
            self._shards = _shards(client, self._name) or ([self._made(0)] if create else [])
            if not self._shards:
                raise StorageError(f"the vector index in {self.folder} is empty", _REPAIR)
        return self._shards

    def _made(self, first: int) -> _Shard:
        """A new collection, for keys from ``first`` on."""
        assert self._client is not None
        collection = self._client.get_or_create_collection(
            f"{self._name}-{first}" if first else self._name,
            configuration={"hnsw": {**_HNSW, "ef_search": _SEARCHED if first else _SEARCHED_FIRST}},
            metadata={"embedder": self._embedder, "dimension": self._dimension},
            embedding_function=None,
        )
        return _Shard(first, collection)


def _shards(client: Client, name: str) -> list[_Shard]:
    """The collections of the index ``name``, in the order of their keys."""
    of_it = [c for c in client.list_collections() if c.name == name or c.name.startswith(f"{name}-")]
    shards = (_Shard(int(c.name[len(name) + 1 :] or 0), c) for c in of_it)
    return sorted(shards, key=lambda shard: shard.first)


class _Found(NamedTuple):
    """The nearest ids of a collection with their distances, and whether it may have more of them to give."""

    pairs: list[tuple[str, float]]
    cut_off: bool


def _asked(collection: Collection, vector: NDArray[np.float32], limit: int) -> _Found:
    result = collection.query(query_embeddings=vector[None, :], n_results=limit, include=["distances"])
    distances = result["distances"] or [[]]
    pairs = list(zip(result["ids"][0], distances[0], strict=True))
    return _Found(pairs, len(pairs) == limit)


def _results(begun: Sequence[Future[_Found]]) -> list[_Found]:
    """What all have found; where one fails none goes on, as the client may be closed next."""
    wait(begun)
    return [each.result() for each in begun]


def _merged(found: Sequence[_Found], limit: int) -> list[tuple[int, float]]:
    """The keys that are nearest among all, with their similarities."""
    # What lies beyond the end of a list that was cut off may lie before the end of another.
    ends = [each.pairs[-1][1] for each in found if each.cut_off and len(each.pairs) < limit]
    reach = min(ends, default=np.inf)
    near = sorted((distance, int(key)) for each in found for key, distance in each.pairs)[:limit]
    return [(key, min(1.0, max(-1.0, 1.0 - gap))) for gap, key in near if gap <= reach]


class ReadOnlyIndex(VectorIndex):
    """An exact search over the catalogue's vectors, for a folder that cannot be written to: Chroma must."""

    def __init__(
        self, folder: Path, batches: Callable[[], Batches], *, embedder: str, dimension: int
    ) -> None:
        super().__init__(folder, embedder=embedder, dimension=dimension)
        self._batches = batches
        self._loaded: tuple[int, NDArray[np.int64], NDArray[np.float32]] | None = None

    def nearest(self, vector: NDArray[np.float32], limit: int, *, generation: int) -> list[tuple[int, float]]:
        with self._lock:
            if self._loaded is None or self._loaded[0] != generation:
                parts = [(np.array(keys), vectors) for keys, vectors in self._batches()]
                if not parts:
                    return []
                keys, vectors = (np.concatenate(column) for column in zip(*parts, strict=True))
                self._loaded = generation, keys, vectors
            _, keys, vectors = self._loaded
            similarity = vectors @ vector
            best = np.lexsort((keys, -similarity))[:limit]
            return [(int(keys[n]), min(1.0, max(-1.0, float(similarity[n])))) for n in best]

    def difference(self, batches: Batches) -> tuple[int, int, int]:
        return 0, 0, 0  # they are the catalogue's own

    def close(self) -> None:
        self._loaded = None


class Shared(Protocol):
    """A catalogue on a server; its ``edition`` in ``meta`` is another after every change."""

    def meta(self) -> dict[str, str]: ...

    def every_vector(self) -> Batches: ...


class LocalIndex(VectorIndex):
    """An embedded index of a catalogue on a server, which other machines and folders write to as well.

    The folder notes the edition of the catalogue that it holds. While it holds another one, of which it
    missed changes or which is of another database, the catalogue's own vectors are searched, and the next
    writer here builds the index anew.
    """

    def __init__(self, folder: Path, catalogue: Shared, *, embedder: str, dimension: int) -> None:
        super().__init__(folder, embedder=embedder, dimension=dimension)
        self._catalogue = catalogue
        self._exact = ReadOnlyIndex(folder, catalogue.every_vector, embedder=embedder, dimension=dimension)
        self._current: int | None = None  # the generation that it was found to hold
        self._told: str | None = None  # the edition that it was said to lack

    def nearest(self, vector: NDArray[np.float32], limit: int, *, generation: int) -> list[tuple[int, float]]:
        with self._lock:
            if self._current != generation and not self._is_current():
                return self._exact.nearest(vector, limit, generation=generation)
            self._current = generation
            self._exact.close()
            return super().nearest(vector, limit, generation=generation)

    def _is_open_at(self, generation: int) -> bool:
        return super()._is_open_at(generation) and self._current == generation

    def _is_current(self) -> bool:
        """Whether it holds all of the catalogue; a writer on this machine is given the time to note it."""
        for pause in (*_PAUSES[:3], 0.0):
            if self.is_complete():
                return True
            edition = self._edition()
            if edition == self._told:
                return False
            time.sleep(pause)
        self._told = edition
        log.warning(
            "the vector index in %s lacks what was written from elsewhere: until the next `kbqa ingest` or"
            " `kbqa doctor --repair` here every vector is compared, which is slower; a Chroma server"
            " (setting vectors) serves all machines",
            self.folder,
        )
        return False

    def is_complete(self) -> bool:
        try:
            noted = (self.folder / EDITION_NAME).read_text()
        except FileNotFoundError:
            return False
        return super().is_complete() and noted == self._edition()

    def seen(self, generation: int) -> None:
        super().seen(generation)
        (self.folder / EDITION_NAME).write_text(self._edition())

    def _edition(self) -> str:
        return self._catalogue.meta().get("edition", "")


class Notes(Protocol):
    """What an index on a server remembers in the catalogue, so that all replicas know."""

    def meta(self) -> dict[str, str]: ...

    def note(self, key: str, value: str | None) -> None: ...


class ServedIndex(VectorIndex):
    """The same in a Chroma server (``chroma run``), shared by any number of processes.

    The catalogue notes which collection is the index, so that a rebuilt one takes its place in one step.
    """

    NOTE, DRAFT = "collection", "collection.new"
    _threads_at_most = _THREADS_SERVED

    def __init__(self, address: str, notes: Notes, *, embedder: str, dimension: int) -> None:
        super().__init__(Path(address), embedder=embedder, dimension=dimension)
        self._where = self._address = address
        self._notes = notes
        self._read: tuple[int, list[_Shard]] | None = None  # what readers search, at a generation

    @property
    def engine(self) -> str:
        return f"chroma, at {self._address}"

    def is_complete(self) -> bool:
        return self.NOTE in self._notes.meta()

    def _identity(self) -> None:
        """The server itself says when a collection is gone."""

    @contextmanager
    def _files(self, *, writing: bool = False) -> Iterator[None]:
        """The server sees to its files."""
        yield

    def _attempt(self, vector: NDArray[np.float32], limit: int, generation: int) -> list[tuple[int, float]]:
        # Without the lock, so that questions wait for a silent server side by side; a writer has a list of
        # its own.
        with _chroma_errors(self._where):
            try:
                read = self._read
                if read is None or read[0] != generation:
                    read = self._read = generation, self._current()[1]
                return self._nearest_in(read[1], vector, limit)
            except Exception:
                self._read = None
                raise

    def rebuild(self, batches: Batches) -> None:
        with self._lock, _chroma_errors(self._where):
            self.tidy()
            client = self._connected()
            before, name = self._notes.meta().get(self.NOTE), f"kbqa-{uuid.uuid4().hex}"
            self._notes.note(self.DRAFT, name)
            self._name = name
            self._shards = [self._made(0)]
            try:
                for keys, vectors in batches:
                    self.add(keys, vectors)
            except BaseException:
                self.close()  # half of it is not the index
                raise
            self._notes.note(self.NOTE, name)
            self._notes.note(self.DRAFT, None)
            if before:
                _drop(client, before)

    def tidy(self) -> None:
        notes = self._notes.meta()
        if draft := notes.get(self.DRAFT):
            if draft != notes.get(self.NOTE):
                with _chroma_errors(self._where):
                    _drop(self._connected(), draft)
            self._notes.note(self.DRAFT, None)

    def close(self) -> None:
        with self._lock:
            # Which ones they are may have changed; the connection stays.
            self._shards, self._read = [], None

    def _connected(self) -> Client:
        if self._client is None:
            from chromadb.api.client import Client
            from chromadb.config import Settings

            class Patient(Client):
                """As Chroma's own, which waits for ever, but for the time that it waits."""

                def get_user_identity(self) -> UserIdentity:  # the first thing that is asked of the server
                    self._server._session.timeout = _PATIENCE  # type: ignore[attr-defined]
                    return super().get_user_identity()

                def _validate_tenant_database(self, tenant: str, database: str) -> None:
                    """By a connection of its own; the collection is asked for next anyway."""

            parts = urlsplit(self._address)
            self._client = Patient(
                settings=Settings(
                    chroma_api_impl="chromadb.api.fastapi.FastAPI",
                    chroma_server_host=parts.hostname or "",
                    chroma_server_http_port=parts.port or (443 if parts.scheme == "https" else 80),
                    chroma_server_ssl_enabled=parts.scheme == "https",
                    anonymized_telemetry=False,
                )
            )
        return self._client

    def _open(self, *, create: bool = True) -> list[_Shard]:
        if not self._shards:
            self._name, self._shards = self._current()
        return self._shards

    def _current(self) -> tuple[str, list[_Shard]]:
        """The collections that are the index, under the name that the catalogue notes."""
        name = self._notes.meta().get(self.NOTE)
        if name is None:
            raise StorageError(f"there is no vector index yet ({self.engine})", _REPAIR)
        shards = _shards(self._connected(), name)
        if not shards:
            raise StorageError(f"the vector index is gone ({self.engine})", _REPAIR)
        return name, shards


def _drop(client: Client, name: str) -> None:
    from chromadb.errors import NotFoundError

    for _, collection in _shards(client, name):
        with suppress(NotFoundError):
            client.delete_collection(collection.name)


class Kept:
    """Vectors of the catalogue, kept in memory as they come to be needed, to score passages exactly.

    ``load`` gives those of some keys that are there, with their vectors. A passage never changes its vector,
    so nothing is ever out of date; what is gone is not asked for again.
    """

    def __init__(self, load: Callable[[Sequence[int]], tuple[list[int], NDArray[np.float32]]]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._forget("")

    def _forget(self, restored: str) -> None:
        self._restored = restored
        self._row = np.empty(0, np.int32)  # by key; -1 for none
        self._vectors = np.empty((0, 0), np.float32)
        self._count = 0

    def similarities(
        self, keys: NDArray[np.int64], vector: NDArray[np.float32], *, restored: str
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Those of ``keys`` (sorted) that are there, and their cosine similarities to ``vector``.

        ``restored`` names the backup that the catalogue was restored from, whose keys are others.
        """
        found, similarities = [], []
        for first in range(0, len(keys), MOST_KEPT):
            with self._lock:
                part = keys[first : first + MOST_KEPT]
                rows = self._rows_of(part, restored)
                there = rows >= 0
                vectors = self._vectors  # rows are only ever added to it
            found.append(part[there])
            rows = rows[there]
            parts = (rows[n : n + _AT_ONCE] for n in range(0, len(rows), _AT_ONCE))
            similarities += [vectors[part] @ vector for part in parts]
        return np.concatenate([*found, keys[:0]]), np.concatenate([*similarities, np.empty(0, np.float32)])

    def _rows_of(self, keys: NDArray[np.int64], restored: str) -> NDArray[np.int32]:
        if restored != self._restored:
            self._forget(restored)
        if len(keys) and keys[-1] >= len(self._row):
            more = np.full(int(keys[-1]) + 1 - len(self._row) + _BATCH, -1, np.int32)
            self._row = np.concatenate([self._row, more])
        missing = keys[self._row[keys] < 0]
        if len(missing):
            if self._count + len(missing) > MOST_KEPT:
                self._forget(restored)
                return self._rows_of(keys, restored)
            there, vectors = self._load(missing.tolist())
            if there:
                self._append(there, vectors)
        return self._row[keys]

    def _append(self, keys: list[int], vectors: NDArray[np.float32]) -> None:
        end = self._count + len(keys)
        if end > len(self._vectors):
            room = np.empty((min(MOST_KEPT, max(end, 2 * len(self._vectors))), vectors.shape[1]), np.float32)
            if self._count:
                room[: self._count] = self._vectors[: self._count]
            self._vectors = room
        self._vectors[self._count : end] = vectors
        self._row[np.array(keys, np.int64)] = np.arange(self._count, end, dtype=np.int32)
        self._count = end


def _unused_spelling(folder: Path) -> str:
    """A spelling of the path that no open index of this process uses.

    Chroma shares one system, and so one stale view, among all clients with the same spelling; then
    closing ours and opening it again would not show what another process wrote.
    """
    with _open_paths_lock:
        for n in itertools.count():
            spelling = str(folder) + "/." * n
            if spelling not in _open_paths:
                _open_paths.add(spelling)
                return spelling
    raise AssertionError("unreachable")


def _allow_open_files() -> None:
    """Let this process open enough files: a fifth of that many is how many collections Chroma keeps.

    It would read the others anew at each search, without anybody's lock; macOS begins with 256.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _often_tried(acquire: Callable[..., Held]) -> Held:
    """A lock, asked for so often that the short time between two writings is not missed."""
    from filelock import Timeout

    end = time.monotonic() + _WAITING
    while True:
        try:
            return acquire(blocking=False)
        except Timeout:
            if time.monotonic() > end:
                raise
            time.sleep(_TURN / 4)


@contextmanager
def _chroma_errors(where: str) -> Iterator[None]:
    """Turn Chroma's own errors into a ``StorageError`` with its cure."""
    try:
        yield
    except KBError:
        raise
    except Exception as error:
        raise StorageError(
            f"the vector index at {where} cannot be used ({error})",
            "check the disk or the server, then run `kbqa doctor --repair`: it builds the index again without"
            " embedding",
        ) from error
