"""The stream that a cut looks like throughout: the copied one's, with our pictures as its guests.

A host knows where its stream may be entered, tells the encoder what to make, gives encoded
pictures the numbers they need in it, and describes it all in one sample entry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from vod.smartcut.avc_slice import Place, SliceHeader
from vod.smartcut.avc_splice import Follower

PEEK_BYTES = 4096
"""As much of a sample as is looked at for its kind."""
CRF = 17
KEY_SECONDS = 2
"""Distance of key frames in long encoded stretches."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A key picture that a copied stretch might begin with."""

    closed: bool
    """An IDR picture: nothing before it matters."""
    usable: bool
    """Pictures from it on can be decoded, but for its leading ones."""
    follower: Follower | None = None
    own_sets: tuple[bytes, ...] = ()
    """Parameter sets that the sample carries itself."""
    behind: tuple[SliceHeader, ...] = ()
    """Pictures behind it that may name what was before."""


@dataclass(frozen=True, slots=True)
class Approach:
    """How a copied stretch is come to."""

    entry: Entry
    refused: str | None = None
    """Code of why it cannot be."""
    intra: int | None = None
    """Which of our pictures before it, besides the first, is coded without reference to others."""


@dataclass(frozen=True, slots=True)
class Guest:
    """What an encoder said about the pictures it made, for ``Host.host``. Of the host's codec."""

    learned: Any


@dataclass(frozen=True, slots=True)
class Seat:
    """Where a picture of ours stands: between which others."""

    place: Place | None = None
    ends_sequence: bool = False
    """The copied picture behind it begins a new sequence without being an IDR picture."""


@dataclass(frozen=True, slots=True)
class Entrances:
    """How often a stream must be enterable, and how many pictures of ours one takes."""

    ticks: int
    pictures: int


class Host(Protocol):
    """A stream that others can be guests of. Methods raise BitsError on bytes that are none."""

    width: int
    height: int
    """Cropped, as shown."""
    depth: int
    entrances: Entrances | None
    """Of one that players can enter at closed key pictures only."""

    def refuses(self) -> str | None:
        """Why nothing of this stream can be copied into a cut, as a code."""
        ...

    def knows(self, own_sets: Sequence[bytes]) -> bool:
        """Whether parameter sets in a sample are only those of the sample entry."""
        ...

    def same_stream(self, entry: bytes) -> bool:
        """Whether samples of this sample entry are samples of this stream."""
        ...

    def look(self, peek: bytes) -> Entry:
        """What kind of key picture a sample begins."""
        ...

    def approach(
        self, key: Entry, before: int, first: bool, behind: Callable[[], Iterable[bytes]]
    ) -> Approach:
        """How a copied stretch can begin with ``key``.

        ``before`` pictures of ours go before it, and nothing at all if it is ``first``;
        ``behind`` are the first bytes of the samples after it without its leading ones.
        """
        ...

    def encoder(self) -> dict[str, Any]:
        """FFmpeg options of an encoder of guests: P pictures, key pictures only where forced."""
        ...

    def welcome(self, entry: bytes) -> Guest:
        """Take the parameter sets of an encoder's sample entry in."""
        ...

    def seats(
        self, keys: Sequence[bool], follower: Entry | None, near: Sequence[Entry]
    ) -> list[Seat]:
        """Seats of an encoded stretch: ``keys`` says which of its pictures are IDR pictures.
        ``follower`` is of the approach to what is copied behind it.

        ``near`` are the key pictures that may stand right before and behind it.
        """
        ...

    def host(self, guest: Guest, sample: bytes, seat: Seat) -> bytes:
        """An encoder's sample as one of this stream."""
        ...

    def allow_gaps(self) -> None:
        """A copied stretch begins at an open group of pictures."""
        ...

    def entry(self, reorder: int) -> bytes:
        """The sample entry of the whole; pictures are moved by up to ``reorder``."""
        ...
