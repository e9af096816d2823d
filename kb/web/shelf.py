"""The HTML of the Library tab: the list of documents, one document with its passages, what came of a change.

Whatever comes from documents, file names and requests is escaped here; ``kb.render`` writes dates and facts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from kb import phrases, render
from kb.doctor import Health
from kb.holdings import Holding, Only, Order, View, by_publisher, over_time, publishers
from kb.render import count, escape
from kb.types import Document, Passage
from kb.web.intake import Step, Taken

PAGE = 25
"""Documents, or passages of one, that are shown at once."""


def view_of(sent: dict[str, object]) -> View:
    """The view that a browser asks for; what it cannot mean counts as not asked."""
    only, order = sent.get("only"), sent.get("order")
    return View(
        str(sent.get("words", ""))[:200],
        str(sent.get("publisher", ""))[:500],
        only if only in get_args(Only) else "all",  # type: ignore[arg-type]
        order if order in get_args(Order) else "newest",  # type: ignore[arg-type]
    )


def controls_html(held: Sequence[Holding]) -> str:
    """Search, filters and order."""
    if not held:
        return ""
    every = [("", phrases.LIBRARY_EVERY_PUBLISHER), *((name, name) for name in publishers(held))]
    return (
        f'<form class="shelf-controls" role="search" aria-label="{phrases.LIBRARY_DOCUMENTS}">'
        f'<div class="control wide-control"><label for="shelf-words">{phrases.LIBRARY_FIND}</label>'
        '<input id="shelf-words" type="search" name="words" autocomplete="off" maxlength="200" '
        f'placeholder="{phrases.LIBRARY_FIND_PLACEHOLDER}"></div>'
        f"{_select(phrases.LIBRARY_PUBLISHER, 'publisher', every)}"
        f"{_select(phrases.LIBRARY_SHOW, 'only', list(phrases.LIBRARY_ONLY.items()))}"
        f"{_select(phrases.LIBRARY_ORDER, 'order', list(phrases.LIBRARY_ORDERS.items()))}</form>"
    )


def _select(label: str, name: str, options: Sequence[tuple[str, str]]) -> str:
    inner = "".join(f'<option value="{escape(value)}">{escape(word)}</option>' for value, word in options)
    return (
        f'<div class="control"><label for="shelf-{name}">{label}</label>'
        f'<select id="shelf-{name}" name="{name}">{inner}</select></div>'
    )


def list_html(found: Sequence[Holding], total: int, page: int, *, edits: bool) -> str:
    """A page of the documents that were found, among ``total``, with boxes to tick for editors."""
    if not total:
        command = "<code>kbqa ingest FOLDER</code>"
        how = phrases.LIBRARY_EMPTY_EDITS if edits else phrases.LIBRARY_EMPTY_READS.format(command=command)
        return f'<div class="shelf"><p class="nothing">{phrases.LIBRARY_EMPTY.format(how=how)}</p></div>'
    told = count(total, "document")
    if len(found) != total:
        told = phrases.LIBRARY_SOME.format(number=len(found), documents=told)
    head = f'<p class="shelf-count" role="status">{told}</p>'
    if not found:
        return f'<div class="shelf">{head}<p class="nothing">{phrases.LIBRARY_NONE}</p></div>'
    first = page * PAGE
    rows = "".join(_row(one, edits) for one in found[first : first + PAGE])
    remove = f'<button type="button" data-discard disabled>{phrases.LIBRARY_REMOVE_TICKED}</button>'
    tools = f'<p class="shelf-tools">{remove}</p>' if edits else ""
    box = f'<th scope="col"><span class="unseen">{phrases.LIBRARY_TICK}</span></th>' if edits else ""
    columns = "".join(f'<th scope="col">{column}</th>' for column in phrases.LIBRARY_COLUMNS)
    return (
        f'<div class="shelf">{head}{tools}<table>'
        f'<caption class="unseen">{phrases.LIBRARY_DOCUMENTS}</caption>'
        f"<thead><tr>{box}{columns}</tr></thead><tbody>{rows}</tbody></table>"
        f"{_pager(len(found), page)}</div>"
    )


def _row(one: Holding, edits: bool) -> str:
    d = one.document
    box = (
        f'<td class="tick"><input type="checkbox" data-id="{escape(d.id)}" '
        f'aria-label="{escape(phrases.LIBRARY_TICK_NAME.format(title=d.title))}"></td>'
        if edits
        else ""
    )
    return (
        f'<tr>{box}<th scope="row">{_open(d.id, d.title)}{_notes(one)}</th>'
        f'<td dir="auto">{escape(d.publisher or "–")}</td>'
        f'<td class="day">{escape(render.date_in_words(d.published) or "–")}</td>'
        f'<td class="number">{d.passages:,}</td></tr>'
    )


def _open(document_id: str, words: str) -> str:
    return (
        f'<button type="button" class="open-document" data-view="{escape(document_id)}" dir="auto">'
        f"{escape(words)}</button>"
    )


def _notes(one: Holding) -> str:
    notes = list(one.problems)
    if one.document.copies:
        others = count(len(one.document.copies), "other document")
        notes.append(phrases.LIBRARY_COPIES.format(documents=others))
    return "".join(f'<span class="note">{escape(note)}</span>' for note in notes)


def _pager(total: int, page: int) -> str:
    if total <= PAGE:
        return ""
    first, last = page * PAGE + 1, min(total, (page + 1) * PAGE)
    back = "" if page else " disabled"
    on = "" if last < total else " disabled"
    return (
        '<p class="pager">'
        f'<button type="button" data-turn="{page - 1}"{back}>{phrases.LIBRARY_PREVIOUS}</button>'
        f"<span>{phrases.LIBRARY_PLACE.format(first=first, last=last, total=total)}</span>"
        f'<button type="button" data-turn="{page + 1}"{on}>{phrases.LIBRARY_NEXT}</button></p>'
    )


def document_html(
    document: Document, passages: Sequence[Passage], held: Holding, page: int, *, edits: bool
) -> str:
    """A document's own page: what is known of it, and its passages, each with its place.

    Where it was read from is a path of this machine: those who may edit see it.
    """
    facts = [*render.known_facts(held.document), count(len(passages), "passage")]
    facts.append(phrases.LIBRARY_CHARACTERS.format(number=len(document.text)))
    known = f'<p class="facts">{" · ".join(f"<bdi>{escape(fact)}</bdi>" for fact in facts)}</p>'
    source = phrases.LIBRARY_READ_FROM.format(source=f"<bdi>{escape(document.source)}</bdi>")
    read = f'<p class="facts">{source}</p>' if edits else ""
    original = (
        f'<p class="original">{render.web_link(document.url, phrases.ORIGINAL)}</p>'
        if render.web_address(document.url)
        else ""
    )
    problems = "".join(f'<p class="note">{escape(problem)}</p>' for problem in held.problems)
    copies = "".join(f"<li>{_open(other, other)}</li>" for other in held.document.copies)
    near = f'<p class="note">{phrases.LIBRARY_COPIES_LIST}</p>'
    copies = f'{near}<ul class="copies">{copies}</ul>' if copies else ""
    discard = f'data-discard="{escape(document.id)}"'
    remove = f'<button type="button" {discard}>{phrases.LIBRARY_REMOVE}</button>' if edits else ""
    first = page * PAGE
    items = "".join(_passage(passage) for passage in passages[first : first + PAGE])
    pager = _pager(len(passages), page).replace("data-turn=", f'data-view="{escape(document.id)}" data-page=')
    return (
        f'<article class="document-page" data-document="{escape(document.id)}">'
        f'<p class="shelf-tools">{_back()}{remove}</p>'
        f'<h2 tabindex="-1" dir="auto">{escape(document.title)}</h2>{known}{read}{original}{problems}{copies}'
        f'<ol class="passages" start="{first + 1}" aria-label="{phrases.LIBRARY_PASSAGES}">{items}</ol>'
        f"{pager}</article>"
    )


def _back() -> str:
    return f'<button type="button" data-back>{phrases.LIBRARY_BACK}</button>'


def missing_html(document_id: str) -> str:
    """That a document is not, or no longer, there."""
    said = escape(phrases.LIBRARY_MISSING_WHY.format(id=document_id[:200]))
    return (
        f'<article class="document-page" data-document=""><p class="shelf-tools">{_back()}</p>'
        f'<h2 tabindex="-1">{phrases.LIBRARY_MISSING}</h2><p>{said}</p></article>'
    )


def _passage(passage: Passage) -> str:
    page = phrases.LIBRARY_PAGE.format(page=passage.page) if passage.page else ""
    place = [passage.section, page, phrases.LIBRARY_PASSAGE.format(start=passage.start, end=passage.end)]
    told = " · ".join(escape(part) for part in place if part)
    return (
        f'<li><p class="place" dir="auto">{told}</p>'
        f'<p class="passage-text" dir="auto">{escape(passage.text)}</p></li>'
    )


# --- changes -----------------------------------------------------------------------------------------


def step_html(step: Step, verb: str) -> str:
    """How far a change is."""
    name = f" {escape(step.name)}" if step.name else ""
    told = phrases.LIBRARY_STEP.format(verb=verb, done=step.done, sources=count(step.total, "source"))
    return (
        '<div class="intake" role="status"><div class="list-progress">'
        f'<progress max="{max(1, step.total)}" value="{step.done}" aria-label="{verb}"></progress>'
        f"<p>{told}{name}</p></div></div>"
    )


def results_html(results: Sequence[Taken]) -> str:
    """What came of each source; of those that have not changed only how many."""
    quiet = sum(taken.outcome == "unchanged" for taken in results)
    told = [taken for taken in results if taken.outcome != "unchanged"] if len(results) > 10 else results
    items = "".join(_result(taken) for taken in told)
    counts = [
        f"{number:,} {word.lower()}"
        for outcome, word in phrases.LIBRARY_OUTCOMES.items()
        if (number := sum(taken.outcome == outcome for taken in results))
    ]
    line = f"{', '.join(counts) or phrases.LIBRARY_NOTHING_READ}."
    more = "" if len(told) == len(results) else f" {phrases.LIBRARY_QUIET.format(number=quiet)}"
    listed = f'<ul class="results-of-intake">{items}</ul>' if items else ""
    return f'<div class="intake" role="status"><p>{line[:1].upper()}{line[1:]}{more}</p>{listed}</div>'


def _result(taken: Taken) -> str:
    links = ", ".join(_open(document_id, document_id) for document_id in taken.documents[:5])
    left = len(taken.documents) - 5
    more = f" {phrases.LIBRARY_MORE.format(number=left)}" if left > 0 else ""
    why = f'<span class="why" dir="auto">{escape(taken.error)}</span>' if taken.error else f"{links}{more}"
    css = "error" if taken.outcome in ("failed", "gone") else "answered"
    return (
        f'<li><span class="badge {css}">{phrases.LIBRARY_OUTCOMES[taken.outcome]}</span> '
        f'<bdi class="source-name">{escape(taken.name)}</bdi> {why}</li>'
    )


def removed_html(names: Sequence[str], uploads: int) -> str:
    """That documents were removed, with the way back."""
    what = phrases.LIBRARY_REMOVED_SEVERAL.format(documents=count(len(names), "document"))
    if len(names) == 1:
        what = phrases.LIBRARY_REMOVED.format(title=names[0])
    still = "" if uploads else f" {phrases.LIBRARY_REMOVED_FILE}"
    return (
        f'<div class="intake" role="status"><p dir="auto">{escape(what + still)} '
        f'<button type="button" class="undo" data-undo>{phrases.LIBRARY_UNDO}</button></p></div>'
    )


def told_html(message: str) -> str:
    """That something was done."""
    return f'<div class="intake" role="status"><p>{escape(message)}</p></div>'


def health_html(health: Health, *, edits: bool) -> str:
    """What the doctor found."""
    mended = "".join(
        f"<li>{escape(phrases.LIBRARY_MENDED.format(what=what))}</li>" for what in health.repaired
    )
    found = "".join(
        f'<li><span class="badge {"error" if finding.damage else ""}">'
        f"{phrases.LIBRARY_DAMAGE if finding.damage else phrases.LIBRARY_NOTE}</span> "
        f"{escape(finding.what)}: {escape(finding.cure)}.</li>"
        for finding in health.findings
    )
    said = phrases.LIBRARY_SOUND if health.sound else phrases.LIBRARY_DAMAGED
    mend = f'<button type="button" data-mend>{phrases.LIBRARY_MEND}</button>'
    mend = mend if edits and not health.sound else ""
    return f'<div class="intake" role="status"><p>{said} {mend}</p><ul>{mended}{found}</ul></div>'


# --- charts ------------------------------------------------------------------------------------------


def charts_html(held: Sequence[Holding]) -> str:
    """Documents over time and by publisher: two charts, and the same figures as tables."""
    if not held:
        return ""
    times, names = over_time(held), by_publisher(held)
    undated = sum(not one.document.published for one in held)
    missing = phrases.LIBRARY_UNDATED.format(documents=count(undated, "document"))
    left_out = f"; {missing}" if undated else ""
    unit = "month" if times and len(times[0][0]) > 4 else "year"
    over = (
        f"<figure><figcaption>{phrases.LIBRARY_BY[unit]}{left_out}</figcaption>{_columns(times)}</figure>"
        if times
        else ""
    )
    by = f"<figure><figcaption>{phrases.LIBRARY_BY_PUBLISHER}</figcaption>{_bars(names)}</figure>"
    return (
        f'<section class="charts" aria-label="{phrases.LIBRARY_CHARTS}"><div class="chart-row">{over}{by}'
        f"</div><details><summary>{phrases.LIBRARY_FIGURES}</summary>"
        f"{_figures(phrases.LIBRARY_UNITS[unit], times)}{_figures(phrases.LIBRARY_PUBLISHER, names)}"
        "</details></section>"
    )


def _columns(counts: Sequence[tuple[str, int]]) -> str:
    """Columns over time: every one tells its figure to the pointer, the whole is summed up for the ear."""
    width, height, foot = 480, 120, 18
    most = max(count for _, count in counts)
    step = width / len(counts)
    every = max(1, -(-len(counts) // 8))
    parts = []
    for n, (name, number) in enumerate(counts):
        tall = height * number / most
        x = n * step
        parts.append(
            f'<rect x="{x + step * 0.1:.1f}" y="{16 + height - tall:.1f}" width="{step * 0.8:.1f}" '
            f'height="{tall:.1f}"><title>{_in_words(name)}: {number:,}</title></rect>'
        )
        if n % every == 0:
            anchor = "middle" if len(counts) < 3 or 0 < n < len(counts) - 1 else ("end" if n else "start")
            at = {"start": x, "middle": x + step / 2, "end": x + step}[anchor]
            parts.append(
                f'<text x="{at:.1f}" y="{height + 16 + foot}" text-anchor="{anchor}">{_in_words(name)}</text>'
            )
    peak = max(counts, key=lambda pair: pair[1])
    first, last = _in_words(counts[0][0]), _in_words(counts[-1][0])
    said = phrases.LIBRARY_CHART_NAME.format(
        first=first, last=last, peak=_in_words(peak[0]), documents=count(peak[1], "document")
    )
    return (
        f'<svg viewBox="0 0 {width} {height + 40}" role="img" aria-label="{said}">'
        f'<text x="0" y="11">{most:,}</text><path d="M0 {height + 16.5}H{width}"/>{"".join(parts)}</svg>'
    )


def _bars(counts: Sequence[tuple[str, int]]) -> str:
    width, line, left = 480, 22, 190
    most = max(number for _, number in counts)
    parts = []
    for n, (name, number) in enumerate(counts):
        y = n * line
        short = name if len(name) <= 28 else f"{name[:27]}…"
        wide = (width - left - 50) * number / most
        parts.append(
            f'<text x="{left - 8}" y="{y + 15}" text-anchor="end">{escape(short)}</text>'
            f'<rect x="{left}" y="{y + 4}" width="{wide:.1f}" height="14">'
            f"<title>{escape(name)}: {number:,}</title></rect>"
            f'<text x="{left + wide + 6:.1f}" y="{y + 15}">{number:,}</text>'
        )
    said = ", ".join(f"{name} {number:,}" for name, number in counts)
    return (
        f'<svg viewBox="0 0 {width} {len(counts) * line}" role="img" aria-label="{escape(said)}">'
        f"{''.join(parts)}</svg>"
    )


def _figures(what: str, counts: Sequence[tuple[str, int]]) -> str:
    rows = "".join(
        f'<tr><th scope="row" dir="auto">{escape(_in_words(name))}</th>'
        f'<td class="number">{number:,}</td></tr>'
        for name, number in counts
    )
    head = f'<tr><th scope="col">{what}</th><th scope="col">{phrases.LIBRARY_DOCUMENTS}</th></tr>'
    return f"<table><thead>{head}</thead><tbody>{rows}</tbody></table>" if counts else ""


def _in_words(name: str) -> str:
    """A month as people write it; anything else as it is."""
    return render.date_in_words(name) if len(name) == 7 and name[4] == "-" else name
