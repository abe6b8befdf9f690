"""The sentences of a report, character for character as COUNTING.md has their templates. Pure.

Numbers are cut to one decimal, half up, a trailing .0 dropped; rates are never capped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Final

from catalog.clock import china_date
from catalog.minutes import minutes_text
from catalog.plans.amounts import number_text, owed_number, rate_text
from catalog.plans.report import BroadcastLine, Line, PlanReport, UnitReport

MODES: Final = {"live": "直播", "recorded": "录播"}
STANDINGS: Final = {"own": "", "linked": "联动", "reshown": "重播"}
_DIGITS: Final = "零一二三四五六七八九"
_PLACES: Final = ("", "十", "百", "千")


def numeral(number: int) -> str:
    """一, 十, 十二, 二十, 一百零三 … for 1 to 99 999 999."""
    if not 1 <= number < 10**8:
        raise ValueError(f"no numeral for {number}")
    if number >= 10**4:
        many, rest = divmod(number, 10**4)
        # A ten after another numeral says its one: 一万零一十二.
        tail = numeral(rest) if rest else ""
        tail = f"一{tail}" if 10 <= rest < 20 else tail
        return f"{numeral(many)}万{'零' if 0 < rest < 1000 else ''}{tail}"
    said = ""
    gap = False
    for place in range(len(str(number)) - 1, -1, -1):
        digit = number // 10**place % 10
        if digit == 0:
            gap = bool(said)
            continue
        said += ("零" if gap else "") + _DIGITS[digit] + _PLACES[place]
        gap = False
    return said.removeprefix("一") if said.startswith("一十") else said


def broadcast_sentence(line: BroadcastLine, number: int | None = None) -> str:
    """{序}是{m}月{d}日，{title}{直播|录播}活动，总成片…；  {序} is ``number``, else the line's own:
    一, 二 …"""
    return (
        f"{numeral(number or line.nr)}是{line.date.month}月{line.date.day}日，"
        f"{line.title}{MODES[line.mode]}活动，"
        f"总成片{minutes_text(line.finished_ticks)}分钟，素材{minutes_text(line.raw_ticks)}分钟，"
        f"图片{line.images}幅，点击量{line.clicks}次；"
    )


def broadcast_sentences(broadcasts: Iterable[BroadcastLine]) -> list[str]:
    """One sentence a 场, in order of date; what is no 场 of its own (联动, 重播) has none."""
    own = (line for line in broadcasts if line.standing == "own")
    return [broadcast_sentence(line, number) for number, line in enumerate(own, start=1)]


def sum_sentence(broadcasts: Iterable[BroadcastLine]) -> str:
    """All 场 of a list in one sentence; sums are of ticks, cut once."""
    listed = list(broadcasts)
    own = [line for line in listed if line.standing == "own"]
    live = sum(line.mode == "live" for line in own)
    linked = sum(line.standing == "linked" for line in listed)
    relayed = f"另有联动直播{linked}场（只计联动，不计场次和时长）；" if linked else ""
    return (
        f"全年开展直录播活动{len(own)}场，其中直播{live}场、录播{len(own) - live}场；{relayed}"
        f"总成片{minutes_text(sum(line.finished_ticks for line in own))}分钟，"
        f"素材{minutes_text(sum(line.raw_ticks for line in own))}分钟，"
        f"图片{sum(line.images for line in own)}幅，点击量{sum(line.clicks for line in own)}次。"
    )


def unit_sentence(unit: UnitReport, names: Mapping[str, str]) -> str:
    """{unit}注册用户{n}人，完成{p}%；更新信息资源{n}条，完成{p}%；…

    ``names``: code → what returns call it, in the order returns have; these come first.
    """
    parts = [_part(line, names) for line in _told(unit.lines, names)]
    return f"{unit.centre_name}{'；'.join(parts) if parts else '尚无填报'}。"


def unit_sentences(report: PlanReport, names: Mapping[str, str]) -> list[str]:
    """One sentence a unit of which something is known."""
    known = (unit for unit in report.units if _told(unit.lines, names))
    return [unit_sentence(unit, names) for unit in known]


def owed_sentence(unit: UnitReport, names: Mapping[str, str]) -> str | None:
    """What a unit still owes; None when it owes nothing."""
    owed = [
        f"{name_of(line, names)}还差{owed_number(line.owed)}{line.owed_unit or line.unit}"
        for line in unit.lines
        if line.owed > 0 and line.met is not None
    ]
    blank = [name_of(line, names) for line in unit.lines if line.actual is None and not line.met]
    said = owed + ([f"尚未填报：{'、'.join(blank)}"] if blank else [])
    return f"{unit.centre_name}：{'；'.join(said)}。" if said else None


def progress_sentences(report: PlanReport) -> list[str]:
    """How far the whole is, with the formula, and what the plan asked by then."""
    done = report.total.progress
    worst = next((line for line in report.total.lines if line.code == done.worst_code), None)
    if worst is None:
        return []
    said = [
        (
            f"按照《{report.title}》要求，{report.root_name}{report.year}年年度建设任务量平均完成"
            f"{rate_text(done.mean_percent)}，进度最慢的指标是“{worst.indicator}”，完成"
            f"{rate_text(done.worst_percent)}（{done.formula}）。"
        )
    ]
    day = china_date(report.cut_off)
    due = [m for m in report.milestones if m.by <= day and m.progress_pct is not None]
    if due and due[-1].progress_pct is not None:
        asked = due[-1].progress_pct
        met = "已达到" if done.mean_percent >= asked else "尚未达到"
        by = f"{due[-1].by.year}年{due[-1].by.month}月{due[-1].by.day}日"
        said.append(f"计划要求{by}前完成年度建设任务量的{rate_text(asked)}，{met}。")
    return said


def name_of(line: Line, names: Mapping[str, str]) -> str:
    """What sentences call an indicator."""
    return names.get(line.code) or line.indicator.removeprefix("其中")


def shown_actual(line: Line) -> Fraction | None:
    """What is printed: of a share the number counted, not the percentage."""
    return line.actual if line.count is None else line.count


def shown_unit(line: Line) -> str:
    """The unit of ``shown_actual``."""
    return line.unit if line.count is None else line.owed_unit or line.unit


def _told(lines: Sequence[Line], names: Mapping[str, str]) -> list[Line]:
    """The year's lines of which something is known, those with a name in returns first."""
    place = {code: number for number, code in enumerate(names)}
    known = [line for line in lines if line.period == "year" and shown_actual(line) is not None]
    return sorted(known, key=lambda line: place.get(line.code, len(place)))


def _part(line: Line, names: Mapping[str, str]) -> str:
    actual = shown_actual(line)
    assert actual is not None  # _told leaves the others out
    said = f"{name_of(line, names)}{number_text(actual)}{shown_unit(line)}"
    return said if line.rate is None else f"{said}，完成{rate_text(line.rate)}"
