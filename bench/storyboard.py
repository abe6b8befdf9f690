"""What the storyboard of a long programme costs: wall time, bytes read, bytes written.

python -m bench.storyboard [hours]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

from catalog.models import Rendition
from infra.database import Database
from infra.ffmpeg import ffmpeg_path
from infra.settings import Settings
from infra.storage import open_storage
from tests.support.media import Footage, make_footage
from transcode.fmp4.boxes import box_header
from transcode.fmp4.moof import read_ranges
from transcode.fmp4.moov import TrackDefaults, read_moov
from vod.encode import silent
from vod.footage import Blob, Part
from vod.storyboard import Slot, chosen, draw, step_ticks
from vod.tools import Tools

LIMIT_SECONDS: Final = 60.0
"""Of a two-hour programme; it is to be well below."""
_LOOP_SECONDS: Final = 64
_KEY: Final = "live/bench/v360/replay1.mp4"


def programme(ffmpeg: str, hours: float, folder: Path) -> Path:
    """A 360p rung, one fragment a group of pictures: a minute of it over and over."""
    minute = make_footage(
        ffmpeg, folder / "minute.mp4", Footage(_LOOP_SECONDS, b_frames=2, bitrate="600k")
    )
    loops = max(0, round(hours * 3600 / _LOOP_SECONDS) - 1)
    path = folder / "programme.mp4"
    subprocess.run(
        [
            ffmpeg, "-v", "error", "-nostdin", "-y", "-stream_loop", str(loops), "-i", str(minute),
            "-map", "0:v", "-c", "copy", "-video_track_timescale", "90000", "-f", "mp4",
            "-movflags", "empty_moov+default_base_moof+frag_keyframe", str(path),
        ],
        check=True,
    )  # fmt: skip
    return path


def read(path: Path) -> tuple[Part, list[Slot]]:
    """The file as a registered rendition: its init section and a segment a fragment."""
    rung = Rendition(token="bench", name="v360", kind="video", width=640, height=360)
    segments: list[Blob] = []
    starts: list[int] = []
    init_size = 0
    defaults: dict[int, TrackDefaults] = {}
    with path.open("rb") as file:
        for kind, at, size in _boxes(path):
            file.seek(at)
            if kind == b"moov":
                _, defaults = read_moov(file.read(size))
                init_size = at + size
            elif kind == b"moof":
                rows = read_ranges(file.read(size), size + 8, defaults)[1]
                starts.append(min(row.dts + row.cts for row in rows))
                segments.append(Blob(_KEY, at, size))
            elif kind == b"mdat" and segments:
                last = segments[-1]
                segments[-1] = Blob(_KEY, last.offset, at + size - last.offset)
    ends = [*starts[1:], starts[-1] + 2 * 90_000]
    slots = [
        Slot(msn, start, end - start)
        for msn, (start, end) in enumerate(zip(starts, ends, strict=True))
    ]
    return Part(rung, Blob(_KEY, 0, init_size), segments), slots


def _boxes(path: Path) -> Iterator[tuple[bytes, int, int]]:
    size, at = path.stat().st_size, 0
    with path.open("rb") as file:
        while at < size:
            file.seek(at)
            header = box_header(file.read(16), 0, 16)
            assert header is not None
            yield header[0], at, header[2]
            at += header[2]


def main(hours: float) -> int:
    settings = Settings()
    with tempfile.TemporaryDirectory(prefix="xitai-storyboard-") as name:
        folder = Path(name)
        stored = settings.model_copy(update={"data": folder / "data", "storage_url": None})
        storage = open_storage(stored)
        made = programme(ffmpeg_path(settings), hours, folder)
        part, slots = read(made)
        storage.put_file(_KEY, made)
        tools = Tools(stored, cast("Database", None), storage)
        length = slots[-1].start + slots[-1].duration
        began = time.monotonic()
        wanted = chosen(slots, step_ticks(length))
        msns = {slot.msn for slot in wanted}
        few = Part(part.rendition, part.init, [part.segments[n] for n in sorted(msns)])
        work = folder / "work"
        work.mkdir()
        board = draw(tools, [few], wanted, length, work, silent)
        took = time.monotonic() - began
        assert board is not None
        sheets = sum(path.stat().st_size for path in work.glob("storyboard-*.jpg"))
        print(
            f"{length / 90_000 / 3600:.2f} h, lowest rung of {made.stat().st_size / 1e6:.0f} MB: "
            f"{len(board.at)} tiles every {step_ticks(length) // 90_000} s in {took:.1f} s, "
            f"read {few.size / 1e6:.0f} MB, wrote {sheets / 1e3:.0f} kB in {board.sheets} sheets"
        )
    return 0 if took < LIMIT_SECONDS * hours / 2 else 1


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 2.0))
