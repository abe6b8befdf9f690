"""The job "form": a thin shell around making one."""

from __future__ import annotations

from typing import Any, Final

from infra.jobs import JobCancelled, JobContext, JobFailed, job_handler
from vod.forms.making import SOURCE_WAITS, make_form
from vod.jobs import tools_of, verdicts
from vod.shelving import give_up

_TRIES: Final = 4
"""A form that failed so often is given up, however many attempts the wait for its source took."""
_BACKOFF: Final = (3.0, 5.0, 10.0, 20.0, 30.0, 60.0)


@job_handler("form", backoff_seconds=_BACKOFF)
def _form(ctx: JobContext) -> dict[str, Any]:
    tools, work_id = tools_of(ctx), str(ctx.args["work_id"])
    try:
        with verdicts():
            return make_form(tools, work_id, ctx.heartbeat)
    except JobCancelled:
        give_up(tools, work_id)
        raise
    except JobFailed as error:
        last = not error.retry or ctx.attempt >= ctx.held.max_attempts
        if error.code != SOURCE_WAITS and ctx.attempt >= _TRIES:
            last = True
        if not last:
            raise
        give_up(tools, work_id)
        raise JobFailed(error.code, error.sentence, retry=False) from error
