"""The page of a programme's pictures: asking for proposals, and saying which ones are kept."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from api import jobs
from api.pages.backend import Backend, Person
from api.pages.library.desk import Desk, Notice, form_of, refusal, say, text, texts
from api.pages.render import Renderer
from api.pages.stills import data
from api.pages.stills.exhibition_routes import exhibition_routes
from api.rights import Action
from api.sentences import Problem
from catalog import stills
from catalog.audit import Actor, note
from catalog.errors import Refused
from catalog.programmes import Programme, find_programme
from vod.stills.service import COUNT, COUNT_MOST, latest_job, request_stills

_STILLS: Final = "/desk/programmes/{programme_id}/stills"
_MORE: Final = 12
_FIELDS_MAX: Final = 2 * (stills.PHOTOS_MOST + 1_000)
"""Each picture once as shown and once as picked: photographs, and proposals beside them."""
DONE: Final = {
    "confirmed": "{n} 张已经是图片了，会计入图片数。",
    "dismissed": "{n} 张不要了，以后不会再挑这样的画面。",
    "undone": "{n} 张放回去了。",
    "asked": "开始挑了，挑好会出现在这里；关掉这一页也会做完。",
    "stopped": "已经停下，没有挑新的。",
    "nothing": "还没有选中图片。点一下图片就选中了。",
}
"""What `?done=` may make the page say: a fixed list, so that no link puts words on our pages."""
_BAD: Final = ("nothing",)

Work = Callable[[Session, Actor, Programme, FormData], tuple[str, int]]


def stills_router(backend: Backend, renderer: Renderer) -> APIRouter:
    """Every page of stills, and the order of an exhibition."""
    router = APIRouter(include_in_schema=False)
    desk = Desk(backend, renderer)
    _show(router, desk)
    _search(router, desk)
    _answer(router, desk)
    exhibition_routes(router, desk)
    return router


async def _page(
    request: Request,
    desk: Desk,
    person: Person,
    programme_id: str,
    *,
    status: int = 200,
    **more: Any,
) -> Response:
    now = dt.datetime.now(dt.UTC)
    actor = person.actor()
    view = await desk.run(lambda session: data.stills_view(session, actor, programme_id, now))
    shown = {"s": view, "notice": _told(request), "more": _MORE, "first": COUNT, **more}
    return desk.page(request, "stills/grid.html", shown, person, status=status)


def _told(request: Request) -> Notice | None:
    code, number = request.query_params.get("done", ""), request.query_params.get("n", "0")
    if code not in DONE:
        return None
    count = int(number) if number.isascii() and number.isdecimal() and len(number) < 5 else 0
    return Notice(say(request)(DONE[code]).format(n=count), bad=code in _BAD)


def _show(router: APIRouter, desk: Desk) -> None:
    @router.get(_STILLS)
    async def show(request: Request, programme_id: str) -> Response:
        person = await desk.person(request, "broadcast.see")
        return await _page(request, desk, person, programme_id)

    @router.get(_STILLS + "/progress")
    async def progress(request: Request, programme_id: str) -> Response:
        person = await desk.person(request, "broadcast.see")
        now = dt.datetime.now(dt.UTC)
        actor = person.actor()
        view = await desk.run(lambda session: data.stills_view(session, actor, programme_id, now))
        response = desk.page(request, "stills/progress.html", {"s": view, "over": True}, person)
        # What somebody is choosing among is not taken away under their finger.
        if not view.searching and request.query_params.get("empty"):
            response.headers["hx-refresh"] = "true"
        return response


async def _act(
    request: Request, desk: Desk, programme_id: str, action: Action, work: Work
) -> Response:
    """Do one thing; a refusal is said on the page itself."""
    person = await desk.person(request, action)
    form = await form_of(request, _FIELDS_MAX)
    actor = person.actor()

    def run(session: Session) -> tuple[str, int]:
        return work(session, actor, find_programme(session, actor, programme_id), form)

    try:
        code, number = await desk.run(run)
    except Refused as error:
        told = Notice(refusal(error, request), bad=True)
        return await _page(request, desk, person, programme_id, status=409, notice=told)
    return RedirectResponse(
        f"/desk/programmes/{programme_id}/stills?done={code}&n={number}", status_code=303
    )


def _search(router: APIRouter, desk: Desk) -> None:
    @router.post(_STILLS + "/ask")
    async def ask(request: Request, programme_id: str) -> Response:
        def work(session: Session, actor: Actor, found: Programme, form: FormData) -> Any:
            waiting = stills.waiting(session, found.token)
            count = min(COUNT_MOST, waiting + _MORE if waiting else COUNT)
            request_stills(session, found.token, count=count, by=actor)
            return "asked", 0

        return await _act(request, desk, programme_id, "still.confirm", work)

    @router.post(_STILLS + "/stop")
    async def stop(request: Request, programme_id: str) -> Response:
        def work(session: Session, actor: Actor, found: Programme, form: FormData) -> Any:
            job = latest_job(session, found.token)
            if job is not None and job.state in data.OPEN:
                # It may end between the look and the cancelling: then there is nothing to stop.
                with suppress(Problem):
                    jobs.cancel(session, actor.centre_path, job.id)
                    note(session, actor, "job.cancel", "job", str(job.id), centre_id=job.centre_id)
            return "stopped", 0

        return await _act(request, desk, programme_id, "still.confirm", work)


def _answer(router: APIRouter, desk: Desk) -> None:
    parts = desk.backend.parts

    @router.post(_STILLS)
    async def answer(request: Request, programme_id: str) -> Response:
        base_url = parts.addresses().http

        def work(session: Session, actor: Actor, found: Programme, form: FormData) -> Any:
            keys, wish = texts(form, "key"), text(form, "do", 20)
            if wish == "rest":
                # All that waits, as the page showed it: what came since is not theirs to refuse.
                keys, wish = texts(form, "shown"), "dismiss"
            if not keys:
                return "nothing", 0
            # A photographer's five hundred are one press: all of them, or none.
            done = 0
            for first in range(0, len(keys), stills.AT_ONCE):
                some = keys[first : first + stills.AT_ONCE]
                if wish == "dismiss":
                    done += stills.dismiss(session, actor, found, some)
                elif wish == "undo":
                    done += stills.undo(session, actor, found, some)
                else:
                    made = stills.confirm(
                        session, parts.storage, actor, found, some, base_url=base_url
                    )
                    done += len(made)
            return {"dismiss": "dismissed", "undo": "undone"}.get(wish, "confirmed"), done

        return await _act(request, desk, programme_id, "still.confirm", work)
