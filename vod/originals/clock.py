"""An original's timestamps turned into the work's timeline: ticks for pictures, samples for sound.

Pure. Zero is the first picture that can be shown (of sound alone: the first sample). Nothing is
guessed from where one happens to begin reading: every packet's time follows from the whole table,
so chunks that overlap agree about it.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import numpy as np

from vod.originals.table import NO_TIME, Column, Packets

TICKS: Final = 90_000

JUMP_TICKS: Final = 10 * TICKS
"""A step of the clock that is no pause of the picture: FFmpeg's own dts_delta_threshold."""
BACK_TICKS: Final = TICKS
"""So far back decoding times do not go where the clock is whole."""
SLACK_SECONDS: Final = Fraction(3, 100)
"""Sound further than this from its timestamps has a hole (silence) or too much (left out)."""

_HOLE_LENGTHS: Final = 4
"""Codecs that change their packets' length (Vorbis) stay within this many usual ones."""

_STREAMED: Final = frozenset(("mpegts", "mpeg", "flv", "live_flv", "asf", "dv"))
"""Formats whose clock may jump in the middle: joined recordings, an encoder that restarted. In
the others an index is the truth, and a long pause is meant."""


def rescaled(values: Column, base: Fraction, rate: int) -> Column:
    """Times in units of ``base`` seconds as units of 1/``rate``: nearest, halves away from zero
    (as av_rescale_q does, so that our times are those FFmpeg would write)."""
    factor = base * rate
    scaled = values * factor.numerator
    doubled = 2 * np.abs(scaled) + factor.denominator
    nearest: Column = np.sign(scaled) * (doubled // (2 * factor.denominator))
    return nearest


def filled(packets: Packets) -> tuple[Column, Column]:
    """(pts, dts) with each standing in where the other is missing; both missing: the one before."""
    pts = np.where(packets.pts == NO_TIME, packets.dts, packets.pts)
    dts = np.where(packets.dts == NO_TIME, packets.pts, packets.dts)
    for column in (pts, dts):
        known = np.where(column != NO_TIME, np.arange(len(column)), -1)
        before = np.maximum.accumulate(known)
        first = int(np.argmax(known >= 0))
        column[:] = column[np.where(before >= 0, before, first)]
    return pts, dts


@dataclass(frozen=True, slots=True)
class Shifts:
    """What to add to each packet's ticks so that the clock never jumps."""

    video: Column | None
    audio: Column | None
    jumps: int


def shifts(container: str, video: Packets | None, audio: Packets | None) -> Shifts:
    """The shifts of every packet; zeros for a clock that is whole."""
    streams = [p for p in (video, audio) if p is not None]
    flat = Shifts(
        None if video is None else np.zeros(len(video), np.int64),
        None if audio is None else np.zeros(len(audio), np.int64),
        0,
    )
    if not _STREAMED.intersection(container.split(",")):
        return flat
    clocks = [rescaled(filled(p)[1], p.base, TICKS) for p in streams]
    if not any(_jumps(clock) for clock in clocks):
        return flat
    found, jumps = _closed_up(streams, clocks)
    if video is None:
        return Shifts(None, found[0], jumps)
    return Shifts(found[0], found[1] if audio is not None else None, jumps)


def _jumps(clock: Column) -> bool:
    steps = np.diff(clock)
    return bool(np.any((steps > JUMP_TICKS) | (steps < -BACK_TICKS)))


def _closed_up(streams: list[Packets], clocks: list[Column]) -> tuple[list[Column], int]:
    """Walk the packets as they lie in the file. A packet whose time fits neither its own stream
    nor the other, under the shift that holds, begins a new one: it follows what came before."""
    place = np.concatenate([np.full(len(p), n, np.int64) for n, p in enumerate(streams)])
    row = np.concatenate([np.arange(len(p)) for p in streams])
    walk = np.argsort(np.concatenate([p.order for p in streams]), kind="stable")
    found = [np.zeros(len(p), np.int64) for p in streams]
    last: list[int | None] = [None] * len(streams)
    shift, older, jumps = 0, 0, 0
    for stream, at in zip(place[walk].tolist(), row[walk].tolist(), strict=True):
        time = int(clocks[stream][at])
        end = max((t for t in last if t is not None), default=None)
        if end is not None and not _fits(time + shift, last[stream], end):
            if _fits(time + older, last[stream], end):
                # A straggler of the other stream from before the jump.
                found[stream][at] = older
                last[stream] = max(last[stream] or 0, time + older)
                continue
            older, shift = shift, end - time
            jumps += 1
        found[stream][at] = shift
        last[stream] = time + shift
    return found, jumps


def _fits(time: int, own: int | None, end: int) -> bool:
    """Within reach of its own stream's last packet, or of the newest of either."""
    if own is not None and time < own - BACK_TICKS:
        return False
    return any(before is not None and abs(time - before) <= JUMP_TICKS for before in (own, end))


# --- pictures --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Shown:
    """The pictures of a work, in the order they are shown in."""

    rows: Column
    """Of the table, for each picture."""
    times: Column
    """When each is shown: ticks from zero, strictly rising."""
    end: int
    """When the last one ends."""
    origin: int
    """Zero, on the original's own clock (shifted): ticks."""
    keys: Column
    """Rows of key frames, in the order of decoding."""
    clock: Column
    """Of every row, also those not shown: ticks from zero."""


def pictures(packets: Packets, shift: Column) -> Shown | None:
    """When every picture is shown; None when there is none.

    Left out: what comes before the first key frame, and the first key frame's leading pictures
    (they refer to what was cut away: no decoder shows them); what an edit list hides.
    """
    pts, _ = filled(packets)
    ticks = rescaled(pts, packets.base, TICKS) + shift
    rows = np.arange(len(packets))
    keys = packets.keys if len(packets.keys) else rows[:1]
    shown = (rows >= keys[0]) & (ticks >= ticks[keys[0]])
    shown[packets.hidden] = False
    if not shown.any():
        return None
    kept = rows[shown]
    kept = kept[np.argsort(ticks[kept], kind="stable")]
    origin = int(ticks[kept[0]])
    steps = np.arange(len(kept))
    # Two pictures at one time cannot be: the later one follows a tick after.
    times = np.maximum.accumulate(ticks[kept] - origin - steps) + steps
    clock = ticks - origin
    clock[kept] = times
    return Shown(kept, times, int(times[-1]) + _last(packets, kept, times), origin, keys, clock)


def _last(packets: Packets, kept: Column, times: Column) -> int:
    """How long the last picture lasts: as the container says, else as most do."""
    said = int(rescaled(packets.duration[kept[-1:]], packets.base, TICKS)[0])
    usual = int(np.median(np.diff(times))) if len(times) > 1 else TICKS // 25
    return said if 0 < said <= max(4 * usual, TICKS) else max(1, usual)


# --- sound -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Heard:
    """The sound of a work, in samples of its own rate from zero."""

    starts: Column
    """Where each packet's first sample lies."""
    anchors: Column
    """Rows whose place is not simply the end of the one before."""
    step: int
    """Samples of every packet; 0 where they differ."""
    end: int


def sounds(
    packets: Packets, shift: Column, rate: int, frame_size: int, origin: int | None
) -> Heard:
    """Where every packet's samples lie, counted on from the first: timestamps are rounded (to the
    millisecond in some containers), samples are not.

    ``origin`` as in ``Shown``; None: the first sample that is heard is zero.
    """
    pts, _ = filled(packets)
    said = rescaled(pts, packets.base, rate) + rescaled(shift, Fraction(1, TICKS), rate)
    if origin is None:
        # Before the container's own zero lies an encoder's run-up, which no decoder gives out.
        said = said - (said[0] if said[0] > 0 or said[0] < -rate else 0)
    else:
        said = said - int(rescaled(np.array([origin]), Fraction(1, TICKS), rate)[0])
    steps = _lengths(packets, rate, frame_size)
    slack = max(SLACK_SECONDS * rate, 3 * packets.base * rate)
    starts = np.empty(len(packets), np.int64)
    anchors = []
    at = 0
    for row, (wanted, step) in enumerate(zip(said.tolist(), steps.tolist(), strict=True)):
        if row == 0 or abs(wanted - at) > slack:
            at = wanted
            anchors.append(row)
        starts[row] = at
        at += step
    step = int(steps[0]) if bool(np.all(steps == steps[0])) else 0
    return Heard(starts, np.array(anchors, np.int64), step, at)


def _lengths(packets: Packets, rate: int, frame_size: int) -> Column:
    """Samples of every packet: exactly where it can be known, else as the timestamps say."""
    count = len(packets)
    unit = packets.base * rate
    if unit in (1, 2) and bool(np.all(packets.duration[:-1] > 0)):
        # The container counts samples (of a codec that doubles its rate: half as many).
        exact: Column = packets.duration * unit.numerator
        # Before a pause a packet may be said to last longer than its sound does.
        if frame_size > 0 and int(np.median(exact)) == frame_size:
            exact = np.full(count, frame_size, np.int64)
        return exact
    pts, _ = filled(packets)
    gaps = np.diff(pts)
    usual = int(np.median(gaps)) if count > 1 else 0
    regular = gaps[np.abs(gaps - usual) <= 2]
    if len(regular) > 0.9 * len(gaps) and len(regular):
        mean = float(regular.mean() * unit)
        vague = float(1.5 * unit) / len(regular)
        if frame_size > 0 and abs(mean - frame_size) < 0.02 * mean + vague:
            return np.full(count, frame_size, np.int64)
        if vague + abs(mean - round(mean)) < 0.3 and mean >= 1:
            return np.full(count, round(mean), np.int64)
    said = rescaled(pts, packets.base, rate)
    most = max(0, round(usual * float(unit)))
    lengths: Column = np.append(np.diff(said), most)
    # What lasts so much longer than most is a hole: the packet itself does not.
    lengths[lengths > int(_HOLE_LENGTHS * most + SLACK_SECONDS * rate)] = most
    return np.maximum(lengths, 0)
