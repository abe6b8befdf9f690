"""The minutes of a year as a workbook: a summary of real formulas over a sheet of evidence.

Sums are taken over exact ticks and rounded once. Text from people is written as text, whatever
it begins with, so a title can never become a formula (CWE-1236).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO

from openpyxl import Workbook
from openpyxl.styles import Alignment, Border, Font, PatternFill, Side
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.worksheet import Worksheet
from sqlalchemy.orm import Session

from catalog.cells import Value, cell_at, put
from catalog.clock import CHINA
from catalog.ledger import LedgerRow, by_month, micro_ticks, year_rows
from catalog.minutes import RULE_VERSION, TICKS_A_MINUTE, minutes_value
from catalog.plays import Counts, counts

SUMMARY, EVIDENCE = "汇总", "明细"
HEADING_ROW = 4
"""Row of the column headings on both sheets; above it stand the title and the rules."""

MODES = {"live": "直播", "recorded": "录播"}
STATES = {"live": "直播中", "interrupted": "信号中断", "ended": "已结束"}

_COUNT, _DATE, _GENERAL = "#,##0", "yyyy-mm-dd", "General"
_INK, _PAPER = "2B2320", "F3ECE2"


@dataclass(frozen=True)
class Column:
    """One column of the evidence: heading, width in characters, number format, value of a row."""

    heading: str
    width: int
    number_format: str
    value: Callable[[LedgerRow, Counts], Value]


def _minutes(ticks: int) -> float:
    return float(minutes_value(ticks))


def _seconds(us: int) -> float:
    """To one decimal, half up."""
    return (us + 50_000) // 100_000 / 10


COLUMNS: tuple[Column, ...] = (
    Column("编号", 13, "@", lambda row, _: row.broadcast.id),
    Column("名称", 36, "@", lambda row, _: row.broadcast.title),
    Column("文化馆", 18, "@", lambda row, _: row.centre.name),
    Column("日期", 12, _DATE, lambda row, _: row.date),
    Column("月份", 6, "0", lambda row, _: row.date.month),
    Column("形式", 7, "@", lambda row, _: MODES[row.broadcast.mode]),
    Column("状态", 10, "@", lambda row, _: _state(row)),
    Column("成片（分钟）", 12, _GENERAL, lambda row, _: _minutes(row.finished_ticks)),
    Column("素材（分钟）", 12, _GENERAL, lambda row, _: _minutes(row.raw_ticks)),
    Column("素材段数", 9, _COUNT, lambda row, _: row.takes),
    Column("中断次数", 9, _COUNT, lambda row, _: row.gaps),
    Column("中断（秒）", 10, "#,##0.0", lambda row, _: _seconds(row.gap_us)),
    Column("页面浏览", 9, _COUNT, lambda _, plays: plays.page_views),
    Column("播放次数", 9, _COUNT, lambda _, plays: plays.play_starts),
    Column("有效播放", 9, _COUNT, lambda _, plays: plays.effective_plays),
    Column("观看设备", 9, _COUNT, lambda _, plays: plays.devices),
    Column("文化馆编号", 13, "@", lambda row, _: row.centre.id),
    Column("成片（1/90000 秒）", 18, _COUNT, lambda row, _: row.finished_ticks),
    Column("素材（1/90000 秒）", 18, _COUNT, lambda row, _: row.raw_ticks),
)

_LETTERS = {
    column.heading: get_column_letter(number) for number, column in enumerate(COLUMNS, start=1)
}


def _state(row: LedgerRow) -> str:
    state = STATES.get(row.broadcast.state, row.broadcast.state)
    return state if row.settled or row.broadcast.state != "ended" else "整理中"


def write_minutes(
    session: Session,
    out: BinaryIO,
    *,
    year: int,
    now: dt.datetime,
    base_url: str,
    centre_path: str | None = None,
) -> int:
    """Write the workbook of a year; returns how many broadcasts it holds."""
    rows = year_rows(session, year, centre_path=centre_path)
    plays = counts(session, [row.broadcast.id for row in rows])
    micro = micro_ticks(session, year, centre_path=centre_path)
    book = Workbook()
    # Formulas are written without their results: whoever opens the file works them out.
    book.calculation.fullCalcOnLoad = True
    summary = book.active
    assert isinstance(summary, Worksheet)
    summary.title = SUMMARY
    _head(summary, f"{year} 年直录播时长汇总", now)
    _summary(summary, rows, micro)
    evidence = book.create_sheet(EVIDENCE)
    _head(evidence, f"{year} 年直录播明细", now)
    _evidence(evidence, rows, plays, base_url)
    book.save(out)
    return len(rows)


def _head(sheet: Worksheet, title: str, now: dt.datetime) -> None:
    put(sheet, 1, 1, title).font = Font(bold=True, size=15, color=_INK)
    local = now.astimezone(CHINA)
    rules = "成片、素材按时间区间取并集，重叠只计一次；中断不计；保留一位小数，四舍五入。"
    put(sheet, 2, 1, f"口径 {RULE_VERSION}。{rules}")
    put(sheet, 3, 1, f"统计截至 {local:%Y-%m-%d %H:%M}（北京时间）。")


def _evidence(
    sheet: Worksheet, rows: Sequence[LedgerRow], plays: dict[str, Counts], base_url: str
) -> None:
    _headings(sheet, [column.heading for column in COLUMNS])
    for at, row in enumerate(rows, start=HEADING_ROW + 1):
        for number, column in enumerate(COLUMNS, start=1):
            value = column.value(row, plays[row.broadcast.id])
            cell = put(sheet, at, number, value)
            cell.number_format = column.number_format
        link = cell_at(sheet, at, 1)
        link.hyperlink = f"{base_url}/b/{row.broadcast.id}"
        link.font = Font(underline="single", color="9D2933")
    for number, column in enumerate(COLUMNS, start=1):
        sheet.column_dimensions[get_column_letter(number)].width = column.width
    sheet.freeze_panes = cell_at(sheet, HEADING_ROW + 1, 3).coordinate
    last = get_column_letter(len(COLUMNS))
    sheet.auto_filter.ref = f"A{HEADING_ROW}:{last}{max(HEADING_ROW + len(rows), HEADING_ROW + 1)}"


def _summary(sheet: Worksheet, rows: Sequence[LedgerRow], micro: tuple[int, int]) -> None:
    headings = ["文化馆", "文化馆编号", "月份", "直播（场）", "录播（场）"]
    _headings(sheet, [*headings, "成片（分钟）", "素材（分钟）", "播放次数", "有效播放"])
    last = max(HEADING_ROW + len(rows), HEADING_ROW + 1)
    groups = by_month(rows)
    at = HEADING_ROW
    for (centre_id, month), group in groups.items():
        at += 1
        _line(sheet, at, [group[0].centre.name, centre_id, month], last, by_centre=True)
    at += 1
    _line(sheet, at, ["合计", "", ""], last, by_centre=False)
    for number in range(1, 10):
        cell = cell_at(sheet, at, number)
        cell.font = Font(bold=True, color=_INK)
        cell.border = Border(top=Side(style="thin", color=_INK))
    number_of, ticks = micro
    put(sheet, at + 2, 1, "微视频（条）")
    put(sheet, at + 2, 4, number_of).number_format = _COUNT
    put(sheet, at + 3, 1, "微视频（分钟，另账，不计入成片）")
    put(sheet, at + 3, 4, _minutes(ticks)).number_format = _GENERAL
    for letter, width in zip("ABCDEFGHI", (30, 13, 7, 11, 11, 13, 13, 11, 11), strict=True):
        sheet.column_dimensions[letter].width = width
    sheet.freeze_panes = cell_at(sheet, HEADING_ROW + 1, 1).coordinate


def _line(
    sheet: Worksheet, at: int, labels: Sequence[str | int], last: int, *, by_centre: bool
) -> None:
    """One line of sums over the evidence: of a centre's month, or of everything."""
    for number, label in enumerate(labels, start=1):
        put(sheet, at, number, label)
    where = [("文化馆编号", f"$B{at}"), ("月份", f"$C{at}")] if by_centre else []
    formulas = [
        _count_if([*where, ("形式", f'"{MODES["live"]}"')], last),
        _count_if([*where, ("形式", f'"{MODES["recorded"]}"')], last),
        f"ROUND({_sum_if('成片（1/90000 秒）', where, last)}/{TICKS_A_MINUTE},1)",
        f"ROUND({_sum_if('素材（1/90000 秒）', where, last)}/{TICKS_A_MINUTE},1)",
        _sum_if("播放次数", where, last),
        _sum_if("有效播放", where, last),
    ]
    formats = (_COUNT, _COUNT, _GENERAL, _GENERAL, _COUNT, _COUNT)
    for number, (formula, number_format) in enumerate(
        zip(formulas, formats, strict=True), start=len(labels) + 1
    ):
        cell = cell_at(sheet, at, number)
        cell.value = f"={formula}"
        cell.number_format = number_format


def _range(heading: str, last: int) -> str:
    letter = _LETTERS[heading]
    return f"{EVIDENCE}!${letter}${HEADING_ROW + 1}:${letter}${last}"


def _count_if(where: Sequence[tuple[str, str]], last: int) -> str:
    return f"COUNTIFS({','.join(f'{_range(h, last)},{value}' for h, value in where)})"


def _sum_if(heading: str, where: Sequence[tuple[str, str]], last: int) -> str:
    if not where:
        return f"SUM({_range(heading, last)})"
    conditions = ",".join(f"{_range(h, last)},{value}" for h, value in where)
    return f"SUMIFS({_range(heading, last)},{conditions})"


def _headings(sheet: Worksheet, headings: Sequence[str]) -> None:
    for number, heading in enumerate(headings, start=1):
        cell = put(sheet, HEADING_ROW, number, heading)
        cell.font = Font(bold=True, color=_INK)
        cell.fill = PatternFill("solid", fgColor=_PAPER)
        cell.alignment = Alignment(wrap_text=True, vertical="center")
        cell.border = Border(bottom=Side(style="thin", color=_INK))
