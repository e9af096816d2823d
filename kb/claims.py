"""A draft taken apart into what can be checked: sentences, and the statements joined in one of them.

A statement is split off only where both sides could stand as sentences of their own, and a pronoun is
resolved only where the sentence before leaves one choice. Where either is doubtful the sentence stays as it
is: a claim that is too long is read by a person, one that we made up is not. Opinions, questions and
instructions are told apart, since no document can settle them, and so
are headings, which state nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from kb.text import Span, names, sentence_spans, word_set
from kb.types import ClaimKind


@dataclass(frozen=True, slots=True)
class Claim:
    """``text[start:end]`` of a draft; ``alone`` is the same with its subject named, as it can be searched."""

    start: int
    end: int
    alone: str
    kind: ClaimKind = "claim"


def split(text: str) -> list[Claim]:
    """What a draft says, in its order; together the claims miss only marks, joints and white space."""
    found: list[Claim] = []
    line, before = -1, ""
    for start, end in _sentences(text):
        # A subject is not carried over into the next paragraph.
        paragraph = text.count("\n", 0, start)
        before = before if paragraph == line else ""
        line = paragraph
        kind = "heading" if _is_heading(text, start, end) else kind_of(text[start:end])
        spans = _clauses(text[start:end]) if kind == "claim" else [(0, end - start)]
        first = ""
        for left, right in spans:
            clause = text[start + left : start + right]
            alone = _stand_alone(clause, first or before, text) if kind == "claim" else clause
            found.append(Claim(start + left, start + right, alone, kind))
            first = first or alone
            before = alone if kind == "claim" else ""
    return found


# --------------------------------------------------------------------------------------- sentences

# A pasted answer has its citations in it: "Sentence one. [1] Sentence two. [1][2]".
_MARKS_BEFORE = re.compile(r"^(?:\[\d+\]\s*)*(?:[-*\u2022\u25b8#>]+\s+)?")
_MARKS_AFTER = re.compile(r"(?:\s*\[\d+\])+$")
_QUOTES = "\"'\u201d\u2019\u00bb)"


def _sentences(text: str) -> Iterator[Span]:
    """The sentences, without the marks of a list or of citations around them."""
    for start, end in sentence_spans(text):
        sentence = _MARKS_AFTER.sub("", text[start:end])
        begin = start + len(sentence) - len(_MARKS_BEFORE.sub("", sentence))
        end = start + len(sentence)
        if any(c.isalnum() for c in text[begin:end]):
            yield begin, end


# ------------------------------------------------------------------------------------------- kinds

_SAID = re.compile(
    r"\b(?:sa(?:id|ys?)|told|tells?|argue[sd]?|wr(?:ote|ites?)|call(?:s|ed)|according to|believe[sd]"
    r"|warn(?:s|ed)|demand(?:s|ed)|urge[sd]?|think(?:s)?|thought|report(?:s|ed)|describe[sd]?|wants?)\b",
    re.IGNORECASE,
)
_MINE = re.compile(
    r"\b(?:in (?:my|our) (?:view|opinion)|if you ask me|to my mind)\b"
    r"|^(?:(?:and|but|so) )?(?:I|we) (?:\w+ly )?(?:think|believe|feel|hope|fear|suspect|doubt|guess|prefer"
    r"|love|hate|wish)\b"
    r"|^what an? \w+.*!$|^(?:hopefully|thankfully|sadly|frankly),? ",
    re.IGNORECASE,
)
_OUGHT = re.compile(r"\b(?:should|ought to)\b(?! have\b)", re.IGNORECASE)
_CONDITION = re.compile(r"^should\b|\b(?:if|whether|that|expected)\b.*\bshould\b", re.IGNORECASE)
_PRAISE = re.compile(
    r"\b(?:is|are|was|were|looks?|seems?|would be)\s+(?:(?:\w+ly|an?|so|quite|very|just|rather)\s+)*"
    r"(?:beautiful|ugly|wonderful|terrible|awful|horrible|disgraceful|shameful|ridiculous|absurd|amazing"
    r"|fantastic|delicious|boring|brilliant|stupid|foolish|outrageous|lovely|disgusting"
    r"|shame|disgrace|pity|mistake|joke|delight)\b",
    re.IGNORECASE,
)
_ORDER = re.compile(
    r"^(?:please|let us|let[\u2019']s|don[\u2019']t|do not|never mind|make sure|be sure|stay tuned)\b"
    r"|^(?:read|see|click|call|check|write|add|remove|consider|remember|imagine|subscribe|sign|follow|contact"
    r"|visit|send|ask|take|keep|try|use|open|download|listen|watch|join|look|tell|go|turn|put)\s+"
    r"(?:the|an?|your|our|my|this|these|it|us|me|him|her|them|to|up|here|how|what|whether|all|more|at|out)\b",
    re.IGNORECASE,
)


def kind_of(sentence: str) -> ClaimKind:
    """What a sentence is; a doubtful one is a claim. Somebody else's opinion, reported, is a claim too."""
    sentence = sentence.strip("\"'\u201c\u2018\u00ab( ")
    if sentence.rstrip(_QUOTES + " ").endswith(("?", "\uff1f", "\u061f")):
        return "question"
    if _ORDER.match(sentence):
        return "instruction"
    if _MINE.search(sentence):
        return "opinion"
    reported = _SAID.search(sentence)
    # "It should cost 4 million euros by May" says what is expected.
    ought = _OUGHT.search(sentence) and not _CONDITION.search(sentence) and not re.search(r"\d", sentence)
    return "opinion" if not reported and (ought or _PRAISE.search(sentence)) else "claim"


_LONGEST_HEADING = 12  # words


def _is_heading(text: str, start: int, end: int) -> bool:
    """Whether this is a line by itself, above others, that states nothing: no verb, no figure, no stop."""
    begin = text.rfind("\n", 0, start) + 1
    stop = text.find("\n", end)
    if stop < 0 or text[end:stop].strip() or not text[stop:].strip():
        return False
    before, line = text[begin:start].strip(), text[start:end]
    if before:
        return set(before) == {"#"}
    states = line[-1] in '.!?:;,"\u201d' or re.search(r"\d", line) or _VERB.search(line)
    return not states and len(line.split()) <= _LONGEST_HEADING


# ----------------------------------------------------------------------------------------- clauses

_VERBS = (
    "is|are|was|were|has|have|had|will|would|can|could|may|might|must|does|did|do"
    "|rose|fell|grew|shrank|spent|bought|sold|won|lost|made|took|gave|went|began|became|held|built|broke|came"
    "|left|led|met|paid|put|ran|said|saw|sent|set|stood|told|thought|wrote|cut|hit|kept|brought|drew|found|got"
    "|knew|rise|rises|falls|grows|spends|buys|sells|wins|loses|makes|takes|gives|goes|begins|becomes|holds"
    "|builds|comes|leaves|leads|pays|runs|says|sees|stands|writes|cuts|keeps|plans|expects|aims|costs|owns"
    "|uses|needs|remains|includes|employs|operates|produces|wants|works|lives|belongs|covers|serves"
)
_PARTICIPLES = "based|owned|called|named|known|located|founded|backed|related|used|made"
_VERB = re.compile(
    rf"\b(?:{_VERBS})(?:n[\u2019']t)?\b"
    rf"|(?<!\bthe )(?<!\ba )(?<!\ban )(?<!\bits )(?<!\btheir )(?<!-)\b(?!(?:{_PARTICIPLES})\b)[a-z]{{3,}}ed\b"
)
_JOINT = re.compile(r";\s+(?:(?:and|but)\s+)?|(?:,\s+|\s+)(?:and|but|while|whereas)\s+|,\s+yet\s+")
# After one of these what follows hangs on it and says less, or something else, alone.
_HANGS = re.compile(
    r"\b(?:if|when|unless|until|whether|because|since|although|though|that|which|who|whose|where|as|so"
    r"|before|after|than|while|both|either|neither|not|no|never|denied|denies)\b",
    re.IGNORECASE,
)
# ... and what was said before a semicolon, where one of these is in it.
_GOVERNS = re.compile(
    r":|\b(?:if|unless|until|whether|that|both|either|neither|denied|denies)\b", re.IGNORECASE
)
_OPENS = re.compile(r"(?:[A-Z][\w&.\u2019'-]*|[Tt]he|[Ii]ts?|[Tt]hey|[Tt]heir|[Hh]e|[Ss]he|[Hh]is|[Hh]er)\s")
_NOUNS_TO_VERB = 6


def _clauses(sentence: str) -> list[Span]:
    """The statements of a sentence as spans; a whole sentence where a split might change what is said."""
    spans: list[Span] = []
    begin = 0
    for joint in _JOINT.finditer(sentence):
        if _parts(sentence, begin, joint):
            spans.append((begin, joint.start()))
            begin = joint.end()
    return [*spans, (begin, len(sentence))]


def is_fragment(text: str) -> bool:
    """Whether a sentence has no verb that we know ("Up to 9,000.")."""
    return not _VERB.search(text)


def _parts(sentence: str, begin: int, joint: re.Match[str]) -> bool:
    left, right = sentence[begin : joint.start()], sentence[joint.end() :]
    if _is_inside(sentence, joint.start()):
        return False
    if joint.group().startswith(";"):  # it ends a statement as a full stop does, but not a thing of a list
        stated = _VERB.search(left) and _VERB.search(right.partition(";")[0])
        return bool(stated) and not _HANGS.match(right) and not _GOVERNS.search(sentence[: joint.start()])
    if _HANGS.search(sentence[: joint.start()]):
        return False
    # "..., Norvia and Halden Bank said": what stands after the last comma is no statement.
    if not _VERB.search(left.rpartition(", ")[2]) or not _OPENS.match(right):
        return False
    verb = _VERB.search(right)
    following = _JOINT.search(right)
    # Said of both sides: "A rose and B fell, the ministry said" still stands; "A rose and B, which fell" not.
    return bool(
        verb
        and 0 < len(right[: verb.start()].split()) <= _NOUNS_TO_VERB
        and not _HANGS.search(right[: verb.start()])
        and "," not in right[: verb.start()]
        and (following is None or following.start() > verb.start())
    )


def _is_inside(sentence: str, place: int) -> bool:
    """Whether a place stands in quotation marks or brackets."""
    before = sentence[:place]
    return (
        before.count('"') % 2 == 1
        or before.count("\u201c") > before.count("\u201d")
        or before.count("(") > before.count(")")
    )


# ---------------------------------------------------------------------------------------- pronouns

Referent = Literal["person", "firm", "thing"]

_KINDS_OF_FIRM = (
    "company|firm|group|startup|start-up|bank|agency|carmaker|chipmaker|retailer|airline|manufacturer|maker"
    "|operator|developer|publisher|giant|corporation"
)
_POINTER = re.compile(
    rf"(?P<it>[Ii]t|[Tt]he (?:{_KINDS_OF_FIRM}))(?P<its1>[\u2019']s)?(?=\s)|(?P<its>[Ii]ts)(?=\s)"
    r"|(?P<he>[Hh]e|[Ss]he)(?=\s)|(?P<his>[Hh]is|[Hh]er)(?=\s)"
)
_IT = word_set("it its it's it\u2019s")
_IDLE_IT = re.compile(
    r"it\s+(?:is|was|seems|appears|remains|takes?|took|looks|turned|would|will)\b[^.]*\b(?:that|to|when|before"
    r"|for|clear|likely|unclear)\b|it\s+(?:rains?|rained|snow\w*)\b",
    re.IGNORECASE,
)
_SUBJECT = re.compile(
    r"(?:The )?(?P<name>[A-Z][\w&\u2019'.-]*(?:(?: of| de| van| and| &)? [A-Z][\w&\u2019'.-]*)*)"
    r"(?:, [^,]{3,60},)? (?P<next>[a-z]+)"
)
_PERSON = re.compile(r"(?:Mr|Mrs|Ms|Dr|Prof|Sir|President|Minister|Mayor)\b\.? ")
_TALKS = re.compile(r"\b(?:said|says|told|wrote|writes|argued|called|believes|thinks|joined|married|born)\b")
_FIRM = re.compile(
    r"\b(?:Inc|Corp|Ltd|Labs?|Energy|Bank|Group|University|Ministry|Council|Agency|Union|Company|Systems"
    r"|Technologies|Airlines|Motors|Party|Commission|Court)\b"
)
_NO_SUBJECT = word_set(
    "The A An In On At It He She They We I You This That These Those There Here But And Or So If When After"
    " Before For As By To From With Some Many Most All Both Each No Not Its His Her Their Our My One Two"
)


def _stand_alone(clause: str, before: str, draft: str) -> str:
    """The clause with its pronoun replaced by the subject of what stands before, if there is no doubt."""
    pointer = _POINTER.match(clause)
    if not pointer or _IDLE_IT.match(clause):
        return clause
    subject = _subject(before, _meant(pointer), draft)
    if not subject:
        return clause
    owns = pointer["its"] or pointer["his"] or pointer["its1"]
    return subject + ("'s" if owns else "") + clause[pointer.end() :]


def _meant(pointer: re.Match[str]) -> Referent:
    if pointer["he"] or pointer["his"]:
        return "person"
    return "thing" if pointer.group().lower() in _IT else "firm"


def _subject(sentence: str, who: Referent, draft: str) -> str | None:
    """The name that opens a sentence, if it fits and no other one there could be meant instead."""
    match = _SUBJECT.match(sentence)
    if not match or match["name"].split()[0] in _NO_SUBJECT or not _VERB.search(sentence):
        return None
    name = re.sub(r"[\u2019']s$", "", match["name"])
    others = [
        sentence[s:e] for s, e in names(sentence) if s >= match.end("name") and not _is_place(sentence, s)
    ]
    if any(other not in name and not other[0].islower() for other in others):
        return None
    talks = bool(_TALKS.search(sentence[match.end("name") :][:40]))
    maybe_person = bool(_PERSON.match(name)) or (" " in name and not _FIRM.search(name))
    # A capital that only opens the sentence is no name of a company.
    plain = " " not in name and name[1:].islower() and re.search(rf"\b{re.escape(name.lower())}\b", draft)
    fits = {
        "person": maybe_person,
        "firm": not plain and not _PERSON.match(name) and not (maybe_person and talks),
        "thing": not plain and not maybe_person,
    }
    return name if fits[who] and " and " not in name else None


def _is_place(sentence: str, start: int) -> bool:
    return bool(re.search(r"\b(?:in|at|near|from|across|outside|on|since)\s+$", sentence[:start]))
