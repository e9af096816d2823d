"""What is read off plain text: sentences, normal form, words, names, amounts and dates."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from kb.text import (
    amounts,
    content_words,
    dates,
    fold,
    names,
    normalise,
    sentence_spans,
    stem,
    word_count,
    words,
)

# Text that is made of what sentences trip over, beside any text at all.
_PIECES = st.sampled_from(
    [
        *". ... ! ? … 。 ！ 」 「 ” “ \" ' ) ( [1] No. Mr. U.S. p.m. e.g. 3.5 $ 10 - – , to".split(),
        *"The he Nora J. iPhone million percent MW March 2026 ▸ 数 é e\u0301".split(),
        *("\n", "\n\n", " ", " ", " ", " ", "\u3000", "\u00a0", "\u2028", "\x0b", "\r"),
    ]
)
_TEXT = st.one_of(st.text(max_size=80), st.lists(_PIECES, max_size=40).map("".join))


def sentences(text: str) -> list[str]:
    return [text[start:end] for start, end in sentence_spans(text)]


# ---------------------------------------------------------------------------------------- sentences


@given(_TEXT)
@example("a.\u00a0B.")
def test_sentences_are_in_order_apart_and_miss_only_white_space(text: str) -> None:
    last = 0
    for start, end in sentence_spans(text):
        assert last <= start < end <= len(text)
        assert text[last:start].strip() == ""
        assert text[start:end] == text[start:end].strip()
        assert "\n" not in text[start:end]
        last = end
    assert text[last:].strip() == ""


@given(_TEXT, st.integers(0, 80), st.integers(0, 80))
def test_sentences_of_a_part_stay_in_it(text: str, one: int, other: int) -> None:
    start, end = sorted((min(one, len(text)), min(other, len(text))))
    spans = sentence_spans(text, start, end)
    assert all(start <= s < e <= end for s, e in spans)
    assert "".join(text[s:e] for s, e in spans).split() == "".join(sentences(text[start:end])).split()


@given(_TEXT)
def test_a_sentence_read_alone_is_one_sentence(text: str) -> None:
    for sentence in sentences(text):
        assert sentences(sentence) == [sentence]


@pytest.mark.parametrize(
    "text",
    [
        "Mr. Smith met Dr. Jones at 5 p.m. on Friday.|They left.",
        "The U.S. economy grew.|Inflation fell.",
        "U.S. President Ana Ruiz spoke.|U.N. officials left.",
        "He moved to the U.S.|The move took years.",
        "J. R. R. Tolkien wrote it.|It sold.",
        "I spoke to John F. Kennedy.|He nodded.",
        "It cost $3.5 billion.|Then it cost more.",
        "Version 2.0.|The next one.",
        "In Jan. 2026 it rose.|In Feb. it fell.",
        "See e.g. Smith et al. 2020.|There are others.",
        "Apple Inc. reported results.|Shares rose.",
        "He works for Nvidia Co. Ltd. in Taipei.|She does too.",
        "St. Louis won.|Gov. Abbott spoke.",
        "Prices rose to Rs. 500.|Then they fell.",
        "Is it No. 5 or No. 6?|It is No. 7.",
        "The answer is no.|The vote failed.",
        "It failed (see Fig. 3).|Then it rose.",
        "Plan B.|It failed.",
        "It rose 5%.|2026 was better.",
        "It ended in 2025.|40 people came.",
        "Visit https://a.example/c?d=e.|Then go.",
        "iPhone sales rose.|iPad sales fell.",
        "Yahoo! is a firm.|It rose.",
        "Really?!|Yes.",
    ],
)
def test_full_stops_that_end_a_sentence_and_those_that_do_not(text: str) -> None:
    assert sentences(text.replace("|", " ")) == text.split("|")


@pytest.mark.parametrize(
    "text",
    [
        "“We won.” The crowd cheered.|“We won.”|The crowd cheered.",
        "He said “Stop!” and left.|He said “Stop!” and left.",
        "He said, 'No.' She said yes.|He said, 'No.'|She said yes.",
        "«Oui.» Il partit.|«Oui.»|Il partit.",
        "(It rained.) The sun came.|(It rained.)|The sun came.",
        "Wait... what? Yes.|Wait... what?|Yes.",
        "Well… It ended.|Well…|It ended.",
        "One fact.[1] Two facts.[2][3] Three.|One fact.[1]|Two facts.[2][3]|Three.",
        "これは文です。次の文です。|これは文です。|次の文です。",
        "「はい。」と言った。次です！|「はい。」と言った。|次です！",
        "本当？はい。|本当？|はい。",
        "यह वाक्य है। दूसरा।|यह वाक्य है।|दूसरा।",
        "هل هذا؟ نعم.|هل هذا؟|نعم.",
        "A heading\nA line\n\nAnother.|A heading|A line|Another.",
        "  lead. \n\n next |lead.|next",
        "no mark at all|no mark at all",
    ],
)
def test_quotes_brackets_other_scripts_and_lines(text: str) -> None:
    whole, *expected = text.split("|")
    assert sentences(whole) == expected


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\u3000\t"])
def test_no_sentence_in_nothing(text: str) -> None:
    assert sentence_spans(text) == []


def test_long_texts_take_a_moment_only() -> None:
    """A page that is one line, or dots alone, must not take quadratic time."""
    import time

    started = time.perf_counter()
    for text in ("word. " * 20_000, "." * 100_000, "A." * 50_000, "1," * 50_000, "a " * 50_000):
        sentence_spans(text)
        amounts(text)
        dates(text)
    assert time.perf_counter() - started < 10


# --------------------------------------------------------------------------------------- normal form


@given(_TEXT)
@example("e\u200b\u0301")
@example("a\n\u2060\n\u2060\n\nb")
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalise(text)
    assert normalise(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert once == once.strip()
    assert "\n\n\n" not in once
    assert not re.search(r"[^\S\n](?:\n|$)", once)
    assert not [c for c in once if unicodedata.category(c) in ("Cc", "Cs") and c != "\n"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\r\nb\rc", "a\nb\nc"),
        ("a\u2028b\u2029c\x0bd\x0ce\x85f", "a\nb\nc\nd\ne\nf"),
        ("\ufeffa\x00bc", "abc"),
        ("data\u00adcenter", "datacenter"),
        ("e\u0301", "é"),
        ("a\u200bb", "a\u200bb"),  # a quote is letter by letter what the source has
        ("  a \n\n\n\n b  ", "a\n\n b"),
        ("\ud800a", "a"),
        ("می\u200cخواهم", "می\u200cخواهم"),
    ],
)
def test_normal_form(text: str, expected: str) -> None:
    assert normalise(text) == expected


# --------------------------------------------------------------------------------------------- words


def test_lone_marks_are_no_words() -> None:
    assert word_count("The Queen , on the advice of her minister , appoints \u2013 she does .") == 11
    assert word_count("It cost $3.5 billion (10%), well-known sources say.") == 8


def test_inflections_case_and_accents_are_one_stem() -> None:
    for one, other in (
        ("Bridges", "bridge"),
        ("investing", "invested"),
        ("ÉCOLE", "ecole"),
        ("Nora's", "nora"),
    ):
        assert stem(one) == stem(other)
    assert stem("Nora’s") == stem("Nora's")
    assert fold("Straße") == "strasse"


@given(_TEXT)
def test_words_stand_where_they_say(text: str) -> None:
    for word in words(text):
        assert text[word.start : word.end] == word.text


def test_content_words_carry_meaning() -> None:
    assert [w.text for w in content_words("What is the price of the H100, and why?")] == ["price", "H100"]


# --------------------------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Nora Blum spoke.", ["Nora Blum"]),
        ("Spending rose. It fell.", []),
        ("When did Nora Blum call?", ["Nora Blum"]),
        (
            "The University of Oxford and the Bank of England met.",
            ["University of Oxford", "Bank of England"],
        ),
        ("Who leads OpenAI?", ["OpenAI"]),
        ("the iPhone and xAI", ["iPhone", "xAI"]),
        ("In May Nora left.", ["Nora"]),
        ("What did Sam Altman say about GPT-5?", ["Sam Altman", "GPT-5"]),
        ("This is Jensen Huang's company.", ["Jensen Huang"]),
        ("It was Nora’s.", ["Nora"]),
        ("They met O'Neil and Ludwig van Beethoven.", ["O'Neil and Ludwig van Beethoven"]),
        (
            "He saw Ludwig van Beethoven, not Élodie Durand-Petit.",
            ["Ludwig van Beethoven", "Élodie Durand-Petit"],
        ),
        ("Here Łukasz Żuk met Øre from the Şişli district.", ["Łukasz Żuk", "Øre", "Şişli"]),
        ("i think so", []),
        ("", []),
    ],
)
def test_names(text: str, expected: list[str]) -> None:
    assert [text[start:end] for start, end in names(text)] == expected


@given(_TEXT)
def test_names_are_whole_and_in_order(text: str) -> None:
    last = 0
    for start, end in names(text):
        assert last <= start < end <= len(text)
        last = end


# ------------------------------------------------------------------------------------------- amounts


def amount(text: str) -> tuple[float, str, str]:
    [found] = amounts(text)
    return found.value, found.kind, found.unit


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("$600bn", 6e11, "USD"),
        ("$600 billion", 6e11, "USD"),
        ("$ 5 million", 5e6, "USD"),
        ("US$1.5 trillion", 1.5e12, "USD"),
        ("US$ 5bn", 5e9, "USD"),
        ("USD 5 million", 5e6, "USD"),
        ("5 million USD", 5e6, "USD"),
        ("5 million US dollars", 5e6, "USD"),
        ("a billion dollars", 1e9, "USD"),
        ("$1.2tn", 1.2e12, "USD"),
        ("$5k", 5000, "USD"),
        ("$3.", 3, "USD"),
        ("a 5-million-euro fund", 5e6, "EUR"),
        ("€41 million", 4.1e7, "EUR"),
        ("90,000 euros", 9e4, "EUR"),
        ("£3.2m", 3.2e6, "GBP"),
        ("₹10,000 crore", 1e11, "INR"),
        ("₹ 500", 500, "INR"),
        ("Rs. 500 crore", 5e9, "INR"),
        ("Rs500", 500, "INR"),
        ("10 lakh rupees", 1e6, "INR"),
        ("₹2 lakh crore", 2e12, "INR"),
        ("¥500 billion", 5e11, "JPY"),
    ],
)
def test_money(text: str, value: float, unit: str) -> None:
    assert amount(text) == (pytest.approx(value), "money", unit)
    assert amount(f"It cost {text}, they said.") == amount(text)


@pytest.mark.parametrize(
    ("text", "value", "kind", "unit"),
    [
        ("38%", 38, "percent", "%"),
        ("38 percent", 38, "percent", "%"),
        ("38 per cent", 38, "percent", "%"),
        ("thirty-five percent", 35, "percent", "%"),
        ("5 percentage points", 5, "percent", "%"),
        ("15 per share", 15, "count", ""),
        ("5 km", 5000, "measure", "m"),
        ("100 MW", 1e8, "measure", "W"),
        ("1.2GW", 1.2e9, "measure", "W"),
        ("a 100-megawatt site", 1e8, "measure", "W"),
        ("128 terabytes", 1.28e14, "measure", "B"),
        ("3.35 TB/s", 3.35e12, "measure", "B/s"),
        ("415 TWh", 4.15e14, "measure", "Wh"),
        ("1 million tonnes", 1e9, "measure", "kg"),
        ("eleven weeks", 11, "measure", "week"),
        ("two hundred", 200, "count", ""),
        ("twenty-one", 21, "count", ""),
        ("twenty five", 25, "count", ""),
        ("three million people", 3e6, "count", ""),
        ("half a million", 5e5, "count", ""),
        ("70 billion parameters", 7e10, "count", ""),
        ("7B parameters", 7e9, "count", ""),
        ("5k users", 5000, "count", ""),
        ("1,25,000", 125000, "count", ""),
        ("1,000,000", 1e6, "count", ""),
        ("12\u202f500 people", 12500, "count", ""),
        ("2026", 2026, "year", "year"),
        ("2,026", 2026, "count", ""),
        ("0", 0, "count", ""),
    ],
)
def test_shares_measures_and_counts(text: str, value: float, kind: str, unit: str) -> None:
    assert amount(text) == (pytest.approx(value), kind, unit)


@pytest.mark.parametrize(
    "text", ["H100", "COVID-19", "F-16", "GPT-4", "v2.0", "1.2.3", "1.000.000", "million", "someone"]
)
def test_digits_in_names_and_versions_are_no_amounts(text: str) -> None:
    assert amounts(text) == []


@pytest.mark.parametrize(
    ("text", "low", "high", "unit"),
    [
        ("$10–12 billion", 1e10, 1.2e10, "USD"),
        ("$5-$7 billion", 5e9, 7e9, "USD"),
        ("from $5 to 7 billion", 5e9, 7e9, "USD"),
        ("10-12 percent", 10, 12, "%"),
        ("3 to 4 years", 3, 4, "year"),
        ("between $10 and $12 billion", 1e10, 1.2e10, "USD"),
        ("20 – 30 MW", 2e7, 3e7, "W"),
        ("500 to 1 million", 500, 1e6, ""),
    ],
)
def test_what_one_end_of_a_range_has_holds_for_both(text: str, low: float, high: float, unit: str) -> None:
    first, second = amounts(text)
    assert (first.value, second.value) == (pytest.approx(low), pytest.approx(high))
    assert (first.unit, second.unit) == (unit, unit)


def test_two_numbers_beside_each_other_are_no_range() -> None:
    assert [(a.value, a.unit) for a in amounts("31 votes to 12, in 2025-26, a 3-2 win, 5 men and 7 MW")] == [
        (31, ""),
        (12, ""),
        (2025, "year"),
        (26, ""),
        (3, ""),
        (2, ""),
        (5, ""),
        (7e6, "W"),
    ]


@given(_TEXT)
def test_amounts_stand_where_they_say(text: str) -> None:
    last = 0
    for found in amounts(text):
        assert last <= found.start < found.end <= len(text)
        assert found.value >= 0
        last = found.end


# --------------------------------------------------------------------------------------------- dates


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("28 April 2026", (2026, 4, 28)),
        ("April 28, 2026", (2026, 4, 28)),
        ("Apr. 28, 2026", (2026, 4, 28)),
        ("28th of April, 2026", (2026, 4, 28)),
        ("2026-04-28", (2026, 4, 28)),
        ("2026-04-28T10:00:00Z", (2026, 4, 28)),
        ("1 Jan. 2026", (2026, 1, 1)),
        ("april 2026", (2026, 4, None)),
        ("Sept. 5", (None, 9, 5)),
        ("3 March", (None, 3, 3)),
        ("3-5 March 2026", (2026, 3, 5)),
        ("1895", (1895, None, None)),
        ("Q3 2026", (2026, None, None)),
    ],
)
def test_dates(text: str, expected: tuple[int | None, ...]) -> None:
    [found] = dates(f"It happened on {text}, they said.")
    assert (found.year, found.month, found.day) == expected


@pytest.mark.parametrize(
    "text", ["in April", "the 1990s", "2,026 people", "2000 people", "1066", "May", "2030 MW"]
)
def test_what_is_no_date(text: str) -> None:
    assert dates(text) == []


def test_dates_come_in_order_and_each_once() -> None:
    found = dates("From 2024 to 3 March 2026, and on 2026-05-01 and in May 2027.")
    assert [(d.year, d.month, d.day) for d in found] == [
        (2024, None, None),
        (2026, 3, 3),
        (2026, 5, 1),
        (2027, 5, None),
    ]


def test_stems_are_the_same_in_many_threads() -> None:
    from concurrent.futures import ThreadPoolExecutor

    from kb.text import stem

    listed = [f"{base}{ending}" for base in map(_spelled, range(3000)) for ending in ("ing", "ations", "ly")]
    stem.cache_clear()
    expected = [stem(word) for word in listed]
    for _ in range(3):
        stem.cache_clear()
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(stem, listed)) == expected


def _spelled(n: int) -> str:
    return "w" + "".join("bcdfglmnprstaeiou"[int(d) + n % 7] for d in str(n))
