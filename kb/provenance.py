"""Where a statement comes from: texts that were copied, notices of correction, values that changed.

Ten papers that print one agency report are one witness; an article that was corrected is not what it was; and
of two figures for the same thing the newer one may simply be newer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from kb.extract import Candidate
from kb.text import Wording, sentence_spans, wording
from kb.types import Value

_NOTICE = re.compile(
    r"(?:Corrections?|Clarifications?|Corrected|CORRECTIONS?|CLARIFICATIONS?)\b[^\n:.]{0,40}:\s*\S"
    r"|(?:An?|The|This) (?:earlier|previous|original) version of this"
    r" (?:article|story|report|post|piece|page|headline)\b"
    r"|This (?:article|story|report|post|piece|headline) (?:has been|was) (?:corrected|amended)\b"
)
_MARKS = " *_([\u201c\"'"
_LONGEST = 500  # characters of a notice


def correction(text: str) -> str | None:
    """The notice in a document that something in it was corrected, as it stands there, or ``None``."""
    for start, end in sentence_spans(text):
        begin = start + len(text[start:end]) - len(text[start:end].lstrip(_MARKS))
        if _NOTICE.match(text, begin, end):
            line = text.find("\n", start)
            stop = len(text) if line < 0 else line
            return text[start : min(stop, start + _LONGEST)].strip()
    return None


def independent(evidence: Iterable[Candidate]) -> list[Candidate]:
    """The first sentence of each text, in their order: what only repeats one before it is left out."""
    kept: list[tuple[Candidate, Wording]] = []
    for candidate in evidence:
        own = wording(candidate.text)
        if not any(own.is_copy_of(other) for _, other in kept):
            kept.append((candidate, own))
    return [candidate for candidate, _ in kept]


def articles(texts: Sequence[Candidate], read: Iterable[Candidate]) -> set[str]:
    """The ids of the documents that hold one of these sentences or a copy of one, of all that was read."""
    sought = [wording(candidate.text) for candidate in texts]
    found: set[str] = set()
    for candidate in read:
        own = wording(candidate.text)
        if any(own.is_copy_of(other) for other in sought):
            found |= {candidate.hit.passage.document_id, *candidate.hit.copies}
    return found


def timeline(values: Iterable[tuple[Candidate, str]]) -> tuple[Value, ...]:
    """What the sources say of one thing, oldest first, each value once; empty if it never changed.

    ``values`` are sentences with what each says. Of a value that several have the first day counts; sources
    without a date are left out.
    """
    dated = [
        Value(
            candidate.hit.source.published[:10],
            said,
            candidate.hit.passage.document_id,
            candidate.hit.source.title,
        )
        for candidate, said in values
        if candidate.hit.source.published
    ]
    first: dict[str, Value] = {}
    for value in sorted(dated, key=lambda value: (value.published, value.document_id)):
        first.setdefault(value.said.casefold(), value)
    days = {value.published for value in first.values()}
    return tuple(first.values()) if len(first) > 1 and len(days) > 1 else ()
