"""What a careful sub-editor compares: a claim against one sentence of a source, rule by rule.

A rule answers with the difference that it finds, in words, or with nothing. A difference counts only between
values that belong to the same thing: revenue is not held against backlog. What no rule finds is left open.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Literal

from kb.statement import PLAIN, Slot, Statement, akin, form, read
from kb.text import Date, Span, Word, content_words, fold, stem, word_set

Outcome = Literal["agrees", "differs", "open"]

# A claim's value must be this much at home in the evidence before another value contradicts it.
_AT_HOME = 0.5
# What of a claim must stand in the evidence for a denial or a plan to be one of what is claimed, and what of
# the rest of it for one name to differ.
_MOST = 0.6
_ALL_ELSE = 0.75
# How much better bound another value must be before an equal one is taken to belong to something else.
_BETTER = 1.5
_SOMEWHAT, _MUCH = 0.25, 0.4  # how near to another value the claim's nearest word must be, beside its own
_FEWEST = 3  # words that a claim must have to be recognised by them alone
_OPENS = 4  # characters before the name that opens a sentence: "The "
_CLOSE = 0.4  # the weight of a word that stands close by


@dataclass(frozen=True, slots=True)
class Pair:
    """A claim and the sentence it is held against; ``around`` is what stands about the sentence: its title,
    section and the sentence before, ``published`` the day of its document."""

    claim: Statement
    evidence: Statement
    around: Statement
    published: str | None


def pair(claim: str, evidence: str, around: str = "", published: str | None = None) -> Pair:
    """Read a claim, a sentence and what stands about it. ``published`` is an ISO date."""
    return Pair(read(tidy(claim)), read(tidy(evidence), published), read(tidy(around), published), published)


_BRACKETS = str.maketrans({"\u2019": "'", "\u2018": "'", "\u00a0": " "})


@lru_cache(maxsize=20_000)
def tidy(text: str) -> str:
    """The text without the spaces before marks that text prepared for machines has."""
    text = text.translate(_BRACKETS).replace("-LRB-", "(").replace("-RRB-", ")").replace("``", '"')
    return re.sub(r"\s+(?=[,.;:!?%)]|'s\b|n't\b)", "", text)


def difference(p: Pair) -> str | None:
    """The first thing in which the source contradicts the claim, as one line, or ``None``."""
    named = _names(p)
    if named.instead and named.span and len(named.missing) <= 1 and not _value_missing(p):
        return says(p, named.instead, p.claim.text[slice(*named.span)])
    if named.missing:  # about somebody else
        return None
    return next((found for rule in _RULES if (found := rule(p))), None)


def missing(p: Pair) -> str | None:
    """The first name, figure or date of the claim that the source does not have there."""
    names_missing = _names(p).missing
    return names_missing[0] if names_missing else _value_missing(p)


def _value_missing(p: Pair) -> str | None:
    for slot in p.claim.of("amount"):
        if not any(
            _amount_outcome(p, slot, s, p.evidence) == "agrees" for s in _alike(slot, p.evidence)
        ) and not any(_amount_outcome(p, slot, s, p.around) == "agrees" for s in _alike(slot, p.around)):
            return p.claim.said(slot)
    for slot in p.claim.of("date"):
        given = [*p.evidence.of("date"), *p.around.of("date")]
        if not any(_date_outcome(slot, s) == "agrees" for s in given) and not _on_publication(
            slot, p.published
        ):
            return p.claim.said(slot)
    return None


def figures_agree(p: Pair) -> bool:
    """Whether a claim has figures or dates, and the source has them all."""
    told = any(slot.kind in ("amount", "date") for slot in p.claim.slots)
    return told and _value_missing(p) is None


def settled(p: Pair) -> str:
    """The claim with its figures and dates as the source prints them, where they agree.

    So the reader, who is not exact about these, is not asked about them: "about 1.25 million" of a claim
    becomes the "1.2 million" that the source has.
    """
    text = p.claim.text
    for slot in sorted(p.claim.slots, key=lambda slot: -slot.start):
        same = _agreeing(p, slot)
        if same and slot.date:
            mine, theirs = (_IN.search(st.text[: s.start]) for st, s in ((p.claim, slot), (p.evidence, same)))
            start, begin = (mine.start(), theirs.start()) if mine and theirs else (slot.start, same.start)
            text = text[:start] + p.evidence.text[begin : same.end] + text[slot.end :]
        elif same:
            text = text[: _begins(p.claim, slot)] + _with_bound(p.evidence, same) + text[slot.end :]
    return text


_IN = re.compile(r"\b(?:in|on|during)\s+$")


def _agreeing(p: Pair, slot: Slot) -> Slot | None:
    """The figure or date of the source that agrees with one of the claim."""
    if slot.kind == "amount":
        found = _alike(slot, p.evidence)
        return next((s for s in found if _amount_outcome(p, slot, s, p.evidence) == "agrees"), None)
    if slot.kind == "date":
        return next((s for s in p.evidence.of("date") if _date_outcome(slot, s) == "agrees"), None)
    return None


def repeated(p: Pair) -> Span | None:
    """Where the source has the words of the claim that carry meaning, or close synonyms, in one run and the
    claim's order, with no denial more or less; ``None`` if nowhere."""
    mine, theirs = ([f for f, _ in statement.content] for statement in (p.claim, p.evidence))
    denials = [len(_NEGATION.findall(statement.text)) for statement in (p.claim, p.evidence)]
    if len(mine) < _FEWEST or denials[0] != denials[1]:
        return None
    for n in range(len(theirs) - len(mine) + 1):
        if theirs[n : n + len(mine)] == mine:
            first, last = (p.evidence.words[p.evidence.content[m][1]] for m in (n, n + len(mine) - 1))
            return first.start, last.end
    return None


# Words that carry little of a claim: "is one of the fields in which", "never agreed to become".
_LIGHT_WORDS = """
    field area case thing way kind type form example see consider describe regard call view author agree
    become count remain make seem want try get
"""


@lru_cache(maxsize=1)
def _light() -> frozenset[str]:
    return frozenset(form(stem(word)) for word in _LIGHT_WORDS.split())


def coverage(p: Pair, without: Span | None = None) -> float:
    """The share of the claim's content words in the evidence; those only in what stands about it count half.

    Figures, dates and denials do not count, whether they agree is for the rules to say; nor does a name that
    the evidence may mean by "it", nor what stands at ``without``.
    """
    left_out = [s for s in p.claim.slots if s.kind in ("amount", "date")]
    spans = [(s.start, s.end) for s in (*left_out, pointed_at(p)) if s]
    spans += [without] if without else []
    spans += [m.span() for m in _NEGATION.finditer(p.claim.text)]
    named = [s for s in p.claim.of("name") if _has_name(p.evidence, p.claim.said(s))]
    asked: dict[str, float] = {}
    for f, n in p.claim.content:
        place = p.claim.words[n].start
        if not any(s <= place < e for s, e in spans):
            asked[f] = 1.0 if any(s.start <= place < s.end for s in named) else _there(p, f)
    heavy = {f: share for f, share in asked.items() if f not in _light()} or asked
    return sum(heavy.values()) / len(heavy) if heavy else 0.0


def _there(p: Pair, f: str) -> float:
    return 1.0 if akin(f, p.evidence.forms) else 0.5 if akin(f, p.around.forms) else 0.0


def notes(p: Pair) -> list[str]:
    """What a claim that agrees leaves out or adds to: who said it, a bound, a plan."""
    found = []
    speaker = _speaker(p)
    if speaker:
        found.append(f"It names {speaker} as the one who said so, the claim does not.")
    for slot in p.claim.of("amount"):
        same = [s for s in _alike(slot, p.evidence) if _equal(slot, s)]
        if same and _bound(p.evidence, same[0]) and not _bound(p.claim, slot):
            found.append(f"It says {_with_bound(p.evidence, same[0])}.")
    return found


def source_name(published: str | None) -> str:
    """How an explanation calls the source: with its date where that is known."""
    try:
        day = dt.date.fromisoformat((published or "")[:10])
    except ValueError:
        return "The source"
    return f"The source ({day.day} {day:%B %Y})"


def says(p: Pair, said: str, claimed: str) -> str:
    """The line that sets what the source says against what the claim says."""
    return f"{source_name(p.published)} says {said}, the claim says {claimed}."


def _quoted(word: str) -> str:
    return f"\u201c{word}\u201d"


# ------------------------------------------------------------------------------- which value is meant


def _alike(slot: Slot, other: Statement) -> list[Slot]:
    return [s for s in other.slots if (s.kind, s.sort) == (slot.kind, slot.sort)]


def _differing(
    p: Pair, slot: Slot, found: Sequence[Slot], outcome: Callable[[Slot, Slot], Outcome]
) -> Slot | None:
    """The value of the source that stands in the place of the claim's and differs from it, if there is one.

    The place is the one whose words are nearest to those of the claim's value. A value that another part of
    the claim accounts for is not in its place.
    """
    if not found or slot.grounded(p.evidence.forms | p.around.forms) < _AT_HOME:
        return None
    outcomes = {s.start: outcome(slot, s) for s in found}
    agreeing = [s for s in found if outcomes[s.start] == "agrees"]
    others = [s for s in p.claim.slots if s.kind == slot.kind and s is not slot]
    taken = {_own(other, found, outcome) for other in others}
    free = [s for s in found if outcomes[s.start] == "differs" and (agreeing or s.start not in taken)]
    doubtful = any(outcomes[s.start] == "open" and s.start not in taken for s in found)
    if not free or (doubtful and not agreeing):
        return None
    best = max(free, key=slot.affinity)
    if agreeing:
        own = max(agreeing, key=slot.affinity)
        return best if _clearly_better(slot, best, own) and not _listed(p.evidence, best, own) else None
    return best if _is_bound(slot, best, _SOMEWHAT) else None


def _own(slot: Slot, found: Sequence[Slot], outcome: Callable[[Slot, Slot], Outcome]) -> int | None:
    """Where the value stands that agrees with one of the claim, the nearest if there are several."""
    agreeing = [s for s in found if s.sort == slot.sort and outcome(slot, s) == "agrees"]
    return max(agreeing, key=slot.affinity).start if agreeing else None


def _clearly_better(slot: Slot, best: Slot, own: Slot) -> bool:
    """Whether another value is at the claim's place, and the equal one at that of something else."""
    nearest = _anchor(slot, best)
    if not nearest or slot.belongs[nearest] < _CLOSE:
        return False
    nearer = best.belongs[nearest] > _BETTER * own.belongs.get(nearest, 0.0)
    return nearer and slot.affinity(best) > slot.affinity(own)


def _anchor(mine: Slot, theirs: Slot) -> str:
    """The word nearest to a value of the claim that belongs to the other value too."""
    return max((f for f in mine.belongs if f in theirs.belongs), key=lambda f: mine.belongs[f], default="")


def _is_bound(mine: Slot, theirs: Slot, much: float) -> bool:
    """Whether the word nearest to the claim's value is near the other one too."""
    anchor = _anchor(mine, theirs)
    return bool(anchor) and theirs.belongs[anchor] >= much * mine.belongs[anchor]


def _listed(statement: Statement, one: Slot, other: Slot) -> bool:
    """Whether two values stand in one list: nothing but values and small words is between them."""
    start, end = sorted((one.end, other.end))
    inside = [statement.words[n] for _, n in statement.content if start <= statement.words[n].start < end]
    values = [(s.start, s.end) for s in statement.slots if s.kind in ("amount", "date")]
    return all(any(s <= w.start < e for s, e in values) for w in inside)


# ----------------------------------------------------------------------------------------- amounts

# In this order: "no more than" is looked for before "more than".
_BOUNDS = {
    "most": r"up to|as (?:much|many|high) as|at most|(?:no|not) more than|a maximum of|capped at",
    "least": r"at least|(?:no|not) (?:less|fewer) than|a minimum of|as few as",
    "under": r"under|less than|fewer than|below|nearly|almost",
    "over": r"over|more than|above|exceed(?:s|ed|ing)?|upwards? of|in excess of|top(?:s|ped|ping)?",
    "about": r"about|around|roughly|some|approximately|close to|an estimated|circa|near",
}
_BOUND = {
    kind: re.compile(rf"\b(?:{words})\s+(?:the\s+|an?\s+)?$", re.IGNORECASE)
    for kind, words in _BOUNDS.items()
}


def _bound(statement: Statement, slot: Slot) -> str | None:
    before = statement.text[max(0, slot.start - 30) : slot.start]
    return next((kind for kind, pattern in _BOUND.items() if pattern.search(before)), None)


def _with_bound(statement: Statement, slot: Slot) -> str:
    """The amount as printed with the words that limit it: "up to 128 terabytes"."""
    return statement.text[_begins(statement, slot) : slot.end]


def _begins(statement: Statement, slot: Slot) -> int:
    """Where an amount begins, the words that limit it included."""
    start = max(0, slot.start - 30)
    for pattern in _BOUND.values():
        match = pattern.search(statement.text[start : slot.start])
        if match:
            return start + match.start()
    return slot.start


def _equal(one: Slot, other: Slot) -> bool:
    assert one.amount
    assert other.amount
    return abs(one.amount.value - other.amount.value) <= 1e-9 * max(abs(one.amount.value), 1e-9)


def _amount_outcome(p: Pair, mine: Slot, theirs: Slot, there: Statement) -> Outcome:
    """How an amount of the claim stands to one of the source, with the limits that either names."""
    assert mine.amount
    assert theirs.amount
    value, other = mine.amount.value, theirs.amount.value
    limit, given = _bound(p.claim, mine), _bound(there, theirs)
    if {limit, given} in ({"least", "most"}, {"over", "most"}, {"least", "under"}, {"over", "under"}):
        return "differs"
    if _equal(mine, theirs):
        return "differs" if given == "most" and limit is None else "agrees"
    if limit is not None and limit == given:
        return "differs"
    if limit in ("least", "over") and given != "most":
        return "agrees" if other >= value else "differs"
    if limit == "under" and given not in ("least", "over"):
        return "agrees" if other <= value else "differs"
    if limit == "about" or given == "about":
        near = abs(other - value) <= (0.1 if limit == "about" else 0.05) * abs(other)
        return "agrees" if near else "differs"
    if limit is None and given in ("over", "least") and value > other:
        return "open" if value <= 1.1 * other else "differs"
    return "agrees" if _is_rounded(p.claim.said(mine), value, other) else "differs"


def _is_rounded(said: str, value: float, exact: float) -> bool:
    """Whether a value is the exact one, rounded to the two or more digits that it is printed with."""
    match = re.search(r"\d[\d,]*(?:\.\d+)?", said)
    if not match or not exact:
        return False
    digits = len(match.group().replace(",", "").replace(".", "").rstrip("0"))
    return digits >= 2 and float(f"{exact:.{digits}g}") == float(f"{value:.{digits}g}") and exact != value


def _amounts(p: Pair) -> str | None:
    for slot in p.claim.of("amount"):
        found = _alike(slot, p.evidence)
        if slot.sort == "count ":
            found = [s for s in found if _equal(slot, s) or _counts_same(p, slot, s)]
        other = _differing(p, slot, found, lambda a, b: _amount_outcome(p, a, b, p.evidence))
        if other:
            return says(p, _with_bound(p.evidence, other), _with_bound(p.claim, slot))
    return None


def value(p: Pair) -> str | None:
    """What the source says in the place of the claim's figure, or of its date if it has no figure."""
    amount, date = (next(iter(p.claim.of(kind)), None) for kind in ("amount", "date"))
    if amount:
        found = _alike(amount, p.evidence)
        return _value_at(p, amount, found, lambda a, b: _amount_outcome(p, a, b, p.evidence))
    return _value_at(p, date, p.evidence.of("date"), _date_outcome) if date else None


def _value_at(
    p: Pair, slot: Slot, found: Sequence[Slot], outcome: Callable[[Slot, Slot], Outcome]
) -> str | None:
    same = next((other for other in found if outcome(slot, other) == "agrees"), None)
    other = same or _differing(p, slot, found, outcome)
    return _with_bound(p.evidence, other) if other else None


def _counts_same(p: Pair, mine: Slot, theirs: Slot) -> bool:
    """Whether two bare numbers count the same: the words after them, else those before, say so."""

    def beside(text: str, slot: Slot) -> tuple[set[str], set[str]]:
        after = [w.stem for w in content_words(text[slot.end :][:60])[:2]]
        before = [w.stem for w in content_words(text[max(0, slot.start - 40) : slot.start])[-2:]]
        return set(after), set(before)

    after, before = beside(p.claim.text, mine)
    after2, before2 = beside(p.evidence.text, theirs)
    return bool(after & after2) or (bool(before & before2) and not (after and after2))


# ------------------------------------------------------------------------------------------- dates


def _date_outcome(mine: Slot, theirs: Slot) -> Outcome:
    assert mine.date
    assert theirs.date
    one, other = mine.date, theirs.date
    parts = list(zip((one.year, one.month, one.day), (other.year, other.month, other.day), strict=True))
    if any(a is not None and b is not None and a != b for a, b in parts):
        # "7 June" of an unknown year is no other day than one in September 2021.
        return "differs" if (one.year is None) == (other.year is None) else "open"
    days = (_weekday(one), _weekday(other))
    if None not in days and days[0] != days[1]:
        return "differs"
    if (one.weekday is not None and one.day is None) or (other.weekday is not None and other.day is None):
        return "agrees" if None not in days else "open"
    # A claim may say less than the source, not more.
    return "open" if any(a is not None and b is None for a, b in parts) else "agrees"


def _weekday(date: Date) -> int | None:
    if date.weekday is not None:
        return date.weekday
    if date.year and date.month and date.day:
        try:
            return dt.date(date.year, date.month, date.day).weekday()
        except ValueError:
            return None
    return None


def _on_publication(slot: Slot, published: str | None) -> bool:
    assert slot.date
    given = [int(part) for part in re.findall(r"\d+", (published or "")[:10])]
    asked = (slot.date.year, slot.date.month, slot.date.day)
    return bool(given) and all(a is None or (n < len(given) and a == given[n]) for n, a in enumerate(asked))


_ENDS_SEASON = re.compile(r"\d{4}[-\u2013/]$")  # "the 1904-1905 season"


def _dates(p: Pair) -> str | None:
    for slot in p.claim.of("date"):
        if _ENDS_SEASON.search(p.claim.text[: slot.start]):
            continue
        other = _differing(p, slot, p.evidence.of("date"), _date_outcome)
        if other:
            return says(p, p.evidence.said(other), p.claim.said(slot))
    return None


# ---------------------------------------------------------------- ordinals, shares and directions


def _ranks(a: Slot, b: Slot) -> Outcome:
    return "agrees" if a.rank == b.rank else "differs"


def _ordinals(p: Pair) -> str | None:
    for slot in p.claim.of("ordinal"):
        other = _differing(p, slot, _alike(slot, p.evidence), _ranks)
        if other:
            return says(p, _quoted(p.evidence.said(other)), _quoted(p.claim.said(slot)))
    return None


def _shares(p: Pair) -> str | None:
    """A claim on all where the source speaks of some, or the other way round of few."""
    for slot in p.claim.of("share"):
        for other in _alike(slot, p.evidence):
            more = slot.rank >= 4 and other.rank <= 3
            fewer = slot.rank == 1 and other.rank >= 3
            if slot.sort and (more or fewer or (slot.rank == 5 and other.rank == 4)):
                return says(p, _quoted(p.evidence.said(other)), _quoted(p.claim.said(slot)))
    return None


def _directions(p: Pair) -> str | None:
    for slot in p.claim.of("direction"):
        found = _alike(slot, p.evidence)
        # A word that the source has too, unnegated in either, is no opposite of itself.
        if slot.grounded(p.evidence.forms | p.around.forms) < _AT_HOME:
            continue
        other = _differing(p, slot, found, _ranks)
        if other and fold(p.evidence.said(other)) != fold(p.claim.said(slot)):
            return says(p, _quoted(p.evidence.said(other)), _quoted(p.claim.said(slot)))
    return _prefixed(p)


_PREFIX = re.compile(r"^(?:un|non|dis|ir|il|im|in)(?=\w{4})")
_BARE = word_set("in im")  # prefixes that many other words begin with
_PREFIXED = word_set(
    """
    possible complete accurate visible valid secure dependent sufficient effective adequate stable direct
    formal legal capable correct mature perfect patient polite moral active
    """
)


def _prefixed(p: Pair) -> str | None:
    """A word of the one with "un-" before it in the other."""
    mine = {w.text.lower() for w in p.claim.words}
    theirs = {w.text.lower() for w in p.evidence.words}
    for one, other in ((mine, theirs), (theirs, mine)):
        for word in sorted(one - other):
            match = _PREFIX.match(word)
            rest = word[match.end() :] if match else ""
            sure = match and (match.group() not in _BARE or rest in _PREFIXED)
            if (
                sure
                and rest in other
                and rest not in one
                and not _negators(p.claim)
                and not _negators(p.evidence)
            ):
                said, claimed = (word, rest) if one is theirs else (rest, word)
                return says(p, _quoted(said), _quoted(claimed))
    return None


# ---------------------------------------------------------------------------------------- negation

_NEGATION = re.compile(
    r"\b(?:not|no|never|none|nobody|neither|nor|without|cannot|unable to|yet to|impossible|no longer"
    r"|rather than|instead of|away from|far from|outside of|barely|hardly|scarcely|rarely|seldom"
    r"|lack(?:s|ed)?|fail(?:s|ed)? to|den(?:y|ies|ied)|refuse[sd]? to|decline[sd] to|turned down|ruled out"
    r"|barred from|prevent(?:s|ed)? \w+ from|stopped short of|avoid(?:s|ed)?)\b|n['\u2019]t\b",
    re.IGNORECASE,
)
_NO_DENIAL = re.compile(
    r"\b(?:not (?:only|just|merely|simply|solely|least|to mention|yet clear)|whether or not|no\.\s?\d"
    r"|no (?:later|fewer|less|more|sooner|earlier) than|not (?:less|more|fewer) than|no doubt|no matter"
    r"|or not|no one else)",
    re.IGNORECASE,
)
_SCOPE_ENDS = re.compile(
    r"[,;:.()\u2013\u2014]|\b(?:but|because|although|while|which|who|and|or|until|since)\b"
)
_SUPPOSED = re.compile(r"\b(?:if|unless|whether)\b[^,;]*$", re.IGNORECASE)
_SCOPE = 3  # content words that a negation reaches over


def both_deny(p: Pair) -> bool:
    """Whether both sentences deny something, the same thing or not."""
    return all(_NEGATION.search(statement.text) for statement in (p.claim, p.evidence))


def _negators(statement: Statement) -> list[frozenset[str]]:
    """For each negation of a sentence the forms that it denies."""
    scopes = [_scope(statement, match) for match in _NEGATION.finditer(statement.text)]
    return [frozenset(statement.form_at(n) for n in scope) for scope in scopes if scope]


def _outright(statement: Statement) -> frozenset[str]:
    """The forms that a sentence has outside of every negation: "no debt there, but a debt here"."""
    reached = {n for m in _NEGATION.finditer(statement.text) for n in _scope(statement, m)}
    return frozenset(f for f, n in statement.content if n not in reached)


def _scope(statement: Statement, match: re.Match[str]) -> list[int]:
    """The words that a negation reaches, as indices; none where nothing is denied ("not only", "if no")."""
    text = statement.text
    idle = any(m.start() <= match.start() < m.end() for m in _NO_DENIAL.finditer(text))
    if idle or _SUPPOSED.search(text[: match.start()]):
        return []
    borders = (_SCOPE_ENDS.search(text, match.end()), _NEGATION.search(text, match.end()))
    end = min((border.start() for border in borders if border), default=len(text))
    inside = [
        n
        for _, n in statement.content
        if match.end() <= statement.words[n].start < end and not statement.words[n].text.endswith("ly")
    ]
    return [n for n in inside if statement.form_at(n) not in _light()][:_SCOPE] or inside[:1]


def _negation(p: Pair) -> str | None:
    if coverage(p) < _MOST:
        return None
    mine, theirs = _negators(p.claim), _negators(p.evidence)
    for scope in mine:
        if _is_said(scope, p.evidence, theirs):
            return f"The claim denies what {_lower(source_name(p.published))} says."
    for scope in theirs:
        if _is_said(scope - _outright(p.evidence), p.claim, mine):
            return f"{source_name(p.published)} denies what the claim says."
    return None


def _lower(text: str) -> str:
    return text[0].lower() + text[1:]


def _is_said(scope: frozenset[str], other: Statement, denied: list[frozenset[str]]) -> bool:
    """Whether most of what is denied stands in the other text without being denied there."""
    there = [f for f in scope if akin(f, other.forms)]
    if not there:
        return False
    reached = frozenset().union(*denied)
    return 2 * len(there) >= max(len(scope), 2 if len(scope) > 1 else 1) and not any(
        akin(f, reached) for f in there
    )


# ------------------------------------------------------------------------------------------- plans

_PLAN = re.compile(
    r"\b(?:plan(?:s|ned|ning)?|aim(?:s|ed|ing)?|intend(?:s|ed|ing)?|hop(?:es|ed|ing)|expect(?:s|ed|ing)?|target(?:s|ed|ing)"
    r"|propos(?:es|ed|ing)|seek(?:s|ing)?|sought|wants?|will"
    r"|on track|is set|are set|due|scheduled"
    r"|likely|project(?:s|ed)|forecasts?|consider(?:s|ed|ing)|prepar(?:es|ed|ing)"
    r"|in talks|threaten(?:s|ed)|agreed|ready"
    r"|to be)\b",
)
_IS = re.compile(r"\b(?:is|are|be|being)\s+(?:\w+ly\s+)?$")
_AS_PLANNED = re.compile(r"\bas (?:planned|scheduled|expected|projected|forecast)\b")
_DONE = re.compile(
    r"\b(?:has|have|had|was|were|did|already|successfully|[a-z]{3,}ed|built|bought|sold|won|lost|made|took|gave|went|began|became"
    r"|held|broke|came|left|led|met|paid|ran|sent|spent|hit|put|cut|rose|fell|grew)\b"
)
_DONE_VERBS = word_set(
    "complete completed finish finished achieve achieved launch launched open opened deliver"
    " delivered conduct conducted carry carried hold held build built reach reached hit"
)
_PLAN_SCOPE = 7


def _plan(p: Pair) -> str | None:
    """A thing done in the claim that the source only plans or expects."""
    claim = _AS_PLANNED.sub("", p.claim.text)
    if _PLAN.search(claim) or not _DONE.search(claim) or coverage(p) < _MOST:
        return None
    for match in _PLAN.finditer(p.evidence.text):
        before = {f for f, n in p.evidence.content if p.evidence.words[n].start < match.start()}
        done = _done(p.claim, _reach(p.evidence, match.end()), before)
        if done:
            plan = f"what is planned or possible ({_quoted(match.group())})"
            return f"{source_name(p.published)} speaks of {plan}, the claim says {_quoted(done)}."
    return None


def _done(claim: Statement, planned: frozenset[str], before: set[str]) -> str | None:
    """The verb with which a claim says that what is planned was done."""
    for f, n in claim.content:
        word = claim.words[n].text
        if not _DONE.fullmatch(word) or _IS.search(claim.text[: claim.words[n].start]):
            continue
        objects = [g for g, m in claim.content if n < m <= n + 5]
        same_object = word.lower() in _DONE_VERBS and 2 * sum(akin(g, planned) for g in objects) > len(
            objects
        )
        if same_object or (f in planned and f not in before):
            return word
    return None


def _reach(statement: Statement, start: int) -> frozenset[str]:
    border = re.compile(r"[;.()]|\b(?:but|because|although|which|who)\b").search(statement.text, start)
    end = border.start() if border else len(statement.text)
    return frozenset(
        [f for f, n in statement.content if start <= statement.words[n].start < end][:_PLAN_SCOPE]
    )


# ------------------------------------------------------------------------------- names and roles


@dataclass(frozen=True, slots=True)
class _Names:
    """The names of a claim that stand nowhere about the evidence; and a name that the evidence has in the
    place of one of the claim's, with where the latter stands."""

    missing: tuple[str, ...] = ()
    instead: str | None = None
    span: Span | None = None


_TITLES = word_set("mr mrs ms dr prof sir president minister mayor judge senator the a an of and")
_ALIASES = [
    word_set(group)
    for group in (
        "us usa america american americans united-states",
        "uk britain british united-kingdom",
        "eu european-union brussels",
        "china chinese beijing",
        "russia russian moscow kremlin",
        "france french", "germany german", "spain spanish", "netherlands dutch", "england english",
        "google alphabet", "facebook meta", "nyt new-york-times", "wsj wall-street-journal",
    )
]  # fmt: skip


def _names(p: Pair) -> _Names:
    absent = [slot for slot in p.claim.of("name") if not _has_name(p.evidence, p.claim.said(slot))]
    copied = _copied(p)
    if copied:
        return _Names((), *copied)
    subject = pointed_at(p)
    nowhere = [slot for slot in absent if slot != subject and not _has_name(p.around, p.claim.said(slot))]
    missing = tuple(p.claim.said(slot) for slot in nowhere)
    for slot in absent:
        if slot != subject and (slot in nowhere or not _points_back(p)):
            rival = _rival(p, slot)
            if rival:
                return _Names(missing, rival, (slot.start, slot.end))
    return _Names(missing)


def renamed(p: Pair) -> Span | None:
    """Where the claim has a name in whose place the source has another one."""
    return _names(p).span


def _copied(p: Pair) -> tuple[str, Span] | None:
    """The name that stands in the place of another one in what is otherwise the same sentence."""
    for mine, theirs in _changes(p):
        claimed, said = p.claim.text[slice(*mine)], p.evidence.text[slice(*theirs)]
        # The first word of a sentence is often no name.
        opens = mine[0] == theirs[0] == 0 and {claimed, said} & PLAIN
        if _capitals(claimed) and _capitals(said) and not opens and not _has_name(p.evidence, claimed):
            return said, mine
    return None


def _capitals(text: str) -> bool:
    found = text.split()
    return found[0][0].isupper() and found[-1][0].isupper() and any(len(word) > 1 for word in found)


_POINTS_BACK = re.compile(
    r"(?:[^,]{1,60}, )?(?:(?P<pronoun>It|They|He|She|it|they|he|she)|(?P<owner>Its|Their|His|Her|its|their"
    r"|his|her))\b"
    r"|(?:[^,]{1,60}, the|The) (?:company|firm|film|book|song|album|band|series|show|group|team|city"
    r"|structure|building|novel"
    r"|actor|actress|singer|author|player|game|startup|bank)\b"
)


def _points_back(p: Pair) -> bool:
    """Whether the evidence leaves its subject to the sentence before: "It ...", "The project ..."."""
    the = re.match(r"(?:The|This|That|These|Those) (\w+)", p.evidence.text)
    again = the is not None and form(stem(the[1])) in p.claim.forms
    return again or bool(_POINTS_BACK.match(p.evidence.text))


def pointed_at(p: Pair) -> Slot | None:
    """The name of a claim that the sentence may mean by "she" or "it", if that or nothing is named about it:
    the only one that it does not have, or the one that opens the claim."""
    absent = [slot for slot in p.claim.of("name") if not _has_name(p.evidence, p.claim.said(slot))]
    if not absent or not _POINTS_BACK.match(p.evidence.text):
        return None
    if p.around.of("name") and not _has_name(p.around, p.claim.said(absent[0])):
        return None
    if len(absent) > 1 and absent[0].start > _OPENS:
        return None
    someone = _placed(p.claim, absent[0]) in (None, "by") and fold(p.claim.said(absent[0])) not in _PEOPLES
    return absent[0] if someone and not _POINTS_BACK.match(p.claim.text) else None


def resolved(p: Pair) -> str:
    """The sentence with the name that it may mean by "she" or "it" in the place of that word."""
    slot, match = pointed_at(p), _POINTS_BACK.match(p.evidence.text)
    group = match.lastgroup if match else None
    if not slot or not match or not group:
        return p.evidence.text
    name = p.claim.said(slot) + ("'s" if group == "owner" else "")
    return f"{p.evidence.text[: match.start(group)]}{name}{p.evidence.text[match.end(group) :]}"


def _has_name(statement: Statement, name: str) -> bool:
    """Whether a text has a name: each of its words, an acronym of it, or another name of the same."""
    wanted = [w for w in content_words(name) if w.text.lower() not in _TITLES]
    there = {_bare(w.text) for w in statement.words}
    if all(_bare(w.text) in there or akin(w.stem, {o.stem for o in statement.words}) for w in wanted):
        return True
    return _shortened(wanted, statement) or _acronym(name, statement.text) or _alias(name, statement.text)


_GENERIC = word_set(
    "labs energy bank group inc corp university city county north south east west new national international"
    " ministry department company street state states kingdom institute union"
)


def _shortened(wanted: Sequence[Word], statement: Statement) -> bool:
    """Whether a text calls the bearer of a name by a part of it alone: "Thatcher", "Overview"."""
    mine = {_bare(w.text) for w in wanted}
    for slot in statement.of("name"):
        theirs = {_bare(w.text) for w in content_words(statement.said(slot))} - _TITLES
        if theirs and theirs <= mine and not theirs <= _GENERIC:
            return True
    return False


def _bare(word: str) -> str:
    return re.sub(r"['\u2019]s?$|\.", "", fold(word)).replace("\u2019", "'")


def _initials(name: str) -> str:
    return "".join(word[0] for word in re.findall(r"\b[A-Z]\w+", name))


def _acronym(name: str, text: str) -> bool:
    """Whether a text has a name in capitals written out, or the other way round."""
    short = name.replace(".", "")
    if short.isupper() and 2 <= len(short) <= 6:
        runs = re.finditer(r"(?!The\b)[A-Z]\w+(?:\s(?:(?:of|and|the|for)\s)*[A-Z]\w+)+", text)
        return any(_initials(run.group()) == short for run in runs)
    initials = _initials(name)
    return len(initials) >= 2 and bool(re.search(rf"\b{initials}\b", text.replace(".", "")))


def _alias(name: str, text: str) -> bool:
    mine, there = _joined(name), _joined(text)
    return any(
        any(f"-{a}-" in mine for a in group) and any(f"-{a}-" in there for a in group) for group in _ALIASES
    )


def _joined(text: str) -> str:
    return f"-{'-'.join(re.findall(r'[a-z0-9]+', fold(text.replace('.', ''))))}-"


def _rival(p: Pair, slot: Slot) -> str | None:
    """The name that the source has in the place of one of the claim, and that the claim does not have."""
    free = [
        s
        for s in p.evidence.of("name")
        if not _has_name(p.claim, p.evidence.said(s)) and _same_sort(p, slot, s)
    ]
    # "X is not by A" does not contradict "X is by B".
    only_denied = _negators(p.claim) and not _negators(p.evidence)
    if not free or only_denied or coverage(p, (slot.start, slot.end)) < _ALL_ELSE:
        return None
    best = max(free, key=lambda s: (_same_side(p, slot, s), slot.affinity(s)))
    return p.evidence.said(best) if _same_side(p, slot, best) else None


_PEOPLES = word_set(
    """
    american british english scottish welsh irish french german italian spanish portuguese dutch belgian swiss
    austrian danish swedish norwegian finnish icelandic polish czech slovak hungarian romanian bulgarian greek
    turkish russian ukrainian chinese japanese korean vietnamese thai indian pakistani iranian iraqi israeli
    egyptian african nigerian kenyan ethiopian canadian mexican brazilian argentine chilean cuban australian
    european asian western eastern christian catholic muslim jewish arab roman latin indonesian malaysian
    filipino saudi syrian lebanese afghan serbian croatian colombian peruvian venezuelan jamaican
    """
)
_PLACED = re.compile(
    r"(?<!according )\b(?:(?P<place>in|at|near|from|outside|across|throughout|to|into|on|around|for)"
    r"|(?P<of>of)|(?P<by>by)|(?P<other>with|against|as|than))\s+(?:the\s+)?$",
    re.IGNORECASE,
)


def _same_sort(p: Pair, mine: Slot, theirs: Slot) -> bool:
    """Whether two names can stand for each other: peoples for peoples, places for places."""
    peoples = (fold(p.claim.said(mine)) in _PEOPLES, fold(p.evidence.said(theirs)) in _PEOPLES)
    return peoples[0] == peoples[1] and _placed(p.claim, mine) == _placed(p.evidence, theirs)


def _placed(statement: Statement, slot: Slot) -> str | None:
    match = _PLACED.search(statement.text[: slot.start])
    return match.lastgroup if match else None


def _same_side(p: Pair, mine: Slot, theirs: Slot) -> bool:
    """Whether two names are at the same place: on the same side of the claim's nearest word, and near it, or
    both the first of their sentence."""
    anchor = _anchor(mine, theirs)
    if not anchor or _is_before(p.claim, anchor, mine) != _is_before(p.evidence, anchor, theirs):
        return False
    subjects = mine.start <= _OPENS and theirs == p.evidence.of("name")[0]
    return subjects or _is_bound(mine, theirs, _MUCH)


def _is_before(statement: Statement, f: str, slot: Slot) -> bool:
    places = [statement.words[n].start for g, n in statement.content if g == f]
    return min(places, key=lambda place: abs(place - slot.start)) < slot.start


_PASSIVE = re.compile(r"\bby\s+(?:the\s+|an?\s+)?$", re.IGNORECASE)
_MUTUAL = word_set(
    "and or with met meets marri agre partner merg compet between joint deal talk near versus against plai"
    " join border"
)
_MOST_BETWEEN = 6


def _roles(p: Pair) -> str | None:
    """Two names that do the same thing to each other the other way round: "A sued B", "B sued A"."""
    mine = p.claim.of("name")
    for i, first in enumerate(mine):
        for second in mine[i + 1 :]:
            found = _actors(p, first, second)
            if found:
                return found
    return None


def _actors(p: Pair, first: Slot, second: Slot) -> str | None:
    one = _find(p.evidence, p.claim.said(first))
    other = _find(p.evidence, p.claim.said(second))
    if not one or not other:
        return None
    here = _between(p.claim, first, second)
    there = _between(p.evidence, *sorted((one, other), key=lambda s: s.start))
    if not here or not there or not _acts(p.claim, here[1] & there[1]) or (here[0] | there[0]) & _MUTUAL:
        return None
    passive = bool(_PASSIVE.search(p.claim.text[: second.start]))
    last = max(one, other, key=lambda s: s.start)
    passive_there = bool(_PASSIVE.search(p.evidence.text[: last.start]))
    reversed_there = other.start < one.start
    if reversed_there == (passive != passive_there):
        return None
    both = f"{p.claim.said(first)} and {p.claim.said(second)}"
    return f"{source_name(p.published)} has {both} the other way round."


_ACTS = re.compile(r"\w+(?:ed|s|ing)$")


def _acts(statement: Statement, forms: set[str]) -> bool:
    """Whether one of the forms is a verb."""
    return any(
        f in forms and (_ACTS.match(statement.words[n].text) or _DONE.fullmatch(statement.words[n].text))
        for f, n in statement.content
    )


def _find(statement: Statement, name: str) -> Slot | None:
    bare = {_bare(w.text) for w in content_words(name)}
    for slot in statement.of("name"):
        if bare <= {_bare(w.text) for w in content_words(statement.said(slot))}:
            return slot
    return None


def _between(statement: Statement, first: Slot, second: Slot) -> tuple[set[str], set[str]] | None:
    """The stems of all the words, and the content forms, between two names that are close."""
    inside = [n for n, w in enumerate(statement.words) if first.end <= w.start < second.start]
    if (
        not inside
        or len(inside) > _MOST_BETWEEN
        or re.search(r"[,;]", statement.text[first.end : second.start])
    ):
        return None
    forms = {f for f, n in statement.content if n in inside}
    return {statement.words[n].stem for n in inside}, forms


# --------------------------------------------------------------------------------- copied sentences

_COPY = 0.8  # sentences that share this much, in order, are the same one with something changed


def _changes(p: Pair) -> list[tuple[Span, Span]]:
    """The stretches of the claim that stand for others in what is otherwise the same sentence."""
    mine, theirs = ([w.text for w in s.words] for s in (p.claim, p.evidence))
    matcher = SequenceMatcher(None, mine, theirs, autojunk=False)
    if matcher.real_quick_ratio() < _COPY or matcher.quick_ratio() < _COPY or matcher.ratio() < _COPY:
        return []
    return [
        (
            (p.claim.words[a].start, p.claim.words[b - 1].end),
            (p.evidence.words[c].start, p.evidence.words[d - 1].end),
        )
        for what, a, b, c, d in matcher.get_opcodes()
        if what == "replace"
    ]


def _changed(p: Pair) -> str | None:
    """A figure or a date that stands in the place of another one in a copied sentence."""
    for mine, theirs in _changes(p):
        for slot in p.claim.slots:
            for other in p.evidence.slots:
                if _meets(slot, mine) and _meets(other, theirs) and _are_others(p, slot, other):
                    return says(p, _with_bound(p.evidence, other), _with_bound(p.claim, slot))
    return None


def _meets(slot: Slot, span: Span) -> bool:
    return slot.start < span[1] and span[0] < slot.end


def _are_others(p: Pair, slot: Slot, other: Slot) -> bool:
    if slot.amount and other.amount:
        same_sort = slot.sort == other.sort
        return (
            _amount_outcome(p, slot, other, p.evidence) == "differs" if same_sort else not _equal(slot, other)
        )
    return bool(slot.date and other.date) and _date_outcome(slot, other) == "differs"


def _swapped(p: Pair) -> str | None:
    """The same words and the same values, but two of the values have changed places."""
    for kind in ("amount", "date"):
        mine, theirs = ([_value(s) for s in st.slots if s.kind == kind] for st in (p.claim, p.evidence))
        if mine == theirs or sorted(mine) != sorted(theirs):
            continue
        mine_words, their_words = (
            [f for f, _ in st.content if not f[0].isdigit()] for st in (p.claim, p.evidence)
        )
        if SequenceMatcher(None, mine_words, their_words, autojunk=False).ratio() >= 0.85:
            said = ", ".join(p.evidence.said(s) for s in p.evidence.slots if s.kind == kind)
            claimed = ", ".join(p.claim.said(s) for s in p.claim.slots if s.kind == kind)
            return says(p, said, claimed)
    return None


def _value(slot: Slot) -> tuple[float, ...]:
    if slot.amount:
        return (slot.amount.value,)
    assert slot.date
    return (slot.date.year or 0, slot.date.month or 0, slot.date.day or 0)


# ------------------------------------------------------------------------------------ kinds of things

_IS_A = re.compile(
    r"\b(?:is|was|are|were)\s+(?:an?|the)\s+(?P<kind>[^,;:()]+?)"
    r"(?=[,;:().]|$|\s(?:who|that|which|whose|where|by|of|in|from|for|with|at|on|to|set|based|directed|written"
    r"|starring|created|produced|located|released|and|or)\b)"
)
_ANY_KIND = word_set(
    "person man woman human thing place work part member one name type kind group being example native former"
    " set number lot first second third last result way"
)


def kinds(p: Pair) -> tuple[str, str] | None:
    """What the source and the claim say that their common subject is, where these are different words."""
    mine, theirs = _IS_A.search(p.claim.text), _IS_A.search(p.evidence.text)
    if (
        not mine
        or not theirs
        or _negators(p.claim)
        or _negators(p.evidence)
        or not _same_subject(p, mine, theirs)
    ):
        return None
    head = content_words(mine["kind"])[-1:]
    if not head or head[0].text.lower() in _ANY_KIND or akin(form(head[0].stem), p.evidence.forms):
        return None
    # All that it is said to be: "an actor, comedian, and singer".
    listed = re.match(r"(?:,\s+[\w -]+)*,?(?:\s+(?:and|or)\s+[\w -]+)?", p.evidence.text[theirs.end() :])
    return theirs["kind"] + (listed.group() if listed else ""), mine["kind"]


def leaves_kind_open(p: Pair) -> bool:
    """Whether a claim calls its subject something that the source does not: "is a French film"."""
    mine = _IS_A.search(p.claim.text)
    said = content_words(mine["kind"]) if mine else []
    return any(
        w.text.lower() not in _ANY_KIND and not w.text[0].isdigit() and not _there(p, form(w.stem))
        for w in said
    )


def _same_subject(p: Pair, mine: re.Match[str], theirs: re.Match[str]) -> bool:
    subject = {_bare(w.text) for w in content_words(p.claim.text[: mine.start()])}
    there = [_bare(w.text) for w in content_words(p.evidence.text[: theirs.start()])]
    return bool(subject) and subject <= set(there) and there[0] in subject


# ------------------------------------------------------------------------------------- attribution

_SAYS = re.compile(
    r"\b(?:according to|as reported by|reported by)\s+(?:the\s+)?(?P<after>(?:[A-Z][\w.&'\u2019-]*\s?)+)"
    r"|(?P<before>(?:[A-Z][\w.&'\u2019-]*\s)+)(?:said|says|reported|reports|wrote|writes|argued|argues|estimated|claimed|claims|told)\b"
)


def _speaker(p: Pair) -> str | None:
    match = _SAYS.search(p.evidence.text)
    name = ((match["after"] or match["before"]) if match else "").strip(" .,")
    return name if name and not _has_name(p.claim, name) else None


_RULES: tuple[Callable[[Pair], str | None], ...] = (
    _changed,
    _amounts, _dates, _ordinals, _negation, _directions, _shares, _plan, _roles, _swapped,
)  # fmt: skip
