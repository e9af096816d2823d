"""Questions about a document rather than about one thing it says: who wrote it, when, under which headings,
which figures are in it.

Such a question shares few words with the text that answers it (a byline, a heading), so it is answered from
what the catalogue knows of the document: with the words of the text where it says the same, and otherwise in
a sentence of ours that cites the document's opening.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from kb.text import Date, Span, amounts, content_words, dates, fold, sentence_spans
from kb.types import Answer, Citation, Document, DocumentSummary, Hit, Sentence, Support

Topic = Literal[
    "author", "published", "publisher", "title", "category", "headings", "sums", "percentages", "dates"
]

_IT = r"(?:this|the|that|your)\s+(?:\w+\s+)?(?:article|piece|story|text|document|post|essay|write-?up)s?"
_END = r"(?:\s+(?:about|on|called|entitled|titled)\s.+|\s*[:\"\u201c].+)?\s*\??\s*$"
_ALL = (
    r"^(?:please )?(?:list|name|give|enumerate|show|what are|which are)\b.*\b(?:all|every|each|the) (?:\w+ )?"
)
_PATTERNS: tuple[tuple[Topic, str], ...] = (
    (
        "author",
        rf"\b(?:who(?:\W?s| is| was)?|what(?:\W?s| is)) (?:\w{{1,3}} )?(?:name of the )?"
        rf"(?:author|writer|journalist|reporter|wrote|authored|penned)\b(?: of| behind)? {_IT}{_END}"
        rf"|\b(?:by whom|who) (?:was|is) {_IT} (?:written|authored)|\bwhose (?:article|byline) is\b",
    ),
    (
        "published",
        rf"\b(?:when|what day|(?:on )?(?:what|which) date) (?:was|is|did) {_IT} "
        rf"(?:published|written|posted|appear|come out|released|dated)"
        rf"|\b(?:publication date|date) of {_IT}{_END}|\bhow old is {_IT}{_END}",
    ),
    (
        "publisher",
        rf"\b(?:who|which \w+|what \w+) published {_IT}{_END}|\bwhere (?:was|did) {_IT} (?:published|appear)"
        rf"|\b(?:publisher|publication) of {_IT}{_END}",
    ),
    ("title", rf"\b(?:title|headline|name) of {_IT}{_END}|\bwhat is {_IT} (?:called|titled|entitled)"),
    (
        "category",
        rf"\b(?:which|what) (?:category|rubric|desk|department)\b.*\b{_IT}\b"
        rf"|\b(?:category|rubric) of {_IT}{_END}",
    ),
    (
        "headings",
        r"\b(?:titles|headings|names|headlines|list)\b.*\b(?:sections|parts|chapters)\b"
        rf"|\b(?:sections|headings|subheadings|chapters)\b.*\b(?:of|in|does)\b.*\b{_IT}",
    ),
    ("sums", rf"{_ALL}(?:dollar|euro|money|monetary|price)s?\b.*\b{_IT}|{_ALL}(?:sums?|prices)\b.*\b{_IT}"),
    ("percentages", rf"{_ALL}(?:percentages?|per ?cents?|shares)\b.*\b{_IT}"),
    ("dates", rf"{_ALL}(?:dates?|years?|deadlines?)\b.*\b{_IT}"),
)
_TOPICS = [(topic, re.compile(pattern, re.IGNORECASE)) for topic, pattern in _PATTERNS]
WORDS = ("article", "author", "category", "document", "headline", "published", "section", "title", "wrote")
"""Words that such questions are made of, whether or not a document holds them."""


_SURE = 0.95  # what a document says of itself is seldom misunderstood


def topic_of(question: str) -> Topic | None:
    """What is asked about a document itself, if that is what is asked."""
    return next((topic for topic, pattern in _TOPICS if pattern.search(question)), None)


def names_none(question: str) -> bool:
    """Whether a question about a document does not say which one: "Who wrote the article?"."""
    return bool(_BARE.search(question))


_BARE = re.compile(
    r"\b(?:this|the|that|your) (?:article|piece|story|text|document|post|essay|write-?up)"
    r"(?: (?:written|authored|published|posted|appear|come out|released|dated|called|titled|entitled))?"
    r"\s*\??\s*$",
    re.IGNORECASE,
)


def subject(question: str, documents: Sequence[DocumentSummary]) -> DocumentSummary | None:
    """The document that is meant: the only one there is, or the one whose title the question holds."""
    if len(documents) == 1:
        return documents[0]
    asked = {w.stem for w in content_words(question)}
    shares = []
    for document in documents:
        title = {w.stem for w in content_words(document.title)}
        shares.append(len(title & asked) / max(len(title), 3))
    best = max(shares, default=0.0)
    return documents[shares.index(best)] if best >= 0.6 and shares.count(best) == 1 else None


def refusal(question: str, hits: Sequence[Hit], *notices: str) -> Answer:
    """That a document does not say it, or that it is not clear which one is meant."""
    return Answer(question, "not_found", hits=tuple(hits), confidence=_SURE, notices=notices)


def answer(question: str, topic: Topic, document: Document, hits: Sequence[Hit]) -> Answer | None:
    """The answer from what is known about the document; ``None`` if that is nothing."""
    spans = list(_said(topic, document))
    label, value = _known(topic, document)
    if not spans and not value:
        return None
    support: Support = "verbatim"
    texts = [document.text[s:e] for s, e in spans]
    if not spans:
        support, spans = "supported", sentence_spans(document.text)[:1]
        texts = [f"{label} {value}."]
    citations = tuple(_cite(n, document, *span) for n, span in enumerate(spans, start=1))
    text, sentences = "", []
    for citation, said in zip(citations, texts, strict=True):
        sentences.append(Sentence(said, len(text), len(text) + len(said), (citation.n,), support))
        text += f"{said} [{citation.n}] "
    return Answer(
        question,
        "answered",
        text=text.rstrip(),
        sentences=tuple(sentences),
        citations=citations,
        hits=tuple(hits),
        confidence=_SURE,
    )


def _known(topic: Topic, document: Document) -> tuple[str, str | None]:
    match topic:
        case "author":
            return "The author is given as", document.author
        case "published":
            return "The date of publication is given as", document.published
        case "publisher":
            return "The publisher is given as", document.publisher
        case "title":
            return "The title is", document.title
        case _:
            return "", None


def _said(topic: Topic, document: Document) -> Iterator[Span]:
    """Where the document's own text says it."""
    text = document.text
    match topic:
        case "headings":
            for section in document.sections:
                start = text.find(section.title, section.start)
                if not section.is_question and section.title != document.title and start >= 0:
                    yield start, start + len(section.title)
        case "title":
            start = text.find(document.title)
            if start >= 0:
                yield start, start + len(document.title)
        case "category":
            # The rubric: one short line above the title.
            above = text[: max(0, text.find(document.title))].strip()
            if above and "\n" not in above and len(above) <= 40:
                yield text.index(above), text.index(above) + len(above)
        case "author" | "published" | "publisher":
            yield from _telling(topic, document)
        case "sums" | "percentages" | "dates":
            yield from _holding(topic, document)


_MOST_HELD = 12  # sentences; a list of all figures may be longer than an answer usually is


def _holding(topic: Topic, document: Document) -> Iterator[Span]:
    """The sentences with figures of a kind, each figure once, in the order of the text."""
    known: set[object] = set()
    given = 0
    for start, end in sentence_spans(document.text):
        line = document.text[start:end]
        kind = {"sums": "money", "percentages": "percent"}.get(topic)
        values: set[object] = (
            {(a.value, a.kind) for a in amounts(line) if a.kind == kind}
            if kind
            else set(map(_iso, dates(line)))
        )
        if values - known and not line.endswith("?") and line != document.title and given < _MOST_HELD:
            given += 1
            known |= values
            yield start, end


def _telling(topic: Topic, document: Document) -> Iterator[Span]:
    """The sentence or line that names the author or the date, the plainest one first."""
    _, value = _known(topic, document)
    if not value:
        return
    found = []
    for start, end in sentence_spans(document.text):
        line = document.text[start:end]
        if topic == "published":
            told = any(_iso(d) == value[:10] for d in dates(line)) and len(line) < 60
        else:
            told = fold(value) in fold(line)
        # A byline, or the sentence about its author; not a heading that only names somebody.
        if told and (topic != "author" or re.match(r"by\b", line, re.IGNORECASE) or line.endswith(".")):
            found.append((not line.startswith((value, "By ", "by ")), len(line), (start, end)))
    if found:
        yield min(found)[2]


def _iso(date: Date) -> str:
    return f"{date.year or 0:04}-{date.month or 0:02}-{date.day or 0:02}"


def _cite(n: int, document: Document, start: int, end: int) -> Citation:
    return Citation(
        n=n,
        document_id=document.id,
        title=document.title,
        publisher=document.publisher,
        author=document.author,
        published=document.published,
        url=document.url,
        section=None,
        page=document.page_at(start),
        start=start,
        end=end,
        quote=document.text[start:end],
        updated=document.updated,
    )
