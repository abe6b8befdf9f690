"""The roll-up: each item's figures of each day as rows, so that a year costs no more than a day.

A mark tells how far the roll-up has come. What the beacons received since then touch is *open*
and worked out from the beacons when somebody asks (see ``play_sums``); all else stands in
``play_days``. So the rows may be an hour behind or missing, and the figures are the same.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from typing import Final

from sqlalchemy import (
    ARRAY,
    Date,
    DateTime,
    String,
    bindparam,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, insert
from sqlalchemy.orm import Session

from catalog.minutes import RULE_VERSION
from catalog.models import PlayMark
from catalog.play_figures import AT, VIEWER, DayFigures, Pair, day_of, figures, midnight
from catalog.play_rules import ACTS_A_MINUTE

OVERLAP: Final = dt.timedelta(minutes=5)
"""A beacon's row is dated when its transaction began and seen when it is committed: looked at
again for so long. No transaction of ours lives longer."""

FIGURES: Final = (
    "page_views",
    "play_starts",
    "effective_plays",
    "devices",
    "watched_ms",
    "peak_viewers",
    "completed",
    "excluded",
    "events",
)
"""The columns of ``play_days`` that are figures."""


# Days a play touches, from its first act to its last beacon, with a neighbour where midnight is
# near: runs of starts cross it.
_OPEN = text(f"""
WITH touched AS MATERIALIZED (
    SELECT item_id, play_id, max({AT}) AS high FROM play_events
    WHERE received_at >= :since AND (CAST(:items AS text[]) IS NULL OR item_id = ANY(:items))
    GROUP BY item_id, play_id
), spans AS (
    SELECT item_id, high, (
        SELECT min({AT}) FROM play_events AS act
        WHERE act.item_id = touched.item_id AND act.play_id = touched.play_id
          AND kind IN ('view', 'start')) AS low
    FROM touched
)
SELECT DISTINCT item_id, day::date
FROM spans, generate_series({day_of("low - interval '1 hour'")}::timestamp,
                            {day_of("high + interval '1 hour'")}::timestamp,
                            interval '1 day') AS day
UNION
-- How long an item is decides what was seen to the end: known when a show is over, a work made.
SELECT item_id, day FROM play_days JOIN (
    SELECT id FROM broadcasts WHERE greatest(ended_at, finalized_at) >= :since
    UNION ALL SELECT id FROM works WHERE published_at >= :since
) AS finished ON finished.id = play_days.item_id
WHERE CAST(:items AS text[]) IS NULL OR item_id = ANY(:items)
""").bindparams(
    bindparam("since", type_=DateTime(timezone=True)), bindparam("items", type_=ARRAY(String))
)

# What a client did late on one item may put its acts on others beyond the limit of the day.
_ALSO = text(f"""
WITH acts AS MATERIALIZED (
    SELECT item_id, {VIEWER} AS client, {day_of(AT)} AS day, received_at FROM play_events
    WHERE kind IN ('view', 'start') AND received_at >= :since - interval '2 days'
), heavy AS (
    SELECT client, day FROM acts GROUP BY client, day
    HAVING count(*) > {ACTS_A_MINUTE} AND max(received_at) >= :since
)
SELECT DISTINCT item_id, day FROM acts JOIN heavy USING (client, day)
""").bindparams(bindparam("since", type_=DateTime(timezone=True)))

_PAIRS = text(f"""
SELECT DISTINCT item_id, {day_of(AT)} AS day FROM play_events
WHERE kind IN ('view', 'start')
  AND received_at >= :since AND received_at < :until + interval '24 hours'
  AND {AT} >= :since AND {AT} < :until
UNION SELECT item_id, day FROM play_days WHERE day >= :first AND day <= :last
""").bindparams(
    bindparam("since", type_=DateTime(timezone=True)),
    bindparam("until", type_=DateTime(timezone=True)),
    bindparam("first", type_=Date),
    bindparam("last", type_=Date),
)
_MET = "unnest(:met_items, :met_days, :viewers) AS met (item_id, day, viewer)"
_MET_TYPES = (
    bindparam("met_items", type_=ARRAY(String)),
    bindparam("met_days", type_=ARRAY(Date)),
    bindparam("viewers", type_=ARRAY(String)),
)
_GONE_VIEWERS = text(f"""
DELETE FROM play_viewers USING unnest(:items, :days) AS rolled (item_id, day)
WHERE play_viewers.item_id = rolled.item_id AND play_viewers.day = rolled.day
  AND (play_viewers.item_id, play_viewers.day, play_viewers.viewer) NOT IN (SELECT * FROM {_MET})
""").bindparams(
    bindparam("items", type_=ARRAY(String)), bindparam("days", type_=ARRAY(Date)), *_MET_TYPES
)
_NEW_VIEWERS = text(
    f"INSERT INTO play_viewers SELECT * FROM {_MET} ON CONFLICT DO NOTHING"
).bindparams(*_MET_TYPES)
_NAMES: Final = ", ".join(FIGURES)
_WRITE = text(f"""
INSERT INTO play_days AS known (item_id, day, rule_version, {_NAMES})
SELECT item_id, day, '{RULE_VERSION}', {_NAMES}
FROM jsonb_populate_recordset(NULL::play_days, :rows)
ON CONFLICT (item_id, day) DO UPDATE
SET (rule_version, computed_at, {_NAMES}) =
    (excluded.rule_version, now(), {", ".join(f"excluded.{name}" for name in FIGURES)})
WHERE (known.rule_version, {", ".join(f"known.{name}" for name in FIGURES)})
    IS DISTINCT FROM (excluded.rule_version, {", ".join(f"excluded.{name}" for name in FIGURES)})
RETURNING known.item_id
""").bindparams(bindparam("rows", type_=JSONB))
_DROP = text("""
DELETE FROM play_days AS known USING jsonb_to_recordset(:rows) AS gone (item_id text, day date)
WHERE known.item_id = gone.item_id AND known.day = gone.day RETURNING known.item_id
""").bindparams(bindparam("rows", type_=JSONB))
_PATIENCE = text("SET LOCAL statement_timeout = '10min'")
_DAYS_AT_ONCE: Final = dt.timedelta(days=7)
_PAIRS_AT_ONCE: Final = 2_000
_LONG_AGO: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)

_Found = tuple[DayFigures, list[str]]
"""A day's figures, and the viewers that are its devices."""


def roll_up(session: Session, since: dt.date | None = None, until: dt.date | None = None) -> int:
    """Bring the rows up to date; how many changed. Again at once: none.

    What came in since the last time is always taken in. The days ``since`` to ``until`` (the last
    included) are worked out anew whatever their rows say.
    """
    mark = _mark(session)
    now = session.execute(select(func.now())).scalar_one()
    start = open_since(mark)
    pairs = open_pairs(session, start)
    pairs.update((item, day) for item, day in session.execute(_ALSO, {"since": start}))
    if since is not None:
        pairs.update(_pairs_of(session, since, until or since))
    session.execute(_PATIENCE)
    changed = sum(_roll(session, some) for some in _weeks(pairs))
    mark.rule_version, mark.rolled_to = RULE_VERSION, now
    session.flush()
    return changed


def open_since(mark: PlayMark | None) -> dt.datetime:
    """Beacons received after this may not be in the rows."""
    if mark is None or mark.rule_version != RULE_VERSION:
        return _LONG_AGO
    return mark.rolled_to - OVERLAP


def open_pairs(
    session: Session, since: dt.datetime, items: Collection[str] | None = None
) -> set[Pair]:
    """The items and days that what was received after ``since`` touches."""
    wanted = None if items is None else sorted(items)
    found = session.execute(_OPEN, {"since": since, "items": wanted})
    return {(item, day) for item, day in found}


def _pairs_of(session: Session, first: dt.date, last: dt.date) -> set[Pair]:
    """Every item somebody opened on the days, or that has a row of them."""
    begin, end = midnight(first), midnight(last + dt.timedelta(days=1))
    arguments = {"since": begin, "until": end, "first": first, "last": last}
    return {(item, day) for item, day in session.execute(_PAIRS, arguments)}


def _weeks(pairs: set[Pair]) -> Iterator[set[Pair]]:
    """The pairs of a few days at a time."""
    some: set[Pair] = set()
    first: dt.date | None = None
    for item, day in sorted(pairs, key=lambda pair: pair[1]):
        first = first or day
        if day - first >= _DAYS_AT_ONCE or len(some) == _PAIRS_AT_ONCE:
            yield some
            some, first = set(), day
        some.add((item, day))
    if some:
        yield some


def _mark(session: Session) -> PlayMark:
    """The one row, held until the transaction ends: two roll-ups go one after the other."""
    fresh = insert(PlayMark).values(id=1, rule_version="", rolled_to=_LONG_AGO)
    session.execute(fresh.on_conflict_do_nothing())
    return session.get_one(PlayMark, 1, with_for_update=True, populate_existing=True)


def _roll(session: Session, pairs: set[Pair]) -> int:
    some_days = [day for _, day in pairs]
    found = figures(session, {item for item, _ in pairs}, min(some_days), max(some_days))
    found = {pair: known for pair, known in found.items() if pair in pairs}
    _keep_viewers(session, pairs, found)
    rows = [asdict(figured) | {"day": str(figured.day)} for figured, _ in found.values()]
    gone = [{"item_id": item, "day": str(day)} for item, day in pairs - found.keys()]
    changed = len(session.scalars(_WRITE, {"rows": rows}).all())
    return changed + len(session.scalars(_DROP, {"rows": gone}).all())


def _keep_viewers(session: Session, pairs: set[Pair], found: Mapping[Pair, _Found]) -> None:
    met = [(item, day, each) for (item, day), (_, viewers) in found.items() for each in viewers]
    arguments = {
        "items": [item for item, _ in pairs],
        "days": [day for _, day in pairs],
        "met_items": [item for item, _, _ in met],
        "met_days": [day for _, day, _ in met],
        "viewers": [viewer for _, _, viewer in met],
    }
    session.execute(_GONE_VIEWERS, arguments)
    session.execute(_NEW_VIEWERS, arguments)
