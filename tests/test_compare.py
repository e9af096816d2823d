"""What became of an output: every change of a document or an answer is told, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from test_batch import Oracle

from kb.batch import run_batch
from kb.compare import (
    Comparison,
    Verification,
    compare,
    comparison_text,
    read_output,
    verification_text,
    verify,
)
from kb.errors import NoSuchDocument, SourceError, UsageError
from kb.outputs import receipt_path
from kb.types import Answer, CheckReport, Citation, Document, DocumentSummary, Hit, Passage, Source, Verdict

SUFFIXES = (".jsonl", ".csv", ".xlsx")
BRIDGE = "The bridge is shut. Repairs cost 41 million euros. Lorries take the ferry."
FERRY = "=Marta= is the name of the ferry. It runs until midnight."


class Shelf(Oracle):
    """Documents as plain texts; a question names the words it wants quoted, ``;`` between quotes."""

    def __init__(self, texts: Mapping[str, str], *, generation: int = 1) -> None:
        super().__init__(generation=generation)
        self.texts = texts

    def document(self, document_id: str) -> Document:
        if document_id not in self.texts:
            raise NoSuchDocument(f"there is no document {document_id}")
        return Document(document_id, document_id, "T", self.texts[document_id], "text/plain", "")

    def documents(self) -> list[DocumentSummary]:
        return [
            DocumentSummary(i, "T", None, None, None, None, "text/plain", len(text), 1, str(hash(text)))
            for i, text in sorted(self.texts.items())
        ]

    def search(self, query: str, *, top: int | None = None) -> tuple[Hit, ...]:
        return tuple(
            Hit(Passage(i, 0, 0, len(text), text), Source("T"), 0.5, n)
            for n, (i, text) in enumerate(self.texts.items(), 1)
        )

    def _cite(self, wanted: str) -> tuple[Citation, ...]:
        found = [
            (i, text.find(quote), quote) for quote in wanted.split("; ") for i, text in self.texts.items()
        ]
        return tuple(
            Citation(n, i, "T", None, None, None, None, None, None, at, at + len(quote), quote)
            for n, (i, at, quote) in enumerate((f for f in found if f[1] >= 0), 1)
        )

    def ask(self, question: str, **_: Any) -> Answer:  # type: ignore[override]
        citations = self._cite(question)
        if not citations:
            return Answer(question, "not_found", confidence=0.5)
        text = " ".join(f"{c.quote} [{c.n}]" for c in citations)
        return Answer(question, "answered", text, citations=citations, confidence=0.5)

    def check(self, text: str, **_: Any) -> CheckReport:  # type: ignore[override]
        citations = self._cite(text)
        verdict = Verdict(text, 0, len(text), "supported" if citations else "not_found", 0.5, "", citations)
        return CheckReport(text, (verdict,))


THEN = {"bridge.md": BRIDGE, "ferry.md": FERRY}


def given(folder: Path, name: str, shelf: Oracle, *asked: str, mode: Any = "ask") -> Path:
    column = "question" if mode == "ask" else "claim"
    source = folder / f"{name}.list.jsonl"
    lines = [json.dumps({"id": f"q{n}", column: text}) for n, text in enumerate(asked, 1)]
    source.write_text("\n".join(lines), encoding="utf-8")
    run_batch(shelf, source, folder / name, mode=mode)
    return folder / name


# --- verify ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("now", "state", "place"),
    [
        (THEN, "stands", None),
        ({"bridge.md": BRIDGE + " More.", "ferry.md": FERRY}, "stands", None),
        ({"bridge.md": "News. " + BRIDGE}, "moved", ("bridge.md", 26, 56)),
        ({"bridge.md": BRIDGE.replace("cost 41", "cost\n 41")}, "moved", ("bridge.md", 20, 51)),
        ({"renamed.md": BRIDGE}, "moved", ("renamed.md", 20, 50)),
        ({"bridge.md": BRIDGE.replace("41", "45")}, "changed", ("bridge.md", 20, 50)),
        ({"renamed.md": BRIDGE.replace("41", "45")}, "changed", ("renamed.md", 20, 50)),
        ({"bridge.md": "The bridge is open again and nothing else is known about it."}, "vanished", None),
        ({"bridge.md": ""}, "vanished", None),
        ({"ferry.md": FERRY}, "vanished", None),
        ({}, "vanished", None),
    ],
)
def test_what_became_of_a_quote(
    tmp_path: Path, suffix: str, now: dict[str, str], state: str, place: tuple[str, int, int] | None
) -> None:
    file = given(tmp_path, f"a{suffix}", Shelf(THEN), "Repairs cost 41 million euros.")
    found = verify(Shelf(now, generation=2), file)
    assert {name for name, n in found.counts.items() if n} == {state}
    assert found.holds is (state in ("stands", "moved"))
    for quote in found.quotes:
        assert quote.state == state
        if place:
            assert (quote.document_id, quote.start, quote.end) == place
            assert now[place[0]][place[1] : place[2]] == quote.text
    assert (found.generation_then, found.generation_now) == (1, 2)
    assert found.gone_sources == (() if "bridge.md" in now else ("bridge.md",))
    assert found.changed_sources == (
        ("bridge.md",) if "bridge.md" in now and now["bridge.md"] != BRIDGE else ()
    )


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_quote_that_looks_like_a_formula_stands(tmp_path: Path, suffix: str) -> None:
    file = given(tmp_path, f"a{suffix}", Shelf(THEN), "=Marta= is the name of the ferry.")
    assert verify(Shelf(THEN), file).counts == {"stands": 1, "moved": 0, "changed": 0, "vanished": 0}


def test_of_two_places_the_nearer_is_named(tmp_path: Path) -> None:
    file = given(tmp_path, "a.jsonl", Shelf({"a": "x" * 50 + " Same words."}), "Same words.")
    moved = verify(Shelf({"a": "Same words. " + "x" * 50 + " Same words."}), file).quotes[0]
    assert (moved.start, moved.end) == (63, 74)


def test_every_quote_of_a_check_is_looked_up(tmp_path: Path) -> None:
    file = given(tmp_path, "a.jsonl", Shelf(THEN), "The bridge is shut.; It runs", mode="check")
    assert verify(Shelf(THEN), file).counts["stands"] == 2


def test_an_edited_file_and_a_lost_receipt(tmp_path: Path) -> None:
    file = given(tmp_path, "a.csv", Shelf(THEN), "The bridge is shut.")
    assert verify(Shelf(THEN), file).edited is False
    file.write_text(file.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    found = verify(Shelf(THEN), file)
    assert found.edited is True
    assert "it was edited since" in verification_text(found)
    receipt_path(file).unlink()
    found = verify(Shelf(THEN), file)
    assert (found.edited, found.generation_then, found.counts["stands"]) == (None, None, 1)
    assert "The receipt is not there" in verification_text(found)


def test_what_verify_prints(tmp_path: Path) -> None:
    file = given(
        tmp_path, "a.jsonl", Shelf(THEN), "The bridge is shut.; It runs until midnight.", "Lorries take"
    )
    now = {"bridge.md": BRIDGE.replace("shut", "open \x1b[31m"), "boat.md": "\n" + FERRY}
    printed = verification_text(verify(Shelf(now, generation=3), file))
    assert printed.startswith("3 quotes: 2 moved, 1 changed.\nGeneration 1 then, 3 now.\n")
    assert "Cited sources that changed: bridge.md." in printed
    assert "Cited sources that are gone: ferry.md." in printed
    assert printed.index("changed: row q1 [1] “The bridge is shut.”") < printed.index("moved: row q1 [2]")
    assert "kbqa show boat.md --start 35 --end 58" in printed
    assert "\x1b" not in printed


def test_verify_as_json(tmp_path: Path) -> None:
    file = given(tmp_path, "a.jsonl", Shelf(THEN), "The bridge is shut.")
    found = verify(Shelf({"bridge.md": " " + BRIDGE}, generation=2), file).to_dict()
    assert json.loads(json.dumps(found)) == found
    assert (found["moved"], found["generation"]) == (1, {"then": 1, "now": 2})
    assert found["quotes"][0]["then"]["quote"] == "The bridge is shut."
    assert found["quotes"][0]["now"] == {
        "document_id": "bridge.md",
        "start": 1,
        "end": 20,
        "text": "The bridge is shut.",
    }
    assert Verification(dict.fromkeys(("stands", "moved", "changed", "vanished"), 0), (), 1, 1).holds


# --- compare -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("old_suffix", SUFFIXES)
@pytest.mark.parametrize("new_suffix", SUFFIXES)
def test_the_same_answers_are_the_same_in_every_kind(
    tmp_path: Path, old_suffix: str, new_suffix: str
) -> None:
    asked = ("The bridge; is shut.; Repairs cost; Lorries; million", "=Marta=", "nothing", "The bridge")
    old = given(tmp_path, f"old{old_suffix}", Shelf(THEN), *asked)
    new = given(tmp_path, f"new{new_suffix}", Shelf(THEN), *asked)
    found = compare(old, new)
    assert (found.same, found.differences) == (4, ())


def test_every_kind_of_difference(tmp_path: Path) -> None:
    class Failing(Shelf):
        def ask(self, question: str, **_: Any) -> Answer:  # type: ignore[override]
            if question == "Lorries":
                return Answer(question, "error", error="It went wrong.")
            return super().ask(question)

    before = {"bridge.md": BRIDGE}
    after = {"bridge.md": "New. " + BRIDGE.replace("Repairs cost", "They cost"), "ferry.md": FERRY}
    asked = ("Repairs", "The bridge", "Lorries", "shut; Repairs", "midnight")
    old = given(tmp_path, "old.jsonl", Shelf(before), *asked, "gone")
    new = given(tmp_path, "new.jsonl", Failing(after, generation=2), "fresh", *reversed(asked))
    found = compare(old, new)
    assert {d.kind: (d.new or d.old).text for d in found.differences} == {  # type: ignore[union-attr]
        "newly_answered": "midnight",
        "newly_refused": "Repairs",
        "newly_failed": "Lorries",
        "answer": "shut; Repairs",
        "citations": "The bridge",
        "only_old": "gone",
        "only_new": "fresh",
    }
    assert len(found.differences) == 7
    by_kind = {d.kind: d for d in found.differences}
    assert [q.quote for q in by_kind["newly_refused"].lost] == ["Repairs"]
    assert [q.quote for q in by_kind["answer"].lost] == ["Repairs"]
    ((then, now),) = by_kind["citations"].moved
    assert (then.start, now.start) == (0, 5)
    assert (found.generations, found.sources) == ((1, 2), ("bridge.md",))
    assert compare(new, old).counts()["newly_answered"] == 2


def test_verdicts_are_compared(tmp_path: Path) -> None:
    old = given(tmp_path, "old.csv", Shelf(THEN), "The bridge", "nothing", mode="check")
    new = given(tmp_path, "new.jsonl", Shelf({}), "The bridge", "nothing", mode="check")
    (difference,) = compare(old, new).differences
    assert (difference.kind, difference.old and difference.old.status) == ("verdict", "supported")
    assert difference.to_dict()["new"] == {"status": "not_found", "answer": ""}


def test_the_same_question_twice_is_paired_in_order(tmp_path: Path) -> None:
    old = given(tmp_path, "old.jsonl", Shelf(THEN), "shut", "shut", "ferry")
    new = given(tmp_path, "new.jsonl", Shelf(THEN), "ferry", "shut")
    found = compare(old, new)
    assert (found.same, found.counts()["only_old"]) == (2, 1)


def test_what_compare_prints(tmp_path: Path) -> None:
    old = given(tmp_path, "old.jsonl", Shelf(THEN), "shut", "ferry.", "Lorries")
    new = given(tmp_path, "new.jsonl", Shelf({"bridge.md": "Oh. " + BRIDGE}, generation=5), "shut", "Lorries")
    printed = comparison_text(compare(old, new))
    assert printed.startswith("0 the same, 2 other citations, 1 no longer asked.\nGeneration 1 then, 5 now.")
    assert "moved  “shut” (bridge.md, characters 14–18) to bridge.md, characters 18–22" in printed
    assert comparison_text(Comparison(3, ())) == "3 the same."


# --- what can be read --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a.md", "# Answers", UsageError),
        ("a.csv", "id,question\n1,Who?\n", UsageError),
        ("a.csv", "id,answer\n1,She\n", UsageError),
        ("a.jsonl", '{"question": "Who?"}\n', UsageError),
        ("a.jsonl", '{"question": "Who?", "status": "answered"}\n', SourceError),
        ("a.jsonl", '{"id": 1, "status": "answered", "question": "Who?", "citations": [7]}\n', SourceError),
        ("a.jsonl", '{"id": 1, "status": "answered"}\nnot json\n', SourceError),
    ],
)
def test_what_is_no_output_says_so(tmp_path: Path, name: str, content: str, error: type[Exception]) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(error):
        list(read_output(tmp_path / name))
