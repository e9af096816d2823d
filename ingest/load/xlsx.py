"""Workbooks (Excel): every sheet with its name as heading, a row a line, cells joined by " | "."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ingest.load.blocks import Block, Draft
from ingest.load.package import office_properties, open_archive
from kb.sheets import read_book

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_WHAT = "Excel workbook"
_WRITERS = frozenset({"openpyxl"})

Sheets = Sequence[tuple[str, list[list[Any]]]]


def sheets(data: bytes) -> Sheets:
    """The sheets of a workbook; raises ``SourceError`` for one that is damaged."""
    open_archive(data, _WHAT).close()  # for its bounds
    return read_book(data)


def draft(data: bytes, book: Sheets) -> Draft:
    """A workbook that is no list of articles, as one document of tables."""
    with open_archive(data, _WHAT) as archive:
        fields = office_properties(archive, _WHAT)
    if fields.get("author") in _WRITERS:
        fields["author"] = None
    return Draft(list(_blocks(book)), MEDIA_TYPE, **fields)


def _blocks(book: Sheets) -> Iterator[Block]:
    for name, rows in book:
        if rows:
            yield Block(name, level=2)
        for number, row in enumerate(rows):
            cells = [" ".join(str(value).split()) for value in row]
            while cells and not cells[-1]:
                cells.pop()
            yield Block(" | ".join(cells), tight=number > 0)
