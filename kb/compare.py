"""What became of an output: against a later one, and against the documents as they are now.

``compare`` says which answers of a list are different in a second output of it; ``verify`` says which
quotes of an output still stand in the knowledge base. Both read what ``kb.outputs`` wrote for machines.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from kb.errors import NoSuchDocument, SourceError, UsageError
from kb.outputs import CITATIONS_IN_CSV, as_it_was, citations_of, file_hash, outcome, read_place, receipt_path
from kb.question import MAX_CHARACTERS
from kb.render import excerpt, plain, show_command
from kb.sheets import read_sheet
from kb.tables import TEXT_COLUMNS, column, read_list
from kb.types import Document, DocumentSummary, Hit

OUTPUTS = (".jsonl", ".csv", ".xlsx")
KINDS: Mapping[str, str] = {
    "newly_answered": "newly answered",
    "newly_refused": "newly refused",
    "newly_failed": "newly failed",
    "verdict": "other verdict",
    "answer": "other answer",
    "citations": "other citations",
    "only_old": "no longer asked",
    "only_new": "newly asked",
}
STATES = ("stands", "moved", "changed", "vanished")
ALIKE = 70.0  # how much of a quote, in percent of its letters, must be there to call it changed, not vanished

_MARKERS = re.compile(r"\s*\[\d+\]")


@dataclass(frozen=True, slots=True)
class Quoted:
    """A citation as an output holds it; ``row`` is the id of its row."""

    row: str
    n: int
    document_id: str
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class Given:
    """One row of an output: ``status`` may be a verdict, ``answer`` an explanation (without markers)."""

    id: str
    text: str
    status: str
    answer: str
    citations: tuple[Quoted, ...]


@dataclass(frozen=True, slots=True)
class OldReceipt:
    """What an output says of the knowledge base it came from; ``sources`` are hashes by document id."""

    generation: int | None
    sources: Mapping[str, str]
    sha256: str | None = None


class Library(Protocol):
    """What is asked of a knowledge base to find a quote."""

    def document(self, document_id: str) -> Document: ...

    def documents(self) -> list[DocumentSummary]: ...

    def search(self, query: str, *, top: int | None = ...) -> tuple[Hit, ...]: ...

    def info(self) -> dict[str, Any]: ...


# --- reading an output -------------------------------------------------------------------------------


def read_output(path: Path) -> Iterator[Given]:
    """The rows of a ``.jsonl``, ``.csv`` or ``.xlsx`` that ``kbqa batch`` wrote; raises ``UsageError`` else.

    A table holds only the first three citations of each row.
    """
    if path.suffix.lower() not in OUTPUTS:
        raise UsageError(f"{path.name} is not an output that can be read", f"use one of {' '.join(OUTPUTS)}")
    listing = read_list(path, [*TEXT_COLUMNS["ask"], *TEXT_COLUMNS["check"]])
    needed = {"status", "verdict"} if path.suffix.lower() != ".jsonl" else {"status", "claims"}
    if not needed & set(listing.columns):
        raise UsageError(f"{path.name} is no output of kbqa batch", "name the file that -o gave it")
    from_cells = _from_json if path.suffix.lower() == ".jsonl" else _from_table
    for number, (cells, problem) in enumerate(listing.records(), 1):
        if problem:
            raise SourceError(f"row {number} of {path} cannot be read ({problem})", "make the output again")
        try:
            yield from_cells(number, cells)
        except (KeyError, TypeError, AttributeError) as error:
            raise SourceError(
                f"row {number} of {path} is no answer ({error!r})", "name an output of kbqa batch"
            ) from error


def _from_json(number: int, record: dict[str, Any]) -> Given:
    row = str(record["id"])
    answer = record.get("answer") or " ".join(c["explanation"] for c in record.get("claims", []))
    quoted = tuple(
        Quoted(row, c["n"], c["document_id"], c["start"], c["end"], c["quote"]) for c in citations_of(record)
    )
    text = record["question"] if "question" in record else record["text"]
    return Given(row, text, outcome(record), _MARKERS.sub("", answer), quoted)


def _from_table(number: int, cells: dict[str, Any]) -> Given:
    def cell(*names: str) -> str:
        name = column(cells, *names)
        return "" if name is None else as_it_was(str(cells[name]))

    row = cell("id").strip() or str(number)
    status = "error" if cell("error") else cells.get("status") or cells.get("verdict") or "not_found"
    text = cell(*TEXT_COLUMNS["ask"], *TEXT_COLUMNS["check"]).strip()
    answer = as_it_was(str(cells.get("answer") or cells.get("explanation") or ""))
    return Given(row, text, str(status), _MARKERS.sub("", answer), tuple(_quoted(row, cells)))


def _quoted(row: str, cells: Mapping[str, Any]) -> Iterator[Quoted]:
    for n in range(1, CITATIONS_IN_CSV + 1):
        place = read_place(as_it_was(str(cells.get(f"place_{n}") or "")))
        if place:
            yield Quoted(row, n, *place, as_it_was(str(cells[f"quote_{n}"])))


def read_receipt(path: Path) -> OldReceipt | None:
    """The receipt of an output, from inside it or from beside it; ``None`` if it is lost."""
    if path.suffix.lower() == ".xlsx":
        return _receipt_in_workbook(path)
    try:
        known = json.loads(receipt_path(path).read_text(encoding="utf-8"))
        sources = {source["document_id"]: source["content_hash"] for source in known["sources"]}
        return OldReceipt(known["generation"], sources, known["sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _receipt_in_workbook(path: Path) -> OldReceipt | None:
    rows = read_sheet(path, lambda header: list(header)[:3] == ["what", "value", "content_hash"])
    if next(rows, [])[:1] != ["what"]:
        return None
    generation, sources = None, {}
    for row in rows:
        what, value, content_hash = (as_it_was(str(cell)) for cell in (*row, "", "")[:3])
        if content_hash:
            sources[what] = content_hash
        elif found := re.match(r"generation (\d+)", value):
            generation = int(found[1])
    return OldReceipt(generation, sources)


# --- two outputs -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """A row that is not the same in both outputs; what only one of them has is ``None`` in the other.

    ``lost`` and ``gained`` are citations whose words only one output quotes, ``moved`` pairs (old, new)
    that quote the same words from another place.
    """

    kind: str
    old: Given | None
    new: Given | None
    lost: tuple[Quoted, ...] = ()
    gained: tuple[Quoted, ...] = ()
    moved: tuple[tuple[Quoted, Quoted], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        row = self.new or self.old
        assert row is not None
        return {
            "kind": self.kind,
            "id": row.id,
            "text": row.text,
            "old": self.old and {"status": self.old.status, "answer": self.old.answer},
            "new": self.new and {"status": self.new.status, "answer": self.new.answer},
            "lost": [asdict(quoted) for quoted in self.lost],
            "gained": [asdict(quoted) for quoted in self.gained],
            "moved": [{"old": asdict(old), "new": asdict(new)} for old, new in self.moved],
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two outputs side by side; ``sources`` are ids whose content hash differs between their receipts."""

    same: int
    differences: tuple[Difference, ...]
    generations: tuple[int | None, int | None] = (None, None)
    sources: tuple[str, ...] = ()

    def counts(self) -> dict[str, int]:
        """How many rows there are of each kind of difference."""
        counted = Counter(difference.kind for difference in self.differences)
        return {kind: counted[kind] for kind in KINDS}

    def to_dict(self) -> dict[str, Any]:
        return {
            "same": self.same,
            **self.counts(),
            "generation": {"old": self.generations[0], "new": self.generations[1]},
            "changed_sources": list(self.sources),
            "differences": [difference.to_dict() for difference in self.differences],
        }


def compare(old: Path, new: Path) -> Comparison:
    """Which answers of ``old`` are different in ``new``; rows belong together by question, not by number.

    A question that is asked several times is paired in order. If one output is a table, which holds only
    the first citations of a row, only these are compared.
    """
    tables = any(path.suffix.lower() != ".jsonl" for path in (old, new))
    limit = CITATIONS_IN_CSV if tables else None
    before = _by_question(read_output(old), limit)
    same, differences = 0, []
    for key, given in _by_question(read_output(new), limit).items():
        difference = _difference(before.pop(key, None), given)
        if difference:
            differences.append(difference)
        else:
            same += 1
    differences += [Difference("only_old", given, None, lost=given.citations) for given in before.values()]
    differences.sort(key=lambda difference: list(KINDS).index(difference.kind))
    receipts = read_receipt(old), read_receipt(new)
    first, second = (receipt or OldReceipt(None, {}) for receipt in receipts)
    hashes = second.sources
    changed = (i for i, old_hash in sorted(first.sources.items()) if hashes.get(i, old_hash) != old_hash)
    return Comparison(same, tuple(differences), (first.generation, second.generation), tuple(changed))


def _by_question(rows: Iterable[Given], limit: int | None) -> dict[tuple[str, int], Given]:
    seen: Counter[str] = Counter()
    found = {}
    for given in rows:
        seen[given.text] += 1
        found[given.text, seen[given.text]] = replace(given, citations=given.citations[:limit])
    return found


def _difference(old: Given | None, new: Given) -> Difference | None:
    if old is None:
        return Difference("only_new", None, new, gained=new.citations)
    lost, gained, moved = _citations(old.citations, new.citations)
    if old.status != new.status:
        kind = _status_kind(old.status, new.status)
    elif old.answer.split() != new.answer.split():
        kind = "answer"
    elif lost or gained or moved:
        kind = "citations"
    else:
        return None
    return Difference(kind, old, new, lost, gained, moved)


def _status_kind(old: str, new: str) -> str:
    if new == "error":
        return "newly_failed"
    if {old, new} <= {"answered", "not_found", "error"}:
        return "newly_answered" if new == "answered" else "newly_refused"
    return "verdict"


def _citations(
    old: Sequence[Quoted], new: Sequence[Quoted]
) -> tuple[tuple[Quoted, ...], tuple[Quoted, ...], tuple[tuple[Quoted, Quoted], ...]]:
    """Citations lost, gained and moved: the same words count as the same citation."""
    left = list(new)
    lost, moved = [], []
    for quoted in old:
        same_words = [other for other in left if other.quote.split() == quoted.quote.split()]
        if not same_words:
            lost.append(quoted)
            continue
        match = next((other for other in same_words if _address(other) == _address(quoted)), same_words[0])
        left.remove(match)
        if _address(match) != _address(quoted):
            moved.append((quoted, match))
    return tuple(lost), tuple(left), tuple(moved)


def _address(quoted: Quoted) -> tuple[str, int, int]:
    return quoted.document_id, quoted.start, quoted.end


# --- an output and the documents ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class QuoteNow:
    """What became of a quote: ``stands`` where it stood, ``moved``, ``changed`` or ``vanished``.

    ``document_id``, ``start``, ``end`` and ``text`` say where the words, or the nearest ones, are now.
    """

    quoted: Quoted
    state: str
    document_id: str | None = None
    start: int | None = None
    end: int | None = None
    text: str | None = None

    def to_dict(self) -> dict[str, Any]:
        now = {name: getattr(self, name) for name in ("document_id", "start", "end", "text")}
        return {"state": self.state, "then": asdict(self.quoted), "now": now if self.document_id else None}


@dataclass(frozen=True, slots=True)
class Verification:
    """What became of the quotes of an output; ``quotes`` are those that do not stand where they stood.

    ``changed_sources`` and ``gone_sources`` are cited documents whose content is another one now, or that
    are not there any more. ``edited`` says whether the file is not as it was written (``None``: unknown).
    """

    counts: Mapping[str, int]
    quotes: tuple[QuoteNow, ...]
    generation_then: int | None
    generation_now: int | None
    changed_sources: tuple[str, ...] = ()
    gone_sources: tuple[str, ...] = ()
    edited: bool | None = None

    @property
    def holds(self) -> bool:
        """Whether all words that were quoted are still in the documents."""
        return not (self.counts["changed"] or self.counts["vanished"])

    def to_dict(self) -> dict[str, Any]:
        return {
            **self.counts,
            "generation": {"then": self.generation_then, "now": self.generation_now},
            "changed_sources": list(self.changed_sources),
            "gone_sources": list(self.gone_sources),
            "edited": self.edited,
            "quotes": [quote.to_dict() for quote in self.quotes],
        }


def verify(kb: Library, path: Path) -> Verification:
    """Look every quote of an output up in the documents as they are now."""
    counts = dict.fromkeys(STATES, 0)
    quotes = []

    @lru_cache(maxsize=64)
    def text_of(document_id: str) -> str | None:
        try:
            return kb.document(document_id).text
        except NoSuchDocument:
            return None

    def elsewhere(quote: str) -> list[str]:
        if not any(character.isalnum() for character in quote):
            return []
        return list(dict.fromkeys(hit.passage.document_id for hit in kb.search(quote[:MAX_CHARACTERS])))

    for given in read_output(path):
        for quoted in given.citations:
            found = _look_up(quoted, text_of, elsewhere)
            counts[found.state] += 1
            if found.state != "stands":
                quotes.append(found)
    receipt = read_receipt(path) or OldReceipt(None, {})
    hashes = {document.id: document.content_hash for document in kb.documents()}
    changed = (i for i, old in receipt.sources.items() if hashes.get(i, old) != old)
    gone = (i for i in receipt.sources if i not in hashes)
    edited = None if receipt.sha256 is None else file_hash(path) != receipt.sha256
    now = kb.info().get("generation")
    return Verification(counts, tuple(quotes), receipt.generation, now, tuple(changed), tuple(gone), edited)


def _look_up(quoted: Quoted, text_of: Any, elsewhere: Any) -> QuoteNow:
    text = text_of(quoted.document_id)
    if text is not None and text[quoted.start : quoted.end] == quoted.quote:
        return QuoteNow(quoted, "stands")
    others = [i for i in elsewhere(quoted.quote) if i != quoted.document_id]
    for document_id in [quoted.document_id, *others]:
        if span := _find(quoted, text_of(document_id) or ""):
            return _now(quoted, "moved", document_id, text_of(document_id), span)
    for document_id in [quoted.document_id] if text is not None else others:
        if span := _nearest(quoted.quote, text_of(document_id)):
            return _now(quoted, "changed", document_id, text_of(document_id), span)
    return QuoteNow(quoted, "vanished")


def _now(quoted: Quoted, state: str, document_id: str, text: str, span: tuple[int, int]) -> QuoteNow:
    return QuoteNow(quoted, state, document_id, *span, text[slice(*span)])


def _find(quoted: Quoted, text: str) -> tuple[int, int] | None:
    """The words of a quote, white space aside, nearest to where they stood."""
    words = re.compile(r"\s+".join(map(re.escape, quoted.quote.split())) or r"(?!)")
    spans = [match.span() for match in words.finditer(text)]
    return min(spans, key=lambda span: abs(span[0] - quoted.start), default=None)


def _nearest(quote: str, text: str) -> tuple[int, int] | None:
    """The stretch of a text that is most like a quote, widened to whole words, if it is like it at all."""
    from rapidfuzz.fuzz import partial_ratio_alignment

    found = partial_ratio_alignment(quote, text, score_cutoff=ALIKE) if len(text) >= len(quote) else None
    if found is None:
        return None
    start, end = found.dest_start, found.dest_end
    while start and not text[start - 1].isspace():
        start -= 1
    while end < len(text) and not text[end].isspace():
        end += 1
    return start, end


# --- for a terminal ----------------------------------------------------------------------------------


def comparison_text(comparison: Comparison) -> str:
    """The counts, then each difference with both answers and its citations."""
    counts = [f"{n} {KINDS[kind]}" for kind, n in comparison.counts().items() if n]
    old, new = comparison.generations
    parts = [f"{', '.join([f'{comparison.same} the same', *counts])}."]
    if old is not None and new is not None:
        parts.append(f"Generation {old} then, {new} now.")
    if comparison.sources:
        parts.append(f"Cited sources that changed: {', '.join(comparison.sources)}.")
    return plain("\n\n".join(["\n".join(parts), *map(_difference_text, comparison.differences)]))


def _difference_text(difference: Difference) -> str:
    row = difference.new or difference.old
    assert row is not None
    lines = [f"{KINDS[difference.kind]}: {row.id}  {excerpt(row.text)}"]
    for name, given in (("was", difference.old), ("is", difference.new)):
        if given and difference.kind != "citations":
            lines.append(f"  {name:4} {given.status}: {excerpt(given.answer)}".rstrip(": "))
    lines += [f"  lost   {_quoted_text(quoted)}" for quoted in difference.lost]
    lines += [f"  new    {_quoted_text(quoted)}" for quoted in difference.gained]
    lines += [
        f"  moved  {_quoted_text(old)} to {_place_text(*_address(new))}" for old, new in difference.moved
    ]
    return "\n".join(lines)


def _quoted_text(quoted: Quoted) -> str:
    return f"“{excerpt(quoted.quote)}” ({_place_text(*_address(quoted))})"


def _place_text(document_id: str, start: int, end: int) -> str:
    return f"{document_id}, characters {start}–{end}"


def verification_text(found: Verification) -> str:
    """The counts, what is known of the sources, then each quote that is not where it was, the worst first."""
    total = sum(found.counts.values())
    counts = [f"{n} {'stand' if state == 'stands' else state}" for state, n in found.counts.items() if n]
    parts = [f"{total} quotes{': ' if counts else ''}{', '.join(counts)}."]
    if found.generation_then is None:
        parts.append("The receipt is not there, so whether the sources changed is not known.")
    else:
        parts.append(f"Generation {found.generation_then} then, {found.generation_now} now.")
    for what, ids in (("changed", found.changed_sources), ("are gone", found.gone_sources)):
        if ids:
            parts.append(f"Cited sources that {what}: {', '.join(ids)}.")
    if found.edited:
        parts.append("The file is not as kbqa wrote it: it was edited since.")
    worst_first = sorted(found.quotes, key=lambda quote: -STATES.index(quote.state))
    return plain("\n\n".join(["\n".join(parts), *map(_quote_text, worst_first)]))


def _quote_text(quote: QuoteNow) -> str:
    lines = [f"{quote.state}: row {quote.quoted.row} [{quote.quoted.n}] {_quoted_text(quote.quoted)}"]
    if quote.document_id is not None and quote.start is not None and quote.end is not None:
        place = _place_text(quote.document_id, quote.start, quote.end)
        now = f"“{excerpt(quote.text or '')}” ({place})" if quote.state == "changed" else place
        lines += [f"  now {now}", f"  {show_command(quote.document_id, quote.start, quote.end)}"]
    return "\n".join(lines)
