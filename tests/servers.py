"""Real servers for tests, on loopback: PostgreSQL from the system, Chroma's own from its package."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def missing(what: str) -> None:
    """A server that is not there is a reason to skip, but not where everything must be tested."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what} is required where CI=true")
    pytest.skip(f"{what} is not installed")


def _postgres_programs() -> Path | None:
    """The folder of initdb and postgres; Debian keeps them off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


@contextmanager
def postgres() -> Iterator[str]:
    """A PostgreSQL server with its data in a folder of its own; gives the address of an empty database."""
    # Not in one of pytest's: those may be entered by their owner alone, and root may not be the server.
    with tempfile.TemporaryDirectory(prefix="kbqa-postgres-") as folder:
        yield from _postgres(Path(folder))


def _postgres(folder: Path) -> Iterator[str]:
    programs = _postgres_programs()
    try:
        import psycopg
    except ImportError:
        missing("psycopg")
    if programs is None:
        missing("PostgreSQL")
    assert programs is not None
    as_user: dict[str, object] = {}
    if os.geteuid() == 0:  # which PostgreSQL refuses to run as
        user = pwd.getpwnam("postgres")
        as_user = {"user": user.pw_uid, "group": user.pw_gid, "cwd": "/"}
        os.chown(folder, user.pw_uid, user.pw_gid)
    data, port = folder / "data", free_port()
    command = [
        programs / "initdb",
        "-D",
        data,
        "-U",
        "kbqa",
        "--auth=trust",
        "-E",
        "UTF8",
        "--no-locale",
        "-N",
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **as_user)  # type: ignore[call-overload]
    options = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "fsync": "off"}
    command = [programs / "postgres", "-D", data, *(f"-c{name}={value}" for name, value in options.items())]
    log = (folder / "log").open("wb")
    server = subprocess.Popen(command, stdout=log, stderr=log, **as_user)  # type: ignore[call-overload]
    address = f"postgresql://kbqa@127.0.0.1:{port}/postgres"
    try:
        for _ in _tries(server):
            try:
                psycopg.connect(address).close()
                break
            except psycopg.OperationalError:
                continue
        yield address
    finally:
        server.terminate()
        server.wait(30)
        log.close()


@contextmanager
def chroma(folder: Path) -> Iterator[str]:
    """A Chroma server (the one in Rust) with its data in ``folder``; gives its address."""
    program = Path(sys.executable).with_name("chroma")
    if not program.exists():
        missing("chroma")
    port = free_port()
    command = [program, "run", "--path", folder, "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder)
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in _tries(server):
            try:
                urllib.request.urlopen(f"{address}/api/v2/heartbeat", timeout=5).close()
                break
            except OSError:
                continue
        yield address
    finally:
        server.terminate()
        server.wait(30)


def _tries(server: subprocess.Popen[bytes], seconds: float = 60) -> Iterator[None]:
    """One try after the other, as long as the server may yet start."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and server.poll() is None:
        yield
        time.sleep(0.1)
    raise AssertionError(f"the server did not start: {server.args!r}")
