"""A node's id: made once, kept beside the logs."""

from __future__ import annotations

from pathlib import Path

import pytest

from ingest.node import node_id


def test_an_id_is_made_once(tmp_path: Path) -> None:
    made = node_id(tmp_path / "a")
    assert node_id(tmp_path / "a") == made
    assert node_id(tmp_path / "b") != made
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["node"]


@pytest.mark.parametrize("broken", [b"", bytes(16), b"\xff\xfe"])
def test_a_file_without_an_id_is_replaced(tmp_path: Path, broken: bytes) -> None:
    (tmp_path / "node").write_bytes(broken)
    made = node_id(tmp_path)
    assert node_id(tmp_path) == made
    assert len(made) == 16
