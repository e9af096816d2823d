"""The form that every loader brings its source into: a list of blocks, each a heading or a piece of body.

Text and offsets are made from blocks in one place (``assemble``), so that a section starts exactly at
its heading in every format, and a FAQ is recognised in one place too (``mark_headings``): whichever way
a question was marked up, it becomes a heading and its answer the body below.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from ingest.load.dates import iso_date
from kb.text import normalise
from kb.types import Section

QUESTION_LENGTH = 250
"""Longer lines that end in a question mark are prose, not entries of a FAQ."""

BYLINE_LENGTH = 250
"""Longer lines say more than who wrote a text, for whom and when."""


@dataclass(frozen=True, slots=True)
class Block:
    """A heading (``level`` 1...6) or a piece of body (0): a paragraph, list item, table row or verse line.

    ``tight`` blocks stand on the line below the block before, others after a blank line. ``strong`` says
    that the source set the whole block apart (bold, a defined term, the summary of a fold-out).
    ``breaks`` are the offsets in ``text`` at which a new page begins.
    """

    text: str
    level: int = 0
    tight: bool = False
    strong: bool = False
    breaks: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """What a loader has read; what the source does not tell is ``None``. ``unread``: what was left out."""

    blocks: Sequence[Block]
    media_type: str
    title: str | None = None
    author: str | None = None
    publisher: str | None = None
    published: str | None = None
    url: str | None = None
    language: str | None = None
    updated: str | None = None
    unread: str | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """The text of a document, with its sections and pages as offsets into it."""

    text: str
    sections: tuple[Section, ...]
    page_starts: tuple[int, ...]


def assemble(blocks: Iterable[Block]) -> Body:
    """Join blocks to normalised text; offsets are taken while joining, never searched for."""
    parts: list[str] = []
    sections: list[Section] = []
    pages: list[int] = []
    length = waiting = 0
    for block in blocks:
        text = normalise(" ".join(block.text.split()) if block.level else block.text)
        if not text:
            # A page without text begins where the next text does.
            waiting += len(block.breaks)
            continue
        joint = "" if not parts else "\n" if block.tight else "\n\n"
        start = length + len(joint)
        pages += [start] * waiting + [start + min(offset, len(text)) for offset in block.breaks]
        if block.level:
            sections.append(Section(text, block.level, start))
        parts += [joint, text]
        length, waiting = start + len(text), 0
    return Body("".join(parts), tuple(sections), tuple(pages + [length] * waiting))


def paragraph(runs: Iterable[tuple[str, bool]], *, prefix: str = "", tight: bool = False) -> list[Block]:
    """Blocks of one paragraph given as runs of (text, bold); a line break in it begins a new block.

    A bold question at the start of a paragraph is cut off as a block of its own, so that
    "**Why?** Because." is an entry of a FAQ like any other.
    """
    runs = [(text, bold or not text.strip()) for text, bold in runs if text]
    lead = 0
    while lead < len(runs) and runs[lead][1]:
        lead += 1
    head = "".join(text for text, _ in runs[:lead])
    whole = "".join(text for text, _ in runs)
    if lead < len(runs) and head.strip().endswith("?"):
        rest = paragraph(runs[lead:], tight=True)
        return [Block(_one_line(prefix + head), tight=tight, strong=True), *rest]
    lines = [line for line in map(_one_line, whole.split("\n")) if line]
    strong = bool(lines) and lead == len(runs)
    return [
        Block((prefix if n == 0 else "") + line, tight=tight or n > 0, strong=strong)
        for n, line in enumerate(lines)
    ]


def _one_line(text: str) -> str:
    return " ".join(text.split())


# ----------------------------------------------------------------------------------------- bylines

_BYLINE_WORDS = re.compile(
    r"\b(?:by|the|on|in|at|for|from|and|written|reported|author|published|updated|posted|date)\b:?|[|\u00b7\u2022\u2013\u2014]",
    re.IGNORECASE,
)


def without_byline(draft: Draft) -> Draft:
    """A draft whose text does not open with a paragraph that says only what the metadata say."""
    kept: list[Block] = []
    dropped = False
    for index, block in enumerate(draft.blocks):
        if block.level:
            kept.append(block)
        elif is_byline(block.text, draft.author, draft.publisher, draft.published):
            # The page may begin there.
            kept += [Block("", breaks=(0,) * len(block.breaks))] if block.breaks else []
            dropped = True
        else:
            kept.append(replace(block, tight=block.tight and not dropped))
            return replace(draft, blocks=[*kept, *draft.blocks[index + 1 :]])
    # What says nothing else at all is kept whole.
    return draft


def is_byline(text: str, author: str | None, publisher: str | None, published: str | None) -> bool:
    """Whether a line holds nothing but this author, publisher and date, and words such as "Published"."""
    rest = text if len(text) <= BYLINE_LENGTH else ""
    for name in [*re.split(r", | and ", author or ""), publisher or ""]:
        rest = re.sub(rf"(?<!\w){re.escape(name)}(?!\w)", " ", rest, flags=re.IGNORECASE) if name else rest
    named = rest != text
    rest = " ".join(_BYLINE_WORDS.sub(" ", rest).split()).strip(" .,;:")
    if not rest:
        return named and len(text) <= BYLINE_LENGTH
    return published is not None and (iso_date(rest) or "")[:10] == published[:10]


# ------------------------------------------------------------------------------------------- FAQs

_FAQ_TITLE = re.compile(
    r"(?:(?:the|some|your|our|key|common|top|frequent|frequently asked|readers?'?|more|quick)\s+)*"
    r"(?:questions(?:,? answered)?|questions?\s*(?:and|&|\+)\s*answers?)|questions (?:about|on) .{3,60}"
    r"|f\.?\s?a\.?\s?q\.?s?|q\s*(?:&|and|\+)\s*a",
    re.IGNORECASE,
)
_ABOUT_WHOM = "authors?|writers?|reporters?|correspondents?|editors?|journalists?"
_AFTERWORD = re.compile(
    rf"(?i:about (?:the |our )?(?:{_ABOUT_WHOM})\b.{{0,40}})"
    r"|About(?: [A-Z\u00c0-\u00de][\w.'\u2019-]*){1,4}"
    r"|(?i:author(?:'s)? (?:bio(?:graphy)?|note|profile)|related (?:articles?|stories|reading|coverage))"
    r"|(?i:read (?:more|next)|further reading|sources|references)"
)
_Q = re.compile(r"(?:Q|Question)\s*\d{0,3}\s*[:.)]\s*(?=\S)", re.IGNORECASE)
_A = re.compile(r"(?:A|Answer)\s*\d{0,3}\s*:\s*(?=\S)", re.IGNORECASE)
_BULLET = re.compile(
    r"(?:[\u25b8\u25b6\u25ba\u25b9\u25aa\u25cf\u25e6\u2023\u2022\u00bb*\u2013-]|\d{1,3}[.)])\s+(?=\S)"
)


def is_faq_title(text: str) -> bool:
    """Whether a heading announces questions with answers, such as "Key Questions" or "FAQ"."""
    return bool(_FAQ_TITLE.fullmatch(text.strip(" :*#_")))


def is_afterword(text: str) -> bool:
    """Whether a short line introduces what follows an article, such as "About the author"."""
    return bool(_AFTERWORD.fullmatch(text.strip(" :*#_")))


def mark_headings(blocks: Sequence[Block]) -> list[Block]:
    """Turn the questions of FAQs and other bold lines into headings; the last answer ends with the FAQ."""
    blocks = list(blocks)
    loose = _loose_questions(blocks)
    marked: list[Block] = []
    faq = level = 0
    style = ""
    for index, block in enumerate(blocks):
        after = blocks[index + 1] if index + 1 < len(blocks) else None
        how = "" if after is None else _question_style(block, after)
        if block.level:
            faq = _faq_level(block, faq)
            level, style = block.level, "heading" if block.text.endswith("?") else ""
            marked.append(_bare(block, level) if block.text.endswith("?") else block)
        elif after is not None and is_faq_title(block.text) and (block.strong or after.text.endswith("?")):
            faq = level = 2 if not level else min(level + 1, 3)
            style = ""
            marked.append(replace(block, text=block.text.strip(" :*#_"), level=faq, tight=False))
        elif faq and after is not None and is_afterword(block.text):
            marked.append(replace(block, level=faq, tight=False))
            level, faq = faq, 0
        elif how and (how in ("strong", "q") or index in loose or (faq and style in ("", how))):
            style = style or how
            marked.append(_bare(block, min((faq or level) + 1, 6)))
        elif after is not None and _is_bold_heading(block, after):
            marked.append(replace(block, level=min((level or 1) + 1, 6)))
            faq = 0
        elif marked and marked[-1].level and marked[-1].text.endswith("?"):
            match = _A.match(block.text)
            marked.append(replace(block, text=block.text[match.end() :]) if match else block)
        else:
            marked.append(block)
    return marked


def _is_bold_heading(block: Block, after: Block) -> bool:
    """Whether a bold line is a heading that somebody did not mark as one."""
    if not block.strong or block.tight or after.strong or after.level or _BULLET.match(block.text):
        return False
    return len(block.text) <= 80 and len(block.text.split()) <= 12 and block.text[-1] not in ".!,;:?)"


def _faq_level(heading: Block, faq: int) -> int:
    """The level of the FAQ that is open after a heading; 0 for none."""
    if is_faq_title(heading.text):
        return heading.level
    return 0 if not heading.text.endswith("?") and heading.level <= faq else faq


def _question_style(block: Block, after: Block) -> str:
    """How a block is marked as a question that has an answer below; empty if it is none."""
    text = block.text
    if block.level or after.level or not text.endswith("?") or len(text) > QUESTION_LENGTH or "\n" in text:
        return ""
    if _looks_asked(after) and not _A.match(after.text):
        return ""
    if block.strong:
        return "strong"
    return "q" if _Q.match(text) else "bullet" if _BULLET.match(text) else "plain"


def _looks_asked(block: Block) -> bool:
    return block.text.endswith("?") and len(block.text) <= QUESTION_LENGTH and "\n" not in block.text


def _loose_questions(blocks: Sequence[Block]) -> set[int]:
    """Bulleted questions outside any FAQ: at least two, each followed by an answer that is no bullet."""
    found: list[int] = []
    groups: list[list[int]] = [found]
    for index, (block, after) in enumerate(pairwise(blocks)):
        if block.level:
            groups.append([])
        elif _question_style(block, after) == "bullet" and not _BULLET.match(after.text):
            groups[-1].append(index)
    return {index for group in groups if len(group) > 1 for index in group}


def _bare(block: Block, level: int) -> Block:
    """A question as a heading, without bullet, number, "Q:" and emphasis."""
    text = block.text.strip()
    for mark in (_BULLET, _Q):
        match = mark.match(text)
        text = text[match.end() :] if match else text
    text = text.strip("*_ ") if text.startswith(("**", "__")) else text
    breaks = tuple(max(0, offset - (len(block.text) - len(text))) for offset in block.breaks)
    return replace(block, text=text, level=level, breaks=breaks)
