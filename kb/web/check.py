"""The Check tab: a draft, what the documents say of each of its claims, and the evidence to take along.

A draft is judged claim by claim, and the page grows with it. What a visitor checked lives in the session of
that visitor alone; a file that was opened is read and deleted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from ingest.draft import READS, read_draft
from kb import phrases, render
from kb.errors import KBError
from kb.pack import FORMATS, pack
from kb.types import CheckReport, Filters
from kb.web.desk import QUIET, explained, filters_of, footer, judging, offering, sent
from kb.web.draft import DOWNLOAD_JS, checked_html, download_html
from kb.web.source import OPEN_JS, SHOW_QUOTE_JS, Shown, open_place, panel

if TYPE_CHECKING:
    from kb.pipeline import KnowledgeBase

EVERY_S = 0.5  # how often the page is told of new verdicts: each time it gets the whole draft

# Which claim is chosen is known to the page alone. Arrow keys move within the draft, where they do nothing
# else; the buttons do the same from anywhere. A new verdict leaves the choice as it is.
CHECKED_JS = """
let chosen = 0;
const all = (css) => [...element.querySelectorAll(css)];
const choose = (n, focus) => {
  const claims = all('.claim'), total = claims.length;
  if (!total) { chosen = 0; return; }
  chosen = Math.min(Math.max(n, 1), total);
  claims.forEach((claim, at) => {
    claim.setAttribute('aria-pressed', at + 1 === chosen);
    claim.tabIndex = at + 1 === chosen ? 0 : -1;
  });
  all('.verdict').forEach((card, at) => { card.hidden = at + 1 !== chosen; });
  element.querySelector('.place-in-draft').textContent = all('.verdict')[chosen - 1].dataset.place;
  if (!focus) return;
  document.querySelector('#check-source [data-close]')?.click();
  claims[chosen - 1].focus({preventScroll: true});
  claims[chosen - 1].scrollIntoView({block: 'nearest'});
};
const next = (kind) => {
  const claims = all('.claim');
  const order = [...claims.slice(chosen), ...claims.slice(0, chosen)];
  const found = order.find((claim) => claim.classList.contains(kind));
  if (found) choose(Number(found.dataset.claim), true);
};
element.addEventListener('click', (event) => {
  const claim = event.target.closest('.claim'), step = event.target.closest('[data-step]');
  const kind = event.target.closest('[data-next]');
  if (claim) choose(Number(claim.dataset.claim), true);
  if (step) choose(chosen + Number(step.dataset.step), true);
  if (kind) next(kind.dataset.next);
  const pack = event.target.closest('[data-pack]');
  if (pack) trigger('pack', {suffix: pack.dataset.pack});
  if (event.target.closest('[data-edit]')) trigger('edit');
});
element.addEventListener('keydown', (event) => {
  if (!event.target.closest('.claim') || event.ctrlKey || event.metaKey || event.altKey) return;
  const to = {ArrowRight: chosen + 1, ArrowDown: chosen + 1, ArrowLeft: chosen - 1, ArrowUp: chosen - 1,
    Home: 1, End: Infinity, Enter: chosen, ' ': chosen}[event.key];
  if (to === undefined) return;
  event.preventDefault();
  choose(to, true);
});
watch('value', () => {
  const worst = element.querySelector('.claim.contradicted') || element.querySelector('.claim');
  if (worst && !chosen) scrollTo(0, 0);
  if (!worst) chosen = 0;
  else choose(chosen || Number(worst.dataset.claim), false);
});
"""

BACK_TO_DRAFT_JS = "() => requestAnimationFrame(() => document.querySelector('#draft textarea').focus())"


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found for a visitor, and where it was looked for."""

    report: CheckReport
    filters: Filters


class Check:
    """What the tab shows of one knowledge base. Holds no state of any visitor."""

    def __init__(self, kb: KnowledgeBase) -> None:
        self.kb = kb

    def check(self, text: str, *limits: str | None) -> Iterator[tuple[str, Checked | None]]:
        """Yield the draft with the verdicts found so far, at last with all of them and the report.

        ``limits`` are publisher, document id, first and last date; a field that was never shown is ``None``.
        """
        try:
            filters = filters_of(*((limit or "").strip() for limit in limits))
        except KBError as error:
            yield render.problem_html(str(error)), None
            return
        report, told = CheckReport(text), time.monotonic()
        yield checked_html(report, busy=True), None
        for report in judging(self.kb, text, filters):
            if time.monotonic() - told > EVERY_S:
                told = time.monotonic()
                yield checked_html(report, busy=True), None
        yield checked_html(report), Checked(report, filters)

    def read(self, file: str) -> tuple[Any, str]:
        """The text of a draft that was opened, or a sentence that says why it cannot be read."""
        try:
            return read_draft(Path(file)), ""
        except Exception as error:  # noqa: BLE001  a file of the visitor's may hold anything
            return gr.skip(), render.problem_html(explained(error))
        finally:
            with suppress(OSError):
                Path(file).unlink()

    def edit(self) -> tuple[str, None, str]:
        """No verdicts, no report, no open document: the form with the draft is there again."""
        return "", None, ""

    def pack(self, checked: Checked | None, wanted: gr.EventData) -> str:
        """The evidence as a file of the kind that was asked for."""
        suffix = str(sent(wanted).get("suffix"))
        if checked is None or suffix not in FORMATS:
            return ""
        made = pack(
            checked.report,
            self.kb.info(),
            self.kb.documents(),
            suffix,
            title=phrases.CHECK_PACK_TITLE,
            filters=checked.filters,
        )
        return download_html(f"{phrases.FILE_EVIDENCE}{suffix}", made)

    def open_source(self, checked: Checked | None, place: gr.EventData) -> str:
        """The document at a citation of one of the verdicts."""
        return open_place(self.kb, place, shown(checked))


def shown(checked: Checked | None) -> Shown:
    """What the evidence of a report has quoted."""
    claims = checked.report.claims if checked else ()
    return {(c.document_id, c.start, c.end): c.quote for claim in claims for c in claim.citations}


def tab(page: gr.Blocks, kb: KnowledgeBase) -> None:
    """Lay out the tab and join its parts."""
    checking = Check(kb)
    found = gr.State(None)
    with gr.Row(elem_classes="desk"):
        with gr.Column(elem_classes="main-column", min_width=280):
            with gr.Column(elem_id="drafting"):
                gr.HTML(
                    render.heading_html(phrases.CHECK_TITLE, phrases.CHECK_LEAD),
                    js_on_load=None,
                    apply_default_css=False,
                )
                draft = gr.Textbox(
                    label=phrases.CHECK_DRAFT,
                    placeholder=phrases.CHECK_PLACEHOLDER,
                    lines=9,
                    max_lines=24,
                    elem_id="draft",
                    html_attributes=gr.InputHTMLAttributes(spellcheck=True, autocomplete="off"),
                )
                with gr.Row(elem_id="draft-buttons"):
                    start = gr.Button(phrases.CHECK, variant="primary", elem_id="start-check", min_width=96)
                    opened_file = gr.UploadButton(phrases.CHECK_OPEN, elem_id="open-draft", min_width=96)
                with gr.Accordion(phrases.CHECK_LIMITS, open=False, elem_id="limits"), gr.Row():
                    limits = [
                        gr.Textbox(label=label, placeholder=example, min_width=140)
                        for label, example in phrases.CHECK_LIMITED
                    ]
            checked = gr.HTML("", elem_id="checked", js_on_load=OPEN_JS + CHECKED_JS, apply_default_css=False)
            download = gr.HTML("", js_on_load=DOWNLOAD_JS, apply_default_css=False)
            gr.HTML(footer(kb), elem_classes="footer", js_on_load=None, apply_default_css=False)
        with gr.Column(elem_classes="beside", min_width=280):
            source = panel(elem_id="check-source")

    page.load(None, js=offering("#draft-buttons", READS))
    running = start.click(checking.check, [draft, *limits], [checked, found], **QUIET)
    opened_file.upload(checking.read, [opened_file], [draft, checked], **QUIET)
    edited = checked.edit(checking.edit, None, [checked, found, source], cancels=[running], **QUIET)
    edited.then(None, js=BACK_TO_DRAFT_JS)
    checked.pack(checking.pack, [found], download, **QUIET)
    opened = checked.source(checking.open_source, [found], source, queue=False, **QUIET)
    opened.then(None, js=SHOW_QUOTE_JS)
