"""The same question in other words, as people ask it who have not seen the text.

Questions that were written beside a paragraph borrow its words, and what is fitted to them trusts shared
words too much. Here a question gets the words of someone else: another turn of phrase ("who wrote" for "the
author of"), or synonyms in their commonest sense (WordNet 3.0).
"""

from __future__ import annotations

import random
import re

from benchmarks.altered import Swap, Thesaurus
from kb.text import content_words

_AGENTS = {
    "wrote": "author",
    "invented": "inventor",
    "founded": "founder",
    "established": "founder",
    "directed": "director",
    "created": "creator",
    "owns": "owner",
    "owned": "owner",
    "designed": "designer",
    "discovered": "discoverer",
    "built": "builder",
    "led": "leader",
    "leads": "leader",
    "produced": "producer",
    "composed": "composer",
    "won": "winner",
    "runs": "head",
    "published": "publisher",
    "developed": "developer",
    "makes": "maker",
    "made": "maker",
    "wins": "winner",
    "coached": "coach",
    "commanded": "commander",
    "killed": "killer",
    "painted": "painter",
}
_MEASURES = {
    "tall": "height",
    "high": "height",
    "long": "length",
    "big": "size",
    "large": "size",
    "old": "age",
    "far": "distance",
    "deep": "depth",
    "wide": "width",
    "heavy": "weight",
    "fast": "speed",
}
_AGENT = "|".join(_AGENTS)
_MEASURE = "|".join(_MEASURES)
_DONE = r"born|built|founded|established|created|published|released|discovered|formed|opened|completed|signed"

# A question that matches a pattern may be asked in each of the ways; ``agent`` and ``measure`` are looked up.
_TURNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (
        rf"who (?P<agent>{_AGENT}) (?P<x>.+)",
        ("who is the {agent} of {x}", "{agent} of {x}", "by whom was {x} {verb}"),
    ),
    (
        rf"(?:when|(?:in )?(?:what|which) year) (?:was|were) (?P<x>.+?) (?P<done>{_DONE})",
        (
            "what year was {x} {done}",
            "when {x} was {done}",
            "{x} {done} date",
            "in which year was {x} {done}",
        ),
    ),
    (
        r"(?:when|(?:in )?(?:what|which) year) did (?P<x>.+)",
        ("in which year did {x}", "what was the date that {x}", "at what time did {x}", "{x} date"),
    ),
    (
        r"when (?P<x>(?:is|was|were|are|does|do) .+)",
        ("what year {x}", "on what date {x}", "at what time {x}"),
    ),
    (
        r"how many people live in (?P<x>.+)",
        ("population of {x}", "what is the population of {x}", "number of inhabitants of {x}"),
    ),
    (r"how many (?P<x>.+)", ("what number of {x}", "number of {x}", "what is the number of {x}")),
    (
        r"where (?:is|are|was|were) (?P<x>.+?)(?: located| situated| based)?",
        ("location of {x}", "in what place is {x}", "what is the location of {x}", "where can {x} be found"),
    ),
    (r"where did (?P<x>.+)", ("in what place did {x}", "at which location did {x}")),
    (r"how much (?:does|do|did) (?P<x>.+?) cost", ("price of {x}", "what is the price of {x}", "{x} cost")),
    (
        rf"how (?P<measure>{_MEASURE}) (?:is|are|was|were) (?P<x>.+)",
        ("what is the {measure} of {x}", "{measure} of {x}", "{x} {measure}"),
    ),
    (
        r"why (?:did|does|do|is|was|are|were) (?P<x>.+)",
        ("what is the reason that {x}", "for what reason {x}", "explain why {x}", "what explains that {x}"),
    ),
    (
        r"what (?:is|was|are|were) the (?P<x>.+) of (?P<y>.+)",
        ("{x} of {y}", "{y} {x}", "tell me the {x} of {y}", "which is the {x} of {y}"),
    ),
    (r"what (?:is|are|was|were) (?P<x>.+)", ("{x}", "tell me about {x}", "explain {x}", "describe {x}")),
    (
        r"who (?:is|was) (?P<x>.+)",
        ("{x}", "which person is {x}", "name of {x}", "what is the name of {x}", "tell me who {x} is"),
    ),
    (r"who (?P<x>.+)", ("which person {x}", "name the one who {x}", "what is the name of the one who {x}")),
    (
        r"(?:what|which) (?!does|do|did|can|could|will|would|should|has|have|had)(?P<x>\w+ .+)",
        ("name the {x}", "tell me which {x}", "which {x}", "what {x}"),
    ),
    (r"how (?P<x>(?:did|does|do|is|was|are|were|can) .+)", ("in what way {x}", "by what means {x}")),
)
_PATTERNS = [(re.compile(rf"{pattern}$", re.IGNORECASE), ways) for pattern, ways in _TURNS]


def reworded(question: str, thesaurus: Thesaurus, rng: random.Random) -> str:
    """The question in other words: another turn of phrase, synonyms, or both; as it was if there is none."""
    chance = rng.random()
    if chance > 0.4:
        question = with_synonyms(question, thesaurus, rng)
    return turned(question, rng) if chance < 0.65 else question


def turned(question: str, rng: random.Random) -> str:
    bare = " ".join(question.split()).rstrip("? .")
    for pattern, ways in _PATTERNS:
        match = pattern.match(bare)
        if match:
            parts = match.groupdict()
            verb = parts.get("agent", "").lower()
            return rng.choice(ways).format(
                x=parts["x"],
                y=parts.get("y"),
                done=parts.get("done"),
                verb={"wrote": "written", "made": "made", "led": "led"}.get(verb, verb),
                agent=_AGENTS.get(verb),
                measure=_MEASURES.get(parts.get("measure", "").lower()),
            )
    return question


def with_synonyms(question: str, thesaurus: Thesaurus, rng: random.Random) -> str:
    """Up to three plain words of the question exchanged for words that mean the same."""
    found = [(w.text, same) for w in content_words(question) if (same := thesaurus.synonyms(w.text))]
    for old, same in rng.sample(found, min(len(found), rng.randint(1, 3))):
        if old.islower():
            question = Swap(old, rng.choice(same)).into(question)
    return question
