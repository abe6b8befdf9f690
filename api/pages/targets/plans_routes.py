"""方案: the list, one click for a shipped plan, the editor of targets, groups, milestones."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response
from sqlalchemy.orm import Session

from api.pages.backend import Backend, Person
from api.pages.library.desk import form_of, text, texts, with_done
from api.pages.render import Renderer
from api.pages.targets import plans_data as data
from api.pages.targets import plans_forms as forms
from api.pages.targets.data import card_of
from api.pages.targets.desk import Figures, now, see
from api.pages.view import FormErrors, NotAllowed, NotFound
from api.rights import covers
from catalog.audit import Actor
from catalog.errors import Missing
from catalog.models import Centre, Plan, Target
from catalog.plans import service
from catalog.plans.amounts import OP_WORDS
from catalog.plans.fields import PER_WORDS
from catalog.plans.queries import FIGURES
from catalog.records.kinds import KINDS

_FIELDS: Final = {"plan_exists": "code"}


def plans_router(backend: Backend, renderer: Renderer) -> APIRouter:
    """Every page under /desk/plans."""
    router = APIRouter(include_in_schema=False)
    desk = Figures(backend, renderer)
    _lists(router, desk)
    _heads(router, desk)
    _targets(router, desk)
    _units(router, desk)
    return router


def plan_path(plan_id: str, *more: str) -> str:
    return "/".join(["/desk/plans", quote(plan_id), *(quote(part, safe="") for part in more)])


def _lists(router: APIRouter, desk: Figures) -> None:
    @router.get("/desk/plans")
    async def plans(request: Request) -> Response:
        person = await desk.person(request, "plan.see")
        view = await desk.run(lambda s: data.plans_page(s, person.actor()))
        return desk.show(request, "plans.html", person, {"p": view})

    async def new_page(
        request: Request, person: Person, form: dict[str, Any], errors: FormErrors, status: int
    ) -> Response:
        view = await desk.run(lambda s: data.new_plan_page(s, person.actor(), now()))
        shown = {"n": view, "form": form, "errors": errors}
        return desk.show(request, "plans_new.html", person, shown, status)

    @router.get("/desk/plans/new")
    async def new(request: Request) -> Response:
        person = await desk.person(request, "plan.change")
        return await new_page(request, person, {}, FormErrors(), 200)

    @router.post("/desk/plans/load")
    async def load(request: Request) -> Response:
        person = await desk.person(request, "plan.change")
        form = await form_of(request)

        def work(session: Session) -> str:
            actor = person.actor()
            owner = _owner(session, actor, text(form, "owner"))
            return service.load_template(session, actor, text(form, "template"), owner).id

        answer = await desk.form(request, work, {})
        if isinstance(answer, FormErrors):
            return await new_page(request, person, {}, answer, 422)
        return see(with_done(plan_path(answer), "loaded"))

    @router.post("/desk/plans/new")
    async def make(request: Request) -> Response:
        person = await desk.person(request, "plan.change")
        form = await form_of(request)
        said = {name: text(form, name) for name in ("owner", "code", "title", "year", "issuer")}

        def work(session: Session) -> str:
            actor = person.actor()
            owner = _owner(session, actor, said["owner"])
            # The year is checked where all of a plan is.
            year: Any = said["year"]
            made = service.create_plan(
                session, actor, owner,
                code=said["code"], title=said["title"], year=year, issuer=said["issuer"],
            )  # fmt: skip
            return made.id

        answer = await desk.form(request, work, _FIELDS)
        if isinstance(answer, FormErrors):
            return await new_page(request, person, said, answer, 422)
        return see(plan_path(answer))

    @router.get("/desk/plans/{plan_id}")
    async def plan(request: Request, plan_id: str) -> Response:
        person = await desk.person(request, "plan.see")
        view = await desk.run(lambda s: data.plan_page(s, person.actor(), plan_id))
        return desk.show(request, "plans_plan.html", person, {"p": view})

    @router.post("/desk/plans/{plan_id}/do/{act}")
    async def put_away(request: Request, plan_id: str, act: str) -> Response:
        acts = {
            "withdraw": (service.withdraw_plan, "withdrawn"),
            "restore": (service.restore_plan, "restored"),
            "assign": (service.assign_units, "units"),
        }
        person = await desk.person(request, "plan.change")
        await form_of(request)
        if act not in acts:
            raise NotFound
        change, done = acts[act]

        def work(session: Session) -> None:
            change(session, person.actor(), _own(session, person.actor(), plan_id).id)

        await desk.run(work)
        back = plan_path(plan_id, "units") if act == "assign" else plan_path(plan_id)
        return see(with_done(back, done))


def _owner(session: Session, actor: Actor, wanted: str) -> Centre:
    """The centre that is to keep a plan: the one named, else the person's own."""
    own = (actor.centre_path or "").rstrip("/").rpartition("/")[2]
    centre = session.get(Centre, wanted or own)
    if centre is None or not covers(actor.centre_path, centre.path):
        raise Missing("centre_unknown", centre=wanted)
    return centre


def _own(session: Session, actor: Actor, plan_id: str) -> Plan:
    """A plan this person may edit. Raises Missing, NotAllowed for one from above."""
    plan = service.get_plan(session, actor, plan_id)
    if not data.may_change(actor, session.get_one(Centre, plan.owner_id)):
        raise NotAllowed
    return plan


def _heads(router: APIRouter, desk: Figures) -> None:
    async def page(
        request: Request, person: Person, plan_id: str, form: Any, errors: FormErrors, status: int
    ) -> Response:
        def work(session: Session) -> dict[str, Any]:
            plan = _own(session, person.actor(), plan_id)
            return {"card": card_of(plan), "form": form or data.head_form(plan)}

        shown = await desk.run(work)
        shown |= {"errors": errors, "figures": tuple(FIGURES.items())}
        return desk.show(request, "plans_edit.html", person, shown, status)

    @router.get("/desk/plans/{plan_id}/edit")
    async def edit(request: Request, plan_id: str) -> Response:
        person = await desk.person(request, "plan.change")
        return await page(request, person, plan_id, None, FormErrors(), 200)

    @router.post("/desk/plans/{plan_id}/edit")
    async def save(request: Request, plan_id: str) -> Response:
        person = await desk.person(request, "plan.change")
        form = await form_of(request)
        fields = forms.head_fields(form)
        version = _version(text(form, "version"))

        def work(session: Session) -> None:
            service.change_plan(session, person.actor(), plan_id, fields, expect_version=version)

        answer = await desk.form(request, work, {})
        if isinstance(answer, FormErrors):
            again = data.head_again(fields, text(form, "version"))
            return await page(request, person, plan_id, again, answer, 422)
        return see(with_done(plan_path(plan_id), "saved"))


def _version(said: str) -> int | None:
    return int(said) if said.isascii() and said.isdecimal() and len(said) < 9 else None


def _targets(router: APIRouter, desk: Figures) -> None:
    async def page(
        request: Request,
        person: Person,
        plan_id: str,
        code: str,
        form: dict[str, Any] | None = None,
        errors: FormErrors | None = None,
        status: int = 200,
    ) -> Response:
        def work(session: Session) -> dict[str, Any]:
            plan = _own(session, person.actor(), plan_id)
            return _target_data(plan, code, form)

        shown = await desk.run(work) | {"errors": errors or FormErrors()}
        return desk.show(request, "plans_target.html", person, shown, status)

    @router.get("/desk/plans/{plan_id}/targets/new")
    async def new(request: Request, plan_id: str, who: str = "") -> Response:
        person = await desk.person(request, "plan.change")
        return await page(request, person, plan_id, "", data.blank_target(who))

    @router.get("/desk/plans/{plan_id}/targets/{code}")
    async def edit(request: Request, plan_id: str, code: str) -> Response:
        person = await desk.person(request, "plan.change")
        return await page(request, person, plan_id, code)

    @router.post("/desk/plans/{plan_id}/targets/{code}")
    async def save(request: Request, plan_id: str, code: str) -> Response:
        person = await desk.person(request, "plan.change")
        form = await form_of(request)
        said = forms.typed_target(form) | {"version": text(form, "version")}
        code = "" if code == "new" else code
        drop = bool(text(form, "drop"))

        def work(session: Session) -> None:
            actor, version = person.actor(), _version(said["version"])
            plan = service.get_plan(session, actor, plan_id)
            kept = _find(plan, code) if code else None
            if drop and kept is not None:
                service.drop_target(session, actor, plan_id, code, expect_version=version)
                return
            fields = forms.target_fields(said, kept.query if kept else None)
            if kept is not None:
                fields["code"] = kept.code
            service.put_target(session, actor, plan_id, fields, expect_version=version)

        answer = await desk.form(request, work, {})
        if isinstance(answer, FormErrors):
            return await page(request, person, plan_id, code, said, answer, 422)
        return see(with_done(plan_path(plan_id), "gone" if drop else "saved"))


def _find(plan: Plan, code: str) -> Target:
    for target in plan.targets:
        if target.code == code:
            return target
    raise Missing("plan_target_unknown", target=code)


def _target_data(plan: Plan, code: str, form: dict[str, Any] | None) -> dict[str, Any]:
    kept = _find(plan, code) if code else None
    return {
        "card": card_of(plan),
        "code": code,
        "form": {"version": plan.version} | (form or (data.target_form(kept) if kept else {})),
        "whos": tuple(dict.fromkeys(target.who for target in plan.targets)),
        "parents": (
            ("", "不是其中项"),
            *((t.code, f"{t.indicator}（{t.code}）") for t in plan.targets if t.code != code),
        ),
        "ops": tuple(OP_WORDS.items()),
        "pers": tuple(PER_WORDS.items()),
        "periods": tuple(data.PERIOD_WORDS.items()),
        "areas": tuple(data.AREAS.items()),
        "measures": data.MEASURE_CHOICES,
        "figures": (("", "按方案的口径"), *FIGURES.items()),
        "kinds": tuple(KINDS.items()),
    }


def _units(router: APIRouter, desk: Figures) -> None:
    def units_of(session: Session, person: Person, plan_id: str) -> data.UnitsView:
        actor = person.actor()
        return data.units_page(session, _own(session, actor, plan_id))

    @router.get("/desk/plans/{plan_id}/units")
    async def units(request: Request, plan_id: str) -> Response:
        person = await desk.person(request, "plan.change")
        view = await desk.run(lambda s: units_of(s, person, plan_id))
        return desk.show(request, "plans_units.html", person, {"u": view})

    @router.post("/desk/plans/{plan_id}/units")
    async def save(request: Request, plan_id: str) -> Response:
        person = await desk.person(request, "plan.change")
        form = await form_of(request)
        who = text(form, "who")
        chosen = {who: texts(form, "centre")}
        answer = await desk.form(
            request,
            lambda s: service.set_units(s, person.actor(), plan_id, chosen).id,
            {},
        )
        if isinstance(answer, FormErrors):
            view = await desk.run(lambda s: units_of(s, person, plan_id))
            return desk.show(
                request, "plans_units.html", person, {"u": view, "errors": answer}, 422
            )
        return see(with_done(plan_path(plan_id, "units"), "units"))
