"""Sheets of records: out, changed by people, and in again, without loss and without doubles."""

from __future__ import annotations

import datetime as dt
import io
import shutil
import subprocess
import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from openpyxl import Workbook, load_workbook
from openpyxl.worksheet.worksheet import Worksheet
from sqlalchemy import func, select

from catalog.audit import Actor
from catalog.centres import add_centre
from catalog.models import AuditEntry, Centre, Resource, ResourceVersion
from catalog.records import service, sheets
from catalog.records.sheet_columns import TOO_LONG
from catalog.records.sheets import Bad, ImportResult
from infra.database import Database

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
NASTY = '=HYPERLINK("http://evil.example","点我")'


class House:
    """A prefecture with two counties, and somebody of the first."""

    def __init__(self, database: Database) -> None:
        self.database = database
        with database.transaction() as session:
            self.prefecture = add_centre(session, "西双版纳州文化馆", level="prefecture")
            self.county = add_centre(session, "勐海县文化馆", parent=self.prefecture)
            self.station = add_centre(session, "打洛镇文化站", parent=self.county)
            self.other = add_centre(session, "勐腊县文化馆", parent=self.prefecture)
        self.staff = Actor(None, "岩温", "staff", centre_path=self.county.path)

    def bring(self, file: io.BytesIO, actor: Actor | None = None) -> ImportResult:
        with self.database.transaction() as session:
            home = session.get_one(Centre, self.county.id)
            return sheets.import_sheet(session, actor or self.staff, file, home, now=NOW)

    def out(self, ids: Sequence[str], **options: Any) -> io.BytesIO:
        out = io.BytesIO()
        with self.database.transaction() as session:
            sheets.export(session, ids, out, "https://live.example.cn", **options)
        return out

    def record(self, **fields: Any) -> str:
        with self.database.transaction() as session:
            home = session.get_one(Centre, self.county.id)
            kind = fields.pop("kind", "finished")
            return service.create(
                session, self.staff, kind=kind, centre=home, fields=fields, now=NOW
            ).id

    def records(self) -> list[Resource]:
        with self.database.transaction() as session:
            return list(session.scalars(select(Resource).order_by(Resource.title)))

    def versions(self) -> int:
        with self.database.transaction() as session:
            return session.scalar(select(func.count()).select_from(ResourceVersion)) or 0


@pytest.fixture
def house(database: Database) -> House:
    return House(database)


def workbook(*rows: Sequence[Any]) -> io.BytesIO:
    made = Workbook()
    assert isinstance(made.active, Worksheet)
    for row in rows:
        made.active.append(list(row))
    out = io.BytesIO()
    made.save(out)
    return out


def edited(file: io.BytesIO, changes: dict[tuple[int, str], Any]) -> io.BytesIO:
    """The workbook with some cells changed: {(row, heading): value}."""
    book = load_workbook(file)
    sheet = book["资源"]
    headings = [cell.value for cell in sheet[1]]
    for (row, heading), value in changes.items():
        sheet.cell(row, headings.index(heading) + 1).value = value
    out = io.BytesIO()
    book.save(out)
    return out


def table(file: io.BytesIO) -> list[dict[str, Any]]:
    sheet = load_workbook(file)["资源"]
    rows: list[Any] = list(sheet.iter_rows(values_only=True))
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


CSV = "csv:Text - txt - csv (StarCalc):44,34,76"
"""Comma, quotes, UTF-8."""
FULL = {
    "title": NASTY, "event_date": "2025-05-01", "genre_id": "heritage", "languages": ["khb", "zh"],
    "keywords": ["村晚，2025", "布朗族"], "place": "打洛镇", "description": "第一行\n第二行",
    "people": [
        {"name": "玉香（布朗族）", "role": "director"}, {"name": "张三", "role": "other"},
    ],
    "rights_holder": "勐海县文化馆", "licence": "nation", "licence_until": "2030-12-31",
    "source": "+86 县台", "origin": "original", "position": 3,
}  # fmt: skip


def test_out_and_in_again_changes_nothing(house: House) -> None:
    ids = [house.record(**FULL), house.record(kind="news", title="信息", body="长" * 40_000)]
    file = house.out(ids)
    row = table(file)[0]
    assert row["题名"] == NASTY
    assert row["日期"].date() == dt.date(2025, 5, 1)
    assert row["人员"] == "玉香（布朗族）（编导）；张三（其他）"
    assert table(file)[1]["正文"] == TOO_LONG
    # No formula anywhere, whatever people wrote.
    with zipfile.ZipFile(file) as parts:
        assert b"<f>" not in parts.read("xl/worksheets/sheet1.xml")
    before = house.versions()
    assert house.bring(file) == ImportResult(unchanged=2)
    # Saved by another program (openpyxl as a whole, not row by row): the same.
    assert house.bring(edited(file, {})) == ImportResult(unchanged=2)
    assert house.versions() == before


def test_cells_that_people_change_are_changed(house: House) -> None:
    key = house.record(**FULL)
    file = edited(
        house.out([key]),
        {
            (2, "题名"): "三跳",
            (2, "人员"): "玉香（编导）",
            (2, "地点"): None,
            (2, "状态"): "已发布",
        },
    )
    assert house.bring(file) == ImportResult(changed=1)
    (record,) = house.records()
    assert (record.title, record.place, record.version) == ("三跳", "", 2)
    assert record.people == [{"name": "玉香", "role": "director"}]
    assert record.keywords == ["村晚，2025", "布朗族"], "what nobody touched is not read anew"
    assert record.state == "draft", "a state is not changed by a sheet"
    with house.database.transaction() as session:
        (first, _) = service.history(session, key)
        assert first.via == "import"
        assert set(first.changes) == {"title", "place", "people"}
    # The same file again: nothing, though its version is behind by now.
    assert house.bring(file) == ImportResult(unchanged=1)
    # But it does not undo what others have written since.
    with house.database.transaction() as session:
        service.change(session, house.staff, key, {"title": "三跳（修订）"}, now=NOW)
    (bad,) = house.bring(file).bad
    assert (bad.row, bad.column) == (2, "版本")
    assert "第 3 版" in bad.reason


def test_good_rows_come_in_and_bad_ones_are_told(house: House) -> None:
    file = workbook(
        ["类型", "题名", "日期", "文化馆", "次序", "门类"],
        ["成片", "三跳", dt.date(2025, 5, 1), None, None, "歌舞"],
        ["成片", "明年的事", dt.date(2026, 3, 2), None, None, None],
        ["成片", "负数", dt.date(2025, 5, 1), None, -1, None],
        ["成片", "=SUM(A1:A9)", dt.date(2025, 5, 1), None, None, None],
        [None, "没有类型", dt.date(2025, 5, 1), None, None, None],
        ["图片", "x" * 201, "2025-05-01", None, -2, None],
        ["微视频", "站里的", "2025.5.2", "打洛镇文化站", None, None],
        ["微视频", "别县的", "2025/5/2", "勐腊县文化馆", None, None],
        ["成片", "三跳", "2025年5月1日", None, None, "歌舞"],
    )
    found = house.bring(file)
    assert (found.made, found.changed, found.unchanged) == (2, 0, 0)
    assert found.bad == [
        Bad(3, "日期", "2026-03-02 还没有到"),
        Bad(4, "次序", "要在 0 到 100000 之间"),
        Bad(5, "题名", "是公式，请改成值"),
        Bad(6, "类型", "新记录要填类型"),
        Bad(7, "次序", "要在 0 到 100000 之间"),
        Bad(7, "题名", "有 201 个字，最多 200 个字"),
        Bad(9, "文化馆", "没有找到“勐腊县文化馆”"),
        Bad(10, "", "和第 2 行完全相同"),
    ]
    made = {record.title: record.centre_id for record in house.records()}
    assert made == {"三跳": house.county.id, "站里的": house.station.id}
    # Corrected and sent again, what is there already is not made twice.
    again = house.bring(file)
    assert (again.made, again.unchanged) == (0, 2)
    assert again.bad == found.bad
    assert len(house.records()) == 2
    with house.database.transaction() as session:
        noted = select(AuditEntry.details).where(AuditEntry.action == "sheet.import")
        assert session.scalars(noted).first() == {"made": 2, "changed": 0, "bad": 7}


def test_a_row_is_known_after_its_record_was_edited(house: House) -> None:
    file = workbook(["类型", "题名"], ["信息", "三跳"])
    assert house.bring(file).made == 1
    (record,) = house.records()
    with house.database.transaction() as session:
        service.change(session, house.staff, record.id, {"title": "三跳（修订）"}, now=NOW)
    assert house.bring(file) == ImportResult(unchanged=1)
    assert [r.title for r in house.records()] == ["三跳（修订）"]


def test_the_same_file_twice_at_once_makes_nothing_twice(house: House) -> None:
    rows = [["信息", f"第 {n} 条"] for n in range(40)]
    data = workbook(["类型", "题名"], *rows).getvalue()
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: house.bring(io.BytesIO(data)), range(2)))
    assert sum(result.made for result in found) == 40
    assert sum(result.unchanged for result in found) == 40
    assert [result.bad for result in found] == [[], []]
    assert len(house.records()) == 40


def test_nobody_reaches_further_by_a_sheet(house: House) -> None:
    key = house.record(**FULL)
    stranger = Actor(None, "别县", "staff", centre_path=house.other.path)
    file = workbook(["编号", "题名"], [key, "偷"])
    with house.database.transaction() as session:
        home = session.get_one(Centre, house.other.id)
        found = sheets.import_sheet(session, stranger, file, home, now=NOW)
    assert found == ImportResult(bad=[Bad(2, "编号", "没有这条记录")])
    assert table(house.out([key], actor=stranger)) == []
    found = house.bring(workbook(["编号", "类型", "文化馆"], [key, "图片", None]))
    assert found.bad[0].column == "类型"
    found = house.bring(workbook(["编号", "类型", "文化馆"], [key, "成片", "打洛镇文化站"]))
    assert found.bad[0].column == "文化馆"


def test_the_template_is_a_sheet_that_can_be_filled_in(house: House) -> None:
    out = io.BytesIO()
    with house.database.transaction() as session:
        sheets.template(session, out)
    book = load_workbook(out)
    assert book.sheetnames == ["资源", "选项", "填写说明"]
    assert book["选项"].sheet_state == "hidden"
    headings = [cell.value for cell in book["资源"][1]]
    assert headings[:4] == ["编号", "文化馆", "类型*", "题名*"]
    assert house.bring(out) == ImportResult()
    filled = edited(out, {(2, "类型*"): "成片", (2, "题名*"): "三跳", (2, "语种"): "汉语；彝语"})
    assert house.bring(filled) == ImportResult(made=1)
    assert house.records()[0].languages == ["zh", "ii"]


@pytest.mark.skipif(shutil.which("soffice") is None, reason="LibreOffice is not installed")
def test_libreoffice_opens_them(house: House, tmp_path: Path) -> None:
    key = house.record(**FULL)
    template = io.BytesIO()
    with house.database.transaction() as session:
        sheets.template(session, template)
    for name, file in (("out", house.out([key])), ("template", template)):
        path = tmp_path / f"{name}.xlsx"
        path.write_bytes(file.getvalue())
        argv = ["soffice", "--headless", "--convert-to", CSV, "--outdir", str(tmp_path)]
        subprocess.run([*argv, str(path)], check=True, timeout=100, capture_output=True)
    assert NASTY.replace('"', '""') in (tmp_path / "out.csv").read_text()
