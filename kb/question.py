"""What a question asks for, read off its words: no model, no knowledge base.

A follow-up ("and when?") is made to stand alone from the turns before it; the kind of answer that is
wanted (a person, a date, an amount ...) is told from the question word and the words beside it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from kb.text import Word, content_words, fold, names, word_set, words
from kb.types import Turn

AnswerKind = Literal["who", "when", "where", "how_many", "how_much", "why", "how", "list", "yes_no", "what"]

MAX_CHARACTERS = 2000


@dataclass(frozen=True, slots=True)
class Question:
    """A question with what was read off it.

    ``text`` is what was asked; ``search_text`` also carries what a follow-up takes from the turns before.
    ``words`` are the content words of ``search_text``, ``names`` the folded names in it.
    """

    text: str
    search_text: str
    kind: AnswerKind
    wants_list: bool
    words: tuple[Word, ...]
    names: tuple[str, ...]

    @property
    def is_follow_up(self) -> bool:
        return self.search_text != self.text


def analyse(text: str, history: Sequence[Turn] = ()) -> Question:
    """Read a question; ``history`` holds the earlier turns, oldest first."""
    text = text.strip()
    search_text = stand_alone(text, history)
    return Question(
        text=text,
        search_text=search_text,
        kind=answer_kind(text),
        wants_list=wants_list(text),
        words=tuple(dict.fromkeys(content_words(search_text))),
        names=tuple(dict.fromkeys(fold(search_text[s:e]) for s, e in names(search_text))),
    )


# ------------------------------------------------------------------------------------ answer kinds

_PATTERNS: tuple[tuple[AnswerKind, str], ...] = (
    ("how_many", r"\bhow many\b|\bwhat (?:is|was|are|were) the (?:total )?number of\b|\bhow often\b"),
    (
        "how_much",
        r"\bhow (?:much|large|big|high|tall|long|far|fast|old|wide|deep|heavy|expensive)\b"
        r"|\b(?:what|which) (?:\w+ ){0,3}(?:price|cost|amount|percentage|percent|share|rate|capacity"
        r"|population|size|value|sum|revenue|budget|speed|distance|length|height|weight|temperature|figure)\b",
    ),
    (
        "when",
        r"\b(?:since )?when\b"
        r"|\b(?:what|which|in what|in which) (?:\w+ )?(?:year|date|day|month|century|decade|time)\b",
    ),
    ("where", r"\bwhere\b|\b(?:what|which) (?:country|city|place|town|state|region|continent|location)\b"),
    (
        "who",
        r"\bwho(?:m|se)?\b"
        r"|\b(?:what|which) (?:person|man|woman|author|president|company|companies|firms?|startup)\b",
    ),
    ("why", r"\bwhy\b|\bfor what reason\b|\bwhat (?:is|was|are) the reasons?\b|\bhow come\b"),
    ("list", r"^(?:please )?(?:list|name|enumerate)\b|\bwhat are (?:all |some of )?the \w+s\b"),
    ("how", r"\bhow\b"),
)
_KINDS = [(kind, re.compile(pattern, re.IGNORECASE)) for kind, pattern in _PATTERNS]
_YES_NO = re.compile(
    r"^(?:and |but |so )?(?:is|are|was|were|do|does|did|has|have|had|can|could|will|would|should|may|might)"
    r"(?:n't|n\u2019t)?\b",
    re.IGNORECASE,
)
_LIST = re.compile(
    r"^(?:please )?(?:list|name|enumerate)\b|\bwhat are (?:all |some of )?the\b|\bwhich (?:\w+ ){0,2}\w+s\b"
    r"|\b(?:both|each|all|every)\b|\bcompare\b|\bwhat \w+s are\b"
    r"|\b(?:two|three|four|five|six|seven|several) \w+s\b",
    re.IGNORECASE,
)


def answer_kind(text: str) -> AnswerKind:
    """The kind of answer that a question wants."""
    if _YES_NO.match(text):
        return "yes_no"
    first: tuple[int, AnswerKind] | None = None
    for kind, pattern in _KINDS:
        match = pattern.search(text)
        # The question word that comes first decides; earlier patterns win a tie ("how many" over "how").
        if match and (first is None or match.start() < first[0]):
            first = (match.start(), kind)
    return first[1] if first else "what"


def wants_list(text: str) -> bool:
    """Whether several things are asked for, so that a longer answer is in order."""
    return bool(_LIST.search(text))


# -------------------------------------------------------------------------------------- follow-ups

_POINTERS = word_set(
    """
    it its they them their theirs he him his she her hers this that these those there one ones
    """
)
_LINKS = re.compile(
    r"(?:and|but|so|or|also|then|what about|how about)\b"
    r"|(?:with|for|by|to|from|of|in|on|at|until|since) (?:which|wh)",
    re.IGNORECASE,
)


def stand_alone(text: str, history: Sequence[Turn]) -> str:
    """A follow-up with the words it leans on put in front; anything else as it is.

    A question leans on the turns before it when it points back ("it", "they", "there"), opens with a link
    ("and ...", "with which ..."), or has no word of its own to be searched for. A short question does not:
    "What is HBM?" stands alone.
    """
    asked = [turn.content for turn in history if turn.role == "user" and turn.content.strip()]
    if not asked or not _leans_back(text):
        return text
    context = asked[-1]
    if _leans_back(context) and len(asked) > 1:
        context = f"{asked[-2]} {context}"
    return f"{context} {text}"


def _leans_back(text: str) -> bool:
    content = content_words(text)
    if not content:
        return True
    own_names = names(text)
    if any(word.text.lower() in _POINTERS for word in words(text)) and not own_names:
        return True
    return bool(_LINKS.match(text)) and len(content) < 4 and not own_names
