"""The desk's page of one clip: looking at it, asking for phone forms, following, stopping them."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from api import jobs
from api.pages.backend import Backend, Person
from api.pages.forms.data import ClipView, Typed, clip_view, read_form, wishes
from api.pages.library.desk import Desk, Notice, form_of, refusal, say
from api.pages.render import Renderer
from api.pages.view import NotFound
from api.rights import may
from api.sentences import Problem
from catalog.audit import note
from catalog.errors import Refused
from catalog.models import Work
from vod.forms.asking import find_clip, job_of_form, request_form

_CLIP: Final = "/desk/clips/{clip_id}"
_STEPS: Final = {"retry": jobs.retry, "cancel": jobs.cancel}


def forms_router(backend: Backend) -> APIRouter:
    """Every page of a clip's phone forms."""
    router = APIRouter(include_in_schema=False)
    desk = Desk(backend, Renderer(backend.config))
    _looking(router, desk)
    _making(router, desk)
    return router


async def _view(desk: Desk, person: Person, clip_id: str) -> ClipView | str:
    """The clip; the path of the clip it is a form of."""

    def work(session: Session) -> ClipView | str:
        found = find_clip(session, clip_id, person.actor())
        if found.state in ("failed", "withdrawn"):
            raise NotFound
        if found.form_of_id is not None:
            return f"/desk/clips/{quote(found.form_of_id)}"
        makes, steers = may(person.role, "clip.make"), may(person.role, "job.steer")
        return clip_view(session, found, makes=makes, steers=steers)

    return await desk.run(work)


async def _page(
    request: Request,
    desk: Desk,
    person: Person,
    clip_id: str,
    typed: Typed | None = None,
    **more: Any,
) -> Response:
    found = await _view(desk, person, clip_id)
    if isinstance(found, str):
        return RedirectResponse(found, status_code=303)
    typed = typed or Typed(title=found.title[:60])
    status = more.pop("status", 200)
    context = {"c": found, "typed": typed, **more}
    return desk.page(request, "forms/clip.html", context, person, status=status)


def _looking(router: APIRouter, desk: Desk) -> None:
    @router.get(_CLIP)
    async def show(request: Request, clip_id: str) -> Response:
        person = await desk.person(request, "broadcast.see")
        return await _page(request, desk, person, clip_id)

    @router.get(f"{_CLIP}/forms")
    async def results(request: Request, clip_id: str) -> Response:
        person = await desk.person(request, "broadcast.see")
        found = await _view(desk, person, clip_id)
        if isinstance(found, str):
            raise NotFound
        return desk.page(request, "forms/results.html", {"c": found}, person)


def _making(router: APIRouter, desk: Desk) -> None:
    @router.post(f"{_CLIP}/forms")
    async def make(request: Request, clip_id: str) -> Response:
        person = await desk.person(request, "clip.make")
        form = await form_of(request)
        typed = read_form(form, say(request))
        if "more" in form or typed.wrong:
            # One row more, or one to be put right; nothing is made.
            status = 422 if typed.wrong else 200
            more = {"rows": len(typed.rows) + 1 if "more" in form else 0, "status": status}
            return await _page(request, desk, person, clip_id, typed, **more)

        def work(session: Session) -> None:
            made, _ = request_form(
                session, work_id=clip_id, created_by=person.id, actor=person.actor(),
                **wishes(typed),
            )  # fmt: skip
            note(session, person.actor(), "form.make", "work", made.id, centre_id=made.centre_id)

        try:
            await desk.run(work)
        except Refused as error:
            told = Notice(refusal(error, request), bad=True)
            return await _page(request, desk, person, clip_id, typed, notice=told, status=422)
        return RedirectResponse(f"/desk/clips/{quote(clip_id)}?done=form#forms", status_code=303)

    @router.post(f"{_CLIP}/forms/{{form_id}}/{{step}}")
    async def steer(request: Request, clip_id: str, form_id: str, step: str) -> Response:
        person = await desk.person(request, "job.steer")
        await form_of(request)
        if step not in _STEPS:
            raise NotFound

        def work(session: Session) -> None:
            form = session.get(Work, form_id)
            find_clip(session, form_id, person.actor())
            job = job_of_form(session, form_id)
            if form is None or form.form_of_id != clip_id or job is None:
                raise NotFound
            done = _STEPS[step](session, person.centre_path, job.id)
            action = f"job.{step}"
            note(session, person.actor(), action, "job", str(job.id), centre_id=done.centre_id)

        try:
            await desk.run(work)
        except Problem as error:
            if error.code == "job_not_found":
                raise NotFound from error
            # It ended, or began, between the page and the press: the page shows how it stands.
        return RedirectResponse(f"/desk/clips/{quote(clip_id)}#forms", status_code=303)
