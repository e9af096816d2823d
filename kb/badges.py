"""What each sentence of an answer is worth, whoever wrote it: its ``support``.

A quote that is not in its document is taken out before anything is judged, so that none is ever shown. Then a
sentence is held against the quotes that it cites and against nothing else: that the library says so elsewhere
does not make a citation right.

    verbatim      the sentence is one of its quotes, word for word
    supported     the judge finds all of it in its quotes
    conflict      the judge finds a quote that says otherwise
    unsupported   neither, or it cites nothing that stands
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence, Set
from dataclasses import replace

from kb import claims, verify
from kb.embed import Embed
from kb.errors import NoSuchDocument
from kb.extract import Candidate, Odds
from kb.types import Answer, Citation, Document, Hit, Passage, Sentence, Source, Support

_MARKER = re.compile(r"\[(\d+)\]")
_BEFORE = 400  # characters before a quote that may say who "it" is


def judged(answer: Answer, document: Callable[[str], Document], embed: Embed, odds: Odds) -> Answer:
    """The answer with the support of every sentence, and without quotes that are not in their documents.

    ``document`` gives a stored document or raises ``NoSuchDocument``. A notice says what was taken out.
    """
    stored = {c.n: found for c in answer.citations if (found := _stored(c, document))}
    answer = _with_citations(answer, stored.keys())
    evidence = {c.n: _sentences(c, stored[c.n]) for c in answer.citations}
    quotes = {c.n: _plain(c.quote) for c in answer.citations}
    said = claims.split(answer.text)

    def support(sentence: Sentence) -> Support:
        if _plain(sentence.text) in (quotes[n] for n in sentence.citations):
            return "verbatim"
        cited = [candidate for n in sentence.citations for candidate in evidence[n]]
        parts = [claim.alone for claim in said if sentence.start <= claim.start < sentence.end]
        return worst(_judged(part, cited, embed, odds) for part in parts or [sentence.text])

    return replace(answer, sentences=tuple(replace(s, support=support(s)) for s in answer.sentences))


def _judged(claim: str, cited: Sequence[Candidate], embed: Embed, odds: Odds) -> Support:
    decisive = verify.decisive(verify.judge(claim, cited, embed, odds))
    if decisive is None:
        return "unsupported"
    return "supported" if decisive.verdict == "supported" else "conflict"


def worst(found: Iterable[Support]) -> Support:
    """The support of a sentence whose statements have these."""
    of = set(found)
    return next(support for support in ("conflict", "unsupported", "supported") if support in of)


def _stored(citation: Citation, document: Callable[[str], Document]) -> Document | None:
    """The document of a citation, if it holds the quote where the citation says."""
    try:
        found = document(citation.document_id)
    except NoSuchDocument:
        return None
    return found if citation.quote and found.text[citation.start : citation.end] == citation.quote else None


def _sentences(citation: Citation, document: Document) -> list[Candidate]:
    """The sentences of a quote, which know what stands before them."""
    before = document.text.rfind("\n\n", max(0, citation.start - _BEFORE), citation.start) + 2
    begin = before if before > 1 else citation.start
    text = document.text[begin : citation.end]
    passage = Passage(document.id, 0, begin, citation.end, text, citation.section, citation.page)
    source = Source(
        *(citation.title, citation.publisher, citation.author),
        *(citation.published, citation.url, citation.updated),
    )
    found = verify.sentences(Hit(passage, source, score=1.0, rank=1))
    return [candidate for candidate in found if candidate.end > citation.start]


def _with_citations(answer: Answer, kept: Set[int]) -> Answer:
    """The answer with these of its citations alone: without the markers of any other."""
    text, sentences, done = "", [], 0

    def between(gap: str) -> str:
        left = _MARKER.sub(lambda mark: mark.group() if int(mark[1]) in kept else "", gap)
        return gap if left == gap else re.sub(r" +(?=[ \n])", "", left)

    for sentence in answer.sentences:
        text += between(answer.text[done : sentence.start])
        numbers = tuple(n for n in sentence.citations if n in kept)
        end = len(text) + sentence.end - sentence.start
        sentences.append(replace(sentence, start=len(text), end=end, citations=numbers))
        text += answer.text[sentence.start : sentence.end]
        done = sentence.end
    text += between(answer.text[done:])
    dropped = len(answer.citations) - len(kept)
    notice = (
        f"{dropped} of the quotes {'is' if dropped == 1 else 'are'} not in the document that was named, "
        "and left out."
    )
    return replace(
        answer,
        text=text.rstrip(),
        sentences=tuple(sentences),
        citations=tuple(c for c in answer.citations if c.n in kept),
        notices=(*answer.notices, notice) if dropped else answer.notices,
    )


def _plain(text: str) -> str:
    return " ".join(text.split())
