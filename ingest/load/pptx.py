"""Presentations (PowerPoint): a slide is a page with its title as heading, its text, tables and notes."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from typing import Any

from ingest.load.blocks import Block, Draft, paragraph
from ingest.load.package import REL_ID, office_properties, open_archive, relations, xml

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
_WHAT = "PowerPoint presentation"
_MAIN = "ppt/presentation.xml"
_A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
_P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
_TITLES = frozenset({"title", "ctrTitle"})
_FURNITURE = frozenset({"sldNum", "dt", "ftr", "hdr"})


def read(data: bytes, name: str) -> Draft:
    """Read a presentation; raises ``SourceError`` for one that is damaged."""
    with open_archive(data, _WHAT) as archive:
        parts = relations(archive, _MAIN, _WHAT)
        slides = [
            parts[reference]
            for slide in xml(archive, _MAIN, _WHAT).iter(f"{_P}sldId")
            if (reference := slide.get(REL_ID)) in parts
        ]
        blocks = [block for slide in slides for block in _slide(archive, slide)]
        return Draft(blocks, MEDIA_TYPE, **office_properties(archive, _WHAT))


def _slide(archive: zipfile.ZipFile, part: str) -> Iterator[Block]:
    yield Block("", breaks=(0,))
    yield from _shapes(xml(archive, part, _WHAT))
    for other in relations(archive, part, _WHAT).values():
        if "notesSlide" in other and other in archive.namelist():
            yield from _shapes(xml(archive, other, _WHAT), notes=True)


def _shapes(slide: Any, *, notes: bool = False) -> Iterator[Block]:
    """The text of each shape, and of each row of a table, in the order of the file."""
    for shape in slide.iter(f"{_P}sp", f"{_A}tr"):
        if shape.tag == f"{_A}tr":
            cells = [" ".join("".join(cell.itertext()).split()) for cell in shape.iter(f"{_A}tc")]
            first = next(shape.itersiblings(f"{_A}tr", preceding=True), None) is None
            if any(cells):
                yield Block(" | ".join(cells), tight=not first)
            continue
        place = next((holder.get("type", "body") for holder in shape.iter(f"{_P}ph")), "")
        if place in _FURNITURE or (notes and place != "body"):
            continue
        paragraphs = [_text(node) for body in shape.iter(f"{_P}txBody") for node in body.iter(f"{_A}p")]
        if place in _TITLES:
            yield Block(" ".join(paragraphs), level=2)
        else:
            for text in paragraphs:
                yield from paragraph([(text, False)])


def _text(node: Any) -> str:
    """The text of a paragraph; PowerPoint writes a line break as an element or as a control character."""
    parts = ("\n" if piece.tag == f"{_A}br" else piece.text or "" for piece in node.iter(f"{_A}t", f"{_A}br"))
    return "".join(parts).replace("_x000B_", "\n").replace("\v", "\n")
