"""The plans we ship, as files of this package, and which centres their groups mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, Final

import msgspec
import yaml

from catalog.errors import Missing

LEVEL_OF: Final = {"省": "province", "州": "prefecture", "市": "prefecture", "县": "county"}
_ABOVE: Final = "省市州盟区县"
_CULTURE: Final = ("文化馆", "文化（群艺）馆", "群艺馆", "群众艺术馆", "文化站", "文化中心")


@dataclass(frozen=True, slots=True)
class Group:
    """Which centres a group of a plan means. Without any of it, somebody has to say."""

    level: str = ""
    kind: str = ""
    """culture, library; empty: either."""
    names: tuple[str, ...] = ()
    """What their names begin with, or go on with after the place above."""
    others: bool = False
    """Those of this level that no group names."""
    owner: bool = False
    """The centre that keeps the plan, which answers for the whole."""


@dataclass(frozen=True, slots=True)
class Template:
    """A shipped plan. ``targets`` and ``milestones`` are as catalog.plans.fields checks them."""

    code: str
    title: str
    issuer: str
    document: str
    issued_on: str
    year: int
    milestones: tuple[dict[str, Any], ...]
    notes: tuple[str, ...]
    groups: dict[str, Group]
    targets: tuple[dict[str, Any], ...]
    switches: dict[str, Any] = field(default_factory=dict)


@cache
def templates() -> Mapping[str, Template]:
    """Code → template, newest year first."""
    folder = resources.files(__package__) / "templates"
    made = [
        msgspec.convert(yaml.safe_load(file.read_text(encoding="utf-8")), Template)
        for file in folder.iterdir()
        if file.name.endswith(".yaml")
    ]
    return {template.code: template for template in sorted(made, key=lambda t: (-t.year, t.code))}


def template(code: str) -> Template:
    """Raises Missing("plan_template_unknown")."""
    found = templates().get(code)
    if found is None:
        raise Missing("plan_template_unknown", name=code[:60], known="、".join(templates()))
    return found


def groups_of(
    groups: Mapping[str, Group], *, name: str, level: str, is_owner: bool
) -> frozenset[str]:
    """The groups a centre belongs in, by its level and name."""
    named = any(_named(group, name, level) for group in groups.values() if group.names)
    return frozenset(
        who
        for who, group in groups.items()
        if _fits(group, name=name, level=level, is_owner=is_owner, named=named)
    )


def group_of_words(who: str) -> Group:
    """What the words of a group mean, for plans that were not shipped: 县（市）文化馆 …"""
    if who.startswith("全"):
        return Group(owner=True)
    kinds = ["library"] if "图书馆" in who else []
    kinds += ["culture"] if any(word in who for word in _CULTURE) else []
    kind = kinds[0] if len(kinds) == 1 else ""
    # 县（市）文化馆 is a county's, 市文化馆 a prefecture's.
    level = next((LEVEL_OF[word] for word in "省县州市" if word in who), "")
    if "站" in who or "乡镇" in who:
        level = "station"
    return Group(level=level, kind=kind) if level else Group()


def _fits(group: Group, *, name: str, level: str, is_owner: bool, named: bool) -> bool:
    if group.owner:
        return is_owner
    if group.names:
        return _named(group, name, level)
    if not group.level or group.level != level or (group.others and named):
        return False
    return group.kind in ("", "library" if "图书馆" in name else "culture")


def _named(group: Group, name: str, level: str) -> bool:
    return level == group.level and any(is_called(name, wanted) for wanted in group.names)


def is_called(name: str, wanted: str) -> bool:
    """Whether a centre's name begins so, or goes on so after a place above it: 太原市娄烦县
    文化馆 is 娄烦's."""
    at = name.find(wanted)
    return at == 0 or (at > 0 and name[at - 1] in _ABOVE)
