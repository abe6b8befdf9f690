"""Text from people in the cells of a spreadsheet: it stays text, whatever it begins with.

A title must never become a formula (CWE-1236): cells are typed as text and marked as quoted, so
that they stay text when edited or pasted on; in CSV, which has no types, an apostrophe says so.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

from openpyxl.cell import Cell
from openpyxl.worksheet.worksheet import Worksheet

TEXT_MAX: Final = 16_000
"""Characters of one cell; Excel's own limit is 32 767 halves of UTF-16, of which some have two."""
_FORMULA_STARTS: Final = "=+-@\t\r\n＝＋－＠"
"""The wide ones too: typed on a Chinese keyboard they begin a formula just so."""
_NOT_IN_XML: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

Value = str | int | float | dt.date


def clean(text: str) -> str:
    """Without what no spreadsheet can hold: what XML 1.0 forbids, and more than a cell's worth."""
    return _NOT_IN_XML.sub("", text)[:TEXT_MAX]


def quoted(text: str) -> bool:
    """Whether a cell of this text needs Excel's own leading apostrophe."""
    return bool(text) and text[0] in _FORMULA_STARTS


def csv_text(text: str) -> str:
    """Text as a field of a CSV that spreadsheets open: one that looks like a formula, quoted."""
    plain = clean(text)
    return f"'{plain}" if quoted(plain) else plain


def put(sheet: Worksheet, row: int, column: int, value: Value) -> Cell:
    """Write a value; text stays text though it begin like a formula."""
    cell = cell_at(sheet, row, column)
    if not isinstance(value, str):
        cell.value = value
        return cell
    text = clean(value)
    cell.value = text
    cell.data_type = "s"
    cell.quotePrefix = quoted(text)
    return cell


def cell_at(sheet: Worksheet, row: int, column: int) -> Cell:
    cell = sheet.cell(row, column)
    assert isinstance(cell, Cell)  # no cells are merged here
    return cell
