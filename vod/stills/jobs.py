"""The job of a programme's stills: a thin shell over ``make_stills``."""

from __future__ import annotations

from typing import Any

from infra.jobs import JobContext, job_handler
from vod.jobs import tools_of, verdicts
from vod.stills.make import make_stills
from vod.stills.service import COUNT, KIND


@job_handler(KIND)
def _stills(ctx: JobContext) -> dict[str, Any]:
    with verdicts():
        count = int(ctx.args.get("count", COUNT))
        return make_stills(tools_of(ctx), str(ctx.args["token"]), count, ctx.heartbeat)
