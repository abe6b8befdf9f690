"""What comes in, as the ladder needs to know it: a feed's picture and sound, described purely."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """The picture. Sizes in pixels as coded; ``sample_aspect`` is SAR."""

    codec: str
    profile: str
    level: int
    """H.264 level times ten, e.g. 41; 0 when unknown."""
    width: int
    height: int
    frame_rate: Fraction
    pixel_format: str
    interlaced: bool
    sample_aspect: Fraction = Fraction(1)

    @property
    def display_width(self) -> int:
        """Width with square pixels."""
        return round(self.width * self.sample_aspect)

    @property
    def short_side(self) -> int:
        """What people call a picture's size: the 720 of 720p, upright pictures included."""
        return min(self.display_width, self.height)


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """The sound. ``bit_rate`` in bits per second, 0 when unknown."""

    codec: str
    profile: str
    sample_rate: int
    channels: int
    bit_rate: int


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """A feed as probed."""

    video: VideoInfo | None
    audio: AudioInfo | None
    bit_rate: int
    """Of everything, measured over the probed bytes, bits per second; 0 when unknown."""
    gop_ms: int | None
    """Longest distance of key frames seen; None when a second one has not come yet."""
    open_gop: bool = False
    """A key frame was seen that is no IDR picture: not every player can begin there."""
    first_shown_ms: int | None = None
    """When the first picture is shown, on the take's timeline: later than it is decoded when
    the encoder reorders frames."""


@dataclass(frozen=True, slots=True)
class FileInfo:
    """A file somebody sent, as probed. Ticks are 1/90 000 s on the file's own clock."""

    container: str
    """FFmpeg's name of its format, e.g. "mov,mp4,m4a,3gp,3g2,mj2"."""
    start_ticks: int
    duration_ticks: int
    source: SourceInfo
    """Its picture (there always is one) and first sound."""
    video_index: int
    """Number of the stream that is the picture; others (a cover, say) are left out."""
    audio_index: int | None
    rotation: int
    """Degrees the picture is turned when it is shown, counter-clockwise: -90, 90, 180 …"""
    streams: int
