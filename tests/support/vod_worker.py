"""A bare worker of uploads' jobs: looks at what is due until it is killed. Settings by XITAI_*.

python -m tests.support.vod_worker
"""

from __future__ import annotations

import sys
import threading
import time

from sqlalchemy import select

from infra.database import Database
from infra.jobs import JobRunner, install_nudger, rows
from infra.settings import Settings
from infra.tables import Job
from tests.integration.vod.uploaded import KINDS


def main() -> int:
    settings = Settings()
    database = Database(settings.resolved_database_url, name="vod-worker")
    # Nobody is nudged: this one looks by itself.
    install_nudger(lambda job_id, queue: None)
    runner = JobRunner(database, settings, threading.Event())
    while True:
        with database.transaction() as session:
            due = [job_id for job_id, _ in rows.due(session, ["vod"], 10)]
            ours = session.scalars(select(Job.id).where(Job.id.in_(due), Job.kind.in_(KINDS)))
            due = sorted(ours)
        for job_id in due:
            runner.look(job_id)
        time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
