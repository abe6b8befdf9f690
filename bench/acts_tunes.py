"""Tunes that no package has to ship: synthetic instruments, drums, and a voice that sings."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import signal

RATE: Final = 16_000
Sound = NDArray[np.float32]

_SCALES: Final = ((0, 2, 4, 7, 9), (0, 3, 5, 7, 10), (0, 2, 4, 5, 7, 9, 11))
_VOWELS: Final = (
    (800, 1200, 2900), (350, 2200, 3000), (450, 800, 2830), (325, 700, 2700), (400, 1700, 2600),
)  # fmt: skip
"""Formants of a, i, o, u, e in Hz."""


def _hertz(note: float) -> float:
    return float(440 * 2 ** ((note - 69) / 12))


def _plucked(hertz: float, length: int, dice: np.random.Generator) -> NDArray[np.float64]:
    """A string (Karplus and Strong): a delay line with a soft loss."""
    period = max(2, int(RATE / hertz))
    burst = np.zeros(length)
    burst[:period] = dice.uniform(-1, 1, min(period, length))
    return np.asarray(signal.lfilter([1], [1, *[0] * (period - 1), -0.498, -0.498], burst))


def _blown(hertz: float, length: int, bright: float) -> NDArray[np.float64]:
    """A pipe or a bow: harmonics, vibrato, a soft beginning."""
    time = np.arange(length) / RATE
    phase = 2 * np.pi * hertz * time + 0.25 * np.sin(2 * np.pi * 5.3 * time)
    made = np.zeros(length)
    for harmonic in range(1, 9):
        if hertz * harmonic < RATE / 2:
            made += np.sin(harmonic * phase) * bright ** (harmonic - 1)
    rise = np.minimum(1, np.arange(length) / (0.05 * RATE))
    return np.asarray(made * rise * rise[::-1])


def _drum(length: int, dice: np.random.Generator, low: bool) -> NDArray[np.float64]:
    time = np.arange(min(length, RATE // 4)) / RATE
    if low:
        return np.asarray(
            np.sin(2 * np.pi * (60 + 60 * np.exp(-time * 30)) * time) * np.exp(-time * 14)
        )
    noise = dice.standard_normal(len(time)) * np.exp(-time * dice.uniform(20, 60))
    return np.asarray(noise * 0.5)


def melody(dice: np.random.Generator, seconds: float) -> list[tuple[float, float, int]]:
    """(begins s, lasts s, MIDI note) of a tune in phrases, at a tempo of its own."""
    beat = 60 / dice.uniform(60, 150)
    scale = _SCALES[int(dice.integers(len(_SCALES)))]
    root, place = int(dice.integers(52, 64)), int(dice.integers(0, 8))
    notes, at = [], 0.0
    while at < seconds:
        length = beat * float(dice.choice((0.5, 0.5, 1, 1, 1, 2)))
        place = int(np.clip(place + dice.integers(-2, 3), 0, 13))
        note = root + 12 * (place // len(scale)) + scale[place % len(scale)]
        if dice.random() > 0.05:
            notes.append((at, min(length, seconds - at), note))
        at += length
    return notes


def ensemble(dice: np.random.Generator, seconds: float) -> Sound:
    """One to three instruments in unison or an octave apart, with or without drums."""
    notes = melody(dice, seconds)
    made = np.zeros(int(seconds * RATE) + RATE)
    for _ in range(int(dice.integers(1, 4))):
        plucked, bright = dice.random() < 0.5, dice.uniform(0.3, 0.7)
        octave, gain = int(dice.choice((-12, 0, 12))), dice.uniform(0.4, 1)
        for at, lasts, note in notes:
            length = max(200, int(lasts * RATE))
            hertz = _hertz(note + octave)
            sound = _plucked(hertz, length, dice) if plucked else _blown(hertz, length, bright)
            first = int(at * RATE)
            made[first : first + length] += gain * sound[: len(made) - first]
    if dice.random() < 0.6:
        _beat(made, dice, seconds)
    whole: Sound = (made[: int(seconds * RATE)] / np.abs(made).max()).astype(np.float32)
    return whole


def _beat(made: NDArray[np.float64], dice: np.random.Generator, seconds: float) -> None:
    beat = 60 / dice.uniform(80, 140)
    for number in range(int(seconds / beat)):
        sound = _drum(RATE, dice, number % 2 == 0)
        first = int(number * beat * RATE)
        made[first : first + len(sound)] += 0.9 * sound[: len(made) - first]


def singing(dice: np.random.Generator, seconds: float) -> Sound:
    """A voice that sings vowels to a tune: a glottal source with vibrato through three formants."""
    length = int(seconds * RATE)
    shift = float(dice.choice((-5, 0, 7, 12)))
    hertz, loud = np.zeros(length), np.zeros(length)
    vowels: list[tuple[int, int, int]] = []
    for at, lasts, note in melody(dice, seconds):
        first, last = int(at * RATE), min(length, int((at + lasts) * RATE))
        hertz[first:last] = _hertz(note + shift)
        loud[first:last] = 1
        vowels.append((first, last, int(dice.integers(len(_VOWELS)))))
    time = np.arange(length) / RATE
    smooth = signal.lfilter([0.004], [1, -0.996], hertz) * (1 + 0.012 * np.sin(34 * time))
    source = signal.sawtooth(2 * np.pi * np.cumsum(smooth) / RATE)
    source = source * signal.lfilter([0.006], [1, -0.994], loud)
    source += 0.02 * dice.standard_normal(length)
    made = np.zeros(length)
    for kind in {vowel for *_, vowel in vowels}:
        gate = np.zeros(length)
        for first, last, vowel in vowels:
            if vowel == kind:
                gate[first:last] = 1
        gate = signal.lfilter([0.01], [1, -0.99], gate)
        for place, formant in enumerate(_VOWELS[kind]):
            peak = signal.iirpeak(formant, formant / 110, fs=RATE)
            made += signal.lfilter(*peak, source) * gate / (place + 1)
    whole: Sound = (made / max(1e-6, np.abs(made).max())).astype(np.float32)
    return whole


def song(dice: np.random.Generator, backing: Sound) -> Sound:
    """A voice over a backing: after some bars of it alone, and with gaps between verses."""
    seconds = len(backing) / RATE
    voice = singing(dice, seconds + 0.1)[: len(backing)]
    gate = np.ones(len(voice), np.float32)
    at = float(dice.uniform(2, 9))
    gate[: int(at * RATE)] = 0
    while at < seconds:
        at += float(dice.uniform(12, 30))
        rest = float(dice.uniform(1, 7))
        gate[int(at * RATE) : int((at + rest) * RATE)] = 0
        at += rest
    power = float(np.sqrt(np.square(backing).mean())) + 1e-6
    voice *= power * dice.uniform(0.9, 2.2) / (float(np.sqrt(np.square(voice).mean())) + 1e-6)
    mixed: Sound = (backing * dice.uniform(0.5, 1) + voice * gate).astype(np.float32)
    return mixed
