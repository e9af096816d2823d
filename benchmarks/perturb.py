"""Change one thing in sentences of real documents and count how often the judge notices.

    python -m benchmarks.perturb [SOURCE ...] [--count 600] [--seed 7] [--show 20]

From every source (default: ``seeds/``) sentences are drawn and changed in one place: a number, a date, a name
or a negation. Each kind gets the same share of ``--count``. As many sentences again are left as they are or
put in other words that mean the same. A changed sentence is caught when it comes back ``contradicted``; an
unchanged or reworded one is falsely flagged when it does. The same seed gives the same sentences.
"""

from __future__ import annotations

import argparse
import random
import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ingest.sync import ingest
from kb.pipeline import KnowledgeBase
from kb.settings import load_settings
from kb.statement import names_of
from kb.store import Store
from kb.text import amounts, dates, sentence_spans
from kb.types import Verdict

ROOT = Path(__file__).resolve().parents[1]

Change = Callable[[str, random.Random], str | None]


@dataclass(frozen=True, slots=True)
class Case:
    """A sentence, what was done to it, and what it became."""

    kind: str
    original: str
    text: str


# ----------------------------------------------------------------------------------------- changes

_WORDS = "two three four five six seven eight nine ten eleven twelve twenty thirty".split()


def change_number(sentence: str, rng: random.Random) -> str | None:
    """One amount with another value, printed in the same way."""
    dated = dates(sentence)
    found = [
        a
        for a in amounts(sentence)
        if a.kind != "year"
        and not any(d.start <= a.start < d.end for d in dated)
        and sentence[a.start : a.end].lower() not in ("one", "zero")
    ]
    if not found:
        return None
    amount = rng.choice(found)
    printed = sentence[amount.start : amount.end]
    match = re.search(r"\d[\d,]*(?:\.\d+)?", printed)
    if match:
        other = _other_figure(match.group(), rng)
        new = printed[: match.start()] + other + printed[match.end() :]
    else:
        word = next((w for w in re.findall(r"[a-z]+", printed.lower()) if w in _WORDS), None)
        if word is None:
            return None
        new = re.sub(word, rng.choice([w for w in _WORDS if w != word]), printed, flags=re.IGNORECASE)
    return sentence[: amount.start] + new + sentence[amount.end :]


def _other_figure(figure: str, rng: random.Random) -> str:
    value = float(figure.replace(",", ""))
    places = len(figure.partition(".")[2])
    new = value
    while f"{new:.{places}f}" == f"{value:.{places}f}":
        new = rng.choice([value * 2, value * 1.3, value * 0.6, value + 10, value * 10])
    return f"{new:,.{places}f}" if "," in figure else f"{new:.{places}f}"


_MONTHS = "January February March April May June July August September October November December".split()


def change_date(sentence: str, rng: random.Random) -> str | None:
    """One date with another year, month or day."""
    found = dates(sentence)
    if not found:
        return None
    date = rng.choice(found)
    printed = sentence[date.start : date.end]
    options = []
    if date.year:
        year = date.year + rng.choice([-3, -2, -1, 1, 2, 3])
        options.append(printed.replace(str(date.year), str(year)))
    month = next((m for m in _MONTHS if m in printed), None)
    if month:
        options.append(printed.replace(month, rng.choice([m for m in _MONTHS if m != month])))
    if date.day and month:
        day = rng.choice([d for d in range(1, 29) if d != date.day])
        options.append(re.sub(rf"\b{date.day}\b", str(day), printed, count=1))
    return sentence[: date.start] + rng.choice(options) + sentence[date.end :] if options else None


def name_changer(pool: list[str]) -> Change:
    """Puts another name of the documents, of as many words, in the place of one."""

    def change_name(sentence: str, rng: random.Random) -> str | None:
        found = [(s, e) for s, e in names_of(sentence) if sentence[s:e] in pool]
        rng.shuffle(found)
        for start, end in found:
            name = sentence[start:end]
            others = [
                other
                for other in pool
                if len(other.split()) == len(name.split()) and not _shares_a_word(other, sentence)
            ]
            if others:
                return sentence[:start] + rng.choice(others) + sentence[end:]
        return None

    return change_name


def is_proper(name: str) -> bool:
    """Whether a run of capitals is somebody's or something's name: no abbreviation, no nationality."""
    parts = name.split()
    plain = (
        name.replace(" ", "").isalpha()
        and not any(word.isupper() for word in parts)
        and parts[-1][0].isupper()
    )
    return (
        plain
        and len(name) > 2
        and not name.endswith(("an", "ese", "ish"))
        and name.split()[0] not in _PREPOSITIONS
    )


_PREPOSITIONS = ("From", "After", "By", "With", "Under", "For", "Since", "Until")


def _shares_a_word(name: str, sentence: str) -> bool:
    return any(re.search(rf"\b{re.escape(word)}", sentence, re.IGNORECASE) for word in name.split())


_AUXILIARY = re.compile(r"\b(is|are|was|were|has|have|had|will|can|could|would|may|might|does|did)\b(?! not)")


def change_negation(sentence: str, rng: random.Random) -> str | None:
    """A "not" put in after the first auxiliary verb, or taken out."""
    without = re.sub(
        r"\b(is|are|was|were|has|have|had|will|can|could|would|may|might) not\b(?! only)", r"\1", sentence
    )
    without = without.replace("cannot", "can")
    if without != sentence:
        return without
    match = _AUXILIARY.search(sentence)
    return f"{sentence[: match.end()]} not{sentence[match.end() :]}" if match else None


# ------------------------------------------------------------------------------------- other words

_SAME = (
    (r"\brose\b", "increased"), (r"\bfell\b", "dropped"), (r"\bbought\b", "purchased"),
    (r"\babout\b", "around"),
    (r"\bmore than\b", "over"), (r"\blarge\b", "big"), (r"\bbegan\b", "started"), (r"\bshows\b", "reveals"),
    (r"\bmay\b", "might"), (r"\bneeds\b", "requires"), (r"\byearly\b", "annual"), (r"\bbuild\b", "construct"),
    (r"\balmost\b", "nearly"), (r"\bper cent\b|\bpercent\b", "%"), (r"(?<=\d)%", " percent"),
    (r"\bdid not\b", "didn't"), (r"\bis not\b", "isn't"), (r"\bcannot\b", "can not"),
    (r"\$(\d[\d.,]*\d|\d) (million|billion|trillion)\b", r"\1 \2 dollars"),
    (rf"\b({'|'.join(_MONTHS)}) (\d{{1,2}}), (\d{{4}})\b", r"\2 \1 \3"),
    (r", according to [^,;]+(?=\.$)", ""), (r"^According to [^,]+, (\w)", r"\1"),
    (r"^In (\d{4}),? ([^,:;]+)\.$", r"\2 in \1."),
    (r"^((?:(?! and )[^,:;\d])+[a-z]) in (\d{4})\.$", r"In \2, \1."),
    (r"\bU\.S\.(?=\s[a-z])", "US"), (r"\bsaid that\b", "said"), (r"\bfirms\b", "companies"),
)  # fmt: skip


def reword(sentence: str, rng: random.Random) -> str | None:
    """The sentence with up to three of its parts in other words or in another place."""
    rules = list(_SAME)
    rng.shuffle(rules)
    text, done = sentence, 0
    for pattern, instead in rules:
        new = re.sub(pattern, instead, text, count=1)
        if new != text and done < 3:
            text, done = new[0].upper() + new[1:], done + 1
    return text if done else None


# ------------------------------------------------------------------------------------------- cases


def sentences(kb: KnowledgeBase) -> Iterator[str]:
    """The sentences of the library that state something and are neither very short nor very long."""
    seen: set[str] = set()
    for summary in kb.documents():
        text = kb.document(summary.id).text
        for start, end in sentence_spans(text):
            sentence = re.sub(r"^[-*•]\s+", "", text[start:end])
            said = sentence.endswith(".") and 7 <= len(sentence.split()) <= 45 and sentence[0].isupper()
            if said and "|" not in sentence and sentence not in seen:
                seen.add(sentence)
                yield sentence


def cases(found: list[str], count: int, seed: int) -> list[Case]:
    """``count`` changed sentences, in equal shares, and as many unchanged or reworded ones."""
    rng = random.Random(seed)
    pool = sorted({s[a:b] for s in found for a, b in names_of(s) if is_proper(s[a:b])})
    changes: dict[str, tuple[Change, int]] = {
        "number": (change_number, count // 4),
        "date": (change_date, count // 4),
        "name": (name_changer(pool), count // 4),
        "negation": (change_negation, count // 4),
        "unchanged": (lambda sentence, _: sentence, count // 4),
        "reworded": (reword, count - count // 4),
    }
    drawn: list[Case] = []
    for kind, (change, wanted) in changes.items():
        order = rng.sample(found, len(found))
        made = (Case(kind, s, new) for s in order * 3 if (new := change(s, rng)))
        unique = dict.fromkeys(case for case in made if kind == "unchanged" or case.text != case.original)
        drawn.extend(list(unique)[:wanted])
    return drawn


def run(kb: KnowledgeBase, drawn: list[Case]) -> list[tuple[Case, tuple[Verdict, ...], float]]:
    """Each case with its verdicts and the seconds they took."""
    results = []
    for case in drawn:
        started = time.perf_counter()
        results.append((case, kb.check(case.text).claims, time.perf_counter() - started))
    return results


def worst(verdicts: tuple[Verdict, ...]) -> str:
    """The verdict of a text: that of its weakest claim."""
    found = {verdict.verdict for verdict in verdicts}
    return next((v for v in ("contradicted", "not_found", "supported") if v in found), "none")


@contextmanager
def library(sources: list[str]) -> Iterator[KnowledgeBase]:
    """A knowledge base of these sources, for as long as it is needed."""
    with tempfile.TemporaryDirectory() as folder:
        settings = replace(load_settings(), kb=Path(folder))
        with Store.open(settings.kb, settings, create=True) as store:
            ingest(sources, store)
        with KnowledgeBase.open(settings.kb, settings) as kb:
            yield kb


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", nargs="*", default=[str(ROOT / "seeds")])
    parser.add_argument("--count", type=int, default=600)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--show", type=int, default=0, help="print so many misses")
    options = parser.parse_args()
    with library(options.sources) as kb:
        results = run(kb, cases(list(sentences(kb)), options.count, options.seed))
    report(results, options.show)


def report(results: list[tuple[Case, tuple[Verdict, ...], float]], show: int) -> None:
    """Print the figures by kind, and the first misses."""
    kept = ("unchanged", "reworded")
    print(f"{'kind':10s} {'cases':>6s} {'contradicted':>13s} {'not found':>10s} {'supported':>10s}")
    for kind in dict.fromkeys(case.kind for case, _, _ in results):
        found = [worst(verdicts) for case, verdicts, _ in results if case.kind == kind]
        shares = [found.count(v) / len(found) for v in ("contradicted", "not_found", "supported")]
        print(f"{kind:10s} {len(found):6d} {shares[0]:13.3f} {shares[1]:10.3f} {shares[2]:10.3f}")
    changed = [worst(v) == "contradicted" for case, v, _ in results if case.kind not in kept]
    same = [worst(v) != "contradicted" for case, v, _ in results if case.kind in kept]
    print(f"changed: {statistics.mean(changed):.3f} of {len(changed)} caught")
    print(f"unchanged or reworded: {statistics.mean(same):.3f} of {len(same)} not flagged")
    print(f"a claim takes {statistics.median(seconds for _, _, seconds in results) * 1000:.0f} ms (median)")
    for case, verdicts, _ in results:
        if show and (worst(verdicts) == "contradicted") == (case.kind in kept):
            show -= 1
            print(f"\n{case.kind}: {case.text}\n  was: {case.original}")
            for verdict in verdicts:
                print(f"  {verdict.verdict}: {verdict.explanation}")


if __name__ == "__main__":
    main()
