"""What the edge asks of the catalogue, and the news it hears of it: the contract between them."""

from __future__ import annotations

from typing import Literal, Protocol

import msgspec

from transcode.hls.head import AirHead
from transcode.hls.replay import Replay

EntryState = Literal["waiting", "live", "interrupted", "ended", "blocked"]


class LibraryEntry(msgspec.Struct, frozen=True):
    """What the catalogue says of a token.

    ``head``: the live edge rebuilt from registered segments, for a broadcast that has one; with
    ``final``, an ended one.
    ``replay``: its recording so far, renditions without their segments; None when nothing is
    recorded. ``final``: nothing of it will change soon.
    """

    state: EntryState
    head: AirHead | None = None
    replay: Replay | None = None
    final: bool = False


class MediaFile(msgspec.Struct, frozen=True):
    """Where bytes lie in storage. ``size`` None: the whole object from ``offset`` 0."""

    key: str
    offset: int = 0
    size: int | None = None


class SightNews(msgspec.Struct, frozen=True):
    """What is said on the edges' channel: media tokens out of sight, and in sight again."""

    off: tuple[str, ...] = ()
    on: tuple[str, ...] = ()


class LibraryAway(Exception):
    """The catalogue cannot be asked now."""


class Library(Protocol):
    """The catalogue, as the edge asks it. Called from threads; may raise LibraryAway."""

    def lookup(self, token: str) -> LibraryEntry | None:
        """What is known of a media token; None when nothing is."""

    def replay(self, token: str, rendition: str) -> Replay | None:
        """The recording with the segments of that one rendition; None when there is none."""

    def media(self, token: str, rendition: str, name: str) -> MediaFile | None:
        """Where a file lies: ``init3.mp4``, ``s17.m4s``, ``replay1.mp4``, and with an empty
        rendition ``poster.jpg``, ``download.mp4``, ``storyboard.vtt`` and ``storyboard-1.jpg``.
        Only what is registered."""

    def off_air(self, tokens: tuple[str, ...]) -> set[str]:
        """Those of these tokens that are taken down."""
