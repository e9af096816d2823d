"""What is asked for fitting: right must be what the line says, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import archive
from benchmarks.asked import Asked, Asker, ask_archive, fill, partners_of, senses_of
from benchmarks.exercises import held_out
from benchmarks.fit_extract import weights_of
from benchmarks.written import Written
from kb.settings import load_settings
from kb.store import Store

BRIDGE = "Nora Blum built the bridge at Holm in 1974. It was painted red."
MILL = "The mill at Ostrau was built by Ada Lind in 1931. It grinds rye."
LAKE = "The lake at Ostrau is deep. Nobody swims in it."


def told(one: Asked) -> set[str]:
    return {c.text for c, right in zip(one.found, one.right, strict=True) if right}


def test_questions_about_two_paragraphs_are_right_in_both_and_in_none_without_them(tmp_path: Path) -> None:
    question = "Is the bridge at Holm older than the mill at Ostrau?"
    at = {BRIDGE: Written("several", question, ((0, 43),)), MILL: Written("several", question, ((0, 49),))}
    untold = {LAKE: Written("untold", "How deep is the lake at Ostrau?", ())}
    where = {question: at, "How deep is the lake at Ostrau?": untold}
    assert partners_of(where) == {BRIDGE: MILL, MILL: BRIDGE}
    settings, contexts = load_settings(), [BRIDGE, MILL, LAKE]
    with Store.open(tmp_path, settings, create=True) as store:
        fill(store, contexts)
        asker = Asker(store, senses_of(store, settings.cache), None, None)  # type: ignore[arg-type]
        whole, removed = asker.ask_written(at[BRIDGE], "g", contexts, where)
        (nothing,) = asker.ask_written(untold[LAKE], "g", contexts, where)
    assert told(whole) == {
        "Nora Blum built the bridge at Holm in 1974.",
        "The mill at Ostrau was built by Ada Lind in 1931.",
    }
    assert (whole.variant, removed.variant) == ("several", "several_removed")
    assert {c.hit.passage.document_id for c in removed.found} == {"d2"}
    assert not told(removed)
    assert not told(nothing)


def test_the_archive_is_asked_about_the_stories_kept_for_it(tmp_path: Path) -> None:
    number = {
        part: next(n for n in range(1, 99) if held_out(f"story number {n}") == part)
        for part in ("fit", "train")
    }
    lines = [
        {
            "story": n,
            "article": "a",
            "title": "A bridge",
            "outlet": "Post",
            "date": "2024-05-03",
        }
        for n in number.values()
    ]
    lines[0] |= {"sentences": ["Nora Blum built the bridge at Holm in 1974.", "It was painted red."]}
    lines[1] |= {"sentences": ["Ada Lind built the mill at Ostrau in 1931.", "It grinds rye."]}
    lines += [
        {
            "story": number["fit"],
            "kind": "several",
            "question": "Who built the bridge at Holm?",
            "answers": {"a": [1]},
        },
        {
            "story": number["fit"],
            "kind": "near",
            "question": "Who designed the bridge at Holm?",
            "answers": {},
        },
        {"story": number["train"], "kind": "plain", "question": "Who built the mill?", "answers": {"a": [1]}},
    ]
    file = tmp_path / "archive.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    asked = list(ask_archive(archive.read(file), small=False))
    assert [one.variant for one in asked] == ["several", "several_removed", "near"]
    assert [told(one) for one in asked] == [{"Nora Blum built the bridge at Holm in 1974."}, set(), set()]
    assert {one.collection for one in asked} == {"archive"}
    assert {c.text for c in asked[1].found} == {
        "Ada Lind built the mill at Ostrau in 1931.",
        "It grinds rye.",
    }
    (alone,) = (one for one in ask_archive(archive.read(file), small=True) if one.variant == "near")
    assert not any("mill" in c.text for c in alone.found)
    weight = weights_of(asked)
    assert weight[0] == pytest.approx(weight[1:].sum())  # answered and not count equally
    assert weight[2] == pytest.approx(2 * weight[1])  # a near miss twice
    assert np.all(weight > 0)
