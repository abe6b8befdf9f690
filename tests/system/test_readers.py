"""FFmpeg and GStreamer's hlsdemux read what we send: live with parts, live without, the replay."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from sqlalchemy import update

from bench.replay import PLAYABLE_SECONDS
from infra.database import Database
from infra.settings import Settings
from infra.tables import Job
from tests.support.playlist_watch import PlaylistWatch
from tests.support.readers import need_gstreamer, with_ffmpeg, with_gstreamer
from tests.support.show import Show, wait_for
from tests.system.conftest import SECOND_HALF, Over

LIVE_SECONDS = 6.0
READERS = ("ffmpeg", "gstreamer")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def _read(reader: str, ffmpeg: str, url: str, seconds: float | None = None) -> list[int | None]:
    if reader == "ffmpeg":
        return with_ffmpeg(ffmpeg, url, seconds)
    need_gstreamer()
    # It is stopped from outside, and takes a moment to begin.
    return with_gstreamer(url, None if seconds is None else seconds + 2)


def _in_order(numbers: list[int | None], *, at_least: int) -> None:
    """None unreadable, none left out, none twice."""
    assert None not in numbers
    assert {(after or 0) - (before or 0) for before, after in pairwise(numbers)} == {1}
    assert len(numbers) >= at_least


@pytest.mark.parametrize("reader", READERS)
def test_live(live: Show, reader: str, ffmpeg: str) -> None:
    def read(name: str) -> list[int | None]:
        return _read(reader, ffmpeg, live.url(name), LIVE_SECONDS)

    with ThreadPoolExecutor(2) as pool:
        for name, numbers in zip(("main", "plain"), pool.map(read, ("main", "plain")), strict=True):
            print(f"{reader} read {len(numbers)} frames of {name}.m3u8")
            _in_order(numbers, at_least=int(LIVE_SECONDS * 25 * 0.8))


def test_what_was_aired_is_whole(over: Over) -> None:
    assert [stretch[0] for stretch in over.numbers] == [0, SECOND_HALF]
    for stretch in over.numbers:
        _in_order(stretch, at_least=50)


def test_the_replay_is_there_when_the_show_has_ended(over: Over) -> None:
    print(over.measured)
    assert over.measured.playable <= PLAYABLE_SECONDS


@pytest.mark.parametrize("reader", READERS)
def test_replay(over: Over, reader: str, ffmpeg: str) -> None:
    whole = [number for stretch in over.numbers for number in stretch]
    for name in ("replay", "main"):
        assert _read(reader, ffmpeg, over.show.url(name)) == whole, name


def test_compacted_replay(over: Over, ffmpeg: str) -> None:
    """The one file with its ranges reads as the many did: FFmpeg is given to joining ranges."""
    whole = [number for stretch in over.numbers for number in stretch]
    settings = Settings(data=over.show.instance.data)
    database = Database(settings.resolved_database_url, name="test")
    with database.transaction() as session:
        session.execute(update(Job).where(Job.kind == "compact").values(not_before=None))
    database.close()

    def compacted() -> bool:
        listed = over.show.media(over.show.variants("replay")[0][1]).segments
        return bool(listed) and all(segment.byte_range for segment in listed)

    wait_for(compacted, 90, "the replay in one file")  # the edge looks again once a minute
    for reader in READERS:
        assert _read(reader, ffmpeg, over.show.url("replay")) == whole, reader


def test_no_revision_of_any_playlist_broke_a_rule(over: Over, watch: PlaylistWatch) -> None:
    print(dict(watch.revisions), dict(watch.refusals))
    assert watch.violations == []
    assert watch.revisions["live"] > 60
    assert watch.revisions["live+skip"] > 60
    assert watch.revisions["plain"] > 10
    assert watch.revisions["replay"] > 10
    assert {status for _, status in watch.refusals} <= {404, 503}


def test_old_players_are_spared_the_new_tags(over: Over, watch: PlaylistWatch) -> None:
    plain = [text for url, text in watch.last.items() if url.endswith("/plain.m3u8")]
    assert plain
    for text in plain:
        for tag in ("EXT-X-PART", "PRELOAD-HINT", "SERVER-CONTROL", "RENDITION-REPORT", "SKIP"):
            assert tag not in text
