"""Fetching from a server on this machine: where it may lead, what it may cost, and how politely."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import samples

from ingest import fetch
from ingest.fetch import Fetcher
from ingest.load import parse
from ingest.sync import ingest
from kb.errors import SourceError
from kb.settings import Settings
from kb.store import Store

Answer = Callable[[BaseHTTPRequestHandler], None]


class Site:
    """A small web site: what to answer by path, and which paths were asked for."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer | bytes] = {}
        self.asked: list[str] = []
        site = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                answer = site.answers.get(self.path)
                if answer is None:
                    self.send_error(404)
                elif callable(answer):
                    answer(self)
                else:
                    page(answer)(self)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("0.0.0.0", 0), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"


def page(data: bytes, media_type: str = "text/html", **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", media_type)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(data)

    return answer


def redirect(to: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", to)
        request.end_headers()

    return answer


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    threading.Thread(target=made.server.serve_forever, daemon=True).start()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def public_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    """127.0.0.1 stands for the public internet, the rest of 127/8 stays a private network."""
    is_public = fetch._is_public
    monkeypatch.setattr(fetch, "_is_public", lambda number: number == "127.0.0.1" or is_public(number))


def local(**limits: float) -> Fetcher:
    return Fetcher(private=True, **{"pause": 0, **limits})  # type: ignore[arg-type]


# ----------------------------------------------------------------------------------- where it leads


@pytest.mark.parametrize(
    "number",
    ["127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "0.0.0.0", "::1", "fe80::1%eth0", "fc00::1",
     "::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "224.0.0.1", "100.64.0.1"],
)  # fmt: skip
def test_addresses_that_are_not_public(number: str) -> None:
    assert not fetch._is_public(number)


@pytest.mark.parametrize(
    "number", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "::ffff:8.8.8.8"]
)
def test_addresses_that_are(number: str) -> None:
    assert fetch._is_public(number)


def test_a_private_address_is_refused_unless_allowed(site: Site) -> None:
    site.answers["/a"] = b"<p>Text.</p>"
    with pytest.raises(SourceError, match="private network: set KBQA_PRIVATE_URLS"):
        Fetcher(pause=0).fetch(f"{site.url}/a")
    assert site.asked == []
    assert local().fetch(f"{site.url}/a").data == b"<p>Text.</p>"


def test_a_redirect_is_checked_again(site: Site, public_loopback: None) -> None:
    site.answers["/in"] = redirect(f"http://127.0.0.2:{site.port}/secret")
    site.answers["/ok"] = redirect("/page")
    site.answers["/page"] = b"Fine."
    site.answers["/secret"] = b"The key is under the mat."
    fetcher = Fetcher(pause=0)
    with pytest.raises(SourceError, match="private network"):
        fetcher.fetch(f"{site.url}/in")
    assert "/secret" not in site.asked
    assert fetcher.fetch(f"{site.url}/ok").url == f"{site.url}/page"


def test_a_name_is_looked_up_once_and_that_number_is_what_counts(
    site: Site, public_loopback: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = iter(["127.0.0.1", "127.0.0.2", "127.0.0.1", "127.0.0.2"])

    def look_up(host: str, port: int, **_: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(numbers), port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    site.answers["/page"] = b"Fine."
    with pytest.raises(SourceError, match="private network"):
        Fetcher(pause=0).fetch(f"http://rebinding.example:{site.port}/page")  # robots.txt went to 127.0.0.1
    assert site.asked == ["/robots.txt"]


@pytest.mark.parametrize(
    "to", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:text/plain,hello", "gopher://x"]
)
def test_other_schemes_are_not_followed(site: Site, to: str) -> None:
    site.answers["/in"] = redirect(to)
    with pytest.raises(SourceError):
        local().fetch(f"{site.url}/in")


def test_redirects_in_a_circle_end(site: Site) -> None:
    site.answers["/a"], site.answers["/b"] = redirect("/b"), redirect("/a")
    with pytest.raises(SourceError, match="302"):
        local().fetch(f"{site.url}/a")


def test_a_proxy_of_the_environment_is_not_used(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    site.answers["/a"] = b"Text."
    assert local().fetch(f"{site.url}/a").data == b"Text."


# -------------------------------------------------------------------------------------- what it costs


def test_large_and_slow_pages_are_given_up(site: Site) -> None:
    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        for _ in range(200):
            request.wfile.write(b"x")
            request.wfile.flush()
            time.sleep(0.05)

    site.answers |= {"/large": b"x" * 5000, "/slow": drip}
    site.answers["/bomb"] = page(gzip.compress(bytes(3_000_000)), Content_Encoding="gzip")
    for path, reason in (("/large", "larger"), ("/bomb", "larger")):
        with pytest.raises(SourceError, match=reason):
            local(size=4000).fetch(f"{site.url}{path}")
    began = time.monotonic()
    with pytest.raises(SourceError, match="took longer"):
        local(seconds=0.3).fetch(f"{site.url}/slow")
    assert time.monotonic() - began < 5


def test_what_is_packed_is_unpacked(site: Site) -> None:
    site.answers["/a"] = page(gzip.compress(b"<p>Text.</p>"), Content_Encoding="gzip")
    assert local().fetch(f"{site.url}/a").data == b"<p>Text.</p>"


# --------------------------------------------------------------------------------------- how politely


def test_robots_txt_is_asked_once_and_obeyed(site: Site) -> None:
    site.answers |= {"/robots.txt": b"User-agent: *\nDisallow: /private/\n", "/a": b"A.", "/private/b": b"B."}
    fetcher = local()
    fetcher.fetch(f"{site.url}/a")
    with pytest.raises(SourceError, match="asks programs not"):
        fetcher.fetch(f"{site.url}/private/b")
    site.answers["/c"] = redirect("/private/b")
    with pytest.raises(SourceError, match="asks programs not"):
        fetcher.fetch(f"{site.url}/c")
    assert site.asked == ["/robots.txt", "/a", "/c"]


def test_a_site_out_of_order_is_left_alone(site: Site) -> None:
    site.answers |= {"/robots.txt": lambda request: request.send_error(503), "/a": b"A."}
    with pytest.raises(SourceError, match="asks programs not"):
        local().fetch(f"{site.url}/a")


def test_requests_to_one_site_keep_a_distance(site: Site) -> None:
    site.answers |= {"/a": b"A.", "/b": b"B."}
    fetcher = local(pause=0.3)
    began = time.monotonic()
    fetcher.fetch(f"{site.url}/a")
    fetcher.fetch(f"{site.url}/b")
    assert time.monotonic() - began >= 0.3


# ------------------------------------------------------------------------------ feeds and sitemaps


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "kb", Settings(kb=tmp_path / "kb", embedder="hash"), create=True) as opened:
        yield opened


RSS = (
    '<rss version="2.0"><channel><link>{0}/</link><item><link>{0}/one</link></item>'
    "<item><link>/two</link></item></channel></rss>"
)
ATOM = (
    '<feed xmlns="http://www.w3.org/2005/Atom"><link href="{0}/"/><entry><link rel="edit" href="{0}/edit"/>'
    '<link rel="alternate" href="{0}/one"/></entry><entry><link href="{0}/two"/></entry></feed>'
)
SITEMAP = (
    '<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><url><loc>{0}/one</loc></url>'
    "<url><loc>{0}/two</loc></url><url><loc>file:///etc/passwd</loc></url></urlset>"
)
INDEX = (
    '<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
    "<sitemap><loc>{0}/map.xml</loc></sitemap></sitemapindex>"
)


@pytest.mark.parametrize("listing", [RSS, ATOM, SITEMAP, INDEX])
def test_a_feed_leads_to_its_pages(site: Site, store: Store, listing: str) -> None:
    xml = '<?xml version="1.0" encoding="utf-8"?>\n' + listing.format(site.url)
    site.answers |= {
        "/list": page(xml.encode(), "application/xml"),
        "/map.xml": page(gzip.compress(SITEMAP.format(site.url).encode()), "application/gzip"),
        "/one": samples.html().encode(),
        "/two": b"<html><title>Two</title><p>The second page tells of the weather in Ostrau.</p></html>",
    }
    report = ingest([f"{site.url}/list"], store, fetcher=local())
    assert report.failed == ()
    assert [s.id for s in store.catalogue.documents()] == [f"{site.url}/one", f"{site.url}/two"]
    assert ingest([f"{site.url}/list"], store, fetcher=local()).unchanged == 2


def test_feeds_that_lead_in_circles_end(site: Site, store: Store) -> None:
    one, other = INDEX.format(site.url), INDEX.format(site.url).replace("map.xml", "list")
    site.answers |= {"/list": one.encode(), "/map.xml": other.encode()}
    report = ingest([f"{site.url}/list"], store, fetcher=local())
    assert (report.added, report.failed) == (0, ())
    assert site.asked.count("/list") == 1


def test_a_broken_feed_gives_what_it_can() -> None:
    data = RSS.format("https://a.example").replace("</channel></rss>", "").encode()
    assert parse(data, "a", source="a", name="a").links == ("https://a.example/one", "/two")
