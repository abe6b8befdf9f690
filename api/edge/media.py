"""Bytes of the edge: parts from Redis, segments and files from storage.

Parts are asked of Redis once however many want them, and kept for as long as a live edge needs
them. Files are sent by the server itself where it can (pathsend), by the store itself where that
has addresses (presigned redirects), and otherwise in bounded pieces.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
import time
from collections import OrderedDict
from pathlib import Path
from typing import Final

import structlog

from api.edge.http import (
    CORS,
    IMMUTABLE,
    NOT_FOUND,
    UNAVAILABLE,
    Headers,
    Message,
    Place,
    Ready,
    Receive,
    Reply,
    Scope,
    Send,
    UnsatisfiableRange,
    has_range,
    in_pieces,
    media_reply,
    parse_range,
    problem,
)
from api.edge.library import MediaFile
from api.edge.state import EdgeState
from api.edge.stream import Stream
from api.edge.waiting import Overloaded
from infra.redis import RedisError, part_key
from infra.storage.port import NotFound, Storage, StorageError
from transcode.hls.head import AirHead, HeadPart, HeadSegment, segment_key

log = structlog.get_logger(__name__)

MAX_PART_CACHE: Final = 32 << 20
"""Bytes of recent parts kept in a process: a few seconds of all rungs of several broadcasts."""
MAX_HOT_BYTES: Final = 32 << 20
"""Bytes of segments of the live edge kept to be sent from memory: reading a file costs the
server several hand-overs between threads, and everybody wants the same few."""
MAX_HOT_FILE: Final = 4 << 20
MAX_HOT_ON_THE_WAY: Final = 64 << 20
"""Bytes sent from memory that their clients have not taken yet; beyond it, files are sent."""
PIECE: Final = 256 << 10
"""Bytes read from storage and handed to the server at a time."""
MAX_FILES: Final = 20_000
"""Places of files remembered."""
FILE_SECONDS: Final = 30.0
"""How long the catalogue's word on a file's place is taken."""
PRESIGN_SECONDS: Final = 3600

_TYPES: Final = {
    "mp4": (b"video/mp4", b"audio/mp4"),
    "m4s": (b"video/mp4", b"audio/mp4"),
    "jpg": (b"image/jpeg", b"image/jpeg"),
    "vtt": (b"text/vtt; charset=utf-8", b"text/vtt; charset=utf-8"),
}


class PartCache:
    """The most recently used parts, by bytes."""

    def __init__(self, limit: int = MAX_PART_CACHE) -> None:
        self._limit = limit
        self._replies: OrderedDict[tuple[str, str, int, int], Reply] = OrderedDict()
        self.bytes = 0

    def get(self, key: tuple[str, str, int, int]) -> Reply | None:
        reply = self._replies.get(key)
        if reply is not None:
            self._replies.move_to_end(key)
        return reply

    def put(self, key: tuple[str, str, int, int], reply: Reply) -> None:
        if key in self._replies or reply.size > self._limit:
            return
        self._replies[key] = reply
        self.bytes += reply.size
        while self.bytes > self._limit:
            _, old = self._replies.popitem(last=False)
            self.bytes -= old.size


class EdgeMedia:
    """Answers requests for media."""

    def __init__(self, state: EdgeState, storage: Storage) -> None:
        self._state = state
        self._storage = storage
        self._parts = PartCache()
        self._files: OrderedDict[tuple[str, str, str], tuple[float, MediaFile]] = OrderedDict()
        self._links: OrderedDict[str, tuple[float, str]] = OrderedDict()
        self._hot: OrderedDict[str, tuple[int, tuple[Message, ...]]] = OrderedDict()
        self._hot_bytes = 0
        self._on_the_way = 0

    # --- parts -------------------------------------------------------------------------------

    async def part(self, stream: Stream, rendition: str, msn: int, part: int) -> Reply:
        """The bytes of a part; one that is hinted at is waited for."""
        key = (stream.token, rendition, msn, part)
        reply = self._parts.get(key)
        if reply is not None:
            return reply
        head = stream.head
        found = head.rendition(rendition) if head else None
        if head is None or found is None:
            return NOT_FOUND
        if (msn, part) == (found.next_msn, len(found.parts)):
            if head.state == "ended":
                return NOT_FOUND
            if not await self._state.hold(stream, rendition, msn, part):
                return UNAVAILABLE
            head = stream.head
        assert head is not None
        listed = _listed_part(head, rendition, msn, part)
        if listed is _ABSENT or (listed is not None and listed.gap):
            # The segment ended before this part, or holds no media there.
            return NOT_FOUND
        made = await self._state.once(
            key, lambda: self._fetch_part(stream, rendition, found.kind, msn, part, listed)
        )
        if made is None:
            return NOT_FOUND
        self._parts.put(key, made)
        return made

    async def _fetch_part(
        self,
        stream: Stream,
        rendition: str,
        kind: str,
        msn: int,
        part: int,
        listed: HeadPart | None,
    ) -> Reply | None:
        data: bytes | None = None
        if self._state.client is not None:
            try:
                got = await self._state.client.get(part_key(stream.token, rendition, msn, part))
                data = got if isinstance(got, bytes) else None
            except (RedisError, OSError, TimeoutError) as error:
                log.debug("edge could not read a part", why=str(error))
        if not data and listed is not None:
            data = await self._cut_part(stream, rendition, msn, listed)
        return media_reply(data, _TYPES["m4s"][kind == "audio"]) if data else None

    async def _cut_part(
        self, stream: Stream, rendition: str, msn: int, listed: HeadPart
    ) -> bytes | None:
        """The part out of its whole segment, if that is stored by now."""
        name = f"s{msn}.m4s"
        place = await self._place(stream, rendition, name)
        data: bytes | None = None
        try:
            if place is not None:
                data = await self._read_part(place, listed)
                if data is None and (place := await self._moved(stream, rendition, name, place)):
                    data = await self._read_part(place, listed)
        except StorageError as error:
            log.warning("edge could not read a segment", name=name, why=str(error))
        if data is None:
            return None
        return data if len(data) == listed.size and _is_fragment(data) else None

    async def _read_part(self, place: MediaFile, listed: HeadPart) -> bytes | None:
        at = place.offset + listed.offset
        try:
            return await self._state.ask(self._storage.open_range, place.key, at, at + listed.size)
        except NotFound:
            return None

    # --- files -------------------------------------------------------------------------------

    async def file(
        self,
        stream: Stream,
        asked: Place,
        name: str,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> tuple[int, int]:
        """Send a file whole or in part; (status, bytes)."""
        place = await self._place(stream, asked.rendition, name)
        sent: tuple[int, int] | None = None
        if place is not None:
            sent = await self._send_place(stream, asked, name, place, scope, receive, send)
            if sent is None and (place := await self._moved(stream, asked.rendition, name, place)):
                sent = await self._send_place(stream, asked, name, place, scope, receive, send)
        return sent or await _whole(NOT_FOUND, scope, send)

    async def _send_place(
        self,
        stream: Stream,
        asked: Place,
        name: str,
        place: MediaFile,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> tuple[int, int] | None:
        """Send what lies there; None, with nothing sent, when that is nothing."""
        rendition = asked.rendition
        head = stream.head.rendition(rendition) if stream.head and rendition else None
        is_audio = head.kind == "audio" if head else _is_audio(stream, rendition)
        content_type = _TYPES[name.rpartition(".")[2]][is_audio]
        path = self._storage.local_path(place.key)
        if path is not None:
            try:
                size = _file_size(path)
            except OSError:
                return None
            if place.size is not None:
                return await self._send_pieces(
                    stream, place, place.size, content_type, scope, receive, send
                )
            if "http.response.pathsend" in scope.get("extensions", ()):
                headers = _file_headers(content_type, size)
                ready = Ready(
                    asked.kind,
                    {"type": "http.response.start", "status": 200, "headers": headers},
                    {"type": "http.response.pathsend", "path": str(path)},
                    size,
                    ranged=True,
                )
                # Nothing of a broadcast on the air is ever deleted, so the path stays good.
                if self._state.make_ready(scope["path"], stream, ready):
                    self._heat(ready)
                if scope["method"] == "GET" and not has_range(scope):
                    await send(ready.start)
                    await send(ready.body)
                    return 200, size
            return await self._send_pieces(stream, place, size, content_type, scope, receive, send)
        if place.size is None and (link := await self._link(place.key)) is not None:
            away = [(b"location", link.encode()), (b"cache-control", b"private, max-age=600")]
            return await _whole(Reply(307, away, b""), scope, send)
        length = place.size
        if length is None:
            length = await self._state.ask(self._storage.size, place.key)
        if length is None:
            return None
        return await self._send_pieces(stream, place, length, content_type, scope, receive, send)

    async def send_hot(self, ready: Ready, send: Send) -> None:
        """Send a segment from memory, or as a file while too much is on its way already."""
        await send(ready.start)
        if not ready.pieces or self._on_the_way + ready.size > MAX_HOT_ON_THE_WAY:
            await send(ready.body)
            return
        self._on_the_way += ready.size
        try:
            for piece in ready.pieces:
                await send(piece)
        finally:
            self._on_the_way -= ready.size

    def _heat(self, ready: Ready) -> None:
        """Have the segment in memory for whoever comes next."""
        path = ready.body["path"]
        known = self._hot.get(path)
        if known is not None:
            self._hot.move_to_end(path)
            ready.pieces = known[1]
        elif ready.size <= MAX_HOT_FILE:
            self._state.spawn(self._load_hot(path, ready))

    async def _load_hot(self, path: str, ready: Ready) -> None:
        try:
            data = await self._state.once(
                ("hot", path), lambda: self._state.ask(Path(path).read_bytes)
            )
        except (OSError, Overloaded):
            return  # it is sent as a file, which does as well
        if len(data) != ready.size:
            return
        if path not in self._hot:
            self._hot[path] = (len(data), in_pieces(data))
            self._hot_bytes += len(data)
            while self._hot_bytes > MAX_HOT_BYTES:
                _, (size, _) = self._hot.popitem(last=False)
                self._hot_bytes -= size
        ready.pieces = self._hot[path][1] if path in self._hot else ()

    async def _place(self, stream: Stream, rendition: str, name: str) -> MediaFile | None:
        """Where a file lies. What the live head lists is registered, and needs no asking; after
        the end only the catalogue knows, for compaction moves segments."""
        if rendition and name[0] == "s" and stream.head and stream.head.state != "ended":
            segment = _listed_segment(stream.head, rendition, int(name[1:-4]))
            if segment is not None and segment.gap:
                return None
            if segment is not None and segment.run:
                return MediaFile(_live_key(stream.token, rendition, segment))
        return await self._ask_place(stream, rendition, name)

    async def _moved(
        self, stream: Stream, rendition: str, name: str, place: MediaFile
    ) -> MediaFile | None:
        """The catalogue's word on a file that is not at ``place``; None when it knows no better."""
        self._files.pop((stream.token, rendition, name), None)
        fresh = await self._ask_place(stream, rendition, name)
        return fresh if fresh != place else None

    async def _ask_place(self, stream: Stream, rendition: str, name: str) -> MediaFile | None:
        key = (stream.token, rendition, name)
        known = self._files.get(key)
        now = time.monotonic()
        if known is not None and now < known[0]:
            return known[1]
        place = await self._state.once(
            ("file", *key), lambda: self._state.ask(self._state.library.media, *key)
        )
        if place is not None:
            self._files.pop(key, None)
            self._files[key] = (now + FILE_SECONDS, place)
            while len(self._files) > MAX_FILES:
                self._files.popitem(last=False)
        return place

    async def _link(self, key: str) -> str | None:
        known = self._links.get(key)
        now = time.monotonic()
        if known is not None and now < known[0]:
            return known[1]
        link = await self._state.ask(self._storage.presign, key, PRESIGN_SECONDS)
        if link is not None:
            self._links.pop(key, None)
            self._links[key] = (now + PRESIGN_SECONDS / 2, link)
            while len(self._links) > MAX_FILES:
                self._links.popitem(last=False)
        return link

    async def _send_pieces(
        self,
        stream: Stream,
        place: MediaFile,
        size: int,
        content_type: bytes,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> tuple[int, int] | None:
        """Send from storage; None, with nothing sent, when it is not there."""
        try:
            wanted = parse_range(scope["headers"], size)
        except UnsatisfiableRange:
            refused = problem(416, (b"content-range", b"bytes */%d" % size))
            return await _whole(refused, scope, send)
        start, end = wanted or (0, size)
        headers = _file_headers(content_type, end - start)
        if wanted is not None:
            headers.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, size)))
        status = 200 if wanted is None else 206
        if scope["method"] == "HEAD" or start == end:
            await send({"type": "http.response.start", "status": status, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
            return status, 0
        # The first piece before the status: a file that is gone can still be looked for then.
        try:
            piece = await self._read(place, start, end)
        except NotFound:
            return None
        except StorageError as error:
            log.warning("edge could not read a file", key=place.key, why=str(error))
            return await _whole(UNAVAILABLE, scope, send)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        sent = await self._send_rest(stream, place, piece, start, end, receive, send)
        return status, sent

    async def _send_rest(
        self,
        stream: Stream,
        place: MediaFile,
        piece: bytes,
        start: int,
        end: int,
        receive: Receive,
        send: Send,
    ) -> int:
        """Piece after piece, as fast as the client takes them, while there is one."""
        gone = asyncio.ensure_future(_until_gone(receive))
        at = start
        try:
            while True:
                at += len(piece)
                more = at < end and bool(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": more})
                if not more or gone.done():
                    return at - start
                if stream.off_air:
                    raise ConnectionError("taken down while it was sent")
                piece = await self._read(place, at, end)
        except StorageError as error:
            # The length is already promised: breaking off is the only way left to say so.
            log.warning("edge lost a file while sending", key=place.key, why=str(error))
            raise ConnectionError("storage failed while sending") from error
        finally:
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone

    async def _read(self, place: MediaFile, start: int, end: int) -> bytes:
        stop = min(end, start + PIECE)
        return await self._state.ask(
            self._storage.open_range, place.key, place.offset + start, place.offset + stop
        )


class _Absent(HeadPart, frozen=True):
    """A part that does not exist and will not."""


_ABSENT: Final = _Absent(0, 0, 0)


def _listed_part(head: AirHead, rendition: str, msn: int, part: int) -> HeadPart | None:
    """The part as the head lists it; None when the head no longer says; _ABSENT when it is none."""
    found = head.rendition(rendition)
    if found is None or msn > found.next_msn:
        return _ABSENT
    if msn == found.next_msn:
        return found.parts[part] if part < len(found.parts) else _ABSENT
    for segment in reversed(found.segments):
        if segment.msn == msn:
            if not segment.parts:
                return None
            return segment.parts[part] if part < len(segment.parts) else _ABSENT
    return None


def _is_audio(stream: Stream, rendition: str) -> bool:
    replay = stream.entry.replay if stream.entry else None
    found = replay.rendition(rendition) if replay else None
    return found is not None and found.kind == "audio"


def _listed_segment(head: AirHead, rendition: str, msn: int) -> HeadSegment | None:
    found = head.rendition(rendition)
    if found is None or not found.segments:
        return None
    index = msn - found.segments[0].msn
    if not 0 <= index < len(found.segments) or found.segments[index].msn != msn:
        return None
    return found.segments[index]


def _live_key(token: str, rendition: str, segment: HeadSegment) -> str:
    """Storage key of a segment as its run stored it. It holds until compaction, some time after
    the end; whoever has not heard of the end finds nothing there and asks the catalogue."""
    return segment_key(token, rendition, segment.msn, segment.run)


def _is_fragment(data: bytes) -> bool:
    """One moof with its mdat, and nothing else: the offsets were of this very file."""
    moof = int.from_bytes(data[:4], "big")
    if data[4:8] != b"moof" or data[moof + 4 : moof + 8] != b"mdat":
        return False
    return moof + int.from_bytes(data[moof : moof + 4], "big") == len(data)


def _file_headers(content_type: bytes, size: int) -> Headers:
    return [
        (b"content-type", content_type),
        (b"cache-control", IMMUTABLE),
        (b"accept-ranges", b"bytes"),
        *CORS,
        (b"content-length", b"%d" % size),
    ]


def _file_size(path: Path) -> int:
    """Bytes of a regular file. Raises OSError."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise FileNotFoundError(path)
    return found.st_size


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _whole(reply: Reply, scope: Scope, send: Send) -> tuple[int, int]:
    await send(reply.start)
    await send(reply.empty if scope["method"] == "HEAD" else reply.body)
    return reply.status, reply.size
