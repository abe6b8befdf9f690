"""The workbook as strictly as Excel reads it (ECMA-376), and its figures to the last tick."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace
from fractions import Fraction
from xml.etree import ElementTree

import docx
import openpyxl
import pytest

from catalog.cells import csv_text
from catalog.minutes import TICKS_A_MINUTE
from catalog.plans.report import Cell as Period
from catalog.plans.report import Line
from catalog.returns.papers import write
from catalog.returns.shown import Format, Paper
from catalog.returns.xlsx_parts import sheet_name
from tests.support.reports import a_line, a_paper, a_report, a_show, a_unit

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
OFFICE = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
WORKSHEET = (
    "sheetPr", "dimension", "sheetViews", "sheetFormatPr", "cols", "sheetData", "autoFilter",
    "mergeCells", "conditionalFormatting", "dataValidations", "hyperlinks", "printOptions",
    "pageMargins", "pageSetup", "headerFooter",
)  # fmt: skip
WORKBOOK = ("fileVersion", "workbookPr", "bookViews", "sheets", "definedNames", "calcPr")
STYLES = ("numFmts", "fonts", "fills", "borders", "cellStyleXfs", "cellXfs", "cellStyles", "dxfs")
ODD = "晚会\uffff\ufffe\x0b&<>\"'_x0041_ \t]]>𠮷"
ALONE = 900 * TICKS_A_MINUTE // 3


def written(paper: Paper, form: Format = "xlsx") -> io.BytesIO:
    out = io.BytesIO()
    write(paper, form, out)
    out.seek(0)
    return out


def one(line: Line, name: str = "某馆") -> Paper:
    return a_paper(a_report([a_unit(name, [line], [a_show(1, ODD, 1)])]))


def figures(line: Line) -> list[list[object]]:
    """目标, 实际, 完成率, 是否完成, 尚欠: as formulas and as what is shown beside them."""
    return [
        [openpyxl.load_workbook(written(one(line)), data_only=told)["某馆"].cell(6, n).value
         for n in range(6, 11)]
        for told in (False, True)
    ]  # fmt: skip


def minutes(*ticks: int, target: int = 300) -> Line:
    amounts = [Fraction(t, TICKS_A_MINUTE) for t in ticks]
    return a_line("final", "成片", target, amounts, unit="分钟")


def in_order(element: ElementTree.Element, wanted: tuple[str, ...]) -> bool:
    places = [wanted.index(child.tag.removeprefix(MAIN)) for child in element]
    return places == sorted(set(places))


def test_every_part_is_as_the_schema_has_it() -> None:
    paper = one(a_line("a", ODD, 1, [Fraction(1, 3), 1], note=ODD), name=ODD)
    with zipfile.ZipFile(written(paper)) as package:
        parts = {name: ElementTree.fromstring(package.read(name)) for name in package.namelist()}
    book, styles = parts["xl/workbook.xml"], parts["xl/styles.xml"]
    assert in_order(book, WORKBOOK)
    assert in_order(styles, STYLES)
    for group in styles:
        assert int(group.attrib["count"]) == len(group), group.tag
    looks = len(styles.find(f"{MAIN}cellXfs") or ())
    known = {f.attrib["numFmtId"] for f in styles.iter(f"{MAIN}numFmt")} | {"0", "1", "3"}
    for xf in styles.find(f"{MAIN}cellXfs") or ():
        assert xf.attrib["numFmtId"] in known
        for kind in ("font", "fill", "border"):
            assert int(xf.attrib[f"{kind}Id"]) < len(styles.find(f"{MAIN}{kind}s") or ())
    sheets = [name for name in parts if name.startswith("xl/worksheets/sheet")]
    for name in sheets:
        sheet = parts[name]
        assert in_order(sheet, WORKSHEET), name
        assert all(int(c.attrib["s"]) < looks for c in sheet.iter(f"{MAIN}c"))
        rows = [int(row.attrib["r"]) for row in sheet.iter(f"{MAIN}row")]
        assert rows == sorted(set(rows))
        said = {link.attrib.get(f"{OFFICE}id") for link in sheet.iter(f"{MAIN}hyperlink")} - {None}
        path = f"xl/worksheets/_rels/{name.rpartition('/')[2]}.rels"
        assert said == {r.attrib["Id"] for r in parts.get(path, ())}
    told = {p.attrib.get("PartName", "")[1:] for p in parts["[Content_Types].xml"]}
    assert told - {""} == {n for n in parts if not n.endswith((".rels", "[Content_Types].xml"))}
    shown = openpyxl.load_workbook(written(paper)).worksheets[1]["C6"].value
    # Excel takes _x005F_ for the underscore it stands for; openpyxl does not.
    assert str(shown).replace("_x005F_", "_") == "晚会&<>\"'_x0041_ \t]]>𠮷"
    assert docx.Document(written(paper, "docx")).tables


@pytest.mark.parametrize(
    "wanted", ["History", "history", "𠮷" * 40, "甲\n乙\t丙\r丁\uffff", "'馆'"]
)
def test_a_sheet_name_excel_takes(wanted: str) -> None:
    taken: set[str] = set()
    for _ in range(12):
        name = sheet_name(wanted, taken)
        taken.add(name.casefold())
        assert len(name.encode("utf-16-le")) // 2 <= 31
        assert name.isprintable() or "　" in name
        assert not set(name) & set("[]:*?/\\'\n\r\t")
        assert name.casefold() != "history"
    assert len(taken) == 12


def test_a_tick_below_half_a_tenth_is_not_rounded_up() -> None:
    """0.04999981 minutes are 0, though to six digits they are 0.05 and so 0.1."""
    formulas, told = figures(minutes(269_999))
    assert told[1] == 0
    assert not str(formulas[1]).startswith("=")


def test_a_tick_short_is_short() -> None:
    for ticks, word in ((300 * TICKS_A_MINUTE - 1, "未完成"), (300 * TICKS_A_MINUTE, "完成")):
        formulas, told = figures(minutes(ticks))
        assert told[3] == word
        # Whoever works the file out anew must come to the same.
        assert str(formulas[3]).startswith("=") == (word == "完成")


def test_what_no_row_adds_up_to_is_shown_to_a_tenth_and_owed_is_said() -> None:
    monthly = replace(
        a_line("month", "月更新", 15, [15, 3]), period="month", actual=Fraction(55, 6),
        rate=Fraction(550, 9), met=False, owed=Fraction(12),
        cells=(
            Period("01", Fraction(15), Fraction(15), True),
            Period("02", Fraction(15), Fraction(3), False),
        ),
    )  # fmt: skip
    assert figures(monthly)[1] == [15, 9.2, 61.1, "未完成", 12]
    thirds = minutes(ALONE, ALONE + 1, target=700)
    assert figures(thirds)[1] == [700, 600, 85.7, "未完成", 100]


def test_the_day_of_a_file_may_be_before_zip_was_made() -> None:
    report = a_report([a_unit("某馆", [a_line("a", "甲", 1, [1])])])
    early = replace(report, cut_off=report.cut_off.replace(year=1970))
    assert openpyxl.load_workbook(written(a_paper(early))).sheetnames[0] == "汇总"


def test_what_a_chinese_keyboard_types_as_a_formula_is_text() -> None:
    for start in "=+-@\t\r\n＝＋－＠":
        assert csv_text(f"{start}1+1").startswith("'"), start
    assert csv_text("一、1+1") == "一、1+1"
