"""Footage with something to photograph in it: stages that look like stages, and what goes wrong on
air planted between them. Every frame can be made again, to be compared with what came out.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]
FPS = 25
_EXACT = "scale=out_color_matrix=bt709:out_range=tv:flags=accurate_rnd+full_chroma_int"
SIZE = (640, 360)


@dataclass(frozen=True, slots=True)
class Piece:
    """So many frames of something; ``good``: the scene a still of them shows, None: no still."""

    frames: int
    draw: Callable[[int], Rgb]
    """Frame number within the piece → picture."""
    good: str | None = None


@cache
def _stage(seed: int, width: int, height: int) -> NDArray[np.float32]:
    """A backdrop: the slow waves of anything natural, and things with edges on it."""
    dice = np.random.default_rng(seed)
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :]
    slope = 1 / np.maximum(np.hypot(rows, columns), 2 / width) ** 1.1
    layers = []
    for _ in range(3):
        waves = np.fft.fft2(dice.standard_normal((height, width))) * slope
        layer = np.real(np.fft.ifft2(waves))
        layers.append((layer - layer.mean()) / layer.std())
    tint = dice.uniform(60, 150, 3)
    picture = np.clip(np.stack(layers, 2) * 22 + tint, 0, 255).astype(np.uint8)
    for _ in range(14):
        at = dice.integers((0, 0), (width, height))
        colour = [int(level) for level in dice.uniform(20, 235, 3)]
        corners = (at + dice.integers(-height // 5, height // 5, (4, 2))).astype(np.int32)
        cv2.fillConvexPoly(picture, cv2.convexHull(corners), colour, cv2.LINE_AA)
    return picture.astype(np.float32)


@cache
def _grain(number: int, width: int, height: int) -> NDArray[np.float32]:
    dice = np.random.default_rng(1000 + number)
    return dice.normal(0, 1.5, (height, width, 1)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Scene:
    """A stage with one dancer who goes to and fro; ``light`` is 1 by day, little at night."""

    seed: int
    light: float = 1.0
    size: tuple[int, int] = SIZE

    def __call__(self, number: int) -> Rgb:
        width, height = self.size
        picture = _stage(self.seed, width, height) * self.light
        dice = np.random.default_rng(self.seed + 77)
        tall = height // 3
        across = 0.5 + 0.3 * np.sin(number / FPS * 1.4 + self.seed)
        x, y = round(width * across), round(height * dice.uniform(0.45, 0.65))
        body = [float(level) for level in dice.uniform(120, 250, 3)]
        cv2.ellipse(picture, (x, y), (tall // 5, tall // 2), 0, 0, 360, body, -1, cv2.LINE_AA)
        cv2.circle(picture, (x, y - tall // 2 - tall // 8), tall // 7, (230, 190, 160), -1)
        for stripe in range(-2, 3):
            low = y + stripe * tall // 7
            cv2.line(picture, (x - tall // 5, low), (x + tall // 5, low), (40, 30, 60), 2)
        noisy = np.clip(picture + _grain(number % 8, width, height), 0, 255)
        return np.asarray(noisy, dtype=np.uint8)


def blurred(draw: Callable[[int], Rgb], sigma: float) -> Callable[[int], Rgb]:
    """Out of focus."""
    return lambda number: np.asarray(cv2.GaussianBlur(draw(number), (0, 0), sigma), dtype=np.uint8)


def panned(draw: Callable[[int], Rgb], length: int) -> Callable[[int], Rgb]:
    """The camera swings across: blurred along its way, and every frame elsewhere."""
    kernel = np.full((1, length), 1 / length, np.float32)

    def made(number: int) -> Rgb:
        turned = np.roll(draw(number), number * length, axis=1)
        return np.asarray(cv2.filter2D(turned, -1, kernel), dtype=np.uint8)

    return made


def dissolve(one: Callable[[int], Rgb], other: Callable[[int], Rgb], frames: int) -> Piece:
    """A cross-fade of so many frames from the one to the other."""

    def made(number: int) -> Rgb:
        share = (number + 0.5) / frames
        mixed = one(number) * (1 - share) + other(number) * share
        return np.asarray(mixed + 0.5, dtype=np.uint8)

    return Piece(frames, made)


def black(number: int, size: tuple[int, int] = SIZE) -> Rgb:
    return np.full((size[1], size[0], 3), 2, np.uint8)


def slate(number: int, size: tuple[int, int] = SIZE) -> Rgb:
    """A card that stays: coming soon."""
    picture = np.full((size[1], size[0], 3), (150, 40, 30), np.uint8)
    cv2.putText(picture, "COMING SOON", (60, 200), cv2.FONT_HERSHEY_DUPLEX, 2, (250, 240, 210), 4)
    return picture


def bars(number: int, size: tuple[int, int] = SIZE) -> Rgb:
    """Colour bars with a clock that runs, so that they do not stand still."""
    levels = [(191, 191, 191), (191, 191, 0), (0, 191, 191), (0, 191, 0), (191, 0, 191),
              (191, 0, 0), (0, 0, 191)]  # fmt: skip
    columns = np.arange(size[0]) * len(levels) // size[0]
    picture = np.array(levels, np.uint8)[columns][None].repeat(size[1], axis=0)
    cv2.putText(picture, f"{number:04d}", (200, 340), cv2.FONT_HERSHEY_DUPLEX, 2, (255,) * 3, 3)
    return np.ascontiguousarray(picture)


def still_of(draw: Callable[[int], Rgb], at: int) -> Callable[[int], Rgb]:
    """A feed that hangs."""
    return lambda number: draw(at)


@dataclass(frozen=True, slots=True)
class Reel:
    """Pieces one after another."""

    pieces: Sequence[Piece]

    @property
    def frames(self) -> int:
        return sum(piece.frames for piece in self.pieces)

    def at(self, number: int) -> tuple[Piece, Rgb]:
        """The piece a frame is of, and its picture."""
        for piece in self.pieces:
            if number < piece.frames:
                return piece, piece.draw(number)
            number -= piece.frames
        raise IndexError(number)

    def write(self, ffmpeg: str, path: Path, *, size: tuple[int, int] = SIZE) -> Path:
        """Encode it (H.264, a key frame every 2 s, no sound), colours tagged as BT.709."""
        argv = [
            ffmpeg, "-hide_banner", "-loglevel", "error", "-y", "-f", "rawvideo", "-pix_fmt",
            "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", str(FPS), "-i", "-", "-vf",
            f"{_EXACT},format=yuv420p", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "14",
            "-bf", "0",
            "-g", str(2 * FPS), "-keyint_min", str(2 * FPS), "-sc_threshold", "0",
            "-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", str(path),
        ]  # fmt: skip
        with subprocess.Popen(argv, stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            for piece in self.pieces:
                for number in range(piece.frames):
                    process.stdin.write(piece.draw(number).tobytes())
        assert process.returncode == 0
        return path
