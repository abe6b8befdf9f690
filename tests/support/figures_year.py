"""A prefecture's year for the pages of 指标: a plan of this year, centres, broadcasts, entries.

Written straight into an instance's database by the catalogue's own services, so that the pages
show what they would show a supervisor; nothing is random, every run is the same.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal

from sqlalchemy.orm import Session

from catalog.accounts import create_user, open_session
from catalog.audit import SYSTEM
from catalog.centres import add_centre
from catalog.clock import china_date
from catalog.minutes import TICKS_A_MINUTE
from catalog.models import Centre, PastBroadcast, Plan, Resource
from catalog.plans.entries import set_entry
from catalog.plans.service import change_plan, load_template
from infra.database import Database
from infra.ids import public_id
from infra.settings import Settings

PASSWORD = "correct-horse-9"
COUNTIES = (
    "楚雄市文化馆", "双柏县文化馆", "牟定县文化馆", "南华县文化馆", "姚安县文化馆", "大姚县文化馆",
    "永仁县文化馆", "元谋县文化馆", "武定县文化馆",
    "禄丰市彝族回族苗族傣族非物质文化遗产保护中心暨文化馆",
)  # fmt: skip
SHOWS = (
    ("彝族年“阿哩调”歌舞晚会", "live"),
    ("“百姓大舞台”火把节群众文艺汇演暨第十三届农民文化艺术节颁奖典礼现场直播（第一场）", "live"),
    ("左脚舞展演", "recorded"),
    ("元宵灯会", "live"),
    ("“听党话·感党恩·跟党走”红歌会", "recorded"),
    ("三月三歌会", "live"),
)


@dataclass(frozen=True)
class Year:
    """What was made, by the names tests and pictures use."""

    plan_id: str
    prefecture_id: str
    counties: tuple[str, ...]
    sessions: dict[str, str]
    """Role → secret of a browser that is signed in."""


@contextmanager
def database_of(settings: Settings) -> Iterator[Database]:
    made = Database(settings.resolved_database_url, name="test", pool_size=1)
    try:
        yield made
    finally:
        made.close()


def fill(session: Session, now: dt.datetime) -> Year:
    """The prefecture and its ten counties, half way through this year's plan."""
    prefecture = add_centre(session, "楚雄彝族自治州文化馆", level="prefecture")
    counties = [add_centre(session, name, parent=prefecture) for name in COUNTIES]
    plan = this_years(session, prefecture, china_date(now).year)
    for place, county in enumerate(counties):
        _county(session, plan, county, place, china_date(now))
    _prefecture(session, plan, prefecture, china_date(now))
    sessions = {}
    for role, centre in (
        ("supervisor", prefecture), ("staff", counties[1]), ("clerk", prefecture),
        ("admin", prefecture), ("studio", counties[1]),
    ):  # fmt: skip
        user = create_user(
            session, login=f"{role}-{public_id(4)}", name="普文慧", role=role, centre=centre,
            password=PASSWORD,
        )  # fmt: skip
        sessions[role] = open_session(session, user, now)
    return Year(plan.id, prefecture.id, tuple(county.id for county in counties), sessions)


def this_years(session: Session, owner: Centre, year: int) -> Plan:
    """The shipped plan of 2020, as if it had been issued for this year."""
    plan = load_template(session, SYSTEM, "chuxiong-2020", owner)
    moved = [{**mile, "by": f"{year}{mile['by'][4:]}"} for mile in plan.milestones]
    return change_plan(
        session, SYSTEM, plan.id,
        {"year": year, "milestones": moved, "title": f"楚雄州{year}年公共数字文化建设实施方案"},
    )  # fmt: skip


def _county(session: Session, plan: Plan, centre: Centre, place: int, today: dt.date) -> None:
    """Each further behind than the one before; the last has done nothing at all."""
    share = Decimal(9 - place) / 7
    if share <= 0:
        return
    for code, full in (("cx.x.users", 200), ("cx.x.acts", 3), ("cx.x.acts_vol", 1)):
        if place == 5 and code == "cx.x.acts_vol":
            continue
        _enter(session, plan, centre, code, int(full * share))
    for number in range(int(60 * share)):
        _record(session, centre, "news" if number % 3 else "finished", number, today)
    for number in range(int(33 * share)):
        _record(session, centre, "image", number, today, confirmed=True)


def _prefecture(session: Session, plan: Plan, centre: Centre, today: dt.date) -> None:
    for number, (title, mode) in enumerate(SHOWS):
        held = dt.date(today.year, 1 + number, 6 + number)
        if held <= today:
            past_show(session, centre, title, held, minutes=Decimal("40.5") + number, mode=mode)
    for code, value in (("cx.z.users", 414), ("cx.z.acts", 18), ("cx.train.people", 64)):
        _enter(session, plan, centre, code, value)


def past_show(
    session: Session,
    centre: Centre,
    title: str,
    held: dt.date,
    *,
    minutes: Decimal,
    mode: str = "live",
    ticks_less: int = 0,
) -> None:
    """A 场 of before Xitai, its minutes as exact ticks."""
    ticks = int(minutes * TICKS_A_MINUTE) - ticks_less
    session.add(
        PastBroadcast(
            id=public_id(), centre_id=centre.id, held_on=held, title=title, mode=mode,
            finished_ticks=ticks, raw_ticks=ticks * 3, images=60, clicks=24_938, source="旧年报",
        )
    )  # fmt: skip
    session.flush()


def _enter(session: Session, plan: Plan, centre: Centre, code: str, value: int) -> None:
    proof = [{"kind": "note", "text": "平台后台截图，见附件。"}]
    set_entry(session, SYSTEM, plan, centre, code, Decimal(value), year=plan.year, evidence=proof)


def _record(
    session: Session,
    centre: Centre,
    kind: str,
    number: int,
    today: dt.date,
    *,
    confirmed: bool = False,
) -> None:
    at = dt.datetime(today.year, 1 + number % max(1, today.month), 8, 3, tzinfo=dt.UTC)
    if at.date() > today:
        at = dt.datetime.combine(today, dt.time(1), dt.UTC)
    titles = {"news": "送文化下乡活动信息", "finished": "民歌小调展播", "image": "非遗展览图片"}
    digest = hashlib.sha256(f"{centre.id}{kind}{number}".encode()).hexdigest()
    session.add(
        Resource(
            id=public_id(), centre_id=centre.id, kind=kind, state="published",
            title=f"{titles[kind]}（{number + 1}）", event_date=at.date(), sha256=digest,
            ledger="exhibition" if kind == "image" else None,
            confirmed_at=at if confirmed else None,
            duration_ticks=TICKS_A_MINUTE * 12 if kind == "finished" else 0,
            storage_key=f"x/{digest[:20]}.mp4" if kind == "finished" else None,
            first_published_at=at, published_at=at,
        )
    )  # fmt: skip
