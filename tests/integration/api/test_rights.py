"""Every route × every role × inside and outside the subtree, walked from the application itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.routing import APIRoute
from httpx import AsyncClient

from api.app import Application
from api.rights import RIGHTS, Action
from api.routes import PREFIX, ROUTERS
from catalog.models import ROLES
from tests.integration.api.conftest import Cast

OPEN = {
    ("POST", f"{PREFIX}/plays"),
    ("GET", f"{PREFIX}/broadcasts/{{broadcast_id}}/public"),
    ("GET", f"{PREFIX}/search"),
    ("GET", f"{PREFIX}/search/suggest"),
}
"""Routes that ask for nobody's credentials."""
SIGNED_IN = {("GET", f"{PREFIX}/me")}
"""Routes that ask for anybody's."""


def api_routes() -> Iterator[tuple[str, str, Action | None]]:
    """(method, path, action it asks for) of every API route."""
    for route in (route for router in ROUTERS for route in router.routes):
        assert isinstance(route, APIRoute)
        actions = {
            found
            for dependant in route.dependant.dependencies
            if (found := getattr(dependant.call, "action", None)) is not None
        }
        assert len(actions) <= 1, route.path
        for method in route.methods or ():
            yield method, f"{PREFIX}{route.path}", next(iter(actions), None)


def fill(path: str, broadcast_id: str) -> str:
    return (
        path.replace("{broadcast_id}", broadcast_id)
        .replace("{clip_id}", "nothing")
        .replace("{work_id}", "nothing")
        .replace("{job_id}", "999999")
        .replace("{user_id}", "nothing")
        .replace("{handle}", "0" * 16)
        .replace("{resource_id}", "nothing")
        .replace("{genre_id}", "nothing")
        .replace("{return_id}", "nothing")
        .replace("{plan_id}", "nothing")
        .replace("{entry_id}", "999999")
        .replace("{webhook_id}", "nothing")
        .replace("{delivery_id}", "999999")
        .replace("{item_id}", broadcast_id)
        .replace("{programme_id}", broadcast_id)
        .replace("{mark_id}", "999999")
        .replace("{still_key}/{size}", "s999999/full")
        .replace("{reading_id}", "999999")
        .replace("{upload_id}", "0" * 32)
        .replace("{kind}/{object_id}", "resource/nothing")
    )


@pytest.fixture
async def broadcast_id(web: AsyncClient, cast: Cast) -> str:
    made = await web.post(
        f"{PREFIX}/broadcasts", json={"title": "元宵晚会"}, headers=cast.bearer("staff")
    )
    assert made.status_code == 201, made.text
    found: str = made.json()["id"]
    return found


def test_every_route_asks_for_a_right(application: Application) -> None:
    listed = list(api_routes())
    told = application.faces.openapi()["paths"]
    assert {(m, p) for m, p, _ in listed} == {
        (method.upper(), path) for path, methods in told.items() for method in methods
    }
    for method, path, action in listed:
        if (method, path) in OPEN | SIGNED_IN:
            assert action is None
        else:
            assert action in RIGHTS, f"{method} {path} asks for no right"


async def test_routes_times_roles(web: AsyncClient, cast: Cast, broadcast_id: str) -> None:
    for method, path, action in api_routes():
        url = fill(path, broadcast_id)
        nobody = await web.request(method, url)
        bad = await web.request(method, url, headers={"authorization": "Bearer nonsense"})
        if (method, path) in OPEN:
            assert nobody.status_code not in (401, 403)
            continue
        assert nobody.status_code == bad.status_code == 401, path
        assert nobody.headers["www-authenticate"].startswith("Bearer")
        for role in ROLES:
            answer = await web.request(method, url, headers=cast.bearer(role))
            allowed = action is None or role in RIGHTS[action]
            if allowed:
                assert answer.status_code not in (401, 403, 500), (method, path, role)
            else:
                assert answer.status_code == 403, (method, path, role)
                assert answer.json()["code"] == "not_allowed"


async def test_another_countys_broadcast_is_not_there(
    web: AsyncClient, cast: Cast, broadcast_id: str
) -> None:
    for method, path, _action in api_routes():
        if "{broadcast_id}" not in path or (method, path) in OPEN:
            continue
        body: dict[str, object] = {"title": "偷", "in": 0, "out": 1}
        if path.endswith("/standing"):
            body = {"standing": "test"}
        url = fill(path, broadcast_id)
        answer = await web.request(method, url, headers=cast.stranger, json=body)
        assert answer.status_code == 404, (method, path)
        assert answer.json()["code"] == "broadcast_not_found"
    listed = (await web.get(f"{PREFIX}/broadcasts", headers=cast.stranger)).json()["items"]
    assert listed == []
    answer = await web.get(f"{PREFIX}/broadcasts", headers=cast.bearer("staff"))
    mine = answer.json()["items"]
    assert [item["id"] for item in mine] == [broadcast_id]


async def test_nobody_makes_a_broadcast_for_another_county(web: AsyncClient, cast: Cast) -> None:
    for centre in (cast.other, cast.prefecture, "勐腊县文化馆"):
        answer = await web.post(
            f"{PREFIX}/broadcasts",
            json={"title": "元宵", "centre": centre},
            headers=cast.bearer("staff"),
        )
        assert answer.status_code == 404
        assert answer.json()["code"] == "centre_unknown"


async def test_a_cookie_works_only_from_our_own_pages(web: AsyncClient, cast: Cast) -> None:
    web.cookies.set("xitai_session", cast.admin_session)
    assert (await web.get(f"{PREFIX}/me")).json()["role"] == "admin"
    body = {"name": "勐遮镇文化站"}
    for headers in (
        {},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"origin": "https://evil.example"},
    ):
        answer = await web.post(f"{PREFIX}/centres", json=body, headers=headers)
        assert answer.status_code == 403, headers
        assert answer.json()["code"] == "foreign_post"
    ours = await web.post(f"{PREFIX}/centres", json=body, headers={"sec-fetch-site": "same-origin"})
    assert ours.status_code == 201
