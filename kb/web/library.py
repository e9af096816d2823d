"""The Library tab: which documents there are, what each holds, and, for editors, files in and documents out.

Every change asks again who sent it: that a button is not shown stops nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from kb import phrases, render
from kb.doctor import examine, repair
from kb.errors import KBError, UsageError
from kb.holdings import View, chosen
from kb.web import shelf
from kb.web.desk import QUIET, explained, sent, visitor
from kb.web.intake import Intake, Step, Undo

if TYPE_CHECKING:
    from kb.pipeline import KnowledgeBase
    from kb.settings import Settings

MOST_AT_ONCE = 1_000  # documents that are removed with one click

CONTROLS_JS = """
let waiting = 0;
const look = () => {
  const form = element.querySelector('form');
  if (form) trigger('look', Object.fromEntries(new FormData(form)));
};
// Two sent at the same moment may arrive in either order: what is chosen quickly goes together.
element.addEventListener('input', () => { clearTimeout(waiting); waiting = setTimeout(look, 200); });
element.addEventListener('submit', (event) => { event.preventDefault(); clearTimeout(waiting); look(); });
"""

# A document's page has an address of its own, ?document=ID#library, and the back button leads to the list.
SHELF_JS = """
const address = (id) => {
  const url = new URL(location.href);
  if (id) url.searchParams.set('document', id); else url.searchParams.delete('document');
  url.hash = 'library';
  return url;
};
const ticked = () => [...element.querySelectorAll('[data-id]:checked')].map((box) => box.dataset.id);
const go = (id, page) => trigger('view', {document: id, page: page});
const open = (id) => { history.pushState(null, '', address(id)); go(id, 0); };
const back = () => { history.pushState(null, '', address('')); trigger('back'); };
window.kbqaOpenDocument = open;
element.addEventListener('click', (event) => {
  const at = (css) => event.target.closest(css);
  const view = at('[data-view]'), turn = at('[data-turn]'), out = at('[data-discard]');
  if (view) view.dataset.page ? go(view.dataset.view, Number(view.dataset.page)) : open(view.dataset.view);
  else if (turn) trigger('turn', {page: Number(turn.dataset.turn)});
  else if (at('[data-back]')) back();
  else if (out) {
    if (out.dataset.discard) history.replaceState(null, '', address(''));
    trigger('discard', {ids: out.dataset.discard ? [out.dataset.discard] : ticked()});
  }
});
element.addEventListener('change', () => {
  const out = element.querySelector('.shelf [data-discard]');
  if (out) out.disabled = !ticked().length;
});
addEventListener('popstate', () => {
  const id = new URLSearchParams(location.search).get('document');
  if (id) go(id, 0); else if (element.querySelector('.document-page')) trigger('back');
});
let shown = '';
watch('value', () => {
  const page = element.querySelector('.document-page');
  const now = page ? page.dataset.document : '';
  if (now !== shown && element.checkVisibility()) {
    scrollTo(0, 0);
    page?.querySelector('h2').focus({preventScroll: true});
  }
  shown = now;
});
"""

NEWS_JS = """
element.addEventListener('click', (event) => {
  const view = event.target.closest('[data-view]');
  if (view && window.kbqaOpenDocument) window.kbqaOpenDocument(view.dataset.view);
  if (event.target.closest('[data-undo]')) trigger('restore');
  if (event.target.closest('[data-mend]')) trigger('mend');
});
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a visitor looks at: a view of the documents, a page of it, and what can be undone."""

    view: View = field(default_factory=View)
    page: int = 0
    undo: Undo | None = None


class Library:
    """What the tab shows of one knowledge base. What a visitor looks at lives in the visitor's session."""

    def __init__(self, kb: KnowledgeBase) -> None:
        self.kb = kb
        self.intake = Intake(kb)

    def arrive(self, request: gr.Request) -> tuple[Any, ...]:
        """Controls, charts, the list or the document of the address, and what only editors get to see."""
        edits = visitor(request).edits
        wanted = dict(request.query_params).get("document") if request else None
        page = self._document(wanted, 0, edits=edits) if wanted else self._list(Seen(), edits=edits)
        held = self.kb.holdings()
        return shelf.controls_html(held), shelf.charts_html(held), page, gr.update(visible=edits)

    def look(self, seen: Seen, wanted: gr.EventData, request: gr.Request) -> tuple[str, Seen]:
        """Another view of the documents."""
        now = replace(seen, view=shelf.view_of(sent(wanted)), page=0)
        return self._list(now, edits=visitor(request).edits), now

    def turn(self, seen: Seen, wanted: gr.EventData, request: gr.Request) -> tuple[str, Seen]:
        """Another page of the same view."""
        now = replace(seen, page=_page(wanted))
        return self._list(now, edits=visitor(request).edits), now

    def back(self, seen: Seen, request: gr.Request) -> str:
        """The list as it was."""
        return self._list(seen, edits=visitor(request).edits)

    def open(self, wanted: gr.EventData, request: gr.Request) -> str:
        """A document's own page."""
        return self._document(sent(wanted).get("document"), _page(wanted), edits=visitor(request).edits)

    def examine(self, request: gr.Request) -> str:
        """What the doctor says of the library; for editors, since it compares every vector."""
        try:
            self._must_edit(request)
            return shelf.health_html(examine(self.kb.store, today=date.today()), edits=True)
        except Exception as error:  # noqa: BLE001  the visitor gets a sentence, the log gets the traceback
            return render.problem_html(explained(error))

    # Changes: for editors

    def add(self, uploads: list[str] | None, seen: Seen, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Take files in; the list and the charts follow when it is done."""
        if not uploads:
            yield render.problem_html(phrases.LIBRARY_NO_FILE), *_nothing(), gr.skip()
            return
        try:
            for step in self._steps(lambda: self.intake.take([Path(u) for u in uploads]), request):
                yield (
                    *self._told(step, phrases.LIBRARY_READING, seen, request),
                    None if step.results else gr.skip(),
                )
        except Exception as error:  # noqa: BLE001  the visitor gets a sentence, the log gets the traceback
            yield render.problem_html(explained(error)), *_nothing(), gr.skip()

    def again(self, seen: Seen, request: gr.Request) -> Iterator[tuple[Any, ...]]:
        """Read every source again."""
        try:
            for step in self._steps(self.intake.again, request):
                yield self._told(step, phrases.LIBRARY_READING_AGAIN, seen, request)
        except Exception as error:  # noqa: BLE001  the visitor gets a sentence, the log gets the traceback
            yield render.problem_html(explained(error)), *_nothing()

    def discard(self, seen: Seen, wanted: gr.EventData, request: gr.Request) -> tuple[Any, ...]:
        """Remove documents, and remember how to undo it."""
        ids = sent(wanted).get("ids")
        try:
            self._must_edit(request)
            if not isinstance(ids, list) or not 0 < len(ids) <= MOST_AT_ONCE:
                raise UsageError(phrases.LIBRARY_NONE_NAMED, phrases.LIBRARY_NONE_NAMED_CURE)
            undo = self.intake.remove([str(document_id) for document_id in ids])
        except Exception as error:  # noqa: BLE001  the visitor gets a sentence, the log gets the traceback
            return render.problem_html(explained(error)), *_nothing(), seen
        titles = [one.document.title for one in undo.removed]
        now = replace(seen, undo=undo, page=0)
        uploaded = len({one.origin for one in undo.removed}) == len(undo.moved)
        return shelf.removed_html(titles, uploaded), *self._all(now, edits=True), now

    def restore(self, seen: Seen, request: gr.Request) -> tuple[Any, ...]:
        """Undo the last removal of this visitor."""
        try:
            self._must_edit(request)
            if seen.undo is None:
                raise UsageError(phrases.LIBRARY_NO_UNDO)
            number = self.intake.undo(seen.undo)
        except Exception as error:  # noqa: BLE001  the visitor gets a sentence, the log gets the traceback
            return render.problem_html(explained(error)), *_nothing(), seen
        now = replace(seen, undo=None)
        there = phrases.LIBRARY_UNDONE if number == 1 else phrases.LIBRARY_UNDONE_SEVERAL
        told = there.format(documents=render.count(number, "document"))
        return shelf.told_html(told), *self._all(now, edits=True), now

    def mend(self, request: gr.Request) -> str:
        """Build anew what is damaged."""
        try:
            self._must_edit(request)
            return shelf.health_html(repair(self.kb.store, today=date.today()), edits=True)
        except Exception as error:  # noqa: BLE001  the visitor gets a sentence, the log gets the traceback
            return render.problem_html(explained(error))

    def _steps(self, begin: Callable[[], Iterator[Step]], request: gr.Request) -> Iterator[Step]:
        self._must_edit(request)
        yield from begin()

    def _must_edit(self, request: gr.Request) -> None:
        if not visitor(request).edits:
            raise UsageError(phrases.LIBRARY_NOT_YOURS, phrases.LIBRARY_NOT_YOURS_CURE)

    def _told(self, step: Step, verb: str, seen: Seen, request: gr.Request) -> tuple[Any, ...]:
        if step.results is None:
            return shelf.step_html(step, verb), *_nothing()
        return shelf.results_html(step.results), *self._all(seen, edits=visitor(request).edits)

    def _all(self, seen: Seen, *, edits: bool) -> tuple[str, str, str]:
        held = self.kb.holdings()
        return shelf.controls_html(held), shelf.charts_html(held), self._list(seen, edits=edits)

    def _list(self, seen: Seen, *, edits: bool) -> str:
        held = self.kb.holdings()
        found = chosen(held, seen.view)
        page = min(max(seen.page, 0), max(0, len(found) - 1) // shelf.PAGE)
        return shelf.list_html(found, len(held), page, edits=edits)

    def _document(self, document_id: object, page: int, *, edits: bool) -> str:
        try:
            document = self.kb.document(str(document_id))
            held = next(one for one in self.kb.holdings() if one.document.id == document.id)
        except (KBError, StopIteration):
            return shelf.missing_html(str(document_id))
        passages = self.kb.passages(document.id)
        page = min(max(page, 0), max(0, len(passages) - 1) // shelf.PAGE)
        return shelf.document_html(document, passages, held, page, edits=edits)


def _nothing() -> tuple[Any, ...]:
    """Controls, charts and list stay as they are."""
    return gr.skip(), gr.skip(), gr.skip()


def _page(wanted: gr.EventData) -> int:
    page = sent(wanted).get("page")
    return page if isinstance(page, int) else 0


# --- its layout --------------------------------------------------------------------------------------


def taken(settings: Settings) -> str:
    """How much may be handed in."""
    return phrases.LIBRARY_TAKEN.format(files=settings.upload_files, megabytes=settings.upload_megabytes)


def tab(blocks: gr.Blocks, kb: KnowledgeBase) -> None:
    """Lay out the tab and join its parts."""
    library = Library(kb)
    seen = gr.State(Seen())
    plain: dict[str, Any] = {"apply_default_css": False}
    with (
        gr.Row(elem_classes="desk"),
        gr.Column(elem_id="library", elem_classes="main-column", min_width=280),
    ):
        heading = render.heading_html(phrases.LIBRARY_TITLE, phrases.LIBRARY_LEAD)
        gr.HTML(heading, js_on_load=None, **plain)
        with gr.Column(elem_id="editing", visible=False) as editing:
            gr.HTML(f'<p class="lead">{taken(kb.settings)}</p>', js_on_load=None, **plain)
            uploads = gr.File(
                label=phrases.LIBRARY_UPLOADS,
                file_count="multiple",
                elem_id="uploads",
                height=140,
                interactive=True,
            )
            with gr.Row(elem_id="library-buttons"):
                add = gr.Button(phrases.LIBRARY_ADD, variant="primary", elem_id="add-documents", min_width=96)
                again = gr.Button(phrases.LIBRARY_AGAIN, elem_id="sync", min_width=96)
                health = gr.Button(phrases.LIBRARY_EXAMINE, elem_id="examine", min_width=96)
        news = gr.HTML("", elem_id="library-news", js_on_load=NEWS_JS, **plain)
        controls = gr.HTML("", elem_id="library-controls", js_on_load=CONTROLS_JS, **plain)
        documents = gr.HTML("", elem_id="shelf", js_on_load=SHELF_JS, **plain)
        charts = gr.HTML("", elem_id="charts", js_on_load=None, **plain)

    everything = [controls, charts, documents]
    blocks.load(library.arrive, None, [*everything, editing], **QUIET)
    # Every look is answered, and in their order: the last one is what stands in the controls.
    inorder: dict[str, Any] = {"trigger_mode": "multiple", "concurrency_limit": 1}
    controls.look(library.look, [seen], [documents, seen], **inorder, **QUIET)
    documents.turn(library.turn, [seen], [documents, seen], **QUIET)
    documents.view(library.open, None, documents, **QUIET)
    documents.back(library.back, [seen], documents, **QUIET)
    documents.discard(library.discard, [seen], [news, *everything, seen], **QUIET)
    add.click(library.add, [uploads, seen], [news, *everything, uploads], **QUIET)
    again.click(library.again, [seen], [news, *everything], **QUIET)
    health.click(library.examine, None, news, **QUIET)
    news.restore(library.restore, [seen], [news, *everything, seen], **QUIET)
    news.mend(library.mend, None, news, **QUIET)
