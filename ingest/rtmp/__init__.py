"""RTMP without I/O: a pure server core, and a publisher core for tests and measurements.

`ServerSession` is the way in. No module here imports asyncio or sockets; the tests join two
cores in memory.
"""

from ingest.rtmp.errors import ProtocolError
from ingest.rtmp.events import (
    CloseReason,
    ConnectionClosed,
    EndReason,
    Event,
    MediaTag,
    PublishEnded,
    PublishRequested,
)
from ingest.rtmp.limits import Limits
from ingest.rtmp.session import ServerSession
from ingest.rtmp.state import State

__all__ = [
    "CloseReason",
    "ConnectionClosed",
    "EndReason",
    "Event",
    "Limits",
    "MediaTag",
    "ProtocolError",
    "PublishEnded",
    "PublishRequested",
    "ServerSession",
    "State",
]
