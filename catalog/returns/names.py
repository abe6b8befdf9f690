"""What returns call a plan's indicators, in the order they are printed: 注册用户 first."""

from __future__ import annotations

from typing import Final

from catalog.models import Plan, Target

PRINTED: Final = (
    "注册用户", "更新信息资源", "音视频更新", "在线展览图片", "志愿者招募", "预约配送",
    "发布文化活动",
)  # fmt: skip
"""The order of the printed returns; what they do not have follows in the plan's order."""


def names_of(plan: Plan) -> dict[str, str]:
    """Code → name, for targets that have another one in returns."""
    named = [target for target in plan.targets if target.aliases]
    return {target.code: _name(target) for target in sorted(named, key=_place)}


def _name(target: Target) -> str:
    return str(target.aliases[0])


def _place(target: Target) -> tuple[int, int]:
    name = _name(target)
    return PRINTED.index(name) if name in PRINTED else len(PRINTED), target.position
