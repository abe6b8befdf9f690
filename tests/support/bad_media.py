"""Files that are not what they say, want more than they should, or name what is not theirs."""

from __future__ import annotations

import random
import struct
import subprocess
import zlib
from collections.abc import Callable
from pathlib import Path

import av

from tests.support.media import Footage, make_footage

_CONTAINERS = (b"moov", b"trak", b"mdia", b"minf", b"dinf")


def run(ffmpeg: str, *words: str | Path) -> None:
    argv = [ffmpeg, "-hide_banner", "-loglevel", "error", "-y", *map(str, words)]
    subprocess.run(argv, check=True, stdin=subprocess.DEVNULL)


# --- playlists ---------------------------------------------------------------------------------


def hls(path: Path, target: str) -> Path:
    path.write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXT-X-PLAYLIST-TYPE:VOD\n"
        f"#EXTINF:2.0,\n{target}\n#EXT-X-ENDLIST\n"
    )
    return path


def concat(path: Path, target: str) -> Path:
    path.write_text(f"ffconcat version 1.0\nfile '{target}'\nduration 2\n")
    return path


def dash(path: Path, target: str) -> Path:
    path.write_text(
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"'
        ' mediaPresentationDuration="PT2S" profiles="urn:mpeg:dash:profile:isoff-on-demand:2011">'
        '<Period><AdaptationSet contentType="video" mimeType="video/mp4"><Representation id="1"'
        f' bandwidth="1000" codecs="avc1.42c00c"><BaseURL>{target}</BaseURL><SegmentBase/>'
        "</Representation></AdaptationSet></Period></MPD>"
    )
    return path


# --- films that name other files ----------------------------------------------------------------


def referring(film: Path, path: Path, entry: bytes) -> Path:
    """``film`` (its index at its end) with every data reference replaced by ``entry``."""
    path.write_bytes(_with_dref(film.read_bytes(), entry))
    return path


def _with_dref(data: bytes, entry: bytes) -> bytes:
    out, at = [], 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + size]
        if kind in _CONTAINERS:
            body = _with_dref(body, entry)
        elif kind == b"dref":
            body = struct.pack(">II", 0, 1) + entry
        out.append(struct.pack(">I4s", len(body) + 8, kind) + body)
        at += size
    return b"".join(out)


def url_entry(url: str) -> bytes:
    body = struct.pack(">I", 0) + url.encode() + b"\0"
    return struct.pack(">I4s", len(body) + 8, b"url ") + body


def alias_entry(target: str) -> bytes:
    """A QuickTime alias: an absolute path, which FFmpeg can be told to follow."""
    name = Path(target).name.encode()[:60]
    body = struct.pack(">I", 0) + bytes(10) + b"\4Disk".ljust(28, b"\0") + bytes(12)
    body += (bytes([len(name)]) + name).ljust(64, b"\0") + bytes(16)
    body += struct.pack(">hh", 1, 1) + bytes(16)
    path = target.encode()
    body += struct.pack(">HH", 2, len(path)) + path + b"\0" * (len(path) % 2)
    body += struct.pack(">HH", 0xFFFF, 0)
    return struct.pack(">I4s", len(body) + 8, b"alis") + body


# --- too much ------------------------------------------------------------------------------------


def huge_png(path: Path, edge: int = 16_000) -> Path:
    """A black square: half a megabyte that wants a quarter of a gigabyte."""

    def box(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    packer = zlib.compressobj(1)
    row = bytes(edge + 1)
    packed = b"".join([packer.compress(row) for _ in range(edge)]) + packer.flush()
    head = struct.pack(">IIBBBBB", edge, edge, 8, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + box(b"IHDR", head) + box(b"IDAT", packed) + box(b"IEND", b"")
    )
    return path


def huge_vp8(ffmpeg: str, path: Path, edge: int = 16_000) -> Path:
    """A film whose frames say that its picture is a wall."""
    run(ffmpeg, "-f", "lavfi", "-i", "testsrc2=s=64x64:d=1", "-c:v", "libvpx", path)
    size = struct.pack("<HH", 64, 64)
    data = path.read_bytes().replace(
        b"\x9d\x01\x2a" + size, b"\x9d\x01\x2a" + struct.pack("<HH", edge, edge)
    )
    path.write_bytes(data)
    return path


def many_streams(path: Path, count: int = 1_000) -> Path:
    with av.open(str(path), "w", format="matroska") as container:
        for _ in range(count):
            container.add_stream("pcm_s16le", rate=8_000)
        container.start_encoding()
    return path


def long_black(ffmpeg: str, path: Path, hours: int = 10) -> Path:
    seconds = hours * 3600
    run(
        ffmpeg, "-f", "lavfi", "-i", f"color=black:s=64x64:r=1/10:d={seconds}", "-c:v", "libx264",
        "-preset", "ultrafast", "-g", "50", path,
    )  # fmt: skip
    return path


# --- kinds that are not taken --------------------------------------------------------------------


def magicyuv(ffmpeg: str, path: Path) -> Path:
    run(ffmpeg, "-f", "lavfi", "-i", "testsrc2=s=64x64:d=1", "-c:v", "magicyuv", path)
    return path


def exr(ffmpeg: str, path: Path) -> Path:
    run(
        ffmpeg, "-f", "lavfi", "-i", "testsrc2=s=64x64", "-frames:v", "1", "-pix_fmt", "gbrpf32le",
        "-c:v", "exr", "-f", "image2pipe", path,
    )  # fmt: skip
    return path


_ASS = (
    "[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name, Fontname, Fontsize\n"
    "Style: Default,Evil,20\n\n[Fonts]\nfontname: evil_0.ttf\n{}\n\n[Events]\n"
    "Format: Layer, Start, End, Style, Text\n"
    "Dialogue: 0,0:00:00.00,0:00:01.00,Default,movie=/etc/passwd\n"
)


def ass_text(path: Path) -> Path:
    path.write_text(_ASS.format("!" * 80))
    return path


def film_with_fonts(ffmpeg: str, film: Path, path: Path) -> Path:
    words = ass_text(path.with_suffix(".ass"))
    font = path.with_suffix(".ttf")
    font.write_bytes(b"\0\1\0\0" + bytes(200))
    run(
        ffmpeg, "-i", film, "-i", words, "-map", "0", "-map", "1", "-c", "copy", "-attach", font,
        "-metadata:s:t", "mimetype=application/x-truetype-font", "-f", "matroska", path,
    )  # fmt: skip
    return path


# --- noise ---------------------------------------------------------------------------------------


def seeds(ffmpeg: str, folder: Path) -> list[Path]:
    """A second of film in each of the containers that are taken."""
    film = make_footage(ffmpeg, folder / "seed.mp4", Footage(seconds=1, size=(128, 72)))
    found = [film]
    for ending in ("mkv", "ts", "flv", "avi", "mov", "mpg"):
        path = folder / f"seed.{ending}"
        if not path.exists():
            kept = ("-c", "copy") if ending != "mpg" else ("-c:v", "mpeg2video", "-c:a", "mp2")
            run(ffmpeg, "-i", film, *kept, path)
        found.append(path)
    return found


def damaged(data: bytes, dice: random.Random) -> bytes:
    """``data`` after one to a few mishaps, most of them where the headers are."""
    out = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 4, 16, 64))):
        dice.choice(_MISHAPS)(out, dice)
    return bytes(out)


def _place(out: bytearray, dice: random.Random) -> int:
    near = dice.choice((64, 600, 4_000, len(out)))
    at = dice.randrange(max(1, min(near, len(out))))
    return max(0, len(out) - 1 - at) if dice.random() < 0.3 else at


def _flip(out: bytearray, dice: random.Random) -> None:
    if out:
        out[_place(out, dice) % len(out)] ^= 1 << dice.randrange(8)


def _extreme(out: bytearray, dice: random.Random) -> None:
    width = dice.choice((1, 2, 4, 8))
    at = _place(out, dice)
    value = dice.choice((b"\xff", b"\0", b"\x7f", b"\x80")) * width
    out[at : at + width] = value


def _cut(out: bytearray, dice: random.Random) -> None:
    at = _place(out, dice)
    del out[at : at + dice.randrange(1, 400)]


def _double(out: bytearray, dice: random.Random) -> None:
    at = _place(out, dice)
    piece = out[at : at + dice.randrange(1, 400)]
    out[at:at] = piece * dice.choice((1, 2, 50))


def _end(out: bytearray, dice: random.Random) -> None:
    del out[_place(out, dice) + 1 :]


_MISHAPS: list[Callable[[bytearray, random.Random], None]] = [
    _flip, _flip, _flip, _extreme, _extreme, _cut, _double, _end,
]  # fmt: skip
