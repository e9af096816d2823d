"""One short article in every format that ingestion reads, made on the spot, with a FAQ and an author note.

``article(folder, suffix)`` writes it and says where. Each format marks headings and questions in its own
way; what comes out must be the same story.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

TITLE = "Town hall clock runs again after nine years"
AUTHOR = "Ida Brandt"
PUBLISHER = "The Valley Courier"
DAY = "2026-04-28"
LEAD = (
    "The clock on the town hall of Ostrau has been running again since Tuesday. It had stood still for nine "
    "years, because no workshop in the region could make the missing gear wheel for it any more."
)
REPAIR = "A new gear wheel"
REPAIR_TEXT = (
    "The gear wheel was cut by the watchmaker Lene Vogt from an old drawing that the town archive had kept. "
    "The work took her eleven weeks and cost 8,400 euros."
)
STEPS = ["Take down the hands", "Cut the wheel", "Set the strike"]
ROWS = [["Year", "Visitors"], ["2024", "1,200"], ["2025", "900"]]
FAQ = "Key Questions"
QUESTIONS = [
    ("Who paid for the repair?", "The repair was paid for by a collection among the citizens of Ostrau."),
    (
        "How often does the clock strike?",
        "The clock strikes every quarter of an hour from six in the morning.",
    ),
]
ABOUT = "About Ida Brandt"
ABOUT_TEXT = "Ida Brandt writes about buildings and the people who look after them."

FORMATS = ("txt", "md", "html", "pdf", "docx")


def article(folder: Path, suffix: str) -> Path:
    """The article as a file of one format."""
    path = folder / f"clock.{suffix}"
    if suffix == "pdf":
        _write_pdf(path)
    elif suffix == "docx":
        _write_docx(path)
    else:
        path.write_text({"txt": plain_text, "md": markdown, "html": html}[suffix](), encoding="utf-8")
    return path


def plain_text() -> str:
    faq = "\n".join(f"▸ {question}\n{answer}" for question, answer in QUESTIONS)
    steps = "\n".join(f"- {step}" for step in STEPS)
    table = "\n".join(" | ".join(row) for row in ROWS)
    return (
        f"{TITLE}\n\nBy {AUTHOR}\n\nApril 28, 2026\n\n{LEAD}\n\n"
        f"**{REPAIR}**\n\n{REPAIR_TEXT}\n\n{steps}\n\n{table}\n\n"
        f"{FAQ}\n\n{faq}\n\n{ABOUT}\n\n{ABOUT_TEXT}\n"
    )


def markdown() -> str:
    faq = "\n\n".join(f"### {question}\n\n{answer}" for question, answer in QUESTIONS)
    steps = "\n".join(f"* {step}" for step in STEPS)
    head, *rows = ["| " + " | ".join(row) + " |" for row in ROWS]
    table = "\n".join([head, "|---|---|", *rows])
    return (
        f'---\ntitle: "{TITLE}"\nauthor: {AUTHOR}\npublisher: {PUBLISHER}\ndate: {DAY}\nlang: en\n'
        f"url: https://courier.example/clock\n---\n\n# {TITLE}\n\n{LEAD}\n\n## {REPAIR}\n\n"
        f"{REPAIR_TEXT}\n\n{steps}\n\n{table}\n\n## {FAQ}\n\n{faq}\n\n## {ABOUT}\n\n{ABOUT_TEXT}\n"
    )


def html(*, faq: str | None = None) -> str:
    """The article as a news page with menu, cookie note and teasers; ``faq`` replaces its questions."""
    questions = "".join(f"<h3>{question}</h3><p>{answer}</p>" for question, answer in QUESTIONS)
    steps = "".join(f"<li>{step}</li>" for step in STEPS)
    rows = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in ROWS)
    linked = {
        "@context": "https://schema.org",
        "@graph": [
            {"@type": "BreadcrumbList", "name": "Home"},
            {
                "@type": ["NewsArticle"],
                "headline": TITLE,
                "author": [{"@type": "Person", "name": AUTHOR}],
                "publisher": {"@type": "Organization", "name": PUBLISHER},
                "datePublished": f"{DAY}T06:30:00+02:00",
            },
        ],
    }
    return f"""<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{TITLE} | {PUBLISHER}</title>
<link rel="canonical" href="https://courier.example/clock">
<script type="application/ld+json">{json.dumps(linked)}</script></head><body>
<div class="cookie-note"><p>We bake our own cookies here.</p><button>Accept</button></div>
<nav><ul><li><a href="/">Front page</a></li><li><a href="/sport">Sport</a></li></ul></nav>
<main><article><h1>{TITLE}</h1>
<p class="byline">By <a href="/ida">{AUTHOR}</a> · <time>28 April 2026</time></p>
<p>{LEAD}</p><h2>{REPAIR}</h2><p>{REPAIR_TEXT}</p><ul>{steps}</ul>
<table>{rows}</table><h2>{FAQ}</h2>{faq or questions}<h2>{ABOUT}</h2><p>{ABOUT_TEXT}</p></article></main>
<aside><h2>Related</h2><p><a href="/x">Cat found on church tower</a></p></aside>
<footer><p>All rights reserved to the Courier.</p></footer></body></html>"""


def _write_docx(path: Path) -> None:
    from docx import Document

    document = Document()
    core = document.core_properties
    core.title, core.author, core.created = TITLE, AUTHOR, datetime.fromisoformat(DAY)
    document.add_heading(TITLE, 0)
    document.add_paragraph(f"By {AUTHOR}, April 28, 2026")
    document.add_paragraph(LEAD)
    document.add_heading(REPAIR, 2)
    document.add_paragraph(REPAIR_TEXT)
    for step in STEPS:
        document.add_paragraph(step, style="List Bullet")
    table = document.add_table(rows=0, cols=2)
    for row in ROWS:
        for cell, text in zip(table.add_row().cells, row, strict=True):
            cell.text = text
    document.add_heading(FAQ, 2)
    for question, answer in QUESTIONS:
        document.add_paragraph().add_run(question).bold = True
        document.add_paragraph(answer)
    document.add_heading(ABOUT, 2)
    document.add_paragraph(ABOUT_TEXT)
    document.save(str(path))


def _write_pdf(path: Path) -> None:
    """Two pages with a running head and page numbers."""
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate, Spacer, Table

    styles = getSampleStyleSheet()
    story = [Paragraph(text, styles["BodyText"]) for text in (f"By {AUTHOR}", LEAD)]
    story.insert(0, Paragraph(TITLE, styles["Title"]))
    story += [Paragraph(REPAIR, styles["Heading2"]), Paragraph(REPAIR_TEXT, styles["BodyText"])]
    story += [Paragraph(f"• {step}", styles["BodyText"]) for step in STEPS]
    story += [Table(ROWS, colWidths=[120, 120]), PageBreak(), Paragraph(FAQ, styles["Heading2"])]
    for question, answer in QUESTIONS:
        story += [Paragraph(question, styles["Heading3"]), Paragraph(answer, styles["BodyText"])]
    story += [Spacer(1, 12), Paragraph(ABOUT, styles["Heading2"]), Paragraph(ABOUT_TEXT, styles["BodyText"])]

    def decorate(canvas: object, document: object) -> None:
        canvas.drawString(72, 800, "The Valley Courier, local news")  # type: ignore[attr-defined]
        canvas.drawString(300, 30, str(document.page))  # type: ignore[attr-defined]

    template = SimpleDocTemplate(str(path), title=TITLE, author=AUTHOR, lang="en-GB")
    template.build(story, onFirstPage=decorate, onLaterPages=decorate)


def pdf(path: Path, pages: Iterable[Iterable[str | tuple[str, ...]]]) -> Path:
    """A PDF of given lines, page by page; the pieces of a tuple stand side by side, 160 points apart."""
    from reportlab.pdfgen.canvas import Canvas

    canvas = Canvas(str(path))
    for lines in pages:
        for number, line in enumerate(lines):
            for column, piece in enumerate(line if isinstance(line, tuple) else (line,)):
                text = canvas.beginText(72 + 160 * column, 770 - 14 * number)
                text.textLine(piece)
                canvas.drawText(text)
        canvas.showPage()
    canvas.save()
    return path


RECORDS = [
    {"ID": "r1", "Headline": "Bees return", "Body": "The bees are back. They came early.",
     "Outlet": "Field Notes", "Byline": "Jo Lind", "PubDate": "3 May 2026",
     "Link": "https://field.example/bees", "Lang": "en"},
    {"ID": "r2", "Headline": "Rain at last", "Body": "It rained for two days, the first rain since March.",
     "Outlet": "Field Notes", "Byline": "", "PubDate": "31 February 2026", "Link": "", "Lang": ""},
]  # fmt: skip


def records(folder: Path, suffix: str) -> Path:
    """Two records as ``csv``, ``tsv`` or ``jsonl``; the second has an impossible date and empty fields."""
    path = folder / f"records.{suffix}"
    if suffix == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in RECORDS), encoding="utf-8")
        return path
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(RECORDS[0]), delimiter="\t" if suffix == "tsv" else ",")
        writer.writeheader()
        writer.writerows(RECORDS)
    return path
