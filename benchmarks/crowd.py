"""Many people asking at once: kbqa beside a Gradio app that returns a constant, on this machine, in one run.

    python -m benchmarks.crowd --kb .kbqa --people 50 --seconds 60

Everybody asks one question after the other over loopback, as the page does (an event, then its stream), and
thinks for a while in between. The two apps run in processes of their own and take turns, so that what the
client and Gradio cost is in both. The questions are those that the documents answer themselves. kbqa keeps
its answers in mind; ``--unlike`` says what it costs when no two questions are the same.
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
from pathlib import Path

import httpx

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
    options.add_argument("--seconds", type=float, default=60.0, help="for each of the two apps")
    options.add_argument("--think", type=float, default=5.0, help="mean seconds between answer and question")
    options.add_argument("--unlike", action="store_true", help="make every question a different one")
    chosen = options.parse_args()
    from kb.pipeline import KnowledgeBase
    from kb.web.frame import AT_ONCE

    with KnowledgeBase.open(chosen.kb) as kb:
        questions = kb.key_questions(200)
    assert questions, "the knowledge base has no questions of its own to ask"
    if chosen.unlike:  # white space is no part of a question's meaning, and makes it another text
        questions = [question + " " * n for n in range(60) for question in questions]
    base = [sys.executable, "-c", CONSTANT]
    own = [sys.executable, "-m", "kb", "--kb", str(chosen.kb), "serve", "--port"]
    found = {}
    for name, command, more in (("constant", base, [str(AT_ONCE)]), ("kbqa", own, [])):
        port = _free_port()
        server = subprocess.Popen(
            [*command, str(port), *more], env={**os.environ, "GRADIO_ANALYTICS_ENABLED": "False"}
        )
        try:
            address = f"http://127.0.0.1:{port}"
            _wait(address, server)
            # Only kbqa's endpoint has filters, which are left empty.
            empty: list[object] = [[], "", "", "", ""] if name == "kbqa" else []
            times, errors = crowd(address, chosen.people, chosen.seconds, chosen.think, questions, empty)
        finally:
            server.terminate()
            server.wait(20)
        times.sort()
        found[name] = times
        print(
            f"{name:9} {len(times):5} answers, {len(errors)} errors; "
            f"p50 {_at(times, 0.5):.3f} s, p95 {_at(times, 0.95):.3f} s, longest {times[-1]:.3f} s"
        )
        for error in sorted(set(errors))[:5]:
            print(f"          {error}")
    print(
        f"p95 of kbqa is {_at(found['kbqa'], 0.95) / _at(found['constant'], 0.95):.2f} times the constant's"
    )


def crowd(
    address: str, people: int, seconds: float, think: float, questions: list[str], empty: list[object]
) -> tuple[list[float], list[str]]:
    """How long each answer took, in seconds, and what went wrong."""
    times: list[float] = []
    errors: list[str] = []
    ends = time.monotonic() + seconds

    def person(n: int) -> None:
        chance = random.Random(n)
        with httpx.Client(base_url=address, timeout=60) as http:
            time.sleep(chance.uniform(0, min(think, seconds / 4)))
            while time.monotonic() < ends:
                began = time.perf_counter()
                try:
                    _ask(http, [chance.choice(questions), *empty])
                    times.append(time.perf_counter() - began)
                except (httpx.HTTPError, ValueError) as error:
                    errors.append(f"{type(error).__name__}: {str(error)[:200]}")
                time.sleep(
                    min(chance.expovariate(1 / think) if think else 0, max(0, ends - time.monotonic()))
                )

    crowd = [threading.Thread(target=person, args=(n,), daemon=True) for n in range(people)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join(seconds + 90)
    return times, errors


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
