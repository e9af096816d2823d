"""Does this text support this claim? The one judge.

A claim is held against the sentences that are nearest to it. The rules of a sub-editor (``kb.rules``) look
for a difference; one that they name contradicts the claim. Else the reader (``kb.reader``) judges the pair as
a whole, and ``kb.weigh`` weighs this with what the rules miss: what leaves part of the claim open is
``not_found``, and a person has to look.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kb import claims, provenance, rules, weigh
from kb.claims import Claim
from kb.embed import Embed
from kb.extract import Candidate, Odds, candidates, cite, paired, title_of
from kb.reader import Page
from kb.rules import Pair
from kb.statement import akin
from kb.text import fold
from kb.types import Hit, Judgement, Verdict

Find = Callable[[str], Sequence[Hit]]

_WORDS_COUNT = 0.65  # what shared words count beside nearness of meaning in the likeness of two sentences
_DIFFERS = 0.55  # how alike they must be for a rule to look for a difference
_ANOTHER_KIND = 0.3  # two phrases less near than this are different kinds of things: a city, a series
_CONSIDERED = 6  # sentences that are judged
_EMBEDDED = 24  # sentences whose meaning is compared, those that share most words with the claim
_CLOSE_TO_BEST = 0.1  # a contradiction must be this close to the sentence that is most like the claim
_CITED = 3  # quotes that a verdict shows, of different texts first
_MARGIN = 0.05  # ... and this much more like the claim than one that supports it


@dataclass(frozen=True, slots=True)
class Finding:
    """What one sentence says of a claim: how likely that is right, and how alike the two are (both 0...1).

    ``named``: a rule names the difference. ``beside`` is a second sentence, where only both together say it.
    """

    verdict: Judgement
    probability: float
    likeness: float
    explanation: str
    evidence: Candidate
    beside: Candidate | None = None
    named: bool = False

    @property
    def sentences(self) -> tuple[Candidate, ...]:
        return (self.evidence, self.beside) if self.beside else (self.evidence,)


def check(text: str, find: Find, embed: Embed, odds: Odds) -> Iterator[Verdict]:
    """A verdict for each statement of ``text``, in its order; what is no claim is left alone, and says so."""
    return (_verdict(text, claim, find, embed, odds) for claim in claims.split(text))


_LEFT_ALONE = {
    "opinion": "This is an opinion, which no document can settle; it was not checked.",
    "question": "This is a question, not a claim; it was not checked.",
    "instruction": "This is an instruction, not a claim; it was not checked.",
    "heading": "This is a heading, not a claim; it was not checked.",
}


def _verdict(text: str, part: Claim, find: Find, embed: Embed, odds: Odds) -> Verdict:
    start, end = part.start, part.end
    claim = text[start:end]
    if part.kind != "claim":
        return Verdict(claim, start, end, "not_found", 1.0, _LEFT_ALONE[part.kind], kind=part.kind)
    found = [sentence for hit in find(part.alone) for sentence in sentences(hit)]
    findings = judge(part.alone, found, embed, odds)
    best = decisive(findings)
    if best is None:
        closest = max(findings, key=lambda f: f.likeness, default=None)
        why = closest.explanation if closest else "No document says anything about this."
        sure = min((f.probability for f in findings), default=1.0)
        return Verdict(claim, start, end, "not_found", sure, why)
    agreeing = [f for f in findings if f.verdict == best.verdict and f is not best]
    agreeing.sort(key=lambda f: -f.likeness)
    evidence = list(dict.fromkeys(sentence for f in (best, *agreeing) for sentence in f.sentences))
    texts = provenance.independent(evidence)
    shown = (texts + [sentence for sentence in evidence if sentence not in texts])[:_CITED]
    articles, differing = provenance.witnesses(texts, found)
    return Verdict(
        claim=claim,
        start=start,
        end=end,
        verdict=best.verdict,
        confidence=best.probability,
        explanation=best.explanation,
        citations=tuple(cite(n, s.hit, s.start, s.end) for n, s in enumerate(shown, start=1)),
        articles=articles,
        texts=differing,
        timeline=provenance.timeline(_values(part.alone, best, findings)),
    )


def _values(claim: str, best: Finding, findings: Sequence[Finding]) -> list[tuple[Candidate, str]]:
    """What the sentences about the claim have in the place of its figure or date, the deciding one first."""
    values = []
    for finding in (best, *findings):
        said = None if finding.verdict == "not_found" else rules.value(paired(claim, finding.evidence))
        # A sentence that differs in something else speaks of something else.
        if said and (finding.verdict == "supported" or said in finding.explanation):
            values.append((finding.evidence, said))
        elif finding is best:
            return []
    return values


def decisive(findings: Sequence[Finding]) -> Finding | None:
    """The finding that decides: support, unless a sentence that is clearly more like the claim contradicts.

    A contradiction counts only in one of the sentences most like the claim; the others are about something
    else that merely has another value. One without a named difference has to be the surer of the two as well.
    """

    def nearest(verdict: Judgement) -> Finding | None:
        return max((f for f in findings if f.verdict == verdict), key=lambda f: f.likeness, default=None)

    support, against = nearest("supported"), nearest("contradicted")
    most = max((f.likeness for f in findings), default=0.0)
    if against and against.likeness < most - _CLOSE_TO_BEST:
        against = None
    if support and against:
        clearly = against.named or against.probability > support.probability
        return against if clearly and against.likeness > support.likeness + _MARGIN else support
    return support or against


def _nearest(claim: str, evidence: Sequence[Candidate], embed: Embed) -> list[tuple[Candidate, float]]:
    """The sentences most like the claim, each with the cosine similarity of the two."""
    shared = [(rules.coverage(paired(claim, candidate)), candidate) for candidate in evidence]
    if not shared:
        return []
    shared.sort(key=lambda pair: -pair[0])
    shared = shared[:_EMBEDDED]
    vectors = embed([claim, *(c.text for _, c in shared)])
    near = (vectors[1:] @ vectors[0]).tolist()
    worth = [share + similarity for (share, _), similarity in zip(shared, near, strict=True)]
    order = np.argsort([-w for w in worth], kind="stable")[:_CONSIDERED]
    return [(shared[i][1], near[i]) for i in order]


@dataclass(frozen=True, slots=True)
class Compared:
    """A claim beside a sentence: their likeness (0...1), what the rules name, and ``weigh.FEATURES``."""

    pair: Pair
    evidence: Candidate
    likeness: float
    difference: str | None
    missing: str | None
    row: tuple[float, ...]

    @property
    def same_words(self) -> bool:
        """Whether the sentence says the claim in the same words, or nearly so, and nothing differs."""
        run = None if self.difference or self.missing else rules.repeated(self.pair)
        text = self.pair.evidence.text
        return run is not None and _stands_alone(text[: run[0]], text[run[1] :])


def judge(claim: str, evidence: Sequence[Candidate], embed: Embed, odds: Odds) -> list[Finding]:
    """What those sentences say of a claim that are most like it; where none settles it, two together.

    That a sentence seems to contradict a claim, though no rule names a difference, may be because it has half
    of it.
    """
    compared = compare(claim, evidence, embed, odds)
    findings = [_finding(claim, one, *told) for one, told in zip(compared, _weighed(compared), strict=True)]
    best = decisive(findings)
    if best and (best.verdict == "supported" or best.named):
        return findings
    return [*findings, *_together(claim, compared, embed, odds)]


def _together(claim: str, compared: Sequence[Compared], embed: Embed, odds: Odds) -> list[Finding]:
    """The nearest sentence and the one that has most of what it lacks, if they say together what neither says
    alone."""
    if not compared:
        return []
    first, *others = compared
    # Two articles that each say half need not speak of the same thing.
    document = first.evidence.hit.passage.document_id
    others = [other for other in others if other.evidence.hit.passage.document_id == document]
    if not others:
        return []
    lacking = [f for f, _ in first.pair.claim.content if not akin(f, first.pair.evidence.forms)]

    def adds(other: Compared) -> int:
        return sum(akin(f, other.pair.evidence.forms) for f in lacking)

    second = max(others, key=adds)
    if not adds(second):
        return []
    both = replace(first.evidence, text=f"{second.evidence.text} {first.evidence.text}")
    joined = compare(claim, [both], embed, odds)
    return [
        Finding(
            "supported",
            probability,
            one.likeness,
            f"{rules.source_name(first.pair.published)} says the same, in two sentences together.",
            first.evidence,
            second.evidence,
        )
        for one, (verdict, probability) in zip(joined, _weighed(joined), strict=True)
        if verdict == "supported" and not one.difference and not one.missing
    ]


def _weighed(compared: Sequence[Compared]) -> list[tuple[Judgement, float]]:
    """The verdict on each by weighing, and how likely it is."""
    if not compared:
        return []
    scales = weigh.load_scales()
    shares = scales.probabilities(np.array([one.row for one in compared]))
    told = scales.verdicts(shares).tolist()
    return [(weigh.VERDICTS[n], float(row[n])) for n, row in zip(told, shares, strict=True)]


def compare(claim: str, evidence: Sequence[Candidate], embed: Embed, odds: Odds) -> list[Compared]:
    """The claim beside each of the sentences that are most like it, the nearest first."""
    near = _nearest(claim, evidence, embed)
    pairs = [paired(claim, sentence) for sentence, _ in near]
    pages = [
        (page_of(pair, sentence), passage_of(pair, sentence))
        for pair, (sentence, _) in zip(pairs, near, strict=True)
    ]

    def alike(one: str, other: str) -> float:
        first, second = embed([one, other])
        return float(first @ second)

    found = []
    for pair, (sentence, nearness), logits in zip(pairs, near, _read(pairs, pages, odds), strict=True):
        shared = rules.coverage(pair, rules.renamed(pair))
        likeness = min(1.0, max(0.0, _WORDS_COUNT * shared + (1.0 - _WORDS_COUNT) * nearness))
        difference = missing = None
        if likeness >= _DIFFERS:
            difference = rules.difference(pair) or _another_kind(pair, alike)
        if difference is None:
            missing = rules.missing(pair)
        row = {
            **logits,
            "shared": shared,
            "near": nearness,
            "missing": float(missing is not None),
            "figures_agree": float(rules.figures_agree(pair)),
            "kind_open": float(rules.leaves_kind_open(pair)),
        }
        values = tuple(row[name] for name in weigh.FEATURES)
        found.append(Compared(pair, sentence, likeness, difference, missing, values))
    return found


def _read(
    pairs: Sequence[Pair], pages: Sequence[tuple[Page, Page]], odds: Odds
) -> Iterator[dict[str, float]]:
    """What the reader says of each sentence and of its passage; every page is read once for a wording of the
    claim."""
    claims = [rules.settled(pair) for pair in pairs]
    logits: dict[tuple[str, Page], list[float]] = {}
    for claim in dict.fromkeys(claims):
        distinct = list(
            dict.fromkeys(p for c, both in zip(claims, pages, strict=True) if c == claim for p in both)
        )
        logits |= zip(((claim, page) for page in distinct), odds(claim, distinct).tolist(), strict=True)
    names = ("supports", "contradicts", "passage_supports", "passage_contradicts")
    for claim, (page, passage) in zip(claims, pages, strict=True):
        yield dict(zip(names, (*logits[claim, page], *logits[claim, passage]), strict=True))


def page_of(pair: Pair, evidence: Candidate) -> Page:
    """A sentence as the reader judges it: after the one before it, under title and section, and with the
    claim's name where it may mean that by "she" or "it"."""
    heading = f"{title_of(evidence.hit)} {evidence.hit.passage.section or ''}".strip()
    return Page(heading, f"{rules.tidy(evidence.before)} {rules.resolved(pair)}".strip())


def passage_of(pair: Pair, evidence: Candidate) -> Page:
    """The whole passage of a sentence in the same manner."""
    passage = evidence.hit.passage
    start, end = evidence.start - passage.start, evidence.end - passage.start
    before, after = (rules.tidy(part).strip() for part in (passage.text[:start], passage.text[end:]))
    heading = page_of(pair, evidence).heading
    return Page(heading, " ".join(filter(None, (before, rules.resolved(pair), after))))


def _finding(claim: str, one: Compared, told: Judgement, probability: float) -> Finding:
    """``told`` is the verdict by weighing, and how likely it is."""
    source = rules.source_name(one.pair.published)
    if says_it(claim, one.evidence.text):
        return Finding("supported", 1.0, 1.0, f"{source} says this word for word.", one.evidence)
    if one.same_words:
        why = " ".join([f"{source} says the same.", *rules.notes(one.pair)])
        sure = max(probability, one.likeness) if told == "supported" else one.likeness
        return Finding("supported", sure, one.likeness, why, one.evidence)
    if one.difference:
        sure = weigh.load_scales().named
        return Finding("contradicted", sure, one.likeness, one.difference, one.evidence, named=True)
    if told == "contradicted":
        why = f"{source} says something else, though no single word makes the difference."
        if one.missing:
            why = f"{source} says something else, and does not mention {one.missing}."
    elif told == "supported":
        why = " ".join([f"{source} says the same.", *rules.notes(one.pair)])
    elif one.missing:
        why = f"The closest passage does not mention {one.missing}."
    elif one.row[weigh.FEATURES.index("shared")] < _SAME_THING:
        why = "The closest passage is about something else."
    else:
        why = "The closest passage leaves part of this open."
    return Finding(told, probability, one.likeness, why, one.evidence)


_SAME_THING = 0.5  # of a claim's words, what a sentence about the same thing has


def _another_kind(pair: Pair, alike: Callable[[str, str], float]) -> str | None:
    """What the source calls the subject, where the claim calls it something quite different."""
    kinds = rules.kinds(pair)
    return rules.says(pair, *kinds) if kinds and alike(*kinds) < _ANOTHER_KIND else None


def sentences(hit: Hit) -> list[Candidate]:
    """The sentences of a hit; that a title was made from one does not turn it into a heading."""
    own = replace(hit, source=replace(hit.source, title=title_of(hit)))
    return [replace(candidate, hit=hit) for candidate in candidates([own])]


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", fold(text)))


# What takes back the words after it, or makes a figure before it another one.
_TAKES_BACK = re.compile(
    r"\b(?:not|no|never|nobody|den\w+|false\w*|wrong\w*|untrue|incorrect\w*|myth|doubt\w*|if|whether|unless"
    r"|claim\w*|alleg\w+|rumou?r\w*|could|may|might|would|cannot|t|hop\w+|plan\w*)\b"
)
_GOES_ON = re.compile(r"(?:\d|hundred|thousand|million|billion|trillion|bn|tn|m|percent|per|point)\b")


# What may follow the words of a claim without making them the words of another: "the minister" is not "the
# minister's brother", nor "the mayor" "the mayor of the next town".
_ENDS = re.compile(
    r"[^\w'\u2019]*(?:$|(?<=[,.;:!?)\]\u2013\u2014\"\u201d])|\s(?:and|or|but|as|at|by|for|from|in|on|to|with|after|before|because"
    r"|during|since|so|that|then|through|when|where|which|while|who|until|under|over)\b)"
)


def _stands_alone(before: str, after: str) -> bool:
    """Whether a run of words means the same without what is before and after it."""
    return (
        not _TAKES_BACK.search(_plain(before))
        and not _GOES_ON.match(_plain(after))
        and bool(_ENDS.match(fold(after)))
    )


def says_it(claim: str, evidence: str) -> bool:
    """Whether a sentence has all the words of the claim in one run, and does not take them back."""
    words = _plain(claim).split()
    run = re.search(r"(?<!\w)" + r"\W+".join(map(re.escape, words)) + r"(?!\w)", fold(evidence))
    return (
        bool(words) and run is not None and _stands_alone(run.string[: run.start()], run.string[run.end() :])
    )
