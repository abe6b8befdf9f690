"""How a work was made, in one plain line for staff. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

REASONS: Final[Mapping[str, str]] = {
    "other_format": "几段录像的画面大小或制式不一样，已统一成一种",
    "codec": "这种画面格式不能照搬",
    "profile": "这种画面格式不能照搬",
    "interlaced": "隔行画面不能照搬",
    "parameter_sets": "编码器的设置在中间变过",
    "no_clean_key": "切口后面一时没有可以照搬的起点",
    "open_gop_at_in": "切口后面一时没有可以照搬的起点",
    "open_gop_short": "切口后面一时没有可以照搬的起点",
    "open_gop_entrances": "原片的关键帧不能直接作起点，隔几秒加了一处，拖动才顺畅",
    "piece_without_picture": "有的段里没有画面",
    "damaged": "原片有损坏",
    "audio_codec": "声音不是普通的一路或两路 AAC，声音已重新编码",
    "audio_windows": "声音的格式不便照搬，已重新编码",
}
"""Why something was encoded again that a cut does not have to, by the code of ``vod.smartcut``
(docs/smart-cut.md)."""


def made_line(making: Mapping[str, Any]) -> str:
    """What was copied as it is and what was encoded again, and why; "" of what was not cut."""
    if "copied" not in making:
        return ""
    copied, encoded = int(making["copied"]), int(making["encoded"])
    count = f"（复制 {copied} 帧，重新编码 {encoded} 帧）"
    if copied + encoded == 0:
        line = "没有画面，只有声音。"
    elif not encoded:
        line = f"画面全部原样复制{count}。"
    elif not copied:
        line = f"画面全部重新编码{count}。"
    elif copied >= encoded:
        line = f"大部分画面原样复制，只有切口处重新编码{count}。"
    else:
        line = f"切口附近的画面重新编码，其余原样复制{count}。"
    told = (REASONS[code] for code in making.get("reasons", ()) if code in REASONS)
    why = list(dict.fromkeys(told))
    if why:
        line += f"原因：{'；'.join(why)}。"
    if missing := int(making.get("missing", 0)):
        line += f"原片有 {missing} 帧损坏，没能放进来。"
    return line
