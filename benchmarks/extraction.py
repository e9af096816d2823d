"""How much of a news page's article is stored, and how little else, beside what trafilatura alone gives.

    python -m benchmarks.extraction FOLDER [--worst N]

``FOLDER/manifest.jsonl`` has one object a page: ``file`` (HTML, also gzipped), ``url`` and ``expect_body``,
the article as a person marked it. Printed is the mean over pages of precision, recall and F1 over the words,
counted with their number of times, and the share of pages for which each piece of metadata was found.
"""

from __future__ import annotations

import argparse
import gzip
import json
import logging
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import trafilatura

from ingest.load import parse
from kb.errors import SourceError
from kb.types import Document

Score = tuple[float, float, float]
FIELDS = ("title", "author", "publisher", "published", "url", "language")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--worst", type=int, default=0)
    chosen = parser.parse_args()
    logging.disable(logging.ERROR)
    lines = (chosen.folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    ours: list[tuple[Score, str]] = []
    theirs: list[Score] = []
    known: Counter[str] = Counter()
    for row in map(json.loads, lines):
        path = chosen.folder / row["file"]
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        document = stored(data)
        ours.append((score(document.text if document else "", row["expect_body"]), row["url"]))
        text = trafilatura.extract(data, include_comments=False)
        theirs.append(score(text or "", row["expect_body"]))
        known.update(field for field in FIELDS if document and getattr(document, field))
    print(f"{len(ours)} pages          precision  recall  F1")
    print("kbqa              " + mean([found for found, _ in ours]))
    print("trafilatura alone " + mean(theirs))
    print(", ".join(f"{field} {known[field] / len(ours):.2f}" for field in FIELDS))
    for (precision, recall, f1), url in sorted(ours, key=lambda pair: pair[0][2])[: chosen.worst]:
        print(f"{f1:.3f} (precision {precision:.2f}, recall {recall:.2f}) {url}")


def stored(data: bytes) -> Document | None:
    try:
        return parse(data, "page", source="page", name="page.html").documents[0]
    except SourceError:
        return None


def score(text: str, wanted: str) -> Score:
    """Precision, recall and F1 over words, each counted as often as it stands there."""
    found, expected = (Counter(re.findall(r"\w+", part.lower())) for part in (text, wanted))
    common = sum((found & expected).values())
    if not common:
        return 0.0, 0.0, 0.0
    precision, recall = common / found.total(), common / expected.total()
    return precision, recall, 2 * precision * recall / (precision + recall)


def mean(scores: Sequence[Score]) -> str:
    return "   ".join(f"{sum(column) / len(scores):8.3f}" for column in zip(*scores, strict=True))


if __name__ == "__main__":
    main()
