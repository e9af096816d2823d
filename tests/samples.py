"""One short article in every format that ingestion reads, made on the spot, with a FAQ and an author note.

``article(folder, suffix)`` writes it and says where. Each format marks headings and questions in its own
way; what comes out must be the same story.
"""

from __future__ import annotations

import csv
import io
import json
import quopri
import zipfile
from collections.abc import Iterable, Mapping
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
MORE_FORMATS = ("odt", "epub", "rtf", "mhtml")


def article(folder: Path, suffix: str) -> Path:
    """The article as a file of one format."""
    path = folder / f"clock.{suffix}"
    if suffix == "pdf":
        _write_pdf(path)
    elif suffix == "docx":
        _write_docx(path)
    elif suffix in ("odt", "epub"):
        path.write_bytes(odt() if suffix == "odt" else epub())
    else:
        path.write_text(_TEXTS[suffix](), encoding="utf-8")
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


def mhtml() -> str:
    """The page as a browser saves it into one file."""
    page = quopri.encodestring(html().encode()).decode()
    return (
        "From: <Saved by Blink>\nSnapshot-Content-Location: https://courier.example/clock?from=feed\n"
        f"Subject: {TITLE}\nMIME-Version: 1.0\n"
        'Content-Type: multipart/related; type="text/html"; boundary="-+-b-+-"\n\n'
        "---+-b-+-\nContent-Type: text/html\nContent-Transfer-Encoding: quoted-printable\n"
        f"Content-Location: https://courier.example/clock\n\n{page}\n---+-b-+---\n"
    )


def rtf() -> str:
    """The plain text as Word saves it, with its properties and letters outside ASCII escaped."""
    year, month, day = map(int, DAY.split("-"))
    head = (
        rf"{{\info{{\title {TITLE}}}{{\author {AUTHOR}}}{{\*\company {PUBLISHER}}}"
        rf"{{\creatim\yr{year}\mo{month}\dy{day}\hr9\min30}}}}"
    )
    body = "".join(c if ord(c) < 128 else rf"\u{ord(c)}?" for c in plain_text())
    table = "\n".join(" | ".join(row) for row in ROWS)
    cells = "".join(r"\trowd\cellx2000\cellx4000 " + r"\cell ".join(row) + r"\cell\row " for row in ROWS)
    body = body.replace(table, cells).replace("\n", "\\par\n")
    return rf"{{\rtf1\ansi\ansicpg1252\deff0{{\fonttbl{{\f0 Arial;}}}}{head}\f0 {body}}}"


_TEXTS = {"txt": plain_text, "md": markdown, "html": html, "mhtml": mhtml, "rtf": rtf}


def zipped(parts: Mapping[str, str | bytes]) -> bytes:
    """A ZIP archive of these parts."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return made.getvalue()


def odt() -> bytes:
    """The article as LibreOffice stores it, its questions in bold type."""
    spaces = " ".join(
        f'xmlns:{prefix}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for prefix, name in {"office": "office", "text": "text", "table": "table", "style": "style",
                             "fo": "xsl-fo-compatible", "meta": "meta"}.items()
    )  # fmt: skip

    def heading(text: str, level: int) -> str:
        return f'<text:h text:outline-level="{level}">{text}</text:h>'

    def line(text: str, style: str = "Body") -> str:
        return f'<text:p text:style-name="{style}">{text}</text:p>'

    steps = "".join(f"<text:list-item>{line(step)}</text:list-item>" for step in STEPS)
    rows = "".join(
        "<table:table-row>"
        + "".join(f"<table:table-cell>{line(cell)}</table:table-cell>" for cell in row)
        + "</table:table-row>"
        for row in ROWS
    )
    faq = "".join(
        line(f'<text:span text:style-name="T1">{question}</text:span>') + line(answer)
        for question, answer in QUESTIONS
    )
    first, rest = LEAD.split(" ", 1)
    lead = f"{first}<text:s/>{rest}<text:note><text:note-body>{line('A note.')}</text:note-body></text:note>"
    content = (
        f"<office:document-content {spaces}><office:automatic-styles>"
        '<style:style style:name="T1"><style:text-properties fo:font-weight="bold"/></style:style>'
        "</office:automatic-styles><office:body><office:text>"
        f"<text:tracked-changes>{line('Struck out.')}</text:tracked-changes>"
        f"{heading(TITLE, 1)}{line(f'By {AUTHOR}, April 28, 2026')}{line(lead)}"
        f"{heading(REPAIR, 2)}{line(REPAIR_TEXT)}<text:list>{steps}</text:list>"
        f"<table:table>{rows}</table:table>{heading(FAQ, 2)}{faq}{heading(ABOUT, 2)}{line(ABOUT_TEXT)}"
        "</office:text></office:body></office:document-content>"
    )
    meta = (
        f'<office:document-meta {spaces} xmlns:dc="http://purl.org/dc/elements/1.1/"><office:meta>'
        f"<dc:title>{TITLE}</dc:title><meta:initial-creator>{AUTHOR}</meta:initial-creator>"
        f"<dc:creator>A Secretary</dc:creator><meta:creation-date>{DAY}T09:30:00</meta:creation-date>"
        "</office:meta></office:document-meta>"
    )
    return zipped(
        {
            "mimetype": "application/vnd.oasis.opendocument.text",
            "content.xml": content,
            "meta.xml": meta,
            "META-INF/manifest.xml": "<manifest/>",
        }
    )


def epub() -> bytes:
    """The article as a book of two chapters, behind a table of contents."""
    faq = "".join(f"<h3>{question}</h3><p>{answer}</p>" for question, answer in QUESTIONS)
    steps = "".join(f"<li>{step}</li>" for step in STEPS)
    rows = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in ROWS)
    pages = {
        "nav": "<nav><ol><li>One</li><li>Two</li></ol></nav>",
        "one": f"<h1>{TITLE}</h1><p>{LEAD}</p><h2>{REPAIR}</h2><p>{REPAIR_TEXT}</p>"
        f"<ul>{steps}</ul><table>{rows}</table>",
        "two": f"<h2>{FAQ}</h2>{faq}<h2>{ABOUT}</h2><p>{ABOUT_TEXT}</p>",
    }
    items = "".join(
        f'<item id="{name}" href="text/{name}%20.xhtml" media-type="application/xhtml+xml" {more}/>'
        for name, more in [("two", ""), ("nav", 'properties="nav"'), ("one", "")]
    )
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"<dc:title>{TITLE}</dc:title><dc:creator>{AUTHOR}</dc:creator><dc:publisher>{PUBLISHER}</dc:publisher>"
        f"<dc:date>{DAY}T00:00:00Z</dc:date><dc:language>en</dc:language></metadata>"
        f'<manifest>{items}</manifest><spine><itemref idref="nav"/><itemref idref="one"/>'
        '<itemref idref="two"/></spine></package>'
    )
    container = (
        '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
    )
    return zipped(
        {
            "mimetype": "application/epub+zip",
            "META-INF/container.xml": container,
            "OEBPS/book.opf": package,
            **{
                f"OEBPS/text/{name} .xhtml": f'<html xmlns="http://www.w3.org/1999/xhtml"><head><title>x</title>'
                f"</head><body>{body}</body></html>"
                for name, body in pages.items()
            },
        }
    )


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
