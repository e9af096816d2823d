"""What the library holds: copies, problems, views and counts."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pytest

from kb import pipeline
from kb.holdings import Holding, View, by_publisher, chosen, holdings, over_time, publishers
from kb.pipeline import KnowledgeBase
from kb.types import DocumentSummary

TODAY = date(2026, 6, 1)


def summary(id: str, published: str | None = "2026-04-28", **known: Any) -> DocumentSummary:
    known = {"title": id.upper(), "publisher": "The Quay", "passages": 3, **known}
    return DocumentSummary(
        id,
        known["title"],
        known["publisher"],
        known.get("author"),
        published,
        None,
        "text/plain",
        known.get("characters", 1000),
        known["passages"],
        "0" * 64,
        correction=known.get("correction"),
        copies=known.get("copies", ()),
    )


def held(*summaries: DocumentSummary) -> list[Holding]:
    return holdings(summaries, TODAY)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        (summary("a", None), "no date"),
        (summary("a", "2027-01-01"), "in the future"),
        (summary("a", "0012-01-01"), "cannot be right"),
        (summary("a", publisher=None), "no publisher"),
        (summary("a", characters=5), "hardly any text"),
        (summary("a", correction="Correction: it was 40."), "carries a correction"),
    ],
)
def test_a_problem_is_told_in_words(document: DocumentSummary, said: str) -> None:
    (one,) = held(document)
    assert len(one.problems) == 1
    assert said in one.problems[0]


def test_a_sound_document_has_none() -> None:
    assert held(summary("a"))[0].problems == ()


SHELF = held(
    summary("a", "2026-05", title="Zebras", passages=9),
    summary("b", "2026-04-28", title="apples", publisher="Valley Post", author="Ada", copies=("a",)),
    summary("c", None, title="Bridges", publisher=None),
)


@pytest.mark.parametrize(
    ("view", "ids"),
    [
        (View(), "abc"),
        (View(order="oldest"), "bac"),
        (View(order="title"), "bca"),
        (View(order="publisher"), "abc"),
        (View(order="passages"), "abc"),
        (View("ADA post"), "b"),
        (View("2026-0"), "ab"),
        (View("nowhere"), ""),
        (View(publisher="Valley Post"), "b"),
        (View(publisher="Valley"), ""),
        (View(only="problems"), "c"),
        (View(only="copies"), "b"),
    ],
)
def test_a_view_searches_filters_and_orders(view: View, ids: str) -> None:
    assert "".join(one.document.id for one in chosen(SHELF, view)) == ids


def test_counts_over_time_have_no_gaps() -> None:
    assert over_time(SHELF) == [("2026-04", 1), ("2026-05", 1)]
    assert over_time(held(summary("a", "2026-01-02"), summary("b", "2026-03"))) == [
        ("2026-01", 1),
        ("2026-02", 0),
        ("2026-03", 1),
    ]
    years = over_time(held(summary("a", "2019"), summary("b", "2021-03")))
    assert years == [("2019", 1), ("2020", 0), ("2021", 1)]
    assert over_time(held(summary("a", "1700"), summary("b", "2021-03"))) == [("1700", 1), ("2021", 1)]
    assert over_time(held(summary("a", "in May"), summary("b", None))) == []


def test_the_smaller_publishers_are_counted_together() -> None:
    many = held(*(summary(str(n), publisher=f"P{min(n, 11):02}") for n in range(14)))
    counts = by_publisher(many)
    assert counts[0] == ("P11", 3)
    assert counts[-1] == ("4 others", 4)
    assert sum(count for _, count in counts) == 14
    assert by_publisher(SHELF)[-1][0] == "Valley Post"
    assert publishers(SHELF) == ["The Quay", "Valley Post"]


def test_what_lies_ahead_is_looked_at_anew_every_day(
    library: KnowledgeBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest = date.fromisoformat(library.info()["newest"])

    class Clock(date):
        now = newest - timedelta(days=1)

        @classmethod
        def today(cls) -> date:
            return cls.now

    def ahead() -> list[str]:
        held = library.holdings()
        assert library.holdings() is held, "they are kept as long as the day lasts"
        return [one.document.id for one in held if "Its date lies in the future." in one.problems]

    monkeypatch.setattr(pipeline, "date", Clock)
    assert ahead()
    Clock.now = newest
    assert not ahead()
