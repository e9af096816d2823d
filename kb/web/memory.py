"""Answers that were given before, while the library is the same: a crowd asks much the same things.

Without a chat model the same question to the same library has the same answer, so nothing is lost by not
looking again. A question that somebody else is having answered just now is waited for instead of answered
twice, and new ones take turns, so that the first in line is not kept by the last. One that was stopped before
its turn came gives it up.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any

from kb import phrases
from kb.types import Answer
from kb.web.desk import stopped

if TYPE_CHECKING:
    from kb.pipeline import KnowledgeBase

KEPT = 2_000
TURNS = 2  # new questions at the same moment: one reads with all cores while the other looks things up


def remembering(kb: KnowledgeBase) -> KnowledgeBase:
    """The knowledge base with a memory of its answers; the same one where a chat model words them anew."""
    return kb if kb.info().get("model") else _Remembering(kb)  # type: ignore[return-value]


class _Remembering:
    takes_turns = True  # see ``kb.web.desk.passing``

    def __init__(self, kb: KnowledgeBase) -> None:
        self._kb = kb
        self._answers: OrderedDict[bytes, Answer] = OrderedDict()
        self._asking: dict[bytes, threading.Lock] = {}
        self._lock = threading.Lock()
        self._turns = threading.Semaphore(TURNS)

    @property
    def busy(self) -> bool:
        """Whether a question is being answered that was not asked before."""
        return bool(self._asking)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kb, name)

    def ask(self, question: str, **options: Any) -> Answer:
        began = time.perf_counter()
        # Also of one day: "last week" means another one tomorrow.
        given = sorted((name, value) for name, value in options.items() if value)
        asked = repr((self._kb.store.catalogue.generation(), date.today(), question, given))
        key = hashlib.sha256(asked.encode("utf-8", "replace")).digest()  # a conversation may be long

        def work() -> Answer:
            if stopped():
                return Answer(question, "error", error=phrases.STOPPED)
            return self._kb.ask(question, **options)

        answer = self._known(key) or self._once(key, work)
        return replace(answer, seconds=time.perf_counter() - began)

    def stream(self, question: str, **options: Any) -> Iterator[Answer]:
        yield self.ask(question, **options)

    def _once(self, key: bytes, work: Callable[[], Answer]) -> Answer:
        with self._lock:
            turn = self._asking.setdefault(key, threading.Lock())
        with turn:
            try:
                if (answer := self._known(key)) is None:
                    with self._turns:
                        answer = work()
                    if answer.status != "error":
                        self._remember(key, answer)
                return answer
            finally:
                with self._lock:
                    self._asking.pop(key, None)

    def _known(self, key: bytes) -> Answer | None:
        with self._lock:
            if key in self._answers:
                self._answers.move_to_end(key)
            return self._answers.get(key)

    def _remember(self, key: bytes, answer: Answer) -> None:
        with self._lock:
            self._answers[key] = answer
            while len(self._answers) > KEPT:
                self._answers.popitem(last=False)
