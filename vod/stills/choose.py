"""Choosing a varied few of many frames: no two alike, spread over the acts. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from catalog.minutes import TICKS_A_SECOND
from catalog.picture_hash import DISTINCT_BITS, near_any

STRATA: Final = 12
"""A programme without acts is spread over so many equal stretches."""
GAP_TICKS: Final = 10 * TICKS_A_SECOND
"""What lies between two acts is a piece of its own from this length on."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A frame that could be shown. Ticks on the programme's timeline."""

    at_ticks: int
    worth: int
    phash: str


@dataclass(frozen=True, slots=True)
class Stretch:
    """A piece of the programme that should have its share. Ticks, the end not included."""

    start_ticks: int
    end_ticks: int


def stretches(
    acts: Iterable[tuple[int, int]], length_ticks: int, strata: int = STRATA
) -> list[Stretch]:
    """The pieces to spread over: the acts and what lies between them; without acts, equal ones."""
    ends = sorted((start, end) for start, end in acts if end > start)
    if not ends:
        cuts = [length_ticks * place // strata for place in range(strata + 1)]
        return [Stretch(a, b) for a, b in pairwise(cuts) if a < b]
    found, at = [], 0
    for start, end in ends:
        if start - at >= GAP_TICKS:
            found.append(Stretch(at, start))
        if end > max(start, at):
            found.append(Stretch(max(start, at), end))
            at = end
    if length_ticks - at >= GAP_TICKS:
        found.append(Stretch(at, length_ticks))
    return found


def choose(
    candidates: Iterable[Candidate],
    count: int,
    pieces: Sequence[Stretch],
    *,
    taken: Iterable[str] = (),
    bits: int = DISTINCT_BITS,
) -> list[Candidate]:
    """At most ``count`` frames, in order of time. No two of them, and none of them and one of
    ``taken`` (hashes), differ in fewer than ``bits`` bits.

    Turn by turn the piece with the fewest for its length gives the best it has left, so a short
    act has its picture before a long one has its second.
    """
    left = _by_piece(candidates, pieces)
    hashes = list(taken)
    chosen: list[Candidate] = []
    given = [0] * len(left)
    while len(chosen) < count:
        open_ = [place for place, found in enumerate(left) if found]
        if not open_:
            break
        turn = min(open_, key=lambda place: (given[place] > 0, _share(given, pieces, place), place))
        best = left[turn].pop()
        if near_any(best.phash, hashes, bits):
            continue
        hashes.append(best.phash)
        chosen.append(best)
        given[turn] += 1
    return sorted(chosen, key=lambda candidate: candidate.at_ticks)


def _by_piece(candidates: Iterable[Candidate], pieces: Sequence[Stretch]) -> list[list[Candidate]]:
    """The candidates of each piece, the best last; what lies in none belongs to the nearest."""
    found: list[list[Candidate]] = [[] for _ in pieces]
    for candidate in candidates:
        if pieces:
            found[_piece_of(candidate.at_ticks, pieces)].append(candidate)
    for listed in found:
        listed.sort(key=lambda candidate: (candidate.worth, -candidate.at_ticks))
    return found


def _piece_of(at: int, pieces: Sequence[Stretch]) -> int:
    def away(place: int) -> int:
        piece = pieces[place]
        return max(piece.start_ticks - at, at - (piece.end_ticks - 1), 0)

    return min(range(len(pieces)), key=away)


def _share(given: Sequence[int], pieces: Sequence[Stretch], place: int) -> float:
    """How well a piece is served: what it has been given beside its length."""
    length = pieces[place].end_ticks - pieces[place].start_ticks
    return (given[place] + 1) / max(1, length)
