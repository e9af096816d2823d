"""Put real output into the README: run the command of every ``console`` block and write what it printed.

    python -m benchmarks.readme

The blocks stand between ``<!-- output: name -->`` and ``<!-- end -->``; ``tests/test_readme.py`` runs the
same commands and fails when the README shows something else.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
_BLOCK = re.compile(r"(?<=<!-- output: )(\w+)( -->\n```console\n\$ )(.*\n)((?:.*\n)*?)(```\n<!-- end -->)")


def blocks(text: str) -> dict[str, tuple[str, str]]:
    """The console blocks of a text: name to (command, shown output)."""
    return {m[1]: (m[3].strip(), m[4]) for m in _BLOCK.finditer(text)}


def run(command: str, folder: Path, kb: Path) -> str:
    """What a ``kbqa`` command prints, run in ``folder`` with the knowledge base ``kb``."""
    program, *arguments = shlex.split(command)
    assert program == "kbqa", command
    if not (folder / "seeds").exists():
        (folder / "seeds").symlink_to(ROOT / "seeds")
    environment = {**os.environ, "KBQA_KB": str(kb), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "kb", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode:
        raise RuntimeError(f"{command}: exit {done.returncode}: {done.stderr}")
    return tidy(done.stdout or done.stderr)


def tidy(output: str) -> str:
    """Output without what differs from run to run: seconds and rates."""
    return re.sub(r"\d+(?:\.\d+)? (?:s|rows/s|seconds)\b", "… s", output).rstrip() + "\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run("kbqa ingest seeds --quiet", folder, folder / "kb")
        text = README.read_text(encoding="utf-8")
        text = _BLOCK.sub(lambda m: f"{m[1]}{m[2]}{m[3]}{run(m[3], folder, folder / 'kb')}{m[5]}", text)
        README.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
