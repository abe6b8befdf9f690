"""The shapes of records, their history, reviews and the audit log, in and out of the JSON API."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api.answers import Answer, utc
from catalog.audit import Actor
from catalog.minutes import seconds
from catalog.models import AuditEntry, Genre, Resource, ResourceVersion, Review
from catalog.records import kinds
from catalog.records.fields import all_of, content_hash
from catalog.records.review import may_decide
from catalog.records.service import BULK_MAX
from catalog.records.states import step_of


class Input(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PersonIn(Input):
    name: str = Field(max_length=1000)
    role: str = Field(default="other", max_length=20)


class RecordFields(Input):
    """What people write in a record; only what is given is changed. Limits are the catalogue's,
    which says in Chinese what is wrong with which field."""

    title: str | None = Field(default=None, max_length=10_000)
    description: str | None = Field(default=None, max_length=100_000)
    genre_id: str | None = Field(default=None, max_length=100)
    languages: list[str] | None = Field(default=None, max_length=1000, description="BCP 47.")
    keywords: list[str] | None = Field(default=None, max_length=1000)
    place: str | None = Field(default=None, max_length=10_000)
    people: list[PersonIn] | None = Field(default=None, max_length=1000)
    rights_holder: str | None = Field(default=None, max_length=10_000)
    licence: str | None = Field(default=None, max_length=20)
    licence_until: str | None = Field(default=None, max_length=20, description="2026-01-31")
    source: str | None = Field(default=None, max_length=10_000)
    origin: str | None = Field(default=None, max_length=20)
    ledger: str | None = Field(default=None, max_length=20)
    confirmed: bool | None = None
    parent_id: str | None = Field(default=None, max_length=100)
    position: int | None = None
    broadcast_id: str | None = Field(default=None, max_length=100)
    lineage: list[str] | None = Field(default=None, max_length=1000)
    event_date: str | None = Field(default=None, max_length=20, description="2026-01-31")
    lessons_planned: int | None = Field(default=None, description="Of a course; 0: not said.")
    body: str | None = Field(default=None, max_length=500_000)

    def given(self) -> dict[str, Any]:
        """Only what was sent."""
        return self.model_dump(exclude_unset=True)


class NewResource(Input):
    kind: str = Field(max_length=20)
    centre: str | None = Field(default=None, max_length=200, description="Id or name.")
    fields: RecordFields


class ResourceChange(Input):
    changes: RecordFields
    expect_version: int | None = Field(
        default=None, description="The version that was looked at; refused if there is a newer."
    )


class BulkChange(Input):
    ids: list[str] = Field(min_length=1, max_length=BULK_MAX)
    changes: RecordFields = RecordFields()
    add_keywords: list[str] = Field(default=[], max_length=100)
    remove_keywords: list[str] = Field(default=[], max_length=100)


class DecisionIn(Input):
    step: int = Field(ge=1, le=3, description="The step that was looked at.")
    decision: Literal["approve", "return"]
    seen_hash: str = Field(max_length=64, description="As the record was shown with.")
    note: str = Field(default="", max_length=2000)


class Why(Input):
    why: str = Field(max_length=2000)


class TakedownIn(Why):
    kind: Literal["broadcast", "work", "resource"]
    id: str = Field(max_length=40)


class GenreIn(Input):
    name: str = Field(max_length=1000)


# --- answers ---------------------------------------------------------------------------------


class ResourceBrief(Answer):
    id: str
    kind: str
    kind_name: str
    state: str
    state_name: str
    version: int
    title: str
    centre_id: str
    centre: str
    genre_id: str | None
    event_date: dt.date
    seconds: float = Field(description="Length of what it shows; 0 for what has none.")
    changed_at: dt.datetime


class ResourceList(Answer):
    items: list[ResourceBrief]
    total: int
    total_exact: bool = Field(description="False: there are at least so many.")


class ReviewAnswer(Answer):
    round: int
    step: int
    decision: str
    note: str
    by: str
    at: dt.datetime
    seen_hash: str


class ResourceFull(ResourceBrief):
    fields: dict[str, Any]
    contract: str
    work_id: str | None
    media_type: str
    size_bytes: int
    sha256: str | None
    technical: dict[str, Any]
    first_published_at: dt.datetime | None
    published_at: dt.datetime | None
    withdrawn_at: dt.datetime | None
    withdrawn_why: str
    step: int = Field(description="The review it waits for: 1, 2, 3; 0: none.")
    seen_hash: str = Field(description="To be sent back with a decision.")
    may_decide: bool
    reviews: list[ReviewAnswer]


class VersionAnswer(Answer):
    version: int
    changes: dict[str, list[Any]] = Field(description="Field → [before, after].")
    by: str
    via: str
    at: dt.datetime


class VersionList(Answer):
    items: list[VersionAnswer]


class BulkAnswer(Answer):
    changed: int
    refused: list[tuple[str, str]] = Field(description="[id, code] of each.")


class GenreAnswer(Answer):
    id: str
    name: str
    retired: bool


class GenreList(Answer):
    items: list[GenreAnswer]


class AuditAnswer(Answer):
    id: int
    at: dt.datetime
    by: str
    by_id: str | None
    role: str
    action: str
    object_kind: str
    object_id: str
    centre_id: str | None
    details: dict[str, Any]


class AuditList(Answer):
    items: list[AuditAnswer]


# --- filling them ----------------------------------------------------------------------------


def brief(resource: Resource) -> ResourceBrief:
    return ResourceBrief.model_validate(_brief(resource))


def _brief(resource: Resource) -> dict[str, object]:
    return {
        "id": resource.id,
        "kind": resource.kind,
        "kind_name": kinds.KINDS[resource.kind],
        "state": resource.state,
        "state_name": kinds.STATES[resource.state],
        "version": resource.version,
        "title": resource.title,
        "centre_id": resource.centre_id,
        "centre": resource.centre.name,
        "genre_id": resource.genre_id,
        "event_date": resource.event_date,
        "seconds": seconds(resource.duration_ticks),
        "changed_at": utc(resource.changed_at),
    }


def full(session: Session, actor: Actor, resource: Resource, reviews: list[Review]) -> ResourceFull:
    """All of a record, and what the asker may decide about it."""
    step = step_of(resource.state)
    return ResourceFull.model_validate(
        _brief(resource)
        | {
            "fields": all_of(resource),
            "contract": resource.contract,
            "work_id": resource.work_id,
            "media_type": resource.media_type,
            "size_bytes": resource.size_bytes,
            "sha256": resource.sha256,
            "technical": resource.technical,
            "first_published_at": utc(resource.first_published_at),
            "published_at": utc(resource.published_at),
            "withdrawn_at": utc(resource.withdrawn_at),
            "withdrawn_why": resource.withdrawn_why,
            "step": step,
            "seen_hash": content_hash(resource),
            "may_decide": step > 0 and may_decide(session, actor, resource) is None,
            "reviews": [review(row) for row in reviews],
        }
    )


def review(row: Review) -> ReviewAnswer:
    return ReviewAnswer(
        round=row.round,
        step=row.step,
        decision=row.decision,
        note=row.note,
        by=row.by_name,
        at=row.at.astimezone(dt.UTC),
        seen_hash=row.seen_hash,
    )


def version(row: ResourceVersion) -> VersionAnswer:
    return VersionAnswer(
        version=row.version,
        changes=row.changes,
        by=row.by_name,
        via=row.via,
        at=row.at.astimezone(dt.UTC),
    )


def genre(row: Genre) -> GenreAnswer:
    return GenreAnswer(id=row.id, name=row.name, retired=row.retired_at is not None)


def audit(row: AuditEntry) -> AuditAnswer:
    return AuditAnswer(
        id=row.id,
        at=row.at.astimezone(dt.UTC),
        by=row.by_name,
        by_id=row.by_id,
        role=row.role,
        action=row.action,
        object_kind=row.object_kind,
        object_id=row.object_id,
        centre_id=row.centre_id,
        details=row.details,
    )
