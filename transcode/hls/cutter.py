"""Where parts and segments end: the leading track of one rendition, cut on its clock.

The clock of a rendition is the decode time of its leading track (video if there is any), moved
so that key frames lie at their presentation time; so it is the same in every rung, whatever
the reordering delay of its encoder. All values are ticks on the air timeline.

A part's *declared* time and the frames it holds may differ by less than a frame: declared ends
are what RFC 8216bis 4.4.4.9 measures, so they are held to PART-TARGET exactly, while a frame
that straddles an end stays whole in the part where it begins.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fractions import Fraction

import msgspec

from transcode.fmp4.model import Sample
from transcode.hls.head import TIMESCALE

MIN_PART = Fraction(85, 100)
"""RFC 8216bis 4.4.4.9: all but the last part of a segment last at least this much of the target."""

JITTER = TIMESCALE * 20 // 1000
"""How far two readings of the same boundary may lie apart (milliseconds rounded twice, and
frame durations that were predicted)."""

LIMIT_SLACK = TIMESCALE * 2 // 5
"""How far past TARGETDURATION a segment may run: EXTINF rounds up at 0.5 s (rfc8216bis 4.4.3.1),
and phones are not exact about the distance of their key frames."""

HOLE = TIMESCALE
"""Time without frames from which the segment is ended rather than the last frame stretched."""

STALL = TIMESCALE * 3 // 2
"""How far the other track may run ahead before the leading one is taken to have a hole."""

AFTER_ALL = 1 << 62
"""A tick no media reaches."""

MAX_WAITING_SAMPLES = 8_000
"""Samples a following rung may hold while it waits to learn where the leading one cuts."""


class WaitingTooLong(Exception):
    """A rung ran ahead of the leading one by more than the buffer holds."""


class Timed(msgspec.Struct, frozen=True, gc=False):
    """A sample and its place on the rendition's clock."""

    tick: int
    dur: int
    is_sync: bool
    sample: Sample

    @property
    def end(self) -> int:
        return self.tick + self.dur


@dataclass(frozen=True, slots=True)
class Span:
    """One part: declared times, the leading track's frames, and what other tracks add until
    ``riders_until``. ``published`` parts were announced by an earlier run."""

    start: int
    end: int
    frames: list[Timed]
    riders_until: int
    published: bool = False
    optional: bool = False
    """Made only for what other tracks may have left: not a part when they have nothing."""


@dataclass(frozen=True, slots=True)
class Boundary:
    """The end of a segment. ``timed``: not at a key frame, but because time went by;
    ``last``: the feed ends here, and everything left belongs before it."""

    tick: int
    timed: bool
    last: bool = False


@dataclass(frozen=True, slots=True)
class TooLong:
    """The segment cannot end in time."""

    at: int
    limit: int


@dataclass(frozen=True, slots=True)
class Void:
    """No usable frame between two ticks."""

    start: int
    end: int
    dropped: int


CutEvent = Span | Boundary | TooLong | Void


@dataclass(frozen=True, slots=True)
class CutRules:
    """Lengths in ticks."""

    part_target: int
    segment_target: int
    limit: int
    """No segment may be longer (it already holds the slack)."""

    @property
    def part_min(self) -> int:
        return -int(-self.part_target * MIN_PART // 1)


class PartCutter:
    """Cuts parts, and segments at the boundaries that ``_boundary_before`` finds."""

    def __init__(self, rules: CutRules, start: int, published: list[int], needs_sync: bool) -> None:
        """``published``: ends of the parts that were announced before, in ticks;
        ``needs_sync``: a segment must begin with a key frame (video)."""
        self.rules = rules
        self.start = start
        """Where the open segment begins."""
        self.end = start
        """End of the last frame taken."""
        self._needs_sync = needs_sync
        self._await_sync = needs_sync
        self._part_start = start
        self._frames: list[Timed] = []
        self._published = deque(published)
        self._fixed_until = published[-1] if published else start
        self._void_from: int | None = None
        self._dropped = 0
        self._stopped = False
        self._out: list[CutEvent] = []

    # What leading and following rungs do differently.

    def _boundary_before(self, frame: Timed) -> Boundary | None:
        """The boundary to draw before ``frame``, if any."""
        raise NotImplementedError

    def _time_passed(self, until: int) -> None:
        """No frame of this track will come before ``until``."""
        raise NotImplementedError

    # The common part.

    def _events(self) -> list[CutEvent]:
        out, self._out = self._out, []
        return out

    def _take(self, frame: Timed) -> None:
        """One frame, in order."""
        if frame.tick < self.start - self._early(frame) and self.end == self.start:
            return  # the run-up from the log's key frame to the place where we resume
        if frame.tick - self.end > HOLE:
            self._time_passed(frame.tick)
        while not self._stopped and (boundary := self._boundary_before(frame)) is not None:
            self._end_segment(boundary)
        if self._stopped:
            return
        if self._await_sync and not frame.is_sync:
            if self._void_from is None:
                self._void_from = self.end
            self._dropped += 1
            return
        self._await_sync = False
        if self._void_from is not None:
            if frame.tick - self._void_from > JITTER:
                self._out.append(Void(self._void_from, frame.tick, self._dropped))
            self._void_from, self._dropped = None, 0
        self._place(frame)

    def _early(self, frame: Timed) -> int:
        """How long before a boundary a frame may begin that belongs behind it. For audio a
        quarter of a frame: its frames often begin right on a boundary or half-way, and a run
        that resumes must decide as the first one did although both were rounded."""
        return frame.dur // 2 if self._needs_sync else frame.dur // 4

    def _place(self, frame: Timed) -> None:
        near = min(frame.dur // 2, JITTER)
        while self._published and frame.tick >= self._published[0] - near:
            self._close(self._published.popleft(), published=True)
        if self._published:
            self._frames.append(frame)
            self.end = frame.end
            return
        target, least = self.rules.part_target, self.rules.part_min
        while frame.tick - self._part_start > target:
            self._close(self._part_start + target)
        if frame.end - self._part_start > target:
            if frame.tick - self._part_start >= least:
                self._close(frame.tick)
            if frame.end - self._part_start > target:
                # Without this frame the part would be too short: it takes the frame, is
                # declared no longer than it may be, and the rest counts for the next part.
                self._frames.append(frame)
                self.end = frame.end
                self._close(self._part_start + target)
                return
        self._frames.append(frame)
        self.end = frame.end
        length = self.end - self._part_start
        if length >= least and length + frame.dur > target:
            # Full: the next frame, if it is like this one, would cross. Don't wait for it.
            self._close(self.end)

    def _close(self, at: int, published: bool = False, riders_until: int | None = None) -> None:
        frames, self._frames = self._frames, []
        until = at if riders_until is None else riders_until
        self._out.append(Span(self._part_start, at, frames, until, published))
        self._part_start = at

    def _end_segment(self, boundary: Boundary) -> None:
        at, target = boundary.tick, self.rules.part_target
        while self._published:
            fixed = self._published.popleft()
            last = not self._published and at - fixed <= JITTER
            self._close(fixed, published=True, riders_until=max(fixed, at) if last else None)
        slack = max(JITTER, self._frames[-1].dur if self._frames else 0)
        while at - self._part_start > target:
            cut = self._part_start + target
            late = [frame for frame in self._frames if frame.tick >= cut]
            if not late and at - cut <= slack:
                break
            self._frames = [frame for frame in self._frames if frame.tick < cut]
            self._close(cut)
            self._frames = late
        until = AFTER_ALL if boundary.last else at
        if self._frames or at - self._part_start > slack:
            end = at if at > self._part_start else self.end
            self._close(min(end, self._part_start + target), riders_until=until)
        elif boundary.last:
            end = max(at, self._part_start + 1)
            self._out.append(Span(self._part_start, end, [], until, optional=True))
        self._out.append(boundary)
        self.start = self.end = self._part_start = self._fixed_until = at
        self._await_sync = self._needs_sync
        if boundary.timed and self._void_from is None:
            self._void_from = at


class LeadingCutter(PartCutter):
    """Chooses the boundaries: key frames of the leading rung, or plain time for sound alone."""

    def __init__(
        self,
        rules: CutRules,
        start: int,
        published: list[int],
        needs_sync: bool,
        no_cut_before: int,
    ) -> None:
        """``no_cut_before``: the latest part any rendition has announced of this segment."""
        super().__init__(rules, start, published, needs_sync)
        self._fixed_until = max(no_cut_before, start)
        self._last_sync: int | None = None
        self._longest_gop = 0

    @property
    def safe(self) -> int:
        """Every boundary before this tick has been announced."""
        return max(self.start, self.end - JITTER // 4)

    def feed(self, frames: list[Timed]) -> list[CutEvent]:
        """Frames in decode order."""
        for frame in frames:
            if self._stopped:
                break
            self._take(frame)
        return self._events()

    def others_at(self, tick: int) -> list[CutEvent]:
        """The other track of this rung has come as far as ``tick``."""
        if not self._stopped and tick - self.end > STALL:
            self._time_passed(tick)
        return self._events()

    def finish(self, others: int) -> list[CutEvent]:
        """The feed is over: end the open segment with its last frame, or with the other track
        (which has come to ``others``) when that is all there is."""
        end = max(self.end, self._fixed_until)
        if self._void_from is not None or others - end > HOLE:
            end = max(end, others)
        if not self._stopped and end > self.start:
            self._end_segment(Boundary(end, timed=True, last=True))
        return self._events()

    def _boundary_before(self, frame: Timed) -> Boundary | None:
        elapsed = frame.tick - self.start
        rules = self.rules
        if not self._needs_sync:
            due = rules.segment_target - frame.dur // 2
            return Boundary(frame.tick, timed=False) if elapsed >= due else None
        if self._await_sync and self._void_from is not None:
            if frame.is_sync:
                return Boundary(frame.tick, timed=False) if elapsed > JITTER else None
            if elapsed >= rules.segment_target:
                return Boundary(self.start + rules.segment_target, timed=True)
            return None
        if not frame.is_sync:
            if frame.end - self.start > rules.limit:
                self._give_up(frame)
            return None
        if self._last_sync is not None and frame.tick > self._last_sync:
            self._longest_gop = max(self._longest_gop, frame.tick - self._last_sync)
        self._last_sync = frame.tick
        if elapsed <= JITTER or frame.tick < self._fixed_until - JITTER:
            return None
        if elapsed < rules.segment_target - JITTER and elapsed + self._longest_gop <= rules.limit:
            return None
        if elapsed > rules.limit:
            self._give_up(frame)
            return None
        return Boundary(frame.tick, timed=False)

    def _give_up(self, frame: Timed) -> None:
        """End the segment with what it has, so that nothing announced is lost, and stop: the
        frames from here on need a run that makes its own key frames."""
        end = max(self.end, self._fixed_until)
        if end > self.start:
            self._end_segment(Boundary(end, timed=True))
        self._stopped = True
        self._out.append(TooLong(frame.tick, self.start + self.rules.limit))

    def _time_passed(self, until: int) -> None:
        """Segments in which this track has no frames, as long as segments usually are."""
        self._last_sync = None
        if self.end > self.start and not (self._await_sync and self._void_from is not None):
            self._end_segment(Boundary(max(self.end, self._fixed_until), timed=True))
        elif self._void_from is None:
            self._void_from = self.start
        while until - self.start >= self.rules.segment_target:
            self._end_segment(Boundary(self.start + self.rules.segment_target, timed=True))


class FollowingCutter(PartCutter):
    """Ends its segments where the leading rung does."""

    def __init__(self, rules: CutRules, start: int, published: list[int], needs_sync: bool) -> None:
        super().__init__(rules, start, published, needs_sync)
        self._boundaries: deque[Boundary] = deque()
        self._waiting: deque[Timed] = deque()
        self._safe = start

    @property
    def newest(self) -> int:
        """End of the newest frame seen, taken or waiting."""
        return self._waiting[-1].end if self._waiting else self.end

    def feed(self, frames: list[Timed]) -> list[CutEvent]:
        """Frames in decode order; those the leading rung has not reached wait."""
        self._waiting.extend(frames)
        if len(self._waiting) > MAX_WAITING_SAMPLES:
            raise WaitingTooLong(
                f"{len(self._waiting)} frames wait for the leading rung, limit "
                f"{MAX_WAITING_SAMPLES}"
            )
        return self._run()

    def led(self, boundaries: list[Boundary], safe: int) -> list[CutEvent]:
        """News from the leading rung."""
        self._boundaries.extend(boundaries)
        self._safe = max(self._safe, safe)
        return self._run()

    def others_at(self, tick: int) -> list[CutEvent]:
        """The other track of this rung has come as far as ``tick``."""
        while not self._waiting and self._boundaries and tick - self._boundaries[0].tick > STALL:
            self._end_segment(self._boundaries.popleft())
        return self._events()

    def finish(self) -> list[CutEvent]:
        """The leading rung has finished: no more boundaries will come."""
        while self._waiting and self._boundaries:
            self._take(self._waiting.popleft())
        while self._boundaries:
            self._end_segment(self._boundaries.popleft())
        return self._events()

    def _run(self) -> list[CutEvent]:
        while self._waiting and self._decidable(self._waiting[0]):
            self._take(self._waiting.popleft())
        return self._events()

    def _window(self, frame: Timed) -> int:
        """How far from the boundary this rung's own first frame may lie."""
        return frame.dur * 3 // 2 if self._needs_sync else self._early(frame)

    def _decidable(self, frame: Timed) -> bool:
        if self._boundaries:
            return True
        window = self._window(frame)
        if self._needs_sync and not frame.is_sync:
            return self._safe >= frame.tick - window
        return self._safe > frame.tick + window

    def _boundary_before(self, frame: Timed) -> Boundary | None:
        if not self._boundaries:
            return None
        if self._boundaries[0].last:
            return None
        at, window = self._boundaries[0].tick, self._window(frame)
        early = frame.is_sync or not self._needs_sync
        if frame.tick >= (at - window if early else at + window):
            return self._boundaries.popleft()
        return None

    def _time_passed(self, until: int) -> None:
        """The leading rung says where segments end; parts are closed as time goes by."""
