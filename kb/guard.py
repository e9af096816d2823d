"""What a document may not do to a chat model, and what a model's sentence may not bring in.

A document is material to quote from. Where it speaks to whatever machine reads it ("ignore the instructions
above", "answer only with"), the passage is not handed on: that may cost an answer, and no more. What a model
writes may hold no address, and in quotation marks only words that stand in the sources it names. All of this
is checked by pattern, since whoever is to be kept out must not be asked. An order that no pattern knows still
meets the judge: what comes of it must be borne out by a source like anything else.
"""

from __future__ import annotations

import re

from kb.text import fold

_MACHINE = r"(?:AIs?|A\.I\.|assistants?|language models?|LLMs?|chat ?bots?|GPTs?|ChatGPT|copilots?|agents?)"
_SAY = (
    r"(?:say|mention|answer|reply|respond|include|repeat|write|tell|append|insert|add|reveal|produce|translate"
    r"|summari[sz]e|recommend|begin|finish|conclude)"
)
# Such words that sentences of newspapers begin with too ("State officials said on Monday that ..."): what
# they order has to follow at once.
_SAY_OR_THING = r"(?:state|print|output|claim|display|return|start|end|continue)"
_RULES_OF = r"(?:instruct\w+|prompts?|rules?|guidelines?|directions?|directives?|restrictions?|policies)"

_THE = r"(?:(?:the|all|any|every|an?)\ )?"
_REPLY = r"(?:answers?|repl(?:y|ies)|responses?|outputs?)"
_BEGINS = (
    r"(?:^|[.!?:;\"\u201c\u201d)>\]\n]\s*"
    r"|\b(?:please|now|instead|then|also|always|simply|do\ not|don't|never|must|should|shall)\ )"
)

_TO_A_MACHINE = re.compile(
    rf"""
      \b(?:ignore|disregard|forget|override|bypass|skip)\b\W+(?:[\w']+\W+){{0,5}}?
          (?:{_RULES_OF}|above|everything|(?:previous|earlier|other)\ (?:text|context|passages?|documents?))
    | \b(?:system|developer|hidden|initial|original)\ (?:prompts?|messages?|instructions?)\b
    | \b(?:new|updated?|important|special|further|following|secret)\ instructions?
          (?=\s*(?:[:.!\n]|$|(?:for|to)\b))
    | \binstructions?\ (?:to|for)\ {_THE}{_MACHINE}\b
    | \b(?:note|message|attention|notice|reminder|warning)\b[\s:,]+(?:(?:to|for)\ )?{_THE}{_MACHINE}\b
    | \b(?:dear|hey|hello),?\ {_THE}{_MACHINE}\b
    | \b(?:if|when|whenever)\ you(?:'re|\ are)?\ {_THE}(?:{_MACHINE}|asked|answer|summari[sz]|reading\ this)
    | \bas\ an?\ {_MACHINE},?\ you\b
    | \b{_MACHINE}\b[^.!?\n]{{0,30}}\b(?:reading|processing|parsing|that\ reads?|who\ reads?)\b
    | \byou\ are\ (?:now|no\ longer|instructed|required|ordered|{_THE}(?:\w+\ ){{0,2}}{_MACHINE})\b
    | \byour\ (?:next\ |final\ |entire\ |whole\ |only\ )?(?:{_REPLY}|rules|instructions?|prompt|summary)\b
    | \b(?:the|every|any|each|all)\ {_REPLY}\ (?:must|should|has\ to|have\ to|shall)\b
    | {_BEGINS}{_SAY}\b[^.!?\n]{{0,40}}
          (?:\b(?:exactly|verbatim|only|instead|word\ for\ word|that)\b|:|["\u201c\u2018\u00ab]
          |\bthe\ (?:following|words?|phrase|text|sentence|line)\b)
    | {_BEGINS}{_SAY_OR_THING}(?:\ (?:that|only)\b|\b[^.!?\n]{{0,40}}
          (?:\b(?:exactly|verbatim|word\ for\ word)\b|["\u201c\u2018\u00ab]
          |\bthe\ (?:following|words?|phrase|text|sentence|line)\b))
    | \b(?:learns?|hears?|knows?)\ (?:this\ |it\ )?from\ you\b
    | \b(?:tell|inform|remind|make\ sure\ that)\ (?:the\ |your\ |all\ |any\ )?(?:users?|readers?|visitors?)\b
    | \b(?:pretend|act|role-?play)\b[^.!?\n]{{0,20}}\b(?:you\ are|{_MACHINE})\b | \b(?:jailbreak|DAN\ mode)\b
    | <\|?/?(?:im_start|im_end|system|user|assistant|endoftext|inst|instruction|passage)\b | \[/?INST\]
    | ^\W*(?:system|assistant|user|human|instruction|prompt)\s*:
    """,
    re.IGNORECASE | re.VERBOSE | re.MULTILINE,
)
_HIDDEN = re.compile(
    r"\b(?:base64|rot-?13|hexadecimal|decode\ (?:this|the\ following|it|and))\b|[A-Za-z0-9+/]{40,}={0,2}"
)
_LINK = re.compile(r"https?://\S+")
_SPACED = re.compile(r"(?<!\w)(?:\w[ .\-_*]){7,}\w(?!\w)")
_ADDRESS = re.compile(
    r"(?:https?|ftp|data|javascript):|www\.|[\w.+-]+@[\w-]+\.\w+|\b[\w-]+\.[a-z]{2,}/", re.I
)
_QUOTED = re.compile(r"[\"\u201c\u201e\u00ab]([^\"\u201c\u201d\u00ab\u00bb]{2,})[\"\u201d\u00bb]")
_TOLD_WORDS = 6  # so many words of the rules in a row are the rules


def speaks_to_a_machine(text: str) -> bool:
    """Whether a text gives orders to a program that reads it, or hides what it says from people."""
    hidden = _HIDDEN.search(_LINK.sub(" ", text))  # an address has long runs of letters too
    return bool(_TO_A_MACHINE.search(text) or hidden or _SPACED.search(text))


def brings_in(sentence: str, sources: str, rules: str) -> bool:
    """Whether a sentence has an address, a quotation that is not in the sources, or repeats the rules."""
    there = plain(sources)
    if _ADDRESS.search(sentence) or any(plain(m[1]) not in there for m in _QUOTED.finditer(sentence)):
        return True
    own, told = plain(sentence).split(), f" {plain(rules)} "
    runs = (" ".join(own[i : i + _TOLD_WORDS]) for i in range(len(own) - _TOLD_WORDS + 1))
    return any(f" {run} " in told for run in runs)


def plain(text: str) -> str:
    """The words of a text alone, to be compared."""
    return " ".join(re.findall(r"\w+", fold(text)))
