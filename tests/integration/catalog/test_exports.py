"""The workbook, opened and read back: evidence, formulas worked out by hand, text kept as text."""

from __future__ import annotations

import datetime as dt
import io
import re

import openpyxl
from openpyxl.worksheet.worksheet import Worksheet

from catalog.broadcasts import end_broadcast
from catalog.centres import add_centre
from catalog.exports import COLUMNS, EVIDENCE, HEADING_ROW, SUMMARY, write_minutes
from catalog.minutes import TICKS_A_MINUTE
from infra.database import Database
from tests.support.stage import NOON_US, SECOND, make_stage

NOW = dt.datetime(2026, 12, 31, 16, 0, tzinfo=dt.UTC)


def book(database: Database, *, centre_path: str | None = None) -> openpyxl.Workbook:
    out = io.BytesIO()
    with database.transaction() as session:
        write_minutes(
            session, out, year=2026, now=NOW, base_url="http://x", centre_path=centre_path
        )
    out.seek(0)
    return openpyxl.load_workbook(out)


def column(sheet: Worksheet, heading: str) -> list[object]:
    letters = {cell.value: cell.column_letter for cell in sheet[HEADING_ROW]}  # type: ignore[union-attr]
    return [cell.value for cell in sheet[letters[heading]][HEADING_ROW:]]


def work_out(formula: object, evidence: Worksheet, at: int, summary: Worksheet) -> float:
    """The few functions our formulas use, as a spreadsheet works them out."""
    text = str(formula).removeprefix("=")
    rounded = re.fullmatch(r"ROUND\((.+)/(\d+),1\)", text)
    if rounded:
        value = work_out(rounded[1], evidence, at, summary) / int(rounded[2])
        return int(value * 10 + 0.5) / 10
    name, inside = re.fullmatch(r"(\w+)\((.*)\)", text).groups()  # type: ignore[union-attr]
    parts = inside.split(",")

    def cells(reference: str) -> list[object]:
        sheet, area = reference.split("!")
        assert sheet == EVIDENCE
        return [row[0].value for row in evidence[area.replace("$", "")]]

    def wanted(word: str) -> object:
        if word.startswith('"'):
            return word.strip('"')
        return summary[word.replace("$", "")].value

    summed = cells(parts[0]) if name.startswith("SUM") else None
    conditions = parts[1:] if summed is not None else parts
    pairs = list(zip(conditions[::2], conditions[1::2], strict=True))
    rows = range(len(cells(parts[0])))
    chosen = [n for n in rows if all(cells(ref)[n] == wanted(word) for ref, word in pairs)]
    if summed is None:
        return len(chosen)
    return sum(float(str(summed[n] or 0)) for n in chosen)


def make_year(database: Database) -> tuple[str, str]:
    """Two centres: 1.55 and 62.04 minutes in February, 0.05 in March; one still on air."""
    with database.transaction() as session:
        first = add_centre(session, "=勐海县+文化馆")
        second = add_centre(session, "勐腊县文化馆", parent=first)
        for centre, title, ticks, days, ends in (
            (first, '=HYPERLINK("http://evil","点我")', TICKS_A_MINUTE * 155 // 100, 0, True),
            (first, "+86 晚会", TICKS_A_MINUTE * 6204 // 100, 1, True),
            (second, "@元宵\x07", TICKS_A_MINUTE // 20, 28, True),
            (second, "正在播", 5 * SECOND, 29, False),
        ):
            stage = make_stage(
                session, centre=centre, title=title, mode="recorded" if days == 1 else "live"
            )
            take = stage.open(at_us=NOON_US + days * 86_400 * 10**6)
            stage.slots(take, stage.run(take), [ticks])
            if ends:
                stage.close(take, end_ms=ticks // 90 + 1_000)
                end_broadcast(session, stage.broadcast.id, NOW)
        return first.path, second.path


def test_evidence_lists_every_broadcast(database: Database) -> None:
    make_year(database)
    sheet = book(database)[EVIDENCE]
    assert [cell.value for cell in sheet[HEADING_ROW]] == [c.heading for c in COLUMNS]
    formula = '=HYPERLINK("http://evil","点我")'
    assert column(sheet, "名称") == [formula, "+86 晚会", "@元宵", "正在播"]
    assert column(sheet, "成片（分钟）") == [1.6, 62, 0.1, 0.1]
    assert column(sheet, "状态") == ["整理中", "整理中", "整理中", "直播中"]
    assert column(sheet, "形式") == ["直播", "录播", "直播", "直播"]
    assert column(sheet, "月份") == [2, 2, 3, 3]
    assert column(sheet, "成片（1/90000 秒）")[0] == TICKS_A_MINUTE * 155 // 100
    dates = [cell.number_format for cell in sheet["D"][HEADING_ROW:]]
    assert set(dates) == {"yyyy-mm-dd"}
    link = sheet.cell(HEADING_ROW + 1, 1).hyperlink
    assert link is not None
    assert str(link.target).startswith("http://x/b/")


def test_no_text_is_a_formula(database: Database) -> None:
    make_year(database)
    found = book(database)
    for sheet in found:
        for row in sheet.iter_rows():
            for cell in row:
                if isinstance(cell.value, str) and cell.data_type == "f":
                    assert sheet.title == SUMMARY
                    assert re.match(r"=(ROUND\()?(SUM|SUMIFS|COUNTIFS)\(", cell.value)
                elif isinstance(cell.value, str) and cell.value[:1] in ("=", "+", "-", "@"):
                    assert cell.quotePrefix, cell.coordinate


def test_the_summary_is_what_its_formulas_say(database: Database) -> None:
    make_year(database)
    found = book(database)
    summary, evidence = found[SUMMARY], found[EVIDENCE]
    rows = {}
    for at in range(HEADING_ROW + 1, HEADING_ROW + 5):
        label, _, month, *formulas = (cell.value for cell in summary[at][:7])
        if label in (None, "微视频（条）"):
            break
        rows[label, month] = [work_out(f, evidence, at, summary) for f in formulas]
    assert rows == {
        ("=勐海县+文化馆", 2): [1, 1, 63.6, 63.6],
        ("勐腊县文化馆", 3): [2, 0, 0.1, 0.2],
        # Of exact ticks, rounded once: 63.6 + 0.1 of the lines above would say the same here,
        # and not in general.
        ("合计", None): [3, 1, 63.7, 63.8],
    }


def test_a_subtree_sees_its_own(database: Database) -> None:
    _, second = make_year(database)
    sheet = book(database, centre_path=second)[EVIDENCE]
    assert column(sheet, "名称") == ["@元宵", "正在播"]


def test_an_empty_year_is_a_good_file(database: Database) -> None:
    found = book(database)
    assert found.sheetnames == [SUMMARY, EVIDENCE]
    assert found[SUMMARY].cell(HEADING_ROW + 1, 1).value == "合计"
    assert "2026-12-31" not in str(found[SUMMARY]["A3"].value)  # the cut-off is China's midnight
    assert "2027-01-01 00:00" in str(found[SUMMARY]["A3"].value)
