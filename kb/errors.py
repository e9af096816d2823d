"""What can go wrong, as a tree; every message says what happened and what to do about it.

    KBError                   anything kbqa can explain in a sentence
    ├── UsageError            the request itself is wrong (exit code 2)
    │   └── SettingsError     an unknown or impossible setting
    ├── NoKnowledgeBase       nothing has been ingested here yet
    ├── KnowledgeBaseError    the stored data cannot be used
    │   ├── EmbedderMismatch  it was built with another embedding model
    │   └── StorageError      the disk or the database refused
    ├── Busy                  another process is writing to it
    ├── SourceError           a file, URL or record that cannot be read
    │   └── NotADocument      a file that may lie beside documents and is none
    ├── NoSuchDocument        an id that the knowledge base does not hold
    └── ModelError            an embedding or chat model that is missing or failed

The command line prints ``message`` and ``cure`` as one sentence; anything that is not a ``KBError`` is a
defect and keeps its traceback.
"""

from __future__ import annotations


class KBError(Exception):
    """An error with its cure. ``str()`` gives both, as a person should read them."""

    exit_code = 1

    def __init__(self, message: str, cure: str = "") -> None:
        super().__init__(message, cure)
        self.message = message.rstrip(".")
        self.cure = cure.rstrip(".")

    def __str__(self) -> str:
        return f"{self.message}: {self.cure}." if self.cure else f"{self.message}."


class UsageError(KBError):
    """The request itself is wrong."""

    exit_code = 2


class SettingsError(UsageError):
    """An unknown or impossible setting."""


class NoKnowledgeBase(KBError):
    """Nothing has been ingested here yet."""


class KnowledgeBaseError(KBError):
    """The stored data cannot be used."""


class EmbedderMismatch(KnowledgeBaseError):
    """The knowledge base was built with another embedding model."""


class StorageError(KnowledgeBaseError):
    """The disk or the database refused."""


class Busy(KBError):
    """Another process is writing to the knowledge base."""


class SourceError(KBError):
    """A file, URL or record that cannot be read."""


class NotADocument(SourceError):
    """A file that may lie beside documents and is none: passed over unless it was named."""


class NoSuchDocument(KBError):
    """An id that the knowledge base does not hold."""


class ModelError(KBError):
    """An embedding or chat model that is missing or failed."""
