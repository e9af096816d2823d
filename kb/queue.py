"""The queue: sources that wait in PostgreSQL for whichever worker comes first, on whichever machine.

A task is a file, with its bytes, or the address of a page, so that machines share nothing but the servers.
Who works on it holds its row (``FOR UPDATE SKIP LOCKED``) in a transaction that is open until it is done. A
worker that is killed or cut off loses the row with its connection, and another one takes it. What the first
one may have written by then is whole, and is found unchanged.

Tasks of one *lane*, which are those of one file or of one site, are worked on one after the other, the oldest
first. How often a task was begun is counted in a table of its own, which the lock leaves open: a task whose
worker dies every time must not be tried for ever.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from kb.catalogue import Catalogue
from kb.errors import KBError, UsageError
from kb.postgres import PostgresCatalogue, Session

ATTEMPTS = 3
"""So often a task is begun, before it is left as failed."""

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS queue (
    number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin TEXT NOT NULL, lane TEXT NOT NULL, about TEXT NOT NULL, data BYTEA,
    error TEXT, failed BOOLEAN NOT NULL DEFAULT FALSE
)""",
    "CREATE INDEX IF NOT EXISTS queue_by_lane ON queue (lane, number) WHERE NOT failed",
    "CREATE INDEX IF NOT EXISTS queue_by_origin ON queue (origin)",
    "CREATE TABLE IF NOT EXISTS queue_attempts (number BIGINT PRIMARY KEY, count INTEGER NOT NULL)",
)
_QUEUEING = 3  # the advisory lock: beside those of kb.postgres

# The oldest task that nobody works on, and none before it in its lane.
_NEXT = """SELECT number, origin, lane, about, data FROM queue q
WHERE NOT failed AND NOT EXISTS (
    SELECT 1 FROM queue before WHERE before.lane = q.lane AND before.number < q.number AND NOT before.failed
) ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED"""
_GIVE_UP = """UPDATE queue SET failed = TRUE, error = coalesce(error, ?) WHERE number IN (
    SELECT q.number FROM queue q JOIN queue_attempts a ON a.number = q.number
    WHERE NOT q.failed AND a.count >= ? FOR UPDATE OF q SKIP LOCKED
)"""
_LOST = f"it was begun {ATTEMPTS} times, and its worker was lost each time"


@dataclass(frozen=True, slots=True)
class Task:
    """A source to be read: its origin, its lane, what else is to be known, and the bytes of a file."""

    origin: str
    lane: str
    about: dict[str, Any]
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class State:
    """How many tasks wait or are worked on, and those that failed: (origin, error)."""

    waiting: int = 0
    failed: tuple[tuple[str, str], ...] = ()


class Taken:
    """A task that nobody else works on."""

    def __init__(self, confirm: Callable[[], None], task: Task, attempt: int) -> None:
        self.task = task
        self.is_last = attempt >= ATTEMPTS
        self.failure: tuple[str, bool] | None = None
        self._confirm = confirm

    def confirm(self) -> None:
        """Raise ``StorageError`` if it is another's by now, since this host was cut off."""
        self._confirm()

    def fail(self, error: str, *, final: bool) -> None:
        """Keep it in the queue, to be tried again unless that is ``final``."""
        self.failure = (error, final)


class Queue:
    """The queue of a catalogue; raises ``UsageError`` for one that is not in PostgreSQL."""

    def __init__(self, catalogue: Catalogue) -> None:
        if not isinstance(catalogue, PostgresCatalogue):
            raise UsageError(
                "a queue needs a catalogue in PostgreSQL",
                "move the knowledge base with `kbqa migrate --to postgresql://...`, or use `kbqa ingest`",
            )
        self._catalogue = catalogue
        self._blameless: list[int] = []  # tasks whose attempt is not to count, once that can be said
        if not _is_there(catalogue):
            with catalogue.session() as session, session.transaction():
                _one_by_one(session)
                for statement in _SCHEMA:
                    session.execute(statement)

    def put(self, tasks: Iterable[Task]) -> int:
        """Add tasks to the end; one that waits or failed and has the same origin goes. Says how many."""
        count = 0
        with self._catalogue.session() as session:
            for task in tasks:
                with session.transaction():
                    _one_by_one(session)  # so that no task comes to be seen before an older one
                    _forget(session, "origin = ?", task.origin)
                    session.execute(
                        "INSERT INTO queue (origin, lane, about, data) VALUES (?, ?, ?, ?)",
                        (task.origin, task.lane, json.dumps(task.about), task.data),
                    )
                count += 1
        return count

    def holds(self, origin: str) -> bool:
        """Whether a source is in the queue, failed or not."""
        [[found]] = self._catalogue.query("SELECT EXISTS (SELECT 1 FROM queue WHERE origin = ?)", (origin,))
        return bool(found)

    def is_done(self) -> bool:
        """Whether nothing waits or is worked on."""
        [[waiting]] = self._catalogue.query("SELECT EXISTS (SELECT 1 FROM queue WHERE NOT failed)")
        return not waiting

    def forget_failed(self) -> int:
        """Take out what has failed; says how many tasks that was."""
        with self._catalogue.session() as session, session.transaction():
            return _forget(session, "failed")

    @contextmanager
    def next(self) -> Iterator[Taken | None]:
        """The next task, which is done with at the end of the block; ``None`` where there is none to take.

        An error gives it back, to be tried again at once.
        """
        self._excuse()
        with self._catalogue.session() as session:
            # By itself, so that it is seen before the next task is done.
            session.execute(_GIVE_UP, (_LOST, ATTEMPTS))
            with session.transaction():
                session.execute("SET LOCAL idle_in_transaction_session_timeout = 0")  # reading may take long
                row = session.execute(_NEXT).fetchone()
                if row is None:
                    yield None
                    return
                number, origin, lane, about, data = row

                def confirm() -> None:
                    with self._catalogue.errors():
                        session.execute("SELECT 1")

                taken = Taken(confirm, Task(origin, lane, json.loads(about), data), self._begin(number))
                try:
                    yield taken
                except (KBError, KeyboardInterrupt):
                    self._blameless.append(number)
                    with suppress(KBError):  # a host that is cut off says so when it is there again
                        self._excuse()
                    raise
                if taken.failure:
                    values = (*taken.failure, number)
                    session.execute("UPDATE queue SET error = ?, failed = ? WHERE number = ?", values)
                else:
                    _forget(session, "number = ?", number)

    def _begin(self, number: int) -> int:
        """How often a task was begun, this time included; at once to be seen by all."""
        [[count]] = self._catalogue.query(
            "INSERT INTO queue_attempts AS a VALUES (?, 1)"
            " ON CONFLICT (number) DO UPDATE SET count = a.count + 1 RETURNING count",
            (number,),
        )
        return int(count)

    def _excuse(self) -> None:
        """Take back the attempts that ended for another reason, where the task is still there."""
        while self._blameless:
            self._catalogue.query(
                "UPDATE queue_attempts SET count = count - 1 WHERE number = ? RETURNING count",
                (self._blameless[0],),
            )
            del self._blameless[0]


def state(catalogue: Catalogue) -> State:
    """What is in the queue of a catalogue, if it has one."""
    if not isinstance(catalogue, PostgresCatalogue) or not _is_there(catalogue):
        return State()
    [[waiting]] = catalogue.query("SELECT count(*) FROM queue WHERE NOT failed")
    failed = catalogue.query("SELECT origin, error FROM queue WHERE failed ORDER BY number")
    return State(waiting, tuple((origin, error) for origin, error in failed))


def _is_there(catalogue: PostgresCatalogue) -> bool:
    # To make what is there already would wait for those who work.
    [[there]] = catalogue.query("SELECT to_regclass('queue') IS NOT NULL")
    return bool(there)


def _one_by_one(session: Session) -> None:
    session.execute("SELECT pg_advisory_xact_lock(hashtext(current_schema()), ?)", (_QUEUEING,))


def _forget(session: Session, which: str, *values: object) -> int:
    """Delete the tasks that nobody else works on, and their counts; says how many."""
    sql = (
        "WITH gone AS (DELETE FROM queue WHERE number IN"
        f" (SELECT number FROM queue WHERE {which} FOR UPDATE SKIP LOCKED) RETURNING number),"
        " counts AS (DELETE FROM queue_attempts WHERE number IN (SELECT number FROM gone))"
        " SELECT count(*) FROM gone"
    )
    return int(session.execute(sql, values).fetchone()[0])
