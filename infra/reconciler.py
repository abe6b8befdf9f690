"""The reconciler: finds job rows that nobody works on though somebody should, and nudges again."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from infra.database import Database
from infra.jobs import rows
from infra.jobs.nudge import Nudger
from infra.jobs.owner import is_gone, this_host
from infra.telemetry import get_logger

log = get_logger(__name__)

DUE_MAX: Final = 500
KEEP_DAYS: Final = 30
KEEP_FAILED_DAYS: Final = 180
_FORGET_BATCH: Final = 5_000


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What one look found to do."""

    freed: int = 0
    """Leases ended because their process on this host is gone."""
    cancelled: int = 0
    failed: int = 0
    nudged: int = 0


def reconcile(
    db: Database,
    nudge: Nudger,
    *,
    queue_length: Callable[[str], int] | None = None,
    queues: Sequence[str] | None = None,
) -> Reconciled:
    """One look at all job rows (nudging only for ``queues``, when given).

    ``queue_length``: messages waiting in a queue. While all workers of a queue are busy, its hints
    just wait; those of a queue that holds as many as there are due jobs are not repeated, or they
    would pile up with every look. Raises DatabaseAway.
    """
    freed = _free_gone(db)
    with db.transaction() as session:
        cancelled, failed = rows.close_expired(session)
        due = rows.due(session, queues, DUE_MAX)
    by_queue: dict[str, list[int]] = defaultdict(list)
    for job_id, queue in due:
        by_queue[queue].append(job_id)
    nudged = 0
    for queue, job_ids in by_queue.items():
        if queue_length is not None and queue_length(queue) >= len(job_ids):
            continue
        for job_id in job_ids:
            nudge(job_id, queue)
        nudged += len(job_ids)
    found = Reconciled(freed, cancelled, failed, nudged)
    if found != Reconciled():
        log.info("reconciled", freed=freed, cancelled=cancelled, failed=failed, nudged=nudged)
    return found


def forget_old(db: Database) -> int:
    """Delete the rows of jobs that ended long ago; how many."""
    forgotten = 0
    while True:
        with db.transaction() as session:
            count = rows.forget_old(session, KEEP_DAYS, KEEP_FAILED_DAYS, _FORGET_BATCH)
        forgotten += count
        if count < _FORGET_BATCH:
            return forgotten


def _free_gone(db: Database) -> int:
    """Leases of processes of this very host that have ended need not run out first."""
    with db.transaction() as session:
        owners = rows.running_owners(session, this_host())
        return sum(
            rows.expire(session, job_id, owner) for job_id, owner in owners if is_gone(owner)
        )
