"""What a long list costs: ``python -m benchmarks.batch [ROWS]`` (100,000 if not said).

Answers every row of a list with a canned answer of usual size (two citations, ten passages), in a process of
its own for each kind of file, and prints seconds, rows a second, peak memory and the size of the output. The
answers cost nothing, so that what is measured is the reading, the journal and the writing. The bar: 600 MB.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.startup import ROOT
from kb.batch import run_batch
from kb.sheets import add_sheet, new_workbook
from kb.types import Answer, Citation, DocumentSummary, Hit, Passage, Sentence, Source

ROWS = 100_000
KINDS = (".jsonl", ".csv", ".xlsx", ".md", ".html")
SAID = "The harbour bridge was closed to lorries on 3 March 2026, the council said on Monday."


class Canned:
    """A knowledge base that has one answer."""

    def info(self) -> dict[str, Any]:
        return {"generation": 1, "embedder": "none"}

    def documents(self) -> list[DocumentSummary]:
        return [
            DocumentSummary("a.md", "Bridge", "Post", None, None, None, "text/markdown", 700, 1, "0" * 64)
        ]

    def ask(self, question: str, **_: Any) -> Answer:
        end = len(SAID)
        cited = tuple(
            Citation(n, "a.md", "Bridge", "Post", None, "2026-03-03", None, None, None, 0, end, SAID)
            for n in (1, 2)
        )
        sentences = (
            Sentence(SAID, 0, end, (1,), "verbatim"),
            Sentence(SAID, end + 5, 2 * end + 5, (2,), "verbatim"),
        )
        hit = Hit(Passage("a.md", 0, 0, 700, (SAID + " ") * 8), Source("Bridge", "Post"), 0.5, 1)
        text = f"{SAID} [1] {SAID} [2]"
        return Answer(question, "answered", text, sentences, cited, (hit,) * 10, 0.5, seconds=0.01)

    def check(self, text: str, **_: Any) -> Any:
        raise NotImplementedError


def main() -> None:
    if len(sys.argv) > 2:
        measure(Path(sys.argv[1]), Path(sys.argv[2]))
        return
    rows = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    with tempfile.TemporaryDirectory() as folder:
        lists = write_lists(Path(folder), rows)
        for source, kind in [(lists[0], kind) for kind in KINDS] + [(lists[1], ".xlsx")]:
            target = Path(folder, f"answers{kind}")
            command = [sys.executable, "-m", "benchmarks.batch", str(source), str(target)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            seconds, memory = json.loads(done.stdout)
            size = target.stat().st_size / 1e6
            print(
                f"{source.suffix:5} to {kind:6} {rows:,} rows {seconds:7.1f} s {rows / seconds:8,.0f} rows/s "
                f"{memory:6.0f} MB memory {size:7.0f} MB output",
                flush=True,
            )
            target.unlink()


def write_lists(folder: Path, rows: int) -> tuple[Path, Path]:
    """The same list as CSV and as a workbook."""
    lines = ((f"q{n}", f"When was bridge {n} closed to lorries?", "a note") for n in range(rows))
    with (folder / "q.csv").open("w") as file, new_workbook(folder / "q.xlsx") as book:
        append = add_sheet(book, "questions", ("id", "question", "note"), {})
        file.write("id,question,note\n")
        for line in lines:
            file.write(",".join(line) + "\n")
            append(line)
    return folder / "q.csv", folder / "q.xlsx"


def measure(source: Path, target: Path) -> None:
    """Run one batch and print its seconds and this process' peak memory in MB."""
    began = time.perf_counter()
    report = run_batch(Canned(), source, target, workers=2)
    assert not report.failed
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps([time.perf_counter() - began, peak]))


if __name__ == "__main__":
    main()
