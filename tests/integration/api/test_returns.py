"""Returns over the API: freeze, show, download, long files as jobs, an old year brought in."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import docx
import openpyxl
import pytest
from httpx import AsyncClient
from sqlalchemy import update

import catalog.returns.jobs
from api.routes import PREFIX
from catalog.audit import SYSTEM
from catalog.models import Centre
from catalog.plans.service import load_template
from infra.database import Database
from infra.jobs import JobRunner
from infra.settings import Settings
from infra.tables import Job
from tests.integration.api.conftest import Cast

assert catalog.returns.jobs.KIND == "report"  # its handler is registered

FILE = Path(__file__).parents[2] / "support" / "xishuangbanna-2020-part.yaml"
PLAN = "chuxiong-2020"


@pytest.fixture
def admin(cast: Cast, database: Database) -> dict[str, str]:
    """The plan is kept by the prefecture; 勐海县文化馆 goes by the file's county name."""
    with database.transaction() as session:
        session.execute(update(Centre).where(Centre.id == cast.county).values(name="景洪市文化馆"))
        load_template(session, SYSTEM, PLAN, session.get_one(Centre, cast.prefecture))
    return cast.bearer("admin")


async def bring(web: AsyncClient, who: dict[str, str], data: bytes | None = None) -> Any:
    answer = await web.post(
        f"{PREFIX}/returns/import",
        params={"plan": PLAN, "year": 2020},
        files={"file": ("2020.yaml", data or FILE.read_bytes())},
        headers=who,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_a_year_from_file_to_frozen_return(
    web: AsyncClient, cast: Cast, admin: dict[str, str]
) -> None:
    made = await bring(web, admin)
    assert (made["entries"], made["broadcasts"], made["bad"], made["unlike"]) == (14, 5, [], [])
    body = {"plan": PLAN, "centre": cast.prefecture, "year": 2020}
    kept = (await web.post(f"{PREFIX}/returns", json=body, headers=admin)).json()
    assert (kept["revision"], kept["centre"], kept["intact"]) == (1, "西双版纳州文化馆", True)
    users = next(row for row in kept["rows"] if row["code"] == "cx.z.users")
    assert (users["actual"], users["target"], users["rate"]) == ("414", "300", "138%")
    again = await web.post(f"{PREFIX}/returns", json=body, headers=admin)
    assert (again.status_code, again.json()["code"]) == (422, "return_why")
    await bring(web, admin, FILE.read_text("utf-8").replace("v: 414", "v: 420").encode())
    second = await web.post(f"{PREFIX}/returns", json=body | {"why": "漏报6人"}, headers=admin)
    assert second.status_code == 201
    change = second.json()["corrections"][0]
    assert (change["name"], change["old"], change["new"]) == ("年新增注册用户数", "414人", "420人")
    listed = await web.get(f"{PREFIX}/returns", params={"plan": PLAN}, headers=admin)
    assert [item["revision"] for item in listed.json()["items"]] == [2, 1]
    url = f"{PREFIX}/returns/{kept['id']}"
    book = await web.get(f"{url}/file", params={"format": "xlsx"}, headers=admin)
    told = openpyxl.load_workbook(io.BytesIO(book.content), data_only=True)
    assert {"汇总", "西双版纳州文化馆", "景洪市文化馆", "证据"} <= set(told.sheetnames)
    assert "filename*=UTF-8''" in book.headers["content-disposition"]
    word = await web.get(f"{url}/file", params={"format": "docx"}, headers=admin)
    texts = [p.text for p in docx.Document(io.BytesIO(word.content)).paragraphs]
    assert any("注册用户414人，完成138%" in text for text in texts)
    for form in ("csv", "json"):
        answer = await web.get(f"{url}/file", params={"format": form}, headers=admin)
        assert answer.status_code == 200
        assert "138%" in answer.text


async def test_a_county_sees_its_own_and_no_more(
    web: AsyncClient, cast: Cast, admin: dict[str, str]
) -> None:
    await bring(web, admin)
    body = {"plan": PLAN, "centre": cast.prefecture, "year": 2020}
    kept = (await web.post(f"{PREFIX}/returns", json=body, headers=admin)).json()
    clerk = cast.bearer("clerk")
    for url in (f"{PREFIX}/returns/{kept['id']}", f"{PREFIX}/returns/{kept['id']}/file"):
        answer = await web.get(url, headers=clerk)
        assert (answer.status_code, answer.json()["code"]) == (404, "return_unknown")
    assert (await web.get(f"{PREFIX}/returns", headers=clerk)).json()["items"] == []
    above = await web.post(f"{PREFIX}/returns", json=body, headers=clerk)
    assert (above.status_code, above.json()["code"]) == (404, "centre_unknown")
    own = await web.post(f"{PREFIX}/returns", json=body | {"centre": None}, headers=clerk)
    assert own.status_code == 201
    assert {row["centre"] for row in own.json()["rows"]} == {"景洪市文化馆"}
    # A county's file may hold only its own values.
    brought = await bring(web, clerk)
    assert brought["unchanged"] == 7
    assert {row["where"] for row in brought["bad"]} >= {"西双版纳州文化馆"}
    draft = {"plan": PLAN, "year": "2020", "centre": cast.other}
    answer = await web.get(f"{PREFIX}/returns/draft", params=draft, headers=clerk)
    assert (answer.status_code, answer.json()["code"]) == (404, "centre_unknown")


async def test_a_long_file_is_a_job(
    web: AsyncClient, cast: Cast, admin: dict[str, str], database: Database, settings: Settings
) -> None:
    await bring(web, admin)
    body = {
        "plan": PLAN, "centre": cast.prefecture, "year": 2018, "until": 2020, "format": "docx",
        "done": "做法。",
    }  # fmt: skip
    promised = await web.post(f"{PREFIX}/returns/jobs", json=body, headers=admin)
    assert promised.status_code == 202, promised.text
    job = promised.json()["id"]
    url = f"{PREFIX}/returns/jobs/{job}/file"
    early = await web.get(url, headers=admin)
    assert (early.status_code, early.json()["code"]) == (409, "return_file_not_ready")
    assert JobRunner(database, settings, threading.Event()).look(job) == "done"
    answer = await web.get(url, headers=admin)
    assert answer.status_code == 200
    texts = [p.text for p in docx.Document(io.BytesIO(answer.content)).paragraphs]
    assert {"2018年", "2020年", "做法。"} <= set(texts)
    assert (await web.get(url, headers=cast.bearer("clerk"))).status_code == 404
    with database.transaction() as session:
        done = session.get_one(Job, job)
        assert done.progress_permille is None or done.progress_permille <= 1000
        assert done.ended_at is not None
        later = done.ended_at + catalog.returns.jobs.KEEP * 2
        assert catalog.returns.jobs.forget_old(session, later) == [f"reports/{job}.docx"]
    gone = await web.get(url, headers=admin)
    assert (gone.status_code, gone.json()["code"]) == (410, "return_file_gone")


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"\xff\xfe", 422, "return_file_text"),
        (b"x: [", 422, "return_file_yaml"),
        (b" " * ((1 << 20) + 1), 413, "return_file_large"),
    ],
)
async def test_a_bad_file_is_one_clear_sentence(
    web: AsyncClient, admin: dict[str, str], data: bytes, status: int, code: str
) -> None:
    answer = await web.post(
        f"{PREFIX}/returns/import",
        params={"plan": PLAN, "year": 2020},
        files={"file": ("x.yaml", data)},
        headers=admin,
    )
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.json()["detail"].endswith("。")
