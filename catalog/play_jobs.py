"""The job of plays: the roll-up, promised by beat every two minutes."""

from __future__ import annotations

from typing import Any

from catalog.play_days import roll_up
from infra.jobs import JobContext, job_handler


@job_handler("plays")
def _plays(ctx: JobContext) -> dict[str, Any]:
    with ctx.db.transaction() as session:
        ctx.fence(session)
        return {"changed": roll_up(session)}
