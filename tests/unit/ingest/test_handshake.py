"""The handshake, simple and with digests, joined in memory."""

import pytest

from ingest.rtmp import handshake
from ingest.rtmp.errors import ProtocolError
from ingest.rtmp.handshake import SIZE, ClientHandshake, ServerHandshake
from tests.unit.ingest.peer import fixed_rng


@pytest.mark.parametrize("step", [1, 7, 1536, 5000])
@pytest.mark.parametrize("digest", [None, 0, 1])
def test_both_sides(digest: int | None, step: int) -> None:
    server = ServerHandshake(epoch_ms=5, rng=fixed_rng)
    client = ClientHandshake(rng=fixed_rng, digest=digest)
    wire = client.hello()
    for _ in range(2):
        answer = b"".join(
            server.receive_data(wire[i : i + step]) for i in range(0, len(wire), step)
        )
        wire = b"".join(
            client.receive_data(answer[i : i + step]) for i in range(0, len(answer), step)
        )
    assert client.done
    assert server.done
    assert client.s1[:4] == b"\x00\x00\x00\x05"
    found = handshake.find_digest(client.s1, handshake._SERVER_KEY_PART)
    if digest is None:
        assert client.s2 == client.c1  # 5.2.4
        assert found is None
    else:
        assert found is not None
        assert found[0] == digest


def test_leftover_is_the_chunk_stream() -> None:
    server = ServerHandshake(epoch_ms=0, rng=fixed_rng)
    server.receive_data(b"\x03" + bytes(SIZE) + bytes(SIZE) + b"chunks")
    assert server.done
    assert server.leftover() == b"chunks"


def test_c2_may_be_anything() -> None:
    server = ServerHandshake(epoch_ms=0, rng=fixed_rng)
    server.receive_data(b"\x03" + bytes(SIZE))
    assert not server.done
    server.receive_data(b"\xee" * SIZE)
    assert server.done


@pytest.mark.parametrize(
    ("first", "words"), [(b"\x06", "RTMPE"), (b"G", "not RTMP"), (b"\x16", "version 22")]
)
def test_other_protocols(first: bytes, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        ServerHandshake(epoch_ms=0, rng=fixed_rng).receive_data(first)
