"""A batch killed again and again: ``python -m benchmarks.kills [KILLS] [ROWS] [SUFFIX] [SEED]``.

A process that has everything imported forks a child for each run and kills it (SIGKILL) at a random moment:
while it reads, answers or writes. Each run goes on from the last. When the list is finished its output is
held against that of a run that nobody disturbed, and the list begins anew, until there were so many kills.
Printed as JSON: ``kills``, ``while_writing`` (kills that came when every row had been answered),
``finished`` lists, ``identical`` ones of them, ``repeated`` answers (given more than once for one row) and
``most_repeated`` after a single kill, which must not be more than the workers.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.batch import Canned
from kb.batch import run_batch
from kb.journal import journal_path
from kb.types import Answer

WORKERS = 2
SECONDS_EACH = 0.001  # that an answer takes


class Noted(Canned):
    """Writes down every question before it is answered, past the end of the process."""

    def __init__(self, notes: Path) -> None:
        self._notes = os.open(notes, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def ask(self, question: str, **options: Any) -> Answer:
        os.write(self._notes, f"{question}\n".encode())
        time.sleep(SECONDS_EACH)
        return super().ask(question, **options)


def kill_often(folder: Path, *, kills: int, rows: int, suffix: str, seed: int) -> dict[str, int]:
    """Run a list in ``folder`` until so many of its runs were killed; the counts are those named above."""
    chance = random.Random(seed)
    source, target, notes = folder / "q.csv", folder / f"a{suffix}", folder / "notes"
    whole = folder / "whole" / target.name
    whole.parent.mkdir()
    asked = [f"When was bridge {n} closed to lorries?" for n in range(rows)]
    source.write_text("\n".join(["question", *asked]), encoding="utf-8")
    began = time.perf_counter()
    run_batch(Canned(), source, whole)
    longest = time.perf_counter() - began + rows * SECONDS_EACH / WORKERS
    found: Counter[str] = Counter(
        kills=0, while_writing=0, finished=0, identical=0, repeated=0, most_repeated=0
    )
    before = 0
    while found["kills"] < kills:
        killed = _run(source, target, notes, after=longest * chance.random() ** 2)
        asked_for = Counter(notes.read_text(encoding="utf-8").splitlines()) if notes.exists() else Counter()
        repeated = asked_for.total() - len(asked_for)
        found["most_repeated"] = max(found["most_repeated"], repeated - before)
        found["repeated"] += repeated - before
        before = repeated
        found["kills"] += killed
        found["while_writing"] += killed and len(asked_for) == rows
        if target.exists() and not journal_path(target).exists():  # a kill can also come too late
            found["finished"] += 1
            found["identical"] += _same(target, whole)
            for path in (*folder.glob(f"*{target.name}*"), notes):
                path.unlink(missing_ok=True)
            before = 0
    if not found["finished"]:  # on a slow machine: the last list is finished undisturbed
        _run(source, target, notes, after=60)
        found["finished"] += 1
        found["identical"] += _same(target, whole)
    return dict(found)


def _run(source: Path, target: Path, notes: Path, *, after: float) -> bool:
    """Begin or go on in a process of its own; whether it was killed ``after`` so many seconds."""
    child = os.fork()
    if not child:
        try:
            run_batch(Noted(notes), source, target, workers=WORKERS)
            os._exit(0)
        finally:
            os._exit(1)
    time.sleep(after)
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise RuntimeError("a run failed by itself")
    return os.WIFSIGNALED(status)


def _same(target: Path, whole: Path) -> bool:
    """Whether output and receipt are the same, and nothing half written lies beside them."""
    made = {path.name: path.read_bytes() for path in target.parent.glob(f"{target.name}*")}
    should = {path.name: path.read_bytes() for path in whole.parent.glob(f"{target.name}*")}
    return made == should and not list(target.parent.glob(".*.tmp"))


def main() -> None:
    given = sys.argv[1:]
    kills, rows, suffix, seed = (*given, *("500", "400", ".jsonl", "1")[len(given) :])
    with tempfile.TemporaryDirectory() as folder:
        found = kill_often(Path(folder), kills=int(kills), rows=int(rows), suffix=suffix, seed=int(seed))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
