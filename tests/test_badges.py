"""The support of an answer's sentences: each stands or falls with the quotes that it cites."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.broken import BROKEN, answers, cases, run
from kb.badges import judged
from kb.errors import NoSuchDocument
from kb.pipeline import KnowledgeBase
from kb.settings import Settings
from kb.store import Store
from kb.types import Answer, Citation, Document, Sentence

WHEN = "When was the harbour bridge closed to lorries?"


@pytest.fixture(scope="module")
def kb(tmp_path_factory: pytest.TempPathFactory, texts: Path) -> Iterator[KnowledgeBase]:
    """The shared texts with the default embedder, since nearness of meaning counts here."""
    from ingest.sync import ingest

    folder = tmp_path_factory.mktemp("badges")
    settings = Settings(kb=folder / "kb")
    with Store.open(folder / "kb", settings, create=True) as store:
        assert not ingest([str(texts)], store).failed
    with KnowledgeBase.open(folder / "kb", settings) as opened:
        yield opened


def quote(kb: KnowledgeBase, document_id: str, words: str, n: int) -> Citation:
    document = kb.document(document_id)
    start = document.text.index(words)
    known = (document.title, document.publisher, document.author, document.published, document.url)
    return Citation(n, document_id, *known, None, None, start, start + len(words), words)


def said(kb: KnowledgeBase, text: str, *numbers: int) -> Answer:
    """An answer of one sentence, over a quote about the repair (1) and one about the ferry (2)."""
    citations = (
        quote(kb, "bridge.md", "The repair of the harbour bridge is expected to cost 41 million euros.", 1),
        quote(kb, "news/ferry.html", "The ferry runs from five in the morning until midnight", 2),
    )
    marks = "".join(f"[{n}]" for n in numbers)
    sentence = Sentence(text, 0, len(text), numbers, "verbatim")
    return Answer("?", "answered", f"{text} {marks}".strip(), (sentence,), citations, model="made up")


@pytest.mark.parametrize(
    ("text", "numbers", "support"),
    [
        ("The repair of the harbour bridge is expected to cost 41 million euros.", (1,), "verbatim"),
        ("The repair of the harbour bridge is expected to cost 41 million euros.", (2, 1), "verbatim"),
        ("Repairing the harbour bridge should cost 41 million euros.", (1,), "supported"),
        ("The repair of the harbour bridge is expected to cost 45 million euros.", (1,), "conflict"),
        ("The repair of the orchard bridge is expected to cost 41 million euros.", (2,), "unsupported"),
        ("The repair of the harbour bridge is expected to cost 41 million euros.", (2,), "unsupported"),
        ("The repair of the harbour bridge is expected to cost 41 million euros.", (), "unsupported"),
        ("The repair of the harbour bridge is expected to cost 41 million euros.", (7,), "unsupported"),
        (
            "The repair of the harbour bridge is expected to cost 41 million euros, "
            "and the harbour bridge was built in 1931.",
            (1,),
            "unsupported",
        ),
    ],
)
def test_a_sentence_stands_on_its_own_quotes(
    kb: KnowledgeBase, text: str, numbers: tuple[int, ...], support: str
) -> None:
    (sentence,) = kb.judged(said(kb, text, *numbers)).sentences
    assert sentence.support == support
    assert sentence.text == text


def test_a_quote_that_is_in_no_document_is_taken_out(kb: KnowledgeBase) -> None:
    text = "The repair of the harbour bridge is expected to cost 90 million euros."
    answer = said(kb, text, 1, 2)
    invented = replace(answer.citations[0], quote=text)
    found = kb.judged(replace(answer, citations=(invented, answer.citations[1])))
    assert found.text == f"{text} [2]"
    assert [c.n for c in found.citations] == [2]
    assert (found.sentences[0].citations, found.sentences[0].support) == ((2,), "unsupported")
    assert found.notices == ("1 of the quotes is not in the document that was named, and left out.",)


def test_places_in_the_text_hold_when_markers_go(kb: KnowledgeBase) -> None:
    first, second = "It was closed.", "The ferry runs from five in the morning until midnight"
    text = f"{first} [9][2]\n\n{second} [2]."
    sentences = (
        Sentence(first, 0, len(first), (9, 2), "verbatim"),
        Sentence(second, text.index(second), text.index(second) + len(second), (2,), "unsupported"),
    )
    answer = replace(said(kb, first), text=text, sentences=sentences)
    found = kb.judged(answer)
    assert found.text == f"{first} [2]\n\n{second} [2]."
    assert [found.text[s.start : s.end] for s in found.sentences] == [first, second]
    assert found.sentences[1].support == "verbatim"


def test_a_document_that_is_gone_supports_nothing(kb: KnowledgeBase) -> None:
    def gone(document_id: str) -> Document:
        raise NoSuchDocument(f"there is no document {document_id}", "list them")

    answer = said(kb, "The ferry runs from five in the morning until midnight", 2)
    found = judged(answer, gone, kb.store.embedder.embed, kb._reader.judge)
    assert found.citations == ()
    assert found.sentences[0].support == "unsupported"


def test_what_the_product_says_stays_as_it_is(kb: KnowledgeBase) -> None:
    answer = kb.ask(WHEN)
    assert answer.status == "answered"
    assert kb.judged(answer) == answer
    refused = kb.ask("Who painted the ceiling?")
    assert kb.judged(refused) == refused


def test_broken_answers_are_caught(kb: KnowledgeBase) -> None:
    drawn = cases(kb, answers(kb, 12), 24, seed=3)
    assert {case.kind for case in drawn} >= {"number", "marker", "quote", "unchanged"}
    for case, found in run(kb, drawn):
        caught = found.sentences[case.at].support in ("unsupported", "conflict")
        assert caught is (case.kind in BROKEN), (case.kind, found.sentences[case.at])


def test_breaking_is_the_same_for_the_same_seed(kb: KnowledgeBase) -> None:
    found = answers(kb, 6)
    random.seed(1)
    assert cases(kb, found, 12, seed=5) == cases(kb, found, 12, seed=5)
    assert cases(kb, found, 12, seed=5) != cases(kb, found, 12, seed=6)
