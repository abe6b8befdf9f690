"""Programme lists (节目单) as people hand them in: pasted text, a workbook, a PDF of text."""

from __future__ import annotations

import datetime as dt
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from openpyxl import load_workbook

from catalog.errors import Refused
from catalog.programmes import LINES_MAX
from catalog.programmes import Line as Line
from catalog.records.sheet_reading import BROKEN, judge
from transcode.sandbox import GIB, Limits, View, launcher
from vod.acts import pdf_text
from vod.acts.programme_lines import Listing as Listing
from vod.acts.programme_lines import read_rows
from vod.acts.programme_lines import words_chance as words_chance

TEXT_MAX: Final = 100_000
"""Characters of a list; a gala's has two or three thousand."""
ROWS_MAX: Final = 2_000
COLUMNS_MAX: Final = 30
SHEETS_MAX: Final = 5
FILE_MAX: Final = 10 << 20
PAGES_MAX: Final = 30
_PDF_SECONDS: Final = 20
_PDF_LIMITS: Final = Limits(
    address_bytes=2 * GIB, cpu_seconds=_PDF_SECONDS, file_bytes=0, open_files=64
)


_FOLDED: Final = re.compile(r'(?m)(?:(?<=\t)|^)"((?:[^"\t]|"")*)"(?=\t|$)')
"""A cell of several lines, as spreadsheets put it on the clipboard."""


def read_text(text: str) -> Listing:
    """A pasted list. Raises Refused."""
    if len(text) > TEXT_MAX:
        raise Refused("programme_text_long", length=len(text), most=TEXT_MAX)
    text = text.replace("\r\n", "\n")  # as browsers send it
    if "\t" in text:
        text = _FOLDED.sub(lambda cell: "、".join(cell[1].replace('""', '"').split("\n")), text)
    return _checked([line.split("\t") for line in text.splitlines()])


def read_xlsx(path: Path) -> Listing:
    """The first sheet that has entries. Raises Refused, whatever the bytes."""
    with path.open("rb") as file:
        judge(file, most=FILE_MAX)
        try:
            book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
            try:
                sheets = [list(_cells(sheet)) for sheet in book.worksheets[:SHEETS_MAX]]
            finally:
                book.close()
        except BROKEN:
            raise Refused("sheet_broken") from None
    filled = [rows for rows in sheets if any(any(row) for row in rows)]
    for rows in filled:
        if read_rows(rows).lines:
            return _checked(rows)
    raise Refused("programme_no_lines")


def _cells(sheet: Any) -> Iterator[list[str]]:
    # What a sheet says of its own size need not be true.
    sheet.reset_dimensions()
    for row in sheet.iter_rows(max_row=ROWS_MAX, max_col=COLUMNS_MAX, values_only=True):
        yield [_shown(value) for value in row]


def _shown(value: Any) -> str:
    """A cell as text; a time of day as 19:35, a length (Excel's, in days) as 0:04:30."""
    if value is None or isinstance(value, bool):
        return ""
    if isinstance(value, dt.datetime):
        value = value.time()
    if isinstance(value, dt.time):
        return value.strftime("%H:%M:%S" if value.second else "%H:%M")
    if isinstance(value, dt.timedelta):
        seconds = int(value.total_seconds())
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def read_pdf(path: Path) -> Listing:
    """A PDF's text. Raises Refused."""
    if path.stat().st_size > FILE_MAX:
        raise Refused("file_too_large", most=FILE_MAX >> 20)
    argv = [
        *launcher(_PDF_LIMITS, View(writes=())), sys.executable, "-I", pdf_text.__file__, str(path),
        str(PAGES_MAX), str(TEXT_MAX),
    ]  # fmt: skip
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=2 * _PDF_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Refused("programme_pdf_broken") from None
    if done.returncode == pdf_text.LOCKED:
        raise Refused("programme_pdf_locked")
    if done.returncode == pdf_text.LONG:
        raise Refused("programme_pdf_pages", most=PAGES_MAX)
    if done.returncode != 0:
        raise Refused("programme_pdf_broken")
    text = done.stdout.decode("utf-8", "replace")
    if not text.strip():
        raise Refused("programme_pdf_picture")
    return read_text(text)


def _checked(rows: list[list[str]]) -> Listing:
    found = read_rows(rows)
    if not found.lines:
        raise Refused("programme_no_lines")
    if len(found.lines) > LINES_MAX:
        raise Refused("programme_too_long", lines=len(found.lines), most=LINES_MAX)
    return found
