"""Job handlers: how one is registered, what it is given, and what it may raise."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.orm import Session

from infra.database import Database
from infra.jobs.rows import Claim, is_ours
from infra.settings import Settings

LEASE_SECONDS: Final = 15.0
RENEW_SECONDS: Final = 3.0
STALL_SECONDS: Final = 900.0
BACKOFF_SECONDS: Final = (5.0, 30.0, 120.0, 600.0)


class JobCancelled(Exception):
    """Somebody cancelled the job: stop, undo what is half done, let this pass."""


class LeaseLost(Exception):
    """The job may belong to another worker by now: stop without a trace, let this pass."""


class JobHandover(Exception):
    """This worker is stopping: stop here, let this pass; another goes on with the job at once,
    and the attempt does not count."""


class JobWaits(Exception):
    """The rest is other jobs' work: put this one back, and look again in ``seconds`` at the
    latest, sooner when somebody wakes it (``rows.wake``). The attempt does not count."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class JobFailed(Exception):
    """The handler's verdict. ``code``: for programs; ``sentence``: one plain one, for people.

    ``retry=False``: it would fail again (bad input, say), so do not.
    """

    def __init__(self, code: str, sentence: str, *, retry: bool = True) -> None:
        super().__init__(f"{code}: {sentence}")
        self.code = code
        self.sentence = sentence
        self.retry = retry


class JobContext:
    """What a handler knows of its job. It may be used from any thread of the handler."""

    def __init__(
        self, held: Claim, db: Database, settings: Settings, stopping: threading.Event
    ) -> None:
        self.held = held
        self.db = db
        self.settings = settings
        self.stopping = stopping
        """Set when this worker shuts down. Then, :meth:`heartbeat` raises JobHandover."""
        self.lost = threading.Event()
        """Set when the lease is lost. Then, :meth:`heartbeat` raises LeaseLost."""
        self.cancel_wished = threading.Event()
        """Set when somebody wants the job cancelled. Then, :meth:`heartbeat` raises JobCancelled.
        Like ``lost`` it is noticed at a renewal of the lease."""
        self._lock = threading.Lock()
        self._progress_permille: int | None = None
        self._note: str | None = None
        self._beat_at = time.monotonic()

    @property
    def job_id(self) -> int:
        return self.held.job_id

    @property
    def kind(self) -> str:
        return self.held.kind

    @property
    def args(self) -> dict[str, Any]:
        return self.held.args

    @property
    def attempt(self) -> int:
        """1 for the first. Attempts that ended in a handover are not counted."""
        return self.held.attempt

    @property
    def broadcast_id(self) -> str | None:
        return self.held.broadcast_id

    @property
    def centre_id(self) -> str | None:
        return self.held.centre_id

    def heartbeat(self, progress: float | None = None, note: str | None = None) -> None:
        """Say that the work goes on; ``progress`` from 0 to 1, ``note`` for people to read.

        Costs nothing: both are written with the next renewal of the lease. Call it at least
        every few seconds where you can: here is where the handler learns that it must stop.
        A handler that is silent for ``stall_seconds`` counts as hung.
        Raises LeaseLost, JobCancelled, JobHandover.
        """
        with self._lock:
            self._beat_at = time.monotonic()
            if progress is not None:
                self._progress_permille = min(1000, max(0, int(progress * 1000)))
            if note is not None:
                self._note = note
        if self.lost.is_set():
            raise LeaseLost
        if self.cancel_wished.is_set():
            raise JobCancelled
        if self.stopping.is_set():
            raise JobHandover

    def fence(self, session: Session) -> None:
        """Make sure inside a transaction that the job is ours until it ends, so that what it
        writes is written by one worker only. Raises LeaseLost. Blocks the renewal meanwhile."""
        if not is_ours(session, self.held):
            self.lost.set()
            raise LeaseLost

    def silent_seconds(self) -> float:
        """How long ago the last heartbeat was."""
        with self._lock:
            return time.monotonic() - self._beat_at

    def take_report(self) -> tuple[int | None, str | None]:
        """(progress ‰, note) not yet written down; each None when unchanged."""
        with self._lock:
            report = self._progress_permille, self._note
            self._progress_permille = self._note = None
        return report

    def return_report(self, progress_permille: int | None, note: str | None) -> None:
        """Give back what could not be written, unless there is something newer."""
        with self._lock:
            if self._progress_permille is None:
                self._progress_permille = progress_permille
            if self._note is None:
                self._note = note


JobFunction = Callable[[JobContext], dict[str, Any] | None]


@dataclass(frozen=True, slots=True)
class Handler:
    """A registered handler and how its jobs are held."""

    kind: str
    function: JobFunction
    lease_seconds: float
    """How long the job stays ours without a renewal: how late others notice that we are gone."""
    renew_seconds: float
    stall_seconds: float
    """A handler without a heartbeat for this long is given up."""
    backoff_seconds: tuple[float, ...]
    """Pause before the second attempt, the third, …; the last one repeats."""

    def backoff(self, attempt: int) -> float:
        """Pause after the failed attempt number ``attempt`` (1 is the first)."""
        return self.backoff_seconds[min(attempt, len(self.backoff_seconds)) - 1]


_HANDLERS: Final[dict[str, Handler]] = {}


def job_handler(
    kind: str,
    *,
    lease_seconds: float = LEASE_SECONDS,
    renew_seconds: float = RENEW_SECONDS,
    stall_seconds: float = STALL_SECONDS,
    backoff_seconds: tuple[float, ...] = BACKOFF_SECONDS,
) -> Callable[[JobFunction], JobFunction]:
    """Register the function that does jobs of ``kind``. It returns the job's result (JSON), and
    must be idempotent: after a crash it is called again for the same job."""
    if renew_seconds * 3 > lease_seconds:
        raise ValueError("a lease must outlive two renewals that fail")

    def register(function: JobFunction) -> JobFunction:
        if kind in _HANDLERS:
            raise ValueError(f"two handlers for jobs of kind {kind!r}")
        _HANDLERS[kind] = Handler(
            kind, function, lease_seconds, renew_seconds, stall_seconds, backoff_seconds
        )
        return function

    return register


def handler_for(kind: str) -> Handler | None:
    """The handler of a kind, if its module has been imported."""
    return _HANDLERS.get(kind)
