"""Markdown, with front matter: parsed by markdown-it, written out as plain text without markup."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ingest.load import text as plain
from ingest.load.blocks import Block, Draft, paragraph
from ingest.load.dates import iso_date
from ingest.load.decode import decode

if TYPE_CHECKING:
    from markdown_it.token import Token

NESTING = 100
_FRONT_MATTER = re.compile(r"---[ \t]*\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)


def read(data: bytes, name: str) -> Draft:
    """Read a Markdown file; front matter gives the metadata, a broken one costs only the metadata."""
    text = decode(data).replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff\n")
    fields, text = _front_matter(text)
    return Draft(
        blocks(text),
        "text/markdown",
        title=_field(fields, "title", "headline"),
        author=_field(fields, "author", "authors", "byline"),
        publisher=_field(fields, "publisher", "source", "site", "site_name", "outlet"),
        published=_date(fields, "published", "date", "pubdate", "created"),
        updated=_date(fields, "updated", "modified", "last_modified", "lastmod"),
        url=_field(fields, "url", "link", "canonical", "canonical_url"),
        language=_field(fields, "language", "lang"),
    )


def _date(fields: Mapping[str, Any], *names: str) -> str | None:
    return next(filter(None, (iso_date(fields.get(name)) for name in names)), None)


def _front_matter(text: str) -> tuple[dict[str, Any], str]:
    """The fields between the dashes at the top, and the text below them."""
    import yaml

    match = _FRONT_MATTER.match(text)
    if match is None:
        return {}, text
    try:
        # All scalars stay text: an impossible date is no error then, and the language "no" no boolean.
        fields = yaml.load(match[1], Loader=yaml.BaseLoader)
    except yaml.YAMLError:
        return _rescued(match[1]), text[match.end() :]
    if not isinstance(fields, Mapping):
        # Two rules with prose between them look like front matter and are text.
        return {}, text
    return {str(key).strip().lower(): value for key, value in fields.items()}, text[match.end() :]


def _rescued(block: str) -> dict[str, Any]:
    """The plain ``key: value`` lines of front matter that is not YAML."""
    lines = re.findall(r"^([A-Za-z_]+)[ \t]*:[ \t]*(\S.*)$", block, re.MULTILINE)
    return {key.lower(): value.strip().strip("\"'") for key, value in lines}


def _field(fields: Mapping[str, Any], *names: str) -> str | None:
    """The first of these fields that holds something; lists and mappings of names are joined."""
    return next((text for name in names if (text := _text(fields.get(name)))), None)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return _text(value.get("name") or value.get("title"))
    if isinstance(value, (list, tuple)):
        return ", ".join(filter(None, map(_text, value)))
    return "" if value is None else " ".join(str(value).split())


def blocks(text: str) -> list[Block]:
    """The blocks of a Markdown text: links as their text, tables a row a line, code as it stands."""
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"maxNesting": NESTING}).enable(["table", "strikethrough"])
    found = list(_walk(parser.parse(text)))
    # The parser drops what is nested deeper; text that is nothing but that is read as it stands.
    return found if any(block.text.strip() for block in found) else plain.blocks(text)


def _walk(tokens: Sequence[Token]) -> Iterator[Block]:
    lists: list[int | None] = []  # the next number of each open list, None for bullets
    marker, fresh, row, level = "", False, [""], 0
    in_table = first_row = False
    for token in tokens:
        kind = token.type
        if kind == "heading_open":
            level = int(token.tag[1])
        elif kind in ("bullet_list_open", "ordered_list_open"):
            lists.append(int(token.attrGet("start") or 1) if kind[0] == "o" else None)
            fresh = len(lists) == 1
        elif kind in ("bullet_list_close", "ordered_list_close"):
            lists.pop()
        elif kind == "list_item_open":
            marker = "- " if lists[-1] is None else f"{lists[-1]}. "
            lists[-1] = None if lists[-1] is None else lists[-1] + 1
        elif kind == "table_open":
            in_table = first_row = True
        elif kind == "tr_open":
            row = []
        elif kind == "tr_close":
            yield Block(" | ".join(row), tight=not first_row)
            first_row = False
        elif kind == "table_close":
            in_table = False
        elif kind == "inline" and in_table:
            row.append(" ".join("".join(text for text, _ in _runs(token)).split()))
        elif kind == "inline" and level:
            yield Block("".join(text for text, _ in _runs(token)), level=level)
            level = 0
        elif kind == "inline":
            yield from paragraph(_runs(token), prefix=marker, tight=bool(lists) and not fresh)
            marker, fresh = "", False
        elif kind in ("fence", "code_block"):
            yield Block(token.content, tight=bool(lists) and not fresh)
        elif kind == "html_block":
            yield from _html(token.content)


def _runs(inline: Token) -> Iterator[tuple[str, bool]]:
    """The text of a paragraph as runs of (text, bold)."""
    bold = 0
    for token in inline.children or ():
        bold += {"strong_open": 1, "strong_close": -1}.get(token.type, 0)
        if token.type == "softbreak":
            yield " ", bold > 0
        elif token.type == "hardbreak" or (
            token.type == "html_inline" and token.content.lower().startswith("<br")
        ):
            yield "\n", bold > 0
        elif token.type in ("text", "code_inline", "image"):
            yield token.content, bold > 0


def _html(fragment: str) -> list[Block]:
    """HTML inside Markdown: ``<details>``, tables and the like."""
    from ingest.load.html import fragment_blocks

    return fragment_blocks(fragment)
