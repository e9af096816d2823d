"""Documents that are ZIP archives of XML parts: opened within bounds, entities left alone."""

from __future__ import annotations

import io
import posixpath
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from ingest.load.dates import iso_date
from kb.errors import SourceError

MOST_PARTS = 20_000
_UNREADABLE = (KeyError, ValueError, OSError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error)
"""What zipfile raises for an archive or a part that is missing or damaged, a password aside."""

_MIB = 1 << 20
_DC = "{http://purl.org/dc/elements/1.1/}"
_TERMS = "{http://purl.org/dc/terms/}"
_RELATION = "{http://schemas.openxmlformats.org/package/2006/relationships}Relationship"
REL_ID = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}id"


def open_archive(data: bytes, what: str) -> zipfile.ZipFile:
    """The archive in ``data``; raises ``SourceError`` where it is damaged or unpacks to far more than it is.

    The sizes that an archive declares are a true bound: no more of a part is ever unpacked.
    """
    try:
        archive = zipfile.ZipFile(io.BytesIO(data))
        parts = archive.infolist()
    except _UNREADABLE as error:
        raise SourceError(f"this is no readable {what} ({error})", "save or download it anew") from error
    unpacked = sum(part.file_size for part in parts)
    most = 100 * _MIB + 50 * len(data)
    if unpacked > most or len(parts) > MOST_PARTS:
        raise SourceError(
            f"this {what} unpacks to {unpacked // _MIB:,} MB in {len(parts):,} parts",
            "take out what is needed",
        )
    return archive


def names(data: bytes) -> set[str]:
    """The names of the parts, with the type that a ``mimetype`` part states; empty if it is no archive."""
    try:
        with open_archive(data, "archive") as archive:
            found = set(archive.namelist())
            if "mimetype" in found and archive.getinfo("mimetype").file_size < 200:
                found.add(archive.read("mimetype").decode("ascii", "replace").strip())
            return found
    except (SourceError, RuntimeError, *_UNREADABLE):
        return set()


def xml(archive: zipfile.ZipFile, name: str, what: str) -> Any:
    """The root element of a part; raises ``SourceError`` where it is missing or damaged."""
    from lxml import etree

    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, remove_comments=True)
    try:
        return etree.fromstring(archive.read(name), parser)
    except (*_UNREADABLE, etree.XMLSyntaxError) as error:
        raise SourceError(
            f"this is no readable {what} ({name} is missing or damaged)", "save or download it anew"
        ) from error
    except RuntimeError as error:  # what zipfile raises for an encrypted part
        raise SourceError(f"this {what} is encrypted", "save a copy without a password") from error


def relations(archive: zipfile.ZipFile, part: str, what: str) -> dict[str, str]:
    """The parts that an Office part refers to, by the id of the reference."""
    folder, name = posixpath.split(part)
    listed = f"{folder}/_rels/{name}.rels"
    if listed not in archive.namelist():
        return {}
    return {
        relation.get("Id"): posixpath.normpath(posixpath.join("/" + folder, relation.get("Target"))).lstrip(
            "/"
        )
        for relation in xml(archive, listed, what).iter(_RELATION)
        if relation.get("TargetMode") != "External" and relation.get("Target")
    }


def text_of(element: Any, *path: str) -> str | None:
    """The text of the first descendant of one of these names that has any, as one line."""
    found: Iterator[Any] = (node for name in path for node in element.iter(name))
    return next((line for node in found if (line := " ".join("".join(node.itertext()).split()))), None)


def _day(element: Any, name: str) -> str | None:
    return (iso_date(text_of(element, name)) or "")[:10] or None


def office_properties(archive: zipfile.ZipFile, what: str) -> dict[str, str | None]:
    """title, author, publisher, published, updated and language as Word, Excel and PowerPoint note them."""
    fields: dict[str, str | None] = {}
    if "docProps/core.xml" in archive.namelist():
        core = xml(archive, "docProps/core.xml", what)
        fields = {
            "title": text_of(core, f"{_DC}title"),
            "author": text_of(core, f"{_DC}creator"),
            "published": _day(core, f"{_TERMS}created"),
            "updated": _day(core, f"{_TERMS}modified"),
            "language": text_of(core, f"{_DC}language"),
        }
    if "docProps/app.xml" in archive.namelist():
        fields["publisher"] = text_of(xml(archive, "docProps/app.xml", what), "{*}Company")
    return fields


def dublin_core(element: Any) -> dict[str, str | None]:
    """title, author, publisher, published and language from Dublin Core elements below ``element``."""
    creators = [" ".join(node.itertext()).strip() for node in element.iter(f"{_DC}creator")]
    return {
        "title": text_of(element, f"{_DC}title"),
        "author": ", ".join(dict.fromkeys(filter(None, creators))) or None,
        "publisher": text_of(element, f"{_DC}publisher"),
        "published": _day(element, f"{_DC}date"),
        "language": text_of(element, f"{_DC}language"),
    }


def joined(folder: str, reference: str) -> str:
    """The name of the part that a reference inside a part of ``folder`` means."""
    return posixpath.normpath(posixpath.join("/" + folder, unquote(reference.split("#")[0]))).lstrip("/")
