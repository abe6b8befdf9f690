"""The files of a return, opened and read back: figures, formulas, links, and text kept as text."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import docx
import openpyxl
import pytest
from openpyxl.cell import Cell
from openpyxl.worksheet.worksheet import Worksheet

from catalog.plans.report import Cell as Period
from catalog.plans.report import from_json
from catalog.returns import xlsx
from catalog.returns.csv_json import COLUMNS
from catalog.returns.differences import Difference
from catalog.returns.docx import CHAPTERS, TO_BE_WRITTEN
from catalog.returns.papers import file_name, write
from catalog.returns.shown import Format, Paper, Stamp, Words
from catalog.returns.xlsx_parts import sheet_name
from catalog.returns.xlsx_tables import HEADING_ROW, LINES
from tests.support.office import converted
from tests.support.reports import CUT_OFF, a_line, a_paper, a_report, a_show, a_unit

EVIL = '=HYPERLINK("http://evil","点我")'
NAMES = {"users": "注册用户"}


def evil_paper(**more: object) -> Paper:
    """Two units whose every text looks like a formula, and their roll-up."""
    first = a_unit(
        "=勐海县+文化馆",
        [
            a_line("users", "年新增注册用户数", 300, [200, 214], unit="人"),
            a_line("final", "+成片", 300, [Fraction(1030, 7), Fraction(3000, 7)], unit="分钟"),
            a_line("train", "@培训\x07", 2, None),
            a_line("none", "不设任务", 0, [3], note="=1+1"),
            replace(
                a_line("av", "其中音视频", 50, [57, 57]), unit="%", actual=Fraction(190, 3),
                count=Fraction(114), count_target=Fraction(90), owed_unit="条",
                rate=Fraction(380, 3), met=True, owed=Fraction(0), depth=1,
            ),
            replace(
                a_line("month", "月更新", 15, [15, 3]), period="month", actual=Fraction(9),
                rate=Fraction(60), met=False, owed=Fraction(12),
                cells=(
                    Period("01", Fraction(15), Fraction(15), True),
                    Period("02", Fraction(15), Fraction(3), False),
                ),
            ),
        ],
        [a_show(1, EVIL, 1030), a_show(2, "-乙", 1127), a_show(0, "转播", 0, standing="linked")],
    )  # fmt: skip
    second = a_unit("勐腊县文化馆", [a_line("users", "年新增注册用户数", 200, [344])], key="c2")
    total = a_unit(
        "西双版纳州文化馆",
        [a_line("users", "年新增注册用户数", 500, [758])],
        first.broadcasts,
        "root",
    )
    return a_paper(a_report([first, second], total), names=NAMES, **more)


def opened(paper: Paper, form: Format = "xlsx") -> io.BytesIO:
    out = io.BytesIO()
    write(paper, form, out)
    out.seek(0)
    return out


def books(paper: Paper) -> tuple[openpyxl.Workbook, openpyxl.Workbook]:
    """With formulas, and with the results written beside them."""
    return (
        openpyxl.load_workbook(opened(paper)),
        openpyxl.load_workbook(opened(paper), data_only=True),
    )


def rows(sheet: Worksheet, first: int = HEADING_ROW + 1) -> Iterator[list[object]]:
    for row in sheet.iter_rows(min_row=first):
        yield [cell.value for cell in row]


def column(sheet: Worksheet, number: int, count: int) -> list[object]:
    first = HEADING_ROW + 1
    return [sheet.cell(row, number).value for row in range(first, first + count)]


def test_a_sheet_a_centre_with_figures_and_formulas() -> None:
    formulas, results = books(evil_paper())
    assert formulas.sheetnames == ["汇总", "=勐海县+文化馆", "勐腊县文化馆", "证据"]
    sheet, told = formulas["=勐海县+文化馆"], results["=勐海县+文化馆"]
    heads = [cell.value for cell in sheet[HEADING_ROW]][: len(LINES)]
    assert tuple(heads) == LINES
    assert column(told, 6, 6) == [300, 300, 2, 0, 90, 15]
    assert column(told, 7, 6) == [414, 575.7, None, 3, 114, 9]
    assert column(told, 8, 6) == [138, 191.9, None, None, 126.7, 60]
    assert column(told, 9, 6) == ["完成", "完成", "未填报", "完成", "完成", "未完成"]
    assert column(told, 4, 6) == ["人", "分钟", "条", "条", "条", "条"]
    assert sheet["G6"].value == "=ROUND(ROUND(SUM('证据'!$G$6:$G$7),6),0)"
    assert sheet["H6"].value == ("=IF(F6=0,\"\",ROUND(ROUND(SUM('证据'!$G$6:$G$7),6)/F6*100,1))")
    assert sheet["H6"].number_format == 'General"%"'
    assert sheet["F6"].number_format == "#,##0"
    assert told["M11"].value == "1/2个时段完成，未完成：02（3）"
    link = sheet["L6"].hyperlink
    assert link is not None
    assert link.location == "'证据'!A6"
    # The broadcasts below, with sums over the 场 of its own.
    table = list(rows(told, 13))
    assert [row[2] for row in table[1:4]] == [EVIL, "-乙", "转播"]
    assert table[4][5:10] == [215.7, 215.7, 20, 2468, 2]
    total = sheet.cell(17, 6).value
    assert total == "=ROUND(SUMIFS($N$14:$N$16,$J$14:$J$16,1)/5400000,1)"
    show = sheet["C14"].hyperlink
    assert show is not None
    assert show.target == "http://x/b/show1"


def test_the_summary_counts_and_rolls_up() -> None:
    formulas, results = books(evil_paper())
    told = [row[:10] for row in rows(results["汇总"])]
    assert told[0][:7] == [2020, "=勐海县+文化馆", "县级", 6, 4, 1, 1]
    assert formulas["汇总"]["E6"].value == (
        "=COUNTIFS('=勐海县+文化馆'!$A$6:$A$11,$A6,'=勐海县+文化馆'!$I$6:$I$11,\"完成\")"
    )
    heading = next(n for n, row in enumerate(told) if row[2] == "指标")
    assert told[heading + 1][:9] == [
        2020, "西双版纳州文化馆", "年新增注册用户数", "条", "全年", 500, 758, 151.6, "完成",
    ]  # fmt: skip


def test_no_text_is_a_formula() -> None:
    formulas, _ = books(
        evil_paper(corrections=[Difference("c", "=馆", "actual", "a", "-x", "@1", "+2")])
    )
    ours = re.compile(r"=(ROUND|IF|MAX|SUM|SUMIFS|COUNTIFS)\(")
    quoted = 0
    for sheet in formulas:
        for row in sheet.iter_rows():
            for cell in row:
                if not isinstance(cell, Cell) or not isinstance(cell.value, str):
                    continue
                if cell.data_type == "f":
                    assert ours.match(cell.value), cell.coordinate
                elif cell.value[:1] in "=+-@":
                    quoted += 1
                    assert cell.quotePrefix, (sheet.title, cell.coordinate)
    assert quoted > 20


def test_evidence_lists_every_row_and_spills_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx, "EVIDENCE_ROWS_MAX", 4)
    formulas, _ = books(evil_paper())
    sheets = [name for name in formulas.sheetnames if name.startswith("证据")]
    assert sheets == ["证据", "证据2", "证据3"]
    listed = [row for name in sheets for row in rows(formulas[name])]
    amounts = [200, 214, 1030 / 7, 3000 / 7, 3, 57, 57, 15, 3, 344]
    assert [row[6] for row in listed] == pytest.approx(amounts)
    assert listed[0][:5] == [
        2020,
        "=勐海县+文化馆",
        "年新增注册用户数",
        "资源",
        "年新增注册用户数之1",
    ]
    href = formulas["证据"]["E6"].hyperlink
    assert href is not None
    assert href.target == "http://x/r/users-1"
    # A line whose rows are on two sheets adds up over both.
    assert formulas["=勐海县+文化馆"]["G10"].value == ("=ROUND(ROUND(SUM('证据2'!$G$7:$G$8),6),0)")


def test_sheet_names_are_what_excel_takes() -> None:
    long = "西双版纳傣族自治州勐海县" * 4
    taken: set[str] = set()
    for wanted in (long, long, "a/b[c]:*?'", "", "证据"):
        name = sheet_name(wanted, taken)
        assert 0 < len(name) <= 31
        assert not set(name) & set("[]:*?/\\'")
        assert name.casefold() not in taken
        taken.add(name.casefold())
    paper = a_paper(a_report([a_unit("证据", [a_line("a", "甲", 1, [1])])]))
    book = openpyxl.load_workbook(opened(paper))
    assert book.sheetnames == ["汇总", "证据（2）", "证据"]
    assert book["证据（2）"]["G6"].value == "=ROUND(ROUND(SUM('证据'!$G$6:$G$6),6),0)"


def test_several_years_stand_on_one_sheet_a_centre() -> None:
    reports = [
        a_report([a_unit("某馆", [a_line("a", "甲", 10, [year - 2000])])], year=year)
        for year in (2019, 2020)
    ]
    formulas, results = books(a_paper(*reports))
    assert formulas.sheetnames == ["汇总", "某馆", "证据"]
    assert [row[:7] for row in rows(results["某馆"])] == [
        [2019, "某馆", "甲", "条", "全年", 10, 19],
        [2020, "某馆", "甲", "条", "全年", 10, 20],
    ]
    assert [row[0] for row in rows(results["汇总"])][:2] == [2019, 2020]
    assert file_name(a_paper(*reports), "docx") == "某馆2019—2020年自查报告（草稿）.docx"


def test_the_word_report_has_five_chapters_and_the_sentences() -> None:
    stamp = Stamp("r1", 2, CUT_OFF, CUT_OFF, "李娜", "ab" * 32, "漏报6人")
    paper = evil_paper(
        stamp=stamp,
        words=Words(done="做法一。\n\n做法二。", next_year="明年再努力。"),
        corrections=[Difference("c", "某馆", "actual", "users", "注册用户", "408人", "414人")],
        built_on=[
            {"centre_name": "勐腊县文化馆", "revision": 1, "sha256": "cd" * 32, "differs": []}
        ],
    )
    found = docx.Document(opened(paper, "docx"))
    texts = [p.text for p in found.paragraphs]
    heads = [
        p.text for p in found.paragraphs if p.style is not None and p.style.name == "Heading 1"
    ]
    assert tuple(heads) == CHAPTERS
    assert texts[0] == "西双版纳州文化馆2020年自查报告"
    assert any("第2版" in text and "ab" * 32 in text and "漏报6人" in text for text in texts)
    assert any(text.startswith("=勐海县+文化馆注册用户414人，完成138%；") for text in texts)
    assert (
        "二是3月2日，-乙直播活动，总成片112.7分钟，素材112.7分钟，图片10幅，点击量1234次；" in texts
    )
    assert texts[texts.index(CHAPTERS[1]) + 1 : texts.index(CHAPTERS[2])] == [
        "做法一。",
        "做法二。",
    ]
    problems = texts[texts.index(CHAPTERS[2]) + 1 : texts.index(CHAPTERS[3])]
    assert problems == ["=勐海县+文化馆：月更新还差12条；尚未填报：@培训。", TO_BE_WRITTEN]
    tables = [[[c.text for c in row.cells] for row in table.rows] for table in found.tables]
    assert tables[0][1][:6] == [
        "=勐海县+文化馆",
        "年新增注册用户数",
        "300人",
        "414人",
        "138%",
        "完成",
    ]
    assert tables[0][5][1:5] == ["　其中音视频", "90条", "114条", "126.7%"]
    assert tables[1][1][2:5] == [EVIL, "直播", "103分钟"]
    assert tables[2][1] == ["某馆", "实际", "注册用户", "408人", "414人"]
    assert tables[3][1][0] == "勐腊县文化馆"


def test_csv_is_for_spreadsheets_and_json_is_exact() -> None:
    paper = evil_paper()
    raw = opened(paper, "csv").read()
    assert raw.startswith(b"\xef\xbb\xbf")
    table = list(csv.reader(io.StringIO(raw.decode("utf-8-sig"))))
    assert tuple(table[0]) == COLUMNS
    assert table[1][:10] == [
        "2020", "'=勐海县+文化馆", "users", "年新增注册用户数", "人", "全年", "300", "414", "138%",
        "完成",
    ]  # fmt: skip
    assert table[-1][1] == "西双版纳州文化馆（合并）"
    assert not [field for row in table for field in row if field[:1] in ("=", "+", "-", "@")]
    whole = json.loads(opened(paper, "json").read())
    assert from_json(whole["reports"][0]) == paper.reports[0]
    assert whole["rows"][1]["actual"] == "575.7"
    assert whole["rows"][1]["rate"] == "191.9%"
    assert whole["sentences"][0]["broadcasts"][0].startswith("一是3月1日，")


@pytest.mark.slow
def test_libreoffice_works_out_what_we_wrote_beside_the_formulas(tmp_path: Path) -> None:
    path = tmp_path / "return.xlsx"
    path.write_bytes(opened(evil_paper()).read())
    again = openpyxl.load_workbook(converted(path, "xlsx"), data_only=True)
    ours = openpyxl.load_workbook(path, data_only=True)
    formulas = openpyxl.load_workbook(path)
    compared = 0
    for sheet in formulas:
        for row in sheet.iter_rows():
            for cell in row:
                if isinstance(cell, Cell) and cell.data_type == "f":
                    theirs = again[sheet.title][cell.coordinate].value
                    mine = ours[sheet.title][cell.coordinate].value
                    assert theirs == pytest.approx(mine), (sheet.title, cell.coordinate)
                    compared += 1
    assert compared > 20
    assert again["=勐海县+文化馆"]["C14"].value == EVIL


@pytest.mark.slow
def test_libreoffice_opens_the_word_report(tmp_path: Path) -> None:
    path = tmp_path / "return.docx"
    path.write_bytes(opened(evil_paper(), "docx").read())
    text = converted(path, "txt:Text (encoded):UTF8").read_text(encoding="utf-8-sig")
    assert "总成片103分钟" in text
    assert text.index("一、基本情况") < text.index("四、下年计划") < text.index("附件")
