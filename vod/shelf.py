"""Replay lists of a web process, kept within a bound: of one that grew only the new rows are read.

A show of three hours has 5 400 rows a rung, and while it is on air its replay is asked for again
every few seconds.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Final

from sqlalchemy.orm import Session

from vod.replay import Media, grown, media, outline

SHELF_SEGMENTS: Final = 200_000
"""Rows a process keeps for replays: about nine three-hour shows in four rungs, some 60 MB."""


class ReplayShelf:
    """Safe to use from several threads; two that miss at once both read, and one result stays."""

    def __init__(self, *, max_segments: int = SHELF_SEGMENTS) -> None:
        self._max_segments = max_segments
        self._held = 0
        self._kept: OrderedDict[tuple[str, str], Media] = OrderedDict()
        self._lock = threading.Lock()

    def media(self, session: Session, token: str, name: str) -> Media | None:
        """A rendition's replay as it stands now; None when there is none of that name."""
        whole = outline(session, token)
        if whole is None:
            return None
        key = token, name
        with self._lock:
            kept = self._kept.get(key)
        if kept is not None and kept.outline == whole:
            found: Media | None = kept
        else:
            found = grown(session, kept, whole) if kept is not None else None
            if found is None:
                found = media(session, whole, name)
        if found is not None:
            self._keep(key, found)
        return found

    def _keep(self, key: tuple[str, str], found: Media) -> None:
        with self._lock:
            before = self._kept.pop(key, None)
            self._held += len(found.rendition.segments)
            self._held -= len(before.rendition.segments) if before else 0
            self._kept[key] = found
            while self._held > self._max_segments and len(self._kept) > 1:
                _, dropped = self._kept.popitem(last=False)
                self._held -= len(dropped.rendition.segments)
