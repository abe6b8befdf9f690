"""The packager: what it cuts plays, and its numbers keep the rules of RFC 8216bis."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.transcode.media import (
    Output,
    audio_init,
    audio_only,
    audio_samples,
    decode,
    fragments,
    make_flv,
    package,
    plays_silently,
    read_items,
    timing,
    transmux,
    video_init,
    video_samples,
)
from transcode.fmp4.model import Fragment, InitSection, Sample
from transcode.hls.events import PackagerError, ResumePoint, RungSpec, RunTiming
from transcode.hls.head import TIMESCALE, HeadPart
from transcode.hls.packager import Packager, init_digest, pick_part_target

Item = InitSection | Fragment
RATES = [Fraction(n) for n in (5, 10, 12, 15, 24, 25, 30, 50, 60)] + [
    Fraction(24000, 1001),
    Fraction(30000, 1001),
    Fraction(60000, 1001),
]
ENCODE = (
    "-s", "96x54", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency",
    "-force_key_frames", "source", "-sc_threshold", "0", "-g", "1000", "-c:a", "copy",
)  # fmt: skip


def check_rules(out: Output, run: RunTiming) -> None:
    """What must hold for any input at all."""
    target, least = run.part_target, run.part_target * 85 / 100
    for segment in out.segments:
        where = (segment.rendition, segment.msn)
        assert round(segment.dur_ticks / TIMESCALE) <= run.target_duration, where
        offset = 0
        for index, part in enumerate(segment.parts):
            last = index == len(segment.parts) - 1
            assert 0 < part.dur <= target, (where, index, part)
            assert last or part.dur >= least or part.independent or part.gap, (where, index, part)
            assert part.offset == offset
            assert part.gap == (part.size == 0)
            offset += part.size
        assert offset == len(segment.data)
        drift = abs(sum(part.dur for part in segment.parts) - segment.dur_ticks)
        assert drift <= TIMESCALE // 5, (where, drift)
    for name in {segment.rendition for segment in out.segments}:
        mine = out.of(name)
        for one, other in itertools.pairwise(mine):
            assert other.msn == one.msn + 1
            assert other.start_tick == one.start_tick + one.dur_ticks
    for segment in out.segments:
        told = [p for p in out.parts if (p.rendition, p.msn) == (segment.rendition, segment.msn)]
        assert [p.head for p in told] == segment.parts[-len(told) :] if told else True
        for each in told:
            at = each.head.offset
            assert segment.data[at : at + each.head.size] == each.data


def frames_out(out: Output, rung: str, track: int = 1) -> list[bytes]:
    """Payloads of a rung in the order of its segments."""
    return [
        sample.data
        for item in read_items(out.file(rung))[1:]
        for sample in item.samples  # type: ignore[union-attr]
        if sample.track_id == track
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packager")


@pytest.mark.parametrize(
    ("fps", "gop", "bframes", "rate"),
    [
        ("25", 50, 0, 44100),
        ("30000/1001", 60, 2, 48000),
        ("10", 20, 0, 44100),
        ("50", 75, 3, 48000),
    ],
)
def test_real_media_keeps_every_frame_and_time(
    folder: Path, fps: str, gop: int, bframes: int, rate: int
) -> None:
    flv = make_flv(folder / "feed.flv", 5.3, fps, gop, bframes, rate)
    run = timing(air_start=7 * TIMESCALE)
    out = package(
        {
            "v1": read_items(transmux(flv)),
            "v2": read_items(transmux(flv, codec=ENCODE)),
            "a": read_items(audio_only(flv)),
        },
        run,
    )
    check_rules(out, run)
    assert not out.holes
    assert not out.too_long
    assert [set(slot.segments) for slot in out.slots] == [{"v1", "v2", "a"}] * len(out.slots)
    source, sound = decode(flv.read_bytes()), decode(flv.read_bytes(), "audio")
    for rung in ("v1", "v2", "a"):
        plays_silently(out.file(rung))
        heard = decode(out.file(rung), "audio")
        assert len(heard) == len(sound)
        assert max(abs(a - b - 7) for a, b in zip(heard, sound, strict=True)) < Fraction(1, 900)
    assert decode(out.file("v1")) == [time + 7 for time in source]
    assert len(decode(out.file("v2"))) == len(source)
    for slot in out.slots[:-1]:
        for segment in (slot.segments["v1"], slot.segments["v2"]):
            assert segment.parts[0].independent
            alone = decode(out.inits[segment.rendition].data + segment.data)
            assert round(alone[0] * TIMESCALE) - segment.start_tick < 9000


@pytest.mark.parametrize("fps", RATES, ids=str)
@pytest.mark.parametrize("jitter", [0, 1])
def test_parts_obey_the_85_percent_rule_at_any_rate(fps: Fraction, jitter: int) -> None:
    gop = round(2 * fps)
    video = video_samples(fps, 20, gop, jitter, seed=int(fps))
    run = timing()
    out = package(
        {
            "v": [video_init(sound=True), *fragments(video + audio_samples(20, track=2))],
            "a": [audio_init(), *fragments(audio_samples(20))],
        },
        run,
    )
    check_rules(out, run)
    assert not out.too_long
    assert not out.holes
    assert frames_out(out, "v") == [sample.data for sample in video]
    assert frames_out(out, "v", 2) == [s.data for s in audio_samples(20) if s.dts < 20 * 48000]
    assert frames_out(out, "a")[:900] == [s.data for s in audio_samples(20)][:900]


@pytest.mark.parametrize("fps", RATES, ids=str)
def test_the_chosen_part_target_suits_the_rate(fps: Fraction) -> None:
    frame = int(TIMESCALE / fps)
    target = pick_part_target(frame)
    assert 0.3 < target / TIMESCALE < 0.7
    run = RunTiming(target, 2 * TIMESCALE, 4, 0, 0)
    video = video_samples(fps, 10, round(2 * fps), 1)
    out = package({"v": [video_init(), *fragments(video)]}, run)
    check_rules(out, run)
    whole = [part.dur for segment in out.segments for part in segment.parts[:-1]]
    assert min(whole) > target * 0.9


@settings(max_examples=60, deadline=None)
@given(
    steps=st.lists(st.integers(1, 400), min_size=20, max_size=120),
    gop_ms=st.integers(300, 3000),
    every=st.integers(20, 700),
)
def test_variable_frame_rates_obey_the_rules(steps: list[int], gop_ms: int, every: int) -> None:
    samples, at, last_key = [], 0, -gop_ms
    for index, step in enumerate(steps):
        key = at - last_key >= gop_ms
        last_key = at if key else last_key
        samples.append(Sample(1, at, 0, step, key, b"v%d" % index))
        at += step
    run = timing(target_s=6)
    out = package({"v": [video_init(), *fragments(samples, every)]}, run)
    check_rules(out, run)
    assert frames_out(out, "v") == [sample.data for sample in samples]


@settings(max_examples=40, deadline=None)
@given(every=st.integers(20, 700), seed=st.integers(0, 99))
def test_grouping_into_fragments_does_not_matter(every: int, seed: int) -> None:
    """Only declared times may differ, by a predicted frame duration; frames and cuts do not."""
    video = video_samples(Fraction(25), 7, 50, 1, seed)
    run = timing()
    out = package({"v": [video_init(), *fragments(video, every)]}, run)
    plain = package({"v": [video_init(), *fragments(video, 100_000)]}, run)
    assert [s.start_tick for s in out.segments] == [s.start_tick for s in plain.segments]
    assert [len(s.parts) for s in out.segments] == [len(s.parts) for s in plain.segments]
    assert frames_out(out, "v") == frames_out(plain, "v")


def test_segments_begin_at_the_first_key_frame_in_time() -> None:
    video = video_samples(Fraction(25), 12, 24)
    out = package({"v": [video_init(), *fragments(video)]}, timing(target_s=4))
    assert [s.dur_ticks for s in out.slots][:-1] == [2 * 24 * 3600 + 24 * 3600] * 4
    # With key frames 3 s apart two groups would be too long: one segment each.
    video = video_samples(Fraction(25), 12, 70)
    out = package({"v": [video_init(), *fragments(video)]}, timing(segment_s=3, target_s=4))
    assert {s.dur_ticks for s in out.slots[1:-1]} == {70 * 3600}


def test_too_long_a_group_of_pictures_ends_the_run_at_a_whole_segment() -> None:
    video = video_samples(Fraction(25), 10, 250) + audio_samples(10, track=2)
    run = timing()
    items = [video_init(sound=True), *fragments(video)]
    out = package({"v": items, "a": [audio_init(), *fragments(audio_samples(10))]}, run)
    check_rules(out, run)
    assert [(e.rendition, e.msn) for e in out.too_long] == [("v", 1)]
    (slot,) = out.slots
    assert (slot.msn, set(slot.segments)) == (0, {"v", "a"})
    assert 4 * TIMESCALE <= slot.dur_ticks < 4.5 * TIMESCALE
    assert {part.msn for part in out.parts} == {0}
    # The run that takes over begins there, with key frames of its own.
    end = slot.dur_ticks // 90
    rest = video_samples(Fraction(25), 6, 50, start_ms=end)
    again = package({"v": [video_init(), *fragments(rest)]}, run, ResumePoint(1, slot.dur_ticks))
    check_rules(again, run)
    assert [s.dur_ticks for s in again.slots] == [2 * TIMESCALE] * 3


def test_without_any_key_frame_there_are_only_gaps() -> None:
    video = [s for s in video_samples(Fraction(25), 10, 250) if not s.is_sync]
    run = timing()
    out = package({"v": [video_init(), *fragments(video)]}, run)
    check_rules(out, run)
    assert {segment.gap for segment in out.segments} == {True}


def resumed(
    whole: Output, rungs: dict[str, list[Sample]], inits: dict[str, Item], run: RunTiming, at: int
) -> None:
    """Stop after ``at`` events' worth of parts, start anew, and compare."""
    told = whole.parts[:at]
    done = [
        slot for slot in whole.slots if all(s.msn < told[-1].msn for s in slot.segments.values())
    ]
    msn = done[-1].msn + 1 if done else 0
    start = done[-1].start_tick + done[-1].dur_ticks if done else 0
    published: dict[str, list[HeadPart]] = {name: [] for name in rungs}
    for part in told:
        if part.msn == msn:
            published[part.rendition].append(part.head)
    # The log is read from the key frame before, and so are some frames too many.
    run_up = max(0, start * 1000 // TIMESCALE - 2000)
    items: dict[str, list[Item]] = {}
    for name, samples in rungs.items():
        kept = [s for s in samples if s.dts >= run_up * (48 if s.data[:1] == b"a" else 1)]
        items[name] = [inits[name], *fragments(kept, 170)]
    again = package(items, run, ResumePoint(msn, start, published))
    check_rules(again, run)
    for name in rungs:
        before = [(p.msn, p.part, p.head.dur) for p in told if p.rendition == name]
        after = [(p.msn, p.part, p.head.dur) for p in again.parts if p.rendition == name]
        assert not {key[:2] for key in before} & {key[:2] for key in after}
        first = next(s for s in again.of(name) if s.msn == msn)
        count = len(published[name])
        assert [p.dur for p in first.parts[:count]] == [p.dur for p in published[name]]
        assert [p.independent for p in first.parts[:count]] == [
            p.independent for p in published[name]
        ]
        new = [p for p in again.parts if p.rendition == name and p.msn == msn]
        if new:
            assert new[0].part == count
            assert new[0].start_tick == start + sum(p.dur for p in published[name])
        old_segments = {s.msn: s for s in whole.of(name)}
        for segment in again.of(name):
            assert segment.start_tick == old_segments[segment.msn].start_tick
            assert segment.dur_ticks == old_segments[segment.msn].dur_ticks
        tail = b"".join(s.data for s in whole.of(name) if s.msn >= msn)
        ours = frames_out(again, name)
        theirs = [
            sample.data
            for item in read_items(whole.inits[name].data + tail)[1:]
            for sample in item.samples  # type: ignore[union-attr]
            if sample.track_id == 1
        ]
        assert ours == theirs


@settings(max_examples=25, deadline=None)
@given(at=st.integers(1, 40), fps=st.sampled_from(RATES), jitter=st.integers(0, 1))
def test_a_resumed_run_continues_exactly(at: int, fps: Fraction, jitter: int) -> None:
    video = video_samples(fps, 9, round(2 * fps), jitter)
    rungs = {"v": video + audio_samples(9, track=2), "a": audio_samples(9)}
    inits: dict[str, Item] = {"v": video_init(sound=True), "a": audio_init()}
    run = timing()
    whole = package(
        {name: [inits[name], *fragments(samples)] for name, samples in rungs.items()},
        run,
    )
    resumed(whole, rungs, inits, run, min(at, len(whole.parts)))


def test_a_resumed_real_run_decodes_to_the_same_frames(folder: Path) -> None:
    flv = make_flv(folder / "resume.flv", 7, bframes=2)
    run = timing()
    items = {"v": read_items(transmux(flv)), "a": read_items(audio_only(flv))}
    whole = package(items, run)
    cut = next(i for i, p in enumerate(whole.parts) if (p.rendition, p.msn, p.part) == ("v", 2, 1))
    told = [p for p in whole.parts[:cut] if p.msn == 2]
    start = whole.slots[1].start_tick + whole.slots[1].dur_ticks
    point = ResumePoint(
        2, start, {n: [p.head for p in told if p.rendition == n] for n in ("v", "a")}
    )
    again = package(items, run, point)
    for rung in ("v", "a"):
        joined = (
            whole.inits[rung].data
            + b"".join(s.data for s in whole.of(rung) if s.msn < 2)
            + b"".join(s.data for s in again.of(rung))
        )
        assert again.inits[rung].data == whole.inits[rung].data
        assert joined == whole.file(rung)
    # What viewers got: the parts told before, then the new ones.
    played = b"".join(p.data for p in whole.parts[:cut] if p.rendition == "v") + b"".join(
        p.data for p in again.parts if p.rendition == "v"
    )
    assert decode(whole.inits["v"].data + played) == decode(flv.read_bytes())


def test_sound_goes_on_through_a_hole_in_the_picture() -> None:
    """A phone camera app in the background sends audio only."""
    video = [s for s in video_samples(Fraction(25), 20, 50) if not 5000 <= s.dts < 13000]
    run = timing()
    out = package(
        {
            "v": [video_init(sound=True), *fragments(video + audio_samples(20, track=2))],
            "a": [audio_init(), *fragments(audio_samples(20))],
        },
        run,
    )
    check_rules(out, run)
    assert [hole.rendition for hole in out.holes] == ["v"]
    hole = out.holes[0]
    assert (hole.start_tick, hole.end_tick) == (5 * TIMESCALE, 14 * TIMESCALE)
    # Frames after the hole that need frames before it are left out, up to the next key frame.
    assert hole.dropped == 25
    assert frames_out(out, "a")[:900] == [s.data for s in audio_samples(20)][:900]
    assert frames_out(out, "v", 2)[:900] == [s.data for s in audio_samples(20)][:900]
    assert not any(segment.gap for segment in out.segments)


def test_a_hole_in_everything_becomes_gap_segments() -> None:
    video = [s for s in video_samples(Fraction(25), 20, 50) if not 5000 <= s.dts < 12000]
    run = timing()
    out = package({"v": [video_init(), *fragments(video)]}, run)
    check_rules(out, run)
    gaps = [segment for segment in out.segments if segment.gap]
    assert gaps
    assert all(part.gap for segment in gaps for part in segment.parts)
    assert out.holes[0].dropped == 0
    assert frames_out(out, "v") == [sample.data for sample in video]


def test_missing_sound_does_not_hold_the_picture_back() -> None:
    video = video_samples(Fraction(25), 12, 50)
    sound = [s for s in audio_samples(12, track=2) if not 3000 <= s.dts // 48 < 8000]
    run = timing()
    out = package({"v": [video_init(sound=True), *fragments(video + sound)]}, run)
    check_rules(out, run)
    assert frames_out(out, "v") == [sample.data for sample in video]
    assert frames_out(out, "v", 2) == [sample.data for sample in sound]


def test_sound_alone_is_cut_by_time() -> None:
    run = timing()
    out = package({"a": [audio_init(), *fragments(audio_samples(15))]}, run)
    check_rules(out, run)
    assert all(abs(slot.dur_ticks - 2 * TIMESCALE) < 2000 for slot in out.slots[:-1])
    assert frames_out(out, "a") == [sample.data for sample in audio_samples(15)]


def test_rounded_audio_times_become_an_exact_count() -> None:
    out = package({"a": [audio_init(), *fragments(audio_samples(6))]}, timing())
    times = [
        sample.dts
        for item in read_items(out.file("a"))[1:]
        for sample in item.samples  # type: ignore[union-attr]
    ]
    assert {b - a for a, b in itertools.pairwise(times)} == {1024}


def test_an_audio_jump_is_followed_and_a_step_back_is_dropped() -> None:
    sound = audio_samples(6)
    moved = [
        Sample(s.track_id, s.dts + (9600 if i >= 100 else 0), 0, s.duration, True, s.data)
        for i, s in enumerate(sound)
    ]
    out = package({"a": [audio_init(), *fragments(moved)]}, timing())
    assert frames_out(out, "a") == [s.data for s in moved]
    back = [
        Sample(s.track_id, s.dts - (9600 if i >= 100 else 0), 0, s.duration, True, s.data)
        for i, s in enumerate(sound)
    ]
    out = package({"a": [audio_init(), *fragments(back)]}, timing())
    assert 8 <= len(sound) - len(frames_out(out, "a")) <= 10


def test_a_follower_whose_key_frame_is_a_frame_off_still_follows() -> None:
    lead = video_samples(Fraction(50), 8, 100)
    late = [
        Sample(1, s.dts + 17, 0, s.duration, s.is_sync, s.data)
        for s in video_samples(Fraction(25), 8, 50)
    ]
    run = timing()
    out = package(
        {"v1": [video_init(), *fragments(lead)], "v2": [video_init(), *fragments(late)]}, run
    )
    check_rules(out, run)
    assert not out.holes
    assert frames_out(out, "v2") == [s.data for s in late]
    assert all(slot.segments["v2"].parts[0].independent for slot in out.slots)


def test_a_follower_that_comes_first_waits_for_the_leader() -> None:
    lead, follow = video_samples(Fraction(25), 6, 50), audio_samples(6)
    packager = Packager(
        [RungSpec("v", "video"), RungSpec("a", "audio")], timing(), ResumePoint(0, 0)
    )
    out = Output()
    out.add(packager.feed("a", [audio_init(), *fragments(follow)]))
    assert not out.parts
    out.add(packager.feed("v", [video_init(), *fragments(lead)]))
    out.add(packager.flush(end=True))
    assert [set(slot.segments) for slot in out.slots] == [{"v", "a"}] * 3
    assert frames_out(out, "a") == [s.data for s in follow]


def test_a_leader_that_never_comes_is_an_error_not_a_leak() -> None:
    packager = Packager(
        [RungSpec("v", "video"), RungSpec("a", "audio")], timing(), ResumePoint(0, 0)
    )
    packager.feed("a", [audio_init()])
    with pytest.raises(PackagerError, match="limit"):
        packager.feed("a", fragments(audio_samples(200)))


def test_an_unchanged_init_section_keeps_its_number(folder: Path) -> None:
    flv = make_flv(folder / "init.flv", 1)
    first = package({"v": read_items(transmux(flv))}, timing())
    packager = Packager(
        [RungSpec("v", "video")],
        timing(),
        ResumePoint(0, 0),
        {"v": ["another", init_digest(first.inits["v"].data)]},
    )
    out = Output()
    out.add(packager.feed("v", read_items(transmux(flv))))
    assert (out.inits["v"].number, out.inits["v"].is_new) == (1, False)
    assert out.inits["v"].codecs.startswith("avc1.")
    assert out.inits["v"].codecs.endswith("mp4a.40.2")


def test_without_an_end_the_open_segment_is_left_for_the_next_run() -> None:
    video = video_samples(Fraction(25), 5, 50)
    out = package({"v": [video_init(), *fragments(video)]}, timing(), end=False)
    assert [slot.msn for slot in out.slots] == [0, 1]
    assert any(part.msn == 2 for part in out.parts)


def test_bandwidth_is_of_whole_segments() -> None:
    packager = Packager([RungSpec("v", "video")], timing(), ResumePoint(0, 0))
    packager.feed("v", [video_init(), *fragments(video_samples(Fraction(25), 5, 50))])
    peak, average = packager.bandwidth("v")
    assert 0 < average <= peak


def bandwidth(*seconds: float) -> int:
    """Peak of a run whose segments, of 10 000 bytes and more each, last so long."""
    frames, at = [], 0
    for length in seconds:
        end = at + round(length * 1000)
        for start in range(at, end, 40):
            data = b"v" * (10_000 if start == at else 1)
            frames.append(Sample(1, start, 0, 40, start == at, data))
        at = end
    packager = Packager([RungSpec("v", "video")], timing(), ResumePoint(0, 0))
    packager.feed("v", [video_init(), *fragments(frames)])
    packager.flush(end=True)
    return packager.bandwidth("v")[0]


def test_a_short_last_segment_is_no_peak() -> None:
    """Two frames at the end of a take would be a megabit a second."""
    usual = bandwidth(2, 2, 2)
    assert 40_000 < usual < 50_000
    assert bandwidth(2, 2, 2, 0.08) == usual
    assert bandwidth(0.08) > 1_000_000, "while there is nothing else, it is all one knows"
