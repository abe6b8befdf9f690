"""时长账: one page, asked in many ways; every number on it leads to its rows."""

from __future__ import annotations

from typing import cast

from fastapi import APIRouter, Request
from fastapi.responses import Response

from api.pages.backend import Backend
from api.pages.render import Renderer
from api.pages.targets.desk import Figures, now
from api.pages.targets.minutes_data import BYS, LEDGERS, By, MinutesAsked, minutes_page
from api.pages.targets.routes import year_of
from catalog.clock import china_date


def minutes_router(backend: Backend, renderer: Renderer) -> APIRouter:
    """GET /desk/minutes."""
    router = APIRouter(include_in_schema=False)
    desk = Figures(backend, renderer)

    @router.get("/desk/minutes")
    async def minutes(
        request: Request,
        year: str = "",
        by: str = "",
        centre: str = "",
        month: str = "",
        what: str = "",
        row: str = "",
    ) -> Response:
        person = await desk.person(request, "minutes.export")
        at = now()
        asked = MinutesAsked(
            year=year_of(year) or china_date(at).year,
            by=cast("By", by if by in BYS else "broadcast"),
            centre=centre,
            month=int(month) if month in {str(m) for m in range(1, 13)} else 0,
            what=what if what in LEDGERS else "",
            row=row,
        )
        view = await desk.run(lambda s: minutes_page(s, person.actor(), asked, at))
        return desk.show(request, "minutes.html", person, {"m": view})

    return router
