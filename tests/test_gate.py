"""What stands before the page: names and origins, addresses, login, roles, rates, sizes, and what is allowed
to a browser. Requests go straight to the ASGI application, as a server would hand them on."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from fake_library import FakeLibrary
from gradio import EventData, Request

from kb import users as users_module
from kb.errors import KBError, SettingsError
from kb.settings import Settings
from kb.users import Users
from kb.web.ask import Ask
from kb.web.desk import VISITOR
from kb.web.gate import Gate, Rate, _client
from kb.web.login import FREE, Login, Patience

WORD = "correct horse battery"
JOIN = "/gradio_api/queue/join"


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Reply:
    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status, self.body = status, body.decode()
        self.headers = {k.decode().lower(): v.decode() for k, v in headers}


class Site:
    """A gate before an application that says what reached it."""

    def __init__(self, folder: Path, clock: Clock | None = None, **settings: Any) -> None:
        self.users = Users(folder)
        self.reached: list[dict[str, Any]] = []
        self.settings = Settings(kb=folder, **settings)
        self.gate = Gate(self._inner, self.settings, self.users, outside=["/healthz"], clock=clock or Clock())

    async def _inner(self, scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        self.reached.append(dict(scope))
        body = b"<html><script>1</script><script src='a'></script></html>"
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"access-control-allow-origin", b"*"), (b"content-length", b"%d" % len(body))],
            }
        )
        await send({"type": "http.response.body", "body": body})

    def __call__(
        self,
        method: str = "GET",
        path: str = "/",
        *,
        body: bytes = b"",
        peer: str = "127.0.0.1",
        host: str = "127.0.0.1:7860",
        **headers: str,
    ) -> Reply:
        named = [(k.replace("_", "-").encode(), v.encode()) for k, v in headers.items()]
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "scheme": "http",
            "client": (peer, 1234),
            "headers": [(b"host", host.encode()), *named],
        }
        sent: list[Any] = []
        halves = [body[: len(body) // 2], body[len(body) // 2 :]]

        async def receive() -> Any:
            return {"type": "http.request", "body": halves.pop(0), "more_body": bool(halves)}

        async def send(message: Any) -> None:
            sent.append(message)

        asyncio.run(self.gate(scope, receive, send))
        return Reply(sent[0]["status"], sent[0]["headers"], b"".join(m.get("body", b"") for m in sent[1:]))

    def log_in(self, name: str, word: str = WORD, **more: Any) -> Reply:
        form = urlencode({"username": name, "password": word}).encode()
        return self("POST", "/login", body=form, **more)


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """What makes guessing slow would make testing slow."""
    monkeypatch.setattr(users_module, "_COST", 2**10)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture
def guarded(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.users.put("ada", "editor", WORD)
    site.users.put("bob", "reader", WORD)
    return site


# ------------------------------------------------------------------------------------- where from


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:7860", "[::1]:7860", "192.0.2.7"])
def test_it_answers_to_its_own_names(site: Site, host: str) -> None:
    assert site(host=host).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "a@b"]
)
def test_a_name_that_is_made_to_lead_here_does_not(site: Site, host: str) -> None:
    refused = site(host=host)
    assert refused.status == 421
    assert "hosts" in refused.body
    assert site.reached == []


def test_names_are_set(tmp_path: Path) -> None:
    site = Site(tmp_path, hosts="kb.example.org, desk.example.org")
    assert site(host="KB.example.org").status == 200
    assert site(host="other.example.org").status == 421


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "null", "http://127.0.0.1:8000", "http://localhost:7860", "", "file://"],
)
def test_pages_of_other_sites_get_nothing(site: Site, origin: str) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        assert site(method, JOIN if method == "POST" else "/", origin=origin).status == 403
    assert site.reached == []


def test_its_own_page_and_programs_do(site: Site) -> None:
    assert site("POST", JOIN, origin="http://127.0.0.1:7860", sec_fetch_site="same-origin").status == 200
    assert site("POST", JOIN).status == 200
    assert site("POST", JOIN, sec_fetch_site="cross-site").status == 403
    assert site("GET", "/", sec_fetch_site="cross-site").status == 200  # a link from elsewhere


def test_no_other_origin_may_read_along(site: Site) -> None:
    assert "access-control-allow-origin" not in site().headers


def test_who_claims_to_come_through_a_proxy_is_not_believed(site: Site) -> None:
    site(
        x_forwarded_for="1.2.3.4",
        x_forwarded_host="evil.example",
        x_forwarded_proto="https",
        forwarded="for=x",
    )
    scope = site.reached[0]
    assert scope["client"][0] == "127.0.0.1"
    assert scope["scheme"] == "http"
    assert [key for key, _ in scope["headers"]] == [b"host"]


def test_the_proxy_that_was_named_is(tmp_path: Path) -> None:
    site = Site(tmp_path, proxy="10.0.0.0/24")
    site(peer="10.0.0.9", x_forwarded_for="6.6.6.6, 1.2.3.4", x_forwarded_proto="https")
    assert site.reached[0]["client"][0] == "1.2.3.4"
    assert site.reached[0]["scheme"] == "https"
    site(peer="10.0.1.9", x_forwarded_for="1.2.3.4")
    assert site.reached[1]["client"][0] == "10.0.1.9"
    with pytest.raises(KBError, match="proxy from the settings"):
        Site(tmp_path, proxy="nginx")


# -------------------------------------------------------------------------------------- addresses

HIDDEN = (
    *("/gradio_api/proxy=http://127.0.0.1:9/", "/gradio_api/file=http://127.0.0.1:9/", "/monitoring"),
    *("/gradio_api/file=https://example.org", "/gradio_api/file=../../etc/passwd", "/gradio_api/file=a/../b"),
    *(
        "/gradio_api/file=//example.org/x",
        "/monitoring/summary",
        "/gradio_api/vibe-code",
        "/docs",
        "/openapi.json",
    ),
    *(
        "/gradio_api/component_server",
        "/gradio_api/stream/x",
        "/gradio_api/file/etc/passwd",
        "/gradio_api/runs",
    ),
    *(
        "/gradio_api/token",
        "/gradio_api/deep_link",
        "/gradio_api/process_recording",
        "/gradio_api/dev/reload",
    ),
    *(
        "/svelte/x",
        "/gradio_api/custom_component/x",
        "/gradio_api/profiling/traces",
        "/../etc/passwd",
        "/login",
    ),
)


@pytest.mark.parametrize("path", HIDDEN)
def test_what_the_page_does_not_need_is_not_there(site: Site, path: str) -> None:
    assert site(path=path).status == 404
    assert site.reached == []


def test_web_sockets_are_closed(site: Site) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "websocket.connect"}

    asyncio.run(site.gate({"type": "websocket", "path": "/", "headers": []}, receive, send))
    assert sent == [{"type": "websocket.close", "code": 1008}]


# ------------------------------------------------------------------------------------------ login


def test_without_a_login_nothing_but_its_page_is_there(guarded: Site) -> None:
    sent_on = guarded(accept="text/html")
    assert (sent_on.status, sent_on.headers["location"]) == (303, "login")
    page = guarded(path="/login")
    assert page.status == 200
    assert 'name="password"' in page.body
    for path in (
        "/config",
        "/gradio_api/info",
        "/gradio_api/file=/srv/x",
        "/gradio_api/queue/data",
        "/assets/a",
    ):
        assert guarded(path=path).status == 401
    assert guarded("POST", JOIN).status == 401
    assert guarded("POST", JOIN, cookie="kbqa-session=guess").status == 401
    assert guarded.reached == []
    assert guarded(path="/healthz").status == 200


def test_the_right_password_opens_it_until_one_logs_out(guarded: Site) -> None:
    entered = guarded.log_in("ada", accept="text/html")
    assert (entered.status, entered.headers["location"]) == (303, ".")
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert "Secure" not in cookie
    mine = cookie.partition(";")[0]
    assert guarded(cookie=mine).status == 200
    assert guarded.reached[-1][VISITOR].name == "ada"
    assert guarded.reached[-1][VISITOR].edits
    out = guarded("POST", "/logout", cookie=mine)
    assert (out.status, out.headers["location"]) == (303, "login")
    assert guarded(cookie=mine).status == 401
    assert guarded("GET", "/logout").status == 405


def test_a_program_logs_in_too(guarded: Site) -> None:
    entered = guarded.log_in("bob")
    assert json.loads(entered.body) == {"success": True}
    assert guarded("POST", JOIN, cookie=entered.headers["set-cookie"].partition(";")[0]).status == 200
    assert not guarded.reached[-1][VISITOR].edits
    assert guarded.log_in("bob", "wrong").status == 401


def test_the_cookie_is_for_https_where_the_proxy_speaks_it(tmp_path: Path) -> None:
    site = Site(tmp_path, proxy="10.0.0.1")
    site.users.put("ada", "reader", WORD)
    assert "; Secure" in site.log_in("ada", peer="10.0.0.1", x_forwarded_proto="https").headers["set-cookie"]


def test_a_wrong_password_says_no_more_than_that(guarded: Site) -> None:
    wrong = guarded.log_in("ada", "wrong", accept="text/html")
    nobody = guarded.log_in("<b>eve</b>", "wrong", accept="text/html")
    assert wrong.status == nobody.status == 401
    assert "The name or the password is wrong." in wrong.body
    assert "&lt;b&gt;eve" in nobody.body
    assert "<b>eve" not in nobody.body


def test_who_guesses_waits_longer_and_longer(tmp_path: Path) -> None:
    clock = Clock()
    site = Site(tmp_path, clock)
    site.users.put("ada", "reader", WORD)
    for _ in range(FREE["address"]):
        assert site.log_in("ada", "wrong", peer="9.9.9.9").status == 401
    late = site.log_in("ada", peer="9.9.9.9")
    assert late.status == 429
    assert "try again in 1 seconds" in late.body
    assert site.log_in("ada", peer="8.8.8.8").status == 200  # somebody else is not kept out
    clock.now += 1.1
    assert site.log_in("ada", "wrong", peer="9.9.9.9").status == 401
    assert "in 2 seconds" in site.log_in("ada", peer="9.9.9.9").body
    clock.now += 2000
    assert site.log_in("ada", peer="9.9.9.9").status == 200


def test_a_name_that_is_guessed_at_from_everywhere_waits_too() -> None:
    clock = Clock()
    patience = Patience(clock)
    for n in range(100):
        clock.now += 31
        assert patience.admit(("address", str(n)), ("name", "ada")) == 0
    assert patience.admit(("address", "new"), ("name", "ada")) == 30
    assert patience.admit(("name", "bob")) == 0


def test_tries_at_the_same_time_are_counted_before_they_are_looked_at() -> None:
    patience = Patience(Clock())
    admitted = [patience.admit(("address", "9.9.9.9"), ("name", "ada")) == 0 for _ in range(40)]
    assert sum(admitted) == FREE["address"]


@pytest.mark.parametrize(
    ("peer", "headers", "edits"),
    [
        ("127.0.0.1", {}, True),
        ("203.0.113.5", {}, False),
        ("127.0.0.1", {"x-forwarded-for": "203.0.113.5"}, False),  # a proxy that nobody told us of
    ],
)
def test_only_who_sits_here_looks_after_a_library_without_users(
    tmp_path: Path, peer: str, headers: dict[str, str], edits: bool
) -> None:
    seen: list[bool] = []

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope[VISITOR].edits)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "scheme": "http",
        "client": (peer, 1),
        "headers": [(b"host", b"127.0.0.1"), *((k.encode(), v.encode()) for k, v in headers.items())],
    }
    asyncio.run(Gate(inner, Settings(kb=tmp_path), Users(tmp_path))(scope, None, None))
    assert seen == [edits]


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ("1.2.3.4", "1.2.3.4"),
        ("1.2.3.4:5678", "1.2.3.4"),
        ("[2001:db8::7]:80", "2001:db8::"),
        ("2001:db8::9", "2001:db8::"),
        ("unknown", ""),
    ],
)
def test_a_client_is_an_address_without_a_port(said: str, client: str) -> None:
    assert _client(said) == client


@pytest.mark.parametrize("header", [{"host": "["}, {"host": "127.0.0.1", "origin": "http://["}])
def test_a_name_that_cannot_be_read_is_refused(header: dict[str, str], tmp_path: Path) -> None:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "scheme": "http",
        "client": ("127.0.0.1", 1),
        "headers": [(k.encode(), v.encode()) for k, v in header.items()],
    }
    asyncio.run(Gate(None, Settings(kb=tmp_path), Users(tmp_path))(scope, None, send))  # type: ignore[arg-type]
    assert sent[0]["status"] in (403, 421)


def test_a_user_who_is_removed_or_gets_a_new_password_is_out(tmp_path: Path) -> None:
    clock, users = Clock(), Users(tmp_path)
    login = Login(users, clock)
    for name in ("ada", "bob"):
        users.put(name, "reader", WORD)
    ada, bob = (login.begin(name, WORD, "1") or "" for name in ("ada", "bob"))
    users.put("ada", "reader", WORD + "!")
    users.remove("bob")
    assert login.who(ada) is None
    assert login.who(bob) is None
    again = login.begin("ada", WORD + "!", "1") or ""
    assert login.who(again) is not None
    clock.now += 13 * 3600
    assert login.who(again) is None


def test_a_form_without_end_is_cut_off(guarded: Site) -> None:
    assert guarded("POST", "/login", body=b"password=" + b"x" * 30_000).status == 413


# -------------------------------------------------------------------------------------- the proxy


def test_a_proxy_names_the_user(tmp_path: Path) -> None:
    site = Site(tmp_path, proxy="10.0.0.1", proxy_user="X-Forwarded-Email", hosts="kb.example")
    site.users.put("ada@example.org", "editor", None)

    def seen(name: str, **more: Any) -> Any:
        assert site(host="kb.example", x_forwarded_email=name, **more).status == 200
        return site.reached[-1][VISITOR]

    assert seen("ada@example.org", peer="10.0.0.1").edits
    assert not seen("bob@example.org", peer="10.0.0.1").edits
    assert site(host="kb.example", x_forwarded_email="ada@example.org", peer="10.0.0.2").status == 401
    assert site(host="kb.example", peer="10.0.0.1").status == 401
    assert site(path="/login", host="kb.example", peer="10.0.0.1").status == 404
    with pytest.raises(SettingsError, match="address of the proxy"):
        Settings(proxy_user="X-User")


def test_a_header_that_stands_there_twice_is_not_believed(tmp_path: Path) -> None:
    site = Site(tmp_path, proxy="10.0.0.1", proxy_user="X-User")
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/",
        "client": ("10.0.0.1", 1),
        "headers": [(b"host", b"127.0.0.1"), (b"x-user", b"bob"), (b"x-user", b"ada")],
    }
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(site.gate(scope, lambda: None, send))  # type: ignore[arg-type, return-value]
    assert sent[0]["status"] == 401


# ------------------------------------------------------------------------------- roles without login


@pytest.mark.parametrize(
    ("settings", "edits"),
    [
        ({}, True),
        ({"host": "0.0.0.0"}, False),
        ({"hosts": "kb.example"}, False),
        ({"proxy": "127.0.0.1"}, False),
    ],
)
def test_without_users_only_this_machine_may_change_the_library(
    tmp_path: Path, settings: dict[str, str], edits: bool
) -> None:
    site = Site(tmp_path, **settings)
    site()
    assert site.reached[0][VISITOR].edits is edits


# -------------------------------------------------------------------------------------- how much


def test_a_client_that_asks_too_much_is_told_to_wait(tmp_path: Path) -> None:
    clock = Clock()
    site = Site(tmp_path, clock, rate=60)
    statuses = [site("POST", JOIN, peer="9.9.9.9").status for _ in range(61)]
    assert statuses == [200] * 60 + [429]
    late = site("POST", "/gradio_api/call/ask", peer="9.9.9.9")
    assert late.headers["retry-after"] == "1"
    assert json.loads(late.body)["detail"] == "That was a lot at once. Please try again in 1 s."
    assert site("GET", "/gradio_api/queue/data", peer="9.9.9.9").status == 200  # what was asked is answered
    assert site("POST", JOIN, peer="8.8.8.8").status == 200
    assert {site("POST", JOIN).status for _ in range(70)} == {200}  # this machine is not counted
    clock.now += 2
    assert [site("POST", JOIN, peer="9.9.9.9").status for _ in range(3)] == [200, 200, 429]


def test_questions_that_come_together_are_counted_one_by_one(tmp_path: Path) -> None:
    site = Site(tmp_path, rate=5, host="0.0.0.0")
    asking = Ask(FakeLibrary())

    def asked(number: int, peer: str) -> list[str | None]:
        """What is said of each of so many questions of one request; no error of those that are answered."""
        assert site("POST", JOIN, peer=peer).status == 200
        event = EventData(None, {"questions": [f"Question {n}?" for n in range(number)]})
        request = Request(request=SimpleNamespace(scope=site.reached[-1]))
        *_, (_, past, _) = asking.chosen((), event, request)
        return [answer.error for answer in past]

    assert asked(3, "9.9.9.9") == [None] * 3
    assert asked(20, "9.9.9.9") == [None, None, "That was a lot at once. Please try again in 12 s."]
    assert site("POST", JOIN, peer="9.9.9.9").status == 429
    assert asked(20, "127.0.0.1") == [None] * 20  # this machine is not counted


def test_a_rate_forgets_those_who_were_long_gone() -> None:
    clock = Clock()
    rate = Rate(10, clock)
    for n in range(10_001):
        rate.wait(str(n))
    clock.now += 61
    rate.wait("one")
    assert len(rate._left) == 1


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_without_end_is_cut_off(site: Site, announced: bool) -> None:
    body = b"x" * (1 << 20) + b"x"
    told = {"content_length": str(len(body))} if announced else {}
    assert site("POST", JOIN, body=body, **told).status == 413
    assert site.reached == []
    assert site("POST", "/gradio_api/upload", body=body, **told).status == 200


def test_a_reader_uploads_a_list_and_no_library(guarded: Site) -> None:
    size = str(100 << 20)
    for name, status in (("ada", 200), ("bob", 413)):
        mine = guarded.log_in(name).headers["set-cookie"].partition(";")[0]
        assert guarded("POST", "/gradio_api/upload", cookie=mine, content_length=size).status == status


# ----------------------------------------------------------------------------------- the browser


def test_a_browser_is_told_to_run_our_scripts_and_no_others(site: Site) -> None:
    first, second = site(), site()
    policy = dict(part.strip().split(" ", 1) for part in first.headers["content-security-policy"].split(";"))
    nonce = policy["script-src"].split("'nonce-")[1].split("'")[0]
    assert first.body == (
        f'<html><script nonce="{nonce}">1</script><script nonce="{nonce}" src=\'a\'></script></html>'
    )
    assert int(first.headers["content-length"]) == len(first.body)
    assert nonce not in second.body
    assert "'unsafe-inline'" not in policy["script-src"]
    assert policy["default-src"] == policy["object-src"] == policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == policy["form-action"] == "'self'"
    assert "http" not in first.headers["content-security-policy"]
    assert first.headers["x-content-type-options"] == "nosniff"
    assert first.headers["referrer-policy"] == "same-origin"  # none leaves; forms need it


def test_a_file_can_do_nothing_in_a_browser(site: Site) -> None:
    policy = site(path="/gradio_api/file=/srv/x/evil.html").headers["content-security-policy"]
    assert "sandbox" in policy
    assert "script" not in policy
