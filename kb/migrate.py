"""A knowledge base moved to other engines, without reading or embedding anything again.

Everything live is copied in one step, with its keys, so that questions find the same passages in the same
order; then both sides are hashed, and the vector index is built and compared.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from kb.catalogue import TABLES
from kb.errors import StorageError, UsageError
from kb.settings import Settings
from kb.store import Store

_OWN = ("schema", "generation", "edition", "collection", "collection.new")
"""What a catalogue notes of itself, not of its documents."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What was moved; ``checksum`` is of everything live, the same on both sides."""

    documents: int
    passages: int
    checksum: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def target_settings(settings: Settings, to: str, vectors: str | None) -> Settings:
    """The settings under which the moved knowledge base is used: a folder or ``postgresql://`` address."""
    if to.startswith(("postgresql://", "postgres://")):
        return replace(settings, catalogue=to, vectors=settings.vectors if vectors is None else vectors)
    return replace(settings, kb=Path(to), catalogue="", vectors=vectors or "")


def migrate(source: Store, settings: Settings) -> Moved:
    """Copy a knowledge base to where ``settings`` say; what is there must be empty, and the source stays.

    Nobody can write to the source meanwhile. Raises ``UsageError`` for a target that holds documents, and
    ``StorageError`` if it is not the same in the end.
    """
    with Store.open(settings.kb, settings, create=True, embedder=source.embedder) as target:
        if target.catalogue.counts()[0]:
            raise UsageError("the target holds documents already", "name another one, or empty it")
        with source.writer(wait_s=10):
            meta = {k: v for k, v in source.catalogue.meta().items() if k not in _OWN}
            rows = ((table, source.catalogue.rows_of(table)) for table in TABLES)
            target.catalogue.fill(rows, meta)
            checksum = source.catalogue.checksum()
        source.vectors.close()  # where only the catalogue moves, the folder of the index stays
        with target.writer(wait_s=10, anew=True):
            pass
        if target.catalogue.checksum() != checksum:
            raise StorageError("the copy is not the same as the original", "empty the target and try again")
        if any(target.vectors.difference(target.catalogue.every_vector())):
            raise StorageError(
                "the vector index of the copy is not whole", "run `kbqa doctor --repair` there"
            )
        return Moved(*target.catalogue.counts(), checksum)
