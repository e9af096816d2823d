"""Loading: the same story out of every format, true metadata, and a plain answer to what cannot be read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.load import Loaded, content_hash, load, parse
from ingest.load.dates import iso_date
from ingest.load.decode import decode
from kb.errors import SourceError
from kb.text import normalise
from kb.types import Document

ROOT = Path(__file__).resolve().parents[1]


def read(data: str | bytes, name: str = "page.txt") -> Document:
    """The one document in some bytes."""
    data = data.encode("utf-8") if isinstance(data, str) else data
    (document,) = parse(data, "id", source="/somewhere", name=name).documents
    return document


def titles(document: Document) -> list[str]:
    return [section.title for section in document.sections]


def body_of(document: Document, title: str) -> str:
    """The text between the heading with this title and the next heading."""
    starts = [section.start for section in document.sections] + [len(document.text)]
    index = titles(document).index(title)
    return document.text[starts[index] + len(title) : starts[index + 1]].strip()


def flat(text: str) -> str:
    return " ".join(text.split())


# ---------------------------------------------------------------------------------- every format


@pytest.fixture(params=[*samples.FORMATS, *samples.MORE_FORMATS])
def article(request: pytest.FixtureRequest, tmp_path: Path) -> Document:
    path = samples.article(tmp_path, request.param)
    (document,) = load(path, path.name).documents
    assert document.source == str(path)
    assert document.content_hash == content_hash(path.read_bytes())
    return document


def test_nothing_of_the_article_is_lost(article: Document) -> None:
    text = flat(article.text)
    for part in (samples.LEAD, samples.REPAIR_TEXT, *samples.STEPS, samples.ABOUT_TEXT):
        assert flat(part) in text
    for row in samples.ROWS:
        assert " | ".join(row) in article.text


def test_sections_start_at_their_heading_lines(article: Document) -> None:
    assert article.sections
    for section in article.sections:
        line = article.text[section.start :].split("\n")[0]
        assert line == section.title
        assert section.start == 0 or article.text[section.start - 1] == "\n"
        assert 1 <= section.level <= 6


def test_headings_are_sections(article: Document) -> None:
    wanted = [samples.REPAIR, samples.FAQ, *(question for question, _ in samples.QUESTIONS), samples.ABOUT]
    assert [title for title in titles(article) if title != samples.TITLE] == wanted


def test_each_question_holds_its_own_answer(article: Document) -> None:
    for question, answer in samples.QUESTIONS:
        assert flat(body_of(article, question)) == answer
    assert flat(body_of(article, samples.ABOUT)) == samples.ABOUT_TEXT


def test_metadata(article: Document) -> None:
    assert (article.id, article.title, article.author) == (
        article.source.split("/")[-1],
        samples.TITLE,
        samples.AUTHOR,
    )
    assert article.published is not None
    if article.media_type != "application/pdf":
        assert article.published.startswith(samples.DAY)


def test_the_byline_is_in_the_metadata_and_not_in_the_text(article: Document) -> None:
    if article.media_type in ("text/plain", "text/markdown"):
        assert article.author == samples.AUTHOR
    else:
        assert f"By {samples.AUTHOR}" not in article.text
        assert article.text.startswith(f"{samples.TITLE}\n\n{samples.LEAD[:40]}")


def test_the_title_is_a_section_of_the_first_rank(article: Document) -> None:
    first = article.sections[0]
    assert (first.title, first.level, first.start) == (samples.TITLE, 1, 0)


def test_text_is_in_normal_form(article: Document) -> None:
    assert normalise(article.text) == article.text


# ------------------------------------------------------------------------------------ plain text


def test_hard_wrapped_lines_become_paragraphs() -> None:
    text = (
        "The council met on Monday evening and talked for three hours about the\n"
        "plan to move the market from the old square to the new one. In the end\n"
        "it was put off until June.\n\n"
        "A second paragraph, wrapped at the same width as the one before it, so\n"
        "that it has to be joined too."
    )
    paragraphs = read(text).text.split("\n\n")
    assert len(paragraphs) == 2
    assert "\n" not in paragraphs[0]
    assert "about the plan to move" in paragraphs[0]


def test_lists_and_verses_keep_their_lines() -> None:
    verse = "The tide goes out\nThe tide comes in\nThe boats lie still\nThe ropes are thin"
    items = (
        "- bring a coat that keeps the rain out even when it comes from the side\n- bring bread\n1) go home"
    )
    text = read(f"{verse}\n\n{items}").text
    assert verse in text
    assert items in text


def test_unwrapped_lines_are_not_joined() -> None:
    long = "This paragraph stands on one line of its own and is longer than any line wrapped by hand. " * 2
    assert read(f"{long} {long}\n{long}").text.count("\n") == 1


@pytest.mark.parametrize(
    ("marked", "title", "level"),
    [
        ("**What came next**", "What came next", 2),
        ("What came next\n==============", "What came next", 1),
        ("What came next\n---", "What came next", 2),
        ("WHAT CAME NEXT", "WHAT CAME NEXT", 2),
        ("### What came next", "What came next", 3),
        ("What came next", "What came next", 2),
    ],
)
def test_headings_of_plain_text(marked: str, title: str, level: int) -> None:
    document = read(f"A first sentence stands here.\n\n{marked}\n\nAnd then another one.")
    assert [(s.title, s.level) for s in document.sections] == [(title, level)]
    assert document.text == f"A first sentence stands here.\n\n{title}\n\nAnd then another one."


def test_the_lines_above_a_plain_text_are_title_and_caption_not_headings() -> None:
    document = read(
        "Culture\n\nA museum opens its doors at night\n\nVisitors in the hall\n\nThe museum was full."
    )
    assert document.title == "A museum opens its doors at night"
    assert document.sections == ()
    assert document.text.startswith("Culture\n\nA museum")


def test_a_title_line_at_the_top_of_a_plain_text_is_its_first_heading() -> None:
    lead = "The museum was full, and the queue reached as far as the bridge."
    document = read(f"A museum opens its doors at night\n\nVisitors in the hall\n\n{lead}")
    assert [(s.title, s.level, s.start) for s in document.sections] == [(document.title, 1, 0)]
    asked = read(f"Who opens a museum at night?\n\nVisitors in the hall\n\n{lead}")
    assert (asked.title, asked.sections) == ("Who opens a museum at night?", ())


def test_a_sentence_or_a_list_is_no_heading() -> None:
    document = read("One thing was said.\n\nIt was short.\n\n- an item\n\nAnd that was all of it.")
    assert document.sections == ()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\xef\xbb\xbfna\xc3\xafve", "naïve"),
        ("naïve – déjà vu".encode("utf-16"), "naïve – déjà vu"),
        ("Doylestown, PA".encode("utf-16-be"), "Doylestown, PA"),
        ("The café’s “naïve” owner paid €20 for a crème brûlée.".encode("cp1252"),
         "The café’s “naïve” owner paid €20 for a crème brûlée."),
        ("Привет, это обычный русский текст о погоде и о городе.".encode("cp1251"),
         "Привет, это обычный русский текст о погоде и о городе."),
    ],
)  # fmt: skip
def test_encodings(data: bytes, text: str) -> None:
    assert decode(data) == text


def test_line_ends_and_right_to_left_text() -> None:
    arabic = "هذا نص قصير. وهذه جملة أخرى؟"
    document = read(f"\ufeffOne line ends here.\r\n\r\n{arabic}\r\rEmoji 👩‍👩‍👧 stay.")
    assert document.text == f"One line ends here.\n\n{arabic}\n\nEmoji 👩‍👩‍👧 stay."


# ------------------------------------------------------------------------------------------ FAQs


@pytest.mark.parametrize("bullet", ["▸ ", "• ", "- ", "* ", "Q: ", "1. ", ""])
@pytest.mark.parametrize(
    "heading", ["Key Questions", "FAQ", "Questions and answers", "Frequently Asked Questions"]
)
def test_faq_of_plain_text(bullet: str, heading: str) -> None:
    text = (
        f"Something happened here.\n\n{heading}\n\n{bullet}Why did it happen?\nNobody knows. It was dark.\n"
        f"{bullet}Will it happen again?\nIt may.\n\nAbout the author\n\nShe writes."
    )
    document = read(text)
    assert titles(document) == [heading, "Why did it happen?", "Will it happen again?", "About the author"]
    assert body_of(document, "Why did it happen?") == "Nobody knows. It was dark."
    assert body_of(document, "Will it happen again?") == "It may."


def test_question_and_answer_marks_need_no_heading() -> None:
    document = read(
        "An intro stands here first.\n\nQ: Is it open?\nA: It is.\n\nQ: Until when?\nA: Until ten."
    )
    assert titles(document) == ["Is it open?", "Until when?"]
    assert body_of(document, "Until when?") == "Until ten."


def test_a_list_of_questions_without_answers_is_no_faq() -> None:
    document = read(
        "The committee asks three things.\n\n- Who was there?\n- What did they see?\n- Why?\n\nIt works."
    )
    assert document.sections == ()


def test_a_question_in_prose_is_no_heading() -> None:
    document = read(
        "So what is next?\n\nThat is a long story. It begins in the year 1990.\n\nWho would have thought so?"
    )
    assert titles(document) in ([], ["So what is next?"])
    assert "Who would have thought so?" not in titles(document)


@pytest.mark.parametrize(
    "faq",
    [
        "<dl><dt>Is it open?</dt><dd>It is open.</dd><dt>Until when?</dt><dd>Until ten at night.</dd></dl>",
        "<details><summary>Is it open?</summary><p>It is open.</p></details>"
        "<details><summary>Until when?</summary><p>Until ten at night.</p></details>",
        "<p><strong>Is it open?</strong></p><p>It is open.</p>"
        "<p><b>Until when?</b><br>Until ten at night.</p>",
        "<h2>Is it open?</h2><p>It is open.</p><h2>Until when?</h2><p>Until ten at night.</p>",
        "<p>Q: Is it open?<br>A: It is open.</p><p>Q: Until when?<br>A: Until ten at night.</p>",
        "<ul><li>Is it open?</li></ul><p>It is open.</p>"
        "<ul><li>Until when?</li></ul><p>Until ten at night.</p>",
    ],
    ids=["definitions", "fold-outs", "bold", "headings", "letters", "bullets"],
)
def test_faq_of_html(faq: str) -> None:
    document = read(samples.html(faq=faq), "page.html")
    assert titles(document)[-4:] == [samples.FAQ, "Is it open?", "Until when?", samples.ABOUT]
    assert body_of(document, "Is it open?") == "It is open."
    assert body_of(document, "Until when?") == "Until ten at night."


@pytest.mark.parametrize(
    "faq",
    [
        "**Is it open?**\n\nIt is open.\n\n**Until when?**\n\nUntil ten.",
        "**Is it open?** It is open.\n\n**Until when?**\nUntil ten.",
        "- **Is it open?**\n  It is open.\n- **Until when?**\n  Until ten.",
        "1. Is it open?\n\n   It is open.\n\n2. Until when?\n\n   Until ten.",
        "<details>\n<summary>Is it open?</summary>\n\nIt is open.\n\n</details>\n"
        "<details>\n<summary>Until when?</summary>\n\nUntil ten.\n\n</details>",
    ],
)
def test_faq_of_markdown(faq: str) -> None:
    document = read(
        f"# Shop\n\nThe shop is new.\n\n## FAQ\n\n{faq}\n\n## About the author\n\nShe writes.", "shop.md"
    )
    assert titles(document) == ["Shop", "FAQ", "Is it open?", "Until when?", "About the author"]
    assert body_of(document, "Is it open?") == "It is open."
    assert body_of(document, "Until when?") == "Until ten."


def test_bold_lines_are_headings_but_bold_sentences_and_items_are_not() -> None:
    text = "# Top\n\nIntro.\n\n**A bold line**\n\nBody.\n\n**All of this is bold.**\n\n- **Item**\n\nEnd."
    document = read(text, "a.md")
    assert [(s.title, s.level) for s in document.sections] == [("Top", 1), ("A bold line", 2)]


def test_a_heading_that_speaks_of_one_question_is_no_faq() -> None:
    document = read("## The question\n\nWho will pay?\n\nNobody has said so.", "a.md")
    assert titles(document) == ["The question"]


def test_a_question_within_an_answer_is_no_entry() -> None:
    document = read("## FAQ\n\n### Is it open?\n\nWho knows?\n\nNobody does.\n\n### Why?\n\nWell.", "a.md")
    assert titles(document) == ["FAQ", "Is it open?", "Why?"]


# -------------------------------------------------------------------------------------- markdown


def test_markdown_becomes_plain_text() -> None:
    document = read(
        "# Title\n\nA [link](https://x.example) and `code` and *emphasis*,\nwrapped.\n\n"
        "* one\n* two\n  * inner\n\n3. three\n4. four\n\n```\na = 1\n\nb  = 2\n```\n",
        "a.md",
    )
    assert document.text == (
        "Title\n\nA link and code and emphasis, wrapped.\n\n- one\n- two\n- inner\n\n"
        "3. three\n4. four\n\na = 1\n\nb  = 2"
    )


@pytest.mark.parametrize("broken", ["title: [never closed", "date: 2026-13-45", "a: b: c", "\ttitle: x"])
def test_broken_front_matter_does_not_lose_the_text(broken: str) -> None:
    document = read(f"---\n{broken}\npublisher: The Courier\n---\n\n# Heading\n\nThe text.", "a.md")
    assert document.text == "Heading\n\nThe text."
    assert document.publisher == "The Courier"


def test_front_matter_lists_and_odd_values() -> None:
    document = read(
        "---\nauthors: [Ann Lee, {name: Bo Park}]\ndate: 2026-02-30\nsource: X\n---\nText.", "a.md"
    )
    assert (document.author, document.published, document.publisher) == ("Ann Lee, Bo Park", None, "X")
    assert document.title == "a"


def test_deep_nesting_does_not_lose_the_text() -> None:
    document = read(">" * 3000 + " the text", "a.md")
    assert "the text" in document.text


def test_a_rule_at_the_top_is_not_front_matter() -> None:
    assert "Some prose" in read("---\nSome prose\n---\nMore prose.", "a.md").text


# ------------------------------------------------------------------------------------------ HTML


def test_html_metadata_and_boilerplate() -> None:
    document = read(samples.html(), "page.html")
    assert (document.publisher, document.url, document.language) == (
        samples.PUBLISHER,
        "https://courier.example/clock",
        "en",
    )
    assert document.published == "2026-04-28T06:30:00+02:00"
    for noise in ("cookies", "Front page", "Cat found", "rights reserved"):
        assert noise not in document.text


def test_html_metadata_from_meta_tags_and_broken_json() -> None:
    page = (
        "<html><head><title>Night train returns - Coast Radio</title>"
        '<script type="application/ld+json">{"@type": </script>'
        '<meta property="og:site_name" content="Coast Radio"><meta name="author" content="By Piet Janssen">'
        '<meta property="article:published_time" content="2026-03-20T08:00:00Z"></head>'
        "<body><p>The night train is back. It leaves at ten.</p></body></html>"
    )
    document = read(page, "page.html")
    assert (document.title, document.publisher, document.author) == (
        "Night train returns",
        "Coast Radio",
        "Piet Janssen",
    )
    assert document.published == "2026-03-20T08:00:00+00:00"


def news_page(body: str) -> str:
    return (
        '<html><head><meta name="author" content="Ann Lee, Bo Park"><meta property="og:site_name" '
        'content="Coast Radio"><meta property="article:published_time" content="2026-03-20T08:00:00Z">'
        f"</head><body><article><h1>Night train returns</h1>{body}</article></body></html>"
    )


STORY = "The night train is back after four years. It leaves at ten and arrives before the shops open."


@pytest.mark.parametrize(
    "byline",
    [
        '<p class="byline">By Ann Lee and Bo Park</p>',
        '<div class="c-dateline">March 20, 2026</div>',
        "<p>By Ann Lee and Bo Park, Coast Radio. Published on 20 March 2026</p>",
        "<p>By <b>Bo Park</b> | Coast Radio</p><p>Updated: 2026-03-20</p>",
    ],
)
def test_a_byline_that_repeats_the_metadata_is_left_out(byline: str) -> None:
    assert read(news_page(f"{byline}<p>{STORY}</p>"), "a.html").text == f"Night train returns\n\n{STORY}"


@pytest.mark.parametrize(
    "byline",
    [
        '<p class="byline">By Cy Dahl</p>',
        '<p class="byline">By Ann Lee in Ostende</p>',
        "<p>By Ann Lee, March 21, 2026</p>",
        "<p>By and by.</p>",
        "<p>On 20 May 2026</p>",
    ],
)
def test_a_byline_that_says_more_than_the_metadata_stays(byline: str) -> None:
    line = byline.removesuffix("</p>").split(">")[1]
    assert line in read(news_page(f"{byline}<p>{STORY}</p>"), "a.html").text


def test_a_marked_byline_goes_from_the_end_and_a_marked_name_stays_in_its_sentence() -> None:
    inside = 'They spoke with <span class="author">Ann Lee</span> of the union.'
    end = '<div class="author">By Ann Lee</div>'
    document = read(news_page(f"<p>{STORY}</p><p>{inside}</p>{end}"), "a.html")
    assert document.text.endswith("\n\nThey spoke with Ann Lee of the union.")
    lone = news_page("<p>Ann Lee</p>").replace("<h1>Night train returns</h1>", "")
    assert read(lone, "a.html").text == "Ann Lee"


def test_small_pages_keep_all_their_text() -> None:
    assert read("<p>Short.</p>", "a.html").text == "Short."
    assert read("<html><body><main><h1>Hours</h1><p>Ten to six.</p></main></body></html>", "a.html").text == (
        "Hours\n\nTen to six."
    )


def test_html_in_another_encoding() -> None:
    page = (
        '<html><head><meta charset="iso-8859-1"></head><body><p>Ein schöner Gruß aus Köln.</p></body></html>'
    )
    assert read(page.encode("latin-1"), "a.html").text == "Ein schöner Gruß aus Köln."


# ------------------------------------------------------------------------------------------- PDF


def test_pdf_pages_hyphens_and_running_heads(tmp_path: Path) -> None:
    first = "The harbour of the town has been dredged for the first time since the year of the great govern-"
    pages = [
        [
            "The Harbour Post, page 1",
            "",
            first,
            "ment reform, and well-known captains came to look at it.",
            "",
            "1",
        ],
        ["The Harbour Post, page 2", "", "A second page begins with its own sentence. It goes on.", "", "2"],
        ["The Harbour Post, page 3", "", "A third page ends the story of the harbour.", "", "3"],
    ]
    (document,) = load(samples.pdf(tmp_path / "a.pdf", pages), "a.pdf").documents
    assert "great government reform, and well-known captains" in document.text
    assert "Harbour Post" not in document.text
    assert len(document.page_starts) == 3
    assert [
        document.page_at(document.text.index(part)) for part in ("The harbour", "A second", "A third")
    ] == [1, 2, 3]


def test_pdf_paragraph_over_a_page_break_and_an_empty_page(tmp_path: Path) -> None:
    line = "and the line goes on and on until it reaches the right margin of the page without an end"
    page = [f"{word} {line}" for word in ("first", "second", "third", "fourth")]
    path = samples.pdf(tmp_path / "a.pdf", [page[:3], [], [page[3], "and here it ends."]])
    (document,) = load(path, "a.pdf").documents
    assert "\n" not in document.text
    assert document.page_starts[0] == 0
    assert document.page_starts[1] == document.page_starts[2]
    assert document.text[document.page_starts[2] :] == f"{page[3]} and here it ends."


def test_pdf_without_text_or_with_a_password(tmp_path: Path) -> None:
    from pypdf import PdfReader, PdfWriter

    with pytest.raises(SourceError, match="OCR"):
        load(samples.pdf(tmp_path / "empty.pdf", [[]]), "empty.pdf")
    writer = PdfWriter(clone_from=PdfReader(samples.article(tmp_path, "pdf")))
    writer.encrypt("secret", algorithm="RC4-128")
    writer.write(tmp_path / "locked.pdf")
    with pytest.raises(SourceError, match="encrypted"):
        load(tmp_path / "locked.pdf", "locked.pdf")


@pytest.mark.parametrize("algorithm", ["RC4-128", "AES-128", "AES-256"])
def test_pdf_that_only_restricts_copying_is_read(tmp_path: Path, algorithm: str) -> None:
    from pypdf import PdfReader, PdfWriter

    path = samples.article(tmp_path, "pdf")
    writer = PdfWriter(clone_from=PdfReader(path))
    writer.encrypt("", owner_password="secret", algorithm=algorithm)
    writer.write(tmp_path / "restricted.pdf")
    (document,) = load(tmp_path / "restricted.pdf", "restricted.pdf").documents
    assert document.text == load(path, "clock.pdf").documents[0].text


def test_pdf_language(tmp_path: Path) -> None:
    (document,) = load(samples.article(tmp_path, "pdf"), "clock.pdf").documents
    assert document.language == "en-GB"
    (document,) = load(samples.pdf(tmp_path / "a.pdf", [["Text."]]), "a.pdf").documents
    assert document.language is None


def test_pdf_table_rows_are_lines_and_no_headings(tmp_path: Path) -> None:
    from reportlab.lib.styles import getSampleStyleSheet
    from reportlab.platypus import Paragraph, SimpleDocTemplate, Table

    rows = [["Region", "2024 (TWh)", "2030"], ["North and West Ostrau", "183", "426"], ["South", "68", "113"]]
    body = Paragraph(f"{STORY} {STORY}", getSampleStyleSheet()["BodyText"])
    table = Table(
        rows, style=[("FONTNAME", (0, 0), (-1, 0), "Helvetica-Bold"), ("TOPPADDING", (0, 0), (-1, -1), 9)]
    )
    SimpleDocTemplate(str(tmp_path / "a.pdf")).build([body, table, body])
    (document,) = load(tmp_path / "a.pdf", "a.pdf").documents
    assert "\n\n" + "\n".join(" | ".join(row) for row in rows) + "\n" in document.text
    assert document.sections == ()


def test_pdf_columns_of_prose_and_a_line_in_two_pieces_are_no_table(tmp_path: Path) -> None:
    prose = [
        ("The harbour of the town has", "was put off until June, as"),
        ("been dredged for the first", "the council could not agree"),
        ("time since the reform, and", "on who should pay for the"),
        ("known captains came to look.", "new quay. It is closed."),
    ]
    (document,) = load(samples.pdf(tmp_path / "a.pdf", [prose]), "a.pdf").documents
    assert "|" not in document.text
    assert all(flat(piece) in flat(document.text) for row in prose for piece in row)
    single = [STORY, ("Harbour office", "Ostrau"), STORY]
    (document,) = load(samples.pdf(tmp_path / "b.pdf", [single]), "b.pdf").documents
    assert "|" not in document.text
    assert "Harbour office" in document.text
    # The same line twice on one page is no running head.
    assert document.text.count(STORY) == 2


# --------------------------------------------------------------------------------------- records


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_records(tmp_path: Path, suffix: str) -> None:
    path = samples.records(tmp_path, suffix)
    loaded = load(path, path.name)
    first, second = loaded.documents
    assert not loaded.failures
    assert (first.id, first.title, first.text) == ("r1", "Bees return", "The bees are back. They came early.")
    assert (first.publisher, first.author, first.published) == ("Field Notes", "Jo Lind", "2026-05-03")
    assert (first.url, first.language, first.source) == ("https://field.example/bees", "en", f"{path}#1")
    assert (second.published, second.url, second.author, second.language) == (None, None, None, None)
    assert first.content_hash != second.content_hash


def test_bad_records_cost_only_themselves() -> None:
    lines = [
        '{"id": "a", "text": "Good."}',
        "{broken",
        '["no", "object"]',
        "",
        '{"id": "b", "text": "  "}',
        '{"id": "a", "text": "Again."}',
        '{"text": "No id."}',
        json.dumps(
            {"id": 7, "content": ["One paragraph.", "Another one."], "author": [{"name": "Ann"}, "Bo"]}
        ),
    ]
    loaded = parse("\n".join(lines).encode(), "f.jsonl", source="/f.jsonl", name="f.jsonl")
    assert [(d.id, d.text) for d in loaded.documents] == [
        ("a", "Good."),
        ("f.jsonl#7", "No id."),
        ("7", "One paragraph.\n\nAnother one."),
    ]
    assert loaded.documents[2].author == "Ann, Bo"
    assert [failure.source for failure in loaded.failures] == [
        "/f.jsonl#2",
        "/f.jsonl#3",
        "/f.jsonl#5",
        "/f.jsonl#6",
    ]
    assert "rows 1 and 6" in loaded.failures[-1].error


def csv_of(text: str, encoding: str = "utf-8") -> Loaded:
    return parse(text.encode(encoding), "f.csv", source="/f.csv", name="f.csv")


def test_csv_dialects() -> None:
    quoted = csv_of('id;TEXT\r\n1;"Two lines\r\n\r\nand a ; in one cell."\r\n', "utf-16")
    assert [d.text for d in quoted.documents] == ["Two lines\n\nand a ; in one cell."]
    assert [d.text for d in csv_of("id,text\n1,Gruß\n", "cp1252").documents] == ["Gruß"]
    assert len(csv_of("id,text\n1," + "long " * 100_000 + "\n").documents[0].text) > 400_000
    with pytest.raises(SourceError, match="no column holds the text"):
        csv_of("a,b\n1,2\n")
    with pytest.raises(SourceError, match="no rows"):
        csv_of("id,text\n")


def test_a_record_without_title_goes_by_its_opening_words() -> None:
    text = "The oldest lighthouse of the coast has been dark since the storm of last November, they say."
    (document,) = csv_of(f'id,title,text\n1,,"{text}"\n').documents
    assert text.startswith(document.title)
    assert 40 < len(document.title) <= 70


# ---------------------------------------------------------------------------- content and suffix


def test_the_kind_is_told_by_content(tmp_path: Path) -> None:
    pdf = samples.article(tmp_path, "pdf").read_bytes()
    assert read(pdf, "report").media_type == "application/pdf"
    assert read(pdf, "report.txt").media_type == "application/pdf"
    assert read(samples.html(), "page.txt").media_type == "text/html"
    assert "wordprocessingml" in read(samples.article(tmp_path, "docx").read_bytes(), "letter").media_type
    assert read("Just text.", "README").media_type == "text/plain"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "a.txt"),
        (b" \n\t\n", "a.md"),
        (b"", "a.html"),
        (b"<html></html>", "a.html"),
        (b"", "a.pdf"),
        (b"", "a.docx"),
        (b"", "a.csv"),
        (b"", "a.jsonl"),
        (bytes(range(256)) * 20, "a.txt"),
        (b"\x00\x01\x02\x03" * 500, "a.md"),
        (b"%PDF-1.7\n1 0 obj", "a.pdf"),
        (b"PK\x03\x04 and no more", "a.docx"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "a.docx"),
        (b"anything", "a.xyz"),
    ],
)
def test_what_cannot_be_read_is_said_with_its_cure(data: bytes, name: str) -> None:
    with pytest.raises(SourceError) as caught:
        parse(data, "id", source="/a", name=name)
    assert caught.value.message
    assert caught.value.cure


@pytest.mark.parametrize("suffix", ["pdf", "docx"])
def test_truncated_files(tmp_path: Path, suffix: str) -> None:
    path = samples.article(tmp_path, suffix)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(SourceError):
        load(path, "a")


@pytest.mark.parametrize("text", ["x", "?", "ß", "👩‍👩‍👧", "no end of sentence", "ﷺ"])
@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.html"])
def test_tiny_texts(text: str, name: str) -> None:
    assert normalise(read(text, name).text) == normalise(text)


# ----------------------------------------------------------------------------------------- dates


@pytest.mark.parametrize(
    ("value", "day"),
    [
        ("2026-04-28", "2026-04-28"),
        ("April 28, 2026", "2026-04-28"),
        ("28 April 2026", "2026-04-28"),
        ("28.04.2026", "2026-04-28"),
        ("20260428", "2026-04-28"),
        ("2026-04-28T10:00:00Z", "2026-04-28T10:00:00+00:00"),
        ("Tue, 28 Apr 2026 10:00:00 EST", "2026-04-28T10:00:00-05:00"),
        (1777370400, "2026-04-28T10:00:00+00:00"),
        (1777370400000, "2026-04-28T10:00:00+00:00"),
        ("2026-02-30", None),
        ("31 February 2026", None),
        ("April 2026", None),
        ("2026", None),
        ("yesterday", None),
        ("", None),
        (None, None),
        (True, None),
    ],
)
def test_dates(value: object, day: str | None) -> None:
    assert iso_date(value) == day


# ------------------------------------------------------------------------------------- properties


@given(st.text(max_size=400), st.sampled_from(["a.txt", "a.md", "a.html", "a.jsonl", "a.csv"]))
@settings(max_examples=150, deadline=None)
def test_any_text_gives_sound_documents_or_a_source_error(text: str, name: str) -> None:
    try:
        loaded = parse(text.encode("utf-8", "replace"), "id", source="/a", name=name)
    except SourceError:
        return
    for document in loaded.documents:
        assert document.text == normalise(document.text) != ""
        assert all(document.text[s.start :].startswith(s.title) for s in document.sections)


@given(st.binary(max_size=600), st.sampled_from(["a.txt", "a.md", "a.pdf", "a.docx", "a.jsonl"]))
@settings(max_examples=150, deadline=None)
def test_any_bytes_give_documents_or_a_source_error(data: bytes, name: str) -> None:
    try:
        parse(data, "id", source="/a", name=name)
    except SourceError:
        return


# ------------------------------------------------------------------------------- the real article

ARTICLE = ROOT.parent / "shared" / "article" / "600-billion-ai-bet.txt"


@pytest.mark.skipif(not ARTICLE.exists(), reason=f"the article is not at {ARTICLE}")
def test_the_article() -> None:
    (document,) = load(ARTICLE, ARTICLE.name).documents
    assert document.title.startswith("The $600 Billion AI Bet: How Big Tech")
    body = [section.title for section in document.sections if not section.is_question]
    assert body[:4] == [
        "The Infrastructure Pivot",
        "The Power Problem",
        "What the Spending Means for the Rest of the World",
        "The Return Question",
    ]
    assert body[4:] == ["Key Questions", "About Maya Patel"]
    questions = [section.title for section in document.sections if section.is_question]
    assert len(questions) == 5
    assert all(100 < len(body_of(document, question)) < 500 for question in questions)
    assert body_of(document, questions[-1]).endswith("durable revenue streams.")
    assert document.text.startswith("Technology\n\nThe $600 Billion")
    assert "AI infrastructure investment race among big tech companies" in document.text
    assert body_of(document, "About Maya Patel").endswith("reshaping society.")
