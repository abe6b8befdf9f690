"""The jobs of sharing: thin shells that send what is due and keep house."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from catalog.models import Webhook, WebhookDelivery
from catalog.sharing.licences import lapse
from catalog.sharing.sender import poster, send_due
from catalog.sharing.webhooks import promise_sending
from infra.jobs import JobContext, job_handler

KEEP_DELIVERIES: Final = dt.timedelta(days=30)
"""So long people can look up what was sent."""


@job_handler("webhook", stall_seconds=120.0)
def _webhook(ctx: JobContext) -> dict[str, Any]:
    post = poster(ctx.settings.webhook_reach)
    return send_due(ctx.db, str(ctx.args["webhook_id"]), post, beat=ctx.heartbeat, fence=ctx.fence)


@job_handler("webhooks")
def _webhooks(ctx: JobContext) -> dict[str, Any]:
    """Promised by beat every now and then: first attempts that were missed, and later ones."""
    with ctx.db.transaction() as session:
        ctx.fence(session)
        return {"addresses": promise_due(session, dt.datetime.now(dt.UTC))}


def promise_due(session: Session, now: dt.datetime) -> int:
    """A job for each address that something is due to; how many."""
    due = (
        select(WebhookDelivery.webhook_id)
        .join(Webhook, Webhook.id == WebhookDelivery.webhook_id)
        .where(
            WebhookDelivery.state == "waiting",
            WebhookDelivery.next_at <= now,
            Webhook.disabled_at.is_(None),
        )
        .distinct()
        .order_by(WebhookDelivery.webhook_id)
    )
    found = session.scalars(due).all()
    for webhook_id in found:
        promise_sending(session, webhook_id)
    return len(found)


@job_handler("sharing")
def _sharing(ctx: JobContext) -> dict[str, Any]:
    """Promised by beat: licences that have ended, deliveries nobody will look up any more."""
    now = dt.datetime.now(dt.UTC)
    with ctx.db.transaction() as session:
        ctx.fence(session)
        return {"lapsed": lapse(session, now), "forgotten": forget_deliveries(session, now)}


def forget_deliveries(session: Session, now: dt.datetime) -> int:
    """Drop old deliveries that are over; how many."""
    dropped = session.scalars(
        delete(WebhookDelivery)
        .where(WebhookDelivery.state != "waiting", WebhookDelivery.done_at < now - KEEP_DELIVERIES)
        .returning(WebhookDelivery.id)
        .execution_options(synchronize_session=False)
    )
    return len(dropped.all())
