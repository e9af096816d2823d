"""Lists that visitors hand in on the page: limits, what is kept, who sees what, stopping and going on."""

from __future__ import annotations

import csv
import os
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_library import FakeLibrary

from kb.errors import Busy, SourceError, UsageError
from kb.settings import Settings
from kb.types import Answer
from kb.web.batch import Batch, preview_html, progress_html, results_html, shown
from kb.web.jobs import Job, Jobs

COST = "What will the repair of the harbour bridge cost?"
UNKNOWN = "Who painted the town hall of Utrecht?"


class Gated(FakeLibrary):
    """Answers one question for each time the gate is opened."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Semaphore(0)

    def ask(self, question: str, **options: Any) -> Answer:
        assert self.gate.acquire(timeout=10)
        return super().ask(question, **options)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache=tmp_path / "cache", upload_rows=10, upload_megabytes=1)


def upload(tmp_path: Path, *lines: str, name: str = "q.csv") -> Path:
    path = tmp_path / name
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def ended(job: Job) -> Job:
    assert job.finished.wait(20)
    return job


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_list_is_looked_at_before_it_is_begun(tmp_path: Path, settings: Settings) -> None:
    jobs = Jobs(FakeLibrary(), settings)
    found = jobs.look(upload(tmp_path, "Nr;QUESTION;Source;<b>", f"1;{COST};Post;x", "2;;;"), "ask")
    assert (found.mode, found.rows, found.wrong) == ("ask", 2, 1)
    assert found.understood == {"text": "QUESTION", "source": "Source"}
    html = preview_html(found)
    assert (
        "2 questions in the column “QUESTION”. Also understood: Source. Carried through: Nr, &lt;b&gt;."
        in html
    )
    assert "Row 2: The question is empty." in html
    assert "<b>" not in html


def test_a_list_of_claims_is_taken_as_one(tmp_path: Path, settings: Settings) -> None:
    assert Jobs(FakeLibrary(), settings).look(upload(tmp_path, "id,Claim", "1,It is."), "ask").mode == "check"


@pytest.mark.parametrize(
    ("lines", "name", "word"),
    [
        (["a,b", "1,2"], "q.csv", "no column question"),
        (["question", *["Who?"] * 11], "q.csv", "more than 10 rows"),
        (["question", "x" * 1_100_000], "q.csv", "larger than 1 MB"),
        (["x"], "q.pdf", "not a list that can be read"),
    ],
)
def test_a_list_that_will_not_do(
    tmp_path: Path, settings: Settings, lines: list[str], name: str, word: str
) -> None:
    jobs, path = Jobs(FakeLibrary(), settings), upload(tmp_path, *lines, name=name)
    with pytest.raises(UsageError, match=word):
        jobs.look(path, "ask")
    with pytest.raises((UsageError, SourceError)):
        jobs.start("me", path, "ask", ".csv")
    assert jobs.of("me") is None


def test_the_answers_are_those_of_a_batch(tmp_path: Path, settings: Settings) -> None:
    jobs = Jobs(FakeLibrary(), settings)
    path = upload(tmp_path, "id,question,desk", f"a,{COST},x", f"b,{UNKNOWN},y", "c,,z")
    job = ended(jobs.start("me", path, "ask", ".csv"))
    assert [file.name for file in job.files] == ["q-answers.csv", "q-answers.csv.receipt.json"]
    assert [(r["id"], r["status"], r["desk"]) for r in rows(job.target)] == [
        ("a", "answered", "x"),
        ("b", "not_found", "y"),
        ("c", "error", "z"),
    ]
    told = progress_html(job)
    assert "3 of 3 rows" in told
    assert "1 answered, 1 not found, 1 failed." in told
    assert results_html(job).index(UNKNOWN) < results_html(job).index(COST)
    assert shown(job)
    claims = upload(tmp_path, "claim", "The repair of the harbour bridge will cost 41 million euros.")
    job = ended(jobs.start("me", claims, "check", ".jsonl"))
    assert job.target.name == "q-verdicts.jsonl"
    assert "1 judged" in progress_html(job)
    assert "Supported" in results_html(job)


def test_nobody_sees_the_list_of_another(tmp_path: Path, settings: Settings) -> None:
    jobs, path = Jobs(FakeLibrary(), settings), upload(tmp_path, "question", COST)
    mine, yours = (ended(jobs.start(secret, path, "ask", ".csv")) for secret in ("me", "you"))
    assert jobs.of("") is jobs.of("someone else") is None
    assert mine.target != yours.target
    assert yours.report
    assert yours.report.resumed == 0
    folder = mine.target.parent
    assert "me" not in {part.name for part in (folder, folder.parent)}
    assert os.name == "nt" or folder.stat().st_mode & 0o077 == 0


def test_a_stopped_list_can_be_taken_away_and_goes_on(tmp_path: Path, settings: Settings) -> None:
    library = Gated()
    jobs, path = Jobs(library, settings), upload(tmp_path, "question", *[f"{COST} {n}" for n in range(5)])
    job = jobs.start("me", path, "ask", ".csv")
    with pytest.raises(Busy, match="still being worked on"):
        jobs.start("me", path, "ask", ".csv")
    library.gate.release(2)
    deadline = time.monotonic() + 10
    while job.done < 2 and time.monotonic() < deadline:
        time.sleep(0.005)
    jobs.stop("me")
    library.gate.release()
    assert "Stopped, with 2 rows left." in progress_html(ended(job))
    assert len(rows(job.target)) == 3
    library.gate.release(2)
    again = ended(Jobs(library, settings).start("me", path, "ask", ".csv"))  # also after a new start
    assert again.report
    assert (again.report.done, again.report.resumed, again.report.left) == (5, 3, 0)
    assert len(library.asked) == 5
    upload(tmp_path, "question", f"{COST} 4", "A new row of the same list?")
    library.gate.release()
    again = ended(jobs.start("me", path, "ask", ".xlsx"))  # another kind of output asks nothing again
    assert again.report
    assert (again.report.done, again.report.resumed) == (2, 1)
    assert again.target.suffix == ".xlsx"


def test_too_many_lists_at_once_are_told_to_wait(tmp_path: Path, settings: Settings) -> None:
    library = Gated()
    jobs, path = Jobs(library, settings), upload(tmp_path, "question", COST)
    working = [jobs.start(secret, path, "ask", ".csv") for secret in ("a", "b")]
    with pytest.raises(Busy, match="a few minutes"):
        jobs.start("c", path, "ask", ".csv")
    library.gate.release(2)
    for job in working:
        ended(job)
    library.gate.release()
    assert ended(jobs.start("c", path, "ask", ".csv")).report


def test_old_lists_are_removed(tmp_path: Path, settings: Settings) -> None:
    jobs, path = Jobs(FakeLibrary(), settings), upload(tmp_path, "question", COST)
    old = ended(jobs.start("me", path, "ask", ".csv")).target.parent
    for file in old.iterdir():
        os.utime(file, (time.time() - 8 * 86_400,) * 2)
    ended(jobs.start("you", path, "ask", ".csv"))
    assert not old.exists()


def test_a_defect_is_told_as_a_sentence(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr("kb.web.jobs.run_batch", broken)
    job = ended(Jobs(FakeLibrary(), settings).start("me", upload(tmp_path, "question", COST), "ask", ".csv"))
    assert "Something went wrong here" in progress_html(job)
    assert job.files == []


def test_whoever_comes_back_sees_the_list_again(tmp_path: Path, settings: Settings) -> None:
    library = FakeLibrary(settings=replace(settings))
    batch = Batch(library, Jobs(library, settings), tmp_path / "downloads")
    ((secret, *_),) = batch.arrive("")
    assert len(secret) > 30
    ended(batch.jobs.start(secret, upload(tmp_path, "question", COST), "ask", ".csv"))
    ((same, progress, results, *_),) = batch.arrive(secret)
    assert same == secret
    assert "1 of 1 rows" in progress
    assert COST in results
    ((other, *_),) = batch.arrive("")
    assert other != secret
