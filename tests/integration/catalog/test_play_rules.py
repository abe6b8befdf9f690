"""The rules of COUNTING on a real PostgreSQL: who is left out and shown, what is complete, what
belongs to which day; and a roll-up that changes nothing but the time it takes."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from catalog import play_rules as rules
from catalog.clock import CHINA
from catalog.models import AirItem, Broadcast, PlayDay, PlayViewer
from catalog.play_days import roll_up
from catalog.play_rules import is_robot
from catalog.play_sums import days
from catalog.plays import Counts, Event, counts, watching_now
from infra.database import Database
from tests.support.plays import BROWSER, NOON, came, event, watch
from tests.support.stage import SECOND, make_stage

HEADLESS = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/140.0 Safari/537.36"
SPIDER = "Mozilla/5.0 (compatible; Baiduspider/2.0; +http://www.baidu.com/search/spider.html)"
LENGTH = 100
"""Seconds of the show."""


@pytest.fixture
def item(database: Database) -> str:
    """A show of 100 s that is over, with a slate of 20 s in the middle nobody has to see."""
    with database.transaction() as session:
        stage = make_stage(session)
        take = stage.open()
        stage.slots(take, stage.run(take), [LENGTH * SECOND])
        session.add(
            AirItem(
                token=stage.broadcast.media_token, msn=1, source="slate", take_start_ms=0,
                start_ticks=LENGTH * SECOND, duration_ticks=20 * SECOND, pdt_us=0,
            )
        )  # fmt: skip
        stage.broadcast.state = "ended"
        return stage.broadcast.id


def count_of(session: Session, item: str) -> Counts:
    return counts(session, [item])[item]


def later(seconds: float, *, since: dt.datetime = NOON) -> dt.datetime:
    return since + dt.timedelta(seconds=seconds)


# --- who is left out, and shown ----------------------------------------------------------------


@pytest.mark.parametrize("agent", [SPIDER, "curl/8.1", "python-httpx/0.28"])
def test_robots_are_kept_and_shown_and_count_nothing(
    database: Database, item: str, agent: str
) -> None:
    with database.transaction() as session:
        watch(session, item, "a", agent=agent, viewer="robot-one", seconds=60)
        watch(session, item, "b", viewer="viewer-two", seconds=10)
        found = count_of(session, item)
        assert (found.page_views, found.play_starts, found.devices) == (1, 1, 1)
        assert (found.watched_ms, found.peak_viewers) == (10_000, 1)
        assert found.excluded == {
            "robot": {"page_views": 1, "play_starts": 1, "watched_ms": 60_000}
        }


def test_phones_in_wechat_are_no_robots() -> None:
    assert not is_robot(BROWSER)
    assert not is_robot(HEADLESS), "what drives it is not known"
    assert not is_robot(
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like"
        " Gecko) Mobile/15E148 MicroMessenger/8.0.42(0x18002a2f) NetType/WIFI Language/zh_CN"
    )


def test_robots_are_not_watching_now(database: Database, item: str) -> None:
    now = dt.datetime.now(dt.UTC)
    with database.transaction() as session:
        came(session, event(item, "a", "heartbeat", viewer_id="robot-one"), at=now, agent=SPIDER)
        came(session, event(item, "b", "heartbeat", viewer_id="viewer-two"), at=now)
        assert watching_now(session, [item]) == {item: 1}


def test_the_sixty_first_act_within_a_minute_is_excluded(database: Database, item: str) -> None:
    with database.transaction() as session:
        other = make_stage(session).broadcast.id
        # 61 acts in 60 s, over two items: the limit is the client's, not the item's.
        for number in range(61):
            on = other if number % 2 else item
            came(session, event(on, f"a{number}", "view"), at=later(number * 0.98))
        came(session, event(item, "calm", "view", viewer_id="viewer-two"), at=later(30))
        both = counts(session, [item, other])
        assert (both[item].page_views, both[other].page_views) == (31, 30)
        assert both[item].excluded == {"rate": {"page_views": 1, "play_starts": 0, "watched_ms": 0}}
        assert both[other].excluded == {}


def test_sixty_acts_in_a_minute_and_the_next_a_minute_on_are_all_counted(
    database: Database, item: str
) -> None:
    with database.transaction() as session:
        for number in range(121):
            came(session, event(item, f"a{number}", "view"), at=later(number))
        assert count_of(session, item).page_views == 121
        assert count_of(session, item).excluded == {}


def test_a_play_whose_start_is_excluded_counts_nothing(database: Database, item: str) -> None:
    with database.transaction() as session:
        for number in range(60):
            came(session, event(item, f"a{number}", "view"), at=later(number / 10))
        watch(session, item, "b", at=later(10), seconds=30)
        found = count_of(session, item)
        assert (found.page_views, found.play_starts, found.watched_ms) == (60, 0, 0)
        assert found.excluded == {"rate": {"page_views": 1, "play_starts": 1, "watched_ms": 30_000}}


def test_acts_beyond_ten_thousand_a_day_are_excluded(database: Database, item: str) -> None:
    with database.transaction() as session:
        # One every 8 s is never too fast; the day ends after 10 800 of them.
        session.execute(
            text(
                "INSERT INTO play_events (event_id, item_id, play_id, viewer_id, surrogate, kind,"
                " received_at, client_at_ms, position_ms, watched_ms, live, user_agent)"
                " SELECT 'many-' || n, :item, 'many-play-' || n, 'viewer-one', 's', 'view',"
                " :at + n * interval '8 seconds', 0, 0, 0, false, 'Mozilla/5.0'"
                " FROM generate_series(0, 10999) AS n"
            ),
            {"item": item, "at": dt.datetime(2026, 3, 5, tzinfo=CHINA)},
        )
        first, second = days(session, [item])
        assert (first.page_views, first.excluded["rate"]["page_views"]) == (10_000, 800)
        # The next day has its own ten thousand.
        assert (second.page_views, second.excluded) == (200, {})


def test_one_address_with_an_id_for_every_act_is_one_client(database: Database, item: str) -> None:
    with database.transaction() as session:
        crowd = [
            event(item, f"a{n}", "view", viewer_id=f"viewer-{n:06}")
            for n in range(rules.CROWD_ACTS_A_MINUTE + 20)
        ]
        came(session, *crowd)
        found = count_of(session, item)
        assert found.page_views == rules.CROWD_ACTS_A_MINUTE
        assert found.excluded["rate"]["page_views"] == 20


def test_folded_starts_are_shown(database: Database, item: str) -> None:
    with database.transaction() as session:
        for ago, play in ((0, "a"), (25, "b"), (50, "c"), (90, "d")):
            came(session, event(item, play, "start"), at=later(ago))
        found = count_of(session, item)
        assert found.play_starts == 2
        assert found.excluded == {"double_click": {"play_starts": 2}}


# --- completion and presence -------------------------------------------------------------------


def seen(
    item: str, *steps: tuple[str, float, float], live: bool = False, rate: int = 1000
) -> list[Event]:
    """Events of a play: (kind, watched seconds, position in seconds)."""
    return [
        event(item, "a", kind, watched_ms=round(watched * 1000), position_ms=round(at * 1000),
              client_at_ms=1_000_000 + number, live=live, rate_permille=rate)
        for number, (kind, watched, at) in enumerate(steps)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("steps", "live", "rate", "completed"),
    [
        ([("start", 0, 0), ("end", 90, 90)], False, 1000, 1),
        ([("start", 0, 0), ("end", 89.9, 89.9)], False, 1000, 0),
        # The same half twice is half of it.
        ([("start", 0, 0), ("seek", 50, 0), ("end", 100, 50)], False, 1000, 0),
        # Both halves, the second first.
        ([("start", 0, 0), ("seek", 0, 50), ("seek", 50, 0), ("end", 95, 45)], False, 1000, 1),
        # Jumping to the end is not seeing it.
        ([("start", 0, 0), ("seek", 1, 99), ("end", 2, 100)], False, 1000, 0),
        # At double speed half the time shows all of it.
        ([("start", 0, 0), ("end", 45, 90)], False, 2000, 1),
        ([("start", 0, 0), ("end", 44, 88)], False, 2000, 0),
        # Whoever followed it live has seen as much as went by.
        ([("start", 0, 500), ("end", 92, 592)], True, 1000, 1),
        ([("start", 0, 500), ("end", 60, 560)], True, 1000, 0),
    ],
)
def test_complete_is_nine_tenths_seen(
    database: Database,
    item: str,
    steps: list[tuple[str, float, float]],
    live: bool,
    rate: int,
    completed: int,
) -> None:
    with database.transaction() as session:
        came(session, *seen(item, *steps, live=live, rate=rate))
        assert count_of(session, item).completed == completed


def test_nothing_is_complete_before_the_show_is_over(database: Database, item: str) -> None:
    with database.transaction() as session:
        session.execute(update(Broadcast).values(state="live"))
        watch(session, item, "a", seconds=200, live=True)
        assert count_of(session, item).completed == 0
        roll_up(session)
    with database.transaction() as session:
        # When it ends the days it had are worked out again.
        now = dt.datetime.now(dt.UTC)
        session.execute(update(Broadcast).values(state="ended", ended_at=now, finalized_at=now))
    with database.transaction() as session:
        assert count_of(session, item).completed == 1
        assert roll_up(session) == 1
        assert session.scalars(select(PlayDay.completed)).one() == 1


def test_a_long_rest_is_no_presence(database: Database, item: str) -> None:
    with database.transaction() as session:
        came(session, event(item, "a", "start"), at=NOON)
        came(session, event(item, "a", "pause", watched_ms=30_000), at=later(30))
        came(session, event(item, "a", "heartbeat", watched_ms=40_000), at=later(7200))
        watch(session, item, "b", viewer="viewer-two", at=later(3600), seconds=60)
        assert count_of(session, item).peak_viewers == 1
        watch(session, item, "c", viewer="viewer-three", at=later(20), seconds=60)
        assert count_of(session, item).peak_viewers == 2


# --- days --------------------------------------------------------------------------------------

EVE = dt.datetime(2026, 12, 31, 23, 30, tzinfo=CHINA)


def test_a_play_across_midnight_belongs_to_the_day_it_began(database: Database, item: str) -> None:
    with database.transaction() as session:
        watch(session, item, "a", at=EVE, seconds=3600, beats=300, live=True)
        watch(session, item, "b", at=later(2400, since=EVE), viewer="viewer-two", seconds=600)
        old, new = days(session, [item])
        assert (old.day, new.day) == (dt.date(2026, 12, 31), dt.date(2027, 1, 1))
        assert (old.play_starts, old.watched_ms, old.peak_viewers) == (1, 3_600_000, 1)
        assert (new.play_starts, new.watched_ms, new.peak_viewers) == (1, 600_000, 2)
        only = counts(session, [item], until=dt.date(2026, 12, 31))[item]
        assert (only.play_starts, only.watched_ms, only.devices) == (1, 3_600_000, 1)
        rolled(session, item)


def test_starts_on_both_sides_of_midnight_are_one_of_the_old_day(
    database: Database, item: str
) -> None:
    with database.transaction() as session:
        close = EVE + dt.timedelta(minutes=29, seconds=50)
        came(session, event(item, "a", "start"), at=close)
        came(session, event(item, "b", "start"), at=later(15, since=close))
        assert roll_up(session) == 2
        came(session, event(item, "b", "end", watched_ms=9_000), at=later(25, since=close))
        # Beacons of the past come to this test only: a real one is dated when it is received.
        session.execute(text("UPDATE play_marks SET rolled_to = :at"), {"at": close})
        old, new = days(session, [item])
        assert (old.play_starts, old.effective_plays) == (1, 1)
        assert (new.play_starts, new.effective_plays, new.watched_ms) == (0, 0, 9_000)
        rolled(session, item)


def test_devices_of_a_period_are_not_the_sum_of_its_days(database: Database, item: str) -> None:
    with database.transaction() as session:
        for day in range(3):
            watch(session, item, f"a{day}", at=NOON + dt.timedelta(days=day), seconds=5)
        watch(session, item, "b", viewer="viewer-two", seconds=5)
        assert [day.devices for day in days(session, [item])] == [2, 1, 1]
        assert count_of(session, item).devices == 2
        since = (NOON + dt.timedelta(days=1)).date()
        assert counts(session, [item], since=since)[item].devices == 1
        rolled(session, item)


def rolled(session: Session, item: str) -> None:
    """The figures are the same from the beacons, from rows, and from rows made anew."""
    before = count_of(session, item), days(session, [item])
    roll_up(session)
    rows = snapshot(session)
    assert (count_of(session, item), days(session, [item])) == before
    assert roll_up(session) == 0
    assert roll_up(session, dt.date(2026, 1, 1), dt.date(2027, 12, 31)) == 0
    assert snapshot(session) == rows
    # Only the rows are left to read: they alone say the same.
    session.execute(text("UPDATE play_marks SET rolled_to = now() + interval '10 minutes'"))
    assert (count_of(session, item), days(session, [item])) == before


def snapshot(session: Session) -> list[object]:
    by_day = session.execute(select(PlayDay.__table__).order_by(PlayDay.item_id, PlayDay.day))
    met = session.execute(
        select(PlayViewer.__table__).order_by(PlayViewer.day, PlayViewer.viewer, PlayViewer.item_id)
    )
    return [*by_day, *met]


def test_a_wrong_row_is_put_right_by_a_roll_up_of_its_day(database: Database, item: str) -> None:
    with database.transaction() as session:
        watch(session, item, "a")
        roll_up(session)
        session.execute(text("UPDATE play_marks SET rolled_to = now() + interval '10 minutes'"))
        session.execute(update(PlayDay).values(play_starts=999))
        session.add(PlayDay(item_id="ghost", day=NOON.date(), rule_version="x"))
        session.flush()
        assert roll_up(session) == 0
        assert roll_up(session, NOON.date(), NOON.date()) == 2
        assert count_of(session, item).play_starts == 1
        assert roll_up(session, NOON.date(), NOON.date()) == 0


def test_beacons_after_the_roll_up_count_at_once(database: Database, item: str) -> None:
    now = dt.datetime.now(dt.UTC)
    with database.transaction() as session:
        watch(session, item, "a")
        roll_up(session)
        came(session, event(item, "b", "start", viewer_id="viewer-two"), at=now)
        # One that waited on a phone for twenty hours belongs to the day it happened.
        late = event(item, "c", "start", viewer_id="viewer-three")
        came(session, late, at=now, sent_at_ms=1_000_000 + 20 * 3_600_000)
        assert (count_of(session, item).play_starts, count_of(session, item).devices) == (3, 3)
        happened = (now - dt.timedelta(hours=20)).astimezone(CHINA).date()
        # In the evening that is the same day as the one that came at once.
        there = 1 + (happened == now.astimezone(CHINA).date())
        assert next(d for d in days(session, [item]) if d.day == happened).play_starts == there
        rolled(session, item)


def test_what_a_client_did_elsewhere_reaches_the_rows_of_all(database: Database, item: str) -> None:
    with database.transaction() as session:
        other = make_stage(session).broadcast.id
        came(session, event(item, "z", "view"), at=later(59))
        roll_up(session)
        assert count_of(session, item).page_views == 1
        # Sixty before it come in late: now it is the sixty-first.
        views = [event(other, f"a{n}", "view") for n in range(60)]
        came(session, *views, at=later(1))
        session.execute(text("UPDATE play_marks SET rolled_to = :at"), {"at": NOON})
        roll_up(session)
        session.execute(text("UPDATE play_marks SET rolled_to = now() + interval '10 minutes'"))
        assert count_of(session, item).page_views == 0
        assert count_of(session, item).excluded["rate"]["page_views"] == 1


# --- any audience ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Act:
    """One play of somebody: when (s after 23:50 of a day), how long, with what."""

    viewer: int
    start: int
    watched: int
    robot: bool
    view: bool


acts = st.lists(
    st.builds(
        Act,
        viewer=st.integers(0, 3),
        start=st.integers(0, 1_500),
        watched=st.sampled_from([0, 3, 4, 20, 89, 90, 300]),
        robot=st.booleans(),
        view=st.booleans(),
    ),
    max_size=12,
)


def expected(acts: list[Act]) -> dict[str, int]:
    """The rules once more, as simply as they can be said; no rate: nobody here is that fast."""
    people = [act for act in acts if not act.robot]
    runs, latest = 0, defaultdict[int, float](lambda: float("-inf"))
    good = complete = 0
    order = sorted(range(len(acts)), key=lambda at: (acts[at].start, f"play-{at:03}"))
    open_run: dict[int, list[Act]] = {}
    done: list[list[Act]] = []
    for at in order:
        act = acts[at]
        if act.robot:
            continue
        if act.start - latest[act.viewer] > rules.SAME_START_SECONDS:
            runs += 1
            open_run[act.viewer] = []
            done.append(open_run[act.viewer])
        open_run[act.viewer].append(act)
        latest[act.viewer] = act.start
    for run in done:
        good += any(act.watched > 3 for act in run)
        complete += any(act.watched >= LENGTH * 0.9 for act in run)
    moments = {act.start for act in people}
    return {
        "page_views": sum(act.view for act in people),
        "play_starts": runs,
        "effective_plays": good,
        "devices": len({act.viewer for act in people}),
        "watched_ms": sum(act.watched for act in people) * 1000,
        "completed": complete,
        "peak_viewers": max(
            (
                len({a.viewer for a in people if a.start <= moment <= a.start + a.watched})
                for moment in moments
            ),
            default=0,
        ),
    }


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(acts=acts, cut=st.integers(0, 12))
def test_any_audience_is_counted_by_the_rules_and_rolls_up_to_the_same(
    database: Database, item: str, acts: list[Act], cut: int
) -> None:
    begin = dt.datetime(2026, 5, 1, 23, 50, tzinfo=CHINA)
    with database.transaction() as session:
        for table in ("play_events", "play_days", "play_viewers", "play_marks"):
            session.execute(text(f"DELETE FROM {table}"))
        for at, act in enumerate(acts):
            if at == cut:
                roll_up(session)
                session.execute(text("UPDATE play_marks SET rolled_to = :at"), {"at": begin})
            who = f"{'robot' if act.robot else 'viewer'}-number-{act.viewer}"
            kinds = [("start", 0), ("end", act.watched)]
            if act.view:
                kinds.insert(0, ("view", 0))
            for kind, watched in kinds:
                made = event(item, f"{at:03}", kind, viewer_id=who, watched_ms=watched * 1000,
                             position_ms=watched * 1000, client_at_ms=watched)  # fmt: skip
                when = begin + dt.timedelta(seconds=act.start + watched)
                came(session, made, at=when, agent=SPIDER if act.robot else BROWSER)
        found = count_of(session, item)
        assert {name: getattr(found, name) for name in expected(acts)} == expected(acts)
        each = days(session, [item])
        for name in ("page_views", "play_starts", "effective_plays", "watched_ms", "completed"):
            assert sum(getattr(day, name) for day in each) == getattr(found, name)
        robots = [act for act in acts if act.robot]
        shown = found.excluded.get("robot", {"page_views": 0, "play_starts": 0})
        assert shown["play_starts"] == len(robots)
        assert shown["page_views"] == sum(act.view for act in robots)
        rolled(session, item)
