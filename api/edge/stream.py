"""One token at the edge: its newest head, the playlists made of it, and who waits for the next."""

from __future__ import annotations

from api.edge.http import BRIEF, Ready, Reply, playlist_reply
from api.edge.library import EntryState, LibraryEntry
from api.edge.waiting import Group
from transcode.hls.head import AirHead
from transcode.hls.playlist import write_live, write_multivariant, write_plain


class Stream:
    """One token: its newest head, the playlists made of it, and who waits for the next."""

    def __init__(self, token: str, now: float) -> None:
        self.token = token
        self.head: AirHead | None = None
        self.from_redis = False
        self.version = -1
        """Of the newest head that came through Redis."""
        self.entry: LibraryEntry | None = None
        self.looked_up = 0.0
        """When the catalogue was last asked."""
        self.changed = now
        """When the head last changed."""
        self.used = now
        self.blocked = False
        self.sight_at = float("-inf")
        """When it was last said whether it is off the air."""
        self.replies: dict[tuple[str, str], Reply] = {}
        self.groups: dict[tuple[str, int, int | None], Group] = {}
        self.ready: dict[bytes, Ready] = {}

    @property
    def off_air(self) -> bool:
        """Taken down: nothing of it is to be sent any more."""
        return self.blocked or (self.entry is not None and self.entry.state == "blocked")

    @property
    def state(self) -> EntryState | None:
        """What viewers are to be told; None when nothing is known."""
        if self.off_air:
            return "blocked"
        if self.head is not None:
            return self.head.state
        return self.entry.state if self.entry else None

    def live_playlist(self, rendition: str, form: str) -> Reply | None:
        """``form``: live, delta or plain."""
        key = (rendition, form)
        reply = self.replies.get(key)
        if reply is None and self.head is not None:
            found = self.head.rendition(rendition)
            if found is None or not (found.segments or found.parts):
                return None
            if form == "plain":
                body = write_plain(self.head, found)
            else:
                body = write_live(self.head, found, skip=form == "delta")
            reply = self.replies[key] = playlist_reply(body)
        return reply

    def multivariant(self, name: str) -> Reply | None:
        """``name``: main, plain or replay. After the end, all are the replay."""
        key = ("", name)
        reply = self.replies.get(key)
        if reply is None:
            head, replay = self.head, self.entry.replay if self.entry else None
            ended = self.state == "ended" or head is None
            if replay is not None and (name == "replay" or ended):
                cache = BRIEF if self.entry and self.entry.final else None
                body = write_multivariant(replay.renditions, "replay.m3u8")
                reply = playlist_reply(body, cache) if cache else playlist_reply(body)
            elif head is not None and name != "replay":
                listed = [r for r in head.renditions if r.segments or r.parts]
                if not listed:
                    return None
                file = "plain.m3u8" if name == "plain" else "live.m3u8"
                reply = playlist_reply(write_multivariant(listed, file))
            else:
                return None
            self.replies[key] = reply
        return reply
