"""What people may write in a record: every field checked in one place, and the hash of it all.

Values are plain JSON: the form in which the API takes them, versions keep them and hashes see
them. Pure.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypedDict

from catalog.errors import Refused
from catalog.models import Resource
from catalog.records import kinds


class Person(TypedDict):
    """Somebody who had a part in it."""

    name: str
    role: str


class Fields(TypedDict, total=False):
    """The editable fields of a record. Dates are ISO 8601 strings (or dates, going in)."""

    title: str
    description: str
    genre_id: str | None
    languages: list[str]
    keywords: list[str]
    place: str
    people: list[Person]
    rights_holder: str
    licence: str
    licence_until: str | None
    source: str
    origin: str | None
    ledger: str | None
    confirmed: bool
    parent_id: str | None
    position: int
    broadcast_id: str | None
    lineage: list[str]
    event_date: str
    lessons_planned: int
    body: str


class _Wrong(ValueError):
    """A reason in Chinese."""


class Field(NamedTuple):
    """``label`` stands on forms, in sheets and in refusals."""

    label: str
    clean: Callable[[Any, dt.date], Any]
    seen: bool = True
    """Whether reviewers judge it: what they don't can change without a new review."""


# --- one kind of value at a time -------------------------------------------------------------


def _text(longest: int, *, lines: bool = False, needed: bool = False) -> Callable[..., str]:
    def clean(value: Any, today: dt.date) -> str:
        if value is None:
            value = ""
        if not isinstance(value, str):
            raise _Wrong("要填文字")
        found = tidy(value, lines=lines)
        if needed and not found:
            raise _Wrong("不能空着")
        if len(found) > longest:
            raise _Wrong(f"有 {len(found)} 个字，最多 {longest} 个字")
        return found

    return clean


def tidy(text: str, *, lines: bool = False) -> str:
    """Text fit to keep: NFC, without control characters, trimmed; one line unless ``lines``."""
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n"))
    kept = "".join(
        c if c.isprintable() or (lines and c in "\n\t") else " " if c.isspace() else ""
        for c in text
    )
    return kept.strip() if lines else " ".join(kept.split())


def _choice(allowed: Mapping[str, str], *, needed: bool = False) -> Callable[..., str | None]:
    def clean(value: Any, today: dt.date) -> str | None:
        if value in (None, "") and not needed:
            return None
        if not isinstance(value, str) or value not in allowed:
            raise _Wrong("只能是：" + "、".join(allowed.values()))
        return value

    return clean


def _listed(one: Callable[[Any], Any], most: int) -> Callable[..., list[Any]]:
    def clean(value: Any, today: dt.date) -> list[Any]:
        if value is None:
            return []
        if not isinstance(value, (list, tuple)):
            raise _Wrong("要填一个列表")
        found: list[Any] = []
        for item in value:
            kept = one(item)
            if kept and kept not in found:
                found.append(kept)
        if len(found) > most:
            raise _Wrong(f"有 {len(found)} 项，最多 {most} 项")
        return found

    return clean


def _language(value: Any) -> str:
    if not isinstance(value, str) or value not in kinds.LANGUAGES:
        raise _Wrong(f"没有这种语言：{str(value)[:40]}")
    return value


def _keyword(value: Any) -> str:
    if not isinstance(value, str):
        raise _Wrong("要填文字")
    found = tidy(value)
    if len(found) > kinds.KEYWORD_MAX:
        raise _Wrong(f"“{found[:10]}…”太长，最多 {kinds.KEYWORD_MAX} 个字")
    return found


def _person(value: Any) -> dict[str, str] | None:
    if not isinstance(value, Mapping) or not isinstance(value.get("name"), str):
        raise _Wrong("每个人要有姓名")
    name, role = tidy(value["name"]), value.get("role", "other")
    if not name:
        return None
    if len(name) > kinds.PERSON_NAME_MAX:
        raise _Wrong(f"姓名太长，最多 {kinds.PERSON_NAME_MAX} 个字")
    if role not in kinds.PEOPLE_ROLES:
        raise _Wrong("身份只能是：" + "、".join(kinds.PEOPLE_ROLES.values()))
    return {"name": name, "role": role}


def _key(value: Any) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isalnum() or len(value) > 32:
        raise _Wrong("编号不对")
    return value


def _reference(value: Any, today: dt.date) -> str | None:
    return None if value in (None, "") else _key(value)


def _genre(value: Any, today: dt.date) -> str | None:
    if value in (None, ""):
        return None
    if not isinstance(value, str) or len(value) > kinds.GENRE_NAME_MAX:
        raise _Wrong("没有这个门类")
    return value


def _date(value: Any) -> dt.date:
    if isinstance(value, dt.datetime):
        value = value.date()
    if isinstance(value, str):
        try:
            value = dt.date.fromisoformat(value.strip())
        except ValueError:
            raise _Wrong("日期要写成 2020-01-31 这样") from None
    if not isinstance(value, dt.date):
        raise _Wrong("日期要写成 2020-01-31 这样")
    if not kinds.FIRST_YEAR <= value.year <= kinds.LAST_YEAR:
        raise _Wrong(f"年份要在 {kinds.FIRST_YEAR} 到 {kinds.LAST_YEAR} 之间")
    return value


def _past(value: Any, today: dt.date) -> str:
    found = _date(value)
    if found > today:
        raise _Wrong(f"{found.isoformat()} 还没有到")
    return found.isoformat()


def _until(value: Any, today: dt.date) -> str | None:
    return None if value in (None, "") else _date(value).isoformat()


def _whole(most: int) -> Callable[..., int]:
    def clean(value: Any, today: dt.date) -> int:
        if isinstance(value, bool) or not isinstance(value, int):
            raise _Wrong("要填整数")
        if not 0 <= value <= most:
            raise _Wrong(f"要在 0 到 {most} 之间")
        return value

    return clean


def _yes(value: Any, today: dt.date) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("只能是“是”或“否”")
    return value


FIELDS: Final[dict[str, Field]] = {
    "title": Field("题名", _text(kinds.TITLE_MAX, needed=True)),
    "description": Field("简介", _text(kinds.DESCRIPTION_MAX, lines=True)),
    "genre_id": Field("门类", _genre),
    "languages": Field("语种", _listed(_language, kinds.LANGUAGES_MAX)),
    "keywords": Field("关键词", _listed(_keyword, kinds.KEYWORDS_MAX)),
    "place": Field("地点", _text(kinds.PLACE_MAX)),
    "people": Field("人员", _listed(_person, kinds.PEOPLE_MAX)),
    "rights_holder": Field("权利人", _text(kinds.RIGHTS_HOLDER_MAX)),
    "licence": Field("使用范围", _choice(kinds.LICENCES, needed=True)),
    "licence_until": Field("授权到期", _until),
    "source": Field("来源", _text(kinds.SOURCE_MAX)),
    "origin": Field("原创/优化", _choice(kinds.ORIGINS)),
    "ledger": Field("图片归类", _choice(kinds.LEDGERS)),
    "confirmed": Field("已确认", _yes, seen=False),
    "parent_id": Field("所属课程或展览", _reference),
    "position": Field("次序", _whole(kinds.POSITION_MAX), seen=False),
    "broadcast_id": Field("所属直播", _reference),
    "lineage": Field("由何而来", _listed(_key, kinds.LINEAGE_MAX)),
    "event_date": Field("日期", _past),
    "lessons_planned": Field("计划章数", _whole(kinds.LESSONS_MAX)),
    "body": Field("正文", _text(kinds.BODY_MAX, lines=True)),
}


def clean(fields: Mapping[str, Any], *, today: dt.date) -> Fields:
    """Only the fields given, each in the form it is kept in.

    Raises Refused ``resource_field`` with the field, its label and the reason in Chinese.
    ``today`` is China's: a date that has not come yet is refused.
    """
    cleaned: dict[str, Any] = {}
    for name, value in fields.items():
        field = FIELDS.get(name)
        if field is None:
            raise wrong(name[:40], "没有这一项")
        try:
            cleaned[name] = field.clean(value, today)
        except _Wrong as error:
            raise wrong(name, str(error)) from None
    return cleaned  # type: ignore[return-value]


def wrong(name: str, reason: str) -> Refused:
    """The refusal of one field; ``reason`` is Chinese."""
    label = FIELDS[name].label if name in FIELDS else name
    return Refused("resource_field", field=name, label=label, reason=reason)


def value_of(resource: Resource, name: str) -> Any:
    """A field of a record as plain JSON, as ``clean`` gives it."""
    if name == "confirmed":
        return resource.confirmed_at is not None
    if name == "lessons_planned":
        # Of a course: with how many lessons it is announced; 0: not said.
        return (resource.technical or {}).get(name, 0)
    found = getattr(resource, name)
    return found.isoformat() if isinstance(found, dt.date) else found


def put(resource: Resource, name: str, value: Any, now: dt.datetime) -> None:
    """Set a field of a record from the form ``clean`` gives."""
    if name == "confirmed":
        resource.confirmed_at = now if value else None
    elif name == "lessons_planned":
        rest = {key: kept for key, kept in (resource.technical or {}).items() if key != name}
        resource.technical = rest | ({name: value} if value else {})
    elif name in ("event_date", "licence_until"):
        setattr(resource, name, None if value is None else dt.date.fromisoformat(value))
    else:
        setattr(resource, name, value)


def all_of(resource: Resource) -> Fields:
    """Every editable field of a record."""
    return {name: value_of(resource, name) for name in FIELDS}  # type: ignore[return-value]


def content_hash(resource: Resource) -> str:
    """SHA-256 over what a reviewer sees: a decision holds for exactly this and nothing later.

    Footage is named by its intervals, for they are the recording itself and the master's MP4
    with its checksum is made of them some minutes later; a file is named by its checksum.
    """
    seen = {name: value_of(resource, name) for name, field in FIELDS.items() if field.seen}
    media = {
        "work": resource.work_id,
        "take": resource.take_id,
        "footage": resource.intervals,
        "ticks": resource.duration_ticks,
        "sha256": None if resource.intervals else resource.sha256,
    }
    whole = {"kind": resource.kind, "centre": resource.centre_id, "fields": seen, "media": media}
    return hashlib.sha256(canonical(whole).encode()).hexdigest()


def canonical(value: Any) -> str:
    """JSON with one way to write it."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
