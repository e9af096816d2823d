"""The page in a real headless Chromium, over a knowledge base made from ``seeds/`` and over a small fake one.

Every test also sees to it that the page asked nothing of another machine and wrote no error to the console.
With ``KBQA_SCREENSHOTS=FOLDER`` the screenshots are left there, for a person to look at.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from fake_library import DOCUMENTS, FakeLibrary, serving
from playwright.sync_api import Browser, Page, expect

from ingest.draft import read_draft
from kb import phrases, render
from kb.evaluate import read_cases
from kb.pipeline import KnowledgeBase
from kb.settings import Settings
from kb.types import Answer, Difference, Turn, Value
from kb.web.ask import Ask, Past, Step

ROOT = Path(__file__).parent.parent
WHEN = "When was the AI Diffusion rule issued?"
AND_THEN = "And when was it withdrawn?"
UNKNOWN = "Who is the mayor of Utrecht?"
COST = "What will the repair of the harbour bridge cost?"
FERRY = "How often does the ferry carry lorries across the harbour?"
# What Gradio says of events that still ran when somebody left the page.
LEAVING = ("AbortError: signal is aborted", "Connection errored out")
Open = Callable[..., Page]
Shoot = Callable[[Page, str], None]


class Library(FakeLibrary):
    """Its sources differ on the cost, and it takes its time when asked slowly."""

    def ask(self, question: str, **options: Any) -> Answer:
        answer = super().ask(question.removesuffix(" Slowly."), **options)
        if question.endswith(" Slowly."):
            time.sleep(2)
        if answer.status != "answered" or "cost" not in question:
            return answer
        bridge = DOCUMENTS[0]
        values = (
            Value("2026-03-04", "38 million euros", "unknown.md", "An older report"),
            Value("2026-04-28", "41 million euros", bridge.id, bridge.title),
        )
        return replace(answer, differences=(Difference(values, over_time=True),))


@pytest.fixture(scope="module")
def kb(starter: KnowledgeBase) -> KnowledgeBase:
    return starter


@pytest.fixture(scope="module")
def address(kb: KnowledgeBase) -> Iterator[str]:
    with serving(kb) as address:
        yield address


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the small knowledge base keeps what visitors say of its answers."""
    return tmp_path_factory.mktemp("kb")


@pytest.fixture(scope="module")
def small(folder: Path) -> Iterator[str]:
    """The address of the page over three documents."""
    with serving(Library(settings=Settings(kb=folder, cache=folder / "cache"))) as address:
        yield address


@pytest.fixture
def shoot(tmp_path: Path) -> Shoot:
    """Take a screenshot."""
    place = Path(os.environ.get("KBQA_SCREENSHOTS") or tmp_path)
    place.mkdir(parents=True, exist_ok=True)
    return lambda page, name: page.screenshot(path=place / f"{name}.png") and None


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Open]:
    """Open the page as a new visitor; afterwards: no foreign request, no error, no dialog."""
    contexts, trouble = [], []

    def open_page(
        address: str, width: int = 1280, height: int = 860, theme: str = "light", query: str = ""
    ) -> Page:
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=address)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        expect.set_options(timeout=15_000)

        def watch_request(url: str) -> None:
            if not url.startswith((f"{address}/", "data:", "blob:")):
                trouble.append(f"requested {url}")

        page.on("request", lambda request: watch_request(request.url))
        page.on("websocket", lambda socket: trouble.append(f"opened {socket.url}"))
        page.on(
            "console",
            lambda said: (
                said.type != "error"
                or any(leaving in said.text for leaving in LEAVING)
                or trouble.append(f"console: {said.text}")
            ),
        )
        page.on("pageerror", lambda error: trouble.append(f"page error: {error}"))
        page.on("dialog", lambda dialog: (trouble.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.goto(f"{address}/{query}")
        expect(page.locator(".exchange" if query else ".welcome h1").first).to_be_visible()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert trouble == []


def ask(page: Page, question: str, n: int = 1) -> Any:
    """Type a question, send it with Enter and wait until exchange ``n`` is answered."""
    page.locator("#question textarea").fill(question)
    page.keyboard.press("Enter")
    exchange = page.locator(f"#q{n}[aria-busy=false]")
    expect(exchange).to_be_visible()
    return exchange


def words(text: str) -> str:
    return " ".join(text.split())


def marked(page: Page) -> str:
    return words(" ".join(page.locator("#source mark").all_text_contents()))


# --------------------------------------------------------------------------------------- the path


def test_a_key_question_leads_to_its_sentence_in_the_document(
    kb: KnowledgeBase, address: str, visit: Open, tmp_path: Path
) -> None:
    page = visit(address)
    question = kb.key_questions(5)[0]
    page.get_by_role("button", name=question).click()
    exchange = page.locator("#q1[aria-busy=false]")
    expect(exchange.locator(".question")).to_have_text(question)
    answer = kb.ask(question)
    assert words(exchange.locator(".answer-text").inner_text()) == words(
        re.sub(r" ?\[(\d+)\]", r"\1", answer.text)
    )
    for citation in answer.citations:
        exchange.locator(".answer-text .cite", has_text=str(citation.n)).first.click()
        expect(page.locator("#source .document-title")).to_have_text(citation.title)
        expect(page.locator("#quote")).to_be_in_viewport()
        expect(page.locator("#quote")).to_be_focused()
        assert marked(page) == words(citation.quote)
        expect(exchange.locator(".answer-text .cite").last).to_be_in_viewport()  # the answer stays beside it
        facts = page.locator("#source .facts").inner_text()
        for known in (citation.publisher, citation.author, render.date_in_words(citation.published)):
            assert not known or known in facts
    sources = exchange.locator(".sources li")
    assert sources.locator(".cite").count() == len(answer.citations)
    sources.locator(".cite").last.click()
    expect(page.locator("#quote")).to_be_focused()
    assert marked(page) == words(answer.citations[-1].quote)


def test_a_refusal_shows_the_closest_passages_and_opens_them(
    kb: KnowledgeBase, address: str, visit: Open
) -> None:
    page = visit(address)
    exchange = ask(page, UNKNOWN)
    expect(exchange.locator(".refusal")).to_have_text(render.REFUSAL)
    closest = kb.ask(UNKNOWN).hits[:3]
    links = exchange.locator(".closest").get_by_role("link")
    assert links.count() == len(closest) == 3
    for n, hit in enumerate(closest):
        links.nth(n).click()
        expect(page.locator("#source .document-title")).to_have_text(hit.source.title)
        expect(page.locator("#quote")).to_be_in_viewport()
        expect(page.locator("#quote")).to_be_focused()  # the new one: two may be of the same document
        assert marked(page) in words(hit.passage.text)


def test_a_follow_up_is_understood(kb: KnowledgeBase, address: str, visit: Open) -> None:
    page = visit(address)
    ask(page, WHEN)
    exchange = ask(page, AND_THEN, 2)
    history = [Turn("user", WHEN), Turn("assistant", kb.ask(WHEN).text)]
    expected = kb.ask(AND_THEN, history=history)
    assert expected.status == "answered"
    assert words(exchange.locator(".answer-text").inner_text()).startswith(words(expected.sentences[0].text))
    expect(exchange.locator(".question")).to_be_in_viewport()


def test_the_panel_stays_beside_the_newest_answer(address: str, visit: Open) -> None:
    page = visit(address)
    for n in (1, 2, 3):
        ask(page, UNKNOWN, n)
    exchange = ask(page, WHEN, 4)
    expect(page.locator("#q3 .question")).not_to_be_in_viewport()  # what was said before has scrolled away
    exchange.locator(".cite").first.click()
    expect(page.locator("#source .document-title")).to_be_in_viewport()
    expect(page.locator("#quote")).to_be_in_viewport()
    expect(exchange.locator(".question")).to_be_in_viewport()


def test_the_keyboard_alone_is_enough(address: str, visit: Open) -> None:
    page = visit(address)
    expect(page.locator("#question textarea")).to_be_focused()
    page.keyboard.type(WHEN)
    page.keyboard.press("Enter")
    cite = page.locator("#q1[aria-busy=false] .cite").first
    expect(cite).to_be_visible()
    for _ in range(30):
        page.keyboard.press("Shift+Tab")
        if cite.evaluate("link => link === document.activeElement"):
            break
    expect(cite).to_be_focused()
    assert re.match(r"source 1 of \d+, .+", cite.get_attribute("aria-label") or "")
    assert cite.evaluate("link => getComputedStyle(link).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.locator("#quote")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("#source .panel")).to_have_count(0)
    expect(cite).to_be_focused()
    page.keyboard.press("Enter")  # and it opens again
    expect(page.locator("#quote")).to_be_focused()
    page.keyboard.press("Escape")
    export = page.locator("#q1 .menu summary")
    for _ in range(20):
        page.keyboard.press("Tab")
        if export.evaluate("one => one === document.activeElement"):
            break
    assert export.evaluate("one => getComputedStyle(one).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    with page.expect_download() as begun:
        page.keyboard.press("Enter")
    assert begun.value.suggested_filename == "answer.md"
    assert WHEN in Path(begun.value.path()).read_text("utf-8")


def test_a_new_conversation_forgets_the_old_one(kb: KnowledgeBase, address: str, visit: Open) -> None:
    page = visit(address)
    ask(page, WHEN).locator(".cite").first.click()
    expect(page.locator("#quote")).to_be_visible()
    page.get_by_role("button", name=phrases.NEW_NAME).click()
    expect(page.locator(".welcome h1")).to_be_visible()
    expect(page.locator("#source .panel")).to_have_count(0)
    expect(page.locator(".exchange")).to_have_count(0)
    exchange = ask(page, AND_THEN)  # alone it says nothing about a rule
    alone = kb.ask(AND_THEN)
    shown = ".refusal" if alone.status == "not_found" else ".answer-text"
    expect(exchange.locator(shown)).to_be_visible()


def test_copying_takes_the_sources_along(kb: KnowledgeBase, address: str, visit: Open) -> None:
    page = visit(address)
    ask(page, WHEN).get_by_role("button", name="Copy with sources").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == render.copy_text(kb.ask(WHEN))


def test_two_visitors_at_once_see_only_their_own(address: str, visit: Open) -> None:
    ann, bob = visit(address), visit(address)
    for page, question in ((ann, WHEN), (bob, UNKNOWN)):
        page.locator("#question textarea").fill(question)
    ann.keyboard.press("Enter")
    bob.keyboard.press("Enter")
    expect(ann.locator("#q1[aria-busy=false] .question")).to_have_text(WHEN)
    expect(bob.locator("#q1[aria-busy=false] .question")).to_have_text(UNKNOWN)
    assert ann.locator(".exchange").count() == bob.locator(".exchange").count() == 1


def test_a_question_that_is_too_long_is_refused_and_kept(address: str, visit: Open) -> None:
    page = visit(address)
    exchange = ask(page, "why " * 600)
    expect(exchange.locator(".problem")).to_contain_text("keep it under 2,000")
    assert len(page.locator("#question textarea").input_value()) > 2_000


# ------------------------------------------------------------------------------------ the answer


def test_values_that_changed_are_told_in_order_and_open(small: str, visit: Open) -> None:
    page = visit(small)
    card = ask(page, COST).get_by_role("region", name=phrases.CHANGED)
    told = card.locator("li").all_inner_texts()
    assert ["38 million euros" in told[0], "41 million euros" in told[1]] == [True, True]
    expect(card.locator("li").last).to_contain_text(phrases.VALUE_NEWEST)
    expect(page.locator("#q1 .as-of")).to_have_text(
        "Word for word from 1 article, 28 April 2026 · newest in the library 12 May 2026"
    )
    expect(page.locator("#q1 .answer-text").get_by_role("img")).to_have_count(3)
    card.get_by_role("link").click()
    expect(page.locator("#quote")).to_be_visible()
    assert "41 million euros" in marked(page)


def test_the_sources_of_an_answer_are_gone_through_in_the_panel(small: str, visit: Open) -> None:
    page = visit(small)
    exchange = ask(page, COST)
    exchange.locator(".answer-text .cite").first.click()
    name, ahead = page.locator("#source .panel-name"), page.get_by_role("button", name=phrases.SOURCE_NEXT)
    expect(name).to_have_text(f"Source 1 of 3 · {COST}")
    expect(page.get_by_role("button", name=phrases.SOURCE_PREVIOUS)).to_be_disabled()
    ahead.click()
    expect(name).to_have_text(f"Source 2 of 3 · {COST}")
    assert "41 million euros" in marked(page)
    ahead.click()
    expect(ahead).to_be_disabled()
    bar, title = page.locator(".panel-bar").bounding_box(), page.locator(".document-title").bounding_box()
    assert bar is not None
    assert title is not None
    assert title["y"] >= bar["y"] + bar["height"]  # the button lies over no text
    page.keyboard.press("Escape")
    expect(exchange.locator(".answer-text .cite").last).to_be_focused()


def test_the_source_opens_within_a_fifth_of_a_second(small: str, visit: Open) -> None:
    page = visit(small)
    ask(page, COST)
    seconds = page.evaluate(
        """async () => {
          const links = [...document.querySelectorAll('#q1 .answer-text .cite')], taken = [];
          for (let n = 0; n < 9; n++) {
            const link = links[n % links.length], begun = performance.now();
            link.click();
            const marked = () => document.querySelector('#quote')?.textContent;
            const before = marked();
            while (!marked() || marked() === before) await new Promise(requestAnimationFrame);
            taken.push((performance.now() - begun) / 1000);
          }
          return taken;
        }"""
    )
    assert min(seconds) < 0.2  # the best of nine: the machine may be busy with other things


def test_a_question_is_edited_and_asked_again(small: str, visit: Open) -> None:
    page = visit(small)
    ask(page, UNKNOWN)
    ask(page, COST, 2)
    page.locator("#q2").get_by_role("button", name=phrases.EDIT_NAME).click()
    box = page.locator("#q2 .editing textarea")
    expect(box).to_be_focused()
    page.keyboard.press("Escape")  # nothing happened
    expect(page.locator("#q2 .question")).to_have_text(COST)
    page.keyboard.press("Enter")
    box.fill(FERRY)
    page.keyboard.press("Enter")
    expect(page.locator("#q2[aria-busy=false] .question")).to_have_text(FERRY)
    expect(page.locator("#q2 .answer-text")).to_contain_text("every twenty minutes")
    expect(page.locator("#q2 .question")).to_be_focused()
    page.locator("#q1").get_by_role("button", name=phrases.AGAIN).click()
    expect(page.locator(".exchange")).to_have_count(1)  # what came after it stood on it
    expect(page.locator("#q1 .refusal")).to_be_visible()


def test_a_question_sent_before_the_last_event_has_ended_is_asked(
    visit: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The browser hears that an event has ended some time after it has drawn its last step."""

    def slow_to_end(self: Ask, question: str, past: Past) -> Iterator[Step]:
        yield from answer(self, question, past)
        time.sleep(0.5)

    answer = Ask.answer
    monkeypatch.setattr(Ask, "answer", slow_to_end)
    with serving(Library(settings=Settings(kb=tmp_path, cache=tmp_path / "cache"))) as address:
        page = visit(address)
        ask(page, COST)
        ask(page, FERRY, 2)
        expect(page.locator("#question textarea")).to_have_value("")


def test_while_an_answer_grows_the_next_question_waits_in_its_box(small: str, visit: Open) -> None:
    page = visit(small)
    box = page.locator("#question textarea")
    ask(page, UNKNOWN)
    box.fill(f"{COST} Slowly.")
    box.press("Enter")
    expect(page.locator("#q2[aria-busy=true]")).to_be_visible()
    page.locator("#q1").get_by_role("button", name=phrases.AGAIN).click()  # it would undo what is under way
    box.fill(FERRY)
    box.press("Enter")
    expect(box).to_have_value(FERRY)
    expect(page.locator("#q2[aria-busy=false] .answer-text")).to_contain_text("41 million euros")
    expect(page.locator(".exchange")).to_have_count(2)
    box.press("Enter")
    expect(page.locator("#q3[aria-busy=false] .question")).to_have_text(FERRY)


def test_while_an_answer_grows_the_history_waits_and_what_was_written_stays(small: str, visit: Open) -> None:
    page = visit(small)
    ask(page, COST)
    ask(page, FERRY, 2)
    page.get_by_role("button", name=phrases.NEW_NAME).click()
    expect(page.locator(".welcome h1")).to_be_visible()
    box = page.locator("#question textarea")
    box.fill(f"{UNKNOWN} Slowly.")
    box.press("Enter")
    expect(page.locator("#q1[aria-busy=true]")).to_be_visible()
    box.fill("And who")
    page.get_by_role("button", name=phrases.HISTORY).click()
    past = page.get_by_role("dialog", name=phrases.HISTORY_TITLE)
    earlier = past.get_by_role("button", name=COST, exact=True)
    expect(earlier).to_be_disabled()
    expect(past.get_by_role("status")).to_have_text(phrases.HISTORY_BUSY)
    expect(earlier).to_be_enabled()  # once the answer is there
    expect(past.get_by_role("status")).to_have_text(phrases.HISTORY_LEAD)
    earlier.click()
    expect(page.locator("#q3[aria-busy=false] .question")).to_have_text(FERRY)  # both of that conversation
    expect(page.locator("#q2 .question")).to_have_text(COST)
    expect(box).to_have_value("And who")


@pytest.mark.parametrize(("width", "height"), [(1280, 860), (390, 844)])
def test_an_earlier_answer_stays_in_sight_while_a_question_is_typed(
    small: str, visit: Open, width: int, height: int
) -> None:
    page = visit(small, width, height)
    page.emulate_media(reduced_motion="reduce")
    for n in (1, 2, 3):
        ask(page, UNKNOWN, n)
    page.evaluate("scrollTo(0, 0)")
    expect(page.locator("#q1 .question")).to_be_in_viewport()
    expect(page.locator("#q3 .question")).not_to_be_in_viewport()
    top = page.evaluate("scrollY")
    box = page.locator("#question textarea").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 20, box["y"] + 10)
    page.keyboard.type("And then?", delay=20)
    assert page.evaluate("scrollY") == top
    for _ in range(8):  # and what the keyboard goes to is above the box, not behind it
        page.keyboard.press("Shift+Tab")
        if not page.evaluate("document.querySelector('#asking').contains(document.activeElement)"):
            break
    reached = page.evaluate("document.activeElement.getBoundingClientRect().bottom")
    assert 0 < reached <= page.evaluate("document.querySelector('#asking').getBoundingClientRect().top")


def test_an_answer_is_stopped_and_can_be_had_again(small: str, visit: Open) -> None:
    page = visit(small)
    page.locator("#question textarea").fill(f"{COST} Slowly.")
    page.keyboard.press("Enter")
    expect(page.locator("#ask-aloud")).to_have_text(phrases.PENDING)
    page.get_by_role("button", name=phrases.STOP).click()
    expect(page.locator("#q1[aria-busy=false] .problem")).to_have_text(phrases.STOPPED)
    expect(page.get_by_role("button", name=phrases.STOP)).to_be_hidden()
    page.locator("#q1").get_by_role("button", name=phrases.AGAIN).click()
    expect(page.locator("#q1[aria-busy=false] .answer-text")).to_contain_text("41 million euros")


def test_what_is_new_is_read_aloud_once(small: str, visit: Open) -> None:
    page = visit(small)
    aloud = page.locator("#ask-aloud")
    expect(aloud).to_have_attribute("role", "status")
    ask(page, FERRY)
    expect(aloud).to_contain_text("a ferry carries lorries across the harbour every twenty minutes")
    ask(page, UNKNOWN, 2)
    expect(aloud).to_have_text(phrases.READ_REFUSAL)
    assert page.locator(".conversation").get_attribute("aria-live") == "off"


def test_a_refusal_offers_a_question_that_is_answered(small: str, visit: Open) -> None:
    page = visit(small)
    refused = ask(page, "Who painted the harbour?")
    expect(refused.locator(".refusal")).to_be_visible()
    offered = refused.get_by_role("list", name=phrases.ANSWERABLE).get_by_role("button")
    question = offered.first.inner_text()
    offered.first.click()
    expect(page.locator("#q2[aria-busy=false] .answer-text")).to_be_visible()
    expect(page.locator("#q2 .question")).to_have_text(question)


# ----------------------------------------------------------------------------- taking it along


def test_an_answer_and_a_conversation_are_taken_along(small: str, visit: Open, tmp_path: Path) -> None:
    page = visit(small)
    ask(page, COST)
    ask(page, UNKNOWN, 2)
    for place, stem in ((page.locator("#q1 .tools"), "answer"), (page.locator(".dock"), "conversation")):
        for suffix, name in phrases.EXPORTS.items():
            place.locator(".menu summary").click()
            with page.expect_download() as begun:
                place.get_by_role("button", name=name).click()
            assert begun.value.suggested_filename == f"{stem}{suffix}"
            begun.value.save_as(tmp_path / f"{stem}{suffix}")
            made = tmp_path / f"{stem}{suffix}"
            text = read_draft(made) if suffix == ".docx" else made.read_text("utf-8")
            assert "41 million euros" in text
            assert (UNKNOWN in text) is (stem == "conversation")


def test_it_prints_answers_and_sources_and_nothing_else(small: str, visit: Open, tmp_path: Path) -> None:
    page = visit(small, theme="dark")
    ask(page, COST)
    ask(page, UNKNOWN, 2)
    page.evaluate("window.print = () => { window.printed = document.querySelectorAll('.only').length; }")
    page.locator("#q1 .menu summary").click()
    page.locator("#q1").get_by_role("button", name=phrases.PRINT).click()
    assert page.evaluate("window.printed") == 1
    page.emulate_media(media="print")
    page.pdf(path=tmp_path / "printed.pdf")
    text = words(read_draft(tmp_path / "printed.pdf"))
    assert words(COST) in text
    assert "41 million euros" in text
    assert UNKNOWN in text
    for tool in (phrases.COPY_SOURCES, phrases.HISTORY, phrases.JUDGE, phrases.HOW):
        assert tool not in text
    assert page.evaluate("getComputedStyle(document.querySelector('.answer-text')).color") == "rgb(0, 0, 0)"


def test_a_link_asks_again(small: str, visit: Open) -> None:
    page = visit(small)
    ask(page, COST)
    page.locator("#q1").get_by_role("button", name=phrases.LINK_NAME).click()
    expect(page.locator("#q1 [data-act=link]")).to_have_text(phrases.COPIED)
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{small}/?q=")
    other = visit(small, query=link.removeprefix(f"{small}/"))
    expect(other.locator("#q1[aria-busy=false] .answer-text")).to_contain_text("41 million euros")
    ask(page, UNKNOWN, 2)
    page.get_by_role("button", name=phrases.LINK_ALL_NAME).click()
    expect(page.locator("[data-act=link-all]")).to_have_text(phrases.COPIED)
    both = visit(small, query=page.evaluate("navigator.clipboard.readText()").removeprefix(f"{small}/"))
    expect(both.locator("#q2[aria-busy=false] .refusal")).to_be_visible()
    expect(both.locator("#q1 .question")).to_have_text(COST)


def test_the_history_is_this_browsers_own_and_can_be_deleted(small: str, visit: Open) -> None:
    page = visit(small)
    ask(page, COST)
    ask(page, UNKNOWN, 2)
    page.get_by_role("button", name=phrases.NEW_NAME).click()
    expect(page.locator(".welcome h1")).to_be_visible()
    ask(page, FERRY)
    page.reload()
    expect(page.locator(".welcome h1")).to_be_visible()
    page.get_by_role("button", name=phrases.HISTORY).click()
    past = page.get_by_role("dialog", name=phrases.HISTORY_TITLE)
    expect(past.locator("li")).to_have_count(2)
    past.get_by_role("button", name=f"{phrases.DELETE}: {FERRY}").click()
    expect(past.locator("li")).to_have_count(1)
    past.get_by_role("button", name=COST, exact=True).click()
    expect(page.locator("#q2[aria-busy=false] .refusal")).to_be_visible()
    expect(page.locator("#q1 .question")).to_have_text(COST)
    page.get_by_role("button", name=phrases.HISTORY).click()
    past.get_by_role("button", name=phrases.DELETE_ALL).click()
    expect(past.get_by_text(phrases.HISTORY_EMPTY)).to_be_visible()
    assert page.evaluate("localStorage.getItem('kbqa.history')") == "[]"
    page.keyboard.press("Escape")
    expect(past).to_be_hidden()
    other = visit(small)
    other.get_by_role("button", name=phrases.HISTORY).click()
    expect(other.get_by_text(phrases.HISTORY_EMPTY)).to_be_visible()


def test_ratings_become_a_question_set(small: str, folder: Path, visit: Open, tmp_path: Path) -> None:
    page = visit(small)
    exchange = ask(page, COST)
    wrong = exchange.get_by_role("button", name="Wrong", exact=True)
    wrong.click()
    expect(wrong).to_have_attribute("aria-pressed", "true")
    expect(exchange.locator(".kept")).to_have_text(phrases.KEPT_HERE)
    exchange.get_by_label(phrases.NOTE).fill("52 million euros")
    page.keyboard.press("Enter")
    expect(exchange.locator(".kept")).to_have_text(phrases.KEPT_HERE)
    ask(page, UNKNOWN, 2)
    expect(wrong).to_have_attribute("aria-pressed", "true")  # drawn anew, and still as it was
    page.locator("#q2").get_by_role("button", name="Right", exact=True).click()
    expect(page.locator("#q2 .kept")).to_have_text(phrases.KEPT_HERE)
    cases = {case.question: case for case in read_cases(folder / "feedback.jsonl")}
    assert cases[COST].answers == ("52 million euros",)
    assert not cases[UNKNOWN].answerable


def test_where_nothing_can_be_kept_the_browser_keeps_the_ratings(visit: Open, tmp_path: Path) -> None:
    with serving(FakeLibrary(settings=Settings(kb=tmp_path / "none", cache=tmp_path))) as address:
        page = visit(address)
        exchange = ask(page, COST)
        exchange.get_by_role("button", name="Right", exact=True).click()
        expect(exchange.locator(".kept")).to_have_text(phrases.KEPT_IN_BROWSER)
        page.get_by_role("button", name=phrases.HISTORY).click()
        with page.expect_download() as begun:
            page.get_by_role("button", name=phrases.FEEDBACK_SAVE).click()
        begun.value.save_as(tmp_path / "ratings.jsonl")
        page.close()  # before its server is gone
    (case,) = read_cases(tmp_path / "ratings.jsonl")
    assert case.question == COST
    assert case.evidence
    assert not (tmp_path / "none").exists()


# ----------------------------------------------------------------------------------------- drafts

DRAFT = """Each Prometheus server holds up to 256 terabytes of memory. Who is the mayor of Utrecht?

Each Prometheus server can hold up to 128 terabytes of memory. The mayor of Utrecht owns eleven zebras."""


def check(page: Page, draft: str = DRAFT) -> Any:
    """Go to the Check tab, paste a draft and wait until it is checked."""
    page.get_by_role("tab", name="Check").click()
    page.get_by_label("Draft to check").fill(draft)
    page.get_by_role("button", name="Check", exact=True).click()
    checked = page.locator(".checked[aria-busy=false]")
    expect(checked).to_be_visible()
    return checked


def test_a_draft_is_read_claim_by_claim_with_the_keyboard(
    kb: KnowledgeBase, address: str, visit: Open, tmp_path: Path
) -> None:
    page = visit(address)
    checked = check(page)
    claims = kb.check(DRAFT).claims
    assert [claim.verdict for claim in claims] == ["contradicted", "not_found", "supported", "not_found"]
    shown = checked.locator(".claim")
    assert [words(text) for text in shown.all_text_contents()] == [claim.claim for claim in claims]
    card = checked.locator(".verdict:visible")
    expect(card.locator(".verdict-line")).to_have_text("Contradicted")
    expect(card.locator(".explanation").first).to_have_text(claims[0].explanation)
    page.screenshot(path=tmp_path / "checked.png")
    shown.first.focus()
    for claim, name in zip(claims[1:], ("Question", "Supported", "Not found"), strict=True):
        page.keyboard.press("ArrowRight")
        expect(card).to_have_count(1)
        expect(card.locator(".verdict-line")).to_have_text(name)
        expect(card.locator(".claimed")).to_have_text(claim.claim)
    expect(shown.last).to_be_focused()
    assert shown.last.evaluate("claim => getComputedStyle(claim).outlineStyle") == "solid"
    checked.get_by_role("button", name="Previous").click()
    expect(card.locator(".verdict-line")).to_have_text("Supported")
    checked.get_by_role("button", name="Not found: 1").click()
    expect(shown.last).to_be_focused()
    styles = shown.evaluate_all("all => all.map(one => getComputedStyle(one).textDecoration)")
    assert len(set(styles)) == 4  # told apart without colours too


def test_evidence_opens_beside_the_draft_and_closes_again(
    kb: KnowledgeBase, address: str, visit: Open
) -> None:
    page = visit(address)
    checked = check(page)
    citation = kb.check(DRAFT).claims[0].citations[0]
    checked.locator(".verdict:visible .source-title").first.click()
    expect(page.locator("#check-source .document-title")).to_have_text(citation.title)
    quote = page.locator("#check-source #quote")
    expect(quote).to_be_in_viewport()
    expect(quote).to_be_focused()
    expect(checked.locator(".claim").first).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(checked.locator(".verdict:visible .source-title").first).to_be_focused()
    page.get_by_role("button", name="Edit the draft").click()
    expect(page.get_by_label("Draft to check")).to_have_value(DRAFT)


@pytest.mark.parametrize(("name", "suffix"), [("Web page", ".html"), ("Word", ".docx")])
def test_the_evidence_is_taken_along(
    address: str, visit: Open, tmp_path: Path, name: str, suffix: str
) -> None:
    page = visit(address)
    button = check(page).get_by_role("button", name=name)
    with page.expect_download() as begun:
        button.click()
    assert begun.value.suggested_filename == f"evidence{suffix}"
    begun.value.save_as(tmp_path / f"evidence{suffix}")
    if suffix == ".docx":
        assert "128 terabytes" in read_draft(tmp_path / "evidence.docx")
    else:
        assert "128 terabytes" in (tmp_path / "evidence.html").read_text(encoding="utf-8")


def test_a_draft_is_opened_from_a_file(address: str, visit: Open, tmp_path: Path) -> None:
    (tmp_path / "draft.md").write_text(DRAFT, encoding="utf-8")
    page = visit(address)
    page.get_by_role("tab", name="Check").click()
    page.locator("#tab-check input[type=file]").set_input_files(tmp_path / "draft.md")
    expect(page.get_by_label("Draft to check")).to_have_value(DRAFT)


DROP_JS = """(place) => {
  const data = new DataTransfer();
  data.items.add(new File(['no list'], 'photo.png', {type: 'image/png'}));
  place.dispatchEvent(new DragEvent('drop', {dataTransfer: data, bubbles: true, cancelable: true}));
}"""


def test_a_file_of_a_wrong_kind_is_told_in_our_words(small: str, visit: Open, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(b"\x89PNG")
    page = visit(small)
    page.get_by_role("tab", name="Check").click()
    page.get_by_label("Draft to check").fill(COST)
    with page.expect_file_chooser() as asked:
        page.get_by_role("button", name=phrases.CHECK_OPEN).click()
    assert asked.value.element.get_attribute("accept") == ".txt,.md,.docx,.html,.htm,.pdf"
    asked.value.set_files(tmp_path / "photo.png")  # as with "All files" in the dialog
    expect(page.locator("#checked [role=alert]")).to_contain_text("save it as .txt, .md,")
    expect(page.get_by_label("Draft to check")).to_have_value(COST)  # what was pasted stays
    page.get_by_role("tab", name="Batch").click()
    with page.expect_file_chooser() as asked:
        page.locator("#list button").first.click()
    assert asked.value.element.get_attribute("accept") == ".csv,.tsv,.xlsx,.jsonl,.txt"
    page.locator("#list button").first.evaluate(DROP_JS)
    expect(page.locator("#preview [role=alert]")).to_have_text(
        "photo.png is not a list that can be read: use one of .csv .tsv .xlsx .jsonl .txt."
    )
    expect(page.get_by_role("button", name="Start")).to_be_disabled()
    expect(page.locator(".toast-body")).to_have_count(0)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_draft_on_a_phone(address: str, visit: Open, tmp_path: Path, theme: str) -> None:
    page = visit(address, 360, 640, theme)
    checked = check(page)
    shown = checked.locator(".claim")
    expect(shown.first).to_be_in_viewport()
    card = checked.locator(".verdict:visible")
    for name in ("Question", "Supported", "Not found"):
        checked.get_by_role("button", name="Next", exact=True).click()
        expect(card.locator(".verdict-line")).to_have_text(name)
        expect(card.locator(".verdict-line")).to_be_in_viewport()
    claim, evidence = shown.last.bounding_box(), checked.locator(".claim-evidence").bounding_box()
    assert claim is not None
    assert evidence is not None
    assert claim["y"] + claim["height"] <= evidence["y"]  # the evidence is below, and hides no claim
    page.screenshot(path=tmp_path / f"phone-{theme}-checked.png")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    checked.get_by_role("button", name="Supported: 1").click()
    card.locator(".source-title").first.click()
    expect(page.locator("#check-source #quote")).to_be_in_viewport()
    page.get_by_role("button", name="Close the source").click()
    expect(card.locator(".verdict-line")).to_have_text("Supported")


# ----------------------------------------------------------------------------------------- looks


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    ("name", "width", "height"), [("desktop", 1280, 860), ("phone", 390, 844), ("small", 360, 640)]
)
def test_it_fits_and_follows_the_theme(
    small: str, visit: Open, shoot: Shoot, theme: str, name: str, width: int, height: int
) -> None:
    page = visit(small, width, height, theme)
    expect(page.locator(".examples:not(.unasked)")).to_be_visible()
    shoot(page, f"{name}-{theme}-1-welcome")
    exchange = ask(page, COST)
    shoot(page, f"{name}-{theme}-2-answer")
    exchange.locator(".how summary").click()
    exchange.get_by_role("button", name="Wrong", exact=True).click()
    expect(exchange.locator(".note")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    exchange.locator(".kept").scroll_into_view_if_needed()
    shoot(page, f"{name}-{theme}-3-how")
    exchange.locator(".cite").first.click()
    expect(page.locator("#quote")).to_be_in_viewport()
    shoot(page, f"{name}-{theme}-4-source")
    page.keyboard.press("Escape")
    ask(page, UNKNOWN, 2)
    expect(page.locator("#q2 .next")).to_be_visible()
    shoot(page, f"{name}-{theme}-5-refusal")
    page.get_by_role("button", name=phrases.HISTORY).click()
    shoot(page, f"{name}-{theme}-6-history")
    page.keyboard.press("Escape")
    exchange.locator(".cite").first.click()
    expect(page.locator("#quote")).to_be_in_viewport()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    panel, chat = page.locator("#source").bounding_box(), page.locator("#chat").bounding_box()
    assert panel is not None
    assert chat is not None
    beside = panel["x"] >= chat["x"] + chat["width"]
    assert beside is (name == "desktop")
    assert panel["x"] + panel["width"] <= width
    red = re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))[0]
    assert (int(red) > 128) is (theme == "light")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_axe_finds_nothing_serious(small: str, visit: Open, theme: str) -> None:
    page = visit(small, theme=theme)
    expect(page.locator(".examples:not(.unasked)")).to_be_visible()
    accessible(page, "welcome")
    exchange = ask(page, COST)
    ask(page, UNKNOWN, 2)
    exchange.locator(".how summary").click()
    exchange.get_by_role("button", name="Wrong", exact=True).click()
    exchange.locator(".cite").first.click()
    expect(page.locator("#quote")).to_be_visible()
    accessible(page, "answer")
    page.get_by_role("button", name=phrases.HISTORY).click()
    accessible(page, "history")
    page.keyboard.press("Escape")
    for name in page.locator("#tabs [role=tab]").all_inner_texts()[1:]:
        page.get_by_role("tab", name=name).click()
        if name == "Check":
            check(page)
        accessible(page, name)


def accessible(page: Page, what: str) -> None:
    """Assert that axe-core finds no issue that it calls serious or critical."""
    options = {"resultTypes": ["violations"]}
    found = Axe().run(page, options=options).response["violations"]
    told = [
        f"{what}: {one['id']}: {node['html'][:160]} {json.dumps(node['any'][:1])[:300]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]
    assert told == []


@pytest.mark.parametrize(("width", "height"), [(1280, 860), (360, 740)])
def test_nothing_moves_while_the_page_is_loaded(small: str, visit: Open, width: int, height: int) -> None:
    page = visit(small, width, height)
    expect(page.locator(".examples:not(.unasked)")).to_be_visible()
    moved = page.evaluate(
        """() => new Promise((done) => {
          const told = [];
          new PerformanceObserver((list) => told.push(...list.getEntries().map((one) =>
            [one.value, one.sources.map((s) => s.node && (s.node.id || s.node.className)).join()])
          )).observe({type: 'layout-shift', buffered: true});
          setTimeout(() => done(told), 300);
        })"""
    )
    assert sum(value for value, _ in moved) < 0.02, moved


def test_motion_is_left_out_where_it_is_not_wanted(small: str, visit: Open) -> None:
    page = visit(small)
    page.emulate_media(reduced_motion="reduce")
    ask(page, COST)
    page.evaluate(
        "window.how = []; Element.prototype.scrollIntoView = (to) => to && window.how.push(to.behavior)"
    )
    ask(page, FERRY, 2)
    page.wait_for_function("window.how.length")
    assert set(page.evaluate("window.how")) == {"auto"}
    durations = page.evaluate(
        "[...document.querySelectorAll('*')].map((one) => getComputedStyle(one).animationName)"
    )
    assert set(durations) == {"none"}


# ------------------------------------------------------------------------------------------ tabs


def test_tabs_have_addresses_and_work_with_the_keyboard(address: str, visit: Open) -> None:
    page = visit(address)
    ask(page, WHEN)
    page.get_by_role("tab", name="Ask").press("ArrowRight")
    check = page.get_by_role("tab", name="Check")
    expect(check).to_be_focused()
    expect(check).to_have_attribute("aria-selected", "true")
    expect(page.get_by_role("tabpanel", name="Check")).to_be_visible()
    expect(page.locator("#q1")).to_be_hidden()
    expect(page).to_have_url(re.compile("#check$"))
    page.go_back()
    expect(page.locator("#q1")).to_be_visible()  # the conversation is still there
    page.go_forward()
    page.reload()
    expect(page.get_by_label("Draft to check")).to_be_visible()
    expect(page.locator(".welcome")).to_be_hidden()
    check.press("ArrowRight")
    expect(page.get_by_role("tab", name="Batch")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Library")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Ask")).to_be_focused()
    expect(page.locator(".welcome")).to_be_visible()


# ----------------------------------------------------------------------------------------- lists


class Slow(FakeLibrary):
    """Takes its time, so that there is progress to be seen."""

    def ask(self, question: str, **options: Any) -> Answer:
        time.sleep(0.1)
        return super().ask(question, **options)


@pytest.mark.parametrize(
    ("name", "width", "height", "theme"), [("desktop", 1280, 860, "light"), ("phone", 360, 740, "dark")]
)
def test_a_list_is_handed_in_stopped_gone_on_with_and_taken_away(
    visit: Open, tmp_path: Path, name: str, width: int, height: int, theme: str
) -> None:
    rows = [f"{n};What will the repair of the harbour bridge cost?;Äußeres" for n in range(40)]
    (tmp_path / "Fragen.csv").write_bytes("\r\n".join(["Nr;Question;Desk", *rows, "41;;x"]).encode("cp1252"))
    with serving(Slow(settings=Settings(cache=tmp_path / "cache"))) as address:
        page = visit(address, width, height, theme)
        page.get_by_role("tab", name="Batch").click()
        start = page.get_by_role("button", name="Start")
        expect(start).to_be_disabled()
        page.locator("#list input[type=file]").set_input_files(tmp_path / "Fragen.csv")
        preview = page.get_by_role("region", name="Preview")
        expect(preview).to_contain_text("41 questions in the column “Question”. Carried through: Nr, Desk.")
        expect(preview).to_contain_text("Row 41: The question is empty.")
        expect(preview.get_by_role("table")).to_contain_text("Äußeres")
        page.get_by_label("CSV (.csv)").press("Space")
        start.press("Enter")
        expect(page.locator("#results tbody tr").nth(2)).to_be_visible()
        page.screenshot(path=tmp_path / f"{name}-{theme}-at-work.png")
        page.get_by_role("button", name="Stop").press("Enter")
        expect(page.locator("#progress [role=status]")).to_contain_text("Start again to go on")
        part = taken(page)
        assert 3 <= part.count("answered") < 40
        page.reload()  # what was done is still there, for this visitor
        expect(page.locator("#progress [role=status]")).to_contain_text("Start again to go on")
        page.locator("#list input[type=file]").set_input_files(tmp_path / "Fragen.csv")
        page.get_by_label("CSV (.csv)").check()
        expect(start).to_be_enabled()
        start.click()
        expect(page.locator("#progress [role=status]")).to_contain_text(
            "41 of 41 rows: 40 answered, 1 failed."
        )
        expect(page.locator("#progress [role=status]")).to_contain_text("from an earlier run")
        assert taken(page).count("answered") == 40
        page.locator("#results .cite").first.click()
        expect(page.locator("#batch-source #quote")).to_be_in_viewport()
        page.screenshot(path=tmp_path / f"{name}-{theme}-done.png")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        other = visit(address)
        other.get_by_role("tab", name="Batch").click()
        expect(other.get_by_role("button", name="Start")).to_be_visible()
        assert "41 of 41" not in other.locator("#lists").inner_text()
        for each in (page, other):
            each.close()


def taken(page: Page) -> str:
    """The text of the file that is offered."""
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the file").click()
    assert download.value.suggested_filename == "Fragen-answers.csv"
    return Path(download.value.path()).read_text(encoding="utf-8")


# --------------------------------------------------------------------------------- hostile content


def test_what_documents_contain_is_shown_not_run(visit: Open) -> None:
    with serving(FakeLibrary()) as address:
        page = visit(address)
        exchange = ask(page, "What about the sign photographed in the harbour museum?")
        exchange.locator(".source-title").first.click()
        expect(page.locator("#source .document-title")).to_have_text(DOCUMENTS[2].title)
        shown = page.locator("#source .document-text").inner_text()
        assert words(shown) == words(DOCUMENTS[2].text)  # braces, dollar signs, stars and tags as written
        assert DOCUMENTS[2].author in page.locator("#source .facts").inner_text()
        assert page.locator("#source a").count() == 0  # javascript: is no address
        ask(page, "<img src=https://example.org/x onerror=alert(1)> ${alert(2)} {{3}} the frost?", 2)
        expect(page.locator("#q2 .question")).to_contain_text("<img src=https://example.org/x")
        assert page.locator(".desk img, .desk script, .desk iframe").count() == 0
        assert page.title() == "kbqa"
        page.close()
