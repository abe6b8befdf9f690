"""Civil time of the reports: the day and year of an event are those of China."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

CHINA = ZoneInfo("Asia/Shanghai")


def china_date(at: dt.datetime) -> dt.date:
    """The day in China at an aware instant."""
    return at.astimezone(CHINA).date()


def china_year(year: int) -> tuple[dt.datetime, dt.datetime]:
    """First instant of a year in China, and first of the next."""
    return dt.datetime(year, 1, 1, tzinfo=CHINA), dt.datetime(year + 1, 1, 1, tzinfo=CHINA)


def from_us(us: int) -> dt.datetime:
    """An aware UTC time from microseconds since 1970."""
    return dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=us)
