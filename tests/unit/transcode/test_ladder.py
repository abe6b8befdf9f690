"""The ladder: which rungs a feed is given, and which of them cost nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from transcode.ladder import (
    AUDIO_ENCODE_RATE,
    Ladder,
    Rung,
    can_copy,
    can_copy_audio,
    choose_ladder,
    segment_seconds,
)
from transcode.source import AudioInfo, SourceInfo, VideoInfo

AAC = AudioInfo("aac", "LC", 44_100, 2, 128_000)
OBS = VideoInfo("h264", "High", 41, 1920, 1080, Fraction(25), "yuv420p", interlaced=False)


def picture(**other: Any) -> VideoInfo:
    return VideoInfo(**{name: getattr(OBS, name) for name in OBS.__slots__} | other)


def feed(
    video: VideoInfo | None = OBS,
    audio: AudioInfo | None = AAC,
    *,
    bit_rate: int = 4_500_000,
    gop_ms: int | None = 2000,
) -> SourceInfo:
    return SourceInfo(video, audio, bit_rate, gop_ms)


def told(ladder: Ladder) -> str:
    """Copied rungs with =, twins with their source."""
    return " ".join(
        f"{r.name}{'=' if r.copied else ''}{'<' + r.same_as if r.same_as else ''}"
        for r in ladder.rungs
    )


@pytest.mark.parametrize(
    ("source", "cores", "rungs", "advice"),
    [
        pytest.param(feed(), 2, "v1080= v720 v480 v360 a=", (), id="1080p on two cores"),
        pytest.param(feed(), 8, "v1080= v720 v480 v360 a=", (), id="and on eight"),
        pytest.param(
            feed(picture(width=1280, height=720)), 2, "v720= v480 v360 a=", (), id="720p"
        ),
        pytest.param(
            feed(gop_ms=10_000), 2, "v720 v480 v360 a=", ("keyframe_interval_long",),
            id="long GOP: all is encoded, no room for 1080",
        ),
        pytest.param(
            feed(gop_ms=10_000), 8, "v1080 v720 v480 v360 a=", ("keyframe_interval_long",),
            id="long GOP on eight cores",
        ),
        pytest.param(
            feed(gop_ms=None), 8, "v1080 v720 v480 v360 a=", ("keyframe_interval_long",),
            id="no second key frame yet",
        ),
        pytest.param(
            feed(picture(codec="hevc", profile="Main")), 8, "v1080 v720 v480 v360 a=",
            ("codec_not_h264",), id="HEVC",
        ),
        pytest.param(
            feed(picture(interlaced=True)), 8, "v1080 v720 v480 v360 a=", ("interlaced",),
            id="interlaced",
        ),
        pytest.param(
            replace(feed(), open_gop=True), 8, "v1080 v720 v480 v360 a=", ("open_gop",),
            id="key frames that are no IDR pictures",
        ),
        pytest.param(
            feed(picture(profile="High 4:2:2", pixel_format="yuv422p")), 8,
            "v1080 v720 v480 v360 a=", ("profile_too_high",), id="4:2:2",
        ),
        pytest.param(
            feed(bit_rate=12_000_000), 8, "v1080 v720 v480 v360 a=", ("bitrate_high",),
            id="too many bits for phones",
        ),
        pytest.param(
            feed(picture(width=1080, height=1920)), 8, "v1080= v720 v480 v360 a=", (),
            id="upright",
        ),
        pytest.param(
            feed(picture(frame_rate=Fraction(50))), 2, "v1080= v480 v360 a=", (),
            id="50 frames a second cost twice as much",
        ),
        pytest.param(feed(), 1, "v1080= v480 v360 a=", (), id="1080p on one core"),
        pytest.param(feed(None), 2, "a=", (), id="sound alone"),
        pytest.param(feed(audio=None), 2, "v1080= v720 v480 v360", (), id="picture alone"),
        pytest.param(feed(None, None), 2, "", (), id="nothing"),
        pytest.param(
            feed(picture(width=320, height=240)), 2, "v240= a=", (), id="smaller than any rung"
        ),
        pytest.param(
            feed(picture(width=320, height=240), gop_ms=None), 2, "v240 a=",
            ("keyframe_interval_long",), id="smaller than any rung, and not to be copied",
        ),
    ],
)  # fmt: skip
def test_rungs_for_a_feed(
    source: SourceInfo, cores: int, rungs: str, advice: tuple[str, ...]
) -> None:
    ladder = choose_ladder(source, cores=cores)
    assert told(ladder) == rungs
    assert ladder.advice == advice
    assert ladder.follow_source_keys == any(r.copied for r in ladder.video)
    assert ladder.deinterlace == (source.video is not None and source.video.interlaced)
    assert all(r.width % 2 == r.height % 2 == 0 for r in ladder.video)


def test_upright_pictures_stay_upright() -> None:
    ladder = choose_ladder(feed(picture(width=1080, height=1920)), cores=8)
    assert [(r.width, r.height) for r in ladder.video] == [
        (1080, 1920), (720, 1280), (480, 854), (360, 640),
    ]  # fmt: skip


def test_anamorphic_pictures_get_square_pixels() -> None:
    pal = picture(width=720, height=576, sample_aspect=Fraction(16, 11), interlaced=True)
    ladder = choose_ladder(feed(pal), cores=8)
    assert [(r.name, r.width, r.height) for r in ladder.video] == [
        ("v480", 872, 480), ("v360", 654, 360),
    ]  # fmt: skip


def test_broadcasts_share_the_machine() -> None:
    assert told(choose_ladder(feed(), cores=2, sharing=2)) == "v1080= v480 v360 a="
    # However many there are, a feed that can't be copied has one rung all the same.
    crowded = choose_ladder(feed(gop_ms=None), cores=2, sharing=50)
    assert told(crowded) == "v480 a="


def test_the_operators_choice_is_taken_whatever_it_costs() -> None:
    wanted = ("v720", "v360", "a")
    assert told(choose_ladder(feed(), cores=1, wanted=wanted)) == "v1080= v720 v360 a="
    assert told(choose_ladder(feed(gop_ms=None), cores=1, wanted=wanted)) == "v720 v360 a="


@pytest.mark.parametrize(
    ("gop_ms", "longest", "copied"),
    [(2000, None, True), (4000, None, True), (4001, None, False), (4000, 4, True),
     (2499, 2, True), (2500, 2, False), (4000, 2, False)],
)  # fmt: skip
def test_groups_of_pictures_must_fit_into_the_segments_promised(
    gop_ms: int, longest: int | None, copied: bool
) -> None:
    assert can_copy(feed(gop_ms=gop_ms), longest_segment=longest)[0] is copied


@pytest.mark.parametrize(
    ("audio", "copied"),
    [
        (AAC, True),
        (AudioInfo("aac", "", 48_000, 1, 0), True),
        (AudioInfo("aac", "LC", 48_000, 2, 320_000), False),
        (AudioInfo("aac", "HE-AAC", 48_000, 2, 64_000), False),
        (AudioInfo("aac", "LC", 96_000, 2, 128_000), False),
        (AudioInfo("aac", "LC", 48_000, 6, 192_000), False),
        (AudioInfo("mp3", "", 44_100, 2, 128_000), False),
        (AudioInfo("opus", "", 48_000, 2, 96_000), False),
    ],
)
def test_sound_goes_out_as_it_came_when_phones_take_it(audio: AudioInfo, copied: bool) -> None:
    assert can_copy_audio(audio) is copied
    ladder = choose_ladder(feed(audio=audio), cores=2)
    assert ladder.copy_audio is copied
    rung = ladder.rungs[-1]
    assert (rung.name, rung.copied) == ("a", copied)
    assert rung.bit_rate == ((audio.bit_rate or AUDIO_ENCODE_RATE) if copied else 96_000)


@pytest.mark.parametrize(
    ("gop_ms", "seconds"),
    [(None, 2), (500, 2), (1000, 2), (2000, 2), (2400, 2), (2500, 3), (3000, 3), (4000, 4),
     (1500, 2), (800, 2)],
)  # fmt: skip
def test_the_target_duration_follows_a_copied_source(gop_ms: int | None, seconds: int) -> None:
    copied = choose_ladder(feed(gop_ms=2000), cores=2)
    assert segment_seconds(copied, gop_ms) == seconds
    # EXTINF is rounded half up before it is compared (rfc8216bis 4.4.3.1).
    if gop_ms:
        gops = max(1, round(2000 / gop_ms))
        assert (gops * gop_ms + 500) // 1000 <= seconds
    encoded = choose_ladder(feed(gop_ms=None), cores=2)
    assert segment_seconds(encoded, gop_ms) == 2


# --- a feed that comes back with another picture: the rungs viewers have go on -------------------


def test_a_smaller_picture_carries_the_taller_rungs() -> None:
    on_air = ["v1080", "v720", "v480", "a"]
    ladder = choose_ladder(feed(picture(width=1280, height=720)), cores=8, on_air=on_air)
    assert told(ladder) == "v720= v480 v360 v1080=<v720 a="
    assert [r.name for r in ladder.made] == ["v720", "v480", "v360", "a"]
    twin = next(r for r in ladder.rungs if r.same_as)
    assert (twin.width, twin.height, twin.cost) == (1280, 720, 0.0)


def test_rungs_on_air_are_made_also_when_the_machine_is_full() -> None:
    ladder = choose_ladder(
        feed(gop_ms=None), cores=1, sharing=9, on_air=["v1080", "v720", "v480", "v360", "a"]
    )
    made = {r.name: r.same_as for r in ladder.video}
    assert made == {"v480": "", "v360": "", "v720": "v480", "v1080": "v480"}


def test_a_rung_of_unusual_size_goes_on() -> None:
    """A copied source of 576 lines was on air; now the feed is 1080p."""
    ladder = choose_ladder(feed(), cores=8, on_air=["v576", "v480", "v360", "a"])
    assert told(ladder) == "v1080= v720 v576 v480 v360 a="
    odd = next(r for r in ladder.video if r.name == "v576")
    assert (odd.width, odd.height) == (1024, 576)


# --- giving up rungs --------------------------------------------------------------------------


def test_the_costliest_rung_is_given_up_first_and_the_copied_one_never() -> None:
    ladder = choose_ladder(feed(), cores=8)
    dropped = []
    while (name := ladder.costliest()) is not None:
        dropped.append(name)
        ladder = ladder.without(name)
        assert {r.name for r in ladder.video} >= {"v1080", name} or name == "v360"
    assert dropped == ["v720", "v480", "v360"]
    assert told(ladder) == "v1080= a="
    assert ladder.advice == ("rung_dropped",) * 3


def test_viewers_of_a_rung_given_up_follow_the_next_lower_one() -> None:
    """Players read the list of rungs once: a name that vanished would be a hole to them."""
    ladder = choose_ladder(feed(gop_ms=None), cores=1, sharing=9, on_air=["v1080", "v480", "v360"])
    assert {r.name: r.same_as for r in ladder.video} == {"v480": "", "v360": "", "v1080": "v480"}
    less = ladder.without("v480")
    assert {r.name: r.same_as for r in less.video} == {
        "v360": "",
        "v480": "v360",
        "v1080": "v360",
    }


def test_the_last_encoded_rung_stays_when_nothing_is_copied() -> None:
    ladder = choose_ladder(feed(gop_ms=None), cores=2, wanted=["v480", "v360"])
    assert ladder.costliest() == "v480"
    assert ladder.without("v480").costliest() is None


def test_a_rung_given_up_hands_its_twins_on() -> None:
    small = feed(picture(width=854, height=480), gop_ms=None)
    ladder = choose_ladder(small, cores=8, on_air=["v720", "v480", "v360"])
    assert told(ladder) == "v480 v360 v720<v480 a="
    assert told(ladder.without("v480")) == "v360 v720<v360 v480<v360 a="


def test_a_ladder_survives_its_row() -> None:
    ladder = choose_ladder(feed(gop_ms=None), cores=8, on_air=["v2160"])
    kept = json.loads(json.dumps(ladder.to_json()))
    assert Ladder.from_json(kept) == ladder
    assert isinstance(Ladder.from_json(kept).rungs[0], Rung)
