"""What a plan's report is: lines with their evidence, exact, and its JSON form. Pure.

Every amount is a ``Fraction``; in JSON a fraction is ``[numerator, denominator]``. Minutes and
hours are ticks divided by whole numbers, so nothing is rounded before it is shown.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

import msgspec

Amount = Fraction

EvidenceKind = Literal["broadcast", "past", "resource", "entry", "plays"]
Source = Literal["ledger", "hand", "none"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """One row behind a number. ``amount`` is its share of the number, in the line's unit."""

    kind: EvidenceKind
    id: str
    """Of the broadcast, past broadcast, resource or entry; of plays the item's."""
    title: str
    date: dt.date | None
    amount: Amount
    note: str = ""
    """录播, 联动, 不重复计 …; of an entry its evidence in words."""
    href: str = ""
    """Path of the page that shows it; empty where there is none."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One part of the year of a line that is asked every month or quarter."""

    period: str
    """"" for the year, "Q1".."Q4", "01".."12"."""
    target: Amount
    actual: Amount | None
    """None: not known (nothing entered)."""
    met: bool | None
    """None: not known, or the part is not over and not yet met."""


@dataclass(frozen=True, slots=True)
class Line:
    """One target of one unit (or of the whole) against what was done."""

    code: str
    indicator: str
    unit: str
    """条, 场, 分钟 …; of a share %."""
    who: str
    level: str
    period: str
    """year, quarter, month, or words."""
    parent: str | None
    depth: int
    """0; a 其中 is one deeper than what it is of."""
    centre_id: str
    centre_name: str
    target: Amount
    """In ``unit``: of a share the percentage asked."""
    op: str
    actual: Amount | None
    """In ``unit``, of a share the percentage reached; None: nothing known. Of a target every
    month or quarter: how much the periods reach on average (see ``cells``)."""
    rate: Amount | None
    """Completion in percent, uncapped; None where nothing is known or the target is 0."""
    met: bool | None
    owed: Amount
    """What is still missing, in ``owed_unit``; never negative."""
    source: Source
    evidence: tuple[Evidence, ...] = ()
    cells: tuple[Cell, ...] = ()
    note: str = ""
    count: Amount | None = None
    """Of a share: what was counted (60 条), for sentences that print it; else as ``actual``."""
    count_target: Amount | None = None
    """Of a share: how many the percentage asks for (50 % of 120 = 60); else as ``target``."""
    owed_unit: str = ""
    """``unit``, and of a share the unit of what it is a share of."""
    per: str = "per_unit"
    """per_unit, total, per_session."""
    joint: bool = False
    """One unit's part of what several are asked together: it is neither met nor missed alone,
    and stays out of the progress; the roll-up that holds them all has the line whole."""


@dataclass(frozen=True, slots=True)
class BroadcastLine:
    """One 场 of the year, as the report lists it."""

    nr: int
    """Counts from 1 in order of date; 0 of those that are no 场 (linked, re-shown)."""
    id: str
    title: str
    date: dt.date
    mode: str
    """live, recorded."""
    standing: str
    """own, linked, reshown."""
    finished_ticks: int
    raw_ticks: int
    images: int
    clicks: int
    source: Literal["xitai", "past"]
    href: str = ""
    centre_id: str = ""
    centre_name: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """Progress of the whole (年度建设任务量): no document gives a formula, so ours is printed."""

    mean_percent: Amount
    worst_code: str
    worst_percent: Amount
    formula: str


@dataclass(frozen=True, slots=True)
class UnitReport:
    """One centre's part of a report, or the roll-up of the whole."""

    centre_id: str
    centre_name: str
    level: str
    path: str
    lines: tuple[Line, ...]
    broadcasts: tuple[BroadcastLine, ...]
    progress: Progress


@dataclass(frozen=True, slots=True)
class Milestone:
    """By when how much of the year is to be done."""

    by: dt.date
    progress_pct: Amount | None
    """None: something is to be done that is no share of the year."""
    do: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class PlanReport:
    """A plan's numbers of one year and one subtree at a cut-off."""

    plan_id: str
    code: str
    title: str
    issuer: str
    document: str
    year: int
    root_id: str
    root_name: str
    cut_off: dt.datetime
    rule_version: str
    plan_version: int
    milestones: tuple[Milestone, ...]
    units: tuple[UnitReport, ...]
    total: UnitReport
    """The subtree as one: linked broadcasts once, minutes as unions."""
    notes: tuple[str, ...] = ()
    """Where the document contradicts itself."""


def to_json(report: PlanReport) -> dict[str, Any]:
    """Plain dicts, lists, strings and numbers; ``from_json`` gives the equal report back."""
    made: dict[str, Any] = msgspec.to_builtins(report, enc_hook=_plain)
    return made


def from_json(data: dict[str, Any]) -> PlanReport:
    """The report ``to_json`` wrote. Raises msgspec.ValidationError for anything else."""
    return msgspec.convert(data, PlanReport, dec_hook=_fraction)


def _plain(value: Any) -> Any:
    if isinstance(value, Fraction):
        return [value.numerator, value.denominator]
    raise NotImplementedError(type(value).__name__)


def _fraction(wanted: type, value: Any) -> Any:
    if wanted is not Fraction:
        raise NotImplementedError(wanted.__name__)
    match value:
        case [int(numerator), int(denominator)] if denominator > 0:
            return Fraction(numerator, denominator)
        case _:
            raise ValueError("a fraction is [numerator, denominator]")
