"""The report of a batch in a real headless Chromium: filter, search, keyboard, phone, paper; no network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from test_batch import Oracle

from kb.batch import run_batch
from kb.types import Answer, Citation


class Bridges(Oracle):
    """Cites a page of the web, and says something long."""

    def ask(self, question: str, **_: Any) -> Answer:  # type: ignore[override]
        if "Question" not in question:
            return super().ask(question)
        citation = Citation(
            1, "a.md", "Bridges", "Post", None, "2026", "https://x.test/a", "S" * 300, 2, 0, 9, "Q" * 300
        )
        return Answer(question, "answered", "So it is. [1]", citations=(citation,), confidence=0.5)


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    asked = [*(f"Question {n} on bridges?" for n in range(1, 6)), "Is it unknown?", "error", "Ferries?"]
    (folder / "q.txt").write_text("\n".join(asked), encoding="utf-8")
    run_batch(Bridges(), folder / "q.txt", folder / "a.html")
    return folder / "a.html"


@pytest.fixture
def page(chromium: Browser, report: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """The report, opened; afterwards: nothing was requested but the file, and there was no error."""
    trouble: list[str] = []
    context = chromium.new_context(**getattr(request, "param", {}))
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.on("request", lambda r: trouble.append(r.url) if r.url != report.as_uri() else None)
    page.on("console", lambda said: trouble.append(said.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    page.goto(report.as_uri())
    yield page
    context.close()
    assert trouble == []


def shown(page: Page) -> int:
    return page.locator("article.row:visible").count()


def test_the_filter_shows_one_kind(page: Page) -> None:
    assert shown(page) == 8
    for label, count in (("Not found 1", 1), ("Failed 1", 1), ("Answered 6", 6), ("All 8", 8)):
        page.get_by_text(label, exact=True).click()
        assert shown(page) == count
    expect(page.get_by_role("status")).to_have_text("")


def test_the_search_takes_words_in_any_order(page: Page) -> None:
    page.get_by_role("searchbox", name="Search").fill("BRIDGES 3")
    assert shown(page) == 1
    expect(page.get_by_role("status")).to_have_text("1 of 8 rows")
    page.get_by_text("Failed 1", exact=True).click()
    assert shown(page) == 0


def test_the_keyboard_alone_is_enough(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("ferries")
    assert shown(page) == 1
    page.keyboard.press("Escape")
    assert shown(page) == 8
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("ArrowRight")
    assert shown(page) == 6
    page.locator("article.row").first.locator(".cite").focus()
    page.keyboard.press("Enter")
    assert page.url.endswith("#r1-source-1")
    expect(page.locator("#r1-source-1")).to_be_in_viewport()


def test_the_least_sure_come_first_if_that_is_wanted(page: Page) -> None:
    ids = "[...document.querySelectorAll('.row')].map(row => row.dataset.status)"
    before = page.evaluate(ids)
    box = page.get_by_label("Least sure first")
    box.check()
    assert page.evaluate(ids) == ["error", *["answered"] * 6, "not_found"]  # 0, 50 and 75 %
    box.uncheck()
    assert page.evaluate(ids) == before


def test_a_link_to_a_hidden_row_shows_it(page: Page) -> None:
    page.get_by_role("searchbox").fill("ferries")
    page.evaluate("location.hash = '#r2'")
    expect(page.locator("#r2")).to_be_in_viewport()


@pytest.mark.parametrize(
    "page", [{"viewport": {"width": 320, "height": 640}, "color_scheme": "dark"}], indirect=True
)
def test_it_fits_a_phone_in_the_dark(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(22, 21, 19)"


def test_on_paper_there_are_no_buttons_and_the_addresses_stand_there(page: Page) -> None:
    page.emulate_media(media="print")
    expect(page.locator(".tools")).to_be_hidden()
    after = "getComputedStyle(document.querySelector('.source-title a'), '::after').content"
    assert "attr(href)" in page.evaluate(after) or "https://x.test/a" in page.evaluate(after)
    assert page.locator("details:visible").count() == 0  # what is not open would be a line without a use
    assert page.locator(".evidence:visible").count() == 6


@pytest.mark.parametrize("page", [{"java_script_enabled": False}], indirect=True)
def test_without_a_script_everything_is_there(page: Page) -> None:
    assert shown(page) == 8
    expect(page.locator(".tools")).to_be_hidden()
