"""What the judge is trained on: a verdict must be what page and claim make it."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pytest

from benchmarks.altered import Thesaurus
from benchmarks.judgements import VERDICTS, Judgements, of_pairs, stated
from tests.test_exercises import QUESTIONS, RIVER
from tests.test_exercises import thesaurus as thesaurus


@pytest.mark.parametrize(
    ("question", "answer", "statement"),
    [
        ("Who bought the bridge?", "Ada Holm", "Ada Holm bought the bridge."),
        ("When was the bridge painted?", "1974", "The bridge was painted in 1974."),
        ("When was the bridge painted?", "In May", "The bridge was painted in May."),
        ("What is the capital of Norway?", "Oslo", "Oslo is the capital of Norway."),
        ("Why did the council close it?", "for repairs", None),
        ("How long is it?", "130 miles", None),
    ],
)
def test_question_and_answer_become_a_statement(question: str, answer: str, statement: str | None) -> None:
    assert stated(question, answer) == statement


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
                assert j.claim.rstrip(".") in j.page.text
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
