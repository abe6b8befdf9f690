"""What is heard in a cut, to the sample: runs of coded frames on the clip's own timeline.

Pure. A run is coded frames one behind the other; a hole in the feed, or a frame that is not where
the count of samples says, begins another. Times are samples of the cut's rate from its beginning.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from transcode.hls.head import TIMESCALE
from vod.reordering import Ints

SLACK_SECONDS: Final = 0.008
"""How far a frame's time may be from where the count of samples puts it."""
FADE_SECONDS: Final = 0.005
MAX_RUNS: Final = 500
"""In one part; more means that its times are no use, and only larger departures count."""
_LOOSE_SECONDS: Final = 0.1


@dataclass(frozen=True, slots=True)
class Run:
    """Coded frames ``first`` <= i < ``stop`` of one table, and what of them is heard.

    The first one's sound begins at ``at``; from ``begin`` to ``end`` it is heard, fading in at the
    one and out at the other.
    """

    source: int
    """Which table."""
    first: int
    stop: int
    at: int
    begin: int
    end: int

    def fade(self, rate: int) -> int:
        """Samples that it fades over at either end."""
        return min(round(FADE_SECONDS * rate), (self.end - self.begin) // 2)


def find_runs(times: Ints, frame: int, rate: int) -> list[tuple[int, int]]:
    """Runs of coded frames as (first, stop). ``times`` are samples, at ``rate`` a second, and
    ``frame`` of them a coded frame."""
    for slack in (SLACK_SECONDS, _LOOSE_SECONDS):
        found: list[tuple[int, int]] = []
        first = 0
        while first < len(times):
            count = np.arange(len(times) - first)
            off = np.abs(times[first:] - times[first] - count * frame) > slack * rate
            size = int(off.argmax()) if off.any() else len(off)
            found.append((first, first + size))
            first += size
            if len(found) > MAX_RUNS:
                break
        if len(found) <= MAX_RUNS:
            break
    return found


@dataclass(frozen=True, slots=True)
class Span:
    """Where a piece lies: its ``first`` tick in the source, its length, its place in the cut."""

    first: int
    length: int
    at: int

    def samples(self, rate: int) -> tuple[int, int]:
        """Its first sample in the cut, and the one behind its last."""
        return to_samples(self.at, rate), to_samples(self.at + self.length, rate)


def to_samples(ticks: int, rate: int) -> int:
    return (ticks * rate * 2 + TIMESCALE) // (2 * TIMESCALE)


def place_runs(
    source: int, times: Ints, frame: int, rate: int, span: Span, out_rate: int
) -> list[Run]:
    """The runs of a table that are heard in a piece. ``times`` and ``frame`` are samples of the
    source's ``rate``."""
    begin, end = span.samples(out_rate)
    placed = []
    for first, stop in find_runs(times, frame, rate):
        # Rounded time stamps: the middle of what they say about the first one.
        offsets = times[first:stop] - np.arange(stop - first) * frame
        start = int(np.median(offsets))
        at = round((start * TIMESCALE - span.first * rate) * out_rate / (rate * TIMESCALE))
        at += to_samples(span.at, out_rate)
        length = (stop - first) * frame * out_rate // rate
        run = Run(source, first, stop, at, max(begin, at), min(end, at + length))
        if run.begin < run.end:
            placed.append(run)
    return placed


def in_turn(runs: list[Run]) -> list[Run]:
    """Runs in order, none heard while another still is: the earlier one goes on to its end."""
    kept: list[Run] = []
    for run in sorted(runs, key=lambda run: (run.begin, run.end)):
        begin = max(run.begin, kept[-1].end) if kept else run.begin
        if begin < run.end:
            kept.append(replace(run, begin=begin))
    return kept
