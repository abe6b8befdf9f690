"""A job's log, as people read it: a few lines, the newest kept."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa
from sqlalchemy.orm import Session

from infra.tables import JobLine

LINES_MAX: Final = 200
"""Of one job."""
LINE_MAX: Final = 500
AT_ONCE_MAX: Final = 30
"""Of one message: the last words of a program that said much."""


def say(session: Session, job_id: int, attempt: int, text: str) -> None:
    """Add a message's lines; beyond LINES_MAX the oldest go."""
    lines = [line.rstrip()[:LINE_MAX] for line in text.splitlines() if line.strip()]
    if not lines:
        return
    session.execute(
        sa.insert(JobLine),
        [
            {"job_id": job_id, "attempt": attempt, "text": line.replace("\0", "")}
            for line in lines[-AT_ONCE_MAX:]
        ],
    )
    newest = (
        sa.select(JobLine.id)
        .where(JobLine.job_id == job_id)
        .order_by(JobLine.id.desc())
        .offset(LINES_MAX)
        .limit(1)
        .scalar_subquery()
    )
    session.execute(
        sa.delete(JobLine).where(JobLine.job_id == job_id, JobLine.id <= newest),
        execution_options={"synchronize_session": False},
    )


def lines(session: Session, job_id: int) -> list[JobLine]:
    """A job's lines, oldest first."""
    query = sa.select(JobLine).where(JobLine.job_id == job_id).order_by(JobLine.id)
    return list(session.scalars(query.limit(LINES_MAX)))
