"""The chunk stream against the case table, and the promise that splits don't matter."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.rtmp import messages
from ingest.rtmp.chunk import ChunkReader, ChunkWriter
from ingest.rtmp.errors import LimitError, ProtocolError
from ingest.rtmp.limits import Limits
from ingest.rtmp.messages import Message
from tests.unit.ingest import cases


def read_all(reader: ChunkReader, *pieces: bytes) -> list[Message]:
    found = []
    for piece in pieces:
        reader.receive_data(piece)
        while (message := reader.next_message()) is not None:
            found.append(message)
        assert reader.pending < 18
    return found


def read(wire: bytes, step: int | None = None) -> list[Message]:
    step = step or max(len(wire), 1)
    return read_all(ChunkReader(), *(wire[i : i + step] for i in range(0, len(wire), step)))


@pytest.mark.parametrize(("csid", "wire", "message"), [c[1:] for c in cases.MESSAGES])
def test_write(csid: int, wire: bytes, message: Message) -> None:
    assert ChunkWriter().write(message, csid) == wire


@pytest.mark.parametrize("step", [None, 1, 2, 5, 130])
@pytest.mark.parametrize(
    ("wire", "expected"),
    [(wire, [m] if m.type_id > 2 else []) for _, _, wire, m in cases.MESSAGES]
    + [c[1:] for c in cases.CHUNKS_READ],
)
def test_read(wire: bytes, expected: list[Message], step: int | None) -> None:
    assert read(wire, step) == expected


@pytest.mark.parametrize("step", [None, 1])
@pytest.mark.parametrize(("wire", "words"), [c[1:] for c in cases.CHUNKS_REFUSED])
def test_refused(wire: bytes, words: str, step: int | None) -> None:
    with pytest.raises(ProtocolError, match=words):
        read(wire, step)


def test_memoryview_is_copied() -> None:
    reader = ChunkReader()
    buffer = bytearray(cases.MESSAGES[6][2])
    reader.receive_data(memoryview(buffer)[:5])
    assert reader.next_message() is None
    rest = bytes(buffer[5:])
    buffer[:] = bytes(len(buffer))
    assert read_all(reader, rest) == [cases.MESSAGES[6][3]]


def test_memory_budget_counts_all_chunk_streams() -> None:
    reader = ChunkReader(Limits(setup_bytes=1000))
    wire = b"".join(bytes((i,)) + cases._BIG[1:] + bytes(128) for i in range(3, 20))
    with pytest.raises(LimitError, match="unfinished messages: 1024, limit 1000"):
        read_all(reader, wire)


def test_memory_is_given_back() -> None:
    reader = ChunkReader()
    read_all(reader, cases._BIG + bytes(128))
    assert reader.memory == 128
    read_all(reader, b"\xc4" + bytes(128) + b"\xc4" + bytes(128) + b"\xc4" + bytes(16))
    assert reader.memory == 0


def test_short_rest_without_extended_timestamp_needs_no_next_message() -> None:
    """A peer that omits the timestamp: the last 1 byte of a frame must not wait for 3 more."""
    wire = ChunkWriter(repeat_extended=False).write(Message(9, 1, 1 << 24, b"x" * 129), 4)
    assert read(wire) == [Message(9, 1, 1 << 24, b"x" * 129)]


def test_omission_is_remembered() -> None:
    """Once a peer was seen to omit it, payload that looks like the timestamp is payload."""
    first = Message(9, 1, 1 << 24, b"x" * 200)
    tricky = Message(9, 1, 1 << 24, b"x" * 128 + b"\x01\x00\x00\x00" * 200)
    writer = ChunkWriter(repeat_extended=False)
    assert read(writer.write(first, 4) + writer.write(tricky, 4)) == [first, tricky]


def test_writer_obeys_its_own_set_chunk_size() -> None:
    writer = ChunkWriter()
    wire = writer.write(messages.set_chunk_size(1000), 2)
    big = Message(9, 1, 0, bytes(2500))
    wire += writer.write(big, 4)
    assert len(wire) == 16 + 12 + 2500 + 2
    assert read(wire) == [big]


def test_limits_may_be_raised_between_messages() -> None:
    reader = ChunkReader()
    wire = ChunkWriter().write(Message(9, 1, 0, bytes(70_000)), 4)
    with pytest.raises(LimitError):
        read_all(ChunkReader(), wire)
    reader.message_limit = 1 << 20
    reader.memory_limit = 1 << 20
    assert read_all(reader, wire) == [Message(9, 1, 0, bytes(70_000))]


_message = st.builds(
    Message,
    st.sampled_from([8, 9, 18, 20, 22]),
    st.sampled_from([0, 1, 1 << 31]),
    st.integers(0, 0xFFFFFFFF) | st.integers(0xFFFFF0, 0x1000010),
    st.sampled_from([0, 1, 4, 127, 128, 129, 256, 1000, 5000]).map(
        lambda size: random.Random(size).randbytes(size)
    ),
)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([3, 4, 63, 65, 319, 321, 65599]), _message), max_size=8),
    st.sampled_from([128, 129, 200, 4096, 65536]),
    st.booleans(),
    st.booleans(),
    st.lists(st.integers(1, 400), min_size=1, max_size=10),
)
def test_any_messages_in_any_split(
    sent: list[tuple[int, Message]],
    chunk_size: int,
    compress: bool,
    repeat_extended: bool,
    steps: list[int],
) -> None:
    writer = ChunkWriter(compress=compress, repeat_extended=repeat_extended)
    wire = writer.write(messages.set_chunk_size(chunk_size), 2)
    sent.append((2, Message(3, 0, 0, bytes(4))))  # as in test_any_interleaving
    wire += b"".join(writer.write(message, csid) for csid, message in sent)
    pieces: list[bytes] = []
    at = 0
    while at < len(wire):
        step = steps[len(pieces) % len(steps)]
        pieces.append(wire[at : at + step])
        at += step
    assert read_all(ChunkReader(), *pieces) == [message for _, message in sent]


@settings(deadline=None)
@given(
    st.lists(st.lists(_message, min_size=1, max_size=4), min_size=1, max_size=4),
    st.sampled_from([128, 129, 1000]),
    st.booleans(),
    st.booleans(),
    st.randoms(use_true_random=False),
    st.sampled_from([1, 130, 1448, 1 << 20]),
)
def test_any_interleaving(
    shows: list[list[Message]],
    chunk_size: int,
    compress: bool,
    repeat_extended: bool,
    pick: random.Random,
    step: int,
) -> None:
    writer = ChunkWriter(compress=compress, repeat_extended=repeat_extended)
    wire = bytearray(writer.write(messages.set_chunk_size(chunk_size), 2))
    queues: list[list[tuple[bytes, Message | None]]] = []
    for csid, show in zip((4, 6, 64 if repeat_extended else 63, 65000), shows, strict=False):
        queue: list[tuple[bytes, Message | None]] = []
        for message in show:
            *first, last = writer.chunks(message, csid)
            queue += [(chunk, None) for chunk in first] + [(last, message)]
        queues.append(queue)
    expected = []
    while queues := [queue for queue in queues if queue]:
        queue = pick.choice(queues)
        for _ in range(pick.choice((1, 1, 2, 9))):
            if queue:
                chunk, whole = queue.pop(0)
                wire += chunk
                if whole:
                    expected.append(whole)
    # The end of the last message may look like an extended timestamp: something must follow.
    follower = Message(3, 0, 0, bytes(4))
    wire += writer.write(follower, 2)
    expected.append(follower)
    reader = ChunkReader()
    pieces = [bytes(wire[i : i + step]) for i in range(0, len(wire), step)]
    assert read_all(reader, *pieces) == expected
    assert reader.memory == 0


def test_aggregate() -> None:
    """7.1.6: the first sub-message carries the aggregate's own timestamp."""
    body = (
        bytes.fromhex("08 000002 000064 00 000000 af01 0000000d")
        + bytes.fromhex("09 000003 00006e 00 000000 270100 0000000e")
        + bytes.fromhex("08 0000ff 000078 00 000000 af")  # cut short
    )
    parts = messages.split_aggregate(Message(22, 1, 1000, body))
    assert parts == [Message(8, 1, 1000, b"\xaf\x01"), Message(9, 1, 1010, b"\x27\x01\x00")]
