"""Keeps the lease of one running job: a thread that renews it and notices what must stop it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from infra.database import DatabaseAway
from infra.jobs.handlers import Handler, JobContext
from infra.jobs.pace import noted
from infra.jobs.rows import let_go, renew
from infra.telemetry import get_logger

log = get_logger(__name__)

# While PostgreSQL is away nobody can take the job over, and the work goes on. If only we cannot
# reach it, somebody will have taken over by now: lease, reconciler, and another's start.
GIVE_UP_LEASES: Final = 4
GIVE_UP_LEAST_SECONDS: Final = 30.0
_ABANDON_AFTER_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 1.0


class LeaseKeeper:
    """Use as a context manager around the handler's run.

    ``abandon`` ends the process when a hung handler does not stop either; None where other jobs
    live in it.
    """

    def __init__(
        self, ctx: JobContext, handler: Handler, *, abandon: Callable[[], None] | None = None
    ) -> None:
        self._ctx = ctx
        self._handler = handler
        self._abandon = abandon
        self._finished = threading.Event()
        self._renewed_at = time.monotonic()
        self._pace: list[list[float]] = []
        self._thread = threading.Thread(target=self._run, name=f"lease-{ctx.job_id}", daemon=True)

    def __enter__(self) -> LeaseKeeper:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._finished.set()
        # Its transaction may be stuck on a server that hangs: the fence does not depend on it.
        self._thread.join(timeout=self._handler.renew_seconds)

    def _run(self) -> None:
        pause = self._handler.renew_seconds
        while not self._finished.wait(pause):
            if self._ctx.silent_seconds() > self._handler.stall_seconds:
                self._give_up_hung()
                return
            pause = self._renew()
            if self._ctx.lost.is_set():
                return

    def _renew(self) -> float:
        """One renewal; seconds until the next."""
        ctx, handler = self._ctx, self._handler
        began = time.monotonic()
        progress_permille, note = ctx.take_report()
        if progress_permille is not None:
            self._pace = noted(self._pace, time.time(), progress_permille)
        try:
            with ctx.db.transaction() as session:
                wished = renew(
                    session,
                    ctx.held,
                    handler.lease_seconds,
                    progress_permille=progress_permille,
                    note=note,
                    pace=self._pace if progress_permille is not None else None,
                )
        except DatabaseAway as error:
            ctx.return_report(progress_permille, note)
            away = time.monotonic() - self._renewed_at
            give_up = max(GIVE_UP_LEASES * handler.lease_seconds, GIVE_UP_LEAST_SECONDS)
            log.warning(
                "lease not renewed", job=ctx.job_id, away=round(away, 1), why=type(error).__name__
            )
            if away > give_up:
                ctx.lost.set()
            return min(handler.renew_seconds, _RETRY_SECONDS)
        if wished is None:
            log.warning("lease lost", job=ctx.job_id, attempt=ctx.attempt)
            ctx.lost.set()
        elif wished:
            ctx.cancel_wished.set()
        # Counted from before the statement: the row's lease began no earlier.
        self._renewed_at = began
        return handler.renew_seconds

    def _give_up_hung(self) -> None:
        ctx = self._ctx
        log.error("handler hangs", job=ctx.job_id, kind=ctx.kind, attempt=ctx.attempt)
        ctx.lost.set()
        try:
            with ctx.db.transaction() as session:
                let_go(session, ctx.held)
        except DatabaseAway:
            log.warning("lease not ended, it will run out", job=ctx.job_id)
        if self._abandon is not None and not self._finished.wait(_ABANDON_AFTER_SECONDS):
            self._abandon()
