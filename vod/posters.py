"""Posters: one telling frame of a show as a JPEG, never a black one if there is another."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any, Final

import cv2
import ffmpeg
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.models import AirItem, Broadcast
from infra.storage import Storage
from transcode.sandbox import Limits, input_limits
from vod.encode import Beat, Patience, run_ffmpeg, silent
from vod.footage import Part, join_part, plan_parts
from vod.tools import Tools

CANDIDATES: Final = 12
POSTER_WIDTH: Final = 1280
_JPEG_QUALITY: Final = 85
_DARK: Final = 24.0
_BRIGHT: Final = 235.0
_OUT_OF_RANGE_SHARE: Final = 0.05
_PATIENCE: Final = Patience(deadline=120, stall=60)


def poster_key(token: str) -> str:
    """Where the poster of a broadcast lies in storage."""
    return f"live/{token}/poster.jpg"


def poster_job(tools: Tools, broadcast_id: str, beat: Beat = silent) -> dict[str, Any]:
    """Make (or make anew) a broadcast's poster from what is registered by now."""
    with tools.database.transaction() as session:
        broadcast = session.get(Broadcast, broadcast_id)
        if broadcast is None:
            return {"poster": None}
        token = broadcast.media_token
        slots = candidate_slots(session, token, newest=broadcast.state == "live")
        parts = plan_parts(session, token, "video", slots)
    if not parts:
        return {"poster": None}
    with tools.work_folder("poster") as folder:
        files = _fetch(tools.storage, parts, folder, beat)
        picture = choose_poster(tools.ffmpeg, files, folder, beat)
    if picture is None:
        return {"poster": None}
    tools.storage.put_bytes(poster_key(token), picture)
    with tools.database.transaction() as session:
        # Pages name a poster by this alone: a request never asks storage whether it is there.
        session.get_one(Broadcast, broadcast_id).poster_at = dt.datetime.now(dt.UTC)
    return {"poster": poster_key(token), "bytes": len(picture)}


def candidate_slots(session: Session, token: str, *, newest: bool = False) -> list[int]:
    """Slots to take a frame from: spread over the show; of one on air the ``newest``, so that
    the poster shows what is being played."""
    msns = list(
        session.scalars(
            select(AirItem.msn)
            .where(AirItem.token == token, AirItem.source == "feed", AirItem.gap.is_(False))
            .order_by(AirItem.msn)
        )
    )
    if newest or len(msns) <= CANDIDATES:
        return msns[-CANDIDATES:]
    return [msns[index * len(msns) // CANDIDATES] for index in range(CANDIDATES)]


def _fetch(storage: Storage, parts: list[Part], folder: Path, beat: Beat) -> list[Path]:
    files = []
    for index, part in enumerate(parts):
        path = folder / f"part{index}.mp4"
        join_part(storage, part, path, lambda: beat(None, None))
        files.append(path)
    return files


def choose_poster(
    binary: str, files: list[Path], folder: Path, beat: Beat = silent
) -> bytes | None:
    """The best key frame of the files as a JPEG; None when none can be decoded."""
    best: tuple[float, NDArray[np.uint8]] | None = None
    for number, file in enumerate(files):
        stills = folder / f"stills{number}"
        stills.mkdir()
        source = ffmpeg.input(f"file:{file}", skip_frame="nokey", **input_limits())
        picture = source["v:0"].filter("scale", f"min({POSTER_WIDTH},iw)", -2, flags="bicubic")
        # Uncompressed on the way: what viewers get is compressed once.
        output = ffmpeg.output(
            picture, f"file:{stills}/%02d.bmp", f="image2", vframes=CANDIDATES,
            fps_mode="passthrough",
        )  # fmt: skip
        run_ffmpeg(binary, output, patience=_PATIENCE, beat=beat, limits=Limits(cpu_seconds=120))
        for path in sorted(stills.iterdir()):
            still = cv2.imread(str(path), cv2.IMREAD_COLOR)
            if still is None:
                continue
            pixels = np.asarray(still, dtype=np.uint8)
            worth = score(pixels)
            if best is None or worth > best[0]:
                best = (worth, pixels)
    if best is None:
        return None
    done, data = cv2.imencode(".jpg", best[1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return data.tobytes() if done else None


def score(picture: NDArray[np.uint8]) -> float:
    """How telling a picture (rows, columns, BGR) is: contrast, detail, not black, not white."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    detail = float(np.log1p(cv2.Laplacian(grey, cv2.CV_64F).var()))
    worth = (1.0 + float(grey.std())) * (1.0 + detail)
    if not _DARK <= float(grey.mean()) <= _BRIGHT:
        worth *= _OUT_OF_RANGE_SHARE
    return worth
