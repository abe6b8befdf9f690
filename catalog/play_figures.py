"""The figures of items day by day, worked out from the beacons by the rules of COUNTING.

A day is one in China. A page view belongs to the day it happened on; a play belongs wholly to the
day it started on, so the days of an item add up to its total and nothing is split at midnight.
Only the peak looks at who was there on each day. A play is what has a start: heartbeats without
one are of a play that is known elsewhere, or of nobody.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import ARRAY, Date, DateTime, String, TextClause, bindparam, func, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from catalog import play_rules as rules
from catalog.clock import CHINA
from catalog.minutes import TICKS_A_MS
from catalog.models import AirItem, Broadcast, Work

Pair = tuple[str, dt.date]
"""An item and a day in China."""


@dataclass(frozen=True, slots=True)
class DayFigures:
    """One item's figures of one day."""

    item_id: str
    day: dt.date
    page_views: int = 0
    play_starts: int = 0
    effective_plays: int = 0
    devices: int = 0
    watched_ms: int = 0
    peak_viewers: int = 0
    completed: int = 0
    excluded: dict[str, dict[str, int]] = field(default_factory=dict)
    """Reason → figure → number; reasons nothing fell to are not there."""
    events: int = 0
    """Beacons of the plays that belong to this day."""


# When an event happened, on our clock: what waited on the phone is dated back.
AT: Final = (
    "(received_at - make_interval(secs => coalesce((details->>'late_ms')::float8, 0) / 1000))"
)
VIEWER: Final = "coalesce(viewer_id, surrogate)"
# Around midnight the neighbours' plays matter: a run of starts, and who is still there.
_MARGIN: Final = "interval '1 hour'"
_AROUND: Final = "interval '15 minutes'"
_LATE: Final = f"interval '{rules.LATE_MAX_MS} milliseconds'"


def day_of(at: str) -> str:
    """SQL: the day in China of an instant."""
    return f"(({at}) AT TIME ZONE 'Asia/Shanghai')::date"


_ACT: Final = "kind IN ('view', 'start')"
_EXCLUDED: Final = """CASE WHEN user_agent = ANY(:robots) THEN 'robot'
    WHEN event_id IN (SELECT event_id FROM refused) THEN 'rate' ELSE '' END"""

# What each client does is ranked over all items, so whole days are read, and a day around.
_REFUSED: Final = f"""
    SELECT event_id FROM (
        SELECT event_id, at,
               at - lag(at, {rules.ACTS_A_MINUTE}) OVER one < interval '1 minute' AS fast,
               row_number() OVER days > {rules.ACTS_A_DAY} AS many
        FROM acts WHERE client IN (
            SELECT client FROM acts GROUP BY client HAVING count(*) > {rules.ACTS_A_MINUTE})
        WINDOW one AS (PARTITION BY client ORDER BY at, event_id),
               days AS (PARTITION BY client, {day_of("at")} ORDER BY at, event_id)
    ) AS ranked WHERE fast OR many
    UNION
    SELECT event_id FROM (
        SELECT event_id,
               at - lag(at, {rules.CROWD_ACTS_A_MINUTE})
                   OVER (PARTITION BY surrogate ORDER BY at, event_id) < interval '1 minute' AS fast
        FROM acts WHERE surrogate IN (
            SELECT surrogate FROM acts GROUP BY surrogate
            HAVING count(*) > {rules.CROWD_ACTS_A_MINUTE})
    ) AS crowd WHERE fast
"""

# The plays of the days: by their views and starts; and whoever was there at the first midnight.
_TOUCHED: Final = f"""
    SELECT item_id, play_id FROM play_events
    WHERE {_ACT} AND item_id = ANY(:items)
      AND received_at >= :since - {_MARGIN} AND received_at < :until + {_MARGIN} + {_LATE}
      AND {AT} >= :since - {_MARGIN} AND {AT} < :until + {_MARGIN}
    UNION
    SELECT item_id, play_id FROM play_events
    WHERE item_id = ANY(:items) AND kind <> 'view'
      AND received_at >= :since - {_AROUND} AND received_at < :since + {_AROUND}
"""

# Most plays are plain: from start to end without a long rest, a seek or another speed, and what
# they saw is how long they watched. Only for the others the order of their beacons is looked at.
# What was shown while the watch ran: from where it stood, as far as the time goes.
_SHOWN: Final = "int8range(stood, stood + grown * rate / 1000)"
_ODD: Final = f"""
    SELECT item_id, play_id, started, viewer, excluded, watched_ms, events,
           coalesce(sum(grown) FILTER (WHERE speed < {rules.EFFECTIVE_BELOW_PERMILLE}), 0)
               > {rules.EFFECTIVE_MS} AS effective,
           ms, coalesce(sum(grown) FILTER (WHERE live), 0) AS followed_ms,
           range_agg({_SHOWN}) FILTER (WHERE grown > 0 AND NOT live) AS shown,
           range_agg(tstzrange(least(since, at), greatest(since, at), '[]')) AS spans
    FROM (
        SELECT *, coalesce(position_before, greatest(position_ms - grown, 0)) AS stood,
               CASE WHEN before IS NULL OR kind_before IN ('pause', 'end')
                      OR at - before > make_interval(secs => {rules.SILENCE_SECONDS}
                                                     + grown / 1000.0)
                    THEN at ELSE before END AS since
        FROM (
            SELECT whole.*, live, position_ms, {AT} AS at, rate_permille AS speed,
                   beacon.watched_ms - coalesce(lag(beacon.watched_ms) OVER w, 0) AS grown,
                   lag({AT}) OVER w AS before, lag(kind) OVER w AS kind_before,
                   lag(position_ms) OVER w AS position_before,
                   least(rate_permille, lag(rate_permille) OVER w) AS rate
            FROM whole JOIN play_events AS beacon USING (item_id, play_id)
            WHERE odd AND kind <> 'view'
            WINDOW w AS (PARTITION BY item_id, play_id
                         ORDER BY beacon.watched_ms, client_at_ms, event_id)
        ) AS ordered
    ) AS steps
    GROUP BY item_id, play_id, started, viewer, excluded, watched_ms, events, ms
"""

_PLAYS: Final = f"""
    SELECT item_id, play_id, started, viewer, excluded, watched_ms, events,
           watched_ms > {rules.EFFECTIVE_MS} AS effective,
           watched_ms * 1000 >= ms * {rules.COMPLETE_PERMILLE} AS complete,
           tstzmultirange(tstzrange(started, greatest(started, ended), '[]')) AS spans
    FROM whole WHERE NOT odd
    UNION ALL
    SELECT item_id, play_id, started, viewer, excluded, watched_ms, events, effective,
           (followed_ms + coalesce((SELECT sum(upper(r) - lower(r)) FROM unnest(shown) AS r), 0))
               * 1000 >= ms * {rules.COMPLETE_PERMILLE},
           spans
    FROM ({_ODD}) AS odd_ones
"""

_FIGURES: Final = text(f"""
WITH touched AS MATERIALIZED ({_TOUCHED}), acts AS MATERIALIZED (
    SELECT event_id, {VIEWER} AS client, surrogate, {AT} AS at FROM play_events
    WHERE {_ACT} AND user_agent <> ALL(:robots)
      AND received_at >= :since - interval '25 hours'
      AND received_at < :until + interval '25 hours' + {_LATE}
), refused AS MATERIALIZED ({_REFUSED}), views AS MATERIALIZED (
    SELECT item_id, {day_of(AT)} AS day, {VIEWER} AS viewer, {_EXCLUDED} AS excluded
    FROM play_events JOIN touched USING (item_id, play_id) WHERE kind = 'view' AND {_ACT}
), digest AS MATERIALIZED (
    SELECT item_id, play_id, min({AT}) FILTER (WHERE kind = 'start') AS started,
           min({VIEWER}) FILTER (WHERE kind = 'start') AS viewer,
           min({_EXCLUDED}) FILTER (WHERE kind = 'start') AS excluded,
           max({AT}) AS ended, max(watched_ms) AS watched_ms, count(*) AS events,
           max(rate_permille) AS fastest,
           bool_and(live) OR bool_and(NOT live AND kind <> 'seek' AND rate_permille = 1000)
               AS plain,
           (CAST(:lengths AS jsonb) ->> item_id)::int8 AS ms
    FROM play_events JOIN touched USING (item_id, play_id)
    WHERE kind <> 'view' GROUP BY item_id, play_id
), whole AS MATERIALIZED (
    SELECT item_id, play_id, started, viewer, excluded, ended, watched_ms, events, ms,
           extract(epoch FROM ended - started) * 1000 - watched_ms
                   > {rules.SILENCE_SECONDS * 1000}
               OR fastest >= {rules.EFFECTIVE_BELOW_PERMILLE}
               OR NOT plain AND coalesce(watched_ms * fastest >= ms * {rules.COMPLETE_PERMILLE},
                                         false) AS odd
    FROM digest WHERE started IS NOT NULL
), plays AS MATERIALIZED (
    SELECT *, {day_of("started")} AS day FROM ({_PLAYS}) AS both_kinds
), good AS (
    SELECT * FROM plays WHERE excluded = ''
), runs AS (
    -- COUNTER's double-click rule: starts that follow each other within the time are one.
    SELECT *, count(*) FILTER (WHERE apart) OVER w AS run
    FROM (
        SELECT item_id, viewer, day, started, play_id, effective, complete,
               coalesce(started - lag(started) OVER w
                        > make_interval(secs => {rules.SAME_START_SECONDS}), true) AS apart
        FROM good WINDOW w AS (PARTITION BY item_id, viewer ORDER BY started, play_id)
    ) AS one_by_one
    WINDOW w AS (PARTITION BY item_id, viewer ORDER BY started, play_id)
), starts AS (
    SELECT item_id, day, count(*) AS play_starts,
           count(*) FILTER (WHERE effective) AS effective_plays,
           count(*) FILTER (WHERE complete) AS completed
    FROM (SELECT item_id, {day_of("min(started)")} AS day, bool_or(effective) AS effective,
                 bool_or(complete) AS complete
          FROM runs GROUP BY item_id, viewer, run) AS one GROUP BY item_id, day
), again AS (
    SELECT item_id, day, count(*) AS double_click FROM runs WHERE NOT apart GROUP BY item_id, day
), watch AS (
    SELECT item_id, day, sum(watched_ms) AS watched_ms FROM good GROUP BY item_id, day
), work AS (
    SELECT item_id, day, sum(events) AS events FROM plays GROUP BY item_id, day
), pages AS (
    SELECT item_id, day, count(*) FILTER (WHERE excluded = '') AS page_views,
           count(*) FILTER (WHERE excluded = 'robot') AS robot_views,
           count(*) FILTER (WHERE excluded = 'rate') AS rate_views
    FROM views GROUP BY item_id, day
), out AS (
    SELECT item_id, day, count(*) FILTER (WHERE excluded = 'robot') AS robot_starts,
           count(*) FILTER (WHERE excluded = 'rate') AS rate_starts,
           sum(watched_ms) FILTER (WHERE excluded = 'robot') AS robot_ms,
           sum(watched_ms) FILTER (WHERE excluded = 'rate') AS rate_ms
    FROM plays WHERE excluded <> '' GROUP BY item_id, day
), met AS (
    SELECT item_id, day, array_agg(DISTINCT viewer) AS viewers FROM (
        SELECT item_id, day, viewer FROM views WHERE excluded = ''
        UNION ALL SELECT item_id, day, viewer FROM good
    ) AS either GROUP BY item_id, day
), spans AS (
    -- A viewer with two windows open is one viewer: their times are united first.
    SELECT item_id, viewer, unnest(range_agg(span)) AS span
    FROM good, unnest(spans) AS span GROUP BY item_id, viewer
), levels AS (
    SELECT item_id, day, sum(step) OVER (PARTITION BY item_id, day ORDER BY at, step DESC
                                         ROWS UNBOUNDED PRECEDING) AS level
    FROM (
        SELECT item_id, day::date AS day, ends.at, ends.step
        FROM spans,
             generate_series({day_of("lower(span)")}::timestamp,
                             {day_of("upper(span)")}::timestamp, interval '1 day') AS day,
             LATERAL (VALUES
                 (greatest(lower(span), day AT TIME ZONE 'Asia/Shanghai'), 1),
                 (least(upper(span), (day + interval '1 day') AT TIME ZONE 'Asia/Shanghai'), -1)
             ) AS ends (at, step)
    ) AS turns
), peaks AS (
    SELECT item_id, day, max(level) AS peak FROM levels GROUP BY item_id, day
)
SELECT item_id, day, coalesce(page_views, 0) AS page_views, coalesce(play_starts, 0) AS starts,
       coalesce(effective_plays, 0) AS effective, coalesce(watched_ms, 0) AS watched_ms,
       coalesce(peak, 0) AS peak, coalesce(completed, 0) AS completed,
       coalesce(robot_views, 0) AS robot_views, coalesce(robot_starts, 0) AS robot_starts,
       coalesce(robot_ms, 0) AS robot_ms, coalesce(rate_views, 0) AS rate_views,
       coalesce(rate_starts, 0) AS rate_starts, coalesce(rate_ms, 0) AS rate_ms,
       coalesce(double_click, 0) AS double_click, coalesce(work.events, 0) AS events,
       coalesce(viewers, '{{}}') AS viewers
FROM pages FULL JOIN starts USING (item_id, day) FULL JOIN again USING (item_id, day)
     FULL JOIN watch USING (item_id, day) FULL JOIN work USING (item_id, day)
     FULL JOIN out USING (item_id, day) FULL JOIN met USING (item_id, day)
     FULL JOIN peaks USING (item_id, day)
WHERE day >= :first AND day <= :last
""").bindparams(
    bindparam("items", type_=ARRAY(String)),
    bindparam("robots", type_=ARRAY(String)),
    bindparam("since", type_=DateTime(timezone=True)),
    bindparam("until", type_=DateTime(timezone=True)),
    bindparam("first", type_=Date),
    bindparam("last", type_=Date),
    bindparam("lengths", type_=JSONB),
)

_AGENTS: Final[TextClause] = text(f"""
SELECT DISTINCT user_agent FROM play_events
WHERE {_ACT} AND received_at >= :since - interval '3 days'
  AND received_at < :until + interval '25 hours' + {_LATE}
""").bindparams(
    bindparam("since", type_=DateTime(timezone=True)),
    bindparam("until", type_=DateTime(timezone=True)),
)


def figures(
    session: Session, items: Collection[str], first: dt.date, last: dt.date
) -> dict[Pair, tuple[DayFigures, list[str]]]:
    """(item, day) → its figures and the viewers behind ``devices``, of the days ``first`` to
    ``last`` on which anything happened."""
    wanted = sorted(set(items))
    since, until = midnight(first), midnight(last + dt.timedelta(days=1))
    agents = session.scalars(_AGENTS, {"since": since, "until": until})
    rows = session.execute(
        _FIGURES,
        {
            "items": wanted,
            "since": since,
            "until": until,
            "first": first,
            "last": last,
            "robots": [agent for agent in agents if rules.is_robot(agent)],
            "lengths": lengths_ms(session, wanted),
        },
    )
    return {(row.item_id, row.day): (_day(row), list(row.viewers)) for row in rows}


def _day(row: Any) -> DayFigures:
    excluded = {
        "robot": {
            "page_views": row.robot_views,
            "play_starts": row.robot_starts,
            "watched_ms": int(row.robot_ms),
        },
        "rate": {
            "page_views": row.rate_views,
            "play_starts": row.rate_starts,
            "watched_ms": int(row.rate_ms),
        },
        "double_click": {"play_starts": row.double_click},
    }
    return DayFigures(
        item_id=row.item_id,
        day=row.day,
        page_views=row.page_views,
        play_starts=row.starts,
        effective_plays=row.effective,
        devices=len(row.viewers),
        watched_ms=int(row.watched_ms),
        peak_viewers=int(row.peak),
        completed=row.completed,
        excluded={reason: found for reason, found in excluded.items() if any(found.values())},
        events=int(row.events),
    )


def midnight(day: dt.date) -> dt.datetime:
    """First instant of a day in China."""
    return dt.datetime.combine(day, dt.time(), CHINA)


def lengths_ms(session: Session, items: Sequence[str]) -> dict[str, int]:
    """Item → how long it is, once that is known: a show that is over, a work that is made."""
    shows = (
        select(Broadcast.id, func.sum(AirItem.duration_ticks))
        .join(AirItem, AirItem.token == Broadcast.media_token)
        .where(Broadcast.id.in_(items), Broadcast.state == "ended")
        # Nobody is asked to sit through a slate.
        .where(AirItem.source == "feed", AirItem.gap.is_(False))
        .group_by(Broadcast.id)
    )
    works = select(Work.id, Work.duration_ticks).where(Work.id.in_(items), Work.duration_ticks > 0)
    found = [*session.execute(shows), *session.execute(works)]
    return {item: int(ticks) // TICKS_A_MS for item, ticks in found}
