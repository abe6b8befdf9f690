"""The HLS edge: one small ASGI application in front of everything else.

It answers ``/hls/…`` and passes all other scopes on. The common request (a playlist nobody has
to wait for) is one dictionary look-up and two sends of ready-made messages.
"""

from __future__ import annotations

from typing import Any, Final, cast

import structlog

from api.edge.heads import has, too_far
from api.edge.http import (
    BAD_REQUEST,
    GONE,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    PREFLIGHT,
    UNAVAILABLE,
    BadDirectives,
    Place,
    Ready,
    Receive,
    Reply,
    Scope,
    Send,
    has_range,
    parse_directives,
    parse_path,
)
from api.edge.library import LibraryAway
from api.edge.media import EdgeMedia
from api.edge.state import EdgeState
from api.edge.stream import Stream
from api.edge.waiting import Overloaded, Sent
from infra.storage.port import Storage, StorageError

log = structlog.get_logger(__name__)

PREFIX: Final = "/hls/"
_METHODS: Final = ("GET", "HEAD")


class Edge:
    """``app`` gets every scope that is not an HTTP request under ``/hls/``."""

    def __init__(self, app: Any, state: EdgeState, storage: Storage) -> None:
        self._app = app
        self.state = state
        self._media = EdgeMedia(state, storage)
        self._ready: dict[Any, Ready] = cast(dict[Any, Ready], state.ready)
        self._preflight = Reply(204, PREFLIGHT, b"")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # By the path as it was sent: an escaped one is another path, and finds nothing here.
        ready = self._ready.get(scope.get("raw_path"))
        if ready is not None and not scope["query_string"] and scope["method"] == "GET":
            if not ready.ranged:
                ready.hits += 1
                await send(ready.start)
                await send(ready.body)
                return
            if not has_range(scope):
                ready.hits += 1
                await self._media.send_hot(ready, send)
                return
        if scope["type"] == "lifespan":
            # Pages are to hear of take-downs too, before anybody has asked for media here.
            self.state.start()
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        await self._answer(scope, receive, send)

    async def release_held(self) -> None:
        """Before a stop: answer every held request with 503, and hold none any more."""
        await self.state.release_held()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Only plain characters are ours: an escaped dot or slash names nothing here.
        place = None if b"%" in scope.get("raw_path", b"") else parse_path(scope["path"])
        kind = place.kind if place else "unknown"
        method = scope["method"]
        reply: Reply | Sent | None
        if method == "OPTIONS":
            reply = self._preflight
        elif method not in _METHODS:
            reply = METHOD_NOT_ALLOWED
        elif place is None:
            reply = NOT_FOUND
        else:
            try:
                reply = await self._find(place, scope, receive, send)
            except (Overloaded, LibraryAway, StorageError) as error:
                log.warning("edge cannot answer", kind=kind, why=str(error))
                reply = UNAVAILABLE
        if reply is None:
            return  # sent and counted
        if isinstance(reply, Sent):
            await reply.start
            await reply.body
            reply = reply.reply
        else:
            await send(reply.start)
            await send(reply.empty if method == "HEAD" else reply.body)
        self.state.count(kind, reply.status, reply.size)

    async def _find(
        self, place: Place, scope: Scope, receive: Receive, send: Send
    ) -> Reply | Sent | None:
        """The answer; None when it has been sent and counted already."""
        stream = await self.state.stream(place.token)
        if stream is None:
            return NOT_FOUND
        if stream.off_air:
            return GONE
        if place.kind == "playlist" and place.name != "replay":
            return await self._live(stream, place, scope, send)
        if place.kind == "playlist":
            return await self.state.replay_playlist(stream, place.rendition) or NOT_FOUND
        if place.kind == "multivariant":
            return await self._multivariant(stream, place, scope["path"])
        if place.kind == "part":
            part = await self._media.part(stream, place.rendition, place.number, place.part)
            if part.status == 200:
                self._make_ready(scope["path"], "part", stream, part)
            return part
        name = {"init": f"init{place.number}.mp4", "segment": f"s{place.number}.m4s"}.get(
            place.kind, place.name or "poster.jpg"
        )
        status, size = await self._media.file(stream, place, name, scope, receive, send)
        self.state.count(place.kind, status, size)
        return None

    async def _multivariant(self, stream: Stream, place: Place, path: str) -> Reply:
        if place.name == "replay":
            await self.state.entry(stream)
        reply = stream.multivariant(place.name)
        if reply is None:
            return NOT_FOUND
        if place.name != "replay":
            self._make_ready(path, place.kind, stream, reply)
        return reply

    async def _live(self, stream: Stream, place: Place, scope: Scope, send: Send) -> Reply | Sent:
        try:
            asked = parse_directives(scope["query_string"])
        except BadDirectives:
            return BAD_REQUEST
        head = stream.head
        rendition = head.rendition(place.rendition) if head else None
        if head is None or rendition is None:
            return NOT_FOUND
        form = "plain" if place.name == "plain" else "delta" if asked.skip else "live"
        if form != "plain" and asked.msn is not None and head.state != "ended":
            if too_far(head, rendition, asked.msn, asked.part):
                return BAD_REQUEST
            if not has(rendition, asked.msn, asked.part):
                early = send if scope["method"] == "GET" else None
                held = await self.state.hold(
                    stream, place.rendition, asked.msn, asked.part, early, form
                )
                if isinstance(held, Sent):
                    return held
                if stream.state == "blocked":
                    return GONE  # taken off the air while the request was held
                if not held:
                    return UNAVAILABLE
        reply = stream.live_playlist(place.rendition, form)
        if reply is None:
            return NOT_FOUND
        if form != "delta":
            self._make_ready(scope["path"], place.kind, stream, reply)
        return reply

    def _make_ready(self, path: str, kind: str, stream: Stream, reply: Reply) -> None:
        self.state.make_ready(
            path, stream, Ready(kind, reply.start, reply.body, reply.size, ranged=False)
        )
