"""Pages around the records: what waits for review, the audit log, webhooks and packages."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from api import jobs
from api.pages import cards
from api.pages.backend import Person
from api.pages.library import admin as library_admin
from api.pages.library import data as library_data
from api.pages.library.desk import Desk, form_of, refusal, text, texts
from api.pages.view import NotAllowed, NotFound
from api.rights import may
from catalog.audit import Actor
from catalog.centres import get_centre
from catalog.errors import Refused
from catalog.sharing import hooks, packages
from catalog.sharing.webhooks import EVENTS

EVENT_NAMES = {
    "resource.created": "登记",
    "resource.changed": "修改",
    "resource.published": "发布",
    "resource.withdrawn": "撤下",
    "resource.restored": "恢复",
}
_SHARING = "/desk/sharing"


def admin_routes(router: APIRouter, desk: Desk) -> None:
    _review(router, desk)
    _audit(router, desk)
    _sharing(router, desk)
    _hooks(router, desk)
    _packages(router, desk)


def _review(router: APIRouter, desk: Desk) -> None:
    @router.get("/desk/review")
    async def queue(request: Request) -> Response:
        person = await desk.person(request)
        actor = person.actor()
        rows = await desk.run(lambda session: library_admin.waiting(session, actor))
        data = {"rows": rows, "judge": may(person.role, "review.decide")}
        return desk.page(request, "library_queue.html", data, person)


def _audit(router: APIRouter, desk: Desk) -> None:
    @router.get("/desk/audit")
    async def audit(request: Request, action: str = "", q: str = "", before: str = "") -> Response:
        person = await desk.person(request, "audit.see")
        actor = person.actor()
        start = (
            int(before) if before.isascii() and before.isdecimal() and len(before) < 19 else None
        )
        words = q.strip()[:100]
        rows, after = await desk.run(
            lambda session: library_admin.audit(
                session, actor, action=action, words=words, before=start
            )
        )
        data = {
            "rows": rows,
            "after": after,
            "action": action,
            "words": words,
            "actions": library_admin.actions(),
        }
        return desk.page(request, "library_audit.html", data, person)


# --- handing on ------------------------------------------------------------------------------


async def _sharing_page(
    request: Request, desk: Desk, person: Person, status: int = 200, **more: Any
) -> Response:
    actor = person.actor()
    manage = may(person.role, "webhook.manage")

    def work(session: Session) -> dict[str, Any]:
        now = dt.datetime.now(dt.UTC)
        listed = hooks.listed(session, actor) if manage else []
        made = jobs.listed(session, actor.centre_path, limit=200)
        return {
            "hooks": [
                {
                    "id": hook.id,
                    "url": hook.url,
                    "events": "、".join(EVENT_NAMES.get(e, e) for e in hook.events) or "全部",
                    "off": hook.disabled_at is not None,
                    "sent": [
                        {
                            "name": EVENT_NAMES.get(row.event, "测试"),
                            "state": row.state,
                            "at": row.done_at or row.created_at,
                            "tries": row.attempts,
                            "status": row.last_status,
                            "error": row.last_error,
                        }
                        for row in hooks.deliveries(session, actor, hook.id, 5)
                    ],
                }
                for hook in listed
            ],
            "packages": [cards.job_row(job, now) for job in made if job.kind == "package"][:20],
            "words": library_data.vocabulary(session, actor),
        }

    data = await desk.run(work)
    data |= {
        "manage": manage,
        "pack": may(person.role, "resource.package"),
        "events": EVENT_NAMES,
        "secret": None,
        "error": None,
        "typed": "",
        "year": dt.datetime.now(dt.UTC).year,
        **more,
    }
    return desk.page(request, "library_sharing.html", data, person, status=status)


def _sharing(router: APIRouter, desk: Desk) -> None:
    @router.get(_SHARING)
    async def sharing(request: Request) -> Response:
        person = await desk.person(request)
        if not (may(person.role, "webhook.manage") or may(person.role, "resource.package")):
            raise NotAllowed
        return await _sharing_page(request, desk, person)

    @router.get(f"{_SHARING}/packages/list")
    async def list_packages(request: Request) -> Response:
        person = await desk.person(request, "resource.package")
        actor = person.actor()

        def work(session: Session) -> list[Any]:
            now = dt.datetime.now(dt.UTC)
            made = jobs.listed(session, actor.centre_path, limit=200)
            return [cards.job_row(job, now) for job in made if job.kind == "package"][:20]

        data = {"packages": await desk.run(work)}
        return desk.page(request, "parts/library_packages.html", data, person)


def _hooks(router: APIRouter, desk: Desk) -> None:
    @router.post(f"{_SHARING}/webhooks")
    async def add(request: Request) -> Response:
        person = await desk.person(request, "webhook.manage")
        form = await form_of(request)
        actor = person.actor()
        url, events = text(form, "url", 2_000), texts(form, "events")

        def work(session: Session) -> str:
            centre = get_centre(session, text(form, "centre_id", 32) or person.centre_id or "")
            wanted = [] if set(events) >= set(EVENTS) else events
            return hooks.add(session, actor, centre=centre, url=url, events=wanted).secret

        try:
            secret = await desk.run(work)
        except Refused as error:
            return await _sharing_page(
                request, desk, person, 422, error=refusal(error, request), typed=url
            )
        # Shown this once: what signs our messages is not to stand on a page for passers-by.
        return await _sharing_page(request, desk, person, 201, secret=secret)

    @router.post(f"{_SHARING}/webhooks/{{hook_id}}/{{act}}")
    async def act(request: Request, hook_id: str, act: str) -> Response:
        person = await desk.person(request, "webhook.manage")
        await form_of(request)
        actor, now = person.actor(), dt.datetime.now(dt.UTC)
        acts: dict[str, Callable[[Session], Any]] = {
            "ping": lambda session: hooks.ping(session, actor, hook_id, now),
            "off": lambda session: hooks.change(session, actor, hook_id, enabled=False, now=now),
            "on": lambda session: hooks.change(session, actor, hook_id, enabled=True, now=now),
            "remove": lambda session: hooks.remove(session, actor, hook_id),
        }
        if act not in acts:
            raise NotFound
        try:
            await desk.run(acts[act])
        except Refused as error:
            return await _sharing_page(request, desk, person, 409, error=refusal(error, request))
        code = "ping" if act == "ping" else "hook"
        return RedirectResponse(f"{_SHARING}?done={code}", status_code=303)


def _packages(router: APIRouter, desk: Desk) -> None:
    @router.post(f"{_SHARING}/packages")
    async def pack(request: Request) -> Response:
        person = await desk.person(request, "resource.package")
        form = await form_of(request)
        actor: Actor = person.actor()
        ids = texts(form, "id")
        year = text(form, "year", 4)

        def work(session: Session) -> None:
            centre = get_centre(session, person.centre_id or "")
            if ids:
                packages.request_package(session, actor, centre=centre, resource_ids=ids)
            else:
                known = int(year) if year.isascii() and year.isdecimal() else 0
                packages.request_package(session, actor, centre=centre, year=known)

        try:
            await desk.run(work)
        except Refused as error:
            return await _sharing_page(request, desk, person, 422, error=refusal(error, request))
        return RedirectResponse(f"{_SHARING}?done=package#packages", status_code=303)
