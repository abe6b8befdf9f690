"""Who may do what: one table of roles and actions, and the scope of a centre's subtree. Pure."""

from __future__ import annotations

from typing import Final, Literal

Action = Literal[
    "broadcast.see",
    "broadcast.make",
    "broadcast.end",
    "clip.make",
    "job.see",
    "job.steer",
    "minutes.export",
    "account.manage",
]

_ALL_STAFF: Final = frozenset({"studio", "staff", "reviewer", "supervisor", "clerk", "admin"})

RIGHTS: Final[dict[Action, frozenset[str]]] = {
    "broadcast.see": _ALL_STAFF,
    "broadcast.make": frozenset({"staff", "admin"}),
    # A supervisor watches a wall of stages with a cut-off button.
    "broadcast.end": frozenset({"staff", "supervisor", "admin"}),
    "clip.make": frozenset({"studio", "staff", "admin"}),
    "job.see": _ALL_STAFF,
    "job.steer": frozenset({"staff", "admin"}),
    "minutes.export": _ALL_STAFF - {"studio"},
    "account.manage": frozenset({"admin"}),
}


def may(role: str, action: Action) -> bool:
    """Whether a role may do that at all; where, the centre's subtree says."""
    return role in RIGHTS[action]


def covers(own_path: str | None, path: str) -> bool:
    """Whether a centre's subtree (None: everywhere) holds the centre at ``path``."""
    return own_path is None or path.startswith(own_path)
