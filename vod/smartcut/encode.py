"""What of a cut must be encoded, made by FFmpeg: all of it in few runs, each output beside the
others.

FFmpeg gets files with just the coded samples that are needed, and gives fragmented files; no
timestamp is rounded on the way.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import ffmpeg
import msgspec
import numpy as np

from catalog.models import TIMESCALE
from transcode.fmp4 import model as fmp4
from transcode.fmp4.writer import TrackSamples, write_fragment, write_init
from transcode.sandbox import FOOTAGE_FORMATS, GIB, Limits, input_limits
from vod.encode import Beat, Patience, run_ffmpeg
from vod.footage import Step
from vod.reordering import Ints
from vod.smartcut.host import KEY_SECONDS
from vod.smartcut.plan import Encode
from vod.smartcut.sound import Run
from vod.smartcut.tables import Files, Table

_CODECS: Final = "h264,hevc,av1,libdav1d,vp9,aac,opus,libopus,mp3,mp3float"
_AT_ONCE: Final = 2
"""Pictures encoded in one run of FFmpeg, and sounds."""
_MEMORY: Final = (2 * GIB, 2 * GIB / (1920 * 1080))
"""Address space that a run may take, and how much more for each pixel of its pictures."""
_BATCH: Final = 64
"""Samples in a fragment of an input file."""
_MARGIN_SECONDS: Final = 10
"""Input times begin here: no reordering, run-up or rounding takes them below zero."""
_LEAD_IN: Final = 2
"""Coded audio frames that are decoded before the first one wanted."""

_RUNS_AT_ONCE: Final = 8
"""Of a sound, that one FFmpeg decodes."""
_COPY: Final = 1 << 20

LAYOUTS: Final = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1"}
"""Names of the layouts that AAC has a number for, by channels."""

_FRAGMENTS: Final = {
    "f": "mp4",
    "movflags": "empty_moov+default_base_moof+skip_trailer",
    "frag_duration": 500_000,
    "use_editlist": 0,
    "avoid_negative_ts": "disabled",
    "map_metadata": -1,
    "map_chapters": -1,
}


@dataclass(frozen=True, slots=True)
class Look:
    """The picture that all frames are given."""

    width: int
    height: int
    ten_bit: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """An encoded stretch to make."""

    table: Table
    encode: Encode
    options: dict[str, Any]
    """Of the encoder."""
    look: Look | None
    """None: as it is."""
    forced_keys: bool
    """Key frames every KEY_SECONDS, and not the first one alone."""
    intra: int | None
    """One more key frame, by its number."""
    name: str

    @property
    def pixels(self) -> int:
        """Of the larger of what goes in and what comes out."""
        size = self.table.track.width * self.table.track.height
        return max(size, self.look.width * self.look.height) if self.look else size

    @property
    def seconds(self) -> float:
        return float(self.encode.shown[-1] - self.encode.shown[0]) / TIMESCALE


@dataclass(frozen=True, slots=True)
class Sound:
    """Sound to make: ``begin`` <= sample < ``end`` of the cut, silence where no run is heard."""

    runs: tuple[Run, ...]
    begin: int
    end: int
    rate: int
    channels: int
    bit_rate: int
    name: str


@dataclass(frozen=True, slots=True)
class Workshop:
    """Where and with what it is made."""

    ffmpeg: str
    folder: Path
    files: Files
    step: Step


def output(shop: Workshop, work: Picture | Sound) -> Path:
    """The file that ``run_all`` makes for it."""
    return shop.folder / f"{work.name}.out.mp4"


def run_all(
    shop: Workshop, tables: Sequence[Table], works: Sequence[Picture | Sound], beat: Beat
) -> None:
    """Make ``folder/<name>.out.mp4`` for each of ``works``. Raises EncodeError, StorageError.

    ``tables`` are those that the runs of the sounds number.
    """
    total = sum(map(_seconds, works)) or 1.0
    done = 0.0
    pictures = [work for work in works if isinstance(work, Picture)]
    sounds = [work for work in works if isinstance(work, Sound)]
    for work in sounds:
        if len(_placed(work)) > _RUNS_AT_ONCE:
            _spool(shop, tables, work, beat)
    while pictures or sounds:
        batch: list[Picture | Sound] = [*pictures[:_AT_ONCE], *sounds[:_AT_ONCE]]
        del pictures[:_AT_ONCE], sounds[:_AT_ONCE]
        seconds = sum(map(_seconds, batch))
        _run(shop, tables, batch, within(beat, done / total, seconds / total))
        done += seconds


def _run(
    shop: Workshop, tables: Sequence[Table], batch: Sequence[Picture | Sound], beat: Beat
) -> None:
    """One run of FFmpeg."""
    outputs = []
    address, per_pixel = _MEMORY
    for work in batch:
        if isinstance(work, Picture):
            outputs.append(_picture(shop, work))
            address += int(per_pixel * max(1920 * 1080, work.pixels))
        else:
            outputs.append(_sound(shop, tables, work))
    seconds = sum(map(_seconds, batch))
    # Slower than a thirtieth of real time means that something is stuck.
    patience = Patience(deadline=120 + 30 * seconds, stall=120)
    run_ffmpeg(
        shop.ffmpeg,
        ffmpeg.merge_outputs(*outputs).global_args("-copyts"),
        patience=patience,
        length_us=max(1, int(max(map(_seconds, batch)) * 1_000_000)),
        beat=beat,
        limits=Limits(address_bytes=address, cpu_seconds=int(patience.deadline) * 16),
        # What was copied into segments is as its sender made it.
        reads=(),
    )


def within(beat: Beat, start: float, width: float) -> Beat:
    """A beat whose shares are of a part of the whole."""

    def inner(share: float | None, note: str | None) -> None:
        beat(None if share is None else start + width * share, note)

    return inner


def _seconds(work: Picture | Sound) -> float:
    if isinstance(work, Picture):
        return work.seconds
    return (work.end - work.begin) / work.rate


def _open(path: Path) -> Any:
    return ffmpeg.input(f"file:{path}", **input_limits(formats=FOOTAGE_FORMATS, codecs=_CODECS))


# --- pictures --------------------------------------------------------------------------------


def _picture(shop: Workshop, work: Picture) -> Any:
    """The output of an encoded stretch."""
    table, encode = work.table, work.encode
    scale = table.track.timescale
    indices = np.arange(encode.first, encode.stop)
    base = int(table.dts[encode.first]) - _MARGIN_SECONDS * scale
    source = shop.folder / f"{work.name}.in.mp4"
    _write_input(shop, source, table, indices, table.dts[indices] - base)
    first, last = (int(value) - base for value in shown_times(table, encode)[[0, -1]])
    picture = (
        _open(source)["v:0"]
        .filter("settb", f"1/{scale}")
        .filter("trim", start_pts=first, end_pts=last + 1)
        .filter("setpts", f"PTS-{first}")
    )
    if work.look is not None:
        picture = _fitted(picture, work.look)
    options = dict(work.options)
    if work.forced_keys:
        options["force_key_frames"] = f"expr:gte(t,n_forced*{KEY_SECONDS})"
    elif work.intra is not None:
        # A little early, for it is rounded; there is no other frame so near.
        ticks = int(encode.shown[work.intra] - encode.shown[0])
        options["force_key_frames"] = f"{ticks / TIMESCALE - 0.0001:.6f}"
    return ffmpeg.output(
        picture,
        f"file:{output(shop, work)}",
        **_FRAGMENTS,
        **options,
        **{
            "video_track_timescale": scale,
            "enc_time_base:v": f"1/{scale}",
            "fps_mode:v": "passthrough",
        },
    )


def shown_times(table: Table, encode: Encode) -> Ints:
    """The times of the wanted frames, in the table's timescale and in order."""
    ticks = table.ticks
    inside = (ticks >= encode.shown[0]) & (ticks <= encode.shown[-1])
    return np.sort(table.pts[inside])


def _fitted(picture: Any, look: Look) -> Any:
    """Scaled into the cut's frame with square pixels, the rest black."""
    width, height = look.width, look.height
    return (
        picture.filter("scale", "iw*sar", "ih")
        .filter(
            "scale", width, height, flags="bicubic", force_original_aspect_ratio="decrease",
            force_divisible_by=2,
        )
        .filter("pad", width, height, "(ow-iw)/4*2", "(oh-ih)/4*2")
        .filter("setsar", 1)
        .filter("format", "yuv420p10le" if look.ten_bit else "yuv420p")
    )  # fmt: skip


# --- sound -----------------------------------------------------------------------------------


def _sound(shop: Workshop, tables: Sequence[Table], work: Sound) -> Any:
    """The output of a stretch of sound."""
    placed = _placed(work)
    if len(placed) > _RUNS_AT_ONCE:
        whole = ffmpeg.input(
            f"file:{_spool_path(shop, work)}", f="s16le", ar=work.rate,
            ch_layout=LAYOUTS[work.channels],
            **input_limits(formats="s16le", codecs="pcm_s16le"),
        )["a:0"]  # fmt: skip
    else:
        whole = _in_a_row(shop, tables, work, placed)
    return ffmpeg.output(
        whole,
        f"file:{output(shop, work)}",
        **_FRAGMENTS,
        **{"c:a": "aac", "b:a": work.bit_rate, "ar": work.rate, "ac": work.channels},
        # Noise put for noise does not cancel the aliases of what it stands for at a splice.
        aac_pns=0,
    )


def _placed(work: Sound) -> list[tuple[Run, int, int]]:
    """The runs that are heard in it: each with its first sample and that of the next one. The
    first begins where the stretch does, whatever comes before it is silence."""
    runs = [run for run in work.runs if run.begin < work.end and run.end > work.begin]
    starts = [work.begin, *(run.begin for run in runs[1:]), work.end]
    return [(run, starts[n], starts[n + 1]) for n, run in enumerate(runs)]


def _in_a_row(
    shop: Workshop, tables: Sequence[Table], work: Sound, placed: Sequence[tuple[Run, int, int]]
) -> Any:
    """The sound of some runs one behind the other, each padded up to the next."""
    parts = []
    for number, (run, start, following) in enumerate(placed):
        begin, name = max(run.begin, start), f"{work.name}.{number}"
        heard = _heard(shop, tables[run.source], work, run, begin, min(run.end, work.end), name)
        if begin > start:
            heard = heard.filter("adelay", f"{begin - start}S", all=1)
        heard = heard.filter("apad", whole_len=following - start)
        parts.append(heard.filter("atrim", end_sample=following - start))
    return parts[0] if len(parts) == 1 else ffmpeg.concat(*parts, v=0, a=1)


def _spool(shop: Workshop, tables: Sequence[Table], work: Sound, beat: Beat) -> None:
    """Decode a sound of many runs (a feed that lost frames now and then) a few at a time, into one
    file of samples: each run is an input of FFmpeg's, with threads and memory of its own."""
    placed = _placed(work)
    part = shop.folder / f"{work.name}.part.pcm"
    with _spool_path(shop, work).open("wb") as out:
        for first in range(0, len(placed), _RUNS_AT_ONCE):
            some = placed[first : first + _RUNS_AT_ONCE]
            patience = Patience(120 + (some[-1][2] - some[0][1]) / work.rate, stall=120)
            run_ffmpeg(
                shop.ffmpeg,
                ffmpeg.output(
                    _in_a_row(shop, tables, work, some), f"file:{part}", f="s16le",
                    ar=work.rate, ac=work.channels,
                ).global_args("-copyts"),
                patience=patience,
                beat=lambda _share, note: beat(None, note),
                limits=Limits(address_bytes=_MEMORY[0], cpu_seconds=int(patience.deadline) * 16),
                reads=(),
            )  # fmt: skip
            with part.open("rb") as made:
                shutil.copyfileobj(made, out, _COPY)
            part.unlink()


def _spool_path(shop: Workshop, work: Sound) -> Path:
    return shop.folder / f"{work.name}.pcm"


def _heard(
    shop: Workshop, table: Table, work: Sound, run: Run, begin: int, end: int, name: str
) -> Any:
    """A run's sound from ``begin`` to ``end`` of the cut, beginning at zero."""
    rate, frame = table.track.sample_rate, audio_frame(table)
    length = Fraction(frame * work.rate, rate)
    first = max(0, int((begin - run.at) / length) - _LEAD_IN)
    last = min(run.stop - run.first, int((end - run.at) / length) + 2)
    indices = np.arange(run.first + first, run.first + last)
    source = shop.folder / f"{name}.in.mp4"
    times = _MARGIN_SECONDS * rate + np.arange(len(indices)) * frame
    _write_input(shop, source, table, indices, times, sample_frame=frame)
    # What the cut's samples are called in the file's time.
    shift = _MARGIN_SECONDS * work.rate - run.at - round(first * length)
    fade = run.fade(work.rate)
    sound = (
        _open(source)["a:0"]
        .filter("aresample", work.rate)
        .filter("aformat", sample_fmts="fltp", channel_layouts=LAYOUTS[work.channels])
        .filter("asettb", f"1/{work.rate}")
    )
    if fade and run.begin >= begin:
        at = run.begin + shift
        sound = sound.filter("afade", t="in", start_sample=at, nb_samples=fade)
    if fade and run.end <= end:
        at = run.end - fade + shift
        sound = sound.filter("afade", t="out", start_sample=at, nb_samples=fade)
    sound = sound.filter("atrim", start_pts=begin + shift, end_pts=end + shift)
    return sound.filter("asetpts", "N/SR/TB").filter("asettb", f"1/{work.rate}")


def audio_frame(table: Table) -> int:
    """Samples in a coded frame of a table."""
    usual = int(np.median(table.duration)) * table.track.sample_rate
    return max(1, round(usual / table.track.timescale))


# --- files -----------------------------------------------------------------------------------


def _write_input(
    shop: Workshop,
    path: Path,
    table: Table,
    indices: Ints,
    dts: Ints,
    *,
    sample_frame: int | None = None,
) -> None:
    """A file of just these samples; ``dts`` are their new times. With ``sample_frame`` each lasts
    so many samples, and the file's time is counted in them."""
    track = _replaced(table.track, table.track.sample_rate if sample_frame else None)
    reordered = np.zeros_like(dts) if sample_frame else table.pts[indices] - table.dts[indices]
    with path.open("wb") as out:
        out.write(write_init([track]))
        for number, at in enumerate(range(0, len(indices), _BATCH), 1):
            samples = [
                fmp4.Sample(
                    1,
                    int(dts[n]),
                    int(reordered[n]),
                    sample_frame or int(table.duration[indices[n]]),
                    bool(table.key[indices[n]]),
                    table.data(shop.files, int(indices[n])),
                )
                for n in range(at, min(at + _BATCH, len(indices)))
            ]
            out.write(write_fragment(number, [TrackSamples(1, samples)]))
            shop.step()


def _replaced(track: fmp4.Track, timescale: int | None) -> fmp4.Track:
    """The track as number 1 of a file, perhaps in another timescale."""
    return msgspec.structs.replace(track, track_id=1, timescale=timescale or track.timescale)
