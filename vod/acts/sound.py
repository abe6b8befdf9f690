"""What one frame of sound is like: pure arithmetic on samples, in a stream, in bounded memory.

A frame is 1024 samples of 16 kHz mono under a Hann window, one every 500 samples (31.25 ms).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from vod.acts.grid import FRAMES_PER_CELL, HOP, PEAKS_PER_SECOND, RATE

Floats = NDArray[np.float32]

WINDOW: Final = 1024
BINS: Final = WINDOW // 2 + 1
BLOCK_FRAMES: Final = 512
"""Frames worked on at once."""
PEAK_SAMPLES: Final = RATE // PEAKS_PER_SECOND
"""Samples behind one peak of the waveform."""

_BANDS: Final = (100, 200, 400, 800, 1600, 3200, 6400)
NAMES: Final = (
    "loud", "flatness", "centroid", "crossings", "flux", "harmonicity", "pitch", "lasting",
    "onset", *(f"band{low}" for low in _BANDS[:-1]),
)  # fmt: skip
"""Columns of a frame's row: loudness (dB of full scale), flatness (log), centroid (octaves above
100 Hz), zero crossings (share), flux, harmonicity (0 to 1), pitch (octaves above 70 Hz, 0 without
one), share of spectral peaks that stay where they are, onset strength, and bands (dB)."""

_TINY: Final = 1e-10
_FLOOR: Final = 1e-3
"""Power of a bin in what nobody hears (about -90 dB): silence has no shape of its own."""
_LASTING_FRAMES: Final = 16
_PEAK_LIFT: Final = 1.1
"""So far above its neighbours' mean (in ln of power) a bin is a peak."""
_LAG_MIN, _LAG_MAX = RATE // 500, RATE // 70


@dataclass(frozen=True, slots=True)
class Heard:
    """What a stretch sounds like: rows of frames, and the waveform's peaks (0 to 255)."""

    frames: Floats
    peaks: NDArray[np.uint8]


class SoundReader:
    """Takes the samples of one stretch as they come, gives its frames at the end."""

    def __init__(self) -> None:
        self._pending = np.zeros(0, np.float32)
        self._odd = b""
        self._rows: list[Floats] = []
        self._peaks: list[NDArray[np.uint8]] = []
        self._unpeaked = np.zeros(0, np.float32)
        self._before = np.zeros((_LASTING_FRAMES - 1, BINS // 2), np.bool_)
        self._spectrum = np.zeros((1, BINS), np.float32)
        self.samples = 0

    def feed(self, data: bytes) -> None:
        """Samples of 16 bits, little-endian, cut anywhere."""
        data = self._odd + data
        whole = len(data) // 2 * 2
        self._odd = data[whole:]
        samples = (np.frombuffer(data[:whole], "<i2") / 32768).astype(np.float32)
        self.samples += len(samples)
        self._peak(samples)
        self._pending = np.concatenate([self._pending, samples])
        need = WINDOW + (BLOCK_FRAMES - 1) * HOP
        while len(self._pending) >= need:
            self._work(self._pending[:need])
            self._pending = self._pending[BLOCK_FRAMES * HOP :]

    def finish(self) -> Heard:
        """The rest, with silence behind it to a whole cell."""
        frames = -(-len(self._pending) // HOP)
        done = BLOCK_FRAMES * len(self._rows)
        frames += -(done + frames) % FRAMES_PER_CELL
        if frames:
            short = WINDOW + (frames - 1) * HOP - len(self._pending)
            self._work(np.pad(self._pending, (0, max(0, short))))
            self._pending = np.zeros(0, np.float32)
        if len(self._unpeaked):
            self._peaks.append(_scaled(np.abs(self._unpeaked).max(keepdims=True)))
            self._unpeaked = self._unpeaked[:0]
        rows = np.concatenate(self._rows) if self._rows else np.zeros((0, len(NAMES)), np.float32)
        peaks = np.concatenate(self._peaks) if self._peaks else np.zeros(0, np.uint8)
        return Heard(rows, peaks)

    def _peak(self, samples: Floats) -> None:
        joined = np.concatenate([self._unpeaked, samples])
        whole = len(joined) // PEAK_SAMPLES * PEAK_SAMPLES
        if whole:
            highest = np.abs(joined[:whole].reshape(-1, PEAK_SAMPLES)).max(axis=1)
            self._peaks.append(_scaled(highest))
        self._unpeaked = joined[whole:]

    def _work(self, samples: Floats) -> None:
        view = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
        spectrum = fft.rfft(view * _HANN, axis=1)
        power = (spectrum.real**2 + spectrum.imag**2).astype(np.float32) + _FLOOR
        log = np.log(power)
        rows = np.empty((len(view), len(NAMES)), np.float32)
        rows[:, 0] = _loudness(view)
        rows[:, 1], rows[:, 2] = _shape(power, log)
        rows[:, 3] = (np.signbit(view[:, 1:]) != np.signbit(view[:, :-1])).mean(axis=1)
        rows[:, 4], rows[:, 8] = self._changes(power, log)
        rows[:, 5], rows[:, 6] = _harmonicity(power)
        rows[:, 7] = self._lasting(log)
        for column, (low, high) in enumerate(_EDGES, start=9):
            rows[:, column] = 10 * np.log10(power[:, low:high].mean(axis=1))
        self._rows.append(rows)

    def _changes(self, power: Floats, log: Floats) -> tuple[Floats, Floats]:
        """(flux of the spectrum's shape, strength of an onset) against the frame before."""
        shape = np.sqrt(power)
        shape /= shape.sum(axis=1, keepdims=True)
        joined = np.concatenate([self._spectrum, log[:, :BINS]])
        self._spectrum = joined[-1:]
        rise = np.clip(joined[1:] - np.maximum(joined[:-1], -12), 0, 4)
        flux = np.abs(np.diff(shape, axis=0, prepend=shape[:1])).sum(axis=1)
        return flux, rise[:, 3:260].mean(axis=1)

    def _lasting(self, log: Floats) -> Floats:
        """Share of bins up to 4 kHz that were peaks for most of the last half second: tones are
        held in music, and glide in speech."""
        half = log[:, : BINS // 2]
        sums = np.cumsum(np.pad(half, ((0, 0), (9, 8)), mode="edge"), axis=1)
        around = (sums[:, 16:] - np.pad(sums[:, :-17], ((0, 0), (1, 0)))) / 16
        peaks = half > around[:, : BINS // 2] + _PEAK_LIFT
        joined = np.concatenate([self._before, peaks])
        self._before = joined[-(_LASTING_FRAMES - 1) :]
        counts = np.cumsum(joined, axis=0, dtype=np.int32)
        counts = np.concatenate([np.zeros((1, counts.shape[1]), np.int32), counts])
        stay = counts[_LASTING_FRAMES:] - counts[:-_LASTING_FRAMES]
        held: Floats = (stay >= 0.8 * _LASTING_FRAMES).mean(axis=1).astype(np.float32)
        return held


def _scaled(peaks: Floats) -> NDArray[np.uint8]:
    return np.minimum(255, np.round(peaks * 255)).astype(np.uint8)


def _loudness(view: Floats) -> Floats:
    loud: Floats = (10 * np.log10(np.square(view).mean(axis=1) + _TINY)).astype(np.float32)
    return loud


def _shape(power: Floats, log: Floats) -> tuple[Floats, Floats]:
    """(flatness, centroid) from 200 Hz to 7 kHz."""
    part, part_log = power[:, 13:448], log[:, 13:448]
    mean = part.mean(axis=1)
    flatness = part_log.mean(axis=1) - np.log(mean)
    centre = (np.sqrt(part) * _HERTZ[13:448]).sum(axis=1) / np.sqrt(part).sum(axis=1)
    return flatness, np.log2(centre / 100)


def _harmonicity(power: Floats) -> tuple[Floats, Floats]:
    """(highest peak of the autocorrelation between 70 and 500 Hz, its pitch in octaves)."""
    # The square root of the power weighs the harmonics more evenly; below 4 kHz only.
    root = np.sqrt(power)
    root[:, 256:] = 0
    root[:, :4] = 0
    correlation = fft.irfft(root, axis=1)[:, : _LAG_MAX + 1]
    # The window's own decay is divided out.
    norm = correlation / (correlation[:, :1] + _TINY)
    part = norm[:, _LAG_MIN:]
    best = part.argmax(axis=1)
    height = np.clip(part[np.arange(len(part)), best], 0, 1)
    pitch = np.log2(RATE / (best + _LAG_MIN) / 70)
    return height.astype(np.float32), np.where(height > 0.35, pitch, 0).astype(np.float32)


_HANN: Final = np.hanning(WINDOW).astype(np.float32)
_HERTZ: Final = (np.arange(BINS) * RATE / WINDOW).astype(np.float32)
_EDGES: Final = [
    (round(low * WINDOW / RATE), round(high * WINDOW / RATE)) for low, high in pairwise(_BANDS)
]
