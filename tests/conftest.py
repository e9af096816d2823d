"""What all tests share: no network, no settings of the person who runs them, a small knowledge base.

``library_folder`` and ``library`` are one knowledge base over our own few texts, made once with the "hash"
embedder; tests must not write to it. ``place`` gives empty ones on real servers. ``cache`` is a cache folder
of the test's own, in which the packaged models lie prepared. ``chromium`` is a browser. ``kbqa`` runs the
command in this process, ``kbqa_process`` in one of its own.

Tests may run in several processes at once (``pytest -n auto``); what is costly to make, one of them makes.
"""

from __future__ import annotations

import io
import ipaddress
import itertools
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from servers import chroma, postgres

ROOT = Path(__file__).resolve().parents[1]

BRIDGE = """---
title: Harbour bridge closed to lorries
author: Ada Verne
publisher: The Harbour Post
published: 2026-03-03
language: en
---

# Harbour bridge closed to lorries

The harbour bridge was closed to lorries on 3 March 2026. Engineers had found cracks in two of its piers.

## The repair

The repair of the harbour bridge is expected to cost 41 million euros. The city council approved the repair
by 31 votes to 12. Council leader Nora Blum called the repair overdue.

## Key Questions

### When was the harbour bridge closed to lorries?

The harbour bridge was closed to lorries on 3 March 2026.

### Who called the repair overdue?

Council leader Nora Blum called the repair of the harbour bridge overdue.
"""

ORCHARD = """ORCHARDS AFTER THE LATE FROST

Growers in the Lenne valley lost about 60 percent of their apple blossom to the frost of 21 April 2026.
The growers' association speaks of the worst spring since 1991.

The trees had flowered two weeks early after a warm March, so that the frost met open blossom.
"""

FERRY = """<!doctype html><html lang="en"><head><title>New ferry carries lorries</title>
<meta property="og:site_name" content="Coast Radio"><meta name="author" content="Piet Janssen">
<meta property="article:published_time" content="2026-03-20T08:00:00+01:00"></head>
<body><nav><a href="/">Home</a> <a href="/news">News</a></nav><article><h1>New ferry carries lorries</h1>
<p>A ferry named Marta has carried lorries across the harbour every twenty minutes since 20 March 2026.</p>
<p>The ferry runs from five in the morning until midnight, and a crossing costs 18 euros for a lorry.</p>
<p>The operator expects the ferry to run until the harbour bridge is open again.</p>
</article><footer>Coast Radio</footer></body></html>
"""

BRIEFS = """id,title,publisher,author,date,text
brief-1,Library opens late,The Harbour Post,Ada Verne,2026-05-02,"The town library will open until ten in \
the evening from 4 May 2026. The longer hours cost the town 90,000 euros a year."
brief-2,Record for the tram,Coast Radio,Piet Janssen,2026-06-11,"The tram carried 1.2 million passengers \
in May 2026, more than in any month before."
"""

TEXTS = {"bridge.md": BRIDGE, "orchard.txt": ORCHARD, "news/ferry.html": FERRY, "briefs.csv": BRIEFS}


def _stays_here(address: Any) -> bool:
    if not isinstance(address, tuple):  # a socket file
        return True
    host = address[0].decode() if isinstance(address[0], bytes) else address[0]
    if host in (None, "", "localhost"):
        return True
    try:
        return ipaddress.ip_address(str(host).split("%")[0]).is_loopback or str(host) in ("0.0.0.0", "::")
    except ValueError:
        return False


@pytest.fixture(autouse=True, scope="session")
def no_network() -> Iterator[None]:
    """Anything that would leave this machine fails at once, and by name."""

    def guarded(original: Callable[..., Any]) -> Callable[..., Any]:
        def connect(self: socket.socket, address: Any) -> Any:
            if not _stays_here(address):
                raise OSError(f"a test tried to reach {address}")
            return original(self, address)

        return connect

    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *rest: Any, **more: Any) -> Any:
        if not _stays_here((host,)):
            raise socket.gaierror(f"a test tried to look up {host}")
        return look_up(host, *rest, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded(socket.socket.connect))
        patch.setattr(socket.socket, "connect_ex", guarded(socket.socket.connect_ex))
        patch.setattr(socket, "getaddrinfo", getaddrinfo)
        yield


@pytest.fixture(autouse=True, scope="session")
def no_personal_settings() -> Iterator[None]:
    """Tests see no ``KBQA_*`` of the person who runs them."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("KBQA_")]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of five short articles in four formats; tests must not write to it."""
    folder = tmp_path_factory.mktemp("texts")
    for name, text in TEXTS.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def library_folder(tmp_path_factory: pytest.TempPathFactory, texts: Path) -> Path:
    """A knowledge base over ``texts``, made with the "hash" embedder; tests must not write to it."""
    from ingest.sync import ingest
    from kb.settings import Settings
    from kb.store import Store

    folder = tmp_path_factory.mktemp("library") / "kb"
    settings = Settings(kb=folder, embedder="hash")
    with Store.open(folder, settings, create=True) as store:
        report = ingest([str(texts)], store)
    assert not report.failed
    assert report.added == 5
    return folder


@pytest.fixture(scope="session")
def library(library_folder: Path) -> Iterator[Any]:
    """The ``KnowledgeBase`` over ``texts``, open; tests must not write to it."""
    from kb.pipeline import KnowledgeBase
    from kb.settings import Settings

    with KnowledgeBase.open(library_folder, Settings(kb=library_folder, embedder="hash")) as kb:
        yield kb


@pytest.fixture(scope="session")
def starter_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A knowledge base over ``seeds/`` with the default embedder; tests must not write to it."""
    from filelock import FileLock

    from ingest.sync import ingest
    from kb.settings import Settings
    from kb.store import Store

    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent  # one for all processes of this run
    folder, made = shared / "starter" / "kb", shared / "starter" / "made"
    with FileLock(shared / "starter.lock"):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)  # what one that failed has left
            settings = Settings(kb=folder)
            with Store.open(folder, settings, create=True) as store:
                assert not ingest([str(ROOT / "seeds")], store).failed
            made.touch()
    return folder


@pytest.fixture(scope="session")
def starter(starter_folder: Path) -> Iterator[Any]:
    """The ``KnowledgeBase`` over ``seeds/``, open, with the default embedder; tests must not write to it."""
    from kb.pipeline import KnowledgeBase
    from kb.settings import Settings

    with KnowledgeBase.open(starter_folder, Settings(kb=starter_folder)) as kb:
        yield kb


@pytest.fixture(scope="session")
def models() -> tuple[Path, ...]:
    """The packaged models as they are prepared for ONNX Runtime: files of the usual cache folder."""
    from kb import reader
    from kb.embed import MiniLM
    from kb.settings import Settings

    usual = Settings().cache
    MiniLM(usual).embed(["prepared on first use"])
    for name in (reader.FILE_NAME, reader.JUDGE_FILE_NAME):
        reader._exported(usual, name, True)
    return tuple(sorted(usual.glob("*.bin")))


def prepared(cache: Path, models: tuple[Path, ...]) -> Path:
    """A new cache folder that has the models already: to export them takes a second each."""
    cache.mkdir(parents=True, exist_ok=True)
    for model in models:
        (cache / model.name).symlink_to(model)
    return cache


@pytest.fixture
def cache(tmp_path: Path, models: tuple[Path, ...]) -> Path:
    """A cache folder of the test's own, with the models in it."""
    return prepared(tmp_path / "cache", models)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    with postgres() as address:
        yield address


@pytest.fixture(scope="session")
def chroma_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with chroma(tmp_path_factory.mktemp("chroma")) as address:
        yield address


Place = Callable[[str, str], Any]
_places = itertools.count(1)


@pytest.fixture
def place(tmp_path: Path, request: pytest.FixtureRequest) -> Place:
    """The settings of an empty knowledge base of its own on the engines that are named."""
    from kb.settings import Settings

    def made(catalogue: str, vectors: str) -> Any:
        n = next(_places)
        settings = Settings(kb=tmp_path / f"kb{n}", embedder="hash")
        if catalogue == "postgresql":
            import psycopg

            address = request.getfixturevalue("postgres_server")
            with psycopg.connect(address, autocommit=True) as connection:
                connection.execute(f"CREATE SCHEMA kb{n}")
            settings = replace(settings, catalogue=f"{address}?options=-csearch_path%3Dkb{n}")
        if vectors == "server":
            settings = replace(settings, vectors=request.getfixturevalue("chroma_server"))
        return settings

    return made


# The headless shell draws a page as the whole browser does, and takes half the time for it.
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
BROWSER_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run "
    "--disable-background-networking --disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="module")  # Playwright's event loop would be in the way of tests with one of their own
def chromium() -> Iterator[Any]:
    """A headless Chromium, of Playwright's type ``Browser``."""
    from playwright.sync_api import sync_playwright

    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("no Chromium on this machine; on Debian: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=BROWSER_FLAGS)
        yield browser
        browser.close()


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    returncode: int
    stdout: str
    stderr: str


Command = Callable[..., Done]


@pytest.fixture
def kbqa(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Run ``kbqa`` in ``tmp_path``, inside this process, which is ten times as fast as in one of its own."""
    from kb.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KBQA_EMBEDDER", "hash")
    loggers = [logging.getLogger(name) for name in ("kb", "ingest")]
    before = [(logger.handlers, logger.propagate) for logger in loggers]

    def run(*arguments: object, input: str = "", env: Mapping[str, str] | None = None) -> Done:
        capsys.readouterr()
        with monkeypatch.context() as patch, warnings.catch_warnings():
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(input.encode())))
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            with pytest.raises(SystemExit) as left:
                main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Done(int(left.value.code or 0), out, err)

    yield run
    for logger, (handlers, propagate) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate


@pytest.fixture
def kbqa_process(tmp_path: Path) -> Command:
    """Run ``kbqa`` in ``tmp_path`` as a process of its own; keywords go to ``subprocess.run``."""

    def run(*arguments: object, env: Mapping[str, str] | None = None, **options: Any) -> Done:
        command = [sys.executable, "-m", "kb", *map(str, arguments)]
        options = {"text": True, "timeout": 60, "stdin": subprocess.DEVNULL, **options}
        environment = {**command_environment(), **(env or {})}
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, **options)
        return Done(done.returncode, done.stdout, done.stderr)

    return run


def command_environment() -> dict[str, str]:
    """The environment in which ``python -m kb`` finds the project and embeds with "hash"."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "KBQA_EMBEDDER": "hash"}


def hear_ctrl_c() -> None:
    """For ``preexec_fn``: what runs in the background of a script was told to ignore Ctrl-C, and so would be
    the commands that are started from there."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
