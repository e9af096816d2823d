"""Files to documents: one loader per kind of source, chosen by content as well as by suffix.

``load`` reads a file, ``parse`` bytes that are at hand already (a fetched page, a hashed file). A loader
gives blocks and metadata; the text, its sections and its offsets are made here, the same way for all.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ingest import PIPELINE_VERSION
from ingest.load import (
    archive,
    docx,
    epub,
    feed,
    html,
    mail,
    markdown,
    odt,
    package,
    pdf,
    pptx,
    records,
    rtf,
    text,
    xlsx,
)
from ingest.load.blocks import Draft, assemble, is_afterword, is_faq_title, mark_headings
from ingest.load.dates import update_date
from ingest.load.encrypted import OLE, open_office
from kb.errors import NotADocument, SourceError
from kb.types import Document, Failure, Section

SUFFIXES = {
    ".txt": "text",
    ".text": "text",
    ".md": "markdown",
    ".markdown": "markdown",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".mhtml": "mhtml",
    ".mht": "mhtml",
    ".pdf": "pdf",
    ".docx": "docx",
    ".odt": "odt",
    ".pptx": "pptx",
    ".xlsx": "xlsx",
    ".epub": "epub",
    ".rtf": "rtf",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".eml": "eml",
    ".mbox": "mbox",
    ".zip": "zip",
}
"""The kind of file that each suffix stands for."""

OLD_OFFICE = (".doc", ".xls", ".ppt", ".msg")
"""What cannot be read, but is named in the report rather than passed over: somebody wrote it."""

MOST_NESTED = 3
"""Archives in archives, attachments of attached messages: so deep and no deeper."""

_READERS: dict[str, Callable[[bytes, str], Draft]] = {
    "text": text.read,
    "markdown": markdown.read,
    "html": html.read,
    "mhtml": mail.read_page,
    "docx": docx.read,
    "odt": odt.read,
    "pptx": pptx.read,
    "epub": epub.read,
    "rtf": rtf.read,
    "eml": mail.read,
}
_ZIPPED = ("docx", "odt", "pptx", "xlsx", "epub", "zip")
_PARTS = {
    "word/document.xml": "docx",
    "ppt/presentation.xml": "pptx",
    "xl/workbook.xml": "xlsx",
    epub.MEDIA_TYPE: "epub",
    odt.MEDIA_TYPE: "odt",
}
_HEAD = 4096
_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b",
    re.IGNORECASE | re.DOTALL,
)
_HEADERS = re.compile(rb"(?:[A-Za-z][A-Za-z0-9-]*:[^\n]*\n(?:[ \t][^\n]*\n)*){2,}")
_COMMON = re.compile(r"(?:table of )?contents|abstract|summary|introduction|overview", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Options:
    """How to read: the ``password`` of encrypted files, the ``columns`` of records as (field, name) pairs.

    ``scans``: take the time to recognise the words on scanned pages.
    """

    password: str | None = None
    columns: tuple[tuple[str, str], ...] = ()
    scans: bool = False


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a source holds: its documents, and the rows or files in it that could not be read.

    A feed or sitemap holds none, but ``links`` to pages. ``unrecognised``: scanned pages were left out that
    would have been read, were the command for it there.
    """

    documents: tuple[Document, ...]
    failures: tuple[Failure, ...] = ()
    links: tuple[str, ...] = ()
    unrecognised: bool = False


def load(path: Path, document_id: str) -> Loaded:
    """Read a file; raises ``SourceError`` if it cannot be read as a whole."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read ({error.strerror})", "check the path and its permissions"
        ) from error
    return parse(data, document_id, source=str(path.resolve()), name=path.name)


def parse(
    data: bytes, document_id: str, *, source: str, name: str, options: Options = Options(), depth: int = 0
) -> Loaded:
    """The documents in ``data``; ``name`` is the file name it goes by, for its kind and as a last title.

    Ingestion calls ``ingest.worker.parse`` instead, which does this in a child process with limits.
    ``depth`` is that of archives and messages around it.
    """
    kind = kind_of(data[:_HEAD], name)
    if kind == "ole":
        data = open_office(data, options.password)
        kind = "zip"
    if kind in _ZIPPED:
        kind = _kind_of_archive(data, kind)
    if kind is None:
        raise SourceError(
            "this kind of file is not supported", f"supported are {', '.join(sorted(SUFFIXES))}"
        )
    if kind in ("zip", "mbox"):
        members = archive.members(data, options.password) if kind == "zip" else _messages(data)
        return _parse_members(members, document_id, source, options, depth)
    if kind == "feed":
        return Loaded((), links=feed.links(data))
    if kind == "xlsx":
        book = xlsx.sheets(data)
        if (table := records.article_table(book, options.columns)) is None:
            return _one(xlsx.draft(data, book), document_id, source, name, data)
        return _parse_records(table, xlsx.MEDIA_TYPE, document_id, source)
    if kind in records.MEDIA_TYPES:
        rows = records.rows(data, kind, options.columns)
        return _parse_records(rows, records.MEDIA_TYPES[kind], document_id, source)
    if kind == "pdf":
        # More time is given to a file as a whole, not to one among many.
        draft = pdf.read(data, name, options.password, scans=options.scans if depth == 0 else None)
        loaded = _one(draft, document_id, source, name, data)
        return _to_read_again(loaded) if draft.unread is not None and depth == 0 else loaded
    if kind == "eml":
        return _parse_message(data, document_id, source, name, options, depth)
    return _one(_READERS[kind](data, name), document_id, source, name, data)


def content_hash(data: bytes, columns: Iterable[tuple[str, str]] = ()) -> str:
    """The hash under which a source need not be read again; it changes with the pipeline too."""
    how = json.dumps(sorted(columns)).encode() if columns else b""
    return hashlib.sha256(PIPELINE_VERSION.encode() + how + b"\0" + data).hexdigest()


def unrecognised_hash(digest: str) -> str:
    """What stands for a content hash where scanned pages were left out: with the means, it is read again."""
    return hashlib.sha256(f"{digest} without text recognition".encode()).hexdigest()


def kind_of(head: bytes, name: str) -> str | None:
    """The kind of a file from its first bytes, else from its suffix; ``None`` if neither tells.

    ``zip`` is an archive that may be an Office document, ``ole`` one of an old or an encrypted kind.
    """
    suffix = Path(name).suffix.lower()
    kind = SUFFIXES.get(suffix)
    if b"%PDF-" in head[:1024]:
        return "pdf"
    if head.startswith(OLE) or suffix in OLD_OFFICE:
        return "ole" if head.startswith(OLE) else _kind_of_text(head)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return kind if kind in _ZIPPED else "zip"
    if kind in (None, "text", "markdown", "html"):
        kind = _kind_of_text(head) or kind
    if kind is None and not suffix and not name.startswith("."):
        return "text" if head and b"\0" not in head else None
    return kind


def _kind_of_text(head: bytes) -> str | None:
    """Rich text and web pages show themselves whatever they are called; so do saved pages and messages."""
    head = head.removeprefix(b"\xef\xbb\xbf")
    if head.startswith(b"{\\rtf"):
        return "rtf"
    if _HTML.match(head):
        return "html"
    if feed.HEAD.match(head):
        return "feed"
    if _HEADERS.match(head) and re.search(rb"(?im)^mime-version:", head):
        return "mhtml" if re.search(rb"(?im)^content-type:\s*multipart/related", head) else "eml"
    return None


def _kind_of_archive(data: bytes, kind: str) -> str:
    names = package.names(data)
    return next((found for part, found in _PARTS.items() if part in names), "zip" if names else kind)


def _one(draft: Draft, document_id: str, source: str, name: str, data: bytes) -> Loaded:
    stem = Path(name).stem or document_id
    document = _document(draft, document_id, source, stem, content_hash(data))
    if draft.unread is None:
        return Loaded((document,))
    unread = SourceError(draft.unread, f"{pdf.OCR}; the rest is kept")
    return Loaded((document,), (Failure(source, str(unread)),))


def _to_read_again(loaded: Loaded) -> Loaded:
    """A file without its scanned pages; its hash says so, since with them it is another text."""
    documents = tuple(
        replace(document, content_hash=unrecognised_hash(document.content_hash))
        for document in loaded.documents
    )
    return replace(loaded, documents=documents, unrecognised=True)


def _messages(data: bytes) -> Iterator[tuple[str, bytes]]:
    return ((f"{number}.eml", message) for number, message in enumerate(mail.messages(data), start=1))


def _parse_message(
    data: bytes, document_id: str, source: str, name: str, options: Options, depth: int
) -> Loaded:
    """An e-mail and what is attached to it; either may be empty."""
    attached = _parse_members(mail.attachments(data), document_id, source, options, depth)
    try:
        message = _one(mail.read(data, name), document_id, source, name, data)
    except SourceError:
        if not attached.documents:
            raise
        return attached
    return Loaded(message.documents + attached.documents, attached.failures)


def _parse_members(
    members: Iterable[tuple[str, bytes | SourceError]],
    document_id: str,
    source: str,
    options: Options,
    depth: int,
) -> Loaded:
    """The documents of files inside another one; what is no document is passed over, as in a folder."""
    documents: list[Document] = []
    failures: list[Failure] = []
    ids: set[str] = set()
    for path, content in members:
        where, name = f"{source}#{path}", path.rpartition("/")[2]
        if isinstance(content, SourceError):
            failures.append(Failure(where, str(content)))
            continue
        if not is_supported(content, name):
            continue
        try:
            if depth >= MOST_NESTED:
                raise SourceError("it lies too deep in archives", "unpack them and ingest the files")
            inner = parse(
                content, f"{document_id}/{path}", source=where, name=name, options=options, depth=depth + 1
            )
        except NotADocument:
            continue
        except SourceError as error:
            failures.append(Failure(where, str(error)))
            continue
        except (
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            ArithmeticError,
            RecursionError,
            OSError,
        ) as error:
            failures.append(Failure(where, str(misunderstood(error))))
            continue
        failures += inner.failures
        for document in inner.documents:
            # Records in two files of one archive may go by the same id.
            full = replace(document, id=f"{document_id}/{path}#{document.id}")
            chosen = document if document.id not in ids else full
            if chosen.id in ids:
                failures.append(
                    Failure(where, str(SourceError("the archive holds this file twice", "rename it")))
                )
                continue
            ids.add(chosen.id)
            documents.append(chosen)
    return Loaded(tuple(documents), tuple(failures))


def is_supported(head: bytes, name: str) -> bool:
    """Whether a file beside others is ours, from its first 64 KiB: by suffix or, without one, by content.

    A list of questions for ``kbqa batch`` may lie beside the documents and is not one of them.
    """
    suffix = Path(name).suffix.lower()
    if SUFFIXES.get(suffix) in ("csv", "tsv"):
        return not records.is_question_list(head)
    if suffix:
        return suffix in SUFFIXES or suffix in OLD_OFFICE
    return kind_of(head, name) in ("pdf", "html", "mhtml", "rtf", "zip")


def misunderstood(error: Exception) -> SourceError:
    """The error for whatever a parser raises: a fault of its source alone."""
    reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return SourceError(
        f"the file cannot be understood ({reason[:200]})", "check that it is whole, or save it anew"
    )


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
        updated=update_date(draft.updated, draft.published),
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


def _parse_records(rows: Iterable[records.Row], media_type: str, document_id: str, source: str) -> Loaded:
    documents: list[Document] = []
    failures: list[Failure] = []
    seen: dict[str, int] = {}
    for number, fields in rows:
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
            documents.append(_document(records.draft(fields, media_type), row_id, where, row_id, digest))
        except SourceError as error:
            failures.append(Failure(where, str(error)))
    if not documents and not failures:
        raise SourceError("the file holds no rows", "add a header and one row for each document")
    return Loaded(tuple(documents), tuple(failures))
