"""Edit lists as arithmetic: where pieces lie, what a part of a clip shows, chapters that follow."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from catalog.pieces import Piece, Placed, carried, laid, shown

EDITS = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(0, 1000), st.integers(1, 500)).map(
        lambda t: [t[0], t[1], t[1] + t[2]]
    ),
    min_size=1,
    max_size=6,
)
SECOND = 90_000


def test_pieces_lie_end_to_end_unless_it_is_known_better() -> None:
    edits = [["a", 100, 200], ["b", 50, 80]]
    assert laid(edits, {}) == [Placed("a", 100, 200, 0), Placed("b", 50, 80, 100)]
    known = {"pieces": [[300, "a", 102, 198], [396, "b", 50, 78]]}
    assert [(p.at, p.until) for p in laid(edits, known)] == [(300, 396), (396, 424)]


def test_a_part_shows_parts_of_the_pieces_it_lies_over() -> None:
    placed = laid([["a", 100, 200], ["b", 50, 80], ["a", 0, 10]], {})
    assert shown(placed, 90, 135) == [Piece("a", 190, 200), Piece("b", 50, 80), Piece("a", 0, 5)]
    assert shown(placed, 100, 101) == [Piece("b", 50, 51)]
    assert shown(placed, 140, 900) == []


@given(EDITS, st.integers(0, 2000), st.integers(0, 2000), st.integers(0, 2000))
def test_two_parts_show_what_the_whole_shows(
    edits: list[list[object]], a: int, b: int, c: int
) -> None:
    first, cut, last = sorted((a, b, c))
    placed = laid(edits, {})

    def ticks(start: int, end: int) -> list[tuple[str, int]]:
        return [(p.source, t) for p in shown(placed, start, end) for t in range(p.start, p.end)]

    assert ticks(first, cut) + ticks(cut, last) == ticks(first, last)
    length = placed[-1].until
    assert len(ticks(first, last)) == max(0, min(last, length) - min(first, length))


def test_chapters_are_the_sources_own_where_they_have_some() -> None:
    placed = laid([["a", 10 * SECOND, 40 * SECOND], ["b", 0, 20 * SECOND]], {})
    acts = [(0, 15 * SECOND, "开场"), (15 * SECOND, 40 * SECOND + 5, "舞蹈")]
    assert carried(placed, {"a": acts}, {"b": "采茶歌"}) == [
        (0, 5 * SECOND, "开场"),
        (5 * SECOND, 30 * SECOND, "舞蹈"),
        (30 * SECOND, 50 * SECOND, "采茶歌"),
    ]
    # What is left of an act at a cut is not worth a line.
    late = laid([["a", 15 * SECOND - 100, 20 * SECOND]], {})
    assert carried(late, {"a": acts}, {}) == [(100, 5 * SECOND + 100, "舞蹈")]
