"""The nouns of kbqa, in the order in which they come about.

    Document -> Passage -> Hit -> Citation -> Sentence -> Answer
                                  Citation -> Verdict -> CheckReport

Standard library only. Every type is frozen; a later step returns a new value instead of filling one
in. Offsets are half-open and count characters of ``Document.text`` (of the answer for ``Sentence``, of
the checked text for ``Verdict``). ``to_dict()`` gives the JSON that scripts and spreadsheets rely on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Status = Literal["answered", "not_found", "error"]
Support = Literal["verbatim", "supported", "unsupported", "conflict"]
Judgement = Literal["supported", "contradicted", "not_found"]
ClaimKind = Literal["claim", "opinion", "question", "instruction", "heading"]

EXTRACTIVE = "extractive"


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and where its part of the text begins (the heading line itself is text too)."""

    title: str
    level: int
    start: int

    @property
    def is_question(self) -> bool:
        """Whether this is an entry of a FAQ: the question is the heading, the answer its body."""
        return self.title.rstrip().endswith("?")


@dataclass(frozen=True, slots=True)
class Document:
    """One article, page or record, as it was read: ``text`` is what every offset counts in.

    ``id`` is readable and stable: the path relative to what was ingested, the URL, or the record's
    own id. ``source`` says where it was read from (an absolute path, a URL, or ``file#row``).
    ``published`` is an ISO date (``2026-04-28``) or date-time; optional text is ``None`` when unknown,
    never empty. ``page_starts`` holds the offset at which each page begins (PDF only).

    ``updated`` is when it was last changed, if that is later; ``correction`` is the notice in the text that
    something was corrected; ``copies`` are the ids of the other documents with nearly the same text, as the
    knowledge base found them.
    """

    id: str
    source: str
    title: str
    text: str
    media_type: str
    content_hash: str
    author: str | None = None
    publisher: str | None = None
    published: str | None = None
    url: str | None = None
    language: str | None = None
    sections: tuple[Section, ...] = ()
    page_starts: tuple[int, ...] = ()
    retrieved_at: str | None = None
    updated: str | None = None
    correction: str | None = None
    copies: tuple[str, ...] = ()

    def page_at(self, offset: int) -> int | None:
        """The page, counted from 1, that holds the character at ``offset``."""
        return sum(start <= offset for start in self.page_starts) or None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class DocumentSummary:
    """What a list of documents shows: everything but the text."""

    id: str
    title: str
    publisher: str | None
    author: str | None
    published: str | None
    url: str | None
    media_type: str
    characters: int
    passages: int
    content_hash: str
    updated: str | None = None
    correction: str | None = None
    copies: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Passage:
    """A run of whole sentences of one document: ``text == document.text[start:end]``.

    The passages of a document are in order, do not overlap, and miss nothing but white space.
    """

    document_id: str
    ordinal: int
    start: int
    end: int
    text: str
    section: str | None = None
    page: int | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """What is said about a document wherever it is cited."""

    title: str
    publisher: str | None = None
    author: str | None = None
    published: str | None = None
    url: str | None = None
    updated: str | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage found for a question.

    ``score`` is in 0...1, higher is better, and orders the hits. ``dense`` is the cosine similarity of
    passage and question, ``lexical`` the share of the question's words, weighted by rarity, that the
    passage holds; either is ``None`` where that search did not return the passage. ``copies`` are the other
    documents that say the same in nearly the same words; they are no hits of their own.
    """

    passage: Passage
    source: Source
    score: float
    rank: int
    dense: float | None = None
    lexical: float | None = None
    copies: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "rank": self.rank,
            "score": round(self.score, 4),
            "document_id": self.passage.document_id,
            "title": self.source.title,
            "publisher": self.source.publisher,
            "author": self.source.author,
            "published": self.source.published,
            "url": self.source.url,
            "section": self.passage.section,
            "page": self.passage.page,
            "start": self.passage.start,
            "end": self.passage.end,
            "text": self.passage.text,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Hit:
        """The hit that ``to_dict`` gave, but for what that leaves out (ordinal, dense, …)."""
        place = {name: value[name] for name in ("document_id", "start", "end", "text", "section", "page")}
        about = {name: value[name] for name in ("title", "publisher", "author", "published", "url")}
        return cls(Passage(ordinal=0, **place), Source(**about), value["score"], value["rank"])


@dataclass(frozen=True, slots=True)
class Citation:
    """Evidence with an address: ``quote == document.text[start:end]``, always cut by code.

    ``correction`` is the notice in the document that something in it was corrected, if it has one.
    """

    n: int
    document_id: str
    title: str
    publisher: str | None
    author: str | None
    published: str | None
    url: str | None
    section: str | None
    page: int | None
    start: int
    end: int
    quote: str
    correction: str | None = None
    updated: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of an answer; ``start`` and ``end`` are offsets in ``Answer.text``."""

    text: str
    start: int
    end: int
    citations: tuple[int, ...]
    support: Support

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "citations": list(self.citations)}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Sentence:
        return cls(**{**value, "citations": tuple(value["citations"])})


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer took of a chat model: ``Answer.usage``.

    ``input_tokens`` and ``output_tokens`` were read and written, as far as the model tells (else 0).
    ``cost`` is in US dollars at list prices, ``None`` where the prices or the tokens are not known. A reply
    that was remembered took no call and cost nothing.
    """

    calls: int = 1
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None

    def __add__(self, other: Usage) -> Usage:
        unknown = self.cost is None or other.cost is None
        return Usage(
            self.calls + other.calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            None if unknown else (self.cost or 0.0) + (other.cost or 0.0),
        )

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


NOTHING_USED = Usage(calls=0, cost=0.0)


@dataclass(frozen=True, slots=True)
class Found:
    """A passage that a step found or gave to a model, by its place."""

    document_id: str
    title: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was done on the way to an answer: ``Answer.trace`` has them in their order.

    ``question``: how a follow-up was understood, in ``text``. ``search``: what was searched for, in ``text``,
    and the passages that were found, best first, in ``found``. ``model``: a chat model was asked; ``text``
    says for what and with what outcome, ``found`` are the passages that it was given.
    """

    kind: Literal["question", "search", "model"]
    text: str
    found: tuple[Found, ...] = ()
    usage: Usage | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "text": self.text,
            "found": [asdict(place) for place in self.found],
            "usage": self.usage.to_dict() if self.usage else None,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Step:
        found = tuple(Found(**place) for place in value["found"])
        return cls(value["kind"], value["text"], found, Usage(**value["usage"]) if value["usage"] else None)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, a refusal or a failure; every ``[n]`` in ``text`` is the ``n`` of a citation.

    ``not_found`` has no text and no citations, but its hits show the closest passages.
    ``confidence`` is in 0...1: that the answer is right or, for ``not_found``, that there is none.
    ``usage`` (calls, tokens, cost) is there if a chat model was asked. ``trace`` tells what was searched for
    and asked on the way. ``differences`` are values on which sources do not agree.
    """

    question: str
    status: Status
    text: str = ""
    sentences: tuple[Sentence, ...] = ()
    citations: tuple[Citation, ...] = ()
    hits: tuple[Hit, ...] = ()
    confidence: float = 0.0
    notices: tuple[str, ...] = ()
    model: str = EXTRACTIVE
    seconds: float = 0.0
    error: str | None = None
    usage: Usage | None = None
    trace: tuple[Step, ...] = ()
    differences: tuple[Difference, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "question": self.question,
            "status": self.status,
            "answer": self.text,
            "sentences": [s.to_dict() for s in self.sentences],
            "citations": [c.to_dict() for c in self.citations],
            "passages": [h.to_dict() for h in self.hits],
            "confidence": round(self.confidence, 4),
            "notices": list(self.notices),
            "model": self.model,
            "seconds": round(self.seconds, 4),
            "error": self.error,
            "usage": self.usage.to_dict() if self.usage else None,
            "trace": [step.to_dict() for step in self.trace],
            "differences": [d.to_dict() for d in self.differences],
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Answer:
        """The answer that ``to_dict`` gave; further keys do not count."""
        return cls(
            question=value["question"],
            status=value["status"],
            text=value["answer"],
            sentences=tuple(map(Sentence.from_dict, value["sentences"])),
            citations=tuple(Citation(**citation) for citation in value["citations"]),
            hits=tuple(map(Hit.from_dict, value["passages"])),
            confidence=value["confidence"],
            notices=tuple(value["notices"]),
            model=value["model"],
            seconds=value["seconds"],
            error=value["error"],
            usage=Usage(**value["usage"]) if value.get("usage") else None,
            trace=tuple(map(Step.from_dict, value.get("trace", ()))),
            differences=tuple(map(Difference.from_dict, value.get("differences", ()))),
        )


@dataclass(frozen=True, slots=True)
class Value:
    """What a source of that day says where the claim has a figure or a date of its own."""

    published: str
    said: str
    document_id: str
    title: str

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Difference:
    """What sources say of one thing where they do not agree, oldest first; ``published`` may be empty.

    ``over_time`` if the statements are the same but for the value and its day: a newer one took the place of
    an older one, and nobody need be wrong.
    """

    values: tuple[Value, ...]
    over_time: bool = False

    def to_dict(self) -> dict[str, Any]:
        return {"values": [value.to_dict() for value in self.values], "over_time": self.over_time}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Difference:
        return cls(tuple(Value(**v) for v in value["values"]), value["over_time"])


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the knowledge base says of one claim; ``start`` and ``end`` are offsets in the checked text.

    ``supported`` and ``contradicted`` carry citations, ``not_found`` carries none. What is no claim
    (``kind``) is not checked: its verdict is ``not_found``, and the explanation says why.

    ``articles`` is the number of documents among those found that say what the citations say, ``texts`` that
    of different texts in them: copies of one text count once. ``timeline`` holds the values of the same
    thing, oldest first, where the sources have more than one.
    """

    claim: str
    start: int
    end: int
    verdict: Judgement
    confidence: float
    explanation: str
    citations: tuple[Citation, ...] = ()
    kind: ClaimKind = "claim"
    articles: int = 0
    texts: int = 0
    timeline: tuple[Value, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {
            "claim": self.claim,
            "start": self.start,
            "end": self.end,
            "verdict": self.verdict,
            "confidence": round(self.confidence, 4),
            "explanation": self.explanation,
            "citations": [c.to_dict() for c in self.citations],
            "kind": self.kind,
            "articles": self.articles,
            "texts": self.texts,
            "timeline": [value.to_dict() for value in self.timeline],
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Verdict:
        citations = tuple(Citation(**c) for c in value["citations"])
        timeline = tuple(Value(**v) for v in value.get("timeline", ()))
        return cls(**{**value, "citations": citations, "timeline": timeline})


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The verdicts on a text, in its order."""

    text: str
    claims: tuple[Verdict, ...] = ()
    seconds: float = 0.0
    error: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {
            "text": self.text,
            "claims": [v.to_dict() for v in self.claims],
            "seconds": round(self.seconds, 4),
            "error": self.error,
        }

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> CheckReport:
        """The report that ``to_dict`` gave; further keys do not count."""
        claims = tuple(map(Verdict.from_dict, value["claims"]))
        return cls(value["text"], claims, value["seconds"], value["error"])


@dataclass(frozen=True, slots=True)
class Turn:
    """An earlier message of a conversation."""

    role: Literal["user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Filters:
    """Limits a search to some documents; an empty field does not limit.

    ``publishers`` are compared without case, a part of the name is enough. ``after`` and ``before`` are
    ISO dates, both inclusive; a document without a date is outside any date range.
    """

    publishers: tuple[str, ...] = ()
    document_ids: tuple[str, ...] = ()
    after: str | None = None
    before: str | None = None

    def __bool__(self) -> bool:
        return bool(self.publishers or self.document_ids or self.after or self.before)


@dataclass(frozen=True, slots=True)
class Failure:
    """A source that could not be ingested, and why."""

    source: str
    error: str


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What one run of ingestion did; counts are documents, ``passages`` those newly written."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    removed: int = 0
    failed: tuple[Failure, ...] = field(default=())
    passages: int = 0
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "failed": [asdict(f) for f in self.failed], "seconds": round(self.seconds, 2)}


@dataclass(frozen=True, slots=True)
class QueueReport:
    """What was put into the queue; counts are sources."""

    queued: int = 0
    unchanged: int = 0
    failed: tuple[Failure, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)
