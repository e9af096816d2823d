"""Word documents: headings by style, lists and tables in the order of the document, core properties."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterator
from datetime import datetime
from html import unescape
from typing import TYPE_CHECKING, Any
from zipfile import BadZipFile

from ingest.load.blocks import Block, Draft, paragraph, without_byline
from ingest.load.dates import iso_date
from ingest.load.package import open_archive
from kb.errors import SourceError

if TYPE_CHECKING:
    from docx.table import Table
    from docx.text.paragraph import Paragraph

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_LIBRARY = "python-docx"
_LIBRARY_CREATED = datetime(2013, 12, 23, 23, 15)
"""Name and date in the template of the library that writes most generated files; they say nothing."""


def read(data: bytes, name: str) -> Draft:
    """Read a Word document; raises ``SourceError`` for one that is damaged or no Word document."""
    from docx import Document
    from docx.opc.exceptions import PackageNotFoundError

    open_archive(data, "Word document").close()  # for its bounds
    try:
        document = Document(io.BytesIO(data))
    except (BadZipFile, zlib.error, PackageNotFoundError, KeyError, ValueError) as error:
        raise SourceError(
            "this is no readable Word document", "open it in Word and save it again as .docx"
        ) from error
    core = document.core_properties
    draft = Draft(
        list(_blocks(document)),
        MEDIA_TYPE,
        title=core.title.strip() or None,
        author=core.author.strip() if core.author.strip() not in ("", _LIBRARY) else None,
        publisher=_company(document),
        published=_day(core.created),
        updated=_day(core.modified),
        language=core.language.strip() or None,
    )
    return without_byline(draft)


def _day(moment: datetime | None) -> str | None:
    known = moment and moment.replace(tzinfo=None) != _LIBRARY_CREATED
    return iso_date(moment.date()) if moment and known else None


def _company(document: Any) -> str | None:
    """The company that Word notes beside the core properties."""
    for part in document.part.package.iter_parts():
        if str(part.partname) == "/docProps/app.xml":
            match = re.search(rb"<Company>([^<]+)</Company>", part.blob)
            return unescape(match[1].decode("utf-8", "replace")).strip() or None if match else None
    return None


def _blocks(document: Any) -> Iterator[Block]:
    from docx.table import Table

    item = 0  # items of the current list so far
    for part in document.iter_inner_content():
        if isinstance(part, Table):
            yield from _rows(part)
            item = 0
            continue
        level, marker = _level(part), _marker(part, item)
        item = item + 1 if marker else 0
        if level:
            yield Block(part.text, level=level)
        else:
            yield from paragraph(_runs(part), prefix=marker, tight=item > 1)


def _level(part: Paragraph) -> int:
    """The rank of a heading; 0 for body text. A title is a heading of the first rank."""
    style = _style(part)
    if style == "title":
        return 1
    number = style.removeprefix("heading").strip()
    return min(int(number), 6) if style.startswith("heading") and number.isdigit() else 0


def _style(part: Paragraph) -> str:
    # Damaged or foreign files name styles that they do not define.
    return ((part.style.name if part.style is not None else "") or "").lower()


def _marker(part: Paragraph, before: int) -> str:
    style = _style(part)
    numbered = part._p.pPr is not None and part._p.pPr.numPr is not None
    if style.startswith("list number"):
        return f"{before + 1}. "
    return "- " if style.startswith("list") or (numbered and not style.startswith("heading")) else ""


def _runs(part: Paragraph) -> Iterator[tuple[str, bool]]:
    """The text as runs of (text, bold), links included."""
    from docx.text.hyperlink import Hyperlink

    style_bold = bool(part.style is not None and part.style.font.bold)
    for piece in part.iter_inner_content():
        for run in piece.runs if isinstance(piece, Hyperlink) else [piece]:
            yield run.text.replace("\t", " "), style_bold if run.bold is None else run.bold


def _rows(table: Table) -> Iterator[Block]:
    """One block a row; a merged cell is named once."""
    first = True
    for row in table.rows:
        cells = {id(cell._tc): " ".join(_cell_text(cell).split()) for cell in row.cells}
        if any(cells.values()):
            yield Block(" | ".join(cells.values()), tight=not first)
            first = False


def _cell_text(cell: Any) -> str:
    nested = " ".join(inner.text for table in cell.tables for row in table.rows for inner in row.cells)
    return f"{cell.text} {nested}"
