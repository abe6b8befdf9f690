"""Dates, lengths and amounts as the pages say them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from api.pages import words
from api.pages.render import translations

ZONE = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 11, 22, 10, 0, tzinfo=ZONE)


def same(text: str) -> str:
    return text


@pytest.mark.parametrize(
    ("at", "said"),
    [
        (datetime(2026, 11, 22, 19, 30, tzinfo=ZONE), "今晚 19:30"),
        (datetime(2026, 11, 22, 9, 5, tzinfo=ZONE), "今天 09:05"),
        (datetime(2026, 11, 23, 19, 30, tzinfo=ZONE), "明晚 19:30"),
        (datetime(2026, 11, 21, 11, 0, tzinfo=ZONE), "昨天 11:00"),
        (datetime(2026, 12, 5, 19, 30, tzinfo=ZONE), "12月5日（周六）19:30"),
        (datetime(2027, 2, 1, 19, 30, tzinfo=ZONE), "2027年2月1日 19:30"),
        # Where the centre is, it is already tomorrow.
        (datetime(2026, 11, 22, 17, 0, tzinfo=UTC), "明天 01:00"),
    ],
)
def test_when(at: datetime, said: str) -> None:
    assert words.when(at, NOW, ZONE, same) == said


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (timedelta(seconds=-5), "马上开始"),
        (timedelta(seconds=5), "还有 1 分钟"),
        (timedelta(hours=2, minutes=5), "还有 2 小时 5 分"),
        (timedelta(days=3, hours=4), "还有 3 天 4 小时"),
    ],
)
def test_until(left: timedelta, said: str) -> None:
    assert words.until(NOW + left, NOW, same) == said


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("75", 75_000),
        ("1:15", 75_000),
        ("90:00", 5_400_000),
        ("1:02:09", 3_729_000),
        ("１:15", None),
        ("1：15", 75_000),
        (" 0:01.5 ", 1_500),
        ("0:01.0405", 1_040),
        ("1:75", None),
        ("1:60:00", None),
        ("1:2:3:4", None),
        ("", None),
        ("-1", None),
        ("1:", None),
        ("9" * 30, None),
    ],
)
def test_parse_clock(text: str, ms: int | None) -> None:
    assert words.parse_clock(text) == ms


@pytest.mark.parametrize(
    ("ms", "said"),
    [(0, "0"), (6_132_000, "102.2"), (60_000, "1"), (62_999, "1"), (63_000, "1.1"), (6e6, "100")],
)
def test_minutes_of_a_report(ms: int, said: str) -> None:
    assert words.minutes(int(ms)) == said


def test_amounts() -> None:
    assert words.rate(2_480_000) == "2.5 Mb/s"
    assert words.rate(95_600) == "96 kb/s"
    assert words.size(214_000_000_000) == "214.0 GB"
    assert words.people(8_412) == "8412"
    assert words.people(13_000) == "1.3万"
    assert words.clock(3_729_000) == "1:02:09"
    assert words.lasting(6_132_000, same) == "1 小时 42 分"


def test_traditional_script_is_complete_without_a_catalogue() -> None:
    say = translations("zh_Hant").gettext
    assert say("信号正常，可以开播") == "信號正常，可以開播"
    assert say("大约还要 %(time)s，{n} 条") == "大約還要 %(time)s，{n} 條"
