"""A finished MP4 as one HLS rendition: a fragmented file whose segments are byte ranges of it.

The picture and sound are copied, not encoded again. The first picture is decoded and shown at zero
and no composition offset is negative, so that every player shows it beside its sound; each segment
begins with a key frame.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import ffmpeg
import msgspec
import numpy as np

from catalog.models import TIMESCALE
from transcode.fmp4 import model as fmp4
from transcode.fmp4.boxes import FREE, Fmp4Error, box_header, need
from transcode.fmp4.moof import read_ranges
from transcode.fmp4.moov import TrackDefaults, read_moov
from transcode.fmp4.reader import MAX_MOOF_BYTES, FragmentReader
from transcode.fmp4.writer import TrackSamples, write_fragment, write_init
from transcode.sandbox import input_limits
from vod.footage import Step
from vod.reordering import decode_times

_BOX_HEAD: Final = 16


@dataclass(frozen=True, slots=True)
class FinishedSegment:
    """A segment in the file. Bytes, and ticks."""

    offset: int
    size: int
    duration: int


@dataclass(slots=True)
class Finished:
    """The file as the catalogue will describe it."""

    codecs: str = ""
    width: int | None = None
    height: int | None = None
    init: bytes = b""
    segments: list[FinishedSegment] = field(default_factory=list)
    pts: list[int] = field(default_factory=list)
    """When each picture (of sound alone: each audio frame) is shown, sorted; ticks from zero."""

    @property
    def duration(self) -> int:
        return sum(segment.duration for segment in self.segments)

    @property
    def peak_bandwidth(self) -> int:
        return max(s.size * 8 * TIMESCALE // max(1, s.duration) for s in self.segments)

    @property
    def average_bandwidth(self) -> int:
        return sum(s.size for s in self.segments) * 8 * TIMESCALE // max(1, self.duration)


def read_back(path: Path, made: Finished, step: Step) -> list[int]:
    """When the pictures (of sound alone: its frames) that really lie in the segments are shown,
    in order; ticks. Only tables are read. Raises Fmp4Error, OSError."""
    main, defaults = _main_track(made.init)
    found: list[int] = []
    with path.open("rb") as file:
        for segment in made.segments:
            found += _shown(file, segment.offset, segment.offset + segment.size, main, defaults)
            step()
    return sorted(at * TIMESCALE // main.timescale for at in found)


def key_pictures(path: Path, made: Finished, most: int, target: Path) -> None:
    """Write the first pictures of up to ``most`` segments, spread over the whole, as a small film
    of a picture a second. Raises Fmp4Error, OSError."""
    main, defaults = _main_track(made.init)
    count = min(most, len(made.segments))
    chosen = [made.segments[(2 * n + 1) * len(made.segments) // (2 * count)] for n in range(count)]
    with path.open("rb") as file, target.open("wb") as out:
        out.write(write_init([main]))
        for number, segment in enumerate(chosen):
            at, moof = next(_moofs(file, segment.offset, segment.offset + segment.size))
            rows = read_ranges(moof, len(moof) + 8, defaults)[1]
            key = next(row for row in rows if row.track_id == main.track_id)
            file.seek(at + key.offset)
            data = file.read(key.size)
            sample = fmp4.Sample(
                main.track_id, number * main.timescale, 0, main.timescale, True, data
            )
            out.write(write_fragment(number + 1, [TrackSamples(main.track_id, [sample])]))


def _main_track(init: bytes) -> tuple[fmp4.Track, dict[int, TrackDefaults]]:
    """The picture, or the sound where there is none; and what fragments leave out."""
    moov = need(init, "moov")
    tracks, defaults = read_moov(init[moov.start : moov.end])
    kinds = {track.kind: track for track in tracks}
    return kinds.get("video") or kinds["audio"], defaults


def _shown(
    file: IO[bytes], at: int, end: int, main: fmp4.Track, defaults: dict[int, TrackDefaults]
) -> list[int]:
    """When each sample of a track in these bytes is shown, in coded order and its timescale."""
    return [
        row.dts + row.cts
        for _, moof in _moofs(file, at, end)
        for row in read_ranges(moof, len(moof) + 8, defaults)[1]
        if row.track_id == main.track_id
    ]


def _moofs(file: IO[bytes], at: int, end: int) -> Iterator[tuple[int, bytes]]:
    """Each with the place it begins at."""
    while at < end:
        file.seek(at)
        head = file.read(_BOX_HEAD)
        header = box_header(head, 0, len(head))
        if header is None or at + header[2] > end:
            raise Fmp4Error(f"no whole box at byte {at}")
        if header[0] == b"moof":
            file.seek(at)
            yield at, file.read(min(header[2], MAX_MOOF_BYTES))
        at += header[2]


def fragmented_output(source: Path, target: Path, *, video: bool) -> Any:
    """The ffmpeg-python output that rewrites an MP4 as fragments, one a group of pictures. Times
    stay as they are: else FFmpeg begins each track at zero, sound by its encoder's run-up late."""
    cut: dict[str, Any] = {"frag_duration": 2_000_000}
    if video:
        cut = {"video_track_timescale": TIMESCALE}
    opened = ffmpeg.input(f"file:{source}", **input_limits())
    return ffmpeg.output(
        opened, f"file:{target}", f="mp4", c="copy", use_editlist=0, map_metadata=-1,
        movflags="empty_moov+default_base_moof+frag_discont+skip_trailer"
        + "+frag_keyframe" * video,
        avoid_negative_ts="disabled", **cut,
    ).global_args("-copyts")  # fmt: skip


def package(fragmented: Path, target: Path, duration: int, step: Step) -> Finished:
    """Write the rendition's file from FFmpeg's fragments; it lasts ``duration`` ticks
    (the last frame's own duration in the fragments is one of decode order). Raises Fmp4Error."""
    with fragmented.open("rb") as source, target.open("wb") as out:
        return _Packaging(out, duration, step).run(source)


class _Packaging:
    """One pass over the tables for the times, one over the fragments; one of those is held at a
    time."""

    def __init__(self, out: IO[bytes], duration: int, step: Step) -> None:
        self._out = out
        self._duration = duration
        self._step = step
        self._tracks: dict[int, fmp4.Track] = {}
        self._main = 0
        self._begin_at = 0
        """When the first picture is shown, in the main track's time."""
        self._times: Iterator[tuple[int, int, int]] = iter(())
        """(dts, cts, duration) of the pictures still to come."""
        self._starts: list[int] = []
        self._ranges: list[tuple[int, int]] = []
        self._made = Finished()

    def run(self, source: IO[bytes]) -> Finished:
        reader = FragmentReader()
        while data := source.read(1 << 20):
            for item in reader.feed(data):
                if isinstance(item, fmp4.InitSection):
                    self._begin(item, source)
                else:
                    self._segment(item.samples)
            self._step()
        ends = [*self._starts[1:], self._duration]
        for start, end, (offset, size) in zip(self._starts, ends, self._ranges, strict=True):
            self._made.segments.append(FinishedSegment(offset, size, end - start))
        self._made.pts.sort()
        return self._made

    def _begin(self, section: fmp4.InitSection, source: IO[bytes]) -> None:
        listed = [t for t in (section.track("video"), section.track("audio")) if t]
        if not listed:
            raise Fmp4Error("no picture and no sound in it")
        self._tracks = {track.track_id: track for track in listed}
        self._main = listed[0].track_id
        self._made.init = write_init(listed)
        self._made.codecs = ",".join(track.codec for track in listed)
        if listed[0].kind == "video":
            self._made.width, self._made.height = listed[0].width, listed[0].height
        self._out.write(self._made.init)
        self._plan_times(section, source)

    def _plan_times(self, section: fmp4.InitSection, source: IO[bytes]) -> None:
        """When each picture (of sound alone: frame) is decoded, from when they are shown."""
        main, defaults = _main_track(section.data)
        back = source.tell()
        end = source.seek(0, os.SEEK_END)
        shown = _shown(source, 0, end, main, defaults)
        source.seek(back)
        if not shown or min(shown) != shown[0]:
            raise Fmp4Error("what is decoded first is not what is shown first")
        self._begin_at = shown[0]
        pts = np.array(shown, np.int64) - shown[0]
        dts = decode_times(pts)
        last = max(1, self._duration * main.timescale // TIMESCALE - int(pts.max()))
        rows = (dts, pts - dts, np.append(np.diff(dts), last))
        self._times = zip(*(row.tolist() for row in rows), strict=True)

    def _segment(self, samples: Sequence[fmp4.Sample]) -> None:
        kept = [
            TrackSamples(track_id, self._timed([s for s in samples if s.track_id == track_id]))
            for track_id in self._tracks
        ]
        scale = self._tracks[self._main].timescale
        shown = [(s.dts + s.cts) * TIMESCALE // scale for s in kept[0].samples]
        data = b""
        if any(track.samples for track in kept):
            data = write_fragment(len(self._ranges) + 1, kept)
        if not shown:
            # Sound after the last picture belongs to the last segment.
            if data and self._ranges:
                offset, size = self._ranges[-1]
                self._ranges[-1] = (offset, size + len(data))
                self._out.write(data)
            return
        if self._ranges:
            self._out.write(FREE)
        self._ranges.append((self._out.tell(), len(data)))
        self._starts.append(min(shown))
        self._made.pts += shown
        self._out.write(data)

    def _timed(self, samples: list[fmp4.Sample]) -> list[fmp4.Sample]:
        if not samples:
            return []
        track = self._tracks[samples[0].track_id]
        if track.track_id == self._main:
            times = zip(samples, itertools.islice(self._times, len(samples)), strict=True)
            return [
                msgspec.structs.replace(sample, dts=dts, cts=cts, duration=duration)
                for sample, (dts, cts, duration) in times
            ]
        zero = self._begin_at * track.timescale // self._tracks[self._main].timescale
        # A frame of sound is played whole: one that begins before the first picture would make all
        # behind it late. Less than a millisecond before is a rounded time.
        heard = [s for s in samples if s.dts >= zero - track.timescale // 1000]
        return [msgspec.structs.replace(s, dts=max(0, s.dts - zero)) for s in heard]
