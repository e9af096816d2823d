"""OpenDocument texts (LibreOffice Writer): headings, lists and tables in the order of the document."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ingest.load.blocks import Block, Draft, paragraph, without_byline
from ingest.load.dates import iso_date
from ingest.load.package import dublin_core, open_archive, text_of, xml
from kb.errors import SourceError

MEDIA_TYPE = "application/vnd.oasis.opendocument.text"
_WHAT = "OpenDocument text"
_TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
_TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
_OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
_STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
_FO = "{urn:oasis:names:tc:opendocument:xmlns:xsl-fo-compatible:1.0}"
_META = "{urn:oasis:names:tc:opendocument:xmlns:meta:1.0}"
_MANIFEST = "{urn:oasis:names:tc:opendocument:xmlns:manifest:1.0}"
_DRAWN_TITLE = "{urn:oasis:names:tc:opendocument:xmlns:svg-compatible:1.0}"
_LEFT_OUT = frozenset({
    f"{_TEXT}tracked-changes", f"{_TEXT}table-of-content", f"{_TEXT}note", f"{_OFFICE}annotation",
    f"{_TEXT}sequence-decls", f"{_DRAWN_TITLE}title", f"{_DRAWN_TITLE}desc",
})  # fmt: skip
_INLINE = {f"{_TEXT}tab": " ", f"{_TEXT}line-break": "\n"}


def read(data: bytes, name: str) -> Draft:
    """Read an OpenDocument text; raises ``SourceError`` for one that is damaged or encrypted."""
    with open_archive(data, _WHAT) as archive:
        parts = archive.namelist()
        if "META-INF/manifest.xml" in parts:
            manifest = xml(archive, "META-INF/manifest.xml", _WHAT)
            if next(manifest.iter(f"{_MANIFEST}encryption-data"), None) is not None:
                raise SourceError(
                    f"this {_WHAT} needs its password, which kbqa cannot use here",
                    "open it in LibreOffice and save a copy without a password",
                )
        content = xml(archive, "content.xml", _WHAT)
        meta = xml(archive, "meta.xml", _WHAT) if "meta.xml" in parts else None
    body = next(content.iter(f"{_OFFICE}text"), None)
    if body is None:
        raise SourceError(f"this is no readable {_WHAT}", "save it in LibreOffice again, as .odt")
    fields: dict[str, str | None] = {}
    if meta is not None:
        fields = dublin_core(meta)
        fields["updated"] = fields["published"]  # the date is that of the last change
        created = iso_date(text_of(meta, f"{_META}creation-date"))
        fields["author"] = text_of(meta, f"{_META}initial-creator") or fields["author"]
        fields["published"] = created[:10] if created else fields["published"]
    return without_byline(Draft(list(_blocks(body, _bold_styles(content))), MEDIA_TYPE, **fields))


def _bold_styles(content: Any) -> set[str]:
    return {
        style.get(f"{_STYLE}name")
        for style in content.iter(f"{_STYLE}style")
        if any(properties.get(f"{_FO}font-weight") == "bold" for properties in style)
    }


def _blocks(element: Any, bold: set[str]) -> Iterator[Block]:
    for child in element:
        if child.tag == f"{_TEXT}h":
            level = child.get(f"{_TEXT}outline-level", "1")
            yield Block(
                "".join(text for text, _ in _runs(child, bold)),
                level=min(int(level), 6) if level.isdigit() and level != "0" else 1,
            )
        elif child.tag == f"{_TEXT}p":
            if child.get(f"{_TEXT}style-name") == "Title":
                yield Block("".join(text for text, _ in _runs(child, bold)), level=1)
            else:
                yield from paragraph(_runs(child, bold))
        elif child.tag == f"{_TEXT}list":
            yield from _items(child, bold, tight=False)
        elif child.tag == f"{_TABLE}table":
            yield from _rows(child)
        elif child.tag not in _LEFT_OUT:
            yield from _blocks(child, bold)  # a section, a frame, an index


def _items(listed: Any, bold: set[str], *, tight: bool) -> Iterator[Block]:
    for item in listed:
        prefix = "- "
        for part in item:
            if part.tag == f"{_TEXT}list":
                yield from _items(part, bold, tight=tight)
            elif part.tag == f"{_TEXT}h":
                yield from _blocks([part], bold)  # numbered headings stand in lists
            elif part.tag == f"{_TEXT}p":
                yield from paragraph(_runs(part, bold), prefix=prefix, tight=tight)
                prefix = ""
            tight = True


def _runs(element: Any, bold: set[str], strong: bool = False) -> Iterator[tuple[str, bool]]:
    """The text as runs of (text, bold); white space counts as one blank, as OpenDocument has it."""
    strong = strong or element.get(f"{_TEXT}style-name") in bold
    if element.text:
        yield " ".join(f"x{element.text}x".split())[1:-1], strong
    for child in element:
        if child.tag in _INLINE:
            yield _INLINE[child.tag], strong
        elif child.tag == f"{_TEXT}s":
            yield " ", strong
        elif child.tag not in _LEFT_OUT:
            yield from _runs(child, bold, strong)
        if child.tail:
            yield " ".join(f"x{child.tail}x".split())[1:-1], strong


def _rows(table: Any) -> Iterator[Block]:
    tight = False
    for row in table.iter(f"{_TABLE}table-row"):
        cells = [_cell(cell) for cell in row if cell.tag == f"{_TABLE}table-cell"]
        if any(cells):
            yield Block(" | ".join(cells), tight=tight)
            tight = True


def _cell(cell: Any) -> str:
    parts = ("".join(text for text, _ in _runs(part, set())) for part in cell.iter(f"{_TEXT}p", f"{_TEXT}h"))
    return " ".join(" ".join(parts).split())
