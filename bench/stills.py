"""Stills of programmes with everything wrong on air planted at random, and how long it takes.

    python -m bench.stills [--reels 24] [--seed 100] [--minutes 20]

Each reel is a minute of stages that no two reels share, by day and by night, with out-of-focus and
swinging cameras, black, cards, colour bars, a feed that hangs, dissolves and fades of every length,
cards of an instant and scenes shown twice; packed finely to coarsely. None of what was planted may
be proposed, no two stills may be alike, and nearly every good scene has to have one. Then a long
1080p programme: looking through it is bounded, so twenty minutes cost what three hours do.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import combinations
from pathlib import Path
from typing import Final

from sqlalchemy import select

from bench.footage import shipped
from catalog import migrate
from catalog.models import Still
from catalog.picture_hash import DISTINCT_BITS, distance
from infra.database import Database
from infra.embedded import postgres
from infra.embedded.running import running
from infra.ffmpeg import ffmpeg_path
from infra.settings import Settings
from tests.integration.vod.show import Show, air_file, new_show
from tests.support.media import Footage
from tests.support.scenes import (
    FPS,
    SIZE,
    Piece,
    Reel,
    Rgb,
    Scene,
    bars,
    black,
    blurred,
    dissolve,
    panned,
    slate,
    still_of,
)
from vod.stills.make import make_stills
from vod.stills.service import COUNT

PIECES: Final = 14
ASKED: Final = 16
QUALITIES: Final = (14, 24, 30, 35)
"""x264's CRF, from what a studio sends to what a village's uplink carries."""
KINDS: Final = (
    "good", "good", "good", "blur", "pan", "black", "slate", "bars", "frozen", "fade", "flash",
    "again", "to black",
)  # fmt: skip
FOUND_LEAST: Final = 0.9
"""Share of the good scenes that have to have a still."""
LONG_SECONDS: Final = 240.0

Draw = Callable[[int], Rgb]


def later(draw: Draw, frames: int) -> Draw:
    return lambda number: draw(number + frames)


def make_reel(seed: int) -> Reel:
    """A minute or so of what a seed says."""
    dice = random.Random(seed)
    pieces: list[Piece] = []
    last: Piece | None = None
    for place in range(PIECES):
        draw = later(scene_of(dice), dice.randrange(200))
        frames, kind, name = dice.randrange(45, 110), dice.choice(KINDS), f"{place}"
        if kind == "good":
            last = Piece(frames, draw, name)
            pieces.append(last)
        elif kind == "again" and last is not None:
            pieces.append(last)
        elif kind in ("fade", "to black"):
            other = black if kind == "to black" else scene_of(dice)
            long = dice.randrange(12, 60)
            pieces += [
                Piece(frames, draw, name),
                dissolve(later(draw, frames), other, long),
                Piece(frames, later(other, long), f"{place}b" if kind == "fade" else None),
            ]
        elif kind == "flash":
            card = Piece(dice.randrange(1, 8), dice.choice((slate, black, bars)))
            pieces += [Piece(frames, draw, name), card, Piece(frames, later(draw, frames), name)]
        else:
            pieces.append(Piece(frames, planted(kind, draw, dice)))
    return Reel(pieces)


def scene_of(dice: random.Random) -> Draw:
    return Scene(dice.randrange(100, 100_000), light=dice.choice((1.0, 1.0, 0.5, 0.25)))


def planted(kind: str, draw: Draw, dice: random.Random) -> Draw:
    made: dict[str, Draw] = {
        "blur": blurred(draw, dice.uniform(2, 5)),
        "pan": panned(draw, dice.randrange(11, 25)),
        "slate": slate,
        "bars": bars,
        "frozen": still_of(draw, 0),
    }
    return made.get(kind, black)


def pack(ffmpeg: str, source: Path, path: Path, *options: str) -> Path:
    subprocess.run(
        [ffmpeg, "-v", "error", "-nostdin", "-y", "-i", str(source), "-an", "-c:v", "libx264",
         "-preset", "veryfast", "-g", "50", "-keyint_min", "50", "-sc_threshold", "0", "-bf", "2",
         *options, str(path)],
        check=True,
    )  # fmt: skip
    return path


def stills_of(show: Show) -> list[Still]:
    with show.database.transaction() as session:
        query = select(Still).where(Still.token == show.token).order_by(Still.at_ticks)
        return list(session.scalars(query))


def try_reel(seed: int, settings: Settings, database: Database, folder: Path) -> tuple[int, ...]:
    """(stills, planted ones among them, pairs alike, scenes with one, scenes)."""
    ffmpeg, reel = ffmpeg_path(settings), make_reel(seed)
    fine = reel.write(ffmpeg, folder / "fine.flv")
    packed = pack(ffmpeg, fine, folder / "reel.flv", "-crf", str(QUALITIES[seed % 4]))
    show = new_show(settings, database, ffmpeg, folder)
    air_file(show, packed, Footage(reel.frames / FPS, size=SIZE, audio=False), rungs=("v",))
    make_stills(show.tools, show.token, ASKED)
    found, numbers = stills_of(show), dict(show.frames())
    scenes = [reel.at(numbers[still.at_ticks])[0].good for still in found]
    alike = sum(distance(a.phash, b.phash) < DISTINCT_BITS for a, b in combinations(found, 2))
    every = {piece.good for piece in reel.pieces if piece.good is not None}
    return len(found), scenes.count(None), alike, len(set(scenes) & every), len(every)


def try_long(minutes: int, settings: Settings, database: Database, folder: Path) -> float:
    """Seconds to propose the usual number of stills of a long 1080p programme."""
    ffmpeg = ffmpeg_path(settings)
    piece = pack(
        ffmpeg, shipped(), folder / "piece.flv", "-vf", "scale=1920:1080,fps=25", "-b:v", "2M"
    )
    path = folder / "long.flv"
    subprocess.run(
        [ffmpeg, "-v", "error", "-nostdin", "-y", "-stream_loop", "-1", "-i", str(piece), "-t",
         str(minutes * 60), "-c", "copy", str(path)],
        check=True,
    )  # fmt: skip
    show = new_show(settings, database, ffmpeg, folder)
    footage = Footage(minutes * 60, size=(1920, 1080), audio=False)
    air_file(show, path, footage, rungs=("v",))
    began = time.monotonic()
    make_stills(show.tools, show.token, COUNT)
    return time.monotonic() - began


@contextmanager
def ground() -> Iterator[tuple[Settings, Database, Path]]:
    """A throw-away PostgreSQL and a folder."""
    with tempfile.TemporaryDirectory(prefix="xitai-stills-") as name:
        folder = Path(name)
        servers = Settings(data=folder / "servers")
        with running(postgres.prepare(servers), lambda: postgres.is_ready(servers)):
            postgres.ensure_database(servers, "bench")
            url = f"postgresql+psycopg://xitai@/bench?host={servers.run_dir}"
            migrate.upgrade(url)
            database = Database(url, name="bench")
            yield Settings(data=folder / "data", database_url=url), database, folder
            database.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--reels", type=int, default=24)
    parser.add_argument("--seed", type=int, default=100)
    parser.add_argument("--minutes", type=int, default=20)
    wanted = parser.parse_args()
    sums = [0] * 5
    with ground() as (settings, database, folder):
        for seed in range(wanted.seed, wanted.seed + wanted.reels):
            told = try_reel(seed, settings, database, folder)
            sums = [a + b for a, b in zip(sums, told, strict=True)]
            print(f"reel {seed}, CRF {QUALITIES[seed % 4]}: {told[0]} stills, {told[1]} planted, "
                  f"{told[2]} alike, {told[3]} of {told[4]} scenes", flush=True)  # fmt: skip
        found = sums[3] / max(1, sums[4])
        print(f"{sums[0]} stills: {sums[1]} planted, {sums[2]} alike; "
              f"{sums[3]} of {sums[4]} good scenes ({found:.0%})")  # fmt: skip
        held = not sums[1] and not sums[2] and found >= FOUND_LEAST
        if wanted.minutes:
            seconds = try_long(wanted.minutes, settings, database, folder)
            print(f"{wanted.minutes} min of 1080p: {seconds:.0f} s (bound {LONG_SECONDS:.0f} s)")
            held = held and seconds <= LONG_SECONDS
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
