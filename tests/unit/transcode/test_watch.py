"""The watch over a run, second by second, without a process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from transcode.live.watch import RunWatch, Verdict


def judge(
    seconds: int,
    reached: Callable[[int], float | None],
    log: Callable[[int], int],
    waiting: Callable[[int], bool] = lambda _: False,
) -> tuple[int, Verdict] | None:
    """The first verdict that is not fine, and its second."""
    watch = RunWatch(1000.0)
    for second in range(seconds):
        verdict = watch.note(1000.0 + second, reached(second), log(second), waiting=waiting(second))
        if verdict != "fine":
            return second, verdict
    return None


def real_time(second: int) -> int:
    return second * 1000


@pytest.mark.parametrize(
    ("reached", "verdict"),
    [
        pytest.param(lambda s: s * 1000.0 - 700, None, id="keeps up"),
        pytest.param(lambda s: None if s < 8 else s * 1000.0, None, id="a late start"),
        pytest.param(lambda s: None, (13, "stalled"), id="never starts"),
        pytest.param(lambda s: min(s, 20) * 1000.0, (26, "stalled"), id="stands still"),
        pytest.param(lambda s: s * 500.0, (23, "slow"), id="half of real time"),
        pytest.param(lambda s: s * 1000.0 - 9_000, (10, "slow"), id="a lag that stays"),
        pytest.param(lambda s: s * 1000.0 - 5_000, None, id="a lag one can live with"),
    ],
)
def test_a_feed_in_real_time(
    reached: Callable[[int], float | None], verdict: tuple[int, Verdict] | None
) -> None:
    assert judge(60, reached, real_time) == verdict


@pytest.mark.parametrize("behind", [8_000, 60_000, 1_200_000])
@pytest.mark.parametrize("speed", [1.1, 2.0])
def test_catching_up_after_a_restart_is_no_slowness(behind: int, speed: float) -> None:
    found = judge(
        600, lambda s: min(s * speed * 1000, behind + s * 1000), lambda s: behind + s * 1000
    )
    assert found is None


def test_silence_of_the_encoder_is_not_ffmpegs() -> None:
    assert judge(300, lambda s: min(s, 10) * 1000.0, lambda s: min(s, 11) * 1000) is None
    # It had read nothing, for there was nothing.
    assert judge(300, lambda _: None, lambda _: 2_900) is None


def test_waiting_for_storage_is_not_counted() -> None:
    # From second 10 to 40 nothing can be registered; then it goes on where it was.
    def reached(second: int) -> float:
        return min(second, 10) * 1000.0 if second < 41 else second * 1000.0 - 1000

    assert judge(80, reached, real_time, lambda s: 10 <= s <= 40) is None
    # Patience begins anew after the wait: five seconds, and then it is FFmpeg's fault.
    stuck = judge(80, lambda s: min(s, 10) * 1000.0, real_time, lambda s: 10 <= s <= 40)
    assert stuck == (47, "stalled")
