"""The rows of the reliability table that the RTMP core answers for: 1-5, 7, 8, 12, 13, 18."""

import random
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest import flv
from ingest.rtmp import (
    CloseReason,
    ConnectionClosed,
    Limits,
    ServerSession,
    State,
    amf0,
    messages,
)
from ingest.rtmp.client import Habits, Status
from ingest.rtmp.messages import Message
from tests.unit.ingest import cases
from tests.unit.ingest.peer import Pair, fixed_rng

SHAKEN = b"\x03" + bytes(1536) + bytes(1536)


def closed_by(wire: bytes, *, publishing: bool = False) -> ConnectionClosed:
    """Feed a server raw chunks; it must close, and hold nothing afterwards."""
    if publishing:
        server = Pair().publish().server
    else:
        server = ServerSession(now=0.0, rng=fixed_rng)
        wire = SHAKEN + wire
    events = server.receive_data(wire, 0.0)
    closed = events[-1]
    assert isinstance(closed, ConnectionClosed)
    assert server.state is State.CLOSED
    assert server.buffered == 0
    return closed


@pytest.mark.parametrize("publishing", [False, True])
def test_row_1_message_of_16_mib(publishing: bool) -> None:
    wire = bytes.fromhex("07 000000 ffffff 09 01000000")
    tracemalloc.start()
    closed = closed_by(wire + bytes(1 << 20), publishing=publishing)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    limit = 8 << 20 if publishing else 65536
    assert closed.detail == f"message bytes announced: 16777215, limit {limit}"
    assert peak < 10 << 20


@pytest.mark.parametrize(("wire", "words"), [c[1:] for c in cases.CHUNKS_REFUSED])
def test_row_2_and_5_refused_chunks_close(wire: bytes, words: str) -> None:
    assert words in closed_by(wire).detail


def test_row_2_huge_chunk_size_costs_no_memory() -> None:
    pair = Pair(habits=Habits(chunk_size=0x7FFFFFFF)).publish()
    payload = b"\x27" + bytes(5_000_000)
    pair.client.send_tag(9, 0, payload)
    wire = pair.client.bytes_to_send()
    for at in range(0, len(wire), 1448):
        pair.events += pair.server.receive_data(wire[at : at + 1448], pair.now)
        assert pair.server.buffered <= at + 1448
    assert pair.tags() == [(9, 0, payload)]


@pytest.mark.parametrize("publishing", [False, True])
def test_row_3_part_filled_chunk_streams(publishing: bool) -> None:
    one = bytes.fromhex("000000 007fff 09 01000000") + bytes(4096 if publishing else 128)
    wire = b"".join(b"\x01" + i.to_bytes(2, "little") + one for i in range(1000))
    assert "chunk streams: 33, limit 32" in closed_by(wire, publishing=publishing).detail


def test_row_3_budget_of_a_publisher() -> None:
    """32 streams of 8 MiB each would be 256 MiB: the common budget ends it at 12."""
    server = Pair(habits=Habits(chunk_size=65536)).publish().server
    one = bytes.fromhex("000000 7fffff 09 01000000") + bytes(65536)
    for i in range(10, 20):
        server.receive_data(bytes((i,)) + one, 0.0)
        for _ in range(126):
            server.receive_data(bytes((0xC0 | i,)) + bytes(65536), 0.0)
            assert server.buffered <= (12 << 20) + 65536
    assert server.state is State.CLOSED


@pytest.mark.parametrize("body", [c[1] for c in cases.AMF0_REFUSED if c[1]])
def test_row_4_bad_amf_in_a_command(body: bytes) -> None:
    payload = amf0.encode("connect", 1) + body[:60_000]
    header = b"\x03\x00\x00\x00" + len(payload).to_bytes(3, "big") + b"\x14" + bytes(4)
    size = bytes.fromhex("02 000000 000004 01 00000000 00010000")
    closed = closed_by(size + header + payload)
    assert closed.reason is CloseReason.PROTOCOL_ERROR
    assert "AMF" in closed.detail


@pytest.mark.parametrize("body", [c[1] for c in cases.AMF0_REFUSED])
def test_row_4_bad_metadata_is_dropped(body: bytes) -> None:
    pair = Pair().publish()
    pair.client.send_message(Message(18, 1, 0, amf0.encode("onMetaData") + body), 4)
    pair.client.send_message(Message(18, 1, 0, body), 4)
    pair.pump()
    assert pair.server.state is State.PUBLISHING
    good = [(18, 0, amf0.encode("onMetaData"))] if not body else []
    assert pair.tags() == good


@settings(deadline=None, max_examples=60)
@given(st.lists(st.sampled_from([128, 129, 1000, 4096, 70000]), max_size=6), st.integers(0, 99))
def test_row_5_chunk_size_changes_anywhere(sizes: list[int], seed: int) -> None:
    """Set Chunk Size between any two chunks of a message, and the message is intact."""
    pick = random.Random(seed)
    payload = b"\x27" + pick.randbytes(20_000)
    pair = Pair(habits=Habits(chunk_size=128)).publish()
    wire = bytearray(b"\x07" + bytes(3) + len(payload).to_bytes(3, "big") + b"\x09\x01\x00\x00\x00")
    size, at = 128, 0
    while at < len(payload):
        if at:
            if sizes and pick.random() < 0.2:
                size = sizes.pop()
                wire += bytes.fromhex("02 000000 000004 01 00000000") + size.to_bytes(4, "big")
            wire += b"\xc7"
        wire += payload[at : at + size]
        at += size
    for begin in range(0, len(wire), 1000):
        pair.events += pair.server.receive_data(bytes(wire[begin : begin + 1000]), pair.now)
    assert pair.tags() == [(9, 0, payload)]


@pytest.mark.parametrize("repeat", [True, False])
@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("chunk_size", [128, 4096])
@pytest.mark.parametrize("start", [0xFFFFFF - 2000, (1 << 31) - 2000, (1 << 32) - 2000])
def test_row_7_and_8_extended_timestamps(
    start: int, chunk_size: int, compress: bool, repeat: bool
) -> None:
    habits = Habits(chunk_size=chunk_size, compress=compress, repeat_extended=repeat)
    pair = Pair(habits=habits).publish()
    pick = random.Random(start)
    sent = []
    for i in range(150):
        payload = b"\x27\x01" + pick.randbytes(pick.choice([10, 125, 126, 129, 3000]))
        sent.append((9, (start + 40 * i) & 0xFFFFFFFF, payload))
        sent.append((8, (start + 40 * i + 3) & 0xFFFFFFFF, b"\xaf\x01" + pick.randbytes(90)))
    for tag in sent:
        pair.client.send_tag(*tag)
    wire = pair.client.bytes_to_send()
    for at in range(0, len(wire), 1448):
        pair.events += pair.server.receive_data(wire[at : at + 1448], pair.now)
    assert pair.tags() == sent


@pytest.mark.parametrize("kinds", [(8,), (9,), (8, 9)])
@pytest.mark.parametrize("metadata", [None, {}, {"duration": -1.0, "width": "wide"}])
def test_row_12_metadata_is_never_needed(
    kinds: tuple[int, ...], metadata: dict[str, amf0.AmfValue] | None
) -> None:
    pair = Pair().publish()
    if metadata is not None:
        pair.client.send_metadata(metadata)
    for kind in kinds:
        pair.client.send_tag(kind, 0, b"\xaf\x01x")
    pair.pump()
    assert [kind for kind, _, _ in pair.tags() if kind != 18] == list(kinds)


@pytest.mark.parametrize(
    ("payload", "codec"),
    [
        (b"\x90hvc1", "hevc"),
        (b"\x91av01x", "av1"),
        (b"\x90vp09", "vp9"),
        (b"\x96\x00avc1\x02", "h264"),
    ],
)
def test_row_13_enhanced_video_passes_untouched(payload: bytes, codec: str) -> None:
    pair = Pair().publish()
    pair.client.send_tag(9, 0, payload)
    pair.pump()
    assert pair.tags() == [(9, 0, payload)]
    assert flv.classify(9, payload).codec == codec


BAD_NAMES = [
    "../../x",
    "..",
    "a/b",
    "a\x00b",
    "a\nb",
    "k" * 129,
    "k" * 4096,
    "a b",
    "键",
    "a.b",
    "%2e%2e",
    "",
    "?only=query",
    "a?q=\x00",
    "a?" + "q" * 1025,
    "$(id)",
]


@pytest.mark.parametrize("name", BAD_NAMES)
def test_row_18_bad_stream_names(name: str) -> None:
    pair = Pair(stream_name=name)
    events = pair.pump()
    (closed,) = events
    assert isinstance(closed, ConnectionClosed)
    assert (closed.reason, closed.code) == (CloseReason.BAD_NAME, "NetStream.Publish.BadName")
    if len(name) > 1:
        assert name not in closed.detail
    assert isinstance(pair.client_events[-1], Status)
    assert pair.client_events[-1].code == "NetStream.Publish.BadName"


@pytest.mark.parametrize("app", BAD_NAMES)
def test_row_18_bad_app_names(app: str) -> None:
    pair = Pair(app=app)
    (closed,) = pair.pump()
    assert isinstance(closed, ConnectionClosed)
    assert closed.reason is CloseReason.BAD_NAME
    assert isinstance(pair.client_events[-1], Status)
    assert pair.client_events[-1].code == "NetConnection.Connect.InvalidApp"


def test_row_18_dash_i_is_a_name() -> None:
    """It is letters and a dash: harmless as a key to be hashed, and never an argument."""
    assert Pair(stream_name="-i").publish().server.state is State.PUBLISHING


def test_flood_of_empty_messages_before_publish() -> None:
    wire = bytes.fromhex("04 000000 000000 09 01000000") + b"\xc4" * 10_000
    assert "messages before publish: 257, limit 256" in closed_by(wire).detail


def test_flood_of_bytes_before_publish() -> None:
    wire = bytes.fromhex("02 000000 000004 01 00000000 00001000") * 20_000
    assert "bytes before publish" in closed_by(wire).detail


def test_flood_of_pings_is_bounded() -> None:
    pair = Pair().publish()
    ping = messages.user_control(messages.PING_REQUEST, bytes(4)).payload
    wire = (bytes.fromhex("02 000000 000006 04 00000000") + ping) * 100_000
    closed = pair.server.receive_data(wire, pair.now)[-1]
    assert isinstance(closed, ConnectionClosed)
    assert "replies waiting" in closed.detail
    assert len(pair.server.bytes_to_send()) < 2 * Limits().output_bytes


def test_many_streams() -> None:
    pair = Pair().publish()
    for _ in range(9):
        pair.client.send_command("createStream", 9, None)
    closed = pair.pump()[-1]
    assert isinstance(closed, ConnectionClosed)
    assert closed.detail == "message streams: 9, limit 8"
