"""Timestamps as encoders send them, made into a take's timeline: milliseconds from 0, never back.

RTMP timestamps are 32 bits of milliseconds that wrap after 49 days (after 24 where a sender masks
31 bits), jump when a phone changes cameras, step back between frames and sometimes are plain
nonsense for one frame. What is done about it is the RTSP practice of restamping:

* a frame close to the last one of its track is on the line and keeps its distance to the others;
* a small step back is lifted to the track's last timestamp;
* a frame far off is stamped as if it had come in time, and remembered: if the next two agree with
  it, the line has moved for good, and the third frame says so (`Stamp.discontinuity`). If they
  don't, it was a wild frame and nothing has moved.

All tracks share one offset, so sound and picture stay together over a jump.
"""

from typing import NamedTuple

JUMP_MS = 5000
"""Further ahead than this, beyond what the clock on the wall explains, is a jump."""
BACK_MS = 1000
"""Further back than this is a jump; up to this a step is lifted. Lifting a lasting larger step
would stamp seconds of frames alike."""
CONFIRM = 3
"""Frames that must agree before a jump is believed."""

_SCRIPT = 18
_NOMINAL_MS = {8: 23, 9: 40}  # AAC at 44.1 kHz, 25 fps; until the track shows its own
_WRAP = 1 << 32
_HALF_WRAP = 1 << 31


class Stamp(NamedTuple):
    """A timestamp on the take's timeline."""

    ts_ms: int
    """Milliseconds from the take's start; never less than the track's last."""
    discontinuity: bool
    """This frame confirmed a lasting jump of the sender's clock."""


class _Track:
    __slots__ = ("nominal", "out", "wide")

    def __init__(self, kind: int) -> None:
        self.wide: int | None = None  # last unwrapped timestamp that was on the line
        self.out = 0
        self.nominal = _NOMINAL_MS.get(kind & 0xFF, 40)


class TimestampNormalizer:
    """One per take. ``kind`` is the FLV tag type; each is a track with its own order.

    For a further track of a multitrack feed pass ``kind + 256 * track_id``.
    """

    def __init__(self) -> None:
        self._tracks: dict[int, _Track] = {}
        self._offset = 0  # timeline = unwrapped timestamp + offset
        self._wide: int | None = None  # last unwrapped timestamp on the line, any track
        self._out = 0  # the furthest point of the timeline so far
        self._now = 0.0
        self._suspects = 0  # frames in a row on another line
        self._suspect_wide = 0
        self._suspect_offset = 0

    def push(self, kind: int, raw_ts: int, now: float) -> Stamp:
        """Stamp the next frame. ``raw_ts`` 0 to 2^32-1 ms, ``now`` monotonic seconds."""
        if self._wide is None:
            if kind == _SCRIPT:
                return Stamp(0, False)
            self._wide = raw_ts
            self._offset = -raw_ts
            self._now = now
        wide = self._unwrap(raw_ts, self._wide)
        if kind == _SCRIPT:
            return self._script(wide)
        track = self._tracks.get(kind)
        if track is None:
            track = self._tracks[kind] = _Track(kind)
        reach = JUMP_MS + int((now - self._now) * 1000)
        self._now = now
        if track.wide is None:
            on_line = -JUMP_MS <= wide - self._wide <= reach
        else:
            on_line = -BACK_MS <= wide - track.wide <= reach
        if on_line:
            self._suspects = 0
            return self._accept(track, wide, False)
        return self._suspect(track, wide)

    @staticmethod
    def _unwrap(raw: int, reference: int) -> int:
        """The number congruent to ``raw`` modulo 2^32 nearest to ``reference``.

        A sender that masks 31 bits wraps at half of that: taken as such only where it leads
        right back to the line.
        """
        step = (raw - reference + _HALF_WRAP) % _WRAP - _HALF_WRAP
        if abs(step) > JUMP_MS:
            half = (raw - reference + _HALF_WRAP // 2) % _HALF_WRAP - _HALF_WRAP // 2
            if abs(half) <= JUMP_MS:
                step = half
        return reference + step

    def _script(self, wide: int) -> Stamp:
        # Metadata often says 0 in the middle of a show. It never moves the line.
        assert self._wide is not None
        if abs(wide - self._wide) > JUMP_MS:
            return Stamp(self._out, False)
        return Stamp(max(wide + self._offset, 0), False)

    def _accept(self, track: _Track, wide: int, discontinuity: bool) -> Stamp:
        out = wide + self._offset
        if track.wide is not None and 0 < wide - track.wide <= 1000:
            track.nominal = wide - track.wide
        out = max(out, track.out)
        track.out = out
        track.wide = wide
        self._wide = wide
        self._out = max(self._out, out)
        return Stamp(out, discontinuity)

    def _suspect(self, track: _Track, wide: int) -> Stamp:
        if self._out == 0:
            # Sequence headers at 0, then frames at the encoder's uptime: nothing to break yet.
            self._offset = -wide
            self._forget_order()
            return self._accept(track, wide, False)
        step = wide - self._suspect_wide
        if self._suspects and -JUMP_MS <= step <= JUMP_MS:
            self._suspects += 1
        else:
            self._suspects = 1
            self._suspect_offset = self._out + track.nominal - wide
        self._suspect_wide = wide
        if self._suspects >= CONFIRM:
            self._suspects = 0
            self._offset = self._suspect_offset
            self._forget_order()
            return self._accept(track, wide, True)
        track.out += track.nominal
        self._out = max(self._out, track.out)
        return Stamp(track.out, False)

    def _forget_order(self) -> None:
        """After a move each track's first frame is judged by the line alone."""
        for track in self._tracks.values():
            track.wide = None
