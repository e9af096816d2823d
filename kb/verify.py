"""Does this text support this claim? The one judge.

A claim is held against the sentences that are nearest to it. Evidence must be about the same thing before
anything is said; then the rules of a sub-editor (``kb.rules``) look for a difference, which is named in the
explanation. Where they find none, likeness decides between support and silence: what leaves part of the
claim open is ``not_found``, and a person has to look.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kb import claims, provenance, rules
from kb.claims import Claim
from kb.embed import Embed
from kb.extract import Candidate, candidates, cite
from kb.rules import Pair
from kb.text import fold
from kb.types import Hit, Judgement, Verdict

Find = Callable[[str], Sequence[Hit]]
Alike = Callable[[str, str], float]

# How much of the claim must stand in the evidence, and how near both must be, to be about the same thing.
_SAME_THING = 0.5
_NEAR = 0.3
# What the first counts beside the second in the likeness of the two, and how alike they must be to say the
# same where no rule has found a difference. Set on samples of public claims; 0.55 to 0.7 did about as well.
_WORDS_COUNT = 0.65
_SAME_CLAIM = 0.65
_DIFFERS = 0.55  # ... and for a difference to count
_ANOTHER_KIND = 0.3  # two phrases less near than this are different kinds of things: a city, a series
_CONSIDERED = 6  # sentences that are judged
_EMBEDDED = 24  # sentences whose meaning is compared, those that share most words with the claim
_CLOSE_TO_BEST = 0.1  # a contradiction must be this close to the sentence that is most like the claim
_CITED = 3  # quotes that a verdict shows, of different texts first
_MARGIN = 0.05  # ... and this much more like the claim than one that supports it


@dataclass(frozen=True, slots=True)
class Finding:
    """What one sentence says of a claim, and how alike the two are (0...1)."""

    verdict: Judgement
    strength: float
    explanation: str
    evidence: Candidate


def check(text: str, find: Find, embed: Embed) -> Iterator[Verdict]:
    """A verdict for each statement of ``text``, in its order; what is no claim is left alone, and says so."""
    return (_verdict(text, claim, find, embed) for claim in claims.split(text))


_LEFT_ALONE = {
    "opinion": "This is an opinion, which no document can settle; it was not checked.",
    "question": "This is a question, not a claim; it was not checked.",
    "instruction": "This is an instruction, not a claim; it was not checked.",
    "heading": "This is a heading, not a claim; it was not checked.",
}


def _verdict(text: str, part: Claim, find: Find, embed: Embed) -> Verdict:
    start, end = part.start, part.end
    claim = text[start:end]
    if part.kind != "claim":
        return Verdict(claim, start, end, "not_found", 1.0, _LEFT_ALONE[part.kind], kind=part.kind)
    found = [sentence for hit in find(part.alone) for sentence in sentences(hit)]
    findings = weigh(part.alone, found, embed)
    best = decisive(findings)
    if best is None:
        closest = max(findings, key=lambda f: f.strength, default=None)
        why = closest.explanation if closest else "No document says anything about this."
        return Verdict(claim, start, end, "not_found", 1.0 - (closest.strength if closest else 0.0), why)
    agreeing = [f for f in findings if f.verdict == best.verdict and f is not best]
    agreeing.sort(key=lambda f: -f.strength)
    evidence = [f.evidence for f in (best, *agreeing)]
    texts = provenance.independent(evidence)
    shown = (texts + [sentence for sentence in evidence if sentence not in texts])[:_CITED]
    articles, differing = provenance.witnesses(texts, found)
    return Verdict(
        claim=claim,
        start=start,
        end=end,
        verdict=best.verdict,
        confidence=best.strength,
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
        said = None if finding.verdict == "not_found" else rules.value(_pair(claim, finding.evidence))
        # A sentence that differs in something else speaks of something else.
        if said and (finding.verdict == "supported" or said in finding.explanation):
            values.append((finding.evidence, said))
        elif finding is best:
            return []
    return values


def weigh(claim: str, evidence: Sequence[Candidate], embed: Embed) -> list[Finding]:
    """What those sentences say of a claim that are most like it."""

    def alike(one: str, other: str) -> float:
        first, second = embed([one, other])
        return float(first @ second)

    return [judge(claim, sentence, near, alike) for sentence, near in _nearest(claim, evidence, embed)]


def decisive(findings: Sequence[Finding]) -> Finding | None:
    """The finding that decides: support, unless a sentence that is clearly more like the claim contradicts.

    A contradiction counts only in one of the sentences most like the claim; the others are about something
    else that merely has another value.
    """

    def strongest(verdict: Judgement) -> Finding | None:
        return max((f for f in findings if f.verdict == verdict), key=lambda f: f.strength, default=None)

    support, against = strongest("supported"), strongest("contradicted")
    most = max((f.strength for f in findings), default=0.0)
    if against and against.strength < most - _CLOSE_TO_BEST:
        against = None
    if support and against:
        return against if against.strength > support.strength + _MARGIN else support
    return support or against


def _nearest(claim: str, evidence: Sequence[Candidate], embed: Embed) -> list[tuple[Candidate, float]]:
    """The sentences most like the claim, each with the cosine similarity of the two."""
    shared = [(rules.coverage(_pair(claim, candidate)), candidate) for candidate in evidence]
    if not shared:
        return []
    shared.sort(key=lambda pair: -pair[0])
    shared = shared[:_EMBEDDED]
    vectors = embed([claim, *(c.text for _, c in shared)])
    near = (vectors[1:] @ vectors[0]).tolist()
    worth = [share + similarity for (share, _), similarity in zip(shared, near, strict=True)]
    order = np.argsort([-w for w in worth], kind="stable")[:_CONSIDERED]
    return [(shared[i][1], near[i]) for i in order]


def judge(claim: str, evidence: Candidate, near: float, alike: Alike) -> Finding:
    """What one sentence says of a claim.

    ``near`` is the cosine similarity of the two, ``alike`` gives that of any two phrases.
    """
    pair = _pair(claim, evidence)
    if _says_it(_plain(claim), _plain(evidence.text)):
        verbatim = f"{rules.source_name(pair.published)} says this word for word."
        return Finding("supported", 1.0, verbatim, evidence)
    shared = rules.coverage(pair, rules.renamed(pair))
    strength = min(1.0, max(0.0, _WORDS_COUNT * shared + (1.0 - _WORDS_COUNT) * near))
    if shared < _SAME_THING or near < _NEAR:
        return Finding("not_found", strength, "The closest passage is about something else.", evidence)
    difference = None
    if strength >= _DIFFERS:
        difference = rules.difference(pair) or _another_kind(pair, alike)
    if difference:
        return Finding("contradicted", strength, difference, evidence)
    missing = rules.missing(pair)
    if missing:
        return Finding("not_found", strength, f"The closest passage does not mention {missing}.", evidence)
    return _by_likeness(pair, strength, evidence)


def _another_kind(pair: Pair, alike: Alike) -> str | None:
    """What the source calls the subject, where the claim calls it something quite different."""
    kinds = rules.kinds(pair)
    return rules.says(pair, *kinds) if kinds and alike(*kinds) < _ANOTHER_KIND else None


def _by_likeness(pair: Pair, strength: float, evidence: Candidate) -> Finding:
    """What the rules leave open. A learned judge of entailment would take the place of this one."""
    if strength < _SAME_CLAIM or rules.leaves_kind_open(pair):
        return Finding("not_found", strength, "The closest passage leaves part of this open.", evidence)
    said = f"{rules.source_name(pair.published)} says the same."
    return Finding("supported", strength, " ".join([said, *rules.notes(pair)]), evidence)


def sentences(hit: Hit) -> list[Candidate]:
    """The sentences of a hit; that a title was made from one does not turn it into a heading."""
    own = replace(hit, source=replace(hit.source, title=_title(hit)))
    return [replace(candidate, hit=hit) for candidate in candidates([own])]


def _title(hit: Hit) -> str:
    """The title of a hit's document; empty where it is but the beginning of the text, for want of one."""
    title, text = hit.source.title, hit.passage.text
    is_line = text[len(title) :].startswith("\n")
    return "" if text.startswith(title) and not is_line else title


def _pair(claim: str, evidence: Candidate) -> Pair:
    hit = evidence.hit
    around = " | ".join(filter(None, (_title(hit), hit.passage.section, evidence.before)))
    return rules.pair(claim, evidence.text, around, hit.source.published)


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+", fold(text)))


# What takes back the words after it, or makes a figure before it another one.
_TAKES_BACK = re.compile(
    r"\b(?:not|no|never|nobody|den\w+|false\w*|wrong\w*|untrue|incorrect\w*|myth|doubt\w*|if|whether|unless"
    r"|claim\w*|alleg\w+|rumou?r\w*|could|may|might|would|cannot|t|hop\w+|plan\w*)\b"
)
_GOES_ON = re.compile(r"(?:\d|hundred|thousand|million|billion|trillion|bn|tn|m|percent|per|point)\b")


def _says_it(claim: str, evidence: str) -> bool:
    """Whether a sentence has all the words of the claim in one run, and does not take them back."""
    before, found, after = f" {evidence} ".partition(f" {claim} ")
    return bool(claim and found) and not _TAKES_BACK.search(before) and not _GOES_ON.match(after)
