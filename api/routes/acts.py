"""Programme lists, marks and acts over the API. ``programme_id``: a broadcast's id or a work's.

Times are seconds from the programme's beginning; fractions are kept to 1/90 000 s.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from fastapi import APIRouter, Depends, Path
from pydantic import BaseModel, ConfigDict, Field

from api import answers
from api.acts import CLIPS_MAX, make_clips, stage_tick
from api.auth import Db, OurParts, actor, require
from api.routes.clips import LONGEST_SECONDS, to_ticks
from catalog import acts as catalog_acts
from catalog.accounts import Identity
from catalog.acts import ACTS_MAX, ActWish, Line, Programme, find_programme
from catalog.minutes import TICKS_A_SECOND
from catalog.models import Act, Mark, ProgrammeEntry, Work
from catalog.programmes import LINES_MAX
from vod.acts.service import request_analysis

router = APIRouter(tags=["acts"])

Sees = Annotated[Identity, Depends(require("broadcast.see"))]
Changes = Annotated[Identity, Depends(require("act.change"))]
Makes = Annotated[Identity, Depends(require("clip.make"))]
ProgrammeId = Annotated[str, Path(max_length=32)]
Seconds = Annotated[float, Field(ge=0, le=LONGEST_SECONDS, allow_inf_nan=False)]
RowId = Annotated[int, Field(ge=0, lt=2**63)]

_VERSION_MAX: Final = 32


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class ListLine(_Body):
    title: str = Field(max_length=1000)
    genre: str = Field(default="", max_length=1000)
    performers: str = Field(default="", max_length=1000)
    about: Seconds | None = Field(default=None, description="Roughly when it begins.")
    length: Seconds | None = None


class NewList(_Body):
    version: str | None = Field(
        default=None, max_length=_VERSION_MAX, description="The version that was seen."
    )
    items: list[ListLine] = Field(max_length=2 * LINES_MAX)


class EntryAnswer(answers.Answer):
    id: int
    title: str
    genre: str
    performers: str
    about: float | None
    length: float | None


class ListAnswer(answers.Answer):
    version: str
    items: list[EntryAnswer]


class NewMark(_Body):
    at: Seconds | None = Field(default=None, description="Left out: now, as the stage goes.")
    label: str = Field(default="", max_length=1000)


class MarkAnswer(answers.Answer):
    id: int
    at: float
    label: str


class MarkList(answers.Answer):
    items: list[MarkAnswer]


class WantedAct(_Body):
    start: Seconds
    end: Seconds
    title: str = Field(default="", max_length=1000)
    id: RowId | None = Field(default=None, description="Of the act it was before.")
    entry_id: RowId | None = Field(default=None, description="The line of the list it is.")


class NewActs(_Body):
    version: str = Field(max_length=_VERSION_MAX, description="The version that was seen.")
    items: list[WantedAct] = Field(max_length=2 * ACTS_MAX)


class ActClipAnswer(answers.Answer):
    id: str
    state: str


class ActAnswer(answers.Answer):
    id: int
    start: float
    end: float
    title: str
    state: Literal["proposed", "confirmed"]
    confidence: float = Field(description="Of its beginning, 0 to 1.")
    reasons: list[tuple[str, float]] = Field(description="(cue, weight) of its beginning.")
    entry_id: int | None
    clip: ActClipAnswer | None = Field(description="Of exactly this act, made or being made.")


class ActList(answers.Answer):
    version: str
    length: float
    items: list[ActAnswer]


class WantedClips(_Body):
    acts: list[RowId] = Field(min_length=1, max_length=CLIPS_MAX)


class ClipMade(answers.Answer):
    act_id: int
    new: bool = Field(description="False: it was made, or being made, already.")
    clip: answers.ClipAnswer


class ClipsMade(answers.Answer):
    items: list[ClipMade]


class JobPromised(answers.Answer):
    job: answers.JobAnswer


# --- the list --------------------------------------------------------------------------------


@router.get("/programmes/{programme_id}/list")
def programme_list(programme_id: ProgrammeId, who: Sees, session: Db) -> ListAnswer:
    """The programme list, in order."""
    return _list(session, find_programme(session, actor(who), programme_id))


@router.put("/programmes/{programme_id}/list")
def set_list(programme_id: ProgrammeId, body: NewList, who: Changes, session: Db) -> ListAnswer:
    """Replace the list; an empty one removes it."""
    found = find_programme(session, actor(who), programme_id)
    lines = [
        Line(
            line.title,
            line.genre,
            line.performers,
            None if line.about is None else to_ticks(line.about),
            None if line.length is None else to_ticks(line.length),
        )
        for line in body.items
    ]
    catalog_acts.set_programme(session, actor(who), found.token, lines, expect=body.version)
    return _list(session, found)


def _list(session: Db, found: Programme) -> ListAnswer:
    entries = catalog_acts.programme(session, found.token)
    return ListAnswer(
        version=catalog_acts.programme_version(session, found.token),
        items=[_entry(entry) for entry in entries],
    )


def _entry(entry: ProgrammeEntry) -> EntryAnswer:
    return EntryAnswer(
        id=entry.id,
        title=entry.title,
        genre=entry.genre,
        performers=entry.performers,
        about=None if entry.about_ticks is None else _seconds(entry.about_ticks),
        length=None if entry.length_ticks is None else _seconds(entry.length_ticks),
    )


# --- marks -----------------------------------------------------------------------------------


@router.get("/programmes/{programme_id}/marks")
def mark_list(programme_id: ProgrammeId, who: Sees, session: Db) -> MarkList:
    """The marks pressed for it, in order of time."""
    found = find_programme(session, actor(who), programme_id)
    return MarkList(items=[_mark(mark) for mark in catalog_acts.marks(session, found.token)])


@router.post("/programmes/{programme_id}/marks", status_code=201)
def add_mark(programme_id: ProgrammeId, body: NewMark, who: Changes, session: Db) -> MarkAnswer:
    """Mark that an act begins about here; two within a second are one."""
    found = find_programme(session, actor(who), programme_id)
    at = stage_tick(session, found) if body.at is None else to_ticks(body.at)
    return _mark(catalog_acts.add_mark(session, actor(who), found.token, at, body.label))


@router.delete("/programmes/{programme_id}/marks/{mark_id}", status_code=204)
def remove_mark(programme_id: ProgrammeId, mark_id: int, who: Changes, session: Db) -> None:
    """Take a mark back."""
    found = find_programme(session, actor(who), programme_id)
    catalog_acts.remove_mark(session, actor(who), found.token, mark_id)


def _mark(mark: Mark) -> MarkAnswer:
    return MarkAnswer(id=mark.id, at=_seconds(mark.at_ticks), label=mark.label)


# --- acts ------------------------------------------------------------------------------------


@router.get("/programmes/{programme_id}/acts")
def act_list(programme_id: ProgrammeId, who: Sees, session: Db) -> ActList:
    """Acts proposed and confirmed, in order."""
    return _acts(session, find_programme(session, actor(who), programme_id))


@router.put("/programmes/{programme_id}/acts")
def save_acts(programme_id: ProgrammeId, body: NewActs, who: Changes, session: Db) -> ActList:
    """Replace the list as a person confirms it; refused when another changed it meanwhile."""
    found = find_programme(session, actor(who), programme_id)
    wishes = [
        ActWish(to_ticks(a.start), to_ticks(a.end), a.title, a.id, a.entry_id) for a in body.items
    ]
    catalog_acts.save_acts(session, actor(who), found.token, wishes, expect=body.version)
    return _acts(session, found)


@router.post("/programmes/{programme_id}/acts/analysis", status_code=202)
def analyse(programme_id: ProgrammeId, who: Changes, session: Db) -> JobPromised:
    """Have acts looked for and proposed; asked twice it is done once."""
    found = find_programme(session, actor(who), programme_id)
    job = request_analysis(session, found.token, by=who.user_id)
    return JobPromised(job=answers.job(job))


@router.post("/programmes/{programme_id}/acts/clips", status_code=202)
def make(
    programme_id: ProgrammeId, body: WantedClips, who: Makes, session: Db, parts: OurParts
) -> ClipsMade:
    """One clip of each of these acts; their jobs tell how far they are."""
    found = find_programme(session, actor(who), programme_id)
    at = parts.addresses()
    return ClipsMade(
        items=[
            ClipMade(
                act_id=made.act.id,
                new=made.new,
                clip=answers.clip(made.work, at, job=made.job),
            )
            for made in make_clips(session, actor(who), found, body.acts)
        ]
    )


def _acts(session: Db, found: Programme) -> ActList:
    clips = catalog_acts.clips_of(session, found)
    return ActList(
        version=catalog_acts.version(session, found.token),
        length=_seconds(found.length_ticks),
        items=[_act(act, clips.get(act.id)) for act in catalog_acts.acts(session, found.token)],
    )


def _act(act: Act, clip: Work | None) -> ActAnswer:
    return ActAnswer(
        id=act.id,
        start=_seconds(act.start_ticks),
        end=_seconds(act.end_ticks),
        title=act.title,
        state="confirmed" if act.state == "confirmed" else "proposed",
        confidence=act.confidence / 1000,
        reasons=[(str(code), weight / 1000) for code, weight in act.reasons],
        entry_id=act.entry_id,
        clip=None if clip is None else ActClipAnswer(id=clip.id, state=clip.state),
    )


def _seconds(ticks: int) -> float:
    """Exact enough that the nearest tick of it is the same one."""
    return ticks / TICKS_A_SECOND
