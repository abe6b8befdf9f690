"""Rows of a programme turned into what its pages of acts show."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.acts import jobs_of
from api.pages import cards
from api.pages.acts.view import (
    ActRow,
    ActsBrief,
    ActsView,
    Analysis,
    AnalysisView,
    ClipRow,
    EntryRow,
    Head,
    ListView,
    MarkRow,
    MarksView,
)
from api.pages.acts.words import because, exact, sureness
from api.pages.words import Translate
from catalog import acts as catalog_acts
from catalog.acts import Programme
from catalog.minutes import TICKS_A_MS, TICKS_A_SECOND
from catalog.models import Act, Extra, Mark, ProgrammeEntry, Rendition, Work
from infra.tables import Job

_DRAWN: Final = {"storyboard": (), "waveform": ("per_second",), "analysis": ()}
"""Kinds of extras the timeline is drawn from, and which of their facts."""
_FRAME_RATE: Final = 25.0
"""Of a programme that does not say."""


def head(found: Programme) -> Head:
    """A programme's name and its way back."""
    own = found.kind == "broadcast"
    return Head(
        id=found.id,
        title=found.title,
        centre=found.centre,
        state=found.state,
        back=f"/desk/b/{found.id}" if own else f"/works/{found.id}",
        length_ms=found.length_ticks // TICKS_A_MS,
        broadcast_id=found.broadcast_id,
    )


# --- the timeline ----------------------------------------------------------------------------


def acts_view(session: Session, found: Programme, _: Translate) -> ActsView:
    """The timeline's page, with all its script needs."""
    acts = catalog_acts.acts(session, found.token)
    entries = catalog_acts.programme(session, found.token)
    marks = catalog_acts.marks(session, found.token)
    version = catalog_acts.version(session, found.token)
    clips = catalog_acts.clips_of(session, found)
    rows = tuple(_act_row(act, clips.get(act.id), _) for act in acts)
    return ActsView(
        head=head(found),
        version=version,
        acts=rows,
        entries=tuple(entry_row(entry) for entry in entries),
        marks=tuple(_mark_row(mark) for mark in marks),
        clips=clip_rows(session, found),
        analysis=analysis(session, found),
        confirmed=bool(acts) and all(act.state == "confirmed" for act in acts),
        data={
            "id": found.id,
            "token": found.token,
            "version": version,
            "length": found.length_ticks,
            "frame": _frame_ticks(session, found.token),
            "hls": _hls(found),
            "extras": _extras(session, found),
            "acts": [
                {
                    "id": act.id,
                    "start": act.start_ticks,
                    "end": act.end_ticks,
                    "title": act.title,
                    "entry": act.entry_id,
                    "sure": row.sureness,
                    "because": row.because,
                }
                for act, row in zip(acts, rows, strict=True)
            ],
            "entries": [{"id": entry.id, "title": entry.title} for entry in entries],
            # One pressed for what was never recorded has no place on the timeline.
            "marks": [
                {"at": mark.at_ticks, "label": mark.label}
                for mark in marks
                if mark.at_ticks <= found.length_ticks
            ],
        },
    )


def _act_row(act: Act, clip: Work | None, _: Translate) -> ActRow:
    return ActRow(
        id=str(act.id),
        entry_id="" if act.entry_id is None else str(act.entry_id),
        title=act.title,
        start=exact(act.start_ticks),
        end=exact(act.end_ticks),
        sureness=sureness(act.state, act.confidence),
        because=because(act.reasons, _),
        clip_id=clip.id if clip else None,
        clip_ready=clip is not None and clip.state == "ready",
    )


def _hls(found: Programme) -> str:
    # A broadcast's main list is of the live edge while it is on air.
    name = "replay" if found.kind == "broadcast" else "main"
    return f"/hls/{found.token}/{name}.m3u8"


def _frame_ticks(session: Session, token: str) -> int:
    rate = session.scalar(
        select(Rendition.frame_rate)
        .where(Rendition.token == token, Rendition.kind == "video")
        .order_by(Rendition.height.desc())
        .limit(1)
    )
    return round(TICKS_A_SECOND / (rate or _FRAME_RATE))


def _extras(session: Session, found: Programme) -> dict[str, Any]:
    """What lies beside the programme to draw it by: kind → what must be known to read it."""
    rows = session.scalars(select(Extra).where(Extra.token == found.token, Extra.kind.in_(_DRAWN)))
    return {row.kind: {name: row.facts.get(name) for name in _DRAWN[row.kind]} for row in rows}


def clip_rows(session: Session, found: Programme) -> tuple[ClipRow, ...]:
    """The clips asked for last of a programme's acts, the failed ones too."""
    listed = list(enumerate(catalog_acts.acts(session, found.token), start=1))
    asked = {act.work_id: (number, act) for number, act in listed if act.work_id}
    if not asked:
        return ()
    jobs = jobs_of(session, list(asked))
    now = dt.datetime.now(dt.UTC)
    works = session.scalars(
        select(Work).where(Work.id.in_(asked), Work.state != "withdrawn").order_by(Work.id)
    )
    rows = []
    for work in works:
        number, act = asked[work.id]
        job = jobs.get(work.id)
        rows.append(
            ClipRow(
                act_id=str(act.id),
                number=number,
                title=work.title,
                clip_id=work.id,
                ready=work.state == "ready",
                current=catalog_acts.shows(work, found, act),
                job=cards.job_row(job, now) if job is not None else None,
            )
        )
    return tuple(sorted(rows, key=lambda row: row.number))


def analysis_job(session: Session, found: Programme) -> Job | None:
    """The last analysis that was promised."""
    return session.scalars(
        select(Job)
        .where(Job.kind == "acts", Job.args["token"].astext == found.token)
        .order_by(Job.id.desc())
        .limit(1)
    ).first()


_ANALYSIS_OF: Final[dict[str, Analysis]] = {
    "queued": "running",
    "running": "running",
    "failed": "failed",
    "done": "done",
}
"""What a state of its job means to people."""


def analysis(session: Session, found: Programme) -> AnalysisView:
    """How far the analysis is."""
    job = analysis_job(session, found)
    proposed = sum(act.state == "proposed" for act in catalog_acts.acts(session, found.token))
    if job is None:
        return AnalysisView("none", proposed=proposed)
    row = cards.job_row(job, dt.datetime.now(dt.UTC))
    return AnalysisView(_ANALYSIS_OF.get(job.state, "none"), row, proposed)


def brief(session: Session, found: Programme) -> ActsBrief:
    """How far a programme's acts are."""
    state = analysis(session, found)
    listed = catalog_acts.acts(session, found.token)
    return ActsBrief(
        analysis=state.state,
        proposed=state.proposed,
        confirmed=len(listed) - state.proposed,
        entries=len(catalog_acts.programme(session, found.token)),
    )


# --- the list and the marks ------------------------------------------------------------------


def list_view(session: Session, found: Programme) -> ListView:
    """The programme list as it is kept."""
    entries = catalog_acts.programme(session, found.token)
    return ListView(
        head=head(found),
        version=catalog_acts.programme_version(session, found.token),
        rows=tuple(entry_row(entry) for entry in entries),
    )


def public_list(session: Session, token: str) -> tuple[EntryRow, ...]:
    """The programme list as anybody may read it."""
    return tuple(entry_row(entry) for entry in catalog_acts.programme(session, token))


def entry_row(entry: ProgrammeEntry) -> EntryRow:
    return EntryRow(
        title=entry.title,
        genre=entry.genre,
        performers=entry.performers,
        about="" if entry.about_ticks is None else exact(entry.about_ticks),
        length="" if entry.length_ticks is None else exact(entry.length_ticks),
        id=str(entry.id),
    )


def _mark_row(mark: Mark) -> MarkRow:
    return MarkRow(str(mark.id), mark.label, mark.at_ticks // TICKS_A_MS)


def marks_view(session: Session, found: Programme, *, may: bool = True) -> MarksView:
    """The marks at the live desk, and whose turn it is: the line after the one marked last."""
    marks = catalog_acts.marks(session, found.token)
    entries = catalog_acts.programme(session, found.token)
    places = {entry.title: place for place, entry in enumerate(entries)}
    last = max((places[m.label] for m in marks if m.label in places), default=-1)
    following = entries[last + 1].id if last + 1 < len(entries) else ""
    return MarksView(
        programme_id=found.id,
        marks=tuple(_mark_row(mark) for mark in reversed(marks)),
        entries=tuple(entry_row(entry) for entry in entries),
        next_id=str(following),
        may=may,
    )


def described(mark: Mark) -> MarkRow:
    """A mark as the desk says it was made."""
    return _mark_row(mark)
