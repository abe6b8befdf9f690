"""The playlist writer: exact texts, and every revision of a long broadcast by the rules."""

from __future__ import annotations

import m3u8
import msgspec
import pytest

from tests.support.heads import FakeBroadcast
from tests.support.playlist_rules import PlaylistHistory
from transcode.hls.head import AirHead, HeadError, HeadPart, decode_head, encode_head
from transcode.hls.playlist import (
    last_available,
    skippable,
    write_live,
    write_multivariant,
    write_plain,
    write_replay,
)
from transcode.hls.replay import ByteRange, Replay, ReplayRendition, ReplaySegment

BASE = "https://stage.example/hls/token"


def live(head: AirHead, name: str = "v480", skip: bool = False) -> str:
    rendition = head.rendition(name)
    assert rendition is not None
    return write_live(head, rendition, skip=skip).decode()


def plain(head: AirHead, name: str = "v480") -> str:
    rendition = head.rendition(name)
    assert rendition is not None
    return write_plain(head, rendition).decode()


def grown(parts: int, every: int = 0) -> FakeBroadcast:
    broadcast = FakeBroadcast(discontinuity_every=every)
    for _ in range(parts):
        broadcast.add_part()
    return broadcast


def test_the_low_latency_playlist_to_the_letter() -> None:
    assert live(grown(6, every=1).head) == (
        """#EXTM3U
#EXT-X-VERSION:9
#EXT-X-TARGETDURATION:4
#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL=24.00000,HOLD-BACK=12.00000,"""
        """PART-HOLD-BACK=1.51200
#EXT-X-PART-INF:PART-TARGET=0.50400
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-MAP:URI="init0.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-02-02T02:40:00.000Z
#EXT-X-PART:DURATION=0.50000,URI="p0.0.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.50000,URI="p0.1.m4s"
#EXT-X-PART:DURATION=0.50000,URI="p0.2.m4s"
#EXT-X-PART:DURATION=0.50000,URI="p0.3.m4s"
#EXTINF:2.00000,
s0.m4s
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="init1.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-02-02T02:40:02.000Z
#EXT-X-PART:DURATION=0.50000,URI="p1.0.m4s",INDEPENDENT=YES
#EXT-X-PART:DURATION=0.50000,URI="p1.1.m4s"
#EXT-X-PRELOAD-HINT:TYPE=PART,URI="p1.2.m4s"
#EXT-X-RENDITION-REPORT:URI="../a/live.m3u8",LAST-MSN=1,LAST-PART=1
"""
    )


def test_the_plain_playlist_to_the_letter() -> None:
    assert plain(grown(6).head, "a") == (
        """#EXTM3U
#EXT-X-VERSION:8
#EXT-X-TARGETDURATION:4
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-DISCONTINUITY-SEQUENCE:0
#EXT-X-MAP:URI="init0.mp4"
#EXT-X-PROGRAM-DATE-TIME:2026-02-02T02:40:00.000Z
#EXTINF:2.00000,
s0.m4s
"""
    )


def test_a_delta_update_leaves_out_what_lies_before_the_skip_boundary() -> None:
    head = grown(58).head
    rendition = head.renditions[0]
    skipped = skippable(head, rendition)
    assert skipped == len(rendition.segments) - 12
    lines = live(head, skip=True).split("\n")
    assert lines[7] == f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}"
    assert not any(line.startswith("#EXT-X-MAP") for line in lines)
    assert len(lines) == len(live(head).split("\n")) - 3 * skipped  # PDT, EXTINF, URI; and MAP
    # A young broadcast has nothing to skip and answers in full.
    young = grown(10).head
    assert live(young, skip=True) == live(young)


@pytest.mark.parametrize("every", [0, 7, 1])
def test_every_revision_of_a_long_broadcast_keeps_the_rules(every: int) -> None:
    broadcast = FakeBroadcast(discontinuity_every=every)
    history = PlaylistHistory(pace=True)
    for count in range(400):
        head = broadcast.add_part()
        for name in ("v480", "a"):
            url, at = f"{BASE}/{name}/live.m3u8", broadcast.now
            skip = count % 3 == 2
            history.add(url + ("?_HLS_skip=YES" if skip else ""), live(head, name, skip), at)
            history.add(f"{BASE}/{name}/plain.m3u8", plain(head, name), at)
    head = broadcast.set_state("ended")
    history.add(f"{BASE}/v480/live.m3u8", live(head), broadcast.now)
    history.add(f"{BASE}/v480/plain.m3u8", plain(head), broadcast.now)
    assert history.violations == []


def test_an_ended_playlist_has_an_end_and_no_hint() -> None:
    text = live(grown(9).set_state("ended"))
    assert text.endswith("#EXT-X-ENDLIST\n")
    assert "PRELOAD-HINT" not in text
    assert "RENDITION-REPORT" not in text


def test_gaps_are_marked_on_segments_and_parts() -> None:
    head = grown(9).head
    video = head.renditions[0]
    hole = [HeadPart(45_000, 0, 0, gap=True)]
    gone = msgspec.structs.replace(video.segments[1], gap=True, parts=hole)
    video = msgspec.structs.replace(video, segments=[video.segments[0], gone], parts=hole)
    text = write_live(head, video).decode()
    assert '#EXT-X-PART:DURATION=0.50000,URI="p1.0.m4s",GAP=YES\n#EXT-X-GAP\n#EXTINF' in text
    assert '#EXT-X-PART:DURATION=0.50000,URI="p2.0.m4s",GAP=YES\n' in text


def test_the_part_target_printed_is_never_under_a_part() -> None:
    head = msgspec.structs.replace(grown(1).head, part_target_us=500_500)
    assert "PART-TARGET=0.50050" in live(head)
    head = msgspec.structs.replace(head, part_target_us=500_501)
    assert "PART-TARGET=0.50051" in live(head)
    assert head.part_target_ticks == 45_045


def test_multivariant_begins_with_a_rung_for_phones() -> None:
    video, audio = grown(1).head.renditions
    big = msgspec.structs.replace(
        video, name="v1080", bandwidth=5_000_000, width=1920, height=1080, frame_rate=30000 / 1001
    )
    assert write_multivariant([audio, big, video], "live.m3u8").decode() == (
        """#EXTM3U
#EXT-X-VERSION:8
#EXT-X-INDEPENDENT-SEGMENTS
#EXT-X-STREAM-INF:BANDWIDTH=900000,AVERAGE-BANDWIDTH=700000,CODECS="avc1.42c01e,mp4a.40.2","""
        """RESOLUTION=854x480,FRAME-RATE=25.000,CLOSED-CAPTIONS=NONE
v480/live.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=5000000,AVERAGE-BANDWIDTH=700000,CODECS="avc1.42c01e,mp4a.40.2","""
        """RESOLUTION=1920x1080,FRAME-RATE=29.970,CLOSED-CAPTIONS=NONE
v1080/live.m3u8
#EXT-X-STREAM-INF:BANDWIDTH=70000,AVERAGE-BANDWIDTH=64000,CODECS="mp4a.40.2",CLOSED-CAPTIONS=NONE
a/live.m3u8
"""
    )


def recording(ended: bool, segments: int, compacted: bool = False) -> Replay:
    rows = [
        ReplaySegment(
            msn=index * 2,
            dur=180_000,
            pdt_us=1_770_000_000_000_000 + index * 2_000_000,
            init=index // 3,
            disc=index == 3,
            offset=1500 + index * 1000 if compacted else 0,
            size=1000 if compacted else 0,
        )
        for index in range(segments)
    ]
    rendition = ReplayRendition(
        "v480", "video", 900_000, 700_000, "avc1.42c01e,mp4a.40.2", 854, 480, 25.0, rows,
        file="replay1.mp4" if compacted else None,
        inits={0: ByteRange(0, 700), 1: ByteRange(700, 800)} if compacted else {},
    )  # fmt: skip
    return Replay("T" * 22, 4, ended, [rendition], event=not compacted)


def replay_text(replay: Replay) -> str:
    return write_replay(replay, replay.renditions[0]).decode()


def test_a_growing_replay_only_appends() -> None:
    history = PlaylistHistory()
    url = f"{BASE}/v480/replay.m3u8"
    for count in range(1, 9):
        history.add(url, replay_text(recording(False, count)), count * 2.0)
    history.add(url, replay_text(recording(True, 9)), 18.0)
    assert history.violations == []
    assert "#EXT-X-PLAYLIST-TYPE:EVENT" in replay_text(recording(True, 9))


def test_a_compacted_replay_to_the_letter() -> None:
    text = replay_text(recording(True, 4, compacted=True))
    assert text == (
        """#EXTM3U
#EXT-X-VERSION:8
#EXT-X-TARGETDURATION:4
#EXT-X-MEDIA-SEQUENCE:0
#EXT-X-PLAYLIST-TYPE:VOD
#EXT-X-MAP:URI="replay1.mp4",BYTERANGE="700@0"
#EXT-X-PROGRAM-DATE-TIME:2026-02-02T02:40:00.000Z
#EXTINF:2.00000,
#EXT-X-BYTERANGE:1000@1500
replay1.mp4
#EXT-X-PROGRAM-DATE-TIME:2026-02-02T02:40:02.000Z
#EXTINF:2.00000,
#EXT-X-BYTERANGE:1000@2500
replay1.mp4
#EXT-X-PROGRAM-DATE-TIME:2026-02-02T02:40:04.000Z
#EXTINF:2.00000,
#EXT-X-BYTERANGE:1000@3500
replay1.mp4
#EXT-X-DISCONTINUITY
#EXT-X-MAP:URI="replay1.mp4",BYTERANGE="800@700"
#EXT-X-PROGRAM-DATE-TIME:2026-02-02T02:40:06.000Z
#EXTINF:2.00000,
#EXT-X-BYTERANGE:1000@4500
replay1.mp4
#EXT-X-ENDLIST
"""
    )
    history = PlaylistHistory()
    assert history.add(f"{BASE}/v480/replay.m3u8", text, 0.0) == []


def test_another_parser_reads_the_same() -> None:
    head = grown(58, every=5).head
    parsed = m3u8.loads(live(head))
    assert parsed.target_duration == 4
    assert parsed.media_sequence == head.media_sequence
    assert parsed.part_inf.part_target == pytest.approx(0.504)
    listed = [segment.uri for segment in parsed.segments if segment.uri]
    assert listed == [f"s{segment.msn}.m4s" for segment in head.renditions[0].segments]
    multi = m3u8.loads(write_multivariant(head.renditions, "live.m3u8").decode())
    assert [p.stream_info.resolution for p in multi.playlists] == [(854, 480), None]
    vod = m3u8.loads(replay_text(recording(True, 4, compacted=True)))
    assert vod.is_endlist
    assert vod.segments[3].byterange == "1000@4500"
    assert vod.segments[3].init_section.byterange == "800@700"


def test_the_newest_part_is_reported() -> None:
    assert last_available(grown(0).head.renditions[0]) is None
    assert last_available(grown(6).head.renditions[0]) == (1, 1)
    assert last_available(grown(8).head.renditions[0]) == (1, 3)


def test_heads_travel_as_json() -> None:
    head = grown(30, every=3).head
    assert decode_head(encode_head(head)) == head
    for bad in (b"", b"{}", b"[1]", encode_head(head)[:-1]):
        with pytest.raises(HeadError):
            decode_head(bad)
