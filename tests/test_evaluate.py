"""Evaluation: figures that were worked out by hand, and question sets however they are written."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook

from kb.errors import NoSuchDocument, SourceError, UsageError
from kb.evaluate import (
    FIGURES,
    Case,
    Evaluation,
    Evidence,
    evaluate,
    evaluation_html,
    evaluation_text,
    read_cases,
    score,
    summarise,
)
from kb.outputs import Receipt
from kb.suggest import suggest, write_cases
from kb.types import Answer, Citation, Document, DocumentSummary, Filters, Hit, Passage, Section, Source, Turn

RECEIPT = Receipt("0.1.0", 3, "none", 2, "abc", {})
SHUT = "The harbour bridge was closed on 3 March 2026."
COST = "Repairs cost 41 million euros."
TEXT = f"{SHUT} {COST} Nora Blum called it overdue."
BRIDGE = Document("bridge.md", "bridge.md", "Bridge", TEXT, "text/markdown", "h1")
FERRY = Document("ferry.md", "ferry.md", "Ferry", "The ferry is named Marta.", "text/plain", "h2")


def cite(n: int, quote: str, document: Document = BRIDGE) -> Citation:
    start = document.text.find(quote)
    return Citation(
        n, document.id, document.title, None, None, None, None, None, None, start, start + len(quote), quote
    )


def hits(*documents: Document) -> tuple[Hit, ...]:
    return tuple(
        Hit(Passage(d.id, 0, 0, len(d.text), d.text), Source(d.title), 0.5, n)
        for n, d in enumerate(documents, 1)
    )


def text_of(document_id: str) -> str:
    return {d.id: d.text for d in (BRIDGE, FERRY)}[document_id]


def answered(
    text: str, *quotes: str, confidence: float = 0.75, found: Sequence[Document] = (BRIDGE,)
) -> Answer:
    citations = tuple(cite(n, quote) for n, quote in enumerate(quotes, 1))
    return Answer("Q?", "answered", text, (), citations, hits(*found), confidence, seconds=0.2)


REFUSED = Answer("Q?", "not_found", hits=hits(FERRY, BRIDGE), confidence=0.5, seconds=0.1)
FAILED = Answer("Q?", "error", error="It went wrong.")


# --- scoring -----------------------------------------------------------------------------------------


def test_retrieval_of_a_document() -> None:
    case = Case("1", "Q?", evidence=(Evidence("bridge.md"),))
    figures = score(case, REFUSED, text_of).figures
    assert {name: figures[name] for name in FIGURES["Retrieval"]} == {
        "hit@1": 0.0,
        "hit@5": 1.0,
        "hit@10": 1.0,
        "mrr": 0.5,
        "evidence_recall": 1.0,
    }
    unseen = score(replace(case, evidence=(Evidence("none.md"),)), REFUSED, text_of).figures
    assert [unseen[name] for name in FIGURES["Retrieval"]] == [0.0, 0.0, 0.0, 0.0, 0.0]


def test_ranks_count_documents_and_not_passages() -> None:
    case = Case("1", "Q?", evidence=(Evidence("bridge.md"),))
    answer = replace(REFUSED, hits=hits(FERRY, FERRY, FERRY, BRIDGE))
    assert score(case, answer, text_of).figures["mrr"] == 0.5


def test_evidence_recall_of_quotes() -> None:
    evidence = (
        Evidence("bridge.md", COST),
        Evidence(None, "The ferry was named Marta"),
        Evidence("bridge.md", "Moon"),
    )
    figures = score(Case("1", "Q?", evidence=evidence), REFUSED, text_of).figures
    assert figures["evidence_recall"] == pytest.approx(2 / 3)


def test_citations() -> None:
    case = Case("1", "Q?", evidence=(Evidence("bridge.md", SHUT), Evidence("bridge.md", COST)))
    figures = score(case, answered("…", SHUT, "Nora Blum called it overdue."), text_of).figures
    assert (figures["citation_precision"], figures["citation_recall"]) == (0.5, 0.5)
    elsewhere = replace(case, evidence=(Evidence("ferry.md", SHUT),))
    figures = score(elsewhere, answered("…", SHUT), text_of).figures
    assert (figures["citation_precision"], figures["citation_recall"]) == (0.0, 0.0)
    by_document = replace(case, evidence=(Evidence("bridge.md"),))
    assert score(by_document, answered("…", COST), text_of).figures["citation_precision"] == 1.0
    assert "citation_precision" not in score(case, REFUSED, text_of).figures


def test_a_quote_that_lies_is_noticed() -> None:
    lies = replace(cite(1, SHUT), quote="The harbour bridge was opened on 3 March 2026.")
    answer = replace(answered("…"), citations=(cite(1, COST), lies))
    assert score(Case("1", "Q?"), answer, text_of).exact == (True, False)


@pytest.mark.parametrize(
    ("said", "expected", "contains", "right"),
    [
        ("It was closed on 3 March 2026. [1]", "3 march 2026", 1.0, True),
        ("It cost 41 million euros. [1]", "41 million", 1.0, True),
        ("It cost 45 million euros. [1]", "41 million euros", 0.0, False),
        ("The council called the repair overdue. [1]", "Council leader called repairs overdue", 0.0, True),
        ("The council met. [1]", "Council leader called repairs overdue", 0.0, False),
        ("Yes, it is. [1]", "yes", 1.0, True),
        ("Nobody knows. [1]", "no", 0.0, False),
        ("It was row 7. [12]", "12", 0.0, False),  # a marker is no answer
    ],
)
def test_what_counts_as_saying_it(said: str, expected: str, contains: float, right: bool) -> None:
    found = score(Case("1", "Q?", answers=("other", expected)), answered(said), text_of)
    assert (found.figures["answer_contains"], found.right) == (contains, right)


@pytest.mark.parametrize(
    ("case", "answer", "right", "reason"),
    [
        (Case("1", "Q?"), answered("So."), None, "Nothing to judge it by."),
        (Case("1", "Q?"), REFUSED, False, "Refused, but it can be answered."),
        (Case("1", "Q?"), FAILED, False, "It went wrong."),
        (Case("1", "Q?", answerable=False), REFUSED, True, "Refused, rightly."),
        (Case("1", "Q?", answerable=False), answered("So."), False, "Answered, but nothing answers it."),
        (
            Case("1", "Q?", evidence=(Evidence("bridge.md"),)),
            answered("So.", COST),
            True,
            "Cites what was expected.",
        ),
        (
            Case("1", "Q?", ("Marta",), (Evidence("bridge.md"),)),
            answered("So.", COST),
            False,
            "Does not say what was expected.",
        ),
        (
            Case("1", "Q?", ("Marta",), (Evidence("bridge.md", COST),)),
            answered("So.", COST),
            True,
            "Cites what was expected.",
        ),
        (
            Case("1", "Q?", ("Marta",), (Evidence("bridge.md", COST),)),
            answered("So.", SHUT),
            False,
            "Neither says nor cites what was expected.",
        ),
    ],
)
def test_what_is_right(case: Case, answer: Answer, right: bool | None, reason: str) -> None:
    found = score(case, answer, text_of)
    assert (found.right, found.reason) == (right, reason)


# --- what it comes to --------------------------------------------------------------------------------


def evaluation() -> Evaluation:
    """Four that can be answered (two right, one wrong, one refused), two that cannot, one that failed."""
    can, cannot = Case("", "Q?", ("3 March 2026",)), Case("", "Q?", answerable=False)
    asked = [
        (replace(can, id="a"), answered(SHUT, SHUT, confidence=0.95)),
        (replace(can, id="b"), answered(SHUT, SHUT, confidence=0.55)),
        (replace(can, id="c"), answered("Marta.", confidence=0.65)),
        (replace(can, id="d"), replace(REFUSED, confidence=0.35)),
        (replace(cannot, id="e"), replace(REFUSED, confidence=0.85)),
        (replace(cannot, id="f"), answered("So.", confidence=0.85)),
        (replace(can, id="g"), FAILED),
    ]
    return summarise([score(case, answer, text_of) for case, answer in asked], RECEIPT)


def test_figures_worked_out_by_hand() -> None:
    figures = evaluation().figures
    assert figures["answered_precision"] == (0.75, 4)
    assert figures["answered_recall"] == (0.75, 4)
    assert figures["refused_precision"] == (0.5, 2)
    assert figures["refused_recall"] == (0.5, 2)
    assert figures["balanced"] == (0.625, 6)
    assert figures["right"] == (pytest.approx(3 / 7), 7)
    assert figures["quotes_exact"] == (1.0, 2)
    # Bins: .35 wrong, .55 right, .65 wrong, .85 right and wrong, .95 right.
    gaps = 0.35 + 0.45 + 0.65 + 2 * 0.35 + 0.05
    assert figures["calibration_error"] == (pytest.approx(gaps / 6), 6)
    assert [n for *_, n in evaluation().calibration] == [1, 1, 1, 2, 1]


def test_risk_and_coverage() -> None:
    # By confidence: a right, f wrong, c wrong, b right, of seven questions.
    expected = [(1 / 7, 0.0), (2 / 7, 1 / 2), (3 / 7, 2 / 3), (4 / 7, 1 / 2)]
    assert evaluation().risk_coverage == tuple(pytest.approx(point) for point in expected)


def test_answers_of_the_same_confidence_are_one_point() -> None:
    case = Case("1", "Q?", ("3 March 2026",))
    scores = [score(case, answered(text), text_of) for text in (SHUT, "Marta.")]
    assert (
        summarise(scores, RECEIPT).risk_coverage
        == summarise(scores[::-1], RECEIPT).risk_coverage
        == ((1.0, 0.5),)
    )


def test_the_worst_come_first() -> None:
    assert [one.case.id for one in evaluation().scores] == ["f", "c", "d", "g", "b", "e", "a"]


def test_percentiles() -> None:
    times = [n / 100 for n in range(1, 101)]
    scores = [score(Case("1", "Q?"), replace(REFUSED, seconds=t), text_of) for t in times]
    found = summarise(scores, RECEIPT).seconds
    assert (found["p50"], found["p90"], found["p99"], found["max"]) == (0.5, 0.9, 0.99, 1.0)
    assert summarise([], RECEIPT).seconds == {}


def test_text_and_json() -> None:
    found = evaluation()
    text = evaluation_text(found)
    assert text.startswith("7 questions: 5 can be answered, 2 cannot. 4 answered, 2 refused, 1 failed.")
    for definitions in FIGURES.values():
        for name, definition in definitions.items():
            assert (definition in text) is (name in found.figures)
    as_json = found.to_dict()
    assert json.loads(json.dumps(as_json)) == as_json
    assert as_json["figures"]["balanced"] == {"value": 0.625, "n": 6}
    assert as_json["rows"][0]["reason"] == "Answered, but nothing answers it."


def test_page() -> None:
    hostile = replace(evaluation().scores[0].case, id="<b>", question="<script>", answers=("<i>",))
    found = evaluation()
    shown = replace(found, scores=(replace(found.scores[0], case=hostile), *found.scores[1:]))
    html = "".join(evaluation_html(shown, "How <q> was answered"))
    assert html.count("<svg") == 3
    assert html.count("<script") == 1
    assert "<b>" not in html
    assert "<i>" not in html
    assert "Wrong 4" in html
    assert html.index("Answered, but nothing answers it.") < html.index("Says what was expected.")
    nothing = "".join(evaluation_html(summarise([], RECEIPT), "Nothing"))
    assert "<svg" not in nothing


# --- question sets -----------------------------------------------------------------------------------

CASES = [
    Case("a", "Who?", ("She", "Nora Blum"), (Evidence("a.md", "She did."),)),
    Case("b", "When?", (), (Evidence("a.md"), Evidence("b.md"))),
    Case("c", "Why?", answerable=False),
]


def as_csv(path: Path) -> None:
    path.write_text(
        "id,Question,Expected Answer,expected_document,expected_quote,answerable\n"
        "a,Who?,She|Nora Blum,a.md,She did.,true\nb,When?,,a.md | b.md,,\nc,Why?,,,,No\n",
        encoding="utf-8",
    )


def as_workbook(path: Path) -> None:
    book = Workbook()
    for line in (
        ("id", "question", "answer", "document", "quote", "unanswerable"),
        ("a", "Who?", "She\nNora Blum", "a.md", "She did.", None),
        ("b", "When?", None, "a.md|b.md", None, False),
        ("c", "Why?", None, None, None, True),
    ):
        book.active.append(line)
    book.save(path)


def as_jsonl(path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": "a", "question": "Who?", "answer": ["She", "Nora Blum"], "answerable": True,
         "evidence": [{"doc_id": "a.md", "quote": "She did."}]},
        {"id": "b", "question": "When?", "answer": None,
         "evidence": [{"doc_id": "a.md"}, {"document_id": "b.md"}]},
        {"id": "c", "question": "Why?", "answerable": False, "evidence": []},
    ]  # fmt: skip
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "write"), [("q.csv", as_csv), ("q.xlsx", as_workbook), ("queries.jsonl", as_jsonl)]
)
def test_a_question_set(tmp_path: Path, name: str, write: Callable[[Path], None]) -> None:
    write(tmp_path / name)
    assert read_cases(tmp_path / name) == CASES


def test_a_public_set_is_a_folder(tmp_path: Path) -> None:
    as_jsonl(tmp_path / "queries.jsonl")
    (tmp_path / "corpus.jsonl").write_text('{"id": "a.md", "text": "She did."}\n')
    assert read_cases(tmp_path) == CASES


def test_several_quotes_of_one_document_and_quotes_of_none(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"question": "1", "expected_quote": ["x", "y"], "expected_document": "a"},
        {"question": "2", "expected_quote": ["x", "y"], "expected_document": ["a", "b"]},
        {"question": "3", "expected_quote": "x"},
        {"question": "4", "evidence": ["x"]},
    ]
    (tmp_path / "q.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    assert [case.evidence for case in read_cases(tmp_path / "q.jsonl")] == [
        (Evidence("a", "x"), Evidence("a", "y")),
        (Evidence("a", "x"), Evidence("b", "y")),
        (Evidence(None, "x"),),
        (Evidence(None, "x"),),
    ]


@pytest.mark.parametrize(
    ("content", "error", "words"),
    [
        ("question\nWho?\n", UsageError, "does not say what is expected"),
        ("question,answerable\n", SourceError, "holds no question"),
        ("question,answerable\nWho?,perhaps\n", SourceError, "row 1 of q.csv is neither"),
        ("question,answerable\n,true\n", SourceError, "row 1 of q.csv will not do"),
        ("frage,answer\nWer?,Sie\n", UsageError, "no column question"),
    ],
)
def test_a_question_set_that_will_not_do(
    tmp_path: Path, content: str, error: type[Exception], words: str
) -> None:
    (tmp_path / "q.csv").write_text(content, encoding="utf-8")
    with pytest.raises(error, match=words):
        read_cases(tmp_path / "q.csv")


class Shelf:
    """Two documents; every question is answered with the first."""

    def __init__(self, *documents: Document) -> None:
        self.shelf = {document.id: document for document in documents or (BRIDGE, FERRY)}
        self.asked: list[tuple[str, Filters, tuple[Turn, ...]]] = []

    def ask(
        self,
        question: str,
        *,
        filters: Filters = Filters(),
        history: Sequence[Turn] = (),
        top: int | None = None,
    ) -> Answer:
        self.asked.append((question, filters, tuple(history)))
        return replace(answered(SHUT, SHUT), question=question)

    def document(self, document_id: str) -> Document:
        if document_id not in self.shelf:
            raise NoSuchDocument(document_id)
        return self.shelf[document_id]

    def documents(self) -> list[DocumentSummary]:
        return [
            DocumentSummary(
                d.id, d.title, None, None, None, None, d.media_type, len(d.text), 1, d.content_hash
            )
            for d in self.shelf.values()
        ]


def test_questions_are_asked_with_their_filters_and_history(caplog: pytest.LogCaptureFixture) -> None:
    shelf, seen = Shelf(), []
    case = Case(
        "1",
        "When?",
        evidence=(Evidence("bridge.md"), Evidence("gone.md")),
        filters=Filters(("Post",)),
        history=(Turn("user", "Who?"),),
    )
    with caplog.at_level(logging.WARNING, "kb.evaluate"):
        found = evaluate(shelf, [case], RECEIPT, progress=lambda *at: seen.append(at))
    assert shelf.asked == [("When?", Filters(("Post",)), (Turn("user", "Who?"),))]
    assert seen == [(1, 1, "1")]
    assert found.figures["hit@1"] == (1.0, 1)
    assert found.figures["evidence_recall"] == (0.5, 1)
    assert "1 of 2 expected documents are not here: gone.md" in caplog.text


def test_a_set_about_other_documents_is_refused() -> None:
    with pytest.raises(UsageError, match=r"none of the 1 expected documents .* ingest them first"):
        evaluate(Shelf(), [Case("1", "Q?", evidence=(Evidence("other.md"),))], RECEIPT)


def test_a_real_library(library: Any, tmp_path: Path) -> None:
    rows = suggest(library, 20)
    write_cases(tmp_path / "q.jsonl", rows)
    cases = read_cases(tmp_path / "q.jsonl")
    for case in cases:
        (evidence,) = case.evidence
        assert evidence.quote
        assert evidence.quote in library.document(evidence.document_id).text
    found = evaluate(library, cases, RECEIPT)
    assert found.figures["quotes_exact"][0] == 1.0
    assert found.figures["hit@5"][0] == 1.0


# --- drafts ------------------------------------------------------------------------------------------


def drafts(text: str, *sections: Section) -> list[dict[str, str]]:
    return suggest(Shelf(Document("a.md", "a.md", "T", text, "text/plain", "h", sections=sections)), 50)


@pytest.mark.parametrize(
    ("sentence", "question", "answer"),
    [
        (
            "The harbour bridge near Oslo was closed to lorries on 3 March 2026.",
            "The harbour bridge near Oslo was closed to lorries when?",
            "3 March 2026",
        ),
        (
            "Council leader Nora Blum has called the repair overdue since May 2024.",
            "Council leader Nora Blum has called the repair overdue since when?",
            "May 2024",
        ),
        (
            "The repair of the Oslo bridge is expected to cost 41 million euros.",
            "The repair of the Oslo bridge is expected to cost how much?",
            "41 million euros",
        ),
        (
            "Growers in the Lenne valley lost about 60 percent of their apple blossom.",
            "Growers in the Lenne valley lost about what percentage of their apple blossom?",
            "60 percent",
        ),
        (
            "The city council of Oslo approved the whole repair by 31 votes.",
            "The city council of Oslo approved the whole repair by how many votes?",
            "31",
        ),
    ],
)
def test_a_sentence_becomes_a_question(sentence: str, question: str, answer: str) -> None:
    (row,) = drafts(sentence)
    assert (row["question"], row["expected_answer"], row["expected_quote"]) == (question, answer, sentence)
    assert (row["id"], row["expected_document"], row["answerable"]) == ("s1", "a.md", "true")


@pytest.mark.parametrize(
    "sentence",
    [
        "It was closed to all lorries of Oslo on 3 March 2026.",  # what was?
        "Closed on 3 March 2026.",
        "The harbour bridge near Oslo was closed to lorries, and that is all.",
        "The council of Oslo spoke of one of the worst springs since the war.",
        "the harbour bridge near Oslo was closed to lorries on 3 March 2026.",
        "The bridge over the river was closed to all lorries on 3 March 2026.",  # no name: which bridge?
        "She said “the Oslo bridge was closed to lorries on 3 March 2026.”",
        "Oslo closed the bridge to lorries last week, the Harbour Post reported on 3 March 2026.",
        "The Energy Department of the country has closed a $1 billion loan for Oslo.",
    ],
)
def test_a_sentence_that_makes_no_question(sentence: str) -> None:
    assert drafts(sentence) == []


def test_the_questions_of_the_documents_come_first_and_each_document_in_turn() -> None:
    text = "Repairs\n\nWho called it overdue?\n\nNora Blum did. She leads the council."
    start = text.index("Who")
    sections = (Section("Repairs", 1, 0), Section("Who called it overdue?", 2, start))
    faq = Document("faq.md", "faq.md", "T", text, "text/plain", "h", sections=sections)
    plain = Document(
        "plain.md",
        "plain.md",
        "T",
        "The Oslo bridge was closed to all lorries on 3 March 2026. "
        "The repair in Oslo is expected to cost $41 million.",
        "text/plain",
        "h",
    )
    rows = suggest(Shelf(plain, faq), 50)
    assert [row["expected_document"] for row in rows] == ["plain.md", "faq.md", "plain.md"]
    assert (rows[1]["question"], rows[1]["expected_quote"]) == ("Who called it overdue?", "Nora Blum did.")
    assert suggest(Shelf(plain, faq), 2) == rows[:2]


@pytest.mark.parametrize("name", ["q.csv", "q.xlsx", "q.jsonl"])
def test_drafts_can_be_read_as_a_question_set(tmp_path: Path, name: str) -> None:
    rows = drafts("The Oslo bridge | was closed. The Oslo bridge was closed to all lorries on 3 March 2026.")
    rows = [{**row, "expected_document": "=a.md"} for row in rows]
    write_cases(tmp_path / name, rows)
    (case,) = read_cases(tmp_path / name)
    assert (case.id, case.answers) == ("s1", ("3 March 2026",))
    assert case.evidence == (Evidence("=a.md", rows[0]["expected_quote"]),)
    with pytest.raises(UsageError, match="is there already"):
        write_cases(tmp_path / name, rows)
    with pytest.raises(UsageError, match=r"ends in \.csv"):
        write_cases(tmp_path / "q.txt", rows)
