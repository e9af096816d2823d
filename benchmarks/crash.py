"""Kill ingestion at random moments, again and again: ``python -m benchmarks.crash [--kills N]``.

Each round changes every article, adds some and removes some, starts ``kbqa ingest --prune`` and kills it with
SIGKILL. Another process asks all the time. Counted are documents that are lost, doubled or of two editions at
once, answers that mix editions, and what ``kbqa doctor`` finds after the last, undisturbed run.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from ingest.sync import ingest
from kb.doctor import examine
from kb.settings import Settings
from kb.store import Store

ARTICLES = 60
READER = """
import re, sys, time
from pathlib import Path
from kb.pipeline import KnowledgeBase
from kb.settings import Settings
folder, asked, mixed = Path(sys.argv[1]), 0, 0
while not Path(sys.argv[2]).exists():
    with KnowledgeBase.open(folder, Settings(kb=folder, embedder="hash")) as kb:
        for number in range(20):
            hits = kb.search(f"What does the note on district {number} say?")
            texts = [(hit.passage.document_id, hit.passage.text) for hit in hits]
            found = {(name, e) for name, text in texts for e in re.findall("edition e[0-9]+", text)}
            mixed += len(found) - len({document for document, edition in found})
            asked += 1
print(asked, mixed)
"""


def article(number: int, edition: int) -> str:
    """Some paragraphs, each naming the district and the edition; editions differ in length."""
    note = "Note {0} on district {1} stands in edition e{2}. "
    notes = [note.format(k, number, edition) * 6 for k in range(2 + (number + edition) % 4)]
    return f"# District {number}\n\n" + "\n\n".join(notes) + "\n"


def write(news: Path, edition: int, chance: random.Random) -> set[str]:
    """The files of an edition, nine in ten of all numbers; gives their names."""
    names = set()
    for number in range(ARTICLES):
        path = news / f"{number:03}.md"
        if chance.random() < 0.9:
            path.write_text(article(number, edition), encoding="utf-8")
            names.add(path.name)
        else:
            path.unlink(missing_ok=True)
    return names


def editions(folder: Path) -> dict[str, set[int]]:
    """Which editions each live document holds, in its text or in its passages."""
    with Store.open(folder, Settings(kb=folder, embedder="hash")) as store:
        found: dict[str, set[int]] = {}
        for summary in store.catalogue.documents():
            assert summary.id not in found, "a document is there twice"
            passages = store.catalogue.neighbours(summary.id, 0, 999)
            text = store.catalogue.document(summary.id).text + " ".join(p.text for p in passages)
            found[summary.id] = {int(number) for number in re.findall(r"edition e(\d+)", text)}
        return found


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    kills = parser.parse_args().kills
    chance = random.Random(2026)
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        news, folder, stop = root / "news", root / "kb", root / "stop"
        news.mkdir()
        names = write(news, 0, chance)
        with Store.open(folder, Settings(kb=folder, embedder="hash"), create=True) as store:
            ingest([str(news)], store)
        environment = {**os.environ, "KBQA_EMBEDDER": "hash"}
        reader = subprocess.Popen(
            [sys.executable, "-c", READER, str(folder), str(stop)], stdout=subprocess.PIPE, text=True
        )
        command = [sys.executable, "-m", "kb", "ingest", str(news), "--prune", "--kb", str(folder), "--quiet"]
        began = time.monotonic()
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        whole_run = time.monotonic() - began
        killed = bad = 0
        held = editions(folder)
        for edition in range(1, kills + 1):
            names = write(news, edition, chance)
            process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
            time.sleep(whole_run * chance.uniform(0.3, 1.3))
            process.send_signal(signal.SIGKILL)
            killed += process.wait() == -signal.SIGKILL
            there = editions(folder)
            mixed = [name for name, found in there.items() if len(found) != 1]
            lost = [name for name in held if name in names and name not in there]
            foreign = [n for n, found in there.items() if found != held.get(n) and found != {edition}]
            bad += bool(mixed or lost or foreign)
            if mixed or lost or foreign:
                print(f"kill {edition}: mixed {mixed}, lost {lost}, foreign {foreign}", flush=True)
            held = there
        stop.touch()
        asked, answers_mixed = map(int, reader.communicate()[0].split())
        with Store.open(folder, Settings(kb=folder, embedder="hash")) as store:
            ingest([str(news)], store, prune=True)
            left = examine(store, today=date.today()).findings
            complete = {summary.id for summary in store.catalogue.documents()} == names
    print(f"{killed} of {kills} runs killed before their end; {bad} left a document lost, doubled or mixed")
    print(f"{asked} questions asked meanwhile, {answers_mixed} answered from two editions of a document")
    print(f"after the last run: {'complete' if complete else 'INCOMPLETE'}, doctor: {left or 'sound'}")
    return 1 if bad or answers_mixed or left or not complete or reader.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
