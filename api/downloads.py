"""Files as answers: what is written now, and what storage keeps; none of it whole in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO, Final, cast
from urllib.parse import quote

from fastapi.responses import FileResponse, RedirectResponse, Response, StreamingResponse

from infra.storage import NotFound, Storage

XLSX: Final = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"

_IN_MEMORY: Final = 4 << 20
_CHUNK: Final = 256 << 10


def attachment(name: str, plain: str | None = None) -> str:
    """Content-Disposition for a name (RFC 6266). ``plain``: what browsers that know no other
    script call it; None where the name itself is ASCII."""
    if plain is None:
        return f'attachment; filename="{name}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name)}"


def written(
    write: Callable[[BinaryIO], object], media_type: str, headers: Mapping[str, str]
) -> StreamingResponse:
    """What ``write`` writes; small files never touch the disk."""
    kept = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 (_read_out closes it)
    out = cast("BinaryIO", kept)
    try:
        write(out)
        out.seek(0)
    except BaseException:
        out.close()
        raise
    return StreamingResponse(_read_out(out), media_type=media_type, headers=headers)


def stored(
    storage: Storage,
    key: str,
    media_type: str,
    headers: Mapping[str, str],
    *,
    link_seconds: int | None = None,
) -> Response:
    """An object of storage: from this machine's disk, by a link good for ``link_seconds`` where
    storage gives such (None: never), else passed through. Raises NotFound."""
    path = storage.local_path(key)
    if path is not None:
        if not path.is_file():
            raise NotFound(key)
        return FileResponse(path, media_type=media_type, headers=headers)
    named = headers.get("content-disposition", "")
    if link_seconds and (link := storage.presign(key, link_seconds, disposition=named)):
        return RedirectResponse(link, status_code=307, headers={"cache-control": "no-store"})
    size = storage.size(key)
    if size is None:
        raise NotFound(key)
    return StreamingResponse(
        _pass_through(storage, key, size),
        media_type=media_type,
        headers={**headers, "content-length": str(size)},
    )


def inline(storage: Storage, key: str, media_type: str, name: str, *, seconds: int) -> Response:
    """A file of somebody else's making, to be looked at in the page: browsers may keep it for so
    long, each for its own person. Raises NotFound."""
    headers = {
        "cache-control": f"private, max-age={seconds}",
        "content-disposition": f'inline; filename="{name}"',
        # A PDF or a picture runs nothing here.
        "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; sandbox",
        "x-content-type-options": "nosniff",
    }
    return stored(storage, key, media_type, headers, link_seconds=seconds)


def _read_out(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while piece := file.read(_CHUNK):
            yield piece


def _pass_through(storage: Storage, key: str, size: int) -> Iterator[bytes]:
    for at in range(0, size, _CHUNK):
        yield storage.open_range(key, at, min(size, at + _CHUNK))
