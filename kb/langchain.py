"""The knowledge base as LangChain sees it: a retriever and a runnable for a chain someone already has.

Imported on first use only, since LangChain takes longer to load than a question takes to answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document as LangChainDocument
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda
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


def runnable(kb: KnowledgeBase) -> Runnable[Any, Answer]:
    """From a question, or a dict with ``question`` and perhaps ``history``, to an ``Answer``."""

    def ask(value: str | Mapping[str, Any]) -> Answer:
        if isinstance(value, str):
            return kb.ask(value)
        if "question" not in value:
            raise UsageError("the input has no question", 'pass text, or a dict with the key "question"')
        turns = [
            t if isinstance(t, Turn) else Turn(t["role"], t["content"]) for t in value.get("history", ())
        ]
        return kb.ask(value["question"], history=turns)

    return RunnableLambda(ask, name="kbqa")


def _document(hit: Hit) -> LangChainDocument:
    metadata = {key: value for key, value in hit.to_dict().items() if key != "text"}
    return LangChainDocument(page_content=hit.passage.text, metadata=metadata)
