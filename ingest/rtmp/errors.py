"""The peer's faults: one exception family, kept apart from our own bugs.

A ``ProtocolError`` never leaves `ServerSession.receive_data`: it becomes a goodbye on the wire
and a `ConnectionClosed` event. Any other exception is a defect of this package and travels up.
"""


class ProtocolError(Exception):
    """The peer broke the protocol or a named limit.

    ``str(error)`` is plain words for a log or a technician's screen; where a limit was passed it
    holds both numbers. It never holds a stream name, because that is the publisher's secret.
    """

    def __init__(self, message: str, *, code: str = "NetConnection.Connect.Closed") -> None:
        super().__init__(message)
        self.code = code


class LimitError(ProtocolError):
    """A well-formed peer that wants more than we give."""

    def __init__(self, what: str, wanted: int, limit: int) -> None:
        super().__init__(f"{what}: {wanted}, limit {limit}")
        self.wanted = wanted
        self.limit = limit


class AmfError(ProtocolError):
    """Bytes that are not AMF 0, or more of it than `Limits` allows."""


class NameRefused(ProtocolError):
    """An application or stream name that can never be valid here."""
