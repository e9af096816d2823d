"""The vector index on its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

# A writer beside readers that open the index anew before each search, as they do after every change. The
# writer comes by the mark at which Chroma puts its log into the index's files again and again.
WRITER_AND_READERS = """
import faulthandler, sys, threading
from pathlib import Path
import numpy as np
from kb.vectors import VectorIndex
faulthandler.dump_traceback_later(100, exit=True)
DIMENSION, PART, PARTS = 384, 250, 24
rows = np.random.default_rng(3).standard_normal((PART * (PARTS + 1), DIMENSION)).astype(np.float32)
rows /= np.linalg.norm(rows, axis=1, keepdims=True)
def opened():
    return VectorIndex(Path(sys.argv[1]), embedder="hash", dimension=DIMENSION)
def read():
    index, generation = opened(), 0
    while not written.is_set():
        generation += 1
        assert len(index.nearest(rows[generation % PART], 10, generation=generation)) == 10
    index.close()
    read_well.append(generation)
writer, written, read_well = opened(), threading.Event(), []
writer.rebuild([(range(PART), rows[:PART])])
readers = [threading.Thread(target=read, daemon=True) for _ in range(2)]
for reader in readers:
    reader.start()
for first in range(PART, PART * (PARTS + 1), PART):
    writer.add(range(first, first + PART), rows[first : first + PART])
written.set()
for reader in readers:
    reader.join()
writer.close()
every = range(PART * (PARTS + 1))
assert opened().difference([(every[n : n + 1000], rows[n : n + 1000]) for n in every[::1000]]) == (0, 0, 0)
assert len(read_well) == 2 and min(read_well) > 3, read_well
print("well")
"""


def test_a_writer_and_readers_that_open_the_index_meanwhile(tmp_path: Path) -> None:
    """In a process of its own: without the lock it hangs or dies."""
    command = [sys.executable, "-c", WRITER_AND_READERS, str(tmp_path / "chroma")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "well\n"), done.stderr
