"""The board: what is on air right now, as one AirHead. Pure; the live job alone writes on it.

Registered slots move into the window, announced parts into the open segment. Parts that come
in for a segment later than the open one wait, because a playlist can't list them before the
segment in between is registered.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from transcode.hls.head import (
    TIMESCALE,
    AirHead,
    HeadPart,
    HeadRendition,
    HeadSegment,
    HeadState,
    RenditionKind,
)

WINDOW_SECONDS = 60
# A playlist lists the parts of its last three target durations (rfc8216bis §4.4.4.9); one more
# is for the segment that is only just leaving.
PARTS_KEPT_TARGETS = 4


@dataclass(slots=True)
class Rung:
    """A rendition on the board."""

    name: str
    kind: RenditionKind
    codecs: str
    width: int | None
    height: int | None
    frame_rate: float | None
    bandwidth: int
    average_bandwidth: int
    segments: list[HeadSegment] = field(default_factory=list)
    parts: list[HeadPart] = field(default_factory=list)
    waiting: dict[int, list[HeadPart]] = field(default_factory=dict)
    init: int = 0
    on: bool = True
    """False: no longer made; its slots are gaps."""


@dataclass(frozen=True, slots=True)
class SlotNote:
    """A registered slot, as the board needs it. ``rungs``: (duration, init, parts) by name."""

    msn: int
    dur: int
    pdt_us: int
    disc: bool
    run: int
    rungs: dict[str, tuple[int, int, list[HeadPart]]]


class Board:
    """The live window of a broadcast."""

    def __init__(self, token: str, *, target_duration: int, part_target_us: int) -> None:
        self.token = token
        self.target_duration = target_duration
        self.part_target_us = part_target_us
        self.state: HeadState = "waiting"
        self.version = 0
        self.media_sequence = 0
        self.discontinuity_sequence = 0
        self.next_msn = 0
        self.open_discontinuity = False
        self.open_pdt_us = 0
        self.rungs: dict[str, Rung] = {}

    @classmethod
    def from_head(cls, head: AirHead) -> Board:
        """A board as a former live job left it."""
        board = cls(
            head.token,
            target_duration=head.target_duration,
            part_target_us=head.part_target_us,
        )
        board.state = head.state
        board.version = head.version
        board.media_sequence = head.media_sequence
        board.discontinuity_sequence = head.discontinuity_sequence
        for r in head.renditions:
            board.next_msn = r.next_msn
            board.open_discontinuity = r.open_discontinuity
            board.open_pdt_us = r.open_pdt_us
            board.rungs[r.name] = Rung(
                name=r.name,
                kind=r.kind,
                codecs=r.codecs,
                width=r.width,
                height=r.height,
                frame_rate=r.frame_rate,
                bandwidth=r.bandwidth,
                average_bandwidth=r.average_bandwidth,
                segments=list(r.segments),
                parts=list(r.parts),
                init=r.open_init,
            )
        return board

    def published(self) -> dict[str, list[HeadPart]]:
        """Parts announced of the open segment, by rung."""
        return {name: list(rung.parts) for name, rung in self.rungs.items() if rung.parts}

    def drop_waiting(self) -> None:
        """Forget parts of segments that never opened: the next run makes them again."""
        for rung in self.rungs.values():
            rung.waiting.clear()

    def put_rung(self, rung: Rung) -> None:
        """Add a rung, or bring its description up to date. A new one starts with gaps, so that
        all rungs have the same numbers."""
        known = self.rungs.get(rung.name)
        if known is not None:
            known.codecs, known.width, known.height = rung.codecs, rung.width, rung.height
            known.frame_rate, known.init, known.on = rung.frame_rate, rung.init, True
            known.bandwidth = max(known.bandwidth, rung.bandwidth)
            return
        pattern = next(iter(self.rungs.values()), None)
        if pattern is not None:
            rung.segments = [
                HeadSegment(msn=s.msn, dur=s.dur, pdt_us=s.pdt_us, init=0, disc=s.disc, gap=True)
                for s in pattern.segments
            ]
        self.rungs[rung.name] = rung

    def only(self, names: set[str]) -> None:
        """The rungs that are made from now on."""
        for rung in self.rungs.values():
            rung.on = rung.name in names

    def open_segment(self, *, pdt_us: int, discontinuity: bool) -> None:
        """Describe the segment being built; told before its first part."""
        self.open_pdt_us = pdt_us
        self.open_discontinuity = discontinuity

    @property
    def newest(self) -> HeadSegment | None:
        """The segment listed last."""
        pattern = next(iter(self.rungs.values()), None)
        return pattern.segments[-1] if pattern is not None and pattern.segments else None

    @property
    def open_has_parts(self) -> bool:
        return any(rung.parts for rung in self.rungs.values())

    def add_part(self, name: str, msn: int, part: HeadPart) -> bool:
        """Announce a part; False when it has to wait for its segment's turn."""
        rung = self.rungs[name]
        if msn == self.next_msn:
            rung.parts.append(part)
            return True
        if msn > self.next_msn:
            rung.waiting.setdefault(msn, []).append(part)
        return False

    def add_slot(self, slot: SlotNote) -> None:
        """A slot is registered: it enters the window, and the next segment opens."""
        for rung in self.rungs.values():
            made = slot.rungs.get(rung.name)
            dur, init, parts = made if made is not None else (slot.dur, rung.init, [])
            rung.segments.append(
                HeadSegment(
                    msn=slot.msn,
                    dur=dur,
                    pdt_us=slot.pdt_us,
                    init=init,
                    disc=slot.disc,
                    gap=made is None,
                    # The registered segment's own: the announced ones have the same lengths,
                    # but after a restart the bytes were made anew.
                    parts=parts if made is not None else rung.parts,
                    run=slot.run,
                )
            )
            rung.parts = rung.waiting.pop(slot.msn + 1, [])
        self.next_msn = slot.msn + 1
        self.open_discontinuity = False
        self.open_pdt_us = slot.pdt_us + slot.dur * 1_000_000 // TIMESCALE
        self._trim()

    def _trim(self) -> None:
        """Let go of what lies behind the window. Equal in all rungs: they share their numbers."""
        pattern = next(iter(self.rungs.values()), None)
        if pattern is None:
            return
        length = sum(s.dur for s in pattern.segments)
        gone = 0
        for segment in pattern.segments:
            if length - segment.dur < WINDOW_SECONDS * TIMESCALE:
                break
            length -= segment.dur
            gone += 1
        self.discontinuity_sequence += sum(s.disc for s in pattern.segments[:gone])
        for rung in self.rungs.values():
            del rung.segments[:gone]
            self._forget_parts(rung)
        if pattern.segments:
            self.media_sequence = pattern.segments[0].msn

    def _forget_parts(self, rung: Rung) -> None:
        """Old segments are fetched whole."""
        keep = PARTS_KEPT_TARGETS * self.target_duration * TIMESCALE
        for index in range(len(rung.segments) - 1, -1, -1):
            segment = rung.segments[index]
            if keep <= 0:
                if not segment.parts:
                    return
                rung.segments[index] = _without_parts(segment)
            keep -= segment.dur

    def head(self, now_us: int) -> AirHead:
        """The whole as it is published; each call is a new version."""
        self.version = max(self.version + 1, now_us)
        return AirHead(
            token=self.token,
            version=self.version,
            state=self.state,
            target_duration=self.target_duration,
            part_target_us=self.part_target_us,
            media_sequence=self.media_sequence,
            discontinuity_sequence=self.discontinuity_sequence,
            renditions=[
                HeadRendition(
                    name=rung.name,
                    kind=rung.kind,
                    bandwidth=rung.bandwidth,
                    average_bandwidth=rung.average_bandwidth,
                    codecs=rung.codecs,
                    width=rung.width,
                    height=rung.height,
                    frame_rate=rung.frame_rate,
                    segments=list(rung.segments),
                    parts=list(rung.parts),
                    next_msn=self.next_msn,
                    open_init=rung.init,
                    open_discontinuity=self.open_discontinuity,
                    open_pdt_us=self.open_pdt_us,
                )
                for rung in sorted(self.rungs.values(), key=_order)
            ],
            server_us=now_us,
        )


def _order(rung: Rung) -> tuple[bool, int]:
    """Tallest picture first, sound last."""
    return rung.kind != "video", -(rung.height or 0)


def _without_parts(segment: HeadSegment) -> HeadSegment:
    return HeadSegment(
        msn=segment.msn,
        dur=segment.dur,
        pdt_us=segment.pdt_us,
        init=segment.init,
        disc=segment.disc,
        gap=segment.gap,
        run=segment.run,
    )
