"""Questions and passages with one thing changed, so that they no longer belong together.

A name, a number or a word that stands in a question and in its passage is exchanged for another one of its
kind. Done to one of the two it makes a question without an answer, a near miss of the sort that people
make up (Rajpurkar, Jia and Liang, ACL 2018; Gautam, Zhang, Wang and Chen, ACL 2023, change antonyms and
names as well); done to both alike it leaves an answer, so that the change alone gives nothing away.
Antonyms, sister terms and synonyms come from WordNet 3.0 (Debian's package ``wordnet-base``).
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kb.text import Word, content_words, names

WORDNET = Path("/usr/share/wordnet")


@dataclass(frozen=True, slots=True)
class Swap:
    """``old``, as it stands in a question, and what to put in its place."""

    old: str
    new: str

    def into(self, text: str) -> str:
        return _whole(self.old).sub(lambda m: _cased_like(m.group(), self.new), text)

    def exchanged(self, text: str) -> str:
        """Both exchanged for each other."""
        either = re.compile(f"{_whole(self.old).pattern}|{_whole(self.new).pattern}", re.IGNORECASE)
        other = {self.old.lower(): self.new, self.new.lower(): self.old}
        return either.sub(lambda m: _cased_like(m.group(), other.get(m.group().lower(), m.group())), text)

    def stands_in(self, text: str) -> bool:
        return bool(_whole(self.old).search(text))


def _whole(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(words)}(?!\w)", re.IGNORECASE)


def _cased_like(old: str, new: str) -> str:
    return new[:1].upper() + new[1:] if old[:1].isupper() else new


def name_swaps(question: str, text: str, strangers: Sequence[str], rng: random.Random) -> list[Swap]:
    """For each name and number of the question another one, of the same text or a stranger to it."""
    swaps = []
    own = [text[s:e] for s, e in names(text)]
    for start, end in names(question):
        old = question[start:end]
        there = [n for n in own if _differ(n, old) and n.lower() not in question.lower()]
        pool = there if there and rng.random() < 0.6 else [n for n in strangers if _differ(n, old)]
        if start > 0 and pool:
            swaps.append(Swap(old, rng.choice(pool)))
    for match in _NUMBER.finditer(question):
        old = match.group()
        there = [n for n in _NUMBER.findall(text) if n != old and len(n) == len(old)]
        swaps.append(Swap(old, rng.choice(there) if there and rng.random() < 0.5 else _another(old, rng)))
    return swaps


_NUMBER = re.compile(r"(?<![\w.,])\d[\d,.]*\d|(?<![\w.,])\d(?!\w)")


def _differ(one: str, other: str) -> bool:
    return not set(one.lower().split()) & set(other.lower().split())


def _another(number: str, rng: random.Random) -> str:
    """A number with one digit changed."""
    place = rng.choice([i for i, c in enumerate(number) if c.isdigit()])
    digits = [d for d in "123456789" if d != number[place]]
    return number[:place] + rng.choice(digits) + number[place + 1 :]


def word_swaps(question: str, thesaurus: Thesaurus, rng: random.Random) -> list[Swap]:
    """For the plain words of a question their opposites, or else words of the same sort."""
    swaps = []
    for word in content_words(question):
        text = word.text
        others = (
            [OPPOSITES[text]] if text in OPPOSITES else thesaurus.opposites(text) or thesaurus.sisters(text)
        )
        if text.islower() and others:
            swaps.append(Swap(word.text, rng.choice(others)))
    return swaps


def neighbour_swaps(question: str, text: str, rng: random.Random) -> list[Swap]:
    """For the plain words of a question other ones of the text, with the same ending where there are any."""
    there = [w for w in content_words(text) if _plain(w)]
    stems = {w.stem for w in content_words(question)}
    swaps = []
    for word in filter(_plain, content_words(question)):
        new = sorted({w.text for w in there if w.stem not in stems})
        alike = [t for t in new if t[-2:] == word.text[-2:]] or new
        if alike:
            swaps.append(Swap(word.text, rng.choice(alike)))
    return swaps


def _plain(word: Word) -> bool:
    return word.text.islower() and len(word.text) > 3


_PAIRS = """
first/last before/after most/least more/fewer increase/decrease increased/decreased north/south
northern/southern east/west eastern/western largest/smallest larger/smaller highest/lowest higher/lower
maximum/minimum win/lose won/lost start/end started/ended began/ended best/worst oldest/youngest older/younger
earliest/latest earlier/later always/never allowed/forbidden male/female buy/sell bought/sold gain/lose
long/short hot/cold positive/negative above/below good/bad easy/hard cheap/expensive same/different
include/exclude strong/weak advantages/disadvantages advantage/disadvantage present/absent like/dislike
major/minor public/private
"""
OPPOSITES = {
    word: other
    for pair in _PAIRS.split()
    for one, two in [pair.split("/")]
    for word, other in ((one, two), (two, one))
}
_AUXILIARY = re.compile(r"(?<=\w )(?:is|are|was|were|can|could|will|would|should)\b", re.IGNORECASE)


def negated(question: str) -> str | None:
    match = _AUXILIARY.search(question)
    if match is None or re.search(r"\bnot\b|n't\b", question):
        return None
    return f"{question[: match.end()]} not{question[match.end() :]}"


def swaps_for(
    question: str, text: str, strangers: Sequence[str], thesaurus: Thesaurus, rng: random.Random
) -> list[Swap]:
    """Changes of all sorts: for every name and number of the question, two words, now and then more."""
    swaps = name_swaps(question, text, rng.sample(strangers, min(3, len(strangers))), rng)
    found = word_swaps(question, thesaurus, rng)
    swaps += rng.sample(found, min(len(found), 2))
    return swaps + (neighbour_swaps(question, text, rng)[:2] if rng.random() < 0.3 else [])


# --------------------------------------------------------------------------------------- WordNet


class Thesaurus:
    """Opposites, sister terms and synonyms in the commonest sense of a word, among ``common`` words only."""

    @classmethod
    def of(cls, texts: Iterable[str]) -> Thesaurus:
        """With the words that occur three times or more in ``texts``."""
        counts = Counter(w.text for text in texts for w in content_words(text) if w.text.islower())
        return cls(frozenset(word for word, n in counts.items() if n >= 3))

    def __init__(self, common: frozenset[str], folder: Path = WORDNET) -> None:
        self._common = common
        self._opposite: dict[str, set[str]] = {}
        self._sister: dict[str, set[str]] = {}
        self._same: dict[str, set[str]] = {}
        self._tagged: dict[str, int] = {}
        for part in ("noun", "verb", "adj", "adv"):
            self._read(folder, part)

    def opposites(self, word: str) -> list[str]:
        return self._inflected(word, self._opposite)

    def sisters(self, word: str) -> list[str]:
        return self._inflected(word, self._sister)

    def synonyms(self, word: str) -> list[str]:
        return self._inflected(word, self._same)

    def _inflected(self, word: str, table: dict[str, set[str]]) -> list[str]:
        for ending, back in (
            ("", ("",)),
            ("ies", ("y",)),
            ("s", ("",)),
            ("ed", ("", "e")),
            ("ing", ("", "e")),
        ):
            if not word.endswith(ending):
                continue
            for tail in back:
                base = word[: len(word) - len(ending)] + tail
                found = {_with(other, ending) for other in table.get(base, ())} & self._common
                if found:
                    return sorted(found - {word})
        return []

    def _read(self, folder: Path, part: str) -> None:
        synsets: dict[str, tuple[list[str], list[tuple[str, str, str]]]] = {}
        for line in (folder / f"data.{part}").read_text(encoding="latin-1").splitlines():
            if not line.startswith(" "):
                fields = line.split(" | ")[0].split()
                count = int(fields[3], 16)
                lemmas = [re.sub(r"\(.*\)", "", lemma).lower() for lemma in fields[4 : 4 + 2 * count : 2]]
                at = 4 + 2 * count
                pointers = fields[at + 1 : at + 1 + 4 * int(fields[at])]
                synsets[fields[0]] = (
                    lemmas,
                    list(zip(pointers[::4], pointers[1::4], pointers[3::4], strict=True)),
                )
        for line in (folder / f"index.{part}").read_text(encoding="latin-1").splitlines():
            if line.startswith(" "):
                continue
            fields = line.split()
            word, senses = fields[0], fields[-int(fields[2]) :]
            if word in self._common and senses[0] in synsets:
                self._learn(word, senses[0], synsets)
                self._learn_same(word, int(fields[-int(fields[2]) - 1]), synsets[senses[0]][0])

    def _learn_same(self, word: str, tagged: int, lemmas: Sequence[str]) -> None:
        """Synonyms in the part of speech that a word mostly is: where most senses were found in real text."""
        if tagged > self._tagged.get(word, 0):
            self._tagged[word] = tagged
            self._same[word] = set(lemmas) - {word}

    def _learn(
        self, word: str, sense: str, synsets: dict[str, tuple[list[str], list[tuple[str, str, str]]]]
    ) -> None:
        lemmas, pointers = synsets[sense]
        for sign, target, places in pointers:
            if sign == "!" and target in synsets and lemmas[int(places[:2], 16) - 1] == word:
                self._opposite.setdefault(word, set()).add(synsets[target][0][int(places[2:], 16) - 1])
            if sign == "@" and target in synsets:
                sisters = {s for kind, s, _ in synsets[target][1] if kind == "~"} - {sense}
                found = {lemma for s in sisters if s in synsets for lemma in synsets[s][0][:1]} - set(lemmas)
                self._sister.setdefault(word, set()).update(found)


def _with(word: str, ending: str) -> str:
    if ending == "ies":
        return f"{word[:-1]}ies" if word.endswith("y") else f"{word}s"
    if ending in ("ed", "ing") and word.endswith("e"):
        return word[:-1] + ending
    return word + ending
