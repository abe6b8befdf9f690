"""One file with two faces: a progressive MP4 whose ``mdat`` holds HLS segments.

``ftyp moov mdat[ init run-up fragment… free fragment… ]``. The ``moov`` in front indexes every
sample. Inside the ``mdat``, which a reader of that index never parses, lie the rendition's init
section and its fragments, for readers of byte ranges. Pure: sizes in, offsets out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from transcode.fmp4.boxes import FREE, make
from transcode.fmp4.model import Track
from transcode.fmp4.progressive import MovieTrack, write_movie
from transcode.fmp4.writer import TrackRows, write_fragment_head, write_init
from transcode.hls.head import TIMESCALE
from vod.reordering import Ints

SEGMENT_TICKS = TIMESCALE
"""A key frame sooner than this after a segment's beginning does not begin another."""
FRAGMENT_TICKS = TIMESCALE
"""Sound and picture alternate in the file about this often."""
AUDIO_SEGMENT_TICKS = 2 * TIMESCALE
_FTYP = {"avc1": b"avc1", "hvc1": b"hvc1"}


@dataclass(frozen=True, slots=True)
class Column:
    """The samples of one track of the cut, in coded order. Times in the track's timescale, from
    the cut's beginning."""

    track: Track
    dts: Ints
    pts: Ints
    durations: Ints
    sync: NDArray[np.bool_]
    file: Ints
    offset: Ints
    size: Ints
    run_up: int = 0
    """Samples at its beginning that are decoded and not heard: an audio decoder's."""
    pixel: tuple[int, int] = (1, 1)
    """Width and height of a pixel."""

    def ticks(self, times: Ints) -> Ints:
        """Times of this track as ticks."""
        return times * TIMESCALE // self.track.timescale


@dataclass(frozen=True, slots=True)
class Item:
    """What comes next in the file: these bytes, then samples ``first`` <= i < ``stop`` of a
    track (by number; -1: none)."""

    head: bytes
    column: int
    first: int
    stop: int


class Segment(NamedTuple):
    """An HLS segment: bytes of the file, and ticks."""

    offset: int
    size: int
    duration: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The whole file."""

    front: bytes
    """Up to and with the header of the ``mdat``."""
    items: list[Item]
    size: int
    init: bytes
    init_offset: int
    segments: list[Segment]
    shown: list[int]
    """When each picture (of sound alone: each audio frame) is shown, sorted; ticks from zero."""


def lay_out(columns: Sequence[Column], duration: int) -> Layout:
    """Lay a cut of ``duration`` ticks out; the first column is the main one."""
    return _Layout(columns, duration).run()


def segment_starts(main: Column) -> list[int]:
    """The samples that segments begin with: key frames, but none for a second or less; of sound
    alone, one every two seconds."""
    least = SEGMENT_TICKS if main.track.kind == "video" else AUDIO_SEGMENT_TICKS
    times = main.ticks(main.dts)
    starts = [main.run_up]
    for index in np.flatnonzero(main.sync).tolist():
        if index > starts[-1] and times[index] - times[starts[-1]] >= least:
            starts.append(index)
    if len(starts) > 1 and times[-1] - times[starts[-1]] < least:
        starts.pop()
    return starts


def _in_front(column: Column, number: int) -> int:
    """Samples that are in no fragment. Fragments have no edit list, and decoders play a frame of
    sound whole: one that begins before zero would make all behind it late. Of sound alone, which
    nothing is late beside, it is cut short."""
    return max(column.run_up, int(np.searchsorted(column.dts, 0))) if number else column.run_up


class _Layout:
    def __init__(self, columns: Sequence[Column], duration: int) -> None:
        self._columns = columns
        self._duration = duration
        self._items: list[Item] = []
        self._at = 0
        """Bytes behind the header of the ``mdat``."""
        self._chunks: list[list[tuple[int, int]]] = [[] for _ in columns]
        """Of each column: (place behind the header, samples)."""
        self._ticks = [column.ticks(column.dts) for column in columns]
        self._reached = [_in_front(column, number) for number, column in enumerate(columns)]

    def run(self) -> Layout:
        init = write_init([column.track for column in self._columns])
        self._put(Item(init, -1, 0, 0))
        for number, before in enumerate(self._reached):
            if before:
                self._put(Item(b"", number, 0, before))
        main = self._columns[0]
        starts = segment_starts(main)
        segments: list[tuple[int, int]] = []
        sequence = 0
        for first, stop in zip(starts, [*starts[1:], len(main.dts)], strict=True):
            if segments:
                self._put(Item(FREE, -1, 0, 0))
            begin = self._at
            for rows in self._fragments(first, stop):
                sequence += 1
                self._fragment(sequence, rows)
            segments.append((begin, self._at - begin))
        front = self._front()
        shown = np.maximum(main.ticks(main.pts), 0)
        earliest = np.minimum.accumulate(shown[::-1])[::-1]
        edges = [0, *(int(earliest[n]) for n in starts[1:]), self._duration]
        listed = [
            Segment(len(front) + offset, size, end - start)
            for (offset, size), start, end in zip(segments, edges, edges[1:], strict=False)
        ]
        return Layout(
            front, self._items, len(front) + self._at, init, len(front), listed,
            np.sort(shown[main.run_up :]).tolist(),
        )  # fmt: skip

    def _fragments(self, first: int, stop: int) -> Iterator[list[tuple[int, int, int]]]:
        """(column, first, stop) of each fragment of a segment of the main column."""
        dts = self._ticks[0]
        at = first
        while at < stop:
            end = int(np.searchsorted(dts[at:stop], dts[at] + FRAGMENT_TICKS)) + at
            rows = [(0, at, end)]
            until = int(dts[end]) if end < len(dts) else None
            for number, times in enumerate(self._ticks[1:], 1):
                begin = self._reached[number]
                reach = len(times) if until is None else int(np.searchsorted(times, until))
                if reach > begin:
                    rows.append((number, begin, reach))
                    self._reached[number] = reach
            yield rows
            at = end

    def _fragment(self, sequence: int, rows: list[tuple[int, int, int]]) -> None:
        tracks = []
        for number, first, stop in rows:
            column = self._columns[number]
            dts = np.maximum(column.dts[first:stop], 0)
            ends = column.dts[first:stop] + column.durations[first:stop]
            tracks.append(
                TrackRows(
                    column.track.track_id,
                    int(dts[0]),
                    list(
                        zip(
                            (ends - dts).tolist(),
                            column.size[first:stop].tolist(),
                            column.sync[first:stop].tolist(),
                            (np.maximum(column.pts[first:stop], 0) - dts).tolist(),
                            strict=True,
                        )
                    ),
                )
            )
        head = write_fragment_head(sequence, tracks)
        for number, first, stop in rows:
            self._put(Item(head, number, first, stop))
            head = b""

    def _put(self, item: Item) -> None:
        self._at += len(item.head)
        if item.column >= 0:
            self._chunks[item.column].append((self._at, item.stop - item.first))
            self._at += int(self._columns[item.column].size[item.first : item.stop].sum())
        self._items.append(item)

    def _front(self) -> bytes:
        kind = self._columns[0].track.codec[:4]
        brands = b"isomiso2" + _FTYP.get(kind, b"iso6") + b"mp41"
        ftyp = make(b"ftyp", b"isom", struct.pack(">I", 0x200), brands)
        mdat = struct.pack(">I4sQ", 1, b"mdat", self._at + 16)
        size = 0
        for _ in range(3):
            # Offsets depend on the size of the moov, and where they grow past 32 bits, it on them.
            moov = self._moov(len(ftyp) + size + len(mdat))
            if len(moov) == size:
                break
            size = len(moov)
        return ftyp + moov + mdat

    def _moov(self, base: int) -> bytes:
        tracks = []
        for column, chunks in zip(self._columns, self._chunks, strict=True):
            places, counts = np.array(chunks, np.int64).T
            # Media time begins with the first sample decoded; presentation where the cut does.
            start = -int(column.dts[0])
            across, down = column.pixel
            width = round(column.track.width * across / down)
            track = msgspec.structs.replace(column.track, width=width)
            tracks.append(
                MovieTrack(
                    track, column.durations, column.pts - column.dts, column.size,
                    column.sync, places + base, counts, start, self._duration,
                )
            )  # fmt: skip
        return write_movie(tracks, TIMESCALE)
