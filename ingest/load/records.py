"""Records (CSV, TSV, JSON, JSONL, a sheet): one row is one document, and a bad row costs only itself."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ingest.load.blocks import Block, Draft
from ingest.load.dates import iso_date
from ingest.load.decode import decode
from kb.errors import NotADocument, SourceError, UsageError

Names = Mapping[str, tuple[str, ...]]

COLUMNS: dict[str, tuple[str, ...]] = {
    "id": ("id", "document_id", "doc_id", "guid"),
    "title": ("title", "headline"),
    "text": ("text", "body", "content", "article"),
    "publisher": ("publisher", "source", "outlet", "site"),
    "author": ("author", "authors", "byline"),
    "published": ("published", "date", "pubdate", "published_at"),
    "updated": ("updated", "modified", "updated_at", "last_updated", "date_modified", "lastmod"),
    "url": ("url", "link"),
    "language": ("language", "lang"),
}
"""What a field may be called; case, blanks, dashes and underscores do not matter."""

MEDIA_TYPES = {
    "csv": "text/csv",
    "tsv": "text/tab-separated-values",
    "jsonl": "application/jsonl",
    "json": "application/json",
}
TITLE_LENGTH = 70
_ASKED = frozenset({"question", "claim"})

Fields = dict[str, Any]
Row = tuple[int, Fields | SourceError]
Chosen = Sequence[tuple[str, str]]
"""Columns that the user names: (field, name of its column); the other fields go by their usual names."""


def field_named(name: str) -> str:
    """The field that is meant by one of its usual names; raises ``UsageError`` for any other word."""
    for field, called in COLUMNS.items():
        if _column(name) in (field, *called):
            return field
    raise UsageError(f"records have no field {name.strip()!r}", f"the fields are {', '.join(COLUMNS)}")


def rows(data: bytes, kind: str, chosen: Chosen = ()) -> Iterator[Row]:
    """The rows of a record file, numbered from 1 (a CSV header does not count), as known fields.

    What cannot be read is yielded as an error in its place. Raises ``SourceError`` where the whole file
    is no record file.
    """
    text = decode(data)
    names = _names(chosen)
    found = {"jsonl": _json_lines, "json": _json_items}.get(kind, _csv_rows)
    yield from _filled(found(text, names), names)


def article_table(sheets: Iterable[tuple[str, list[list[Any]]]], chosen: Chosen = ()) -> Iterator[Row] | None:
    """The rows of the first sheet with a column of text, a document each; ``None`` if none has one.

    Raises ``SourceError`` for a workbook that is a list of questions.
    """
    names = _names(chosen)
    heads = [(rows, {_column(str(value)) for value in rows[0]}) for _, rows in sheets if rows]
    for table, head in heads:
        if head & set(names["text"]):
            header = [str(value) for value in table[0]]
            records = ((n, dict(zip(header, row, strict=False))) for n, row in enumerate(table[1:], start=1))
            return _filled(records, names)
    if any(head & _ASKED for _, head in heads):
        raise NotADocument("this is a list of questions", "answer it with `kbqa batch`")
    return None


def _filled(found: Iterable[tuple[int, Mapping[str, Any] | SourceError]], names: Names) -> Iterator[Row]:
    for number, row in found:
        if isinstance(row, SourceError):
            yield number, row
            continue
        fields = _known(row, names)
        if _words(fields.get("text")):
            yield number, fields
        else:
            yield (
                number,
                SourceError("the row holds no text", f"fill one of its columns {', '.join(names['text'])}"),
            )


def _names(chosen: Chosen) -> Names:
    return COLUMNS | {field: (_column(name),) for field, name in chosen}


def is_question_list(data: bytes) -> bool:
    """Whether the beginning of a CSV file has a column of questions or claims and none of text."""
    header = _header_line(_plain_lines(decode(data)))
    names = {_column(name) for name in next(csv.reader([header], delimiter=_delimiter(header)), [])}
    return bool(names & _ASKED) and not names & set(COLUMNS["text"])


def draft(fields: Fields, media_type: str) -> Draft:
    """What one row says; without a title it goes by its opening words."""
    text = fields["text"]
    body = "\n\n".join(map(str, text)) if isinstance(text, list) else str(text)
    return Draft(
        _blocks(body),
        media_type,
        title=_words(fields.get("title")) or _opening_words(body),
        author=_words(fields.get("author")) or None,
        publisher=_words(fields.get("publisher")) or None,
        published=iso_date(_number(fields.get("published"))),
        updated=iso_date(_number(fields.get("updated"))),
        url=_words(fields.get("url")) or None,
        language=_words(fields.get("language")) or None,
    )


def _blocks(body: str) -> list[Block]:
    from ingest.load import html, text

    if re.search(r"</(?:p|div|li|h[1-6])>", body, re.IGNORECASE):
        return html.fragment_blocks(body)
    return text.blocks(body, opening=False)


def _opening_words(body: str) -> str:
    """The first line, cut after a whole word."""
    line = next((line.strip() for line in body.splitlines() if line.strip()), "")
    if len(line) <= TITLE_LENGTH:
        return line
    return line[: TITLE_LENGTH + 1].rpartition(" ")[0].rstrip(" ,;:") or line[:TITLE_LENGTH]


def _known(row: Mapping[str, Any], names: Names) -> Fields:
    """The fields among the columns of a row; of two names for one field the first that is filled counts."""
    columns = {_column(name): value for name, value in row.items()}
    found = {
        field: next((columns[n] for n in called if _words(columns.get(n))), None)
        for field, called in names.items()
    }
    return {field: value for field, value in found.items() if value is not None}


def _column(name: str) -> str:
    return re.sub(r"[\s-]+", "_", str(name).strip().lower())


def _words(value: Any) -> str:
    """A field as one line; lists and objects with a name are joined."""
    if isinstance(value, list):
        return ", ".join(filter(None, map(_words, value)))
    if isinstance(value, dict):
        return _words(value.get("name"))
    return "" if value is None else " ".join(str(value).split())


def _number(value: Any) -> Any:
    """A date column of a CSV file may hold seconds since 1970."""
    return int(value) if isinstance(value, str) and re.fullmatch(r"\d{9,13}", value.strip()) else value


def _json_items(text: str, names: Names) -> Iterator[tuple[int, Mapping[str, Any] | SourceError]]:
    """The objects of a JSON file: of the list that it is or holds, else the one object that it is."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"this is not JSON ({error})", "correct it, or leave it out") from error
    if isinstance(value, dict):
        lists = [v for v in value.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
        has_text = bool(_words(_known(value, names).get("text")))
        value = [value] if has_text else max(lists, key=len, default=[])
    if not isinstance(value, list) or not any(isinstance(item, dict) for item in value):
        raise NotADocument("this JSON file holds no records", "write a list of objects, an article each")
    for number, item in enumerate(value, start=1):
        yield number, item if isinstance(item, dict) else SourceError("this is no JSON object", "write {...}")


def _json_lines(text: str, _: Names) -> Iterator[tuple[int, Mapping[str, Any] | SourceError]]:
    # Not splitlines(): a JSON string may hold the Unicode line separators that it splits at.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            yield number, SourceError(f"the line is not JSON ({error})", "write one JSON object a line")
            continue
        yield (
            number,
            row
            if isinstance(row, dict)
            else SourceError("the line is not a JSON object", "write {...} a line"),
        )


def _csv_rows(text: str, names: Names) -> Iterator[tuple[int, Mapping[str, Any] | SourceError]]:
    # The limit is there to notice a missing quotation mark; whole articles are longer.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    text = _plain_lines(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(_header_line(text), names))
    header = next((row for row in reader if any(cell.strip() for cell in row)), [])
    if not {_column(name) for name in header} & set(names["text"]):
        there = ", ".join(name.strip() for name in header[:8]) or "none"
        raise SourceError(
            f"no column holds the text (columns: {there})",
            f"name one {', '.join(names['text'])}, or say which it is with --map text=COLUMN",
        )
    for number, row in enumerate((row for row in reader if any(row)), start=1):
        if len(row) > len(header) and any(row[len(header) :]):
            yield (
                number,
                SourceError(
                    "the row has more cells than the header", "put cells that hold commas in quotation marks"
                ),
            )
        else:
            yield number, dict(zip(header, row, strict=False))


def _plain_lines(text: str) -> str:
    """The text with one kind of line end, and without what the csv module stumbles over."""
    return text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n")


def _header_line(text: str) -> str:
    return next((line for line in io.StringIO(text) if line.strip()), "").strip("\n")


def _delimiter(header: str, names: Names = COLUMNS) -> str:
    """The one of comma, tab, semicolon and bar that makes most known columns of the header."""
    known = {name for called in names.values() for name in called}

    def score(delimiter: str) -> tuple[int, int]:
        cells = next(csv.reader([header], delimiter=delimiter), [])
        return len({_column(cell) for cell in cells} & known), len(cells)

    return max([",", "\t", ";", "|"], key=score)
