"""A finished clip of any MP4: in storage, on its air list, catalogued; cut from a broadcast."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.orm import Session

from catalog.minutes import TICKS_A_SECOND
from catalog.models import Centre, Work
from infra.ids import public_id, secret_token
from tests.support.stage import Stage, make_stage
from vod.encode import Patience, run_ffmpeg
from vod.finished import fragmented_output, package
from vod.shelving import Made, publish
from vod.tools import Tools

WALL_CLOCK_US = 1_767_000_000_000_000


def shelve(
    tools: Tools,
    path: Path,
    *,
    seconds: float,
    picture: bool = True,
    title: str = "象脚鼓舞",
    centre_id: str | None = None,
) -> Work:
    """A ready clip that shows ``path``: the first seconds of a broadcast of a minute."""
    length = round(seconds * TICKS_A_SECOND)
    with tools.database.transaction() as session:
        stage = _stage(session, centre_id)
        work = Work(
            id=public_id(),
            centre_id=stage.broadcast.centre_id,
            broadcast_id=stage.broadcast.id,
            kind="clip",
            state="making",
            title=title,
            media_token=secret_token(),
            edit_list=[[stage.broadcast.id, 0, length]],
        )
        session.add(work)
        session.flush()
        names = (work.id, work.media_token)
    with tools.work_folder("test") as folder:
        parts, rendition = folder / "parts.mp4", folder / "replay.mp4"
        output = fragmented_output(path, parts, video=picture)
        run_ffmpeg(tools.ffmpeg, output, patience=Patience(60))
        finished = package(parts, rendition, length, lambda: None)
        made = Made(*names, WALL_CLOCK_US, path, rendition, None, finished, 25.0)
        assert publish(tools, made, lambda: None)
    with tools.database.transaction() as session:
        return session.get_one(Work, names[0])


def _stage(session: Session, centre_id: str | None) -> Stage:
    centre = session.get_one(Centre, centre_id) if centre_id else None
    stage = make_stage(session, title="勐混镇乡村春晚", centre=centre)
    take = stage.open()
    stage.slots(take, stage.run(take), [2 * TICKS_A_SECOND] * 30)
    stage.close(take, end_ms=60_000)
    return stage
