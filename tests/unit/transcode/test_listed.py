"""Heads made from rows: which segments keep their parts, and where those lie."""

from __future__ import annotations

from dataclasses import dataclass, field

from transcode.hls.head import HeadPart
from transcode.hls.listed import head_segments

SECOND = 90_000


@dataclass(frozen=True)
class Row:
    msn: int
    duration_ticks: int = 2 * SECOND
    pdt_us: int = 7
    init_number: int = 1
    discontinuity: bool = False
    gap: bool = False
    run_id: int | None = 5
    parts: list[tuple[int, int, bool]] = field(
        default_factory=lambda: [
            (SECOND, 30, True),
            (SECOND // 2, 0, False),
            (SECOND // 2, 9, False),
        ]
    )


def test_parts_are_kept_for_four_target_durations() -> None:
    found = head_segments([Row(n) for n in range(20)], 3)
    assert [s.msn for s in found if s.parts] == [14, 15, 16, 17, 18, 19]
    assert found[-1].parts == [
        HeadPart(SECOND, 30, 0, True),
        HeadPart(SECOND // 2, 0, 30, gap=True),
        HeadPart(SECOND // 2, 9, 30),
    ]
    assert (found[0].run, found[0].init, found[0].dur, found[0].pdt_us) == (5, 1, 2 * SECOND, 7)


def test_a_slot_without_media() -> None:
    (made,) = head_segments([Row(4, init_number=-1, gap=True, run_id=None, parts=[])], 3)
    assert (made.gap, made.init, made.run, made.parts) == (True, 0, 0, [])
    assert head_segments([], 3) == []
