"""Figures of other platforms (微信视频号, 抖音 …): kept apart from ours, with where they stand,
when they were read and what proves it.

A platform's counter only grows, so its latest reading is the figure; each reading is kept.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from catalog.audit import Actor, note
from catalog.errors import Missing, Refused
from catalog.models import Broadcast, Centre, OutsideCount, Work

PLATFORM_MAX: Final = 60
LINK_MAX: Final = 500
CLICKS_MAX: Final = 10**12
CLOCKS_MAY_DIFFER: Final = dt.timedelta(minutes=10)


def item_centre(session: Session, item_id: str, centre_path: str | None) -> Centre:
    """The centre of a broadcast or work within reach. Raises Missing."""
    for table in (Broadcast, Work):
        found = session.scalars(
            select(Centre).join(table, table.centre_id == Centre.id).where(table.id == item_id)
        ).one_or_none()
        if found is not None and (centre_path is None or found.path.startswith(centre_path)):
            return found
    raise Missing("item_unknown")


def enter(
    session: Session,
    actor: Actor,
    item_id: str,
    *,
    platform: str,
    clicks: int,
    seen_at: dt.datetime,
    now: dt.datetime,
    link: str = "",
    screenshot_key: str | None = None,
) -> OutsideCount:
    """Keep a reading. The same platform at the same time once more corrects it, and the audit log
    keeps what it said before. Raises Refused, Missing."""
    centre = item_centre(session, item_id, actor.centre_path)
    platform, link = platform.strip(), link.strip()
    _check(platform, clicks, seen_at, now, link, screenshot_key)
    found = session.scalars(
        select(OutsideCount)
        .where(OutsideCount.item_id == item_id, OutsideCount.platform == platform)
        .where(OutsideCount.seen_at == seen_at)
        .with_for_update()
    ).one_or_none()
    before = None if found is None else (found.clicks, found.link, found.screenshot_key)
    row = found or OutsideCount(item_id=item_id, platform=platform, seen_at=seen_at)
    if before == (clicks, link, screenshot_key):
        return row
    row.clicks, row.link, row.screenshot_key = clicks, link, screenshot_key
    row.entered_by, row.entered_at = actor.user_id, now
    session.add(row)
    session.flush()
    note(
        session, actor, "outside.enter", "item", item_id, centre_id=centre.id,
        platform=platform, clicks=clicks, seen_at=seen_at.isoformat(), before=before,
    )  # fmt: skip
    return row


def _check(
    platform: str,
    clicks: int,
    seen_at: dt.datetime,
    now: dt.datetime,
    link: str,
    screenshot_key: str | None,
) -> None:
    if not 0 < len(platform) <= PLATFORM_MAX:
        raise Refused("outside_platform", most=PLATFORM_MAX)
    if not 0 <= clicks <= CLICKS_MAX:
        raise Refused("outside_clicks")
    if seen_at > now + CLOCKS_MAY_DIFFER:
        raise Refused("outside_future")
    if link and not (link.startswith(("https://", "http://")) and len(link) <= LINK_MAX):
        raise Refused("outside_link")
    if not link and screenshot_key is None:
        raise Refused("outside_evidence")


def readings(session: Session, item_id: str) -> list[OutsideCount]:
    """Every reading of an item, the latest first."""
    query = select(OutsideCount).where(OutsideCount.item_id == item_id)
    return list(session.scalars(query.order_by(OutsideCount.seen_at.desc(), OutsideCount.platform)))


_LATEST = text("""
SELECT item_id, sum(clicks) FROM (
    SELECT DISTINCT ON (item_id, platform) item_id, clicks FROM outside_counts
    WHERE item_id = ANY(:items) ORDER BY item_id, platform, seen_at DESC
) AS latest GROUP BY item_id
""")


def outside_clicks(session: Session, item_ids: Sequence[str]) -> dict[str, int]:
    """Item → what other platforms count together by their latest readings; never part of ours."""
    found = dict.fromkeys(item_ids, 0)
    for item, clicks in session.execute(_LATEST, {"items": list(found)}):
        found[item] = int(clicks)
    return found
