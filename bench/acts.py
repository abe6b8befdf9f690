"""Acts found in galas whose acts are known, and how long two hours take.

    python -m bench.acts [--galas 12] [--acts 9] [--no-speed]

Every gala (bench/acts_gala.py) is another seed of the shelf "held", none of which the weights were
fitted on; it is encoded as H.264 and AAC and goes through the same pass and aligner as the job.
A beginning or end counts as found when one is proposed within two seconds (one for one); F1 is
over all galas. With a list means: its order, its genres, and a time for every act that is off by
a minute or so, all counted from a beginning that is not the recording's. The speed is that of the
whole job, on two hours of 480p footage registered in a throw-away database. Fails when F1 with a
list is under 0.9, without under 0.75, or when the job takes more than a tenth of real time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from scipy import optimize

from bench import acts_sounds
from bench.acts_gala import Gala, encode, gala
from catalog.minutes import TICKS_A_SECOND
from infra.ffmpeg import ffmpeg_path
from infra.settings import Settings
from vod.acts.align import Found, align
from vod.acts.cues import Cues, Observed, gather
from vod.acts.grid import CELLS_PER_SECOND
from vod.acts.lattice import Entry
from vod.acts.observing import Programme
from vod.acts.programme import words_chance
from vod.acts.proposing import placed
from vod.acts.watching import watch
from vod.encode import Patience

NEAR_SECONDS: Final = 2.0
SEED: Final = 1
"""Of the first gala."""
WITH_LIST, WITHOUT = 0.9, 0.75
SPEED: Final = 0.1
CONDITIONS: Final = ("no list", "marks", "order only", "list")


@dataclass(slots=True)
class Score:
    """Counted over galas."""

    hit: int = 0
    proposed: int = 0
    true: int = 0
    errors: list[float] = field(default_factory=list)

    def add(self, found: Sequence[float], truth: Sequence[float]) -> None:
        """Pair the two one for one, as many as are within the tolerance."""
        self.proposed += len(found)
        self.true += len(truth)
        if not found or not truth:
            return
        apart = np.abs(np.subtract.outer(np.asarray(found), np.asarray(truth)))
        rows, columns = optimize.linear_sum_assignment(np.where(apart <= NEAR_SECONDS, apart, 1e6))
        near = [float(apart[r, c]) for r, c in zip(rows, columns, strict=True)]
        self.errors += [error for error in near if error <= NEAR_SECONDS]
        self.hit = len(self.errors)

    @property
    def f1(self) -> float:
        return 2 * self.hit / max(1, self.proposed + self.true)

    def __str__(self) -> str:
        return (
            f"F1 {self.f1:.3f}  precision {self.hit / max(1, self.proposed):.3f}  "
            f"recall {self.hit / max(1, self.true):.3f}"
        )


def observe(path: Path) -> Observed:
    """What the job would observe of a file that is one stretch."""
    patience = Patience(deadline=3600, stall=60)
    heard, seen = watch(
        ffmpeg_path(Settings()), path, path, patience=patience, tell=lambda seconds: None
    )
    programme = Programme()
    programme.add(0, heard, seen)
    return programme.observed()


def rough_list(made: Gala, dice: np.random.Generator, *, times: bool) -> list[Entry]:
    """The programme list somebody typed: its times from a beginning of its own, a minute off."""
    shift = float(dice.uniform(-300, 300))
    return [
        Entry(
            about=(act.start + shift + float(dice.normal(0, 60))) * CELLS_PER_SECOND
            if times
            else None,
            words=words_chance(act.genre, act.title),
        )
        for act in made.acts
    ]


def pressed(made: Gala, dice: np.random.Generator) -> list[int]:
    """Marks of somebody at the live desk: late by some seconds, one in ten forgotten."""
    return [
        round((act.start + float(np.clip(dice.normal(3, 3), -4, 15))) * CELLS_PER_SECOND)
        for act in made.acts
        if dice.random() < 0.9
    ]


def conditions(made: Gala, observed: Observed, seed: int) -> dict[str, list[Found]]:
    """What is found under each condition."""
    dice = np.random.default_rng(seed + 7_000)
    cues = gather(observed)
    marked: Cues = gather(observed, pressed(made, dice))
    return {
        "no list": align(cues),
        "marks": align(marked),
        "order only": align(cues, rough_list(made, dice, times=False)),
        "list": align(cues, rough_list(made, dice, times=True)),
    }


def measure(seeds: Sequence[int], acts: int, folder: Path) -> dict[str, tuple[Score, Score]]:
    """(beginnings, ends) by condition, over all galas."""
    scores = {name: (Score(), Score()) for name in CONDITIONS}
    for seed in seeds:
        made = gala(seed, acts=acts)
        path = encode(made, folder / "gala.mp4")
        began = time.perf_counter()
        observed = observe(path)
        took = time.perf_counter() - began
        line = []
        length = round(made.seconds * TICKS_A_SECOND)
        for name, found in conditions(made, observed, seed).items():
            starts, ends = scores[name]
            # As they are proposed: with their air before and behind.
            spans = [placed(found, number, length) for number in range(len(found))]
            first = [start / TICKS_A_SECOND for start, _ in spans]
            here = Score()
            here.add(first, [act.start for act in made.acts])
            line.append(f"{name} {here.f1:.2f}")
            starts.add(first, [act.start for act in made.acts])
            ends.add([end / TICKS_A_SECOND for _, end in spans], [act.end for act in made.acts])
        print(
            f"  gala {seed}: {made.seconds / 60:.0f} min, {len(made.acts)} acts, {took:.1f} s; "
            + ", ".join(line), flush=True,
        )  # fmt: skip
    return scores


def main() -> int:
    """Measure and judge."""
    wishes = argparse.ArgumentParser(description=__doc__)
    wishes.add_argument("--galas", type=int, default=12)
    wishes.add_argument("--acts", type=int, default=9)
    wishes.add_argument("--no-speed", action="store_true")
    asked = wishes.parse_args()
    if "espeak-ng" in (lacking := acts_sounds.missing()):
        print("skipped: espeak-ng is not installed (make bench-tools)")
        return 0
    if lacking:
        print(f"without {', '.join(lacking)}: synthetic tunes and voices alone")
    with tempfile.TemporaryDirectory() as folder:
        scores = measure(range(SEED, SEED + asked.galas), asked.acts, Path(folder))
        for name, (starts, ends) in scores.items():
            middle = float(np.median(starts.errors)) if starts.errors else 0.0
            print(f"{name:>10}: beginnings {starts}  off by {middle:.2f} s (median); ends {ends}")
        held = scores["list"][0].f1 >= WITH_LIST and scores["no list"][0].f1 >= WITHOUT
        if not asked.no_speed:
            from bench.acts_speed import two_hours

            share = two_hours(Path(folder))
            print(f"two hours of 480p, the whole job: {share:.3f} of real time (at most {SPEED})")
            held = held and share <= SPEED
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
