"""What a batch has done so far, on disk, so that a run that is killed loses nothing that it had finished."""

from __future__ import annotations

import io
import json
import logging
import os
import threading
from pathlib import Path
from typing import IO, Any

Result = dict[str, Any]

_log = logging.getLogger(__name__)


def journal_path(target: Path) -> Path:
    """Where the finished rows of a run are kept until its output is complete."""
    return target.with_name(target.name + ".journal")


def open_journal(path: Path, *, state: str) -> Journal:
    """A journal to go on with."""
    return Journal(path.open("a+b"), state=state)


def look_into_journal(path: Path, *, state: str) -> Journal:
    """A journal only to be looked at; an empty one if there is none."""
    return Journal(path.open("rb") if path.exists() else io.BytesIO(), state=state)


class Journal:
    """Finished rows on disk, one a line; in memory only where each line begins.

    ``key in journal`` means that the row was finished under the same ``state`` (knowledge base and
    settings) and did not fail; ``done`` holds these keys, ``stale`` those finished under another one.
    Threads may add rows at the same time; what one of them has added is past the end of this process.
    """

    def __init__(self, file: IO[bytes], *, state: str) -> None:
        self.state = state
        self.stale: set[str] = set()
        self.done: set[str] = set()
        self._places: dict[str, int] = {}
        self._lock = threading.Lock()
        self._file = file
        self._load()

    def _load(self) -> None:
        place = 0
        self._file.seek(0)
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            try:
                entry = json.loads(line)
                self._note(entry["key"], place, entry["state"], failed=entry["failed"])
            except (ValueError, KeyError, TypeError):
                _log.warning("a line of the journal cannot be read, its row is asked again")
            place += len(line)
        if self._file.writable():
            self._file.truncate(place)  # a line that a killed run left half written

    def _note(self, key: str, place: int, state: str, *, failed: bool) -> None:
        for group in (self.done, self.stale):
            group.discard(key)
        self._places[key] = place
        if not failed:
            (self.done if state == self.state else self.stale).add(key)

    def add(self, key: str, result: Result, *, failed: bool) -> None:
        """Keep the result of a row."""
        entry = {"key": key, "state": self.state, "failed": failed, "result": result}
        line = json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
        with self._lock:
            place = self._file.seek(0, os.SEEK_END)
            self._file.write(line)
            self._file.flush()
            self._note(key, place, self.state, failed=failed)

    def result(self, key: str) -> Result | None:
        """The latest result of a row, or ``None`` if it has none under this ``state``."""
        if key not in self._places or key in self.stale:
            return None
        with self._lock:
            self._file.seek(self._places[key])
            line = self._file.readline()
        found: Result = json.loads(line)["result"]
        return found

    def __contains__(self, key: str) -> bool:
        return key in self.done

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
