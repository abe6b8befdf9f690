"""The 资源库's list, and what is done from it: search, many at once, sheets, 门类, a new record."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial
from typing import Any, BinaryIO, Final

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from sqlalchemy.orm import Session
from starlette.datastructures import FormData, QueryParams

from api.downloads import XLSX, attachment, written
from api.pages.backend import Backend, Person
from api.pages.library import data as library_data
from api.pages.library import forms as library_forms
from api.pages.library.admin_routes import admin_routes
from api.pages.library.ask import Ask, ask_of
from api.pages.library.desk import (
    Desk,
    back_to,
    files_of,
    form_of,
    refusal,
    say,
    text,
    texts,
    uploads,
    with_done,
)
from api.pages.library.fill import blame, form_data, keep
from api.pages.library.public_routes import public_routes
from api.pages.library.record_routes import record_routes
from api.pages.library.view import FormView
from api.pages.render import Renderer
from api.pages.view import NotFound
from api.parts import Parts
from api.rights import may
from api.sentences import sentence
from catalog.centres import get_centre
from catalog.clock import china_date
from catalog.errors import Refused
from catalog.records import kinds, review, service, sheets
from catalog.records.genres import add_genre, genres, retire_genre
from catalog.records.reach import contract_of
from catalog.search.suggest import suggest

FILES_MAX: Final = 40
"""Pictures of an exhibition sent at once."""


def library_router(backend: Backend) -> APIRouter:
    """Every page of the 资源库, for staff and for anyone."""
    router = APIRouter(include_in_schema=False)
    desk, parts = Desk(backend, Renderer(backend.config)), backend.parts
    _list(router, desk)
    _many(router, desk)
    _sheets(router, desk, parts)
    _genres(router, desk)
    _new(router, desk, parts)
    admin_routes(router, desk)
    record_routes(router, desk, parts)
    public_routes(router, desk, parts)
    return router


# --- the list --------------------------------------------------------------------------------


def _can(person: Person) -> dict[str, bool]:
    change = may(person.role, "resource.change")
    package = may(person.role, "resource.package")
    return {
        "change": change,
        "package": package,
        "pick": change or package,
        "genres": may(person.role, "genre.change"),
        "sharing": package or may(person.role, "webhook.manage"),
        "audit": may(person.role, "audit.see"),
    }


async def _list_page(
    request: Request, desk: Desk, person: Person, ask: Ask, *, status: int = 200, **more: Any
) -> Response:
    actor = person.actor()

    def work(session: Session) -> dict[str, Any]:
        return {
            "listing": library_data.listing(session, ask, actor),
            "words": library_data.vocabulary(session, actor),
        }

    data = await desk.run(work)
    data |= {"can": _can(person), "refused": (), **more}
    return desk.page(request, "library.html", data, person, status=status)


def _list(router: APIRouter, desk: Desk) -> None:
    @router.get("/desk/library")
    async def listing(request: Request) -> Response:
        person = await desk.person(request)
        return await _list_page(
            request, desk, person, ask_of(request.query_params, "/desk/library")
        )

    @router.get("/desk/library/suggest")
    async def suggestions(request: Request, q: str = "") -> Response:
        person = await desk.person(request)
        actor = person.actor()

        def work(session: Session) -> list[str]:
            return suggest(
                session,
                q[:40],
                centre_path=actor.centre_path,
                public_only=False,
                contract=contract_of(actor.role, actor.contract),
            )

        return JSONResponse(await desk.run(work))


def _many(router: APIRouter, desk: Desk) -> None:
    @router.post("/desk/library/bulk")
    async def many(request: Request) -> Response:
        person = await desk.person(request, "resource.change")
        form = await form_of(request)
        ids = texts(form, "id")
        back = back_to(text(form, "back"))
        if not ids:
            return RedirectResponse(with_done(back, "nothing"), status_code=303)
        act = _submit if text(form, "do") == "submit" else _change
        actor = person.actor()

        def work(session: Session) -> tuple[int, list[dict[str, str]]]:
            changed, refused = act(session, actor, ids, form)
            names = library_data.titles(session, [key for key, _ in refused])
            return changed, [
                {"id": key, "title": names.get(key, key), "why": sentence(code, {})}
                for key, code in refused
            ]

        say_ = say(request)
        try:
            changed, refused = await desk.run(work)
            told = say_("改好了 {n} 件。") if act is _change else say_("送审了 {n} 件。")
            notice = {"text": told.format(n=changed), "bad": False}
        except Refused as error:
            refused, notice = [], {"text": refusal(error, request), "bad": True}
        params = _params(back)
        ask = ask_of(params, "/desk/library")
        return await _list_page(request, desk, person, ask, notice=notice, refused=refused)


def _params(path: str) -> Any:
    return QueryParams(path.partition("?")[2])


def _change(
    session: Session, actor: Any, ids: list[str], form: FormData
) -> tuple[int, list[tuple[str, str]]]:
    names = ("genre_id", "place", "rights_holder", "licence", "licence_until")
    changes: dict[str, Any] = {name: value for name in names if (value := text(form, name, 2_000))}
    if language := text(form, "language", 40):
        changes["languages"] = [language]
    done = service.bulk_change(
        session,
        actor,
        ids,
        changes,
        library_forms.words_of(text(form, "add_keywords", 2_000)),
        library_forms.words_of(text(form, "remove_keywords", 2_000)),
    )
    return done.changed, list(done.refused)


def _submit(
    session: Session, actor: Any, ids: list[str], form: FormData
) -> tuple[int, list[tuple[str, str]]]:
    refused = []
    for key in sorted(dict.fromkeys(ids))[: service.BULK_MAX]:
        try:
            review.submit(session, actor, key)
        except Refused as error:
            refused.append((key, error.code))
    return len(set(ids)) - len(refused), refused


# --- sheets ----------------------------------------------------------------------------------


def _sheets(router: APIRouter, desk: Desk, parts: Parts) -> None:
    async def workbook(name: str, fill: Callable[[Session, BinaryIO], object]) -> Response:
        headers = {"content-disposition": attachment(name)}
        return await desk.run(lambda session: written(partial(fill, session), XLSX, headers))

    @router.get("/desk/library/template.xlsx")
    async def template(request: Request) -> Response:
        await desk.person(request)
        return await workbook("xitai-template.xlsx", sheets.template)

    async def export(request: Request, ids: list[str]) -> Response:
        person = await desk.person(request)
        actor = person.actor()
        asked = library_data.query_of(ask_of(request.query_params, "/desk/library"), actor)
        base = parts.addresses().http

        def fill(session: Session, out: BinaryIO) -> int:
            wanted = ids or sheets.ids_found(session, asked, sheets.EXPORT_MAX)
            return sheets.export(session, wanted, out, base, actor=actor)

        return await workbook("xitai-resources.xlsx", fill)

    @router.get("/desk/library/export.xlsx")
    async def export_all(request: Request) -> Response:
        return await export(request, [])

    @router.post("/desk/library/export.xlsx")
    async def export_some(request: Request) -> Response:
        await desk.person(request)
        return await export(request, texts(await form_of(request), "id"))

    async def page(request: Request, person: Person, status: int = 200, **more: Any) -> Response:
        words = await desk.run(lambda s: library_data.vocabulary(s, person.actor()))
        data = {"words": words, "result": None, "error": None, "centre_id": "", **more}
        return desk.page(request, "library_import.html", data, person, status=status)

    @router.get("/desk/library/import")
    async def bring_in(request: Request) -> Response:
        return await page(request, await desk.person(request, "resource.change"))

    @router.post("/desk/library/import")
    async def bring_in_post(request: Request) -> Response:
        person = await desk.person(request, "resource.change")
        async with files_of(request) as form:
            return await bring_in_form(request, person, form)

    async def bring_in_form(request: Request, person: Person, form: FormData) -> Response:
        sent = uploads(form, "file")
        wanted = text(form, "centre_id", 32) or person.centre_id or ""
        if not sent:
            error = say(request)("请先选一个表格文件。")
            return await page(request, person, 422, error=error, centre_id=wanted)
        actor = person.actor()

        def work(session: Session) -> Any:
            centre = get_centre(session, wanted)
            return sheets.import_sheet(session, actor, sent[0].file, centre)

        try:
            result = await desk.run(work)
        except Refused as error:
            return await page(request, person, 422, error=refusal(error, request), centre_id=wanted)
        return await page(request, person, result=result, centre_id=wanted)


# --- 门类 -------------------------------------------------------------------------------------


def _genres(router: APIRouter, desk: Desk) -> None:
    async def page(request: Request, person: Person, status: int = 200, **more: Any) -> Response:
        listed = await desk.run(lambda session: genres(session, retired=True))
        data = {"genres": listed, "typed": "", "error": None, **more}
        return desk.page(request, "library_genres.html", data, person, status=status)

    @router.get("/desk/library/genres")
    async def listing(request: Request) -> Response:
        return await page(request, await desk.person(request, "genre.change"))

    @router.post("/desk/library/genres")
    async def change(request: Request) -> Response:
        person = await desk.person(request, "genre.change")
        form = await form_of(request)
        actor, name, retired = person.actor(), text(form, "name", 200), text(form, "retire", 40)

        def work(session: Session) -> None:
            if retired:
                retire_genre(session, actor, retired)
            else:
                add_genre(session, actor, name)

        try:
            await desk.run(work)
        except Refused as error:
            return await page(request, person, 422, error=refusal(error, request), typed=name)
        return RedirectResponse("/desk/library/genres?done=genre", status_code=303)


# --- a new record ----------------------------------------------------------------------------


def _new(router: APIRouter, desk: Desk, parts: Parts) -> None:
    async def page(request: Request, person: Person, form: FormView, status: int = 200) -> Response:
        data = await form_data(desk, person, form)
        return desk.page(request, "library_form.html", data, person, status=status)

    @router.get("/desk/library/new")
    async def new(request: Request, kind: str = "", parent: str = "") -> Response:
        person = await desk.person(request, "resource.change")
        known = kind if kind in kinds.KINDS else ""
        values = {"parent_id": parent[:32]}
        if known == "news":
            # News is of today; anything else would be dated wrong by a day nobody chose.
            values["event_date"] = china_date(dt.datetime.now(dt.UTC)).isoformat()
        return await page(request, person, library_forms.blank(known, values))

    @router.post("/desk/library/new")
    async def new_post(request: Request) -> Response:
        person = await desk.person(request, "resource.change")
        async with files_of(request) as form:
            return await new_form(request, person, form)

    async def new_form(request: Request, person: Person, form: FormData) -> Response:
        kind = text(form, "kind", 20)
        if kind not in kinds.KINDS:
            raise NotFound
        try:
            sent = uploads(form, "files")
            if len(sent) > FILES_MAX:
                raise Refused("record_files_many", most=FILES_MAX, sent=len(sent))
            kept = [await keep(parts, kind, file) for file in sent]
            made = await desk.run(lambda session: _make(session, person, kind, form, kept))
        except Refused as error:
            errors, general = blame(error, request)
            shown = library_forms.typed(form, kind, errors, general=general)
            return await page(request, person, shown, 422)
        parent = text(form, "parent_id", 32) if len(made) > 1 else ""
        return RedirectResponse(
            with_done(f"/desk/library/{parent or made[0]}", "made"), status_code=303
        )


def _make(
    session: Session, person: Person, kind: str, form: FormData, kept: list[service.Media]
) -> list[str]:
    """One record, or one for each of several pictures."""
    centre = get_centre(session, text(form, "centre_id", 32) or person.centre_id or "")
    fields = library_forms.fields_of(form, kind)
    made = []
    for number, media in enumerate(kept or [None], start=1):
        own = dict(fields)
        if len(kept) > 1:
            own["title"] = f"{fields['title']}（{number}）"
            own["position"] = number
        resource = service.create(session, person.actor(), kind=kind, centre=centre, fields=own)
        if media is not None:
            service.attach(session, person.actor(), resource.id, media)
        made.append(resource.id)
    return made
