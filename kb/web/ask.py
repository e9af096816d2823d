"""The Ask tab: a conversation in which every citation opens its source.

``kb.web.talk`` writes the HTML, and one Gradio component shows the conversation. What a visitor asked lives
in the session of that visitor, and in the visitor's browser; what a visitor says of an answer is kept beside
the knowledge base, without a name.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import resources
from typing import TYPE_CHECKING, Any

import gradio as gr

from kb import phrases, render
from kb.types import EXTRACTIVE, Answer, Turn
from kb.web import feedback
from kb.web.desk import QUIET, at_once, count_again, explained, footer, passing, replying, sent, too_much
from kb.web.draft import DOWNLOAD_JS, download_html
from kb.web.offers import Offers
from kb.web.source import OPEN_JS, SHOW_QUOTE_JS, Shown, open_place, panel
from kb.web.talk import Around, conversation_html, dock_html, told_html, welcome_html
from kb.web.transcript import FORMATS, transcript

if TYPE_CHECKING:
    from kb.pipeline import KnowledgeBase

EXAMPLES = 5
NEXT = 2
MOST_AT_ONCE = 20  # questions of a conversation that is asked again
REDRAWN_S = 0.05  # the conversation is drawn no more often than this while a model writes

Past = tuple[Answer, ...]
Step = tuple[Any, Any, Any]  # the conversation, its answers, and the content of the question box

# What the page's script says and does: kb/web/ask.js, with the words that it needs.
ASK_JS = (
    "const SAY = "
    + json.dumps({name: word for name, word in vars(phrases).items() if name.isupper()})
    + ";\n"
    + resources.files("kb.web").joinpath("ask.js").read_text("utf-8")
)


class Ask:
    """What the tab shows of one knowledge base. Holds no state of any visitor."""

    def __init__(self, kb: KnowledgeBase) -> None:
        self.kb = kb
        self.offers = Offers(kb)

    def blank(self) -> str:
        """The page before the first question, with room for what will be offered."""
        return welcome_html(self.offers.unchecked(EXAMPLES), self.kb.info()["documents"], asked=False)

    def welcome(self) -> str:
        """The page before the first question."""
        return welcome_html(self.offers.to_begin_with(EXAMPLES), self.kb.info()["documents"])

    def dock(self) -> str:
        """The row below the question."""
        return dock_html(footer(self.kb))

    def arrive(self) -> tuple[str, str]:
        """Welcome and dock as they are when the page is loaded, not when the server was started."""
        return self.welcome(), self.dock()

    def answer(self, question: str, past: Past) -> Iterator[Step]:
        """Yield the conversation, its answers and the content of the question box, as the answer grows."""
        question = question.strip()
        if not question:
            yield gr.skip(), gr.skip(), gr.skip()
            return
        answer, drawn = Answer(question, "answered"), 0.0
        yield self._drawn((*past, answer), busy=True), (*past, stopped(answer)), ""
        for answer in replying(self.kb, question, turns(past)):
            if answer.model != EXTRACTIVE and time.monotonic() - drawn > REDRAWN_S:
                drawn = time.monotonic()
                yield self._drawn((*past, answer), busy=True), (*past, stopped(answer)), gr.skip()
        now = (*past, answer)
        yield self._drawn(now), now, question if answer.status == "error" else gr.skip()

    def chosen(self, past: Past, event: gr.EventData, request: gr.Request) -> Iterator[Step]:
        """The same for questions that were clicked, or came with the address, one after the other."""
        asked = sent(event).get("questions")
        questions = [q for q in asked if isinstance(q, str) and q.strip()] if isinstance(asked, list) else []
        for n, question in enumerate(questions[:MOST_AT_ONCE]):
            if n and (wait := count_again(request)):  # the gate has counted the first one
                now = (*past, Answer(question, "error", error=too_much(wait)))
                yield self._drawn(now), now, gr.skip()
                return
            for step in self.answer(question, past):
                yield step[0], step[1], gr.skip()  # what a visitor has begun to write stays
            past = step[1]

    def redo(self, past: Past, event: gr.EventData) -> Iterator[Step]:
        """Ask one of the questions again, in other words if it was edited; what came after it goes."""
        n, question = exchange(past, event), sent(event).get("question")
        if n is None:
            yield gr.skip(), gr.skip(), gr.skip()
            return
        asked = question if isinstance(question, str) and question.strip() else past[n].question
        for step in self.answer(asked, past[:n]):
            yield step[0], step[1], step[2] or gr.skip()

    def stop(self, past: Past) -> Step:
        """What is there so far: while an answer grows, the answers hold what is left if it is stopped."""
        return self._drawn(past) if past else "", past, gr.skip()

    def source(self, past: Past, place: gr.EventData) -> str:
        """The document at a citation of one of the answers or of the closest passages."""
        return open_place(self.kb, place, shown(past))

    def judge(self, past: Past, event: gr.EventData) -> str:
        """Keep what a visitor says of an answer; tell the page the row and whether it is kept here."""
        told, n = sent(event), exchange(past, event)
        if n is None or told.get("judged") not in feedback.KINDS:
            return ""
        row = feedback.as_case(past[n], turns(past[:n]), told["judged"], str(told.get("note", "")))
        kept = feedback.keep(self.kb.settings.kb, row)
        return told_html({"n": n + 1, "kept": kept, "row": row})

    def export(self, past: Past, event: gr.EventData) -> str:
        """One answer, or all, as a file of the kind that was asked for."""
        told, n = sent(event), exchange(past, event)
        chosen, suffix = past if n is None else past[n : n + 1], str(told.get("suffix"))
        if not chosen or suffix not in FORMATS:
            return ""
        try:
            made = transcript(chosen, self.kb.info(), self.kb.documents(), suffix)
        except Exception as error:  # noqa: BLE001  the visitor gets a sentence, the log gets the traceback
            return render.problem_html(explained(error))
        name = phrases.FILE_CONVERSATION if n is None else phrases.FILE_ANSWER
        return download_html(f"{name}{suffix}", made)

    def clear(self) -> tuple[str, str, Past, str, str]:
        """The welcome, no conversation, no answers, an empty question box and no open document."""
        return self.welcome(), "", (), "", ""

    def _drawn(self, past: Past, *, busy: bool = False) -> str:
        asked = [answer.question for answer in past]
        offered = (
            () if busy or past[-1].status == "error" else self.offers.to_go_on_with(past[-1], asked, NEXT)
        )
        return conversation_html(past, Around(self.kb.info()["newest"], offered), busy=busy)


def exchange(past: Past, event: gr.EventData) -> int | None:
    """Which of the answers an event is about; it says so counted from 1."""
    n = sent(event).get("n")
    return n - 1 if isinstance(n, int) and 1 <= n <= len(past) else None


def stopped(answer: Answer) -> Answer:
    """What is left of an answer that is stopped here: the sentences that were held against their sources."""
    if not answer.sentences or not answer.citations:
        return Answer(answer.question, "error", error=phrases.STOPPED)
    text = answer.text[: render.checked_until(answer)]
    return replace(answer, text=text, notices=(*answer.notices, phrases.STOPPED))


def turns(past: Sequence[Answer]) -> list[Turn]:
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


def tab(page: gr.Blocks, kb: KnowledgeBase) -> None:
    """Lay out the tab and join its parts."""
    asking = Ask(kb)
    past = gr.State(())
    with gr.Row(elem_classes="desk"):
        with gr.Column(elem_id="chat", elem_classes="main-column", min_width=280):
            # In a place of its own, hidden by the style sheet once there is a conversation: what is drawn
            # when the page has been loaded can then never take the place of an answer that came first.
            welcome = gr.HTML(asking.blank(), elem_id="welcome", js_on_load=None, apply_default_css=False)
            conversation = gr.HTML(
                "", elem_id="conversation", js_on_load=OPEN_JS + ASK_JS, apply_default_css=False
            )
            with gr.Row(elem_id="asking"):
                box = gr.Textbox(
                    label=phrases.QUESTION,
                    placeholder=phrases.PLACEHOLDER,
                    show_label=False,
                    max_lines=6,
                    autofocus=True,
                    submit_btn=phrases.ASK,
                    stop_btn=phrases.STOP,
                    elem_id="question",
                    html_attributes=gr.InputHTMLAttributes(spellcheck=True, autocomplete="off"),
                )
            dock = gr.HTML(asking.dock(), elem_id="dock", js_on_load=None, apply_default_css=False)
            told = gr.HTML("", elem_id="told", js_on_load=TOLD_JS, apply_default_css=False)
            download = gr.HTML("", js_on_load=DOWNLOAD_JS, apply_default_css=False)
        with gr.Column(elem_classes="beside", min_width=280):
            source = panel(elem_id="source")

    growing_page = [conversation, past, box]
    page.load(asking.arrive, None, [welcome, dock], **QUIET)
    asks: dict[str, Any] = {**QUIET, **passing(kb)}
    running = [
        # Between the last step and the end of its event Gradio would drop what is sent: here it waits for it.
        box.submit(at_once(asking.answer), [box, past], growing_page, trigger_mode="always_last", **asks),
        conversation.ask(at_once(asking.chosen), [past], growing_page, **asks),
        conversation.redo(at_once(asking.redo), [past], growing_page, **asks),
    ]
    box.stop(asking.stop, [past], growing_page, cancels=running, **QUIET)
    conversation.new(asking.clear, None, [welcome, *growing_page, source], cancels=running, **QUIET)
    conversation.judge(asking.judge, [past], told, **QUIET)
    conversation.export(asking.export, [past], download, **QUIET)
    opened = conversation.source(asking.source, [past], source, queue=False, **QUIET)
    opened.then(None, js=SHOW_QUOTE_JS)


TOLD_JS = "watch('value', () => window.kbqaTold(element));\n"
