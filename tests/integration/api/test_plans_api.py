"""Plans over the API: one click to load, values by hand, the report; and whose they are."""

from __future__ import annotations

from typing import Any

import pytest
from httpx import AsyncClient

from api.routes import PREFIX
from tests.integration.api.conftest import Cast

PLANS = f"{PREFIX}/plans"
NOTE = [{"kind": "note", "text": "平台后台截图"}]


@pytest.fixture
async def plan(web: AsyncClient, cast: Cast) -> dict[str, Any]:
    """The Chuxiong plan, kept by the prefecture."""
    made = await web.post(
        f"{PLANS}/load",
        json={"template": "chuxiong-2020", "centre": "西双版纳州文化馆"},
        headers=cast.bearer("admin"),
    )
    assert made.status_code == 201, made.text
    found: dict[str, Any] = made.json()
    return found


async def test_a_plan_from_load_to_report(
    web: AsyncClient, cast: Cast, plan: dict[str, Any]
) -> None:
    assert len(plan["targets"]) == 45
    assert sorted(plan["units"]["县（市）文化馆"]) == ["勐海县文化馆", "勐腊县文化馆"]
    shipped = await web.get(f"{PLANS}/templates", headers=cast.bearer("staff"))
    assert {row["code"] for row in shipped.json()} == {
        "chuxiong-2020",
        "national-centre-2019",
        "shanxi-2023",
    }
    again = await web.post(
        f"{PLANS}/load",
        json={"template": "chuxiong-2020", "centre": cast.prefecture},
        headers=cast.bearer("admin"),
    )
    assert (again.status_code, again.json()["code"]) == (409, "plan_exists")
    at = f"{PLANS}/chuxiong-2020"
    kept = await web.post(
        f"{at}/entries",
        json={"code": "cx.x.av_share", "value": "64", "evidence": NOTE},
        headers=cast.bearer("clerk"),
    )
    assert kept.status_code == 201, kept.text
    told = await web.get(f"{at}/report", headers=cast.bearer("supervisor"))
    (unit,) = told.json()["units"]
    share = next(line for line in unit["lines"] if line["code"] == "cx.x.av_share")
    assert (share["count"], share["count_target"], share["rate"]) == ([64, 1], [60, 1], [320, 3])
    table = (await web.get(f"{at}/matrix", headers=cast.bearer("staff"))).json()
    cell = table["rows"][0]["cells"][table["columns"].index("其中音视频资源")]
    assert (cell["word"], cell["percent"], cell["target"]) == ("已完成", "106.7%", "60条")
    owed = (await web.get(f"{at}/owed", headers=cast.bearer("staff"))).json()
    assert owed["text"].startswith("今年还欠：")
    entry = kept.json()["id"]
    back = await web.post(f"{at}/entries/{entry}/withdraw", headers=cast.bearer("staff"))
    assert back.json()["withdrawn_at"] is not None
    left = await web.get(f"{at}/entries", headers=cast.bearer("staff"))
    assert left.json() == []


async def test_bad_values_are_answered_in_chinese(
    web: AsyncClient, cast: Cast, plan: dict[str, Any]
) -> None:
    at = f"{PLANS}/{plan['id']}"

    async def entered(**more: Any) -> tuple[int, str]:
        body = {"code": "cx.x.users", "value": "1", "evidence": NOTE} | more
        answer = await web.post(f"{at}/entries", json=body, headers=cast.bearer("staff"))
        return answer.status_code, answer.json()["detail"]

    assert await entered(value="-3") == (422, "数值填得不对：不能小于 0。")
    assert await entered(value="1e400") == (422, "数值填得不对：数字太大。")
    assert await entered(evidence=[]) == (422, "请附上依据：文件、链接或说明，至少一项。")
    assert (await entered(year=2150))[1] == "这段时间还没有开始，不能填报。"
    assert (await entered(code="cx.z.users"))[0] == 422
    assert (await entered(code="nothing"))[0] == 404
    admin = cast.bearer("admin")
    wrong = [*plan["targets"], plan["targets"][0]]
    answer = await web.put(f"{at}/targets", json={"targets": wrong}, headers=admin)
    assert answer.json()["detail"] == "指标编号 cx.z.info_month 出现了两次。"
    changed = [{**plan["targets"][0], "value": "0"}, *plan["targets"][1:]]
    body = {"targets": changed, "expect_version": 1}
    assert (await web.put(f"{at}/targets", json=body, headers=admin)).json()["version"] == 2
    stale = await web.put(f"{at}/targets", json=body, headers=admin)
    assert (stale.status_code, stale.json()["code"]) == (409, "plan_changed")
    head = await web.patch(f"{at}", json={"switches": {"clicks": "page_views"}}, headers=admin)
    assert (head.json()["version"], head.json()["title"]) == (3, plan["title"])
    bad = await web.patch(f"{at}", json={"milestones": [{"by": "2020-02-30"}]}, headers=admin)
    assert bad.json()["detail"] == "“进度要求”填得不对：日期不对。"


async def test_nobody_sees_or_changes_what_is_not_theirs(
    web: AsyncClient, cast: Cast, plan: dict[str, Any]
) -> None:
    at = f"{PLANS}/{plan['id']}"
    # The county sees its prefecture's plan; it may not change it, nor look into a sister county.
    assert (await web.get(at, headers=cast.bearer("staff"))).status_code == 200
    for method, path, body in (
        ("PATCH", at, {"title": "我的"}),
        ("PUT", f"{at}/targets", {"targets": []}),
        ("PUT", f"{at}/units", {"units": {}}),
        ("POST", f"{at}/units/assign", None),
        ("POST", f"{at}/withdraw", None),
    ):
        answer = await web.request(method, path, json=body, headers=cast.bearer("staff"))
        assert (answer.status_code, answer.json()["code"]) == (403, "plan_not_yours"), path
    look = await web.get(f"{at}/report?centre=勐腊县文化馆", headers=cast.bearer("staff"))
    assert look.status_code == 404
    given = {"code": "cx.x.users", "value": 1, "evidence": NOTE, "centre": cast.other}
    other = await web.post(f"{at}/entries", json=given, headers=cast.bearer("staff"))
    assert other.status_code == 404
    kept = await web.post(f"{at}/entries", json=given, headers=cast.stranger)
    mine = await web.get(f"{at}/entries", headers=cast.bearer("staff"))
    assert (kept.status_code, mine.json()) == (201, [])
    taken = await web.post(
        f"{at}/entries/{kept.json()['id']}/withdraw", headers=cast.bearer("staff")
    )
    assert taken.status_code == 404
    # A county's own plan is its own: the sister county knows nothing of it.
    own = await web.post(
        PLANS,
        json={"code": "own", "title": "本馆计划", "year": 2026},
        headers=cast.bearer("staff"),
    )
    assert own.status_code == 201
    unseen = await web.get(f"{PLANS}/{own.json()['id']}", headers=cast.stranger)
    assert (unseen.status_code, unseen.json()["code"]) == (404, "plan_unknown")


@pytest.mark.parametrize(
    ("at", "code"),
    [
        ("9999-12-31T23:59:59.999999Z", "return_cut_off"),
        ("0001-01-01T00:00:00+14:00", "return_year"),
    ],
)
async def test_a_cut_off_no_report_can_have(
    web: AsyncClient, cast: Cast, plan: dict[str, Any], at: str, code: str
) -> None:
    url = f"{PLANS}/{plan['id']}/report"
    refused = await web.get(url, params={"cut_off": at}, headers=cast.bearer("admin"))
    assert (refused.status_code, refused.json()["code"]) == (422, code)
