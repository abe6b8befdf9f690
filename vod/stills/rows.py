"""The rows of stills: those a programme has, and new ones beside them once their files are kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from catalog.models import Still
from vod.footage import Step
from vod.tools import Tools


@dataclass(frozen=True, slots=True)
class Found:
    """A frame worth proposing; its JPEGs lie in the work folder."""

    at_ticks: int
    phash: str
    width: int
    height: int
    whole: Path
    small: Path
    worth: int = 0


def known_stills(session: Session, token: str) -> list[Still]:
    """Every still of a programme, whatever people said to it, in order of time."""
    query = select(Still).where(Still.token == token).order_by(Still.at_ticks)
    return list(session.scalars(query))


def publish(tools: Tools, token: str, found: Sequence[Found], step: Step) -> int:
    """Files first, then all rows in one transaction; how many are new.

    Raises StorageError, LeaseLost and what ``step`` raises: then no row is there, and the files
    are gone again.
    """
    put: list[str] = []
    done = False
    try:
        rows = []
        for still in found:
            base = f"works/{token}/stills/{still.at_ticks}"
            whole_key, small_key = f"{base}.jpg", f"{base}-small.jpg"
            put += [whole_key, small_key]
            tools.storage.put_file(whole_key, still.whole)
            tools.storage.put_file(small_key, still.small)
            rows.append(
                {
                    "token": token,
                    "at_ticks": still.at_ticks,
                    "score": still.worth,
                    "phash": still.phash,
                    "width": still.width,
                    "height": still.height,
                    "storage_key": whole_key,
                    "small_key": small_key,
                }
            )
            step()
        made = _insert(tools, rows)
        done = True
        return made
    finally:
        if not done:
            _drop(tools, token, put)


def _insert(tools: Tools, rows: list[dict[str, object]]) -> int:
    with tools.database.transaction() as session:
        tools.fence(session)
        if not rows:
            return 0
        fresh = (
            insert(Still).values(rows).on_conflict_do_nothing(index_elements=["token", "at_ticks"])
        )
        return len(session.scalars(fresh.returning(Still.id)).all())


def _drop(tools: Tools, token: str, keys: Sequence[str]) -> None:
    """What was put for stills that are none now; another's at the same instant stay."""
    with tools.database.transaction() as session:
        kept = {still.storage_key for still in known_stills(session, token)}
        kept |= {still.small_key for still in known_stills(session, token)}
    for key in keys:
        if key not in kept:
            tools.storage.delete(key)
