"""Answers without a model, over the starter knowledge base: what every answer promises, and refusals."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from kb.extract import (
    FEATURES,
    READ_CHARACTERS,
    SUMMARY,
    borne_out,
    candidates,
    choose,
    compose,
    differs,
    load_model,
    nearness,
    reordered,
    summarise,
    worth_reading,
)
from kb.pipeline import KnowledgeBase
from kb.question import analyse
from kb.retrieve import Weights
from kb.text import word_count
from kb.types import Answer, Filters, Hit, Passage, Source, Turn

SEEDS = Path(__file__).parent.parent / "seeds"
QUESTIONS = list(csv.DictReader((SEEDS / "questions.csv").open(encoding="utf-8")))


@pytest.fixture(scope="module")
def answers(starter: KnowledgeBase) -> dict[str, Answer]:
    """What is answered to each question of ``seeds/questions.csv``."""
    return {row["id"]: starter.ask(row["question"]) for row in QUESTIONS}


@pytest.mark.parametrize("row", QUESTIONS, ids=lambda row: row["id"])
def test_every_answer_keeps_its_promises(
    row: dict[str, str], answers: dict[str, Answer], starter: KnowledgeBase
) -> None:
    answer = answers[row["id"]]
    assert 0.0 <= answer.confidence <= 1.0
    assert [hit.rank for hit in answer.hits] == list(range(1, len(answer.hits) + 1))
    assert all(0.0 <= hit.score <= 1.0 for hit in answer.hits)
    assert [hit.score for hit in answer.hits] == sorted((hit.score for hit in answer.hits), reverse=True)
    if answer.status == "not_found":
        assert (answer.text, answer.sentences, answer.citations) == ("", (), ())
        assert answer.hits, "a refusal shows the closest passages"
        return
    assert answer.status == "answered"
    offered = {citation.n for citation in answer.citations}
    assert {int(n) for n in re.findall(r"\[(\d+)\]", answer.text)} == offered
    for sentence in answer.sentences:
        assert answer.text[sentence.start : sentence.end] == sentence.text
        assert sentence.citations
        assert set(sentence.citations) <= offered
        assert sentence.support == "verbatim"
    for citation in answer.citations:
        assert starter.document(citation.document_id).text[citation.start : citation.end] == citation.quote
        assert not citation.quote.endswith("?")
    assert word_count(answer.text) <= 125


def test_the_key_questions_are_answered_from_their_own_answers(answers: dict[str, Answer]) -> None:
    keys = [row for row in QUESTIONS if row["kind"] == "key"]
    assert len(keys) == 5
    for row in keys:
        answer = answers[row["id"]]
        assert answer.status == "answered", row["question"]
        assert row["expected_document"] in {c.document_id for c in answer.citations}
        assert (answer.citations[0].section or "").endswith("?"), row["question"]


def test_most_questions_are_answered_and_refused_rightly(answers: dict[str, Answer]) -> None:
    """A floor, not a target: benchmarks/quality.py measures."""
    right = [(answers[row["id"]].status == "answered") == (row["answerable"] == "true") for row in QUESTIONS]
    assert sum(right) >= 0.7 * len(right)


def test_the_same_question_gives_the_same_bytes(starter_folder: Path, answers: dict[str, Answer]) -> None:
    from kb.settings import Settings

    with KnowledgeBase.open(starter_folder, Settings(kb=starter_folder)) as again:
        for row in QUESTIONS[::5]:
            first, second = answers[row["id"]].to_dict(), again.ask(row["question"]).to_dict()
            assert {**first, "seconds": 0} == {**second, "seconds": 0}


@pytest.mark.parametrize(
    "question",
    [
        "Who won the football world cup in 1998?",
        "How do I bake sourdough bread?",
        "What is the capital of Peru?",
    ],
)
def test_what_is_not_in_the_documents_is_refused(question: str, starter: KnowledgeBase) -> None:
    answer = starter.ask(question)
    assert answer.status == "not_found"
    assert answer.hits


@pytest.mark.parametrize("question", ["", "   ", "???", "x" * 3000])
def test_what_is_no_question_is_an_error_in_words(question: str, starter: KnowledgeBase) -> None:
    answer = starter.ask(question)
    assert answer.status == "error"
    assert answer.error
    assert answer.question == question


@pytest.mark.parametrize(
    "question",
    [
        '" OR 1=1 --',
        "NEAR(a b)",
        "\x00what",
        "{}[]()*^~:\\",
        "\U0001f600 why?",
        "'; DROP TABLE documents; what",
        "\u202ewhat",
    ],
)
def test_odd_questions_do_no_harm(question: str, starter: KnowledgeBase) -> None:
    assert starter.ask(question).status in {"answered", "not_found", "error"}


def test_a_follow_up_is_understood(starter: KnowledgeBase) -> None:
    history = [Turn("user", "Who introduced the Prometheus server?"), Turn("assistant", "Majestic Labs.")]
    alone = starter.ask("And how much memory can it hold?")
    answer = starter.ask("And how much memory can it hold?", history=history)
    assert answer.question == "And how much memory can it hold?"
    assert "128 terabytes" in answer.text or "128 TB" in answer.text, (alone.text, answer.text)


def test_how_many_passages_are_shown_does_not_change_the_answer(starter: KnowledgeBase) -> None:
    question = "How many terabytes of memory can a Prometheus server hold?"
    few, many = starter.ask(question, top=3), starter.ask(question, top=60)
    assert (len(few.hits), len(many.hits)) == (3, 60)
    assert (few.text, few.citations, few.confidence) == (many.text, many.citations, many.confidence)
    assert [hit.passage for hit in many.hits[:3]] == [hit.passage for hit in few.hits]


def test_filters_narrow_what_is_read(starter: KnowledgeBase) -> None:
    answer = starter.ask(
        "How much will big tech spend in 2026?", filters=Filters(document_ids=("memory-wall.md",))
    )
    assert {hit.passage.document_id for hit in answer.hits} == {"memory-wall.md"}
    assert (
        starter.ask("How much will big tech spend?", filters=Filters(after="2031-01-01")).status
        == "not_found"
    )


# ------------------------------------------------------------------------------- the parts, by themselves


def hit(text: str, section: str | None = None, title: str = "Title", document_id: str = "d") -> Hit:
    return Hit(Passage(document_id, 0, 10, 10 + len(text), text, section), Source(title), 1.0, 1, 0.5, 0.5)


def test_candidates_are_sentences_with_exact_offsets() -> None:
    text = "Power\n\nThe plant makes 5 MW. Who pays? It opened in 2020.\n- Steam is reused."
    found = candidates([hit(text, section="Power")])
    assert [c.text for c in found] == ["The plant makes 5 MW.", "It opened in 2020.", "Steam is reused."]
    for c in found:
        assert text[c.start - 10 : c.end - 10] == c.text


def test_titles_and_lone_headings_are_no_candidates() -> None:
    assert [
        c.text for c in candidates([hit("Key Questions\nThe plant is new.", section="What is new?")])
    ] == ["The plant is new."]


def test_long_passages_are_read_no_further_than_there_is_time_for() -> None:
    short, long = [hit("Word. " * 90)] * 10, [hit("Word. " * 300)] * 10
    assert worth_reading(short) == short
    assert worth_reading(long) == long[: READ_CHARACTERS // 1800]
    assert worth_reading([hit("Word. " * 2000), *short]) == [hit("Word. " * 2000)]  # the first in any case
    assert worth_reading([]) == []


def test_nothing_to_read_is_a_refusal() -> None:
    from kb.extract import Reading

    answer = compose(analyse("Who?"), Reading((), (), (), (), 0.0, 0.0), (), (), load_model())
    assert (answer.status, answer.confidence) == ("not_found", 1.0)


def test_lone_marks_take_no_room_in_an_answer() -> None:
    from kb.extract import Reading

    # Twenty words each, and twenty marks: eighty words in four sentences, for a fifth there is no room.
    texts = [" , ".join(["Town", *(f"{name}{n}" for n in range(19))]) + " ." for name in "abcde"]
    found = tuple(candidates([hit(text, document_id=text[7:9]) for text in texts]))
    reading = Reading(found, (2.0, 1.9, 1.8, 1.7, 1.6), ("",) * 5, (0.0,) * 5, 0.9, 0.9)
    assert [c.text for c in choose(analyse("What is there?"), reading)] == texts[:4]


def test_an_answer_from_a_faq_is_the_whole_answer() -> None:
    from kb.extract import Reading

    body = "What drives the plant?\nSteam drives it. Coal makes the steam. It is old."
    found = candidates([hit(body, section="What drives the plant?")])
    ranked = tuple(found[1:] + found[:1])
    reading = Reading(ranked, (3.0, 1.0, 0.5), ("",) * 3, (0.0,) * 3, 0.9, 0.9, own_answer=True)
    chosen = choose(analyse("What drives the plant?"), reading)
    assert [c.text for c in chosen] == ["Steam drives it.", "Coal makes the steam.", "It is old."]


@pytest.mark.parametrize(
    ("question", "differing"),
    [
        ("Which council did not buy the bridge?", 1.0),
        ("Which council bought the bridge?", 0.0),
        ("Which council sold the bridge?", 1.0),
        ("Which council bought or sold the bridge?", 0.0),
    ],
)
def test_a_question_can_say_something_else_than_the_sentence(question: str, differing: float) -> None:
    (found,) = candidates([hit("The council of Holm bought the bridge.")])
    assert differs(analyse(question), found) == differing


# ----------------------------------------------------------------------------------- sources that differ


def rivals(question: str, *told: tuple[str, str, float]) -> list[str]:
    """The values named as differing, for sentences with the words that answer and the reader's trust."""
    from kb.extract import Reading, disagreements

    found = tuple(candidates([hit(text, document_id=f"d{n}") for n, (text, _, _) in enumerate(told)]))
    reading = Reading(
        found,
        (0.0,) * len(found),
        tuple(t for _, t, _ in told),
        tuple(trust for _, _, trust in told),
        answerable=0.9,
        right=0.9,
    )
    return [value for value, _ in disagreements(analyse(question), reading)]


def test_values_that_differ_are_named() -> None:
    assert rivals(
        "How many people live in Lenne?",
        ("Lenne has 3,559 people.", "3,559", 4.0),
        ("About 10,000 people live in Lenne.", "10,000 people", 3.5),
    ) == ["3,559", "10,000 people"]
    assert rivals(
        "When does the mission start?",
        ("The mission starts in 2027.", "2027", 4.0),
        ("It now starts in June 2028.", "June 2028", 4.0),
    ) == ["2027", "June 2028"]
    assert rivals(
        "Who bought the ferry?",
        ("Nora Blum bought the ferry.", "Nora Blum", 4.0),
        ("The ferry was bought by Ada Holm.", "Ada Holm", 4.0),
    ) == ["Nora Blum", "Ada Holm"]


@pytest.mark.parametrize(
    "told",
    [
        (("It cost $3 million.", "$3 million", 4.0), ("It cost 3 million.", "3 million", 4.0)),
        (("Nora Blum did.", "Nora Blum", 4.0), ("Blum did it.", "Blum", 4.0)),
        (("It has 12 cars.", "12 cars", 4.0), ("It has 30 seats.", "30 seats", 0.9)),
        (("It has 12 cars.", "12 cars", 0.5), ("It has 30 cars.", "30 cars", -1.1)),
        (("It starts in May 2027.", "May 2027", 4.0), ("It starts in 2027.", "2027", 4.0)),
    ],
)
def test_values_that_agree_or_are_not_sure_are_not(told: tuple[tuple[str, str, float], ...]) -> None:
    for question in ("How much did it cost?", "Who did it?", "How many has it?", "When does it start?"):
        assert rivals(question, *told) == []


@pytest.mark.parametrize(
    ("question", "said", "other", "of_something_else"),
    [
        ("When does Lenne launch?", "Lenne plans a launch in", "2030", "Lenne hired Ada Holm in 2026."),
        ("When does Lenne open?", "Lenne opens in", "2030", "Blum wrote on 2026 of Lenne opening."),
        ("How much did Lenne spend?", "Lenne spent", "$3 bn", "Holm, Lenne and Blum spent $9 bn."),
        ("How much did Lenne spend?", "Lenne spent", "$3 bn", "Norvia spent $9 bn."),
        ("How many tons did Lenne buy?", "Lenne bought tons of coal:", "3", "Lenne bought tons for $9 bn."),
    ],
)
def test_a_value_of_something_else_is_no_other_value(
    question: str, said: str, other: str, of_something_else: str
) -> None:
    value = next(value for value in ("$9 bn", "2026") if value in of_something_else)
    first = (f"{said} {other}.", other, 1.0)
    assert rivals(question, first, (of_something_else, value, 1.0)) == []
    another = other.replace("3", "7", 1)
    assert rivals(question, first, (f"{said} {another}.", another, 1.0)) == [other, another]


def test_a_quality_has_common_nouns_for_values() -> None:
    told = (("Ada Holm plays golf.", "golf", 1.0), ("Ada Holm plays ice hockey.", "ice hockey", 0.5))
    assert rivals("What sport does Ada Holm play?", *told) == ["golf", "ice hockey"]
    assert rivals("What does Ada Holm like?", *told) == []


def test_the_nearest_in_meaning_of_the_best_sentences_moves_up() -> None:
    order = np.array([1.0, 3.0, 2.9, -5.0])
    best = np.array([1, 2])
    moved = reordered(order, best, np.array([0.2, 0.6]), weight=2.0)
    assert moved.tolist() == pytest.approx([1.0, 2.6, 3.3, -5.0])
    assert reordered(order, best, np.array([0.2, 0.6]), weight=0.0).tolist() == order.tolist()


@pytest.mark.parametrize(
    ("trust", "second"), [((2.0, 5.0, 3.0), 3.0), ((2.0,), 2.0)], ids=["several", "only one"]
)
def test_what_decides_sees_the_best_sentence_and_the_second_choice(
    trust: tuple[float, ...], second: float
) -> None:
    rows = np.zeros((len(trust), len(FEATURES)))
    rows[:, FEATURES.index("reader")] = trust
    rows[:, FEATURES.index("length")] = np.arange(len(trust))
    order = np.arange(len(trust), dtype=float)  # the last is put first
    hit = Hit(Passage("a", 0, 0, 9, "A lighter"), Source("A"), 1.0, 1)
    weights = Weights({"lighter": 1.0, "ferri": 3.0}, passages=99)
    summary = summarise(weights, [hit], order, rows, np.array([0.2, 0.7])[: len(trust)], 1.5, 1.0)
    told = dict(zip(SUMMARY, summary.tolist(), strict=True))
    assert told["reader"] == max(trust)
    assert told["second"] == second
    assert told["first_reader"] == trust[-1]
    assert told["first_length"] == len(trust) - 1
    assert told["covered"] == pytest.approx(0.25)
    assert (told["borne_out"], told["differs"]) == (1.5, 1.0)


def test_a_question_is_nearest_to_the_sentence_that_means_the_same(starter: KnowledgeBase) -> None:
    text = "The company has its head office in Lyon. The canteen serves soup on Fridays."
    hit = Hit(Passage("a", 0, 0, len(text), text), Source("A"), 1.0, 1)
    near = nearness(analyse("Where are the headquarters?"), candidates([hit]), starter.store.embedder.embed)
    assert near[0] > near[1] + 0.2


def test_a_sentence_that_bears_the_question_out_is_told_from_one_that_does_not(
    starter: KnowledgeBase,
) -> None:
    def said(text: str) -> float:
        (candidate,) = candidates([Hit(Passage("a", 0, 0, len(text), text), Source("A"), 1.0, 1)])
        return borne_out(analyse("Who introduced the Prometheus server?"), candidate, starter.senses.judge)

    assert said("Majestic Labs introduced the Prometheus server.") > said(
        "The canteen serves soup on Fridays."
    )
