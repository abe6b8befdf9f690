"""The edge: playlists, blocking reloads, parts, files, and what happens when things are away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import msgspec
import pytest

from api.edge.http import (
    BadDirectives,
    Directives,
    UnsatisfiableRange,
    parse_directives,
    parse_path,
    parse_range,
)
from api.edge.library import LibraryEntry, MediaFile, SightNews
from api.edge.state import OFF_AIR_SECONDS
from infra.redis import EDGE_CHANNEL, off_air_key, part_key
from infra.storage.folder import FolderStorage
from infra.storage.port import Storage
from tests.support.edge_rig import Rig
from tests.support.heads import RUN, FakeBroadcast
from tests.support.playlist_rules import PlaylistHistory
from transcode.fmp4.boxes import make
from transcode.hls.head import HeadPart, segment_key
from transcode.hls.playlist import write_live, write_plain
from transcode.hls.replay import Replay, ReplayRendition, ReplaySegment

TOKEN = "T" * 22
BASE = f"/hls/{TOKEN}"
LIVE = f"{BASE}/v480/live.m3u8"


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(tmp_path / "storage")
    yield made
    await made.close()


@pytest.fixture
async def show(rig: Rig) -> FakeBroadcast:
    """A broadcast ten parts old: segments 0 and 1, and two parts of segment 2."""
    broadcast = FakeBroadcast(TOKEN)
    for _ in range(10):
        broadcast.add_part()
    rig.redis.publish(broadcast.head)
    return broadcast


def recording(ended: bool) -> Replay:
    rows = [ReplaySegment(msn, 180_000) for msn in range(3)]
    rung = ReplayRendition("v480", "video", 9, 8, "avc1.42c01e", 854, 480, 25.0, rows)
    return Replay(TOKEN, 4, ended, [rung], event=True)


# --- playlists --------------------------------------------------------------------------------


async def test_live_playlists_come_from_the_head(rig: Rig, show: FakeBroadcast) -> None:
    video = show.head.renditions[0]
    answer = await rig.get(LIVE)
    assert (answer.status, answer.body) == (200, write_live(show.head, video))
    assert answer.headers["content-type"] == "application/vnd.apple.mpegurl"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert (await rig.get(f"{BASE}/v480/plain.m3u8")).body == write_plain(show.head, video)
    assert "v480/live.m3u8" in (await rig.get(f"{BASE}/main.m3u8")).text
    assert "a/plain.m3u8" in (await rig.get(f"{BASE}/plain.m3u8")).text


async def test_a_head_is_rendered_once_and_replaced_by_the_next(
    rig: Rig, show: FakeBroadcast
) -> None:
    first = await rig.get(LIVE)
    again = await rig.get(LIVE)
    assert again.body is first.body or again.body == first.body
    assert LIVE.encode() in rig.state.ready
    rig.redis.publish(show.add_part())
    await rig.pause()
    assert LIVE.encode() not in rig.state.ready
    assert (await rig.get(LIVE)).body == write_live(show.head, show.head.renditions[0])


async def test_an_older_head_changes_nothing(rig: Rig, show: FakeBroadcast) -> None:
    old = show.head
    await rig.get(LIVE)
    rig.redis.publish(show.add_part())
    await rig.pause()
    newest = (await rig.get(LIVE)).body
    rig.redis.publish(old)
    await rig.pause()
    assert (await rig.get(LIVE)).body == newest


async def test_head_requests_and_preflight(rig: Rig, show: FakeBroadcast) -> None:
    whole = await rig.get(LIVE)
    head = await rig.get(LIVE, method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers == whole.headers
    preflight = await rig.get(LIVE, method="OPTIONS", headers={"origin": "https://a.example"})
    assert preflight.status == 204
    assert "Range" in preflight.headers["access-control-allow-headers"]
    refused = await rig.get(LIVE, method="POST")
    assert (refused.status, refused.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


async def test_everything_else_is_passed_on(rig: Rig) -> None:
    async def nothing(*_: object) -> None:
        raise AssertionError

    await rig.edge({"type": "lifespan"}, nothing, nothing)  # type: ignore[arg-type]
    await rig.edge({"type": "websocket", "path": "/hls/x"}, nothing, nothing)  # type: ignore[arg-type]
    await rig.edge({"type": "http", "path": "/watch/1"}, nothing, nothing)  # type: ignore[arg-type]
    assert rig.passed == ["lifespan", "/hls/x", "/watch/1"]


@pytest.mark.parametrize(
    "path",
    [
        "/hls/",
        f"{BASE}",
        f"{BASE}/",
        f"{BASE}/main.m3u8/",
        f"{BASE}/other.m3u8",
        f"{BASE}/../{TOKEN}/main.m3u8",
        f"{BASE}/v480/../v480/live.m3u8",
        f"{BASE}/V480/live.m3u8",
        f"{BASE}/v480/live.m3u8\n",
        f"{BASE}/v480/s1.ts",
        f"{BASE}/v480/s-1.m4s",
        f"{BASE}/v480/s٣.m4s",
        f"{BASE}/v480/s12345678901.m4s",
        f"{BASE}/v480/p1.m4s",
        f"{BASE}/v480/init.mp4",
        f"/hls/{TOKEN[:-1]}/main.m3u8",
        f"/hls/{TOKEN}x/main.m3u8",
        f"/hls/{'U' * 22}/main.m3u8",
        f"{BASE}/v720/live.m3u8",
    ],
)
async def test_what_is_not_ours_is_a_small_404(rig: Rig, show: FakeBroadcast, path: str) -> None:
    answer = await rig.get(path)
    assert answer.status == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert msgspec.json.decode(answer.body) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
    }


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        (f"{BASE}/v480%2flive.m3u8", LIVE),
        (f"{BASE}/v480/%6Cive.m3u8", LIVE),
        (f"{BASE}/x/%2e%2e/v480/live.m3u8", f"{BASE}/x/../v480/live.m3u8"),
        (f"{BASE}/v480/..%252f..%252fetc", f"{BASE}/v480/..%2f..%2fetc"),
    ],
)
async def test_escaped_paths_name_nothing(
    rig: Rig, show: FakeBroadcast, raw: str, path: str
) -> None:
    await rig.get(LIVE)  # even when the plain path is ready to be sent
    assert (await rig.get(path, raw=raw)).status == 404


async def test_a_token_that_leads_nowhere_is_asked_for_once(rig: Rig) -> None:
    answers = await asyncio.gather(*(rig.get(LIVE) for _ in range(50)))
    assert {answer.status for answer in answers} == {404}
    assert rig.library.asked["lookup"] == 1
    await rig.get(LIVE)
    assert rig.library.asked["lookup"] == 1
    await rig.later(3)
    await rig.get(LIVE)
    assert rig.library.asked["lookup"] == 2


async def test_before_the_first_segment_there_is_nothing(rig: Rig) -> None:
    waiting = FakeBroadcast(TOKEN).set_state("waiting")
    rig.library.entries[TOKEN] = LibraryEntry("waiting", head=waiting)
    assert (await rig.get(f"{BASE}/main.m3u8")).status == 404
    assert (await rig.get(LIVE)).status == 404
    show = FakeBroadcast(TOKEN)
    rig.redis.publish(show.add_part())
    await rig.pause()
    assert (await rig.get(LIVE)).status == 200


# --- blocking reload --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("_HLS_part=1", 400),  # 6.2.5.2: part without msn
        ("_HLS_msn=5", 400),  # more than two ahead of the newest, which is 2
        ("_HLS_msn=999999999999999999", 400),
        ("_HLS_msn=99999999999999999999999999", 400),
        ("_HLS_msn=-1", 400),
        ("_HLS_msn=", 400),
        ("_HLS_msn=1x", 400),
        ("_HLS_msn=2&_HLS_part=40", 400),
        ("_HLS_msn=2&_HLS_part=x", 400),
        ("_HLS_skip=NO", 400),
        ("_HLS_msn=1" + "&x=y" * 200, 400),
        ("_HLS_msn=1", 200),
        ("_HLS_msn=2&_HLS_part=1", 200),
        ("_HLS_msn=1&_HLS_part=3", 200),
        ("_HLS_msn=1&_HLS_part=4", 200),  # beyond the last part: part 0 of the next segment
        ("_HLS_msn=0&_HLS_part=99", 200),
        ("_HLS_skip=YES", 200),
        ("_HLS_skip=v2&_HLS_msn=1", 200),
        ("utm_source=wechat", 200),
    ],
)
async def test_directives_answered_at_once(
    rig: Rig, show: FakeBroadcast, query: str, status: int
) -> None:
    answer = await asyncio.wait_for(rig.get(f"{LIVE}?{query}"), 1)
    assert answer.status == status


async def test_a_reload_is_held_until_its_part_is_there(rig: Rig, show: FakeBroadcast) -> None:
    part2 = rig.held(f"{LIVE}?_HLS_msn=2&_HLS_part=2")
    part3 = rig.held(f"{LIVE}?_HLS_msn=2&_HLS_part=3")
    beyond = rig.held(f"{LIVE}?_HLS_msn=2&_HLS_part=4")
    segment = rig.held(f"{LIVE}?_HLS_msn=2")
    await rig.pause()
    waiting = [part2, part3, beyond, segment]
    assert not any(task.done() for task in waiting)
    rig.redis.publish(show.add_part())
    await rig.pause()
    assert [task.done() for task in waiting] == [True, False, False, False]
    assert 'URI="p2.2.m4s"' in part2.result().text
    rig.redis.publish(show.add_part())  # the fourth part completes the segment
    await rig.pause()
    assert [task.done() for task in waiting] == [True, True, False, True]
    assert "s2.m4s" in segment.result().text
    rig.redis.publish(show.add_part())
    await rig.pause()
    assert 'URI="p3.0.m4s"' in beyond.result().text


async def test_without_news_a_held_reload_ends_with_503(rig: Rig, show: FakeBroadcast) -> None:
    early = rig.held(f"{LIVE}?_HLS_msn=3")
    await rig.pause()
    await rig.later(6)
    late = rig.held(f"{LIVE}?_HLS_msn=3")
    await rig.pause()
    await rig.later(6.1)  # three target durations of four seconds
    assert early.result().status == 503
    assert early.result().headers["retry-after"] == "1"
    assert not late.done()
    await rig.later(6)
    assert late.result().status == 503
    rig.state.sweep()
    assert rig.metrics.now_held == 0


async def test_the_end_answers_everybody(rig: Rig, show: FakeBroadcast) -> None:
    held = rig.held(f"{LIVE}?_HLS_msn=3")
    await rig.pause()
    rig.redis.publish(show.set_state("ended"))
    await rig.pause()
    assert held.result().text.endswith("#EXT-X-ENDLIST\n")
    # Directives mean nothing any more.
    assert (await rig.get(f"{LIVE}?_HLS_msn=99")).status == 200


async def test_two_thousand_are_released_together(rig: Rig, show: FakeBroadcast) -> None:
    tasks = [rig.held(f"{LIVE}?_HLS_msn=2&_HLS_part=2") for _ in range(2000)]
    await rig.pause()
    rig.state.sweep()
    assert rig.metrics.now_held == 2000
    rig.redis.publish(show.add_part())
    answers = await asyncio.wait_for(asyncio.gather(*tasks), 5)
    assert {answer.status for answer in answers} == {200}
    assert len({id(answer.body) for answer in answers}) <= 2000
    rig.state.sweep()
    assert rig.metrics.counted[("playlist", 200)] == 2000
    assert rig.metrics.now_held == 0


async def test_a_stop_answers_what_is_held(rig: Rig, show: FakeBroadcast) -> None:
    held = rig.held(f"{LIVE}?_HLS_msn=3")
    await rig.pause()
    await rig.edge.release_held()
    await rig.pause()
    assert held.result().status == 503
    assert (await rig.get(f"{LIVE}?_HLS_msn=3")).status == 503
    assert (await rig.get(LIVE)).status == 200


async def test_every_revision_served_keeps_the_rules(rig: Rig) -> None:
    show = FakeBroadcast(TOKEN, discontinuity_every=9)
    rig.redis.publish(show.add_part())
    history = PlaylistHistory(pace=True)
    for count in range(300):
        url = LIVE + ("?_HLS_skip=YES" if count % 2 else "")
        history.add(f"http://edge{url}", (await rig.get(url)).text, show.now)
        rig.now += 0.5
        rig.redis.publish(show.add_part())
        await rig.pause(6)
    assert history.violations == []


# --- the end, and recordings ------------------------------------------------------------------


async def test_after_the_end_the_same_address_plays_the_recording(
    rig: Rig, show: FakeBroadcast
) -> None:
    rig.library.entries[TOKEN] = LibraryEntry("live", replay=recording(False))
    rig.library.replays[(TOKEN, "v480")] = recording(False)
    assert "v480/live.m3u8" in (await rig.get(f"{BASE}/main.m3u8")).text
    growing = await rig.get(f"{BASE}/replay.m3u8")
    assert "v480/replay.m3u8" in growing.text
    event = await rig.get(f"{BASE}/v480/replay.m3u8")
    assert "EVENT" in event.text
    assert "ENDLIST" not in event.text
    assert event.headers["cache-control"] == "no-cache"
    rig.library.entries[TOKEN] = LibraryEntry("ended", replay=recording(True), final=True)
    rig.library.replays[(TOKEN, "v480")] = recording(True)
    rig.redis.publish(show.set_state("ended"))
    await rig.pause()
    await rig.later(2.5)
    assert "v480/replay.m3u8" in (await rig.get(f"{BASE}/main.m3u8")).text
    assert (await rig.get(f"{BASE}/v480/replay.m3u8")).text.endswith("#EXT-X-ENDLIST\n")


async def test_a_finished_recording_needs_no_redis(rig: Rig) -> None:
    rig.redis.away = True
    rig.library.entries[TOKEN] = LibraryEntry("ended", replay=recording(True), final=True)
    rig.library.replays[(TOKEN, "v480")] = recording(True)
    for _ in range(5):
        assert "v480/replay" in (await rig.get(f"{BASE}/main.m3u8")).text
        answer = await rig.get(f"{BASE}/v480/replay.m3u8")
        assert answer.text.count("#EXTINF") == 3
        assert answer.headers["cache-control"] == "public, max-age=60"
    assert rig.library.asked == {"lookup": 1, "replay": 1}


async def test_nothing_comes_after_the_end(rig: Rig, show: FakeBroadcast) -> None:
    await rig.get(LIVE)
    rig.redis.publish(show.set_state("ended"))
    await rig.pause()
    ended = (await rig.get(LIVE)).body
    show.set_state("live")
    for _ in range(4):
        rig.redis.publish(show.add_part())
    rig.library.entries[TOKEN] = LibraryEntry("live", head=show.head)
    await rig.pause()
    await rig.later(5)
    assert (await rig.get(LIVE)).body == ended


@pytest.mark.parametrize("listed", ["more", "nothing"])
@pytest.mark.parametrize("redis", ["away", "as it was"])
async def test_an_end_that_redis_did_not_hear_of(
    rig: Rig, show: FakeBroadcast, redis: str, listed: str
) -> None:
    await rig.get(LIVE)
    if redis == "away":
        rig.redis.cut()
        await rig.pause()
    held = rig.held(f"{LIVE}?_HLS_msn=3")
    await rig.pause()
    for _ in range(2):
        show.add_part()
    rows = [msgspec.structs.replace(r, parts=[]) for r in show.head.renditions]
    head = msgspec.structs.replace(show.head, version=0, state="ended", renditions=rows)
    rig.library.entries[TOKEN] = LibraryEntry(
        "ended", head if listed == "more" else None, recording(True), final=True
    )
    await rig.later(6.5)
    await asyncio.sleep(0.05)
    playlist = (await rig.get(LIVE)).text
    assert held.result().text == playlist
    assert playlist.endswith("#EXT-X-ENDLIST\n")
    # The parts of a segment that was never registered are not promised any more.
    assert ("s2.m4s" in playlist) == ("p2.0.m4s" in playlist) == (listed == "more")
    assert "v480/replay.m3u8" in (await rig.get(f"{BASE}/main.m3u8")).text


# --- parts ------------------------------------------------------------------------------------


def fragment(size: int) -> bytes:
    moof = make(b"moof", bytes(40))
    return moof + make(b"mdat", bytes(size - len(moof) - 8))


async def test_parts_come_from_redis_once(rig: Rig, show: FakeBroadcast) -> None:
    key = part_key(TOKEN, "v480", 2, 1)
    rig.redis.data[key] = b"part"
    answers = await asyncio.gather(*(rig.get(f"{BASE}/v480/p2.1.m4s") for _ in range(100)))
    assert {answer.body for answer in answers} == {b"part"}
    assert rig.redis.gets[key] == 1
    assert answers[0].headers["content-type"] == "video/mp4"
    assert answers[0].headers["cache-control"] == "public, max-age=31536000, immutable"
    rig.redis.data[part_key(TOKEN, "a", 2, 1)] = b"sound"
    assert (await rig.get(f"{BASE}/a/p2.1.m4s")).headers["content-type"] == "audio/mp4"


async def test_a_part_gone_from_redis_is_cut_out_of_its_segment(
    rig: Rig, show: FakeBroadcast
) -> None:
    pieces = [fragment(1000)] * 3 + [fragment(1000)[:-1] + b"x"]
    rig.storage.put_bytes(segment_key(TOKEN, "v480", 1, RUN), b"".join(pieces))
    assert (await rig.get(f"{BASE}/v480/p1.3.m4s")).body == pieces[3]
    # A file of other offsets is noticed, and nothing wrong is sent.
    rig.storage.put_bytes(segment_key(TOKEN, "v480", 0, RUN), b"x" + b"".join(pieces))
    assert (await rig.get(f"{BASE}/v480/p0.3.m4s")).status == 404


async def test_the_hinted_part_is_waited_for(rig: Rig, show: FakeBroadcast) -> None:
    hinted = rig.held(f"{BASE}/v480/p2.2.m4s")
    await rig.pause()
    assert not hinted.done()
    assert (await rig.get(f"{BASE}/v480/p2.3.m4s")).status == 404
    assert (await rig.get(f"{BASE}/v480/p3.0.m4s")).status == 404
    rig.redis.data[part_key(TOKEN, "v480", 2, 2)] = b"fresh"
    rig.redis.publish(show.add_part())
    await rig.pause()
    assert hinted.result().body == b"fresh"


async def test_a_hinted_part_that_never_comes(rig: Rig, show: FakeBroadcast) -> None:
    held = rig.held(f"{BASE}/v480/p2.2.m4s")
    await rig.pause()
    await rig.later(12.5)
    assert held.result().status == 503
    # The segment ends with two parts: what was hinted at does not exist.
    held = rig.held(f"{BASE}/v480/p2.2.m4s")
    await rig.pause()
    video = show.head.renditions[0]
    show.add_part()
    done = show.add_part().renditions[0]
    short = msgspec.structs.replace(done.segments[-1], parts=done.segments[-1].parts[:2])
    video = msgspec.structs.replace(
        done, segments=[*done.segments[:-1], short], parts=[HeadPart(45_000, 1, 0)]
    )
    rig.redis.publish(
        msgspec.structs.replace(show.head, renditions=[video, show.head.renditions[1]])
    )
    await rig.pause()
    assert held.result().status == 404


# --- files ------------------------------------------------------------------------------------


async def test_segments_of_the_window_need_no_catalogue(rig: Rig, show: FakeBroadcast) -> None:
    key = segment_key(TOKEN, "v480", 1, RUN)
    rig.storage.put_bytes(key, b"0123456789")
    assert (await rig.get(f"{BASE}/v480/s1.m4s")).body == b"0123456789"
    sent = await rig.get(f"{BASE}/v480/s1.m4s", pathsend=True)
    assert sent.path == str(rig.storage.local_path(key))
    assert sent.headers["content-length"] == "10"
    assert sent.headers["cache-control"] == "public, max-age=31536000, immutable"
    head = await rig.get(f"{BASE}/v480/s1.m4s", method="HEAD", pathsend=True)
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "10")
    assert rig.library.asked["media"] == 0
    assert (await rig.get(f"{BASE}/v480/s0.m4s")).status == 404  # listed, but not in storage
    assert (await rig.get(f"{BASE}/v480/s7.m4s")).status == 404  # never registered


async def test_segments_are_found_where_compaction_put_them(rig: Rig, show: FakeBroadcast) -> None:
    """Not heard of the end yet, or heard of it: the small file is gone, the address answers."""
    pieces = [fragment(1000)] * 3 + [fragment(1000)[:-1] + b"x"]
    segment = b"".join(pieces)
    joined = f"live/{TOKEN}/v480/replay1.mp4"
    rig.storage.put_bytes(joined, b"before" + segment + b"after")
    place = MediaFile(joined, 6, len(segment))
    rig.library.files[(TOKEN, "v480", "s1.m4s")] = place
    for state in ("live", "ended"):
        rig.redis.publish(show.set_state(state))
        await rig.pause()
        for pathsend in (False, True):
            whole = await rig.get(f"{BASE}/v480/s1.m4s", pathsend=pathsend)
            assert (whole.status, whole.body) == (200, segment)
        some = await rig.get(f"{BASE}/v480/s1.m4s", headers={"range": "bytes=10-19"})
        assert (some.status, some.body) == (206, segment[10:20])
        assert (await rig.get(f"{BASE}/v480/p1.3.m4s")).body == pieces[3]
    # After the end the catalogue is asked first, whatever still lies about.
    rig.storage.put_bytes(segment_key(TOKEN, "v480", 1, RUN), b"old")
    assert (await rig.get(f"{BASE}/v480/s1.m4s")).body == segment


async def test_a_place_that_no_longer_holds_is_asked_for_again(rig: Rig) -> None:
    rig.library.entries[TOKEN] = LibraryEntry("ended", replay=recording(True), final=True)
    old, new = f"live/{TOKEN}/v480/00000001-1.m4s", f"live/{TOKEN}/v480/replay1.mp4"
    rig.storage.put_bytes(old, b"segment")
    rig.library.files[(TOKEN, "v480", "s1.m4s")] = MediaFile(old)
    assert (await rig.get(f"{BASE}/v480/s1.m4s")).body == b"segment"
    rig.storage.put_bytes(new, b"the segment")
    rig.storage.delete(old)
    rig.library.files[(TOKEN, "v480", "s1.m4s")] = MediaFile(new, 4, 7)
    assert (await rig.get(f"{BASE}/v480/s1.m4s")).body == b"segment"
    rig.storage.delete(new)
    assert (await rig.get(f"{BASE}/v480/s1.m4s")).status == 404


async def test_segments_of_the_live_edge_are_sent_from_memory(
    rig: Rig, show: FakeBroadcast, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.storage.put_bytes(segment_key(TOKEN, "v480", 1, RUN), b"0123456789")
    path = f"{BASE}/v480/s1.m4s"
    first = await rig.get(path, pathsend=True)
    assert first.path is not None
    await asyncio.sleep(0.05)
    hot = await rig.get(path, pathsend=True)
    assert (hot.path, hot.body, hot.headers) == (None, b"0123456789", first.headers)
    rig.redis.publish(show.add_part())
    await rig.pause()
    assert (await rig.get(path, pathsend=True)).path is not None
    assert (await rig.get(path, pathsend=True)).body == b"0123456789"
    # A range of it is still a range, and with too much on its way it is a file again.
    ranged = await rig.get(path, headers={"range": "bytes=1-2"}, pathsend=True)
    assert (ranged.status, ranged.body) == (206, b"12")
    monkeypatch.setattr("api.edge.media.MAX_HOT_ON_THE_WAY", 9)
    assert (await rig.get(path, pathsend=True)).path == first.path


@pytest.mark.parametrize(
    ("asked", "status", "body", "content_range"),
    [
        ("bytes=2-4", 206, b"234", "bytes 2-4/10"),
        ("bytes=7-", 206, b"789", "bytes 7-9/10"),
        ("bytes=-3", 206, b"789", "bytes 7-9/10"),
        ("bytes=-30", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=0-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
        ("bytes=4-2", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
        ("items=0-1", 200, b"0123456789", None),
        ("bytes=0-1,3-4", 200, b"0123456789", None),
        ("bytes=" + "0-1," * 10_000 + "3-4", 200, b"0123456789", None),
    ],
)
async def test_ranges(
    rig: Rig,
    show: FakeBroadcast,
    asked: str,
    status: int,
    body: bytes | None,
    content_range: str | None,
) -> None:
    rig.storage.put_bytes(segment_key(TOKEN, "v480", 1, RUN), b"0123456789")
    await rig.get(LIVE)
    # However long a header is, it is read in one pass.
    async with asyncio.timeout(5):
        answer = await rig.get(f"{BASE}/v480/s1.m4s", headers={"range": asked}, pathsend=True)
    assert answer.status == status
    assert answer.headers.get("content-range") == content_range
    if body is not None:
        assert answer.body == body
        assert int(answer.headers["content-length"]) == len(body)


async def test_a_slice_of_a_joined_file_is_a_file_of_its_own(rig: Rig) -> None:
    rig.library.entries[TOKEN] = LibraryEntry("ended", replay=recording(True), final=True)
    rig.storage.put_bytes(f"live/{TOKEN}/v480/replay1.mp4", b"headABCDtail")
    rig.library.files[(TOKEN, "v480", "s5.m4s")] = MediaFile(f"live/{TOKEN}/v480/replay1.mp4", 4, 4)
    rig.library.files[(TOKEN, "v480", "replay1.mp4")] = MediaFile(f"live/{TOKEN}/v480/replay1.mp4")
    whole = await rig.get(f"{BASE}/v480/s5.m4s", pathsend=True)
    assert (whole.status, whole.body, whole.path) == (200, b"ABCD", None)
    part = await rig.get(f"{BASE}/v480/s5.m4s", headers={"range": "bytes=2-99"})
    assert (part.status, part.body) == (206, b"CD")
    assert part.headers["content-range"] == "bytes 2-3/4"
    joined = await rig.get(f"{BASE}/v480/replay1.mp4", headers={"range": "bytes=4-7"})
    assert joined.body == b"ABCD"
    assert rig.library.asked["media"] == 2


async def test_long_files_go_out_in_pieces(rig: Rig) -> None:
    rig.library.entries[TOKEN] = LibraryEntry("ended", final=True)
    data = bytes(range(256)) * 4096
    rig.storage.put_bytes(f"works/{TOKEN}/download.mp4", data)
    rig.library.files[(TOKEN, "", "download.mp4")] = MediaFile(f"works/{TOKEN}/download.mp4")
    answer = await rig.get(f"{BASE}/download.mp4", headers={"range": "bytes=1-"})
    assert answer.body == data[1:]
    rig.library.files[(TOKEN, "", "poster.jpg")] = MediaFile(f"works/{TOKEN}/poster.jpg")
    assert (await rig.get(f"{BASE}/poster.jpg")).status == 404
    rig.storage.put_bytes(f"works/{TOKEN}/poster.jpg", b"jpeg")
    poster = await rig.get(f"{BASE}/poster.jpg")
    assert (poster.body, poster.headers["content-type"]) == (b"jpeg", "image/jpeg")


class FarStorage(FolderStorage):
    """A store with addresses of its own, like S3."""

    def local_path(self, key: str) -> Path | None:
        return None

    def presign(self, key: str, seconds: int, *, disposition: str = "") -> str | None:
        return f"https://store.example/{key}?for={seconds}"


async def test_a_far_store_answers_itself(tmp_path: Path) -> None:
    rig = Rig(tmp_path, cast(Storage, FarStorage(tmp_path / "far")))
    rig.library.entries[TOKEN] = LibraryEntry("ended", final=True)
    rig.library.files[(TOKEN, "v480", "s1.m4s")] = MediaFile("live/x/1.m4s")
    rig.library.files[(TOKEN, "v480", "s2.m4s")] = MediaFile("live/x/replay1.mp4", 2, 3)
    rig.storage.put_bytes("live/x/replay1.mp4", b"abcdefgh")
    away = await rig.get(f"{BASE}/v480/s1.m4s")
    assert away.status == 307
    assert away.headers["location"] == "https://store.example/live/x/1.m4s?for=3600"
    assert away.headers["access-control-allow-origin"] == "*"
    assert (await rig.get(f"{BASE}/v480/s2.m4s")).body == b"cde"
    await rig.close()


async def test_a_reader_who_goes_away_stops_the_reading(rig: Rig) -> None:
    rig.library.entries[TOKEN] = LibraryEntry("ended", final=True)
    rig.storage.put_bytes(f"works/{TOKEN}/download.mp4", bytes(4 << 20))
    rig.library.files[(TOKEN, "", "download.mp4")] = MediaFile(f"works/{TOKEN}/download.mp4")
    sent = 0

    async def receive() -> dict[str, object]:
        return {"type": "http.disconnect"}

    async def send(message: dict[str, object]) -> None:
        nonlocal sent
        sent += len(cast(bytes, message.get("body", b"")))
        await asyncio.sleep(0)

    scope = {
        "type": "http", "method": "GET", "path": f"{BASE}/download.mp4", "raw_path": b"",
        "query_string": b"", "headers": [(b"range", b"bytes=0-")],
    }  # fmt: skip
    await rig.edge(scope, receive, send)  # type: ignore[arg-type]
    assert 0 < sent <= 512 << 10


# --- what is away -----------------------------------------------------------------------------


async def test_without_redis_the_catalogue_carries_on(rig: Rig, show: FakeBroadcast) -> None:
    before = await rig.get(LIVE)
    rig.redis.cut()
    await rig.pause()
    assert (await rig.get(LIVE)).body == before.body
    held = rig.held(f"{LIVE}?_HLS_msn=4")
    for _ in range(12):
        show.add_part()
    bare = [msgspec.structs.replace(r, parts=[]) for r in show.head.renditions]
    rig.library.entries[TOKEN] = LibraryEntry(
        "live", head=msgspec.structs.replace(show.head, version=0, renditions=bare)
    )
    await rig.later(2.5)
    await asyncio.sleep(0.05)
    assert "s4.m4s" in held.result().text
    # Redis comes back with something newer, and is believed again.
    rig.redis.away = False
    rig.redis.publish(show.add_part())
    await asyncio.sleep(0.3)
    assert (await rig.get(LIVE)).body == write_live(show.head, show.head.renditions[0])


async def test_what_was_missed_while_redis_was_away_is_fetched(
    rig: Rig, show: FakeBroadcast
) -> None:
    await rig.get(LIVE)
    await rig.pause()
    rig.redis.cut()
    rig.redis.publish(show.add_part())  # nobody hears it
    rig.redis.away = False
    await asyncio.sleep(0.3)
    assert (await rig.get(LIVE)).body == write_live(show.head, show.head.renditions[0])


async def test_with_everything_away_the_last_state_is_served(rig: Rig, show: FakeBroadcast) -> None:
    before = await rig.get(LIVE)
    rig.redis.cut()
    rig.library.away = True
    await rig.later(30)
    assert (await rig.get(LIVE)).body == before.body
    assert (await rig.get(f"/hls/{'U' * 22}/main.m3u8")).status == 503


async def test_a_broadcast_nobody_watches_is_forgotten(rig: Rig, show: FakeBroadcast) -> None:
    await rig.get(LIVE)
    await rig.later(121)
    await rig.pause()
    assert rig.state.streams == {}
    assert rig.state.ready == {}
    assert (await rig.get(LIVE)).status == 200


ALL_OF_IT = (LIVE, f"{BASE}/main.m3u8", f"{BASE}/v480/p2.1.m4s", f"{BASE}/v480/s1.m4s")


def say(rig: Rig, **news: tuple[str, ...]) -> None:
    rig.redis.say(EDGE_CHANNEL, msgspec.json.encode(SightNews(**news)))


async def test_a_take_down_acts_at_once(rig: Rig, show: FakeBroadcast) -> None:
    rig.redis.data[part_key(TOKEN, "v480", 2, 1)] = b"part"
    for path in ALL_OF_IT[:3]:
        assert (await rig.get(path)).status == 200
    held = rig.held(f"{LIVE}?_HLS_msn=3")
    await rig.pause()
    rig.library.off.add(TOKEN)
    say(rig, off=(TOKEN,))
    await rig.pause()  # no time goes by
    assert held.result().status == 410
    for path in ALL_OF_IT:
        assert (await rig.get(path)).status == 410
    # The show goes on behind it, and nobody sees that.
    rig.redis.publish(show.add_part())
    await rig.pause()
    assert (await rig.get(LIVE)).status == 410
    rig.library.off.clear()
    say(rig, on=(TOKEN,))
    await rig.pause()
    assert (await rig.get(LIVE)).status == 200


async def test_a_take_down_whose_news_was_lost(rig: Rig, show: FakeBroadcast) -> None:
    assert (await rig.get(LIVE)).status == 200
    rig.library.off.add(TOKEN)
    await rig.later(OFF_AIR_SECONDS)
    assert (await rig.get(LIVE)).status == 410
    rig.library.off.clear()
    await rig.later(OFF_AIR_SECONDS)
    assert (await rig.get(LIVE)).status == 200


async def test_an_answer_older_than_the_news_is_not_believed(
    rig: Rig, show: FakeBroadcast, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rig.get(LIVE)
    await rig.later(0.1)
    asked, answer = threading.Event(), threading.Event()

    def slow(tokens: tuple[str, ...]) -> set[str]:
        asked.set()
        assert answer.wait(5)
        return set()  # as the rows were before the take-down

    monkeypatch.setattr(rig.library, "off_air", slow)
    rig.now += OFF_AIR_SECONDS
    rig.state.sweep()
    await asyncio.to_thread(asked.wait, 5)
    say(rig, off=(TOKEN,))
    await rig.pause()
    answer.set()
    await asyncio.sleep(0.05)
    assert (await rig.get(LIVE)).status == 410


async def test_what_is_off_the_air_is_not_loaded(rig: Rig, show: FakeBroadcast) -> None:
    rig.redis.data[off_air_key(TOKEN)] = b"1"
    rig.library.off.add(TOKEN)
    assert (await rig.get(LIVE)).status == 410
    rig.library.entries["V" * 22] = LibraryEntry("blocked")
    assert (await rig.get(f"/hls/{'V' * 22}/main.m3u8")).status == 410


async def test_an_emptied_redis_does_not_bring_it_back(rig: Rig, show: FakeBroadcast) -> None:
    rig.library.off.add(TOKEN)
    await rig.get(LIVE)
    await rig.later(0)
    assert (await rig.get(LIVE)).status == 410


async def test_answers_are_counted_by_kind(rig: Rig, show: FakeBroadcast) -> None:
    sizes = [len((await rig.get(LIVE)).body) for _ in range(3)]
    await rig.get(f"{LIVE}?_HLS_part=1")
    await rig.get("/hls/nonsense")
    rig.state.sweep()
    assert rig.metrics.counted == {
        ("playlist", 200): 3,
        ("playlist", 400): 1,
        ("unknown", 404): 1,
    }
    assert rig.metrics.bytes["playlist"] >= sum(sizes)


# --- the pure pieces --------------------------------------------------------------------------


def test_paths() -> None:
    place = parse_path(f"{BASE}/v480/p12.3.m4s")
    assert place is not None
    assert (place.kind, place.token, place.rendition) == ("part", TOKEN, "v480")
    assert (place.number, place.part) == (12, 3)
    kinds = {
        "main.m3u8": "multivariant", "poster.jpg": "poster", "download.mp4": "file",
        "a/live.m3u8": "playlist", "a/init0.mp4": "init", "a/s7.m4s": "segment",
        "a/replay2.mp4": "file", "storyboard.vtt": "storyboard", "storyboard-12.jpg": "storyboard",
    }  # fmt: skip
    for name, kind in kinds.items():
        found = parse_path(f"{BASE}/{name}")
        assert found is not None
        assert found.kind == kind


def test_directives() -> None:
    assert parse_directives(b"_HLS_msn=3&_HLS_part=0&_HLS_skip=YES&x=1") == Directives(3, 0, True)
    assert parse_directives(b"a=b&&c") == Directives()
    for bad in (b"_HLS_part=0", b"_HLS_msn=+1", b"_HLS_msn=%31", b"_HLS_msn=1.0"):
        with pytest.raises(BadDirectives):
            parse_directives(bad)


def test_a_range_with_a_condition_is_the_whole() -> None:
    assert parse_range([(b"range", b"bytes=0-1"), (b"if-range", b'"x"')], 10) is None
    with pytest.raises(UnsatisfiableRange):
        parse_range([(b"range", b"bytes=0-")], 0)
