"""Hard cases of COUNTING.md on a real PostgreSQL: the same footage twice, years, cut-offs."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
from sqlalchemy.orm import Session

from catalog.audit import SYSTEM
from catalog.centres import add_centre
from catalog.errors import Refused
from catalog.ledger import micro_ticks
from catalog.minutes import TICKS_A_MINUTE
from catalog.models import Broadcast, Centre, PastBroadcast, Plan, PlayEvent, Resource
from catalog.plans.compute import end_of, report_of
from catalog.plans.report import PlanReport
from catalog.plans.service import assign_units, create_plan, set_targets
from catalog.returns.freeze import corrections, freeze
from infra.database import Database
from tests.integration.catalog.test_plans import broadcast, figures, of, resource

YEAR_END = end_of(dt.date(2020, 12, 31))
MEASURES = {
    "shows": {"measure": "broadcasts"},
    "linked": {"measure": "linked"},
    "final": {"measure": "finished_minutes"},
    "original": {"measure": "finished_minutes", "origin": "original"},
    "optimised": {"measure": "finished_minutes", "origin": "optimised"},
    "raw": {"measure": "raw_minutes"},
    "images": {"measure": "images"},
    "views": {"measure": "clicks", "figure": "page_views"},
}


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    with database.transaction() as session:
        yield session


@pytest.fixture
def stood(session: Session) -> tuple[Plan, Centre, Centre, Centre]:
    """A prefecture and two counties, each asked every measure."""
    root = add_centre(session, "西双版纳州文化馆", level="prefecture")
    one, two = (add_centre(session, f"{name}文化馆", parent=root) for name in ("景洪市", "勐海县"))
    plan = create_plan(session, SYSTEM, root, code="all", title="全部口径", year=2020)
    row = {"indicator": "口径", "unit": "条", "value": 2}
    rows = [
        row | {"code": f"{mark}.{code}", "who": who, "query": query}
        for mark, who in (("z", "州文化馆"), ("x", "县（市）文化馆"))
        for code, query in MEASURES.items()
    ]
    set_targets(session, SYSTEM, plan.id, rows)
    assign_units(session, SYSTEM, plan.id)
    return plan, root, one, two


def reported(
    session: Session, plan: Plan, root: Centre, *, year: int = 2020, cut_off: dt.datetime = YEAR_END
) -> PlanReport:
    return report_of(session, plan, root, year, cut_off=cut_off)


def value(report: PlanReport, centre: Centre | None, code: str) -> Fraction | None:
    """Of a centre, or (None) of the roll-up's line of the counties."""
    unit = report.total if centre is None else of(report, centre)
    found: Fraction | None = figures(unit)[code][0]
    return found


def upload(
    session: Session, centre: Centre, key: str, kind: str, minutes: int, **more: Any
) -> None:
    media = {"storage_key": f"works/{key}", "duration_ticks": minutes * TICKS_A_MINUTE}
    resource(session, centre, key, kind, more.pop("day", "2020-05-01"), **(media | more))


def test_a_unit_has_the_same_figure_in_every_report(session: Session, stood: Any) -> None:
    """Two centres hold one recording: each has it, and together they have it once."""
    plan, root, one, two = stood
    for centre in (one, two):
        made = broadcast(session, centre, 60, "2020-03-01")
        session.get_one(Resource, f"r{made.id}").sha256 = "ab" * 32
    session.flush()
    alone, whole = reported(session, plan, two), reported(session, plan, root)
    assert value(alone, two, "x.raw") == 60
    assert [value(whole, c, "x.raw") for c in (one, two, None)] == [60, 60, 60]


def test_what_was_made_here_and_handed_in_again_counts_once(session: Session, stood: Any) -> None:
    """The MP4 of a recording, or the file of a take, put into the catalogue as an upload."""
    plan, root, one, two = stood
    made = broadcast(session, one, 60, "2020-03-01")
    session.get_one(Resource, f"f{made.id}").sha256 = "aa" * 32
    session.get_one(Resource, f"r{made.id}").sha256 = "bb" * 32
    upload(session, one, "mp4", "finished", 60, sha256="aa" * 32)
    upload(session, one, "mp4r", "raw", 60, sha256="aa" * 32)
    upload(session, two, "flv", "raw", 60, sha256="bb" * 32)
    whole = reported(session, plan, root)
    assert [value(whole, one, code) for code in ("x.final", "x.raw")] == [60, 60]
    assert value(whole, two, "x.raw") == 60
    assert [value(whole, None, code) for code in ("x.final", "x.raw")] == [60, 60]


def test_last_years_file_is_no_new_footage(session: Session, stood: Any) -> None:
    plan, root, one, two = stood
    upload(session, one, "old", "finished", 30, day="2019-05-01", sha256="cc" * 32)
    upload(session, one, "again", "finished", 30, sha256="cc" * 32)
    upload(session, two, "other", "finished", 30, sha256="cc" * 32)
    whole = reported(session, plan, root)
    assert [value(whole, c, "x.final") for c in (one, two)] == [0, 30]
    assert value(reported(session, plan, root, year=2019), one, "x.final") == 30


def test_another_version_of_a_master_is_the_same_work(session: Session, stood: Any) -> None:
    plan, root, one, _ = stood
    made = broadcast(session, one, 60, "2020-03-01")
    mine = {"broadcast_id": made.id, "origin": "original"}
    upload(session, one, "draft", "finished", 90, first_published_at=None, **mine)
    assert value(reported(session, plan, root), one, "x.final") == 60
    # With titles it is longer, and that counts; the rest is the same evening.
    upload(session, one, "titles", "finished", 63, **mine)
    upload(session, one, "short", "finished", 20, **mine)
    assert value(reported(session, plan, root), one, "x.final") == 63
    again = {"broadcast_id": made.id, "origin": "optimised"}
    upload(session, one, "cut", "finished", 25, **again)
    upload(session, one, "cut2", "finished", 10, **again)
    report = reported(session, plan, root)
    codes = ("x.original", "x.optimised", "x.final")
    assert [value(report, one, code) for code in codes] == [63, 35, 63]
    [row] = of(report, one).broadcasts
    assert row.finished_ticks == 63 * TICKS_A_MINUTE


def test_midnight_ends_the_day_before(session: Session, stood: Any) -> None:
    plan, root, one, _ = stood
    session.add(
        PastBroadcast(
            id="past", centre_id=one.id, held_on=dt.date(2020, 7, 1), title="七一", mode="live",
            finished_ticks=TICKS_A_MINUTE,
        )
    )  # fmt: skip
    upload(session, one, "up", "finished", 5, day="2020-07-01")
    for at, shows, minutes in (
        ("2020-07-01T00:00+08:00", 0, 0),
        ("2020-07-01T00:01+08:00", 1, 6),
    ):
        report = reported(session, plan, root, cut_off=dt.datetime.fromisoformat(at))
        assert [value(report, one, c) for c in ("x.shows", "x.final")] == [shows, minutes], at


def test_plays_after_the_cut_off_are_not_of_it(session: Session, stood: Any) -> None:
    plan, root, one, _ = stood
    made = broadcast(session, one, 10, "2020-03-01")
    for number, day in enumerate(("2020-03-01", "2021-02-01", "2021-03-01")):
        session.add(
            PlayEvent(
                event_id=f"event-{number}", item_id=made.id, play_id=f"play-{number}",
                viewer_id=f"viewer-{number}", surrogate="s", kind="view", client_at_ms=0,
                position_ms=0, watched_ms=0, live=False,
                received_at=dt.datetime.fromisoformat(f"{day}T12:00+08:00"),
            )
        )  # fmt: skip
    session.flush()
    for at, views in (("2020-12-31", 1), ("2021-02-10", 2), ("2021-04-01", 3)):
        report = reported(session, plan, root, cut_off=end_of(dt.date.fromisoformat(at)))
        assert value(report, one, "x.views") == views
        assert report.total.broadcasts[0].clicks == 0  # effective plays: nobody watched


def relay(session: Session, centre: Centre, origin: Broadcast, **more: Any) -> Broadcast:
    fields: dict[str, Any] = {"started_at": None, "ended_at": None, "state": "ready"}
    return broadcast(
        session, centre, 0, "2020-01-01", standing="linked", origin_id=origin.id, **(fields | more)
    )


def test_a_relay_is_of_the_day_of_what_it_relays(session: Session, stood: Any) -> None:
    """It is typed in when somebody has time, after New Year too."""
    plan, root, one, two = stood
    show = broadcast(session, one, 30, "2020-12-31")
    relay(session, two, show, created_at=dt.datetime(2021, 1, 4, tzinfo=dt.UTC))
    report = reported(session, plan, root)
    assert [value(report, two, c) for c in ("x.linked", "x.shows", "x.final")] == [1, 0, 0]
    later = reported(session, plan, root, year=2021, cut_off=end_of(dt.date(2021, 12, 31)))
    assert value(later, two, "x.linked") == 0


@pytest.mark.parametrize(
    "more", [{"standing": "test"}, {"state": "cancelled"}, {"off_air_at": YEAR_END}]
)
def test_a_relay_of_what_counts_nothing_is_nothing(
    session: Session, stood: Any, more: dict[str, Any]
) -> None:
    plan, root, one, two = stood
    show = broadcast(session, one, 30, "2020-06-01", **more)
    relay(session, two, show)
    report = reported(session, plan, root)
    assert [value(report, c, "x.linked") for c in (two, None)] == [0, 0]


def test_the_minutes_workbook_counts_micro_videos_as_the_plan_does(
    session: Session, stood: Any
) -> None:
    _, _, one, _ = stood
    upload(session, one, "out", "micro", 2, origin="optimised", sha256="dd" * 32)
    upload(session, one, "again", "micro", 2, origin="optimised", sha256="dd" * 32)
    upload(session, one, "draft", "micro", 3, first_published_at=None)
    upload(session, one, "long", "micro", 16)
    assert micro_ticks(session, 2020) == (2, 2 * TICKS_A_MINUTE)


def test_a_return_of_a_year_that_has_not_begun(session: Session, stood: Any) -> None:
    plan, root, _, _ = stood
    now = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)
    for year, at in ((2030, now), (2026, dt.datetime(1979, 1, 1, tzinfo=dt.UTC))):
        with pytest.raises(Refused, match="return_cut_off_early"):
            freeze(session, SYSTEM, plan, root, year, at, now=now)


def test_a_corrected_title_or_second_is_a_correction(session: Session, stood: Any) -> None:
    plan, root, one, _ = stood
    show = PastBroadcast(
        id="past", centre_id=one.id, held_on=dt.date(2020, 5, 1), title="五一", mode="live",
        finished_ticks=TICKS_A_MINUTE,
    )  # fmt: skip
    session.add(show)
    now = dt.datetime(2021, 1, 1, tzinfo=dt.UTC)
    freeze(session, SYSTEM, plan, root, 2020, YEAR_END, now=now)
    show.title = "五一晚会"
    session.flush()
    kept = freeze(session, SYSTEM, plan, root, 2020, YEAR_END, "名称写错", now=now)
    [found] = corrections(session, kept)
    assert (found.what, found.old[:4], found.new[:6]) == ("broadcast", "《五一》", "《五一晚会》")
    show.finished_ticks += 1
    session.flush()
    kept = freeze(session, SYSTEM, plan, root, 2020, YEAR_END, "时长", now=now)
    found = next(d for d in corrections(session, kept) if d.what == "broadcast")
    assert "成片1分钟" in found.old
    assert "成片1.0000001851" in found.new


def test_what_came_of_a_test_counts_nothing(session: Session, stood: Any) -> None:
    plan, root, one, _ = stood
    made = broadcast(session, one, 10, "2020-03-01")
    still = {"ledger": "broadcast", "broadcast_id": made.id, "confirmed_at": YEAR_END}
    resource(session, one, "still", "image", "2020-03-01", **still)
    upload(session, one, "clip", "micro", 2, broadcast_id=made.id, origin="optimised")
    assert [value(reported(session, plan, root), one, c) for c in ("x.images", "x.optimised")] == [
        1, 2,
    ]  # fmt: skip
    made.standing = "test"
    session.flush()
    assert [value(reported(session, plan, root), one, c) for c in ("x.images", "x.optimised")] == [
        0, 0,
    ]  # fmt: skip
