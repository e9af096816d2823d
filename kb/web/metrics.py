"""Figures for Prometheus: requests, replies, what the library holds. No word of any question is in them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from kb.types import Answer, CheckReport

if TYPE_CHECKING:
    from kb.pipeline import KnowledgeBase
    from kb.web.gate import App, Message, Receive, Scope, Send

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
ADDRESSES = ("/gradio_api/call/", "/gradio_api/run/", "/gradio_api/file=", "/assets/")


class Metrics:
    """The figures of one server."""

    def __init__(self, kb: KnowledgeBase) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Holdings(kb))
        self._requests = Counter(
            "kbqa_requests",
            "HTTP requests by address and status",
            ["address", "status"],
            registry=self._registry,
        )
        self._replies = Counter(
            "kbqa_replies",
            "Replies by kind (ask, check, search) and status",
            ["kind", "status"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "kbqa_reply_seconds", "Seconds until a reply", ["kind"], buckets=SECONDS, registry=self._registry
        )

    def text(self) -> bytes:
        """All figures in the format that Prometheus reads."""
        return generate_latest(self._registry)

    def replied(self, kind: str, status: str, began: float) -> None:
        self._replies.labels(kind, status).inc()
        self._seconds.labels(kind).observe(time.perf_counter() - began)

    def counting(self, inner: App) -> App:
        """An application whose requests are counted."""

        async def counted(scope: Scope, receive: Receive, send: Send) -> None:
            async def noting(message: Message) -> None:
                if message["type"] == "http.response.start":
                    self._requests.labels(_address(scope["path"]), str(message["status"])).inc()
                await send(message)

            await inner(scope, receive, noting)

        return counted

    def watching(self, kb: KnowledgeBase) -> KnowledgeBase:
        """The knowledge base, each of its replies counted."""
        return _Watched(kb, self)  # type: ignore[return-value]


class _Watched:
    def __init__(self, kb: KnowledgeBase, metrics: Metrics) -> None:
        self._kb = kb
        self._metrics = metrics

    def __getattr__(self, name: str) -> Any:
        return getattr(self._kb, name)

    def ask(self, *arguments: Any, **options: Any) -> Answer:
        began = time.perf_counter()
        answer = self._kb.ask(*arguments, **options)
        self._metrics.replied("ask", answer.status, began)
        return answer

    def stream(self, *arguments: Any, **options: Any) -> Iterator[Answer]:
        began, answer = time.perf_counter(), None
        for answer in self._kb.stream(*arguments, **options):
            yield answer
        if answer is not None:
            self._metrics.replied("ask", answer.status, began)

    def check(self, *arguments: Any, **options: Any) -> CheckReport:
        began = time.perf_counter()
        report = self._kb.check(*arguments, **options)
        self._metrics.replied("check", "error" if report.error else "done", began)
        return report

    def verdicts(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        began = time.perf_counter()
        yield from self._kb.verdicts(*arguments, **options)
        self._metrics.replied("check", "done", began)

    def search(self, *arguments: Any, **options: Any) -> Any:
        began = time.perf_counter()
        hits = self._kb.search(*arguments, **options)
        self._metrics.replied("search", "done", began)
        return hits


class _Holdings(Collector):
    """What the library holds, looked up when it is asked for."""

    def __init__(self, kb: KnowledgeBase) -> None:
        self._kb = kb

    def collect(self) -> Iterable[GaugeMetricFamily]:
        info = self._kb.info()
        for name, what in (
            ("documents", "Documents of the library"),
            ("passages", "Passages of the library"),
            ("generation", "Changes of the library so far"),
            ("size_bytes", "Bytes of the knowledge base on disk"),
        ):
            if name in info:
                yield GaugeMetricFamily(f"kbqa_{name}", what, value=info[name])


def _address(path: str) -> str:
    """An address as a label: what is different for each request is cut off, what nobody has is one."""
    from kb.web.gate import OPEN

    path = path.rstrip("/") or "/"
    for beginning in ADDRESSES:
        if path.startswith(beginning):
            name = path.removeprefix(beginning).partition("/")[0]
            return f"{beginning}{name}" if name in ("ask", "check", "search") else beginning
    if path.startswith("/gradio_api/heartbeat/"):
        return "/gradio_api/heartbeat/"
    return path if path in ("/healthz", "/metrics", *OPEN) else "other"
