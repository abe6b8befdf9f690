"""What happens to job rows, as SQL: each event is one guarded UPDATE, on the database's clock.

A worker's right to a job is (owner, attempt): every UPDATE of a running job by its worker names
both, so that a worker that lost its lease without noticing changes nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from infra.database import after_commit
from infra.jobs.log import say
from infra.jobs.nudge import nudge
from infra.jobs.pace import noted
from infra.jobs.states import ENDED, OPEN, sources, target
from infra.tables import Job

LOST_CODE: Final = "worker_lost"
LOST_SENTENCE: Final = "做这件事的程序每次都中断了，请再试一次；还是不行，请看系统日志。"
_ENQUEUE_TRIES: Final = 5
_NOTE_MAX: Final = 200

# The transaction's start; unlike clock_timestamp() it may be looked up in an index.
_DB_NOW: Final = sa.func.now()
_DUE: Final = sa.or_(
    sa.and_(
        Job.state.in_(sources("claim")),
        sa.or_(Job.not_before.is_(None), Job.not_before <= _DB_NOW),
    ),
    sa.and_(Job.state.in_(sources("take over")), Job.lease_until <= _DB_NOW),
)
_EXPIRED: Final = sa.and_(Job.state == "running", Job.lease_until <= _DB_NOW)
_NO_LEASE: Final[dict[str, Any]] = {"lease_owner": None, "lease_until": None}


@dataclass(frozen=True, slots=True)
class Claim:
    """A job this worker holds, as of the claim."""

    job_id: int
    kind: str
    queue: str
    args: dict[str, Any]
    owner: str
    attempt: int
    max_attempts: int
    broadcast_id: str | None
    centre_id: str | None


def enqueue(
    session: Session,
    *,
    kind: str,
    queue: str,
    args: dict[str, Any],
    unique_key: str | None = None,
    broadcast_id: str | None = None,
    centre_id: str | None = None,
    title: str = "",
    max_attempts: int = 3,
    not_before: dt.datetime | None = None,
) -> Job:
    """Promise a job, in the caller's transaction; the queue hears of it after the commit.

    With a ``unique_key`` that an open job has already, that job is returned and nothing is added:
    a handler must therefore look once more at what it was promised for before it is done.
    """
    insertion = (
        insert(Job)
        .values(
            kind=kind,
            queue=queue,
            args=args,
            unique_key=unique_key,
            broadcast_id=broadcast_id,
            centre_id=centre_id,
            title=title,
            max_attempts=max_attempts,
            not_before=not_before,
        )
        .on_conflict_do_nothing(
            index_elements=[Job.unique_key],
            index_where=sa.text("state IN ('queued', 'running')"),
        )
        .returning(Job)
    )
    existing = sa.select(Job).where(Job.unique_key == unique_key, Job.state.in_(OPEN))
    for _ in range(_ENQUEUE_TRIES):
        job = session.scalars(insertion).one_or_none()
        if job is None:
            # The open one may end between the two statements: then there is room for ours.
            job = session.scalars(existing).one_or_none()
        if job is not None:
            after_commit(session, partial(nudge, job.id, job.queue))
            return job
    raise RuntimeError(f"job {unique_key!r} kept ending while it was being promised again")


def cancel(session: Session, job_id: int) -> str | None:
    """Cancel a queued job at once; ask a running one to stop. The state after, None: no such
    job. A job that has ended stays as it is."""
    queued = _update(
        session,
        sa.update(Job)
        .where(Job.id == job_id, Job.state == "queued")
        .values(state="cancelled", cancel_requested=True, ended_at=_DB_NOW, **_NO_LEASE),
    )
    if not queued:
        _update(
            session,
            sa.update(Job)
            .where(Job.id == job_id, Job.state == "running")
            .values(cancel_requested=True),
        )
    return session.scalar(sa.select(Job.state).where(Job.id == job_id))


def try_again(session: Session, job_id: int) -> bool:
    """Queue a failed or cancelled job anew, with all its attempts. False: it is not one.

    Raises IntegrityError when another open job has its unique key.
    """
    queue = session.scalar(
        sa.update(Job)
        .where(Job.id == job_id, Job.state.in_(sources("try again")))
        .values(
            state=target("try again"),
            attempt=0,
            cancel_requested=False,
            not_before=None,
            ended_at=None,
            error_code=None,
            error=None,
            progress_permille=None,
            note="",
            pace=[],
            **_NO_LEASE,
        )
        .returning(Job.queue)
    )
    if queue is None:
        return False
    say(session, job_id, 0, "重新排队")
    after_commit(session, partial(nudge, job_id, queue))
    return True


def wake(session: Session, job_id: int) -> None:
    """A job that waits for others may look again now; one that is looking will look once more."""
    found = session.execute(
        sa.update(Job)
        .where(Job.id == job_id, Job.state.in_(OPEN))
        .values(not_before=_DB_NOW)
        .returning(Job.queue, Job.state)
    ).one_or_none()
    if found is not None and found.state == "queued":
        after_commit(session, partial(nudge, job_id, found.queue))


def report(
    session: Session, job_id: int, *, at: float, permille: int, note: str, since: int = 0
) -> bool:
    """Write down how far an open job is, for others who do its work. False: it is not open.

    ``since``: what was done before this permille went at a pace of its own, and says nothing
    about the rest.
    """
    job = session.scalars(
        sa.select(Job).where(Job.id == job_id, Job.state.in_(OPEN)).with_for_update(),
        execution_options={"populate_existing": True},
    ).one_or_none()
    if job is None or job.cancel_requested:
        return False
    job.pace = noted([point for point in job.pace if point[1] >= since], at, permille)
    job.progress_permille = min(1000, max(0, permille))
    if note != job.note:
        job.note = note[:_NOTE_MAX]
        say(session, job_id, job.attempt, job.note)
    return True


# -- what the worker does


def kind_of_due(session: Session, job_id: int) -> str | None:
    """The kind of a job that may be claimed now, else None."""
    return session.scalar(sa.select(Job.kind).where(Job.id == job_id, *_claimable()))


def claim(session: Session, job_id: int, owner: str, lease_seconds: float) -> Claim | None:
    """Take a due job, or None: somebody else has it, or it is not due, cancelled or ended.

    One UPDATE: of two workers that look at the same moment, PostgreSQL lets the second see what
    the first has made of the row.
    """
    row = session.execute(
        sa.update(Job)
        .where(Job.id == job_id, *_claimable())
        .values(
            state=target("claim"),
            attempt=Job.attempt + 1,
            lease_owner=owner,
            lease_until=_DB_NOW + dt.timedelta(seconds=lease_seconds),
            heartbeat_at=_DB_NOW,
            started_at=sa.func.coalesce(Job.started_at, _DB_NOW),
            not_before=None,
        )
        .returning(
            Job.kind,
            Job.queue,
            Job.args,
            Job.attempt,
            Job.max_attempts,
            Job.broadcast_id,
            Job.centre_id,
        )
    ).one_or_none()
    if row is None:
        return None
    kind, queue, args, attempt, max_attempts, broadcast_id, centre_id = row
    if attempt > 1:
        say(session, job_id, attempt, f"第 {attempt} 次开始")
    return Claim(job_id, kind, queue, args, owner, attempt, max_attempts, broadcast_id, centre_id)


def renew(
    session: Session,
    held: Claim,
    lease_seconds: float,
    *,
    progress_permille: int | None = None,
    note: str | None = None,
    pace: list[list[float]] | None = None,
) -> bool | None:
    """Prolong the lease; whether a cancellation is wished. None: the job is no longer ours.

    A lease that has run out is prolonged all the same as long as nobody has taken the job.
    """
    # A lost renewal costs nothing that the next one does not mend: no need to wait for the disk.
    session.execute(sa.text("SET LOCAL synchronous_commit = off"))
    values: dict[str, Any] = {
        "lease_until": _DB_NOW + dt.timedelta(seconds=lease_seconds),
        "heartbeat_at": _DB_NOW,
    }
    if progress_permille is not None:
        values["progress_permille"] = progress_permille
    if pace is not None:
        values["pace"] = pace
    if note is not None:
        values["note"] = note[:_NOTE_MAX]
        known = session.scalar(sa.select(Job.note).where(*_ours(held)))
        if known is not None and known != values["note"]:
            say(session, held.job_id, held.attempt, values["note"])
    return session.scalar(
        sa.update(Job).where(*_ours(held)).values(**values).returning(Job.cancel_requested)
    )


def is_ours(session: Session, held: Claim) -> bool:
    """Whether the job is still ours, locking its row until the transaction ends."""
    found = session.scalar(sa.select(Job.id).where(*_ours(held)).with_for_update())
    return found is not None


def complete(session: Session, held: Claim, result: dict[str, Any]) -> bool:
    """The job is done. False (here and below): it was not ours any more, nothing is changed."""
    values = {"result": result, "progress_permille": 1000, "error_code": None, "error": None}
    return _finish(session, held, "complete", **values)


def fail(session: Session, held: Claim, code: str, sentence: str) -> bool:
    """The job has failed for good."""
    _tell(session, held, f"失败：{sentence}")
    return _finish(session, held, "fail", error_code=code[:60], error=sentence)


def give_in(session: Session, held: Claim) -> bool:
    """The job has stopped because it was cancelled."""
    _tell(session, held, "已取消")
    return _finish(session, held, "give in")


def retry(session: Session, held: Claim, seconds: float, code: str, sentence: str) -> bool:
    """The attempt has failed; the next may begin in ``seconds``."""
    _tell(session, held, f"第 {held.attempt} 次没有成功：{sentence}")
    return _requeue(
        session,
        held,
        "retry",
        not_before=_DB_NOW + dt.timedelta(seconds=seconds),
        error_code=code[:60],
        error=sentence,
    )


def hand_over(session: Session, held: Claim) -> bool:
    """Somebody else shall go on with it, at once; the attempt does not count."""
    attempts = sa.func.greatest(Job.attempt - 1, 0)
    return _requeue(session, held, "hand over", attempt=attempts, not_before=None)


def wait(session: Session, held: Claim, seconds: float) -> bool:
    """The rest is other jobs' work. Whoever has woken it meanwhile has set ``not_before``."""
    later = sa.case((Job.not_before.is_(None), _DB_NOW + dt.timedelta(seconds=seconds)))
    attempts = sa.func.greatest(Job.attempt - 1, 0)
    return _requeue(session, held, "wait", attempt=attempts, not_before=later)


def let_go(session: Session, held: Claim) -> bool:
    """End our lease now, without a word on the outcome: for a handler that hangs."""
    statement = sa.update(Job).where(*_ours(held)).values(lease_until=_DB_NOW)
    return _update(session, statement) > 0


# -- what the reconciler does


def running_owners(session: Session, host: str) -> list[tuple[int, str]]:
    """(job id, owner) of running jobs whose owner is on ``host``."""
    rows = session.execute(
        sa.select(Job.id, Job.lease_owner).where(
            Job.state == "running",
            Job.lease_owner.startswith(host + ":", autoescape=True),
            Job.lease_until > _DB_NOW,
        )
    )
    return [(job_id, owner) for job_id, owner in rows if owner is not None]


def expire(session: Session, job_id: int, owner: str) -> bool:
    """End the lease of an owner known to be gone."""
    return (
        _update(
            session,
            sa.update(Job)
            .where(Job.id == job_id, Job.state == "running", Job.lease_owner == owner)
            .values(lease_until=_DB_NOW),
        )
        > 0
    )


def close_expired(session: Session) -> tuple[int, int]:
    """Close jobs that nobody holds and nobody may claim; how many (cancelled, failed)."""
    gave_in = _update(
        session,
        sa.update(Job)
        .where(_EXPIRED, Job.cancel_requested)
        .values(state=target("give in"), ended_at=_DB_NOW, **_NO_LEASE),
    )
    exhausted = _update(
        session,
        sa.update(Job)
        .where(_EXPIRED, Job.attempt >= Job.max_attempts)
        .values(
            state=target("exhaust"),
            ended_at=_DB_NOW,
            error_code=LOST_CODE,
            error=LOST_SENTENCE,
            **_NO_LEASE,
        ),
    )
    return gave_in, exhausted


def due(session: Session, queues: Sequence[str] | None, limit: int) -> list[tuple[int, str]]:
    """(job id, queue) of jobs somebody should look at, oldest first."""
    wanted = sa.select(Job.id, Job.queue).where(*_claimable()).order_by(Job.id).limit(limit)
    if queues is not None:
        wanted = wanted.where(Job.queue.in_(queues))
    return [(job_id, queue) for job_id, queue in session.execute(wanted)]


def count_by_state(session: Session) -> dict[tuple[str, str], int]:
    """Number of job rows per (queue, state)."""
    rows = session.execute(
        sa.select(Job.queue, Job.state, sa.func.count()).group_by(Job.queue, Job.state)
    )
    return {(queue, state): count for queue, state, count in rows}


def forget_old(session: Session, days: int, failed_days: int, limit: int) -> int:
    """Delete rows of jobs that ended long ago (failed ones are kept longer); how many."""
    old = sa.or_(
        sa.and_(
            Job.state.in_([state for state in ENDED if state != "failed"]),
            Job.ended_at < _DB_NOW - dt.timedelta(days=days),
        ),
        sa.and_(Job.state == "failed", Job.ended_at < _DB_NOW - dt.timedelta(days=failed_days)),
    )
    ids = sa.select(Job.id).where(old).limit(limit)
    return _update(session, sa.delete(Job).where(Job.id.in_(ids)))


def _tell(session: Session, held: Claim, text: str) -> None:
    if is_ours(session, held):
        say(session, held.job_id, held.attempt, text)


def _claimable() -> tuple[sa.ColumnElement[bool], ...]:
    return (_DUE, Job.attempt < Job.max_attempts, sa.not_(Job.cancel_requested))


def _ours(held: Claim) -> tuple[sa.ColumnElement[bool], ...]:
    return (
        Job.id == held.job_id,
        Job.state == "running",
        Job.lease_owner == held.owner,
        Job.attempt == held.attempt,
    )


def _finish(session: Session, held: Claim, event: str, **values: object) -> bool:
    statement = (
        sa.update(Job)
        .where(*_ours(held))
        .values(state=target(event), ended_at=_DB_NOW, **_NO_LEASE, **values)
    )
    return _update(session, statement) > 0


def _requeue(session: Session, held: Claim, event: str, **values: object) -> bool:
    """Back into the queue; but a job that somebody wished cancelled meanwhile ends here, for
    nobody may claim it any more."""
    wished = Job.cancel_requested
    statement = (
        sa.update(Job)
        .where(*_ours(held))
        .values(
            state=sa.case((wished, target("give in")), else_=target(event)),
            ended_at=sa.case((wished, _DB_NOW)),
            **_NO_LEASE,
            **values,
        )
    )
    return _update(session, statement) > 0


def _update(session: Session, statement: sa.Update | sa.Delete) -> int:
    result = session.execute(statement, execution_options={"synchronize_session": False})
    return cast("CursorResult[Any]", result).rowcount
