"""Which frames are worth showing, measured against the programme they are of. Pure.

A picture is refused for what no one would keep: black, burnt out, without contrast, out of focus,
a card or colour bars. How sharp is sharp enough depends on the camera, the hall and the uplink, so
the programme's own better frames set the mark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from vod.stills.look import Look

SHARP_LEAST: Final = 0.55
"""Below it no edge is an edge, whatever the rest of the programme looks like."""
SHARP_SHARE: Final = 0.68
"""Of the programme's own mark: a blur of one and a half points in 960 is below it."""
_SHARP_FULL: Final = 1.05
"""What edges one point wide reach; more is drawn lines and grain, which nothing has to match."""
_MARK: Final = 0.75
"""Quantile of a programme's frames that is its mark."""
_PEAK_LEAST: Final = 56.0
_SPREAD_LEAST: Final = 12.0
_DARK_MOST: Final = 0.985
_BRIGHT_MOST: Final = 0.35
_PAINTED_MOST: Final = 0.42
_LIT: Final = (70.0, 165.0)
"""Means within this are lit well; a stage at night is darker, and still a picture."""


@dataclass(frozen=True, slots=True)
class Marks:
    """What the programme's own better frames reach."""

    sharpness: float = 0.0
    detail: float = 0.0

    @property
    def least_sharp(self) -> float:
        return max(SHARP_LEAST, SHARP_SHARE * min(_SHARP_FULL, self.sharpness))


def marks_of(looks: Sequence[Look]) -> Marks:
    """The marks of a programme, from frames all over it; frames without light say nothing."""
    lit = [look for look in looks if _exposure_fault(look) is None]
    if not lit:
        return Marks()
    return Marks(_quantile([x.sharpness for x in lit]), _quantile([x.detail for x in lit]))


def _quantile(values: list[float]) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * _MARK))]


def fault(look: Look, marks: Marks) -> str | None:
    """Why a frame is not worth showing, as a code; None: it is."""
    found = _exposure_fault(look)
    if found is not None:
        return found
    if look.painted > _PAINTED_MOST:
        return "card"
    if look.sharpness < marks.least_sharp:
        return "blurred"
    return None


def _exposure_fault(look: Look) -> str | None:
    if look.peak < _PEAK_LEAST or look.dark > _DARK_MOST:
        return "black"
    if look.bright > _BRIGHT_MOST:
        return "burnt"
    if look.spread < _SPREAD_LEAST:
        return "flat"
    return None


def worth(look: Look, marks: Marks, stillness: float = 1.0) -> int:
    """How good a frame is, in permille: focus, light, what there is to see, and how still it was
    (0 to 1). For ordering only."""
    sharp = min(1.0, look.sharpness / marks.sharpness) if marks.sharpness else 1.0
    detail = min(1.0, look.detail / marks.detail) if marks.detail else 1.0
    lit = _lit(look) * (1.0 - min(1.0, 2 * look.bright)) * (1.0 - 0.5 * max(0.0, look.dark - 0.6))
    contrast = min(1.0, look.spread / 55.0)
    return round(
        1000 * (0.35 * sharp + 0.25 * lit + 0.2 * contrast + 0.1 * detail + 0.1 * stillness)
    )


def _lit(look: Look) -> float:
    low, high = _LIT
    if look.mean < low:
        return 0.4 + 0.6 * look.mean / low
    if look.mean > high:
        return max(0.0, 1.0 - (look.mean - high) / 70.0)
    return 1.0
