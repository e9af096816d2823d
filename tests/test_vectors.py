"""The vector index as collections of bounded size: the same answers as from one, whatever came and went."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kb import vectors
from kb.vectors import VectorIndex

DIMENSION = 8
ROWS = np.random.default_rng(5).standard_normal((60, DIMENSION)).astype(np.float32)
ROWS /= np.linalg.norm(ROWS, axis=1, keepdims=True)
"""The vector of each key."""


def opened(folder: Path) -> VectorIndex:
    return VectorIndex(folder / "chroma", embedder="hash", dimension=DIMENSION)


def written(folder: Path, keys: range) -> VectorIndex:
    """An index of these keys, five added at a time."""
    index = opened(folder)
    index.rebuild([])
    for first in keys[::5]:
        index.add(part := range(first, min(first + 5, keys.stop)), ROWS[part])
    return index


def exact(keys: list[int], limit: int) -> list[int]:
    order = np.argsort(-(ROWS[keys] @ ROWS[0]), kind="stable")[:limit]
    return [keys[n] for n in order]


def nearest(index: VectorIndex, limit: int, generation: int = 1) -> list[int]:
    return [key for key, _ in index.nearest(ROWS[0], limit, generation=generation)]


def collections(index: VectorIndex) -> list[int]:
    """The lowest key that each may hold."""
    return [first for first, _ in index._open()]


def test_several_collections_answer_like_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "_SHARD", 10)
    index = written(tmp_path, range(1, 43))
    assert collections(index) == [0, 11, 21, 31, 41]
    assert nearest(index, 12) == exact(list(range(1, 43)), 12)
    index.delete([1, 12, 13, 42, 57])
    left = [key for key in range(1, 42) if key not in {1, 12, 13}]
    assert index.keys() == left
    assert index.count() == len(left)
    assert nearest(index, 12) == exact(left, 12)
    # Another process sees all of them too, and where the next keys belong.
    other = opened(tmp_path)
    assert nearest(other, 12) == exact(left, 12)
    asked = [*left, 50]
    assert other.difference([(asked, ROWS[asked])]) == (1, 0, 0)
    assert other.difference([(left[:-2], ROWS[[*left[:-3], 0]])]) == (0, 2, 1)
    other.add([50], ROWS[[50]])
    assert index.nearest(ROWS[50], 1, generation=2)[0][0] == 50
    # Built anew it has as few collections as it needs.
    index.rebuild([(left, ROWS[left])])
    assert collections(index) == [0]
    assert nearest(index, 12, generation=3) == exact(left, 12)


def test_what_many_changes_have_scattered_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vectors, "_SHARD", 10)
    index = written(tmp_path, range(1, 42))
    assert not index.is_scattered()
    index.delete(range(3, 40))  # four keys in five collections
    assert index.is_scattered()
    index.rebuild([([1, 2, 40, 41], ROWS[[1, 2, 40, 41]])])
    assert not index.is_scattered()


def test_a_long_list_ends_where_it_would_no_longer_be_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vectors, "_SHARD", 10)
    monkeypatch.setattr(vectors, "_SHORT", 1)
    index = written(tmp_path, range(1, 51))
    found = nearest(index, 20)  # nine of each collection
    assert 9 <= len(found) <= 20
    assert found == exact(list(range(1, 51)), len(found))


def test_an_index_of_an_older_version_goes_on_with_collections_of_bounded_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = written(tmp_path, range(1, 31))
    assert collections(index) == [0]
    monkeypatch.setattr(vectors, "_SHARD", 10)
    index.add([31, 32], ROWS[[31, 32]])
    assert collections(index) == [0, 31]
    index.delete([5, 31])
    left = [key for key in range(1, 33) if key not in {5, 31}]
    assert index.keys() == left
    assert nearest(index, 12) == exact(left, 12)


def test_nothing_is_left_to_be_added_at_the_next_opening(tmp_path: Path) -> None:
    """What Chroma has not put into the index's files it adds anew whenever they are opened."""
    index = written(tmp_path, range(1, 4))
    index.close()
    [pickled] = index.folder.glob("*/index_metadata.pickle")
    assert set(pickle.loads(pickled.read_bytes())["id_to_label"]) == {"1", "2", "3"}


# Both know where the index is, and the file that says that everything is written.
ROWS_OF_BOTH = """
import sys, threading
from pathlib import Path
import numpy as np
from kb.vectors import VectorIndex
DIMENSION, PART, PARTS = 384, 50, 30
rows = np.random.default_rng(3).standard_normal((PART * (PARTS + 1), DIMENSION)).astype(np.float32)
rows /= np.linalg.norm(rows, axis=1, keepdims=True)
folder, written = map(Path, sys.argv[1:])
def opened():
    return VectorIndex(folder, embedder="hash", dimension=DIMENSION)
def read():
    index, generation = opened(), 0
    while not written.exists():
        generation += 1
        assert len(index.nearest(rows[generation % PART], 10, generation=generation)) == 10
    index.close()
    searches.append(generation)
searches = []
"""
READER = ROWS_OF_BOTH + "read()\nassert searches[0] > 3, searches"
# Its readers, a thread and a process, open the index anew before each search, as they do after every change.
WRITER = (
    ROWS_OF_BOTH
    + f"READER = {READER!r}"
    + """
import faulthandler, subprocess
faulthandler.dump_traceback_later(100, exit=True)
writer = opened()
writer.rebuild([(range(PART), rows[:PART])])
thread = threading.Thread(target=read, daemon=True)
thread.start()
process = subprocess.Popen([sys.executable, "-c", READER, *sys.argv[1:]])
for first in range(PART, PART * (PARTS + 1), PART):
    writer.add(range(first, first + PART), rows[first : first + PART])
written.touch()
thread.join()
writer.close()
assert process.wait() == 0
every = range(PART * (PARTS + 1))
assert opened().difference([(every[n : n + 1000], rows[n : n + 1000]) for n in every[::1000]]) == (0, 0, 0)
assert searches[0] > 3, searches
print("well")
"""
)


def test_a_writer_and_readers_that_open_the_index_meanwhile(tmp_path: Path) -> None:
    """In a process of its own: without the lock it hangs or dies."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "chroma"), str(tmp_path / "written")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "well\n"), done.stderr
