"""Works made of works: whose footage they are, counted once, and what goes down with what."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.audit import Actor
from catalog.ledger import micro_ticks
from catalog.lineage import derived
from catalog.minutes import footage_ticks
from catalog.models import AirItem, Resource, Work
from catalog.records import takedown
from catalog.records.service import register
from catalog.records.sight import off_air
from catalog.resources import clip_footage, register_clip, timeline_of, timeline_of_upload
from infra.database import Database
from tests.support.stage import SECOND, Stage, make_stage

BOSS = Actor(user_id=None, name="馆长", role="admin")
OUT = dt.datetime(2026, 3, 1, 2, 0, tzinfo=dt.UTC)


@dataclass
class Shelf:
    """Two shows of ten seconds in one centre, and an upload with a hole in its middle."""

    session: Session
    first: Stage
    second: Stage
    first_clock: str
    second_clock: str
    upload: Work

    def clip(self, key: str, edits: list[list[object]], **more: object) -> Work:
        """A ready clip of these pieces, registered."""
        shows = {s.broadcast.id for s in (self.first, self.second)} & {str(e[0]) for e in edits}
        one = len(shows) == 1 and all(e[0] in shows for e in edits)
        work = Work(
            id=key, centre_id=self.upload.centre_id, kind="clip", state="ready", title=key,
            media_token=f"{key:_<22}", edit_list=edits, published_at=OUT,
            broadcast_id=shows.pop() if one else None,
            duration_ticks=sum(int(str(e[2])) - int(str(e[1])) for e in edits), **more,
        )  # fmt: skip
        self.session.add(work)
        self.session.flush()
        assert register_clip(self.session, work) is not None
        return work


@pytest.fixture
def shelf(database: Database) -> Iterator[Shelf]:
    with database.transaction() as session:
        first = make_stage(session)
        second = make_stage(session, title="春晚", centre=first.broadcast.centre)
        clocks = []
        for stage in (first, second):
            take = stage.open()
            stage.slots(take, stage.run(take), [2 * SECOND] * 5)
            clocks.append(timeline_of(take.id))
        upload = Work(
            id="upload", centre_id=first.broadcast.centre_id, kind="upload", state="ready",
            title="老录像", media_token="u" * 22, duration_ticks=10 * SECOND,
        )  # fmt: skip
        session.add(upload)
        for msn in range(5):
            session.add(
                AirItem(
                    token=upload.media_token, msn=msn, source="feed", take_start_ms=0,
                    start_ticks=msn * 2 * SECOND, duration_ticks=2 * SECOND, pdt_us=0,
                    gap=msn == 2,
                )
            )  # fmt: skip
        session.flush()
        register(
            session, "work_id", "upload", facts={"duration_ticks": 10 * SECOND},
            first={
                "kind": "finished", "title": "老录像", "event_date": dt.date(2026, 3, 1),
                "centre_id": upload.centre_id,
            },
        )  # fmt: skip
        yield Shelf(session, first, second, clocks[0], clocks[1], upload)


def test_a_clip_of_a_clip_is_the_first_ones_footage(shelf: Shelf) -> None:
    show = shelf.first.broadcast.id
    one = shelf.clip("one", [[show, SECOND, 9 * SECOND]])
    two = shelf.clip("two", [["one", 2 * SECOND, 5 * SECOND]])
    three = shelf.clip("three", [["two", SECOND, 100 * SECOND]])
    clock = shelf.first_clock
    assert clip_footage(shelf.session, two) == {clock: ((3 * SECOND, 6 * SECOND),)}
    # Not past the end of what it was cut from, however far its own edit list says.
    assert clip_footage(shelf.session, three) == {clock: ((4 * SECOND, 6 * SECOND),)}
    # Three records, and not a tick more footage than the longest of them.
    assert micro_ticks(shelf.session, 2026) == (3, footage_ticks(clip_footage(shelf.session, one)))


def test_it_begins_where_its_first_picture_was(shelf: Shelf) -> None:
    show = shelf.first.broadcast.id
    late = SECOND + 1800
    making = {"pieces": [[0, show, late, 5 * SECOND + 3600]]}
    shelf.clip("one", [[show, SECOND, 5 * SECOND]], making=making)
    two = shelf.clip("two", [["one", SECOND, 4 * SECOND + 1800]])
    # Its end is that of the picture before the out point: what was not asked for is no footage.
    assert clip_footage(shelf.session, two) == {shelf.first_clock: ((late + SECOND, 5 * SECOND),)}


def test_pieces_of_several_sources_and_a_hole_in_one(shelf: Shelf) -> None:
    shows = shelf.first.broadcast.id, shelf.second.broadcast.id
    inner = shelf.clip("inner", [[shows[1], 0, 2 * SECOND], ["upload", 3 * SECOND, 8 * SECOND]])
    outer = shelf.clip("outer", [["inner", SECOND, 7 * SECOND], [shows[0], SECOND, 2 * SECOND]])
    uploaded = timeline_of_upload("upload")
    assert clip_footage(shelf.session, inner) == {
        shelf.second_clock: ((0, 2 * SECOND),),
        uploaded: ((3 * SECOND, 4 * SECOND), (6 * SECOND, 8 * SECOND)),
    }
    assert clip_footage(shelf.session, outer) == {
        shelf.second_clock: ((SECOND, 2 * SECOND),),
        uploaded: ((3 * SECOND, 4 * SECOND), (6 * SECOND, 8 * SECOND)),
        shelf.first_clock: ((SECOND, 2 * SECOND),),
    }
    record = shelf.session.scalars(select(Resource).where(Resource.work_id == "outer")).one()
    made_of = shelf.session.scalars(select(Resource).where(Resource.work_id == "inner")).one()
    assert record.lineage == [made_of.id]


def test_what_leads_nowhere_is_no_footage(shelf: Shelf) -> None:
    lost = shelf.clip("lost", [["nobody", 0, SECOND]])
    ring = shelf.clip("ring", [["ring", 0, SECOND]])
    assert clip_footage(shelf.session, lost) == {}
    assert clip_footage(shelf.session, ring) == {}
    assert derived(shelf.session, ["ring"]) == []


def test_all_that_shows_a_broadcast_goes_down_with_it(shelf: Shelf) -> None:
    shows = shelf.first.broadcast.id, shelf.second.broadcast.id
    shelf.clip("one", [[shows[0], 0, SECOND]])
    both = shelf.clip("both", [[shows[1], 0, SECOND], ["one", 0, SECOND]])
    form = shelf.clip("form", [[shows[1], 0, SECOND]], form="vertical", form_of_id="both")
    other = shelf.clip("other", [[shows[1], 0, SECOND]])
    making = shelf.clip("making", [["both", 0, SECOND]])
    making.state = "making"
    shelf.session.flush()
    assert derived(shelf.session, [shows[0]]) == ["both", "form", "making", "one"]

    takedown.take_down(shelf.session, BOSS, broadcast_id=shows[0], why="字幕有误")
    tokens = [work.media_token for work in (both, form, other, making)]
    assert off_air(shelf.session, tokens) == {w.media_token for w in (both, form, making)}
    record = shelf.session.scalars(select(Resource).where(Resource.work_id == "both")).one()
    assert (both.state, record.state, other.state) == ("withdrawn", "withdrawn", "ready")
    # One that is finished only now shows the same pictures.
    making.state = "ready"
    shelf.session.flush()
    assert off_air(shelf.session, [making.media_token]) == {making.media_token}

    takedown.put_back(shelf.session, BOSS, broadcast_id=shows[0])
    assert off_air(shelf.session, tokens) == set()
    assert (both.state, record.state) == ("ready", "draft")


def test_what_was_cut_from_an_upload_goes_down_with_it(shelf: Shelf) -> None:
    clip = shelf.clip("clip", [["upload", 0, SECOND]])
    own = shelf.clip("own", [["clip", 0, SECOND]])
    takedown.take_down(shelf.session, BOSS, work_id="own", why="错了")
    takedown.take_down(shelf.session, BOSS, work_id="upload", why="字幕有误")
    assert {w.state for w in (shelf.upload, clip, own)} == {"withdrawn"}
    takedown.put_back(shelf.session, BOSS, work_id="upload")
    # What had been taken down before stays so.
    assert (shelf.upload.state, clip.state, own.state) == ("ready", "ready", "withdrawn")
