"""The pages of acts: the timeline with its parts, what it saves, the clips it has made."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from api import jobs
from api.acts import make_clips
from api.downloads import stored
from api.pages.acts import data
from api.pages.acts.forms import ACT_FIELDS_MAX, acts_of, picked
from api.pages.acts.list_routes import list_routes
from api.pages.acts.mark_routes import mark_routes
from api.pages.acts.view import ActRow, ActsView
from api.pages.acts.words import sureness_words
from api.pages.backend import Backend, Person
from api.pages.library.desk import Desk, Notice, form_of, refusal, say, text, with_done
from api.pages.render import Renderer
from api.pages.view import NotFound
from api.parts import Parts
from api.sentences import Problem
from catalog import acts as catalog_acts
from catalog.acts import find_programme
from catalog.audit import note
from catalog.broadcasts import BroadcastError
from catalog.errors import Refused
from catalog.models import Extra
from infra.storage import NotFound as FileMissing
from vod.acts.service import request_analysis

_ACTS: Final = "/desk/programmes/{programme_id}/acts"
_DRAWN: Final = {"waveform": "application/octet-stream", "analysis": "application/json"}
"""Kinds of extras that the timeline is drawn from, and what their files are."""


def acts_router(backend: Backend) -> APIRouter:
    """Every page of acts, programme lists and marks."""
    router = APIRouter(include_in_schema=False)
    desk = Desk(backend, Renderer(backend.config))
    _timeline(router, desk)
    _analysis(router, desk)
    _clips(router, desk)
    _drawn(router, desk, backend.parts)
    list_routes(router, desk)
    mark_routes(router, desk)
    return router


async def _view(request: Request, desk: Desk, person: Person, programme_id: str) -> ActsView:
    actor, words = person.actor(), say(request)

    def work(session: Session) -> ActsView:
        return data.acts_view(session, find_programme(session, actor, programme_id), words)

    return await desk.run(work)


async def _page(
    request: Request,
    desk: Desk,
    person: Person,
    programme_id: str,
    *,
    typed: tuple[ActRow, ...] | None = None,
    errors: dict[int, str] | None = None,
    status: int = 200,
    **more: Any,
) -> Response:
    """The timeline; ``typed``: rows of the plain form to be shown again as they were sent."""
    view = await _view(request, desk, person, programme_id)
    if typed is not None:
        view = replace(view, acts=typed)
    context = {"a": view, "errors": errors or {}, "sureness": sureness_words(say(request)), **more}
    return desk.page(request, "acts/timeline.html", context, person, status=status)


def _timeline(router: APIRouter, desk: Desk) -> None:
    @router.get(_ACTS)
    async def show(request: Request, programme_id: str) -> Response:
        person = await desk.person(request, "act.change")
        return await _page(request, desk, person, programme_id)

    @router.post(_ACTS)
    async def save(request: Request, programme_id: str) -> Response:
        """The plain form; the script saves over the API."""
        person = await desk.person(request, "act.change")
        form = await form_of(request, ACT_FIELDS_MAX)
        actor, words = person.actor(), say(request)

        def read(session: Session) -> Any:
            found = find_programme(session, actor, programme_id)
            known = {act.id: act for act in catalog_acts.acts(session, found.token)}
            return acts_of(form, known, words)

        def work(session: Session) -> None:
            found = find_programme(session, actor, programme_id)
            catalog_acts.save_acts(
                session, actor, found.token, typed.wishes, expect=text(form, "version", 32)
            )

        typed = await desk.run(read)
        if typed.errors:
            return await _page(
                request, desk, person, programme_id,
                typed=typed.rows, errors=dict(typed.errors), status=422,
            )  # fmt: skip
        try:
            await desk.run(work)
        except Refused as error:
            number = error.facts.get("number")
            errors = {number: refusal(error, request)} if isinstance(number, int) else {}
            # Somebody else's list is no place for what was typed over another.
            changed = error.code == "acts_changed"
            return await _page(
                request, desk, person, programme_id,
                typed=None if changed else typed.rows,
                errors=errors,
                notice=Notice(refusal(error, request), bad=True),
                status=409 if changed else 422,
            )  # fmt: skip
        return RedirectResponse(
            with_done(f"/desk/programmes/{programme_id}/acts", "acts"), status_code=303
        )


def _analysis(router: APIRouter, desk: Desk) -> None:
    @router.get(_ACTS + "/analysis")
    async def progress(request: Request, programme_id: str) -> Response:
        person = await desk.person(request, "act.change")
        view = await _view(request, desk, person, programme_id)
        return desk.page(request, "acts/analysis.html", {"a": view}, person)

    @router.post(_ACTS + "/analysis")
    async def analyse(request: Request, programme_id: str) -> Response:
        person = await desk.person(request, "act.change")
        await form_of(request)
        actor = person.actor()

        def work(session: Session) -> None:
            found = find_programme(session, actor, programme_id)
            request_analysis(session, found.token, by=actor.user_id)

        try:
            await desk.run(work)
        except Refused as error:
            notice = Notice(refusal(error, request), bad=True)
            return await _page(request, desk, person, programme_id, notice=notice, status=409)
        return RedirectResponse(f"/desk/programmes/{programme_id}/acts", status_code=303)

    @router.post(_ACTS + "/analysis/stop")
    async def stop(request: Request, programme_id: str) -> Response:
        person = await desk.person(request, "act.change")
        await form_of(request)
        actor = person.actor()

        def work(session: Session) -> None:
            found = find_programme(session, actor, programme_id)
            job = data.analysis_job(session, found)
            if job is not None and job.state in ("queued", "running"):
                jobs.cancel(session, actor.centre_path, job.id)
                note(session, actor, "job.cancel", "job", str(job.id), centre_id=job.centre_id)

        # It may have ended between the page and the press: the page shows how it stands.
        with suppress(Problem):
            await desk.run(work)
        return RedirectResponse(f"/desk/programmes/{programme_id}/acts", status_code=303)


def _clips(router: APIRouter, desk: Desk) -> None:
    @router.get(_ACTS + "/clips")
    async def progress(request: Request, programme_id: str) -> Response:
        person = await desk.person(request, "act.change")
        actor = person.actor()

        def work(session: Session) -> Any:
            return data.clip_rows(session, find_programme(session, actor, programme_id))

        return desk.page(request, "acts/clips.html", {"clips": await desk.run(work)}, person)

    @router.post(_ACTS + "/clips")
    async def make(request: Request, programme_id: str) -> Response:
        person = await desk.person(request, "clip.make")
        form = await form_of(request)
        actor = person.actor()

        def work(session: Session) -> None:
            found = find_programme(session, actor, programme_id)
            make_clips(session, actor, found, picked(form))

        try:
            await desk.run(work)
        except (Refused, BroadcastError) as error:
            told = error.message if isinstance(error, BroadcastError) else refusal(error, request)
            return await _page(
                request, desk, person, programme_id, notice=Notice(told, bad=True), status=409
            )
        return RedirectResponse(
            with_done(f"/desk/programmes/{programme_id}/acts", "clips") + "#clips",
            status_code=303,
        )


def _drawn(router: APIRouter, desk: Desk, parts: Parts) -> None:
    @router.get("/desk/programmes/{programme_id}/drawn/{kind}")
    async def drawn(request: Request, programme_id: str, kind: str) -> Response:
        """The peaks and the kinds of sound the timeline is drawn from."""
        person = await desk.person(request, "act.change")
        if kind not in _DRAWN:
            raise NotFound
        actor = person.actor()

        def work(session: Session) -> str | None:
            found = find_programme(session, actor, programme_id)
            extra = session.get(Extra, (found.token, kind))
            return extra.storage_key if extra else None

        key = await desk.run(work)
        if key is None:
            raise NotFound
        try:
            return stored(parts.storage, key, _DRAWN[kind], {"cache-control": "private, no-cache"})
        except FileMissing:
            raise NotFound from None
