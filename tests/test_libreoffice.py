"""Every kind of output opens in LibreOffice and says there what it says here.

Skipped where ``soffice`` is not installed (Debian: libreoffice-calc-nogui and libreoffice-writer-nogui).
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from test_batch import Oracle, rows

from kb.batch import run_batch
from kb.outputs import as_it_was

SOFFICE = shutil.which("soffice")
pytestmark = pytest.mark.skipif(SOFFICE is None, reason="LibreOffice (soffice) is not installed")

UTF_8, COMMA, QUOTE = "76", "44", "34"
READ_CSV = f"Text - txt - csv (StarCalc):{COMMA},{QUOTE},{UTF_8}"
ALL_SHEETS = f"csv:Text - txt - csv (StarCalc):{COMMA},{QUOTE},{UTF_8},1,,0,false,true,false,false,false,-1"
TEXTS = [
    "When?",
    '=HYPERLINK("https://example.org","Who?")',
    "+1 or -1, @all?",
    "unknown to “all”, Größe, 東京, 🚢, and \ttabs?",
    "error <b>here</b> & there?",
    "Line one\nline two?",
]


def convert(files: Sequence[Path], to: str, *more: str) -> Path:
    """Open files in LibreOffice without a window and save them as another kind; the folder they are in."""
    folder = files[0].parent
    command = [str(SOFFICE), "--headless", f"-env:UserInstallation={(folder / 'profile').as_uri()}"]
    command += [*more, "--convert-to", to, "--outdir", str(folder / "opened"), *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return folder / "opened"


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("office")
    source = folder / "q.jsonl"
    lines = [{"question": text, "note": text, "=cost": n + 0.5} for n, text in enumerate(TEXTS, 1)]
    source.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    made = {
        suffix: folder / f"as{suffix.replace('.', '_')}{suffix}"
        for suffix in (".csv", ".xlsx", ".html", ".md", ".jsonl")
    }
    for target in made.values():
        run_batch(Oracle(), source, target)
    return made


def cells(path: Path) -> list[list[str]]:
    """The cells of a table, but for what no spreadsheet keeps: tabs, how lines end, and ``.0``."""

    def kept(cell: str) -> str:
        return re.sub(r"[\t\r]|(?<=^\d)\.0$", "", as_it_was(cell))

    with path.open(encoding="utf-8", newline="") as file:
        return [[kept(cell) for cell in row] for row in csv.reader(file)]


def test_tables_are_the_same_in_calc(outputs: dict[str, Path]) -> None:
    ours = cells(outputs[".csv"])
    assert (
        cells(convert([outputs[".csv"]], ALL_SHEETS, f"--infilter={READ_CSV}") / "as_csv-as_csv.csv") == ours
    )
    opened = convert([outputs[".xlsx"]], ALL_SHEETS)
    assert cells(opened / "as_xlsx-answers.csv") == ours
    receipt = dict(row[:2] for row in cells(opened / "as_xlsx-receipt.csv"))
    assert receipt["Knowledge base"] == "generation 1, 2 documents"
    assert rows(opened / "as_xlsx-answers.csv")[1]["question"].lstrip("'") == TEXTS[1]


def test_reports_are_read_in_writer(outputs: dict[str, Path]) -> None:
    reports = [outputs[".html"], outputs[".md"], outputs[".jsonl"]]
    opened = convert(reports, "txt:Text (encoded):UTF8")
    for report in reports:
        text = (opened / f"{report.stem}.txt").read_text(encoding="utf-8-sig")
        for said in ("=HYPERLINK(", "Größe, 東京, 🚢", "<b>here</b>", "It went wrong."):
            assert said in text.replace("\\", ""), f"{said} is not in {report.name} as Writer reads it"
