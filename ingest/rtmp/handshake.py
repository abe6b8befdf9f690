"""The RTMP handshake (section 5.2), simple and with digests.

The specification knows C0 C1 C2 and S0 S1 S2 with random filling. Flash Media Live Encoder and
its heirs hide an HMAC-SHA256 digest in C1 at one of two places ("schemes") and want one back.
That form is in no Adobe document; every server has it, and so have we. Nothing here is security:
the keys are public, and the stream key is checked later.
"""

import hashlib
import hmac
from collections.abc import Callable

from ingest.rtmp.errors import ProtocolError

VERSION = 3
SIZE = 1536
DIGEST_SIZE = 32

_KEY_TAIL = bytes.fromhex("f0eec24a8068bee82e00d0d1029e7e576eec5d2d29806fab93b8e636cfeb31ae")
_SERVER_KEY = b"Genuine Adobe Flash Media Server 001" + _KEY_TAIL
_SERVER_KEY_PART = _SERVER_KEY[:36]
_CLIENT_KEY_PART = b"Genuine Adobe Flash Player 001"

# The 4-byte field that names the digest's place, for scheme 0 and scheme 1.
_SCHEMES = (8, 772)
# What S1 gives as version when digests are used: 4.5.0.1 of the server they come from.
_SERVER_VERSION = bytes((4, 5, 0, 1))


class ServerHandshake:
    """C0 C1 C2 in, S0 S1 S2 out.

    Bounded: it keeps at most C0 C1 C2 and what arrived together with the end of them.
    """

    def __init__(self, *, epoch_ms: int, rng: Callable[[int], bytes]) -> None:
        self._epoch = (epoch_ms & 0xFFFFFFFF).to_bytes(4, "big")
        self._rng = rng
        self._buffer = bytearray()
        self._answered = False
        self.done = False

    def receive_data(self, data: bytes | memoryview) -> bytes:
        """Take bytes, return the bytes to send. Raises `ProtocolError` on a wrong version."""
        self._buffer += data
        reply = b""
        if self._buffer and self._buffer[0] != VERSION:
            _refuse_version(self._buffer[0])
        if not self._answered and len(self._buffer) >= 1 + SIZE:
            c1 = bytes(self._buffer[1 : 1 + SIZE])
            reply = self._answer(c1)
            self._answered = True
        # C2 is not compared with S1: librtmp and many hardware encoders send something else.
        self.done = len(self._buffer) >= 1 + SIZE + SIZE
        return reply

    def leftover(self) -> bytes:
        """The first bytes of the chunk stream, if any came with C2. Call once, when done."""
        rest = bytes(self._buffer[1 + SIZE + SIZE :])
        self._buffer = bytearray()
        return rest

    def _answer(self, c1: bytes) -> bytes:
        found = find_digest(c1, _CLIENT_KEY_PART)
        if found is None:
            s1 = self._epoch + bytes(4) + self._rng(SIZE - 8)
            return bytes((VERSION,)) + s1 + c1  # 5.2.4: S2 echoes C1
        scheme, digest = found
        s1 = sign(self._epoch + _SERVER_VERSION + self._rng(SIZE - 8), scheme, _SERVER_KEY_PART)
        body = self._rng(SIZE - DIGEST_SIZE)
        s2 = body + _hmac(_hmac(_SERVER_KEY, digest), body)
        return bytes((VERSION,)) + s1 + s2


class ClientHandshake:
    """The publisher's side, for tests and measurements; ``digest`` picks a scheme or none."""

    def __init__(self, *, rng: Callable[[int], bytes], digest: int | None = None) -> None:
        version = bytes(4) if digest is None else bytes((9, 0, 124, 2))
        self.c1 = bytes(4) + version + rng(SIZE - 8)
        if digest is not None:
            self.c1 = sign(self.c1, digest, _CLIENT_KEY_PART)
        self._buffer = bytearray()
        self.s1 = b""
        self.s2 = b""
        self.done = False

    def hello(self) -> bytes:
        return bytes((VERSION,)) + self.c1

    def receive_data(self, data: bytes | memoryview) -> bytes:
        """Take bytes, return C2 once S0 S1 S2 are there."""
        self._buffer += data
        if self._buffer and self._buffer[0] != VERSION:
            _refuse_version(self._buffer[0])
        if self.done or len(self._buffer) < 1 + SIZE + SIZE:
            return b""
        self.s1 = bytes(self._buffer[1 : 1 + SIZE])
        self.s2 = bytes(self._buffer[1 + SIZE : 1 + SIZE + SIZE])
        self.done = True
        return self.s1

    def leftover(self) -> bytes:
        rest = bytes(self._buffer[1 + SIZE + SIZE :])
        self._buffer = bytearray()
        return rest


def digest_offset(block: bytes, scheme: int) -> int:
    """Where the digest of a C1 or S1 is: four bytes summed, within the 728 free places."""
    field = _SCHEMES[scheme]
    return sum(block[field : field + 4]) % 728 + field + 4


def sign(block: bytes, scheme: int, key: bytes) -> bytes:
    """Put the digest of all other bytes into ``block``."""
    at = digest_offset(block, scheme)
    rest = block[:at] + block[at + DIGEST_SIZE :]
    return block[:at] + _hmac(key, rest) + block[at + DIGEST_SIZE :]


def find_digest(block: bytes, key: bytes) -> tuple[int, bytes] | None:
    """The scheme and the digest, or None for a simple handshake."""
    for scheme in range(len(_SCHEMES)):
        at = digest_offset(block, scheme)
        digest = block[at : at + DIGEST_SIZE]
        rest = block[:at] + block[at + DIGEST_SIZE :]
        if hmac.compare_digest(digest, _hmac(key, rest)):
            return scheme, digest
    return None


def _hmac(key: bytes, data: bytes) -> bytes:
    return hmac.new(key, data, hashlib.sha256).digest()


def _refuse_version(version: int) -> None:
    # 5.2.2: 32 and above are not allowed, so that a text protocol is told from RTMP at once.
    if version >= 32:
        raise ProtocolError(f"not RTMP: first byte is {version}, expected {VERSION}")
    raise ProtocolError(f"RTMP version {version} (6 and 8 are RTMPE), only {VERSION} is spoken")
