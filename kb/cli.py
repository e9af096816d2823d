"""The command line: parses, calls, prints, and turns every error into a sentence and an exit code.

Results go to stdout, everything said about them to stderr. Exit codes: 0 done, 1 something failed (and it
says what), 2 the request itself is wrong, 130 stopped by Ctrl-C. Nothing heavy is imported before a
command needs it, so that ``kbqa --help`` answers at once.
"""

from __future__ import annotations

import errno
import functools
import io
import logging
import os
import re
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kb import __version__
from kb.errors import KBError, NoSuchDocument, UsageError

if TYPE_CHECKING:
    from kb.batch import BatchPlan, BatchReport, Progress
    from kb.doctor import Health
    from kb.pipeline import KnowledgeBase
    from kb.settings import Settings
    from kb.tables import Mode
    from kb.types import Answer, CheckReport, Failure, Filters, IngestReport, QueueReport, Usage
    from kb.users import Users

F = TypeVar("F", bound=Callable[..., Any])
INTERRUPTED = 130
REDRAWN_S = 0.05  # seconds between two looks at an answer that is being written
NAMED_FAILURES = 20


@dataclass
class Run:
    """The options that every command has; the only mutable value here, filled in while they are parsed."""

    kb: Path | None = None
    json: bool = False
    quiet: bool = False
    debug: bool = False

    def settings(self, **overrides: object) -> Settings:
        from kb.settings import load_settings

        return load_settings({"kb": self.kb, **overrides})

    @contextmanager
    def library(self, *, model: str | None = "", **overrides: object) -> Iterator[KnowledgeBase]:
        """The knowledge base, open; without a chat model unless the command asks, when ``None`` means the one
        of the settings."""
        from kb.pipeline import KnowledgeBase

        settings = self.settings(model=model, **overrides)
        with KnowledgeBase.open(settings.kb, settings) as kb:
            yield kb

    def users(self) -> Users:
        """Who may log in to the web app over this knowledge base."""
        from kb.users import Users

        return Users(self.settings().kb)

    def put(self, value: object, text: Callable[[], str]) -> None:
        """Print a result: as JSON if that was asked for, else as text."""
        from kb.render import to_json

        _print(to_json(value) if self.json else text())

    def say(self, message: str) -> None:
        """Tell the person something beside the result."""
        if not self.quiet:
            click.echo(message, err=True)


# --- options -----------------------------------------------------------------------------------------


def _remember(context: click.Context, option: click.Parameter, value: object) -> None:
    run = context.ensure_object(Run)
    if value and option.name:  # an option that was left out must not undo the same option before the command
        setattr(run, option.name, value)


def _shared(function: F) -> F:
    """Add the options that can stand anywhere, before the command and after it."""
    options: list[tuple[str, dict[str, Any]]] = [
        ("--debug", {"is_flag": True, "help": "Show the traceback of an error."}),
        ("--quiet", {"is_flag": True, "help": "No progress and no notes on stderr."}),
        ("--json", {"is_flag": True, "help": "Print JSON, for other programs."}),
        ("--kb", {"type": click.Path(path_type=Path), "help": "Folder of the knowledge base [.kbqa]."}),
    ]
    for name, attributes in options:
        option = click.option(name, callback=_remember, expose_value=False, **attributes)
        function = option(function)
    return function


def _day(last: bool) -> Callable[[click.Context, click.Parameter, str | None], str | None]:
    def convert(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
        from kb.tables import iso_date

        return iso_date(value, last=last) if value else None

    return convert


def _columns(_: click.Context, __: click.Parameter, value: str | None) -> tuple[tuple[str, str], ...]:
    from ingest.load.records import field_named

    pairs = [pair.partition("=") for pair in (value or "").split(",") if pair.strip()]
    if not all(field.strip() and column.strip() for field, _, column in pairs):
        raise UsageError(f"--map {value} cannot be read", "write FIELD=COLUMN, such as title=headline")
    return tuple((field_named(field), column.strip()) for field, _, column in pairs)


def _filtered(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that limit a search, and hand the command one ``filters`` for them."""

    @functools.wraps(function)
    def command(
        *arguments: Any,
        sources: tuple[str, ...],
        documents: tuple[str, ...],
        after: str | None,
        before: str | None,
        **options: Any,
    ) -> Any:
        from kb.types import Filters

        return function(*arguments, filters=Filters(sources, documents, after, before), **options)

    for option in (
        click.option("--before", metavar="DATE", callback=_day(last=True), help="Published by then."),
        click.option(
            "--after", metavar="DATE", callback=_day(last=False), help="Published then or later (2026-04)."
        ),
        click.option(
            "--document",
            "documents",
            metavar="ID",
            multiple=True,
            help="Only this document; may be repeated.",
        ),
        click.option(
            "--source", "sources", metavar="NAME", multiple=True, help="Only this publisher; may be repeated."
        ),
    ):
        command = option(command)
    return command


def _chosen(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say what of the sources is read, and how."""
    for option in (
        click.option(
            "--map",
            "columns",
            metavar="FIELD=COLUMN,...",
            callback=_columns,
            help="Which column of records holds what: title=headline,date=pubdate.",
        ),
        click.option(
            "--exclude", metavar="PATTERN", multiple=True, help="Not these; patterns as in .gitignore."
        ),
        click.option(
            "--include", metavar="PATTERN", multiple=True, help='Only such files of a folder: "*.md".'
        ),
    ):
        function = option(function)
    return function


workers_option = click.option(
    "--workers", type=click.IntRange(1, 64), default=1, help="How many questions are worked on at once."
)
top_option = click.option("--top", type=click.IntRange(1, 100), help="How many passages to report [10].")
model_option = click.option(
    "--model",
    metavar="SPEC",
    help='A chat model to word the answers, such as openai:gpt-5-mini or ollama:llama3.2 ("": none).',
)
unsupported_option = click.option(
    "--unsupported",
    type=click.Choice(["mark", "withhold"]),
    help="What becomes of its sentences that no source bears out [mark; in a batch: withhold].",
)


# --- commands ----------------------------------------------------------------------------------------


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, message="kbqa %(version)s")
@_shared
def cli() -> None:
    """Ask a collection of articles; every sentence of the answer is cited, every quote is exact.

    Begin with `kbqa ingest FOLDER`, then `kbqa ask "QUESTION"`.
    """


@cli.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("--prune", is_flag=True, help="Also remove documents whose file is gone.")
@click.option(
    "--watch", is_flag=True, help="Go on: read what changes and remove what goes, until Ctrl-C is pressed."
)
@_chosen
@click.option("--password", metavar="WORD", help='Opens encrypted files; "-" asks for it.')
@_shared
@click.pass_obj
def ingest(
    run: Run,
    sources: tuple[str, ...],
    prune: bool,
    watch: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    columns: tuple[tuple[str, str], ...],
    password: str | None,
) -> int:
    """Read files, folders, web pages and records.

    A list of records (.csv, .jsonl) gives one document a row. What has not changed since the last time is
    passed over; a source that cannot be read does not stop the others.
    """
    from ingest.fetch import Fetcher
    from ingest.load import Options
    from ingest.sync import Chosen
    from ingest.sync import ingest as ingest_sources
    from kb.store import Store

    if password == "-":
        password = click.prompt("Password", hide_input=True, err=True)
    settings = run.settings()
    with Store.open(settings.kb, settings, create=True) as store:

        def once(part: Sequence[str], prune: bool, wait_s: float = 0.0) -> IngestReport:
            with _progress(run, "ingesting") as progress:
                return ingest_sources(
                    part,
                    store,
                    prune=prune,
                    options=Options(password, columns),
                    chosen=Chosen(include, exclude),
                    fetcher=Fetcher(private=settings.private_urls),
                    progress=progress,
                    wait_s=wait_s,
                )

        if watch:
            return _watch(run, sources, store.folder, functools.partial(once, wait_s=60))
        report = once(sources, prune)
    _tell_failures(report)
    run.put(report, lambda: _ingest_text(report))
    return 1 if report.failed else 0


def _watch(
    run: Run, sources: Sequence[str], folder: Path, ingest: Callable[[Sequence[str], bool], IngestReport]
) -> int:
    """Keep the sources in step until Ctrl-C, which is no failure here."""
    from ingest.watch import keep_in_step

    run.say("Watching; stop with Ctrl-C.")
    try:
        keep_in_step(sources, folder, ingest, functools.partial(_tell, run))
    except KeyboardInterrupt:
        run.say("Stopped; everything that was read is kept.")
    return 0


@cli.command()
@click.argument("sources", nargs=-1, metavar="SOURCE...")
@click.option("--forget", is_flag=True, help="First take out what has failed.")
@_chosen
@_shared
@click.pass_obj
def enqueue(
    run: Run,
    sources: tuple[str, ...],
    forget: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    columns: tuple[tuple[str, str], ...],
) -> int:
    """Leave files, folders, web pages and records to `kbqa work`.

    They wait in PostgreSQL, files with what they hold, for any number of workers on any machines. What has
    not changed is passed over; what waits or failed is replaced.
    """
    from ingest.queue import enqueue as enqueue_sources
    from ingest.sync import Chosen
    from kb.queue import Queue
    from kb.store import Store

    if not sources and not forget:
        raise UsageError("there is nothing to enqueue", "name files, folders or addresses")
    settings = run.settings()
    with Store.open(settings.kb, settings, create=True) as store, _progress(run, "enqueuing") as progress:
        forgotten = Queue(store.catalogue).forget_failed() if forget else 0
        chosen = Chosen(include, exclude)
        report = enqueue_sources(sources, store, columns=columns, chosen=chosen, progress=progress)
    if forget:
        run.say(f"{_many(forgotten, 'failed source')} taken out.")
    _tell_failures(report)
    run.put(report, lambda: _queue_text(report))
    return 1 if report.failed else 0


@cli.command()
@click.option("--drain", is_flag=True, help="Stop when nothing is left.")
@_shared
@click.pass_obj
def work(run: Run, drain: bool) -> int:
    """Read what was enqueued, one source after the other, until Ctrl-C.

    Start it as often as you like, on as many machines as you like. What a worker that was killed or cut off
    was reading is read by another one. A source that fails three times is kept as failed, and `kbqa doctor`
    names it.
    """
    import signal

    from ingest.fetch import Fetcher
    from ingest.queue import work as read_queue
    from kb.store import Store

    settings = run.settings()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # how a container is stopped
    with Store.open(settings.kb, settings, create=True) as store:
        tell = functools.partial(_tell, run)
        fetcher = Fetcher(private=settings.private_urls)
        try:
            report = read_queue(store, fetcher=fetcher, drain=drain, tell=_tell_failures if drain else tell)
        except KeyboardInterrupt:
            if drain:
                raise
            run.say("Stopped; what was being read is left to others.")
            return 0
    run.put(report, lambda: _ingest_text(report))
    return 1 if report.failed else 0


def _tell(run: Run, report: IngestReport) -> None:
    """Print what one step of an endless run has done."""
    import json
    from datetime import datetime

    _tell_failures(report)
    now = f"{datetime.now():%H:%M:%S}"
    _print(json.dumps(report.to_dict()) if run.json else f"{now} {_ingest_text(report)}")


def _tell_failures(report: IngestReport | QueueReport) -> None:
    for failure in report.failed:
        click.echo(f"failed: {failure.source}: {failure.error}", err=True)


@cli.command()
@click.argument("question", nargs=-1, metavar="QUESTION")
@_filtered
@top_option
@model_option
@unsupported_option
@click.option("--anyway", is_flag=True, help="Ask it even where the documents seem to hold no answer.")
@click.option("--trace", is_flag=True, help="Also show what was searched for and asked on the way.")
@_shared
@click.pass_obj
def ask(
    run: Run,
    question: tuple[str, ...],
    top: int | None,
    model: str | None,
    unsupported: str | None,
    anyway: bool,
    trace: bool,
    filters: Filters,
) -> int:
    """Answer a question, with its sources.

    "-" reads the question from stdin.

    With --model a chat model words the answer from the passages that were found. Its sentences are held
    against the sources like any others; what they do not bear out is marked or withheld. On a terminal the
    answer is seen as it is written, and replaced by the one that was checked.
    """
    from kb.render import answer_text, trace_text

    text = _words(question, "question", "ask")
    with run.library(top=top, model=model, unsupported=unsupported, model_anyway=anyway or None) as kb:
        growing = kb.stream(text, filters=filters, top=top)
        answer = _watched(growing, watching=not (run.json or run.quiet) and sys.stdout.isatty())
    if answer.status == "error" and not run.json:
        raise KBError(answer.error or "the question could not be answered")
    run.put(answer, lambda: "\n\n".join([answer_text(answer), *([trace_text(answer)] if trace else [])]))
    return 1 if answer.status == "error" else 0


def _watched(growing: Iterator[Answer], *, watching: bool) -> Answer:
    """The last answer; on a terminal those before it are shown while they last, and then taken away."""
    from collections import deque
    from itertools import chain

    if not watching:
        return deque(growing, maxlen=1).pop()
    from kb.render import growing_text
    from kb.types import EXTRACTIVE

    answer = next(growing)
    if answer.model == EXTRACTIVE:  # it has not been written by anyone, and is the last one
        return answer
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(highlight=False)
    with Live(console=console, transient=True, auto_refresh=False, vertical_overflow="ellipsis") as screen:
        shown, seen = "", 0.0
        for latest in chain([answer], growing):
            answer = latest
            settled, unchecked = growing_text(answer)
            # A sentence that has settled is shown at once, single words no more often than the eye follows.
            if settled != shown or time.monotonic() - seen > REDRAWN_S:
                screen.update(Text(settled) + Text(unchecked, "dim italic"), refresh=True)
                shown, seen = settled, time.monotonic()
    return answer


@cli.command()
@click.argument("text", nargs=-1, metavar="TEXT")
@click.option(
    "--file", "draft", type=click.Path(path_type=Path), metavar="DRAFT", help="Check this file instead."
)
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path),
    metavar="PACK",
    help="Write the evidence to this file.",
)
@_filtered
@_shared
@click.pass_obj
def check(run: Run, text: tuple[str, ...], draft: Path | None, target: Path | None, filters: Filters) -> int:
    """Check the claims of a text or draft.

    "-" reads the text from stdin.

    PACK is .html, .md, .docx, .csv, .json or .jsonld (ClaimReview of schema.org): every claim with its
    verdict, every quote with its source, its place and the hash of the source.
    """
    from ingest.draft import read_draft
    from kb.render import check_text

    if text and draft:
        raise UsageError("there is both a text and a file to check", "give one of them")
    claims = read_draft(draft) if draft else _words(text, "text", "check")
    if target:
        from kb.pack import suffix_of

        suffix_of(target)  # before the work, not after it
    with run.library() as kb:
        report = kb.check(claims, filters=filters)
        if report.error and not run.json:
            raise KBError(report.error)
        if target and not report.error:
            _write_pack(kb, report, filters, target, draft.name if draft else "Checked text")
            run.say(f"Written to {target}.")
    run.put(report, lambda: check_text(report))
    return 1 if report.error else 0


@cli.command()
@click.argument("query", nargs=-1, metavar="QUERY")
@_filtered
@top_option
@_shared
@click.pass_obj
def search(run: Run, query: tuple[str, ...], top: int | None, filters: Filters) -> None:
    """Show the passages that fit a query best.

    "-" reads the query from stdin.
    """
    from kb.render import hits_text

    text = _words(query, "query", "search")
    with run.library(top=top) as kb:
        hits = kb.search(text, filters=filters, top=top)
    run.put(hits, lambda: hits_text(hits))


@cli.command()
@_shared
@click.pass_obj
def documents(run: Run) -> None:
    """List the documents."""
    from kb.render import documents_text

    with run.library() as kb:
        listed = kb.documents()
    run.put(listed, lambda: documents_text(listed))


@cli.command()
@click.argument("document_id", metavar="ID")
@click.option("--start", type=click.IntRange(min=0), help="First character of the slice, counted from 0.")
@click.option("--end", type=click.IntRange(min=0), help="Where the slice ends (this character is left out).")
@_shared
@click.pass_obj
def show(run: Run, document_id: str, start: int | None, end: int | None) -> None:
    """Print a document's stored text, or a slice of it."""
    with run.library() as kb:
        document = kb.document(document_id)
    length = len(document.text)
    start, end = start or 0, length if end is None else end
    if not start <= end <= length:
        raise UsageError(
            f"characters {start} to {end} are not in {document_id}, which has {length}",
            f"choose a --start and an --end from 0 to {length}",
        )
    run.put(document, lambda: document.text[start:end])


@cli.command()
@click.argument("document_ids", nargs=-1, required=True, metavar="ID...")
@_shared
@click.pass_obj
def remove(run: Run, document_ids: tuple[str, ...]) -> None:
    """Remove documents by id.

    If one of the ids is unknown, nothing is removed.
    """
    with run.library() as kb:
        known = {document.id for document in kb.documents()}
        if unknown := [document_id for document_id in document_ids if document_id not in known]:
            raise NoSuchDocument(
                f"there is no document {', '.join(unknown)}; nothing was removed",
                "`kbqa documents` lists the ids",
            )
        removed = kb.remove(list(dict.fromkeys(document_ids)))
    run.put({"removed": removed}, lambda: f"{removed} removed.")


@cli.command()
@_shared
@click.pass_obj
def info(run: Run) -> None:
    """Say what the knowledge base holds."""
    with run.library() as kb:
        facts = kb.info(queue=True)
    run.put(facts, lambda: _info_text(facts))


@cli.command()
@click.option("--repair", "mend", is_flag=True, help="Build anew what is damaged, without embedding again.")
@_shared
@click.pass_obj
def doctor(run: Run, mend: bool) -> int:
    """Say what is wrong with the knowledge base."""
    from datetime import date

    from kb.doctor import examine, repair
    from kb.store import Store

    settings = run.settings()
    with Store.open(settings.kb, settings) as store:
        health = (repair if mend else examine)(store, today=date.today())
    run.put(health, lambda: _health_text(health))
    return 0 if health.sound else 1


@cli.command()
@click.argument("target", type=click.Path(path_type=Path), metavar="FILE")
@_shared
@click.pass_obj
def backup(run: Run, target: Path) -> None:
    """Copy the knowledge base to one file.

    Others may go on asking and ingesting. `kbqa restore FILE` makes a knowledge base of it again.
    """
    from kb.backup import back_up
    from kb.store import Store

    settings = run.settings()
    with Store.open(settings.kb, settings) as store:
        count = back_up(store, target)
    done = {"documents": count, "file": str(target)}
    run.put(done, lambda: f"{count} documents backed up to {target}.")


@cli.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="FILE")
@click.option("--replace", is_flag=True, help="Also where there is a knowledge base already.")
@_shared
@click.pass_obj
def restore(run: Run, source: Path, replace: bool) -> None:
    """Make a knowledge base of a backup."""
    from kb.backup import restore as restore_backup

    settings = run.settings()
    count = restore_backup(source, settings, replace=replace)
    done = {"documents": count, "folder": str(settings.kb)}
    run.put(done, lambda: f"{count} documents restored to {settings.kb}.")


@cli.command()
@click.option("--to", required=True, metavar="PLACE", help="A folder, or a postgresql:// address.")
@click.option("--vectors", metavar="URL", help="A Chroma server for the vector index there.")
@_shared
@click.pass_obj
def migrate(run: Run, to: str, vectors: str | None) -> None:
    """Copy the knowledge base to another place, or from one engine to another.

    Nothing is embedded again. What there was stays where it is; both are compared in the end.
    """
    from kb.migrate import migrate as move
    from kb.migrate import target_settings
    from kb.store import Store

    settings = run.settings()
    target = target_settings(settings, to, vectors)
    with Store.open(settings.kb, settings) as store:
        moved = move(store, target)
    # What is printed is kept in logs: the password is for whoever runs it to put back.
    shown = re.sub(r"(?<=:)[^:/@][^@]*(?=@)", "…", target.catalogue)
    named = {"KBQA_CATALOGUE": shown, "KBQA_VECTORS": target.vectors}
    if not target.catalogue:
        named["KBQA_KB"] = str(target.kb)
    use = " ".join(f"{name}={value}" for name, value in named.items() if value)
    run.put(
        moved,
        lambda: (
            f"{moved.documents} documents, {moved.passages} passages copied; checksum {moved.checksum}."
            f"\nUse them with {use}"
        ),
    )


@cli.command()
@click.argument("source", type=click.Path(path_type=Path), metavar="IN")
@click.option("-o", "--output", "target", type=click.Path(path_type=Path), required=True, metavar="OUT")
@click.option(
    "--mode", type=click.Choice(["ask", "check"]), default="ask", help="Answer questions or check claims."
)
@workers_option
@click.option(
    "--dry-run",
    is_flag=True,
    help="Write nothing; say what is wrong with the list and how long it will take.",
)
@_filtered
@top_option
@model_option
@unsupported_option
@_shared
@click.pass_obj
def batch(
    run: Run,
    source: Path,
    target: Path,
    mode: Mode,
    workers: int,
    dry_run: bool,
    top: int | None,
    model: str | None,
    unsupported: str | None,
    filters: Filters,
) -> int:
    """Answer a list of questions, or check claims.

    IN is .csv, .tsv, .xlsx, .jsonl or .txt (a question a line). It has a column "question" ("claim" or
    "text" with --mode check); id, source, document_id, after and before are understood, other columns are
    carried through.

    OUT is .jsonl, .csv or .xlsx, or a report to read: .html (one file, with filter and search) or .md. Each
    names the knowledge base's generation and the hashes of its sources; for .jsonl and .csv they stand in
    OUT.receipt.json.

    A run that was cut off is continued by the same command. --dry-run says what it would do; a chat model is
    asked for about three of the rows, to say what all will cost.
    """
    from kb.batch import plan_batch, run_batch

    unsupported = unsupported or run.settings().unsupported or "withhold"  # nobody looks at every row
    with run.library(top=top, model=model, unsupported=unsupported) as kb:
        asked: dict[str, Any] = {"mode": mode, "workers": workers, "filters": filters, "top": kb.settings.top}
        if dry_run:
            plan = plan_batch(kb, source, target, **asked)
            _name_failures(plan.faulty, "wrong with the list")
            run.put(plan, lambda: _plan_text(plan))
            return 1 if plan.faulty else 0
        with _progress(run, "answering") as progress:
            report = run_batch(kb, source, target, **asked, progress=progress)
    _name_failures(report.failed, "failed")
    run.put(report, lambda: _batch_text(report, target))
    return 1 if report.failed else 0


def _name_failures(failures: Sequence[Failure], what: str) -> None:
    for failure in failures[:NAMED_FAILURES]:
        click.echo(f"{what}: row {failure.source}: {failure.error}", err=True)
    if (more := len(failures) - NAMED_FAILURES) > 0:
        click.echo(f"{what}: {more} more rows", err=True)


@cli.command()
@click.argument("output", type=click.Path(path_type=Path), metavar="FILE")
@_shared
@click.pass_obj
def verify(run: Run, output: Path) -> int:
    """Say which quotes of a batch output still stand.

    FILE is a .jsonl, .csv or .xlsx that `kbqa batch` wrote; a table holds the first three citations of a row.
    Each quote is looked up in the documents as they are now. It stands (the same words at the same place),
    has moved (the same words elsewhere, white space aside), has changed (the nearest words are shown) or has
    vanished.

    Exit code 0 if all words that were quoted are still there (they stand or have moved), 1 if any changed or
    vanished.
    """
    from kb.compare import verification_text
    from kb.compare import verify as look_up

    with run.library() as kb:
        found = look_up(kb, output)
    run.put(found, lambda: verification_text(found))
    return 0 if found.holds else 1


@cli.command()
@click.argument("old", type=click.Path(path_type=Path), metavar="OLD")
@click.argument("new", type=click.Path(path_type=Path), metavar="NEW")
@_shared
@click.pass_obj
def compare(run: Run, old: Path, new: Path) -> None:
    """Say how two batch outputs of one list differ.

    OLD and NEW are .jsonl, .csv or .xlsx files that `kbqa batch` wrote, before and after documents were
    ingested again or a setting was changed. Rows belong together by their question. Named are what is newly
    answered, refused or failed, other verdicts and answers, and citations that were lost, gained or moved.
    """
    from kb.compare import compare as side_by_side
    from kb.compare import comparison_text

    found = side_by_side(old, new)
    run.put(found, lambda: comparison_text(found))


@cli.command(name="eval")
@click.argument("questions", type=click.Path(path_type=Path), metavar="QUESTIONS")
@click.option(
    "-o",
    "--output",
    "page",
    type=click.Path(path_type=Path),
    metavar="PAGE",
    help="Write an HTML page with plots.",
)
@click.option(
    "--suggest", type=click.IntRange(1, 10_000), metavar="N", help="Draft N questions into QUESTIONS instead."
)
@workers_option
@model_option
@_shared
@click.pass_obj
def evaluate(
    run: Run, questions: Path, page: Path | None, suggest: int | None, workers: int, model: str | None
) -> int:
    """Score the answers on your own questions.

    QUESTIONS is .csv, .tsv, .xlsx or .jsonl with a column "question" and what is expected of it, any of:
    expected_answer, expected_document (an id), expected_quote, answerable (true or false). Several answers or
    documents are separated by "|". The columns id, source, document_id, after, before and history mean what
    they mean in a batch.

    A folder with queries.jsonl (id, question, answer, answerable, evidence with doc_id and quote) is read as
    it is; ingest its corpus.jsonl first.

    Printed are retrieval, citations, answers, refusals, confidence and time, each figure with its definition.
    The page has them too, with plots and every question, the worst first.

    With --suggest N a question set is drafted from the documents, to be edited: no model is at hand, so
    questions are taken from the documents or made of a sentence with a date or an amount. Add some that the
    documents do not answer.
    """
    if suggest:
        return _draft_questions(run, questions, suggest)
    from kb.evaluate import evaluate as score_answers
    from kb.evaluate import evaluation_html, evaluation_text, read_cases
    from kb.outputs import check_target, new_receipt, replacing

    if page:
        check_target(page, (".html",))
    cases = read_cases(questions)
    with run.library(model=model) as kb, _progress(run, "asking") as progress:
        receipt = new_receipt(kb.info(), kb.documents(), {"questions": questions.name})
        found = score_answers(kb, cases, receipt, workers=workers, progress=progress)
    if page:
        with replacing(page) as draft, draft.open("w", encoding="utf-8", errors="replace") as file:
            file.writelines(evaluation_html(found, f"How {questions.name} was answered"))
    run.put(found, lambda: evaluation_text(found))
    return 1 if found.counts["error"] else 0


def _draft_questions(run: Run, path: Path, count: int) -> int:
    from kb.suggest import suggest, write_cases

    with run.library() as kb:
        rows = suggest(kb, count)
    write_cases(path, rows)
    run.put({"written": str(path), "questions": len(rows)}, lambda: f"{len(rows)} drafts written to {path}.")
    run.say("Edit them, and add questions that the documents do not answer (answerable: false).")
    return 0


@cli.group()
@_shared
def user() -> None:
    """Name who may log in to the web app.

    Once there is a user, the page asks for a login. Readers ask and check; editors also add and remove
    documents.
    """


@user.command("add")
@click.argument("name")
@click.option("--editor", is_flag=True, help="May add and remove documents.")
@click.option("--no-password", is_flag=True, help="A proxy logs this user in (setting proxy_user).")
@_shared
@click.pass_obj
def user_add(run: Run, name: str, editor: bool, no_password: bool) -> int:
    """Add a user, or change role and password of one. The password is asked for, or read from stdin."""
    password = None
    if not no_password:
        if sys.stdin.isatty():
            password = click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True)
        else:
            password = sys.stdin.readline().rstrip("\r\n")
    added = run.users().put(name, "editor" if editor else "reader", password)
    run.put({"name": added.name, "role": added.role}, lambda: f"{added.name} may log in as {added.role}.")
    return 0


@user.command("remove")
@click.argument("name")
@_shared
@click.pass_obj
def user_remove(run: Run, name: str) -> int:
    """Take a user out, who is logged out with that."""
    run.users().remove(name)
    run.put({"removed": name}, lambda: f"{name} was taken out.")
    return 0


@user.command("list")
@_shared
@click.pass_obj
def user_list(run: Run) -> int:
    """List who may log in."""
    users = sorted(run.users().all().values(), key=lambda user: user.name)
    listed = [{"name": u.name, "role": u.role, "password": bool(u.password)} for u in users]
    run.put(
        listed, lambda: "\n".join(f"{u.name}  {u.role}" for u in users) or "Nobody: no login is asked for."
    )
    return 0


@cli.command()
@click.option("--host", help="Address to listen on [127.0.0.1: this machine only].")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on [7860].")
@click.option("--mcp", is_flag=True, default=None, help="Offer ask, check and search to agents over MCP too.")
@click.option("--metrics", is_flag=True, default=None, help="Give figures for Prometheus at /metrics.")
@model_option
@unsupported_option
@_shared
@click.pass_obj
def serve(run: Run, /, **options: Any) -> None:
    """Start the web app; Ctrl-C ends it.

    Others reach it with --host 0.0.0.0 and the setting `hosts`; name who may log in with `kbqa user add`
    before that. docs/public.md has the rest.
    """
    settings = run.settings(**options)

    import app

    app.main(settings)


def _write_pack(kb: KnowledgeBase, report: CheckReport, filters: Filters, target: Path, title: str) -> None:
    from kb.outputs import replacing
    from kb.pack import pack, suffix_of

    made = pack(report, kb.info(), kb.documents(), suffix_of(target), title=title, filters=filters)
    with replacing(target) as file:
        file.write_bytes(made)


# --- what commands read and print --------------------------------------------------------------------


def _words(arguments: tuple[str, ...], noun: str, command: str) -> str:
    """The words of a question as they were typed, quoted or not; ``-`` stands for stdin."""
    if arguments == ("-",):
        from kb.tables import decode

        text = decode(sys.stdin.buffer.read()).strip()
    else:
        text = " ".join(arguments).strip()
    if not text:
        raise UsageError(f"there is no {noun}", f'write it after the command: kbqa {command} "…"')
    return text


def _print(text: str) -> None:
    """Print to stdout; a reader who has seen enough (``| head -1``) is no error."""
    try:
        click.echo(text)
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _ingest_text(report: IngestReport) -> str:
    counts = [("added", report.added), ("updated", report.updated), ("unchanged", report.unchanged)]
    counts += [("removed", report.removed), ("failed", len(report.failed))]
    done = ", ".join(f"{count} {what}" for what, count in counts if count) or "nothing to read"
    return f"{done}; {report.passages} new passages in {report.seconds:.1f} s."


def _queue_text(report: QueueReport) -> str:
    counts = [("queued", report.queued), ("unchanged", report.unchanged), ("failed", len(report.failed))]
    done = ", ".join(f"{count} {what}" for what, count in counts if count) or "nothing to read"
    return f"{done}."


def _health_text(health: Health) -> str:
    lines = [f"repaired: {what}" for what in health.repaired]
    for finding in health.findings:
        lines.append(f"{'damaged' if finding.damage else 'note'}: {finding.what}: {finding.cure}.")
    return "\n".join([*lines, "The knowledge base is sound." if health.sound else "It needs repair."])


def _batch_text(report: BatchReport, target: Path) -> str:
    resumed = f" ({report.resumed} from an earlier run)" if report.resumed else ""
    return (
        f"{report.done} rows{resumed}: {report.answered} answered, {report.not_found} not found, "
        f"{len(report.failed)} failed, in {report.seconds:.1f} s. Written to {target}."
        f"{_unworded_text(report.unworded)}{_usage_text(report.usage)}"
    )


def _unworded_text(count: int) -> str:
    if not count:
        return ""
    was = "was" if count == 1 else "were"
    return (
        f"\n{_many(count, 'row')} {was} answered in the documents' words, since the chat model failed; "
        "the same command asks it again."
    )


def _usage_text(usage: Usage | None) -> str:
    from kb.render import usage_text

    return f"\nChat model: {usage_text(usage)}" if usage else ""


def _plan_text(plan: BatchPlan) -> str:
    from kb.render import duration, usage_text

    lines = [f"{plan.rows} rows, {plan.left} to be done."]
    if plan.faulty:
        lines.append(f"{len(plan.faulty)} cannot be asked as they stand in the list, and would be errors.")
    if plan.done:
        lines.append(f"{plan.done} are there from an earlier run, and would not be done again.")
    if plan.stale:
        why = "the knowledge base, the settings or kbqa changed"
        lines.append(f"{plan.stale} of an earlier run, since {why}.")
    if plan.left:
        tried = _many(plan.sampled, "row")
        lines.append(
            f"About {duration(plan.seconds)} with {_many(plan.workers, 'worker')}, as tried with {tried}."
        )
    if plan.usage:
        lines.append(f"The chat model will take about {usage_text(plan.usage)}")
    if plan.tried:
        told = "" if plan.usage else " What the others will take is not known from this."
        lines.append(f"Trying took {usage_text(plan.tried)}{told}")
    return "\n".join([*lines, "Nothing was written."])


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _info_text(facts: dict[str, Any]) -> str:
    width = max(map(len, facts), default=0)
    return "\n".join(f"{name.replace('_', ' '):<{width}}  {_fact_text(fact)}" for name, fact in facts.items())


def _fact_text(fact: object) -> str:
    if isinstance(fact, dict):
        return ", ".join(f"{name} {_fact_text(value)}" for name, value in fact.items())
    if isinstance(fact, (list, tuple)):
        return ", ".join(map(str, fact))
    return f"{fact:,}" if isinstance(fact, int) else "-" if fact is None else str(fact)


@contextmanager
def _progress(run: Run, verb: str) -> Iterator[Progress]:
    """Something to tell the progress to: a bar on a terminal, else a line now and then."""
    if run.quiet:
        yield lambda done, total, name: None
    elif sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(desc=verb, unit="", leave=False, dynamic_ncols=True, file=sys.stderr) as bar:

            def advance(done: int, total: int, name: str) -> None:
                bar.total = total
                if not name:  # what was done before counts for the bar, but not for the pace
                    bar.initial = bar.n = done
                bar.set_postfix_str(name[-40:], refresh=False)
                bar.update(done - bar.n)

            yield advance
    else:
        yield _lines(verb)


def _lines(verb: str, every_s: float = 5.0) -> Progress:
    from kb.render import pace

    began = last = time.monotonic()
    first = 0

    def advance(done: int, total: int, name: str) -> None:
        nonlocal first, last
        if not name:
            first = done
        elif time.monotonic() - last >= every_s:
            last = time.monotonic()
            told = pace(done - first, total - done, last - began)
            click.echo(f"{verb}: {done} of {total}, {told}", err=True)

    return advance


# --- errors ------------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> None:
    """Run ``kbqa`` and leave with its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a letter must not cost the answer
    run = Run()
    _listen(run)
    try:
        code = cli.main(arguments, prog_name="kbqa", standalone_mode=False, obj=run)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted: run the same command to go on.", err=True)
        code = INTERRUPTED
    except Exception as error:  # noqa: BLE001  the one place where an error becomes a sentence
        if run.debug:
            traceback.print_exc()
        explained = explain(error)
        click.echo(f"Error: {_capital(str(explained))}", err=True)
        code = explained.exit_code
    sys.exit(code or 0)


def explain(error: Exception) -> KBError:
    """Any error as one that a person can act on."""
    if isinstance(error, KBError):
        return error
    if isinstance(error, OSError):
        return _explain_os(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        return KBError(f"the package {error.name} is not installed", "install kbqa again, with what it needs")
    return KBError(
        f"this should not have happened ({type(error).__name__}: {error})",
        "it is a defect; the same command with --debug shows where",
    )


def _explain_os(error: OSError) -> KBError:
    name = error.filename if error.filename is not None else "a file"
    known: dict[int | None, tuple[str, str]] = {
        errno.ENOSPC: ("the disk is full", "free some space and run the command again"),
        errno.EDQUOT: ("the disk quota is used up", "free some space and run the command again"),
        errno.EACCES: (f"no permission to read or write {name}", "check who may"),
        errno.EPERM: (f"no permission to change {name}", "check who may"),
        errno.EROFS: (f"cannot write to {name}, which is on a read-only disk", "choose another place"),
        errno.ENOENT: (f"there is no {name}", "check the path"),
        errno.EISDIR: (f"cannot read the folder {name} as a file", "name a file"),
        errno.ENOTDIR: (f"cannot reach {name}, since a part of its path is no folder", "check the path"),
    }
    message, cure = known.get(error.errno, (str(error), "check the path and run the command again"))
    return KBError(message, cure)


def _listen(run: Run) -> None:
    """Show warnings of any kind as plain sentences on stderr."""

    class Say(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            run.say(f"Note: {_capital(record.getMessage())}")

    def show(message: Warning | str, *_: object, **__: object) -> None:
        run.say(f"Note: {message}")

    for name in ("kb", "ingest"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [Say(logging.WARNING)], False
    warnings.showwarning = show


def _capital(sentence: str) -> str:
    """Begin with a capital, unless with a path or the name of a setting."""
    return (
        sentence[:1].upper() + sentence[1:]
        if sentence.partition(" ")[0].rstrip(".,:").isalpha()
        else sentence
    )
