"""The source panel beside a tab: a document, opened at the words that were quoted.

A click on a citation sends a document id and two offsets; the server checks them and answers with that
document, so every format opens the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import gradio as gr

from kb import phrases, render
from kb.errors import KBError
from kb.types import Document
from kb.web.desk import sent

if TYPE_CHECKING:
    from kb.pipeline import KnowledgeBase

# Document id, start and end of what a visitor was shown, and the words that stood there.
Shown = Mapping[tuple[str, int, int], str]

NEAR = 20_000  # characters before and after a quote that are shown at first; a book would take seconds

# A click on whatever carries data-doc, inside an HTML component, becomes the event "source".
OPEN_JS = """
element.addEventListener('click', (event) => {
  const place = event.target.closest('[data-doc]');
  if (!place) return;
  event.preventDefault();
  window.kbqaOpener = place;
  const {doc, start, end, whole} = place.dataset;
  trigger('source', {document: doc, start: Number(start), end: Number(end), whole: whole !== undefined});
});
"""

# Which link opened the panel tells which sources stand beside it: those of the same answer or verdict. What
# redraws the conversation puts another link in its place, found by where it leads.
PANEL_JS = """
const opener = () => {
  const was = window.kbqaOpener;
  if (!was || was.isConnected) return was;
  const {doc, start, end} = was.dataset;
  return [...document.querySelectorAll('[data-doc]')].find((one) => one.checkVisibility() &&
    one.dataset.doc === doc && one.dataset.start === start && one.dataset.end === end);
};
const close = () => {
  const back = opener();
  element.querySelector('.panel').remove();  // at once: what it hid can take the focus
  trigger('close');
  if (back) back.focus();
};
const beside = () => {
  const from = opener(), near = from && from.closest('.exchange, .verdict, tr, article');
  const links = near ? [...near.querySelectorAll('.cite[data-doc], .closest [data-doc]')] : [];
  const place = (one) => one.dataset.doc + one.dataset.start;
  const all = links.filter((one, at) => at === links.findIndex((other) => place(other) === place(one)));
  return {all, at: all.findIndex((one) => place(one) === place(from))};
};
watch('value', () => {
  const {all, at} = beside();
  if (at < 0 || !element.querySelector('.panel-name')) return;
  const name = element.querySelector('.panel-name'), of = element.querySelector('.panel-bar').dataset.of;
  const asked = opener().closest('.exchange')?.querySelector('.question');
  const place = of.replace('{n}', at + 1).replace('{total}', all.length);
  name.textContent = name.title = asked ? `${place} · ${asked.textContent}` : place;
  for (const step of element.querySelectorAll('.step')) {
    step.hidden = all.length < 2;
    step.disabled = !all[at + Number(step.dataset.to)];
  }
});
element.addEventListener('click', (event) => {
  if (event.target.closest('[data-close]')) close();
  const step = event.target.closest('[data-to]');
  if (step) {
    const {all, at} = beside();
    all[at + Number(step.dataset.to)].click();
  }
  if (event.target.closest('[data-whole]')) {
    const from = opener();
    from.dataset.whole = '';
    from.click();
    delete from.dataset.whole;
  }
});
document.addEventListener('keydown', (event) => {
  if (event.key !== 'Escape' || event.defaultPrevented) return;
  if (element.checkVisibility() && element.querySelector('.panel')) close();
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
        return render.panel_html(render.problem_html(phrases.NO_PLACE))
    try:
        document = kb.document(document_id)
    except KBError as error:
        return render.panel_html(render.problem_html(str(error)))
    if not still_there(document, start, end, shown):
        return render.panel_html(render.problem_html(phrases.SOURCE_CHANGED))
    near = None if asked.get("whole") is True else NEAR
    return render.panel_html(render.document_html(document, start, end, near))


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
