"""What 指标总表, a centre's list of indicators and 今年还欠 show: plain frozen data."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode

from catalog.plans.matrix import Status

URGENCY: Final[tuple[Status, ...]] = ("late", "none", "behind", "met")
NOTHING: Final = "—"


@dataclass(frozen=True, slots=True)
class Asked:
    """What the page was asked for."""

    plan: str = ""
    year: int | None = None
    by: dt.date | None = None
    """Measure against this milestone, due or not."""
    show: str = ""
    """Only cells of this status; empty: all."""


@dataclass(frozen=True, slots=True)
class PlanCard:
    id: str
    title: str
    about: str
    """Issuer and document."""
    year: int


@dataclass(frozen=True, slots=True)
class CellView:
    """One number with its target, ready to print."""

    code: str
    indicator: str
    status: Status
    number: str
    percent: str
    target: str
    owed: str
    depth: int
    bar: float
    """0 to 100."""
    mark: float | None
    """Where the due milestone stands."""
    href: str


@dataclass(frozen=True, slots=True)
class ColumnView:
    indicator: str
    asked: str


@dataclass(frozen=True, slots=True)
class RowView:
    name: str
    href: str
    mean: str
    late: int
    none: int
    cells: tuple[CellView | None, ...]


@dataclass(frozen=True, slots=True)
class GroupView:
    """One group of units (县（市）文化馆): a table, or a list where it has one centre."""

    who: str
    centres: int
    counts: Mapping[str, int]
    columns: tuple[ColumnView, ...] = ()
    rows: tuple[RowView, ...] = ()
    totals: tuple[CellView | None, ...] = ()
    one: tuple[CellView, ...] = ()
    name: str = ""
    """Of the one centre."""
    href: str = ""


@dataclass(frozen=True, slots=True)
class MileView:
    by: dt.date
    share: str
    do: str
    state: str
    """past, next, later."""


@dataclass(frozen=True, slots=True)
class ProgressView:
    mean: str
    bar: float
    status: Status
    mark: float | None
    due: str
    due_by: dt.date | None
    worst: str
    worst_percent: str
    formula: str


@dataclass(frozen=True, slots=True)
class Tally:
    status: Status
    count: int
    href: str


@dataclass(frozen=True, slots=True)
class MatrixView:
    plan: PlanCard
    root_name: str
    year: int
    by: str
    show: str
    plans: tuple[tuple[str, str], ...]
    years: tuple[tuple[int, str], ...]
    miles: tuple[MileView, ...]
    by_choices: tuple[tuple[str, str], ...]
    progress: ProgressView
    tallies: tuple[Tally, ...]
    groups: tuple[GroupView, ...]
    cut_off: dt.datetime
    rule_version: str
    plan_version: int
    all_href: str
    trend_href: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OwedPlan:
    plan: PlanCard
    due: str
    """到 9月30日 应完成 80%; empty where no milestone is due."""
    centres: tuple[OwedCentre, ...]
    """Those that owe most first; who owes nothing comes last."""


@dataclass(frozen=True, slots=True)
class OwedCentre:
    name: str
    href: str
    late: int
    cells: tuple[CellView, ...]


@dataclass(frozen=True, slots=True)
class ChartView:
    """What lib ECharts gets, and the plain line that stands in for it."""

    data: dict[str, Any]
    line: list[float] = field(default_factory=list)


def line_path(
    plan_id: str, centre_id: str, code: str, *, year: int | None = None, total: bool = False
) -> str:
    """The page with the rows behind one number; ``year`` where it is not the plan's own."""
    path = f"/desk/targets/{quote(plan_id)}/{quote(centre_id)}/{quote(code, safe='')}"
    asked = {"year": str(year)} if year else {}
    asked |= {"of": "total"} if total else {}
    return f"{path}?{urlencode(asked)}" if asked else path


def matrix_path(asked: Asked, **changes: Any) -> str:
    """The table itself, asked as now but for ``changes``."""
    wanted = {
        "plan": asked.plan,
        "year": asked.year,
        "by": asked.by,
        "show": asked.show,
    } | changes
    return "/desk/targets?" + urlencode({k: str(v) for k, v in wanted.items() if v})
