"""An exhibition as staff hang it: the order of its pictures, more of them, which ones count; sent
to the reviewers together, and approved by them together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from api.pages.backend import Person
from api.pages.library.cards import file_url
from api.pages.library.desk import Desk, Notice, form_of, refusal, say, text, texts
from api.rights import Action, may
from catalog import exhibitions
from catalog.audit import Actor
from catalog.errors import Refused
from catalog.exhibitions import Reviewed, Seen
from catalog.models import Resource
from catalog.records import kinds, service
from catalog.records.service import children

_PAGE: Final = "/desk/exhibitions/{resource_id}"
DONE: Final = {
    "ordered": "顺序排好了。",
    "same": "顺序没有变。",
    "confirmed": "{n} 幅已经确认，会计入展览图片数。",
    "nothing": "没有选中还没确认的图片。",
    "submitted": "{n} 幅已经送去初审。",
    "approved": "{n} 幅审核通过了。",
    "none_picked": "没有选中要通过的图片，什么都没有改。",
}
_BAD: Final = ("nothing", "none_picked")
_WHY_MOST: Final = 5
"""Pictures that are named one by one when a word on many could not be said of them."""


@dataclass(frozen=True)
class Hung:
    """A picture on the wall."""

    id: str
    title: str
    state: str
    confirmed: bool
    small_url: str | None
    href: str
    draft: bool
    seen: str
    """What a reviewer says yes to: ``id:step:hash``; "" where it does not wait for them."""


@dataclass(frozen=True)
class Wall:
    id: str
    title: str
    published: bool
    pictures: tuple[Hung, ...]
    may_change: bool
    may_confirm: bool
    may_upload: bool

    @property
    def drafts(self) -> tuple[Hung, ...]:
        return tuple(picture for picture in self.pictures if picture.draft)

    @property
    def waiting(self) -> tuple[Hung, ...]:
        """Those that wait for this reviewer."""
        return tuple(picture for picture in self.pictures if picture.seen)


def _wall(session: Session, actor: Actor, resource_id: str) -> Wall:
    found = exhibitions.exhibition(session, actor, resource_id)
    there = children(session, actor, found.id)
    judges = may(actor.role, "review.decide")
    seen = exhibitions.to_review(session, actor, there) if judges else {}
    return Wall(
        id=found.id,
        title=found.title,
        published=found.state == "published",
        pictures=tuple(_hung(row, seen.get(row.id)) for row in there),
        may_change=may(actor.role, "resource.change"),
        may_confirm=may(actor.role, "still.confirm"),
        may_upload=may(actor.role, "upload.make"),
    )


def _hung(row: Resource, seen: Seen | None) -> Hung:
    return Hung(
        id=row.id,
        title=row.title,
        state="" if row.state == "published" else kinds.STATES[row.state],
        confirmed=row.confirmed_at is not None,
        small_url=file_url(row, small=True),
        href=f"/desk/library/{row.id}",
        draft=row.state == "draft",
        seen=f"{row.id}:{seen.step}:{seen.hash}" if seen else "",
    )


def exhibition_routes(router: APIRouter, desk: Desk) -> None:
    @router.get(_PAGE)
    async def show(request: Request, resource_id: str) -> Response:
        person = await desk.person(request, "resource.see")
        return await _page(request, desk, person, resource_id)

    @router.post(_PAGE + "/order")
    async def order(request: Request, resource_id: str) -> Response:
        def work(session: Session, actor: Actor, form: FormData) -> tuple[str, int]:
            there = [row.id for row in children(session, actor, resource_id)]
            key, _, where = text(form, "move", 64).partition(":")
            if where:
                wanted = exhibitions.moved(there, key, where)
            else:
                wanted = exhibitions.by_numbers(there, _numbers(form))
            done = exhibitions.set_order(session, actor, resource_id, wanted)
            return ("ordered" if done else "same"), done

        return await _act(request, desk, resource_id, "resource.change", work)

    @router.post(_PAGE + "/confirm")
    async def confirm(request: Request, resource_id: str) -> Response:
        def work(session: Session, actor: Actor, form: FormData) -> tuple[str, int]:
            done = exhibitions.confirm(session, actor, resource_id, texts(form, "id"))
            return ("confirmed" if done else "nothing"), done

        return await _act(request, desk, resource_id, "still.confirm", work)

    @router.post(_PAGE + "/submit")
    async def submit(request: Request, resource_id: str) -> Response:
        def work(session: Session, actor: Actor, form: FormData) -> tuple[str, int]:
            done = exhibitions.submit(session, actor, resource_id, texts(form, "id"))
            return ("submitted" if done else "same"), done

        return await _act(request, desk, resource_id, "resource.change", work)

    @router.post(_PAGE + "/approve")
    async def approve(request: Request, resource_id: str) -> Response:
        person = await desk.person(request, "review.decide")
        seen = _seen(await form_of(request, service.BULK_MAX + 10))
        actor = person.actor()
        found = await desk.run(
            lambda session: exhibitions.approve(session, actor, resource_id, seen)
        )
        if found.published:
            # Other processes hear of it from Redis; this one need not wait for that.
            request.app.state.forget_all()
        if found.refused:
            told = Notice(_not_all(request, found), bad=True)
            return await _page(request, desk, person, resource_id, 409, notice=told)
        code = "approved" if found.done else "none_picked"
        return RedirectResponse(_done(resource_id, code, found.done), status_code=303)


async def _page(
    request: Request, desk: Desk, person: Person, resource_id: str, status: int = 200, **more: Any
) -> Response:
    actor = person.actor()
    wall = await desk.run(lambda session: _wall(session, actor, resource_id))
    shown = {"w": wall, "notice": _told(request), **more}
    return desk.page(request, "stills/exhibition.html", shown, person, status=status)


async def _act(
    request: Request,
    desk: Desk,
    resource_id: str,
    action: Action,
    work: Callable[[Session, Actor, FormData], tuple[str, int]],
) -> Response:
    person = await desk.person(request, action)
    # A number, or an id, for each picture.
    form = await form_of(request, service.BULK_MAX + 10)
    actor = person.actor()
    try:
        code, number = await desk.run(lambda session: work(session, actor, form))
    except Refused as error:
        told = Notice(refusal(error, request), bad=True)
        return await _page(request, desk, person, resource_id, 409, notice=told)
    return RedirectResponse(_done(resource_id, code, number), status_code=303)


def _done(resource_id: str, code: str, number: int) -> str:
    return f"/desk/exhibitions/{resource_id}?done={code}&n={number}"


def _seen(form: FormData) -> dict[str, Seen]:
    """The pictures that were ticked; what is none of our own boxes says nothing."""
    found = {}
    for word in texts(form, "seen"):
        key, _, rest = word.partition(":")
        step, _, digest = rest.partition(":")
        if step in ("1", "2", "3"):
            found[key[:32]] = Seen(int(step), digest[:64])
    return found


def _not_all(request: Request, found: Reviewed) -> str:
    """What was done, and why the rest was not."""
    tell = say(request)
    first = [
        tell("“{title}”：{why}").format(title=title, why=refusal(error, request))
        for title, error in found.refused[:_WHY_MOST]
    ]
    done = tell("{n} 幅审核通过了，{m} 幅没有。").format(n=found.done, m=len(found.refused))
    return " ".join([done, *first])


def _numbers(form: FormData) -> dict[str, int]:
    """The numbers written beside the pictures; what is no number says nothing."""
    found = {}
    for name, value in form.items():
        if name.startswith("place-") and isinstance(value, str):
            digits = value.strip()
            if digits.isascii() and digits.isdecimal() and len(digits) < 7:
                found[name.removeprefix("place-")] = int(digits)
    return found


def _told(request: Request) -> Notice | None:
    code, number = request.query_params.get("done", ""), request.query_params.get("n", "0")
    if code not in DONE:
        return None
    count = int(number) if number.isascii() and number.isdecimal() and len(number) < 5 else 0
    return Notice(say(request)(DONE[code]).format(n=count), bad=code in _BAD)
