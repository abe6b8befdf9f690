"""Cues and times of acts as people say and type them; pure, the translator is an argument."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from api.pages.words import Translate, parse_clock
from catalog.minutes import TICKS_A_MS, TICKS_A_SECOND

REASONS_SAID: Final = 3
_CUES: Final = {
    "mark": "现场打过点",
    "listed": "和节目单上的时间对得上",
    "applause": "有掌声",
    "silence": "安静了一下",
    "host": "主持人刚说完",
    "music": "音乐响起",
    "black": "画面变黑",
    "slate": "出现字幕牌",
    "freeze": "画面停住",
    "light": "灯光变了",
    "shot": "镜头切换",
}
"""The codes of ``Act.reasons``."""
_SURE: Final = 800
_LIKELY: Final = 550


def because(reasons: Sequence[Sequence[Any]], _: Translate) -> str:
    """Why an act is thought to begin here: 这里有掌声、镜头切换。 Empty where nothing is known."""
    weighty = sorted(
        ((int(weight), str(code)) for code, weight in reasons if code in _CUES), reverse=True
    )
    said = [_(_CUES[code]) for _weight, code in weighty[:REASONS_SAID]]
    return _("这里{cues}。").format(cues=_("、").join(said)) if said else ""


def sureness(state: str, confidence: int) -> str:
    """How sure a beginning is, as a code: confirmed, sure, likely or unsure."""
    if state == "confirmed":
        return "confirmed"
    return "sure" if confidence >= _SURE else "likely" if confidence >= _LIKELY else "unsure"


def sureness_words(_: Translate) -> dict[str, str]:
    """The codes of ``sureness`` as words; ``changed``: by the person, and not saved yet."""
    return {
        "confirmed": _("已确认"),
        "sure": _("很有把握"),
        "likely": _("较有把握"),
        "unsure": _("请核对"),
        "changed": _("您改过"),
    }


def exact(ticks: int) -> str:
    """A position to the hundredth: 4:05, 12:05.24, 1:02:09.5."""
    hundredths = (ticks * 100 + TICKS_A_SECOND // 2) // TICKS_A_SECOND
    seconds, rest = divmod(hundredths, 100)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    whole = f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
    return whole + (f".{rest:02}".rstrip("0") if rest else "")


def ticks_of(text: str, was: int | None = None) -> int | None:
    """Ticks of a position as typed; ``was``, if the text still says it: rounding a time for the
    eye must not move it. None when it is none."""
    if was is not None and text.strip() == exact(was):
        return was
    ms = parse_clock(text)
    return None if ms is None else ms * TICKS_A_MS
