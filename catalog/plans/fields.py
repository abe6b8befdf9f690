"""What a plan and its targets may hold; checked before anything is kept. Pure."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import msgspec

from catalog.errors import Refused
from catalog.plans.amounts import OPS
from catalog.plans.measures import Switches
from catalog.plans.queries import query_of

TEXT_MAX: Final = 200
NOTE_MAX: Final = 1_000
CODE_MAX: Final = 60
UNIT_MAX: Final = 20
WHO_MAX: Final = 100
PERIOD_MAX: Final = 40
TARGETS_MAX: Final = 500
MILESTONES_MAX: Final = 60
NOTES_MAX: Final = 100
OVERRIDES_MAX: Final = 300
ALIASES_MAX: Final = 20
FIRST_YEAR: Final = 2000
LAST_YEAR: Final = 2200
AMOUNT_MAX: Final = Decimal(10) ** 12
PLACES: Final = 4
"""Digits after the point that the table keeps."""
MICRO_MINUTES_MAX: Final = 600
PERS: Final = ("per_unit", "total", "per_session")
PER_WORDS: Final = {"per_unit": "每个单位", "total": "合计", "per_session": "每期（场）"}

_CODE: Final = re.compile(r"[a-z0-9][a-z0-9._-]*")
_LABELS: Final = {
    "code": "编号",
    "title": "名称",
    "issuer": "发文单位",
    "document": "文号",
    "issued_on": "印发日期",
    "year": "年度",
    "switches": "口径开关",
    "milestones": "进度要求",
    "notes": "说明",
    "who": "承担单位",
    "indicator": "指标",
    "unit": "计量单位",
    "op": "比较",
    "value": "目标值",
    "per": "计算方式",
    "period": "周期",
    "parent": "上级指标",
    "denominator": "占比的分母",
    "overrides": "个别单位的目标",
    "aliases": "别名",
    "note": "备注",
    "level": "级别",
    "area": "类别",
    "units": "单位数",
    "query": "台账取数",
}


def wrong(field: str, reason: str, target: str = "") -> Refused:
    """``target``: the code of the line it is about, if it is about one."""
    label = _LABELS.get(field, field)
    return Refused("plan_field", field=f"{target} {label}".strip(), reason=reason)


def clean_amount(value: Any, field: str = "value") -> Decimal:
    """A number that is not negative, exact to four places. Raises Refused."""
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        raise wrong(field, "不是数字") from None
    if not number.is_finite():
        raise wrong(field, "不是数字")
    if number < 0:
        raise wrong(field, "不能小于 0")
    if number >= AMOUNT_MAX:
        raise wrong(field, "数字太大")
    if number != round(number, PLACES):
        raise wrong(field, f"最多 {PLACES} 位小数")
    return number


def clean_text(value: Any, field: str, most: int = TEXT_MAX, *, needed: bool = False) -> str:
    """Text of one line. Raises Refused."""
    text = " ".join(str(value if value is not None else "").split()).replace("\x00", "")
    if needed and not text:
        raise wrong(field, "不能为空")
    if len(text) > most:
        raise wrong(field, f"最多 {most} 个字")
    return text


def clean_code(value: Any) -> str:
    code = clean_text(value, "code", CODE_MAX, needed=True)
    if not _CODE.fullmatch(code):
        raise wrong("code", "只能用小写字母、数字、点和短横线")
    return code


# --- the head of a plan -----------------------------------------------------------------------


def clean_head(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a plan that are given, as they are kept. Raises Refused."""
    made: dict[str, Any] = {}
    for name, value in changes.items():
        match name:
            case "title":
                made[name] = clean_text(value, name, needed=True)
            case "issuer" | "document":
                made[name] = clean_text(value, name)
            case "issued_on":
                made[name] = clean_text(value, name, 10)
            case "year":
                made[name] = clean_year(value)
            case "switches":
                made[name] = clean_switches(value)
            case "milestones":
                made[name] = clean_milestones(value)
            case "notes":
                made[name] = [clean_text(note, name, NOTE_MAX) for note in _listed(value, name)]
            case _:
                raise wrong(name, "没有这一项")
    return made


def clean_year(value: Any) -> int:
    try:
        year = int(value)
    except (TypeError, ValueError):
        raise wrong("year", "不是年份") from None
    if not FIRST_YEAR <= year <= LAST_YEAR:
        raise wrong("year", f"要在 {FIRST_YEAR} 和 {LAST_YEAR} 之间")
    return year


def clean_switches(value: Any) -> dict[str, Any]:
    """Only what differs from the rule is kept."""
    if not isinstance(value, Mapping) or set(value) - set(Switches.__dataclass_fields__):
        raise wrong("switches", "没有这个开关")
    try:
        read = msgspec.convert(dict(value), Switches)
    except msgspec.ValidationError:
        raise wrong("switches", "开关的值不对") from None
    if not 1 <= read.micro_max_minutes <= MICRO_MINUTES_MAX:
        raise wrong("switches", f"微视频时长上限要在 1 和 {MICRO_MINUTES_MAX} 分钟之间")
    default = Switches()
    return {name: value[name] for name in value if value[name] != getattr(default, name)}


def clean_milestones(value: Any) -> list[dict[str, Any]]:
    """In order of date."""
    rows = _listed(value, "milestones", MILESTONES_MAX)
    made = []
    for row in rows:
        if not isinstance(row, Mapping) or set(row) - {"by", "progress_pct", "do", "note"}:
            raise wrong("milestones", "每条要有日期、进度和要求")
        try:
            by = dt.date.fromisoformat(str(row.get("by")))
            clean_year(by.year)
        except (ValueError, Refused):
            raise wrong("milestones", "日期不对") from None
        percent = row.get("progress_pct")
        kept: dict[str, Any] = {"by": by.isoformat()}
        if percent not in (None, ""):
            number = clean_amount(percent, "milestones")
            if number > 100:
                raise wrong("milestones", "进度不能超过 100%")
            kept["progress_pct"] = f"{number.normalize():f}"
        kept["do"] = clean_text(row.get("do"), "milestones", NOTE_MAX)
        if note := clean_text(row.get("note"), "milestones", NOTE_MAX):
            kept["note"] = note
        made.append(kept)
    return sorted(made, key=lambda row: str(row["by"]))


def _listed(value: Any, field: str, most: int = NOTES_MAX) -> Sequence[Any]:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise wrong(field, "要是一个列表")
    if len(value) > most:
        raise wrong(field, f"最多 {most} 条")
    return value


# --- targets ----------------------------------------------------------------------------------

_DEFAULTS: Final[dict[str, Any]] = {
    "level": "",
    "units": None,
    "op": ">=",
    "per": "per_unit",
    "period": "year",
    "parent": None,
    "denominator": None,
    "area": "",
    "overrides": {},
    "query": None,
    "aliases": [],
    "note": "",
}
TARGET_FIELDS: Final = ("code", "who", "indicator", "unit", "value", *_DEFAULTS)


def clean_targets(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """All targets of a plan together: codes once, 其中 of targets there are. Raises Refused."""
    if len(rows) > TARGETS_MAX:
        raise wrong("indicator", f"最多 {TARGETS_MAX} 条")
    made = [clean_target(row) for row in rows]
    by_code = {target["code"]: target for target in made}
    if len(by_code) < len(made):
        codes = [target["code"] for target in made]
        raise Refused("plan_code_twice", target=next(c for c in codes if codes.count(c) > 1))
    for target in made:
        _check_parent(target, by_code)
    return made


def clean_target(row: Mapping[str, Any]) -> dict[str, Any]:
    """One target as it is kept; what is not given has its usual value. Raises Refused."""
    if unknown := set(row) - set(TARGET_FIELDS):
        raise wrong(sorted(unknown)[0], "没有这一项")
    given = {**_DEFAULTS, **row}
    code = clean_code(given.get("code"))
    try:
        return {"code": code, **_cleaned(given)}
    except Refused as error:
        field = error.facts.get("field", _LABELS["query"])
        raise Refused(
            error.code, field=f"{code} {field}", reason=error.facts.get("reason", "")
        ) from None


def _cleaned(given: Mapping[str, Any]) -> dict[str, Any]:
    if given["op"] not in OPS:
        raise wrong("op", "只能是 " + " ".join(OPS))
    if given["per"] not in PERS:
        raise wrong("per", "只能是每个单位、合计或每期")
    if given["denominator"] not in (None, "", "target", "actual"):
        raise wrong("denominator", "只能按任务数或完成数")
    units = given["units"]
    if units is not None and (not isinstance(units, int) or not 0 <= units <= 100_000):
        raise wrong("units", "不是个数")
    overrides = given["overrides"] or {}
    if not isinstance(overrides, Mapping) or len(overrides) > OVERRIDES_MAX:
        raise wrong("overrides", f"最多 {OVERRIDES_MAX} 个单位")
    query = given["query"] or None
    if query is not None:
        query_of(query)
    return {
        "who": clean_text(given.get("who"), "who", WHO_MAX, needed=True),
        "indicator": clean_text(given.get("indicator"), "indicator", needed=True),
        "unit": clean_text(given.get("unit"), "unit", UNIT_MAX, needed=True),
        "value": clean_amount(given.get("value")),
        "level": clean_text(given["level"], "level", UNIT_MAX),
        "units": units,
        "op": given["op"],
        "per": given["per"],
        "period": clean_text(given["period"], "period", PERIOD_MAX, needed=True),
        "parent": clean_text(given["parent"], "parent", CODE_MAX) or None,
        "denominator": given["denominator"] or None,
        "area": clean_text(given["area"], "area", UNIT_MAX),
        "overrides": {
            clean_text(name, "overrides", needed=True): _plain(clean_amount(value, "overrides"))
            for name, value in overrides.items()
        },
        "query": dict(query) if query is not None else None,
        "aliases": [
            clean_text(alias, "aliases", needed=True)
            for alias in _listed(given["aliases"], "aliases", ALIASES_MAX)
        ],
        "note": clean_text(given["note"], "note", NOTE_MAX),
    }


def _plain(number: Decimal) -> str:
    """As text without an exponent: JSON numbers would round."""
    return f"{number.normalize():f}"


def _check_parent(target: Mapping[str, Any], by_code: Mapping[str, Mapping[str, Any]]) -> None:
    code, above = target["code"], target["parent"]
    if above is None:
        return
    if above not in by_code:
        raise wrong("parent", "没有这个指标", code)
    seen = {code}
    while above is not None:
        if above in seen:
            raise wrong("parent", "绕成了圈", code)
        seen.add(above)
        above = by_code[above]["parent"]
    parent = by_code[target["parent"]]
    if target["unit"] == "%" and parent["who"] != target["who"]:
        raise wrong("parent", "占比和它的上级要由同样的单位承担", code)
    if target["unit"] == "%" and parent["unit"] == "%":
        raise wrong("parent", "占比的上级不能也是占比", code)
