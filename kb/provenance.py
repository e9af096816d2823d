"""Where a statement comes from: sentences that were copied, values that changed.

Ten papers that print one agency report are one witness; and of two figures for the same thing the newer one
may simply be newer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence, Set

from kb.extract import Candidate
from kb.text import Wording, content_words, stem, wording, words
from kb.types import Difference, Value


def independent(evidence: Iterable[Candidate]) -> list[Candidate]:
    """The first sentence of each text, in their order: what only repeats one before it is left out."""
    kept: list[tuple[Candidate, Wording]] = []
    for candidate in evidence:
        own = wording(candidate.text)
        if not any(own.is_copy_of(other) for _, other in kept):
            kept.append((candidate, own))
    return [candidate for candidate, _ in kept]


def witnesses(texts: Sequence[Candidate], read: Iterable[Candidate]) -> tuple[int, int]:
    """How many articles, among all that was read, hold one of these sentences, and how many of them differ.

    Articles that share a sentence, word for word or nearly so, count as one text.
    """
    sought = [wording(candidate.text) for candidate in texts]
    groups: list[set[str]] = [set() for _ in texts]
    for candidate in read:
        own = wording(candidate.text)
        for other, group in zip(sought, groups, strict=True):
            if own.is_copy_of(other):
                group |= {candidate.hit.passage.document_id, *candidate.hit.copies}
    apart: list[set[str]] = []
    for group in groups:
        joined = [other for other in apart if other & group]
        apart = [other for other in apart if not other & group] + [group.union(*joined)]
    return len(set().union(*apart)), len(apart)


def timeline(values: Sequence[tuple[Candidate, str]]) -> tuple[Value, ...]:
    """What the sources say of one thing, oldest first, each value once; empty if it never changed.

    ``values`` are sentences with what each says, the one that decided first: only those count that say the
    same but for the value. Of a value that several have the first day counts; sources without a date are left
    out.
    """
    dated = [
        Value(source.published[:10], said, candidate.hit.passage.document_id, source.title)
        for candidate, said in values
        if (source := candidate.hit.source).published and _same_but_for_value(values[0], (candidate, said))
    ]
    first: dict[str, Value] = {}
    for value in sorted(dated, key=lambda value: (value.published, value.document_id)):
        first.setdefault(value.said.casefold(), value)
    days = {value.published for value in first.values()}
    return tuple(first.values()) if len(first) > 1 and len(days) > 1 else ()


def differences(values: Sequence[tuple[str, Candidate]]) -> tuple[Difference, ...]:
    """What sources that differ say of one thing, as ``extract.disagreements`` found it."""
    if len(values) < 2:
        return ()
    told = (
        Value((source.published or "")[:10], said, candidate.hit.passage.document_id, source.title)
        for said, candidate in values
        for source in (candidate.hit.source,)
    )
    changed = timeline([(candidate, said) for said, candidate in values])
    ordered = sorted(told, key=lambda value: (value.published or "9999", value.document_id))
    return (Difference(tuple(ordered), over_time=len(changed) == len(values)),)


def _same_but_for_value(one: tuple[Candidate, str], other: tuple[Candidate, str]) -> bool:
    """Whether two sentences speak of the same things; figures, names and "first" all have to agree."""
    near = (word for candidate, _ in (one, other) for word in words(candidate.hit.passage.text))
    common = _OPENERS.union(word.stem for word in near if word.text.islower())
    mine, theirs = (_rest(candidate.text, said, common) for candidate, said in (one, other))
    told = {word for word in mine ^ theirs if not word.islower() or word in _ORDER}
    return not told and len(mine & theirs) >= _SAME_THING * len(mine | theirs)


def _rest(text: str, said: str, common: Set[str]) -> set[str]:
    """The words of a sentence without its value: stems, but names and figures as they stand.

    The word that opens a sentence has a capital whatever it is. It counts as a name unless its stem is one of
    the ``common`` ones: that two cities differ must not be told as one city that has changed.
    """
    start = text.find(said)
    before = text[:start] if start >= 0 else text
    left = content_words(f"{before} {text[start + len(said) :] if start >= 0 else ''}")
    opening = next((word.start for word in words(before)), -1)
    return {
        word.stem
        if word.text.islower() or (word.start == opening and word.stem in common)
        else _POSSESSIVE.sub("", word.text)
        for word in left
    }


_SAME_THING = 0.5  # of the words of two sentences, those that both have
_POSSESSIVE = re.compile(r"['\u2019]s$")
_ORDER = frozenset(map(stem, "first second third fourth fifth last next early late".split()))
_OPENERS = _ORDER.union(map(stem, "however meanwhile yesterday today officials experts critics".split()))
"""Words that open sentences of the news and are no names."""
