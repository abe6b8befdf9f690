"""What people watch, as its pages show it: a broadcast, a clip, an uploaded recording; with the
chapters and the storyboard of each, and for staff its MP4."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.making import made_line
from api.pages import cards, view
from api.pages.acts.data import public_list
from catalog import acts
from catalog.minutes import TICKS_A_MS
from catalog.models import AirItem, Broadcast, Centre, Extra, Rendition, Work
from catalog.pieces import Chapter, asked, carried, laid
from catalog.plays import counts
from catalog.records.sight import off_air
from infra.tables import Job
from vod.masters import latest_job, master_key

GENERATIONS_MAX: Final = 8
"""Clips of clips whose chapters are followed."""
CLIPS_MAX: Final = 60


# --- chapters and the storyboard -------------------------------------------------------------


def storyboard_url(session: Session, token: str) -> str | None:
    """Address of a programme's storyboard, once there is one."""
    there = session.get(Extra, (token, "storyboard")) is not None
    return f"/hls/{token}/storyboard.vtt" if there else None


def chapters(session: Session, token: str) -> tuple[view.Chapter, ...]:
    """Chapters of a broadcast or an uploaded work: its confirmed acts."""
    return _shown(acts.chapters(session, token))


def clip_chapters(session: Session, work: Work) -> tuple[view.Chapter, ...]:
    """Chapters of a clip: those of its sources that it shows. A clip of one act has none."""
    found = _of_clip(session, work, GENERATIONS_MAX)
    return _shown(found) if len(found) > 1 else ()


def _of_clip(session: Session, work: Work, generations: int) -> list[Chapter]:
    known: dict[str, Sequence[Chapter]] = {}
    titles: dict[str, str] = {}
    for key in {piece.source for piece in asked(work.edit_list)}:
        source = session.get(Broadcast, key) or session.get(Work, key)
        if source is None:
            continue
        titles[key] = source.title
        known[key] = acts.chapters(session, source.media_token)
        if isinstance(source, Work) and source.kind == "clip" and generations:
            known[key] = _of_clip(session, source, generations - 1)
    return carried(laid(work.edit_list, work.making), known, titles)


def _shown(found: Sequence[Chapter]) -> tuple[view.Chapter, ...]:
    return tuple(
        view.Chapter(start // TICKS_A_MS, end // TICKS_A_MS, title) for start, end, title in found
    )


# --- pages -----------------------------------------------------------------------------------


def page_or_gone(session: Session, broadcast: Broadcast) -> view.BroadcastPageView | view.Gone:
    """What its address shows; a Gone to be raised by whoever does not keep it for others."""
    if cards.is_gone(session, broadcast):
        return view.Gone()
    return broadcast_page(session, broadcast)


def broadcast_page(session: Session, broadcast: Broadcast) -> view.BroadcastPageView:
    """The same address before, during and after."""
    token = broadcast.media_token
    aired = token in cards.replay_lengths(session, [token])
    over = broadcast.state == "ended"
    has_sound = session.scalar(
        select(Rendition.id).where(Rendition.token == token, Rendition.name == "a")
    )
    return view.BroadcastPageView(
        card=cards.broadcast_cards(session, [broadcast])[broadcast.id],
        description=broadcast.description,
        hls_url=f"/hls/{token}/main.m3u8",
        plain_url=f"/hls/{token}/plain.m3u8",
        replay_hls_url=f"/hls/{token}/replay.m3u8" if aired else None,
        audio_live_url=f"/hls/{token}/a/live.m3u8" if has_sound else None,
        audio_replay_url=f"/hls/{token}/a/replay.m3u8" if has_sound and aired else None,
        clips=clips_of(session, broadcast.id),
        storyboard_url=storyboard_url(session, token) if over else None,
        chapters=chapters(session, token) if over else (),
        programme=public_list(session, token),
    )


def clip_page(session: Session, clip_id: str) -> view.ClipPageView | None:
    """A clip with what it was cut from; None when there is none to show. Raises Gone."""
    work = session.get(Work, clip_id)
    if work is None or work.kind != "clip" or work.state == "failed":
        return None
    if off_air(session, (work.media_token,)):
        raise view.Gone
    source = session.get(Broadcast, work.broadcast_id) if work.broadcast_id else None
    if source is not None and cards.is_gone(session, source):
        source = None
    ready = work.state == "ready"
    media = f"/hls/{work.media_token}"
    card = cards.clip_card(work)
    return view.ClipPageView(
        id=work.id,
        title=work.title,
        duration_ms=card.duration_ms,
        hls_url=f"{media}/main.m3u8",
        mp4_url=f"{media}/download.mp4" if ready and work.mp4_key else None,
        poster_url=card.poster_url,
        broadcast=cards.broadcast_cards(session, [source])[source.id] if source else None,
        plays=counts(session, [work.id])[work.id].play_starts,
        ready=ready,
        sources=() if work.broadcast_id else _sources(session, work),
        forms=_forms(session, work),
        form=work.form,
        storyboard_url=storyboard_url(session, work.media_token) if ready else None,
        chapters=clip_chapters(session, work) if ready else (),
    )


def _sources(session: Session, work: Work) -> tuple[view.Link, ...]:
    """What a clip of several programmes, or of an upload, was cut from: those one can watch."""
    found = []
    for key in dict.fromkeys(piece.source for piece in asked(work.edit_list)):
        broadcast = session.get(Broadcast, key)
        if broadcast is not None:
            if not cards.is_gone(session, broadcast):
                found.append(view.Link(f"/b/{broadcast.id}", broadcast.title))
            continue
        source = session.get(Work, key)
        if source is None or source.state != "ready" or off_air(session, (source.media_token,)):
            continue
        found.append(view.Link(path_of(source), source.title))
    return tuple(found)


def path_of(work: Work) -> str:
    """Where a work is watched."""
    if work.kind == "recording":
        return f"/b/{work.broadcast_id}"
    return f"/clips/{work.id}" if work.kind == "clip" else f"/works/{work.id}"


def _forms(session: Session, work: Work) -> tuple[view.Link, ...]:
    """The other forms of a clip: those made of it, or the one it was made of."""
    first = work.form_of_id or work.id
    query = select(Work).where(
        ((Work.form_of_id == first) | (Work.id == first)) & (Work.id != work.id),
        Work.state == "ready",
        Work.kind == "clip",
    )
    found = session.scalars(query.order_by(Work.form, Work.created_at)).all()
    return tuple(view.Link(f"/clips/{form.id}", form.form) for form in found)


def work_page(session: Session, work_id: str, now: dt.datetime) -> view.WorkPageView | str | None:
    """An uploaded recording; the path of the page of any other work; None for none to show.
    Raises Gone."""
    work = session.get(Work, work_id)
    if work is None or work.state == "failed":
        return None
    if work.kind != "upload":
        return path_of(work)
    if off_air(session, (work.media_token,)):
        raise view.Gone
    length = cards.replay_lengths(session, [work.media_token]).get(work.media_token, 0)
    ready = work.state == "ready"
    show = session.get(Broadcast, work.broadcast_id) if work.broadcast_id else None
    if show is not None and cards.is_gone(session, show):
        show = None
    job = None if ready else _making(session, work)
    told = cards.job_row(job, now) if job is not None else None
    return view.WorkPageView(
        id=work.id,
        title=work.title,
        centre=session.get_one(Centre, work.centre_id).name,
        duration_ms=length,
        hls_url=f"/hls/{work.media_token}/main.m3u8",
        poster_url=f"/hls/{work.media_token}/poster.jpg" if work.poster_key else None,
        playable=length > 0,
        ready=ready,
        progress=told.progress if told else None,
        eta_s=told.eta_s if told else None,
        published_at=work.published_at or work.created_at,
        plays=counts(session, [work.id])[work.id].play_starts,
        broadcast=cards.broadcast_cards(session, [show])[show.id] if show else None,
        clips=clips_of(session, work.id),
        storyboard_url=storyboard_url(session, work.media_token) if ready else None,
        chapters=chapters(session, work.media_token) if ready else (),
    )


def _making(session: Session, work: Work) -> Job | None:
    """The job that makes an uploaded work: its progress is the work's."""
    query = select(Job).where(Job.kind == "chunks", Job.args["work_id"].astext == work.id)
    return session.scalars(query.order_by(Job.id.desc()).limit(1)).first()


def clips_of(session: Session, source_id: str) -> tuple[view.ClipCard, ...]:
    """Ready clips that show some of a broadcast or work; the phone forms stand on their pages."""
    found = session.scalars(
        select(Work)
        .where(
            (Work.broadcast_id == source_id) | Work.edit_list.contains([[source_id]]),
            Work.kind == "clip",
            Work.state == "ready",
            Work.form_of_id.is_(None),
        )
        .order_by(Work.created_at)
        .limit(CLIPS_MAX)
    ).all()
    hidden = off_air(session, [work.media_token for work in found])
    return tuple(cards.clip_card(work) for work in found if work.media_token not in hidden)


# --- for staff -------------------------------------------------------------------------------


def desk_of(session: Session, work: Work) -> view.WorkDesk:
    """What staff see of a work beside its player."""
    extra = session.get(Extra, (work.media_token, "master"))
    job = latest_job(session, work)
    source = work.broadcast_id if work.kind == "recording" else work.id
    return view.WorkDesk(
        work_id=work.id,
        mp4=_mp4(session, work, job),
        made=made_line(work.making),
        progress=(job.progress_permille or 0) / 1000 if job else None,
        note=job.note if job else "",
        error=cards.failure(job) if job else None,
        bytes=work.size_bytes if work.mp4_key else extra.facts["bytes"] if extra else None,
        timeline_href=f"/desk/programmes/{source}/acts" if _long(session, work) else None,
    )


def _mp4(
    session: Session, work: Work, job: Job | None
) -> Literal["later", "none", "making", "ready", "failed"]:
    if work.state != "ready":
        return "later"
    if master_key(session, work) is not None:
        return "ready"
    if job is not None and job.state in ("queued", "running"):
        return "making"
    return "failed" if job is not None and job.state == "failed" else "none"


def recording_desk(session: Session, broadcast_id: str) -> view.WorkDesk | None:
    """The same of a broadcast's recording, once it is whole."""
    query = select(Work).where(
        Work.broadcast_id == broadcast_id, Work.kind == "recording", Work.state == "ready"
    )
    found = session.scalars(query).first()
    return desk_of(session, found) if found is not None else None


def _long(session: Session, work: Work) -> bool:
    """Whether it is a programme with acts in it, rather than one of them."""
    aired = select(func.count()).where(AirItem.token == work.media_token)
    return work.kind != "clip" and bool(session.scalar(aired))
