"""Bits of an RBSP: reading and writing them, Exp-Golomb codes, emulation prevention.

ITU-T H.264 and H.265, 7.2 (u(n)), 9.1/9.2 (ue(v), se(v)) and 7.4.1/7.4.2 (the byte 3).
"""

from __future__ import annotations

import re
from typing import Final

MAX_ZEROS: Final = 32
_ESCAPED: Final = re.compile(rb"\x00\x00(?=[\x00-\x03])")


class BitsError(ValueError):
    """The bits end too soon, or are none that the standard allows."""


def unescape(nal: bytes) -> bytes:
    """A NAL unit without its emulation prevention bytes."""
    return nal.replace(b"\x00\x00\x03", b"\x00\x00")


def escape(rbsp: bytes) -> bytes:
    """Emulation prevention bytes put in."""
    nal = _ESCAPED.sub(b"\x00\x00\x03", rbsp)
    return nal + b"\x03" if nal.endswith(b"\x00") else nal


class BitReader:
    """Reads from the first bit of ``data`` on, most significant first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "big")
        self._size = len(data) * 8
        self.at = 0
        """Bits read so far."""

    @property
    def left(self) -> int:
        return self._size - self.at

    def u(self, count: int) -> int:
        """``count`` bits. Raises BitsError."""
        if count > self.left:
            raise BitsError(f"{count} bits wanted at {self.at}, {self.left} left")
        self.at += count
        return self._value >> (self._size - self.at) & ((1 << count) - 1)

    def flag(self) -> bool:
        return bool(self.u(1))

    def ue(self) -> int:
        zeros = 0
        while not self.u(1):
            zeros += 1
            if zeros > MAX_ZEROS:
                raise BitsError(f"Exp-Golomb code of more than {MAX_ZEROS} zeros")
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        code = self.ue()
        return (code + 1) // 2 if code & 1 else -(code // 2)

    def copy(self, start: int, end: int) -> tuple[int, int]:
        """Bits ``start`` <= i < ``end`` as (value, count), wherever the reader is."""
        count = end - start
        return self._value >> (self._size - end) & ((1 << count) - 1), count

    def payload_end(self) -> int:
        """Where the RBSP's stop bit is (7.3.2.11): its last one."""
        if not self._value:
            raise BitsError("no stop bit")
        return self._size - (self._value & -self._value).bit_length()


class BitWriter:
    """Collects bits, most significant first."""

    def __init__(self) -> None:
        self._value = 0
        self.size = 0
        """Bits written so far."""

    def u(self, value: int, count: int) -> None:
        if value >> count:
            raise ValueError(f"{value} does not fit {count} bits")
        self._value = self._value << count | value
        self.size += count

    def ue(self, value: int) -> None:
        code = value + 1
        self.u(code, 2 * code.bit_length() - 1)

    def bits(self, piece: tuple[int, int]) -> None:
        """What ``BitReader.copy`` gave."""
        self.u(*piece)

    def align(self, filler: int) -> None:
        """``filler`` bits up to the next whole byte."""
        missing = -self.size % 8
        self.u(((1 << missing) - 1) * filler, missing)

    def finish(self) -> bytes:
        """With the stop bit, in whole bytes (rbsp_trailing_bits)."""
        self.u(1, 1)
        self.align(0)
        return self.data()

    def data(self) -> bytes:
        """What was written; a whole number of bytes."""
        return self._value.to_bytes(self.size // 8, "big")
