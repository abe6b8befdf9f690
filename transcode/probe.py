"""Probe: what a take's first bytes hold, read with PyAV out of memory."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import av.error

from transcode.source import AudioInfo, SourceInfo, VideoInfo

PROBE_BYTES = 2 * 1024 * 1024


class ProbeError(Exception):
    """The bytes are no footage that can be decoded (yet)."""


def probe_flv(head: bytes, *, gop_ms: int | None) -> SourceInfo:
    """Describe an FLV take from its preamble and first tags (at most PROBE_BYTES are read)."""
    try:
        # The container is named, so that nothing else FFmpeg knows can be smuggled in.
        with av.open(io.BytesIO(head[:PROBE_BYTES]), mode="r", format="flv") as container:
            return _describe(container, gop_ms)
    except (av.error.FFmpegError, ValueError) as error:
        raise ProbeError(f"footage can't be read: {error}") from error


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
