"""Dates as sources write them, to ISO 8601; a date that is incomplete or impossible is no date."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo

_ZONES = {
    "UTC": 0,
    "GMT": 0,
    "Z": 0,
    "EST": -5,
    "EDT": -4,
    "CST": -6,
    "CDT": -5,
    "MST": -7,
    "MDT": -6,
    "PST": -8,
    "PDT": -7,
}
_FIRST_YEAR, _LAST_YEAR = 1000, 2200


def iso_date(value: object) -> str | None:
    """``YYYY-MM-DD``, with the time after a ``T`` where the source gives one; ``None`` for anything else."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, (int, float)):
        return _from_number(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="seconds")
    if isinstance(value, date):
        return value.isoformat()
    text = " ".join(str(value).split()).strip(" .,;")
    if not 6 <= len(text) <= 64 or not re.search(r"\d", text):
        return None
    moment = _iso(text) or _parsed(text)
    if moment is None or not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        return None
    return moment.isoformat(timespec="seconds") if _has_time(text) else moment.date().isoformat()


def update_date(updated: str | None, published: str | None) -> str | None:
    """The date of an update, both in ISO 8601; ``None`` if that is not later than the publication.

    Many systems note the moment of publication as that of the last change, or one a little before it.
    """
    if updated is None or published is None:
        return updated
    one, other = datetime.fromisoformat(updated), datetime.fromisoformat(published)
    if one.date() != other.date() or (one.tzinfo is None) != (other.tzinfo is None):
        return updated if one.date() > other.date() else None
    return updated if one > other else None


def _from_number(value: float) -> str | None:
    """Seconds or milliseconds since 1970, or a day written as 20260428."""
    if 10_000_101 <= value <= 99_991_231 and float(value).is_integer():
        return iso_date(str(int(value)))
    seconds = value / 1000 if abs(value) > 1e11 else value
    if not 1e8 < seconds < 7e9:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _iso(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _parsed(text: str) -> datetime | None:
    from dateutil import parser

    day_first = bool(re.match(r"\d{1,2}\.\d{1,2}\.\d{4}", text))
    text = re.sub(r"(?i)^(?:published|updated|posted)(?: on)?:?\s+", "", text)
    try:
        # Parts that the text leaves out are taken from the default, so two defaults show what is missing.
        one, other = (
            parser.parse(text, default=datetime(year, month, day), dayfirst=day_first, tzinfos=_zone)
            for year, month, day in ((2001, 1, 1), (2002, 2, 2))
        )
    except (ValueError, OverflowError, TypeError):
        return None
    return one if one.date() == other.date() else None


def _zone(name: str | None, offset: int | None) -> tzinfo | None:
    """The time zone of an offset or of a North American abbreviation; any other name is left out."""
    seconds = offset if offset is not None else _ZONES.get(name or "", 0) * 3600
    return timezone(timedelta(seconds=seconds)) if offset is not None or name in _ZONES else None


def _has_time(text: str) -> bool:
    return bool(re.search(r"\d:\d|T\d{4}|\d\s*[ap]\.?m\b", text, re.IGNORECASE))
