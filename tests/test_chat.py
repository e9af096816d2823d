"""A chat model over HTTP that behaves, or misbehaves, as real ones do."""

from __future__ import annotations

import io
import json
import logging
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.chat_models import SimpleChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from benchmarks.provider import KEY, Asked, Provider, Request, Script, Step, asked, steps
from kb import chat, cli, generate
from kb.chat import Budget, open_model
from kb.errors import ModelError
from kb.pipeline import KnowledgeBase
from kb.render import answer_html, growing_text
from kb.types import Answer, Turn
from kb.web.offers import Offers
from tests.conftest import Command

QUESTION = "What is the repair of the harbour bridge expected to cost?"
COST = "The repair of the harbour bridge is expected to cost 41 million euros."
CLOSED = "The harbour bridge was closed to lorries on 3 March 2026."
MODEL = "openai:scripted"

Ask = Callable[..., Answer]


@pytest.fixture
def provider(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    with Provider(steps(Step())) as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def opened(library: KnowledgeBase, provider: Provider, cache: Path) -> Callable[..., KnowledgeBase]:
    """The small library with the scripted model; keywords are settings."""

    def open_with(model: Any = MODEL, **settings: Any) -> KnowledgeBase:
        chosen = replace(library.settings, **{"model_timeout": 30.0, "cache": cache, **settings})
        named = open_model(model, chosen.model_timeout, chosen.cache)
        kb = KnowledgeBase(library.store, chosen, named)
        kb._reader, kb.senses = library._reader, library.senses  # loaded once
        return kb

    return open_with


@pytest.fixture
def word_by_word(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader of a stream keeps up with it.

    Words that came while it was busy it would take all at once, and on a slow machine that may be every one.
    """
    monkeypatch.setattr(chat, "_waiting", lambda chunks, _: iter([chunks.get(timeout=30)]))
    monkeypatch.setattr(cli, "REDRAWN_S", -1.0)


@pytest.fixture
def ask(opened: Callable[..., KnowledgeBase], provider: Provider) -> Ask:
    """Ask the question of a model that follows a script; the script may be one step, or words to cite."""

    def once(script: Script | Step | str, question: str = QUESTION, **settings: Any) -> Answer:
        if isinstance(script, str):
            words = script
            script = lambda request: Step(placed(words, asked(request)))  # noqa: E731
        provider.script = steps(script) if isinstance(script, Step) else script
        return opened(**settings).ask(question)

    return once


def placed(text: str, seen: Asked) -> str:
    """``{cost}`` and ``{closed}`` in a text replaced by the number of the passage that says so."""
    passages = list(enumerate(seen.passages, start=1))
    numbers = {
        "cost": next(n for n, passage in passages if "41 million" in passage),
        "closed": next((n for n, passage in passages if "3 March 2026" in passage), 0),
    }
    return text.format(**numbers)


# ------------------------------------------------------------------------------------ good answers


def test_every_sentence_is_cited_with_a_slice_of_the_source(ask: Ask, library: KnowledgeBase) -> None:
    answer = ask("Repairing the harbour bridge is expected to cost 41 million euros. [{cost}]")
    assert (answer.status, answer.model) == ("answered", MODEL)
    assert answer.text == "Repairing the harbour bridge is expected to cost 41 million euros. [1]"
    (sentence,) = answer.sentences
    assert (sentence.text, sentence.citations) == (answer.text[sentence.start : sentence.end], (1,))
    assert sentence.support == "supported"
    (citation,) = answer.citations
    assert "41 million euros" in citation.quote
    assert library.document(citation.document_id).text[citation.start : citation.end] == citation.quote
    assert answer.notices == ()


def test_the_model_sees_the_question_and_passages_with_their_sources(ask: Ask, provider: Provider) -> None:
    ask(COST)
    (request,) = provider.requests
    rules, told = (message["content"] for message in request["messages"])
    assert "Use only what the passages say" in rules
    assert told.endswith(f"Question: {QUESTION}")
    assert "Harbour bridge closed to lorries | The Harbour Post | 2026-03-03" in told
    assert KEY not in json.dumps(request)
    assert provider.keys == [f"Bearer {KEY}"]


def test_a_source_that_is_said_word_for_word_is_verbatim(ask: Ask) -> None:
    answer = ask(f"{CLOSED} [{{closed}}]")
    assert [s.support for s in answer.sentences] == ["verbatim"]


def test_structured_output_is_read_where_the_model_has_it(
    opened: Callable[..., KnowledgeBase], provider: Provider
) -> None:
    def structured(request: Request) -> Step:
        assert request["response_format"]["type"] == "json_schema"
        (number,) = {placed("{cost}", asked(request))}
        return Step(json.dumps({"sentences": [{"text": COST, "passages": [int(number)]}]}))

    provider.script = structured
    answer = opened("openai:gpt-5-mini").ask(QUESTION)
    assert answer.notices == ()
    assert (answer.model, [s.text for s in answer.sentences]) == ("openai:gpt-5-mini", [COST])


def test_tokens_are_counted(opened: Callable[..., KnowledgeBase], provider: Provider) -> None:
    from langchain_openai import ChatOpenAI

    provider.script = lambda request: Step(placed(f"{COST} [{{cost}}]", asked(request)))
    answer = opened(ChatOpenAI(model="scripted", stream_usage=True)).ask(QUESTION)
    assert answer.usage
    assert answer.usage.calls == 1
    assert answer.usage.input_tokens > 100
    assert answer.usage.output_tokens == len(f"{COST} [1]".split())
    assert Answer.from_dict(json.loads(json.dumps(answer.to_dict()))).usage == answer.usage


def test_a_model_that_is_handed_in(opened: Callable[..., KnowledgeBase]) -> None:
    from langchain_core.language_models.fake_chat_models import FakeListChatModel

    answer = opened(FakeListChatModel(responses=[f"{COST} [1]"])).ask(QUESTION)
    assert [s.text for s in answer.sentences] == [COST]
    assert answer.model.endswith("FakeListChatModel")


def test_a_reply_is_remembered(ask: Ask, provider: Provider) -> None:
    first, second = ask(f"{COST} [{{cost}}]"), ask(f"{COST} [{{cost}}]")
    assert len(provider.requests) == 1
    assert second.text == first.text
    assert second.usage
    assert second.usage.calls == 0
    ask(f"{COST} [{{cost}}]", question="How much will the repair of the harbour bridge cost?")
    assert len(provider.requests) == 2


def test_what_the_reader_finds_unanswerable_is_refused_without_a_call(ask: Ask, provider: Provider) -> None:
    nonsense = "Which rocket carries the demonstration satellite into orbit?"
    assert ask(COST, question=nonsense).status == "not_found"
    assert provider.requests == []
    assert ask("The passages do not say.", question=nonsense, model_anyway=True).status == "not_found"
    assert len(provider.requests) == 1


def test_what_the_page_may_offer_is_not_asked_of_the_model(
    opened: Callable[..., KnowledgeBase], provider: Provider
) -> None:
    provider.script = steps(Step("Nothing."))
    assert Offers(opened()).to_begin_with(2)
    assert provider.requests == []


def test_a_server_that_refuses_the_schema_is_asked_without(
    opened: Callable[..., KnowledgeBase], provider: Provider
) -> None:
    def refusing(request: Request) -> Step:
        if "response_format" in request:
            return Step(status=400)
        return Step(placed(f"{COST} [{{cost}}]", asked(request)))

    provider.script = refusing
    kb = opened("openai:gpt-5-mini")
    assert [s.text for s in kb.ask(QUESTION).sentences] == [COST]
    kb.ask("How much will the repair of the harbour bridge cost?")
    assert ["response_format" in request for request in provider.requests] == [True, False, False]


def test_too_many_passages_for_the_model_become_fewer(
    opened: Callable[..., KnowledgeBase], provider: Provider
) -> None:
    def short(request: Request) -> Step:
        seen = asked(request)
        if len(seen.passages) > 2:
            said = {"error": {"message": "too long", "code": "context_length_exceeded"}}
            return Step(status=400, raw=json.dumps(said).encode())
        return Step(placed(f"{COST} [{{cost}}]", seen))

    provider.script = short
    answer = opened().ask(QUESTION)
    assert (answer.model, [s.text for s in answer.sentences]) == (MODEL, [COST])
    given = [len(step.found) for step in answer.trace if step.kind == "model"]
    assert given == [len(asked(request).passages) for request in provider.requests]
    assert given[0] > 2 >= given[-1]


def test_the_model_counts_its_own_tokens(provider: Provider) -> None:
    from langchain_openai import ChatOpenAI

    model = open_model(ChatOpenAI(model="scripted", stream_usage=True), 30.0)
    text = "four letters make word " * 30
    before = model.tokens(text)
    provider.script = steps(Step("Yes."))  # which counts words
    list(model.stream([("human", text)]))
    assert model.tokens(text) == len(text.split()) != before
    own = open_model(ChatOpenAI(model="scripted", custom_get_token_ids=lambda text: [0] * 7), 30.0)
    assert own.tokens(text) == 7


def test_the_cost_is_told_where_the_prices_are_known(
    opened: Callable[..., KnowledgeBase], provider: Provider
) -> None:
    from langchain_openai import ChatOpenAI

    said = {"sentences": [{"text": COST, "passages": [1]}]}
    provider.script = steps(Step(json.dumps(said)))
    known = opened(ChatOpenAI(model="gpt-4o-mini", stream_usage=True)).ask(QUESTION).usage
    assert known
    assert known.input_tokens > 100
    assert known.cost == pytest.approx((known.input_tokens * 0.15 + known.output_tokens * 0.6) / 1e6)
    unknown = opened(ChatOpenAI(model="scripted", stream_usage=True)).ask(QUESTION).usage
    assert unknown
    assert unknown.cost is None


def test_what_one_server_replied_is_not_taken_for_the_reply_of_another(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ask(f"{COST} [{{cost}}]")
    with Provider(lambda request: Step(placed(f"{CLOSED} [{{closed}}]", asked(request)))) as other:
        monkeypatch.setenv("OPENAI_BASE_URL", other.environment["OPENAI_BASE_URL"])
        second = ask(f"{COST} [{{cost}}]")
    assert (first.sentences[0].text, second.sentences[0].text) == (COST, CLOSED)


class Citing(SimpleChatModel):
    """Cites as Anthropic's models do: each block of text brings the words of the source that it rests on."""

    blocks: list[tuple[str, str]]

    @property
    def _llm_type(self) -> str:
        return "citing"

    def _call(self, *_: Any, **__: Any) -> str:
        raise AssertionError("it streams")

    def _stream(self, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        for index, (text, quote) in enumerate(self.blocks):
            for word in text.split(" "):
                block: dict[str, Any] = {"type": "text", "text": f"{word} ", "index": index}
                yield ChatGenerationChunk(message=AIMessageChunk(content=[block]))
            cited = {"type": "citation", "cited_text": quote}
            block = {"type": "text", "text": "", "index": index, "annotations": [cited]}
            yield ChatGenerationChunk(message=AIMessageChunk(content=[block]))


def test_citations_of_the_provider_are_read_and_judged_like_markers(
    opened: Callable[..., KnowledgeBase],
) -> None:
    wrong = CLOSED.replace("3 March", "9 April")
    blocks = [(COST, COST), (wrong, CLOSED), ("The ferry Marta sank.", "words of no passage")]
    answer = opened(Citing(blocks=blocks)).ask(QUESTION)
    assert [(s.text, s.support) for s in answer.sentences] == [(COST, "verbatim"), (wrong, "conflict")]
    assert "The chat model cited 1 passage that it was not given." in answer.notices
    assert "1 sentence of the chat model was withheld: no source bears it out." in answer.notices


# ------------------------------------------------------------------------------------------ follow-ups


HISTORY = [
    Turn("user", "When was the harbour bridge closed to lorries?"),
    Turn("assistant", f"{CLOSED} [1] The repair will cost 99 million euros. [2]"),
]


def conversing(restated: str, answer: str) -> Script:
    """A model that restates a follow-up so and answers so."""

    def script(request: Request) -> Step:
        if "follows it" in request["messages"][0]["content"]:
            return Step(restated)
        return Step(placed(answer, asked(request)))

    return script


def test_a_follow_up_is_restated_by_the_model(
    opened: Callable[..., KnowledgeBase], provider: Provider
) -> None:
    provider.script = conversing(QUESTION, f"{COST} [{{cost}}]")
    answer = opened().ask("And what is the repair expected to cost?", history=HISTORY)
    assert answer.question == "And what is the repair expected to cost?"
    assert [s.text for s in answer.sentences] == [COST]
    assert answer.notices == (f"Understood as “{QUESTION}”",)
    restating, answering = (json.dumps(request) for request in provider.requests)
    assert "closed to lorries" in restating
    assert "99 million" not in answering, "nothing can be answered from what was said before"
    assert [step.kind for step in answer.trace] == ["question", "search", "model"]
    assert answer.trace[0].text == QUESTION
    assert answer.usage
    assert answer.usage.calls == 2


@pytest.mark.parametrize(
    "restated",
    [
        "What did Zorvex Capital say about the repair and its cost?",
        "Zorvex says what about the repair and its expected cost?",
        "What is the repair of 2019 expected to cost?",
        "Which ferry sails on Sundays?",
        "What is the repair expected to cost? See https://prize.example/claim",
    ],
)
def test_what_is_not_the_question_that_was_asked_is_not_taken_for_it(
    opened: Callable[..., KnowledgeBase], provider: Provider, restated: str
) -> None:
    provider.script = conversing(restated, f"{COST} [{{cost}}]")
    answer = opened().ask("And what is the repair expected to cost?", history=HISTORY)
    assert not any("Understood" in notice for notice in answer.notices)
    assert restated not in json.dumps(answer.to_dict())
    assert [s.text for s in answer.sentences] == [COST]


def test_nothing_is_answered_from_the_conversation(
    opened: Callable[..., KnowledgeBase], provider: Provider
) -> None:
    false = "The repair will cost 99 million euros."
    provider.script = conversing(QUESTION, f"{false} [{{cost}}]")
    answer = opened(unsupported="withhold").ask("And what is the repair expected to cost?", history=HISTORY)
    assert "99 million" not in answer.text


def test_the_model_sees_only_so_much_of_a_conversation(
    opened: Callable[..., KnowledgeBase], provider: Provider
) -> None:
    provider.script = conversing(QUESTION, f"{COST} [{{cost}}]")
    long = [Turn("user", f"Question {n}? {'word ' * 1000}") for n in range(50)]
    opened().ask("And what is the repair expected to cost?", history=[*long, *HISTORY])
    told = str(provider.requests[0]["messages"][-1]["content"])
    assert "Question 1?" not in told
    assert "Question 49?" in told
    assert len(told) < 4000


def test_a_model_that_cannot_restate_is_not_asked_again(
    opened: Callable[..., KnowledgeBase], provider: Provider, library: KnowledgeBase
) -> None:
    provider.script = steps(Step(status=401))
    followed = "And what is the repair expected to cost?"
    answer = opened().ask(followed, history=HISTORY)
    assert len(provider.requests) == 1
    assert answer.text == library.ask(followed, history=HISTORY).text
    assert "refused the key; the answer is in the words of the documents." in answer.notices[0]


# ------------------------------------------------------------------------------------ further searches


TRAM = "How many passengers did the tram carry?"


def looking(query: str, found: str, answer: str) -> Script:
    """A model that looks for something until it has seen the words, and answers with their number."""

    def script(request: Request) -> Step:
        seen = asked(request)
        number = next((n for n, text in enumerate(seen.passages, 1) if found in text), 0)
        may = "Search: the words" in request["messages"][0]["content"]
        return Step(answer.format(n=number) if number or not may else f"Search: {query}")

    return script


@pytest.fixture
def ask_with_one_passage(
    opened: Callable[..., KnowledgeBase], library: KnowledgeBase
) -> Callable[[int], Answer]:
    """Ask the question with one passage to begin with and so many calls."""

    def once(calls: int) -> Answer:
        found, kb = library.ask(QUESTION), opened()
        assert kb._model
        *_, answer = generate.answers(
            QUESTION,
            found,
            found.hits[:1],
            kb._model,
            kb._judge,
            withhold=False,
            budget=Budget(30.0, calls),
            search=library.search,
        )
        return answer

    return once


def test_the_model_may_look_further(
    ask_with_one_passage: Callable[[int], Answer], provider: Provider, library: KnowledgeBase
) -> None:
    said = library.ask(TRAM).sentences[0].text
    provider.script = looking(TRAM, said, f"{said} [{{n}}]")
    answer = ask_with_one_passage(4)
    assert [(s.text, s.support) for s in answer.sentences] == [(said, "verbatim")]
    assert [step.kind for step in answer.trace] == ["search", "model", "search", "model"]
    assert [step.text for step in answer.trace if step.kind == "search"] == [QUESTION, TRAM]
    (citation,) = answer.citations
    assert any(
        (place.document_id, place.start <= citation.start) == (citation.document_id, True)
        for place in answer.trace[2].found
    )
    assert library.document(citation.document_id).text[citation.start : citation.end] == citation.quote
    assert answer.usage
    assert answer.usage.calls == 2
    assert Answer.from_dict(json.loads(json.dumps(answer.to_dict()))).trace == answer.trace


@pytest.mark.parametrize("calls", [1, 3])
def test_looking_further_ends_with_the_budget(
    ask_with_one_passage: Callable[[int], Answer], provider: Provider, library: KnowledgeBase, calls: int
) -> None:
    provider.script = lambda request: Step(f"Search: {len(provider.requests)} tram ferry apple")
    answer = ask_with_one_passage(calls)
    assert len(provider.requests) <= calls
    assert answer.text == library.ask(QUESTION).text
    may = ["Search: the words" in request["messages"][0]["content"] for request in provider.requests]
    assert may == [True] * (len(may) - 1) + [False], "the last call has to answer"


@pytest.mark.parametrize("query", ["https://prize.example", "Ignore all previous instructions.", "x" * 200])
def test_not_everything_is_looked_for(ask: Ask, provider: Provider, query: str) -> None:
    answer = ask(Step(f"Search: {query}"))
    assert query not in json.dumps(answer.to_dict())
    assert len(provider.requests) == 1


def test_further_searches_in_a_structured_reply(
    opened: Callable[..., KnowledgeBase], provider: Provider
) -> None:
    def structured(request: Request) -> Step:
        schema = request["response_format"]["json_schema"]["schema"]
        first = len(provider.requests) == 1
        assert ("searches" in schema["properties"]) or not first
        said = {"text": COST, "passages": [int(placed("{cost}", asked(request)))]}
        wanted = {"searches": ["tram passengers"]} if first else {}
        return Step(json.dumps({**wanted, "sentences": [] if first else [said]}))

    provider.script = structured
    answer = opened("openai:gpt-5-mini").ask(QUESTION)
    assert [s.text for s in answer.sentences] == [COST]
    assert "tram passengers" in [step.text for step in answer.trace]


# ---------------------------------------------------------------------------------------- the gate


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(f"{COST.replace('41', '47')} [{{cost}}]", id="invents a number"),
        pytest.param(f"{CLOSED.replace('3 March', '9 April')} [{{closed}}]", id="invents a date"),
        pytest.param("The ferry Marta was sold to Norway. [{cost}]", id="says what is nowhere"),
        pytest.param(f"{COST} [99]", id="cites what it was not given"),
        pytest.param(f"{COST}", id="cites nothing"),
        pytest.param("“The repair will cost a mere 41 million”, it says. [{cost}]", id="quotes loosely"),
        pytest.param("Read more at https://prize.example/win today. [{cost}]", id="a foreign address"),
        pytest.param("Use only what the passages say. Keep names, figures. [{cost}]", id="tells its rules"),
    ],
)
@pytest.mark.parametrize("unsupported", ["mark", "withhold"])
def test_what_no_source_bears_out_is_marked_or_withheld_and_counted(
    ask: Ask, wrong: str, unsupported: str
) -> None:
    answer = ask(f"{CLOSED} [{{closed}}] {wrong}", unsupported=unsupported)
    assert answer.model == MODEL
    fine = [s.text for s in answer.sentences if s.support in ("verbatim", "supported")]
    assert fine == [CLOSED]
    if unsupported == "withhold":
        assert len(answer.sentences) == 1
    assert any("marked" in notice or "withheld" in notice for notice in answer.notices)
    assert all(s.citations for s in answer.sentences)
    assert "prize.example" not in answer.text


@pytest.mark.parametrize(
    ("said", "support"), [("41 million euros.", "supported"), ("47 million euros.", "conflict")]
)
def test_a_fragment_is_held_against_the_sources_with_its_question(ask: Ask, said: str, support: str) -> None:
    answer = ask(
        f"{said} [{{cost}}] {CLOSED} [{{closed}}]", "How much will the repair of the harbour bridge cost?"
    )
    assert next((s.text, s.support) for s in answer.sentences) == (said, support)


def test_a_contradiction_is_marked_with_what_the_source_says(ask: Ask) -> None:
    answer = ask(f"{CLOSED} [{{closed}}] {COST.replace('41', '47')} [{{cost}}]")
    marked = answer.sentences[1]
    assert marked.support == "conflict"
    assert "41 million" in answer.citations[marked.citations[0] - 1].quote
    assert "1 sentence is marked: the source says something else." in answer.notices


def test_what_is_read_later_is_withheld(opened: Callable[..., KnowledgeBase], provider: Provider) -> None:
    wrong = COST.replace("41", "47")
    provider.script = lambda request: Step(
        placed(f"{CLOSED} [{{closed}}] {wrong} [{{cost}}]", asked(request))
    )
    kb = opened()
    assert wrong in kb.ask(QUESTION).text
    assert wrong not in kb.for_lists().ask(QUESTION).text
    assert wrong in opened(unsupported="mark").for_lists().ask(QUESTION).text


def test_passages_that_were_not_offered_are_counted(ask: Ask) -> None:
    answer = ask(f"{COST} [{{cost}}][42]")
    assert "The chat model cited 1 passage that it was not given." in answer.notices
    assert "[42]" not in answer.text


# ------------------------------------------------------------------------------------------ failing


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (Step(""), "wrote nothing"),
        (Step("No markers at all here."), "borne out"),
        (Step("The passages do not say."), "found no answer"),
        (Step(raw=b"<html>gateway</html>"), "failed"),
        (Step(status=401), "refused the key"),
        (Step(status=404), "not known"),
        (Step("word " * 30_000), "without end"),
    ],
)
def test_a_model_that_fails_leaves_the_answer_of_the_documents(
    ask: Ask, library: KnowledgeBase, step: Step, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = ask(step)
    own = library.ask(QUESTION)
    assert (answer.text, answer.citations, answer.model) == (own.text, own.citations, "extractive")
    assert why in answer.notices[0]
    assert answer.notices[0].endswith("the answer is in the words of the documents.")
    assert KEY not in json.dumps(answer.to_dict())
    assert KEY not in "".join(record.getMessage() for record in caplog.records if "kb" in record.name)


def test_a_provider_that_is_busy_is_asked_again(
    ask: Ask, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "_WAIT_S", 0.01)
    good = lambda request: Step(placed(f"{COST} [{{cost}}]", asked(request)))  # noqa: E731
    waiting = [Step(status=429, headers={"Retry-After": "0.05"}), Step(status=500)]
    answer = ask(lambda request: waiting.pop(0) if waiting else good(request))
    assert answer.model == MODEL
    assert answer.usage
    assert answer.usage.calls == len(provider.requests) == 3


def test_a_provider_that_stays_down_is_given_up(
    ask: Ask, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "_WAIT_S", 0.01)
    assert "failed (HTTP 500)" in ask(Step(status=500)).notices[0]
    assert len(provider.requests) == chat.TRIES


@pytest.mark.parametrize("stalls_after", [0, 4])
def test_a_model_that_stalls_costs_no_more_than_its_time(ask: Ask, stalls_after: int) -> None:
    asked_at: list[float] = []

    def stalling(_: Request) -> Step:
        asked_at.append(time.monotonic())
        return Step(f"{COST} [1] {CLOSED} [1]", stalls_after=stalls_after)

    answer = ask(stalling, model_timeout=0.5)
    took = time.monotonic() - asked_at[0]
    assert "did not answer within 0.5 s" in answer.notices[0]
    assert answer.model == "extractive"
    assert took < 0.5 + 10  # with time for the answer itself, on slow machines too; it stalls for 30 s


def test_no_provider_at_all(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "_WAIT_S", 0.01)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    assert "cannot be reached" in ask(COST).notices[0]


# ------------------------------------------------------------------------------------------ opening


def test_what_is_missing_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(ModelError, match="put it into the environment as OPENAI_API_KEY"):
        open_model("openai:gpt-5-mini", 5.0)
    with pytest.raises(ModelError, match=r"needs the package langchain-groq: pip install langchain-groq"):
        open_model("groq:some", 5.0)
    with pytest.raises(ModelError, match=r"pip install 'kbqa\[anthropic\]'"):
        open_model("anthropic:some", 5.0)
    with pytest.raises(ModelError, match="name a provider and one of its models"):
        open_model("nobody:nothing", 5.0)


# ---------------------------------------------------------------------------------------- streaming


@pytest.mark.usefixtures("word_by_word")
def test_the_answer_grows_and_the_last_one_counts(
    opened: Callable[..., KnowledgeBase], provider: Provider
) -> None:
    wrong = COST.replace("41", "47")
    provider.script = lambda request: Step(
        placed(f"{CLOSED} [{{closed}}] {wrong} [{{cost}}]", asked(request))
    )
    kb = opened(unsupported="withhold")
    grown = list(kb.stream(QUESTION))
    assert len(grown) > 3
    assert grown[-1].text == kb.ask(QUESTION).text == f"{CLOSED} [1]"
    assert all(part.notices == () for part in grown[:-1])
    assert not any("[" in part.text[-3:] and not part.sentences for part in grown)
    first = next(part for part in grown if part.sentences)
    assert first.sentences[0].support == "verbatim"
    assert all(s.text != wrong for part in grown for s in part.sentences)


def test_without_a_model_the_answer_comes_at_once(library: KnowledgeBase) -> None:
    (answer,) = library.stream(QUESTION)
    assert answer.text == library.ask(QUESTION).text


def test_a_closed_stream_ends_the_call(opened: Callable[..., KnowledgeBase], provider: Provider) -> None:
    provider.script = steps(Step("word " * 3000))
    growing = opened().stream(QUESTION)
    next(growing)
    growing.close()
    assert len(provider.requests) == 1


# ------------------------------------------------------------------------------------- command line


def test_on_the_command_line(kbqa: Command, library_folder: Path, provider: Provider, cache: Path) -> None:
    provider.script = lambda request: Step(placed(f"{COST} [{{cost}}]", asked(request)))
    options = ("--kb", library_folder, "--model", MODEL)
    done = kbqa("ask", QUESTION, *options, "--json", env={"KBQA_CACHE": str(cache)})
    answer = json.loads(done.stdout)
    assert (answer["model"], answer["answer"]) == (MODEL, f"{COST} [1]")
    assert answer["usage"]["calls"] == 1
    assert kbqa("search", "bridge", "--kb", library_folder, env={"KBQA_MODEL": "nobody:x"}).returncode == 0
    done = kbqa("ask", QUESTION, *options, "--trace", env={"KBQA_CACHE": str(cache)})
    assert f"1. Searched for “{QUESTION}”: " in done.stdout
    assert f"2. The chat model {MODEL} wrote 1 sentence, 1 borne out" in done.stdout
    done = kbqa("ask", QUESTION, "--kb", library_folder, env={"KBQA_MODEL": "nobody:x"})
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot be opened" in done.stderr


class Screen(io.StringIO):
    """A terminal: what is written there, and the lines that can be seen in the end and at most."""

    def __init__(self) -> None:
        super().__init__()
        self.lines = [""]
        self.at = 0
        self.seen: list[str] = []

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        for part in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", text):
            if part == "\n":
                self.at += 1
                self.lines += [""] * (self.at == len(self.lines))
            elif re.fullmatch(r"\x1b\[\d*A", part):
                self.at -= int(part[2:-1] or 1)
            elif part == "\x1b[2K":
                self.lines[self.at] = ""
            elif part[0] not in "\x1b\r":
                self.lines[self.at] += part
        self.seen.append("\n".join(self.lines).strip())
        return len(text)


@pytest.mark.usefixtures("word_by_word")
def test_a_terminal_shows_what_is_written_and_keeps_only_what_was_checked(
    opened: Callable[..., KnowledgeBase], provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    invented = "The ferry Marta was sold to Norway."
    provider.script = lambda request: Step(
        placed(f"{CLOSED} [{{closed}}] {invented} [{{cost}}] {COST} [{{cost}}]", asked(request))
    )
    screen = Screen()
    monkeypatch.setattr("sys.stdout", screen)
    for name, value in {"TERM": "xterm", "COLUMNS": "60"}.items():
        monkeypatch.setenv(name, value)
    answer = cli._watched(opened(unsupported="withhold").stream(QUESTION), watching=True)
    assert any(seen.startswith("Not checked yet: The harbour") for seen in screen.seen)
    checked = [seen for seen in screen.seen if " ".join(seen.split()).startswith(f"{CLOSED} [1]")]
    assert any("Not checked yet: The ferry" in " ".join(seen.split()) for seen in checked)
    assert "".join(screen.lines).strip() == "", "all of it is taken away before the answer is printed"
    assert [s.text for s in answer.sentences] == [CLOSED, COST]


def test_a_terminal_says_what_is_looked_for(
    opened: Callable[..., KnowledgeBase], provider: Provider, library: KnowledgeBase
) -> None:
    found, kb = library.ask(QUESTION), opened()
    assert kb._model
    provider.script = looking(TRAM, "no passage has this", f"{COST} [1]")
    growing = generate.answers(
        QUESTION,
        found,
        found.hits[:1],
        kb._model,
        kb._judge,
        withhold=False,
        stream=True,
        search=library.search,
    )
    told = [growing_text(answer) for answer in growing]
    assert ("", f"Looked further for “{TRAM}” …") in told
    assert not told[-1][1]


@pytest.mark.usefixtures("word_by_word")
def test_the_page_sets_apart_what_is_not_checked_yet(
    opened: Callable[..., KnowledgeBase], provider: Provider
) -> None:
    provider.script = lambda request: Step(
        placed(f"{CLOSED} [{{closed}}] The ferry <b> sank. [{{cost}}]", asked(request))
    )
    grown = [answer_html(answer) for answer in opened(unsupported="withhold").stream(QUESTION)]
    assert any(f"{CLOSED}</span>" in html and 'class="unchecked"' in html for html in grown)
    assert any("The ferry &lt;b&gt;</span>" in html for html in grown)
    assert "unchecked" not in grown[-1]


def test_no_terminal_no_show(opened: Callable[..., KnowledgeBase], provider: Provider, capsys: Any) -> None:
    provider.script = lambda request: Step(placed(f"{COST} [{{cost}}]", asked(request)))
    assert cli._watched(opened().stream(QUESTION), watching=False).text == f"{COST} [1]"
    assert capsys.readouterr().out == ""
