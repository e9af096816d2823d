"""A knowledge base that behaves, without models: three documents, answered by shared words.

It has the interface of ``kb.pipeline.KnowledgeBase`` and keeps its promises (quotes are slices, a refusal
shows the closest passages, a follow-up is understood from the question before it).
"""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import Any

from kb.errors import KBError, NoSuchDocument
from kb.holdings import Holding, holdings
from kb.settings import Settings
from kb.types import (
    Answer,
    CheckReport,
    Citation,
    Document,
    DocumentSummary,
    Filters,
    Hit,
    Judgement,
    Passage,
    Section,
    Sentence,
    Source,
    Turn,
    Verdict,
)

HARBOUR = """The harbour bridge

The old bridge

The harbour bridge was closed to lorries on 3 March 2026. Engineers had found cracks in two of its piers.

The repair is expected to cost 41 million euros. The city council voted for it by 31 votes to 12.

The new ferry

Until the bridge is open again, a ferry carries lorries across the harbour every twenty minutes.
It runs from five in the morning until midnight."""

ORCHARD = """Orchards after the late frost

Growers in the valley lost about 60 percent of their apple blossom to the frost of 21 April 2026.
The growers' association speaks of the worst spring since 1991.

Key Questions

Why was the frost so harmful?

The trees had flowered two weeks early after a warm March, so the frost met open blossom."""

ODD = """Notes on <b>markup</b> & formulas

A price of $5 {{not a template}} ${neither} stays: **no bold**, [no link](https://example.org), $x^2$.

The sign <script>document.title = "taken"</script> was photographed in the harbour museum [1]."""


def document(id: str, title: str, text: str, headings: Sequence[tuple[str, int]], **known: Any) -> Document:
    sections = tuple(Section(title, level, text.index(f"{title}\n")) for title, level in headings)
    return Document(id, f"/library/{id}", title, text, "text/plain", "0" * 64, sections=sections, **known)


DOCUMENTS = (
    document(
        "harbour-bridge.md",
        "The harbour bridge",
        HARBOUR,
        [("The harbour bridge", 1), ("The old bridge", 2), ("The new ferry", 2)],
        publisher="The Quay",
        author="Ada Lund",
        published="2026-04-28",
        url="https://quay.example/bridge?a=1&b=2",
    ),
    document(
        "orchards.md",
        "Orchards after the late frost",
        ORCHARD,
        [("Orchards after the late frost", 1), ("Key Questions", 2), ("Why was the frost so harmful?", 3)],
        publisher="Valley Post",
        published="2026-05",
    ),
    document(
        "odd <i>name</i> & 'quotes'.txt",
        "Notes on <b>markup</b> & formulas",
        ODD,
        [],
        author='"A" <img src=x onerror=alert(1)>',
        url="javascript:alert(1)",
    ),
)
STOP = set(re.findall(r"\w+", "the a of is was will to in and it for on what how why did do when who"))


def words(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower())) - STOP


class FakeLibrary:
    """Answers with the sentences that share at least half of the question's words."""

    def __init__(self, documents: Sequence[Document] = DOCUMENTS, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self._documents = {d.id: d for d in documents}
        self.asked: list[tuple[str, tuple[Turn, ...]]] = []
        self.closed = False

    def __enter__(self) -> FakeLibrary:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def ask(
        self,
        question: str,
        *,
        filters: Filters = Filters(),
        history: Sequence[Turn] = (),
        top: int | None = None,
    ) -> Answer:
        self.asked.append((question, tuple(history)))
        if not question.strip():
            return Answer(question, "error", error="The question is empty: type one.")
        if "explode" in question:
            raise RuntimeError("secret detail")
        if "unreadable" in question:
            raise KBError("the catalogue cannot be read", "run kbqa doctor")
        wanted = words(question)
        if len(wanted) < 3 and history:
            wanted |= words(history[-2].content)
        hits = self.search(" ".join(wanted), filters=filters)
        cited = [(h, s, e) for h in hits for s, e in self._sentences(h.passage, wanted)][:3]
        if not cited:
            return Answer(question, "not_found", hits=hits, confidence=0.8)
        return self._answer(question, cited, hits)

    def for_lists(self) -> FakeLibrary:
        return self

    def stream(self, question: str, *, history: Sequence[Turn] = ()) -> Iterator[Answer]:
        yield self.ask(question, history=history)

    def search(self, query: str, *, filters: Filters = Filters(), top: int | None = None) -> tuple[Hit, ...]:
        wanted = words(query)
        scored = []
        for d in self._documents.values():
            if filters.document_ids and d.id not in filters.document_ids:
                continue
            for ordinal, line in enumerate(re.finditer(r"[^\n]+(?:\n[^\n]+)*", d.text)):
                score = len(wanted & words(line.group())) / max(1, len(wanted))
                passage = Passage(
                    d.id, ordinal, line.start(), line.end(), line.group(), self._section(d, line.start())
                )
                scored.append(
                    Hit(passage, Source(d.title, d.publisher, d.author, d.published, d.url), score, 0)
                )
        scored.sort(key=lambda hit: -hit.score)
        return tuple(replace(hit, rank=rank) for rank, hit in enumerate(scored[: top or 10], 1))

    def check(self, text: str, *, filters: Filters = Filters()) -> CheckReport:
        return CheckReport(text, tuple(self.verdicts(text, filters=filters)), 0.01)

    def verdicts(self, text: str, *, filters: Filters = Filters()) -> Iterator[Verdict]:
        """A sentence with another number than the nearest one is contradicted."""
        for found in re.finditer(r"\S[^.!?\n]*[.!?]?", text):
            claim, (start, end) = found.group(), found.span()
            if claim.endswith("?"):
                why = "This is a question, not a claim; it was not checked."
                yield Verdict(claim, start, end, "not_found", 1.0, why, kind="question")
                continue
            answer = self.ask(claim, filters=filters)
            if answer.status != "answered":
                yield Verdict(claim, start, end, "not_found", 0.5, "Nothing speaks of it.")
                continue
            same = set(re.findall(r"\d+", claim)) <= set(re.findall(r"\d+", answer.text))
            verdict: Judgement = "supported" if same else "contradicted"
            why = "The source says so." if same else "The source has another number."
            yield Verdict(claim, start, end, verdict, 0.9, why, answer.citations)

    def documents(self) -> list[DocumentSummary]:
        return [
            DocumentSummary(
                d.id,
                d.title,
                d.publisher,
                d.author,
                d.published,
                d.url,
                d.media_type,
                len(d.text),
                4,
                "0" * 64,
            )
            for d in self._documents.values()
        ]

    def document(self, id: str) -> Document:
        if id not in self._documents:
            raise NoSuchDocument(f"there is no document {id!r}", "kbqa documents lists them")
        return self._documents[id]

    def passages(self, id: str) -> list[Passage]:
        return [hit.passage for hit in self.search("", filters=Filters(document_ids=(id,)), top=1_000)]

    def holdings(self) -> list[Holding]:
        texts = [(d.id, d.text) for d in self._documents.values()]
        return holdings(self.documents(), texts, date(2026, 6, 1))

    def change(self, changed: Document) -> None:
        self._documents[changed.id] = changed

    def remove(self, ids: Sequence[str]) -> int:
        return sum(self._documents.pop(id, None) is not None for id in ids)

    def info(self) -> dict[str, Any]:
        return {"documents": len(self._documents), "newest": "2026-05-12" if self._documents else None}

    def key_questions(self, limit: int = 5) -> list[str]:
        found = [s.title for d in self._documents.values() for s in d.sections if s.is_question]
        return ["What will the repair of the harbour bridge cost?", *found][:limit] if found else []

    def _section(self, d: Document, offset: int) -> str | None:
        passed = [s.title for s in d.sections if s.start <= offset]
        return passed[-1] if passed else None

    def _sentences(self, passage: Passage, wanted: set[str]) -> list[tuple[int, int]]:
        spans = [m.span() for m in re.finditer(r"[^.\n][^\n]*?[.](?=\s|$)", passage.text)]
        need = max(2, len(wanted) / 2)
        return [
            (passage.start + s, passage.start + e)
            for s, e in spans
            if len(wanted & words(passage.text[s:e])) >= need
        ]

    def _answer(self, question: str, cited: Sequence[tuple[Hit, int, int]], hits: tuple[Hit, ...]) -> Answer:
        text, sentences, citations = "", [], []
        for n, (hit, start, end) in enumerate(cited, 1):
            d = self._documents[hit.passage.document_id]
            quote, begin = d.text[start:end], len(text) + bool(text)
            text = f"{text} {quote} [{n}]".strip()
            sentences.append(Sentence(quote, begin, begin + len(quote), (n,), "verbatim"))
            citations.append(
                Citation(
                    n,
                    d.id,
                    d.title,
                    d.publisher,
                    d.author,
                    d.published,
                    d.url,
                    hit.passage.section,
                    None,
                    start,
                    end,
                    quote,
                )
            )
        return Answer(question, "answered", text, tuple(sentences), tuple(citations), hits, 0.9, seconds=0.01)


@contextmanager
def serving(kb: Any) -> Iterator[str]:
    """The web app over ``kb`` on a free port of this machine: its address."""
    import uvicorn

    import app

    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app.build_server(kb), log_level="warning", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started and time.monotonic() < deadline:
        time.sleep(0.01)
    assert server.started
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=10)
