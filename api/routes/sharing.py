"""Sharing over the API: submission packages, and webhooks for administrators."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, ConfigDict, Field

from api import answers, jobs
from api.auth import Db, OurParts, actor, own_centre, require
from api.downloads import attachment, stored
from api.sentences import Problem
from catalog.accounts import Identity
from catalog.models import Webhook, WebhookDelivery
from catalog.sharing import hooks, packages
from infra.storage import Storage
from infra.tables import Job

router = APIRouter(tags=["sharing"])

Packs = Annotated[Identity, Depends(require("resource.package"))]
Manages = Annotated[Identity, Depends(require("webhook.manage"))]

ZIP: Final = "application/zip"
LINK_SECONDS: Final = 3600


class _Input(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewPackage(_Input):
    """Exactly one of ids, words and year."""

    resource_ids: list[Annotated[str, Field(max_length=32)]] | None = Field(
        default=None, max_length=packages.RECORDS_MAX
    )
    query: str | None = Field(default=None, min_length=1, max_length=200)
    year: int | None = Field(default=None, ge=1900, le=2200)
    centre: str | None = Field(default=None, max_length=200, description="Id or name.")


class PackagePromised(answers.Answer):
    job_id: int
    records: int


class NewWebhook(_Input):
    url: str = Field(max_length=1000)
    events: list[Annotated[str, Field(max_length=40)]] = Field(default=[], max_length=50)
    centre: str | None = Field(default=None, max_length=200, description="Id or name.")


class WebhookChange(_Input):
    url: str | None = Field(default=None, max_length=1000)
    events: list[Annotated[str, Field(max_length=40)]] | None = Field(default=None, max_length=50)
    enabled: bool | None = None


class WebhookAnswer(answers.Answer):
    id: str
    centre_id: str
    url: str
    events: list[str]
    enabled: bool
    created_at: dt.datetime


class WebhookMade(WebhookAnswer):
    secret: str = Field(description="Key of the signatures (Standard Webhooks). Shown this once.")


class WebhookList(answers.Answer):
    items: list[WebhookAnswer]


class DeliveryAnswer(answers.Answer):
    id: int
    event_id: str
    event: str
    state: str
    attempts: int
    next_at: dt.datetime | None
    last_status: int | None
    last_error: str
    created_at: dt.datetime
    done_at: dt.datetime | None


class DeliveryList(answers.Answer):
    items: list[DeliveryAnswer]


# --- packages --------------------------------------------------------------------------------


@router.post("/packages", status_code=202)
def pack(body: NewPackage, who: Packs, session: Db) -> PackagePromised:
    """Pack masters, catalogue sheet and checksums into a bag; the job tells how far it is."""
    job, records = packages.request_package(
        session,
        actor(who),
        centre=own_centre(session, who, body.centre),
        resource_ids=body.resource_ids,
        words=body.query,
        year=body.year,
    )
    return PackagePromised(job_id=job.id, records=records)


@router.get("/packages/{job_id}", response_class=Response)
def fetch(job_id: int, who: Packs, session: Db, parts: OurParts) -> Response:
    """The finished package as one zip. It is kept for two weeks."""
    job = jobs.get(session, who.centre_path, job_id)
    return download(job, parts.storage)


def download(job: Job, storage: Storage) -> Response:
    """A package's zip from wherever storage keeps it. Raises Problem."""
    if job.kind != packages.KIND:
        raise Problem("job_not_found")
    key = packages.key_of(job)
    if key is None:
        raise Problem("package_not_ready")
    if storage.size(key) is None:
        raise Problem("package_gone")
    headers = {"content-disposition": attachment(str(job.result.get("name", "package.zip")))}
    return stored(storage, key, ZIP, headers, link_seconds=LINK_SECONDS)


# --- webhooks --------------------------------------------------------------------------------


@router.get("/webhooks")
def listing(who: Manages, session: Db) -> WebhookList:
    return WebhookList(items=[_hook(hook) for hook in hooks.listed(session, actor(who))])


@router.post("/webhooks", status_code=201)
def add(body: NewWebhook, who: Manages, session: Db) -> WebhookMade:
    """Tell an address of what happens to records of a centre and those below it."""
    centre = own_centre(session, who, body.centre)
    hook = hooks.add(session, actor(who), centre=centre, url=body.url, events=body.events)
    return WebhookMade(**_hook(hook).model_dump(), secret=hook.secret)


@router.get("/webhooks/{webhook_id}")
def show(webhook_id: str, who: Manages, session: Db) -> WebhookAnswer:
    return _hook(hooks.get(session, actor(who), webhook_id))


@router.patch("/webhooks/{webhook_id}")
def change(webhook_id: str, body: WebhookChange, who: Manages, session: Db) -> WebhookAnswer:
    """Another address, other events, off or on again."""
    hook = hooks.change(
        session,
        actor(who),
        webhook_id,
        url=body.url,
        events=body.events,
        enabled=body.enabled,
        now=dt.datetime.now(dt.UTC),
    )
    return _hook(hook)


@router.delete("/webhooks/{webhook_id}", status_code=204, response_class=Response)
def remove(webhook_id: str, who: Manages, session: Db) -> None:
    hooks.remove(session, actor(who), webhook_id)


@router.post("/webhooks/{webhook_id}/ping", status_code=202)
def ping(webhook_id: str, who: Manages, session: Db) -> DeliveryAnswer:
    """Send a trial message; the list of deliveries tells how it went."""
    return _delivery(hooks.ping(session, actor(who), webhook_id, dt.datetime.now(dt.UTC)))


@router.get("/webhooks/{webhook_id}/deliveries")
def deliveries(webhook_id: str, who: Manages, session: Db) -> DeliveryList:
    """The latest hundred, newest first."""
    found = hooks.deliveries(session, actor(who), webhook_id)
    return DeliveryList(items=[_delivery(delivery) for delivery in found])


@router.post("/webhooks/{webhook_id}/deliveries/{delivery_id}/again", status_code=202)
def again(webhook_id: str, delivery_id: int, who: Manages, session: Db) -> DeliveryAnswer:
    """Send one once more, whatever became of it."""
    now = dt.datetime.now(dt.UTC)
    return _delivery(hooks.send_again(session, actor(who), webhook_id, delivery_id, now))


def _hook(hook: Webhook) -> WebhookAnswer:
    return WebhookAnswer(
        id=hook.id,
        centre_id=hook.centre_id,
        url=hook.url,
        events=hook.events,
        enabled=hook.disabled_at is None,
        created_at=hook.created_at,
    )


def _delivery(delivery: WebhookDelivery) -> DeliveryAnswer:
    return DeliveryAnswer(
        id=delivery.id,
        event_id=delivery.event_id,
        event=delivery.event,
        state=delivery.state,
        attempts=delivery.attempts,
        next_at=delivery.next_at if delivery.state == "waiting" else None,
        last_status=delivery.last_status,
        last_error=delivery.last_error,
        created_at=delivery.created_at,
        done_at=delivery.done_at,
    )
