"""The plain forms of acts and of the programme list: what was typed, and what it means."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from starlette.datastructures import FormData

from api.pages.acts.view import ActRow, EntryRow
from api.pages.acts.words import exact, ticks_of
from api.pages.library.desk import texts
from api.pages.words import Translate
from catalog.acts import ACTS_MAX, ActWish, Line
from catalog.models import Act
from catalog.programmes import LINES_MAX

FIELD_MAX: Final = 1_000
"""Characters of one field that are looked at; what is kept has limits of its own."""
ACT_FIELDS_MAX: Final = 6 * (ACTS_MAX + 20)
LIST_FIELDS_MAX: Final = 5 * (LINES_MAX + 20)
"""Fields of the two forms: so many a row, the empty rows and the version with them."""


Row = TypeVar("Row")
Wish = TypeVar("Wish")


@dataclass(frozen=True, slots=True)
class Typed(Generic[Row, Wish]):
    """A form's rows as typed, what they ask for, and what is wrong with which (from 1)."""

    rows: tuple[Row, ...]
    wishes: tuple[Wish, ...]
    errors: Mapping[int, str]


def acts_of(form: FormData, known: Mapping[int, Act], _: Translate) -> Typed[ActRow, ActWish]:
    """The rows of the acts' form; one with nothing in it, and one ticked to go, are left out."""
    gone = set(texts(form, "gone"))
    rows: list[ActRow] = []
    wishes: list[ActWish] = []
    errors: dict[int, str] = {}
    for key, entry, title, start, end in _columns(form, "id", "entry", "title", "start", "end"):
        if (key and key in gone) or not (title or start or end):
            continue
        rows.append(ActRow(key, entry, title[:FIELD_MAX], start[:FIELD_MAX], end[:FIELD_MAX]))
        was = known.get(_number(key) or 0)
        begin = ticks_of(start[:FIELD_MAX], was.start_ticks if was else None)
        stop = ticks_of(end[:FIELD_MAX], was.end_ticks if was else None)
        if begin is None or stop is None:
            errors[len(rows)] = _("请按“分:秒”填写，比如 12:05.2。")
            continue
        wishes.append(
            ActWish(
                begin, stop, title[:FIELD_MAX], was.id if was is not None else None, _number(entry)
            )
        )
    return Typed(tuple(rows), tuple(wishes), errors)


def lines_of(form: FormData, _: Translate) -> Typed[EntryRow, Line]:
    """The rows of the programme list's form; one with nothing in it is left out."""
    rows: list[EntryRow] = []
    wishes: list[Line] = []
    errors: dict[int, str] = {}
    for values in _columns(form, "title", "genre", "performers", "about", "length"):
        title, genre, performers, about, length = (value[:FIELD_MAX] for value in values)
        if not (title or genre or performers or about or length):
            continue
        rows.append(EntryRow(title, genre, performers, about, length))
        number = len(rows)
        times = [ticks_of(text) if text else None for text in (about, length)]
        if not title:
            errors[number] = _("请填节目名称；不要这一行的话，把它清空。")
        elif (about and times[0] is None) or (length and times[1] is None):
            errors[number] = _("时间请按“分:秒”填写，比如 12:05。")
        wishes.append(Line(title, genre, performers, *times))
    return Typed(tuple(rows), tuple(wishes), errors)


def rows_of(lines: Sequence[Line]) -> tuple[EntryRow, ...]:
    """Lines that were read from a text or a file, as rows to be looked over."""
    return tuple(
        EntryRow(
            line.title,
            line.genre,
            line.performers,
            "" if line.about_ticks is None else exact(line.about_ticks),
            "" if line.length_ticks is None else exact(line.length_ticks),
        )
        for line in lines
    )


def picked(form: FormData) -> list[int]:
    """Ids of the acts ticked for clips."""
    return [number for text in texts(form, "pick") if (number := _number(text)) is not None]


def _columns(form: FormData, *names: str) -> Iterator[tuple[str, ...]]:
    # A form of ours sends each name once a row; what another sends need not come out even.
    return zip(*(texts(form, name) for name in names), strict=False)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else None
