"""Sends files to a Xitai over tus, from a shell: each piece summed, the whole summed, resumed.

Nothing is remembered here: the server knows what it still waits for, and the sum of the whole,
told before the last piece, says whether it was the same file that went on.
"""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeVar

import httpx

from api.uploads.names import PATCH_TYPE, PATH, VERSION, written_metadata
from catalog.errors import Refused
from catalog.uploads import clean_name

T = TypeVar("T")

API: Final = "/api/v1/uploads"
PIECE: Final = 8 << 20
POLL_SECONDS: Final = 1.0
TRIES: Final = 60
"""Failures in a row before we give up; each pause is longer, up to ten seconds."""
_PAUSE_MAX: Final = 10.0
_TIMEOUT: Final = httpx.Timeout(60.0, connect=10.0)
_LATER: Final = frozenset({408, 409, 423, 429, 460, 500, 502, 503, 504, 507})
_OVER: Final = frozenset({"ready", "refused", "failed", "removed", "stuck"})

PICTURES: Final = (".jpg", ".jpeg", ".png", ".webp")


class Refusal(Exception):
    """The server will not have it; asking again changes nothing."""

    def __init__(self, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.code = code
        self.sentence = sentence


class Unreachable(Exception):
    """The server stayed away for all our tries."""


class _Later(Exception):
    """Not now: worth another try."""


Progress = Callable[[float | None, str], None]
"""Told (share or None, a few words)."""


@dataclass
class Sender:
    """A connection to one server, as one person."""

    client: httpx.Client
    pause: Callable[[float], None] = field(default=time.sleep)

    @classmethod
    def to(cls, server: str, token: str, *, local: bool) -> Sender:
        """``local``: this very machine, past whatever proxy the environment names."""
        headers = {"authorization": f"Bearer {token}"}
        return cls(
            httpx.Client(
                base_url=server.rstrip("/"), headers=headers, timeout=_TIMEOUT, trust_env=not local
            )
        )

    def send(self, path: Path, meta: Mapping[str, str], progress: Progress) -> str:
        """Send a file, or what is missing of it; the upload's id. Raises Refusal, Unreachable,
        OSError."""
        size = path.stat().st_size
        with path.open("rb") as file:
            total = _Total(file)
            where = self._patiently(lambda: self._place(path.name, size, meta), progress)
            failures = 0
            while True:
                try:
                    offset = self._offset(where)
                    while offset < size:
                        offset = self._piece(where, total, offset, size)
                        failures = 0
                        progress(offset / size, path.name)
                    return where.rpartition("/")[2]
                except (_Later, httpx.TransportError) as error:
                    failures = self._again(failures, error, progress)

    def wait(self, upload_id: str, progress: Progress) -> dict[str, Any]:
        """What has become of it, once that is clear."""
        said: tuple[Any, ...] = ()
        while True:
            told = self.show(upload_id, progress)
            news = (told["stage"], told["progress"])
            if news != said:
                said = news
                progress(told["progress"], told["stage"])
            if told["stage"] in _OVER:
                return told
            self.pause(POLL_SECONDS)

    def show(self, upload_id: str, progress: Progress) -> dict[str, Any]:
        def ask() -> dict[str, Any]:
            return dict(self._answer(self.client.get(f"{API}/{upload_id}")).json())

        return self._patiently(ask, progress)

    # --- one request each --------------------------------------------------------------------

    def _place(self, name: str, size: int, meta: Mapping[str, str]) -> str:
        """Where it goes on, or begins."""
        asked = {"mine": "true", "state": "receiving", "limit": "200"}
        with suppress(Refused):  # the server says what is wrong with the name
            name = clean_name(name)
        awaited = self._answer(self.client.get(API, params=asked)).json()["items"]
        for row in awaited:
            same = (row["file_name"], row["size_bytes"]) == (name, size) and all(
                row[f"{place}_id"] == meta.get(place) for place in ("broadcast", "exhibition")
            )
            if same and row["upload_path"] and not meta.get("insist"):
                return str(row["upload_path"])
        told = {"filename": name, **meta}
        headers = {**_HEAD, "upload-length": str(size), "upload-metadata": written_metadata(told)}
        return str(self._answer(self.client.post(PATH, headers=headers)).headers["location"])

    def _offset(self, where: str) -> int:
        return int(self._answer(self.client.head(where, headers=_HEAD)).headers["upload-offset"])

    def _piece(self, where: str, total: _Total, offset: int, size: int) -> int:
        total.catch_up(offset)
        data = total.read(offset, min(PIECE, size - offset))
        if offset + len(data) == size:
            claim = f"{API}/{where.rpartition('/')[2]}/sha256"
            self._answer(self.client.put(claim, json={"sha256": total.of_all()}))
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
        headers = {
            **_HEAD,
            "upload-offset": str(offset),
            "content-type": PATCH_TYPE,
            "upload-checksum": f"sha256 {digest}",
        }
        answer = self._answer(self.client.patch(where, headers=headers, content=data))
        return int(answer.headers["upload-offset"])

    def _answer(self, answer: httpx.Response) -> httpx.Response:
        if answer.is_success:
            return answer
        code, sentence = _problem(answer)
        later = _LATER if answer.request.method != "POST" else _LATER - {409, 429, 507}
        if answer.status_code in later:
            raise _Later(sentence)
        raise Refusal(code, sentence)

    # --- patience ----------------------------------------------------------------------------

    def _patiently(self, ask: Callable[[], T], progress: Progress) -> T:
        failures = 0
        while True:
            try:
                return ask()
            except (_Later, httpx.TransportError) as error:
                failures = self._again(failures, error, progress)

    def _again(self, failures: int, error: Exception, progress: Progress) -> int:
        if failures >= TRIES:
            raise Unreachable(str(error)) from error
        progress(None, str(error) or type(error).__name__)
        self.pause(min(_PAUSE_MAX, 0.5 * 2**failures))
        return failures + 1


_HEAD: Final = {"tus-resumable": VERSION}


def _problem(answer: httpx.Response) -> tuple[str, str]:
    try:
        told = answer.json()
        return str(told["code"]), str(told["detail"])
    except (ValueError, KeyError, TypeError):
        return f"http_{answer.status_code}", f"HTTP {answer.status_code}"


class _Total:
    """The sum of a whole file, taken along as it is sent; what was sent before is read again."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sum = hashlib.sha256()
        self._at = 0

    def catch_up(self, offset: int) -> None:
        while self._at < offset:
            self.read(self._at, min(PIECE, offset - self._at))

    def read(self, offset: int, length: int) -> bytes:
        """The bytes, summed if they had not been."""
        self._file.seek(offset)
        data = self._file.read(length)
        if len(data) != length:
            raise OSError("the file became shorter while it was sent")
        if offset + length > self._at:
            self._sum.update(data[self._at - offset :])
            self._at = offset + length
        return data

    def of_all(self) -> str:
        return self._sum.hexdigest()
