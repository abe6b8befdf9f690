"""FFmpeg on footage: what it may open, and how much of the machine it may take.

Two halves. ``input_limits`` are FFmpeg's own options for one input: only the containers and codecs
that we wrote or accepted, only files, no more pixels and streams than any footage has
(RELIABILITY §2: a file that is really a playlist, or uses a codec with a known hole, is refused
before a byte is decoded). ``launcher`` is an argv prefix: ``transcode/confine.py`` as a script,
which sets the kernel's limits, shuts the network off, takes away the files that are none of the
program's business, gives way to live work, and then becomes the program. A script and not a
``preexec_fn``, because code between fork and exec in a process with threads may deadlock.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

GIB: Final = 1 << 30

FOOTAGE_FORMATS: Final = "mov,mp4,m4a,3gp,3g2,mj2,flv"
FOOTAGE_CODECS: Final = "h264,aac"
"""Decoders for registered segments and for what we encoded ourselves."""

UPLOAD_FORMATS: Final = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,mpegts,mpeg,mpegvideo,avi,flv,live_flv,mxf,asf,dv"
)
"""Containers that cameras, recorders and old capture cards write. None of them names other
files that FFmpeg would follow (hls, concat and dash do; mov's references stay off)."""
UPLOAD_CODECS: Final = ",".join(
    (
        "h264,hevc,mpeg1video,mpeg2video,mpegvideo,mpeg4,msmpeg4v3,h263,vp8,vp9,av1,libdav1d",
        "mjpeg,prores,dnxhd,dvvideo,wmv3,vc1,flv",
        "aac,aac_fixed,aac_latm,mp1,mp1float,mp2,mp2float,mp3,mp3float,ac3,ac3_fixed,eac3",
        "opus,libopus,vorbis,flac,alac,wmav1,wmav2,wmapro,amrnb,amrwb",
        "pcm_s16le,pcm_s16be,pcm_s24le,pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be",
        "pcm_u8,pcm_alaw,pcm_mulaw,pcm_bluray,pcm_dvd,adpcm_ima_qt,adpcm_ms",
    )
)
"""Decoders for what people hand in."""

MAX_PIXELS: Final = 40_000_000
FOOTAGE_STREAMS: Final = 8
UPLOAD_STREAMS: Final = 32
"""A card recording may carry sixteen single-channel sounds and a few of data."""

_SCRIPT: Final = Path(__file__).with_name("confine.py")
_NO_FOLDERS: Final = ("/dev",)
_IN_FILTERS: Final = re.compile(r"=\'?(/[^:,;\'\\\[\]]+)")


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run of FFmpeg may take. The address space is far above what it touches: threads
    and allocator arenas reserve it. 1080p in and out on two cores: 1.4 GiB, 0.3 GiB of it in
    memory (measured)."""

    address_bytes: int = 4 * GIB + (os.cpu_count() or 1) * GIB // 2
    cpu_seconds: int = 4 * 3600
    file_bytes: int = 64 * GIB
    open_files: int = 256
    data_bytes: int | None = None
    """Of memory that is written to: what a file can make a program really take."""


@dataclass(frozen=True, slots=True)
class View:
    """What of the file system a program sees, where the kernel can tell it apart (Landlock).

    ``reads``: files and folders it may read, besides the system's own; None: whatever we may.
    ``writes``: folders it may write in; None: wherever we may.
    """

    reads: tuple[Path, ...] | None = None
    writes: tuple[Path, ...] | None = None


EVERYTHING: Final = View()


def input_limits(
    *,
    formats: str = FOOTAGE_FORMATS,
    codecs: str = FOOTAGE_CODECS,
    streams: int = FOOTAGE_STREAMS,
) -> dict[str, Any]:
    """Options of one FFmpeg input, for ``ffmpeg.input(f"file:{path}", **input_limits())``."""
    return {
        "protocol_whitelist": "file",
        "format_whitelist": formats,
        "codec_whitelist": codecs,
        "max_pixels": MAX_PIXELS,
        "max_streams": streams,
        "probesize": 5_000_000,
        "analyzeduration": 5_000_000,
    }


def upload_limits() -> dict[str, Any]:
    """``input_limits`` of a file as somebody sent it. Run FFmpeg with ``reads=()`` on it."""
    return input_limits(formats=UPLOAD_FORMATS, codecs=UPLOAD_CODECS, streams=UPLOAD_STREAMS)


GLOBAL_LIMITS: Final = ("-hide_banner", "-nostdin", "-max_alloc", str(GIB))
"""Options of FFmpeg itself: no questions on stdin, no single allocation that a true file needs."""


def view_of(argv: Sequence[str], reads: Iterable[Path] | None = None) -> View:
    """What an FFmpeg command may see: it writes only in the folders of the outputs it names, and
    of the files its filters are to make.

    ``reads``: what it needs besides its inputs (a font, say); None: it may read whatever we may.
    """
    inputs: list[Path] = []
    folders: set[Path] = set()
    for before, word in pairwise(argv):
        path = word.removeprefix("file:")
        if not path.startswith("/"):
            named = (Path(found) for found in _IN_FILTERS.findall(word))
            folders |= {file.parent for file in named if not file.exists()}
        elif before == "-i":
            inputs.append(Path(path))
        elif not path.startswith(_NO_FOLDERS):
            folders.add(Path(path).parent)
    readable = None if reads is None else (*inputs, *folders, *reads, Path(argv[0]))
    return View(readable, tuple(sorted(folders)))


def launcher(limits: Limits, view: View = EVERYTHING) -> list[str]:
    """What to put before a program's argv. It dies with us, also when we are killed."""
    words = [
        f"parent={os.getpid()}",
        f"as={limits.address_bytes}",
        f"cpu={limits.cpu_seconds}",
        f"fsize={limits.file_bytes}",
        f"nofile={limits.open_files}",
    ]
    if limits.data_bytes is not None:
        words.append(f"data={limits.data_bytes}")
    if view.reads is not None:
        words += ["reads=", *(f"read={path}" for path in view.reads)]
    if view.writes is not None:
        words += ["writes=", *(f"write={path}" for path in view.writes)]
    return [sys.executable, "-I", "-S", str(_SCRIPT), *words, "--"]


@lru_cache(maxsize=1)
def measures() -> frozenset[str]:
    """Which measures hold on this machine, tried by a process of its own: "namespace" and
    "sockets" (no network), "files" or "bwrap" (only its own files)."""
    argv = [sys.executable, "-I", "-S", str(_SCRIPT), "check"]
    try:
        said = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return frozenset()
    return frozenset(said.stdout.split())
