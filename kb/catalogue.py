"""The catalogue: every document, passage, hash and vector, in one SQLite file. The source of truth.

A document is visible whole, in its old or its new version, never a mix. New versions are *staged*
(``live = 0``) together with their passages and vectors, *published* in one transaction that also retires
the old version and moves the generation on, and what was retired is *purged* once the vector index has
forgotten it. A run that is killed leaves rows with ``live = 0`` and nothing else; ``dead_passages`` finds
them. Passage keys are never used twice, so a vector left behind by a killed run cannot come to stand for
another passage.

Documents with nearly the same text are of one *family* (see ``kb.editions``). Families are found when a
document becomes live, by the few numbers of its *sketch*, and found anew when one of their own goes.

A catalogue of an older schema is brought up to date by ``upgrade``, step by step, after a copy was made.

Nothing outside this module knows that the engine is SQLite.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kb.editions import LIKELY, are_copies, correction, runs, sketch
from kb.errors import KnowledgeBaseError, NoSuchDocument, StorageError
from kb.shelf import Keys, Shelf
from kb.types import Document, DocumentSummary, Filters, Passage, Section, Source

FILE_NAME = "catalogue.sqlite"
SCHEMA_VERSION = 2
Vectors = NDArray[np.float32]

_SINCE_2 = (
    """CREATE TABLE sketches (
    number INTEGER NOT NULL, document INTEGER NOT NULL REFERENCES documents (key) ON DELETE CASCADE,
    PRIMARY KEY (number, document)
) WITHOUT ROWID""",
    "CREATE INDEX sketches_by_document ON sketches (document)",
    "CREATE INDEX documents_by_family ON documents (family) WHERE live = 1",
    # So that neither a filter nor the search for leftovers reads every text.
    "CREATE INDEX live_columns ON documents (publisher, published) WHERE live = 1",
    "CREATE INDEX dead_documents ON documents (key) WHERE live = 0",
)
_SCHEMA = f"""
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE origins (origin TEXT PRIMARY KEY, content_hash TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL, live INTEGER NOT NULL DEFAULT 0, origin TEXT NOT NULL, source TEXT NOT NULL,
    title TEXT NOT NULL, text TEXT NOT NULL, media_type TEXT NOT NULL, content_hash TEXT NOT NULL,
    author TEXT, publisher TEXT, published TEXT, url TEXT, language TEXT,
    sections TEXT NOT NULL, page_starts TEXT NOT NULL, retrieved_at TEXT,
    updated TEXT, correction TEXT, family INTEGER
);
CREATE UNIQUE INDEX live_documents ON documents (id) WHERE live = 1;
CREATE INDEX documents_by_origin ON documents (origin);
CREATE TABLE passages (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    document INTEGER NOT NULL REFERENCES documents (key) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL, start INTEGER NOT NULL, "end" INTEGER NOT NULL,
    section TEXT, page INTEGER, vector BLOB NOT NULL
);
CREATE UNIQUE INDEX passages_by_document ON passages (document, ordinal);
CREATE VIRTUAL TABLE words USING fts5 (
    text, section, title, tokenize = 'porter unicode61 remove_diacritics 2'
);
CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, 'row');
{"; ".join(_SINCE_2)};
"""

_DOCUMENT_COLUMNS = (
    "id, source, title, text, media_type, content_hash, author, publisher, published, url, language, "
    "sections, page_starts, retrieved_at, updated, correction"
)
TABLES = {
    "origins": "SELECT t.origin, t.content_hash FROM origins t ORDER BY 1",
    "documents": f"SELECT t.key, t.live, t.origin, t.family, t.{_DOCUMENT_COLUMNS.replace(', ', ', t.')}"
    " FROM documents t WHERE t.live = 1 ORDER BY 1",
    "passages": 'SELECT t.key, t.document, t.ordinal, t.start, t."end", t.section, t.page, t.vector'
    " FROM passages t JOIN documents d ON d.key = t.document WHERE d.live = 1 ORDER BY 1",
    "sketches": "SELECT t.number, t.document"
    " FROM sketches t JOIN documents d ON d.key = t.document WHERE d.live = 1 ORDER BY 1, 2",
}
"""What a copy of the whole consists of; the rest is made from it."""

_MOST_SCORED = 5000
"""About so many passages, those that hold the rarest words of a query, are ranked by their words."""
_MOST_PASSED = 10_000
"""About so many are gone past to find those that a filter lets through."""

_MOST_COUNTED = 10_000
"""So many words are remembered with the number of passages that hold them; a search asks for it twice."""

_MOST_COMPARED = 10
"""So many documents, the likeliest ones, are compared with a new one."""
_MOST_SHARING = 200
"""Of those whose sketches hold the same number, the first ones are looked at: what more have in common is
a turn of phrase, or the text of a family that the first ones show."""


class Statements(Protocol):
    """A connection in a transaction; ``?`` stands for a value."""

    def execute(self, sql: str, values: Sequence[Any] = ..., /) -> Any: ...

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]], /) -> Any: ...


@dataclass(frozen=True, slots=True)
class StoredPassage:
    """A live passage with its key and what is said about its document."""

    key: int
    passage: Passage
    source: Source


@dataclass(frozen=True, slots=True)
class Staged:
    """One document on its way into the catalogue: vectors has one row of length 1 a passage."""

    origin: str
    document: Document
    passages: tuple[Passage, ...]
    vectors: Vectors


class Catalogue:
    """Open it once and use it from any thread; each thread gets its own connection."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._local = threading.local()
        self._connections: dict[threading.Thread, sqlite3.Connection] = {}
        self._lock = threading.Lock()
        self._shelf: Shelf | None = None
        self._counted: tuple[int, dict[str, int]] = (0, {})  # in one generation

    @property
    def engine(self) -> str:
        """Where it lives, in words."""
        return f"SQLite ({self.path.name})"

    @classmethod
    def create(cls, folder: Path, meta: dict[str, str]) -> Catalogue:
        """Make an empty catalogue in ``folder`` that remembers ``meta`` (embedder, dimension).

        It gets its name when it is complete: a run that is killed before that leaves no catalogue at all.
        """
        path = folder / FILE_NAME
        draft = cls(path.with_suffix(".new"))
        with storage_errors(path):
            for leftover in folder.glob(f"{draft.path.name}*"):
                leftover.unlink()
            connection = draft._connection()
            # WAL lets readers go on while a writer commits.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(f"BEGIN; {_SCHEMA} COMMIT;")
            rows = {"schema": str(SCHEMA_VERSION), "generation": "0", **meta}
            connection.executemany("INSERT INTO meta VALUES (?, ?)", rows.items())
            draft.close()
            draft.path.replace(path)
        return cls(path)

    @classmethod
    def open(cls, folder: Path) -> Catalogue:
        """Open the catalogue in ``folder``; raises ``KnowledgeBaseError`` if it is not one of ours."""
        catalogue = cls(folder / FILE_NAME)
        catalogue._check_version()
        return catalogue

    @staticmethod
    def exists(folder: Path) -> bool:
        return (folder / FILE_NAME).is_file()

    @classmethod
    def open_file(cls, path: Path) -> Catalogue:
        """Open a copy that ``copy_to`` made, also one of an older version.

        Raises ``KnowledgeBaseError`` if it is no such file.
        """
        with storage_errors(path):
            catalogue = cls(path)
            if catalogue.version() not in _UPGRADES:
                catalogue._check_version()
        return catalogue

    def version(self) -> int:
        """The version of its schema; 0 for none."""
        return int(self.meta().get("schema", "0"))

    def _check_version(self) -> None:
        if (version := self.version()) != SCHEMA_VERSION:
            raise KnowledgeBaseError(
                f"{self.engine} has version {version} and this kbqa reads version {SCHEMA_VERSION}",
                "use the kbqa that made it, or ingest into a new folder",
            )

    @classmethod
    def is_outdated(cls, folder: Path) -> bool:
        """Whether the catalogue in ``folder`` is of an older version that ``upgrade`` knows."""
        catalogue = cls(folder / FILE_NAME)
        try:
            return catalogue.version() in _UPGRADES
        finally:
            catalogue.close()

    @classmethod
    def upgrade(cls, folder: Path) -> Path | None:
        """Bring the catalogue in ``folder`` up to date; says where a copy of it as it was is kept.

        ``None`` if there is nothing to do. The caller holds the writer's lock. It is one transaction: killed
        in its course, the catalogue is still of the old version. Readers of that can go on.
        """
        catalogue = cls(folder / FILE_NAME)
        try:
            version = catalogue.version()
            if version not in _UPGRADES:
                return None
            backup = folder / f"catalogue.v{version}.sqlite"
            catalogue.copy_to(backup)
            catalogue._upgrade()
            return backup
        finally:
            catalogue.close()

    def _upgrade(self) -> None:
        with self._transaction() as connection:
            for version in range(self.version(), SCHEMA_VERSION):
                _UPGRADES[version](self, connection)
            connection.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (str(SCHEMA_VERSION),))
            self._advance(connection)

    def _upgrade_to_2(self, connection: Statements) -> None:
        """Dates of updates are learnt when a source is read again; all else the texts tell."""
        for column in ("updated TEXT", "correction TEXT", "family INTEGER"):
            connection.execute(f"ALTER TABLE documents ADD COLUMN {column}")
        connection.execute("DROP INDEX documents_by_published")  # what live_columns does for all its uses
        for statement in _SINCE_2:
            connection.execute(statement)
        keys = [row[0] for row in connection.execute("SELECT key FROM documents WHERE live = 1 ORDER BY key")]
        for key in keys:
            [text] = connection.execute("SELECT text FROM documents WHERE key = ?", (key,)).fetchone()
            connection.execute("UPDATE documents SET correction = ? WHERE key = ?", (correction(text), key))
            self._sketch(connection, key, text)
        self._find_families(connection, keys)

    def copy_to(self, path: Path) -> None:
        """Write the state of this moment to a file, whole or not at all; others may go on writing."""
        draft = path.with_name(f"{path.name}.part")
        with storage_errors(path):
            draft.unlink(missing_ok=True)
            copy = sqlite3.connect(draft)
            try:
                self._connection().backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
                copy.close()
                with draft.open("rb") as file:
                    os.fsync(file.fileno())
                draft.replace(path)
            finally:
                copy.close()
                draft.unlink(missing_ok=True)

    def restore_to(self, folder: Path) -> Path | None:
        """Put this state in the place of the catalogue in ``folder``, in one step for its readers.

        Its generation moves on from either, so that readers notice. One that cannot be read is set aside:
        says where it is then, and those who have it open do not notice.
        """
        path = folder / FILE_NAME
        before, aside = 0, None
        if Catalogue.exists(folder):
            try:
                old = Catalogue.open_file(path)
                before = old.generation()
                old.close()
            except StorageError:
                aside = _set_aside(path)  # a damaged one is what a backup is for
        with storage_errors(path):
            draft = folder / f"{FILE_NAME}.new"
            self.copy_to(draft)
            copy = Catalogue(draft)
            copy._upgrade()
            copy.close()
            changed = sqlite3.connect(draft, isolation_level=None)
            changed.execute(
                "UPDATE meta SET value = max(CAST(value AS INTEGER), ?) + 1 WHERE key = 'generation'",
                (before,),
            )
            changed.execute(
                "INSERT OR REPLACE INTO meta SELECT 'restored', value FROM meta WHERE key = 'generation'"
            )
            # An index on a server belongs to the knowledge base that the backup was made of.
            changed.execute("DELETE FROM meta WHERE key IN ('collection', 'collection.new')")
            if not path.exists():
                changed.execute("PRAGMA journal_mode = WAL")
                changed.close()
                draft.replace(path)
                return aside
            there = sqlite3.connect(path, timeout=30)
            try:
                changed.backup(there)
            finally:
                there.close()
                changed.close()
                draft.unlink()
        return aside

    def close(self) -> None:
        with self._lock:
            for connection in self._connections.values():
                connection.close()
            self._connections.clear()
            self._local = threading.local()

    def _connection(self) -> sqlite3.Connection:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            # Only this thread uses it; close() may be called from another one.
            connection = sqlite3.connect(
                self._address(), uri=True, timeout=30, check_same_thread=False, isolation_level=None
            )
            connection.create_function("allowed", 1, self._is_allowed)
            with storage_errors(self.path):
                connection.execute("PRAGMA foreign_keys = ON")
                connection.execute("PRAGMA synchronous = NORMAL")
            self._local.connection = connection
            with self._lock:
                # A server's threads come and go; their connections must not stay behind.
                for thread in [t for t in self._connections if not t.is_alive()]:
                    self._connections.pop(thread).close()
                self._connections[threading.current_thread()] = connection
        return connection

    def _is_allowed(self, key: int) -> bool:
        """Whether a filter, which this thread has set, lets a passage through."""
        marks: bytes = self._local.allowed
        return key < len(marks) and marks[key] == 1

    def _address(self) -> str:
        """The file as SQLite is to open it; where its folder cannot be written to, it must not try to."""
        address = self.path.absolute().as_uri()
        if os.access(self.path.parent, os.W_OK) or not self.path.exists():
            return address
        # With a log beside it somebody writes from elsewhere; without one the file is all there is.
        log = self.path.with_name(f"{self.path.name}-wal")
        return f"{address}?{'mode=ro' if log.exists() else 'immutable=1'}"

    def _rows(self, sql: str, values: Sequence[object] = ()) -> list[Any]:
        """All rows of a query; what SQLite says of a damaged file is a ``StorageError``."""
        with storage_errors(self.path):
            try:
                return self._connection().execute(sql, values).fetchall()
            except UnicodeEncodeError:  # half a surrogate pair was looked for: nothing stored holds one
                return []

    # What is known about the whole

    def meta(self) -> dict[str, str]:
        return dict(self._rows("SELECT key, value FROM meta"))

    def generation(self) -> int:
        """A number that moves on with every visible change."""
        return int(self._rows("SELECT value FROM meta WHERE key = 'generation'")[0][0])

    def counts(self) -> tuple[int, int]:
        """How many live documents and passages there are."""
        return self.shelf().counts

    def shelf(self) -> Shelf:
        """The live documents as columns; read once for each generation."""
        shelf, generation = self._shelf, self.generation()
        while shelf is None or shelf.generation != generation:
            documents = self._rows(
                "SELECT key, publisher, substr(published, 1, 10) FROM documents WHERE live = 1"
            )
            passages = self._rows("SELECT document, min(key), count(*) FROM passages GROUP BY document")
            restored = self.meta().get("restored", "")
            read, generation = generation, self.generation()
            if read == generation:  # else something was published between these queries
                shelf = self._shelf = Shelf.of(generation, restored, documents, passages)
        return shelf

    # Documents

    def document(self, document_id: str) -> Document:
        """The live version of a document; raises ``NoSuchDocument``."""
        row = next(
            iter(
                self._rows(
                    f"SELECT {_DOCUMENT_COLUMNS} FROM documents WHERE id = ? AND live = 1", (document_id,)
                )
            ),
            None,
        )
        if row is None:
            raise NoSuchDocument(
                f"there is no document {document_id!r}", "`kbqa documents` lists the ids of those there are"
            )
        values = dict(zip(_DOCUMENT_COLUMNS.split(", "), row, strict=True))
        values["sections"] = tuple(Section(**s) for s in json.loads(values["sections"]))
        values["page_starts"] = tuple(json.loads(values["page_starts"]))
        return Document(**values, copies=self._copies(document_id))

    def _copies(self, document_id: str) -> tuple[str, ...]:
        """The other live documents of its family, by id."""
        rows = self._rows(
            "SELECT other.id FROM documents d JOIN documents other ON other.family = d.family"
            " WHERE d.id = ? AND d.live = 1 AND other.live = 1 AND other.key <> d.key ORDER BY other.id",
            (document_id,),
        )
        return tuple(row[0] for row in rows)

    def documents(self) -> list[DocumentSummary]:
        """All live documents, by id."""
        rows = self._rows(
            "SELECT d.id, d.title, d.publisher, d.author, d.published, d.url, d.media_type, length(d.text),"
            " (SELECT count(*) FROM passages p WHERE p.document = d.key), d.content_hash, d.updated,"
            " d.correction, coalesce(d.family, -d.key) FROM documents d WHERE d.live = 1 ORDER BY d.id"
        )
        families: dict[int, list[str]] = {}
        for row in rows:
            families.setdefault(row[-1], []).append(row[0])
        return [
            replace(DocumentSummary(*row[:-1]), copies=tuple(i for i in families[row[-1]] if i != row[0]))
            for row in rows
        ]

    def origin_hash(self, origin: str) -> str | None:
        """The content hash under which a file or URL was last ingested."""
        row = next(iter(self._rows("SELECT content_hash FROM origins WHERE origin = ?", (origin,))), None)
        return row[0] if row else None

    def origins(self) -> list[str]:
        """Every file and URL that was ingested, those too that have to be read again."""
        rows = self._rows(
            "SELECT origin FROM origins UNION SELECT origin FROM documents WHERE live = 1 ORDER BY origin"
        )
        return [row[0] for row in rows]

    def documents_of(self, origin: str) -> list[str]:
        rows = self._rows("SELECT id FROM documents WHERE origin = ? AND live = 1 ORDER BY key", (origin,))
        return [row[0] for row in rows]

    def origin_of(self, document_id: str) -> str | None:
        row = next(
            iter(self._rows("SELECT origin FROM documents WHERE id = ? AND live = 1", (document_id,))), None
        )
        return row[0] if row else None

    def publishers(self) -> list[str]:
        return sorted(name for name in self.shelf().publishers if name is not None)

    def questions(self, limit: int) -> list[str]:
        """Questions of FAQ blocks: the first of each document, by id, then the second of each, and so on."""
        rows = self._rows(
            "SELECT section FROM (SELECT d.id, section, row_number() OVER (PARTITION BY d.key"
            " ORDER BY min(p.ordinal)) AS turn FROM passages p JOIN documents d ON d.key = p.document"
            " WHERE d.live = 1 AND p.section LIKE ? GROUP BY d.key, section) ORDER BY turn, id LIMIT ?",
            ("%?", limit),
        )
        return [row[0] for row in rows]

    # Passages

    def passages(self, keys: Iterable[int]) -> dict[int, StoredPassage]:
        """The live passages among ``keys``; those that were retired are left out."""
        found: dict[int, StoredPassage] = {}
        wanted = list(keys)
        for first in range(0, len(wanted), 500):
            part = wanted[first : first + 500]
            where = f"d.live = 1 AND p.key IN ({_marks(part)})"
            found.update((stored.key, stored) for stored in self._select_passages(where, part))
        return found

    def passages_of(self, document_id: str) -> list[StoredPassage]:
        """All passages of a live document, in order; none if there is no such document."""
        return list(self._select_passages("d.live = 1 AND d.id = ? ORDER BY p.ordinal", (document_id,)))

    def neighbours(self, document_id: str, first: int, last: int) -> list[Passage]:
        """The passages of a live document with ordinals from ``first`` to ``last``, both included."""
        where = "d.live = 1 AND d.id = ? AND p.ordinal BETWEEN ? AND ? ORDER BY p.ordinal"
        return [stored.passage for stored in self._select_passages(where, (document_id, first, last))]

    def _select_passages(self, where: str, values: Sequence[object]) -> Iterator[StoredPassage]:
        rows = self._rows(
            # The text comes from the full-text table: cutting it out of a long document is slow.
            'SELECT p.key, d.id, p.ordinal, p.start, p."end", w.text, p.section, p.page,'
            " d.title, d.publisher, d.author, d.published, d.url, d.updated"
            " FROM passages p JOIN documents d ON d.key = p.document JOIN words w ON w.rowid = p.key"
            f" WHERE {where}",
            values,
        )
        for key, document_id, ordinal, start, end, text, section, page, *about in rows:
            yield StoredPassage(
                key, Passage(document_id, ordinal, start, end, text, section, page), Source(*about)
            )

    def matching(self, filters: Filters) -> Keys | None:
        """The keys of the live passages that a filter lets through, sorted; ``None`` if it limits nothing."""
        if not filters:
            return None
        documents = None
        if wanted := filters.document_ids:
            rows = self._rows(
                f"SELECT key FROM documents WHERE live = 1 AND id IN ({_marks(wanted)})", wanted
            )
            documents = [row[0] for row in rows]
        return self.shelf().select(filters, documents)

    def vectors(self, keys: Sequence[int]) -> tuple[list[int], Vectors]:
        """Those of ``keys`` that are still there, in order, and their vectors: (len(keys), dimension)."""
        found: dict[int, bytes] = {}
        for first in range(0, len(keys), 500):
            part = keys[first : first + 500]
            found.update(self._rows(f"SELECT key, vector FROM passages WHERE key IN ({_marks(part)})", part))
        there = [key for key in keys if key in found]
        rows = np.frombuffer(b"".join(found[key] for key in there), dtype=np.float16)
        return there, rows.reshape(-1, int(self.meta()["dimension"])).astype(np.float32)

    def every_vector(self, batch: int = 1000) -> Iterator[tuple[list[int], Vectors]]:
        """All live vectors in batches of (keys, vectors), to rebuild the vector index without embedding."""
        last = 0
        while True:
            keys = [
                row[0]
                for row in self._rows(
                    "SELECT p.key FROM passages p JOIN documents d ON d.key = p.document"
                    " WHERE d.live = 1 AND p.key > ? ORDER BY p.key LIMIT ?",
                    (last, batch),
                )
            ]
            if not keys:
                return
            yield self.vectors(keys)
            last = keys[-1]

    # Full text

    def match(self, words: Sequence[str], limit: int, allowed: Keys | None = None) -> list[tuple[int, float]]:
        """The passages that hold any of ``words``, best first, as (key, BM25 score; higher is better).

        Title and section count less than the text: they are repeated for each passage of a document. Where
        very many passages hold the words, those that hold the rarer of them are ranked, and the common words
        only tell between these. ``allowed`` are the sorted keys that a filter lets through.
        """
        if not words or (allowed is not None and not len(allowed)):
            return []
        finding, telling = self._by_rarity(list(dict.fromkeys(words)), allowed)
        return self._ranked(finding, telling, limit, allowed)

    def _by_rarity(self, words: list[str], allowed: Keys | None) -> tuple[list[str], list[str]]:
        """The words to find passages by, and those too common for that; in a small library all find."""
        total = self.counts()[1]
        if total <= _MOST_SCORED:
            return words, []
        room: float = _MOST_SCORED
        if allowed is not None:
            # Of the passages between its first and its last one, some share passes. The time for what is
            # gone past and the time for what is ranked come to that of a search without a filter.
            span = min(1.0, (int(allowed[-1]) - int(allowed[0]) + 1) / total)
            room = 1 / (len(allowed) / total / _MOST_SCORED + span / _MOST_PASSED)
        counts = self.word_counts(words)
        rarest = sorted(words, key=lambda word: counts[word])
        holding = np.cumsum([counts[word] for word in rarest])
        found_by = max(1, int(np.searchsorted(holding, room, side="right")))
        return rarest[:found_by], rarest[found_by:]

    def _ranked(
        self, finding: list[str], telling: list[str], limit: int, allowed: Keys | None
    ) -> list[tuple[int, float]]:
        """By BM25 over all words the passages that hold any of ``finding``."""
        rare, common = _any_of(finding), _any_of(telling)
        # Two queries, so that no passage is found by both, and no word counts twice in one.
        queries = [f"({rare}) AND ({common})", f"({rare}) NOT ({common})"] if telling else [rare]
        found = [pair for query in queries for pair in self._matches(query, limit, allowed)]
        return sorted(found, key=lambda pair: (-pair[1], pair[0]))[:limit]

    def _matches(self, query: str, limit: int, allowed: Keys | None) -> list[tuple[int, float]]:
        sql = "SELECT rowid, -bm25(words, 1.0, 0.6, 0.4) AS score FROM words WHERE words MATCH ?"
        values: list[object] = [query]
        if allowed is not None:
            sql += " AND rowid BETWEEN ? AND ? AND allowed(rowid)"
            values += [int(allowed[0]), int(allowed[-1])]
            self._connection()
            marks = np.zeros(int(allowed[-1]) + 1, bool)
            marks[allowed] = True
            self._local.allowed = marks.tobytes()
        rows: list[tuple[int, float]] = self._rows(
            f"{sql} ORDER BY score DESC, rowid LIMIT ?", (*values, limit)
        )
        return rows

    def word_counts(self, words: Iterable[str]) -> dict[str, int]:
        """In how many passages each word occurs, in any of its forms (Porter stems are compared)."""
        generation = self.generation()
        if self._counted[0] != generation or len(self._counted[1]) > _MOST_COUNTED:
            self._counted = generation, {}
        counted = self._counted[1]
        wanted = set(words)
        for word in wanted - counted.keys():
            sql = "SELECT count(*) FROM words WHERE words MATCH ?"
            counted[word] = sum(row[0] for row in self._rows(sql, (_any_of([word]),)))
        return {word: counted[word] for word in wanted}

    def vocabulary(self, prefix: str) -> list[tuple[str, int]]:
        """The stems that begin with ``prefix`` and in how many passages each occurs."""
        rows = self._rows(
            "SELECT term, doc FROM vocabulary WHERE term >= ? AND term < ?", (prefix, prefix + "\U0010ffff")
        )
        return list(rows)

    # Writing: stage, publish, purge (see the module's docstring)

    def stage(self, batch: Sequence[Staged]) -> list[tuple[int, list[int]]]:
        """Write new versions that nobody sees yet; gives (document key, passage keys) for each."""
        staged = []
        with self._transaction() as connection:
            for item in batch:
                document = item.document
                values = (
                    document.id,
                    document.source,
                    document.title,
                    document.text,
                    document.media_type,
                    document.content_hash,
                    document.author,
                    document.publisher,
                    document.published,
                    document.url,
                    document.language,
                    json.dumps([asdict(s) for s in document.sections]),
                    json.dumps(document.page_starts),
                    document.retrieved_at,
                    document.updated,
                    correction(document.text),
                    item.origin,
                )
                document_key = connection.execute(
                    f"INSERT INTO documents ({_DOCUMENT_COLUMNS}, origin) VALUES ({_marks(values)})"
                    " RETURNING key",
                    values,
                ).fetchone()[0]
                self._sketch(connection, document_key, document.text)
                keys = []
                for passage, vector in zip(item.passages, item.vectors, strict=True):
                    row = (
                        document_key,
                        passage.ordinal,
                        passage.start,
                        passage.end,
                        passage.section,
                        passage.page,
                        vector.astype(np.float16).tobytes(),
                    )
                    key = connection.execute(
                        'INSERT INTO passages (document, ordinal, start, "end", section, page, vector)'
                        " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING key",
                        row,
                    ).fetchone()[0]
                    keys.append(key)
                staged.append((document_key, keys))
        return staged

    def publish(
        self, document_keys: Sequence[int], retired_ids: Sequence[str], hashes: dict[str, str]
    ) -> None:
        """Make staged documents live and retire old versions and ``retired_ids``, in one step.

        ``hashes`` are the content hashes of the origins that are now complete.
        """
        with self._transaction() as connection:
            ids = [
                connection.execute("SELECT id FROM documents WHERE key = ?", (key,)).fetchone()[0]
                for key in document_keys
            ]
            left = self._retire(connection, [*retired_ids, *ids])
            for key in document_keys:
                connection.execute("UPDATE documents SET live = 1 WHERE key = ?", (key,))
                self._index_words(connection, key)
            self._find_families(connection, [*left, *document_keys])
            connection.executemany(
                "INSERT INTO origins VALUES (?, ?)"
                " ON CONFLICT (origin) DO UPDATE SET content_hash = excluded.content_hash",
                hashes.items(),
            )
            self._advance(connection)

    def _index_words(self, connection: Statements, document_key: int) -> None:
        text, title = connection.execute(
            "SELECT text, title FROM documents WHERE key = ?", (document_key,)
        ).fetchone()
        passages = connection.execute(
            'SELECT key, start, "end", section FROM passages WHERE document = ?', (document_key,)
        ).fetchall()
        rows = [(key, text[start:end], section, title) for key, start, end, section in passages]
        self._add_words(connection, rows)

    def _add_words(self, connection: Statements, rows: Sequence[tuple[int, str, str | None, str]]) -> None:
        connection.executemany("INSERT INTO words (rowid, text, section, title) VALUES (?, ?, ?, ?)", rows)

    def _forget_words(self, connection: Statements, document_key: int | None = None) -> None:
        """Those of a document, or all."""
        if document_key is None:
            connection.execute("DELETE FROM words")
            return
        sql = "DELETE FROM words WHERE rowid IN (SELECT key FROM passages WHERE document = ?)"
        connection.execute(sql, (document_key,))

    def retire(self, document_ids: Sequence[str], origins: Sequence[str] = ()) -> int:
        """Take documents, and all of some origins, out of sight; says how many documents that were."""
        with self._transaction() as connection:
            ids = list(document_ids)
            for origin in origins:
                rows = connection.execute("SELECT id FROM documents WHERE origin = ? AND live = 1", (origin,))
                ids.extend(row[0] for row in rows.fetchall())
            ids = list(dict.fromkeys(ids))
            there = [
                (document_id, row)
                for document_id in ids
                for row in connection.execute(
                    "SELECT origin FROM documents WHERE id = ? AND live = 1", (document_id,)
                ).fetchall()
            ]
            self._find_families(connection, self._retire(connection, [i for i, _ in there]))
            # The next ingestion must not take the file for unchanged.
            connection.executemany("DELETE FROM origins WHERE origin = ?", [row for _, row in there])
            connection.executemany("DELETE FROM origins WHERE origin = ?", [(o,) for o in origins])
            if there:
                self._advance(connection)
        return len(there)

    def _retire(self, connection: Statements, document_ids: Sequence[str]) -> list[int]:
        """Take documents out of sight; gives the keys of those of their families that are left."""
        families = set()
        for document_id in dict.fromkeys(document_ids):
            row = connection.execute(
                "SELECT key, family FROM documents WHERE id = ? AND live = 1", (document_id,)
            ).fetchone()
            if row is None:
                continue
            key, family = row
            families.add(family)
            self._forget_words(connection, key)
            connection.execute("UPDATE documents SET live = 0 WHERE key = ?", (key,))
        left = (
            connection.execute(
                "SELECT key FROM documents WHERE family = ? AND live = 1", (family,)
            ).fetchall()
            for family in families
        )
        return sorted(key for rows in left for (key,) in rows)

    def _sketch(self, connection: Statements, document_key: int, text: str) -> None:
        rows = [(number, document_key) for number in sketch(runs(text))]
        connection.executemany("INSERT INTO sketches (number, document) VALUES (?, ?)", rows)

    def _find_families(self, connection: Statements, document_keys: Sequence[int]) -> None:
        """Give live documents the families that they belong to, whatever they had before."""
        for key in document_keys:
            connection.execute("UPDATE documents SET family = key WHERE key = ?", (key,))
        for key in document_keys:
            likely = self._likely_copies(connection, key)
            if not likely:
                continue
            own, *others = (
                connection.execute("SELECT text, family FROM documents WHERE key = ?", row).fetchone()
                for row in [(key,), *likely]
            )
            own_runs = runs(own[0])
            families = {own[1]} | {family for text, family in others if are_copies(own_runs, runs(text))}
            connection.execute(
                f"UPDATE documents SET family = ? WHERE family IN ({_marks([*families])}) AND live = 1",
                (min(families), *families),
            )

    def _likely_copies(self, connection: Statements, document_key: int) -> list[Any]:
        """The live documents whose sketches have most in common with that of a document, as rows of a key."""
        own = connection.execute("SELECT number FROM sketches WHERE document = ?", (document_key,)).fetchall()
        if not own:
            return []
        some = "SELECT * FROM (SELECT document FROM sketches WHERE number = ? ORDER BY 1 LIMIT ?) AS few"
        values = [value for (number,) in own for value in (number, _MOST_SHARING)]
        rows: list[Any] = connection.execute(
            "SELECT d.key FROM (SELECT document, count(*) AS shared"
            f" FROM ({' UNION ALL '.join([some] * len(own))}) AS near"
            " GROUP BY document HAVING count(*) >= ?) AS likely JOIN documents d ON d.key = likely.document"
            " WHERE d.live = 1 AND d.key <> ? ORDER BY likely.shared DESC, d.key LIMIT ?",
            (*values, LIKELY, document_key, _MOST_COMPARED),
        ).fetchall()
        return rows

    def _advance(self, connection: Statements) -> None:
        connection.execute(
            "UPDATE meta SET value = CAST(CAST(value AS BIGINT) + 1 AS TEXT) WHERE key = 'generation'"
        )

    # Notes, and everything at once

    def note(self, key: str, value: str | None) -> None:
        """Remember a word about the whole, or forget it; ``meta`` gives it back."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM meta WHERE key = ?", (key,))
            if value is not None:
                connection.execute("INSERT INTO meta VALUES (?, ?)", (key, value))

    def rows_of(self, table: str, batch: int = 500) -> Iterator[list[tuple[Any, ...]]]:
        """What is live of one of ``TABLES``, in the order of its first columns, batch by batch."""
        first = 0
        while True:
            # By place, not by key: two tables have none, and nobody writes meanwhile.
            rows = self._rows(f"{TABLES[table]} LIMIT ? OFFSET ?", (batch, first))
            if not rows:
                return
            yield rows
            first += len(rows)

    def fill(
        self, tables: Iterable[tuple[str, Iterable[list[tuple[Any, ...]]]]], meta: dict[str, str]
    ) -> None:
        """Become a copy of what ``rows_of`` gave for each table, in one step; it must be empty so far."""
        with self._transaction() as connection:
            for table, batches in tables:
                for rows in batches:
                    columns = TABLES[table].split(" FROM ")[0].removeprefix("SELECT ").replace("t.", "")
                    sql = f"INSERT INTO {table} ({columns}) VALUES ({_marks(rows[0])})"
                    connection.executemany(sql, rows)
            for (key,) in connection.execute("SELECT key FROM documents ORDER BY key").fetchall():
                self._index_words(connection, key)
            for key, value in meta.items():
                connection.execute("DELETE FROM meta WHERE key = ?", (key,))
                connection.execute("INSERT INTO meta VALUES (?, ?)", (key, value))
            self._advance(connection)

    def checksum(self) -> str:
        """A hash over everything live, vectors too; the same whichever engine holds it."""
        digest = hashlib.sha256()
        for table in TABLES:
            for rows in self.rows_of(table):
                for row in rows:
                    digest.update(repr(row).encode("utf-8", "surrogatepass"))
        return digest.hexdigest()

    # Health

    def faults(self) -> list[str]:
        """What SQLite finds wrong with the file, at most ten; empty if it is sound."""
        found = [row[0] for row in self._rows("PRAGMA quick_check(10)")]
        loose = self._rows("PRAGMA foreign_key_check")
        return [fault for fault in found if fault != "ok"] + ["rows without their document"] * bool(loose)

    def passages_without_words(self) -> int:
        """How many live passages the full-text index lacks."""
        [[count]] = self._rows(
            "SELECT count(*) FROM passages p JOIN documents d ON d.key = p.document"
            " LEFT JOIN words w ON w.rowid = p.key WHERE d.live = 1 AND w.rowid IS NULL"
        )
        return int(count)

    def index_words_anew(self) -> None:
        """Fill the full-text index anew from the documents."""
        with self._transaction() as connection:
            self._forget_words(connection)
            for (key,) in connection.execute("SELECT key FROM documents WHERE live = 1").fetchall():
                self._index_words(connection, key)
            self._advance(connection)

    def note_rebuilding(self) -> None:
        """Let readers open the vector index anew."""
        with self._transaction() as connection:
            self._advance(connection)

    def dead_passages(self) -> list[int]:
        """The passages of staged or retired versions."""
        # Not as a join: for its order SQLite would go through all passages, dead or not.
        dead = "SELECT key FROM documents WHERE live = 0"
        rows = self._rows(f"SELECT key FROM passages WHERE document IN ({dead}) ORDER BY key")
        return [row[0] for row in rows]

    def has_dead(self) -> bool:
        """Whether any staged or retired version is left, even one without passages."""
        return bool(self._rows("SELECT EXISTS (SELECT 1 FROM documents WHERE live = 0)")[0][0])

    def purge(self) -> None:
        """Delete staged and retired versions for good; the vector index must have forgotten them."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM documents WHERE live = 0")

    @contextmanager
    def _transaction(self) -> Iterator[Statements]:
        with storage_errors(self.path):
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.commit()
            except BaseException:
                connection.rollback()
                raise


def _set_aside(path: Path) -> Path:
    """Rename a catalogue that cannot be read, with its log, so that somebody may still look at it."""
    aside = path.with_name(f"{path.name}.damaged")
    for end in ("", "-wal", "-shm"):
        kept = aside.with_name(aside.name + end)
        kept.unlink(missing_ok=True)  # the log of one that was set aside before is not the log of this one
        with suppress(FileNotFoundError):
            path.with_name(path.name + end).replace(kept)
    return aside


_UPGRADES: dict[int, Callable[[Catalogue, Statements], None]] = {1: Catalogue._upgrade_to_2}
"""What leads from each older version of the schema to the next one."""


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite and the disk say into a ``StorageError`` with its cure."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        # Without the path that the message of the system ends with: it may hold any word.
        text = str(getattr(error, "strerror", None) or error).lower()
        if "full" in text or "no space" in text:
            cure = "free some space and run the same command again; nothing that was there is lost"
        elif "readonly" in text or "read-only" in text or "permission" in text or "unable to open" in text:
            cure = "check that the folder exists and that you may write to it"
        elif "locked" in text or "busy" in text:
            cure = "another process is writing; try again when it has finished"
        elif any(word in text for word in ("malformed", "not a database", "corrupt", "vtable constructor")):
            cure = "restore a backup (`kbqa restore FILE --replace`), or ingest into a new folder"
        else:
            cure = "run the command with --debug for the details"
        raise StorageError(f"{path} cannot be used ({error})", cure) from error


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _any_of(words: Iterable[str]) -> str:
    """A query of FTS5 for the passages that hold any of these words."""
    return " OR ".join('"' + word.replace('"', '""') + '"' for word in words)
