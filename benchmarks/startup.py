"""What a cold start costs: ``python -m benchmarks.startup [QUESTION]``.

Each command runs in a fresh process, three times in turn; the best time and the largest memory are printed.
The knowledge base is made of ``seeds/``. An import of sentence_transformers stands beside them to compare.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# Runs a command and prints its seconds and peak memory; a process of its own, so that the peak is its own.
_MEASURE = """
import json, resource, subprocess, sys, time
began = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
seconds = time.perf_counter() - began
print(json.dumps([code, seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024]))
"""


def main() -> None:
    question = " ".join(sys.argv[1:]) or "What is driving the AI infrastructure build-out?"
    kbqa = [sys.executable, "-m", "kb"]
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "KBQA_KB": f"{folder}/kb", "PYTHONPATH": str(ROOT)}
        subprocess.run([*kbqa, "ingest", "--quiet", str(ROOT / "seeds")], env=environment, check=True)
        commands = {
            "kbqa --help": [*kbqa, "--help"],
            "kbqa ask": [*kbqa, "ask", question],
            "import sentence_transformers": [sys.executable, "-c", "import sentence_transformers"],
        }
        runs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(3):
            for name, command in commands.items():
                code, seconds, memory = measure(command, environment)
                assert code == 0, name
                runs[name].append((seconds, memory))
    for name, found in runs.items():
        print(f"{name:30s} {min(s for s, _ in found):6.2f} s {max(m for _, m in found):6.0f} MB")


def measure(command: list[str], environment: dict[str, str]) -> tuple[int, float, float]:
    """Exit code, seconds and peak resident megabytes of a command."""
    done = subprocess.run(
        [sys.executable, "-c", _MEASURE, *command],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    code, seconds, memory = json.loads(done.stdout.splitlines()[-1])
    return code, seconds, memory


if __name__ == "__main__":
    main()
