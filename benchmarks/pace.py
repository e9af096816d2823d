"""How fast a list is answered: ``python -m benchmarks.pace [ROWS] [WORKERS ...]`` (1,000 rows; 1, 2 workers).

The rows are ``seeds/questions.csv`` and what ``kbqa eval --suggest`` drafts from ``seeds/``, over and over:
no answer is kept from one row to the next, so a question costs the same each time. The models are loaded
before. Printed are rows a second for each number of workers, the work that a row takes, how many cores were
busy, and whether all outputs have the same bytes. The bar: 10 a second with 2 workers on 2 cores.
"""

from __future__ import annotations

import csv
import os
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path

from benchmarks.startup import ROOT
from ingest.sync import ingest
from kb.batch import run_batch
from kb.pipeline import KnowledgeBase
from kb.settings import load_settings
from kb.store import Store
from kb.suggest import suggest


def main() -> None:
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000
    workers = [int(number) for number in sys.argv[2:]] or [1, 2]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = load_settings({"kb": folder / "kb"})
        with Store.open(settings.kb, settings, create=True) as store:
            ingest([str(ROOT / "seeds")], store)
        with KnowledgeBase.open(settings.kb, settings) as kb:
            source = write_list(kb, folder / "q.csv", rows)
            kb.ask("Is everything there?")
            made = {run(kb, source, folder / f"{count}.csv", count) for count in workers}
        print(f"outputs {'identical' if len(made) == 1 else 'DIFFER'}")


def write_list(kb: KnowledgeBase, path: Path, rows: int) -> Path:
    """The questions that there are, over and over."""
    with (ROOT / "seeds/questions.csv").open(encoding="utf-8", newline="") as file:
        questions = [row["question"] for row in csv.DictReader(file)]
    questions += [row["question"] for row in suggest(kb, rows)]
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [["question"], *([question] for question in islice(cycle(questions), rows))]
        )
    return path


def run(kb: KnowledgeBase, source: Path, target: Path, workers: int) -> bytes:
    """Answer the list, print its pace, and give the bytes of the output."""
    began, worked = time.perf_counter(), time.process_time()
    report = run_batch(kb, source, target, workers=workers)
    seconds, worked = time.perf_counter() - began, time.process_time() - worked
    print(
        f"{workers} workers: {report.done:,} rows in {seconds:.1f} s, {report.done / seconds:.1f} a second, "
        f"{1000 * worked / report.done:.0f} ms of work for each, {worked / seconds:.2f} of "
        f"{os.cpu_count()} cores",
        flush=True,
    )
    return target.read_bytes()


if __name__ == "__main__":
    main()
