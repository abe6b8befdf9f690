"""The case table: name, wire bytes, object. It drives decoding and encoding, and seeds the fuzzer.

Every finding of the fuzzer joins a table here with the bytes that showed it.
"""

from ingest.rtmp import messages
from ingest.rtmp.amf0 import UNDEFINED, AmfValue, Date, EcmaArray, TypedObject, XmlDocument
from ingest.rtmp.messages import Message


def _h(text: str) -> bytes:
    return bytes.fromhex(text)


# Both ways: these bytes are this value, and this value is written as these bytes.
AMF0: list[tuple[str, bytes, AmfValue]] = [
    ("number", _h("00 3ff8000000000000"), 1.5),
    ("true", _h("01 01"), True),
    ("false", _h("01 00"), False),
    ("string", _h("02 0003 666f6f"), "foo"),
    ("empty string", _h("02 0000"), ""),
    ("Chinese string", _h("02 0006 e6888fe58fb0"), "戏台"),
    ("object", _h("03 0001 61 00 4000000000000000 000009"), {"a": 2.0}),
    ("empty object", _h("03 000009"), {}),
    ("object with an empty name", _h("03 0000 05 000009"), {"": None}),
    ("nested object", _h("03 0001 61 03 0001 62 0101 000009 000009"), {"a": {"b": True}}),
    ("null", _h("05"), None),
    ("undefined", _h("06"), UNDEFINED),
    ("ECMA array", _h("08 00000001 0001 61 02 0001 62 000009"), EcmaArray(a="b")),
    ("strict array", _h("0a 00000002 05 0101"), [None, True]),
    ("empty strict array", _h("0a 00000000"), []),
    ("date", _h("0b 4270000000000000 0000"), Date(1099511627776.0)),
    ("date with zone", _h("0b 0000000000000000 fe20"), Date(0.0, -480)),
    ("long string", _h("0c 00010000") + b"x" * 65536, "x" * 65536),
    ("XML document", _h("0f 00000004 3c612f3e"), XmlDocument("<a/>")),
    ("typed object", _h("10 0001 54 0001 61 05 000009"), TypedObject("T", {"a": None})),
]

# Read only: what encoders write and we wouldn't.
AMF0_READ: list[tuple[str, bytes, AmfValue]] = [
    ("ECMA array that counts 0", _h("08 00000000 0001 61 05 000009"), EcmaArray(a=None)),
    ("ECMA array that counts too many", _h("08 000000ff 0001 61 05 000009"), EcmaArray(a=None)),
    ("ECMA array without end", _h("08 00000001 0001 61 05"), EcmaArray(a=None)),
    ("unsupported", _h("0d"), UNDEFINED),
    ("GBK text in a string", _h("02 0002 cfb7"), "Ϸ"),
    ("bytes that are no text", _h("02 0002 ffff"), "��"),
    ("the same name twice", _h("03 0001 61 05 0001 61 0101 000009"), {"a": True}),
    ("boolean 2", _h("01 02"), True),
]

AMF0_REFUSED: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("number cut short", _h("00 3ff8")),
    ("string cut short", _h("02 0005 6161")),
    ("long string that claims 4 GiB", _h("0c ffffffff 61")),
    ("array that claims 4 Gi values", _h("0a ffffffff 05")),
    ("object without end", _h("03 0001 61 05")),
    ("movie clip", _h("04")),
    ("reference", _h("07 0000")),
    ("stray object end", _h("09")),
    ("record set", _h("0e")),
    ("switch to AMF 3", _h("11 01")),
    ("unknown marker", _h("fe")),
    ("objects 10000 deep", _h("03 0001 61") * 10_000),
    ("arrays 10000 deep", _h("0a 00000001") * 10_000),
    ("ECMA arrays 10000 deep", _h("08 00000001 0001 61") * 10_000),
    ("typed objects 10000 deep", _h("10 0000 0001 61") * 10_000),
    ("array of 65536 nulls", _h("0a 00010000") + b"\x05" * 65536),
]

# Name, chunk stream id, bytes, message: written plainly (type 0) at chunk size 128.
MESSAGES: list[tuple[str, int, bytes, Message]] = [
    (
        "set chunk size",
        2,
        _h("02 000000 000004 01 00000000 00001000"),
        messages.set_chunk_size(4096),
    ),
    ("abort", 2, _h("02 000000 000004 02 00000000 00000004"), messages.abort(4)),
    (
        "acknowledgement past 2^32",
        2,
        _h("02 000000 000004 03 00000000 00000005"),
        messages.acknowledgement((1 << 32) + 5),
    ),
    (
        "window acknowledgement size",
        2,
        _h("02 000000 000004 05 00000000 002625a0"),
        messages.window_ack_size(2_500_000),
    ),
    (
        "set peer bandwidth",
        2,
        _h("02 000000 000005 06 00000000 002625a0 02"),
        messages.set_peer_bandwidth(2_500_000),
    ),
    (
        "stream begin",
        2,
        _h("02 000000 000006 04 00000000 0000 00000001"),
        messages.stream_begin(1),
    ),
    ("audio", 4, _h("04 000017 000002 08 01000000 af01"), Message(8, 1, 23, _h("af01"))),
    ("empty video", 6, _h("06 000028 000000 09 01000000"), Message(9, 1, 40, b"")),
    (
        "two-byte basic header",
        64,
        _h("00 00 000001 000001 08 01000000 aa"),
        Message(8, 1, 1, b"\xaa"),
    ),
    (
        "two-byte basic header, last id",
        319,
        _h("00 ff 000001 000001 08 01000000 aa"),
        Message(8, 1, 1, b"\xaa"),
    ),
    (
        "three-byte basic header",
        65599,
        _h("01 ffff 000001 000001 08 01000000 aa"),
        Message(8, 1, 1, b"\xaa"),
    ),
    (
        "extended timestamp, smallest",
        4,
        _h("04 ffffff 000001 08 01000000 00ffffff aa"),
        Message(8, 1, 0xFFFFFF, b"\xaa"),
    ),
    (
        "extended timestamp, largest",
        4,
        _h("04 ffffff 000001 08 01000000 ffffffff aa"),
        Message(8, 1, 0xFFFFFFFF, b"\xaa"),
    ),
    (
        "two chunks",
        4,
        _h("04 000001 000081 09 01000000") + b"\x01" * 128 + b"\xc4" + b"\x01",
        Message(9, 1, 1, b"\x01" * 129),
    ),
    (
        "chunks with extended timestamps",
        4,
        _h("04 ffffff 000102 09 01000000 01000000")
        + b"\x01" * 128
        + _h("c4 01000000")
        + b"\x02" * 128
        + _h("c4 01000000 0303"),
        Message(9, 1, 0x01000000, b"\x01" * 128 + b"\x02" * 128 + b"\x03\x03"),
    ),
]

_BIG = _h("04 000000 000190 09 01000000")  # a 400-byte video message on chunk stream 4

# Read only: bytes, and the messages they hold.
CHUNKS_READ: list[tuple[str, bytes, list[Message]]] = [
    (
        "types 0 to 3, section 5.3.2.1",
        _h("03 0003e8 000002 08 39300000 aaaa")
        + _h("83 000014 bbbb")
        + _h("c3 cccc")
        + _h("c3 dddd"),
        [
            Message(8, 12345, 1000, _h("aaaa")),
            Message(8, 12345, 1020, _h("bbbb")),
            Message(8, 12345, 1040, _h("cccc")),
            Message(8, 12345, 1060, _h("dddd")),
        ],
    ),
    (
        "type 1 changes length and type",
        _h("03 00000a 000001 08 01000000 aa") + _h("43 000005 000002 09 bbbb"),
        [Message(8, 1, 10, _h("aa")), Message(9, 1, 15, _h("bbbb"))],
    ),
    (
        "type 3 starts a message after type 0: the delta is the timestamp (5.3.1.2.4)",
        _h("04 000028 000001 09 01000000 aa") + _h("c4 bb"),
        [Message(9, 1, 40, _h("aa")), Message(9, 1, 80, _h("bb"))],
    ),
    (
        "fresh chunk stream with type 1 (librtmp)",
        _h("44 000007 000001 08 aa"),
        [Message(8, 0, 7, _h("aa"))],
    ),
    (
        "delta with extended timestamp, past 2^32",
        _h("04 ffffff 000001 08 01000000 ffffffff aa") + _h("84 000002 bb"),
        [Message(8, 1, 0xFFFFFFFF, _h("aa")), Message(8, 1, 1, _h("bb"))],
    ),
    (
        "extended delta: the clock goes back",
        _h("04 000064 000001 08 01000000 aa") + _h("84 ffffff ffffffce bb"),
        [Message(8, 1, 100, _h("aa")), Message(8, 1, 50, _h("bb"))],
    ),
    (
        "extended timestamp left out of type 3 (OBS before 2024)",
        _h("04 ffffff 000101 09 01000000 01000000")
        + b"\x01" * 128
        + b"\xc4"
        + b"\x02" * 128
        # 129 of the last 2 bytes: the rest of the message is shorter than a timestamp
        + b"\xc4\x03",
        [Message(9, 1, 0x01000000, b"\x01" * 128 + b"\x02" * 128 + b"\x03")],
    ),
    (
        "absolute extended timestamp in type 3 of a delta message",
        _h("04 000001 000001 09 01000000 aa")
        + _h("44 ffffff 000081 09 01000000")
        + b"\x01" * 128
        + _h("c4 01000001 02"),
        [Message(9, 1, 1, _h("aa")), Message(9, 1, 0x01000001, b"\x01" * 128 + b"\x02")],
    ),
    (
        "type 3 with extended timestamp starts a message",
        _h("04 000001 000001 09 01000000 aa") + _h("84 ffffff 01000000 bb") + _h("c4 01000000 cc"),
        [
            Message(9, 1, 1, _h("aa")),
            Message(9, 1, 0x01000001, _h("bb")),
            Message(9, 1, 0x02000001, _h("cc")),
        ],
    ),
    (
        "two chunk streams interleaved",
        _BIG
        + b"\x01" * 128
        + _h("06 000005 000002 08 01000000 aaaa")
        + b"\xc4"
        + b"\x02" * 128
        + _h("c6 bbbb")
        + b"\xc4"
        + b"\x03" * 128
        + b"\xc4"
        + b"\x04" * 16,
        [
            Message(8, 1, 5, _h("aaaa")),
            Message(8, 1, 10, _h("bbbb")),
            Message(9, 1, 0, b"\x01" * 128 + b"\x02" * 128 + b"\x03" * 128 + b"\x04" * 16),
        ],
    ),
    (
        "a run of chunks cut by another chunk stream",
        _h("04 000000 000300 09 01000000")
        + b"\x01" * 128
        + (b"\xc4" + b"\x02" * 128) * 3
        + _h("06 000005 000002 08 01000000 aaaa")
        + (b"\xc4" + b"\x03" * 128) * 2,
        [
            Message(8, 1, 5, _h("aaaa")),
            Message(9, 1, 0, b"\x01" * 128 + b"\x02" * 384 + b"\x03" * 256),
        ],
    ),
    (
        # Found by the interleaving fuzzer: it waits for the next chunk, and is not lost.
        "omitted extended timestamp, last byte looks like the first of one",
        _h("04 ffffff 000081 09 01000000 01000000")
        + b"\x02" * 128
        + _h("c4 01")
        + _h("06 000005 000002 08 01000000 aaaa"),
        [
            Message(9, 1, 0x01000000, b"\x02" * 128 + b"\x01"),
            Message(8, 1, 5, _h("aaaa")),
        ],
    ),
    (
        # Found by the interleaving fuzzer: the other stream's chunk was taken for proof that
        # this peer omits extended timestamps.
        "extended timestamps and another chunk stream in between",
        _h("04 ffffff 000200 09 01000000 01000000")
        + b"\x01" * 128
        + _h("06 000005 000002 08 01000000 aaaa")
        + (_h("c4 01000000") + b"\x02" * 128) * 3,
        [
            Message(8, 1, 5, _h("aaaa")),
            Message(9, 1, 0x01000000, b"\x01" * 128 + b"\x02" * 384),
        ],
    ),
    (
        "chunk size grows inside a message",
        _BIG
        + b"\x01" * 128
        + _h("02 000000 000004 01 00000000 00001000")
        + b"\xc4"
        + b"\x02" * 272,
        [Message(9, 1, 0, b"\x01" * 128 + b"\x02" * 272)],
    ),
    (
        "chunk size shrinks inside a message",
        _h("02 000000 000004 01 00000000 000000c8")
        + _BIG
        + b"\x01" * 200
        + _h("02 000000 000004 01 00000000 00000080")
        + b"\xc4"
        + b"\x02" * 128
        + b"\xc4"
        + b"\x03" * 72,
        [Message(9, 1, 0, b"\x01" * 200 + b"\x02" * 128 + b"\x03" * 72)],
    ),
    (
        "control message on another chunk stream",
        _h("04 000000 000004 01 00000000 00001000")
        + _h("04 000000 000081 09 01000000")
        + b"\x01" * 129,
        [Message(9, 1, 0, b"\x01" * 129)],
    ),
    (
        "abort throws the part away",
        _BIG
        + b"\x01" * 128
        + _h("02 000000 000004 02 00000000 00000004")
        + _h("04 000001 000001 08 01000000 aa"),
        [Message(8, 1, 1, _h("aa"))],
    ),
    (
        "abort of a chunk stream that isn't there",
        _h("02 000000 000004 02 00000000 00000009") + _h("04 000001 000001 08 01000000 aa"),
        [Message(8, 1, 1, _h("aa"))],
    ),
    (
        "chunk size above any message",
        _h("02 000000 000004 01 00000000 7fffffff") + _BIG + b"\x01" * 400,
        [Message(9, 1, 0, b"\x01" * 400)],
    ),
    (
        "three-byte form of an id that fits two bytes",
        _h("01 0000 000001 000001 08 01000000 aa"),
        [Message(8, 1, 1, _h("aa"))],
    ),
]

# Bytes of a chunk stream that must be refused, and words of the reason.
CHUNKS_REFUSED: list[tuple[str, bytes, str]] = [
    ("chunk size 0", _h("02 000000 000004 01 00000000 00000000"), "chunk size 0, at least 128"),
    ("chunk size 1", _h("02 000000 000004 01 00000000 00000001"), "chunk size 1, at least 128"),
    ("chunk size 2^31", _h("02 000000 000004 01 00000000 80000000"), "31-bit"),
    ("chunk size cut short", _h("02 000000 000001 01 00000000 80"), "31-bit"),
    (
        "16 MiB - 1 announced",
        _h("04 000000 ffffff 09 01000000"),
        "message bytes announced: 16777215, limit 65536",
    ),
    ("first chunk has type 2", _h("84 000000"), "chunk stream 4 has type 2"),
    ("first chunk has type 3", _h("c4"), "chunk stream 4 has type 3"),
    (
        "type 0 inside a message",
        _BIG + bytes(128) + _BIG,
        "128 of 400 bytes were received",
    ),
    (
        "33 chunk streams",
        b"".join(_h("00") + bytes((i,)) + _BIG[1:] + bytes(128) for i in range(33)),
        "chunk streams: 33, limit 32",
    ),
]
