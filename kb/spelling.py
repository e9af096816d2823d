"""Typing errors in a question, mended from the words of the knowledge base itself.

A word that no document holds and that is not a word of the language either is read as the nearest one that
some document does hold, if there is one within one edit (two for long words). The answer says so in a
notice. Real words and names are left alone: whoever asks about Tim Cook does not mean "cool".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection

from kb.catalogue import Catalogue
from kb.text import Word, content_words, fold, spellings

_SHORTEST = 4
_POSSESSIVE = re.compile(r"['\u2019]s$")


def correct(
    text: str, catalogue: Catalogue, is_word: Callable[[str], bool], also: Collection[str] = ()
) -> tuple[str, tuple[str, ...]]:
    """The text with misspelt words replaced, and a notice for each.

    ``is_word`` knows the language; ``also`` are words that may be meant although no document holds them.
    """
    unknown = [w for w in content_words(text) if _may_be_misspelt(w) and not is_word(w.text)]
    counts = catalogue.word_counts(w.text for w in unknown)
    notices = []
    for word in reversed(unknown):
        better = None if counts[word.text] else _among(word, also) or _nearest(word, catalogue)
        if better is not None:
            text = text[: word.start] + better + text[word.end :]
            notices.append(f"Read \u201c{word.text}\u201d as \u201c{better}\u201d.")
    return text, tuple(reversed(notices))


def _may_be_misspelt(word: Word) -> bool:
    # A capital letter makes it a name, which is mended only when it is long.
    shortest = _SHORTEST if word.text.islower() else 7
    return len(word.text) >= shortest and word.text.isalpha() and word.text.isascii()


def _among(word: Word, meant: Collection[str]) -> str | None:
    from rapidfuzz.distance import OSA

    typed = fold(word.text)
    allowed = 1 if len(typed) < 7 else 2
    near = [(OSA.distance(typed, other, score_cutoff=allowed), other) for other in meant]
    return min((n for n in near if n[0] <= allowed), default=(0, None))[1]


_TRIED = 8  # of the nearest stems, how many are looked up in full


def _nearest(word: Word, catalogue: Catalogue) -> str | None:
    """The word of the documents that ``word`` is a misspelling of; ``None`` if none is near enough."""
    from rapidfuzz.distance import OSA

    typed = fold(word.text)
    allowed = 1 if len(typed) < 8 else 2
    stems = []
    for stem, count in catalogue.vocabulary(typed[0]):
        # A stem is shorter than its word, or ends otherwise: compare with as many letters of what was typed.
        if (
            len(typed) - 6 <= len(stem) <= len(typed) + allowed
            and len(stem) >= _SHORTEST - 1
            and stem.isalpha()
        ):
            beginnings = {typed[: len(stem) + n] for n in (-1, 0, 1)}
            distance = min(OSA.distance(part, stem, score_cutoff=allowed + 1) for part in beginnings)
            if distance <= allowed + 1:
                stems.append((distance, -count, stem))
    spelled = (_spelled(stem, typed, allowed, catalogue) for _, _, stem in sorted(stems)[:_TRIED])
    return min(filter(None, spelled), default=(0, None))[1]


def _spelled(stem: str, typed: str, allowed: int, catalogue: Catalogue) -> tuple[int, str] | None:
    """The word in full that has this stem and is nearest to what was typed, with its distance."""
    from rapidfuzz.distance import OSA

    near = []
    for stored in catalogue.passages(key for key, _ in catalogue.match([stem], 3)).values():
        for text in {_POSSESSIVE.sub("", spelled) for spelled in spellings(stored.passage.text)}:
            if abs(len(text) - len(typed)) <= allowed and fold(text)[:1] == typed[0]:
                near.append((OSA.distance(fold(text), typed, score_cutoff=allowed), text))
    return min((n for n in near if n[0] <= allowed), default=None)
