"""What other platforms count of a broadcast or a work: readings with their evidence, and the form
that enters one."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, File, Form, Request, UploadFile
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from api.outside import keep_screenshot
from api.pages.backend import Backend, Person
from api.pages.guard import same_origin, staff
from api.pages.render import Renderer
from api.pages.view import FormErrors, NotAllowed, NotFound
from api.pages.watching import path_of
from api.rights import may
from api.sentences import sentence
from catalog import outside
from catalog.errors import Missing, Refused
from catalog.models import Broadcast, OutsideCount, Work

PLATFORMS: Final = (
    "微信视频号", "抖音", "快手", "哔哩哔哩", "国家公共文化云", "云南公共文化云", "云上文化馆",
)  # fmt: skip
"""Suggested; any other name may be typed."""
_FIELD_OF: Final = {
    "outside_platform": "platform",
    "outside_clicks": "clicks",
    "outside_future": "seen_at",
    "outside_seen": "seen_at",
    "outside_link": "link",
    "outside_evidence": "link",
    "outside_picture": "screenshot",
}


@dataclass(frozen=True)
class OutsideView:
    """An item with its readings, the latest first."""

    id: str
    title: str
    back: str
    readings: tuple[OutsideCount, ...]
    total: int
    """By the latest reading of each platform."""


def outside_router(backend: Backend) -> APIRouter:
    """The pages under /desk/items/{id}/outside."""
    renderer = Renderer(backend.config)
    router = APIRouter(include_in_schema=False)

    async def page(
        request: Request,
        user: Person,
        item_id: str,
        form: dict[str, str] | None = None,
        errors: FormErrors | None = None,
    ) -> Response:
        now = dt.datetime.now(renderer.zone).strftime("%Y-%m-%dT%H:%M")
        data = {
            "item": await backend.run(lambda session: _view(session, user, item_id)),
            "platforms": PLATFORMS,
            "form": form or {"seen_at": now},
            "errors": errors or FormErrors(),
            "may_enter": may(user.role, "outside.enter"),
        }
        status = 422 if errors else 200
        return renderer.page(
            request, "outside/readings.html", data, user=user, status=status, private=True
        )

    @router.get("/desk/items/{item_id}/outside")
    async def readings(request: Request, item_id: str) -> Response:
        return await page(request, await _person(request, backend), item_id)

    @router.post("/desk/items/{item_id}/outside")
    async def enter(
        request: Request,
        item_id: str,
        platform: Annotated[str, Form()] = "",
        clicks: Annotated[str, Form()] = "",
        seen_at: Annotated[str, Form()] = "",
        link: Annotated[str, Form()] = "",
        screenshot: Annotated[UploadFile | None, File()] = None,
    ) -> Response:
        same_origin(request)
        user = await _person(request, backend)
        if not may(user.role, "outside.enter"):
            raise NotAllowed

        def work(session: Session) -> None:
            outside.item_centre(session, item_id, user.centre_path)
            outside.enter(
                session,
                user.actor(),
                item_id,
                platform=platform,
                clicks=_count(clicks),
                seen_at=_when(seen_at, renderer),
                now=dt.datetime.now(dt.UTC),
                link=link,
                screenshot_key=keep_screenshot(backend.parts.storage, screenshot),
            )

        try:
            await backend.run(work)
        except Missing as error:
            raise NotFound from error
        except Refused as error:
            text = sentence(error.code, error.facts)
            form = {"platform": platform, "clicks": clicks, "seen_at": seen_at, "link": link}
            errors = FormErrors({_FIELD_OF.get(error.code, "platform"): text})
            return await page(request, user, item_id, form, errors)
        return RedirectResponse(f"/desk/items/{item_id}/outside", status_code=303)

    return router


async def _person(request: Request, backend: Backend) -> Person:
    user = await staff(request, backend)
    assert isinstance(user, Person)
    if not may(user.role, "quality.see"):
        raise NotAllowed
    return user


def _view(session: Session, user: Person, item_id: str) -> OutsideView:
    try:
        outside.item_centre(session, item_id, user.centre_path)
    except Missing as error:
        raise NotFound from error
    found = session.get(Broadcast, item_id) or session.get_one(Work, item_id)
    return OutsideView(
        id=item_id,
        title=found.title,
        back=f"/desk/b/{item_id}" if isinstance(found, Broadcast) else path_of(found),
        readings=tuple(outside.readings(session, item_id)),
        total=outside.outside_clicks(session, [item_id])[item_id],
    )


def _count(text: str) -> int:
    digits = text.strip().replace(",", "").replace("，", "")
    # -1 is refused with the sentence for what is no count.
    return int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 14 else -1


def _when(text: str, renderer: Renderer) -> dt.datetime:
    try:
        return dt.datetime.fromisoformat(text).replace(tzinfo=renderer.zone)
    except ValueError:
        raise Refused("outside_seen") from None
