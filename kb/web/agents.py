"""Ask, check and search as tools for agents, over the Model Context Protocol (streamable HTTP) at ``/mcp``.

Gradio could offer them too, but hands on what Python prints of an answer; here it is the JSON of the API.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from mcp.server.fastmcp import FastMCP
from mcp.server.transport_security import TransportSecuritySettings
from mcp.types import ToolAnnotations
from starlette.concurrency import run_in_threadpool

from kb.web.api import Api

if TYPE_CHECKING:
    from kb.pipeline import KnowledgeBase

PATH = "/mcp"
ABOUT = (
    "A library of articles. Every sentence of an answer cites the stored text it was taken from; what the "
    "library does not say is refused. Quotes are exact: hand them on with their source and date."
)


def tools(kb: KnowledgeBase) -> FastMCP:
    """The server with its three tools; its application is to be mounted, its session manager to be run."""
    server = FastMCP(
        "kbqa",
        instructions=ABOUT,
        stateless_http=True,
        json_response=True,
        streamable_http_path=PATH,
        # The gate before it has looked at host and origin.
        transport_security=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    offered = Api(kb)
    looking = ToolAnnotations(readOnlyHint=True, openWorldHint=False)
    for function in (offered.ask, offered.check, offered.search):
        server.tool(annotations=looking)(_in_thread(function))
    return server


def _in_thread(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """The same function, but others are served while it works."""

    @functools.wraps(function)
    async def called(*arguments: Any, **options: Any) -> Any:
        return await run_in_threadpool(function, *arguments, **options)

    return called
