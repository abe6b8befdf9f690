"""The public state of broadcasts, made once for all who ask within a second."""

from __future__ import annotations

from typing import Final

from api.answers import BroadcastPublic, find_broadcast, utc
from api.keep import Keep
from api.pages.cards import is_gone
from api.pages.watching import broadcast_page
from api.sentences import Problem
from infra.database import Database

PUBLIC_SECONDS: Final = 1
_GONE: Final = b""
"""Kept like an answer: all who were watching ask at once when something is taken down."""


class PublicState:
    """JSON bodies by broadcast."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._keep = Keep()

    def at_hand(self, broadcast_id: str) -> bytes | None:
        """The body, if it was made just now; never waits."""
        found = self._keep.peek(broadcast_id)
        return found if isinstance(found, bytes) and found != _GONE else None

    def of(self, broadcast_id: str) -> bytes:
        """The body. Raises Problem for what is not there."""
        body = self._keep.get(broadcast_id, PUBLIC_SECONDS, lambda: self._make(broadcast_id))
        if body is None:
            raise Problem("broadcast_not_found")
        if body == _GONE:
            raise Problem("taken_down")
        return body

    def forget_all(self) -> None:
        """Something was taken down, or put back."""
        self._keep.forget_all()

    def _make(self, broadcast_id: str) -> bytes | None:
        with self._database.transaction() as session:
            broadcast = find_broadcast(session, broadcast_id)
            if broadcast is None or broadcast.state == "cancelled":
                return None
            if is_gone(session, broadcast):
                return _GONE
            view = broadcast_page(session, broadcast)
        answer = BroadcastPublic(
            id=broadcast.id,
            title=broadcast.title,
            description=broadcast.description,
            state=view.card.state,
            mode=broadcast.mode,
            centre=view.card.centre,
            starts_at=utc(view.card.starts_at),
            ended_at=utc(broadcast.ended_at),
            watch_url=f"/b/{broadcast.id}",
            hls_url=view.hls_url,
            replay_hls_url=view.replay_hls_url,
            poster_url=view.card.poster_url,
            viewers=view.card.viewers,
        )
        return answer.model_dump_json().encode()
