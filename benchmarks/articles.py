"""News articles without end, the same for the same seed: what the benchmarks of size and of peers read.

Every article is about one project with a name of its own, and holds one sentence that answers one question
about it; around that stand sentences of its beat, people, places, companies, figures and dates, which other
articles share. One in eight is a near-copy: another publisher's print of an earlier article, with a sentence
less and a line of its own. All of the text is ours.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache

from kb.types import Document, Passage

COPIES = 8
"""One article in so many is a near-copy of an earlier one."""

_FIRST = "Ida Lene Piet Nora Ada Jo Max Ruth Owen Mara Tomas Ines Karl Vera Sami Elin Hugo Zora Rafe".split()
_BEATS = {
    "transport": (
        "the tram line, the ferry, the night bus, the harbour bridge, the ring road, the station hall",
        "drivers, commuters, lorry firms, cyclists, dockers, signal engineers",
        "closed for repairs, ran late for a week, reopened to traffic, was widened, lost its licence",
    ),
    "energy": (
        "the wind farm, the substation, the gas store, the heat network, the solar field, the tidal turbine",
        "grid planners, households, turbine crews, fitters, regulators, tenants",
        "fed power to the grid, tripped during the storm, was connected early, missed its target",
    ),
    "health": (
        "the children's clinic, the ambulance service, the vaccine trial, the dialysis ward, the blood bank",
        "nurses, patients, surgeons, carers, pharmacists, midwives",
        "took in more patients, ran short of beds, was praised by inspectors, hired staff abroad",
    ),
    "courts": (
        "the fraud trial, the appeal, the inquest, the land dispute, the cartel case, the libel suit",
        "judges, jurors, witnesses, lawyers, claimants, clerks",
        "was adjourned twice, ended in a settlement, heard its last witness, was sent back, drew a crowd",
    ),
    "technology": (
        "the data centre, the chip plant, the search engine, the robot fleet, the satellite link",
        "engineers, investors, developers, start-ups, testers, buyers",
        "doubled its capacity, recalled a batch, passed an audit, moved to new servers, cut its prices",
    ),
    "farming": (
        "the orchard, the dairy co-operative, the seed bank, the fish farm, the vineyard, the canal",
        "growers, herders, millers, vets, pickers, beekeepers",
        "lost part of its harvest, flowered two weeks early, sold out by noon, dried up",
    ),
    "culture": (
        "the opera house, the film archive, the town library, the sculpture park, the choir, the book fair",
        "visitors, curators, singers, painters, translators, donors",
        "sold every ticket, lent out its treasures, was restored, cancelled a season",
    ),
    "sport": (
        "the rowing club, the velodrome, the marathon, the women's league, the ice rink, the climbing hall",
        "fans, coaches, referees, sponsors, runners, groundskeepers",
        "broke its own record, was sold to a rival, banned fireworks, moved the final",
    ),
}
_CAUSES = (
    "after a long dispute; because of frost; for lack of money; at the request of residents; under a new law;"
    " against the advice of its auditors; with help from the union; in spite of a strike; after a vote;"
    " for the first time in a decade"
).split("; ")
_VERBS = "welcomed, doubted, criticised, defended, postponed, praised, questioned, explained".split(", ")
_MONTHS = ("January February March April May June July August September October November December").split()


@dataclass(frozen=True, slots=True)
class Article:
    """A document with its passages (its paragraphs), and a question that the sentence ``answer`` answers."""

    document: Document
    passages: tuple[Passage, ...]
    question: str
    answer: str


def articles(count: int, seed: int = 1) -> Iterator[Article]:
    """The first ``count`` articles; a longer run begins with those of a shorter one."""
    for n in range(count):
        yield article(n, seed)


def article(n: int, seed: int = 1) -> Article:
    """The article at place ``n``."""
    chance = random.Random(f"{seed} {n}")
    if n >= COPIES and n % COPIES == 0:
        return _copy(article(n - chance.randint(1, COPIES - 1), seed), n, chance)
    publisher = _skewed(chance, publishers())
    day = date(2014, 1, 1) + timedelta(days=int(4600 * chance.random()))
    things, people, deeds = (part.split(", ") for part in _BEATS[chance.choice(sorted(_BEATS))])
    project, place = f"{name(n)} project", _skewed(chance, places())
    person, company = _person(chance), _skewed(chance, companies())
    millions = f"{chance.randint(2, 989)}.{chance.randint(1, 9)}"
    answer = f"The {project} in {place} will cost {millions} million euros, said {person} of {company}."

    def sentence() -> str:
        thing, who, deed = chance.choice(things), chance.choice(people), chance.choice(deeds)
        where, when = _skewed(chance, places()), f"{chance.randint(1, 28)} {chance.choice(_MONTHS)}"
        kind = chance.randrange(4)
        if kind == 0:
            return f"{thing.capitalize()} of {where} {deed} {chance.choice(_CAUSES)}."
        if kind == 1:
            return f"On {when} {_person(chance)} {chance.choice(_VERBS)} the plan for {thing} in {where}."
        if kind == 2:
            share = chance.randint(3, 97)
            return f"A survey of {who} in {where} found that {share} percent had used {thing} since {when}."
        staff = f"{chance.randint(1, 90)},{chance.randint(0, 999):03}"
        return f"{_skewed(chance, companies())} employs {staff} {who} and supplies {thing} of {where}."

    paragraphs = []
    said_in = chance.randint(0, 4)
    for k in range(5):
        said = [sentence() for _ in range(chance.randint(4, 6))]
        if k == said_in:
            said.insert(chance.randint(0, len(said)), answer)
        paragraphs.append(" ".join(said))
    title = f"{chance.choice(things).capitalize()} of {place}: what {chance.choice(people)} expect"
    question = chance.choice(
        (
            f"How much will the {project} in {place} cost?",
            f"What is the {project} going to cost, in millions of euros?",
            f"What did {person} say the {project} will cost?",
        )
    )
    return Article(*_composed(n, title, publisher, _person(chance), day, paragraphs), question, answer)


def _copy(first: Article, n: int, chance: random.Random) -> Article:
    """Another publisher's print of an article."""
    original = first.document
    paragraphs = [passage.text for passage in first.passages]
    cut = chance.choice([k for k, text in enumerate(paragraphs) if first.answer not in text])
    paragraphs[cut] = paragraphs[cut].partition(". ")[2]
    publisher = chance.choice([p for p in publishers() if p != original.publisher])
    day = date.fromisoformat(original.published or "") + timedelta(days=1)
    paragraphs.append(f"{original.publisher} reported this first.")
    parts = _composed(n, original.title, publisher, original.author or "", day, paragraphs)
    return Article(*parts, first.question, first.answer)


def _composed(
    n: int, title: str, publisher: str, author: str, day: date, paragraphs: list[str]
) -> tuple[Document, tuple[Passage, ...]]:
    document_id = f"article-{n:07}"
    text, passages = "", []
    for ordinal, paragraph in enumerate(paragraphs):
        start = len(text)
        text += paragraph + "\n\n"
        end = start + len(paragraph)
        passages.append(Passage(document_id, ordinal, start, end, paragraph))
    return (
        Document(
            id=document_id,
            source=f"/archive/{document_id}",
            title=title,
            text=text.rstrip(),
            media_type="text/plain",
            content_hash=f"hash of {document_id}",
            author=author,
            publisher=publisher,
            published=day.isoformat(),
            language="en",
        ),
        tuple(passages),
    )


def markdown(article: Article) -> str:
    """The article as a file that can be ingested."""
    document = article.document
    heads = f"title: {document.title}\nauthor: {document.author}\npublisher: {document.publisher}\n"
    return f"---\n{heads}published: {document.published}\n---\n\n{document.text}\n"


@cache
def publishers() -> tuple[str, ...]:
    kinds = "Post, Chronicle, Herald, Echo, Observer, Courier, Wire, Gazette".split(", ")
    return tuple(f"{name(7000 + 13 * k)} {kinds[k % len(kinds)]}" for k in range(40))


@cache
def places() -> tuple[str, ...]:
    ends = "ford, burg, stad, haven, mere, field, holm, wick".split(", ")
    return tuple(name(90_000 + 17 * k)[:-1] + ends[k % len(ends)] for k in range(2500))


@cache
def companies() -> tuple[str, ...]:
    kinds = "Works, Systems, Group, Partners, Logistics, Energy".split(", ")
    return tuple(f"{name(400_000 + 23 * k)} {kinds[k % len(kinds)]}" for k in range(1200))


def _person(chance: random.Random) -> str:
    return f"{chance.choice(_FIRST)} {name(int(3000 * chance.random() ** 2) + 800_000)}"


def _skewed(chance: random.Random, names: tuple[str, ...]) -> str:
    """One of the names; the first ones far more often than the last, as in the news."""
    return names[int(len(names) * chance.random() ** 2.5)]


def name(n: int) -> str:
    """A name that can be said aloud, another one for each number below 7 million."""
    onsets = "b d f g h k l m n p r s t v br dr gr kl st tr".split()
    vowels = "a e i o u ae ei".split()
    codas = "n r l s m".split()
    n, onset = divmod(n * 7919 % 6_860_000, len(onsets))
    n, vowel = divmod(n, len(vowels))
    n, onset2 = divmod(n, len(onsets))
    n, vowel2 = divmod(n, len(vowels))
    n, coda = divmod(n, len(codas))
    said = onsets[onset] + vowels[vowel] + onsets[onset2] + vowels[vowel2] + codas[coda]
    while n:
        n, onset = divmod(n, len(onsets))
        said += vowels[(n + onset) % len(vowels)] + onsets[onset]
    return said.capitalize()
