"""The web page: ask, read the answer, open each source at the exact sentence.

A thin face. ``Desk`` calls the library, ``kb.render`` writes the HTML (and escapes all of it), and one
Gradio component shows the conversation. A click on a citation sends a document id and two offsets; the
server checks them and answers with that document, so every format opens the same way. What a visitor
asked lives in the session of that visitor alone. Nothing on the page comes from another machine.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

# Gradio reports usage unless this says False before it is first imported.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import gradio as gr
import uvicorn
from gradio.events import api

from kb import render
from kb.errors import KBError
from kb.question import MAX_CHARACTERS as QUESTION_LIMIT
from kb.settings import Settings, load_settings
from kb.tables import iso_date
from kb.types import Answer, CheckReport, Document, Filters, Turn

if TYPE_CHECKING:
    from fastapi import FastAPI

    from kb.pipeline import KnowledgeBase

TEXT_LIMIT = 50_000
EXAMPLES = 5
# Questions answered at the same moment, and how many may wait before the rest are told to come back.
AT_ONCE = max(4, 2 * (os.cpu_count() or 1))
WAITING = 200

DEFECT = "Something went wrong here; the server's log says what."
CHANGED = "This document has changed since the answer was given. Ask again to see what it says now."

log = logging.getLogger(__name__)

Past = tuple[Answer, ...]


class Desk:
    """What the page and the API can ask of one knowledge base. Holds no state of any visitor."""

    def __init__(self, kb: KnowledgeBase) -> None:
        self.kb = kb

    # ------------------------------------------------------------------------------------ page

    def welcome(self) -> str:
        """The page before the first question."""
        return render.welcome_html(self.kb.key_questions(EXAMPLES), self.kb.info()["documents"])

    def footer(self) -> str:
        """How much the library holds and how new it is."""
        info = self.kb.info()
        return render.footer_html(info["documents"], info["newest"])

    def arrive(self, past: Past) -> tuple[Any, str]:
        """Welcome and footer as they are when the page is loaded, not when the server was started."""
        return gr.skip() if past else self.welcome(), self.footer()

    def answer(self, question: str, past: Past) -> Iterator[tuple[Any, Past, Any]]:
        """Yield the conversation, its answers and the content of the question box, as the answer grows."""
        question = question.strip()
        if not question:
            yield gr.skip(), past, gr.skip()
            return
        yield render.conversation_html((*past, Answer(question, "answered")), busy=True), past, ""
        answer = self.reply(question, turns(past))
        for part in growing(answer):
            yield render.conversation_html((*past, part), busy=True), past, gr.skip()
        now = (*past, answer)
        yield render.conversation_html(now), now, question if answer.status == "error" else gr.skip()

    def example(self, past: Past, chosen: gr.EventData) -> Iterator[tuple[Any, Past, Any]]:
        """The same for a question that was clicked instead of typed."""
        yield from self.answer(str(_sent(chosen).get("question", "")), past)

    def source(self, past: Past, place: gr.EventData) -> str:
        """The document at a citation, or a sentence that says why it cannot be shown."""
        sent = _sent(place)
        document_id, start, end = sent.get("document"), sent.get("start"), sent.get("end")
        if not (isinstance(document_id, str) and isinstance(start, int) and isinstance(end, int)):
            return render.panel_html(render.problem_html("This link does not name a passage."))
        try:
            document = self.kb.document(document_id)
        except KBError as error:
            return render.panel_html(render.problem_html(str(error)))
        if not still_there(document, start, end, past):
            return render.panel_html(render.problem_html(CHANGED))
        return render.panel_html(render.document_html(document, start, end))

    def clear(self) -> tuple[str, Past, str, str]:
        """The welcome, no answers, an empty question box and no open document."""
        return self.welcome(), (), "", ""

    def reply(self, question: str, history: Sequence[Turn] = (), filters: Filters | None = None) -> Answer:
        """An ``Answer`` whatever happens; a defect is logged with its traceback and named as one."""
        if len(question) > QUESTION_LIMIT:
            return Answer(
                question[:200] + " …", "error", error=_too_long("question", question, QUESTION_LIMIT)
            )
        try:
            return self.kb.ask(question, filters=filters or Filters(), history=history)
        except KBError as error:
            return Answer(question, "error", error=str(error))
        except Exception:  # the visitor gets a sentence, the log gets the traceback
            log.exception("a question failed")
            return Answer(question, "error", error=DEFECT)

    # ------------------------------------------------------------------------------------- API

    def api_ask(
        self,
        question: str,
        history: list[dict[str, str]] | None = None,
        source: str = "",
        document_id: str = "",
        after: str = "",
        before: str = "",
    ) -> dict[str, Any]:
        """Answer a question from the documents, each sentence cited, or say that they do not answer it.

        Args:
            question: the question, at most 2,000 characters.
            history: earlier messages, oldest first, as {"role": "user" or "assistant", "content": text}.
            source: only documents of this publisher; a part of the name is enough.
            document_id: only this document.
            after: only documents published on this ISO date or later.
            before: only documents published on this ISO date or earlier.

        Returns:
            question, status (answered, not_found or error), answer, sentences, citations, passages,
            confidence, notices, model, seconds and error.
        """
        try:
            filters = _filters(source, document_id, after, before)
        except KBError as error:
            return Answer(question, "error", error=str(error)).to_dict()
        return self.reply(question, _turns_sent(history or []), filters).to_dict()

    def api_check(
        self, text: str, source: str = "", document_id: str = "", after: str = "", before: str = ""
    ) -> dict[str, Any]:
        """Check the claims of a text against the documents.

        Args:
            text: the text to check, at most 50,000 characters.
            source: only documents of this publisher; a part of the name is enough.
            document_id: only this document.
            after: only documents published on this ISO date or later.
            before: only documents published on this ISO date or earlier.

        Returns:
            text, claims (claim, start, end, verdict, confidence, explanation, citations), seconds, error.
        """
        if len(text) > TEXT_LIMIT:
            return CheckReport("", error=_too_long("text", text, TEXT_LIMIT)).to_dict()
        try:
            return self.kb.check(text, filters=_filters(source, document_id, after, before)).to_dict()
        except KBError as error:
            return CheckReport(text, error=str(error)).to_dict()

    def api_search(
        self,
        query: str,
        top: int = 10,
        source: str = "",
        document_id: str = "",
        after: str = "",
        before: str = "",
    ) -> list[dict[str, Any]]:
        """Find the passages nearest to a query.

        Args:
            query: words or a question, at most 2,000 characters.
            top: how many passages, from 1 to 100.
            source: only documents of this publisher; a part of the name is enough.
            document_id: only this document.
            after: only documents published on this ISO date or later.
            before: only documents published on this ISO date or earlier.

        Returns:
            Passages, best first: rank, score, document_id, title, publisher, author, published, url,
            section, page, start, end and text.
        """
        if len(query) > QUESTION_LIMIT:
            raise gr.Error(_too_long("query", query, QUESTION_LIMIT))
        if not 1 <= top <= 100:
            raise gr.Error("Ask for 1 to 100 passages.")
        try:
            hits = self.kb.search(query, filters=_filters(source, document_id, after, before), top=top)
        except KBError as error:
            raise gr.Error(str(error)) from error
        return [hit.to_dict() for hit in hits]


# ------------------------------------------------------------------------------------------ steps


def turns(past: Past) -> list[Turn]:
    """Earlier questions and answers, as ``KnowledgeBase.ask`` takes its history."""
    return [
        turn
        for answer in past
        for turn in (
            Turn("user", answer.question),
            Turn("assistant", answer.text or answer.error or render.REFUSAL),
        )
    ]


def growing(answer: Answer) -> Iterator[Answer]:
    """The answer sentence by sentence, without citations: those come with the whole."""
    for count in range(1, len(answer.sentences)):
        said = answer.sentences[:count]
        text = answer.text[: said[-1].end]
        yield replace(answer, text=text, sentences=said, citations=(), hits=(), notices=())


def still_there(document: Document, start: int, end: int, past: Past) -> bool:
    """Whether these offsets lie in the document and still hold the words this visitor was shown."""
    if not 0 <= start < end <= len(document.text):
        return False
    shown = {(c.document_id, c.start, c.end): c.quote for answer in past for c in answer.citations}
    passages = [hit.passage for answer in past for hit in answer.hits]
    shown |= {(p.document_id, p.start, p.end): p.text for p in passages}
    now = document.text[start:end]
    return shown.get((document.id, start, end), now) == now


def _sent(event: gr.EventData) -> dict[str, Any]:
    """What the browser sent with an event; anything but an object counts as empty."""
    return event._data if isinstance(event._data, dict) else {}


def _filters(source: str, document_id: str, after: str, before: str) -> Filters:
    return Filters(
        publishers=(source,) if source else (),
        document_ids=(document_id,) if document_id else (),
        after=iso_date(after) if after else None,
        before=iso_date(before, last=True) if before else None,
    )


def _turns_sent(history: list[dict[str, str]]) -> list[Turn]:
    return [
        Turn("assistant" if turn.get("role") == "assistant" else "user", str(turn.get("content", "")))
        for turn in history
        if isinstance(turn, dict)
    ]


def _too_long(what: str, text: str, limit: int) -> str:
    return f"This {what} has {len(text):,} characters; please keep it under {limit:,}."


# ------------------------------------------------------------------------------------------- page

# The links and buttons inside the conversation are plain HTML. This turns a click on one into an event
# with what the server needs to know, and follows the newest question as the conversation grows.
CONVERSATION_JS = """
const calm = matchMedia('(prefers-reduced-motion: reduce)');
element.addEventListener('click', (event) => {
  const place = event.target.closest('[data-doc]');
  if (place) {
    event.preventDefault();
    window.kbqaOpener = place;
    const {doc, start, end} = place.dataset;
    trigger('source', {document: doc, start: Number(start), end: Number(end)});
  }
  const example = event.target.closest('[data-question]');
  if (example) trigger('example', {question: example.dataset.question});
  const copy = event.target.closest('[data-copy]');
  if (copy) {
    const done = () => { copy.textContent = 'Copied'; };
    if (navigator.clipboard) navigator.clipboard.writeText(copy.dataset.copy).then(done);
    else {  // plain http on another host than this one
      const area = Object.assign(document.createElement('textarea'), {value: copy.dataset.copy});
      document.body.append(area); area.select(); document.execCommand('copy'); area.remove(); done();
    }
  }
});
let shown = 0;
watch('value', () => {
  const exchanges = element.querySelectorAll('.exchange');
  const behavior = calm.matches ? 'auto' : 'smooth';
  if (exchanges.length > shown) exchanges[exchanges.length - 1].scrollIntoView({block: 'start', behavior});
  shown = exchanges.length;
});
"""

PANEL_JS = """
const close = () => {
  trigger('close');
  if (window.kbqaOpener && window.kbqaOpener.isConnected) window.kbqaOpener.focus();
};
element.addEventListener('click', (event) => { if (event.target.closest('[data-close]')) close(); });
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && element.querySelector('.panel')) close();
});
"""

# Runs after the panel has its document, also when the same citation is clicked twice. Beside the
# conversation only the panel scrolls; below it, on a phone, the page does.
SHOW_QUOTE_JS = """() => requestAnimationFrame(() => {
  const panel = document.querySelector('#source');
  const target = panel && (panel.querySelector('#quote') || panel.querySelector('.problem'));
  if (!target) return;
  target.focus({preventScroll: true});
  if (getComputedStyle(panel).overflowY === 'auto') {
    const below = target.getBoundingClientRect().top - panel.getBoundingClientRect().top;
    panel.scrollTop += below - panel.clientHeight / 3;
  } else target.scrollIntoView({block: 'center'});
})"""


def build_app(kb: KnowledgeBase) -> gr.Blocks:
    """The page and its API over an open knowledge base; launch or mount it with ``page_options()``."""
    desk = Desk(kb)
    page = gr.Blocks(title="kbqa", analytics_enabled=False, fill_width=True)
    with page:
        past = gr.State(())
        with gr.Row(elem_id="desk"):
            with gr.Column(elem_id="chat", min_width=280):
                conversation = gr.HTML(
                    desk.welcome(),
                    elem_id="conversation",
                    js_on_load=CONVERSATION_JS,
                    apply_default_css=False,
                )
                with gr.Row(elem_id="asking"):
                    box = gr.Textbox(
                        label="Your question",
                        placeholder="Ask a question",
                        show_label=False,
                        max_lines=6,
                        autofocus=True,
                        submit_btn="Ask",
                        elem_id="question",
                        html_attributes=gr.InputHTMLAttributes(spellcheck=True, autocomplete="off"),
                    )
                    fresh = gr.Button("Clear", size="sm", elem_id="clear", min_width=64)
                footer = gr.HTML(desk.footer(), elem_id="footer", js_on_load=None, apply_default_css=False)
            with gr.Column(elem_id="beside", min_width=280):
                panel = gr.HTML("", elem_id="source", js_on_load=PANEL_JS, apply_default_css=False)

        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        page.load(desk.arrive, [past], [conversation, footer], **quiet)
        growing_page = [conversation, past, box]
        asked = box.submit(desk.answer, [box, past], growing_page, **quiet)
        chosen = conversation.example(desk.example, [past], growing_page, **quiet)
        fresh.click(desk.clear, None, [*growing_page, panel], cancels=[asked, chosen], **quiet)
        opened = conversation.source(desk.source, [past], panel, queue=False, **quiet)
        opened.then(None, js=SHOW_QUOTE_JS)
        panel.close(None, None, panel, js="() => ''")

        api(desk.api_ask, api_name="ask")
        api(desk.api_check, api_name="check")
        api(desk.api_search, api_name="search")
    page.queue(max_size=WAITING, default_concurrency_limit=AT_ONCE)
    return page


def page_options() -> dict[str, Any]:
    """What ``launch`` and ``mount_gradio_app`` are told: our looks, and nothing that keeps or sends data."""
    return {
        "theme": _theme(),
        "css": CSS,
        "head": HEAD,
        "footer_links": [],
        "run_history": False,
        "enable_monitoring": False,
        "show_error": False,
        "ssr_mode": False,
        "pwa": False,
    }


def build_server(kb: KnowledgeBase) -> FastAPI:
    """The page as a web application of its own, to be run by any ASGI server."""
    from fastapi import FastAPI

    site = FastAPI(title="kbqa", docs_url=None, redoc_url=None, openapi_url=None)
    gr.mount_gradio_app(site, build_app(kb), path="/", **page_options())
    return site


def main(settings: Settings | None = None, *, open_browser: bool = False) -> None:
    """Serve the page until it is interrupted, and print its address once it is up.

    Raises ``KBError`` if there is no knowledge base or the port cannot be had.
    """
    from kb.pipeline import KnowledgeBase

    settings = settings or load_settings()
    with KnowledgeBase.open(settings.kb, settings) as kb, _listen(settings.host, settings.port) as listener:
        address = f"http://{_shown(settings.host)}:{listener.getsockname()[1]}"
        # Pages keep a connection open for as long as they are looked at; do not wait for them.
        config = uvicorn.Config(build_server(kb), log_level="warning", timeout_graceful_shutdown=1)
        server = _Server(config, ready=lambda: _say(address, open_browser))
        # uvicorn ends in order on SIGTERM and raises it again: let that be an exception, not the end,
        # so the knowledge base is closed too.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """uvicorn, which says once it is ready for requests."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self.ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # Open pages hold a connection each. Cutting them is how it ends, not an error to report.
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        await super().shutdown(sockets)


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket; bound here so that a port in use is an error of ours, with its cure."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=512)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise KBError(
            f"cannot listen on port {port} of {host} ({why})", "choose another with --port"
        ) from error


def _shown(host: str) -> str:
    """The host as it stands in an address that a browser on this machine can open."""
    if host in ("", "0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _say(address: str, open_browser: bool) -> None:
    print(f"kbqa is ready at {address} (Ctrl-C ends it)", file=sys.stderr, flush=True)
    if open_browser:
        import webbrowser

        webbrowser.open(address)


# ------------------------------------------------------------------------------------------ looks

# Fonts that machines have; a font from elsewhere would be a request to elsewhere.
SANS = ("ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

HEAD = """
<meta name="referrer" content="no-referrer">
<link rel="icon" href="data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E\
%3Crect width='16' height='16' rx='3' fill='%231f4e79'/%3E\
%3Cpath d='M4 4h8v6H8l-3 3v-3H4z' fill='%23fff'/%3E%3C/svg%3E">
"""

CSS = """
:root { --paper: #fbfaf7; --sheet: #ffffff; --ink: #1d1c1a; --soft: #66625a; --rule: #e3dfd6;
  --link: #1f4e79; --wash: #eef3f8; --mark: #ffefad; --warn: #8a2f1d;
  --serif: Charter, 'Bitstream Charter', 'Iowan Old Style', 'Palatino Linotype', Cambria, Georgia, serif; }
.dark { --paper: #161513; --sheet: #1e1c1a; --ink: #ece8e0; --soft: #a7a196; --rule: #37332d;
  --link: #9cc4ec; --wash: #202a34; --mark: #5c4a0f; --warn: #f0a08c; }

html { scroll-padding: 1.5rem 0 9rem; }
.gradio-container { overflow: visible !important; }
.gradio-container > .main { max-width: none !important; padding: 0 !important; }
.gradio-container > [role=status] { display: none; }
#desk .html-container { padding: 0; }
#desk { display: grid; grid-template-columns: minmax(0, 44rem); justify-content: center; gap: 0;
  min-height: 100vh; padding: 0 clamp(1rem, 4vw, 2.5rem); }
#desk:has(.panel) { grid-template-columns: minmax(0, 42rem) minmax(0, 38rem);
  gap: clamp(1.5rem, 4vw, 4rem); }
#chat { display: flex; flex-direction: column; min-width: 0 !important; min-height: 100vh; gap: 0;
  padding-top: 3rem; }
#beside { min-width: 0 !important; align-self: stretch; } /* as tall as the chat: the panel can stick */
#beside:not(:has(.panel)) { display: none; }
#conversation { flex: 0 1 auto; }
#chat:has(.conversation) #conversation { flex: 1 0 auto; }
#conversation, #source, #footer { color: var(--ink); }
#desk a, #desk button { transition: none; }
#desk :is(a, button, h2):focus-visible { outline: 2px solid var(--link) !important; outline-offset: 2px; }
#desk mark:focus { outline: none; }

.welcome { padding: 14vh 0 1.75rem; }
.welcome h1 { font: 400 2.4rem/1.15 var(--serif); letter-spacing: -.01em; margin: 0 0 .6rem;
  color: var(--ink); }
.welcome p { font-size: 1.05rem; line-height: 1.55; color: var(--soft); margin: 0; max-width: 34rem; }
.examples { list-style: none; margin: 1.75rem 0 0; padding: 0; border-top: 1px solid var(--rule); }
.examples li { margin: 0; border-bottom: 1px solid var(--rule); }
.examples button { width: 100%; text-align: start; padding: .7rem 0; font: 400 1.05rem/1.45 var(--serif);
  color: var(--link); background: none; border: 0; cursor: pointer; }
.examples button:hover { text-decoration: underline; text-underline-offset: 3px; }

.exchange { padding: 0 0 2.25rem; margin: 0 0 2.25rem; border-bottom: 1px solid var(--rule);
  scroll-margin-top: 1.5rem; }
.exchange:last-child { border: 0; margin-bottom: 0; }
.exchange:last-child:not(:first-child) { min-height: calc(100vh - 9rem); } /* room to scroll it to the top */
.exchange .question { font: 600 1rem/1.45 inherit; font-family: inherit; color: var(--soft);
  margin: 0 0 .9rem; overflow-wrap: anywhere; }
.answer-text { font: 400 1.3rem/1.6 var(--serif); color: var(--ink); white-space: pre-line;
  overflow-wrap: anywhere; max-width: 40rem; }
.sentence.unsupported { text-decoration: underline dotted var(--warn); text-underline-offset: 4px; }
.cite { margin: 0 .1em 0 .25em; padding: .2em .45em;
  vertical-align: .3em; font: 600 .72rem/1.1 ui-sans-serif, system-ui, sans-serif; text-align: center;
  text-decoration: none !important; color: var(--link); background: var(--wash); border-radius: 4px;
  white-space: nowrap; }
.cite:hover { color: var(--paper); background: var(--link); }
.refusal { font: 400 1.3rem/1.6 var(--serif); margin: 0; color: var(--ink); }
.closest-label { margin: 1.1rem 0 0; color: var(--soft); font-size: .875rem; }
.pending { color: var(--soft); font-size: 1rem; margin: 0; }
.problem { margin: 0; padding: .8rem 1rem; border-inline-start: 3px solid var(--warn);
  background: var(--sheet); color: var(--ink); line-height: 1.5; overflow-wrap: anywhere; }
.notice { margin: 1.1rem 0 0; padding: .1rem 0 .1rem .9rem; border-inline-start: 3px solid var(--mark);
  font-size: .925rem; line-height: 1.5; color: var(--ink); max-width: 40rem; }
.sources { margin: 1.4rem 0 0; padding: 0; list-style: none; font-size: .875rem; line-height: 1.5;
  color: var(--soft); }
.sources li { display: flex; gap: .6rem; margin: 0 0 .85rem; overflow-wrap: anywhere; }
.sources li > div { min-width: 0; }
.numbers { flex: 0 0 auto; max-width: 6rem; }
.numbers .cite { margin: 0 .15em 0 0; vertical-align: 0; }
.source-title { color: var(--link); font-weight: 600; text-decoration: none !important; }
.source-title:hover { text-decoration: underline !important; text-underline-offset: 3px; }
.facts { margin: 0; color: var(--soft); font-size: inherit; }
.quote { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 3; overflow: hidden;
  margin-top: .15rem; color: var(--ink); opacity: .85; font-family: var(--serif); font-size: .95rem; }
.tools { margin: .4rem 0 0; }
.copy { padding: .25rem 0; font-size: .8rem; color: var(--soft); background: none; border: 0;
  cursor: pointer; }
.copy:hover { color: var(--link); text-decoration: underline; }

#asking { display: flex; flex-wrap: nowrap; align-items: flex-end; gap: .5rem; position: sticky; bottom: 0;
  z-index: 5; padding: .75rem 0 .5rem; background: linear-gradient(transparent, var(--paper) .75rem); }
#question { flex: 1; min-width: 0 !important; padding: 0; border: 0; background: none; box-shadow: none;
  overflow: visible; }
#question .input-container { background: var(--sheet); border: 1px solid var(--rule); border-radius: 10px;
  padding: .3rem .35rem .3rem .5rem; align-items: center; }
#question .input-container:focus-within { border-color: var(--link); box-shadow: 0 0 0 1px var(--link); }
#asking .form { overflow: visible; border: 0; background: none; }
#question textarea { font-size: 1.05rem; line-height: 1.5; background: none; border: 0; box-shadow: none;
  color: var(--ink); outline: none !important; padding: .3rem .6rem; }
#question textarea::placeholder { color: var(--soft); opacity: 1; }
#question .submit-button { width: auto; height: auto; padding: .45rem 1rem; border-radius: 7px;
  font-weight: 600; font-size: .9rem; color: var(--paper); background: var(--link); }
#clear { flex: 0 0 auto; padding: .8rem .5rem; color: var(--soft); background: none; border: 0;
  box-shadow: none; font-weight: 400; min-width: 0 !important; }
#clear:hover { color: var(--link); }
#chat:not(:has(.exchange)) #clear { display: none; }
.colophon { margin: 0; padding: .25rem 0 1.25rem; font-size: .8rem; color: var(--soft); }

#source { position: sticky; top: 0; height: 100vh; overflow-y: auto !important;
  background: var(--sheet); border-inline: 1px solid var(--rule); }
.panel { padding: 2.25rem clamp(1.1rem, 3vw, 2.5rem) 6rem; }
.panel .close { position: sticky; top: 1rem; float: inline-end; margin: 0 0 0 1rem; padding: .35rem .7rem;
  font-size: .8rem; color: var(--soft); background: var(--paper); border: 1px solid var(--rule);
  border-radius: 6px; cursor: pointer; z-index: 2; }
.panel .close:hover { color: var(--link); border-color: var(--link); }
.document header { padding-bottom: 1.1rem; margin-bottom: 1.4rem; border-bottom: 1px solid var(--rule);
  font-size: .875rem; }
.document-title { font: 400 1.6rem/1.25 var(--serif); margin: 0 0 .5rem; color: var(--ink);
  overflow-wrap: anywhere; }
.original { margin: .3rem 0 0; font-size: inherit; }
.original a { color: var(--link); }
.document-text { font: 400 1.05rem/1.65 var(--serif); color: var(--ink); overflow-wrap: anywhere; }
.document-text p { margin: 0 0 1rem; white-space: pre-line; font-size: inherit; line-height: inherit; }
.document-text :is(h3, h4) { font: 600 1.05rem/1.4 var(--serif); margin: 1.6rem 0 .5rem;
  color: var(--ink); }
.document-text h3 { font-size: 1.2rem; }
mark { background: var(--mark); color: inherit; padding: .12em 0; border-radius: 2px;
  box-decoration-break: clone; -webkit-box-decoration-break: clone; }

@media (max-width: 860px) {
  #desk, #desk:has(.panel) { grid-template-columns: minmax(0, 1fr); gap: 0; }
  #chat { padding-top: 1.25rem; }
  #desk:has(.panel) #chat { min-height: 0; }
  #source { position: static; height: auto; overflow: visible !important; border-inline: 0;
    border-top: 1px solid var(--rule); margin: 0 calc(-1 * clamp(1rem, 4vw, 2.5rem)); min-height: 60vh;
    min-width: calc(100% + 2 * clamp(1rem, 4vw, 2.5rem)) !important; }
  .welcome { padding-top: 7vh; }
  .welcome h1 { font-size: 1.9rem; }
  .answer-text, .refusal { font-size: 1.18rem; }
  .cite { padding: .35em .5em; }
}
@media (prefers-reduced-motion: reduce) { * { animation: none !important; transition: none !important; } }
@media print { #asking, #footer, .tools, .close { display: none !important; } }
"""


def _theme() -> gr.themes.Base:
    """Gradio's own widgets in the colours and fonts of the page."""
    return gr.themes.Base(primary_hue="slate", neutral_hue="stone", font=SANS, font_mono=MONO).set(
        body_background_fill="#fbfaf7",
        body_background_fill_dark="#161513",
        body_text_color="#1d1c1a",
        body_text_color_dark="#ece8e0",
        background_fill_primary="#fbfaf7",
        background_fill_primary_dark="#161513",
        block_background_fill="transparent",
        block_background_fill_dark="transparent",
        block_border_width="0px",
        block_shadow="none",
        input_background_fill="#ffffff",
        input_background_fill_dark="#1e1c1a",
    )


if __name__ == "__main__":
    try:
        main()
    except KBError as error:
        print(f"kbqa: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
