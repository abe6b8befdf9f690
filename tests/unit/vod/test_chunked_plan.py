"""The plan of a chunk-parallel transcode: chunks share the frames out exactly, on one grid."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vod.chunked.plan import (
    GRID_TICKS,
    LEAD_FRAMES,
    SOUND_FRAME_TICKS,
    ChunkPlan,
    PlanError,
    frames_between,
    make_plan,
)
from vod.originals.clock import TICKS, filled, pictures, rescaled, shifts, sounds
from vod.originals.table import NO_TIME, Packets, Picture, Sound, Table, digest_of
from vod.originals.wanted import SOUND_FRAME

PICTURE = Picture(0, "h264", "High", 40, 1280, 720, "yuv420p", (1, 1), global_header=False)
COPYABLE = msgspec.structs.replace(PICTURE, global_header=True)
SOUND = Sound(1, "aac", "LC", 44_100, 2, 128_000, 1024)


def packets(pts: list[int], base: Fraction, **columns: Any) -> Packets:
    """Packets of 1000 bytes, in the order of decoding."""
    count = len(pts)

    def column(name: str, default: list[int]) -> np.ndarray[Any, np.dtype[np.int64]]:
        return np.array(columns.get(name, default), np.int64)

    return Packets(
        base,
        np.array(pts, np.int64),
        column("dts", sorted(pts)),
        column("duration", [0] * count),
        column("size", [1000 + n % 7 for n in range(count)]),
        column("order", list(range(count))),
        column("at", [n * 1000 for n in range(count)]),
        column("keys", [0]),
        column("hidden", []),
    )


def table(
    video: Packets | None, audio: Packets | None = None, *, container: str = "mov,mp4",
    picture: Picture = PICTURE, sound: Sound = SOUND,
) -> Table:  # fmt: skip
    return Table(
        container, picture if video is not None else None, sound if audio is not None else None,
        video, audio, broken=False,
    )  # fmt: skip


def reordered(
    count: int, gop: int, *, open_gop: bool, step: int = 3003
) -> tuple[list[int], list[int]]:
    """(pts in the order of decoding, rows of key frames) of a stream with B-frames between every
    two others; in open groups the ones before a key frame are decoded after it."""
    pts: list[int] = []
    keys: list[int] = []
    shown = 0
    while shown < count:
        after = min(count, shown + gop)
        anchors = list(range(shown, after, 2))
        for anchor in anchors:
            is_key = anchor == shown
            before = [anchor - 1] if anchor > 0 and (not is_key or open_gop) else []
            if is_key and not open_gop and anchor > 0 and (anchor - 1) * step not in pts:
                pts.append((anchor - 1) * step)
            if is_key:
                keys.append(len(pts))
            pts.append(anchor * step)
            pts += [b * step for b in before if b * step not in pts]
        shown = after
    missing = [n * step for n in range(count) if n * step not in pts]
    return pts + missing, keys


@st.composite
def originals(draw: st.DrawFn) -> Packets:
    """A picture stream of any rate, with holes, B-frames, open or closed groups, from anywhere."""
    count = draw(st.integers(1, 150))
    steps = draw(
        st.lists(st.sampled_from((1, 20, 33, 40, 41, 200, 2500)), min_size=count, max_size=count)
    )
    times = np.cumsum(steps) + draw(st.integers(-5000, 100_000))
    gop = draw(st.integers(1, 90))
    shown, keys = reordered(count, gop, open_gop=draw(st.booleans()), step=1)
    return packets([int(times[n]) for n in shown], Fraction(1, 1000), keys=keys)


@settings(max_examples=80, deadline=None)
@given(originals(), st.integers(1, 30))
def test_chunks_share_out_the_frames_of_one_run(video: Packets, seconds: int) -> None:
    plan = make_plan(table(video), file_bytes=10**9, chunk_ticks=seconds * TICKS)
    whole = make_plan(table(video), file_bytes=10**9, chunk_ticks=10**15)
    assert [t for chunk in plan.chunks for t in chunk.frames] == whole.chunks[0].frames
    assert len(whole.chunks) == 1
    assert plan.pictures == len(whole.chunks[0].frames)
    # One grid: cuts, numbers and lengths do not depend on the division.
    assert plan.cuts == whole.cuts
    cuts = [cut for chunk in plan.chunks for cut in chunk.cuts[:-1]]
    assert cuts == plan.cuts
    assert [c.first_msn for c in plan.chunks] == [plan.cuts.index(c.start) for c in plan.chunks]
    for before, after in pairwise(plan.chunks):
        assert before.end == after.start
    assert plan.chunks[-1].end == plan.end
    frames = set(whole.chunks[0].frames)
    assert all(cut in frames for cut in plan.cuts)
    assert all(a // GRID_TICKS < b // GRID_TICKS for a, b in pairwise(plan.cuts))


@settings(max_examples=50, deadline=None)
@given(originals())
def test_a_chunk_reads_all_that_its_pictures_need(video: Packets) -> None:
    plan = make_plan(table(video), file_bytes=10**9, chunk_ticks=3 * TICKS)
    keys = set(video.keys.tolist())
    for chunk in plan.chunks:
        job = chunk.video
        assert job is not None
        rows = range(job.row, job.row + len(job.clock))
        assert job.row in keys
        assert job.digest == digest_of(video, job.row, job.row + len(job.clock))
        # Decoding times fit before every picture, and never go below zero.
        room = min(job.clock)
        decode = [at - room for at in sorted(job.clock)]
        assert decode[0] >= 0
        assert all(dts <= pts for dts, pts in zip(decode, job.clock, strict=True))
        own = [
            row
            for row, at in zip(rows, job.clock, strict=True)
            if chunk.start <= job.zero + at < chunk.end
        ]
        # It enters at a key frame that is decoded before them all, with one more in front.
        entry = [k for k in sorted(keys) if k <= own[0] and k >= job.row]
        assert entry
        assert len(entry) >= 2 or job.row == min(keys)


def test_open_groups_lose_no_leading_pictures() -> None:
    pts, keys = reordered(300, 30, open_gop=True)
    video = packets(pts, Fraction(1, 90_000), keys=keys)
    plan = make_plan(table(video), file_bytes=10**9, chunk_ticks=4 * TICKS)
    assert len(plan.chunks) > 1
    for before, after in pairwise(plan.chunks):
        # The picture just before the border is decoded after the next chunk's key frame.
        last = before.frames[-1]
        assert last + 3003 == after.start
        row = pts.index(last)
        assert before.video is not None
        assert before.video.row <= row < before.video.row + len(before.video.clock)


def test_times_are_those_ffmpeg_would_write() -> None:
    """av_rescale_q: to the nearest, halves away from zero, before the origin is taken away."""
    values = np.array([-3, -1, 0, 1, 3, 40, 67, 100], np.int64)
    wanted = [round(v * 90) for v in values.tolist()]
    assert rescaled(values, Fraction(1, 1000), TICKS).tolist() == wanted
    halves = np.array([-3, -1, 1, 3], np.int64)
    assert rescaled(halves, Fraction(1, 180_000), TICKS).tolist() == [-2, -1, 1, 2]


def test_what_cannot_be_decoded_or_is_hidden_is_not_counted() -> None:
    # Two pictures before the first key frame, one leading picture, one outside the edit list.
    pts = [0, 1, 5, 3, 6, 7, 8]
    video = packets(pts, Fraction(1, 25), keys=[2], hidden=[6])
    shown = pictures(video, np.zeros(len(pts), np.int64))
    assert shown is not None
    assert shown.times.tolist() == [0, 3600, 7200]
    assert shown.rows.tolist() == [2, 4, 5]
    # What is only decoded is never taken for the chunk's own.
    (chunk,) = make_plan(table(video), file_bytes=1, chunk_ticks=TICKS).chunks
    assert chunk.frames == [0, 3600, 7200]


def test_two_pictures_at_one_time_follow_each_other() -> None:
    video = packets([0, 40, 40, 80], Fraction(1, 1000), keys=[0])
    shown = pictures(video, np.zeros(4, np.int64))
    assert shown is not None
    assert shown.times.tolist() == [0, 3600, 3601, 7200]


def test_missing_times_stand_in_for_each_other() -> None:
    video = packets([NO_TIME, 40, NO_TIME], Fraction(1, 1000), dts=[0, NO_TIME, NO_TIME])
    pts, dts = filled(video)
    assert pts.tolist() == [0, 40, 40]
    assert dts.tolist() == [0, 40, 40]


@pytest.mark.parametrize(
    ("picture", "open_gop", "gop", "copied"),
    [
        (COPYABLE, False, 50, True),
        (COPYABLE, True, 50, False),
        (COPYABLE, False, 300, False),
        (PICTURE, False, 50, False),
        (msgspec.structs.replace(COPYABLE, open_gop=True), False, 50, False),
        (msgspec.structs.replace(COPYABLE, rotation=90), False, 50, False),
        (msgspec.structs.replace(COPYABLE, sample_aspect=(16, 15)), False, 50, False),
        (msgspec.structs.replace(COPYABLE, codec="hevc"), False, 50, False),
        (msgspec.structs.replace(COPYABLE, pixel_format="yuv420p10le"), False, 50, False),
        (msgspec.structs.replace(COPYABLE, interlaced=True), False, 50, False),
    ],
)
def test_the_top_rung_is_a_copy_only_where_that_is_safe(
    picture: Picture, open_gop: bool, gop: int, copied: bool
) -> None:
    pts, keys = reordered(500, gop, open_gop=open_gop)
    video = packets(pts, Fraction(1, 90_000), keys=keys)
    plan = make_plan(table(video, picture=picture), file_bytes=2_000_000)
    assert plan.ladder.video[0].copied is copied
    if copied:
        key_times = {pts[k] for k in keys}
        assert set(plan.cuts) <= key_times


def test_an_upright_film_stays_upright() -> None:
    video = packets(list(range(50)), Fraction(1, 25), keys=[0])
    turned = msgspec.structs.replace(PICTURE, width=1920, height=1080, rotation=90)
    rungs = make_plan(table(video, picture=turned), file_bytes=1).ladder.video
    assert [(r.width, r.height) for r in rungs][:2] == [(1080, 1920), (720, 1280)]


# --- sound -----------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    st.integers(2, 60),
    st.sampled_from((48_000, 44_100, 32_000, 22_050, 96_000)),
    st.sampled_from((Fraction(1, 1000), Fraction(1, 90_000), None)),
    st.integers(-900, 900),
)
def test_chunks_share_out_the_frames_of_sound(
    seconds: int, rate: int, base: Fraction | None, early_ms: int
) -> None:
    unit = base or Fraction(1, rate)
    count = seconds * rate // 1024 + 1
    first = Fraction(early_ms, 1000)
    pts = [round((first + Fraction(n * 1024, rate)) / unit) for n in range(count)]
    durations = [1024] * count if base is None else [0] * count
    audio = packets(pts, unit, duration=durations)
    video = packets(
        list(range(seconds * 25)), Fraction(1, 25), keys=list(range(0, seconds * 25, 25))
    )
    sound = msgspec.structs.replace(SOUND, sample_rate=rate)
    plan = make_plan(table(video, audio, sound=sound), file_bytes=1, chunk_ticks=5 * TICKS)
    kept = []
    for chunk in plan.chunks:
        job = chunk.audio
        assert job is not None
        kept += list(range(*job.keep))
        assert job.keep == frames_between(chunk.start, chunk.end)
        # The first sample lies on both grids: the frames' at 48 kHz, the source's own.
        assert job.first * 48_000 == job.first_frame * SOUND_FRAME * rate
        assert job.first_frame <= max(0, job.keep[0] - LEAD_FRAMES)
        assert job.step == 1024
        # Wherever one begins to read, a packet's samples lie in the same place.
        heard = sounds(audio, np.zeros(count, np.int64), rate, 1024, 0)
        assert job.anchors[0] == (0, int(heard.starts[job.row]))
        covered = heard.starts[job.row : job.row + job.rows]
        if len(covered) and covered[-1] + 1024 < heard.end:
            assert covered[-1] + 1024 >= job.keep[1] * SOUND_FRAME * rate // 48_000
    assert kept == list(range(-(-plan.end // SOUND_FRAME_TICKS)))


def test_rounded_timestamps_do_not_move_samples() -> None:
    """Milliseconds of 1024 samples at 44.1 kHz jump by 23 and 24; the samples do not."""
    rate, count = 44_100, 5_000
    pts = [round(n * 1024 * 1000 / rate) for n in range(count)]
    audio = packets(pts, Fraction(1, 1000), duration=[23] * count)
    heard = sounds(audio, np.zeros(count, np.int64), rate, 1024, 0)
    assert heard.step == 1024
    assert heard.starts.tolist() == [n * 1024 for n in range(count)]
    assert heard.anchors.tolist() == [0]


def test_a_hole_in_the_sound_is_a_new_anchor() -> None:
    pts = [n * 1024 for n in range(50)] + [n * 1024 + 48_000 for n in range(50, 100)]
    audio = packets(pts, Fraction(1, 48_000), duration=[1024] * 100)
    heard = sounds(audio, np.zeros(100, np.int64), 48_000, 1024, 0)
    assert heard.anchors.tolist() == [0, 50]
    assert heard.starts.tolist() == pts


def test_a_hole_is_one_where_packets_differ_in_length_too() -> None:
    """Vorbis in milliseconds: nobody knows a packet's samples before it is decoded."""
    steps = [3, 21, 21, 12, 21, 3, 21, 12] * 20
    pts = np.cumsum(steps) + np.where(np.arange(160) >= 80, 3_000, 0)
    audio = packets(pts.tolist(), Fraction(1, 1000), duration=[0] * 160)
    heard = sounds(audio, np.zeros(160, np.int64), 44_100, 0, 0)
    assert heard.step == 0
    assert heard.anchors.tolist() == [0, 80]
    assert heard.starts[80] == round(int(pts[80]) * 44.1)


def test_sound_alone_is_cut_by_time() -> None:
    count = 48_000 * 100 // 1024
    audio = packets([n * 1024 for n in range(count)], Fraction(1, 48_000), duration=[1024] * count)
    sound = msgspec.structs.replace(SOUND, sample_rate=48_000)
    plan = make_plan(table(None, audio, sound=sound), file_bytes=1, chunk_ticks=30 * TICKS)
    assert plan.cuts == list(range(0, plan.end, GRID_TICKS))
    assert [c.start // TICKS for c in plan.chunks] == [0, 20, 50]
    assert plan.frame_rate is None
    assert [r.name for r in plan.ladder.made] == ["a"]


def test_nothing_to_show_is_refused() -> None:
    with pytest.raises(PlanError, match="nothing_to_show"):
        make_plan(table(None), file_bytes=1)


# --- clocks that jump ------------------------------------------------------------------------


@pytest.mark.parametrize("jump", [-1_000_000_000, -20 * 90_000, 15 * 90_000, 3_600 * 90_000])
def test_a_clock_that_jumps_is_closed_up(jump: int) -> None:
    """Two recordings behind one another in a transport stream: picture and sound stay together."""
    half = 250
    video = [n * 3600 for n in range(half)] + [n * 3600 + jump for n in range(half, 2 * half)]
    audio = [n * 3600 + 100 for n in range(half)] + [
        n * 3600 + 100 + jump for n in range(half, 2 * half)
    ]
    v = packets(video, Fraction(1, 90_000), dts=video, order=[2 * n for n in range(2 * half)])
    a = packets(audio, Fraction(1, 90_000), dts=audio, order=[2 * n + 1 for n in range(2 * half)])
    moved = shifts("mpegts", v, a)
    assert moved.video is not None
    assert moved.audio is not None
    assert moved.jumps == 1
    times = np.array(video) + moved.video
    heard = np.array(audio) + moved.audio
    assert np.diff(times).max() <= 2 * 3600
    assert np.diff(times).min() > 0 or np.diff(times).min() >= -3600
    # As far apart as they were, but for what closing up the gap moved: less than a frame.
    assert np.abs((heard - times) - 100).max() <= 3600
    # A file with an index means what it says.
    flat = shifts("mov,mp4", v, a)
    assert flat.video is not None
    assert not flat.video.any()


def test_a_pause_of_the_picture_alone_is_no_jump() -> None:
    video = [n * 3600 for n in range(100)] + [n * 3600 + 30 * 90_000 for n in range(100, 200)]
    audio = [n * 1920 for n in range(2_000)]
    merged = sorted(
        [(t, 0, n) for n, t in enumerate(video)] + [(t, 1, n) for n, t in enumerate(audio)]
    )
    order: dict[tuple[int, int], int] = {(s, n): place for place, (_, s, n) in enumerate(merged)}
    v = packets(video, Fraction(1, 90_000), dts=video, order=[order[0, n] for n in range(200)])
    a = packets(audio, Fraction(1, 90_000), dts=audio, order=[order[1, n] for n in range(2_000)])
    assert shifts("mpegts", v, a).jumps == 0


def test_a_plan_survives_its_row() -> None:
    pts, keys = reordered(300, 30, open_gop=True)
    video = packets(pts, Fraction(1, 90_000), keys=keys)
    for chunk in make_plan(table(video), file_bytes=10**9, chunk_ticks=4 * TICKS).chunks:
        again = msgspec.convert(msgspec.json.decode(msgspec.json.encode(chunk)), ChunkPlan)
        assert again == chunk
