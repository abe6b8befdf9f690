"""The ledger on a real PostgreSQL: live figures, restarts, overlaps, years, subtrees, hashes."""

from __future__ import annotations

import datetime as dt

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from catalog.broadcasts import end_broadcast, finalize
from catalog.centres import add_centre
from catalog.ledger import broadcast_minutes, by_month, micro_ticks, totals, year_rows
from catalog.minutes import by_timeline, footage_ticks
from catalog.models import Resource, Take, Work
from catalog.resources import (
    aired_footage,
    clip_footage,
    register_clip,
    register_recording,
    register_take,
    timeline_of,
)
from infra.database import Database
from tests.support.stage import NOON_US, SECOND, Stage, make_stage

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


def finish(stage: Stage, *takes: Take) -> None:
    """End, finalise and register, as the live job does."""
    end_broadcast(stage.session, stage.broadcast.id, NOW)
    assert finalize(stage.session, stage.broadcast.id, NOW)
    stage.session.refresh(stage.broadcast)
    for take in takes:
        assert register_take(stage.session, take)
    register_recording(stage.session, stage.broadcast)


def test_figures_are_right_while_on_air(database: Database) -> None:
    with database.transaction() as session:
        stage = make_stage(session)
        take = stage.open()
        run = stage.run(take)
        stage.slots(take, run, [2 * SECOND] * 5)
        found = broadcast_minutes(session, [stage.broadcast])[stage.broadcast.id]
        assert found.finished_ticks == 10 * SECOND
        # The log may be longer; what is registered is what is proven.
        assert found.raw_ticks == 10 * SECOND
        stage.close(take, end_ms=11_240)
        found = broadcast_minutes(session, [stage.broadcast])[stage.broadcast.id]
        assert (found.finished_ticks, found.raw_ticks) == (10 * SECOND, 11_240 * 90)


def test_a_restart_that_repeats_footage_counts_it_once(database: Database) -> None:
    with database.transaction() as session:
        stage = make_stage(session)
        take = stage.open()
        stage.slots(take, stage.run(take), [2 * SECOND] * 3)
        # The second session begins a segment early: the same two seconds are aired twice.
        again = stage.run(take, from_ticks=4 * SECOND)
        stage.slots(take, again, [2 * SECOND] * 3, from_ticks=4 * SECOND)
        stage.close(take, end_ms=10_000)
        found = broadcast_minutes(session, [stage.broadcast])[stage.broadcast.id]
        assert stage.air == 12 * SECOND
        assert found.finished_ticks == 10 * SECOND == found.raw_ticks


def test_gaps_and_slates_do_not_count(database: Database) -> None:
    with database.transaction() as session:
        stage = make_stage(session)
        take = stage.open()
        stage.slots(take, stage.run(take), [2 * SECOND] * 4)
        from catalog.models import AirItem

        token = stage.broadcast.media_token
        session.get_one(AirItem, (token, 1)).gap = True
        session.get_one(AirItem, (token, 2)).source = "slate"
        session.flush()
        found = broadcast_minutes(session, [stage.broadcast])[stage.broadcast.id]
        assert found.finished_ticks == 4 * SECOND


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    st.lists(
        st.tuples(st.integers(0, 50), st.lists(st.integers(1, 40), min_size=1, max_size=6)),
        min_size=1,
        max_size=5,
    )
)
def test_the_union_in_sql_is_the_union_in_python(
    database: Database, runs: list[tuple[int, list[int]]]
) -> None:
    with database.transaction() as session:
        stage = make_stage(session)
        take = stage.open()
        expected = []
        for start, durations in runs:
            stage.slots(take, stage.run(take, from_ticks=start), durations, from_ticks=start)
            expected.append((timeline_of(take.id), start, start + sum(durations)))
        token = stage.broadcast.media_token
        assert aired_footage(session, [token])[token] == by_timeline(expected)


def test_registering_twice_is_once(database: Database) -> None:
    with database.transaction() as session:
        stage = make_stage(session)
        take = stage.open()
        run = stage.run(take)
        stage.slots(take, run, [SECOND] * 3)
        stage.close(take, end_ms=3_000)
        finish(stage, take)
        first = session.scalars(select(Resource.id).order_by(Resource.id)).all()
        # More footage turned up, as when the live job was behind: the same row grows.
        stage.slots(take, run, [SECOND], from_ticks=3 * SECOND)
        resource = register_recording(session, stage.broadcast)
        assert resource is not None
        assert resource.duration_ticks == 4 * SECOND
        register_take(session, take)
        assert session.scalars(select(Resource.id).order_by(Resource.id)).all() == first
        assert session.scalar(select(func.count()).select_from(Work)) == 1


def test_what_was_shown_was_recorded(database: Database) -> None:
    """Reordered pictures end later than their sending times say: finished never exceeds raw."""
    with database.transaction() as session:
        stage = make_stage(session)
        take = stage.open()
        stage.slots(take, stage.run(take), [SECOND] * 3)
        stage.close(take, end_ms=2_900)
        finish(stage, take)
        kinds = dict(session.execute(select(Resource.kind, Resource.duration_ticks)).all())
        assert kinds == {"finished": 3 * SECOND, "raw": 3 * SECOND}


def test_an_open_take_is_no_resource(database: Database) -> None:
    with database.transaction() as session:
        stage = make_stage(session)
        assert register_take(session, stage.open()) is None
        assert register_recording(session, stage.broadcast) is None


def test_a_clip_has_its_own_ledger_and_its_footage_is_the_takes(database: Database) -> None:
    with database.transaction() as session:
        stage = make_stage(session)
        take = stage.open()
        stage.slots(take, stage.run(take), [2 * SECOND] * 5)
        stage.close(take, end_ms=10_000)
        finish(stage, take)
        clips = []
        for number, (start, end) in enumerate([(SECOND, 4 * SECOND), (3 * SECOND, 5 * SECOND)]):
            work = Work(
                id=f"clip{number}",
                centre_id=stage.broadcast.centre_id,
                broadcast_id=stage.broadcast.id,
                kind="clip",
                state="ready",
                title="开场舞",
                media_token=f"token{number}",
                edit_list=[[stage.broadcast.id, start, end]],
                duration_ticks=end - start,
                published_at=dt.datetime(2025, 12, 31, 16, 30, tzinfo=dt.UTC),
            )
            session.add(work)
            session.flush()
            clips.append(work)
            assert register_clip(session, work)
        assert clip_footage(session, clips[0]) == {timeline_of(take.id): ((SECOND, 4 * SECOND),)}
        # 00:30 on New Year's Day in China: the year it came out in; overlapping time once.
        assert micro_ticks(session, 2026) == (2, 4 * SECOND)
        assert micro_ticks(session, 2025) == (0, 0)
        rows = year_rows(session, 2026)
        assert totals(rows).finished_ticks == 10 * SECOND


def test_a_year_is_chinas_and_a_subtree_is_a_prefix(database: Database) -> None:
    with database.transaction() as session:
        root = add_centre(session, "西双版纳州文化馆", level="prefecture")
        county = add_centre(session, "勐腊县文化馆", parent=root)
        other = add_centre(session, "昆明市文化馆", level="prefecture")
        new_year = dt.datetime(2025, 12, 31, 16, 0, tzinfo=dt.UTC)  # midnight in China
        for centre, begin in (
            (county, new_year - dt.timedelta(seconds=1)),
            (county, new_year),
            (root, new_year + dt.timedelta(days=40)),
            (other, new_year + dt.timedelta(days=41)),
        ):
            stage = make_stage(session, centre=centre)
            take = stage.open(at_us=int(begin.timestamp() * 1e6))
            stage.slots(take, stage.run(take), [60 * SECOND])
            stage.close(take, end_ms=61_000)
            finish(stage, take)
        assert totals(year_rows(session, 2025)).finished_ticks == 60 * SECOND
        assert totals(year_rows(session, 2026)).finished_ticks == 3 * 60 * SECOND
        rows = year_rows(session, 2026, centre_path=root.path)
        assert {row.centre.id for row in rows} == {root.id, county.id}
        assert totals(rows).live == 2
        assert list(by_month(rows)) == [(root.id, 2), (county.id, 1)]
        assert len(year_rows(session, 2026, centre_path=county.path)) == 1


def test_what_just_ended_is_in_the_report_already(database: Database) -> None:
    with database.transaction() as session:
        stage = make_stage(session)
        take = stage.open()
        stage.slots(take, stage.run(take), [SECOND] * 7)
        stage.close(take, end_ms=7_500)
        end_broadcast(session, stage.broadcast.id, NOW)
        (row,) = year_rows(session, 2026)
        assert (row.finished_ticks, row.raw_ticks, row.settled) == (7 * SECOND, 7_500 * 90, False)
        finish(stage, take)
        (row,) = year_rows(session, 2026)
        assert (row.finished_ticks, row.raw_ticks, row.settled) == (7 * SECOND, 7_500 * 90, True)


def test_the_same_recording_twice_counts_once(database: Database) -> None:
    with database.transaction() as session:
        centre = add_centre(session, "勐海县文化馆")
        for number in range(2):
            stage = make_stage(session, centre=centre)
            take = stage.open(at_us=NOON_US + number * 10**9)
            stage.slots(take, stage.run(take), [SECOND])
            stage.close(take, end_ms=1_000)
            take.sha256 = "ab" * 32
            finish(stage, take)
        assert [row.raw_ticks for row in year_rows(session, 2026)] == [SECOND, 0]


def test_withdrawn_counts_nothing(database: Database) -> None:
    with database.transaction() as session:
        stage = make_stage(session)
        take = stage.open()
        stage.slots(take, stage.run(take), [SECOND])
        stage.close(take, end_ms=1_000)
        finish(stage, take)
        session.scalars(
            select(Resource).where(Resource.kind == "finished")
        ).one().withdrawn_at = NOW
        session.flush()
        # Registering anew, as a restarted job does, does not bring it back.
        register_recording(session, stage.broadcast)
        (row,) = year_rows(session, 2026)
        assert (row.finished_ticks, row.raw_ticks) == (0, SECOND)


def test_gaps_between_takes_are_listed(database: Database) -> None:
    with database.transaction() as session:
        stage = make_stage(session)
        first = stage.open()
        stage.slots(first, stage.run(first), [SECOND])
        stage.close(first, end_ms=1_000)
        second = stage.open(at_us=NOON_US + 31_000_000)
        stage.slots(second, stage.run(second), [SECOND])
        stage.close(second, end_ms=1_000)
        finish(stage, first, second)
        (row,) = year_rows(session, 2026)
        assert (row.takes, row.gaps, row.gap_us) == (2, 1, 30_000_000)
        assert footage_ticks(row.finished) == 2 * SECOND
