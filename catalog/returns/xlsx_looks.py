"""How cells of a return's workbook look, and the styles part that says so (ECMA-376, 18.8)."""

from __future__ import annotations

from typing import Final, NamedTuple
from xml.sax.saxutils import quoteattr

COUNT, GENERAL, PERCENT, DATE = "#,##0", "General", 'General"%"', "yyyy-mm-dd"
"""General drops a trailing .0, as the printed returns do; percent cells hold 118.3, not 1.183."""
INK, PAPER, RED = "FF2B2320", "FFF3ECE2", "FF9D2933"
FACE: Final = "宋体"

_MAIN: Final = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_BUILT_IN: Final = {GENERAL: 0, "0": 1, COUNT: 3}
"""Number formats that need no entry of their own."""
_FIRST_OWN: Final = 164


class Look(NamedTuple):
    """What a cell looks like, but for its number format."""

    bold: bool = False
    colour: str = ""
    size: int = 11
    underlined: bool = False
    fill: str = ""
    line: str = ""
    """top or bottom."""
    wrapped: bool = False
    indent: int = 0


PLAIN: Final = Look()
HEADING: Final = Look(bold=True, colour=INK, fill=PAPER, line="bottom", wrapped=True)
LINK: Final = Look(colour=RED, underlined=True)


class Looks:
    """The looks a book has used, numbered as its cells name them."""

    def __init__(self) -> None:
        self._known: dict[tuple[Look, str, bool], int] = {(PLAIN, GENERAL, False): 0}

    def number(self, look: Look, form: str = GENERAL, *, quoted: bool = False) -> int:
        key = (look, form, quoted)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = len(self._known)
        return found

    def xml(self) -> str:
        """The styles part."""
        forms: dict[str, int] = dict(_BUILT_IN)
        fonts, fills, lines = _Numbered(), _Numbered(), _Numbered()
        fonts.of(_font(PLAIN))
        # Excel takes the first two fills for these, whatever is written there.
        for pattern in ("none", "gray125"):
            fills.of(f'<fill><patternFill patternType="{pattern}"/></fill>')
        lines.of(_border(""))
        cells = []
        for look, form, quoted in self._known:
            if form not in forms:
                forms[form] = _FIRST_OWN + len(forms) - len(_BUILT_IN)
            fill = fills.of(_fill(look.fill)) if look.fill else 0
            apostrophe = ' quotePrefix="1"' if quoted else ""
            cells.append(
                f'<xf numFmtId="{forms[form]}" fontId="{fonts.of(_font(look))}" fillId="{fill}" '
                f'borderId="{lines.of(_border(look.line))}" xfId="0"{apostrophe} '
                'applyNumberFormat="1" applyFont="1" applyFill="1" applyBorder="1" '
                f'applyAlignment="1">{_alignment(look)}</xf>'
            )
        own = [
            f'<numFmt numFmtId="{number}" formatCode={quoteattr(form)}/>'
            for form, number in forms.items()
            if number >= _FIRST_OWN
        ]
        return (
            f'<styleSheet xmlns="{_MAIN}">'
            + (f'<numFmts count="{len(own)}">{"".join(own)}</numFmts>' if own else "")
            + fonts.xml("fonts")
            + fills.xml("fills")
            + lines.xml("borders")
            + '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/>'
            f'</cellStyleXfs><cellXfs count="{len(cells)}">{"".join(cells)}</cellXfs>'
            '<cellStyles count="1"><cellStyle name="Normal" xfId="0" builtinId="0"/></cellStyles>'
            "</styleSheet>"
        )


class _Numbered:
    """Elements, each once, numbered from 0."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def of(self, xml: str) -> int:
        return self._known.setdefault(xml, len(self._known))

    def xml(self, name: str) -> str:
        return f'<{name} count="{len(self._known)}">{"".join(self._known)}</{name}>'


def _font(look: Look) -> str:
    return (
        "<font>"
        + ("<b/>" if look.bold else "")
        + ("<u/>" if look.underlined else "")
        + f'<sz val="{look.size}"/>'
        + (f'<color rgb="{look.colour}"/>' if look.colour else "")
        + f'<name val="{FACE}"/><charset val="134"/></font>'
    )


def _fill(colour: str) -> str:
    return (
        f'<fill><patternFill patternType="solid"><fgColor rgb="{colour}"/>'
        '<bgColor indexed="64"/></patternFill></fill>'
    )


def _border(line: str) -> str:
    drawn = f'style="thin"><color rgb="{INK}"/>'
    sides = "".join(
        f"<{side} {drawn}</{side}>" if side == line else f"<{side}/>"
        for side in ("left", "right", "top", "bottom", "diagonal")
    )
    return f"<border>{sides}</border>"


def _alignment(look: Look) -> str:
    if look.indent:
        return f'<alignment horizontal="left" vertical="center" indent="{look.indent}"/>'
    return f'<alignment vertical="center" wrapText="{int(look.wrapped)}"/>'
