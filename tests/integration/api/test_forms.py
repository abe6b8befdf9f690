"""Phone forms over the API: asked for, listed with their jobs, refused with a reason, in reach."""

from __future__ import annotations

import pytest
from httpx import AsyncClient
from sqlalchemy import select

from catalog.minutes import TICKS_A_SECOND as T
from catalog.models import AuditEntry, Broadcast, Centre, Rendition, Work
from infra.database import Database
from infra.ids import public_id, secret_token
from infra.tables import Job
from tests.integration.api.conftest import Cast
from tests.support.stage import make_stage

API = "/api/v1"
NASTY = "%{pts}':drawtext=text='x';[in]"


@pytest.fixture
def clip(database: Database, cast: Cast) -> str:
    """A clip of ten seconds, ready, as rows."""
    with database.transaction() as session:
        stage = make_stage(session, centre=session.get_one(Centre, cast.county))
        take = stage.open()
        stage.slots(take, stage.run(take), [2 * T] * 30)
        work = Work(
            id=public_id(), centre_id=cast.county, broadcast_id=stage.broadcast.id, kind="clip",
            state="ready", title="象脚鼓舞", media_token=secret_token(), duration_ticks=10 * T,
            edit_list=[[stage.broadcast.id, 0, 10 * T]], mp4_key="works/x/download.mp4",
        )  # fmt: skip
        session.add(work)
        session.add(
            Rendition(token=work.media_token, name="v360", kind="video", copied=False, codecs="x")
        )
        session.flush()
        return work.id


async def test_asking_and_following(
    web: AsyncClient, cast: Cast, database: Database, clip: str
) -> None:
    third = {"text": "岩温罕", "sub": NASTY, "start": 1, "stop": 4.5}
    asked = await web.post(
        f"{API}/works/{clip}/forms",
        json={"form": "vertical", "title": "春晚😀", "lower_thirds": [third]},
        headers=cast.bearer("staff"),
    )
    assert asked.status_code == 202, asked.text
    told = asked.json()
    assert (told["form"], told["state"], told["clip_id"]) == ("vertical", "making", clip)
    assert told["left_out"] == "😀"
    assert told["job"]["kind"] == "form"
    assert told["hls_url"] is None
    with database.transaction() as session:
        work = session.get_one(Work, told["id"])
        assert work.making["title"] == "春晚"
        assert work.making["centre"] == "勐海县文化馆"
        # What looks like a command is text like any other.
        assert work.making["thirds"] == [["岩温罕", NASTY, T, 9 * T // 2]]
        noted = session.scalars(select(AuditEntry.action).where(AuditEntry.object_id == work.id))
        assert list(noted) == ["form.make"]
        session.scalars(select(Job).where(Job.kind == "form")).one().progress_permille = 420
    listed = await web.get(f"{API}/works/{clip}/forms", headers=cast.bearer("reviewer_1"))
    (item,) = listed.json()["items"]
    assert (item["id"], item["job"]["progress"]) == (told["id"], 0.42)

    again = await web.post(
        f"{API}/works/{clip}/forms", json={"form": "vertical"}, headers=cast.bearer("staff")
    )
    assert (again.status_code, again.json()["code"]) == (409, "form_under_way")
    assert "竖版" in again.json()["detail"]
    # One that was cancelled is gone from the list at once, and another may be asked for.
    cancelled = await web.post(
        f"{API}/jobs/{told['job']['id']}/cancel", headers=cast.bearer("staff")
    )
    assert cancelled.status_code == 200
    listed = await web.get(f"{API}/works/{clip}/forms", headers=cast.bearer("staff"))
    assert listed.json()["items"] == []
    again = await web.post(
        f"{API}/works/{clip}/forms", json={"form": "vertical"}, headers=cast.bearer("staff")
    )
    assert again.status_code == 202


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"form": "round"}, 422, "bad_input"),
        ({"form": "vertical", "surprise": 1}, 422, "bad_input"),
        ({"form": "vertical", "title": ""}, 422, "form_title_empty"),
        ({"form": "vertical", "title": "😀🎉"}, 422, "form_text_undrawable"),
        ({"form": "vertical", "title": "长" * 61}, 422, "form_text_long"),
        ({"form": "vertical", "title": "长" * 501}, 422, "bad_input"),
        (
            {"form": "square", "lower_thirds": [{"text": "玉", "start": 9, "stop": 12}]},
            422,
            "form_third_times",
        ),
        (
            {"form": "square", "lower_thirds": [{"text": "玉", "start": 0, "stop": 5}] * 13},
            422,
            "bad_input",
        ),
        ({"form": "square", "lower_thirds": [{"text": "玉", "start": 0}]}, 422, "bad_input"),
    ],
)
async def test_refusals_are_sentences(
    web: AsyncClient, cast: Cast, clip: str, body: dict[str, object], status: int, code: str
) -> None:
    answer = await web.post(f"{API}/works/{clip}/forms", json=body, headers=cast.bearer("staff"))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["detail"].endswith("。")


async def test_others_clips_are_not_there(web: AsyncClient, cast: Cast, clip: str) -> None:
    for headers in (cast.stranger, cast.bearer("studio")):
        asked = await web.post(
            f"{API}/works/{clip}/forms", json={"form": "square"}, headers=headers
        )
        seen = await web.get(f"{API}/works/{clip}/forms", headers=headers)
        assert asked.status_code == seen.status_code == 404
        assert asked.json()["code"] == seen.json()["code"] == "clip_not_found"


async def test_a_stretch_becomes_a_clip_and_a_form(
    web: AsyncClient, cast: Cast, database: Database, clip: str
) -> None:
    with database.transaction() as session:
        source = session.scalars(select(Broadcast.id)).one()
    body = {"source": source, "in": 20, "out": 30, "name": "布朗弹唱", "form": "square"}
    asked = await web.post(f"{API}/forms", json=body, headers=cast.bearer("staff"))
    assert asked.status_code == 202, asked.text
    with database.transaction() as session:
        form = session.get_one(Work, asked.json()["id"])
        made = session.get_one(Work, asked.json()["clip_id"])
        assert form.edit_list == made.edit_list == [[source, 20 * T, 30 * T]]
        assert (made.form, made.title, form.title) == ("wide", "布朗弹唱", "布朗弹唱（方版）")
        kinds = set(session.scalars(select(Job.kind)))
    assert {"clip", "form"} <= kinds
    past = await web.post(f"{API}/forms", json={**body, "out": 900}, headers=cast.bearer("staff"))
    assert (past.status_code, past.json()["code"]) == (422, "clip_past_end")
    theirs = await web.post(f"{API}/forms", json=body, headers=cast.stranger)
    assert theirs.status_code == 404
