"""Command messages (sections 7.1.1 and 7.2): reading them, and the replies a server gives."""

from dataclasses import dataclass, field

from ingest.rtmp import amf0
from ingest.rtmp.amf0 import AmfValue
from ingest.rtmp.errors import AmfError
from ingest.rtmp.limits import Limits
from ingest.rtmp.messages import COMMAND_AMF0, COMMAND_AMF3, DATA_AMF0, DATA_AMF3, Message

# capsEx of Enhanced RTMP v2, "Enhancing NetConnection connect Command".
CAPS_RECONNECT = 0x01
CAPS_MULTITRACK = 0x02
CAPS_MODEX = 0x04

# FourCcInfoMask, same section.
_CAN_FORWARD = 0x04
_VIDEO_FOURCC = ("avc1", "hvc1", "av01", "vp09", "vp08", "vvc1")
_AUDIO_FOURCC = ("mp4a", "Opus", "ac-3", "ec-3", "fLaC", ".mp3")


@dataclass(frozen=True, slots=True)
class Command:
    """7.1.1: a name, a number that the reply repeats, an object and more values."""

    name: str
    transaction_id: float
    object: AmfValue = field(repr=False)
    arguments: list[AmfValue] = field(repr=False)


def decode_command(message: Message, limits: Limits) -> Command:
    """Read a message of type 20 or 17. Raises `AmfError`."""
    values = amf0.decode_all(amf_body(message), limits=limits)
    name = values[0] if values else None
    if not isinstance(name, str):
        raise AmfError("command without a name")
    number = values[1] if len(values) > 1 else 0.0
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        raise AmfError("command whose transaction id is no number")
    return Command(name, float(number), values[2] if len(values) > 2 else None, values[3:])


def amf_body(message: Message) -> bytes:
    """The AMF 0 values of a command or data message.

    Types 17 and 15 are called AMF 3, but hold AMF 0 behind one byte that says so (0, from some
    encoders 0x11); real AMF 3 values would each follow a 0x11 marker and are refused.
    """
    if message.type_id in (COMMAND_AMF3, DATA_AMF3) and message.payload[:1] in (b"\x00", b"\x11"):
        return message.payload[1:]
    return message.payload


def command(name: str, transaction_id: float, *values: AmfValue, stream_id: int = 0) -> Message:
    payload = amf0.encode(name, transaction_id, *values)
    return Message(COMMAND_AMF0, stream_id, 0, payload)


def data(*values: AmfValue, stream_id: int = 0, timestamp: int = 0) -> Message:
    return Message(DATA_AMF0, stream_id, timestamp, amf0.encode(*values))


def connect_result(transaction_id: float) -> Message:
    """7.2.1.1, with what this server does of Enhanced RTMP in the properties object.

    ``objectEncoding`` 0 tells a client that offered AMF 3 to stay with AMF 0. Capabilities 31
    and the version are what clients of the Flash time compare with.
    """
    properties: dict[str, AmfValue] = {
        "fmsVer": "FMS/3,0,1,123",
        "capabilities": 31.0,
        "capsEx": float(CAPS_RECONNECT | CAPS_MULTITRACK | CAPS_MODEX),
        "videoFourCcInfoMap": {fourcc: float(_CAN_FORWARD) for fourcc in _VIDEO_FOURCC},
        "audioFourCcInfoMap": {fourcc: float(_CAN_FORWARD) for fourcc in _AUDIO_FOURCC},
        "fourCcList": [*_VIDEO_FOURCC, *_AUDIO_FOURCC],
    }
    information = _info("status", "NetConnection.Connect.Success", "Connection succeeded.")
    information["objectEncoding"] = 0.0
    return command("_result", transaction_id, properties, information)


def connect_error(transaction_id: float, code: str, description: str) -> Message:
    return command("_error", transaction_id, None, _info("error", code, description))


def on_status(
    level: str, code: str, description: str, *, stream_id: int = 0, tc_url: str | None = None
) -> Message:
    """7.2.2; on stream 0 it speaks for the connection (Enhanced RTMP v2, "onStatus")."""
    info = _info(level, code, description)
    if tc_url is not None:
        info["tcUrl"] = tc_url
    return command("onStatus", 0, None, info, stream_id=stream_id)


def _info(level: str, code: str, description: str) -> dict[str, AmfValue]:
    return {"level": level, "code": code, "description": description}
