"""What a smart cut copies and encodes, how our pictures are numbered, when all is decoded."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vod.reordering import Ints, decode_times, reorder_depth
from vod.smartcut.avc_sets import Sps, read_sps
from vod.smartcut.avc_slice import B, Marking, P, Place, SliceHeader
from vod.smartcut.avc_splice import Follower, places, run_in
from vod.smartcut.host import Approach, Entry
from vod.smartcut.plan import (
    Encode,
    encode_all,
    plan_stretch,
)
from vod.smartcut.sound import Run, Span, find_runs, in_turn, place_runs

STEP = 3600
FREE = Approach(Entry(True, True))


@st.composite
def streams(draw: st.DrawFn) -> tuple[Ints, Ints]:
    """Times in coded order and key pictures of a stream of small groups: each is an anchor and
    the pictures shown before it, which are decoded after it; a key anchor may have some too (an
    open group)."""
    steps = draw(st.lists(st.integers(1, 3), min_size=120, max_size=120))
    times = (np.cumsum(steps) * STEP).tolist()
    pts: list[int] = []
    keys: list[int] = []
    shown = 0
    for _ in range(draw(st.integers(1, 5))):
        for anchor in range(draw(st.integers(1, 5))):
            behind = draw(st.integers(0, 3)) if pts else 0
            group = times[shown : shown + behind + 1]
            shown += behind + 1
            if anchor == 0:
                keys.append(len(pts))
            pts += [group[-1], *draw(st.permutations(group[:-1]))]
    return np.array(pts), np.array(keys)


@settings(deadline=None)
@given(streams(), st.integers(0, 130 * STEP), st.integers(1, 130 * STEP), st.data())
def test_all_that_is_shown_is_copied_or_encoded_once(
    stream: tuple[Ints, Ints], start: int, length: int, data: st.DataObject
) -> None:
    pts, keys = stream
    stop = start + length
    refused = data.draw(st.sets(st.sampled_from(keys.tolist())))
    asked: list[tuple[int, int]] = []

    def ask(key: int, before: int, behind: Ints) -> Approach:
        asked.append((key, before))
        return Approach(FREE.entry, "no" if key in refused else None)

    plan = plan_stretch(pts, keys, start, stop, ask)
    shown = np.sort(pts[(pts >= start) & (pts < stop)]).tolist()
    if not shown:
        assert plan is None
        return
    assert plan is not None
    head, tail = (part.shown.tolist() if part else [] for part in (plan.head, plan.tail))
    copied = pts[plan.copied].tolist()
    assert head + sorted(copied) + tail == shown
    for part in (plan.head, plan.tail):
        _decodable(pts, keys, part)
    if copied:
        key = int(plan.copied[0])
        assert (key, len(head)) == asked[-1]
        assert key in keys
        assert key not in refused
        assert min(copied) == pts[key]
        # Nothing is left out between the first and the last one copied, but leading pictures.
        between = pts[key : plan.copied[-1] + 1]
        assert copied == between[between >= pts[key]].tolist()


def _decodable(pts: Ints, keys: Ints, part: Encode | None) -> None:
    if part is None:
        return
    wanted = np.flatnonzero(np.isin(pts, part.shown))
    assert part.first in keys
    assert part.first <= wanted[0]
    assert wanted[-1] < part.stop
    if part.first != keys[0]:
        assert (part.shown >= pts[part.first]).all(), "a leading picture would not be decoded"


def test_closed_group_is_copied_up_to_the_last_whole_run() -> None:
    # I P b b P b b | I P b b
    pts = np.array([0, 3, 1, 2, 6, 4, 5, 7, 10, 8, 9]) * STEP
    plan = plan_stretch(pts, np.array([0, 7]), 0, 6 * STEP, lambda *_: FREE)
    assert plan is not None
    assert plan.head is None
    assert plan.copied.tolist() == [0, 1, 2, 3]
    assert plan.tail is not None
    assert plan.tail.shown.tolist() == [4 * STEP, 5 * STEP]
    assert (plan.tail.first, plan.tail.stop) == (0, 7)


def test_leading_pictures_belong_to_the_cut_before() -> None:
    # I b P | I b b P (the second key's b are shown before it)
    pts = np.array([0, 2, 1, 5, 3, 4, 7, 6]) * STEP
    keys = np.array([0, 3])
    plan = plan_stretch(pts, keys, STEP, 8 * STEP, lambda *_: FREE)
    assert plan is not None
    assert plan.head is not None
    assert plan.head.shown.tolist() == [STEP, 2 * STEP, 3 * STEP, 4 * STEP]
    assert (plan.head.first, plan.head.stop) == (0, 6)
    assert plan.copied.tolist() == [3, 6, 7]
    assert plan.tail is None
    whole = encode_all(pts, keys, STEP, 8 * STEP)
    assert whole is not None
    assert whole.head is not None
    assert whole.head.shown.tolist() == [n * STEP for n in range(1, 8)]


# --- times -----------------------------------------------------------------------------------


@settings(deadline=None)
@given(streams())
def test_decoding_is_in_time_and_in_order(stream: tuple[Ints, Ints]) -> None:
    pts = stream[0] - stream[0].min()
    pts = pts[np.argsort(pts != 0, kind="stable")]  # A cut begins with the picture shown first.
    dts = decode_times(pts)
    assert dts[0] == 0
    assert (np.diff(dts) > 0).all()
    assert (dts <= pts).all()


def test_decoding_keeps_its_pace_behind_the_beginning() -> None:
    pts = np.array([0, 4, 2, 1, 3, 8, 6, 5, 7]) * STEP
    assert decode_times(pts).tolist() == [0, 1200, 2400, 3600, 7200, 10800, 14400, 18000, 21600]
    assert decode_times(np.arange(5) * STEP).tolist() == (np.arange(5) * STEP).tolist()
    assert reorder_depth(pts) == 2
    assert reorder_depth(np.arange(5)) == 0


# --- numbers ---------------------------------------------------------------------------------

SPS = read_sps(bytes.fromhex("67640028acd940780227e5c044000003000400000300c83c60c658"))


class Decoder:
    """Frame numbers and picture order as a decoder derives them (7.4.3, 8.2.1.1)."""

    def __init__(self, sps: Sps) -> None:
        self.sps = sps
        self.orders: list[int] = []
        self._order = (0, 0)
        self._number = 0
        self._was_reference = True

    def take(self, frame_num: int, lsb: int, *, idr: bool, reference: bool) -> None:
        if idr:
            assert (frame_num, lsb) == (0, 0)
            self._order, self._number = (0, 0), 0
        elif self._was_reference and reference:
            assert frame_num != self._number, "it would be a second field"
        top, low = self._order
        span = self.sps.poc_range
        if lsb < low and low - lsb >= span // 2:
            top += span
        elif lsb > low and lsb - low > span // 2:
            top -= span
        self.orders.append(top + lsb)
        self._was_reference = reference
        if reference:
            self._order, self._number = (top, lsb), frame_num


@settings(deadline=None)
@given(
    st.integers(1, 300), st.integers(4, 8), st.integers(4, 8), st.integers(0, 255),
    st.integers(0, 255),
)  # fmt: skip
def test_copied_picture_follows_ours(
    count: int, frame_bits: int, poc_bits: int, number: int, lsb: int
) -> None:
    sps = replace(SPS, frame_num_bits=frame_bits, poc_bits=poc_bits)
    follower = Follower(number % sps.frame_nums, lsb % sps.poc_range, None)
    found = places(count, follower, sps, 3)
    if found is None:
        assert count < 5, "few pictures only may be too few"
        return
    assert [place.is_idr for place in found] == [True] + [False] * (count - 1)
    decoder = Decoder(sps)
    for place in found:
        decoder.take(
            place.frame_num % sps.frame_nums, place.poc % sps.poc_range, idr=place.is_idr,
            reference=place.reference,
        )  # fmt: skip
    decoder.take(follower.frame_num, follower.poc_lsb, idr=False, reference=True)
    assert (np.diff(decoder.orders) > 0).all()


def test_anything_follows_that_is_an_idr_picture() -> None:
    found = places(3, Follower(0, 0, 5), SPS, 1)
    assert found == [Place(0, 0, 1), Place(1, 2, None), Place(2, 4, None)]


def _picture(frame_num: int, kind: int, ref: int, *forgets: int) -> SliceHeader:
    marking = tuple(Marking(1, (frame_num - number - 1) % 16) for number in forgets)
    return SliceHeader(1, ref, 0, kind, 0, frame_num, None, 0, 0, 0, 0, 0, 0, marking)


def test_ours_go_by_the_numbers_that_copied_pictures_name() -> None:
    # As x264 writes it: an open group's first P picture has all from before it forgotten.
    sps = replace(SPS, frame_num_bits=4, max_refs=4)
    follower = Follower(2, 16, None)
    pictures = [_picture(3, P, 2, 14, 0, 1), _picture(4, B, 2), _picture(5, P, 2, 4)]
    found = places(20, follower, sps, 0, pictures)
    assert found is not None
    assert run_in(found) == 16
    assert [place.frame_num % 16 for place in found[16:]] == [14, 15, 0, 1]
    held = _held(found, 16)
    assert held == [14, 0, 1]
    # Plain numbers do where nothing is named that a full buffer would not hold.
    plain = places(20, follower, sps, 0, [_picture(3, P, 2), _picture(4, P, 2, 3)])
    assert plain is not None
    assert run_in(plain) is None
    # And where there are too few of ours to have those numbers, they cannot follow.
    assert places(4, follower, sps, 0, pictures) is None


def _held(found: list[Place], nums: int) -> list[int]:
    """What a decoder that never slides holds after the pictures from the last intra one on."""
    held: list[int] = []
    start = run_in(found) or 0
    for place in found[start:]:
        held = [number for number in held if number not in place.unmark]
        held.append(place.frame_num % nums)
    return held


# --- sound -----------------------------------------------------------------------------------


def test_rounded_times_are_one_run_and_a_hole_begins_another() -> None:
    times = np.arange(200) * 1024
    wobble = np.resize([0, 24, -24, 10], 200)
    assert find_runs(times + wobble, 1024, 48_000) == [(0, 200)]
    times[80:] += 48_000
    assert find_runs(times + wobble, 1024, 48_000) == [(0, 80), (80, 200)]


def test_runs_lie_in_the_cut_to_the_sample() -> None:
    span = Span(first=90_000, length=180_000, at=45_000)
    times = np.arange(300) * 1024
    (run,) = place_runs(0, times, 1024, 48_000, span, 48_000)
    assert (run.begin, run.end) == (24_000, 120_000)
    assert run.at == 24_000 - 48_000
    (other,) = place_runs(0, times, 1024, 44_100, span, 48_000)
    assert other.at == 24_000 - 48_000
    assert place_runs(0, times + 10_000_000, 1024, 48_000, span, 48_000) == []


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 50)), max_size=10))
def test_no_two_runs_sound_at_once(ends: list[tuple[int, int]]) -> None:
    runs = [Run(n, 0, 1, begin, begin, begin + size) for n, (begin, size) in enumerate(ends)]
    kept = in_turn(runs)
    for before, after in pairwise(kept):
        assert before.end <= after.begin
    heard = {sample for run in kept for sample in range(run.begin, run.end)}
    assert heard == {sample for run in runs for sample in range(run.begin, run.end)}


@pytest.mark.parametrize(("length", "fade"), [(48_000, 240), (100, 50)])
def test_short_runs_fade_shortly(length: int, fade: int) -> None:
    assert Run(0, 0, 1, 0, 0, length).fade(48_000) == fade
