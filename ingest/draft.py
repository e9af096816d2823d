"""A draft to be checked, read from a file; nothing of it is kept."""

from __future__ import annotations

from pathlib import Path

from ingest.worker import parse
from kb.errors import SourceError
from kb.tables import decode

PLAIN_TEXT = ("", ".txt", ".text", ".md", ".markdown")
READS = (".txt", ".md", ".docx", ".html", ".htm", ".pdf")  # what is offered; more is read where it can be
CURE = "save it as .txt, .md, .docx, .html or .pdf"


def read_draft(path: Path) -> str:
    """The text of a draft; plain text is taken letter by letter, other formats as ingestion reads them.

    Raises ``SourceError`` for what holds no text, ``OSError`` for what cannot be opened.
    """
    if path.suffix.lower() in PLAIN_TEXT:
        return decode(path.read_bytes())
    try:
        loaded = parse(path.read_bytes(), path.name, source=str(path), name=path.name)
    except SourceError as error:
        if path.suffix.lower() in READS:
            raise  # it says what is wrong with this one
        raise SourceError(f"{path.name} cannot be read as a draft", CURE) from error
    if not loaded.documents:
        reason = loaded.failures[0].error if loaded.failures else "it holds no text"
        raise SourceError(f"{path.name} cannot be read ({reason})", CURE)
    return "\n\n".join(document.text for document in loaded.documents)
