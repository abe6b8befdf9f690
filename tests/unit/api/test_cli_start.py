"""The commands start quickly: what they do not need is not loaded."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("module", "unwanted"),
    [
        ("api.cli", {"sqlalchemy", "pydantic", "fastapi", "celery", "numpy", "av", "cv2"}),
        ("api.local", {"fastapi", "jinja2", "celery", "pypinyin", "av", "cv2"}),
    ],
)
def test_a_command_loads_only_what_it_needs(module: str, unwanted: set[str]) -> None:
    code = f"import {module}, json, sys; print(json.dumps([*sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert unwanted.isdisjoint(json.loads(done.stdout))
