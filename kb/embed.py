"""Text to vectors: ``load_embedder(spec, cache)`` gives an object that embeds and counts tokens.

    minilm                       all-MiniLM-L6-v2, from the installed package; the default
    hash                         words hashed into 64 numbers: no model, for tests
    sentence-transformers:NAME   any sentence-transformers model, by name or folder
    langchain:PROVIDER:MODEL     any LangChain embedding model

The default runs through ONNX Runtime (see ``kb.minilm``), because importing torch alone takes longer than
answering a question. Its products are of 8-bit numbers: in whole rows, or in short blocks where the processor
does not multiply such rows. Not as ``quantize_dynamic`` does it: that scales the input of a product by the
largest value in it, which costs accuracy (cosine to float32 as low as 0.97). What is known to be large is
scaled down first, which keeps the cosine of passages above 0.995 (0.985 for a word or two). Texts are
embedded one at a time, so that none depends on those beside it, spread over threads, nearly as fast as
batches, and nothing is left to chance: on one machine the same text always gives the same vector.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kb.errors import ModelError, SettingsError
from kb.minilm import (
    CLS,
    SEP,
    WIDTH,
    WINDOW,
    Rounding,
    cached_model,
    cached_name,
    encoder_graph,
    first_line,
    loses_nothing,
    on_all_cores,
    open_session,
    pip_line,
    read_weights,
    word_pieces,
)

if TYPE_CHECKING:
    import onnxruntime

Vectors = NDArray[np.float32]
Embed = Callable[[Sequence[str]], Vectors]

SPECS = "minilm, hash, sentence-transformers:NAME or langchain:PROVIDER:MODEL"

# ---------------------------------------------------------------------------------------- the interface


class Embedder(Protocol):
    """What the knowledge base needs of an embedding model.

    Creating one is cheap; the model loads on first use.
    """

    @property
    def name(self) -> str: ...

    @property
    def dimension(self) -> int: ...

    @property
    def max_tokens(self) -> int: ...

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """How many tokens the model sees in each text, without the special ones it adds."""
        ...

    def embed(self, texts: Sequence[str]) -> Vectors:
        """One row of length 1 per text: (len(texts), dimension). What is past ``max_tokens`` is not seen."""
        ...


def load_embedder(spec: str, cache: Path) -> Embedder:
    """The embedder that ``spec`` names; an unknown one is a ``SettingsError``."""
    kind, _, model = spec.partition(":")
    if spec in ("minilm", MiniLM.name):  # the latter is what a knowledge base says it was built with
        return MiniLM(cache)
    if spec == "hash":
        return HashEmbedder()
    if kind == "sentence-transformers" and model:
        return SentenceTransformerEmbedder(model)
    if kind == "langchain" and ":" in model.strip(":"):
        return LangChainEmbedder(model)
    raise SettingsError(f"There is no embedder {spec!r}", f"use one of {SPECS}")


# ---------------------------------------------------------------------------------------- for tests


class HashEmbedder:
    """Each word adds ±1 at a place that its hash picks: texts that share words are similar."""

    name = "hash"
    dimension = 64
    max_tokens = 256

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(_words(text)) for text in texts]

    def embed(self, texts: Sequence[str]) -> Vectors:
        rows = [self._row(text) for text in texts]
        return np.stack(rows) if rows else np.empty((0, self.dimension), np.float32)

    def _row(self, text: str) -> Vectors:
        row = np.zeros(self.dimension, np.float32)
        for word in _words(text)[: self.max_tokens]:
            digest = hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=2).digest()
            row[digest[0] % self.dimension] += 1 if digest[1] % 2 else -1
        if not row.any():
            row[0] = 1
        return _unit(row)


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


# ---------------------------------------------------------------------------------------- the default


class MiniLM:
    """all-MiniLM-L6-v2 in 8 bits through ONNX Runtime; thread-safe."""

    name = "all-MiniLM-L6-v2"
    dimension = WIDTH
    max_tokens = WINDOW - 2  # [CLS] and [SEP] take two

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._lock = threading.Lock()
        self._session: onnxruntime.InferenceSession | None = None

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(pieces) for pieces in word_pieces(texts)]

    def embed(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.dimension), np.float32)
        session = self._load_session()
        framed = [[CLS, *pieces[: self.max_tokens], SEP] for pieces in word_pieces(texts)]
        vectors = np.empty((len(texts), self.dimension), np.float32)

        def fill(row: int) -> None:
            vectors[row] = session.run(None, {"ids": np.array([framed[row]], np.int64)})[0][0]

        # Longest first, so that no thread begins a long one when the others have finished.
        on_all_cores(fill, sorted(range(len(texts)), key=lambda row: -len(framed[row])))
        return vectors

    def _load_session(self) -> onnxruntime.InferenceSession:
        with self._lock:
            if self._session is None:
                rounding = embedding_rounding(self._cache)
                file = cached_file(self._cache, rounding)
                model = cached_model(file, lambda: encoder_graph(read_weights(), rounding))
                self._session = open_session(model)
            return self._session


def embedding_rounding(cache: Path) -> Rounding:
    """Rows where they lose nothing. Narrow ones would turn vectors further than a cosine of 0.995."""
    return "rows" if loses_nothing(cache, "rows") else "blocks"


def cached_file(cache: Path, rounding: Rounding) -> Path:
    """Where the exported model is kept; another model or another way to export it has another name."""
    return cache / cached_name("minilm", rounding)


# ---------------------------------------------------------------------------------------- any other model


class SentenceTransformerEmbedder:
    """Any sentence-transformers model; its dimension and window are known once it is loaded."""

    def __init__(self, model: str) -> None:
        self.name = f"sentence-transformers:{model}"
        self._model_name = model
        self._lock = threading.Lock()
        self._loaded: Any = None

    @property
    def dimension(self) -> int:
        return int(self._model().get_embedding_dimension())

    @property
    def max_tokens(self) -> int:
        model = self._model()
        return int(model.max_seq_length or 512) - int(model.tokenizer.num_special_tokens_to_add())

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        tokenizer = self._model().tokenizer
        return [len(tokenizer.encode(text, add_special_tokens=False, verbose=False)) for text in texts]

    def embed(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.dimension), np.float32)
        vectors = self._model().encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, np.float32)

    def _model(self) -> Any:
        with self._lock:
            if self._loaded is None:
                self._loaded = _load_sentence_transformer(self._model_name)
            return self._loaded


def _load_sentence_transformer(model: str) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        cure = pip_line("sentence-transformers")
        raise ModelError(f"The embedder sentence-transformers:{model} needs a package", cure) from error
    try:
        return SentenceTransformer(model)
    except Exception as error:  # the library and the hub raise whatever they like
        message = f"The embedding model {model} cannot be loaded ({first_line(error)})"
        cure = "check its name or folder and, if it is not on this machine yet, the network"
        raise ModelError(message, cure) from error


class LangChainEmbedder:
    """Any LangChain embedding model, usually a service; words stand in for its unknown tokens."""

    max_tokens = 256

    def __init__(self, model: str) -> None:
        self.name = f"langchain:{model}"
        self._model_name = model
        self._lock = threading.Lock()
        self._loaded: Any = None
        self._dimension = 0

    @property
    def dimension(self) -> int:
        if not self._dimension:
            self._dimension = self.embed(["dimension"]).shape[1]  # no other way to ask
        return self._dimension

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """An estimate from above: four characters of a word are a token, and so is every other sign."""
        return [sum(-(-len(part) // 4) for part in re.findall(r"\w+|[^\w\s]", text)) for text in texts]

    def embed(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.dimension), np.float32)
        model = self._model()
        try:
            return _unit(np.asarray(model.embed_documents(list(texts)), np.float32))
        except Exception as error:  # every provider has its own errors
            message = f"The embedding model {self._model_name} failed ({first_line(error)})"
            raise ModelError(message, "check its key, its limits and the network") from error

    def _model(self) -> Any:
        with self._lock:
            if self._loaded is None:
                self._loaded = _load_langchain(self._model_name)
            return self._loaded


def _load_langchain(model: str) -> Any:
    try:
        from langchain.embeddings import init_embeddings
    except ImportError as error:
        raise ModelError(f"The embedder langchain:{model} needs a package", pip_line("langchain")) from error
    try:
        return init_embeddings(model)
    except ImportError as error:  # LangChain's message names the package of the provider
        raise ModelError(f"The embedder langchain:{model} needs a package", first_line(error)) from error
    except Exception as error:  # a missing key, an unknown provider: each in its own words
        message = f"The embedding model {model} cannot be loaded ({first_line(error)})"
        raise ModelError(message, "check its name and key") from error


def _unit(vectors: Vectors) -> Vectors:
    """Rows of length 1; a row of zeros stays zero."""
    length: Vectors = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Vectors = (vectors / np.maximum(length, 1e-12)).astype(np.float32)
    return unit


def remembering(embed: Embed, size: int = 20_000) -> Embed:
    """``embed`` with a memory for the last ``size`` texts: claims are held against the same sentences."""
    known: dict[str, NDArray[np.float32]] = {}
    lock = threading.Lock()

    def embed_remembered(texts: Sequence[str]) -> NDArray[np.float32]:
        with lock:
            vectors = {text: known[text] for text in texts if text in known}
        new = [text for text in dict.fromkeys(texts) if text not in vectors]
        if new:
            vectors.update(zip(new, embed(new), strict=True))
            with lock:
                known.update((text, vectors[text]) for text in new)
                for text in list(known)[: max(0, len(known) - size)]:
                    del known[text]
        return np.stack([vectors[text] for text in texts])

    return embed_remembered
