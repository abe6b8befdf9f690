"""Pictures out of registered footage: small grey ones to look over, whole ones to keep.

FFmpeg decodes under the sandbox. Small pictures are files named by their time; whole ones come as
they were coded, in a container that says what their colours mean, and turn into RGB only here: a
picture that says nothing is read as players read it (BT.709 when it is large, BT.601 when not).
"""

from __future__ import annotations

import io
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import av
import av.error
import cv2
import ffmpeg
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation
from numpy.typing import NDArray
from PIL import Image

from catalog.minutes import TICKS_A_SECOND
from infra.telemetry import get_logger
from transcode.fmp4.boxes import Fmp4Error
from transcode.sandbox import Limits, input_limits
from vod.encode import Beat, EncodeError, EncodeHung, Patience, run_ffmpeg
from vod.footage import Part, join_part, measure
from vod.stills.look import Grey, shrink
from vod.tools import Tools

log = get_logger(__name__)

KEY_WIDTH: Final = 480
SMALL_WIDTH: Final = 320
SMALL_APART: Final = TICKS_A_SECOND // 34
"""Of footage at 50 or 60 frames a second every second one says enough."""
JPEG_QUALITY: Final = 92
FRAMES_MOST: Final = 18
"""Whole pictures decoded at once: of 4K they are 220 MB."""
_PATIENCE: Final = Patience(deadline=300, stall=90)
_LIMITS: Final = Limits(cpu_seconds=600)
_HD: Final = (1280, 576)
"""Pictures wider or taller than this are read as BT.709 when they do not say (H.273 has no
default; this is what browsers do)."""

_MATRICES: Final = {
    1: Colorspace.ITU709,
    4: Colorspace.FCC,
    5: Colorspace.ITU601,
    6: Colorspace.ITU601,
    7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}
"""MatrixCoefficients (H.273, table 4) as swscale names them."""

_FULL_RANGE: Final = np.clip((np.arange(256) - 16) * (255 / 219) + 0.5, 0, 255).astype(np.uint8)
"""Luma of video (16 to 235) as levels."""
_EXACT: Final = Interpolation.BICUBIC | Interpolation.FULL_CHR_H_INT | Interpolation.ACCURATE_RND
"""What swscale does without the last two is a level too dark (41 dB instead of 58, measured)."""

Span = tuple[int, int]
"""From the first tick to the one after the last."""


def key_pictures(tools: Tools, part: Part, folder: Path, beat: Beat) -> Iterator[tuple[int, Grey]]:
    """(tick it is shown at, picture) of a part's key frames, small and grey."""
    yield from _grey(tools, part, folder, beat, KEY_WIDTH, skip_frame="nokey")


def small_pictures(
    tools: Tools, part: Part, folder: Path, spans: Sequence[Span], beat: Beat
) -> Iterator[tuple[int, Grey]]:
    """The same of every frame that is shown within one of the spans."""
    yield from _grey(tools, part, folder, beat, SMALL_WIDTH, spans=spans)


def _grey(
    tools: Tools,
    part: Part,
    folder: Path,
    beat: Beat,
    width: int,
    *,
    spans: Sequence[Span] = (),
    **how: str,
) -> Iterator[tuple[int, Grey]]:
    joined = folder / "joined.mp4"
    join_part(tools.storage, part, joined, lambda: beat(None, None))
    pictures = folder / "grey"
    pictures.mkdir(exist_ok=True)
    chain = _timed(joined, spans, SMALL_APART, **how)
    # One to one in width and height first, so that a hash sees what people see.
    chain = chain.filter("scale", f"min({width},iw*sar)", f"min({width},iw*sar)*ih/(iw*sar)",
                         flags="area").filter("format", "gray")  # fmt: skip
    output = ffmpeg.output(
        chain, f"file:{pictures}/%d.pgm", f="image2", frame_pts=1, fps_mode="passthrough",
        enc_time_base=f"1/{TICKS_A_SECOND}",
    ).global_args("-copyts")  # fmt: skip
    _decode(tools, output, beat)
    joined.unlink()
    for path in sorted(pictures.iterdir(), key=lambda p: int(p.stem)):
        found = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        at = int(path.stem)
        path.unlink()
        if found is not None:
            yield at, np.asarray(found, dtype=np.uint8)


def _timed(joined: Path, spans: Sequence[Span], apart: int = 0, **how: str) -> Any:
    """The decoded picture on the programme's own clock: what lies in the spans, and of that only
    frames so many ticks apart."""
    source = ffmpeg.input(f"file:{joined}", **how, **input_limits())
    chain = source["v:0"].filter("settb", f"1/{TICKS_A_SECOND}")
    if spans:
        wanted = "+".join(f"between(pts,{start},{end - 1})" for start, end in spans)
        if apart:
            wanted = f"({wanted})*(isnan(prev_selected_pts)+gte(pts-prev_selected_pts,{apart}))"
        chain = chain.filter("select", wanted)
    return chain


@dataclass(frozen=True, slots=True)
class Whole:
    """A frame at the size it was coded, on the programme's clock."""

    at_ticks: int
    frame: av.VideoFrame

    @property
    def width(self) -> int:
        return self.frame.width

    @property
    def height(self) -> int:
        return self.frame.height

    def grey(self) -> Grey:
        """Its luma, full range."""
        plane = self.frame.planes[0]
        rows = np.frombuffer(memoryview(plane), dtype=np.uint8).reshape(-1, plane.line_size)
        luma: Grey = rows[: self.height, : self.width]
        if self.frame.color_range == ColorRange.JPEG:
            return luma.copy()
        return np.take(_FULL_RANGE, luma)

    def rgb(self) -> NDArray[np.uint8]:
        """Rows by columns of sRGB."""
        large = self.width >= _HD[0] or self.height > _HD[1]
        usual = Colorspace.ITU709 if large else Colorspace.ITU601
        full = self.frame.color_range == ColorRange.JPEG
        made = self.frame.reformat(
            format="rgb24",
            src_colorspace=_MATRICES.get(self.frame.colorspace, usual),
            src_color_range=ColorRange.JPEG if full else ColorRange.MPEG,
            dst_color_range=ColorRange.JPEG,
            interpolation=_EXACT,
        )
        return np.asarray(made.to_ndarray(), dtype=np.uint8)


def whole_pictures(
    tools: Tools, part: Part, folder: Path, spans: Sequence[Span], beat: Beat
) -> list[Whole]:
    """The frames of a part that are shown within the spans, at full size, in order."""
    joined, raw = folder / "joined.mp4", folder / "whole.mkv"
    step = lambda: beat(None, None)  # noqa: E731 (what join_part and measure call between pieces)
    join_part(tools.storage, part, joined, step)
    try:
        ticks = [frame.pts for frame in measure(joined, step).frames]
    except Fmp4Error as error:
        log.warning("footage that cannot be read", why=str(error))
        return []
    chain = _timed(joined, spans)
    chain = chain.filter("scale", "if(eq(sar,1),iw,2*round(iw*sar/2))", "ih", flags="lanczos")
    chain = chain.filter("format", "yuv420p|yuv422p")
    output = ffmpeg.output(
        chain, f"file:{raw}", f="matroska", vcodec="rawvideo", fps_mode="passthrough",
        vframes=FRAMES_MOST,
    ).global_args("-copyts")  # fmt: skip
    _decode(tools, output, beat)
    joined.unlink()
    found: list[Whole] = []
    with suppress(av.error.FFmpegError):
        # Without a single picture it is no file of any kind.
        found += _read_raw(raw, ticks)
    raw.unlink(missing_ok=True)
    return found


def _decode(tools: Tools, output: Any, beat: Beat) -> None:
    """Run FFmpeg for what can be had: a damaged stretch has no pictures, the next one may."""
    try:
        run_ffmpeg(tools.ffmpeg, output, patience=_PATIENCE, beat=_quiet(beat), limits=_LIMITS)
    except EncodeHung:
        raise
    except EncodeError as error:
        log.warning("footage that cannot be decoded", why=str(error)[-300:])


def _read_raw(raw: Path, ticks: Sequence[int]) -> Iterator[Whole]:
    if not ticks:
        return
    with av.open(str(raw), format="matroska") as container:
        for frame in container.decode(video=0):
            # Matroska counts milliseconds; the footage knows the very tick.
            at = round((frame.time or 0.0) * TICKS_A_SECOND)
            place = bisect_left(ticks, at)
            around = ticks[max(0, place - 1) : place + 1]
            yield Whole(min(around, key=lambda tick: abs(tick - at)), frame)


def jpeg(rgb: NDArray[np.uint8], quality: int = JPEG_QUALITY) -> bytes:
    """A JPEG, its colours at full resolution: red costumes are what they show first."""
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=quality, subsampling=0, optimize=True)
    return out.getvalue()


def small_jpeg(rgb: NDArray[np.uint8], edge: int, quality: int = 82) -> bytes:
    """A JPEG of the picture with its longer edge at most ``edge``."""
    rows, columns = rgb.shape[:2]
    scale = min(1.0, edge / max(rows, columns))
    if scale < 1.0:
        rgb = shrink(rgb, max(1, round(columns * scale)), max(1, round(rows * scale)))
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=quality, optimize=True)
    return out.getvalue()


def _quiet(beat: Beat) -> Beat:
    """One run of many: the job's own share goes on elsewhere."""
    return lambda share, note: beat(None, note)
