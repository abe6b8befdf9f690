"""The marks at the live desk (打点): one press says that the next act begins."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from api.acts import stage_tick
from api.pages.acts import data
from api.pages.acts.view import MarksView
from api.pages.library.desk import Desk, form_of, refusal, text
from api.rights import may
from catalog import acts as catalog_acts
from catalog.acts import find_programme
from catalog.errors import Refused

_MARKS: Final = "/desk/programmes/{programme_id}/marks"


def mark_routes(router: APIRouter, desk: Desk) -> None:
    """Pressing, taking back, and the part of the live desk that shows both."""

    async def answer(request: Request, programme_id: str, person: Any, **more: Any) -> Response:
        actor = person.actor()

        def work(session: Session) -> tuple[MarksView, str]:
            found = find_programme(session, actor, programme_id)
            able = may(person.role, "act.change")
            return data.marks_view(session, found, may=able), data.head(found).back

        view, back = await desk.run(work)
        if not request.headers.get("hx-request"):
            return RedirectResponse(f"{back}#marks", status_code=303)
        return desk.page(request, "acts/marks.html", {"m": replace(view, **more)}, person)

    @router.get(_MARKS)
    async def listing(request: Request, programme_id: str) -> Response:
        person = await desk.person(request, "broadcast.see")
        return await answer(request, programme_id, person)

    @router.post(_MARKS)
    async def press(request: Request, programme_id: str) -> Response:
        person = await desk.person(request, "act.change")
        form = await form_of(request)
        actor = person.actor()

        def work(session: Session) -> Any:
            found = find_programme(session, actor, programme_id)
            at = stage_tick(session, found)
            names = {str(e.id): e.title for e in catalog_acts.programme(session, found.token)}
            label = names.get(text(form, "entry", 20), "")
            return data.described(catalog_acts.add_mark(session, actor, found.token, at, label))

        try:
            pressed = await desk.run(work)
        except Refused as error:
            return await answer(request, programme_id, person, error=refusal(error, request))
        return await answer(request, programme_id, person, pressed=pressed)

    @router.post(_MARKS + "/{mark_id}/remove")
    async def take_back(request: Request, programme_id: str, mark_id: int) -> Response:
        person = await desk.person(request, "act.change")
        await form_of(request)
        actor = person.actor()

        def work(session: Session) -> None:
            found = find_programme(session, actor, programme_id)
            catalog_acts.remove_mark(session, actor, found.token, mark_id)

        await desk.run(work)
        return await answer(request, programme_id, person)
