"""Rendered replay playlists, kept for a while and within a bound."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from api.edge.http import BRIEF, Reply, playlist_reply
from api.edge.library import Library
from transcode.hls.playlist import write_replay

FINAL_SECONDS: Final = 60.0
"""How long the description of something finished is kept."""
GROWING_SECONDS: Final = 2.0
MAX_REPLAY_BYTES: Final = 64 << 20
"""Rendered replay playlists kept."""

Key = tuple[str, str]
"""(token, rendition)"""


class Replays:
    """What one process keeps of them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kept: OrderedDict[Key, tuple[float, Reply]] = OrderedDict()
        self._bytes = 0

    def at_hand(self, key: Key) -> Reply | None:
        """One that is not too old."""
        known = self._kept.get(key)
        if known is None or self._clock() >= known[0]:
            return None
        self._kept.move_to_end(key)
        return known[1]

    def keep(self, key: Key, made: tuple[bytes, bool] | None) -> Reply | None:
        """What ``render`` made, as an answer."""
        if made is None:
            return None
        body, ended = made
        reply = playlist_reply(body, BRIEF) if ended else playlist_reply(body)
        self._drop(key)
        self._kept[key] = (self._clock() + (FINAL_SECONDS if ended else GROWING_SECONDS), reply)
        self._bytes += reply.size
        while self._bytes > MAX_REPLAY_BYTES and len(self._kept) > 1:
            self._drop(next(iter(self._kept)))
        return reply

    def _drop(self, key: Key) -> None:
        old = self._kept.pop(key, None)
        if old is not None:
            self._bytes -= old[1].size


def render(library: Library, key: Key) -> tuple[bytes, bool] | None:
    """The playlist of a recording and whether it has ended; None when there is nothing of it.
    Blocks. Raises LibraryAway."""
    token, rendition = key
    replay = library.replay(token, rendition)
    found = replay.rendition(rendition) if replay else None
    if replay is None or found is None or not found.segments:
        return None
    return write_replay(replay, found), replay.ended
