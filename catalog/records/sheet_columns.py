"""The columns of a sheet of records: what a field looks like in a cell, and the way back. Pure.

What ``shown`` writes ``read`` understands; ``read`` takes a few spellings more, as people type.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from catalog.records import kinds
from catalog.records.fields import FIELDS, tidy

CELL_MAX: Final = 32_000
"""Characters of one cell; Excel's own limit is 32 767."""
TOO_LONG: Final = "（内容过长，不在表中）"
"""Stands for a text no cell can hold; read again, it changes nothing."""

KEY, VERSION, CENTRE, KIND = "编号", "版本", "文化馆", "类型"
FACTS: Final = ("状态", "时长（秒）", "文件大小", "媒体类型", "SHA-256", "网页", "文件")
"""Columns that only tell; whatever stands in them when they come back is not looked at."""

_SEPARATORS: Final = re.compile(r"[;；、,，\n]")
_PEOPLE_SEPARATORS: Final = re.compile(r"[;；、\n]")
_PERSON: Final = re.compile(r"(.*?)\s*[（(]([^（）()]*)[）)]\s*", re.DOTALL)
_DATE: Final = re.compile(r"(\d{4})\s*[-/.年]\s*(\d{1,2})\s*[-/.月]\s*(\d{1,2})\s*日?")

Cell = str | int | float | bool | dt.date | dt.datetime | None


class Unreadable(ValueError):
    """A cell that says nothing a field could hold; the message is a reason in Chinese."""


@dataclass(frozen=True, slots=True)
class Column:
    """An editable column."""

    name: str
    """Of the field."""
    width: int
    show: Callable[[Any, Mapping[str, str]], str | int | dt.date | None]
    read: Callable[[Cell, Mapping[str, str]], Any]
    choices: Sequence[str] = field(default=())
    """What the template offers to choose from."""

    @property
    def heading(self) -> str:
        return FIELDS[self.name].label


# --- values ----------------------------------------------------------------------------------


def text_of(value: Cell) -> str:
    """What stands in a cell, as text: numbers the way people see them."""
    if value is None:
        return ""
    if isinstance(value, bool):
        raise Unreadable("要填文字")
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, dt.datetime):
        day = value.date().isoformat()
        return day if value.time() == dt.time() else f"{day} {value.time():%H:%M:%S}"
    return str(value)


def date_of(value: Cell) -> str | None:
    """A day as ISO 8601; None for an empty cell."""
    if isinstance(value, dt.datetime):
        return value.date().isoformat()
    if isinstance(value, dt.date):
        return value.isoformat()
    text = text_of(value).strip()
    if not text:
        return None
    found = _DATE.fullmatch(text)
    if found is None:
        raise Unreadable("日期要写成 2020-01-31 这样")
    try:
        return dt.date(*(int(part) for part in found.groups())).isoformat()
    except ValueError:
        raise Unreadable(f"没有 {text[:20]} 这一天") from None


def whole_of(value: Cell) -> int | None:
    """A whole number; None for an empty cell."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = text_of(value).strip()
    if not text:
        return None
    if re.fullmatch(r"[+-]?\d{1,18}", text) is None:
        raise Unreadable("要填整数")
    return int(text)


def _text(value: Any, names: Mapping[str, str]) -> str:
    return str(value or "")


def _read_text(value: Cell, names: Mapping[str, str]) -> str:
    return text_of(value)


def _day(value: Any, names: Mapping[str, str]) -> dt.date | None:
    return None if value is None else dt.date.fromisoformat(value)


def _whole(value: Any, names: Mapping[str, str]) -> int:
    return int(value)


def _read_whole(value: Cell, names: Mapping[str, str]) -> int:
    return whole_of(value) or 0


def _choice(words: Mapping[str, str], *, empty: str | None = None) -> dict[str, Any]:
    """One of a vocabulary (code → Chinese name); read by either."""

    def show(value: Any, names: Mapping[str, str]) -> str:
        return "" if value is None else words[value]

    def read(value: Cell, names: Mapping[str, str]) -> str | None:
        text = tidy(text_of(value))
        if not text:
            return empty
        return code_of(words, text)

    return {"show": show, "read": read, "choices": tuple(words.values())}


def code_of(words: Mapping[str, str], text: str) -> str:
    """The code of a word of a vocabulary. Raises Unreadable."""
    for code, word in words.items():
        if text in (code, word):
            return code
    raise Unreadable(f"“{text[:20]}”不对，只能是：" + "、".join(words.values()))


def _genre(value: Any, names: Mapping[str, str]) -> str:
    return "" if value is None else names.get(value, value)


def _read_genre(value: Cell, names: Mapping[str, str]) -> str | None:
    text = tidy(text_of(value))
    if not text:
        return None
    for key, name in names.items():
        if text in (key, name):
            return key
    raise Unreadable(f"没有“{text[:20]}”这个门类")


def _listed(value: Any, names: Mapping[str, str]) -> str:
    return "；".join(value)


def _read_listed(value: Cell, names: Mapping[str, str]) -> list[str]:
    return [part for part in (p.strip() for p in _SEPARATORS.split(text_of(value))) if part]


def _languages(value: Any, names: Mapping[str, str]) -> str:
    return "；".join(kinds.LANGUAGES[code] for code in value)


def _read_languages(value: Cell, names: Mapping[str, str]) -> list[str]:
    return [code_of(kinds.LANGUAGES, part) for part in _read_listed(value, names)]


def _people(value: Any, names: Mapping[str, str]) -> str:
    return "；".join(f"{one['name']}（{kinds.PEOPLE_ROLES[one['role']]}）" for one in value)


def _read_people(value: Cell, names: Mapping[str, str]) -> list[dict[str, str]]:
    found = []
    for part in _PEOPLE_SEPARATORS.split(text_of(value)):
        if not part.strip():
            continue
        credited = _PERSON.fullmatch(part)
        role = credited and _role(credited[2])
        if credited and role:
            found.append({"name": credited[1].strip(), "role": role})
        else:
            # What stands in brackets is no role: it belongs to the name.
            found.append({"name": part.strip(), "role": "other"})
    return found


def _role(word: str) -> str | None:
    try:
        return code_of(kinds.PEOPLE_ROLES, word.strip())
    except Unreadable:
        return None


def _yes(value: Any, names: Mapping[str, str]) -> str:
    return "是" if value else "否"


def _read_yes(value: Cell, names: Mapping[str, str]) -> bool:
    text = tidy(str(value)) if value is not None else ""
    if text in ("", "否", "False", "0"):
        return False
    if text in ("是", "True", "1"):
        return True
    raise Unreadable("只能填“是”或“否”")


def _key(value: Any, names: Mapping[str, str]) -> str:
    return value or ""


def _read_key(value: Cell, names: Mapping[str, str]) -> str | None:
    return text_of(value).strip() or None


COLUMNS: Final[tuple[Column, ...]] = (
    Column("title", 36, _text, _read_text),
    Column("event_date", 12, _day, lambda value, _: date_of(value)),
    Column("genre_id", 10, _genre, _read_genre),
    Column("languages", 18, _languages, _read_languages, tuple(kinds.LANGUAGES.values())),
    Column("keywords", 24, _listed, _read_listed),
    Column("place", 20, _text, _read_text),
    Column("people", 30, _people, _read_people),
    Column("description", 40, _text, _read_text),
    Column("rights_holder", 20, _text, _read_text),
    Column("licence", 12, **_choice(kinds.LICENCES, empty="centre")),
    Column("licence_until", 12, _day, lambda value, _: date_of(value)),
    Column("source", 20, _text, _read_text),
    Column("origin", 10, **_choice(kinds.ORIGINS)),
    Column("ledger", 10, **_choice(kinds.LEDGERS)),
    Column("confirmed", 8, _yes, _read_yes, ("是", "否")),
    Column("parent_id", 16, _key, _read_key),
    Column("position", 7, _whole, _read_whole),
    Column("lessons_planned", 9, _whole, _read_whole),
    Column("broadcast_id", 13, _key, _read_key),
    Column("lineage", 16, _listed, _read_listed),
    Column("body", 40, _text, _read_text),
)
BY_HEADING: Final = {column.heading: column for column in COLUMNS}


def shown(column: Column, value: Any, names: Mapping[str, str]) -> str | int | dt.date | None:
    """A field's value as its cell has it. ``names``: genre id → name."""
    found = column.show(value, names)
    return TOO_LONG if isinstance(found, str) and len(found) > CELL_MAX else found
