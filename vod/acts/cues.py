"""Cues: what speaks for an act beginning or ending at a cell, and what lies between.

Pure. All weights are natural logarithms of odds; they are hand-set, few, and each says what it
means. Seconds are turned into cells here.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vod.acts.grid import CELLS_PER_SECOND
from vod.acts.kinds import APPLAUSE, MUSIC, SILENCE, SONG, SPEECH, runs_of, smooth
from vod.acts.picture import NAMES as SEEN_NAMES
from vod.acts.sound import Floats
from vod.acts.voices import changes

Array = NDArray[np.float64]

BETWEEN, TUNE, WORDS, EDGE = range(4)
"""What a stretch of a programme is: the host's, an act of music or song, an act of words, and what
comes before the show and after it."""

_SOUNDS: Final = np.array([
    # silence, speech, music, song, applause: how likely within each kind of stretch.
    (0.17, 0.66, 0.04, 0.02, 0.10),
    (0.03, 0.06, 0.46, 0.35, 0.10),
    (0.10, 0.72, 0.05, 0.03, 0.10),
    (0.30, 0.20, 0.26, 0.14, 0.10),
])  # fmt: skip
_APPLAUSE: Final = {
    # What stands before it and after it tells whose it is: it greets an act, or thanks for one.
    (SPEECH, MUSIC): (0.30, 0.03, 0.05, 0.10),
    (MUSIC, SPEECH): (0.04, 0.20, 0.12, 0.10),
    (MUSIC, SILENCE): (0.04, 0.20, 0.12, 0.10),
    (MUSIC, MUSIC): (0.06, 0.15, 0.05, 0.10),
}
_SIGHTS: Final = np.array([(0.04, 0.05), (0.005, 0.02), (0.005, 0.03), (0.20, 0.45)])
"""Black, and a still picture, likewise; all else is the rest."""
_WITNESS: Final = 0.12
"""How much of a witness a cell is: its neighbours hear the same two seconds."""

_BLACK_LUMA: Final = 22.0
_STILL: Final = 0.35
_STILL_CELLS: Final = 4 * CELLS_PER_SECOND
_PAUSE_CELLS: Final = 6 * CELLS_PER_SECOND
_NEAR: Final = 2 * CELLS_PER_SECOND
_FAR: Final = 8 * CELLS_PER_SECOND

START_WEIGHTS: Final = {
    "silence": 1.6, "black": 1.4, "shot": 0.4, "light": 0.7, "applause": 1.0, "host": 1.5,
    "music": 2.0,
}  # fmt: skip
END_WEIGHTS: Final = {"applause": 2.6, "silence": 0.8, "black": 0.8, "shot": 0.3, "host": 0.8}
MARK_WEIGHT: Final = 10.0
"""More than an act costs where nothing else speaks for it: a person was there."""
_MARK_SOON, _MARK_LATE, _MARK_FADE = -3.0, 12.0, 12.0
"""People press from a little before an act begins to some seconds after; all of that says the same,
so that what is heard decides where it begins, and what is further off says less and less."""
_MARK_USUAL: Final = 3.0
_MARK_NEAR: Final = 1.5
"""Worth of being just where one would have pressed: it decides where nothing else does."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A whole programme on the grid. Cells nobody recorded are silent and without a picture."""

    loud: Floats
    """dB of full scale, the loudest frame of each cell."""
    chances: Floats
    """(cells, kinds): how likely each kind of sound is (vod/acts/kinds.py)."""
    voice: Floats
    """Rows of vod/acts/voices.py."""
    rows: Floats
    """Rows of pictures (vod/acts/picture.py), one for each cell."""
    heard: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    """Cells with a picture."""
    cuts: NDArray[np.int64]
    """Cells in which another shot begins."""


@dataclass(frozen=True, slots=True)
class Cues:
    """What is known of each cell."""

    kinds: NDArray[np.int8]
    """The likeliest kind of sound (vod/acts/kinds.py)."""
    within: Array
    """(cells + 1, 4): running sum of how well each kind of stretch explains the cells."""
    starts: dict[str, Array]
    """What speaks for an act to begin at a cell, by code, weighted."""
    ends: dict[str, Array]
    candidates: NDArray[np.int64]
    """Cells at which an act may begin or end, in order."""

    @property
    def cells(self) -> int:
        return len(self.kinds)


def gather(observed: Observed, marks: Iterable[int] = (), *, most: int = 1400) -> Cues:
    """All cues of a programme; ``marks`` in cells; at most so many candidates."""
    chances = observed.chances.astype(np.float64)
    kinds = smooth(chances)
    black, still = _sights(observed)
    within = np.log(np.maximum(chances @ _SOUNDS.T, 1e-3))
    _place_applause(within, kinds)
    within[~observed.heard] = 0
    sight = np.where(black[:, None], _SIGHTS[:, 0], np.where(still[:, None], _SIGHTS[:, 1],
                     1 - _SIGHTS.sum(axis=1)))  # fmt: skip
    within += np.where(observed.seen[:, None], np.log(sight), 0)
    summed = np.concatenate([np.zeros((1, 4)), np.cumsum(within * _WITNESS, axis=0)])
    pauses = _pauses(observed, kinds)
    other = changes(observed.voice, chances[:, SPEECH])
    facts = _facts(chances, pauses, black, other, observed)
    starts = {code: weight * facts[f"start_{code}"] for code, weight in START_WEIGHTS.items()}
    ends = {code: weight * facts[f"end_{code}"] for code, weight in END_WEIGHTS.items()}
    pressed = sorted(marks)
    starts["mark"] = _marked(len(kinds), pressed)
    chosen = _candidates(kinds, pauses, black, still, observed, starts, ends, pressed, most)
    return Cues(kinds, summed, starts, ends, chosen)


def _place_applause(within: Array, kinds: NDArray[np.int8]) -> None:
    """Whose applause it is, by what is heard before and after it."""
    heard = np.where(kinds == SONG, MUSIC, kinds)
    runs = runs_of(heard)
    for number, (first, last, kind) in enumerate(runs):
        if kind != APPLAUSE:
            continue
        around = _neighbour(runs, number, -1), _neighbour(runs, number, 1)
        if (known := _APPLAUSE.get(around)) is not None:
            within[first:last] = np.log(known)


def _neighbour(runs: list[tuple[int, int, int]], number: int, step: int) -> int:
    """The kind of the run before or after one, past a short silence."""
    at = number + step
    while 0 <= at < len(runs):
        first, last, kind = runs[at]
        if kind != SILENCE or last - first >= _PAUSE_CELLS:
            return kind
        at += step
    return SILENCE


def _sights(observed: Observed) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """(black, still for some seconds) by cell."""
    luma = observed.rows[:, SEEN_NAMES.index("luma")]
    moved = observed.rows[:, SEEN_NAMES.index("moved")]
    black = (luma < _BLACK_LUMA) & (observed.rows[:, SEEN_NAMES.index("contrast")] < 12)
    # Key frames stir a still picture a little, every couple of seconds.
    usual = ndimage.percentile_filter(moved, 75, _STILL_CELLS, mode="nearest")
    calm = ndimage.binary_opening(usual < _STILL, np.ones(_STILL_CELLS))
    return black & observed.seen, calm & observed.seen & ~black


def _pauses(observed: Observed, kinds: NDArray[np.int8]) -> NDArray[np.bool_]:
    """Cells in which hardly anything is heard against the ten seconds around."""
    loud = observed.loud
    around = ndimage.percentile_filter(loud, 80, 10 * CELLS_PER_SECOND, mode="nearest")
    quiet: NDArray[np.bool_] = (loud < around - 18) | (loud < -60) | (kinds == SILENCE)
    return quiet


def _before(values: Array, cells: int) -> Array:
    """Mean of so many cells before each."""
    summed = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    first = np.maximum(0, at - cells)
    mean: Array = (summed[at] - summed[first]) / np.maximum(1, at - first)
    return mean


def _after(values: Array, cells: int) -> Array:
    """Mean of each cell and of those after it, so many in all."""
    summed = np.concatenate([[0.0], np.cumsum(values)])
    at = np.arange(len(values))
    last = np.minimum(len(values), at + cells)
    mean: Array = (summed[last] - summed[at]) / (last - at)
    return mean


def _facts(
    chances: Array, pauses: NDArray[np.bool_], black: NDArray[np.bool_], other: Array,
    observed: Observed,
) -> dict[str, Array]:  # fmt: skip
    """Each cue between 0 and 1, by cell; ``other``: another voice speaks from here on."""
    tune = chances[:, MUSIC] + chances[:, SONG]
    speech, clap = chances[:, SPEECH], chances[:, APPLAUSE]
    quiet = pauses.astype(np.float64)
    shots = np.zeros(len(tune))
    shots[observed.cuts[observed.cuts < len(tune)]] = 1
    shot = ndimage.maximum_filter1d(shots, 7)
    dark = black.astype(np.float64)
    second = CELLS_PER_SECOND
    return {
        "start_silence": _before(quiet, second) * (1 - _after(quiet, second)),
        "start_black": np.minimum(1, 2 * _before(dark, _NEAR)) * (1 - _after(dark, second)),
        "start_shot": shot,
        "start_light": _light(observed),
        "start_applause": _before(clap, 4 * second) * (1 - _after(clap, _NEAR)),
        # The host has spoken shortly before, and now there is no speech, or another's.
        "start_host": np.maximum(
            np.minimum(1, 2 * _before(speech, 2 * _FAR)) * (1 - _after(speech, _FAR)), other
        ),
        "start_music": _after(tune, _FAR) * (1 - _before(tune, _NEAR)),
        "end_applause": _before(clap, 3 * second) * (1 - _after(clap, _NEAR)),
        "end_silence": _after(quiet, second) * (1 - _before(quiet, second)),
        "end_black": np.minimum(1, 2 * _after(dark, _NEAR)) * (1 - _before(dark, second)),
        "end_shot": shot,
        "end_host": np.maximum(_after(speech, _FAR) * (1 - _before(speech, _NEAR)), other),
    }


def _light(observed: Observed) -> Array:
    """How other the colours of the eight seconds after a cell are than of those before."""
    palette = observed.rows[:, 3:].astype(np.float64)
    if not len(palette):
        return np.zeros(0)
    summed = np.concatenate([np.zeros((1, palette.shape[1])), np.cumsum(palette, axis=0)])
    at = np.arange(len(palette))
    low, high = np.maximum(0, at - _FAR), np.minimum(len(palette), at + _FAR)
    before = (summed[at] - summed[low]) / np.maximum(1, at - low)[:, None]
    after = (summed[high] - summed[at]) / np.maximum(1, high - at)[:, None]
    change = np.abs(after - before).sum(axis=1)
    return np.where(observed.seen, np.minimum(1, change / 0.8), 0)


def _marked(cells: int, marks: list[int]) -> Array:
    """The log of how much likelier an act begins at a cell since a mark was pressed about there."""
    gain = np.zeros(cells)
    at = np.arange(cells)
    for mark in marks:
        late = (mark - at) / CELLS_PER_SECOND
        off = np.maximum(_MARK_SOON - late, late - _MARK_LATE)
        about = np.clip(1 - off / _MARK_FADE, 0, 1)
        near = np.exp(-np.abs(late - _MARK_USUAL) / _MARK_USUAL)
        gain = np.maximum(gain, MARK_WEIGHT * about + _MARK_NEAR * near * (about > 0))
    return gain


def _candidates(
    kinds: NDArray[np.int8], pauses: NDArray[np.bool_], black: NDArray[np.bool_],
    still: NDArray[np.bool_], observed: Observed, starts: dict[str, Array],
    ends: dict[str, Array], marks: list[int], most: int,
) -> NDArray[np.int64]:  # fmt: skip
    """Where something changes; the strongest where there are too many."""
    cells = len(kinds)
    if not cells:
        return np.zeros(0, np.int64)
    rank = np.zeros(cells)
    tunes = np.where(kinds == SONG, MUSIC, kinds)
    change = np.flatnonzero(np.diff(tunes)) + 1
    rank[change] = 2
    edges = np.flatnonzero(np.diff(pauses.astype(np.int8))) + 1
    near = ndimage.maximum_filter1d(rank, 8 * CELLS_PER_SECOND + 1) > 0
    long = ndimage.binary_opening(pauses, np.ones(3))
    about = ndimage.binary_dilation(long, np.ones(3))
    rank[edges] = np.maximum(rank[edges], np.where(near[edges] | about[edges], 1, 0))
    for flags in (black, still):
        rank[np.flatnonzero(np.diff(flags.astype(np.int8))) + 1] += 1
    light = ndimage.maximum_filter1d(starts["light"], 6 * CELLS_PER_SECOND + 1) == starts["light"]
    shots = observed.cuts[observed.cuts < cells]
    rank[shots[near[shots]]] += 0.5
    rank[light & (starts["light"] > 0.35)] += 0.5
    for mark in marks:
        rank[min(cells - 1, max(0, round(mark - _MARK_USUAL * CELLS_PER_SECOND)))] += 3
    strength = rank + np.where(rank > 0, sum(starts.values()) + sum(ends.values()), 0)
    strength[0] = strength[-1] = strength.max() + 1
    chosen = np.flatnonzero(strength > 0)
    if len(chosen) > most:
        chosen = np.sort(chosen[np.argsort(strength[chosen])[-most:]])
    return chosen
