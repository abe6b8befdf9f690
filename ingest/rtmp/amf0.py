"""AMF 0: the values that commands and metadata are made of (Adobe AMF 0 specification, 2007).

| AMF 0                      | Python        |
|----------------------------|---------------|
| number                     | float         |
| boolean                    | bool          |
| string, long string        | str           |
| object                     | dict          |
| ECMA array                 | EcmaArray     |
| strict array               | list          |
| null                       | None          |
| undefined, unsupported     | UNDEFINED     |
| date                       | Date          |
| XML document               | XmlDocument   |
| typed object               | TypedObject   |

References (2.9), movie clips (2.6), record sets (2.16) and the switch to AMF 3 (3.1) are refused:
no encoder needs them, and references would let a small message unfold without end.
"""

import struct
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from ingest.rtmp.errors import AmfError
from ingest.rtmp.limits import DEFAULT_LIMITS, Limits

_NUMBER = 0x00
_BOOLEAN = 0x01
_STRING = 0x02
_OBJECT = 0x03
_NULL = 0x05
_UNDEFINED = 0x06
_REFERENCE = 0x07
_ECMA_ARRAY = 0x08
_OBJECT_END = 0x09
_STRICT_ARRAY = 0x0A
_DATE = 0x0B
_LONG_STRING = 0x0C
_UNSUPPORTED = 0x0D
_XML_DOCUMENT = 0x0F
_TYPED_OBJECT = 0x10

_F64 = struct.Struct(">d")
_DATE_BODY = struct.Struct(">dh")


class Undefined(Enum):
    """The type of `UNDEFINED` (2.8)."""

    UNDEFINED = "undefined"


UNDEFINED: Final = Undefined.UNDEFINED


@dataclass(frozen=True, slots=True)
class Date:
    """2.13: milliseconds since 1970 in UTC. The time zone is reserved; it should be 0."""

    ms: float
    zone_minutes: int = 0


class XmlDocument(str):
    """2.17: a long string that claims to be XML. It is never parsed."""

    __slots__ = ()


class EcmaArray(dict[str, "AmfValue"]):
    """2.10: an object that also carries a count, used for onMetaData."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class TypedObject:
    """2.18: an object with a class name."""

    class_name: str
    properties: dict[str, "AmfValue"]


AmfValue: TypeAlias = (
    "bool | int | float | str | Undefined | Date | TypedObject"
    " | list[AmfValue] | dict[str, AmfValue] | None"
)


def decode(
    data: bytes, offset: int = 0, *, limits: Limits = DEFAULT_LIMITS
) -> tuple[AmfValue, int]:
    """Read one value; return it and the offset behind it. Raises `AmfError`."""
    reader = _Reader(data, offset, limits)
    value = reader.value(1)
    return value, reader.pos


def decode_all(data: bytes, offset: int = 0, *, limits: Limits = DEFAULT_LIMITS) -> list[AmfValue]:
    """Read values to the end of ``data``. Raises `AmfError`."""
    reader = _Reader(data, offset, limits)
    values: list[AmfValue] = []
    while reader.pos < len(data):
        values.append(reader.value(1))
    return values


class _Reader:
    """A cursor over one message. Depth and count are bounded, so recursion is too."""

    __slots__ = ("data", "depth_limit", "pos", "values_left", "values_limit")

    def __init__(self, data: bytes, pos: int, limits: Limits) -> None:
        self.data = data
        self.pos = pos
        self.depth_limit = limits.amf_depth
        self.values_limit = self.values_left = limits.amf_values

    def take(self, size: int) -> bytes:
        piece = self.data[self.pos : self.pos + size]
        if len(piece) < size:
            # A false length costs nothing: no room is made before the bytes are there.
            raise AmfError(f"AMF value needs {size} bytes, {len(piece)} are left")
        self.pos += size
        return piece

    def uint(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def text(self, length_size: int) -> str:
        # 1.3.1 says UTF-8. Encoders send GBK and Latin-1 in metadata too: replaced, not refused.
        return self.take(self.uint(length_size)).decode("utf-8", "replace")

    def value(self, depth: int) -> AmfValue:
        self.values_left -= 1
        if self.values_left < 0:
            raise AmfError(f"AMF message of more than {self.values_limit} values")
        if depth > self.depth_limit:
            raise AmfError(f"AMF nesting of {depth}, limit {self.depth_limit}")
        marker = self.uint(1)
        if marker == _NUMBER:
            number: float = _F64.unpack(self.take(8))[0]
            return number
        if marker == _BOOLEAN:
            return self.uint(1) != 0
        if marker == _STRING:
            return self.text(2)
        if marker == _OBJECT:
            return self.properties(depth, {})
        if marker == _NULL:
            return None
        if marker in (_UNDEFINED, _UNSUPPORTED):
            return UNDEFINED
        if marker == _ECMA_ARRAY:
            return self.ecma_array(depth)
        if marker == _STRICT_ARRAY:
            return self.strict_array(depth)
        if marker == _DATE:
            return Date(*_DATE_BODY.unpack(self.take(10)))
        if marker == _LONG_STRING:
            return self.text(4)
        if marker == _XML_DOCUMENT:
            return XmlDocument(self.text(4))
        if marker == _TYPED_OBJECT:
            return TypedObject(self.text(2), self.properties(depth, {}))
        raise AmfError(f"AMF marker 0x{marker:02x} is refused or unknown")

    def properties(
        self, depth: int, into: dict[str, AmfValue], count: int | None = None
    ) -> dict[str, AmfValue]:
        """2.5: name and value pairs up to an empty name and the object-end marker (2.11).

        With ``count``, that many pairs and then the end of the message will do as well.
        """
        read = 0
        while True:
            if count is not None and read >= count and self.pos == len(self.data):
                return into
            name = self.text(2)
            if not name and self.data[self.pos : self.pos + 1] == b"\x09":
                self.pos += 1
                return into
            into[name] = self.value(depth + 1)
            read += 1

    def ecma_array(self, depth: int) -> EcmaArray:
        # The count is only a hint: live encoders write 0 or a wrong number, and some leave out
        # the end marker when the array is the last value.
        count = self.uint(4)
        array = EcmaArray()
        self.properties(depth, array, count)
        return array

    def strict_array(self, depth: int) -> list[AmfValue]:
        count = self.uint(4)
        left = len(self.data) - self.pos
        if count > left:  # each value takes one byte or more
            raise AmfError(f"AMF array of {count} values in {left} bytes")
        return [self.value(depth + 1) for _ in range(count)]


def encode(*values: AmfValue) -> bytes:
    """Write values one after the other."""
    out = bytearray()
    for value in values:
        _write(out, value)
    return bytes(out)


def _write(out: bytearray, value: AmfValue) -> None:
    if value is None:
        out.append(_NULL)
    elif isinstance(value, bool):  # before int: a bool is one
        out += bytes((_BOOLEAN, value))
    elif isinstance(value, (int, float)):
        out.append(_NUMBER)
        out += _F64.pack(value)
    elif isinstance(value, str):
        _write_text(out, value)
    elif isinstance(value, EcmaArray):
        out.append(_ECMA_ARRAY)
        out += len(value).to_bytes(4, "big")
        _write_properties(out, value)
    elif isinstance(value, dict):
        out.append(_OBJECT)
        _write_properties(out, value)
    elif isinstance(value, list):
        out.append(_STRICT_ARRAY)
        out += len(value).to_bytes(4, "big")
        for item in value:
            _write(out, item)
    elif isinstance(value, Date):
        out.append(_DATE)
        out += _DATE_BODY.pack(value.ms, value.zone_minutes)
    elif isinstance(value, TypedObject):
        out.append(_TYPED_OBJECT)
        _write_name(out, value.class_name)
        _write_properties(out, value.properties)
    else:
        out.append(_UNDEFINED)


def _write_text(out: bytearray, value: str) -> None:
    raw = value.encode("utf-8", "replace")
    if isinstance(value, XmlDocument):
        out.append(_XML_DOCUMENT)
        out += len(raw).to_bytes(4, "big")
    elif len(raw) > 0xFFFF:
        out.append(_LONG_STRING)
        out += len(raw).to_bytes(4, "big")
    else:
        out.append(_STRING)
        out += len(raw).to_bytes(2, "big")
    out += raw


def _write_name(out: bytearray, name: str) -> None:
    raw = name.encode("utf-8", "replace")
    out += len(raw).to_bytes(2, "big")
    out += raw


def _write_properties(out: bytearray, properties: dict[str, AmfValue]) -> None:
    for name, value in properties.items():
        _write_name(out, name)
        _write(out, value)
    out += b"\x00\x00\x09"
