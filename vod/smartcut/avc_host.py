"""An H.264 stream as host: one SPS for all, our pictures under a PPS of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from transcode.fmp4.nal import nals
from transcode.hls.head import TIMESCALE
from vod.smartcut import avc_sets
from vod.smartcut.avc_sets import Pps, Sps
from vod.smartcut.avc_slice import (
    NAL_IDR,
    NAL_PPS,
    NAL_SLICE,
    NAL_SPS,
    I,
    read_slice,
    rewrite_slice,
)
from vod.smartcut.avc_splice import Follower, places, run_in
from vod.smartcut.bits import BitsError
from vod.smartcut.entry import record, sample, with_record
from vod.smartcut.host import CRF, Approach, Entrances, Entry, Guest, Seat

_PROFILES = {66: "baseline", 77: "main", 100: "high"}
_MAX_PPS = 255
_ENTRANCE_SECONDS = 12
"""How far players may have to decode to get to a place. Chromium can begin at IDR pictures only
(from others on, marking commands that name what it has not decoded stop it)."""


@dataclass(frozen=True, slots=True)
class _Learned:
    theirs: dict[int, tuple[Sps, Pps]]
    here: Pps


class AvcHost:
    """A host out of an ``avc1`` sample entry."""

    def __init__(self, entry: bytes, *, own: bool = False) -> None:
        """``own``: it is our encoder's, of which nothing is copied. Raises BitsError, Fmp4Error."""
        self._entry = entry
        config = avc_sets.read_config(record(entry, b"avcC"))
        self._original = config
        self._sps = avc_sets.read_sps(config.sps[0])
        self._config = replace(config, pps=()) if own else config
        self._sets = {
            pps.number: (self._sps, pps) for pps in map(avc_sets.read_pps, self._config.pps)
        }
        self._guests: dict[bytes, Pps] = {}
        self._idr: int | None = None
        """idr_pic_id of our last IDR picture."""
        self.width, self.height, self.depth = self._sps.width, self._sps.height, self._sps.depth
        # As many of ours as may have to go by the numbers of others, and a few.
        self.entrances: Entrances | None = Entrances(
            _ENTRANCE_SECONDS * TIMESCALE, 2 * self._sps.max_refs + 4
        )

    def refuses(self) -> str | None:
        """Why nothing of this stream can be copied into a cut, as a code."""
        sps = self._sps
        pictures = [pps for _, pps in self._sets.values()]
        if sps.interlaced:
            return "interlaced"
        if sps.profile not in _PROFILES or sps.chroma != 1 or sps.depth != 8 or sps.special:
            return "profile"
        if sps.poc_type == 1 or len(self._original.sps) != 1 or len(self._sets) > _MAX_PPS // 2:
            return "parameter_sets"
        if any(p.groups > 1 or p.sps != sps.number or p.redundant for p in pictures):
            return "parameter_sets"
        return None

    def knows(self, own_sets: Sequence[bytes]) -> bool:
        known = {*self._original.sps, *self._original.pps}
        return all(nal in known for nal in own_sets)

    def same_stream(self, entry: bytes) -> bool:
        other = avc_sets.read_config(record(entry, b"avcC"))
        ours = self._original
        return (other.sps, other.pps, other.length_size) == (ours.sps, ours.pps, ours.length_size)

    def look(self, peek: bytes) -> Entry:
        own: list[bytes] = []
        for nal in nals(peek, self._config.length_size):
            kind = nal[0] & 31
            if kind in (NAL_SPS, NAL_PPS):
                own.append(nal)
            elif kind in (NAL_SLICE, NAL_IDR):
                header = read_slice(nal, self._sets)
                follower = Follower(header.frame_num, header.poc_lsb, header.idr_id)
                return Entry(header.is_idr, header.kind == I, follower, tuple(own))
            elif kind < NAL_IDR:
                break  # Data partitions.
        return Entry(False, False, None, tuple(own))

    def approach(
        self, key: Entry, before: int, first: bool, behind: Callable[[], Iterable[bytes]]
    ) -> Approach:
        if not self.knows(key.own_sets):
            return Approach(key, "parameter_sets")
        if key.closed:
            return Approach(key)
        if not key.usable or key.follower is None:
            return Approach(key, "no_clean_key")
        if before == 0:
            return Approach(key, "open_gop_at_in")
        if key.own_sets and not self._sps.gaps_allowed:
            return Approach(key, "parameter_sets")
        headers = tuple(read_slice(self._first_slice(peek), self._sets) for peek in behind())
        found = places(before, key.follower, self._sps, 0, headers)
        if found is None:
            return Approach(key, "open_gop_short")
        return Approach(replace(key, behind=headers), intra=run_in(found))

    def _first_slice(self, peek: bytes) -> bytes:
        for nal in nals(peek, self._config.length_size):
            if nal[0] & 31 in (NAL_SLICE, NAL_IDR):
                return nal
        raise BitsError("a sample without a slice")

    def encoder(self) -> dict[str, Any]:
        level = self._sps.level
        return _encoder(
            _PROFILES[self._sps.profile],
            level=f"{level // 10}.{level % 10}",
            keyint=1 if self._sps.max_refs == 0 else "infinite",
        )

    def welcome(self, entry: bytes) -> Guest:
        config = avc_sets.read_config(record(entry, b"avcC"))
        sps, pps = avc_sets.read_sps(config.sps[0]), avc_sets.read_pps(config.pps[0])
        if (sps.width, sps.height, sps.depth) != (self.width, self.height, self.depth):
            raise BitsError(f"encoded {sps.width}×{sps.height}, wanted {self.width}×{self.height}")
        here = self._guests.get(pps.nal)
        if here is None:
            number = max([-1, *self._sets, *(p.number for p in self._guests.values())]) + 1
            if number > _MAX_PPS:
                raise BitsError("no number is left for a picture parameter set")
            here = self._guests[pps.nal] = pps.renumbered(number, self._sps.number)
        return Guest(_Learned({pps.number: (sps, pps)}, here))

    def seats(
        self, keys: Sequence[bool], follower: Entry | None, near: Sequence[Entry]
    ) -> list[Seat]:
        taken = {entry.follower.idr_id for entry in near if entry.follower is not None}
        starts = [n for n, key in enumerate(keys) if key]
        if follower is not None and not follower.closed:
            starts = starts[:1]  # Whatever else is a key picture is one on the way there.
        seats: list[Seat] = []
        for start, end in zip(starts, [*starts[1:], len(keys)], strict=True):
            # Two IDR pictures in a row differ in it (7.4.3), whoever made them.
            self._idr = next(n for n in range(len(taken) + 2) if n not in taken and n != self._idr)
            next_one = follower if end == len(keys) else None
            found = places(
                end - start,
                next_one.follower if next_one else None,
                self._sps,
                self._idr,
                next_one.behind if next_one else (),
            )
            if found is None:
                raise BitsError(f"{end - start} pictures are too few for what follows")
            seats += [Seat(place) for place in found]
        return seats

    def host(self, guest: Guest, sample_: bytes, seat: Seat) -> bytes:
        learned: _Learned = guest.learned
        assert seat.place is not None
        units = [
            rewrite_slice(nal, learned.theirs, self._sps, learned.here, seat.place)
            for nal in nals(sample_, 4)
            if nal[0] & 31 in (NAL_SLICE, NAL_IDR)
        ]
        return sample(units, self._config.length_size)

    def allow_gaps(self) -> None:
        self._sps = self._sps.with_gaps()

    def entry(self, reorder: int) -> bytes:
        sps = self._sps.with_reorder(reorder) if reorder else self._sps
        pps = (*self._config.pps, *(guest.nal for guest in self._guests.values()))
        config = replace(self._config, sps=(sps.nal,), pps=pps)
        return with_record(self._entry, b"avcC", config.write())


def own_encoder(frame_rate: Fraction) -> dict[str, Any]:
    """FFmpeg options of an encoder that is its own host (its level follows from the rate)."""
    rate = frame_rate.limit_denominator(1001)
    return _encoder("high", fps=f"{rate.numerator}/{rate.denominator}") | {"preset": "veryfast"}


def _encoder(profile: str, **more: Any) -> dict[str, Any]:
    words = {
        "keyint": "infinite", "scenecut": 0, "bframes": 0, "ref": 1, "weightp": 0, "open-gop": 0,
        "repeat-headers": 0, "aud": 0, "slices": 1, "sliced-threads": 0, "stitchable": 1,
        "nal-hrd": "none", "aq-mode": 0, "psy": 0,
    } | more  # fmt: skip
    return {
        "c:v": "libx264",
        "preset": "superfast",
        "profile:v": profile,
        "crf": CRF,
        "x264-params": ":".join(f"{name}={value}" for name, value in words.items()),
    }
