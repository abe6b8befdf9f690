"""Sounds of a gala for fitting and measuring: spoken, played, sung, clapped; the same for the
same seed.

What is real comes out of Debian's packages (`infra/deploy/bench-tools.sh` installs them): tunes
composed by people (MIDI, played by a sampled General MIDI set), recorded tunes, recorded human
speech, a recorded applause. What is generated: Mandarin by espeak-ng, synthetic tunes, a voice that
sings, applause and laughter of many people. Every source belongs to one of two shelves, "fit" or
"held": what weights are fitted on is never what they are measured on.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, Literal

import numpy as np
from scipy import signal

from bench.acts_tunes import RATE, Sound, ensemble
from infra.ffmpeg import ffmpeg_path
from infra.settings import Settings

Shelf = Literal["fit", "held", "made"]
"""made: nothing but what is generated, the same wherever espeak-ng is."""

_GAMES: Final = Path("/usr/share/games")
_MIDI: Final = (_GAMES / "openttd/baseset/openmsx", Path("/usr/share/planetblupi/music"))
_TUNES: Final = (
    _GAMES / "frozen-bubble/snd",
    Path("/usr/share/asterisk/moh"),
    _GAMES / "fretsonfire/data/songs/sectoid",
)
_CLAPS: Final = _GAMES / "frozen-bubble/snd/applause.ogg"
_SPEAKERS: Final = Path("/usr/share/asterisk/sounds")
_BANK: Final = Path("/usr/share/sounds/sf2/TimGM6mb.sf2")
_VARIANTS: Final = {
    "fit": ("", "+m3", "+f2", "+m7", "+f5", "+Annie", "+Mike"),
    "made": ("", "+f2"),
    "held": ("+f3", "+m1", "+f4", "+m5", "+Andy", "+linda", "+Michael"),
}
_TONGUES: Final = {
    "fit": ("fr_CA_f_June", "es_MX_f_Allison"),
    "held": ("ru_RU_f_IvrvoiceRU", "it_IT_m_Carlo"),
}
"""People who recorded a telephone exchange's announcements."""
_OPENINGS: Final = (
    "各位领导，各位来宾，父老乡亲们，大家晚上好。",
    "感谢刚才精彩的表演，让我们再次把掌声送给他们。",
    "春风送暖，万象更新。",
    "多么动听的歌声啊，仿佛把我们带到了家乡的山水之间。",
    "台上一分钟，台下十年功。",
    "有请下一个节目。",
    "说起我们村这几年的变化，大家心里都有一本账。",
    "非物质文化遗产是我们民族的根。",
    "接下来的这个节目可是大有来头。",
)
_MIDDLES: Final = (
    "下面请欣赏由县文化馆舞蹈队为大家带来的舞蹈，欢聚一堂。",
    "请欣赏男声独唱，我和我的祖国。",
    "接下来是器乐合奏，喜洋洋，表演者，老年大学民乐队。",
    "请听女声小合唱，茉莉花。",
    "下面有请曼景村文艺队表演象脚鼓舞。",
    "让我们掌声有请，城关镇代表队。",
    "请欣赏小品，回家过年。",
    "下一个节目，葫芦丝独奏，月光下的凤尾竹。",
    "请欣赏配乐诗朗诵，沁园春，雪。",
    "有请艺术团的孩子们，他们带来的是童声合唱。",
)
_TALES: Final = (
    "哎呀老王，你这是上哪儿去啊，我找了你半天了。",
    "我上集市卖鸡蛋去，你不知道，今年的鸡蛋可值钱了。",
    "你说说看，我们家那小子，从城里打电话回来，说过年不回家。",
    "那怎么行呢，一年到头就盼着这一天呢。",
    "后来呢，后来我就跟他说，你不回来，我就去找你。",
    "对对对，就是这个理儿。",
    "你这个人啊，就是死脑筋，现在都什么年代了。",
    "我跟你讲，昨天晚上我做了一个梦，梦见咱们村通了高铁。",
    "北国风光，千里冰封，万里雪飘。望长城内外，惟余莽莽。",
    "你可拉倒吧，你会唱歌，我还会跳舞呢。",
)


def missing() -> list[str]:
    """Programs and packages that are not here, without which there is less to hear."""
    found = {
        "espeak-ng": shutil.which("espeak-ng") is not None,
        "fluidsynth": shutil.which("fluidsynth") is not None and _BANK.exists(),
        "tunes to play": all(path.exists() for path in _MIDI),
        "recorded tunes": all(path.exists() for path in _TUNES),
        "recorded speech": all(
            (_SPEAKERS / tongue).exists() for pair in _TONGUES.values() for tongue in pair
        ),
    }
    return [name for name, there in found.items() if not there]


def level(sound: Sound, decibel: float) -> Sound:
    """The sound at an RMS level of its loud half, in dB of full scale."""
    power = np.square(sound[: len(sound) // 800 * 800].reshape(-1, 800)).mean(axis=1)
    loud = float(np.sqrt(np.sort(power)[len(power) // 2 :].mean())) if len(power) else 0.0
    made: Sound = (sound * np.float32(10 ** (decibel / 20) / max(loud, 1e-6))).astype(np.float32)
    return np.clip(made, -0.99, 0.99)


def fade(sound: Sound, begin: float, end: float) -> Sound:
    """Fade in and out over so many seconds."""
    made = sound.copy()
    first, last = int(begin * RATE), int(end * RATE)
    if first:
        made[:first] *= np.linspace(0, 1, first, dtype=np.float32)[: len(made)]
    if last:
        made[-last:] *= np.linspace(1, 0, last, dtype=np.float32)[-len(made) :]
    return made


def hall(sound: Sound, dice: np.random.Generator, wet: float) -> Sound:
    """In a room: a decaying tail of 0.3 to 1.2 s."""
    seconds = float(dice.uniform(0.3, 1.2))
    length = int(seconds * RATE)
    tail = dice.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
    tail /= np.sqrt(np.square(tail).sum())
    made: Sound = (sound + wet * signal.fftconvolve(sound, tail)[: len(sound)]).astype(np.float32)
    return made


# --- spoken ----------------------------------------------------------------------------------


def _say(text: str, voice: str, pitch: int, speed: int) -> Sound:
    made = subprocess.run(
        ["espeak-ng", "-v", f"cmn{voice}", "-p", str(pitch), "-s", str(speed), "--stdout", text],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    samples = np.frombuffer(made[44 : 44 + (len(made) - 44) // 2 * 2], "<i2") / 32768
    made_16k: Sound = signal.resample_poly(samples, 320, 441).astype(np.float32)
    return made_16k


class Speaker:
    """Somebody with a voice of their own."""

    def __init__(self, dice: np.random.Generator, shelf: Shelf) -> None:
        self._voice = str(dice.choice(_VARIANTS[shelf]))
        self._pitch, self._speed = int(dice.integers(30, 75)), int(dice.integers(150, 210))

    def say(self, text: str) -> Sound:
        return _say(text, self._voice, self._pitch, self._speed)


def announcement(dice: np.random.Generator, host: Speaker, seconds: float) -> Sound:
    """A host's words before an act: about so long, with pauses for breath."""
    spoken: list[Sound] = []
    last = host.say(str(dice.choice(_MIDDLES)))
    length = len(last)
    while length < seconds * RATE:
        spoken += [host.say(str(dice.choice(_OPENINGS))), silence(float(dice.uniform(0.2, 0.9)))]
        length += len(spoken[-1]) + len(spoken[-2])
    return level(np.concatenate([*spoken, last]), float(dice.uniform(-24, -17)))


def sketch(dice: np.random.Generator, shelf: Shelf, seconds: float) -> Sound:
    """A piece of words: two people in turn, with laughter and claps of the audience in between."""
    voices = [Speaker(dice, shelf), Speaker(dice, shelf)]
    made: list[Sound] = []
    length, turn = 0, 0
    while length < seconds * RATE:
        for _ in range(int(dice.integers(1, 3))):
            made += [
                voices[turn % 2].say(str(dice.choice(_TALES))),
                silence(dice.uniform(0.1, 0.6)),
            ]
        turn += 1
        if dice.random() < 0.12:
            crowd = laughter if dice.random() < 0.7 else applause
            made.append(level(crowd(dice, float(dice.uniform(1.5, 3.5))), -27))
        length = sum(map(len, made))
    return level(np.concatenate(made)[: int(seconds * RATE)], float(dice.uniform(-25, -18)))


def people(dice: np.random.Generator, shelf: Shelf, seconds: float) -> Sound:
    """Recorded human speech: one speaker's short announcements, one after the other."""
    if "recorded speech" in missing():
        return sketch(dice, shelf, seconds)
    tongue = str(dice.choice(_TONGUES[shelf]))
    files = [
        path for path in sorted((_SPEAKERS / tongue).glob("*.gsm")) if path.stat().st_size > 2000
    ]
    made: list[Sound] = []
    while sum(map(len, made)) < seconds * RATE:
        made += [recorded(files[int(dice.integers(len(files)))]), silence(dice.uniform(0.1, 0.7))]
    return level(np.concatenate(made)[: int(seconds * RATE)], float(dice.uniform(-25, -18)))


# --- recorded --------------------------------------------------------------------------------


@lru_cache(maxsize=400)
def recorded(path: Path) -> Sound:
    """Any sound file as we take it."""
    made = subprocess.run(
        [ffmpeg_path(Settings()), "-v", "error", "-nostdin", "-i", str(path), "-vn", "-ac", "1",
         "-ar", str(RATE), "-f", "s16le", "-"], capture_output=True, check=True,
    ).stdout  # fmt: skip
    return (np.frombuffer(made, "<i2") / 32768).astype(np.float32)


@lru_cache(maxsize=24)
def _played(path: Path) -> Sound:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "tune.wav"
        subprocess.run(
            ["fluidsynth", "-ni", "-q", "-r", str(RATE), "-F", str(out), str(_BANK), str(path)],
            capture_output=True, check=True, timeout=120,
        )  # fmt: skip
        return recorded.__wrapped__(out)


@lru_cache(maxsize=3)
def tunes(shelf: Shelf) -> list[Callable[[], Sound]]:
    """Tunes of a shelf, each a function that gives it whole: every second one of each folder."""
    if shelf == "made":
        return []
    side = 0 if shelf == "fit" else 1
    made: list[Callable[[], Sound]] = []
    if shutil.which("fluidsynth") and _BANK.exists():
        scores = sorted(path for folder in _MIDI for path in folder.glob("*.mid"))
        made += [partial(_played, path) for path in scores[side::2]]
    long = sorted(
        path for folder in _TUNES for path in folder.rglob("*")
        if path.suffix in (".ogg", ".wav") and path.stat().st_size > 800_000
        and path.name != "guitar.ogg"
    )  # fmt: skip
    return made + [partial(recorded, path) for path in long[side::2]]


def tune(dice: np.random.Generator, shelf: Shelf, seconds: float) -> Sound:
    """A tune composed by people; repeated where it is shorter."""
    shelved = tunes(shelf)
    if not shelved:
        return level(ensemble(dice, seconds), float(dice.uniform(-22, -14)))
    whole = shelved[int(dice.integers(len(shelved)))]()
    loud = np.flatnonzero(np.abs(whole) > 0.02)
    whole = whole[loud[0] : loud[-1]] if len(loud) else whole
    made = np.resize(whole, int(seconds * RATE))
    return fade(level(made, float(dice.uniform(-22, -14))), 0.02, float(dice.uniform(0.5, 3)))


def over_music(spoken: Sound, dice: np.random.Generator, shelf: Shelf) -> Sound:
    """Words over a quiet tune, as hosts are often heard."""
    backing = tune(dice, shelf, len(spoken) / RATE + 0.1)[: len(spoken)]
    power = float(np.sqrt(np.square(spoken).mean() / (np.square(backing).mean() + 1e-9)))
    mixed: Sound = spoken + backing * np.float32(power * 10 ** (dice.uniform(-22, -11) / 20))
    return mixed


# --- the audience ----------------------------------------------------------------------------


def silence(seconds: float) -> Sound:
    return np.zeros(int(seconds * RATE), np.float32)


def room(dice: np.random.Generator, length: int) -> Sound:
    """The hall's own noise, about -60 to -48 dB."""
    noise = signal.lfilter([0.05], [1, -0.95], dice.standard_normal(length))
    quiet: Sound = (noise * 10 ** (dice.uniform(-60, -48) / 20) / noise.std()).astype(np.float32)
    return quiet


def applause(dice: np.random.Generator, seconds: float) -> Sound:
    """Many people clap: each at a rate of their own, swelling at once and dying away slowly."""
    length = int(seconds * RATE)
    crowd = int(dice.integers(25, 250))
    swell, decay = min(0.8, seconds / 4), seconds * float(dice.uniform(0.3, 0.6))
    hits = np.zeros(length + RATE, np.float64)
    for _ in range(crowd):
        rate, at = dice.uniform(2.6, 4.6), dice.uniform(0, swell)
        until = seconds - abs(dice.normal(0, decay / 2))
        times = np.arange(at, max(at, until), 1 / rate)
        times = times + dice.normal(0, 0.02, len(times))
        index = np.clip((times * RATE).astype(int), 0, length - 1)
        np.add.at(hits, index, dice.uniform(0.2, 1.0) * dice.choice((-1, 1), len(index)))
    clap_length = RATE // 40
    made = np.zeros(length + RATE)
    for _ in range(3):
        middle = dice.uniform(900, 2600)
        band = signal.butter(2, [middle * 0.6, min(7600, middle * 2.2)], "band", fs=RATE)
        clap = signal.lfilter(*band, dice.standard_normal(clap_length))
        clap = clap * np.exp(-np.arange(clap_length) / (RATE * dice.uniform(0.002, 0.006)))
        made += signal.fftconvolve(hits, clap)[: len(made)] * dice.uniform(0.4, 1)
    sound = hall(made[:length].astype(np.float32), dice, 0.5)
    return fade(level(sound, float(dice.uniform(-27, -18))), 0.1, min(2.0, seconds / 3))


def real_applause(dice: np.random.Generator, seconds: float) -> Sound:
    """The recorded one, grain over grain, as long as wanted."""
    if not _CLAPS.exists():
        return applause(dice, seconds)
    grain_source = recorded(_CLAPS)
    size = RATE // 2
    window = np.hanning(size).astype(np.float32)
    made = np.zeros(int(seconds * RATE) + size, np.float32)
    for at in range(0, len(made) - size, size // 4):
        first = int(dice.integers(RATE // 8, len(grain_source) - size - RATE // 4))
        made[at : at + size] += window * grain_source[first : first + size]
    made = made[: int(seconds * RATE)]
    return fade(level(made, float(dice.uniform(-27, -18))), 0.3, min(2.0, seconds / 3))


def claps(dice: np.random.Generator, shelf: Shelf, seconds: float) -> Sound:
    """Either of the two."""
    made = applause if shelf == "made" or dice.random() < 0.7 else real_applause
    return made(dice, seconds)


def laughter(dice: np.random.Generator, seconds: float) -> Sound:
    """People laugh: voiced bursts, four or five a second, many at once."""
    length = int(seconds * RATE)
    time = np.arange(length) / RATE
    made = np.zeros(length)
    for _ in range(int(dice.integers(6, 25))):
        pitch, rate, phase = dice.uniform(140, 380), dice.uniform(3.8, 5.5), dice.uniform(0, 6.28)
        bursts = np.clip(np.sin(2 * np.pi * rate * time + phase), 0, 1) ** 2
        voice = signal.sawtooth(2 * np.pi * pitch * time * (1 - 0.1 * time / max(seconds, 1)))
        formant = signal.butter(2, np.array([dice.uniform(400, 800), 2500]), "band", fs=RATE)
        made += signal.lfilter(
            *formant, voice * bursts + 0.3 * dice.standard_normal(length) * bursts
        )
    return fade(hall(made.astype(np.float32), dice, 0.4), 0.1, seconds / 3)
