"""A chunk's fragments as the segments of its rungs: one file a rung, segments as ranges of it.

Pure but for the files it is handed. Presentation times are the plan's. Decoding times are the
presentation times in order, as many pictures earlier as reordering reaches: those of one run over
the whole work, whoever made the chunk. None is later than its picture is shown, for FFmpeg would
show all pictures later then, and tfdt begins at zero, so the very first follow by single ticks.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

import msgspec

from transcode.fmp4 import model as fmp4
from transcode.fmp4.boxes import FREE, Fmp4Error
from transcode.fmp4.reader import FragmentReader
from transcode.fmp4.writer import TrackSamples, write_fragment, write_init
from vod.chunked.plan import SOUND_FRAME_TICKS, ChunkPlan, frames_between
from vod.originals.clock import TICKS
from vod.originals.wanted import SOUND_FRAME

_READ: Final = 1 << 20
Step = Callable[[], None]


class MadeSegment(msgspec.Struct, frozen=True, array_like=True):
    """Where a segment lies in its chunk's file: bytes, and ticks it lasts."""

    msn: int
    offset: int
    size: int
    duration: int


class MadeRung(msgspec.Struct, frozen=True):
    """A rung of one chunk, as ``Chunk.made`` keeps it."""

    name: str
    kind: str
    key: str
    codecs: str
    width: int | None
    height: int | None
    init_size: int
    init_sha256: str
    segments: list[MadeSegment]
    samples: int
    """Pictures, or frames of sound."""
    missing: int = 0
    """Pictures of the original that could not be decoded."""


class PackError(Exception):
    """An encoder gave what the plan does not know: nothing of the chunk may be used."""


def pack_pictures(
    source: Path, target: Path, chunk: ChunkPlan, name: str, delay: int, step: Step
) -> MadeRung:
    """Write a picture rung's file; ``delay``: pictures decoded ahead. Raises Fmp4Error,
    PackError."""
    assert chunk.video is not None
    wanted = set(chunk.frames)
    with target.open("wb") as out:
        writer = _Writer(out, chunk, delay)
        zero = chunk.video.zero
        for track, samples in _fragments(source, "video", step):
            writer.begin(track)
            for sample in samples:
                shown = zero + (sample.dts + sample.cts) * TICKS // track.timescale
                if shown not in wanted:
                    raise PackError(f"{name}: a picture at {shown} that is not planned")
                wanted.discard(shown)
                writer.picture(shown, sample)
        return writer.finish(name, missing=len(wanted))


def pack_sound(source: Path, target: Path, chunk: ChunkPlan, step: Step) -> MadeRung:
    """Write the sound's file: the chunk's own frames of the one grid. Raises Fmp4Error."""
    assert chunk.audio is not None
    first, after = chunk.audio.keep
    with target.open("wb") as out:
        writer = _Writer(out, chunk)
        expected = first
        for track, samples in _fragments(source, "audio", step):
            writer.begin(track)
            for sample in samples:
                # The encoder's run-up is a frame before its first sample: timed so by FFmpeg.
                number = chunk.audio.first_frame + sample.dts // SOUND_FRAME
                if not first <= number < after:
                    continue
                if number != expected:
                    raise PackError(f"frame {number} of sound after {expected - 1}")
                expected += 1
                writer.sound(number, sample)
        if expected != after:
            raise PackError(f"sound ends at frame {expected}, {after} are planned")
        return writer.finish("a")


def _fragments(
    path: Path, kind: fmp4.TrackKind, step: Step
) -> Iterator[tuple[fmp4.Track, list[fmp4.Sample]]]:
    reader = FragmentReader()
    track: fmp4.Track | None = None
    with path.open("rb") as source:
        while data := source.read(_READ):
            for item in reader.feed(data):
                if isinstance(item, fmp4.InitSection):
                    track = item.track(kind)
                elif track is not None:
                    yield track, item.samples
            step()
    if reader.buffered:
        raise Fmp4Error(f"{path.name} ends inside a box")


class _Writer:
    """Holds one segment at a time."""

    def __init__(self, out: IO[bytes], chunk: ChunkPlan, delay: int = 0) -> None:
        self._out = out
        self._chunk = chunk
        self._delay = delay
        self._planned = [*chunk.before, *chunk.frames]
        self._decoded = -1
        """When the last sample is decoded."""
        self._track: fmp4.Track | None = None
        self._init = b""
        self._slot = -1
        """Of the segment being collected, counted from the chunk's first."""
        self._held: list[tuple[int, fmp4.Sample]] = []
        """(when it is shown on the track's clock, the sample), in the order of decoding."""
        self._segments: list[MadeSegment] = []
        self._samples = 0

    def begin(self, track: fmp4.Track) -> None:
        if self._track is None:
            self._track = track
            self._init = write_init([track])
            self._out.write(self._init)

    def picture(self, shown: int, sample: fmp4.Sample) -> None:
        slot = bisect_right(self._chunk.cuts, shown) - 1
        if slot != self._slot:
            if not sample.is_sync or slot < self._slot:
                raise PackError(f"no key frame where segment {slot} begins")
            self._flush()
            self._slot = slot
        self._held.append((shown, sample))

    def sound(self, number: int, sample: fmp4.Sample) -> None:
        slot = bisect_right(self._chunk.cuts, number * SOUND_FRAME_TICKS) - 1
        if slot != self._slot:
            self._flush()
            self._slot = slot
        self._held.append((number * SOUND_FRAME, sample))

    def finish(self, name: str, *, missing: int = 0) -> MadeRung:
        self._flush()
        track = self._track
        if track is None or not self._segments:
            raise PackError(f"{name}: nothing came out")
        video = track.kind == "video"
        return MadeRung(
            name, track.kind, "", track.codec,
            track.width if video else None, track.height if video else None,
            len(self._init), hashlib.sha256(self._init).hexdigest(),
            self._segments, self._samples, missing,
        )  # fmt: skip

    def _flush(self) -> None:
        if not self._held:
            return
        assert self._track is not None
        cuts, slot = self._chunk.cuts, self._slot
        shown = sorted(at for at, _ in self._held)
        if shown[0] != self._held[0][0]:
            raise PackError(f"a picture of segment {slot} is shown before its key frame")
        if self._track.kind == "video":
            lasts = cuts[slot + 1] - cuts[slot]
            decoded, end = self._decode_times(shown, cuts[slot], cuts[slot + 1])
        else:
            first, after = frames_between(cuts[slot], cuts[slot + 1])
            decoded, end = shown, after * SOUND_FRAME
            lasts = (after - first) * SOUND_FRAME_TICKS
        timed = [
            fmp4.Sample(sample.track_id, dts, at - dts, after - dts, sample.is_sync, sample.data)
            for dts, after, (at, sample) in zip(
                decoded, [*decoded[1:], end], self._held, strict=True
            )
        ]
        if any(sample.cts < 0 for sample in timed):
            raise PackError(f"segment {slot} is reordered by more than {self._delay} pictures")
        msn = self._chunk.first_msn + slot
        data = write_fragment(msn + 1, [TrackSamples(self._track.track_id, timed)])
        self._out.write(FREE)
        self._segments.append(MadeSegment(msn, self._out.tell(), len(data), lasts))
        self._out.write(data)
        self._samples += len(timed)
        self._held = []

    def _decode_times(self, shown: list[int], start: int, end: int) -> tuple[list[int], int]:
        """When the pictures of a segment are decoded, and the first of the next one."""
        ahead = self._before(start)
        wanted = [*ahead, *shown][: len(shown)]
        decoded = []
        for at in wanted:
            self._decoded = max(at, self._decoded + 1)
            decoded.append(self._decoded)
        following = self._before(end)[0] if self._delay else end
        return decoded, max(following, self._decoded + 1)

    def _before(self, cut: int) -> list[int]:
        """The last ``delay`` pictures planned before a cut; zeros before the work's beginning."""
        if not self._delay:
            return []
        place = bisect_left(self._planned, cut)
        found = self._planned[max(0, place - self._delay) : place]
        return [0] * (self._delay - len(found)) + found
