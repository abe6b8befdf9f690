"""A record's form: what was typed turned into fields, and a record turned into a filled form."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from starlette.datastructures import FormData

from api.pages.library.desk import text, texts
from api.pages.library.view import FormView
from catalog.models import Resource
from catalog.records import kinds
from catalog.records.fields import value_of

PLAIN: Final = (
    "title",
    "description",
    "genre_id",
    "place",
    "rights_holder",
    "licence",
    "licence_until",
    "source",
    "event_date",
)
BY_KIND: Final = {
    "news": ("body",),
    "image": ("ledger", "parent_id"),
    "lesson": ("parent_id",),
    "course": ("lessons_planned",),
    "finished": ("origin",),
    "micro": ("origin",),
}
BLANK_PEOPLE: Final = 3
"""Empty rows for people where no script can add one."""
_BETWEEN: Final = re.compile(r"[\s,，、;；]+")
_LONGEST: Final = {"body": kinds.BODY_MAX + 1, "description": kinds.DESCRIPTION_MAX + 1}


def words_of(typed: str) -> list[str]:
    """Keywords as people separate them."""
    return [word for word in _BETWEEN.split(typed) if word]


def fields_of(form: FormData, kind: str) -> dict[str, Any]:
    """What was typed, as the catalogue takes it."""
    found: dict[str, Any] = {
        name: text(form, name, _LONGEST.get(name, 2_000))
        for name in (*PLAIN, *BY_KIND.get(kind, ()))
    }
    # What must have a value has one already: left empty, it stays as it is.
    for name in ("event_date", "licence"):
        if not found[name]:
            del found[name]
    found["keywords"] = words_of(text(form, "keywords"))
    found["languages"] = texts(form, "languages")
    found["people"] = [{"name": name, "role": role} for name, role in people_of(form) if name]
    if kind == "course":
        found["lessons_planned"] = _number(found["lessons_planned"])
    if kind == "image":
        found["confirmed"] = text(form, "confirmed") == "1"
    return found


def _number(typed: str) -> int | str:
    """What is no number goes on as it is, for the field to refuse."""
    if not typed:
        return 0
    return int(typed) if typed.isascii() and typed.isdecimal() and len(typed) < 10 else typed


def people_of(form: FormData) -> list[tuple[str, str]]:
    return list(zip(texts(form, "person_name"), texts(form, "person_role"), strict=False))


def typed(form: FormData, kind: str, errors: Mapping[str, str], **more: Any) -> FormView:
    """The form as it came, with what was wrong; nothing typed is lost."""
    names = (*PLAIN, *BY_KIND.get(kind, ()), "keywords", "centre_id", "confirmed")
    return FormView(
        kind=kind,
        kind_name=kinds.KINDS[kind],
        values={name: text(form, name, _LONGEST.get(name, 2_000)) for name in names},
        people=_rows([pair for pair in people_of(form) if pair[0]]),
        languages=frozenset(texts(form, "languages")),
        errors=errors,
        **more,
    )


def blank(kind: str, values: Mapping[str, str]) -> FormView:
    return FormView(
        kind=kind,
        kind_name=kinds.KINDS.get(kind, ""),
        values={"origin": kinds.ORIGIN_OF.get(kind, ""), **values},
        people=_rows([]),
        languages=frozenset(),
    )


def filled(resource: Resource) -> FormView:
    """The form of a record as it stands."""
    values = {
        name: str(value_of(resource, name) or "")
        for name in (*PLAIN, *BY_KIND.get(resource.kind, ()))
    }
    values["keywords"] = "、".join(resource.keywords)
    values["confirmed"] = "1" if resource.confirmed_at else ""
    return FormView(
        kind=resource.kind,
        kind_name=kinds.KINDS[resource.kind],
        values=values,
        people=_rows([(row["name"], row["role"]) for row in resource.people]),
        languages=frozenset(resource.languages),
        record_id=resource.id,
        title=resource.title,
        version=resource.version,
    )


def _rows(people: list[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return (*people, *[("", "performer")] * BLANK_PEOPLE)
