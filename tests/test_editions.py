"""Copies and corrections: what is told of whole texts, and how the catalogue links them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.sync import ingest
from kb.editions import are_copies, runs, sketch
from kb.settings import Settings
from kb.store import Store

REPORT = [
    "The harbour bridge of Norwick was closed to lorries on Tuesday; engineers found cracks in two piers.",
    "The council expects the repair to cost 41 million euros and to take until the autumn of next year.",
    "Lorries will be sent across the old ring road, which passes a school and the town's only hospital.",
    "Residents have asked for a limit of thirty kilometres an hour there, a demand the police support.",
    "The ferry company said it could carry up to two hundred lorries a day if the harbour master agreed.",
    "A decision on the ferry is expected within a week, the mayor told reporters outside the town hall.",
]
OTHER = [
    "Growers in the Lenne valley lost more than half of their apple blossom to the frost of the last week.",
    "The association speaks of the worst spring in thirty years and asks the state for quick help.",
    "Most of the trees had flowered two weeks early after a March that was warmer than any before.",
    "Insurance against frost is rare in the valley, since its price has doubled within four years.",
]


def text(sentences: list[str]) -> str:
    return "\n\n".join(sentences)


def test_a_report_that_was_cut_and_retitled_is_a_copy() -> None:
    whole = runs(text(REPORT))
    assert are_copies(whole, runs("Lorries banned from bridge\n\n" + text(REPORT[:3])))
    assert are_copies(whole, runs(text(REPORT).replace("41 million", "43 million").upper()))
    assert are_copies(runs(text(REPORT[:4])), runs(text(REPORT[1:])))


def test_texts_that_share_a_paragraph_are_no_copies() -> None:
    assert not are_copies(runs(text(REPORT)), runs(text(OTHER)))
    assert not are_copies(runs(text(REPORT)), runs(text([*OTHER, REPORT[0]])))
    assert not are_copies(runs(text(REPORT)), runs(REPORT[0])), "a quoted sentence"
    assert not are_copies(runs("Rain is expected. More soon."), runs("Rain is expected. More soon."))


def test_copies_have_like_sketches() -> None:
    whole, cut = sketch(runs(text(REPORT))), sketch(runs(text(REPORT[:2])))
    assert len(set(whole) & set(cut)) >= 4
    assert not set(whole) & set(sketch(runs(text(OTHER))))
    assert sketch(runs("Too short.")) == ()


# ------------------------------------------------------------------------------------ in the catalogue


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    folder = tmp_path / "kb"
    with Store.open(folder, Settings(kb=folder, embedder="hash"), create=True) as made:
        yield made


def copies(store: Store, tmp_path: Path, **articles: list[str] | None) -> dict[str, tuple[str, ...]]:
    """The copies of each document after these files were written (or removed) and ingested."""
    news = tmp_path / "news"
    news.mkdir(exist_ok=True)
    for name, sentences in articles.items():
        path = news / f"{name}.txt"
        path.unlink() if sentences is None else path.write_text(text([f"The {name} says so.", *sentences]))
    ingest([str(news)], store, prune=True)
    listed = {d.id.removesuffix(".txt"): d for d in store.catalogue.documents()}
    for summary in listed.values():
        assert store.catalogue.document(summary.id).copies == summary.copies
    return {name: tuple(c.removesuffix(".txt") for c in d.copies) for name, d in listed.items() if d.copies}


def test_copies_are_linked_both_ways_and_kept(store: Store, tmp_path: Path) -> None:
    assert copies(store, tmp_path, post=REPORT, radio=REPORT[:3], echo=OTHER) == {
        "post": ("radio",),
        "radio": ("post",),
    }
    assert store.catalogue.counts()[0] == 3
    assert copies(store, tmp_path, herald=REPORT[1:])["herald"] == ("post", "radio")


def test_a_document_that_changes_or_goes_is_no_copy_any_more(store: Store, tmp_path: Path) -> None:
    assert len(copies(store, tmp_path, post=REPORT, radio=REPORT, echo=REPORT)) == 3
    assert copies(store, tmp_path, radio=OTHER) == {"post": ("echo",), "echo": ("post",)}
    assert copies(store, tmp_path, echo=None) == {}
    assert copies(store, tmp_path, echo=OTHER) == {"radio": ("echo",), "echo": ("radio",)}


def test_copies_of_a_copy_part_when_it_goes(store: Store, tmp_path: Path) -> None:
    start, end = REPORT[:3], REPORT[3:]
    linked = copies(store, tmp_path, early=start, late=end, whole=REPORT)
    assert linked == {"early": ("late", "whole"), "late": ("early", "whole"), "whole": ("early", "late")}
    assert copies(store, tmp_path, whole=None) == {}


def test_copies_are_found_where_more_share_words_than_are_looked_at(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kb.catalogue._MOST_SHARING", 2)
    first = copies(store, tmp_path, **dict.fromkeys(("post", "radio", "echo", "wire"), OTHER + REPORT[:2]))
    assert len(first) == 4
    linked = copies(store, tmp_path, herald=REPORT, courier=REPORT[1:])
    assert linked["courier"] == ("herald",), "the paragraph that all share hides them from each other"


def test_a_correction_is_kept_with_its_document(store: Store, tmp_path: Path) -> None:
    notice = "Correction: An earlier version of this article gave another sum."
    copies(store, tmp_path, post=[*REPORT, notice], radio=OTHER)
    assert {d.id: d.correction for d in store.catalogue.documents()} == {
        "post.txt": notice,
        "radio.txt": None,
    }
    assert store.catalogue.document("post.txt").correction == notice
