"""The Batch tab: hand in a list, watch the answers come, take them away as a spreadsheet or a report."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from kb import page, phrases, render
from kb.errors import KBError, UsageError
from kb.journal import Result
from kb.outputs import outcome
from kb.settings import Settings
from kb.tables import READS, TEXT_COLUMNS, Mode
from kb.types import Answer, CheckReport, Citation
from kb.web.desk import DEFECT, QUIET, offering
from kb.web.jobs import Job, Jobs, Preview
from kb.web.source import OPEN_JS, SHOW_QUOTE_JS, Shown, open_place, panel

if TYPE_CHECKING:
    from kb.pipeline import KnowledgeBase

EVERY_S = 0.5  # how often a page that looks on is told the news
MODES = [(phrases.LIST_MODES[mode], mode) for mode in TEXT_COLUMNS]
KINDS = [(word, suffix) for suffix, word in phrases.LIST_KINDS.items()]


class Batch:
    """What the tab shows of one knowledge base. The lists are kept in ``jobs``."""

    def __init__(self, kb: KnowledgeBase, jobs: Jobs, downloads: Path) -> None:
        self.kb = kb
        self.jobs = jobs
        self.downloads = downloads

    def arrive(self, secret: str) -> Iterator[tuple[Any, ...]]:
        """Give a new visitor a secret; show one who comes back the list that was being worked on."""
        job = self.jobs.of(secret) if secret else None
        if job is None:
            yield secret or secrets.token_urlsafe(32), *[gr.skip()] * 6
            return
        for view in self.watch(job):
            yield secret, *view

    def look(self, upload: str | None, mode: Mode) -> tuple[str, Any, Any]:
        """The first rows of an uploaded list, the mode that fits it, and whether it can be started."""
        if not upload:
            return "", gr.skip(), gr.update(interactive=False)
        try:
            found = self.jobs.look(Path(upload), mode)
        except (KBError, OSError) as error:
            return render.problem_html(str(error)), gr.skip(), gr.update(interactive=False)
        return preview_html(found), found.mode, gr.update(interactive=found.rows > found.wrong)

    def run(self, secret: str, upload: str | None, mode: Mode, kind: str) -> Iterator[tuple[Any, ...]]:
        """Begin or go on with a list, and show how it goes until it has ended."""
        try:
            if not upload or not secret:
                raise UsageError(phrases.LIST_NONE, phrases.LIST_NONE_CURE)
            job = self.jobs.start(secret, Path(upload), mode, kind)
        except (KBError, OSError) as error:
            yield render.problem_html(str(error)), *[gr.skip()] * 5
            return
        yield from self.watch(job)

    def watch(self, job: Job) -> Iterator[tuple[Any, ...]]:
        """Progress, results, the two files, and the two buttons; until the list has ended."""
        while not job.finished.wait(EVERY_S):
            hidden = gr.update(visible=False)
            yield progress_html(job), results_html(job), hidden, hidden, *_buttons(at_work=True)
        files = [gr.update(value=self._taken(path), visible=True) for path in job.files]
        files += [gr.update(visible=False)] * (2 - len(files))
        yield progress_html(job), results_html(job), *files, *_buttons(at_work=False)

    def _taken(self, path: Path) -> str:
        """A copy to be taken away, at an address that nobody can guess."""
        copy = self.downloads / secrets.token_hex(16) / path.name
        copy.parent.mkdir(parents=True)
        shutil.copyfile(path, copy)
        return str(copy)

    def source(self, secret: str, place: gr.EventData) -> str:
        """The document at a citation of one of the results."""
        return open_place(self.kb, place, shown(self.jobs.of(secret)))


def _buttons(*, at_work: bool) -> tuple[Any, Any]:
    return gr.update(interactive=not at_work), gr.update(visible=at_work)


def shown(job: Job | None) -> Shown:
    """What the results on the page have quoted."""
    results = list(job.latest) if job else []
    cited = [citation for _, result in results for citation in _citations(result)]
    return {(c.document_id, c.start, c.end): c.quote for c in cited}


def _citations(result: Result) -> tuple[Citation, ...]:
    if "claims" in result:
        return tuple(c for claim in CheckReport.from_dict(result).claims for c in claim.citations)
    return Answer.from_dict(result).citations


# --- what is shown -----------------------------------------------------------------------------------


def lead(settings: Settings) -> str:
    """What the tab is for, and what becomes of a list."""
    return phrases.LIST_LEAD.format(
        rows=settings.upload_rows, megabytes=settings.upload_megabytes, days=settings.upload_days
    )


def preview_html(found: Preview) -> str:
    """What was understood of a list, and its first rows."""
    noun = "question" if found.mode == "ask" else "claim"
    columns = dict(found.understood)
    text = columns.pop("text", found.columns[0])
    carried = [name for name in found.columns if name not in found.understood.values()]
    facts = [phrases.LIST_FOUND.format(rows=render.count(found.rows, noun), column=text)]
    if columns:
        facts.append(phrases.LIST_UNDERSTOOD.format(columns=", ".join(columns.values())))
    if carried:
        facts.append(phrases.LIST_CARRIED.format(columns=", ".join(carried)))
    rows = [[str(row.cells.get(name, "") or "") for name in found.columns] for row in found.first]
    problems = [phrases.LIST_WRONG.format(row=row.id, error=row.error) for row in found.faulty]
    if found.wrong > len(problems):
        problems.append(phrases.LIST_MORE_WRONG.format(number=found.wrong - len(problems)))
    return page.list_html(found.name, " ".join(facts), found.columns, rows, problems)


def progress_html(job: Job) -> str:
    """How far a list is, or how it ended."""
    counts = [(page.STATUSES[status].lower(), count) for status, count in job.counts.items()]
    if not job.finished.is_set():
        pace = render.pace(job.done - job.before, job.total - job.done, time.monotonic() - job.began)
        now = phrases.LIST_STOPPING if job.stopping.is_set() else f"{pace[:1].upper()}{pace[1:]}."
        return page.progress_html(job.done, job.total, now, counts)
    if job.error or not job.report:
        return render.problem_html(job.error or DEFECT)
    report = job.report
    counts = [
        (phrases.LIST_ENDED[job.mode], report.answered),
        (phrases.LIST_ENDED["not_found"], report.not_found),
        (phrases.LIST_ENDED["failed"], len(report.failed)),
    ]
    told = [phrases.LIST_DONE.format(time=render.duration(report.seconds))]
    if report.left:
        told = [phrases.LIST_STOPPED.format(rows=render.count(report.left, "row"))]
    if report.unworded:
        told.append(phrases.LIST_UNWORDED.format(rows=render.count(report.unworded, "row")))
    if report.usage:
        told.append(phrases.LIST_USAGE.format(usage=render.usage_text(report.usage)))
    if report.resumed:
        told.append(phrases.LIST_RESUMED.format(rows=render.count(report.resumed, "row")))
    return page.progress_html(report.done, report.done + report.left, " ".join(told), counts, ended=True)


def results_html(job: Job) -> str:
    """The latest results, each with its status."""
    results = list(job.latest)
    if not results:
        return ""
    rows = []
    for n, (row, result) in enumerate(results):
        rows.append((row.id, outcome(result), row.text, _cell(result, f"list-{n}")))
    return page.results_html(rows)


def _cell(result: Result, key: str) -> str:
    if "claims" in result:
        return page.check_cell(CheckReport.from_dict(result), key)
    return page.answer_cell(Answer.from_dict(result), key)


# --- its layout --------------------------------------------------------------------------------------


def tab(blocks: gr.Blocks, kb: KnowledgeBase) -> None:
    """Lay out the tab and join its parts."""
    secret = gr.BrowserState("", storage_key="kbqa-lists", secret="kbqa-lists")
    with gr.Row(elem_classes="desk"):
        with gr.Column(elem_id="lists", elem_classes="main-column", min_width=280):
            gr.HTML(
                render.heading_html(phrases.LIST_TITLE, lead(kb.settings)),
                js_on_load=None,
                apply_default_css=False,
            )
            upload = gr.File(label=phrases.LIST_FILE, elem_id="list", height=140, interactive=True)
            preview = gr.HTML("", elem_id="preview", js_on_load=None, apply_default_css=False)
            mode = gr.Radio(MODES, value="ask", label=phrases.LIST_MODE, elem_id="mode")
            kind = gr.Radio(KINDS, value=".xlsx", label=phrases.LIST_KIND, elem_id="kind")
            with gr.Row(elem_id="batch-buttons"):
                start = gr.Button(
                    phrases.LIST_START, variant="primary", elem_id="start", interactive=False, min_width=96
                )
                stop = gr.Button(phrases.LIST_STOP, elem_id="stop", visible=False, min_width=96)
            progress = gr.HTML("", elem_id="progress", js_on_load=None, apply_default_css=False)
            with gr.Row(elem_id="downloads"):
                file = gr.DownloadButton(phrases.LIST_DOWNLOAD, visible=False, elem_id="file", min_width=96)
                receipt = gr.DownloadButton(
                    phrases.LIST_RECEIPT, visible=False, elem_id="receipt", min_width=96
                )
            results = gr.HTML("", elem_id="results", js_on_load=OPEN_JS, apply_default_css=False)
        with gr.Column(elem_classes="beside", min_width=280):
            source = panel(elem_id="batch-source")

    batch = Batch(kb, Jobs(kb.for_lists(), kb.settings), Path(file.GRADIO_CACHE))
    view = [progress, results, file, receipt, start, stop]
    blocks.load(None, js=offering("#list", READS))
    blocks.load(batch.arrive, [secret], [secret, *view], **QUIET)
    seen = [preview, mode, start]
    upload.change(batch.look, [upload, mode], seen, **QUIET)
    mode.input(batch.look, [upload, mode], seen, **QUIET)
    start.click(batch.run, [secret, upload, mode, kind], view, **QUIET)
    stop.click(batch.jobs.stop, [secret], None, queue=False, **QUIET)
    opened = results.source(batch.source, [secret], source, queue=False, **QUIET)
    opened.then(None, js=SHOW_QUOTE_JS)
