"""The container files, as far as they can be looked at without an engine: what they name is there."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import fields
from fnmatch import fnmatch
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from kb.cli import cli
from kb.settings import Settings
from kb.users import Users
from kb.web.gate import Gate

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = {field.name for field in fields(Settings)}


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def services() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "compose.yaml").read_text())["services"])


def test_what_is_copied_is_there_and_is_sent_to_the_engine() -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [name for kind, rest in instructions() if kind == "COPY" for name in rest.split()[:-1]]
    assert len(copied) == 7
    for name in copied:
        assert (ROOT / name).exists()
        assert any(fnmatch(name, pattern) for pattern in kept)


def test_the_image_has_all_that_the_package_is_made_of() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    assert 'include = ["kb*", "ingest*"]' in text
    assert 'py-modules = ["app"]' in text
    extras = re.findall(r"'\.\[(.*)\]'", (ROOT / "Dockerfile").read_text())[0].split(",")
    assert all(re.search(rf"^{extra} = \[", text, re.MULTILINE) for extra in extras)


def test_nothing_runs_as_root() -> None:
    kinds = [kind for kind, _ in instructions()]
    assert dict(instructions())["USER"] == "kbqa"
    assert kinds.index("USER") < kinds.index("CMD")
    for service in services().values():
        assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("origin", ["Dockerfile", "compose.yaml"])
def test_every_setting_is_one(origin: str) -> None:
    named = {name.lower() for name in re.findall(r"\bKBQA_([A-Z_]+)\s*[:=]", (ROOT / origin).read_text())}
    assert named
    assert named <= SETTINGS


def command_lines() -> list[list[str]]:
    own = [json.loads(rest) for kind, rest in instructions() if kind == "CMD"]
    return own + [service["command"] for service in services().values()]


def test_the_commands_parse() -> None:
    for name, *arguments in command_lines():
        if name == "kbqa":
            command = cli.commands[arguments[0]]
            command.make_context(arguments[0], list(arguments[1:]))
    comments = (ROOT / "compose.yaml").read_text() + (ROOT / "Dockerfile").read_text()
    for line in re.findall(r"^#.*(?:app|kbqa) kbqa (.+)$", comments, re.MULTILINE):
        command: Any = cli
        words = line.split()
        while words and hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context("documented", words)


def test_the_chroma_server_knows_its_options() -> None:
    (arguments,) = [line[1:] for line in command_lines() if line[0] == "chroma"]
    program = shutil.which("chroma", path=str(Path(sys.executable).parent))
    assert program, "chromadb brings it"
    told = subprocess.run([program, arguments[0], "--help"], capture_output=True, text=True, timeout=60)
    for option in arguments[1::2]:
        assert option in told.stdout + told.stderr


def test_only_this_machine_reaches_what_is_published() -> None:
    app, chroma = services()["app"], services()["chroma"]
    assert all(port.startswith("127.0.0.1:") for port in app["ports"])
    assert "ports" not in chroma
    assert chroma["profiles"] == ["chroma"]


def test_a_proxy_on_this_machine_comes_from_the_gateway_that_is_named() -> None:
    text = (ROOT / "compose.yaml").read_text()
    [network] = yaml.safe_load(text)["networks"]["default"]["ipam"]["config"]
    assert ip_address(network["gateway"]) in ip_network(network["subnet"])
    named = re.findall(r"KBQA_PROXY=(\S+)", text)
    assert named == [network["gateway"]]
    scope: dict[str, Any] = {
        "client": (network["gateway"], 1234),  # what a published port makes of a client on the host
        "headers": [(b"x-forwarded-for", b"203.0.113.7"), (b"x-forwarded-proto", b"https")],
    }
    settings = Settings(kb=ROOT / "nowhere", host="0.0.0.0", proxy=named[0])
    gate = Gate(cast("Any", None), settings, Users(ROOT / "nowhere"))
    assert gate._know_client(scope) == "203.0.113.7"
    assert scope["scheme"] == "https"


def test_what_visitors_send_does_not_fill_the_memory(tmp_path: Path) -> None:
    app = services()["app"]
    assert app["read_only"]
    assert all(re.search(r":size=\d+m$", place) for place in app["tmpfs"])
    (volume,) = [place.split(":")[1] for place in app["volumes"]]
    told = dict(pair.split("=") for kind, rest in instructions() if kind == "ENV" for pair in rest.split())
    assert told["GRADIO_TEMP_DIR"].startswith(f"{volume}/")
    code = "from gradio.utils import get_upload_folder; print(get_upload_folder())"
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == str(tmp_path), "it is where Gradio puts them"
