"""A conversation: what is said around an answer, what is offered next, what is kept of it and taken along."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from docx import Document as WordFile
from fake_library import DOCUMENTS, FakeLibrary

from kb import phrases, render
from kb.errors import SourceError
from kb.evaluate import read_cases
from kb.types import Answer, Difference, Sentence, Turn, Value
from kb.web import feedback, talk
from kb.web.offers import Offers
from kb.web.transcript import FORMATS, transcript

COST = "What will the repair of the harbour bridge cost?"
UNKNOWN = "Who painted the town hall of Utrecht?"
FAQ = "Why was the frost so harmful?"

# ------------------------------------------------------------------------------- around an answer


@pytest.mark.parametrize(
    ("days", "words"),
    [
        (["2026-05-09", "2026-05-02"], "2–9 May 2026"),
        (["2026-05-02"], "2 May 2026"),
        (["2026-05-02T08:00:00Z", None, "2026-05-02"], "2 May 2026"),
        (["2026-04-28", "2026-05-09"], "28 April – 9 May 2026"),
        (["2025-12-30", "2026-01-02"], "30 December 2025 – 2 January 2026"),
        (["2026-02", "2026-04"], "February–April 2026"),
        (["2025", "2026"], "2025–2026"),
        (["2026", "2026-05-09"], "2026 – 9 May 2026"),
        ([None], ""),
        ([], ""),
    ],
)
def test_a_span_of_days_is_said_shortly(days: list[str | None], words: str) -> None:
    assert talk.span_in_words(days) == words


def test_an_answer_says_from_when_it_is() -> None:
    answer = FakeLibrary().ask(COST)
    page = talk.conversation_html([answer], talk.Around("2026-05-12"))
    assert "Word for word from 1 article, 28 April 2026 · newest in the library 12 May 2026" in page
    worded = replace(answer, sentences=(replace(answer.sentences[0], support="supported"),))
    assert "From 1 article, 28 April 2026" in talk.reply_html(worded)
    undated = replace(answer, citations=tuple(replace(c, published=None) for c in answer.citations))
    assert phrases.AS_OF_UNDATED.format(articles="1 article") in talk.reply_html(undated)
    assert "as-of" not in talk.reply_html(FakeLibrary().ask(UNKNOWN))


@pytest.mark.parametrize("support", ["verbatim", "supported", "unsupported", "conflict"])
def test_every_sentence_says_how_it_is_borne_out(support: Any) -> None:
    answer = FakeLibrary().ask(COST)
    judged = replace(answer, sentences=tuple(replace(s, support=support) for s in answer.sentences))
    assert talk.reply_html(judged).count(phrases.SUPPORT[support]) >= len(answer.sentences)


def test_values_that_differ_are_shown_instead_of_the_notice() -> None:
    answer = FakeLibrary().ask(COST)
    old = Value("2026-03-04", "38 million euros", "elsewhere.md", "Elsewhere")
    new = Value("2026-04-28", "41 million euros", "harbour-bridge.md", "The harbour bridge")
    notices = ("Sources differ: 38; 41.", "Read “brige” as “bridge”.")
    page = talk.reply_html(replace(answer, differences=(Difference((old, new)),), notices=notices))
    assert phrases.DIFFER in page
    assert "38; 41" not in page
    assert "brige" in page
    first, second = page.split("<li>")[1:3]
    assert "4 March 2026" in first
    assert "data-doc" not in first  # it is not among the sources: there is nothing to open
    assert phrases.VALUE_NEWEST not in first
    assert f'data-doc="{new.document_id}"' in second
    assert phrases.VALUE_NEWEST in second
    changed = talk.reply_html(replace(answer, differences=(Difference((old, new), over_time=True),)))
    assert phrases.CHANGED in changed


def test_it_is_told_which_passages_were_used_and_why_the_others_were_not() -> None:
    fake = FakeLibrary()
    answer = fake.ask(COST)
    page = talk.conversation_html([answer])
    how = page[page.index('class="how"') :]
    for hit in answer.hits:
        assert f'data-start="{hit.passage.start}"' in how
    for citation in answer.citations:
        assert phrases.HOW_QUOTED.format(numbers=f"[{citation.n}]") in how
    assert phrases.HOW_SAME_SOURCE in how
    assert phrases.HOW_LOWER in how
    refused = talk.conversation_html([fake.ask(UNKNOWN)])
    assert refused.count(phrases.HOW_REJECTED) == len(fake.ask(UNKNOWN).hits)
    assert "80% sure that the documents do not answer it" in refused


def test_what_is_read_aloud_is_the_answer_and_not_the_page() -> None:
    answer = FakeLibrary().ask(COST)
    page = talk.conversation_html([answer])
    assert 'aria-live="off"' in page
    text = " ".join(sentence.text for sentence in answer.sentences)
    assert render.escape(phrases.READ_ANSWER.format(sources="3 sources", text=text)) in page
    assert "data-aloud" not in talk.conversation_html([answer], busy=True)


# ---------------------------------------------------------------------------------------- offers


def test_what_is_offered_has_been_asked() -> None:
    class Wrong(FakeLibrary):
        def key_questions(self, limit: int = 5) -> list[str]:
            return [UNKNOWN, *super().key_questions(limit)]

    offers = Offers(Wrong())
    assert UNKNOWN in offers.unchecked(5)
    assert offers.to_begin_with(5) == [COST, FAQ]
    assert offers.to_begin_with(1) == [COST]


def test_what_goes_on_is_near_and_new() -> None:
    fake = FakeLibrary()
    offers = Offers(fake)
    refused = fake.ask("What harm was done to the valley by the late frost of 1991?")
    near = offers.to_go_on_with(replace(refused, status="not_found"), [refused.question], 2)
    assert near[0] == FAQ
    assert FAQ not in offers.to_go_on_with(refused, [FAQ.upper()], 2)
    unlike = Answer("Zebras?", "not_found")
    assert offers.to_go_on_with(unlike, ["Zebras?", COST], 2) == [FAQ]
    assert offers.to_go_on_with(replace(unlike, status="answered"), [], 2) == []


def test_what_is_known_to_be_answered_is_offered_without_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    class Many(FakeLibrary):
        def key_questions(self, limit: int = 5) -> list[str]:
            return ["What did the council vote on the harbour?", "What did the bridge cost?", COST]

    fake = Many()
    offers, answer = Offers(fake), Answer("What of the repair of the bridge?", "answered")
    monkeypatch.setattr("kb.web.offers.TRIES", 0)  # nothing is asked for this
    assert offers.to_go_on_with(answer, [], 2) == []
    offers._answers(COST)
    assert offers.to_go_on_with(answer, [], 2) == [COST]


def test_what_may_be_offered_is_asked_while_nobody_else_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kb.web.offers.LULL_S", 0.01)
    busy, looked, done, stop = (threading.Event() for _ in range(4))
    busy.set()

    class Watched(FakeLibrary):
        def ask(self, question: str, **options: Any) -> Answer:
            answer = super().ask(question, **options)
            if len(self.asked) == 2:
                done.set()
            return answer

    def is_busy() -> bool:
        looked.set()
        return busy.is_set()

    fake = Watched()
    ahead = threading.Thread(target=Offers(fake).ask_ahead, args=[is_busy, stop])
    ahead.start()
    assert looked.wait(10)
    assert fake.asked == []
    busy.clear()
    assert done.wait(10)
    stop.set()
    ahead.join(10)
    assert not ahead.is_alive()
    assert [question for question, _ in fake.asked] == [COST, FAQ]


def test_offers_follow_the_library_and_are_asked_once() -> None:
    fake = FakeLibrary()
    offers = Offers(fake)
    offers.to_begin_with(5)
    asked = len(fake.asked)
    offers.to_begin_with(5)
    assert len(fake.asked) == asked
    fake.remove(["orchards.md"])
    assert FAQ not in offers.to_begin_with(5)


def test_without_questions_of_their_own_some_are_drafted_from_the_documents() -> None:
    class Plain(FakeLibrary):
        def key_questions(self, limit: int = 5) -> list[str]:
            return []

    offered = Offers(Plain()).to_begin_with(3)
    assert offered
    assert all(Plain().ask(question).status == "answered" for question in offered)


# --------------------------------------------------------------------------------------- ratings


def test_ratings_are_a_question_set(tmp_path: Path) -> None:
    fake = FakeLibrary()
    answer, refused = fake.ask(COST), fake.ask(UNKNOWN)
    history = [Turn("user", "What about the bridge?"), Turn("assistant", "It was closed.")]
    rows = [
        feedback.as_case(answer, history, "right"),
        feedback.as_case(refused, (), "right"),
        feedback.as_case(replace(answer, question="Wrong?"), (), "wrong", " 52 million euros "),
        feedback.as_case(
            replace(answer, question="Source?"), (), "wrong source", "See the council's minutes"
        ),
    ]
    assert all(feedback.keep(tmp_path, row) for row in rows)
    right, no_answer, wrong, source = read_cases(tmp_path / feedback.NAME)
    assert (right.question, right.history, right.answerable) == (COST, tuple(history), True)
    assert [e.quote for e in right.evidence] == [c.quote for c in answer.citations]
    assert not no_answer.answerable
    assert wrong.answers == ("52 million euros",)
    assert "41 million euros" in source.answers[0]
    assert not source.evidence


def test_a_rating_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    answer = FakeLibrary().ask(COST)
    for judged, note in (("wrong", ""), ("wrong", "52 million"), ("right", "")):
        assert feedback.keep(tmp_path, feedback.as_case(answer, (), judged, note))  # type: ignore[arg-type]
    other = feedback.as_case(replace(answer, question="Another?"), (), "wrong", "No.")
    assert feedback.keep(tmp_path, other)
    lines = (tmp_path / feedback.NAME).read_text("utf-8").splitlines()
    assert [json.loads(line)["judged"] for line in lines] == ["wrong", "wrong", "right", "wrong"]
    case, _ = read_cases(tmp_path / feedback.NAME)
    assert (case.question, case.answers) == (COST, ())
    assert [e.quote for e in case.evidence] == [c.quote for c in answer.citations]


@pytest.mark.parametrize("written", [3, 40, -30, -1])
def test_a_rating_that_was_half_written_spoils_no_other(tmp_path: Path, written: int) -> None:
    answer, file = FakeLibrary().ask(COST), tmp_path / feedback.NAME
    rows = [feedback.as_case(replace(answer, question=f"Bridge {n}?"), (), "right") for n in range(3)]
    for row in rows[:2]:
        assert feedback.keep(tmp_path, row)
    whole = file.read_bytes()
    begun = whole.index(b"\n") + 1
    torn = whole[begun:][:written]  # -1: all but the end of the line
    file.write_bytes(whole[:begun] + torn)
    known = ["Bridge 0?", "Bridge 1?"] if written == -1 else ["Bridge 0?"]
    assert [case.question for case in read_cases(file)] == known
    assert feedback.keep(tmp_path, rows[2])
    assert [case.question for case in read_cases(file)] == [*known, "Bridge 2?"]
    assert file.read_bytes().startswith(whole[:begun] + torn), "nothing that is there is written again"


def test_a_line_that_was_edited_amiss_is_named(tmp_path: Path) -> None:
    file = tmp_path / feedback.NAME
    assert feedback.keep(tmp_path, feedback.as_case(FakeLibrary().ask(COST), (), "right"))
    line = file.read_text("utf-8")
    file.write_text(line + line.replace('"judged": "right"', '"judged": right'), "utf-8")
    with pytest.raises(SourceError, match="row 2"):
        read_cases(file)


def test_where_nothing_can_be_written_nothing_is_lost_or_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = feedback.as_case(FakeLibrary().ask(COST), (), "right")
    assert not feedback.keep(tmp_path / "nowhere", row)
    (tmp_path / feedback.NAME).write_text("mine\n", "utf-8")
    monkeypatch.setattr(feedback, "LARGEST", 10)
    assert not feedback.keep(tmp_path, row)
    assert (tmp_path / feedback.NAME).read_text("utf-8") == "mine\n"


# ------------------------------------------------------------------------------------ transcripts


@pytest.mark.parametrize("suffix", sorted(FORMATS))
def test_a_conversation_is_taken_along_with_its_sources(suffix: str) -> None:
    fake = FakeLibrary()
    answers = [fake.ask(COST), fake.ask(UNKNOWN), Answer("Broken?", "error", error="It <b>broke</b>.")]
    made = transcript(answers, fake.info(), fake.documents(), suffix)
    assert made == transcript(answers, fake.info(), fake.documents(), suffix)
    if suffix == ".docx":
        text = "\n".join(paragraph.text for paragraph in WordFile(BytesIO(made)).paragraphs)
    else:
        text = made.decode("utf-8")
    for said in (COST, UNKNOWN, answers[0].citations[0].quote, "Ada Lund", "28 April 2026", render.REFUSAL):
        assert said in text
    assert "Hash of all documents" in text
    assert ("<b>broke</b>" in text) is (suffix == ".docx")  # where it is markup, it was escaped


def test_one_answer_has_its_question_as_title() -> None:
    fake = FakeLibrary()
    assert transcript([fake.ask(COST)], fake.info(), fake.documents(), ".md").startswith(f"# {COST}".encode())


# ----------------------------------------------------------------------------- long documents


def test_of_a_long_document_the_neighbourhood_of_the_quote_is_shown() -> None:
    lines = [f"Line {n} of a long document." for n in range(2000)]
    document = replace(DOCUMENTS[0], text="\n\n".join(lines), sections=())
    start = document.text.index("Line 1000 ")
    near = render.document_html(document, start, start + 9, near=500)
    assert "Line 999 " in near
    assert "Line 1001 " in near
    assert "Line 10 " not in near
    assert near.count("data-whole") == 2
    whole = render.document_html(document, start, start + 9)
    assert "Line 10 " in whole
    assert "data-whole" not in whole


def test_a_sentence_is_not_said_to_be_settled_while_it_grows() -> None:
    text = "The bridge is closed."
    growing = Answer("?", "answered", text, (Sentence(text, 0, len(text), (1,), "verbatim"),))
    assert "support" not in render.answer_html(growing)
