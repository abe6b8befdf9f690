"""A worker or beat process for the job tests, with handlers that leave traces in a folder.

Run as `python -m tests.integration.infra.job_worker worker|beat QUEUE`; settings by XITAI_*.
"""

from __future__ import annotations

import logging
import sys
import time
from pathlib import Path
from typing import Any

from infra.jobs import JobCancelled, JobContext, JobFailed, JobHandover, job_handler
from infra.queue import run_beat, run_worker
from infra.settings import Settings
from infra.telemetry import configure_logging


def trace(ctx: JobContext, word: str) -> None:
    """Append a line to the job's trace file: visible also after a kill."""
    with Path(ctx.args["folder"], str(ctx.args["name"])).open("a") as file:
        file.write(f"{word} {ctx.attempt} {time.monotonic():.3f}\n")


@job_handler("short", backoff_seconds=(0.2,))
def short(ctx: JobContext) -> dict[str, Any]:
    """Works for ``seconds``; finishes a transaction under the fence; fails as told."""
    trace(ctx, "begin")
    until = time.monotonic() + float(ctx.args.get("seconds", 0))
    while time.monotonic() < until:
        try:
            ctx.heartbeat(0.5, "halfway")
        except JobCancelled:
            trace(ctx, "cancelled")
            raise
        time.sleep(0.02)
    if ctx.attempt <= int(ctx.args.get("failures", 0)):
        raise JobFailed("not_yet", "It is not time yet.")
    if ctx.args.get("bad"):
        raise JobFailed("bad_input", "The file is damaged.", retry=False)
    if ctx.args.get("bug"):
        raise ZeroDivisionError
    with ctx.db.transaction() as session:
        ctx.fence(session)
    trace(ctx, "done")
    return {"attempt": ctx.attempt}


@job_handler("live", lease_seconds=6, renew_seconds=1.5, backoff_seconds=(0.5,))
def live(ctx: JobContext) -> None:
    """Runs until a file says that the show is over; hands over when the worker stops."""
    trace(ctx, "begin")
    over = Path(ctx.args["folder"], f"{ctx.args['name']}.over")
    while not over.exists():
        if ctx.stopping.wait(0.02):
            trace(ctx, "handover")
            raise JobHandover
        ctx.heartbeat()
    trace(ctx, "done")


@job_handler("deaf", stall_seconds=1, lease_seconds=6, renew_seconds=0.5)
def deaf(ctx: JobContext) -> None:
    """Hangs at its first attempt."""
    trace(ctx, "begin")
    if ctx.attempt == 1:
        time.sleep(600)
    trace(ctx, "done")


@job_handler("tick")
def tick(_: JobContext) -> None:
    """Does nothing."""


def main() -> int:
    settings = Settings()
    configure_logging(settings, sys.argv[1])
    logging.getLogger("kombu").setLevel(logging.WARNING)
    if sys.argv[1] == "beat":
        run_beat(settings)
        return 0
    return run_worker(settings, [sys.argv[2]], "test", [])


if __name__ == "__main__":
    sys.exit(main())
