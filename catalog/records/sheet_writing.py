"""Writing workbooks of records: rows one by one, so that thousands need little memory."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO, Final

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.styles import Alignment, Font, PatternFill
from openpyxl.utils import get_column_letter
from openpyxl.worksheet.datavalidation import DataValidation

from catalog.cells import clean, put, quoted
from catalog.minutes import TICKS_A_SECOND
from catalog.models import Centre, Resource
from catalog.records.dublin_core import page_of
from catalog.records.fields import value_of
from catalog.records.kinds import KINDS, LANGUAGES, PEOPLE_ROLES, STATES
from catalog.records.sheet_columns import CENTRE, COLUMNS, FACTS, KEY, KIND, VERSION, shown
from catalog.records.sheet_reading import ROWS_MAX, SHEET

HELP: Final = "填写说明"
CHOICES: Final = "选项"

_HEAD: Final = ((KEY, 13), (VERSION, 6), (CENTRE, 18), (KIND, 8))
_FACT_WIDTHS: Final = (10, 11, 12, 14, 20, 30, 34)
_INK, _PAPER, _GREY = "2B2320", "F3ECE2", "ECECEC"
_NEEDED: Final = ("类型", "题名")

Value = str | int | float | dt.date | None

_LINES: Final = (
    "一行是一条记录。第一行是栏目名称，不要改动；用不着的栏目可以整列删去，删去的栏目不会改动。",
    "新记录：编号留空，类型和题名必填。同一个文件再导入一次，不会重复登记。",
    "改已有的记录：先导出，在导出的表上改，编号不要动。空着的单元格表示清空这一项。",
    "版本：导出时的版本号。导出之后如果有人改过，这一行不会导入，并会告诉您。",
    "文化馆：空着就是导入时选的馆；也可以填下级馆的名称。已有记录不能换馆。",
    "日期写成 2020-01-31；不能晚于今天。空着就是导入当天。",
    "多个语种、关键词用“；”隔开。人员写成“岩温（表演）；玉香（编导）”，身份有："
    + "、".join(PEOPLE_ROLES.values()) + "。",
    "语种有：" + "、".join(LANGUAGES.values()) + "。",
    "所属课程或展览、所属直播、由何而来：填编号。",
    "灰色栏目（" + "、".join(FACTS) + "）由系统填写，导入时不看。",
    f"一个文件最多 {ROWS_MAX} 行；单元格里要填值，不能用公式。",
    "有错的行会告诉您行号和原因，其余的行照常导入。",
)  # fmt: skip


def records(
    out: BinaryIO,
    rows: Iterable[tuple[Resource, Centre]],
    genres: Mapping[str, str],
    base_url: str,
    files: Mapping[str, str] | None,
) -> int:
    """A workbook of records; how many. ``genres``: id → name."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet(SHEET)
    facts = FACTS if files is not None else FACTS[:-1]
    headings = [heading for heading, _ in _columns()][: len(_columns()) - len(FACTS) + len(facts)]
    for number, (_, width) in enumerate(_columns(), start=1):
        sheet.column_dimensions[get_column_letter(number)].width = width
    sheet.freeze_panes = "B2"
    sheet.append([_heading(sheet, heading) for heading in headings])
    count = 0
    for resource, centre in rows:
        values = [*_head(resource, centre), *_fields(resource, genres)]
        values += _facts(resource, base_url, files)
        sheet.append([_cell(sheet, value) for value in values])
        count += 1
    last = f"{get_column_letter(len(headings))}{count + 1}"
    sheet.auto_filter.ref = f"A1:{last}"
    book.save(out)
    return count


def _columns() -> list[tuple[str, int]]:
    """(heading, width) of every column."""
    facts = zip(FACTS, _FACT_WIDTHS, strict=True)
    return [*_HEAD, *((column.heading, column.width) for column in COLUMNS), *facts]


def _head(resource: Resource, centre: Centre) -> list[Value]:
    return [resource.id, resource.version, centre.name, KINDS[resource.kind]]


def _fields(resource: Resource, genres: Mapping[str, str]) -> list[Value]:
    return [shown(column, value_of(resource, column.name), genres) for column in COLUMNS]


def _facts(resource: Resource, base_url: str, files: Mapping[str, str] | None) -> list[Value]:
    seconds = resource.duration_ticks * 1000 // TICKS_A_SECOND / 1000
    page = page_of(resource, base_url) if resource.state == "published" else None
    facts: list[Value] = [
        STATES[resource.state],
        seconds if resource.duration_ticks else None,
        resource.size_bytes or None,
        resource.media_type,
        resource.sha256,
        page,
    ]
    return facts if files is None else [*facts, files.get(resource.id, "")]


def _cell(sheet: Any, value: Value) -> Any:
    """Text stays text though it begin like a formula (see catalog.cells)."""
    if not isinstance(value, str):
        cell = WriteOnlyCell(sheet, value)  # type: ignore[arg-type]
        if isinstance(value, dt.date):
            cell.number_format = "yyyy-mm-dd"
        return cell
    text = clean(value)
    cell = WriteOnlyCell(sheet, text)
    cell.data_type = "s"
    cell.quotePrefix = quoted(text)
    return cell


def _heading(sheet: Any, text: str) -> Any:
    cell = WriteOnlyCell(sheet, text)
    _dress(cell, text)
    return cell


def _dress(cell: Any, heading: str) -> None:
    cell.font = Font(bold=True, color=_INK)
    cell.fill = PatternFill("solid", fgColor=_GREY if heading in FACTS else _PAPER)
    cell.alignment = Alignment(vertical="center")


def template(out: BinaryIO, genres: Sequence[str]) -> None:
    """An empty sheet to fill in, with lists to choose from and a page of explanations."""
    book = Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.title = SHEET
    lists = book.create_sheet(CHOICES)
    offered = {KIND: tuple(KINDS.values()), **{c.heading: c.choices for c in COLUMNS if c.choices}}
    offered["门类"] = tuple(genres)
    columns = [column for column in _columns() if column[0] not in (*FACTS, VERSION)]
    for number, (heading, width) in enumerate(columns, start=1):
        letter = get_column_letter(number)
        cell = put(sheet, 1, number, f"{heading}*" if heading in _NEEDED else heading)
        _dress(cell, heading)
        sheet.column_dimensions[letter].width = width
        if choices := offered.get(heading):
            _offer(sheet, lists, letter, number, choices, strict=heading != "语种")
        if heading in ("日期", "授权到期"):
            for row in range(2, 202):
                sheet[f"{letter}{row}"].number_format = "yyyy-mm-dd"
    sheet.freeze_panes = "B2"
    lists.sheet_state = "hidden"
    page = book.create_sheet(HELP)
    page.column_dimensions["A"].width = 100
    for number, line in enumerate(_LINES, start=1):
        put(page, number, 1, line).alignment = Alignment(wrap_text=True, vertical="top")
    book.save(out)


def _offer(
    sheet: Any, lists: Any, letter: str, number: int, choices: Sequence[str], *, strict: bool
) -> None:
    """A list to choose from, for the rows of a column; it stands on a sheet of its own, for a
    list inside a validation may have 255 characters only."""
    for row, choice in enumerate(choices, start=1):
        put(lists, row, number, choice)
    rule = DataValidation(
        type="list",
        formula1=f"'{CHOICES}'!${letter}$1:${letter}${len(choices)}",
        allow_blank=True,
        # Several languages may stand in one cell: there the list is a help and no rule.
        showErrorMessage=strict,
    )
    rule.add(f"{letter}2:{letter}{ROWS_MAX + 1}")
    sheet.add_data_validation(rule)
