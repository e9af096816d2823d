"""What can be read off plain text: sentences, words, numbers, dates and names, all with offsets.

One place for all of it, so that ingestion, retrieval, answering and checking agree on what a sentence or
a number is. Pure functions over strings; nothing here knows about documents.
"""

from __future__ import annotations

import datetime as dt
import re
import threading
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

Span = tuple[int, int]


def word_set(text: str) -> frozenset[str]:
    """The words of a list that is written down as text."""
    return frozenset(text.split())


# ------------------------------------------------------------------------------------- normal form

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufffe\uffff\ud800-\udfff]")
_BLANKS = re.compile(r"[^\S\n]+(?=\n|$)")
_NEWLINES = re.compile(r"\r\n?|[\u2028\u2029\x85\x0b\x0c]")


def normalise(text: str) -> str:
    """The form in which text is stored: NFC, ``\\n`` line ends, no control characters, tidy white space.

    No line ends in a blank, at most one blank line stands between two lines, none at either end.
    """
    text = _NEWLINES.sub("\n", text).replace("\u00ad", "")
    text = _CONTROL.sub("", text.replace("\t", " "))
    text = unicodedata.normalize("NFC", text)
    text = _BLANKS.sub("", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip().lstrip("\ufeff")


# --------------------------------------------------------------------------------------- sentences

_FULL_WIDTH = "\u3002\uff01\uff1f\u0964\u061f"  # marks after which no space is needed
_CLOSERS = "\"'\u201d\u2019\u00bb)]\u300d\u300f\uff09\u3011"
# A number in brackets right after the mark is a reference to a source and goes with its sentence.
_END = re.compile(rf"[.!?\u2026{_FULL_WIDTH}]+(?:\[\d+\]|[{re.escape(_CLOSERS)}])*")
_ABBREVIATIONS = word_set(
    """
    mr mrs ms dr prof rev hon gen col lt sgt capt cmdr gov sen rep st mt ft jr sr inc ltd corp co
    llc plc vs etc eg ie cf al approx dept est fig figs vol ed eds pp p no nos art sec ch jan feb
    mar apr jun jul aug sept sep oct nov dec mon tue wed thu fri sat sun u.s u.k u.n e.u u.s.a d.c
    e.g i.e a.m p.m b.c a.d ph.d
    """
)
_STARTERS = word_set(
    """
    the a an in on at it its he she they we i you this that these those but and or so for as if when
    while after before since there here his her their our my one some many most what who how why
    where however meanwhile moreover according although because by from with to
    """
)
_ALWAYS_OPEN = word_set(
    """
    mr mrs ms dr prof gen col lt sgt capt gov sen rep st mt rs vs eg ie e.g i.e
    """
)
_BEFORE_NUMBERS = word_set("no nos fig figs vol pp p sec ch art")


_CAMEL = re.compile(r"[a-z]{1,2}[A-Z]")  # iPhone, eBay, xAI: may begin a sentence


def sentence_spans(text: str, start: int = 0, end: int | None = None) -> list[Span]:
    """The sentences of ``text[start:end]`` as half-open offsets into ``text``.

    In order, trimmed of white space, without overlap; together they miss nothing but white space. A
    newline always ends a sentence.
    """
    end = len(text) if end is None else end
    spans: list[Span] = []
    line_start = start
    while line_start <= end:
        line_end = text.find("\n", line_start, end)
        line_end = end if line_end < 0 else line_end
        spans.extend(_line_sentences(text, line_start, line_end))
        line_start = line_end + 1
    return spans


def _line_sentences(text: str, start: int, end: int) -> Iterator[Span]:
    begin = start
    for match in _END.finditer(text, start, end):
        if _ends_sentence(text, begin, match, end):
            yield from _trimmed(text, begin, match.end())
            begin = match.end()
    yield from _trimmed(text, begin, end)


def _trimmed(text: str, start: int, end: int) -> Iterator[Span]:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start < end:
        yield start, end


def _ends_sentence(text: str, begin: int, match: re.Match[str], end: int) -> bool:
    after = match.end()
    if after >= end:
        return True
    mark = match.group()
    if mark[0] in _FULL_WIDTH:
        # A quoted sentence inside another one: what follows the closing bracket goes on with it.
        return mark[-1] not in "\u300d\u300f" or not text[after].isalpha()
    if not text[after].isspace():
        return False
    follow = text[after:end].lstrip()
    # "... he asked. and left": a lower-case letter goes on with the sentence.
    opener = follow.lstrip("\"'\u201c\u2018\u00ab([`-\u2013\u2014\u2022 ")[:1]
    if not opener or (opener.islower() and not _CAMEL.match(follow)):
        return not opener
    return mark[0] != "." or len(mark.rstrip(_CLOSERS)) > 1 or not _abbreviation(text, begin, match, follow)


def _abbreviation(text: str, begin: int, match: re.Match[str], follow: str) -> bool:
    """Whether the full stop at ``match`` belongs to an abbreviation and the sentence goes on."""
    before = re.search(r"[\w.]+$", text[begin : match.start()])
    if before is None:
        return False
    word = before.group().lower().strip(".")
    next_word = re.match(r"\W*(\w+)", follow)
    starter = next_word is not None and next_word.group(1).lower() in _STARTERS
    if word in _ALWAYS_OPEN:
        return True
    if word in _BEFORE_NUMBERS:
        # "No. 5" is one thing; "The answer is no. They left." is two sentences.
        return bool(re.match(r"\d|[IVX]+\b(?!\s[a-z])", follow))
    if word in _ABBREVIATIONS or (len(word) == 1 and word.isalpha() and before.group().isupper()):
        return not starter
    return False


# ------------------------------------------------------------------------------------------- words

_WORD = re.compile(r"[^\W_]+(?:[.'\u2019][^\W_]+)*|[$\u20ac\u00a3\u20b9%]")
_STOP = word_set(
    """
    a about above after again all also am an and any are as at be because been before being below
    between both but by can could did do does doing down during each few for from further had has
    have having he her here hers him his how i if in into is it its itself just me might more most
    must my no nor not now of off on once only or other our out over own per same shall she should
    so some such than that the their theirs them then there these they this those through to too
    under until up upon us very was we were what when where which while who whom whose why will with
    would you your s t re ve ll d m don doesn didn isn aren wasn weren $ % say says said tell
    article articles text document documents source sources according
    """
)


@dataclass(frozen=True, slots=True)
class Word:
    """A word as it stands in a text, and its stem for comparison."""

    text: str
    stem: str
    start: int
    end: int

    @property
    def is_stop(self) -> bool:
        return self.text.lower() in _STOP


def words(text: str) -> list[Word]:
    """The words of a text in order, numbers and currency signs included."""
    return [Word(m.group(), stem(m.group()), m.start(), m.end()) for m in _WORD.finditer(text)]


def word_count(text: str) -> int:
    """How many words a text has as people count them: what stands between spaces, but for lone marks.

    Text that was prepared for machines has a space before every comma.
    """
    return sum(any(c.isalnum() for c in word) for word in text.split())


def spellings(text: str) -> set[str]:
    """The same words once each, as they are spelled."""
    return set(_WORD.findall(text))


@lru_cache(maxsize=2048)  # the questions of a list meet the same passages
def stems(text: str) -> frozenset[str]:
    """The stems of the same words."""
    return frozenset(map(stem, spellings(text)))


def content_words(text: str) -> list[Word]:
    """The words that carry meaning: neither stop words nor lone signs."""
    return [word for word in words(text) if not word.is_stop]


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """A form in which inflections of an English word are equal (Porter 2; accents and case are dropped)."""
    plain = fold(word).replace("\u2019", "'")
    plain = plain.removesuffix("'s").removesuffix("'")
    if plain.isascii() and plain.isalpha():
        with _stemming:
            return str(_stemmer().stemWord(plain))
    return plain


@lru_cache(maxsize=65536)
def fold(text: str) -> str:
    """Case and accents dropped."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in decomposed if not unicodedata.combining(c))


_stemming = threading.Lock()  # a stemmer keeps the word that it is at in itself


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    from Stemmer import Stemmer

    return Stemmer("english", 0)  # ``stem`` remembers for it


# ----------------------------------------------------------------------------------------- wording

_COPY = 0.8  # of their pairs of neighbouring words, what two texts share that say the same


@dataclass(frozen=True, slots=True)
class Wording:
    """How a text is worded: its numbers and names, and its pairs of neighbouring words."""

    text: str
    told: frozenset[str]

    @property
    def pairs(self) -> frozenset[tuple[str, str]]:
        return _pairs(self.text)

    def is_copy_of(self, other: Wording) -> bool:
        """Whether both say the same in nearly the same words.

        Copies that differ in a number or a name are no copies: sources that disagree look like this.
        """
        # Most texts tell of other things, which is seen at once; stems take their time.
        if self.told != other.told:
            return False
        return len(self.pairs & other.pairs) > _COPY * max(1, len(self.pairs | other.pairs))


@lru_cache(maxsize=2048)  # the questions of a list meet the same passages
def wording(text: str) -> Wording:
    """What ``Wording.is_copy_of`` compares."""
    return Wording(text, frozenset(w for w in _WORD.findall(text) if not w.islower()))


@lru_cache(maxsize=2048)
def _pairs(text: str) -> frozenset[tuple[str, str]]:
    return frozenset(pairwise(w.stem for w in words(text)))


# ------------------------------------------------------------------------------------------- names

_CAPITALS = "A-Z" + "".join(c for c in map(chr, range(0xC0, 0x530)) if c.isupper())
_NAME_WORD = (
    r"(?:(?:[A-Z]\.){2,}|(?:Mr|Mrs|Ms|Dr|St|[A-Z])\.(?=\s[A-Z])"
    rf"|[{_CAPITALS}][\w&\u2019'-]*|[a-z]+[A-Z][\w&]*)"
)
_NAME = re.compile(
    rf"(?<!\w){_NAME_WORD}(?:(?:[ -]|\s(?:of|de|van|von|al|bin|the|and|&)\s(?=[A-Z])){_NAME_WORD})*"
)
_NOT_NAMES = word_set(
    """
    the a an in on at it its he she they we i you this that these those but and or so for as if when
    while after before since there here his her their our my one some many most what who whom whose
    which how why where is are was were do does did has have had can could will would should may
    might list name give tell describe explain january february march april may june july august
    september october november december monday tuesday wednesday thursday friday saturday sunday
    """
)


def names(text: str) -> list[Span]:
    """Runs of capitalised words that are likely names; a lone word that opens a sentence is not one."""
    found: list[Span] = []
    openings = {s for s, _ in sentence_spans(text)}
    for match in _NAME.finditer(text):
        start, end = match.span()
        first = re.match(r"\S+", text[start:end])
        while first and first.group().lower().strip("'\u2019") in _NOT_NAMES:
            start += first.end()
            while start < end and text[start] in " .-":
                start += 1
            first = re.match(r"\S+", text[start:end])
        # "Jensen Huang's company": the name is Jensen Huang.
        end -= 2 if text[start:end].endswith(("'s", "\u2019s")) else 0
        if start >= end:
            continue
        name = text[start:end]
        # "Spending rose": capitalised only because the sentence begins there.
        if start in openings and " " not in name and name[1:].islower() and not _repeated(text, name, start):
            continue
        found.append((start, end))
    return found


def _repeated(text: str, name: str, start: int) -> bool:
    other = text.find(name, start + len(name))
    return other > 0


# ----------------------------------------------------------------------------- numbers and amounts

Kind = Literal["money", "percent", "measure", "count", "year"]

_SCALE = {
    "hundred": 1e2, "thousand": 1e3, "k": 1e3, "million": 1e6, "mn": 1e6, "m": 1e6, "mio": 1e6, "billion":
    1e9, "bn": 1e9, "b": 1e9, "trillion": 1e12, "tn": 1e12, "lakh": 1e5, "crore": 1e7,
}  # fmt: skip
_SMALL = {
    w: float(n)
    for n, w in enumerate(
        """
        zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
        fifteen sixteen seventeen eighteen nineteen twenty
        """.split()
    )
} | {
    "thirty": 30.0,
    "forty": 40.0,
    "fifty": 50.0,
    "sixty": 60.0,
    "seventy": 70.0,
    "eighty": 80.0,
    "ninety": 90.0,
}
_CURRENCY = {
    "$": "USD", "us$": "USD", "usd": "USD", "dollar": "USD", "dollars": "USD", "\u20ac": "EUR", "eur":
    "EUR", "euro": "EUR", "euros": "EUR", "\u00a3": "GBP", "gbp": "GBP", "pound": "GBP", "pounds": "GBP",
    "\u20b9": "INR", "rs": "INR", "inr": "INR", "rupees": "INR", "yen": "JPY", "\u00a5": "JPY", "yuan":
    "CNY",
}  # fmt: skip
_UNITS = {
    "tb": ("B", 1e12), "terabyte": ("B", 1e12), "terabytes": ("B", 1e12), "gb": ("B", 1e9), "gigabyte":
    ("B", 1e9), "gigabytes": ("B", 1e9), "pb": ("B", 1e15), "petabytes": ("B", 1e15), "mb": ("B", 1e6),
    "megabytes": ("B", 1e6), "tb/s": ("B/s", 1e12), "gb/s": ("B/s", 1e9), "w": ("W", 1.0), "watt": ("W",
    1.0), "watts": ("W", 1.0), "kw": ("W", 1e3), "kilowatt": ("W", 1e3), "kilowatts": ("W", 1e3), "mw":
    ("W", 1e6), "megawatt": ("W", 1e6), "megawatts": ("W", 1e6), "gw": ("W", 1e9), "gigawatt": ("W", 1e9),
    "gigawatts": ("W", 1e9), "kwh": ("Wh", 1e3), "mwh": ("Wh", 1e6), "gwh": ("Wh", 1e9), "twh": ("Wh",
    1e12), "km": ("m", 1e3), "kilometre": ("m", 1e3), "kilometres": ("m", 1e3), "kilometer": ("m", 1e3),
    "kilometers": ("m", 1e3), "metre": ("m", 1.0), "metres": ("m", 1.0), "meter": ("m", 1.0), "meters":
    ("m", 1.0), "mile": ("m", 1609.344), "miles": ("m", 1609.344), "acre": ("acre", 1.0), "acres":
    ("acre", 1.0), "tonne": ("kg", 1e3), "tonnes": ("kg", 1e3), "kg": ("kg", 1.0), "year": ("year", 1.0),
    "years": ("year", 1.0), "month": ("month", 1.0), "months": ("month", 1.0), "day": ("day", 1.0),
    "days": ("day", 1.0), "hour": ("hour", 1.0), "hours": ("hour", 1.0), "week": ("week", 1.0), "weeks":
    ("week", 1.0),
}  # fmt: skip

_THOUSANDS = ",\u00a0\u2009\u202f"  # what stands between the thousands, narrow and unbroken spaces included
# Not a part of a longer number with several points (a version, 1.000.000), which no one reading can settle.
_NUMERAL = rf"(?:\d{{1,3}}(?:[{_THOUSANDS}]\d{{2,3}})+(?:\.\d+)?|\d+(?:\.\d+)?)(?!\d|[.,]\d)"
_SCALE_WORDS = "|".join(sorted(_SCALE, key=len, reverse=True))
_ROUND = "hundred|thousand|million|billion|trillion|lakh|crore"
_TENS = "twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
_AMOUNT = re.compile(
    r"(?P<sign>(?:US\$|[$\u20ac\u00a3\u20b9\u00a5]|\b(?:USD|EUR|GBP|INR|Rs\.?))\s?)?"
    # Digits inside a word or a name ("H100", "COVID-19") are no number; after a sign anything goes.
    rf"(?P<number>(?(sign)|(?<![\w.,])(?<![A-Za-z]-)){_NUMERAL}"
    rf"|\b(?:{_TENS})[\s-](?:one|two|three|four|five|six|seven|eight|nine)\b|\b(?:{'|'.join(_SMALL)})\b"
    rf"|\b(?:half\san?|an?)(?=[\s-](?:{_ROUND})\b))"
    rf"(?:(?P<gap>[\s-]?)(?P<scale>{_SCALE_WORDS})\b(?:[\s-](?P<scale2>{_SCALE_WORDS})\b)?)?"
    r"(?:[\s-]?(?P<unit>%|per\s?cent\b|percentage\spoints?\b|(?:US|U\.S\.)\sdollars?\b|[A-Za-z/]+\b))?",
    re.IGNORECASE,
)


_BETWEEN_ENDS = re.compile(r"\s?[-\u2013\u2014]\s?|\s(?:to|or)\s")


@dataclass(frozen=True, slots=True)
class Amount:
    """A number found in text, in base units: ``$600bn`` is value 6e11, kind money, unit USD."""

    start: int
    end: int
    value: float
    kind: Kind
    unit: str


def amounts(text: str) -> list[Amount]:
    """The numbers in a text with their scale and unit; a bare 1900...2100 is a year.

    What only one end of a range has ("$10-12 billion", "3 to 4 years") holds for both.
    """
    matches = list(_AMOUNT.finditer(text))
    found = [_amount(match) for match in matches]
    for n in range(len(found) - 1):
        if _is_range(text, found[n], found[n + 1]):
            found[n], found[n + 1] = _range(found[n], found[n + 1], *map(_figure, matches[n : n + 2]))
    return found


def _is_range(text: str, low: Amount, high: Amount) -> bool:
    between = text[low.end : high.start]
    if between.strip() == "and":
        return text[: low.start].rstrip().lower().endswith("between")
    return bool(_BETWEEN_ENDS.fullmatch(between))


def _range(low: Amount, high: Amount, first: float, second: float) -> tuple[Amount, Amount]:
    """The ends of a range; ``first`` and ``second`` are their numbers as written, without a scale."""
    if "year" in (low.kind, high.kind) or not first < second or low.value != first:
        return low, high
    scaled = replace(low, value=first * (high.value / second))
    if low.kind == "money" and high.kind in ("count", "money"):
        return scaled, replace(high, kind="money", unit=high.unit or low.unit)
    return (replace(scaled, kind=high.kind, unit=high.unit) if low.kind == "count" else low), high


def _figure(match: re.Match[str]) -> float:
    return _number(match["number"])


def _amount(match: re.Match[str]) -> Amount:
    value = _number(match["number"])
    scale, unit_word, end = match["scale"], (match["unit"] or "").lower(), match.end("number")
    priced = bool(match["sign"]) or unit_word.rpartition(" ")[2] in _CURRENCY
    if scale and (len(scale) > 1 or priced or _is_scale_letter(match["gap"], scale)):
        for part in (scale, match["scale2"]):
            value *= _SCALE[part.lower()] if part else 1.0
        end = match.end("scale2") if match["scale2"] else match.end("scale")
    sign = (match["sign"] or "").strip().lower().rstrip(".")
    if sign:
        return Amount(match.start(), end, value, "money", _CURRENCY[sign])
    currency = _CURRENCY.get(unit_word.split()[-1] if unit_word else "")
    if currency:
        return Amount(match.start(), match.end(), value, "money", currency)
    if re.fullmatch(r"%|per\s?cent|percentage\spoints?", unit_word):
        return Amount(match.start(), match.end(), value, "percent", "%")
    if unit_word in _UNITS:
        unit, factor = _UNITS[unit_word]
        return Amount(match.start(), match.end(), value * factor, "measure", unit)
    if re.fullmatch(r"(?:19|20)\d\d", match["number"]) and not scale:
        return Amount(match.start("number"), match.end("number"), value, "year", "year")
    return Amount(match.start("number"), end, value, "count", "")


def _is_scale_letter(gap: str, letter: str) -> bool:
    """Whether a letter that may also be a unit is a scale: "7B" and "5k" are, "400m" and "3 M" are not."""
    return not gap and letter in "BKMk"


def _number(numeral: str) -> float:
    if numeral[0].isdigit():
        return float(re.sub(rf"[{_THOUSANDS}]", "", numeral))
    parts = re.split(r"[\s-]", numeral.lower())
    if parts[-1] in ("a", "an"):
        return 0.5 if parts[0] == "half" else 1.0
    return sum(_SMALL[part] for part in parts)


# ------------------------------------------------------------------------------------------- dates

_MONTHS = {
    name: n
    for n, full in enumerate(
        """
        january february march april may june july august september october november december
        """.split(),
        start=1,
    )
    for name in (full, full[:3])
} | {"sept": 9}
_MONTH = r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"  # noqa: E501
_DATES = [
    re.compile(r"\b(?P<year>(?:19|20)\d\d)-(?P<m>\d\d)-(?P<day>\d\d)(?!\d)"),
    re.compile(
        rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH},?\s+(?P<year>(?:1[5-9]|20)\d\d)\b", re.I
    ),
    re.compile(rf"\b{_MONTH}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year>(?:1[5-9]|20)\d\d)\b", re.I),
    re.compile(rf"\b{_MONTH},?\s+(?:of\s+)?(?P<year>(?:1[5-9]|20)\d\d)\b", re.I),
    re.compile(rf"\b(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\s+{_MONTH}(?!\w)", re.I),
    re.compile(rf"\b{_MONTH}\s+(?P<day>\d{{1,2}})(?:st|nd|rd|th)?\b", re.I),
    re.compile(r"\b(?P<year>(?:1[5-9]|20)\d\d)\b"),
]


@dataclass(frozen=True, slots=True)
class Date:
    """A date found in text; parts that were not given are ``None``. Monday is weekday 0."""

    start: int
    end: int
    year: int | None
    month: int | None
    day: int | None
    weekday: int | None = None


def dates(text: str) -> list[Date]:
    """The dates in a text, in order; each stretch of text is read once, in its longest form."""
    found: list[Date] = []
    taken: list[Span] = []
    for pattern in _DATES:
        for match in pattern.finditer(text):
            if any(match.start() < e and s < match.end() for s, e in taken):
                continue
            date = _date(match)
            if date is not None:
                found.append(date)
                taken.append(match.span())
    return sorted(found, key=lambda d: d.start)


def _date(match: re.Match[str]) -> Date | None:
    parts = match.groupdict()
    year = int(parts["year"]) if parts.get("year") else None
    month = _MONTHS.get((parts.get("month") or "").lower()) or (int(parts["m"]) if parts.get("m") else None)
    day = int(parts["day"]) if parts.get("day") else None
    if (month and not 1 <= month <= 12) or (day and not 1 <= day <= 31):
        return None
    if match.re is _DATES[6] and re.match(
        r"\s?(?:%|MW|GW|TWh|million|billion|people|km|jobs)", match.string[match.end() :]
    ):
        return None
    return Date(match.start(), match.end(), year, month, day)


# ------------------------------------------------------------------------ dates as a reader dates them

_WEEKDAYS = {
    name: n for n, name in enumerate("monday tuesday wednesday thursday friday saturday sunday".split())
}
_WEEKDAY = re.compile(rf"\b(?P<which>next\s+|last\s+)?(?P<day>{'|'.join(_WEEKDAYS)})\b", re.IGNORECASE)
_RELATIVE = re.compile(
    r"\b(?:(?P<day>yesterday|today|tomorrow)|(?P<which>last|this|next)\s+(?P<part>year|month))\b", re.I
)
_LONE_MONTH = re.compile(
    r"\b(?:in|since|until|by|during|early|late|mid|of|last|next|from|to|and|through|between)[\s-]"
    rf"(?P<span>{'|'.join(m.capitalize() for m in _MONTHS if len(m) > 3 or m == 'may')})\b(?!\s+\d)"
)
_AHEAD = re.compile(r"\b(?:will|would|next|plans?|planned|due|expected|scheduled|upcoming)\b", re.IGNORECASE)


def dated(text: str, published: str | None = None) -> list[Date]:
    """``dates``, and the months and weekdays named alone; what is said relative to the day of publication
    (an ISO date) is resolved against it: "on Monday", "yesterday", "last year".
    """
    found = dates(text)
    day = _iso_day(published)
    for match in _LONE_MONTH.finditer(text):
        found.append(Date(*match.span("span"), None, _MONTHS[match["span"].lower()], None))
    for match in _WEEKDAY.finditer(text):
        found.append(_on_weekday(match, day, ahead=bool(_AHEAD.search(text))))
    if day:
        found.extend(_relative(match, day) for match in _RELATIVE.finditer(text))
    free = [d for n, d in enumerate(found) if not any(e.start < d.end and d.start < e.end for e in found[:n])]
    return sorted(free, key=lambda d: d.start)


def _iso_day(published: str | None) -> dt.date | None:
    try:
        return dt.date.fromisoformat((published or "")[:10])
    except ValueError:
        return None


def _on_weekday(match: re.Match[str], day: dt.date | None, *, ahead: bool) -> Date:
    weekday = _WEEKDAYS[match["day"].lower()]
    if day is None:
        return Date(*match.span(), None, None, None, weekday)
    # The last such day up to publication, or the next one where the sentence looks ahead.
    step = (weekday - day.weekday()) % 7 if ahead else -((day.weekday() - weekday) % 7)
    on = day + dt.timedelta(days=step)
    return Date(*match.span(), on.year, on.month, on.day, weekday)


def _relative(match: re.Match[str], day: dt.date) -> Date:
    if match["day"]:
        on = day + dt.timedelta(days={"yesterday": -1, "today": 0, "tomorrow": 1}[match["day"].lower()])
        return Date(*match.span(), on.year, on.month, on.day)
    step = {"last": -1, "this": 0, "next": 1}[match["which"].lower()]
    if match["part"].lower() == "year":
        return Date(*match.span(), day.year + step, None, None)
    months = day.year * 12 + day.month - 1 + step
    return Date(*match.span(), months // 12, months % 12 + 1, None)
