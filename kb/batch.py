"""Lists in, cited answers out: the same questions, the same order, and nothing lost on the way.

Every finished row goes to a journal beside the output (``answers.csv.journal``) before anything else
happens, and the output is made from the journal alone, in one step, at the end. So a run that was cut
off is continued by the same command, does only what is missing, and writes the very bytes that an
uninterrupted run would have written. A row that failed is tried again.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import os
import re
import time
from calendar import monthrange
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import IO, Any, Literal, Protocol

from kb import __version__
from kb.errors import Busy, KBError, SourceError, UsageError
from kb.question import MAX_CHARACTERS
from kb.types import Answer, CheckReport, Failure, Filters, Turn

Mode = Literal["ask", "check"]
Result = dict[str, Any]
Progress = Callable[[int, int, str], None]

READS = (".csv", ".tsv", ".jsonl", ".txt")
WRITES = (".jsonl", ".csv")
TEXT_COLUMNS: Mapping[str, tuple[str, ...]] = {"ask": ("question",), "check": ("claim", "text")}
LIMITS: Mapping[str, int] = {"ask": MAX_CHARACTERS, "check": 100_000}  # a draft is longer than a question
CITATIONS_IN_CSV = 3
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
UNREADABLE = re.compile("[\ufffd\ud800-\udfff]")
NO_DELIMITER = "\x1f"  # a list of one column may hold commas without quotes

_log = logging.getLogger(__name__)


class Library(Protocol):
    """What a batch needs of a knowledge base."""

    def ask(
        self,
        question: str,
        *,
        filters: Filters = ...,
        history: Sequence[Turn] = ...,
        top: int | None = ...,
    ) -> Answer: ...

    def check(self, text: str, *, filters: Filters = ...) -> CheckReport: ...

    def info(self) -> dict[str, Any]: ...


@dataclass(frozen=True, slots=True)
class Row:
    """One question or claim of a list. ``cells`` is the row as it was read; ``carried`` what is not ours."""

    id: str
    text: str
    cells: Mapping[str, Any]
    carried: Mapping[str, Any]
    filters: Filters = Filters()
    history: tuple[Turn, ...] = ()
    error: str | None = None
    key: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A list as it was read; ``mark`` says whether it began with a byte order mark (Excel wants one back)."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    mark: bool = False


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What a run did: ``done`` rows are in the output, ``resumed`` of them from an earlier run."""

    done: int = 0
    answered: int = 0
    not_found: int = 0
    failed: tuple[Failure, ...] = ()
    resumed: int = 0
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "failed": [asdict(f) for f in self.failed], "seconds": round(self.seconds, 2)}


def run_batch(
    kb: Library,
    source: Path,
    target: Path,
    *,
    mode: Mode = "ask",
    workers: int = 1,
    filters: Filters = Filters(),
    top: int | None = None,
    progress: Progress | None = None,
) -> BatchReport:
    """Answer (or check) every row of ``source`` and write ``target``; continues a run that was cut off.

    A row's own filters come before ``filters``. ``progress`` is told rows done, rows in all and the row's
    id. Raises ``UsageError`` for a kind of file or a column that will not do, ``SourceError`` for a list
    that cannot be read.
    """
    _check_request(source, target, mode, workers)
    started = time.perf_counter()
    table = read_table(source, mode)
    info = kb.info()
    generation = info.get("generation")
    # Another knowledge base may have the same generation: the folder and what it holds tell them apart.
    folder = info.get("folder")
    identity = [folder and str(Path(folder).resolve()), info.get("documents"), info.get("passages")]
    state = _digest([identity, generation, info.get("embedder"), __version__, mode, top, asdict(filters)])
    with _only_one(target), Journal(journal_path(target), state=state) as journal:
        sound = [row for row in table.rows if row.error is None]
        todo = [row for row in sound if row.key not in journal]
        _say_what_is_resumed(journal, sound, todo)
        finished = len(table.rows) - len(todo)
        answer = _answerer(kb, mode, filters, top)
        with closing(_answer_all(answer, todo, workers)) as results:
            for row, result in results:
                journal.add(row.key, result, failed=_has_failed(result))
                finished += 1
                if progress:
                    progress(finished, len(table.rows), row.id)
        if todo and kb.info().get("generation") != generation:
            _log.warning(
                "the knowledge base changed during the run: some rows were answered from its new content"
            )
        report = _write(target, table, journal, mode)
    if not report.failed:
        journal_path(target).unlink()
    return replace(report, resumed=len(sound) - len(todo), seconds=time.perf_counter() - started)


def journal_path(target: Path) -> Path:
    """Where the finished rows of a run are kept until its output is complete."""
    return target.with_name(target.name + ".journal")


def iso_date(value: object, *, last: bool = False) -> str:
    """``2026``, ``2026-04`` or ``2026-04-28`` as a whole date: the first day meant, or the ``last``.

    Raises ``UsageError`` for anything else.
    """
    found = re.fullmatch(r"(\d{4})(?:-(\d\d?))?(?:-(\d\d?))?", str(value).strip())
    try:
        if not found:
            raise ValueError
        year, month, day = (int(part) if part else None for part in found.groups())
        assert year is not None
        if month is None:
            month = 12 if last else 1
        if day is None:
            day = monthrange(year, month)[1] if last else 1
        return date(year, month, day).isoformat()
    except ValueError:
        raise UsageError(f"{str(value)!r} is not a date", "write it as 2026-04-28, 2026-04 or 2026") from None


# --- the request -------------------------------------------------------------------------------------


def _check_request(source: Path, target: Path, mode: str, workers: int) -> None:
    if mode not in TEXT_COLUMNS:
        raise UsageError(f"there is no mode {mode!r}", "use ask or check")
    if workers < 1:
        raise UsageError(f"{workers} workers cannot work", "use 1 or more")
    if source.suffix.lower() not in READS:
        raise UsageError(f"{source.name} is not a list that can be read", f"use one of {' '.join(READS)}")
    if target.suffix.lower() not in WRITES:
        raise UsageError(
            f"{target.name} cannot be written", f"name an output that ends in {' or '.join(WRITES)}"
        )
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}", "make it first")
    if target.exists() and source.exists() and target.samefile(source):
        raise UsageError("the output would overwrite the list", "give the output another name")


def _say_what_is_resumed(journal: Journal, sound: Sequence[Row], todo: Sequence[Row]) -> None:
    if stale := sum(row.key in journal.stale for row in todo):
        _log.warning(
            "%d rows of an earlier run are asked again, since the knowledge base or the settings changed",
            stale,
        )
    if len(sound) > len(todo):
        _log.info("%d of %d rows are there from an earlier run", len(sound) - len(todo), len(sound))


# --- reading a list ----------------------------------------------------------------------------------


def read_table(source: Path, mode: Mode) -> Table:
    """Read a list of questions (``ask``) or claims (``check``); a row that will not do carries its error."""
    data = source.read_bytes()
    text = decode(data)
    if not text.strip():
        raise SourceError(f"{source} is empty", f"it should hold a {TEXT_COLUMNS[mode][0]} on each row")
    if "\0" in text:
        raise SourceError(f"{source} is not text", "save the list as CSV in UTF-8")
    suffix = source.suffix.lower()
    read = {".jsonl": _read_jsonl, ".txt": _read_lines}.get(suffix, _read_delimited)
    columns, records = read(text, TEXT_COLUMNS[mode])
    if suffix in (".csv", ".tsv") and not _column(columns, *TEXT_COLUMNS[mode]):
        wanted = " or ".join(TEXT_COLUMNS[mode])
        raise UsageError(
            f"{source.name} has no column {wanted} (its columns: {', '.join(columns[:12])})",
            f"name the column {wanted} in the first line",
        )
    rows = [_row(n, cells, problem, mode) for n, (cells, problem) in enumerate(records, 1)]
    return Table(tuple(columns), tuple(_with_keys(rows)), mark=data.startswith(b"\xef\xbb\xbf"))


def decode(data: bytes) -> str:
    """Text in UTF-8 or UTF-16 with or without a mark, or else Windows' cp1252.

    A file that is UTF-8 but for a few broken characters keeps them as U+FFFD, so that only the rows that
    hold them are lost.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        damaged = data.decode("utf-8-sig", "replace")
    whole = sum(character > "\x7f" for character in damaged) - damaged.count("\ufffd")
    return damaged if whole > damaged.count("\ufffd") else data.decode("cp1252", "replace")


Records = Iterator[tuple[dict[str, Any], str | None]]  # cells and what is wrong with them


def _read_lines(text: str, names: Sequence[str]) -> tuple[list[str], Records]:
    lines = (line.strip() for line in text.split("\n"))
    return [names[0]], (({names[0]: line}, None) for line in lines if line)


def _read_jsonl(text: str, names: Sequence[str]) -> tuple[list[str], Records]:
    records = [_json_record(line, names[0]) for line in text.split("\n") if line.strip()]
    return list(dict.fromkeys(name for cells, _ in records for name in cells)), iter(records)


def _json_record(line: str, name: str) -> tuple[dict[str, Any], str | None]:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return {name: line.strip()}, f"The line is not JSON ({error})."
    if isinstance(value, str):
        return {name: value}, None
    if not isinstance(value, dict):
        return {name: line.strip()}, "The line is not a JSON object."
    return value, None


def _read_delimited(text: str, _: Sequence[str]) -> tuple[list[str], Records]:
    csv.field_size_limit(1 << 28)  # the length of a row is judged later, and by name
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    try:
        header, *body = [line for line in lines if line]
    except csv.Error as error:
        raise SourceError(f"the list cannot be read ({error})", "save it again as CSV") from error
    columns = _column_names(header)
    while len(columns) > 1 and body and not any(body[-1]):  # what a spreadsheet leaves below its last row
        body.pop()
    return columns, ((_cells(columns, line), _too_many(columns, line)) for line in body)


def _delimiter(text: str) -> str:
    first = next(line for line in text.split("\n") if line.strip())
    found = max("\t;,|", key=first.count)
    return found if found in first else NO_DELIMITER


def _column_names(header: Sequence[str]) -> list[str]:
    names: list[str] = []
    for position, name in enumerate(header, 1):
        name = name.strip() or f"column {position}"
        names.append(f"{name} ({position})" if name in names else name)
    return names


def _cells(columns: Sequence[str], line: Sequence[str]) -> dict[str, Any]:
    return {name: line[i] if i < len(line) else "" for i, name in enumerate(columns)}


def _too_many(columns: Sequence[str], line: Sequence[str]) -> str | None:
    if not any(line[len(columns) :]):
        return None
    return f"The row has {len(line)} cells but there are {len(columns)} columns: put its text in quotes."


def _column(columns: Iterable[str], *wanted: str) -> str | None:
    """The first column of a wanted name, in any case."""
    by_name = {name.strip().lower(): name for name in reversed(list(columns))}
    return next((by_name[name] for name in wanted if name in by_name), None)


def _row(number: int, cells: dict[str, Any], problem: str | None, mode: Mode) -> Row:
    ours = {name: _column(cells, name) for name in ("id", "document_id", "source", "after", "before")}
    ours["text"] = _column(cells, *TEXT_COLUMNS[mode])
    history = _column(cells, "history")
    if history and not isinstance(cells[history], str):  # a CSV column of that name is not a conversation
        ours["history"] = history
    values = {name: cells[column] for name, column in ours.items() if column is not None}
    text = values.get("text")
    row = Row(
        id=str(number) if values.get("id") in (None, "") else str(values["id"]).strip(),
        text=text.strip() if isinstance(text, str) else "",
        cells=cells,
        carried={name: value for name, value in cells.items() if name not in ours.values()},
    )
    if problem := problem or _problem(text, mode):
        return replace(row, error=problem)
    try:
        return replace(row, filters=_filters(values), history=_history(values.get("history")))
    except UsageError as error:
        return replace(row, error=str(error))


def _problem(text: object, mode: Mode) -> str | None:
    """What is wrong with a question or claim, as a sentence."""
    noun = TEXT_COLUMNS[mode][0]
    if text is None or text == "":
        return f"The {noun} is empty."
    if not isinstance(text, str):
        return f"The {noun} is not text."
    if not text.strip():
        return f"The {noun} is empty."
    if UNREADABLE.search(text):
        return f"The {noun} holds characters that cannot be read: save the list as UTF-8."
    if len(text) > LIMITS[mode]:
        return f"The {noun} is too long: it has {len(text):,} characters, {LIMITS[mode]:,} are allowed."
    return None


def _filters(values: Mapping[str, Any]) -> Filters:
    after, before = values.get("after"), values.get("before")
    return Filters(
        publishers=_names(values.get("source")),
        document_ids=_names(values.get("document_id")),
        after=None if after in (None, "") else iso_date(after),
        before=None if before in (None, "") else iso_date(before, last=True),
    )


def _names(value: object) -> tuple[str, ...]:
    many = value if isinstance(value, list) else [value]
    return tuple(str(name).strip() for name in many if name is not None and str(name).strip())


def _history(value: object) -> tuple[Turn, ...]:
    if value is None:
        return ()
    cure = 'write it as [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}]'
    if not isinstance(value, list):
        raise UsageError("the history is not a list", cure)
    for turn in value:
        roles = isinstance(turn, dict) and turn.get("role") in ("user", "assistant")
        if not roles or not isinstance(turn.get("content"), str):
            raise UsageError("a turn of the history cannot be read", cure)
    return tuple(Turn(turn["role"], turn["content"]) for turn in value)


def _with_keys(rows: Iterable[Row]) -> Iterator[Row]:
    """Rows with the key they have in the journal: what is asked, and the how-manieth time it is asked."""
    seen: dict[str, int] = {}
    for row in rows:
        asked = _digest([row.text, asdict(row.filters), [asdict(turn) for turn in row.history]])
        seen[asked] = seen.get(asked, 0) + 1
        yield replace(row, key=f"{asked}-{seen[asked]}")


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


# --- answering ---------------------------------------------------------------------------------------


def _answerer(kb: Library, mode: Mode, filters: Filters, top: int | None) -> Callable[[Row], Result]:
    def answer(row: Row) -> Result:
        limited = _merge(row.filters, filters)
        try:
            if mode == "check":
                return kb.check(row.text, filters=limited).to_dict()
            return kb.ask(row.text, filters=limited, history=row.history, top=top).to_dict()
        except KBError as error:
            return _failed(row.text, mode, str(error))
        except Exception as error:  # noqa: BLE001  a defect met in one row must not cost the others
            _log.debug("row %s", row.id, exc_info=True)
            return _failed(row.text, mode, f"Unexpected error ({type(error).__name__}: {error}).")

    return answer


def _merge(own: Filters, general: Filters) -> Filters:
    return Filters(
        publishers=own.publishers or general.publishers,
        document_ids=own.document_ids or general.document_ids,
        after=own.after or general.after,
        before=own.before or general.before,
    )


def _answer_all(
    answer: Callable[[Row], Result], rows: Sequence[Row], workers: int
) -> Generator[tuple[Row, Result], None, None]:
    """Each row with its result, as they are finished."""
    if workers == 1:
        yield from ((row, answer(row)) for row in rows)
        return
    pool = ThreadPoolExecutor(workers)
    try:
        waiting = {pool.submit(answer, row): row for row in rows}
        for future in as_completed(waiting):
            yield waiting.pop(future), future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _failed(text: str, mode: Mode, error: str) -> Result:
    if mode == "check":
        return CheckReport(text, error=error).to_dict()
    return Answer(text, status="error", error=error).to_dict()


def _has_failed(result: Result) -> bool:
    return result.get("status") == "error" or result.get("error") is not None


# --- the journal -------------------------------------------------------------------------------------


@contextmanager
def _only_one(target: Path) -> Iterator[None]:
    """Keep a second batch from writing the same output at the same time; raises ``Busy``."""
    from filelock import FileLock, Timeout

    lock = FileLock(target.with_name(f".{target.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise Busy(f"another batch is writing {target}", "wait until it has finished") from None
    try:
        yield
    finally:
        lock.release()
        Path(lock.lock_file).unlink(missing_ok=True)


class Journal:
    """Finished rows on disk, one a line; in memory only where each line begins.

    ``key in journal`` means that the row was finished under the same ``state`` (knowledge base and
    settings) and did not fail. ``stale`` holds the keys that were finished under another one.
    """

    def __init__(self, path: Path, *, state: str) -> None:
        self.state = state
        self.stale: set[str] = set()
        self._done: set[str] = set()
        self._places: dict[str, int] = {}
        self._file = path.open("a+b")
        self._load()

    def _load(self) -> None:
        place = 0
        self._file.seek(0)
        for line in self._file:
            if not line.endswith(b"\n"):
                break
            try:
                entry = json.loads(line)
                self._note(entry["key"], place, entry["state"], failed=entry["failed"])
            except (ValueError, KeyError, TypeError):
                _log.warning("a line of the journal cannot be read, its row is asked again")
            place += len(line)
        self._file.truncate(place)  # a line that a killed run left half written

    def _note(self, key: str, place: int, state: str, *, failed: bool) -> None:
        for group in (self._done, self.stale):
            group.discard(key)
        self._places[key] = place
        if not failed:
            (self._done if state == self.state else self.stale).add(key)

    def add(self, key: str, result: Result, *, failed: bool) -> None:
        """Keep the result of a row, past the end of this process."""
        place = self._file.seek(0, os.SEEK_END)
        entry = {"key": key, "state": self.state, "failed": failed, "result": result}
        self._file.write(json.dumps(entry, ensure_ascii=False).encode("utf-8", "replace") + b"\n")
        self._file.flush()
        self._note(key, place, self.state, failed=failed)

    def result(self, key: str) -> Result:
        """The latest result of a row."""
        self._file.seek(self._places[key])
        found: Result = json.loads(self._file.readline())["result"]
        return found

    def __contains__(self, key: str) -> bool:
        return key in self._done

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


# --- writing -----------------------------------------------------------------------------------------


def _write(target: Path, table: Table, journal: Journal, mode: Mode) -> BatchReport:
    """Write the whole output in one visible step and count what it holds."""
    counts = {"answered": 0, "not_found": 0}
    failed: list[Failure] = []
    with _replacing(target, mark=table.mark and target.suffix.lower() == ".csv") as file:
        put = _csv_writer(file, table, mode) if target.suffix.lower() == ".csv" else _jsonl_writer(file)
        for row in table.rows:
            result = _failed(row.text, mode, row.error) if row.error else journal.result(row.key)
            put(row, result)
            if _has_failed(result):
                failed.append(Failure(row.id, result["error"] or "The question could not be answered."))
            else:
                counts[_outcome(result)] += 1
    return BatchReport(done=len(table.rows), failed=tuple(failed), **counts)


@contextmanager
def _replacing(target: Path, *, mark: bool) -> Iterator[IO[str]]:
    """A text file that takes the place of ``target`` when all of it is written, and not before."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    encoding = "utf-8-sig" if mark else "utf-8"
    try:
        with draft.open("w", encoding=encoding, errors="replace", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)


def _outcome(result: Result) -> str:
    """``answered`` or ``not_found``; a checked text counts as answered if evidence was found for a claim."""
    if "status" in result:
        return "answered" if result["status"] == "answered" else "not_found"
    return "not_found" if all(claim["verdict"] == "not_found" for claim in result["claims"]) else "answered"


Put = Callable[[Row, Result], None]


def _jsonl_writer(file: IO[str]) -> Put:
    def put(row: Row, result: Result) -> None:
        record = {"id": row.id, **result, "row": dict(row.carried)}
        file.write(json.dumps(record, ensure_ascii=False) + "\n")

    return put


def _csv_writer(file: IO[str], table: Table, mode: Mode) -> Put:
    describe = _check_cells if mode == "check" else _ask_cells
    ours = list(describe(_failed("", mode, "")))
    writer = csv.writer(file, lineterminator="\n")
    theirs = [f"{name} (input)" if name in ours else name for name in table.columns]
    writer.writerow(_harmless(name) for name in [*theirs, *ours])

    def put(row: Row, result: Result) -> None:
        carried = [row.cells.get(name) for name in table.columns]
        writer.writerow(_harmless(_cell(value)) for value in [*carried, *describe(result).values()])

    return put


def _ask_cells(result: Result) -> dict[str, Any]:
    return {
        "answer": result["answer"],
        "status": result["status"],
        "confidence": result["confidence"],
        **_citation_cells(result["citations"]),
        "error": result["error"],
    }


def _check_cells(result: Result) -> dict[str, Any]:
    """One row sums up the claims of a text: its verdict is that of the weakest, contradicted first."""
    claims = result["claims"]
    found = {claim["verdict"] for claim in claims}
    return {
        "verdict": next((v for v in ("contradicted", "not_found", "supported") if v in found), None),
        "confidence": min((claim["confidence"] for claim in claims), default=None),
        "claims": len(claims),
        "explanation": " ".join(claim["explanation"] for claim in claims),
        **_citation_cells([citation for claim in claims for citation in claim["citations"]]),
        "error": result["error"],
    }


def _citation_cells(citations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    places = range(CITATIONS_IN_CSV)
    known = [citations[i] if i < len(citations) else {} for i in places]
    fields = ("quote", "title", "published", "url")
    return {f"{field}_{i + 1}": known[i].get(field) for i in places for field in fields}


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return "'" + cell if cell.startswith(FORMULA_STARTS) else cell
