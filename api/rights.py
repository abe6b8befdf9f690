"""Who may do what: one table of roles and actions, and the scope of a centre's subtree. Pure."""

from __future__ import annotations

from typing import Final, Literal

Action = Literal[
    "broadcast.see",
    "broadcast.make",
    "broadcast.end",
    "clip.make",
    "act.change",
    "still.confirm",
    "upload.make",
    "job.see",
    "job.steer",
    "minutes.export",
    "account.manage",
    "resource.see",
    "resource.change",
    "resource.withdraw",
    "resource.package",
    "review.decide",
    "takedown",
    "genre.change",
    "audit.see",
    "quality.see",
    "outside.enter",
    "plan.see",
    "plan.change",
    "entry.set",
    "return.see",
    "return.freeze",
    "webhook.manage",
]

_REVIEWERS: Final = frozenset({"reviewer_1", "reviewer_2", "reviewer_3"})
_ALL_STAFF: Final = _REVIEWERS | {"studio", "staff", "supervisor", "clerk", "admin"}
_OWN: Final = _ALL_STAFF - {"studio"}
"""The centres' own people: a contracted studio sees its contract's footage, and no figures."""

RIGHTS: Final[dict[Action, frozenset[str]]] = {
    "broadcast.see": _ALL_STAFF,
    "broadcast.make": frozenset({"staff", "admin"}),
    # A supervisor watches a wall of stages with a cut-off button.
    "broadcast.end": frozenset({"staff", "supervisor", "admin"}),
    "clip.make": frozenset({"studio", "staff", "admin"}),
    "act.change": frozenset({"studio", "staff", "admin"}),
    # A confirmed still counts as a picture: the centre's own people say so.
    "still.confirm": frozenset({"staff", "admin"}),
    "upload.make": frozenset({"studio", "staff", "admin"}),
    "job.see": _ALL_STAFF,
    "job.steer": frozenset({"staff", "admin"}),
    "minutes.export": _OWN,
    "account.manage": frozenset({"admin"}),
    "resource.see": _ALL_STAFF,
    "resource.change": frozenset({"studio", "staff", "admin"}),
    "resource.withdraw": frozenset({"staff", "admin"}),
    "resource.package": frozenset({"staff", "clerk", "admin"}),
    # Which of the three steps, and that they are three people, the review itself checks.
    "review.decide": _REVIEWERS | {"admin"},
    "takedown": frozenset({"staff", "supervisor", "admin"}),
    "genre.change": frozenset({"staff", "admin"}),
    "audit.see": frozenset({"supervisor", "clerk", "admin"}),
    "quality.see": _OWN,
    "outside.enter": frozenset({"staff", "admin"}),
    "plan.see": _OWN,
    "plan.change": frozenset({"staff", "supervisor", "admin"}),
    "entry.set": frozenset({"staff", "clerk", "admin"}),
    "return.see": _OWN,
    "return.freeze": frozenset({"staff", "supervisor", "clerk", "admin"}),
    "webhook.manage": frozenset({"admin"}),
}


ROLE_NAMES: Final = {
    "viewer": "观众",
    "studio": "外包团队",
    "staff": "工作人员",
    "reviewer_1": "初审",
    "reviewer_2": "复审",
    "reviewer_3": "终审",
    "supervisor": "上级督导",
    "clerk": "统计员",
    "admin": "管理员",
}
"""What people call a role."""


def may(role: str, action: Action) -> bool:
    """Whether a role may do that at all; where, the centre's subtree says."""
    return role in RIGHTS[action]


def covers(own_path: str | None, path: str) -> bool:
    """Whether a centre's subtree (None: everywhere) holds the centre at ``path``."""
    return own_path is None or path.startswith(own_path)
