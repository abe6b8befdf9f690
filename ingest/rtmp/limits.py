"""Every bound of an RTMP connection, by name, in one frozen place.

What other servers allow, and what happened to them, is in the reliability notes: a peer is a
stranger until its stream key has been checked, so most bounds come in two sizes.
"""

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one connection. Bytes, seconds and counts as each name says."""

    message_bytes: int = 8 * MIB
    """Longest message of an authorised publisher: an 8 MiB key frame is 60 Mbit/s for a second."""
    setup_message_bytes: int = 64 * KIB
    """Longest message before authorisation; a `connect` is under 2 KiB."""
    memory_bytes: int = 12 * MIB
    """All partly received messages of an authorised publisher together."""
    setup_bytes: int = 256 * KIB
    """Everything a stranger may send after the handshake, until `publish`; and so all of its
    partly received messages."""
    held_bytes: int = 1 * MIB
    """What a peer may send ahead while its key is being checked. It is kept, not parsed."""
    chunk_streams: int = 32
    min_chunk_size: int = 128
    """Section 5.4.1: at least 1, SHOULD be at least 128. Smaller is refused: framing leaves no
    way to clamp it. There is no largest size: a chunk is consumed as it arrives, so its size
    costs no memory."""
    setup_messages: int = 256
    """Messages before the first publish, so that empty ones can't keep a stranger busy."""
    message_streams: int = 8
    """createStream calls in one connection."""
    output_bytes: int = 64 * KIB
    """Replies waiting for `bytes_to_send`; a flood of pings ends here."""

    amf_depth: int = 8
    amf_values: int = 16 * KIB
    """Values in one AMF message; an onMetaData with a key frame index stays below this."""

    name_chars: int = 128
    query_chars: int = 1024
    encoder_chars: int = 128

    setup_seconds: float = 10.0
    """From the first byte to `publish`; and again after an unpublish."""
    idle_seconds: float = 8.0
    """No byte of audio or video for this long: the publisher is frozen or gone."""

    window_ack_bytes: int = 2_500_000
    """The acknowledgement window we ask for, and assume until the peer names its own."""
    chunk_size_out: int = 4096


DEFAULT_LIMITS = Limits()
