"""The page of one record: looking, changing, 三审三校, withdrawing, taking down, lessons."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypedDict

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from api.pages.backend import Person
from api.pages.library import forms as library_forms
from api.pages.library import record as library_record
from api.pages.library.desk import (
    Desk,
    Notice,
    files_of,
    form_of,
    refusal,
    text,
    uploads,
    with_done,
)
from api.pages.library.fill import blame, form_data, keep
from api.pages.view import NotFound
from api.parts import Parts
from api.rights import Action
from catalog.audit import Actor
from catalog.errors import Refused
from catalog.models import Resource
from catalog.records import review, service, takedown

_RECORD = "/desk/library/{resource_id}"


def record_routes(router: APIRouter, desk: Desk, parts: Parts) -> None:
    _show(router, desk)
    _edit(router, desk, parts)
    _decide(router, desk)
    _sight(router, desk)
    _broadcast_sight(router, desk)
    _order(router, desk)


async def _page(
    request: Request,
    desk: Desk,
    person: Person,
    resource_id: str,
    *,
    status: int = 200,
    **more: Any,
) -> Response:
    actor = person.actor()
    view = await desk.run(lambda session: library_record.record(session, actor, resource_id))
    data = {"r": view, "note": "", "note_error": None, **more}
    return desk.page(request, "library_record.html", data, person, status=status)


def _show(router: APIRouter, desk: Desk) -> None:
    @router.get(_RECORD)
    async def show(request: Request, resource_id: str) -> Response:
        return await _page(request, desk, await desk.person(request), resource_id)


async def _act(
    request: Request,
    desk: Desk,
    resource_id: str,
    action: Action,
    work: Callable[[Session, Actor, FormData], str],
) -> Response:
    """Do one thing; `work` gives the code of what to say. A refusal is said on the page itself."""
    person = await desk.person(request, action)
    form = await form_of(request)
    actor = person.actor()
    try:
        code = await desk.run(lambda session: work(session, actor, form))
    except Refused as error:
        notice = Notice(refusal(error, request), bad=True)
        return await _page(
            request, desk, person, resource_id, status=409, notice=notice, note=text(form, "note")
        )
    # Other processes hear of it from Redis; this one need not wait for that.
    request.app.state.forget_all()
    return RedirectResponse(with_done(f"/desk/library/{resource_id}", code), status_code=303)


# --- changing --------------------------------------------------------------------------------


def _edit(router: APIRouter, desk: Desk, parts: Parts) -> None:
    @router.get(_RECORD + "/edit")
    async def edit(request: Request, resource_id: str) -> Response:
        person = await desk.person(request, "resource.change")
        actor = person.actor()
        form = await desk.run(
            lambda session: library_forms.filled(service.get(session, actor, resource_id))
        )
        data = await form_data(desk, person, form)
        return desk.page(request, "library_form.html", data, person)

    @router.post(_RECORD + "/edit")
    async def edit_post(request: Request, resource_id: str) -> Response:
        person = await desk.person(request, "resource.change")
        form = await form_of(request)
        actor = person.actor()
        version = text(form, "version", 9)
        seen = int(version) if version.isascii() and version.isdecimal() else 0

        def work(session: Session) -> bool:
            kind = service.get(session, actor, resource_id).kind
            fields = library_forms.fields_of(form, kind)
            changed = service.change(session, actor, resource_id, fields, expect_version=seen)
            return changed.version != seen

        try:
            changed = await desk.run(work)
        except Refused as error:
            errors, general = blame(error, request)

            def again(session: Session) -> Resource:
                return service.get(session, actor, resource_id)

            now = await desk.run(again)
            shown = library_forms.typed(
                form, now.kind, errors, general=general, record_id=resource_id,
                # What they typed stands over what another wrote meanwhile: saving once more is
                # their word, said after they were told.
                title=now.title, version=now.version,
            )  # fmt: skip
            data = await form_data(desk, person, shown)
            return desk.page(request, "library_form.html", data, person, status=422)
        code = "saved" if changed else "same"
        return RedirectResponse(with_done(f"/desk/library/{resource_id}", code), status_code=303)

    @router.post(_RECORD + "/file")
    async def file(request: Request, resource_id: str) -> Response:
        person = await desk.person(request, "resource.change")
        actor = person.actor()
        kind = await desk.run(lambda session: service.get(session, actor, resource_id).kind)
        code = "nothing"
        try:
            async with files_of(request) as form:
                sent = uploads(form, "files")
                media = await keep(parts, kind, sent[0]) if sent else None
            if media is not None:
                await desk.run(lambda session: service.attach(session, actor, resource_id, media))
                code = "filed"
        except Refused as error:
            notice = Notice(refusal(error, request), bad=True)
            return await _page(request, desk, person, resource_id, status=422, notice=notice)
        return RedirectResponse(with_done(f"/desk/library/{resource_id}", code), status_code=303)


# --- 三审三校 -----------------------------------------------------------------------------------


def _decide(router: APIRouter, desk: Desk) -> None:
    @router.post(_RECORD + "/submit")
    async def submit(request: Request, resource_id: str) -> Response:
        def work(session: Session, actor: Actor, form: FormData) -> str:
            review.submit(session, actor, resource_id)
            return "submitted"

        return await _act(request, desk, resource_id, "resource.change", work)

    @router.post(_RECORD + "/decision")
    async def decision(request: Request, resource_id: str) -> Response:
        def work(session: Session, actor: Actor, form: FormData) -> str:
            step = text(form, "step", 1)
            approve = text(form, "decision") == "approve"
            found = review.decide(
                session,
                actor,
                resource_id,
                int(step) if step in ("1", "2", "3") else 0,
                "approve" if approve else "return",
                text(form, "seen", 64),
                text(form, "note", 500),
            )
            if found.state == "published":
                return "published"
            return "approved" if approve else "returned"

        return await _act(request, desk, resource_id, "review.decide", work)


# --- out of sight and back -------------------------------------------------------------------


def _sight(router: APIRouter, desk: Desk) -> None:
    @router.post(_RECORD + "/withdraw")
    async def withdraw(request: Request, resource_id: str) -> Response:
        def work(session: Session, actor: Actor, form: FormData) -> str:
            service.withdraw(session, actor, resource_id, text(form, "why"))
            return "withdrawn"

        return await _act(request, desk, resource_id, "resource.withdraw", work)

    @router.post(_RECORD + "/restore")
    async def restore(request: Request, resource_id: str) -> Response:
        def work(session: Session, actor: Actor, form: FormData) -> str:
            service.restore(session, actor, resource_id)
            return "restored"

        return await _act(request, desk, resource_id, "resource.withdraw", work)

    @router.post(_RECORD + "/takedown")
    async def down(request: Request, resource_id: str) -> Response:
        def work(session: Session, actor: Actor, form: FormData) -> str:
            what = _whole(service.get(session, actor, resource_id))
            takedown.take_down(session, actor, **what, why=text(form, "why"))
            return "down"

        return await _act(request, desk, resource_id, "takedown", work)

    @router.post(_RECORD + "/put-back")
    async def up(request: Request, resource_id: str) -> Response:
        def work(session: Session, actor: Actor, form: FormData) -> str:
            what = _whole(service.get(session, actor, resource_id))
            takedown.put_back(session, actor, **what)
            return "up"

        return await _act(request, desk, resource_id, "takedown", work)


def _broadcast_sight(router: APIRouter, desk: Desk) -> None:
    """The same from a broadcast's own screen: on air there is no record of it yet."""

    async def act(request: Request, broadcast_id: str, *, down: bool) -> Response:
        person = await desk.person(request, "takedown")
        form = await form_of(request)
        actor, why = person.actor(), text(form, "why")

        def work(session: Session) -> None:
            if down:
                takedown.take_down(session, actor, broadcast_id=broadcast_id, why=why)
            else:
                takedown.put_back(session, actor, broadcast_id=broadcast_id)

        # What is refused (no reason given, down already) leaves the screen as it is.
        with suppress(Refused):
            await desk.run(work)
        request.app.state.forget_all()
        return RedirectResponse(f"/desk/b/{broadcast_id}", status_code=303)

    @router.post("/desk/b/{broadcast_id}/takedown")
    async def down(request: Request, broadcast_id: str) -> Response:
        return await act(request, broadcast_id, down=True)

    @router.post("/desk/b/{broadcast_id}/put-back")
    async def up(request: Request, broadcast_id: str) -> Response:
        return await act(request, broadcast_id, down=False)


class _What(TypedDict, total=False):
    broadcast_id: str
    work_id: str
    resource_id: str


def _whole(resource: Resource) -> _What:
    """What goes off the air with a record: a recording's whole broadcast, a clip alone."""
    if resource.kind == "finished" and resource.broadcast_id:
        return {"broadcast_id": resource.broadcast_id}
    if resource.work_id:
        return {"work_id": resource.work_id}
    return {"resource_id": resource.id}


# --- lessons ---------------------------------------------------------------------------------


def _order(router: APIRouter, desk: Desk) -> None:
    @router.post(_RECORD + "/order")
    async def order(request: Request, resource_id: str) -> Response:
        def work(session: Session, actor: Actor, form: FormData) -> str:
            parent = service.get(session, actor, resource_id)
            kids = [kid.id for kid in service.children(session, actor, parent.id)]
            child = text(form, "child", 32)
            if child not in kids:
                raise NotFound
            at = kids.index(child)
            to = at + (-1 if text(form, "move") == "up" else 1)
            if 0 <= to < len(kids):
                kids[at], kids[to] = kids[to], kids[at]
            for position, key in enumerate(kids, start=1):
                service.change(session, actor, key, {"position": position})
            return "moved"

        return await _act(request, desk, resource_id, "resource.change", work)
