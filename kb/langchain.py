"""The knowledge base as LangChain sees it: a retriever and a runnable for a chain someone already has.

Imported on first use only, since LangChain takes longer to load than a question takes to answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document as LangChainDocument
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import ConfigDict

from kb.errors import UsageError
from kb.types import Answer, Filters, Hit, Turn

if TYPE_CHECKING:
    from kb.pipeline import KnowledgeBase


class KnowledgeBaseRetriever(BaseRetriever):
    """Hits as LangChain documents; ``metadata`` has everything of a hit but its text."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    knowledge_base: Any
    top: int | None = None
    filters: Filters = Filters()

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[LangChainDocument]:
        hits = self.knowledge_base.search(query, filters=self.filters, top=self.top)
        return [_document(hit) for hit in hits]


def retriever(kb: KnowledgeBase, *, top: int | None, filters: Filters) -> BaseRetriever:
    return KnowledgeBaseRetriever(knowledge_base=kb, top=top, filters=filters)


class Asking(Runnable[Any, Answer]):
    """From a question, or a dict with ``question`` and perhaps ``history``, to an ``Answer``.

    ``stream`` gives the answer as a chat model writes it; each value takes the place of the one before.
    """

    name = "kbqa"

    def __init__(self, kb: KnowledgeBase) -> None:
        self._kb = kb

    def invoke(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Answer:
        question, history = _asked(input)
        return self._call_with_config(lambda _: self._kb.ask(question, history=history), input, config)

    def stream(self, input: Any, config: RunnableConfig | None = None, **_: Any) -> Iterator[Answer]:
        question, history = _asked(input)
        yield from self._kb.stream(question, history=history)


def runnable(kb: KnowledgeBase) -> Runnable[Any, Answer]:
    return Asking(kb)


def _asked(value: str | Mapping[str, Any]) -> tuple[str, list[Turn]]:
    if isinstance(value, str):
        return value, []
    if "question" not in value:
        raise UsageError("the input has no question", 'pass text, or a dict with the key "question"')
    history = value.get("history", ())
    return value["question"], [t if isinstance(t, Turn) else Turn(t["role"], t["content"]) for t in history]


def _document(hit: Hit) -> LangChainDocument:
    metadata = {key: value for key, value in hit.to_dict().items() if key != "text"}
    return LangChainDocument(page_content=hit.passage.text, metadata=metadata)
