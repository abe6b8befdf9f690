"""How pictures of ours are numbered so that a copied H.264 picture may follow them.

A copied stretch that begins with an IDR picture follows anything. One that begins with another
key picture (an open GOP) goes on counting: its frame_num and picture order must look forward from
ours. Where they cannot, the numbers skip values, which the SPS then allows (7.4.3, 8.2.5.2): the
decoder fills its buffer with frames that are never shown.

Copied pictures may also name pictures from before the cut, to have them forgotten (marking
commands, 7.4.3.3). Then the last of ours go by those very numbers. The skip goes before them, so
the first of these is coded without reference to any other, and each has what is not asked for
forgotten.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from vod.smartcut.avc_sets import Sps
from vod.smartcut.avc_slice import Place, SliceHeader

_UNMARK, _UNMARK_LONG, _TO_LONG, _RESET = 1, 2, 3, 5
"""Marking commands (table 7-9)."""


@dataclass(frozen=True, slots=True)
class Follower:
    """The copied picture that comes next. ``idr_id`` None: it is no IDR picture."""

    frame_num: int
    poc_lsb: int
    idr_id: int | None


class _Buffer:
    """The short-term references of a decoder, by frame_num, oldest first (8.2.5)."""

    def __init__(self, sps: Sps) -> None:
        self._nums = sps.frame_nums
        self._most = max(1, sps.max_refs)
        self._longs = 0
        self._previous = 0
        self.held: list[int] = []
        self.missed: list[int] = []
        """Numbers that a command named in vain."""

    def come(self, frame_num: int) -> None:
        """A picture is about to be decoded: the gap before it is filled (8.2.5.2)."""
        if frame_num == self._previous:
            return
        missing = (frame_num - self._previous - 1) % self._nums
        for number in range(frame_num - min(missing, self._most), frame_num):
            self._add(number % self._nums)
        self._previous = (frame_num - 1) % self._nums

    def keep(self, frame_num: int, *, slide: bool = True) -> None:
        """It was decoded and stays as a reference."""
        if slide:
            self._add(frame_num)
        else:
            self.held.append(frame_num)
        self._previous = frame_num

    def _add(self, number: int) -> None:
        while self.held and len(self.held) + self._longs >= self._most:
            self.held.pop(0)
        self.held.append(number)

    def forget(self, number: int) -> None:
        if number in self.held:
            self.held.remove(number)
        else:
            self.missed.append(number)

    def see(self, picture: SliceHeader) -> bool:
        """A copied picture; False when nothing behind it can name anything before it."""
        if picture.is_idr:
            return False
        self.come(picture.frame_num)
        if not picture.ref_idc:
            return True
        for mark in picture.marking:
            if mark.command == _RESET:
                return False
            if mark.command == _UNMARK_LONG:
                self._longs = max(0, self._longs - 1)
            elif mark.command in (_UNMARK, _TO_LONG):
                self.forget((picture.frame_num - mark.value - 1) % self._nums)
                self._longs += mark.command == _TO_LONG
        self.keep(picture.frame_num, slide=not picture.marking)
        return True

    def meet(self, place: Place) -> None:
        """A picture of ours."""
        frame_num = place.frame_num % self._nums
        if place.is_idr:
            self.held, self._longs, self._previous = [], 0, 0
        self.come(frame_num)
        for number in place.unmark:
            self.forget(number)
        if place.reference:
            self.keep(frame_num, slide=not place.unmark)


def places(
    count: int,
    follower: Follower | None,
    sps: Sps,
    idr_id: int,
    pictures: Iterable[SliceHeader] = (),
) -> list[Place] | None:
    """Places of ``count`` pictures in order: an IDR picture, and what is predicted from it.

    ``follower`` comes behind them, then ``pictures`` (in coded order; without the leading ones of
    the follower, which are dropped). ``idr_id`` differs from those of the IDR pictures around.
    None when they cannot follow so few.
    """
    plain = [Place(n, 2 * n, idr_id if n == 0 else None) for n in range(count)]
    if follower is None or follower.idr_id is not None:
        return plain
    listed = list(pictures)
    simple = _skipping(plain, follower, sps)
    if simple is not None and not _missed(simple, follower, listed, sps):
        return simple
    named = {
        (follower.frame_num - number) % sps.frame_nums
        for number in _missed([], follower, listed, sps)
    }
    for run in range(max(named, default=1), count):
        found = _named(plain, follower, sps, named, run)
        if found is not None:
            return None if _missed(found, follower, listed, sps) else found
    return None


def run_in(found: Sequence[Place]) -> int | None:
    """Which of the pictures, besides the first, is coded without reference to others."""
    return next((n for n, place in enumerate(found) if place.intra and n), None)


def _missed(
    before: Sequence[Place], follower: Follower, pictures: Sequence[SliceHeader], sps: Sps
) -> list[int]:
    """Numbers of pictures that marking commands name in vain."""
    buffer = _Buffer(sps)
    for place in before:
        buffer.meet(place)
    if before:
        buffer.come(follower.frame_num)
    buffer.missed.clear()
    buffer.keep(follower.frame_num)
    for picture in pictures:
        if not buffer.see(picture):
            break
    return buffer.missed


def _skipping(plain: list[Place], follower: Follower, sps: Sps) -> list[Place] | None:
    """Numbers in a row, and a skip (if any) before the follower."""
    count = len(plain)
    # A picture right behind one of the same frame_num would be its second field; so the last one
    # is then nobody's reference, which does not count up (7.4.3).
    spare = count - 1 if (count - 1) % sps.frame_nums == follower.frame_num else count
    orders = _orders(spare, follower.poc_lsb, sps, room=1 + count - spare)
    if orders is None:
        return None
    found = [replace(place, poc=poc) for place, poc in zip(plain, orders, strict=False)]
    if spare < count:
        found.append(replace(plain[spare], poc=orders[-1] + 1, reference=False))
    return found


def _named(
    plain: list[Place], follower: Follower, sps: Sps, named: set[int], run: int
) -> list[Place] | None:
    """The last ``run`` pictures numbered right up to the follower; of them those stay that are as
    far before it as ``named`` says."""
    nums = sps.frame_nums
    start = len(plain) - run
    orders = _orders(len(plain), follower.poc_lsb, sps, room=1)
    if orders is None or (follower.frame_num - run) % nums == (start - 1) % nums:
        return None
    buffer = _Buffer(sps)
    found = []
    for n, (place, poc) in enumerate(zip(plain, orders, strict=True)):
        placed = replace(place, poc=poc)
        if n >= start:
            number = (follower.frame_num - run + n - start) % nums
            buffer.come(number)
            waste = [
                h for h in buffer.held if n == start or not _is_named(h, follower, nums, named)
            ]
            if n > start and not waste and len(buffer.held) >= sps.max_refs:
                return None
            placed = replace(
                placed, frame_num=number, intra=n == start, unmark=tuple(waste)
            )  # fmt: skip
        buffer.meet(placed)
        found.append(placed)
    return found


def _is_named(number: int, follower: Follower, nums: int, named: set[int]) -> bool:
    return (follower.frame_num - number) % nums in named


def _orders(count: int, lsb: int, sps: Sps, room: int) -> list[int] | None:
    """Picture orders of ``count`` reference pictures from 0 on, the last of them at least ``room``
    and less than half the range of the low bits before a picture of ``lsb`` (8.2.1.1)."""
    if count == 0:
        return None
    if sps.poc_type != 0:
        return [2 * n for n in range(count)]  # It follows from frame_num, whatever is said here.
    half = sps.poc_range // 2
    last = 2 * (count - 1)
    distance = (lsb - last) % sps.poc_range
    if distance >= half:
        last += distance - half + 1
    elif distance < room:
        last += distance + half + 1
    if last == 0:
        return [0]
    steps = count - 1
    if steps == 0 or -(-last // steps) >= half:
        return None
    return [n * last // steps for n in range(count)]
