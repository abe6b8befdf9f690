"""Micro-videos: an edit list of stretches of broadcasts and works, cut to the frame.

Asking makes the work's row and its job in one transaction; making it reads registered segments
only, and copies all but the groups of pictures at the cuts (``vod.smartcut``). A clip stands in
the catalogue and the edge's rows only when all its files are in storage: they are written in the
transaction that makes it ready. The sources are never touched; the edit list is the lineage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog.audit import Actor
from catalog.broadcasts import clean_title
from catalog.errors import Missing, Refused
from catalog.models import TIMESCALE, AirItem, Broadcast, Rendition, Work
from catalog.pieces import Piece, asked
from catalog.programmes import Programme, find_programme
from infra.ids import public_id, secret_token
from infra.jobs import JobFailed, enqueue
from infra.tables import Job
from vod import smartcut
from vod.encode import Beat, silent
from vod.finished import key_pictures, read_back
from vod.footage import plan_parts, slots_around
from vod.posters import choose_poster
from vod.shelving import Made, publish
from vod.smartcut import CutResult
from vod.storyboard import CLIP_LEAST_TICKS, promise_storyboard
from vod.tools import Tools

PIECES_MAX: Final = 100
MAX_CLIP_TICKS: Final = 3 * 3600 * TIMESCALE
END_SLACK_TICKS: Final = TIMESCALE // 10
"""How far past the end an out point may lie: lengths are shown rounded, and typed in again."""

_EVERYWHERE: Final = Actor(user_id=None, name="", role="admin")
_SHARE_CUT: Final = 0.85
_SHARE_POSTER: Final = 0.9
_POSTER_CANDIDATES: Final = 6
"""People wait for a clip: each more costs them 30 ms."""


# --- asking ----------------------------------------------------------------------------------


def request_clip(
    session: Session,
    *,
    pieces: Sequence[tuple[str, int, int]],
    title: str,
    created_by: str | None,
    actor: Actor | None = None,
) -> tuple[Work, Job]:
    """A clip's row and the job that will make it, in the caller's transaction.

    ``pieces`` are (broadcast or work id, in, out) one after the other: ticks of that source's
    timeline, in included, out not. ``actor`` reaches all of them; None: whoever runs the machine.
    Raises Missing, Refused and, of the title, BroadcastError.
    """
    cleaned = clean_title(title)
    if not pieces:
        raise Refused("clip_empty_list")
    if len(pieces) > PIECES_MAX:
        raise Refused("clip_too_many", most=PIECES_MAX)
    found = {key: find_programme(session, actor or _EVERYWHERE, key) for key, _, _ in pieces}
    wanted = []
    for number, (key, start, end) in enumerate(pieces, 1):
        which = f"第 {number} 段：" if len(pieces) > 1 else ""
        end = _checked(session, found[key], start, end, which)
        wanted.append(Piece(found[key].id, start, end))
    length = sum(piece.end - piece.start for piece in wanted)
    if length > MAX_CLIP_TICKS:
        raise Refused("clip_too_long", length=_clock(length), most=_clock(MAX_CLIP_TICKS))
    _same_senses(session, list(found.values()))
    work = _row(session, list(found.values()), wanted, cleaned, created_by)
    return work, _promise(session, work)


def _checked(session: Session, source: Programme, start: int, end: int, which: str) -> int:
    """The out point, pulled back to the end if it lies just past it. Raises Refused."""
    if source.kind == "work" and source.state != "ready":
        code = "clip_source_making" if source.state == "making" else "clip_source_gone"
        raise Refused(code, which=which, title=source.title)
    if start < 0:
        raise Refused("clip_in_negative", which=which)
    if start >= end:
        raise Refused("clip_empty", which=which, start=_clock(start), end=_clock(end))
    length = source.length_ticks
    if length == 0:
        raise Refused("clip_nothing_yet", which=which, title=source.title)
    if end > length + END_SLACK_TICKS or start >= length:
        raise Refused("clip_past_end", which=which, end=_clock(end), length=_clock(length))
    end = min(end, length)
    footage = session.scalar(
        select(func.count())
        .select_from(AirItem)
        .where(
            AirItem.token == source.token,
            AirItem.start_ticks < end,
            AirItem.start_ticks + AirItem.duration_ticks > start,
            AirItem.source == "feed",
            AirItem.gap.is_(False),
        )
    )
    if not footage:
        raise Refused("clip_no_footage", which=which)
    return end


def _same_senses(session: Session, sources: list[Programme]) -> None:
    """One file has a picture throughout, or none."""
    tokens = {source.token for source in sources}
    seen = session.scalars(
        select(Rendition.token)
        .where(Rendition.token.in_(tokens), Rendition.kind == "video")
        .distinct()
    ).all()
    if 0 < len(seen) < len(tokens):
        raise Refused("clip_mixed")


def _row(
    session: Session,
    sources: list[Programme],
    pieces: list[Piece],
    title: str,
    created_by: str | None,
) -> Work:
    """The clip belongs where its first source does; to a broadcast if all of it is of that one."""
    shows = {source.broadcast_id for source in sources}
    contracts = {_contract(session, source) for source in sources}
    work = Work(
        id=public_id(),
        centre_id=sources[0].centre_id,
        broadcast_id=shows.pop() if len(shows) == 1 else None,
        kind="clip",
        state="making",
        title=title,
        media_token=secret_token(),
        edit_list=[[piece.source, piece.start, piece.end] for piece in pieces],
        contract=contracts.pop() if len(contracts) == 1 else "",
        created_by=created_by,
    )
    session.add(work)
    session.flush()
    return work


def _contract(session: Session, source: Programme) -> str:
    if source.broadcast_id is not None:
        return session.get_one(Broadcast, source.broadcast_id).contract
    return session.get_one(Work, source.id).contract


def _promise(session: Session, work: Work) -> Job:
    return enqueue(
        session,
        kind="clip",
        queue="edit",
        args={"work_id": work.id},
        unique_key=f"clip:{work.id}",
        broadcast_id=work.broadcast_id,
        centre_id=work.centre_id,
        title=work.title,
    )


def job_of(session: Session, work: Work) -> Job | None:
    """The job that makes, or made, a clip or a form of one."""
    query = select(Job).where(Job.kind.in_(("clip", "form")), Job.args["work_id"].astext == work.id)
    return session.scalars(query.order_by(Job.id.desc()).limit(1)).first()


def _clock(ticks: int) -> str:
    hundredths = max(0, ticks) * 100 // TIMESCALE
    seconds = hundredths // 100
    clock = f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return f"{clock}.{hundredths % 100:02d}"


# --- making ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Order:
    """What to make, as the rows say."""

    work_id: str
    token: str
    asked: list[Piece]
    pieces: list[smartcut.Piece]
    pdt_us: int
    """Wall clock of the first in point."""

    @property
    def size(self) -> int:
        """Bytes of the footage around the pieces."""
        return sum(part.size for piece in self.pieces for part in (*piece.video, *piece.audio))


def make_clip(tools: Tools, work_id: str, beat: Beat = silent) -> dict[str, Any]:
    """Make a clip and publish it; doing it again changes nothing.

    Raises JobFailed (CutError), EncodeError, StorageError and what ``beat`` raises; nothing is
    listed then.
    """
    order = _read_order(tools, work_id)
    if order is None:
        return {"work_id": work_id, "state": "done before"}
    # Fetched, encoded, written, and the copy in storage.
    tools.require_room(4 * order.size)

    def cutting(share: float | None, note: str | None) -> None:
        beat(None if share is None else _SHARE_CUT * share, note)

    def quiet(share: float | None, note: str | None) -> None:
        beat(None, note)

    with tools.work_folder("clip") as folder:
        beat(0.0, "正在剪")
        cut = smartcut.cut(tools, order.pieces, folder, cutting)
        check_frames(cut, read_back(cut.mp4, cut.finished, lambda: beat(None, None)))
        beat(_SHARE_CUT, "正在选封面")
        poster = _poster(tools, cut, folder, quiet) if cut.width else None
        beat(_SHARE_POSTER, "正在保存")
        made = Made(
            work_id=order.work_id,
            token=order.token,
            pdt_us=order.pdt_us,
            mp4=cut.mp4,
            rendition=None,
            poster=poster,
            finished=cut.finished,
            frame_rate=cut.frame_rate,
            init_offset=cut.init_offset,
            making=_making(order, cut),
        )
        if publish(tools, made, lambda: beat(None, None)):
            _follow(tools, order.work_id, cut.duration)
    return {
        "work_id": work_id,
        "frames": len(cut.frames),
        "frames_copied": cut.copied_frames,
        "frames_encoded": cut.encoded_frames,
        "frames_missing": cut.missing_frames,
        "seconds": cut.duration / TIMESCALE,
    }


def _read_order(tools: Tools, work_id: str) -> _Order | None:
    with tools.database.transaction() as session:
        work = session.get(Work, work_id)
        if work is None:
            raise JobFailed("clip_not_found", "没有找到这个片段。", retry=False)
        if work.state in ("ready", "withdrawn"):
            return None
        work.state = "making"
        wanted = asked(work.edit_list)
        try:
            pieces = [_piece(session, piece) for piece in wanted]
        except Missing:
            raise JobFailed(
                "clip_source_gone", "原来的录像已经不在了，剪不出来。", retry=False
            ) from None
        return _Order(work.id, work.media_token, wanted, pieces, _wall_clock(session, wanted[0]))


def _piece(session: Session, piece: Piece) -> smartcut.Piece:
    token = find_programme(session, _EVERYWHERE, piece.source).token
    around = slots_around(session, token, piece.start, piece.end)
    if around is None:
        raise JobFailed("clip_no_footage", "有一段没有录到画面，请换一段。", retry=False)
    msns = range(around[0], around[1] + 1)
    return smartcut.Piece(
        video=plan_parts(session, token, "video", msns),
        audio=plan_parts(session, token, "audio", msns),
        start=piece.start,
        stop=piece.end,
    )


def _wall_clock(session: Session, piece: Piece) -> int:
    token = find_programme(session, _EVERYWHERE, piece.source).token
    first = session.scalars(
        select(AirItem)
        .where(AirItem.token == token, AirItem.start_ticks + AirItem.duration_ticks > piece.start)
        .order_by(AirItem.msn)
        .limit(1)
    ).one()
    return first.pdt_us + (piece.start - first.start_ticks) * 100 // 9


def check_frames(cut: CutResult, written: list[int]) -> None:
    """Raises JobFailed when what was written (when each picture is shown, in order) is not,
    picture for picture, what the plan says: that would be our own fault, and is never shown."""
    if cut.width is None:
        return
    if written != cut.frames or len(set(written)) != len(written):
        raise JobFailed(
            "clip_not_exact",
            f"剪出的画面与原片不符（应为 {len(cut.frames)} 帧，得到 {len(written)} 帧），未发布。",
            retry=False,
        )
    if not written or written[0] != 0:
        raise JobFailed("clip_not_exact", "片段的第一帧损坏，请把入点移动一点再试。", retry=False)


def _poster(tools: Tools, cut: CutResult, folder: Path, beat: Beat) -> bytes | None:
    candidates = folder / "candidates.mp4"
    key_pictures(cut.mp4, cut.finished, _POSTER_CANDIDATES, candidates)
    return choose_poster(tools.ffmpeg, [candidates], folder, beat)


def _making(order: _Order, cut: CutResult) -> dict[str, Any]:
    """What the row says of how it was made."""
    pieces = []
    left = list(cut.pieces)
    for piece in order.asked:
        # One between two pictures holds none, and is not among them.
        if left and piece.start <= left[0].first < piece.end:
            lies = left.pop(0)
            pieces.append([lies.at, piece.source, lies.first, lies.end])
    return {
        "copied": cut.copied_frames,
        "encoded": cut.encoded_frames,
        "missing": cut.missing_frames,
        "reasons": list(cut.reasons),
        "pieces": pieces,
    }


def _follow(tools: Tools, work_id: str, duration: int) -> None:
    if duration < CLIP_LEAST_TICKS:
        return
    with tools.database.transaction() as session:
        tools.fence(session)
        promise_storyboard(session, session.get_one(Work, work_id))
