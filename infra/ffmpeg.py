"""The FFmpeg binary: which one, which version, what it can encode."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from functools import cache

import imageio_ffmpeg

from infra.settings import Settings

NEEDED_ENCODERS = ("libx264", "aac")
NEEDED_MUXERS = ("mp4", "flv", "hls")

_VERSION = re.compile(r"^ffmpeg version (\S+)")
_TIMEOUT_SECONDS = 20


class FfmpegError(Exception):
    """FFmpeg is missing or does not run; the message is a plain sentence."""


def ffmpeg_path(settings: Settings) -> str:
    """The binary named in the settings, else the one of the imageio-ffmpeg wheel."""
    return settings.ffmpeg or _wheel()


@cache
def _wheel() -> str:
    return str(imageio_ffmpeg.get_ffmpeg_exe())


@dataclass(frozen=True, slots=True)
class FfmpegAbilities:
    """What a binary says of itself."""

    version: str
    encoders: frozenset[str]
    muxers: frozenset[str]

    @property
    def missing(self) -> tuple[str, ...]:
        """Encoders and muxers we cannot do without and it lacks."""
        return tuple(e for e in NEEDED_ENCODERS if e not in self.encoders) + tuple(
            m for m in NEEDED_MUXERS if m not in self.muxers
        )


def ffmpeg_abilities(path: str) -> FfmpegAbilities:
    """Ask the binary. Raises :class:`FfmpegError`."""
    version = _VERSION.match(_ask(path, "-version"))
    if version is None:
        raise FfmpegError(f"{path} does not answer like FFmpeg.")
    return FfmpegAbilities(
        version=version[1],
        encoders=_table(_ask(path, "-encoders")),
        muxers=_table(_ask(path, "-muxers")),
    )


def _ask(path: str, question: str) -> str:
    try:
        done = subprocess.run(
            [path, "-hide_banner", question] if question != "-version" else [path, question],
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as e:
        raise FfmpegError(f"{path} does not run: {e}") from e
    return done.stdout


def _table(text: str) -> frozenset[str]:
    """Names of FFmpeg's tables: ` V....D libx264   description`, `  E mp4,mov   description`."""
    names: set[str] = set()
    for line in text.splitlines():
        words = line.split()
        if len(words) >= 2 and re.fullmatch(r"[A-Zd.]+", words[0]):
            names.update(words[1].split(","))
    return frozenset(names)
