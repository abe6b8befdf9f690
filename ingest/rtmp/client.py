"""The publisher's side of RTMP, pure like the server's: for tests, measurements and the pusher.

It knows how to connect, publish and send tags, and it can be told to have the habits of real
encoders: chunk size, header compression, digests, the missing extended timestamp of librtmp.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from ingest.rtmp import commands, messages
from ingest.rtmp.amf0 import AmfValue, EcmaArray
from ingest.rtmp.chunk import ChunkReader, ChunkWriter
from ingest.rtmp.commands import Command
from ingest.rtmp.handshake import ClientHandshake
from ingest.rtmp.limits import DEFAULT_LIMITS, Limits
from ingest.rtmp.messages import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How this encoder speaks."""

    chunk_size: int = 4096
    compress: bool = False
    """Use type 1 to 3 headers wherever they may be."""
    repeat_extended: bool = True
    """Repeat the extended timestamp in type 3 chunks (5.3.1.3); librtmp doesn't."""
    audio_csid: int = 4
    video_csid: int = 6
    digest: int | None = None
    """Handshake digest scheme, 0 or 1; None for the simple handshake."""
    caps_ex: int = commands.CAPS_RECONNECT
    encoder: str = "FMLE/3.0 (compatible; xitai)"


@dataclass(frozen=True, slots=True)
class PublishStarted:
    """NetStream.Publish.Start arrived: send tags."""


@dataclass(frozen=True, slots=True)
class Status:
    """Any other onStatus, or an ``_error``."""

    level: str
    code: str
    description: str


@dataclass(frozen=True, slots=True)
class ReconnectRequested:
    """The server asks for a new connection; ``tc_url`` is None for the same place."""

    tc_url: str | None


ClientEvent: TypeAlias = PublishStarted | Status | ReconnectRequested


@dataclass(slots=True)
class ClientSession:
    """connect, createStream, publish, then tags. ``bytes_to_send`` after each call."""

    app: str
    stream_name: str = field(repr=False)
    tc_url: str = ""
    habits: Habits = field(default_factory=Habits)
    limits: Limits = DEFAULT_LIMITS
    rng: Callable[[int], bytes] = os.urandom
    publishing: bool = field(default=False, init=False)
    _out: bytearray = field(default_factory=bytearray, init=False)
    _handshake: ClientHandshake = field(init=False)
    _reader: ChunkReader = field(init=False)
    _writer: ChunkWriter = field(init=False)
    _stream_id: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self._handshake = ClientHandshake(rng=self.rng, digest=self.habits.digest)
        self._reader = ChunkReader(self.limits)
        self._writer = ChunkWriter(
            compress=self.habits.compress, repeat_extended=self.habits.repeat_extended
        )
        self._out += self._handshake.hello()

    def bytes_to_send(self) -> bytes:
        out = bytes(self._out)
        self._out.clear()
        return out

    def receive_data(self, data: bytes | memoryview) -> list[ClientEvent]:
        """Take the server's bytes. Raises `ProtocolError` when they are none of RTMP's."""
        events: list[ClientEvent] = []
        self._reader.receive_data(data if self._handshake.done else self._shake(data))
        while (message := self._reader.next_message()) is not None:
            if message.type_id in (messages.COMMAND_AMF0, messages.COMMAND_AMF3):
                self._on_command(commands.decode_command(message, self.limits), events)
        return events

    def encode_tag(self, kind: int, timestamp_ms: int, payload: bytes) -> bytes:
        """The chunks of one FLV tag; the chunk stream goes on behind it."""
        csid = self.habits.video_csid if kind == messages.VIDEO else self.habits.audio_csid
        message = Message(kind, self._stream_id, timestamp_ms & 0xFFFFFFFF, payload)
        return self._writer.write(message, csid)

    def send_tag(self, kind: int, timestamp_ms: int, payload: bytes) -> None:
        self._out += self.encode_tag(kind, timestamp_ms, payload)

    def send_metadata(self, metadata: dict[str, AmfValue], timestamp_ms: int = 0) -> None:
        values = ("@setDataFrame", "onMetaData", EcmaArray(metadata))
        message = commands.data(*values, stream_id=self._stream_id, timestamp=timestamp_ms)
        self.send_message(message, self.habits.audio_csid)

    def send_message(self, message: Message, csid: int = 3) -> None:
        self._out += self._writer.write(message, csid)

    def send_command(self, name: str, number: float, *values: AmfValue, stream_id: int = 0) -> None:
        self.send_message(commands.command(name, number, *values, stream_id=stream_id))

    def finish(self) -> None:
        """What encoders send when the stop button is pressed."""
        self.send_command("FCUnpublish", 6, None, self.stream_name)
        self.send_command("deleteStream", 7, None, float(self._stream_id))
        self.publishing = False

    def _shake(self, data: bytes | memoryview) -> bytes:
        """Feed the handshake; return what came behind it."""
        self._out += self._handshake.receive_data(data)
        if not self._handshake.done:
            return b""
        self._connect()
        return self._handshake.leftover()

    def _connect(self) -> None:
        self.send_message(messages.set_chunk_size(self.habits.chunk_size), 2)
        wanted: dict[str, AmfValue] = {
            "app": self.app,
            "type": "nonprivate",
            "flashVer": self.habits.encoder,
            "tcUrl": self.tc_url or f"rtmp://127.0.0.1/{self.app}",
            "capsEx": float(self.habits.caps_ex),
        }
        self.send_command("connect", 1, wanted)

    def _on_command(self, command: Command, events: list[ClientEvent]) -> None:
        if command.name == "_result" and command.transaction_id == 1:
            self.send_command("releaseStream", 2, None, self.stream_name)
            self.send_command("FCPublish", 3, None, self.stream_name)
            self.send_command("createStream", 4, None)
        elif command.name == "_result" and command.transaction_id == 4:
            number = command.arguments[0] if command.arguments else 1.0
            self._stream_id = int(number) if isinstance(number, float) else 1
            arguments = (None, self.stream_name, "live")
            self.send_command("publish", 5, *arguments, stream_id=self._stream_id)
        elif command.name in ("onStatus", "_error"):
            info = command.arguments[0] if command.arguments else None
            self._on_status(info if isinstance(info, dict) else {}, events)

    def _on_status(self, info: dict[str, AmfValue], events: list[ClientEvent]) -> None:
        code = str(info.get("code"))
        if code == "NetStream.Publish.Start":
            self.publishing = True
            events.append(PublishStarted())
        elif code == "NetConnection.Connect.ReconnectRequest":
            url = info.get("tcUrl")
            events.append(ReconnectRequested(url if isinstance(url, str) else None))
        else:
            events.append(Status(str(info.get("level")), code, str(info.get("description"))))
