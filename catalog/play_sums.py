"""Reading the figures of plays: what is rolled up from its rows, what is open from the beacons."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final

from sqlalchemy import ARRAY, Date, String, bindparam, select, text
from sqlalchemy.orm import Session

from catalog.clock import china_date
from catalog.minutes import RULE_VERSION
from catalog.models import PlayDay, PlayMark
from catalog.play_days import FIGURES, open_pairs, open_since
from catalog.play_figures import DayFigures, Pair, figures

BUSY_EVENTS: Final = 20_000
BUSY_AGE: Final = dt.timedelta(minutes=5)
"""An item with a day of this many beacons is not worked out anew for everybody who asks, while
its rows are no older than this."""

_CLOSED: Final = """
    item_id = ANY(:items) AND (CAST(:since AS date) IS NULL OR day >= :since)
    AND (CAST(:until AS date) IS NULL OR day <= :until)
    AND (item_id, day) NOT IN (SELECT * FROM unnest(:open_items, :open_days))
"""
_TYPES: Final = (
    bindparam("items", type_=ARRAY(String)),
    bindparam("since", type_=Date),
    bindparam("until", type_=Date),
    bindparam("open_items", type_=ARRAY(String)),
    bindparam("open_days", type_=ARRAY(Date)),
)
_ROLLED: Final = f"{_CLOSED} AND rule_version = '{RULE_VERSION}'"
_SUMS = text(f"""
SELECT item_id, sum(page_views), sum(play_starts), sum(effective_plays), sum(watched_ms),
       max(peak_viewers), sum(completed), sum(events)
FROM play_days WHERE {_ROLLED} GROUP BY item_id
""").bindparams(*_TYPES)
_EXCLUDED = text(f"""
SELECT item_id, reason.key, figure.key, sum(figure.value::int8)
FROM play_days, jsonb_each(excluded) AS reason, jsonb_each_text(reason.value) AS figure
WHERE {_ROLLED} AND excluded <> '{{}}' GROUP BY 1, 2, 3
""").bindparams(*_TYPES)
_DEVICES = text(f"""
SELECT item_id, count(*) FROM (
    SELECT item_id, viewer FROM play_viewers WHERE {_CLOSED}
    UNION SELECT * FROM unnest(:met_items, :viewers)
) AS met GROUP BY item_id
""").bindparams(
    *_TYPES,
    bindparam("met_items", type_=ARRAY(String)),
    bindparam("viewers", type_=ARRAY(String)),
)


@dataclass(frozen=True, slots=True)
class _Open:
    """What has to be worked out now, and what came of it."""

    pairs: set[Pair]
    found: dict[Pair, tuple[DayFigures, list[str]]]


def sums(
    session: Session,
    items: Collection[str],
    since: dt.date | None = None,
    until: dt.date | None = None,
) -> dict[str, DayFigures]:
    """Item → its days taken together, under the last day that was asked for.

    All figures are sums, but for the peak, which is the highest of the days, and the devices:
    distinct viewers over the whole, and so fewer than the days' added up.
    """
    last = until or dt.date.max
    fresh = _open(session, items, since, until)
    closed = {
        "items": sorted(items),
        "since": since,
        "until": until,
        "open_items": [item for item, _ in fresh.pairs],
        "open_days": [day for _, day in fresh.pairs],
    }
    excluded: dict[str, dict[str, dict[str, int]]] = {item: {} for item in items}
    for item, reason, name, number in session.execute(_EXCLUDED, closed):
        excluded[item].setdefault(reason, {})[name] = int(number)
    parts: dict[str, list[DayFigures]] = {item: [] for item in items}
    for item, *numbers in session.execute(_SUMS, closed):
        views, starts, effective, watched, peak, completed, events = map(int, numbers)
        whole = DayFigures(
            item_id=item,
            day=last,
            page_views=views,
            play_starts=starts,
            effective_plays=effective,
            watched_ms=watched,
            peak_viewers=peak,
            completed=completed,
            excluded=excluded[item],
            events=events,
        )
        parts[item].append(whole)
    for (item, _), (figured, _) in fresh.found.items():
        parts[item].append(figured)
    met = [(item, each) for (item, _), (_, viewers) in fresh.found.items() for each in viewers]
    people = {"met_items": [item for item, _ in met], "viewers": [each for _, each in met]}
    devices = {item: int(number) for item, number in session.execute(_DEVICES, closed | people)}
    return {item: _together(item, last, part, devices.get(item, 0)) for item, part in parts.items()}


def days(
    session: Session,
    items: Collection[str],
    since: dt.date | None = None,
    until: dt.date | None = None,
) -> list[DayFigures]:
    """The days of items on which anything happened, in order, as things stand this moment."""
    fresh = _open(session, items, since, until)
    query = select(
        PlayDay.item_id, PlayDay.day, *(getattr(PlayDay, name) for name in FIGURES)
    ).where(PlayDay.item_id.in_(items), PlayDay.rule_version == RULE_VERSION)
    found = [
        DayFigures(**row._mapping)
        for row in session.execute(query)
        if (row.item_id, row.day) not in fresh.pairs and _within(row.day, since, until)
    ]
    found += [figured for figured, _ in fresh.found.values()]
    return sorted(found, key=lambda figured: (figured.day, figured.item_id))


def _open(
    session: Session, items: Collection[str], since: dt.date | None, until: dt.date | None
) -> _Open:
    mark = session.get(PlayMark, 1, populate_existing=True)
    now = dt.datetime.now(dt.UTC)
    wanted = set(items)
    if mark is not None and now - mark.rolled_to <= BUSY_AGE:
        wanted -= _busy(session, items, now)
    touched = open_pairs(session, open_since(mark), wanted)
    pairs = {pair for pair in touched if _within(pair[1], since, until)}
    if not pairs:
        return _Open(pairs, {})
    some_days = [day for _, day in pairs]
    found = figures(session, {item for item, _ in pairs}, min(some_days), max(some_days))
    return _Open(pairs, {pair: known for pair, known in found.items() if pair in pairs})


def _busy(session: Session, items: Collection[str], now: dt.datetime) -> set[str]:
    lately = china_date(now) - dt.timedelta(days=1)
    query = select(PlayDay.item_id).where(
        PlayDay.item_id.in_(items),
        PlayDay.day >= lately,
        PlayDay.events >= BUSY_EVENTS,
        PlayDay.rule_version == RULE_VERSION,
    )
    return set(session.scalars(query))


def _within(day: dt.date, since: dt.date | None, until: dt.date | None) -> bool:
    return (since is None or day >= since) and (until is None or day <= until)


def _together(item: str, day: dt.date, found: Iterable[DayFigures], devices: int) -> DayFigures:
    parts = tuple(found)
    excluded: dict[str, dict[str, int]] = {}
    for part in parts:
        for reason, numbers in part.excluded.items():
            whole = excluded.setdefault(reason, {})
            for name, number in numbers.items():
                whole[name] = whole.get(name, 0) + number
    return DayFigures(
        item_id=item,
        day=day,
        page_views=sum(part.page_views for part in parts),
        play_starts=sum(part.play_starts for part in parts),
        effective_plays=sum(part.effective_plays for part in parts),
        devices=devices,
        watched_ms=sum(part.watched_ms for part in parts),
        peak_viewers=max((part.peak_viewers for part in parts), default=0),
        completed=sum(part.completed for part in parts),
        excluded=excluded,
        events=sum(part.events for part in parts),
    )
