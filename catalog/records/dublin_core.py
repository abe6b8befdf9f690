"""A record as the 15 elements of Dublin Core (ISO 15836-1), the words others harvest. Pure."""

from __future__ import annotations

from typing import Final

from catalog.minutes import TICKS_A_SECOND
from catalog.models import Centre, Resource
from catalog.records.kinds import KINDS, LICENCES, PEOPLE_ROLES

ELEMENTS: Final = (
    "title",
    "creator",
    "subject",
    "description",
    "publisher",
    "contributor",
    "date",
    "type",
    "format",
    "identifier",
    "source",
    "language",
    "relation",
    "coverage",
    "rights",
)

CREATORS: Final = ("director", "author")
"""Roles that made the whole; everybody else contributed to it."""

DCMI_TYPES: Final = {
    "finished": "MovingImage",
    "raw": "MovingImage",
    "micro": "MovingImage",
    "lesson": "MovingImage",
    "image": "StillImage",
    "audio": "Sound",
    "course": "Collection",
    "exhibition": "Collection",
    "document": "Text",
    "news": "Text",
}
"""Kind → DCMI Type Vocabulary."""

_VIDEO: Final = ("finished", "micro", "lesson")


def dublin_core(
    resource: Resource, centre: Centre, base_url: str, *, genre: str = ""
) -> dict[str, list[str]]:
    """Element → its values, in order; elements without a value are there and empty.

    ``genre`` is the name of the record's 门类. Text only: the first identifier is the id, which
    never changes, the second the page people see it on.
    """
    people = [(person["name"], person["role"]) for person in resource.people]
    found = {
        "title": [resource.title],
        "creator": [name for name, role in people if role in CREATORS],
        "subject": [genre, *resource.keywords],
        "description": [resource.description],
        "publisher": [centre.name],
        "contributor": [_credited(*person) for person in people if person[1] not in CREATORS],
        "date": [resource.event_date.isoformat()],
        "type": [DCMI_TYPES[resource.kind], KINDS[resource.kind]],
        "format": _formats(resource),
        "identifier": [f"urn:xitai:resource:{resource.id}", page_of(resource, base_url)],
        "source": [resource.source],
        "language": list(resource.languages),
        "relation": [f"urn:xitai:resource:{key}" for key in _related(resource)],
        "coverage": [resource.place],
        "rights": _rights(resource),
    }
    return {name: [value for value in found[name] if value] for name in ELEMENTS}


def page_of(resource: Resource, base_url: str) -> str:
    """Where people see a record once it is published."""
    return f"{base_url}/{'e' if resource.kind == 'exhibition' else 'r'}/{resource.id}"


def _credited(name: str, role: str) -> str:
    return name if role == "other" else f"{name}（{PEOPLE_ROLES[role]}）"


def _formats(resource: Resource) -> list[str]:
    """Media type, length (ISO 8601) and size of what the record describes."""
    media_type = resource.media_type
    if not media_type and resource.kind in _VIDEO and resource.duration_ticks:
        media_type = "video/mp4"
    length = duration(resource.duration_ticks) if resource.duration_ticks else ""
    return [media_type, length, f"{resource.size_bytes} bytes" if resource.size_bytes else ""]


def duration(ticks: int) -> str:
    """A length as ISO 8601 writes it: PT1H2M3.5S, to the millisecond (cut off, not rounded)."""
    ms = ticks * 1000 // TICKS_A_SECOND
    seconds, ms = divmod(ms, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    tail = f".{ms:03d}".rstrip("0") if ms else ""
    return f"PT{f'{hours}H' * bool(hours)}{f'{minutes}M' * bool(minutes)}{seconds}{tail}S"


def _related(resource: Resource) -> list[str]:
    return [*([resource.parent_id] if resource.parent_id else []), *resource.lineage]


def _rights(resource: Resource) -> list[str]:
    scope = LICENCES[resource.licence]
    if resource.licence_until is not None:
        scope = f"{scope}（至 {resource.licence_until.isoformat()}）"
    return [resource.rights_holder, scope]
