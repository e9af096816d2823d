"""Bytes to text: a byte order mark, else UTF-8, else a guess, and a plain no to what is not text."""

from __future__ import annotations

import codecs
import re

from kb.errors import SourceError

_MARKS = [
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
]
_CONTROL = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f\ufffd]")
_FOREIGN = ["cp1252", "cp1251", "cp1253", "cp1255", "cp1256", "shift_jis", "gb18030", "big5", "euc_kr"]
_SAMPLE = 65536


def decode(data: bytes) -> str:
    """The text that ``data`` encodes; raises ``SourceError`` if it is binary."""
    text = None
    for attempt in (_marked, _utf16_without_mark, _utf8, _guessed):
        text = attempt(data)
        if text is not None:
            break
    if text is None or len(_CONTROL.findall(text[:_SAMPLE])) > 2 + len(text[:_SAMPLE]) // 50:
        raise SourceError("this is binary data, not text", "give it the suffix of its kind, or leave it out")
    return text


def _marked(data: bytes) -> str | None:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    return None


def _utf8(data: bytes) -> str | None:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        # One broken character, for instance where a file was cut off, does not make another encoding of it.
        cut_off = error.reason == "unexpected end of data" and not data[: error.start].isascii()
        if cut_off or _mostly_utf8(data):
            return data.decode("utf-8", errors="replace")
        return None


def _mostly_utf8(data: bytes) -> bool:
    sample = data[:_SAMPLE].decode("utf-8", errors="replace")
    wrong = sample.count("\ufffd")
    return wrong * 20 < sum(ord(c) > 127 for c in sample)


def _utf16_without_mark(data: bytes) -> str | None:
    """Western text in UTF-16 has a zero in every other byte."""
    sample = data[:_SAMPLE]
    if len(sample) < 8:
        return None
    half = len(sample) // 2
    high, low = sample[0::2].count(0), sample[1::2].count(0)
    if max(high, low) < 0.7 * half or min(high, low) > 0.05 * half:
        return None
    return data.decode("utf-16-be" if high > low else "utf-16-le", errors="replace")


def _guessed(data: bytes) -> str | None:
    """Western European unless most letters are not ASCII; nothing that has zero bytes is text."""
    if b"\0" in data:
        return None
    sample = data[:_SAMPLE]
    foreign = sum(byte > 127 for byte in sample)
    # A few accents are too little to guess by: the guess would be Cyrillic as often as not.
    if foreign * 3 < sum(byte > 127 or chr(byte).isalpha() for byte in sample):
        return data.decode("cp1252", errors="replace")
    from charset_normalizer import from_bytes

    best = from_bytes(sample, cp_isolation=_FOREIGN).best()
    return data.decode(best.encoding if best is not None else "cp1252", errors="replace")
