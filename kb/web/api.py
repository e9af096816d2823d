"""The web API: the endpoints ask, check and search, documented for those who call them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr
from gradio.events import api

from kb.errors import KBError
from kb.question import MAX_CHARACTERS as QUESTION_LIMIT
from kb.types import Answer, CheckReport, Turn
from kb.web.desk import filters_of, judge, passing, reply, too_long

if TYPE_CHECKING:
    from kb.pipeline import KnowledgeBase


class Api:
    """The public endpoints over one knowledge base."""

    def __init__(self, kb: KnowledgeBase) -> None:
        self.kb = kb

    def ask(
        self,
        question: str,
        history: list[dict[str, str]] | None = None,
        source: str = "",
        document_id: str = "",
        after: str = "",
        before: str = "",
    ) -> dict[str, Any]:
        """Answer a question from the documents, each sentence cited, or say that they do not answer it.

        Args:
            question: the question, at most 2,000 characters.
            history: earlier messages, oldest first, as {"role": "user" or "assistant", "content": text}.
            source: only documents of this publisher; a part of the name is enough.
            document_id: only this document.
            after: only documents published on this ISO date or later.
            before: only documents published on this ISO date or earlier.

        Returns:
            question, status (answered, not_found or error), answer, sentences, citations, passages,
            confidence, notices, model, seconds and error.
        """
        try:
            filters = filters_of(source, document_id, after, before)
        except KBError as error:
            return Answer(question, "error", error=str(error)).to_dict()
        return reply(self.kb, question, _turns_sent(history or []), filters).to_dict()

    def check(
        self, text: str, source: str = "", document_id: str = "", after: str = "", before: str = ""
    ) -> dict[str, Any]:
        """Check the claims of a text against the documents.

        Args:
            text: the text to check, at most 50,000 characters.
            source: only documents of this publisher; a part of the name is enough.
            document_id: only this document.
            after: only documents published on this ISO date or later.
            before: only documents published on this ISO date or earlier.

        Returns:
            text, claims (claim, start, end, verdict, confidence, explanation, citations), seconds, error.
        """
        try:
            return judge(self.kb, text, filters_of(source, document_id, after, before)).to_dict()
        except KBError as error:
            return CheckReport(text, error=str(error)).to_dict()

    def search(
        self,
        query: str,
        top: int = 10,
        source: str = "",
        document_id: str = "",
        after: str = "",
        before: str = "",
    ) -> list[dict[str, Any]]:
        """Find the passages nearest to a query.

        Args:
            query: words or a question, at most 2,000 characters.
            top: how many passages, from 1 to 100.
            source: only documents of this publisher; a part of the name is enough.
            document_id: only this document.
            after: only documents published on this ISO date or later.
            before: only documents published on this ISO date or earlier.

        Returns:
            Passages, best first: rank, score, document_id, title, publisher, author, published, url,
            section, page, start, end and text.
        """
        if len(query) > QUESTION_LIMIT:
            raise gr.Error(too_long("query", query, QUESTION_LIMIT))
        if not 1 <= top <= 100:
            raise gr.Error("Ask for 1 to 100 passages.")
        try:
            hits = self.kb.search(query, filters=filters_of(source, document_id, after, before), top=top)
        except KBError as error:
            raise gr.Error(str(error)) from error
        return [hit.to_dict() for hit in hits]


def publish(kb: KnowledgeBase) -> None:
    """Add the endpoints to the page that is being built."""
    offered = Api(kb)
    api(offered.ask, api_name="ask", **passing(kb))
    api(offered.check, api_name="check")
    api(offered.search, api_name="search")


def _turns_sent(history: list[dict[str, str]]) -> list[Turn]:
    return [
        Turn(
            "assistant" if turn.get("role") == "assistant" else "user", str(turn.get("content", ""))[:10_000]
        )
        for turn in history[-20:]  # a follow-up leans on the last few
        if isinstance(turn, dict)
    ]
