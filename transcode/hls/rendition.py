"""One rendition of a run: samples in, parts and segments out."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import pairwise

from transcode.fmp4.model import InitSection, Sample, Track
from transcode.fmp4.writer import TrackSamples, write_fragment, write_init
from transcode.hls.audio_clock import AudioClock
from transcode.hls.cutter import (
    LIMIT_SLACK,
    Boundary,
    CutEvent,
    CutRules,
    FollowingCutter,
    LeadingCutter,
    Span,
    Timed,
    TooLong,
    Void,
    WaitingTooLong,
)
from transcode.hls.events import (
    GopTooLong,
    Hole,
    PackagerError,
    PackagerEvent,
    PartReady,
    ResumePoint,
    RungSpec,
    RunTiming,
    SegmentReady,
)
from transcode.hls.head import TIMESCALE, HeadPart

RIDER_TOLERANCE = TIMESCALE * 2 // 1000
"""Audio within this of a part's end counts as beyond it: rounding to milliseconds, twice."""

RIDER_WAIT = TIMESCALE
"""How far the leading track may go on before a part no longer waits for the other one."""

MAX_RIDERS = 8_000
"""Samples of the second track that may wait for the leading one."""

PARTS_PER_SEGMENT = 4096
"""Sequence numbers of fragments: segment number times this, plus the part's index."""


class _Riders:
    """The second track of a rendition (its audio): samples waiting for a part to hold them."""

    def __init__(self, track: Track, out_id: int) -> None:
        self.track = track
        self.out_id = out_id
        self.waiting: deque[Timed] = deque()
        self.reached: int | None = None
        """End of the newest sample, on the air timeline."""

    def add(self, samples: list[Timed]) -> None:
        if not samples:
            return
        self.waiting.extend(samples)
        self.reached = samples[-1].end
        if len(self.waiting) > MAX_RIDERS:
            raise PackagerError(
                f"{len(self.waiting)} audio frames wait for video, limit {MAX_RIDERS}"
            )

    def take(self, until: int) -> list[Timed]:
        taken = []
        while self.waiting and self.waiting[0].tick < until - RIDER_TOLERANCE:
            taken.append(self.waiting.popleft())
        return taken


class RenditionPackager:
    """Packages one rung. ``leads``: it chooses where segments end; others are told.

    Invariants of a resumed segment: parts announced before are not given out again; their
    durations stay; the segment's bytes hold the whole segment all the same. While a former
    run's parts are still in Redis they are served from there, afterwards the same parts are cut
    out of the new file by its own offsets.
    """

    def __init__(
        self,
        spec: RungSpec,
        timing: RunTiming,
        resume: ResumePoint,
        section: InitSection,
        *,
        leads: bool,
    ) -> None:
        self.spec = spec
        self._timing = timing
        self.init_number = 0
        lead = section.track(spec.kind)
        if lead is None:
            raise PackagerError(f"rung {spec.name} has no {spec.kind} track")
        self._lead = lead
        rider = section.track("audio") if spec.kind == "video" else None
        self._riders = _Riders(rider, 2) if rider else None
        self._audio_clock = AudioClock()
        self.init = write_init(_written_tracks(lead, rider))
        self.codecs = ",".join(track.codec for track in (lead, rider) if track)

        self._announced = list(resume.published.get(spec.name, ()))
        ends = []
        at = resume.start_tick
        for part in self._announced:
            at += part.dur
            ends.append(at)
        rules = CutRules(
            timing.part_target,
            timing.segment_target,
            timing.target_duration * TIMESCALE + LIMIT_SLACK,
        )
        needs_sync = spec.kind == "video"
        self._leader: LeadingCutter | None = None
        self._follower: FollowingCutter | None = None
        if leads:
            fixed = resume.start_tick + max(
                (sum(part.dur for part in parts) for parts in resume.published.values()),
                default=0,
            )
            self._leader = LeadingCutter(rules, resume.start_tick, ends, needs_sync, fixed)
        else:
            self._follower = FollowingCutter(rules, resume.start_tick, ends, needs_sync)
        self._first_tick = resume.start_tick
        self._shift: int | None = None
        self._last_dts = -1
        self._pending: deque[CutEvent] = deque()
        self._lead_reached = resume.start_tick
        self._msn = resume.msn
        self._start = resume.start_tick
        self._parts: list[HeadPart] = []
        self._chunks: list[bytes] = []
        self._size = 0
        self._peak = self._short_peak = 0
        self._total_bytes = 0
        self._total_ticks = 0
        self.boundaries: list[Boundary] = []
        """Boundaries a leading rung has found and nobody has collected yet."""

    @property
    def peak_bandwidth(self) -> int:
        """Bits a second of the heaviest segment so far.

        Those shorter than half the target duration do not count (rfc8216bis 4.4.6.2 measures
        stretches from there on): a last segment of two frames would say ten times the truth.
        """
        return self._peak or self._short_peak

    @property
    def average_bandwidth(self) -> int:
        """Bits a second over all segments so far."""
        return self._total_bytes * 8 * TIMESCALE // self._total_ticks if self._total_ticks else 0

    @property
    def open_msn(self) -> int:
        """The segment being built."""
        return self._msn

    @property
    def safe(self) -> int:
        """For a leading rung: no boundary will be announced before this tick."""
        return self._leader.safe if self._leader else self._start

    def feed(self, samples: Sequence[Sample]) -> list[PackagerEvent]:
        """Samples as the reader gave them, each track in decode order."""
        lead = [sample for sample in samples if sample.track_id == self._lead.track_id]
        frames = self._time(lead, self._lead)
        if frames:
            self._lead_reached = frames[-1].end
        riders = self._riders
        if riders:
            wanted = riders.track.track_id
            riders.add(self._time([s for s in samples if s.track_id == wanted], riders.track))
        cutter = self._leader or self._follower
        assert cutter is not None
        try:
            self._queue(cutter.feed(frames))
        except WaitingTooLong as error:
            raise PackagerError(f"rung {self.spec.name}: {error}") from error
        if riders and riders.reached is not None:
            self._queue(cutter.others_at(riders.reached))
        return self._emit(final=False)

    def led(self, boundaries: list[Boundary], safe: int) -> list[PackagerEvent]:
        """News from the leading rung: new boundaries, and that none will come before ``safe``."""
        if self._follower:
            self._queue(self._follower.led(boundaries, safe))
        return self._emit(final=False)

    def finish(self) -> list[PackagerEvent]:
        """The run is over and its last segment is to be completed."""
        if self._leader:
            riders = self._riders
            reached = riders.reached if riders and riders.reached is not None else 0
            self._queue(self._leader.finish(reached))
        elif self._follower:
            self._queue(self._follower.finish())
        return self._emit(final=True)

    def _queue(self, events: list[CutEvent]) -> None:
        """What was cut; a part may yet wait for the other track, a boundary is known at once."""
        self._pending += events
        if self._leader:
            self.boundaries += [event for event in events if isinstance(event, Boundary)]

    def _time(self, samples: list[Sample], track: Track) -> list[Timed]:
        """Samples on the air timeline, in the timescale they will be written with."""
        timing = self._timing
        if track.kind == "audio":
            return self._time_audio(samples, track)
        if not samples:
            return []
        shift = self._shift
        if shift is None:
            first = next((sample for sample in samples if sample.is_sync), samples[0])
            shift = first.cts * TIMESCALE // track.timescale
            self._shift = shift if first.is_sync else None
        offset = timing.air_start - timing.take_start + shift
        scale = track.timescale
        ticks = [(sample.dts * TIMESCALE + scale // 2) // scale + offset for sample in samples]
        timed = []
        for index, sample in enumerate(samples):
            tick = ticks[index]
            dur = sample.duration * TIMESCALE // scale
            if index + 1 < len(ticks) and ticks[index + 1] > tick:
                dur = ticks[index + 1] - tick
            shown = tick - shift + (sample.cts * TIMESCALE + scale // 2) // scale
            # At the very start of the air timeline reordered frames would decode before zero,
            # which tfdt cannot say: there they follow each other by single ticks.
            self._last_dts = dts = max(tick - shift, self._last_dts + 1)
            written = Sample(1, dts, shown - dts, dur, sample.is_sync, sample.data)
            timed.append(Timed(tick, dur, sample.is_sync, written))
        return timed

    def _time_audio(self, samples: list[Sample], track: Track) -> list[Timed]:
        clock, scale = self._audio_clock, track.timescale
        clock.measure([sample.duration for sample in samples])
        timing = self._timing
        offset = ((timing.air_start - timing.take_start) * scale) // TIMESCALE
        out_id = 1 if track is self._lead else 2
        timed = []
        for sample in samples:
            dts = clock.place(sample.dts)
            if dts is None:
                continue
            dts += offset
            duration = clock.frame or sample.duration
            tick = (dts * TIMESCALE + scale // 2) // scale
            end = ((dts + duration) * TIMESCALE + scale // 2) // scale
            if out_id != 1 and tick < self._first_tick - RIDER_TOLERANCE:
                continue  # it belongs to the segment before
            if end <= 0:
                continue  # before the air timeline begins
            # tfdt has no sign: what only rounding puts before zero is at zero.
            written = Sample(out_id, max(0, dts), sample.cts, duration, True, sample.data)
            timed.append(Timed(tick, end - tick, True, written))
        return timed

    def _emit(self, final: bool) -> list[PackagerEvent]:
        out: list[PackagerEvent] = []
        pending = self._pending
        while pending:
            event = pending[0]
            if isinstance(event, Span):
                if not final and not self._riders_here(event.end):
                    break
                self._finish_part(event, out)
            elif isinstance(event, Boundary):
                self._finish_segment(event, out)
            elif isinstance(event, TooLong):
                out.append(GopTooLong(self.spec.name, self._msn, event.at, event.limit))
            elif isinstance(event, Void):
                out.append(Hole(self.spec.name, event.start, event.end, event.dropped))
            pending.popleft()
        return out

    def _riders_here(self, until: int) -> bool:
        riders = self._riders
        if riders is None:
            return True
        reached = riders.reached
        if reached is not None and reached >= until - RIDER_TOLERANCE:
            return True
        return self._lead_reached - until > RIDER_WAIT

    def _finish_part(self, span: Span, out: list[PackagerEvent]) -> None:
        riders = self._riders
        carried = riders.take(span.riders_until) if riders else []
        index = len(self._parts)
        data = b""
        if span.frames or carried:
            data = self._written(index, span.frames, carried)
        if span.optional and not data:
            return
        independent = bool(span.frames) and span.frames[0].is_sync
        gap = not data
        if span.published and index < len(self._announced):
            before = self._announced[index]
            independent, gap = before.independent, before.gap
        part = HeadPart(span.end - span.start, len(data), self._size, independent, gap)
        self._parts.append(part)
        self._chunks.append(data)
        self._size += len(data)
        if not span.published:
            out.append(PartReady(self.spec.name, self._msn, index, span.start, data, part))

    def _written(self, index: int, frames: Sequence[Timed], carried: Sequence[Timed]) -> bytes:
        """A part's bytes: one fragment, and at the start of a segment one for each track, sound
        first.

        Where takes meet, the sound may step by more than two of its frames and the picture not.
        To a browser such a step is a discontinuity that takes effect where it is met: after the
        key frame it would cost all pictures up to the next one (Media Source Extensions, coded
        frame processing, "2 times last frame duration").
        """
        number = self._msn * PARTS_PER_SEGMENT + index + 1
        picture, sound = TrackSamples(1, _closed(frames)), TrackSamples(2, _closed(carried))
        if index or not (frames and carried):
            return write_fragment(number, [picture, sound])
        return write_fragment(number - 1, [sound]) + write_fragment(number, [picture])

    def _finish_segment(self, boundary: Boundary, out: list[PackagerEvent]) -> None:
        data = b"".join(self._chunks)
        ticks = boundary.tick - self._start
        if data:
            self._total_bytes += len(data)
            self._total_ticks += ticks
            rate = len(data) * 8 * TIMESCALE // ticks
            if 2 * ticks >= self._timing.target_duration * TIMESCALE:
                self._peak = max(self._peak, rate)
            else:
                self._short_peak = max(self._short_peak, rate)
        out.append(
            SegmentReady(
                self.spec.name,
                self._msn,
                self._start,
                ticks,
                data,
                self._parts,
                self.init_number,
                gap=not data,
            )
        )
        self._msn += 1
        self._start = boundary.tick
        self._parts, self._chunks, self._size = [], [], 0
        self._announced = []


def _written_tracks(lead: Track, rider: Track | None) -> list[Track]:
    """The tracks with our numbers and timescales: video 90 kHz, audio its sample rate."""
    written = []
    for number, track in enumerate((lead, rider), start=1):
        if track is None:
            continue
        scale = TIMESCALE if track.kind == "video" else track.timescale
        written.append(
            Track(
                number,
                track.kind,
                scale,
                track.codec,
                track.entry,
                track.width,
                track.height,
                track.sample_rate,
                track.channels,
            )
        )
    return written


def _closed(frames: Sequence[Timed]) -> list[Sample]:
    """Samples whose durations reach from each to the next (8.8.8: ``tfdt`` plus durations is
    what readers count with, so a hole inside a part must be in the durations)."""
    samples = [frame.sample for frame in frames]
    for index, (one, other) in enumerate(pairwise(samples)):
        step = other.dts - one.dts
        if step != one.duration and step > 0:
            samples[index] = Sample(one.track_id, one.dts, one.cts, step, one.is_sync, one.data)
    return samples
