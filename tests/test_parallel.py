"""Fifty threads ask one knowledge base: the answers are the same, and nobody waits at a lock."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from kb.pipeline import KnowledgeBase
from kb.reader import Marks, Page

THREADS = 50


@pytest.fixture
def asked(library: KnowledgeBase) -> list[str]:
    library.ask("Is everything there?")  # loads the models
    titles = [document.title for document in library.documents()]
    return [f"What does {titles[n % len(titles)]} say in line {n}?" for n in range(THREADS)]


def spy(library: KnowledgeBase, monkeypatch: pytest.MonkeyPatch, meet: threading.Barrier | None) -> None:
    """The reader is replaced by one that marks nothing, and first waits until all have come, if so told."""

    def read(question: str, pages: Sequence[Page]) -> list[Marks]:
        if meet:
            meet.wait()
        nothing = np.zeros(0)
        return [Marks(np.zeros((0, 2), np.int64), nothing, nothing) for _ in pages]

    monkeypatch.setattr(library, "senses", replace(library.senses, read=read))


def test_all_can_read_at_once(
    library: KnowledgeBase, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spy(library, monkeypatch, None)
    one_by_one = [library.ask(question).to_dict() for question in asked]
    # With a lock around the reader, the first one would wait there for the others until the time is up.
    spy(library, monkeypatch, threading.Barrier(THREADS, timeout=60))
    with ThreadPoolExecutor(THREADS) as pool:
        at_once = [answer.to_dict() for answer in pool.map(library.ask, asked)]
    for answer in (*one_by_one, *at_once):
        del answer["seconds"]
    assert at_once == one_by_one
