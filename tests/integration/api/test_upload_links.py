"""The ways to the page of uploads: from a show's own desk page and from an exhibition's."""

from __future__ import annotations

import datetime as dt

import pytest
from httpx import AsyncClient

from catalog.models import Broadcast, User
from catalog.records import service
from infra.database import Database
from infra.settings import Settings
from tests.support.library_stage import Stage, seed

START = dt.datetime(2026, 2, 3, 12, tzinfo=dt.UTC)


@pytest.fixture
def stage(database: Database, settings: Settings) -> Stage:
    made = seed(database, settings, empty=True)
    staff = made.actors["staff"]
    with database.transaction() as session:
        centre = session.get_one(User, staff.user_id).centre
        wall = service.create(
            session, staff, kind="exhibition", centre=centre, fields={"title": "茶山四季"}
        )
        made.records["wall"] = wall.id
        show = Broadcast(
            id="show", centre_id=centre.id, title="村晚", media_token="t" * 22, state="ended",
            started_at=START, ended_at=START + dt.timedelta(hours=2),
        )  # fmt: skip
        session.add(show)
    return made


@pytest.mark.parametrize(
    ("page", "link", "place"),
    [
        ("/desk/b/show", "/desk/uploads?broadcast=show", "会归到“村晚”这一场"),
        ("/desk/exhibitions/{wall}", "/desk/uploads?exhibition={wall}", "照片会放进展览“茶山四季”"),
    ],
)
async def test_one_button_leads_there(
    web: AsyncClient, stage: Stage, page: str, link: str, place: str
) -> None:
    web.cookies.set("xitai_session", stage.people["staff"])
    page, link = (text.format(**stage.records) for text in (page, link))
    assert f'href="{link}"' in (await web.get(page)).text
    assert place in (await web.get(link)).text
    # Who may send nothing is not led there.
    web.cookies.set("xitai_session", stage.people["reviewer_1"])
    assert f'href="{link}"' not in (await web.get(page)).text
