"""Replay playlists of a web process, each written once a revision and kept within a bound."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sqlalchemy.orm import Session

from infra.database import Database
from transcode.hls.playlist import write_multivariant, write_replay
from vod.replay import Media, Outline, grown, media, outline

SHELF_SEGMENTS: Final = 200_000
"""Rows a process keeps for replays: about nine three-hour shows in four rungs, some 60 MB."""

SHELF_OUTLINES: Final = 2_000
FRESH_SECONDS: Final = 0.25
"""How long an outline is taken as it is: the most by which the end of a show is seen late."""


@dataclass(frozen=True, slots=True)
class Playlist:
    """A playlist's bytes, and its revision for an ETag."""

    data: bytes
    revision: str
    final: bool
    """It changes once more at most (when it is compacted)."""


@dataclass(frozen=True, slots=True)
class _Kept:
    media: Media
    playlist: Playlist


class ReplayShelf:
    """Replay playlists of a web process, each written once a revision.

    Safe to use from several threads; two that miss at once both read, and one result stays.
    All methods may block on the database and raise ``infra.database.DatabaseAway``.
    """

    def __init__(
        self,
        database: Database,
        *,
        max_segments: int = SHELF_SEGMENTS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._max_segments = max_segments
        self._clock = clock
        self._held = 0
        self._kept: OrderedDict[tuple[str, str], _Kept] = OrderedDict()
        self._outlines: OrderedDict[str, tuple[float, Outline | None]] = OrderedDict()
        self._lock = threading.Lock()

    def outline(self, token: str) -> Outline | None:
        """The replay in outline, at most FRESH_SECONDS old."""
        fresh = self._fresh(token)
        if fresh is None:
            with self._database.transaction() as session:
                fresh = (self._look(session, token),)
        return fresh[0]

    def multivariant(self, token: str) -> bytes | None:
        """The multivariant playlist over ``replay.m3u8``; None when there is no replay."""
        whole = self.outline(token)
        return (
            None if whole is None else write_multivariant(whole.replay().renditions, "replay.m3u8")
        )

    def playlist(self, token: str, name: str) -> Playlist | None:
        """A rendition's playlist; None when there is none of that name."""
        whole = self.outline(token)
        if whole is None:
            return None
        with self._lock:
            kept = self._kept.get((token, name))
            if kept is not None:
                self._kept.move_to_end((token, name))
        if kept is not None and kept.media.outline == whole:
            return kept.playlist
        with self._database.transaction() as session:
            found = grown(session, kept.media, whole) if kept is not None else None
            if found is None:
                found = media(session, whole, name)
        if found is None:
            return None
        data = write_replay(found.replay, found.rendition)
        made = _Kept(found, Playlist(data, found.revision, whole.final))
        self._keep((token, name), made)
        return made.playlist

    def _fresh(self, token: str) -> tuple[Outline | None] | None:
        with self._lock:
            looked = self._outlines.get(token)
        if looked is not None and self._clock() - looked[0] < FRESH_SECONDS:
            return (looked[1],)
        return None

    def _look(self, session: Session, token: str) -> Outline | None:
        at = self._clock()
        found = outline(session, token)
        with self._lock:
            self._outlines[token] = (at, found)
            self._outlines.move_to_end(token)
            while len(self._outlines) > SHELF_OUTLINES:
                self._outlines.popitem(last=False)
        return found

    def _keep(self, key: tuple[str, str], made: _Kept) -> None:
        with self._lock:
            before = self._kept.pop(key, None)
            self._held += len(made.media.rendition.segments)
            self._held -= len(before.media.rendition.segments) if before else 0
            self._kept[key] = made
            while self._held > self._max_segments and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self._held -= len(dropped.media.rendition.segments)
