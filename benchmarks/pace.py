"""How fast a list is answered: ``python -m benchmarks.pace [--exact] [ROWS] [WORKERS ...]``.

1,000 rows with 1 and with 2 workers, if nothing else is said; ``--exact`` is the setting ``exact_reading``.

The rows are ``seeds/questions.csv`` and what ``kbqa eval --suggest`` drafts from ``seeds/``, over and over:
no answer is kept from one row to the next, so a question costs the same each time. The models are loaded
before. Printed are rows a second for each number of workers, the work that a row takes, how many cores were
busy, how long a question waited for its answer, and whether all outputs have the same bytes. The bar: 10 a
second with 2 workers on 2 cores; and 50 workers must not be slower, since nothing is held while a model
computes.
"""

from __future__ import annotations

import csv
import os
import sys
import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from statistics import median, quantiles

from benchmarks.startup import ROOT
from ingest.sync import ingest
from kb.batch import run_batch
from kb.pipeline import KnowledgeBase
from kb.settings import load_settings
from kb.store import Store
from kb.suggest import suggest


def main() -> None:
    exact = "--exact" in sys.argv
    numbers = [int(argument) for argument in sys.argv[1:] if argument.isdigit()]
    rows, workers = (numbers or [1_000])[0], numbers[1:] or [1, 2]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = load_settings({"kb": folder / "kb", "exact_reading": exact})
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
    waited: list[float] = []
    report = run_batch(
        kb,
        source,
        target,
        workers=workers,
        seen=lambda row, result: waited.append(result["seconds"]),
    )
    seconds, worked = time.perf_counter() - began, time.process_time() - worked
    print(
        f"{workers} workers: {report.done:,} rows in {seconds:.1f} s, {report.done / seconds:.1f} a second, "
        f"{1000 * worked / report.done:.0f} ms of work for each, {worked / seconds:.2f} of "
        f"{os.cpu_count()} cores, p50 {median(waited):.2f} s, p95 {quantiles(waited, n=20)[-1]:.2f} s",
        flush=True,
    )
    return target.read_bytes()


if __name__ == "__main__":
    main()
