"""年报: preview, freeze, files with their progress, revisions with their differences, old years."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote, urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from api import jobs
from api.pages.backend import Backend, Person
from api.pages.library.desk import files_of, form_of, text, with_done
from api.pages.render import Renderer
from api.pages.targets import returns_data as data
from api.pages.targets.data import centre_in
from api.pages.targets.desk import Figures, now, refused, see, taken
from api.pages.targets.routes import year_of
from api.pages.view import FormErrors, NotFound
from api.rights import may
from api.sentences import Problem, sentence
from catalog.audit import Actor
from catalog.errors import Refused
from catalog.models import Centre, Plan
from catalog.plans.service import get_plan, plans_seen
from catalog.returns import freeze
from catalog.returns.bring_in import BroughtIn, bring_in
from catalog.returns.jobs import KIND, promise_report
from catalog.returns.papers import YEARS_MAX
from catalog.returns.past_file import BYTES_MAX
from catalog.returns.shown import FORMATS, Words
from infra.tables import Job

_FREEZE_FIELDS: Final = {
    "return_why": "why",
    "return_why_long": "why",
    "return_cut_off": "cut_off",
    "return_cut_off_early": "cut_off",
}
_WORDS_MAX: Final = 20_000


def returns_router(backend: Backend, renderer: Renderer) -> APIRouter:
    """Every page under /desk/returns."""
    router = APIRouter(include_in_schema=False)
    desk = Figures(backend, renderer)
    _writing(router, desk)
    _files(router, desk)
    _importing(router, desk)
    _looking(router, desk)
    return router


def new_path(plan_id: str, centre_id: str, year: int | str) -> str:
    asked = {"plan": plan_id, "centre": centre_id, "year": year}
    return "/desk/returns/new?" + urlencode(asked)


def _writing(router: APIRouter, desk: Figures) -> None:
    async def page(
        request: Request,
        person: Person,
        asked: tuple[str, str, str],
        form: dict[str, str] | None = None,
        errors: FormErrors | None = None,
        status: int = 200,
    ) -> Response:
        plan, centre, year = asked
        view = await desk.run(
            lambda s: data.preview_page(s, person.actor(), plan, centre, year_of(year), now())
        )
        shown = {
            "p": view,
            "form": form or {},
            "errors": errors or FormErrors(),
            "formats": data.FORMATS,
            "can_plan": may(person.role, "plan.change"),
        }
        return desk.show(request, "returns_new.html", person, shown, status)

    @router.get("/desk/returns/new")
    async def new(request: Request, plan: str = "", centre: str = "", year: str = "") -> Response:
        person = await desk.person(request, "return.see")
        return await page(request, person, (plan, centre, year))

    @router.post("/desk/returns/freeze")
    async def hold(request: Request) -> Response:
        person = await desk.person(request, "return.freeze")
        form = await form_of(request)
        said = {name: text(form, name) for name in ("plan", "centre", "year", "cut_off", "why")}

        def work(session: Session) -> str:
            actor = person.actor()
            plan, centre = _both(session, actor, said["plan"], said["centre"])
            at = now()
            cut_off = data.cut_off_of(said["cut_off"], at)
            year = year_of(said["year"]) or plan.year
            made = freeze.freeze(session, actor, plan, centre, year, cut_off, said["why"], now=at)
            return made.id

        answer = await desk.form(request, work, _FREEZE_FIELDS)
        if isinstance(answer, FormErrors):
            asked = (said["plan"], said["centre"], said["year"])
            return await page(request, person, asked, said, answer, 422)
        return see(with_done(f"/desk/returns/{answer}", "frozen"))


def _both(session: Session, actor: Actor, plan_id: str, centre_id: str) -> tuple[Plan, Centre]:
    plan = get_plan(session, actor, plan_id)
    return plan, centre_in(session, actor, plan, centre_id)


def _files(router: APIRouter, desk: Figures) -> None:
    @router.post("/desk/returns/export")
    async def export(request: Request) -> Response:
        person = await desk.person(request, "return.see")
        form = await form_of(request)
        asked = text(form, "format")
        if asked not in FORMATS:
            raise NotFound
        base = desk.backend.parts.addresses().http
        words = Words(*(text(form, name, _WORDS_MAX) for name in ("done", "problems", "next_year")))

        def work(session: Session) -> int:
            actor = person.actor()
            return_id = text(form, "return_id")
            kept = freeze.load(session, actor, return_id) if return_id else None
            if kept is not None:
                plan = session.get_one(Plan, kept.plan_id)
                centre = session.get_one(Centre, kept.centre_id)
                years = (kept.year, kept.year)
            else:
                plan, centre = _both(session, actor, text(form, "plan"), text(form, "centre"))
                last = year_of(text(form, "year")) or plan.year
                first = year_of(text(form, "since")) or last
                years = (min(first, last), max(first, last))
                if years[1] - years[0] >= YEARS_MAX:
                    raise Refused("return_years", most=YEARS_MAX)
            job = promise_report(
                session, actor, plan, centre, years, asked,
                base_url=base, kept=kept, words=words,
            )  # fmt: skip
            return job.id

        answer = await desk.form(request, work, {})
        if isinstance(answer, FormErrors):
            shown = {"refused": answer.general}
            return desk.show(request, "returns_refused.html", person, shown, 422)
        return see(with_done(f"/desk/returns/jobs/{answer}", "export"))

    def found(session: Session, actor: Actor, job_id: int) -> data.FileJob:
        try:
            job: Job = jobs.get(session, actor.centre_path, job_id)
        except Problem:
            raise NotFound from None
        if job.kind != KIND:
            raise NotFound
        return data.file_job(job, now())

    @router.get("/desk/returns/jobs/{job_id}")
    async def job(request: Request, job_id: int) -> Response:
        person = await desk.person(request, "return.see")
        view = await desk.run(lambda s: found(s, person.actor(), job_id))
        part = bool(request.headers.get("hx-request"))
        template = "parts/return_file.html" if part else "returns_job.html"
        return desk.show(request, template, person, {"f": view})


def _importing(router: APIRouter, desk: Figures) -> None:
    async def page(request: Request, person: Person, status: int = 200, **shown: Any) -> Response:
        plans = await desk.run(lambda s: plans_seen(s, person.centre_path))
        data_ = {
            "plans": tuple((one.id, f"{one.year} · {one.title}") for one in plans),
            "first_year": plans[0].year if plans else now().year,
            "may_make": person.role == "admin",
            "made": None,
            "bad": (),
            "form": {},
            "errors": FormErrors(),
            **shown,
        }
        return desk.show(request, "returns_import.html", person, data_, status)

    @router.get("/desk/returns/import")
    async def choose(request: Request) -> Response:
        return await page(request, await desk.person(request, "entry.set"))

    @router.post("/desk/returns/import")
    async def bring(request: Request) -> Response:
        person = await desk.person(request, "entry.set")
        errors, file = FormErrors({"file": "请选一个文件。"}), None
        async with files_of(request) as form:
            said = {name: text(form, name) for name in ("plan", "year", "make")}
            try:
                file = await taken(form, "file", BYTES_MAX)
            except Refused as error:
                errors = refused(error, request, {"file_too_large": "file"})
        if file is None:
            return await page(request, person, 422, form=said, errors=errors)
        content = file[1]

        def work(session: Session) -> BroughtIn:
            actor = person.actor()
            plan = get_plan(session, actor, said["plan"])
            year = year_of(said["year"]) or plan.year
            return bring_in(session, actor, content, plan, year, create_centres=bool(said["make"]))

        answer = await desk.form(request, work, {})
        if isinstance(answer, FormErrors):
            return await page(request, person, 422, form=said, errors=answer)
        bad = tuple((row.where, sentence(row.code, row.facts)) for row in answer.bad)
        table = f"/desk/targets?plan={quote(said['plan'])}"
        return await page(request, person, 200, form=said, made=answer, bad=bad, table=table)


def _looking(router: APIRouter, desk: Figures) -> None:
    @router.get("/desk/returns")
    async def listing(request: Request) -> Response:
        person = await desk.person(request, "return.see")
        view = await desk.run(lambda s: data.returns_page(s, person.actor()))
        return desk.show(request, "returns.html", person, {"r": view})

    @router.get("/desk/returns/{return_id}")
    async def one(request: Request, return_id: str) -> Response:
        person = await desk.person(request, "return.see")
        view = await desk.run(lambda s: data.return_page(s, person.actor(), return_id))
        shown = {
            "r": view,
            "formats": data.FORMATS,
            "may_freeze": may(person.role, "return.freeze"),
        }
        return desk.show(request, "returns_return.html", person, shown)
