"""Phone forms over the API: asking for one of a clip or of a stretch, and looking at them."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field

from api import answers
from api.auth import Db, OurParts, actor, require
from api.routes.clips import LONGEST_SECONDS, TITLE_MAX, StretchOf, to_ticks
from catalog.accounts import Identity
from catalog.audit import note
from catalog.minutes import seconds
from vod.forms.asking import (
    Form,
    find_clip,
    forms_of,
    request_form,
    request_form_of_stretch,
)
from vod.forms.wishes import TEXT_MAX, THIRDS_MAX, Third

router = APIRouter(tags=["forms"])

Sees = Annotated[Identity, Depends(require("broadcast.see"))]
Makes = Annotated[Identity, Depends(require("clip.make"))]


class LowerThird(BaseModel):
    """A name, and what that person is, shown from second to second."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1, max_length=TEXT_MAX)
    sub: str = Field(default="", max_length=TEXT_MAX)
    start: float = Field(ge=0, le=LONGEST_SECONDS, allow_inf_nan=False)
    stop: float = Field(gt=0, le=LONGEST_SECONDS, allow_inf_nan=False)

    def third(self) -> Third:
        return Third(self.text, self.sub, to_ticks(self.start), to_ticks(self.stop))


class NewForm(BaseModel):
    """The form, and what is written on it."""

    model_config = ConfigDict(extra="forbid")

    form: Literal["vertical", "square"]
    title_card: bool = True
    title: str | None = Field(
        default=None, max_length=TEXT_MAX, description="On the card; null: as the clip is called."
    )
    lower_thirds: list[LowerThird] = Field(default=[], max_length=THIRDS_MAX)

    def wishes(self) -> dict[str, Any]:
        return {
            "form": self.form,
            "title_card": self.title_card,
            "title": self.title,
            "lower_thirds": [third.third() for third in self.lower_thirds],
        }


class NewFormOfStretch(NewForm, StretchOf):
    """A stretch of a broadcast or of a work; it is cut as a clip first."""

    name: str = Field(min_length=1, max_length=TITLE_MAX, description="What the clip is called.")


class FormAnswer(answers.Answer):
    id: str
    form: str
    title: str
    state: str = Field(description="making, ready or failed.")
    clip_id: str = Field(description="What it was made of, which is kept beside it.")
    watch_url: str
    hls_url: str | None
    mp4_url: str | None
    cover_url: str | None
    seconds: float | None
    width: int | None
    height: int | None
    left_out: str = Field(description="Characters of its texts that the font lacks.")
    created_at: dt.datetime
    job: answers.JobAnswer | None


class FormList(answers.Answer):
    items: list[FormAnswer]


@router.post("/works/{work_id}/forms", status_code=202)
def create(work_id: str, body: NewForm, who: Makes, session: Db, parts: OurParts) -> FormAnswer:
    """Reframe a clip for phones; the job tells how far it is."""
    work, job = request_form(
        session, work_id=work_id, created_by=who.user_id, actor=actor(who), **body.wishes()
    )
    note(session, actor(who), "form.make", "work", work.id, centre_id=work.centre_id)
    return _answer(Form(work, job), parts.addresses())


@router.post("/forms", status_code=202)
def create_of_stretch(
    body: NewFormOfStretch, who: Makes, session: Db, parts: OurParts
) -> FormAnswer:
    """Cut a stretch as a clip, and reframe that."""
    work, job = request_form_of_stretch(
        session,
        source_id=body.source,
        in_ticks=to_ticks(body.start),
        out_ticks=to_ticks(body.stop),
        name=body.name,
        created_by=who.user_id,
        actor=actor(who),
        **body.wishes(),
    )
    for made in (work.form_of_id or "", work.id):
        action = "form.make" if made == work.id else "clip.make"
        note(session, actor(who), action, "work", made, centre_id=work.centre_id)
    return _answer(Form(work, job), parts.addresses())


@router.get("/works/{work_id}/forms")
def listing(work_id: str, who: Sees, session: Db, parts: OurParts) -> FormList:
    """The forms of a clip, ready or being made, the newest first."""
    clip = find_clip(session, work_id, actor(who))
    at = parts.addresses()
    found = forms_of(session, clip.id)
    return FormList(items=[_answer(form, at) for form in found])


def _answer(form: Form, at: answers.Addresses) -> FormAnswer:
    work, ready = form.work, form.state == "ready"
    facts = work.making.get("facts", {})
    return FormAnswer(
        id=work.id,
        form=work.form,
        title=work.title,
        state=form.state,
        clip_id=work.form_of_id or "",
        watch_url=at.clip(work.id),
        hls_url=at.media(work.media_token, "main.m3u8") if ready else None,
        mp4_url=at.media(work.media_token, "download.mp4") if ready else None,
        cover_url=at.media(work.media_token, "poster.jpg") if ready and work.poster_key else None,
        seconds=seconds(work.duration_ticks) if ready else None,
        width=facts.get("width"),
        height=facts.get("height"),
        left_out=str(work.making.get("left_out", "")),
        created_at=work.created_at,
        job=answers.job(form.job) if form.job is not None else None,
    )
