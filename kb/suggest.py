"""Questions to begin a question set with, drafted from the documents for a person to edit.

Without a model two things can be had: the questions that documents ask and answer themselves, and sentences
with a date or an amount, turned into a question by putting "when" or "how much" in its place. What the
documents do not answer has to be added by hand.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice, zip_longest
from pathlib import Path
from typing import Protocol

from kb.errors import UsageError
from kb.outputs import harmless
from kb.sheets import add_sheet, new_workbook
from kb.text import Span, amounts, dates, names, sentence_spans, words
from kb.types import Document, DocumentSummary

COLUMNS = ("id", "question", "expected_answer", "expected_document", "expected_quote", "answerable")
WRITES = (".csv", ".xlsx", ".jsonl")
SHORTEST, LONGEST = 8, 30  # words of a sentence that makes a question

_LEANS = frozenset(  # a sentence that begins so cannot stand alone
    "it its he she they his her their this that these those here there then also but and or so such one both"
    " however meanwhile yet still later now today yesterday".split()
)
_ASKED = {"money": "how much", "percent": "what percentage", "count": "how many"}
_BEFORE_DATE = re.compile(r"\b(?:(?P<at>on|in|at)|since|until|by|from)\s+$", re.IGNORECASE)
_SAID = re.compile(r"\b(?:reported|wrote|said|noted|relayed|announced)\s+$")  # the day of a report is no news
_FITS_BEFORE = re.compile(r"(?<!\ba)(?<!\ban)(?<!\bthe)(?<!\bto)\s$")  # "a how much loan" is no English
_SMALLEST = 10  # "one of the" is no amount worth asking for


class Library(Protocol):
    """What questions are drafted from."""

    def documents(self) -> list[DocumentSummary]: ...

    def document(self, document_id: str) -> Document: ...


def suggest(kb: Library, count: int) -> list[dict[str, str]]:
    """Up to ``count`` draft rows, from one document after the other, their own questions first."""
    drafts = [_drafts(kb.document(summary.id)) for summary in kb.documents()]
    turns = (row for turn in zip_longest(*drafts) for row in turn if row is not None)
    distinct = {row["question"]: row for row in islice(turns, 2 * count)}
    rows = islice(distinct.values(), count)
    return [{"id": f"s{n}", **row, "answerable": "true"} for n, row in enumerate(rows, 1)]


def write_cases(path: Path, rows: Sequence[Mapping[str, str]]) -> None:
    """Write a question set; raises ``UsageError`` for a file of another kind or that is there already."""
    if path.suffix.lower() not in WRITES:
        raise UsageError(f"{path.name} cannot be written", f"name one that ends in {' '.join(WRITES)}")
    if path.exists():
        raise UsageError(f"{path} is there already", "name a new file: what was edited would be lost")
    if path.suffix.lower() == ".xlsx":
        with new_workbook(path) as book:
            append = add_sheet(book, "questions", COLUMNS, dict.fromkeys(COLUMNS[1:5], 45))
            for row in rows:
                append([harmless(row[name]) for name in COLUMNS])
        return
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix.lower() == ".jsonl":
            file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
            return
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows([harmless(row[name]) for name in COLUMNS] for row in rows)


def _drafts(document: Document) -> Iterator[dict[str, str]]:
    yield from _own_questions(document)
    yield from _from_sentences(document)


def _own_questions(document: Document) -> Iterator[dict[str, str]]:
    """The entries of a FAQ: what is expected is the first sentence below the question."""
    ends = [*(section.start for section in document.sections[1:]), len(document.text)]
    for section, end in zip(document.sections, ends, strict=False):  # one more end where there is no section
        heading_ends = document.text.find("\n", section.start, end)
        if section.is_question and heading_ends >= 0:
            below = sentence_spans(document.text, heading_ends, end)
            yield from (_row(document, section.title.strip(), "", span) for span in below[:1])


def _from_sentences(document: Document) -> Iterator[dict[str, str]]:
    headings = {section.start for section in document.sections}
    questions = {section.title for section in document.sections if section.is_question}
    found = []
    for start, end in sentence_spans(document.text):
        sentence = document.text[start:end]
        if start in headings or sentence in questions or not _stands_alone(sentence):
            continue
        if asked := _ask_for_figure(sentence):
            question, span = asked
            at_the_end = len(sentence) - span[1] <= 1
            found.append((not at_the_end, _row(document, question, sentence[slice(*span)], (start, end))))
    yield from (row for _, row in sorted(found, key=lambda pair: pair[0]))


def _row(document: Document, question: str, answer: str, span: Span) -> dict[str, str]:
    return {
        "question": question,
        "expected_answer": answer,
        "expected_document": document.id,
        "expected_quote": document.text[slice(*span)],
    }


def _stands_alone(sentence: str) -> bool:
    found = words(sentence)
    if not SHORTEST <= len(found) <= LONGEST or sentence[-1] != "." or any(c in sentence for c in '"“”:;\n|'):
        return False
    # The first word is no evidence of a name: every sentence begins with a capital.
    named = [span for span in names(sentence) if span[0] > 0 or " " in sentence[slice(*span)]]
    return sentence[0].isupper() and found[0].text.lower() not in _LEANS and bool(named)


def _ask_for_figure(sentence: str) -> tuple[str, Span] | None:
    """The sentence with its last date or amount asked for, and where that stood."""
    asked = [*_dates(sentence), *_amounts(sentence)]
    if not asked:
        return None
    (start, end), words_asked, answer = max(asked, key=lambda one: one[0])
    return f"{sentence[:start]}{words_asked}{sentence[end:-1]}?", answer


Asked = tuple[Span, str, Span]  # what is replaced, by what, and the answer


def _dates(sentence: str) -> Iterable[Asked]:
    for date in dates(sentence):
        before = _BEFORE_DATE.search(sentence[: date.start])
        if date.year and before and before.start() and not _SAID.search(sentence[: before.start()]):
            start = before.start() if before["at"] else date.start
            yield (start, date.end), "when", (date.start, date.end)


def _amounts(sentence: str) -> Iterable[Asked]:
    inside_dates = [(date.start, date.end) for date in dates(sentence)]
    for amount in amounts(sentence):
        span = (amount.start, amount.end)
        if any(start < amount.end and amount.start < end for start, end in inside_dates):
            continue
        large = amount.kind != "count" or amount.value >= _SMALLEST
        followed = amount.kind != "count" or re.match(r"\s[a-z]{3,}", sentence[amount.end :])
        if amount.kind in _ASKED and large and followed and _FITS_BEFORE.search(sentence[: amount.start]):
            yield span, _ASKED[amount.kind], span
