"""A line of a report as every file prints it: which numbers, which words. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final, Literal

from catalog.clock import CHINA
from catalog.plans.amounts import OP_WORDS, number_text, owed_number, rate_text
from catalog.plans.report import Line, PlanReport, UnitReport
from catalog.returns.differences import Difference
from catalog.returns.sentences import shown_actual, shown_unit

Format = Literal["xlsx", "docx", "csv", "json"]
FORMATS: Final[dict[Format, str]] = {
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
}
EVIDENCE_KINDS: Final = {
    "broadcast": "直录播",
    "past": "往年直录播",
    "resource": "资源",
    "entry": "填报",
    "plays": "播放",
}
SOURCES: Final = {"ledger": "系统台账", "hand": "人工填报", "none": "未填报"}
LEVELS: Final = {"province": "省级", "prefecture": "州市级", "county": "县级", "station": "站"}
PERIODS: Final = {"year": "全年", "quarter": "每季度", "month": "每月"}
RULES: Final = (
    "时长按时间区间取并集，重叠只计一次，中断和垫片不计；联动直播汇总时只计一次；"
    "完成率＝实际÷目标×100，四舍五入保留一位小数，不封顶；占比以目标数为分母（计划另有规定的除外）。"
)


@dataclass(frozen=True, slots=True)
class Stamp:
    """Which frozen return a file shows."""

    return_id: str
    revision: int
    cut_off: dt.datetime
    frozen_at: dt.datetime
    frozen_name: str
    sha256: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """What staff say themselves in the 自查报告: paragraphs, one a line."""

    done: str = ""
    problems: str = ""
    next_year: str = ""


NO_WORDS: Final = Words()


@dataclass(frozen=True, slots=True)
class Paper:
    """All that goes into a file."""

    reports: tuple[PlanReport, ...]
    """One, or one a year, oldest first."""
    base_url: str
    names: Mapping[str, str] = field(default_factory=dict)
    """Code → what returns call the indicator, in their order."""
    stamp: Stamp | None = None
    """None: a draft, the numbers as they are now."""
    words: Words = NO_WORDS
    corrections: Sequence[Difference] = ()
    """Against the revision before."""
    built_on: Sequence[Mapping[str, Any]] = ()
    """Returns of units below, and where this one differs (see freeze.built_on)."""

    @property
    def years(self) -> str:
        first, last = self.reports[0].year, self.reports[-1].year
        return str(first) if first == last else f"{first}—{last}"

    def link(self, href: str) -> str:
        return f"{self.base_url}{href}" if href.startswith("/") else ""

    def state(self) -> str:
        """Frozen as which revision, or a draft."""
        if self.stamp is None:
            return "草稿：数据未冻结，以正式上报的版本为准。"
        frozen = self.stamp.frozen_at.astimezone(CHINA)
        why = f"，更正原因：{self.stamp.why}" if self.stamp.why else ""
        return (
            f"第{self.stamp.revision}版，{frozen:%Y-%m-%d %H:%M} 由{self.stamp.frozen_name}冻结"
            f"{why}；校验值 SHA-256 {self.stamp.sha256}。"
        )

    def cut_off(self) -> str:
        until = self.reports[-1].cut_off.astimezone(CHINA)
        return f"{until:%Y-%m-%d %H:%M}（北京时间）"


@dataclass(frozen=True, slots=True)
class Shown:
    """A line's figures as printed: of a share the count against the count it asks for."""

    unit: str
    target: Fraction
    actual: Fraction | None
    rate: Fraction | None
    owed: Fraction
    state: str
    """完成, 未完成, 未填报, 合并考核."""
    note: str

    @property
    def target_text(self) -> str:
        return number_text(self.target)

    @property
    def actual_text(self) -> str:
        return "" if self.actual is None else number_text(self.actual)

    @property
    def owed_text(self) -> str:
        return owed_number(self.owed) if self.owed else ""

    @property
    def rate_text(self) -> str:
        return "" if self.rate is None else rate_text(self.rate)


def shown(line: Line) -> Shown:
    """What is printed of a line."""
    by_count = line.count_target is not None
    target = line.count_target if line.count_target is not None else line.target
    notes = [line.note] if line.note else []
    if by_count and line.unit == "%":
        notes.insert(0, f"{OP_WORDS.get(line.op, line.op)}{number_text(line.target)}%")
    elif line.op != ">=":
        notes.insert(0, f"要求{OP_WORDS.get(line.op, line.op)}目标")
    return Shown(
        unit=(line.owed_unit or line.unit) if by_count else shown_unit(line),
        target=target,
        actual=shown_actual(line),
        rate=line.rate,
        owed=line.owed,
        state=state_of(line),
        note="；".join(notes),
    )


def state_of(line: Line) -> str:
    if line.met is None:
        # A part of what several units are asked together is judged on the whole.
        return "未填报" if line.actual is None else "合并考核"
    return "完成" if line.met else "未完成"


def lines_of(paper: Paper) -> Iterator[tuple[PlanReport, UnitReport, Line]]:
    """Every line of every unit, year by year; the roll-up last of each year."""
    for report in paper.reports:
        for unit in units_of(report):
            for line in unit.lines:
                yield report, unit, line


def units_of(report: PlanReport) -> list[UnitReport]:
    """The units of a report, and their roll-up where it says more than its only unit."""
    alone = len(report.units) == 1 and report.units[0].centre_id == report.total.centre_id
    return [*report.units] if alone else [*report.units, report.total]


def periods_text(line: Line) -> str:
    """Of a target every month or quarter: how many were met, and which were not."""
    if not line.cells:
        return ""
    missed = [
        f"{cell.period}（{'未填报' if cell.actual is None else number_text(cell.actual)}）"
        for cell in line.cells
        if cell.met is False or cell.actual is None
    ]
    met = sum(bool(cell.met) for cell in line.cells)
    said = f"{met}/{len(line.cells)}个时段完成"
    return f"{said}，未完成：{'、'.join(missed)}" if missed else said
