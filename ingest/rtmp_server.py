"""The RTMP listener: asyncio transports around `ingest.rtmp`'s sans-I/O sessions."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
import time
from collections import OrderedDict
from typing import Final, cast

import structlog

from infra.metrics import publishes
from ingest.book import Grant
from ingest.gate import Gate, Refused
from ingest.hub import Hub
from ingest.publisher import Recorder
from ingest.rtmp import (
    CloseReason,
    ConnectionClosed,
    EndReason,
    Event,
    Limits,
    MediaTag,
    PublishEnded,
    PublishRequested,
    ServerSession,
)

CONNECTIONS_MAX: Final = 1_000
STRANGERS_PER_ADDRESS: Final = 128
"""Connections of one address that have not published yet. One that named a key nobody has published
under makes room first, then the oldest: a real encoder is through in a second."""
OUTPUT_MAX: Final = 128 * 1024
"""Replies a peer may leave unread in our buffer before it is cut off."""
UNSENT_MAX: Final = 4_096
"""Bytes of answers held back for a publisher with a backlog."""
LATER_SECONDS: Final = 0.25
GOODBYE_SECONDS: Final = 1.0
"""How long a last word may take to be read."""
BACKLOG: Final = 512
REST_SECONDS: Final = 0.08
"""While nobody follows a log's tail, its socket is read this often and not for every frame: most
of what a frame costs is being woken for it. The bytes wait in the kernel meanwhile."""
REST_BYTES: Final = 64 * 1024
"""A read of more than this is a publisher with a backlog: it is read on at once."""

# struct tcp_info: tcpi_rtt is the u32 at byte 68, in microseconds.
_TCP_INFO_SIZE: Final = 104
_RTT: Final = struct.Struct("=68xI")

_SEND_FLAGS: Final = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL

_log = structlog.get_logger(__name__)

_OUTCOMES: Final = {
    CloseReason.SETUP_TIMEOUT: "timeout",
    CloseReason.PROTOCOL_ERROR: "bad_input",
    CloseReason.BAD_NAME: "bad_input",
    CloseReason.PLAY_REFUSED: "bad_input",
}


class RtmpServer:
    """Accepts encoders."""

    def __init__(self, hub: Hub, limits: Limits) -> None:
        self.hub = hub
        self.gate: Gate  # set before `open`
        self.limits = limits
        self.connections: set[Connection] = set()
        self._strangers: OrderedDict[str, OrderedDict[Connection, None]] = OrderedDict()
        self._server: asyncio.Server | None = None
        self._empty = asyncio.Event()
        self._empty.set()
        self._resting: list[Connection] = []
        self._rest_timer: asyncio.TimerHandle | None = None

    async def bind(self, host: str, port: int) -> int:
        """Take the port, and return it (useful when asked for 0). Nobody is let in yet."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self),
            host,
            port,
            backlog=BACKLOG,
            reuse_address=True,
            start_serving=False,
        )
        bound: int = self._server.sockets[0].getsockname()[1]
        return bound

    async def open(self) -> None:
        """Let encoders in."""
        assert self._server is not None
        await self._server.start_serving()

    def stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()

    async def close(self) -> None:
        """Cut what is still connected, after the hub said its goodbyes."""
        self.stop_listening()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GOODBYE_SECONDS):
                await self._empty.wait()
        for connection in tuple(self.connections):
            connection.abort()

    # -- resting

    def rest(self, connection: Connection) -> None:
        """Wake ``connection`` at the next common tick: one timer for all."""
        self._resting.append(connection)
        if self._rest_timer is None:
            loop = asyncio.get_running_loop()
            self._rest_timer = loop.call_later(REST_SECONDS, self._wake)

    def _wake(self) -> None:
        self._rest_timer = None
        resting, self._resting = self._resting, []
        for connection in resting:
            connection.read_on()

    # -- strangers

    def arrived(self, connection: Connection) -> bool:
        """Count a new connection; False if there is no room for it."""
        if len(self.connections) >= CONNECTIONS_MAX:
            return False
        self.connections.add(connection)
        self._empty.clear()
        strangers = self._strangers.setdefault(connection.address, OrderedDict())
        strangers[connection] = None
        if len(strangers) > STRANGERS_PER_ADDRESS:
            first = next(iter(strangers))
            self.known(first)
            first.abort()
        return True

    def doubted(self, connection: Connection) -> None:
        """It named a key that was never good before: it makes room before those still connecting,
        among whom the owner may be."""
        strangers = self._strangers.get(connection.address)
        if strangers is not None and connection in strangers:
            strangers.move_to_end(connection, last=False)

    def known(self, connection: Connection) -> None:
        """It publishes now, or is gone."""
        strangers = self._strangers.get(connection.address)
        if strangers is None:
            return
        strangers.pop(connection, None)
        if not strangers:
            del self._strangers[connection.address]

    def gone(self, connection: Connection) -> None:
        self.known(connection)
        self.connections.discard(connection)
        if not self.connections:
            self._empty.set()


class Connection(asyncio.Protocol):
    """One encoder. Each read: bytes into the session, its events acted on, its replies sent."""

    def __init__(self, server: RtmpServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._answers: socket.socket | None = None
        self._session = ServerSession(limits=server.limits, now=time.monotonic())
        self._recorder: Recorder | None = None
        self._checking: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._backlog = False  # the last read was a large one: more is waiting
        self._read_at = 0.0
        self._unsent = b""
        self._later: asyncio.TimerHandle | None = None
        self.address = ""

    # -- asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's, so this can only be said.
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self.address = peer[0] if peer else ""
        if not self._server.arrived(self):
            self.abort()
            return
        self._transport.set_write_buffer_limits(high=OUTPUT_MAX)
        sock = transport.get_extra_info("socket")
        if sock is not None:
            _keep_alive(sock)
        self._arm()

    def data_received(self, data: bytes) -> None:
        now = self._read_at = time.monotonic()
        self._backlog = len(data) >= REST_BYTES
        self._act(self._session.receive_data(data, now), now)
        recorder = self._recorder
        if recorder is not None and not self._backlog and not recorder.followed:
            transport = self._transport
            if transport is not None and not transport.is_closing():
                transport.pause_reading()
                self._server.rest(self)

    def read_on(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def eof_received(self) -> bool:
        now = time.monotonic()
        self._act(self._session.receive_eof(now), now)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        now = time.monotonic()
        self._act(self._session.receive_eof(now), now)
        self._end_recording("connection_lost")
        for timer in (self._timer, self._later):
            if timer is not None:
                timer.cancel()
        if self._checking is not None:
            self._checking.cancel()
        self._server.gone(self)
        self._transport = None
        if self._answers is not None:
            self._answers.close()
            self._answers = None

    def pause_writing(self) -> None:
        self.abort()  # it sends and never reads: no encoder does that

    # -- the session's side

    def _act(self, events: list[Event], now: float) -> None:
        recorder = self._recorder
        for event in events:
            if type(event) is MediaTag:
                if recorder is not None:
                    recorder.on_tag(event, now)
            elif isinstance(event, PublishRequested):
                self._checking = self._loop.create_task(self._check(event))
            elif isinstance(event, PublishEnded):
                if event.reason is EndReason.UNPUBLISHED:
                    self._end_recording("unpublished")
                    recorder = None
                    self._arm()
            elif isinstance(event, ConnectionClosed):
                self._on_closed(event)
                recorder = None
        if recorder is not None:
            recorder.batch_end(now)
        self._send()

    def _send(self) -> None:
        """Send what the session has to say; while a publisher has a backlog, a little later.

        An encoder that has written its last byte closes at once, with megabytes still under way
        if it publishes faster than real time. Whatever reaches a closed socket is answered with a
        reset, and that throws away all that was under way. FFmpeg lost ten seconds of an hour so,
        to our acknowledgements. An encoder that does wait for one stops, and has no backlog.
        """
        data = self._unsent + self._session.bytes_to_send()
        self._unsent = b""
        transport = self._transport
        if not data or transport is None:
            return
        if self._backlog and self._recorder is not None and len(data) < UNSENT_MAX:
            self._unsent = data
            if self._later is None:
                self._later = self._loop.call_later(LATER_SECONDS, self._send_later)
            return
        if self._answers is not None and not transport.get_write_buffer_size():
            # The same reset, when it comes, must not end our reading: a transport drops what it
            # has not read once a write fails. So these don't go through it.
            try:
                data = data[self._answers.send(data, _SEND_FLAGS) :]
            except BlockingIOError:
                pass
            except OSError:
                return
        if data:
            transport.write(data)

    def _send_later(self) -> None:
        """Nothing came for a while, or the backlog is gone: no harm in answering now."""
        self._later = None
        if time.monotonic() - self._read_at < LATER_SECONDS / 2 and self._backlog:
            self._later = self._loop.call_later(LATER_SECONDS, self._send_later)
            return
        self._backlog = False
        self._send()

    async def _check(self, event: PublishRequested) -> None:
        """Decide about a publish; what the encoder sends meanwhile the session holds."""
        gate = self._server.gate
        if not gate.knows(event.stream_name):
            self._server.doubted(self)
        verdict = await gate.check(self.address, event.app, event.stream_name)
        if isinstance(verdict, Refused):
            if verdict.delay:
                await asyncio.sleep(verdict.delay)
            _log.info("publish refused", address=self.address, why=verdict.description)
            self._session.refuse_publish(verdict.code, verdict.description, time.monotonic())
            self._send()
            self._hang_up()
            return
        self._accept(verdict, event.encoder)

    def _accept(self, grant: Grant, encoder: str) -> None:
        now = time.monotonic()
        hub = self._server.hub
        if not hub.may_record():
            publishes.labels(outcome="disk_full").inc()
            _log.error("publish refused: disk full", free_bytes=hub.disk.free_bytes)
            self._session.refuse_publish(
                "NetStream.Publish.Denied", "The server's disk is full.", now
            )
            self._send()
            self._hang_up()
            return
        publishes.labels(outcome="accepted").inc()
        _log.info(
            "publisher joins",
            feed_id=grant.feed_id,
            broadcast_id=grant.broadcast_id,
            address=self.address,
            encoder=encoder,
        )
        self._server.known(self)
        self._recorder = hub.join(self, grant, encoder)
        if self._transport is not None and self._answers is None:
            sock = self._transport.get_extra_info("socket")
            self._answers = socket.socket(fileno=os.dup(sock.fileno()))
        self._session.accept_publish(now)
        self._arm()
        self._act(self._session.receive_data(b"", now), now)

    def _on_closed(self, event: ConnectionClosed) -> None:
        if event.reason is not CloseReason.PEER_CLOSED:
            _log.info(
                "connection ended", address=self.address, why=event.reason, detail=event.detail
            )
        outcome = _OUTCOMES.get(event.reason)
        if outcome is not None and self._recorder is None:
            publishes.labels(outcome=outcome).inc()
        self._end_recording(event.reason.value.replace("-", "_"))
        self._send()
        self._hang_up()

    def _end_recording(self, ended_by: str) -> None:
        recorder, self._recorder = self._recorder, None
        if recorder is not None and not recorder.stopped:
            self._server.hub.left(recorder, ended_by)

    # -- deadlines

    def _arm(self) -> None:
        """Be woken when the session's deadline may have come; reads do not touch the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        deadline = self._session.next_deadline()
        if deadline is not None:
            pause = max(0.0, deadline - time.monotonic())
            self._timer = self._loop.call_later(pause + 0.01, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = time.monotonic()
        self._act(self._session.handle_timeout(now), now)
        if self._transport is not None:
            self._arm()

    # -- the end

    def _hang_up(self) -> None:
        """Close once the last word is sent, or soon if it never is."""
        if self._transport is None or self._transport.is_closing():
            return
        self._transport.close()
        self._loop.call_later(GOODBYE_SECONDS, self.abort)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def leave(self, description: str, *, reconnect: bool) -> None:
        """The hub ends this publish (`ingest.hub.Seat`)."""
        now = time.monotonic()
        self._recorder = None  # nothing is held back any more
        if reconnect:
            self._session.request_reconnect(now, description=description)
        self._session.close(now)
        self._send()
        self._hang_up()

    def rtt_ms(self) -> float | None:
        """Round trip as the kernel measured it on our acknowledgements."""
        sock = None if self._transport is None else self._transport.get_extra_info("socket")
        if sock is None:
            return None
        try:
            info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
        except OSError:
            return None
        return float(_RTT.unpack_from(info)[0]) / 1000 if len(info) >= _RTT.size else None


def _keep_alive(sock: socket.socket) -> None:
    """A peer whose machine vanished is noticed by the kernel too, within 10 s."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 4)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
