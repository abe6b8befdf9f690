"""Edit lists as they are typed, and how a clip was made in words."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from api.cli_clips import InOrder, clip_create, pieces_in_order
from api.cli_parts import Stop
from api.making import made_line


def typed(*words: str) -> list[tuple[str, float, float]]:
    """The pieces of `xitai clip create` with these words behind it."""
    found: list[list[tuple[str, float, float]]] = []

    @click.command(cls=InOrder, params=clip_create.params)
    @click.pass_context
    def create(ctx: click.Context, /, **given: object) -> None:
        found.append(pieces_in_order(ctx.meta["in order"], given))  # type: ignore[arg-type]

    done = CliRunner().invoke(create, words, standalone_mode=False)
    if done.exception:
        raise done.exception
    return found[0]


def test_each_stretch_is_of_the_work_before_it() -> None:
    assert typed("--work", "w1", "--in", "1", "--out", "2.5") == [("w1", 1, 2.5)]
    words = "--work w1 --in 1 --out 2 --in 5 --out 6 --broadcast b --in 3 --out 4 --work w2 "
    typed_in = typed(*f"{words} --in 0 --out 1".split())
    assert typed_in == [("w1", 1, 2), ("w1", 5, 6), ("b", 3, 4), ("w2", 0, 1)]


def test_a_single_source_may_stand_anywhere() -> None:
    assert typed("--in", "1", "--out", "2", "--broadcast", "b") == [("b", 1, 2)]
    assert typed("--out=2", "--in=1", "--work=w", "--title", "名") == [("w", 1, 2)]


@pytest.mark.parametrize(
    "words",
    ["--work w", "--work w --in 1", "--work w --in 1 --out 2 --in 3", "--work w --out 2"],
)
def test_pairs_that_are_none_are_refused(words: str) -> None:
    with pytest.raises(Stop) as caught:
        typed(*words.split())
    assert caught.value.code == "clip_pairs"


def test_a_stretch_of_nobody_knows_which_is_misuse() -> None:
    for words in ("--in 1 --out 2", "--in 1 --out 2 --work a --work b"):
        with pytest.raises(click.UsageError):
            typed(*words.split())


def test_how_it_was_made_in_one_line() -> None:
    assert made_line({}) == ""
    assert made_line({"copied": 4400, "encoded": 60}) == (
        "大部分画面原样复制，只有切口处重新编码（复制 4400 帧，重新编码 60 帧）。"
    )
    assert made_line({"copied": 0, "encoded": 60}).startswith("画面全部重新编码")
    assert made_line({"copied": 60, "encoded": 0}).startswith("画面全部原样复制")
    assert made_line({"copied": 0, "encoded": 0}) == "没有画面，只有声音。"
    damaged = made_line({"copied": 40, "encoded": 1, "missing": 3, "reasons": ["nobody_knows"]})
    assert damaged.endswith("原片有 3 帧损坏，没能放进来。")
    assert "nobody_knows" not in damaged
