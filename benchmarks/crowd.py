"""Many people asking at once: kbqa beside a Gradio app that returns a constant, on this machine, in one run.

    python -m benchmarks.crowd --kb .kbqa --people 50 --seconds 60

Everybody asks one question after the other over loopback, as the page does (an event, then its stream), and
thinks for a while in between. Each crowd meets a process of its own and asks the same things at the same
times, so that what the client and Gradio cost is in all. The questions are those that the documents answer
themselves, which the page offers. kbqa keeps its answers in mind and asks what it offers ahead of time, so it
is met three times: just started; when it has been up for a while; and then with a share of questions that are
somebody's own, drafted from sentences of the documents. ``--unlike`` makes every question a new one.

A new question takes the processor for a time that no queue can take away: that floor is printed too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from kb.pipeline import KnowledgeBase

CONSTANT = """
import sys, gradio as gr, uvicorn
from fastapi import FastAPI
from gradio.events import api
def ask(question: str) -> dict[str, str]:
    return {"question": question, "answer": "A constant."}
with gr.Blocks(analytics_enabled=False) as page:
    api(ask, api_name="ask")
page.queue(max_size=200, default_concurrency_limit=int(sys.argv[2]))
site = FastAPI()
gr.mount_gradio_app(site, page, path="/", run_history=False, footer_links=[])
uvicorn.run(site, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
"""


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--kb", type=Path, default=Path(".kbqa"))
    options.add_argument("--people", type=int, default=50)
    options.add_argument("--seconds", type=float, default=60.0, help="for each crowd")
    options.add_argument("--think", type=float, default=5.0, help="mean seconds between answer and question")
    options.add_argument("--up", type=float, default=30.0, help="seconds from the start to the second crowd")
    options.add_argument("--own", type=float, default=0.2, help="share of own questions in the third")
    options.add_argument("--unlike", action="store_true", help="make every question a different one")
    chosen = options.parse_args()
    from kb.pipeline import KnowledgeBase
    from kb.suggest import suggest
    from kb.web.frame import AT_ONCE

    with KnowledgeBase.open(chosen.kb) as kb:
        offered = kb.key_questions(200)
        drafted = [row["question"] for row in suggest(kb, 2_000) if row["question"] not in offered]
        assert offered, "the knowledge base has no questions of its own to ask"
        floor_wall, floor_cpu = _floor(kb, drafted[:20] or offered[:20])
    if chosen.unlike:  # white space is no part of a question's meaning, and makes it another text
        offered = [question + " " * n for n in range(60) for question in offered]
    base = [sys.executable, "-c", CONSTANT]
    served = [sys.executable, "-m", "kb", "--kb", str(chosen.kb), "serve", "--port"]
    rounds: list[tuple[str, list[str], float, float]] = [
        ("constant", base, 0, 0),
        ("kbqa, just started", served, 0, 0),
        (f"kbqa, up for {chosen.up:.0f} s", served, chosen.up, 0),
        (f"the same, {chosen.own:.0%} own", served, chosen.up, chosen.own),
    ]
    constant = 0.0
    for name, command, up, own in rounds:
        port, is_kbqa = _free_port(), command is served
        more = [] if is_kbqa else [str(AT_ONCE)]
        server = subprocess.Popen(
            [*command, str(port), *more], env={**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"}
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(address, server)
            time.sleep(up)
            # Only kbqa's endpoint has filters, which are left empty.
            empty: list[object] = [[], "", "", "", ""] if is_kbqa else []
            people = People(chosen.people, chosen.seconds, chosen.think, offered, drafted, own)
            times, errors = people.ask(address, empty)
        finally:
            server.terminate()
            server.wait(20)
        whole = sorted(seconds for _, seconds in times)
        constant = constant or _at(whole, 0.95)
        print(
            f"{name:22} {len(whole):5} answers, {len(errors)} errors; p50 {_at(whole, 0.5):.3f} s, "
            f"p95 {_at(whole, 0.95):.3f} s ({_at(whole, 0.95) / constant:.2f} times the constant's), "
            f"longest {whole[-1]:.3f} s"
        )
        for new, what in ((False, "asked before"), (True, "for the first time")):
            some = sorted(seconds for first, seconds in times if first is new)
            if is_kbqa and some:
                share = f"{len(some) / len(whole):.0%}"
                print(f"{'':22} {len(some):5} {what} ({share}): p95 {_at(some, 0.95):.3f} s")
        for error in sorted(set(errors))[:5]:
            print(f"{'':22} {error}")
    print(
        f"A new question takes {floor_wall:.3f} s alone, {floor_cpu:.3f} s of processor time; where more "
        "than 5% of all have to be worked out on the spot, p95 cannot be less."
    )


def _floor(kb: KnowledgeBase, questions: list[str]) -> tuple[float, float]:
    """What a new question takes, one at a time: seconds, and seconds of processor time."""
    kb.ask("What is loaded at first?")
    wall, cpu = time.perf_counter(), time.process_time()
    for question in questions:
        kb.ask(question)
    return (time.perf_counter() - wall) / len(questions), (time.process_time() - cpu) / len(questions)


@dataclass
class People:
    """A crowd: how many for how long, what they ask, and the share of questions that are somebody's own."""

    count: int
    seconds: float
    think: float
    offered: list[str]
    drafted: list[str]
    own: float

    def ask(self, address: str, empty: list[object]) -> tuple[list[tuple[bool, float]], list[str]]:
        """Of each answer, whether its question was a new one and how long it took; and what went wrong."""
        times: list[tuple[bool, float]] = []
        errors: list[str] = []
        asked: set[str] = set()
        ends = time.monotonic() + self.seconds

        def person(n: int) -> None:
            chance = random.Random(n)
            with httpx.Client(base_url=address, timeout=60) as http:
                time.sleep(chance.uniform(0, min(self.think, self.seconds / 4)))
                while time.monotonic() < ends:
                    question = self._question(chance)
                    new = question not in asked
                    asked.add(question)
                    began = time.perf_counter()
                    try:
                        _ask(http, [question, *empty])
                        times.append((new, time.perf_counter() - began))
                    except (httpx.HTTPError, ValueError) as error:
                        errors.append(f"{type(error).__name__}: {str(error)[:200]}")
                    thinks = chance.expovariate(1 / self.think) if self.think else 0
                    time.sleep(min(thinks, max(0, ends - time.monotonic())))

        crowd = [threading.Thread(target=person, args=(n,), daemon=True) for n in range(self.count)]
        for one in crowd:
            one.start()
        for one in crowd:
            one.join(self.seconds + 90)
        return times, errors

    def _question(self, chance: random.Random) -> str:
        if self.own and self.drafted and chance.random() < self.own:
            return chance.choice(self.drafted)
        return chance.choice(self.offered)


def _ask(http: httpx.Client, data: list[object]) -> None:
    sent = http.post("/gradio_api/call/ask", json={"data": data})
    sent.raise_for_status()
    got = http.get(f"/gradio_api/call/ask/{sent.json()['event_id']}")
    got.raise_for_status()
    if "event: complete" not in got.text:
        raise ValueError(got.text[:200])
    answer = json.loads(got.text.rpartition("data: ")[2])[0]
    if answer.get("error"):
        raise ValueError(answer["error"])


def _at(times: list[float], share: float) -> float:
    return times[min(len(times) - 1, int(share * len(times)))]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _wait(address: str, server: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        if server.poll() is not None:
            raise SystemExit("the app ended before it was up")
        try:
            httpx.get(f"{address}/gradio_api/info", timeout=5).raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise SystemExit("the app did not come up")


if __name__ == "__main__":
    main()
