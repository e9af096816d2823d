"""The Ask tab: a conversation in which every citation opens its source.

``kb.render`` writes the HTML (and escapes all of it), and one Gradio component shows the conversation.
What a visitor asked lives in the session of that visitor alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import gradio as gr

from kb import render
from kb.types import EXTRACTIVE, Answer, Turn
from kb.web.desk import QUIET, footer, replying, sent
from kb.web.source import OPEN_JS, SHOW_QUOTE_JS, Shown, open_place, panel

if TYPE_CHECKING:
    from kb.pipeline import KnowledgeBase

EXAMPLES = 5
REDRAWN_S = 0.05  # the conversation is drawn no more often than this while a model writes

Past = tuple[Answer, ...]

# The links and buttons inside the conversation are plain HTML. This turns a click on one into an event
# with what the server needs to know, and follows the newest question as the conversation grows.
CONVERSATION_JS = """
const calm = matchMedia('(prefers-reduced-motion: reduce)');
element.addEventListener('click', (event) => {
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


class Ask:
    """What the tab shows of one knowledge base. Holds no state of any visitor."""

    def __init__(self, kb: KnowledgeBase) -> None:
        self.kb = kb

    def welcome(self) -> str:
        """The page before the first question."""
        return render.welcome_html(self.kb.key_questions(EXAMPLES), self.kb.info()["documents"])

    def arrive(self, past: Past) -> tuple[Any, str]:
        """Welcome and footer as they are when the page is loaded, not when the server was started."""
        return gr.skip() if past else self.welcome(), footer(self.kb)

    def answer(self, question: str, past: Past) -> Iterator[tuple[Any, Past, Any]]:
        """Yield the conversation, its answers and the content of the question box, as the answer grows."""
        question = question.strip()
        if not question:
            yield gr.skip(), past, gr.skip()
            return
        yield render.conversation_html((*past, Answer(question, "answered")), busy=True), past, ""
        answer, drawn = Answer(question, "error"), 0.0
        for answer in replying(self.kb, question, turns(past)):
            if answer.model != EXTRACTIVE and time.monotonic() - drawn > REDRAWN_S:
                drawn = time.monotonic()
                yield render.conversation_html((*past, answer), busy=True), past, gr.skip()
        for part in growing(answer) if answer.model == EXTRACTIVE else ():
            yield render.conversation_html((*past, part), busy=True), past, gr.skip()
        now = (*past, answer)
        yield render.conversation_html(now), now, question if answer.status == "error" else gr.skip()

    def example(self, past: Past, chosen: gr.EventData) -> Iterator[tuple[Any, Past, Any]]:
        """The same for a question that was clicked instead of typed."""
        yield from self.answer(str(sent(chosen).get("question", "")), past)

    def source(self, past: Past, place: gr.EventData) -> str:
        """The document at a citation of one of the answers or of the closest passages."""
        return open_place(self.kb, place, shown(past))

    def clear(self) -> tuple[str, Past, str, str]:
        """The welcome, no answers, an empty question box and no open document."""
        return self.welcome(), (), "", ""


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


def shown(past: Past) -> Shown:
    """What the answers so far have quoted."""
    quotes = {(c.document_id, c.start, c.end): c.quote for answer in past for c in answer.citations}
    passages = [hit.passage for answer in past for hit in answer.hits]
    return quotes | {(p.document_id, p.start, p.end): p.text for p in passages}


def growing(answer: Answer) -> Iterator[Answer]:
    """The answer sentence by sentence, without citations: those come with the whole."""
    for count in range(1, len(answer.sentences)):
        said = answer.sentences[:count]
        text = answer.text[: said[-1].end]
        yield replace(answer, text=text, sentences=said, citations=(), hits=(), notices=())


def tab(page: gr.Blocks, kb: KnowledgeBase) -> None:
    """Lay out the tab and join its parts."""
    asking = Ask(kb)
    past = gr.State(())
    with gr.Row(elem_classes="desk"):
        with gr.Column(elem_id="chat", elem_classes="main-column", min_width=280):
            conversation = gr.HTML(
                asking.welcome(),
                elem_id="conversation",
                js_on_load=OPEN_JS + CONVERSATION_JS,
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
            colophon = gr.HTML(footer(kb), elem_classes="footer", js_on_load=None, apply_default_css=False)
        with gr.Column(elem_classes="beside", min_width=280):
            source = panel(elem_id="source")

    page.load(asking.arrive, [past], [conversation, colophon], **QUIET)
    growing_page = [conversation, past, box]
    asked = box.submit(asking.answer, [box, past], growing_page, **QUIET)
    chosen = conversation.example(asking.example, [past], growing_page, **QUIET)
    fresh.click(asking.clear, None, [*growing_page, source], cancels=[asked, chosen], **QUIET)
    opened = conversation.source(asking.source, [past], source, queue=False, **QUIET)
    opened.then(None, js=SHOW_QUOTE_JS)
