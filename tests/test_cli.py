"""The command line: results on stdout, everything else on stderr, one sentence and the right exit code."""

from __future__ import annotations

import errno
import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import click
import pytest
from conftest import Command, command_environment, hear_ctrl_c

from kb import cli
from kb.errors import Busy, UsageError
from kb.types import Filters

HEAVY = (
    "chromadb torch transformers sentence_transformers gradio onnxruntime onnx tokenizers langchain "
    "langchain_core numpy trafilatura pypdf docx openpyxl sqlite3 tqdm asyncio"
)
COMMANDS = [
    *("ask", "backup", "batch", "check", "compare", "doctor", "documents", "enqueue", "eval", "info"),
    *("ingest", "migrate", "remove", "restore", "search", "serve", "show", "user", "verify", "work"),
]
QUESTION = "When was the harbour bridge closed to lorries?"


@pytest.fixture
def own_library(tmp_path: Path, library_folder: Path) -> Path:
    """A copy of the knowledge base in ``.kbqa`` of the current folder, to write to."""
    return Path(shutil.copytree(library_folder, tmp_path / ".kbqa"))


def one_sentence(stderr: str) -> str:
    """The only line of stderr, which names an error."""
    (line,) = stderr.strip().splitlines()
    assert line.startswith("Error: ")
    assert "Traceback" not in stderr
    return line


# --- before any knowledge base -----------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["batch", "--help"], ["asj"]])
def test_nothing_heavy_is_loaded_to_explain_oneself(arguments: list[str]) -> None:
    code = f"""
import sys
from kb.cli import main
try:
    main({arguments!r})
except SystemExit:
    pass
print(*sorted({{name.split(".")[0] for name in sys.modules}} & set({HEAVY.split()!r})), file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=command_environment()
    )
    assert done.stderr.splitlines()[-1] == ""


def test_help_is_there_at_once(kbqa_process: Command) -> None:
    def took() -> float:
        began = time.perf_counter()
        assert kbqa_process("--help").returncode == 0
        return time.perf_counter() - began

    assert min(took() for _ in range(3)) < 1.0  # 0.1 s on an idle machine


def test_help_names_every_command(kbqa: Command) -> None:
    listed = kbqa("--help").stdout
    assert sorted(cli.cli.commands) == COMMANDS
    for name in COMMANDS:
        assert f"  {name} " in listed
        described = kbqa(name, "--help")
        assert described.returncode == 0
        assert "--json" in described.stdout


def test_version(kbqa_process: Command) -> None:
    assert kbqa_process("--version").stdout.startswith("kbqa 0.1.")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["aks", "Why?"], "Did you mean 'ask'?"),
        (["ask"], "there is no question"),
        (["ask", "  "], "there is no question"),
        (["check"], "there is no text"),
        (["check", "x", "--file", "y.txt"], "both a text and a file"),
        (["ask", "Why?", "--after", "soon"], "'soon' is not a date"),
        (["ask", "Why?", "--top", "0"], "0 is not in the range"),
        (["ask", "Why?", "--sauce", "x"], "--source"),
        (["batch", "q.csv"], "--output"),
        (["batch", "q.csv", "-o", "a.csv", "--mode", "guess"], "guess"),
        (["ingest"], "SOURCE"),
        (["show"], "ID"),
        (["ask", "Why?", "--embedder", "x"], "--embedder"),
    ],
)
def test_a_request_that_will_not_do(kbqa: Command, arguments: list[str], word: str) -> None:
    done = kbqa(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert word.lower() in done.stderr.lower()
    assert "Traceback" not in done.stderr


def test_an_unknown_setting_fails_by_name(kbqa: Command) -> None:
    done = kbqa("info", env={"KBQA_TOPP": "3"})
    assert done.returncode == 2
    assert "topp" in one_sentence(done.stderr)


@pytest.mark.parametrize(
    "arguments",
    [["ask", "Why?"], ["search", "x"], ["check", "x."], ["documents"], ["info"], ["show", "x"], ["serve"]],
)
def test_no_knowledge_base_yet(kbqa: Command, tmp_path: Path, arguments: list[str]) -> None:
    done = kbqa(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert "kbqa ingest" in one_sentence(done.stderr)
    assert not list(tmp_path.iterdir())


# --- from articles to answers ------------------------------------------------------------------------


def test_ingest_then_again_then_pruned(kbqa: Command, tmp_path: Path, texts: Path) -> None:
    articles = Path(shutil.copytree(texts, tmp_path / "articles"))
    first = kbqa("ingest", "articles", "--json")
    assert first.returncode == 0, first.stderr
    report = json.loads(first.stdout)
    assert list(report) == ["added", "updated", "unchanged", "removed", "failed", "passages", "seconds"]
    assert (report["added"], report["failed"]) == (5, [])
    assert kbqa("ingest", "articles").stdout.startswith("5 unchanged; 0 new passages")
    (articles / "orchard.txt").unlink()
    assert "1 removed" in kbqa("ingest", "articles", "--prune").stdout
    assert len(json.loads(kbqa("documents", "--json").stdout)) == 4


def test_one_bad_source_is_named_and_does_not_stop_the_rest(kbqa: Command, tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("The lighthouse was painted red in 2025.", encoding="utf-8")
    (tmp_path / "bad.pdf").write_bytes(b"%PDF-1.7 but no more")
    done = kbqa("ingest", "good.txt", "bad.pdf", "missing.txt")
    assert done.returncode == 1
    assert "1 added, 2 failed" in done.stdout
    assert "bad.pdf" in done.stderr
    assert "missing.txt" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [[QUESTION], QUESTION.split(), ["-"]])
def test_ask(kbqa: Command, library_folder: Path, arguments: list[str]) -> None:
    done = kbqa("ask", *arguments, "--kb", library_folder, "--json", input=QUESTION)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["question"] == QUESTION
    assert (answer["status"], answer["error"]) == ("answered", None)
    assert "3 March 2026" in answer["answer"]
    assert answer["citations"][0]["title"] == "Harbour bridge closed to lorries"
    assert done.stderr == ""


def test_ask_for_people_prints_the_command_that_shows_the_quote(kbqa: Command, library_folder: Path) -> None:
    printed = kbqa("ask", QUESTION, "--kb", library_folder).stdout
    answer = json.loads(kbqa("ask", QUESTION, "--kb", library_folder, "--json").stdout)
    cited = answer["citations"][0]
    assert printed.startswith(answer["answer"])
    assert "The Harbour Post" in printed
    assert "3 March 2026" in printed
    assert f"kbqa show {cited['document_id']} --start {cited['start']} --end {cited['end']}" in printed
    shown = kbqa(
        *(
            "show",
            cited["document_id"],
            "--start",
            cited["start"],
            "--end",
            cited["end"],
            "--kb",
            library_folder,
        )
    )
    assert shown.stdout == cited["quote"] + "\n"


def test_a_refusal_is_an_answer(kbqa: Command, library_folder: Path) -> None:
    done = kbqa("ask", "Who won the chess tournament in Reykjavik?", "--kb", library_folder)
    assert done.returncode == 0
    assert done.stdout.startswith("The documents do not say.")


def test_a_question_that_cannot_be_answered_at_all(kbqa: Command, library_folder: Path) -> None:
    done = kbqa("ask", "why " * 600, "--kb", library_folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert "2,000" in one_sentence(done.stderr)
    as_json = kbqa("ask", "why " * 600, "--kb", library_folder, "--json")
    assert as_json.returncode == 1
    assert json.loads(as_json.stdout)["status"] == "error"


def test_filters_and_top(kbqa: Command, library_folder: Path) -> None:
    def found(*options: object) -> set[str]:
        done = kbqa("search", "harbour bridge lorries", "--kb", library_folder, "--json", *options)
        assert done.returncode == 0, done.stderr
        return {hit["document_id"] for hit in json.loads(done.stdout)}

    assert {"bridge.md", "news/ferry.html"} <= found()
    assert found("--source", "coast radio", "--before", "2026-04") == {"news/ferry.html"}
    assert found("--document", "bridge.md", "--document", "brief-1") <= {"bridge.md", "brief-1"}
    assert "bridge.md" not in found("--after", "2026-04")
    assert len(found("--top", "1")) == 1


def test_the_options_may_stand_before_the_command(kbqa: Command, library_folder: Path) -> None:
    before = kbqa("--kb", library_folder, "--json", "documents")
    assert before.stdout == kbqa("documents", "--json", "--kb", library_folder).stdout
    assert kbqa("--kb", "nowhere", "documents", "--kb", library_folder).returncode == 0


def test_documents(kbqa: Command, library_folder: Path) -> None:
    listed = json.loads(kbqa("documents", "--kb", library_folder, "--json").stdout)
    assert [document["id"] for document in listed] == sorted(document["id"] for document in listed)
    assert list(listed[0]) == [
        *("id", "title", "publisher", "author", "published", "url", "media_type", "characters", "passages"),
        "content_hash",
        "updated",
        "correction",
        "copies",
    ]
    printed = kbqa("documents", "--kb", library_folder).stdout
    assert all(document["id"] in printed for document in listed)


def test_show_prints_the_stored_text_as_it_is(kbqa: Command, library_folder: Path, library: Any) -> None:
    document = library.document("bridge.md")
    assert kbqa("show", "bridge.md", "--kb", library_folder).stdout == document.text + "\n"
    assert json.loads(kbqa("show", "bridge.md", "--kb", library_folder, "--json").stdout) == json.loads(
        json.dumps(document.to_dict())
    )
    cut = kbqa("show", "bridge.md", "--start", "5", "--end", "9", "--kb", library_folder)
    assert cut.stdout == document.text[5:9] + "\n"
    too_far = kbqa("show", "bridge.md", "--end", "99999", "--kb", library_folder)
    assert too_far.returncode == 2
    assert str(len(document.text)) in one_sentence(too_far.stderr)
    unknown = kbqa("show", "brigde.md", "--kb", library_folder)
    assert unknown.returncode == 1
    assert "brigde.md" in one_sentence(unknown.stderr)


def test_remove(kbqa: Command, own_library: Path) -> None:
    unknown = kbqa("remove", "bridge.md", "no-such", "nor-such")
    assert unknown.returncode == 1
    assert "no-such, nor-such" in one_sentence(unknown.stderr)
    assert len(json.loads(kbqa("documents", "--json").stdout)) == 5
    done = kbqa("remove", "bridge.md", "brief-1", "bridge.md")
    assert (done.returncode, done.stdout) == (0, "2 removed.\n")
    left = {document["id"] for document in json.loads(kbqa("documents", "--json").stdout)}
    assert left == {"orchard.txt", "news/ferry.html", "brief-2"}


def test_info(kbqa: Command, library_folder: Path) -> None:
    facts = json.loads(kbqa("info", "--kb", library_folder, "--json").stdout)
    assert (facts["documents"], facts["embedder"]) == (5, "hash")
    assert {"passages", "generation", "dimension", "vectors"} <= set(facts)
    assert "hash" in kbqa("info", "--kb", library_folder).stdout


def test_check_a_text_a_file_and_stdin(kbqa: Command, library_folder: Path, tmp_path: Path) -> None:
    text = "The harbour bridge was closed to lorries on 3 March 2026."
    (tmp_path / "draft.txt").write_text(text, encoding="utf-8")
    for arguments in ([text], ["--file", "draft.txt"], ["-"]):
        done = kbqa("check", *arguments, "--kb", library_folder, "--json", input=text)
        assert done.returncode == 0, done.stderr
        report = json.loads(done.stdout)
        assert report["text"] == text
        (claim,) = report["claims"]
        assert (claim["claim"], claim["start"], claim["end"]) == (text, 0, len(text))
    missing = kbqa("check", "--file", "drafd.txt", "--kb", library_folder)
    assert missing.returncode == 1
    assert "drafd.txt" in one_sentence(missing.stderr)


def test_a_draft_in_another_format_is_read_as_ingestion_reads_it(
    kbqa: Command, library_folder: Path, tmp_path: Path
) -> None:
    page = (
        "<!doctype html><title>Draft</title><article><p>The ferry is named Marta, as we hear.</p></article>"
    )
    (tmp_path / "draft.html").write_text(page, encoding="utf-8")
    done = kbqa("check", "--file", "draft.html", "--kb", library_folder, "--json")
    assert done.returncode == 0, done.stderr
    assert "The ferry is named Marta" in json.loads(done.stdout)["text"]
    assert "<p>" not in json.loads(done.stdout)["text"]


def test_batch(kbqa: Command, library_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text(f"id,question\na,{QUESTION}\nb,\n", encoding="utf-8")
    done = kbqa("batch", "q.csv", "-o", "a.jsonl", "--kb", library_folder, "--workers", "2")
    assert done.returncode == 1
    assert "failed: row b: The question is empty." in done.stderr
    assert done.stdout.startswith("2 rows: 1 answered, 0 not found, 1 failed")
    answers = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [answer["id"] for answer in answers] == ["a", "b"]
    again = kbqa("batch", "q.csv", "-o", "a.jsonl", "--kb", library_folder, "--json")
    assert json.loads(again.stdout)["resumed"] == 1


def test_a_dry_run_writes_nothing(kbqa: Command, library_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text(f"id,question\na,{QUESTION}\nb,\n", encoding="utf-8")
    done = kbqa("batch", "q.csv", "-o", "a.csv", "--dry-run", "--kb", library_folder)
    assert done.returncode == 1  # as the run would end
    assert "wrong with the list: row b: The question is empty." in done.stderr
    assert done.stdout.startswith("2 rows, 1 to be done.\n1 cannot be asked")
    assert "About 1 s with 1 worker, as tried with 1 row." in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["q.csv"]
    plan = json.loads(
        kbqa("batch", "q.csv", "-o", "a.csv", "--dry-run", "--kb", library_folder, "--json").stdout
    )
    assert (plan["rows"], plan["left"], len(plan["faulty"])) == (2, 1, 1)


def test_verify_and_compare(kbqa: Command, own_library: Path, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text(f"id,question\na,{QUESTION}\n", encoding="utf-8")
    assert kbqa("batch", "q.csv", "-o", "old.xlsx").returncode == 0
    done = kbqa("verify", "old.xlsx")
    assert done.returncode == 0, done.stdout
    assert re.match(r"\d+ quotes: \d+ stand\.\nGeneration 1 then, 1 now\.\n$", done.stdout)
    assert kbqa("remove", "bridge.md").returncode == 0
    done = kbqa("verify", "old.xlsx")
    assert done.returncode == 1
    assert "vanished: row a [1]" in done.stdout
    assert "Cited sources that are gone: bridge.md." in done.stdout
    assert kbqa("batch", "q.csv", "-o", "new.csv").returncode == 0
    done = kbqa("compare", "old.xlsx", "new.csv", "--json")
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert (found["same"], found["generation"]) == (0, {"old": 1, "new": 2})
    assert found["differences"][0]["lost"][0]["document_id"] == "bridge.md"
    assert kbqa("compare", "old.xlsx", "old.xlsx").stdout.startswith("1 the same.")


def test_verify_and_compare_say_what_they_can_read(kbqa: Command, own_library: Path, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text(f"id,question\na,{QUESTION}\n", encoding="utf-8")
    (tmp_path / "a.html").write_text("<p>")
    for arguments in (["verify", "q.csv"], ["verify", "a.html"], ["compare", "q.csv", "q.csv"]):
        done = kbqa(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert one_sentence(done.stderr)
    assert kbqa("compare", "none.csv", "q.csv").returncode == 1


def test_eval(kbqa: Command, library_folder: Path, tmp_path: Path) -> None:
    lines = [
        "question,expected_answer,expected_document,answerable",
        f"{QUESTION},3 March 2026,bridge.md,yes",
    ]
    lines += ["Who won the chess tournament in Reykjavik?,,,no"]
    (tmp_path / "q.csv").write_text("\n".join(lines), encoding="utf-8")
    done = kbqa("eval", "q.csv", "--kb", library_folder, "-o", "page.html")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "2 questions: 1 can be answered, 1 cannot. 1 answered, 1 refused, 0 failed."
    )
    assert re.search(r"hit@1 +1\.000  n=1 +an expected document is the first", done.stdout)
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 3
    assert page.count('<article class="row"') == 2
    scored = json.loads(kbqa("eval", "q.csv", "--kb", library_folder, "--json").stdout)
    assert scored["figures"]["balanced"] == {"value": 1.0, "n": 2}
    assert scored["receipt"]["generation"] == 1
    again = json.loads(kbqa("eval", "q.csv", "--kb", library_folder, "--json", "--workers", "2").stdout)
    assert (again["figures"], again["rows"]) == (scored["figures"], scored["rows"])


def test_eval_drafts_a_question_set_that_can_be_scored(
    kbqa: Command, library_folder: Path, tmp_path: Path
) -> None:
    done = kbqa("eval", "mine.xlsx", "--suggest", "4", "--kb", library_folder)
    assert (done.returncode, done.stdout) == (0, "4 drafts written to mine.xlsx.\n")
    assert "answerable: false" in done.stderr
    again = kbqa("eval", "mine.xlsx", "--suggest", "4", "--kb", library_folder)
    assert again.returncode == 2
    assert "is there already" in one_sentence(again.stderr)
    scored = json.loads(kbqa("eval", "mine.xlsx", "--kb", library_folder, "--json").stdout)
    assert (scored["questions"], scored["figures"]["hit@5"]["value"]) == (4, 1.0)


def test_eval_says_what_it_needs(kbqa: Command, library_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("question\nWho?\n", encoding="utf-8")
    done = kbqa("eval", "q.csv", "--kb", library_folder)
    assert done.returncode == 2
    assert "expected_answer" in one_sentence(done.stderr)
    done = kbqa("eval", "q.csv", "-o", "page.pdf", "--kb", library_folder)
    assert done.returncode == 2
    assert ".html" in one_sentence(done.stderr)


def test_batch_says_what_is_missing(kbqa: Command, library_folder: Path) -> None:
    done = kbqa("batch", "nosuch.csv", "-o", "a.csv", "--kb", library_folder)
    assert done.returncode == 1
    assert "nosuch.csv" in one_sentence(done.stderr)


# --- what may go wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x"), 1, "disk is full: free some space"),
        (
            PermissionError(errno.EACCES, "Permission denied", "a.csv"),
            1,
            "No permission to read or write a.csv",
        ),
        (OSError(errno.EROFS, "Read-only file system", "/ro"), 1, "read-only"),
        (FileNotFoundError(errno.ENOENT, "No such file", "q.csv"), 1, "There is no q.csv: check the path."),
        (
            IsADirectoryError(errno.EISDIR, "Is a directory", "d"),
            1,
            "Cannot read the folder d as a file: name a file.",
        ),
        (Busy("it is being written to", "wait"), 1, "It is being written to: wait."),
        (UsageError("no"), 2, "Error: No."),
        (ModuleNotFoundError("No module named 'numpy'", name="numpy"), 1, "numpy is not installed"),
        (ZeroDivisionError("one by nought"), 1, "ZeroDivisionError: one by nought"),
    ],
)
def test_every_error_is_a_sentence(
    error: Exception,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setitem(cli.cli.commands, "info", click.Command("info", callback=fail))
    with pytest.raises(SystemExit) as left:
        cli.main(["info"])
    assert left.value.code == code
    assert words in one_sentence(capsys.readouterr().err)


def test_debug_shows_the_traceback(kbqa: Command) -> None:
    done = kbqa("info", "--debug")
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("Error: ")


def test_a_place_that_cannot_be_written(kbqa: Command, tmp_path: Path, texts: Path) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")
    done = kbqa("ingest", texts, "--kb", "file/kb")
    assert done.returncode == 1
    assert one_sentence(done.stderr).startswith("Error: file/kb cannot be made")


def test_a_full_disk_is_a_sentence(
    tmp_path: Path, library_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KBQA_EMBEDDER", "hash")
    monkeypatch.chdir(tmp_path)
    Path("q.txt").write_text(f"{QUESTION}\n", encoding="utf-8")
    Path(f".a.jsonl.{os.getpid()}.tmp").symlink_to("/dev/full")  # where the output is drafted
    with pytest.raises(SystemExit) as left:
        cli.main(["batch", "q.txt", "-o", "a.jsonl", "--kb", str(library_folder)])
    assert left.value.code == 1
    assert "disk is full" in one_sentence(capsys.readouterr().err)
    assert sorted(os.listdir()) == ["a.jsonl.journal", "q.txt"]  # the answers are kept for the next run


def test_a_reader_who_has_seen_enough_is_no_error(library_folder: Path, tmp_path: Path) -> None:
    command = f"{sys.executable} -m kb search harbour --kb {library_folder} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, env=command_environment()
    )
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_ctrl_c_leaves_with_130_and_no_traceback(library_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text(f"{QUESTION}\n" * 50_000, encoding="utf-8")
    command = [sys.executable, "-m", "kb", "batch", "q.txt", "-o", "a.jsonl", "--kb", str(library_folder)]
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=command_environment(),
        preexec_fn=hear_ctrl_c,
    )
    journal = tmp_path / "a.jsonl.journal"
    deadline = time.monotonic() + 30
    while not (journal.exists() and journal.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert "Interrupted: run the same command to go on." in err
    assert "Traceback" not in err


def test_a_bar_on_a_terminal_and_silence_when_quiet(texts: Path, tmp_path: Path) -> None:
    def on_terminal(*options: str) -> str:
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 80))
        command = [sys.executable, "-m", "kb", "ingest", str(texts), *options]
        process = subprocess.Popen(
            command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=theirs, env=command_environment()
        )
        os.close(theirs)
        seen = b""
        try:
            while part := os.read(ours, 4096):
                seen += part
        except OSError:  # Linux says EIO when the other side has closed
            pass
        os.close(ours)
        assert process.wait() == 0
        return seen.decode()

    assert "ingesting" in on_terminal("--kb", "a")
    assert on_terminal("--kb", "b", "--quiet") == ""


def test_a_letter_the_terminal_lacks_does_not_cost_the_answer(
    kbqa: Command, kbqa_process: Command, tmp_path: Path
) -> None:
    (tmp_path / "a.txt").write_text("The tunnel is called „Größe“ by everyone in town.", encoding="utf-8")
    assert kbqa("ingest", "a.txt").returncode == 0
    done = kbqa_process("show", "a.txt", env={"PYTHONIOENCODING": "latin-1"}, encoding="latin-1")
    assert (done.returncode, done.stderr) == (0, "")
    assert "?Größe?" in done.stdout


def test_lines_of_progress_where_there_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 1.0, 6.0, 6.0, 7.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    advance = cli._lines("ingesting")
    for done in (1, 2, 3):
        advance(done, 3, "a.txt")
    assert capsys.readouterr().err == "ingesting: 2 of 3, 3.0 s for each, 3 s left\n"


def test_what_was_done_before_does_not_count_for_the_pace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 10.0, 10.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    advance = cli._lines("answering")
    advance(500, 700, "")
    advance(600, 700, "q600")
    assert capsys.readouterr().err == "answering: 600 of 700, 10.0 a second, 10 s left\n"


def test_filters_of_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Filters] = []

    @cli._filtered
    def command(filters: Filters) -> None:
        seen.append(filters)

    arguments = [
        "--source",
        "A",
        "--source",
        "B",
        "--document",
        "d",
        "--after",
        "2026",
        "--before",
        "2026-02",
    ]
    click.command(command).main(arguments, standalone_mode=False)
    assert seen == [Filters(("A", "B"), ("d",), "2026-01-01", "2026-02-28")]


def test_check_writes_an_evidence_pack(kbqa: Command, library_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "draft.txt").write_text("The harbour bridge was closed to lorries on 3 March 2026.")
    for name in ("pack.html", "pack.docx", "pack.jsonld"):
        done = kbqa("check", "--file", "draft.txt", "-o", name, "--kb", library_folder)
        assert done.returncode == 0, done.stderr
        assert f"Written to {name}." in done.stderr
        assert done.stdout.startswith("Supported: ")
    assert "closed to lorries" in (tmp_path / "pack.html").read_text(encoding="utf-8")
    refused = kbqa("check", "x.", "-o", "pack.pdf", "--kb", library_folder)
    assert refused.returncode == 2
    assert "pack.pdf cannot be written" in one_sentence(refused.stderr)
