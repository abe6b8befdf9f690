"""Sheets, packages and webhooks over the API."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import bagit
import pytest
from httpx import AsyncClient
from openpyxl import Workbook, load_workbook

from api.app import Application
from api.routes import PREFIX
from catalog.models import Resource
from infra.database import Database
from infra.jobs import JobRunner
from infra.tables import Job
from tests.integration.api.conftest import Cast

XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def workbook(*rows: list[Any]) -> bytes:
    made = Workbook()
    assert made.active is not None
    for row in rows:
        made.active.append(row)
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


def upload(data: bytes) -> dict[str, Any]:
    return {"file": ("资源.xlsx", data, XLSX)}


async def test_a_sheet_comes_in_and_goes_out(web: AsyncClient, cast: Cast) -> None:
    staff = cast.bearer("staff")
    url = f"{PREFIX}/sheets/resources"
    data = workbook(["类型", "题名", "次序"], ["信息", "三跳开演", 1], ["信息", "坏", -1])
    found = await web.post(url, headers=staff, files=upload(data))
    assert found.status_code == 200, found.text
    assert found.json() == {
        "made": 1, "changed": 0, "unchanged": 0,
        "bad": [{"row": 3, "column": "次序", "reason": "要在 0 到 100000 之间"}],
    }  # fmt: skip
    for query in ("", "?q=三跳", "?kind=news&state=draft"):
        out = await web.get(f"{url}.xlsx{query}", headers=staff)
        assert out.headers["content-type"] == XLSX
        sheet = load_workbook(io.BytesIO(out.content))["资源"]
        assert [row[5 - 1] for row in sheet.iter_rows(values_only=True)] == ["题名", "三跳开演"]
    again = await web.post(url, headers=staff, files=upload(out.content))
    assert again.json() == {"made": 0, "changed": 0, "unchanged": 1, "bad": []}
    empty = await web.get(f"{PREFIX}/sheets/template.xlsx", headers=staff)
    assert load_workbook(io.BytesIO(empty.content)).sheetnames[0] == "资源"
    # Nobody else's: not for another county, not into one.
    out = await web.get(f"{url}.xlsx", headers=cast.stranger)
    assert load_workbook(io.BytesIO(out.content))["资源"].max_row == 1
    answer = await web.post(url, headers=staff, files=upload(data), data={"centre": "勐腊县文化馆"})
    assert answer.json()["code"] == "centre_unknown"
    for data, code in (
        ("题名\n三跳".encode("gb18030"), "sheet_not_xlsx"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "sheet_old"),
        (bytes(21 << 20), "sheet_large"),
        (bytes(25 << 20), "too_large"),
    ):
        answer = await web.post(url, headers=staff, files=upload(data))
        assert answer.json()["code"] == code
        assert answer.json()["detail"]


async def test_a_package_is_asked_for_made_and_fetched(
    web: AsyncClient, cast: Cast, application: Application, database: Database, tmp_path: Any
) -> None:
    import threading

    import vod.packages  # noqa: F401 (registers the handler)

    staff = cast.bearer("staff")
    made = await web.post(
        f"{PREFIX}/sheets/resources", headers=staff,
        files=upload(workbook(["类型", "题名"], ["信息", "三跳开演"])),
    )  # fmt: skip
    assert made.json()["made"] == 1
    with database.transaction() as session:
        key = session.query(Resource).one().id
    asked = await web.post(f"{PREFIX}/packages", headers=staff, json={"resource_ids": [key]})
    assert asked.status_code == 202, asked.text
    url = f"{PREFIX}/packages/{asked.json()['job_id']}"
    assert (await web.get(url, headers=staff)).json()["code"] == "package_not_ready"
    assert (await web.get(url, headers=cast.stranger)).status_code == 404
    runner = JobRunner(database, application.parts.settings, threading.Event())
    assert runner.look(asked.json()["job_id"]) == "done"
    told = (await web.get(f"{PREFIX}/jobs/{asked.json()['job_id']}", headers=staff)).json()
    assert told["state"] == "done"
    got = await web.get(url, headers=staff)
    assert got.status_code == 200
    assert got.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(got.content)) as found:
        found.extractall(tmp_path / "bag")
    (bag,) = (tmp_path / "bag").iterdir()
    bagit.Bag(str(bag)).validate()
    with database.transaction() as session:
        stored = session.get_one(Job, asked.json()["job_id"]).result["key"]
    application.parts.storage.delete(stored)
    assert (await web.get(url, headers=staff)).json()["code"] == "package_gone"


async def test_webhooks_are_kept_by_administrators(web: AsyncClient, cast: Cast) -> None:
    admin = cast.bearer("admin")
    url = f"{PREFIX}/webhooks"
    body = {"url": "https://hook.example.cn/in", "centre": cast.county}
    made = await web.post(url, headers=admin, json=body)
    assert made.status_code == 201, made.text
    assert made.json()["secret"].startswith("whsec_")
    one = f"{url}/{made.json()['id']}"
    shown = (await web.get(one, headers=admin)).json()
    assert "secret" not in shown
    assert (shown["url"], shown["enabled"]) == ("https://hook.example.cn/in", True)
    ping = await web.post(f"{one}/ping", headers=admin)
    assert (ping.status_code, ping.json()["state"]) == (202, "waiting")
    listed = (await web.get(f"{one}/deliveries", headers=admin)).json()["items"]
    assert [item["event"] for item in listed] == ["webhook.ping"]
    again = await web.post(f"{one}/deliveries/{listed[0]['id']}/again", headers=admin)
    assert again.status_code == 202
    for change, code in (
        ({"url": "http://169.254.169.254:99999/"}, "webhook_url"),
        ({"events": ["resource.eaten"]}, "webhook_event"),
    ):
        answer = await web.patch(one, headers=admin, json=change)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    off = await web.patch(one, headers=admin, json={"enabled": False})
    assert off.json()["enabled"] is False
    assert (await web.post(f"{one}/ping", headers=admin)).json()["code"] == "webhook_off"
    assert (await web.delete(one, headers=admin)).status_code == 204
    assert (await web.get(one, headers=admin)).status_code == 404


@pytest.mark.parametrize("role", ["viewer", "studio", "supervisor"])
async def test_who_may_not_pack(web: AsyncClient, cast: Cast, role: str) -> None:
    answer = await web.post(f"{PREFIX}/packages", headers=cast.bearer(role), json={"year": 2025})
    assert answer.status_code == 403
