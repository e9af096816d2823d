"""The knowledge base in a LangChain chain that someone already has."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough

from kb.errors import UsageError
from kb.pipeline import KnowledgeBase
from kb.types import Answer, Filters, Turn

QUESTION = "Who called the repair overdue?"


def test_the_retriever_gives_documents_with_their_address(library: KnowledgeBase) -> None:
    retriever = library.as_retriever(top=3)
    assert isinstance(retriever, BaseRetriever)
    found = retriever.invoke("harbour bridge repair")
    assert len(found) == 3
    for hit, document in zip(library.search("harbour bridge repair", top=3), found, strict=True):
        assert isinstance(document, Document)
        assert document.page_content == hit.passage.text
        stored = library.document(document.metadata["document_id"]).text
        assert stored[document.metadata["start"] : document.metadata["end"]] == document.page_content
        assert document.metadata == {k: v for k, v in hit.to_dict().items() if k != "text"}
    assert set(found[0].metadata) >= {
        "title",
        "publisher",
        "author",
        "published",
        "url",
        "section",
        "score",
        "rank",
    }


def test_the_retriever_takes_filters(library: KnowledgeBase) -> None:
    retriever = library.as_retriever(filters=Filters(publishers=("Coast Radio",)))
    assert {d.metadata["publisher"] for d in retriever.invoke("harbour bridge")} == {"Coast Radio"}


def test_the_retriever_in_batches_and_without_waiting(library: KnowledgeBase) -> None:
    retriever = library.as_retriever(top=1)
    queries = ["harbour bridge repair", "apple blossom frost"] * 4
    one_by_one = [retriever.invoke(query) for query in queries]
    assert retriever.batch(queries) == one_by_one
    assert asyncio.run(retriever.ainvoke(queries[0])) == one_by_one[0]


def test_a_chain_with_a_chat_model(library: KnowledgeBase) -> None:
    prompts: list[str] = []

    def noted(prompt: Any) -> Any:
        prompts.append(prompt.to_string())
        return prompt

    model = GenericFakeChatModel(messages=iter([AIMessage("Nora Blum, said the model.")]))
    prompt = ChatPromptTemplate.from_template("Context:\n{context}\n\nQuestion: {question}")
    joined = RunnableLambda(lambda documents: "\n".join(d.page_content for d in documents))
    chain = (
        {"context": library.as_retriever(top=2) | joined, "question": RunnablePassthrough()}
        | prompt
        | RunnableLambda(noted)
        | model
        | StrOutputParser()
    )
    assert chain.invoke(QUESTION) == "Nora Blum, said the model."
    assert "Nora Blum called the repair" in prompts[0]
    assert prompts[0].endswith(f"Question: {QUESTION}")


def same(one: Answer, other: Answer) -> bool:
    """Whether two answers are equal but for the time they took."""
    return {**one.to_dict(), "seconds": 0} == {**other.to_dict(), "seconds": 0}


def test_the_runnable_answers_as_ask_does(library: KnowledgeBase) -> None:
    runnable = library.as_runnable()
    assert isinstance(runnable, Runnable)
    answer = runnable.invoke(QUESTION)
    assert isinstance(answer, Answer)
    assert same(answer, library.ask(QUESTION))
    assert same(runnable.invoke({"question": QUESTION}), answer)


def test_the_runnable_in_batches(library: KnowledgeBase) -> None:
    questions = [QUESTION, "How many passengers did the tram carry?", "", QUESTION]
    answers = library.as_runnable().batch(questions)
    assert [a.question for a in answers] == questions
    assert answers[2].status == "error", "an empty question costs its own row only"
    assert all(same(a, library.ask(q)) for a, q in zip(answers, questions, strict=True))


@pytest.mark.parametrize(
    "turn",
    [
        Turn("user", "When was the harbour bridge closed?"),
        {"role": "user", "content": "When was the harbour bridge closed?"},
    ],
)
def test_the_runnable_takes_a_history(library: KnowledgeBase, turn: Any) -> None:
    found = library.as_runnable().invoke({"question": "and why?", "history": [turn]})
    history = [Turn("user", "When was the harbour bridge closed?")]
    assert same(found, library.ask("and why?", history=history))
    assert not same(found, library.ask("and why?"))


def test_the_runnable_in_a_chain(library: KnowledgeBase) -> None:
    chain = RunnableLambda(str.strip) | library.as_runnable() | RunnableLambda(lambda answer: answer.status)
    assert chain.invoke(f"  {QUESTION} ") in ("answered", "not_found")


def test_the_runnable_gives_the_answer_as_it_grows(library_folder: Path, library: KnowledgeBase) -> None:
    said = library.ask(QUESTION).sentences[0].text
    model = GenericFakeChatModel(messages=iter([AIMessage(f"{said} [1] {said} [1]")]))
    with KnowledgeBase.open(library_folder, library.settings, model=model) as kb:
        grown = list(kb.as_runnable().stream(QUESTION))
    counts = [len(answer.sentences) for answer in grown]
    assert len(grown) > 1
    assert counts == sorted(counts)
    assert counts[-1] == 2


def test_an_input_without_a_question_is_explained(library: KnowledgeBase) -> None:
    with pytest.raises(UsageError, match="no question"):
        library.as_runnable().invoke({"query": QUESTION})
