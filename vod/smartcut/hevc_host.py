"""An H.265 stream as host: our pictures are sequences of their own between the copied ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from transcode.fmp4.nal import nals
from vod.smartcut import hevc
from vod.smartcut.bits import BitsError
from vod.smartcut.entry import record, sample, with_record
from vod.smartcut.host import CRF, Approach, Entrances, Entry, Guest, Seat

_PROFILES = {1: "main", 2: "main10"}


@dataclass(frozen=True, slots=True)
class _Learned:
    pps: int


class HevcHost:
    """A host out of an ``hvc1`` or ``hev1`` sample entry."""

    def __init__(self, entry: bytes, *, own: bool = False) -> None:
        """``own``: it is our encoder's, of which nothing is copied. Raises BitsError, Fmp4Error."""
        self._entry = entry
        self._original = hevc.read_config(record(entry, b"hvcC"))
        self._sps = hevc.read_sps(self._original.of(hevc.SPS)[0])
        self._config = hevc.HevcConfig(self._original.head, ()) if own else self._original
        self._guests: dict[tuple[bytes, ...], tuple[int, dict[int, list[bytes]]]] = {}
        self.width, self.height, self.depth = self._sps.width, self._sps.height, self._sps.depth
        self.entrances: Entrances | None = None  # A CRA picture is one (H.265, 3.28).

    def refuses(self) -> str | None:
        """Why nothing of this stream can be copied into a cut, as a code."""
        sps = self._sps
        if sps.profile not in _PROFILES or sps.chroma != 1 or sps.depth not in (8, 10):
            return "profile"
        if sps.depth != sps.chroma_depth:
            return "profile"
        used = {hevc.pps_number(nal) for nal in self._original.of(hevc.PPS)}
        if used.issuperset(hevc.OUR_PPS) or len(self._original.of(hevc.SPS)) > 8:
            return "parameter_sets"
        return None

    def knows(self, own_sets: Sequence[bytes]) -> bool:
        known = {nal for _, units in self._original.sets for nal in units}
        return all(nal in known for nal in own_sets)

    def same_stream(self, entry: bytes) -> bool:
        other = hevc.read_config(record(entry, b"hvcC"))
        kinds = (hevc.VPS, hevc.SPS, hevc.PPS)
        return other.length_size == self._original.length_size and all(
            other.of(kind) == self._original.of(kind) for kind in kinds
        )

    def look(self, peek: bytes) -> Entry:
        own: list[bytes] = []
        for nal in nals(peek, self._config.length_size):
            kind = hevc.nal_type(nal)
            if kind in (hevc.VPS, hevc.SPS, hevc.PPS):
                own.append(nal)
            elif kind < hevc.FIRST_NOT_SLICE:
                closed = hevc.BLA_FIRST <= kind <= hevc.IDR_N_LP
                return Entry(closed, closed or kind == hevc.CRA, None, tuple(own))
        return Entry(False, False, None, tuple(own))

    def approach(
        self, key: Entry, before: int, first: bool, behind: Callable[[], Iterable[bytes]]
    ) -> Approach:
        if not self.knows(key.own_sets):
            return Approach(key, "parameter_sets")
        if key.closed:
            return Approach(key)
        if not key.usable:
            return Approach(key, "no_clean_key")
        return Approach(key, None if before or first else "open_gop_at_in")

    def encoder(self) -> dict[str, Any]:
        words = {
            "keyint": -1, "scenecut": 0, "bframes": 0, "open-gop": 0, "repeat-headers": 0,
            "info": 0, "aud": 0, "hrd": 0, "aq-mode": 0, "psy-rd": 0, "psy-rdoq": 0,
            "level-idc": f"{self._sps.level / 30:.1f}", "high-tier": self._sps.tier,
            "log-level": "error",
        }  # fmt: skip
        return {
            "c:v": "libx265",
            "preset": "superfast",
            "profile:v": _PROFILES.get(self._sps.profile, "main"),
            "crf": CRF,
            "x265-params": ":".join(f"{name}={value}" for name, value in words.items()),
        }

    def welcome(self, entry: bytes) -> Guest:
        config = hevc.read_config(record(entry, b"hvcC"))
        raw = tuple(config.of(kind)[0] for kind in (hevc.VPS, hevc.SPS, hevc.PPS))
        sps = hevc.read_sps(raw[1])
        if (sps.width, sps.height, sps.depth) != (self.width, self.height, self.depth):
            raise BitsError(f"encoded {sps.width}×{sps.height}, wanted {self.width}×{self.height}")
        if raw not in self._guests:
            vps_number = _free(range(16), [nal[2] >> 4 for nal in self._all(hevc.VPS)])
            sps_number = _free(range(16), [hevc.read_sps(n).number for n in self._all(hevc.SPS)])
            number = _free(hevc.OUR_PPS, map(hevc.pps_number, self._all(hevc.PPS)))
            sets = {
                hevc.VPS: [hevc.renumber_vps(raw[0], vps_number)],
                hevc.SPS: [hevc.renumber_sps(raw[1], sps_number, vps_number)],
                hevc.PPS: [hevc.renumber_pps(raw[2], number, sps_number)],
            }
            self._guests[raw] = (number, sets)
        return Guest(_Learned(self._guests[raw][0]))

    def _all(self, kind: int) -> list[bytes]:
        guests = [nal for _, sets in self._guests.values() for nal in sets[kind]]
        return [*self._config.of(kind), *guests]

    def seats(
        self, keys: Sequence[bool], follower: Entry | None, near: Sequence[Entry]
    ) -> list[Seat]:
        ends = follower is not None and not follower.closed
        return [Seat(None, ends and n == len(keys) - 1) for n in range(len(keys))]

    def host(self, guest: Guest, sample_: bytes, seat: Seat) -> bytes:
        learned: _Learned = guest.learned
        units = [
            hevc.renumber_slice(nal, learned.pps)
            for nal in nals(sample_, 4)
            if hevc.nal_type(nal) < hevc.FIRST_NOT_SLICE
        ]
        if seat.ends_sequence:
            units.append(hevc.END_OF_SEQUENCE)
        return sample(units, self._config.length_size)

    def allow_gaps(self) -> None:
        """Picture order starts anew with every sequence; there is nothing to allow."""

    def entry(self, reorder: int) -> bytes:
        config = self._config
        for _, sets in self._guests.values():
            config = config.with_sets(sets)
        return with_record(self._entry, b"hvcC", config.write())


def _free(numbers: Iterable[int], used: Iterable[int]) -> int:
    taken = set(used)
    for number in numbers:
        if number not in taken:
            return number
    raise BitsError("no number is left for a parameter set")
