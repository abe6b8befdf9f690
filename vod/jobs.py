"""The jobs of this package: thin shells that turn a job's context into the plain functions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from sqlalchemy import exists, or_, select
from sqlalchemy.orm import Session

from catalog.models import AirItem, Broadcast, Take, Work
from catalog.resources import register_recording, register_take
from infra.instance import internal_token
from infra.jobs import JobCancelled, JobContext, JobFailed, enqueue, job_handler
from infra.storage import NotFound, Storage, StorageFull, open_storage
from infra.tables import Job
from transcode.fmp4.boxes import Fmp4Error
from vod.acts.service import promise_missing as promise_analyses
from vod.chunked.whole import put_away as put_uploads_away
from vod.chunked.whole import settle as settle_uploads
from vod.clips import make_clip
from vod.compaction import CompactionError, clean_up, compact
from vod.encode import EncodeError
from vod.masters import drop_masters, make_master
from vod.posters import poster_job
from vod.shelving import fail, give_up
from vod.shipping import ShipError, ship_take
from vod.stills.service import promise_stills
from vod.storyboard import make_storyboard, promise_missing, promise_storyboard
from vod.tools import Tools

SHIP_ATTEMPTS: Final = 50
"""A take's node may be down for a day; its log is on its disk all the while."""
POSTER_AGE: Final = dt.timedelta(minutes=3)
"""So old a poster may be while the show is on air."""
COMPACT_DELAY: Final = dt.timedelta(seconds=60)
"""So long the replay stays as it grew: who follows it from the start has seen its ENDLIST by then,
and no line of a list may change before that (rfc8216bis 6.2.1)."""
_SHIP_BACKOFF: Final = (5.0, 30.0, 120.0, 600.0, 1800.0)


def after_finalize(session: Session, broadcast: Broadcast) -> None:
    """What follows a show that was finalised: its entries and jobs. Twice is once."""
    register_recording(session, broadcast)
    promise_poster(session, broadcast)
    promise_storyboard(session, broadcast)
    later = dt.datetime.now(dt.UTC) + COMPACT_DELAY
    _promise(session, broadcast, "compact", f"compact:{broadcast.id}", not_before=later)
    # By then the files lie still, and the acts may be known.
    promise_stills(session, broadcast.media_token, later + COMPACT_DELAY)
    takes = select(Take).where(Take.broadcast_id == broadcast.id)
    for take in session.scalars(takes):
        if take.storage_key is None:
            promise_shipping(session, broadcast, take.id)
        else:
            # It was shipped while the show went on, and its last pictures were shown after.
            register_take(session, take)


def promise_poster(session: Session, broadcast: Broadcast) -> Job:
    """A poster from what is registered by then; also fit for a show that has just begun."""
    return _promise(session, broadcast, "poster", f"poster:{broadcast.id}")


def promise_shipping(session: Session, broadcast: Broadcast, take_id: str) -> Job:
    """A closed take will be in storage; may be promised before the broadcast has ended."""
    return _promise(
        session, broadcast, "ship_take", f"ship:{take_id}", SHIP_ATTEMPTS, take_id=take_id
    )


def _promise(
    session: Session,
    broadcast: Broadcast,
    kind: str,
    unique_key: str,
    max_attempts: int = 3,
    not_before: dt.datetime | None = None,
    **args: str,
) -> Job:
    return enqueue(
        session,
        kind=kind,
        queue="vod",
        args={"broadcast_id": broadcast.id, **args},
        unique_key=unique_key,
        broadcast_id=broadcast.id,
        centre_id=broadcast.centre_id,
        title=broadcast.title,
        max_attempts=max_attempts,
        not_before=not_before,
    )


# --- handlers --------------------------------------------------------------------------------


def tools_of(ctx: JobContext) -> Tools:
    """The worker's tools for this job; its writes are fenced by the job's lease."""
    return Tools(ctx.settings, ctx.db, open_storage(ctx.settings), ctx.fence)


@contextmanager
def verdicts() -> Iterator[None]:
    """Failures that are known, as sentences people can act on; what programs said of them follows
    on lines of its own, for the log."""
    try:
        yield
    except StorageFull as error:
        raise JobFailed("storage_full", "存储空间已满，请先腾出空间再重试。") from error
    except NotFound as error:
        # Read while compaction cleaned up: the next attempt reads the rows again.
        raise JobFailed("media_missing", f"有媒体文件没有找到，请再试一次。\n{error}") from error
    except EncodeError as error:
        raise JobFailed("encode_failed", f"编码没有成功。\n{error}") from error
    except Fmp4Error as error:
        raise JobFailed("media_damaged", f"媒体文件损坏，读不出来。\n{error}") from error


@job_handler("after_show")
def _after_show(ctx: JobContext) -> dict[str, Any]:
    """Promised by the live job, which stands below this package and cannot call it."""
    with ctx.db.transaction() as session:
        broadcast = session.get(Broadcast, ctx.args["broadcast_id"])
        if broadcast is None or broadcast.finalized_at is None:
            return {"promised": False}
        ctx.fence(session)
        after_finalize(session, broadcast)
    return {"promised": True}


@job_handler("compact")
def _compact(ctx: JobContext) -> dict[str, Any]:
    try:
        with verdicts():
            return compact(tools_of(ctx), ctx.args["broadcast_id"], ctx.heartbeat)
    except CompactionError as error:
        raise JobFailed(
            "compaction_check", f"合并后的核对没有通过，回看照旧用原来的文件。\n{error}"
        ) from error


@job_handler("compact_cleanup")
def _compact_cleanup(ctx: JobContext) -> dict[str, Any]:
    try:
        with verdicts():
            return clean_up(tools_of(ctx), ctx.args["broadcast_id"], ctx.heartbeat)
    except CompactionError as error:
        raise JobFailed("compaction_check", f"小文件没有清理。\n{error}", retry=False) from error


# Promised when a show begins, it may look before the first picture is registered.
@job_handler("poster", backoff_seconds=(5.0, 15.0, 60.0))
def _poster(ctx: JobContext) -> dict[str, Any]:
    with verdicts():
        made = poster_job(tools_of(ctx), ctx.args["broadcast_id"], ctx.heartbeat)
    if made["poster"] is None and ctx.attempt < ctx.held.max_attempts:
        raise JobFailed("no_picture_yet", "还没有画面可做封面，稍后再试。")
    return made


@job_handler("ship_take", backoff_seconds=_SHIP_BACKOFF)
def _ship_take(ctx: JobContext) -> dict[str, Any]:
    token = internal_token(ctx.settings)
    try:
        with verdicts():
            return ship_take(tools_of(ctx), ctx.args["take_id"], token, ctx.heartbeat)
    except ShipError as error:
        raise JobFailed("ship_failed", f"原始录像还没能入库。\n{error}") from error


@job_handler("clip")
def _clip(ctx: JobContext) -> dict[str, Any]:
    tools, work_id = tools_of(ctx), str(ctx.args["work_id"])
    try:
        with verdicts():
            return make_clip(tools, work_id, ctx.heartbeat)
    except JobCancelled:
        give_up(tools, work_id)
        raise
    except JobFailed as error:
        if not error.retry or ctx.attempt >= ctx.held.max_attempts:
            give_up(tools, work_id)
        raise


@job_handler("storyboard")
def _storyboard(ctx: JobContext) -> dict[str, Any]:
    with verdicts():
        return make_storyboard(tools_of(ctx), str(ctx.args["token"]), ctx.heartbeat)


# Of hours of footage: what is copied or written tells of itself, what is put in storage does not.
@job_handler("master", stall_seconds=1800.0)
def _master(ctx: JobContext) -> dict[str, Any]:
    with verdicts():
        return make_master(tools_of(ctx), str(ctx.args["work_id"]), ctx.heartbeat)


@job_handler("settle")
def _settle(ctx: JobContext) -> dict[str, Any]:
    """Promised by beat every now and then."""
    with ctx.db.transaction() as session:
        ctx.fence(session)
        now = dt.datetime.now(dt.UTC)
        return {
            "clips": settle_clips(session, tools_of(ctx).storage),
            "posters": renew_posters(session, now),
            "uploads": settle_uploads(session),
            "uploads_put_away": put_uploads_away(session, now),
            "storyboards": promise_missing(session),
            "acts": promise_analyses(session, now),
            "masters": drop_masters(session, tools_of(ctx).storage, now),
        }


def renew_posters(session: Session, now: dt.datetime) -> int:
    """Broadcasts on air whose poster is missing or old are promised another; how many."""
    due = select(Broadcast).where(
        Broadcast.state == "live",
        or_(Broadcast.poster_at.is_(None), Broadcast.poster_at < now - POSTER_AGE),
        exists().where(AirItem.token == Broadcast.media_token, AirItem.source == "feed"),
    )
    found = session.scalars(due).all()
    for broadcast in found:
        promise_poster(session, broadcast)
    return len(found)


def settle_clips(session: Session, storage: Storage) -> int:
    """Works still "making" whose job has ended (cancelled while it waited, or every worker that
    tried was lost) are failed, and what was put for them goes; how many."""
    open_job = exists().where(
        Job.unique_key.in_(["clip:" + Work.id, "form:" + Work.id]),
        Job.state.in_(("queued", "running")),
    )
    settled = session.scalars(
        select(Work)
        .where(Work.kind == "clip", Work.state == "making", ~open_job)
        .with_for_update(skip_locked=True)
    ).all()
    for work in settled:
        fail(storage, work)
    return len(settled)
