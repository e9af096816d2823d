"""Questions about a document itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.sync import ingest
from kb import about
from kb.pipeline import KnowledgeBase
from kb.settings import Settings
from kb.store import Store
from kb.types import Filters, Turn

ARTICLE = """Transport

The Ferry That Pays for Itself

By Ada Holm

14 March 2025

The ferry Marta has carried more people this winter than ever before, and it has paid for itself.

**The Long Winter**

The bridge was closed for nine weeks. Everybody who had to cross the river took the ferry.

**Who Pays**

The council bought the ferry for 2.4 million crowns. A ticket costs €3, a month of them €60.
"""
OTHER = """# Bees on the roof

Bees live on the roof of the library. They make forty jars of honey a year.
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KnowledgeBase]:
    yield from opened(tmp_path_factory.mktemp("alone"), {"ferry.txt": ARTICLE})


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KnowledgeBase]:
    yield from opened(tmp_path_factory.mktemp("several"), {"ferry.txt": ARTICLE, "bees.md": OTHER})


def opened(folder: Path, texts: dict[str, str]) -> Iterator[KnowledgeBase]:
    sources = folder / "texts"
    sources.mkdir()
    for name, text in texts.items():
        (sources / name).write_text(text)
    settings = Settings(kb=folder / "kb")
    with Store.open(settings.kb, settings, create=True) as store:
        ingest([str(sources)], store)
    with KnowledgeBase.open(None, settings) as kb:
        yield kb


@pytest.mark.parametrize(
    ("question", "topic"),
    [
        ("Who wrote the article?", "author"),
        ("who is the author of this piece", "author"),
        ("Who wrote the story about the ferry?", "author"),
        ('Who wrote the article "The Ferry"?', "author"),
        ("When was this article published?", "published"),
        ("What is the headline of the article?", "title"),
        ("Under which category was the article published?", "category"),
        ("What are the titles of the sections?", "headings"),
        ("Who published this article?", "publisher"),
        # not about a document
        ("Who wrote the book about bees?", None),
        ("When was the ferry built?", None),
        ("Who is the author of the report that the council cites?", None),
        ("Which section of the law applies?", None),
        ("When did the article say that the bridge was closed?", None),
    ],
)
def test_what_is_asked_about_a_document(question: str, topic: str | None) -> None:
    assert about.topic_of(question) == topic


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("Who wrote the article?", "By Ada Holm [1]"),
        ("who is teh auther of this artical", "By Ada Holm [1]"),
        ("When was the article published?", "14 March 2025 [1]"),
        ("What is the title of the article?", "The Ferry That Pays for Itself [1]"),
        ("Under which category was the article published?", "Transport [1]"),
        ("What are the sections of the article?", "The Long Winter [1] Who Pays [2]"),
    ],
)
def test_it_is_answered_with_the_words_of_the_document(
    alone: KnowledgeBase, question: str, answer: str
) -> None:
    given = alone.ask(question)
    assert given.text == answer
    for sentence, citation in zip(given.sentences, given.citations, strict=True):
        assert alone.document(citation.document_id).text[citation.start : citation.end] == citation.quote
        assert given.text[sentence.start : sentence.end] == sentence.text == citation.quote
        assert sentence.support == "verbatim"


def test_of_several_documents_the_one_that_is_named_is_meant(several: KnowledgeBase) -> None:
    assert (
        several.ask("Who wrote the article called The Ferry That Pays for Itself?").text == "By Ada Holm [1]"
    )
    assert several.ask("Who wrote the article?").text != "By Ada Holm [1]", "which one is not said"


def test_a_filter_holds_for_questions_about_a_document_too(several: KnowledgeBase) -> None:
    def wrote(**limits: object) -> str:
        return several.ask("Who wrote the article?", filters=Filters(**limits)).text  # type: ignore[arg-type]

    assert wrote(document_ids=("ferry.txt",)) == "By Ada Holm [1]"
    assert "Ada Holm" not in wrote(document_ids=("bees.md",))
    named = "Who wrote the article called The Ferry That Pays for Itself?"
    assert "Ada Holm" not in several.ask(named, filters=Filters(document_ids=("bees.md",))).text
    assert "Ada Holm" not in several.ask(named, filters=Filters(after="2026-01-01")).text


def test_what_is_not_known_of_a_document_is_not_made_up(several: KnowledgeBase) -> None:
    assert several.ask("Who wrote the article called Bees on the roof?").status == "not_found"


@pytest.mark.parametrize("question", ["Who wrote the article?", "When was this story published?"])
def test_it_is_asked_which_document_is_meant(question: str, several: KnowledgeBase) -> None:
    answer = several.ask(question)
    assert answer.status == "not_found"
    assert any("name the one that you mean" in notice for notice in answer.notices)


def test_what_only_the_catalogue_knows_cites_the_opening(tmp_path: Path) -> None:
    front = "---\ntitle: Night trams\nauthor: Ida Berg\ndate: 2025-01-02\n---\n\n"
    text = front + "Trams run all night now. They are full.\n"
    for kb in opened(tmp_path, {"trams.md": text}):
        answer = kb.ask("Who wrote this article?")
        assert answer.text == "The author is given as Ida Berg. [1]"
        assert answer.sentences[0].support == "supported"
        assert answer.citations[0].quote == "Trams run all night now."


def test_parts_of_a_question_are_answered_by_themselves(several: KnowledgeBase) -> None:
    answer = several.ask(
        "What did the council pay for the ferry, and how many jars of honey do the bees make?"
    )
    assert {c.document_id for c in answer.citations} == {"ferry.txt", "bees.md"}
    assert "2.4 million" in answer.text
    assert "forty jars" in answer.text
    for n, sentence in enumerate(answer.sentences, start=1):
        assert answer.text[sentence.start : sentence.end] == sentence.text
        assert sentence.citations == (n,)


def test_a_part_about_a_document_is_answered_too(alone: KnowledgeBase) -> None:
    answer = alone.ask("What did the council pay for the ferry, and who wrote the article?")
    assert "2.4 million" in answer.text
    assert "By Ada Holm" in answer.text


def test_a_part_that_is_not_answered_is_named(several: KnowledgeBase) -> None:
    answer = several.ask("What did the council pay for the ferry? Who won the football world cup in 1998?")
    assert answer.status == "answered"
    assert any("world cup" in notice for notice in answer.notices)


def test_a_question_in_another_language_is_refused_in_plain_words(several: KnowledgeBase) -> None:
    answer = several.ask("Wer hat die Weltmeisterschaft gewonnen und wann war das?")
    assert answer.status == "not_found"
    assert len(answer.notices) == 1
    assert "German" in answer.notices[0]


def test_a_follow_up_to_a_question_of_several_parts(several: KnowledgeBase) -> None:
    history = [
        Turn("user", "What did the council pay for the ferry?"),
        Turn("assistant", "2.4 million crowns."),
    ]
    assert several.ask("And how long was the bridge closed?", history=history).status in {
        "answered",
        "not_found",
    }


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("List every sum of money in the article.", ["€3, a month of them €60"]),
        ("Please list all the dates in this article", ["14 March 2025"]),
    ],
)
def test_the_figures_of_a_kind_are_listed(alone: KnowledgeBase, question: str, expected: list[str]) -> None:
    answer = alone.ask(question)
    assert answer.status == "answered"
    for words in expected:
        assert words in answer.text
    assert "nine weeks" not in answer.text


def test_what_is_asked_of_one_figure_is_no_list(alone: KnowledgeBase) -> None:
    assert about.topic_of("What is the price of the ferry in the article?") is None
    assert about.topic_of("Which year did the bridge close according to the article?") is None
