"""A plan's report of a year, computed from the ledger and the values kept by hand.

A report tells what is known now of what happened up to the cut-off: a broadcast corrected later
shows the correction. An entry counts as it stood at the cut-off, or, where it was made later for
a part of the year that was over by then, as it stands.
"""

from __future__ import annotations

import calendar
import datetime as dt
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.centres import centres_within
from catalog.clock import CHINA, china_date
from catalog.minutes import RULE_VERSION
from catalog.models import Centre, Entry, Plan, PlanUnit, Target
from catalog.plans import amounts
from catalog.plans.bench import Asked, Bench, Given, Place, scope_of
from catalog.plans.lines import line, rolled_up
from catalog.plans.measures import Switches, parts_of, switches_of
from catalog.plans.periods import span_of
from catalog.plans.queries import query_of
from catalog.plans.report import Line, Milestone, PlanReport, UnitReport
from catalog.plans.shows import broadcast_lines
from catalog.year.facts import Facts
from catalog.year.load import load_facts


def report_of(
    session: Session,
    plan: Plan,
    root: Centre,
    year: int,
    *,
    cut_off: dt.datetime,
    detail: bool = True,
) -> PlanReport:
    """What ``root`` and the centres under it owe and have done in ``year``, up to ``cut_off``.

    ``detail=False`` leaves out evidence and lists of broadcasts: enough for the matrix.
    """
    return _Sources.load(session, plan, root, year, cut_off, detail=detail).report(cut_off)


def monthly(
    session: Session, plan: Plan, root: Centre, year: int, *, now: dt.datetime
) -> list[tuple[dt.date, PlanReport]]:
    """The report (without detail) as of the end of each month begun by ``now``: for trends."""
    sources = _Sources.load(session, plan, root, year, now, detail=False)
    made = []
    for month in range(1, 13):
        last = dt.date(year, month, calendar.monthrange(year, month)[1])
        if dt.date(year, month, 1) > china_date(now):
            break
        at = min(end_of(last), now)
        made.append((china_date(at), sources.report(at)))
    return made


def end_of(day: dt.date) -> dt.datetime:
    """The last instant of a day in China: the cut-off of "by that day"."""
    return dt.datetime.combine(day, dt.time.max, tzinfo=CHINA)


def milestones_of(plan: Plan, year: int) -> tuple[Milestone, ...]:
    """A plan's milestones in order; in another year than its own, on the same days of that one."""
    made = [
        Milestone(
            _in_year(dt.date.fromisoformat(row["by"]), year - plan.year),
            None if row.get("progress_pct") is None else amounts.exact(str(row["progress_pct"])),
            row.get("do", ""),
            row.get("note", ""),
        )
        for row in plan.milestones
    ]
    return tuple(sorted(made, key=lambda milestone: milestone.by))


def _in_year(day: dt.date, later: int) -> dt.date:
    year = day.year + later
    return dt.date(year, day.month, min(day.day, calendar.monthrange(year, day.month)[1]))


@dataclass(frozen=True, slots=True)
class _Sources:
    """All a report of a year needs, loaded at once; reports of any day of it come from here."""

    plan: Plan
    root: Centre
    year: int
    detail: bool
    asked: tuple[Asked, ...]
    centres: tuple[tuple[str, str, str], ...]
    """(id, path, name) of the subtree, parents first."""
    places: tuple[Place, ...]
    group_sizes: Counter[str]
    switches: Switches
    facts: Facts
    entries: tuple[Entry, ...]

    @classmethod
    def load(
        cls,
        session: Session,
        plan: Plan,
        root: Centre,
        year: int,
        cut_off: dt.datetime,
        *,
        detail: bool,
    ) -> _Sources:
        asked = asked_of(plan.targets)
        switches = switches_of(plan.switches)
        groups: dict[str, set[str]] = {}
        sizes: Counter[str] = Counter()
        units = select(PlanUnit.centre_id, PlanUnit.who).where(PlanUnit.plan_id == plan.id)
        for centre_id, who in session.execute(units):
            groups.setdefault(centre_id, set()).add(who)
            sizes[who] += 1
        centres = centres_within(session, root.path)
        places = [
            Place(c.id, c.name, c.level, c.path, frozenset(groups[c.id]))
            for c in centres
            if c.id in groups
        ]
        paths = [(c.id, c.path) for c in centres]
        parts = _parts(asked, places, paths, switches, detail=detail)
        facts = load_facts(session, year, centre_path=root.path, cut_off=cut_off, parts=parts)
        entries = session.scalars(
            select(Entry)
            .where(Entry.plan_id == plan.id, Entry.year == year)
            .where(Entry.centre_id.in_([place.id for place in places]))
            .order_by(Entry.id)
        )
        return cls(
            plan,
            root,
            year,
            detail,
            asked,
            tuple((c.id, c.path, c.name) for c in centres),
            tuple(places),
            sizes,
            switches,
            facts,
            tuple(entries),
        )

    def report(self, cut_off: dt.datetime) -> PlanReport:
        bench = Bench(
            asked=self.asked,
            places=self.places,
            group_sizes=self.group_sizes,
            facts=self.facts.until(china_date(cut_off)),
            given=given_at(self.entries, cut_off),
            switches=self.switches,
            detail=self.detail,
            centres=[(key, path) for key, path, _ in self.centres],
        )
        units = tuple(self._unit(bench, place) for place in self.places)
        return PlanReport(
            plan_id=self.plan.id,
            code=self.plan.code,
            title=self.plan.title,
            issuer=self.plan.issuer,
            document=self.plan.document,
            year=self.year,
            root_id=self.root.id,
            root_name=self.root.name,
            cut_off=cut_off,
            rule_version=RULE_VERSION,
            plan_version=self.plan.version,
            milestones=milestones_of(self.plan, self.year),
            units=units,
            total=self._total(bench, units),
            notes=tuple(self.plan.notes),
        )

    def _unit(self, bench: Bench, place: Place) -> UnitReport:
        lines = [line(bench, a, [place], place) for a in self.asked if a.who in place.groups]
        return self._reported(place, lines, bench.part(frozenset({place.id})), lines)

    def _total(self, bench: Bench, units: Sequence[UnitReport]) -> UnitReport:
        """The subtree as one. Its progress is that of all lines of all units, so that no unit's
        surplus hides another's arrears."""
        root = Place(self.root.id, self.root.name, self.root.level, self.root.path, frozenset())
        by_code: dict[str, list[Line]] = {}
        for unit in units:
            for of_unit in unit.lines:
                by_code.setdefault(of_unit.code, []).append(of_unit)
        lines = []
        for asked in self.asked:
            places = [place for place in self.places if asked.who in place.groups]
            if places:
                lines.append(rolled_up(line(bench, asked, places, root), by_code[asked.code]))
        counted = [
            one
            for whole in lines
            for one in (by_code[whole.code] if whole.per != "total" else [whole])
        ]
        return self._reported(root, lines, bench.facts, counted)

    def _reported(
        self, place: Place, lines: Sequence[Line], facts: Facts, counted: Sequence[Line]
    ) -> UnitReport:
        names = {key: name for key, _, name in self.centres}
        return UnitReport(
            centre_id=place.id,
            centre_name=place.name,
            level=place.level,
            path=place.path,
            lines=tuple(lines),
            broadcasts=broadcast_lines(facts, self.switches, names) if self.detail else (),
            progress=amounts.progress(counted),
        )


def _parts(
    asked: Sequence[Asked],
    places: Sequence[Place],
    centres: Sequence[tuple[str, str]],
    switches: Switches,
    *,
    detail: bool,
) -> dict[str, set[str]]:
    """Part of the facts → the centres it is asked of: 40 counties that owe no minutes need
    none of their footage looked up."""
    parts: dict[str, set[str]] = {}
    for target in asked:
        if target.query is None:
            continue
        units = [place for place in places if target.who in place.groups]
        for name in parts_of(target.query, switches, detail=detail):
            parts.setdefault(name, set()).update(scope_of(target.query, units, centres))
    for rows, counts in (("records", "record_counts"), ("stills", "still_counts")):
        # Rows and their counts would be the same twice.
        if rows in parts:
            parts[rows] |= parts.pop(counts, set())
    if detail:
        everyone = {key for key, _ in centres}
        parts |= dict.fromkeys(("shows", "stills", "clicks"), everyone)
    return parts


def asked_of(targets: Sequence[Target]) -> tuple[Asked, ...]:
    """Targets in their order, each with how deep it is nested."""
    parents = {target.code: target.parent for target in targets}
    return tuple(
        Asked(
            code=target.code,
            indicator=target.indicator,
            unit=target.unit,
            who=target.who,
            level=target.level,
            per=target.per,
            period=target.period,
            parent=target.parent if target.parent in parents else None,
            depth=_depth(target.code, parents),
            op=target.op,
            value=Fraction(target.value),
            overrides={name: amounts.exact(str(v)) for name, v in target.overrides.items()},
            denominator=target.denominator,
            query=query_of(target.query) if target.query is not None else None,
        )
        for target in targets
    )


def _depth(code: str, parents: dict[str, Any]) -> int:
    depth = 0
    while (above := parents.get(code)) in parents and depth < len(parents):
        code, depth = above, depth + 1
    return depth


def given_at(entries: Sequence[Entry], cut_off: dt.datetime) -> dict[tuple[str, str], list[Given]]:
    """(centre, code) → what stands at the cut-off. ``entries``: all of a year, oldest first."""
    day = china_date(cut_off)
    standing: dict[tuple[str, str, str], Entry] = {}
    for entry in entries:
        key = (entry.centre_id, entry.code, entry.period)
        known = entry.entered_at <= cut_off
        over = span_of(entry.period, entry.year)[1] <= day
        before = standing.get(key)
        # What was known then comes before what was found out later.
        late = before is not None and before.entered_at <= cut_off and not known
        if (known or over) and not late:
            standing[key] = entry
    found: dict[tuple[str, str], list[Given]] = {}
    for (centre_id, code, _), entry in sorted(standing.items()):
        if entry.withdrawn_at is None:
            found.setdefault((centre_id, code), []).append(_given(entry))
    return found


def _given(entry: Entry) -> Given:
    said = [str(row.get("text") or row.get("key") or "") for row in entry.evidence]
    return Given(
        entry.id,
        entry.centre_id,
        entry.code,
        entry.period,
        Fraction(entry.value),
        china_date(entry.entered_at),
        "；".join([entry.entered_name, *said]).strip("；"),
    )
