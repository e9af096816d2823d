"""Lists out: the rows of a batch as JSON lines, CSV, a workbook, Markdown or a page, each with its receipt.

Every kind is written row by row and holds no time of day: the same results give the same bytes. The receipt
names the knowledge base that answered: its generation, and the hash of each source that was cited. A
workbook, a page and a Markdown report end with it; JSON lines and CSV, which have no room for one, have it
in a file beside them (``answers.csv.receipt.json``).
"""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

from kb import __version__, page, render
from kb.errors import UsageError
from kb.journal import Result
from kb.sheets import add_sheet, new_workbook
from kb.tables import Mode, Row, digest
from kb.types import Answer, CheckReport, DocumentSummary, Usage

Put = Callable[[Row, Result], None]

CITATIONS_IN_CSV = 3
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")
WIDE = {"question": 50, "claim": 50, "text": 50, "answer": 70, "explanation": 50} | {
    f"quote_{n}": 50 for n in range(1, CITATIONS_IN_CSV + 1)
}


@dataclass(frozen=True, slots=True)
class CitedSource:
    """A document that was cited, and the hash of what was read then."""

    document_id: str
    title: str | None
    content_hash: str | None


@dataclass(frozen=True, slots=True)
class Receipt:
    """Which knowledge base, asked how, stands behind an output.

    ``library_hash`` covers the id and the content hash of every document, cited or not: what a refusal
    rests on. ``settings`` are the mode, the filters and the number of passages.
    """

    kbqa: str
    generation: int | None
    embedder: str | None
    documents: int
    library_hash: str
    settings: Mapping[str, Any]
    sources: tuple[CitedSource, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "sources": [asdict(source) for source in self.sources]}


@dataclass(frozen=True, slots=True)
class Output:
    """What a writer has to know besides the rows: how many by status, how many are ``left`` to do, and what
    all of them took of a chat model.
    """

    title: str
    mode: Mode
    columns: Sequence[str]
    counts: Mapping[str, int]
    receipt: Receipt
    mark: bool = False
    left: int = 0
    usage: Usage | None = None

    @property
    def model(self) -> str | None:
        """The chat model that was to word the answers."""
        return self.receipt.settings.get("model")


def new_receipt(
    info: Mapping[str, Any], documents: Iterable[DocumentSummary], settings: Mapping[str, Any]
) -> Receipt:
    """The receipt of a knowledge base that was asked with ``settings``, before anything is cited."""
    hashes = sorted((document.id, document.content_hash) for document in documents)
    return Receipt(
        kbqa=__version__,
        generation=info.get("generation"),
        embedder=info.get("embedder"),
        documents=len(hashes),
        library_hash=digest(hashes),
        settings=settings,
    )


def with_sources(receipt: Receipt, cited: Collection[str], documents: Iterable[DocumentSummary]) -> Receipt:
    """The receipt with the title and the hash of each document that was cited, in the order of their ids."""
    known = {document.id: document for document in documents if document.id in cited}
    sources = (
        CitedSource(name, known[name].title, known[name].content_hash)
        if name in known
        else CitedSource(name, None, None)
        for name in sorted(cited)
    )
    return replace(receipt, sources=tuple(sources))


def receipt_path(target: Path) -> Path:
    """Where the receipt of an output lies that has no room for one."""
    return target.with_name(target.name + ".receipt.json")


def writing(path: Path, suffix: str, output: Output) -> AbstractContextManager[Put]:
    """Write an output of the kind that ``suffix`` names to ``path``; what it gives takes the rows."""
    return WRITERS[suffix](path, output)


def sidecar(receipt: Receipt, target: Path) -> str | None:
    """The text of the receipt beside ``target``, or ``None`` if that has it inside."""
    if target.suffix.lower() not in (".jsonl", ".csv"):
        return None
    return render.to_json({"output": target.name, "sha256": file_hash(target), **receipt.to_dict()}) + "\n"


def file_hash(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def outcome(result: Result) -> str:
    """``answered``, ``not_found`` or ``error``; for a checked text the verdict on its weakest claim."""
    if result.get("status") == "error" or result.get("error") is not None:
        return "error"
    if "status" in result:
        return str(result["status"])
    found = {claim["verdict"] for claim in result["claims"]}
    return next((v for v in ("contradicted", "not_found", "supported") if v in found), "not_found")


def usage_of(result: Result) -> Usage | None:
    """What a row took of a chat model, if one was asked."""
    return Usage(**result["usage"]) if result.get("usage") else None


def is_unworded(result: Result) -> bool:
    """Whether a chat model was asked and failed in the end, so that the answer is in the documents' words."""
    asked = [step for step in result.get("trace", ()) if step["kind"] == "model"]
    return bool(asked) and asked[-1]["usage"] is None and outcome(result) == "answered"


def citations_of(result: Result) -> list[dict[str, Any]]:
    """All citations of an answer, or of the claims of a checked text."""
    if "claims" in result:
        return [citation for claim in result["claims"] for citation in claim["citations"]]
    return list(result["citations"])


def check_target(target: Path, kinds: Iterable[str]) -> None:
    """Find out before the work, not after it, that an output cannot be written.

    Raises ``UsageError`` for a name that will not do, ``OSError`` for a place that will not take it.
    """
    if target.suffix.lower() not in kinds:
        raise UsageError(
            f"{target.name} cannot be written", f"name an output that ends in one of {' '.join(kinds)}"
        )
    if not target.parent.is_dir():
        raise UsageError(f"there is no folder {target.parent}", "make it first")
    for path in (target, receipt_path(target)):
        if path.is_dir():
            raise UsageError(f"{path} is a folder", "give the output another name")
        if path.exists() and not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, "it must not be written", str(path))
        attempt = _beside(path, "try")
        attempt.touch()
        attempt.unlink()


def _beside(target: Path, suffix: str) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.{suffix}")


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path to write to; what is there takes the place of ``target`` when all of it is written."""
    draft = _beside(target, "tmp")
    try:
        yield draft
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        os.replace(draft, target)
    finally:
        draft.unlink(missing_ok=True)


# --- machines ----------------------------------------------------------------------------------------


@contextmanager
def _text(path: Path, *, mark: bool = False) -> Iterator[IO[str]]:
    encoding = "utf-8-sig" if mark else "utf-8"
    with path.open("w", encoding=encoding, errors="replace", newline="") as file:
        yield file


@contextmanager
def _jsonl(path: Path, _: Output) -> Iterator[Put]:
    with _text(path) as file:

        def put(row: Row, result: Result) -> None:
            record = {"id": row.id, **result, "row": dict(row.carried)}
            file.write(json.dumps(record, ensure_ascii=False) + "\n")

        yield put


@contextmanager
def _csv(path: Path, output: Output) -> Iterator[Put]:
    with _text(path, mark=output.mark) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(map(harmless, _header(output)))

        def put(row: Row, result: Result) -> None:
            writer.writerow(harmless(_cell(value)) for value in _values(output, row, result))

        yield put


@contextmanager
def _xlsx(path: Path, output: Output) -> Iterator[Put]:
    with new_workbook(path) as book:
        header = [harmless(name) for name in _header(output)]
        append = add_sheet(book, "answers" if output.mode == "ask" else "verdicts", header, WIDE)

        def put(row: Row, result: Result) -> None:
            values = _values(output, row, result)
            append([harmless(value) if isinstance(value, str) else value for value in values])

        yield put
        append = add_sheet(book, "receipt", ["what", "value", "content_hash"], {"what": 40, "value": 60})
        for line in _receipt_lines(output.receipt):
            append([harmless(cell) for cell in line])


def _header(output: Output) -> list[str]:
    ours = list(_describe(output)(_NOTHING[output.mode]))
    return [f"{name} (input)" if name in ours else name for name in output.columns] + ours


def _values(output: Output, row: Row, result: Result) -> list[Any]:
    carried = [row.cells.get(name) for name in output.columns]
    return [*carried, *_describe(output)(result).values()]


def _describe(output: Output) -> Callable[[Result], dict[str, Any]]:
    if output.mode == "check":
        return _check_cells
    return _worded_cells if output.model else _ask_cells


def _ask_cells(result: Result) -> dict[str, Any]:
    return {
        "answer": result["answer"],
        "status": result["status"],
        "confidence": result["confidence"],
        **_citation_cells(result["citations"]),
        "error": result["error"],
    }


def _worded_cells(result: Result) -> dict[str, Any]:
    """With what an answer took of a chat model; empty where none was asked, or its prices are not known."""
    usage = usage_of(result)
    return {
        **_ask_cells(result),
        "model": result["model"],
        "input_tokens": usage and usage.input_tokens,
        "output_tokens": usage and usage.output_tokens,
        "cost_usd": usage and usage.cost,
    }


def _check_cells(result: Result) -> dict[str, Any]:
    """One row sums up the claims of a text: its verdict is that of the weakest, contradicted first."""
    claims = result["claims"]
    return {
        "verdict": outcome(result) if claims else None,
        "confidence": min((claim["confidence"] for claim in claims), default=None),
        "claims": len(claims),
        "explanation": " ".join(claim["explanation"] for claim in claims),
        **_citation_cells(citations_of(result)),
        "error": result["error"],
    }


def _citation_cells(citations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for i in range(CITATIONS_IN_CSV):
        known = citations[i] if i < len(citations) else {}
        cells |= {f"{name}_{i + 1}": known.get(name) for name in ("quote", "title", "published", "url")}
        cells[f"place_{i + 1}"] = place(known) if known else None
    return cells


def place(citation: Mapping[str, Any]) -> str:
    """Where a quote stands, in one cell: ``bridge.md#210-241``."""
    return f"{citation['document_id']}#{citation['start']}-{citation['end']}"


_PLACE = re.compile(r"(.+)#(\d+)-(\d+)", re.DOTALL)


def read_place(text: str) -> tuple[str, int, int] | None:
    """Document id, start and end from a cell that ``place`` wrote."""
    found = _PLACE.fullmatch(text)
    return (found[1], int(found[2]), int(found[3])) if found else None


def _cell(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def harmless(cell: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return "'" + cell if cell.startswith(FORMULA_STARTS) else cell


def as_it_was(cell: str) -> str:
    """The text of a cell that ``harmless`` may have changed."""
    return cell[1:] if cell.startswith("'") and cell[1:].startswith(FORMULA_STARTS) else cell


# --- people ------------------------------------------------------------------------------------------


@contextmanager
def _html(path: Path, output: Output) -> Iterator[Put]:
    with _text(path) as file:
        file.write(page.head_html(output.title, _lead(output)))
        file.write(page.tools_html(output.counts, "rows"))
        number = 0

        def put(row: Row, result: Result) -> None:
            nonlocal number
            number += 1
            carried = {name: _cell(value) for name, value in row.carried.items()}
            if output.mode == "check":
                html = page.check_row(number, row.id, CheckReport.from_dict(result), carried)
            else:
                used = usage_of(result)
                told = {"Chat model": usage_sentence(output.model or "", used)} if used else {}
                html = page.answer_row(number, row.id, Answer.from_dict(result), carried | told)
            file.write(html)

        yield put
        sources = ((s.document_id, s.title or "", s.content_hash or "") for s in output.receipt.sources)
        file.write(page.foot_html(receipt_facts(output.receipt), sources))


@contextmanager
def _markdown(path: Path, output: Output) -> Iterator[Put]:
    with _text(path) as file:
        file.write(f"# {render.escape_markdown(output.title)}\n\n{_lead(output)}\n")
        number = 0

        def put(row: Row, result: Result) -> None:
            nonlocal number
            number += 1
            file.write(f"\n{_row_markdown(number, row, result, output)}\n")

        yield put
        file.write(f"\n## Receipt\n\n{receipt_lines(output.receipt)}\n")


def _row_markdown(number: int, row: Row, result: Result, output: Output) -> str:
    escape = render.escape_markdown
    name = "" if row.id == str(number) else f"{escape(row.id)}: "
    carried = "\n".join(f"- {escape(k)}: {escape(_cell(v))}" for k, v in row.carried.items() if _cell(v))
    if output.mode == "check":
        body = render.check_markdown(CheckReport.from_dict(result), str(number))
    else:
        body = render.answer_markdown(Answer.from_dict(result), str(number))
        if used := usage_of(result):
            body += f"\n\n{render.escape_markdown(usage_sentence(output.model or '', used))}"
    head = f"## {number}\\. {name}{escape(row.text) or '(empty)'}"
    return "\n\n".join(filter(None, (head, body, carried)))


def _lead(output: Output) -> str:
    total = sum(output.counts.values())
    parts = [f"{count:,} {page.STATUSES[status].lower()}" for status, count in output.counts.items() if count]
    if output.left:
        parts.append(f"{output.left:,} not done yet, since the run was stopped")
    total += output.left
    if not total:
        return "No rows."
    used = f" {usage_sentence(output.model, output.usage)}" if output.model and output.usage else ""
    return f"{total:,} {'row' if total == 1 else 'rows'}: {', '.join(parts)}.{used}"


def usage_sentence(model: str, usage: Usage) -> str:
    """What was taken of the chat model ``model``."""
    return f"{model}: {render.usage_text(usage)}"


def receipt_facts(receipt: Receipt) -> list[tuple[str, str]]:
    """A receipt as names and values to read."""
    settings = {name: value for name, value in receipt.settings.items() if value not in (None, [], ())}
    return [
        ("Made by", f"kbqa {receipt.kbqa}"),
        ("Knowledge base", f"generation {receipt.generation}, {receipt.documents:,} documents"),
        ("Hash of all documents", receipt.library_hash),
        ("Embedder", receipt.embedder or "unknown"),
        *((name.capitalize(), _cell(value)) for name, value in settings.items()),
    ]


def receipt_lines(receipt: Receipt) -> str:
    """A receipt as a list in Markdown."""
    lines = (
        " — ".join(f"`{cell}`" if i == 2 else render.escape_markdown(cell) for i, cell in enumerate(line))
        for line in _receipt_lines(receipt)
    )
    return "\n".join(f"- {line}" for line in lines)


def _receipt_lines(receipt: Receipt) -> Iterator[tuple[str, ...]]:
    yield from receipt_facts(receipt)
    for source in receipt.sources:
        yield source.document_id, source.title or "", source.content_hash or "unknown"


WRITERS: Mapping[str, Callable[[Path, Output], AbstractContextManager[Put]]] = {
    ".jsonl": _jsonl,
    ".csv": _csv,
    ".xlsx": _xlsx,
    ".md": _markdown,
    ".html": _html,
}

_NOTHING: Mapping[Mode, Result] = {
    "ask": Answer("", "error").to_dict(),
    "check": CheckReport("").to_dict(),
}
