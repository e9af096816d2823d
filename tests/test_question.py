"""Questions: the kind of answer they want, follow-ups made to stand alone, typing errors mended."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kb.pipeline import KnowledgeBase
from kb.question import (
    analyse,
    answer_kind,
    other_language,
    parts,
    period,
    preferred,
    stand_alone,
    stated,
    wants_list,
)
from kb.settings import Settings
from kb.store import Store
from kb.types import Turn


def asked(*questions: str) -> list[Turn]:
    """A conversation so far: questions with some answer to each."""
    return [turn for q in questions for turn in (Turn("user", q), Turn("assistant", "Nora Blum did so."))]


# --------------------------------------------------------------------------------------------- kinds


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        ("Who called the repair overdue?", "who"),
        ("Whose idea was it?", "who"),
        ("Which company built the bridge?", "who"),
        ("When was the bridge closed?", "when"),
        ("Since when has the ferry run?", "when"),
        ("In which year did it open?", "when"),
        ("What date was it?", "when"),
        ("Where does the ferry stop?", "where"),
        ("Which country has the most?", "where"),
        ("How many votes were cast?", "how_many"),
        ("What is the number of piers?", "how_many"),
        ("How much does a crossing cost?", "how_much"),
        ("What is the price of a crossing?", "how_much"),
        ("How large is the harbour?", "how_much"),
        ("Why was the bridge closed?", "why"),
        ("What is the reason for it?", "why"),
        ("How does the ferry work?", "how"),
        ("List the towns on the river.", "list"),
        ("Name three ferries", "list"),
        ("Is the bridge open?", "yes_no"),
        ("Didn’t the council approve it?", "yes_no"),
        ("and was it expensive?", "yes_no"),
        ("What is a pier?", "what"),
        ("bridge repair", "what"),
        ("WHO CALLED IT OVERDUE?", "who"),
        ("", "what"),
    ],
)
def test_kinds(question: str, kind: str) -> None:
    assert answer_kind(question) == kind


@pytest.mark.parametrize(
    ("question", "several"),
    [
        ("List the towns.", True),
        ("Which towns lie on the river?", True),
        ("What are the main costs?", True),
        ("Compare the ferry and the bridge.", True),
        ("Who called the repair overdue?", False),
        ("When was the bridge closed?", False),
    ],
)
def test_questions_for_several_things(question: str, several: bool) -> None:
    assert wants_list(question) == several


def test_what_is_read_off_a_question() -> None:
    question = analyse("  When did Nora Blum close the harbour bridge? ")
    assert question.text == question.search_text == "When did Nora Blum close the harbour bridge?"
    assert (question.kind, question.names, question.search_text) == ("when", ("nora blum",), question.text)
    assert {"nora", "blum", "close", "harbour", "bridg"} >= {w.stem for w in question.words} - {"harbour"}


@given(st.text(max_size=60), st.lists(st.text(max_size=30), max_size=3))
def test_any_text_can_be_read(text: str, before: list[str]) -> None:
    question = analyse(text, asked(*before))
    assert question.search_text.endswith(question.text)
    assert question.text == text.strip()


# ---------------------------------------------------------------------------------------- follow-ups

BRIDGE = "When was the harbour bridge closed to lorries?"


@pytest.mark.parametrize(
    "text",
    [
        "and when?",
        "Why?",
        "How much does it cost?",
        "Who said that?",
        "what about the ferry?",
        "And who called it overdue?",
        "Are they happy?",
    ],
)
def test_a_follow_up_takes_the_words_it_leans_on(text: str) -> None:
    assert stand_alone(text, asked(BRIDGE)) == f"{BRIDGE} {text}"
    assert analyse(text, asked(BRIDGE)).search_text != text


@pytest.mark.parametrize(
    "text",
    [
        "How many passengers did the tram carry in May 2026?",
        "What did Piet Janssen report about the ferry?",
        "Which growers lost apple blossom to frost?",
    ],
)
def test_a_question_that_stands_alone_is_left_as_it_is(text: str) -> None:
    assert stand_alone(text, asked(BRIDGE)) == text


def test_a_follow_up_to_a_follow_up_reaches_the_first_question() -> None:
    found = stand_alone("and who?", asked(BRIDGE, "and why?"))
    assert found == f"{BRIDGE} and why? and who?"


def test_only_what_was_asked_counts() -> None:
    assert stand_alone("and when?", []) == "and when?"
    assert stand_alone("and when?", [Turn("assistant", "Welcome."), Turn("user", " ")]) == "and when?"
    assert "Nora" not in stand_alone("and when?", asked(BRIDGE))


def test_the_kind_is_that_of_the_last_question() -> None:
    assert analyse("and why?", asked(BRIDGE)).kind == "why"


# ------------------------------------------------------------------------------------- typing errors


@pytest.fixture(scope="module")
def kb(tmp_path_factory: pytest.TempPathFactory, texts: Path) -> Iterator[KnowledgeBase]:
    """The shared texts and one on monitoring, with the default embedder: it knows the language."""
    from ingest.sync import ingest

    folder = tmp_path_factory.mktemp("spelling")
    (folder / "tools.txt").write_text(
        "Prometheus watches the servers of the harbour office. Kubernetes restarts what Prometheus reports.\n"
        "Grafana draws the curves. Łukasz Żuk looks at them. The data center's inverters are watched too."
    )
    settings = Settings(kb=folder / "kb")
    with Store.open(folder / "kb", settings, create=True) as store:
        assert not ingest([str(texts), str(folder / "tools.txt")], store).failed
    with KnowledgeBase.open(folder / "kb", settings) as opened:
        yield opened


def understood(kb: KnowledgeBase, text: str) -> tuple[str, tuple[str, ...]]:
    from kb.spelling import correct

    return correct(text, kb.store.catalogue, lambda w: kb.store.embedder.count_tokens([w.lower()])[0] <= 1)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("what does promethues watch?", "Prometheus"),
        ("what does prometeus watch?", "Prometheus"),
        ("what does kubrenetes restart?", "Kubernetes"),
        ("who draws with graffana?", "Grafana"),
        ("how many passengres did the tram carry?", "passengers"),
        ("which engineeers found cracks?", "engineers"),
        ("What does Promethues watch?", "Prometheus"),
    ],
)
def test_a_misspelt_word_is_read_as_the_one_that_was_meant(kb: KnowledgeBase, typed: str, meant: str) -> None:
    text, notices = understood(kb, typed)
    assert meant.lower() in text.lower()
    [notice] = notices
    assert meant.lower() in notice.lower()
    assert len(text.split()) == len(typed.split()), "the rest is as it was"


@pytest.mark.parametrize(
    "text",
    [
        "What does Prometheus watch?",
        "Who is Tim Cook?",
        "Where is the fairy?",  # not the ferry
        "Who built the fridge?",  # not the bridge
        "What did Trump say?",  # not the tram
        "Where is Marte?",  # a short name, not Marta
        "What is a GPU at 3.5 GHz?",
        "Was ist eine Brücke?",
        "人工智能需要电力吗?",
        "https://example.org/promethues2",
        "Is Łukasz Żuk there?",
        "the the of and",
        "%_'\" OR 1=1 --",
    ],
)
def test_real_words_names_and_what_is_no_word_are_left_alone(kb: KnowledgeBase, text: str) -> None:
    assert understood(kb, text) == (text, ())


def test_two_typing_errors_give_two_notices_in_order(kb: KnowledgeBase) -> None:
    text, notices = understood(kb, "does promethues watch kubrenetes?")
    assert text.lower() == "does prometheus watch kubernetes?"
    assert ["promethues" in notices[0], "kubrenetes" in notices[1]] == [True, True]


def test_a_question_with_a_typing_error_finds_the_same(kb: KnowledgeBase) -> None:
    right, wrong = (kb.search(f"what does {name} watch", top=1) for name in ("prometheus", "promethues"))
    assert right[0].passage == wrong[0].passage
    assert right[0].passage.document_id == "tools.txt"


# ------------------------------------------------------------------------- parts, sources, time, languages


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Who sold the ferry?", ["Who sold the ferry?"]),
        ("Who sold the ferry, and when?", ["Who sold the ferry, and when?"]),
        ("Why was it closed, and why now?", ["Why was it closed, and why now?"]),
        ("Who sold it and when did it sail?", ["Who sold it", "when did it sail?"]),
        ("Who sold the ferry? When did it sail?", ["Who sold the ferry", "When did it sail?"]),
        (
            "Where does it stop, who steers it, and how much does it cost?",
            ["Where does it stop", "who steers it", "how much does it cost?"],
        ),
        ("What do ferries and trams cost?", ["What do ferries and trams cost?"]),
        ("What happened when it sank and why?", ["What happened when it sank and why?"]),
        (
            "Compare what Holm and Lenne pay for the ferry.",
            ["Compare what Holm pay for the ferry.", "Compare what Lenne pay for the ferry."],
        ),
        (
            "How does the plan of Holm differ from that of Lenne?",
            ["How does the plan of Holm differ from that of Lenne?"],
        ),
        (
            "When were both Holm, Lenne and Marta built?",
            ["When were both Holm built?", "When were both Lenne built?", "When were both Marta built?"],
        ),
        ("What do Holm and Lenne pay?", ["What do Holm and Lenne pay?"]),
        (
            "Does the Gazette say that Holm paid, while the Herald says that Lenne did?",
            ["Does the Gazette say that Holm paid?", "Does the Herald says that Lenne did?"],
        ),
        (
            "Did the council close it, whereas the port kept it open?",
            ["Did the council close it?", "Did the port kept it open?"],
        ),
        ("Did it rest while the ice melted?", ["Did it rest while the ice melted?"]),
    ],
)
def test_a_question_is_taken_apart(question: str, expected: list[str]) -> None:
    assert list(parts(question)) == expected


@given(st.text(max_size=200))
def test_parts_lose_nothing_but_marks_and_links(text: str) -> None:
    found = parts(text)
    assert 1 <= len(found) <= 4
    assert all(set(part) <= set(text) for part in found)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("What happened yesterday?", "2026-03-17", "2026-03-17"),
        ("what was said last week", "2026-03-09", "2026-03-15"),
        ("this month", "2026-03-01", "2026-03-31"),
        ("last month", "2026-02-01", "2026-02-28"),
        ("in the last quarter", "2025-12-16", "2026-03-18"),
        ("last quarter", "2025-10-01", "2025-12-31"),
        ("last year", "2025-01-01", "2025-12-31"),
        ("over the past 3 days", "2026-03-15", "2026-03-18"),
        ("in the past two years", "2024-03-16", "2026-03-18"),
        ("on 7 October 2023", "2023-10-07", "2023-10-07"),
        ("in May 2026", "2026-05-01", "2026-05-31"),
        ("in the past 99999999 years", "0001-01-01", "2026-03-18"),
    ],
)
def test_time_is_seen_from_a_day(text: str, first: str, last: str) -> None:
    found = period(text, date(2026, 3, 18))
    assert found is not None
    assert [d.isoformat() for d in found] == [first, last]


@pytest.mark.parametrize("text", ["in 2026", "at last", "the last ferry", "in May", "31 February 2025", ""])
def test_what_is_no_period(text: str) -> None:
    assert period(text, date(2026, 3, 18)) is None


def test_sources_that_a_question_names_are_preferred() -> None:
    published = ["Time", "The Daily Ferry", "Lenne Post", "X"]
    found = preferred(
        "What did the daily ferry and Lenne Post say in time for X?", published, date(2026, 3, 18)
    )
    assert found.publishers == ("The Daily Ferry", "Lenne Post")
    assert (found.after, found.before) == (None, None)
    assert not preferred("What did they say?", published, date(2026, 3, 18))


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("What is driving the race?", None),
        ("Who said \u201cc'est la vie\u201d and when?", None),
        ("What is de facto control?", None),
        ("HBM price?", None),
        ("", None),
        ("Wie viel kostet das und wer bezahlt?", "German"),
        ("Quel est le prix de la centrale ?", "French"),
        ("\u00bfCu\u00e1ndo se construy\u00f3 el puente y por qu\u00e9?", "Spanish"),
        ("Quem \u00e9 o autor do livro?", "Portuguese"),
        ("\u041a\u0442\u043e \u044d\u0442\u043e?", "Russian or another language in Cyrillic"),
        ("\u3069\u3053\u3067\u3059\u304b", "Japanese"),
    ],
)
def test_other_languages_are_recognised(text: str, language: str | None) -> None:
    assert other_language(text) == language


@pytest.mark.parametrize(
    ("question", "answer", "statement"),
    [
        ("Who bought the bridge?", "Ada Holm", "Ada Holm bought the bridge."),
        ("When was the bridge painted?", "1974", "The bridge was painted in 1974."),
        ("When was the bridge painted?", "In May", "The bridge was painted in May."),
        ("What is the capital of Norway?", "Oslo", "Oslo is the capital of Norway."),
        ("Why did the council close it?", "for repairs", None),
        ("How long is the Lenne?", "130 miles", "The Lenne is 130 miles."),
        ("Where did the council buy it?", "Holm", "The council buy it in Holm."),
        ("How many people live there?", "130", "130 people live there."),
        ("How many ships does a lock hold?", "Up to 12.", "A lock hold up to 12 ships."),
        ("How much did they raise?", "$4 million", "They raise $4 million."),
        ("Who did the firm merge with?", "Holm", "The firm merge with Holm."),
        ("Which country did the ship come from?", "Norway", "The ship come from Norway."),
        # What would be no sentence.
        ("Which country did the ship come from?", "from Norway", None),
        ("Where does the wine come from?", "France", None),
        ("Where does the wine come from?", "in France", None),
        ("Where is Ada Holm from?", "Norway", None),
        ("What is the bridge made of?", "steel", None),
        ("Who was the ship named after?", "Ada Holm", None),
        ("Who owns the bridge?", "by the council", None),
        ("Who is the mayor and when was she elected?", "Ada Holm", None),
        ("What happened in 1990?", "The bridge fell", None),
        ("What time does it open?", "9 am", None),
        ("What did Ada do?", "Paint", None),
        ("What did they use to build it?", "steel", None),
        ("How far is it from Oslo to Bergen?", "300 miles", None),
    ],
)
def test_question_and_answer_become_a_statement(question: str, answer: str, statement: str | None) -> None:
    assert stated(question, answer) == statement
