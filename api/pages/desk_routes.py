"""The staff's pages: signing in, the list, making a broadcast, running it, and the long work."""

from __future__ import annotations

from datetime import datetime
from itertools import zip_longest
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from api.pages.checks import light
from api.pages.gallery import samples
from api.pages.guard import SESSION_COOKIE, current_user, same_origin, set_session, staff
from api.pages.render import Renderer, translations, wishes
from api.pages.view import (
    BroadcastForm,
    ClipForm,
    FormErrors,
    Mode,
    NotAllowed,
    PageDeps,
    PushAddress,
    SetupForm,
    SignedIn,
    User,
)
from api.pages.words import Translate, parse_clock

TITLE_LIMIT = 100
CLIP_ROWS_MAX = 100
_PASSWORD_LEAST = 10


def desk_router(deps: PageDeps, renderer: Renderer) -> APIRouter:
    router = APIRouter(include_in_schema=False)
    _accounts(router, deps, renderer)
    _broadcasts(router, deps, renderer)
    _running(router, deps, renderer)

    @router.get("/desk/components")
    async def components(request: Request) -> Response:
        user = await (staff if deps.config.production else current_user)(request, deps)
        say = _say(request)
        return renderer.page(request, "components.html", samples(say), user=user, private=True)

    return router


def _say(request: Request) -> Translate:
    return translations(wishes(request).language).gettext


def _accounts(router: APIRouter, deps: PageDeps, renderer: Renderer) -> None:
    def sign_in_page(
        request: Request,
        target: str,
        login: str = "",
        error: str | None = None,
        status: int = 200,
    ) -> Response:
        data = {"login": login, "error": error, "next": _desk_path(target)}
        return renderer.page(request, "sign_in.html", data, status=status, private=True)

    @router.get("/desk/sign-in")
    async def sign_in(request: Request, next: str = "/desk") -> Response:
        return sign_in_page(request, next)

    @router.post("/desk/sign-in")
    async def sign_in_post(
        request: Request,
        login: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
        next: Annotated[str, Form()] = "/desk",
    ) -> Response:
        same_origin(request)
        client = request.client.host if request.client else ""
        answer = await deps.sign_in(login.strip(), password, client)
        if isinstance(answer, SignedIn):
            response = RedirectResponse(_desk_path(next), status_code=303)
            set_session(response, answer.session_token, answer.max_age_s, deps.config)
            return response
        say = _say(request)
        if answer.reason == "slow_down":
            text = say("试的次数太多了。请等 {n} 秒再试。").format(n=answer.retry_after_s)
            return sign_in_page(request, next, login, text, 429)
        text = say("用户名或密码不对。请检查大小写后再试；忘了密码请找管理员重设。")
        return sign_in_page(request, next, login, text, 401)

    @router.post("/desk/sign-out")
    async def sign_out(request: Request) -> Response:
        same_origin(request)
        token = request.cookies.get(SESSION_COOKIE)
        if token:
            await deps.sign_out(token)
        response = RedirectResponse("/", status_code=303)
        response.delete_cookie(SESSION_COOKIE, path="/")
        return response

    @router.get("/setup/{token}")
    async def setup(request: Request, token: str) -> Response:
        data = {"open": await deps.setup_open(token), "form": {}, "errors": FormErrors()}
        status = 200 if data["open"] else 410
        return renderer.page(request, "setup.html", data, status=status, private=True)

    @router.post("/setup/{token}")
    async def setup_post(
        request: Request,
        token: str,
        login: Annotated[str, Form()] = "",
        password: Annotated[str, Form()] = "",
        name: Annotated[str, Form()] = "",
        centre: Annotated[str, Form()] = "",
    ) -> Response:
        same_origin(request)
        form = SetupForm(login.strip(), password, name.strip(), centre.strip())
        errors = _setup_errors(form, _say(request))
        answer = errors if errors.fields else await deps.setup(token, form)
        if isinstance(answer, SignedIn):
            response = RedirectResponse("/desk", status_code=303)
            set_session(response, answer.session_token, answer.max_age_s, deps.config)
            return response
        kept = {"login": form.login, "name": form.name, "centre": form.centre}
        data = {"open": True, "form": kept, "errors": answer}
        return renderer.page(request, "setup.html", data, status=422, private=True)


def _setup_errors(form: SetupForm, _: Translate) -> FormErrors:
    fields = {}
    if not form.login:
        fields["login"] = _("请填用户名。")
    if not form.name:
        fields["name"] = _("请填您的名字，同事会在记录里看到它。")
    if len(form.password) < _PASSWORD_LEAST:
        fields["password"] = _("密码至少 {n} 位。").format(n=_PASSWORD_LEAST)
    return FormErrors(fields)


def _broadcasts(router: APIRouter, deps: PageDeps, renderer: Renderer) -> None:
    @router.get("/desk")
    async def desk(request: Request) -> Response:
        user = await staff(request, deps)
        data = {"broadcasts": await deps.desk_broadcasts(user), "owed": await deps.owed(user)}
        return renderer.page(request, "desk_list.html", data, user=user, private=True)

    async def create_page(
        request: Request, user: User, form: dict[str, str], errors: FormErrors, status: int = 200
    ) -> Response:
        data = {"centres": await deps.centres(user), "form": form, "errors": errors}
        return renderer.page(request, "desk_new.html", data, user=user, status=status, private=True)

    @router.get("/desk/new")
    async def create(request: Request) -> Response:
        user = await staff(request, deps)
        return await create_page(request, user, {}, FormErrors())

    @router.post("/desk/new")
    async def create_post(
        request: Request,
        title: Annotated[str, Form()] = "",
        starts_at: Annotated[str, Form()] = "",
        ends_at: Annotated[str, Form()] = "",
        centre_id: Annotated[str, Form()] = "",
        mode: Annotated[str, Form()] = "live",
        description: Annotated[str, Form()] = "",
    ) -> Response:
        same_origin(request)
        user = await staff(request, deps)
        say, errors = _say(request), {}
        title, when = title.strip(), _local(starts_at, renderer)
        until = _local(ends_at, renderer)
        if not title:
            errors["title"] = say("请给这场直播起个名字，观众在分享里先看到它。")
        elif len(title) > TITLE_LIMIT:
            errors["title"] = say("名字太长了：现在 {n} 个字，最多 {most} 个。").format(
                n=len(title), most=TITLE_LIMIT
            )
        if starts_at and when is None:
            errors["starts_at"] = say("看不懂这个时间，请重新选一次。")
        if ends_at and until is None:
            errors["ends_at"] = say("看不懂这个时间，请重新选一次。")
        kind: Mode = "recorded" if mode == "recorded" else "live"
        form = BroadcastForm(title, when, centre_id or None, kind, description.strip(), until)
        answer = FormErrors(errors) if errors else await deps.create_broadcast(user, form)
        if isinstance(answer, FormErrors):
            kept = {
                "title": title,
                "starts_at": starts_at,
                "ends_at": ends_at,
                "centre_id": centre_id,
                "mode": kind,
                "description": description,
            }
            return await create_page(request, user, kept, answer, 422)
        return await _desk_page(
            request, deps, renderer, user, answer.broadcast_id, push=answer.push, status=201
        )


def _local(text: str, renderer: Renderer) -> datetime | None:
    """What a datetime-local field sends is wall time where the centre is."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=renderer.zone)
    except ValueError:
        return None


async def _desk_page(
    request: Request,
    deps: PageDeps,
    renderer: Renderer,
    user: User,
    broadcast_id: str,
    *,
    push: PushAddress | None = None,
    clip_form: dict[str, Any] | None = None,
    clip_errors: FormErrors | None = None,
    standing_form: dict[str, str] | None = None,
    standing_errors: FormErrors | None = None,
    status: int = 200,
) -> Response:
    """The one screen of a broadcast; `push` is there only in the answer that made the key."""
    view = await deps.desk_broadcast(user, broadcast_id)
    shown = view.card.state != "waiting"
    data = {
        "b": view,
        "q": await deps.quality(user, broadcast_id) if shown else None,
        "push": push,
        "created": status == 201,
        "light": light(view.health, view.card.state, _say(request)),
        "clip_form": clip_form or {},
        "clip_errors": clip_errors or FormErrors(),
        "standing_form": standing_form or {},
        "standing_errors": standing_errors or FormErrors(),
    }
    return renderer.page(
        request, "desk_broadcast.html", data, user=user, status=status, private=True
    )


def _running(router: APIRouter, deps: PageDeps, renderer: Renderer) -> None:
    @router.get("/desk/b/{broadcast_id}")
    async def show(request: Request, broadcast_id: str) -> Response:
        user = await staff(request, deps)
        return await _desk_page(request, deps, renderer, user, broadcast_id)

    @router.get("/desk/b/{broadcast_id}/health")
    async def health(request: Request, broadcast_id: str, state: str = "") -> Response:
        user = await staff(request, deps)
        view = await deps.desk_broadcast(user, broadcast_id)
        now = view.card.state
        data = {"b": view, "light": light(view.health, now, _say(request))}
        response = renderer.page(request, "parts/health.html", data, user=user, private=True)
        # The page's other parts change with the state: when it turns, the whole page is due.
        if state and state != now:
            response.headers["hx-refresh"] = "true"
        return response

    @router.get("/desk/b/{broadcast_id}/quality")
    async def quality(request: Request, broadcast_id: str) -> Response:
        user = await staff(request, deps)
        found = await deps.quality(user, broadcast_id)
        if found is None:
            raise NotAllowed
        return renderer.page(request, "parts/quality.html", {"q": found}, user=user, private=True)

    @router.get("/desk/b/{broadcast_id}/jobs")
    async def own_jobs(request: Request, broadcast_id: str) -> Response:
        user = await staff(request, deps)
        data = {"b": await deps.desk_broadcast(user, broadcast_id)}
        return renderer.page(request, "parts/own_jobs.html", data, user=user, private=True)

    @router.post("/desk/b/{broadcast_id}/key")
    async def rotate(request: Request, broadcast_id: str) -> Response:
        same_origin(request)
        user = await staff(request, deps)
        push = await deps.rotate_key(user, broadcast_id)
        return await _desk_page(request, deps, renderer, user, broadcast_id, push=push)

    @router.post("/desk/b/{broadcast_id}/standing")
    async def standing(
        request: Request,
        broadcast_id: str,
        standing: Annotated[str, Form()] = "own",
        origin: Annotated[str, Form()] = "",
    ) -> Response:
        same_origin(request)
        user = await staff(request, deps)
        errors = await deps.set_standing(user, broadcast_id, standing, origin[:500])
        if errors is None:
            return RedirectResponse(f"/desk/b/{quote(broadcast_id)}#standing", status_code=303)
        kept = {"standing": standing, "origin": origin}
        return await _desk_page(
            request,
            deps,
            renderer,
            user,
            broadcast_id,
            standing_form=kept,
            standing_errors=errors,
            status=422,
        )

    @router.post("/desk/b/{broadcast_id}/end")
    async def end(request: Request, broadcast_id: str) -> Response:
        same_origin(request)
        user = await staff(request, deps)
        await deps.end_broadcast(user, broadcast_id)
        return RedirectResponse(f"/desk/b/{quote(broadcast_id)}", status_code=303)

    @router.post("/desk/b/{broadcast_id}/clips")
    async def clip(
        request: Request,
        broadcast_id: str,
        title: Annotated[str, Form()] = "",
        start: Annotated[list[str] | None, Form()] = None,
        stop: Annotated[list[str] | None, Form()] = None,
    ) -> Response:
        same_origin(request)
        user = await staff(request, deps)
        rows = _clip_rows(start or [], stop or [])
        answer = _clip_form(title, rows, _say(request))
        if isinstance(answer, ClipForm):
            made = await deps.create_clip(user, broadcast_id, answer)
            if not isinstance(made, FormErrors):
                return RedirectResponse(f"/desk/b/{quote(broadcast_id)}#clips", status_code=303)
            answer = made
        kept = {"title": title, "rows": rows}
        return await _desk_page(
            request,
            deps,
            renderer,
            user,
            broadcast_id,
            clip_form=kept,
            clip_errors=answer,
            status=422,
        )


def _clip_rows(starts: list[str], stops: list[str]) -> list[tuple[str, str]]:
    """What was typed, stretch by stretch; rows left empty are none, but one is always there."""
    rows = list(zip_longest(starts[:CLIP_ROWS_MAX], stops[:CLIP_ROWS_MAX], fillvalue=""))
    return [row for row in rows if any(text.strip() for text in row)] or [("", "")]


def _clip_form(title: str, rows: list[tuple[str, str]], _: Translate) -> ClipForm | FormErrors:
    errors, pieces = {}, []
    if not title.strip():
        errors["title"] = _("请给这段视频起个名字。")
    for number, (start, stop) in enumerate(rows, 1):
        # The first row's fields are called by their plain names, as forms with one row know them.
        nth = "" if number == 1 else f"-{number}"
        begin, end = parse_clock(start), parse_clock(stop)
        if begin is None:
            errors[f"start{nth}"] = _("请按“分:秒”填写，比如 12:05。")
        if end is None:
            errors[f"stop{nth}"] = _("请按“分:秒”填写，比如 15:30。")
        if begin is not None and end is not None:
            if end <= begin:
                errors[f"stop{nth}"] = _("结束要晚于开始。")
            pieces.append((begin, end))
    return FormErrors(errors) if errors else ClipForm(title.strip(), tuple(pieces))


def _desk_path(path: str) -> str:
    """Where signing in leads; only ever to a page of the desk."""
    return path if path == "/desk" or path.startswith("/desk/") else "/desk"
