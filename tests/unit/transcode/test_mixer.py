"""The mixer: every picture rung gets the run's one sound as its second track."""

from __future__ import annotations

from fractions import Fraction

import pytest

from tests.unit.transcode.media import (
    audio_init,
    audio_samples,
    read_items,
    timing,
    video_init,
    video_samples,
)
from transcode.fmp4.model import Fragment, InitSection, Sample, Track
from transcode.fmp4.writer import TrackSamples, write_fragment, write_init
from transcode.hls.events import (
    Hole,
    InitReady,
    PackagerError,
    PackagerEvent,
    ResumePoint,
    RungSpec,
    SegmentReady,
    SlotReady,
)
from transcode.hls.packager import Packager
from transcode.ladder import Ladder, Rung
from transcode.live.mixer import AUDIO_TRACK, HELD_PICTURES, HELD_SOUNDS, Mixer

SECONDS = 5.0
PICTURE = video_init().tracks
SOUND = audio_init().tracks
Events = list[PackagerEvent | SlotReady]


def rung(name: str, *, copied: bool = False, same_as: str = "") -> Rung:
    kind = "audio" if name == "a" else "video"
    return Rung(name, kind, copied, same_as=same_as)


def mixer(*rungs: Rung) -> Mixer:
    ladder = Ladder(rungs, follow_source_keys=True, deinterlace=False, copy_audio=True, advice=())
    specs = [RungSpec(r.name, "audio" if r.kind == "audio" else "video") for r in rungs]
    return Mixer(ladder, Packager(specs, timing(), ResumePoint(0, 0)))


def pipe(tracks: list[Track], samples: list[Sample], every: int = 5) -> list[bytes]:
    """What FFmpeg writes: the init section, then a fragment for every few samples."""
    groups = [samples[at : at + every] for at in range(0, len(samples), every)]
    return [
        write_init(tracks),
        *(write_fragment(n + 1, [TrackSamples(1, group)]) for n, group in enumerate(groups)),
    ]


def pictures(seconds: float = SECONDS) -> list[bytes]:
    return pipe(PICTURE, video_samples(Fraction(25), seconds, 50))


def sounds(seconds: float = SECONDS) -> list[bytes]:
    return pipe(SOUND, audio_samples(seconds))


def in_turn(made: Mixer, pipes: dict[str, list[bytes]]) -> Events:
    out: Events = []
    for index in range(max(map(len, pipes.values()))):
        for name, chunks in pipes.items():
            for chunk in chunks[index : index + 1]:
                out += made.feed({name: chunk})
    return out + made.flush(end=True)


def file(events: Events, name: str) -> list[InitSection | Fragment]:
    """A rung as a player puts it together."""
    (init,) = [e.data for e in events if isinstance(e, InitReady) and e.rendition == name]
    segments = [e.data for e in events if isinstance(e, SegmentReady) and e.rendition == name]
    return read_items(init + b"".join(segments))


def payloads(events: Events, name: str, track: int) -> list[bytes]:
    return [
        sample.data
        for item in file(events, name)
        if isinstance(item, Fragment)
        for sample in item.samples
        if sample.track_id == track
    ]


FRAMES = [b"v%d" % number for number in range(125)]
SAMPLES = [sample.data for sample in audio_samples(SECONDS)]


def test_every_picture_rung_gets_the_sound() -> None:
    made = mixer(rung("v720", copied=True), rung("v360"), rung("a", copied=True))
    out = in_turn(made, {"v720": pictures(), "v360": pictures(), "a": sounds()})
    for name in ("v720", "v360"):
        section = file(out, name)[0]
        assert isinstance(section, InitSection)
        assert [track.kind for track in section.tracks] == ["video", "audio"]
        assert payloads(out, name, 1) == FRAMES
        assert payloads(out, name, AUDIO_TRACK) == SAMPLES
    assert payloads(out, "a", 1) == SAMPLES
    slots = [set(e.segments) for e in out if isinstance(e, SlotReady)]
    assert slots == [{"v720", "v360", "a"}] * 3


@pytest.mark.parametrize("ahead_ms", [-100_000, -1000, -200, 0, 200, 1000])
def test_either_pipe_may_run_ahead(ahead_ms: int) -> None:
    """The sound by what lies in FFmpeg's queues, the picture by any time."""
    made = mixer(rung("v720", copied=True), rung("a", copied=True))
    due = [(n * 200.0, "v720", chunk) for n, chunk in enumerate(pictures())]
    due += [(n * 5 * 1024 / 48 - ahead_ms, "a", chunk) for n, chunk in enumerate(sounds())]
    out: Events = []
    for _, name, chunk in sorted(due, key=lambda each: each[0]):
        out += made.feed({name: chunk})
    out += made.flush(end=True)
    whole(out)


def whole(out: Events) -> None:
    assert payloads(out, "v720", 1) == FRAMES
    assert payloads(out, "v720", AUDIO_TRACK) == SAMPLES
    assert payloads(out, "a", 1) == SAMPLES
    assert not [event for event in out if isinstance(event, Hole)]


@pytest.mark.parametrize("begun", [0, 10, 400])
def test_a_reader_that_was_frozen_takes_it_all_in_order(begun: int) -> None:
    """The sound of five seconds is in the pipe at once, the picture comes in many reads."""
    made = mixer(rung("v720", copied=True), rung("a", copied=True))
    picture, sound = b"".join(pictures()), b"".join(sounds())
    out = made.feed({"v720": picture[:begun]}) + made.feed({"a": sound[:begun]})
    out += made.feed({"a": sound[begun:], "v720": picture[begun : begun + 300]})
    for at in range(begun + 300, len(picture), 300):
        out += made.feed({"v720": picture[at : at + 300]})
    out += made.flush(end=True)
    whole(out)
    # Each segment has its own sound, not that of another.
    for index in range(2):
        first = [e for e in out if isinstance(e, SegmentReady) and e.rendition == "v720"][index]
        (init,) = [e.data for e in out if isinstance(e, InitReady) and e.rendition == "v720"]
        samples = [s for f in read_items(init + first.data)[1:] for s in f.samples]  # type: ignore[union-attr]
        heard = [s.dts / 48_000 for s in samples if s.track_id == AUDIO_TRACK]
        assert 2 * index - 0.05 < heard[0] < heard[-1] < 2 * index + 2.05


def test_sound_goes_on_when_there_is_no_picture() -> None:
    """Only a pipe that was empty when it was looked at is left behind."""
    made = mixer(rung("v720", copied=True), rung("a", copied=True))
    early = pipe(PICTURE, video_samples(Fraction(25), 2, 50))
    late = pipe(PICTURE, video_samples(Fraction(25), 2, 50, start_ms=12_000))[1:]
    heard = sounds(15)
    out: Events = []
    for chunk in early:
        out += made.feed({"v720": chunk})
    for chunk in heard[:120]:
        out += made.feed({"a": chunk})
    assert [s.msn for s in out if isinstance(s, SlotReady)][:4] == [0, 1, 2, 3]
    for chunk in late:
        out += made.feed({"v720": chunk})
    for chunk in heard[120:]:
        out += made.feed({"a": chunk})
    out += made.flush(end=True)
    assert len(payloads(out, "v720", 1)) == 100
    assert payloads(out, "a", 1) == [sample.data for sample in audio_samples(15)]


def test_while_all_goes_well_nothing_waits() -> None:
    made = mixer(rung("v720", copied=True), rung("v360"), rung("a", copied=True))
    told = 0
    for number, (one, two, three) in enumerate(zip(pictures(), pictures(), sounds(), strict=False)):
        for name, chunk in (("v720", one), ("a", three), ("v360", two)):
            made.feed({name: chunk})
        told += 1
        assert number == 0 or not any(made._queues.values())
    assert told > 20


def test_nothing_of_a_picture_is_told_before_its_sound_is_described() -> None:
    made = mixer(rung("v720"), rung("a"))
    assert [event for chunk in pictures() for event in made.feed({"v720": chunk})] == []
    out = made.feed({"a": sounds()[0]})
    assert {e.rendition for e in out if isinstance(e, InitReady)} == {"v720", "a"}


def test_a_feed_without_sound_does_not_wait_for_it() -> None:
    out = in_turn(mixer(rung("v720"), rung("v360")), {"v720": pictures(), "v360": pictures()})
    assert payloads(out, "v360", 1) == FRAMES
    section = file(out, "v720")[0]
    assert isinstance(section, InitSection)
    assert len(section.tracks) == 1


def test_a_feed_without_picture_is_sound_alone() -> None:
    out = in_turn(mixer(rung("a", copied=True)), {"a": sounds()})
    assert payloads(out, "a", 1) == SAMPLES


def test_a_twin_carries_the_same_bytes() -> None:
    made = mixer(rung("v720"), rung("v1080", same_as="v720"), rung("a"))
    out = in_turn(made, {"v720": pictures(), "a": sounds()})
    assert file(out, "v1080") == file(out, "v720")
    with pytest.raises(KeyError):
        made.feed({"v1080": b""})


def test_the_leading_rung_says_how_far_the_run_has_come() -> None:
    made = mixer(rung("v720"), rung("v360"), rung("a"))
    assert made.frames == 0
    for chunk in sounds() + pictures(1)[:1]:
        made.feed({"a" if chunk in sounds() else "v720": chunk})
    for chunk in pictures(2):
        made.feed({"v360": chunk})
    assert made.reached_ms is None
    for chunk in pictures(1)[1:]:
        made.feed({"v720": chunk})
    found: tuple[float | None, int] = (made.reached_ms, made.frames)
    assert found == (960.0, 25)


@pytest.mark.parametrize("copied", [True, False])
def test_reordered_frames_count_where_the_log_has_them(copied: bool) -> None:
    """The log knows decode times; an encoded rung only presentation times of the same frames."""
    frames = [Sample(1, n * 40, 80, 40, n == 0, b"v") for n in range(10)]
    made = mixer(rung("v720", copied=copied))
    for chunk in pipe(PICTURE, frames):
        made.feed({"v720": chunk})
    assert made.reached_ms == (360.0 if copied else 440.0)


def test_what_waits_is_bounded() -> None:
    made = mixer(rung("v720"), rung("a"))
    frames = video_samples(Fraction(25), (HELD_PICTURES + 10) / 25, 50)
    with pytest.raises(PackagerError, match="wait for sound"):
        for chunk in pipe(PICTURE, frames, every=1):
            made.feed({"v720": chunk})
    made = mixer(rung("v720"), rung("a"))
    samples = audio_samples(HELD_SOUNDS * 1024 / 48_000 + 1)
    with pytest.raises(PackagerError, match="wait for v720, limit 8000"):
        for chunk in pipe(SOUND, samples, every=1):
            made.feed({"a": chunk})


def test_a_sound_pipe_without_sound_is_refused() -> None:
    made = mixer(rung("v720"), rung("a"))
    with pytest.raises(PackagerError):
        made.feed({"a": write_init(PICTURE)})
