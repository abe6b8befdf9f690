"""Runs one job in a worker: claim, handler under a kept lease, and the outcome into the row."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy.orm import Session

from infra.database import Database, DatabaseAway
from infra.jobs import rows
from infra.jobs.handlers import (
    Handler,
    JobCancelled,
    JobContext,
    JobFailed,
    JobHandover,
    JobWaits,
    LeaseLost,
    handler_for,
)
from infra.jobs.lease import LeaseKeeper
from infra.jobs.nudge import nudge
from infra.jobs.owner import this_process
from infra.settings import Settings
from infra.telemetry import get_logger

log = get_logger(__name__)

INTERNAL_CODE: Final = "internal"
INTERNAL_SENTENCE: Final = "程序里出了问题，详情在系统日志里。原来的录像和文件都在，可以再试一次。"

# The row still says "running" while the database is away: better to wait than to do it all again.
RECORD_SECONDS: Final = 120.0
RECORD_SECONDS_STOPPING: Final = 5.0
# A retry due sooner than the reconciler's next look is nudged by us.
_OWN_NUDGE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of an attempt, and the UPDATE that says so."""

    name: str
    record: Callable[[Session], bool]
    nudge_in: float | None = None


class JobRunner:
    """Looks at jobs for one worker process. ``stopping``: set when the worker shuts down.

    ``abandon`` ends this process; for pools where it does one job at a time.
    """

    def __init__(
        self,
        db: Database,
        settings: Settings,
        stopping: threading.Event,
        *,
        abandon: Callable[[], None] | None = None,
    ) -> None:
        self._db = db
        self._settings = settings
        self._stopping = stopping
        self._abandon = abandon

    def look(self, job_id: int) -> str | None:
        """Do the job if it is due and nobody has it. How it ended, None: there was nothing to do.

        Raises DatabaseAway when it could not even look: the reconciler will ask again.
        """
        if self._stopping.is_set():
            return None
        with self._db.transaction() as session:
            kind = rows.kind_of_due(session, job_id)
            if kind is None:
                return None
            handler = handler_for(kind)
            if handler is None:
                log.error("no handler for this kind of job", job=job_id, kind=kind)
                return None
            held = rows.claim(session, job_id, this_process(), handler.lease_seconds)
        if held is None:
            return None
        return self._run(held, handler)

    def _run(self, held: rows.Claim, handler: Handler) -> str:
        began = time.monotonic()
        log.info("job begins", job=held.job_id, kind=held.kind, attempt=held.attempt)
        ctx = JobContext(held, self._db, self._settings, self._stopping)
        with LeaseKeeper(ctx, handler, abandon=self._abandon):
            outcome = _attempt(ctx, handler)
        recorded = self._record(held, outcome)
        log.info(
            "job ends",
            job=held.job_id,
            kind=held.kind,
            attempt=held.attempt,
            outcome=outcome.name if recorded else "not ours any more",
            seconds=round(time.monotonic() - began, 3),
        )
        if not recorded:
            return "lost"
        if outcome.nudge_in is not None:
            _nudge_later(held, outcome.nudge_in)
        return outcome.name

    def _record(self, held: rows.Claim, outcome: _Outcome) -> bool:
        began = time.monotonic()
        pause = 0.2
        while True:
            try:
                with self._db.transaction() as session:
                    return outcome.record(session)
            except DatabaseAway as error:
                # The commit may have happened although its answer got lost. Then the row is not
                # ours any more and the next try says so: harmless, the outcome stands.
                stopping = self._stopping.is_set()
                patience = RECORD_SECONDS_STOPPING if stopping else RECORD_SECONDS
                gave_up = time.monotonic() - began > patience
                log.warning(
                    "outcome not recorded",
                    job=held.job_id,
                    outcome=outcome.name,
                    why=type(error).__name__,
                    gave_up=gave_up,
                )
                if gave_up:
                    return False
            time.sleep(pause)
            pause = min(pause * 2, 2.0)


def _attempt(ctx: JobContext, handler: Handler) -> _Outcome:
    held = ctx.held
    try:
        result: dict[str, Any] = handler.function(ctx) or {}
        json.dumps(result)  # what cannot be written into the row is the handler's failure
    except JobCancelled:
        return _Outcome("cancelled", partial(rows.give_in, held=held))
    except (JobHandover, LeaseLost):
        # A lost lease that nobody has taken yet is handed over too; a taken one is not touched.
        return _Outcome("handed over", partial(rows.hand_over, held=held), nudge_in=0.0)
    except JobWaits as waits:
        return _Outcome(
            "waiting",
            partial(rows.wait, held=held, seconds=waits.seconds),
            nudge_in=waits.seconds if waits.seconds <= _OWN_NUDGE_SECONDS else None,
        )
    except JobFailed as verdict:
        log.warning("job failed", job=held.job_id, code=verdict.code, why=verdict.sentence)
        return _failure(held, handler, verdict)
    except Exception:  # the outermost shell of a job
        log.exception("job raised", job=held.job_id, kind=held.kind, attempt=held.attempt)
        return _failure(held, handler, JobFailed(INTERNAL_CODE, INTERNAL_SENTENCE))
    return _Outcome("done", partial(rows.complete, held=held, result=result))


def _failure(held: rows.Claim, handler: Handler, verdict: JobFailed) -> _Outcome:
    words = verdict.code, verdict.sentence
    if not verdict.retry or held.attempt >= held.max_attempts:
        return _Outcome("failed", lambda session: rows.fail(session, held, *words))
    seconds = handler.backoff(held.attempt)
    return _Outcome(
        "to be retried",
        lambda session: rows.retry(session, held, seconds, *words),
        nudge_in=seconds if seconds <= _OWN_NUDGE_SECONDS else None,
    )


def _nudge_later(held: rows.Claim, seconds: float) -> None:
    if seconds <= 0:
        nudge(held.job_id, held.queue)
        return
    # A little late rather than a little early, which would be in vain.
    timer = threading.Timer(seconds + 0.05, nudge, (held.job_id, held.queue))
    timer.daemon = True
    timer.start()
