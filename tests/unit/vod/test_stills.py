"""Stills, the pure part: what a frame's measures tell, which moments may be taken, and a choice
that is varied and spread."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations, pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.minutes import TICKS_A_SECOND
from catalog.picture_hash import DISTINCT_BITS, distance, near_any
from tests.support.scenes import (
    FPS,
    Piece,
    Reel,
    Rgb,
    Scene,
    bars,
    black,
    blurred,
    dissolve,
    panned,
    slate,
    still_of,
)
from vod.stills.choose import Candidate, Stretch, choose, stretches
from vod.stills.judge import fault, marks_of, worth
from vod.stills.look import Grey, Look, look, shrink
from vod.stills.moments import Shot, moments
from vod.stills.spots import LOOKS_A_STILL, Spot, batches, in_order, spots_of

STEP = TICKS_A_SECOND // FPS
SCENES = [Scene(seed) for seed in range(1, 8)]
A, B = SCENES[0], SCENES[1]


def grey(picture: Rgb) -> Grey:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def seen(draw: Callable[[int], Rgb], number: int = 30) -> Look:
    return look(grey(draw(number)))


# --- a frame ---------------------------------------------------------------------------------


MARKS = marks_of([seen(scene, number) for scene in SCENES for number in (0, 30)])


@pytest.mark.parametrize("scene", [*SCENES, Scene(8, light=0.25), Scene(9, light=0.12)])
def test_a_sharp_frame_has_no_fault_by_day_or_by_night(scene: Scene) -> None:
    assert fault(seen(scene), MARKS) is None


@pytest.mark.parametrize(
    ("draw", "why"),
    [
        (black, "black"),
        (lambda n: black(n) + 14, "black"),
        (lambda n: np.full((360, 640, 3), 253, np.uint8), "burnt"),
        (lambda n: np.full((360, 640, 3), 120, np.uint8), "flat"),
        (slate, "card"),
        (bars, "card"),
        *((blurred(scene, 2.0), "blurred") for scene in SCENES[:4]),
        *((panned(scene, 13), "blurred") for scene in SCENES[:4]),
        (blurred(Scene(8, light=0.25), 2.0), "blurred"),
    ],
)
def test_what_no_one_would_keep_is_named(draw: Callable[[int], Rgb], why: str) -> None:
    assert fault(seen(draw), MARKS) == why


def test_sharpness_speaks_of_focus_and_not_of_what_is_shown() -> None:
    sharp = [seen(scene).sharpness for scene in (*SCENES, Scene(8, light=0.25))]
    soft = [seen(blurred(scene, 3)).sharpness for scene in SCENES]
    assert min(sharp) > 1.6 * max(soft)
    # A face before a soft background is a sharp picture; a station's logo on a soft one is not.
    portrait = blurred(SCENES[0], 4)(30)
    portrait[60:330, 200:520] = SCENES[0](30)[60:330, 200:520]
    assert fault(look(grey(portrait)), MARKS) is None
    logo = blurred(SCENES[0], 4)(30)
    logo[10:50, 540:630] = SCENES[1](30)[100:140, 100:190]
    assert fault(look(grey(logo)), MARKS) == "blurred"


def test_the_programmes_own_frames_set_the_mark() -> None:
    """An old camera's best is sharp enough for its own programme, but not beside a good one's."""
    old = [seen(blurred(scene, 1.2)) for scene in SCENES]
    assert [fault(each, MARKS) for each in old] == ["blurred"] * len(old)
    assert [fault(each, marks_of(old)) for each in old] == [None] * len(old)
    assert marks_of([seen(black)] * 9 + old) == marks_of(old)


def test_well_lit_and_still_is_worth_more() -> None:
    scene = SCENES[0]
    assert worth(seen(scene), MARKS) > worth(seen(Scene(1, light=0.25)), MARKS)
    assert worth(seen(scene), MARKS, 1.0) > worth(seen(scene), MARKS, 0.2)


# --- a stretch of frames ---------------------------------------------------------------------


def shot(*pieces: Piece) -> tuple[Shot, list[bool]]:
    """Small frames of a reel, and which of them are good."""
    reel = Reel(pieces)
    frames = [shrink(grey(reel.at(number)[1]), 320, 180) for number in range(reel.frames)]
    good = [reel.at(number)[0].good is not None for number in range(reel.frames)]
    return Shot([number * STEP for number in range(reel.frames)], frames), good


def taken(*pieces: Piece) -> tuple[set[int], list[bool]]:
    made, good = shot(*pieces)
    return {m.at_ticks // STEP for m in moments(made, 0, 1 << 40)}, good


def test_moments_keep_away_from_cuts_and_from_a_card_of_an_instant() -> None:
    at, good = taken(Piece(60, A, "A"), Piece(1, slate), Piece(60, A, "A"), Piece(60, B, "B"))
    assert at
    assert all(good[number] for number in at)
    assert all(abs(number - cut) >= 6 for number in at for cut in (60.5, 120.5))
    assert at & set(range(20, 50))
    assert at & set(range(70, 110))
    assert at & set(range(130, 175))


@pytest.mark.parametrize("frames", [15, 48])
@pytest.mark.parametrize(
    ("one", "other"),
    [(A, B), (A, black), (Scene(1, light=0.25), Scene(2, light=0.25)), (A, Scene(2, light=0.25))],
)
def test_no_moment_lies_within_a_dissolve_or_a_fade(
    one: Callable[[int], Rgb], other: Callable[[int], Rgb], frames: int
) -> None:
    at, _ = taken(
        Piece(70, one, "A"), dissolve(lambda n: one(n + 70), other, frames), Piece(70, other, "B")
    )
    assert not at & set(range(70, 70 + frames))
    assert at & set(range(10, 60))


def test_a_camera_that_pans_or_zooms_slowly_may_be_photographed() -> None:
    wide = Scene(5, size=(1280, 360))(0)

    def pan(number: int) -> Rgb:
        return np.ascontiguousarray(np.roll(wide, -2 * number, axis=1)[:, :640])

    def zoom(number: int) -> Rgb:
        nearer = cv2.getRotationMatrix2D((320, 180), 0, 1.001**number)
        return np.asarray(cv2.warpAffine(wide[:, :640], nearer, (640, 360)), dtype=np.uint8)

    for draw in (pan, zoom):
        assert len(taken(Piece(120, draw, "A"))[0]) > 80


def test_a_cut_between_two_dark_stages_is_a_cut() -> None:
    one, other = Scene(31, light=0.25), Scene(32, light=0.25)
    at, _ = taken(Piece(60, still_of(one, 0)), Piece(60, still_of(other, 0)))
    assert at == set()


@pytest.mark.parametrize("draw", [slate, still_of(A, 12), black])
def test_what_stands_still_has_no_moment(draw: Callable[[int], Rgb]) -> None:
    at, _ = taken(Piece(50, B, "B"), Piece(90, draw), Piece(50, SCENES[2], "C"))
    assert not at & set(range(50, 140))
    assert at


def test_a_frozen_picture_drawn_anew_at_a_key_frame_still_stands_still() -> None:
    coarse = A(12).copy()
    coarse[100:140, 200:260] = np.clip(coarse[100:140, 200:260].astype(int) + 20, 0, 255)

    def frozen(number: int) -> Rgb:
        return coarse if number < 45 else A(12)

    at, _ = taken(Piece(50, B, "B"), Piece(90, frozen), Piece(50, SCENES[2], "C"))
    assert not at & set(range(50, 140))
    assert at


def test_a_far_singer_moves_enough() -> None:
    def wide(number: int) -> Rgb:
        picture = A(0).copy()
        x = 300 + round(8 * np.sin(number / 6))
        picture[150:194, x : x + 14] = (240, 225, 190)
        return picture

    assert len(taken(Piece(100, wide, "A"))[0]) > 80


# --- choosing --------------------------------------------------------------------------------

HASH = st.integers(0, 2**64 - 1).map(lambda n: f"{n:016x}")
NEAR = st.builds(
    lambda base, bits: f"{base ^ sum(1 << b for b in bits):016x}",
    st.sampled_from([0, 2**63 + 77, 0xF0F0F0F0F0F0F0F0]),
    st.sets(st.integers(0, 63), max_size=14),
)
CANDIDATES = st.lists(
    st.builds(Candidate, st.integers(0, 999), st.integers(0, 1000), HASH | NEAR),
    max_size=40,
    unique_by=lambda candidate: candidate.at_ticks,
)
CUTS = st.lists(st.integers(1, 999), max_size=6, unique=True).map(
    lambda cuts: [
        Stretch(a, b) for a, b in zip([0, *sorted(cuts)], [*sorted(cuts), 1000], strict=True)
    ]
)


@given(CANDIDATES, st.integers(0, 20), CUTS, st.lists(HASH | NEAR, max_size=4))
def test_a_choice_is_varied_spread_and_whole(
    candidates: list[Candidate], count: int, pieces: list[Stretch], taken: list[str]
) -> None:
    chosen = choose(candidates, count, pieces, taken=taken)
    hashes = [candidate.phash for candidate in chosen]
    assert len(chosen) <= count
    assert set(chosen) <= set(candidates)
    assert [c.at_ticks for c in chosen] == sorted(c.at_ticks for c in chosen)
    for one, other in combinations(hashes, 2):
        assert distance(one, other) >= DISTINCT_BITS
    assert not any(near_any(each, taken) for each in hashes)
    left = [c for c in candidates if not near_any(c.phash, [*hashes, *taken])]
    if len(chosen) < count:
        assert left == [], "somebody who fits was left out"
    # Nobody has a second while another, who has one to give, has none.
    number = [sum(p.start_ticks <= c.at_ticks < p.end_ticks for c in chosen) for p in pieces]
    for piece, given_ in zip(pieces, number, strict=True):
        if any(piece.start_ticks <= c.at_ticks < piece.end_ticks for c in left) and given_ == 0:
            assert max(number) <= 1
    assert choose(reversed(candidates), count, pieces, taken=taken) == chosen


def test_pieces_are_the_acts_and_the_long_gaps_between_them() -> None:
    second = TICKS_A_SECOND
    found = stretches([(20 * second, 60 * second), (63 * second, 90 * second)], 200 * second)
    assert [(p.start_ticks // second, p.end_ticks // second) for p in found] == [
        (0, 20), (20, 60), (63, 90), (90, 200),
    ]  # fmt: skip
    assert len(stretches([], 100)) == 12
    assert stretches([], 0) == []


def test_long_acts_have_more_of_them() -> None:
    dice = np.random.default_rng(3)
    candidates = [
        Candidate(at, 500, f"{int(dice.integers(0, 2**63)):016x}") for at in range(0, 1000, 5)
    ]
    chosen = choose(candidates, 12, [Stretch(0, 100), Stretch(100, 1000)], bits=1)
    assert 1 <= sum(c.at_ticks < 100 for c in chosen) <= 2


def test_spots_are_bounded_and_even_whatever_the_length() -> None:
    slots = [(msn, msn * 180_000, 180_000) for msn in range(5_400)]
    spots = spots_of(slots)
    assert len(spots) == 480
    gaps = {b.start - a.start for a, b in pairwise(spots)}
    assert max(gaps) - min(gaps) <= 180_000
    assert [(s.start, s.end) for s in spots_of([(0, 0, 900_000)])] == [
        (0, 300_000), (300_000, 600_000), (600_000, 900_000),
    ]  # fmt: skip
    assert {spot.msn for spot in spots_of([(7, 0, 900_000)])} == {7}


def test_what_is_promising_is_looked_at_first_and_no_more_than_is_worth_it() -> None:
    good, bad = seen(A), seen(black)
    spots = [Spot(n, n * 1000, n * 1000 + 900, bad if n % 2 else good) for n in range(40)]
    order = in_order(spots, [Stretch(0, 40_000)], 6)
    assert len(order) == 6 * LOOKS_A_STILL
    assert all(spot.look is good for spot in order[:20])
    assert all(spot.look is bad for spot in order[20:])
    assert [s for batch in batches(order) for s in sorted(batch, key=order.index)] == order
