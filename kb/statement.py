"""A sentence read for what can be compared: its figures, dates, names and telling words, each with the words
that it belongs to.

"Revenue rose to $10 billion and backlog to $90 billion" has two figures; which one a claim on backlog must
agree with is told by the words around each, nearer ones counting more and those beyond a comma or an "and"
less. Words are compared in a form in which inflections and close synonyms are equal.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from kb.text import Amount, Date, Span, Word, amounts, dated, fold, names, stem, word_set, words

# ------------------------------------------------------------------------------------------- words

_IRREGULAR = """
    be am is are was were been; begin began begun; become became; bring brought; build built; buy
    bought; choose chose chosen; come came; cost costing; cut cutting; draw drew drawn; drive drove
    driven; eat ate; fall fell fallen; feel felt; find found; fly flew flown; forbid forbade; get got;
    give gave given; go went gone; grow grew grown; hit hitting; hold held; keep kept; know knew known;
    lead led; leave left; lend lent; lose lost; make made making; mean meant; meet met; pay paid; put
    putting; raise raising; rise rose risen; run ran; say said; see saw seen; sell sold; send sent;
    shrink shrank shrunk; sing sang sung; sit sat; speak spoke spoken; spend spent; stand stood; steal
    stole; strike struck; swear swore; take took taken; teach taught; tell told; think thought; throw
    threw; understand understood; wear wore; win won; write wrote written; man men; woman women; child
    children; person people; sue sued; bear bore; beat beaten; bind bound; blow blew blown; break broke
    broken; catch caught; deal dealt; dig dug; drink drank; fight fought; flee fled; forget forgot;
    freeze froze frozen; hang hung; hear heard; hide hid hidden; lay laid; overtake overtook; ride rode
    ridden; seek sought; shake shook; shoot shot; stick stuck; sweep swept; swim swam; swing swung; tear
    tore torn; undergo underwent; undertake undertook; wake woke; withdraw withdrew withdrawn
"""
_SYNONYMS = """
    buy purchase acquire acquisition takeover; rise increase grow growth climb jump gain surge; fall
    drop decline decrease slump shrink dip plunge; begin start commence; big large huge giant massive
    enormous; biggest largest; smallest lowest; company firm startup corporation business; film movie;
    author writer write; build construct construction; show reveal; die death; born birth; launch
    introduce introduction unveil release; car vehicle automobile; kill murder; job position; end finish
    complete conclude; help aid assist; need require; use employ; sign ink; deal agreement contract
    accord; plant factory; doctor physician; city town; annual yearly annually; quick fast rapid;
    approve back endorse; spend spending expenditure capex; reach hit; predict forecast project; worker
    employee staff; country nation; tell say state; attack assault; near nearly; aim target; shut close
    closure; make produce manufacture; important significant; hard difficult; song single track; actor
    actress; receive get; about regarding; world globe global; wage salary pay
"""


def _forms(table: str) -> dict[str, str]:
    """Stem to the stem of the first word of its group."""
    groups = [[stem(word) for word in group.split()] for group in table.split(";")]
    return {form: group[0] for group in groups for form in group}


@lru_cache(maxsize=1)
def _tables() -> tuple[dict[str, str], dict[str, str]]:
    return _forms(_IRREGULAR), _forms(_SYNONYMS)


@lru_cache(maxsize=65536)
def form(word_stem: str) -> str:
    """The form of a stem in which irregular inflections and close synonyms are equal."""
    irregular, synonyms = _tables()
    if word_stem[:-1].isdigit() and word_stem.endswith("s"):
        return word_stem[:-1]  # the 1990s, the 1990's
    base = irregular.get(word_stem, word_stem)
    return synonyms.get(base, base)


def akin(one: str, forms: Iterable[str]) -> bool:
    """Whether a form, or one with the same beginning ("partner", "partnership"), is among ``forms``."""
    forms = forms if isinstance(forms, frozenset | set | dict) else set(forms)
    if one in forms:
        return True
    return len(one) >= 5 and any(
        len(other) >= 5
        and (other.startswith(one) or one.startswith(other))
        and abs(len(one) - len(other)) <= 4
        for other in forms
    )


# ------------------------------------------------------------------------------------------- slots

Kind = Literal["amount", "ordinal", "date", "name", "direction", "share"]


@dataclass(frozen=True, slots=True)
class Slot:
    """A value at a place of a sentence; ``belongs`` gives the words around it a weight, nearer ones more.

    ``sort`` is what it can be compared with: the unit of an amount, the pair of opposites of a direction.
    ``rank`` is the value of directions, shares and ordinals.
    """

    kind: Kind
    sort: str
    start: int
    end: int
    belongs: Mapping[str, float]
    amount: Amount | None = None
    date: Date | None = None
    rank: float = 0.0

    def affinity(self, other: Slot) -> float:
        """How much of what this slot belongs to is near the other one too; 0...1."""
        shared = [(weight, other.belongs[w]) for w, weight in self.belongs.items() if w in other.belongs]
        total = sum(weight for weight, _ in shared)
        return sum(a * b for a, b in shared) / total if total else 0.0

    def grounded(self, forms: frozenset[str]) -> float:
        """The share of what this slot belongs to that is among ``forms``; 0...1."""
        total = sum(self.belongs.values())
        return sum(w for f, w in self.belongs.items() if akin(f, forms)) / total if total else 1.0


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence with its content forms in order and its slots."""

    text: str
    words: tuple[Word, ...]
    content: tuple[tuple[str, int], ...]  # form and index in words
    forms: frozenset[str]
    slots: tuple[Slot, ...]

    def of(self, kind: Kind) -> list[Slot]:
        return [slot for slot in self.slots if slot.kind == kind]

    def form_at(self, n: int) -> str:
        """The form of the n-th word."""
        return form(self.words[n].stem)

    def said(self, slot: Slot) -> str:
        return self.text[slot.start : slot.end]


@lru_cache(maxsize=20_000)
def read(text: str, published: str | None = None) -> Statement:
    """Read a sentence; days that it names without a date are counted from ``published`` (ISO)."""
    found = tuple(words(text))
    content = tuple((form(word.stem), n) for n, word in enumerate(found) if not word.is_stop)
    reader = _Reader(text, found, content)
    dates = dated(text, published)
    figures = _figures(text, dates)
    slots = [
        *(reader.slot("date", "", (d.start, d.end), hide=figures, date=d) for d in dates),
        *(
            reader.slot("amount", f"{a.kind} {a.unit}", (a.start, a.end), hide=figures, amount=a)
            for a in figures
        ),
        *(reader.slot("name", "", span) for span in names_of(text)),
        *reader.telling(),
    ]
    return Statement(text, found, content, frozenset(f for f, _ in content), tuple(slots))


def _figures(text: str, dates: list[Date]) -> list[Amount]:
    """The amounts that are no part of a date, nor a mere "one of"."""
    return [
        a
        for a in amounts(text)
        if a.kind != "year"
        and not any(d.start <= a.start < d.end for d in dates)
        and not (a.kind == "count" and text[a.start : a.end].lower() == "one")
    ]


def names_of(text: str) -> list[Span]:
    """The names in a sentence, the lone one that may open it included, without dates."""
    found = names(text)
    opening = _opening(text)
    if opening and not any(s <= opening[0] < e for s, e in found):
        found.insert(0, opening)
    return [part for span in found for part in _name_parts(text, span)]


def _name_parts(text: str, span: Span) -> Iterator[Span]:
    """A run of capitals parted at a possessive ("NASA's January report") and without months and weekdays."""
    begin = span[0]
    for piece in re.split(r"(?<=[\w])['\u2019]s?\s", text[slice(*span)]):
        start = text.index(piece, begin)
        begin = start + len(piece)
        kept = _CALENDAR.sub("", piece).rstrip()
        if any(c.isalpha() for c in kept):
            yield start, start + len(kept)


_CALENDAR = re.compile(
    r"\s*\b(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day)$"
)

# A word with a capital that opens a sentence is a name if a possessive or a verb follows, and if it does not
# look like a word of the language.
_OPENING = re.compile(
    r"([A-Z][\w&-]+)"
    r"(?=['\u2019]s\s|\s(?:is|was|has|had|will|says?|plans|also|then|and [A-Z]|(?P<verb>[a-z]{2,})\b)"
    r"|,\s(?:meanwhile|however|too|in turn|which|who|an?|the|based)\b)"
)
_LIKE_A_WORD = re.compile(
    r"(?:ing|tion|sion|ment|ity|ness|ance|ence|ture|(?<!Reut)ers|ors|ists|ians|als|ies|ages?|ly)$"
)
PLAIN = word_set(
    """
    It He She This That There These Those What Who Which Here One Some Most All Both Each Everyone
    Nothing Nobody They We You I The A An In On At If When As But And Its His Her Their Our My Let Many
    Few Two Three No Not Such Other Others More Less Half Part Only Even Revenue Traffic Profit Profits
    Sales Prices Police Investors Analysts Inflation Demand Growth Power Water Oil Gas People Women Men
    Children Students Experts Critics Trade Output Income Costs Shares Stocks Banks Data Memory Chips
    Servers Exports Imports Wages Jobs Schools Trains Firms
    """
)


def _opening(text: str) -> Span | None:
    match = _OPENING.match(text)
    if not match or match[1] in PLAIN or _LIKE_A_WORD.search(match[1]):
        return None
    verb = match["verb"]
    is_verb = not verb or verb.endswith(("ed", "s")) or stem(verb) in _tables()[0]
    return match.span(1) if is_verb else None


_CLAUSE = re.compile(
    r"(?<!meanwhile)(?<!however),(?!\s(?:meanwhile|however)\b)|[;:()\u2013\u2014]|\b(?:and|but|while|whereas|which|who|compared|versus|after|before|from)\b"
)
_FAR = 4.0  # words that the border of a clause counts for


class _Reader:
    """Makes the slots of one sentence; knows where its clauses begin."""

    def __init__(self, text: str, found: tuple[Word, ...], content: tuple[tuple[str, int], ...]) -> None:
        self.text, self.words, self.content = text, found, content
        borders = [m.start() for m in _CLAUSE.finditer(text)]
        self.starts = [word.start for word in found]
        self.clause = [bisect_right(borders, word.start) for word in found]

    def slot(
        self,
        kind: Kind,
        sort: str,
        span: Span,
        *,
        hide: Iterable[Amount] = (),
        amount: Amount | None = None,
        date: Date | None = None,
        rank: float = 0.0,
    ) -> Slot:
        hidden = [span, *((a.start, a.end) for a in hide)]
        return Slot(kind, sort, *span, self._belongs(span, hidden), amount, date, rank)

    def _belongs(self, span: Span, hidden: list[Span]) -> dict[str, float]:
        first = max(0, bisect_right(self.starts, span[0]) - 1)
        last = max(first, bisect_right(self.starts, span[1] - 1) - 1)
        weights: dict[str, float] = {}
        for f, n in self.content:
            word = self.words[n]
            if any(s < word.end and word.start < e for s, e in hidden):
                continue
            edge = first if n < first else last
            distance = abs(n - edge) + _FAR * abs(self.clause[n] - self.clause[edge])
            weights[f] = max(weights.get(f, 0.0), 1.0 / (1.0 + distance / 3.0))
        return weights

    def telling(self) -> list[Slot]:
        """The slots of single words: directions, shares and ordinals."""
        found = []
        for n, word in enumerate(self.words):
            plain = fold(word.text)
            span = (word.start, word.end)
            limits = plain in _LIMITS and _LIMITED.match(self.text, word.end)
            for group, side in () if limits else _DIRECTIONS.get(plain, ()):
                rank = -side if self._negated(n) else side
                # "Early 2026" and "late 2025" are no opposites.
                sort = f"{group} {self._next(n)}" if plain in _OF_TIME else str(group)
                found.append(self.slot("direction", sort, span, rank=rank))
            if plain in _SHARES:
                found.append(self.slot("share", self._next(n), span, rank=_SHARES[plain]))
            if plain.endswith("est") and len(plain) > 5:
                before = fold(self.words[n - 1].text) if n else ""
                found.append(self.slot("ordinal", plain, span, rank=_ORDINALS.get(before, 1.0)))
            of = self._next(n)
            if plain in _ORDINALS and of and not (plain == "last" and of in _PERIODS):
                found.append(self.slot("ordinal", of, span, rank=_ORDINALS[plain]))
        return found

    def _negated(self, n: int) -> bool:
        return any(_NOT.fullmatch(w.text.lower()) for w in self.words[max(0, n - 3) : n])

    def _next(self, n: int) -> str:
        """The form of the first content word after the n-th word, close by."""
        return next((f for f, m in self.content if n < m <= n + 3), "")


_OF_TIME = word_set("early late earlier later")
_LIMITS = word_set("more fewer less over above under below")
_LIMITED = re.compile(r"\s(?:than\b|[$\u20ac\u00a3]?\d)")  # "more than", "over 40": the limit of an amount

_NOT = re.compile(r"not|never|\w*n['\u2019]t|cannot|without|neither|nor|failed|fails")

_ORDINALS = {
    name: float(n)
    for n, pair in enumerate(
        "first/1st second/2nd third/3rd fourth/4th fifth/5th sixth/6th seventh/7th eighth/8th".split(),
        start=1,
    )
    for name in pair.split("/")
} | {"last": -1.0}
# The last of these is mostly the one before this one.
_PERIODS = frozenset(
    map(form, map(stem, "hour day night week weekend month quarter season year decade century time".split()))
)
_SHARES = {
    word: float(n)
    for n, group in enumerate(
        (
            "few little",
            "some several part partly sometimes",
            "many often",
            "most mostly majority largely usually",
            "all every each always entirely everyone everything whole completely",
        ),
        start=1,
    )
    for word in group.split()
}

# Opposites: a word of the one side where the other text has one of the other side.
_OPPOSITES = """
    rise rises rose risen rising increase increases increased increasing grow grows grew grown growing growth
    climb climbs climbed climbing jump jumps jumped surge surged gain gains gained higher upward
    | fall falls fell fallen falling decrease decreases decreased decreasing decline declines declined
    declining shrink shrinks shrank shrunk shrinking drop drops dropped dropping slump slumped plunge plunged
    lower downward;
    raise raises raised raising lift lifts lifted
    | lower lowers lowered lowering cut cuts cutting reduce reduces reduced reducing;
    approve approves approved approving approval accept accepts accepted backed
    | reject rejects rejected rejecting rejection refuse refuses refused;
    support supports supported supporting | oppose opposes opposed opposing;
    win wins won winning victory | lose loses lost losing defeat;
    open opens opened opening reopen reopened | closes closed closing closure shut;
    buy buys bought buying purchase purchased acquire acquired | sell sells sold selling;
    profit profits profitable | loss losses unprofitable;
    faster quicker | slower;
    fast quick quickly | slow slowly;
    highest largest biggest greatest | lowest smallest;
    import imports imported | export exports exported;
    beat beats exceeded exceed exceeds topped surpassed | miss misses missed missing;
    above over exceeding | below under beneath;
    more | fewer less;
    before prior | after following;
    allow allows allowed allowing permit permits permitted legal
    | ban bans banned banning forbid forbids forbidden prohibit prohibited barred illegal;
    join joins joined enter enters entered | leave leaves left quit quits;
    hire hires hired hiring | fire fires fired;
    start starts started begin begins began begun starting | stop stops stopped end ends ended halt halted;
    certain certainly confident sure | uncertain unsure doubtful;
    true | false;
    strengthen strengthens strengthened stronger | weaken weakens weakened weaker;
    strong | weak;
    good | bad;
    better | worse;
    expand expands expanded expanding | contract contracts contracted;
    longer lengthen lengthened lengthens | shorten shortened shorter;
    early earlier | late later;
    north northern | south southern;
    east eastern | west western;
    cheaper | dearer costlier;
    cheap | expensive costly;
    success succeeded succeed successful | failure failed fail unsuccessful;
    alive living | dead;
    guilty convicted | innocent acquitted;
    male man | female woman;
    include includes included including | exclude excludes excluded excluding;
    confirm confirms confirmed | deny denies denied;
    add adds added | remove removes removed;
    easy | hard difficult;
    easier | harder;
    best greatest | worst;
    small smaller | large larger;
    majority | minority;
    ahead | behind;
    maximum | minimum;
    oldest | youngest;
    older | younger;
    positive positively | negative negatively;
    public publicly | private privately;
    internal | external;
    domestic | foreign;
    same | different;
    encourage encourages encouraged | discourage discourages discouraged;
    love loves loved | hate hates hated
"""


def _directions() -> dict[str, list[tuple[int, int]]]:
    """Word to its places among the opposites: (number of the pair, side)."""
    found: dict[str, list[tuple[int, int]]] = {}
    for group, pair in enumerate(_OPPOSITES.split(";")):
        for side, side_words in zip((1, -1), pair.split("|"), strict=True):
            for word in side_words.split():
                found.setdefault(word, []).append((group, side))
    return found


_DIRECTIONS = _directions()
