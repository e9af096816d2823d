"""Splitting: exact offsets, nothing lost, no passage over the limit or over a heading."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
import samples
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.load import load, parse
from ingest.split import CHARACTERS_PER_TOKEN, split
from kb.text import normalise, sentence_spans
from kb.types import Document, Passage, Section


def words(texts: Sequence[str]) -> list[int]:
    """A tokenizer for which every word is a token."""
    return [len(text.split()) for text in texts]


def document(text: str, sections: Sequence[Section] = (), pages: Sequence[int] = ()) -> Document:
    return Document(
        "d", "/d", "D", text, "text/plain", "0", sections=tuple(sections), page_starts=tuple(pages)
    )


def headed(*parts: tuple[str, str]) -> Document:
    """A document of (heading, body) pairs."""
    text, sections = "", []
    for title, body in parts:
        text += "\n\n" if text else ""
        sections.append(Section(title, 2, len(text)))
        text += f"{title}\n\n{body}" if body else title
    return document(text, sections)


def check(source: Document, passages: Sequence[Passage], limit: int) -> None:
    """What holds for every document."""
    covered = [False] * len(source.text)
    for number, passage in enumerate(passages):
        assert passage.ordinal == number
        assert passage.document_id == source.id
        assert passage.text == source.text[passage.start : passage.end] == passage.text.strip()
        assert passage.text
        assert words([passage.text])[0] <= limit
        assert len(passage.text) <= limit * CHARACTERS_PER_TOKEN
        assert passage.page == source.page_at(passage.start)
        covered[passage.start : passage.end] = [True] * (passage.end - passage.start)
    assert all(one.end <= two.start for one, two in pairwise(passages))
    assert not "".join(c for c, seen in zip(source.text, covered, strict=True) if not seen).strip()


SENTENCES = [f"Sentence number {n} says something about the town and its people." for n in range(60)]


def paragraphs(count: int, size: int) -> str:
    return "\n\n".join(" ".join(SENTENCES[n * size : (n + 1) * size]) for n in range(count))


# -------------------------------------------------------------------------------------- examples


@pytest.mark.parametrize("suffix", samples.FORMATS)
@pytest.mark.parametrize("limit", [12, 40, 220])
def test_every_format(tmp_path: Path, suffix: str, limit: int) -> None:
    (source,) = load(samples.article(tmp_path, suffix), "a").documents
    passages = split(source, words, target=limit * 3 // 4, limit=limit)
    check(source, passages, limit)


@pytest.mark.parametrize("suffix", samples.FORMATS)
def test_a_question_and_its_answer_are_one_passage(tmp_path: Path, suffix: str) -> None:
    (source,) = load(samples.article(tmp_path, suffix), "a").documents
    passages = split(source, words)
    for question, answer in samples.QUESTIONS:
        (passage,) = [p for p in passages if p.section == question]
        assert question in passage.text
        assert " ".join(passage.text.split()).endswith(answer)


def test_a_short_section_is_one_passage_and_long_ones_are_cut_evenly() -> None:
    source = headed(("Short", "One sentence."), ("Long", paragraphs(5, 6)))
    passages = split(source, words, target=100, limit=140)
    check(source, passages, 140)
    assert passages[0].text == "Short\n\nOne sentence."
    sizes = words([p.text for p in passages[1:]])
    assert min(sizes) > 50
    assert {p.section for p in passages[1:]} == {"Long"}


def test_passages_end_at_paragraphs_where_they_can() -> None:
    source = document(paragraphs(6, 5))
    passages = split(source, words, target=110, limit=150)
    assert len(passages) == 3
    assert all(source.text.startswith("\n\n", p.end) for p in passages[:-1])


def test_passages_hold_whole_sentences() -> None:
    source = document(" ".join(SENTENCES))
    ends = {end for _, end in sentence_spans(source.text)}
    passages = split(source, words, target=50, limit=60)
    assert all(p.end in ends for p in passages)


def test_a_heading_is_never_left_behind() -> None:
    source = headed(("Heading", " ".join(SENTENCES[:40])))
    first = split(source, words, target=100, limit=120)[0]
    assert first.text.startswith("Heading\n\nSentence number 0")


def test_a_heading_without_text_opens_the_passage_below() -> None:
    source = headed(("Parent", ""), ("Child", "The body of the child."))
    (passage,) = split(source, words)
    assert passage.section == "Child"
    assert passage.text == "Parent\n\nChild\n\nThe body of the child."


def test_a_heading_does_not_break_up_an_answer_that_fits() -> None:
    answer = " ".join(SENTENCES[:4])
    source = headed(("Frequently asked questions", ""), ("Does the answer fit?", answer))
    limit = words([f"Does the answer fit? {answer}"])[0]
    parent, entry = split(source, words, target=limit - 5, limit=limit)
    assert parent.text == "Frequently asked questions"
    assert entry.text.endswith(answer)


def test_headings_at_the_end_are_kept() -> None:
    source = headed(("A", "Body."), ("B", ""), ("C", ""))
    check(source, split(source, words), 220)


def test_a_sentence_of_5000_words_is_cut_at_clauses() -> None:
    text = " ".join("word," if n % 9 == 8 else "word" for n in range(5000))
    passages = split(document(text), words)
    check(document(text), passages, 220)
    assert sum(p.text.endswith(",") for p in passages) >= len(passages) - 1
    assert min(words([p.text for p in passages])) > 60


def test_a_word_without_end_is_cut_too() -> None:
    source = document("x" * 20_000 + " end.")
    check(source, split(source, words), 220)


def test_pages_are_told() -> None:
    text = f"{paragraphs(1, 6)}\n\n{paragraphs(1, 6)}"
    source = document(text, pages=[0, len(text) // 2 + 1])
    assert [p.page for p in split(source, words, target=70, limit=80)] == [1, 2]


def test_tokens_are_counted_in_few_calls() -> None:
    calls: list[int] = []

    def counting(texts: Sequence[str]) -> list[int]:
        calls.append(len(texts))
        return words(texts)

    split(document(paragraphs(10, 6)), counting)
    assert calls == [60]


@pytest.mark.parametrize("text", ["x", "?", "👩‍👩‍👧", "no end of sentence", "هذا نص قصير. وهذه جملة أخرى؟"])
def test_tiny_texts(text: str) -> None:
    (passage,) = split(document(text), words)
    assert (passage.text, passage.section, passage.page) == (text, None, None)


def test_an_empty_text_has_no_passages() -> None:
    assert split(document(""), words) == ()


# ------------------------------------------------------------------------------------- properties


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Lines of any words, some of them headings, some of the headings questions."""
    words_ = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=12)
    text, sections = "", []
    for _ in range(draw(st.integers(0, 8))):
        line = normalise(" ".join(draw(st.lists(words_, min_size=1, max_size=40))).replace("\n", " "))
        line = " ".join(line.split()) + draw(st.sampled_from(["", ".", "?", ", so."]))
        text += draw(st.sampled_from(["\n", "\n\n"])) if text else ""
        if draw(st.booleans()):
            sections.append(Section(line, draw(st.integers(1, 6)), len(text)))
        text += line
    pages = sorted(draw(st.lists(st.integers(0, len(text)), max_size=3)))
    return document(text, sections if text.strip() else (), pages)


@given(documents(), st.integers(4, 60))
@settings(max_examples=200, deadline=None)
def test_what_holds_for_every_document(source: Document, limit: int) -> None:
    passages = split(source, words, target=max(1, limit * 3 // 4), limit=limit)
    check(source, passages, limit)
    starts = [section.start for section in source.sections]
    for passage in passages:
        inside = [start for start in starts if passage.start < start < passage.end]
        # Only headings that have no text of their own may stand above another heading.
        edges = [passage.start, *inside]
        assert all("\n" not in source.text[a:b].strip() for a, b in pairwise(edges))
        assert not inside or passage.start in starts


@given(st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]) | st.just("\n"), max_size=2000))
@settings(max_examples=60, deadline=None)
def test_markdown_of_any_text(text: str) -> None:
    text = "x " + text
    for source in parse(text.encode("utf-8", "replace"), "d", source="/d", name="d.md").documents:
        check(source, split(source, words, target=15, limit=20), 20)
