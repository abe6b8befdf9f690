"""Footage whose subject's place is known: a dancer on a textured stage, filmed by a shaky hand.

The dancer is the only thing in strong magenta; everything else keeps away from it. Along the
picture's top runs a ramp from dark to bright that is fixed to the picture, not to the stage: in a
crop of it the mean says where the crop lies, to a fraction of a pixel.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import IO, Final

import av
import cv2
import numpy as np
from numpy.typing import NDArray

RAMP_SHARE: Final = 12
"""The ramp's height is the picture's divided by this."""
_DARK, _BRIGHT = 40.0, 215.0
MAGENTA: Final = (200, 20, 230)

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Dance:
    """What to film. Places are shares of the picture's width."""

    seconds: float = 14.0
    fps: Fraction = Fraction(25)
    size: tuple[int, int] = (640, 360)
    at: Callable[[float], float] = field(default=lambda t: 0.5 + 0.3 * float(np.sin(0.55 * t)))
    """Where the dancer is after so many seconds of the shot."""
    hidden: tuple[float, float] = (0.0, 0.0)
    """From when to when something passes in front, seconds."""
    shake: float = 4.0
    """Columns the camera wanders, of a picture 640 wide."""
    distractors: bool = True
    second_shot: float = 0.0
    """When the other camera takes over, which sees the stage mirrored; 0: never."""
    seed: int = 5

    @property
    def frames(self) -> int:
        return round(self.seconds * self.fps)

    @property
    def body(self) -> float:
        """The dancer's full width, arms out, as a share of the picture's."""
        return 0.12


@dataclass(frozen=True, slots=True)
class Film:
    """What was filmed: the file, and the middle of the dancer in each frame (share of width)."""

    path: Path
    places: list[float]
    dance: Dance


def film(ffmpeg: str, path: Path, dance: Dance) -> Film:
    """Film it: H.264 with B-frames, and a quiet tone."""
    width, height = dance.size
    argv = [ffmpeg, "-hide_banner", "-loglevel", "error", "-y", "-f", "rawvideo"]
    argv += ["-pix_fmt", "bgr24", "-s", f"{width}x{height}", "-r", str(dance.fps), "-i", "-"]
    argv += ["-f", "lavfi", "-i", "aevalsrc=0.02*sin(2*PI*330*t):s=48000"]
    argv += ["-c:v", "libx264", "-preset", "veryfast", "-crf", "16", "-bf", "2", "-g", "50"]
    argv += ["-pix_fmt", "yuv420p", "-video_track_timescale", "90000", "-c:a", "aac"]
    argv += ["-t", f"{dance.seconds:.6f}", "-movflags", "+faststart", str(path)]
    places: list[float] = []
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        feeder = threading.Thread(target=_feed, args=(process.stdin, dance, places))
        feeder.start()
        words = process.stderr.read().decode("utf-8", "replace")
        feeder.join()
    if process.returncode != 0:
        raise RuntimeError(f"FFmpeg could not film: {words}")
    return Film(path, places, dance)


def _feed(pipe: IO[bytes], dance: Dance, places: list[float]) -> None:
    for picture, place in pictures(dance):
        places.append(place)
        pipe.write(picture.tobytes())
    pipe.close()


def pictures(dance: Dance) -> Iterator[tuple[Pixels, float]]:
    """Each frame with the place of the dancer in it."""
    width, height = dance.size
    dice = np.random.default_rng(dance.seed)
    stages = [_stage(dice, width, height, tone) for tone in ((70, 90, 60), (60, 60, 100))]
    wander = _wander(dice, dance)
    scale = width / 640
    for number in range(dance.frames):
        t = float(number / dance.fps)
        other = 0 < dance.second_shot <= t
        stage = stages[int(other)]
        dx, dy = wander[number] * scale
        view = _view(stage, 40 * scale + dx, 40 * scale + dy, width, height)
        where = dance.at(t)
        if other:
            where = 1 - where
        x = where * width - dx
        if dance.distractors:
            _distract(view, t, scale, -dx, -dy)
        _dancer(view, x, height * 0.62 - dy, t, dance.body * width, scale)
        if dance.hidden[0] <= t < dance.hidden[1]:
            _pillar(view, x, scale)
        view[: height // RAMP_SHARE] = np.linspace(_DARK, _BRIGHT, width)[None, :, None]
        yield view, x / width


def _stage(dice: np.random.Generator, width: int, height: int, tone: tuple[int, ...]) -> Pixels:
    """A backdrop with a texture at several sizes, larger than the picture all round."""
    w, h = int(width * 1.25), int(height * 1.4)
    total = np.zeros((h, w, 3), np.float32)
    for size in (160, 40, 12, 5):
        noise = dice.normal(0, 1, (h // size + 2, w // size + 2, 3)).astype(np.float32)
        total += cv2.resize(noise, (w, h), interpolation=cv2.INTER_CUBIC) * 14
    total += np.array(tone, np.float32)
    # Greens and blues: the dancer's colour is the dancer's alone.
    total[..., 2] = np.minimum(total[..., 2], total[..., 1] + 20)
    return np.asarray(np.clip(total, 0, 170), np.uint8)


def _wander(dice: np.random.Generator, dance: Dance) -> NDArray[np.float64]:
    """A hand's unrest: smooth noise of a few Hertz, on both axes."""
    steps = dice.normal(0, 1, (dance.frames + 60, 2))
    kernel = np.hanning(9) / np.hanning(9).sum()
    smooth = np.stack([np.convolve(steps[:, i], kernel, "same") for i in range(2)], axis=1)
    return np.asarray(smooth[30 : 30 + dance.frames] / smooth.std() * dance.shake / 2)


def _view(stage: Pixels, x: float, y: float, width: int, height: int) -> Pixels:
    move = np.array([[1, 0, x], [0, 1, y]], np.float64)
    found = cv2.warpAffine(
        stage, move, (width, height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    return np.asarray(found, np.uint8)


def _distract(view: Pixels, t: float, scale: float, dx: float, dy: float) -> None:
    """Lamps that flash, a lantern that swings, a moth that crosses the stage."""
    height, width = view.shape[:2]
    for index, (x, y) in enumerate(((0.06, 0.22), (0.93, 0.25), (0.3, 0.16), (0.71, 0.18))):
        if int(t * 3 + index * 1.7) % 3 == 0:
            middle = (int(x * width + dx), int(y * height + dy))
            cv2.circle(view, middle, int(9 * scale), (120, 255, 255), -1)
    swing = int((0.88 + 0.02 * np.sin(3.1 * t)) * width + dx)
    hangs, size = (swing, int(0.45 * height + dy)), (int(11 * scale), int(17 * scale))
    cv2.ellipse(view, hangs, size, 0, 0, 360, (40, 150, 60), -1)
    moth = (int((t * 0.17 % 1.2 - 0.1) * width), int((0.3 + 0.05 * np.sin(7 * t)) * height))
    cv2.circle(view, moth, int(6 * scale), (230, 230, 200), -1)


def _dancer(view: Pixels, x: float, y: float, t: float, body: float, scale: float) -> None:
    """A head, a trunk, two arms that wave within the body's width, two legs."""
    thick = max(3, int(body * 0.2))
    shift = 4

    def at(px: float, py: float) -> tuple[int, int]:
        return round(px * 2**shift), round(py * 2**shift)

    def limb(a: tuple[float, float], b: tuple[float, float]) -> None:
        cv2.line(view, at(*a), at(*b), MAGENTA, thick, cv2.LINE_AA, shift)

    tall = body * 1.6
    neck, hip = (x, y - tall * 0.45), (x, y + tall * 0.2)
    head, round_ = (int(x), int(y - tall * 0.62)), (int(body * 0.17), int(body * 0.2))
    cv2.ellipse(view, head, round_, 0, 0, 360, MAGENTA, -1)
    cv2.line(view, at(*neck), at(*hip), MAGENTA, int(thick * 1.8), cv2.LINE_AA, shift)
    reach = body / 2 - thick / 2
    for side in (-1, 1):
        lift = np.sin(5.2 * t + side)
        limb(neck, (x + side * reach, y - tall * (0.35 + 0.3 * lift)))
        limb(hip, (x + side * reach * (0.5 + 0.2 * lift), y + tall * 0.75))


def _pillar(view: Pixels, x: float, scale: float) -> None:
    left, right = int(x - 50 * scale), int(x + 50 * scale)
    view[:, max(0, left) : max(0, right)] = (52, 84, 48)


# --- reading back ----------------------------------------------------------------------------


def bodies(picture: Pixels) -> tuple[float, float] | None:
    """Columns from which to which something magenta is seen; None where there is none."""
    blue, green, red = (picture[..., i].astype(np.int16) for i in range(3))
    strong = (red > 110) & (blue > 90) & (green < 110) & (red - green > 60) & (blue - green > 40)
    columns = np.flatnonzero(strong.sum(axis=0) >= max(2, picture.shape[0] // 300))
    return (float(columns[0]), float(columns[-1] + 1)) if len(columns) else None


def ramp_place(picture: Pixels) -> float:
    """Where the middle of a crop lies in the whole picture, as a share of its width."""
    rows = picture.shape[0] // RAMP_SHARE
    strip = cv2.cvtColor(picture[rows // 4 : rows - rows // 4], cv2.COLOR_BGR2GRAY)
    return float((strip.mean() - _DARK) / (_BRIGHT - _DARK))


def read(path: Path) -> Iterator[tuple[float, Pixels]]:
    """(seconds, BGR picture) of every frame of a file."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for frame in container.decode(stream):
            yield float(frame.time or 0.0), np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)
