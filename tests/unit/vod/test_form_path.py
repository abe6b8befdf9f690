"""The crop's way: its bounds in every frame, its rest, the subject inside, jumps only at cuts."""

from __future__ import annotations

import math
import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from vod.forms.path import Bounds, Path, follow
from vod.forms.subject import Seen, choose

T = 90_000
CROP = 405 / 1280
BOUNDS = Bounds()


def frames(seconds: float, fps: float = 25) -> list[int]:
    return [round(n * T / fps) for n in range(int(seconds * fps))]


def inside(path: Path, places: list[float], width: float, hidden: range = range(0)) -> float:
    """The share of frames, of those it can be seen in, with the whole subject in the crop."""
    at, half = np.array(places), path.crop / 2
    held = (at - width / 2 >= path.centres - half) & (at + width / 2 <= path.centres + half)
    return float(np.delete(held, list(hidden)).mean())


def holds(path: Path, bounds: Bounds = BOUNDS) -> None:
    half = path.crop / 2
    assert path.centres.min() >= half - 1e-9
    assert path.centres.max() <= 1 - half + 1e-9
    assert path.fastest() <= bounds.speed + 1e-4
    assert path.sharpest() <= bounds.acceleration + 1e-3


sightings = st.lists(
    st.builds(
        Seen,
        at=st.integers(0, 20 * T),
        centre=st.floats(0, 1),
        width=st.floats(0, 1),
        confidence=st.floats(0, 1),
    ),
    max_size=60,
)
# Any frame rate, varying too: 8 to 100 ms a frame.
steps = st.lists(st.integers(720, 9_000), min_size=1, max_size=300)


@settings(max_examples=60, deadline=None)
@given(sightings, steps, st.lists(st.integers(0, 300), max_size=5), st.floats(0.2, 1))
def test_whatever_is_seen_the_bounds_hold_in_every_frame(
    seen: list[Seen], apart: list[int], cuts: list[int], crop: float
) -> None:
    times = [0, *np.cumsum(apart).tolist()]
    path = follow(times, cuts, seen, crop)
    assert len(path.centres) == len(times)
    holds(path)
    # Jumps only at the cuts that were named.
    assert set(path.shots) <= {0, *cuts}
    assert path.shots == tuple(sorted({0, *(c for c in cuts if 0 < c < len(times))}))


@settings(max_examples=25, deadline=None)
@given(st.floats(0.1, 0.9), st.integers(0, 2**32), st.floats(0, 0.012))
def test_it_rests_while_the_subject_rests(place: float, seed: int, noise: float) -> None:
    dice = random.Random(seed)
    seen = [
        Seen(at, place + dice.uniform(-noise, noise), 0.08 * dice.uniform(0.8, 1.2), 0.7)
        for at in frames(8)[::3]
    ]
    path = follow(frames(8), [], seen, CROP)
    assert np.ptp(path.centres) < 1e-6
    reachable = min(max(place, CROP / 2), 1 - CROP / 2)
    assert abs(path.centres[0] - reachable) < 0.05


def walk(seed: int, seconds: float) -> list[float]:
    """Somebody who strolls, stops, turns: bounded speed and acceleration."""
    dice = random.Random(seed)
    place, speed, wanted, found = dice.uniform(0.3, 0.7), 0.0, 0.0, []
    for number in range(int(seconds * 25)):
        if number % 30 == 0:
            wanted = dice.choice((0.0, -0.14, 0.14, 0.22, -0.22))
        if not 0.2 < place < 0.8:
            wanted = math.copysign(0.15, 0.5 - place)
        speed += max(-0.02, min(0.02, wanted - speed))
        place += speed / 25
        found.append(place)
    return found


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_a_subject_among_noise_gaps_and_distractors_stays_inside(seed: int) -> None:
    dice = random.Random(seed)
    places, times = walk(seed, 24), frames(24)
    begins = dice.randrange(100, 400)
    hidden = range(begins, begins + 25)
    seen = []
    for n in range(0, len(times), 3):
        if n not in hidden:
            centre = places[n] + dice.gauss(0, 0.012)
            seen.append(Seen(times[n], centre, 0.09 * dice.uniform(0.7, 1.3), dice.uniform(0.4, 1)))
        # Lamps at the edge, surer than the dancer now and then.
        if dice.random() < 0.3:
            seen.append(Seen(times[n], dice.choice((0.05, 0.95)), 0.05, dice.uniform(0, 0.9)))
    path = follow(times, [], seen, CROP)
    holds(path)
    assert inside(path, places, 0.09, hidden) >= 0.95


def test_a_cut_is_the_only_place_to_jump() -> None:
    times = frames(8)
    seen = [Seen(at, 0.2 if at < 4 * T else 0.8, 0.1, 0.9) for at in times[::3]]
    with_cut = follow(times, [100], seen, CROP)
    places = [0.2 if at < 4 * T else 0.8 for at in times]
    assert inside(with_cut, places, 0.1) == 1
    steps = np.abs(np.diff(with_cut.centres))
    assert steps.argmax() == 99
    assert np.delete(steps, 99).max() < 1e-6
    without = follow(times, [], seen, CROP)
    holds(without)
    assert np.abs(np.diff(without.centres)).max() <= BOUNDS.speed * CROP / 25 + 1e-9


def test_the_future_is_known_so_it_sets_out_early() -> None:
    times = frames(10)
    places = [0.25 + 0.3 * max(0.0, min(2.0, at / T - 4)) for at in times]
    seen = [Seen(at, places[n], 0.08, 0.9) for n, at in enumerate(times) if n % 3 == 0]
    path = follow(times, [], seen, CROP, Bounds(speed=1.2, acceleration=0.6))
    holds(path, Bounds(speed=1.2, acceleration=0.6))
    assert inside(path, places, 0.08) >= 0.95


def test_a_long_shot_is_solved_in_windows_without_a_seam() -> None:
    seconds = 200
    times = frames(seconds)
    places = [0.5 + 0.3 * math.sin(at / T * 0.7) for at in times]
    seen = [Seen(at, places[n], 0.08, 0.9) for n, at in enumerate(times) if n % 3 == 0]
    path = follow(times, [], seen, CROP)
    holds(path)
    assert inside(path, places, 0.08) >= 0.99


def test_nothing_seen_is_the_middle_and_a_whole_picture_needs_no_way() -> None:
    assert set(follow(frames(2), [], [], CROP).centres) == {0.5}
    seen = [Seen(0, 0.1, 0.1, 1.0)]
    assert set(follow(frames(2), [], seen, 1.0).centres) == {0.5}
    assert list(follow([0], [], seen, CROP).centres) == [follow([0], [], seen, CROP).centres[0]]
    assert len(follow([], [], [], CROP).centres) == 0


def test_the_likeliest_way_passes_over_a_flash_and_finds_who_was_hidden() -> None:
    seen = [Seen(n * T // 8, 0.3 + 0.005 * n, 0.1, 0.6) for n in range(40) if not 15 <= n < 22]
    seen += [Seen(n * T // 8, 0.9, 0.05, 1.0) for n in (4, 5, 17, 18, 30)]
    chosen = choose(seen)
    assert all(one.centre < 0.6 for one in chosen)
    assert len(chosen) >= 32
    # Somebody else takes over for good: then it is worth going there.
    later = [Seen(n * T // 8, 0.85, 0.1, 0.9) for n in range(40, 90)]
    assert choose(seen + later)[-1].centre == 0.85
