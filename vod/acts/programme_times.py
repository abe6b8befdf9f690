"""Times and lengths as lists write them: 19:35, 00:12:30, 约5分钟, 4'30", 19:35-19:40. Pure.

A list never says what its times count from. Clock times count from its first; which of two fields
are hours and which minutes is told by how long acts would last.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Final

_DAY: Final = 24 * 3600
_MORNING: Final = 6 * 3600
"""Nobody's list of a recording begins six hours into it: such a first time is the clock's."""
_CLOCK_ODDS: Final = 1.5
_USUAL: Final = 240.0
"""Seconds from one act to the next."""

_FIELDS = r"(?<![\d:])(\d{1,3}):([0-5]?\d)(?::([0-5]?\d))?(?![\d:])"
TIME: Final = re.compile(_FIELDS)
RANGE: Final = re.compile(rf"{_FIELDS}\s*(?:[-~—–至到]|--)+\s*{_FIELDS}")
_CLOCK: Final = re.compile(
    r"(上午|早上|早晨|中午|下午|傍晚|晚上|晚|今晚)?\s*(?<![\d:])(\d{1,2})\s*"
    r"(?::\s*([0-5]\d)(?![\d:])|[点时]\s*(?:([0-5]?\d)\s*分?|(半)|整)?(?![\d长代间钟]))"
)
"""晚上7:30, 19点30分, 下午3点半, 20时整."""
_AFTERNOON: Final = frozenset(("下午", "傍晚", "晚上", "晚", "今晚"))
_NAMED: Final = re.compile(r"《[^》]*》|<[^>]*>|〈[^〉]*〉")
_NUMBER = r"(\d{1,3}(?:\.\d)?|[一二两三四五六七八九十]{1,3}|半)"
LENGTH: Final = re.compile(
    rf"(?:时长|用时|长度|约|大约|共|预计)?[:\s]*{_NUMBER}\s*(?:小时\s*(?:(\d{{1,2}})\s*分钟?)?"
    rf"|(?:分钟?|min(?:ute)?s?(?![a-z]))(?:\s*(\d{{1,2}}|半)\s*秒?钟?)?|秒钟?)(?:左右|以内)?"
)
_TICKED: Final = re.compile(r"(?<!\d)(\d{1,3})\s*['′’](?!s)\s*(?:(\d{1,2})\s*(?:\"|″|”|''|′′)?)?")
_DIGITS: Final = {char: value for value, char in enumerate("零一二三四五六七八九")} | {"两": 2}


@dataclass(frozen=True, slots=True)
class Raw:
    """A time as written: two fields or three."""

    fields: tuple[int, ...]


def number_of(text: str) -> float | None:
    """12, 3.5, 十二, 两, 半 as a number."""
    if text == "半":
        return 0.5
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    tens, _, ones = text.rpartition("十")
    if "十" not in text:
        return float(_DIGITS[text]) if text in _DIGITS else None
    if (tens and tens not in _DIGITS) or (ones and ones not in _DIGITS):
        return None
    return 10.0 * _DIGITS.get(tens, 1) + _DIGITS.get(ones, 0)


def _outside(text: str) -> str:
    """The text with what stands in 《》 blotted out: 《18:30的末班车》 is a name."""
    return _NAMED.sub(lambda found: "□" * len(found[0]), text)


def take_length(text: str) -> tuple[float | None, str]:
    """(seconds or None, the text without it)."""
    plain = _outside(text)
    if found := LENGTH.search(plain):
        seconds = _length(found)
        if seconds is not None:
            return seconds, text[: found.start()] + " " + text[found.end() :]
    if found := _TICKED.search(plain):
        seconds = int(found[1]) * 60 + int(found[2] or 0)
        return seconds, text[: found.start()] + " " + text[found.end() :]
    return None, text


def _length(found: re.Match[str]) -> float | None:
    whole = number_of(found[1])
    if whole is None:
        return None
    words = found[0]
    if "小时" in words:
        return whole * 3600 + int(found[2] or 0) * 60
    if "分" in words or "min" in words:
        more = found[3]
        return whole * 60 + (30 if more == "半" else int(more or 0))
    return whole


def take_time(text: str) -> tuple[Raw | None, Raw | None, str]:
    """(begins, ends, the text without them); the first time in it, or the first range."""
    plain = _outside(text)
    if found := RANGE.search(plain):
        rest = text[: found.start()] + " " + text[found.end() :]
        return _raw(found.groups()[:3]), _raw(found.groups()[3:]), rest
    if (found := _CLOCK.search(plain)) and (found[1] or not found[3]):
        return _clock(found), None, text[: found.start()] + " " + text[found.end() :]
    if found := TIME.search(plain):
        return _raw(found.groups()), None, text[: found.start()] + " " + text[found.end() :]
    return None, None, text


def _clock(found: re.Match[str]) -> Raw:
    hours = int(found[2])
    if found[1] in _AFTERNOON and hours < 12:
        hours += 12
    return Raw((hours, 30 if found[5] else int(found[3] or found[4] or 0)))


def length_of(text: str) -> float | None:
    """Seconds in a cell that is a length: 5分钟, 4:30, 00:04:30, 4'30", or a bare 5 (minutes)."""
    if found := TIME.fullmatch(text.strip()):
        fields = _raw(found.groups()).fields
        return float(sum(value * 60**place for place, value in enumerate(reversed(fields))))
    seconds, _ = take_length(text)
    if seconds is None and re.fullmatch(r"\d{1,3}(\.\d)?", text.strip()):
        seconds = float(text) * 60
    return seconds


def _raw(groups: Sequence[str | None]) -> Raw:
    return Raw(tuple(int(group) for group in groups if group is not None))


def resolve(begins: Sequence[Raw | None]) -> tuple[list[float | None], float]:
    """(seconds from the list's zero for each, seconds that the first of two fields counts)."""
    written = [raw for raw in begins if raw is not None]
    unit = _unit(written)
    seconds = [None if raw is None else _seconds(raw, unit) for raw in begins]
    known = [value for value in seconds if value is not None]
    if not known:
        return seconds, unit
    if known[0] >= _MORNING:
        first = known[0]
        # Past midnight the clock begins again.
        seconds = [
            None if v is None else v - first + (_DAY if v < first - _DAY / 2 else 0)
            for v in seconds
        ]
    return _rising(seconds), unit


def span(begin: Raw, end: Raw, unit: float) -> float | None:
    """Seconds between two times of one line; None when it makes no sense."""
    length = _seconds(end, unit) - _seconds(begin, unit)
    if length < 0:
        length += _DAY
    return length if 0 < length < _DAY / 2 else None


def _seconds(raw: Raw, unit: float) -> float:
    if len(raw.fields) == 3:
        hours, minutes, seconds = raw.fields
        return hours * 3600.0 + minutes * 60 + seconds
    return raw.fields[0] * unit + raw.fields[1] * unit / 60


def _unit(written: Sequence[Raw]) -> float:
    """3600 when two fields are hours and minutes, 60 when they are minutes and seconds."""
    two = [raw for raw in written if len(raw.fields) == 2]
    if any(raw.fields[0] >= 24 for raw in two):
        return 60.0
    if not two or len(two) < len(written):
        return 3600.0
    if len(two) == 1:
        return 3600.0 if two[0].fields[0] * 3600 >= _MORNING else 60.0

    def odd(unit: float) -> float:
        steps = [_seconds(b, unit) - _seconds(a, unit) for a, b in pairwise(two)]
        # A list that begins with 19:30 seldom begins nineteen minutes into the recording.
        clock = unit == 60.0 and two[0].fields[0] * 3600 >= _MORNING
        return abs(math.log(max(1.0, median(steps)) / _USUAL)) + (_CLOCK_ODDS if clock else 0.0)

    return min((3600.0, 60.0), key=odd)


def _rising(seconds: list[float | None]) -> list[float | None]:
    """Times that go back are left out: a slip of whoever typed them."""
    last = -1.0
    made: list[float | None] = []
    for value in seconds:
        fits = value is not None and value >= last
        made.append(value if fits else None)
        last = value if fits and value is not None else last
    return made
