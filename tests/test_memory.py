"""Answers that were given before: the same ones, until the library is another."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from fake_library import FakeLibrary

from kb.types import Answer, Filters, Turn
from kb.web import memory
from kb.web.desk import at_once
from kb.web.memory import remembering

COST = "What will the repair of the harbour bridge cost?"


class Counted(FakeLibrary):
    """Has a generation, and answers slowly where a gate is shut."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.gate = threading.Event()
        self.gate.set()
        self.store = SimpleNamespace(catalogue=SimpleNamespace(generation=lambda: self.now))

    def ask(self, question: str, **options: Any) -> Answer:
        self.gate.wait(10)
        return super().ask(question, **options)


def test_the_same_question_is_answered_once_for_each_state_of_the_library() -> None:
    fake = Counted()
    kb: Any = remembering(fake)  # type: ignore[arg-type]
    first = kb.ask(COST)
    assert replace(kb.ask(COST), seconds=0) == replace(first, seconds=0)
    assert len(fake.asked) == 1
    (streamed,) = kb.stream(COST, history=())
    assert streamed.text == first.text
    assert len(fake.asked) == 1
    kb.ask(COST, filters=Filters(document_ids=("orchards.md",)))
    kb.ask(COST, history=[Turn("user", "And the ferry?"), Turn("assistant", "It runs.")])
    kb.ask(COST, history=[Turn("user", "And the ferry?"), Turn("assistant", "It runs.")])
    assert len(fake.asked) == 3
    fake.now += 1
    kb.ask(COST)
    assert len(fake.asked) == 4
    assert kb.documents() == fake.documents()


def test_what_went_wrong_is_tried_again() -> None:
    fake = Counted()
    kb: Any = remembering(fake)  # type: ignore[arg-type]
    assert [kb.ask(" ").status, kb.ask(" ").status] == ["error", "error"]
    assert len(fake.asked) == 2


def test_many_who_ask_the_same_at_once_wait_for_one_answer() -> None:
    fake = Counted()
    fake.gate.clear()
    kb: Any = remembering(fake)  # type: ignore[arg-type]
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(kb.ask, COST) for _ in range(8)]
        fake.gate.set()
        assert len({one.result().text for one in asked}) == 1
    assert len(fake.asked) == 1


def test_who_asks_what_is_remembered_waits_for_nobody() -> None:
    fake = Counted()
    kb: Any = remembering(fake)  # type: ignore[arg-type]
    kb.ask(COST)
    fake.gate.clear()
    with ThreadPoolExecutor(8) as pool:
        new = [pool.submit(kb.ask, f"And {n}?") for n in range(8)]
        assert kb.ask(COST).status == "answered"
        assert kb.busy
        fake.gate.set()
        assert all(one.result() for one in new)
    assert not kb.busy


def test_new_questions_take_turns(monkeypatch: Any) -> None:
    monkeypatch.setattr(memory, "TURNS", 2)
    at_work: list[int] = []

    class Watched(Counted):
        inside = 0
        lock = threading.Lock()

        def ask(self, question: str, **options: Any) -> Answer:
            with self.lock:
                self.inside += 1
                at_work.append(self.inside)
            time.sleep(0.01)
            with self.lock:
                self.inside -= 1
            return super().ask(question, **options)

    kb: Any = remembering(Watched())  # type: ignore[arg-type]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(kb.ask, (f"And {n}?" for n in range(8))))
    assert len(at_work) == 8
    assert max(at_work) == 2


def test_a_question_that_is_stopped_before_its_turn_gives_it_up(monkeypatch: Any) -> None:
    monkeypatch.setattr(memory, "TURNS", 1)
    begun = threading.Event()

    class Watched(Counted):
        def ask(self, question: str, **options: Any) -> Answer:
            begun.set()
            return super().ask(question, **options)

    fake = Watched()
    fake.gate.clear()
    kb: Any = remembering(fake)  # type: ignore[arg-type]
    asking = at_once(kb.stream)

    async def answers(question: str) -> list[Answer]:
        return [answer async for answer in asking(question)]

    async def one_is_stopped() -> list[Answer]:
        first = asyncio.create_task(answers("One?"))
        await asyncio.to_thread(begun.wait, 10)
        waiting = [asyncio.create_task(answers(question)) for question in ("Two?", "Three?")]
        await asyncio.sleep(0.2)  # until both wait for their turn
        waiting[0].cancel()
        await asyncio.wait(waiting[:1])
        fake.gate.set()
        return [*await first, *await waiting[1]]

    assert [answer.question for answer in asyncio.run(one_is_stopped())] == ["One?", "Three?"]
    assert [question for question, _ in fake.asked] == ["One?", "Three?"]
    assert kb.ask("Two?").status == "not_found"  # and is asked when somebody wants to know


def test_the_memory_is_bounded(monkeypatch: Any) -> None:
    monkeypatch.setattr(memory, "KEPT", 2)
    fake = Counted()
    kb: Any = remembering(fake)  # type: ignore[arg-type]
    for question in ("One?", "Two?", "One?", "Three?", "One?"):
        kb.ask(question)
    assert [question for question, _ in fake.asked] == ["One?", "Two?", "Three?"]
    kb.ask("Two?")
    assert len(fake.asked) == 4


def test_a_chat_model_words_every_answer_anew() -> None:
    class Worded(Counted):
        def info(self) -> dict[str, Any]:
            return {**super().info(), "model": "openai:some"}

    fake = Worded()
    assert remembering(fake) is fake  # type: ignore[comparison-overlap, arg-type]
