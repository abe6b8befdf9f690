"""The live job: a thin shell that gives the director its tools and its end."""

from __future__ import annotations

import threading
from typing import Any

from infra import metrics
from infra.ffmpeg import ffmpeg_path
from infra.instance import internal_token
from infra.jobs import JobContext, JobHandover, job_handler
from infra.jobs.rows import complete
from infra.redis import connect
from infra.storage import open_storage
from transcode.live.director import Director, Tools

_working = 0
_lock = threading.Lock()


def _count(change: int) -> None:
    global _working
    with _lock:
        _working += change
        metrics.live_jobs.set(_working)


# Viewers wait for whoever takes over: the lease is as short as a busy machine allows.
@job_handler("live", lease_seconds=6.0, renew_seconds=1.5, backoff_seconds=(0.5, 1.0, 2.0, 5.0))
def live(ctx: JobContext) -> dict[str, Any]:
    """Air a broadcast until it is over, its grace time is, or this worker stops."""
    client = connect(ctx.settings)

    def called_off() -> bool:
        return ctx.stopping.is_set() or ctx.lost.is_set() or ctx.cancel_wished.is_set()

    def beating() -> bool:
        # One call serves both: the director asks often, and an answer shows that it lives.
        if not called_off():
            ctx.heartbeat()
        return called_off()

    director = Director(
        str(ctx.args["broadcast_id"]),
        Tools(
            settings=ctx.settings,
            database=ctx.db,
            storage=open_storage(ctx.settings),
            redis=client,
            ffmpeg=ffmpeg_path(ctx.settings),
            internal_token=internal_token(ctx.settings),
            sharing=lambda: max(1, _working),
            rest=lambda session: complete(session, ctx.held, {"outcome": "waiting"}),
        ),
        beating,
    )
    _count(+1)
    try:
        outcome = director.direct()
    finally:
        _count(-1)
        client.close()
    if outcome == "stopped":
        ctx.heartbeat()
        raise JobHandover
    return {"outcome": outcome}
