"""How long the whole job takes on two hours: footage as the lowest rung of a live show has it."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from typing import Final

import numpy as np
from scipy.io import wavfile

from bench.acts_gala import gala
from bench.acts_tunes import RATE
from bench.footage import shipped
from catalog import migrate
from catalog.acts import acts
from catalog.centres import add_centre
from catalog.models import TIMESCALE, Work
from infra.database import Database
from infra.embedded import postgres
from infra.embedded.running import running
from infra.ffmpeg import ffmpeg_path
from infra.settings import Settings
from infra.storage import open_storage
from vod.acts.finding import find_acts
from vod.encode import Patience, run_ffmpeg, silent
from vod.finished import fragmented_output, package
from vod.shelving import Made, publish
from vod.tools import Tools

HOURS: Final = 2
_ACTS: Final = 32


def two_hours(folder: Path) -> float:
    """Seconds of the job for each second of programme."""
    mp4 = _footage(folder)
    settings = Settings(data=folder / "data", http="127.0.0.1:0", rtmp="127.0.0.1:0")
    command = postgres.prepare(settings)
    with (
        (folder / "postgres.log").open("wb") as log,
        running(command, lambda: postgres.is_ready(settings), output=log),
    ):
        postgres.ensure_database(settings)
        migrate.upgrade(settings.resolved_database_url)
        database = Database(settings.resolved_database_url, name="bench")
        try:
            tools = Tools(settings, database, open_storage(settings))
            return _measure(tools, mp4, folder)
        finally:
            database.close()


def _footage(folder: Path) -> Path:
    """480p25 at a megabit (real pictures, repeated), with the sound of a long gala."""
    made = gala(2_000, acts=_ACTS, lengths=(140, 260))
    sound = np.resize(made.sound, HOURS * 3600 * RATE)
    wavfile.write(folder / "sound.wav", RATE, (sound * 32767).astype(np.int16))
    ffmpeg = [ffmpeg_path(Settings()), "-v", "error", "-nostdin", "-y"]
    subprocess.run(
        [*ffmpeg, "-stream_loop", "-1", "-i", str(shipped()), "-t", "20", "-an", "-vf",
         "scale=854:480,fps=25", "-c:v", "libx264", "-preset", "veryfast", "-b:v", "1000k",
         "-maxrate", "1000k", "-bufsize", "1000k", "-g", "50", "-keyint_min", "50",
         "-sc_threshold", "0", str(folder / "loop.mp4")], check=True,
    )  # fmt: skip
    subprocess.run(
        [*ffmpeg, "-stream_loop", "-1", "-i", str(folder / "loop.mp4"), "-i",
         str(folder / "sound.wav"), "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac",
         "-ar", "44100", "-b:a", "96k", "-t", str(HOURS * 3600), str(folder / "two.mp4")],
        check=True,
    )  # fmt: skip
    (folder / "sound.wav").unlink()
    return folder / "two.mp4"


def _measure(tools: Tools, mp4: Path, folder: Path) -> float:
    length = HOURS * 3600 * TIMESCALE
    fragments, rendition = folder / "parts.mp4", folder / "replay.mp4"
    patience = Patience(deadline=1800, stall=300)
    run_ffmpeg(tools.ffmpeg, fragmented_output(mp4, fragments, video=True), patience=patience)
    finished = package(fragments, rendition, length, lambda: None)
    fragments.unlink()
    with tools.database.transaction() as session:
        centre = add_centre(session, "县文化馆")
        session.add(
            Work(
                id="bench", centre_id=centre.id, kind="clip", state="making", title="两小时",
                media_token="bench", edit_list=[],
            )
        )  # fmt: skip
    made = Made("bench", "bench", 0, mp4, rendition, None, finished, 25.0)
    publish(tools, made, lambda: None)
    began = time.perf_counter()
    done = find_acts(tools, "bench", silent)
    took = time.perf_counter() - began
    again = time.perf_counter()
    find_acts(tools, "bench", silent)
    with tools.database.transaction() as session:
        found = len(acts(session, "bench"))
    print(
        f"  {HOURS} h in {took:.0f} s, {done['acts']} acts proposed ({_ACTS} were put in), "
        f"{found} stand; asked again without new footage: {time.perf_counter() - again:.1f} s"
    )
    return took / (HOURS * 3600)
