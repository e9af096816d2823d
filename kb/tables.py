"""Lists in: a spreadsheet, CSV, JSON lines or plain lines, whatever program wrote them.

``read_list`` gives records (cells by column), ``read_table`` the questions or claims in them. Both read the
file anew each time they are gone through, a record at a time, so that a list of any length needs the same
memory. Encoding and delimiter are found out; columns are found by name, in any case.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import json
import re
from calendar import monthrange
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Literal

from kb.errors import SourceError, UsageError
from kb.question import MAX_CHARACTERS
from kb.sheets import read_sheet
from kb.types import Filters, Turn

Mode = Literal["ask", "check"]

READS = (".csv", ".tsv", ".xlsx", ".jsonl", ".txt")
TEXT_COLUMNS: Mapping[str, tuple[str, ...]] = {"ask": ("question",), "check": ("claim", "text")}
SAID_ABOUT_A_ROW = ("id", "document_id", "source", "after", "before")
LIMITS: Mapping[str, int] = {"ask": MAX_CHARACTERS, "check": 100_000}  # a draft is longer than a question
UNREADABLE = re.compile("[\ufffd\ud800-\udfff]")

Record = tuple[dict[str, Any], str | None]  # cells and what is wrong with them

_NO_DELIMITER = "\x1f"  # a list of one column may hold commas without quotes
_BLOCK = 1 << 20
_UTF_8_MARK = codecs.BOM_UTF8
_UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_BROKEN = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True, slots=True)
class Listing:
    """A list on disk: its columns, and ``records`` that reads it from the beginning.

    ``mark`` says whether it began with a byte order mark (Excel wants one back).
    """

    columns: tuple[str, ...]
    records: Callable[[], Iterator[Record]]
    mark: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """One question or claim of a list. ``cells`` is the row as it was read; ``carried`` what is not ours."""

    id: str
    text: str
    cells: Mapping[str, Any]
    carried: Mapping[str, Any]
    filters: Filters = Filters()
    history: tuple[Turn, ...] = ()
    error: str | None = None
    key: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A list of questions or claims on disk; ``rows`` reads it from the beginning."""

    columns: tuple[str, ...]
    rows: Callable[[], Iterator[Row]]
    mark: bool = False


def read_list(path: Path, names: Sequence[str]) -> Listing:
    """Open a list whose texts stand in a column of one of ``names``, in any case.

    Raises ``UsageError`` for a kind of file or a table without such a column, ``SourceError`` for a file
    that cannot be read. What is wrong with one record is said beside it.
    """
    suffix = path.suffix.lower()
    if suffix not in READS:
        raise UsageError(f"{path.name} is not a list that can be read", f"use one of {' '.join(READS)}")
    read = {".xlsx": _workbook, ".jsonl": _json_lines, ".txt": _plain_lines}.get(suffix, _delimited)
    columns, records = read(path, names)
    if not columns:
        raise SourceError(f"{path} is empty", f"it should hold a {names[0]} on each row")
    if suffix not in (".jsonl", ".txt") and not column(columns, *names):
        wanted = " or ".join(names)
        raise UsageError(
            f"{path.name} has no column {wanted} (its columns: {', '.join(columns[:12])})",
            f"name the column {wanted} in the first line",
        )
    with path.open("rb") as file:
        return Listing(tuple(columns), records, mark=file.read(3) == _UTF_8_MARK)


def column(columns: Iterable[str], *wanted: str) -> str | None:
    """The first column of a wanted name, in any case."""
    by_name = {name.strip().lower(): name for name in reversed(list(columns))}
    return next((by_name[name] for name in wanted if name in by_name), None)


def decode(data: bytes) -> str:
    """Text in UTF-8 or UTF-16 with or without a mark, or else Windows' cp1252.

    A file that is UTF-8 but for a few broken characters keeps them as U+FFFD, so that only the rows that
    hold them are lost.
    """
    return data.decode(encoding_of([data]), "replace")


def encoding_of(blocks: Iterable[bytes]) -> str:
    """The encoding in which bytes, given in blocks, are best read."""
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    whole = broken = 0
    for n, block in enumerate(blocks):
        if not n and block.startswith(_UTF_16_MARKS):
            return "utf-16"
        text = decoder.decode(block)
        odd = len(_BROKEN.findall(text))
        broken += odd
        whole += len(text) - len(text.encode("ascii", "ignore")) - odd
    broken += len(decoder.decode(b"", final=True))
    return "utf-8-sig" if not broken or whole > broken else "cp1252"


# --- text files --------------------------------------------------------------------------------------


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def _lines(path: Path, encoding: str, newline: str) -> Iterator[str]:
    """The lines of a text file as they are; raises ``SourceError`` for what is no text."""
    with path.open(encoding=encoding, errors="replace", newline=newline) as file:
        for line in file:
            if "\0" in line:
                raise SourceError(f"{path} is not text", "save the list as CSV in UTF-8")
            yield line


def _plain_lines(path: Path, names: Sequence[str]) -> tuple[list[str], Callable[[], Iterator[Record]]]:
    encoding = encoding_of(_blocks(path))

    def records() -> Iterator[Record]:
        lines = (line.strip() for line in _lines(path, encoding, "\n"))
        return (({names[0]: line}, None) for line in lines if line)

    return [names[0]] if any(records()) else [], records


def _json_lines(path: Path, names: Sequence[str]) -> tuple[list[str], Callable[[], Iterator[Record]]]:
    encoding = encoding_of(_blocks(path))

    def records() -> Iterator[Record]:
        return (_json_record(line, names[0]) for line in _lines(path, encoding, "\n") if line.strip())

    columns = dict.fromkeys(name for cells, _ in records() for name in cells)
    return list(columns) or [names[0]] * any(records()), records


def _json_record(line: str, name: str) -> Record:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return {name: line.strip()}, f"The line is not JSON ({error})."
    if isinstance(value, str):
        return {name: value}, None
    if not isinstance(value, dict):
        return {name: line.strip()}, "The line is not a JSON object."
    return value, None


def _delimited(path: Path, _: Sequence[str]) -> tuple[list[str], Callable[[], Iterator[Record]]]:
    encoding = encoding_of(_blocks(path))
    first = next((line for line in _lines(path, encoding, "") if line.strip()), "")
    csv.field_size_limit(1 << 28)  # the length of a row is judged later, and by name

    def rows() -> Iterator[list[str]]:
        lines = csv.reader(_lines(path, encoding, ""), delimiter=_delimiter(first))
        try:
            yield from (line for line in lines if line)
        except csv.Error as error:
            raise SourceError(f"the list cannot be read ({error})", "save it again as CSV") from error

    return _table(rows, "put its text in quotes") if first else ([], lambda: iter(()))


def _delimiter(first: str) -> str:
    found = max("\t;,|", key=first.count)
    return found if found in first else _NO_DELIMITER


# --- tables ------------------------------------------------------------------------------------------


def _workbook(path: Path, names: Sequence[str]) -> tuple[list[str], Callable[[], Iterator[Record]]]:
    def is_header(row: Sequence[Any]) -> bool:
        return column(map(str, row), *names) is not None

    return _table(partial(read_sheet, path, is_header), "name every column in the first row")


def _table(
    rows: Callable[[], Iterator[list[Any]]], cure: str
) -> tuple[list[str], Callable[[], Iterator[Record]]]:
    """Columns and records of rows of which the first is the header."""
    columns = _column_names(next(rows(), []))

    def records() -> Iterator[Record]:
        body = rows()
        next(body, None)
        for row in _without_empty_end(body) if len(columns) > 1 else body:
            yield _cells(columns, row), _too_many(columns, row, cure)

    return columns, records


def _without_empty_end(rows: Iterable[list[Any]]) -> Iterator[list[Any]]:
    """Rows without the empty ones that a spreadsheet leaves below its last."""
    empty: list[list[Any]] = []
    for row in rows:
        empty.append(row)
        if any(cell != "" for cell in row):
            yield from empty
            empty.clear()


def _column_names(header: Sequence[Any]) -> list[str]:
    names: list[str] = []
    for position, cell in enumerate(header, 1):
        name = str(cell).strip() or f"column {position}"
        names.append(f"{name} ({position})" if name in names else name)
    return names


def _cells(columns: Sequence[str], row: Sequence[Any]) -> dict[str, Any]:
    return {name: row[i] if i < len(row) else "" for i, name in enumerate(columns)}


def _too_many(columns: Sequence[str], row: Sequence[Any], cure: str) -> str | None:
    if not any(cell != "" for cell in row[len(columns) :]):
        return None
    return f"The row has {len(row)} cells but there are {len(columns)} columns: {cure}."


# --- questions and claims ----------------------------------------------------------------------------


def read_table(source: Path, mode: Mode) -> Table:
    """Read a list of questions (``ask``) or claims (``check``); a row that will not do carries its error."""
    listing = read_list(source, TEXT_COLUMNS[mode])

    def rows() -> Iterator[Row]:
        numbered = enumerate(listing.records(), 1)
        return _with_keys(_row(n, cells, problem, mode) for n, (cells, problem) in numbered)

    return Table(listing.columns, rows, listing.mark)


def iso_date(value: object, *, last: bool = False) -> str:
    """``2026``, ``2026-04`` or ``2026-04-28`` as a whole date: the first day meant, or the ``last``.

    Raises ``UsageError`` for anything else.
    """
    found = re.fullmatch(r"(\d{4})(?:-(\d\d?))?(?:-(\d\d?))?", str(value).strip())
    try:
        if not found:
            raise ValueError
        year, month, day = (int(part) if part else None for part in found.groups())
        assert year is not None
        if month is None:
            month = 12 if last else 1
        if day is None:
            day = monthrange(year, month)[1] if last else 1
        return date(year, month, day).isoformat()
    except ValueError:
        raise UsageError(f"{str(value)!r} is not a date", "write it as 2026-04-28, 2026-04 or 2026") from None


def recognised(columns: Iterable[str], mode: Mode) -> dict[str, str]:
    """What is understood (``text`` and what is said about it) -> the column in which it stands."""
    known = {"text": TEXT_COLUMNS[mode], **{name: (name,) for name in SAID_ABOUT_A_ROW}}
    names = list(columns)
    return {name: found for name, wanted in known.items() if (found := column(names, *wanted)) is not None}


def _row(number: int, cells: dict[str, Any], problem: str | None, mode: Mode) -> Row:
    ours = recognised(cells, mode)
    history = column(cells, "history")
    if history and not isinstance(cells[history], str):  # a CSV column of that name is not a conversation
        ours["history"] = history
    values = {name: cells[column] for name, column in ours.items()}
    text = values.get("text")
    row = Row(
        id=str(number) if values.get("id") in (None, "") else str(values["id"]).strip(),
        text=text.strip() if isinstance(text, str) else "",
        cells=cells,
        carried={name: value for name, value in cells.items() if name not in ours.values()},
    )
    if problem := problem or _problem(text, mode):
        return replace(row, error=problem)
    try:
        return replace(row, filters=_filters(values), history=_history(values.get("history")))
    except UsageError as error:
        return replace(row, error=str(error))


def _problem(text: object, mode: Mode) -> str | None:
    """What is wrong with a question or claim, as a sentence."""
    noun = TEXT_COLUMNS[mode][0]
    if text is None or text == "":
        return f"The {noun} is empty."
    if not isinstance(text, str):
        return f"The {noun} is not text."
    if not text.strip():
        return f"The {noun} is empty."
    if UNREADABLE.search(text):
        return f"The {noun} holds characters that cannot be read: save the list as UTF-8."
    if len(text) > LIMITS[mode]:
        return f"The {noun} is too long: it has {len(text):,} characters, {LIMITS[mode]:,} are allowed."
    return None


def _filters(values: Mapping[str, Any]) -> Filters:
    after, before = values.get("after"), values.get("before")
    return Filters(
        publishers=_names(values.get("source")),
        document_ids=_names(values.get("document_id")),
        after=None if after in (None, "") else iso_date(after),
        before=None if before in (None, "") else iso_date(before, last=True),
    )


def _names(value: object) -> tuple[str, ...]:
    many = value if isinstance(value, list) else [value]
    return tuple(str(name).strip() for name in many if name is not None and str(name).strip())


def _history(value: object) -> tuple[Turn, ...]:
    if value is None:
        return ()
    cure = 'write it as [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]'
    if not isinstance(value, list):
        raise UsageError("the history is not a list", cure)
    for turn in value:
        roles = isinstance(turn, dict) and turn.get("role") in ("user", "assistant")
        if not roles or not isinstance(turn.get("content"), str):
            raise UsageError("a turn of the history cannot be read", cure)
    return tuple(Turn(turn["role"], turn["content"]) for turn in value)


def _with_keys(rows: Iterable[Row]) -> Iterator[Row]:
    """Rows with the key they have in the journal: what is asked, and the how-manieth time it is asked."""
    seen: dict[str, int] = {}
    for row in rows:
        asked = digest([row.text, asdict(row.filters), [asdict(turn) for turn in row.history]])
        seen[asked] = seen.get(asked, 0) + 1
        yield replace(row, key=f"{asked}-{seen[asked]}")


def digest(value: object) -> str:
    """A short hash of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]
