"""Questions to offer: taken from the documents, and asked before they are shown, so each has an answer.

What is found out holds for one generation of the library, and is found out when it is first needed, or
before that while nobody asks anything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING

from kb.errors import KBError
from kb.suggest import suggest
from kb.text import content_words
from kb.types import Answer, DocumentSummary

if TYPE_CHECKING:
    from kb.pipeline import KnowledgeBase

CANDIDATES = 200
DRAFTED_FROM = 20  # documents, the newest, where none asks a question of its own
TRIES = 4  # questions asked to find one that goes with another; a visitor is waiting
AHEAD = 50  # questions asked ahead of time
LULL_S = 3.0  # how often it is looked whether there is something to find out, and nobody asks


class Offers:
    """What may be offered of one knowledge base, to all visitors alike."""

    def __init__(self, kb: KnowledgeBase) -> None:
        # Whether the documents answer is seen without a chat model, which nobody has asked to pay for.
        self._kb = kb.without_model() if kb.info().get("model") else kb
        self._lock = threading.Lock()
        self._library: object = None
        self._candidates: list[str] = []
        self._answerable: dict[str, bool] = {}

    def unchecked(self, limit: int) -> list[str]:
        """What will most likely be offered: at once, and not to be shown."""
        return self._known()[:limit]

    def to_begin_with(self, limit: int) -> list[str]:
        """Answerable questions to begin with, one from each document before a second from any."""
        return list(islice(filter(self._answers, self._known()), limit))

    def to_go_on_with(self, answer: Answer, asked: Collection[str], limit: int) -> list[str]:
        """Answerable questions near to one that was asked: of the passages found, then of like words.

        A refusal is never the end: where none is near, any will do.
        """
        known = {question.casefold() for question in asked}
        near = [question for question in self._near(answer) if question.casefold() not in known]
        found = [question for question in near if self._answerable.get(question)][:limit]
        if not found:
            found = list(islice(filter(self._answers, near[:TRIES]), limit))
        if found or answer.status != "not_found":
            return found
        return [q for q in self.to_begin_with(limit + len(known)) if q.casefold() not in known][:limit]

    def ask_ahead(self, busy: Callable[[], bool], stop: threading.Event) -> None:
        """Until told to stop, ask what may be offered, anew for each library, while nobody else asks."""
        while not stop.wait(LULL_S):
            with suppress(KBError):  # a server that is away now will be there again
                for question in self._known()[:AHEAD]:
                    if stop.is_set() or busy():
                        break
                    self._answers(question)

    def _near(self, answer: Answer) -> Iterator[str]:
        sections = (hit.passage.section or "" for hit in answer.hits)
        found = dict.fromkeys(section for section in sections if section.rstrip().endswith("?"))
        stems = {word.stem for word in content_words(answer.question)}
        alike = {q: len(stems & {word.stem for word in content_words(q)}) for q in self._known()}
        yield from found
        yield from sorted((q for q in alike if alike[q] and q not in found), key=lambda q: -alike[q])

    def _known(self) -> list[str]:
        info = self._kb.info()
        library = info.get("generation"), info["documents"]
        with self._lock:
            if self._library != library:
                self._library, self._answerable = library, {}
                self._candidates = self._kb.key_questions(CANDIDATES) or self._drafted()
            return self._candidates

    def _drafted(self) -> list[str]:
        newest = sorted(self._kb.documents(), key=lambda d: d.published or "", reverse=True)
        few = _Few(self._kb, newest[:DRAFTED_FROM])
        return [row["question"] for row in suggest(few, CANDIDATES)]

    def _answers(self, question: str) -> bool:
        answerable = self._answerable  # of this library: another one may take its place meanwhile
        if question not in answerable:
            try:
                answerable[question] = self._kb.ask(question).status == "answered"
            except KBError:  # the visitor's own question will tell what is wrong
                return False
        return answerable[question]


class _Few:
    """Some documents of a knowledge base, to draft questions from."""

    def __init__(self, kb: KnowledgeBase, documents: Sequence[DocumentSummary]) -> None:
        self._documents = list(documents)
        self.document = kb.document

    def documents(self) -> list[DocumentSummary]:
        return self._documents
