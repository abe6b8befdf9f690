"""The lattice of all ways to cut a programme into acts, and the best way through it. Pure.

States are the candidates, before an act and behind one, by how many entries of the list are used
up. A stretch between two candidates is worth the logarithm of how well it explains what is known.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from vod.acts.cues import BETWEEN, EDGE, TUNE, WORDS, Array, Cues
from vod.acts.grid import CELLS_PER_SECOND

NEVER: Final = -1e9
_ALL: Final = slice(None)

_ACT_COST: Final = -6.0
_UNLISTED: Final = -15.0
_DROPPED: Final = -12.0
_NO_PAUSE: Final = -3.5
"""An act that follows the one before without anything in between."""
_WORDS_SHARE: Final = 0.15
_LEAST, _MOST = 15 * CELLS_PER_SECOND, 2 * 3600 * CELLS_PER_SECOND
_GAP_MOST: Final = 3 * 3600 * CELLS_PER_SECOND
_INTERLUDE: Final = -6.0
"""An intermission: the slate or an empty stage between two acts."""
_LENGTHS: Final = {
    TUNE: (180.0, 0.7),
    WORDS: (300.0, 0.6),
    BETWEEN: (22.0, 0.7),
    EDGE: (600.0, 1.0),
}
"""Median in seconds and spread (of the logarithm) of a stretch's length."""
_LISTED_SPREAD: Final = 0.3
ABOUT_SPREAD: Final = 60.0
"""Seconds by which a listed time is off, once all are shifted alike."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of the programme list; times in cells, None where the list does not say."""

    about: float | None = None
    length: float | None = None
    words: float = _WORDS_SHARE
    """How likely it is an act of words."""


@dataclass(frozen=True, slots=True)
class Fixed:
    """An act a person has confirmed: [start, end) in cells, and which entry it is."""

    start: int
    end: int
    entry: int | None = None


Path = list[tuple[int, int, int | None]]
"""(index of the start, index of the end, entry) of each act."""


@dataclass(slots=True)
class _Sums:
    """Scores of standing at a candidate: before an act, and behind one; by entries used up."""

    before: Array
    behind: Array


@dataclass(slots=True)
class Lattice:
    cues: Cues
    entries: Sequence[Entry]
    fixed: Sequence[Fixed]
    step: Callable[[], None]
    offset: float | None = None
    spread: float = ABOUT_SPREAD * CELLS_PER_SECOND
    points: NDArray[np.int64] = field(init=False)
    _taken: NDArray[np.int64] = field(init=False)
    _lead: Array = field(init=False)
    _tail: Array = field(init=False)
    _start: Array = field(init=False)
    _end: Array = field(init=False)
    _listed: Array = field(init=False)
    """Of each entry, and of an act that is none: chance of words, length, time, cost."""

    def __post_init__(self) -> None:
        cells = self.cues.cells
        inside = np.zeros(cells + 1, np.int64)
        edges = {0, cells}
        for act in self.fixed:
            inside[act.start + 1 : act.end] = 1
            edges |= {act.start, act.end}
        points = set(self.cues.candidates[inside[self.cues.candidates] == 0].tolist())
        self.points = np.array(sorted(points | edges), np.int64)
        taken = np.zeros(cells + 1, np.int64)
        for act in self.fixed:
            taken[act.start + 1 : act.end + 1] = 1
        self._taken = np.cumsum(taken)
        last = np.minimum(self.points, cells - 1)
        self._start = np.sum([values[last] for values in self.cues.starts.values()], axis=0)
        self._end = np.sum([values[last] for values in self.cues.ends.values()], axis=0)
        self._start[self.points == cells] = NEVER
        self._end[self.points == cells] = 0
        other = Entry(), _ACT_COST + (_UNLISTED if self.entries else 0.0)
        rows = [*((entry, _ACT_COST) for entry in self.entries), other]
        self._listed = np.array(
            [[e.words, e.length or np.nan, np.nan if e.about is None else e.about, cost]
             for e, cost in rows]
        ).T  # fmt: skip
        self._lead, self._tail = self._outside()

    # -- what stretches are worth

    def _sum(
        self, kind: int, first: NDArray[np.int64] | int, last: NDArray[np.int64] | int
    ) -> Array:
        within = self.cues.within[:, kind]
        worth: Array = np.asarray(within[last] - within[first], np.float64)
        return worth

    def _free(self, first: NDArray[np.int64] | int, last: NDArray[np.int64] | int) -> Array:
        """0 where no confirmed act lies in between, NEVER where one does."""
        return np.where(self._taken[last] - self._taken[first] > 0, NEVER, 0.0)

    def _outside(self) -> tuple[Array, Array]:
        """The best worth of all before each candidate, and of all behind it, without any act."""
        points, cells = self.points, self.cues.cells
        lead, tail = np.empty(len(points)), np.empty(len(points))
        edge_in = self._sum(EDGE, 0, points) + self._free(0, points)
        edge_out = self._sum(EDGE, points, cells) + self._free(points, cells)
        for at, point in enumerate(points):
            lead[at] = max(
                edge_in[at], (edge_in[: at + 1] + self._between(points[: at + 1], point)).max()
            )
            tail[at] = max(edge_out[at], (edge_out[at:] + self._between(point, points[at:])).max())
        return lead, tail

    def _between(self, first: NDArray[np.int64] | int, last: NDArray[np.int64] | int) -> Array:
        length = np.asarray(last) - np.asarray(first)
        talk, rest = (
            self._sum(kind, first, last) + _length_worth(length, *_LENGTHS[kind])
            for kind in (BETWEEN, EDGE)
        )
        worth = np.maximum(talk, rest + _INTERLUDE) + self._free(first, last)
        return np.where(length == 0, _NO_PAUSE, np.where(length > _GAP_MOST, NEVER, worth))

    def _acts(self, first: int, at: int, columns: slice | list[int] = _ALL) -> Array:
        """Worth of an act from each candidate in [first, at) to ``at``: a column for each entry,
        and behind them one for an act that is not listed; or only some ``columns`` of these."""
        begin, end = self.points[first:at], int(self.points[at])
        length = end - begin
        listed = self._listed[:, columns]
        words, lengths, abouts, cost = listed[0], listed[1], listed[2], listed[3]
        usual, plain = [
            np.stack([self._sum(kind, begin, end) + bonus for kind, bonus in pairs])
            for pairs in (
                [(kind, _length_worth(length, *_LENGTHS[kind])) for kind in (TUNE, WORDS)],
                [(TUNE, 0.0), (WORDS, 0.0)],
            )
        ]
        known = ~np.isnan(lengths)
        tune, spoken = (
            np.where(known, plain[kind][:, None], usual[kind][:, None]) for kind in (0, 1)
        )
        made = np.maximum(tune + np.log(1 - words), spoken + np.log(words)) + cost
        fits = np.log(length[:, None] / np.where(known, lengths, 1)) / _LISTED_SPREAD
        made -= np.where(known, 0.5 * np.square(fits), 0)
        if self.offset is not None:
            off = (begin[:, None] - abouts - self.offset) / self.spread
            made -= np.where(np.isnan(abouts), 0, 2 * np.log1p(np.square(off) / 2))
        short = (length < _LEAST) | (length > _MOST)
        made += np.where(short, NEVER, self._free(begin, end))[:, None]
        for act in self.fixed:
            if act.end == end and (row := np.flatnonzero(begin == act.start)).size:
                mine = np.full(self._listed.shape[1], NEVER)
                mine[-1 if act.entry is None else act.entry] = 0.0
                made[row[0]] = mine[columns]
        return np.asarray(made, np.float64)

    # -- the recursion

    def _forward(self, *, soft: bool) -> _Sums:
        """The best (or, ``soft``, the summed) worth of every state, candidate by candidate."""
        count, listed = len(self.points), len(self.entries)
        sums = _Sums(np.full((count, listed + 1), NEVER), np.full((count, listed + 1), NEVER))
        join = np.logaddexp if soft else np.maximum
        for at in range(count):
            self.step()
            first = int(np.searchsorted(self.points, self.points[at] - _MOST))
            if first < at:
                acts = self._acts(min(first, at - 1), at)
                came = sums.before[at - len(acts) : at]
                sums.behind[at] = _total(came + acts[:, -1:], soft)
                if listed:
                    used = _total(came[:, :-1] + acts[:, :-1], soft)
                    sums.behind[at, 1:] = join(sums.behind[at, 1:], used)
                sums.behind[at] += self._end[at]
            low = int(np.searchsorted(self.points, self.points[at] - _GAP_MOST))
            gaps = self._between(self.points[low : at + 1], int(self.points[at]))
            here = _total(sums.behind[low : at + 1] + gaps[:, None], soft)
            here[0] = join(here[0], self._lead[at])
            here += self._start[at]
            for k in range(listed):
                here[k + 1] = join(here[k + 1], here[k] + _DROPPED)
            sums.before[at] = here
        return sums

    def best(self) -> Path:
        """The best path; empty when a programme without acts is likelier."""
        return self._back(self._forward(soft=False), None)

    def draw(self, count: int) -> list[Path]:
        """Paths drawn by their likelihood; the same ones every time."""
        sums = self._forward(soft=True)
        dice = np.random.default_rng(0)
        return [self._back(sums, dice) for _ in range(count)]

    def _back(self, sums: _Sums, dice: np.random.Generator | None) -> Path:
        listed = len(self.entries)
        left = _DROPPED * (listed - np.arange(listed + 1))
        ends = sums.behind + self._tail[:, None] + left
        nothing = float(self._sum(EDGE, 0, self.cues.cells)) + _DROPPED * listed
        if self.fixed:
            nothing = NEVER
        chosen = _pick(np.append(ends.ravel(), nothing), dice)
        path: Path = []
        self.step()
        if chosen == ends.size:
            return path
        at, k = divmod(chosen, listed + 1)
        while True:
            i, entry = self._back_act(sums, at, k, dice)
            k = k if entry is None else entry
            path.append((i, at, entry))
            behind = self._back_gap(sums, i, k, dice)
            if behind is None:
                return path[::-1]
            at, k = behind

    def _back_act(
        self, sums: _Sums, at: int, k: int, dice: np.random.Generator | None
    ) -> tuple[int, int | None]:
        """Where the act that ends here began, and which entry it is."""
        first = min(int(np.searchsorted(self.points, self.points[at] - _MOST)), at - 1)
        # Entry k - 1, and one that is not listed, which stands behind all entries.
        acts, came = self._acts(first, at, [k - 1, len(self.entries)]), sums.before[first:at]
        unlisted = came[:, k] + acts[:, 1]
        used = came[:, k - 1] + acts[:, 0] if k else np.full(len(acts), NEVER)
        chosen = _pick(np.concatenate([used, unlisted]), dice)
        entry = k - 1 if chosen < len(acts) else None
        return first + chosen % len(acts), entry

    def _back_gap(
        self, sums: _Sums, at: int, k: int, dice: np.random.Generator | None
    ) -> tuple[int, int] | None:
        """The end of the act before the stretch that ends here; None: it is the first."""
        low = int(np.searchsorted(self.points, self.points[at] - _GAP_MOST))
        gaps = self._between(self.points[low : at + 1], int(self.points[at]))
        while True:
            came = sums.behind[low : at + 1, k] + gaps
            lead = self._lead[at] if k == 0 else NEVER
            dropped = sums.before[at, k - 1] + _DROPPED - self._start[at] if k else NEVER
            chosen = _pick(np.concatenate([came, [lead, dropped]]), dice)
            if chosen < len(came):
                return low + chosen, k
            if chosen == len(came):
                return None
            k -= 1

    # -- why

    def reasons(self, i: int, j: int, k: int | None) -> list[tuple[str, float]]:
        """What speaks for an act beginning at candidate i: (code, share of all that does)."""
        at = min(int(self.points[i]), self.cues.cells - 1)
        worth = {code: float(values[at]) for code, values in self.cues.starts.items()}
        if k is not None:
            entry = self.entries[k]
            listed = 0.5
            if entry.about is not None and self.offset is not None:
                off = (at - entry.about - self.offset) / self.spread
                listed += 2.0 / (1 + off * off)
            if entry.length is not None:
                spread = np.log((self.points[j] - at) / entry.length) / _LISTED_SPREAD
                listed += 1.5 / (1 + float(spread) ** 2)
            worth["listed"] = listed
        worth = {code: value for code, value in worth.items() if value > 0.15}
        total = sum(worth.values()) or 1.0
        ranked = sorted(worth.items(), key=lambda item: -item[1])
        return [(code, value / total) for code, value in ranked]


def _length_worth(cells: Array | NDArray[np.int64], median: float, spread: float) -> Array:
    """How usual a length is: the exponent of a log-normal law."""
    seconds = np.maximum(cells, 1) / CELLS_PER_SECOND
    worth: Array = -0.5 * np.square(np.log(seconds / median) / spread)
    return worth


def _total(values: Array, soft: bool) -> Array:
    """The best of each column, or the logarithm of its sum."""
    top = values.max(axis=0)
    if not soft:
        return np.asarray(top)
    total: Array = top + np.log(np.exp(values - top).sum(axis=0))
    return total


def _pick(values: Array, dice: np.random.Generator | None) -> int:
    """The best one's index, or one by its likelihood."""
    if dice is None:
        return int(values.argmax())
    chance = np.cumsum(np.exp(values - values.max()))
    return int(np.searchsorted(chance, dice.random() * chance[-1]))
