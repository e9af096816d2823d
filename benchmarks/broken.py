"""Break answers on purpose and count how often their badges say so.

    python -m benchmarks.broken [SOURCE ...] [--count 500] [--seed 11] [--show 20]

Questions are drafted from the sources (default: ``seeds/``) and answered by the product. In each answer one
sentence is broken: another number, another name, its marker moved to a passage of another document, or a
quote that no document holds (sentence and quote changed alike, at the offsets of the true quote). A broken
sentence is caught when its support is ``unsupported`` or ``conflict``. The same answers as they are, and with
the same sentence in other words, show how often a badge gives a false alarm. The same seed breaks the same.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.perturb import _is_proper, change_number, name_changer, reword, sentences
from ingest.sync import ingest
from kb.pipeline import KnowledgeBase
from kb.settings import load_settings
from kb.statement import names_of
from kb.store import Store
from kb.suggest import suggest
from kb.types import Answer, Citation, Sentence

ROOT = Path(__file__).resolve().parents[1]
BROKEN = ("number", "name", "marker", "quote")

Change = Callable[[str, random.Random], str | None]


@dataclass(frozen=True, slots=True)
class Case:
    """An answer, the sentence of it that was touched, and how."""

    kind: str
    answer: Answer
    at: int
    was: str


def answers(kb: KnowledgeBase, count: int) -> list[Answer]:
    """What the product says to questions drafted from its documents, each answer once."""
    asked = (row["question"] for row in suggest(kb, 4 * count))
    found = {answer.text: answer for answer in map(kb.ask, asked) if answer.status == "answered"}
    return list(found.values())[:count]


def cases(kb: KnowledgeBase, found: Sequence[Answer], count: int, seed: int) -> list[Case]:
    """``count`` broken answers in equal shares, then as many sound ones, half of them reworded."""
    rng = random.Random(seed)
    pool = [s[a:b] for s in sentences(kb) for a, b in names_of(s)]
    swap = name_changer(sorted({name for name in pool if _is_proper(name)}))
    strangers = [citation for answer in found for citation in answer.citations]
    make: dict[str, Callable[[Answer], Case | None]] = {
        "number": lambda answer: _reworded("number", answer, change_number, rng),
        "name": lambda answer: _reworded("name", answer, swap, rng),
        "marker": lambda answer: _moved(answer, strangers, rng),
        "quote": lambda answer: _invented(answer, swap, rng),
        "unchanged": lambda answer: Case("unchanged", answer, 0, answer.sentences[0].text),
        "other words": lambda answer: _reworded("other words", answer, reword, rng),
    }
    drawn: list[Case] = []
    for kind, change in make.items():
        wanted = count // 4 if kind in BROKEN else count // 2
        order = (answer for _ in range(8) for answer in rng.sample(found, len(found)))
        made = dict.fromkeys(case for answer in order if (case := change(answer)))
        drawn += list(made)[:wanted]
    return drawn


def _reworded(kind: str, answer: Answer, change: Change, rng: random.Random) -> Case | None:
    for at in rng.sample(range(len(answer.sentences)), len(answer.sentences)):
        was = answer.sentences[at].text
        new = change(was, rng)
        if new and new != was:
            return Case(kind, _with_sentence(answer, at, new), at, was)
    return None


def _moved(answer: Answer, strangers: Sequence[Citation], rng: random.Random) -> Case | None:
    """The marker of a sentence now names a passage of another document, which the answer does cite."""
    at = rng.randrange(len(answer.sentences))
    own = {citation.document_id for citation in answer.citations}
    others = [citation for citation in strangers if citation.document_id not in own]
    if not others:
        return None
    n = max(citation.n for citation in answer.citations) + 1
    moved = replace(answer, citations=(*answer.citations, replace(rng.choice(others), n=n)))
    return Case("marker", _with_sentence(moved, at, answer.sentences[at].text, (n,)), at, "")


def _invented(answer: Answer, swap: Change, rng: random.Random) -> Case | None:
    """A sentence and the quote it stands on, changed alike."""
    case = _reworded("quote", answer, lambda s, r: change_number(s, r) or swap(s, r), rng)
    if case is None:
        return None
    new, numbers = case.answer.sentences[case.at].text, case.answer.sentences[case.at].citations
    cited = (replace(c, quote=new) if c.n in numbers else c for c in case.answer.citations)
    return replace(case, answer=replace(case.answer, citations=tuple(cited)))


def _with_sentence(answer: Answer, at: int, new: str, numbers: tuple[int, ...] | None = None) -> Answer:
    """The answer with another text of one sentence, and other markers if they are given."""
    text, made = "", []
    for i, sentence in enumerate(answer.sentences):
        said = new if i == at else sentence.text
        cited = numbers if i == at and numbers else sentence.citations
        begin = len(text) + bool(text)
        text = f"{text} {said} {''.join(f'[{n}]' for n in cited)}".strip()
        made.append(Sentence(said, begin, begin + len(said), cited, "verbatim"))
    return replace(answer, text=text, sentences=tuple(made), model="broken on purpose")


def run(kb: KnowledgeBase, drawn: Sequence[Case]) -> Iterator[tuple[Case, Answer]]:
    """Each case with the answer that its badges are in."""
    for case in drawn:
        yield case, kb.judged(case.answer)


def report(results: Sequence[tuple[Case, Answer]], show: int) -> None:
    """Print the figures by kind, and the first misses."""
    print(f"{'kind':12s} {'answers':>8s} {'caught':>7s}   supports")
    caught: list[bool] = []
    for kind in dict.fromkeys(case.kind for case, _ in results):
        found = [answer.sentences[case.at].support for case, answer in results if case.kind == kind]
        alarms = [support in ("unsupported", "conflict") for support in found]
        if kind in BROKEN:
            caught += alarms
        shares = ", ".join(f"{name} {n}" for name, n in Counter(found).most_common())
        print(f"{kind:12s} {len(found):8d} {sum(alarms) / len(found):7.3f}   {shares}")
    print(f"broken: {sum(caught) / len(caught):.3f} of {len(caught)} caught")
    shown = [
        answer for case, answer in results if case.kind == "quote"
        and any(case.answer.sentences[case.at].text == citation.quote for citation in answer.citations)
    ]  # fmt: skip
    print(f"invented quotes still shown: {len(shown)}")
    others = [s.support for case, answer in results for i, s in enumerate(answer.sentences) if i != case.at]
    print(f"untouched sentences beside them: {Counter(others).most_common()}")
    for case, answer in results:
        support = answer.sentences[case.at].support
        if show and (support in ("unsupported", "conflict")) != (case.kind in BROKEN):
            show -= 1
            sentence = answer.sentences[case.at]
            print(f"\n{case.kind}, {support}: {sentence.text}\n  was: {case.was}")
            for citation in answer.citations:
                if citation.n in sentence.citations:
                    print(f"  quote: {citation.quote}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", nargs="*", default=[str(ROOT / "seeds")])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--show", type=int, default=0, help="print so many misses")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = replace(load_settings(), kb=Path(folder))
        with Store.open(settings.kb, settings, create=True) as store:
            ingest(options.sources, store)
        with KnowledgeBase.open(settings.kb, settings) as kb:
            drawn = cases(kb, answers(kb, options.count), options.count, options.seed)
            results = list(run(kb, drawn))
    report(results, options.show)


if __name__ == "__main__":
    main()
