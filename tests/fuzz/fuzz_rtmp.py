"""Fuzz the RTMP core: whatever the bytes, it never raises and its memory stays bounded.

    python -m tests.fuzz.fuzz_rtmp --seconds 600 [--seed 1]

With atheris installed (``--atheris``) it is a coverage-guided target; without, a mutator over the
case table and recorded sessions. A crash prints the seed and the bytes: shorten them and put
them into ``tests/unit/ingest/cases.py``.
"""

import argparse
import importlib
import random
import sys
import time
from collections import Counter

from ingest import avc, flv
from ingest.rtmp import (
    ConnectionClosed,
    Limits,
    MediaTag,
    PublishRequested,
    ServerSession,
    State,
    commands,
    messages,
)
from ingest.rtmp.chunk import ChunkWriter
from ingest.rtmp.messages import Message
from ingest.timeline import TimestampNormalizer
from tests.unit.ingest import cases
from tests.unit.ingest.peer import fixed_rng

LIMITS = Limits(message_bytes=200_000, memory_bytes=300_000, held_bytes=50_000)
SHAKEN = b"\x03" + bytes(1536) + bytes(1536)
INTERESTING = (0, 1, 2, 3, 127, 128, 129, 255)


def setup_messages() -> list[bytes]:
    """connect to publish, each message as chunks."""
    writer = ChunkWriter()
    commands_ = [
        commands.command("connect", 1, {"app": "live", "capsEx": 1.0, "flashVer": "fuzz"}),
        commands.command("createStream", 2, None),
        commands.command("publish", 3, None, "key", "live", stream_id=1),
    ]
    return [writer.write(message, 3) for message in commands_]


def seeds() -> list[bytes]:
    """Chunk streams that are right, to be made wrong."""
    found = [wire for _, _, wire, _ in cases.MESSAGES]
    found += [wire for _, wire, _ in cases.CHUNKS_READ]
    found += [wire for _, wire, _ in cases.CHUNKS_REFUSED if len(wire) < 10_000]
    writer = ChunkWriter()
    for table in (cases.AMF0, cases.AMF0_READ):
        for _, wire, _ in table:
            if len(wire) < 1000:
                body = b"\x02\x00\x0aonMetaData" + wire
                found.append(writer.write(Message(18, 1, 0, body), 4))
                found.append(writer.write(Message(20, 1, 0, body), 3))
    tag = flv.encode_tag(9, 5, b"\x27\x01abc")
    found.append(writer.write(Message(22, 1, 7, tag + flv.encode_tag(8, 6, b"\xaf\x01")), 4))
    found.append(writer.write(messages.user_control(6, bytes(4)), 2))
    for compress in (False, True):
        for repeat in (False, True):
            writer = ChunkWriter(compress=compress, repeat_extended=repeat)
            run = [writer.write(messages.set_chunk_size(200), 2)]
            for i in range(6):
                body = b"\x97\x01" + bytes(i * 150)
                run.append(writer.write(Message(9, 1, 0xFFFFF0 + 40 * i, body), 6))
                run.append(writer.write(Message(8, 1, 0xFFFFF0 + 40 * i, b"\xaf\x01"), 4))
            found.append(b"".join(run))
    for name in ("FCUnpublish", "deleteStream", "closeStream", "play", "createStream", "publish"):
        found.append(writer.write(commands.command(name, 9, None, "key", stream_id=1), 3))
    return found


def check(wire: bytes, steps: list[int], *, shaken: bool, accept: bool) -> str:
    """Feed one connection. Raises on a broken promise; returns how it ended."""
    now = 0.0
    server = ServerSession(limits=LIMITS, now=now, rng=fixed_rng)
    line = TimestampNormalizer()
    end = "open"
    if shaken:
        server.receive_data(SHAKEN, now)
        server.bytes_to_send()
    at = turn = 0
    while at < len(wire):
        step = steps[turn % len(steps)]
        turn += 1
        now += 0.01
        queue = list(server.receive_data(wire[at : at + step], now))
        at += step
        while queue:
            event = queue.pop(0)
            assert end == "open", f"{event} behind the end"
            if isinstance(event, PublishRequested) and accept:
                server.accept_publish(now)
                queue += server.receive_data(b"", now)
            elif isinstance(event, MediaTag):
                info = flv.classify(event.kind, event.payload)
                avc.parse_config(event.payload[info.data_offset :])
                line.push(event.kind, event.timestamp_ms, now)
            elif isinstance(event, ConnectionClosed):
                end = event.reason
                assert "key" not in event.detail.replace("key frame", "")
        assert server.buffered <= LIMITS.memory_bytes + LIMITS.held_bytes + step
        assert len(server.bytes_to_send()) <= 2 * LIMITS.output_bytes
        assert (server.state is State.CLOSED) == (end != "open")
        deadline = server.next_deadline()
        assert deadline is None or deadline <= now + LIMITS.setup_seconds
    if end == "open":
        assert server.handle_timeout(now + 100) or server.state is State.AUTHORISING
    return end


def interleave(pick: random.Random, setup: list[bytes]) -> None:
    """Right tags on several chunk streams, chunks interleaved and split anyhow: none may differ."""
    repeat = pick.random() < 0.5
    writer = ChunkWriter(compress=pick.random() < 0.5, repeat_extended=repeat)
    # A frame's last byte 01 and a basic header 00 of chunk stream 64 behind it are the timestamp
    # 0x01000000, were it not omitted: nobody could tell. Real encoders use ids below 64.
    csids = (4, 6, 63, 64, 320, 65000) if repeat else (3, 4, 5, 6, 63, 65000)
    wire = bytearray(b"".join(setup))
    wire += writer.write(messages.set_chunk_size(pick.choice((128, 129, 1000, 70_000))), 2)
    queues: list[list[tuple[bytes, Message | None]]] = []
    for csid in pick.sample(csids, pick.randrange(1, 4)):
        queue: list[tuple[bytes, Message | None]] = []
        stamp = pick.choice((0, 0xFFFFFF - 50, 1 << 24, 0xFFFFFFFF - 100))
        for i in range(pick.randrange(1, 5)):
            size = pick.choice((1, 127, 129, 130, 400, pick.randrange(1, 5000)))
            body = pick.choice((bytes(size), b"\xc4" * size, pick.randbytes(size)))
            message = Message(pick.choice((8, 9)), 1, stamp + 40 * i & 0xFFFFFFFF, body)
            *first, last = writer.chunks(message, csid)
            queue += [(chunk, None) for chunk in first] + [(last, message)]
        queues.append(queue)
    expected = []
    while queues := [queue for queue in queues if queue]:
        queue = pick.choice(queues)
        for _ in range(min(pick.choice((1, 1, 2, 9)), len(queue))):
            chunk, whole = queue.pop(0)
            wire += chunk
            if whole:
                expected.append((whole.type_id, whole.timestamp, whole.payload))
    # The end of the last frame may look like an extended timestamp: something must follow.
    wire += writer.write(messages.user_control(messages.STREAM_BEGIN, bytes(4)), 2)
    server = ServerSession(limits=LIMITS, now=0.0, rng=fixed_rng)
    server.receive_data(SHAKEN, 0.0)
    found = []
    at = 0
    while at < len(wire):
        step = pick.choice((1, 7, 130, 1448, 9999))
        queue_ = server.receive_data(bytes(wire[at : at + step]), 0.0)
        at += step
        if any(isinstance(event, PublishRequested) for event in queue_):
            server.accept_publish(0.0)
            queue_ += server.receive_data(b"", 0.0)
        found += [e for e in queue_ if isinstance(e, MediaTag)]
    assert [(e.kind, e.timestamp_ms, e.payload) for e in found] == expected
    assert server.buffered == 0


def mutate(pick: random.Random, data: bytes) -> bytes:
    """A few random edits."""
    out = bytearray(data)
    for _ in range(pick.choice((0, 1, 1, 2, 4, 16))):
        at = pick.randrange(len(out) + 1)
        edit = pick.randrange(6)
        if edit == 0 and at < len(out):
            out[at] ^= 1 << pick.randrange(8)
        elif edit == 1 and at < len(out):
            out[at] = pick.choice(INTERESTING)
        elif edit == 2:
            out[at:at] = pick.randbytes(pick.randrange(1, 20))
        elif edit == 3:
            del out[at : at + pick.randrange(1, 40)]
        elif edit == 4:
            piece = out[at : at + pick.randrange(1, 300)]
            out[at:at] = piece * pick.choice((1, 1, 2, 40))
        else:
            out[at : at + 4] = pick.choice(
                (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\x7f\xff\xff\xff", b"\x01\x00\x00\x00")
            )
    return bytes(out)


def one_run(pick: random.Random, corpus: list[bytes], setup: list[bytes]) -> tuple[bytes, str]:
    parts = [mutate(pick, part) if pick.random() < 0.05 else part for part in setup]
    for _ in range(pick.randrange(1, 8)):
        seed = pick.choice(corpus)
        parts.append(mutate(pick, seed) if pick.random() < 0.3 else seed)
    shaken = pick.random() < 0.97
    wire = b"".join(parts if shaken else [mutate(pick, SHAKEN), *parts])
    steps = [pick.choice((1, 2, 3, 17, 130, 1448, 100_000)) for _ in range(pick.randrange(1, 6))]
    if len(wire) > 20_000:
        steps = [max(step, 130) for step in steps]
    try:
        return wire, check(wire, steps, shaken=shaken, accept=pick.random() < 0.9)
    except BaseException:
        print(f"steps {steps}, shaken {shaken}\n{wire.hex()}", file=sys.stderr)
        raise


def run_mutator(seconds: float, seed: int) -> None:
    corpus = seeds()
    setup = setup_messages()
    ends: Counter[str] = Counter()
    begin = time.monotonic()
    count = size = 0
    slowest = 0.0
    while time.monotonic() - begin < seconds:
        pick = random.Random(f"{seed}/{count}")
        start = time.process_time()
        try:
            if count % 4 == 0:
                interleave(pick, setup)
                wire, end = b"", "exact"
            else:
                wire, end = one_run(pick, corpus, setup)
        except BaseException:
            print(f"seed {seed}, run {count}", file=sys.stderr)
            raise
        slowest = max(slowest, time.process_time() - start)
        ends[end] += 1
        count += 1
        size += len(wire)
    print(f"{count} connections, {size / 1e6:.1f} MB, slowest {slowest * 1000:.0f} ms CPU")
    print(", ".join(f"{end}: {number}" for end, number in ends.most_common()))


def run_atheris() -> None:
    atheris = importlib.import_module("atheris")  # not among the dependencies: few platforms

    setup = b"".join(setup_messages())

    def target(data: bytes) -> None:
        head = data[0] if data else 0
        prefix = setup if head & 1 else b""
        steps = [1 + (head >> 2) * 7]
        check(prefix + data[1:], steps, shaken=not head & 2, accept=True)

    atheris.instrument_all()
    atheris.Setup([sys.argv[0]], target)
    atheris.Fuzz()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.add_argument("--atheris", action="store_true")
    options = parser.parse_args()
    if options.atheris:
        run_atheris()
    else:
        run_mutator(options.seconds, options.seed)


if __name__ == "__main__":
    main()
