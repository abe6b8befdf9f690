"""The ladder: which rungs a feed is given, from what comes in and what the machine can hold.

Pure. Sizes follow the short side, so an upright picture gets the same names as a wide one.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from typing import Any

from transcode.source import AudioInfo, SourceInfo, VideoInfo

SEGMENT_SECONDS = 2
COPY_GOP_MAX_MS = 4_000
COPY_BITRATE_MAX = 8_000_000
AUDIO_COPY_MAX = 192_000
AUDIO_ENCODE_RATE = 96_000

_COPY_PROFILES = {"Baseline", "Constrained Baseline", "Main", "High"}

# (short side, bits per second at up to 30 frames a second, cost in cores of a 25 fps encode).
# Costs are of x264 veryfast with the options in ffmpeg/arguments.py on one 2020s server core;
# bench/cost.py measures them again.
_RUNGS: tuple[tuple[int, int, float], ...] = (
    (1080, 4_500_000, 0.95),
    (720, 2_400_000, 0.45),
    (480, 1_000_000, 0.24),
    (360, 550_000, 0.14),
)
_DECODE_COST_1080 = 0.12
# Of each core, what live encoding may take; the rest is the encoder's peaks and everything else.
_LIVE_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Rung:
    """One rendition to make. ``bit_rate`` is the cap of an encoded one (VBV), bits per second."""

    name: str
    kind: str
    copied: bool
    width: int = 0
    height: int = 0
    bit_rate: int = 0
    cost: float = 0.0
    same_as: str = ""
    """Not made: it carries what the rung of this name does."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """The rungs of one run, tallest first, and how their segments are cut."""

    rungs: tuple[Rung, ...]
    follow_source_keys: bool
    """True: the copied rung's key frames cut for all. False: forced every SEGMENT_SECONDS."""
    deinterlace: bool
    copy_audio: bool
    advice: tuple[str, ...]
    """Codes of what the technician could change; the desk has the words."""

    @property
    def video(self) -> tuple[Rung, ...]:
        return tuple(r for r in self.rungs if r.kind == "video")

    @property
    def made(self) -> tuple[Rung, ...]:
        """Those that are FFmpeg's work."""
        return tuple(r for r in self.rungs if not r.same_as)

    @property
    def has_audio(self) -> bool:
        return any(r.kind == "audio" for r in self.rungs)

    def without(self, name: str) -> Ladder:
        """The same ladder with one rung no longer made: its name, and those that carried it,
        carry the next lower one. Where there is none they are left out."""
        made = [r for r in self.made if r.name != name]
        pictures = [r for r in made if r.kind == "video"]
        pictures += _twins([r.name for r in self.video], pictures)
        return Ladder(
            (*pictures, *(r for r in made if r.kind != "video")),
            self.follow_source_keys,
            self.deinterlace,
            self.copy_audio,
            (*self.advice, "rung_dropped"),
        )

    def costliest(self) -> str | None:
        """The encoded rung to give up first; None when nothing is left to give up."""
        encoded = [r for r in self.video if not (r.copied or r.same_as)]
        if not encoded or (len(encoded) == 1 and not any(r.copied for r in self.video)):
            return None
        return max(encoded, key=lambda r: r.cost).name

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Ladder:
        return cls(
            rungs=tuple(Rung(**rung) for rung in data["rungs"]),
            follow_source_keys=data["follow_source_keys"],
            deinterlace=data["deinterlace"],
            copy_audio=data["copy_audio"],
            advice=tuple(data["advice"]),
        )


def _scaled(video: VideoInfo, short_side: int) -> tuple[int, int]:
    """Even width and height with square pixels for a short side."""
    wide = video.display_width >= video.height
    ratio = Fraction(video.display_width, video.height)
    if wide:
        return 2 * round(short_side * ratio / 2), short_side
    return short_side, 2 * round(short_side / ratio / 2)


def can_copy(source: SourceInfo, *, longest_segment: int | None) -> tuple[bool, str | None]:
    """Whether the top rung may be the source itself, and else the code of the reason."""
    video = source.video
    if video is None or video.codec != "h264":
        return False, "codec_not_h264"
    if video.profile not in _COPY_PROFILES or video.pixel_format not in ("yuv420p", "yuvj420p"):
        return False, "profile_too_high"
    if video.interlaced:
        return False, "interlaced"
    if source.gop_ms is None or source.gop_ms > COPY_GOP_MAX_MS:
        return False, "keyframe_interval_long"
    if longest_segment is not None and source.gop_ms >= longest_segment * 1000 + 500:
        return False, "keyframe_interval_long"
    if source.open_gop:
        return False, "open_gop"
    if source.bit_rate > COPY_BITRATE_MAX:
        return False, "bitrate_high"
    return True, None


def can_copy_audio(audio: AudioInfo) -> bool:
    """AAC-LC of at most two channels and a moderate rate goes out as it came."""
    return (
        audio.codec == "aac"
        and audio.profile in ("LC", "")
        and audio.channels in (1, 2)
        and audio.sample_rate in (44_100, 48_000, 32_000, 24_000, 22_050)
        and audio.bit_rate <= AUDIO_COPY_MAX
    )


def _side(name: str) -> int:
    """Short side of a picture rung."""
    return int(name.removeprefix("v"))


def _pictures(names: Collection[str]) -> list[str]:
    return sorted((n for n in names if n.startswith("v")), key=_side, reverse=True)


def _rungs_with(on_air: Collection[str]) -> list[tuple[int, int, float]]:
    """The usual rungs, and those that a copied source of unusual size has put on air."""
    rungs = {side: (bits, cost) for side, bits, cost in _RUNGS}
    for name in _pictures(on_air):
        side = _side(name)
        near, bits, cost = min(_RUNGS, key=lambda rung: abs(rung[0] - side))
        share = (side / near) ** 2
        rungs.setdefault(side, (round(bits * share), cost * share))
    return [(side, *rungs[side]) for side in sorted(rungs, reverse=True)]


def _twins(on_air: Collection[str], rungs: list[Rung]) -> list[Rung]:
    """Under each name on air that is not made, the tallest of those made that is no taller."""
    made = {rung.name for rung in rungs}
    twins = []
    for name in _pictures(on_air):
        lower = [rung for rung in rungs if _side(rung.name) < _side(name)]
        if name not in made and lower:
            best = max(lower, key=lambda rung: _side(rung.name))
            twins.append(replace(best, name=name, cost=0.0, same_as=best.name))
    return twins


def choose_ladder(
    source: SourceInfo,
    *,
    cores: int,
    sharing: int = 1,
    wanted: Collection[str] = (),
    longest_segment: int | None = None,
    on_air: Collection[str] = (),
) -> Ladder:
    """The rungs for a feed.

    ``cores`` are the machine's, ``sharing`` the broadcasts it transcodes at once, ``wanted``
    the operator's own choice of names (empty: choose), ``longest_segment`` the broadcast's
    EXT-X-TARGETDURATION in seconds when an earlier run has fixed it. ``on_air`` are the rungs
    viewers have chosen from already: each goes on, and what is not made (the picture that comes
    in now is smaller) carries the next lower one. Players read the list of rungs once, and few
    can step over a hole.
    """
    advice: list[str] = []
    rungs: list[Rung] = []
    follow = False
    deinterlace = False
    budget = cores * _LIVE_SHARE / max(1, sharing)
    video = source.video
    if video is not None:
        follow, reason = can_copy(source, longest_segment=longest_segment)
        if reason is not None:
            advice.append(reason)
        deinterlace = video.interlaced
        rate = min(2.0, max(0.4, float(video.frame_rate) / 25))
        budget -= _DECODE_COST_1080 * rate * video.width * video.height / (1920 * 1080)
        if follow:
            name = f"v{video.short_side}"
            rungs.append(Rung(name, "video", True, video.width, video.height, source.bit_rate))
        for side, bits, cost in _rungs_with(on_air):
            name = f"v{side}"
            if wanted and name not in wanted and name not in on_air:
                continue
            taller = side >= video.short_side if follow else side > max(video.short_side, 360)
            cost *= rate
            first = not rungs
            needed = side <= 480 and (first or name in on_air)
            dear = cost > budget and not (wanted or needed)
            if taller or dear:
                continue
            side = min(side, video.short_side)
            name = f"v{side}"
            width, height = _scaled(video, side - side % 2)
            bits = int(bits * (1.4 if rate > 1.3 else 1))
            rungs.append(Rung(name, "video", False, width, height, bits, round(cost, 3)))
            budget -= cost
        rungs += _twins(on_air, rungs)
    copy_audio = False
    if source.audio is not None:
        copy_audio = can_copy_audio(source.audio)
        bits = source.audio.bit_rate if copy_audio else AUDIO_ENCODE_RATE
        rungs.append(Rung("a", "audio", copy_audio, bit_rate=bits or AUDIO_ENCODE_RATE))
    return Ladder(tuple(rungs), follow, deinterlace, copy_audio, tuple(advice))


def segment_seconds(ladder: Ladder, gop_ms: int | None) -> int:
    """EXT-X-TARGETDURATION for a broadcast that begins with this ladder."""
    if not ladder.follow_source_keys or not gop_ms:
        return SEGMENT_SECONDS
    gops = max(1, round(SEGMENT_SECONDS * 1000 / gop_ms))
    # EXTINF is compared rounded to whole seconds (rfc8216bis §4.4.3.1).
    return max(SEGMENT_SECONDS, (gops * gop_ms + 500) // 1000)
