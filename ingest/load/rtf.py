"""Rich text (RTF): the text by striprtf, the properties that stand at the head of the file."""

from __future__ import annotations

import re
from dataclasses import replace

from ingest.load.blocks import Draft, without_byline
from ingest.load.dates import iso_date
from ingest.load.text import draft

MEDIA_TYPE = "application/rtf"
_LONGEST_HEAD = 200_000


def read(data: bytes, name: str) -> Draft:
    """Read a rich text file; headings are recognised as in plain text."""
    source = data.decode("latin-1")
    # A cell ends with a bar, which at the end of a row separates nothing.
    text = re.sub(r" *\| *$", "", _plain(source), flags=re.MULTILINE)
    plain = draft(re.sub(r" *\| *", " | ", text))
    head = source[:_LONGEST_HEAD]
    return without_byline(
        replace(
            plain,
            media_type=MEDIA_TYPE,
            title=_property(head, "title") or plain.title,
            author=_property(head, "author") or plain.author,
            publisher=_property(head, "company"),
            published=_moment(head, "creatim") or plain.published,
            updated=_moment(head, "revtim"),
        )
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


def _moment(head: str, name: str) -> str | None:
    match = re.search(rf"\{{\\{name}\\yr(\d{{4}})\\mo(\d{{1,2}})\\dy(\d{{1,2}})", head)
    return iso_date("{}-{:0>2}-{:0>2}".format(*match.groups())) if match else None
