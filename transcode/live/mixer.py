"""The mixer: joins a run's picture pipes with its one sound pipe, and feeds the packager. Pure.

FFmpeg writes each picture rung without sound and the sound once; here every picture rung gets
the sound as its second track, so that one variant plays alone on any phone. One pipe may be more
than one rung (`Rung.same_as`).

The packager takes sound that runs ahead for a hole in the picture, as when a phone's camera app
goes to the background. So the pipes are merged by time: after a second in which nobody read (a
frozen process, a slow disk) the whole sound comes at once, the picture bit by bit, and only a pipe
that was empty when it was looked at may be left behind.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Mapping, Sequence

import msgspec

from transcode.fmp4.model import Fragment, InitSection, Sample, Track
from transcode.fmp4.reader import FragmentReader
from transcode.hls.events import PackagerError, PackagerEvent, SlotReady
from transcode.hls.packager import Packager
from transcode.ladder import Ladder

AUDIO_TRACK = 2
# Pictures held until the sound's description has come, and until every rung has one: 10 s at 25
# frames a second.
HELD_PICTURES = 250
# Sounds held until every rung has a picture: three minutes.
HELD_SOUNDS = 8_000
AHEAD_MS = 1_000
"""How far a pipe may be ahead of another that still gives: less than what the packager takes for a
hole, more than what FFmpeg's queues hold, so that nothing waits while all goes well."""


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
        self._queues: dict[str, deque[tuple[float, InitSection | Fragment]]] = {
            rung.name: deque() for rung in ladder.made
        }
        self._newest: dict[str, float] = {}
        """Milliseconds, by pipe: how far it has been read."""
        self._unbegun = set(self._fed)
        """Picture pipes that have given none yet."""
        self.reached_ms: float | None = None
        """Newest frame of the leading rung on the take's timeline."""
        self.frames = 0
        """Frames of the leading rung so far."""

    def feed(self, chunks: Mapping[str, bytes]) -> list[PackagerEvent | SlotReady]:
        """One look at all pipes: the bytes of those that had any. Raises Fmp4Error,
        PackagerError."""
        for pipe, data in chunks.items():
            items = self._readers[pipe].feed(data)
            self._queues[pipe].extend((self._time(pipe, item), item) for item in items)
            self._note(pipe, items)
        return self._let_go(self._limit(chunks))

    def flush(self, end: bool) -> list[PackagerEvent | SlotReady]:
        """The pipes have ended; see ``Packager.flush``."""
        self._unbegun.clear()
        return self._let_go(math.inf) + self._packager.flush(end)

    def _time(self, pipe: str, item: InitSection | Fragment) -> float:
        """Where an item belongs in the order of time, milliseconds."""
        if isinstance(item, InitSection):
            self._scales[pipe] = item.tracks[0].timescale
            return -math.inf
        at = self._newest.get(pipe, 0.0)
        if item.samples:
            at = item.samples[0].dts * 1000 / self._scales[pipe]
            self._newest[pipe] = item.samples[-1].dts * 1000 / self._scales[pipe]
            self._unbegun.discard(pipe)
        return at

    def _limit(self, heard: Collection[str]) -> float:
        """Up to when items may go: those that gave something just now may have more."""
        return min(
            (self._newest[p] + AHEAD_MS for p in heard if p in self._newest), default=math.inf
        )

    def _let_go(self, limit: float) -> list[PackagerEvent | SlotReady]:
        out: list[PackagerEvent | SlotReady] = []
        while ready := [pipe for pipe in self._queues if self._may_go(pipe)]:
            first = min(ready, key=lambda pipe: self._queues[pipe][0][0])
            if self._queues[first][0][0] > limit:
                break
            _, item = self._queues[first].popleft()
            if first in self._fed:
                for name in self._fed[first]:
                    out += self._picture(name, [item])
            else:
                out += self._sound_in(first, [item])
        return out

    def _may_go(self, pipe: str) -> bool:
        """Frames wait until every picture pipe has one: a run that starts late in a GOP decodes
        it all first, while what is only copied comes at once."""
        queue = self._queues[pipe]
        if not queue or not self._unbegun or isinstance(queue[0][1], InitSection):
            return bool(queue)
        limit = HELD_PICTURES if pipe in self._fed else HELD_SOUNDS
        if len(queue) > limit:
            missing = ", ".join(sorted(self._unbegun))
            raise PackagerError(f"{pipe}: {len(queue)} fragments wait for {missing}, limit {limit}")
        return False

    def _note(self, pipe: str, items: Sequence[InitSection | Fragment]) -> None:
        if pipe != self._leader:
            return
        for item in items:
            if isinstance(item, InitSection):
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
            if len(held) > HELD_PICTURES:
                raise PackagerError(f"{pipe}: {len(held)} pictures wait for sound")
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
