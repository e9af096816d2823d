"""The source panel beside a tab: a document, opened at the words that were quoted.

A click on a citation sends a document id and two offsets; the server checks them and answers with that
document, so every format opens the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gradio as gr

from kb import render
from kb.errors import KBError
from kb.types import Document
from kb.web.desk import sent

if TYPE_CHECKING:
    from kb.pipeline import KnowledgeBase

# Document id, start and end of what a visitor was shown, and the words that stood there.
Shown = Mapping[tuple[str, int, int], str]

CHANGED = "This document has changed since the answer was given. Ask again to see what it says now."

# A click on whatever carries data-doc, inside an HTML component, becomes the event "source".
OPEN_JS = """
element.addEventListener('click', (event) => {
  const place = event.target.closest('[data-doc]');
  if (!place) return;
  event.preventDefault();
  window.kbqaOpener = place;
  const {doc, start, end} = place.dataset;
  trigger('source', {document: doc, start: Number(start), end: Number(end)});
});
"""

PANEL_JS = """
const close = () => {
  element.querySelector('.panel').remove();  // at once: what it hid can take the focus
  trigger('close');
  if (window.kbqaOpener && window.kbqaOpener.isConnected) window.kbqaOpener.focus();
};
element.addEventListener('click', (event) => { if (event.target.closest('[data-close]')) close(); });
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && element.checkVisibility() && element.querySelector('.panel')) close();
});
"""

# Runs after the panel has its document, also when the same citation is clicked twice. Beside the main
# column only the panel scrolls; below it, on a phone, the page does.
SHOW_QUOTE_JS = """() => requestAnimationFrame(() => {
  const panel = [...document.querySelectorAll('.block.source')].find((one) => one.checkVisibility());
  const target = panel && (panel.querySelector('#quote') || panel.querySelector('.problem'));
  if (!target) return;
  target.focus({preventScroll: true});
  if (getComputedStyle(panel).overflowY === 'auto') {
    const below = target.getBoundingClientRect().top - panel.getBoundingClientRect().top;
    panel.scrollTop += below - panel.clientHeight / 3;
  } else target.scrollIntoView({block: 'center'});
})"""


def open_place(kb: KnowledgeBase, place: gr.EventData, shown: Shown) -> str:
    """The document at a citation, or a sentence that says why it cannot be shown."""
    asked = sent(place)
    document_id, start, end = asked.get("document"), asked.get("start"), asked.get("end")
    if not (isinstance(document_id, str) and isinstance(start, int) and isinstance(end, int)):
        return render.panel_html(render.problem_html("This link does not name a passage."))
    try:
        document = kb.document(document_id)
    except KBError as error:
        return render.panel_html(render.problem_html(str(error)))
    if not still_there(document, start, end, shown):
        return render.panel_html(render.problem_html(CHANGED))
    return render.panel_html(render.document_html(document, start, end))


def still_there(document: Document, start: int, end: int, shown: Shown) -> bool:
    """Whether these offsets lie in the document and still hold the words this visitor was shown."""
    if not 0 <= start < end <= len(document.text):
        return False
    now = document.text[start:end]
    return shown.get((document.id, start, end), now) == now


def panel(**known: Any) -> gr.HTML:
    """The component that holds the document; ``known`` is passed on to it."""
    opened = gr.HTML("", elem_classes="source", js_on_load=PANEL_JS, apply_default_css=False, **known)
    opened.close(None, None, opened, js="() => ''")
    return opened
