"""Which coded pictures of a stretch are copied, and which are shown but must be encoded again.

Pure; pictures are numbers in coded order, times are ticks. Of coded pictures from one key picture
on, those before it in output order (its leading pictures) belong to the cut before; behind it,
pictures are copied for as long as all that is copied is shown, and shown before all that is not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vod.reordering import Ints
from vod.smartcut.host import Approach

_FAR = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Encode:
    """Pictures to encode: decoded from coded picture ``first`` up to, not including, ``stop``."""

    shown: Ints
    """Their times, in order; between the first and the last of them no other picture is shown."""
    first: int
    stop: int


Ask = Callable[[int, int, Ints], Approach]
"""Asked with a key picture, the number of pictures shown before it, and the pictures up to the
next key that would be copied behind it."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A stretch: what is encoded before, what is copied, what is encoded behind."""

    head: Encode | None
    copied: Ints
    """Coded pictures, in coded order; the first is a key picture."""
    tail: Encode | None
    approach: Approach | None = None
    """To the first copied picture."""
    refused: tuple[str, ...] = ()
    """Codes of why key pictures before the one that the copy begins with could not be."""


def plan_stretch(pts: Ints, keys: Ints, start: int, stop: int, ask: Ask) -> Plan | None:
    """Plan the pictures with ``start`` <= pts < ``stop``; None when there are none.

    ``pts`` in coded order; ``keys`` are the coded numbers of key pictures, in order.
    """
    shown = (pts >= start) & (pts < stop)
    if not shown.any():
        return None
    refused: list[str] = []
    for key in keys[shown[keys]]:
        kept = _follows(pts, int(key))
        if kept is None:
            continue
        head = np.sort(pts[shown & (pts < pts[key])])
        copied, tail = _prefix(pts, kept, stop)
        approach = ask(int(key), len(head), _group(copied, keys, int(key)))
        if approach.refused is None:
            before, behind = (_encode(pts, keys, times) for times in (head, tail))
            return Plan(before, copied, behind, approach, tuple(refused))
        refused.append(approach.refused)
    whole = _encode(pts, keys, np.sort(pts[shown]))
    return Plan(whole, np.zeros(0, np.int64), None, refused=tuple(refused))


def encode_all(pts: Ints, keys: Ints, start: int, stop: int) -> Plan | None:
    """A stretch of which nothing can be copied."""
    whole = _encode(pts, keys, np.sort(pts[(pts >= start) & (pts < stop)]))
    return None if whole is None else Plan(whole, np.zeros(0, np.int64), None)


def _follows(pts: Ints, key: int) -> Ints | None:
    """The pictures from ``key`` on that are decoded and shown after it; None when a picture
    decoded before it is shown after it, and so would fall between."""
    if key and int(pts[:key].max()) >= int(pts[key]):
        return None
    behind = np.arange(key, len(pts))
    kept: Ints = behind[pts[behind] >= pts[key]]
    return kept


def _prefix(pts: Ints, kept: Ints, stop: int) -> tuple[Ints, Ints]:
    """The longest beginning of ``kept`` that can be copied, and the times of the shown rest."""
    times = pts[kept]
    inside = times < stop
    latest = np.maximum.accumulate(times)
    waiting = np.where(inside, times, _FAR)
    earliest_left = np.append(np.minimum.accumulate(waiting[::-1])[::-1][1:], _FAR)
    good = np.logical_and.accumulate(inside) & (latest < earliest_left)
    ends = np.flatnonzero(good)
    count = int(ends[-1]) + 1 if len(ends) else 0
    rest = times[count:]
    return kept[:count], np.sort(rest[rest < stop])


def _group(copied: Ints, keys: Ints, key: int) -> Ints:
    """The copied pictures behind ``key`` up to the next key picture."""
    following = keys[keys > key]
    end = following[0] if len(following) else _FAR
    group: Ints = copied[(copied > key) & (copied < end)]
    return group


def _encode(pts: Ints, keys: Ints, shown: Ints) -> Encode | None:
    """Decoding begins at the last key picture of which none of them is a leading picture."""
    if not len(shown):
        return None
    wanted = np.flatnonzero((pts >= shown[0]) & (pts <= shown[-1]))
    before = keys[(keys <= wanted[0]) & (pts[keys] <= shown[0])]
    return Encode(shown, int(before[-1]) if len(before) else 0, int(wanted[-1]) + 1)
