"""Instants, lengths and amounts as people say them; pure, `now` and the translator are arguments.

`_` is a gettext function whose message ids are the Chinese words.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, tzinfo
from decimal import ROUND_HALF_UP, Decimal

Translate = Callable[[str], str]

_EVENING = 18


def when(at: datetime, now: datetime, zone: tzinfo, _: Translate) -> str:
    """今晚 19:30, 明天 09:00, 12月5日（周五）19:30; with the year when it is not this one."""
    local, today = at.astimezone(zone), now.astimezone(zone).date()
    clock = local.strftime("%H:%M")
    evening = local.hour >= _EVENING
    days = (local.date() - today).days
    if days == 0:
        return (_("今晚 {clock}") if evening else _("今天 {clock}")).format(clock=clock)
    if days == 1:
        return (_("明晚 {clock}") if evening else _("明天 {clock}")).format(clock=clock)
    if days == -1:
        return (_("昨晚 {clock}") if evening else _("昨天 {clock}")).format(clock=clock)
    week = (_("周一"), _("周二"), _("周三"), _("周四"), _("周五"), _("周六"), _("周日"))
    weekday = week[local.weekday()]
    if local.year == today.year:
        return _("{month}月{day}日（{weekday}）{clock}").format(
            month=local.month, day=local.day, weekday=weekday, clock=clock
        )
    return _("{year}年{month}月{day}日 {clock}").format(
        year=local.year, month=local.month, day=local.day, clock=clock
    )


def day(at: datetime, zone: tzinfo, _: Translate) -> str:
    """The day alone, as a report says it: 12月5日."""
    local = at.astimezone(zone)
    return _("{month}月{day}日").format(month=local.month, day=local.day)


def until(at: datetime, now: datetime, _: Translate) -> str:
    """还有 2 小时 5 分; 马上开始 once it is due."""
    left = at - now
    minutes = -(-left // timedelta(minutes=1))
    if minutes <= 0:
        return _("马上开始")
    days, rest = divmod(minutes, 24 * 60)
    hours, mins = divmod(rest, 60)
    if days:
        return _("还有 {days} 天 {hours} 小时").format(days=days, hours=hours)
    if hours:
        return _("还有 {hours} 小时 {minutes} 分").format(hours=hours, minutes=mins)
    return _("还有 {minutes} 分钟").format(minutes=mins)


def clock(ms: int) -> str:
    """A position or a length on a player: 4:05, 1:02:09."""
    hours, rest = divmod(ms // 1000, 3600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{hours}:{minutes:02}:{seconds:02}"
    return f"{minutes}:{seconds:02}"


def parse_clock(text: str) -> int | None:
    """Milliseconds of 75, 1:15, 0:01:15 or 1:15.5; full-width colons too. None when it is none."""
    parts = text.strip().replace("：", ":").split(":")
    if not 1 <= len(parts) <= 3:
        return None
    head, last = parts[:-1], parts[-1]
    whole, dot, fraction = last.partition(".")
    digits = [*head, whole, *([fraction] if dot else [])]
    if not all(d.isascii() and d.isdigit() and len(d) <= 6 for d in digits):
        return None
    # In 1:15 the minutes may be any number, the seconds may not pass 59.
    if (head and int(whole) > 59) or (len(head) == 2 and int(head[1]) > 59):
        return None
    seconds = int(whole)
    for place, part in enumerate(reversed(head), start=1):
        seconds += int(part) * 60**place
    return seconds * 1000 + int((fraction or "0").ljust(3, "0")[:3])


def minutes(ms: int) -> str:
    """Minutes for a report: one decimal, half up, trailing .0 dropped (COUNTING)."""
    value = (Decimal(ms) / 60000).quantize(Decimal("0.1"), ROUND_HALF_UP)
    return f"{value.normalize():f}"


def lasting(ms: int, _: Translate) -> str:
    """A length in words: 45 秒, 12 分钟, 1 小时 20 分."""
    seconds = (ms + 500) // 1000
    if seconds < 60:
        return _("{n} 秒").format(n=seconds)
    mins = seconds // 60
    if mins < 60:
        return _("{n} 分钟").format(n=mins)
    hours, mins = divmod(mins, 60)
    return _("{hours} 小时 {minutes} 分").format(hours=hours, minutes=mins)


def rate(bps: int) -> str:
    """A bit rate: 2.4 Mb/s, 96 kb/s."""
    if bps >= 1_000_000:
        return f"{bps / 1_000_000:.1f} Mb/s"
    return f"{(bps + 500) // 1000} kb/s"


def size(count: int) -> str:
    """Bytes: 1.2 GB, 640 MB, 20 KB (decimal units, as disks are sold)."""
    for unit, scale in (("TB", 10**12), ("GB", 10**9)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count // 10**6} MB" if count >= 10**6 or not count else f"{-(-count // 1000)} KB"


def people(count: int) -> str:
    """A count as Chinese pages write large ones: 8 412, 1.3万."""
    if count >= 10_000:
        return f"{Decimal(count) / 10_000:.1f}".removesuffix(".0") + "万"
    return str(count)
