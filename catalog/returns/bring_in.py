"""Bringing in an old year: values kept by hand and past broadcasts, from a file; twice is once.

A row that is wrong is reported and the others are kept. What the old return printed (rates,
targets) is compared with what the plan makes of the values, and differences are told.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.audit import Actor, note
from catalog.centres import FIRST_NAME, add_centre, find_centre, lock_centres, within
from catalog.clock import china_date
from catalog.errors import Refused
from catalog.models import Centre, Entry, PastBroadcast, Plan
from catalog.plans.amounts import number_text
from catalog.plans.compute import report_of
from catalog.plans.entries import set_entry, target_named
from catalog.plans.report import Line
from catalog.plans.service import assign_units, load_template
from catalog.plans.templates import template
from catalog.returns.past_file import Bad, PastCentre, PastReturn, PastShow, PastValue, read_past
from catalog.returns.shown import shown
from infra.ids import public_id

LEVELS: Final = {
    "省": "province", "自治区": "province", "直辖市": "province",
    "州": "prefecture", "市": "prefecture", "地区": "prefecture", "盟": "prefecture",
    "县": "county", "区": "county", "旗": "county", "县级市": "county",
    "乡": "station", "镇": "station", "街道": "station", "站": "station",
}  # fmt: skip
_RANKS: Final = ("province", "prefecture", "county", "station")
_FIGURES: Final = ("mode", "standing", "finished_ticks", "raw_ticks", "images", "clicks")


@dataclass(frozen=True, slots=True)
class Unlike:
    """Something the old return printed otherwise than we reckon it."""

    where: str
    what: str
    """完成率, 目标."""
    printed: str
    ours: str


@dataclass(slots=True)
class BroughtIn:
    """What became of a file."""

    entries: int = 0
    """Values new or changed."""
    broadcasts: int = 0
    """场 new or changed."""
    unchanged: int = 0
    """Rows that were there already, just so."""
    centres_made: list[str] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)
    unlike: list[Unlike] = field(default_factory=list)


def bring_in(
    session: Session,
    actor: Actor,
    data: bytes,
    plan: Plan,
    year: int,
    *,
    create_centres: bool = False,
    now: dt.datetime | None = None,
) -> BroughtIn:
    """Bring a file in. Raises Refused return_file_* when it can't be read at all, and
    return_centres_admin when centres are to be made by one who may not."""
    now = now or dt.datetime.now(dt.UTC)
    if create_centres and actor.role != "admin":
        raise Refused("return_centres_admin")
    past = read_past(data, year, china_date(now))
    made = BroughtIn(bad=list(past.bad))
    centres = _Centres(session, actor, plan, create=create_centres).match(past, made)
    taken = [value for value in past.values if value.centre in centres]
    lines = [
        (value, code)
        for value in taken
        if (code := _enter(session, actor, plan, centres[value.centre], value, past, year, made))
    ]
    first = past.centres[0].name if past.centres else ""
    for show in past.shows:
        _keep(session, actor, centres, show, first, past.source, made)
    session.flush()
    _compare(session, plan, centres, lines, year, now, made)
    note(
        session, actor, "return.bring_in", "plan", plan.id, centre_id=plan.owner_id, year=year,
        entries=made.entries, broadcasts=made.broadcasts, bad=len(made.bad), source=past.source,
    )  # fmt: skip
    return made


# --- centres ---------------------------------------------------------------------------------


def level_of(wanted: PastCentre) -> str:
    """What the file says its level is, in our word."""
    return LEVELS.get(wanted.level.strip(), "county")


def plan_for(session: Session, actor: Actor, name: str, past: PastReturn) -> Plan:
    """A shipped plan for a file that comes first of all: kept by the file's first centre, which
    is made where there is none. For a machine on which nothing was set up yet."""
    shipped = template(name)
    first = past.centres[0] if past.centres else PastCentre(FIRST_NAME, "", ())
    lock_centres(session)
    owner = find_centre(session, first.name)
    if owner is None:
        owner = add_centre(session, first.name, level=level_of(first))
    elif owner.level != level_of(first):
        # Made by name alone (with the first account), it has a level nobody chose.
        note(
            session, actor, "centre.level", "centre", owner.id, centre_id=owner.id,
            level=[owner.level, level_of(first)],
        )  # fmt: skip
        owner.level = level_of(first)
        session.flush()
    return load_template(session, actor, shipped.code, owner)


class _Centres:
    """Finds the file's centres among those of the plan; makes them where that is wished."""

    def __init__(self, session: Session, actor: Actor, plan: Plan, *, create: bool) -> None:
        self._session = session
        self._actor = actor
        self._plan = plan
        self._create = create
        self._owner = session.get_one(Centre, plan.owner_id)
        self._units = {unit.centre_id for unit in plan.units}

    def match(self, past: PastReturn, made: BroughtIn) -> dict[str, Centre]:
        """Name → centre; those not to be had are told in ``made.bad``."""
        named = {centre.name: centre for centre in past.centres}
        for name in dict.fromkeys(show.centre for show in past.shows if show.centre):
            named.setdefault(name, PastCentre(name, "", ()))
        found: dict[str, Centre] = {}
        for name, wanted in named.items():
            centre = self._find(name)
            if centre is None and self._create:
                if self._elsewhere(name):
                    made.bad.append(Bad(name, "return_row_centre_outside", {"centre": name[:60]}))
                    continue
                centre = self._add(wanted, found.values())
                made.centres_made.append(name)
            if centre is None:
                made.bad.append(Bad(name, "return_row_centre_unknown", {"centre": name[:60]}))
            else:
                found[name] = centre
        if self._create and any(centre.id not in self._units for centre in found.values()):
            assign_units(self._session, self._actor, self._plan.id)
        return found

    def _find(self, name: str) -> Centre | None:
        """By exact name: a unit of the plan, else one under its owner."""
        query = select(Centre).where(Centre.name == name, within(self._actor.centre_path))
        known = [
            centre
            for centre in self._session.scalars(query.order_by(Centre.created_at, Centre.id))
            if centre.id in self._units or centre.path.startswith(self._owner.path)
        ]
        return min(known, key=lambda centre: centre.id not in self._units, default=None)

    def _elsewhere(self, name: str) -> bool:
        """Another of that name would be a second row for one centre."""
        return find_centre(self._session, name) is not None

    def _add(self, wanted: PastCentre, earlier: Iterable[Centre]) -> Centre:
        """Under the file's latest centre of a higher level, else under the plan's owner."""
        level = level_of(wanted)
        above = [
            centre
            for centre in (self._owner, *earlier)
            if _RANKS.index(centre.level) < _RANKS.index(level)
        ]
        parent = above[-1] if above else self._owner
        centre = add_centre(self._session, wanted.name, parent=parent, level=level)
        note(
            self._session, self._actor, "centre.create", "centre", centre.id,
            centre_id=centre.id, name=centre.name,
        )  # fmt: skip
        return centre


# --- values ----------------------------------------------------------------------------------


def _enter(
    session: Session,
    actor: Actor,
    plan: Plan,
    centre: Centre,
    value: PastValue,
    past: PastReturn,
    year: int,
    made: BroughtIn,
) -> str | None:
    """Enter a value; the code of its target, None when it was not taken."""
    target = target_named(plan, centre.id, value.name)
    if target is None:
        made.bad.append(Bad(value.where, "return_row_indicator", {"indicator": value.name[:60]}))
        return None
    before = _standing(session, plan, centre, target.code, year)
    try:
        entry = set_entry(
            session, actor, plan, centre, target.code, value.value, year=year,
            evidence=_evidence(past, value),
        )  # fmt: skip
    except Refused as error:
        made.bad.append(Bad(value.where, error.code, error.facts))
        return None
    if entry.id == before:
        made.unchanged += 1
    else:
        made.entries += 1
    return target.code


def _standing(session: Session, plan: Plan, centre: Centre, code: str, year: int) -> int | None:
    """Id of the entry that stands now."""
    query = (
        select(Entry.id)
        .where(
            Entry.plan_id == plan.id, Entry.centre_id == centre.id, Entry.code == code,
            Entry.year == year, Entry.period == "", Entry.replaced_by.is_(None),
        )
        .order_by(Entry.id.desc())
        .limit(1)
    )  # fmt: skip
    return session.scalar(query)


def _evidence(past: PastReturn, value: PastValue) -> list[dict[str, Any]]:
    """The document it was printed in, and figures printed beside it that no indicator asks."""
    evidence = [{"kind": "note", "text": past.source}]
    notes = next(centre.notes for centre in past.centres if centre.name == value.centre)
    if notes and "音视频" in value.name:
        evidence.append({"kind": "note", "text": f"同时上传：{'、'.join(notes)}"})
    return evidence


# --- broadcasts ------------------------------------------------------------------------------


def _keep(
    session: Session,
    actor: Actor,
    centres: dict[str, Centre],
    show: PastShow,
    first: str,
    source: str,
    made: BroughtIn,
) -> None:
    """Keep a 场; one of the same centre, day and title is corrected, with a trace."""
    centre = centres.get(show.centre or first)
    if centre is None:
        name = (show.centre or first)[:60]
        made.bad.append(Bad(show.where, "return_row_centre_unknown", {"centre": name}))
        return
    query = select(PastBroadcast).where(
        PastBroadcast.centre_id == centre.id,
        PastBroadcast.held_on == show.date,
        PastBroadcast.title == show.title,
    )
    kept = session.scalars(query).one_or_none()
    figures = {name: getattr(show, name) for name in _FIGURES}
    if kept is None:
        kept = PastBroadcast(
            id=public_id(), centre_id=centre.id, held_on=show.date, title=show.title,
            source=source[:200], entered_by=actor.user_id, **figures,
        )  # fmt: skip
        session.add(kept)
        changes: dict[str, Any] = {"title": show.title}
    elif kept.withdrawn_at is not None:
        made.bad.append(Bad(show.where, "return_row_withdrawn"))
        return
    else:
        changes = {
            name: [getattr(kept, name), value]
            for name, value in figures.items()
            if getattr(kept, name) != value
        }
        for name in changes:
            setattr(kept, name, figures[name])
    if not changes:
        made.unchanged += 1
        return
    made.broadcasts += 1
    note(
        session, actor, "past_broadcast.set", "past_broadcast", kept.id, centre_id=centre.id,
        **changes,
    )  # fmt: skip


# --- what was printed ------------------------------------------------------------------------


def _compare(
    session: Session,
    plan: Plan,
    centres: dict[str, Centre],
    lines: Sequence[tuple[PastValue, str]],
    year: int,
    now: dt.datetime,
    made: BroughtIn,
) -> None:
    """Tell where the plan makes something else of a value than was printed beside it."""
    if not lines:
        return
    owner = session.get_one(Centre, plan.owner_id)
    outside = {c.id: c for c in centres.values() if not c.path.startswith(owner.path)}
    reckoned: dict[tuple[str, str], Line] = {}
    for root in (owner, *outside.values()):
        report = report_of(session, plan, root, year, cut_off=now, detail=False)
        reckoned |= {(u.centre_id, line.code): line for u in report.units for line in u.lines}
    for value, code in lines:
        line = reckoned.get((centres[value.centre].id, code))
        if line is None:
            continue
        told = shown(line)
        if value.rate and _percent(value.rate) != _percent(told.rate_text):
            made.unlike.append(Unlike(value.where, "完成率", value.rate[:20], told.rate_text))
        if value.target is not None and Fraction(value.target) != told.target:
            printed = number_text(Fraction(value.target))
            made.unlike.append(Unlike(value.where, "目标", printed, told.target_text))


def _percent(text: str) -> Decimal | None:
    try:
        return Decimal(text.strip().removesuffix("%").removesuffix("％"))
    except InvalidOperation:
        return None
