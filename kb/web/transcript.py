"""A conversation, or one answer of it, as a file to hand on: Markdown, a web page, or Word.

Each is made of the parts that the reports of a batch are made of, ends with the same receipt, and holds no
time of day.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kb import page, render
from kb.outputs import Receipt, new_receipt, receipt_facts, receipt_lines, with_sources
from kb.pack import add_citation, new_word_file, without_time, writable
from kb.types import Answer, DocumentSummary

Make = Callable[[Sequence[Answer], Receipt, str], str | bytes]


def transcript(
    answers: Sequence[Answer], info: Mapping[str, Any], documents: Sequence[DocumentSummary], suffix: str
) -> bytes:
    """Questions, answers and their sources as a file of the kind that ``suffix`` names.

    ``info`` and ``documents`` are those of the knowledge base, for the receipt.
    """
    title = answers[0].question if len(answers) == 1 else "Questions and answers"
    cited = {citation.document_id for answer in answers for citation in answer.citations}
    receipt = with_sources(new_receipt(info, documents, {"mode": "ask"}), cited, documents)
    made = FORMATS[suffix](answers, receipt, title)
    return made if isinstance(made, bytes) else made.encode("utf-8", "replace")


def _html(answers: Sequence[Answer], receipt: Receipt, title: str) -> str:
    sources = ((s.document_id, s.title or "", s.content_hash or "") for s in receipt.sources)
    rows = (page.answer_row(n, str(n), answer, {}) for n, answer in enumerate(answers, 1))
    return "".join(
        (
            page.head_html(title, _lead(answers)),
            page.tools_html(Counter(answer.status for answer in answers), "questions"),
            *rows,
            page.foot_html(receipt_facts(receipt), sources),
        )
    )


def _markdown(answers: Sequence[Answer], receipt: Receipt, title: str) -> str:
    parts = [f"# {render.escape_markdown(title)}", _lead(answers)]
    for n, answer in enumerate(answers, 1):
        head = f"## {n}\\. {render.escape_markdown(answer.question)}"
        parts += [head] if len(answers) > 1 else []
        parts.append(render.answer_markdown(answer, str(n)))
    return "\n\n".join([*parts, "## Receipt", receipt_lines(receipt)]) + "\n"


def _docx(answers: Sequence[Answer], receipt: Receipt, title: str) -> bytes:
    file = new_word_file(title)
    file.add_paragraph(_lead(answers))
    for answer in answers:
        if len(answers) > 1:
            file.add_heading(writable(answer.question), 1)
        file.add_paragraph(writable(answer.text or answer.error or render.REFUSAL))
        for notice in answer.notices:
            file.add_paragraph().add_run(writable(notice)).italic = True
        for citation in answer.citations:
            add_citation(file, citation, numbered=True)
    file.add_heading("Receipt", 2)
    for name, value in receipt_facts(receipt):
        file.add_paragraph(writable(f"{name}: {value}"))
    return without_time(file)


def _lead(answers: Sequence[Answer]) -> str:
    answered = sum(answer.status == "answered" for answer in answers)
    return f"{render.count(len(answers), 'question')}, {answered} answered. Every sentence cites its source."


FORMATS: Mapping[str, Make] = {".md": _markdown, ".html": _html, ".docx": _docx}
