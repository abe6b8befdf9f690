"""Row 17: a feed that stays away longer than the grace time, and comes back all the same."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from bench.instance import Instance, throwaway
from infra.database import Database
from infra.settings import Settings
from infra.tables import Job
from tests.support.media import Footage, make_footage
from tests.support.show import Show, wait_for

GRACE_SECONDS = 5
RETURN = 3_000
"""Number of the first frame after the return."""

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(240)]


@pytest.fixture
def instance() -> Iterator[Instance]:
    with throwaway({"XITAI_RUNGS": "v360,a", "XITAI_GRACE_SECONDS": str(GRACE_SECONDS)}) as running:
        yield running


@pytest.fixture
def database(instance: Instance) -> Iterator[Database]:
    opened = Database(Settings(data=instance.data).resolved_database_url, name="test")
    yield opened
    opened.close()


def live_jobs(database: Database) -> list[tuple[str, str | None]]:
    """(state, outcome) of each live job, oldest first."""
    with database.transaction() as session:
        jobs = session.scalars(select(Job).where(Job.kind == "live").order_by(Job.id)).all()
        return [(job.state, (job.result or {}).get("outcome")) for job in jobs]


def test_the_show_goes_on_after_the_grace_time(
    instance: Instance, database: Database, ffmpeg: str, media_folder: Path, tmp_path: Path
) -> None:
    before = make_footage(ffmpeg, media_folder / "before.flv", Footage(20, size=(640, 360)))
    after = make_footage(
        ffmpeg, media_folder / "after.flv", Footage(20, size=(640, 360), first=RETURN)
    )
    with Show(instance, "断线很久") as show:
        show.publish(before)
        show.on_air(2)
        assert live_jobs(database) == [("running", None)]
        dropped = time.monotonic()
        show.drop()
        wait_for(lambda: show.shown()["state"] == "interrupted", 10, "the feed is missed")
        wait_for(lambda: live_jobs(database) == [("done", "waiting")], 30, "the live job at rest")
        # Counted from before the drop: however slow the machine, it is no shorter than that.
        assert time.monotonic() - dropped > GRACE_SECONDS - 1
        # Whether it goes on is for staff to say: it is neither ended nor final for viewers.
        time.sleep(2)
        shown = show.shown()
        assert (shown["state"], len(shown["takes"])) == ("interrupted", 1)
        assert live_jobs(database) == [("done", "waiting")]
        for name in ("plain", "replay"):
            playlist = show.media(show.variants(name)[0][1])
            assert playlist.segments
            assert not playlist.ended
        last = show.media(show.variants("replay")[0][1]).segments[-1].msn

        show.publish(after)
        wait_for(
            lambda: show.media(show.variants("replay")[0][1]).segments[-1].msn >= last + 2,
            30,
            "on air again",
        )
        shown = show.shown()
        assert (shown["state"], len(shown["takes"])) == ("live", 2)
        assert [gap["seconds"] > GRACE_SECONDS for gap in shown["gaps"]] == [True]
        assert live_jobs(database) == [("done", "waiting"), ("running", None)]
        show.drop()
        show.end()
        replay = show.final_replay()
        assert live_jobs(database) == [("done", "waiting"), ("done", "finalized")]
        assert [segment.msn for segment in replay.segments] == list(range(len(replay.segments)))
        first, second = show.numbers(replay, tmp_path)
    assert first == list(range(len(first)))
    assert second == list(range(RETURN, RETURN + len(second)))
    assert len(first) > 50
    assert len(second) > 50
