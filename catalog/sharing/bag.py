"""A bag (BagIt 1.0, RFC 8493) written straight into a zip: payload, checksums, what it is.

Payload goes in as it comes and is hashed on the way, so a bag needs no more room than itself. The
zip holds one folder, the bag, and packs nothing: pictures and sound do not get smaller.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Final

_CHUNK: Final = 1 << 20
_NAME: Final = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_DECLARATION: Final = "BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n"
_MANIFEST: Final = "manifest-sha256.txt"
_TAG_MANIFEST: Final = "tagmanifest-sha256.txt"

Step = Callable[[], None]
"""Called between chunks; what it raises ends the work."""


class BagWriter:
    """Writes one bag; use as a context manager. After an error the file is of no use.

    Paths are those below ``data/``: letters, digits, ``. _ -`` only, so that every system can
    unpack them and no manifest needs an escape (RFC 8493 section 2.1.3).
    """

    def __init__(self, path: Path, name: str, *, made: dt.datetime) -> None:
        self._name = _checked(name)
        self._made = made.timetuple()[:6]
        self._payload: dict[str, str] = {}
        self._tags: dict[str, str] = {}
        self._size = 0
        self._zip = zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=True)

    @property
    def files(self) -> int:
        """Payload files so far."""
        return len(self._payload)

    def __enter__(self) -> BagWriter:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self._zip.close()

    def add_file(self, path: str, source: Path, step: Step) -> str:
        """Put a file into the payload; its SHA-256. Raises OSError and what ``step`` raises."""
        name = f"data/{_checked(path)}"
        if name in self._payload:
            raise ValueError(f"twice in one bag: {path}")
        digest = hashlib.sha256()
        with source.open("rb") as file, self._entry(name) as out:
            while data := file.read(_CHUNK):
                digest.update(data)
                out.write(data)
                self._size += len(data)
                step()
        self._payload[name] = digest.hexdigest()
        return self._payload[name]

    def finish(self, info: Mapping[str, str]) -> None:
        """Write the manifests and ``bag-info.txt``; size and date it knows by itself."""
        day = dt.date(*self._made[:3])
        lines = {
            **info,
            "Bagging-Date": day.isoformat(),
            "Payload-Oxum": f"{self._size}.{len(self._payload)}",
        }
        self._tag("bagit.txt", _DECLARATION)
        self._tag("bag-info.txt", "".join(f"{k}: {_line(v)}\n" for k, v in lines.items()))
        self._tag(_MANIFEST, _manifest(self._payload))
        self._tag(_TAG_MANIFEST, _manifest(dict(self._tags)))

    def _tag(self, name: str, text: str) -> None:
        data = text.encode()
        with self._entry(name) as out:
            out.write(data)
        self._tags[name] = hashlib.sha256(data).hexdigest()

    def _entry(self, name: str) -> IO[bytes]:
        entry = zipfile.ZipInfo(f"{self._name}/{name}", self._made)
        entry.external_attr = 0o644 << 16
        return self._zip.open(entry, "w", force_zip64=True)


def _manifest(digests: Mapping[str, str]) -> str:
    return "".join(f"{digest}  {name}\n" for name, digest in sorted(digests.items()))


def _line(value: str) -> str:
    """A value on one line: a line break would begin another field."""
    return " ".join(value.split())


def _checked(path: str) -> str:
    if _NAME.fullmatch(path) is None:
        raise ValueError(f"not a path for a bag: {path[:80]!r}")
    return path
