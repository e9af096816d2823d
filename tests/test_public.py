"""The whole server from outside: roles, what Gradio is asked for directly, health, figures, agents."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_library import FakeLibrary, serving
from fastapi import FastAPI
from gradio_client import Client

import app
from kb import users as users_module
from kb.phrases import LIBRARY_NOT_YOURS as NOT_YOURS
from kb.settings import Settings
from kb.types import Filters
from kb.users import Users
from kb.web import server

COST = "What will the repair of the harbour bridge cost?"
WORD = "correct horse battery"


class Session:
    """A browser session of Gradio: its events can be sent by name, whatever the page shows."""

    def __init__(self, address: str, name: str) -> None:
        self.http = httpx.Client(base_url=address, timeout=30)
        self.name = name

    def log_in(self, user: str, word: str = WORD) -> Session:
        self.http.post("/login", data={"username": user, "password": word}).raise_for_status()
        return self

    def events(self) -> dict[str, int]:
        return {event["api_name"]: event["id"] for event in self.http.get("/config").json()["dependencies"]}

    def send(self, event: str, data: list[Any], sent: dict[str, Any] | None = None) -> dict[str, Any]:
        """The last message that comes of an event."""
        body = {
            "data": data,
            "fn_index": self.events()[event],
            "session_hash": self.name,
            "event_data": sent,
        }
        self.http.post("/gradio_api/queue/join", json=body).raise_for_status()
        with self.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": self.name}) as stream:
            for line in stream.iter_lines():
                message = json.loads(line[6:]) if line.startswith("data: ") else {}
                if message.get("msg") == "process_completed":
                    return dict(message)
        raise AssertionError("the stream ended early")


@pytest.fixture(scope="module")
def fake(tmp_path_factory: pytest.TempPathFactory) -> FakeLibrary:
    folder = tmp_path_factory.mktemp("public")
    return FakeLibrary(settings=Settings(kb=folder, cache=folder / "cache", metrics=True, mcp=True))


@pytest.fixture(scope="module")
def address(fake: FakeLibrary) -> Iterator[str]:
    with serving(fake) as address:
        yield address


@pytest.fixture
def guarded(fake: FakeLibrary, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """While it lasts, the same server asks for a login."""
    monkeypatch.setattr(users_module, "_COST", 2**10)
    users = Users(fake.settings.kb)
    users.put("ada", "editor", WORD)
    users.put("bob", "reader", WORD)
    yield
    users.path.unlink()


# --------------------------------------------------------------------------------- roles, directly


def test_a_reader_who_skips_the_page_changes_nothing(guarded: None, address: str) -> None:
    bob = Session(address, "bob").log_in("bob")
    for event, sent in (("discard", {"ids": ["orchards.md"]}), ("restore", None)):
        said = json.dumps(bob.send(event, [None], sent)["output"]["data"])
        assert NOT_YOURS.rstrip(".") in said
    assert NOT_YOURS.rstrip(".") in json.dumps(bob.send("again", [None])["output"]["data"])
    ada = Session(address, "ada").log_in("ada")
    said = json.dumps(ada.send("discard", [None], {"ids": []})["output"]["data"])
    assert "no document was named" in said  # an editor is let through to the next question


def test_nobody_is_let_in_without_a_login(guarded: None, address: str, fake: FakeLibrary) -> None:
    stranger = httpx.Client(base_url=address)
    asked = len(fake.asked)
    for path in (
        "/gradio_api/call/ask",
        "/gradio_api/run/ask",
        "/gradio_api/api/ask",
        "/gradio_api/queue/join",
    ):
        assert (
            stranger.post(path, json={"data": [COST], "fn_index": 0, "session_hash": "x"}).status_code == 401
        )
    assert stranger.post("/mcp", json={}).status_code == 401
    assert stranger.get("/config").status_code == 401
    assert len(fake.asked) == asked
    assert stranger.get("/healthz").json() == {"status": "ok"}


def test_the_client_of_gradio_logs_in(guarded: None, address: str) -> None:
    client = Client(address, auth=("bob", WORD), verbose=False, analytics_enabled=False)
    assert client.predict(question=COST, api_name="/ask")["status"] == "answered"


# -------------------------------------------------------------------------- files and other machines


def test_no_visitor_gets_at_files_of_the_machine(address: str, tmp_path: Path, fake: FakeLibrary) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret words")
    catalogue = fake.settings.kb / "catalogue.sqlite"
    catalogue.write_text("secret words")
    for path in (secret, catalogue, Path("/etc/passwd"), Path(__file__)):
        for form in (str(path), str(path).lstrip("/"), f"./{path}", f"{path.parent}/./{path.name}"):
            got = httpx.get(f"{address}/gradio_api/file={form}")
            assert got.status_code in (403, 404)
            assert "secret words" not in got.text
    catalogue.unlink()


def test_what_one_visitor_uploads_is_a_file_to_download_and_no_page(address: str) -> None:
    script = b"<script>alert(document.domain)</script>"
    for name in ("x.html", "x.svg", "x.xhtml", "x.md", "../../x.html", "x.html\x00.csv"):
        sent = httpx.post(f"{address}/gradio_api/upload", files={"files": (name, script)})
        if sent.status_code != 200:
            continue
        (path,) = sent.json()
        assert ".." not in path
        got = httpx.get(f"{address}/gradio_api/file={path}")
        assert "sandbox" in got.headers["content-security-policy"]
        assert got.headers["x-content-type-options"] == "nosniff"
        shown_as_page = got.headers.get("content-type", "").startswith(("text/html", "image/svg"))
        assert not shown_as_page or got.headers.get("content-disposition", "").startswith("attachment")
        folder = str(Path(path).parent)
        assert httpx.get(f"{address}/gradio_api/file={folder}").status_code in (403, 404)
        guess = path.replace(Path(path).parent.name, "0" * 64)
        assert httpx.get(f"{address}/gradio_api/file={guess}").status_code in (403, 404)


def test_the_server_fetches_nothing_for_a_visitor(address: str) -> None:
    """A file that is named by an address would make this machine ask another (SSRF)."""
    reached = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(3)
        inside = f"http://127.0.0.1:{listener.getsockname()[1]}/secret"

        def accept() -> None:
            try:
                listener.accept()
                reached.set()
            except OSError:
                pass

        waiting = threading.Thread(target=accept)
        waiting.start()
        file = {"path": inside, "url": inside, "meta": {"_type": "gradio.FileData"}}
        eve = Session(address, "eve")
        assert eve.send("read", [file])["success"] is False
        assert eve.send("look", [file, "ask"])["success"] is False
        for path in (f"/gradio_api/proxy={inside}", f"/gradio_api/file={inside}"):
            assert eve.http.get(path).status_code == 404
        waiting.join()
    assert not reached.is_set()


def test_a_full_queue_says_so_at_once(fake: FakeLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kb.web.frame.WAITING", 1)
    monkeypatch.setattr("kb.web.frame.AT_ONCE", 1)
    gate = threading.Event()

    class Slow(FakeLibrary):
        def ask(self, question: str, **rest: Any) -> Any:
            gate.wait(30)
            return super().ask(question, **rest)

    with serving(Slow()) as address, httpx.Client(base_url=address, timeout=10) as http:
        statuses = []
        for _ in range(6):
            sent = http.post("/gradio_api/call/ask", json={"data": [COST, [], "", "", "", ""]})
            statuses.append(sent.status_code)
        assert statuses[-1] == 503
        assert sent.elapsed.total_seconds() < 5  # at once, if the machine is busy too: the others wait
        assert "full" in sent.text.lower()
        gate.set()


def test_a_session_begins_without_a_description_of_every_component(fake: FakeLibrary) -> None:
    pages = [getattr(route, "app", None) for route in app.build_server(fake).routes]  # type: ignore[arg-type]
    (page,) = [page for page in pages if hasattr(page, "state_holder")]
    session = page.state_holder["somebody"]
    assert session.config_values == {}
    assert session.blocks_config.blocks


# ----------------------------------------------------------------------------- for others to build on


def test_the_examples_of_the_readme_run(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = (Path(app.__file__).parent / "README.md").read_text().replace("http://127.0.0.1:7860", address)
    _, python = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(python.replace("When does Overview launch?", COST), {})
    assert "41 million" in capsys.readouterr().out
    (curl,) = [block for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) if "curl" in block]
    if shutil.which("curl") is None:
        pytest.skip("no curl on this machine")
    done = subprocess.run(
        ["bash", "-c", curl.replace("When does Overview launch?", COST)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "event: complete" in done.stdout
    assert "41 million" in done.stdout


def test_two_requests_get_the_contract(address: str, fake: FakeLibrary) -> None:
    sent = httpx.post(f"{address}/gradio_api/call/ask", json={"data": [COST, [], "", "", "", ""]}).json()
    answer = httpx.get(f"{address}/gradio_api/call/ask/{sent['event_id']}", timeout=20).text
    assert "event: complete" in answer
    (found,) = json.loads(answer.split("data: ")[-1])
    assert found == fake.ask(COST).to_dict()


def test_health_is_that_of_the_library(
    address: str, fake: FakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert httpx.get(f"{address}/healthz").json() == {"status": "ok"}

    def broken() -> None:
        raise OSError("secret detail")

    monkeypatch.setattr(fake, "info", broken)
    ill = httpx.get(f"{address}/healthz")
    assert (ill.status_code, ill.json()) == (503, {"status": "error"})


def test_figures_for_prometheus_hold_no_question(address: str) -> None:
    Client(address, verbose=False, analytics_enabled=False).predict(question=COST, api_name="/ask")
    httpx.get(f"{address}/{'x' * 50}")
    figures = httpx.get(f"{address}/metrics")
    assert figures.headers["content-type"].startswith("text/plain")
    lines = figures.text.splitlines()
    assert "kbqa_documents 3.0" in lines
    assert any(line.startswith('kbqa_replies_total{kind="ask",status="answered"}') for line in lines)
    assert any(line.startswith('kbqa_requests_total{address="other",status="404"}') for line in lines)
    assert "harbour" not in figures.text
    assert "xxx" not in figures.text


def test_figures_and_tools_are_for_those_who_ask(tmp_path: Path) -> None:
    with serving(FakeLibrary(settings=Settings(kb=tmp_path))) as address:
        assert httpx.get(f"{address}/metrics").status_code == 404
        assert httpx.post(f"{address}/mcp", json={}).status_code == 404


def test_an_agent_uses_the_tools(address: str, fake: FakeLibrary) -> None:
    """With the client of the Model Context Protocol itself."""
    from mcp import ClientSession
    from mcp.client.streamable_http import streamable_http_client

    async def talk() -> tuple[list[Any], list[Any]]:
        async with (
            streamable_http_client(f"{address}/mcp") as (reading, writing, _),
            ClientSession(reading, writing) as session,
        ):
            await session.initialize()
            tools = (await session.list_tools()).tools
            called = [
                await session.call_tool("ask", {"question": COST, "document_id": "harbour-bridge.md"}),
                await session.call_tool(
                    "check", {"text": "The repair is expected to cost 43 million euros."}
                ),
                await session.call_tool("search", {"query": "ferry lorries", "top": 2}),
                await session.call_tool("search", {"query": "ferry", "top": 1000}),
            ]
            return tools, called

    tools, (answer, checked, found, refused) = asyncio.run(talk())
    assert {tool.name for tool in tools} == {"ask", "check", "search"}
    by_name = {tool.name: tool for tool in tools}
    assert "each sentence cited" in by_name["ask"].description
    assert "question" in by_name["ask"].inputSchema["properties"]
    assert answer.structuredContent == json.loads(answer.content[0].text)
    limited = Filters(document_ids=("harbour-bridge.md",))
    assert answer.structuredContent == fake.ask(COST, filters=limited).to_dict()
    assert checked.structuredContent["claims"][0]["verdict"] == "contradicted"
    assert found.structuredContent["result"] == [h.to_dict() for h in fake.search("ferry lorries", top=2)]
    assert refused.isError
    assert "1 to 100 passages" in refused.content[0].text


def test_tools_without_their_package_say_what_to_install(
    fake: FakeLibrary, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(server.KBError, match=r"pip install 'kbqa\[mcp\]'"):
        server.build_server(fake)  # type: ignore[arg-type]


def test_the_page_mounts_into_somebody_elses_application(tmp_path: Path) -> None:
    import gradio as gr
    from fastapi.testclient import TestClient

    theirs = FastAPI()
    theirs.get("/mine")(lambda: {"mine": True})
    fake = FakeLibrary(settings=Settings(kb=tmp_path))
    gr.mount_gradio_app(theirs, app.build_app(fake), path="/kb", **app.page_options())
    with TestClient(theirs) as client:
        assert client.get("/mine").json() == {"mine": True}
        assert "kbqa" in client.get("/kb/").text
        named = client.get("/kb/gradio_api/info").json()["named_endpoints"]
        assert set(named) == {"/ask", "/check", "/search"}
        given = {"data": [COST, [], "", "", "", ""]}
        assert "data" not in client.post("/kb/gradio_api/run/ask", json=given).json(), "past the queue"
        event = client.post("/kb/gradio_api/call/ask", json=given).json()["event_id"]
        told = client.get(f"/kb/gradio_api/call/ask/{event}").text
        assert json.loads(told.partition("data: ")[2].splitlines()[0])[0]["status"] == "answered"
