"""An old return as a file (YAML) says it: centres with their values, broadcasts. Pure.

The shape is ``source``, ``centres: [{name, level, indicators: {name: {v, u, pct, target}}}]`` and
``broadcasts: [{nr, date, title, mode, final, raw, img, clicks}]``, as old returns print them.
Numbers are read as the decimals they are written as: 112.7 minutes is a whole number of ticks.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import yaml

from catalog.broadcasts import BroadcastError, clean_title
from catalog.errors import Refused
from catalog.minutes import TICKS_A_MINUTE

BYTES_MAX: Final = 1 << 20
DEPTH_MAX: Final = 12
CENTRES_MAX, INDICATORS_MAX, BROADCASTS_MAX = 500, 200, 5000
NAME_MAX: Final = 200
VALUE_MAX: Final = Decimal(10) ** 12
MINUTES_MAX: Final = 100_000
"""Of one broadcast: no stage plays for ten weeks."""
VALUE_DIGITS, MINUTE_DIGITS = 4, 5
"""Digits after the point: what the table keeps; what is a whole number of ticks."""

MODES: Final = {"直播": "live", "录播": "recorded", "live": "live", "recorded": "recorded"}
STANDINGS: Final = {
    "": "own", "own": "own", "联动": "linked", "linked": "linked",
    "重播": "reshown", "展播": "reshown", "reshown": "reshown",
}  # fmt: skip

Node = str | None | list["Node"] | dict[str, "Node"]


@dataclass(frozen=True, slots=True)
class Bad:
    """A row that was not taken: where it stands, and why (a code with its facts)."""

    where: str
    code: str
    facts: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PastCentre:
    name: str
    level: str
    notes: tuple[str, ...]
    """Figures that belong to no indicator, as words."""


@dataclass(frozen=True, slots=True)
class PastValue:
    """One value of one centre, and what was printed beside it."""

    centre: str
    name: str
    value: Decimal
    rate: str | None
    target: Decimal | None

    @property
    def where(self) -> str:
        return f"{self.centre}／{self.name}"


@dataclass(frozen=True, slots=True)
class PastShow:
    """One 场 with its printed figures; minutes as exact ticks."""

    where: str
    centre: str
    """Empty: the file's first centre."""
    date: dt.date
    title: str
    mode: str
    standing: str
    finished_ticks: int
    raw_ticks: int
    images: int
    clicks: int


@dataclass(frozen=True, slots=True)
class PastReturn:
    source: str
    """The document it was printed in."""
    centres: tuple[PastCentre, ...]
    values: tuple[PastValue, ...]
    shows: tuple[PastShow, ...]
    bad: tuple[Bad, ...]


def read_past(data: bytes, year: int, today: dt.date) -> PastReturn:
    """Read a file of ``year``. Rows that are wrong are in ``bad``.

    Raises Refused return_file_large, return_file_text, return_file_yaml, return_file_shape,
    return_file_year when there is nothing to be read row by row.
    """
    whole = _mapping(_tree(data))
    source = _mapping(whole.get("source"))
    found = source.get("year")
    if isinstance(found, str) and found != str(year):
        raise Refused("return_file_year", year=year, found=found[:10])
    listed = whole.get("centres") or []
    shows = whole.get("broadcasts") or []
    if not isinstance(listed, list) or not isinstance(shows, list) or not (listed or shows):
        raise Refused("return_file_shape")
    if len(listed) > CENTRES_MAX or len(shows) > BROADCASTS_MAX:
        raise Refused("return_file_rows", centres=CENTRES_MAX, broadcasts=BROADCASTS_MAX)
    bad: list[Bad] = []
    centres, values = _centres(listed, bad)
    return PastReturn(
        source="，".join(_words(source, "doc", "issuer", "date")) or "导入的历史报表",
        centres=tuple(centres),
        values=tuple(values),
        shows=tuple(_shows(shows, year, today, bad)),
        bad=tuple(bad),
    )


# --- YAML to plain text -----------------------------------------------------------------------


def _tree(data: bytes) -> Node:
    """Mappings, lists and text; a plain null is None. Nothing is taken for a number or a date
    here (112.7 must not become a float), and aliases, which can blow up, are refused."""
    if len(data) > BYTES_MAX:
        raise Refused("return_file_large", most=BYTES_MAX >> 20)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Refused("return_file_text") from None
    try:
        depth = 0
        for event in yaml.parse(text, Loader=yaml.CSafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise Refused("return_file_yaml", line=_line(event.start_mark))
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > DEPTH_MAX:
                raise Refused("return_file_yaml", line=_line(event.start_mark))
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        raise Refused("return_file_yaml", line=_line(error.problem_mark)) from None
    except yaml.YAMLError:
        raise Refused("return_file_yaml", line=1) from None
    return _plain(root) if root is not None else None


def _line(mark: Any) -> int:
    return int(mark.line) + 1 if mark is not None else 1


def _plain(node: yaml.Node) -> Node:
    match node:
        case yaml.ScalarNode(value=value, tag=tag):
            # What cannot be printed (NUL, half a surrogate) cannot be kept either.
            return None if tag.endswith(":null") else "".join(filter(str.isprintable, value))
        case yaml.SequenceNode(value=items):
            return [_plain(item) for item in items]
        case yaml.MappingNode(value=pairs):
            made: dict[str, Node] = {}
            for key, value in pairs:
                name = _plain(key)
                if not isinstance(name, str) or name in made:
                    # The second of two equal keys would silently win.
                    raise Refused("return_file_key", line=_line(key.start_mark))
                made[name] = _plain(value)
            return made
    raise AssertionError(node)


def _mapping(node: Node) -> dict[str, Node]:
    if node is None:
        return {}
    if not isinstance(node, dict):
        raise Refused("return_file_shape")
    return node


def _words(mapping: Mapping[str, Node], *keys: str) -> Iterator[str]:
    return (value[:NAME_MAX] for key in keys if isinstance(value := mapping.get(key), str))


# --- values -----------------------------------------------------------------------------------


def _centres(listed: list[Node], bad: list[Bad]) -> tuple[list[PastCentre], list[PastValue]]:
    centres: list[PastCentre] = []
    values: list[PastValue] = []
    for number, node in enumerate(listed, start=1):
        name = node.get("name") if isinstance(node, dict) else None
        if not isinstance(node, dict) or not isinstance(name, str) or not name.strip():
            bad.append(Bad(f"第{number}个单位", "return_row_centre"))
            continue
        name = name.strip()[:NAME_MAX]
        if any(centre.name == name for centre in centres):
            bad.append(Bad(name, "return_row_twice"))
            continue
        indicators = node.get("indicators") or {}
        if not isinstance(indicators, dict) or len(indicators) > INDICATORS_MAX:
            bad.append(Bad(name, "return_row_indicators", {"most": INDICATORS_MAX}))
            indicators = {}
        level = node.get("level")
        also = node.get("also_uploaded")
        centres.append(PastCentre(name, level if isinstance(level, str) else "", _also(also)))
        values += _values(name, indicators, bad)
    return centres, values


def _also(node: Node) -> tuple[str, ...]:
    if not isinstance(node, dict):
        return ()
    return tuple(f"{name}{value}" for name, value in node.items() if isinstance(value, str))


def _values(centre: str, indicators: Mapping[str, Node], bad: list[Bad]) -> Iterator[PastValue]:
    for name, node in indicators.items():
        row = node if isinstance(node, dict) else {"v": node}
        printed, rate = row.get("v"), row.get("pct")
        if printed is None:
            continue  # printed as a blank: nothing was reported
        try:
            target = row.get("target")
            yield PastValue(
                centre=centre,
                name=name,
                value=_number(printed, VALUE_MAX, VALUE_DIGITS),
                rate=rate if isinstance(rate, str) else None,
                target=None if target is None else _number(target, VALUE_MAX, VALUE_DIGITS),
            )
        except Refused as error:
            bad.append(Bad(f"{centre}／{name}", error.code, error.facts))


def _number(node: Node, most: Decimal | int, digits: int) -> Decimal:
    """A decimal from 0 to ``most``. Raises Refused return_row_number, _negative, _digits."""
    text = node.strip() if isinstance(node, str) else ""
    try:
        value = Decimal(text.replace(",", "").replace("，", ""))
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or value > most:
        raise Refused("return_row_number", given=text[:40])
    if value < 0:
        raise Refused("return_row_negative", given=text[:40])
    if value != round(value, digits):
        raise Refused("return_row_digits", given=text[:40], most=digits)
    return value


def _whole(node: Node) -> int:
    return int(_number("0" if node is None else node, VALUE_MAX, 0))


# --- broadcasts -------------------------------------------------------------------------------


def _shows(listed: list[Node], year: int, today: dt.date, bad: list[Bad]) -> Iterator[PastShow]:
    seen: set[tuple[str, dt.date, str]] = set()
    for number, node in enumerate(listed, start=1):
        row = node if isinstance(node, dict) else {}
        title = row.get("title")
        where = f"第{number}场" + (f"“{title[:40]}”" if isinstance(title, str) else "")
        try:
            show = _show(where, row, year, today)
            key = (show.centre, show.date, show.title)
            if key in seen:
                raise Refused("return_row_twice")
        except Refused as error:
            bad.append(Bad(where, error.code, error.facts))
            continue
        seen.add(key)
        yield show


def _show(where: str, row: Mapping[str, Node], year: int, today: dt.date) -> PastShow:
    try:
        title = clean_title(str(row.get("title") or ""))
    except BroadcastError:
        raise Refused("return_row_title", most=NAME_MAX) from None
    mode = MODES.get(str(row.get("mode") or "").strip())
    standing = STANDINGS.get(str(row.get("standing") or "").strip())
    if mode is None or standing is None:
        raise Refused("return_row_mode", given=str(row.get("mode"))[:20])
    centre = row.get("centre")
    return PastShow(
        where=where,
        centre=centre.strip() if isinstance(centre, str) else "",
        date=_date(row.get("date"), year, today),
        title=title,
        mode=mode,
        standing=standing,
        finished_ticks=_ticks(row.get("final")),
        raw_ticks=_ticks(row.get("raw")),
        images=_whole(row.get("img")),
        clicks=_whole(row.get("clicks")),
    )


def _date(node: Node, year: int, today: dt.date) -> dt.date:
    text = node.strip() if isinstance(node, str) else ""
    try:
        day = dt.date.fromisoformat(text)
    except ValueError:
        raise Refused("return_row_date", given=text[:20]) from None
    if day > today:
        raise Refused("return_row_future", given=text)
    if day.year != year:
        raise Refused("return_row_year", given=text, year=year)
    return day


def _ticks(node: Node) -> int:
    """Minutes as ticks, exactly: a tick is 1/5 400 000 of a minute."""
    minutes = _number("0" if node is None else node, MINUTES_MAX, MINUTE_DIGITS)
    return int(minutes * TICKS_A_MINUTE)
