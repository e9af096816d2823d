"""Batch: every row comes back, in order, with the bytes that an uninterrupted run would have written."""

from __future__ import annotations

import csv
import io
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, command_environment

from kb import batch
from kb.batch import BatchReport, plan_batch, run_batch
from kb.errors import ModelError, SourceError, UsageError
from kb.journal import journal_path
from kb.tables import decode, iso_date, read_table
from kb.types import (
    NOTHING_USED,
    Answer,
    CheckReport,
    Citation,
    DocumentSummary,
    Filters,
    Sentence,
    Step,
    Turn,
    Usage,
    Verdict,
)


class Oracle:
    """Answers every question with its own words; ``seconds`` differ on every call, as they do in life.

    A question with "unknown" is refused, one with "error" comes back as an error, one with "broken" raises
    as long as ``broken``, and ``stop_after`` calls it behaves like a person who presses Ctrl-C.
    """

    def __init__(self, *, stop_after: int | None = None, broken: bool = True, generation: int = 1) -> None:
        self.stop_after = stop_after
        self.broken = broken
        self.generation = generation
        self.asked: list[tuple[str, Filters, tuple[Turn, ...], int | None]] = []
        self._lock = threading.Lock()

    def info(self) -> dict[str, Any]:
        return {"generation": self.generation, "embedder": "none"}

    def documents(self) -> list[DocumentSummary]:
        return [
            DocumentSummary("a.md", "=Title", "Post", None, None, None, "text/markdown", 9, 1, "abc123"),
            DocumentSummary("b.md", "Never cited", None, None, None, None, "text/markdown", 9, 1, "def456"),
        ]

    def ask(
        self,
        question: str,
        *,
        filters: Filters = Filters(),
        history: Sequence[Turn] = (),
        top: int | None = None,
    ) -> Answer:
        with self._lock:
            if self.stop_after is not None and len(self.asked) >= self.stop_after:
                raise KeyboardInterrupt
            self.asked.append((question, filters, tuple(history), top))
        if "broken" in question and self.broken:
            raise ModelError("the model is away", "try again")
        if "defect" in question:
            raise ZeroDivisionError("one by nought")
        if "error" in question:
            return Answer(question, "error", error="It went wrong.")
        if "unknown" in question:
            return Answer(question, "not_found", confidence=0.75)
        citation = Citation(
            1, "a.md", "=Title", "Post", None, "2026-05-01", None, None, None, 0, 9, f"«{question}»"
        )
        return Answer(
            question,
            "answered",
            text=f"{question}! [1]",
            sentences=(Sentence(f"{question}!", 0, len(question) + 1, (1,), "verbatim"),),
            citations=(citation,),
            confidence=0.5,
            seconds=time.perf_counter() % 1,
        )

    def check(self, text: str, *, filters: Filters = Filters()) -> CheckReport:
        evidence = (Citation(1, "a.md", "Title", None, None, None, None, None, None, 0, 9, "Evidence."),)
        claims = tuple(
            Verdict(part, 0, 0, "contradicted", 0.9, f"{part} is wrong.", evidence)
            if "not" in part
            else Verdict(part, 0, 0, "supported", 0.8, f"{part} is right.", evidence)
            for part in text.split("; ")
        )
        return CheckReport(text, claims)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def objects(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def questions(folder: Path, count: int) -> Path:
    path = folder / "questions.csv"
    lines = [f"q{n},Question {n} of {count}?,note {n}" for n in range(1, count + 1)]
    path.write_text("\n".join(["id,question,note", *lines]), encoding="utf-8")
    return path


# --- what goes in ------------------------------------------------------------------------------------


def test_text_list_in_jsonl_out(tmp_path: Path) -> None:
    source, target = tmp_path / "q.txt", tmp_path / "a.jsonl"
    source.write_text("First?\r\n\r\n  Second unknown?  \n", encoding="utf-8")
    report = run_batch(Oracle(), source, target)
    first, second = objects(target)
    assert (first["id"], first["question"], first["status"]) == ("1", "First?", "answered")
    assert (second["id"], second["question"], second["status"]) == ("2", "Second unknown?", "not_found")
    assert list(first) == ["id", *Answer("", "answered").to_dict(), "row"]
    assert first["row"] == {}
    assert (report.done, report.answered, report.not_found, report.failed) == (2, 1, 1, ())


def test_columns_in_any_case_and_order_others_carried(tmp_path: Path) -> None:
    source, target = tmp_path / "q.csv", tmp_path / "a.jsonl"
    source.write_text("Desk,QUESTION,Id\nWorld,Who?,seven\n", encoding="utf-8")
    run_batch(Oracle(), source, target)
    (answer,) = objects(target)
    assert (answer["id"], answer["question"], answer["row"]) == ("seven", "Who?", {"Desk": "World"})


def test_filters_and_history_reach_the_question(tmp_path: Path) -> None:
    source, target = tmp_path / "q.jsonl", tmp_path / "a.jsonl"
    history = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "She."}]
    record = {
        "question": "When?",
        "document_id": "a.md",
        "source": ["Post", "Radio"],
        "after": "2026",
        "before": "2026-02",
    }
    source.write_text(json.dumps({**record, "history": history, "kept": [1, None]}) + "\n", encoding="utf-8")
    oracle = Oracle()
    run_batch(oracle, source, target, filters=Filters(publishers=("Other",), before="2030-01-01"), top=3)
    filters = Filters(("Post", "Radio"), ("a.md",), "2026-01-01", "2026-02-28")
    assert oracle.asked == [("When?", filters, (Turn("user", "Who?"), Turn("assistant", "She.")), 3)]
    assert objects(target)[0]["row"] == {"kept": [1, None]}


def test_filters_of_the_command_hold_where_a_row_has_none(tmp_path: Path) -> None:
    source = tmp_path / "q.csv"
    source.write_text("question,source\nOne?,Post\nTwo?,\n", encoding="utf-8")
    oracle = Oracle()
    run_batch(oracle, source, tmp_path / "a.csv", filters=Filters(("Radio",), after="2026-01-01"))
    assert [f.publishers for _, f, _, _ in oracle.asked] == [("Post",), ("Radio",)]
    assert [f.after for _, f, _, _ in oracle.asked] == ["2026-01-01", "2026-01-01"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_encodings_and_delimiters(tmp_path: Path, encoding: str, delimiter: str) -> None:
    source, target = tmp_path / "q.csv", tmp_path / "a.jsonl"
    lines = ["id,question", '1,"Was kostet „Öl“, in €?"', "2,Café?"]
    content = lines[0] + "\n" + "\n".join(lines[1:]) if delimiter == "," else None
    content = (
        content or f'id{delimiter}question\r\n1{delimiter}"Was kostet „Öl“, in €?"\r\n2{delimiter}Café?\r\n'
    )
    source.write_bytes(content.encode(encoding))
    run_batch(Oracle(), source, target)
    assert [answer["question"] for answer in objects(target)] == ["Was kostet „Öl“, in €?", "Café?"]


def test_one_column_may_hold_commas_without_quotes(tmp_path: Path) -> None:
    source, target = tmp_path / "q.csv", tmp_path / "a.jsonl"
    source.write_text('question\nWho, when and why?\n"She said ""no"", why?"\n', encoding="utf-8")
    run_batch(Oracle(), source, target)
    assert [a["question"] for a in objects(target)] == ["Who, when and why?", 'She said "no", why?']


def test_a_few_broken_bytes_cost_only_their_row(tmp_path: Path) -> None:
    source, target = tmp_path / "q.csv", tmp_path / "a.jsonl"
    source.write_bytes("id,question\n1,Größe?\n2,Öl in €?\n3,".encode() + b"Caf\xe9?\n")
    report = run_batch(Oracle(), source, target)
    assert [a["status"] for a in objects(target)] == ["answered", "answered", "error"]
    assert report.failed[0].source == "3"
    assert decode("Café, €".encode("cp1252")) == "Café, €"


def test_rows_that_will_not_do_are_errors_in_their_row(tmp_path: Path) -> None:
    source, target = tmp_path / "q.jsonl", tmp_path / "a.jsonl"
    lines = [
        '{"question": "Fine?"}',
        '{"question": ""}',
        '{"question": "   "}',
        '{"other": 1}',
        '{"question": 7}',
        "not json",
        "[1]",
        json.dumps({"question": "x" * 2_001}),
        json.dumps({"question": "When?", "after": "soon"}),
        json.dumps({"question": "When?", "history": [{"role": "boss", "content": "no"}]}),
        '{"question": "\\ud800 alone?"}',
        "[" * 100_000,
        '"A bare string?"',
        json.dumps({"question": "x" * 2_000}),
    ]
    source.write_text("\n".join(lines), encoding="utf-8")
    oracle = Oracle()
    report = run_batch(oracle, source, target)
    answers = objects(target)
    assert [a["id"] for a in answers] == [str(n) for n in range(1, 15)]
    assert [a["status"] for a in answers] == ["answered", *["error"] * 11, "answered", "answered"]
    assert all(a["error"] and not a["answer"] for a in answers[1:12])
    assert [f.source for f in report.failed] == [str(n) for n in range(2, 13)]
    assert len(oracle.asked) == 3


def test_too_many_cells_are_not_dropped_silently(tmp_path: Path) -> None:
    source, target = tmp_path / "q.csv", tmp_path / "a.csv"
    source.write_text("id,question\n1,Who, and when?\n2,Fine?,,\n3\n,,\n,\n", encoding="utf-8")
    run_batch(Oracle(), source, target)
    assert [row["status"] for row in rows(target)] == ["error", "answered", "error"]
    assert "in quotes" in rows(target)[0]["error"]


@pytest.mark.parametrize(
    ("name", "content", "output", "word"),
    [
        ("q.ods", "x", "a.csv", ".csv .tsv .xlsx .jsonl .txt"),
        ("q.csv", "question\nx\n", "a.pdf", ".jsonl .csv .xlsx .md .html"),
        ("q.csv", "frage\nx\n", "a.csv", "frage"),
        ("q.csv", "question\nx\n", "q.csv", "another name"),
        ("q.csv", "question\nx\n", "no/such/a.csv", "no folder"),
        ("q.csv", "question\nx\n", "folder.csv", "is a folder"),
        ("q.csv", "question\nx\n", "beside.csv", "is a folder"),
    ],
)
def test_a_request_that_will_not_do(tmp_path: Path, name: str, content: str, output: str, word: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "beside.csv.receipt.json").mkdir()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(UsageError, match=word.replace(".", r"\.")):
        run_batch(Oracle(), tmp_path / name, tmp_path / output)
    with pytest.raises(UsageError, match=word.replace(".", r"\.")):
        plan_batch(Oracle(), tmp_path / name, tmp_path / output)
    assert sorted(tmp_path.iterdir()) == before


def test_an_output_that_cannot_be_written_costs_no_answer(tmp_path: Path) -> None:
    source, oracle = questions(tmp_path, 3), Oracle()
    name = "a" * 240 + ".csv"  # there is room for the name, but not for that of its receipt
    with pytest.raises(OSError, match="too long"):
        run_batch(oracle, source, tmp_path / name)
    assert oracle.asked == []
    assert sorted(tmp_path.iterdir()) == [source]


def test_an_empty_list_says_so(tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text("\n \n", encoding="utf-8")
    with pytest.raises(SourceError, match="is empty"):
        run_batch(Oracle(), tmp_path / "q.txt", tmp_path / "a.csv")


def test_a_file_that_is_no_text_says_so(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_bytes(b"PK\x03\x04\x14\x00\x06\x00,question\n")
    with pytest.raises(SourceError, match="is not text"):
        run_batch(Oracle(), tmp_path / "q.csv", tmp_path / "a.csv")


def test_columns_without_or_with_the_same_name(tmp_path: Path) -> None:
    source = tmp_path / "q.csv"
    source.write_text("question,,note,note\nWho?,1,2,3\n", encoding="utf-8")
    first = next(read_table(source, "ask").rows())
    assert dict(first.carried) == {"column 2": "1", "note": "2", "note (4)": "3"}


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026", "2026-01-01", "2026-12-31"),
        ("2024-02", "2024-02-01", "2024-02-29"),
        ("2026-4-28", "2026-04-28", "2026-04-28"),
    ],
)
def test_dates_may_be_short(text: str, first: str, last: str) -> None:
    assert (iso_date(text), iso_date(text, last=True)) == (first, last)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "26",
        "2026-13",
        "2026-02-30",
        "28.04.2026",
        "0000",
        "2026-00",
        "2026-04-00",
        "2026-04-28T10:00",
    ],
)
def test_what_is_no_date(text: str) -> None:
    with pytest.raises(UsageError, match="2026-04-28"):
        iso_date(text)


# --- what comes out ----------------------------------------------------------------------------------


def test_csv_columns(tmp_path: Path) -> None:
    source, target = questions(tmp_path, 1), tmp_path / "a.csv"
    run_batch(Oracle(), source, target)
    (row,) = rows(target)
    cited = [f"{name}_{n}" for n in (1, 2, 3) for name in ("quote", "title", "published", "url", "place")]
    assert list(row) == ["id", "question", "note", "answer", "status", "confidence", *cited, "error"]
    assert row["answer"] == "Question 1 of 1?! [1]"
    assert (row["note"], row["quote_1"], row["published_1"], row["url_1"]) == (
        "note 1",
        "«Question 1 of 1?»",
        "2026-05-01",
        "",
    )


def test_formulas_are_neutralised_in_every_cell(tmp_path: Path) -> None:
    source, target = tmp_path / "q.jsonl", tmp_path / "a.csv"
    carried = ["=1+1", "+1", "-1", "@x", "\tx", "\rx", "fine", " =no"]
    source.write_text(
        "\n".join(json.dumps({"question": f"{c}?", "=name": c}) for c in carried), encoding="utf-8"
    )
    run_batch(Oracle(), source, target)
    with target.open(encoding="utf-8", newline="") as file:
        cells = [cell for line in csv.reader(file) for cell in line]
    assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert {"'=1+1", "'@x", "'=name", "fine", " =no", "'=Title"} <= set(cells)


def test_a_column_named_like_ours_is_kept_apart(tmp_path: Path) -> None:
    source, target = tmp_path / "q.csv", tmp_path / "a.csv"
    source.write_text("question,answer\nWho?,She\n", encoding="utf-8")
    run_batch(Oracle(), source, target)
    assert (rows(target)[0]["answer (input)"], rows(target)[0]["answer"]) == ("She", "Who?! [1]")


def test_a_list_from_excel_gets_its_mark_back(tmp_path: Path) -> None:
    source, target = tmp_path / "q.csv", tmp_path / "a.csv"
    for encoding, marked in (("utf-8-sig", True), ("utf-8", False)):
        source.write_text("question\nCafé?\n", encoding=encoding)
        run_batch(Oracle(), source, target)
        assert target.read_bytes().startswith(b"\xef\xbb\xbf") is marked


def test_check_mode(tmp_path: Path) -> None:
    source, out = tmp_path / "c.csv", tmp_path / "v.csv"
    source.write_text("id,Claim\nx,It is; it is not\ny,It is\nz,\n", encoding="utf-8")
    report = run_batch(Oracle(), source, out, mode="check")
    assert [(r["verdict"], r["claims"]) for r in rows(out)] == [
        ("contradicted", "2"),
        ("supported", "1"),
        ("", "0"),
    ]
    assert rows(out)[0]["explanation"] == "It is is right. it is not is wrong."
    assert (report.answered, [f.source for f in report.failed]) == (2, ["z"])
    run_batch(Oracle(), source, tmp_path / "v.jsonl", mode="check")
    first = objects(tmp_path / "v.jsonl")[0]
    assert list(first) == ["id", "text", "claims", "seconds", "error", "row"]
    assert [claim["verdict"] for claim in first["claims"]] == ["supported", "contradicted"]


# --- what may go wrong on the way --------------------------------------------------------------------


@pytest.mark.parametrize("stop_after", [0, 1, 4, 7])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_an_interrupted_run_goes_on_and_loses_nothing(tmp_path: Path, stop_after: int, suffix: str) -> None:
    source, target = questions(tmp_path, 8), tmp_path / f"a{suffix}"
    with pytest.raises(KeyboardInterrupt):
        run_batch(Oracle(stop_after=stop_after), source, target)
    assert not target.exists()
    kept = [
        json.loads(line)["result"] for line in journal_path(target).read_text(encoding="utf-8").splitlines()
    ]
    oracle = Oracle()
    report = run_batch(oracle, source, target)
    assert (report.done, report.resumed, len(oracle.asked)) == (8, stop_after, 8 - stop_after)
    assert not journal_path(target).exists()
    if suffix == ".jsonl":
        assert [a["seconds"] for a in objects(target)[:stop_after]] == [k["seconds"] for k in kept]


def test_the_bytes_are_those_of_an_uninterrupted_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "perf_counter", lambda: 0.25)  # so that whole runs can be compared
    source = questions(tmp_path, 20)
    run_batch(Oracle(), source, tmp_path / "whole.jsonl")
    for stop_after in (3, 9):
        with pytest.raises(KeyboardInterrupt):
            run_batch(Oracle(stop_after=stop_after), source, tmp_path / "parts.jsonl", workers=2)
    run_batch(Oracle(), source, tmp_path / "parts.jsonl", workers=3)
    assert (tmp_path / "parts.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_a_half_written_line_of_the_journal_is_asked_again(tmp_path: Path) -> None:
    source, target = questions(tmp_path, 3), tmp_path / "a.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run_batch(Oracle(stop_after=2), source, target)
    whole = journal_path(target).read_bytes()
    journal_path(target).write_bytes(whole[:-10])
    oracle = Oracle()
    run_batch(oracle, source, target)
    assert [asked[0] for asked in oracle.asked] == ["Question 2 of 3?", "Question 3 of 3?"]
    assert len(objects(target)) == 3


def test_failed_rows_are_tried_again_and_only_they(tmp_path: Path) -> None:
    source, target = tmp_path / "q.txt", tmp_path / "a.jsonl"
    source.write_text("One?\nbroken?\nerror?\ndefect?\nTwo?\n", encoding="utf-8")
    report = run_batch(Oracle(), source, target)
    assert [f.source for f in report.failed] == ["2", "3", "4"]
    assert objects(target)[1]["error"] == "the model is away: try again."
    assert "ZeroDivisionError" in objects(target)[3]["error"]
    assert journal_path(target).exists()
    oracle = Oracle(broken=False)
    report = run_batch(oracle, source, target)
    assert [asked[0] for asked in oracle.asked] == ["broken?", "error?", "defect?"]
    assert (report.resumed, report.answered, len(report.failed)) == (2, 3, 2)


def test_a_changed_knowledge_base_is_asked_again_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source, target = questions(tmp_path, 4), tmp_path / "a.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run_batch(Oracle(stop_after=3), source, target)
    oracle = Oracle(generation=2)
    with caplog.at_level(logging.WARNING, "kb.batch"):
        report = run_batch(oracle, source, target)
    assert (report.resumed, len(oracle.asked)) == (0, 4)
    assert "3 rows of an earlier run are asked again" in caplog.text


def test_changed_settings_are_asked_again(tmp_path: Path) -> None:
    source, target = questions(tmp_path, 3), tmp_path / "a.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run_batch(Oracle(stop_after=2), source, target)
    report = run_batch(Oracle(), source, target, top=5)
    assert report.resumed == 0


def test_rows_of_other_weights_are_asked_again_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    source, target = questions(tmp_path, 3), tmp_path / "a.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run_batch(Oracle(stop_after=2), source, target)
    monkeypatch.setattr(batch, "answering_model", lambda: "of the next release")
    report = run_batch(Oracle(), source, target)
    assert report.resumed == 0
    assert "2 rows of an earlier run are asked again" in caplog.text
    assert "kbqa itself" in caplog.text


def test_the_weights_are_known_by_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = batch.answering_model()
    assert shipped == batch.answering_model()
    for file in Path(batch.__file__).parent.glob("*.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    monkeypatch.setattr(batch, "__file__", str(tmp_path / "batch.py"))
    before = batch.answering_model.__wrapped__()
    with (tmp_path / "extract.json").open("a") as file:
        file.write("\n")
    assert batch.answering_model.__wrapped__() not in (before, shipped)


def test_an_edited_list_keeps_what_was_answered(tmp_path: Path) -> None:
    source, target = tmp_path / "q.csv", tmp_path / "a.jsonl"
    source.write_text("question,note\nOne?,a\nTwo?,b\n", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt):
        run_batch(Oracle(stop_after=1), source, target)
    source.write_text("question,note\nZero?,z\nOne?,changed\nTwo?,b\n", encoding="utf-8")
    oracle = Oracle()
    run_batch(oracle, source, target)
    assert [asked[0] for asked in oracle.asked] == ["Zero?", "Two?"]
    assert [(a["id"], a["row"]["note"]) for a in objects(target)] == [
        ("1", "z"),
        ("2", "changed"),
        ("3", "b"),
    ]


def test_the_same_question_twice_is_two_rows(tmp_path: Path) -> None:
    source, target = tmp_path / "q.txt", tmp_path / "a.jsonl"
    source.write_text("Same?\nSame?\nOther?\nSame?\n", encoding="utf-8")
    with pytest.raises(KeyboardInterrupt):
        run_batch(Oracle(stop_after=2), source, target)
    oracle = Oracle()
    run_batch(oracle, source, target)
    assert [a["question"] for a in objects(target)] == ["Same?", "Same?", "Other?", "Same?"]
    assert len(oracle.asked) == 2


def test_workers_write_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "perf_counter", lambda: 0.25)
    source = questions(tmp_path, 60)
    seen: list[int] = []
    for workers in (1, 4):
        run_batch(
            Oracle(),
            source,
            tmp_path / f"{workers}.csv",
            workers=workers,
            progress=lambda done, total, name: seen.append(done),
        )
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "4.csv").read_bytes()
    assert seen == [*range(1, 61), *range(1, 61)]


def test_ctrl_c_with_workers_stops_soon(tmp_path: Path) -> None:
    source, target = questions(tmp_path, 200), tmp_path / "a.jsonl"
    oracle = Oracle()

    def stop(done: int, total: int, name: str) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_batch(oracle, source, target, workers=2, progress=stop)
    assert run_batch(Oracle(), source, target).resumed >= 5


def test_an_output_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = questions(tmp_path, 3), tmp_path / "a.jsonl"
    target.write_text("old", encoding="utf-8")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            run_batch(Oracle(), source, target)
    assert target.read_text(encoding="utf-8") == "old"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.jsonl", "a.jsonl.journal", "questions.csv"]
    assert run_batch(Oracle(), source, target).resumed == 3


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".xlsx", ".md", ".html"])
def test_a_run_that_is_told_to_stop_writes_what_is_done(tmp_path: Path, suffix: str) -> None:
    source, target = questions(tmp_path, 20), tmp_path / f"a{suffix}"
    shown: list[str] = []
    report = run_batch(
        Oracle(), source, target, seen=lambda row, _: shown.append(row.id), stop=lambda: len(shown) == 7
    )
    assert (report.done, report.left, shown) == (7, 13, [f"q{n}" for n in range(1, 8)])
    if suffix == ".jsonl":
        assert [a["id"] for a in objects(target)] == shown
    if suffix == ".html":
        assert "20 rows: 7 answered, 13 not done yet" in target.read_text(encoding="utf-8")
    oracle = Oracle()
    report = run_batch(oracle, source, target)
    assert (report.done, report.resumed, report.left, len(oracle.asked)) == (20, 7, 0, 13)
    assert not journal_path(target).exists()


def test_a_stopped_run_mixes_no_answers_of_another_knowledge_base_in(tmp_path: Path) -> None:
    source, target = questions(tmp_path, 6), tmp_path / "a.jsonl"
    run_batch(Oracle(), source, target, stop=lambda: True)
    with pytest.raises(KeyboardInterrupt):
        run_batch(Oracle(stop_after=4), source, target)
    run_batch(Oracle(generation=2), source, target, stop=lambda: True)
    assert [a["id"] for a in objects(target)] == ["q1"]


def test_a_plan_says_what_would_be_done_and_writes_nothing(tmp_path: Path) -> None:
    source, target = tmp_path / "q.txt", tmp_path / "a.csv"
    source.write_text("One?\nTwo?\nbroken?\n" + "x" * 3_000 + "\nFive?\n", encoding="utf-8")
    plan = plan_batch(Oracle(), source, target)
    assert (plan.rows, plan.done, plan.stale, plan.left) == (5, 0, 0, 4)
    assert [f.source for f in plan.faulty] == ["4"]
    assert sorted(tmp_path.iterdir()) == [source]
    run_batch(Oracle(), source, target)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    oracle = Oracle()
    plan = plan_batch(oracle, source, target)
    assert (plan.done, plan.left, plan.sampled) == (3, 1, 1)  # the row that failed is tried again
    assert [asked[0] for asked in oracle.asked] == ["broken?"]
    plan = plan_batch(Oracle(generation=2), source, target)
    assert (plan.done, plan.stale, plan.left) == (0, 3, 4)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_plan_knows_how_long_a_row_takes(tmp_path: Path) -> None:
    class Slow(Oracle):
        def ask(self, question: str, **options: Any) -> Answer:
            time.sleep(1.5 if not self.asked else 0.02)  # the first one loads the models
            return super().ask(question, **options)

    source, slow = questions(tmp_path, 500), Slow()
    plan = plan_batch(slow, source, tmp_path / "a.csv", workers=2)
    assert plan.sampled == len(slow.asked) <= 13
    assert 0.009 < plan.each < 0.1
    assert plan.seconds == 500 * plan.each
    assert {q for q, *_ in slow.asked} >= {"Question 1 of 500?", "Question 411 of 500?"}


class Worded(Oracle):
    """Has a chat model, which tells its tokens and the ``cost`` of an answer. It is not asked to refuse."""

    def __init__(self, cost: float | None = 0.25) -> None:
        super().__init__()
        self.cost = cost
        self.remembered: set[str] = set()

    def info(self) -> dict[str, Any]:
        return {**super().info(), "model": "fake:talker"}

    def ask(self, question: str, **options: Any) -> Answer:
        answer = super().ask(question, **options)
        if answer.status != "answered":
            return answer
        usage = NOTHING_USED if question in self.remembered else Usage(1, 1000, 50, self.cost)
        self.remembered.add(question)
        return replace(answer, model="fake:talker", usage=usage)


def test_what_a_chat_model_took_stands_in_each_row_and_in_total(tmp_path: Path) -> None:
    source = tmp_path / "q.txt"
    source.write_text("One?\nunknown?\nThree?\n", encoding="utf-8")
    report = run_batch(Worded(), source, tmp_path / "a.csv", workers=2)
    assert report.usage == Usage(2, 2000, 100, 0.5)
    assert [
        (row["model"], row["input_tokens"], row["output_tokens"], row["cost_usd"])
        for row in rows(tmp_path / "a.csv")
    ] == [
        ("fake:talker", "1000", "50", "0.25"),
        ("extractive", "", "", ""),
        ("fake:talker", "1000", "50", "0.25"),
    ]
    for suffix in (".html", ".md"):
        run_batch(Worded(), source, tmp_path / f"a{suffix}")
        written = (tmp_path / f"a{suffix}").read_text(encoding="utf-8").replace("\\", "")
        assert written.count("1 call, 1,000 tokens read, 50 written, about $0.2500.") == 2
        assert "fake:talker: 2 calls, 2,000 tokens read, 100 written, about $0.5000." in written
    run_batch(Worded(cost=None), source, tmp_path / "b.csv")
    assert {row["cost_usd"] for row in rows(tmp_path / "b.csv")} == {""}
    run_batch(Oracle(), source, tmp_path / "c.csv")
    assert "cost_usd" not in rows(tmp_path / "c.csv")[0], "no chat model, no columns for one"


def test_rows_that_the_chat_model_failed_are_asked_again(tmp_path: Path) -> None:
    class Away(Worded):
        def ask(self, question: str, **options: Any) -> Answer:
            answer = super().ask(question, **options)
            failed = replace(answer, model="extractive", usage=None, trace=(Step("model", "It was away."),))
            return failed if "Two" in question else answer

    source, target = tmp_path / "q.txt", tmp_path / "a.jsonl"
    source.write_text("One?\nTwo?\n", encoding="utf-8")
    report = run_batch(Away(), source, target)
    assert (report.answered, report.unworded, report.failed) == (2, 1, ())
    assert [answer["model"] for answer in objects(target)] == ["fake:talker", "extractive"]
    worded = Worded()
    report = run_batch(worded, source, target)
    assert [asked[0] for asked in worded.asked] == ["Two?"]
    assert (report.unworded, report.resumed) == (0, 1)
    assert [answer["model"] for answer in objects(target)] == ["fake:talker"] * 2
    assert not journal_path(target).exists()


def test_a_plan_knows_what_a_chat_model_will_take(tmp_path: Path) -> None:
    source, worded = questions(tmp_path, 300), Worded()
    plan = plan_batch(worded, source, tmp_path / "a.csv", workers=4)
    assert plan.sampled == len(worded.asked) == 3, "each of these is paid for"
    assert plan.tried == Usage(3, 3000, 150, 0.75)
    assert plan.usage == Usage(300, 300_000, 15_000, 75.0)
    again = plan_batch(worded, source, tmp_path / "a.csv", workers=4)
    assert (again.tried, again.usage) == (Usage(0, 0, 0, 0.0), None), "what was remembered tells no price"
    assert plan_batch(Oracle(), source, tmp_path / "a.csv").usage is None


def test_report_as_json() -> None:
    assert BatchReport(done=1, answered=1, seconds=0.1234).to_dict() == {
        "done": 1,
        "answered": 1,
        "not_found": 0,
        "failed": [],
        "resumed": 0,
        "left": 0,
        "seconds": 0.12,
        "usage": None,
        "unworded": 0,
    }


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("suffix", [".jsonl", ".xlsx"])
def test_fifty_kills_lose_nothing_and_repeat_at_most_the_rows_in_flight(suffix: str) -> None:
    command = [sys.executable, "-m", "benchmarks.kills", "25", "150", suffix]
    done = subprocess.run(command, cwd=ROOT, env=command_environment(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["kills"] == 25
    assert found["identical"] == found["finished"] > 0
    assert found["most_repeated"] <= 2  # workers


def test_a_real_knowledge_base(tmp_path: Path, library: Any) -> None:
    source, target = tmp_path / "q.csv", tmp_path / "a.jsonl"
    source.write_text(
        "question,document_id\nWhen was the harbour bridge closed to lorries?,\n"
        "How much does a crossing cost for a lorry?,news/ferry.html\n,bridge.md\n",
        encoding="utf-8",
    )
    report = run_batch(library, source, target, workers=2)
    assert (report.done, [f.source for f in report.failed]) == (3, ["3"])
    for answer in objects(target)[:2]:
        assert answer["status"] in ("answered", "not_found")
        for citation in answer["citations"]:
            text = library.document(citation["document_id"]).text
            assert text[citation["start"] : citation["end"]] == citation["quote"]
    assert objects(target)[1]["passages"][0]["document_id"] == "news/ferry.html"


def test_csv_reads_back_as_it_was(tmp_path: Path) -> None:
    source, target = tmp_path / "q.csv", tmp_path / "a.csv"
    note = 'two\nlines, "quoted"; Größe'
    buffer = io.StringIO()
    csv.writer(buffer).writerows([["question", "note"], ["Who?", note]])
    source.write_text(buffer.getvalue(), encoding="utf-8", newline="")
    run_batch(Oracle(), source, target)
    assert rows(target)[0]["note"] == note


def test_a_second_batch_onto_the_same_output_is_told_to_wait(tmp_path: Path) -> None:
    from filelock import FileLock

    from kb.errors import Busy

    (tmp_path / "in.txt").write_text("Who?\n")
    with FileLock(tmp_path / ".out.csv.lock"), pytest.raises(Busy, match=r"out\.csv"):
        run_batch(Oracle(), tmp_path / "in.txt", tmp_path / "out.csv")
