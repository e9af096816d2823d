"""What stands before the page: who may come in, from where, how often, and what a browser is told to refuse.

    request -> host and origin -> known addresses -> login -> rate -> size -> Gradio -> security headers

Gradio has more addresses than the page needs; what is not in ``OPEN`` is not there.
"""

from __future__ import annotations

import ipaddress
import json
import secrets
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from contextlib import suppress
from functools import partial
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kb import phrases
from kb.errors import Busy, KBError
from kb.settings import Settings
from kb.users import User, Users, known_as
from kb.web.desk import COUNT, VISITOR, Visitor, too_much
from kb.web.login import SESSION_S, Login, page_html

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

COOKIE = "kbqa-session"
BODY_BYTES = 1 << 20  # of anything but an upload; the longest text to check has a fifth of that

# The addresses that the page, the API and the tools for agents need: exact ones, and beginnings.
OPEN = {
    *("/", "/config", "/theme.css", "/favicon.ico", "/robots.txt", "/manifest.json"),
    *("/gradio_api/info", "/gradio_api/openapi.json", "/gradio_api/app_id", "/gradio_api/startup-events"),
    *("/gradio_api/upload", "/gradio_api/upload_progress", "/gradio_api/cancel", "/gradio_api/reset"),
    *("/gradio_api/queue/join", "/gradio_api/queue/data", "/gradio_api/login_check", "/gradio_api/user"),
    *("/mcp", "/gradio_api/theme.css"),
}
BEGINNINGS = (
    *("/static/", "/assets/", "/gradio_api/heartbeat/", "/gradio_api/call/", "/gradio_api/run/"),
    *("/gradio_api/api/", "/gradio_api/file="),
)
# What costs work: of these a client may send only so many a minute.
COUNTED = (
    *("/gradio_api/queue/join", "/gradio_api/call/", "/gradio_api/run/", "/gradio_api/api/"),
    *("/gradio_api/upload", "/mcp"),
)

# Gradio compiles the handlers of a page with ``new Function`` and sets styles by script: see docs/public.md.
POLICY = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' blob:; connect-src 'self'; "
    "worker-src 'self' blob:; manifest-src 'self'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'"
)
FILE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
LOGIN_POLICY = (
    "default-src 'none'; style-src 'nonce-{nonce}'; img-src data:; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


LOCAL = "kbqa.local"  # in the scope: whether somebody at this very machine sent the request


class Rate:
    """So many requests a minute for each client; a minute's worth may come at once. For several threads."""

    def __init__(self, a_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = float(a_minute)
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def wait(self, client: str) -> float:
        """Count a request; seconds until the next would be taken, 0 if this one is."""
        with self._lock:
            now = self._clock()
            if len(self._left) > 10_000:  # those who have all of it again need no entry
                self._left = {k: v for k, v in self._left.items() if now - v[1] < 60}
            left, last = self._left.get(client, (self._most, now))
            left = min(self._most, left + (now - last) * self._most / 60)
            if left < 1:
                return (1 - left) * 60 / self._most
            self._left[client] = (left - 1, now)
            return 0.0


class Gate:
    """The one way to the page, as an ASGI application around another."""

    def __init__(
        self,
        inner: App,
        settings: Settings,
        users: Users,
        *,
        outside: Iterable[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``outside`` are addresses of ``inner`` that need no login and are in no list above."""
        self._inner = inner
        self._settings = settings
        self._users = users
        self._login = Login(users, clock)
        self._rate = Rate(settings.rate, clock)
        self._outside = frozenset(outside)
        self._hosts = {name.strip().lower() for name in settings.hosts.split(",") if name.strip()}
        self._proxies = _networks(settings.proxy)
        self._own = not self._hosts and not self._proxies and _is_loopback(settings.host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._inner(scope, receive, send)
        elif scope["type"] == "http":
            try:
                await self._http(scope, receive, send)
            except Refused as refusal:
                await refusal.send(scope, send)
        else:  # the page uses no web sockets
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = self._know_client(scope)
        self._check_host(scope)
        path = scope["path"]
        if path not in self._outside:
            _check_address(path)
            if self._users.exist() or self._settings.proxy_user:
                who = self._who(scope)
                if path in ("/login", "/logout"):
                    await self._log_in_or_out(scope, receive, send, client)
                    return
                if who is None:
                    raise _unknown(scope)
                scope[VISITOR] = Visitor(who.name, who.role == "editor", bool(self._settings.proxy_user))
            elif path in ("/login", "/logout"):
                raise Refused(404, "There is nothing to log in to here.")
            else:
                # Where nobody logs in, whoever sits at this machine looks after the library, and nobody else.
                scope[VISITOR] = Visitor(edits=self._own and scope[LOCAL])
            self._check_rate(scope, client)
            receive = self._limited(scope, receive)
        await self._inner(scope, receive, _guarded(scope, send))

    # Where from

    def _know_client(self, scope: Scope) -> str:
        """The address of the client. What a proxy says counts only if it is one that we were told of."""
        peer = (scope.get("client") or ("", 0))[0]
        trusted = _is_in(peer, self._proxies)
        if trusted:
            # The last entry is the one that our proxy wrote.
            forwarded = _header(scope, b"x-forwarded-for").rpartition(",")[2].strip()
            peer = _client(forwarded) or peer
            if _header(scope, b"x-forwarded-proto") in ("http", "https"):
                scope["scheme"] = _header(scope, b"x-forwarded-proto")
        header = self._settings.proxy_user.lower().encode("latin-1", "replace")
        scope["kbqa.proxy"] = known_as(_header(scope, header)) if trusted and header else ""
        scope["kbqa.trusted"] = trusted
        dropped = (b"x-forwarded-", b"forwarded", b"x-real-ip")
        kept = [(k, v) for k, v in scope["headers"] if not k.startswith(dropped)]
        # A proxy that nobody told us of reaches us from this machine too, but says for whom.
        scope[LOCAL] = _is_loopback(peer) and not trusted and len(kept) == len(scope["headers"])
        scope["headers"] = kept
        scope["client"] = (peer, 0)
        return peer

    def _check_host(self, scope: Scope) -> None:
        """Only by a name that is ours: a page that made its own name lead here must not read along."""
        host = _header(scope, b"host").lower()
        name = _host_of(f"//{host}") if "@" not in host else ""
        if not (_is_address(name) or name in {"localhost", socket.gethostname().lower(), *self._hosts}):
            raise Refused(
                421, f"This server does not go by the name {name[:100]!r}: add it to the setting hosts."
            )
        for said in [_header(scope, b"origin")] if _has(scope, b"origin") else []:
            if said.lower().partition("://")[2] != host:
                raise Refused(403, "Pages of other sites may not use this one.")
        if scope["method"] not in ("GET", "HEAD") and _header(scope, b"sec-fetch-site") in (
            "cross-site",
            "same-site",
        ):
            raise Refused(403, "Pages of other sites may not use this one.")

    # Who

    def _who(self, scope: Scope) -> User | None:
        if self._settings.proxy_user:
            name = scope["kbqa.proxy"]
            return self._users.all().get(name) or User(name) if name else None
        return self._login.who(_token(scope))

    async def _log_in_or_out(self, scope: Scope, receive: Receive, send: Send, client: str) -> None:
        if self._settings.proxy_user:
            raise Refused(404, "The proxy before this server does the login.")
        by_page = "text/html" in _header(scope, b"accept")
        if scope["method"] == "GET" and scope["path"] == "/login":
            await _login_page(send, 200)
            return
        if scope["method"] != "POST":
            raise Refused(405, "This needs POST.")
        if scope["path"] == "/logout":
            self._login.end(_token(scope))
            await _answer(send, 303, b"", [(b"location", b"login"), (b"set-cookie", _cookie(scope, "", 0))])
            return
        form = parse_qs((await _body(receive, 20_000)).decode("utf-8", "replace"))
        name, password = (form.get(field, [""])[0] for field in ("username", "password"))
        try:
            token = await _in_thread(self._login.begin, name, password, client)
        except Busy as error:
            if not by_page:
                raise Refused(429, str(error)) from error
            await _login_page(send, 429, str(error).capitalize(), name)
            return
        if token is None:
            said = phrases.LOG_IN_WRONG
            if not by_page:
                raise Refused(401, said)
            await _login_page(send, 401, said, name)
            return
        cookie = (b"set-cookie", _cookie(scope, token, int(SESSION_S)))
        if by_page:
            await _answer(send, 303, b"", [(b"location", b"."), cookie])
        else:
            body = json.dumps({"success": True}).encode()
            await _answer(send, 200, body, [(b"content-type", b"application/json"), cookie])

    # How much

    def _check_rate(self, scope: Scope, client: str) -> None:
        if scope["method"] != "POST" or not scope["path"].startswith(COUNTED):
            return
        if scope[LOCAL]:
            return  # whoever sits at this machine
        count = partial(self._rate.wait, scope[VISITOR].name or client)
        scope[COUNT] = count
        if wait := count():
            seconds = str(max(1, round(wait))).encode()
            raise Refused(429, too_much(wait), [(b"retry-after", seconds)])

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """The body of a request, cut off where it is longer than anything that is sent in earnest."""
        most = BODY_BYTES
        if scope["path"].startswith("/gradio_api/upload"):
            files = self._settings.upload_files if scope[VISITOR].edits else 1
            most += (self._settings.upload_megabytes << 20) * files
        with suppress(ValueError):
            if int(_header(scope, b"content-length") or 0) > most:
                raise Refused(413, "That is more than is taken here.")
        seen = 0

        async def limited() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > most:
                raise Refused(413, "That is more than is taken here.")
            return message

        return limited


class Refused(Exception):
    """A request that is not let in: a status and a sentence."""

    def __init__(self, status: int, said: str, headers: Headers | None = None) -> None:
        super().__init__(said)
        self.status, self.said, self.headers = status, said, headers or []

    async def send(self, scope: Scope, send: Send) -> None:
        """Gradio's page shows ``detail`` as it is."""
        body = json.dumps({"detail": self.said}).encode()
        headers = [(b"content-type", b"application/json"), *self.headers]
        await _answer(send, self.status, body, headers)


def may_serve(path: str) -> bool:
    """Whether an address is one that the page, the API or an agent needs."""
    bare = path.rstrip("/") or "/"
    return bare in OPEN or bare in ("/login", "/logout") or path.startswith(BEGINNINGS)


def _check_address(path: str) -> None:
    if not may_serve(path):
        raise Refused(404, "There is nothing here.")
    if path.startswith("/gradio_api/file="):
        named = path.removeprefix("/gradio_api/file=")
        if "://" in named or named.startswith("//") or ".." in named.split("/"):
            raise Refused(404, "There is nothing here.")


def _unknown(scope: Scope) -> Refused:
    """To the login page with those who look at the page, a plain refusal for programs."""
    if scope["method"] == "GET" and scope["path"] == "/" and "text/html" in _header(scope, b"accept"):
        return Refused(303, "Log in first.", [(b"location", b"login")])
    return Refused(401, "Log in first.")


# --- responses ---------------------------------------------------------------------------------------


def _guarded(scope: Scope, send: Send) -> Send:
    """Responses with what a browser is to refuse; our own page gets a nonce for the scripts in it."""
    is_page = scope["path"] == "/" and scope["method"] == "GET"
    nonce = secrets.token_urlsafe(16)
    policy = FILE_POLICY if scope["path"].startswith("/gradio_api/file=") else POLICY.format(nonce=nonce)
    if is_page:  # what is written into must not be compressed
        scope["headers"] = [(k, v) for k, v in scope["headers"] if k != b"accept-encoding"]
    start: Message = {}
    body = bytearray()

    async def guarded(message: Message) -> None:
        nonlocal start
        if message["type"] == "http.response.start":
            replaced = {b"content-security-policy", b"server"}
            # Our own origin needs none of these, and no other one may read along.
            headers = [
                (k, v)
                for k, v in message.get("headers", [])
                if k.lower() not in replaced and not k.lower().startswith(b"access-control-")
            ]
            start = {**message, "headers": [*headers, *_security(policy)]}
            if is_page:
                return
            await send(start)
        elif is_page:
            body.extend(message.get("body", b""))
            if message.get("more_body"):
                return
            page = bytes(body).replace(b"<script", f'<script nonce="{nonce}"'.encode())
            headers = [(k, v) for k, v in start["headers"] if k.lower() != b"content-length"]
            await send({**start, "headers": [*headers, (b"content-length", str(len(page)).encode())]})
            await send({"type": "http.response.body", "body": page})
        else:
            await send(message)

    return guarded


def _security(policy: str) -> Headers:
    return [
        (b"content-security-policy", policy.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"same-origin"),
        (b"cross-origin-opener-policy", b"same-origin"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"permissions-policy", b"camera=(), microphone=(), geolocation=(), payment=(), usb=()"),
    ]


async def _answer(send: Send, status: int, body: bytes, headers: Headers, policy: str = FILE_POLICY) -> None:
    sent = [*headers, *_security(policy), (b"content-length", str(len(body)).encode())]
    sent.append((b"cache-control", b"no-store"))
    await send({"type": "http.response.start", "status": status, "headers": sent})
    await send({"type": "http.response.body", "body": body})


async def _login_page(send: Send, status: int, problem: str = "", name: str = "") -> None:
    nonce = secrets.token_urlsafe(16)
    page = page_html(nonce, problem, name).encode("utf-8", "replace")
    headers = [(b"content-type", b"text/html; charset=utf-8")]
    await _answer(send, status, page, headers, LOGIN_POLICY.format(nonce=nonce))


def _cookie(scope: Scope, token: str, seconds: int) -> bytes:
    secure = "; Secure" if scope.get("scheme") == "https" else ""
    return f"{COOKIE}={token}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}".encode()


# --- requests ----------------------------------------------------------------------------------------


def _header(scope: Scope, name: bytes) -> str:
    """The one header of this name; where there are several, none of them is believed."""
    found = [value for key, value in scope["headers"] if key == name]
    return found[0].decode("latin-1").strip() if len(found) == 1 else ""


def _has(scope: Scope, name: bytes) -> bool:
    return any(key == name for key, _ in scope["headers"])


def _token(scope: Scope) -> str:
    cookies: SimpleCookie = SimpleCookie()
    for key, value in scope["headers"]:
        if key == b"cookie":
            with suppress(CookieError):
                cookies.load(value.decode("latin-1"))
    return cookies[COOKIE].value if COOKIE in cookies else ""


async def _body(receive: Receive, most: int) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        body.extend(message.get("body", b""))
        if len(body) > most:
            raise Refused(413, "That is more than is taken here.")
        if not message.get("more_body"):
            return bytes(body)


async def _in_thread(function: Callable[..., Any], *arguments: Any) -> Any:
    from starlette.concurrency import run_in_threadpool

    return await run_in_threadpool(function, *arguments)


def _host_of(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:  # a bracket that does not close
        return ""


def _client(forwarded: str) -> str:
    """Whom a proxy names, without a port; of IPv6 the network, since a client has all addresses of one."""
    bare = forwarded.strip("[]") if _is_address(forwarded.strip("[]")) else _host_of(f"//{forwarded}")
    if not _is_address(bare):
        return ""
    found = ipaddress.ip_address(bare)
    return bare if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False)[0])


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_loopback(host: str) -> bool:
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _networks(proxies: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    try:
        return [ipaddress.ip_network(one.strip(), strict=False) for one in proxies.split(",") if one.strip()]
    except ValueError as error:
        raise KBError(
            f"proxy from the settings cannot be read ({error})", "give its address, such as 127.0.0.1"
        ) from error


def _is_in(address: str, networks: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> bool:
    return _is_address(address) and any(ipaddress.ip_address(address) in network for network in networks)
