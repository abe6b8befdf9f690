"""Reading a workbook somebody sends: only as much of it as a sheet of records can need.

A workbook is a zip of XML, made by whoever sends it. Sizes are judged from the zip's directory
before anything is unpacked (and no more than that is ever unpacked); rows come one by one.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, BinaryIO, Final, NamedTuple
from xml.etree.ElementTree import ParseError
from xml.parsers import expat

from openpyxl import load_workbook
from openpyxl.cell.read_only import EmptyCell, ReadOnlyCell
from openpyxl.utils.exceptions import InvalidFileException

from catalog.errors import Refused
from catalog.records.fields import tidy
from catalog.records.kinds import KINDS
from catalog.records.sheet_columns import (
    BY_HEADING,
    CENTRE,
    FACTS,
    KEY,
    KIND,
    TOO_LONG,
    VERSION,
    Cell,
    Column,
    Unreadable,
    code_of,
    text_of,
    whole_of,
)

FILE_MAX: Final = 20 << 20
UNPACKED_MAX: Final = 64 << 20
RATIO_MAX: Final = 100
"""How much smaller than its contents a big workbook may be; real ones are 5 to 30 times."""
RATIO_FROM: Final = 4 << 20
PARTS_MAX: Final = 1000
ROWS_MAX: Final = 2000
COLUMNS_MAX: Final = 200
HEADINGS_WITHIN: Final = 5
"""The headings stand in one of the first rows: people put a title above them."""
_PIECE: Final = 1 << 16
BAD_MAX: Final = 500
"""Complaints that are told; a file with more of them has one thing wrong everywhere."""

SHEET: Final = "资源"
TITLE: Final = next(column.heading for column in BY_HEADING.values() if column.name == "title")

_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
"""Begins a .xls of before 2007, and any workbook with a password."""
BROKEN: Final = (
    InvalidFileException, zipfile.BadZipFile, zlib.error, ParseError, SyntaxError, EOFError,
    KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError, RuntimeError,
    NotImplementedError, AssertionError, OSError,
)  # fmt: skip
"""What openpyxl and zipfile raise on files that are damaged or made to be (fuzzed)."""


class _Begun(Exception):
    """A part's first element has come, and no document type before it."""


class Bad(NamedTuple):
    """A complaint: row as the spreadsheet numbers it, heading ("" : the whole row), reason."""

    row: int
    column: str
    reason: str


@dataclass(frozen=True, slots=True)
class Row:
    """A row that can be understood."""

    number: int
    key: str | None
    version: int | None
    kind: str | None
    centre: str | None
    fields: dict[str, Any] = field(default_factory=dict)
    """Field → value, of the columns the sheet has; not yet cleaned."""
    raw: dict[str, Cell] = field(default_factory=dict)
    """The same, as the cells have it."""


@dataclass(slots=True)
class Rows:
    """What a workbook says."""

    good: list[Row] = field(default_factory=list)
    bad: list[Bad] = field(default_factory=list)


def read(file: BinaryIO, genres: Mapping[str, str]) -> Rows:
    """The rows of a workbook; ``genres``: id → name. Raises Refused when the file as a whole
    cannot be used; nothing else, whatever the bytes."""
    judge(file)
    try:
        book = load_workbook(file, read_only=True, data_only=False, keep_links=False)
        try:
            sheet = book[SHEET] if SHEET in book.sheetnames else book.worksheets[0]
            # What a sheet says of its own size need not be true.
            sheet.reset_dimensions()
            cells = sheet.iter_rows(max_col=COLUMNS_MAX)
            return _rows(((n, row) for n, row in enumerate(cells, start=1)), genres)
        finally:
            book.close()
    except Refused:
        raise
    except BROKEN:
        raise Refused("sheet_broken") from None


def judge(file: BinaryIO, *, most: int = FILE_MAX) -> None:
    """Refuse what is no workbook, or too big a one. Leaves the file at its start."""
    file.seek(0)
    head = file.read(8)
    size = file.seek(0, 2)
    file.seek(0)
    if size > most:
        raise Refused("sheet_large", most=most >> 20)
    if head.startswith(_OLE):
        raise Refused("sheet_old")
    if not head.startswith(b"PK"):
        raise Refused("sheet_not_xlsx")
    try:
        with zipfile.ZipFile(file) as parts:
            entries = parts.infolist()
    except BROKEN:
        raise Refused("sheet_broken") from None
    names = {entry.filename for entry in entries}
    if "[Content_Types].xml" not in names or not any(n.startswith("xl/") for n in names):
        raise Refused("sheet_not_xlsx")
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > UNPACKED_MAX or len(entries) > PARTS_MAX:
        raise Refused("sheet_bomb", most=UNPACKED_MAX >> 20, size=-(-unpacked >> 20))
    if unpacked > RATIO_FROM and unpacked > RATIO_MAX * size:
        raise Refused("sheet_bomb", most=UNPACKED_MAX >> 20, size=-(-unpacked >> 20))
    try:
        with zipfile.ZipFile(file) as parts:
            for entry in parts.infolist():
                with parts.open(entry) as part:
                    _check_prolog(part)
    except BROKEN:
        raise Refused("sheet_broken") from None
    file.seek(0)


def _check_prolog(part: IO[bytes]) -> None:
    """Refuse XML that declares entities: with them a cell is a thousand times what was unpacked.
    No workbook has a document type (ECMA-376 part 2 forbids it)."""

    def doctype(*_: object) -> None:
        raise Refused("sheet_broken")

    def begun(*_: object) -> None:
        raise _Begun

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler = begun
    try:
        while piece := part.read(_PIECE):
            parser.Parse(piece)
    except (_Begun, expat.ExpatError):
        # A picture, say; and XML that is damaged is refused where it is read.
        return


def _rows(numbered: Iterator[tuple[int, tuple[Any, ...]]], genres: Mapping[str, str]) -> Rows:
    headings = _headings(numbered)
    found = Rows()
    seen: dict[str, int] = {}
    count = 0
    for number, row in numbered:
        cells = {
            heading: cell
            for heading, cell in zip(headings, row, strict=False)
            if heading and not isinstance(cell, EmptyCell) and not _blank(cell.value)
        }
        if not any(heading not in FACTS for heading in cells):
            continue
        count += 1
        if count > ROWS_MAX:
            raise Refused("sheet_rows", most=ROWS_MAX)
        complaints: list[Bad] = []
        one = _row(number, [h for h in headings if h], cells, genres, complaints)
        if one.key and one.key in seen:
            complaints.append(Bad(number, KEY, f"和第 {seen[one.key]} 行是同一个编号"))
        elif one.key:
            seen[one.key] = number
        if complaints:
            found.bad += complaints[: max(0, BAD_MAX - len(found.bad))]
        else:
            found.good.append(one)
    return found


def _blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def _headings(numbered: Iterator[tuple[int, tuple[Any, ...]]]) -> list[str]:
    """The headings, "" for columns without one. Raises Refused for one that is not known."""
    for _ in range(HEADINGS_WITHIN):
        _, row = next(numbered, (0, ()))
        found = [_heading(cell.value) for cell in row]
        if TITLE in found or KEY in found:
            break
    else:
        raise Refused("sheet_headings", headings=f"{KEY}、{TITLE}")
    known = {KEY, VERSION, CENTRE, KIND, *BY_HEADING, *FACTS}
    for heading in found:
        if heading and heading not in known:
            raise Refused("sheet_heading", heading=heading[:40])
        if heading and found.count(heading) > 1:
            raise Refused("sheet_heading_twice", heading=heading)
    return found


def _heading(value: Any) -> str:
    """A heading without the marks people put on those that must be filled in."""
    return tidy(value[:100]).strip("* ＊") if isinstance(value, str) else ""


def _row(
    number: int,
    headings: list[str],
    cells: Mapping[str, ReadOnlyCell],
    genres: Mapping[str, str],
    complaints: list[Bad],
) -> Row:
    """What a row says; what it cannot say goes to ``complaints``."""

    def value(heading: str) -> Cell:
        cell = cells.get(heading)
        if cell is None:
            return None
        if cell.data_type == "f":
            raise Unreadable("是公式，请改成值")
        if cell.data_type == "e":
            raise Unreadable(f"是错误值 {cell.value}")
        found: Any = cell.value
        if isinstance(found, Cell):
            return found
        raise Unreadable("要填文字、数字或日期")

    def told(heading: str, read: Any) -> Any:
        try:
            return read(value(heading))
        except Unreadable as error:
            complaints.append(Bad(number, heading, str(error)))
            return None

    fields: dict[str, Any] = {}
    raw: dict[str, Cell] = {}
    for heading in headings:
        column = BY_HEADING.get(heading)
        cell = cells.get(heading)
        if column is None or (cell is not None and cell.value == TOO_LONG):
            continue
        fields[column.name] = told(heading, _reader(column, genres))
        raw[column.name] = None if cell is None else cell.value  # type: ignore[assignment]
    return Row(
        number=number,
        key=told(KEY, lambda cell: text_of(cell).strip() or None),
        version=told(VERSION, whole_of),
        kind=told(KIND, _kind),
        centre=told(CENTRE, lambda cell: tidy(text_of(cell)) or None),
        fields=fields,
        raw=raw,
    )


def _reader(column: Column, genres: Mapping[str, str]) -> Any:
    return lambda cell: column.read(cell, genres)


def _kind(cell: Cell) -> str | None:
    text = tidy(text_of(cell))
    return code_of(KINDS, text) if text else None
