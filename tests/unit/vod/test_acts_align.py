"""The aligner: exact where the cues are, and never outside its bounds whatever they are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.acts import cells, observed
from vod.acts import keeping
from vod.acts.align import Found, align
from vod.acts.cues import Observed, gather
from vod.acts.kinds import APPLAUSE, KINDS, MUSIC, SILENCE, SONG, SPEECH
from vod.acts.lattice import Entry, Fixed

Shows = tuple[list[tuple[int, float]], list[tuple[int, int]]]


@st.composite
def shows(draw: st.DrawFn) -> Shows:
    """(what is heard, the acts as (start, end) cells): host, silence, act, applause, silence …"""
    runs: list[tuple[int, float]] = [(SILENCE, draw(st.integers(2, 20)))]
    acts = []
    for _ in range(draw(st.integers(1, 6))):
        runs += [(SPEECH, draw(st.integers(10, 40))), (SILENCE, draw(st.sampled_from([1, 2.5])))]
        start = sum(cells(seconds) for _, seconds in runs)
        runs.append((draw(st.sampled_from([MUSIC, SONG])), draw(st.integers(70, 400))))
        runs.append((APPLAUSE, draw(st.integers(5, 12))))
        acts.append((start, sum(cells(seconds) for _, seconds in runs)))
        runs.append((SILENCE, draw(st.sampled_from([1, 2.5]))))
    runs.append((SPEECH, draw(st.integers(10, 30))))
    return runs, acts


def spans(found: list[Found]) -> list[tuple[int, int]]:
    return [(act.start, act.end) for act in found]


@settings(max_examples=15, deadline=None)
@given(shows())
def test_exact_cues_give_exact_acts(show: Shows) -> None:
    runs, acts = show
    found = align(gather(observed(runs)))
    assert spans(found) == acts
    assert all(act.confidence > 0.8 for act in found)
    assert {"host", "silence"} <= {code for act in found for code, _ in act.reasons}


@settings(max_examples=15, deadline=None)
@given(shows(), st.data())
def test_a_list_names_the_acts_in_order(show: Shows, data: st.DataObject) -> None:
    runs, acts = show
    late = data.draw(st.integers(-600, 600))
    entries = [
        Entry(about=start + cells(late + data.draw(st.integers(-20, 20)))) for start, _ in acts
    ]
    found = align(gather(observed(runs)), entries)
    assert spans(found) == acts
    assert [act.entry for act in found] == list(range(len(acts)))


@settings(max_examples=20, deadline=None)
@given(
    st.integers(0, 2000), st.integers(0, 1 << 30), st.integers(0, 5),
    st.lists(st.integers(0, 1200), max_size=4),
)  # fmt: skip
def test_whatever_the_cues_acts_are_in_order_and_inside(
    length: int, seed: int, listed: int, marks: list[int]
) -> None:
    dice = np.random.default_rng(seed)
    noise = observed([(SILENCE, length / 4)])
    chances = dice.dirichlet(np.full(len(KINDS), 0.3), length).astype(np.float32)
    rows = dice.uniform(0, 60, noise.rows.shape).astype(np.float32)
    some = Observed(
        dice.uniform(-80, -10, length).astype(np.float32), chances,
        dice.standard_normal(noise.voice.shape).astype(np.float32), rows,
        dice.random(length) < 0.9, dice.random(length) < 0.8,
        np.flatnonzero(dice.random(length) < 0.05),
    )  # fmt: skip
    cues = gather(some, [mark for mark in marks if mark < length])
    found = align(cues, [Entry()] * listed)
    edges = [edge for act in found for edge in (act.start, act.end)]
    assert edges == sorted(edges)
    assert all(0 <= act.start < act.end <= length for act in found)
    numbers = [act.entry for act in found if act.entry is not None]
    assert numbers == sorted(set(numbers))
    assert all(0 <= act.confidence <= 1 for act in found)
    for act in found:
        assert not act.reasons or sum(w for _, w in act.reasons) == pytest.approx(1)


THREE = [
    (SILENCE, 10.0), (SPEECH, 20.0), (SILENCE, 1.0), (MUSIC, 200.0), (APPLAUSE, 8.0),
    (SPEECH, 20.0), (SILENCE, 1.0), (SONG, 180.0), (APPLAUSE, 8.0),
    (SPEECH, 20.0), (SILENCE, 1.0), (MUSIC, 240.0), (APPLAUSE, 8.0), (SPEECH, 10.0),
]  # fmt: skip
STARTS = [31, 260, 469]
"""Seconds."""


def test_confirmed_acts_stand_and_hold_the_others() -> None:
    # Somebody made one act of the second and third, and cut the first where nothing is heard.
    fixed = [Fixed(cells(50), cells(120), 0), Fixed(cells(STARTS[1]), cells(710), 2)]
    found = align(gather(observed(THREE)), [Entry()] * 3, fixed)
    assert [(act.start, act.end, act.entry) for act in found if act.fixed] == [
        (act.start, act.end, act.entry) for act in fixed
    ]
    assert all(act.confidence == 1 for act in found if act.fixed)
    spans_ = spans(found)
    assert spans_ == sorted(spans_)
    assert all(before[1] <= after[0] for before, after in pairwise(spans_))


def test_an_act_that_fell_out_and_one_nobody_listed() -> None:
    times = [0, 100, 229, 438]
    entries = [Entry(about=cells(second)) for second in times]
    found = align(gather(observed(THREE)), entries)
    assert [act.start for act in found] == [cells(second) for second in STARTS]
    assert [act.entry for act in found] == [0, 2, 3], "the second of four was not performed"
    found = align(gather(observed(THREE)), [Entry(about=0), Entry(about=cells(438))])
    assert [act.entry for act in found] == [0, None, 1], "the one between is not on the list"


def test_a_mark_decides_where_nothing_is_heard() -> None:
    # Two tunes without a word or a pause between them.
    runs = [(SILENCE, 5.0), (MUSIC, 150.0), (APPLAUSE, 5.0), (SILENCE, 2.0), (MUSIC, 170.0)]
    plain = [(SILENCE, 5.0), (MUSIC, 330.0), (APPLAUSE, 6.0)]
    assert len(align(gather(observed(plain)))) == 1
    marked = align(gather(observed(plain), [cells(158)]))
    assert len(marked) == 2
    assert abs(marked[1].start - cells(155)) <= cells(4)
    assert marked[1].reasons[0][0] == "mark"
    two = align(gather(observed(runs), [cells(166)]))
    assert [act.start for act in two] == [cells(5), cells(162)], "the pause, not the press"


def test_what_was_observed_is_kept() -> None:
    one = observed(THREE)
    again = keeping.unpack(keeping.pack(one))
    assert again is not None
    assert spans(align(gather(again))) == spans(align(gather(one)))
    assert keeping.unpack(b"half a file") is None
