"""A checked draft as HTML: its claims marked by verdict, and beside them the evidence of the chosen one.

A claim is told by its colour, by the line under it and by a sign, so that no one of these is needed. Which
claim is chosen is the page's affair: all evidence is there, and the script shows one.
"""

from __future__ import annotations

from collections import Counter

from kb.render import count, escape, label, problem_html, sources_html, web_address, web_link
from kb.types import CheckReport, Verdict

SIGNS = {"contradicted": "✗", "not_found": "?", "supported": "✓", "left": "–"}
LEGEND = {
    "contradicted": "Contradicted",
    "not_found": "Not found",
    "supported": "Supported",
    "left": "Left alone",
}


def kind(verdict: Verdict) -> str:
    """The class of a claim: its verdict, or ``left`` for what is none (opinions, questions, instructions)."""
    return verdict.verdict if verdict.kind == "claim" else "left"


def checked_html(report: CheckReport, *, busy: bool = False) -> str:
    """The draft and the evidence; ``busy`` while more claims are being judged. Nothing for an empty draft."""
    if report.error:
        return problem_html(report.error)
    if not report.claims:
        return _progress(report) if busy else problem_html("There is no claim to check in this text.")
    cards = "".join(_evidence(verdict, n, len(report.claims)) for n, verdict in enumerate(report.claims, 1))
    return (
        f'<div class="checked" aria-busy="{str(busy).lower()}"><div class="checked-draft">'
        f"{_progress(report) if busy else ''}{_legend(report)}{_draft(report)}</div>"
        f'<section class="claim-evidence" aria-label="Evidence" aria-live="polite">{_steps()}{cards}'
        "</section></div>"
    )


def _progress(report: CheckReport) -> str:
    done = report.claims[-1].end if report.claims else 0
    return (
        f'<p class="progress" role="status"><progress max="{len(report.text)}" value="{done}" '
        f'aria-label="Part of the draft that is checked"></progress> '
        f"{count(len(report.claims), 'claim')} checked …</p>"
    )


def _legend(report: CheckReport) -> str:
    counts = Counter(map(kind, report.claims))
    items = "".join(
        f'<li><button type="button" class="legend-item {name}" data-next="{name}" '
        f'aria-label="{LEGEND[name]}: {counts[name]}, go to the next">{_sign(name)}{LEGEND[name]} '
        f"<b>{counts[name]}</b></button></li>"
        for name in LEGEND
        if counts[name]
    )
    return f'<ul class="legend" aria-label="Verdicts">{items}</ul>'


def _draft(report: CheckReport) -> str:
    parts, done = [], 0
    for n, verdict in enumerate(report.claims, 1):
        name = f"{label(verdict)}: {verdict.claim}"
        parts.append(escape(report.text[done : verdict.start]))
        parts.append(
            f'<span class="claim {kind(verdict)}" role="button" tabindex="{0 if n == 1 else -1}" '
            f'data-claim="{n}" aria-label="{escape(name)}">{_sign(kind(verdict))}'
            f"{escape(verdict.claim)}</span>"
        )
        done = verdict.end
    parts.append(escape(report.text[done:]))
    return (
        f'<div class="draft" dir="auto">{"".join(parts)}</div><p class="tools">'
        '<button type="button" class="copy" data-edit>Edit the draft</button></p>'
    )


def _steps() -> str:
    return (
        '<p class="steps"><button type="button" data-step="-1" title="Left arrow">Previous</button>'
        '<span class="place-in-draft"></span>'
        '<button type="button" data-step="1" title="Right arrow">Next</button></p>'
    )


def _evidence(verdict: Verdict, n: int, total: int) -> str:
    """The card of one claim: the verdict, why, and the quotes with their sources."""
    key = f"claim-{n}"
    originals = "".join(
        f"<li>{web_link(c.url, f'Source {c.n}: open the original at the quote', c.quote)}</li>"
        for c in verdict.citations
        if web_address(c.url)
    )
    return (
        f'<article class="verdict {kind(verdict)}" id="{key}" data-place="Claim {n} of {total}" hidden>'
        f'<h2 class="verdict-line">{_sign(kind(verdict))}{escape(label(verdict))}</h2>'
        f'<p class="claimed" dir="auto">{escape(verdict.claim)}</p>'
        f'<p class="explanation">{escape(verdict.explanation)}</p>'
        f"{sources_html(verdict.citations, key)}"
        + (f'<ul class="originals">{originals}</ul>' if originals else "")
        + "</article>"
    )


def _sign(name: str) -> str:
    return f'<span class="sign" aria-hidden="true" data-sign="{SIGNS[name]}"></span>'
