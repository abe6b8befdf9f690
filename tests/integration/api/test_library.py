"""The edge's library on rows: what each state of a broadcast and a clip gives the edge."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import pytest
from sqlalchemy.orm import Session

from api.edge.library import LibraryAway, MediaFile
from api.library import CatalogueLibrary
from catalog.air import RenditionSpec, ensure_init, ensure_rendition
from catalog.broadcasts import end_broadcast, finalize
from catalog.models import Rendition, Segment, Work
from infra.database import Database
from tests.support.stage import SECOND, Stage, make_stage

NOW = dt.datetime(2026, 2, 2, 12, 0, tzinfo=dt.UTC)


@dataclass
class Shown:
    token: str
    broadcast_id: str
    rendition_id: int


def fill(session: Session, stage: Stage, segments: int) -> Shown:
    """A live broadcast with one rung whose segments are registered."""
    token = stage.broadcast.media_token
    stage.broadcast.target_duration, stage.broadcast.part_target_us = 2, 500_000
    take = stage.open()
    stage.slots(take, stage.run(take), [2 * SECOND] * segments)
    rung = ensure_rendition(
        session, token, RenditionSpec("v720", "video", False, "avc1.64001f", 1280, 720, 25.0)
    )
    ensure_init(
        session, rung, sha256="0" * 64, storage_key_pattern=f"live/{token}/v720/init{{n}}.mp4",
        size=700,
    )  # fmt: skip
    for msn in range(segments):
        session.add(
            Segment(
                rendition_id=rung,
                msn=msn,
                init_number=0,
                storage_key=f"live/{token}/v720/{msn:08d}.m4s",
                size_bytes=1000 + msn,
                duration_ticks=2 * SECOND,
                parts=[],
            )
        )
    session.flush()
    return Shown(token, stage.broadcast.id, rung)


@pytest.fixture
def shown(database: Database) -> Shown:
    with database.transaction() as session:
        return fill(session, make_stage(session), 40)


@pytest.fixture
def library(database: Database) -> CatalogueLibrary:
    return CatalogueLibrary(database)


def test_unknown_and_waiting(database: Database, library: CatalogueLibrary) -> None:
    assert library.lookup("x" * 22) is None
    with database.transaction() as session:
        token = make_stage(session).broadcast.media_token
    entry = library.lookup(token)
    assert entry is not None
    assert (entry.state, entry.head, entry.replay) == ("waiting", None, None)
    assert library.replay(token, "v720") is None


def test_the_live_edge_is_rebuilt_from_rows(shown: Shown, library: CatalogueLibrary) -> None:
    entry = library.lookup(shown.token)
    assert entry is not None
    assert entry.head is not None
    assert (entry.state, entry.final) == ("live", False)
    assert (entry.head.target_duration, entry.head.version) == (2, 0)
    (rung,) = entry.head.renditions
    # A minute of window, the newest segment last.
    assert [s.msn for s in rung.segments] == list(range(10, 40))
    assert rung.next_msn == 40
    replay = library.replay(shown.token, "v720")
    assert replay is not None
    found = replay.rendition("v720")
    assert found is not None
    assert len(found.segments) == 40
    assert replay.ended is False
    assert library.replay(shown.token, "v999") is None


def test_after_the_end_it_is_the_replay(
    database: Database, shown: Shown, library: CatalogueLibrary
) -> None:
    with database.transaction() as session:
        end_broadcast(session, shown.broadcast_id, NOW)
    # Its last segments are still to come.
    entry = library.lookup(shown.token)
    assert entry is not None
    assert entry.head is not None
    assert (entry.state, entry.head.state, entry.final) == ("live", "live", False)
    with database.transaction() as session:
        finalize(session, shown.broadcast_id, NOW)
    entry = library.lookup(shown.token)
    assert entry is not None
    assert entry.replay is not None
    assert entry.head is not None
    assert (entry.state, entry.head.state, entry.final) == ("ended", "ended", True)
    assert entry.head.renditions[0].next_msn == 40
    replay = library.replay(shown.token, "v720")
    assert replay is not None
    assert replay.ended is True


def test_only_what_is_registered_has_a_place(
    database: Database, shown: Shown, library: CatalogueLibrary
) -> None:
    token = shown.token
    assert library.media(token, "v720", "s7.m4s") == MediaFile(f"live/{token}/v720/00000007.m4s")
    assert library.media(token, "v720", "init0.mp4") == MediaFile(f"live/{token}/v720/init0.mp4")
    assert library.media(token, "", "poster.jpg") == MediaFile(f"live/{token}/poster.jpg")
    for rendition, name in (
        ("v720", "s40.m4s"),
        ("v720", "init1.mp4"),
        ("v720", "replay1.mp4"),
        ("v720", "../../secret"),
        ("v720", "s7.m4s\n"),
        ("a", "s7.m4s"),
        ("", "download.mp4"),
        ("", "passwd"),
    ):
        assert library.media(token, rendition, name) is None, (rendition, name)
    assert library.media("y" * 22, "v720", "s7.m4s") is None
    # Joined into one file: its name, and the stretch of it an old playlist still asks for.
    with database.transaction() as session:
        key = f"live/{token}/v720/replay1.mp4"
        session.get_one(Rendition, shown.rendition_id).compacted_key = key
        segment = session.get_one(Segment, (shown.rendition_id, 7))
        segment.storage_key, segment.byte_offset = key, 12_345
    assert library.media(token, "v720", "replay1.mp4") == MediaFile(key)
    assert library.media(token, "v720", "replay2.mp4") is None
    assert library.media(token, "v720", "s7.m4s") == MediaFile(key, 12_345, 1007)


def test_a_withdrawn_work_is_blocked(
    database: Database, shown: Shown, library: CatalogueLibrary
) -> None:
    with database.transaction() as session:
        stage = make_stage(session)
        session.add(
            Work(
                id="clip1",
                centre_id=stage.broadcast.centre_id,
                kind="clip",
                state="withdrawn",
                title="x",
                media_token="z" * 22,
                mp4_key="works/z/download.mp4",
            )
        )
    entry = library.lookup("z" * 22)
    assert entry is not None
    assert entry.state == "blocked"
    assert library.media("z" * 22, "", "download.mp4") is None


def test_a_database_that_is_away_is_said_so() -> None:
    away = Database("postgresql+psycopg://xitai@/xitai?host=/nonexistent", name="away")
    with pytest.raises(LibraryAway):
        CatalogueLibrary(away).lookup("x" * 22)
    away.close()
