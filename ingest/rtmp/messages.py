"""RTMP messages: the header fields of section 6.1.1, the type ids of sections 5.4, 6.2 and 7.1."""

from dataclasses import dataclass, field

SET_CHUNK_SIZE = 1  # 5.4.1
ABORT = 2  # 5.4.2
ACKNOWLEDGEMENT = 3  # 5.4.3
USER_CONTROL = 4  # 6.2
WINDOW_ACK_SIZE = 5  # 5.4.4
SET_PEER_BANDWIDTH = 6  # 5.4.5
AUDIO = 8  # 7.1.4
VIDEO = 9  # 7.1.5
DATA_AMF3 = 15  # 7.1.2
COMMAND_AMF3 = 17  # 7.1.1
DATA_AMF0 = 18  # 7.1.2
COMMAND_AMF0 = 20  # 7.1.1
AGGREGATE = 22  # 7.1.6

# User control events, section 7.1.7.
STREAM_BEGIN = 0
STREAM_EOF = 1
PING_REQUEST = 6
PING_RESPONSE = 7

BANDWIDTH_DYNAMIC = 2  # 5.4.5, limit type


@dataclass(slots=True)
class Message:
    """One whole message. Not frozen: it is made for every audio frame, and freezing costs 2x.

    ``timestamp`` is the absolute 32-bit millisecond clock of the sender, deltas added up.
    """

    type_id: int
    stream_id: int
    timestamp: int
    payload: bytes = field(repr=False)  # a command's payload may hold a stream key


def set_chunk_size(size: int) -> Message:
    return Message(SET_CHUNK_SIZE, 0, 0, size.to_bytes(4, "big"))


def abort(csid: int) -> Message:
    return Message(ABORT, 0, 0, csid.to_bytes(4, "big"))


def acknowledgement(received: int) -> Message:
    """5.4.3: the count of bytes received so far; it wraps at 2^32 as any 4-byte counter."""
    return Message(ACKNOWLEDGEMENT, 0, 0, (received & 0xFFFFFFFF).to_bytes(4, "big"))


def window_ack_size(size: int) -> Message:
    return Message(WINDOW_ACK_SIZE, 0, 0, size.to_bytes(4, "big"))


def set_peer_bandwidth(size: int) -> Message:
    return Message(SET_PEER_BANDWIDTH, 0, 0, size.to_bytes(4, "big") + bytes([BANDWIDTH_DYNAMIC]))


def user_control(event: int, data: bytes) -> Message:
    return Message(USER_CONTROL, 0, 0, event.to_bytes(2, "big") + data)


def stream_begin(stream_id: int) -> Message:
    return user_control(STREAM_BEGIN, stream_id.to_bytes(4, "big"))


def split_aggregate(message: Message) -> list[Message]:
    """Cut an aggregate message into the messages inside it (section 7.1.6).

    The body is a run of FLV tags with back pointers. The aggregate's own timestamp is that of
    its first sub-message: the difference is added to all of them. A truncated last tag is
    dropped: there is no way to read on from it, and what came before is good.
    """
    body = message.payload
    parts: list[Message] = []
    shift: int | None = None
    at = 0
    while at + 11 <= len(body):
        size = int.from_bytes(body[at + 1 : at + 4], "big")
        stamp = int.from_bytes(body[at + 4 : at + 7], "big") | body[at + 7] << 24
        end = at + 11 + size
        if end > len(body):
            break
        if shift is None:
            shift = message.timestamp - stamp
        payload = body[at + 11 : end]
        parts.append(Message(body[at], message.stream_id, (stamp + shift) & 0xFFFFFFFF, payload))
        at = end + 4  # the back pointer
    return parts
