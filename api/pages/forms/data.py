"""What the page of a clip shows: the clip, its phone forms, what is being made; its form, read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from api.making import made_line
from api.pages import cards, view
from api.pages.library.desk import text, texts
from api.pages.words import Translate, parse_clock
from catalog.minutes import TICKS_A_MS
from catalog.models import Broadcast, Work
from vod.forms.asking import FORM_NAMES, Form, forms_of
from vod.forms.wishes import TEXT_MAX, THIRDS_MAX, Third

BLANK_ROWS: Final = 2


@dataclass(frozen=True)
class FormCard:
    """A form that is ready, being made, or could not be made."""

    id: str
    form: str
    name: str
    state: str
    created_at: dt.datetime
    poster_url: str | None
    mp4_url: str | None
    width: int | None
    height: int | None
    title: str
    names: int
    loudness: bool
    left_out: str
    job: view.JobRow | None


@dataclass(frozen=True)
class ClipView:
    """One clip at the desk."""

    id: str
    title: str
    state: str
    duration_ms: int
    hls_url: str
    poster_url: str | None
    made: str
    back: str
    back_title: str | None
    forms: tuple[FormCard, ...]
    can_make: bool
    can_steer: bool

    @property
    def making(self) -> bool:
        """Whether something on the page is still to change by itself."""
        return self.state == "making" or any(form.state == "making" for form in self.forms)


@dataclass(frozen=True)
class Row:
    """A lower third as typed."""

    name: str = ""
    role: str = ""
    start: str = ""
    stop: str = ""
    error: str = ""

    @property
    def empty(self) -> bool:
        return not (self.name or self.role or self.start or self.stop)


@dataclass(frozen=True)
class Typed:
    """The form as it was sent, to be shown again; ``thirds`` where it could be read."""

    form: str = "vertical"
    title: str | None = None
    rows: tuple[Row, ...] = ()
    thirds: tuple[Third, ...] = field(default=())

    @property
    def wrong(self) -> bool:
        return any(row.error for row in self.rows)

    def shown(self, least: int = BLANK_ROWS) -> list[Row]:
        """The rows of the page: those typed, and some to type in."""
        filled = [row for row in self.rows if not row.empty]
        blank = max(1, least - len(filled)) if len(filled) < THIRDS_MAX else 0
        return [*filled, *[Row()] * blank]


def clip_view(session: Session, work: Work, *, makes: bool, steers: bool) -> ClipView:
    """The clip with its forms."""
    show = session.get(Broadcast, work.broadcast_id) if work.broadcast_id else None
    card = cards.clip_card(work)
    return ClipView(
        id=work.id,
        title=work.title,
        state=work.state,
        duration_ms=card.duration_ms,
        hls_url=f"/hls/{work.media_token}/main.m3u8",
        poster_url=card.poster_url,
        made=made_line(work.making),
        back=f"/desk/b/{show.id}#clips" if show else "/desk",
        back_title=show.title if show else None,
        forms=_forms(session, work),
        can_make=makes and work.form == "wide" and work.state in ("making", "ready"),
        can_steer=steers,
    )


def _forms(session: Session, work: Work) -> tuple[FormCard, ...]:
    now = dt.datetime.now(dt.UTC)
    return tuple(_card(form, now) for form in forms_of(session, work.id))


def _card(form: Form, now: dt.datetime) -> FormCard:
    work, ready = form.work, form.state == "ready"
    facts, media = work.making.get("facts", {}), f"/hls/{work.media_token}"
    return FormCard(
        id=work.id,
        form=work.form,
        name=FORM_NAMES[work.form],
        state=form.state,
        created_at=work.created_at,
        poster_url=f"{media}/poster.jpg" if ready and work.poster_key else None,
        mp4_url=f"{media}/download.mp4" if ready and work.mp4_key else None,
        width=facts.get("width"),
        height=facts.get("height"),
        title=str(work.making.get("title", "")),
        names=len(work.making.get("thirds", [])),
        loudness=facts.get("loudness_after") is not None,
        left_out=str(work.making.get("left_out", "")),
        job=cards.job_row(form.job, now) if form.job is not None and not ready else None,
    )


def read_form(form: FormData, _: Translate) -> Typed:
    """What was typed; a row that cannot be read says why."""
    columns = [texts(form, name)[:THIRDS_MAX] for name in ("name", "role", "start", "stop")]
    rows: list[Row] = []
    thirds: list[Third] = []
    for cells in zip(*columns, strict=False):
        row = Row(*(cell[:TEXT_MAX] for cell in cells))
        if row.empty:
            continue
        start, stop = parse_clock(row.start), parse_clock(row.stop)
        if start is None or stop is None:
            rows.append(_wrong(row, _("时间请按“分:秒”填写，比如 0:05 到 0:10。")))
        else:
            rows.append(row)
            thirds.append(Third(row.name, row.role, start * TICKS_A_MS, stop * TICKS_A_MS))
    shape = text(form, "form", 20)
    return Typed(shape, text(form, "title", TEXT_MAX), tuple(rows), tuple(thirds))


def _wrong(row: Row, error: str) -> Row:
    return Row(row.name, row.role, row.start, row.stop, error)


def wishes(typed: Typed) -> dict[str, Any]:
    """For ``request_form``: an empty title is no card."""
    thirds: Sequence[Third] = typed.thirds
    return {
        "form": typed.form,
        "title_card": bool(typed.title),
        "title": typed.title or None,
        "lower_thirds": thirds,
    }
