"""The Library tab, the login and what is hostile, in a real headless Chromium.

Every test also sees to it that the page asked nothing of another machine, ran nothing that it should not, and
wrote no error to the console: text is escaped, and the browser never had to refuse anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from conftest import BRIDGE, BRIEFS, FERRY, prepared
from fake_library import FakeLibrary, serving
from hostile import AWAY, HOSTILE
from playwright.sync_api import Browser, Page, expect

from ingest.sync import ingest
from kb import users as users_module
from kb.pipeline import KnowledgeBase
from kb.settings import Settings
from kb.store import Store
from kb.types import (
    Answer,
    Citation,
    Document,
    Filters,
    Hit,
    Passage,
    Section,
    Sentence,
    Source,
    Turn,
    Verdict,
)
from kb.users import Users

PATIENCE_MS = 30_000
# What Gradio says of events that still ran when somebody left the page.
LEAVING = ("AbortError: signal is aborted", "Connection errored out", "401 (Unauthorized)")
Open = Callable[..., Page]


@pytest.fixture
def visit(chromium: Browser) -> Iterator[Open]:
    """Open a page as a new visitor; afterwards: no foreign request, no error, no dialog, nothing was run."""
    contexts, trouble = [], []

    def open_page(address: str, path: str = "/#library", *, width: int = 1280, theme: str = "light") -> Page:
        context = chromium.new_context(viewport={"width": width, "height": 860}, color_scheme=theme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)
        page.on(
            "request",
            lambda request: (
                request.url.startswith((f"{address}/", "data:", "blob:"))
                or trouble.append(f"requested {request.url}")
            ),
        )
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
        page.goto(f"{address}{path}")
        return page

    yield open_page
    for context in contexts:
        for page in context.pages:
            if page.evaluate("window.taken"):
                trouble.append("a document's script ran")
        context.close()
    assert trouble == []


@pytest.fixture(scope="module")
def kb(tmp_path_factory: pytest.TempPathFactory, models: tuple[Path, ...]) -> Iterator[KnowledgeBase]:
    folder = tmp_path_factory.mktemp("tab")
    texts = folder / "texts"
    texts.mkdir()
    for name, text in (("bridge.md", BRIDGE), ("copy.md", BRIDGE), ("briefs.csv", BRIEFS)):
        (texts / name).write_text(text)
    settings = Settings(kb=folder / "kb", embedder="hash", cache=prepared(folder / "cache", models))
    with Store.open(settings.kb, settings, create=True) as store:
        assert not ingest([str(texts)], store).failed
    with KnowledgeBase.open(settings.kb, settings) as kb:
        yield kb


@pytest.fixture(scope="module")
def address(kb: KnowledgeBase) -> Iterator[str]:
    with serving(kb) as address:
        yield address


def titles(page: Page) -> list[str]:
    return page.locator(".shelf .open-document").all_text_contents()


# -------------------------------------------------------------------------------------- the library


def test_an_editor_finds_opens_adds_removes_and_undoes(
    kb: KnowledgeBase, address: str, visit: Open, tmp_path: Path
) -> None:
    page = visit(address)
    expect(page.locator(".shelf-count")).to_have_text("4 documents")
    assert titles(page)[0] == "Record for the tram"
    expect(page.locator(".shelf .note")).to_have_count(2)  # the bridge and its copy

    page.get_by_role("searchbox", name="Find").fill("late")
    expect(page.locator(".shelf-count")).to_have_text("1 of 4 documents")
    assert titles(page) == ["Library opens late"]
    page.get_by_role("searchbox", name="Find").fill("")
    page.get_by_label("Show", exact=True).select_option("copies")
    expect(page.locator(".shelf-count")).to_have_text("2 of 4 documents")
    page.get_by_label("Publisher", exact=True).last.select_option("Coast Radio")
    expect(page.locator(".shelf")).to_contain_text("No document is like that.")
    page.get_by_label("Show", exact=True).select_option("all")
    page.get_by_label("Publisher", exact=True).last.select_option("")
    page.get_by_label("Order", exact=True).select_option("title")
    expect(page.locator(".shelf .open-document").first).to_have_text("Harbour bridge closed to lorries")

    page.get_by_role("button", name="Library opens late").press("Enter")
    expect(page.locator(".document-page h2")).to_be_focused()
    expect(page.locator(".passages")).to_contain_text("90,000 euros a year")
    expect(page).to_have_url(f"{address}/?document=brief-1#library")
    page = visit(address, "/?document=brief-1#library")  # the document has an address of its own
    expect(page.locator(".document-page h2")).to_have_text("Library opens late")
    page.get_by_role("button", name="Back to the list").click()
    expect(page.locator(".shelf-count")).to_have_text("4 documents")

    ferry = tmp_path / "<img src=x onerror=window.taken=1>.html"
    ferry.write_text(FERRY.replace("<p>A ferry", "<script>window.taken=1</script><p>A ferry"))
    drawing = tmp_path / "drawing.svg"
    drawing.write_text("<svg xmlns='http://www.w3.org/2000/svg' onload='window.taken=1'/>")
    page.locator("#uploads input[type=file]").set_input_files([ferry, drawing])
    expect(page.locator("#uploads")).to_contain_text("drawing")
    page.get_by_role("button", name="Add them").click()
    expect(page.locator(".intake")).to_contain_text("1 added, 1 failed.")
    expect(page.locator(".intake .source-name").first).to_contain_text("img src")
    expect(page.locator(".shelf-count")).to_have_text("5 documents")
    page.screenshot(path=tmp_path / "library.png", full_page=True)

    page.get_by_label("Tick New ferry carries lorries").check()
    page.get_by_role("button", name="Remove the ticked").click()
    expect(page.locator(".intake")).to_contain_text("“New ferry carries lorries” was removed.")
    expect(page.locator(".shelf-count")).to_have_text("4 documents")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".shelf-count")).to_have_text("5 documents")
    assert len(kb.documents()) == 5
    page.get_by_role("button", name="Read all sources again").click()
    expect(page.locator(".intake")).to_contain_text("4 unchanged.")
    page.get_by_role("button", name="Examine").click()
    expect(page.locator(".intake")).to_contain_text("The library is sound.")


def test_a_phone_in_the_dark_has_no_sideways_scrolling(address: str, visit: Open, tmp_path: Path) -> None:
    page = visit(address, width=360, theme="dark")
    page.locator(".shelf .open-document").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.screenshot(path=tmp_path / "phone.png")
    page.locator(".shelf .open-document").first.click()
    page.locator(".document-page").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    figure = visit(address, "/#library").locator(".charts svg").first
    assert "most in" in (figure.get_attribute("aria-label") or "")


# ------------------------------------------------------------------------------------------- login


def test_a_reader_logs_in_looks_and_logs_out(
    kb: KnowledgeBase, visit: Open, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(users_module, "_COST", 2**10)
    users = Users(kb.settings.kb)
    users.put("bob", "reader", "correct horse battery")
    try:
        with serving(kb) as address:
            page = visit(address, "/")
            page.get_by_label("Name").fill("bob")
            page.get_by_label("Password").fill("correct horse battery")
            page.screenshot(path=tmp_path / "login.png")
            page.keyboard.press("Enter")
            expect(page.locator("#who")).to_contain_text("bob")
            page.get_by_role("tab", name="Library").click()
            page.locator(".shelf .open-document").first.wait_for()
            expect(page.locator("#editing")).to_have_count(0)
            expect(page.locator("[data-discard]")).to_have_count(0)
            page.get_by_role("button", name="Log out").click()
            expect(page.get_by_label("Password")).to_be_visible()
            page.close()
    finally:
        users.path.unlink()


# ----------------------------------------------------------------------------------------- hostile


def hostile_documents() -> list[Document]:
    """A document for each string, which stands in every field of it; and one that has all of them."""
    made = []
    for n, string in enumerate(HOSTILE):
        text = f"{string}\n\nParcel {n} holds {string} and {string}."
        made.append(
            Document(
                f"{string} {n}",
                f"/library/{string}",
                string,
                text,
                "text/plain",
                "0" * 64,
                author=string,
                publisher=string,
                published="2026-04-28" if n % 2 else string,
                url=string if n % 3 else f"https://quay.example/{string}",
                sections=(Section(string, 2, 0),),
            )
        )
    text = "\n\n".join(HOSTILE)
    made.append(Document("all", "/library/all", "All of them", text, "text/plain", "0" * 64))
    return made


class Hostile(FakeLibrary):
    """Answers "Show all" with every document, cited; refuses what begins with "Refuse"; else cites a few."""

    def ask(
        self,
        question: str,
        *,
        filters: Filters = Filters(),
        history: Sequence[Turn] = (),
        top: int | None = None,
    ) -> Answer:
        documents = list(self._documents.values())[: len(HOSTILE)]
        if question.startswith("Refuse"):
            hits = [self._hit(n, d) for n, d in enumerate(documents[-4:], 1)]
            return Answer(question, "not_found", hits=tuple(hits), notices=HOSTILE[:20])
        at = next((n for n, string in enumerate(HOSTILE) if string in question), 0)
        cited = documents if question.startswith("Show all") else documents[at : at + 3]
        text = " ".join(f"{d.title} [{n}]" for n, d in enumerate(cited, 1))
        citations = []
        for n, d in enumerate(cited, 1):
            start = d.text.index("Parcel")
            known = (n, d.id, d.title, d.publisher, d.author, d.published, d.url, d.title, None)
            citations.append(Citation(*known, start, len(d.text), d.text[start:], correction=d.title))
        sentence = Sentence(text, 0, len(text), tuple(range(1, len(cited) + 1)), "unsupported")
        notices = HOSTILE if len(cited) > 3 else ()
        return Answer(question, "answered", text, (sentence,), tuple(citations), notices=notices)

    def verdicts(self, text: str, *, filters: Filters = Filters()) -> Iterator[Verdict]:
        citations = self.ask("Show all").citations
        for n, line in enumerate(text.split("\n")):
            start = sum(len(one) + 1 for one in text.split("\n")[:n])
            if line.strip():
                said = HOSTILE[n % len(HOSTILE)]
                yield Verdict(line, start, start + len(line), "contradicted", 0.9, said, citations[n : n + 1])

    def passages(self, id: str) -> list[Passage]:
        d = self.document(id)
        return [Passage(id, n, 0, len(s), s, s, None) for n, s in enumerate(HOSTILE)] if d.id == "all" else []

    def key_questions(self, limit: int = 5) -> list[str]:
        return list(HOSTILE)

    @staticmethod
    def _hit(n: int, d: Document) -> Hit:
        passage = Passage(d.id, 0, 0, len(d.text), d.text, d.title)
        return Hit(passage, Source(d.title, d.publisher, d.author, d.published, d.url), 0.5, n)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    settings = Settings(cache=tmp_path_factory.mktemp("hostile"))
    with serving(Hostile(hostile_documents(), settings)) as address:
        yield address


# What no text may become: anything that loads, runs, submits, restyles or takes part in the page.
FOREIGN = """() => {
  const tags = 'script iframe object embed style link meta base img picture video audio math marquee '
    + 'frameset dialog portal template foreignObject image use animate set';
  const handlers = '[onerror] [onload] [onfocus] [onclick] [onmouseover] [autofocus] [formaction] [ping]';
  const all = `${tags} ${handlers}`.replaceAll(' ', ', ');
  return [...document.querySelectorAll(`.tab .html-container :is(${all})`)]
    .filter((found) => found.id !== 'history')  // the page's own list of earlier questions
    .map((found) => found.outerHTML);
}"""
LINKS = """() => [...document.querySelectorAll('.tab a[href]')].map((link) => link.protocol)"""


def is_clean(page: Page) -> None:
    assert page.evaluate(FOREIGN) == []
    assert set(page.evaluate(LINKS)) <= {"http:", "https:"}
    assert page.evaluate("window.taken") is None


def squeezed(text: str) -> str:
    """As HTML shows it: no line separators of its own, runs of space as one."""
    return " ".join(text.replace("\x00", "").split())


def test_there_are_enough_of_them() -> None:
    assert len(HOSTILE) >= 150
    assert sum(AWAY in string for string in HOSTILE) > 30


def test_hostile_strings_in_answers_and_questions_are_text(hostile: str, visit: Open) -> None:
    page = visit(hostile, "/")
    page.locator(".examples button").first.wait_for()
    offered = {squeezed(text) for text in page.locator(".examples button").all_text_contents()}
    assert offered <= {squeezed(string) for string in HOSTILE}
    is_clean(page)
    questions = [" ".join(HOSTILE[n : n + 60])[:1_990] for n in range(0, len(HOSTILE), 60)]
    for n, question in enumerate([f"Show all {questions[0]}", f"Refuse {questions[1]}", *questions[2:]], 1):
        page.locator("#question textarea").fill(question)
        page.locator("#question textarea").press("Enter")
        page.locator(f"#q{n}[aria-busy=false]").wait_for()
        assert squeezed(page.locator(f"#q{n} .question").text_content() or "") == squeezed(question)
    is_clean(page)
    shown = page.locator("#q1 .sources .source-title").all_text_contents()
    assert len(shown) == len(HOSTILE)
    page.locator("#q1 .sources .source-title").first.click()
    page.locator("#source .document").wait_for()
    is_clean(page)


def test_hostile_strings_in_the_library_are_text(hostile: str, visit: Open) -> None:
    page = visit(hostile)
    first = page.locator(".shelf .open-document").first
    newest = first.inner_text()
    page.get_by_label("Order", exact=True).select_option("oldest")
    expect(first).not_to_have_text(newest)  # to turn a page before would be undone by the new order
    seen: set[str] = set()
    while True:
        seen |= {squeezed(title) for title in titles(page)}
        is_clean(page)
        following = page.get_by_role("button", name="Next")
        if following.is_disabled():
            break
        before = page.locator(".pager span").inner_text()
        following.click()
        expect(page.locator(".pager span")).not_to_have_text(before)
    assert {squeezed(string) for string in HOSTILE} <= seen
    rare = "<svg><use href=https://evil.example/x.svg#a></svg>"
    page.get_by_role("searchbox", name="Find").fill(rare)
    expect(page.locator(".shelf .open-document")).to_have_text([rare])
    page.locator(".shelf .open-document").click()
    expect(page.locator(".document-page h2")).to_have_text(rare)
    is_clean(page)
    page.goto(f"{hostile}/?document=all#library")
    read: list[str] = []
    page.locator(".passages li").first.wait_for()
    while True:
        read += [squeezed(text) for text in page.locator(".passage-text").all_text_contents()]
        is_clean(page)
        following = page.get_by_role("button", name="Next")
        if following.is_disabled():
            break
        before = page.locator(".pager span").inner_text()
        following.click()
        expect(page.locator(".pager span")).not_to_have_text(before)
    assert read == [squeezed(string) for string in HOSTILE]


def test_hostile_strings_in_drafts_and_lists_are_text(hostile: str, visit: Open, tmp_path: Path) -> None:
    page = visit(hostile, "/#check")
    draft = "\n".join(squeezed(string) for string in HOSTILE)
    page.get_by_label("Draft to check").fill(draft)
    page.get_by_role("button", name="Check", exact=True).click()
    page.locator(".checked[aria-busy=false]").wait_for()
    assert squeezed(page.locator(".draft").text_content() or "") == squeezed(draft)
    is_clean(page)
    page.get_by_role("tab", name="Batch").click()
    cells = ['"' + squeezed(string).replace('"', '""') + '"' for string in HOSTILE]
    listed = tmp_path / "<img src=x onerror=window.taken=1>.csv"
    listed.write_text("\n".join(["question,<b>note</b>", *(f"{cell},{cell}" for cell in cells)]))
    page.locator("#list input[type=file]").set_input_files(listed)
    page.locator("#preview table").wait_for()
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#progress")).to_contain_text("Done in")
    page.locator("#results table").wait_for()
    is_clean(page)
