"""A knowledge base beside a dictionary: whatever is done to it, in whatever order, they hold the same.

The steps add, change and remove files, ingest them, end the process at any point of a write, open it again,
lose or rebuild the vector index. 5,000 steps are taken with a plain index in the place of Chroma, which is
slow to open, and some with Chroma itself. ``STEPS=50000 pytest tests/test_machine.py`` takes that many.
"""

from __future__ import annotations

import os
import pickle
import shutil
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ingest import load, sync
from ingest.sync import ingest
from kb.catalogue import Catalogue
from kb.editions import are_copies, runs
from kb.errors import StorageError
from kb.settings import Settings
from kb.store import Store
from kb.vectors import FOLDER_NAME, VectorIndex, _Shard

STEPS = int(os.environ.get("STEPS", "5000"))
STEPS_EACH = 50
CHROMA_STEPS = 100
NAMES = st.sampled_from(["a.txt", "b.txt", "c.txt", "d.jsonl"])
MOMENTS = st.sampled_from(
    [(Catalogue, "stage"), (VectorIndex, "add"), (Catalogue, "publish"), (VectorIndex, "delete"),
     (Catalogue, "purge"), (Catalogue, "retire"), (VectorIndex, "rebuild")]
)  # fmt: skip


class Killed(BaseException):
    """Stands for the end of the process: no ``except Exception`` may hold it up."""


_runs = lru_cache(maxsize=None)(runs)


class Collection:
    """What ``VectorIndex`` needs of Chroma, kept in a file that is written with every change."""

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(exist_ok=True)
        self.file = file
        self.rows: dict[str, Any] = pickle.loads(file.read_bytes()) if file.exists() else {}

    def _keep(self) -> None:
        self.file.write_bytes(pickle.dumps(self.rows))

    def upsert(self, ids: list[str], embeddings: Any) -> None:
        self.rows.update(zip(ids, embeddings, strict=True))
        self._keep()

    def delete(self, ids: list[str]) -> None:
        for key in ids:
            self.rows.pop(key, None)
        self._keep()

    def count(self) -> int:
        return len(self.rows)

    def get(self, ids: list[str], include: list[str]) -> dict[str, Any]:
        found = [key for key in ids if key in self.rows]
        return {"ids": found, "embeddings": np.array([self.rows[key] for key in found])}


def open_plainly(index: VectorIndex, *, create: bool = True) -> Any:
    if not index._shards:
        index._opened = index._identity()
        if not create and index._opened is None:
            raise StorageError("the vector index is gone", "repair it")
        index._shards = [_Shard(0, Collection(index.folder / "vectors"))]  # type: ignore[arg-type]
    return index._shards


class Library(RuleBasedStateMachine):
    """``files`` is what lies in the folder, ``held`` what the knowledge base must hold, by document id."""

    chroma = False

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")  # where there is a folder in memory: it is about the order of writes
        self.root = Path(tempfile.mkdtemp(dir=memory if os.access(memory, os.W_OK) else None))
        self.news, self.kb = self.root / "news", self.root / "kb"
        self.news.mkdir()
        self.files: dict[str, dict[str, str]] = {}
        self.held: dict[str, str] = {}
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(
            sync, "parse", load.parse
        )  # what a child would do; its dangers are tested elsewhere
        if not self.chroma:
            self.patch.setattr(VectorIndex, "_open", open_plainly)
        self.store = self.opened()

    def opened(self) -> Store:
        return Store.open(self.kb, Settings(kb=self.kb, embedder="hash"), create=True)

    def teardown(self) -> None:
        self.store.close()
        self.patch.undo()
        shutil.rmtree(self.root)

    @rule(name=NAMES, number=st.integers(0, 5), rows=st.integers(1, 3))
    def write(self, name: str, number: int, rows: int) -> None:
        """A file of one text, or of some records; its length changes with the number."""
        # Of the same number, copies of each other.
        rain = " ".join(f"It rained for {day} days." for day in range(15 * number))
        texts = [f"Text {n} of {name}. {rain}" for n in range(rows)]
        if name.endswith("jsonl"):
            lines = [f'{{"id": "r{n}", "text": "{text}"}}\n' for n, text in enumerate(texts)]
            (self.news / name).write_text("".join(lines))
            self.files[name] = {f"r{n}": text.strip() for n, text in enumerate(texts)}
        else:
            (self.news / name).write_text(texts[0])
            self.files[name] = {name: texts[0].strip()}

    @precondition(lambda self: self.files)
    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        (self.news / name).unlink(missing_ok=True)
        self.files.pop(name, None)

    @rule()
    def take_in(self) -> None:
        report = ingest([str(self.news)], self.store, prune=True)
        assert report.failed == ()
        self.held = {i: text for documents in self.files.values() for i, text in documents.items()}
        self.assert_every_vector_and_no_other()
        self.assert_copies_are_linked()

    @rule(moment=MOMENTS, after=st.booleans())
    def take_in_and_be_killed(self, moment: tuple[type, str], after: bool) -> None:
        wanted = {i: text for documents in self.files.values() for i, text in documents.items()}
        owner, method = moment
        original = getattr(owner, method)

        def step(this: object, *rest: object, **more: object) -> None:
            if after:
                original(this, *rest, **more)
            raise Killed

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(owner, method, step)
            with suppress(Killed):
                ingest([str(self.news)], self.store, prune=True)
        self.open_again()
        there = self.contents()
        assert all(there.get(i) in (self.held.get(i), wanted.get(i)) for i in {*self.held, *wanted, *there})
        self.held = there

    @rule()
    def open_again(self) -> None:
        self.store.close()
        self.store = self.opened()

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        document_id = data.draw(st.sampled_from(sorted(self.held)))
        with self.store.writer() as writer:
            assert writer.remove([document_id]) == 1
        del self.held[document_id]
        self.assert_every_vector_and_no_other()
        self.assert_copies_are_linked()

    @rule(lost=st.booleans())
    def rebuild(self, lost: bool) -> None:
        if lost:
            self.store.close()
            shutil.rmtree(self.kb / FOLDER_NAME, ignore_errors=True)
        with self.store.writer() as writer:
            writer.rebuild_vectors()
        self.assert_every_vector_and_no_other()

    def contents(self) -> dict[str, str]:
        catalogue = self.store.catalogue
        return {summary.id: catalogue.document(summary.id).text for summary in catalogue.documents()}

    @invariant()
    def holds_what_it_must(self) -> None:
        assert self.contents() == self.held

    @invariant()
    def passages_are_the_text(self) -> None:
        for document_id, text in self.held.items():
            passages = self.store.catalogue.neighbours(document_id, 0, 999)
            assert [p.text for p in passages] == [text[p.start : p.end] for p in passages]
            assert "".join("".join(p.text for p in passages).split()) == "".join(text.split())

    def assert_copies_are_linked(self) -> None:
        found = {document_id: _runs(text) for document_id, text in self.held.items()}
        for summary in self.store.catalogue.documents():
            family, left = {summary.id}, set(found)
            while near := {i for i in left if any(are_copies(found[i], found[j]) for j in family)} - family:
                family |= near
            assert set(summary.copies) == family - {summary.id}

    def assert_every_vector_and_no_other(self) -> None:
        assert self.store.vectors.difference(self.store.catalogue.every_vector()) == (0, 0, 0)


class ChromaLibrary(Library):
    chroma = True


def _steps(count: int) -> settings:
    return settings(
        max_examples=max(1, count // STEPS_EACH),
        stateful_step_count=STEPS_EACH,
        deadline=None,
        derandomize="STEPS" not in os.environ,
        suppress_health_check=list(HealthCheck),
    )


TestLibrary = Library.TestCase
TestLibrary.settings = _steps(STEPS)
TestChromaLibrary = ChromaLibrary.TestCase
TestChromaLibrary.settings = _steps(CHROMA_STEPS)
