"""The states of a job and what may happen in each: one table that the SQL and the docs obey."""

from __future__ import annotations

from typing import Final

TRANSITIONS: Final[dict[tuple[str, str], str]] = {
    ("queued", "claim"): "running",
    ("queued", "cancel"): "cancelled",
    ("running", "take over"): "running",  # by another worker, once the lease has run out
    ("running", "complete"): "done",
    ("running", "retry"): "queued",
    ("running", "hand over"): "queued",  # its worker stops; the attempt does not count
    ("running", "wait"): "queued",  # for other jobs; the attempt does not count
    ("running", "fail"): "failed",
    ("running", "exhaust"): "failed",  # the lease of its last attempt has run out
    ("running", "cancel"): "running",  # a wish: the handler learns of it at its next heartbeat
    ("running", "give in"): "cancelled",  # the handler obeyed, or there is no handler any more
    ("failed", "try again"): "queued",
    ("cancelled", "try again"): "queued",
}
"""(state, event) → state. What is not listed does not happen."""

OPEN: Final = ("queued", "running")
ENDED: Final = ("done", "failed", "cancelled")


def sources(event: str) -> tuple[str, ...]:
    """States in which ``event`` may happen: the SQL's guard."""
    found = tuple(state for (state, name) in TRANSITIONS if name == event)
    if not found:
        raise ValueError(f"unknown event {event!r}")
    return found


def target(event: str) -> str:
    """The one state ``event`` leads to. ``cancel`` has two: ask TRANSITIONS."""
    (found,) = {after for (_, name), after in TRANSITIONS.items() if name == event}
    return found


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> queued: enqueue"]
    lines += [
        f"    {before} --> {after}: {event}" for (before, event), after in TRANSITIONS.items()
    ]
    lines.append("    done --> [*]")
    return "\n".join(lines)
