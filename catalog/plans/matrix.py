"""The report as people look at it: centres × indicators, red first; what is owed; trends. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Literal

from catalog.plans.amounts import (
    OP_WORDS,
    amount_text,
    completion,
    done_percent,
    number_text,
    owed_number,
    rate_text,
)
from catalog.plans.report import Line, Milestone, PlanReport, Progress, UnitReport

Status = Literal["late", "none", "behind", "met"]
"""In order of urgency: behind a milestone that is due; nothing entered; not yet there; done."""

WORDS: dict[Status, str] = {"late": "滞后", "none": "未填报", "behind": "进行中", "met": "已完成"}


@dataclass(frozen=True, slots=True)
class Step:
    """What one milestone asks of one cell."""

    by: dt.date
    percent: Fraction
    needed: Fraction
    due: bool
    reached: bool


@dataclass(frozen=True, slots=True)
class MatrixCell:
    """One centre's state of one indicator. Texts are ready to print."""

    code: str
    status: Status
    word: str
    number: str
    """258；未填报的为空."""
    percent: str
    """86%; empty where unknown."""
    target: str
    """300分钟."""
    owed: str
    """42分钟; empty when nothing is."""
    source: str
    steps: tuple[Step, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class MatrixColumn:
    """One indicator; targets of several groups that ask the same share a column."""

    codes: tuple[str, ...]
    indicator: str
    unit: str
    period: str
    depth: int
    red: int
    """How many centres are late in it."""


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One centre (or the whole). ``cells`` are as the columns; None: not asked of it."""

    centre_id: str
    centre_name: str
    level: str
    cells: tuple[MatrixCell | None, ...]
    progress: Progress
    late: int
    none: int


@dataclass(frozen=True, slots=True)
class Matrix:
    columns: tuple[MatrixColumn, ...]
    rows: tuple[MatrixRow, ...]
    """The most urgent first."""
    total: MatrixRow
    milestone: Milestone | None
    """The one that is measured against: the last that is due, or the one asked for."""
    upcoming: Milestone | None
    """The next that is to come."""


@dataclass(frozen=True, slots=True)
class Owed:
    """One thing a centre still owes this year."""

    code: str
    indicator: str
    text: str
    """42分钟; 未填报."""
    status: Status
    percent: str


@dataclass(frozen=True, slots=True)
class Series:
    """One curve of a chart: percent at each date (None: not known then)."""

    code: str
    name: str
    points: tuple[Fraction | None, ...]


@dataclass(frozen=True, slots=True)
class Trend:
    dates: tuple[dt.date, ...]
    progress: Series
    lines: tuple[Series, ...]


def matrix(
    report: PlanReport, today: dt.date, *, milestone: dt.date | None = None, who: str | None = None
) -> Matrix:
    """Centres × indicators. ``milestone``: measure against that one, due or not."""
    ours = [m for m in report.milestones if m.progress_pct is not None]
    against, upcoming = _against(ours, today, milestone)
    columns = _columns(report, who)
    keys = list(columns)
    rows = [
        _row(unit, keys, ours, against, today)
        for unit in report.units
        if who is None or any(line.who == who for line in unit.lines)
    ]
    rows.sort(key=_urgency)
    total = _row(report.total, keys, ours, against, today)
    made = [
        MatrixColumn(
            codes=tuple(line.code for line in lines),
            indicator=lines[0].indicator,
            unit=lines[0].unit,
            period=lines[0].period,
            depth=lines[0].depth,
            red=sum(_is_late(row.cells[at]) for row in rows),
        )
        for at, lines in enumerate(columns.values())
    ]
    return Matrix(tuple(made), tuple(rows), total, against, upcoming)


def owed(report: PlanReport, centre_id: str, today: dt.date) -> tuple[Owed, ...]:
    """What a centre still owes this year, the most urgent first."""
    against, _ = _against(report.milestones, today, None)
    unit = next((unit for unit in report.units if unit.centre_id == centre_id), None)
    if unit is None:
        return ()
    found = []
    for line in unit.lines:
        status = status_of(line, against)
        if status == "met" or line.joint:
            continue
        text = WORDS["none"] if status == "none" else _owed_text(line)
        found.append(Owed(line.code, line.indicator, text, status, _percent(line)))
    done = {line.code: done_percent(line) for line in unit.lines}
    return tuple(sorted(found, key=lambda one: (_ORDER.index(one.status), done[one.code])))


def owed_text(report: PlanReport, centre_id: str, today: dt.date) -> str:
    """今年还欠 in one line; says so when nothing is owed."""
    found = owed(report, centre_id, today)
    known = [f"{one.indicator}{one.text}" for one in found if one.status != "none"]
    unknown = len(found) - len(known)
    if not found:
        return "今年的任务已全部完成。"
    said = "、".join(known[:NAMED])
    if len(known) > NAMED:
        said += f"等{len(known)}项"
    parts = [f"今年还欠：{said}"] if known else []
    parts += [f"{'另有' if known else '今年'}{unknown}项未填报"] if unknown else []
    return "；".join(parts) + "。"


def trend(reports: Sequence[tuple[dt.date, PlanReport]], centre_id: str | None = None) -> Trend:
    """How the rates of a centre (None: the whole) moved over dated reports."""
    dates = tuple(day for day, _ in reports)
    units = [_unit(report, centre_id) for _, report in reports]
    names = {line.code: line.indicator for unit in units if unit for line in unit.lines}
    rates: list[dict[str, Fraction | None]] = [
        {line.code: line.rate for line in unit.lines} if unit else {} for unit in units
    ]
    lines = tuple(
        Series(code, name, tuple(found.get(code) for found in rates))
        for code, name in names.items()
    )
    whole = tuple(unit.progress.mean_percent if unit else None for unit in units)
    return Trend(dates, Series("", "年度进度", whole), lines)


def status_of(line: Line, against: Milestone | None) -> Status:
    """How urgent a line is, measured against a milestone."""
    if line.met:
        return "met"
    if line.actual is None:
        return "none"
    if line.joint or against is None or against.progress_pct is None:
        return "behind"
    return "late" if done_percent(line) < against.progress_pct else "behind"


# --- parts ------------------------------------------------------------------------------------

NAMED = 4
"""Things owed that are named in one line."""
_ORDER: tuple[Status, ...] = ("late", "none", "behind", "met")


def _unit(report: PlanReport, centre_id: str | None) -> UnitReport | None:
    if centre_id is None:
        return report.total
    return next((unit for unit in report.units if unit.centre_id == centre_id), None)


def _against(
    milestones: Sequence[Milestone], today: dt.date, wanted: dt.date | None
) -> tuple[Milestone | None, Milestone | None]:
    """(the one measured against, the next to come): the last that is over, unless one is named."""
    ours = [m for m in milestones if m.progress_pct is not None]
    # A day's milestone is missed once the day is over.
    due = [m for m in ours if m.by < today]
    upcoming = next((m for m in ours if m.by >= today), None)
    if wanted is not None:
        return next((m for m in ours if m.by == wanted), None), upcoming
    return (due[-1] if due else None), upcoming


_Key = tuple[str, str, str, str]


def _key(line: Line, indicators: dict[str, str]) -> _Key:
    """The same thing asked of different groups: one column."""
    return (indicators.get(line.parent or "", ""), line.indicator, line.unit, line.period)


def _columns(report: PlanReport, who: str | None) -> dict[_Key, list[Line]]:
    indicators = {line.code: line.indicator for line in report.total.lines}
    found: dict[_Key, list[Line]] = {}
    for line in report.total.lines:
        if who is None or line.who == who:
            found.setdefault(_key(line, indicators), []).append(line)
    return found


def _row(
    unit: UnitReport,
    keys: Sequence[_Key],
    milestones: Sequence[Milestone],
    against: Milestone | None,
    today: dt.date,
) -> MatrixRow:
    indicators = {line.code: line.indicator for line in unit.lines}
    by_key: dict[_Key, list[Line]] = {}
    for line in unit.lines:
        by_key.setdefault(_key(line, indicators), []).append(line)
    cells = tuple(
        _cell(_together(by_key[key]), milestones, against, today) if key in by_key else None
        for key in keys
    )
    return MatrixRow(
        centre_id=unit.centre_id,
        centre_name=unit.centre_name,
        level=unit.level,
        cells=cells,
        progress=unit.progress,
        late=sum(_is_late(cell) for cell in cells),
        none=sum(cell is not None and cell.status == "none" for cell in cells),
    )


def _together(lines: Sequence[Line]) -> Line:
    """What several groups are asked alike, as one line: of the roll-up's row."""
    first = lines[0]
    if len(lines) == 1:
        return first
    goal = sum((line.count_target or Fraction(0) for line in lines), Fraction(0))
    counts = [line.count for line in lines if line.count is not None]
    count = sum(counts, Fraction(0)) if counts else None
    met = all(line.met for line in lines)
    return replace(
        first,
        count=count,
        count_target=goal,
        actual=count,
        rate=None if count is None else completion(count, goal),
        met=met if met or count is not None else None,
        owed=sum((line.owed for line in lines), Fraction(0)),
        note="；".join(f"{line.who}：{line.note}" for line in lines if line.note),
    )


def _cell(
    line: Line, milestones: Sequence[Milestone], against: Milestone | None, today: dt.date
) -> MatrixCell:
    status = status_of(line, against)
    goal = line.count_target if line.count_target is not None else line.target
    done = done_percent(line)
    steps = tuple(
        Step(
            by=m.by,
            percent=m.progress_pct,
            needed=goal * m.progress_pct / 100,
            due=m.by < today,
            reached=done >= m.progress_pct,
        )
        for m in milestones
        if m.progress_pct is not None
    )
    return MatrixCell(
        code=line.code,
        status=status,
        word=WORDS[status],
        number="" if line.count is None else number_text(line.count),
        percent=_percent(line),
        target=amount_text(goal, line.owed_unit),
        owed=_owed_text(line) if line.owed else "",
        source=line.source,
        steps=steps,
        note=line.note,
    )


def _percent(line: Line) -> str:
    return "" if line.rate is None else rate_text(line.rate)


def _owed_text(line: Line) -> str:
    if line.owed:
        return f"{owed_number(line.owed)}{line.owed_unit}"
    return f"未达到{OP_WORDS[line.op]}{amount_text(line.target, line.unit)}"


def _is_late(cell: MatrixCell | None) -> bool:
    return cell is not None and cell.status == "late"


def _urgency(row: MatrixRow) -> tuple[int, Fraction, int]:
    return (-row.late, row.progress.mean_percent, -row.none)
