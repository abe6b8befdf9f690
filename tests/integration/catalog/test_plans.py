"""Plans on a real PostgreSQL: templates, targets, units, entries, and the real return's figures."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog.audit import SYSTEM, Actor
from catalog.broadcasts import create_broadcast, end_broadcast, set_standing
from catalog.centres import add_centre
from catalog.errors import Missing, Refused
from catalog.ledger import year_rows
from catalog.minutes import TICKS_A_MINUTE
from catalog.models import (
    AuditEntry,
    Broadcast,
    Centre,
    Entry,
    PastBroadcast,
    Plan,
    PlayEvent,
    Resource,
    ResourceVersion,
)
from catalog.plans import matrix as views
from catalog.plans.amounts import number_text, rate_text
from catalog.plans.compute import end_of, monthly, report_of
from catalog.plans.entries import entries_of, set_entry, target_named, withdraw_entry
from catalog.plans.report import PlanReport, UnitReport, from_json, to_json
from catalog.plans.service import (
    assign_units,
    change_plan,
    create_plan,
    drop_target,
    get_plan,
    load_template,
    plans_seen,
    put_target,
    restore_plan,
    set_targets,
    set_units,
    target_fields,
    withdraw_plan,
)
from catalog.plans.templates import templates
from catalog.plans.units import units_of
from infra.database import Database
from tests.support.stage import SECOND, make_stage

RETURN = Path(__file__).parents[2] / "support" / "xishuangbanna-2020-part.yaml"
NEW_YEAR_2021 = dt.datetime(2020, 12, 31, 16, tzinfo=dt.UTC)
SEEN = [{"kind": "note", "text": "西文旅报〔2021〕48号"}]


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    with database.transaction() as session:
        yield session


def prefecture(session: Session) -> tuple[Centre, Centre]:
    root = add_centre(session, "西双版纳州文化馆", level="prefecture")
    return root, add_centre(session, "景洪市文化馆", parent=root)


def of(report: PlanReport, centre: Centre) -> UnitReport:
    return next(unit for unit in report.units if unit.centre_id == centre.id)


def figures(unit: UnitReport) -> dict[str, list[Any]]:
    return {one.code: [one.actual, one.target, one.met] for one in unit.lines}


# --- the real return --------------------------------------------------------------------------


def test_the_real_return_recomputes_as_printed(session: Session) -> None:
    root, county = prefecture(session)
    plan = load_template(session, SYSTEM, "chuxiong-2020", root)
    printed = yaml.safe_load(RETURN.read_text(encoding="utf-8"))
    for centre, given in zip((root, county), printed["centres"], strict=True):
        assert centre.name == given["name"]
        for name, row in given["indicators"].items():
            target = target_named(plan, centre.id, name)
            assert target is not None, name
            set_entry(session, SYSTEM, plan, centre, target.code, row["v"], evidence=SEEN)
    for row in printed["broadcasts"]:
        session.add(
            PastBroadcast(
                id=f"past{row['nr']}",
                centre_id=root.id,
                held_on=dt.date.fromisoformat(row["date"]),
                title=row["title"],
                mode={"直播": "live", "录播": "recorded"}[row["mode"]],
                finished_ticks=int(Decimal(str(row["final"])) * TICKS_A_MINUTE),
                raw_ticks=int(Decimal(str(row["raw"])) * TICKS_A_MINUTE),
                images=row["img"],
                clicks=row["clicks"],
            )
        )
    session.flush()
    report = report_of(session, plan, root, 2020, cut_off=dt.datetime.now(dt.UTC))
    for centre, given in zip((root, county), printed["centres"], strict=True):
        lines = {one.code: one for one in of(report, centre).lines}
        for name, row in given["indicators"].items():
            target = target_named(plan, centre.id, name)
            assert target is not None
            one = lines[target.code]
            assert one.rate is not None
            assert rate_text(one.rate) == row["pct"], (centre.name, name)
            assert one.count_target == row["target"]
            assert one.count == row["v"]
    # 103 + 39 + 68 + 81 + 112.7 minutes, to the last tenth; 录播 is no 直播.
    own = figures(of(report, root))
    assert own["cx.bxdwt.live"] == [3, 3, True]
    assert own["cx.bxdwt.final"] == [Fraction(4037, 10), 300, True]
    assert own["cx.bxdwt.raw"] == [402, 1200, False]
    assert own["cx.bxdwt.img"] == [320, 300, True]
    rows = report.total.broadcasts
    assert [row.nr for row in rows] == [1, 2, 3, 4, 5]
    assert number_text(Fraction(sum(row.finished_ticks for row in rows), TICKS_A_MINUTE)) == "403.7"
    assert sum(row.clicks for row in rows) == 89457 + 34832 + 24938 + 50767 + 35157
    assert from_json(to_json(report)) == report
    # The library's targets are asked of nobody here, and are not held against anyone.
    assert not any(one.who == "州图书馆" for one in report.total.lines)


# --- the ledger -------------------------------------------------------------------------------


def broadcast(session: Session, centre: Centre, minutes: int, day: str, **more: Any) -> Broadcast:
    """A finished broadcast of so many minutes, with the resources a show leaves."""
    began = dt.datetime.fromisoformat(f"{day}T20:00+08:00")
    made = create_broadcast(
        session, title=f"晚会 {day}", centre_id=centre.id, mode="live"
    ).broadcast
    made.started_at = made.ended_at = made.finalized_at = began
    made.state = "ended"
    for name, value in more.items():
        setattr(made, name, value)
    if made.standing == "own":
        for kind, origin in (("finished", "original"), ("raw", None)):
            session.add(
                Resource(
                    id=f"{kind[0]}{made.id}",
                    centre_id=centre.id,
                    kind=kind,
                    origin=origin,
                    title=made.title,
                    broadcast_id=made.id,
                    event_date=began.date(),
                    duration_ticks=minutes * TICKS_A_MINUTE,
                    intervals=[[f"take:{made.id}", 0, minutes * TICKS_A_MINUTE]],
                )
            )
    session.flush()
    return made


def resource(session: Session, centre: Centre, key: str, kind: str, day: str, **more: Any) -> None:
    at = dt.datetime.fromisoformat(f"{day}T12:00+08:00")
    fields: dict[str, Any] = {"first_published_at": at, "event_date": at.date(), "title": key}
    session.add(Resource(id=key, centre_id=centre.id, kind=kind, **(fields | more)))
    session.flush()


@pytest.mark.parametrize(("minutes", "asked"), [(59, True), (60, False)])
def test_a_show_live_for_less_than_half_its_plan_is_flagged(
    session: Session, minutes: int, asked: bool
) -> None:
    began = dt.datetime.fromisoformat("2020-03-01T20:00+08:00")
    root, _ = prefecture(session)
    plan = load_template(session, SYSTEM, "chuxiong-2020", root)
    planned = {"planned_at": began, "planned_end_at": began + dt.timedelta(hours=2)}
    show = broadcast(session, root, minutes, "2020-03-01", **planned)

    def notes() -> list[str]:
        report = report_of(session, plan, root, 2020, cut_off=NEW_YEAR_2021)
        live = next(one for one in of(report, root).lines if one.code == "cx.bxdwt.live")
        return [row.note for row in live.evidence]

    flag = f"直播；播出{minutes}分钟，不到计划120分钟的一半，请定是否算直播"
    assert notes() == [flag if asked else "直播"]
    set_standing(session, show.id, "own")
    assert notes() == ["直播"], "somebody has said"


def test_the_ledger_answers_and_linked_signals_are_one_in_the_roll_up(session: Session) -> None:
    root, county = prefecture(session)
    other = add_centre(session, "勐海县文化馆", parent=root)
    plan = load_template(session, SYSTEM, "chuxiong-2020", root)
    put_target(
        session,
        SYSTEM,
        plan.id,
        {
            "code": "relays",
            "who": "县（市）文化馆",
            "indicator": "联动直播",
            "unit": "次",
            "value": 1,
            "query": {"measure": "linked"},
        },
    )
    show = broadcast(session, root, 258, "2020-03-01")
    broadcast(session, root, 10, "2020-03-02", standing="test")
    broadcast(session, root, 10, "2020-03-03", off_air_at=NEW_YEAR_2021)
    broadcast(session, root, 10, "2019-12-31")
    for centre in (county, other):
        broadcast(session, centre, 0, "2020-03-01", standing="linked", origin_id=show.id)
    # The same show, typed from an old paper too.
    session.add(
        PastBroadcast(
            id="past",
            centre_id=root.id,
            held_on=dt.date(2020, 3, 1),
            title=show.title,
            mode="live",
            finished_ticks=TICKS_A_MINUTE,
        )
    )
    for key, sha, confirmed in (("i1", "aa", True), ("i2", "aa", True), ("i3", "bb", False)):
        resource(
            session,
            root,
            key,
            "image",
            "2020-03-01",
            ledger="broadcast",
            broadcast_id=show.id,
            sha256=sha * 32,
            confirmed_at=NEW_YEAR_2021 if confirmed else None,
        )
    resource(session, root, "n1", "news", "2020-03-05")
    resource(session, root, "n2", "news", "2020-03-05", withdrawn_at=NEW_YEAR_2021)
    resource(session, root, "n3", "news", "2019-12-31")
    resource(session, root, "a1", "audio", "2020-04-05")
    report = report_of(session, plan, root, 2020, cut_off=NEW_YEAR_2021)
    own = figures(of(report, root))
    assert own["cx.bxdwt.live"][0] == 1
    assert own["cx.bxdwt.final"] == [258, 300, False]
    final = next(one for one in of(report, root).lines if one.code == "cx.bxdwt.final")
    assert (rate_text(final.rate or Fraction()), final.owed) == ("86%", Fraction(42))
    assert [row.href for row in final.evidence] == [f"/b/{show.id}"]
    assert own["cx.bxdwt.img"][0] == 1
    assert own["cx.z.info_year"][0] == 2
    assert own["cx.z.av_share"][0] == Fraction(100, 180)
    assert figures(of(report, county))["relays"] == [1, 1, True]
    assert figures(report.total)["relays"][0] == 1
    rows = [(row.standing, row.nr, row.finished_ticks) for row in report.total.broadcasts]
    assert rows == [("own", 1, 258 * TICKS_A_MINUTE)]
    rows = [(row.standing, row.nr, row.finished_ticks) for row in of(report, county).broadcasts]
    assert rows == [("linked", 0, 0)]
    assert [row.broadcast.id for row in year_rows(session, 2020)] == [show.id]
    # As of January there was nothing yet; in another year nothing either.
    before = report_of(session, plan, root, 2020, cut_off=end_of(dt.date(2020, 1, 31)))
    assert figures(of(before, root))["cx.bxdwt.final"][0] == 0
    later = report_of(session, plan, root, 2021, cut_off=dt.datetime.now(dt.UTC))
    assert later.milestones[0].by.year == 2021
    assert figures(of(later, root))["cx.bxdwt.final"][0] == 0
    months = monthly(session, plan, root, 2020, now=NEW_YEAR_2021)
    curve = views.trend(months, root.id)
    final_curve = next(one for one in curve.lines if one.code == "cx.bxdwt.final")
    assert [str(point) for point in final_curve.points[1:3]] == ["0", "86"]
    assert len(curve.dates) == 12


def test_what_is_on_air_counts_already_and_an_upload_after_publishing(session: Session) -> None:
    root, _ = prefecture(session)
    plan = load_template(session, SYSTEM, "chuxiong-2020", root)
    stage = make_stage(session, centre=root)
    take = stage.open()
    stage.slots(take, stage.run(take), [60 * SECOND] * 3)
    now = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
    report = report_of(session, plan, root, 2026, cut_off=now)
    assert figures(of(report, root))["cx.bxdwt.final"][0] == 3
    stage.close(take, end_ms=200_000)
    end_broadcast(session, stage.broadcast.id, now)
    resource(
        session,
        root,
        "upload",
        "finished",
        "2026-02-03",
        first_published_at=None,
        storage_key="works/x",
        duration_ticks=TICKS_A_MINUTE,
    )
    query = {"measure": "finished_minutes"}
    put_target(session, SYSTEM, plan.id, {"code": "cx.bxdwt.final", "query": query})
    report = report_of(session, plan, root, 2026, cut_off=now)
    assert figures(of(report, root))["cx.bxdwt.final"][0] == 3
    session.get_one(Resource, "upload").first_published_at = dt.datetime(2026, 2, 3, tzinfo=dt.UTC)
    session.flush()
    report = report_of(session, plan, root, 2026, cut_off=now)
    assert figures(of(report, root))["cx.bxdwt.final"][0] == 4


def test_the_short_way_and_the_long_way_agree(session: Session) -> None:
    """A matrix loads less than a report with its rows; the figures are the same."""
    root, county = prefecture(session)
    plan = create_plan(session, SYSTEM, root, code="all", title="全部口径", year=2020)
    queries: dict[str, dict[str, Any]] = {
        "any": {"measure": "broadcasts", "scope": "subtree"},
        "final": {"measure": "finished_minutes", "scope": "subtree"},
        "raw": {"measure": "raw_minutes"},
        "micro": {"measure": "micro_count"},
        "images": {"measure": "images"},
        "all-images": {"measure": "images", "scope": "subtree"},
        "exhibits": {"measure": "images", "ledger": "exhibition"},
        "records": {"measure": "records"},
        "monthly": {"measure": "records"},
        "changed": {"measure": "records", "edits": True},
        "titled": {"measure": "records", "title_has": ["new"]},
        "courses": {"measure": "courses"},
        "lessons": {"measure": "lessons"},
        "views": {"measure": "clicks", "figure": "page_views"},
    }
    row = {"who": "州文化馆", "indicator": "口径", "unit": "条", "value": 2}
    months = {"monthly": {"period": "month"}}
    rows = [row | {"code": c, "query": q} | months.get(c, {}) for c, q in queries.items()]
    set_targets(session, SYSTEM, plan.id, rows)
    assign_units(session, SYSTEM, plan.id)
    own, below = (
        broadcast(session, root, 40, "2020-02-01"),
        broadcast(session, county, 2, "2020-02-02"),
    )
    again = broadcast(session, root, 0, "2020-02-09", standing="reshown", origin_id=own.id)
    for number, item in enumerate((own.id, own.id, again.id, below.id)):
        session.add(
            PlayEvent(
                event_id=f"event-{number}",
                item_id=item,
                play_id=f"play-{number}",
                viewer_id=f"viewer-{number}",
                surrogate="s",
                kind="view",
                client_at_ms=0,
                position_ms=0,
                watched_ms=0,
                live=False,
                received_at=dt.datetime(2020, 3, 1, 4, tzinfo=dt.UTC),
            )
        )
    for number in range(3):
        resource(session, root, f"new{number}", "news", f"2020-0{number + 3}-01")
    resource(session, root, "a", "audio", "2020-03-31")
    at = dt.datetime(2020, 5, 2, tzinfo=dt.UTC)
    for version, via, when in (
        (1, "desk", at),
        (2, "desk", at),
        (3, "system", at.replace(month=6)),
    ):
        session.add(ResourceVersion(resource_id="a", version=version, changes={}, via=via, at=when))
    clip = {"storage_key": "x", "duration_ticks": TICKS_A_MINUTE}
    resource(session, root, "m", "micro", "2020-03-02", **clip)
    resource(session, root, "up", "finished", "2020-03-02", **clip)
    for key, centre, ledger, sha in (
        ("i1", root, "broadcast", "aa"),
        ("i2", root, "exhibition", "aa"),
        ("i3", county, "broadcast", "aa"),
        ("i4", county, "exhibition", "bb"),
        ("i5", root, "exhibition", "cc"),
    ):
        still = {"ledger": ledger, "sha256": sha * 32, "first_published_at": None}
        resource(session, centre, key, "image", "2020-03-02", confirmed_at=at, **still)
    resource(session, root, "c", "course", "2020-03-02", technical={"lessons_planned": 2})
    for number in (1, 2):
        resource(session, root, f"l{number}", "lesson", f"2020-03-0{number}", parent_id="c")
    sums = []
    for detail in (True, False):
        found = report_of(session, plan, root, 2020, cut_off=NEW_YEAR_2021, detail=detail)
        (unit,) = found.units
        sums.append({one.code: one.actual for one in unit.lines})
        monthly_line = next(one for one in unit.lines if one.code == "monthly")
        assert "".join(str(c.actual) for c in monthly_line.cells) == "005110000000"
        if detail:
            for one in unit.lines:
                assert sum(e.amount for e in one.evidence) == one.actual or one.code == "monthly"
    assert sums[0] == sums[1]
    assert {code: int(found or 0) for code, found in sums[0].items()} == {
        "any": 2,
        "final": 43,
        "raw": 40,
        "micro": 1,
        "images": 2,
        "all-images": 3,
        "exhibits": 1,
        "records": 7,
        "monthly": 0,
        "changed": 8,
        "titled": 3,
        "courses": 1,
        "lessons": 2,
        # The re-showing's one goes to the original.
        "views": 3,
    }


# --- plans as people keep them ----------------------------------------------------------------


def test_every_shipped_plan_loads_with_one_click_and_only_once(session: Session) -> None:
    root, county = prefecture(session)
    for name, shipped in templates().items():
        plan = load_template(session, SYSTEM, name, root)
        assert len(plan.targets) == len(shipped.targets)
        report_of(session, plan, root, plan.year, cut_off=dt.datetime.now(dt.UTC))
        with pytest.raises(Refused) as twice:
            load_template(session, SYSTEM, name, root)
        assert twice.value.code == "plan_exists"
    plan = get_plan(session, SYSTEM, "chuxiong-2020")
    groups = units_of(session, plan)
    assert [c.id for c in groups["县（市）文化馆"]] == [county.id]
    assert [c.id for c in groups["全州"]] == [root.id]
    assert groups["州图书馆"] == []
    # A second plan of the year is fine under a code of its own.
    create_plan(session, SYSTEM, root, code="own-2020", title="自定计划", year=2020)
    assert [p.code for p in plans_seen(session, None, year=2020)] == ["chuxiong-2020", "own-2020"]
    withdraw_plan(session, SYSTEM, plan.id)
    assert [p.code for p in plans_seen(session, None, year=2020)] == ["own-2020"]
    with pytest.raises(Refused) as gone:
        load_template(session, SYSTEM, "chuxiong-2020", root)
    assert gone.value.code == "plan_exists_withdrawn"
    assert restore_plan(session, SYSTEM, plan.id).withdrawn_at is None


def test_shanxi_counties_by_name(session: Session) -> None:
    root = add_centre(session, "山西省文化馆", level="province")
    poor = add_centre(session, "娄烦县文化馆", parent=root)
    rest = add_centre(session, "平遥县文化馆", parent=root)
    library = add_centre(session, "山西省图书馆", parent=root, level="province")
    plan = load_template(session, SYSTEM, "shanxi-2023", root)
    groups = {who: [c.id for c in found] for who, found in units_of(session, plan).items()}
    assert groups["脱贫县文化馆"] == [poor.id]
    assert groups["其他县级文化馆"] == [rest.id]
    assert groups["省图书馆"] == [library.id]
    report = report_of(session, plan, root, 2023, cut_off=dt.datetime.now(dt.UTC))
    assert figures(of(report, poor))["sx.p.courses"][1] == 3
    later = add_centre(session, "代县文化馆", parent=root)
    assert assign_units(session, SYSTEM, plan.id).version == 2
    assert later.id in {c.id for c in units_of(session, plan)["其他县级文化馆"]}
    set_units(session, SYSTEM, plan.id, {"脱贫县文化馆": [poor.id, later.id], "其他县级文化馆": []})
    groups = {who: [c.id for c in found] for who, found in units_of(session, plan).items()}
    assert sorted(groups["脱贫县文化馆"]) == sorted([poor.id, later.id])
    assert groups["其他县级文化馆"] == []


def test_a_change_is_checked_versioned_and_told(session: Session) -> None:
    root, county = prefecture(session)
    plan = load_template(session, SYSTEM, "chuxiong-2020", root)
    staff = Actor("u1", "岩温", "staff", root.path)
    put_target(session, staff, plan.id, {"code": "cx.bxdwt.final", "value": "360.5"})
    assert plan.version == 2
    assert (
        put_target(session, staff, plan.id, {"code": "cx.bxdwt.final", "value": 360.5}).version == 2
    )
    told = session.scalars(select(AuditEntry).where(AuditEntry.action == "plan.targets")).one()
    (before, after) = told.details["changes"]["cx.bxdwt.final"]
    assert (told.by_name, before["value"], after["value"]) == ("岩温", "300", "360.5")
    with pytest.raises(Refused) as stale:
        change_plan(session, staff, plan.id, {"title": "新名称"}, expect_version=1)
    assert stale.value.code == "plan_changed"
    bad: list[dict[str, Any]] = [
        {"code": "x", "who": "州文化馆", "indicator": "一", "unit": "条", "value": -1},
        {"code": "x", "who": "州文化馆", "indicator": "一", "unit": "条", "value": "NaN"},
        {"code": "x", "who": "州文化馆", "indicator": "一", "unit": "条", "value": "1.00001"},
        {"code": "X Y", "who": "州文化馆", "indicator": "一", "unit": "条", "value": 1},
        {"code": "x", "who": "", "indicator": "一", "unit": "条", "value": 1},
        {"code": "cx.bxdwt.live", "parent": "cx.bxdwt.final"},
        {"code": "cx.bxdwt.final", "query": {"measure": "sheep"}},
        {"code": "cx.bxdwt.final", "query": {"measure": "finished_minutes", "genres": ["opera"]}},
        {"code": "cx.z.av_share", "parent": "cx.x.info_year"},
    ]
    for fields in bad:
        with pytest.raises(Refused):
            put_target(session, staff, plan.id, fields)
    for head in (
        {"year": 1820},
        {"switches": {"clicks": "all"}},
        {"switches": {"everything": True}},
        {"milestones": [{"by": "2020-13-01"}]},
        {"milestones": [{"by": "2020-11-30", "progress_pct": 101}]},
        {"title": ""},
    ):
        with pytest.raises(Refused):
            change_plan(session, staff, plan.id, head)
    assert plan.version == 2
    assert "cx.z.users" not in {
        t.code for t in drop_target(session, staff, plan.id, "cx.z.users").targets
    }
    # A county sees its prefecture's plan and may not change it; a stranger knows nothing of it.
    below = Actor("u2", "玉香", "staff", county.path)
    assert get_plan(session, below, "chuxiong-2020") is plan
    with pytest.raises(Refused) as not_yours:
        change_plan(session, below, plan.id, {"title": "我的"})
    assert not_yours.value.code == "plan_not_yours"
    stranger = add_centre(session, "昆明市文化馆", level="prefecture")
    with pytest.raises(Missing):
        get_plan(session, Actor("u3", "李", "staff", stranger.path), plan.id)
    assert plans_seen(session, stranger.path) == []
    assert target_fields(plan.targets[0])["value"] == "15"


# --- values by hand ---------------------------------------------------------------------------


def test_a_correction_replaces_and_what_it_replaced_stays(session: Session) -> None:
    root, county = prefecture(session)
    plan = load_template(session, SYSTEM, "chuxiong-2020", root)
    may = dt.datetime(2020, 5, 1, tzinfo=dt.UTC)
    june = dt.datetime(2020, 6, 1, tzinfo=dt.UTC)

    def put(value: Any, when: dt.datetime, **more: Any) -> Entry:
        fields: dict[str, Any] = {"evidence": SEEN, "now": when} | more
        return set_entry(session, SYSTEM, plan, county, "cx.x.users", value, **fields)

    first = put(100, may)
    assert put(100, june) is first
    second = put(344, june)
    assert first.replaced_by == second.id
    assert [e.id for e in entries_of(session, plan)] == [second.id]
    assert [e.id for e in entries_of(session, plan, history=True)] == [second.id, first.id]

    def users(at: dt.datetime) -> Any:
        report = report_of(session, plan, root, 2020, cut_off=at)
        return figures(of(report, county))["cx.x.users"][0]

    # At each cut-off what was known then; before anything was, nothing.
    assert [users(at) for at in (may, june)] == [100, 344]
    assert users(may - dt.timedelta(days=1)) is None
    for wrong, more, code in (
        (-1, {}, "entry_value"),
        ("一百", {}, "entry_value"),
        (1, {"evidence": []}, "entry_evidence"),
        (
            1,
            {"evidence": [{"kind": "file", "text": "x", "key": "masters/other.mp4"}]},
            "entry_evidence_bad",
        ),
        (1, {"evidence": [{"kind": "link", "text": "javascript:alert(1)"}]}, "entry_evidence_bad"),
        (1, {"period": "Q1"}, "entry_period_mixed"),
        (1, {"period": "13"}, "entry_period"),
        (1, {"year": 2031}, "entry_future"),
    ):
        with pytest.raises(Refused) as refused:
            put(wrong, june, **more)
        assert refused.value.code == code
    with pytest.raises(Refused) as not_asked:
        set_entry(session, SYSTEM, plan, root, "cx.x.users", 1, evidence=SEEN)
    assert not_asked.value.code == "entry_unit"
    withdraw_entry(session, SYSTEM, plan, second.id)
    assert entries_of(session, plan) == []
    assert put(1, june, period="Q1").period == "Q1"
    assert session.scalar(select(func.count()).select_from(Entry)) == 3


def test_a_value_entered_late_belongs_to_its_year(session: Session) -> None:
    root, county = prefecture(session)
    plan = load_template(session, SYSTEM, "chuxiong-2020", root)
    set_entry(session, SYSTEM, plan, county, "cx.x.users", 344, evidence=SEEN)
    at_years_end = report_of(session, plan, root, 2020, cut_off=end_of(dt.date(2020, 12, 31)))
    assert figures(of(at_years_end, county))["cx.x.users"][0] == 344
    in_june = report_of(session, plan, root, 2020, cut_off=end_of(dt.date(2020, 6, 30)))
    assert figures(of(in_june, county))["cx.x.users"][0] is None


# --- the matrix -------------------------------------------------------------------------------


def test_the_matrix_has_what_is_red_first(session: Session) -> None:
    root, county = prefecture(session)
    other = add_centre(session, "勐海县文化馆", parent=root)
    plan = load_template(session, SYSTEM, "chuxiong-2020", root)
    for centre, value in ((county, 200), (other, 90)):
        now = dt.datetime(2020, 6, 1, tzinfo=dt.UTC)
        set_entry(session, SYSTEM, plan, centre, "cx.x.users", value, evidence=SEEN, now=now)
    report = report_of(session, plan, root, 2020, cut_off=end_of(dt.date(2020, 7, 1)), detail=False)
    july = views.matrix(report, dt.date(2020, 7, 1))
    assert july.milestone is not None
    assert july.upcoming is not None
    assert (july.milestone.by, july.upcoming.by) == (dt.date(2020, 5, 31), dt.date(2020, 9, 30))
    at = next(n for n, c in enumerate(july.columns) if c.indicator == "年新增注册用户数")
    assert july.columns[at].codes == ("cx.z.users", "cx.x.users")
    cells = {row.centre_id: row.cells[at] for row in july.rows}
    shown = {
        key: [cell.word, cell.number, cell.percent, cell.owed]
        for key, cell in cells.items()
        if cell
    }
    assert shown[other.id] == ["滞后", "90", "45%", "110人"]
    assert shown[county.id] == ["已完成", "200", "100%", ""]
    assert shown[root.id] == ["未填报", "", "", "300人"]
    whole = july.total.cells[at]
    assert whole is not None
    assert (whole.number, whole.target) == ("290", "700人")
    assert july.rows[0].late >= july.rows[-1].late
    step = next(c for c in july.rows if c.centre_id == other.id).cells[at]
    assert step is not None
    assert [(int(s.needed), s.due, s.reached) for s in step.steps] == [
        (100, True, False),
        (160, False, False),
        (200, False, False),
    ]
    # On the day of a milestone it can still be met.
    assert views.matrix(report, dt.date(2020, 5, 31)).milestone is None
    autumn = views.matrix(report, dt.date(2020, 7, 1), milestone=dt.date(2020, 9, 30))
    assert autumn.milestone is not None
    assert autumn.milestone.progress_pct == 80
    line = views.owed_text(report, other.id, dt.date(2020, 7, 1))
    assert line.startswith("今年还欠：")
    found = {one.indicator: one.text for one in views.owed(report, other.id, dt.date(2020, 7, 1))}
    assert found["年新增注册用户数"] == "110人"
    assert "0" not in {text[0] for text in found.values()}
    assert line.endswith("项未填报。")
    assert views.matrix(report, dt.date(2020, 7, 1), who="全州").rows[0].centre_id == root.id


def test_nothing_asked_of_nobody(session: Session) -> None:
    root, _ = prefecture(session)
    plan: Plan = create_plan(session, SYSTEM, root, code="empty", title="空", year=2026)
    report = report_of(session, plan, root, 2026, cut_off=dt.datetime.now(dt.UTC))
    assert (report.units, report.total.lines) == ((), ())
    assert views.matrix(report, dt.date(2026, 5, 1)).columns == ()
    assert views.owed_text(report, root.id, dt.date(2026, 5, 1)) == "今年的任务已全部完成。"
