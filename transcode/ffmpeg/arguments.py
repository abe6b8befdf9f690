"""FFmpeg's argument list for a live run: feed in by HTTP, one pipe of fragments per rung out.

Pure: numbers and names in, argv out; assembled with ffmpeg-python, never a shell string.

Two choices were measured (docs/adr/0001-fragments-per-frame.md): every rung has its own pipe
with the picture alone and the sound has one of its own, so that fragments can be as short as a
frame and a feed that loses its sound does not hold up its picture; and nothing is buffered at
the input, but `nobuffer` is not set, because it throws away the packets read while probing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ffmpeg

from transcode.ladder import AUDIO_ENCODE_RATE, SEGMENT_SECONDS, Ladder, Rung

VIDEO_TIMESCALE = 90_000

_INPUT_LIMITS: dict[str, Any] = {
    # What the feed server sends is FLV and nothing else (RELIABILITY §2): no other protocol,
    # container or codec of FFmpeg's many can be reached from an encoder's bytes.
    "protocol_whitelist": "http,tcp",
    "format_whitelist": "flv",
    "codec_whitelist": "h264,hevc,av1,libdav1d,vp9,libvpx-vp9,aac,opus,libopus,mp3,mp3float",
    "max_pixels": 3840 * 2160 + 1,
    "max_streams": 8,
    "f": "flv",
    "probesize": 5_000_000,
    "analyzeduration": 200_000,
    "fpsprobesize": 0,
    "copyts": None,
    "rw_timeout": 20_000_000,
}

_FRAGMENTS: dict[str, Any] = {
    "f": "mp4",
    "movflags": "empty_moov+default_base_moof+frag_discont+skip_trailer",
    "frag_duration": 1,
    "video_track_timescale": VIDEO_TIMESCALE,
    "use_editlist": 0,
    "avoid_negative_ts": "disabled",
    "flush_packets": 1,
    "map_metadata": -1,
}

# No B-frames, no lookahead, frame threads kept: 0.2 s from frame in to fragment out at 25 fps,
# for a few per cent of bits. mbtree needs lookahead and is off with it.
_X264 = "rc-lookahead=0:sync-lookahead=0:mbtree=0:scenecut=0:open-gop=0"


@dataclass(frozen=True, slots=True)
class RunPlan:
    """One live run. Times in milliseconds of the take's timeline."""

    url: str
    """Where the feed is pulled from; carries no secret."""
    token: str
    """Sent to the feed server as a header. Good for this take only: arguments are no secret."""
    ladder: Ladder
    start_ms: int
    """First frame wanted; the feed begins at the key frame at or before it."""
    threads: int = 0


# Key frames at the run's first frame (FFmpeg counts ``t`` from it) and every SEGMENT_SECONDS on;
# from the last one forced, so that a hole in the feed is not followed by a burst of them.
_FORCED_KEYS = f"expr:if(isnan(prev_forced_t),1,gte(t,prev_forced_t+{SEGMENT_SECONDS - 0.001:.3f}))"


def _encoded(stream: Any, rung: Rung, plan: RunPlan) -> Any:
    follow = plan.ladder.follow_source_keys
    return ffmpeg.output(
        stream,
        f"pipe:{rung.name}",
        **_FRAGMENTS,
        **{
            "c:v": "libx264",
            "preset": "veryfast",
            "profile:v": "high",
            "crf": 23,
            "maxrate": rung.bit_rate,
            "bufsize": rung.bit_rate * 3 // 2,
            "bf": 0,
            "x264-params": _X264,
            "enc_time_base": "demux",
            "fps_mode": "passthrough",
            "force_key_frames": "source" if follow else _FORCED_KEYS,
        },
    )


def live_arguments(
    binary: str, plan: RunPlan, pipes: dict[str, int], progress_fd: int
) -> list[str]:
    """argv of a live run. ``pipes`` maps each rung's name to the descriptor FFmpeg inherits."""
    source = ffmpeg.input(
        plan.url, headers=f"Authorization: Bearer {plan.token}\r\n", **_INPUT_LIMITS
    )
    ladder = plan.ladder
    encoded = [r for r in ladder.video if not (r.copied or r.same_as)]
    outputs = []
    picture = source["v:0"]
    if encoded:
        if not ladder.follow_source_keys:
            # Frames before the wanted one (from the key frame on) are decoded, not encoded.
            picture = picture.filter("trim", start=f"{(plan.start_ms - 0.5) / 1000:.4f}")
        if ladder.deinterlace:
            picture = picture.filter("bwdif", mode="send_frame", deint="interlaced")
        branches = picture.filter_multi_output("split", len(encoded))
        for index, rung in enumerate(encoded):
            scaled = (
                branches.stream(index)
                .filter("scale", rung.width, rung.height, flags="bicubic")
                .filter("setsar", 1)
                .filter("format", "yuv420p")
            )
            outputs.append(_encoded(scaled, rung, plan))
    for rung in ladder.made:
        if rung.kind == "audio":
            sound = (
                {"c:a": "copy"}
                if rung.copied
                else {"c:a": "aac", "b:a": AUDIO_ENCODE_RATE, "ac": 2, "ar": 48_000}
            )
            outputs.append(ffmpeg.output(source["a:0"], "pipe:a", **_FRAGMENTS, **sound))
        elif rung.copied:
            outputs.append(
                ffmpeg.output(source["v:0"], f"pipe:{rung.name}", **_FRAGMENTS, **{"c:v": "copy"})
            )
    merged = ffmpeg.merge_outputs(*outputs).global_args(
        "-hide_banner", "-nostdin", "-nostats", "-loglevel", "warning",
        "-progress", f"pipe:{progress_fd}", "-stats_period", "0.5",
    )  # fmt: skip
    argv: list[str] = ffmpeg.compile(merged, cmd=binary)
    named = {f"pipe:{name}": f"pipe:{fd}" for name, fd in pipes.items()}
    return [named.get(argument, argument) for argument in argv]
