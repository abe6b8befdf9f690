"""What the workbook of a return is built of: sheets, looks, cells that stay text (ECMA-376).

Written by hand, for two reasons the libraries don't meet together. A formula's result stands
beside it: a phone's preview (WeChat's too) shows results and works nothing out. And ten years of
evidence, over a million cells, take seconds: openpyxl needs half a minute, XlsxWriter a quarter.
"""

from __future__ import annotations

import datetime as dt
import re
import zipfile
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import cache, lru_cache
from typing import BinaryIO, Final
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from openpyxl.utils import get_column_letter

from catalog.cells import clean, quoted
from catalog.returns.xlsx_looks import DATE, GENERAL, HEADING, LINK, PLAIN, Look, Looks

LINKS_MAX: Final = 60_000
"""Links of one sheet; Excel calls a file broken above 65 530."""
NAME_MAX: Final = 31
_NOT_IN_NAMES: Final = "[]:*?/\\'\t\n\r"
_RESERVED: Final = "history"
"""Excel keeps this name for itself."""
_DAY_ZERO: Final = dt.date(1899, 12, 30)
_FIRST_ZIP: Final = (1980, 1, 1, 0, 0, 0)
_URL_SAFE: Final = "%/:?=&+,;@!$'()*~-._"
# Excel reads _x0041_ as A: what people wrote so is protected by escaping the underscore.
_ESCAPED: Final = re.compile(r"_(?=x[0-9A-Fa-f]{4}_)")

_HEAD: Final = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n'
_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_OFFICE: Final = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE: Final = "http://schemas.openxmlformats.org/package/2006"
_TYPE: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml"

Scalar = str | int | Fraction | dt.date | None


class Book:
    """A workbook being written. Use as a context manager: left well, it is whole.

    Each sheet is in memory until it is closed; sheets stand in the order they were made.
    """

    def __init__(
        self, out: BinaryIO, title: str, made_at: dt.datetime, own_names: Iterable[str]
    ) -> None:
        """``own_names``: of sheets formulas refer to; no centre's sheet gets one of these."""
        self._zip = zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=4)
        self._title = clean(title)
        self._made_at = made_at.astimezone(dt.UTC)
        self._names = {name.casefold() for name in own_names}
        self._sheets: list[Sheet] = []
        self.looks = Looks()

    def __enter__(self) -> Book:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._zip:
            if kind is None:
                for sheet in self._sheets:
                    sheet.close()
                self._finish()

    def sheet(self, name: str, widths: Sequence[int], *, own: bool = False) -> Sheet:
        """A new sheet, last: of one of our own names, else one made fit and unlike the others."""
        fit = name if own else sheet_name(name, self._names)
        self._names.add(fit.casefold())
        made = Sheet(self, fit, len(self._sheets) + 1, widths)
        self._sheets.append(made)
        return made

    def part(self, path: str, xml: str) -> None:
        """Add a part of the package. The same return gives the same bytes."""
        info = zipfile.ZipInfo(path, max(self._made_at.timetuple()[:6], _FIRST_ZIP))
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o600 << 16
        self._zip.writestr(info, _HEAD + xml)

    def _finish(self) -> None:
        numbers = range(1, len(self._sheets) + 1)
        self.part("xl/styles.xml", self.looks.xml())
        self.part(
            "xl/workbook.xml",
            f'<workbook xmlns="{_MAIN}" xmlns:r="{_OFFICE}"><bookViews><workbookView/></bookViews>'
            "<sheets>"
            + "".join(
                f'<sheet name={quoteattr(sheet.name)} sheetId="{n}" r:id="rId{n}"/>'
                for n, sheet in zip(numbers, self._sheets, strict=True)
            )
            + '</sheets><calcPr calcId="191029" fullCalcOnLoad="1"/></workbook>',
        )
        links = [(f"rId{n}", f"{_OFFICE}/worksheet", f"worksheets/sheet{n}.xml") for n in numbers]
        links.append((f"rId{len(links) + 1}", f"{_OFFICE}/styles", "styles.xml"))
        self.part("xl/_rels/workbook.xml.rels", _relations(links))
        self._about()
        own = {"xl/workbook.xml": "sheet.main", "xl/styles.xml": "styles"}
        own |= {f"xl/worksheets/sheet{n}.xml": "worksheet" for n in numbers}
        self.part(
            "[Content_Types].xml",
            f'<Types xmlns="{_PACKAGE}/content-types">'
            '<Default Extension="rels" '
            'ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
            '<Default Extension="xml" ContentType="application/xml"/>'
            + "".join(
                f'<Override PartName="/{path}" ContentType="{_TYPE}.{kind}+xml"/>'
                for path, kind in own.items()
            )
            + '<Override PartName="/docProps/core.xml" '
            'ContentType="application/vnd.openxmlformats-package.core-properties+xml"/></Types>',
        )

    def _about(self) -> None:
        at = f"{self._made_at:%Y-%m-%dT%H:%M:%SZ}"
        stamp = 'xsi:type="dcterms:W3CDTF"'
        self.part(
            "docProps/core.xml",
            f'<cp:coreProperties xmlns:cp="{_PACKAGE}/metadata/core-properties" '
            'xmlns:dc="http://purl.org/dc/elements/1.1/" '
            'xmlns:dcterms="http://purl.org/dc/terms/" '
            'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
            f"<dc:title>{escape(self._title)}</dc:title>"
            f"<dcterms:created {stamp}>{at}</dcterms:created>"
            f"<dcterms:modified {stamp}>{at}</dcterms:modified></cp:coreProperties>",
        )
        core = f"{_PACKAGE}/relationships/metadata/core-properties"
        links = [
            ("rId1", f"{_OFFICE}/officeDocument", "xl/workbook.xml"),
            ("rId2", core, "docProps/core.xml"),
        ]
        self.part("_rels/.rels", _relations(links))


class Sheet:
    """One sheet. Rows and columns count from 1; rows go down, and cells of a row to the right."""

    def __init__(self, book: Book, name: str, number: int, widths: Sequence[int]) -> None:
        self.name = name
        self._book = book
        self._number = number
        self._widths = widths
        self._rows: list[str] = []
        self._cells: list[str] = []
        self._at = (0, 0)
        self._frozen = ""
        self._links: list[tuple[str, str, str]] = []
        """(cell, address, place inside); of a place in this book without an address."""
        self._closed = False

    # --- cells -------------------------------------------------------------------------------

    def text(self, row: int, column: int, value: str, look: Look = PLAIN) -> None:
        """Text, whatever it begins with."""
        said, apostrophe = _said(value)
        if said:
            style = self._book.looks.number(look, quoted=apostrophe)
            ref = self._place(row, column)
            self._cells.append(
                f'<c r="{ref}" s="{style}" t="inlineStr"><is>'
                f'<t xml:space="preserve">{said}</t></is></c>'
            )

    def number(
        self,
        row: int,
        column: int,
        value: int | Fraction,
        form: str = GENERAL,
        look: Look = PLAIN,
    ) -> None:
        whole = value if isinstance(value, int) else _float(value)
        ref = self._place(row, column)
        self._cells.append(f'<c r="{ref}" s="{self._style(look, form)}"><v>{whole!r}</v></c>')

    def date(self, row: int, column: int, value: dt.date, look: Look = PLAIN) -> None:
        self.number(row, column, (value - _DAY_ZERO).days, DATE, look)

    def formula(
        self,
        row: int,
        column: int,
        formula: str,
        result: str | int | float,
        form: str = GENERAL,
        look: Look = PLAIN,
    ) -> None:
        """A formula of ours (never of people's text) and what it comes to."""
        kind, told = (' t="str"', escape(result)) if isinstance(result, str) else ("", repr(result))
        ref = self._place(row, column)
        self._cells.append(
            f'<c r="{ref}" s="{self._style(look, form)}"{kind}>'
            f"<f>{escape(formula)}</f><v>{told}</v></c>"
        )

    def link(self, row: int, column: int, text: str, url: str) -> None:
        """Text that opens ``url`` (``#place``: in this book); plain where there is none."""
        if not url or not clean(text) or len(self._links) >= LINKS_MAX:
            self.text(row, column, text)
            return
        self.text(row, column, text, LINK)
        address, _, place = url.partition("#")
        self._links.append((f"{_letter(column)}{row}", address, place))

    def values(self, row: int, values: Iterable[Scalar], look: Look = PLAIN) -> None:
        """A row of plain values from the first column on; None leaves a cell empty."""
        for column, value in enumerate(values, start=1):
            if isinstance(value, str):
                self.text(row, column, value, look)
            elif isinstance(value, dt.date):
                self.date(row, column, value, look)
            elif value is not None:
                self.number(row, column, value, look=look)

    def headings(self, row: int, headings: Sequence[str]) -> None:
        self.values(row, headings, HEADING)

    def title(self, lines: Sequence[str]) -> None:
        """The lines above the table; the first is the title."""
        for row, line in enumerate(lines, start=1):
            self.text(row, 1, line, Look(bold=True, size=15) if row == 1 else PLAIN)

    def freeze(self, row: int, column: int) -> None:
        """Keep what is above and left of this cell in sight."""
        self._frozen = (
            f'<pane xSplit="{column - 1}" ySplit="{row - 1}" topLeftCell="{_letter(column)}{row}" '
            'activePane="bottomRight" state="frozen"/>'
        )

    def _place(self, row: int, column: int) -> str:
        if row != self._at[0]:
            self._end_row()
        assert (row, column) > self._at, "a row above, or a cell to the left, is written already"
        self._at = row, column
        return f"{_letter(column)}{row}"

    def _end_row(self) -> None:
        if self._cells:
            self._rows.append(f'<row r="{self._at[0]}">{"".join(self._cells)}</row>')
            self._cells.clear()

    def _style(self, look: Look, form: str) -> int:
        return self._book.looks.number(look, form)

    # --- the whole sheet ---------------------------------------------------------------------

    def close(self) -> None:
        """Write it into the book and let go of it. Closing twice is closing once."""
        if self._closed:
            return
        self._closed = True
        self._end_row()
        selected = ' tabSelected="1"' if self._number == 1 else ""
        columns = "".join(
            f'<col min="{n}" max="{n}" width="{width}" customWidth="1"/>'
            for n, width in enumerate(self._widths, start=1)
        )
        links, relations = self._linked()
        self._book.part(
            f"xl/worksheets/sheet{self._number}.xml",
            f'<worksheet xmlns="{_MAIN}" xmlns:r="{_OFFICE}">'
            '<sheetPr><pageSetUpPr fitToPage="1"/></sheetPr>'
            f'<sheetViews><sheetView{selected} workbookViewId="0">{self._frozen}</sheetView>'
            f'</sheetViews><sheetFormatPr defaultRowHeight="15"/><cols>{columns}</cols>'
            f"<sheetData>{''.join(self._rows)}</sheetData>{links}"
            '<pageMargins left="0.5" right="0.5" top="0.6" bottom="0.6" header="0.3" footer="0.3"/>'
            '<pageSetup paperSize="9" orientation="landscape" fitToHeight="0"/></worksheet>',
        )
        if relations:
            path = f"xl/worksheets/_rels/sheet{self._number}.xml.rels"
            self._book.part(path, _relations(relations))
        self._rows.clear()
        self._links.clear()

    def _linked(self) -> tuple[str, list[tuple[str, str, str]]]:
        """The <hyperlinks> of the sheet, and what its addresses are."""
        said, relations = [], []
        known: dict[str, str] = {}
        for ref, address, place in self._links:
            to = f" location={quoteattr(place)}" if place else ""
            if address:
                key = known.get(address)
                if key is None:
                    key = known[address] = f"rId{len(known) + 1}"
                    relations.append((key, f"{_OFFICE}/hyperlink", quote(address, _URL_SAFE)))
                to = f' r:id="{key}"{to}'
            said.append(f'<hyperlink ref="{ref}"{to}/>')
        return (f"<hyperlinks>{''.join(said)}</hyperlinks>" if said else ""), relations


def _relations(links: Iterable[tuple[str, str, str]]) -> str:
    outside = ' TargetMode="External"'
    made = "".join(
        f'<Relationship Id="{key}" Type="{kind}" Target={quoteattr(target)}'
        f"{outside if kind.endswith('/hyperlink') else ''}/>"
        for key, kind, target in links
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{made}</Relationships>'


@lru_cache(maxsize=4096)
def _said(text: str) -> tuple[str, bool]:
    """Text as XML, and whether it needs the apostrophe. Names repeat down a column."""
    plain = clean(text)
    said = escape(plain)
    return (_ESCAPED.sub("_x005F_", said) if "_x" in said else said), quoted(plain)


def _float(value: Fraction) -> int | float:
    return value.numerator if value.denominator == 1 else float(value)


@cache
def _letter(column: int) -> str:
    return get_column_letter(column)


def sheet_name(wanted: str, taken: set[str]) -> str:
    """A name Excel takes: short, of allowed characters, unlike those ``taken`` (casefolded)."""
    plain = "".join("　" if c in _NOT_IN_NAMES else c for c in clean(wanted)).strip() or "表"
    fit, number = _cut(plain, NAME_MAX), 1
    while fit.casefold() in taken or fit.casefold() == _RESERVED:
        number += 1
        mark = f"（{number}）"
        fit = _cut(plain, NAME_MAX - len(mark)) + mark
    return fit


def _cut(text: str, most: int) -> str:
    """The beginning of a text, counted as Excel counts: rare characters are two."""
    return text.encode("utf-16-le")[: 2 * most].decode("utf-16-le", "ignore")


def area(sheet: str, column: str, first: int, last: int) -> str:
    """A reference to part of a column of another sheet."""
    # Quotes cannot be in a name: sheet_name takes them out.
    return f"'{sheet}'!${column}${first}:${column}${last}"
