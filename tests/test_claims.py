"""Drafts taken apart: where a claim begins and ends, what it is about, and what is no claim."""

from __future__ import annotations

import pytest

from kb.claims import kind_of, split


def parts(draft: str) -> list[str]:
    return [draft[claim.start : claim.end] for claim in split(draft)]


def alone(draft: str) -> list[str]:
    return [claim.alone for claim in split(draft)]


@pytest.mark.parametrize(
    ("draft", "expected"),
    [
        (
            "Revenue rose by 5 percent, and profit fell by 3 percent.",
            ["Revenue rose by 5 percent, and profit fell by 3 percent."],
        ),
        (
            "Norvia raised 5 million euros, and Halden Bank lost 3 million euros.",
            ["Norvia raised 5 million euros", "Halden Bank lost 3 million euros."],
        ),
        (
            "The port handled 4,000 ships in 2025; the canal was closed for a week.",
            ["The port handled 4,000 ships in 2025", "the canal was closed for a week."],
        ),
        (
            "The cause is not known; two mills burned down, Ostra Radio reported.",
            ["The cause is not known", "two mills burned down, Ostra Radio reported."],
        ),
        (
            "Norvia opened a plant in Halden but the town refused to pay for the road.",
            ["Norvia opened a plant in Halden", "the town refused to pay for the road."],
        ),
        ("- The ferry sank. [1]\n- The tram runs. [2][3]", ["The ferry sank.", "The tram runs."]),
    ],
)
def test_statements_that_stand_alone_are_split(draft: str, expected: list[str]) -> None:
    assert parts(draft) == expected


@pytest.mark.parametrize(
    "sentence",
    [
        "Norvia, Halden Bank and Ostra Energy signed the letter.",
        "The council said that the bridge was closed and the tram had stopped.",
        "If the bridge is closed, the tram stops and the ferry runs all night.",
        "“The bridge is safe and the tram is late,” said Nora Blum.",
        "The plan (the bridge is closed and the tram is stopped) was dropped.",
        "Anna Lindt and Per Holm run the bakery.",
        "The members are Norvia, which builds trams; Halden Bank; and Ostra Energy.",
        "Nora Blum denied that the bridge was closed; the tram had stopped.",
        "There were three reasons: prices rose; wages fell.",
        "Norvia builds trams and the buses based in Halden.",
        "Norvia builds 40 trams a year, Ostra Radio and Halden News reported in May.",
        "Neither the bridge was closed nor the tram stopped, and the ferry was late.",
    ],
)
def test_what_hangs_together_stays_together(sentence: str) -> None:
    assert parts(sentence) == [sentence]


@pytest.mark.parametrize(
    ("draft", "last"),
    [
        ("Norvia opened a plant in 2024. It employs 300 people.", "Norvia employs 300 people."),
        (
            "Norvia Energy opened a plant. The company employs 300 people.",
            "Norvia Energy employs 300 people.",
        ),
        ("Norvia Energy opened a plant. The company's profit fell.", "Norvia Energy's profit fell."),
        ("Norvia Energy opened a plant. Its profit fell.", "Norvia Energy's profit fell."),
        ("Nora Blum was elected in 2020. She was re-elected in 2024.", "Nora Blum was re-elected in 2024."),
        ("Norvia sold two plants, and it bought a third one.", "Norvia bought a third one."),
        ("Norvia grew in 2024. It shrank in 2025. It closed in 2026.", "Norvia closed in 2026."),
    ],
)
def test_a_pronoun_with_one_possible_meaning_is_resolved(draft: str, last: str) -> None:
    assert alone(draft)[-1] == last
    assert all(draft[c.start : c.end].strip() for c in split(draft))


@pytest.mark.parametrize(
    "draft",
    [
        "Norvia signed a contract with Halden Bank. It plans to open a plant.",  # either of the two
        "Nora Blum met Anna Lindt. She was late.",
        "Norvia opened a plant. It is likely that prices fall.",  # stands for nothing
        "Norvia opened a plant.\n\nIt rained all night.",  # another paragraph
        "Nora Blum was elected in 2020. It was a close race.",  # not she
        "Spending rose in 2024, and more spending is planned. The company is happy.",
        "Is Norvia closed? It employs 300 people.",
    ],
)
def test_a_doubtful_pronoun_is_left_as_it_is(draft: str) -> None:
    assert alone(draft)[-1] == parts(draft)[-1]


@pytest.mark.parametrize(
    ("sentence", "kind"),
    [
        ("Was the bridge closed?", "question"),
        ("“Who knows?”", "question"),
        ("I think the bridge is too old.", "opinion"),
        ("In my view the bridge is too old.", "opinion"),
        ("The council should build a new bridge.", "opinion"),
        ("The new bridge is simply beautiful.", "opinion"),
        ("What a day!", "opinion"),
        ("Please send us your pictures.", "instruction"),
        ("Read the full report on our page.", "instruction"),
        ("Don't miss the next issue.", "instruction"),
        ("The bridge was closed in 2025.", "claim"),
        ("Nora Blum said that the council should build a new bridge.", "claim"),
        ("The author considers the timing uncertain.", "claim"),
        ("The repair should have cost 4 million euros.", "claim"),
        ("Take That sold 45 million records.", "claim"),
        ("Call volumes rose by 5 percent.", "claim"),
        ("Watch sales fell in 2025.", "claim"),
        ("It is unclear whether the bridge should be closed.", "claim"),
    ],
)
def test_what_no_document_can_settle_is_told_apart(sentence: str, kind: str) -> None:
    assert kind_of(sentence) == kind
    assert [claim.kind for claim in split(sentence)] == [kind]


@pytest.mark.parametrize("draft", ["", " \n ", "…", "[1]", "- \n- "])
def test_a_draft_that_says_nothing_has_no_claims(draft: str) -> None:
    assert split(draft) == []


def test_headings_are_told_from_claims() -> None:
    text = (
        "# The race\n\nThe bridge was closed.\n\nA new ferry\n\nIt runs until midnight.\n\n"
        "Meta buys Overview\n\n- Longer hours\n\n41 million for the bridge\n\nNo more lorries"
    )
    found = {text[c.start : c.end]: c.kind for c in split(text)}
    assert [said for said, kind in found.items() if kind == "heading"] == ["The race", "A new ferry"]
    assert [c.kind for c in split("A ferry for lorries")] == ["claim"]  # all there is to check
