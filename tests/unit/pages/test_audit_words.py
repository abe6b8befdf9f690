"""The audit log in words: each deed the code notes has its name, and no name stands for nothing."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from api.pages.library.admin import ACTIONS, OBJECTS
from catalog import audit

ROOT = Path(audit.__file__).parent.parent
NOTERS = {"note", "_note", "_noted", "_note_user", "_new_version", "note_programme"}
ACTION = re.compile(r"[a-z_]+\.[a-z_]+|takedown(\.undo)?")


def noted() -> Iterator[tuple[str, str | None]]:
    """(action, kind of object where it stands beside it) of every call that writes one down."""
    for path in (*ROOT.glob("catalog/**/*.py"), *ROOT.glob("api/**/*.py")):
        if "node_modules" in path.parts:
            continue
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call):
                continue
            name = getattr(call.func, "attr", getattr(call.func, "id", ""))
            if name not in NOTERS:
                continue
            for here, after in zip(call.args, [*call.args[1:], None], strict=True):
                kind = str(after.value) if isinstance(after, ast.Constant) else None
                for found in ast.walk(here):
                    if isinstance(found, ast.Constant) and ACTION.fullmatch(str(found.value)):
                        yield str(found.value), kind


def test_every_deed_has_its_name_and_every_name_its_deed() -> None:
    found = dict(noted())
    review = {"review.approve", "review.return"}  # made of the decision
    assert found.keys() | review == ACTIONS.keys()
    assert {kind for kind in found.values() if kind} <= OBJECTS.keys()
