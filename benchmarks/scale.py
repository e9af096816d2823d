"""How size tells: ``python -m benchmarks.scale [--passages N] [--kb FOLDER]``.

Fills a knowledge base with generated articles, measures how fast they go in on the way, then opens it in a
process of its own and measures opening, memory, search with and without filters, and how much of the exact
nearest neighbours the index finds. ``--kb`` keeps the knowledge base, and measures one that is kept already.

The vectors are random projections of the words of each passage, since to embed 100,000 passages takes an
hour. They are as hard to index as the real ones: with 64 directions turned into 384 numbers the index finds
as many of the nearest of 2,400 passages (.964 at ef 50) as with MiniLM's vectors of the same (.969); with 384
directions it finds fewer (.912). Times do not hold the embedding of the question (3 to 5 ms).
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.articles import article, articles, publishers
from kb.retrieve import search
from kb.settings import Settings
from kb.store import Change, Store, embedded_text
from kb.text import content_words
from kb.types import Filters

BATCH = 256
"""Passages written in one step, as ingestion does."""
FILTERS = ("none", "publisher", "after", "before", "range", "both", "document")


class Projection:
    """Each word has a random direction of its own and weighs by its length; a text is their sum."""

    name = "projection"
    dimension = 384
    max_tokens = 256
    directions = 64

    def __init__(self) -> None:
        self._places: dict[str, int] = {}
        self._rows = np.empty((1 << 16, self.directions), np.float32)
        chance = np.random.default_rng(1).standard_normal((self.dimension, self.directions))
        self._turn = np.linalg.qr(chance)[0].T.astype(np.float32)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        out = np.zeros((len(texts), self.directions), np.float32)
        for n, text in enumerate(texts):
            words = re.findall(r"\w+", text.lower())
            places = [self._place(word) for word in words]
            out[n] = np.array([len(word) for word in words], np.float32) @ self._rows[places]
        length = np.linalg.norm(out, axis=1, keepdims=True)
        turned: NDArray[np.float32] = (out / np.maximum(length, 1e-12)) @ self._turn
        return turned

    def _place(self, word: str) -> int:
        place = self._places.get(word)
        if place is None:
            place = self._places[word] = len(self._places)
            if place == len(self._rows):
                self._rows = np.concatenate([self._rows, np.empty_like(self._rows)])
            direction = np.random.default_rng(zlib.crc32(word.encode()))
            self._rows[place] = direction.standard_normal(self.directions, np.float32)
        return place


def fill(folder: Path, passages: int) -> list[tuple[int, float]]:
    """Write articles until there are so many passages; (passages so far, rate) for each tenth.

    The rate is passages a second of work of the processor, which other programs do not slow down.
    """
    rates: list[tuple[int, float]] = []
    step = max(passages // 10, BATCH)
    with Store.open(folder, Settings(kb=folder), create=True, embedder=Projection()) as store:
        done, since, busy = 0, 0, 0.0
        with store.writer() as writer:
            for changes in _batches(passages):
                began = time.process_time()
                writer.replace(changes)
                busy += time.process_time() - began
                written = sum(len(pair[1]) for change in changes for pair in change.documents)
                done, since = done + written, since + written
                if since >= step or done >= passages:
                    rates.append((done, since / busy))
                    print(f"{done:9,} passages in, {since / busy:6.0f} a second", flush=True)
                    since, busy = 0, 0.0
    return rates


def fill_at_once(folder: Path, passages: int) -> None:
    """The same in one step, for who only wants to measure searching: families of copies are left out."""
    embedder = Projection()
    made = articles(passages)
    documents: list[tuple[object, ...]] = []
    rows: list[tuple[object, ...]] = []
    while len(rows) < passages:
        document, found = (one := next(made)).document, one.passages
        key = len(documents) + 1
        own = (key, 1, document.source, key)
        documents.append((*own, *(_column(getattr(document, c)) for c in _COLUMNS), None))
        vectors = embedder.embed([embedded_text(document.title, p) for p in found]).astype(np.float16)
        for p, vector in zip(found, vectors, strict=True):
            rows.append((len(rows) + 1, key, p.ordinal, p.start, p.end, p.section, p.page, vector.tobytes()))
    with Store.open(folder, Settings(kb=folder), create=True, embedder=embedder) as store:
        store.catalogue.fill([("documents", [documents]), ("passages", [rows])], {})
        with store.writer(anew=True):
            pass


_COLUMNS = (
    "id source title text media_type content_hash author publisher published url language"
    " sections page_starts retrieved_at updated"
).split()


def _column(value: object) -> object:
    return "[]" if value == () else value


def _batches(passages: int) -> Iterator[list[Change]]:
    batch: list[Change] = []
    done = size = 0
    for made in articles(passages):
        document = made.document
        batch.append(Change(document.source, document.content_hash, ((document, made.passages),)))
        size += len(made.passages)
        if size >= BATCH or done + size >= passages:
            yield batch
            done += size
            batch, size = [], 0
            if done >= passages:
                return


def measure(folder: Path, questions: int) -> dict[str, object]:
    """Everything about a filled knowledge base; to be run in a process that has done nothing else."""
    from kb.pipeline import KnowledgeBase

    before = _memory()
    began = time.perf_counter()
    store = Store.open(folder, Settings(kb=folder), embedder=Projection())
    opened = time.perf_counter()
    search(store, "the ferry", content_words("the ferry"))
    first = time.perf_counter()
    documents, passages = store.catalogue.counts()
    kb = KnowledgeBase(store, Settings(kb=folder))
    chance = random.Random(1)
    asked = [article(chance.randrange(documents)) for _ in range(questions)]
    report: dict[str, object] = {
        "documents": documents,
        "passages": passages,
        "open_s": round(opened - began, 3),
        "first_search_s": round(first - opened, 3),
    }
    for kind in FILTERS:
        filters = [_filters(kind, chance, documents) for _ in asked]

        def one(n: int, filters: list[Filters] = filters) -> None:
            question = asked[n].question
            search(store, question, content_words(question), filters=filters[n], limit=10)

        report[f"search, filter {kind}: ms"] = _timed(one, questions)
    found = []
    for made in asked:
        hits = kb.search(made.question, top=10)
        found.append(made.document.id in {i for h in hits for i in (h.passage.document_id, *h.copies)})
    report["right document among the first 10"] = round(sum(found) / len(found), 3)
    report.update(_parts(store, [made.question for made in asked]))
    report["memory_mb"] = _memory()
    report["memory_before_mb"] = before
    report["recall@10"] = _recall(store, [made.question for made in asked], [made.answer for made in asked])
    report["disk_mb"] = store.info()["size_bytes"] >> 20
    store.close()
    return report


def _filters(kind: str, chance: random.Random, documents: int) -> Filters:
    """A filter as somebody may choose it: names of large and small publishers, long and short times."""
    year, month = chance.randint(2014, 2026), chance.randint(1, 12)
    day = f"{year}-{month:02}-{chance.randint(1, 28):02}"
    publisher = chance.choice(publishers())
    match kind:
        case "publisher":
            return Filters(publishers=(publisher,))
        case "after":
            return Filters(after=day)
        case "before":
            return Filters(before=day)
        case "range":
            return Filters(after=day, before=f"{year + chance.randint(0, 3)}-12-31")
        case "both":
            return Filters(publishers=(publisher,), after=day)
        case "document":
            return Filters(document_ids=(f"article-{chance.randrange(documents):07}",))
    return Filters()


def _timed(one: Callable[[int], object], count: int) -> list[float]:
    """Milliseconds of a call: median and 95th percentile by the clock, then by the work of the processor.

    Where other programs run too, the clock says how busy the machine is, and the work what a quiet one takes.
    """
    times = []
    for n in range(count):
        began, worked = time.perf_counter(), time.process_time()
        one(n)
        times.append([time.perf_counter() - began, time.process_time() - worked])
    return [round(1000 * float(x), 1) for x in np.percentile(times, (50, 95), axis=0).T.ravel()]


def _parts(store: Store, questions: list[str]) -> dict[str, object]:
    """What the two searches and the counting of words take of a search by themselves."""
    catalogue = store.catalogue
    vectors = [store.embedder.embed([question])[0] for question in questions]
    words = [[word.text for word in content_words(question)] for question in questions]
    generation = catalogue.generation()
    parts: dict[str, Callable[[int], object]] = {
        "vector index": lambda n: store.vectors.nearest(vectors[n], 50, generation=generation),
        "full text": lambda n: catalogue.match(words[n], 50),
        "counts of words": lambda n: catalogue.word_counts(words[n]),
    }
    return {f"{name}: ms": _timed(part, len(questions)) for name, part in parts.items()}


def _recall(store: Store, *texts: list[str]) -> list[float]:
    """The share of the ten nearest by exact search that the index finds too, for each set of texts."""
    queries = [store.embedder.embed(each) for each in texts]
    best: list[list[list[tuple[float, int]]]] = [[[] for _ in each] for each in texts]
    for keys, vectors in store.catalogue.every_vector(5000):
        for query, kept in zip(queries, best, strict=True):
            for n, row in enumerate(query @ vectors.T):
                top = np.argsort(-row)[:10]
                kept[n] = sorted([*kept[n], *((float(row[k]), keys[k]) for k in top)], reverse=True)[:10]
    generation = store.catalogue.generation()
    shares = []
    for query, kept in zip(queries, best, strict=True):
        right = 0
        for vector, exact in zip(query, kept, strict=True):
            near = store.vectors.nearest(vector, 10, generation=generation)
            # By similarity, so that of passages that are equally near either may be found.
            right += sum(similarity >= exact[-1][0] - 1e-3 for _, similarity in near)
        shares.append(round(right / (10 * len(query)), 4))
    return shares


def _memory() -> int:
    """The largest resident megabytes of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--passages", type=int, default=20_000)
    parser.add_argument("--questions", type=int, default=200)
    parser.add_argument("--kb", type=Path)
    parser.add_argument("--at-once", action="store_true", help="in one step, without insertion rates")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        print(json.dumps(measure(chosen.kb, chosen.questions)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.kb or Path(scratch) / "kb"
        rates = []
        if not folder.exists():
            if chosen.at_once:
                fill_at_once(folder, chosen.passages)
            else:
                rates = fill(folder, chosen.passages)
        given = ["--kb", str(folder), "--questions", str(chosen.questions)]
        command = [sys.executable, "-m", "benchmarks.scale", "--measure", *given]
        # numpy's own threads wait for work by spinning, which takes the other core from the index's.
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
        report = json.loads(done.stdout)
    if rates:
        report["passages a second, first and last tenth"] = [round(rates[0][1]), round(rates[-1][1])]
    for name, value in report.items():
        print(f"{name:42s} {value}")


if __name__ == "__main__":
    main()
