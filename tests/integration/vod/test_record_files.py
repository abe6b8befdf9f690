"""Files that are sent with a form: known by their bytes, read under confinement, kept."""

from __future__ import annotations

import hashlib
import io
import math
import struct
import wave
from pathlib import Path

import pytest
from PIL import Image

from catalog.errors import Refused
from catalog.records.files import KEPT, LARGE_EDGE, SMALL_EDGE, large_key, small_key
from infra.storage.folder import FolderStorage
from vod.record_files import keep


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    return FolderStorage(tmp_path / "media")


def _photo(path: Path, width: int, height: int) -> Path:
    """A JPEG as a telephone writes it: lying on its side, with the place it was taken at."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif.get_ifd(0x8825)[1] = "N"
    Image.new("RGB", (width, height), "teal").save(path, "JPEG", exif=exif.tobytes())
    return path


@pytest.mark.parametrize("edges", [(3000, 1500), (1000, 500)])
def test_a_picture_is_kept_under_its_checksum_with_smaller_ones(
    storage: FolderStorage, tmp_path: Path, edges: tuple[int, int]
) -> None:
    path = _photo(tmp_path / "p", *edges)
    kept = keep(storage, "image", path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (kept.sha256, kept.media_type) == (digest, "image/jpeg")
    assert kept.technical == {"width": edges[1], "height": edges[0], "large": True}
    assert storage.get(kept.storage_key) == path.read_bytes()
    for key, edge in ((small_key, SMALL_EDGE), (large_key, LARGE_EDGE)):
        with Image.open(io.BytesIO(storage.get(key(kept.storage_key)))) as shown:
            assert shown.size == (min(edge, edges[0]) // 2, min(edge, edges[0])), "upright"
            assert not shown.getexif(), "where it was taken is nobody's business"
    assert keep(storage, "image", path) == kept, "the same file again is the same object"


def _sound(path: Path, seconds: float) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(
            b"".join(
                struct.pack("<h", int(9000 * math.sin(n / 3))) for n in range(int(8000 * seconds))
            )
        )
    return path


def test_of_a_sound_its_length_is_known(storage: FolderStorage, tmp_path: Path) -> None:
    kept = keep(storage, "audio", _sound(tmp_path / "s", 2.5))
    assert (kept.media_type, kept.duration_ticks) == ("audio/wav", 225_000)


@pytest.mark.parametrize("hidden", ["sound", "playlist"])
def test_it_is_read_as_what_its_first_bytes_say(
    storage: FolderStorage, tmp_path: Path, hidden: str
) -> None:
    """FFmpeg skips an ID3 tag before it looks what a file is."""
    other = _sound(tmp_path / "other.wav", 3)
    tag = b"ID3\x03\0\0\0\0\0\x0aTIT2" + b"\0" * 6
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{other}\n#EXT-X-ENDLIST\n"
    path = tmp_path / "song.mp3"
    path.write_bytes(tag + (playlist.encode() if hidden == "playlist" else other.read_bytes()))
    with pytest.raises(Refused) as refused:
        keep(storage, "audio", path)
    assert refused.value.code == "record_file_broken"


@pytest.mark.parametrize(
    ("kind", "content", "code"),
    [
        ("image", b"%PDF-1.7 a document", "record_file_type"),
        ("document", b"\xff\xd8\xff\xe0 a picture", "record_file_type"),
        ("image", b"\xff\xd8\xff\xe0 and then nothing of a picture", "record_file_broken"),
        ("audio", b"ID3\x03 and then nothing of a sound", "record_file_broken"),
        ("news", b"%PDF-1.7", "record_file_kind"),
    ],
)
def test_what_it_is_not_is_not_kept(
    storage: FolderStorage, tmp_path: Path, kind: str, content: bytes, code: str
) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    with pytest.raises(Refused) as refused:
        keep(storage, kind, path)
    assert refused.value.code == code
    assert list(storage.list("")) == []


def test_a_picture_of_too_many_points_is_refused_by_its_header(
    storage: FolderStorage, tmp_path: Path
) -> None:
    # A PNG header that promises 60 000 × 60 000 points, and nothing after it.
    head = bytes.fromhex("89504e470d0a1a0a0000000d49484452") + (60_000).to_bytes(4) * 2
    path = tmp_path / "bomb.png"
    path.write_bytes(head + bytes.fromhex("0802000000") + b"\x00" * 64)
    with pytest.raises(Refused) as refused:
        keep(storage, "image", path)
    assert refused.value.code == "record_file_broken"


def test_too_large_says_how_large(storage: FolderStorage, tmp_path: Path) -> None:
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.write(b"%PDF-1.7")
        file.truncate(KEPT["document"].most + 1)
    with pytest.raises(Refused) as refused:
        keep(storage, "document", path)
    assert refused.value.facts == {"most": 60, "size": 61}
