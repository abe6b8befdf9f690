"""Common Media Client Data (CTA-5004, versions 1 and 2), read from what a player sends. Pure.

CMCD is a structured-field dictionary (RFC 8941): ``bl=(12000),bs,sf=h,sid="…",v=2``. Only what we
use is read; whatever else a player sends, known or not, well formed or not, does no harm.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

TEXT_MAX: Final = 400
"""Characters of CMCD in one beacon."""
MEAN_KEY: Final = "cn.xitai-mbr"
"""Our own key: mean encoded bitrate (kbit/s) over the time watched so far. The standard has the
bitrate of the moment only; its section on custom keys asks for such a prefix."""

_DAY_MS: Final = 86_400_000
_KBPS_MAX: Final = 1_000_000
_COUNT_MAX: Final = 100_000

# A key, then nothing (true), or "=" and a string, an inner list, or a bare item.
_MEMBER: Final = re.compile(
    r"""\s*(?P<key>[a-z*][a-z0-9_.*-]*)
        (?:=(?P<value>"(?:[^"\\]|\\.)*"|\([^()]*\)|[^,;"()\s]*)(?:;[^,]*)?)?
        \s*(?:,|$)""",
    re.VERBOSE,
)
_NUMBER: Final = re.compile(r"\d{1,12}(?:\.\d{1,3})?")


@dataclass(frozen=True, slots=True)
class PlayQuality:
    """How a play went so far. Counts and durations are of the whole play; None: not said."""

    startup_ms: int | None = None
    """``msd``: from the wish to play to the first picture."""
    rebuffers: int | None = None
    """``bsa``: how often it stopped for want of data."""
    rebuffer_ms: int | None = None
    """``bsda``: for how long, all together."""
    bitrate_kbps: int | None = None
    """Mean over the time watched; of the moment (``pb``, ``br``) when the player keeps no mean."""
    top_bitrate_kbps: int | None = None
    """``tb``: the best the playlist offers."""
    throughput_kbps: int | None = None
    """``mtp``: what the player believes its network gives."""
    live: bool | None = None
    """``st``: followed live (``l``, ``ll``), or all there (``v``)."""


def members(text: str) -> dict[str, str]:
    """Key → value as written ("" for a bare key), as far as the text is a dictionary."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text) and (match := _MEMBER.match(text, at)):
        if match.end() == at:
            break
        found[match["key"]] = match["value"] or ""
        at = match.end()
    return found


def play_quality(text: str) -> PlayQuality | None:
    """What CMCD says of a play; None when it says nothing we know."""
    said = members(text[:TEXT_MAX])
    stream = said.get("st")
    mean = _number(said, _KBPS_MAX, MEAN_KEY, "pb", "br")
    found = PlayQuality(
        startup_ms=_number(said, _DAY_MS, "msd"),
        rebuffers=_number(said, _COUNT_MAX, "bsa"),
        rebuffer_ms=_number(said, _DAY_MS, "bsda"),
        bitrate_kbps=mean or None,
        top_bitrate_kbps=_number(said, _KBPS_MAX, "tb") or None,
        throughput_kbps=_number(said, _KBPS_MAX, "mtp") or None,
        live=None if stream not in ("v", "l", "ll") else stream != "v",
    )
    return None if found == PlayQuality() else found


def _number(said: dict[str, str], most: int, *keys: str) -> int | None:
    """The first of the keys that is there: its number, or the sum of its inner list's (the
    picture's and the sound's, of version 2)."""
    for key in keys:
        if said.get(key):
            items = said[key].strip("()").split()
            numbers = [_NUMBER.match(item) for item in items]
            if numbers and all(numbers):
                whole = sum(float(number[0]) for number in numbers if number)
                return round(whole) if whole <= most else None
    return None
