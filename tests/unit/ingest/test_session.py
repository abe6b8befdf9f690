"""The server session: two peers joined in memory."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.rtmp import (
    CloseReason,
    ConnectionClosed,
    EndReason,
    Limits,
    MediaTag,
    PublishEnded,
    PublishRequested,
    ServerSession,
    State,
    amf0,
    commands,
    messages,
)
from ingest.rtmp.chunk import ChunkWriter
from ingest.rtmp.client import Habits, PublishStarted, ReconnectRequested, Status
from ingest.rtmp.messages import Message
from ingest.rtmp.state import TRANSITIONS
from tests.unit.ingest.peer import Pair, fixed_rng

KEY = b"\x27\x01\x00\x00\x00" + b"k" * 3000
SOUND = b"\xaf\x01" + b"s" * 300


@pytest.mark.parametrize("digest", [None, 0, 1])
@pytest.mark.parametrize("chunk_size", [128, 4096, 65536])
@pytest.mark.parametrize("compress", [False, True])
def test_publish(digest: int | None, chunk_size: int, compress: bool) -> None:
    pair = Pair(habits=Habits(chunk_size=chunk_size, compress=compress, digest=digest)).publish()
    assert pair.client_events == [PublishStarted()]
    assert pair.server.state == "publishing"
    sent = [(9, 0, KEY), (8, 0, SOUND), (8, 23, SOUND), (9, 40, KEY), (9, 80, KEY)]
    for kind, stamp, payload in sent:
        pair.client.send_tag(kind, stamp, payload)
    pair.pump()
    assert pair.tags() == sent
    assert pair.server.buffered == 0
    pair.client.finish()
    assert pair.pump() == [PublishEnded(EndReason.UNPUBLISHED)]
    assert pair.server.state is State.CONNECTED


def test_publish_request_tells_what_it_may() -> None:
    pair = Pair(stream_name="abc-DEF_1?user=x", tc_url="rtmp://me:pw@host:1935/live?key=abc")
    (event,) = pair.pump()
    assert event == PublishRequested(
        "live", "abc-DEF_1", "rtmp://host:1935/live", "user=x", "FMLE/3.0 (compatible; xitai)"
    )
    for secret in ("abc-DEF_1", "user", "pw"):
        assert secret not in repr(event)


def test_query_of_the_app_stands_in() -> None:
    (event,) = Pair(app="live?vhost=a").pump()
    assert isinstance(event, PublishRequested)
    assert (event.app, event.query) == ("live", "vhost=a")


def test_refused() -> None:
    pair = Pair(accept=False)
    pair.pump()
    pair.server.refuse_publish("NetStream.Publish.Denied", "wrong key", pair.now)
    pair.pump()
    assert pair.client_events == [Status("error", "NetStream.Publish.Denied", "wrong key")]
    assert pair.server.state is State.CLOSED
    assert pair.server.receive_data(b"more", pair.now) == []
    assert pair.server.next_deadline() is None


def test_what_is_sent_ahead_is_held() -> None:
    pair = Pair(accept=False)
    pair.pump()
    pair.client.send_tag(9, 0, b"\x27" + bytes(100_000))  # longer than a stranger may send
    assert pair.pump() == []
    assert pair.server.next_deadline() is None
    pair.server.accept_publish(pair.now)
    assert pair.server.next_deadline() == pair.now
    (tag,) = pair.server.handle_timeout(pair.now)
    assert isinstance(tag, MediaTag)
    assert len(tag.payload) == 100_001
    assert pair.server.next_deadline() == pair.now + 8


def test_held_bytes_are_bounded() -> None:
    pair = Pair(accept=False, limits=Limits(held_bytes=10_000))
    pair.pump()
    pair.client.send_tag(9, 0, bytes(20_000))
    (closed,) = pair.pump()
    assert isinstance(closed, ConnectionClosed)
    assert "limit 10000" in closed.detail
    pair.server.accept_publish(pair.now)  # the key check came back too late: no harm
    pair.server.refuse_publish("x", "y", pair.now)
    assert pair.server.state is State.CLOSED


def test_accept_without_a_request_is_our_bug() -> None:
    with pytest.raises(RuntimeError, match="handshake"):
        ServerSession(now=0.0).accept_publish(0.0)


def test_publish_again_on_the_same_connection() -> None:
    pair = Pair().publish()
    pair.client.send_command("FCUnpublish", 6, None, "key")
    assert pair.pump() == [PublishEnded(EndReason.UNPUBLISHED)]
    pair.now += 5
    pair.client.send_command("publish", 0, None, "key", "live", stream_id=1)
    assert isinstance(pair.pump()[0], PublishRequested)
    assert pair.server.state is State.PUBLISHING


def test_metadata_is_an_flv_script_tag() -> None:
    pair = Pair().publish()
    pair.client.send_metadata({"width": 1280.0}, 7)
    pair.pump()
    ((kind, stamp, payload),) = pair.tags()
    assert (kind, stamp) == (18, 7)
    assert amf0.decode_all(payload) == ["onMetaData", amf0.EcmaArray(width=1280.0)]


def test_amf3_data_and_command_messages() -> None:
    pair = Pair().publish()
    body = amf0.encode("@setDataFrame", "onMetaData", {})
    pair.client.send_message(Message(15, 1, 0, b"\x00" + body), 4)
    pair.pump()
    assert pair.tags() == [(18, 0, amf0.encode("onMetaData", {}))]
    body = amf0.encode("FCUnpublish", 6, None, "key")
    pair.client.send_message(Message(17, 0, 0, b"\x11" + body), 3)
    assert pair.pump() == [PublishEnded(EndReason.UNPUBLISHED)]


def test_aggregate_is_split() -> None:
    pair = Pair().publish()
    body = bytes.fromhex("08 000002 000064 00 000000 af01 0000000d") + bytes.fromhex(
        "09 000003 00006e 00 000000 270100 0000000e"
    )
    pair.client.send_message(Message(22, 1, 500, body), 4)
    pair.pump()
    assert pair.tags() == [(8, 500, b"\xaf\x01"), (9, 510, b"\x27\x01\x00")]


def test_ping_is_answered() -> None:
    pair = Pair().publish()
    ping = messages.user_control(messages.PING_REQUEST, b"\x01\x02\x03\x04")
    pair.server.receive_data(b"\x02" + bytes(5) + b"\x06\x04" + bytes(4) + ping.payload, pair.now)
    assert pair.server.bytes_to_send().endswith(b"\x00\x07\x01\x02\x03\x04")


def test_acknowledgement_keeps_the_peers_window() -> None:
    pair = Pair(habits=Habits(chunk_size=65536)).publish()
    pair.client.send_message(messages.window_ack_size(10_000), 2)
    pair.pump()
    pair.client.send_tag(9, 0, bytes(9_000))
    pair.server.receive_data(pair.client.bytes_to_send(), pair.now)
    received = pair.server.bytes_received
    assert pair.server.bytes_to_send().endswith(received.to_bytes(4, "big"))


def test_acknowledgement_wraps() -> None:
    pair = Pair().publish()
    pair.server._received += (1 << 32) - pair.server._received - 1
    pair.server.receive_data(b"\x02", pair.now)
    assert pair.server.bytes_to_send().endswith(bytes(4))


def test_unknown_and_passing_commands_are_ignored() -> None:
    pair = Pair().publish()
    for name in ("getStreamLength", "_checkbw", "receiveAudio", "onFI", ""):
        pair.client.send_command(name, 9, None, 1.0)
    for type_id in (3, 6, 16, 19, 77):
        pair.client.send_message(Message(type_id, 0, 0, b"\x00\x00\x00\x01\x02"), 5)
    assert pair.pump() == []
    assert pair.server.state is State.PUBLISHING


def test_play_is_refused() -> None:
    writer = ChunkWriter()
    server = ServerSession(now=0.0, rng=fixed_rng)
    wire = b"\x03" + bytes(1536) + bytes(1536)
    wire += writer.write(commands.command("connect", 1, {"app": "live"}), 3)
    wire += writer.write(commands.command("createStream", 2, None), 3)
    wire += writer.write(commands.command("play", 0, None, "key", stream_id=1), 8)
    (closed,) = server.receive_data(wire, 0.0)
    assert isinstance(closed, ConnectionClosed)
    assert (closed.reason, closed.code) == (CloseReason.PLAY_REFUSED, "NetStream.Play.Failed")


def test_reconnect_request() -> None:
    pair = Pair().publish()
    assert pair.server.supports_reconnect
    assert pair.server.request_reconnect(pair.now, "rtmp://other/live", "upgrade")
    pair.pump()
    assert pair.client_events[-1] == ReconnectRequested("rtmp://other/live")
    assert pair.server.state is State.PUBLISHING


def test_reconnect_request_needs_a_client_that_can() -> None:
    pair = Pair(habits=Habits(caps_ex=0)).publish()
    assert not pair.server.request_reconnect(pair.now)
    assert pair.server.bytes_to_send() == b""


def test_connect_answer_announces_enhanced_rtmp() -> None:
    message = commands.connect_result(1)
    answer = commands.decode_command(message, Limits())
    assert isinstance(answer.object, dict)
    assert answer.object["capsEx"] == 7.0
    info = answer.arguments[0]
    assert isinstance(info, dict)
    assert (info["code"], info["objectEncoding"]) == ("NetConnection.Connect.Success", 0.0)


def test_close_is_polite() -> None:
    pair = Pair().publish()
    pair.server.close(pair.now)
    pair.pump()
    codes = [e.code for e in pair.client_events if isinstance(e, Status)]
    assert codes == ["NetStream.Unpublish.Success", "NetConnection.Connect.Closed"]
    assert pair.server.state is State.CLOSED


def test_end_of_the_transport() -> None:
    pair = Pair().publish()
    ended, closed = pair.server.receive_eof(pair.now)
    assert ended == PublishEnded(EndReason.LOST)
    assert isinstance(closed, ConnectionClosed)
    assert closed.reason is CloseReason.PEER_CLOSED
    assert pair.server.receive_eof(pair.now) == []


@pytest.mark.parametrize("silence", [9.9, 10.0])
def test_setup_must_be_done_in_time(silence: float) -> None:
    server = ServerSession(now=50.0)
    assert server.next_deadline() == 60.0
    server.receive_data(b"\x03" + bytes(1536), 55.0)
    events = server.handle_timeout(50.0 + silence)
    if silence < 10:
        assert events == []
        return
    (closed,) = events
    assert isinstance(closed, ConnectionClosed)
    assert closed.reason is CloseReason.SETUP_TIMEOUT
    assert "10.0 s, limit 10 s" in closed.detail


def test_idle_publisher_is_let_go() -> None:
    pair = Pair().publish()
    pair.now += 5
    pair.client.send_tag(8, 0, SOUND)
    pair.pump()
    assert pair.server.next_deadline() == pair.now + 8
    pair.now += 4
    pair.client.send_message(messages.user_control(messages.PING_REQUEST, bytes(4)), 2)
    pair.client.send_tag(9, 0, b"")  # neither a ping nor an empty tag is media
    pair.pump()
    ended, closed = pair.server.handle_timeout(pair.now + 4)
    assert ended == PublishEnded(EndReason.LOST)
    assert isinstance(closed, ConnectionClosed)
    assert closed.reason is CloseReason.IDLE


def test_slow_key_frame_is_not_idle() -> None:
    pair = Pair().publish()
    pair.client.send_tag(9, 0, bytes(100_000))
    wire = pair.client.bytes_to_send()
    for at in range(0, len(wire), 20_000):
        pair.now += 5
        assert pair.server.handle_timeout(pair.now) == []
        pair.server.receive_data(wire[at : at + 20_000], pair.now)
    assert pair.server.state is State.PUBLISHING


def test_every_state_but_closed_is_left_by_the_table() -> None:
    assert {state for state, _ in TRANSITIONS} == set(State) - {State.CLOSED}
    assert set(TRANSITIONS.values()) == set(State) - {State.HANDSHAKE, State.CLOSED}


@pytest.mark.parametrize(
    ("command", "words"),
    [("connect", "connect while publishing"), ("publish", "publish while publishing")],
)
def test_steps_that_are_not_in_the_table(command: str, words: str) -> None:
    pair = Pair().publish()
    pair.client.send_command(command, 9, {"app": "live"}, "key", stream_id=1)
    closed = pair.pump()[-1]
    assert isinstance(closed, ConnectionClosed)
    assert (closed.reason, closed.detail) == (CloseReason.PROTOCOL_ERROR, words)
    assert pair.client_events[-1] == Status("error", "NetConnection.Connect.Closed", words)


def script(digest: int | None = None, repeat_extended: bool = True) -> bytes:
    """Everything a publisher sends, recorded from a live pair."""
    habits = Habits(chunk_size=128, compress=True, digest=digest, repeat_extended=repeat_extended)
    pair = Pair(habits=habits)
    wire = bytearray()
    while True:
        piece = pair.client.bytes_to_send()
        wire += piece
        for event in pair.server.receive_data(piece, 0.0):
            if isinstance(event, PublishRequested):
                pair.server.accept_publish(0.0)
        answer = pair.server.bytes_to_send()
        pair.client.receive_data(answer)
        if not piece and not answer:
            break
    pair.client.send_metadata({"width": 640.0})
    for i in range(6):
        pair.client.send_tag(9, 0xFFFFFF - 100 + 40 * i, KEY[: 1 + 700 * i])
        pair.client.send_tag(8, 0xFFFFFF - 100 + 40 * i, SOUND)
    pair.client.finish()
    return bytes(wire + pair.client.bytes_to_send())


SCRIPTS = [script(), script(digest=1), script(repeat_extended=False)]


def play(pieces: list[bytes]) -> list[object]:
    server = ServerSession(now=0.0, rng=fixed_rng)
    events: list[object] = []
    for piece in pieces:
        queue = [*server.receive_data(piece, 0.0)]
        while queue:
            event = queue.pop(0)
            events.append(event)
            if isinstance(event, PublishRequested):
                server.accept_publish(0.0)
                queue += server.receive_data(b"", 0.0)
        server.bytes_to_send()
    return events


@settings(deadline=None)
@given(st.sampled_from(SCRIPTS), st.lists(st.integers(1, 2000), min_size=1, max_size=20))
def test_any_split_gives_the_same_events(wire: bytes, steps: list[int]) -> None:
    pieces: list[bytes] = []
    at = 0
    while at < len(wire):
        step = steps[len(pieces) % len(steps)]
        pieces.append(wire[at : at + step])
        at += step
    whole = play([wire])
    assert len(whole) == 1 + 1 + 12 + 1
    assert play(pieces) == whole


def test_byte_by_byte() -> None:
    for wire in SCRIPTS:
        assert play([wire[i : i + 1] for i in range(len(wire))]) == play([wire])


def test_empty_media_is_dropped() -> None:
    pair = Pair().publish()
    pair.client.send_tag(9, 0, b"")
    assert pair.pump() == []
