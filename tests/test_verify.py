"""Checking claims: what the rules settle, what they name, and what they leave to a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kb.pipeline import KnowledgeBase
from kb.reader import Page
from kb.settings import Settings
from kb.store import Store
from kb.types import Filters, Hit, Passage, Source, Verdict
from kb.verify import Finding, decisive, judge, says_it, sentences
from kb.weigh import Array


@pytest.fixture(scope="module")
def kb(tmp_path_factory: pytest.TempPathFactory, texts: Path) -> Iterator[KnowledgeBase]:
    """The shared texts with the default embedder, since nearness of meaning counts here."""
    from ingest.sync import ingest

    folder = tmp_path_factory.mktemp("verify")
    (folder / "figures.txt").write_text(
        "The port handled between $10 and $12 billion of goods in 2025.\n\n"
        "Traffic on the canal rose by 8 percent last year.\n\n"
        "The port has not been closed for a single day since 1998.",
        encoding="utf-8",
    )
    settings = Settings(kb=folder / "kb")
    with Store.open(folder / "kb", settings, create=True) as store:
        assert not ingest([str(texts), str(folder / "figures.txt")], store).failed
    with KnowledgeBase.open(folder / "kb", settings) as opened:
        yield opened


def verdict(kb: KnowledgeBase, claim: str) -> Verdict:
    [found] = kb.check(claim).claims
    return found


@pytest.mark.parametrize(
    "claim",
    [
        "The harbour bridge was closed to lorries on 3 March 2026.",
        "the harbour bridge was closed to lorries on 3 march 2026",
        "“The harbour bridge was closed to lorries on 3 March 2026.”",
        "A crossing costs 18 euros for a lorry.",
    ],
)
def test_word_for_word_is_supported(kb: KnowledgeBase, claim: str) -> None:
    found = verdict(kb, claim)
    assert (found.verdict, found.confidence) == ("supported", 1.0)
    assert "word for word" in found.explanation


@pytest.mark.parametrize(
    "claim",
    [
        "Repairing the harbour bridge should cost 41 million euros.",
        "The harbour bridge was closed to lorries in March 2026.",
        "Growers lost about 60% of their apple blossom to the frost.",
        "Mrs. Blum called the repair overdue.",
        "The tram carried over a million passengers in May 2026.",
        "The tram carried about 1.25 million passengers in May 2026.",
        "The tram carried fewer than 2 million passengers in May 2026.",
        "The port handled $10–12 billion of goods in 2025.",
    ],
)
def test_the_same_in_other_words_is_supported(kb: KnowledgeBase, claim: str) -> None:
    assert verdict(kb, claim).verdict == "supported"


@pytest.mark.parametrize(
    ("claim", "said", "claimed"),
    [
        (
            "The repair of the harbour bridge is expected to cost 45 million euros.",
            "41 million euros",
            "45 million euros",
        ),
        ("The tram carried 1.5 million passengers in May 2026.", "1.2 million", "1.5 million"),
        ("The tram carried over 2 million passengers in May 2026.", "1.2 million", "2 million"),
        ("Growers lost about 40% of their apple blossom to the frost of 21 April 2026.", "60 percent", "40%"),
        ("The city council approved the repair by 35 votes to 12.", "31", "35"),
        ("The ferry named Marta carries lorries every thirty minutes.", "twenty", "thirty"),
        ("The harbour bridge was closed to lorries on 5 March 2026.", "3 March 2026", "5 March 2026"),
        ("The harbour bridge was closed to lorries in 2025.", "3 March 2026", "2025"),
        ("The city council rejected the repair by 31 votes to 12.", "approved", "rejected"),
        ("Traffic on the canal fell by 8 percent last year.", "rose", "fell"),
    ],
)
def test_another_figure_date_or_opposite_is_contradicted_and_named(
    kb: KnowledgeBase, claim: str, said: str, claimed: str
) -> None:
    found = verdict(kb, claim)
    assert found.verdict == "contradicted"
    assert said in found.explanation
    assert claimed in found.explanation
    assert said in found.citations[0].quote


@pytest.mark.parametrize(
    "claim",
    [
        "The harbour bridge was not closed to lorries on 3 March 2026.",
        "Council leader Nora Blum never called the repair overdue.",
        "The port has been closed for a single day since 1998.",
    ],
)
def test_a_denial_is_contradicted(kb: KnowledgeBase, claim: str) -> None:
    found = verdict(kb, claim)
    assert found.verdict == "contradicted"
    assert "denies" in found.explanation


@pytest.mark.parametrize(
    "claim",
    [
        "Penguins live in Antarctica.",
        "The moon is made of cheese.",
        "The harbour bridge was painted by Peter Hahn.",
        "The Mayor of Lisbon opened a museum of clocks in 1987.",
        "数据中心需要电力。",
    ],
)
def test_what_no_document_says_is_not_found_and_has_no_evidence(kb: KnowledgeBase, claim: str) -> None:
    found = verdict(kb, claim)
    assert (found.verdict, found.citations) == ("not_found", ())
    assert found.explanation


def test_a_missing_name_is_named(kb: KnowledgeBase) -> None:
    assert "Peter Hahn" in verdict(kb, "The bridge was closed to lorries by Peter Hahn.").explanation


def test_another_name_in_the_same_place_is_contradicted(kb: KnowledgeBase) -> None:
    found = verdict(kb, "Council leader Peter Hahn called the repair overdue.")
    assert found.verdict == "contradicted"
    assert "says Nora Blum, the claim says Peter Hahn" in found.explanation


DRAFT = """Why was the bridge closed?

The harbour bridge was closed to lorries on 3 March 2026. [1] Is that so? The repair of the harbour bridge \
is expected to cost 45 million euros. [2][3]
- Penguins live in Antarctica.
“Who knows?”
[4]
"""


def test_claims_of_a_draft_stand_where_they_say(kb: KnowledgeBase) -> None:
    report = kb.check(DRAFT)
    assert report.text == DRAFT
    checked = [v for v in report.claims if v.kind == "claim"]
    assert [v.claim for v in checked] == [
        "The harbour bridge was closed to lorries on 3 March 2026.",
        "The repair of the harbour bridge is expected to cost 45 million euros.",
        "Penguins live in Antarctica.",
    ], "questions and marks are no claims"
    assert [v.verdict for v in checked] == ["supported", "contradicted", "not_found"]
    assert all(DRAFT[v.start : v.end] == v.claim for v in report.claims)


def test_evidence_is_a_slice_of_the_stored_text(kb: KnowledgeBase) -> None:
    for found in kb.check(DRAFT).claims:
        assert bool(found.citations) == (found.verdict != "not_found")
        assert [c.n for c in found.citations] == list(range(1, len(found.citations) + 1))
        assert 0 <= found.confidence <= 1
        for citation in found.citations:
            stored = kb.document(citation.document_id).text
            assert citation.quote == stored[citation.start : citation.end]


def test_an_answer_of_ours_passes_its_own_check(kb: KnowledgeBase) -> None:
    text = (
        "The harbour bridge was closed to lorries on 3 March 2026. [1] "
        "Council leader Nora Blum called the repair overdue. [2][1]"
    )
    assert [v.verdict for v in kb.check(text).claims] == ["supported", "supported"]


def test_filters_hold(kb: KnowledgeBase) -> None:
    claim = "The harbour bridge was closed to lorries on 3 March 2026."
    elsewhere = kb.check(claim, filters=Filters(publishers=("Coast Radio",)))
    assert elsewhere.claims[0].verdict != "supported"
    assert kb.check(claim, filters=Filters(document_ids=("nowhere",))).claims[0].verdict == "not_found"


def test_the_same_draft_gives_the_same_report(kb: KnowledgeBase) -> None:
    assert kb.check(DRAFT).claims == kb.check(DRAFT).claims


@pytest.mark.parametrize("text", ["", "  ", "???", "x" * 200_001])
def test_what_cannot_be_checked_says_so(kb: KnowledgeBase, text: str) -> None:
    report = kb.check(text)
    assert report.error
    assert report.claims == ()


def test_what_is_no_claim_is_left_alone_and_says_so(kb: KnowledgeBase) -> None:
    report = kb.check("Is it so? I think the bridge is ugly. Please call the council.")
    assert report.error is None
    assert [v.kind for v in report.claims] == ["question", "opinion", "instruction"]
    for found in report.claims:
        assert (found.verdict, found.citations) == ("not_found", ())
        assert found.kind in found.explanation
        assert found.to_dict()["kind"] == found.kind


def test_a_pronoun_is_read_as_what_it_stands_for(kb: KnowledgeBase) -> None:
    draft = "Marta is a ferry. It carries lorries every thirty minutes."
    assert kb.check(draft).claims[1].claim == "It carries lorries every thirty minutes."


def test_another_ceiling_is_another_claim(starter: KnowledgeBase) -> None:
    (verdict,) = starter.check("Each Prometheus server holds up to 256 terabytes of memory.").claims
    assert verdict.verdict == "contradicted"
    assert "128 terabytes" in verdict.explanation
    assert "256 terabytes" in verdict.explanation
    (verdict,) = starter.check("Each Prometheus server holds up to 128 terabytes of memory.").claims
    assert verdict.verdict == "supported"


@pytest.mark.parametrize(
    ("claim", "evidence", "is_said"),
    [
        ("the port was closed", "the port was closed in 2025", True),
        ("the port was closed", "officials denied that the port was closed", False),
        ("the port was closed", "nobody knows whether the port was closed", False),
        ("the port handled 10", "the port handled 10 million tonnes", False),
        ("the port handled 1", "the port handled 10", False),
        ("Police arrested the mayor", "Police arrested the mayor's driver", False),
        ("Lyon Foods has bought Acme", "Lyon Foods has bought Acme rival Zenit", False),
        ("Lyon Foods has bought Acme", "Lyon Foods has bought Acme, officials said", True),
        ("Lyon Foods has bought Acme.", "In June Lyon Foods has bought Acme for 3 million euros.", True),
        ("", "the port was closed", False),
    ],
)
def test_a_run_of_words_can_be_taken_back(claim: str, evidence: str, is_said: bool) -> None:
    assert says_it(claim, evidence) is is_said


def test_a_document_of_one_sentence_is_evidence(tmp_path: Path) -> None:
    """Its title is made from that sentence, which does not make the sentence a heading."""
    from ingest.sync import ingest

    records = tmp_path / "notes.jsonl"
    records.write_text(
        '{"id": "note", "text": "Anna Lindt taught physics at Ostra College in 1983."}', encoding="utf-8"
    )
    settings = Settings(kb=tmp_path / "kb")
    with Store.open(tmp_path / "kb", settings, create=True) as store:
        assert not ingest([str(records)], store).failed
    with KnowledgeBase.open(tmp_path / "kb", settings) as kb:
        assert verdict(kb, "Anna Lindt taught physics at Ostra College.").verdict == "supported"
        assert verdict(kb, "Anna Lindt taught physics at Ostra College in 1985.").verdict == "contradicted"


def test_two_sentences_can_say_together_what_neither_says_alone() -> None:
    """Each has a part of the claim, in one document; both are cited. Two articles need not mean the same."""
    texts = "Anna Lindt taught physics at Ostra College.", "Anna Lindt led the choir of the harbour church."
    hits = [
        Hit(Passage("note", n, 100 * n, 100 * n + len(t), t), Source("Note"), 1.0, n)
        for n, t in enumerate(texts)
    ]
    evidence = [sentence for hit in hits for sentence in sentences(hit)]
    apart = [
        replace(e, hit=replace(e.hit, passage=replace(e.hit.passage, document_id=f"note-{n}")))
        for n, e in enumerate(evidence)
    ]
    claim = "Anna Lindt taught physics and led the choir of the harbour church."

    def odds(_: str, pages: Sequence[Page]) -> Array:
        """A reader that is sure of a page only if it has both."""
        return np.array([[9.0, -9.0] if all(t in p.text for t in texts) else [-9.0, -9.0] for p in pages])

    def embed(said: Sequence[str]) -> Array:
        return np.ones((len(said), 1))

    found = [f for f in judge(claim, evidence, embed, odds) if f.verdict == "supported"]
    assert [{c.text for c in f.sentences} for f in found] == [set(texts)]
    assert "two sentences together" in found[0].explanation
    for other in (evidence[:1], apart):
        assert not [f for f in judge(claim, other, embed, odds) if f.verdict == "supported"]


@pytest.mark.parametrize(
    ("sure", "named", "verdict"),
    [(0.6, False, "supported"), (0.9, False, "contradicted"), (0.6, True, "contradicted")],
)
def test_a_contradiction_that_no_rule_names_has_to_be_the_surer_one(
    sure: float, named: bool, verdict: str
) -> None:
    hit = Hit(Passage("note", 0, 0, 15, "The mill burned."), Source("Note"), 1.0, 1)
    (evidence,) = sentences(hit)
    support = Finding("supported", 0.8, 0.7, "", evidence)
    against = Finding("contradicted", sure, 0.9, "", evidence, named=named)
    found = decisive([support, against])
    assert found
    assert found.verdict == verdict
