"""The outbox of webhooks: what happens to a resource is written down with the change itself.

A delivery is a row of the transaction that changes the record, so an address is told exactly of
what was committed; ``catalog.sharing.sender`` sends the rows, as often as it takes.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.models import Centre, Resource, Webhook, WebhookDelivery
from infra.database import before_commit
from infra.ids import secret_token
from infra.jobs import enqueue

EVENTS: Final = (
    "resource.created",
    "resource.changed",
    "resource.published",
    "resource.withdrawn",
    "resource.restored",
)
"""What happens to a record; the names are stable."""
PING: Final = "webhook.ping"
"""Sent when somebody tries an address out; never in a webhook's choice of events."""

_HOOKS: Final = "xitai.webhooks"
_PROMISED: Final = "xitai.webhooks.promised"


@dataclass(frozen=True, slots=True)
class Hook:
    """What ``emit`` has to know of a webhook."""

    id: str
    path: str
    """Of the centre whose subtree it hears of."""
    events: tuple[str, ...]
    """Empty: all."""

    def wants(self, event: str, path: str) -> bool:
        return path.startswith(self.path) and (not self.events or event in self.events)


def emit(session: Session, event: str, resource: Resource) -> None:
    """Write down, in the caller's transaction, who is to be told of this event."""
    if event not in EVENTS:
        raise ValueError(f"not an event: {event}")
    hooks = _hooks(session)
    if not hooks:
        return
    centre = session.get_one(Centre, resource.centre_id)
    wanted = [hook for hook in hooks if hook.wants(event, centre.path)]
    if not wanted:
        return
    event_id = new_event_id()
    body = payload(event, about(resource, centre), dt.datetime.now(dt.UTC))
    for hook in wanted:
        add_delivery(session, hook.id, event, body, event_id)


def add_delivery(
    session: Session, webhook_id: str, event: str, body: dict[str, Any], event_id: str
) -> WebhookDelivery:
    """One row of the outbox, and the promise to look at it.

    The promise is one row for all: made at once, whoever else changes a record would wait for the
    end of our transaction, a take-down for that of an import. So it is made last, once for each.
    """
    delivery = WebhookDelivery(webhook_id=webhook_id, event_id=event_id, event=event, body=body)
    session.add(delivery)
    promised: set[str] = session.info.setdefault(_PROMISED, set())
    if not promised:
        before_commit(session, partial(_promise_all, session))
    promised.add(webhook_id)
    return delivery


def _promise_all(session: Session) -> None:
    # In one order, so that no two transactions wait for each other.
    for webhook_id in sorted(session.info.pop(_PROMISED)):
        promise_sending(session, webhook_id)


def promise_sending(session: Session, webhook_id: str) -> None:
    """A job that sends what is due to this address; one at a time."""
    enqueue(
        session,
        kind="webhook",
        queue="catalog",
        args={"webhook_id": webhook_id},
        unique_key=f"webhook:{webhook_id}",
    )


def new_event_id() -> str:
    """The same for every attempt: by it a receiver knows what it has already."""
    return f"msg_{secret_token()}"


def payload(event: str, data: dict[str, Any], at: dt.datetime) -> dict[str, Any]:
    """The body, in the form Standard Webhooks recommends (type, timestamp, data)."""
    return {"type": event, "timestamp": at.isoformat(), "data": data}


def about(resource: Resource, centre: Centre) -> dict[str, Any]:
    """What an event says of a record: enough to decide whether to ask for the rest."""
    return {
        "id": resource.id,
        "kind": resource.kind,
        "state": resource.state,
        "version": resource.version,
        "title": resource.title,
        "centre_id": centre.id,
        "centre": centre.name,
        "event_date": resource.event_date.isoformat(),
        "sha256": resource.sha256,
    }


def forget_hooks(session: Session) -> None:
    """Read the webhooks anew: one was made or changed in this transaction."""
    session.info.pop(_HOOKS, None)


def _hooks(session: Session) -> list[Hook]:
    """The webhooks in use; read once a transaction, for an import emits by the thousand."""
    known: list[Hook] | None = session.info.get(_HOOKS)
    if known is None:
        rows = session.execute(
            select(Webhook.id, Centre.path, Webhook.events)
            .join(Centre, Centre.id == Webhook.centre_id)
            .where(Webhook.disabled_at.is_(None))
        )
        known = [Hook(key, path, tuple(events)) for key, path, events in rows]
        session.info[_HOOKS] = known
    return known
