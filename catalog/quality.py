"""How well it played: one row a play from the players' CMCD, and a summary of many.

What a player says is of its whole play so far, so a report that comes twice, late or not at all
does no harm: the furthest one stands.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import bindparam, case, func, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from catalog.cmcd import PlayQuality, play_quality
from catalog.models import QosSession

TROUBLED_REBUFFER_PERMILLE: Final = 20
"""A play that stood still for longer than this part of its time went badly …"""
TROUBLED_STARTUP_MS: Final = 5_000
"""… and so did one whose first picture took longer than this."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How plays of some items went for their viewers."""

    sessions: int = 0
    startup_p50_ms: int | None = None
    startup_p95_ms: int | None = None
    rebuffer_ratio_permille: int = 0
    """Time stood still, of the time watched and stood still together."""
    bitrate_kbps: int | None = None
    """Mean over all time watched."""
    troubled: int = 0
    """Plays that went badly."""


def keep_sessions(session: Session, rows: Iterable[Mapping[str, Any]]) -> None:
    """Take in what beacons about to be kept (rows of ``play_events``) say of their plays."""
    plays: dict[str, dict[str, Any]] = {}
    for row in rows:
        said = row["details"].get("cmcd")
        found = play_quality(said) if isinstance(said, str) else None
        if found is not None:
            known = plays.get(row["play_id"])
            plays[row["play_id"]] = _furthest(known, _session(row, found))
    if not plays:
        return
    # In one order for all, as the beacons themselves: nobody waits in a circle.
    table = QosSession.__table__
    statement = insert(table)  # type: ignore[arg-type]
    new, old = statement.excluded, table.c
    further = new.watched_ms >= old.watched_ms
    statement = statement.on_conflict_do_update(
        index_elements=["play_id"],
        set_={
            "startup_ms": func.coalesce(old.startup_ms, new.startup_ms),
            "rebuffers": func.greatest(old.rebuffers, new.rebuffers),
            "rebuffer_ms": func.greatest(old.rebuffer_ms, new.rebuffer_ms),
            "watched_ms": func.greatest(old.watched_ms, new.watched_ms),
            "top_bitrate_kbps": func.greatest(old.top_bitrate_kbps, new.top_bitrate_kbps),
            **{
                name: func.coalesce(
                    case((further, new[name]), else_=old[name]),
                    old[name],
                    new[name],
                )
                for name in ("bitrate_kbps", "throughput_kbps")
            },
        },
        # A play is of one item; who says otherwise of somebody's play is not heard.
        where=old.item_id == new.item_id,
    )
    session.execute(statement, [plays[key] for key in sorted(plays)])


def _session(row: Mapping[str, Any], found: PlayQuality) -> dict[str, Any]:
    return {
        "play_id": row["play_id"],
        "item_id": row["item_id"],
        "live": row["live"] if found.live is None else found.live,
        "startup_ms": found.startup_ms,
        "rebuffers": found.rebuffers or 0,
        "rebuffer_ms": found.rebuffer_ms or 0,
        "watched_ms": row["watched_ms"],
        "bitrate_kbps": found.bitrate_kbps,
        "top_bitrate_kbps": found.top_bitrate_kbps,
        "throughput_kbps": found.throughput_kbps,
    }


def _furthest(known: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, Any]:
    """Two reports of one play in one batch: the later one, with what only the earlier said."""
    if known is None or known["item_id"] != new["item_id"]:
        return known or new
    first, last = sorted((known, new), key=lambda report: report["watched_ms"])
    filled = {name: first[name] for name, value in last.items() if value is None}
    most = {name: max(first[name], last[name]) for name in ("rebuffers", "rebuffer_ms")}
    return last | filled | most


_SUMMARY = text("""
WITH plays AS (
    SELECT *, rebuffer_ms * 1000 > (watched_ms + rebuffer_ms) * :ratio
              OR coalesce(startup_ms, 0) > :startup AS troubled
    FROM qos_sessions WHERE item_id = ANY(:items)
      AND (CAST(:since AS timestamptz) IS NULL OR at >= :since)
)
SELECT count(*) AS sessions,
       percentile_disc(0.5) WITHIN GROUP (ORDER BY startup_ms) AS p50,
       percentile_disc(0.95) WITHIN GROUP (ORDER BY startup_ms) AS p95,
       coalesce(round(1000 * sum(rebuffer_ms)
                      / nullif(sum(watched_ms + rebuffer_ms), 0)), 0)::int AS ratio,
       round(sum(bitrate_kbps::numeric * watched_ms)
             / nullif(sum(watched_ms) FILTER (WHERE bitrate_kbps IS NOT NULL), 0))::int AS kbps,
       count(*) FILTER (WHERE troubled) AS troubled
FROM plays
""").bindparams(
    bindparam("ratio", TROUBLED_REBUFFER_PERMILLE), bindparam("startup", TROUBLED_STARTUP_MS)
)


def quality(session: Session, item_ids: Sequence[str], since: dt.datetime | None = None) -> Quality:
    """How the plays of items went, all of them or those begun ``since`` then."""
    row = session.execute(_SUMMARY, {"items": list(item_ids), "since": since}).one()
    return Quality(
        sessions=row.sessions,
        startup_p50_ms=row.p50,
        startup_p95_ms=row.p95,
        rebuffer_ratio_permille=row.ratio,
        bitrate_kbps=row.kbps,
        troubled=row.troubled,
    )
