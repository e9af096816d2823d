"""Answers without a model: the sentences that answer, quoted and cited, or a refusal.

Every sentence of the best passages is a candidate. A candidate is described by some twenty numbers
(``FEATURES``: what the reader says of it, what of the question it holds, how near its passage is in meaning,
whether it has the kind of thing that was asked for), and two small fitted models read them: one orders the
candidates; the other, after a closer look at the first of them, says how likely the best one answers at all.
Below its threshold the answer is a refusal. Weights, threshold and the data they were fitted on are in
``extract.json``; ``benchmarks/fit_extract.py`` makes that file.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate, combinations_with_replacement, pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kb import rules
from kb.embed import Embed
from kb.question import Question
from kb.reader import Marks, Page
from kb.retrieve import Weights
from kb.text import (
    Amount,
    Span,
    amounts,
    content_words,
    dates,
    fold,
    names,
    sentence_spans,
    word_count,
    words,
)
from kb.types import Answer, Citation, Hit, Passage, Sentence

Matrix = NDArray[np.float64]
Read = Callable[[str, Sequence[Page]], list[Marks]]
Marked = dict[Passage, Marks]
# The log odds, against "it leaves this open", that each page supports and contradicts a claim; (pages, 2).
Odds = Callable[[str, Sequence[Page]], Matrix]

READ = 10  # hits that are searched for and at most read, however many are reported
# ... and no more text than this: what long passages far down the list add is seldom the answer, and a
# question should not take the longer the longer its passages are.
READ_CHARACTERS = 6_000
MAX_WORDS = 80
MAX_WORDS_LIST = 110
MAX_SENTENCES = 4
MAX_SENTENCES_LIST = 6


@dataclass(frozen=True, slots=True)
class Senses:
    """What looks at question and passages: the reader, nearness of meaning, and the judge of claims."""

    read: Read
    embed: Embed
    judge: Odds


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence of a hit; ``start`` and ``end`` are offsets in its document."""

    hit: Hit
    start: int
    end: int
    text: str
    before: str
    after: str
    index: int
    stems: frozenset[str]
    names: frozenset[str]
    has_date: bool

    @property
    def faq(self) -> str | None:
        """The question that this sentence is part of the answer to, in a FAQ."""
        section = self.hit.passage.section
        return section if section and section.rstrip().endswith("?") else None


@dataclass(frozen=True, slots=True)
class Reading:
    """The candidates for a question, best first; how likely it is that the question is answered, and that the
    best one is right.

    For each candidate ``told`` holds the words in it that answer, as the reader sees it, and ``trust`` the
    log odds that they do. ``own_answer``: the best one is a document's own answer to the very question.
    """

    candidates: tuple[Candidate, ...]
    scores: tuple[float, ...]
    told: tuple[str, ...]
    trust: tuple[float, ...]
    answerable: float
    right: float
    own_answer: bool = False


# ------------------------------------------------------------------------------------- candidates


def candidates(hits: Sequence[Hit]) -> list[Candidate]:
    """The sentences of the hits that can stand in an answer: no headings, no questions."""
    return [candidate for hit in hits for candidate in _of_hit(hit)]


def _of_hit(hit: Hit) -> list[Candidate]:
    text = hit.passage.text
    spans = _said(text, hit.passage.section, hit.source.title)
    found = []
    for index, (start, end) in enumerate(spans):
        sentence = text[start:end]
        if sentence.endswith("?") or not any(c.isalnum() for c in sentence):
            continue
        start += len(re.match(r"(?:[-*\u2022\u25b8\u2013]\s+)?", sentence).group())  # type: ignore[union-attr]
        traits = _traits(text[start:end])
        found.append(
            Candidate(
                hit=hit,
                start=hit.passage.start + start,
                end=hit.passage.start + end,
                text=text[start:end],
                before=text[slice(*spans[index - 1])] if index else "",
                after=text[slice(*spans[index + 1])] if index + 1 < len(spans) else "",
                index=index,
                stems=traits.stems,
                names=traits.names,
                has_date=traits.has_date,
            )
        )
    return found


@lru_cache(maxsize=4096)  # a list of questions meets the same passages
def _said(text: str, *titles: str | None) -> tuple[Span, ...]:
    """The sentences of a passage that are none of the headings above it."""
    return tuple(span for span in sentence_spans(text) if not _is_heading(text[slice(*span)], titles))


def _is_heading(text: str, titles: Sequence[str | None]) -> bool:
    """Whether a line is a title rather than something said: short, and without figures or an end."""
    if text in titles:
        return True
    # A list item or a table row is short too, and can be an answer.
    return len(text.split()) <= 8 and not re.search(
        r"[\d|;,]|[.!?\u2026\u3002][\"'\u201d\u2019)\]]*$|^[-*\u2022]", text
    )


@dataclass(frozen=True, slots=True)
class _Traits:
    stems: frozenset[str]
    names: frozenset[str]
    has_date: bool
    length: int


@lru_cache(maxsize=20_000)
def _traits(text: str) -> _Traits:
    found = words(text)
    return _Traits(
        stems=frozenset(w.stem for w in found),
        names=frozenset(fold(text[s:e]) for s, e in names(text)),
        has_date=bool(dates(text)),
        length=len(found),
    )


# --------------------------------------------------------------------------------------- features

_REASON = re.compile(
    r"\b(?:because|since|due to|owing to|thanks to|as a result|so that|in order to|therefore|hence|caused?"
    r"|leads? to|led to|reason|means? that|helps?|allows?|makes?)\b",
    re.IGNORECASE,
)
_PRICE = re.compile(
    r"\b(?:price|prices|cost|costs|pay|paid|spend|spent|worth|revenue|budget|fee)\b", re.IGNORECASE
)
_PLACE = re.compile(r"\b(?:in|at|near|from|to|across|outside|inside|on)\s+(?:the\s+)?[A-Z]")
_POINTS_BACK = re.compile(
    r"(?:it|they|he|she|this|these|those|that|such|its|their|his|her|here|there"
    r"|the (?:company|firm|former|latter|project|deal|plan|report|same))\b",
    re.IGNORECASE,
)

FEATURES = (
    "reader",
    "covered",
    "covered_nearby",
    "covered_passage",
    "names",
    "names_nearby",
    "numbers",
    "cosine",
    "fused",
    "first_hit",
    "pairs",
    "kind_found",
    "kind_missing",
    "new_words",
    "length",
    "short",
    "points_back",
    "opens_passage",
)


def mark(question: Question, found: Sequence[Candidate], read: Read) -> Marked:
    """What the reader says of the passages that the candidates stand in."""
    hits = list({c.hit.passage: c.hit for c in found}.values())
    marks = read(question.search_text, [Page(_heading(hit), hit.passage.text) for hit in hits])
    return {hit.passage: each for hit, each in zip(hits, marks, strict=True)}


def _heading(hit: Hit) -> str:
    return f"{hit.source.title} {hit.passage.section or ''}".strip()


def features(question: Question, weights: Weights, found: Sequence[Candidate], marked: Marked) -> Matrix:
    """The numbers that describe each candidate, shape (len(found), len(FEATURES)); see ``FEATURES``."""
    if not found:
        return np.zeros((0, len(FEATURES)))
    return np.array([[_reader(c, marked), *_row(question, weights, c)] for c in found], dtype=np.float64)


def _reader(c: Candidate, marked: Marked) -> float:
    passage = c.hit.passage
    return max(-_SURE, min(_SURE, marked[passage].score(c.start - passage.start, c.end - passage.start)))


_SURE = 10.0  # log odds beyond which the reader is not believed any further


def _told(c: Candidate, marked: Marked) -> str:
    """The words of a candidate that answer."""
    passage = c.hit.passage
    span = marked[passage].span(c.start - passage.start, c.end - passage.start)
    return passage.text[slice(*span)] if span else ""


def _row(question: Question, weights: Weights, c: Candidate) -> list[float]:
    passage = c.hit.passage
    heading = _traits(_about(c.hit))
    around = c.stems | _traits(c.before).stems | _traits(c.after).stems | heading.stems
    whole = _traits(passage.text)
    asked = {w.stem for w in question.words}
    numbers = {s for s in asked if s[0].isdigit()}
    found, missing = _kind(question, c)
    own_names = frozenset().union(*(n.split() for n in question.names)) if question.names else frozenset()
    length = _traits(c.text).length
    return [
        weights.coverage(c.stems),
        weights.coverage(around),
        weights.coverage(whole.stems | heading.stems),
        _share(own_names, fold(c.text)),
        _share(own_names, fold(f"{_about(c.hit)} {passage.text}")),
        _share(frozenset(numbers), fold(f"{c.before} {c.text} {c.after}")),
        c.hit.dense if c.hit.dense is not None else 0.25,
        c.hit.score,
        1.0 / c.hit.rank,
        _pairs(question, c),
        found,
        missing,
        math.log1p(len(c.stems - asked)),
        math.log1p(length),
        float(length < 5),
        float(bool(_POINTS_BACK.match(c.text))),
        float(c.index == 0),
    ]


def _share(wanted: frozenset[str], text: str) -> float:
    """The share of ``wanted`` that stands in ``text``; 1 if nothing is wanted."""
    if not wanted:
        return 1.0
    return sum(w in text for w in wanted) / len(wanted)


def _pairs(question: Question, candidate: Candidate) -> float:
    """The share of neighbouring content words of the question that are close together in the sentence."""
    asked = [w.stem for w in question.words]
    pairs = list(pairwise(asked))
    if not pairs:
        return 0.0
    place = _places(candidate.text)
    near = sum(any(abs(i - j) <= 4 for i in place.get(a, ()) for j in place.get(b, ())) for a, b in pairs)
    return near / len(pairs)


@lru_cache(maxsize=4096)  # a list of questions meets the same sentences
def _places(text: str) -> dict[str, list[int]]:
    """Where among the words of a text each stem stands; not to be changed."""
    place: dict[str, list[int]] = {}
    for n, word in enumerate(words(text)):
        place.setdefault(word.stem, []).append(n)
    return place


@lru_cache(maxsize=20_000)
def _amounts(text: str) -> tuple[Amount, ...]:
    return tuple(amounts(text))


@lru_cache(maxsize=20_000)
def _content_stems(text: str) -> frozenset[str]:
    return frozenset(w.stem for w in content_words(text))


def _kind(question: Question, c: Candidate) -> tuple[float, float]:
    """Whether the sentence has the kind of thing that is asked for: (found, missing), each 0 or 1."""
    asked = fold(question.search_text)
    new_name = any(name not in asked for name in c.names)
    match question.kind:
        case "who":
            found = new_name
        case "when":
            found = c.has_date
        case "where":
            found = new_name and bool(_PLACE.search(c.text))
        case "how_many" | "how_much":
            money = question.kind == "how_much" and bool(_PRICE.search(question.text))
            new = [
                a for a in _amounts(c.text) if fold(c.text[a.start : a.end]) not in asked and a.kind != "year"
            ]
            found = any(a.kind == "money" for a in new) if money else bool(new)
        case "why":
            found = bool(_REASON.search(c.text))
        case _:
            return 0.0, 0.0
    return float(found), float(not found)


# ----------------------------------------------------------------------------------------- models

TOGETHER = ("order", "reader", "covered", "words", "library", "near", "borne_out", "differs")
SUMMARY = (*TOGETHER, "second", *(f"first_{name}" for name in FEATURES))
TERMS = (*SUMMARY, *(f"{one}*{other}" for one, other in combinations_with_replacement(TOGETHER, 2)))


LOOKED_AT = 4  # of the candidates, for nearness of meaning, which takes too long to ask of all


def nearness(question: Question, best: Sequence[Candidate], embed: Embed) -> Matrix:
    """How near in meaning each sentence is to the question, as a cosine; shape (len(best),)."""
    vectors = embed([question.search_text, *(c.text for c in best)])
    return np.asarray(vectors[1:] @ vectors[0], dtype=np.float64)


def borne_out(question: Question, first: Candidate, judge: Odds) -> float:
    """The log odds, by the judge, that the best sentence supports the question, taken for a claim: what a
    passage bears out is rarely a near miss."""
    page = Page(_heading(first.hit), f"{first.before} {first.text} {first.after}".strip())
    return float(judge(question.search_text, [page])[0, 0])


def differs(question: Question, first: Candidate) -> float:
    """1 if the question, taken for a claim, says something else than the best sentence, else 0.

    A denial, an opposite, another name, as a sub-editor's rules find them: of these near misses are made. A
    question that names both of two ("the north or the south"), or that denies something itself where the
    sentence does too, leaves open what is meant.
    """
    asked = paired(question.search_text.rstrip("? "), first)
    if _EITHER.search(question.text) or rules.both_deny(asked):
        return 0.0
    return float(rules.difference(asked) is not None)


_EITHER = re.compile(r"\bor\b", re.IGNORECASE)


def paired(claim: str, evidence: Candidate) -> rules.Pair:
    """A claim beside a sentence, as ``rules`` compare them."""
    hit = evidence.hit
    around = " | ".join(filter(None, (title_of(hit), hit.passage.section, evidence.before)))
    return rules.pair(claim, evidence.text, around, hit.source.published)


def title_of(hit: Hit) -> str:
    """The title of a hit's document; empty where it is but the beginning of the text, for want of one."""
    title, text = hit.source.title, hit.passage.text
    is_line = text[len(title) :].startswith("\n")
    return "" if text.startswith(title) and not is_line else title


def reordered(order: Matrix, best: NDArray[np.int64], near: Matrix, weight: float) -> Matrix:
    """The order scores, with those of the ``best`` (indices) moved by how near they are among themselves."""
    moved = order.copy()
    moved[best] += weight * (near - near.mean())
    return moved


def summarise(
    weights: Weights,
    hits: Sequence[Hit],
    order: Matrix,
    rows: Matrix,
    near: Matrix,
    judged: float,
    differing: float,
) -> Matrix:
    """What speaks for and against the question being answered at all, shape (len(SUMMARY),).

    The best order score; what the reader says of the sentence that it trusts most; how much of the question
    the best hits hold together (one in several parts is answered by several of them); what these have to
    be seen against: the length of the question, and the size of the library, since in a large one something
    always looks a little like an answer; how near in meaning the nearest of the best sentences is; what the
    judge says of the first; and whether the question differs from it. Beside these, what the reader says of
    the sentence that it trusts second most, and the features of the first.
    """
    trusted = np.sort(rows[:, FEATURES.index("reader")])[::-1]
    together = frozenset().union(*(_hit_stems(hit) for hit in hits[:5]))
    return np.array(
        [
            order.max(),
            trusted[0],
            weights.coverage(together),
            math.log1p(len(weights.rarity)),
            math.log1p(weights.passages),
            near.max(),
            judged,
            differing,
            trusted[:2][-1],
            *rows[order.argmax()],
        ]
    )


def _about(hit: Hit) -> str:
    """What is said about a hit's document, as text."""
    source = hit.source
    parts = (source.title, hit.passage.section, source.publisher, source.author, source.published)
    return " ".join(part for part in parts if part)


def _hit_stems(hit: Hit) -> frozenset[str]:
    return _traits(hit.passage.text).stems | _traits(_about(hit)).stems


def terms(scaled: Matrix) -> Matrix:
    """Scaled summaries, with the squares and products of what is weighed ``TOGETHER``; (..., len(TERMS)).

    What the reader says means less of a long question (several passages answer it together) than of a short
    one, and a large library asks for more: hence products. Beyond three deviations nothing was seen.
    """
    z = np.clip(scaled, -3.0, 3.0)
    pairs = [z[..., i] * z[..., j] for i, j in combinations_with_replacement(range(len(TOGETHER)), 2)]
    return np.concatenate([z, np.stack(pairs, axis=-1)], axis=-1)


@dataclass(frozen=True, slots=True)
class Model:
    """The fitted weights.

    ``order`` (over ``FEATURES``) ranks the candidates, and nearness of meaning, with the weight ``near``, the
    best of them anew. ``mean`` and ``scale`` (over ``SUMMARY``), ``weight`` (2 by ``TERMS``) and ``bias`` (2)
    give the probabilities that the question is answered at all, and that the best candidate is right. Below
    ``threshold`` of the first the answer is a refusal.
    """

    order: Matrix
    near: float
    mean: Matrix
    scale: Matrix
    weight: Matrix
    bias: Matrix
    threshold: float

    def probabilities(self, summary: Matrix) -> Matrix:
        """Answerable, and right; shape (..., 2) for one summary or for rows of them."""
        z = terms((summary - self.mean) / self.scale) @ self.weight.T + self.bias
        return np.asarray(1.0 / (1.0 + np.exp(-z)))


@lru_cache(maxsize=1)
def load_model() -> Model:
    """The model that is shipped, from ``extract.json``."""
    data = json.loads(Path(__file__).with_name("extract.json").read_text(encoding="utf-8"))
    return Model(
        order=np.array([data["order"][name] for name in FEATURES]),
        near=data["near"],
        mean=np.array([data["mean"][name] for name in SUMMARY]),
        scale=np.array([data["scale"][name] for name in SUMMARY]),
        weight=np.array([[data[part][name] for name in TERMS] for part in PROBABILITIES]),
        bias=np.array([data[part]["bias"] for part in PROBABILITIES]),
        threshold=data["threshold"],
    )


PROBABILITIES = ("answerable", "right")


# What it is worth (in log odds) that a document asks the very question and the sentence stands in its
# answer. Set by hand: the data that the rest is fitted on has no such blocks.
FAQ_BONUS = 8.0


def _asked_there(question: Question, weights: Weights, candidate: Candidate) -> float:
    """How alike the question and the one that the candidate answers in a FAQ are; 0...1, 0 if hardly."""
    if not candidate.faq:
        return 0.0
    there = _content_stems(candidate.faq)
    asked = {w.stem for w in question.words}
    alike = weights.coverage(there) * len(there & asked) / max(1, len(there))
    return alike if alike >= 0.25 else 0.0


def read(question: Question, weights: Weights, hits: Sequence[Hit], senses: Senses, model: Model) -> Reading:
    """Order the sentences of the hits by how well they answer, and say whether the best one does."""
    found = candidates(worth_reading(hits))
    if not found:
        return Reading((), (), (), (), 0.0, 0.0)
    marked = mark(question, found, senses.read)
    rows = features(question, weights, found, marked)
    order = rows @ model.order + np.array([FAQ_BONUS * _asked_there(question, weights, c) for c in found])
    best = np.argsort(-order, kind="stable")
    near = nearness(question, [found[i] for i in best[:LOOKED_AT]], senses.embed)
    order = reordered(order, best[:LOOKED_AT], near, model.near)
    best = np.argsort(-order, kind="stable")
    judged = borne_out(question, found[best[0]], senses.judge)
    differing = differs(question, found[best[0]])
    summary = summarise(weights, hits, order, rows, near, judged, differing)
    answerable, right = model.probabilities(summary).tolist()
    # That a document answers its own question is as sure as that it is the one asked here.
    asked = _asked_there(question, weights, found[best[0]])
    answerable, right = max(answerable, asked), max(right, asked)
    return Reading(
        candidates=tuple(found[i] for i in best),
        scores=tuple(float(order[i]) for i in best),
        told=tuple(_told(found[i], marked) for i in best),
        trust=tuple(float(rows[i, FEATURES.index("reader")]) for i in best),
        answerable=answerable,
        right=right,
        own_answer=asked > 0,
    )


def worth_reading(hits: Sequence[Hit]) -> Sequence[Hit]:
    """The first hits, as many as there is time for."""
    ends = accumulate(len(hit.passage.text) for hit in hits)
    return hits[: max(1, sum(end <= READ_CHARACTERS for end in ends))]


# ---------------------------------------------------------------------------------------- answers


Rivals = Sequence[tuple[str, Candidate]]  # the values that documents differ on, each with its sentence


def compose(
    question: Question, reading: Reading, rivals: Rivals, hits: tuple[Hit, ...], model: Model
) -> Answer:
    """The answer in the words of the documents, or a refusal that shows the closest passages.

    ``rivals`` are the ``disagreements``: their sentences are quoted too.
    """
    if not reading.candidates or reading.answerable < model.threshold:
        return Answer(question.text, "not_found", hits=hits, confidence=1.0 - reading.answerable)
    chosen = choose(question, reading)
    chosen += [c for _, c in rivals if c not in chosen]
    citations = tuple(cite(n, c.hit, c.start, c.end) for n, c in enumerate(chosen, start=1))
    text, sentences = "", []
    for citation in citations:
        start = len(text)
        text += citation.quote
        sentences.append(Sentence(citation.quote, start, len(text), (citation.n,), "verbatim"))
        text += f" [{citation.n}] "
    return Answer(
        question.text,
        "answered",
        text=text.rstrip(),
        sentences=tuple(sentences),
        citations=citations,
        hits=hits,
        confidence=reading.right,
        notices=_differing(rivals),
    )


def join(whole: Answer, answers: Sequence[Answer]) -> Answer:
    """One answer out of those to the parts of a question; a notice names the parts that were not found.

    ``whole`` is what was found for the question as it stands; it is the answer if no part was answered.
    """
    answered = [a for a in answers if a.status == "answered"]
    if not answered:
        return whole
    room = MAX_WORDS_LIST - sum(word_count(a.sentences[0].text) for a in answered)
    text = ""
    sentences: list[Sentence] = []
    citations: list[Citation] = []
    for answer in answered:
        for n, (sentence, citation) in enumerate(zip(answer.sentences, answer.citations, strict=True)):
            if any((c.document_id, c.start) == (citation.document_id, citation.start) for c in citations):
                continue
            length = word_count(sentence.text) if n else 0  # room was kept for the first of each part
            if length > room:
                break
            room -= length
            citations.append(replace(citation, n=len(citations) + 1))
            start = len(text)
            sentences.append(
                replace(sentence, start=start, end=start + len(sentence.text), citations=(len(citations),))
            )
            text += f"{sentence.text} [{len(citations)}] "
    missing = [a.question for a in answers if a.status != "answered"]
    told = [f"Nothing was found for \u201c{part.rstrip('?')}?\u201d" for part in missing]
    return replace(
        whole,
        status="answered",
        text=text.rstrip(),
        sentences=tuple(sentences),
        citations=tuple(citations),
        confidence=min(a.confidence for a in answered),
        notices=tuple(dict.fromkeys([*told, *(notice for a in answered for notice in a.notices)])),
        differences=tuple(dict.fromkeys(difference for a in answered for difference in a.differences)),
    )


def cite(n: int, hit: Hit, start: int, end: int) -> Citation:
    """A citation of ``document.text[start:end]``, which must lie within the hit's passage."""
    passage, source = hit.passage, hit.source
    return Citation(
        n=n,
        document_id=passage.document_id,
        title=source.title,
        publisher=source.publisher,
        author=source.author,
        published=source.published,
        url=source.url,
        section=passage.section,
        page=passage.page,
        start=start,
        end=end,
        quote=passage.text[start - passage.start : end - passage.start],
        updated=source.updated,
    )


def choose(question: Question, reading: Reading) -> list[Candidate]:
    """The sentences of the answer in the order in which they are read."""
    best = reading.candidates[0]
    most_words, most = (
        (MAX_WORDS_LIST, MAX_SENTENCES_LIST) if question.wants_list else (MAX_WORDS, MAX_SENTENCES)
    )
    if reading.own_answer:
        answer = _within(_of_passage(reading, best), MAX_WORDS_LIST, MAX_SENTENCES_LIST)
        return [*answer, *_from_the_body(reading, answer)]
    lead = _with_lead(reading, best)
    rest: list[Candidate] = []
    for candidate, score in zip(reading.candidates[1:], reading.scores[1:], strict=True):
        if score < reading.scores[0] - NEAR or len(lead) + len(rest) >= most:
            break
        # A row of a table can be the answer, but does not go on with one.
        if " | " not in candidate.text and not any(_alike(candidate, c) for c in (*lead, *rest)):
            rest = _within([*lead, *rest, candidate], most_words, most)[len(lead) :]
    place = {c.hit.passage.document_id: n for n, c in reversed(list(enumerate(reading.candidates)))}
    # The best sentence comes first; the others by document, in the order in which they stand there.
    return [*lead, *sorted(rest, key=lambda c: (place[c.hit.passage.document_id], c.start))]


BEARING = 0.4  # of its content words, what a sentence must share with an answer to bear it out
NEAR = 4.0  # a further sentence may be this much (in log odds) less likely the answer than the best one


def _of_passage(reading: Reading, candidate: Candidate) -> list[Candidate]:
    same = [c for c in reading.candidates if c.hit.passage == candidate.hit.passage]
    return sorted(same, key=lambda c: c.start)


def _from_the_body(reading: Reading, answer: list[Candidate]) -> list[Candidate]:
    """The sentence elsewhere in the document that bears out an answer taken from its FAQ, if it fits."""
    said = frozenset().union(*(_content_stems(c.text) for c in answer))
    bearing = []
    for candidate in reading.candidates:
        same = candidate.hit.passage.document_id == answer[0].hit.passage.document_id
        if same and not candidate.faq and not any(_alike(candidate, c) for c in answer):
            own = _content_stems(candidate.text)
            bearing.append((len(own & said) / max(1, len(own)), candidate))
    share, best = max(bearing, key=lambda pair: pair[0], default=(0.0, None))
    if best is None or share < BEARING:
        return []
    return _within([*answer, best], MAX_WORDS, MAX_SENTENCES_LIST)[len(answer) :]


def _with_lead(reading: Reading, candidate: Candidate) -> list[Candidate]:
    """The sentence, after the one before it if it cannot be understood alone ("It is ...")."""
    before = [c for c in _of_passage(reading, candidate) if c.index == candidate.index - 1]
    if not _POINTS_BACK.match(candidate.text) or len(_within([candidate, *before], MAX_WORDS, 2)) < 2:
        return [candidate]
    return [*before, candidate]


def _within(sentences: Sequence[Candidate], most_words: int, most: int) -> list[Candidate]:
    """The first sentences that fit; the very first one always does."""
    kept: list[Candidate] = []
    total = 0
    for sentence in sentences[:most]:
        total += word_count(sentence.text)
        if kept and total > most_words:
            break
        kept.append(sentence)
    return kept


def _alike(one: Candidate, other: Candidate) -> bool:
    return len(one.stems & other.stems) >= 0.7 * min(len(one.stems), len(other.stems))


def disagreements(question: Question, reading: Reading) -> list[tuple[str, Candidate]]:
    """The values that documents give for what was asked where they differ, each with the first to give it.

    A sentence that leaves out something of the question that the best one has speaks of something else: of
    the same firm on another day.
    """
    if question.wants_list or question.kind in {"yes_no", "why", "how", "list"}:
        return []
    values: list[tuple[_Value, str, Candidate]] = []
    trust = max(reading.trust, default=0.0)
    asked = _particulars(question)
    for candidate, told, own in list(zip(reading.candidates, reading.told, reading.trust, strict=True))[
        :_RIVALS
    ]:
        value = _value(question, told)
        # A second value counts only where the reader is about as sure of it as of the best.
        if value is None or own < max(SURE_ENOUGH, trust - RIVAL) or _aside(question, candidate, told):
            continue
        document = candidate.hit.passage.document_id
        if all(
            c.hit.passage.document_id != document and _differ(value, other) and not _same_text(candidate, c)
            for other, _, c in values
        ) and (not values or _of_the_same(asked, values[0][2], candidate)):
            values.append((value, told, candidate))
    return [(told, candidate) for _, told, candidate in values] if len(values) > 1 else []


def _aside(question: Question, c: Candidate, told: str) -> bool:
    """Whether a value is somebody else's, or that of several together ("A, B and C spent ..."), or the day on
    which the rest was written."""
    if question.kind == "when":
        return bool(re.search(rf"\b(?:wrote|said|reported|told \w+) on {re.escape(told)}", c.text))
    if question.kind not in {"how_many", "how_much"} or len(question.names) != 1:
        return False
    if c.names and not _share(frozenset(question.names[0].split()), fold(c.text)):
        return True
    name = f"(?i:{re.escape(question.names[0])})"
    return bool(re.search(rf"\w(?:,| and|,? &) {name}\b|\b{name}(?:, | and |,? & )[A-Z]", c.text))


def _of_the_same(asked: frozenset[str], first: Candidate, other: Candidate) -> bool:
    """Whether a sentence has what the first one has of the question; "it" may stand for one word."""
    lacking = (asked & _stems_around(first)) - _stems_around(other)
    return len(lacking) <= bool(_POINTS_BACK.match(other.text))


def _stems_around(c: Candidate) -> frozenset[str]:
    """The stems of a sentence and of what it may lean on: the one before it, and the titles above."""
    return c.stems | _traits(c.before).stems | _traits(_heading(c.hit)).stems


_RIVALS = 10  # candidates that are looked at for another value
SURE_ENOUGH = -1.0  # log odds, by the reader, that a sentence answers at all
RIVAL = 3.0  # by how much less sure of it the reader may be than of the best


@dataclass(frozen=True, slots=True)
class _Value:
    """What some words say, comparably: ``kind`` of value, and its parts."""

    kind: str
    parts: frozenset[str]


def _value(question: Question, told: str) -> _Value | None:
    """The value in the words that answer, if it is one of a kind that can be held against another."""
    found = dates(told)
    if question.kind == "when":
        return _Value("date", frozenset(f"{d.year}" for d in found)) if found and found[0].year else None
    if question.kind in {"how_many", "how_much"}:
        found_amounts = [a for a in amounts(told) if a.kind != "year"]
        numbers = frozenset(f"{a.value:g}" for a in found_amounts)
        money = any(a.kind == "money" for a in found_amounts)
        return _Value("money" if money else "amount", numbers) if numbers else None
    if _ATTRIBUTE.match(question.text) and len(told.split()) <= _SHORT and not re.search(r"\d", told):
        named = _content_stems(told)
    else:
        named = frozenset(w.stem for s, e in names(f"The {told}") for w in content_words(f"The {told}"[s:e]))
    new = named - {w.stem for w in question.words}
    return _Value("name", new) if new else None


# What is asked for, as the question puts it: "what is the birth date of", "in which city did".
_ASKED_FOR = re.compile(
    r"(?:\w+ )?(?:what|which|how many|how much)(?: \w+){0,3}? "
    r"(?:is|was|are|were|did|do|does|has|have|had|can|will)\b(?: the (?:\w+ ){1,3}of\b)?",
    re.IGNORECASE,
)


def _particulars(question: Question) -> frozenset[str]:
    """The stems of the question, without what an answer gives in other words or a figure."""
    opening = _ASKED_FOR.match(question.text)
    return frozenset(w.stem for w in question.words) - _content_stems(opening.group() if opening else "")


# Questions for one quality of a thing, which a common noun can be the value of: "what sport does she play".
_ATTRIBUTE = re.compile(
    r"(?:what|which) (?:\w+ ){1,2}?(?:is|was|does|did)\b|what (?:is|was) the (?:\w+ ){1,3}of\b", re.IGNORECASE
)
_SHORT = 3  # words that are such a value, and no more


def _differ(one: _Value, other: _Value) -> bool:
    return one.kind == other.kind and not one.parts & other.parts


def _same_text(one: Candidate, other: Candidate) -> bool:
    return one.text == other.text


def _differing(rivals: Rivals) -> tuple[str, ...]:
    parts = [f"{told} ({_named(c)})" for told, c in rivals]
    return ("Sources differ: " + "; ".join(parts) + ".",) if parts else ()


def _named(candidate: Candidate) -> str:
    source = candidate.hit.source
    return ", ".join(
        part for part in (source.title or candidate.hit.passage.document_id, source.published) if part
    )
