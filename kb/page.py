"""Pages to hand around: one HTML file that needs no other, no network, and prints well.

What stands on a page comes escaped from ``kb.render``; here are its frame, its style, the script that
filters and searches, and the plots; and the parts of the web desk that show a list at work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from kb.render import (
    CLAIM_CLASSES,
    REFUSAL,
    answer_html,
    cites_html,
    claim_class,
    closest_html,
    escape,
    evidence_html,
    excerpt,
    label,
    why_html,
)
from kb.types import Answer, CheckReport, Verdict

STATUSES: Mapping[str, str] = {
    "answered": "Answered",
    "not_found": "Not found",
    "error": "Failed",
    **CLAIM_CLASSES,
    "right": "Right",
    "wrong": "Wrong",
    "unjudged": "Not judged",
}

# The page may load nothing: whatever a text holds, it stays what it is.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def head_html(title: str, lead: str) -> str:
    """The beginning of a page, with its title and the sentence below it."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="generator" content="kbqa">'
        f"<title>{escape(title)}</title><style>{_CSS}</style></head>\n<body>"
        f'<header><h1 dir="auto">{escape(title)}</h1><p class="lead">{escape(lead)}</p></header>\n'
    )


def tools_html(counts: Mapping[str, int], noun: str) -> str:
    """The filter by status (``counts`` by status) and the search; without a script they stay hidden."""
    total = sum(counts.values())
    choices = [("", "All", total), *((s, STATUSES[s], count) for s, count in counts.items() if count)]
    buttons = "".join(
        f'<label><input type="radio" name="status" value="{value}"{" checked" if not value else ""}>'
        f"<span>{label} {count:,}</span></label>"
        for value, label, count in choices
    )
    return (
        f'<form class="tools" role="search" hidden><fieldset><legend>Show</legend>{buttons}</fieldset>'
        '<label class="search"><span>Search</span><input type="search" autocomplete="off" '
        'placeholder="Search for words"></label>'
        f'<output role="status" data-noun="{noun}"></output></form>\n<main>\n'
    )


def foot_html(receipt: Sequence[tuple[str, str]], sources: Iterable[Sequence[str]]) -> str:
    """The end of a page: where its content comes from, and the hash of each source."""
    facts = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in receipt)
    rows = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in sources)
    table = (
        '<div class="wide"><table><thead><tr><th scope="col">Source</th><th scope="col">Title</th>'
        f'<th scope="col">Content hash</th></tr></thead><tbody>{rows}</tbody></table></div>'
    )
    return (
        f'</main>\n<footer><h2>Receipt</h2><dl class="facts-list">{facts}</dl>{table if rows else ""}'
        f"</footer><script>{_JS}</script></body></html>\n"
    )


def table_html(caption: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are text; a cell that begins with a digit stands to the right."""

    def cell(text: str) -> str:
        number = ' class="number"' if text[:1].isdigit() else ""
        return f"<td{number}>{escape(text)}</td>"

    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in header)
    body = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
    return (
        f'<div class="wide"><table><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>\n"
    )


def plot_html(
    title: str,
    caption: str,
    axes: tuple[str, str],
    points: Sequence[tuple[float, float]],
    *,
    sizes: Sequence[int] = (),
    x_max: float = 1.0,
    ideal: bool = False,
) -> str:
    """Points from 0 to ``x_max`` and 0 to 1, as dots of some sizes or else as a line; ``ideal`` is x = y."""
    left, top, width, height = 50, 12, 480, 260
    figure = "g" if x_max <= 1 else ",.0f"

    def place(x: float, y: float) -> tuple[str, str]:
        return f"{left + width * x / x_max:.1f}", f"{top + height * (1 - y):.1f}"

    parts = [f'<path class="axis" d="M{left} {top}V{top + height}H{left + width}"/>']
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = place(share * x_max, share)
        parts.append(f'<text x="{left - 8}" y="{y}" text-anchor="end" dy="4">{share:g}</text>')
        parts.append(
            f'<text x="{x}" y="{top + height + 18}" text-anchor="middle">{share * x_max:{figure}}</text>'
        )
    parts.append(
        f'<text x="{left + width / 2:g}" y="{top + height + 38}" text-anchor="middle">{axes[0]}</text>'
    )
    parts.append(
        f'<text x="14" y="{top + height / 2:g}" text-anchor="middle" transform="rotate(-90 14 '
        f'{top + height / 2:g})">{axes[1]}</text>'
    )
    if ideal:
        parts.append(f'<path class="ideal" d="M{left} {top + height}L{left + width} {top}"/>')
    places = [place(*point) for point in points]
    if sizes:
        most = max(sizes)
        parts += [
            f'<circle class="dot" cx="{x}" cy="{y}" r="{3 + 9 * (n / most) ** 0.5:.1f}">'
            f"<title>{n}</title></circle>"
            for (x, y), n in zip(places, sizes, strict=True)
        ]
    elif places:
        parts.append(f'<polyline class="line" points="{" ".join(",".join(p) for p in places)}"/>')
    return (
        f'<figure><svg viewBox="0 0 {left + width + 30} {top + height + 48}" role="img" '
        f'aria-label="{escape(title)}: {escape(caption)}">{"".join(parts)}</svg>'
        f"<figcaption><strong>{escape(title)}.</strong> {escape(caption)}</figcaption></figure>\n"
    )


def answer_row(
    n: int, name: str, answer: Answer, carried: Mapping[str, str], judged: str | None = None
) -> str:
    """One question of a list with its answer, refusal or failure; ``judged`` takes its status' place."""
    key = f"r{n}"
    if answer.status == "answered":
        inner = answer_html(answer, key)
    elif answer.status == "not_found":
        inner = f'<p class="answer-text">{REFUSAL}</p>'
    else:
        inner = f'<p class="problem">{escape(answer.error or "The question could not be answered.")}</p>'
    inner += "".join(f'<p class="notice">{escape(notice)}</p>' for notice in answer.notices)
    inner += evidence_html(answer.citations, key)
    if answer.status == "not_found" and answer.hits:
        inner += f"<details><summary>The closest passages</summary>{closest_html(answer.hits)}</details>"
    confidence = None if answer.status == "error" else answer.confidence
    return _row(n, name, answer.question, judged or answer.status, confidence, inner, carried)


def draft_html(report: CheckReport) -> str:
    """A checked text with its claims marked; each leads to its ``claim_row``."""
    parts, done = [], 0
    for n, verdict in enumerate(report.claims, 1):
        parts.append(escape(report.text[done : verdict.start]))
        parts.append(
            f'<a class="claim {claim_class(verdict)}" href="#r{n}" title="{label(verdict)}">'
            f"{escape(verdict.claim)}<sup>{n}</sup></a>"
        )
        done = verdict.end
    return f'<p class="draft" dir="auto">{"".join(parts)}{escape(report.text[done:])}</p>\n'


def claim_row(n: int, verdict: Verdict) -> str:
    """One claim of a checked text: the verdict, why, and the quotes with their sources."""
    inner = why_html(verdict) + evidence_html(verdict.citations, f"r{n}")
    status = claim_class(verdict)
    confidence = None if status == "left" else verdict.confidence
    return _row(n, str(n), verdict.claim, status, confidence, inner, {})


def check_row(n: int, name: str, report: CheckReport, carried: Mapping[str, str]) -> str:
    """One text of a list with the verdict on each of its claims."""
    verdicts = [claim.verdict for claim in report.claims]
    worst = next((v for v in ("contradicted", "not_found", "supported") if v in verdicts), "not_found")
    claims = "".join(
        f'<li><p>{_badge(claim.verdict)} <span dir="auto">{escape(claim.claim)}</span></p>'
        f"{why_html(claim)}"
        f"{evidence_html(claim.citations, f'r{n}-{i}')}</li>"
        for i, claim in enumerate(report.claims, 1)
    )
    inner = f'<ol class="claims">{claims}</ol>' if claims else "<p>There is no claim to check in it.</p>"
    if report.error:
        inner = f'<p class="problem">{escape(report.error)}</p>'
    confidence = min((claim.confidence for claim in report.claims), default=None)
    return _row(n, name, report.text, "error" if report.error else worst, confidence, inner, carried)


def _row(
    n: int,
    name: str,
    question: str,
    status: str,
    confidence: float | None,
    inner: str,
    carried: Mapping[str, str],
) -> str:
    sure = "" if confidence is None else f'<span class="sure">confidence {confidence:.0%}</span>'
    known = "".join(
        f'<dt>{escape(column)}</dt><dd dir="auto">{escape(value)}</dd>'
        for column, value in carried.items()
        if value
    )
    return (
        f'<article class="row" id="r{n}" data-status="{status}" aria-labelledby="r{n}-q">'
        f'<p class="about"><a href="#r{n}">{escape(name)}</a> {_badge(status)} {sure}</p>'
        f'<h2 id="r{n}-q" dir="auto">{escape(question) or "(empty)"}</h2>{inner}'
        + (f'<dl class="facts-list carried">{known}</dl>' if known else "")
        + "</article>\n"
    )


# --- a list at work ----------------------------------------------------------------------------------


def list_html(
    name: str, lead: str, header: Sequence[str], rows: Sequence[Sequence[str]], problems: Sequence[str]
) -> str:
    """The first rows of a list that was handed in, what was understood of it, and what is wrong with it."""
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in header)
    body = "".join(f"<tr>{''.join(f'<td>{escape(excerpt(cell))}</td>' for cell in row)}</tr>" for row in rows)
    wrong = "".join(f"<li>{escape(problem)}</li>" for problem in problems)
    return (
        f'<section class="list" aria-label="Preview"><h3 dir="auto">{escape(name)}</h3><p>{escape(lead)}</p>'
        f'<div class="wide" tabindex="0" role="region" aria-label="First rows"><table><thead><tr>{head}</tr>'
        f"</thead><tbody>{body}</tbody></table></div>"
        + (f'<p>These rows will be errors:</p><ul class="problem">{wrong}</ul>' if wrong else "")
        + "</section>"
    )


def progress_html(
    done: int, total: int, told: str, counts: Iterable[tuple[str, int]], *, ended: bool = False
) -> str:
    """How many rows of a list are done, and how they came out."""
    numbers = ", ".join(f"{count:,} {escape(what)}" for what, count in counts if count)
    rows = f"{done:,} of {total:,} rows" if total else "Reading the list"
    role = ' role="status"' if ended else ""  # told aloud once, not twice a second
    bar = f'<progress aria-label="Rows done" max="{max(total, 1)}" value="{done}"></progress>'
    return (
        f'<div class="list-progress"{role}>{bar}<p><strong>{rows}</strong>'
        f"{': ' if numbers else '.'}{numbers}{'.' if numbers else ''} {escape(told)}</p></div>"
    )


def results_html(rows: Iterable[tuple[str, str, str, str]]) -> str:
    """The latest rows of a list as (id, status, question, what ``answer_cell`` or ``check_cell`` gave)."""
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{_badge(status)}</td>'
        f'<td><p class="question" dir="auto">{escape(question) or "(empty)"}</p>{cell}</td></tr>'
        for name, status, question, cell in rows
    )
    return (
        '<table class="results"><caption>The latest results first; the file has all of them in their order.'
        '</caption><thead><tr><th scope="col">Row</th><th scope="col">Status</th><th scope="col">Answer</th>'
        f"</tr></thead><tbody>{body}</tbody></table>"
    )


def answer_cell(answer: Answer, key: str) -> str:
    """An answer with links to its sources, a refusal, or what went wrong."""
    if answer.status == "answered":
        return answer_html(answer, key)
    said = REFUSAL if answer.status == "not_found" else answer.error or "The question could not be answered."
    return f"<p>{escape(said)}</p>"


def check_cell(report: CheckReport, key: str) -> str:
    """The verdict on each claim of a text, with links to the evidence."""
    if report.error:
        return f"<p>{escape(report.error)}</p>"
    claims = "".join(
        f"<li>{_badge(claim.verdict)} <span>{escape(claim.explanation)}</span>"
        f"{cites_html(claim.citations, f'{key}-{n}')}</li>"
        for n, claim in enumerate(report.claims, 1)
    )
    return f'<ul class="claims">{claims}</ul>' if claims else "<p>There is no claim to check in it.</p>"


def _badge(status: str) -> str:
    return f'<span class="badge {status}">{STATUSES[status]}</span>'


_CSS = """
:root { color-scheme: light dark; --paper: #fbfaf7; --sheet: #fff; --ink: #1d1c1a; --soft: #5f5b53;
  --rule: #ddd8cd; --link: #1f4e79; --good: #1c6238; --open: #665000; --bad: #8a2f1d;
  --serif: Charter, 'Bitstream Charter', 'Iowan Old Style', 'Palatino Linotype', Cambria, Georgia, serif; }
@media (prefers-color-scheme: dark) { :root { --paper: #161513; --sheet: #1e1c1a; --ink: #ece8e0;
  --soft: #aba59a; --rule: #3a362f; --link: #9cc4ec; --good: #8fd3a7; --open: #e2c565; --bad: #f0a08c; } }
* { box-sizing: border-box; }
html { scroll-padding-top: 6rem; }
body { max-width: 50rem; margin: 0 auto; padding: 2rem clamp(1rem, 4vw, 2rem) 4rem; background: var(--paper);
  color: var(--ink); font: 1rem/1.55 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font: 400 2rem/1.2 var(--serif); margin: 0 0 .4rem; }
.lead, .place, .facts, .sure, .explanation { color: var(--soft); }
p { margin: .3rem 0; }
a { color: var(--link); }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
.tools { position: sticky; top: 0; z-index: 1; display: flex; flex-wrap: wrap; gap: .5rem 1rem;
  align-items: center; padding: .7rem 0; background: var(--paper); border-bottom: 1px solid var(--rule); }
.tools[hidden] { display: none; }
.tools fieldset { display: flex; flex-wrap: wrap; gap: .3rem; border: 0; margin: 0; padding: 0; }
.tools legend, .search span { position: absolute; width: 1px; height: 1px; overflow: hidden;
  clip-path: inset(50%); }
.tools input[type=radio] { position: absolute; opacity: 0; }
.tools label span { white-space: nowrap; }
fieldset span { display: inline-block; padding: .3rem .7rem; border: 1px solid var(--rule);
  border-radius: 99px; cursor: pointer; }
fieldset input:checked + span { background: var(--ink); color: var(--paper); border-color: var(--ink); }
fieldset input:focus-visible + span { outline: 2px solid var(--link); outline-offset: 2px; }
.search { flex: 1 1 12rem; }
.search input { width: 100%; padding: .4rem .6rem; font: inherit; color: inherit; background: var(--sheet);
  border: 1px solid var(--rule); border-radius: 6px; }
output { color: var(--soft); font-size: .875rem; }
.row { padding: 1.6rem 0; border-bottom: 1px solid var(--rule); content-visibility: auto;
  contain-intrinsic-size: auto 20rem; }
.row[hidden] { display: none; }
.row h2, footer h2 { font: 600 1.1rem/1.4 system-ui, sans-serif; margin: .2rem 0 .6rem;
  white-space: pre-line; }
.about { display: flex; flex-wrap: wrap; gap: .6rem; align-items: baseline; font-size: .8125rem; }
.about a { color: var(--soft); }
.badge { font-size: .75rem; font-weight: 600; padding: .1rem .5rem; border: 1px solid; border-radius: 99px; }
.badge { color: var(--open); }
.badge:is(.answered, .supported, .right) { color: var(--good); }
.badge:is(.error, .contradicted, .wrong) { color: var(--bad); }
.draft { font: 400 1.2rem/1.7 var(--serif); white-space: pre-wrap; }
.draft .claim { color: inherit; text-decoration: underline 2px var(--tone); text-underline-offset: 4px; }
.draft .contradicted { --tone: var(--bad); text-decoration-style: double; text-decoration-thickness: 1px; }
.draft .not_found { --tone: var(--open); text-decoration-style: dashed; }
.draft .supported { --tone: var(--good); }
.draft .left { text-decoration: none; }
.draft sup { font: 600 .65rem/1 system-ui, sans-serif; margin-left: .15em; }
.answer-text { font: 400 1.2rem/1.6 var(--serif); white-space: pre-line; margin: .2rem 0; }
.sentence:is(.unsupported, .conflict) { text-decoration: underline dotted var(--bad);
  text-underline-offset: 4px; }
.doubt { font: 600 .75rem/1.3 system-ui, sans-serif; color: var(--bad); padding: .1em .5em; border: 1px solid;
  border-radius: 99px; }
.cite { margin-left: .2em; padding: .1em .35em; font: 600 .72rem/1 system-ui, sans-serif;
  vertical-align: .3em; text-decoration: none; border: 1px solid var(--rule); border-radius: 4px; }
.notice, .problem { padding-left: .8rem; border-left: 3px solid var(--open); }
.problem { border-color: var(--bad); }
.evidence, .closest, .claims { margin: .9rem 0 0; padding-left: 1.6rem; font-size: .9rem; }
.evidence li, .closest li, .claims > li { margin-bottom: .8rem; }
li:target { background: var(--sheet); outline: 2px solid var(--link); outline-offset: 4px; }
.source-title { font-weight: 600; margin: 0; }
.correction { color: var(--bad); }
.facts, .place { margin: 0; }
.place { font-size: .8125rem; }
blockquote { margin: .25rem 0; padding-left: .8rem; border-left: 3px solid var(--rule);
  font: 1rem/1.5 var(--serif); white-space: pre-line; }
details { margin-top: .6rem; font-size: .9rem; }
summary { cursor: pointer; color: var(--link); }
.facts-list { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: .8rem 0;
  font-size: .875rem; }
.facts-list dt { color: var(--soft); max-width: 14rem; }
.facts-list dd { margin: 0; }
footer { margin-top: 2rem; font-size: .875rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .8125rem; overflow-wrap: normal; }
th, td { text-align: left; vertical-align: top; padding: .35rem .8rem .35rem 0;
  border-bottom: 1px solid var(--rule); }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
caption { text-align: left; font: 600 1rem/1.4 system-ui, sans-serif; padding: 1.2rem 0 .3rem; }
figure { margin: 1.5rem 0; break-inside: avoid; }
figcaption { color: var(--soft); font-size: .875rem; }
svg { width: 100%; height: auto; max-width: 36rem; display: block; }
svg text { fill: var(--soft); font: 12px system-ui, sans-serif; }
.axis { stroke: var(--rule); fill: none; }
.ideal { stroke: var(--soft); stroke-dasharray: 4 4; fill: none; }
.line { stroke: var(--link); stroke-width: 2; fill: none; }
.dot { fill: var(--link); }
@media (max-width: 32rem) { .facts-list { grid-template-columns: 1fr; } .facts-list dd { margin: 0 0 .4rem; }
  .tools { position: static; } }
@media print { :root { --paper: #fff; --sheet: #fff; --ink: #000; --soft: #444; --rule: #bbb; --link: #000;
  --good: #000; --open: #000; --bad: #000; } body { max-width: none; padding: 0; font-size: 10pt; }
  .tools { display: none !important; } .row { content-visibility: visible; }
  .evidence li, blockquote, tr { break-inside: avoid; } h2 { break-after: avoid; }
  .source-title a::after { content: ' <' attr(href) '>'; font-weight: 400; } }
"""

_JS = """
(() => {
  const form = document.querySelector('.tools'); if (!form) return;
  const rows = [...document.querySelectorAll('.row')], found = form.querySelector('output');
  const box = form.querySelector('[type=search]'), texts = new Map();
  const text = row => texts.get(row) ?? texts.set(row, row.textContent.toLowerCase()).get(row);
  const show = () => {
    const status = form.elements.status.value, words = box.value.toLowerCase().split(/\\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      row.hidden = !((!status || row.dataset.status === status) && words.every(w => text(row).includes(w)));
      count += !row.hidden;
    }
    found.textContent = count === rows.length ? '' :
      `${count} of ${rows.length} ${found.dataset.noun}`;
  };
  form.hidden = false;
  form.addEventListener('input', show);
  form.addEventListener('submit', event => event.preventDefault());
  document.addEventListener('keydown', event => {
    if (event.key === '/' && event.target !== box) { event.preventDefault(); box.focus(); }
    if (event.key === 'Escape' && event.target === box) { box.value = ''; show(); }
  });
  addEventListener('hashchange', () => {
    const row = document.getElementById(location.hash.slice(1))?.closest('.row');
    if (row?.hidden) { form.reset(); show(); location.replace(location.hash); }
  });
  addEventListener('beforeprint', () => {
    for (const details of document.querySelectorAll('details')) details.open = true;
  });
  show();
})();
"""
