"""What a whole text shows of its history: a notice that it was corrected, and whose copy it is.

Ten papers print one agency report, with another headline and without its end. Such copies are told by the
runs of words that they share: exactly by ``are_copies``, and beforehand by ``sketch``, a few of the runs,
chosen in such a way that copies choose the same ones.
"""

from __future__ import annotations

import re
import zlib
from itertools import accumulate

from kb.text import sentence_spans

Runs = frozenset[int]

SKETCH = 32
"""Numbers in a sketch."""
LIKELY = 4
"""Copies have at least so many numbers of their sketches in common."""

_RUN = 4  # words
_FEWEST = 20  # runs; short notes resemble each other by chance
_SHARED = 0.6  # of the runs of the shorter text, those that the longer one has too
_SHORTENED = 3  # a copy may have been cut down to a third
_WORD = re.compile(r"\w+")

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


def runs(text: str) -> Runs:
    """The runs of four words in a text, each as a number of 32 bits."""
    words = [word.encode("utf-8", "surrogatepass") for word in _WORD.findall(text.casefold())]
    line = b" ".join(words)
    starts = [0, *accumulate(len(word) + 1 for word in words)]
    pairs = zip(starts, starts[_RUN:], strict=False)
    return frozenset(zlib.crc32(line[start : end - 1]) for start, end in pairs)


def sketch(found: Runs) -> tuple[int, ...]:
    """The smallest of a text's runs: of two texts that share most runs, mostly the same."""
    return tuple(sorted(found)[:SKETCH]) if len(found) >= _FEWEST else ()


def are_copies(one: Runs, other: Runs) -> bool:
    """Whether one of two texts is mostly taken from the other, or both from a third; figures may differ."""
    shorter, longer = sorted((one, other), key=len)
    if len(shorter) < _FEWEST or len(shorter) * _SHORTENED < len(longer):
        return False
    return len(shorter & longer) >= _SHARED * len(shorter)
