"""PDF by pypdf: lines with their type size, from which headings, paragraphs and running heads are told.

A PDF holds neither paragraphs nor tables, only pieces of text at places. Each line keeps its page, so that
after lines have been joined over a page break the text still knows where the page began.
"""

from __future__ import annotations

import io
import logging
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any, NamedTuple

from ingest.load import scan
from ingest.load.blocks import Block, Draft, without_byline
from ingest.load.dates import iso_date
from ingest.load.encrypted import locked
from kb.errors import SourceError

_JUNK = frozenset({"", "untitled", "unspecified", "anonymous", "unknown", "(anonymous)", "(unspecified)"})
_LIGATURES = str.maketrans(
    {"\ufb00": "ff", "\ufb01": "fi", "\ufb02": "fl", "\ufb03": "ffi", "\ufb04": "ffl", "\ufb05": "st"}
)
HEADING_LENGTH = 140
OCR = "install tesseract and ingest it by itself, or run text recognition (OCR) on it first"
_SCANNED = 10.0
"""The type size that words on a scan are taken to have."""
_PAGE_NUMBER = re.compile(
    r"(?:page|p\.|seite)?\s*[-\u2013|]?\s*\d{1,4}\s*[-\u2013|]?(?:\s*(?:of|/|von)\s*\d{1,4})?", re.I
)
_ITEM = re.compile(r"(?:[\u2022\u25cf\u25aa\u25b8\u25e6\u2023\u00b7\u2013*-]|\(?\d{1,2}[.)]|[QA]:)\s+\S")


class _Piece(NamedTuple):
    """A piece of text as pypdf hands it over, with the place at which it begins."""

    text: str
    size: float
    bold: bool
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Line:
    """A line as it stands on a page, from ``x`` to about ``end``, in points.

    ``y`` grows upwards, ``size`` is the type size; ``row`` says that the line is a row of a table.
    """

    text: str
    page: int
    size: float
    bold: bool
    y: float
    x: float = 0
    end: float = 0
    row: bool = False


def read(data: bytes, name: str, password: str | None = None, *, scans: bool | None = None) -> Draft:
    """Read a PDF; raises ``SourceError`` if it is damaged, needs a password or holds only images.

    Pages that are images are read if ``scans``, which takes long; if it is false, they are ``Scanned`` where
    they could be read; if it is ``None``, or they cannot, the draft names them.
    """
    reader = _open(data, password)
    with _damage_named():
        pages = {number: _lines(page, number) for number, page in enumerate(reader.pages, start=1)}
        empty = [number for number, lines in pages.items() if not any(line.text for line in lines)]
        images = [number for number in empty if scan.is_image(reader.pages[number - 1])]
    if images and scans:
        for number, found in scan.recognised(data, images, password).items():
            pages[number] = [
                Line(text, number, _SCANNED, False, -place * _SCANNED) for place, text in enumerate(found)
            ]
        images = []
    elif images and scans is False and scan.is_possible():
        raise scan.Scanned(len(images))
    lines = [line for found in pages.values() for line in found]
    if not any(line.text for line in lines):
        raise SourceError("this PDF holds no text, only images or drawings", OCR)
    info = reader.metadata
    kept = _without_running_heads(lines, len(reader.pages))
    kept = kept if any(line.text for line in kept) else lines
    blocks = _blocks(kept, _outline(reader), len(reader.pages))
    draft = Draft(
        blocks,
        "application/pdf",
        title=_field(info.title if info else None),
        author=_field(info.author if info else None),
        publisher=_publisher(reader),
        published=_day(info, "creation_date"),
        updated=_day(info, "modification_date"),
        language=_language(reader),
        unread=_named(images) if images else None,
    )
    return without_byline(draft)


def _named(pages: Sequence[int]) -> str:
    """Which pages were left out, in words."""
    few = ", ".join(map(str, pages[:10])) + (f" and {len(pages) - 10} more" if len(pages) > 10 else "")
    return f"page {few} is only an image" if len(pages) == 1 else f"pages {few} are only images"


def _open(data: bytes, password: str | None) -> Any:
    from pypdf import PdfReader
    from pypdf.errors import PdfReadError

    # It logs every flaw it repairs; what it cannot repair comes as an exception.
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    with _damage_named():
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not (reader.decrypt("") or reader.decrypt(password or "")):
            raise locked("PDF", password)
        if not len(reader.pages):
            raise PdfReadError("no pages")
    return reader


# Beside its own errors; assertions are pypdf's, about what it reads.
_RAISED = (AssertionError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError)


@contextmanager
def _damage_named() -> Iterator[None]:
    """Turn what pypdf raises for a damaged file into a ``SourceError``."""
    from pypdf.errors import PyPdfError

    try:
        yield
    except (*_RAISED, PyPdfError) as error:
        raise SourceError(f"this PDF is damaged ({error})", "download or print it to PDF again") from error


def _field(value: Any) -> str | None:
    text = " ".join(str(value or "").replace("\0", "").split())
    if text.lower() in _JUNK or re.search(
        r"\.(?:docx?|indd|qxd|tex|dvi|pages)$|^Microsoft Word - ", text, re.I
    ):
        return None
    return text


def _publisher(reader: Any) -> str | None:
    """The publisher in the document information or in XMP."""
    named = _field((reader.metadata or {}).get("/Publisher"))
    try:
        return named or next(filter(None, map(_field, reader.xmp_metadata.dc_publisher or [])), None)
    except Exception:  # noqa: BLE001 - XMP is often absent and often broken
        return named


def _language(reader: Any) -> str | None:
    """The language of the whole document; single pages and words may name others."""
    return _field(reader.root_object.get("/Lang"))


def _day(info: Any, name: str) -> str | None:
    try:
        moment = getattr(info, name, None)
        return iso_date(moment.date()) if moment else None
    except (ValueError, AttributeError):
        return None


def _outline(reader: Any) -> dict[str, int]:
    """The titles of the outline with their depth from 1."""
    found: dict[str, int] = {}

    def collect(items: Any, depth: int) -> None:
        for item in items:
            if isinstance(item, list):
                collect(item, depth + 1)
            elif item.title:
                found.setdefault(_key(str(item.title)), depth)

    try:
        collect(reader.outline, 1)
    except Exception:  # noqa: BLE001 - an outline is a convenience, and damaged ones are common
        return {}
    return found


def _key(title: str) -> str:
    """A heading without its number, for comparison with the outline."""
    return re.sub(r"^[\dIVX]+(?:\.\d+)*\.?\s+", "", " ".join(title.split())).casefold()


# ------------------------------------------------------------------------------------------- lines


def _lines(page: Any, number: int) -> list[Line]:
    """The lines of a page; an empty text stands for a gap that the extraction saw."""
    pieces: list[_Piece] = []

    def visit(text: str, cm: Any, tm: Any, font: Any, size: float) -> None:
        scale = abs(tm[3] or tm[0] or 1) * abs(cm[3] or 1)
        bold = "bold" in str((font or {}).get("/BaseFont", "")).lower()
        x = tm[4] * cm[0] + tm[5] * cm[2] + cm[4]
        pieces.append(_Piece(text, round(size * scale, 1), bold, x, tm[5] * cm[3] + cm[5]))

    page.extract_text(visitor_text=visit)
    lines: list[Line] = []
    current: list[_Piece] = []
    for piece in pieces:
        *ended, rest = piece.text.split("\n")
        for part in ended:
            lines.append(_line([*current, piece._replace(text=part)], number))
            current = []
        current.append(piece._replace(text=rest))
    return list(_with_rows(_by_columns([*lines, _line(current, number)])))


def _line(pieces: Sequence[_Piece], number: int) -> Line:
    text = " ".join("".join(piece.text for piece in pieces).translate(_LIGATURES).split())
    seen = [piece for piece in pieces if piece.text.strip()]
    if not seen:
        return Line("", number, 0, False, 0)
    longest = max(seen, key=lambda piece: len(piece.text))
    bold = all(piece.bold for piece in seen)
    end = seen[-1].x + _width(seen[-1].text) * seen[-1].size
    return Line(text, number, longest.size, bold, seen[0].y, seen[0].x, end)


def _width(text: str) -> float:
    """About how wide a text is, in units of its type size; the widths are those of Helvetica."""
    narrow = sum(character in " .,:;'|!()[]/-ijlftrI" for character in text)
    wide = sum(character.isupper() or character in "mw%&@\u2014" for character in text)
    return 0.29 * narrow + 0.72 * wide + 0.55 * (len(text) - narrow - wide)


# ----------------------------------------------------------------------------------------- columns

_FEWEST_PAIRS = 5
_SHORTEST_PROSE = 20


def _by_columns(lines: list[Line]) -> list[Line]:
    """The lines of a page whose two columns were stored line beside line, one column after the other.

    Most programs store a column at a time; such pages are left as they are.
    """
    pairs = [
        (one, two) for one, two in pairwise(lines) if _is_level(one, two) and two.x - one.end > two.size / 2
    ]
    prose = [two for one, two in pairs if min(len(one.text), len(two.text)) > _SHORTEST_PROSE]
    if len(prose) < _FEWEST_PAIRS or _is_table(pairs):
        return lines
    gutter, count = Counter(round(line.x) for line in prose).most_common(1)[0]
    if count * 2 < len(pairs):
        return lines
    beside = {id(one) for one, _ in pairs}
    found: list[Line] = []
    block: list[Line] = []
    for line in lines:
        across = line.x < gutter - line.size and line.end > gutter + 2 * line.size and id(line) not in beside
        if across:
            found += [*_left_then_right(block, gutter), line]
            block = []
        elif line.text:
            block.append(line)
    return [*found, *_left_then_right(block, gutter)]


def _left_then_right(block: Sequence[Line], gutter: float) -> list[Line]:
    return sorted(block, key=lambda line: line.x > gutter - 2)


# ------------------------------------------------------------------------------------------ tables


def _with_rows(lines: Sequence[Line]) -> Iterator[Line]:
    """Lines with the cells of each row of a table in one, joined by " | " as in the other formats."""
    rows: list[list[Line]] = []
    for line in lines:
        before = rows[-1][-1] if rows else None
        if before is None or not _is_level(before, line):
            rows.append([line])
        elif line.x - before.end > line.size / 2:
            rows[-1].append(line)
        else:
            text = f"{before.text} {line.text}"
            rows[-1][-1] = replace(before, text=text, bold=before.bold and line.bold, end=line.end)
    for several, group in groupby(rows, key=lambda row: len(row) > 1):
        found = list(group)
        if several and _is_table(found):
            yield from (_row(cells) for cells in found)
        else:
            yield from (cell for cells in found for cell in cells)


def _is_level(one: Line, two: Line) -> bool:
    """Whether line ``two`` goes on to the right of line ``one``, at its height or as a raised figure."""
    if not one.text or not two.text or abs(one.y - two.y) > 0.4 * max(one.size, two.size):
        return False
    return two.x > one.end - 0.3 * (one.end - one.x)


def _is_table(rows: Sequence[Sequence[Line]]) -> bool:
    """Whether level lines are rows of a table and not columns of prose, or a head and a page number."""
    cells = [cell.text for row in rows for cell in row]
    prose = sum(len(text) > 60 or (text[0].islower() and len(text.split()) > 3) for text in cells)
    return (len(rows) > 1 or len(cells) > 2) and prose * 4 < len(cells)


def _row(cells: Sequence[Line]) -> Line:
    text = " | ".join(cell.text for cell in cells)
    return replace(cells[0], text=text, bold=all(cell.bold for cell in cells), end=cells[-1].end, row=True)


# ---------------------------------------------------------------------------------- running heads


def _without_running_heads(lines: Sequence[Line], pages: int) -> list[Line]:
    """Lines without page numbers, and without heads and feet that stand on at least half of the pages."""
    edges: list[tuple[Line, tuple[str, float]]] = []
    for number in range(1, pages + 1):
        filled = [line for line in lines if line.page == number and line.text]
        places = {id(line): line for line in [*filled[:2], *filled[-2:]]}
        # With the size of the type: the title on the first page may be the running head of the others.
        edges += [(line, (re.sub(r"\d+", "#", line.text), line.size)) for line in places.values()]
    # A line that stands twice on one page is not repeated from page to page.
    on_pages = Counter(key for _, key in {(line.page, key) for line, key in edges})
    running = {
        id(line)
        for line, key in edges
        if _PAGE_NUMBER.fullmatch(line.text) or (on_pages[key] > 1 and on_pages[key] * 2 >= pages)
    }
    return [line for line in lines if id(line) not in running]


def _body_size(lines: Sequence[Line]) -> float:
    sizes: Counter[float] = Counter()
    for line in lines:
        sizes[line.size] += len(line.text)
    return sizes.most_common(1)[0][0] if sizes else 0


# ------------------------------------------------------------------------------------------ blocks


def _blocks(lines: Sequence[Line], outline: dict[str, int], pages: int) -> list[Block]:
    """Lines joined to headings and paragraphs."""
    levels = _levels(lines, outline)
    compounds = set(re.findall(r"\w+-\w+", " ".join(line.text for line in lines)))
    blocks: list[Block] = []
    reached = 0
    for group, tight in _groups(lines, levels):
        text, pages_begun = _joined(group, compounds)
        level = levels.get(id(group[0]), 0) if len(text) <= HEADING_LENGTH else 0
        breaks: list[int] = []
        for offset, page in pages_begun:
            # A page without text begins where the next one does.
            breaks += [offset] * (page - reached)
            reached = max(reached, page)
        blocks.append(Block(text, level=level, tight=tight and not level, breaks=tuple(breaks)))
    return [*blocks, Block("", breaks=(0,) * (pages - reached))]


def _groups(lines: Sequence[Line], levels: dict[int, int]) -> Iterator[tuple[list[Line], bool]]:
    """Lines that belong together, and whether they stand right below the group before."""
    lengths = sorted(len(line.text) for line in lines if line.text)
    width = lengths[(len(lengths) - 1) * 9 // 10] if lengths else 0
    leading = _leading(lines)
    group: list[Line] = []
    tight = gap = False
    for line in lines:
        if not line.text:
            gap = True
            continue
        before = group[-1] if group else None
        apart = before is None or gap or _is_apart(before, line, leading)
        if before is not None and not _joins(before, line, levels, width, apart):
            yield group, tight
            near = not apart or (before.row and line.row)
            tight = near and not levels.get(id(before)) and line.page == before.page
            group = []
        group.append(line)
        gap = False
    if group:
        yield group, tight


def _levels(lines: Sequence[Line], outline: dict[str, int]) -> dict[int, int]:
    """The rank of each line that is a heading, by ``id``: from the outline, else by larger or bold type."""
    body = _body_size(lines)
    body_bold = sum(len(line.text) for line in lines if line.bold) * 2 > sum(len(line.text) for line in lines)
    set_apart = [
        line
        for line in lines
        if _could_head(line)
        and (line.size > body * 1.12 or (line.bold and not body_bold and line.size > body * 0.95))
    ]
    if sum(len(line.text) for line in set_apart) * 3 > sum(len(line.text) for line in lines):
        set_apart = []
    sizes = sorted({line.size for line in set_apart}, reverse=True)
    levels = {id(line): min(sizes.index(line.size) + 1, 6) for line in set_apart}
    outlined = {
        id(line): min(outline[_key(line.text)] + 1, 6)
        for line in lines
        if line.text and _key(line.text) in outline
    }
    return levels | {key: level for key, level in outlined.items() if key not in levels}


def _could_head(line: Line) -> bool:
    text = line.text
    return (
        not line.row
        and len(text) <= HEADING_LENGTH
        and any(c.isalpha() for c in text)
        and not re.search(r"[.,;]$", text)
    )


def _leading(lines: Sequence[Line]) -> float:
    """The usual distance from line to line."""
    steps = Counter(
        round(one.y - two.y, 1)
        for one, two in pairwise(lines)
        if one.page == two.page and one.text and two.text
    )
    usual = [step for step, _ in steps.most_common() if 2 < step < 60]
    return usual[0] if usual else 0


def _is_apart(one: Line, two: Line, leading: float) -> bool:
    if one.page != two.page or not leading:
        return False
    return one.y - two.y > 1.35 * leading


def _joins(one: Line, two: Line, levels: dict[int, int], width: int, apart: bool) -> bool:
    """Whether line ``two`` goes on with the heading or paragraph of line ``one``."""
    if one.row or two.row:
        return False
    rank, other = levels.get(id(one), 0), levels.get(id(two), 0)
    if rank or other:
        close = one.page == two.page and one.y - two.y < 2 * one.size and not one.text.endswith("?")
        return rank == other and one.size == two.size and close
    if _ITEM.match(two.text):
        return False
    ended = bool(re.search(r"[.!?:][\"\u201d\u2019)]*$", one.text))
    if two.text[0].islower() and not ended:
        return True
    if one.page != two.page:
        return not ended and len(one.text) >= 0.7 * width
    return (
        not apart and abs(one.size - two.size) < 1 and len(one.text) + len(two.text.split()[0]) >= 0.8 * width
    )


def _joined(group: Sequence[Line], compounds: set[str]) -> tuple[str, list[tuple[int, int]]]:
    """The text of a group, hyphenation at line ends undone, and where in it which page begins."""
    text = group[0].text
    begun = [(0, group[0].page)]
    for before, line in pairwise(group):
        text = _meet(text, line.text, compounds)
        if line.page != before.page:
            begun.append((len(text), line.page))
        text += line.text
    return text, begun


def _meet(text: str, follow: str, compounds: set[str]) -> str:
    """``text`` as it stands before ``follow``: a space added, or the hyphen of a broken word dropped."""
    if not re.search(r"[^\W\d_]-$", text) or not follow[:1].islower():
        return text if re.search(r"\w-$", text) else text + " "
    word = re.findall(r"\w+-$", text)[-1] + re.findall(r"^\w+", follow)[0]
    return text if word in compounds else text[:-1]
