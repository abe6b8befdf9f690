"""The board: the window of a broadcast, part by part and slot by slot."""

from __future__ import annotations

import pytest

from transcode.hls.head import TIMESCALE, HeadPart, decode_head, encode_head
from transcode.live.board import PARTS_KEPT_TARGETS, WINDOW_SECONDS, Board, Rung, SlotNote

NOW_US = 1_770_000_000_000_000
SECOND = TIMESCALE


def rung(name: str, height: int | None = None, **other: int) -> Rung:
    return Rung(
        name=name,
        kind="video" if height else "audio",
        codecs="avc1.64001f,mp4a.40.2" if height else "mp4a.40.2",
        width=height * 16 // 9 if height else None,
        height=height,
        frame_rate=25.0 if height else None,
        bandwidth=other.get("bandwidth", 1_000_000),
        average_bandwidth=900_000,
        init=other.get("init", 0),
    )


def part(number: int = 0) -> HeadPart:
    return HeadPart(SECOND // 2, 1000, number * 1000, independent=number == 0)


@pytest.fixture
def board() -> Board:
    made = Board("token", target_duration=2, part_target_us=500_000)
    for each in (rung("a"), rung("v360", 360), rung("v720", 720)):
        made.put_rung(each)
    return made


def slot(
    board: Board, seconds: float = 2, *, disc: bool = False, without: tuple[str, ...] = ()
) -> SlotNote:
    """The next slot, made by all rungs but some."""
    dur = round(seconds * SECOND)
    rungs = {name: (dur, 0, [part(0)]) for name in board.rungs if name not in without}
    return SlotNote(board.next_msn, dur, NOW_US + board.next_msn * 2_000_000, disc, 1, rungs)


def windows(board: Board) -> set[tuple[int, ...]]:
    """Numbers listed, by rung: one set of them when all agree."""
    return {tuple(s.msn for s in each.segments) for each in board.rungs.values()}


def test_parts_of_later_segments_wait_for_their_turn(board: Board) -> None:
    assert board.add_part("v720", 0, part(0))
    assert not board.add_part("v720", 1, part(0))
    assert not board.add_part("v720", 2, part(0))
    assert not board.add_part("v720", 1, part(1))
    assert board.rungs["v720"].parts == [part(0)]
    assert board.published() == {"v720": [part(0)]}
    board.add_slot(slot(board))
    assert board.rungs["v720"].parts == [part(0), part(1)]
    assert board.open_has_parts
    board.add_slot(slot(board))
    assert board.rungs["v720"].parts == [part(0)]
    board.add_slot(slot(board))
    assert not board.open_has_parts


def test_parts_of_a_segment_that_is_listed_are_too_late(board: Board) -> None:
    board.add_slot(slot(board))
    assert not board.add_part("a", 0, part())
    board.add_slot(slot(board))
    assert board.published() == {}


def test_what_waits_is_forgotten_before_another_run(board: Board) -> None:
    board.add_part("a", 0, part())
    board.add_part("a", 1, part())
    board.drop_waiting()
    board.add_slot(slot(board))
    assert board.published() == {}


def test_a_segment_lists_the_parts_of_its_own_file(board: Board) -> None:
    """After a restart the bytes were made anew: other sizes than those announced."""
    board.add_part("v720", 0, HeadPart(2 * SECOND, 5, 0, independent=True))
    board.add_part("v360", 0, part(0))
    board.add_slot(slot(board, without=("v360",)))
    assert board.rungs["v720"].segments[0].parts == [part(0)]
    # A rung that was given up in the middle of a segment has told players of these.
    assert board.rungs["v360"].segments[0].parts == [part(0)]


def test_parts_are_kept_for_the_last_segments_only(board: Board) -> None:
    for _ in range(3):
        board.add_slot(slot(board, 2))
    for _ in range(2 * PARTS_KEPT_TARGETS):
        board.add_slot(slot(board, 1))
    with_parts = [bool(s.parts) for s in board.rungs["v360"].segments]
    assert with_parts == [False] * 3 + [True] * 2 * PARTS_KEPT_TARGETS


def test_the_window_is_trimmed_alike_in_all_rungs(board: Board) -> None:
    for index in range(50):
        board.add_slot(slot(board, 2 if index % 2 else 1.5))
        (listed,) = windows(board)
        assert listed[0] == board.media_sequence
        assert listed[-1] == index == board.next_msn - 1
        length = sum(s.dur for s in board.rungs["a"].segments)
        first = board.rungs["a"].segments[0].dur
        if board.media_sequence:
            assert length >= WINDOW_SECONDS * SECOND > length - first
    assert board.media_sequence > 10


def test_discontinuities_are_counted_as_they_leave(board: Board) -> None:
    seen = []
    for index in range(80):
        board.add_slot(slot(board, disc=index in (1, 5, 6)))
        seen.append(board.discontinuity_sequence)
        inside = sum(s.disc for s in board.rungs["v720"].segments)
        assert board.discontinuity_sequence + inside == sum(i <= index for i in (1, 5, 6))
    assert seen == sorted(seen)
    assert seen[-1] == 3


def test_a_rung_that_is_given_up_goes_on_as_gaps(board: Board) -> None:
    board.add_slot(slot(board))
    board.only({"v720", "a"})
    assert [each.on for each in board.rungs.values()] == [True, False, True]
    board.add_slot(slot(board, without=("v360",)))
    assert [s.gap for s in board.rungs["v360"].segments] == [False, True]
    assert [s.gap for s in board.rungs["v720"].segments] == [False, False]
    assert board.rungs["v360"].segments[1].dur == 2 * SECOND
    assert len(windows(board)) == 1


def test_a_rung_that_comes_later_begins_with_gaps(board: Board) -> None:
    for index in range(3):
        board.add_slot(slot(board, disc=index == 1))
    board.put_rung(rung("v1080", 1080))
    late = board.rungs["v1080"]
    assert [(s.msn, s.gap, s.disc) for s in late.segments] == [
        (0, True, False), (1, True, True), (2, True, False),
    ]  # fmt: skip
    board.add_slot(slot(board))
    assert [s.gap for s in late.segments] == [True, True, True, False]
    assert len(windows(board)) == 1


def test_a_rung_described_anew_keeps_its_segments(board: Board) -> None:
    board.add_slot(slot(board))
    board.only(set())
    board.put_rung(rung("v720", 576, init=2, bandwidth=10))
    known = board.rungs["v720"]
    assert (known.height, known.init, known.on) == (576, 2, True)
    assert known.bandwidth == 1_000_000, "BANDWIDTH is the peak of all there was"
    assert len(known.segments) == 1


def test_the_next_segment_opens_where_the_last_one_ended(board: Board) -> None:
    board.open_segment(pdt_us=NOW_US, discontinuity=True)
    head = board.head(NOW_US)
    assert all(r.open_discontinuity and r.open_pdt_us == NOW_US for r in head.renditions)
    board.add_slot(slot(board, 1.5, disc=True))
    assert (board.open_discontinuity, board.open_pdt_us) == (False, NOW_US + 1_500_000)
    assert board.newest is not None
    assert board.newest.msn == 0


def test_each_head_is_newer_than_the_last(board: Board) -> None:
    versions = [board.head(at).version for at in (NOW_US, NOW_US + 5, NOW_US, NOW_US - 1_000_000)]
    assert versions == [NOW_US, NOW_US + 5, NOW_US + 6, NOW_US + 7]


def test_a_board_comes_back_from_its_head(board: Board) -> None:
    board.state = "live"
    for index in range(45):
        board.add_slot(slot(board, disc=index in (3, 40), without=("v360",) * (index > 41)))
    board.add_part("v720", board.next_msn, part(0))
    board.add_part("v720", board.next_msn + 1, part(0))
    board.open_segment(pdt_us=NOW_US, discontinuity=True)
    head = board.head(NOW_US)
    assert [r.name for r in head.renditions] == ["v720", "v360", "a"]
    again = Board.from_head(decode_head(encode_head(head)))
    assert again.published() == board.published()
    assert again.next_msn == board.next_msn
    after, before = again.head(NOW_US), board.head(NOW_US)
    assert after.version == before.version == head.version + 1
    assert after == before
    again.add_slot(slot(again))
    board.drop_waiting()
    board.add_slot(slot(board))
    assert again.head(NOW_US) == board.head(NOW_US)


def test_an_empty_board_can_be_published() -> None:
    head = Board("token", target_duration=2, part_target_us=500_000).head(NOW_US)
    assert (head.state, head.renditions) == ("waiting", [])
    assert Board.from_head(head).newest is None
