"""HTTP of the edge: answers made once and sent often, strict paths, single ranges.

ASGI messages are dictionaries; a ``Reply`` holds the two of an answer ready-made, so that sending
a playlist to the next viewer builds nothing.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

import msgspec

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

PLAYLIST_TYPE: Final = b"application/vnd.apple.mpegurl"
"""What iOS asks for (gohlslib 9970b65)."""
NO_CACHE: Final = b"no-cache"
IMMUTABLE: Final = b"public, max-age=31536000, immutable"
BRIEF: Final = b"public, max-age=60"

CORS: Final[Headers] = [
    (b"access-control-allow-origin", b"*"),
    (b"access-control-expose-headers", b"Date, Content-Length, Content-Range, Accept-Ranges"),
]
"""Media is public to whoever knows the token and never goes with credentials, so any page may
play it."""
PREFLIGHT: Final[Headers] = [
    (b"access-control-allow-methods", b"GET, HEAD, OPTIONS"),
    (b"access-control-allow-headers", b"Range, If-Range, Cache-Control"),
    (b"access-control-max-age", b"86400"),
]

MAX_RANGE_HEADER: Final = 64
"""Bytes of a Range header that are looked at: a single range of two 64-bit numbers is shorter."""

MAX_QUERY: Final = 512
"""Bytes of a query string on a playlist."""

_TOKEN = r"(?P<token>[A-Za-z0-9_-]{22})"
_PATHS: Final = re.compile(
    rf"/hls/{_TOKEN}/(?:"
    r"(?P<multi>main|plain|replay)\.m3u8"
    r"|(?P<file>poster\.jpg|download\.mp4|storyboard\.vtt|storyboard-[0-9]{1,3}\.jpg)"
    r"|(?P<rendition>[a-z][a-z0-9]{0,15})/(?:"
    r"(?P<media>live|plain|replay)\.m3u8"
    r"|init(?P<init>[0-9]{1,6})\.mp4"
    r"|s(?P<segment>[0-9]{1,10})\.m4s"
    r"|p(?P<part_msn>[0-9]{1,10})\.(?P<part>[0-9]{1,5})\.m4s"
    r"|(?P<joined>replay[0-9]{1,6}\.mp4)"
    r"))",
    re.ASCII,
)
_RANGE: Final = re.compile(rb"bytes=([0-9]{0,19})-([0-9]{0,19})")


class Reply:
    """One whole answer, ready to be sent any number of times."""

    __slots__ = ("body", "empty", "size", "start", "status")

    def __init__(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> None:
        self.status = status
        self.size = len(body)
        listed = [*headers, *CORS]
        if status != 204:  # RFC 9110 8.6
            listed.append((b"content-length", b"%d" % len(body)))
        self.start: Message = {"type": "http.response.start", "status": status, "headers": listed}
        self.body: Message = {"type": "http.response.body", "body": body}
        self.empty: Message = {"type": "http.response.body", "body": b""}


class Ready:
    """A whole answer under its path, sendable without another thought. ``hits`` counts what was
    sent and not reported yet; ``ranged``: a Range header asks for something else; ``pieces``:
    the same body from memory, if it is there and there is room for it on its way."""

    __slots__ = ("body", "hits", "kind", "pieces", "ranged", "size", "start")

    def __init__(self, kind: str, start: Message, body: Message, size: int, ranged: bool) -> None:
        self.kind = kind
        self.start = start
        self.body = body
        self.size = size
        self.ranged = ranged
        self.hits = 0
        self.pieces: tuple[Message, ...] = ()


def in_pieces(data: bytes) -> tuple[Message, ...]:
    """Two halves and an empty end: the server takes the end once the first half is on its way,
    so that whoever awaits it knows how much is still in memory."""
    half = len(data) // 2
    kind = "http.response.body"
    return (
        {"type": kind, "body": data[:half], "more_body": True},
        {"type": kind, "body": data[half:], "more_body": True},
        {"type": kind, "body": b"", "more_body": False},
    )


def has_range(scope: Scope) -> bool:
    """Whether the request has a Range header."""
    return any(name == b"range" for name, _ in scope["headers"])


def playlist_reply(body: bytes, cache: bytes = NO_CACHE) -> Reply:
    """A playlist."""
    return Reply(200, [(b"content-type", PLAYLIST_TYPE), (b"cache-control", cache)], body)


def media_reply(body: bytes, content_type: bytes) -> Reply:
    """A part or a small file that never changes."""
    headers = [
        (b"content-type", content_type),
        (b"cache-control", IMMUTABLE),
        (b"accept-ranges", b"bytes"),
    ]
    return Reply(200, headers, body)


def problem(status: int, *extra: tuple[bytes, bytes]) -> Reply:
    """An error as RFC 9457 has it."""
    phrase = HTTPStatus(status).phrase
    body = msgspec.json.encode({"type": "about:blank", "title": phrase, "status": status})
    headers = [(b"content-type", b"application/problem+json"), (b"cache-control", b"no-store")]
    return Reply(status, [*headers, *extra], body)


BAD_REQUEST: Final = problem(400)
NOT_FOUND: Final = problem(404)
METHOD_NOT_ALLOWED: Final = problem(405, (b"allow", b"GET, HEAD, OPTIONS"))
GONE: Final = problem(410)
UNAVAILABLE: Final = problem(503, (b"retry-after", b"1"))


@dataclass(frozen=True, slots=True)
class Place:
    """What an address under /hls/ names. ``kind`` is also the metric's label."""

    kind: str
    token: str
    rendition: str = ""
    name: str = ""
    number: int = 0
    part: int = 0


def parse_path(path: str) -> Place | None:
    """The place an address names; None for anything that is not exactly one of ours."""
    match = _PATHS.fullmatch(path)
    if match is None:
        return None
    found = match.groupdict()
    token, rendition = found["token"], found["rendition"] or ""
    if found["multi"]:
        return Place("multivariant", token, name=found["multi"])
    if found["file"]:
        name = found["file"]
        kind = "poster" if name == "poster.jpg" else "file"
        return Place("storyboard" if name.startswith("story") else kind, token, "", name)
    if found["media"]:
        return Place("playlist", token, rendition, found["media"])
    if found["init"]:
        return Place("init", token, rendition, number=int(found["init"]))
    if found["segment"]:
        return Place("segment", token, rendition, number=int(found["segment"]))
    if found["part"]:
        return Place(
            "part", token, rendition, number=int(found["part_msn"]), part=int(found["part"])
        )
    return Place("file", token, rendition, found["joined"])


@dataclass(frozen=True, slots=True)
class Directives:
    """Delivery directives of a playlist request (6.2.5). ``msn`` None: answer at once."""

    msn: int | None = None
    part: int | None = None
    skip: bool = False


class BadDirectives(ValueError):
    """Directives that must be refused with 400."""


def parse_directives(query: bytes) -> Directives:
    """Read ``_HLS_msn``, ``_HLS_part`` and ``_HLS_skip``; other parameters are not ours.
    Raises BadDirectives."""
    if len(query) > MAX_QUERY:
        raise BadDirectives(f"query of {len(query)} bytes, limit {MAX_QUERY}")
    msn: int | None = None
    part: int | None = None
    skip = False
    for pair in query.split(b"&"):
        name, _, value = pair.partition(b"=")
        if name == b"_HLS_msn":
            msn = _decimal(value)
        elif name == b"_HLS_part":
            part = _decimal(value)
        elif name == b"_HLS_skip":
            if value not in (b"YES", b"v2"):
                raise BadDirectives("_HLS_skip is neither YES nor v2")
            skip = True
    if part is not None and msn is None:
        # 6.2.5.2: a part without its segment.
        raise BadDirectives("_HLS_part without _HLS_msn")
    return Directives(msn, part, skip)


def _decimal(value: bytes) -> int:
    if not 1 <= len(value) <= 19 or not value.isdigit():
        raise BadDirectives("not a decimal integer")
    return int(value)


class UnsatisfiableRange(Exception):
    """Answer 416."""


def parse_range(headers: Iterable[tuple[bytes, bytes]], size: int) -> tuple[int, int] | None:
    """(first byte, byte after the last) of the one range asked for; None to send everything.

    Several ranges, other units and conditions (we give no validators) mean everything, as RFC
    9110 14.2 allows; their number costs nothing, since none but a single one is looked at.
    Raises UnsatisfiableRange.
    """
    asked: bytes | None = None
    for name, value in headers:
        if name == b"range":
            asked = value
        elif name == b"if-range":
            return None
    if asked is None or len(asked) > MAX_RANGE_HEADER:
        return None
    match = _RANGE.fullmatch(asked)
    if match is None or match[1] == match[2] == b"":
        return None
    if not match[1]:
        length = min(int(match[2]), size)
        if length == 0:
            raise UnsatisfiableRange
        return size - length, size
    start = int(match[1])
    end = int(match[2]) + 1 if match[2] else size
    if match[2] and end <= start:
        return None
    if start >= size:
        raise UnsatisfiableRange
    return start, min(end, size)
