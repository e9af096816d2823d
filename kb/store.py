"""A knowledge base on disk: the catalogue, the vector index that follows it, and the right to write.

This is the one place where the order of writes is kept (see ``kb.catalogue``): stage the new version,
add its vectors, publish, delete the old version's vectors, purge. A run that is killed anywhere in
between leaves every document whole, in its old or its new version; the next writer heals what is left
over before it does anything else.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kb.catalogue import Catalogue, Staged, Vectors
from kb.embed import Embedder, load_embedder
from kb.errors import Busy, EmbedderMismatch, KBError, NoKnowledgeBase, StorageError
from kb.settings import Settings
from kb.types import Document, Passage
from kb.vectors import COMPLETE_NAME, FOLDER_NAME, Kept, LocalIndex, ReadOnlyIndex, ServedIndex, VectorIndex

log = logging.getLogger(__name__)

LOCK_NAME = "writer.lock"
HOLDER_NAME = "writer.json"


@dataclass(frozen=True, slots=True)
class Change:
    """What one file or URL now holds: these documents, and none it held before.

    ``content_hash`` is the hash under which it need not be read again.
    """

    origin: str
    content_hash: str
    documents: tuple[tuple[Document, tuple[Passage, ...]], ...]


@dataclass(frozen=True, slots=True)
class Removed:
    """A document that was taken out, whole; ``content_hash`` is that of its origin, if it had one."""

    origin: str
    content_hash: str | None
    document: Document
    passages: tuple[Passage, ...]


class Store:
    """An open knowledge base folder; safe to share among threads."""

    def __init__(self, folder: Path, catalogue: Catalogue, vectors: VectorIndex, embedder: Embedder) -> None:
        self.folder = folder
        self.catalogue = catalogue
        self.vectors = vectors
        self.embedder = embedder
        self.kept = Kept(lambda keys: catalogue.vectors(keys))

    @classmethod
    def open(
        cls, folder: Path, settings: Settings, *, create: bool = False, embedder: Embedder | None = None
    ) -> Store:
        """Open the knowledge base in ``folder``, or make an empty one there if ``create``.

        ``embedder`` takes the place of the one that the settings name.

        Raises ``NoKnowledgeBase``, ``EmbedderMismatch`` and ``StorageError``.
        """
        embedder = embedder or load_embedder(settings.embedder, settings.cache)
        catalogue = _opened(folder, settings.catalogue, embedder if create else None)
        try:
            _check_embedder(catalogue, embedder)
        except KBError:
            catalogue.close()
            raise
        dimension = int(catalogue.meta()["dimension"])
        index = folder / FOLDER_NAME
        vectors: VectorIndex
        if settings.vectors:
            vectors = ServedIndex(settings.vectors, catalogue, embedder=embedder.name, dimension=dimension)
        elif os.access(folder, os.W_OK) and settings.catalogue:
            vectors = LocalIndex(index, catalogue, embedder=embedder.name, dimension=dimension)
        elif os.access(folder, os.W_OK):
            vectors = VectorIndex(index, embedder=embedder.name, dimension=dimension)
        else:
            vectors = ReadOnlyIndex(
                index, catalogue.every_vector, embedder=embedder.name, dimension=dimension
            )
        return cls(folder, catalogue, vectors, embedder)

    def close(self) -> None:
        self.vectors.close()
        self.catalogue.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def writer(self, *, wait_s: float = 0.0, anew: bool = False) -> Iterator[Writer]:
        """The right to write, for one process at a time; raises ``Busy`` naming who holds it.

        ``anew``: whatever state the vector index is in, build it anew first.
        """
        with self._right_to_write(wait_s):
            # Another process may have written since this one opened the index, and would not be seen.
            self.vectors.close()
            writer = Writer(self)
            if anew:
                writer.rebuild_vectors()
            writer.heal()
            yield writer
            self.vectors.seen(self.catalogue.generation())

    @contextmanager
    def _right_to_write(self, wait_s: float) -> Iterator[None]:
        from kb.postgres import PostgresCatalogue

        with ExitStack() as held:
            if isinstance(self.catalogue, PostgresCatalogue):
                held.enter_context(self.catalogue.right_to_write(wait_s))
            if self.folder.exists():  # for the catalogue or the index in it
                held.enter_context(lock(self.folder, wait_s))
            yield

    def vectors_for(self, documents: Sequence[tuple[Document, Sequence[Passage]]]) -> Vectors:
        """A vector for each passage; those that the last version of a document has too are taken from it."""
        texts = [embedded_text(document.title, p) for document, passages in documents for p in passages]
        known: dict[str, NDArray[np.float32]] = {}
        for document, _ in documents:
            stored = self.catalogue.passages_of(document.id)
            _, rows = self.catalogue.vectors([passage.key for passage in stored])
            for old, row in zip(stored, rows, strict=True):
                known[embedded_text(old.source.title, old.passage)] = row
        new = [text for text in dict.fromkeys(texts) if text not in known]
        if new:
            # As exact as the catalogue keeps them, so that an index built anew from it is the same.
            rows = self.embedder.embed(new).astype(np.float16).astype(np.float32)
            known.update(zip(new, rows, strict=True))
        return np.stack([known[text] for text in texts]) if texts else np.empty((0, 0), np.float32)

    @staticmethod
    def forget_vectors(folder: Path) -> None:
        """Let readers and the next writer take the vector index for lost."""
        with suppress(FileNotFoundError):
            (folder / FOLDER_NAME / COMPLETE_NAME).unlink()

    def info(self) -> dict[str, Any]:
        """Figures about the whole, as ``kbqa info --json`` prints them."""
        documents, passages = self.catalogue.counts()
        meta = self.catalogue.meta()
        summaries = self.catalogue.documents()
        dates = [s.published[:10] for s in summaries if s.published]
        return {
            "folder": str(self.folder),
            "documents": documents,
            "passages": passages,
            "generation": int(meta["generation"]),
            "embedder": meta["embedder"],
            "dimension": int(meta["dimension"]),
            "catalogue": self.catalogue.engine,
            "vectors": self.vectors.engine,
            "publishers": sorted({s.publisher for s in summaries if s.publisher}),
            "oldest": min(dates, default=None),
            "newest": max(dates, default=None),
            "size_bytes": _size(self.folder),
        }


class Writer:
    """Changes a store; got from ``Store.writer``, which holds the lock."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._catalogue = store.catalogue
        self._vectors = store.vectors
        self._aligned = False

    def replace(self, changes: Sequence[Change], vectors: Vectors | None = None) -> None:
        """Write what these origins now hold, and make it live in one visible step.

        ``vectors`` are those that ``Store.vectors_for`` gave for it, where that was asked beforehand.
        """
        documents = [
            (change.origin, document, passages)
            for change in changes
            for document, passages in change.documents
        ]
        kept = {document.id for _, document, _ in documents}
        gone = [i for change in changes for i in self._catalogue.documents_of(change.origin) if i not in kept]
        self._write(documents, gone, {change.origin: change.content_hash for change in changes}, vectors)

    def take_out(self, document_ids: Sequence[str]) -> list[Removed]:
        """Remove documents by id, and give what ``put_back`` needs; raises ``NoSuchDocument``."""
        removed = [self._removed(document_id) for document_id in dict.fromkeys(document_ids)]
        self.remove(document_ids)
        return removed

    def put_back(self, removed: Sequence[Removed]) -> None:
        """Undo ``take_out``, but for documents that are there again: theirs may be a newer text."""
        removed = [one for one in removed if self._catalogue.origin_of(one.document.id) is None]
        documents = [(one.origin, one.document, one.passages) for one in removed]
        # An origin that was ingested since holds something else now: it has to be read again.
        hashes = {
            one.origin: one.content_hash
            for one in removed
            if one.content_hash and self._catalogue.origin_hash(one.origin) is None
        }
        self._write(documents, (), hashes)

    def _removed(self, document_id: str) -> Removed:
        document = self._catalogue.document(document_id)
        origin = self._catalogue.origin_of(document_id) or document.source
        passages = tuple(stored.passage for stored in self._catalogue.passages_of(document_id))
        return Removed(origin, self._catalogue.origin_hash(origin), document, passages)

    def _write(
        self,
        documents: Sequence[tuple[str, Document, tuple[Passage, ...]]],
        gone: Sequence[str],
        hashes: dict[str, str],
        vectors: Vectors | None = None,
    ) -> None:
        """Write documents, each with its origin, and make them live in one step with the end of others."""
        if not self._aligned:
            self._align()
        if vectors is None:
            vectors = self._store.vectors_for([(document, passages) for _, document, passages in documents])
        batch, first = [], 0
        for origin, document, passages in documents:
            last = first + len(passages)
            batch.append(Staged(origin, document, passages, vectors[first:last]))
            first = last
        staged = self._catalogue.stage(batch)
        self._vectors.add([key for _, keys in staged for key in keys], vectors)
        self._catalogue.publish([key for key, _ in staged], gone, hashes)
        self._forget_dead()

    def remove(self, document_ids: Sequence[str]) -> int:
        """Remove documents by id; says how many were there."""
        count = self._catalogue.retire(document_ids)
        self._forget_dead()
        return count

    def remove_origins(self, origins: Sequence[str]) -> int:
        """Remove all documents of some files or URLs; says how many documents that were."""
        count = self._catalogue.retire((), origins)
        self._forget_dead()
        return count

    def heal(self) -> None:
        """Clear away what a killed run left; nearly free when there is nothing."""
        self._vectors.tidy()
        # First of all: to forget a key makes the folder, and it would look sound.
        if not self._vectors.is_complete():
            self.rebuild_vectors()
        self._forget_dead()

    def _align(self) -> None:
        """Build the vector index anew if it has lost something, or is scattered, before it is written to."""
        _, passages = self._catalogue.counts()
        if self._vectors.count() != passages or self._vectors.is_scattered():
            self.rebuild_vectors()
        self._aligned = True

    def rebuild_vectors(self) -> None:
        """Fill the vector index anew from the vectors that the catalogue keeps."""
        self._vectors.rebuild(self._catalogue.every_vector())
        if self._catalogue.counts()[1]:  # readers may hold the index that was there before
            self._catalogue.note_rebuilding()
        self._vectors.seen(self._catalogue.generation())

    def _forget_dead(self) -> None:
        dead = self._catalogue.dead_passages()
        if dead:
            self._vectors.delete(dead)
        if dead or self._catalogue.has_dead():
            self._catalogue.purge()
        self._vectors.seen(self._catalogue.generation())


def embedded_text(title: str, passage: Passage) -> str:
    """What stands for a passage in the vector space: its text, with title and section as context."""
    heads = [head for head in (title, passage.section) if head and not passage.text.startswith(head)]
    return "\n".join([*dict.fromkeys(heads), passage.text])


def _size(folder: Path) -> int:
    """Bytes of all files; those that a writer takes away meanwhile do not count."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with suppress(FileNotFoundError):
                total += Path(parent, name).stat().st_size
    return total


def create_folder(folder: Path) -> None:
    """Make the folder of a knowledge base, if it is not there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(
            f"{folder} cannot be made ({error.strerror})", "choose another folder with --kb"
        ) from error


def _opened(folder: Path, address: str, creating: Embedder | None) -> Catalogue:
    """The catalogue at an address or in a folder; made if it is not there and ``creating`` says for what."""
    if address:
        from kb.postgres import PostgresCatalogue

        if creating:
            create_folder(folder)  # for an embedded index
        meta = {"embedder": creating.name, "dimension": str(creating.dimension)} if creating else None
        there = PostgresCatalogue.at(address, meta)
        if there is None:
            raise NoKnowledgeBase(
                "there is no knowledge base at the address of the setting catalogue",
                "make one with `kbqa ingest FOLDER`, or move one there with `kbqa migrate --to`",
            )
        return there
    if Catalogue.exists(folder):
        _bring_up_to_date(folder)
        return Catalogue.open(folder)
    if not creating:
        raise NoKnowledgeBase(
            f"there is no knowledge base in {folder}",
            "make one with `kbqa ingest FOLDER`, or name another with --kb",
        )
    return _create(folder, creating)


def _create(folder: Path, embedder: Embedder) -> Catalogue:
    create_folder(folder)
    with lock(folder, wait_s=10):
        if Catalogue.exists(folder):
            return Catalogue.open(folder)
        return Catalogue.create(folder, {"embedder": embedder.name, "dimension": str(embedder.dimension)})


def _bring_up_to_date(folder: Path) -> None:
    """Convert a catalogue that an older kbqa made; it is kept beside the new one as it was."""
    if not Catalogue.is_outdated(folder):
        return
    with lock(folder, wait_s=60):
        if backup := Catalogue.upgrade(folder):  # unless another process did it meanwhile
            log.warning(
                "%s was made by an older kbqa and is brought up to date; kept as it was: %s", folder, backup
            )


def _check_embedder(catalogue: Catalogue, embedder: Embedder) -> None:
    # By name alone: to tell its dimension a model may have to be loaded, and a list of documents needs none.
    meta = catalogue.meta()
    if meta["embedder"] != embedder.name:
        raise EmbedderMismatch(
            f"this knowledge base was built with the embedder {meta['embedder']}"
            f" and the settings name {embedder.name}",
            f"set KBQA_EMBEDDER={meta['embedder']}, or ingest into a new folder with --kb",
        )


@contextmanager
def lock(folder: Path, wait_s: float) -> Iterator[None]:
    """Hold the writer's lock; the operating system frees it even if this process is killed."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK_NAME)
    try:
        lock.acquire(timeout=wait_s)
        (folder / HOLDER_NAME).write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    except Timeout:
        raise Busy(
            f"{_holder(folder)} is writing to {folder}", "try again when it has finished, or stop it"
        ) from None
    except OSError as error:
        lock.release()
        what = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
        raise StorageError(
            f"{folder} cannot be written to ({what})", "check space and permissions"
        ) from error
    try:
        yield
    finally:
        lock.release()


def _holder(folder: Path) -> str:
    try:
        holder = json.loads((folder / HOLDER_NAME).read_text())
        return f"process {holder['pid']} on {holder['host']}"
    except (OSError, ValueError, KeyError):
        return "another process"
