"""How a segment begins: in the order that browsers' Media Source Extensions can join."""

from __future__ import annotations

from fractions import Fraction

from tests.unit.transcode.media import (
    audio_init,
    audio_samples,
    fragments,
    package,
    timing,
    video_init,
    video_samples,
)
from transcode.fmp4.boxes import boxes
from transcode.fmp4.reader import FragmentReader

AUDIO, VIDEO = 2, 1


def test_the_sound_comes_before_the_picture_where_a_segment_begins() -> None:
    video = video_samples(Fraction(25), 6, 50) + audio_samples(6, track=2)
    items = [video_init(sound=True), *fragments(video)]
    out = package({"v": items, "a": [audio_init(), *fragments(audio_samples(6))]}, timing())
    made = out.of("v")
    assert len(made) >= 3
    for segment in made:
        kinds = [box.kind for box in boxes(segment.data)]
        assert kinds == [b"moof", b"mdat"] * (len(kinds) // 2)
        assert len(kinds) // 2 == len(segment.parts) + 1, "one fragment more than parts"
        first = segment.data[: segment.parts[0].size]
        tracks = [
            sample.track_id
            for item in FragmentReader().feed(out.inits["v"].data + first)
            for sample in getattr(item, "samples", ())
        ]
        assert set(tracks) == {AUDIO, VIDEO}
        assert tracks == sorted(tracks, reverse=True), "all of the sound, then the picture"
