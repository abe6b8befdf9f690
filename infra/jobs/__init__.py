"""Jobs: rows that promise work, handlers that do it, leases that tell who is doing it."""

from infra.jobs.handlers import (
    JobCancelled,
    JobContext,
    JobFailed,
    JobHandover,
    JobWaits,
    LeaseLost,
    job_handler,
)
from infra.jobs.nudge import Nudger, install_nudger, nudge
from infra.jobs.rows import cancel, enqueue, report, try_again, wake
from infra.jobs.runner import JobRunner

__all__ = [
    "JobCancelled",
    "JobContext",
    "JobFailed",
    "JobHandover",
    "JobRunner",
    "JobWaits",
    "LeaseLost",
    "Nudger",
    "cancel",
    "enqueue",
    "install_nudger",
    "job_handler",
    "nudge",
    "report",
    "try_again",
    "wake",
]
