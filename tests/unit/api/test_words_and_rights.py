"""Sentences that fill themselves in, rights that add up, and the small keepers."""

from __future__ import annotations

import ast
import threading
from pathlib import Path

import pytest

from api.keep import Keep
from api.rights import RIGHTS, covers, may
from api.sentences import SENTENCES, sentence
from catalog.models import ROLES

ROOT = Path(__file__).parents[3]


def test_every_code_that_is_raised_has_a_sentence() -> None:
    """Read from the source: a refusal without words would reach a person as a bare code."""
    raised: dict[str, set[str]] = {}
    for folder in ("api", "catalog"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                    continue
                named = node.func.id in ("Problem", "Refused", "Missing")
                if named and node.args and isinstance(node.args[0], ast.Constant):
                    facts = {word.arg for word in node.keywords if word.arg} - {"headers"}
                    raised.setdefault(str(node.args[0].value), set()).update(facts)
    assert len(raised) > 20
    for code, facts in raised.items():
        assert code in SENTENCES, code
        filled = sentence(code, dict.fromkeys(facts, "7"))
        assert "{" not in filled, f"{code} asks for a fact nobody gives"
        assert filled.endswith("。")


def test_a_sentence_never_fails() -> None:
    assert sentence("too_large", {}) == SENTENCES["too_large"].text
    assert sentence("unheard_of", {}) == "unheard_of"
    assert sentence("busy", {}, lambda text: text + "!") == SENTENCES["busy"].text + "!"


def test_rights() -> None:
    assert all(roles <= set(ROLES) for roles in RIGHTS.values())
    assert all(may("admin", action) for action in RIGHTS)
    assert not any(may("viewer", action) for action in RIGHTS)
    assert covers(None, "a/")
    assert covers("a/", "a/b/")
    assert not covers("a/b/", "a/")
    assert not covers("a/", "ab/")


def test_keep_makes_once_for_all_who_ask_together() -> None:
    keep, made, gate = Keep(), [], threading.Event()

    def make() -> int:
        gate.wait(5)
        made.append(1)
        return len(made)

    found: list[int] = []
    threads = [
        threading.Thread(target=lambda: found.append(keep.get("k", 60, make))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join()
    assert found == [1] * 8
    assert keep.peek("k") == 1
    keep.forget("k")
    assert keep.peek("k") is None
    assert keep.get("k", 60, make) == 2


def test_keep_keeps_longer_what_took_longer() -> None:
    now = [0.0]
    keep = Keep(clock=lambda: now[0])

    def slow() -> float:
        now[0] += 1.0
        return now[0]

    assert keep.get("k", 2, slow) == 1.0
    now[0] = 20.9
    assert keep.get("k", 2, slow) == 1.0
    now[0] = 21.1
    assert keep.get("k", 2, slow) == 22.1


def test_what_fails_is_not_kept() -> None:
    keep = Keep()
    with pytest.raises(ZeroDivisionError):
        keep.get("k", 60, lambda: 1 // 0)
    assert keep.get("k", 60, lambda: 3) == 3
