"""FFmpeg's graph for one chunk: its coded pictures and its samples in, every rung as fragments out.

Pictures are chosen by their exact timestamps and keep them; key frames are forced where segments
begin. Encoders are given the same settings in every chunk, so one init section serves all.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import ffmpeg
import msgspec

from transcode.ladder import Ladder, Rung
from transcode.sandbox import UPLOAD_CODECS, input_limits
from vod.chunked.plan import ChunkPlan
from vod.originals.clock import TICKS
from vod.originals.table import Picture
from vod.originals.wanted import SOUND_RATE

PRESET: Final = "veryfast"
CRF: Final = 20
"""Quality is bought with bits, three steps of them beside live, and with B-frames and lookahead,
which live cannot have. What "fast" would save in bits costs more than twice the time (measured),
and a county's machine has two cores for an evening of three hours."""
ENCODER_THREADS: Final = 4
"""Fixed, so that a chunk made again on another machine comes out byte for byte the same."""
B_FRAMES: Final = 3
ENCODER_REORDER: Final = 2
"""Pictures x264 decodes ahead: B-frames may refer to one another (b-pyramid)."""
SOUND_BITS: Final = 160_000

_HDR_TRANSFERS: Final = frozenset((16, 18))
"""SMPTE ST 2084 (PQ) and ARIB STD-B67 (HLG), as ITU-T H.273 numbers them."""
_IN_MOV: Final = frozenset(("prores", "dnxhd"))
"""Codecs that NUT has no name for."""

_FRAGMENTS: Final[dict[str, Any]] = {
    "f": "mp4",
    "use_editlist": 0,
    "avoid_negative_ts": "disabled",
    "map_metadata": -1,
    "map_chapters": -1,
}


class Recipe(msgspec.Struct, frozen=True):
    """How a work's chunks are made: the same for all of them."""

    ladder: dict[str, Any]
    frame_rate: tuple[int, int] | None
    picture: Picture | None
    sound_index: int = -1
    reorder: int = 0
    """By how many pictures the original decodes ahead of what it shows."""

    def delay(self, rung: Rung) -> int:
        """The same of a rung."""
        return self.reorder if rung.copied else ENCODER_REORDER

    @property
    def rungs(self) -> tuple[Rung, ...]:
        return Ladder.from_json(self.ladder).made

    @property
    def deinterlace(self) -> bool:
        return bool(self.ladder["deinterlace"])

    @property
    def copied(self) -> Rung | None:
        return next((r for r in self.rungs if r.kind == "video" and r.copied), None)

    @property
    def encoded(self) -> tuple[Rung, ...]:
        return tuple(r for r in self.rungs if r.kind == "video" and not r.copied)

    @property
    def has_sound(self) -> bool:
        return any(r.kind == "audio" for r in self.rungs)

    @property
    def pictures_name(self) -> str:
        """Of the file the reader copies a chunk's pictures into."""
        codec = self.picture.codec if self.picture else ""
        return "pictures.mov" if codec in _IN_MOV else "pictures.nut"


def chunk_output(
    recipe: Recipe, chunk: ChunkPlan, pictures: Path | None, samples: Path | None, folder: Path
) -> Any:
    """The ffmpeg-python outputs ``{rung}.mp4`` in ``folder``; None when all is copied."""
    outputs = []
    if pictures is not None and recipe.encoded:
        outputs += _pictures(recipe, chunk, pictures, folder)
    if samples is not None:
        limits = input_limits(formats="f32le", codecs="pcm_f32le")
        source = ffmpeg.input(f"file:{samples}", f="f32le", ar=SOUND_RATE, ac=2, **limits)
        sound = {"c:a": "aac", "b:a": SOUND_BITS, "ac": 2, "ar": SOUND_RATE}
        flags = "empty_moov+default_base_moof+frag_discont+skip_trailer"
        outputs.append(
            ffmpeg.output(
                source["a:0"], f"file:{folder / 'a.mp4'}",
                **_FRAGMENTS, **sound, movflags=flags, frag_duration=2_000_000,
            )
        )  # fmt: skip
    if not outputs:
        return None
    merged = ffmpeg.merge_outputs(*outputs) if len(outputs) > 1 else outputs[0]
    return merged.global_args("-copyts")


def _pictures(recipe: Recipe, chunk: ChunkPlan, path: Path, folder: Path) -> list[Any]:
    assert chunk.video is not None
    assert recipe.picture is not None
    zero = chunk.video.zero
    limits = input_limits(formats="nut,mov,mp4,m4a,3gp,3g2,mj2", codecs=UPLOAD_CODECS)
    picture = ffmpeg.input(f"file:{path}", noautorotate=None, **limits)["v:0"]
    if recipe.deinterlace:
        picture = picture.filter("bwdif", mode="send_frame", deint="interlaced")
    # After the deinterlacer, which counts in halves of what it is given.
    picture = picture.filter("settb", f"1/{TICKS}")
    picture = picture.filter("trim", start_pts=chunk.start - zero, end_pts=chunk.end - zero)
    source = recipe.picture
    picture = _upright(picture, source.rotation, mirrored=source.mirrored)
    if recipe.picture.transfer in _HDR_TRANSFERS:
        picture = _standard_range(picture)
    branches = picture.filter_multi_output("split", len(recipe.encoded))
    keys = ",".join(_seconds(cut - zero) for cut in chunk.cuts[:-1])
    return [
        _encoded(branches.stream(index), rung, recipe, keys, folder)
        for index, rung in enumerate(recipe.encoded)
    ]


def _upright(picture: Any, rotation: int, *, mirrored: bool) -> Any:
    """As FFmpeg's autorotate does, which cannot: the reader's copy has lost the display matrix."""
    if rotation in (90, 270):
        way = ("cclock_flip", "clock_flip") if mirrored else ("clock", "cclock")
        return picture.filter("transpose", way[rotation == 270])
    if rotation == 180:
        turned = picture.filter("hflip")
        return turned if mirrored else turned.filter("vflip")
    return picture.filter("vflip") if mirrored else picture


def _standard_range(picture: Any) -> Any:
    """High dynamic range brought down to what every screen shows (BT.709)."""
    linear = picture.filter("zscale", t="linear", npl=100).filter("format", "gbrpf32le")
    mapped = linear.filter("zscale", p="bt709").filter("tonemap", "hable", desat=0)
    return mapped.filter("zscale", t="bt709", m="bt709", r="tv").filter("format", "yuv420p")


def _seconds(ticks: int) -> str:
    """A moment half a tick before a picture: FFmpeg reads it in microseconds, and compares."""
    return f"{(ticks - 0.5) / TICKS:.6f}"


def _encoded(stream: Any, rung: Rung, recipe: Recipe, keys: str, folder: Path) -> Any:
    rate = Fraction(*recipe.frame_rate) if recipe.frame_rate else Fraction(25)
    scaled = (
        stream.filter("scale", rung.width, rung.height, flags="bicubic+accurate_rnd")
        .filter("setsar", 1)
        .filter("format", "yuv420p")
    )
    return ffmpeg.output(
        scaled,
        f"file:{folder / rung.name}.mp4",
        **_FRAGMENTS,
        **{
            "movflags": "empty_moov+default_base_moof+frag_keyframe+frag_discont+skip_trailer",
            "video_track_timescale": TICKS,
            "enc_time_base:v": f"1/{TICKS}",
            "fps_mode:v": "passthrough",
            "c:v": "libx264",
            "preset": PRESET,
            "profile:v": "high",
            "crf": CRF,
            "maxrate": rung.bit_rate,
            "bufsize": rung.bit_rate * 3 // 2,
            "bf": B_FRAMES,
            "threads": ENCODER_THREADS,
            # x264 chooses its level by the frame rate, which the filters no longer tell it.
            "x264-params": f"open-gop=0:b-pyramid=normal:fps={rate.numerator}/{rate.denominator}",
            "force_key_frames": keys,
        },
    )
