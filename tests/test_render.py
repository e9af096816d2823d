"""What is formatted and escaped: terminal text, JSON and HTML."""

from __future__ import annotations

import html
import json
import re
import shlex
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from fake_library import DOCUMENTS, FakeLibrary
from hypothesis import given
from hypothesis import strategies as st

from kb import render
from kb.types import Answer, CheckReport, Citation, Difference, Document, Section, Sentence, Value, Verdict
from kb.web import talk
from kb.web.draft import checked_html

COST = "What will the repair of the harbour bridge cost?"
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><svg onload=alert(1)>'",
    "&lt;b&gt; & <b>",
    "{{constructor}} ${alert(1)} `x`",
    "[a](javascript:alert(1)) **b** $x^2$",
    "</mark></p></article><iframe src=https://example.org>",
)
EVENTS = {"data-claim", "data-next", "data-step", "data-edit"} | {
    "data-doc",
    "data-start",
    "data-end",
    "data-question",
    "data-copy",
    "data-close",
}
ATTRIBUTES = EVENTS | {
    *("class", "id", "href", "dir", "role", "type", "value", "tabindex", "target", "rel"),
    *("aria-label", "aria-hidden", "aria-labelledby", "aria-busy", "aria-live"),
    *("data-pack", "data-sign", "data-place", "hidden", "title", "scope", "datetime"),
    *("data-n", "data-of", "data-act", "data-export", "data-print", "data-judge", "data-aloud", "data-told"),
    *("aria-pressed", "for", "maxlength", "autocomplete", "data-to", "data-close"),
}


class Page(HTMLParser):
    """Reads HTML as a browser would: its elements, and the text of those one asks for."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.marks: list[str] = []
        self.text = ""
        self._marking = False
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag == "mark":
            self._marking = True
            self.marks.append("")

    def handle_endtag(self, tag: str) -> None:
        if tag == "mark":
            self._marking = False

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._marking:
            self.marks[-1] += data

    def all(self, css: str) -> list[dict[str, str | None]]:
        return [attrs for _, attrs in self.elements if css in (attrs.get("class") or "").split()]


def hostile_answer(text: str, url: str | None = None) -> Answer:
    citation = Citation(1, text, text, text, text, text, url, text, 3, 0, len(text), text)
    sentence = Sentence(text, 0, len(text), (1,), "supported")
    return Answer(text, "answered", f"{text} [1]", (sentence,), (citation,), notices=(text,))


def every_page(text: str) -> list[str]:
    answer = hostile_answer(text, f"https://example.org/{'+'.join(text.split())}")
    hits = tuple(
        replace(
            hit,
            source=replace(hit.source, title=text),
            passage=replace(hit.passage, document_id=text, text=text),
        )
        for hit in FakeLibrary().search("harbour")
    )
    document = Document(
        text, text, text, text, "text/plain", "", text, text, text, text, sections=(Section(text, 1, 0),)
    )
    verdict = Verdict(text, 0, len(text), "supported", 0.5, text, answer.citations)
    values = (Value("2026-04-28", text, text, text), Value(f"2026-04-29 {text}", text, "another", text))
    differing = replace(answer, differences=(Difference(values),), notices=(text,), model=text)
    return [
        talk.conversation_html(
            [differing, Answer(text, "error", error=text), Answer(text, "not_found", hits=hits)],
            talk.Around(text, [text]),
        ),
        talk.told_html({"row": text}),
        render.document_html(document, 0, len(text)),
        checked_html(CheckReport(text, (verdict,))),
        talk.welcome_html([text], 3),
        render.panel_html(render.problem_html(text)),
        render.footer_html(3, text),
    ]


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_from_outside_becomes_an_element_or_attribute(text: str) -> None:
    tame = [[(tag, sorted(attrs)) for tag, attrs in Page(page).elements] for page in every_page("tame")]
    for page, expected in zip(every_page(text), tame, strict=True):
        found = [(tag, sorted(attrs)) for tag, attrs in Page(page).elements]
        assert found == expected
        assert {name for _, attrs in found for name in attrs} <= ATTRIBUTES


@given(st.text(alphabet="ab <>&\"'`${}[]\n", min_size=1, max_size=40))
def test_text_is_shown_as_it_was_written(text: str) -> None:
    shown = Page(
        render.answer_html(Answer("?", "answered", text, (Sentence(text, 0, len(text), (), "verbatim"),)))
    ).text
    assert shown == text


def test_markers_become_links_between_sentences_only() -> None:
    quote = "The sign was photographed [1]."
    citation = Citation(1, "d", "Title", "The Quay", None, "2026-04-28", None, None, None, 5, 35, quote)
    answer = Answer(
        "?", "answered", f"{quote} [1][7]", (Sentence(quote, 0, 30, (1,), "verbatim"),), (citation,)
    )
    page = Page(render.answer_html(answer, "q1"))
    assert page.text == quote + "1"  # the marker of the text stays text, [7] names nothing
    (link,) = page.all("cite")
    assert link["aria-label"] == "source 1 of 1, Title, The Quay, 28 April 2026"
    assert (link["data-doc"], link["data-start"], link["data-end"]) == ("d", "5", "35")
    assert link["href"] == "#q1-source-1"
    assert 'id="q1-source-1"' in render.sources_html(answer.citations, "q1")


def test_a_source_does_not_repeat_what_the_answer_says_word_for_word() -> None:
    answer = FakeLibrary().ask(COST)
    assert "<q " not in talk.reply_html(answer)
    reworded = replace(answer, sentences=tuple(replace(s, text="Other words.") for s in answer.sentences))
    assert talk.reply_html(reworded).count("<q ") == len(answer.citations)


@pytest.mark.parametrize(
    ("url", "linked"),
    [
        ("https://quay.example/a?b=1&c=2", True),
        ("http://quay.example", True),
        ("javascript:alert(1)", False),
        ("JaVaScRiPt:alert(1)//https://x", False),
        ("data:text/html,x", False),
        (" https://quay.example", False),
        ("https://quay.example/ onclick=x", False),
        ("https://quay.example/\njavascript:x", False),
        ("//quay.example", False),
        ("/library/file.pdf", False),
        (None, False),
    ],
)
def test_only_web_addresses_become_links(url: str | None, linked: bool) -> None:
    page = Page(render.document_html(replace(DOCUMENTS[0], url=url)))
    links = [attrs for tag, attrs in page.elements if tag == "a"]
    assert [link["href"] for link in links] == ([url] if linked else [])
    assert all(link["rel"] == "noopener noreferrer" for link in links)


@given(
    text=st.text(alphabet="ab<& \n", max_size=60),
    start=st.integers(-2, 65),
    end=st.integers(-2, 65),
    headings=st.sets(st.integers(0, 60)),
)
def test_the_marks_hold_exactly_the_quote(text: str, start: int, end: int, headings: set[int]) -> None:
    sections = tuple(Section("h", 1, offset) for offset in sorted(headings))
    page = Page(
        render.document_html(
            Document("d", "d", "Title", text, "text/plain", "", sections=sections), start, end
        )
    )
    quote = text[max(start, 0) : max(end, 0)]
    lines = [line for line in re.split(r"\n", quote) if line.strip()]
    assert [line for mark in page.marks for line in mark.split("\n") if line.strip()] == lines
    ids = [attrs.get("id") for tag, attrs in page.elements if tag == "mark"]
    assert ids == (["quote", *[None] * (len(ids) - 1)] if ids else [])
    shown = page.text.removeprefix("Title").removeprefix("h")
    assert re.sub(r"\s", "", shown).endswith(re.sub(r"\s", "", text))  # and the text is there whole


def test_a_quote_across_paragraphs_is_marked_in_each() -> None:
    text = DOCUMENTS[0].text
    start, end = text.index("Engineers"), text.index(" The city council")
    page = Page(render.document_html(DOCUMENTS[0], start, end))
    assert page.marks == [
        "Engineers had found cracks in two of its piers.",
        "The repair is expected to cost 41 million euros.",
    ]


def test_a_document_shows_where_the_quote_stands() -> None:
    text = DOCUMENTS[0].text
    start = text.index("It runs from five")
    document = replace(DOCUMENTS[0], page_starts=(0, 300))
    page = Page(render.document_html(document, start, start + 10))
    assert "The Quay · Ada Lund · 28 April 2026 · The new ferry · page 2" in page.text
    headings = [tag for tag, _ in page.elements if tag in ("h2", "h3", "h4")]
    assert headings == ["h2", "h3", "h3"]  # the title once, in the header
    assert page.text.count("The harbour bridge") == 2


@pytest.mark.parametrize(
    ("published", "words"),
    [
        ("2026-04-28", "28 April 2026"),
        ("2026-04-08T10:00:00Z", "8 April 2026"),
        ("2026-04", "April 2026"),
        ("2026", "2026"),
        ("2026-13", "2026"),
        ("last spring", "last spring"),
        ("", ""),
        (None, ""),
    ],
)
def test_dates_are_put_in_words(published: str | None, words: str) -> None:
    assert render.date_in_words(published) == words


def test_an_answer_for_the_terminal() -> None:
    answer = FakeLibrary().ask(COST)
    shown = render.answer_text(replace(answer, notices=("Two sources disagree.",)))
    first = answer.citations[0]
    assert shown.startswith(
        answer.text + "\n\n[1] The harbour bridge\n    The Quay · Ada Lund · 28 April 2026 · "
    )
    assert (
        f"    “{first.quote}”\n    kbqa show harbour-bridge.md --start {first.start} --end {first.end}"
        in shown
    )
    assert shown.endswith("\n\nNote: Two sources disagree.")


def test_a_refusal_for_the_terminal_shows_three_passages() -> None:
    answer = FakeLibrary().ask("Who painted the town hall of Utrecht?")
    shown = render.answer_text(answer)
    assert shown.startswith(render.REFUSAL)
    assert shown.count("kbqa show") == 3
    assert render.answer_text(Answer("?", "not_found")) == render.REFUSAL


def test_the_command_it_names_survives_a_shell() -> None:
    odd = DOCUMENTS[2].id
    assert shlex.split(render.show_command(odd, 1, 2)) == ["kbqa", "show", odd, "--start", "1", "--end", "2"]


def test_the_terminal_is_not_driven_by_a_document() -> None:
    shown = render.answer_text(hostile_answer("red \x1b[31m bell \x07 \u202etxet\u202c end"))
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", shown)
    assert "end" in shown


def test_an_error_is_its_sentence() -> None:
    assert render.answer_text(Answer("?", "error", error="Type a question.")) == "Type a question."
    assert "Type a question." in talk.reply_html(Answer("?", "error", error="Type a question."))


def test_verdicts_for_the_terminal_and_the_page() -> None:
    claim = "The repair costs 50 million euros."
    citation = FakeLibrary().ask(COST).citations[0]
    verdict = Verdict(
        claim, 4, 4 + len(claim), "contradicted", 0.9, "The source says 41 million.", (citation,)
    )
    report = CheckReport(f"So: {claim} <End>", (verdict,))
    text = render.check_text(report)
    assert text.startswith(f"Contradicted: {claim}\nThe source says 41 million.\n    The harbour bridge")
    page = Page(checked_html(report))
    assert f"So: {claim} <End>" in page.text
    (shown,) = (attributes for _, attributes in page.elements if "data-claim" in attributes)
    assert shown["aria-label"] == f"Contradicted: {claim}"
    assert render.check_text(CheckReport("")) == "There is no claim to check in this text."
    assert render.check_text(CheckReport("", error="Too long.")) == "Too long."


def test_hits_and_documents_for_the_terminal() -> None:
    library = FakeLibrary()
    hits = library.search("ferry lorries", top=2)
    lines = render.hits_text(hits).split("\n")
    assert lines[0] == f"1. {hits[0].score:.2f}  The harbour bridge"
    assert render.hits_text(()) == "No passages found."
    rows = render.documents_text(library.documents()).split("\n")
    assert len(rows) == 3
    assert rows[0].split("  ")[0] == "harbour-bridge.md"
    assert {row.index("4 passages") for row in rows} == {rows[0].index("4 passages")}
    assert render.documents_text([]) == "No documents."


def test_json_is_the_contract_readable_and_always_encodable() -> None:
    answer = FakeLibrary().ask("ferry lorries harbour “é”")
    shown = render.to_json(answer)
    assert json.loads(shown) == answer.to_dict()
    assert "“é”" in shown
    assert json.loads(render.to_json(answer.hits)) == [hit.to_dict() for hit in answer.hits]
    assert json.loads(render.to_json({"documents": 3})) == {"documents": 3}
    assert (
        json.loads(render.to_json(Answer("bad \udcff byte", "error")).encode().decode())["question"]
        == "bad \udcff byte"
    )


def test_copied_text_carries_its_sources() -> None:
    answer = FakeLibrary().ask(COST)
    copied = render.copy_text(answer)
    assert copied.startswith(
        f"{COST}\n\n{answer.text}\n\n[1] The harbour bridge, The Quay, Ada Lund, 28 April 2026"
    )
    assert "https://quay.example/bridge?a=1&b=2" in copied
    assert html.escape(copied) in talk.conversation_html([answer])


def test_while_an_answer_grows_there_is_nothing_to_copy() -> None:
    growing = talk.conversation_html([Answer("Why?", "answered")], busy=True)
    assert 'aria-busy="true"' in growing
    assert "data-copy" not in growing


def test_an_empty_library_says_how_to_fill_it() -> None:
    assert "kbqa ingest FOLDER" in talk.welcome_html([], 0)


def test_a_passage_is_shown_from_below_its_heading() -> None:
    (hit,) = FakeLibrary().search("ferry lorries", top=1)
    passage = replace(hit.passage, text="Key Questions\n\nWhy?\n\nBecause of it.", section="Why?")
    shown = render.hits_text([replace(hit, passage=passage)])
    assert "\n   Because of it.\n" in shown
    alone = replace(hit, passage=replace(passage, text="Why?\n"))
    assert "\n   Why?\n" in render.hits_text([alone])


def test_excerpts_end_at_a_word() -> None:
    assert render.excerpt("one two\nthree", 100) == "one two three"
    assert render.excerpt("one two three", 10) == "one two …"
    assert render.excerpt("x" * 50, 10) == "x" * 10 + " …"


# ---------------------------------------------------------------------------------------- addresses


def test_an_address_leads_to_the_quote() -> None:
    quote = "The repair, a long-awaited one, is expected to cost 41 million euros & more."
    address = render.web_address("https://quay.example/bridge?a=1&b=2", quote)
    assert address == (
        "https://quay.example/bridge?a=1&b=2#:~:text="
        "The%20repair%2C%20a%20long%2Dawaited%20one%2C,41%20million%20euros%20%26%20more."
    )
    assert render.web_address("https://quay.example/#top", "Short quote.") == (
        "https://quay.example/#top:~:text=Short%20quote."
    )
    assert render.web_address("https://quay.example/", "") == "https://quay.example/"
    assert render.web_address("javascript:alert(1)", quote) is None
    assert render.web_link(None, "<b>") == "&lt;b&gt;"


def test_a_sentence_in_doubt_says_so_where_it_is_read() -> None:
    answer = FakeLibrary().ask(COST)
    assert "doubt" not in render.answer_html(answer)
    first = replace(answer.sentences[0], support="conflict")
    doubted = replace(answer, sentences=(first, *answer.sentences[1:]))
    assert "the source it names says otherwise</span>" in render.answer_html(doubted)
    assert "Careful, the source it names says otherwise: The" in render.answer_text(doubted)
