"""FFmpeg on footage: what it may open, and how much of the machine it may take.

Two halves. ``input_limits`` are FFmpeg's own options for one input: only the containers and codecs
that we wrote or accepted, only files, no more pixels and streams than any footage has
(RELIABILITY §2: a file that is really a playlist, or uses a codec with a known hole, is refused
before a byte is decoded). ``launcher`` is an argv prefix: this very file as a script, which sets
the kernel's limits, gives way to live work, and then becomes FFmpeg. A script and not a
``preexec_fn``, because code between fork and exec in a process with threads may deadlock.

    sandbox.py PARENT_PID ADDRESS_BYTES CPU_SECONDS FILE_BYTES OPEN_FILES -- PROGRAM [ARGUMENT…]
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

GIB: Final = 1 << 30

FOOTAGE_FORMATS: Final = "mov,mp4,m4a,3gp,3g2,mj2,flv"
FOOTAGE_CODECS: Final = "h264,aac"
"""Decoders for registered segments and for what we encoded ourselves."""
MAX_PIXELS: Final = 40_000_000

NICENESS: Final = 10
"""Work on footage can wait; what is on air cannot."""

_PR_SET_PDEATHSIG: Final = 1


@dataclass(frozen=True, slots=True)
class Limits:
    """What one run of FFmpeg may take. The address space is far above what it touches: threads
    and allocator arenas reserve it. 1080p in and out on two cores: 1.4 GiB, 0.3 GiB of it in
    memory (measured)."""

    address_bytes: int = 4 * GIB + (os.cpu_count() or 1) * GIB // 2
    cpu_seconds: int = 4 * 3600
    file_bytes: int = 64 * GIB
    open_files: int = 256


def input_limits(*, formats: str = FOOTAGE_FORMATS, codecs: str = FOOTAGE_CODECS) -> dict[str, Any]:
    """Options of one FFmpeg input, for ``ffmpeg.input(f"file:{path}", **input_limits())``."""
    return {
        "protocol_whitelist": "file",
        "format_whitelist": formats,
        "codec_whitelist": codecs,
        "max_pixels": MAX_PIXELS,
        "max_streams": 8,
        "probesize": 5_000_000,
        "analyzeduration": 5_000_000,
    }


GLOBAL_LIMITS: Final = ("-hide_banner", "-nostdin", "-max_alloc", str(GIB))
"""Options of FFmpeg itself: no questions on stdin, no single allocation that a true file needs."""


def launcher(limits: Limits) -> list[str]:
    """What to put before FFmpeg's argv. FFmpeg dies with us, also when we are killed."""
    return [
        *(sys.executable, "-I", "-S", str(Path(__file__)), str(os.getpid())),
        *(str(limits.address_bytes), str(limits.cpu_seconds)),
        *(str(limits.file_bytes), str(limits.open_files), "--"),
    ]


def _limit(kind: int, wanted: int) -> None:
    _, hard = resource.getrlimit(kind)
    value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(kind, (value, value))


def main(argv: list[str]) -> None:
    """Limit this process, then become the program."""
    split = argv.index("--")
    parent, address, cpu, file_size, files = (int(value) for value in argv[:split])
    program = argv[split + 1 :]
    _limit(resource.RLIMIT_AS, address)
    _limit(resource.RLIMIT_CPU, cpu)
    _limit(resource.RLIMIT_FSIZE, file_size)
    _limit(resource.RLIMIT_NOFILE, files)
    _limit(resource.RLIMIT_CORE, 0)
    os.nice(NICENESS)
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(1)  # It died before the line above.
    os.execvp(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
