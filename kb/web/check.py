"""The Check tab: paste a draft, see what the documents say of each claim."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gradio as gr

from kb import render
from kb.types import CheckReport
from kb.web.desk import QUIET, footer, judge
from kb.web.source import OPEN_JS, SHOW_QUOTE_JS, Shown, open_place, panel

if TYPE_CHECKING:
    from kb.pipeline import KnowledgeBase


class Check:
    """What the tab shows of one knowledge base. Holds no state of any visitor."""

    def __init__(self, kb: KnowledgeBase) -> None:
        self.kb = kb

    def check(self, text: str) -> tuple[str, CheckReport | None]:
        """The draft with its verdicts, and the report behind them."""
        if not text.strip():
            return "", None
        report = judge(self.kb, text)
        return render.check_html(report), report

    def open_source(self, report: CheckReport | None, place: gr.EventData) -> str:
        """The document at a citation of one of the verdicts."""
        return open_place(self.kb, place, shown(report))


def shown(report: CheckReport | None) -> Shown:
    """What the evidence of a report has quoted."""
    claims = report.claims if report else ()
    return {(c.document_id, c.start, c.end): c.quote for claim in claims for c in claim.citations}


def tab(page: gr.Blocks, kb: KnowledgeBase) -> None:
    """Lay out the tab and join its parts."""
    checking = Check(kb)
    report = gr.State(None)
    with gr.Row(elem_classes="desk"):
        with gr.Column(elem_classes="main-column", min_width=280):
            draft = gr.Textbox(
                label="Draft to check",
                lines=8,
                elem_id="draft",
                html_attributes=gr.InputHTMLAttributes(spellcheck=True, autocomplete="off"),
            )
            start = gr.Button("Check", variant="primary", elem_id="start-check")
            verdicts = gr.HTML("", elem_id="checked", js_on_load=OPEN_JS, apply_default_css=False)
            gr.HTML(footer(kb), elem_classes="footer", js_on_load=None, apply_default_css=False)
        with gr.Column(elem_classes="beside", min_width=280):
            source = panel(elem_id="check-source")

    start.click(checking.check, [draft], [verdicts, report], **QUIET)
    opened = verdicts.source(checking.open_source, [report], source, queue=False, **QUIET)
    opened.then(None, js=SHOW_QUOTE_JS)
