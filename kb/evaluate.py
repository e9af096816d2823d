"""How good the answers are, on questions that somebody knows the answers to.

A question set is a list with what is expected beside each question: an answer, a document, a quote, any of
them, or that there is no answer. Every figure is defined in ``FIGURES``, in the words that are shown with it.
Nothing here changes an answer: questions are asked as a person would ask them.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from statistics import fmean
from textwrap import fill
from typing import Any, Protocol

from kb import page
from kb.batch import Progress, spread
from kb.errors import NoSuchDocument, SourceError, UsageError
from kb.outputs import Receipt, as_it_was, receipt_facts
from kb.render import escape, excerpt, plain
from kb.tables import Row, column, read_table
from kb.text import content_words, fold, stems, words
from kb.types import Answer, Citation, Document, DocumentSummary, Filters, Hit, Turn

PUBLIC_NAME = "queries.jsonl"  # what the question list of a public set is called, in the folder of the set
ANSWERS = ("expected_answer", "expected answer", "answer", "answers")
DOCUMENTS = ("expected_document", "expected document", "document", "doc_id")
JUDGED = "judged"
"""The column that the ratings of visitors have, and no other question set."""
QUOTES = ("expected_quote", "expected quote", "quote")
BINS = 10
SAME_WORDS = 0.5  # of the shorter of two quotes, to quote the same thing
HELD_WORDS = 0.8  # of a quote, to stand in a passage
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}
WORST = 10
SAID_WORDS = 2 / 3  # of an expected answer, to be what an answer says

FIGURES: Mapping[str, Mapping[str, str]] = {
    "Retrieval": {
        "hit@1": "an expected document is the first of the documents whose passages are shown",
        "hit@5": "an expected document is among the first five",
        "hit@10": "an expected document is among the first ten",
        "mrr": "mean of 1/rank of the first expected document, 0 where none is shown",
        "evidence_recall": "share of the expected quotes, else documents, that stand in a passage shown",
    },
    "Citations": {
        "citation_precision": "share of an answer's citations that cite what was expected",
        "citation_recall": "share of what was expected that is cited",
        "quotes_exact": "quotes that stand letter by letter in the stored text, where they say they stand",
    },
    "Answers": {
        "answer_contains": "the answer holds an expected answer as it was written, case and signs aside",
        "answer_words": "share of the expected answer's words that the answer holds, the best of several",
        "right": "answers and refusals that are right, of those that can be judged",
    },
    "Refusals": {
        "answered_precision": "of the questions answered, the share that can be answered",
        "answered_recall": "of the questions that can be answered, the share that was",
        "refused_precision": "of the questions refused, the share that cannot be answered",
        "refused_recall": "of the questions that cannot be answered, the share that was refused",
        "balanced": "mean of the two recalls; 0.5 is a coin",
    },
    "Confidence": {
        "calibration_error": "mean gap between confidence and share right, over ten equal bins of confidence",
        "brier": "mean square of confidence minus 1 for right, 0 for wrong; 0.25 is a coin",
    },
}
JUDGING = (
    "An answer is right if it says an expected answer (as written, or two thirds of its words and every "
    "number in it) or cites an expected quote; where only a document was expected, if it cites that. A "
    "refusal is right if the question cannot be answered. A quote is cited by what shares half of the words "
    "of the shorter of the two, in the same document; it stands in a passage that holds 80 % of its words. "
    "Citations and answers are scored where a question was answered. A figure is the mean over n questions, "
    "over n quotes for quotes_exact."
)

_log = logging.getLogger(__name__)


class Library(Protocol):
    """What is evaluated."""

    def ask(
        self, question: str, *, filters: Filters = ..., history: Sequence[Turn] = ..., top: int | None = ...
    ) -> Answer: ...

    def document(self, document_id: str) -> Document: ...

    def documents(self) -> list[DocumentSummary]: ...


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where an answer is expected: a document, words in it, or words wherever they stand."""

    document_id: str | None
    quote: str | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """A question with what is expected; any of several ``answers`` will do."""

    id: str
    question: str
    answers: tuple[str, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    answerable: bool = True
    filters: Filters = Filters()
    history: tuple[Turn, ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """One question as it was answered; a figure that does not apply is not in ``figures``."""

    case: Case
    answer: Answer
    figures: Mapping[str, float]
    exact: tuple[bool, ...]
    right: bool | None
    reason: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All scores, the worst first, and what they come to: figure -> (mean, n)."""

    scores: tuple[Score, ...]
    figures: Mapping[str, tuple[float, int]]
    calibration: tuple[tuple[float, float, int], ...]  # mean confidence, share right, n of each bin
    risk_coverage: tuple[tuple[float, float], ...]
    seconds: Mapping[str, float]
    receipt: Receipt

    @property
    def counts(self) -> dict[str, int]:
        """Questions by what was expected and by what came."""
        status = [score.answer.status for score in self.scores]
        answerable = sum(score.case.answerable for score in self.scores)
        return {
            "questions": len(self.scores),
            "answerable": answerable,
            "unanswerable": len(self.scores) - answerable,
            **{name: status.count(name) for name in ("answered", "not_found", "error")},
        }

    def to_dict(self) -> dict[str, Any]:
        return {
            **self.counts,
            "figures": {
                name: {"value": round(value, 4), "n": n} for name, (value, n) in self.figures.items()
            },
            "seconds": {name: round(value, 4) for name, value in self.seconds.items()},
            "calibration": [
                {"confidence": round(c, 4), "right": round(r, 4), "n": n} for c, r, n in self.calibration
            ],
            "risk_coverage": [[round(c, 4), round(r, 4)] for c, r in self.risk_coverage],
            "receipt": self.receipt.to_dict(),
            "rows": [_score_dict(score) for score in self.scores],
        }


def _score_dict(score: Score) -> dict[str, Any]:
    return {
        "id": score.case.id,
        "question": score.case.question,
        "answerable": score.case.answerable,
        "status": score.answer.status,
        "confidence": round(score.answer.confidence, 4),
        "right": score.right,
        "reason": score.reason,
        **{name: round(value, 4) for name, value in score.figures.items()},
    }


# --- the question set --------------------------------------------------------------------------------


def read_cases(path: Path) -> list[Case]:
    """Read a question set: a list (CSV, TSV, XLSX, JSONL), or a folder with ``queries.jsonl``.

    Raises ``UsageError`` if it says of no question what is expected, ``SourceError`` for a row that will
    not do.
    """
    path = path / PUBLIC_NAME if path.is_dir() else path
    table = read_table(path, "ask")
    known = [*ANSWERS, *DOCUMENTS, *QUOTES, "evidence", "answerable", "unanswerable"]
    if not column(table.columns, *known):
        raise UsageError(
            f"{path.name} does not say what is expected (its columns: {', '.join(table.columns[:12])})",
            "add expected_answer, expected_document, expected_quote or answerable",
        )
    rows = _last_words(table.rows()) if column(table.columns, JUDGED) else table.rows()
    cases = [_case(row, path) for row in rows]
    if not cases:
        raise SourceError(f"{path.name} holds no question", "write one on each row")
    return cases


def _last_words(rows: Iterable[Row]) -> Iterable[Row]:
    """Of what visitors said of one question the last; without a line that a killed run left half written."""
    last: dict[str, Row] = {}
    for row in rows:
        if JUDGED in row.cells or not _is_torn(row):
            last.pop(row.id, None)
            last[row.id] = row
    return last.values()


def _is_torn(row: Row) -> bool:
    """Whether it is the beginning of a line of ratings, and not a line that somebody wrote amiss."""
    begins = row.text[:8] == '{"id": "'[: len(row.text)]
    return row.error is not None and begins and not row.text.endswith("}")


def _case(row: Row, path: Path) -> Case:
    if row.error:
        raise SourceError(f"row {row.id} of {path.name} will not do ({row.error})", "correct the row")

    def expected(*names: str) -> list[Any]:
        name = column(row.cells, *names)
        value = None if name is None else row.cells[name]
        many = value if isinstance(value, list) else re.split(r"[|\n]", str("" if value is None else value))
        return [
            as_it_was(one.strip()) if isinstance(one, str) else one for one in many if one not in ("", None)
        ]

    answers = tuple(str(answer) for answer in expected(*ANSWERS) if str(answer).strip())
    evidence = tuple(_evidence(expected("evidence"), expected(*DOCUMENTS), expected(*QUOTES)))
    answerable = _answerable(expected("answerable"), expected("unanswerable"), row, path)
    return Case(row.id, row.text, answers, evidence, answerable, row.filters, row.history)


def _evidence(listed: list[Any], documents: list[Any], quotes: list[Any]) -> Iterable[Evidence]:
    for one in listed:
        if isinstance(one, dict):
            document_id = one.get("document_id") or one.get("doc_id")
            yield Evidence(document_id and str(document_id), one.get("quote") or None)
        else:
            quotes = [*quotes, one]
    quotes, documents = (
        [str(q) for q in quotes if str(q).strip()],
        [str(d) for d in documents if str(d).strip()],
    )
    if quotes and len(quotes) != len(documents):
        documents = [documents[0] if len(documents) == 1 else None] * len(quotes)
    yield from (Evidence(d, quotes[i] if quotes else None) for i, d in enumerate(documents))


def _answerable(answerable: list[Any], unanswerable: list[Any], row: Row, path: Path) -> bool:
    said = answerable or unanswerable
    if not said:
        return True
    word = str(said[0]).strip().lower()
    if word not in _YES | _NO:
        raise SourceError(
            f"row {row.id} of {path.name} is neither answerable nor not ({word!r})", "write true or false"
        )
    return (word in _YES) is bool(answerable)


_YES, _NO = {"true", "yes", "1", "y", "x", "answerable"}, {"false", "no", "0", "n", "unanswerable"}


# --- asking and scoring ------------------------------------------------------------------------------


def evaluate(
    kb: Library,
    cases: Sequence[Case],
    receipt: Receipt,
    *,
    workers: int = 1,
    progress: Progress | None = None,
) -> Evaluation:
    """Ask every question and score the answers; the number of ``workers`` changes no figure but the times.

    Raises ``UsageError`` if none of the expected documents is in the knowledge base.
    """
    _say_what_is_missing(cases, {document.id for document in kb.documents()})

    @lru_cache(maxsize=64)
    def text_of(document_id: str) -> str:
        try:
            return kb.document(document_id).text
        except NoSuchDocument:
            return ""

    def ask(n: int) -> Answer:
        return kb.ask(cases[n].question, filters=cases[n].filters, history=cases[n].history)

    scores: dict[int, Score] = {}
    for n, answer in spread(ask, range(len(cases)), workers):
        scores[n] = score(cases[n], answer, text_of)
        if progress:
            progress(len(scores), len(cases), cases[n].id)
    return summarise([scores[n] for n in range(len(cases))], receipt)


def _say_what_is_missing(cases: Sequence[Case], there: set[str]) -> None:
    expected = {e.document_id for case in cases for e in case.evidence if e.document_id}
    missing = sorted(expected - there)
    if missing and len(missing) == len(expected):
        raise UsageError(
            f"none of the {len(expected)} expected documents is in this knowledge base ({missing[0]}, …)",
            "ingest them first; `kbqa documents` lists the ids of those there are",
        )
    if missing:
        first = ", ".join(missing[:3])
        _log.warning("%d of %d expected documents are not here: %s", len(missing), len(expected), first)


def score(case: Case, answer: Answer, text_of: Callable[[str], str]) -> Score:
    """Hold one answer against what was expected; ``text_of`` gives the stored text of a document."""
    answered = answer.status == "answered"
    figures: dict[str, float] = {}
    if case.answerable and case.evidence:
        figures |= _retrieval(case, answer.hits)
        if answered:
            figures |= _citations(case, answer.citations)
    if case.answerable and case.answers and answered:
        said = _prose(answer)
        figures["answer_contains"] = float(any(_contains(said, expected) for expected in case.answers))
        figures["answer_words"] = max(_share(expected, said) for expected in case.answers)
    if answer.status != "error":
        right_side = "answered" if answered else "refused"
        figures[f"{right_side}_precision"] = float(case.answerable is answered)
        figures["answered_recall" if case.answerable else "refused_recall"] = float(
            case.answerable is answered
        )
    exact = tuple(c.quote == text_of(c.document_id)[c.start : c.end] for c in answer.citations)
    right, reason = judge(case, answer, figures)
    if right is not None:
        figures["right"] = float(right)
        figures["brier"] = (answer.confidence - right) ** 2
    return Score(case, answer, figures, exact, right, reason)


def _retrieval(case: Case, hits: Sequence[Hit]) -> dict[str, float]:
    found = {"evidence_recall": fmean(any(_holds(hit, e) for hit in hits) for e in case.evidence)}
    expected = {e.document_id for e in case.evidence if e.document_id}
    if not expected:
        return found
    ranked = list(dict.fromkeys(hit.passage.document_id for hit in hits))
    rank = next((n for n, document_id in enumerate(ranked, 1) if document_id in expected), math.inf)
    return {**{f"hit@{k}": float(rank <= k) for k in (1, 5, 10)}, "mrr": 1 / rank, **found}


def _holds(hit: Hit, evidence: Evidence) -> bool:
    if evidence.document_id not in (None, hit.passage.document_id):
        return False
    return evidence.quote is None or _share(evidence.quote, hit.passage.text) >= HELD_WORDS


def _citations(case: Case, citations: Sequence[Citation]) -> dict[str, float]:
    pairs = [[_cites(citation, e) for e in case.evidence] for citation in citations]
    if not pairs:
        return {}
    return {
        "citation_precision": fmean(any(row) for row in pairs),
        "citation_recall": fmean(any(rows) for rows in zip(*pairs, strict=True)),
    }


def _cites(citation: Citation, evidence: Evidence) -> bool:
    if evidence.document_id not in (None, citation.document_id):
        return False
    if evidence.quote is None:
        return True
    mine, theirs = _words(citation.quote), _words(evidence.quote)
    return bool(mine and theirs) and len(mine & theirs) >= SAME_WORDS * min(len(mine), len(theirs))


def judge(case: Case, answer: Answer, figures: Mapping[str, float]) -> tuple[bool | None, str]:
    """Whether an answer or a refusal is right (``None``: nothing to tell by), and why, as a sentence."""
    if answer.status == "error":
        return False, answer.error or "It failed."
    if answer.status == "not_found":
        return (False, "Refused, but it can be answered.") if case.answerable else (True, "Refused, rightly.")
    if not case.answerable:
        return False, "Answered, but nothing answers it."
    if any(_says(_prose(answer), expected) for expected in case.answers):
        return True, "Says what was expected."
    quoted = any(e.quote for e in case.evidence)
    if quoted or (case.evidence and not case.answers):
        cited = figures.get("citation_recall", 0) > 0
        return cited, "Cites what was expected." if cited else "Neither says nor cites what was expected."
    return (False, "Does not say what was expected.") if case.answers else (None, "Nothing to judge it by.")


def _prose(answer: Answer) -> str:
    """The text without its markers, which are no part of what is said."""
    return re.sub(r"\s*\[\d+\]", " ", answer.text)


def _says(text: str, expected: str) -> bool:
    figures = {word for word in _words(expected) if any(c.isdigit() for c in word)}
    enough = _share(expected, text) >= SAID_WORDS and figures <= _words(text)
    return _contains(text, expected) or enough


def _contains(text: str, expected: str) -> bool:
    plain, wanted = (" ".join(fold(word.text) for word in words(part)) for part in (text, expected))
    return bool(wanted) and f" {wanted} " in f" {plain} "


def _share(expected: str, text: str) -> float:
    """Which part of the words of ``expected`` stands in ``text``, in any form and order."""
    wanted = _words(expected)
    return len(wanted & _words(text)) / len(wanted) if wanted else 0.0


@lru_cache(maxsize=4096)
def _words(text: str) -> frozenset[str]:
    found = frozenset(word.stem for word in content_words(text))
    return found or stems(text)  # "no" and "both" are answers too


# --- what it comes to --------------------------------------------------------------------------------


def summarise(scores: Sequence[Score], receipt: Receipt) -> Evaluation:
    """The figures over all scores, and the scores with the worst first: wrong and sure of it."""
    figures: dict[str, tuple[float, int]] = {}
    judged = [score for score in scores if score.right is not None and score.answer.status != "error"]
    bins = _calibration(judged)
    for name in (name for group in FIGURES.values() for name in group):
        values = [score.figures[name] for score in scores if name in score.figures]
        if name == "quotes_exact":
            values = [float(exact) for score in scores for exact in score.exact]
        if values:
            figures[name] = fmean(values), len(values)
        elif name == "balanced" and {"answered_recall", "refused_recall"} <= set(figures):
            recalls = figures["answered_recall"], figures["refused_recall"]
            figures[name] = fmean(value for value, _ in recalls), sum(n for _, n in recalls)
        elif name == "calibration_error" and judged:
            gap = sum(n * abs(confidence - right) for confidence, right, n in bins) / len(judged)
            figures[name] = gap, len(judged)
    order = {False: 0, None: 1, True: 2}
    worst = sorted(scores, key=lambda s: (order[s.right], s.answer.confidence * (1 if s.right else -1)))
    return Evaluation(tuple(worst), figures, bins, _risk_coverage(scores), _seconds(scores), receipt)


def _calibration(judged: Sequence[Score]) -> tuple[tuple[float, float, int], ...]:
    bins: dict[int, list[Score]] = {}
    for one in judged:
        bins.setdefault(min(int(one.answer.confidence * BINS), BINS - 1), []).append(one)
    return tuple(
        (fmean(s.answer.confidence for s in inside), fmean(bool(s.right) for s in inside), len(inside))
        for _, inside in sorted(bins.items())
    )


def _risk_coverage(scores: Sequence[Score]) -> tuple[tuple[float, float], ...]:
    """How many are wrong of the answers given, if only the surest are given: (share given, share wrong)."""
    answered = [s for s in scores if s.answer.status == "answered" and s.right is not None]
    answered.sort(key=lambda s: -s.answer.confidence)
    points, wrong = [], 0
    for given, one in enumerate(answered, 1):
        wrong += not one.right
        last = given == len(answered)
        if last or answered[given].answer.confidence != one.answer.confidence:
            points.append((given / len(scores), wrong / given))
    return tuple(points)


def _seconds(scores: Sequence[Score]) -> dict[str, float]:
    """Percentiles of the time an answer took (the smallest time that at least so many did not exceed)."""
    times = sorted(score.answer.seconds for score in scores)
    if not times:
        return {}
    at = {name: times[math.ceil(share * len(times)) - 1] for name, share in PERCENTILES.items()}
    return {**at, "mean": fmean(times)}


def evaluation_text(found: Evaluation) -> str:
    """The figures for a terminal, each with its definition."""
    counts = found.counts
    lines = [_lead(counts)]
    for group, definitions in FIGURES.items():
        shown = [
            (name, *found.figures[name], text) for name, text in definitions.items() if name in found.figures
        ]
        if shown:
            lines += ["", group]
        lines += [f"  {name:20}{value:7.3f}  n={n:<6}{text}" for name, value, n, text in shown]
    times = ", ".join(f"{name} {value * 1000:.0f} ms" for name, value in found.seconds.items())
    wrong = [score for score in found.scores if score.right is False][:WORST]
    lines += ["", f"Time of an answer: {times}.", "", fill(JUDGING, 100)]
    if wrong:
        lines += ["", "The worst:"]
        lines += [f"  {s.case.id}  {excerpt(s.case.question)}  {s.reason}" for s in wrong]
    return plain("\n".join(lines))


def evaluation_html(found: Evaluation, title: str) -> Iterator[str]:
    """A page with the figures, the plots and every question, the worst first, in parts."""
    yield page.head_html(title, _lead(found.counts))
    for group, definitions in FIGURES.items():
        rows = [
            (name, f"{value:.3f}", str(n), definitions[name])
            for name, (value, n) in found.figures.items()
            if name in definitions
        ]
        if rows:
            yield page.table_html(group, ("figure", "mean", "n", "what it is"), rows)
    times = [(name, f"{value * 1000:.0f} ms") for name, value in found.seconds.items()]
    yield page.table_html("Time of an answer", ("percentile", "time"), times)
    yield f'<p class="lead">{escape(JUDGING)}</p>'
    yield from _plots(found)
    judged = ["unjudged" if s.right is None else "right" if s.right else "wrong" for s in found.scores]
    yield page.tools_html({name: judged.count(name) for name in ("wrong", "unjudged", "right")}, "questions")
    for n, (one, verdict) in enumerate(zip(found.scores, judged, strict=True), 1):
        yield page.answer_row(n, one.case.id, one.answer, _expected(one), verdict)
    yield page.foot_html(receipt_facts(found.receipt), ())


def _expected(one: Score) -> dict[str, str]:
    """What stands below a question: why it was judged so, and what was expected."""
    evidence = [": ".join(filter(None, (e.document_id, e.quote))) for e in one.case.evidence]
    expected = " | ".join(one.case.answers) if one.case.answerable else "no answer"
    return {"Judged": one.reason, "Expected": expected, "Evidence": " | ".join(evidence)}


def _plots(found: Evaluation) -> Iterator[str]:
    if found.risk_coverage:
        yield page.plot_html(
            "Risk and coverage",
            "If only the surest answers were given: the share of questions answered, and how many of these "
            "answers would be wrong.",
            ("share of questions answered", "share wrong"),
            found.risk_coverage,
        )
    if found.calibration:
        yield page.plot_html(
            "Reliability",
            "Confidence of answers and refusals against how many of them were right, a dot for each tenth of "
            "confidence, larger for more questions. On the dashed line confidence is what it says.",
            ("confidence", "share right"),
            [(confidence, right) for confidence, right, _ in found.calibration],
            sizes=[n for *_, n in found.calibration],
            ideal=True,
        )
    times = sorted(score.answer.seconds * 1000 for score in found.scores)
    if times and times[-1] > 0:
        yield page.plot_html(
            "Time",
            "The share of answers that were there after so many milliseconds.",
            ("milliseconds", "share answered"),
            [(0.0, 0.0), *((time, n / len(times)) for n, time in enumerate(times, 1))],
            x_max=times[-1],
        )


def _lead(counts: Mapping[str, int]) -> str:
    return (
        f"{counts['questions']} questions: {counts['answerable']} can be answered, {counts['unanswerable']} "
        f"cannot. {counts['answered']} answered, {counts['not_found']} refused, {counts['error']} failed."
    )
