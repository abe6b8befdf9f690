"""Making a phone form: a way found, sound evened, reframed, packaged, put on the shelf."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.errors import Refused
from catalog.models import TIMESCALE, AirItem, Work
from infra.jobs import JobFailed
from infra.storage import NotFound, Storage
from transcode.probe import ProbeError, probe_file
from transcode.source import FileInfo
from vod.encode import Beat, Patience, run_ffmpeg, silent
from vod.finished import Finished, fragmented_output, package
from vod.footage import Step
from vod.forms.geometry import Geometry, plan
from vod.forms.lettering import lower_third, title_card
from vod.forms.paint import Layer, Showing, layer_of
from vod.forms.path import Path as Way
from vod.forms.path import follow
from vod.forms.rendering import join, render
from vod.forms.sound import Sound, even_sound
from vod.forms.watching import watch
from vod.forms.wishes import (
    CARD_FADE_TICKS,
    CARD_TICKS,
    THIRD_FADE_TICKS,
    Wish,
    wish_of,
)
from vod.shelving import Made, publish
from vod.tools import Tools

SOURCE_WAITS: Final = "form_source_making"
_HOURS_MAX: Final = 4
_FETCH_BYTES: Final = 8 << 20
_SHARES: Final = {"watch": (0.02, 0.25), "sound": (0.25, 0.3), "render": (0.3, 0.93)}
_MOST_BYTES_A_SECOND: Final = 5 << 20
"""Of all the files a form is made through, and the copies in storage: its bit rate is capped."""


@dataclass(frozen=True, slots=True)
class _Order:
    """What to make, as the rows say."""

    work_id: str
    token: str
    wish: Wish
    source_key: str
    source_size: int
    duration: int
    pdt_us: int
    pieces: list[Any] | None
    """Where the source's own pieces lie in it: the form has the same timeline."""


def make_form(tools: Tools, work_id: str, beat: Beat = silent) -> dict[str, Any]:
    """Make a form and publish it; doing it again changes nothing.

    Raises JobFailed, EncodeError, StorageError and what ``beat`` raises; nothing is listed then.
    """
    order = _read_order(tools, work_id)
    if order is None:
        return {"work_id": work_id, "state": "done before"}
    seconds = order.duration // TIMESCALE + 1
    tools.require_room(order.source_size + seconds * _MOST_BYTES_A_SECOND)
    with tools.work_folder("form") as folder:
        beat(0.0, "正在读取原片")
        source = _fetched(tools.storage, order, folder, lambda: beat(None, None))
        made, facts = _make(tools, order, source, folder, beat)
        beat(_SHARES["render"][1], "正在保存")
        publish(tools, made, lambda: beat(None, None))
    return {"work_id": work_id, "seconds": order.duration / TIMESCALE, **facts}


def _read_order(tools: Tools, work_id: str) -> _Order | None:
    with tools.database.transaction() as session:
        work = session.get(Work, work_id)
        if work is None or work.form_of_id is None:
            raise JobFailed("form_not_found", "没有找到这条竖版或方版。", retry=False)
        if work.state in ("ready", "withdrawn"):
            return None
        source = session.get_one(Work, work.form_of_id)
        if source.state == "making":
            raise JobFailed(SOURCE_WAITS, "原片还没有剪好，剪好就接着做。")
        if source.state != "ready" or source.mp4_key is None:
            raise JobFailed("form_source_gone", "原片没有做成，或已撤下。", retry=False)
        work.state = "making"
        return _Order(
            work_id=work.id,
            token=work.media_token,
            wish=wish_of(work.form, work.making),
            source_key=source.mp4_key,
            source_size=source.size_bytes or 0,
            duration=source.duration_ticks,
            pdt_us=_wall_clock(session, source),
            pieces=source.making.get("pieces"),
        )


def _wall_clock(session: Session, source: Work) -> int:
    found = session.scalar(
        select(AirItem.pdt_us)
        .where(AirItem.token == source.media_token)
        .order_by(AirItem.msn)
        .limit(1)
    )
    return found or 0


def _fetched(storage: Storage, order: _Order, folder: Path, step: Step) -> Path:
    """A local file of the source. Raises StorageError."""
    local = storage.local_path(order.source_key)
    if local is not None and local.exists():
        return local
    path, at = folder / "source.mp4", 0
    with path.open("wb") as out:
        while at < order.source_size:
            end = min(order.source_size, at + _FETCH_BYTES)
            data = storage.open_range(order.source_key, at, end)
            if not data:
                raise NotFound(f"{order.source_key}: ends at byte {at}")
            out.write(data)
            at += len(data)
            step()
    return path


def _make(
    tools: Tools, order: _Order, source: Path, folder: Path, beat: Beat
) -> tuple[Made, dict[str, Any]]:
    binary = tools.ffmpeg
    info = _probed(source, lambda: beat(None, None))
    video = info.source.video
    if video is None:
        raise JobFailed("form_no_picture", "这条视频没有画面，做不了竖版或方版。", retry=False)
    geometry = plan(video.display_width, video.height, order.wish.form)
    beat(_SHARES["watch"][0], "正在看画面里的人")
    watched = watch(
        binary, source, geometry, duration=order.duration, frame_rate=float(video.frame_rate),
        folder=folder, beat=_part(beat, "watch"),
    )  # fmt: skip
    try:
        way = follow(watched.times, watched.cuts, watched.seen, geometry.crop)
    except ValueError as error:
        raise JobFailed("form_unreadable", f"原片的画面时间不对：{error}", retry=False) from error
    beat(_SHARES["sound"][0], "正在调整音量")
    sound = None
    if info.source.audio is not None:
        sound = even_sound(binary, source, order.duration, folder, _part(beat, "sound"))
    beat(_SHARES["render"][0], "正在重新取景")
    card, showings = _layers(order.wish, geometry)
    rendered = render(binary, source, geometry, way, showings, card, folder, _part(beat, "render"))
    mp4 = folder / "form.mp4"
    join(binary, rendered.path, sound.path if sound else None, mp4, _part(beat, ""))
    rendition, finished = _packaged(binary, mp4, folder, order.duration, beat)
    if finished.pts != watched.times:
        raise JobFailed("form_not_exact", "做出的画面与原片的帧对不上，没有发布。")
    facts = _facts(geometry, way, sound)
    making: dict[str, Any] = {"facts": facts}
    if order.pieces is not None:
        making["pieces"] = order.pieces
    rate = len(watched.times) * TIMESCALE / order.duration if order.duration else None
    made = Made(
        work_id=order.work_id,
        token=order.token,
        pdt_us=order.pdt_us,
        mp4=mp4,
        rendition=rendition,
        poster=rendered.cover,
        finished=finished,
        frame_rate=rate,
        making=making,
    )
    return made, facts


def _probed(source: Path, step: Step) -> FileInfo:
    try:
        return probe_file(source, hours_max=_HOURS_MAX, beat=step)
    except (Refused, ProbeError) as error:
        raise JobFailed("form_unreadable", "原片读不出来，请重新剪一次。") from error


def _part(beat: Beat, name: str) -> Beat:
    """A beat for one part of the work: its shares are shares of the whole."""
    low, high = _SHARES.get(name, (0.0, 0.0))

    def told(share: float | None, note: str | None) -> None:
        beat(None if share is None or high <= low else low + (high - low) * share, note)

    return told


def _layers(wish: Wish, geometry: Geometry) -> tuple[Layer | None, list[Showing]]:
    """The card's layer (the cover wears it too), and all that is to be seen over the film."""
    card = None
    showings = []
    for third in wish.thirds:
        layer = layer_of(lower_third(wish.form, geometry.out, third.text, third.sub), 0, 0)
        showings.append(Showing(layer, third.start, third.stop, THIRD_FADE_TICKS))
    if wish.title:
        card = layer_of(title_card(wish.form, geometry.out, wish.title, wish.centre), 0, 0)
        showings.append(Showing(card, 0, CARD_TICKS, CARD_FADE_TICKS))
    return card, showings


def _packaged(
    binary: str, mp4: Path, folder: Path, duration: int, beat: Beat
) -> tuple[Path, Finished]:
    """The HLS rendition, copied out of the MP4."""
    fragments, rendition = folder / "parts.mp4", folder / "replay.mp4"
    run_ffmpeg(
        binary, fragmented_output(mp4, fragments, video=True),
        patience=Patience(deadline=1800, stall=120), beat=_part(beat, ""),
    )  # fmt: skip
    finished = package(fragments, rendition, duration, lambda: beat(None, None))
    fragments.unlink()
    return rendition, finished


def _facts(geometry: Geometry, way: Way, sound: Sound | None) -> dict[str, Any]:
    """What was done, in numbers: lengths in crop lengths, loudness in LUFS."""
    sure = [seen.confidence for seen in way.chosen]
    return {
        "width": geometry.out[0],
        "height": geometry.out[1],
        "crop": round(geometry.crop, 4),
        "frames": len(way.times),
        "shots": len(way.shots),
        "sightings": len(sure),
        "confidence": round(sum(sure) / len(sure), 3) if sure else 0.0,
        "speed": round(way.fastest(), 3),
        "acceleration": round(way.sharpest(), 3),
        "loudness_before": sound.before if sound else None,
        "loudness_after": sound.after if sound else None,
        "gain_db": round(sound.gain_db, 2) if sound else 0.0,
    }
