"""The rules of a sub-editor, one pair of sentences at a time: what differs is named, the rest is let pass."""

from __future__ import annotations

import pytest

from kb import rules


def difference(claim: str, evidence: str, around: str = "", published: str | None = None) -> str | None:
    return rules.difference(rules.pair(claim, evidence, around, published))


def missing(claim: str, evidence: str, around: str = "", published: str | None = None) -> str | None:
    return rules.missing(rules.pair(claim, evidence, around, published))


REVENUE = "Norvia's revenue rose to $10 billion in 2025, while its backlog fell to $90 billion."
SUED = "Norvia sued Halden Bank over the unpaid loan."


@pytest.mark.parametrize(
    ("claim", "evidence", "said", "claimed"),
    [
        # Figures, each with what it belongs to
        ("The port has 12 cranes.", "On 3 March 2026 the port had 15 cranes.", "15", "12"),
        ("Norvia's revenue was $90 billion.", REVENUE, "$10 billion", "$90 billion"),
        ("Norvia's backlog was $10 billion.", REVENUE, "$90 billion", "$10 billion"),
        ("The plan costs $60 billion.", "The plan costs $600bn.", "$600bn", "$60 billion"),
        ("Traffic rose by 9 per cent.", "Traffic rose by 8%.", "8%", "9 per cent"),
        ("The line is 40 km long.", "The line is 40 miles long.", "40 miles", "40 km"),
        ("The repair cost 5 million pounds.", "The repair cost 5.4 million pounds.", "5.4", "5 million"),
        (
            "The council voted 12 to 31 for the repair.",
            "The council voted 31 to 12 for the repair.",
            "31, 12",
            "12, 31",
        ),
        (
            "The rack draws 150 to 132 kilowatts, Ostra Radio reported.",
            "The rack draws 120 to 132 kilowatts, Ostra Radio reported.",
            "120",
            "150",
        ),
        # Limits
        ("A server holds 128 terabytes.", "A server holds up to 128 terabytes.", "up to 128", "says 128"),
        (
            "A server holds at least 128 terabytes.",
            "A server holds up to 128 terabytes.",
            "up to",
            "at least",
        ),
        ("More than 900 people came.", "At least 800 people came.", "800", "900"),
        ("More than 800 people came.", "More than 900 people came.", "900", "800"),  # another figure
        ("Over 2 million people came.", "In all 1.2 million people came.", "1.2 million", "2 million"),
        # Opposites
        ("Ada Holm was the first guest to leave.", "Ada Holm was the last guest to leave.", "last", "first"),
        ("The test was positive.", "The test was negative.", "negative", "positive"),
        ("The park is a private one.", "The park is a public one.", "public", "private"),
        # Dates
        ("The bridge opened in May 2024.", "The bridge opened on 3 June 2024.", "3 June 2024", "May 2024"),
        (
            "Anna Lindt was born on 5 May 1960.",
            "Anna Lindt was born on 5 May 1950 and left college on 5 May 1960.",
            "5 May 1950",
            "5 May 1960",
        ),
        ("The bridge was closed on Friday.", "The bridge was closed on Tuesday.", "Tuesday", "Friday"),
        ("The bridge was closed on Friday.", "The bridge was closed on 3 March 2026.", "3 March", "Friday"),
        (
            "In April 2025 Norvia signed a contract that runs from 2025 to 2032.",
            "In April 2024 Norvia signed a contract that runs from 2025 to 2032.",
            "April 2024",
            "April 2025",
        ),
        (
            "Norvia raised its forecast in October 2025, Ostra Radio reported on October 27, 2025.",
            "Norvia raised its forecast in October 2025, Ostra Radio reported on October 30, 2025.",
            "October 30, 2025",
            "October 27, 2025",
        ),
        # Order and share
        ("The ferry is the second stop.", "The ferry is the third stop.", "third", "second"),
        ("Saltholm is the largest island.", "Saltholm is the second-largest island.", "largest", "largest"),
        ("All growers lost blossom.", "Some growers lost blossom.", "Some", "All"),
        ("All growers lost blossom.", "Most growers lost blossom.", "Most", "All"),
        # Direction
        ("Norvia's revenue fell in 2025.", REVENUE, "rose", "fell"),
        ("Norvia missed its target.", "Norvia beat its target.", "beat", "missed"),
        ("The bank lowered its rate.", "The bank raised its rate.", "raised", "lowered"),
        (
            "The timing of the vote is certain.",
            "The timing of the vote is uncertain.",
            "uncertain",
            "certain",
        ),
        ("The merger is lawful.", "The merger is unlawful.", "unlawful", "lawful"),
        # Names
        ("Ostra Energy sued Halden Bank.", SUED, "Norvia", "Ostra Energy"),
        (
            "Peter Hahn called the repair overdue.",
            "Nora Blum called the repair overdue.",
            "Nora Blum",
            "Peter Hahn",
        ),
        (
            "Saltholm uses trams of its own make, and each carries up to 80 people.",
            "Norvia uses trams of its own make, and each carries up to 80 people.",
            "Norvia",
            "Saltholm",
        ),
        ("The plant is in Halden.", "The plant is in Ostra.", "Ostra", "Halden"),
        ("The author is a Danish poet.", "The author is a Swedish poet.", "Swedish", "Danish"),
        # Plans
        ("Norvia built a plant in Halden.", "Norvia plans to build a plant in Halden.", "plans", "built"),
        (
            "Norvia completed a test flight in 2028.",
            "Norvia is targeting a test flight in 2028.",
            "targeting",
            "completed",
        ),
    ],
)
def test_a_difference_is_named(claim: str, evidence: str, said: str, claimed: str) -> None:
    found = difference(claim, evidence)
    assert found
    source, _, ours = found.partition(", the claim")
    assert said in source
    assert claimed in f", the claim{ours}"


@pytest.mark.parametrize(
    ("claim", "evidence"),
    [
        ("The port was not closed in 2025.", "The port was closed in 2025."),
        ("The port was closed in 2025.", "The port was never closed in 2025."),
        ("Norvia builds the plant without partners.", "Norvia builds the plant in partnership with Ostra."),
        ("The plan counts as a public good.", "The plan does not count as a public good."),
        ("Anna Lindt became a minister.", "Anna Lindt never agreed to become a minister."),
        ("It is impossible for small firms to find a market.", "Some small firms will find a market."),
        ("Halden is highly industrial.", "Halden is barely industrial."),
        ("Anna Lindt wrote for the paper.", "Anna Lindt declined to write for the paper."),
    ],
)
def test_a_denial_is_found(claim: str, evidence: str) -> None:
    assert "den" in (difference(claim, evidence) or "")


@pytest.mark.parametrize(
    ("claim", "evidence"),
    [
        ("Halden Bank sued Norvia over the loan.", SUED),
        ("Norvia was sued by Halden Bank over the loan.", SUED),
        ("Anna Lindt defeated Per Holm in 2020.", "Anna Lindt was defeated by Per Holm in 2020."),
    ],
)
def test_swapped_roles_are_found(claim: str, evidence: str) -> None:
    assert "the other way round" in (difference(claim, evidence) or "")


@pytest.mark.parametrize(
    ("claim", "evidence"),
    [
        ("The port had 3 cranes.", "On 3 March 2026 the port had 3 cranes."),
        ("The plan costs 600 billion dollars.", "The plan costs $600bn."),
        ("The repair cost 1,200 m euros.", "The repair cost 1.2 bn euros."),
        ("Traffic rose by 8 percent.", "Traffic rose by 8 per cent."),
        ("Over 1 million people came.", "In all 1.2 million people came."),
        ("About 1.25 million people came.", "In all 1.2 million people came."),
        ("Fewer than 2 million people came.", "In all 1.2 million people came."),
        ("The repair cost 5.4 million euros.", "The repair cost 5.38 million euros."),
        ("More than 800 people came.", "At least 900 people came."),
        ("Norvia's revenue was $10 billion.", REVENUE),
        ("Norvia's backlog was $90 billion.", REVENUE),
        ("Norvia's backlog fell.", REVENUE),
        ("Norvia's revenue rose.", REVENUE),
        ("Halden Bank was sued by Norvia.", SUED),
        ("Norvia and Halden Bank signed the deal.", "Halden Bank and Norvia signed the deal."),
        ("Anna Lindt met Per Holm.", "Per Holm met Anna Lindt."),
        ("The bridge opened in June 2024.", "The bridge opened on 3 June 2024."),
        ("The bridge was closed on Tuesday.", "The bridge was closed on 3 March 2026."),
        ("Some growers lost blossom.", "All growers lost blossom."),
        ("Norvia opened a plant.", "Norvia, which has not paid tax, opened a plant."),
        ("Norvia builds not only trams.", "Norvia builds trams and buses."),
        ("Norvia has a large debt.", "Norvia has no debt in Ostra, but it has a large debt in Halden."),
        ("The tram is full at noon.", "If the tram is not full at noon, it waits."),
        ("No fewer than 800 people came.", "At least 800 people came."),
        ("The port wasn't closed in 2025.", "The port was not closed in 2025."),
        ("Thatcher lost.", "Margaret Thatcher lost."),
        ("Margaret Thatcher lost.", "Thatcher lost."),
        ("The IEA raised its forecast.", "The International Energy Agency raised its forecast."),
        ("The United States raised its tariff.", "The U.S. raised its tariff."),
        ("Norvia plans to build a plant.", "Norvia will build a plant."),
        ("Norvia built a plant.", "Norvia built a plant and plans to build another one."),
        ("The first week was dry.", "The first week was dry, he said last week."),
    ],
)
def test_what_agrees_is_let_pass(claim: str, evidence: str) -> None:
    assert difference(claim, evidence) is None
    assert missing(claim, evidence) is None


@pytest.mark.parametrize(
    ("claim", "evidence"),
    [
        # About somebody or something else: another value there is no contradiction.
        ("Ostra Energy raised 5 million euros.", "Norvia raised 7 million euros."),
        ("The tram carried 1 million people.", "The ferry, which sank in 2020, cost 2 million euros."),
        ("The bridge opened in 1998.", "The tower was painted in 2004."),
        ("The novel is not by Anna Lindt.", "The novel is by Per Holm."),
    ],
)
def test_a_mere_other_value_is_no_contradiction(claim: str, evidence: str) -> None:
    assert difference(claim, evidence) is None


@pytest.mark.parametrize(
    ("claim", "evidence", "lacks"),
    [
        ("Peter Hahn opened the bridge.", "The bridge was opened.", "Peter Hahn"),
        ("The bridge cost 4 million euros.", "The bridge was costly.", "4 million euros"),
        ("The bridge opened on 3 June 2024.", "The bridge opened in June 2024.", "3 June 2024"),
        ("The bridge opened in 2024.", "The bridge opened.", "2024"),
    ],
)
def test_what_the_source_lacks_is_named(claim: str, evidence: str, lacks: str) -> None:
    assert difference(claim, evidence) is None
    assert missing(claim, evidence) == lacks


def test_what_stands_around_the_sentence_counts() -> None:
    assert missing("Norvia sold 5 trams in 2024.", "It sold 5 trams.", "Norvia in 2024") is None
    # A sentence on its own that says "she" may well mean her.
    assert missing("Anna Lindt taught in Ostra.", "She taught in Ostra.") is None
    assert missing("Anna Lindt taught in Ostra.", "She taught in Ostra.", "Nora Blum") == "Anna Lindt"


def test_the_subject_may_stand_in_the_sentence_before() -> None:
    evidence = "The plant is the largest in Ostra, as Halden and Saltholm have found."
    claim = "The Norvia plant is the largest in Ostra."
    assert difference(claim, evidence, "Norvia builds a plant.") is None
    assert missing(claim, evidence, "Norvia builds a plant.") is None


def test_days_are_counted_from_the_publication() -> None:
    published = "2026-04-28"  # a Tuesday
    assert (
        difference("The port closed on 27 April 2026.", "The port closed on Monday.", "", published) is None
    )
    assert missing("The port closed on 27 April 2026.", "The port closed on Monday.", "", published) is None
    found = difference("The port closed on 26 April 2026.", "The port closed yesterday.", "", published)
    assert found == "The source (28 April 2026) says yesterday, the claim says 26 April 2026."
    assert difference("Profit fell in 2025.", "Profit fell last year.", "", published) is None
    assert difference("Profit fell in 2024.", "Profit fell last year.", "", published)


@pytest.mark.parametrize(
    ("claim", "evidence", "expected"),
    [
        ("Anna Lindt is a poet.", "Anna Lindt (born 1950) is a Danish senator.", ("Danish senator", "poet")),
        (
            "Anna Lindt is a poet.",
            "Anna Lindt is a singer, dancer and actress from Ostra.",
            ("singer, dancer and actress from Ostra", "poet"),
        ),
        ("Anna Lindt is a poet.", "Anna Lindt is a Danish poet.", None),
        ("Anna Lindt is a person.", "Anna Lindt is a Danish poet.", None),
        ("Anna Lindt is not a poet.", "Anna Lindt is a Danish senator.", None),
        ("Anna Lindt is a poet.", "Per Holm, a friend of Anna Lindt, is a senator.", None),
    ],
)
def test_what_somebody_is_called_is_set_side_by_side(
    claim: str, evidence: str, expected: tuple[str, str] | None
) -> None:
    assert rules.kinds(rules.pair(claim, evidence)) == expected


def test_what_a_claim_leaves_out_is_noted() -> None:
    attributed = rules.pair("Norvia sold a plant.", "Norvia sold a plant, according to Reuters.")
    assert "Reuters" in rules.notes(attributed)[0]
    limited = rules.pair("The fire killed 80 people.", "The fire killed at least 80 people.")
    assert rules.notes(limited) == ["It says at least 80."]
    assert rules.notes(rules.pair("Norvia sold a plant.", "Norvia sold a plant.")) == []


@pytest.mark.parametrize(
    ("claim", "evidence", "around", "read"),
    [
        (
            "Anna Lindt taught physics.",
            "She was a physics teacher in Halden.",
            "",
            "Anna Lindt was a physics teacher in Halden.",
        ),
        (
            "Anna Lindt led the choir for ten years.",
            "In 1983, her choir won a prize.",
            "Anna Lindt came to Ostra.",
            "In 1983, Anna Lindt's choir won a prize.",
        ),
        # The claim names Ostra too, which the sentence lacks: "she" is the one who opens the claim.
        (
            "Anna Lindt taught in Ostra.",
            "She taught in the north.",
            "",
            "Anna Lindt taught in the north.",
        ),
        # Somebody else is named, or nobody is meant
        ("Anna Lindt taught physics.", "She taught physics.", "Nora Blum came.", "She taught physics."),
        ("Anna Lindt taught physics.", "Physics was taught.", "", "Physics was taught."),
        ("She taught physics in Halden.", "She taught physics.", "", "She taught physics."),
    ],
)
def test_a_sentence_is_read_with_the_name_that_it_may_mean(
    claim: str, evidence: str, around: str, read: str
) -> None:
    assert rules.resolved(rules.pair(claim, evidence, around)) == read


@pytest.mark.parametrize(
    ("claim", "agree"),
    [
        ("The bridge cost 41 million euros in 2026.", True),
        ("The bridge cost 45 million euros in 2026.", False),
        ("The bridge was dear.", False),
    ],
)
def test_figures_agree_only_where_there_are_some(claim: str, agree: bool) -> None:
    assert rules.figures_agree(rules.pair(claim, "In 2026 the bridge cost 41 million euros.")) is agree


@pytest.mark.parametrize(
    ("claim", "evidence", "settled"),
    [
        ("About 1.25 million came in May.", "In all 1.2 million came in May.", "1.2 million came in May."),
        (
            "It cost $600bn in 2026.",
            "It cost 600 billion dollars on 3 May 2026.",
            "It cost 600 billion dollars on 3 May 2026.",
        ),
        ("It cost $500bn in 2025.", "It cost 600 billion dollars on 3 May 2026.", "It cost $500bn in 2025."),
    ],
)
def test_figures_that_agree_are_read_as_the_source_prints_them(
    claim: str, evidence: str, settled: str
) -> None:
    assert rules.settled(rules.pair(claim, evidence)) == settled
