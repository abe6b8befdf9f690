"""Reports shaped for the templates of 指标: cells, groups of centres, milestones, tallies. Pure."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote

from api.pages.targets.view import (
    NOTHING,
    URGENCY,
    Asked,
    CellView,
    ChartView,
    ColumnView,
    GroupView,
    MileView,
    OwedCentre,
    OwedPlan,
    PlanCard,
    ProgressView,
    RowView,
    Tally,
    line_path,
    matrix_path,
)
from catalog.plans.amounts import number_text, rate_text
from catalog.plans.matrix import Matrix, MatrixCell, Status, Trend, matrix, owed
from catalog.plans.report import Line, Milestone, PlanReport, Progress

# ---- cells --------------------------------------------------------------------------------------


class _Cells:
    """Makes cells of one report, each with the way to its rows."""

    def __init__(self, report: PlanReport, plan_year: int) -> None:
        self._report = report
        self._plan_year = plan_year
        self._names = {
            line.code: line.indicator
            for unit in (*report.units, report.total)
            for line in unit.lines
        }

    def name(self, code: str) -> str:
        return self._names.get(code, "")

    def of(
        self, cell: MatrixCell | None, centre_id: str, depth: int = 0, *, total: bool = False
    ) -> CellView | None:
        if cell is None:
            return None
        year = self._report.year
        due = [step for step in cell.steps if step.due]
        return CellView(
            code=cell.code,
            indicator=self.name(cell.code),
            status=cell.status,
            number=cell.number or NOTHING,
            percent=cell.percent or NOTHING,
            target=cell.target,
            owed=cell.owed,
            depth=depth,
            bar=_bar(cell.percent),
            mark=_share(due[-1].percent) if due else None,
            href=line_path(
                self._report.plan_id,
                centre_id,
                cell.code,
                year=year if year != self._plan_year else None,
                total=total,
            ),
        )


def _bar(percent: str) -> float:
    number = percent.rstrip("%")
    return min(100.0, max(0.0, float(number))) if number else 0.0


def _share(percent: Any) -> float:
    return min(100.0, float(percent))


# ---- groups -------------------------------------------------------------------------------------


def tables_of(
    report: PlanReport, today: dt.date, by: dt.date | None = None
) -> tuple[tuple[str, Matrix], ...]:
    """A table a group of units, in the plan's order."""
    order = dict.fromkeys(line.who for unit in report.units for line in unit.lines)
    return tuple((who, matrix(report, today, milestone=by, who=who)) for who in order)


def groups_of(
    report: PlanReport, tables: Sequence[tuple[str, Matrix]], show: str, plan_year: int
) -> tuple[GroupView, ...]:
    """Those with something late first, else in the plan's order."""
    cells = _Cells(report, plan_year)
    made = [_group(report, who, found, cells) for who, found in tables]
    if show:
        made = [part for group in made for part in _only(group, show)]
    made.sort(key=lambda group: not group.counts.get("late"))
    return tuple(made)


def _group(report: PlanReport, who: str, found: Matrix, cells: _Cells) -> GroupView:
    rows = [row for row in found.rows if any(row.cells)]
    kept = [n for n in range(len(found.columns)) if any(row.cells[n] for row in rows)]
    counts: Counter[str] = Counter(cell.status for row in rows for cell in row.cells if cell)
    if len(rows) == 1:
        row = rows[0]
        lines = [cells.of(row.cells[n], row.centre_id, found.columns[n].depth) for n in kept]
        return GroupView(
            who=who,
            centres=1,
            counts=counts,
            one=red_first(tuple(line for line in lines if line)),
            name=row.centre_name,
            href=centre_path(report, row.centre_id),
        )
    # The columns with most that is late come first; the plan's order holds within.
    kept.sort(key=lambda n: -found.columns[n].red)
    return GroupView(
        who=who,
        centres=len(rows),
        counts=counts,
        columns=tuple(
            ColumnView(found.columns[n].indicator, _asked(rows[0].cells[n])) for n in kept
        ),
        rows=tuple(
            RowView(
                name=row.centre_name,
                href=centre_path(report, row.centre_id),
                mean=rate_text(row.progress.mean_percent),
                late=row.late,
                none=row.none,
                cells=tuple(cells.of(row.cells[n], row.centre_id) for n in kept),
            )
            for row in rows
        ),
        totals=tuple(cells.of(found.total.cells[n], report.root_id, total=True) for n in kept),
    )


def red_first(cells: Sequence[CellView]) -> tuple[CellView, ...]:
    """The most urgent first; a 其中 stays under what it is of."""
    blocks: list[list[CellView]] = []
    for cell in cells:
        if cell.depth and blocks:
            blocks[-1].append(cell)
        else:
            blocks.append([cell])
    blocks.sort(key=lambda block: min(URGENCY.index(cell.status) for cell in block))
    return tuple(cell for block in blocks for cell in block)


def _asked(cell: MatrixCell | None) -> str:
    return cell.target if cell else ""


def _only(group: GroupView, show: str) -> list[GroupView]:
    """The cells of one status, centre by centre."""
    if group.one:
        sources = [(group.name, group.href, group.one)]
    else:
        sources = [
            (row.name, row.href, tuple(cell for cell in row.cells if cell)) for row in group.rows
        ]
    made = []
    for name, href, cells in sources:
        # What these are 其中 of may not be among them: each stands by itself.
        left = tuple(replace(cell, depth=0) for cell in cells if cell.status == show)
        if left:
            counts = {show: len(left)}
            made.append(GroupView(group.who, 1, counts, one=left, name=name, href=href))
    return made


def centre_path(report: PlanReport, centre_id: str) -> str:
    """The page with all lines of one centre."""
    return f"/desk/targets/{quote(report.plan_id)}/{quote(centre_id)}?year={report.year}"


# ---- the whole ----------------------------------------------------------------------------------


def miles_of(report: PlanReport, today: dt.date) -> tuple[MileView, ...]:
    """The plan's milestones in order of time."""
    made = []
    coming = True
    for mile in sorted(report.milestones, key=lambda m: m.by):
        state = "past" if mile.by < today else "next" if coming else "later"
        coming = coming and state == "past"
        share = rate_text(mile.progress_pct) if mile.progress_pct is not None else ""
        made.append(MileView(mile.by, share, mile.do, state))
    return tuple(made)


def progress_of(report: PlanReport, progress: Progress, due: Milestone | None) -> ProgressView:
    """Mean and worst, against the milestone that is measured against."""
    percent = due.progress_pct if due else None
    late = percent is not None and progress.mean_percent < percent
    status: Status = "met" if progress.mean_percent >= 100 else "late" if late else "behind"
    worst = next(
        (
            line.indicator
            for unit in (report.total, *report.units)
            for line in unit.lines
            if line.code == progress.worst_code
        ),
        "",
    )
    return ProgressView(
        mean=rate_text(progress.mean_percent),
        bar=_share(progress.mean_percent),
        status=status,
        mark=_share(percent) if percent is not None else None,
        due=rate_text(percent) if percent is not None else "",
        due_by=due.by if due else None,
        worst=worst,
        worst_percent=rate_text(progress.worst_percent),
        formula=progress.formula,
    )


def tallies_of(tables: Sequence[tuple[str, Matrix]], asked: Asked) -> tuple[Tally, ...]:
    """How many cells stand how; each leads to the cells it counts, and from there back."""
    counts = Counter(
        cell.status for _, found in tables for row in found.rows for cell in row.cells if cell
    )
    return tuple(
        Tally(
            status, counts[status], matrix_path(asked, show="" if asked.show == status else status)
        )
        for status in URGENCY
    )


def goals_of(
    report: PlanReport, centre_id: str, today: dt.date, plan_year: int
) -> tuple[tuple[str, tuple[CellView, ...]], ...]:
    """One centre's indicators by group, in the plan's order."""
    cells = _Cells(report, plan_year)
    unit = next((unit for unit in report.units if unit.centre_id == centre_id), report.total)
    made = []
    for who in dict.fromkeys(line.who for line in unit.lines):
        found = matrix(report, today, who=who)
        row = next((r for r in found.rows if r.centre_id == unit.centre_id), found.total)
        lines = [
            cells.of(cell, unit.centre_id, column.depth)
            for column, cell in zip(found.columns, row.cells, strict=True)
        ]
        made.append((who, red_first([line for line in lines if line])))
    return tuple(made)


def trend_chart(found: Trend, milestones: Sequence[Milestone], words: tuple[str, str]) -> ChartView:
    """Mean completion month by month against what the milestones ask by then."""
    asked = [m for m in sorted(milestones, key=lambda m: m.by) if m.progress_pct is not None]
    due = []
    for at in found.dates:
        past = [m for m in asked if m.by <= at]
        due.append(float(past[-1].progress_pct or 0) if past else 0.0)
    done = [None if p is None else float(number_text(p)) for p in found.progress.points]
    data: dict[str, Any] = {
        "unit": "%",
        "labels": [f"{at.month}月" for at in found.dates],
        "series": [
            {"name": words[0], "look": "done", "values": done},
            *([{"name": words[1], "look": "due", "values": due}] if asked else []),
        ],
    }
    return ChartView(data, [value or 0.0 for value in done])


def percent_text(milestone: Milestone) -> str:
    return "" if milestone.progress_pct is None else rate_text(milestone.progress_pct)


# ---- 今年还欠 -----------------------------------------------------------------------------------


def owed_summary(items: int, late: int, centres: int) -> str:
    """One line for whoever looks after several centres."""
    if not items:
        return "今年各馆的指标都完成了。"
    said = f"今年各馆一共还欠 {items} 项"
    return f"{said}，{centres} 个馆有 {late} 项滞后。" if late else f"{said}，都还没到节点。"


def owed_plan(card: PlanCard, report: PlanReport, today: dt.date, plan_year: int) -> OwedPlan:
    """What each centre still owes of a plan."""
    cells = _Cells(report, plan_year)
    found = matrix(report, today)
    mile = found.milestone or found.upcoming
    made = []
    for row in found.rows:
        codes = {line.code: place for place, line in enumerate(owed(report, row.centre_id, today))}
        listed = [cell for cell in row.cells if cell and cell.code in codes]
        listed.sort(key=lambda cell: codes[cell.code])
        views = [cells.of(cell, row.centre_id) for cell in listed]
        made.append(
            OwedCentre(
                name=row.centre_name,
                href=centre_path(report, row.centre_id),
                late=row.late,
                cells=tuple(view for view in views if view),
            )
        )
    made.sort(key=lambda centre: (-centre.late, -len(centre.cells)))
    due = ""
    if mile is not None and mile.progress_pct is not None:
        due = f"{mile.by.month}月{mile.by.day}日应完成 {rate_text(mile.progress_pct)}"
    return OwedPlan(card, due, tuple(made))


def cell_of(
    report: PlanReport, line: Line, today: dt.date, plan_year: int, total: bool
) -> CellView:
    """One line as a cell, with its standing against the milestones."""
    found = matrix(report, today, who=line.who)
    rows = [found.total] if total else [r for r in found.rows if r.centre_id == line.centre_id]
    cells = _Cells(report, plan_year)
    for row in rows:
        for cell in row.cells:
            if cell is not None and cell.code == line.code:
                made = cells.of(cell, line.centre_id, line.depth, total=total)
                assert made is not None
                return made
    raise LookupError(f"no cell for {line.code}")
