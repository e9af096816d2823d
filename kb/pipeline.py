"""``KnowledgeBase``: opened once, then asked, searched and checked. The lines that join the steps.

    question -> analyse -> search -> read -> compose -> Answer [-> chat model -> judge -> Answer]

A question that asks several things is taken apart, and each part goes this way by itself. With a chat model
the answer found so is what it has to better, and the one that is given when it cannot.

Safe to share among threads. A question always sees what other processes ingested before it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kb import about, badges, extract, generate, provenance, verify
from kb.chat import Budget, ChatModel, open_model
from kb.embed import Embed, MiniLM, remembering
from kb.errors import ModelError, NoSuchDocument, UsageError
from kb.guard import plain
from kb.holdings import Holding, holdings
from kb.question import MAX_CHARACTERS, Question, analyse, other_language, parts, preferred
from kb.queue import State, state
from kb.reader import Reader
from kb.retrieve import Weights, reread, search
from kb.settings import Settings, load_settings
from kb.spelling import correct
from kb.store import Store
from kb.text import content_words
from kb.types import (
    Answer,
    CheckReport,
    Citation,
    Document,
    DocumentSummary,
    Filters,
    Hit,
    Passage,
    Step,
    Turn,
    Verdict,
)

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.retrievers import BaseRetriever
    from langchain_core.runnables import Runnable

NO_FILTERS = Filters()


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question as it was understood, and the ``history`` that it still leans on.

    ``failed`` says why the chat model could not be asked for that.
    """

    text: str
    history: Sequence[Turn]
    notices: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    failed: str = ""


class KnowledgeBase:
    """An open knowledge base.

    >>> with KnowledgeBase.open(".kbqa") as kb:            # doctest: +SKIP
    ...     print(kb.ask("What is driving the build-out?").text)
    """

    def __init__(self, store: Store, settings: Settings, model: ChatModel | None = None) -> None:
        self.store = store
        self.settings = settings
        self._model = model
        self._embed = remembering(store.embedder.embed)
        self._reader = Reader(settings.cache, fast=not settings.exact_reading)
        # Reader and judge are of the packaged MiniLM, and what is fitted on top counts on its cosines.
        # Another embedding model searches, but does not weigh (nor, where it is a service, is asked again).
        near = (
            self._embed if store.embedder.name == MiniLM.name else remembering(MiniLM(settings.cache).embed)
        )
        self.senses = extract.Senses(self._reader.read, near, self._reader.judge)
        # Of one generation each: listed or looked up once, not for every question.
        self._publishers: tuple[int, list[str]] = (-1, [])
        self._corrections: tuple[int, dict[str, str | None]] = (-1, {})
        self._facts: tuple[int, dict[str, Any]] = (-1, {})
        self._holdings: tuple[tuple[int, date], list[Holding]] = ((-1, date.min), [])

    @classmethod
    def open(
        cls,
        folder: Path | str | None = None,
        settings: Settings | None = None,
        *,
        model: BaseChatModel | None = None,
    ) -> KnowledgeBase:
        """Open the knowledge base in ``folder`` (default: the setting ``kb``, ``.kbqa``).

        ``model`` is a LangChain chat model to word the answers, instead of the one that the setting names.

        Raises ``NoKnowledgeBase`` if nothing has been ingested there, ``EmbedderMismatch`` if it was built
        with another embedding model than the settings name, ``ModelError`` if the chat model cannot be had.
        """
        settings = settings or load_settings()
        if folder is not None:
            settings = replace(settings, kb=Path(folder))
        named = model or settings.model
        chat = open_model(named, settings.model_timeout, settings.cache) if named else None
        return cls(Store.open(settings.kb, settings), settings, chat)

    def for_lists(self) -> KnowledgeBase:
        """The same knowledge base, for answers that are read later and elsewhere.

        What no source bears out is withheld there, unless the settings say otherwise.
        """
        other = copy(self)
        other.settings = replace(self.settings, unsupported=self.settings.unsupported or "withhold")
        return other

    def without_model(self) -> KnowledgeBase:
        """The same knowledge base without its chat model: what it answers costs nothing."""
        other = copy(self)
        other._model = None
        return other

    def close(self) -> None:
        self.store.close()

    def __enter__(self) -> KnowledgeBase:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Asking

    def ask(
        self,
        question: str,
        *,
        filters: Filters = NO_FILTERS,
        history: Sequence[Turn] = (),
        top: int | None = None,
    ) -> Answer:
        """Answer from the documents, every sentence cited, or refuse and show the closest passages.

        ``history`` holds the earlier turns, oldest first, so that a follow-up is understood. A question
        that cannot be one (empty, too long) gives an answer with status ``error``.
        """
        growing = self._asked(question, filters, history, top, stream=False)
        return deque(growing, maxlen=1).pop()

    def stream(
        self,
        question: str,
        *,
        filters: Filters = NO_FILTERS,
        history: Sequence[Turn] = (),
        top: int | None = None,
    ) -> Iterator[Answer]:
        """The answer as a chat model writes it, sentence by sentence; the last one is what ``ask`` gives.

        Until then ``text`` ends with what no source has been held against yet: it is in no sentence, and may
        be gone in the end. Without a chat model there is only the last one.
        """
        return self._asked(question, filters, history, top, stream=True)

    def _asked(
        self, text: str, filters: Filters, history: Sequence[Turn], top: int | None, *, stream: bool
    ) -> Iterator[Answer]:
        started = time.perf_counter()
        top = top or self.settings.top
        try:
            for answer in self._answers(text, filters, history, top, stream=stream):
                citations = self._with_corrections(answer.citations)
                yield replace(answer, citations=citations, seconds=time.perf_counter() - started)
        except UsageError as error:
            yield Answer(question=text, status="error", error=str(error))

    def _answers(
        self, text: str, filters: Filters, history: Sequence[Turn], top: int, *, stream: bool
    ) -> Iterator[Answer]:
        _usable(text, "question", limit=MAX_CHARACTERS)
        budget = self._budget()
        asked = self._restated(text, history, budget)
        question, notices = self._understand(asked.text, asked.history)
        notices = (*asked.notices, *notices)
        allowed = self.store.catalogue.matching(filters)
        if allowed is not None and not len(allowed):
            notices = (*notices, "No document matches the filter.")
        found = self._of_parts(question, filters, asked.history, max(top, extract.READ))
        found = replace(
            found, trace=(*asked.steps, *found.trace), usage=budget.spent if asked.steps else None
        )
        language = other_language(question.text) if found.status == "not_found" else None
        if language:
            notices = (
                *notices,
                f"The question looks like {language}; kbqa reads English. Please ask in English.",
            )
        elif found.status == "not_found":
            notices = (*notices, *self._never_mentioned(question))
        if asked.failed:
            found = generate.without_model(found, asked.failed)
        else:
            worded = self._worded(question, found, filters, asked.history, budget, stream=stream)
        for answer in [found] if asked.failed else worded:
            shown = {"question": text, "hits": answer.hits[:top], "notices": (*notices, *answer.notices)}
            yield replace(answer, **shown)  # type: ignore[arg-type]

    def _budget(self) -> Budget:
        chosen = self.settings
        return Budget(chosen.model_timeout, chosen.model_calls, chosen.model_spend)

    def _restated(self, text: str, history: Sequence[Turn], budget: Budget) -> _Asked:
        """A question that follows others, as the chat model restates it; any other as it is."""
        if self._model is None or not history or other_language(text):
            return _Asked(text, history)
        try:
            restated = generate.stand_alone(text, history, self._model, budget)
        except ModelError as error:
            return _Asked(text, history, steps=(Step("model", error.message),), failed=error.message)
        step = Step("question", restated or text, usage=budget.spent)
        if restated is None:
            return _Asked(text, history, steps=(step,))
        notices = (f"Understood as “{restated}”",) if plain(restated) != plain(text) else ()
        return _Asked(restated, (), notices, (step,))

    def _worded(
        self,
        question: Question,
        found: Answer,
        filters: Filters,
        history: Sequence[Turn],
        budget: Budget,
        *,
        stream: bool,
    ) -> Iterator[Answer]:
        """The answer in the words of the chat model, if there is one and something to give it."""
        if self._model is None or (found.status != "answered" and not self.settings.model_anyway):
            yield found
            return
        tokens = min(self.settings.model_tokens, (self._model.context or 1_000_000) // 2)
        hits = self._worth_reading(question, found, filters, history)
        found = replace(found, notices=(*found.notices, *generate.screened(hits)))
        passages = generate.offered(hits, tokens, self._model.tokens)
        if not passages:
            yield found
            return
        yield from generate.answers(
            question.search_text,
            found,
            passages,
            self._model,
            self._judge,
            withhold=self.settings.unsupported == "withhold",
            stream=stream,
            budget=budget,
            search=lambda query: self._hits(analyse(query), filters, extract.READ)[0],
            tokens=tokens,
        )

    def _worth_reading(
        self, question: Question, found: Answer, filters: Filters, history: Sequence[Turn]
    ) -> list[Hit]:
        """The hits of the question and, if it has several parts, the best of each part."""
        asked = parts(question.text)
        hits = list(found.hits)
        for part in asked if len(asked) > 1 else ():
            # Behind the best of the whole, so that a short context still holds something for each part.
            hits[3:3] = self._hits(analyse(part, history), filters, extract.READ)[0][:3]
        return list({hit.passage: hit for hit in hits}.values())

    def _judge(self, claim: str, hits: Sequence[Hit]) -> list[verify.Finding]:
        evidence = [sentence for hit in hits for sentence in verify.sentences(hit)]
        return verify.judge(claim, evidence, self._embed, self._reader.judge)

    def _about_a_document(self, question: Question, filters: Filters, top: int) -> Answer | None:
        topic = about.topic_of(question.text)
        if topic is None:
            return None
        allowed = [d for d in self.documents() if not filters.document_ids or d.id in filters.document_ids]
        meant = about.subject(question.search_text, allowed)
        if meant is None:
            if not allowed or not about.names_none(question.text):
                return None
            hits, _ = self._hits(question, filters, top)
            notice = f"There are {len(allowed):,} documents. Please name the one that you mean."
            return about.refusal(question.text, hits[:top], notice)
        hits, _ = self._hits(question, replace(filters, document_ids=(meant.id,)), top)
        if not hits:  # another filter keeps the document out
            return None
        known = about.answer(question.text, topic, self.document(meant.id), hits[:top])
        # Of several documents one was named, and what others say of their authors is no answer.
        return known or (about.refusal(question.text, hits[:top]) if len(allowed) > 1 else None)

    def _of_parts(self, question: Question, filters: Filters, history: Sequence[Turn], top: int) -> Answer:
        asked = parts(question.text)
        whole = self._of_one(question, filters, top)
        if len(asked) < 2:
            return whole
        answers = []
        for n, part in enumerate(asked):
            before = [*history, *(Turn("user", earlier) for earlier in asked[:n])]
            answers.append(self._of_one(analyse(part, before), filters, top))
        trace = tuple(step for answer in (whole, *answers) for step in answer.trace)
        return replace(extract.join(whole, answers), trace=trace)

    def _of_one(self, question: Question, filters: Filters, top: int) -> Answer:
        answer = self._about_a_document(question, filters, top) or self._read(question, filters, top)
        return replace(answer, trace=(Step("search", question.search_text, generate.places(answer.hits)),))

    def _read(self, question: Question, filters: Filters, top: int) -> Answer:
        hits, weights = self._hits(question, filters, extract.READ)
        model = extract.load_model()
        reading = extract.read(question, weights, hits, self.senses, model)
        if top > extract.READ:  # only reported: how many are must not change what is answered
            read = {hit.passage for hit in hits}
            hits += [hit for hit in self._hits(question, filters, top)[0] if hit.passage not in read]
        hits = reread(hits, list(dict.fromkeys(c.hit.passage for c in reading.candidates)))
        rivals = extract.disagreements(question, reading)
        answer = extract.compose(question, reading, rivals, _ranked(hits[:top]), model)
        if answer.status != "answered":
            return answer
        return replace(answer, differences=provenance.differences(rivals))

    def search(self, query: str, *, filters: Filters = NO_FILTERS, top: int | None = None) -> tuple[Hit, ...]:
        """The passages nearest to a query, best first."""
        question, _ = self._understand(query, ())
        top = top or self.settings.top
        return tuple(self._hits(question, filters, top)[0][:top])

    def check(self, text: str, *, filters: Filters = NO_FILTERS) -> CheckReport:
        """Judge every claim of a text against the documents."""
        started = time.perf_counter()
        try:
            claims = tuple(self.verdicts(text, filters=filters))
        except UsageError as error:
            return CheckReport(text=text, error=str(error))
        return CheckReport(text=text, claims=claims, seconds=time.perf_counter() - started)

    def verdicts(self, text: str, *, filters: Filters = NO_FILTERS) -> Iterator[Verdict]:
        """The verdicts of ``check`` one by one, as they are found; ``UsageError`` for what cannot be one."""

        def find(claim: str) -> Sequence[Hit]:
            return self._hits(analyse(claim), filters, extract.READ)[0]

        limited = _usable(text, "text", limit=200_000)
        for verdict in verify.check(limited, find, self._embed, self._reader.judge):
            yield replace(verdict, citations=self._with_corrections(verdict.citations))

    def _with_corrections(self, citations: Sequence[Citation]) -> tuple[Citation, ...]:
        """The citations, each with the notice of correction that its document has."""
        generation = self.store.catalogue.generation()
        if self._corrections[0] != generation:
            self._corrections = (generation, {})
        known = self._corrections[1]
        for document_id in {citation.document_id for citation in citations} - known.keys():
            try:
                known[document_id] = self.document(document_id).correction
            except NoSuchDocument:  # removed since it was cited
                known[document_id] = None
        return tuple(replace(citation, correction=known[citation.document_id]) for citation in citations)

    def judged(self, answer: Answer) -> Answer:
        """An answer, whoever wrote it, with the support that each sentence has in its own citations."""
        return badges.judged(answer, self.document, self._embed, self._reader.judge)

    def _understand(self, text: str, history: Sequence[Turn]) -> tuple[Question, tuple[str, ...]]:
        _usable(text, "question", limit=MAX_CHARACTERS)
        if other_language(text):  # its words are no misspelt English ones
            return analyse(text, history), ()
        corrected, notices = correct(text, self.store.catalogue, self._is_word, about.WORDS)
        return analyse(corrected, history), notices

    def _never_mentioned(self, question: Question) -> tuple[str, ...]:
        """A notice of what the question speaks of and no document does."""
        asked = dict.fromkeys(w.text for w in content_words(question.text))
        counts = self.store.catalogue.word_counts(asked)
        unknown = [f"\u201c{word}\u201d" for word in asked if not counts[word]]
        return (f"No document mentions {' or '.join(unknown)}.",) if unknown else ()

    def _is_word(self, word: str) -> bool:
        # A tokenizer keeps the common words of its language whole.
        return self.store.embedder.count_tokens([word.lower()])[0] <= 1

    def _hits(self, question: Question, filters: Filters, limit: int) -> tuple[list[Hit], Weights]:
        return find(
            self.store,
            question,
            self._known_publishers(),
            date.today(),
            filters=filters,
            limit=limit,
            embed=self._embed,
        )

    def _known_publishers(self) -> list[str]:
        """Listed once for each generation: to go through all documents for every question takes time."""
        generation = self.store.catalogue.generation()
        if self._publishers[0] != generation:
            self._publishers = (generation, self.store.catalogue.publishers())
        return self._publishers[1]

    # The library

    def documents(self) -> list[DocumentSummary]:
        """All documents, by id."""
        return self.store.catalogue.documents()

    def document(self, document_id: str) -> Document:
        """A document with its stored text; raises ``NoSuchDocument``."""
        return self.store.catalogue.document(document_id)

    def passages(self, document_id: str) -> list[Passage]:
        """The passages of a document, in order; none for an unknown id."""
        return [stored.passage for stored in self.store.catalogue.passages_of(document_id)]

    def holdings(self) -> list[Holding]:
        """All documents by id, each with what is odd about it."""
        known = (self.store.catalogue.generation(), date.today())  # what lies ahead today may not tomorrow
        if self._holdings[0] != known:
            self._holdings = (known, holdings(self.documents(), known[1]))
        return self._holdings[1]

    def remove(self, document_ids: Sequence[str]) -> int:
        """Remove documents; raises ``NoSuchDocument`` for an unknown id, and then removes none."""
        for document_id in document_ids:
            self.document(document_id)
        with self.store.writer() as writer:
            return writer.remove(document_ids)

    def info(self, *, queue: bool = False) -> dict[str, Any]:
        """Figures about the knowledge base, as ``kbqa info --json`` prints them, and how it is asked.

        ``queue`` adds what waits in the queue, which is counted anew each time.
        """
        generation = self.store.catalogue.generation()
        if self._facts[0] != generation:  # goes through all documents: once, not for every page that is drawn
            self._facts = (generation, self.store.info())
        facts = dict(self._facts[1])
        queued = state(self.store.catalogue) if queue else State()  # which no generation tells of
        if queued != State():
            facts["queue"] = {"waiting": queued.waiting, "failed": len(queued.failed)}
        if self.settings.exact_reading:
            facts["reading"] = "exact"
        if self._model is not None:
            facts |= {"model": self._model.name, "unsupported": self.settings.unsupported or "mark"}
            chosen = self.settings
            facts |= {
                name: getattr(chosen, name)
                for name in ("model_anyway", "model_tokens", "model_calls", "model_spend")
            }
        return facts

    def key_questions(self, limit: int = 5) -> list[str]:
        """Questions that the documents themselves ask and answer, to offer as examples."""
        return self.store.catalogue.questions(limit)

    # LangChain

    def as_retriever(self, *, top: int | None = None, filters: Filters = NO_FILTERS) -> BaseRetriever:
        """A LangChain retriever over this knowledge base."""
        from kb.langchain import retriever

        return retriever(self, top=top, filters=filters)

    def as_runnable(self) -> Runnable[Any, Answer]:
        """A LangChain Runnable from a question (text, or a dict with ``question``) to an ``Answer``."""
        from kb.langchain import runnable

        return runnable(self)


def find(
    store: Store,
    question: Question,
    publishers: Sequence[str],
    today: date,
    *,
    filters: Filters = NO_FILTERS,
    limit: int,
    embed: Embed | None = None,
) -> tuple[list[Hit], Weights]:
    """The hits of a question: the sources and days that it names are looked at first.

    What decides about answering is fitted on hits that are found by this very function.
    """
    return search(
        store,
        question.search_text,
        question.words,
        filters=filters,
        preferred=preferred(question.search_text, publishers, today),
        limit=limit,
        embed=embed,
    )


def _ranked(hits: Sequence[Hit]) -> tuple[Hit, ...]:
    return tuple(replace(hit, rank=rank) for rank, hit in enumerate(hits, start=1))


def _usable(text: str, noun: str, *, limit: int) -> str:
    if not isinstance(text, str) or not any(c.isalnum() for c in text):
        raise UsageError(f"there is no {noun}", "write one in words")
    if len(text) > limit:
        raise UsageError(f"the {noun} has {len(text):,} characters", f"keep it below {limit:,}")
    return text
