"""What the catalogue refuses, by a stable code; the faces have the words for each code."""

from __future__ import annotations


class Refused(Exception):
    """A wish that cannot be granted. ``code`` is stable; ``facts`` fill the sentence shown."""

    def __init__(self, code: str, **facts: str | int) -> None:
        super().__init__(code)
        self.code = code
        self.facts = facts


class Missing(Refused):
    """There is no such row (or it is not this person's to know of)."""
