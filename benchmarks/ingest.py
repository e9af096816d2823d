"""How fast a newsroom's articles go in: ``python -m benchmarks.ingest [--articles N] [--compare N]``.

The articles (Markdown, about 4,000 characters each) come from a seeded generator, the same in every run.
Printed are a first ingestion, one in which nothing has changed, and one in which an article in 100 has.
``--compare N`` embeds the first N passages with sentence-transformers in the same run.
"""

from __future__ import annotations

import argparse
import random
import resource
import tempfile
import time
from pathlib import Path

from ingest.sync import ingest
from kb.settings import Settings
from kb.store import Store, embedded_text
from kb.types import IngestReport

LENGTH = 4000
PLACES = "Ostrau Lindau Varel Kestrelmarsh Upperdene Holm Tarn Bellmoor Quaystreet Norwick".split()
NAMES = "Ida Brandt, Lene Vogt, Piet Janssen, Nora Blum, Ada Verne, Jo Lind, Max Orr, Ruth Aker".split(", ")
THINGS = "the ferry, the town hall, the tram, the library, the orchard, the harbour wall, the school".split(
    ", "
)
DEEDS = "was repaired, was closed, reopened, was sold, was extended, lost its licence, ran late".split(", ")
CAUSES = "after a long dispute, because of frost, for lack of money, at the request of residents".split(", ")


def article(seed: int, edition: int = 0) -> str:
    """One article of plausible sentences, no two with the same figures."""
    chance = random.Random(f"{seed} {edition}")
    place, thing = chance.choice(PLACES), chance.choice(THINGS)
    head = f"{thing.capitalize()} of {place}, report {seed}"
    byline = f"author: {chance.choice(NAMES)}\ndate: 2026-{seed % 12 + 1:02}-11"
    parts = [f"---\ntitle: {head}\n{byline}\n---\n\n# {head}\n\n"]
    while sum(map(len, parts)) < LENGTH:
        if chance.random() < 0.12:
            parts.append(f"\n\n## What {chance.choice(NAMES)} found in {chance.choice(PLACES)}\n\n")
        parts.append(
            f"{chance.choice(THINGS).capitalize()} in {chance.choice(PLACES)} {chance.choice(DEEDS)} "
            f"{chance.choice(CAUSES)}, said {chance.choice(NAMES)} on {chance.randint(1, 28)} March. It cost "
            f"{chance.randint(2, 990)},{chance.randint(0, 999):03} euros. "
        )
        if chance.random() < 0.25:
            parts.append("\n\n")
    return "".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--articles", type=int, default=1000)
    parser.add_argument("--compare", type=int, default=0)
    parser.add_argument("--embedder", default="minilm")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder, news = Path(scratch) / "kb", Path(scratch) / "news"
        news.mkdir()
        for n in range(chosen.articles):
            (news / f"{n:05}.md").write_text(article(n), encoding="utf-8")
        settings = Settings(kb=folder, embedder=chosen.embedder)
        with Store.open(folder, settings, create=True) as store:
            first = run(store, news, "first")
            run(store, news, "unchanged")
            for n in range(0, chosen.articles, 100):
                (news / f"{n:05}.md").write_text(article(n, edition=1), encoding="utf-8")
            run(store, news, "one in a hundred changed")
            memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            print(f"largest memory {memory} MB; {first.passages / first.seconds:.0f} passages a second")
            if chosen.compare:
                compare(store, chosen.compare, first.passages / first.seconds)


def run(store: Store, news: Path, what: str) -> IngestReport:
    report = ingest([str(news)], store)
    assert not report.failed
    print(
        f"{what}: {report.seconds:.2f} s; {report.added} added, {report.updated} updated, "
        f"{report.unchanged} unchanged, {report.passages} passages",
        flush=True,
    )
    return report


def compare(store: Store, count: int, speed: float) -> None:
    """The same texts through sentence-transformers, as a script would embed them."""
    from benchmarks.embed import load_theirs

    texts: list[str] = []
    for summary in store.catalogue.documents():
        passages = store.catalogue.neighbours(summary.id, 0, 999)
        texts += [embedded_text(summary.title, passage) for passage in passages]
        if len(texts) >= count:
            break
    encode = load_theirs()
    encode(texts[:8])
    began = time.perf_counter()
    encode(texts[:count])
    slow = len(texts[:count]) / (time.perf_counter() - began)
    print(
        f"SentenceTransformer.encode: {slow:.0f} passages a second; ingestion: {speed / slow:.2f} times that"
    )


if __name__ == "__main__":
    main()
