"""Probe: what a take's first bytes hold, read with PyAV out of memory; and what a file that
somebody sent holds, looked at by a confined process (``transcode.look``)."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Callable, Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import av
import av.error

from catalog.errors import Refused
from transcode.ffmpeg.process import FFmpegProcess
from transcode.fmp4.nal import KEY_PEEK_BYTES, is_idr
from transcode.sandbox import (
    MAX_PIXELS,
    UPLOAD_CODECS,
    UPLOAD_FORMATS,
    UPLOAD_STREAMS,
    Limits,
    View,
    launcher,
)
from transcode.source import AudioInfo, FileInfo, SourceInfo, VideoInfo

PROBE_BYTES = 2 * 1024 * 1024

_LOOK: Final = Path(__file__).with_name("look.py")
_ANSWER_MAX: Final = 64 * 1024
_MIB: Final = 1 << 20
_MEMORY: Final = 256 * _MIB
_LOOK_SECONDS: Final = 60.0
_BYTES_A_SECOND: Final = 50 * _MIB
"""A file whose header does not tell its length is read to its end; a slow disk reads so fast."""
_HOUR_TICKS: Final = 3600 * 90_000


class ProbeError(Exception):
    """The bytes are no footage that can be decoded (yet)."""


class ProbeHung(ProbeError):
    """The look took too long and was killed: another time it may not."""


def probe_flv(head: bytes, *, gop_ms: int | None) -> SourceInfo:
    """Describe an FLV take from its preamble and first tags (at most PROBE_BYTES are read)."""
    try:
        # The container is named, so that nothing else FFmpeg knows can be smuggled in.
        with av.open(io.BytesIO(head[:PROBE_BYTES]), mode="r", format="flv") as container:
            return _describe(container, gop_ms)
    except (av.error.FFmpegError, ValueError) as error:
        raise ProbeError(f"footage can't be read: {error}") from error


def open_gop(heads: Iterable[bytes]) -> bool:
    """Whether one of these key frames is no IDR picture. Each head is an FLV take's preamble and
    what comes from a key frame on; of one that cannot be read, nothing is known."""
    return any(_begins_open(head) for head in heads)


def _begins_open(head: bytes) -> bool:
    try:
        with av.open(io.BytesIO(head), mode="r", format="flv") as container:
            video = next(iter(container.streams.video), None)
            for packet in container.demux(video) if video is not None else ():
                if packet.is_keyframe and packet.size:
                    context = packet.stream.codec_context
                    sample = bytes(packet)[:KEY_PEEK_BYTES]
                    return not is_idr(context.name, context.extradata or b"", sample)
    except (av.error.FFmpegError, ValueError):
        pass
    return False


def _describe(container: av.container.InputContainer, gop_ms: int | None) -> SourceInfo:
    video = next(iter(container.streams.video), None)
    audio = next(iter(container.streams.audio), None)
    if video is None and audio is None:
        raise ProbeError("no picture and no sound in it")
    sizes = {"video": 0, "audio": 0}
    first: Fraction | None = None
    last = Fraction(0)
    interlaced = False
    decoded = 0
    first_shown: Fraction | None = None
    for packet in container.demux():
        if packet.dts is None or packet.time_base is None:
            continue
        at = packet.dts * packet.time_base
        first = at if first is None else first
        last = max(last, at)
        sizes[packet.stream.type] = sizes.get(packet.stream.type, 0) + packet.size
        if packet.stream is video and first_shown is None and packet.is_keyframe:
            first_shown = (packet.dts if packet.pts is None else packet.pts) * packet.time_base
        if packet.stream is video and decoded < 3:
            try:
                for frame in packet.decode():
                    decoded += 1
                    interlaced = interlaced or bool(getattr(frame, "interlaced_frame", False))
            except av.error.FFmpegError:
                # One damaged frame says nothing about the rest of the show.
                continue
    span = float(last - first) if first is not None else 0.0
    total = int(sum(sizes.values()) * 8 / span) if span > 0.2 else 0
    return SourceInfo(
        video=None if video is None else _video(video, interlaced),
        audio=None if audio is None else _audio(audio, sizes["audio"], span),
        bit_rate=total,
        gop_ms=gop_ms,
        first_shown_ms=None if first_shown is None else round(first_shown * 1000),
    )


def _video(stream: av.VideoStream, interlaced: bool) -> VideoInfo:
    context = stream.codec_context
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    if not context.width or not context.height:
        raise ProbeError("the picture's size is unknown")
    return VideoInfo(
        codec=context.name,
        profile=str(context.profile or ""),
        level=int(getattr(context, "level", 0) or 0),
        width=context.width,
        height=context.height,
        frame_rate=rate if Fraction(1) <= rate <= Fraction(240) else Fraction(25),
        pixel_format=str(context.pix_fmt or ""),
        interlaced=interlaced,
        sample_aspect=stream.sample_aspect_ratio or Fraction(1),
    )


def _audio(stream: av.AudioStream, size: int, span: float) -> AudioInfo:
    context = stream.codec_context
    measured = int(size * 8 / span) if span > 0.2 else 0
    return AudioInfo(
        codec=context.name,
        profile=str(context.profile or ""),
        sample_rate=context.sample_rate or 0,
        channels=context.channels or 0,
        bit_rate=context.bit_rate or measured,
    )


# --- files that somebody sent ------------------------------------------------------------------


def probe_file(path: Path, *, hours_max: int, beat: Callable[[], None] = lambda: None) -> FileInfo:
    """What a film holds. Raises Refused (it is none, or more than we take), ProbeHung,
    ProbeError."""
    told = _look(path, beat, {
        "options": {
            "protocol_whitelist": "file",
            "format_whitelist": UPLOAD_FORMATS,
            "codec_whitelist": UPLOAD_CODECS,
            "max_streams": UPLOAD_STREAMS,
            "probesize": 5_000_000,
            "analyzeduration": 5_000_000,
            # A film may name other files as its parts: none of ours does.
            "enable_drefs": 0,
            "use_absolute_path": 0,
        },
        "codecs": UPLOAD_CODECS.split(","),
        "streams": UPLOAD_STREAMS,
        "pixels": MAX_PIXELS,
        "ticks": hours_max * _HOUR_TICKS,
    })  # fmt: skip
    return file_info(told)


def _look(path: Path, beat: Callable[[], None], limits: dict[str, Any]) -> dict[str, Any]:
    """Let ``transcode.look`` look, confined and watched."""
    patience = _LOOK_SECONDS + path.stat().st_size / _BYTES_A_SECOND
    taken = Limits(
        address_bytes=2048 * _MIB, cpu_seconds=int(patience), file_bytes=0, open_files=64,
        data_bytes=_MEMORY,
    )  # fmt: skip
    seen = View(reads=(path, _LOOK, Path(sys.prefix)), writes=())

    def arguments(pipes: dict[str, int], progress_fd: int) -> list[str]:
        words = [str(path), json.dumps(limits), str(pipes["told"])]
        return [*launcher(taken, seen), sys.executable, "-I", str(_LOOK), *words]

    told = b""
    with FFmpegProcess(arguments, ("told",)) as process:
        while not process.drained and len(told) <= _ANSWER_MAX:
            told += b"".join(chunk.data for chunk in process.read(0.5) if chunk.pipe == "told")
            if time.monotonic() - process.started > patience:
                raise ProbeHung(f"the look took longer than {patience:.0f} s")
            beat()
        if len(told) > _ANSWER_MAX:
            process.kill()
        code = process.close()
    try:
        answer = json.loads(told)
    except ValueError:
        # It crashed, or was killed for what it took: on this file it would again.
        raise Refused("upload_bomb" if code < 0 else "upload_broken") from None
    if "refused" in answer:
        raise Refused(answer.pop("refused"), **answer)
    found: dict[str, Any] = answer
    return found


def file_info(told: dict[str, Any]) -> FileInfo:
    """What ``transcode.look`` told; also from where it was kept as JSON."""
    video, audio = told["video"], told["audio"]
    picture = VideoInfo(
        codec=video["codec"],
        profile=video["profile"],
        level=video["level"],
        width=video["width"],
        height=video["height"],
        frame_rate=Fraction(*video["frame_rate"]),
        pixel_format=video["pixel_format"],
        interlaced=video["interlaced"],
        sample_aspect=Fraction(*video["sample_aspect"]),
    )
    sound = audio and AudioInfo(
        codec=audio["codec"],
        profile=audio["profile"],
        sample_rate=audio["sample_rate"],
        channels=audio["channels"],
        bit_rate=audio["bit_rate"],
    )
    return FileInfo(
        container=told["container"],
        start_ticks=told["start_ticks"],
        duration_ticks=told["duration_ticks"],
        source=SourceInfo(picture, sound, told["bit_rate"], video["gop_ms"]),
        video_index=video["index"],
        audio_index=audio and audio["index"],
        rotation=video["rotation"],
        streams=told["streams"],
    )
