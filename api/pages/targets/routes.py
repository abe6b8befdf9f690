"""指标: the table, one centre, one number with its rows, values entered by hand, 今年还欠."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from anyio import to_thread
from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from api.pages.backend import Backend, Person
from api.pages.library.desk import files_of, form_of, text, with_done
from api.pages.render import Renderer
from api.pages.targets import data
from api.pages.targets.desk import (
    EVIDENCE_TYPES,
    Figures,
    evidence_type,
    hand_out,
    now,
    refused,
    see,
    taken,
)
from api.pages.targets.view import URGENCY, Asked, line_path
from api.pages.view import FormErrors
from api.rights import may
from catalog.errors import Missing, Refused
from catalog.models import Centre, Entry
from catalog.plans.entries import set_entry, withdraw_entry
from catalog.plans.service import get_plan
from infra.ids import public_id

_FIELDS: Final = {
    "entry_value": "value",
    "entry_evidence": "note",
    "entry_period": "period",
    "file_too_large": "file",
    "file_kind": "file",
}
_YEARS: Final = range(2000, 2201)


def targets_router(backend: Backend, renderer: Renderer) -> APIRouter:
    """Every page under /desk/targets, and /desk/owed."""
    router = APIRouter(include_in_schema=False)
    desk = Figures(backend, renderer)
    _tables(router, desk)
    _numbers(router, desk)
    return router


def year_of(text: str) -> int | None:
    """A year of a query string; anything that is none counts as not asked."""
    return int(text) if text.isascii() and text.isdecimal() and int(text) in _YEARS else None


def _day(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text)
    except ValueError:
        return None


def _tables(router: APIRouter, desk: Figures) -> None:
    @router.get("/desk/targets")
    async def table(
        request: Request, plan: str = "", year: str = "", by: str = "", show: str = ""
    ) -> Response:
        person = await desk.person(request, "plan.see")
        asked = Asked(plan, year_of(year), _day(by), show if show in URGENCY else "")
        view = await desk.run(lambda s: data.matrix_page(s, person.actor(), asked, now()))
        shown = {"m": view, "can_plan": may(person.role, "plan.change")}
        return desk.show(request, "targets.html", person, shown)

    @router.get("/desk/targets/trend")
    async def trend(request: Request, plan: str = "", year: str = "") -> Response:
        person = await desk.person(request, "plan.see")
        view = await desk.run(
            lambda s: data.trend_page(s, person.actor(), plan, year_of(year), now())
        )
        part = bool(request.headers.get("hx-request"))
        template = "parts/trend.html" if part else "targets_trend.html"
        return desk.show(request, template, person, {"trend": view})

    @router.get("/desk/owed")
    async def owed(request: Request) -> Response:
        person = await desk.person(request, "plan.see")
        plans = await desk.run(lambda s: data.owed_page(s, person.actor(), now()))
        shown = {"plans": plans, "can_plan": may(person.role, "plan.change")}
        return desk.show(request, "targets_owed.html", person, shown)

    @router.get("/desk/targets/{plan_id}/{centre_id}")
    async def centre(request: Request, plan_id: str, centre_id: str, year: str = "") -> Response:
        person = await desk.person(request, "plan.see")
        view = await desk.run(
            lambda s: data.centre_page(s, person.actor(), plan_id, centre_id, year_of(year), now())
        )
        return desk.show(request, "targets_centre.html", person, {"c": view})


def _numbers(router: APIRouter, desk: Figures) -> None:
    async def page(
        request: Request,
        person: Person,
        place: tuple[str, str, str],
        year: int | None,
        total: bool = False,
        **shown: Any,
    ) -> Response:
        view = await desk.run(
            lambda s: data.number_page(s, person.actor(), *place, year=year, total=total, now=now())
        )
        path = line_path(*place, year=year)
        shown = {
            "n": view,
            "back": f"/desk/targets/{view.plan.id}/{view.centre_id}?year={view.year}",
            "enter_path": f"{path.partition('?')[0]}/entries?year={view.year}",
            "form": {},
            "errors": FormErrors(),
            "accept": ",".join(EVIDENCE_TYPES),
            **shown,
        }
        status = shown.pop("status", 200)
        return desk.show(request, "targets_number.html", person, shown, status)

    @router.get("/desk/targets/{plan_id}/{centre_id}/{code}")
    async def number(
        request: Request,
        plan_id: str,
        centre_id: str,
        code: str,
        year: str = "",
        of: str = "",
    ) -> Response:
        person = await desk.person(request, "plan.see")
        place = (plan_id, centre_id, code)
        return await page(request, person, place, year_of(year), of == "total")

    @router.post("/desk/targets/{plan_id}/{centre_id}/{code}/entries")
    async def enter(
        request: Request, plan_id: str, centre_id: str, code: str, year: str = ""
    ) -> Response:
        person = await desk.person(request, "entry.set")
        asked = year_of(year)
        answer: Any = None
        async with files_of(request) as form:
            typed = {name: text(form, name) for name in ("value", "period", "note", "link")}
            try:
                amount = _amount(typed["value"])
                proofs = _proofs(typed["note"], typed["link"]) + await _kept(desk, form)
            except Refused as error:
                answer = refused(error, request, _FIELDS)
        if answer is None:

            def work(session: Session) -> None:
                actor = person.actor()
                plan = get_plan(session, actor, plan_id)
                centre = data.centre_in(session, actor, plan, centre_id)
                set_entry(
                    session, actor, plan, centre, code, amount,
                    year=asked, period=typed["period"], evidence=proofs,
                )  # fmt: skip

            answer = await desk.form(request, work, _FIELDS)
        place = (plan_id, centre_id, code)
        if isinstance(answer, FormErrors):
            return await page(request, person, place, asked, form=typed, errors=answer, status=422)
        return see(with_done(line_path(*place, year=asked), "kept"))

    @router.post("/desk/targets/{plan_id}/{centre_id}/{code}/entries/{entry_id}/withdraw")
    async def take_back(
        request: Request, plan_id: str, centre_id: str, code: str, entry_id: int, year: str = ""
    ) -> Response:
        person = await desk.person(request, "entry.set")
        await form_of(request)

        def work(session: Session) -> None:
            actor = person.actor()
            plan = get_plan(session, actor, plan_id)
            data.centre_in(session, actor, plan, centre_id)
            withdraw_entry(session, actor, plan, entry_id)

        place, asked = (plan_id, centre_id, code), year_of(year)
        answer = await desk.form(request, work, {})
        if isinstance(answer, FormErrors):
            return await page(request, person, place, asked, errors=answer, status=409)
        return see(with_done(line_path(*place, year=asked), "back"))

    @router.get("/desk/evidence/{entry_id}/{number}")
    async def evidence(request: Request, entry_id: int, number: int) -> Response:
        person = await desk.person(request, "plan.see")

        def work(session: Session) -> tuple[str, str]:
            entry = session.get(Entry, entry_id) if 0 < entry_id < 2**63 else None
            if entry is None or not 0 <= number < len(entry.evidence):
                raise Missing("not_found")
            plan = get_plan(session, person.actor(), entry.plan_id)
            centre = session.get_one(Centre, entry.centre_id)
            data.centre_in(session, person.actor(), plan, centre.id)
            proof = entry.evidence[number]
            if proof["kind"] != "file":
                raise Missing("not_found")
            return proof["key"], proof.get("text", "")

        key, name = await desk.run(work)
        return hand_out(desk.backend.parts.storage, key, name)


def _amount(text: str) -> Decimal:
    """A number as people type it: full-width digits and thousands' commas too."""
    plain = text.strip().replace(",", "").replace("，", "").replace("．", ".")
    try:
        value = Decimal(plain)
    except InvalidOperation:
        raise Refused("entry_value") from None
    if not value.is_finite():
        raise Refused("entry_value")
    return value


def _proofs(note: str, link: str) -> list[dict[str, Any]]:
    made = [{"kind": "note", "text": note.strip()}] if note.strip() else []
    return made + ([{"kind": "link", "text": link.strip()}] if link.strip() else [])


async def _kept(desk: Figures, form: FormData) -> list[dict[str, Any]]:
    """The file handed in, in storage before any row names it."""
    found = await taken(form, "file")
    if found is None:
        return []
    name, content = found
    key = f"evidence/{public_id()}{evidence_type(name)}"
    await to_thread.run_sync(desk.backend.parts.storage.put_bytes, key, content)
    return [{"kind": "file", "text": name, "key": key}]
