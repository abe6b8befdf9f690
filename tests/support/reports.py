"""Reports made by hand, for the files that are written of them: no database."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from catalog.minutes import TICKS_A_MINUTE
from catalog.plans.amounts import completion, is_met, missing, progress
from catalog.plans.report import BroadcastLine, Evidence, Line, PlanReport, UnitReport
from catalog.returns.shown import Paper

CUT_OFF = dt.datetime(2020, 12, 31, 15, 59, tzinfo=dt.UTC)


def a_line(
    code: str, indicator: str, target: int, amounts: Sequence[Fraction | int] | None, **more: Any
) -> Line:
    """A line whose number is the sum of its evidence; None: nothing known."""
    wanted = Fraction(target)
    actual = None if amounts is None else sum((Fraction(a) for a in amounts), Fraction(0))
    fields: dict[str, Any] = {
        "unit": "条",
        "who": "县（市）文化馆",
        "level": "县",
        "period": "year",
        "parent": None,
        "depth": 0,
        "centre_id": "c1",
        "centre_name": "景洪市文化馆",
        "op": ">=",
        "rate": None if actual is None else completion(actual, wanted),
        "met": None if actual is None else is_met(actual, ">=", wanted),
        "owed": missing(actual, ">=", wanted),
        "source": "none" if actual is None else "ledger",
        "evidence": tuple(
            Evidence(
                "resource", f"{code}-{n}", f"{indicator}之{n}", dt.date(2020, 5, 1), Fraction(a),
                note="=备注", href=f"/r/{code}-{n}",
            )
            for n, a in enumerate(amounts or (), start=1)
        ),
    }  # fmt: skip
    return Line(code=code, indicator=indicator, target=wanted, actual=actual, **fields | more)


def a_show(nr: int, title: str, tenths: int, **more: Any) -> BroadcastLine:
    """A 场 of so many tenths of a minute."""
    ticks = tenths * TICKS_A_MINUTE // 10
    fields: dict[str, Any] = {
        "date": dt.date(2020, 3, min(28, max(nr, 1))),
        "mode": "live",
        "standing": "own",
        "images": 10,
        "clicks": 1234,
        "source": "xitai",
        "href": f"/b/show{nr}",
    }
    return BroadcastLine(
        nr=nr, id=f"show{nr}", title=title, finished_ticks=ticks, raw_ticks=ticks, **fields | more
    )


def a_unit(
    name: str, lines: Sequence[Line], shows: Sequence[BroadcastLine] = (), key: str = "c1"
) -> UnitReport:
    return UnitReport(
        key, name, "county", f"root/{key}/", tuple(lines), tuple(shows), progress(lines)
    )


def a_report(
    units: Sequence[UnitReport], total: UnitReport | None = None, year: int = 2020
) -> PlanReport:
    """A report of these units; without ``total`` the first one is all of it."""
    return PlanReport(
        plan_id="p", code="chuxiong-2020", title="楚雄州2020年任务", issuer="州文旅局",
        document="楚文旅通〔2020〕15号", year=year, root_id=(total or units[0]).centre_id,
        root_name=(total or units[0]).centre_name, cut_off=CUT_OFF, rule_version="2026-1",
        plan_version=1, milestones=(), units=tuple(units), total=total or units[0],
    )  # fmt: skip


def a_paper(*reports: PlanReport, **more: Any) -> Paper:
    return Paper(tuple(reports), "http://x", **more)
