"""What somebody wants of a phone form, checked; and as ``Work.making`` keeps it. Pure.

Ticks are of the source's timeline, which is the form's too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from catalog.errors import Refused
from catalog.minutes import TICKS_A_SECOND
from vod.forms.geometry import SHAPES
from vod.forms.wording import Cleaned

TITLE_MAX: Final = 60
THIRDS_MAX: Final = 12
NAME_MAX: Final = 20
ROLE_MAX: Final = 36
TEXT_MAX: Final = 500
"""Of any text as it comes in, before it is cleaned."""
THIRD_LEAST_TICKS: Final = TICKS_A_SECOND
"""Nobody reads a name in less."""
_SLACK_TICKS: Final = TICKS_A_SECOND // 10
"""How far past the end a name may stay: lengths are shown rounded, and typed in again."""

CARD_TICKS: Final = 5 * TICKS_A_SECOND // 2
"""The title lies over the film's beginning for so long, its going included."""
CARD_FADE_TICKS: Final = TICKS_A_SECOND // 2
THIRD_FADE_TICKS: Final = TICKS_A_SECOND * 3 // 10

Clean = Callable[[str], Cleaned]


@dataclass(frozen=True, slots=True)
class Third:
    """A name and what that person is, shown from ``start`` to ``stop``."""

    text: str
    sub: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Wish:
    """A form as it will be made. ``title`` is empty where no card is wanted."""

    form: str
    title: str
    centre: str
    thirds: tuple[Third, ...]
    left_out: str
    """Characters that were asked for and cannot be drawn."""

    def kept(self) -> dict[str, Any]:
        """For ``Work.making``."""
        return {
            "title": self.title,
            "centre": self.centre,
            "thirds": [[t.text, t.sub, t.start, t.stop] for t in self.thirds],
            "left_out": self.left_out,
        }


def wish_of(form: str, making: Mapping[str, Any]) -> Wish:
    """A wish as a row keeps it."""
    thirds = [Third(str(t), str(s), int(a), int(b)) for t, s, a, b in making.get("thirds", [])]
    return Wish(
        form,
        str(making.get("title", "")),
        str(making.get("centre", "")),
        tuple(thirds),
        str(making.get("left_out", "")),
    )


def checked(
    clean: Clean,
    *,
    form: str,
    length: int,
    title: str | None,
    centre: str,
    thirds: Sequence[Third],
) -> Wish:
    """The wish with its texts cleaned, in order of time. ``title`` None: no card. ``length``: of
    the source; 0: not known yet. Raises Refused."""
    if form not in SHAPES:
        raise Refused("form_kind", kinds="、".join(SHAPES))
    if len(thirds) > THIRDS_MAX:
        raise Refused("form_thirds_many", most=THIRDS_MAX)
    left_out: list[str] = []

    def text(words: str, most: int, field: str) -> str:
        if len(words) > TEXT_MAX:
            raise Refused("form_text_long", field=field, length=len(words), most=most)
        cleaned = clean(words)
        left_out.append(cleaned.left_out)
        if len(cleaned.text) > most:
            raise Refused("form_text_long", field=field, length=len(cleaned.text), most=most)
        if words.strip() and not cleaned.text:
            raise Refused("form_text_undrawable", field=field)
        return cleaned.text

    heading = text(title, TITLE_MAX, "片名") if title is not None else ""
    if title is not None and not heading:
        raise Refused("form_title_empty")
    named = []
    for number, third in enumerate(sorted(thirds, key=lambda t: t.start), start=1):
        name = text(third.text, NAME_MAX, f"字幕条 {number} 的名字")
        if not name:
            raise Refused("form_third_empty", number=number)
        role = text(third.sub, ROLE_MAX, f"字幕条 {number} 的身份")
        start, stop = third.start, third.stop
        if length and length < stop <= length + _SLACK_TICKS:
            stop = length
        if start < 0 or stop - start < THIRD_LEAST_TICKS or (length and stop > length):
            raise Refused("form_third_times", number=number)
        named.append(Third(name, role, start, stop))
    for number, (before, after) in enumerate(pairwise(named), start=2):
        if after.start < before.stop:
            raise Refused("form_thirds_overlap", number=number)
    return Wish(
        form,
        heading,
        clean(centre).text[:TITLE_MAX] if heading else "",
        tuple(named),
        "".join(dict.fromkeys("".join(left_out))),
    )
