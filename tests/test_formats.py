"""Slides, workbooks, messages and archives; files under a password; and files made to do harm."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from email.message import EmailMessage
from functools import cache
from pathlib import Path

import pytest
import samples
from openpyxl import Workbook

from ingest import worker
from ingest.load import Loaded, Options, kind_of, parse
from kb.errors import NotADocument, SourceError
from kb.types import Document

A = "http://schemas.openxmlformats.org/drawingml/2006/main"
P = "http://schemas.openxmlformats.org/presentationml/2006/main"
R = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
RELS = "http://schemas.openxmlformats.org/package/2006/relationships"
SECRET = "open sesame"


def loaded(data: bytes, name: str, **options: object) -> Loaded:
    return parse(data, name, source=f"/{name}", name=name, options=Options(**options))  # type: ignore[arg-type]


def one(data: bytes, name: str, **options: object) -> Document:
    (document,) = loaded(data, name, **options).documents
    return document


def test_rich_text_has_the_properties_that_stand_at_its_head() -> None:
    """The body repeats none of them, so that nothing else can have found them."""
    when = r"\yr2026\mo5\dy3\hr9\min0"
    names = r"{\title Harbour news}{\author Anna Lindt}{\company The Quay}"
    head = rf"{{\info{names}{{\creatim{when}}}{{\revtim{when.replace('dy3', 'dy5')}}}}}"
    document = one(rf"{{\rtf1\ansi\deff0 {head} The bridge was closed to lorries.\par}}".encode(), "a.rtf")
    assert (document.title, document.author, document.publisher) == ("Harbour news", "Anna Lindt", "The Quay")
    assert (document.published, document.updated) == ("2026-05-03", "2026-05-05")


def by_id(result: Loaded) -> dict[str, str]:
    return {document.id: document.text for document in result.documents}


# ----------------------------------------------------------------------------------------- slides


def shape(place: str, *lines: str) -> str:
    paragraphs = "".join(f"<a:p><a:r><a:t>{line}</a:t></a:r></a:p>" for line in lines)
    head = f'<p:nvSpPr><p:nvPr><p:ph type="{place}"/></p:nvPr></p:nvSpPr>'
    return f"<p:sp>{head}<p:txBody>{paragraphs}</p:txBody></p:sp>"


def presentation() -> bytes:
    """Two slides, stored in the other order, the second with a note and a table."""

    def slide(*shapes: str) -> str:
        return f'<p:sld xmlns:p="{P}" xmlns:a="{A}"><p:cSld>{"".join(shapes)}</p:cSld></p:sld>'

    def rels(**targets: str) -> str:
        links = "".join(f'<Relationship Id="{name}" Target="{to}"/>' for name, to in targets.items())
        return f'<Relationships xmlns="{RELS}">{links}</Relationships>'

    rows = "".join(
        "<a:tr>"
        + "".join(f"<a:tc><a:txBody><a:p><a:t>{c}</a:t></a:p></a:txBody></a:tc>" for c in row)
        + "</a:tr>"
        for row in samples.ROWS
    )
    return samples.zipped(
        {
            "ppt/presentation.xml": f'<p:presentation xmlns:p="{P}" xmlns:r="{R}"><p:sldIdLst>'
            '<p:sldId r:id="a"/><p:sldId r:id="b"/></p:sldIdLst></p:presentation>',
            "ppt/_rels/presentation.xml.rels": rels(a="slides/slide2.xml", b="slides/slide1.xml"),
            "ppt/slides/slide1.xml": slide(
                shape("title", "Costs"), f"<a:tbl>{rows}</a:tbl>", shape("sldNum", "2")
            ),
            "ppt/slides/_rels/slide1.xml.rels": rels(n="../notesSlides/notesSlide1.xml"),
            "ppt/slides/slide2.xml": slide(
                shape("ctrTitle", "The clock"), shape("body", "It runs.", "At last.")
            ),
            "ppt/notesSlides/notesSlide1.xml": slide(
                shape("body", "Mention the collection."), shape("sldImg", "x")
            ),
            "docProps/core.xml": '<c xmlns:dc="http://purl.org/dc/elements/1.1/" '
            'xmlns:dcterms="http://purl.org/dc/terms/"><dc:title>Clock talk</dc:title>'
            f"<dc:creator>{samples.AUTHOR}</dc:creator><dcterms:created>2026-04-28T08:00:00Z</dcterms:created></c>",
        }
    )


def test_slides_are_pages_in_the_order_of_the_talk() -> None:
    document = one(presentation(), "talk.pptx")
    assert document.text == (
        "The clock\n\nIt runs.\n\nAt last.\n\n"
        "Costs\n\nYear | Visitors\n2024 | 1,200\n2025 | 900\n\nMention the collection."
    )
    assert [document.page_at(document.text.index(word)) for word in ("It runs", "1,200", "Mention")] == [
        1,
        2,
        2,
    ]
    assert [section.title for section in document.sections] == ["The clock", "Costs"]
    assert (document.title, document.author, document.published) == (
        "Clock talk",
        samples.AUTHOR,
        "2026-04-28",
    )


# -------------------------------------------------------------------------------------- workbooks


def workbook(**sheets: list[list[object]]) -> bytes:
    book = Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    data = io.BytesIO()
    book.save(data)
    return data.getvalue()


def test_a_workbook_of_articles_is_a_document_a_row() -> None:
    result = loaded(
        workbook(
            Notes=[["nothing"]],
            Articles=[["ID", "Headline", "Body"], ["r1", "Bees return", "The bees are back."]],
        ),
        "articles.xlsx",
    )
    assert by_id(result) == {"r1": "The bees are back."}
    assert result.documents[0].title == "Bees return"


def test_any_other_workbook_is_one_document_of_tables() -> None:
    document = one(workbook(Visitors=samples.ROWS, Costs=[["Wheel", 8400.0], ["Total", None]]), "clock.xlsx")
    assert (
        document.text
        == "Visitors\n\nYear | Visitors\n2024 | 1,200\n2025 | 900\n\nCosts\n\nWheel | 8400\nTotal"
    )


def test_a_list_of_questions_is_no_document() -> None:
    with pytest.raises(NotADocument, match="kbqa batch"):
        loaded(workbook(Sheet=[["question"], ["Why?"]]), "questions.xlsx")


# ------------------------------------------------------------------------------------------ records


def test_json_is_a_list_an_envelope_or_one_article() -> None:
    article = {"id": "r1", "title": "Bees", "text": "The bees are back."}
    for value in ([article], {"status": "ok", "articles": [article]}, article):
        assert by_id(loaded(json.dumps(value).encode(), "a.json")) == {"r1": "The bees are back."}
    with pytest.raises(NotADocument):
        loaded(b'{"name": "package", "version": 3}', "package.json")


def test_columns_can_be_named() -> None:
    data = b"kopf,inhalt,stand\nBees,The bees are back.,2026-05-03\n"
    with pytest.raises(SourceError, match="--map"):
        loaded(data, "a.csv")
    document = one(data, "a.csv", columns=(("title", "Kopf"), ("text", "inhalt"), ("published", "stand")))
    assert (document.title, document.text, document.published) == ("Bees", "The bees are back.", "2026-05-03")


# ----------------------------------------------------------------------------------------- messages


def message(subject: str = "Clock repaired", text: str = "The clock runs again.\n") -> EmailMessage:
    mail = EmailMessage()
    mail["Subject"], mail["From"] = subject, '"Brandt, Ida" <ida@courier.example>'
    mail["Date"] = "Tue, 28 Apr 2026 09:30:00 +0200"
    mail.set_content(text)
    mail.add_alternative(f"<p>{text}</p>", subtype="html")
    return mail


def test_an_email_and_what_is_attached() -> None:
    mail = message()
    mail.add_attachment(b"The bill: 8,400 euros.", maintype="text", subtype="plain", filename="../bill.txt")
    mail.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="photo.png")
    result = loaded(mail.as_bytes(), "clock.eml")
    assert by_id(result) == {
        "clock.eml": "The clock runs again.",
        "clock.eml/.._bill.txt": "The bill: 8,400 euros.",
    }
    head = result.documents[0]
    assert (head.title, head.author, head.published) == (
        "Clock repaired",
        "Brandt, Ida",
        "2026-04-28T09:30:00+02:00",
    )


def test_a_mailbox_is_a_document_a_message() -> None:
    box = b"".join(
        b"From ida@courier.example Tue Apr 28 09:30:00 2026\n" + message(text=text).as_bytes() + b"\n\n"
        for text in ("One.\n", "Two.\n\n>From here on it rained.\n")
    )
    assert list(by_id(loaded(box, "clock.mbox")).values()) == ["One.", "Two.\n\nFrom here on it rained."]


def test_an_encrypted_email_says_so() -> None:
    with pytest.raises(SourceError, match="e-mail is encrypted"):
        loaded(
            b"Subject: x\nMIME-Version: 1.0\nContent-Type: multipart/encrypted; boundary=b\n\n--b--\n",
            "a.eml",
        )


# ----------------------------------------------------------------------------------------- archives


def test_an_archive_is_its_files() -> None:
    inner = samples.zipped({"deep.txt": "Deep text."})
    records = json.dumps({"id": "r1", "text": "A row."}) + "\n"
    result = loaded(
        samples.zipped(
            {
                "a/one.txt": "One text.",
                "a/.hidden.txt": "No.",
                "photo.png": b"\x89PNG",
                "broken.pdf": b"%PDF-1.4 no",
                "inner.zip": inner,
                "x.jsonl": records,
                "y.jsonl": records,
            }
        ),
        "news.zip",
    )
    assert by_id(result) == {
        "news.zip/a/one.txt": "One text.",
        "news.zip/inner.zip/deep.txt": "Deep text.",
        "r1": "A row.",
        "news.zip/y.jsonl#r1": "A row.",
    }
    assert [failure.source for failure in result.failures] == ["/news.zip#broken.pdf"]


def test_paths_in_an_archive_lead_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = samples.zipped({"../../up.txt": "Up.", "/etc/root.txt": "Root.", "..\\back.txt": "Back."})
    assert sorted(by_id(loaded(data, "a.zip"))) == ["a.zip/back.txt", "a.zip/etc/root.txt", "a.zip/up.txt"]
    assert list(tmp_path.iterdir()) == []


def test_archives_in_archives_have_an_end() -> None:
    data = b"The core."
    for depth in range(9):
        data = samples.zipped({"core.txt" if depth == 0 else "next.zip": data})
    result = loaded(data, "a.zip")
    assert result.documents == ()
    assert "too deep" in result.failures[0].error


# --------------------------------------------------------------------------------------- passwords


def locked_office(data: bytes) -> bytes:
    from msoffcrypto.format.ooxml import OOXMLFile

    made = io.BytesIO()
    OOXMLFile(io.BytesIO(data)).encrypt(SECRET, made)
    return made.getvalue()


def locked_pdf(data: bytes) -> bytes:
    from pypdf import PdfReader, PdfWriter

    writer, made = PdfWriter(clone_from=PdfReader(io.BytesIO(data))), io.BytesIO()
    writer.encrypt(SECRET, algorithm="AES-256")
    writer.write(made)
    return made.getvalue()


@pytest.mark.parametrize("suffix", ["pdf", "docx"])
def test_a_password_opens_what_is_encrypted(tmp_path: Path, suffix: str) -> None:
    plain = samples.article(tmp_path, suffix).read_bytes()
    data = locked_pdf(plain) if suffix == "pdf" else locked_office(plain)
    name = f"clock.{suffix}"
    with pytest.raises(SourceError, match="is encrypted: give its password with --password"):
        loaded(data, name)
    with pytest.raises(SourceError, match="does not open"):
        loaded(data, name, password="wrong")
    assert one(data, name, password=SECRET).text == one(plain, name).text


def test_old_office_files_are_named_not_misread() -> None:
    with pytest.raises(SourceError, match="old kind or an Outlook message"):
        loaded(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "a.doc")
    assert (
        one(samples.rtf().encode(), "a.doc").media_type == "application/rtf"
    )  # Word reads it under that name too


# -------------------------------------------------------------------------------------------- harm


@cache
def bomb(**parts: int) -> bytes:
    """An archive whose parts are so many megabytes of blanks."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, size in parts.items():
            with archive.open(name, "w", force_zip64=True) as part:
                for _ in range(size):
                    part.write(b" " * (1 << 20))
    return made.getvalue()


@pytest.mark.parametrize("name", ["a.zip", "a.docx", "a.odt", "a.xlsx", "a.pptx", "a.epub"])
def test_a_bomb_is_refused_before_it_is_unpacked(name: str) -> None:
    with pytest.raises(SourceError, match="unpacks to 300 MB"):
        loaded(bomb(x=300), name)


ENTITIES = (
    '<!DOCTYPE x [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY file SYSTEM "file:///etc/passwd">]>'
)


def with_entities(data: bytes, part: str, word: str) -> bytes:
    """An archive with entities defined in one part, and two of them put before a word."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts: Mapping[str, bytes] = {name: archive.read(name) for name in archive.namelist()}
    text = parts[part].decode()
    head, text = (
        (text.split("?>", 1)[0] + "?>", text.split("?>", 1)[1]) if text.startswith("<?xml") else ("", text)
    )
    return samples.zipped({**parts, part: head + ENTITIES + text.replace(word, f"&c;&file;{word}", 1)})


@pytest.mark.parametrize(
    ("suffix", "part"),
    [
        ("odt", "content.xml"),
        ("docx", "word/document.xml"),
        ("epub", "OEBPS/text/one .xhtml"),
        ("pptx", "ppt/slides/slide2.xml"),
    ],
)
def test_entities_do_not_expand(tmp_path: Path, suffix: str, part: str) -> None:
    plain = presentation() if suffix == "pptx" else samples.article(tmp_path, suffix).read_bytes()
    word = "It runs" if suffix == "pptx" else "The gear wheel"
    try:
        text = one(with_entities(plain, part, word), f"a.{suffix}").text
    except SourceError:
        return  # to refuse such a file is as good
    assert "lollol" not in text
    assert "root:" not in text
    assert "The clock" in text


def test_a_chain_of_entities_costs_its_own_file() -> None:
    levels = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 12))
    head = f'<?xml version="1.0"?><!DOCTYPE html [<!ENTITY l0 "lol">{levels}]>'
    page = f"{head}<html><body>&l11; end</body></html>"
    try:
        document = worker.parse(page.encode(), "a", source="/a.html", name="a.html").documents[0]
    except SourceError:
        return
    assert len(document.text) < 1000


def test_content_counts_more_than_the_name() -> None:
    assert kind_of(b"{\\rtf1\\ansi", "a.txt") == "rtf"
    assert kind_of(b"<!doctype html><p>x", "a.txt") == "html"
    assert kind_of(b"%PDF-1.7", "a.docx") == "pdf"
    assert (
        kind_of(b"Subject: x\nMIME-Version: 1.0\nContent-Type: multipart/related; a=b\n\n", "a.html")
        == "mhtml"
    )
    assert kind_of(b"Note: this is a list\nAnd: so on\n\nText", "a.txt") == "text"
    document = one(samples.odt(), "clock.docx")
    assert document.media_type == "application/vnd.oasis.opendocument.text"
