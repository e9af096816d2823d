"""The reader: where in a passage a question is answered, and whether one bears a claim out, as a small
cross-encoder sees it.

Question and passage go through the encoder together, so that their words can look at each other, and two
numbers come out for every word piece: how likely the answer begins there, and how likely it ends there.
Both are seen against the same numbers for the piece that stands for "not in this passage" (Devlin, Chang,
Lee and Toutanova, NAACL 2019, section 4.3), which makes them comparable between passages.

A claim goes in like a question, and three numbers come out for the whole: the passage supports it,
contradicts it, or leaves it open. One encoder that does both reads worse, so each has its own.

They share the word pieces and the embedding tables of the packaged MiniLM; only encoder layers and heads are
shipped, in 8 bits (``reader.safetensors``, ``judge.safetensors``). ``benchmarks/train_reader.py`` makes them.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kb import minilm
from kb.minilm import BLOCK, CLS, SEP

if TYPE_CHECKING:
    import onnxruntime

FILE_NAME = "reader.safetensors"
JUDGE_FILE_NAME = "judge.safetensors"
# The most word pieces of each part; what is longer is cut.
_QUESTION, _HEADING, _TEXT = 80, 32, 300
_SPAN = 30  # the most word pieces of the words that answer


@dataclass(frozen=True, slots=True)
class Page:
    """A passage as the reader sees it: its text under what is said about it (title, section)."""

    heading: str
    text: str


@dataclass(frozen=True, slots=True)
class Pieces:
    """What goes into the encoder for one page.

    ``offsets``, shape (n, 2), tells where in the page's text the last ``n`` pieces but one stand.
    """

    ids: NDArray[np.int64]
    segments: NDArray[np.int64]
    offsets: NDArray[np.int64]

    @property
    def first(self) -> int:
        """The place of the text's first piece among ``ids``."""
        return len(self.ids) - len(self.offsets) - 1


@dataclass(frozen=True, slots=True)
class Marks:
    """The reader's marks on one page, as log odds against "it is not answered here".

    ``begins`` and ``ends``, shape (n,): that the answer begins or ends with each word piece of the text.
    """

    offsets: NDArray[np.int64]
    begins: NDArray[np.float64]
    ends: NDArray[np.float64]

    def score(self, start: int, end: int) -> float:
        """That ``text[start:end]`` holds the answer."""
        inside = self._inside(start, end)
        if not inside.any():
            return -20.0
        return float((_log_sum(self.begins[inside]) + _log_sum(self.ends[inside])) / 2)

    def span(self, start: int, end: int) -> tuple[int, int] | None:
        """Where within ``text[start:end]`` the words are that answer best."""
        (inside,) = np.nonzero(self._inside(start, end))
        if not len(inside):
            return None
        both = self.begins[inside][:, None] + self.ends[inside][None, :]
        place = np.arange(len(inside))
        length = place[None, :] - place[:, None]
        both[(length < 0) | (length >= _SPAN)] = -np.inf
        first, last = np.unravel_index(int(both.argmax()), both.shape)
        return int(self.offsets[inside[first], 0]), int(self.offsets[inside[last], 1])

    def _inside(self, start: int, end: int) -> NDArray[np.bool_]:
        return np.asarray((self.offsets[:, 0] >= start) & (self.offsets[:, 1] <= end))


def _log_sum(x: NDArray[np.float64]) -> float:
    return float(np.logaddexp.reduce(x))


def pieces(question: str, page: Page) -> Pieces:
    """[CLS] question [SEP] heading [SEP] text [SEP], of which heading and text are the second segment."""
    (asked,) = minilm.word_pieces([question])
    second, offsets = _page_pieces(page)
    first = np.array([CLS, *asked[:_QUESTION], SEP], np.int64)
    segments = np.repeat(np.array([0, 1], np.int64), [len(first), len(second)])
    return Pieces(np.concatenate([first, second]), segments, offsets)


@lru_cache(maxsize=2048)  # the questions of a list meet the same pages
def _page_pieces(page: Page) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The second segment and the offsets of its text; not to be changed."""
    (heading,) = minilm.word_pieces([page.heading])
    text, offsets = minilm.placed_pieces(page.text)
    ids = np.array([*heading[:_HEADING], SEP, *text[:_TEXT], SEP], np.int64)
    return ids, np.array(offsets[:_TEXT], np.int64).reshape(-1, 2)


class Reader:
    """Loads on first use; thread-safe.

    ``fast``: in whole rows of 8-bit numbers, where the processor multiplies them. A third of the time for a
    page, and marks that are off by about 0.15 (log odds) instead of 0.04.
    """

    def __init__(self, cache: Path, *, fast: bool = False) -> None:
        self._cache = cache
        self._fast = fast
        self._lock = threading.Lock()
        self._sessions: dict[str, onnxruntime.InferenceSession] = {}

    def read(self, question: str, pages: Sequence[Page]) -> list[Marks]:
        """The marks on each page."""
        given = [pieces(question, page) for page in pages]
        places = self._run(FILE_NAME, given, "places")
        return [marks(one, found) for one, found in zip(given, places, strict=True)]

    def judge(self, claim: str, pages: Sequence[Page]) -> NDArray[np.float64]:
        """The log odds, against "it leaves this open", that each page supports and contradicts the claim;
        shape (pages, 2)."""
        verdicts = self._run(JUDGE_FILE_NAME, [pieces(claim, page) for page in pages], "verdicts")
        found = np.array(verdicts, np.float64).reshape(-1, 3)
        return np.asarray(found[:, :2] - found[:, 2:])

    def _run(self, name: str, given: Sequence[Pieces], output: str) -> list[NDArray[np.floating]]:
        session = self._load(name)
        made: dict[int, NDArray[np.floating]] = {}

        def read_one(n: int) -> None:
            inputs = {"ids": given[n].ids[None], "segments": given[n].segments[None]}
            made[n] = session.run([output], inputs)[0][0]

        minilm.on_all_cores(read_one, sorted(range(len(given)), key=lambda n: -len(given[n].ids)))
        return [made[n] for n in range(len(given))]

    def _load(self, name: str) -> onnxruntime.InferenceSession:
        with self._lock:
            if name not in self._sessions:
                self._sessions[name] = minilm.open_session(_exported(self._cache, name, self._fast))
            return self._sessions[name]


def marks(given: Pieces, places: NDArray[np.floating]) -> Marks:
    """The marks from what the encoder says of each piece, shape (pieces, 2)."""
    relative = (places - places[0]).astype(np.float64)[given.first : -1]
    return Marks(given.offsets, relative[:, 0], relative[:, 1])


# -------------------------------------------------------------------------------------- its weights


def _exported(cache: Path, name: str, fast: bool) -> bytes:
    data = Path(__file__).with_name(name).read_bytes()
    rounding = minilm.fast_rounding(cache) if fast else "blocks"
    file = minilm.cached_name(Path(name).stem, rounding, hashlib.sha256(data).hexdigest())
    return minilm.cached_model(cache / file, lambda: minilm.reader_graph(read_weights(data), rounding))


def read_weights(data: bytes) -> dict[str, NDArray[np.float32]]:
    """The reader's weights, over the packaged embedding tables."""
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


def write_weights(
    file: Path, weights: dict[str, NDArray[np.float32]], about: Mapping[str, object] | None = None
) -> None:
    """Write encoder layers and head as they are shipped: matrices in 8 bits, scales and the rest in floats.

    ``about`` tells where the weights come from; it is kept in the file.
    """
    from safetensors.numpy import save_file

    stored: dict[str, NDArray[np.generic]] = {}
    for name, value in weights.items():
        if value.ndim == 2 and name.startswith("encoder."):
            numbers, scales = minilm.in_blocks(value)
            stored[name] = np.ascontiguousarray(numbers.reshape(value.shape))
            stored[f"{name}.scales"] = scales.astype(np.float16)
        else:
            stored[name] = np.ascontiguousarray(value.astype(np.float32))
    save_file(stored, file, {"about": json.dumps(about or {})})
