"""Webhooks as administrators keep them: making, changing, trying out, and what was sent."""

from __future__ import annotations

import base64
import datetime as dt
import secrets
from collections.abc import Iterable
from typing import Final

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from catalog.audit import Actor, note
from catalog.centres import within
from catalog.errors import Missing, Refused
from catalog.models import Centre, Webhook, WebhookDelivery
from catalog.sharing import destinations
from catalog.sharing.webhooks import (
    EVENTS,
    PING,
    add_delivery,
    forget_hooks,
    new_event_id,
    payload,
    promise_sending,
)
from infra.ids import public_id

HOOKS_MAX: Final = 50
"""Of one centre: each event is written once for each of them."""
DELIVERIES_SHOWN: Final = 100
_SECRET_BYTES: Final = 32


def listed(session: Session, actor: Actor) -> list[Webhook]:
    """The webhooks of the actor's centres, oldest first."""
    query = (
        select(Webhook)
        .join(Centre, Centre.id == Webhook.centre_id)
        .where(within(actor.centre_path))
        .order_by(Webhook.created_at, Webhook.id)
    )
    return list(session.scalars(query))


def get(session: Session, actor: Actor, webhook_id: str) -> Webhook:
    """One within reach. Raises Missing."""
    found = session.scalars(
        select(Webhook)
        .join(Centre, Centre.id == Webhook.centre_id)
        .where(Webhook.id == webhook_id, within(actor.centre_path))
    ).one_or_none()
    if found is None:
        raise Missing("webhook_unknown")
    return found


def add(
    session: Session, actor: Actor, *, centre: Centre, url: str, events: Iterable[str] = ()
) -> Webhook:
    """A new address with a fresh secret; it hears of the centre's whole subtree. Raises Refused."""
    known = select(Webhook.id).where(Webhook.centre_id == centre.id)
    if len(session.scalars(known).all()) >= HOOKS_MAX:
        raise Refused("webhook_too_many", most=HOOKS_MAX)
    destinations.parse(url)
    hook = Webhook(
        id=public_id(),
        centre_id=centre.id,
        url=url.strip(),
        events=_known(events),
        secret=new_secret(),
        created_by=actor.user_id,
    )
    session.add(hook)
    session.flush()
    forget_hooks(session)
    _note(session, actor, "webhook.add", hook)
    return hook


def change(
    session: Session,
    actor: Actor,
    webhook_id: str,
    *,
    url: str | None = None,
    events: Iterable[str] | None = None,
    enabled: bool | None = None,
    now: dt.datetime,
) -> Webhook:
    """Change what is given. Switched on again, what still waits is sent. Raises Refused."""
    hook = get(session, actor, webhook_id)
    if url is not None:
        destinations.parse(url)
        hook.url = url.strip()
    if events is not None:
        hook.events = _known(events)
    if enabled is not None:
        hook.disabled_at = None if enabled else hook.disabled_at or now
    session.flush()
    forget_hooks(session)
    if hook.disabled_at is None:
        promise_sending(session, hook.id)
    _note(
        session, actor, "webhook.change", hook, events=hook.events, enabled=hook.disabled_at is None
    )
    return hook


def remove(session: Session, actor: Actor, webhook_id: str) -> None:
    """Forget an address, and what it was still to be sent."""
    hook = get(session, actor, webhook_id)
    session.delete(hook)
    session.flush()
    forget_hooks(session)
    _note(session, actor, "webhook.remove", hook)


def ping(session: Session, actor: Actor, webhook_id: str, now: dt.datetime) -> WebhookDelivery:
    """Send it a trial message, now; its delivery tells how it went. Raises Refused."""
    hook = get(session, actor, webhook_id)
    if hook.disabled_at is not None:
        raise Refused("webhook_off")
    body = payload(PING, {"webhook_id": hook.id}, now)
    delivery = add_delivery(session, hook.id, PING, body, new_event_id())
    session.flush()
    return delivery


def deliveries(
    session: Session, actor: Actor, webhook_id: str, limit: int = DELIVERIES_SHOWN
) -> list[WebhookDelivery]:
    """What it was sent or is still to be sent, the latest first."""
    hook = get(session, actor, webhook_id)
    query = (
        select(WebhookDelivery)
        .where(WebhookDelivery.webhook_id == hook.id)
        .order_by(WebhookDelivery.id.desc())
        .limit(limit)
    )
    return list(session.scalars(query))


def send_again(
    session: Session, actor: Actor, webhook_id: str, delivery_id: int, now: dt.datetime
) -> WebhookDelivery:
    """Send a delivery once more, whatever became of it: the receiver had lost it, say."""
    hook = get(session, actor, webhook_id)
    if not 0 < delivery_id < 2**63:
        raise Missing("delivery_unknown")
    found = session.scalars(
        update(WebhookDelivery)
        .where(WebhookDelivery.id == delivery_id, WebhookDelivery.webhook_id == hook.id)
        .values(state="waiting", next_at=now, done_at=None)
        .returning(WebhookDelivery),
        execution_options={"populate_existing": True},
    ).one_or_none()
    if found is None:
        raise Missing("delivery_unknown")
    promise_sending(session, hook.id)
    return found


def new_secret() -> str:
    """Key of the signatures, in the form Standard Webhooks gives it (24 to 64 bytes)."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def _note(session: Session, actor: Actor, action: str, hook: Webhook, **details: object) -> None:
    """Of its address only the host: receivers put keys into the rest, and more people may read
    the log than may see the addresses."""
    host = destinations.parse(hook.url).authority
    key, centre_id = hook.id, hook.centre_id
    note(session, actor, action, "webhook", key, centre_id=centre_id, host=host, **details)


def _known(events: Iterable[str]) -> list[str]:
    wanted = list(dict.fromkeys(events))
    unknown = [event for event in wanted if event not in EVENTS]
    if unknown:
        raise Refused("webhook_event", event=unknown[0][:40], events="、".join(EVENTS))
    return wanted
