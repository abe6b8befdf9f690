"""The chunk stream (section 5.3): bytes to messages and back.

How the reader stays quick in Python. A message of 20 KB in 128-byte chunks has 156 headers that
all hold the same one byte. So the reader never walks them: it takes the whole run of chunks that
is there, compares every (128+1)-th byte with the expected header, and deletes those bytes with
one strided slice. Both happen in C. Only a message's first and last chunk, and chunks that are
interleaved with another chunk stream, are read one by one.

Chunk payload is consumed as it arrives, also in the middle of a chunk. What stays behind between
two calls is at most one incomplete header, and the size of a chunk is of no consequence for
memory: only the sum of the partly received messages is, and that has a budget.
"""

from ingest.rtmp import messages
from ingest.rtmp.errors import LimitError, ProtocolError
from ingest.rtmp.limits import DEFAULT_LIMITS, Limits
from ingest.rtmp.messages import Message

DEFAULT_CHUNK_SIZE = 128  # 5.4.1
EXTENDED = 0xFFFFFF  # 5.3.1.3
MAX_CHUNK_SIZE = 0xFFFFFF  # 5.4.1: no message is longer, so a larger size means the same
_U32 = 0xFFFFFFFF
_HEADER_SIZES = (11, 7, 3, 0)  # 5.3.1.2


class _ChunkStream:
    """What type 1, 2 and 3 headers take over from the chunk before (5.3.1.2)."""

    __slots__ = (
        "basic",
        "body",
        "csid",
        "delta",
        "extended",
        "length",
        "stream_id",
        "timestamp",
        "type_id",
    )

    def __init__(self, csid: int, basic: bytes) -> None:
        self.csid = csid
        self.basic = basic  # the basic header of a type 3 chunk, 1 to 3 bytes
        self.timestamp = 0
        self.delta = 0
        self.extended: bytes = b""  # the 4 bytes of the last type 0-2 header, if it had them
        self.length = 0
        self.type_id = 0
        self.stream_id = 0
        self.body: bytearray | None = None  # the message in progress


class ChunkReader:
    """Turns received bytes into messages; pull them with `next_message` until it gives None.

    Set Chunk Size and Abort act on the chunks behind them, so they are obeyed here and not
    handed out. ``message_limit`` and ``memory_limit`` may be changed between two messages.
    """

    def __init__(self, limits: Limits = DEFAULT_LIMITS) -> None:
        self._limits = limits
        self.message_limit = limits.setup_message_bytes
        self.memory_limit = limits.setup_bytes
        self.chunk_size = DEFAULT_CHUNK_SIZE
        self.last_type = 0  # message type of the last chunk that was begun
        self._streams: dict[int, _ChunkStream] = {}
        self._data = b""
        self._pos = 0
        self._current: _ChunkStream | None = None  # the chunk we are in the payload of
        self._left = 0  # payload bytes of it still to come
        self._memory = 0
        self._peer_omits_extended = False

    def receive_data(self, data: bytes | memoryview) -> None:
        """Add bytes. They are copied unless they are ``bytes`` and nothing is left over."""
        if self._pos < len(self._data):
            self._data = self._data[self._pos :] + data
        else:
            self._data = bytes(data)
        self._pos = 0

    @property
    def pending(self) -> int:
        """Bytes received and not consumed; below 18 once `next_message` has given None."""
        return len(self._data) - self._pos

    @property
    def memory(self) -> int:
        """Bytes in partly received messages."""
        return self._memory

    def next_message(self) -> Message | None:
        """The next whole message, or None when more bytes are needed. Raises `ProtocolError`."""
        while True:
            stream = self._current
            if stream is None:
                stream = self._read_header()
                if stream is None:
                    return None
            message = self._read_payload(stream)
            if message is None:
                if self._current is not None:
                    return None
            elif message.type_id > messages.ABORT:
                return message
            elif message.type_id == messages.SET_CHUNK_SIZE:
                self._set_chunk_size(message.payload)
            elif message.type_id == messages.ABORT:
                self._abort(message.payload)

    # -- headers

    def _read_header(self) -> _ChunkStream | None:
        """Consume one chunk header, whole or not at all. Sets ``_left``."""
        data = self._data
        start = self._pos
        available = len(data) - start
        if not available:
            return None
        first = data[start]
        fmt = first >> 6
        csid = first & 0x3F
        size = 1
        if csid < 2:  # 5.3.1.1: 0 and 1 announce the 2 and 3 byte forms
            size = 2 + csid
            if available < size:
                return None
            csid = 64 + int.from_bytes(data[start + 1 : start + size], "little")
        stream = self._streams.get(csid)
        if stream is None:
            stream = self._open_stream(csid, fmt, data[start : start + size])
        if fmt == 3:
            if not self._read_type_3(stream, start + size):
                return None
        else:
            end = start + size + _HEADER_SIZES[fmt]
            if len(data) < end or not self._read_type_0_1_2(stream, fmt, start + size, end):
                return None
        if stream.body is None:
            if stream.length > self.message_limit:
                raise LimitError("message bytes announced", stream.length, self.message_limit)
            stream.body = bytearray()
        left = stream.length - len(stream.body)
        self._left = min(left, self.chunk_size)
        self._current = stream
        self.last_type = stream.type_id
        return stream

    def _open_stream(self, csid: int, fmt: int, basic: bytes) -> _ChunkStream:
        if fmt > 1:
            raise ProtocolError(f"first chunk of chunk stream {csid} has type {fmt}, expected 0")
        # Type 1 on a fresh chunk stream has nothing to be a delta of, yet librtmp starts so.
        # All that is missing is the message stream id; the timestamp counts from 0.
        if len(self._streams) >= self._limits.chunk_streams:
            raise LimitError("chunk streams", len(self._streams) + 1, self._limits.chunk_streams)
        stream = _ChunkStream(csid, bytes((basic[0] | 0xC0,)) + basic[1:])
        self._streams[csid] = stream
        return stream

    def _read_type_0_1_2(self, stream: _ChunkStream, fmt: int, pos: int, end: int) -> bool:
        """5.3.1.2.1 to 5.3.1.2.3. False when the extended timestamp is not all here."""
        data = self._data
        if stream.body is not None:
            raise ProtocolError(
                f"type {fmt} chunk inside a message on chunk stream {stream.csid}:"
                f" {len(stream.body)} of {stream.length} bytes were received"
            )
        stamp = int.from_bytes(data[pos : pos + 3], "big")
        extended = b""
        if stamp == EXTENDED:
            extended = data[end : end + 4]
            if len(extended) < 4:
                return False
            stamp = int.from_bytes(extended, "big")
            end += 4
        if fmt < 2:
            stream.length = int.from_bytes(data[pos + 3 : pos + 6], "big")
            stream.type_id = data[pos + 6]
        if fmt == 0:
            stream.stream_id = int.from_bytes(data[pos + 7 : pos + 11], "little")
            stream.timestamp = stamp
        else:
            stream.timestamp = stream.timestamp + stamp & _U32
        # After type 0 the delta of a type 3 is the timestamp itself (5.3.1.2.4); GStreamer's
        # rtmp2sink counts on it.
        stream.delta = stamp
        stream.extended = extended
        self._pos = end
        return True

    def _read_type_3(self, stream: _ChunkStream, pos: int) -> bool:
        """5.3.1.2.4. False when it can't be told yet whether the header is all here."""
        fresh = stream.body is None
        if stream.extended:
            size = self._extended_size(stream, pos, fresh)
            if size < 0:
                return False
            pos += size
        if fresh:
            stream.timestamp = stream.timestamp + stream.delta & _U32
        self._pos = pos
        return True

    def _extended_size(self, stream: _ChunkStream, pos: int, fresh: bool) -> int:
        """Is there an extended timestamp in this type 3 chunk? 4, 0, or -1 for "can't tell yet".

        5.3.1.3 wants it repeated. librtmp, so OBS before 2024, leaves it out; some senders put
        the absolute timestamp where the delta belongs. So look whether the next 4 bytes are one
        of those. A peer that was seen to leave it out always does: from then on nothing is
        guessed, for payload may look like a timestamp by chance. Until then, one frame in 256 whose
        last bytes are the first of the timestamp has to wait for the next chunk to be told apart.
        """
        if self._peer_omits_extended:
            return 0
        peek = self._data[pos : pos + 4]
        absolute = stream.timestamp + stream.delta & _U32 if fresh else stream.timestamp
        candidates = (stream.extended, absolute.to_bytes(4, "big"))
        if peek in candidates:
            return 4
        if len(peek) < 4 and any(c.startswith(peek) for c in candidates):
            return -1
        self._peer_omits_extended = True
        return 0

    # -- payload

    def _read_payload(self, stream: _ChunkStream) -> Message | None:
        """Consume what is here of the chunk, and of the whole chunks behind it if they go on."""
        data = self._data
        pos = self._pos
        left = self._left
        body = stream.body
        assert body is not None
        if left == stream.length and pos + left <= len(data) and not body:
            # All in one chunk, and all of it here: no second copy.
            self._pos = pos + left
            self._current = None
            stream.body = None
            payload = data[pos : pos + left]
            return Message(stream.type_id, stream.stream_id, stream.timestamp, payload)
        piece = data[pos : pos + left]
        body += piece
        self._grow(len(piece))
        self._pos = pos + len(piece)
        self._left = left = left - len(piece)
        if left:
            return None
        self._current = None
        missing = stream.length - len(body)
        if missing > self.chunk_size:
            self._read_run(stream, body, missing)
            missing = stream.length - len(body)
        if missing:
            return None
        stream.body = None
        self._memory -= stream.length
        return Message(stream.type_id, stream.stream_id, stream.timestamp, bytes(body))

    def _read_run(self, stream: _ChunkStream, body: bytearray, missing: int) -> None:
        """Append the full type 3 chunks of this message that are here, all at once."""
        data = self._data
        pos = self._pos
        head = stream.basic
        behind = pos + len(head)
        if data[pos:behind] != head:  # another chunk stream's turn, or nothing there yet
            return
        if stream.extended and self._extended_size(stream, behind, fresh=False) == 4:
            head += data[behind : behind + 4]
        stride = len(head) + self.chunk_size
        count = min((len(data) - pos) // stride, missing // self.chunk_size)
        for i in range(len(head)):
            if count < 2:  # one chunk is quicker the plain way
                return
            # lstrip of one byte value counts, in C, how many headers are as expected.
            column = data[pos + i : pos + count * stride : stride]
            count -= len(column.lstrip(head[i : i + 1]))
        run = bytearray(memoryview(data)[pos : pos + count * stride])
        for width in range(stride, self.chunk_size, -1):
            del run[::width]
        body += run
        self._grow(len(run))
        self._pos = pos + count * stride

    def _grow(self, size: int) -> None:
        self._memory += size
        if self._memory > self.memory_limit:
            raise LimitError("bytes in unfinished messages", self._memory, self.memory_limit)

    # -- protocol control messages that concern chunks

    def _set_chunk_size(self, payload: bytes) -> None:
        """5.4.1. The first bit must be zero, the size at least 1 and SHOULD be 128."""
        size = int.from_bytes(payload[:4], "big")
        if len(payload) < 4 or size >= 1 << 31:
            raise ProtocolError(f"chunk size 0x{payload[:4].hex()} is not a 31-bit number")
        if size < self._limits.min_chunk_size:
            raise ProtocolError(f"chunk size {size}, at least {self._limits.min_chunk_size}")
        self.chunk_size = min(size, MAX_CHUNK_SIZE)

    def _abort(self, payload: bytes) -> None:
        """5.4.2: forget the partly received message of a chunk stream."""
        stream = self._streams.get(int.from_bytes(payload[:4], "big"))
        if stream is not None and stream.body is not None:
            self._memory -= len(stream.body)
            stream.body = None


class ChunkWriter:
    """Turns messages into chunks.

    The server writes every message with a type 0 header: it says little and plainly. With
    ``compress`` types 1 to 3 are used wherever they may be. ``repeat_extended=False`` leaves the
    extended timestamp out of type 3 chunks, as librtmp does.
    """

    def __init__(self, *, compress: bool = False, repeat_extended: bool = True) -> None:
        self.chunk_size = DEFAULT_CHUNK_SIZE
        self._compress = compress
        self._repeat_extended = repeat_extended
        self._last: dict[int, tuple[Message, int, int]] = {}  # csid: message, length, delta

    def write(self, message: Message, csid: int) -> bytes:
        """One message as bytes. A Set Chunk Size takes effect behind itself."""
        return b"".join(self.chunks(message, csid))

    def chunks(self, message: Message, csid: int) -> list[bytes]:
        """The chunks of one message; those of other chunk streams may go in between."""
        payload = message.payload
        length = len(payload)
        stamp = message.timestamp
        fmt = 0
        if self._compress and csid in self._last:
            fmt, stamp = self._choose(message, *self._last[csid])
        self._last[csid] = (message, length, stamp)
        extended = stamp.to_bytes(4, "big") if stamp >= EXTENDED else b""
        header = (
            min(stamp, EXTENDED).to_bytes(3, "big")
            + length.to_bytes(3, "big")
            + bytes((message.type_id,))
            + message.stream_id.to_bytes(4, "little")
        )
        first = basic_header(fmt, csid) + header[: _HEADER_SIZES[fmt]]
        if fmt < 3 or self._repeat_extended:
            first += extended
        head = basic_header(3, csid)
        if self._repeat_extended:
            head += extended
        size = self.chunk_size
        if message.type_id == messages.SET_CHUNK_SIZE:
            self.chunk_size = int.from_bytes(payload, "big")
        rest = [head + payload[i : i + size] for i in range(size, length, size)]
        return [first + payload[:size], *rest]

    @staticmethod
    def _choose(message: Message, last: Message, length: int, delta: int) -> tuple[int, int]:
        step = message.timestamp - last.timestamp
        if message.stream_id != last.stream_id or step < 0:
            return 0, message.timestamp
        if message.type_id != last.type_id or len(message.payload) != length:
            return 1, step
        return (2, step) if step != delta else (3, step)


def basic_header(fmt: int, csid: int) -> bytes:
    """5.3.1.1: one byte up to 63, two up to 319, three up to 65599."""
    if csid < 64:
        return bytes((fmt << 6 | csid,))
    if csid < 320:
        return bytes((fmt << 6, csid - 64))
    return bytes((fmt << 6 | 1,)) + (csid - 64).to_bytes(2, "little")
