"""Rich text (RTF): the text by striprtf, the properties that stand at the head of the file."""

from __future__ import annotations

import re

from ingest.load.blocks import Draft
from ingest.load.dates import iso_date
from ingest.load.text import blocks

MEDIA_TYPE = "application/rtf"
_LONGEST_HEAD = 200_000


def read(data: bytes, name: str) -> Draft:
    """Read a rich text file; headings are recognised as in plain text."""
    source = data.decode("latin-1")
    text = _plain(source)
    head = source[:_LONGEST_HEAD]
    return Draft(
        blocks(text, opening=False),
        MEDIA_TYPE,
        title=_property(head, "title"),
        author=_property(head, "author"),
        publisher=_property(head, "company"),
        published=_created(head),
    )


def _plain(source: str) -> str:
    from striprtf import striprtf

    text: str = striprtf.rtf_to_text(source, errors="replace")  # type: ignore[no-untyped-call]
    return text


def _property(head: str, name: str) -> str | None:
    match = re.search(rf"\{{\\{name}\s([^{{}}]*)\}}", head)
    if match is None:
        return None
    code_page = re.search(r"\\ansicpg\d+", head)
    prefix = r"{\rtf1\ansi" + (code_page[0] if code_page else "") + " "
    return " ".join(_plain(prefix + match[1] + "}").split()) or None


def _created(head: str) -> str | None:
    match = re.search(r"\{\\creatim\\yr(\d{4})\\mo(\d{1,2})\\dy(\d{1,2})", head)
    return iso_date("{}-{:0>2}-{:0>2}".format(*match.groups())) if match else None
