"""Submission packages: which records go in, and the job that packs them (see vod.packages)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, extract, func, select
from sqlalchemy.orm import Session

from catalog.audit import Actor, note
from catalog.errors import Refused
from catalog.models import Centre, Resource, Work
from catalog.records.reach import resources_of
from catalog.records.sheets import ids_found
from catalog.search.query import query_for
from infra.jobs import enqueue
from infra.tables import Job

KIND: Final = "package"
RECORDS_MAX: Final = 2000
"""In one package: more are several packages."""
KEEP: Final = dt.timedelta(days=14)
"""So long a finished package can be fetched."""
PREFIX: Final = "packages/"


@dataclass(frozen=True, slots=True)
class Packed:
    """What a packer has to know of a record."""

    id: str
    kind: str
    title: str
    media_token: str | None
    """Of a recording or an uploaded work, whose registered footage is joined."""
    take_id: str | None
    file_key: str | None
    """Of a file that is the master as it lies in storage: a clip's MP4, an image, a document."""
    sha256: str | None
    """Of that file, as the catalogue knows it."""


def request_package(
    session: Session,
    actor: Actor,
    *,
    centre: Centre,
    resource_ids: Sequence[str] | None = None,
    words: str | None = None,
    year: int | None = None,
) -> tuple[Job, int]:
    """Promise a package; the job and how many records it will hold. Raises Refused.

    Named records go in as they are, unless they are withdrawn; a search and a year take what is
    published at the centre and below it.
    """
    if sum(choice is not None for choice in (resource_ids, words, year)) != 1:
        raise Refused("package_choice")
    if resource_ids is not None:
        ids = _named(session, actor, centre, resource_ids)
    elif words is not None:
        query = query_for(actor, words=words, states=("published",), centre_id=centre.id)
        ids = ids_found(session, query, RECORDS_MAX)
    else:
        ids = _of_year(session, actor, centre, year or 0)
    if not ids:
        raise Refused("package_empty")
    if len(ids) > RECORDS_MAX:
        raise Refused("package_too_many", most=RECORDS_MAX)
    job = enqueue(
        session,
        kind=KIND,
        queue="catalog",
        args={"resource_ids": ids, "centre": centre.name},
        centre_id=centre.id,
        title=f"报送包（{len(ids)} 条）",
    )
    session.flush()
    note(
        session, actor, "package.make", "job", str(job.id), centre_id=centre.id, records=len(ids),
        year=year, words=words,
    )  # fmt: skip
    return job, len(ids)


def _reached(actor: Actor, centre: Centre) -> Select[str]:
    """Of the centre's subtree only, for whoever belongs there can fetch the package."""
    return (
        select(Resource.id)
        .join(Centre, Centre.id == Resource.centre_id)
        .where(
            resources_of(actor),
            Centre.path.startswith(centre.path, autoescape=True),
            Resource.state != "withdrawn",
        )
        .order_by(Resource.event_date, Resource.id)
        .limit(RECORDS_MAX + 1)
    )


def _named(session: Session, actor: Actor, centre: Centre, wanted: Sequence[str]) -> list[str]:
    named = list(dict.fromkeys(wanted))
    if len(named) > RECORDS_MAX:
        raise Refused("package_too_many", most=RECORDS_MAX)
    query = _reached(actor, centre).where(Resource.id.in_(named))
    found = list(session.scalars(query))
    if missing := set(named) - set(found):
        raise Refused("package_unknown", ids="、".join(sorted(missing)[:10]))
    return found


def _of_year(session: Session, actor: Actor, centre: Centre, year: int) -> list[str]:
    query = _reached(actor, centre).where(
        Resource.state == "published", extract("year", Resource.event_date) == year
    )
    return list(session.scalars(query))


def contents(session: Session, ids: Sequence[str]) -> list[Packed]:
    """What is to be packed, in the order of the events; what was withdrawn meanwhile is left."""
    query = (
        select(Resource, Work)
        .outerjoin(Work, Work.id == Resource.work_id)
        .where(Resource.id.in_(list(ids)), Resource.state != "withdrawn")
        .order_by(Resource.event_date, Resource.id)
    )
    return [_packed(resource, work) for resource, work in session.execute(query)]


def _packed(resource: Resource, work: Work | None) -> Packed:
    key, digest = resource.storage_key, resource.sha256
    if work is not None and work.mp4_key:
        key, digest = work.mp4_key, work.sha256
    return Packed(
        id=resource.id,
        kind=resource.kind,
        title=resource.title,
        media_token=work.media_token if work and work.kind in ("recording", "upload") else None,
        take_id=resource.take_id,
        file_key=key,
        sha256=digest,
    )


def outdated(session: Session, keys: Sequence[str], now: dt.datetime) -> list[str]:
    """Of these objects in storage the ones whose package nobody can fetch any more."""
    fresh = select(Job.id).where(Job.kind == KIND, func.coalesce(Job.ended_at, now) > now - KEEP)
    kept = {str(job_id) for job_id in session.scalars(fresh)}
    return [key for key in keys if key.removeprefix(PREFIX).partition("-")[0] not in kept]


def key_of(job: Job) -> str | None:
    """Where a package's zip lies; None while it is not there."""
    if job.state != "done":
        return None
    result: dict[str, Any] = job.result
    found: str | None = result.get("key")
    return found
