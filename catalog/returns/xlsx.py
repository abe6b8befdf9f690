"""自查明细表: a return as a workbook; one sheet a centre, a summary, and the rows of evidence.

Every figure that has evidence is a formula over its rows; rates and judgements are formulas over
figures. Text from people is text, whatever it begins with (catalog.cells).
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import BinaryIO, Final

from catalog.plans.amounts import number_text
from catalog.plans.report import Evidence, PlanReport, UnitReport
from catalog.returns.differences import WORDS
from catalog.returns.shown import EVIDENCE_KINDS, LEVELS, Paper, shown, units_of
from catalog.returns.xlsx_looks import COUNT, PERCENT, Look
from catalog.returns.xlsx_parts import Book, Sheet, area
from catalog.returns.xlsx_tables import (
    HEADING_ROW,
    LINE_WIDTHS,
    LINES,
    Key,
    Span,
    head,
    line_row,
    unit_sheet,
)

SUMMARY, EVIDENCE, CORRECTIONS, BELOW = "汇总", "证据", "更正", "下级上报"
EVIDENCE_ROWS_MAX: Final = 60_000
"""Rows of one sheet of evidence, each with a link (see LINKS_MAX); more go to 证据2 …"""

_SUMMARY_WIDTHS = (7, 30, 34, 10, 10, 11, 11, 14, 20, 14, 10, 10, 40)
ROWS = ("年份", "单位", "指标", "类别", "名称", "日期", "数值", "计量单位", "说明")
_ROW_WIDTHS = (7, 24, 28, 11, 44, 12, 10, 9, 50)

Beat = Callable[[float], None]


def write_xlsx(paper: Paper, out: BinaryIO, beat: Beat = lambda _: None) -> None:
    """Write the workbook. ``beat`` is told how much is done, 0 to 1."""
    spans = _places(paper)
    centres = _by_centre(paper)
    last = paper.reports[-1]
    names = {span.sheet for found in spans.values() for span in found} | {EVIDENCE}
    own = (SUMMARY, CORRECTIONS, BELOW, *names)
    with Book(out, f"{last.root_name}{paper.years}年自查明细表", last.cut_off, own) as book:
        summary = book.sheet(SUMMARY, _SUMMARY_WIDTHS, own=True)
        sheets = {key: book.sheet(parts[0][1].centre_name, LINE_WIDTHS)
                  for key, parts in centres.items()}  # fmt: skip
        tables = {}
        for number, (key, parts) in enumerate(centres.items()):
            tables[key] = unit_sheet(sheets[key], paper, parts, spans)
            sheets[key].close()
            beat(0.4 * number / len(centres))
        _summary(summary, paper, sheets, tables)
        _corrections(book, paper)
        _below(book, paper)
        _evidence(book, paper, spans, beat)


def _by_centre(paper: Paper) -> dict[str, list[tuple[PlanReport, UnitReport]]]:
    """Centre → its part of each year; a sheet each."""
    centres: dict[str, list[tuple[PlanReport, UnitReport]]] = {}
    for report in paper.reports:
        for unit in report.units:
            centres.setdefault(unit.centre_id, []).append((report, unit))
    return centres


def _places(paper: Paper) -> dict[Key, list[Span]]:
    """Where each line's evidence will stand: sheets written before it refer to it."""
    places: dict[Key, list[Span]] = {}
    sheet, row = 1, HEADING_ROW + 1
    for report in paper.reports:
        for unit in report.units:
            for line in unit.lines:
                spans: list[Span] = []
                left = len(line.evidence)
                while left:
                    room = HEADING_ROW + EVIDENCE_ROWS_MAX - row + 1
                    if room == 0:
                        sheet, row = sheet + 1, HEADING_ROW + 1
                        continue
                    taken = min(left, room)
                    spans.append(Span(_evidence_name(sheet), row, row + taken - 1))
                    row, left = row + taken, left - taken
                places[report.year, unit.centre_id, line.code] = spans
    return places


def _evidence_name(number: int) -> str:
    return EVIDENCE if number == 1 else f"{EVIDENCE}{number}"


# --- summary ---------------------------------------------------------------------------------

UNITS = (
    "年份", "单位", "层级", "指标数", "完成", "未完成", "未填报", "年度进度", "最弱指标",
    "最弱完成率",
)  # fmt: skip


def _summary(
    sheet: Sheet,
    paper: Paper,
    sheets: dict[str, Sheet],
    tables: dict[str, tuple[int, int]],
) -> None:
    """Each unit's count of judgements over its sheet, then the roll-up."""
    head(sheet, paper, f"{paper.reports[-1].root_name}{paper.years}年自查汇总表", UNITS)
    row = HEADING_ROW
    for report in paper.reports:
        for unit in report.units:
            row += 1
            other = sheets[unit.centre_id].name
            sheet.number(row, 1, report.year, "0")
            sheet.link(row, 2, unit.centre_name, f"#'{other}'!A1")
            sheet.text(row, 3, LEVELS.get(unit.level, unit.level))
            _counts(sheet, row, unit, other, tables[unit.centre_id])
            _progress(sheet, row, unit)
    for report in paper.reports:
        if units_of(report) != [*report.units]:
            row = _roll_up(sheet, row + 2, report)
    row += 2
    for formula in dict.fromkeys(unit.progress.formula for r in paper.reports for unit in r.units):
        sheet.text(row, 1, formula)
        row += 1
    for note in dict.fromkeys(note for report in paper.reports for note in report.notes):
        sheet.text(row, 1, f"计划说明：{note}")
        row += 1
    sheet.freeze(HEADING_ROW + 1, 3)


def _counts(sheet: Sheet, row: int, unit: UnitReport, other: str, table: tuple[int, int]) -> None:
    states = [shown(line).state for line in unit.lines]
    year = f"{area(other, 'A', *table)},$A{row}"
    sheet.formula(row, 4, f"COUNTIFS({year})", len(states), COUNT)
    for column, word in ((5, "完成"), (6, "未完成"), (7, "未填报")):
        formula = f'COUNTIFS({year},{area(other, "I", *table)},"{word}")'
        sheet.formula(row, column, formula, states.count(word), COUNT)


def _progress(sheet: Sheet, row: int, unit: UnitReport) -> None:
    if not unit.progress.worst_code:
        return
    worst = next(line for line in unit.lines if line.code == unit.progress.worst_code)
    sheet.number(row, 8, Fraction(number_text(unit.progress.mean_percent)), PERCENT)
    sheet.text(row, 9, worst.indicator)
    sheet.number(row, 10, Fraction(number_text(unit.progress.worst_percent)), PERCENT)


def _roll_up(sheet: Sheet, row: int, report: PlanReport) -> int:
    """The subtree as one. Its figures are numbers, not sums of sheets: linked 场 count once."""
    sheet.text(
        row, 1, f"{report.root_name}{report.year}年合并（联动直播只计一次）", Look(bold=True)
    )
    sheet.headings(row + 1, LINES)
    row += 1
    for line in report.total.lines:
        row += 1
        line_row(sheet, row, report, report.total, line, ())
    return row


# --- evidence, corrections, returns below ----------------------------------------------------


def _evidence(book: Book, paper: Paper, spans: dict[Key, list[Span]], beat: Beat) -> None:
    rows = sum(span.last - span.first + 1 for found in spans.values() for span in found)
    number, sheet = 1, _evidence_sheet(book, paper, 1)
    row, done = HEADING_ROW, 0
    for report in paper.reports:
        for unit in report.units:
            for line in unit.lines:
                indicator, amount_unit = line.indicator, shown(line).unit
                for item in line.evidence:
                    if row == HEADING_ROW + EVIDENCE_ROWS_MAX:
                        number += 1
                        sheet.close()
                        sheet, row = _evidence_sheet(book, paper, number), HEADING_ROW
                    row += 1
                    sheet.number(row, 1, report.year, "0")
                    sheet.text(row, 2, unit.centre_name)
                    sheet.text(row, 3, indicator)
                    _evidence_row(sheet, row, item, amount_unit, paper)
            done += sum(len(line.evidence) for line in unit.lines)
            beat(0.4 + 0.6 * done / max(rows, 1))


def _evidence_sheet(book: Book, paper: Paper, number: int) -> Sheet:
    sheet = book.sheet(_evidence_name(number), _ROW_WIDTHS, own=True)
    head(sheet, paper, f"{paper.years}年证据（各单位表按行引用本表，请勿排序或删行）", ROWS)
    sheet.freeze(HEADING_ROW + 1, 4)
    return sheet


def _evidence_row(sheet: Sheet, row: int, item: Evidence, unit: str, paper: Paper) -> None:
    sheet.text(row, 4, EVIDENCE_KINDS[item.kind])
    sheet.link(row, 5, item.title, paper.link(item.href))
    if item.date is not None:
        sheet.date(row, 6, item.date)
    sheet.number(row, 7, item.amount)
    sheet.text(row, 8, unit)
    sheet.text(row, 9, item.note)


def _corrections(book: Book, paper: Paper) -> None:
    if not paper.corrections:
        return
    sheet = book.sheet(CORRECTIONS, (26, 10, 40, 40, 40), own=True)
    head(sheet, paper, "与上一版的差异", ("单位", "类别", "名称", "原为", "现为"))
    for row, found in enumerate(paper.corrections, start=HEADING_ROW + 1):
        values = (found.centre_name, WORDS[found.what], found.name, found.old, found.new)
        sheet.values(row, values)


def _below(book: Book, paper: Paper) -> None:
    if not paper.built_on:
        return
    sheet = book.sheet(BELOW, (26, 8, 26, 68, 30, 30, 30), own=True)
    headings = ("单位", "版次", "截至", "校验值 SHA-256", "不一致处", "下级上报为", "本表为")
    head(sheet, paper, "下级单位已上报的版本及不一致处", headings)
    row = HEADING_ROW
    for child in paper.built_on:
        own = (child["centre_name"], child["revision"], child["cut_off"], child["sha256"])
        differs = child["differs"] or [None]
        for found in differs:
            row += 1
            said = (
                ("一致", "", "")
                if found is None
                else (f"{found['centre_name']}：{found['name']}", found["theirs"], found["ours"])
            )
            sheet.values(row, (*own, *said))
