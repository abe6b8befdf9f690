"""Search's own jobs: thin shells that keep bit strings packed and find rows that are missing."""

from __future__ import annotations

from typing import Any

from catalog.search import index, packing
from infra.jobs import JobContext, job_handler


@job_handler("search")
def pack_job(job: JobContext) -> dict[str, Any]:
    """Pack what has become stale, a chunk a transaction. Promised by beat."""
    packed = 0
    while True:
        job.heartbeat()
        with job.db.transaction() as session:
            if not packing.pack_next(session):
                return {"packed": packed}
        packed += 1


@job_handler("search_fill")
def fill_job(job: JobContext) -> dict[str, Any]:
    """Write the rows of records that are older than search. Promised by the migration."""
    written = 0
    while True:
        job.heartbeat()
        with job.db.transaction() as session:
            found = index.fill_in(session)
        if not found:
            return {"written": written}
        written += found
