"""Rows of a show without its media: takes, runs and air items at exact ticks."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from sqlalchemy.orm import Session

from catalog.air import start_run
from catalog.broadcasts import close_take, create_broadcast, open_take
from catalog.centres import add_centre
from catalog.models import AirItem, Broadcast, Centre, Feed, Take

SECOND = 90_000
NOON_US = 1_770_000_000_000_000
"""2026-02-02 10:40 in China."""


@dataclass
class Stage:
    """A broadcast being filled with rows, one transaction of the caller's."""

    session: Session
    broadcast: Broadcast
    feed: Feed
    stream_key: str
    msn: int = 0
    air: int = 0

    def open(self, *, at_us: int = NOON_US) -> Take:
        return open_take(
            self.session,
            feed_id=self.feed.id,
            node_url="http://127.0.0.1:1",
            first_arrival_us=at_us,
            codecs={},
        )

    def close(self, take: Take, *, end_ms: int, first_ms: int = 0) -> None:
        last = take.first_arrival_us + (end_ms - first_ms) * 1000
        close_take(
            self.session,
            take.id,
            ended_by="test",
            last_arrival_us=last,
            first_ms=first_ms,
            last_video_ms=end_ms,
            last_audio_ms=end_ms,
            end_ms=end_ms,
            video_frames=0,
            size_bytes=1,
        )

    def run(self, take: Take, *, from_ticks: int = 0) -> int:
        """An FFmpeg session from a point of the take, appended to the air list."""
        return start_run(
            self.session,
            broadcast_id=self.broadcast.id,
            take_id=take.id,
            ladder={},
            take_start_ticks=from_ticks,
            air_start_ticks=self.air,
        )

    def slots(self, take: Take, run: int, durations: list[int], *, from_ticks: int = 0) -> None:
        """Air items of these lengths (ticks), one after another."""
        at = from_ticks
        for duration in durations:
            self.session.add(
                AirItem(
                    token=self.broadcast.media_token,
                    msn=self.msn,
                    source="feed",
                    take_id=take.id,
                    run_id=run,
                    take_start_ms=at // 90,
                    start_ticks=self.air,
                    duration_ticks=duration,
                    pdt_us=take.first_arrival_us + at * 100 // 9,
                    discontinuity=at == from_ticks and self.msn > 0,
                )
            )
            self.msn += 1
            self.air += duration
            at += duration
        self.session.flush()


def make_stage(
    session: Session,
    *,
    title: str = "元宵晚会",
    centre: Centre | None = None,
    mode: str = "live",
    planned_at: dt.datetime | None = None,
) -> Stage:
    """A broadcast ready for rows, with a centre of its own unless one is given."""
    home = centre or add_centre(session, "勐海县文化馆")
    new = create_broadcast(
        session, title=title, centre_id=home.id, mode=mode, planned_at=planned_at
    )
    return Stage(session, new.broadcast, new.feed, new.stream_key)
