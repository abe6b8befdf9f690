"""Fits the weights that tell kinds of sound, and writes them as numbers.

    python -m bench.acts_fit [--minutes 90] [--write]

The recipe: for each kind, so many minutes from the shelf "fit" of bench/acts_sounds.py at varied
levels, in varied rooms, over the hall's noise, sent through AAC as a broadcast is; rows of
vod/acts/context.py, those about a change left out; a multinomial logistic regression with a small
ridge (L-BFGS). Printed: how much of the shelf "held" comes out right. With --write the numbers
go into vod/acts/weights.py.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import optimize
from scipy.io import wavfile

from bench import acts_sounds as sounds
from bench.acts_sounds import Shelf, Speaker
from bench.acts_tunes import RATE, Sound, ensemble, song
from infra.ffmpeg import ffmpeg_path
from infra.settings import Settings
from vod.acts.context import NAMES, describe, reference
from vod.acts.grid import CELLS_PER_SECOND
from vod.acts.kinds import KINDS, expand
from vod.acts.sound import SoundReader

RIDGE: Final = 1e-3
EDGE_CELLS: Final = 1
"""Cells next to a change belong to two kinds."""
TARGET: Final = Path(__file__).parents[1] / "vod/acts/weights.py"


def piece(kind: str, dice: np.random.Generator, shelf: Shelf) -> Sound:
    """Ten to forty seconds of one kind."""
    seconds = float(dice.uniform(10, 40))
    if kind == "speech":
        way = dice.random()
        if way < 0.4:
            spoken = sounds.announcement(dice, Speaker(dice, shelf), seconds)
        else:
            spoken = (sounds.sketch if way < 0.6 else sounds.people)(dice, shelf, seconds)
        return sounds.over_music(spoken, dice, shelf) if dice.random() < 0.3 else spoken
    if kind == "applause":
        way = dice.random()
        if way < 0.2:
            return sounds.laughter(dice, seconds / 4)
        real = way > 0.8
        return (sounds.real_applause if real else sounds.applause)(dice, seconds / 2)
    if kind == "silence":
        return sounds.silence(seconds / 3)
    backing = (
        sounds.tune(dice, shelf, seconds)
        if dice.random() < 0.7
        else sounds.level(ensemble(dice, seconds), -18)
    )
    return backing if kind == "music" else sounds.level(song(dice, backing), dice.uniform(-22, -14))


def stretch(dice: np.random.Generator, shelf: Shelf, minutes: float) -> tuple[Sound, list[Any]]:
    """Pieces one after the other, with who is who: (sound, [(kind, first, last sample), …])."""
    parts: list[Sound] = []
    told: list[Any] = []
    at = 0
    while at < minutes * 60 * RATE:
        kind = str(dice.choice(KINDS, p=(0.08, 0.3, 0.28, 0.22, 0.12)))
        made = piece(kind, dice, shelf)
        if dice.random() < 0.5:
            made = sounds.hall(made, dice, float(dice.uniform(0.1, 0.4)))
        parts.append(made)
        told.append((kind, at, at + len(made)))
        at += len(made)
        if dice.random() < 0.5:
            rest = sounds.silence(float(dice.uniform(0.6, 3)))
            parts.append(rest)
            told.append(("silence", at, at + len(rest)))
            at += len(rest)
    whole = np.concatenate(parts)
    return np.clip(whole + sounds.room(dice, len(whole)), -1, 1), told


def coded(sound: Sound, bitrate: str = "96k") -> Sound:
    """Through AAC and back, as broadcasts are."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.wav", Path(folder) / "out.m4a"
        wavfile.write(source, RATE, (sound * 32767).astype(np.int16))
        subprocess.run(
            [ffmpeg_path(Settings()), "-v", "error", "-nostdin", "-i", str(source), "-ar", "44100",
             "-c:a", "aac", "-b:a", bitrate, str(target)], check=True,
        )  # fmt: skip
        return sounds.recorded.__wrapped__(target)[: len(sound)]


def rows(sound: Sound, told: list[Any]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """(rows of cells, kinds) of what is certain."""
    reader = SoundReader()
    reader.feed((sound * 32767).astype("<i2").tobytes())
    frames = reader.finish().frames
    described = describe(frames, reference(frames))
    kinds = np.full(len(described), -1)
    step = RATE // CELLS_PER_SECOND
    for kind, first, last in told:
        kinds[-(-first // step) + EDGE_CELLS : last // step - EDGE_CELLS] = KINDS.index(kind)
    certain = kinds >= 0
    return described[certain], kinds[certain]


def gather(
    shelf: Shelf, seed: int, minutes: float
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Rows of several recordings of ten minutes, each with a level of its own."""
    found = []
    for number in range(max(1, round(minutes / 10))):
        dice = np.random.default_rng(seed + number)
        sound, told = stretch(dice, shelf, 10)
        found.append(rows(coded(sound * np.float32(dice.uniform(0.2, 1.0))), told))
        print(f"  {shelf} {number + 1}", flush=True)
    return np.concatenate([f[0] for f in found]), np.concatenate([f[1] for f in found])


def fit(inputs: NDArray[np.float64], kinds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Weights (columns + 1, kinds), each kind counting as much as the others."""
    count, columns = inputs.shape
    x = np.concatenate([inputs, np.ones((count, 1))], axis=1)
    share = np.bincount(kinds, minlength=len(KINDS)) / count
    weight = (1 / (len(KINDS) * share))[kinds] / count
    hot = np.eye(len(KINDS))[kinds]

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        w = flat.reshape(columns + 1, len(KINDS))
        z = x @ w
        z -= z.max(axis=1, keepdims=True)
        p = np.exp(z)
        p /= p.sum(axis=1, keepdims=True)
        cost = -(weight * np.log(p[np.arange(count), kinds] + 1e-12)).sum()
        grad = x.T @ (weight[:, None] * (p - hot))
        return cost + RIDGE * np.square(w[:-1]).sum(), (
            grad + 2 * RIDGE * np.concatenate([w[:-1], np.zeros((1, len(KINDS)))])
        ).ravel()

    start = np.zeros((columns + 1) * len(KINDS))
    done = optimize.minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 600})
    return np.asarray(done.x).reshape(columns + 1, len(KINDS))


def confusion(
    w: NDArray[np.float64], inputs: NDArray[np.float64], kinds: NDArray[np.int64]
) -> None:
    """Print what became of each kind, in percent."""
    chosen = (np.concatenate([inputs, np.ones((len(inputs), 1))], axis=1) @ w).argmax(axis=1)
    print("  " + " ".join(f"{kind:>9}" for kind in KINDS))
    for number, kind in enumerate(KINDS):
        mine = chosen[kinds == number]
        counts = np.bincount(mine, minlength=len(KINDS)) / max(1, len(mine)) * 100
        print("  " + " ".join(f"{c:9.1f}" for c in counts) + f"  {kind}")
    print(
        f"  right: {(chosen == kinds).mean():.1%} of {len(kinds) / CELLS_PER_SECOND / 60:.0f} min"
    )


def main() -> int:
    """Fit, measure, and write if asked."""
    wishes = argparse.ArgumentParser(description=__doc__)
    wishes.add_argument("--minutes", type=float, default=90)
    wishes.add_argument("--write", action="store_true")
    asked = wishes.parse_args()
    if lacking := sounds.missing():
        print(f"skipped: {', '.join(lacking)} not installed (make bench-tools)")
        return 0
    raw, kinds = gather("fit", 100, asked.minutes)
    mean, scale = raw.mean(axis=0, dtype=np.float64), raw.std(axis=0, dtype=np.float64) + 1e-6
    inputs = expand(raw, mean, scale)
    weights = fit(inputs, kinds)
    confusion(weights, inputs, kinds)
    held, held_kinds = gather("held", 900, asked.minutes / 2)
    confusion(weights, expand(held, mean, scale), held_kinds)
    if asked.write:
        write(mean, scale, weights)
    return 0


def write(
    mean: NDArray[np.float64], scale: NDArray[np.float64], weights: NDArray[np.float64]
) -> None:
    """The numbers as a module."""

    def line(values: NDArray[np.float64]) -> str:
        return "(" + ", ".join(f"{value:.4g}" for value in values) + ")"

    body = "\n".join(f"    {line(row)}," for row in weights)
    TARGET.write_text(
        '"""Weights that tell kinds of sound, as bench/acts_fit.py fitted them: do not edit."""\n\n'
        "# fmt: off\n# ruff: noqa: E501\n"
        f"COLUMNS = {len(NAMES)}\nMEAN = {line(mean)}\nSCALE = {line(scale)}\n"
        f"WEIGHTS = (\n{body}\n)\n"
    )


if __name__ == "__main__":
    sys.exit(main())
