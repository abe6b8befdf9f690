"""The catalogue over the API: records and their history, review, take-down, audit."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Response, UploadFile
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from api import answers_resources as shapes
from api.auth import Db, OurParts, actor, own_centre, require
from catalog import audit
from catalog.accounts import Identity
from catalog.models import Resource
from catalog.records import review, service, takedown
from catalog.search.query import OFFSET_MOST, query_for, search
from vod import record_files

router = APIRouter(tags=["resources"])

Sees = Annotated[Identity, Depends(require("resource.see"))]
Changes = Annotated[Identity, Depends(require("resource.change"))]
Withdraws = Annotated[Identity, Depends(require("resource.withdraw"))]
Decides = Annotated[Identity, Depends(require("review.decide"))]
TakesDown = Annotated[Identity, Depends(require("takedown"))]
Extends = Annotated[Identity, Depends(require("genre.change"))]
Audits = Annotated[Identity, Depends(require("audit.see"))]

PAGE_MAX: Final = 200
Words = Annotated[str, Query(max_length=200)]
Listed = Annotated[list[str] | None, Query(max_length=50)]


@router.get("/resources")
def listing(
    who: Sees,
    session: Db,
    q: Words = "",
    kind: Listed = None,
    state: Listed = None,
    genre: Listed = None,
    language: Listed = None,
    year: Annotated[list[int] | None, Query(max_length=50)] = None,
    centre: Annotated[str | None, Query(max_length=200)] = None,
    order: Literal["best", "newest"] = "best",
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
    offset: Annotated[int, Query(ge=0, le=OFFSET_MOST)] = 0,
) -> shapes.ResourceList:
    """Records of the caller's centres: all words of ``q``, any of each choice."""
    found = search(
        session,
        query_for(
            actor(who),
            words=q,
            kinds=kind or (),
            states=state or (),
            genres=genre or (),
            languages=language or (),
            years=year or (),
            centre_id=own_centre(session, who, centre).id if centre else None,
            order=order,
            limit=limit,
            offset=offset,
        ),
    )
    return shapes.ResourceList(
        items=[shapes.brief(row) for row in _in_order(session, found.ids)],
        total=found.total,
        total_exact=found.total_exact,
    )


@router.post("/resources", status_code=201)
def create(body: shapes.NewResource, who: Changes, session: Db) -> shapes.ResourceFull:
    """A new record, a draft."""
    made = service.create(
        session,
        actor(who),
        kind=body.kind,
        centre=own_centre(session, who, body.centre),
        fields=body.fields.given(),
    )
    return _full(session, who, made)


@router.post("/resources/bulk")
def bulk(body: shapes.BulkChange, who: Changes, session: Db) -> shapes.BulkAnswer:
    """The same change on many; each is changed whole, or refused with its code."""
    done = service.bulk_change(
        session,
        actor(who),
        body.ids,
        body.changes.given(),
        body.add_keywords,
        body.remove_keywords,
    )
    return shapes.BulkAnswer(changed=done.changed, refused=done.refused)


@router.get("/resources/{resource_id}")
def show(resource_id: str, who: Sees, session: Db) -> shapes.ResourceFull:
    """All of a record, with its reviews and what a decision has to be bound to."""
    return _full(session, who, service.get(session, actor(who), resource_id))


@router.patch("/resources/{resource_id}")
def change(
    resource_id: str, body: shapes.ResourceChange, who: Changes, session: Db
) -> shapes.ResourceFull:
    """Change some fields; a record in review or published becomes a draft again."""
    changed = service.change(
        session,
        actor(who),
        resource_id,
        body.changes.given(),
        expect_version=body.expect_version,
    )
    return _full(session, who, changed)


@router.get("/resources/{resource_id}/history")
def history(resource_id: str, who: Sees, session: Db) -> shapes.VersionList:
    """Every version, the newest first, as [before, after] of each field."""
    resource = service.get(session, actor(who), resource_id)
    found = service.history(session, resource.id)
    return shapes.VersionList(items=[shapes.version(row) for row in found])


@router.get("/resources/{resource_id}/children")
def children(resource_id: str, who: Sees, session: Db) -> shapes.ResourceList:
    """The lessons of a course, the images of an exhibition, in their order."""
    person = actor(who)
    resource = service.get(session, person, resource_id)
    found = service.children(session, person, resource.id)
    items = [shapes.brief(row) for row in found]
    return shapes.ResourceList(items=items, total=len(items), total_exact=True)


@router.post("/resources/{resource_id}/file")
def put_file(
    resource_id: str, file: UploadFile, who: Changes, session: Db, parts: OurParts
) -> shapes.ResourceFull:
    """The file of an image, a sound or a document, or another in its place."""
    resource = service.get(session, actor(who), resource_id)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        with path.open("wb") as out:
            shutil.copyfileobj(file.file, out)
        media = record_files.keep(parts.storage, resource.kind, path)
    return _full(session, who, service.attach(session, actor(who), resource.id, media))


@router.post("/resources/{resource_id}/submit")
def submit(resource_id: str, who: Changes, session: Db) -> shapes.ResourceFull:
    """Hand a draft to the first reviewer."""
    return _full(session, who, review.submit(session, actor(who), resource_id))


@router.post("/resources/{resource_id}/decisions")
def decide(
    resource_id: str, body: shapes.DecisionIn, who: Decides, session: Db
) -> shapes.ResourceFull:
    """Approve or return what was seen; the third approval publishes it."""
    decided = review.decide(
        session,
        actor(who),
        resource_id,
        body.step,
        body.decision,
        body.seen_hash,
        body.note,
    )
    return _full(session, who, decided)


@router.post("/resources/{resource_id}/withdraw")
def withdraw(
    resource_id: str, body: shapes.Why, who: Withdraws, session: Db
) -> shapes.ResourceFull:
    """Take it out of the catalogue and out of sight; nothing is deleted."""
    return _full(session, who, service.withdraw(session, actor(who), resource_id, body.why))


@router.post("/resources/{resource_id}/restore")
def restore(resource_id: str, who: Withdraws, session: Db) -> shapes.ResourceFull:
    """Bring a withdrawn record back as a draft."""
    return _full(session, who, service.restore(session, actor(who), resource_id))


# --- 门类 ------------------------------------------------------------------------------------


@router.get("/genres")
def genres(who: Sees, session: Db, retired: bool = False) -> shapes.GenreList:
    found = service.genres(session, retired=retired)
    return shapes.GenreList(items=[shapes.genre(row) for row in found])


@router.post("/genres", status_code=201)
def add_genre(body: shapes.GenreIn, who: Extends, session: Db) -> shapes.GenreAnswer:
    return shapes.genre(service.add_genre(session, actor(who), body.name))


@router.delete("/genres/{genre_id}")
def retire_genre(genre_id: str, who: Extends, session: Db) -> shapes.GenreAnswer:
    """Offer it no more; records keep it."""
    return shapes.genre(service.retire_genre(session, actor(who), genre_id))


# --- take-down -------------------------------------------------------------------------------


@router.post("/takedowns", status_code=204, response_class=Response)
def take_down(body: shapes.TakedownIn, who: TakesDown, session: Db) -> None:
    """Out of everybody's sight at once: pages, playlists, segments, lists, downloads."""
    what: dict[str, Any] = {f"{body.kind}_id": body.id}
    takedown.take_down(session, actor(who), why=body.why, **what)


@router.delete("/takedowns/{kind}/{object_id}", status_code=204, response_class=Response)
def put_back(
    kind: Literal["broadcast", "work", "resource"], object_id: str, who: TakesDown, session: Db
) -> None:
    """Undo it: media are shown again, records come back as drafts."""
    what: dict[str, Any] = {f"{kind}_id": object_id}
    takedown.put_back(session, actor(who), **what)


# --- audit -----------------------------------------------------------------------------------


@router.get("/audit")
def audit_log(
    who: Audits,
    session: Db,
    object_kind: Annotated[str | None, Query(max_length=20)] = None,
    object_id: Annotated[str | None, Query(max_length=40)] = None,
    action: Annotated[str | None, Query(max_length=40)] = None,
    by_id: Annotated[str | None, Query(max_length=32)] = None,
    before: Annotated[int | None, Query(ge=1, lt=2**63)] = None,
    limit: Annotated[int, Query(ge=1, le=PAGE_MAX)] = 50,
) -> shapes.AuditList:
    """Who did what in the caller's centres, the newest first; ``before`` is the last id seen."""
    found = audit.entries(
        session,
        who.centre_path,
        object_kind=object_kind,
        object_id=object_id,
        action=action,
        by_id=by_id,
        before=before,
        limit=limit,
    )
    return shapes.AuditList(items=[shapes.audit(row) for row in found])


def _full(session: Db, who: Identity, resource: Resource) -> shapes.ResourceFull:
    reviews = review.reviews_of(session, resource.id)
    return shapes.full(session, actor(who), resource, reviews)


def _in_order(session: Db, ids: list[str]) -> list[Resource]:
    query = select(Resource).where(Resource.id.in_(ids)).options(joinedload(Resource.centre))
    found = {row.id: row for row in session.scalars(query)}
    return [found[key] for key in ids if key in found]
