"""The feed server: feed logs over internal HTTP, from any keyframe, following the tail.

    GET /takes/{take}.flv?from_ms=N   preamble, then the log from the last keyframe <= N
    GET /takes/{take}.flv?whole=1     the log, byte for byte
    GET /takes/{take}/index?from_ms=N keyframes and how far the log has come, JSON
    GET /healthz, /metrics

Parts of Xitai show the internal token; FFmpeg, whose arguments anyone on the machine may read,
shows one that is good for its take alone (`infra.feed_token`). Every answer names the node.

A reader gets its bytes from the file, at its own pace, in pieces of bounded size: a slow one
costs the publisher nothing, and one that takes nothing for `STALL_SECONDS` is cut off. A closed
take has a Content-Length; the body of an open one is chunked, so that a reader can tell the end
of the take from the end of us. (FFmpeg 9 calls both "Input/output error" and exits with 0: what
it reads it must compare with the take's row.)
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Final

import msgspec
import structlog
from aiohttp import web

from infra.feed_token import opens_take, same_secret
from infra.metrics import readers_dropped, readers_open, render
from ingest.log import LogShelf, LogView

PIECE_BYTES: Final = 256 * 1024
"""Most read and sent at once; with the transport's buffer, all the memory a reader takes."""
BUFFER_BYTES: Final = 64 * 1024
"""What may wait in the transport before a reader's loop waits for it."""
STALL_SECONDS: Final = 20.0
READERS_MAX: Final = 256
READERS_PER_TAKE_MAX: Final = 32
FROM_MS_MAX: Final = 2**40
NODE_HEADER: Final = "X-Xitai-Node"
"""Which node answers: "not here" means little from one that was never asked."""

_log = structlog.get_logger(__name__)


class FeedServer:
    """aiohttp application over a shelf."""

    def __init__(self, shelf: LogShelf, token: str, node_id: str) -> None:
        self._shelf = shelf
        self._node_id = node_id
        self._token = token
        self._readers: dict[str, int] = {}
        self._runner: web.AppRunner | None = None

    async def listen(self, host: str, port: int) -> int:
        """Start; returns the port."""
        app = web.Application(client_max_size=1024)
        app.router.add_get("/takes/{take}.flv", self._flv)
        app.router.add_get("/takes/{take}/index", self._index)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/metrics", self._metrics)
        app.on_response_prepare.append(self._sign)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        site = web.TCPSite(runner, host, port, reuse_address=True)
        await site.start()
        self._runner = runner
        bound: int = runner.addresses[0][1]
        return bound

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _sign(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers[NODE_HEADER] = self._node_id

    # -- who may ask, and for what

    def _allowed(self, request: web.Request) -> None:
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        take = request.match_info.get("take")
        if take is not None and opens_take(given, self._token, take):
            return
        if not same_secret(given, self._token):
            raise web.HTTPUnauthorized()

    def _view(self, request: web.Request) -> LogView:
        view = self._shelf.view(request.match_info["take"])
        if view is None:
            raise web.HTTPNotFound()
        return view

    @staticmethod
    def _from_ms(request: web.Request) -> int:
        raw = request.query.get("from_ms", "0")
        if not raw.isascii() or not raw.isdigit() or len(raw) > 13:
            raise web.HTTPBadRequest(text="from_ms is a number of milliseconds")
        return min(int(raw), FROM_MS_MAX)

    # -- answers

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.json_response({"ok": True, "takes_open": len(self._shelf.open)})

    async def _metrics(self, request: web.Request) -> web.Response:
        self._allowed(request)
        body, content_type = await asyncio.to_thread(render)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _index(self, request: web.Request) -> web.Response:
        self._allowed(request)
        from_ms = self._from_ms(request)
        view = self._view(request)
        try:
            # Whether it is closed is asked before, how far it came after the entries are read:
            # a reader that sees "closed" has seen everything.
            closed = view.closed
            entries = await asyncio.to_thread(view.index, from_ms)
            counts, meta = view.counts, view.meta
        finally:
            view.close()
        answer = {
            "entries": entries,
            "closed": closed,
            "ended_by": meta.ended_by if closed else None,
            "first_ms": counts.first_ms,
            "last_video_ms": counts.last_video_ms if counts.last_video_ms >= 0 else None,
            "last_audio_ms": counts.last_audio_ms if counts.last_audio_ms >= 0 else None,
            "end_ms": counts.end_ms,
            "video_frames": counts.video_frames,
            "first_arrival_us": meta.first_arrival_us,
            "last_arrival_us": counts.last_arrival_us,
            "discontinuities": meta.discontinuities,
            "codecs": meta.codecs,
            "size": counts.size,
        }
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

    async def _flv(self, request: web.Request) -> web.StreamResponse:
        self._allowed(request)
        from_ms = self._from_ms(request)
        take = request.match_info["take"]
        if sum(self._readers.values()) >= READERS_MAX:
            raise web.HTTPServiceUnavailable(text=f"{READERS_MAX} readers, limit {READERS_MAX}")
        if self._readers.get(take, 0) >= READERS_PER_TAKE_MAX:
            raise web.HTTPServiceUnavailable(
                text=f"{READERS_PER_TAKE_MAX} readers of this take, limit {READERS_PER_TAKE_MAX}"
            )
        view = self._view(request)
        self._readers[take] = self._readers.get(take, 0) + 1
        readers_open.inc()
        try:
            return await self._follow(request, view, from_ms)
        except FileNotFoundError:
            # Retention has taken the files beside the log away just now.
            raise web.HTTPNotFound() from None
        finally:
            readers_open.dec()
            self._readers[take] -= 1
            if not self._readers[take]:
                del self._readers[take]
            view.close()

    async def _follow(
        self, request: web.Request, view: LogView, from_ms: int
    ) -> web.StreamResponse:
        head = await asyncio.to_thread(view.preamble)
        if request.query.get("whole") == "1":
            # The log as it is, for shipping: also what came before the first keyframe.
            offset = len(head)
        else:
            offset = await asyncio.to_thread(view.offset, from_ms)
        response = web.StreamResponse(
            headers={
                "Content-Type": "video/x-flv",
                "Cache-Control": "no-store",
                "Accept-Ranges": "none",
                "X-Accel-Buffering": "no",
            }
        )
        if view.writer is None:
            response.content_length = len(head) + view.counts.size - offset
        else:
            response.enable_chunked_encoding()
        with contextlib.suppress(ConnectionError):
            # Readers go when they have what they want, most of them in the middle of a take.
            await self._pour(request, response, view, head, offset)
        return response

    async def _pour(
        self,
        request: web.Request,
        response: web.StreamResponse,
        view: LogView,
        head: bytes,
        offset: int,
    ) -> None:
        """Send ``head`` and the log from ``offset`` on. Raises ConnectionError."""
        await response.prepare(request)
        transport = request.transport
        if transport is None:
            return
        transport.set_write_buffer_limits(high=BUFFER_BYTES)
        grown = asyncio.Event()
        writer = view.writer
        if writer is not None:
            writer.watchers.add(grown.set)
        try:
            await self._send(response, head)
            while True:
                closed = view.closed  # before the size: what a close flushed is still read
                size = view.counts.size
                if offset < size:
                    piece = await _read(view.fd, offset, min(size - offset, PIECE_BYTES))
                    if not piece:
                        raise OSError(f"log of {size} bytes ends at {offset}")
                    await self._send(response, piece)
                    offset += len(piece)
                elif closed:
                    await response.write_eof()
                    return
                else:
                    grown.clear()
                    await grown.wait()
        except TimeoutError:
            readers_dropped.inc()
            _log.warning(
                "feed reader cut off: it took nothing",
                take_id=view.meta.take_id,
                seconds=STALL_SECONDS,
            )
            transport.abort()
        finally:
            if writer is not None:
                writer.watchers.discard(grown.set)

    @staticmethod
    async def _send(response: web.StreamResponse, data: bytes) -> None:
        async with asyncio.timeout(STALL_SECONDS):
            await response.write(data)


async def _read(fd: int, offset: int, size: int) -> bytes:
    """Read from the page cache at once; from the disk in a thread."""
    buffer = bytearray(size)
    with contextlib.suppress(BlockingIOError, OSError):
        got = os.preadv(fd, [buffer], offset, os.RWF_NOWAIT)
        if got > 0:
            return bytes(memoryview(buffer)[:got])
    return await asyncio.to_thread(os.pread, fd, size, offset)
