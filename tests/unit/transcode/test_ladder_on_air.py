"""The ladder when a feed comes back with another picture: every rung viewers have goes on."""

from __future__ import annotations

from fractions import Fraction

import pytest

from transcode.ladder import Ladder, choose_ladder
from transcode.source import AudioInfo, SourceInfo, VideoInfo

AAC = AudioInfo("aac", "LC", 44_100, 2, 128_000)


def feed(width: int, height: int, gop_ms: int) -> SourceInfo:
    video = VideoInfo("h264", "High", 41, width, height, Fraction(25), "yuv420p", interlaced=False)
    return SourceInfo(video, AAC, 3_000_000, gop_ms)


@pytest.mark.parametrize(
    ("source", "on_air", "same_as", "sharing"),
    [
        pytest.param(
            feed(640, 360, 2000), ("v480", "v360", "a"), {"v480": "v360"}, 1, id="smaller, copied"
        ),
        pytest.param(
            feed(640, 360, 10_000), ("v720", "v480", "v360", "a"),
            {"v720": "v360", "v480": "v360"}, 1, id="smaller, encoded: the same bytes, once",
        ),
        pytest.param(feed(1280, 720, 2000), ("v360", "a"), {}, 1, id="larger: one more rung"),
        pytest.param(feed(854, 480, 2000), ("v480", "v360", "a"), {}, 1, id="the same again"),
        pytest.param(
            feed(1920, 1080, 10_000), ("v1080", "v720", "v480", "v360", "a"), {"v1080": "v720"}, 1,
            id="no longer to be copied, and too dear to encode",
        ),
        pytest.param(
            feed(1920, 1080, 2000), ("v540", "v360", "a"), {}, 1, id="an unusual size is made"
        ),
        pytest.param(
            feed(1920, 1080, 2000), ("v480", "v360", "a"), {}, 4,
            id="small rungs on air are kept whatever the machine says",
        ),
    ],
)  # fmt: skip
def test_no_rung_on_air_is_left_without_a_picture(
    source: SourceInfo, on_air: tuple[str, ...], same_as: dict[str, str], sharing: int
) -> None:
    ladder = choose_ladder(source, cores=2, sharing=sharing, longest_segment=2, on_air=on_air)
    rungs = {rung.name: rung for rung in ladder.rungs}
    assert len(rungs) == len(ladder.rungs)
    assert set(on_air) <= set(rungs)
    assert {name: rung.same_as for name, rung in rungs.items() if rung.same_as} == same_as
    for name, other in same_as.items():
        twin, made = rungs[name], rungs[other]
        assert (twin.width, twin.height, twin.copied) == (made.width, made.height, made.copied)
        assert twin.cost == 0
    assert not ladder.rungs[0].same_as, "the leading rung is made"
    assert Ladder.from_json(ladder.to_json()) == ladder


def test_what_is_given_up_carries_the_next_lower_rung_and_so_do_its_twins() -> None:
    source = feed(1280, 720, 10_000)
    ladder = choose_ladder(source, cores=2, on_air=("v1080", "v720", "v480", "v360", "a"))
    assert ladder.costliest() == "v720"
    rest = ladder.without("v720")
    assert {rung.name: rung.same_as for rung in rest.rungs} == {
        "v480": "",
        "v360": "",
        "v1080": "v480",
        "v720": "v480",
        "a": "",
    }
    assert rest.rungs[0].name == "v480", "the leading rung is made"
