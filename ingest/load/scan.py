"""Scanned pages: their images by PDFium, the words on them by the command ``tesseract``, where there is one.

To read a scan takes seconds a page, so it is done on a second attempt with more time: the first one raises
``Scanned``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

from kb.errors import SourceError

COMMAND = "tesseract"
SECONDS = 30
"""At most so long for a page."""

_DPI = 300
_MOST_PIXELS = 30_000_000  # a page of A3; larger ones are drawn smaller


class Scanned(SourceError):
    """There are pages of images, ``pages`` in number, and the means to read them."""

    def __init__(self, pages: int) -> None:
        super().__init__(f"{pages} pages hold only images", "read them with more time")
        self.pages = pages


def is_possible() -> bool:
    return shutil.which(COMMAND) is not None


def is_image(page: Any) -> bool:
    """Whether a page of pypdf shows an image; without text, it is a scan."""
    resources = page.get("/Resources")
    objects = resources.get_object().get("/XObject") if resources is not None else None
    found = objects.get_object().values() if objects is not None else ()
    return any(item.get_object().get("/Subtype") in ("/Image", "/Form") for item in found)


def recognised(data: bytes, pages: Sequence[int], password: str | None = None) -> dict[int, list[str]]:
    """The lines on some pages of a PDF, counted from 1; an empty line stands for a gap."""
    import pypdfium2

    document = pypdfium2.PdfDocument(data, password=password)
    try:
        return {number: _words(document[number - 1]) for number in pages}
    except (pypdfium2.PdfiumError, subprocess.SubprocessError, OSError) as error:
        raise SourceError(
            f"the words on its scanned pages cannot be read ({error})", "run text recognition (OCR) on it"
        ) from error
    finally:
        document.close()


def _words(page: Any) -> list[str]:
    width, height = page.get_size()
    scale = min(_DPI / 72, (_MOST_PIXELS / max(1.0, width * height)) ** 0.5)
    image = page.render(scale=scale, grayscale=True).to_numpy()
    picture = b"P5 %d %d 255\n" % (image.shape[1], image.shape[0]) + image.tobytes()
    # By pipes alone: the process that parses may write no file. One thread: other files are read beside it.
    done = subprocess.run(
        [COMMAND, "stdin", "stdout", "--dpi", str(round(72 * scale))],
        input=picture,
        capture_output=True,
        check=True,
        timeout=SECONDS,
        env={**os.environ, "OMP_THREAD_LIMIT": "1"},
    )
    return [" ".join(line.split()) for line in done.stdout.decode("utf-8", "replace").splitlines()]
