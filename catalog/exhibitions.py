"""An exhibition's pictures: their order, the first of which is its cover, which ones count, and
their reviews, many at once."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from catalog.audit import Actor
from catalog.errors import Missing, Refused
from catalog.models import Resource
from catalog.records import review, service
from catalog.records.fields import content_hash
from catalog.records.kinds import POSITION_MAX
from catalog.records.states import step_of


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture as a reviewer had it before them: the step it waited for, what it looked like."""

    step: int
    hash: str


@dataclass(frozen=True, slots=True)
class Reviewed:
    """What a reviewer's word on many pictures came to."""

    done: int
    published: int
    refused: tuple[tuple[str, Refused], ...]
    """(title, why) of each that it could not be said of."""


def exhibition(session: Session, actor: Actor, resource_id: str) -> Resource:
    """An exhibition within reach. Raises Missing."""
    found = service.get(session, actor, resource_id)
    if found.kind != "exhibition":
        raise Missing("resource_unknown")
    return found


def moved(order: Sequence[str], key: str, where: str) -> list[str]:
    """The order with one picture moved: first, up, down. Pure."""
    if key not in order:
        return list(order)
    rest = [other for other in order if other != key]
    at = order.index(key)
    to = {"first": 0, "up": max(0, at - 1), "down": min(len(rest), at + 1)}.get(where, at)
    return [*rest[:to], key, *rest[to:]]


def by_numbers(order: Sequence[str], numbers: Mapping[str, int]) -> list[str]:
    """The order that numbers written beside the pictures ask for: one that was given another's
    place takes it, and that one makes room. Pure."""
    places = {key: place for place, key in enumerate(order, start=1)}

    def wish(key: str) -> tuple[int, int, int]:
        place, number = places[key], numbers.get(key, places[key])
        return number, (number > place) - (number < place), place

    return sorted(order, key=wish)


def set_order(
    session: Session,
    actor: Actor,
    exhibition_id: str,
    order: Sequence[str],
    *,
    now: dt.datetime | None = None,
) -> int:
    """Hang the pictures in this order; those not named come after, as they were. How many moved.

    Raises Missing, Refused.
    """
    now = now or dt.datetime.now(dt.UTC)
    there = service.children(session, actor, exhibition(session, actor, exhibition_id).id)
    keys = [row.id for row in there]
    named = [key for key in dict.fromkeys(order) if key in keys]
    whole = [*named, *(key for key in keys if key not in named)]
    place = {row.id: row.position for row in there}
    done = 0
    for position, key in enumerate(whole, start=1):
        if place[key] != position and position <= POSITION_MAX:
            service.change(session, actor, key, {"position": position}, now=now)
            done += 1
    return done


def confirm(
    session: Session,
    actor: Actor,
    exhibition_id: str,
    ids: Sequence[str],
    *,
    now: dt.datetime | None = None,
) -> int:
    """These pictures of it count as 图片 from now on, in the exhibitions' ledger; how many are new.

    Raises Missing, Refused.
    """
    now = now or dt.datetime.now(dt.UTC)
    there = service.children(session, actor, exhibition(session, actor, exhibition_id).id)
    wanted = set(ids)
    done = 0
    for row in there:
        if row.id in wanted and row.confirmed_at is None and row.storage_key is not None:
            changes = {"confirmed": True, "ledger": row.ledger or "exhibition"}
            service.change(session, actor, row.id, changes, now=now)
            done += 1
    return done


def to_review(session: Session, actor: Actor, pictures: Sequence[Resource]) -> dict[str, Seen]:
    """Those of these pictures that wait for this person's word, as they are now: id → what is
    seen of it."""
    waiting = [row for row in pictures if step_of(row.state)]
    why = review.may_decide_all(session, actor, waiting)
    return {
        row.id: Seen(step_of(row.state), content_hash(row))
        for row in waiting
        if why[row.id] is None
    }


def submit(session: Session, actor: Actor, exhibition_id: str, ids: Sequence[str]) -> int:
    """These pictures of it go to the first reviewer, those that are drafts; how many.

    Raises Missing, Refused.
    """
    there = service.children(session, actor, exhibition(session, actor, exhibition_id).id)
    wanted = set(ids)
    drafts = sorted(row.id for row in there if row.id in wanted and row.state == "draft")
    for key in drafts:
        review.submit(session, actor, key)
    return len(drafts)


def approve(
    session: Session,
    actor: Actor,
    exhibition_id: str,
    seen: Mapping[str, Seen],
    *,
    now: dt.datetime | None = None,
) -> Reviewed:
    """A reviewer's yes to many pictures of it: each is a decision of its own on exactly what was
    seen (``review.decide``), and one that is refused leaves the others as they are.

    Raises Missing, Refused ``bulk_too_many``.
    """
    now = now or dt.datetime.now(dt.UTC)
    if len(seen) > service.BULK_MAX:
        raise Refused("bulk_too_many", most=service.BULK_MAX, sent=len(seen))
    there = service.children(session, actor, exhibition(session, actor, exhibition_id).id)
    titles = {row.id: row.title for row in there}
    done, published = 0, 0
    refused: list[tuple[str, Refused]] = []
    # Always in the same order, so that two of these never deadlock.
    for key in sorted(seen):
        try:
            if key not in titles:
                raise Missing("resource_unknown")
            with session.begin_nested():
                found = review.decide(
                    session, actor, key, seen[key].step, "approve", seen[key].hash, now=now
                )
            done += 1
            published += found.state == "published"
        except Refused as error:
            refused.append((titles.get(key, ""), error))
    return Reviewed(done, published, tuple(refused))
