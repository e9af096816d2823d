"""Messages: e-mail (.eml), mailboxes (.mbox) and web pages saved as one file (.mhtml)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from email import policy
from email.errors import MessageError
from email.message import EmailMessage
from email.parser import BytesParser
from email.utils import parsedate_to_datetime
from typing import Any

from ingest.load import html, text
from ingest.load.blocks import Block, Draft
from ingest.load.dates import iso_date
from kb.errors import SourceError

EMAIL = "message/rfc822"
_ENCRYPTED = ("multipart/encrypted", "application/pkcs7-mime", "application/x-pkcs7-mime")
_PROTECTED = re.compile(r"\.rpmsg$|^smime\.p7m$", re.IGNORECASE)


def read(data: bytes, name: str) -> Draft:
    """Read one e-mail: its text, else its HTML; the subject is the title, the sender the author."""
    message = _message(data)
    if message.get_content_type() in _ENCRYPTED or any(_PROTECTED.search(n) for n, _ in _attached(message)):
        raise SourceError("this e-mail is encrypted", "save its text from the mail program that can open it")
    body = message.get_body(("plain", "html"))
    blocks: list[Block] = []
    if body is not None:
        content = _text(body)
        plain = body.get_content_subtype() == "plain"
        blocks = text.blocks(content, opening=False) if plain else html.fragment_blocks(content)
    sender = re.sub(r"\s*<[^<>]*>|\"", "", _header(message, "from")).strip() or _header(message, "from")
    return Draft(
        blocks,
        EMAIL,
        title=_header(message, "subject") or None,
        author=sender or None,
        published=_date(message),
        language=_header(message, "content-language") or None,
    )


def attachments(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The name and bytes of each file attached to an e-mail."""
    for name, part in _attached(_message(data)):
        content = part.get_payload(decode=True)
        if isinstance(content, bytes) and content:
            yield name, content


def messages(data: bytes) -> Iterator[bytes]:
    """The messages of a mailbox; each begins at a line "From ..." after an empty one."""
    starts = [match.end() for match in re.finditer(rb"(?:\A|(?<=\n\n)|(?<=\n\r\n))From [^\r\n]*\r?\n", data)]
    ends = [data.rfind(b"From ", 0, start) for start in starts[1:]] + [len(data)]
    for start, end in zip(starts, ends, strict=True):
        yield re.sub(rb"(?m)^>(>*From )", rb"\1", data[start:end])


def read_page(data: bytes, name: str) -> Draft:
    """Read a web page that a browser saved as one file (MHTML)."""
    message = _message(data)
    pages = [
        part for part in message.walk() if part.get_content_type() in ("text/html", "application/xhtml+xml")
    ]
    if not pages:
        raise SourceError("there is no page in this MHTML file", "save the page again, as HTML")
    draft = html.read(_text(pages[0]).encode("utf-8", "ignore"), name)
    place = _header(message, "snapshot-content-location") or _header(pages[0], "content-location")
    return replace(draft, url=draft.url or (place if place.startswith(("http://", "https://")) else None))


def _message(data: bytes) -> EmailMessage:
    try:
        return BytesParser(policy=policy.default).parsebytes(data)
    except (MessageError, ValueError, LookupError) as error:
        raise SourceError(
            f"this e-mail is damaged ({error})", "save it from the mail program again"
        ) from error


def _attached(message: EmailMessage) -> Iterator[tuple[str, EmailMessage]]:
    for part in message.walk():
        if not part.is_multipart() and (name := part.get_filename()):
            yield str(name).replace("/", "_").replace("\\", "_"), part


def _text(part: Any) -> str:
    """The text of a part, by its declared character set where that exists."""
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    try:
        return data.decode(part.get_content_charset() or "utf-8")
    except (LookupError, UnicodeDecodeError):
        return html.decode_page(data)


def _header(message: EmailMessage, name: str) -> str:
    # A header that breaks the rules raises only when it is looked at.
    try:
        return " ".join(str(message.get(name) or "").split())
    except (ValueError, IndexError, AttributeError, LookupError, TypeError):
        return ""


def _date(message: EmailMessage) -> str | None:
    try:
        return iso_date(parsedate_to_datetime(_header(message, "date")))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
