"""What the page behind one number shows: its rows, its parts of the year, its curve. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from typing import Any, Final

from api.pages.targets.view import NOTHING, CellView, ChartView, PlanCard
from catalog.models import Entry
from catalog.plans.amounts import OP_WORDS, number_text
from catalog.plans.report import Cell, Evidence, Line, Milestone
from catalog.returns.sentences import shown_actual, shown_unit

KINDS: Final = {
    "broadcast": "直录播",
    "past": "旧年报",
    "resource": "资源",
    "entry": "手工填报",
    "plays": "点击量",
}
SOURCES: Final = {
    "ledger": "系统按台账自动统计，点开每一行都能看到内容。",
    "hand": "系统无法知道，由馆里填报，附证据。",
    "none": "还没有人填报。",
}
QUARTERS: Final = ("Q1", "Q2", "Q3", "Q4")
MONTHS: Final = tuple(f"{month:02}" for month in range(1, 13))
ROWS_MAX: Final = 500
"""Rows of evidence on one page; a return lists them all."""


@dataclass(frozen=True, slots=True)
class RowView:
    """One row behind the number."""

    kind: str
    kind_word: str
    title: str
    date: str
    amount: str
    counts: bool
    note: str
    href: str


@dataclass(frozen=True, slots=True)
class PartView:
    """One month or quarter of a line that is asked in parts."""

    name: str
    number: str
    target: str
    status: str


@dataclass(frozen=True, slots=True)
class ProofView:
    kind: str
    text: str
    href: str


@dataclass(frozen=True, slots=True)
class EntryView:
    """A value somebody entered; those replaced stay to be seen."""

    id: int
    period: str
    value: str
    by: str
    at: dt.datetime
    proofs: tuple[ProofView, ...]
    stands: bool


@dataclass(frozen=True, slots=True)
class NumberView:
    plan: PlanCard
    year: int
    centre_id: str
    centre_name: str
    cell: CellView
    asked: str
    """不少于 300 分钟（全年）"""
    source: str
    counted: str
    """What the ledger counts for it, in words; empty where it is entered by hand."""
    unit: str
    note: str
    rows: tuple[RowView, ...]
    more: int
    """Rows left out of the page."""
    parts: tuple[PartView, ...]
    chart: ChartView | None
    entries: tuple[EntryView, ...]
    may_enter: bool
    periods: tuple[tuple[str, str], ...]
    is_total: bool


def asked_text(line: Line) -> str:
    """What the plan asks, as one says it."""
    every = {"month": "每月", "quarter": "每季度", "year": "全年"}.get(line.period, line.period)
    word = OP_WORDS.get(line.op, line.op)
    said = f"{every}{word} {number_text(line.target)} {line.unit}"
    if line.unit == "%" and line.count_target is not None:
        said += f"（即 {number_text(line.count_target)} {line.owed_unit}）"
    return said


def rows_of(line: Line) -> tuple[tuple[RowView, ...], int]:
    """The rows behind the number, latest first, and how many more there are."""
    listed = sorted(line.evidence, key=lambda row: row.date or dt.date.min, reverse=True)
    unit = shown_unit(line)
    return tuple(_row(row, unit) for row in listed[:ROWS_MAX]), max(0, len(listed) - ROWS_MAX)


def _row(row: Evidence, unit: str) -> RowView:
    return RowView(
        kind=row.kind,
        kind_word=KINDS[row.kind],
        title=row.title,
        date=f"{row.date.month}月{row.date.day}日" if row.date else "",
        amount=f"{number_text(row.amount)} {unit}",
        counts=row.amount != 0,
        note=row.note,
        href=row.href,
    )


def parts_of(cells: Sequence[Cell], year: int, today: dt.date) -> tuple[PartView, ...]:
    """Months and quarters: done, late (over and not met), or still running."""
    return tuple(
        PartView(
            name=period_name(cell.period),
            number=NOTHING if cell.actual is None else number_text(cell.actual),
            target=number_text(cell.target),
            status="met" if cell.met else "late" if _over(cell.period, year, today) else "open",
        )
        for cell in cells
    )


def _over(period: str, year: int, today: dt.date) -> bool:
    month = int(period[1]) * 3 if period.startswith("Q") else int(period or 12)
    return (year, month) < (today.year, today.month)


def period_name(period: str) -> str:
    if period.startswith("Q"):
        return f"第{'一二三四'[int(period[1]) - 1]}季度"
    return f"{int(period)}月" if period else "全年"


def periods_of(period: str) -> tuple[tuple[str, str], ...]:
    """The parts of the year an entry may be made for."""
    listed = {"month": MONTHS, "quarter": QUARTERS}.get(period, ())
    return tuple((part, period_name(part)) for part in listed) or (("", "全年"),)


def chart_of(
    line: Line, milestones: Sequence[Milestone], last: dt.date, words: tuple[str, str, str, str]
) -> ChartView | None:
    """Bars of the parts asked for; else how the year's number grew month by month until ``last``,
    against what the milestones ask by then. ``words``: grown, asked by now, goal, done."""
    if line.cells:
        return _bars(line, words)
    dated = [(row.date, row.amount) for row in line.evidence if row.date and row.amount]
    if not dated:
        return None
    months = range(1, max(last.month, *(day.month for day, _ in dated)) + 1)
    added = [sum((much for day, much in dated if day.month == m), Fraction(0)) for m in months]
    grown = [_number(value) for value in accumulate(added)]
    target = line.count_target if line.count_target is not None else line.target
    due = [_number(target * asked_by(milestones, m) / 100) for m in months]
    series = [{"name": words[0], "look": "done", "values": grown}]
    if any(due):
        series.append({"name": words[1], "look": "due", "values": due})
    return ChartView(
        {
            "unit": shown_unit(line),
            "labels": [f"{month}月" for month in months],
            "series": series,
            "goal": {"name": words[2], "value": _number(target)},
        },
        grown,
    )


def asked_by(milestones: Sequence[Milestone], month: int) -> Fraction:
    """The share of the year the milestones ask by the end of a month, in percent."""
    past = [m.progress_pct for m in milestones if m.progress_pct and m.by.month <= month]
    return max(past, default=Fraction(0))


def _bars(line: Line, words: tuple[str, str, str, str]) -> ChartView:
    values = [None if cell.actual is None else _number(cell.actual) for cell in line.cells]
    data: dict[str, Any] = {
        "unit": shown_unit(line),
        "labels": [period_name(cell.period) for cell in line.cells],
        "series": [{"name": words[3], "look": "bar", "values": values}],
        "goal": {"name": words[2], "value": _number(line.cells[0].target)},
    }
    return ChartView(data, [value or 0.0 for value in values])


def _number(value: Fraction) -> float:
    return float(number_text(value))


def entry_views(entries: Sequence[Entry], unit: str) -> tuple[EntryView, ...]:
    """Newest first; a file's way leads to the page that hands it out."""
    return tuple(
        EntryView(
            id=entry.id,
            period=period_name(entry.period),
            value=f"{number_text(Fraction(entry.value))} {unit}",
            by=entry.entered_name,
            at=entry.entered_at,
            proofs=tuple(
                ProofView(proof["kind"], proof.get("text", ""), _way(entry.id, number, proof))
                for number, proof in enumerate(entry.evidence)
            ),
            stands=entry.replaced_by is None and entry.withdrawn_at is None,
        )
        for entry in entries
    )


def _way(entry_id: int, number: int, proof: dict[str, Any]) -> str:
    if proof["kind"] == "file":
        return f"/desk/evidence/{entry_id}/{number}"
    text = str(proof.get("text", ""))
    # What people type is no way for a browser to go unless it is plainly a web address.
    return text if proof["kind"] == "link" and text.startswith(("http://", "https://")) else ""


def reached(line: Line) -> str:
    """The number itself, as reports print it."""
    actual = shown_actual(line)
    return NOTHING if actual is None else number_text(actual)
