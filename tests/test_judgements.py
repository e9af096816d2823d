"""What the judge is trained on: a verdict must be what page and claim make it."""

from __future__ import annotations

import gzip
import json
import random
import re
from pathlib import Path

from benchmarks.altered import Thesaurus
from benchmarks.judgements import Judgements, denial, of_pairs, shortened
from kb.weigh import VERDICTS
from tests.test_exercises import QUESTIONS, RIVER
from tests.test_exercises import thesaurus as thesaurus


def test_a_denial_says_the_opposite() -> None:
    rng = random.Random(1)
    known = {"paint", "close", "buy"}
    made = {denial("The council painted the bridge.", known, rng) for _ in range(60)}
    assert {"The council did not paint the bridge.", "The council failed to paint the bridge."} <= made
    assert "The council painted the bridge." not in made
    assert {denial("The bridge is red.", known, rng) for _ in range(60)} >= {
        "The bridge is not red.",
        "The bridge is never red.",
    }
    assert denial("The council sailed.", known, rng) is None, "a verb that is not known is left alone"


def test_the_first_part_of_a_sentence_keeps_its_verb() -> None:
    rng = random.Random(1)
    made = {shortened("The ferry (1974) was painted red in May, and it sailed.", rng) for _ in range(40)}
    assert made == {"The ferry was painted red.", "The ferry was painted red in May."}
    assert (
        shortened("In the long cold winter of 1974, it sank.", rng)
        == "In the long cold winter of 1974, it sank."
    )


def test_every_claim_of_our_own_is_what_its_kind_says(thesaurus: Thesaurus) -> None:
    rows = [
        {"id": str(n), "domain": "new_wiki", "question": q, "answers": [{"text": a, "start": RIVER.index(a)}]}
        for n, (q, a) in enumerate(QUESTIONS)
    ]
    draws = Judgements({RIVER: rows}, thesaurus)
    rng = random.Random(1)
    made = [j for _ in range(60) for part in ("train", "fit", "test") for j in draws.draw(part, rng)]
    assert {j.kind for j in made} >= {"repeated", "changed", "both", "stated", "misstated", "open"}
    for j in made:
        verdict = VERDICTS[j.verdict]
        match j.kind:
            case "repeated":
                assert verdict == "supported"
                assert set(j.claim.rstrip(".").split()) <= set(re.split(r"[\s.]+", j.page.text))
            case "changed" | "misstated":
                assert verdict == "contradicted"
                assert j.claim not in j.page.text
            case "both":
                assert verdict == "supported"
                assert j.page.text not in RIVER, "the page was changed too"
            case "open":
                assert verdict == "not_found"
                assert j.claim not in j.page.text


def test_labelled_pairs_are_kept_apart_by_claim(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl.gz"
    rows = [
        {"claim": f"Claim {n}.", "evidence": text, "label": label, "origin": "some"}
        for n in range(60)
        for text, label in (("It is.", "supported"), ("It is not.", "refuted"), ("", "supported"))
    ]
    with gzip.open(file, "wt") as lines:
        lines.writelines(json.dumps(row) + "\n" for row in rows)
    parts = {part: list(of_pairs([file], part, random.Random(1))) for part in ("train", "fit", "test")}
    assert sum(map(len, parts.values())) == 120, (
        "a pair without evidence is left out, every other one is used"
    )
    claims = {part: {j.claim for j in found} for part, found in parts.items()}
    assert not claims["train"] & claims["fit"]
    assert not claims["fit"] & claims["test"]
    assert {(j.page.text, VERDICTS[j.verdict]) for j in parts["train"]} == {
        ("It is.", "supported"),
        ("It is not.", "contradicted"),
    }
