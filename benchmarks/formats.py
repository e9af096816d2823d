"""Feed a folder of difficult files to kbqa and compare what comes of each with what its manifest expects.

    python -m benchmarks.formats FOLDER

``FOLDER/manifest.jsonl`` has one object a file: ``file``, ``expect`` ("text contains ...", "opens ...",
"error ...", anything else: no expectation) and, where one opens it, ``password``. All go in with one
ingestion; those with a password then once more, with it. Exit code 1 if an expectation is not met.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
import unicodedata
from contextlib import suppress
from pathlib import Path
from typing import Any

from ingest import worker
from ingest.load import Options
from ingest.sync import ingest
from kb.errors import SourceError
from kb.settings import Settings
from kb.store import Store
from kb.types import Document

MOST_SECONDS, MOST_MEMORY = 10.0, 1 << 30


def main(folder: Path) -> int:
    rows = [json.loads(line) for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()]
    paths = {str((folder / row["file"]).resolve()): row for row in rows}
    with tempfile.TemporaryDirectory() as scratch:
        settings = Settings(kb=Path(scratch), embedder="hash")
        with Store.open(settings.kb, settings, create=True) as store:
            report = ingest([str(Path(path).parent) for path in paths], store)
            failed = {failure.source: failure.error for failure in report.failed}
            stored = {
                path: [store.catalogue.document(i) for i in store.catalogue.documents_of(path)]
                for path in paths
            }
    verdicts = {path: judged(row, stored[path], failed.get(path)) for path, row in paths.items()}
    slowest = max((seconds(Path(path)), path) for path in paths)
    worker.close_idle()
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    for path, verdict in sorted(verdicts.items(), key=lambda pair: pair[1]):
        print(f"{verdict:10} {paths[path]['file'].split('/')[-1]}: {outcome(stored[path], failed.get(path))}")
    count = sum(verdict in ("met", "free") for verdict in verdicts.values())
    print(f"{count} of {len(rows)} as expected, {len(report.failed)} failures, {report.seconds:.1f} s in all")
    print(f"slowest {slowest[0]:.2f} s ({Path(slowest[1]).name}); largest child {memory >> 20} MB")
    bad = count < len(rows) or slowest[0] > MOST_SECONDS or memory > MOST_MEMORY
    return 1 if bad or any("Traceback" in error for error in failed.values()) else 0


def judged(row: dict[str, Any], documents: list[Document], error: str | None) -> str:
    """``met`` or ``different``; ``free`` where nothing was expected but one outcome in plain words."""
    expect: str = row["expect"]
    if expect.startswith("text contains "):
        wanted = plain(expect.removeprefix("text contains "))
        return "met" if any(wanted in plain(document.text) for document in documents) else "different"
    if expect.startswith("opens, little or no text"):
        return "met" if documents or "no text" in (error or "") else "different"
    if expect.startswith("opens"):
        return "met" if documents or "there is no text in it" in (error or "") else "different"
    if expect.startswith("error"):
        asked = "password" not in expect or "--password" in (error or "")
        opened = "password" not in row or opens_with(Path(row["file"]).name, row)
        return "met" if error and not documents and asked and opened else "different"
    return "free" if bool(documents) != bool(error) else "different"


def opens_with(name: str, row: dict[str, Any]) -> bool:
    path = Path(sys.argv[1]) / row["file"]
    options = Options(password=row["password"])
    return bool(worker.parse(path.read_bytes(), name, source=str(path), name=name, options=options).documents)


def seconds(path: Path) -> float:
    began = time.perf_counter()
    with suppress(SourceError):
        worker.parse(path.read_bytes(), path.name, source=str(path), name=path.name)
    return time.perf_counter() - began


def plain(text: str) -> str:
    """Text without what a reader does not see: kinds of white space, ligatures, line-end hyphens."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


def outcome(documents: list[Document], error: str | None) -> str:
    return error or ", ".join(f"{len(d.text)} characters, {d.title!r}" for d in documents)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
