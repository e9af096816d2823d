"""E-books (EPUB): the chapters in reading order, metadata as the book states them."""

from __future__ import annotations

import posixpath
import zipfile
import zlib
from collections.abc import Iterator

from ingest.load.blocks import Block, Draft
from ingest.load.html import decode_page, fragment_blocks
from ingest.load.package import dublin_core, joined, open_archive, xml
from kb.errors import SourceError

MEDIA_TYPE = "application/epub+zip"
_WHAT = "EPUB book"
_PAGES = ("application/xhtml+xml", "text/html")


def read(data: bytes, name: str) -> Draft:
    """Read an e-book; raises ``SourceError`` for one that is damaged or locked to a device."""
    with open_archive(data, _WHAT) as archive:
        container = xml(archive, "META-INF/container.xml", _WHAT)
        package = next((node.get("full-path") for node in container.iter("{*}rootfile")), None) or ""
        book = xml(archive, package, _WHAT)
        if "META-INF/rights.xml" in archive.namelist():
            raise SourceError("this EPUB book is locked (DRM)", "ask the publisher for a copy that is not")
        listed = {item.get("id"): item for item in book.iter("{*}item")}
        chapters = [
            joined(posixpath.dirname(package), item.get("href", ""))
            for reference in book.iter("{*}itemref")
            if (item := listed.get(reference.get("idref"))) is not None and item.get("media-type") in _PAGES
            if "nav" not in (item.get("properties") or "").split()
        ]
        return Draft(list(_blocks(archive, chapters)), MEDIA_TYPE, **dublin_core(book))


def _blocks(archive: zipfile.ZipFile, chapters: list[str]) -> Iterator[Block]:
    for chapter in chapters:
        try:
            page = archive.read(chapter)
        except (
            KeyError,
            zipfile.BadZipFile,
            zlib.error,
            OSError,
            EOFError,
            NotImplementedError,
        ):  # a missing chapter is a damage of its own
            continue
        except RuntimeError as error:
            raise SourceError("this EPUB book is encrypted", "save a copy without a password") from error
        yield from fragment_blocks(decode_page(page))
