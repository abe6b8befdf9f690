"""From a publisher to the log and its readers: nothing lost, headers first, clean ends."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from infra.feed_token import take_token
from ingest import flv
from tests.integration.ingest.conftest import TOKEN, Node
from tests.support.media import Footage, make_footage, read_numbers
from tests.support.publisher import (
    Tag,
    ffmpeg_push_argv,
    is_frame,
    is_key,
    publishing,
    read_tags,
    repeat,
    shifted,
    until,
    without_keys,
)


def frames(tags: list[Tag], kind: int) -> list[bytes]:
    return [tag.payload for tag in tags if tag.kind == kind and is_frame(tag)]


async def test_every_tag_is_in_the_log_and_every_reader_gets_it(
    node: Node, tags: list[Tag]
) -> None:
    key, grant = node.ledger.feed()
    async with publishing(node.ingest.rtmp_port, key) as pusher:
        early = asyncio.create_task(pusher.push(tags))
        await node.wait(lambda: node.ledger.opened)
        take = node.ledger.opened[0]
        async with node.client(20) as client:
            following = asyncio.create_task(client.get(node.take_url(take)))
            await early
            await pusher.finish()
            body = (await following).content
    [meta] = await node.closed()
    log = node.log(take).read_bytes()
    assert body == log
    logged = read_tags(node.log(take))
    start = next(tag.ts_ms for tag in tags if is_key(tag))
    playable = [tag for tag in tags if tag.ts_ms >= start]
    for kind in (flv.AUDIO, flv.VIDEO):
        assert frames(logged, kind) == frames(playable, kind)
    assert meta.counts.video_frames == 100
    assert meta.ended_by == "unpublished"
    assert meta.drop
    assert meta.broadcast_id == grant.broadcast_id
    assert meta.counts.size == len(log)
    assert 3950 <= meta.counts.end_ms <= 4100
    assert meta.codecs["video"] == "h264"
    assert (meta.codecs["width"], meta.codecs["height"]) == (640, 360)


async def test_a_reader_begins_at_the_keyframe_before_what_it_asks_for(
    node: Node, tags: list[Tag]
) -> None:
    key, _ = node.ledger.feed()
    async with publishing(node.ingest.rtmp_port, key) as pusher:
        await pusher.push(tags, speed=None)
        await pusher.finish()
    [meta] = await node.closed()
    index = await node.index(meta.take_id, 2500)
    entries = index["entries"]
    assert isinstance(entries, list)
    assert [entry.ts_ms for entry in entries] == [2000, 3000]
    assert index["closed"] is True
    log = node.log(meta.take_id).read_bytes()
    head = (node.folder / f"{meta.take_id}.pre").read_bytes()
    assert log.startswith(head)
    base = f"http://127.0.0.1:{node.ingest.http_port}/takes/{meta.take_id}"
    async with node.client() as client:
        answer = await client.get(node.take_url(meta.take_id, 2500))
        assert answer.content == head + log[entries[0].offset :]
        absent = await client.get(node.take_url("nothere000"))
        assert absent.status_code == 404
        assert (await client.get(f"{base}.flv?from_ms=-1")).status_code == 400
        for path in ("..%2f..%2fetc", "%2e%2e", "..%252f", "a" * 400):
            url = f"http://127.0.0.1:{node.ingest.http_port}/takes/{path}.flv"
            assert (await client.get(url)).status_code in (400, 404)
        for told in (answer, absent):
            assert told.headers["X-Xitai-Node"] == (node.folder / "node").read_text()
    async with httpx.AsyncClient() as client:
        refused = await client.get(f"{base}.flv?k={TOKEN}")
        assert refused.status_code == 401
        assert refused.headers["X-Xitai-Node"] == node.ingest.node_id
        wrong = {"Authorization": "Bearer wrong"}
        assert (await client.get(f"{base}/index", headers=wrong)).status_code == 401
        # What FFmpeg is given opens this take, and nothing else.
        own = {"Authorization": f"Bearer {take_token(TOKEN, meta.take_id)}"}
        assert (await client.get(f"{base}.flv", headers=own)).content.startswith(head)
        assert (await client.get(f"{base}/index", headers=own)).status_code == 200
        for path in ("takes/nothere000.flv", "takes/nothere000/index", "metrics"):
            other = f"http://127.0.0.1:{node.ingest.http_port}/{path}"
            assert (await client.get(other, headers=own)).status_code == 401


async def test_a_tail_reader_gets_a_frame_at_once(node: Node, tags: list[Tag]) -> None:
    key, _ = node.ledger.feed()
    loop = asyncio.get_running_loop()
    async with publishing(node.ingest.rtmp_port, key) as pusher:
        await pusher.push(until(tags, 1000), speed=None)
        await node.wait(lambda: node.ledger.opened)
        async with (
            node.client() as client,
            client.stream("GET", node.take_url(node.ledger.opened[0])) as answer,
        ):
            pieces = answer.aiter_raw()
            got = await anext(pieces)
            delays = []
            for tag in [tag for tag in tags if tag.ts_ms >= 1000][:20]:
                await asyncio.sleep(0.03)  # let what was under way arrive
                sent = loop.time()
                await pusher.push([tag])
                async with asyncio.timeout(1):
                    while tag.payload[-40:] not in got:
                        got = (got + await anext(pieces))[-400_000:]
                delays.append(loop.time() - sent)
    delays.sort()
    assert delays[len(delays) // 2] < 0.02, delays


@pytest.mark.parametrize(
    ("name", "output", "video", "audio"),
    [
        ("plain", (), "h264", "aac"),
        ("no metadata", ("-flvflags", "no_metadata"), "h264", "aac"),
        ("sound only", ("-vn",), None, "aac"),
        ("picture only", ("-an",), "h264", None),
        (
            "hevc and opus",
            (
                "-c:v",
                "libx265",
                "-preset",
                "ultrafast",
                "-x265-params",
                "log-level=none:keyint=25",
                "-c:a",
                "libopus",
            ),
            "hevc",
            "opus",
        ),
        ("mp3", ("-c:a", "libmp3lame"), "h264", "mp3"),
    ],
)
async def test_ffmpeg_publishes(
    node: Node,
    footage: Path,
    ffmpeg: str,
    name: str,
    output: tuple[str, ...],
    video: str | None,
    audio: str | None,
) -> None:
    key, _ = node.ledger.feed()
    argv = ffmpeg_push_argv(ffmpeg, footage, node.url(key), output=output)
    encoder = await asyncio.create_subprocess_exec(*argv)
    assert await encoder.wait() == 0
    [meta] = await node.closed()
    assert meta.codecs.get("video") == video, name
    assert meta.codecs.get("audio") == audio, name
    logged = read_tags(node.log(meta.take_id))
    if video is not None:
        assert meta.counts.video_frames == 100
        assert is_key(next(tag for tag in logged if tag.kind == flv.VIDEO and is_frame(tag)))
        numbers = await asyncio.to_thread(read_numbers, node.log(meta.take_id))
        assert numbers == list(range(100))
    else:
        sound = [tag for tag in logged if tag.kind == flv.AUDIO and is_frame(tag)]
        assert len(sound) >= 170  # 4 s at 44.1 kHz: held, not lost, until it was sure
    assert meta.counts.first_ms == 0
    index = await node.index(meta.take_id)
    entries = index["entries"]
    assert isinstance(entries, list)
    assert len(entries) >= 3
    arrivals = [entry.arrival_us for entry in entries]
    assert arrivals == sorted(arrivals)


async def test_nothing_before_the_first_keyframe_is_kept(node: Node, tags: list[Tag]) -> None:
    """Row 10: no keyframe for 20 s; no log, bounded memory, then a take from the keyframe on."""
    key, _ = node.ledger.feed()
    long = list(until(without_keys(repeat(tags), 0, 20_000), 22_000))
    async with publishing(node.ingest.rtmp_port, key) as pusher:
        await pusher.push([tag for tag in long if tag.ts_ms < 19_990], speed=None)
        await asyncio.sleep(0.3)
        [place] = node.ingest.hub.places()
        assert place.recorder.log is None
        assert place.recorder.unkeyed_frames > 400
        assert place.recorder._held_bytes == 0
        assert not list(node.folder.glob("*.flv"))
        await pusher.push([tag for tag in long if tag.ts_ms >= 19_990], speed=None)
        await pusher.finish()
    [meta] = await node.closed()
    logged = read_tags(node.log(meta.take_id))
    first = next(tag for tag in logged if is_frame(tag))
    assert is_key(first)
    assert first.ts_ms == 0
    assert 1500 <= meta.counts.end_ms <= 2100


async def test_a_changed_configuration_begins_another_take(
    node: Node, tags: list[Tag], ffmpeg: str, media_folder: Path
) -> None:
    """The same header again changes nothing; another one cuts at its keyframe."""
    other = read_tags(
        make_footage(
            ffmpeg,
            media_folder / "ingest-other.flv",
            Footage(2, size=(320, 180), gop_seconds=1, bitrate="300k", first=500),
        )
    )
    headers = [tag for tag in tags if not is_frame(tag) and tag.ts_ms == 0]
    key, _ = node.ledger.feed()
    async with publishing(node.ingest.rtmp_port, key) as pusher:
        for second in range(2):
            part = [tag for tag in tags if second * 1000 <= tag.ts_ms < second * 1000 + 1000]
            await pusher.push([*headers, *part], speed=None)
        shifted_other = [tag._replace(ts_ms=tag.ts_ms + 2000) for tag in other]
        await pusher.push(shifted_other, speed=None)
        await pusher.finish()
    first, second_meta = await node.closed(2)
    assert (first.ended_by, first.drop) == ("codec_change", False)
    assert second_meta.ended_by == "unpublished"
    assert (first.codecs["width"], second_meta.codecs["width"]) == (640, 320)
    numbers = await asyncio.to_thread(read_numbers, node.log(first.take_id))
    assert numbers == list(range(50))
    numbers = await asyncio.to_thread(read_numbers, node.log(second_meta.take_id))
    assert numbers == list(range(500, 550))
    places = node.ingest.hub.places()
    assert not places


async def test_jumping_clocks_make_one_monotonic_timeline(node: Node, tags: list[Tag]) -> None:
    """Rows 7 to 9: a start near 2^32, a lasting jump; the log goes on from 0 without a hole."""
    key, _ = node.ledger.feed()

    def jump(ts_ms: int) -> int:
        return ts_ms + 0xFFFFFFFF - 1500 + (600_000 if ts_ms >= 2000 else 0)

    async with publishing(node.ingest.rtmp_port, key) as pusher:
        await pusher.push(shifted(tags, jump), speed=None)
        await pusher.finish()
    [meta] = await node.closed()
    logged = [tag for tag in read_tags(node.log(meta.take_id)) if is_frame(tag)]
    for kind in (flv.AUDIO, flv.VIDEO):
        times = [tag.ts_ms for tag in logged if tag.kind == kind]
        assert times == sorted(times)
        assert times[0] < 100
        assert max(b - a for a, b in pairwise(times)) < 300
    assert 3800 <= meta.counts.end_ms <= 4400
    assert len(meta.discontinuities) == 1
    assert meta.counts.video_frames == 100
