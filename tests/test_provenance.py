"""Copies counted once, corrections shown on every citation, values that changed over time."""

from __future__ import annotations

import html
from collections.abc import Iterator

import pytest

from ingest.sync import ingest
from kb import page, provenance, render
from kb.editions import correction
from kb.extract import Candidate, candidates
from kb.pipeline import KnowledgeBase
from kb.settings import Settings
from kb.store import Store
from kb.types import Answer, CheckReport, Hit, Passage, Source, Verdict
from kb.web import talk

WIRE = (
    "The harbour authority closed the old harbour bridge to all lorries on 3 March 2026, the agency reported."
)
OWN = (
    "On 3 March 2026 the old harbour bridge was closed to all lorries by the harbour authority, "
    "our reporter learned."
)
NOTICE = "Correction: An earlier version of this article named the wrong day of the council's vote."
ARTICLES = {
    "wire-1.md": ("The Quay", "2026-03-03", f"{WIRE}\n\nA ferry carries lorries across the harbour."),
    "wire-2.md": ("Coast Radio", "2026-03-04", f"{WIRE}\n\nDrivers are waiting for hours at the quay."),
    "wire-3.md": ("Valley Post", "2026-03-04", f"{WIRE}\n\nShops in the old town expect fewer customers."),
    "own.md": ("The Harbour Post", "2026-03-05", f"{OWN}\n\n{NOTICE}"),
    "cost-1.md": ("The Quay", "2026-04-01", "The repair of the harbour bridge will cost 41 million euros."),
    "cost-2.md": (
        "Coast Radio",
        "2026-05-20",
        "The repair of the harbour bridge will cost 52 million euros.",
    ),
    "cost-3.md": (
        "The Harbour Post",
        "2026-05-21",
        "The repair of the harbour bridge will cost 52 million euros.",
    ),
    "cost-4.md": (
        "The Quay",
        "2026-06-10",
        "The council now expects the repair of the harbour bridge to cost 58 million euros.",
    ),
    "quay.md": ("The Quay", "2026-06-11", "The repair of the quay wall will cost 7 million euros."),
    "tram.md": (
        "Coast Radio",
        "2026-05-21",
        "The tram to the airport carried 1.2 million passengers in May.",
    ),
}


@pytest.fixture(scope="module")
def kb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KnowledgeBase]:
    folder = tmp_path_factory.mktemp("provenance")
    for name, (publisher, published, text) in ARTICLES.items():
        head = (
            f"---\ntitle: {name.removesuffix('.md')}\npublisher: {publisher}\npublished: {published}\n---\n\n"
        )
        (folder / name).write_text(head + text + "\n", encoding="utf-8")
    settings = Settings(kb=folder / "kb")
    with Store.open(folder / "kb", settings, create=True) as store:
        assert not ingest([str(folder / name) for name in ARTICLES], store).failed
    with KnowledgeBase.open(folder / "kb", settings) as opened:
        yield opened


def checked(kb: KnowledgeBase, claim: str) -> Verdict:
    (verdict,) = kb.check(claim).claims
    return verdict


def everywhere(verdict: Verdict) -> Iterator[str]:
    """All that people read of a verdict."""
    report = CheckReport(verdict.claim, (verdict,))
    yield render.check_text(report)
    yield render.check_markdown(report, "c").replace("\\", "")
    yield html.unescape(page.claim_row(1, verdict))


# --------------------------------------------------------------------------------------- copies


def test_copies_of_one_text_are_one_witness(kb: KnowledgeBase) -> None:
    verdict = checked(
        kb, "The harbour authority closed the old harbour bridge to all lorries on 3 March 2026."
    )
    assert verdict.verdict == "supported"
    assert (verdict.articles, verdict.texts) == (4, 2)
    assert [c.document_id for c in verdict.citations][:2] == ["wire-1.md", "own.md"]  # other texts come first
    assert all("4 articles, 2 independent texts." in text for text in everywhere(verdict))


def test_a_single_article_needs_no_count(kb: KnowledgeBase) -> None:
    verdict = checked(kb, "The tram to the airport carried 1.2 million passengers in May.")
    assert (verdict.articles, verdict.texts) == (1, 1)
    assert not any("independent" in text for text in everywhere(verdict))


def test_a_text_with_another_figure_is_no_copy(kb: KnowledgeBase) -> None:
    verdict = checked(kb, "The repair of the harbour bridge will cost 52 million euros.")
    assert (verdict.articles, verdict.texts) == (2, 1)


# ---------------------------------------------------------------------------------- corrections


@pytest.mark.parametrize(
    ("text", "notice"),
    [
        (f"It was closed. It rained.\n\n{NOTICE}\n\nMore.", NOTICE),
        (
            "It was closed.\n\nCorrection (4 May): The vote was on Monday.",
            "Correction (4 May): The vote was on Monday.",
        ),
        (
            "It was closed. An earlier version of this story gave another day. It was changed.\n\nEnd.",
            "An earlier version of this story gave another day. It was changed.",
        ),
        ("*This article was amended on 4 May 2026.*", "*This article was amended on 4 May 2026.*"),
        ("The market saw a correction: shares fell. An earlier version of this phone broke.", None),
        ("He demanded a correction. Corrections are rare.", None),
        ("", None),
    ],
)
def test_a_notice_of_correction_is_found(text: str, notice: str | None) -> None:
    assert correction(text) == notice


def test_a_correction_is_shown_on_every_citation_of_its_article(kb: KnowledgeBase) -> None:
    verdict = checked(kb, "Since 3 March 2026 no lorry may use the old harbour bridge.")
    (citation,) = [c for c in verdict.citations if c.document_id == "own.md"]
    assert citation.correction == NOTICE
    assert {c.correction for c in verdict.citations if c.document_id != "own.md"} <= {None}
    assert all(NOTICE in text for text in everywhere(verdict))
    assert citation.to_dict()["correction"] == NOTICE


def test_a_correction_is_shown_with_answers_too(kb: KnowledgeBase) -> None:
    answer = kb.ask("What did our reporter learn about the old harbour bridge from the harbour authority?")
    assert [c.document_id for c in answer.citations] == ["own.md"]
    assert NOTICE in render.answer_text(answer)
    assert NOTICE in html.unescape(talk.reply_html(answer))
    assert Answer.from_dict(answer.to_dict()).citations == answer.citations


def test_of_the_same_words_the_first_to_print_them_is_cited(kb: KnowledgeBase) -> None:
    words = "The repair of the harbour bridge will cost 52 million euros."
    for question in (words, "What will the repair of the bridge cost?"):
        [hit] = [hit for hit in kb.search(question) if words in hit.passage.text]
        assert (hit.passage.document_id, hit.copies) == ("cost-2.md", ("cost-3.md",))
    asked_for = kb.search(f"The Harbour Post reported: {words}")
    [hit] = [hit for hit in asked_for if words in hit.passage.text]
    assert (hit.passage.document_id, hit.copies) == ("cost-3.md", ("cost-2.md",))


# ------------------------------------------------------------------------------------- timeline


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        ("The repair of the harbour bridge will cost 41 million euros.", "supported"),
        ("The repair of the harbour bridge will cost 52 million euros.", "supported"),
        ("The repair of the harbour bridge will cost 90 million euros.", "contradicted"),
    ],
)
def test_values_that_changed_are_told_in_order(kb: KnowledgeBase, claim: str, verdict: str) -> None:
    found = checked(kb, claim)
    assert found.verdict == verdict
    assert [(value.published, value.said) for value in found.timeline] == [
        ("2026-04-01", "41 million euros"),
        ("2026-05-20", "52 million euros"),
        ("2026-06-10", "58 million euros"),
    ]
    line = "Over time: 41 million euros (1 April 2026), then 52 million euros (20 May 2026), "
    line += "then 58 million euros (10 June 2026, newest)."
    assert all(line in text for text in everywhere(found))
    assert Verdict.from_dict(found.to_dict()).timeline == found.timeline


def test_what_never_changed_has_no_timeline(kb: KnowledgeBase) -> None:
    assert checked(kb, "The tram to the airport carried 1.2 million passengers in May.").timeline == ()
    assert checked(kb, "The tram to the airport carried 3 million passengers in May.").timeline == ()


# ---------------------------------------------------------------------------- sources that differ


def told(said: str, published: str | None, text: str, document_id: str) -> tuple[str, Candidate]:
    source = Source(document_id.title(), published=published)
    hit = Hit(Passage(document_id, 0, 0, len(text), text), source, 0.5, 1)
    (candidate,) = candidates([hit])
    return said, candidate


def test_what_two_say_of_different_names_has_not_changed() -> None:
    one = told(
        "52 million euros", "2026-05-02", "Marta Shipping paid 52 million euros for its ferries.", "one"
    )
    other = told("41 million euros", "2026-03-04", "Holm paid 41 million euros for its ferries.", "other")
    later = told("60 million euros", "2026-06-04", "For its ferries Holm paid 60 million euros.", "later")
    assert not provenance.differences([one, other])[0].over_time
    assert provenance.differences([other, later])[0].over_time


def test_values_that_differ_are_told_oldest_first() -> None:
    new = told("52 million euros", "2026-05-02", "The repair will cost 52 million euros.", "new")
    old = told("41 million euros", "2026-03-04T08:00", "The repair will cost 41 million euros.", "old")
    undated = told("10 euros", None, "A crossing by ferry costs 10 euros for a lorry.", "undated")
    (changed,) = provenance.differences([new, old])
    assert [(v.published, v.said, v.title) for v in changed.values] == [
        ("2026-03-04", "41 million euros", "Old"),
        ("2026-05-02", "52 million euros", "New"),
    ]
    assert changed.over_time
    (apart,) = provenance.differences([undated, new, old])
    assert [v.document_id for v in apart.values] == ["old", "new", "undated"]
    assert not apart.over_time
    assert provenance.differences([new]) == provenance.differences([]) == ()
    answer = Answer("?", "answered", differences=(changed, apart))
    assert Answer.from_dict(answer.to_dict()) == answer


BERLIN = ("3.4 million", "2014-01-01", "Berlin has 3.4 million inhabitants.")
REPAIRS = ("41 million euros", "2026-04-01", "Repairs to the bridge will cost 41 million euros.")


@pytest.mark.parametrize(
    ("old", "new", "over_time"),
    [
        # Two cities that differ are no city that has changed.
        (BERLIN, ("1.8 million", "2022-01-01", "Hamburg has 1.8 million inhabitants."), False),
        (BERLIN, ("3.7 million", "2022-01-01", "Berlin has 3.7 million inhabitants."), True),
        (BERLIN, ("3.7 million", "2022-01-01", "In 2022, Berlin has 3.7 million inhabitants."), False),
        (BERLIN, ("3.7 million", "2022-01-01", "\u201cBerlin has 3.7 million inhabitants now.\u201d"), True),
        (BERLIN, ("3.7 million", "2022-01-01", "Today, Berlin's inhabitants are 3.7 million."), True),
        (
            ("9 billion euros", "2014-01-01", "Boeing paid 9 billion euros in fines."),
            ("7 billion euros", "2022-01-01", "Italy paid 7 billion euros in fines."),
            False,
        ),
        # A word that opens one sentence and not the other has a capital, but is no name.
        (
            REPAIRS,
            ("52 million euros", "2026-05-01", "The repairs to the bridge cost 52 million euros."),
            True,
        ),
        (
            REPAIRS,
            ("52 million euros", "2026-05-01", "Meanwhile, repairs to the bridge cost 52 million euros."),
            True,
        ),
        (
            REPAIRS,
            ("52 million euros", "2026-05-01", "Repairs to the Quay bridge cost 52 million euros."),
            False,
        ),
        # Where the value opens the sentence, nothing else does.
        (
            ("Ada Quill", "2026-04-01", "Ada Quill runs the harbour office."),
            ("Ben Tide", "2026-05-01", "Ben Tide runs the harbour office."),
            True,
        ),
    ],
)
def test_a_change_over_time_is_of_one_thing(
    old: tuple[str, str, str], new: tuple[str, str, str], over_time: bool
) -> None:
    (found,) = provenance.differences([told(*old, "old"), told(*new, "new")])
    assert found.over_time is over_time
    (found,) = provenance.differences([told(*new, "new"), told(*old, "old")])
    assert found.over_time is over_time
