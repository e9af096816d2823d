"""The web server: what it answers, to whom, and how it starts and ends. The page itself: test_browser.py."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest
from fake_library import DOCUMENTS, FakeLibrary, serving
from gradio_client import Client
from gradio_client.exceptions import AppError

import app
from kb import phrases, render
from kb.errors import KBError
from kb.settings import Settings
from kb.types import Answer, Turn
from kb.web import desk
from kb.web.ask import Ask, Past

ROOT = Path(__file__).parent.parent
COST = "What will the repair of the harbour bridge cost?"
UNKNOWN = "Who painted the town hall of Utrecht?"


@pytest.fixture(scope="module")
def fake() -> FakeLibrary:
    return FakeLibrary()


@pytest.fixture(scope="module")
def address(fake: FakeLibrary) -> Iterator[str]:
    with serving(fake) as address:
        yield address


@pytest.fixture(scope="module")
def client(address: str) -> Client:
    return Client(address, verbose=False, analytics_enabled=False)


def get(address: str) -> Any:
    with urllib.request.urlopen(address, timeout=10) as reply:
        return json.loads(reply.read())


# ------------------------------------------------------------------------------------------- API


def test_the_public_endpoints_are_ask_check_and_search_and_documented(address: str) -> None:
    named = get(f"{address}/gradio_api/info")["named_endpoints"]
    assert set(named) == {"/ask", "/check", "/search"}
    for endpoint in named.values():
        assert len(endpoint["description"]) > 30
        assert all(parameter["label"] or parameter["parameter_name"] for parameter in endpoint["parameters"])


def test_ask_gives_the_contract(client: Client, fake: FakeLibrary) -> None:
    answer = client.predict(question=COST, api_name="/ask")
    assert answer == fake.ask(COST).to_dict()
    assert answer["status"] == "answered"
    assert client.predict(question=UNKNOWN, api_name="/ask")["status"] == "not_found"


def test_ask_takes_history_and_filters(client: Client, fake: FakeLibrary) -> None:
    history = [{"role": "user", "content": COST}, {"role": "assistant", "content": "41 million euros."}]
    client.predict(question="And the frost?", history=history, document_id="orchards.md", api_name="/ask")
    assert fake.asked[-1] == (
        "And the frost?",
        (Turn("user", COST), Turn("assistant", "41 million euros.")),
    )
    limited = client.predict(question=COST, document_id="orchards.md", api_name="/ask")
    assert {passage["document_id"] for passage in limited["passages"]} == {"orchards.md"}


def test_check_and_search_give_the_contract(client: Client, fake: FakeLibrary) -> None:
    claim = "The repair is expected to cost 41 million euros."
    assert client.predict(text=claim, api_name="/check") == fake.check(claim).to_dict()
    found = client.predict(query="ferry lorries", top=2, api_name="/search")
    assert found == [hit.to_dict() for hit in fake.search("ferry lorries", top=2)]


def test_a_date_that_is_none_is_named(client: Client) -> None:
    answer = client.predict(question=COST, after="in April", api_name="/ask")
    assert answer["status"] == "error"
    assert "in April" in answer["error"]
    assert "is not a date" in client.predict(text=COST, before="2026-13", api_name="/check")["error"]
    with pytest.raises(AppError, match="is not a date"):
        client.predict(query=COST, before="2026-13", api_name="/search")


def test_what_is_too_long_is_refused_politely(client: Client) -> None:
    answer = client.predict(question="why " * 600, api_name="/ask")
    assert answer["status"] == "error"
    assert answer["error"] == "This question has 2,400 characters; please keep it under 2,000."
    report = client.predict(text="x" * 60_000, api_name="/check")
    assert report["error"] == "This text has 60,000 characters; please keep it under 50,000."
    with pytest.raises(AppError, match="please keep it under 2,000"):
        client.predict(query="why " * 600, api_name="/search")
    with pytest.raises(AppError, match="1 to 100"):
        client.predict(query="why", top=1_000, api_name="/search")


def test_an_error_is_a_sentence_and_a_defect_stays_in_the_log(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    answer = client.predict(question="unreadable", api_name="/ask")
    assert answer["error"] == "the catalogue cannot be read: run kbqa doctor."
    answer = client.predict(question="explode", api_name="/ask")
    assert answer["error"] == desk.DEFECT
    assert "secret detail" in caplog.text
    assert client.predict(text="explode", api_name="/check")["error"] == desk.DEFECT


def test_what_the_page_uses_is_not_an_endpoint(client: Client) -> None:
    for name in ("/answer", "/chosen", "/redo", "/stop", "/judge", "/export", "/source", "/clear", "/arrive"):
        with pytest.raises(ValueError, match="Cannot find"):
            client.predict(COST, api_name=name)


def test_nothing_is_reported_recorded_or_monitored(address: str) -> None:
    config = get(f"{address}/config")
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert config["analytics_enabled"] is False
    assert config["footer_links"] == []
    assert config["show_error"] is False
    assert config.get("run_history") is not True
    with pytest.raises(urllib.error.HTTPError, match="40"):
        get(f"{address}/gradio_api/monitoring/summary")


def test_questions_are_answered_at_the_same_time() -> None:
    together = threading.Barrier(4, timeout=10)

    class Slow(FakeLibrary):
        def ask(self, question: str, **rest: Any) -> Answer:
            together.wait()  # passes only when four questions are being answered at once
            return super().ask(question, **rest)

    with serving(Slow()) as address, ThreadPoolExecutor(4) as pool:
        client = Client(address, verbose=False, analytics_enabled=False)
        answers = list(pool.map(lambda n: client.predict(question=COST, api_name="/ask"), range(4)))
    assert [answer["status"] for answer in answers] == ["answered"] * 4


# --------------------------------------------------------------------------------------- visitors


class Visitor:
    """Talks to the server as the page in one browser tab does."""

    def __init__(self, address: str, name: str) -> None:
        self.address, self.name = address, name
        events = get(f"{address}/config")["dependencies"]
        self.ids = {event["api_name"]: event["id"] for event in events}

    def ask(self, question: str) -> list[str]:
        """The conversation as HTML, after each step; all but the first step may be a change to the last."""
        return self.send("answer", [question, None])

    def send(self, name: str, data: list[Any]) -> list[str]:
        """What an event of the page gives, after each step."""
        event = {"data": data, "fn_index": self.ids[name], "session_hash": self.name}
        request = urllib.request.Request(
            f"{self.address}/gradio_api/queue/join",
            json.dumps(event).encode(),
            {"Content-Type": "application/json"},
        )
        urllib.request.urlopen(request, timeout=10).read()
        pages = []
        stream = f"{self.address}/gradio_api/queue/data?session_hash={self.name}"
        with urllib.request.urlopen(stream, timeout=20) as reply:
            for line in reply:
                message = json.loads(line[6:]) if line.startswith(b"data: ") else {}
                if message.get("msg") in ("process_generating", "process_completed"):
                    assert message["success"]
                    pages.append(json.dumps(message["output"]["data"]))
                if message.get("msg") == "process_completed":
                    return pages
        raise AssertionError("the stream ended early")


def test_a_file_that_was_not_uploaded_is_not_read(address: str, tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("secret words")
    visitor = Visitor(address, "eve")
    file = {"path": str(tmp_path / "secret.txt"), "meta": {"_type": "gradio.FileData"}}
    with pytest.raises(AssertionError):
        visitor.send("read", [file])
    assert (tmp_path / "secret.txt").exists()


def test_two_visitors_do_not_see_each_other(address: str, fake: FakeLibrary) -> None:
    ann, bob = Visitor(address, "ann"), Visitor(address, "bob")
    ann.ask("How much apple blossom was lost to the frost?")
    pages = bob.ask(COST)
    assert not any("How much apple blossom" in page for page in pages)
    assert fake.asked[-1] == (COST, ())
    ann.ask("And the growers?")
    question, history = fake.asked[-1]
    assert question == "And the growers?"
    assert [turn.content for turn in history if turn.role == "user"] == [
        "How much apple blossom was lost to the frost?"
    ]


# ------------------------------------------------------------------------------------------- desk


def steps(asking: Ask, question: str, past: Past = ()) -> list[tuple[Any, ...]]:
    return list(asking.answer(question, past))


def test_an_answer_that_nobody_has_to_write_comes_whole() -> None:
    pages = [page for page, _, _ in steps(Ask(FakeLibrary()), COST)]
    assert [page.count('<span class="sentence') for page in pages] == [0, 3]
    assert ["data-doc" in page for page in pages] == [False, True]


def test_the_box_is_emptied_but_keeps_a_question_that_failed() -> None:
    asking = Ask(FakeLibrary())
    first, *_, last = steps(asking, f"  {COST} ")
    assert first[2] == ""
    assert last[2] != COST
    assert last[1][0].question == COST
    assert steps(asking, "unreadable")[-1][2] == "unreadable"


def test_an_empty_question_changes_nothing() -> None:
    fake = FakeLibrary()
    assert steps(Ask(fake), "  \n") == [(gr.skip(), gr.skip(), gr.skip())]
    assert fake.asked == []


def test_follow_ups_carry_the_conversation() -> None:
    fake = FakeLibrary()
    asking = Ask(fake)
    past = steps(asking, UNKNOWN, steps(asking, COST)[-1][1])[-1][1]
    steps(asking, "And when?", past)
    history = fake.asked[-1][1]
    assert [turn.role for turn in history] == ["user", "assistant"] * 2
    assert history[3].content == render.REFUSAL


def click(document: Any, start: Any, end: Any) -> Any:
    return SimpleNamespace(_data={"document": document, "start": start, "end": end})


def test_a_citation_opens_its_document_at_the_quote() -> None:
    asking = Ask(FakeLibrary())
    past = steps(asking, COST)[-1][1]
    for citation in past[0].citations:
        page = asking.source(past, click(citation.document_id, citation.start, citation.end))
        assert f'<mark id="quote" tabindex="-1">{citation.quote}</mark>' in page
        assert "<h2" in page


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (click("../../etc/passwd", 0, 4), "there is no document"),
        (click("harbour-bridge.md", 5, 5), phrases.SOURCE_CHANGED),
        (click("harbour-bridge.md", -4, 5), phrases.SOURCE_CHANGED),
        (click("harbour-bridge.md", 0, 10**9), phrases.SOURCE_CHANGED),
        (click("harbour-bridge.md", "0", "5"), "does not name a passage"),
        (click(None, None, None), "does not name a passage"),
        (SimpleNamespace(_data=None), "does not name a passage"),
        (SimpleNamespace(_data=["harbour-bridge.md", 0, 5]), "does not name a passage"),
    ],
)
def test_a_place_that_is_none_is_a_sentence(sent: Any, said: str) -> None:
    page = Ask(FakeLibrary()).source((), sent)
    assert render.problem_html(said).split(">")[1].split("<")[0] in page
    assert "<mark" not in page


def test_a_quote_that_the_document_no_longer_holds_is_not_marked() -> None:
    fake = FakeLibrary()
    asking = Ask(fake)
    past = steps(asking, COST)[-1][1]
    citation = past[0].citations[0]
    fake.change(replace(DOCUMENTS[0], text="Some new words. " * 40))
    page = asking.source(past, click(citation.document_id, citation.start, citation.end))
    assert "has changed since" in page
    assert "<mark" not in page
    fake.remove([citation.document_id])
    assert "there is no document" in asking.source(
        past, click(citation.document_id, citation.start, citation.end)
    )


def test_the_welcome_offers_the_librarys_own_questions() -> None:
    assert f'data-question="{COST}"' in Ask(FakeLibrary()).welcome()
    assert "kbqa ingest FOLDER" in Ask(FakeLibrary(())).welcome()
    assert "3 documents · newest 12 May 2026 · Nothing leaves this machine" in desk.footer(FakeLibrary())


# -------------------------------------------------------------------------------- start and end


def test_a_port_in_use_is_an_error_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeLibrary()
    monkeypatch.setattr("kb.pipeline.KnowledgeBase.open", lambda *_: fake)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(KBError, match=f"port {port} .*--port"):
            app.main(Settings(port=port))
    assert fake.closed


def test_without_a_knowledge_base_it_says_how_to_make_one(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, ROOT / "app.py"],
        cwd=tmp_path,
        env={**os.environ, "KBQA_KB": str(tmp_path / "none"), "KBQA_PORT": "0"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert "kbqa ingest FOLDER" in ended.stderr
    assert "Traceback" not in ended.stderr


SERVE = """
import kb.pipeline, app
from fake_library import FakeLibrary
from kb.settings import Settings
fake = FakeLibrary()
kb.pipeline.KnowledgeBase.open = lambda *_: fake
app.main(Settings(port=0))
print("closed" if fake.closed else "left open")
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_it_in_order_even_while_a_page_is_open(name: str) -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", SERVE],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stderr is not None
        ready = next(line for line in server.stderr if "ready at" in line)
        address = ready.split("ready at ")[1].split()[0]
        page = urllib.request.urlopen(f"{address}/gradio_api/heartbeat/visitor", timeout=10)
        begun = time.monotonic()
        server.send_signal(getattr(signal, name))
        out, err = server.communicate(timeout=20)
        page.close()
    finally:
        server.kill()
    assert time.monotonic() - begun < 10
    assert server.returncode == 0
    assert out == "closed\n"
    assert "Traceback" not in err
