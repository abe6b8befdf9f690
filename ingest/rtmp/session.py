"""The server's side of one RTMP connection: bytes and time in, events and bytes out.

The owner reads a socket, calls `receive_data`, acts on the events, writes `bytes_to_send`, and
calls `handle_timeout` when `next_deadline` has passed. It answers `PublishRequested` with
`accept_publish` or `refuse_publish` when it likes; what the peer sends meanwhile is held.
The moves between its states are the table in `state`.
"""

import os
from collections.abc import Callable

from ingest.rtmp import amf0, commands, messages
from ingest.rtmp.chunk import ChunkReader, ChunkWriter
from ingest.rtmp.commands import Command
from ingest.rtmp.errors import AmfError, LimitError, NameRefused, ProtocolError
from ingest.rtmp.events import (
    CloseReason,
    ConnectionClosed,
    EndReason,
    Event,
    MediaTag,
    PublishEnded,
    PublishRequested,
)
from ingest.rtmp.handshake import ServerHandshake
from ingest.rtmp.limits import DEFAULT_LIMITS, Limits
from ingest.rtmp.messages import Message
from ingest.rtmp.names import parse_name, printable, redact_url
from ingest.rtmp.state import TRANSITIONS, State, Step

_CONTROL_CSID = 2
_COMMAND_CSID = 3
_STREAM_CSID = 5
_SET_DATA_FRAME = amf0.encode("@setDataFrame")
_CLEAR_DATA_FRAME = amf0.encode("@clearDataFrame")


class ServerSession:
    """One publisher's connection. Never raises for what the peer does.

    ``now`` is always monotonic seconds; ``server_epoch`` is the millisecond clock that S1
    carries (5.2.3), any value will do.
    """

    def __init__(
        self,
        *,
        limits: Limits = DEFAULT_LIMITS,
        now: float,
        server_epoch: int = 0,
        rng: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._limits = limits
        self._state = State.HANDSHAKE
        self._handshake = ServerHandshake(epoch_ms=server_epoch, rng=rng)
        self._reader = ChunkReader(limits)
        self._writer = ChunkWriter()
        self._out = bytearray()
        self._held = bytearray()
        self._resume = False  # there is held data, and leave to read it

        self._now = now
        self._setup_since = now
        self._last_media = now
        self._setup_messages = 0
        self._setup_bytes = 0

        self._received = 0  # since the first byte, handshake included (5.4.3)
        self._acknowledged = 0
        self._ack_window = limits.window_ack_bytes

        self._app = ""
        self._app_query = ""
        self._tc_url = ""
        self._encoder = ""
        self._peer_caps = 0
        self._created = 0
        self._stream_id = 0

    # -- what the owner calls

    @property
    def state(self) -> State:
        return self._state

    @property
    def supports_reconnect(self) -> bool:
        """Did the encoder announce Enhanced RTMP's reconnect request?"""
        return bool(self._peer_caps & commands.CAPS_RECONNECT)

    @property
    def bytes_received(self) -> int:
        return self._received

    @property
    def buffered(self) -> int:
        """Bytes of the peer kept in memory: partial messages, held and unparsed data."""
        return self._reader.memory + self._reader.pending + len(self._held)

    def receive_data(self, data: bytes | memoryview, now: float) -> list[Event]:
        """Take bytes off the wire. ``b""`` is allowed and reads on after `accept_publish`."""
        events: list[Event] = []
        if self._state is State.CLOSED:
            return events
        self._now = now
        self._received += len(data)
        try:
            self._receive(data, events)
        except ProtocolError as error:
            self._fail(error, events)
        return events

    def receive_eof(self, now: float) -> list[Event]:
        """The transport ended without a word."""
        events: list[Event] = []
        if self._state is not State.CLOSED:
            self._now = now
            self._end(events, CloseReason.PEER_CLOSED, "", "connection closed by the encoder")
        return events

    def bytes_to_send(self) -> bytes:
        """Everything there is to send; call after each other method."""
        out = bytes(self._out)
        self._out.clear()
        return out

    def accept_publish(self, now: float) -> None:
        """The key is good: let the media in. Then call `receive_data` with ``b""``, or let
        `next_deadline` (which is due at once if data was held) do it."""
        if not self._authorising():
            return
        self._now = now
        self._move(Step.ACCEPT)
        self._last_media = now
        self._reader.message_limit = self._limits.message_bytes
        self._reader.memory_limit = self._limits.memory_bytes
        self._resume = bool(self._held) or self._reader.pending > 0
        self._send(messages.stream_begin(self._stream_id))
        start = "NetStream.Publish.Start"
        info = {"code": start, "description": "Publishing."}
        self._send(commands.command("onFCPublish", 0, None, {**info}))  # FMLE waits for it
        self._send_status("status", start, "Publishing.")

    def refuse_publish(self, code: str, description: str, now: float) -> None:
        """The key is no good, or taken. Sends ``code``, then the session is closed."""
        if not self._authorising():
            return
        self._now = now
        self._send_status("error", code, description)
        self._close()

    def request_reconnect(
        self, now: float, tc_url: str | None = None, description: str = ""
    ) -> bool:
        """Ask the encoder to connect again, elsewhere or here (Enhanced RTMP v2, "Reconnect
        Request"). False, and nothing sent, if it can't: then `close` is all there is."""
        self._now = now
        connected = self._state not in (State.HANDSHAKE, State.CONNECTING, State.CLOSED)
        if not connected or not self.supports_reconnect:
            return False
        code = "NetConnection.Connect.ReconnectRequest"
        self._send(commands.on_status("status", code, description, tc_url=tc_url))
        return True

    def close(self, now: float) -> None:
        """End politely. Makes no events: the owner knows."""
        self._now = now
        if self._state is State.PUBLISHING:
            self._send_status("status", "NetStream.Unpublish.Success", "Stopped by the server.")
        self._goodbye("status", "NetConnection.Connect.Closed", "Closed by the server.")
        self._close()

    def next_deadline(self) -> float | None:
        """When to call `handle_timeout`, in the clock of ``now``; None if never."""
        if self._state is State.CLOSED or self._state is State.AUTHORISING:
            return None
        if self._resume:
            return self._now
        if self._state is State.PUBLISHING:
            return self._last_media + self._limits.idle_seconds
        return self._setup_since + self._limits.setup_seconds

    def handle_timeout(self, now: float) -> list[Event]:
        """Do what is due. Calling it early is harmless."""
        if self._resume:
            return self.receive_data(b"", now)
        events: list[Event] = []
        deadline = self.next_deadline()
        if deadline is None or now < deadline:
            return events
        self._now = now
        if self._state is State.PUBLISHING:
            silent = now - self._last_media
            problem = f"no audio or video for {silent:.1f} s, limit {self._limits.idle_seconds:g} s"
            reason = CloseReason.IDLE
        else:
            waited = now - self._setup_since
            problem = f"no publish after {waited:.1f} s, limit {self._limits.setup_seconds:g} s"
            reason = CloseReason.SETUP_TIMEOUT
        self._fail(ProtocolError(problem), events, reason)
        return events

    # -- bytes

    def _receive(self, data: bytes | memoryview, events: list[Event]) -> None:
        if self._state is State.AUTHORISING:
            self._hold(data)
        elif self._state is State.HANDSHAKE:
            self._out += self._handshake.receive_data(data)
            if self._handshake.done:
                self._move(Step.SHAKEN)
                self._read(self._handshake.leftover(), events)
        elif self._resume:
            self._resume = False
            held = bytes(self._held + data)
            self._held = bytearray()
            self._read(held, events)
        else:
            self._read(data, events)
        if self._received - self._acknowledged >= self._ack_window and (
            self._state is not State.HANDSHAKE and self._state is not State.CLOSED
        ):
            self._acknowledged = self._received
            self._send(messages.acknowledgement(self._received))

    def _hold(self, data: bytes | memoryview) -> None:
        size = self._reader.pending + len(self._held) + len(data)
        if size > self._limits.held_bytes:
            raise LimitError("bytes sent before authorisation", size, self._limits.held_bytes)
        self._held += data

    def _read(self, data: bytes | memoryview, events: list[Event]) -> None:
        reader = self._reader
        reader.receive_data(data)
        if self._state is State.PUBLISHING:
            self._read_messages(reader, events)
            return
        before = reader.pending
        self._read_messages(reader, events)
        self._count_setup_bytes(before - reader.pending)

    def _read_messages(self, reader: ChunkReader, events: list[Event]) -> None:
        """Messages until the bytes run out, or until a `publish` must be decided first."""
        media = False
        while (message := reader.next_message()) is not None:
            kind = message.type_id
            if self._state is State.PUBLISHING:
                if kind == messages.VIDEO or kind == messages.AUDIO:
                    if message.payload:
                        events.append(MediaTag(kind, message.timestamp, message.payload))
                        media = True
                    continue
            else:
                self._count_setup_message()
            self._on_message(message, events)
            if self._state is State.AUTHORISING or self._state is State.CLOSED:
                return
            if len(self._out) > self._limits.output_bytes:
                limit = self._limits.output_bytes
                raise LimitError("bytes of replies waiting", len(self._out), limit)
        # A key frame may take seconds on a bad line: part of one is a sign of life too.
        # What was held may bring no byte of it, and needs none: `accept_publish` was just now.
        if media or (reader.memory and reader.last_type in (messages.VIDEO, messages.AUDIO)):
            self._last_media = self._now

    def _count_setup_bytes(self, size: int) -> None:
        self._setup_bytes += size
        if self._setup_bytes > self._limits.setup_bytes:
            limit = self._limits.setup_bytes
            raise LimitError("bytes before publish", self._setup_bytes, limit)

    def _count_setup_message(self) -> None:
        self._setup_messages += 1
        if self._setup_messages > self._limits.setup_messages:
            limit = self._limits.setup_messages
            raise LimitError("messages before publish", self._setup_messages, limit)

    def _send(self, message: Message) -> None:
        csid = _COMMAND_CSID
        if message.type_id < messages.AUDIO:
            csid = _CONTROL_CSID
        elif message.stream_id:
            csid = _STREAM_CSID
        self._out += self._writer.write(message, csid)

    def _send_status(self, level: str, code: str, description: str) -> None:
        status = commands.on_status(level, code, description, stream_id=self._stream_id)
        self._send(status)

    # -- messages

    def _on_message(self, message: Message, events: list[Event]) -> None:
        kind = message.type_id
        if kind in (messages.COMMAND_AMF0, messages.COMMAND_AMF3):
            self._on_command(commands.decode_command(message, self._limits), events)
        elif kind in (messages.DATA_AMF0, messages.DATA_AMF3):
            self._on_data(message, events)
        elif kind == messages.AGGREGATE:
            self._on_aggregate(message, events)
        elif kind == messages.USER_CONTROL:
            self._on_user_control(message.payload)
        elif kind == messages.WINDOW_ACK_SIZE:
            # 5.4.4. One acknowledgement per `receive_data` at most, so a small window is cheap.
            self._ack_window = max(int.from_bytes(message.payload[:4], "big"), 1)
        # Acknowledgement, Set Peer Bandwidth, shared objects and unknown types ask nothing of
        # a server that only receives. Media outside a publish is late or early: dropped.

    def _on_user_control(self, payload: bytes) -> None:
        """7.1.7: only a ping wants an answer."""
        if int.from_bytes(payload[:2], "big") == messages.PING_REQUEST and len(payload) >= 6:
            self._send(messages.user_control(messages.PING_RESPONSE, payload[2:6]))

    def _on_aggregate(self, message: Message, events: list[Event]) -> None:
        if self._state is not State.PUBLISHING:
            return
        for part in messages.split_aggregate(message):
            if part.type_id in (messages.AUDIO, messages.VIDEO) and part.payload:
                events.append(MediaTag(part.type_id, part.timestamp, part.payload))
                self._last_media = self._now
            elif part.type_id == messages.DATA_AMF0:
                self._on_data(part, events)

    def _on_data(self, message: Message, events: list[Event]) -> None:
        """7.1.2: metadata. Encoders send none, empty or broken metadata: broken is dropped."""
        if self._state is not State.PUBLISHING:
            return
        payload = commands.amf_body(message)
        if payload.startswith(_CLEAR_DATA_FRAME):
            return
        payload = payload.removeprefix(_SET_DATA_FRAME)
        try:
            values = amf0.decode_all(payload, limits=self._limits)
        except AmfError:
            return
        if values and isinstance(values[0], str):
            events.append(MediaTag(messages.DATA_AMF0, message.timestamp, payload))

    # -- commands

    def _on_command(self, command: Command, events: list[Event]) -> None:
        """7.2. Commands that are not here (getStreamLength, _checkbw, receiveAudio, ...) are
        ignored: clients send them in passing and go on without an answer."""
        name = command.name
        if name == "connect":
            self._on_connect(command)
        elif self._state is State.CONNECTING:
            raise ProtocolError("command before connect")
        elif name == "createStream":
            self._on_create_stream(command)
        elif name == "publish":
            self._on_publish(command, events)
        elif name in ("FCUnpublish", "closeStream"):
            self._on_unpublish(Step.UNPUBLISH, events)
        elif name == "deleteStream":
            self._on_unpublish(Step.DELETE_STREAM, events)
        elif name in ("releaseStream", "FCPublish"):
            if command.transaction_id:
                self._send(commands.command("_result", command.transaction_id, None, None))
        elif name in ("play", "play2"):
            self._on_play(events)

    def _on_connect(self, command: Command) -> None:
        """7.2.1.1"""
        self._move(Step.CONNECT)
        wanted = command.object if isinstance(command.object, dict) else {}
        code = "NetConnection.Connect.InvalidApp"
        try:
            app = _text(wanted.get("app")).rstrip("/")
            self._app, self._app_query = parse_name("application name", app, code, self._limits)
        except NameRefused as error:
            self._send(commands.connect_error(command.transaction_id, code, str(error)))
            raise
        self._tc_url = redact_url(_text(wanted.get("tcUrl")), self._app)
        self._encoder = printable(_text(wanted.get("flashVer")), self._limits.encoder_chars)
        caps = wanted.get("capsEx")
        if isinstance(caps, float) and 0 <= caps <= 0xFFFFFFFF:
            self._peer_caps = int(caps)
        self._send(messages.window_ack_size(self._limits.window_ack_bytes))
        self._send(messages.set_peer_bandwidth(self._limits.window_ack_bytes))
        self._send(messages.set_chunk_size(self._limits.chunk_size_out))
        self._send(commands.connect_result(command.transaction_id))

    def _on_create_stream(self, command: Command) -> None:
        """7.2.1.3"""
        self._move(Step.CREATE_STREAM)
        self._created += 1
        if self._created > self._limits.message_streams:
            raise LimitError("message streams", self._created, self._limits.message_streams)
        number = float(self._created)
        self._send(commands.command("_result", command.transaction_id, None, number))

    def _on_publish(self, command: Command, events: list[Event]) -> None:
        """7.2.2.6. The stream is the one created last: some encoders publish on another."""
        self._move(Step.PUBLISH)
        self._stream_id = self._created
        raw = _text(command.arguments[0] if command.arguments else None)
        code = "NetStream.Publish.BadName"
        name, query = parse_name("stream name", raw, code, self._limits)
        query = query or self._app_query
        events.append(PublishRequested(self._app, name, self._tc_url, query, self._encoder))

    def _on_unpublish(self, step: Step, events: list[Event]) -> None:
        publishing = self._state is State.PUBLISHING
        self._move(step)
        if not publishing:
            return
        # The connection may publish again, but it is a stranger again too.
        self._setup_since = self._now
        self._setup_messages = 0
        self._setup_bytes = 0
        self._reader.message_limit = self._limits.setup_message_bytes
        self._reader.memory_limit = self._limits.setup_bytes
        self._send_status("status", "NetStream.Unpublish.Success", "Stopped.")
        events.append(PublishEnded(EndReason.UNPUBLISHED))

    def _on_play(self, events: list[Event]) -> None:
        error = ProtocolError(
            "this server takes streams in, it does not play them", code="NetStream.Play.Failed"
        )
        self._fail(error, events, CloseReason.PLAY_REFUSED)

    # -- states

    def _move(self, step: Step) -> None:
        state = TRANSITIONS.get((self._state, step))
        if state is None:
            raise ProtocolError(f"{step.name.lower().replace('_', ' ')} while {self._state}")
        self._state = state

    def _authorising(self) -> bool:
        """False if the peer went away while its key was checked. Anything else is our bug."""
        if self._state not in (State.AUTHORISING, State.CLOSED):
            raise RuntimeError(f"no publish to decide: session is {self._state}")
        return self._state is State.AUTHORISING

    def _fail(
        self, error: ProtocolError, events: list[Event], reason: CloseReason | None = None
    ) -> None:
        """The peer's fault: say so on the wire if there is a way to, and end."""
        if reason is None:
            bad_name = isinstance(error, NameRefused)
            reason = CloseReason.BAD_NAME if bad_name else CloseReason.PROTOCOL_ERROR
        self._goodbye("error", error.code, str(error))
        self._end(events, reason, error.code, str(error))

    def _goodbye(self, level: str, code: str, description: str) -> None:
        if self._state in (State.HANDSHAKE, State.CONNECTING, State.CLOSED):
            return  # no command can be understood yet, or any more
        stream_id = self._stream_id if code.startswith("NetStream.") else 0
        message = commands.on_status(level, code, description, stream_id=stream_id)
        self._out += self._writer.write(message, _COMMAND_CSID)

    def _end(self, events: list[Event], reason: CloseReason, code: str, detail: str) -> None:
        if self._state is State.PUBLISHING:
            events.append(PublishEnded(EndReason.LOST))
        self._close()
        events.append(ConnectionClosed(reason, code, detail))

    def _close(self) -> None:
        """Let go of everything the peer made us keep."""
        self._state = State.CLOSED
        self._resume = False
        self._held = bytearray()
        self._reader = ChunkReader(self._limits)


def _text(value: amf0.AmfValue) -> str:
    return value if isinstance(value, str) else ""
