"""Nothing leaves the machine, and nothing heavy is loaded that is not needed: in fresh processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import command_environment

# Python's own connections and look-ups are refused and counted, to this machine too; then the kernel is told
# to refuse every socket that is not a socket file, which holds for native libraries as well.
BLOCK = """
import ctypes, os, platform, socket, struct, sys
attempts = []
def hook(event, arguments):
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        if arguments[0].family != socket.AF_UNIX:
            attempts.append(arguments[1])
            raise PermissionError(f"the network was used: {arguments[1]}")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        attempts.append(arguments[0])
        raise PermissionError(f"the network was used: {arguments[0]}")
sys.addaudithook(hook)
def seal():
    number = {"x86_64": 41, "aarch64": 198}.get(platform.machine())
    if number is None or sys.platform != "linux":
        return False
    load, equal, leave, allow, refuse = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050000 | 13
    steps = [(load, 0, 0, 0), (equal, 0, 3, number), (load, 0, 0, 16), (equal, 1, 0, socket.AF_UNIX),
             (leave, 0, 0, refuse), (leave, 0, 0, allow)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    return prctl(38, 1, 0, 0, 0) == 0 and prctl(22, 2, program, 0, 0) == 0
sealed = seal()
"""

RUN = """
import contextlib, io, json
from kb.cli import main
def run(*arguments):
    try:
        main([str(a) for a in arguments])
    except SystemExit as left:
        return left.code or 0
"""

HEAVY = "torch transformers sentence_transformers gradio langchain langchain_core trafilatura pypdf docx onnx"


def fresh(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a new process of the default embedder, in an empty folder."""
    env = {**command_environment(), **environment}
    if "KBQA_EMBEDDER" not in environment:
        del env["KBQA_EMBEDDER"]
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=env, capture_output=True, text=True, timeout=110
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, texts: Path) -> tuple[Path, str]:
    """A folder in which the whole path ran offline with the default embedder, and what it printed."""
    folder = tmp_path_factory.mktemp("offline")
    (folder / "questions.csv").write_text(
        "id,question\n1,When was the harbour bridge closed to lorries?\n2,Who called the repair overdue?\n"
    )
    done = fresh(
        BLOCK
        + RUN
        + f"""
runs = []
for command in (
    ["ingest", {str(texts)!r}, "--quiet", "--json"],
    ["ask", "When was the harbour bridge closed to lorries?", "--json"],
    ["search", "apple blossom", "--json"],
    ["check", "The repair is expected to cost 41 million euros.", "--json"],
    ["batch", "questions.csv", "-o", "answers.jsonl", "--quiet"],
    ["verify", "answers.jsonl"],
):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        runs.append([run(*command), out.getvalue()])
print(json.dumps([runs, attempts]))
""",
        folder,
    )
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_whole_path_needs_no_network(made: tuple[Path, str]) -> None:
    folder, printed = made
    runs, attempts = json.loads(printed)
    assert attempts == []
    assert [code for code, _ in runs] == [0, 0, 0, 0, 0, 0]
    report, answer, found, check = (json.loads(out) for _, out in runs[:4])
    assert (report["added"], report["failed"]) == (5, [])
    assert answer["status"] == "answered"
    assert "3 March 2026" in answer["answer"]
    assert found[0]["document_id"] == "orchard.txt"
    assert check["claims"][0]["verdict"] == "supported"
    rows = [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]
    assert [row["status"] for row in rows] == ["answered", "answered"]


def test_the_block_blocks(tmp_path: Path) -> None:
    for attempt in (
        "socket.create_connection(('127.0.0.1', 9))",
        "socket.getaddrinfo('localhost', 80)",
        "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9')",
    ):
        done = fresh(f"{BLOCK}\ntry:\n {attempt}\nexcept OSError as e: print(e, attempts)", tmp_path)
        assert "127.0.0.1" in done.stdout or "localhost" in done.stdout, attempt
    native = "import ctypes; print(sealed, ctypes.CDLL(None).socket(socket.AF_INET, socket.SOCK_STREAM, 0))"
    done = fresh(BLOCK + native, tmp_path)
    assert done.stdout == "True -1\n" or done.stdout.startswith("False"), "a sealed process gets no socket"
    assert fresh(f"{BLOCK}\na, b = socket.socketpair(); a.send(b'x')", tmp_path).returncode == 0


def test_a_question_loads_nothing_heavy(made: tuple[Path, str]) -> None:
    folder, _ = made
    done = fresh(
        RUN
        + f"""
import sys
code = run("ask", "Who called the repair overdue?")
loaded = {{name.partition(".")[0] for name in sys.modules}}
print(code, sorted(loaded & set({HEAVY!r}.split())), file=sys.stderr)
""",
        folder,
    )
    assert "Nora Blum" in done.stdout
    assert done.stderr.splitlines()[-1] == "0 []"


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["ask", "--help"], ["documents"], ["show", "x"]], ids=" ".join
)
def test_help_and_the_library_load_no_model(made: tuple[Path, str], arguments: list[str]) -> None:
    folder, _ = made
    # The library is numpy's business (vectors) and no one's else.
    allowed = {"numpy"} if arguments[0] in ("documents", "show") else set()
    heavy = {*HEAVY.split(), "chromadb", "onnxruntime", "numpy", "tokenizers"} - allowed
    done = fresh(
        RUN
        + f"""
import sys
run(*{arguments!r})
loaded = {{name.partition(".")[0] for name in sys.modules}}
print(sorted(loaded & {heavy!r}), file=sys.stderr)
""",
        folder,
    )
    assert done.stderr.splitlines()[-1] == "[]"


def test_a_hub_is_not_asked_for_a_model_that_is_not_here(tmp_path: Path) -> None:
    """Any other embedder may need the network, and says so in a sentence when there is none."""
    done = fresh(
        RUN + "import sys; sys.exit(run('ask', 'Why?'))",
        tmp_path,
        KBQA_EMBEDDER="sentence-transformers:nobody/nothing",
        HF_HUB_OFFLINE="1",
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
