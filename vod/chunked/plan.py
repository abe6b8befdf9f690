"""The plan of a chunk-parallel transcode: rungs, segments and chunks, known before any encoding.

Pure. Segments are cut on one grid for the whole work, so their numbers and times are the same
however it is divided. A chunk is a run of whole segments; what it reads of the original begins at
an earlier key frame than it needs and goes on until its last picture is decoded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import gcd, lcm
from typing import Final

import msgspec
import numpy as np

from transcode.ladder import COPY_GOP_MAX_MS, SEGMENT_SECONDS, Ladder, choose_ladder
from transcode.source import AudioInfo, SourceInfo, VideoInfo
from vod.originals.clock import TICKS, Heard, Shown, filled, pictures, shifts, sounds
from vod.originals.table import Column, Packets, Picture, Table, digest_of
from vod.originals.wanted import SOUND_FRAME, SOUND_RATE, PictureJob, SoundJob

GRID_TICKS: Final = SEGMENT_SECONDS * TICKS

CHUNK_TICKS: Final = 60 * TICKS
"""So long a chunk is at least: a lost worker costs about a minute of footage."""
FIRST_CHUNK_TICKS: Final = 20 * TICKS
"""The first one is shorter: once it is done, people can watch."""
LONG_CHUNK_TICKS: Final = 2 * CHUNK_TICKS
"""From here on a chunk may end where no key frame is near, and decode a little more."""
FAR_KEY_TICKS: Final = 30 * TICKS
TAIL_TICKS: Final = 20 * TICKS
"""A last chunk shorter than this belongs to the one before."""
CHUNK_BYTES: Final = 512 << 20
"""Of the original, from which on a chunk ends at the next key frame: a worker's disk is small."""
SHORTEST_TICKS: Final = 4 * TICKS

SOUND_FRAME_TICKS: Final = SOUND_FRAME * TICKS // SOUND_RATE
LEAD_FRAMES: Final = 192
"""Frames encoded before a chunk's own and thrown away. The windows of the transform are those of
a run that never stopped after a few; FFmpeg's encoder takes up to 3.5 s to find its rate, and is
worse until then (measured)."""
TRAIL_FRAMES: Final = 8
WARM_SECONDS: Final = 1
"""Of sound decoded before the first sample needed: decoders, too, begin with nothing."""
TRAIL_PACKETS: Final = 4
"""Pictures decoded after the last: a deinterlacer looks ahead."""

REORDER_MAX: Final = 16
"""Pictures H.264 may hold back (max_num_reorder_frames)."""

PLENTY_OF_CORES: Final = 1_000
"""There is no hurry: the rungs follow from the picture, not from the machine."""

_COPIED_FROM: Final = frozenset(("mov", "matroska", "flv"))


class PlanError(ValueError):
    """Nothing can be made of this original. ``code`` is stable."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class ChunkPlan(msgspec.Struct, frozen=True):
    """A chunk as its row keeps it."""

    number: int
    first_msn: int
    cuts: list[int]
    """When its segments begin, and when the last ends."""
    before: list[int]
    """When the last pictures before it are shown, as many as reordering may reach back."""
    video: PictureJob | None
    audio: SoundJob | None
    weight: int
    """Its share of the whole work: ticks encoded."""

    @property
    def start(self) -> int:
        return self.cuts[0]

    @property
    def end(self) -> int:
        return self.cuts[-1]

    @property
    def frames(self) -> list[int]:
        """When its pictures are shown, in order."""
        if self.video is None:
            return []
        shown = (self.video.zero + at for at in self.video.clock)
        return sorted(t for t in shown if self.start <= t < self.end)


@dataclass(frozen=True, slots=True)
class Plan:
    """All of a work before it is made. Ticks."""

    ladder: Ladder
    frame_rate: Fraction | None
    """Mean; None of sound alone."""
    end: int
    cuts: list[int]
    chunks: list[ChunkPlan]
    pictures: int
    reorder: int
    """By how many pictures the original decodes ahead of what it shows."""
    codes: list[str]
    """What the original has that the work has not, or otherwise: sound_before_picture,
    sound_after_picture, clock_jumps, cut_short."""

    @property
    def target_duration(self) -> int:
        """EXT-X-TARGETDURATION: the longest segment, rounded half up (rfc8216bis 4.4.3.1)."""
        ends = [*self.cuts[1:], self.end]
        longest = max(b - a for a, b in zip(self.cuts, ends, strict=True))
        return max(1, (longest * 2 + TICKS) // (2 * TICKS))


def make_plan(table: Table, *, file_bytes: int, chunk_ticks: int = CHUNK_TICKS) -> Plan:
    """Plan the work of a scanned original. Raises PlanError.

    ``chunk_ticks``: how long chunks are at least; a length beyond the original's makes one run.
    """
    moved = shifts(table.container, table.video, table.audio)
    codes = (["clock_jumps"] if moved.jumps else []) + (["cut_short"] if table.broken else [])
    shown = None
    if table.picture is not None and table.video is not None and moved.video is not None:
        shown = pictures(table.video, moved.video)
    heard = None
    if table.sound is not None and table.audio is not None and moved.audio is not None:
        origin = None if shown is None else shown.origin
        rate, size = table.sound.sample_rate, table.sound.frame_size
        heard = sounds(table.audio, moved.audio, rate, size, origin)
    rate = table.sound.sample_rate if table.sound else SOUND_RATE
    if shown is not None:
        end = shown.end
        codes += _out_of_sight(heard, rate, end)
    elif heard is not None and heard.end > 0:
        end = heard.end * TICKS // rate
    else:
        raise PlanError("nothing_to_show")
    source = _source(table, shown, end, file_bytes)
    ladder = _generous(choose_ladder(source, cores=PLENTY_OF_CORES))
    if heard is None or heard.end <= 0:
        heard = None
    keys = _key_times(shown) if shown is not None and ladder.follow_source_keys else None
    cuts = _cuts(shown.times if shown is not None else None, keys, end)
    bounds = _bounds(table.video, shown, cuts, end, chunk_ticks)
    chunks = [
        _chunk(number, table, shown, heard, [*cuts, end][first : last + 1], first)
        for number, (first, last) in enumerate(bounds)
    ]
    return Plan(
        ladder, None if shown is None else _mean_rate(shown), end, cuts, chunks,
        0 if shown is None else len(shown.times), 0 if shown is None else _reorder(shown), codes,
    )  # fmt: skip


def _generous(ladder: Ladder) -> Ladder:
    """The tallest rung may take half as many bits again as on air: nobody waits for it."""
    tallest = next(iter(ladder.video), None)
    if tallest is None or tallest.copied:
        return ladder
    wider = replace(tallest, bit_rate=tallest.bit_rate * 3 // 2)
    return replace(ladder, rungs=(wider, *(r for r in ladder.rungs if r is not tallest)))


# --- what it is ------------------------------------------------------------------------------


def _out_of_sight(heard: Heard | None, rate: int, end: int) -> list[str]:
    """The work begins and ends with its pictures; say so where sound is left out that counts."""
    if heard is None:
        return []
    found = []
    if int(heard.starts[0]) < -rate:
        found.append("sound_before_picture")
    if heard.end * TICKS > (end + TICKS) * rate:
        found.append("sound_after_picture")
    return found


def _mean_rate(shown: Shown) -> Fraction:
    return Fraction(len(shown.times) * TICKS, shown.end).limit_denominator(1001)


def _reorder(shown: Shown) -> int:
    ranks = np.empty(len(shown.rows), np.int64)
    ranks[np.argsort(shown.rows, kind="stable")] = np.arange(len(shown.rows))
    return int((ranks - np.arange(len(ranks))).max())


def _source(table: Table, shown: Shown | None, end: int, file_bytes: int) -> SourceInfo:
    video = audio = None
    if shown is not None and table.picture is not None:
        video = _upright(table.picture, _mean_rate(shown))
    if table.sound is not None:
        sound = table.sound
        audio = AudioInfo(
            sound.codec,
            # Sound is encoded anew whatever it is: one grid of frames, one rate, no priming of
            # somebody else's encoder. A profile nobody has keeps the ladder from copying it.
            "-",
            sound.sample_rate, sound.channels, sound.bit_rate,
        )  # fmt: skip
    return SourceInfo(
        video, audio, file_bytes * 8 * TICKS // max(1, end), _gop_ms(table, shown),
        open_gop=table.picture is not None and table.picture.open_gop,
    )  # fmt: skip


def _upright(picture: Picture, rate: Fraction) -> VideoInfo:
    width, height = picture.width, picture.height
    aspect = Fraction(*picture.sample_aspect)
    if picture.rotation % 180:
        width, height, aspect = height, width, 1 / aspect
    return VideoInfo(
        picture.codec, picture.profile, picture.level, width, height, rate,
        picture.pixel_format, picture.interlaced, aspect,
    )  # fmt: skip


def _gop_ms(table: Table, shown: Shown | None) -> int | None:
    """The longest group of pictures where all can go out as they came, else None."""
    picture, packets = table.picture, table.video
    if shown is None or picture is None or packets is None:
        return None
    upright = picture.rotation == 0 and not picture.mirrored
    plain = upright and picture.sample_aspect[0] == picture.sample_aspect[1]
    boxed = bool(_COPIED_FROM.intersection(table.container.split(",")))
    if not (plain and boxed and picture.global_header) or len(packets.hidden):
        return None
    if len(shown.times) != len(packets) or shown.keys[0] != 0:
        return None
    # Closed: no picture after a key frame is shown before it.
    firsts = np.minimum.reduceat(shown.clock, shown.keys)
    if not bool(np.all(firsts == shown.clock[shown.keys])):
        return None
    ends = np.append(shown.clock[shown.keys[1:]], shown.end)
    longest = int((ends - shown.clock[shown.keys]).max()) * 1000 // TICKS
    return longest if longest <= COPY_GOP_MAX_MS else None


# --- where it is cut -------------------------------------------------------------------------


def _key_times(shown: Shown) -> Column:
    return np.sort(shown.clock[shown.keys])


def _cuts(times: Column | None, keys: Column | None, end: int) -> list[int]:
    """When segments begin: with the first picture (of a copied rung: key frame) at or after each
    multiple of two seconds."""
    grid = np.arange(0, end, GRID_TICKS)
    if times is None:
        return [int(t) for t in grid]
    on = times if keys is None else keys
    places = np.searchsorted(on, grid)
    return [int(on[place]) for place in np.unique(places[places < len(on)])]


def _bounds(
    packets: Packets | None, shown: Shown | None, cuts: list[int], end: int, chunk_ticks: int
) -> list[tuple[int, int]]:
    """Chunks as (first segment, segment after the last)."""
    if chunk_ticks >= end:
        return [(0, len(cuts))]
    entry, sizes = _entries(packets, shown, cuts)
    bounds: list[tuple[int, int]] = []
    first = 0
    for msn in range(1, len(cuts)):
        length = cuts[msn] - cuts[first]
        least = min(chunk_ticks, FIRST_CHUNK_TICKS) if first == 0 else chunk_ticks
        full = sizes[msn] - sizes[first] >= CHUNK_BYTES and length >= SHORTEST_TICKS
        if end - cuts[msn] < min(TAIL_TICKS, chunk_ticks) or not (length >= least or full):
            continue
        near = entry[msn] > cuts[msn - 1]
        bearable = length >= 2 * chunk_ticks and cuts[msn] - entry[msn] <= FAR_KEY_TICKS
        if near or bearable:
            bounds.append((first, msn))
            first = msn
    return [*bounds, (first, len(cuts))]


def _entries(
    packets: Packets | None, shown: Shown | None, cuts: list[int]
) -> tuple[list[int], list[int]]:
    """For each cut: when the key frame before it is shown, and bytes of picture until there."""
    if packets is None or shown is None:
        return cuts, [0] * len(cuts)
    clocks = shown.clock[shown.keys]
    order = np.argsort(clocks, kind="stable")
    before = np.searchsorted(clocks[order], cuts, side="right") - 1
    keys = shown.keys[order][np.maximum(before, 0)]
    totals = np.append(0, np.cumsum(packets.size))
    return [int(t) for t in shown.clock[keys]], [int(t) for t in totals[keys]]


# --- chunks ----------------------------------------------------------------------------------


def _chunk(
    number: int,
    table: Table,
    shown: Shown | None,
    heard: Heard | None,
    cuts: list[int],
    first_msn: int,
) -> ChunkPlan:
    video = audio = None
    before: list[int] = []
    if shown is not None and table.video is not None:
        at = int(np.searchsorted(shown.times, cuts[0]))
        before = shown.times[max(0, at - REORDER_MAX) : at].tolist()
        video = _picture_job(table.video, shown, cuts[0], cuts[-1])
    if heard is not None and table.audio is not None and table.sound is not None:
        audio = _sound_job(table.audio, heard, table.sound.sample_rate, cuts[0], cuts[-1])
    return ChunkPlan(number, first_msn, cuts, before, video, audio, cuts[-1] - cuts[0])


def _picture_job(packets: Packets, shown: Shown, start: int, end: int) -> PictureJob:
    inside = slice(*np.searchsorted(shown.times, (start, end)))
    own = shown.rows[inside]
    keys = shown.keys
    # The last key frame before them in both orders, and one more: a key frame may be less of one
    # than its container says, and what a decoder remembers must not depend on where it began.
    usable = keys[(keys <= own.min()) & (shown.clock[keys] <= start)]
    first = int(usable[-2] if len(usable) > 1 else usable[-1] if len(usable) else keys[0])
    after = min(len(packets), int(own.max()) + 1 + TRAIL_PACKETS)
    clock = shown.clock[first:after].copy()
    unseen = np.isin(np.arange(first, after), shown.rows, invert=True)
    # Decoded, for others refer to them, and out of the chunk's time.
    clock[unseen] = np.minimum(clock[unseen], start - 1)
    zero = int(clock.min()) - int((np.sort(clock) - clock).max())
    pts, dts = filled(packets)
    return PictureJob(
        first, int(packets.pts[first]), int(packets.size[first]),
        int(min(pts[first], dts[first])), _byte(packets, first), digest_of(packets, first, after),
        (clock - zero).tolist(), zero,
    )  # fmt: skip


def frames_between(start: int, end: int) -> tuple[int, int]:
    """The AAC frames that begin in [start, end) ticks: first, and after the last."""
    return -(-start // SOUND_FRAME_TICKS), -(-end // SOUND_FRAME_TICKS)


def _sound_job(packets: Packets, heard: Heard, rate: int, start: int, end: int) -> SoundJob:
    keep = frames_between(start, end)
    # The first sample is one at which the resampler's steps and the frames' grid meet, so that a
    # chunk's samples are those of a run from the very beginning.
    grid = lcm(SOUND_FRAME, SOUND_RATE // gcd(SOUND_RATE, rate))
    out = max(0, (keep[0] - LEAD_FRAMES) * SOUND_FRAME) // grid * grid
    first = out * rate // SOUND_RATE
    last = (keep[1] + TRAIL_FRAMES) * SOUND_FRAME * rate // SOUND_RATE + 1
    rising = np.maximum.accumulate(heard.starts)
    row, after = np.searchsorted(rising, (first - WARM_SECONDS * rate, last))
    row = max(0, int(row) - 1)
    after = max(int(after), row)
    anchors = [(0, int(heard.starts[row]))] if after > row else []
    anchors += [(int(at) - row, int(heard.starts[at])) for at in heard.anchors if row < at < after]
    pts, dts = filled(packets)
    return SoundJob(
        row, after - row, int(packets.pts[row]), int(packets.size[row]),
        int(min(pts[row], dts[row])), _byte(packets, row), digest_of(packets, row, after),
        anchors, heard.step, first, out // SOUND_FRAME, keep[1] + TRAIL_FRAMES, keep,
    )  # fmt: skip


def _byte(packets: Packets, row: int) -> int:
    """Where a packet lies, or the last before it of which that is known."""
    known = packets.at[: row + 1]
    return max(0, int(known[known >= 0][-1])) if bool((known >= 0).any()) else 0


def chunk_at(chunks: Sequence[ChunkPlan], msn: int) -> ChunkPlan | None:
    """The chunk that holds a segment."""
    for chunk in chunks:
        if chunk.first_msn <= msn < chunk.first_msn + len(chunk.cuts) - 1:
            return chunk
    return None
