"""Chunk-parallel transcodes of real originals: the frames and times of one run over the file."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from infra.database import Database
from infra.settings import Settings
from tests.integration.vod.uploaded import (
    Studio,
    decoded_sound,
    decoded_times,
    samples_of,
    times_in,
)
from tests.support.media import Footage, iter_pictures, make_footage, read_beeps
from vod.chunked.rows import made_of, making_of

SMALL = (320, 180)
CHUNK = 4


@pytest.fixture
def studio(settings: Settings, database: Database) -> Studio:
    """Chunks of a few seconds, so that a short original has several joins."""
    changed = settings.model_copy(update={"chunk_seconds": CHUNK, "disk_log_only_bytes": 0})
    return Studio(changed, database)


@dataclass(frozen=True, slots=True)
class Original:
    """What to hand in, and what of it is to be seen."""

    name: str
    footage: Footage
    suffix: str = ".mp4"
    remake: Callable[[str, Path, Path], list[str]] | None = None
    """FFmpeg's arguments that make the original of the footage."""
    copied: bool = False
    first: int = 0
    """Number of the first picture to be seen."""


def _vfr(ffmpeg: str, source: Path, target: Path) -> list[str]:
    # Every third picture goes, and all of one stretch of three seconds.
    keep = "select='not(eq(mod(n,3),1))*not(between(t,5,8))'"
    return [
        *(ffmpeg, "-i", str(source), "-vf", keep, "-fps_mode", "vfr", "-c:v", "libx264"),
        *("-preset", "ultrafast", "-bf", "2", "-g", "40", "-c:a", "copy", str(target)),
    ]


def _late_sound(ffmpeg: str, source: Path, target: Path) -> list[str]:
    return [
        *(ffmpeg, "-i", str(source), "-itsoffset", "0.7", "-i", str(source)),
        *("-map", "0:v", "-map", "1:a", "-c", "copy", str(target)),
    ]


def _hevc(ffmpeg: str, source: Path, target: Path) -> list[str]:
    return [
        *(ffmpeg, "-i", str(source), "-c:v", "libx265", "-pix_fmt", "yuv420p10le", "-preset"),
        *("ultrafast", "-x265-params", "keyint=60:bframes=3:log-level=none", "-c:a", "ac3"),
        str(target),
    ]


def _interlaced(ffmpeg: str, source: Path, target: Path) -> list[str]:
    return [
        *(ffmpeg, "-i", str(source), "-vf", "setfield=tff,setsar=16/15", "-c:v", "mpeg2video"),
        *("-b:v", "6M", "-flags", "+ilme+ildct", "-g", "12", "-bf", "2", "-c:a", "mp2"),
        str(target),
    ]


def _prores(ffmpeg: str, source: Path, target: Path) -> list[str]:
    return [
        *(ffmpeg, "-i", str(source), "-c:v", "prores_ks", "-profile:v", "0", "-c:a", "pcm_s24le"),
        str(target),
    ]


def _remuxed(ffmpeg: str, source: Path, target: Path) -> list[str]:
    return [ffmpeg, "-i", str(source), "-c", "copy", str(target)]


OPEN = ("-x264-params", "open-gop=1")
B25 = Footage(10, b_frames=2, gop_seconds=2, size=SMALL)
ORIGINALS = [
    Original("closed groups, the top rung a copy", B25, copied=True),
    Original(
        "key frames that are no IDR pictures",
        replace(B25, video_args=("-x264-params", "intra-refresh=1")),
    ),
    Original(
        "open groups, 29.97, long",
        Footage(13, Fraction(30000, 1001), SMALL, gop_seconds=3, b_frames=3, video_args=OPEN),
    ),
    Original("open groups in a transport stream", replace(B25, video_args=OPEN), ".ts", _remuxed),
    Original("millisecond clock", replace(B25, gop_seconds=5), ".mkv", _remuxed),
    Original("sound 0.7 s late, 48 kHz", replace(B25, sample_rate=48_000, gop_seconds=5),
             ".mp4", _late_sound),
    Original("HEVC 10 bit with AC-3", replace(B25, gop_seconds=5), ".mkv", _hevc),
    Original("interlaced tape", replace(B25, size=(640, 360)), ".ts", _interlaced),
    Original("ProRes with PCM", B25, ".mov", _prores),
    Original("no sound", replace(B25, audio=False, gop_seconds=5)),
]  # fmt: skip


@pytest.mark.parametrize("original", ORIGINALS, ids=lambda o: o.name)
def test_the_same_frames_and_times_as_one_run(
    original: Original, studio: Studio, ffmpeg: str, media_folder: Path, tmp_path: Path
) -> None:
    path = handed_in(original, ffmpeg, media_folder, tmp_path)
    work_id = studio.upload(path)
    work = studio.run(work_id)
    assert work.state == "ready"
    chunks = studio.chunks(work_id)
    assert len(chunks) >= 2
    wanted = times_of_one_run(ffmpeg, path)
    making = making_of(work)
    assert making is not None
    assert making.pictures == len(wanted)
    assert making.missing == 0
    assert any(r.copied for r in making.recipe.rungs if r.kind == "video") is original.copied
    pictures = [name for name in studio.rungs(work_id) if name != "a"]
    assert pictures
    for name in pictures:
        joined = studio.joined(work_id, name, tmp_path)  # behind one init section
        assert times_in(joined) == wanted
        assert decoded_times(joined) == wanted
        at = 0
        for _, sample in samples_of(joined):
            # Each is decoded where the one before ends, and not after it is shown.
            assert sample.dts == at
            assert sample.cts >= 0
            at += sample.duration
        seen = [picture.number for picture in iter_pictures(joined)]
        assert seen == list(range(original.footage.frames))
    for chunk in chunks:
        for rung in made_of(chunk):
            # Each segment begins with a key frame and is decoded from where it is shown.
            assert [s.msn for s in rung.segments] == list(
                range(chunk.first_msn, chunk.first_msn + len(chunk.plan["cuts"]) - 1)
            )
    assert making.target_duration >= max(
        round(s.duration / 90_000) for c in chunks for r in made_of(c) for s in r.segments
    )
    if original.footage.audio:
        joined = studio.joined(work_id, "a", tmp_path)
        shift = 0.7 if original.remake is _late_sound else 0.0
        for nth, beep in enumerate(read_beeps(joined)):
            assert abs(beep - nth - shift) < 0.01, f"beep {nth} at {beep}"


def test_pictures_at_any_time_stay_where_they_are(
    studio: Studio, ffmpeg: str, media_folder: Path, tmp_path: Path
) -> None:
    original = Original("vfr", B25, ".mp4", _vfr)
    path = handed_in(original, ffmpeg, media_folder, tmp_path)
    work = studio.run(studio.upload(path))
    wanted = times_of_one_run(ffmpeg, path)
    (name,) = [name for name in studio.rungs(work.id) if name != "a"]
    joined = studio.joined(work.id, name, tmp_path)
    assert times_in(joined) == wanted
    assert decoded_times(joined) == wanted
    numbers = [p.number for p in iter_pictures(joined)]
    kept = [n for n in range(250) if n % 3 != 1 and not 5 <= n / 25 <= 8]
    assert numbers == kept
    making = making_of(work)
    assert making is not None
    # The pause is one long segment, and the list said so before it was made.
    assert making.target_duration >= 4


# --- sound -----------------------------------------------------------------------------------


def test_sound_joins_without_a_click_or_drift(
    studio: Studio, settings: Settings, database: Database, ffmpeg: str, tmp_path: Path
) -> None:
    """Chords at 44.1 kHz through six joins, beside one run and beside the original itself."""
    path = tmp_path / "chords.m4a"
    tones = "+".join(f"0.12*sin(2*PI*{hz}*t*(1+0.02*sin(0.7*t)))" for hz in (220, 555, 1250, 4400))
    subprocess.run(
        [ffmpeg, "-v", "error", "-f", "lavfi", "-i", f"aevalsrc={tones}|{tones}:s=44100:d=28",
         "-c:a", "aac", "-b:a", "256k", str(path)],
        check=True,
    )  # fmt: skip
    parts = studio.run(studio.upload(path))
    whole_studio = Studio(settings.model_copy(update={"disk_log_only_bytes": 0}), database)
    whole = whole_studio.run(whole_studio.upload(path))
    assert len(studio.chunks(parts.id)) == 7
    assert len(studio.chunks(whole.id)) == 1
    joined = studio.joined(parts.id, "a", tmp_path)
    single = studio.joined(whole.id, "a", tmp_path)
    frames = times_in(joined)
    assert frames == times_in(single) == [1920 * n for n in range(len(frames))]
    heard, once, original = decoded_sound(joined), decoded_sound(single), decoded_sound(path)
    count = min(len(heard), len(once), len(original)) - 4096
    heard, once, original = heard[:count], once[:count], original[:count]
    noise = rms(once[4096:] - original[4096:])
    assert rms(heard[4096:] - original[4096:]) < 1.05 * noise
    assert noise < 0.01
    for chunk in studio.chunks(parts.id)[1:]:
        at = -(-chunk.start_ticks // 1920) * 1024
        beside = slice(at - 1536, at + 1536)
        # No worse at a join than anywhere, sample by sample and in its steps.
        assert rms(heard[beside] - original[beside]) < 1.5 * noise
        steps = np.abs(np.diff(heard[beside], axis=0)).max()
        assert steps < 1.1 * np.abs(np.diff(original, axis=0)).max()
    # The end lies where it lay: to the sample.
    assert best_shift(heard[-48_000:], original[-48_000:]) == 0


def rms(samples: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64))))


def best_shift(left: NDArray[np.float32], right: NDArray[np.float32]) -> int:
    """By how many samples ``left`` fits ``right`` best."""
    middle = right[1000:-1000, 0]
    found = [
        float(np.dot(left[1000 + n : len(left) - 1000 + n, 0], middle)) for n in range(-40, 41)
    ]
    return int(np.argmax(found)) - 40


def test_sound_before_and_holes_in_it_stay_with_the_picture(
    studio: Studio, ffmpeg: str, media_folder: Path, tmp_path: Path
) -> None:
    """Sound that begins 1.5 s early, and is missing for three seconds in the middle."""
    source = make_footage(ffmpeg, media_folder / "hole-src.mp4", replace(B25, gop_seconds=5))
    path = tmp_path / "hole.mkv"
    subprocess.run(
        [ffmpeg, "-v", "error", "-itsoffset", "1.5", "-i", str(source), "-i", str(source),
         "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "flac",
         "-af", "aselect='not(between(t,5.5,8.5))'", str(path)],
        check=True,
    )  # fmt: skip
    work = studio.run(studio.upload(path))
    making = making_of(work)
    assert making is not None
    assert making.codes == ["sound_before_picture"]
    beeps = read_beeps(studio.joined(work.id, "a", tmp_path))
    # What sounded at n s sounds 1.5 s sooner, for zero is the first picture.
    wanted = [n - 1.5 for n in range(2, 10) if n not in (6, 7, 8)]
    assert [round(beep, 2) for beep in beeps] == pytest.approx(wanted, abs=0.015)


# --- odd files -------------------------------------------------------------------------------


def test_a_cut_off_file_is_good_until_where_it_ends(
    studio: Studio, ffmpeg: str, media_folder: Path, tmp_path: Path
) -> None:
    footage = replace(B25, gop_seconds=5)
    source = handed_in(Original("cut", footage, ".mkv", _remuxed), ffmpeg, media_folder, tmp_path)
    path = tmp_path / "cut-off.mkv"
    data = source.read_bytes()
    path.write_bytes(data[: len(data) * 7 // 10])
    work = studio.run(studio.upload(path))
    (name,) = [name for name in studio.rungs(work.id) if name != "a"]
    joined = studio.joined(work.id, name, tmp_path)
    wanted = times_of_one_run(ffmpeg, path)
    # Of the last picture only half is there: a decoder may show it, or not.
    assert abs(len(times_in(joined)) - len(wanted)) <= 1
    assert times_in(joined)[:-1] == wanted[: len(times_in(joined)) - 1]
    numbers = [p.number for p in iter_pictures(joined)]
    assert numbers[:-1] == list(range(len(numbers) - 1))
    assert 140 < len(numbers) < 220


def test_two_recordings_in_one_stream_play_on(
    studio: Studio, ffmpeg: str, media_folder: Path, tmp_path: Path
) -> None:
    """A transport stream whose clock starts again in the middle: the timeline goes on."""
    parts = []
    for first in (0, 175):
        footage = replace(B25, seconds=7, first=first, gop_seconds=1)
        original = Original(f"part{first}", footage, ".ts", _remuxed)
        parts.append(handed_in(original, ffmpeg, media_folder, tmp_path).read_bytes())
    path = tmp_path / "twice.ts"
    path.write_bytes(b"".join(parts))
    work = studio.run(studio.upload(path))
    making = making_of(work)
    assert making is not None
    assert "clock_jumps" in making.codes
    (name,) = [name for name in studio.rungs(work.id) if name != "a"]
    joined = studio.joined(work.id, name, tmp_path)
    assert [p.number for p in iter_pictures(joined)] == list(range(350))
    steps = np.diff(times_in(joined))
    assert steps.max() <= 4 * 3600
    beeps = read_beeps(studio.joined(work.id, "a", tmp_path))
    assert np.diff(beeps) == pytest.approx([1.0] * (len(beeps) - 1), abs=0.12)


def test_an_original_in_an_object_store_is_read_in_pieces(
    studio: Studio, ffmpeg: str, media_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where storage is not local, the reader asks for what it needs, and gets the same."""
    original = ORIGINALS[0]
    path = handed_in(original, ffmpeg, media_folder, tmp_path)
    near = studio.run(studio.upload(path))
    asked: list[int] = []
    kind = type(studio.storage)
    reading = kind.open_range

    def open_range(self: object, key: str, start: int, end: int) -> bytes:
        if key.startswith("originals/"):
            asked.append(end - start)
        return reading(self, key, start, end)  # type: ignore[arg-type]

    monkeypatch.setattr(kind, "local_path", lambda self, key: None)
    monkeypatch.setattr(kind, "open_range", open_range)
    far = studio.run(studio.upload(path))
    assert far.state == "ready"
    assert asked
    assert max(asked) <= 1 << 20
    for name in studio.rungs(far.id):
        left = studio.joined(far.id, name, tmp_path).read_bytes()
        assert left == studio.joined(near.id, name, tmp_path).read_bytes()


@pytest.mark.parametrize(
    ("data", "code"), [(b"not a film at all" * 500, "unreadable"), (b"", "unreadable")]
)
def test_what_is_no_film_is_refused_with_a_sentence(
    studio: Studio, tmp_path: Path, data: bytes, code: str
) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(data)
    work_id = studio.upload(path)
    assert studio.run(work_id).state == "failed"
    (job,) = studio.jobs(work_id, "chunks")
    assert (job.state, job.error_code) == ("failed", code)
    assert (job.error or "").startswith("原片读不出来")
    assert studio.rungs(work_id) == []


# --- helpers ---------------------------------------------------------------------------------


def handed_in(original: Original, ffmpeg: str, media_folder: Path, folder: Path) -> Path:
    """The original as a file."""
    name = "chunked-" + "".join(c if c.isalnum() else "-" for c in original.name)
    source = make_footage(ffmpeg, media_folder / f"{name}.mp4", original.footage)
    if original.remake is None:
        return source
    target = folder / f"{name}{original.suffix}"
    argv = original.remake(ffmpeg, source, target)
    subprocess.run([argv[0], "-v", "error", "-y", *argv[1:]], check=True)
    return target


def times_of_one_run(ffmpeg: str, path: Path) -> list[int]:
    """When one FFmpeg over the whole file shows its pictures, in ticks from the first."""
    done = subprocess.run(
        [ffmpeg, "-v", "error", "-copyts", "-i", str(path), "-map", "v:0", "-vf", "scale=16:16",
         "-fps_mode", "passthrough", "-enc_time_base", "1/90000", "-f", "framecrc", "-"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    rows = [line.split(",") for line in done.stdout.splitlines() if not line.startswith("#")]
    times = [int(row[2]) for row in rows]
    return [at - times[0] for at in times]
