"""The edge's library: what the catalogue says of a media token, rows and nothing else.

A path names nothing by itself: token, rendition and number are looked up, and only what is
registered has a place in storage.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy import select
from sqlalchemy.orm import Session

from api.edge.library import LibraryAway, LibraryEntry, MediaFile
from catalog.models import Broadcast, Extra, InitSection, Rendition, Segment, Work
from catalog.records.sight import off_air
from infra.database import Database, DatabaseAway
from transcode.hls.replay import Replay
from vod.posters import poster_key
from vod.replay import Outline, head_from_catalogue, is_final, is_growing, outline
from vod.shelf import ReplayShelf

T = TypeVar("T")

_NAME: Final = re.compile(
    r"init(?P<init>\d{1,6})\.mp4|s(?P<segment>\d{1,10})\.m4s|(?P<joined>replay\d{1,6}\.mp4)",
    re.ASCII,
)


class CatalogueLibrary:
    """`Library` on PostgreSQL. Safe to call from several threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._shelf = ReplayShelf()

    def _ask(self, work: Callable[[Session], T]) -> T:
        try:
            with self._database.transaction() as session:
                return work(session)
        except DatabaseAway as error:
            raise LibraryAway(str(error).splitlines()[0]) from error

    def lookup(self, token: str) -> LibraryEntry | None:
        """What is known of a media token; None when nothing is."""
        return self._ask(lambda session: _lookup(session, token))

    def off_air(self, tokens: tuple[str, ...]) -> set[str]:
        """Those of these tokens that are taken down or withdrawn."""
        return self._ask(lambda session: off_air(session, tokens))

    def replay(self, token: str, rendition: str) -> Replay | None:
        """The recording with the segments of one rendition."""

        def work(session: Session) -> Replay | None:
            found = self._shelf.media(session, token, rendition)
            return found.replay if found else None

        return self._ask(work)

    def media(self, token: str, rendition: str, name: str) -> MediaFile | None:
        """Where a file lies in storage; None for what is not registered."""
        if not rendition:
            return self._ask(lambda session: _whole_file(session, token, name))
        return self._ask(lambda session: _rendition_file(session, token, rendition, name))


def _lookup(session: Session, token: str) -> LibraryEntry | None:
    if off_air(session, (token,)):
        return LibraryEntry("blocked", final=True)
    broadcast = session.scalars(
        select(Broadcast).where(Broadcast.media_token == token)
    ).one_or_none()
    whole = outline(session, token)
    replay = whole.replay() if whole else None
    if broadcast is None:
        return _lookup_work(session, token, whole)
    if broadcast.state == "ready":
        return LibraryEntry("waiting")
    if broadcast.state == "cancelled":
        return LibraryEntry("ended", final=True)
    # One that has just ended is live until its last segments are registered. A finished one has
    # an ended head: the last minute, for players whose live playlist has not said so yet.
    final = is_final(session, broadcast)
    head = None
    if whole is not None:
        head = head_from_catalogue(session, broadcast, time.time_ns() // 1000)
        if head.state == "waiting":
            head = None
    state = head.state if head else ("ended" if final else "waiting")
    return LibraryEntry(state, head=head, replay=replay, final=final)


def _lookup_work(session: Session, token: str, whole: Outline | None) -> LibraryEntry | None:
    """A clip, or an uploaded work, which can be watched as far as it is made."""
    if whole is not None:
        return LibraryEntry("ended", replay=whole.replay(), final=whole.final)
    work = session.scalars(select(Work).where(Work.media_token == token)).one_or_none()
    return LibraryEntry("waiting") if work is not None and is_growing(work) else None


def _whole_file(session: Session, token: str, name: str) -> MediaFile | None:
    work = session.scalars(
        select(Work).where(Work.media_token == token, Work.state == "ready")
    ).one_or_none()
    if name == "download.mp4":
        return MediaFile(work.mp4_key) if work and work.mp4_key else None
    if name.startswith("storyboard"):
        return _storyboard_file(session, token, name)
    if name != "poster.jpg":
        return None
    if work is not None and work.poster_key:
        return MediaFile(work.poster_key)
    known = session.scalar(select(Broadcast.id).where(Broadcast.media_token == token))
    return MediaFile(poster_key(token)) if known else None


def _storyboard_file(session: Session, token: str, name: str) -> MediaFile | None:
    board = session.get(Extra, (token, "storyboard"))
    if board is None:
        return None
    key = f"{board.storage_key}/{name}"
    if name.endswith(".vtt"):
        # Never by a link to another place: pages read text of their own site only.
        return MediaFile(key, 0, board.facts["vtt_bytes"])
    number = int(name[len("storyboard-") : -len(".jpg")])
    return MediaFile(key) if 0 < number <= board.facts["sheets"] else None


def _rendition_file(session: Session, token: str, rendition: str, name: str) -> MediaFile | None:
    match = _NAME.fullmatch(name)
    row = session.scalars(
        select(Rendition).where(Rendition.token == token, Rendition.name == rendition)
    ).one_or_none()
    if match is None or row is None:
        return None
    if match["joined"]:
        key = row.compacted_key
        return MediaFile(key) if key and key.rsplit("/", 1)[-1] == name else None
    found: InitSection | Segment | None
    if match["init"]:
        found = session.get(InitSection, (row.id, int(match["init"])))
    else:
        found = session.get(Segment, (row.id, int(match["segment"])))
    if found is None:
        return None
    within = found.byte_offset is not None if match["init"] else bool(found.byte_offset)
    if within or found.storage_key == row.compacted_key:
        # Its bytes are a stretch of a file: of one that was joined while old playlists still name
        # it alone, or of a chunk's.
        return MediaFile(found.storage_key, found.byte_offset or 0, found.size_bytes)
    return MediaFile(found.storage_key)
