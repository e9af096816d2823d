"""Files damaged at random, of every format: each is read or refused, in a sentence, and offsets stay true.

``EXAMPLES=5000 pytest tests/test_fuzz.py`` tries that many of each format. ``benchmarks/fuzz.py`` looks for
damage that leads to new paths through the code; what it found is read here too.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import samples
import test_formats
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz import CORPUS, assert_true_to_itself
from benchmarks.fuzz import read as read_here
from ingest.load import Loaded
from ingest.worker import parse
from kb.errors import SourceError

EXAMPLES = int(os.environ.get("EXAMPLES", "20"))
MADE: dict[str, Callable[[], bytes]] = {
    "pptx": test_formats.presentation,
    "xlsx": lambda: test_formats.workbook(Visitors=samples.ROWS),
    "eml": lambda: test_formats.message().as_bytes(),
    "zip": lambda: samples.zipped({"a.txt": "One text.", "b.html": samples.html()}),
    "json": lambda: b'[{"id": "r1", "title": "Bees", "text": "The bees are back."}]',
}
WRITTEN = (*samples.FORMATS, *samples.MORE_FORMATS)
RECORDS = ("csv", "tsv", "jsonl")


@cache
def sample(suffix: str, folder: Path) -> bytes:
    if suffix in MADE:
        return MADE[suffix]()
    return (samples.records if suffix in RECORDS else samples.article)(folder, suffix).read_bytes()


@st.composite
def damage(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """Some changes to a file: bytes set, cut out, said twice, put in."""
    places = st.floats(0, 1, exclude_max=True)
    changes = draw(
        st.lists(st.tuples(st.sampled_from("sctp"), places, places, st.binary(max_size=8)), max_size=6)
    )

    def damaged(data: bytes) -> bytes:
        for kind, one, other, new in changes:
            start, end = sorted((int(one * len(data)), int(other * len(data))))
            if kind == "s":
                data = data[:start] + new + data[start + len(new) :]
            elif kind == "c":
                data = data[:start] + data[end:]
            elif kind == "t" and len(data) < 1_000_000:
                data = data[:end] + data[start:]
            else:
                data = data[:start] + new + data[start:]
        return data

    return damaged


@pytest.mark.parametrize("suffix", [*WRITTEN, *MADE, *RECORDS])
def test_a_damaged_file_is_read_or_refused(suffix: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    data = sample(suffix, tmp_path_factory.mktemp("fuzz"))

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=EXAMPLES == 20,
        suppress_health_check=list(HealthCheck),
    )
    @given(damage())
    def check(damaged: Callable[[bytes], bytes]) -> None:
        for document in read(damaged(data), f"a.{suffix}").documents:
            assert_true_to_itself(document)

    check()


@settings(max_examples=EXAMPLES * 3, deadline=None, derandomize=EXAMPLES == 20)
@given(st.text(max_size=2000), st.sampled_from(["txt", "md", "html", "csv", "json", "eml", "rtf", "mhtml"]))
def test_any_text_is_read_or_refused(text: str, suffix: str) -> None:
    for document in read(text.encode("utf-8", "surrogatepass"), f"a.{suffix}").documents:
        assert_true_to_itself(document)


def read(data: bytes, name: str) -> Loaded:
    try:
        return parse(data, name, source=f"/{name}", name=name)
    except SourceError as error:
        refusal = error
    assert refusal.cure
    assert not any(words in refusal.message for words in ("crashed", "took longer", "of memory"))
    return Loaded(())


@pytest.mark.parametrize(
    "file", sorted(CORPUS.glob("*/*")), ids=lambda file: f"{file.parent.name}/{file.name}"
)
def test_what_fuzzing_began_with_and_found_is_read_or_refused(file: Path) -> None:
    read_here(file.read_bytes(), file.parent.name)
