"""Every kind of job has a name for people, and what beat promises again and again is no news."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

import api.pages
from api.handlers import HANDLER_MODULES, PERIODIC
from api.jobs import FOLDED, HOUSEKEEPING
from infra.jobs.handlers import handler_for
from infra.jobs.rows import LOST_SENTENCE
from infra.jobs.runner import INTERNAL_SENTENCE

KIT = Path(api.pages.__file__).parent / "templates" / "kit.html"


def test_what_is_promised_again_and_again_does_not_fill_the_page() -> None:
    assert {job.kind for job in PERIODIC} <= set(HOUSEKEEPING)


@pytest.mark.parametrize("part", HANDLER_MODULES)
def test_every_kind_has_a_name(part: str) -> None:
    (names,) = re.findall(r"set names = (\{\"live\".*\}) %\}", KIT.read_text("utf-8"))
    named = set(re.findall(r'"(\w+)": _\(', names))
    for module in HANDLER_MODULES[part]:
        importlib.import_module(module)
    source = "\n".join(
        Path(importlib.import_module(m).__file__ or "").read_text("utf-8")
        for m in HANDLER_MODULES[part]
    )
    written = set(re.findall(r'@job_handler\(\s*"(\w+)"', source))
    assert written
    for kind in written | set(HOUSEKEEPING) | set(FOLDED):
        assert kind in named, kind
    for kind in named:
        if part == "worker-work" and kind != "live":
            assert handler_for(kind) is not None, kind


@pytest.mark.parametrize("sentence", [LOST_SENTENCE, INTERNAL_SENTENCE])
def test_failures_of_ours_are_told_in_the_language_of_the_pages(sentence: str) -> None:
    assert not re.search("[A-Za-z]", sentence)
    assert sentence.endswith("。")
