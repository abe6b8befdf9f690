"""Timestamps onto the take's timeline: rows 7, 8 and 9 of the reliability table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.timeline import Stamp, TimestampNormalizer

AUDIO, VIDEO, SCRIPT = 8, 9, 18


def run(stamps: list[tuple[int, int]], *, step: float = 0.04) -> list[Stamp]:
    line = TimestampNormalizer()
    return [line.push(kind, raw & 0xFFFFFFFF, i * step) for i, (kind, raw) in enumerate(stamps)]


def video(*stamps: int) -> list[tuple[int, int]]:
    return [(VIDEO, stamp) for stamp in stamps]


def times(found: list[Stamp]) -> list[int]:
    return [stamp.ts_ms for stamp in found]


def assert_sound(stamps: list[tuple[int, int]], found: list[Stamp]) -> None:
    """Never negative, never back within a track."""
    last: dict[int, int] = {}
    for (kind, _), stamp in zip(stamps, found, strict=True):
        assert stamp.ts_ms >= last.get(kind, 0)
        last[kind] = stamp.ts_ms


@pytest.mark.parametrize("start", [0, 5, 0xFFFFFF - 2000, (1 << 31) - 2000, (1 << 32) - 2000])
def test_starts_at_zero_and_goes_on_over_every_wrap(start: int) -> None:
    found = run(video(*(start + 40 * i for i in range(200))))
    assert times(found) == [40 * i for i in range(200)]
    assert not any(stamp.discontinuity for stamp in found)


def test_sender_that_masks_31_bits() -> None:
    start = (1 << 31) - 2000
    found = run(video(*((start + 40 * i) & 0x7FFFFFFF for i in range(200))))
    assert times(found) == [40 * i for i in range(200)]


def test_wraps_twice() -> None:
    stamps = video(*range(0, 3 << 32, 1_000_000))
    assert times(run(stamps, step=1000.0)) == [raw for _, raw in stamps]


def test_sound_and_picture_share_the_offset() -> None:
    found = run([(VIDEO, 1000), (AUDIO, 980), (AUDIO, 1003), (VIDEO, 1040), (AUDIO, 1026)])
    assert times(found) == [0, 0, 3, 40, 26]  # the sound before the first picture is lifted to 0


def test_small_step_back_is_lifted() -> None:
    found = run(video(0, 40, 80, 60, 120, 160))
    assert times(found) == [0, 40, 80, 80, 120, 160]
    assert not any(stamp.discontinuity for stamp in found)


@pytest.mark.parametrize("jump", [10_000, -10_000, 1_000_000, -2000])
def test_row_9_lasting_jump(jump: int) -> None:
    before = [100_000 + 40 * i for i in range(10)]
    after = [100_400 + jump + 40 * i for i in range(10)]
    found = run(video(*before, *after))
    assert times(found) == [40 * i for i in range(20)]
    assert [i for i, stamp in enumerate(found) if stamp.discontinuity] == [12]


@pytest.mark.parametrize("wild", [160_000, 40_000, 0, 1 << 31, 0xFFFFFFFF])
def test_row_9_one_wild_frame_moves_nothing(wild: int) -> None:
    stamps = video(*(100_000 + 40 * i for i in range(20)))
    stamps[10] = (VIDEO, wild)
    found = run(stamps)
    assert times(found) == [40 * i for i in range(20)]
    assert not any(stamp.discontinuity for stamp in found)


def test_two_wild_frames_that_disagree_with_a_third() -> None:
    stamps = video(*(40 * i for i in range(20)))
    stamps[10:13] = video(90_000, 90_040, 900_000)
    found = run(stamps)
    assert_sound(stamps, found)
    assert times(found)[13:] == [40 * i for i in range(13, 20)]
    assert not any(stamp.discontinuity for stamp in found)


@pytest.mark.parametrize("jump", [10_000, -10_000])
def test_sync_is_kept_over_a_jump(jump: int) -> None:
    stamps = []
    for i in range(100):
        base = 1000 + 40 * i + (jump if i >= 50 else 0)
        stamps += [(VIDEO, base + 20_000), (AUDIO, base + 20_007)]
    found = run(stamps, step=0.02)
    assert_sound(stamps, found)
    assert sum(stamp.discontinuity for stamp in found) == 1
    picture = found[-2].ts_ms
    assert found[-1].ts_ms - picture == 7
    assert abs(picture - 40 * 99) <= 40


def test_pause_that_the_clock_explains_is_no_jump() -> None:
    """The line was down for 7 s, the encoder's clock went on: the gap is true and is kept."""
    line = TimestampNormalizer()
    for i in range(5):
        line.push(VIDEO, 40 * i, 0.04 * i)
    assert line.push(VIDEO, 160 + 7000, 0.16 + 7.0) == Stamp(7160, False)


def test_headers_at_zero_then_frames_at_uptime() -> None:
    found = run(
        [
            (VIDEO, 0),
            (AUDIO, 0),
            (VIDEO, 0),
            (VIDEO, 3_600_000),
            (AUDIO, 3_600_010),
            (VIDEO, 3_600_040),
        ]
    )
    assert times(found) == [0, 0, 0, 0, 10, 40]
    assert not any(stamp.discontinuity for stamp in found)


def test_metadata_moves_nothing() -> None:
    stamps = [(SCRIPT, 99), *video(100_000, 100_040, 100_080), (SCRIPT, 0), (SCRIPT, 100_080)]
    stamps += video(100_120)
    assert times(run(stamps)) == [0, 0, 40, 80, 80, 80, 120]


def test_tracks_of_a_multitrack_feed_have_their_own_order() -> None:
    found = run([(VIDEO, 0), (VIDEO + 256, 0), (VIDEO, 40), (VIDEO + 256, 38), (VIDEO, 80)])
    assert times(found) == [0, 0, 40, 38, 80]


@given(
    st.lists(
        st.tuples(st.sampled_from([AUDIO, VIDEO, VIDEO + 256]), st.integers(0, 0xFFFFFFFF)),
        max_size=60,
    )
)
def test_any_timestamps_are_sound(stamps: list[tuple[int, int]]) -> None:
    assert_sound(stamps, run(stamps))


@given(st.lists(st.integers(-7000, 7000), max_size=80), st.integers(0, 0xFFFFFFFF))
def test_any_walk_is_sound_and_never_runs_away(steps: list[int], start: int) -> None:
    at = start
    stamps = []
    for i, step in enumerate(steps):
        at += step
        stamps.append((AUDIO if i % 3 else VIDEO, at & 0xFFFFFFFF))
    found = run(stamps)
    assert_sound(stamps, found)
    if found:
        assert found[-1].ts_ms <= 7000 * len(steps)
