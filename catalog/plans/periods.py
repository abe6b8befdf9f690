"""Parts of a year: "" for the whole, "Q1".."Q4", "01".."12". Pure."""

from __future__ import annotations

import calendar
import datetime as dt
from typing import Final

PERIODS: Final[dict[str, tuple[str, ...]]] = {
    "month": tuple(f"{month:02}" for month in range(1, 13)),
    "quarter": ("Q1", "Q2", "Q3", "Q4"),
}
"""What a target that is asked every month or quarter is asked in."""


def period_of(day: dt.date, period: str) -> str:
    """The month or quarter a day is in."""
    return f"{day.month:02}" if period == "month" else f"Q{(day.month + 2) // 3}"


def span_of(period: str, year: int) -> tuple[dt.date, dt.date]:
    """First and last day of a part of a year."""
    if not period:
        return dt.date(year, 1, 1), dt.date(year, 12, 31)
    if period.startswith("Q"):
        last = int(period[1]) * 3
        first = last - 2
    else:
        first = last = int(period)
    return dt.date(year, first, 1), dt.date(year, last, calendar.monthrange(year, last)[1])


def wider(period: str, wanted: str) -> str:
    """The quarter a month is in, where quarters are wanted."""
    if wanted == "quarter" and period.isdecimal():
        return f"Q{(int(period) + 2) // 3}"
    return period


def period_text(period: str) -> str:
    """全年, 第1季度, 3月."""
    if not period:
        return "全年"
    return f"第{period[1]}季度" if period.startswith("Q") else f"{int(period)}月"
