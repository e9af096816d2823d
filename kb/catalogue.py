"""The catalogue: every document, passage, hash and vector, in one SQLite file. The source of truth.

A document is visible whole, in its old or its new version, never a mix. New versions are *staged*
(``live = 0``) together with their passages and vectors, *published* in one transaction that also retires
the old version and moves the generation on, and what was retired is *purged* once the vector index has
forgotten it. A run that is killed leaves rows with ``live = 0`` and nothing else; ``dead_passages`` finds
them. Passage keys are never used twice, so a vector left behind by a killed run cannot come to stand for
another passage.

Nothing outside this module knows that the engine is SQLite.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kb.errors import KnowledgeBaseError, NoSuchDocument, StorageError
from kb.types import Document, DocumentSummary, Filters, Passage, Section, Source

FILE_NAME = "catalogue.sqlite"
SCHEMA_VERSION = 1
Vectors = NDArray[np.float32]

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE origins (origin TEXT PRIMARY KEY, content_hash TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE documents (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL, live INTEGER NOT NULL DEFAULT 0, origin TEXT NOT NULL, source TEXT NOT NULL,
    title TEXT NOT NULL, text TEXT NOT NULL, media_type TEXT NOT NULL, content_hash TEXT NOT NULL,
    author TEXT, publisher TEXT, published TEXT, url TEXT, language TEXT,
    sections TEXT NOT NULL, page_starts TEXT NOT NULL, retrieved_at TEXT
);
CREATE UNIQUE INDEX live_documents ON documents (id) WHERE live = 1;
CREATE INDEX documents_by_origin ON documents (origin);
CREATE INDEX documents_by_published ON documents (published) WHERE live = 1;
CREATE TABLE passages (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    document INTEGER NOT NULL REFERENCES documents (key) ON DELETE CASCADE,
    ordinal INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
    section TEXT, page INTEGER, vector BLOB NOT NULL
);
CREATE UNIQUE INDEX passages_by_document ON passages (document, ordinal);
CREATE VIRTUAL TABLE words USING fts5 (
    text, section, title, tokenize = 'porter unicode61 remove_diacritics 2'
);
CREATE VIRTUAL TABLE vocabulary USING fts5vocab (words, 'row');
"""

_DOCUMENT_COLUMNS = (
    "id, source, title, text, media_type, content_hash, author, publisher, published, url, language, "
    "sections, page_starts, retrieved_at"
)


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
        """Open a copy that ``copy_to`` made; raises ``KnowledgeBaseError`` if it is no such file."""
        with storage_errors(path):
            catalogue = cls(path)
            catalogue._check_version()
        return catalogue

    def _check_version(self) -> None:
        version = self.meta().get("schema")
        if version != str(SCHEMA_VERSION):
            raise KnowledgeBaseError(
                f"{self.path} has version {version} and this kbqa reads version {SCHEMA_VERSION}",
                "use the kbqa that made it, or ingest into a new folder",
            )

    def copy_to(self, path: Path) -> None:
        """Write the state of this moment to a new file, whoever reads or writes meanwhile."""
        with storage_errors(path):
            path.unlink(missing_ok=True)
            copy = sqlite3.connect(path)
            try:
                self._connection().backup(copy)
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
            finally:
                copy.close()

    def restore_to(self, folder: Path) -> None:
        """Put this state in the place of the catalogue in ``folder``, in one step for its readers.

        Its generation moves on from either, so that readers notice.
        """
        before = Catalogue.open(folder).generation() if Catalogue.exists(folder) else 0
        path = folder / FILE_NAME
        with storage_errors(path):
            draft = folder / f"{FILE_NAME}.new"
            self.copy_to(draft)
            changed = sqlite3.connect(draft, isolation_level=None)
            changed.execute(
                "UPDATE meta SET value = max(CAST(value AS INTEGER), ?) + 1 WHERE key = 'generation'",
                (before,),
            )
            if not path.exists():
                changed.execute("PRAGMA journal_mode = WAL")
                changed.close()
                draft.replace(path)
                return
            there = sqlite3.connect(path, timeout=30)
            try:
                changed.backup(there)
            finally:
                there.close()
                changed.close()
                draft.unlink()

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
            connection.create_function("casefold", 1, lambda s: s and s.casefold(), deterministic=True)
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
        [[documents, passages]] = self._rows(
            "SELECT count(DISTINCT d.key), count(p.key)"
            " FROM documents d LEFT JOIN passages p ON p.document = d.key WHERE d.live = 1"
        )
        return documents, passages

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
        return Document(**values)

    def documents(self) -> list[DocumentSummary]:
        """All live documents, by id."""
        rows = self._rows(
            "SELECT d.id, d.title, d.publisher, d.author, d.published, d.url, d.media_type, length(d.text),"
            " (SELECT count(*) FROM passages p WHERE p.document = d.key), d.content_hash"
            " FROM documents d WHERE d.live = 1 ORDER BY d.id"
        )
        return [DocumentSummary(*row) for row in rows]

    def texts(self) -> Iterator[tuple[str, str]]:
        """The ids and texts of all live documents, one after the other."""
        for (key,) in self._rows("SELECT key FROM documents WHERE live = 1 ORDER BY id"):
            yield from self._rows("SELECT id, text FROM documents WHERE key = ? AND live = 1", (key,))

    def origin_hash(self, origin: str) -> str | None:
        """The content hash under which a file or URL was last ingested."""
        row = next(iter(self._rows("SELECT content_hash FROM origins WHERE origin = ?", (origin,))), None)
        return row[0] if row else None

    def origins(self) -> list[str]:
        return [row[0] for row in self._rows("SELECT origin FROM origins ORDER BY origin")]

    def documents_of(self, origin: str) -> list[str]:
        rows = self._rows("SELECT id FROM documents WHERE origin = ? AND live = 1 ORDER BY key", (origin,))
        return [row[0] for row in rows]

    def origin_of(self, document_id: str) -> str | None:
        row = next(
            iter(self._rows("SELECT origin FROM documents WHERE id = ? AND live = 1", (document_id,))), None
        )
        return row[0] if row else None

    def publishers(self) -> list[str]:
        rows = self._rows("SELECT DISTINCT publisher FROM documents WHERE live = 1 AND publisher IS NOT NULL")
        return sorted(row[0] for row in rows)

    def questions(self, limit: int) -> list[str]:
        """The first questions of FAQ blocks, one after the other, documents by id."""
        rows = self._rows(
            "SELECT section FROM passages p JOIN documents d ON d.key = p.document WHERE d.live = 1"
            " AND p.section LIKE '%?' GROUP BY d.key, section ORDER BY d.id, min(p.ordinal) LIMIT ?",
            (limit,),
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

    def neighbours(self, document_id: str, first: int, last: int) -> list[Passage]:
        """The passages of a live document with ordinals from ``first`` to ``last``, both included."""
        where = "d.live = 1 AND d.id = ? AND p.ordinal BETWEEN ? AND ? ORDER BY p.ordinal"
        return [stored.passage for stored in self._select_passages(where, (document_id, first, last))]

    def _select_passages(self, where: str, values: Sequence[object]) -> Iterator[StoredPassage]:
        rows = self._rows(
            # The text comes from the full-text table: cutting it out of a long document is slow.
            "SELECT p.key, d.id, p.ordinal, p.start, p.end, w.text, p.section, p.page,"
            " d.title, d.publisher, d.author, d.published, d.url"
            " FROM passages p JOIN documents d ON d.key = p.document JOIN words w ON w.rowid = p.key"
            f" WHERE {where}",
            values,
        )
        for key, document_id, ordinal, start, end, text, section, page, *about in rows:
            yield StoredPassage(
                key, Passage(document_id, ordinal, start, end, text, section, page), Source(*about)
            )

    def matching(self, filters: Filters) -> list[int] | None:
        """The keys of the live passages that a filter lets through, or ``None`` if it limits nothing."""
        if not filters:
            return None
        where, values = _filter_sql(filters)
        rows = self._rows(
            "SELECT p.key FROM passages p JOIN documents d ON d.key = p.document"
            f" WHERE d.live = 1 AND {where} ORDER BY p.key",
            values,
        )
        return [row[0] for row in rows]

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

    def match(
        self, words: Sequence[str], limit: int, filters: Filters | None = None
    ) -> list[tuple[int, float]]:
        """The passages that hold any of ``words``, best first, as (key, BM25 score; higher is better).

        Title and section count less than the text: they are repeated for each passage of a document.
        """
        if not words:
            return []
        query = " OR ".join('"' + word.replace('"', '""') + '"' for word in words)
        where, values = _filter_sql(filters) if filters else ("1 = 1", [])
        rows = self._rows(
            "SELECT words.rowid, -bm25(words, 1.0, 0.6, 0.4) AS score FROM words"
            " JOIN passages p ON p.key = words.rowid JOIN documents d ON d.key = p.document"
            f" WHERE words MATCH ? AND d.live = 1 AND {where} ORDER BY score DESC, words.rowid LIMIT ?",
            (query, *values, limit),
        )
        return [(key, score) for key, score in rows]

    def word_counts(self, words: Iterable[str]) -> dict[str, int]:
        """In how many passages each word occurs, in any of its forms (Porter stems are compared)."""
        counts: dict[str, int] = {}
        for word in set(words):
            row = next(
                iter(
                    self._rows(
                        "SELECT count(*) FROM words WHERE words MATCH ?",
                        ('"' + word.replace('"', '""') + '"',),
                    )
                )
            )
            counts[word] = row[0]
        return counts

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
                    item.origin,
                )
                document_key = connection.execute(
                    f"INSERT INTO documents ({_DOCUMENT_COLUMNS}, origin) VALUES ({_marks(values)})", values
                ).lastrowid
                assert document_key is not None
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
                        "INSERT INTO passages (document, ordinal, start, end, section, page, vector)"
                        " VALUES (?, ?, ?, ?, ?, ?, ?)",
                        row,
                    ).lastrowid
                    assert key is not None
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
            for document_id in dict.fromkeys([*retired_ids, *ids]):
                self._retire(connection, document_id)
            for key in document_keys:
                connection.execute("UPDATE documents SET live = 1 WHERE key = ?", (key,))
                self._index_words(connection, key)
            connection.executemany("INSERT OR REPLACE INTO origins VALUES (?, ?)", hashes.items())
            self._advance(connection)

    def _index_words(self, connection: sqlite3.Connection, document_key: int) -> None:
        text, title = connection.execute(
            "SELECT text, title FROM documents WHERE key = ?", (document_key,)
        ).fetchone()
        passages = connection.execute(
            "SELECT key, start, end, section FROM passages WHERE document = ?", (document_key,)
        ).fetchall()
        connection.executemany(
            "INSERT INTO words (rowid, text, section, title) VALUES (?, ?, ?, ?)",
            [(key, text[start:end], section, title) for key, start, end, section in passages],
        )

    def retire(self, document_ids: Sequence[str], origins: Sequence[str] = ()) -> int:
        """Take documents, and all of some origins, out of sight; says how many documents that were."""
        with self._transaction() as connection:
            ids = list(document_ids)
            for origin in origins:
                rows = connection.execute("SELECT id FROM documents WHERE origin = ? AND live = 1", (origin,))
                ids.extend(row[0] for row in rows.fetchall())
            ids = list(dict.fromkeys(ids))
            count = 0
            for document_id in ids:
                row = connection.execute(
                    "SELECT origin FROM documents WHERE id = ? AND live = 1", (document_id,)
                ).fetchone()
                if row:
                    count += 1
                    self._retire(connection, document_id)
                    # The next ingestion must not take the file for unchanged.
                    connection.execute("DELETE FROM origins WHERE origin = ?", row)
            connection.executemany("DELETE FROM origins WHERE origin = ?", [(o,) for o in origins])
            if count:
                self._advance(connection)
        return count

    def _retire(self, connection: sqlite3.Connection, document_id: str) -> None:
        row = connection.execute(
            "SELECT key FROM documents WHERE id = ? AND live = 1", (document_id,)
        ).fetchone()
        if row is None:
            return
        connection.execute(
            "DELETE FROM words WHERE rowid IN (SELECT key FROM passages WHERE document = ?)", row
        )
        connection.execute("UPDATE documents SET live = 0 WHERE key = ?", row)

    def _advance(self, connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE meta SET value = value + 1 WHERE key = 'generation'")

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
            connection.execute("DELETE FROM words")
            for (key,) in connection.execute("SELECT key FROM documents WHERE live = 1").fetchall():
                self._index_words(connection, key)
            self._advance(connection)

    def note_rebuilding(self) -> None:
        """Let readers open the vector index anew."""
        with self._transaction() as connection:
            self._advance(connection)

    def dead_passages(self) -> list[int]:
        """The passages of staged or retired versions."""
        rows = self._rows(
            "SELECT p.key FROM passages p JOIN documents d ON d.key = p.document"
            " WHERE d.live = 0 ORDER BY p.key"
        )
        return [row[0] for row in rows]

    def has_dead(self) -> bool:
        """Whether any staged or retired version is left, even one without passages."""
        return bool(self._rows("SELECT EXISTS (SELECT 1 FROM documents WHERE live = 0)")[0][0])

    def purge(self) -> None:
        """Delete staged and retired versions for good; the vector index must have forgotten them."""
        with self._transaction() as connection:
            connection.execute("DELETE FROM documents WHERE live = 0")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with storage_errors(self.path):
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.commit()
            except BaseException:
                connection.rollback()
                raise


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
            cure = "restore the folder from a backup, or ingest into a new one"
        else:
            cure = "run the command with --debug for the details"
        raise StorageError(f"{path} cannot be used ({error})", cure) from error


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


def _filter_sql(filters: Filters) -> tuple[str, list[object]]:
    clauses: list[str] = []
    values: list[object] = []
    if filters.publishers:
        # instr() instead of LIKE: a name may hold % or _.
        clauses.append(
            " OR ".join("instr(casefold(d.publisher), casefold(?)) > 0" for _ in filters.publishers)
        )
        values.extend(filters.publishers)
    if filters.document_ids:
        clauses.append(f"d.id IN ({_marks(filters.document_ids)})")
        values.extend(filters.document_ids)
    if filters.after:
        clauses.append("substr(d.published, 1, 10) >= ?")
        values.append(filters.after)
    if filters.before:
        clauses.append("substr(d.published, 1, 10) <= ?")
        values.append(filters.before)
    return " AND ".join(f"({clause})" for clause in clauses), values
