"""Publishers for tests: FFmpeg as encoders use it, and our own that can misbehave to order."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from ingest import flv
from ingest.rtmp.client import (
    ClientSession,
    Habits,
    PublishStarted,
    ReconnectRequested,
    Status,
)


class Tag(NamedTuple):
    """An FLV tag."""

    kind: int
    ts_ms: int
    payload: bytes


class PublishRefused(Exception):
    """The server said no; ``code`` is its RTMP status code."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(f"{code}: {description}")
        self.code = code
        self.description = description


# --- what to send ----------------------------------------------------------------------------


def read_tags(path: Path) -> list[Tag]:
    """All whole tags of an FLV file."""
    data = path.read_bytes()
    start = flv.TAG_HEADER_SIZE
    return [
        Tag(tag.kind, tag.timestamp_ms, data[tag.offset + start : tag.offset + start + tag.size])
        for tag in flv.scan(data)
    ]


def is_header(tag: Tag) -> bool:
    return tag.kind == flv.SCRIPT or flv.classify(tag.kind, tag.payload).is_sequence_header


def is_frame(tag: Tag) -> bool:
    return flv.classify(tag.kind, tag.payload).is_coded


def is_key(tag: Tag) -> bool:
    return tag.kind == flv.VIDEO and flv.classify(tag.kind, tag.payload).is_keyframe


def repeat(tags: list[Tag]) -> Iterator[Tag]:
    """The tags over and over, headers only once, timestamps going on."""
    yield from tags
    frames = [tag for tag in tags if is_frame(tag)]
    length = max(tag.ts_ms for tag in frames) + 40
    for lap in itertools.count(1):
        for tag in frames:
            yield tag._replace(ts_ms=tag.ts_ms + lap * length)


def until(tags: Iterable[Tag], ts_ms: int) -> Iterator[Tag]:
    """Tags before ``ts_ms``."""
    return itertools.takewhile(lambda tag: tag.ts_ms < ts_ms, tags)


def without_keys(tags: Iterable[Tag], start_ms: int, end_ms: int) -> Iterator[Tag]:
    """No keyframe in [start, end)."""
    for tag in tags:
        if not (start_ms <= tag.ts_ms < end_ms and is_key(tag)):
            yield tag


def shifted(tags: Iterable[Tag], shift: Callable[[int], int]) -> Iterator[Tag]:
    """Other timestamps on the wire: ``shift`` of each tag's own, modulo 2^32."""
    for tag in tags:
        yield tag._replace(ts_ms=shift(tag.ts_ms) & 0xFFFFFFFF)


# --- our own publisher -----------------------------------------------------------------------


class Pusher:
    """One RTMP connection that publishes what it is given."""

    def __init__(
        self,
        session: ClientSession,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.session = session
        self.writer = writer
        self.statuses: list[Status] = []
        self.reconnect_requested = False
        self.closed = asyncio.Event()
        self._started = asyncio.Event()
        self._reader = reader
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def connect(
        cls,
        port: int,
        key: str,
        *,
        host: str = "127.0.0.1",
        app: str = "live",
        habits: Habits | None = None,
    ) -> Pusher:
        reader, writer = await asyncio.open_connection(host, port)
        session = ClientSession(app, key, habits=habits or Habits())
        pusher = cls(session, reader, writer)
        await pusher._send()
        return pusher

    async def _send(self) -> None:
        data = self.session.bytes_to_send()
        if data:
            self.writer.write(data)
        await self.writer.drain()

    async def _listen(self) -> None:
        try:
            while data := await self._reader.read(65536):
                for event in self.session.receive_data(data):
                    if isinstance(event, PublishStarted):
                        self._started.set()
                    elif isinstance(event, ReconnectRequested):
                        self.reconnect_requested = True
                    else:
                        self.statuses.append(event)
                await self._send()
        except OSError:
            return
        finally:
            self.closed.set()

    async def publish(self, seconds: float = 10.0) -> None:
        """Wait for leave. Raises `PublishRefused`."""
        started = asyncio.create_task(self._started.wait())
        closed = asyncio.create_task(self.closed.wait())
        await asyncio.wait([started, closed], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        started.cancel()
        closed.cancel()
        if self._started.is_set():
            return
        for status in self.statuses:
            if status.level == "error":
                raise PublishRefused(status.code, status.description)
        raise PublishRefused("closed" if self.closed.is_set() else "no answer", "")

    async def push(self, tags: Iterable[Tag], *, speed: float | None = 1.0) -> int:
        """Send tags at their own pace times ``speed``, or at once; returns how many.

        Ends early when the server closes the connection.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        first: int | None = None
        sent = 0
        for tag in tags:
            if speed is not None:
                first = tag.ts_ms if first is None else first
                ahead = (tag.ts_ms - first) / 1000 / speed - (loop.time() - begun)
                if 0.002 < ahead < 60:
                    await asyncio.sleep(ahead)
            if self.closed.is_set():
                break
            self.session.send_tag(*tag)
            try:
                await self._send()
            except OSError:
                break
            sent += 1
        return sent

    async def finish(self) -> None:
        """Stop as an encoder does, and close when the server has read it all.

        Closing at once would reset the connection whenever an acknowledgement lies unread here,
        and a reset throws away what the server has not read yet.
        """
        self.session.finish()
        await self._send()
        self.writer.write_eof()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.closed.wait(), 10)
        await self.close()

    def abort(self) -> None:
        """Drop the connection without a word."""
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        try:
            await self.writer.wait_closed()
        except OSError:
            return


@asynccontextmanager
async def publishing(port: int, key: str, *, habits: Habits | None = None) -> AsyncIterator[Pusher]:
    """A pusher with leave, closed at the end."""
    pusher = await Pusher.connect(port, key, habits=habits)
    try:
        await pusher.publish()
        yield pusher
    finally:
        await pusher.close()


# --- FFmpeg ----------------------------------------------------------------------------------


def ffmpeg_push_argv(
    ffmpeg: str, source: Path, url: str, *, loop: bool = False, output: tuple[str, ...] = ()
) -> list[str]:
    """Push a file in real time as it is (``output``: more options, e.g. other codecs)."""
    argv = [ffmpeg, "-hide_banner", "-loglevel", "error", "-nostdin", "-re"]
    if loop:
        argv += ["-stream_loop", "-1"]
    return [*argv, "-i", str(source), "-c", "copy", *output, "-f", "flv", url]
