"""The mixer: joins a run's picture pipes with its one sound pipe, and feeds the packager. Pure.

FFmpeg writes each picture rung without sound and the sound once; here every picture rung gets
the sound as its second track, so that one variant plays alone on any phone. One pipe may be more
than one rung (`Rung.same_as`).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from transcode.fmp4.model import Fragment, InitSection, Sample, Track
from transcode.fmp4.reader import FragmentReader
from transcode.hls.events import PackagerError, PackagerEvent, SlotReady
from transcode.hls.packager import Packager
from transcode.ladder import Ladder

AUDIO_TRACK = 2
# Pictures held until the sound's description has come: 10 s at 25 frames a second.
HELD_PICTURES = 250
# Sounds held until the first picture has: a run that starts late in a GOP decodes it all first,
# faster than real time, while the sound is only copied. Three minutes.
HELD_SOUNDS = 8_000


class Mixer:
    """Bytes of FFmpeg's pipes in, packager events out."""

    def __init__(self, ladder: Ladder, packager: Packager) -> None:
        self._packager = packager
        self._readers = {rung.name: FragmentReader() for rung in ladder.made}
        self._fed = {
            rung.name: [rung.name, *(r.name for r in ladder.video if r.same_as == rung.name)]
            for rung in ladder.made
            if rung.kind == "video"
        }
        self._video = [rung.name for rung in ladder.video]
        self._copied = {rung.name for rung in ladder.rungs if rung.copied}
        self._leader = ladder.rungs[0].name
        self._sound: Track | None = None
        self._wants_sound = ladder.has_audio and bool(self._video)
        self._held: dict[str, list[InitSection | Fragment] | None] = {
            name: [] for name in self._video
        }
        self._scales: dict[str, int] = {}
        self.reached_ms: float | None = None
        """Newest frame of the leading rung on the take's timeline."""
        self.frames = 0
        """Frames of the leading rung so far."""

    def feed(self, pipe: str, data: bytes) -> list[PackagerEvent | SlotReady]:
        """Bytes from one pipe. Raises Fmp4Error, PackagerError."""
        items = self._readers[pipe].feed(data)
        if not items:
            return []
        self._note(pipe, items)
        if pipe in self._fed:
            return [event for name in self._fed[pipe] for event in self._picture(name, items)]
        return self._sound_in(pipe, items)

    def flush(self, end: bool) -> list[PackagerEvent | SlotReady]:
        """The pipes have ended; see ``Packager.flush``."""
        return self._packager.flush(end)

    def _note(self, pipe: str, items: Sequence[InitSection | Fragment]) -> None:
        if pipe != self._leader:
            return
        for item in items:
            if isinstance(item, InitSection):
                self._scales[pipe] = item.tracks[0].timescale
                continue
            for sample in item.samples:
                at = sample.dts if pipe in self._copied else sample.dts + sample.cts
                reached = at * 1000 / self._scales[pipe]
                self.reached_ms = max(reached, self.reached_ms or 0.0)
                self.frames += 1

    def _picture(
        self, pipe: str, items: Sequence[InitSection | Fragment]
    ) -> list[PackagerEvent | SlotReady]:
        held = self._held[pipe]
        if held is None:
            return self._packager.feed(pipe, items)
        held.extend(items)
        return self._release(pipe)

    def _sound_in(
        self, pipe: str, items: Sequence[InitSection | Fragment]
    ) -> list[PackagerEvent | SlotReady]:
        out = self._packager.feed(pipe, items)
        if not self._wants_sound:
            return out
        for item in items:
            if isinstance(item, InitSection):
                self._sound = _as_second_track(item)
        fragments = [_as_second(i) for i in items if isinstance(i, Fragment)]
        for name, held in self._held.items():
            if held is None:
                out += self._packager.feed(name, fragments)
            else:
                held.extend(fragments)
                out += self._release(name)
        return out

    def _release(self, pipe: str) -> list[PackagerEvent | SlotReady]:
        """Let a rung's held items go once both its tracks have been described."""
        held = self._held[pipe] or []
        section = next((i for i in held if isinstance(i, InitSection)), None)
        if section is None or (self._wants_sound and self._sound is None):
            limit = HELD_PICTURES if self._sound is None else HELD_SOUNDS
            if len(held) > limit:
                missing = "sound" if self._sound is None else "picture"
                raise PackagerError(f"{pipe}: {len(held)} fragments wait for {missing}")
            return []
        self._held[pipe] = None
        if self._sound is not None:
            section = InitSection(section.data, [*section.tracks, self._sound])
        return self._packager.feed(pipe, [section, *(i for i in held if isinstance(i, Fragment))])


def _as_second_track(section: InitSection) -> Track:
    track = section.track("audio")
    if track is None:
        raise PackagerError("the sound pipe has no sound track")
    return msgspec.structs.replace(track, track_id=AUDIO_TRACK)


def _as_second(fragment: Fragment) -> Fragment:
    return Fragment(
        fragment.sequence,
        [
            Sample(AUDIO_TRACK, s.dts, s.cts, s.duration, s.is_sync, s.data)
            for s in fragment.samples
        ],
    )
