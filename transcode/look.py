"""Looks into one uploaded file, confined, and says as JSON what is in it. A script of its own.

    look.py PATH LIMITS FD     (LIMITS: a JSON object; the answer, one too, goes to FD)

(``{"sound": FORMAT, …}`` asks for the length of a sound in that container, and no more.)

Whatever a crafted file does to a demuxer or decoder, it does here: in a process without network,
that reads this one file and writes nothing, with little memory and time (``transcode.probe``).
Nothing of Xitai is imported. ``{"refused": code, …facts}`` is a verdict on the file.
"""

from __future__ import annotations

import json
import os
import sys
from fractions import Fraction
from typing import Any, Final

TICKS: Final = 90_000
_DECODED_PIXELS: Final = 9_500_000
"""A larger picture is not decoded here: several of them are kept while one is reordered."""
_GOP_SECONDS: Final = 20
_GOP_PACKETS: Final = 5_000


class Verdict(Exception):
    """The file is not to be kept."""

    def __init__(self, code: str, **facts: Any) -> None:
        super().__init__(code)
        self.told = {"refused": code, **facts}


def recording(path: str, limits: dict[str, Any]) -> dict[str, Any]:
    """Containers, streams and times of a film or a sound recording."""
    import av
    import av.error
    import av.logging

    av.logging.set_level(av.logging.ERROR)
    options = {name: str(value) for name, value in limits["options"].items()}
    try:
        with av.open(f"file:{path}", mode="r", options=options) as container:
            return _told(container, limits)
    except (av.error.MemoryError, MemoryError):
        raise Verdict("upload_bomb") from None
    except (av.error.FFmpegError, ValueError, UnicodeError) as error:
        if "max_streams" in str(error):
            raise Verdict("upload_streams", most=limits["streams"]) from None
        raise Verdict("upload_broken" if _is_film(path) else "upload_format") from None


def sound(path: str, limits: dict[str, Any]) -> dict[str, Any]:
    """Length of a sound recording whose container is known already."""
    import av
    import av.error
    import av.logging

    av.logging.set_level(av.logging.ERROR)
    try:
        with av.open(
            f"file:{path}", mode="r", format=limits["sound"], options=limits["options"]
        ) as container:
            if not container.streams.audio:
                raise Verdict("record_file_broken")
            return {"duration_ticks": (container.duration or 0) * TICKS // 1_000_000}
    except (av.error.FFmpegError, MemoryError, ValueError, UnicodeError):
        raise Verdict("record_file_broken") from None


def _is_film(path: str) -> bool:
    """Whether its first bytes are those of a container that we take, however it goes on."""
    with open(path, "rb") as file:
        head = file.read(512)
    return (
        head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip")
        or head.startswith((b"\x1a\x45\xdf\xa3", b"FLV", b"\0\0\1\xba", b"\x30\x26\xb2\x75"))
        or (head.startswith(b"RIFF") and head[8:12] == b"AVI ")
        or (head[:1] == head[188:189] == b"\x47")
        or b"\x06\x0e\x2b\x34\x02\x05\x01\x01" in head
    )


def _told(container: Any, limits: dict[str, Any]) -> dict[str, Any]:
    streams = list(container.streams)
    if len(streams) > limits["streams"]:
        raise Verdict("upload_streams", most=limits["streams"])
    if any(stream.type == "attachment" for stream in streams):
        raise Verdict("upload_attachments")
    # A cover picture in a film is no film.
    pictures = [s for s in container.streams.video if not s.disposition & 1024]
    video = max(pictures, key=lambda s: (s.disposition & 1, _pixels(s)), default=None)
    audio = next(iter(container.streams.audio), None)
    for stream in (video, audio):
        name = stream and (stream.codec_context.name or "?")
        if stream is not None and name not in limits["codecs"]:
            raise Verdict("upload_codec", codec=str(name))
    if video is None:
        raise Verdict("upload_no_picture")
    if not 0 < _pixels(video) <= limits["pixels"]:
        raise Verdict("upload_pixels", most=limits["pixels"] // 1_000_000)
    start = (container.start_time or 0) * TICKS // 1_000_000
    packets = _packets(container, video)
    duration = (container.duration or 0) * TICKS // 1_000_000 or _measured(container, limits)
    if duration <= 0:
        raise Verdict("upload_broken")
    if duration > limits["ticks"]:
        hours = -(-duration // (TICKS * 3600))
        raise Verdict("upload_long", hours=hours, most=limits["ticks"] // (TICKS * 3600))
    return {
        "container": container.format.name,
        "start_ticks": start,
        "duration_ticks": duration,
        "bit_rate": container.bit_rate or 0,
        "streams": len(streams),
        "video": _video(video) | packets,
        "audio": None if audio is None else _audio(audio),
    }


def _pixels(stream: Any) -> int:
    context = stream.codec_context
    return int((context.width or 0) * (context.height or 0))


def _packets(container: Any, video: Any) -> dict[str, Any]:
    """From the first seconds: the longest distance of key frames, rotation, interlacing."""
    import av.error

    last, longest, first, rotation = None, None, None, 0
    decoded = _pixels(video) > _DECODED_PIXELS
    interlaced = video.codec_context.field_order not in (None, 0, 1)
    for number, packet in enumerate(container.demux(video)):
        at = packet.pts if packet.pts is not None else packet.dts
        if at is None or number > _GOP_PACKETS:
            break
        seconds = float(at * packet.time_base)
        first = seconds if first is None else first
        if seconds - first > _GOP_SECONDS:
            break
        if packet.is_keyframe:
            if last is not None and seconds > last:
                longest = max(longest or 0.0, seconds - last)
            last = seconds
        if not decoded:
            try:
                for frame in packet.decode():
                    decoded = True
                    rotation = int(frame.rotation)
                    interlaced = interlaced or bool(frame.interlaced_frame)
            except av.error.FFmpegError:
                continue  # One damaged frame says nothing about the rest of the show.
    gop_ms = None if longest is None else round(longest * 1000)
    return {"gop_ms": gop_ms, "rotation": rotation, "interlaced": interlaced}


def _measured(container: Any, limits: dict[str, Any]) -> int:
    """The length of a file whose header does not say it: a recorder that was switched off."""
    first, last = None, 0
    for packet in container.demux():
        if packet.dts is None or packet.time_base is None:
            continue
        at = int(packet.dts * packet.time_base * TICKS)
        first = at if first is None else min(first, at)
        last = max(last, at + int((packet.duration or 0) * packet.time_base * TICKS))
        if last - first > limits["ticks"]:
            break
    return last - (first or 0)


def _video(stream: Any) -> dict[str, Any]:
    context = stream.codec_context
    rate = stream.average_rate or stream.guessed_rate or Fraction(25)
    rate = rate if 1 <= rate <= 240 else Fraction(25)
    aspect = stream.sample_aspect_ratio or Fraction(1)
    return {
        "index": stream.index,
        "codec": context.name,
        "profile": str(context.profile or ""),
        "level": int(getattr(context, "level", 0) or 0),
        "width": context.width,
        "height": context.height,
        "frame_rate": [rate.numerator, rate.denominator],
        "pixel_format": str(context.pix_fmt or ""),
        "sample_aspect": [aspect.numerator, aspect.denominator] if aspect > 0 else [1, 1],
    }


def _audio(stream: Any) -> dict[str, Any]:
    context = stream.codec_context
    return {
        "index": stream.index,
        "codec": context.name,
        "profile": str(context.profile or ""),
        "sample_rate": context.sample_rate or 0,
        "channels": context.channels or 0,
        "bit_rate": context.bit_rate or 0,
    }


def main(argv: list[str]) -> None:
    """Look, and say."""
    path, words, answer = argv
    limits = json.loads(words)
    try:
        told = (sound if "sound" in limits else recording)(path, limits)
    except Verdict as verdict:
        told = verdict.told
    os.write(int(answer), json.dumps(told).encode())


if __name__ == "__main__":
    main(sys.argv[1:])
