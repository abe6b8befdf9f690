"""One's own password, and an administrator's pages of people and centres."""

from __future__ import annotations

from httpx import AsyncClient
from sqlalchemy import select

from catalog.accounts import create_user, open_session, password_opens
from catalog.centres import get_centre
from catalog.models import AuditEntry, Centre, User
from infra.database import Database
from tests.integration.api.conftest import PASSWORD, Cast

OURS = {"sec-fetch-site": "same-origin"}
NEW = "又一句很好记的话-7788"


async def test_one_changes_ones_own_password(
    web: AsyncClient, cast: Cast, database: Database
) -> None:
    web.cookies.set("xitai_session", cast.admin_session)
    wrong = await web.post(
        "/desk/account/password", data={"old": "不是它", "password": NEW}, headers=OURS
    )
    assert wrong.status_code == 422
    assert "现在的密码不对" in wrong.text
    done = await web.post(
        "/desk/account/password", data={"old": PASSWORD, "password": NEW}, headers=OURS
    )
    assert done.status_code == 303
    fresh = done.cookies["xitai_session"]
    with database.transaction() as session:
        assert password_opens(session, "admin", NEW) is not None
    web.cookies.clear()
    web.cookies.set("xitai_session", cast.admin_session)
    assert (await web.get("/desk")).status_code == 303, "the old session is over"
    web.cookies.clear()
    web.cookies.set("xitai_session", fresh)
    assert (await web.get("/desk/account")).status_code == 200, "this browser goes on"


async def test_the_old_password_is_not_guessed_at(
    web: AsyncClient, cast: Cast, redis_client: object
) -> None:
    web.cookies.set("xitai_session", cast.admin_session)
    path, tried = "/desk/account/password", {"password": NEW}
    for number in range(30):
        answer = await web.post(path, data=tried | {"old": f"不是它-{number}"}, headers=OURS)
        if "试的次数太多了" in answer.text:
            break
    else:
        raise AssertionError("thirty guesses, and no end")
    right = await web.post(path, data=tried | {"old": PASSWORD}, headers=OURS)
    assert right.status_code == 422
    assert "试的次数太多了" in right.text


async def test_an_administrator_makes_and_stops_accounts(
    web: AsyncClient, cast: Cast, database: Database
) -> None:
    web.cookies.set("xitai_session", cast.admin_session)
    form = {
        "name": "岩温",
        "login": "yanwen",
        "role": "reviewer_2",
        "centre": cast.county,
        "password": "short",
    }
    refused = await web.post("/desk/people", data=form, headers=OURS)
    assert refused.status_code == 422
    assert 'value="yanwen"' in refused.text, "what was filled in is still there"
    made = await web.post("/desk/people", data=form | {"password": NEW}, headers=OURS)
    assert made.status_code == 303
    page = await web.get("/desk/people")
    assert "岩温" in page.text
    with database.transaction() as session:
        user = session.scalars(select(User).where(User.login == "yanwen")).one()
        assert user.role == "reviewer_2"
        key = user.id
        own = session.scalars(select(User.id).where(User.login == "admin")).one()
    assert (await web.post(f"/desk/people/{key}/disable", headers=OURS)).status_code == 303
    lockout = await web.post(f"/desk/people/{own}/disable", headers=OURS)
    assert lockout.status_code == 422
    assert "不能停用自己的账号" in lockout.text
    with database.transaction() as session:
        assert password_opens(session, "yanwen", NEW) is None
        log = session.execute(
            select(AuditEntry.action, AuditEntry.centre_id).order_by(AuditEntry.id)
        )
        assert log.all() == [("user.create", cast.county), ("user.disable", cast.county)]
    # Nor over the API does anybody lock themselves out.
    api = await web.post(f"/api/v1/users/{own}/disable", headers=OURS)
    assert (api.status_code, api.json()["code"]) == (409, "account_self")


async def test_a_small_centre_needs_fewer_reviewers(
    web: AsyncClient, cast: Cast, database: Database
) -> None:
    web.cookies.set("xitai_session", cast.admin_session)
    path = f"/desk/centres/{cast.county}/reviewers"
    assert (await web.post(path, data={"number": "1"}, headers=OURS)).status_code == 303
    assert (await web.post(path, data={"number": "9"}, headers=OURS)).status_code == 422
    form = {"name": "勐混镇文化站", "parent": cast.county, "level": "station"}
    assert (await web.post("/desk/centres", data=form, headers=OURS)).status_code == 303
    with database.transaction() as session:
        county = session.get_one(Centre, cast.county)
        assert county.reviewers == 1
        assert get_centre(session, "勐混镇文化站").path.startswith(county.path)


async def test_these_pages_are_the_administrators(
    web: AsyncClient, cast: Cast, database: Database
) -> None:
    with database.transaction() as session:
        centre = session.get_one(Centre, cast.county)
        user = create_user(
            session, login="staff", name="馆员", role="staff", centre=centre, password=PASSWORD
        )
        secret = open_session(session, user, user.created_at)
    web.cookies.set("xitai_session", secret)
    assert (await web.get("/desk/people")).status_code == 403
    assert (await web.get("/desk/account")).status_code == 200
    for path in ("/desk/people", "/desk/centres", f"/desk/centres/{cast.county}/reviewers"):
        assert (await web.post(path, headers=OURS)).status_code == 403
    foreign = await web.post("/desk/account/password", headers={"sec-fetch-site": "cross-site"})
    assert foreign.status_code == 403
