"""The states of a server session and every move between them, in one table.

HANDSHAKE -> CONNECTING -> CONNECTED -> STREAM_CREATED -> AUTHORISING -> PUBLISHING
                                ^             ^--------- unpublish ----------|
                                '--------------------- deleteStream ---------'
"""

from enum import Enum, StrEnum, auto


class State(StrEnum):
    HANDSHAKE = "handshake"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    STREAM_CREATED = "stream-created"
    AUTHORISING = "authorising"
    PUBLISHING = "publishing"
    CLOSED = "closed"


class Step(Enum):
    """What moves a session from state to state."""

    SHAKEN = auto()
    CONNECT = auto()
    CREATE_STREAM = auto()
    PUBLISH = auto()
    ACCEPT = auto()
    UNPUBLISH = auto()
    DELETE_STREAM = auto()


TRANSITIONS: dict[tuple[State, Step], State] = {
    (State.HANDSHAKE, Step.SHAKEN): State.CONNECTING,
    (State.CONNECTING, Step.CONNECT): State.CONNECTED,
    (State.CONNECTED, Step.CREATE_STREAM): State.STREAM_CREATED,
    (State.CONNECTED, Step.UNPUBLISH): State.CONNECTED,
    (State.CONNECTED, Step.DELETE_STREAM): State.CONNECTED,
    (State.STREAM_CREATED, Step.CREATE_STREAM): State.STREAM_CREATED,
    (State.STREAM_CREATED, Step.PUBLISH): State.AUTHORISING,
    (State.STREAM_CREATED, Step.UNPUBLISH): State.STREAM_CREATED,
    (State.STREAM_CREATED, Step.DELETE_STREAM): State.CONNECTED,
    (State.AUTHORISING, Step.ACCEPT): State.PUBLISHING,
    (State.PUBLISHING, Step.CREATE_STREAM): State.PUBLISHING,
    (State.PUBLISHING, Step.UNPUBLISH): State.STREAM_CREATED,
    (State.PUBLISHING, Step.DELETE_STREAM): State.CONNECTED,
}
"""Every move there is. A peer's step that is not here ends the connection; so does `close`."""
