"""Smart cuts under test: sources as they are registered, and what must be true of every cut."""

from __future__ import annotations

import bisect
import math
import random
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from numpy.typing import NDArray

from catalog.models import Rendition
from infra.storage.folder import FolderStorage
from tests.support.media import Footage, make_footage, read_beeps, read_picture
from transcode.fmp4.boxes import box_header
from vod.footage import Blob, Part
from vod.smartcut import CutResult, Piece, cut
from vod.tools import Tools

TICKS = 90_000
PSNR_LEAST = 40.0
SYNC_SECONDS = 0.010

_OPEN_GOP = "open-gop=1:b-adapt=0:ref=4"
KINDS: dict[str, Footage] = {
    "closed": Footage(20, b_frames=2),
    "no B": Footage(20),
    "Baseline": Footage(20, gop_seconds=1, video_args=("-profile:v", "baseline")),
    "open": Footage(
        20, b_frames=3, video_args=("-x264-params", f"{_OPEN_GOP}:b-pyramid=normal")
    ),
    "open, short groups": Footage(
        20, b_frames=2, gop_seconds=1.2,
        video_args=("-x264-params", "open-gop=1:b-pyramid=none:ref=2"),
    ),
    "29.97": Footage(
        20, Fraction(30000, 1001), b_frames=3,
        video_args=("-x264-params", "b-adapt=1:b-pyramid=normal:ref=3"),
    ),
    "HEVC": Footage(
        20, b_frames=3,
        video_args=(
            "-c:v", "libx265", "-profile:v", "main", "-x265-params", "open-gop=0:log-level=error",
        ),
    ),
    "HEVC open": Footage(
        20, b_frames=3,
        video_args=(
            "-c:v", "libx265", "-profile:v", "main",
            "-x265-params", "open-gop=1:keyint=48:min-keyint=48:log-level=error",
        ),
    ),
}  # fmt: skip
VFR = "VFR"
"""Made of "closed" with frames left out."""


@dataclass(slots=True)
class CutSource:
    """A file in storage as registered segments, and what it decodes to."""

    path: Path
    made_of: Path
    """The progressive file that it was made of."""
    init: Blob
    segments: list[tuple[int, Blob]]
    """(tick that the first picture of it is decoded at, bytes)."""
    shown: list[tuple[int, int]] = field(default_factory=list)
    """(tick, number) of every picture, in order."""
    luma: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    """Of each tick, when it was asked for."""
    packets: dict[int, bytes] = field(default_factory=dict)

    def parts(self, start: int, stop: int) -> list[Part]:
        """What ``plan_parts`` would give: segments from one before to one after."""
        begins = [begin for begin, _ in self.segments]
        first = max(0, sum(begin <= start for begin in begins) - 2)
        last = sum(begin < stop for begin in begins) + 1
        return [Part(Rendition(name="v"), self.init, [b for _, b in self.segments[first:last]])]

    def piece(self, start: int, stop: int) -> Piece:
        return Piece(self.parts(start, stop), [], start, stop)

    def expected(self, start: int, stop: int) -> list[tuple[int, int]]:
        return [(tick, number) for tick, number in self.shown if start <= tick < stop]

    @property
    def begin(self) -> int:
        return self.shown[0][0]

    @property
    def end(self) -> int:
        return self.shown[-1][0] + 1


class CutRig:
    """A folder of sources and a folder to cut in."""

    def __init__(self, ffmpeg: str, folder: Path) -> None:
        self.ffmpeg = ffmpeg
        self.folder = folder
        self.storage = FolderStorage(folder / "storage")
        self._sources: dict[str, CutSource] = {}

    def tools(self) -> Tools:
        """The two that a cut asks for."""

        class Few:
            storage = self.storage
            ffmpeg = self.ffmpeg

        return cast(Tools, Few())

    def made(self, kind: str, *, size: tuple[int, int] = (320, 180)) -> CutSource:
        """The source of a kind of ``KINDS``, or VFR."""
        if kind not in self._sources:
            name = re.sub(r"\W+", "-", kind)
            path = self.folder / f"{name}.mp4"
            if kind == VFR:
                self._vary(self.folder / "closed.mp4", path)
            else:
                make_footage(self.ffmpeg, path, _sized(KINDS[kind], size))
            self._sources[kind] = self.registered(path)
        return self._sources[kind]

    def _vary(self, source: Path, target: Path) -> None:
        """Every frame at its own time, but some left out."""
        self.made("closed")
        self.run(
            "-i", str(source), "-vf", r"select=gt(mod(n*n\,7)\,1)", "-fps_mode", "vfr",
            "-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-g", "40", "-c:a", "copy",
            str(target),
        )  # fmt: skip

    def run(self, *argv: str) -> str:
        """FFmpeg to its end; its warnings."""
        done = subprocess.run(
            [self.ffmpeg, "-hide_banner", "-nostdin", "-v", "warning", "-y", *argv],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stderr

    def registered(self, path: Path, *, pictures: bool = True) -> CutSource:
        """Put a file into storage as the packager would: fragments, a segment from each key
        picture on, 2 s or more."""
        target = self.storage.root / f"{path.stem}.frag.mp4"
        self.run(
            "-copyts", "-i", str(path), "-c", "copy", "-f", "mp4", "-movflags",
            "empty_moov+default_base_moof+frag_discont+skip_trailer+frag_keyframe",
            "-frag_duration", "480000", "-video_track_timescale", "90000", "-use_editlist", "0",
            "-avoid_negative_ts", "disabled", "-map_metadata", "-1", str(target),
        )  # fmt: skip
        source = _segmented(target, path, self.storage)
        if pictures:
            _decode(target, source)
        return source

    def cut(self, pieces: list[Piece], **more: Any) -> CutResult:
        folder = self.folder / "work"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        return cut(self.tools(), pieces, folder, **more)

    def rendition(self, result: CutResult) -> Path:
        """The HLS face as one file, by its byte ranges alone."""
        data = result.mp4.read_bytes()
        init = data[result.init_offset : result.init_offset + len(result.finished.init)]
        assert init == result.finished.init
        ranges = [data[s.offset : s.offset + s.size] for s in result.finished.segments]
        path = result.mp4.with_name("rendition.mp4")
        path.write_bytes(init + b"".join(ranges))
        return path

    def warnings(self, path: Path) -> str:
        """What FFmpeg says while it decodes all of a file."""
        return self.run("-i", str(path), "-f", "null", "-")


def _sized(footage: Footage, size: tuple[int, int]) -> Footage:
    return Footage(
        footage.seconds, footage.fps, size, b_frames=footage.b_frames, preset="veryfast",
        gop_seconds=footage.gop_seconds, sample_rate=48_000, video_args=footage.video_args,
    )  # fmt: skip


def _segmented(path: Path, made_of: Path, storage: FolderStorage) -> CutSource:
    key, size = path.relative_to(storage.root).as_posix(), path.stat().st_size
    with av.open(str(path)) as container:
        video = container.streams.video
        keys = [
            (packet.pos or 0, int(packet.dts * packet.time_base * TICKS))
            for packet in container.demux(video[0])
            if packet.is_keyframe and packet.dts is not None and packet.time_base
        ] if video else []  # fmt: skip
    moofs: list[int] = []
    at = init = 0
    with path.open("rb") as file:
        while header := box_header(file.read(16), 0, 16) if at < size else None:
            if header[0] == b"moov":
                init = at + header[2]
            elif header[0] == b"moof":
                moofs.append(at)
            at += header[2]
            file.seek(at)
    starts: list[tuple[int, int]] = []
    for position, tick in keys or [(size, 0)]:
        moof = moofs[bisect.bisect_left(moofs, position) - 1] if keys else moofs[0]
        if not starts or (tick - starts[-1][0] >= 2 * TICKS and moof > starts[-1][1]):
            starts.append((tick, moof))
    ends = [moof for _, moof in starts[1:]] + [size]
    segments = [
        (tick, Blob(key, moof, end - moof)) for (tick, moof), end in zip(starts, ends, strict=True)
    ]
    return CutSource(path, made_of, Blob(key, 0, init), segments)


def _decode(path: Path, source: CutSource) -> None:
    for tick, luma in _pictures(path):
        number = read_picture(luma)[0]
        assert number is not None
        source.shown.append((tick, number))
        source.luma[tick] = luma
    source.packets = _packets(path)


def _pictures(path: Path) -> list[tuple[int, NDArray[np.uint8]]]:
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        return [
            (_ticks(frame.pts, frame.time_base), _luma(frame)) for frame in container.decode(stream)
        ]


def _luma(frame: av.VideoFrame) -> NDArray[np.uint8]:
    plane = frame.planes[0]
    rows = np.frombuffer(bytes(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : frame.width].copy()


def _ticks(pts: int | None, base: Fraction | None) -> int:
    assert pts is not None
    assert base is not None
    return int(pts * base * TICKS)


def _packets(path: Path) -> dict[int, bytes]:
    """Coded pictures by the tick they are shown at."""
    with av.open(str(path)) as container:
        return {
            _ticks(packet.pts, packet.time_base): bytes(packet)
            for packet in container.demux(container.streams.video[0])
            if packet.size
        }


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of one cut; an empty ``faults`` is a good one."""

    faults: list[str]
    psnr: float
    """The worst of the encoded frames, dB; infinite without any."""
    sync: float
    """How far sound and picture are from each other, less than they were in the source; s."""


def judge(rig: CutRig, source: CutSource, start: int, stop: int, result: CutResult) -> Verdict:
    """Everything that must be true of a cut of one piece."""
    expected = source.expected(start, stop)
    zero = expected[0][0]
    wanted = [tick - zero for tick, _ in expected]
    faults: list[str] = []
    shown = _pictures(result.mp4)
    numbers = [read_picture(luma)[0] for _, luma in shown]
    if numbers != [number for _, number in expected]:
        faults.append(
            f"frames {numbers[:2]}…{numbers[-2:]} instead of {expected[0]}…{expected[-1]}"
        )
        return Verdict(faults, 0.0, 0.0)
    if [tick for tick, _ in shown] != wanted or result.frames != wanted:
        faults.append("times")
    rendition = rig.rendition(result)
    if [(tick, read_picture(luma)[0]) for tick, luma in _pictures(rendition)] != list(
        zip(wanted, numbers, strict=True)
    ):
        faults.append("rendition")
    for path in (result.mp4, rendition):
        if words := rig.warnings(path).strip():
            faults.append(f"{path.name}: {words[:200]}")
    packets = _packets(result.mp4)
    same = {tick for tick in wanted if packets[tick] == source.packets[tick + zero]}
    if len(same) != result.copied_frames:
        faults.append(f"{len(same)} pictures are the source's, {result.copied_frames} counted")
    if result.copied_frames + result.encoded_frames != len(expected):
        faults.append("counts")
    for tick, luma in shown:
        if tick in same and not np.array_equal(luma, source.luma[tick + zero]):
            faults.append(f"the copied picture at {tick} decodes to another")
            break
    worst = min(
        (_psnr(luma, source.luma[tick + zero]) for tick, luma in shown if tick not in same),
        default=math.inf,
    )
    return Verdict(faults, worst, _sync(source, zero, len(shown), result))


def _psnr(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> float:
    error = float(np.mean((one.astype(np.float32) - other.astype(np.float32)) ** 2))
    return 10 * math.log10(255 * 255 / error) if error else math.inf


def _sync(source: CutSource, zero: int, frames: int, result: CutResult) -> float:
    """Beeps must lie where the source has them beside its pictures."""
    if frames < 25:
        return 0.0
    here = read_beeps(result.mp4)
    there = [beep - zero / TICKS for beep in read_beeps(source.path)]
    inside = [beep for beep in here if 0.05 < beep < result.duration / TICKS - 0.15]
    return max((min(abs(beep - other) for other in there) for beep in inside), default=0.0)


def random_cuts(source: CutSource, count: int, seed: int) -> list[tuple[int, int]]:
    """In and out points: anywhere, on frame times, and one frame long."""
    dice = random.Random(seed)
    cuts: list[tuple[int, int]] = []
    while len(cuts) < count:
        start = dice.randrange(source.begin, source.end)
        stop = dice.randrange(start + 1, source.end + 3600)
        if dice.random() < 0.3:
            start = dice.choice(source.shown)[0]
        if dice.random() < 0.3:
            stop = dice.choice(source.shown)[0]
        if source.expected(start, stop):
            cuts.append((start, stop))
    return cuts
