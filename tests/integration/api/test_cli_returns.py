"""Plans, returns and reports from the command line, from nothing to the files handed in."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import docx
import openpyxl
import pytest

from catalog.centres import add_centre
from infra.database import Database
from infra.settings import Settings
from tests.integration.api.test_cli import Cli

FILE = Path(__file__).parents[2] / "support" / "xishuangbanna-2020-part.yaml"
YEAR = ("--plan", "chuxiong-2020", "--year", "2020")


# A dozen commands, each a Python of its own.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.fixture
def cli(settings: Settings) -> Cli:
    return Cli(settings)


def test_a_year_is_brought_into_an_empty_machine_and_handed_in(cli: Cli, tmp_path: Path) -> None:
    made = cli.json("return", "import", str(FILE), *YEAR)
    assert (made["entries"], made["broadcasts"], made["bad"], made["unlike"]) == (14, 5, [], [])
    assert cli.json("plan", "list")["items"][0]["centre"] == "西双版纳州文化馆"
    again = cli.json("return", "import", str(FILE), *YEAR)
    assert (again["entries"], again["broadcasts"], again["unchanged"]) == (0, 0, 19)
    centre = ("--centre", "西双版纳州文化馆")
    out = {form: tmp_path / f"out.{form}" for form in ("xlsx", "docx", "csv", "json")}
    for form, path in out.items():
        told = cli.json(
            "export", "report", *YEAR, *centre, "--format", form, "--out", str(path),
            "--done", "做法如下。",
        )  # fmt: skip
        assert (told["units"], told["out"]) == (2, str(path))
    book = openpyxl.load_workbook(out["xlsx"], data_only=True)
    rates = {row[2].value: row[7].value for row in book["景洪市文化馆"].iter_rows(min_row=6)}
    assert rates["年新增注册用户数"] == 172
    assert rates["年更新信息资源"] == 134.2
    texts = [p.text for p in docx.Document(str(out["docx"])).paragraphs]
    assert "做法如下。" in texts
    assert any(text.startswith("五是10月10日，") and "112.7分钟" in text for text in texts)
    table = list(csv.DictReader(out["csv"].read_text("utf-8-sig").splitlines()))
    assert {row["完成率"] for row in table} >= {"138%", "118.3%", "126.7%", "290%", "360%"}
    whole = json.loads(out["json"].read_text("utf-8"))
    assert whole["sentences"][0]["sum"].endswith("图片320幅，点击量235151次。")
    frozen = cli.json("return", "freeze", *YEAR, *centre)
    assert frozen["revision"] == 1
    cli.json(
        "export", "report", *YEAR, *centre, "--format", "json", "--out", str(out["json"]),
        "--return", "1",
    )  # fmt: skip
    kept = json.loads(out["json"].read_text("utf-8"))["return"]
    assert (kept["id"], kept["sha256"]) == (frozen["id"], frozen["sha256"])


def test_refusals(cli: Cli, database: Database, tmp_path: Path) -> None:
    out = tmp_path / "x.xlsx"
    report = ("export", "report", "--format", "xlsx", "--out", str(out))
    code, error = cli.refused(*report, *YEAR)
    assert (code, error["code"]) == (1, "plan_unknown")
    with database.transaction() as session:
        add_centre(session, "云南省文化馆", level="province")
    loaded = cli.json("plan", "load", "chuxiong-2020")
    assert loaded["centre"] == "云南省文化馆"
    # The plan is here, its centres are not: a name that is wrong must not become a centre.
    made = cli.json("return", "import", str(FILE), *YEAR)
    assert (made["entries"], made["centres_made"]) == (0, [])
    assert "西双版纳州文化馆" in made["bad"][0]["message"]
    code, error = cli.refused(*report, *YEAR, "--return", "3")
    assert (code, error["code"]) == (1, "return_unknown")
    assert list(tmp_path.glob("*x.xlsx*")) == []
    assert cli.run(*report, "--plan", "chuxiong-2020", "--year", "2020-2019").returncode == 2
