"""``kbqa ingest --watch``: what changes in a folder is read, what goes is removed, until Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import command_environment, hear_ctrl_c

from ingest.watch import due, keep_in_step
from kb.errors import Busy, KBError
from kb.types import Failure, IngestReport


@pytest.fixture
def news(tmp_path: Path) -> Path:
    folder = tmp_path / "news"
    folder.mkdir()
    (folder / "ferry.txt").write_text("The ferry is named Marta.")
    return folder


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ingest.watch.TICK_S", 0.1)
    monkeypatch.setattr("ingest.watch.QUIET_S", 0.1)


@pytest.mark.usefixtures("quick")
def test_what_has_changed_is_due(news: Path, tmp_path: Path) -> None:
    aside, single = news / "kb", tmp_path / "single.txt"
    aside.mkdir()
    single.write_text("One.")
    sources = [str(news), str(single), "https://example.org/feed.xml"]
    parts = due(sources, aside=aside)
    assert next(parts) == sources
    for change in (
        lambda: (news / "ferry.txt").write_text("The ferry is named Anna."),
        lambda: (news / "tram.txt").write_text("The tram is late."),
        lambda: (news / "tram.txt").unlink(),
        lambda: single.write_text("Two, or three."),
    ):
        # These do not count; if they did, they would be seen before the change.
        (aside / "catalogue.sqlite").write_text("changed")
        (news / ".draft.txt").write_text("hidden")
        change()
        assert next(parts) == sources[:2]


@pytest.mark.usefixtures("quick")
def test_everything_is_due_now_and_then(news: Path) -> None:
    sources = [str(news), "https://example.org/feed.xml"]
    parts = due(sources, aside=news / "kb", every_s=0.1)
    assert [next(parts), next(parts)] == [sources, sources]


@pytest.mark.usefixtures("quick")
def test_what_is_told(news: Path) -> None:
    """Nothing of runs without news; a failure once; another writer or a full disk ends nothing."""
    broken = Failure("broken.pdf", "this PDF is damaged")
    runs: list[IngestReport | KBError] = [
        IngestReport(added=2, failed=(broken,)),
        IngestReport(unchanged=2, failed=(broken,)),
        Busy("process 7 is writing", "wait"),
        IngestReport(unchanged=2),
        IngestReport(removed=1, failed=(broken,)),
    ]
    pruned: list[bool] = []
    told: list[IngestReport] = []

    def ingest(part: Any, prune: bool) -> IngestReport:
        pruned.append(prune)
        if not runs:
            raise KeyboardInterrupt
        report = runs.pop(0)
        if len(runs) == 0:
            (news / "ferry.txt").unlink()  # an empty folder may be a drive that is not there
        if isinstance(report, KBError):
            raise report
        return report

    with pytest.raises(KeyboardInterrupt):
        keep_in_step([str(news)], news / "kb", ingest, told.append, every_s=0)
    assert told == [
        IngestReport(added=2, failed=(broken,)),
        IngestReport(failed=(Failure(str(news / "kb"), "process 7 is writing: wait."),)),
        IngestReport(removed=1, failed=(broken,)),
    ]
    assert pruned == [True, True, True, True, True, False]


@pytest.fixture
def watching(news: Path, tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "kb", "ingest", str(news), "--watch", "--json"]
    process = subprocess.Popen(
        [*command, "--kb", str(tmp_path / "kb")],
        cwd=tmp_path,
        env=command_environment(),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=hear_ctrl_c,
    )
    yield process
    process.kill()
    process.communicate()


@pytest.mark.skipif(os.name == "nt", reason="needs SIGINT")
def test_the_command_follows_a_folder_until_ctrl_c(news: Path, watching: subprocess.Popen[str]) -> None:
    assert watching.stdout is not None

    def next_report() -> dict[str, Any]:
        assert watching.stdout is not None
        report = json.loads(watching.stdout.readline())
        return {key: report[key] for key in ("added", "updated", "removed", "failed") if report[key]}

    assert next_report() == {"added": 1}
    (news / "tram.txt").write_text("The tram is late.")
    assert next_report() == {"added": 1}
    (news / "ferry.txt").write_text("The ferry is named Anna.")
    assert next_report() == {"updated": 1}
    (news / "ferry.txt").unlink()
    assert next_report() == {"removed": 1}
    (news / "tram.pdf").write_bytes(b"%PDF-1.4 broken")
    assert [failure["source"] for failure in next_report()["failed"]] == [str(news / "tram.pdf")]
    watching.send_signal(signal.SIGINT)
    _, said = watching.communicate(timeout=60)
    assert watching.returncode == 0
    assert "Stopped; everything that was read is kept." in said
    assert "Traceback" not in said
