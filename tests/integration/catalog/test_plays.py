"""Plays on a real PostgreSQL: nothing lost, nothing doubled, and the counts of COUNTING.md."""

from __future__ import annotations

import datetime as dt
import threading
from dataclasses import replace
from itertools import count

import pytest
from sqlalchemy import func, select, text

from catalog.errors import Refused
from catalog.models import PlayEvent
from catalog.plays import (
    BATCH_MAX,
    Client,
    Counts,
    Event,
    counts,
    keep,
    prepare,
    surrogate,
    watching_now,
)
from infra.database import Database
from tests.support.stage import make_stage

HERE = Client(surrogate="s" * 32, user_agent="Mozilla/5.0")
_ids = count(1)


def event(item: str, play: str, kind: str, **more: object) -> Event:
    fields: dict[str, object] = {
        "event_id": f"event-{next(_ids):08}",
        "item_id": item,
        "play_id": f"the-play-{play}",
        "kind": kind,
        "client_at_ms": 1_000_000,
        "viewer_id": "viewer-one",
    }
    return Event(**(fields | more))  # type: ignore[arg-type]


def put(
    database: Database, *events: Event, client: Client = HERE, seconds_ago: float = 0
) -> tuple[int, int, int]:
    """Take events in as if they had come ``seconds_ago``."""
    with database.transaction() as session:
        (taken,) = keep(session, [prepare(events, client)])
        session.execute(
            text(
                "UPDATE play_events SET received_at = now() - make_interval(secs => :ago)"
                " WHERE event_id = ANY(:ids)"
            ),
            {"ago": seconds_ago, "ids": [e.event_id for e in events]},
        )
    return taken.kept, taken.known, taken.ignored


@pytest.fixture
def item(database: Database) -> str:
    with database.transaction() as session:
        return make_stage(session).broadcast.id


def count_of(database: Database, item: str) -> Counts:
    with database.transaction() as session:
        return counts(session, [item])[item]


def test_a_batch_sent_twice_is_kept_once(database: Database, item: str) -> None:
    batch = [event(item, "a", "start"), event(item, "a", "heartbeat", watched_ms=10_000)]
    assert put(database, *batch) == (2, 0, 0)
    assert put(database, *batch) == (0, 2, 0)
    assert put(database, *batch, event(item, "a", "end", watched_ms=12_000)) == (1, 2, 0)
    assert put(database, event("nothing", "a", "view")) == (0, 0, 1)
    found = count_of(database, item)
    assert (found.play_starts, found.effective_plays, found.watched_ms) == (1, 1, 12_000)


def test_many_at_once_with_the_same_ids_lose_and_double_nothing(
    database: Database, item: str
) -> None:
    shared = [event(item, f"p{n}", "start", viewer_id=f"viewer-{n}") for n in range(40)]

    def send(offset: int) -> None:
        order = shared[offset:] + shared[:offset]
        for at in range(0, len(order), 10):
            put(database, *order[at : at + 10])

    threads = [threading.Thread(target=send, args=(7 * n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.transaction() as session:
        assert session.scalar(select(func.count()).select_from(PlayEvent)) == 40
    assert count_of(database, item).play_starts == 40


def test_starts_within_half_a_minute_of_each_other_are_one(database: Database, item: str) -> None:
    for ago, play in ((200, "a"), (175, "b"), (150, "c"), (110, "d")):
        put(database, event(item, play, "start"), seconds_ago=ago)
    # a, b and c follow each other within 30 s (COUNTER R5); d does not.
    assert count_of(database, item).play_starts == 2
    # The last of such a run was watched: the run is one effective play.
    put(database, event(item, "c", "heartbeat", watched_ms=5_000), seconds_ago=140)
    found = count_of(database, item)
    assert (found.play_starts, found.effective_plays) == (2, 1)
    # Another viewer's start in the same seconds is another's.
    put(database, event(item, "e", "start", viewer_id="viewer-two"), seconds_ago=175)
    assert count_of(database, item).play_starts == 3


def test_a_start_that_waited_on_the_phone_counts_when_it_happened(
    database: Database, item: str
) -> None:
    waited = Client("s" * 32, "x", sent_at_ms=1_000_000 + 600_000)
    put(database, event(item, "a", "start"), client=waited)
    put(database, event(item, "b", "start"))
    # Both arrive in the same second; they were ten minutes apart.
    assert count_of(database, item).play_starts == 2


@pytest.mark.parametrize(
    ("watched", "rate", "effective"),
    [(3_000, 1000, 0), (3_001, 1000, 1), (60_000, 3000, 0), (60_000, 2999, 1), (0, 1000, 0)],
)
def test_effective_is_over_three_seconds_below_triple_speed(
    database: Database, item: str, watched: int, rate: int, effective: int
) -> None:
    put(
        database,
        event(item, "a", "start"),
        event(item, "a", "heartbeat", watched_ms=watched, rate_permille=rate),
    )
    found = count_of(database, item)
    assert (found.play_starts, found.effective_plays) == (1, effective)


def test_time_at_high_speed_does_not_make_a_play_effective(database: Database, item: str) -> None:
    put(
        database,
        event(item, "a", "start"),
        event(item, "a", "heartbeat", watched_ms=30_000, rate_permille=4000),
        event(item, "a", "heartbeat", watched_ms=32_000, rate_permille=1000),
    )
    assert count_of(database, item).effective_plays == 0


def test_a_lost_heartbeat_loses_no_watch_time(database: Database, item: str) -> None:
    put(database, event(item, "a", "start"), event(item, "a", "end", watched_ms=95_000))
    assert count_of(database, item).watched_ms == 95_000


def test_devices_views_and_peak(database: Database, item: str) -> None:
    for number, (begin, end) in enumerate([(300, 200), (250, 150), (220, 210), (100, 50)]):
        who = f"viewer-{number}"
        play = f"p{number}"
        put(database, event(item, play, "view", viewer_id=who), seconds_ago=begin + 5)
        put(database, event(item, play, "start", viewer_id=who), seconds_ago=begin)
        beat = event(item, play, "heartbeat", viewer_id=who, watched_ms=9_000)
        put(database, beat, seconds_ago=end)
    # A second window of the first viewer is no second viewer.
    put(database, event(item, "p9", "start", viewer_id="viewer-0"), seconds_ago=240)
    put(database, event(item, "p9", "end", viewer_id="viewer-0"), seconds_ago=205)
    # One who only looked at the page, without an id.
    put(database, event(item, "p8", "view", viewer_id=None), seconds_ago=10)
    found = count_of(database, item)
    assert (found.page_views, found.devices, found.peak_viewers) == (5, 5, 3)


def test_watching_now_is_the_last_half_minute(database: Database, item: str) -> None:
    put(database, event(item, "a", "heartbeat"), seconds_ago=31)
    put(database, event(item, "b", "heartbeat", viewer_id="viewer-two"), seconds_ago=20)
    put(database, event(item, "c", "heartbeat", viewer_id="viewer-three"), seconds_ago=20)
    put(database, event(item, "c", "end", viewer_id="viewer-three"), seconds_ago=10)
    put(database, event(item, "d", "view", viewer_id="viewer-four"))
    with database.transaction() as session:
        assert watching_now(session, [item]) == {item: 1}


def test_items_nobody_opened_count_zero(database: Database, item: str) -> None:
    assert count_of(database, item) == Counts()


@pytest.mark.parametrize(
    "changes",
    [
        {"event_id": "x"},
        {"event_id": "x" * 37},
        {"event_id": "a b c d e f"},
        {"play_id": ""},
        {"item_id": "x" * 33},
        {"viewer_id": "äöüäöüäöü"},
        {"kind": "bite"},
        {"position_ms": -1},
        {"watched_ms": 2**60},
        {"client_at_ms": 2**53},
        {"rate_permille": 20_000},
        {"rendition": "v" * 21},
        {"details": {"note": "x" * 2_000}},
    ],
)
def test_what_is_out_of_bounds_keeps_back_no_other(
    database: Database, item: str, changes: dict[str, object]
) -> None:
    good = event(item, "a", "start")
    assert put(database, good, replace(good, **({"event_id": "event-odd"} | changes))) == (1, 0, 1)  # type: ignore[arg-type]
    assert count_of(database, item).play_starts == 1


def test_batches_written_together_each_hear_their_own(database: Database, item: str) -> None:
    first, second, third = (event(item, play, "start") for play in "abc")
    with database.transaction() as session:
        taken = keep(
            session,
            [
                prepare([first, second], HERE),
                prepare([second, third], HERE),
                prepare([], HERE),
                prepare([event("nothing", "a", "view")], HERE),
            ],
        )
    assert [(t.kept, t.known, t.ignored) for t in taken] == [
        (2, 0, 0),
        (1, 1, 0),
        (0, 0, 0),
        (0, 0, 1),
    ]


def test_a_batch_has_a_limit(database: Database, item: str) -> None:
    with pytest.raises(Refused):
        put(database, *[event(item, "a", "heartbeat") for _ in range(BATCH_MAX + 1)])


def test_text_postgresql_cannot_keep_is_cleaned(database: Database, item: str) -> None:
    odd = Client("s" * 32, "Mozilla\x00\ud800/5.0")
    details: dict[str, str | int | float | bool | None] = {"a\x00": "b\x00c", "n": 1}
    assert put(database, event(item, "a", "view", details=details), client=odd)[0] == 1
    with database.transaction() as session:
        row = session.scalars(select(PlayEvent)).one()
    assert row.user_agent == "Mozilla/5.0"
    assert row.details == {"a": "bc", "n": 1, "late_ms": 0}


def test_a_surrogate_says_nothing_once_its_salt_is_gone() -> None:
    noon = dt.datetime(2026, 2, 2, 4, 30, tzinfo=dt.UTC)
    first = surrogate(b"salt", "203.0.113.9", "Mozilla", noon)
    assert first == surrogate(b"salt", "203.0.113.9", "Mozilla", noon + dt.timedelta(minutes=20))
    others = {
        surrogate(b"pepper", "203.0.113.9", "Mozilla", noon),
        surrogate(b"salt", "203.0.113.8", "Mozilla", noon),
        surrogate(b"salt", "203.0.113.9", "Mozilla/2", noon),
        surrogate(b"salt", "203.0.113.9", "Mozilla", noon + dt.timedelta(hours=1)),
        # The boundary between address and agent cannot be shifted.
        surrogate(b"salt", "203.0.113.9M", "ozilla", noon),
    }
    assert first not in others
    assert len(others) == 5
    assert "203" not in first
