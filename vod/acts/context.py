"""What a quarter of a second is like among its neighbours: frames of sound become rows of cells.

Windows of two seconds tell speech (syllables at about 4 Hz, pauses, a gliding pitch), six seconds
tell a beat. Levels count against the programme's own, so that a quiet recording is not silence.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, signal

from vod.acts.grid import FRAME_RATE, FRAMES_PER_CELL
from vod.acts.sound import NAMES as FRAME_NAMES

Floats = NDArray[np.float32]

NAMES: Final = (
    "loud", "loud_spread", "loud_step", "pauses", "syllables", "flatness", "flatness_spread",
    "centroid", "centroid_spread", "crossings", "crossings_spread", "flux", "flux_spread",
    "harmonicity", "harmonicity_spread", "voiced", "glide", "lasting", "onset", "onset_spread",
    "pulse", "low", "high", "tilt_spread", "band_steady", "now_loud", "now_flatness",
    "now_centroid", "now_harmonicity", "now_flux",
)  # fmt: skip
_AT: Final = {name: column for column, name in enumerate(FRAME_NAMES)}
_SHORT: Final = 64
"""Frames of the usual window: two seconds."""
_NOW: Final = 16
"""Frames of the window that says what is heard just now: half a second."""
_QUIET_DB: Final = 42.0
"""So far under the programme's loud passages everything is as quiet."""
_BEAT_FRAMES: Final = 192
_BEAT_LAGS: Final = (9, 48)
"""Frames between beats: 40 to 210 a minute."""


def reference(frames: Floats) -> float:
    """The level of a programme's loud passages, dB of full scale."""
    loud = frames[:, 0]
    audible = loud[loud > -70]
    return float(np.percentile(audible, 90)) if len(audible) else -30.0


def describe(frames: Floats, level: float) -> Floats:
    """One row of NAMES for every cell; ``frames`` are whole cells, ``level`` is their programme's
    ``reference``."""
    if not len(frames):
        return np.zeros((0, len(NAMES)), np.float32)
    loud = np.maximum(frames[:, 0] - level, -_QUIET_DB)
    column = {name: frames[:, at] for name, at in _AT.items()}
    column["tilt"] = column["band3200"] - column["band400"]
    heard = (loud > -_QUIET_DB + 8).astype(np.float32)
    rows = {
        "loud": _mean(loud),
        "loud_spread": _spread(loud),
        "loud_step": _mean(np.abs(np.diff(loud, prepend=loud[:1]))),
        "pauses": _mean((loud < _smooth(loud) - 8).astype(np.float32)),
        "syllables": _syllables(loud),
        "voiced": _mean((column["pitch"] > 0).astype(np.float32)),
        "glide": _glide(column["pitch"]),
        "pulse": _pulse(column["onset"]),
        "low": _mean(column["band100"] - column["band800"]) / 10,
        "high": _mean(column["tilt"]) / 10,
        "tilt_spread": _spread(column["tilt"]) / 10,
        "band_steady": sum(_spread(column[f"band{low}"]) for low in (200, 800, 3200)) / 30,
    }
    rows["now_loud"] = _mean(loud, _NOW)
    for name in ("flatness", "centroid", "harmonicity", "flux"):
        rows[f"now_{name}"] = _mean(column[name], _NOW)
    # Means over what is heard: the shape of silence says nothing of a voice.
    weight = _mean(heard + 1e-3)
    for name in ("flatness", "centroid", "crossings", "flux", "harmonicity", "lasting", "onset"):
        mean = _mean(column[name] * (heard + 1e-3)) / weight
        rows[name] = mean
        if f"{name}_spread" in NAMES:
            square = _mean(np.square(column[name]) * (heard + 1e-3)) / weight
            rows[f"{name}_spread"] = np.sqrt(np.maximum(square - np.square(mean), 0))
    return np.stack([np.asarray(rows[name], np.float32) for name in NAMES], axis=1)


def _smooth(values: NDArray[np.floating], frames: int = _SHORT) -> Floats:
    """The mean of so many frames about each."""
    wide = ndimage.uniform_filter1d(values.astype(np.float64), frames, mode="nearest")
    return np.asarray(wide, np.float32)


def _mean(values: NDArray[np.floating], frames: int = _SHORT) -> Floats:
    """The mean of so many frames about each cell's middle."""
    return _smooth(values, frames)[FRAMES_PER_CELL // 2 :: FRAMES_PER_CELL]


def _spread(values: Floats) -> Floats:
    mean, square = _mean(values), _mean(np.square(values.astype(np.float64)))
    spread: Floats = np.sqrt(np.maximum(square - np.square(mean), 0))
    return spread


def _syllables(loud: Floats) -> Floats:
    """Share of the loudness's movement that is at the rate of syllables (2.5 to 7 Hz)."""
    if len(loud) < 32:
        return np.zeros(-(-len(loud) // FRAMES_PER_CELL), np.float32)
    band = signal.butter(2, (2.5, 7.0), "band", fs=FRAME_RATE, output="sos")
    moved = signal.sosfiltfilt(band, loud)
    return np.sqrt(np.maximum(_mean(np.square(moved)), 0))


def _glide(pitch: Floats) -> Floats:
    """How much the pitch moves within a note or a syllable: octaves a frame, where there is one."""
    both = (pitch[1:] > 0) & (pitch[:-1] > 0)
    step = np.where(both, np.minimum(np.abs(np.diff(pitch)), 0.3), 0)
    steps = np.concatenate([[0], step]).astype(np.float32)
    count = np.concatenate([[0], both]).astype(np.float32)
    glide: Floats = _mean(steps) / (_mean(count) + 0.05)
    return glide


def _pulse(onset: Floats) -> Floats:
    """How regular the beat is in the six seconds about each cell: 0 to 1."""
    cells = len(onset) // FRAMES_PER_CELL
    padded = np.pad(onset, (_BEAT_FRAMES // 2, _BEAT_FRAMES // 2), mode="edge")
    # Once a second is enough.
    stride = int(FRAME_RATE)
    view = np.lib.stride_tricks.sliding_window_view(padded, _BEAT_FRAMES)[::stride]
    part = view - view.mean(axis=1, keepdims=True)
    spectrum = fft.rfft(part, 2 * _BEAT_FRAMES, axis=1)
    correlation = fft.irfft(np.abs(spectrum) ** 2, axis=1)[:, : _BEAT_LAGS[1]]
    norm = correlation[:, _BEAT_LAGS[0] :] / (correlation[:, :1] + 1e-6)
    best = norm.max(axis=1)
    at = np.arange(cells) * FRAMES_PER_CELL / stride
    pulse: Floats = np.interp(at, np.arange(len(best)), best).astype(np.float32)
    return pulse
