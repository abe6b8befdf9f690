"""三审三校: three steps, different people, each decision bound to what was seen."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Final, Literal

from sqlalchemy import Text, cast, select
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on
from sqlalchemy.orm import Session

from catalog.audit import Actor, note
from catalog.errors import Refused
from catalog.models import REVIEWERS, Centre, Resource, ResourceVersion, Review
from catalog.records.fields import FIELDS, content_hash, tidy
from catalog.records.kinds import STEPS, WHY_MAX
from catalog.records.states import next_state, step_of
from catalog.records.writing import find, publish_one, tell

Decision = Literal["approve", "return"]

LAST_STEP: Final = 3
_UNSEEN: Final = [name for name, field in FIELDS.items() if not field.seen]


def refusal(
    actor: Actor,
    *,
    step: int,
    people: int,
    approved: Iterable[str],
    makers: Iterable[str | None],
) -> str | None:
    """The code of why this person may not take this step; None when they may. Pure.

    ``people``: how many different reviewers the centre asks for. ``approved``: who approved the
    earlier steps of this round. ``makers``: who submitted it and who changed it last.
    """
    if actor.user_id is None:
        return "review_needs_person"
    # A small centre has fewer people than steps: any of its reviewers may take any of them.
    roles = REVIEWERS if people < LAST_STEP else (REVIEWERS[step - 1],)
    if actor.role not in ("admin", *roles):
        return "review_not_your_step"
    if people > 1 and actor.user_id in set(makers):
        return "review_own_work"
    different = {*approved, actor.user_id}
    if len(different) + (LAST_STEP - step) < people:
        return "review_same_person"
    return None


def submit(session: Session, actor: Actor, resource_id: str) -> Resource:
    """A draft goes to the first reviewer; a new round begins."""
    resource = find(session, actor, resource_id, lock=True)
    resource.state = next_state(resource.state, "submit")
    resource.round += 1
    resource.submitted_by = actor.user_id
    _note(session, actor, "resource.submit", resource, round=resource.round)
    # It is found under its new state; to the world outside nothing has changed yet.
    tell(session, resource, None)
    return resource


def decide(
    session: Session,
    actor: Actor,
    resource_id: str,
    step_expected: int,
    decision: Decision,
    seen_hash: str,
    note_text: str = "",
    *,
    now: dt.datetime | None = None,
) -> Resource:
    """One reviewer's word on exactly what they saw; the third approval publishes.

    Raises Refused: ``record_changed`` when it is not what they saw any more, or another step
    than they thought; ``review_*`` when this is not for them to decide.
    """
    now = now or dt.datetime.now(dt.UTC)
    resource = find(session, actor, resource_id, lock=True)
    step = step_of(resource.state)
    if step == 0:
        next_state(resource.state, decision)  # says so
    if step != step_expected or seen_hash != content_hash(resource):
        raise Refused("record_changed")
    why = may_decide(session, actor, resource)
    if why is not None:
        raise Refused(why, step=STEPS[step], people=_people(session, resource))
    text = tidy(note_text)[:WHY_MAX]
    if decision == "return" and not text:
        raise Refused("why_needed", most=WHY_MAX)
    assert actor.user_id is not None  # may_decide says so
    session.add(
        Review(
            resource_id=resource.id,
            round=resource.round,
            step=step,
            decision=decision,
            seen_hash=seen_hash,
            note=text,
            by_id=actor.user_id,
            by_name=actor.name[:100],
            at=now,
        )
    )
    resource.state = next_state(resource.state, decision)
    _note(session, actor, f"review.{decision}", resource, step=step, seen=seen_hash)
    if resource.state == "published":
        publish_one(session, resource, now)
    else:
        tell(session, resource, None)
    return resource


def may_decide(session: Session, actor: Actor, resource: Resource) -> str | None:
    """The code of why this person may not take the step this record waits for; None: they may."""
    return may_decide_all(session, actor, [resource])[resource.id]


def may_decide_all(
    session: Session, actor: Actor, resources: Sequence[Resource]
) -> dict[str, str | None]:
    """As ``may_decide``, of many records: id → code or None."""
    ids = [resource.id for resource in resources]
    editors = select(ResourceVersion.resource_id, ResourceVersion.by_id).where(
        ResourceVersion.resource_id.in_(ids),
        ResourceVersion.by_id.is_not(None),
        # Whoever only changed what no reviewer judges did not write what is judged.
        ResourceVersion.changes.op("-")(cast(_UNSEEN, ARRAY(Text))) != {},
    )
    editors = editors.ext(distinct_on(ResourceVersion.resource_id)).order_by(
        ResourceVersion.resource_id, ResourceVersion.version.desc()
    )
    last = {row.resource_id: row.by_id for row in session.execute(editors)}
    approvals = select(Review.resource_id, Review.round, Review.by_id).where(
        Review.resource_id.in_(ids), Review.decision == "approve"
    )
    approved: dict[tuple[str, int], list[str]] = {}
    for row in session.execute(approvals):
        approved.setdefault((row.resource_id, row.round), []).append(row.by_id)
    return {
        resource.id: refusal(
            actor,
            step=step_of(resource.state),
            people=_people(session, resource),
            approved=approved.get((resource.id, resource.round), ()),
            makers=(resource.submitted_by, last.get(resource.id)),
        )
        for resource in resources
    }


def reviews_of(session: Session, resource_id: str) -> list[Review]:
    """Every decision, the newest first."""
    query = select(Review).where(Review.resource_id == resource_id)
    return list(session.scalars(query.order_by(Review.id.desc())))


def _people(session: Session, resource: Resource) -> int:
    return min(LAST_STEP, max(1, session.get_one(Centre, resource.centre_id).reviewers))


def _note(
    session: Session, actor: Actor, action: str, resource: Resource, **details: object
) -> None:
    note(
        session,
        actor,
        action,
        "resource",
        resource.id,
        centre_id=resource.centre_id,
        **details,
    )
