"""What the plan editor's forms say, as the catalogue takes it. Pure; the catalogue checks it."""

from __future__ import annotations

import re
from typing import Any, Final

from starlette.datastructures import FormData

from api.pages.library.desk import text, texts
from catalog.plans.queries import USES

_QUERY_TEXTS: Final = ("mode", "origin", "ledger", "scope", "figure")
_UNSAID: Final = ("", "any", "own")
"""What a filter says when it filters nothing."""
_EXCEPTION: Final = re.compile(r"(.+?)[\s:：]+(\S+)")
TARGET_TEXTS: Final = (
    "code", "who", "indicator", "unit", "op", "value", "per", "period", "parent", "denominator",
    "area", "level", "note",
)  # fmt: skip
MILESTONE_ROWS: Final = 40


def typed_target(form: FormData) -> dict[str, Any]:
    """The form as it was typed, to be shown again."""
    said: dict[str, Any] = {name: text(form, name) for name in TARGET_TEXTS}
    for name in ("measure", "overrides", "title_has", "min_lessons", "av_only", *_QUERY_TEXTS):
        said[name] = text(form, name)
    return said | {"kinds": tuple(texts(form, "kinds"))}


def target_fields(said: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
    """A target as catalog.plans.fields takes it. ``before``: the query it had, whose filters
    this form does not show are kept."""
    fields: dict[str, Any] = {name: said[name] for name in TARGET_TEXTS}
    fields["parent"] = said["parent"] or None
    fields["denominator"] = said["denominator"] or None
    fields["overrides"] = overrides_of(said["overrides"])
    fields["query"] = _query(said, before)
    return fields


def overrides_of(lines: str) -> dict[str, str]:
    """一行一个：单位名 数。A line without a number stays, and is refused by its own name."""
    made = {}
    for line in filter(None, (line.strip() for line in lines.splitlines())):
        found = _EXCEPTION.fullmatch(line)
        made[found[1] if found else line] = found[2] if found else ""
    return made


def _query(said: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any] | None:
    measure = said["measure"]
    if not measure:
        return None
    kept = dict(before) if before and before.get("measure") == measure else {}
    shown = {*_QUERY_TEXTS, "kinds", "av_only", "title_has", "min_lessons"}
    query = {name: value for name, value in kept.items() if name not in shown}
    query["measure"] = measure
    useful = USES.get(measure, set())
    for name in _QUERY_TEXTS:
        if said[name] not in _UNSAID and (name == "scope" or name in useful):
            query[name] = said[name]
    if said["kinds"] and "kinds" in useful:
        query["kinds"] = list(said["kinds"])
    if said["av_only"] and "av_only" in useful:
        query["av_only"] = True
    if said["min_lessons"].isdecimal() and "min_lessons" in useful:
        query["min_lessons"] = int(said["min_lessons"])
    if words := [word for word in re.split(r"[、,，\s]+", said["title_has"]) if word]:
        query["title_has"] = words
    return query


def head_fields(form: FormData) -> dict[str, Any]:
    """The head of a plan: names, milestones, switches, notes."""
    return {
        "title": text(form, "title"),
        "issuer": text(form, "issuer"),
        "document": text(form, "document"),
        "issued_on": text(form, "issued_on"),
        "year": text(form, "year"),
        "milestones": milestones_of(form),
        "switches": {
            "programme_only": bool(text(form, "programme_only")),
            "reshown": bool(text(form, "reshown")),
            "edits": bool(text(form, "edits")),
            "clicks": text(form, "clicks") or "effective_plays",
            "share_of": text(form, "share_of") or "target",
            "micro_max_minutes": _whole(text(form, "micro_max_minutes")),
        },
        "notes": [line.strip() for line in text(form, "notes").splitlines() if line.strip()],
    }


def milestones_of(form: FormData) -> list[dict[str, Any]]:
    """Rows of date, share and what is to be done; an empty row is none."""
    columns = [texts(form, name)[:MILESTONE_ROWS] for name in ("by", "share", "do")]
    rows = zip(*columns, strict=False)
    return [
        {"by": by, "progress_pct": share.rstrip("%％") or None, "do": do}
        for by, share, do in rows
        if by or share or do
    ]


def _whole(said: str) -> Any:
    """A whole number, or what was said, to be refused in the catalogue's own words."""
    return int(said) if said.isascii() and said.isdecimal() and len(said) < 9 else said
