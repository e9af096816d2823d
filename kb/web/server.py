"""Serve the page: the address, the port, and an orderly end."""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import gradio as gr
import uvicorn

from kb.errors import KBError
from kb.settings import Settings, load_settings
from kb.users import Users
from kb.web.frame import build_app, page_options
from kb.web.memory import remembering
from kb.web.offers import Offers

if TYPE_CHECKING:
    from fastapi import FastAPI

    from kb.pipeline import KnowledgeBase

log = logging.getLogger(__name__)


def build_server(kb: KnowledgeBase) -> FastAPI:
    """The page behind its gate, as a web application of its own, to be run by any ASGI server.

    Raises ``KBError`` if tools for agents are wanted and what they need is not installed.
    """
    from fastapi import FastAPI, Response

    from kb.web.gate import Gate

    settings = kb.settings
    site = FastAPI(title="kbqa", docs_url=None, redoc_url=None, openapi_url=None)
    outside = ["/healthz"]

    @site.get("/healthz")
    def healthz() -> Response:
        """Whether the knowledge base can be read."""
        try:
            kb.info()
        except Exception:  # whatever it is, the log has it and whoever asked has a status
            log.exception("the knowledge base cannot be read")
            return Response('{"status": "error"}\n', 503, media_type="application/json")
        return Response('{"status": "ok"}\n', media_type="application/json")

    watched = kb
    if settings.metrics:
        from kb.web.metrics import MEDIA_TYPE, Metrics

        figures = Metrics(kb)
        watched = figures.watching(kb)
        outside.append("/metrics")
        site.get("/metrics")(lambda: Response(figures.text(), media_type=MEDIA_TYPE))

    if settings.mcp:
        _offer_tools(site, watched)
    most = f"{settings.upload_megabytes}mb"
    page = build_app(watched)
    gr.mount_gradio_app(site, page, path="/", max_file_size=most, **page_options())
    # Gradio would begin every session, and every call of the API is one, by describing all components of the
    # page, for links that we do not offer: 20 ms in which nobody else is served, and 160 kB that stay.
    beginning: Any = SimpleNamespace(default_config=page.default_config, blocks={})
    page.state_holder.blocks = beginning
    site.add_middleware(Gate, settings=settings, users=Users(settings.kb), outside=outside)
    if settings.metrics:
        site.add_middleware(figures.counting)
    return site


def _offer_tools(site: FastAPI, kb: KnowledgeBase) -> None:
    """Add the tools for agents, which live as long as the site does."""
    if importlib.util.find_spec("mcp") is None:
        raise KBError("the tools for agents need a package that is not here", "pip install 'kbqa[mcp]'")
    from kb.web.agents import tools

    server = tools(kb)
    site.router.routes.extend(server.streamable_http_app().routes)
    before = site.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
        async with before(app) as state, server.session_manager.run():
            yield state

    site.router.lifespan_context = lifespan


def main(settings: Settings | None = None, *, open_browser: bool = False) -> None:
    """Serve the page until it is interrupted, and print its address once it is up.

    Raises ``KBError`` if there is no knowledge base or the port cannot be had.
    """
    from kb.pipeline import KnowledgeBase

    settings = settings or load_settings()
    with (
        KnowledgeBase.open(settings.kb, settings) as opened,
        _listen(settings.host, settings.port) as listener,
    ):
        kb = remembering(opened)
        address = f"http://{_shown(settings.host)}:{listener.getsockname()[1]}"
        # Pages keep a connection open for as long as they are looked at; do not wait for them.
        config = uvicorn.Config(
            build_server(kb),
            log_level="warning",
            timeout_graceful_shutdown=1,
            proxy_headers=False,  # the gate knows whom to believe
            server_header=False,
        )
        server = _Server(config, ready=lambda: _say(address, open_browser))
        # uvicorn ends in order on SIGTERM and raises it again: let that be an exception, not the end,
        # so the knowledge base is closed too.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt), _asking_ahead(kb):
            server.run(sockets=[listener])


@contextlib.contextmanager
def _asking_ahead(kb: Any) -> Iterator[None]:
    """Meanwhile, have the questions answered that the page will offer, if the answers are remembered."""
    if not getattr(kb, "takes_turns", False):
        yield
        return
    stop = threading.Event()
    thread = threading.Thread(target=Offers(kb).ask_ahead, args=[lambda: kb.busy, stop], name="ahead")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


class _Server(uvicorn.Server):
    """uvicorn, which says once it is ready for requests."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self.ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Open pages hold a connection each. Cutting them is how it ends, not an error to report.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket; bound here so that a port in use is an error of ours, with its cure."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise KBError(
            f"cannot listen on port {port} of {host} ({why})", "choose another with --port"
        ) from error


def _shown(host: str) -> str:
    """The host as it stands in an address that a browser on this machine can open."""
    if host in ("", "0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _say(address: str, open_browser: bool) -> None:
    print(f"kbqa is ready at {address} (Ctrl-C ends it)", file=sys.stderr, flush=True)
    if open_browser:
        import webbrowser

        webbrowser.open(address)
