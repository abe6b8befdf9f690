"""What a session tells its owner: one frozen class per thing that can happen."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias


class CloseReason(StrEnum):
    """Why the core ended a connection, as one word for logs and metrics."""

    IDLE = "idle"
    """No audio or video for `Limits.idle_seconds`."""
    SETUP_TIMEOUT = "setup-timeout"
    """No `publish` within `Limits.setup_seconds`."""
    BAD_NAME = "bad-name"
    """An application or stream name that can't be valid."""
    PLAY_REFUSED = "play-refused"
    PROTOCOL_ERROR = "protocol-error"
    """The peer broke the protocol or a limit."""
    PEER_CLOSED = "peer-closed"
    """The transport ended (`receive_eof`)."""


class EndReason(StrEnum):
    """Why a publish ended."""

    UNPUBLISHED = "unpublished"
    """The encoder said so: FCUnpublish, deleteStream or closeStream."""
    LOST = "lost"
    """The connection ended first; the `ConnectionClosed` behind this event says why."""


@dataclass(frozen=True, slots=True)
class PublishRequested:
    """A well-formed `publish`. Answer with `accept_publish` or `refuse_publish`."""

    app: str
    """Application name, 1 to `Limits.name_chars` letters, digits, ``-`` and ``_``."""
    stream_name: str = field(repr=False)
    """The stream key, same letters. A secret: hash it, never log it."""
    tc_url_redacted: str
    """scheme://host[:port]/app of the URL the encoder was given; no user, query or key."""
    query: str = field(repr=False)
    """What followed ``?`` in the stream name, else in the app; may hold secrets too."""
    encoder: str
    """The encoder's flashVer, printable characters only; may be empty."""


@dataclass(frozen=True, slots=True)
class MediaTag:
    """One FLV tag's worth of media."""

    kind: int
    """8 audio, 9 video, 18 script data (FLV 10.1, E.4.1)."""
    timestamp_ms: int
    """Milliseconds, 0 to 2^32-1, as the peer counts: it may wrap, jump and go backwards."""
    payload: bytes = field(repr=False)
    """The tag's body as received; for kind 18 without ``@setDataFrame``."""


@dataclass(frozen=True, slots=True)
class PublishEnded:
    """The publish is over. The connection may go on and publish again."""

    reason: EndReason


@dataclass(frozen=True, slots=True)
class ConnectionClosed:
    """The last event. Send what `bytes_to_send` gives, then close the transport."""

    reason: CloseReason
    code: str
    """The RTMP status code that was sent, or would have been."""
    detail: str
    """Plain words with the numbers; never a stream name."""


Event: TypeAlias = PublishRequested | MediaTag | PublishEnded | ConnectionClosed
