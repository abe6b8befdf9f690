"""Making a cut: read the tables, plan, encode what must be, write the file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from catalog.models import TIMESCALE
from vod.encode import Beat, silent
from vod.finished import Finished, FinishedSegment
from vod.footage import Step
from vod.smartcut.bits import BitsError
from vod.smartcut.encode import Workshop, run_all, within
from vod.smartcut.gather import Gathered, gather
from vod.smartcut.layout import Column, Layout, lay_out
from vod.smartcut.merge import Counts, Merger
from vod.smartcut.picture import PicturePlan
from vod.smartcut.result import CutError, CutPiece, CutResult, Piece
from vod.smartcut.soundtrack import SoundTrack
from vod.smartcut.tables import Files, opened
from vod.tools import Tools

_SHARE_READ: Final = 0.1
_SHARE_ENCODED: Final = 0.8


def cut(tools: Tools, pieces: Sequence[Piece], folder: Path, beat: Beat = silent) -> CutResult:
    """Make ``folder/clip.mp4`` of the pieces, one after the other.

    ``beat`` hears shares from 0 to 1 of this work alone; what it raises ends the work. Raises
    CutError, EncodeError, StorageError, Fmp4Error. ``folder`` needs room for the clip and, where
    storage is not local, for the footage around it.
    """

    def step() -> None:
        beat(None, None)

    with opened() as files:
        beat(0.0, "正在读取素材")
        gathered = gather(files, tools.storage, pieces, folder, step)
        if not gathered.spans:
            raise CutError("clip_no_footage", "这一段没有录到画面，请换一段。")
        shop = Workshop(tools.ffmpeg, folder, files, step)
        try:
            columns, counts = _tracks(shop, gathered, beat)
        except BitsError:
            # Frames were missing where damaged footage meets a copied stretch.
            gathered.reasons.add("damaged")
            try:
                columns, counts = _tracks(shop, gathered, beat, copying=False)
            except BitsError as error:
                sentence = "这一段的画面损坏太多，剪不出来，请换一段。"
                raise CutError("clip_unreadable", sentence) from error
        beat(_SHARE_READ + _SHARE_ENCODED, "正在写入")
        layout = lay_out(columns, gathered.duration)
        path = folder / "clip.mp4"
        _write(files, layout, columns, path, step)
    return _result(path, gathered, layout, columns, counts)


def _tracks(
    shop: Workshop, gathered: Gathered, beat: Beat, *, copying: bool = True
) -> tuple[list[Column], Counts]:
    """The columns of the cut, the picture first."""
    picture = PicturePlan(shop, gathered, copying=copying) if gathered.strands else None
    sound = SoundTrack.plan(shop, gathered)
    works = [*(picture.works if picture else ()), *(sound.works if sound else ())]
    beat(_SHARE_READ, "正在编码剪接处")
    encoding = within(beat, _SHARE_READ, _SHARE_ENCODED)
    tables = [table for _, table in gathered.sounds]
    run_all(shop, tables, works, encoding)
    columns, counts = [], Counts()
    if picture is not None:
        path = shop.folder / "guests.bin"
        with path.open("wb") as guests:
            merger = Merger(shop, gathered, picture, guests, path)
            columns.append(merger.run())
            counts = merger.counts
    if sound is not None:
        columns.append(sound.finish(encoding))
    return columns, counts


def _write(files: Files, layout: Layout, columns: Sequence[Column], path: Path, step: Step) -> None:
    """Write the file, its samples straight from where they lie."""
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        pending = [layout.front]
        for item in layout.items:
            pending.append(item.head)
            if item.column < 0:
                continue
            _flush(out, pending)
            column = columns[item.column]
            begin = end = file = -1
            for index in range(item.first, item.stop):
                number, offset = int(column.file[index]), int(column.offset[index])
                if number != file or offset != end:
                    if file >= 0:
                        files.send(file, begin, end - begin, out, step)
                    file, begin, end = number, offset, offset
                end += int(column.size[index])
            files.send(file, begin, end - begin, out, step)
        _flush(out, pending)
    finally:
        os.close(out)


def _flush(out: int, pending: list[bytes]) -> None:
    data = b"".join(pending)
    while data:
        data = data[os.write(out, data) :]
    pending.clear()


def _result(
    path: Path, gathered: Gathered, layout: Layout, columns: Sequence[Column], counts: Counts
) -> CutResult:
    main = columns[0]
    video = main.track.kind == "video"
    finished = Finished(
        codecs=",".join(column.track.codec for column in columns),
        width=main.track.width if video else None,
        height=main.track.height if video else None,
        init=layout.init,
        segments=[FinishedSegment(*segment) for segment in layout.segments],
        pts=layout.shown,
    )
    return CutResult(
        mp4=path,
        finished=finished,
        init_offset=layout.init_offset,
        duration=gathered.duration,
        width=finished.width,
        height=finished.height,
        frame_rate=len(layout.shown) * TIMESCALE / gathered.duration if video else None,
        frames=layout.shown,
        copied_frames=counts.copied,
        encoded_frames=counts.encoded,
        missing_frames=counts.missing,
        reasons=tuple(sorted(gathered.reasons)),
        pieces=tuple(
            CutPiece(span.first, span.first + span.length, span.at)
            for span in gathered.spans.values()
        ),
    )
