"""Ten years of forty centres, as a return in every format: under ten seconds each.

Records, past broadcasts and entries are loaded with COPY into a throw-away PostgreSQL; every
county publishes what its plan asks (120 records a year, half of them 音视频), so that a year of
one centre has some 300 rows of evidence.
"""

from __future__ import annotations

import datetime as dt
import io
import sys
import tempfile
import time
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.orm import Session

from catalog import migrate
from catalog.audit import SYSTEM
from catalog.centres import add_centre
from catalog.models import Centre, Entry, PastBroadcast, Plan, Resource
from catalog.plans.service import load_template
from catalog.returns.papers import draft, write
from catalog.returns.shown import FORMATS
from infra.database import Database
from infra.embedded import postgres
from infra.embedded.running import running
from infra.ids import public_id
from infra.settings import Settings

CENTRES, YEARS = 40, range(2011, 2021)
RECORDS, IMAGES, SHOWS = 120, 30, 6
MOST_SECONDS = 10.0
NOW = dt.datetime(2026, 11, 1, tzinfo=dt.UTC)


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="xitai-bench-") as folder:
        settings = Settings(data=Path(folder) / "data")
        log = (Path(folder) / "postgres.log").open("wb")
        command = postgres.prepare(settings, {"fsync": "off"})
        with log, running(command, lambda: postgres.is_ready(settings), output=log):
            postgres.ensure_database(settings, "xitai")
            url = f"postgresql+psycopg://xitai@/xitai?host={settings.run_dir}"
            migrate.upgrade(url)
            database = Database(url, name="bench")
            try:
                return _measure(database)
            finally:
                database.close()


def _measure(database: Database) -> int:
    with database.transaction() as session:
        plan, root = _fill(session)
        plan_id, root_id = plan.id, root.id
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("ANALYZE"))
    held = True
    for form in FORMATS:
        out = io.BytesIO()
        began, worked = time.monotonic(), time.process_time()
        with database.transaction() as session:
            paper = draft(
                session, session.get_one(Plan, plan_id), session.get_one(Centre, root_id),
                (YEARS[0], YEARS[-1]), base_url="http://x", now=NOW,
            )  # fmt: skip
        read = time.monotonic() - began
        write(paper, form, out)
        took = time.monotonic() - began
        rows = sum(len(line.evidence) for r in paper.reports for u in r.units for line in u.lines)
        ok = took < MOST_SECONDS
        held = held and ok
        print(
            f"{form:5} {len(paper.reports)} years × {len(paper.reports[0].units)} units, "
            f"{rows} rows of evidence: {took:5.2f} s ({read:.2f} s to compute; "
            f"{time.process_time() - worked:.2f} s of one core), "
            f"{len(out.getvalue()) / 1e6:.1f} MB  {'ok' if ok else f'> {MOST_SECONDS:.0f} s'}",
            flush=True,
        )
    return 0 if held else 1


def _fill(session: Session) -> tuple[Plan, Centre]:
    root = add_centre(session, "某州文化馆", level="prefecture")
    centres = [root] + [
        add_centre(session, f"第{number}县文化馆", parent=root) for number in range(1, CENTRES)
    ]
    plan = load_template(session, SYSTEM, "chuxiong-2020", root)
    for centre in centres:
        for year in YEARS:
            session.add_all(_records(centre, year))
            session.add_all(_shows(centre, year))
            session.add_all(_entries(plan, centre, year))
        session.flush()
        session.expunge_all()
    return session.get_one(Plan, plan.id), session.get_one(Centre, root.id)


def _records(centre: Centre, year: int) -> list[Resource]:
    made = []
    for number in range(RECORDS + IMAGES):
        image = number >= RECORDS
        day = dt.date(year, 1 + number % 12, 1 + number % 28)
        at = dt.datetime(day.year, day.month, day.day, 4, tzinfo=dt.UTC)
        made.append(
            Resource(
                id=public_id(), centre_id=centre.id,
                kind="image" if image else ("audio" if number % 2 else "news"),
                title=f"{centre.name}{year}年第{number}条资源：群众文化活动与艺术普及",
                event_date=day, state="published", published_at=at, first_published_at=at,
                created_at=at, changed_at=at, ledger="exhibition" if image else None,
                confirmed_at=at if image else None, sha256=public_id() if image else None,
            )
        )  # fmt: skip
    return made


def _shows(centre: Centre, year: int) -> list[PastBroadcast]:
    return [
        PastBroadcast(
            id=public_id(), centre_id=centre.id, held_on=dt.date(year, 1 + number * 2, 8),
            title=f"{year}年第{number + 1}场群众文艺晚会", mode=("recorded", "live")[number % 2],
            finished_ticks=(50 + number) * 5_400_000, raw_ticks=200 * 5_400_000, images=60,
            clicks=10_000 + number,
        )
        for number in range(SHOWS)
    ]  # fmt: skip


def _entries(plan: Plan, centre: Centre, year: int) -> list[Entry]:
    codes = (
        ("cx.x.users", 220), ("cx.x.acts", 5), ("cx.x.acts_vol", 2), ("cx.x.acts_deliv", 2),
    )  # fmt: skip
    at = dt.datetime(year, 12, 1, tzinfo=dt.UTC)
    return [
        Entry(
            plan_id=plan.id, centre_id=centre.id, code=code, year=year, value=value,
            evidence=[{"kind": "note", "text": "台账"}], entered_name="李娜", entered_at=at,
        )
        for code, value in codes
    ]  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
