"""Originals as phones, screen recorders and cutting programs leave them: each comes out upright,
in ordinary colours, with the frames and times of one FFmpeg over the whole file."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import av
import pytest

from infra.database import Database
from infra.settings import Settings
from tests.integration.vod.test_chunked import times_of_one_run
from tests.integration.vod.uploaded import Studio, decoded_times, times_in
from tests.support.media import Footage, iter_pictures, make_footage
from vod.chunked.rows import making_of

CHUNK = 4
WIDE = (320, 180)
PHONE = Footage(9, b_frames=2, gop_seconds=1, size=WIDE)
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "25", "-c:a", "copy")
HLG = (
    "keyint=25:bframes=3:log-level=none:"
    "colorprim=bt2020:transfer=arib-std-b67:colormatrix=bt2020nc:repeat-headers=0"
)


@pytest.fixture
def studio(settings: Settings, database: Database) -> Studio:
    changed = settings.model_copy(update={"chunk_seconds": CHUNK, "disk_log_only_bytes": 0})
    return Studio(changed, database)


@dataclass(frozen=True, slots=True)
class Original:
    """What to hand in."""

    name: str
    footage: Footage
    steps: tuple[Callable[[Path, Path], list[str]], ...]
    """FFmpeg's arguments, one run after another."""
    size: tuple[int, int] = WIDE
    """Of what comes out."""
    suffix: str = ".mp4"
    numbers: range | None = None
    """Of the pictures that are to be seen, where it is not all of them."""
    chunks_least: int = 2


def _filtered(graph: str, *encoder: str) -> Callable[[Path, Path], list[str]]:
    return lambda a, b: ["-i", str(a), "-vf", graph, *(encoder or X264), str(b)]


def _turned(degrees: int) -> Callable[[Path, Path], list[str]]:
    """Told to players, against the clock; the pictures stay as they are."""
    return lambda a, b: [
        *("-display_rotation:v:0", str(degrees), "-i", str(a), "-c", "copy", str(b)),
    ]


def _mirrored(*turned: str) -> Callable[[Path, Path], list[str]]:
    return lambda a, b: [*turned, "-display_hflip:v:0", "-i", str(a), "-c", "copy", str(b)]


def _copied(*before: str, after: tuple[str, ...] = ()) -> Callable[[Path, Path], list[str]]:
    return lambda a, b: [*before, "-i", str(a), "-c", "copy", *after, str(b)]


ORIGINALS = [
    Original("held upright", PHONE, (_filtered("transpose=clock"), _turned(90))),
    Original("held upside down", PHONE, (_filtered("hflip,vflip"), _turned(180))),
    Original("held the other way", PHONE, (_filtered("transpose=cclock"), _turned(-90))),
    Original("by the front camera", PHONE, (_filtered("hflip"), _mirrored())),
    Original(
        "by the front camera, held upright", PHONE,
        (_filtered("transpose=clock_flip"), _mirrored("-display_rotation:v:0", "90")),
    ),
    Original(
        "high dynamic range", PHONE,
        (_filtered("format=yuv420p10le", "-c:v", "libx265", "-preset", "ultrafast",
                   "-x265-params", HLG, "-tag:v", "hvc1", "-c:a", "copy"),),
        suffix=".mov",
    ),
    Original(
        "a screen of odd size", PHONE, (_filtered("scale=321:181:flags=area,format=yuv444p"),),
        size=(320, 180),
    ),
    Original("one second", replace(PHONE, seconds=1), (_copied(),), chunks_least=1),
    Original("one picture", replace(PHONE, seconds=0.04), (_copied(),), chunks_least=1),
    Original(
        "one key frame in all", replace(PHONE, seconds=30, gop_seconds=60), (_copied(),),
        chunks_least=1,
    ),
    Original(
        "a clock that begins after an hour", PHONE, (_copied(after=("-output_ts_offset", "3600")),),
        suffix=".ts",
    ),
    Original(
        "trimmed on the phone", PHONE,
        # Copied from the key frame before; an edit list hides what is before the cut.
        (_copied("-ss", "3.4"),), numbers=range(85, 225), chunks_least=1,
    ),
]  # fmt: skip


@pytest.mark.parametrize("original", ORIGINALS, ids=lambda o: o.name)
def test_it_comes_out_upright_and_on_time(
    original: Original, studio: Studio, ffmpeg: str, media_folder: Path, tmp_path: Path
) -> None:
    path = handed_in(original, ffmpeg, media_folder, tmp_path)
    work = studio.run(studio.upload(path))
    (job,) = studio.jobs(work.id, "chunks")
    assert work.state == "ready", job.error
    assert len(studio.chunks(work.id)) >= original.chunks_least
    making = making_of(work)
    assert making is not None
    assert making.missing == 0
    wanted = times_of_one_run(ffmpeg, path)
    (name,) = [name for name in studio.rungs(work.id) if name != "a"]
    joined = studio.joined(work.id, name, tmp_path)
    assert times_in(joined) == wanted
    assert decoded_times(joined) == wanted
    pictures = list(iter_pictures(joined))
    assert {picture.size for picture in pictures} == {original.size}
    numbers = original.numbers or range(original.footage.frames)
    assert [picture.number for picture in pictures] == list(numbers)
    with av.open(str(joined)) as container:
        frame = next(container.decode(video=0))
        # Unmarked is BT.709 (or 601, of a small one), too: high dynamic range it must not be.
        assert frame.format.name == "yuv420p"
        assert int(frame.color_trc) not in (16, 18)
        assert int(frame.color_primaries) != 9


def test_of_sound_much_longer_than_its_picture_the_rest_is_named(
    studio: Studio, ffmpeg: str, media_folder: Path, tmp_path: Path
) -> None:
    source = make_footage(ffmpeg, media_folder / "chunked-phones-whole.mp4", PHONE)
    path = tmp_path / "short-picture.mkv"
    _run(ffmpeg, ["-t", "2", "-i", str(source), "-i", str(source), "-map", "0:v", "-map", "1:a",
                  "-c", "copy", str(path)])  # fmt: skip
    work = studio.run(studio.upload(path))
    assert work.state == "ready"
    making = making_of(work)
    assert making is not None
    assert making.codes == ["sound_after_picture"]
    assert 2 * 90_000 <= making.end < 3 * 90_000  # it is copied to the end of a group


def handed_in(original: Original, ffmpeg: str, media_folder: Path, folder: Path) -> Path:
    """The original as a file."""
    name = "chunked-phones-" + "".join(c if c.isalnum() else "-" for c in original.name)
    path = make_footage(ffmpeg, media_folder / f"{name}.mp4", original.footage)
    for number, step in enumerate(original.steps):
        last = number == len(original.steps) - 1
        target = folder / f"{name}-{number}{original.suffix if last else '.mp4'}"
        _run(ffmpeg, step(path, target))
        path = target
    return path


def _run(ffmpeg: str, argv: list[str]) -> None:
    subprocess.run([ffmpeg, "-v", "error", "-y", *argv], check=True)
