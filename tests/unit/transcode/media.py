"""Small generated media, and what the packager made of it, for the tests of this folder."""

from __future__ import annotations

import io
import random
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import imageio_ffmpeg

from transcode.fmp4.boxes import make, make_full
from transcode.fmp4.model import Fragment, InitSection, Sample, Track
from transcode.fmp4.reader import OUTPUT_FLAGS, FragmentReader
from transcode.hls.events import (
    GopTooLong,
    Hole,
    InitReady,
    PartReady,
    ResumePoint,
    RungSpec,
    RunTiming,
    SegmentReady,
    SlotReady,
)
from transcode.hls.head import TIMESCALE
from transcode.hls.packager import Packager

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
FMP4 = ["-frag_duration", "120000", *OUTPUT_FLAGS]


def ffmpeg(*args: str, stdin: bytes = b"") -> bytes:
    """Run FFmpeg; it must have nothing to complain about."""
    done = subprocess.run(
        [FFMPEG, "-v", "error", "-y", *args], input=stdin, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode()
    return done.stdout


def make_flv(
    path: Path, seconds: float, fps: str = "25", gop: int = 50, bframes: int = 0, rate: int = 44100
) -> Path:
    """A feed as an encoder would send it: H.264 and AAC in FLV, times rounded to milliseconds."""
    ffmpeg(
        "-f", "lavfi", "-i", f"testsrc2=s=192x108:r={fps}",
        "-f", "lavfi", "-i", f"sine=f=440:r={rate}",
        "-t", str(seconds), "-c:v", "libx264", "-preset", "ultrafast", "-bf", str(bframes),
        "-g", str(gop), "-keyint_min", str(gop), "-sc_threshold", "0", "-c:a", "aac",
        "-f", "flv", str(path),
    )  # fmt: skip
    return path


def transmux(flv: Path, *before: str, codec: Sequence[str] = ("-c", "copy")) -> bytes:
    """One rung: the feed as fragmented MP4, as the live job asks FFmpeg for it."""
    return ffmpeg("-copyts", *before, "-i", str(flv), "-map", "0", *codec, *FMP4, "pipe:1")


def audio_only(flv: Path, *before: str) -> bytes:
    """The audio rung."""
    return ffmpeg("-copyts", *before, "-i", str(flv), "-map", "0:a", "-c", "copy", *FMP4, "pipe:1")


def read_items(data: bytes) -> list[InitSection | Fragment]:
    """All of a pipe's output."""
    return FragmentReader().feed(data)


@dataclass
class Output:
    """Everything a packager said, sorted."""

    inits: dict[str, InitReady] = field(default_factory=dict)
    parts: list[PartReady] = field(default_factory=list)
    segments: list[SegmentReady] = field(default_factory=list)
    slots: list[SlotReady] = field(default_factory=list)
    too_long: list[GopTooLong] = field(default_factory=list)
    holes: list[Hole] = field(default_factory=list)

    def add(self, events: Iterable[object]) -> None:
        for event in events:
            if isinstance(event, InitReady):
                self.inits[event.rendition] = event
            elif isinstance(event, PartReady):
                self.parts.append(event)
            elif isinstance(event, SegmentReady):
                self.segments.append(event)
            elif isinstance(event, SlotReady):
                self.slots.append(event)
            elif isinstance(event, GopTooLong):
                self.too_long.append(event)
            elif isinstance(event, Hole):
                self.holes.append(event)

    def of(self, rung: str) -> list[SegmentReady]:
        return [segment for segment in self.segments if segment.rendition == rung]

    def file(self, rung: str) -> bytes:
        """Init section and all segments: what a player would have put together."""
        return self.inits[rung].data + b"".join(segment.data for segment in self.of(rung))


def timing(
    part_ms: int = 500,
    segment_s: float = 2,
    target_s: int = 4,
    take_start: int = 0,
    air_start: int = 0,
) -> RunTiming:
    """A RunTiming in handy units."""
    return RunTiming(part_ms * 90, int(segment_s * TIMESCALE), target_s, take_start, air_start)


def package(
    rungs: dict[str, list[InitSection | Fragment]],
    run: RunTiming,
    resume: ResumePoint | None = None,
    end: bool = True,
) -> Output:
    """Feed the rungs in turn, fragment by fragment, as their pipes would."""
    specs = [RungSpec(name, "audio" if name == "a" else "video") for name in rungs]
    packager = Packager(specs, run, resume or ResumePoint(0, run.air_start))
    out = Output()
    for index in range(max(len(items) for items in rungs.values())):
        for name, items in rungs.items():
            out.add(packager.feed(name, items[index : index + 1]))
    out.add(packager.flush(end))
    return out


def decode(data: bytes, kind: str = "video") -> list[Fraction]:
    """Presentation times, in seconds, of every frame that decodes."""
    with av.open(io.BytesIO(data), "r") as container:
        stream = next(s for s in container.streams if s.type == kind)
        base = stream.time_base
        assert base is not None
        return sorted(
            frame.pts * base for frame in container.decode(stream) if frame.pts is not None
        )


def plays_silently(data: bytes) -> None:
    """FFmpeg decodes it all without a word."""
    ffmpeg("-xerror", "-i", "pipe:0", "-map", "0", "-f", "null", "-", stdin=data)


# Made-up samples: no codec, only times.

_ENTRY = make(b"avc1", bytes(78), make(b"avcC", bytes.fromhex("0142c00cffe100")))
_SOUND = make(
    b"mp4a",
    bytes(16) + bytes([0, 2, 0, 16, 0, 0, 0, 0]) + (48000 << 16).to_bytes(4, "big"),
    make_full(b"esds", 0, 0),
)


def video_init(sound: bool = False) -> InitSection:
    """Track 1 video in milliseconds; track 2 audio at 48 kHz when wanted."""
    tracks = [Track(1, "video", 1000, "avc1.42c00c", _ENTRY, 1920, 1080)]
    if sound:
        tracks.append(Track(2, "audio", 48000, "mp4a.40.2", _SOUND, sample_rate=48000, channels=2))
    return InitSection(b"", tracks)


def audio_init() -> InitSection:
    """Track 1 audio at 48 kHz."""
    return InitSection(
        b"", [Track(1, "audio", 48000, "mp4a.40.2", _SOUND, sample_rate=48000, channels=2)]
    )


def video_samples(
    fps: Fraction, seconds: float, gop: int, jitter: int = 0, seed: int = 0, start_ms: int = 0
) -> list[Sample]:
    """Frames in whole milliseconds, off by up to ``jitter`` ms at random."""
    chance = random.Random(seed)
    count = int(seconds * fps)
    times = [
        round(1000 * index / fps) + (chance.randint(-jitter, jitter) if index % gop else 0)
        for index in range(count + 1)
    ]
    return [
        Sample(1, times[i] + start_ms, 0, times[i + 1] - times[i], i % gop == 0, b"v%d" % i)
        for i in range(count)
    ]


def audio_samples(seconds: float, track: int = 1, start_ms: int = 0) -> list[Sample]:
    """AAC frames whose times went through FLV's milliseconds."""
    count = int(seconds * 48000 / 1024)
    times = [round(index * 1024 / 48) + start_ms for index in range(count + 1)]
    return [
        Sample(track, times[i] * 48, 0, (times[i + 1] - times[i]) * 48, True, b"a%d" % i)
        for i in range(count)
    ]


def fragments(samples: Sequence[Sample], every_ms: int = 120) -> list[InitSection | Fragment]:
    """Samples as FFmpeg would group them: what begins within each stretch of time."""

    def at(sample: Sample) -> int:
        return sample.dts if sample.data[:1] == b"v" else sample.dts // 48

    groups: dict[int, list[Sample]] = {}
    for sample in samples:
        groups.setdefault(at(sample) // every_ms, []).append(sample)
    return [Fragment(key, groups[key]) for key in sorted(groups)]
