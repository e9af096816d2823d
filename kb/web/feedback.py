"""What visitors say of answers, kept as a question set beside the knowledge base.

``kbqa eval KB/feedback.jsonl`` reads the file as it is: what was called right is expected again, what was
called wrong is expected to be as the note says. A rating is a line at the end; of several for one question
the last one counts.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal

from filelock import FileLock, Timeout

from kb.types import Answer, Turn

NAME = "feedback.jsonl"
LARGEST = 20 << 20  # bytes; a desk that is open to anyone must not fill the disk
LONGEST = 2000  # characters of a note
Judged = Literal["right", "wrong", "wrong source"]
KINDS: tuple[Judged, ...] = ("right", "wrong", "wrong source")


def as_case(answer: Answer, history: Sequence[Turn], judged: Judged, note: str = "") -> dict[str, Any]:
    """A row of a question set from an answer and what somebody said of it.

    A right answer is expected to cite its quotes again, and a right refusal to stay one. Of a wrong one the
    note, if there is one, is what an answer should say. Words that are right with the wrong source are
    expected without it.
    """
    note = note.strip()[:LONGEST]
    turns = [{"role": turn.role, "content": turn.content} for turn in history]
    row: dict[str, Any] = {
        "id": hashlib.sha256(json.dumps([answer.question, turns]).encode()).hexdigest()[:12],
        "question": answer.question,
        "history": turns,
        "judged": judged,
        "note": note,
        "answerable": not (judged == "right" and answer.status == "not_found"),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if judged == "right":
        row["evidence"] = [{"document_id": c.document_id, "quote": c.quote} for c in answer.citations]
    elif judged == "wrong":
        row["expected_answer"] = note
    else:
        row["expected_answer"] = " ".join(sentence.text for sentence in answer.sentences)
    return row


def keep(folder: Path, row: dict[str, Any]) -> bool:
    """Add a row to the file in the folder of the knowledge base.

    Returns ``False``, and adds nothing, where that cannot be written to or is full.
    """
    line = json.dumps(row, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
    if not folder.is_dir():  # the lock would make it
        return False
    try:
        with FileLock(folder / f"{NAME}.lock", timeout=5), (folder / NAME).open("a+b") as file:
            size = file.seek(0, os.SEEK_END)
            if size + len(line) > LARGEST:
                return False
            # A line that a killed run left half written must not spoil this one.
            file.write(line if _ends_a_line(file, size) else b"\n" + line)
    except (OSError, Timeout):
        return False
    return True


def _ends_a_line(file: BinaryIO, size: int) -> bool:
    if not size:
        return True
    file.seek(size - 1)
    return file.read(1) == b"\n"
