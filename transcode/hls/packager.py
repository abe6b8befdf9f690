"""All rungs of one run, packaged together: the first rung leads, the others follow its cuts.

Pure: samples in, events out; its only time is media time. The slot (segment ``msn`` of every
rung) is what gets registered; before that, no part of the next segment may be announced by any
rung, which is the caller's to hold back, since only the caller knows what is registered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from transcode.fmp4.model import Fragment, InitSection
from transcode.hls.cutter import Boundary
from transcode.hls.events import (
    GopTooLong,
    InitReady,
    PackagerError,
    PackagerEvent,
    ResumePoint,
    RungSpec,
    RunTiming,
    SegmentReady,
    SlotReady,
)
from transcode.hls.head import TIMESCALE
from transcode.hls.rendition import RenditionPackager

MAX_OPEN_SLOTS = 15
"""Segments the fastest rung may be ahead of the slowest."""

PART_AIM = TIMESCALE // 2
"""About how long a part should be."""


def pick_part_target(frame_duration: int) -> int:
    """PART-TARGET, in ticks, for a source whose frames last ``frame_duration`` ticks.

    A whole number of frames near half a second, with room for timestamps that were rounded to
    milliseconds. Any other frame rate still obeys the rules with it, only less evenly.
    """
    if not 0 < frame_duration < PART_AIM:
        return PART_AIM
    frames = max(1, round(PART_AIM / frame_duration))
    milliseconds = -(-frames * frame_duration * 1000 // TIMESCALE) + 4
    return milliseconds * TIMESCALE // 1000


def init_digest(data: bytes) -> str:
    """By what an init section is recognised from run to run."""
    return hashlib.sha256(data).hexdigest()


class Packager:
    """Packages a run. ``rungs[0]`` leads; it must be the one whose key frames the others have."""

    def __init__(
        self,
        rungs: Sequence[RungSpec],
        timing: RunTiming,
        resume: ResumePoint,
        known_inits: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """``known_inits``: by rendition, ``init_digest`` of every init section the broadcast has
        used, in the order of their numbers."""
        if not rungs:
            raise PackagerError("a run needs a rung")
        self._specs = {spec.name: spec for spec in rungs}
        self._leader_name = rungs[0].name
        self._timing = timing
        self._resume = resume
        self._inits = {name: list(known) for name, known in (known_inits or {}).items()}
        self._rungs: dict[str, RenditionPackager] = {}
        self._boundaries: list[Boundary] = []
        """Those of the segments not complete yet: for rungs whose init section comes late."""
        self._slots: dict[int, dict[str, SegmentReady]] = {}
        self._next_slot = resume.msn
        self.failed: GopTooLong | None = None
        """Set once the leading rung gives nothing more. The others must be fed on until the slot
        of the segment before ``failed.msn`` is ready."""

    @property
    def known_inits(self) -> dict[str, list[str]]:
        """Digests by rendition, those of this run included."""
        return {name: list(known) for name, known in self._inits.items()}

    def bandwidth(self, rung: str) -> tuple[int, int]:
        """(peak, average) bits a second of the run's segments of that rung; zeros before."""
        packager = self._rungs.get(rung)
        return (packager.peak_bandwidth, packager.average_bandwidth) if packager else (0, 0)

    def feed(
        self, rung: str, items: Sequence[InitSection | Fragment]
    ) -> list[PackagerEvent | SlotReady]:
        """What ``FragmentReader.feed`` gave for that rung. Raises PackagerError."""
        out: list[PackagerEvent | SlotReady] = []
        for item in items:
            if isinstance(item, InitSection):
                self._start(rung, item, out)
            elif self.failed is None or rung != self._leader_name:
                # After a failure the others go on to the cut, so that its slot is complete.
                self._feed(rung, item, out)
        return out

    def flush(self, end: bool) -> list[PackagerEvent | SlotReady]:
        """The run is over. ``end``: the feed ended with it, so the open segment is completed
        with what there is; otherwise it is left for the next run to build anew."""
        out: list[PackagerEvent | SlotReady] = []
        if not end:
            return out
        leader = self._rungs.get(self._leader_name)
        if leader is None:
            return out
        self._collect(leader.finish(), out)
        boundaries, leader.boundaries = leader.boundaries, []
        for name, packager in self._rungs.items():
            if name != self._leader_name:
                self._collect(packager.led(boundaries, leader.safe), out)
                self._collect(packager.finish(), out)
        return out

    def _start(self, rung: str, section: InitSection, out: list[PackagerEvent | SlotReady]) -> None:
        if rung in self._rungs:
            raise PackagerError(f"rung {rung} sent a second init section")
        spec = self._specs[rung]
        known = self._inits.setdefault(rung, [])
        packager = RenditionPackager(
            spec,
            self._timing,
            self._resume,
            section,
            leads=rung == self._leader_name,
        )
        digest = init_digest(packager.init)
        is_new = digest not in known
        if is_new:
            known.append(digest)
        packager.init_number = known.index(digest)
        self._rungs[rung] = packager
        leader = self._rungs.get(self._leader_name)
        if leader is not None and leader is not packager:
            # No slot is complete without this rung, so no boundary has been forgotten yet.
            self._collect(packager.led(self._boundaries, leader.safe), out)
        video = section.track("video") if spec.kind == "video" else None
        out.append(
            InitReady(
                rung,
                packager.init_number,
                packager.init,
                is_new,
                packager.codecs,
                video.width if video else None,
                video.height if video else None,
            )
        )

    def _feed(self, rung: str, fragment: Fragment, out: list[PackagerEvent | SlotReady]) -> None:
        packager = self._rungs.get(rung)
        if packager is None:
            raise PackagerError(f"rung {rung} sent media before its init section")
        self._collect(packager.feed(fragment.samples), out)
        leader = self._rungs.get(self._leader_name)
        if rung == self._leader_name:
            boundaries, packager.boundaries = packager.boundaries, []
            self._boundaries += boundaries
            for name, other in self._rungs.items():
                if name != rung:
                    self._collect(other.led(boundaries, packager.safe), out)
        elif leader is not None:
            self._collect(packager.led([], leader.safe), out)

    def _collect(self, events: list[PackagerEvent], out: list[PackagerEvent | SlotReady]) -> None:
        for event in events:
            out.append(event)
            if isinstance(event, GopTooLong):
                self.failed = event
            elif isinstance(event, SegmentReady):
                self._slots.setdefault(event.msn, {})[event.rendition] = event
                self._complete_slots(out)
        if len(self._slots) > MAX_OPEN_SLOTS:
            late = [n for n in self._specs if n not in self._slots[self._next_slot]]
            raise PackagerError(f"rungs {late} are {len(self._slots)} segments late")

    def _complete_slots(self, out: list[PackagerEvent | SlotReady]) -> None:
        while len(self._slots.get(self._next_slot, ())) == len(self._specs):
            segments = self._slots.pop(self._next_slot)
            lead = segments[self._leader_name]
            out.append(SlotReady(lead.msn, lead.start_tick, lead.dur_ticks, segments))
            self._boundaries = self._boundaries[1:]
            self._next_slot += 1
