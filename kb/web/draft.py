"""A checked draft as HTML: its claims marked by verdict, and beside them the evidence of the chosen one.

A claim is told by its colour, by the line under it and by a sign, so that no one of these is needed. Which
claim is chosen is the page's affair: all evidence is there, and the script shows one.
"""

from __future__ import annotations

import base64
from collections import Counter

from kb import phrases
from kb.render import (
    CLAIM_CLASSES,
    claim_class,
    count,
    escape,
    label,
    problem_html,
    sources_html,
    web_address,
    web_link,
    why_html,
)
from kb.types import CheckReport, Verdict

# Hands the file of ``download_html`` to the browser.
DOWNLOAD_JS = """
watch('value', () => {
  const file = element.querySelector('.download');
  if (!file) return;
  const content = Uint8Array.from(atob(file.dataset.content), (letter) => letter.charCodeAt(0));
  const link = Object.assign(document.createElement('a'), {download: file.dataset.name});
  link.href = URL.createObjectURL(new Blob([content], {type: 'application/octet-stream'}));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  file.remove();
});
"""

SIGNS = {"contradicted": "✗", "not_found": "?", "supported": "✓", "left": "–"}


def checked_html(report: CheckReport, *, busy: bool = False) -> str:
    """The draft and the evidence; ``busy`` while more claims are being judged. Nothing for an empty draft."""
    if report.error:
        return problem_html(report.error)
    if not report.claims and busy:
        begun = f'<div class="checked-draft">{_progress(report)}{_draft(report)}</div>'
        return f'<div class="checked" aria-busy="true">{begun}</div>'
    if not report.claims:
        return problem_html(phrases.CHECK_NOTHING)
    cards = "".join(_evidence(verdict, n, len(report.claims)) for n, verdict in enumerate(report.claims, 1))
    above, below = (_progress(report), "") if busy else ("", _packs())
    return (
        f'<div class="checked" aria-busy="{str(busy).lower()}"><div class="checked-draft">'
        f"{above}{_legend(report)}{_draft(report)}{below}</div>"
        f'<section class="claim-evidence" aria-label="{phrases.CHECK_EVIDENCE}" aria-live="polite">'
        f"{_steps()}{cards}</section></div>"
    )


def _progress(report: CheckReport) -> str:
    done = report.claims[-1].end if report.claims else 0
    told = phrases.CHECK_PROGRESS.format(claims=count(len(report.claims), "claim"))
    return (
        f'<p class="progress" role="status"><progress max="{len(report.text)}" value="{done}" '
        f'aria-label="{phrases.CHECK_PROGRESS_NAME}"></progress> {told}</p>'
    )


def _legend(report: CheckReport) -> str:
    counts = Counter(map(claim_class, report.claims))
    items = "".join(
        f'<li><button type="button" class="legend-item {name}" data-next="{name}" '
        f'aria-label="{phrases.CHECK_VERDICT_NAME.format(verdict=word, number=counts[name])}">'
        f"{_sign(name)}{word} <b>{counts[name]}</b></button></li>"
        for name, word in CLAIM_CLASSES.items()
        if counts[name]
    )
    return f'<ul class="legend" aria-label="{phrases.CHECK_VERDICTS}">{items}</ul>'


def _packs() -> str:
    buttons = "".join(
        f'<button type="button" class="copy" data-pack="{suffix}">{word}</button>'
        for suffix, word in phrases.CHECK_PACK_KINDS.items()
    )
    return f'<p class="tools packs">{phrases.CHECK_PACKS} {buttons}</p>'


def download_html(name: str, content: bytes) -> str:
    """A file for the page's script to hand to the browser; nothing of it is written on the server."""
    data = base64.b64encode(content).decode("ascii")
    return f'<span class="download" hidden data-name="{escape(name)}" data-content="{data}"></span>'


def _draft(report: CheckReport) -> str:
    parts, done = [], 0
    for n, verdict in enumerate(report.claims, 1):
        name = f"{label(verdict)}: {verdict.claim}"
        parts.append(escape(report.text[done : verdict.start]))
        parts.append(
            f'<span class="claim {claim_class(verdict)}" role="button" tabindex="{0 if n == 1 else -1}" '
            f'data-claim="{n}" aria-label="{escape(name)}">{_sign(claim_class(verdict))}'
            f"{escape(verdict.claim)}</span>"
        )
        done = verdict.end
    parts.append(escape(report.text[done:]))
    return (
        f'<div class="draft" dir="auto">{"".join(parts)}</div><p class="tools">'
        f'<button type="button" class="copy" data-edit>{phrases.CHECK_EDIT}</button></p>'
    )


def _steps() -> str:
    back = f'data-step="-1" title="{phrases.CHECK_PREVIOUS_KEY}">{phrases.CHECK_PREVIOUS}'
    on = f'data-step="1" title="{phrases.CHECK_NEXT_KEY}">{phrases.CHECK_NEXT}'
    return (
        f'<p class="steps"><button type="button" {back}</button>'
        f'<span class="place-in-draft"></span><button type="button" {on}</button></p>'
    )


def _evidence(verdict: Verdict, n: int, total: int) -> str:
    """The card of one claim: the verdict, why, and the quotes with their sources."""
    key, css = f"claim-{n}", claim_class(verdict)
    place = phrases.CHECK_PLACE.format(n=n, total=total)
    originals = "".join(
        f"<li>{web_link(c.url, phrases.CHECK_ORIGINAL.format(n=c.n), c.quote)}</li>"
        for c in verdict.citations
        if web_address(c.url)
    )
    return (
        f'<article class="verdict {css}" id="{key}" data-place="{place}" hidden>'
        f'<h2 class="verdict-line">{_sign(css)}{escape(label(verdict))}</h2>'
        f'<p class="claimed" dir="auto">{escape(verdict.claim)}</p>'
        f"{why_html(verdict)}"
        f"{sources_html(verdict.citations, key)}"
        + (f'<ul class="originals">{originals}</ul>' if originals else "")
        + "</article>"
    )


def _sign(name: str) -> str:
    return f'<span class="sign" aria-hidden="true" data-sign="{SIGNS[name]}"></span>'
