"""What people read: answers, verdicts, passages and documents as terminal text, HTML and JSON.

The only module that formats or escapes, so the command line, batches and the web page agree. In HTML
everything that comes from a document or a person passes ``_e``; nothing is ever read as Markdown, LaTeX
or HTML, so a text that contains any of these shows it as it was written. An element that opens a source
carries ``data-doc``, ``data-start`` and ``data-end``: the page reads these, whatever the source's format.
"""

from __future__ import annotations

import html
import json
import re
import shlex
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote as percent_encoded

from kb import phrases
from kb.types import (
    Answer,
    CheckReport,
    Citation,
    Document,
    DocumentSummary,
    Hit,
    Passage,
    Section,
    Source,
    Step,
    Usage,
    Verdict,
)

REFUSAL = "The documents do not say."
CLOSEST = 3
VERDICTS = {"supported": "Supported", "contradicted": "Contradicted", "not_found": "Not found"}
CLAIM_CLASSES = {
    "contradicted": "Contradicted",
    "not_found": "Not found",
    "supported": "Supported",
    "left": "Left alone",
}
DOUBTS = {name: phrases.SUPPORT[name] for name in ("unsupported", "conflict")}
NO_CLAIMS = {"opinion": "Opinion", "question": "Question", "instruction": "Instruction", "heading": "Heading"}

_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DATE = re.compile(r"(\d{4})(?:-(\d\d)(?:-(\d\d))?)?(?!\d)")
_MARKER = re.compile(r"\s*\[(\d+)\]")
_WEB_ADDRESS = re.compile(r"https?://[^\s\x00-\x1f\x7f]+", re.IGNORECASE)
_FRAGMENT_WORDS = 5
_MD_MARKUP = re.compile(r"[\\`*_\[\]<>|~&$#]")
_MD_BEGINS = re.compile(r"^(\d{0,9})([-+=.)])")
_SPACE = re.compile(r"\s+")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


# ------------------------------------------------------------------------------------------ words


def date_in_words(published: str | None) -> str:
    """``2026-04-28`` (or a date-time) as ``28 April 2026``; a year or a month alone keep their precision."""
    found = _DATE.match(published or "")
    if not found:
        return published or ""
    year, month, day = found.groups()
    if not month or not 1 <= int(month) <= 12:
        return year
    return " ".join(([str(int(day))] if day else []) + [_MONTHS[int(month) - 1], year])


def excerpt(text: str, limit: int = 200) -> str:
    """``text`` on one line, cut at a word near ``limit`` characters."""
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    cut = line[:limit]
    return (cut.rsplit(" ", 1)[0] if " " in cut else cut).rstrip(" ,;:–-") + " …"


def _opening(passage: Passage) -> str:
    """How a passage begins, below its own heading: that is named beside it."""
    before, heading, body = passage.text.partition(f"{passage.section}\n")
    return excerpt(body if heading and before.count("\n") <= 2 and body.strip() else passage.text)


def known_facts(
    of: Citation | Document | DocumentSummary | Hit, section: str | None = None, page: int | None = None
) -> list[str]:
    """Publisher, author, dates in words, section and page: those that are known, in that order."""
    about = of.source if isinstance(of, Hit) else of
    dates = [date_in_words(about.published), date_in_words(about.updated)]
    dates[1] = f"updated {dates[1]}" if dates[1] and dates[0] != dates[1] else ""
    known = [about.publisher, about.author, *dates, section]
    return [fact for fact in known if fact] + ([f"page {page}"] if page else [])


def label(verdict: Verdict) -> str:
    """The verdict in words, or what the sentence is if it is no claim."""
    return NO_CLAIMS.get(verdict.kind) or VERDICTS[verdict.verdict]


def spread(verdict: Verdict) -> str:
    """In how many articles it stands and in how many texts that are not copies, if in more than one."""
    if verdict.articles < 2:
        return ""
    return f"{verdict.articles:,} articles, {count(verdict.texts, 'independent text')}."


def over_time(verdict: Verdict) -> str:
    """The values of the same thing, oldest first, in a line, if it changed."""
    newest = len(verdict.timeline)
    values = (
        f"{value.said} ({date_in_words(value.published)}{', newest' if n == newest else ''})"
        for n, value in enumerate(verdict.timeline, 1)
    )
    return f"Over time: {', then '.join(values)}." if newest else ""


def why(verdict: Verdict) -> list[str]:
    """The lines below a verdict: why, in how many texts it stands, and how the value changed."""
    return [line for line in (verdict.explanation, spread(verdict), over_time(verdict)) if line]


def claim_class(verdict: Verdict) -> str:
    """The verdict, or ``left`` for what is no claim and was left alone."""
    return verdict.verdict if verdict.kind == "claim" else "left"


def check_summary(report: CheckReport) -> str:
    """How many claims there are and what came of them, in a line."""
    of = [claim_class(verdict) for verdict in report.claims]
    parts = [f"{of.count(name):,} {word.lower()}" for name, word in CLAIM_CLASSES.items() if name in of]
    return f"{count(len(of), 'statement')}: {', '.join(parts)}." if of else "There is no claim in it."


def count(number: int, noun: str) -> str:
    """A number with its noun: ``1 claim``, ``1,200 claims``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


# ------------------------------------------------------------------------------------ terminal text


def duration(seconds: float) -> str:
    """About how long, in words: ``40 s``, ``6 min``, ``2 h 5 min``."""
    if seconds < 100:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def pace(done: int, left: int, seconds: float) -> str:
    """How fast ``done`` rows were done in so many seconds, and how long those that are ``left`` will take."""
    if not done or seconds <= 0:
        return "just begun"
    rate = done / seconds
    told = f"{rate:.1f} a second" if rate >= 1 else f"{1 / rate:.1f} s for each"
    return f"{told}, {duration(left / rate)} left" if left else told


def answer_text(answer: Answer) -> str:
    """An answer for a terminal: the text, its numbered sources, then the notices."""
    if answer.status == "error":
        return plain(answer.error or "The question could not be answered.")
    parts = [answer.text, *_doubts_text(answer), *map(_citation_text, answer.citations)]
    if answer.status == "not_found":
        parts = [REFUSAL, *_closest_text(answer.hits)]
    return plain("\n\n".join([*parts, *(f"Note: {notice}" for notice in answer.notices)]))


def growing_text(answer: Answer) -> tuple[str, str]:
    """An answer that is being written, for a terminal: what was checked, and below it what was not yet."""
    done = checked_until(answer)
    settled = plain("\n".join([answer.text[:done], *_doubts_text(answer)]).strip())
    rest = plain(answer.text[done:]).strip()
    told = f"{phrases.UNCHECKED}: {rest}" if rest else "" if settled else f"{doing(answer)} …"
    return settled, "\n\n" + told if settled and told else told


def checked_until(answer: Answer) -> int:
    """Where the sentences end that were held against their sources, with the markers behind the last one."""
    if answer.citations and not answer.sentences:  # it was not taken apart, and is not being written either
        return len(answer.text)
    done = answer.sentences[-1].end if answer.sentences else 0
    marked = re.match(r"(?:\s*\[\d+\])*", answer.text[done:])
    return done + (marked.end() if marked else 0)


def doing(answer: Answer) -> str:
    """What is going on while there is nothing to read yet."""
    looked = [step for step in answer.trace if step.kind != "question"]
    further = looked and looked[-1].kind == "search" and any(step.kind == "model" for step in looked)
    return f"Looked further for “{_line(looked[-1].text)}”" if further else "Reading"


def trace_text(answer: Answer) -> str:
    """What was searched for and asked on the way to an answer, for a terminal."""
    lines = [f"{n}. {step_text(step)}" for n, step in enumerate(answer.trace, 1)]
    return plain("\n".join(["How this was found:", *lines]))


def step_text(step: Step) -> str:
    """One thing that was done on the way to an answer, in a sentence."""
    passages = count(len(step.found), "passage")
    if step.kind == "question":
        line = f"Understood as: {_line(step.text)}"
    elif step.kind == "search":
        titles = list(dict.fromkeys(_line(place.title) for place in step.found))
        more = f" and {len(titles) - CLOSEST} more" if titles[CLOSEST:] else ""
        named = f", from {'; '.join(titles[:CLOSEST])}{more}" if titles else ""
        line = f"Searched for “{_line(step.text)}”: {passages}{named}."
    else:
        line = f"{_line(step.text).rstrip('.')}. It was given {passages}."
    return " ".join(filter(None, [line, usage_text(step.usage) if step.usage else ""]))


def usage_text(usage: Usage) -> str:
    """What was taken of a chat model, in a sentence: calls, tokens and, where it is known, the cost."""
    if not usage.calls:
        return "The reply was remembered."
    read, wrote = f"{usage.input_tokens:,}", f"{usage.output_tokens:,}"
    tokens = f", {read} tokens read, {wrote} written" if usage.input_tokens else ""
    cost = f", about ${usage.cost:.4f}" if usage.cost else ""
    return f"{count(usage.calls, 'call')}{tokens}{cost}."


def _doubts_text(answer: Answer) -> list[str]:
    doubted = [sentence for sentence in answer.sentences if sentence.support in DOUBTS]
    return [f"Careful, {DOUBTS[sentence.support]}: {_line(sentence.text)}" for sentence in doubted]


def check_text(report: CheckReport) -> str:
    """The verdicts on a text for a terminal, each with its evidence."""
    if report.error:
        return plain(report.error)
    if not report.claims:
        return "There is no claim to check in this text."
    return plain("\n\n".join(_verdict_text(verdict) for verdict in report.claims))


def hits_text(hits: Sequence[Hit]) -> str:
    """Passages found, best first, for a terminal."""
    return plain("\n\n".join(_hit_text(hit, f"{hit.score:.2f}") for hit in hits) or "No passages found.")


def documents_text(documents: Sequence[DocumentSummary]) -> str:
    """The library as lines of id, date, publisher, title and number of passages, in columns."""
    if not documents:
        return "No documents."
    rows = [
        (
            *(_line(d.id), (d.published or "")[:10], _line(d.publisher or ""), _line(d.title)),
            count(d.passages, "passage"),
        )
        for d in documents
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    aligned = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(map(str.rstrip, aligned))


def copy_text(answer: Answer) -> str:
    """Question, answer and sources as text to paste into a message or a draft."""
    sources = "\n".join(
        f"[{c.n}] "
        + ", ".join(filter(None, [_line(c.title), *known_facts(c, c.section, c.page), c.url or ""]))
        for c in answer.citations
    )
    return plain("\n\n".join(filter(None, (answer.question, answer.text or REFUSAL, sources))))


def to_json(value: Any) -> str:
    """Anything with ``to_dict()``, a sequence of such, or plain data, as indented JSON."""
    text = json.dumps(_data(value), ensure_ascii=False, indent=2)
    return text.encode("utf-8", "backslashreplace").decode()  # a stray surrogate becomes its JSON escape


def show_command(document_id: str, start: int, end: int) -> str:
    """The command that prints these characters of the stored text."""
    return f"kbqa show {shlex.quote(document_id)} --start {start} --end {end}"


def _citation_text(citation: Citation, mark: str | None = None) -> str:
    head = f"[{citation.n}] " if mark is None else mark
    lines = [
        _line(citation.title),
        _line(" · ".join(known_facts(citation, citation.section, citation.page))),
        f"“{_line(citation.quote)}”",
        *([f"Corrected: {_line(citation.correction)}"] if citation.correction else []),
        show_command(citation.document_id, citation.start, citation.end),
    ]
    return head + ("\n" + " " * len(head)).join(line for line in lines if line)


def _closest_text(hits: Sequence[Hit]) -> list[str]:
    closest = [_hit_text(hit) for hit in hits[:CLOSEST]]
    return ["The closest passages:", *closest] if closest else []


def _hit_text(hit: Hit, score: str = "") -> str:
    passage = hit.passage
    lines = [
        "  ".join(filter(None, (score, _line(hit.source.title)))),
        _line(" · ".join(known_facts(hit, passage.section, passage.page))),
        _opening(passage),
        show_command(passage.document_id, passage.start, passage.end),
    ]
    head = f"{hit.rank}. "
    return head + ("\n" + " " * len(head)).join(line for line in lines if line)


def _verdict_text(verdict: Verdict) -> str:
    head = f"{label(verdict)}: {_line(verdict.claim)}"
    evidence = (_citation_text(citation, "    ") for citation in verdict.citations)
    return "\n".join((head, *why(verdict), *evidence))


def _data(value: Any) -> Any:
    if hasattr(value, "to_dict"):
        return value.to_dict()
    if isinstance(value, list | tuple):
        return [_data(item) for item in value]
    return value


def _line(text: str) -> str:
    return " ".join(text.split())


def plain(text: str) -> str:
    """Without the characters that could drive a terminal or turn the reading direction round."""
    return _CONTROL.sub("", text)


# --------------------------------------------------------------------------------------- Markdown


def answer_markdown(answer: Answer, key: str) -> str:
    """An answer, a refusal or a failure; each citation is a footnote that begins with ``key``."""
    notices = [f"> Note: {escape_markdown(notice)}" for notice in answer.notices]
    if answer.status == "error":
        error = escape_markdown(answer.error or "The question could not be answered.")
        return "\n\n".join([f"**Failed:** {error}", *notices])
    if answer.status == "not_found":
        closest = "\n".join(f"- {_hit_markdown(hit)}" for hit in answer.hits[:CLOSEST])
        head = "The closest passages, which do not answer it:" if closest else ""
        return "\n\n".join(filter(None, (f"*{REFUSAL}*", *notices, head, closest)))
    known = {citation.n for citation in answer.citations}
    text = _md_begun("".join(_part_markdown(*part, key, known) for part in _parts(answer)).strip())
    return "\n\n".join([text, *notices, *footnotes_markdown(answer.citations, key)])


def check_markdown(report: CheckReport, key: str) -> str:
    """The verdicts on a text, each with its explanation and its evidence as footnotes."""
    if report.error:
        return f"**Failed:** {escape_markdown(report.error)}"
    if not report.claims:
        return "There is no claim to check in this text."
    lines, notes = [], []
    for i, verdict in enumerate(report.claims, 1):
        marks = "".join(f"[^{key}-{i}-{c.n}]" for c in verdict.citations)
        said = f"{i}. **{label(verdict)}:** {escape_markdown(verdict.claim)}{marks}"
        lines.append(" ".join([said, *map(escape_markdown, why(verdict))]))
        notes += footnotes_markdown(verdict.citations, f"{key}-{i}")
    return "\n\n".join(["\n".join(lines), *notes])


def footnotes_markdown(citations: Iterable[Citation], key: str) -> list[str]:
    """A footnote for each citation: the quote, where it stands, and its address on the web if it has one."""
    return [f"[^{key}-{c.n}]: “{escape_markdown(c.quote)}” — {_citation_markdown(c)}" for c in citations]


def _citation_markdown(citation: Citation) -> str:
    place = f"{citation.document_id}, characters {citation.start}–{citation.end}"
    facts = [citation.title, *known_facts(citation, citation.section, citation.page), place]
    facts += [f"Corrected: {citation.correction}"] if citation.correction else []
    web = web_address(citation.url, citation.quote)
    return " · ".join(map(escape_markdown, facts)) + (
        f" · <{web}>" if web and not set("<>") & set(web) else ""
    )


def _hit_markdown(hit: Hit) -> str:
    facts = [hit.source.title, *known_facts(hit, hit.passage.section, hit.passage.page)]
    return f"{' · '.join(map(escape_markdown, facts))}: {escape_markdown(_opening(hit.passage))}"


def _part_markdown(is_sentence: bool, text: str, key: str, known: Container[int]) -> str:
    # Markers stand between sentences only; "[1]" inside a sentence is the document's own text.
    pieces = [text] if is_sentence else _MARKER.split(text)
    notes = (f"[^{key}-{n}]" if int(n) in known else "" for n in pieces[1::2])
    return _md_inline(pieces[0]) + "".join(
        note + _md_inline(plain) for note, plain in zip(notes, pieces[2::2], strict=True)
    )


def _parts(answer: Answer) -> Iterator[tuple[bool, str]]:
    """The text in order, and whether each part is a sentence."""
    done = 0
    for sentence in answer.sentences:
        yield False, answer.text[done : sentence.start]
        yield True, answer.text[sentence.start : sentence.end]
        done = sentence.end
    yield False, answer.text[done:]


def escape_markdown(text: str) -> str:
    """Text on one line that no reader of Markdown takes for markup, nor for HTML."""
    return _md_begun(_md_inline(text.strip()))


def _md_inline(text: str) -> str:
    return _MD_MARKUP.sub(r"\\\g<0>", _SPACE.sub(" ", plain(text)))


def _md_begun(line: str) -> str:
    """A line that does not begin a list or a heading."""
    return _MD_BEGINS.sub(r"\1\\\2", line)


# ------------------------------------------------------------------------------------------- HTML


def answer_html(answer: Answer, key: str = "answer") -> str:
    """The answer's sentences, each with links to its citations; ``key`` keeps ids on a page apart."""
    by_n = {citation.n: citation for citation in answer.citations}

    def between(text: str) -> str:
        # Markers stand between sentences only; "[1]" inside a sentence is the document's own text.
        # A number that names no citation is not shown: while streaming there are none yet.
        pieces = _MARKER.split(text)
        links = (_cite(by_n[int(n)], len(by_n), key) if int(n) in by_n else "" for n in pieces[1::2])
        return _e(pieces[0]) + "".join(
            link + _e(plain) for link, plain in zip(links, pieces[2::2], strict=True)
        )

    parts, done = [], 0
    for sentence in answer.sentences:
        parts.append(between(answer.text[done : sentence.start]))
        parts.append(f'<span class="sentence {sentence.support}">{_e(sentence.text)}</span>')
        if sentence.support in DOUBTS:
            parts.append(f' <span class="doubt {sentence.support}">{DOUBTS[sentence.support]}</span>')
        elif by_n:  # while it grows, nothing is settled
            name = phrases.SUPPORT[sentence.support]
            sign = f'role="img" aria-label="{name}" title="{name}"'
            parts.append(f'<span class="support {sentence.support}" {sign}></span>')
        done = sentence.end
    checked = checked_until(answer)
    parts.append(between(answer.text[done:checked]))
    if rest := _MARKER.sub("", answer.text[checked:]).strip():
        parts.append(f' <span class="unchecked" title="{phrases.UNCHECKED}">{_e(rest)}</span>')
    return f'<div class="answer-text" dir="auto">{"".join(parts)}</div>'


def sources_html(citations: Sequence[Citation], key: str, said: Container[str] = ()) -> str:
    """The numbered sources of an answer or a verdict: title, publisher, author, date, place and quote.

    Citations of one section stand together. A quote that is in ``said`` stands on the page already and is
    not repeated.
    """
    places: dict[tuple[str, str | None, int | None], list[Citation]] = {}
    for citation in citations:
        places.setdefault((citation.document_id, citation.section, citation.page), []).append(citation)
    items = "".join(_source_html(there, len(citations), key, said) for there in places.values())
    return f'<ol class="sources" aria-label="Sources">{items}</ol>' if items else ""


def evidence_html(citations: Sequence[Citation], key: str = "answer") -> str:
    """The citations to be read on paper: title, its address on the web, what is known, quote and place."""
    items = "".join(
        f'<li id="{_source_id(key, c.n)}" value="{c.n}"><p class="source-title" dir="auto">'
        f"{web_link(c.url, c.title, c.quote)}</p>{_facts_html(known_facts(c, c.section, c.page))}"
        f'<blockquote dir="auto">{_e(c.quote)}</blockquote>'
        f'<p class="place">{_e(c.document_id)}, characters {c.start}–{c.end}</p>{_correction_html(c)}</li>'
        for c in citations
    )
    return f'<ol class="evidence" aria-label="Sources">{items}</ol>' if items else ""


def closest_html(hits: Sequence[Hit]) -> str:
    """The closest passages to be read on paper, below a refusal."""
    items = "".join(
        f'<li><p class="source-title" dir="auto">{web_link(hit.source.url, hit.source.title)}</p>'
        f"{_facts_html(known_facts(hit, hit.passage.section, hit.passage.page))}"
        f'<p dir="auto">{_e(_opening(hit.passage))}</p></li>'
        for hit in hits[:CLOSEST]
    )
    return f'<ol class="closest" aria-label="Closest passages">{items}</ol>' if items else ""


def document_html(document: Document, start: int = 0, end: int = 0, near: int | None = None) -> str:
    """The stored text, with ``document.text[start:end]`` in ``mark`` elements, below its metadata.

    A quote that crosses paragraphs is marked in each of them; the first mark has the id ``quote``. Of a long
    document only what stands within ``near`` characters of the quote is given, and buttons that ask for all.
    """
    start, end = max(0, start), min(end, len(document.text))
    quoted = start < end
    section = _section_at(document.sections, start) if quoted else None
    facts = known_facts(document, section, document.page_at(start) if quoted else None)
    original = _original(document.url, document.text[start:end])
    body, marked = [], False
    first, last = (0, len(document.text)) if near is None else (start - near, end + near)
    more = f'<p class="more">{button_html(phrases.WHOLE, data="whole")}</p>'
    for tag, begin, stop in _blocks(document):
        if stop <= first or begin >= last:
            continue
        if tag != "p" and document.text[begin:stop].strip() == document.title and stop <= start:
            continue  # it stands in the header already
        inner, has_mark = _marked(document.text, begin, stop, start, end, first=not marked)
        marked = marked or has_mark
        body.append(f"<{tag}>{inner}</{tag}>")
    return (
        f'<article class="document"><header><h2 class="document-title" id="document-title" tabindex="-1" '
        f'dir="auto">{_e(document.title)}</h2>{_facts_html(facts)}{original}</header>'
        f"{more if first > 0 else ''}"
        f'<div class="document-text" dir="auto">{"".join(body)}</div>'
        f"{more if last < len(document.text) else ''}</article>"
    )


def heading_html(title: str, lead: str) -> str:
    """The top of a tab: what it is for."""
    return f'<div class="tab-heading"><h1>{_e(title)}</h1><p>{_e(lead)}</p></div>'


def tabs_html(tabs: Sequence[tuple[str, str]]) -> str:
    """The list of tabs, each given as its address and its word; the panels have the ids ``tab-ADDRESS``."""
    links = "".join(
        f'<a role="tab" id="to-{_e(name)}" href="#{_e(name)}" aria-controls="tab-{_e(name)}">{_e(label)}</a>'
        for name, label in tabs
    )
    return (
        f'<div class="bar"><span class="brand" aria-hidden="true">{phrases.SITE}</span>'
        f'<div class="tabs" role="tablist" aria-label="{phrases.SITE}">{links}</div></div>'
    )


def button_html(label: str, *, data: str = "", name: str = "", css: str = "quiet", more: str = "") -> str:
    """A button; ``data`` is its data attribute (``act="new"``), ``name`` what it is called when read out."""
    named = f' aria-label="{_e(name)}"' if name else ""
    told = f" data-{data}" if data else ""
    return f'<button type="button" class="{css}"{told}{named}{more}>{_e(label)}</button>'


def panel_html(inner: str) -> str:
    """What is shown beside the conversation, below a bar with buttons to other sources and to close it.

    Which of several sources this is, and where the buttons lead, is for the page to say.
    """
    steps = (
        button_html("‹", css="step", data='to="-1"', name=phrases.SOURCE_PREVIOUS, more=" hidden")
        + button_html("›", css="step", data='to="1"', name=phrases.SOURCE_NEXT, more=" hidden")
        + button_html(phrases.CLOSE, css="close", data="close", name=phrases.SOURCE_CLOSE)
    )
    return (
        f'<section class="panel" aria-label="{phrases.SOURCE}"><div class="panel-bar" '
        f'data-of="{phrases.SOURCE_OF}">'
        f'<span class="panel-name">{phrases.SOURCE}</span>{steps}</div>{inner}</section>'
    )


def problem_html(message: str) -> str:
    """A sentence that says what went wrong."""
    return f'<p class="problem" role="alert">{_e(message)}</p>'


def footer_html(documents: int, newest: str | None, model: str | None = None) -> str:
    """How much the library holds, how new it is, and that it stays here, or what goes to a chat model."""
    facts = [count(documents, "document"), f"newest {date_in_words(newest)}" if newest else ""]
    leaves = f"Questions, what was said before and the passages found go to {model}" if model else ""
    line = " · ".join(filter(None, [*facts, leaves or "Nothing leaves this machine"]))
    return f'<p class="colophon">{_e(line)}</p>'


def escape(text: str) -> str:
    """Text as it stands in HTML, between tags and in attributes."""
    return html.escape(text, quote=True)


_e = escape


def _about(of: Citation | Source) -> str:
    return ", ".join(filter(None, (of.title, of.publisher, date_in_words(of.published))))


def _name(citation: Citation, total: int) -> str:
    return f"source {citation.n} of {total}, " + _about(citation)


def _source_id(key: str, n: int) -> str:
    return f"{_e(key)}-source-{n}"


def cites_html(citations: Sequence[Citation], key: str) -> str:
    """Links that open the sources, and nothing else."""
    return "".join(_cite(citation, len(citations), key) for citation in citations)


def cited_html(citation: Citation, total: int, key: str, inner: str) -> str:
    """A link around ``inner`` that opens a source."""
    return _open(citation, "source-title", inner, _name(citation, total), _source_id(key, citation.n))


def passage_html(hit: Hit, total: int, key: str, inner: str) -> str:
    """A link around ``inner`` that opens a passage that was found."""
    name = f"closest passage {hit.rank} of {total}, " + _about(hit.source)
    return _open(hit.passage, "source-title", inner, name, _source_id(key, hit.rank))


def _cite(citation: Citation, total: int, key: str, *, id: str = "") -> str:
    target = _source_id(key, citation.n)
    return _open(citation, "cite", str(citation.n), _name(citation, total), target, id=id)


def _open(place: Citation | Passage, css: str, inner: str, name: str, target: str, *, id: str = "") -> str:
    """A link that opens ``place`` in its document; without the page's script it leads to ``target``."""
    identity = f' id="{id}"' if id else ""
    return (
        f'<a class="{css}"{identity} href="#{target}" '
        f'data-doc="{_e(place.document_id)}" data-start="{place.start}" data-end="{place.end}" '
        f'aria-label="{_e(name)}">{inner}</a>'
    )


def _facts_html(facts: Sequence[str]) -> str:
    inner = '<span class="dot" aria-hidden="true"> · </span>'.join(f"<bdi>{_e(fact)}</bdi>" for fact in facts)
    return f'<p class="facts">{inner}</p>' if facts else ""


def why_html(verdict: Verdict) -> str:
    """The lines of ``why``, each a paragraph."""
    return "".join(f'<p class="explanation" dir="auto">{_e(line)}</p>' for line in why(verdict))


def web_link(url: str | None, text: str, quote: str = "") -> str:
    """``text`` as a link to an address on the web, at ``quote``; without one ``text`` alone."""
    address = web_address(url, quote)
    if not address:
        return _e(text)
    return f'<a href="{_e(address)}" target="_blank" rel="noopener noreferrer">{_e(text)}</a>'


def web_address(url: str | None, quote: str = "") -> str | None:
    """An address on the web, with ``quote`` as a text fragment that browsers scroll to; else ``None``.

    A long quote is given by its first and last words, as the fragment allows.
    """
    if not url or not _WEB_ADDRESS.fullmatch(url):
        return None
    address, words = url.partition(":~:")[0], quote.split()
    ends = (
        [words] if len(words) <= 2 * _FRAGMENT_WORDS else [words[:_FRAGMENT_WORDS], words[-_FRAGMENT_WORDS:]]
    )
    # A hyphen has a meaning of its own in a text fragment, and is not encoded by itself.
    parts = [percent_encoded(" ".join(end), safe="").replace("-", "%2D") for end in ends if end]
    return f"{address}{'' if '#' in address else '#'}:~:text={','.join(parts)}" if parts else url


def _original(url: str | None, quote: str) -> str:
    if not web_address(url):
        return ""
    return f'<p class="original">{web_link(url, phrases.ORIGINAL, quote)}</p>'


def _source_html(there: Sequence[Citation], total: int, key: str, said: Container[str]) -> str:
    """One section of one document, with the numbers of all citations of it."""
    first = there[0]
    numbers = "".join(_cite(c, total, key, id=_source_id(key, c.n)) for c in there)
    title = f"<bdi>{_e(first.title)}</bdi>"
    quotes = [f'<q class="quote" dir="auto">{_e(c.quote)}</q>' for c in there if c.quote not in said]
    return (
        f'<li><span class="numbers">{numbers}</span><div>'
        f"{cited_html(first, total, key, title)}"
        f"{_facts_html(known_facts(first, first.section, first.page))}{''.join(quotes)}"
        f"{_correction_html(first)}</div></li>"
    )


def _correction_html(citation: Citation) -> str:
    if not citation.correction:
        return ""
    return f'<p class="correction" dir="auto"><b>Corrected:</b> {_e(citation.correction)}</p>'


def closest_item_html(hit: Hit, total: int, key: str) -> str:
    """One of the closest passages below a refusal: its document, where it stands, and how it begins."""
    passage, title = hit.passage, f"<bdi>{_e(hit.source.title)}</bdi>"
    return (
        f'<li id="{_source_id(key, hit.rank)}"><div>{passage_html(hit, total, key, title)}'
        f"{_facts_html(known_facts(hit, passage.section, passage.page))}"
        f'<span class="quote" dir="auto">{_e(_opening(passage))}</span></div></li>'
    )


def _section_at(sections: Iterable[Section], offset: int) -> str | None:
    passed = [section for section in sections if section.start <= offset]
    return max(passed, key=lambda section: section.start).title if passed else None


def _blocks(document: Document) -> Iterator[tuple[str, int, int]]:
    """The text as (tag, start, end): heading lines, and runs of other lines between blank ones."""
    tags: Mapping[int, str] = {s.start: "h3" if s.level <= 2 else "h4" for s in document.sections}
    text, begin, stop = document.text, -1, -1
    for line in re.finditer(r"[^\n]+", text):
        blank = not line.group().strip()
        after_gap = line.start() > stop + 1  # a blank line, or nothing open yet
        if begin >= 0 and (blank or after_gap or line.start() in tags):
            yield "p", begin, stop
            begin = -1
        if line.start() in tags:
            yield tags[line.start()], line.start(), line.end()
        elif not blank:
            begin = line.start() if begin < 0 else begin
        stop = line.end()
    if begin >= 0:
        yield "p", begin, stop


def _marked(text: str, begin: int, stop: int, start: int, end: int, *, first: bool) -> tuple[str, bool]:
    """``text[begin:stop]`` as HTML with its part of ``start``...``end`` marked, and whether there is one."""
    left, right = max(begin, start), min(stop, end)
    if left >= right or not text[left:right].strip():
        return _e(text[begin:stop]), False
    mark = '<mark id="quote" tabindex="-1">' if first else "<mark>"
    return f"{_e(text[begin:left])}{mark}{_e(text[left:right])}</mark>{_e(text[right:stop])}", True
