"""Storyboards: a small picture every few seconds of a programme, in sheets, with WebVTT over them.

Only the segments that hold the wanted pictures are read, of the lowest rung, and of those only
key frames are decoded. The tile of a moment is the key frame its segment begins with, and its cue
begins exactly when that frame is shown, so what the scrubber shows is what a jump there shows.
"""

from __future__ import annotations

import datetime as dt
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import ffmpeg
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Exists, exists, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from catalog.models import TIMESCALE, AirItem, Broadcast, Extra, Work
from infra.jobs import enqueue
from infra.tables import Job
from transcode.fmp4 import model as fmp4
from transcode.fmp4.reader import FragmentReader
from transcode.sandbox import Limits, input_limits
from vod.encode import Beat, Patience, run_ffmpeg, silent
from vod.footage import Part, Step, join_part, plan_parts
from vod.tools import Tools

KIND: Final = "storyboard"
STEPS: Final = (1, 2, 3, 5, 10, 15, 20, 30, 60, 120, 300, 600)
"""Seconds between two tiles, by the length of the programme."""
TILES_MAX: Final = 500
TILE_MAX: Final = 192, 144
"""A tile fits into this, in pixels: wide, upright and square pictures keep their shape."""
COLUMNS: Final = 8
ROWS: Final = 8
CLIP_LEAST_TICKS: Final = 30 * TIMESCALE
"""Of shorter clips there is none: a finger on the scrubber shows little more than the picture."""
MISSING_AT_ONCE: Final = 20
"""Works without a storyboard that are promised one at a time."""

_JPEG_QUALITY: Final = 72
_EARLY_TICKS: Final = TIMESCALE // 5
"""So much before its segment's time a key frame may be shown (B-frames of an open group)."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place on the air list. Ticks."""

    msn: int
    start: int
    duration: int


@dataclass(frozen=True, slots=True)
class Board:
    """A finished storyboard in a folder: ``storyboard.vtt`` and ``storyboard-1.jpg`` …"""

    at: list[int]
    """When the frame of each tile is shown, ticks."""
    tile: tuple[int, int]
    sheets: int
    vtt_bytes: int


# --- asking ----------------------------------------------------------------------------------


def promise_storyboard(session: Session, work: Work | Broadcast) -> Job:
    """A storyboard of what is whole by now; asked twice it is made once."""
    broadcast_id = work.broadcast_id if isinstance(work, Work) else work.id
    return enqueue(
        session,
        kind=KIND,
        queue="vod",
        args={"token": work.media_token},
        unique_key=f"{KIND}:{work.media_token}",
        broadcast_id=broadcast_id,
        centre_id=work.centre_id,
        title=work.title,
    )


def promise_missing(session: Session) -> int:
    """Works that never had a storyboard promised are; how many. One that failed stays so."""
    asked = exists().where(Job.kind == KIND, Job.args["token"].astext == Work.media_token)
    query = (
        select(Work)
        .where(
            Work.state == "ready",
            (Work.kind != "clip") | (Work.duration_ticks >= CLIP_LEAST_TICKS),
            ~_has_board(),
            ~asked,
            exists().where(AirItem.token == Work.media_token),
        )
        .order_by(Work.created_at.desc())
        .limit(MISSING_AT_ONCE)
    )
    found = session.scalars(query).all()
    for work in found:
        promise_storyboard(session, work)
    return len(found)


def _has_board() -> Exists:
    return exists().where(Extra.token == Work.media_token, Extra.kind == KIND)


# --- choosing --------------------------------------------------------------------------------


def step_ticks(length: int) -> int:
    """Ticks between two tiles of a programme of ``length`` ticks."""
    fits = (s for s in STEPS if s * TILES_MAX * TIMESCALE >= length)
    return next(fits, STEPS[-1]) * TIMESCALE


def chosen(slots: Sequence[Slot], step: int) -> list[Slot]:
    """The slot that lies over each multiple of ``step``, each once, in order."""
    found: list[Slot] = []
    due = 0
    for slot in slots:
        if slot.start + slot.duration > due:
            found.append(slot)
            due = (max(due, slot.start + slot.duration - 1) // step + 1) * step
    return found


def fitted(width: int, height: int) -> tuple[int, int]:
    """Size of a tile for pictures of this size: even, and never larger than the pictures."""
    most_wide, most_high = TILE_MAX
    share = min(most_wide / width, most_high / height, 1.0)
    return max(2, round(width * share / 2) * 2), max(2, round(height * share / 2) * 2)


def write_vtt(at: Sequence[int], tile: tuple[int, int], end: int) -> str:
    """WebVTT whose cues name the tiles as media fragments (xywh) of the sheets beside it."""
    width, height = tile
    lines = ["WEBVTT", ""]
    for number, start in enumerate(at):
        until = at[number + 1] if number + 1 < len(at) else max(end, start + 90)
        sheet, place = divmod(number, COLUMNS * ROWS)
        row, column = divmod(place, COLUMNS)
        lines += [
            f"{_clock(start if number else 0)} --> {_clock(until)}",
            f"{KIND}-{sheet + 1}.jpg#xywh={column * width},{row * height},{width},{height}",
            "",
        ]
    return "\n".join(lines)


def _clock(ticks: int) -> str:
    ms = ticks // 90
    return f"{ms // 3_600_000:02d}:{ms // 60_000 % 60:02d}:{ms // 1000 % 60:02d}.{ms % 1000:03d}"


# --- making ----------------------------------------------------------------------------------


def make_storyboard(tools: Tools, token: str, beat: Beat = silent) -> dict[str, Any]:
    """Make a programme's storyboard and register it; again is the same. Raises EncodeError,
    StorageError, Fmp4Error and what ``beat`` raises."""
    with tools.database.transaction() as session:
        slots = _slots(session, token)
        if not slots:
            return {"tiles": 0}
        length = slots[-1].start + slots[-1].duration
        step = step_ticks(length)
        wanted = chosen(slots, step)
        parts = plan_parts(session, token, "video", [s.msn for s in wanted], smallest=True)
    if not parts:
        return {"tiles": 0}
    tools.require_room(3 * sum(part.size for part in parts))
    with tools.work_folder(KIND) as folder:
        board = draw(tools, parts, wanted, length, folder, beat)
        if board is None:
            return {"tiles": 0}
        _keep(tools, token, board, step, folder, beat)
    return {"tiles": len(board.at), "sheets": board.sheets, "step_seconds": step // TIMESCALE}


def _slots(session: Session, token: str) -> list[Slot]:
    rows = session.execute(
        select(AirItem.msn, AirItem.start_ticks, AirItem.duration_ticks)
        .where(AirItem.token == token, AirItem.source == "feed", AirItem.gap.is_(False))
        .order_by(AirItem.msn)
    )
    return [Slot(*row) for row in rows]


def draw(
    tools: Tools, parts: list[Part], slots: list[Slot], length: int, folder: Path, beat: Beat
) -> Board | None:
    """Read the parts and write the sheets and the WebVTT; None when nothing can be decoded."""
    found: dict[int, Path] = {}
    tile = fitted(*_size(parts[0]))
    for number, part in enumerate(parts):
        beat(0.8 * number / len(parts), "正在做预览图")
        found |= _pictures(tools, part, tile, folder / str(number), beat)
    shown = sorted(found)
    at = [pts for slot in slots if (pts := _first(shown, slot)) is not None]
    at = sorted(set(at))
    if not at:
        return None
    sheets = 0
    for first in range(0, len(at), COLUMNS * ROWS):
        sheets += 1
        tiles = [found[pts] for pts in at[first : first + COLUMNS * ROWS]]
        (folder / f"{KIND}-{sheets}.jpg").write_bytes(_sheet(tiles, tile))
        beat(None, None)
    vtt = write_vtt(at, tile, length).encode()
    (folder / f"{KIND}.vtt").write_bytes(vtt)
    return Board(at, tile, sheets, len(vtt))


def _size(part: Part) -> tuple[int, int]:
    return part.rendition.width or TILE_MAX[0], part.rendition.height or TILE_MAX[1]


def _first(shown: Sequence[int], slot: Slot) -> int | None:
    place = bisect_left(shown, slot.start - _EARLY_TICKS)
    if place == len(shown) or shown[place] >= slot.start + slot.duration:
        return None
    return shown[place]


def _pictures(
    tools: Tools, part: Part, tile: tuple[int, int], folder: Path, beat: Beat
) -> dict[int, Path]:
    """Key frames of one part as small pictures: pts in ticks → file."""
    folder.mkdir()
    joined = folder / "part.mp4"
    join_part(tools.storage, part, joined, lambda: beat(None, None))
    keys, late = _key_times(joined, lambda: beat(None, None))
    source = ffmpeg.input(f"file:{joined}", skip_frame="nokey", **input_limits())
    # Named by the millisecond they are shown at: an undecodable one leaves no other out of place.
    picture = source["v:0"].filter("scale", *tile, flags="area").filter("settb", "1/1000")
    output = ffmpeg.output(
        picture, f"file:{folder}/%d.bmp", f="image2", frame_pts=1, fps_mode="passthrough",
        **{"enc_time_base:v": "1/1000"},
    ).global_args("-copyts")  # fmt: skip
    patience = Patience(deadline=60 + part.size / 1e6, stall=60)
    run_ffmpeg(
        tools.ffmpeg, output, patience=patience, beat=lambda _, note: beat(None, note),
        limits=Limits(cpu_seconds=int(patience.deadline) * 4),
    )  # fmt: skip
    joined.unlink()
    found: dict[int, Path] = {}
    for pts in keys:
        near = (folder / f"{(pts + late) // 90 + by}.bmp" for by in (0, 1, -1))
        path = next((p for p in near if p.exists()), None)
        if path is not None:
            found[pts] = path
    return found


def _key_times(path: Path, step: Step) -> tuple[list[int], int]:
    """When the key frames of a joined file are shown, ticks; and how much later FFmpeg says so:
    it has no negative composition offsets, and makes up for those there are. Raises Fmp4Error."""
    reader = FragmentReader()
    main: fmp4.Track | None = None
    found: list[int] = []
    least = 0
    with path.open("rb") as source:
        while data := source.read(1 << 20):
            for item in reader.feed(data):
                if isinstance(item, fmp4.InitSection):
                    main = item.track("video")
                elif main is not None:
                    shown = [s for s in item.samples if s.track_id == main.track_id]
                    least = min([least, *(s.cts for s in shown)])
                    found += [
                        (s.dts + s.cts) * TIMESCALE // main.timescale for s in shown if s.is_sync
                    ]
            step()
    return sorted(found), 0 if main is None else -least * TIMESCALE // main.timescale


def _sheet(tiles: Sequence[Path], tile: tuple[int, int]) -> bytes:
    width, height = tile
    rows = -(-len(tiles) // COLUMNS)
    columns = min(len(tiles), COLUMNS)
    sheet: NDArray[np.uint8] = np.zeros((rows * height, columns * width, 3), np.uint8)
    for number, path in enumerate(tiles):
        picture = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if picture is None:
            continue
        row, column = divmod(number, COLUMNS)
        y, x = row * height, column * width
        sheet[y : y + height, x : x + width] = picture[:height, :width]
    quality = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    return cv2.imencode(".jpg", sheet, quality)[1].tobytes()


def _keep(tools: Tools, token: str, board: Board, step: int, folder: Path, beat: Beat) -> None:
    """Files first, then the row that lets anybody see them."""
    base = f"extras/{token}/{KIND}"
    beat(0.9, "正在保存")
    for number in range(1, board.sheets + 1):
        name = f"{KIND}-{number}.jpg"
        tools.storage.put_file(f"{base}/{name}", folder / name)
        beat(None, None)
    tools.storage.put_file(f"{base}/{KIND}.vtt", folder / f"{KIND}.vtt")
    facts = {
        "step": step,
        "tile": list(board.tile),
        "columns": COLUMNS,
        "rows": ROWS,
        "sheets": board.sheets,
        "vtt_bytes": board.vtt_bytes,
        "at": board.at,
    }
    with tools.database.transaction() as session:
        tools.fence(session)
        keep_extra(session, token, KIND, base, facts)


def keep_extra(session: Session, token: str, kind: str, key: str, facts: dict[str, Any]) -> None:
    """Register what was computed of a programme, in place of what stood there."""
    values = {"storage_key": key, "facts": facts, "made_at": dt.datetime.now(dt.UTC)}
    session.execute(
        insert(Extra)
        .values(token=token, kind=kind, **values)
        .on_conflict_do_update(index_elements=["token", "kind"], set_=values)
    )
