"""Scanned pages: read where the command ``tesseract`` is there (a fake of it, here), else named."""

from __future__ import annotations

import io
import stat
import sys
from pathlib import Path

import pytest

from ingest.load import Loaded
from ingest.sync import ingest
from ingest.worker import parse
from kb.errors import SourceError
from kb.settings import Settings
from kb.store import Store

FAKE = f"""#!{sys.executable}
import sys
assert sys.argv[1:3] == ["stdin", "stdout"]
head, _, pixels = sys.stdin.buffer.read().partition(b"255\\n")
kind, width, height = head.split()
assert kind == b"P5" and len(pixels) == int(width) * int(height)
dark = sum(pixel < 128 for pixel in pixels[::997]) * 997 / len(pixels)
if dark > 0.5:
    print("The ferry is named Marta and crosses\\n  the harbour every hour.\\n\\nIt rained.")
"""


def scanned(*pages: str) -> bytes:
    """A PDF with a page for each of ``text``, ``image`` (dark), ``blank``."""
    from PIL import Image
    from reportlab.lib.utils import ImageReader
    from reportlab.pdfgen.canvas import Canvas

    file = io.BytesIO()
    canvas = Canvas(file, pagesize=(200, 300))
    for page in pages:
        if page == "text":
            canvas.drawString(20, 250, "The tram is late.")
        elif page == "image":
            canvas.drawImage(ImageReader(Image.new("L", (20, 30), 10)), 0, 0, 200, 300)
        canvas.showPage()
    canvas.save()
    return file.getvalue()


def read(data: bytes) -> Loaded:
    return parse(data, "scan.pdf", source="/scan.pdf", name="scan.pdf")


def install(folder: Path) -> Path:
    command = folder / "tesseract"
    command.write_text(FAKE)
    command.chmod(command.stat().st_mode | stat.S_IEXEC)
    return command


@pytest.fixture
def tesseract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    command = install(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("ingest.worker._idle", [])  # a child that was started before has another path
    return command


@pytest.fixture
def no_tesseract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("ingest.worker._idle", [])


@pytest.mark.usefixtures("tesseract")
@pytest.mark.skipif(sys.platform == "win32", reason="the fake is a script")
def test_scanned_pages_are_read_among_the_others() -> None:
    loaded = read(scanned("text", "image", "blank"))
    assert loaded.failures == ()
    [document] = loaded.documents
    assert document.text == (
        "The tram is late.\n\nThe ferry is named Marta and crosses the harbour every hour.\n\nIt rained."
    )
    assert document.page_at(document.text.index("ferry")) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="the fake is a script")
def test_recognition_that_fails_is_named(tesseract: Path) -> None:
    tesseract.write_text(f"#!{sys.executable}\nraise SystemExit(1)\n")
    with pytest.raises(SourceError, match="scanned pages cannot be read"):
        read(scanned("image"))


@pytest.mark.usefixtures("no_tesseract")
def test_without_the_command_scanned_pages_are_named() -> None:
    with pytest.raises(SourceError, match=r"only images.*install tesseract"):
        read(scanned("image", "image"))
    loaded = read(scanned("text", "image", "blank", "image"))
    assert [document.text for document in loaded.documents] == ["The tram is late."]
    [failure] = loaded.failures
    assert failure.error.startswith("pages 2, 4 are only images: install tesseract")


@pytest.mark.usefixtures("no_tesseract")
@pytest.mark.skipif(sys.platform == "win32", reason="the fake is a script")
def test_what_was_left_out_is_read_once_the_command_is_there(tmp_path: Path) -> None:
    news, folder = tmp_path / "news", tmp_path / "kb"
    news.mkdir()
    (news / "mixed.pdf").write_bytes(scanned("text", "image"))
    (news / "scan.pdf").write_bytes(scanned("image"))
    (news / "plain.txt").write_text("Nothing to recognise.")
    with Store.open(folder, Settings(kb=folder, embedder="hash"), create=True) as store:
        first = ingest([str(news)], store)
        assert (first.added, len(first.failed)) == (2, 2)
        again = ingest([str(news)], store)
        assert (again.unchanged, again.updated) == (2, 0), "as long as it cannot be read, it is passed over"

        install(tmp_path)
        report = ingest([str(news)], store)
        assert (report.added, report.updated, report.unchanged, report.failed) == (1, 1, 1, ())
        assert "Marta" in store.catalogue.document("mixed.pdf").text
        assert "Marta" in store.catalogue.document("scan.pdf").text
        assert ingest([str(news)], store).unchanged == 3
