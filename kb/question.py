"""What a question asks for, read off its words: no model, no knowledge base.

A follow-up ("and when?") is made to stand alone from the turns before it, and a question that asks several
things is taken apart; the kind of answer that is wanted (a person, a date, an amount ...) is told from the
question word and the words beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from kb.text import Word, content_words, dates, fold, names, word_set, words
from kb.types import Filters, Turn

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
        r"\b(?:since )?when\b|\bwhat (?:is|was) (?:the |\w+['\u2019]s )(?:\w+ ){0,2}(?:year|date|birthday)\b"
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


# ------------------------------------------------------------------------------- several questions in one

_ASKING = r"(?:who|whom|whose|what|which|when|where|why|how)"
_JOINT = re.compile(
    rf"(?<=\w)\?\s+(?=\S)|(?<=\w)[,;]?\s+(?:and|as well as)\s+(?={_ASKING}\b)"
    rf"|(?<=\w)[,;]\s+(?={_ASKING}\b)",
    re.IGNORECASE,
)
_MOST_PARTS = 4


def parts(text: str) -> tuple[str, ...]:
    """The questions that are asked in one go ("Who ..., and when ...?"); often only one.

    A part opens with a question word of its own and has a verb to go with it: "who and when" is not taken
    apart, nor is "what it costs and why". What is to be compared is asked of each name by itself, and what is
    set side by side ("Does ... while ...?") of each side.
    """
    if compared := _compared(text) or _side_by_side(text):
        return compared
    found = [part.strip(" ,;") for part in _JOINT.split(text.strip())]
    whole = 2 <= len(found) <= _MOST_PARTS and all(
        re.match(rf"(?:and |but |so )?(?:[a-z]+ )?{_ASKING}\b|{_YES_NO.pattern}", part, re.IGNORECASE)
        and len(words(part)) >= 3
        for part in found
    )
    return tuple(found) if whole else (text.strip(),)


_COMPARING = re.compile(r"\b(?:compar(?:e|ed|es|ing)|versus|vs|differ(?:s|ed|ence|ences)?|both|each)\b", re.I)
_BETWEEN = re.compile(r"\s*(?:,? and|,? or|,|with|to|versus|vs\.?|from)\s*")


def _compared(text: str) -> tuple[str, ...]:
    """A question for each of two or three names next to each other, if it compares them."""
    if not _COMPARING.search(text):
        return ()
    found = []
    for start, end in names(text):
        # "Holm and Lenne" can be one name (a firm's); where things are compared it is two.
        for name in text[start:end].split(" and "):
            found.append((start, start + len(name)))
            start += len(name) + len(" and ")
    for first in range(len(found) - 1):
        last = first
        while last + 1 < len(found) and _BETWEEN.fullmatch(text[found[last][1] : found[last + 1][0]]):
            last += 1
        if 1 <= last - first <= 2:
            before, after = text[: found[first][0]], text[found[last][1] :]
            return tuple(f"{before}{text[s:e]}{after}".strip() for s, e in found[first : last + 1])
    return ()


_WHILE = re.compile(r",?\s+(?:while|whereas|and (?:does|did|do|is|was|are|were|has|have))\s+", re.IGNORECASE)


def _side_by_side(text: str) -> tuple[str, ...]:
    """Both halves of a yes-or-no question about two things, the second with the verb that opens the first."""
    opening = _YES_NO.match(text)
    joint = _WHILE.search(text)
    if (
        not opening
        or not joint
        or min(len(words(text[: joint.start()])), len(words(text[joint.end() :]))) < 4
    ):
        return ()
    first, second = text[: joint.start()].strip(), text[joint.end() :].strip()
    return f"{first}?", f"{opening.group()} {second}"


# ------------------------------------------------------------------------------------------ statements

_WHO_DOES = re.compile(
    r"(?:who|what|which \w+|what \w+) "
    r"(?!did|do|does|was the \w+ of|can|could|should|would|will|has|have|had|if)"
    r"(?P<rest>(?:is|was|are|were|\w+(?:s|ed|ew|ote|ught|ade|ad|an|on|ook|ave))\b .+)",
    re.IGNORECASE,
)
_WHEN_DONE = re.compile(
    r"(?:when|where|in what \w+|what year) (?P<be>was|were|is|are) (?P<x>.+) "
    r"(?P<done>\w+(?:ed|en|un|ilt|orn|ade))",
    re.IGNORECASE,
)
_ASKED_OF = re.compile(r"(?:what|which|who|whom)(?: \w+){0,3}? (?:did|does|do) (?P<rest>.+)", re.IGNORECASE)
_WHERE_DID = re.compile(
    r"(?:when|where|in what \w+|in which \w+|what year) (?:did|does|do) (?P<rest>.+)", re.I
)
_WHERE_IS = re.compile(r"where (?P<be>is|was|are|were) (?P<x>.+?)(?: located| situated)?", re.IGNORECASE)
_HOW_MANY_OF = re.compile(
    r"how (?:many|much)(?P<what>(?: [\w-]+){0,3}) (?:did|does|do|can|could|will|has|have) (?P<rest>.+)", re.I
)
_HOW_MANY = re.compile(r"how many (?P<rest>(?!.*\b(?:did|does|do)\b).+)", re.IGNORECASE)
_HOW_LARGE = re.compile(r"how (?:\w+) (?P<be>is|was|are|were) (?P<x>.+)", re.IGNORECASE)
_SMALL = re.compile(r"(?:In|On|At|During|Up|About|Around|Over|More|Less|Nearly|Almost|Some|The|An?)\b")
_LINKING = "about|after|as|at|by|for|from|in|into|like|of|on|to|with"
_LEFT_OVER = re.compile(rf".*\b(?:{_LINKING})", re.IGNORECASE)  # "come from", "made of": waits for its noun
_LINKED = re.compile(rf"(?:{_LINKING})\b", re.IGNORECASE)
# Forms whose answer has no place of its own: two questions in one, "what happened", "what time", "what did
# she do", "what did they use to build it", "how far is it from here".
_UNSTATED = re.compile(
    rf".*\b(?:and|or) (?:in |on |at )?{_ASKING}\b.*|what (?:happened|happens|occurred)\b.*"
    r"|(?:at )?what time\b.*"
    r"|(?:what|which|who)\b.* (?:did|does|do) (?:.* do\b.*|.* to \w+ .+)|how \w+ (?:is|was) it .+",
    re.IGNORECASE,
)


def stated(question: str, answer: str) -> str | None:
    """Question and answer as one statement, for the plainer forms of questions; else ``None``.

    The grammar is now and then a learner's ("The council buy it in 1990."), which is understood; what
    would be no sentence at all is not made.
    """
    bare, answer = question.strip().rstrip("? "), answer.strip().rstrip(".")
    small = answer[:1].lower() + answer[1:] if _SMALL.match(answer) else answer
    left_over, linked = _LEFT_OVER.fullmatch(bare), _LINKED.match(answer)
    if _UNSTATED.fullmatch(bare) or (left_over and linked):
        return None
    placed = small if re.match(r"(?:in|on|at|during|from|by|near|after|before)\b", small) else f"in {small}"
    if match := _WHEN_DONE.fullmatch(bare):
        made = f"{match['x']} {match['be']} {match['done']} {placed}"
    elif match := _WHO_DOES.fullmatch(bare):
        made = "" if left_over or linked else f"{answer} {match['rest']}"
    elif match := _WHERE_DID.fullmatch(bare):
        made = "" if left_over else f"{match['rest']} {placed}"
    elif match := _WHERE_IS.fullmatch(bare):
        made = "" if left_over else f"{match['x']} {match['be']} {placed}"
    elif match := _ASKED_OF.fullmatch(bare):
        made = f"{match['rest']} {small}"
    elif match := _HOW_MANY_OF.fullmatch(bare):
        made = f"{match['rest']} {small}{match['what']}"
    elif match := _HOW_MANY.fullmatch(bare):
        made = f"{answer} {match['rest']}" if len(answer.split()) == 1 else ""
    elif match := _HOW_LARGE.fullmatch(bare):
        made = f"{match['x']} {match['be']} {small}"
    else:
        made = ""
    return f"{made[:1].upper()}{made[1:]}." if made else None


# ------------------------------------------------------------------------------------ named sources, time


def preferred(text: str, publishers: Iterable[str], today: date) -> Filters:
    """The publishers and the time that a question names: no limit, but documents to look at in any case."""
    named = tuple(p for p in publishers if _is_named(p, text))
    after, before = period(text, today) or (None, None)
    return Filters(
        publishers=named,
        after=after.isoformat() if after else None,
        before=before.isoformat() if before else None,
    )


def _is_named(publisher: str, text: str) -> bool:
    # A name of one word must be written as the name is: "time" is not Time.
    flags = re.IGNORECASE if " " in publisher else re.NOFLAG
    return len(publisher) > 2 and bool(re.search(rf"(?<!\w){re.escape(publisher)}(?!\w)", text, flags))


_AGO = re.compile(
    r"\b(?:in |over |during |within )?the (?:last|past) (?:(\d+|few|couple of|two|three|four|five|six) )?"
    r"(day|week|month|quarter|year)s?\b",
    re.IGNORECASE,
)
_WHICH = re.compile(r"\b(last|this|previous) (week|month|quarter|year)\b", re.IGNORECASE)
_NUMBERS = {"few": 3, "couple of": 2, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6}
_DAYS = {"day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366}


def period(text: str, today: date) -> tuple[date, date] | None:
    """The first and last day of the time that a question speaks of, if it does ("last week", "in May 2026").

    Seen from ``today``. A year alone is none: what is told of it was written before and after as well.
    """
    if match := re.search(r"\b(today|yesterday)\b", text, re.IGNORECASE):
        day = today - timedelta(days=match[1].lower() == "yesterday")
        return day, day
    if match := _AGO.search(text):
        number = (match[1] or "1").lower()
        days = _DAYS[match[2].lower()] * (int(number) if number.isdigit() else _NUMBERS[number])
        return today - timedelta(days=min(days, today.toordinal() - 1)), today
    if match := _WHICH.search(text):
        return _calendar(match[2].lower(), today, back=match[1].lower() != "this")
    for found in dates(text):
        if found.year and found.month:
            try:
                first = date(found.year, found.month, found.day or 1)
            except ValueError:
                continue
            return first, first if found.day else _month_end(first)
    return None


def _calendar(unit: str, today: date, *, back: bool) -> tuple[date, date]:
    if unit == "week":
        first = today - timedelta(days=today.weekday() + 7 * back)
        return first, first + timedelta(days=6)
    if unit == "year":
        return date(today.year - back, 1, 1), date(today.year - back, 12, 31)
    months = 1 if unit == "month" else 3
    index = (today.year * 12 + today.month - 1) // months * months - months * back
    first = date(index // 12, index % 12 + 1, 1)
    last = index + months - 1
    return first, _month_end(date(last // 12, last % 12 + 1, 1))


def _month_end(first: date) -> date:
    return (first.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)


# -------------------------------------------------------------------------------------- other languages

_FUNCTION_WORDS = {
    "English": """
        the of and is are was were what which who when where why how does did do has have in to for it""",
    "German": """
        der die das und ist sind war was welche welcher wer wann wo warum wie hat haben ein eine von""",
    "French": """
        le la les des est sont quel quelle qui quand pourquoi comment combien du une dans pour que au""",
    "Spanish": """
        el los las es son qu\u00e9 que qui\u00e9n cu\u00e1ndo d\u00f3nde c\u00f3mo para una del por con""",
    "Italian": """
        il lo gli \u00e8 sono che chi quando dove perch\u00e9 come quale quanto della per una nel con""",
    "Portuguese": """
        o os as \u00e9 s\u00e3o que quem quando onde como qual quanto uma para do da por com em""",
    "Dutch": """
        de het een is zijn wat welke wie wanneer waar waarom hoe heeft voor van door met hoeveel""",
}
_BY_WORDS = {language: word_set(listed) for language, listed in _FUNCTION_WORDS.items()}
_SCRIPTS = {
    "Russian or another language in Cyrillic": r"[\u0400-\u04ff]",
    "Greek": r"[\u0370-\u03ff]",
    "Arabic": r"[\u0600-\u06ff]",
    "Hebrew": r"[\u0590-\u05ff]",
    "Hindi or another language of India": r"[\u0900-\u0d7f]",
    "Japanese": r"[\u3040-\u30ff]",
    "Korean": r"[\uac00-\ud7af]",
    "Chinese": r"[\u4e00-\u9fff]",
}


def other_language(text: str) -> str | None:
    """The language of a question that is not in English, as far as its letters and small words tell."""
    letters = sum(c.isalpha() for c in text)
    for language, script in _SCRIPTS.items():
        if 2 * len(re.findall(script, text)) > letters:
            return language
    found = [w.text.lower() for w in words(text)]
    counts = {language: sum(w in listed for w in found) for language, listed in _BY_WORDS.items()}
    best = max(counts, key=lambda language: counts[language])
    return best if best != "English" and counts[best] >= 2 and counts[best] > counts["English"] else None
