"""The Check tab: the draft with its verdicts, and what the server does. In a browser: test_browser.py."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fake_library import FakeLibrary
from test_render import Page

from kb.types import CheckReport, Filters
from kb.web import check as tab
from kb.web.check import Check, Checked
from kb.web.desk import DEFECT
from kb.web.draft import checked_html

DRAFT = (
    "The harbour bridge was closed to lorries on 3 March 2026. "
    "The repair is expected to cost 52 million euros.\nIs that too much? The mayor of Utrecht has resigned."
)
NO_LIMITS = (None, None, None, None)


def pages(text: str, *limits: str | None, kb: Any = None) -> list[tuple[str, Checked | None]]:
    return list(Check(kb or FakeLibrary()).check(text, *(limits or NO_LIMITS)))


def test_each_claim_has_its_verdict_its_sign_and_its_evidence() -> None:
    page = Page(checked_html(FakeLibrary().check(DRAFT)))
    claims = [attributes for _, attributes in page.elements if "data-claim" in attributes]
    assert [(c["class"], c["data-claim"]) for c in claims] == [
        ("claim supported", "1"),
        ("claim contradicted", "2"),
        ("claim left", "3"),
        ("claim not_found", "4"),
    ]
    assert claims[2]["aria-label"] == "Question: Is that too much?"
    assert [c["tabindex"] for c in claims] == ["0", "-1", "-1", "-1"]  # one stop for the tab key
    signs = [attributes["data-sign"] for _, attributes in page.elements if attributes.get("class") == "sign"]
    assert len(set(signs)) == 4
    cards = [a for _, a in page.elements if (a.get("class") or "").startswith("verdict ")]
    assert [card["data-place"] for card in cards] == [f"Claim {n} of 4" for n in (1, 2, 3, 4)]
    assert DRAFT in page.text
    assert "This is a question, not a claim; it was not checked." in page.text


def test_the_legend_counts_what_there_is() -> None:
    page = Page(checked_html(FakeLibrary().check(DRAFT)))
    named = [a["aria-label"] for _, a in page.elements if "data-next" in a]
    assert named == [
        f"{name}: 1, go to the next" for name in ("Contradicted", "Not found", "Supported", "Left alone")
    ]
    only = checked_html(FakeLibrary().check("Is that too much?"))
    assert "Contradicted" not in only


def test_a_draft_grows_claim_by_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tab, "EVERY_S", -1.0)
    found = pages(DRAFT)
    assert [page.count("data-claim") for page, _ in found] == [0, 1, 2, 3, 4, 4]
    assert all(DRAFT in Page(page).text for page, _ in found)
    assert all("<progress" in page for page, _ in found[:-1])
    assert "<progress" not in found[-1][0]
    assert [checked for _, checked in found[:-1]] == [None] * 5
    assert found[-1][1] == Checked(CheckReport(DRAFT, FakeLibrary().check(DRAFT).claims), Filters())


def test_limits_are_heeded_and_a_date_that_is_none_is_named() -> None:
    text = "The harbour bridge was closed to lorries on 3 March 2026."
    _, checked = pages(text, "", " orchards.md ", "", None)[-1]
    assert checked is not None
    assert checked.report.claims[0].verdict == "not_found"
    ((page, nothing),) = pages(text, None, None, "in April", None)
    assert "in April" in page
    assert nothing is None


def test_failures_are_sentences(caplog: pytest.LogCaptureFixture) -> None:
    assert "please keep it under 50,000" in pages("x" * 60_000)[-1][0]
    assert "run kbqa doctor" in pages("This is unreadable.")[-1][0]
    assert "There is no claim to check" in pages(" \n")[-1][0]
    page, checked = pages("These explode.")[-1]
    assert checked is not None
    assert checked.report == CheckReport("These explode.", error=DEFECT)
    assert "secret detail" not in page
    assert "secret detail" in caplog.text


def test_a_file_is_read_and_deleted(tmp_path: Path) -> None:
    draft = tmp_path / "draft.html"
    draft.write_text("<!doctype html><title>Draft</title><article><p>The ferry is named Marta.</p></article>")
    text, problem = Check(FakeLibrary()).read(str(draft))
    assert "The ferry is named Marta." in text
    assert problem == ""
    assert not draft.exists()
    broken = tmp_path / "broken.docx"
    broken.write_bytes(b"PK\x03\x04 not a document")
    _, problem = Check(FakeLibrary()).read(str(broken))
    assert 'role="alert"' in problem
    assert DEFECT not in problem
    assert not broken.exists()


@pytest.mark.parametrize("name", ["photo.png", "letter.doc", "figures.csv", "BUNDLE.ZIP"])
def test_a_file_of_another_kind_is_refused_in_a_sentence_with_its_cure(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("a,b\n1,2\n")
    _, problem = Check(FakeLibrary()).read(str(tmp_path / name))
    told = f"{name} cannot be read as a draft: save it as .txt, .md, .docx, .html or .pdf."
    assert Page(problem).text.strip() == told


def test_a_draft_is_read_from_what_was_written_in_another_program(tmp_path: Path) -> None:
    draft = tmp_path / "draft.rtf"
    draft.write_text(r"{\rtf1 The ferry is named Marta.}")
    assert Check(FakeLibrary()).read(str(draft)) == ("The ferry is named Marta.", "")


def test_evidence_opens_its_document_at_the_quote() -> None:
    fake = FakeLibrary()
    report = fake.check(DRAFT)
    citation = report.claims[1].citations[0]
    place = SimpleNamespace(
        _data={"document": citation.document_id, "start": citation.start, "end": citation.end}
    )
    checked = Checked(report, Filters())
    page = Check(fake).open_source(checked, place)
    assert f'<mark id="quote" tabindex="-1">{citation.quote}</mark>' in page
    fake.remove([citation.document_id])
    assert "there is no document" in Check(fake).open_source(checked, place)
