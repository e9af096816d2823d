"""Pages over HTTP: public addresses only, within limits of time and size, and as polite as robots.txt asks.

The address is checked when the connection is made, on the number that it is made to, for each redirect anew:
a name that means another address the next moment gains nothing by that. Neither environment nor page chooses
a proxy, a scheme other than http and https, or a file.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import time
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any
from urllib.error import HTTPError
from urllib.parse import unquote, urlsplit
from urllib.robotparser import RobotFileParser

from ingest.load import SUFFIXES
from kb.errors import SourceError

AGENT = "kbqa"
_ACCEPT = "text/html,application/pdf,application/xml;q=0.9,text/plain;q=0.9,*/*;q=0.1"
_MEDIA_SUFFIX = {
    "text/html": ".html",
    "application/xhtml+xml": ".html",
    "application/pdf": ".pdf",
    "text/plain": ".txt",
    "text/markdown": ".md",
}
_CHUNK = 1 << 16
_LONGEST_PAUSE = 10.0


@dataclass(frozen=True, slots=True)
class Page:
    """What an address gave: its bytes (text in UTF-8), the file name they go by, the last address."""

    data: bytes
    name: str
    url: str


class Fetcher:
    """Fetches pages, one at a time; remembers the robots.txt of each site and when it was last asked."""

    def __init__(
        self, *, private: bool = False, seconds: float = 30.0, size: int = 20 << 20, pause: float = 1.0
    ) -> None:
        """``private``: addresses of this machine and of private networks too. ``seconds`` and ``size``
        (bytes) limit one page, ``pause`` (seconds) is kept between two requests to one site."""
        self._private = private
        self._seconds = seconds
        self._size = size
        self._pause = pause
        self._robots: dict[str, RobotFileParser] = {}
        self._asked: dict[str, float] = {}

    def fetch(self, url: str) -> Page:
        """The page at an address; raises ``SourceError`` with the reason where it cannot be had."""
        site = site_of(url)
        robots = self._rules(site)
        if not robots.can_fetch(AGENT, url):
            raise SourceError(
                f"robots.txt of {urlsplit(url).netloc} asks programs not to read this page",
                "save it in your browser and ingest the file",
            )
        self._wait(site, float(robots.crawl_delay(AGENT) or 0))
        return self._get(url, redirects=_Redirects(self._allowed_elsewhere))

    def rest(self, url: str) -> None:
        """Wait until the site of a page may be asked again: for whoever lets others ask it then."""
        site = site_of(url)
        if site in self._asked:
            time.sleep(self._left(site, float(self._rules(site).crawl_delay(AGENT) or 0)))

    def _allowed_elsewhere(self, url: str) -> bool:
        """Whether the robots.txt of a site that a page redirects to lets us in."""
        return self._rules(site_of(url)).can_fetch(AGENT, url)

    def _rules(self, site: str) -> RobotFileParser:
        if site not in self._robots:
            rules = RobotFileParser()
            try:
                text = self._get(f"{site}/robots.txt").data.decode("utf-8", "replace")
            except _NoPage as error:
                # No such file: nothing is forbidden. A site that is out of order is better left alone.
                text = "User-agent: *\nDisallow: /" if error.code >= 500 else ""
            rules.parse(text.splitlines())
            self._robots[site] = rules
        return self._robots[site]

    def _wait(self, site: str, wanted: float) -> None:
        time.sleep(self._left(site, wanted))
        self._asked[site] = time.monotonic()

    def _left(self, site: str, wanted: float) -> float:
        """Seconds until a site may be asked again."""
        pause = max(self._pause, min(wanted, _LONGEST_PAUSE))
        return max(0.0, self._asked.get(site, -pause) + pause - time.monotonic())

    def _get(self, url: str, redirects: urllib.request.HTTPRedirectHandler | None = None) -> Page:
        opener = urllib.request.OpenerDirector()
        for handler in (
            _Http(self._connect),
            _Https(self._connect),
            redirects or _Redirects(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.UnknownHandler(),
        ):
            opener.add_handler(handler)
        end = time.monotonic() + self._seconds
        try:
            request = urllib.request.Request(url, headers={"User-Agent": AGENT, "Accept": _ACCEPT})
            with opener.open(request, timeout=self._seconds) as response:
                data = _unpacked(self._read(response, end), self._size)
                media_type = response.headers.get_content_type()
                charset = response.headers.get_content_charset()
                final = response.geturl()
        except HTTPError as error:
            error.close()
            raise _NoPage(error.code, str(error.reason)) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(getattr(error, "reason", None), SourceError):
                raise error.reason from error  # type: ignore[union-attr]
            reason = getattr(error, "reason", None) or error
            raise SourceError(
                f"the page cannot be fetched ({reason})", "check the address and the connection"
            ) from error
        if charset and charset.lower() not in ("utf-8", "utf8") and media_type.startswith("text/"):
            data = _recoded(data, charset)
        return Page(data, _name(final, media_type), final)

    def _read(self, response: Any, end: float) -> bytes:
        """The body, as long as it is not too large and does not take too long, however slowly it drips."""
        parts: list[bytes] = []
        size = 0
        while part := response.read1(_CHUNK):
            parts.append(part)
            size += len(part)
            if size > self._size:
                raise _too_large(self._size)
            if time.monotonic() > end:
                raise SourceError(
                    f"the page took longer than {self._seconds:.0f} s", "try again, or ingest a saved copy"
                )
        return b"".join(parts)

    def _connect(
        self, address: tuple[str, int], timeout: float | None = None, source_address: Any = None
    ) -> socket.socket:
        """A connection to the first allowed number of a name; stands in for ``socket.create_connection``."""
        host, port = address
        failure: OSError | None = None
        refused = False
        for family, kind, protocol, _, place in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            if not self._private and not _is_public(str(place[0])):
                refused = True
                continue
            connection = socket.socket(family, kind, protocol)
            connection.settimeout(self._seconds)
            try:
                connection.connect(place)
                return connection
            except OSError as error:
                connection.close()
                failure = error
        if failure is None and refused:
            raise _Refused(
                f"{host} is an address of this machine or of a private network",
                "set KBQA_PRIVATE_URLS=true if such pages may be read",
            )
        raise failure or OSError("the name has no address")


class _NoPage(SourceError):
    """The server answered, but not with a page."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"the server answered {code} {reason}", "open the address in a browser to check it")
        self.code = code


class _Refused(SourceError, OSError):
    """An address that may not be connected to; an ``OSError`` so that ``urllib`` hands it on."""

    def __str__(self) -> str:
        return SourceError.__str__(self)


class _Http(urllib.request.HTTPHandler):
    """Plain HTTP over connections that check where they go."""

    def __init__(self, connect: Any) -> None:
        super().__init__()
        self._connect = connect

    def http_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_checked(http.client.HTTPConnection, self._connect), request)


class _Https(urllib.request.HTTPSHandler):
    """The same under TLS."""

    def __init__(self, connect: Any) -> None:
        super().__init__()
        self._connect = connect

    def https_open(self, request: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_checked(http.client.HTTPSConnection, self._connect), request)


def _checked(kind: Any, connect: Any) -> Any:
    def make(host: str, **options: Any) -> Any:
        connection = kind(host, **options)
        connection._create_connection = connect  # where http.client takes its sockets from
        return connection

    return make


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to http and https, where robots.txt of the new site has no objection."""

    max_redirections = 8

    def __init__(self, allowed: Any = None) -> None:
        self._allowed = allowed

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        site_of(newurl)
        if self._allowed and not self._allowed(newurl):
            raise SourceError(
                f"robots.txt of {urlsplit(newurl).netloc} asks programs not to read this page",
                "save it in your browser and ingest the file",
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _is_public(number: str) -> bool:
    """Whether an address is one of the public internet, also where IPv6 wraps an IPv4 address."""
    address = ipaddress.ip_address(number.split("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is not None:
            return _is_public(str(inner))
        if address in ipaddress.ip_network("64:ff9b::/96"):  # how IPv4 is reached from IPv6 alone
            return _is_public(str(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)))
    return address.is_global and not address.is_multicast


def site_of(url: str) -> str:
    """Scheme and host of a page; raises ``SourceError`` for what is no address of one."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and parts.hostname
    except ValueError:
        known = None
    if not known:
        raise SourceError(f"{url[:100]} is no address of a page", "check it; http and https are read")
    return f"{parts.scheme}://{parts.netloc}"


def _unpacked(data: bytes, most: int) -> bytes:
    """The body without gzip: some servers send it unasked, and sitemaps are stored so."""
    if not data.startswith(b"\x1f\x8b"):
        return data
    opened = zlib.decompressobj(31)
    try:
        plain = opened.decompress(data, most + 1)
    except zlib.error as error:
        raise SourceError(f"the page is damaged ({error})", "try again later") from error
    if len(plain) > most:
        raise _too_large(most)
    return plain


def _too_large(size: int) -> SourceError:
    return SourceError(f"the page is larger than {size >> 20} MB", "download it and ingest the file")


def _recoded(data: bytes, charset: str) -> bytes:
    """UTF-8 from the encoding that the server names; one that does not fit is left to the loader."""
    try:
        return data.decode(charset).encode("utf-8")
    except (LookupError, UnicodeDecodeError):
        return data


def _name(url: str, media_type: str) -> str:
    """A file name for a fetched page, with the suffix of its kind."""
    name = PurePosixPath(unquote(urlsplit(url).path)).name or urlsplit(url).netloc
    suffix = _MEDIA_SUFFIX.get(media_type)
    return name if suffix is None or Path(name).suffix.lower() in SUFFIXES else name + suffix
