"""The tables of one centre in a return's workbook: its indicators, and under them its 场.

Every figure that has evidence is a formula over its rows; rates and judgements are formulas over
figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from catalog.minutes import TICKS_A_MINUTE, minutes_value
from catalog.plans.amounts import OPS, number_text
from catalog.plans.report import BroadcastLine, Line, PlanReport, UnitReport
from catalog.returns.sentences import MODES, STANDINGS
from catalog.returns.shown import PERIODS, RULES, SOURCES, Paper, Shown, periods_text, shown
from catalog.returns.xlsx_looks import COUNT, GENERAL, PERCENT, PLAIN, RED, Look
from catalog.returns.xlsx_parts import Sheet, area

HEADING_ROW: Final = 5
"""Row of the column headings on every sheet; above it stand the title and the rules."""
AMOUNT: Final = "G"
"""Column of the amount on the sheets of evidence."""

LINES = (
    "年份", "单位", "指标", "计量单位", "时段", "目标", "实际", "完成率", "是否完成", "尚欠",
    "数据来源", "依据", "备注",
)  # fmt: skip
LINE_WIDTHS = (7, 24, 34, 9, 8, 11, 11, 10, 10, 10, 10, 10, 40)
BROADCASTS = (
    "年份", "单位", "名称", "形式", "日期", "成片（分钟）", "素材（分钟）", "图片（幅）", "点击量",
    "场次", "序号", "来源", "备注", "成片（1/90000 秒）", "素材（1/90000 秒）",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Span:
    """Where the evidence of a line stands: rows of one sheet, both included."""

    sheet: str
    first: int
    last: int

    @property
    def area(self) -> str:
        return area(self.sheet, AMOUNT, self.first, self.last)


Key = tuple[int, str, str]
"""(year, centre id, code) of a line."""


def unit_sheet(
    sheet: Sheet,
    paper: Paper,
    parts: Sequence[tuple[PlanReport, UnitReport]],
    spans: Mapping[Key, Sequence[Span]],
) -> tuple[int, int]:
    """Write it; first and last row of its indicators."""
    head(sheet, paper, f"{parts[0][1].centre_name}{paper.years}年自查明细表", LINES)
    row = HEADING_ROW
    for report, unit in parts:
        for line in unit.lines:
            row += 1
            line_row(sheet, row, report, unit, line, spans[report.year, unit.centre_id, line.code])
    last = max(row, HEADING_ROW + 1)
    broadcasts = [(report, line) for report, unit in parts for line in unit.broadcasts]
    if broadcasts:
        _broadcasts(sheet, last + 2, paper, parts[0][1].centre_name, broadcasts)
    sheet.freeze(HEADING_ROW + 1, 4)
    return HEADING_ROW + 1, last


def head(sheet: Sheet, paper: Paper, title: str, headings: Sequence[str]) -> None:
    report = paper.reports[-1]
    document = f"（{report.document}）" if report.document else ""
    rules = f"口径 {report.rule_version}。{RULES}"
    until = f"统计截至 {paper.cut_off()}。{paper.state()}"
    sheet.title([title, f"{report.title}{document}", rules, until])
    sheet.headings(HEADING_ROW, headings)


def line_row(
    sheet: Sheet,
    row: int,
    report: PlanReport,
    unit: UnitReport,
    line: Line,
    spans: Sequence[Span],
) -> None:
    told = shown(line)
    sheet.number(row, 1, report.year, "0")
    sheet.text(row, 2, unit.centre_name)
    sheet.text(row, 3, line.indicator, Look(indent=line.depth))
    sheet.text(row, 4, told.unit)
    sheet.text(row, 5, PERIODS.get(line.period, line.period))
    sheet.number(row, 6, *_formed(told.target))
    _figures(sheet, row, line, told, spans)
    sheet.text(row, 11, SOURCES[line.source])
    if spans:
        place = f"#'{spans[0].sheet}'!A{spans[0].first}"
        sheet.link(row, 12, f"{len(line.evidence)} 项", place)
    sheet.text(row, 13, "；".join(part for part in (told.note, periods_text(line)) if part))


def _figures(sheet: Sheet, row: int, line: Line, told: Shown, spans: Sequence[Span]) -> None:
    """实际, 完成率, 是否完成, 尚欠: formulas wherever the rows above them say the number."""
    red = Look(colour=RED) if line.met is False else PLAIN
    if told.actual is None:
        sheet.text(row, 9, told.state)
        _owed(sheet, row, told)
        return
    by_rows = bool(spans) and _adds_up(line, told.actual) and _holds(line, told)
    # Floats of thirds may fall a hair short of a whole: nothing is judged below the millionth.
    exact = f"ROUND(SUM({','.join(span.area for span in spans)}),6)" if by_rows else f"$G{row}"
    value, form = _formed(told.actual)
    if by_rows:
        digits = 0 if form == COUNT else 1
        sheet.formula(row, 7, f"ROUND({exact},{digits})", _cut(value, digits), form)
    else:
        sheet.number(row, 7, Fraction(number_text(value)), form)
    # What is worked out further has to begin with the number itself, not with its first decimal.
    whole = by_rows or Fraction(number_text(value)) == value
    whole = whole and not line.cells
    if told.rate is not None:
        formula = f'IF(F{row}=0,"",ROUND({exact}/F{row}*100,1))'
        if whole and told.rate == told.actual / told.target * 100:
            sheet.formula(row, 8, formula, _cut(told.rate, 1), PERCENT, red)
        else:
            sheet.number(row, 8, Fraction(number_text(told.rate)), PERCENT, red)
    if whole and line.met is not None and _judged(line, told):
        sheet.formula(row, 9, f'IF({exact}{line.op}F{row},"完成","未完成")', told.state, look=red)
        if line.op in (">=", ">") and told.owed_text in ("", number_text(line.owed)):
            form = _formed(line.owed)[1]
            formula = f"ROUND(MAX(F{row}-{exact},0),1)"
            sheet.formula(row, 10, formula, _cut(line.owed, 1), form)
            return
    else:
        sheet.text(row, 9, told.state, red)
    _owed(sheet, row, told)


def _owed(sheet: Sheet, row: int, told: Shown) -> None:
    """尚欠 as it is; words where it is a trace."""
    if told.owed_text == number_text(told.owed):
        sheet.number(row, 10, Fraction(told.owed_text), _formed(told.owed)[1])
    else:
        sheet.text(row, 10, told.owed_text)


def _adds_up(line: Line, actual: Fraction) -> bool:
    """Whether the rows of evidence are the number: not of averages, nor where units overlap."""
    return sum((row.amount for row in line.evidence), Fraction(0)) == actual


def _holds(line: Line, told: Shown) -> bool:
    """Whether the millionth on which formulas stand says the same as the number itself."""
    assert told.actual is not None  # asked of known numbers only
    near = Fraction((told.actual * 2 * 10**6 + 1) // 2, 10**6)
    both = (told.actual, near)
    judged = {OPS[line.op](value, told.target) for value in both}
    printed = {
        (number_text(value), number_text(value / (told.target or 1) * 100)) for value in both
    }
    return len(judged) == len(printed) == 1


def _judged(line: Line, told: Shown) -> bool:
    """Whether comparing the printed pair is what the judgement was."""
    return told.actual is not None and OPS[line.op](told.actual, told.target) == line.met


def _formed(value: Fraction) -> tuple[Fraction, str]:
    """A number and its format: whole ones with thousands, others as they are."""
    return value, COUNT if value.denominator == 1 else GENERAL


def _cut(value: Fraction, digits: int) -> float:
    return float(number_text(value)) if digits else float(value)


def _broadcasts(
    sheet: Sheet,
    row: int,
    paper: Paper,
    centre_name: str,
    listed: Sequence[tuple[PlanReport, BroadcastLine]],
) -> None:
    sheet.headings(row, BROADCASTS)
    first, last = row + 1, row + len(listed)
    for at, (report, line) in enumerate(listed, start=first):
        own = line.standing == "own"
        sheet.number(at, 1, report.year, "0")
        sheet.text(at, 2, centre_name)
        sheet.link(at, 3, line.title, paper.link(line.href))
        sheet.text(at, 4, STANDINGS[line.standing] + MODES[line.mode])
        sheet.date(at, 5, line.date)
        sheet.number(at, 6, Fraction(minutes_value(line.finished_ticks)))
        sheet.number(at, 7, Fraction(minutes_value(line.raw_ticks)))
        sheet.number(at, 8, line.images, COUNT)
        sheet.number(at, 9, line.clicks, COUNT)
        sheet.number(at, 10, int(own), "0")
        if line.nr:
            sheet.number(at, 11, line.nr, "0")
        sheet.text(at, 12, "系统记录" if line.source == "xitai" else "往年补录")
        sheet.text(at, 13, "" if own else "不计场次和时长")
        sheet.number(at, 14, line.finished_ticks, COUNT)
        sheet.number(at, 15, line.raw_ticks, COUNT)
    own_lines = [line for _, line in listed if line.standing == "own"]
    look = Look(bold=True, line="top")
    at, where = last + 1, f"$J${first}:$J${last},1"
    sheet.text(at, 2, "合计", look)
    for column, letter, ticks in (
        (6, "N", sum(line.finished_ticks for line in own_lines)),
        (7, "O", sum(line.raw_ticks for line in own_lines)),
    ):
        total = f"SUMIFS(${letter}${first}:${letter}${last},{where})"
        formula = f"ROUND({total}/{TICKS_A_MINUTE},1)"
        sheet.formula(at, column, formula, float(minutes_value(ticks)), GENERAL, look)
    for column, letter, number in (
        (8, "H", sum(line.images for line in own_lines)),
        (9, "I", sum(line.clicks for line in own_lines)),
    ):
        formula = f"SUMIFS(${letter}${first}:${letter}${last},{where})"
        sheet.formula(at, column, formula, number, COUNT, look)
    sheet.formula(at, 10, f"SUM($J${first}:$J${last})", len(own_lines), COUNT, look)
