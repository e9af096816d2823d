"""What the tabs and the API share: the library's calls with every failure as a sentence, and what was sent.

Nothing here holds the state of a visitor.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, replace
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

from anyio import CapacityLimiter
from anyio.to_thread import run_sync

from kb import phrases, render
from kb.errors import KBError
from kb.question import MAX_CHARACTERS as QUESTION_LIMIT
from kb.tables import iso_date
from kb.types import Answer, CheckReport, Filters, Turn

if TYPE_CHECKING:
    import gradio as gr

    from kb.pipeline import KnowledgeBase

TEXT_LIMIT = 50_000
DEFECT = "Something went wrong here; the server's log says what."

# What an event of the page's own is told: it is no endpoint, and shows its progress itself.
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

ASKING = 100  # questions in hand at the same moment, most of them waiting for their turn

# Where the gate leaves word of who sent a request, and what counts a further piece of their work.
VISITOR = "kbqa.visitor"
COUNT = "kbqa.count"

_ENDED: ContextVar[threading.Event | None] = ContextVar("ended", default=None)  # see ``at_once``

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who sent a request: a name where people log in (here or at a proxy), and who may change the library."""

    name: str = ""
    edits: bool = False
    by_proxy: bool = False


def visitor(request: gr.Request | None) -> Visitor:
    """Who sent a request; where no gate stands before the page (see ``kb.web.gate``), somebody who reads."""
    known = _scope(request).get(VISITOR)
    return known if isinstance(known, Visitor) else Visitor()


def count_again(request: gr.Request | None) -> float:
    """Count one more piece of work of a request that asks for several: seconds to wait if it is too much."""
    count: Callable[[], float] = _scope(request).get(COUNT, lambda: 0.0)
    return count()


def _scope(request: gr.Request | None) -> dict[str, Any]:
    scope: dict[str, Any] = getattr(getattr(request, "request", None), "scope", {})
    return scope


def reply(
    kb: KnowledgeBase, question: str, history: Sequence[Turn] = (), filters: Filters | None = None
) -> Answer:
    """An ``Answer`` whatever happens: a failure is a sentence in it."""
    if len(question) > QUESTION_LIMIT:
        return Answer(question[:200] + " …", "error", error=too_long("question", question, QUESTION_LIMIT))
    try:
        return kb.ask(question, filters=filters or Filters(), history=history)
    except Exception as error:  # noqa: BLE001  the visitor gets a sentence, the log gets the traceback
        return Answer(question, "error", error=explained(error))


def replying(kb: KnowledgeBase, question: str, history: Sequence[Turn]) -> Iterator[Answer]:
    """The same as it grows: the last answer is whole or has an error."""
    if len(question) > QUESTION_LIMIT:
        yield reply(kb, question)
        return
    try:
        yield from kb.stream(question, history=history)
    except Exception as error:  # noqa: BLE001  the visitor gets a sentence, the log gets the traceback
        yield Answer(question, "error", error=explained(error))


def judge(kb: KnowledgeBase, text: str, filters: Filters | None = None) -> CheckReport:
    """A ``CheckReport`` whatever happens, in the same way."""
    if len(text) > TEXT_LIMIT:
        return CheckReport("", error=too_long("text", text, TEXT_LIMIT))
    try:
        return kb.check(text, filters=filters or Filters())
    except Exception as error:  # noqa: BLE001  the visitor gets a sentence, the log gets the traceback
        return CheckReport(text, error=explained(error))


def judging(kb: KnowledgeBase, text: str, filters: Filters) -> Iterator[CheckReport]:
    """The same claim by claim: reports that grow, the last of which is whole or has an error."""
    if len(text) > TEXT_LIMIT:
        yield CheckReport("", error=too_long("text", text, TEXT_LIMIT))
        return
    report = CheckReport(text)
    try:
        for verdict in kb.verdicts(text, filters=filters):
            report = replace(report, claims=(*report.claims, verdict))
            yield report
    except Exception as error:  # noqa: BLE001  the visitor gets a sentence, the log gets the traceback
        yield CheckReport(text, error=explained(error))


def explained(error: Exception) -> str:
    """What went wrong, for the visitor; the traceback of a defect goes to the log."""
    if isinstance(error, KBError):
        return str(error)
    log.error("a request failed", exc_info=error)
    return DEFECT


def at_once(handler: Callable[..., Iterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
    """A handler whose steps can be stopped while one of them is at work; that one's result is dropped.

    Gradio waits for the step of a plain generator before it says that an event has been cancelled, and loses
    what is asked in between. A step that was stopped can hear of it from ``stopped``.
    """
    threads = CapacityLimiter(ASKING)

    @wraps(handler)
    async def steps(*arguments: Any) -> AsyncIterator[Any]:
        growing, end, ended = handler(*arguments), object(), threading.Event()
        context = copy_context()
        context.run(_ENDED.set, ended)
        step = partial(context.run, next, growing, end)
        try:
            while (made := await run_sync(step, abandon_on_cancel=True, limiter=threads)) is not end:
                yield made
        finally:
            ended.set()

    return steps


def stopped() -> bool:
    """Whether what is being made in this thread was stopped, so that nobody will see it."""
    ended = _ENDED.get()
    return ended is not None and ended.is_set()


def offering(place: str, kinds: Iterable[str]) -> str:
    """A script that has the file dialog at ``place`` offer these kinds of files.

    A component that is told them itself refuses all others in words of Gradio's own. It makes its field for
    files anew now and then, so what is offered is said when the dialog opens.
    """
    fields, offered = json.dumps(f"{place} input[type=file]"), json.dumps(",".join(kinds))
    return f"""() => document.addEventListener('click', (event) => {{
      if (event.target.matches({fields})) event.target.accept = {offered};
    }}, true)"""


def passing(kb: KnowledgeBase) -> dict[str, Any]:
    """What the events that ask are told: where new questions take turns, remembered ones pass them by."""
    takes_turns = getattr(kb, "takes_turns", False)
    return {"concurrency_limit": ASKING, "concurrency_id": "asking"} if takes_turns else {}


def footer(kb: KnowledgeBase) -> str:
    """How much the library holds, how new it is, and who reads along."""
    info = kb.info()
    return render.footer_html(info["documents"], info["newest"], info.get("model"))


def filters_of(source: str, document_id: str, after: str, before: str) -> Filters:
    """Filters as people write them; empty fields do not limit. Raises ``UsageError`` for what is no date."""
    return Filters(
        publishers=(source,) if source else (),
        document_ids=(document_id,) if document_id else (),
        after=iso_date(after) if after else None,
        before=iso_date(before, last=True) if before else None,
    )


def sent(event: gr.EventData) -> dict[str, Any]:
    """What the browser sent with an event; anything but an object counts as empty."""
    return event._data if isinstance(event._data, dict) else {}


def too_much(wait: float) -> str:
    """That somebody has to wait for so many seconds."""
    return phrases.TOO_MUCH.format(seconds=max(1, round(wait)))


def too_long(what: str, text: str, limit: int) -> str:
    """That a text has more characters than are taken."""
    return f"This {what} has {len(text):,} characters; please keep it under {limit:,}."
