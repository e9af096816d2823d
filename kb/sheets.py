"""Excel workbooks as rows of values, in and out. The only module that knows openpyxl.

Both ways row by row, so that a list of any length needs the same memory. The same rows give the same bytes:
a workbook is a zip archive, and neither the archive nor its properties get the time of day.
"""

from __future__ import annotations

import json
import math
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime, time
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, BadZipFile, ZipFile, ZipInfo

from kb.errors import SourceError

Append = Callable[[Sequence[object]], None]

LONGEST_CELL = 32_767  # what Excel can hold
LARGEST_EXACT = 10**15  # a longer number would lose its last digits
LARGEST_UNPACKED = 2 << 30  # a small archive that holds more than this is no list
NO_TIME = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip archive knows
UNWRITABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def read_sheet(path: Path, is_header: Callable[[Sequence[Any]], bool]) -> Iterator[list[Any]]:
    """The rows of the first sheet whose first filled row ``is_header``, or else of the first sheet.

    Empty cells are ``""``, dates ISO text, formulas what they last came to. Raises ``SourceError`` for a
    file that is no workbook.
    """
    with _opened(path) as book:
        sheets = book.worksheets
        if not sheets:
            return
        for sheet in sheets:
            sheet.reset_dimensions()  # what a program noted there is often wrong
        chosen = next((sheet for sheet in sheets if is_header(next(_filled(sheet), []))), sheets[0])
        yield from _filled(chosen)


def read_book(data: bytes) -> list[tuple[str, list[list[Any]]]]:
    """Every sheet of a workbook with its name and its filled rows, as ``read_sheet`` gives them."""
    with _opened(BytesIO(data)) as book:
        for sheet in book.worksheets:
            sheet.reset_dimensions()
        return [(sheet.title, list(_filled(sheet))) for sheet in book.worksheets]


def _filled(sheet: Any) -> Iterator[list[Any]]:
    rows = ([_read(value) for value in row] for row in sheet.iter_rows(values_only=True))
    return (row for row in rows if any(value != "" for value in row))


@contextmanager
def _opened(path: Path | BytesIO) -> Iterator[Any]:
    from openpyxl import load_workbook

    # It warns of what it does not read (pictures, drop-down lists); no list needs any of it.
    warnings.filterwarnings("ignore", module=r"openpyxl\.")
    try:
        with ZipFile(path) as archive:
            unpacked = sum(part.file_size for part in archive.infolist())
        if unpacked > LARGEST_UNPACKED:
            raise SourceError(f"{_called(path)} is too large when unpacked", "save the list as CSV")
        book = load_workbook(path, read_only=True, data_only=True, keep_links=False)
    except (BadZipFile, KeyError, ValueError, SyntaxError) as error:  # SyntaxError: what is no XML
        raise SourceError(
            f"{_called(path)} is not an Excel workbook ({error})",
            "save it as .xlsx, without a password, or as CSV",
        ) from error
    try:
        yield book
    finally:
        book.close()


def _called(path: Path | BytesIO) -> str:
    return str(path) if isinstance(path, Path) else "this"


def _read(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return (value.date() if value.time() == time() else value).isoformat()
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, str | bool | int | float) else str(value)


@contextmanager
def new_workbook(path: Path) -> Iterator[Any]:
    """A workbook to be filled with ``add_sheet``; it is written when the block ends without an error."""
    from openpyxl import Workbook
    from openpyxl.writer.excel import ExcelWriter

    book = Workbook(write_only=True)
    book.properties.creator = "kbqa"
    book.properties.created = book.properties.modified = datetime(*NO_TIME)
    yield book
    with TimelessArchive(path, "w", ZIP_DEFLATED) as archive:
        ExcelWriter(book, archive).write_data()


def add_sheet(book: Any, title: str, header: Sequence[str], widths: Mapping[str, int]) -> Append:
    """Add a sheet with a header that stays in sight; what comes back takes its rows, one by one.

    ``widths`` are the columns that are not of usual width; their text is wrapped.
    """
    from openpyxl.cell import WriteOnlyCell
    from openpyxl.styles import Alignment, Font
    from openpyxl.utils import get_column_letter

    sheet = book.create_sheet(title)
    sheet.freeze_panes = "A2"
    bold, wrapped = Font(bold=True), Alignment(wrap_text=True, vertical="top")
    for position, name in enumerate(header, 1):
        sheet.column_dimensions[get_column_letter(position)].width = widths.get(name, 14)

    def cell(value: object, *, is_header: bool = False) -> Any:
        made = WriteOnlyCell(sheet, _written(value))
        made.alignment = wrapped
        if is_header:
            made.font = bold
        return made

    sheet.append([cell(name, is_header=True) for name in header])
    return lambda row: sheet.append([cell(value) for value in row])


def _written(value: object) -> Any:
    """A value as a cell holds it: numbers as such, all else as text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float) and math.isfinite(value) and abs(value) < LARGEST_EXACT:
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    text = UNWRITABLE.sub("\ufffd", text)
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 2] + " …"


class TimelessArchive(ZipFile):
    """A zip archive in which nothing has a time."""

    def writestr(self, name: Any, data: Any, *_: Any, **__: Any) -> None:  # type: ignore[override]
        super().writestr(_timeless(str(name)), data)

    def write(self, filename: Any, arcname: Any = None, *_: Any, **__: Any) -> None:
        with open(filename, "rb") as source, self.open(_timeless(str(arcname)), "w") as target:
            shutil.copyfileobj(source, target)


def _timeless(name: str) -> ZipInfo:
    part = ZipInfo(name, NO_TIME)
    part.compress_type = ZIP_DEFLATED
    return part
