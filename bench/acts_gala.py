"""Galas with known acts, put together from bench/acts_sounds.py and pictures of a stage.

    slate · (opening act without a word) · host · act · applause · host · act · … · host · slate

The convention (docs/acts.md): an act begins with its own first sound, when the host has finished
and the applause that greets it is over or gives way; it ends with the end of its applause, or
where the host begins to speak into it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.io import wavfile

from bench import acts_sounds as sounds
from bench.acts_sounds import Shelf, Speaker
from bench.acts_tunes import RATE, Sound, ensemble, song
from bench.footage import shipped
from infra.ffmpeg import ffmpeg_path
from infra.settings import Settings

FPS: Final = 8
SIZE: Final = (128, 72)
GENRES: Final = {
    "music": ("舞蹈", "器乐合奏", "开场舞", "葫芦丝独奏"),
    "song": ("独唱", "女声小合唱", "男女声对唱"),
    "words": ("小品", "诗朗诵", "相声"),
}
_GREETINGS: Final = (
    "现场的朋友们，你们好吗，一起来好不好。", "把手举起来，跟我一起唱。",
    "感谢大家的掌声，祝父老乡亲们身体健康，万事如意。",
)  # fmt: skip
_NAMES: Final = (
    "欢聚一堂 茉莉花 月光下的凤尾竹 回家过年 山路十八弯 喜洋洋 象脚鼓舞 金孔雀 沁园春 我的祖国"
)


@dataclass(frozen=True, slots=True)
class TrueAct:
    """An act as it was put in; seconds."""

    start: float
    end: float
    kind: str
    genre: str
    title: str


@dataclass(slots=True)
class Gala:
    """A programme, what it holds, and what is seen when: (from s, scene)."""

    sound: Sound
    acts: list[TrueAct]
    scenes: list[tuple[float, Scene]]

    @property
    def seconds(self) -> float:
        return len(self.sound) / RATE


@dataclass(frozen=True, slots=True)
class Scene:
    """What is shown: slate, black, the host or a stage; ``cuts`` seconds between cameras."""

    kind: str
    seed: int
    cuts: float = 0.0


@dataclass(slots=True)
class _Stage:
    """A gala being put together."""

    dice: np.random.Generator
    shelf: Shelf
    parts: list[Sound] = field(default_factory=list)
    scenes: list[tuple[float, Scene]] = field(default_factory=list)
    samples: int = 0

    @property
    def now(self) -> float:
        return self.samples / RATE

    def play(self, sound: Sound) -> None:
        self.parts.append(sound)
        self.samples += len(sound)

    def show(self, kind: str, cuts: float = 0.0, at: float | None = None) -> None:
        scene = Scene(kind, int(self.dice.integers(1 << 30)), cuts)
        self.scenes.append((self.now if at is None else at, scene))


def gala(
    seed: int,
    *,
    shelf: Shelf = "held",
    acts: int = 9,
    lengths: tuple[float, float] = (60, 260),
) -> Gala:
    """A programme of so many acts, each lasting between ``lengths`` seconds."""
    dice = np.random.default_rng(seed)
    stage = _Stage(dice, shelf)
    hosts = [Speaker(dice, shelf) for _ in range(int(dice.integers(1, 3)))]
    bed = dice.random() < 0.3
    """This evening's hosts are heard over music."""
    _before(stage)
    found: list[TrueAct] = []
    kinds = _kinds(dice, acts)
    for number, kind in enumerate(kinds):
        if number or dice.random() < 0.7:
            _host(stage, hosts[number % len(hosts)], bed, first=number == 0)
        found.append(_act(stage, kind, number, lengths))
    _host(stage, hosts[0], bed, first=False)
    _after(stage)
    whole = np.concatenate(stage.parts)
    whole = sounds.hall(whole, dice, float(dice.uniform(0, 0.25)))
    whole = np.clip(whole + sounds.room(dice, len(whole)), -1, 1)
    return Gala(whole * np.float32(dice.uniform(0.3, 1)), found, stage.scenes)


def _kinds(dice: np.random.Generator, acts: int) -> list[str]:
    """Mostly music and songs; of a long evening about one act in seven is words."""
    kinds = [str(kind) for kind in dice.choice(("music", "song"), acts)]
    for number in range(2, acts if acts > 4 else 0, 7):
        kinds[min(acts - 1, number + int(dice.integers(0, 4)))] = "words"
    return kinds


def _before(stage: _Stage) -> None:
    """The slate, with nothing or a tune, then sometimes black."""
    dice = stage.dice
    stage.show("slate")
    seconds = float(dice.uniform(5, 40))
    tune = dice.random() < 0.5
    stage.play(sounds.tune(dice, stage.shelf, seconds) if tune else sounds.silence(seconds))
    stage.show("black")
    stage.play(sounds.silence(float(dice.uniform(1, 3))))


def _after(stage: _Stage) -> None:
    stage.show("slate")
    seconds = float(stage.dice.uniform(5, 30))
    stage.play(sounds.tune(stage.dice, stage.shelf, seconds))


def _host(stage: _Stage, host: Speaker, bed: bool, *, first: bool) -> None:
    dice = stage.dice
    stage.show("host", cuts=0 if dice.random() < 0.6 else 9)
    words = sounds.announcement(dice, host, float(dice.uniform(8, 45 if first else 30)))
    stage.play(sounds.over_music(words, dice, stage.shelf) if bed else words)
    greeted = dice.random()
    if greeted < 0.35:
        stage.play(sounds.claps(dice, stage.shelf, float(dice.uniform(2, 6))))
    if dice.random() < 0.35:
        stage.show("black")
        stage.play(sounds.silence(float(dice.uniform(1.0, 4))))
    else:
        stage.play(sounds.silence(float(dice.uniform(0.3, 4))))


def _act(stage: _Stage, kind: str, number: int, lengths: tuple[float, float]) -> TrueAct:
    dice = stage.dice
    seconds = float(dice.uniform(*lengths))
    # The lights or the camera change a little before or after the first sound.
    stage.show(
        "stage", cuts=float(dice.uniform(3, 11)), at=max(0, stage.now + dice.normal(-0.3, 0.5))
    )
    start = stage.now
    stage.play(_content(stage, kind, seconds))
    if dice.random() < 0.9:
        stage.play(sounds.claps(dice, stage.shelf, float(dice.uniform(4, 12))))
    end = stage.now
    if dice.random() < 0.25:
        stage.show("black")
        stage.play(sounds.silence(float(dice.uniform(0.8, 3))))
    else:
        stage.play(sounds.silence(float(dice.uniform(0.1, 2.5))))
    genre = str(dice.choice(GENRES[kind]))
    name = str(dice.choice(_NAMES.split()))
    return TrueAct(start, end, kind, genre, f"{name}{number + 1}")


def _content(stage: _Stage, kind: str, seconds: float) -> Sound:
    dice = stage.dice
    if kind == "words":
        alone = stage.shelf == "made" or dice.random() < 0.6
        words = sounds.sketch if alone else sounds.people
        spoken = words(dice, stage.shelf, seconds)
        return sounds.over_music(spoken, dice, stage.shelf) if dice.random() < 0.2 else spoken
    composed = dice.random() < 0.75
    backing = (
        sounds.tune(dice, stage.shelf, seconds)
        if composed
        else sounds.level(ensemble(dice, seconds), float(dice.uniform(-22, -15)))
    )
    made = backing if kind == "music" else sounds.level(song(dice, backing), dice.uniform(-21, -14))
    return np.clip(_disturbed(stage, made, seconds), -0.99, 0.99)


def _disturbed(stage: _Stage, made: Sound, seconds: float) -> Sound:
    """What happens within acts and is no boundary: claps over the music, a singer's greeting, a
    rest of a second or two between two parts, sometimes with the lights out."""
    dice = stage.dice
    if seconds < 80:
        return made
    if dice.random() < 0.3:
        clap = sounds.applause(dice, float(dice.uniform(2, 5)))
        at = int(dice.uniform(0.3, 0.8) * len(made))
        made[at : at + len(clap)] += clap[: len(made) - at] * np.float32(0.7)
    if dice.random() < 0.25:
        words = sounds.level(Speaker(dice, stage.shelf).say(str(dice.choice(_GREETINGS))), -20)
        at = int(dice.uniform(4, 0.7 * seconds) * RATE)
        words = words[: len(made) - at]
        made[at : at + len(words)] = made[at : at + len(words)] * np.float32(0.3) + words
    if dice.random() < 0.25:
        middle, rest = float(dice.uniform(0.3, 0.7) * seconds), float(dice.uniform(0.7, 2.2))
        made[int(middle * RATE) : int((middle + rest) * RATE)] = 0
        if dice.random() < 0.4:
            stage.show("black", at=stage.now + middle)
            stage.show("stage", cuts=float(dice.uniform(3, 11)), at=stage.now + middle + rest)
    return made


# --- what is seen ----------------------------------------------------------------------------


def pictures(
    made: Gala, fps: int = FPS, size: tuple[int, int] = SIZE
) -> Iterator[NDArray[np.uint8]]:
    """Every frame, BGR."""
    shots: dict[tuple[int, int], NDArray[np.uint8]] = {}
    real = _real(size)
    at = 0
    for number in range(int(made.seconds * fps)):
        time = number / fps
        while at + 1 < len(made.scenes) and made.scenes[at + 1][0] <= time:
            at += 1
            shots.clear()
        began, scene = made.scenes[at]
        shot = int((time - began) / scene.cuts) if scene.cuts else 0
        if (scene.seed, shot) not in shots:
            shots[scene.seed, shot] = _setting(scene, shot, size)
        yield _frame(scene, shots[scene.seed, shot], shot, number, size, real)


def _real(size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """Frames of footage that a package ships; some acts are it."""
    try:
        path = shipped("bigbuckbunny.mp4")
    except FileNotFoundError:
        return []
    film = cv2.VideoCapture(str(path))
    found: list[NDArray[np.uint8]] = []
    while len(found) < 120:
        there, frame = film.read()
        if not there:
            break
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
        found.append(np.asarray(small, np.uint8))
    film.release()
    return found


def _setting(scene: Scene, shot: int, size: tuple[int, int]) -> NDArray[np.uint8]:
    """A camera's view of a scene: lights of its palette, another framing for every shot."""
    width, height = size
    if scene.kind == "black":
        return np.zeros((height, width, 3), np.uint8)
    palette = np.random.default_rng(scene.seed)
    camera = np.random.default_rng(scene.seed + shot + 1)
    hue = int(palette.integers(180))
    dark = {"slate": 90, "host": 60, "stage": 45}[scene.kind]
    view = np.zeros((height, width, 3), np.uint8)
    view[..., 0], view[..., 1] = hue, int(palette.integers(60, 220))
    view[..., 2] = np.linspace(dark, dark * 0.4, height).astype(np.uint8)[:, None]
    for _ in range(3 if scene.kind == "slate" else 8):
        middle = (int(camera.integers(width)), int(camera.integers(height)))
        colour = (int(hue + camera.integers(-18, 18)) % 180, int(camera.integers(40, 255)),
                  int(camera.integers(40, 250)))  # fmt: skip
        cv2.circle(view, middle, int(camera.integers(4, 22)), colour, -1)
    return np.asarray(cv2.cvtColor(view, cv2.COLOR_HSV2BGR), np.uint8)


def _frame(
    scene: Scene, view: NDArray[np.uint8], shot: int, number: int, size: tuple[int, int],
    real: list[NDArray[np.uint8]],
) -> NDArray[np.uint8]:  # fmt: skip
    if scene.kind in ("slate", "black"):
        return view
    width, height = size
    noise = np.random.default_rng(number)
    if scene.kind == "stage" and real and scene.seed % 3 == 0:
        tinted = cv2.addWeighted(view, 0.4, real[(number + shot * 31) % len(real)], 0.6, 0)
        return np.asarray(tinted, np.uint8)
    frame = view.copy()
    people = 1 if scene.kind == "host" else 5
    time = number / FPS
    for person in range(people):
        speed = 0.15 if scene.kind == "host" else 1.1
        phase = scene.seed % 7 + person * 1.3
        x = int(
            width * (0.5 + 0.4 * np.sin(speed * time + phase) * (people > 1) + 0.03 * np.sin(time))
        )
        y = int(height * (0.7 + 0.05 * np.sin(2 * speed * time + phase)))
        cv2.ellipse(frame, (x, y), (5, 16), 0, 0, 360, (120, 150, 200), -1)
        cv2.circle(frame, (x, y - 18), 5, (150, 180, 230), -1)
    grain = noise.integers(-3, 4, (height, width, 1), np.int16)
    return np.asarray(np.clip(frame + grain, 0, 255), np.uint8)


def encode(made: Gala, path: Path, *, gop_seconds: float = 2.0) -> Path:
    """The gala as a file (its suffix names the container): H.264 and AAC."""
    wave = path.with_suffix(".wav")
    wavfile.write(wave, RATE, (made.sound * 32767).astype(np.int16))
    width, height = SIZE
    argv = [
        ffmpeg_path(Settings()), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "bgr24",
        "-s", f"{width}x{height}", "-r", str(FPS), "-i", "-", "-i", str(wave), "-map", "0:v",
        "-map", "1:a", "-c:v", "libx264", "-preset", "ultrafast", "-crf", "30",
        "-pix_fmt", "yuv420p", "-g", str(int(gop_seconds * FPS)), "-sc_threshold", "0",
        "-c:a", "aac", "-ar", "44100", "-b:a", "96k", "-shortest", str(path),
    ]  # fmt: skip
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        for frame in pictures(made):
            process.stdin.write(frame.tobytes())
        process.stdin.close()
    wave.unlink()
    if process.returncode:
        raise RuntimeError(f"FFmpeg ended with code {process.returncode}")
    return path
