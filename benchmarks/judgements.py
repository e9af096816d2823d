"""What the judge is trained on: claims, each with a page that supports it, contradicts it or leaves it open.

Labelled pairs come from files of {"claim", "evidence", "label", "origin"} (label "supported", "refuted" or
"not_enough_info"). Our own are made of paragraphs and of questions with their answers (SquadShifts, see
``benchmarks/asked.py``):

    repeated    a sentence of the page, as it is, in other words, or only its first part
    changed     the same with a name, number or word changed, or denied: contradicted
    both        the same change in sentence and page: supported
    stated      a question and its answer made into a statement, over the page that answers
    misstated   the same with another answer of its kind: contradicted
    open        a sentence or statement over the page without the sentence that says it

Every change has unchanged twins, so that neither the wording of a claim nor a likeness gives the verdict
away.
"""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.altered import Swap, Thesaurus, swaps_for
from benchmarks.exercises import WIKIPEDIA, group_of, held_out, strangers, stretch
from benchmarks.reworded import with_synonyms
from kb.question import stated
from kb.reader import Page
from kb.text import Span, content_words, names, normalise, sentence_spans

Row = dict[str, Any]
_LABELS = {"supported": 0, "refuted": 1, "not_enough_info": 2}
# How often the pairs of an origin are used: short sentences that were made by pattern add little each.
_SHARE = {"breaking_nli": 0.3, "med": 0.4, "monli": 0.4, "sick": 0.6, "conjnli_adversarial_train_15k": 0.6}


@dataclass(frozen=True, slots=True)
class Judgement:
    """A claim, what it is held against, and the verdict, a place in ``VERDICTS``."""

    kind: str
    group: str
    claim: str
    page: Page
    verdict: int


def of_pairs(files: Sequence[Path], part: str, rng: random.Random) -> Iterator[Judgement]:
    """The labelled pairs of a part; pairs without evidence are left out."""
    for file in files:
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                origin, evidence = str(row["origin"]), normalise(str(row["evidence"]))
                if (
                    not evidence
                    or held_out(str(row["claim"])) != part
                    or rng.random() > _SHARE.get(origin, 1)
                ):
                    continue
                claim = normalise(str(row["claim"]))
                yield Judgement(origin, claim, claim, Page("", evidence), _LABELS[row["label"]])


class Judgements:
    """Draws a fresh set of our own for every epoch."""

    def __init__(self, by_context: Mapping[str, Sequence[Row]], thesaurus: Thesaurus) -> None:
        self._by_context = by_context
        self._thesaurus = thesaurus
        self._names = strangers(by_context)
        self._words = frozenset(w.text for text in by_context for w in content_words(text))

    def draw(self, part: str, rng: random.Random) -> Iterator[Judgement]:
        """Some dozen for every paragraph of Wikipedia; nobody checks what a review says of a kettle."""
        for context, rows in self._by_context.items():
            group = group_of(context)
            if held_out(group) != part or rows[0]["domain"] != WIKIPEDIA:
                continue
            spans = [s for s in sentence_spans(context) if 40 <= s[1] - s[0] <= 320]
            for span in rng.sample(spans, min(len(spans), 4)):
                yield from self._of_sentence(context, group, span, rng)
            for row in rows:
                yield from self._of_question(context, group, row, rng)

    def _of_sentence(self, context: str, group: str, span: Span, rng: random.Random) -> Iterator[Judgement]:
        page, without = self._page(context, span, rng), _without(context, span, rng)
        sentence = context[slice(*span)]
        said = self._in_other_words(sentence, rng)
        yield Judgement("repeated", group, said, page, 0)
        swaps = [s for s in self._swaps(sentence, context, rng) if s.stands_in(sentence)]
        if swaps:
            swap = rng.choice(swaps)
            yield Judgement("changed", group, self._in_other_words(swap.into(sentence), rng), page, 1)
            if rng.random() < 0.5:
                text = swap.exchanged(page.text)
                yield Judgement("both", group, swap.into(sentence), Page("", text), 0)
        if (denied := denial(said, self._words, rng)) and rng.random() < 0.5:
            yield Judgement("changed", group, denied, page, 1)
        if (denied := denial(sentence, self._words, rng)) and rng.random() < 0.3:
            if rng.random() < 0.5:
                yield Judgement("changed", group, said, Page("", page.text.replace(sentence, denied)), 1)
            else:
                yield Judgement("both", group, denied, Page("", page.text.replace(sentence, denied)), 0)
        if without and rng.random() < 0.6:
            yield Judgement("open", group, said, Page("", without), 2)

    def _of_question(self, context: str, group: str, row: Row, rng: random.Random) -> Iterator[Judgement]:
        answer = rng.choice(row["answers"])
        span = (int(answer["start"]), int(answer["start"]) + len(answer["text"]))
        own = next((s for s in sentence_spans(context) if s[0] <= span[0] < s[1]), span)
        statement = stated(str(row["question"]), str(answer["text"]))
        if statement is None:
            return
        page, without = self._page(context, own, rng), _without(context, own, rng)
        yield Judgement("stated", group, statement, page, 0)
        other = self._another(str(answer["text"]), context, rng)
        if rng.random() < 0.3 and (denied := denial(statement, self._words, rng)):
            yield Judgement("misstated", group, denied, page, 1)
        if other and (false := stated(str(row["question"]), other)):
            yield Judgement("misstated", group, false, page, 1)
        if without and rng.random() < 0.6:
            yield Judgement("open", group, statement, Page("", without), 2)

    def _swaps(self, sentence: str, context: str, rng: random.Random) -> list[Swap]:
        return swaps_for(f"… {sentence}", context, self._names, self._thesaurus, rng)

    def _page(self, context: str, span: Span, rng: random.Random) -> Page:
        """The sentence alone, or with some around it."""
        start, end = span if rng.random() < 0.5 else stretch(context, span, rng)
        return Page("", context[start:end])

    def _in_other_words(self, sentence: str, rng: random.Random) -> str:
        if rng.random() < 0.2:
            sentence = with_synonyms(sentence, self._thesaurus, rng)
        return shortened(sentence, rng) if rng.random() < 0.5 else sentence

    def _another(self, answer: str, context: str, rng: random.Random) -> str | None:
        """Another value of the same kind: a number for a number, a name of the page for a name, the answer to
        another question about the page for anything else."""
        digits = re.search(r"\d", answer)
        if digits:
            swaps = swaps_for(f"x {answer}", context, self._names, self._thesaurus, rng)
            swaps = [s for s in swaps if re.search(r"\d", s.old)]
            return rng.choice(swaps).into(answer) if swaps else None
        if not answer[:1].isupper():
            said = {w.stem for w in content_words(answer)}
            others = [str(a["text"]) for row in self._by_context[context] for a in row["answers"]]
            others = [
                o
                for o in others
                if o[:1].islower() and not said & {w.stem for w in content_words(o)} and len(o.split()) <= 8
            ]
            return rng.choice(others) if others and said else None
        own = [context[s:e] for s, e in names(context)]
        there = [n for n in own if not set(n.lower().split()) & set(answer.lower().split())]
        pool = there if there and rng.random() < 0.6 else self._names
        return rng.choice(pool)


def _without(context: str, span: Span, rng: random.Random) -> str | None:
    left = [context[s:e] for s, e in sentence_spans(context) if e <= span[0] or s >= span[1]]
    if not left:
        return None
    at = rng.randrange(len(left))
    return " ".join(left[at : at + rng.randint(1, 4)])


_IS = re.compile(r"(?<=\w )(?:is|are|was|were|has|have|had|can|could|will|would|should)\b(?! not\b|n't)")
_DONE = re.compile(r"(?<=\w )(?P<verb>[a-z]{3,}ed)\b")
_DENIALS = ("did not {}", "never {}ed", "refused to {}", "failed to {}", "has yet to {}", "did not ever {}")


def denial(sentence: str, known: Collection[str], rng: random.Random) -> str | None:
    """The sentence denied; ``known`` are the words among which a verb without its "-ed" must be."""
    match, done = _IS.search(sentence), _DONE.search(sentence)
    if match and not (done and done.start() < match.start()):
        how = rng.choice(("not", "not", "never", "no longer", "not at all"))
        return f"{sentence[: match.end()]} {how}{sentence[match.end() :]}"
    if done is None:
        return None
    verb = done["verb"]
    bases = [base for base in (verb[:-2], verb[:-1]) if base in known]
    if not bases:
        return None
    said = (
        f"never {verb}" if rng.random() < 0.2 else rng.choice(_DENIALS).format(bases[0]).replace("eed", "ed")
    )
    return f"{sentence[: done.start()]}{said}{sentence[done.end() :]}"


_JOINTS = re.compile(
    r",|;| \(| (?:who|which|that|and|but|in|from|with|by|for|during|after|when|where|as|while|because|since"
    r"|through|at|on|of the)\b"
)


def shortened(sentence: str, rng: random.Random) -> str:
    """The first part of a sentence, without what stands in brackets, if that part has a verb."""
    sentence = re.sub(r" \([^)]*\)", "", sentence)
    cuts = [m.start() for m in _JOINTS.finditer(sentence) if len(sentence[: m.start()].split()) >= 5]
    cuts = [c for c in cuts if _IS.search(sentence[:c]) or _DONE.search(sentence[:c])]
    return f"{sentence[: rng.choice(cuts)].rstrip(' ,;')}." if cuts else sentence
