"""Record files (CSV, TSV, JSONL): one row is one document, and a bad row costs only itself."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from ingest.load.blocks import Block, Draft
from ingest.load.dates import iso_date
from ingest.load.decode import decode
from kb.errors import SourceError

COLUMNS = {
    "id": ("id", "document_id", "doc_id", "guid"),
    "title": ("title", "headline"),
    "text": ("text", "body", "content", "article"),
    "publisher": ("publisher", "source", "outlet", "site"),
    "author": ("author", "authors", "byline"),
    "published": ("published", "date", "pubdate", "published_at"),
    "url": ("url", "link"),
    "language": ("language", "lang"),
}
"""What a field may be called; case, blanks, dashes and underscores do not matter."""

MEDIA_TYPES = {"csv": "text/csv", "tsv": "text/tab-separated-values", "jsonl": "application/jsonl"}
TITLE_LENGTH = 70

Fields = dict[str, Any]
Row = tuple[int, Fields | SourceError]


def rows(data: bytes, kind: str) -> Iterator[Row]:
    """The rows of a record file, numbered from 1 (a CSV header does not count), as known fields.

    What cannot be read is yielded as an error in its place. Raises ``SourceError`` where the whole file
    is no record file.
    """
    text = decode(data)
    for number, row in _json_rows(text) if kind == "jsonl" else _csv_rows(text):
        if isinstance(row, SourceError):
            yield number, row
            continue
        fields = _known(row)
        if _words(fields.get("text")):
            yield number, fields
        else:
            yield (
                number,
                SourceError("the row holds no text", f"fill one of its columns {', '.join(COLUMNS['text'])}"),
            )


def is_question_list(data: bytes) -> bool:
    """Whether the beginning of a CSV file has a column of questions or claims and none of text."""
    header = _header_line(_plain_lines(decode(data)))
    names = {_column(name) for name in next(csv.reader([header], delimiter=_delimiter(header)), [])}
    return bool(names & {"question", "claim"}) and not names & set(COLUMNS["text"])


def draft(fields: Fields, kind: str) -> Draft:
    """What one row says; without a title it goes by its opening words."""
    text = fields["text"]
    body = "\n\n".join(map(str, text)) if isinstance(text, list) else str(text)
    return Draft(
        _blocks(body),
        MEDIA_TYPES[kind],
        title=_words(fields.get("title")) or _opening_words(body),
        author=_words(fields.get("author")) or None,
        publisher=_words(fields.get("publisher")) or None,
        published=iso_date(_number(fields.get("published"))),
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


def _known(row: Mapping[str, Any]) -> Fields:
    """The fields among the columns of a row; of two names for one field the first that is filled counts."""
    columns = {_column(name): value for name, value in row.items()}
    found = {
        field: next((columns[n] for n in names if _words(columns.get(n))), None)
        for field, names in COLUMNS.items()
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


def _json_rows(text: str) -> Iterator[tuple[int, Mapping[str, Any] | SourceError]]:
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


def _csv_rows(text: str) -> Iterator[tuple[int, Mapping[str, Any] | SourceError]]:
    # The limit is there to notice a missing quotation mark; whole articles are longer.
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    text = _plain_lines(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(_header_line(text)))
    header = next((row for row in reader if any(cell.strip() for cell in row)), [])
    if not {_column(name) for name in header} & set(COLUMNS["text"]):
        names = ", ".join(name.strip() for name in header[:8]) or "none"
        raise SourceError(
            f"no column holds the text (columns: {names})", f"name one {', '.join(COLUMNS['text'])}"
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


def _delimiter(header: str) -> str:
    """The one of comma, tab, semicolon and bar that makes most known columns of the header."""
    known = {name for names in COLUMNS.values() for name in names}

    def score(delimiter: str) -> tuple[int, int]:
        cells = next(csv.reader([header], delimiter=delimiter), [])
        return len({_column(cell) for cell in cells} & known), len(cells)

    return max([",", "\t", ";", "|"], key=score)
