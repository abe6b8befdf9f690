"""The picture of a cut, put together: copied samples where they lie, ours written as guests."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from catalog.models import TIMESCALE
from transcode.fmp4.model import Track
from vod.reordering import Ints, decode_times, reorder_depth
from vod.smartcut.avc_host import AvcHost
from vod.smartcut.encode import Picture, Workshop, output, shown_times
from vod.smartcut.entry import pixel_shape
from vod.smartcut.gather import Gathered
from vod.smartcut.host import PEEK_BYTES, Entry, Host
from vod.smartcut.layout import Column
from vod.smartcut.picture import PicturePlan, Stretch
from vod.smartcut.result import CutError
from vod.smartcut.tables import Table, read_file


@dataclass(slots=True)
class Counts:
    """Frames of the cut, by what became of them."""

    copied: int = 0
    encoded: int = 0
    missing: int = 0


@dataclass(slots=True)
class _Rows:
    """Columns in the making: of each stretch, presentation time (ticks of the cut), sync, file,
    offset, size."""

    parts: list[tuple[Ints, Ints, Ints, Ints, Ints]] = field(default_factory=list)

    def column(self, number: int) -> Ints:
        return np.concatenate([part[number] for part in self.parts])


class Merger:
    """Puts the stretches one behind the other. ``guests`` is open on ``path`` for our samples."""

    def __init__(
        self, shop: Workshop, gathered: Gathered, plan: PicturePlan, guests: IO[bytes], path: Path
    ) -> None:
        self._shop = shop
        self._gathered = gathered
        self._plan = plan
        self._guests = guests
        self._file = shop.files.number(path)
        self._host: Host | None = plan.host
        self._track: Track | None = plan.template
        self._rows = _Rows()
        self._before: Entry | None = None
        self.counts = Counts()

    def run(self) -> Column:
        """The column of the picture. Raises CutError, BitsError, Fmp4Error, StorageError."""
        for stretch in self._plan.stretches:
            self._stretch(stretch)
        self._guests.flush()
        pts = self._rows.column(0)
        if not len(pts) or pts[0] != 0:
            raise CutError("clip_not_exact", "片段的第一帧损坏，请把入点移动一点再试。")
        assert self._host is not None
        assert self._track is not None
        dts = decode_times(pts)
        entry = self._host.entry(reorder_depth(pts))
        return Column(
            track=Track(
                1, "video", TIMESCALE, self._track.codec, entry, self._host.width,
                self._host.height,
            ),
            dts=dts,
            pts=pts,
            # The last one decoded lasts as long as it is shown, if it is the last one shown too.
            durations=np.append(np.diff(dts), self._gathered.duration - int(pts.max())),
            sync=self._rows.column(1).astype(np.bool_),
            file=self._rows.column(2),
            offset=self._rows.column(3),
            size=self._rows.column(4),
            pixel=pixel_shape(entry),
        )  # fmt: skip

    def _stretch(self, stretch: Stretch) -> None:
        copied, table = stretch.plan.copied, stretch.strand.table
        span = self._gathered.spans[stretch.strand.piece]
        shift = span.at - span.first
        follower = stretch.plan.approach.entry if stretch.plan.approach else None
        if stretch.head is not None:
            self._encoded(stretch.head, follower, shift)
        if follower is not None:
            assert self._host is not None
            if not follower.closed or copied[-1] - copied[0] >= len(copied):
                self._host.allow_gaps()
            self._rows.parts.append(
                (
                    table.ticks[copied] + shift, self._sync(table, copied),
                    table.file[copied], table.offset[copied], table.size[copied],
                )
            )  # fmt: skip
            self.counts.copied += len(copied)
            self._before = self._look(table, copied[table.key[copied]][-1])
        if stretch.tail is not None:
            self._encoded(stretch.tail, None, shift)

    def _sync(self, table: Table, copied: Ints) -> Ints:
        """Which copied pictures a player may begin with."""
        assert self._host is not None
        sync = table.key[copied].astype(np.int64)
        if self._host.entrances is not None:
            for n in np.flatnonzero(sync):
                sync[n] = self._look(table, copied[n]).closed
        return sync

    def _look(self, table: Table, index: int) -> Entry:
        assert self._host is not None
        return self._host.look(table.peek(self._shop.files, int(index), PEEK_BYTES))

    def _encoded(self, work: Picture, follower: Entry | None, shift: int) -> None:
        """Samples that FFmpeg made, rewritten as the host's."""
        path = output(self._shop, work)
        made = read_file(self._shop.files, path, self._shop.step).video
        if made is None:
            self.counts.missing += len(work.encode.shown)
            return
        if self._host is None:
            self._host, self._track = AvcHost(made.track.entry, own=True), made.track
        ticks = _ticks(work, made)
        near = [entry for entry in (self._before, follower) if entry is not None]
        seats = self._host.seats(made.key.tolist(), follower, near)
        guest = self._host.welcome(made.track.entry)
        sync = [
            seat.place.is_idr if seat.place else key
            for seat, key in zip(seats, made.key, strict=True)
        ]
        offsets, sizes = [], []
        for index, seat in enumerate(seats):
            sample = self._host.host(guest, made.data(self._shop.files, index), seat)
            offsets.append(self._guests.tell())
            sizes.append(self._guests.write(sample))
            if index % 64 == 0:
                self._shop.step()
        self._rows.parts.append(
            (
                ticks + shift, np.array(sync, np.int64), np.full(len(ticks), self._file),
                np.array(offsets), np.array(sizes),
            )
        )  # fmt: skip
        self.counts.encoded += len(ticks)
        self.counts.missing += len(work.encode.shown) - len(ticks)
        self._before = None


def _ticks(work: Picture, made: Table) -> Ints:
    """When the frames that came out are shown, in ticks of the source: each is one of those that
    were wanted. Raises CutError."""
    wanted = shown_times(work.table, work.encode)
    at = np.searchsorted(wanted - wanted[0], made.pts)
    inside = at < len(wanted)
    exact = inside.all() and (wanted[at] - wanted[0] == made.pts).all()
    if not exact or len(np.unique(at)) != len(at):
        raise CutError(
            "clip_not_exact",
            f"剪出的画面与原片不符（应为 {len(wanted)} 帧，得到 {len(at)} 帧），未发布。",
        )
    ticks: Ints = work.encode.shown[at]
    return ticks
