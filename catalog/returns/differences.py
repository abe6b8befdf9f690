"""What differs between two reports of the same plan: the corrections people see. Pure.

Compared exactly, printed as reports print: two amounts that differ below the last tenth are
still a difference, and say so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from catalog.minutes import TICKS_A_MINUTE, minutes_text
from catalog.plans.amounts import number_text
from catalog.plans.report import BroadcastLine, Line, PlanReport, UnitReport
from catalog.returns.sentences import MODES, STANDINGS, shown_actual, shown_unit

What = Literal["target", "actual", "evidence", "line", "broadcast"]
WORDS: dict[What, str] = {
    "target": "目标",
    "actual": "实际",
    "evidence": "依据",
    "line": "指标",
    "broadcast": "直录播",
}
NOTHING = "—"


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was. ``old`` and ``new`` are ready to print."""

    centre_id: str
    centre_name: str
    what: What
    code: str
    """Of the indicator; of a broadcast its id."""
    name: str
    old: str
    new: str


def differences(old: PlanReport, new: PlanReport) -> list[Difference]:
    """From one revision to the next, unit by unit; the roll-up where its units do not say it."""
    found: list[Difference] = []
    before = {unit.centre_id: unit for unit in old.units}
    after = {unit.centre_id: unit for unit in new.units}
    for centre_id in before | after:
        found += unit_differences(before.get(centre_id), after.get(centre_id))
    told = {(d.what, d.code) for d in found}
    total = unit_differences(old.total, new.total)
    return found + [d for d in total if (d.what, d.code) not in told]


def unit_differences(old: UnitReport | None, new: UnitReport | None) -> list[Difference]:
    """Of one unit; None: it is not in that report."""
    unit = new or old
    assert unit is not None  # it is in one of them
    found = [
        Difference(unit.centre_id, unit.centre_name, what, code, name, before, after)
        for what, code, name, before, after in (
            *_lines(old.lines if old else (), new.lines if new else ()),
            *_broadcasts(old.broadcasts if old else (), new.broadcasts if new else ()),
        )
    ]
    return found


_Found = tuple[What, str, str, str, str]


def _lines(old: tuple[Line, ...], new: tuple[Line, ...]) -> Iterator[_Found]:
    before = {line.code: line for line in old}
    after = {line.code: line for line in new}
    for code in before | after:
        was, now = before.get(code), after.get(code)
        if was is None or now is None:
            line = was or now
            assert line is not None
            yield "line", code, line.indicator, _line_text(was), _line_text(now)
            continue
        unit = shown_unit(now)
        if was.target != now.target or was.op != now.op:
            yield "target", code, now.indicator, *_pair(was.target, now.target, now.unit)
        if shown_actual(was) != shown_actual(now):
            yield "actual", code, now.indicator, *_pair(shown_actual(was), shown_actual(now), unit)
        elif _rows(was) != _rows(now):
            yield (
                "evidence", code, now.indicator,
                f"{len(was.evidence)}项依据", f"{len(now.evidence)}项依据（有增减或更换）",
            )  # fmt: skip


def _rows(line: Line) -> set[tuple[str, str, Fraction]]:
    return {(row.kind, row.id, row.amount) for row in line.evidence}


def _line_text(line: Line | None) -> str:
    if line is None:
        return NOTHING
    actual = shown_actual(line)
    return "未填报" if actual is None else f"{number_text(actual)}{shown_unit(line)}"


def _pair(old: Fraction | None, new: Fraction | None, unit: str) -> tuple[str, str]:
    texts = tuple("未填报" if value is None else f"{number_text(value)}{unit}"
                  for value in (old, new))  # fmt: skip
    if texts[0] == texts[1] and old is not None and new is not None:
        # They print alike: only the exact amounts show what was corrected.
        return f"{float(old):.12g}{unit}", f"{float(new):.12g}{unit}"
    return texts[0], texts[1]


def _broadcasts(old: tuple[BroadcastLine, ...], new: tuple[BroadcastLine, ...]) -> Iterator[_Found]:
    before = {line.id: line for line in old}
    after = {line.id: line for line in new}
    for key in before | after:
        was, now = before.get(key), after.get(key)
        title = (now or was).title  # type: ignore[union-attr]  # it is in one of them
        texts = _broadcast_text(was, minutes_text), _broadcast_text(now, minutes_text)
        if was and now and _exact(was) != _exact(now):
            if texts[0] == texts[1]:
                texts = _broadcast_text(was, _all_digits), _broadcast_text(now, _all_digits)
            if was.title != now.title:
                texts = f"《{was.title}》{texts[0]}", f"《{now.title}》{texts[1]}"
        if texts[0] != texts[1]:
            yield "broadcast", key, title, *texts


def _exact(line: BroadcastLine) -> tuple[str, int, int]:
    """What a text of tenths of a minute leaves out."""
    return line.title, line.finished_ticks, line.raw_ticks


def _all_digits(ticks: int) -> str:
    return f"{ticks / TICKS_A_MINUTE:.12g}"


def _broadcast_text(line: BroadcastLine | None, minutes: Callable[[int], str]) -> str:
    if line is None:
        return NOTHING
    return (
        f"{line.date}，{STANDINGS[line.standing]}{MODES[line.mode]}，"
        f"成片{minutes(line.finished_ticks)}分钟，素材{minutes(line.raw_ticks)}分钟，"
        f"图片{line.images}幅，点击量{line.clicks}次"
    )
