"""Reads a photograph as somebody sent it, confined: decodes it to its end, draws it upright and
small, and tells what the camera wrote.

    photo_reader.py PATH FOLDER LIMITS      (LIMITS: a JSON object; the answer is FOLDER/told.json)

A script with nothing of ours imported, for it runs where nothing of ours can be read. What it
leaves in the folder: ``small.jpg``, ``large.jpg``, and the grey squares by which pictures are told
apart, as bare bytes: ``hash.grey``, ``compared.grey``.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import warnings
from pathlib import Path
from typing import Any, Final

from PIL import (
    ExifTags,
    Image,
    ImageCms,
    ImageOps,
    JpegImagePlugin,
    PngImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

# Named, so that Pillow knows of these and loads no other.
_READERS: Final = (
    JpegImagePlugin.JpegImageFile,
    PngImagePlugin.PngImageFile,
    WebPImagePlugin.WebPImageFile,
)
FORMATS: Final = tuple(reader.format for reader in _READERS)
MEDIA_TYPES: Final = {
    "JPEG": "image/jpeg",
    # What Pillow calls a JPEG with a preview behind it, as many cameras write.
    "MPO": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
}
_TEXT_MAX: Final = 200
_BASE_TAGS: Final = {"camera_make": 0x010F, "camera": 0x0110, "artist": 0x013B}
_TIME_TAGS: Final = {"taken_at": 0x9003, "offset": 0x9011}


class Verdict(Exception):
    """Why it is not taken: a code and its facts."""

    def __init__(self, code: str, **facts: int) -> None:
        super().__init__(code)
        self.told = {"refused": code, **facts}


def read(path: str, folder: Path, limits: dict[str, int]) -> dict[str, Any]:
    """Look at the picture and draw it; what is told of it."""
    Image.MAX_IMAGE_PIXELS = limits["pixels"]
    with Image.open(path, formats=FORMATS) as image:
        width, height = image.size
        if width * height > limits["pixels"]:
            raise Verdict("upload_pixels", most=limits["pixels"] // 1_000_000)
        if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
            raise Verdict("upload_picture_moves")
        told: dict[str, Any] = {"media_type": MEDIA_TYPES[str(image.format)], **_camera(image)}
        # A camera's picture is decoded at a fraction of its size, but to its last byte.
        image.draft("RGB", (limits["large"], limits["large"]))
        image.load()
        turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        upright = _plain(ImageOps.exif_transpose(image))
    told |= {"width": height, "height": width} if turned else {"width": width, "height": height}
    _fit(upright, limits["large"]).save(folder / "large.jpg", quality=88, optimize=True)
    _fit(upright, limits["small"]).save(folder / "small.jpg", quality=82, optimize=True)
    grey = upright.convert("L")
    for name, edge in (("hash", limits["hash"]), ("compared", limits["compared"])):
        square = grey.resize((edge, edge), Image.Resampling.BOX)
        (folder / f"{name}.grey").write_bytes(square.tobytes())
    return told


def _plain(image: Image.Image) -> Image.Image:
    """In sRGB, and on white where it is see-through."""
    profile = image.info.get("icc_profile")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        whole = image.convert("RGBA")
        made = Image.new("RGB", image.size, "white")
        made.paste(whole, mask=whole.getchannel("A"))
        return made
    if image.mode.startswith("I"):
        # Sixteen bits of grey: what is brighter than eight can say would all be white.
        return image.convert("I").point(lambda level: level * (1 / 256)).convert("L").convert("RGB")
    if profile and image.mode in ("RGB", "CMYK"):
        return _to_srgb(image, profile)
    return image.convert("RGB")


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Phones and good cameras write wider colours than a web page shows."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        done = ImageCms.profileToProfile(
            image, source, ImageCms.createProfile("sRGB"), outputMode="RGB"
        )
    except (ImageCms.PyCMSError, OSError, ValueError):
        done = None
    return done if done is not None else image.convert("RGB")


def _fit(image: Image.Image, edge: int) -> Image.Image:
    made = image.copy()
    # Nothing the camera wrote (where it stood, for one) goes out with what pages show.
    made.info.clear()
    made.thumbnail((edge, edge), Image.Resampling.LANCZOS)
    return made


def _camera(image: Image.Image) -> dict[str, str]:
    """What the camera wrote of itself and of the time, as text."""
    try:
        exif = image.getexif()
        found = {name: exif.get(tag) for name, tag in _BASE_TAGS.items()}
        times = exif.get_ifd(ExifTags.IFD.Exif)
        found |= {name: times.get(tag) for name, tag in _TIME_TAGS.items()}
    except (OSError, SyntaxError, ValueError, TypeError, KeyError):
        return {}
    return {name: _text(value) for name, value in found.items() if isinstance(value, str)}


def _text(value: str) -> str:
    # Pillow reads EXIF's ASCII as Latin-1; cameras and programs write UTF-8 there.
    with contextlib.suppress(UnicodeError):
        value = value.encode("latin-1").decode("utf-8")
    return "".join(c for c in value if c.isprintable()).strip()[:_TEXT_MAX]


def main(argv: list[str]) -> None:
    """Read one picture and leave the answer."""
    path, folder, limits = argv[0], Path(argv[1]), json.loads(argv[2])
    warnings.simplefilter("ignore")
    try:
        told = read(path, folder, limits)
    except Verdict as verdict:
        told = verdict.told
    except Image.DecompressionBombError:
        told = {"refused": "upload_pixels", "most": limits["pixels"] // 1_000_000}
    except MemoryError:
        told = {"refused": "upload_bomb"}
    except UnidentifiedImageError:
        told = {"refused": "upload_picture_type"}
    except (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError):
        told = {"refused": "upload_picture_broken"}
    (folder / "told.json").write_text(json.dumps(told))


if __name__ == "__main__":
    main(sys.argv[1:])
