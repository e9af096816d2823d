"""A chat provider on this machine that speaks the OpenAI protocol over HTTP and does what a script says.

    with Provider(lambda request: Step("The bridge is closed. [1]")) as provider:
        os.environ |= provider.environment          # now the model "openai:scripted" answers here

A script sees the whole request and gives one ``Step``: words (streamed if that was asked for), an HTTP
error, bytes that are no JSON, or a stream that stops in the middle.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Request = dict[str, Any]
KEY = "sk-scripted-0123456789abcdef"


@dataclass(frozen=True, slots=True)
class Step:
    """What the provider does with a request.

    ``stalls_after`` words it stops and keeps the connection open, ``pause`` seconds go by before each word;
    ``raw`` is sent instead of an answer.
    """

    text: str = ""
    status: int = 200
    stalls_after: int | None = None
    raw: bytes | None = None
    pause: float = 0.0
    headers: dict[str, str] = field(default_factory=dict)


Script = Callable[[Request], Step]


def steps(*given: Step) -> Script:
    """A script that takes these steps one after the other, and the last one from then on."""
    left = list(given)
    return lambda request: left.pop(0) if len(left) > 1 else left[0]


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks, read as a model reads it: the question, and the passages in their order."""

    question: str
    passages: Sequence[str]


_PASSAGE = re.compile(r"<(passage-\w+) number=\d+ from=\"[^\n]*\">\n(.*?)\n</\1>", re.DOTALL)


def asked(request: Request) -> Asked:
    text = str(request["messages"][-1]["content"])
    question = text.rpartition("Question: ")[2]
    return Asked(question, [match[2] for match in _PASSAGE.finditer(text)])


class Provider:
    """The server, in a thread of its own; ``requests`` and ``keys`` hold what it was sent."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[Request] = []
        self.keys: list[str | None] = []
        self.began: float = 0.0  # when the first word of the last reply was sent, on the monotonic clock
        self._closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self, self._closing))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def environment(self) -> dict[str, str]:
        """What leads LangChain's OpenAI model here."""
        address = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        return {"OPENAI_BASE_URL": address, "OPENAI_API_KEY": KEY}

    def __enter__(self) -> Provider:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(provider: Provider, closing: threading.Event) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            provider.requests.append(request)
            provider.keys.append(self.headers.get("Authorization"))
            step = provider.script(request)
            try:
                if step.raw is not None:
                    self._whole(step.status, step.raw, step.headers)
                elif step.status != 200:
                    # Providers repeat the key in their messages; nobody may pass that on.
                    said = {"error": {"message": f"Incorrect API key provided: {KEY}", "type": "error"}}
                    self._whole(step.status, json.dumps(said).encode(), step.headers)
                elif request.get("stream"):
                    self._streamed(request, step)
                else:
                    self._whole(200, json.dumps(_completion(request, step.text)).encode(), step.headers)
            except (BrokenPipeError, ConnectionResetError):  # the other side had enough
                self.close_connection = True

        def _whole(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _streamed(self, request: Request, step: Step) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            for n, chunk in enumerate(_chunks(request, step.text)):
                if n == step.stalls_after:
                    closing.wait(30)
                    return
                closing.wait(step.pause)
                provider.began = provider.began if n else time.monotonic()
                self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
                self.wfile.flush()
            self.wfile.write(b"data: [DONE]\n\n")

    return Handler


def _completion(request: Request, text: str) -> dict[str, Any]:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    return {**_head(request, "chat.completion"), "choices": [choice], "usage": _usage(request, text)}


def _chunks(request: Request, text: str) -> Iterator[dict[str, Any]]:
    head = _head(request, "chat.completion.chunk")
    for word in re.findall(r"\s*\S+", text):
        delta = {"role": "assistant", "content": word}
        yield {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
    yield {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    if (request.get("stream_options") or {}).get("include_usage"):
        yield {**head, "choices": [], "usage": _usage(request, text)}


def _head(request: Request, kind: str) -> dict[str, Any]:
    return {"id": "scripted", "object": kind, "created": 0, "model": request["model"]}


def _usage(request: Request, text: str) -> dict[str, int]:
    read = sum(len(str(message["content"]).split()) for message in request["messages"])
    written = len(text.split())
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
