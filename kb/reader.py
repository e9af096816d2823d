"""The reader: how well a sentence answers a question, as a small cross-encoder sees it.

Question and sentence, with the heading it stands under and the sentence before it, go through the encoder
together, so that their words can look at each other. It shares the word pieces and the embedding tables of
the packaged MiniLM; only its encoder layers and head are shipped, in 8 bits (``reader.safetensors``).
``benchmarks/train_reader.py`` makes that file.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kb import minilm
from kb.minilm import BLOCK, CLS, SEP

if TYPE_CHECKING:
    import onnxruntime

FILE_NAME = "reader.safetensors"
# The most word pieces of each part; what is longer is cut.
_QUESTION, _SENTENCE, _HEADING, _BEFORE = 80, 96, 24, 40


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence as the reader sees it."""

    sentence: str
    heading: str
    before: str


class Reader:
    """Loads on first use; thread-safe."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._lock = threading.Lock()
        self._session: onnxruntime.InferenceSession | None = None

    def scores(self, question: str, lines: Sequence[Line]) -> NDArray[np.float64]:
        """A log odds for each line that it answers the question, shape (len(lines),)."""
        session = self._load()
        rows = pieces(question, lines)
        found = np.empty(len(rows))

        def fill(n: int) -> None:
            found[n] = session.run(None, {"ids": np.array([rows[n]], np.int64)})[0][0, 0]

        minilm.on_all_cores(fill, sorted(range(len(rows)), key=lambda n: -len(rows[n])))
        return found

    def _load(self) -> onnxruntime.InferenceSession:
        with self._lock:
            if self._session is None:
                self._session = minilm.open_session(_exported(self._cache))
            return self._session


def pieces(question: str, lines: Sequence[Line]) -> list[list[int]]:
    """What goes into the encoder: [CLS] question [SEP] sentence [SEP] heading, sentence before [SEP]."""
    (asked,) = minilm.word_pieces([question])
    sentences, headings, befores = (
        minilm.word_pieces([getattr(line, part) for line in lines])
        for part in ("sentence", "heading", "before")
    )
    return [
        [CLS, *asked[:_QUESTION], SEP, *s[:_SENTENCE], SEP, *h[:_HEADING], *b[-_BEFORE:], SEP]
        for s, h, b in zip(sentences, headings, befores, strict=True)
    ]


# -------------------------------------------------------------------------------------- its weights


def _exported(cache: Path) -> bytes:
    data = Path(__file__).with_name(FILE_NAME).read_bytes()
    file = cache / minilm.cached_name("reader", hashlib.sha256(data).hexdigest())
    return minilm.cached_model(file, lambda: minilm.encoder_graph(read_weights(data), head="score"))


def read_weights(data: bytes) -> dict[str, NDArray[np.float32]]:
    """The reader's weights over the packaged embedding tables."""
    from safetensors.numpy import load

    stored = load(data)
    weights = {name: w for name, w in minilm.read_weights().items() if name.startswith("embeddings.")}
    for name, value in stored.items():
        if name.endswith(".scales"):
            continue
        if value.dtype != np.uint8:
            weights[name] = value.astype(np.float32)
            continue
        scales = stored[f"{name}.scales"].astype(np.float32)
        blocks = (value.reshape(*scales.shape, BLOCK).astype(np.float32) - 128) * scales[..., None]
        weights[name] = blocks.reshape(value.shape)
    return weights


def write_weights(file: Path, weights: dict[str, NDArray[np.float32]]) -> None:
    """Write encoder layers and head as they are shipped: matrices in 8 bits, scales and the rest in 16."""
    from safetensors.numpy import save_file

    stored: dict[str, NDArray[np.generic]] = {}
    for name, value in weights.items():
        if value.ndim == 2 and name.startswith("encoder."):
            numbers, scales = minilm.in_blocks(value)
            stored[name] = np.ascontiguousarray(numbers.reshape(value.shape))
            stored[f"{name}.scales"] = scales.astype(np.float16)
        else:
            stored[name] = np.ascontiguousarray(value.astype(np.float32))
    save_file(stored, file)
