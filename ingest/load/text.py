"""Plain text: paragraphs out of hard-wrapped lines, and the headings that people mark in plain text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from ingest.load.blocks import Block, Draft, is_afterword, is_faq_title
from ingest.load.dates import iso_date
from ingest.load.decode import decode
from kb.text import normalise

_NARROWEST, _WIDEST = 55, 130
"""Columns between which text is wrapped by hand; narrower lines are verse, wider ones whole paragraphs."""

_ITEM = re.compile(
    r"\s*(?:[\u25b8\u25b6\u25ba\u25b9\u25aa\u25cf\u25e6\u2023\u2022*\u2013\u2014-]|\d{1,3}[.)]|[a-z]\)|[QA]\s?\d*[:.])\s+\S"
)
_HASHES = re.compile(r"(#{1,6})\s+(\S.*?)\s*#*")
_BOLD = re.compile(r"(\*\*|__)(?=\S)([^*_\n]{1,200})(?<=\S)\1:?")
_UNDERLINE = re.compile(r"={3,}|-{3,}")
_NAME = r"[A-Z\u00c0-\u00de][\w.'\u2019-]+"
_ABOUT = re.compile(rf"About ({_NAME}(?: (?:de |van |von )?{_NAME}){{1,4}})")
_BYLINE = re.compile(rf"By ({_NAME}(?: (?:and |de |van |von )?{_NAME}){{0,5}})")


def read(data: bytes, name: str) -> Draft:
    """Read a plain text file; title, byline and date are taken from the lines above the first paragraph."""
    return draft(decode(data))


def draft(text: str) -> Draft:
    """What a plain text says of itself, and its blocks."""
    found = blocks(text)
    opening = _opening(found)
    lines = [found[i].text for i in opening]
    authors = [match[1] for line in lines if (match := _BYLINE.fullmatch(line))] or _portrayed(found)
    dates = [day for line in lines if len(line) < 40 and (day := iso_date(line))]
    titles = [line for line in lines if not _BYLINE.fullmatch(line) and not iso_date(line)]
    title = _title(titles)
    if opening and found[0].text == title and not title.endswith("?"):
        found[0] = replace(found[0], level=1)
    return Draft(
        found,
        "text/plain",
        title=title,
        author=authors[0] if authors else None,
        published=dates[0] if dates else None,
    )


def blocks(text: str, *, opening: bool = True) -> list[Block]:
    """The headings, paragraphs, items and verse lines of a plain text.

    With ``opening``, the short lines above the first paragraph are title and caption, not headings.
    """
    # Indentation says where a verse or a list goes on, and normalising keeps it.
    paragraphs = [part.split("\n") for part in normalise(text).split("\n\n")]
    width = _wrap_width(paragraphs)
    found: list[Block] = []
    for lines in paragraphs:
        found += _paragraph(lines, width)
    quiet = set(_opening(found)) if opening else set()
    return [
        Block(block.text, level=2) if index not in quiet and _is_implied_heading(found, index) else block
        for index, block in enumerate(found)
    ]


def _portrayed(found: Sequence[Block]) -> list[str]:
    """Whom the lines below an article are about: "About Ada Lovelace", then "Ada Lovelace is ..."."""
    return [
        match[1]
        for heading, text in pairwise(found)
        if (match := _ABOUT.fullmatch(heading.text)) and text.text.startswith(match[1])
    ][-1:]


def _title(lines: Sequence[str]) -> str | None:
    """Of the lines above the article: one that is repeated, else the first that reads like a headline."""
    repeated = [line for line in lines if lines.count(line) > 1]
    headlines = [line for line in lines if len(line.split()) > 3]
    return next(iter([*repeated, *headlines, *lines]), None)


# ---------------------------------------------------------------------------------------- headings


def _opening(found: Sequence[Block]) -> list[int]:
    """Which blocks stand above the first paragraph, if they are short lines and no marked headings."""
    indexes: list[int] = []
    for index, block in enumerate(found):
        if block.level or not _is_short(block.text) or _ITEM.match(block.text) or is_faq_title(block.text):
            return indexes
        if index + 1 < len(found) and found[index + 1].tight:
            return indexes
        indexes.append(index)
    # Nothing but short lines: the first may still be a title, the others are the text.
    return indexes[:1] if len(indexes) > 1 else []


def _is_short(text: str) -> bool:
    return len(text) <= 160 and len(text.split()) <= 25 and not re.search(r"[.!;,\u2026\u3002]$|:$", text)


def _is_implied_heading(found: Sequence[Block], index: int) -> bool:
    """A short line alone between blank lines that is followed by body text."""
    block = found[index]
    after = found[index + 1] if index + 1 < len(found) else None
    if block.level or block.tight or after is None or after.tight or "\n" in block.text:
        return False
    if (
        not _is_short(block.text)
        or _ITEM.match(block.text)
        or len(block.text) > 80
        or len(block.text.split()) > 10
    ):
        return False
    if is_faq_title(block.text) or is_afterword(block.text) or after.level:
        return True
    if not (block.text[0].isupper() or block.text[0].isdigit() or block.text[0] in "\u201c\"'\u00bf"):
        return False
    return not _is_short(after.text) or bool(_ITEM.match(after.text)) or _followed_by_verse(found, index + 1)


def _followed_by_verse(found: Sequence[Block], index: int) -> bool:
    return index + 1 < len(found) and found[index + 1].tight


def _marked_heading(line: str) -> Block | None:
    """A heading marked with hashes, by bold type or by capitals."""
    if match := _HASHES.fullmatch(line):
        return Block(match[2], level=len(match[1]))
    if (match := _BOLD.fullmatch(line)) and not match[2].endswith((".", "!", ",", ";")):
        return Block(match[2].rstrip(":"), level=2, strong=True)
    return None


def _is_shouted(line: str) -> bool:
    if not line.isupper() or len(line.split()) > 10 or line[-1] in ".,;!":
        return False
    return sum(c.isalpha() for c in line) > 3


# -------------------------------------------------------------------------------------- paragraphs


def _paragraph(lines: Sequence[str], width: int) -> list[Block]:
    """The blocks of lines that have no blank line between them."""
    if (
        len(lines) > 1
        and _UNDERLINE.fullmatch(lines[1].strip())
        and len(lines[0]) <= 120
        and not _ITEM.match(lines[0])
    ):
        heading = Block(_plain(lines[0]), level=1 if lines[1].strip()[0] == "=" else 2)
        return [heading, *_paragraph(lines[2:], width)]
    if len(lines) == 1 and _is_shouted(lines[0]):
        return [Block(lines[0], level=2)]
    found: list[Block] = []
    wrapped: list[str] = []
    for line in lines:
        heading_line = _marked_heading(line.strip())
        if heading_line is None:
            wrapped.append(line)
            continue
        found += [*_body(wrapped, width), heading_line]
        wrapped = []
    return found + _body(wrapped, width)


def _plain(line: str) -> str:
    match = _BOLD.fullmatch(line.strip())
    return match[2] if match else line.strip()


def _body(lines: Sequence[str], width: int) -> list[Block]:
    """Body lines as blocks, joined where a line was full and so had to be broken."""
    filled = [line for line in lines if line.strip()]
    verse = _is_verse(filled)
    wrapped: list[list[str]] = []
    for index, line in enumerate(filled):
        if index and not verse and _goes_on(filled[index - 1], line, width):
            wrapped[-1].append(line.strip())
        else:
            wrapped.append([line.strip()])
    return [Block(" ".join(part), tight=index > 0) for index, part in enumerate(wrapped)]


def _goes_on(line: str, follow: str, width: int) -> bool:
    """Whether ``follow`` continues the paragraph of ``line``: its first word would not have fitted there."""
    if (
        not width
        or not follow.strip()
        or _ITEM.match(follow)
        or line.rstrip().endswith("?")
        or len(line) > width + 15
    ):
        return False
    return len(line) + 1 + len(follow.split()[0]) > 0.85 * width


def _is_verse(lines: Sequence[str]) -> bool:
    """Three or more lines that all begin with a capital, most of them without an end of sentence."""
    capital = all(line.lstrip()[0].isupper() for line in lines)
    return (
        len(lines) > 2 and capital and sum(line.rstrip()[-1] not in ".!?" for line in lines) * 2 > len(lines)
    )


def _wrap_width(paragraphs: Sequence[Sequence[str]]) -> int:
    """The column at which a text was wrapped by hand; 0 if it was not.

    The last line of a paragraph says nothing about it, and a few lines may stick out (addresses).
    """
    lengths = sorted(len(line) for lines in paragraphs for line in lines[:-1])
    if not lengths:
        return 0
    width = lengths[(len(lengths) - 1) * 9 // 10]
    return width if _NARROWEST <= width <= _WIDEST else 0
