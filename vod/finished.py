"""A finished MP4 as one HLS rendition: a fragmented file whose segments are byte ranges of it.

The picture and sound are copied, not encoded again. Timestamps are set so that the first picture
is shown at zero; each segment begins with a key frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import ffmpeg

from catalog.models import TIMESCALE
from transcode.fmp4 import model as fmp4
from transcode.fmp4.boxes import FREE, Fmp4Error, box_header, need
from transcode.fmp4.moof import read_ranges
from transcode.fmp4.moov import read_moov
from transcode.fmp4.reader import MAX_MOOF_BYTES, FragmentReader
from transcode.fmp4.writer import TrackSamples, write_fragment, write_init
from transcode.sandbox import input_limits
from vod.footage import Step

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
    moov = need(made.init, "moov")
    tracks, defaults = read_moov(made.init[moov.start : moov.end])
    kinds = {track.kind: track for track in tracks}
    main = kinds.get("video") or kinds["audio"]
    found: list[int] = []
    with path.open("rb") as file:
        for segment in made.segments:
            for moof in _moofs(file, segment):
                found += [
                    (row.dts + row.cts) * TIMESCALE // main.timescale
                    for row in read_ranges(moof, len(moof) + 8, defaults)[1]
                    if row.track_id == main.track_id
                ]
            step()
    return sorted(found)


def _moofs(file: IO[bytes], segment: FinishedSegment) -> Iterator[bytes]:
    at, end = segment.offset, segment.offset + segment.size
    while at < end:
        file.seek(at)
        head = file.read(_BOX_HEAD)
        header = box_header(head, 0, len(head))
        if header is None or at + header[2] > end:
            raise Fmp4Error(f"no whole box at byte {at}")
        if header[0] == b"moof":
            file.seek(at)
            yield file.read(min(header[2], MAX_MOOF_BYTES))
        at += header[2]


def fragmented_output(source: Path, target: Path, *, video: bool) -> Any:
    """The ffmpeg-python output that rewrites an MP4 as fragments, one a group of pictures."""
    options: dict[str, Any] = {
        "f": "mp4",
        "c": "copy",
        "movflags": "empty_moov+default_base_moof+skip_trailer" + ("+frag_keyframe" * video),
        "use_editlist": 0,
        "map_metadata": -1,
    }
    if video:
        options["video_track_timescale"] = TIMESCALE
    else:
        options["frag_duration"] = 2_000_000
    opened = ffmpeg.input(f"file:{source}", **input_limits())
    return ffmpeg.output(opened, f"file:{target}", **options)


def package(fragmented: Path, target: Path, duration: int, step: Step) -> Finished:
    """Write the rendition's file from FFmpeg's fragments; it lasts ``duration`` ticks (the last
    frame's own duration in the fragments is one of decode order). Raises Fmp4Error."""
    with fragmented.open("rb") as source, target.open("wb") as out:
        return _Packaging(out, duration, step).run(source)


class _Packaging:
    """One pass over the fragments; one fragment is held at a time."""

    def __init__(self, out: IO[bytes], duration: int, step: Step) -> None:
        self._out = out
        self._duration = duration
        self._step = step
        self._tracks: dict[int, fmp4.Track] = {}
        self._main = 0
        self._first_dts: int | None = None
        self._first_cts = 0
        self._starts: list[int] = []
        self._ranges: list[tuple[int, int]] = []
        self._made = Finished()

    def run(self, source: IO[bytes]) -> Finished:
        reader = FragmentReader()
        while data := source.read(1 << 20):
            for item in reader.feed(data):
                if isinstance(item, fmp4.InitSection):
                    self._begin(item)
                else:
                    self._segment(item.samples)
            self._step()
        ends = [*self._starts[1:], self._duration]
        for start, end, (offset, size) in zip(self._starts, ends, self._ranges, strict=True):
            self._made.segments.append(FinishedSegment(offset, size, end - start))
        self._made.pts.sort()
        return self._made

    def _begin(self, section: fmp4.InitSection) -> None:
        listed = [t for t in (section.track("video"), section.track("audio")) if t]
        self._tracks = {track.track_id: track for track in listed}
        self._main = listed[0].track_id
        self._made.init = write_init(listed)
        self._made.codecs = ",".join(track.codec for track in listed)
        if listed[0].kind == "video":
            self._made.width, self._made.height = listed[0].width, listed[0].height
        self._out.write(self._made.init)

    def _segment(self, samples: Sequence[fmp4.Sample]) -> None:
        main = [s for s in samples if s.track_id == self._main]
        if self._first_dts is None:
            if not main:
                return
            # Decoding begins at zero with a key frame shown at zero; what is decoded before it is
            # shown has a negative offset (14496-12 8.8.8, version 1).
            self._first_dts, self._first_cts = main[0].dts, main[0].cts
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
        if not samples or self._first_dts is None:
            return []
        track = self._tracks[samples[0].track_id]
        scale = self._tracks[self._main].timescale
        zero, cts = self._first_dts, self._first_cts
        if track.track_id != self._main:
            zero, cts = (zero + cts) * track.timescale // scale, 0
        timed = []
        for sample in samples:
            dts = sample.dts - zero
            if dts + sample.duration <= 0:
                continue  # the audio encoder's run-up, before the first picture
            timed.append(
                fmp4.Sample(
                    sample.track_id, max(0, dts), sample.cts - cts, sample.duration,
                    sample.is_sync, sample.data,
                )
            )  # fmt: skip
        return timed
