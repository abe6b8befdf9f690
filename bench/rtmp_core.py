"""What the RTMP core costs: microseconds per tag, CPU-seconds per stream-minute.

One publisher of 4 Mbit/s: 25 video frames and 43 audio frames a second, a key frame of ten times
the size every 2 s. The wire bytes are made beforehand; measured is the server's side, from
received bytes to FLV tags with normalised timestamps, in reads of 1448 bytes (one TCP segment)
and of 64 KiB.

    python -m bench.rtmp_core [--seconds 60] [--profile]
"""

import argparse
import cProfile
import os
import random
import time

from ingest import flv
from ingest.rtmp import MediaTag, PublishRequested, ServerSession, State
from ingest.rtmp.client import ClientSession, Habits
from ingest.timeline import TimestampNormalizer

VIDEO_BYTES_S = 4_000_000 // 8 - 16_000
AUDIO_BYTES = 372  # 128 kbit/s
FPS = 25
AUDIO_FPS = 43
GOP = 50


def join(server: ServerSession, client: ClientSession) -> None:
    """Carry bytes both ways until the client may send tags."""
    while not client.publishing:
        for event in server.receive_data(client.bytes_to_send(), 0.0):
            if isinstance(event, PublishRequested):
                server.accept_publish(0.0)
        client.receive_data(server.bytes_to_send())


def make_wire(client: ClientSession, seconds: int, start_ms: int) -> tuple[bytes, int]:
    """The bytes of a show, and the number of tags in it."""
    noise = os.urandom(1 << 20)
    pick = random.Random(1)
    unit = VIDEO_BYTES_S * GOP // FPS // (GOP - 1 + 10)
    frames: list[tuple[float, int, int]] = []
    for i in range(seconds * FPS):
        frames.append((i * 1000 / FPS, flv.VIDEO, unit * 10 if i % GOP == 0 else unit))
    for i in range(seconds * AUDIO_FPS):
        frames.append((i * 1000 / AUDIO_FPS, flv.AUDIO, AUDIO_BYTES))
    frames.sort()
    wire = bytearray()
    for at, kind, size in frames:
        head = b"\x27\x01\x00\x00\x00" if kind == flv.VIDEO else b"\xaf\x01"
        cut = pick.randrange(len(noise) - size)
        wire += client.encode_tag(kind, start_ms + int(at), head + noise[cut : cut + size])
    return bytes(wire), len(frames)


def receive(server: ServerSession, wire: bytes, read_size: int, *, full: bool) -> int:
    """Feed the server; with ``full``, also do what every tag goes through before the log."""
    view = memoryview(wire)
    line = TimestampNormalizer()
    tags = 0
    for at in range(0, len(wire), read_size):
        for event in server.receive_data(view[at : at + read_size], 1.0):
            if not isinstance(event, MediaTag):
                continue
            tags += 1
            if full:
                flv.classify(event.kind, event.payload)
                stamp = line.push(event.kind, event.timestamp_ms, 1.0)
                flv.encode_tag(event.kind, stamp.ts_ms, event.payload)
        server.bytes_to_send()
    return tags


def measure(
    chunk_size: int, read_size: int, seconds: int, start_ms: int, full: bool
) -> tuple[float, float]:
    server = ServerSession(now=0.0)
    client = ClientSession("live", "bench", habits=Habits(chunk_size=chunk_size, compress=True))
    join(server, client)
    wire, count = make_wire(client, seconds, start_ms)
    begin = time.process_time()
    tags = receive(server, wire, read_size, full=full)
    spent = time.process_time() - begin
    if tags != count or server.state is not State.PUBLISHING:
        raise SystemExit(f"sent {count} tags, received {tags}, session is {server.state}")
    return spent / tags * 1e6, spent / seconds * 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=int, default=60, help="length of the show")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    profiler = cProfile.Profile()
    if options.profile:
        profiler.enable()
    print("chunk   read   ext-ts  core us/tag  CPU-s/min   with flv us/tag  CPU-s/min")
    for chunk_size in (128, 4096, 65536):
        for read_size in (1448, 65536):
            for start_ms in (0, 0xFFFFFF):
                row = (chunk_size, read_size, options.seconds, start_ms)
                core = measure(*row, False)
                full = measure(*row, True)
                print(
                    f"{chunk_size:5d} {read_size:6d}   {'yes' if start_ms else 'no ':3s}"
                    f"   {core[0]:10.1f} {core[1]:10.4f}   {full[0]:15.1f} {full[1]:10.4f}"
                )
    if options.profile:
        profiler.disable()
        profiler.print_stats("tottime")


if __name__ == "__main__":
    main()
