"""What is wrong with a knowledge base, and what can be mended without reading or embedding anything again.

The catalogue is the source of truth: the vector index and the full-text index are compared with it, and
built anew from it. A damaged catalogue itself is a matter for a backup.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from kb.errors import StorageError
from kb.queue import state
from kb.store import Store

OLDEST = "1400"
"""No news was printed before; such a year is a misreading."""
NAMED = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be; ``damage`` keeps answers from being right, else it is a note."""

    damage: bool
    what: str
    cure: str


@dataclass(frozen=True, slots=True)
class Health:
    """All that was found; ``repaired`` is what has been mended since, in words."""

    findings: tuple[Finding, ...]
    repaired: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        return not any(finding.damage for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        return {"sound": self.sound, **asdict(self)}


def examine(store: Store, *, today: date) -> Health:
    """Compare everything with the catalogue; changes nothing. ``today`` tells which dates lie ahead."""
    checks = (
        *(_catalogue(store), _words(store), _vectors(store)),
        *(_leftovers(store), _queue(store), _dates(store, today)),
    )
    return Health(tuple(finding for check in checks for finding in check))


def repair(store: Store, *, today: date, wait_s: float = 10.0) -> Health:
    """Build anew what is damaged and can be, and examine again; raises ``Busy`` while another one writes."""
    before = examine(store, today=today)
    with store.writer(wait_s=wait_s, anew=_is_damaged(_vectors(store))):
        if _is_damaged(_words(store)):
            store.catalogue.index_words_anew()
    after = examine(store, today=today)
    mended = tuple(finding.what for finding in before.findings if finding not in after.findings)
    return Health(after.findings, mended)


def _is_damaged(findings: Iterator[Finding]) -> bool:
    return any(finding.damage for finding in findings)


def _catalogue(store: Store) -> Iterator[Finding]:
    for fault in store.catalogue.faults():
        yield Finding(True, f"the catalogue is damaged ({fault})", "run kbqa restore BACKUP --replace")


def _words(store: Store) -> Iterator[Finding]:
    missing = store.catalogue.passages_without_words()
    if missing:
        yield Finding(True, f"{missing} passages cannot be found by their words", "run kbqa doctor --repair")


def _vectors(store: Store) -> Iterator[Finding]:
    try:
        missing, foreign, wrong = store.vectors.difference(store.catalogue.every_vector())
    except StorageError as error:
        yield Finding(True, error.message, "run kbqa doctor --repair")
        return
    for count, what in (
        (missing, "passages are missing from the vector index"),
        (wrong, "passages have another vector there than in the catalogue"),
    ):
        if count:
            yield Finding(True, f"{count} {what}", "run kbqa doctor --repair")
    if foreign:
        yield Finding(
            False, f"{foreign} vectors belong to no passage", "the next kbqa ingest clears them away"
        )


def _leftovers(store: Store) -> Iterator[Finding]:
    if dead := len(store.catalogue.dead_passages()):
        yield Finding(
            False, f"{dead} passages are left of an interrupted run", "the next ingestion clears them away"
        )


def _queue(store: Store) -> Iterator[Finding]:
    failed = state(store.catalogue).failed
    if failed:
        more = f" and {len(failed) - NAMED} more" if len(failed) > NAMED else ""
        named = ", ".join(f"{origin} ({error.rstrip('.')})" for origin, error in failed[:NAMED])
        yield Finding(
            False,
            f"the queue holds what could not be read: {named}{more}",
            "run kbqa enqueue with it again when it is mended, or kbqa enqueue --forget",
        )


def _dates(store: Store, today: date) -> Iterator[Finding]:
    documents = store.catalogue.documents()
    dated = [(s.id, day[:10]) for s in documents for day in (s.published, s.updated) if day]
    for what, found in (
        ("lies in the future", [f"{i} ({day})" for i, day in dated if day > today.isoformat()]),
        ("cannot be right", [f"{i} ({day})" for i, day in dated if day[:4] < OLDEST]),
    ):
        if found:
            more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
            yield Finding(
                False,
                f"the date of {', '.join(found[:NAMED])}{more} {what}",
                "correct it at the source and ingest again",
            )
