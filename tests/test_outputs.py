"""Batch formats: a workbook in, a workbook, a page and a Markdown report out, each with its receipt."""

from __future__ import annotations

import datetime
import hashlib
import json
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from conftest import TEXTS
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from openpyxl import Workbook, load_workbook
from test_batch import Oracle, objects, questions, rows

from kb.batch import run_batch
from kb.errors import SourceError, UsageError
from kb.outputs import as_it_was, harmless, place, read_place, receipt_path
from kb.render import escape_markdown
from kb.sheets import add_sheet, new_workbook, read_sheet
from kb.tables import encoding_of, read_table
from kb.types import Answer, CheckReport, Citation, Filters, Hit, Passage, Sentence, Source, Turn, Verdict

HOSTILE = "<img src=x onerror=alert(1)> *bold* [link](javascript:x) `code` | =1+1 </script><script>boom()"
REPORTS = (".csv", ".xlsx", ".md", ".html")


class Hostile(Oracle):
    """A library in which every word is markup."""

    def ask(self, question: str, **_: Any) -> Answer:  # type: ignore[override]
        source = Source(HOSTILE, HOSTILE, HOSTILE, "2026-05-01", "javascript:alert(1)")
        hit = Hit(Passage("a.md", 0, 0, 9, HOSTILE, HOSTILE), source, 0.5, 1)
        if "unknown" in question:
            return Answer(question, "not_found", hits=(hit,), notices=(HOSTILE,), confidence=0.5)
        if "error" in question:
            return Answer(question, "error", error=HOSTILE)
        citation = Citation(
            1, HOSTILE, HOSTILE, HOSTILE, HOSTILE, "2026", "javascript:x", HOSTILE, 2, 0, 9, HOSTILE
        )
        sentence = Sentence(HOSTILE, 0, len(HOSTILE), (1,), "verbatim")
        return Answer(
            question, "answered", f"{HOSTILE} [1]", (sentence,), (citation,), (hit,), 0.5, (HOSTILE,)
        )


def workbook(path: Path, lines: Sequence[Sequence[object]], *, sheet: str = "List") -> Path:
    book = Workbook()
    book.active.title = sheet
    for line in lines:
        book.active.append(list(line))
    book.save(path)
    return path


def sheet(path: Path, name: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in load_workbook(path)[name].iter_rows(values_only=True)]


# --- a workbook in -----------------------------------------------------------------------------------


def test_a_workbook_is_a_list(tmp_path: Path) -> None:
    day = datetime.datetime(2026, 4, 28)
    source = workbook(
        tmp_path / "q.xlsx",
        [
            ("ID", "Question", "after", "Desk", "Due"),
            (7, "Who?", day, "World", day.replace(hour=9)),
            (None, None, None, None, None),
            (8.0, "What?", 2026, True, 2.5),
        ],
    )
    oracle = Oracle()
    run_batch(oracle, source, tmp_path / "a.jsonl")
    assert [(a["id"], a["question"], a["row"]) for a in objects(tmp_path / "a.jsonl")] == [
        ("7", "Who?", {"Desk": "World", "Due": "2026-04-28T09:00:00"}),
        ("8", "What?", {"Desk": True, "Due": 2.5}),
    ]
    assert [asked[1] for asked in oracle.asked] == [Filters(after="2026-04-28"), Filters(after="2026-01-01")]


def test_the_sheet_with_the_column_is_read(tmp_path: Path) -> None:
    book = Workbook()
    book.active.append(["Read me first"])
    second = book.create_sheet("Questions")
    second.append(["question"])
    second.append(["Who?"])
    book.save(tmp_path / "q.xlsx")
    assert [row.text for row in read_table(tmp_path / "q.xlsx", "ask").rows()] == ["Who?"]


def test_a_workbook_that_will_not_do(tmp_path: Path) -> None:
    (tmp_path / "old.xlsx").write_bytes(b"\xd0\xcf\x11\xe0 an old or encrypted workbook")
    with pytest.raises(SourceError, match=r"is not an Excel workbook .* without a password"):
        read_table(tmp_path / "old.xlsx", "ask")
    with pytest.raises(UsageError, match=r"has no column question .its columns: Frage"):
        read_table(workbook(tmp_path / "q.xlsx", [("Frage",), ("Wer?",)]), "ask")
    with pytest.raises(SourceError, match="is empty"):
        read_table(workbook(tmp_path / "empty.xlsx", []), "ask")
    table = read_table(workbook(tmp_path / "wide.xlsx", [("question",), ("Who?", "stray")]), "ask")
    assert "name every column" in str(next(table.rows()).error)
    table = read_table(workbook(tmp_path / "number.xlsx", [("question",), (7,)]), "ask")
    assert next(table.rows()).error == "The question is not text."


def test_a_formula_counts_as_what_it_last_came_to(tmp_path: Path) -> None:
    source = workbook(tmp_path / "q.xlsx", [("question",), ('="Who"&"?"',)])
    assert [row.text for row in read_table(source, "ask").rows()] == []  # never calculated, so it is empty


def test_a_picture_or_a_list_in_a_workbook_is_no_warning(tmp_path: Path) -> None:
    source = workbook(tmp_path / "q.xlsx", [("question",), ("Who?",)])
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert list(read_table(source, "ask").rows())
        warnings.warn_explicit("no data validation", UserWarning, "x", 1, module="openpyxl.reader")
    assert not said


@pytest.mark.parametrize("cut", [1, 3, 4, 7, 11])
def test_the_encoding_is_found_wherever_a_block_ends(cut: int) -> None:
    def blocks(data: bytes) -> list[bytes]:
        return [data[i : i + cut] for i in range(0, len(data), cut)]

    assert encoding_of(blocks("Café für 3 €".encode())) == "utf-8-sig"
    assert encoding_of(blocks("Café für 3 €".encode("cp1252"))) == "cp1252"
    assert encoding_of(blocks("Café für 3 €".encode() + b"\xe9")) == "utf-8-sig"
    assert encoding_of(["�".encode()]) == "utf-8-sig"  # written as such, not broken


# --- a workbook out ----------------------------------------------------------------------------------


def test_workbook_columns_are_those_of_the_csv(tmp_path: Path) -> None:
    source = questions(tmp_path, 2)
    for name in ("a.csv", "a.xlsx"):
        run_batch(Oracle(), source, tmp_path / name)
    header, *lines = sheet(tmp_path / "a.xlsx", "answers")
    assert list(header) == list(rows(tmp_path / "a.csv")[0])
    as_text = [["" if cell is None else str(cell) for cell in line] for line in lines]
    assert as_text == [list(row.values()) for row in rows(tmp_path / "a.csv")]
    assert lines[0][header.index("confidence")] == 0.5  # a number, to sort by


def test_no_cell_of_a_workbook_is_a_formula(tmp_path: Path) -> None:
    source = tmp_path / "q.jsonl"
    carried = ["=1+1", "+1", "-1", "@x", "\tx", '=HYPERLINK("http://x")', "fine", -1, 1e400, 10**20, None]
    lines = [json.dumps({"question": f"{c}?", "=name": c}) for c in carried]
    source.write_text("\n".join(lines), encoding="utf-8")
    run_batch(Oracle(), source, tmp_path / "a.xlsx")
    book = load_workbook(tmp_path / "a.xlsx")
    cells = [cell for name in book.sheetnames for line in book[name].iter_rows() for cell in line]
    assert "f" not in {cell.data_type for cell in cells}
    texts = [cell.value for cell in cells if isinstance(cell.value, str)]
    assert not [text for text in texts if text.startswith(("=", "+", "-", "@", "\t"))]
    assert {"'=1+1", "'@x", "'=name", "fine", "'=Title", str(10**20)} <= set(texts)
    assert -1 in [cell.value for cell in cells]


def test_what_a_workbook_cannot_hold_is_marked(tmp_path: Path) -> None:
    with new_workbook(tmp_path / "a.xlsx") as book:
        put = add_sheet(book, "S", ["a", "b"], {})
        put(["bell \a and \ud800", "x" * 40_000])
    ((_, _), (first, second)) = sheet(tmp_path / "a.xlsx", "S")
    assert first == "bell � and �"
    assert len(second) == 32_767
    assert second.endswith("x …")


def test_the_same_rows_are_the_same_workbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = questions(tmp_path, 12)
    run_batch(Oracle(), source, tmp_path / "one.xlsx")
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)  # a zip archive asks it for the date
    run_batch(Oracle(), source, tmp_path / "two.xlsx", workers=2)
    assert (tmp_path / "one.xlsx").read_bytes() == (tmp_path / "two.xlsx").read_bytes()


@pytest.mark.parametrize("suffix", REPORTS)
def test_every_kind_has_the_bytes_of_an_uninterrupted_run(tmp_path: Path, suffix: str) -> None:
    source = questions(tmp_path, 12)
    run_batch(Oracle(), source, tmp_path / f"a{suffix}")
    whole = (tmp_path / f"a{suffix}").read_bytes()
    (tmp_path / f"a{suffix}").unlink()
    for stop_after in (3, 5):
        with pytest.raises(KeyboardInterrupt):
            run_batch(Oracle(stop_after=stop_after), source, tmp_path / f"a{suffix}", workers=2)
    run_batch(Oracle(), source, tmp_path / f"a{suffix}", workers=2)
    assert (tmp_path / f"a{suffix}").read_bytes() == whole


def test_a_workbook_reads_back_as_a_list(tmp_path: Path) -> None:
    source = questions(tmp_path, 2)
    run_batch(Oracle(), source, tmp_path / "a.xlsx")
    table = read_table(tmp_path / "a.xlsx", "ask")
    assert [row.text for row in table.rows()] == ["Question 1 of 2?", "Question 2 of 2?"]
    assert next(read_sheet(tmp_path / "a.xlsx", lambda header: "value" in header))[0] == "what"


# --- reports to read ---------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["ask", "check"])
def test_a_page_shows_nothing_as_markup(tmp_path: Path, mode: Any) -> None:
    source = tmp_path / "q.jsonl"
    column = "question" if mode == "ask" else "claim"
    asked = [f"{HOSTILE} {word}" for word in ("", "unknown", "error", "; it is not")]
    source.write_text("\n".join(json.dumps({column: q, HOSTILE: HOSTILE}) for q in asked), encoding="utf-8")
    run_batch(Hostile(), source, tmp_path / "a.html", mode=mode)
    html = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<img" not in html
    assert html.count("<script") == 1
    assert "javascript:" not in re.sub(r">[^<]*<", "><", html)  # in no attribute
    assert not re.search(r'(?:src|href)="(?!#|https?://)', html)
    assert html.count('<article class="row"') == 4


@pytest.mark.parametrize("mode", ["ask", "check"])
def test_a_markdown_report_shows_nothing_as_markup(tmp_path: Path, mode: Any) -> None:
    source = tmp_path / "q.jsonl"
    column = "question" if mode == "ask" else "claim"
    asked = [f"{HOSTILE} {word}" for word in ("", "unknown", "error", "; it is not")]
    source.write_text("\n".join(json.dumps({column: q, HOSTILE: HOSTILE}) for q in asked), encoding="utf-8")
    run_batch(Hostile(), source, tmp_path / "a.md", mode=mode)
    html = MarkdownIt("commonmark", {"html": True}).render((tmp_path / "a.md").read_text(encoding="utf-8"))
    assert "<img" not in html
    assert "<script" not in html
    assert "<a " not in html
    assert "<em>bold" not in html
    assert html.count("<h2>") == 5  # four rows and the receipt


@given(st.text(st.sampled_from("ab1 .-+=#*_`[]<>()!|~&;:$\\\n\t"), max_size=30))
def test_escaped_text_is_read_as_it_was_written(text: str) -> None:
    html = MarkdownIt("commonmark", {"html": True}).enable("table").render(f"x\n\n{escape_markdown(text)}\n")
    shown = re.sub(r"</?p>", "", html.replace("<p>x</p>", "", 1)).strip()
    for entity, character in (("&lt;", "<"), ("&gt;", ">"), ("&quot;", '"'), ("&amp;", "&")):
        shown = shown.replace(entity, character)
    assert shown == " ".join(text.split())


def test_a_page_needs_no_other(tmp_path: Path) -> None:
    run_batch(Oracle(), questions(tmp_path, 3), tmp_path / "a.html")
    html = (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in html
    assert not re.search(r"<(?:link|iframe|img|object)\b|@import|url\(|fetch\(|XMLHttp", html)
    assert "3 rows: 3 answered." in html
    assert 'href="#r1-source-1"' in html
    assert 'id="r1-source-1"' in html


def test_markdown_footnotes(tmp_path: Path) -> None:
    source = tmp_path / "q.txt"
    source.write_text("First?\nSecond unknown?\nerror\n", encoding="utf-8")
    run_batch(Oracle(), source, tmp_path / "a.md")
    text = (tmp_path / "a.md").read_text(encoding="utf-8")
    assert "3 rows: 1 answered, 1 not found, 1 failed." in text
    assert "First?![^1-1]" in text
    assert "[^1-1]: “«First?»” — \\=Title · Post · 1 May 2026 · a.md, characters 0–9" in text
    assert "*The documents do not say.*" in text
    assert "**Failed:** It went wrong." in text
    assert text.count("[^1-1]") == 2


def test_what_to_dict_gives_can_be_read_back() -> None:
    citation = Citation(1, "a", "T", None, None, None, None, None, 3, 0, 9, "Q.")
    answer = Answer(
        "Q?",
        "answered",
        "A. [1]",
        (Sentence("A.", 0, 2, (1,), "verbatim"),),
        (citation,),
        (Hit(Passage("a", 0, 0, 9, "Text", "S", 3), Source("T", "P"), 0.5, 1),),
        0.25,
        ("Old.",),
        seconds=0.5,
    )
    assert Answer.from_dict(answer.to_dict()) == answer
    report = CheckReport("A.", (Verdict("A.", 0, 2, "supported", 0.5, "So.", (citation,)),), 0.5)
    assert CheckReport.from_dict({**report.to_dict(), "id": "1"}) == report


# --- receipts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".jsonl", ".csv"])
def test_the_receipt_lies_beside_what_has_no_room_for_it(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"a{suffix}"
    run_batch(Oracle(generation=7), questions(tmp_path, 2), target, top=3, filters=Filters(("Post",)))
    receipt = json.loads(receipt_path(target).read_text(encoding="utf-8"))
    assert receipt["sha256"] == hashlib.sha256(target.read_bytes()).hexdigest()
    assert (receipt["generation"], receipt["documents"], receipt["embedder"]) == (7, 2, "none")
    assert (receipt["settings"]["top"], receipt["settings"]["publishers"]) == (3, ["Post"])
    assert receipt["sources"] == [{"document_id": "a.md", "title": "=Title", "content_hash": "abc123"}]


@pytest.mark.parametrize("suffix", [".xlsx", ".md", ".html"])
def test_the_receipt_stands_in_what_has_room_for_it(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"a{suffix}"
    run_batch(Oracle(generation=7), questions(tmp_path, 2), target)
    assert not receipt_path(target).exists()
    if suffix == ".xlsx":
        text = "\n".join(" ".join(map(str, line)) for line in sheet(target, "receipt"))
    else:
        text = target.read_text(encoding="utf-8")
    assert "generation 7, 2 documents" in text
    assert "abc123" in text
    assert "def456" not in text  # never cited


def test_a_refusal_rests_on_all_documents(tmp_path: Path) -> None:
    class Grown(Oracle):
        def documents(self) -> Any:
            return super().documents()[:1]

    source = questions(tmp_path, 1)
    hashes = set()
    for oracle in (Oracle(), Oracle(generation=2), Grown()):
        run_batch(oracle, source, tmp_path / "a.csv")
        hashes.add(json.loads(receipt_path(tmp_path / "a.csv").read_text())["library_hash"])
    assert len(hashes) == 2  # the generation alone does not change it


@pytest.mark.parametrize("cell", ["=1", "'=1", "plain", "'quoted'", "-", "", "@x"])
def test_a_neutralised_cell_can_be_read_back(cell: str) -> None:
    assert as_it_was(harmless(cell)) == (cell if cell != "'=1" else "=1")


@given(st.text(min_size=1), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_place_can_be_read_back(document_id: str, start: int, end: int) -> None:
    written = place({"document_id": document_id, "start": start, "end": end})
    assert read_place(written) == (document_id, start, end)


def test_what_a_killed_run_left_half_written_goes_away(tmp_path: Path) -> None:
    source = questions(tmp_path, 1)
    for name in (".a.csv.1.tmp", ".a.csv.x.tmp", ".b.csv.1.tmp"):
        (tmp_path / name).touch()
    run_batch(Oracle(), source, tmp_path / "a.csv")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {".a.csv.x.tmp", ".b.csv.1.tmp", "questions.csv", "a.csv", "a.csv.receipt.json"}


def test_a_list_that_changes_during_the_run_is_noticed(tmp_path: Path) -> None:
    source = questions(tmp_path, 2)

    def edit(done: int, total: int, name: str) -> None:
        source.write_text("question\nAnother?\n", encoding="utf-8")

    with pytest.raises(SourceError, match="changed during the run"):
        run_batch(Oracle(), source, tmp_path / "a.csv", progress=edit)


def test_a_real_library_in_every_kind(tmp_path: Path, library: Any) -> None:
    (tmp_path / "q.csv").write_text("question\nWhen was the harbour bridge closed to lorries?\n")
    for suffix in REPORTS:
        report = run_batch(library, tmp_path / "q.csv", tmp_path / f"a{suffix}")
        assert (report.answered, report.failed) == (1, ())
    hashes = {d.id: d.content_hash for d in library.documents()}
    assert hashes["bridge.md"] in (tmp_path / "a.html").read_text(encoding="utf-8")
    assert "closed to lorries on 3 March 2026" in (tmp_path / "a.md").read_text(encoding="utf-8")
    assert set(TEXTS) & set(hashes)


def test_history_reaches_the_question_from_a_list_read_twice(tmp_path: Path) -> None:
    source = tmp_path / "q.jsonl"
    turns = [{"role": "user", "content": "Who?"}]
    source.write_text(json.dumps({"question": "When?", "history": turns}) + "\n", encoding="utf-8")
    oracle = Oracle()
    run_batch(oracle, source, tmp_path / "a.html")
    assert oracle.asked[0][2] == (Turn("user", "Who?"),)
