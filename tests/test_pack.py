"""Evidence packs: each form holds the verdicts, the quotes, and where these stand."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from zipfile import ZipFile

import pytest
from fake_library import FakeLibrary
from test_render import HOSTILE, Page, hostile_answer

from kb.errors import UsageError
from kb.outputs import place
from kb.pack import COLUMNS, FORMATS, pack, suffix_of
from kb.types import CheckReport, Filters, Verdict

DRAFT = (
    "The harbour bridge was closed to lorries on 3 March 2026. "
    "The repair is expected to cost 52 million euros. "
    "Is that too much? The mayor of Utrecht has resigned."
)
Make = Callable[..., bytes]


def make(suffix: str, report: CheckReport | None = None) -> bytes:
    library = FakeLibrary()
    report = report or library.check(DRAFT)
    return pack(
        report,
        library.info(),
        library.documents(),
        suffix,
        title="Draft <1>",
        filters=Filters(after="2026-01-01"),
    )


def text_of(word_file: bytes) -> str:
    from docx import Document

    return "\n".join(paragraph.text for paragraph in Document(io.BytesIO(word_file)).paragraphs)


@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_every_form_names_all_that_a_reader_needs(suffix: str) -> None:
    made = make(suffix)
    text = text_of(made) if suffix == ".docx" else made.decode()
    citation = FakeLibrary().check(DRAFT).claims[0].citations[0]
    at = (
        f"characters {citation.start}–{citation.end}"
        if suffix in (".md", ".html")
        else place(citation.to_dict())
    )
    assert citation.document_id in text
    needed = [citation.quote, "The harbour bridge", "The Quay", "Ada Lund", "0" * 64, "The mayor of Utrecht"]
    needed.append("28 April 2026" if suffix in (".md", ".html", ".docx") else "2026-04-28")
    needed.append('"start": 36' if suffix == ".json" else at)
    for fact in needed:
        assert fact in text, fact
    if suffix != ".docx":  # there it is the target of a link
        assert "#:~:text=The%20harbour%20bridge%20was%20closed" in text.replace("&amp;", "&")


@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_the_same_check_gives_the_same_bytes(suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    once = make(suffix)
    monkeypatch.setattr("time.time", lambda: 2_000_000_000.0)
    assert make(suffix) == once


def test_the_page_marks_the_draft_and_leads_from_it_to_the_evidence() -> None:
    page = Page(make(".html").decode())
    marked = [a for tag, a in page.elements if tag == "a" and (a.get("class") or "").startswith("claim")]
    assert [(a["class"], a["href"], a["title"]) for a in marked] == [
        ("claim supported", "#r1", "Supported"),
        ("claim contradicted", "#r2", "Contradicted"),
        ("claim left", "#r3", "Question"),
        ("claim not_found", "#r4", "Not found"),
    ]
    rows = {a["id"]: a["data-status"] for tag, a in page.elements if tag == "article"}
    assert rows == {"r1": "supported", "r2": "contradicted", "r3": "left", "r4": "not_found"}
    assert "4 statements: 1 contradicted, 1 not found, 1 supported, 1 left alone." in page.text


def test_links_of_a_word_file_lead_to_the_quote() -> None:
    with ZipFile(io.BytesIO(make(".docx"))) as parts:
        links = parts.read("word/_rels/document.xml.rels").decode()
    assert "https://quay.example/bridge?a=1&amp;b=2#:~:text=The%20harbour%20bridge" in links


def test_a_spreadsheet_has_a_line_for_each_citation_and_runs_no_formula() -> None:
    report = FakeLibrary().check(DRAFT)
    rows = list(csv.DictReader(io.StringIO(make(".csv").decode())))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == sum(len(verdict.citations) or 1 for verdict in report.claims)
    assert rows[-1]["quote"] == ""
    claim = "=HYPERLINK(1) is no claim."
    (row,) = csv.DictReader(
        io.StringIO(
            make(".csv", CheckReport(claim, (Verdict(claim, 0, 26, "not_found", 1.0, "-"),))).decode()
        )
    )
    assert row["claim"] == f"'{claim}"


def test_claim_reviews_rate_what_was_found_only() -> None:
    reviews = json.loads(make(".jsonld"))["@graph"]
    assert {review["@type"] for review in reviews} == {"ClaimReview"}
    ratings = [review["reviewRating"] for review in reviews]  # the question is none of them
    assert [rating.get("ratingValue") for rating in ratings] == [5, 1, None]
    assert ratings[2]["alternateName"] == "Not found in the sources searched"
    quoted = reviews[0]["citation"][0]
    assert quoted["isPartOf"]["identifier"] == {
        "@type": "PropertyValue",
        "propertyID": "content_hash",
        "value": "0" * 64,
    }


@pytest.mark.parametrize("text", [*HOSTILE, "a\x00\x0b\ud800b"])
def test_no_text_breaks_a_form(text: str) -> None:
    answer = hostile_answer(text)
    verdict = Verdict(text, 0, len(text), "supported", 0.5, text, answer.citations)
    report = CheckReport(text, (verdict,))
    assert "script" not in {tag for tag, a in Page(make(".html", report).decode()).elements if a}
    assert b"</script" not in make(".jsonld", report)
    assert "[^claim-1-1]:" in make(".md", report).decode()
    assert text_of(make(".docx", report)).startswith("Draft <1>")
    assert len(list(csv.reader(io.StringIO(make(".csv", report).decode())))) == 2
    assert json.loads(make(".json", report))["claims"][0]["verdict"] == "supported"


def test_a_form_that_there_is_not_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"pack\.pdf cannot be written.*\.docx"):
        suffix_of(tmp_path / "pack.pdf")
    with pytest.raises(UsageError, match="there is no folder"):
        suffix_of(tmp_path / "none" / "pack.html")
