"""Files to documents: one loader per kind of source, chosen by content as well as by suffix.

``load`` reads a file, ``parse`` bytes that are at hand already (a fetched page, a hashed file). A loader
gives blocks and metadata; the text, its sections and its offsets are made here, the same way for all.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from ingest import PIPELINE_VERSION
from ingest.load import docx, html, markdown, pdf, records, text
from ingest.load.blocks import Draft, assemble, is_afterword, is_faq_title, mark_headings
from kb.errors import SourceError
from kb.types import Document, Failure, Section

SUFFIXES = {
    ".txt": "text",
    ".text": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".pdf": "pdf",
    ".docx": "docx",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}
"""The kind of file that each suffix stands for."""

_READERS: dict[str, Callable[[bytes, str], Draft]] = {
    "text": text.read,
    "markdown": markdown.read,
    "html": html.read,
    "pdf": pdf.read,
    "docx": docx.read,
}
_HEAD = 4096
_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_COMMON = re.compile(r"(?:table of )?contents|abstract|summary|introduction|overview", re.IGNORECASE)
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a source holds: its documents, and the rows of it that could not be read."""

    documents: tuple[Document, ...]
    failures: tuple[Failure, ...] = ()


def load(path: Path, document_id: str) -> Loaded:
    """Read a file; raises ``SourceError`` if it cannot be read as a whole."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read ({error.strerror})", "check the path and its permissions"
        ) from error
    return parse(data, document_id, source=str(path.resolve()), name=path.name)


def parse(data: bytes, document_id: str, *, source: str, name: str, password: str | None = None) -> Loaded:
    """The documents in ``data``; ``name`` is the file name it goes by, for its kind and as a last title.

    Ingestion calls ``ingest.worker.parse`` instead, which does this in a child process with limits.
    """
    kind = kind_of(data[:_HEAD], name) or ""
    if kind == "zip" and not _is_word(data):
        kind = ""
    if not kind:
        raise SourceError(
            "this kind of file is not supported", f"supported are {', '.join(sorted(SUFFIXES))}"
        )
    if kind in records.MEDIA_TYPES:
        return _parse_records(data, kind, document_id, source)
    draft = _READERS["docx" if kind == "zip" else kind](data, name)
    stem = Path(name).stem or document_id
    return Loaded((_document(draft, document_id, source, stem, content_hash(data)),))


def content_hash(data: bytes) -> str:
    """The hash under which a source need not be read again; it changes with the pipeline too."""
    return hashlib.sha256(PIPELINE_VERSION.encode() + b"\0" + data).hexdigest()


def kind_of(head: bytes, name: str) -> str | None:
    """The kind of a file from its first bytes, else from its suffix; ``None`` if neither tells.

    ``zip`` is an archive that may be a Word document.
    """
    kind = SUFFIXES.get(Path(name).suffix.lower())
    if b"%PDF-" in head[:1024]:
        return "pdf"
    if head.startswith(_OLE):
        raise SourceError(
            "this is an old or a password-protected Office document", "save it as .docx without a password"
        )
    if head.startswith(b"PK\x03\x04"):
        return "docx" if kind == "docx" else "zip"
    if kind in (None, "text", "markdown", "html") and _HTML.match(head.removeprefix(b"\xef\xbb\xbf")):
        return "html"
    if kind is None and not Path(name).suffix and not name.startswith("."):
        return "text" if head and b"\0" not in head else None
    return kind


def _is_word(data: bytes) -> bool:
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            return "word/document.xml" in archive.namelist()
    except zipfile.BadZipFile:
        return False


def _document(draft: Draft, document_id: str, source: str, fallback: str, digest: str) -> Document:
    """The document of a draft; raises ``SourceError`` if it has no text."""
    body = assemble(mark_headings(draft.blocks))
    if not body.text:
        raise SourceError("there is no text in it", "check that it was saved completely")
    return Document(
        id=document_id,
        source=source,
        title=draft.title or _first_heading(body.sections) or fallback,
        text=body.text,
        media_type=draft.media_type,
        content_hash=digest,
        author=draft.author,
        publisher=draft.publisher,
        published=draft.published,
        url=draft.url,
        language=draft.language,
        sections=body.sections,
        page_starts=body.page_starts,
    )


def _first_heading(sections: tuple[Section, ...]) -> str | None:
    """The first heading that can be a title: no question, and none of the headings every article has."""
    return next((section.title for section in sections if _can_be_title(section)), None)


def _can_be_title(section: Section) -> bool:
    common = is_faq_title(section.title) or is_afterword(section.title) or _COMMON.fullmatch(section.title)
    return not section.is_question and not common


def _parse_records(data: bytes, kind: str, document_id: str, source: str) -> Loaded:
    documents: list[Document] = []
    failures: list[Failure] = []
    seen: dict[str, int] = {}
    for number, fields in records.rows(data, kind):
        where = f"{source}#{number}"
        if isinstance(fields, SourceError):
            failures.append(Failure(where, str(fields)))
            continue
        row_id = " ".join(str(fields.get("id", "")).split()) or f"{document_id}#{number}"
        if row_id in seen:
            error = SourceError(
                f"rows {seen[row_id]} and {number} both have the id {row_id}", "give each row its own id"
            )
            failures.append(Failure(where, str(error)))
            continue
        seen[row_id] = number
        digest = content_hash(json.dumps(fields, sort_keys=True, default=str).encode("utf-8", "replace"))
        try:
            documents.append(_document(records.draft(fields, kind), row_id, where, row_id, digest))
        except SourceError as error:
            failures.append(Failure(where, str(error)))
    if not documents and not failures:
        raise SourceError("the file holds no rows", "add a header and one row for each document")
    return Loaded(tuple(documents), tuple(failures))
