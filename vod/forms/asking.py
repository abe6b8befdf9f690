"""Asking for a phone form: its row and its job, in the caller's transaction.

A form is a work of its own beside the clip it was made of: the same footage, the same edit list,
so minutes count once. A stretch of a broadcast or of an uploaded recording is cut first, as a
clip, and the form waits for that: the original always stands beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.audit import Actor
from catalog.broadcasts import TITLE_MAX as WORK_TITLE_MAX
from catalog.errors import Missing, Refused
from catalog.models import TIMESCALE, Broadcast, Centre, Rendition, Work
from catalog.records.reach import works_of
from infra.ids import public_id, secret_token
from infra.jobs import enqueue
from infra.tables import Job
from vod.clips import request_clip
from vod.forms.lettering import cleaned
from vod.forms.wishes import TITLE_MAX, Third, checked

MAX_FORM_TICKS: Final = 30 * 60 * TIMESCALE
"""What is watched upright in one hand is short."""
FORM_NAMES: Final = {"vertical": "竖版", "square": "方版"}
FORMS_MAX: Final = 30
"""Forms of one clip that are looked at, the newest."""
ATTEMPTS: Final = 40
"""It may have to wait for its source first."""


def request_form(
    session: Session,
    *,
    work_id: str,
    form: str,
    title_card: bool = True,
    title: str | None = None,
    lower_thirds: Sequence[Third] = (),
    created_by: str | None,
    actor: Actor | None = None,
) -> tuple[Work, Job]:
    """A form of a clip that is ready, or being made. ``title``: what the card says; None: what
    the clip is called. ``actor`` reaches the clip; None: whoever runs the machine.

    Raises Missing, Refused.
    """
    source = find_clip(session, work_id, actor)
    _fit_for_it(session, source)
    if title is None:
        title = source.title[:TITLE_MAX]
    centre = session.get_one(Centre, source.centre_id)
    wish = checked(
        cleaned,
        form=form,
        length=source.duration_ticks,
        title=title if title_card else None,
        centre=centre.name,
        thirds=lower_thirds,
    )
    _not_twice(session, source, form)
    work = Work(
        id=public_id(),
        centre_id=source.centre_id,
        broadcast_id=source.broadcast_id,
        kind="clip",
        state="making",
        title=_named(source.title, form),
        media_token=secret_token(),
        edit_list=source.edit_list,
        form=form,
        form_of_id=source.id,
        contract=source.contract,
        making=wish.kept(),
        created_by=created_by,
    )
    session.add(work)
    session.flush()
    job = enqueue(
        session,
        kind="form",
        queue="edit",
        args={"work_id": work.id},
        unique_key=f"form:{work.id}",
        broadcast_id=work.broadcast_id,
        centre_id=work.centre_id,
        title=work.title,
        max_attempts=ATTEMPTS,
    )
    return work, job


def request_form_of_stretch(
    session: Session,
    *,
    source_id: str,
    in_ticks: int,
    out_ticks: int,
    name: str,
    form: str,
    title_card: bool = True,
    title: str | None = None,
    lower_thirds: Sequence[Third] = (),
    created_by: str | None,
    actor: Actor | None = None,
) -> tuple[Work, Job]:
    """A form of a stretch of a broadcast or of any work: the clip is asked for too, and called
    ``name``. Raises Missing, Refused, BroadcastError (of the name)."""
    clip, _ = request_clip(
        session,
        pieces=[(source_id, in_ticks, out_ticks)],
        title=name,
        created_by=created_by,
        actor=actor,
    )
    return request_form(
        session,
        work_id=clip.id,
        form=form,
        title_card=title_card,
        title=title,
        lower_thirds=lower_thirds,
        created_by=created_by,
        actor=actor,
    )


def find_clip(session: Session, work_id: str, actor: Actor | None) -> Work:
    """A clip within reach. Raises Missing."""
    query = (
        select(Work)
        .join(Centre, Centre.id == Work.centre_id)
        .outerjoin(Broadcast, Broadcast.id == Work.broadcast_id)
        .where(Work.id == work_id, Work.kind == "clip")
    )
    if actor is not None:
        query = query.where(works_of(actor))
    found = session.scalars(query).one_or_none()
    if found is None:
        raise Missing("clip_not_found")
    return found


@dataclass(frozen=True, slots=True)
class Form:
    """A form and how it stands: ``state`` is of the work and the newest job that makes it
    together, for a job that was cancelled or tried again is ahead of its work."""

    work: Work
    job: Job | None

    @property
    def state(self) -> Literal["making", "ready", "failed", "cancelled"]:
        if self.work.state == "ready":
            return "ready"
        state = self.job.state if self.job is not None else "failed"
        if state in ("queued", "running", "done"):
            return "making"
        return "cancelled" if state == "cancelled" else "failed"


def forms_of(session: Session, work_id: str) -> list[Form]:
    """The forms of a clip, the newest first; neither what was cancelled nor what is withdrawn."""
    query = (
        select(Work)
        .where(Work.form_of_id == work_id, Work.state != "withdrawn")
        .order_by(Work.created_at.desc(), Work.id)
        .limit(FORMS_MAX)
    )
    found = [Form(work, job_of_form(session, work.id)) for work in session.scalars(query)]
    return [form for form in found if form.state != "cancelled"]


def job_of_form(session: Session, work_id: str) -> Job | None:
    """The newest job that makes a form."""
    query = select(Job).where(Job.unique_key == f"form:{work_id}").order_by(Job.id.desc())
    return session.scalars(query.limit(1)).first()


def _fit_for_it(session: Session, source: Work) -> None:
    if source.form != "wide":
        raise Refused("form_of_form")
    if source.state not in ("making", "ready"):
        raise Refused("form_source_gone")
    length = source.duration_ticks or sum(end - start for _, start, end in source.edit_list)
    if length > MAX_FORM_TICKS:
        raise Refused("form_too_long", most=MAX_FORM_TICKS // (60 * TIMESCALE))
    if source.state == "ready" and not session.scalar(
        select(Rendition.id)
        .where(Rendition.token == source.media_token, Rendition.kind == "video")
        .limit(1)
    ):
        raise Refused("form_no_picture")


def _not_twice(session: Session, source: Work, form: str) -> None:
    session.get_one(Work, source.id, with_for_update=True)
    now = forms_of(session, source.id)
    if any(found.work.form == form and found.state == "making" for found in now):
        raise Refused("form_under_way", form=FORM_NAMES[form])


def _named(title: str, form: str) -> str:
    suffix = f"（{FORM_NAMES[form]}）"
    return title[: WORK_TITLE_MAX - len(suffix)] + suffix
