"""People and centres: one's own password, and for administrators the accounts of everyone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response
from sqlalchemy.orm import Session

from api.pages.backend import Backend, Person
from api.pages.guard import same_origin, set_session, staff
from api.pages.render import Renderer, translations, wishes
from api.pages.view import FormErrors, NotAllowed, NotFound
from api.rights import ROLE_NAMES, may
from api.sentences import sentence
from catalog import accounts, audit, centres
from catalog.errors import Missing, Refused
from catalog.models import ROLES, Centre, User

LEVEL_NAMES: Final = {
    "province": "省级",
    "prefecture": "州市级",
    "county": "县级",
    "station": "乡镇",
}

_FIELD_OF: Final = {
    "login_form": "login",
    "login_taken": "login",
    "password_length": "password",
    "password_plain": "password",
    "role_unknown": "role",
    "centre_unknown": "centre",
    "centre_name": "name",
    "centre_level": "level",
    "password_wrong": "old",
    "slow_down": "old",
}
"""Which field of a form a refusal is about."""


@dataclass(frozen=True)
class Account:
    """One account in the list."""

    id: str
    login: str
    name: str
    role: str
    centre: str
    contract: str
    disabled: bool
    own: bool


@dataclass(frozen=True)
class CentreRow:
    """One centre in the tree; ``depth`` counts from the root."""

    id: str
    name: str
    level: str
    depth: int
    reviewers: int


_Page = Callable[[Request, Person, dict[str, str] | None, FormErrors | None], Awaitable[Response]]
"""Draws the list, with what was filled in and why it was not taken."""


def people_router(backend: Backend) -> APIRouter:
    """The pages under /desk/account and /desk/people."""
    renderer = Renderer(backend.config)
    router = APIRouter(include_in_schema=False)
    _own_account(router, backend, renderer)
    page = _list_page(backend, renderer)
    _people(router, backend, page)
    _centres(router, backend, page)
    return router


# --- one's own account -------------------------------------------------------------------------


def _own_account(router: APIRouter, backend: Backend, renderer: Renderer) -> None:
    def page(
        request: Request, user: Person, errors: FormErrors | None = None, *, done: bool = False
    ) -> Response:
        data = {
            "errors": errors or FormErrors(),
            "done": done,
            "roles": ROLE_NAMES,
            "manages": may(user.role, "account.manage"),
        }
        status = 422 if errors else 200
        return renderer.page(request, "account.html", data, user=user, status=status, private=True)

    @router.get("/desk/account")
    async def account(request: Request, done: str = "") -> Response:
        return page(request, await _person(request, backend), done=bool(done))

    @router.post("/desk/account/password")
    async def change_password(
        request: Request,
        old: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
    ) -> Response:
        same_origin(request)
        user = await _person(request, backend)
        client = request.client.host if request.client else ""

        def work(session: Session) -> str:
            found = accounts.get_user(session, user.id)
            # A browser left open on a desk is no place to guess from either.
            if wait := backend.brake.wait(found.login, client):
                raise Refused("slow_down", seconds=wait)
            if accounts.password_opens(session, found.login, old) is None:
                backend.brake.failed(found.login, client)
                raise Refused("password_wrong")
            backend.brake.passed(found.login, client)
            accounts.set_password(session, found, password)
            _note(session, user, "user.password", found)
            # Every browser was signed out by that; this one goes on.
            return accounts.open_session(session, found, dt.datetime.now(dt.UTC))

        try:
            secret = await backend.run(work)
        except Refused as error:
            return page(request, user, _errors(error, request))
        response = RedirectResponse("/desk/account?done=1", status_code=303)
        set_session(response, secret, accounts.SESSION_DAYS * 86_400, backend.config)
        return response


# --- everyone's, for administrators ------------------------------------------------------------


def _list_page(backend: Backend, renderer: Renderer) -> _Page:
    async def page(
        request: Request,
        user: Person,
        form: dict[str, str] | None,
        errors: FormErrors | None,
    ) -> Response:
        people, tree = await backend.run(lambda session: _everyone(session, user))
        data = {
            "people": people,
            "centres": tree,
            "roles": {role: ROLE_NAMES[role] for role in ROLES},
            "levels": LEVEL_NAMES,
            "form": form or {},
            "errors": errors or FormErrors(),
        }
        status = 422 if errors else 200
        return renderer.page(request, "people.html", data, user=user, status=status, private=True)

    return page


def _people(router: APIRouter, backend: Backend, page: _Page) -> None:
    @router.get("/desk/people")
    async def people(request: Request) -> Response:
        return await page(request, await _manager(request, backend), None, None)

    @router.post("/desk/people")
    async def add(
        request: Request,
        login: Annotated[str, Form()] = "",
        name: Annotated[str, Form()] = "",
        role: Annotated[str, Form()] = "staff",
        centre: Annotated[str, Form()] = "",
        contract: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
    ) -> Response:
        same_origin(request)
        user = await _manager(request, backend)

        def work(session: Session) -> None:
            made = accounts.create_user(
                session,
                login=login,
                name=name,
                role=role,
                centre=centres.get_centre(session, centre),
                password=password,
                contract=contract if role == "studio" else "",
            )
            _note(session, user, "user.create", made, role=made.role, login=made.login)

        try:
            await backend.run(work)
        except Refused as error:
            kept = {
                "login": login,
                "name": name,
                "role": role,
                "centre": centre,
                "contract": contract,
            }
            return await page(request, user, kept, _errors(error, request))
        return _back()

    @router.post("/desk/people/{user_id}/password")
    async def reset(
        request: Request, user_id: str, password: Annotated[str, Form()] = ""
    ) -> Response:
        same_origin(request)
        user = await _manager(request, backend)

        def work(session: Session) -> None:
            found = accounts.get_user(session, user_id)
            accounts.set_password(session, found, password)
            _note(session, user, "user.password", found)

        return await _do(request, backend, user, work, page)

    @router.post("/desk/people/{user_id}/{way}")
    async def switch(request: Request, user_id: str, way: str) -> Response:
        same_origin(request)
        user = await _manager(request, backend)
        if way not in ("disable", "enable"):
            raise NotFound

        def work(session: Session) -> None:
            found = accounts.get_user(session, user_id)
            if found.id == user.id:
                raise Refused("account_self")
            accounts.set_disabled(session, found, way == "disable", dt.datetime.now(dt.UTC))
            _note(session, user, "user.disable" if way == "disable" else "user.enable", found)

        return await _do(request, backend, user, work, page)


def _centres(router: APIRouter, backend: Backend, page: _Page) -> None:
    @router.post("/desk/centres")
    async def add(
        request: Request,
        name: Annotated[str, Form()] = "",
        parent: Annotated[str, Form()] = "",
        level: Annotated[str, Form()] = "county",
    ) -> Response:
        same_origin(request)
        user = await _manager(request, backend)

        def work(session: Session) -> None:
            above = centres.get_centre(session, parent) if parent else None
            made = centres.add_centre(session, name, parent=above, level=level)
            audit.note(session, user.actor(), "centre.create", "centre", made.id, centre_id=made.id)

        return await _do(request, backend, user, work, page)

    @router.post("/desk/centres/{centre_id}/reviewers")
    async def reviewers(
        request: Request, centre_id: str, number: Annotated[int, Form()] = 3
    ) -> Response:
        same_origin(request)
        user = await _manager(request, backend)

        def work(session: Session) -> None:
            found = centres.get_centre(session, centre_id)
            if number not in (1, 2, 3):
                raise Refused("centre_reviewers")
            found.reviewers = number
            audit.note(
                session,
                user.actor(),
                "centre.reviewers",
                "centre",
                found.id,
                centre_id=found.id,
                number=number,
            )

        return await _do(request, backend, user, work, page)


# --- shared ------------------------------------------------------------------------------------


async def _person(request: Request, backend: Backend) -> Person:
    user = await staff(request, backend)
    assert isinstance(user, Person)
    return user


async def _manager(request: Request, backend: Backend) -> Person:
    user = await _person(request, backend)
    if not may(user.role, "account.manage"):
        raise NotAllowed
    return user


async def _do(
    request: Request,
    backend: Backend,
    user: Person,
    work: Callable[[Session], None],
    page: _Page,
) -> Response:
    """Do it and go back to the list; a refusal is shown above it."""
    try:
        await backend.run(work)
    except Missing:
        raise NotFound from None
    except Refused as error:
        shown = _errors(error, request)
        general = shown.general or next(iter(shown.fields.values()))
        return await page(request, user, None, FormErrors(general=general))
    return _back()


def _note(session: Session, user: Person, action: str, whom: User, **details: str) -> None:
    """Under the names, and with the centre, the API writes them down with."""
    audit.note(session, user.actor(), action, "user", whom.id, centre_id=whom.centre_id, **details)


def _everyone(session: Session, user: Person) -> tuple[list[Account], list[CentreRow]]:
    people = [_account(found, user) for found in accounts.users_within(session, user.centre_path)]
    tree = [_centre(centre) for centre in centres.centres_within(session, user.centre_path)]
    return people, tree


def _account(found: User, user: Person) -> Account:
    return Account(
        id=found.id,
        login=found.login,
        name=found.display_name,
        role=found.role,
        centre=found.centre.name,
        contract=found.contract,
        disabled=found.disabled_at is not None,
        own=found.id == user.id,
    )


def _centre(centre: Centre) -> CentreRow:
    depth = centre.path.count("/") - 1
    return CentreRow(centre.id, centre.name, centre.level, depth, centre.reviewers)


def _errors(error: Refused, request: Request) -> FormErrors:
    say = translations(wishes(request).language).gettext
    text = sentence(error.code, error.facts, say)
    field = _FIELD_OF.get(error.code)
    return FormErrors({field: text}) if field else FormErrors(general=text)


def _back() -> Response:
    return RedirectResponse("/desk/people", status_code=303)
