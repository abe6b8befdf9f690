"""Sends what is due to one address: signed (Standard Webhooks), patient, never twice on purpose.

Each answer is written down before the next delivery is tried. A worker that dies in between sends
that one again under the same ``webhook-id``, by which the receiver knows it.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import random
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import httpx
from sqlalchemy import select
from sqlalchemy.orm import Session
from standardwebhooks import Webhook as Signer

from catalog.audit import SYSTEM, note
from catalog.errors import Refused
from catalog.models import Webhook, WebhookDelivery
from catalog.sharing import destinations
from catalog.sharing.webhooks import forget_hooks
from infra.database import Database

ATTEMPT_SECONDS: Final = 15.0
"""For one attempt in all: name, connection, answer."""
RUN_SECONDS: Final = 60.0
"""For one run; what is left waits for the next, so that other jobs have their turn."""
GIVE_UP_AFTER: Final = dt.timedelta(days=3)
BACKOFF: Final = tuple(
    dt.timedelta(seconds=seconds)
    for seconds in (30, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600)
)
"""Pause after the first failed attempt, the second, …; the last one repeats. A tenth by chance on
top keeps receivers that come back from being stormed."""
RETRY_AFTER_MAX: Final = 24 * 3600
ERROR_MAX: Final = 500
_GONE: Final = 410


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one attempt."""

    status: int | None
    """None: there was no answer."""
    error: str = ""
    retry_after: int | None = None
    """Seconds the receiver wants to be left alone."""

    @property
    def taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


Post = Callable[[str, bytes, dict[str, str]], Awaitable[Answer]]
"""(address, body, headers) → what became of it; never raises for what the network does."""


def send_due(
    database: Database,
    webhook_id: str,
    post: Post,
    *,
    beat: Callable[[], None] = lambda: None,
    fence: Callable[[Session], None] = lambda _: None,
) -> dict[str, Any]:
    """Send one address what is due, in order, until one is not taken; how many were.

    ``fence`` is called first in each transaction that writes down an answer.
    """
    return asyncio.run(_send_due(database, webhook_id, post, beat, fence))


async def _send_due(
    database: Database,
    webhook_id: str,
    post: Post,
    beat: Callable[[], None],
    fence: Callable[[Session], None],
) -> dict[str, Any]:
    sent = 0
    until = time.monotonic() + RUN_SECONDS
    while time.monotonic() < until:
        beat()
        now = dt.datetime.now(dt.UTC)
        with database.transaction() as session:
            found = _next(session, webhook_id, now)
        if found is None:
            return {"sent": sent, "failed": 0}
        hook, delivery = found
        body = encode(delivery.body)
        answer = await post(hook.url, body, signed(hook.secret, delivery.event_id, now, body))
        with database.transaction() as session:
            fence(session)
            record(session, delivery.id, answer, dt.datetime.now(dt.UTC), random.random())
        if not answer.taken:
            # The others would fare no better, and each attempt may take seconds.
            return {"sent": sent, "failed": 1}
        sent += 1
    return {"sent": sent, "failed": 0}


def _next(
    session: Session, webhook_id: str, now: dt.datetime
) -> tuple[Webhook, WebhookDelivery] | None:
    hook = session.get(Webhook, webhook_id)
    if hook is None or hook.disabled_at is not None:
        return None
    due = (
        select(WebhookDelivery)
        .where(
            WebhookDelivery.webhook_id == webhook_id,
            WebhookDelivery.state == "waiting",
            WebhookDelivery.next_at <= now,
        )
        .order_by(WebhookDelivery.id)
        .limit(1)
    )
    delivery = session.scalars(due).first()
    return None if delivery is None else (hook, delivery)


def record(
    session: Session, delivery_id: int, answer: Answer, now: dt.datetime, chance: float
) -> None:
    """Write down what became of an attempt. 410 says that nobody is there for good."""
    delivery = session.get(WebhookDelivery, delivery_id, with_for_update=True)
    if delivery is None:
        return
    delivery.attempts += 1
    delivery.last_status = answer.status
    delivery.last_error = "" if answer.taken else answer.error[:ERROR_MAX]
    if answer.taken:
        delivery.state, delivery.done_at = "done", now
        return
    again = None
    if answer.status != _GONE:
        again = next_attempt(delivery.attempts, delivery.created_at, now, chance, answer)
    if again is not None:
        delivery.next_at = again
        return
    delivery.state, delivery.done_at = "failed", now
    if answer.status == _GONE:
        hook = session.get_one(Webhook, delivery.webhook_id)
        hook.disabled_at = hook.disabled_at or now
        forget_hooks(session)
        note(session, SYSTEM, "webhook.gone", "webhook", hook.id, centre_id=hook.centre_id)


def next_attempt(
    attempts: int, created_at: dt.datetime, now: dt.datetime, chance: float, answer: Answer
) -> dt.datetime | None:
    """When to try again after this many failed attempts; None: give up. Pure.

    ``chance`` is from 0 to 1. The last attempt is made when the three days are over, not before.
    """
    deadline = created_at + GIVE_UP_AFTER
    if now >= deadline:
        return None
    pause = BACKOFF[min(attempts, len(BACKOFF)) - 1] * (1 + chance / 10)
    wished = dt.timedelta(seconds=min(answer.retry_after or 0, RETRY_AFTER_MAX))
    return min(now + max(pause, wished), deadline)


def encode(body: dict[str, Any]) -> bytes:
    """The body as it is sent, and signed."""
    return json.dumps(body, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def signed(secret: str, event_id: str, at: dt.datetime, body: bytes) -> dict[str, str]:
    """Headers of one attempt (standardwebhooks.com): the time is that of the attempt."""
    return {
        "content-type": "application/json",
        "user-agent": "Xitai-Webhooks/1",
        "webhook-id": event_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": Signer(secret).sign(event_id, at, body.decode()),
    }


# --- the network -----------------------------------------------------------------------------


def poster(reach: str) -> Post:
    """A ``Post`` over HTTP to where ``reach`` (the setting webhook_reach) lets it go."""
    # Once: reading the certificates takes longer than most attempts.
    certificates = httpx.create_ssl_context(trust_env=False)

    async def post(url: str, body: bytes, headers: dict[str, str]) -> Answer:
        try:
            async with asyncio.timeout(ATTEMPT_SECONDS):
                return await _post(url, body, headers, reach, certificates)
        except TimeoutError:
            return Answer(None, f"{ATTEMPT_SECONDS:.0f} 秒内没有回答")
        except Refused as refused:
            return Answer(None, str(refused.facts.get("reason", refused.code)))
        except socket.gaierror:
            return Answer(None, "域名解析不到")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return Answer(None, f"连不上：{str(error) or type(error).__name__}")

    return post


async def _post(
    url: str, body: bytes, headers: dict[str, str], reach: str, certificates: ssl.SSLContext
) -> Answer:
    place = destinations.parse(url)
    address = await resolve(place, reach)
    # Straight to the address that was judged; the certificate is still that of the name.
    async with (
        httpx.AsyncClient(
            verify=certificates, timeout=ATTEMPT_SECONDS, follow_redirects=False, trust_env=False
        ) as client,
        client.stream(
            "POST",
            place.at(address),
            content=body,
            headers={**headers, "host": place.authority},
            extensions={"sni_hostname": place.host},
        ) as response,
    ):
        # The body of the answer is of no interest, however long it is.
        status = response.status_code
        wait = response.headers.get("retry-after", "")
    if 200 <= status < 300:
        return Answer(status)
    why = "要求转到别处，没有照办" if 300 <= status < 400 else "没有接受"
    seconds = int(wait[:6]) if wait.isascii() and wait.isdecimal() else None
    return Answer(status, f"对方回答 {status}，{why}", seconds)


async def resolve(place: destinations.Destination, reach: str) -> str:
    """The first network address of a host that a webhook may go to. Raises Refused, OSError."""
    known = destinations.literal(place.host)
    found = [known] if known is not None else await _look_up(place)
    for address in found:
        if destinations.allowed(address, reach):
            return str(address)
    raise Refused("webhook_url", reason="这个地址在禁止访问的网段内（本机、链路本地或云元数据）")


async def _look_up(place: destinations.Destination) -> list[destinations.Address]:
    loop = asyncio.get_running_loop()
    rows = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    found = [destinations.literal(str(row[4][0]).partition("%")[0]) for row in rows]
    return [address for address in found if address is not None]
