"""The job of this package: a thin shell that turns its context into the plain function."""

from __future__ import annotations

from typing import Any

from infra.jobs import JobContext, job_handler
from vod.acts.finding import find_acts
from vod.acts.service import KIND
from vod.jobs import tools_of, verdicts


@job_handler(KIND)
def _acts(ctx: JobContext) -> dict[str, Any]:
    with verdicts():
        return find_acts(tools_of(ctx), str(ctx.args["token"]), ctx.heartbeat)
