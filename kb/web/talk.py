"""A conversation as HTML: each question with its answer, what that rests on, and what can be done with it.

Every text passes ``kb.render.escape``. The page's script finds what it acts on by ``data-`` attributes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kb import phrases, render
from kb.render import button_html, count, date_in_words, escape, known_facts
from kb.types import EXTRACTIVE, Answer, Citation, Difference, Hit, Step, Value

DIFFER_NOTICE = "Sources differ:"  # the notice that the card of differences takes the place of


@dataclass(frozen=True, slots=True)
class Around:
    """What the page knows beside the answers: the newest date of the library, and questions to go on with."""

    newest: str | None = None
    next: Sequence[str] = field(default=())


def conversation_html(answers: Sequence[Answer], around: Around | None = None, *, busy: bool = False) -> str:
    """Questions and replies in order; ``busy`` while the last one is still being answered."""
    last, around = len(answers), around or Around()
    exchanges = (
        _exchange(answer, n, around, latest=n == last, growing=busy and n == last)
        for n, answer in enumerate(answers, 1)
    )
    # Said aloud by the page's script, once and in short, not each time that it grows.
    return (
        f'<div class="conversation" role="log" aria-live="off" aria-label="{phrases.CONVERSATION}">'
        f"{''.join(exchanges)}</div>"
    )


def welcome_html(examples: Sequence[str], documents: int, *, asked: bool = True) -> str:
    """What stands there before the first question; questions not yet ``asked`` only take their room."""
    if not documents:
        cure = phrases.EMPTY_CURE.format(command="<code>kbqa ingest FOLDER</code>")
        return f'<div class="welcome"><h1>{phrases.EMPTY}</h1><p>{cure}</p></div>'
    hidden = "" if asked else " unasked"
    listed = _questions(examples, phrases.EXAMPLES, f"examples{hidden}") if examples else ""
    promise = phrases.PROMISE.format(documents=count(documents, "document"))
    return f'<div class="welcome"><h1>{phrases.WELCOME}</h1><p>{promise}</p>{listed}</div>'


def reply_html(answer: Answer, key: str = "answer", newest: str | None = None) -> str:
    """Whatever came of a question: the answer with its sources, the refusal, or what went wrong."""
    told = [n for n in answer.notices if not (answer.differences and n.startswith(DIFFER_NOTICE))]
    notices = "".join(f'<p class="notice" role="note">{escape(notice)}</p>' for notice in told)
    if answer.status == "error":
        return render.problem_html(answer.error or phrases.UNANSWERED) + notices
    if answer.status == "not_found":
        return _refusal(answer, key, notices)
    said = {sentence.text for sentence in answer.sentences}
    return (
        render.answer_html(answer, key)
        + _as_of(answer, newest)
        + "".join(_difference(difference, answer.citations, key) for difference in answer.differences)
        + notices
        + render.sources_html(answer.citations, key, said)
    )


def dock_html(colophon: str) -> str:
    """The row below the question: what the library holds, and what can be done with the conversation."""
    of_conversation = (
        _exports("all")
        + button_html(phrases.LINK_ALL, data='act="link-all"', name=phrases.LINK_ALL_NAME)
        + button_html(phrases.NEW, data='act="new"', name=phrases.NEW_NAME)
    )
    return (
        f'<div class="dock">{colophon}<div class="dock-tools">'
        + button_html(phrases.HISTORY, data='act="history"', more=' aria-haspopup="dialog"')
        + f'<span class="of-conversation">{of_conversation}</span></div></div>{_history()}'
        '<p class="aloud" id="ask-aloud" role="status"></p>'
    )


def told_html(told: Mapping[str, Any]) -> str:
    """Something for the page's script alone."""
    return f'<span hidden data-told="{escape(json.dumps(told))}"></span>'


# ---------------------------------------------------------------------------------------- exchanges


def _exchange(answer: Answer, n: int, around: Around, *, latest: bool, growing: bool) -> str:
    key = f"q{n}"
    reply = reply_html(answer, key, around.newest)
    if growing and not answer.text:
        doing = f"{render.doing(answer)} …" if answer.trace else phrases.PENDING
        reply = f'<p class="pending">{escape(doing)}</p>'
    edit = "" if growing else button_html(phrases.EDIT, data='act="edit"', name=phrases.EDIT_NAME)
    below = "" if growing else _tools(answer, n) + _judging(answer, key) + _how(answer, key)
    if latest and not growing and around.next:
        label = phrases.ANSWERABLE if answer.status == "not_found" else phrases.NEXT
        below += f'<p class="next-label">{label}</p>{_questions(around.next, label, "next")}'
    aloud = "" if growing else f' data-aloud="{escape(_aloud(answer))}"'
    return (
        f'<article class="exchange" id="{key}" data-n="{n}" aria-labelledby="{key}-question" '
        f'aria-busy="{str(growing).lower()}"{aloud}>'
        f'<header class="asked"><h2 class="question" id="{key}-question" tabindex="-1" dir="auto">'
        f"{escape(answer.question)}</h2>{edit}</header>"
        f'<div class="reply">{reply}</div>{below}</article>'
    )


def _aloud(answer: Answer) -> str:
    if answer.status == "error":
        return phrases.READ_FAILED.format(text=answer.error or "")
    if answer.status == "not_found":
        return phrases.READ_REFUSAL
    text = " ".join(sentence.text for sentence in answer.sentences)
    return phrases.READ_ANSWER.format(sources=count(len(answer.citations), "source"), text=text)


def _tools(answer: Answer, n: int) -> str:
    copy = phrases.COPY_SOURCES if answer.citations else phrases.COPY
    tools = [
        button_html(copy, data=f'copy="{escape(render.copy_text(answer))}"'),
        button_html(phrases.LINK, data='act="link"', name=phrases.LINK_NAME),
        _exports(str(n)),
    ]
    again = button_html(phrases.AGAIN, data='act="again"')
    shown = [again] if answer.status == "error" else [*tools, again]
    return f'<div class="tools" role="group" aria-label="{phrases.TOOLS}">{"".join(shown)}</div>'


def _exports(of: str) -> str:
    """A menu of files; ``of`` is the number of an exchange, or ``all``."""
    files = "".join(
        button_html(name, data=f'export="{suffix}" data-of="{of}"')
        for suffix, name in phrases.EXPORTS.items()
    )
    printed = button_html(phrases.PRINT, data=f'print="{of}"')
    return (
        f'<details class="menu"><summary class="quiet">{phrases.EXPORT}</summary><div class="menu-items">'
        f"{files}{printed}</div></details>"
    )


def _judging(answer: Answer, key: str) -> str:
    """The question whether the answer is right, and a note once one of the buttons was pressed."""
    if answer.status == "error":
        return ""
    buttons = "".join(
        button_html(name, css="judge", data=f'judge="{kind}"', more=' aria-pressed="false"')
        for kind, name in phrases.JUDGEMENTS.items()
        if answer.citations or kind != "wrong source"
    )
    note = (
        f'<form class="note" hidden><label for="{key}-note">{phrases.NOTE}</label>'
        f'<input type="text" id="{key}-note" maxlength="2000" autocomplete="off">'
        f'<button type="submit" class="judge">{phrases.NOTE_SAVE}</button></form>'
    )
    return (
        f'<div class="judging" role="group" aria-labelledby="{key}-judge">'
        f'<span id="{key}-judge">{phrases.JUDGE}</span>{buttons}{note}'
        '<span class="kept" role="status"></span></div>'
    )


def _questions(questions: Iterable[str], label: str, css: str) -> str:
    items = "".join(
        f'<li><button type="button" class="example" data-question="{escape(question)}" dir="auto">'
        f"{escape(question)}</button></li>"
        for question in questions
    )
    return f'<ul class="{css}" aria-label="{escape(label)}">{items}</ul>'


def _refusal(answer: Answer, key: str, notices: str) -> str:
    closest = answer.hits[: render.CLOSEST]
    parts = [f'<p class="refusal">{render.REFUSAL}</p>', notices]
    if closest:
        items = "".join(render.closest_item_html(hit, len(closest), key) for hit in closest)
        parts.append(f'<p class="closest-label">{phrases.CLOSEST}</p>')
        parts.append(f'<ol class="sources closest" aria-label="{phrases.CLOSEST.rstrip(":")}">{items}</ol>')
    return "".join(parts)


# ----------------------------------------------------------------------------- what it rests on


def span_in_words(days: Iterable[str | None]) -> str:
    """The first and the last of some ISO dates, said as shortly as can be: ``2–9 May 2026``."""
    known = sorted(day[:10] for day in days if day)
    if not known:
        return ""
    first, last = date_in_words(known[0]).split(), date_in_words(known[-1]).split()
    if first == last:
        return " ".join(first)
    same = 0  # words at the end that both have: the year, and the month before it
    while same < min(len(first), len(last)) - 1 and first[-1 - same] == last[-1 - same]:
        same += 1
    begins = first[: len(first) - same]
    dash = "–" if len(begins) == 1 and len(first) == len(last) else " – "
    return f"{' '.join(begins)}{dash}{' '.join(last)}"


def _as_of(answer: Answer, newest: str | None) -> str:
    """From how many articles of which days this is, and how new the library is."""
    if not answer.citations:
        return ""
    published = {citation.document_id: citation.published for citation in answer.citations}
    articles, span = count(len(published), "article"), span_in_words(published.values())
    verbatim = all(sentence.support == "verbatim" for sentence in answer.sentences)
    phrase = phrases.AS_OF_VERBATIM if verbatim else phrases.AS_OF
    said = (phrase if span else phrases.AS_OF_UNDATED).format(articles=articles, span=span)
    facts = [said, phrases.NEWEST.format(date=date_in_words(newest)) if newest else ""]
    return f'<p class="as-of">{escape(" · ".join(filter(None, facts)))}</p>'


def _difference(difference: Difference, citations: Sequence[Citation], key: str) -> str:
    """The values that sources give, in the order of their days, each of which opens where it stands."""
    title = phrases.CHANGED if difference.over_time else phrases.DIFFER
    dated = [value.published for value in difference.values if value.published]
    newest = max(dated, default="")
    items = "".join(
        _value(value, citations, key, newest=value.published == newest and len(set(dated)) > 1)
        for value in difference.values
    )
    css = "difference over-time" if difference.over_time else "difference"
    return f'<section class="{css}" aria-label="{title}"><h3>{title}</h3><ol>{items}</ol></section>'


def _value(value: Value, citations: Sequence[Citation], key: str, *, newest: bool) -> str:
    day = escape(date_in_words(value.published)) or phrases.UNDATED
    when = f'<time datetime="{escape(value.published)}">{day}</time>' if value.published else day
    said = [c for c in citations if c.document_id == value.document_id]
    cited = next((c for c in said if value.said in c.quote), said[0] if said else None)
    title = f"<bdi>{escape(value.title or value.document_id)}</bdi>"
    link = render.cited_html(cited, len(citations), key, title) if cited else title
    mark = f' <span class="badge">{phrases.VALUE_NEWEST}</span>' if newest else ""
    return (
        f'<li><span class="when">{when}{mark}</span><b class="value" dir="auto">{escape(value.said)}</b>'
        f'<span class="whose">{link}</span></li>'
    )


def _how(answer: Answer, key: str) -> str:
    """The passages that were found, used or not and why, and how sure the answer is."""
    if answer.status == "error":
        return ""
    sure = phrases.HOW_ANSWERED if answer.status == "answered" else phrases.HOW_REFUSED
    seconds = f"{answer.seconds:.2f} s"
    extractive = answer.model == EXTRACTIVE
    how = (phrases.HOW_QUOTING if extractive else phrases.HOW_WORDED).format(
        model=answer.model, seconds=seconds
    )
    facts = [sure.format(share=f"{answer.confidence:.0%}"), how if answer.status == "answered" else ""]
    lead = "".join(f"<p>{escape(fact)}</p>" for fact in facts if fact)
    return (
        f'<details class="how" id="{key}-how"><summary>{phrases.HOW}</summary>'
        f"{lead}{_trace(answer.trace)}{_passages(answer, key)}</details>"
    )


def _passages(answer: Answer, key: str) -> str:
    if not answer.hits:
        return ""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in phrases.HOW_COLUMNS)
    rows = "".join(_passage_row(hit, answer, key) for hit in answer.hits)
    return (
        f'<p id="{key}-found">{phrases.HOW_FOUND}</p>'
        f'<div class="wide" role="region" tabindex="0" aria-labelledby="{key}-found">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
        f'<p class="measures">{phrases.HOW_MEASURES}</p>'
    )


def _passage_row(hit: Hit, answer: Answer, key: str) -> str:
    title = f"<bdi>{escape(hit.source.title)}</bdi>"
    facts = " · ".join(known_facts(hit, hit.passage.section, hit.passage.page))
    measures = "".join(
        f'<td class="number">{"–" if value is None else f"{value:.0%}"}</td>'
        for value in (hit.dense, hit.lexical)
    )
    copies = phrases.HOW_COPIES.format(documents=", ".join(hit.copies)) if hit.copies else ""
    became = " ".join(filter(None, (_became(hit, answer), copies)))
    opening = render.passage_html(hit, len(answer.hits), key, title)
    return (
        f'<tr><th scope="row">{opening}<span class="facts">{escape(facts)}</span></th>'
        f"<td>{escape(became)}</td>{measures}</tr>"
    )


def _became(hit: Hit, answer: Answer) -> str:
    """Whether a passage was used and, if not, why."""
    passage = hit.passage
    there = [c for c in answer.citations if c.document_id == passage.document_id]
    inside = [c for c in there if passage.start <= c.start < passage.end]
    if inside:
        return phrases.HOW_QUOTED.format(numbers=", ".join(f"[{c.n}]" for c in inside))
    if answer.status == "not_found":
        return phrases.HOW_REJECTED
    return phrases.HOW_SAME_SOURCE if there else phrases.HOW_LOWER


def _trace(steps: Sequence[Step]) -> str:
    """What was searched for, and asked of a chat model, on the way to the answer."""
    lines = "".join(f"<li>{escape(render.step_text(step))}</li>" for step in steps)
    return f'<p>{phrases.HOW_TRACE}</p><ol class="trace">{lines}</ol>' if lines else ""


def _history() -> str:
    """What the page's script lists of this browser's memory."""
    close = button_html(phrases.CLOSE, css="close", data='act="history-close"')
    delete = button_html(phrases.DELETE_ALL, data='act="history-clear"')
    ratings = button_html(phrases.FEEDBACK_SAVE, data='act="ratings"')
    return (
        f'<dialog id="history" aria-labelledby="history-title"><header><h2 id="history-title">'
        f'{phrases.HISTORY_TITLE}</h2>{close}</header><p role="status">{phrases.HISTORY_LEAD}</p>'
        f'<ul class="past"></ul><p class="none">{phrases.HISTORY_EMPTY}</p>'
        f"<footer>{delete}{ratings}</footer></dialog>"
    )
