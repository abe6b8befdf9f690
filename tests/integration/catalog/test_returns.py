"""A real year brought in, told, frozen and written: what was printed comes out again."""

from __future__ import annotations

import datetime as dt
from fractions import Fraction
from pathlib import Path

import pytest
import yaml
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from catalog.audit import Actor
from catalog.centres import add_centre
from catalog.errors import Refused
from catalog.models import AuditEntry, Centre, Entry, PastBroadcast, Plan
from catalog.plans.amounts import rate_text
from catalog.plans.compute import report_of
from catalog.plans.report import PlanReport
from catalog.plans.service import load_template
from catalog.returns.bring_in import BroughtIn, bring_in
from catalog.returns.names import names_of
from catalog.returns.sentences import broadcast_sentences, sum_sentence, unit_sentences
from infra.database import Database

FILE = Path(__file__).parents[2] / "support" / "xishuangbanna-2020-part.yaml"
PRINTED = yaml.safe_load(FILE.read_text(encoding="utf-8"))
NOW = dt.datetime(2026, 11, 22, 4, 0, tzinfo=dt.UTC)
ADMIN = Actor(user_id=None, name="李娜", role="admin", via="cli")


def stand(session: Session) -> tuple[Plan, Centre, Centre]:
    """The prefecture with its plan, and one of its counties."""
    prefecture = add_centre(session, "西双版纳州文化馆", level="prefecture")
    county = add_centre(session, "景洪市文化馆", parent=prefecture)
    return load_template(session, ADMIN, "chuxiong-2020", prefecture), prefecture, county


def bring(session: Session, plan: Plan, data: bytes | None = None) -> BroughtIn:
    return bring_in(session, ADMIN, data or FILE.read_bytes(), plan, 2020, now=NOW)


def report(session: Session, plan: Plan, root: Centre) -> PlanReport:
    return report_of(session, plan, root, 2020, cut_off=NOW)


def test_the_real_return_recomputes(database: Database) -> None:
    with database.transaction() as session:
        plan, prefecture, _ = stand(session)
        made = bring(session, plan)
        assert (made.bad, made.unlike, made.centres_made) == ([], [], [])
        assert (made.entries, made.broadcasts, made.unchanged) == (14, 5, 0)
        found = report(session, plan, prefecture)
        names = names_of(plan)
        for printed in PRINTED["centres"]:
            unit = next(u for u in found.units if u.centre_name == printed["name"])
            by_name = {names[line.code]: line for line in unit.lines if line.code in names}
            for name, value in printed["indicators"].items():
                line = by_name[name]
                assert line.rate is not None
                assert rate_text(line.rate) == value["pct"], name
                assert (line.count if line.count is not None else line.actual) == value["v"]
                target = line.count_target if line.count_target is not None else line.target
                assert target == value["target"]


def test_sentences_are_the_templates_character_for_character(database: Database) -> None:
    with database.transaction() as session:
        plan, prefecture, _ = stand(session)
        bring(session, plan)
        found = report(session, plan, prefecture)
        units = unit_sentences(found, names_of(plan))
        assert units[0].startswith(
            "西双版纳州文化馆注册用户414人，完成138%；更新信息资源213条，完成118.3%；"
            "音视频更新114条，完成126.7%；在线展览图片145幅，完成290%；志愿者招募4场，完成200%；"
            "预约配送3场，完成100%；发布文化活动18场，完成360%；"
        )
        assert units[1] == (
            "景洪市文化馆注册用户344人，完成172%；更新信息资源161条，完成134.2%；"
            "音视频更新64条，完成106.7%；在线展览图片35幅，完成116.7%；志愿者招募3场，完成300%；"
            "预约配送2场，完成100%；发布文化活动6场，完成200%。"
        )
        told = broadcast_sentences(found.total.broadcasts)
        assert told == [
            (
                "一是4月13日，西双版纳州庆祝傣历1382新年节文艺晚会录播活动，总成片103分钟，"
                "素材102分钟，图片80幅，点击量89457次；"
            ),
            (
                "二是6月13日，西双版纳州2020“文化和自然遗产日”宣传展示暨民族服饰展演直播活动，"
                "总成片39分钟，素材39分钟，图片40幅，点击量34832次；"
            ),
            (
                "三是6月30日，西双版纳州“听党话·感党恩·跟党走”红歌会直播活动，总成片68分钟，"
                "素材68分钟，图片60幅，点击量24938次；"
            ),
            (
                "四是7月30日，2020年文化惠民走进西双版纳出入境边防检查站“警民一家亲，和谐新社区”"
                "直播活动，总成片81分钟，素材81分钟，图片60幅，点击量50767次；"
            ),
            (
                "五是10月10日，西双版纳州2020群众文化“彩云奖”评选暨“邻里一家亲”文化惠民走进黎明社区"
                "录播活动，总成片112.7分钟，素材112分钟，图片80幅，点击量35157次；"
            ),
        ]
        assert sum_sentence(found.total.broadcasts) == (
            "全年开展直录播活动5场，其中直播3场、录播2场；总成片403.7分钟，素材402分钟，"
            "图片320幅，点击量235151次。"
        )
        final = next(line for line in found.units[0].lines if line.code == "cx.bxdwt.final")
        assert final.actual == Fraction(4037, 10)


def test_twice_is_once_and_a_correction_leaves_a_trace(database: Database) -> None:
    with database.transaction() as session:
        plan, _, _ = stand(session)
        bring(session, plan)
        again = bring(session, plan)
        assert (again.entries, again.broadcasts, again.unchanged) == (0, 0, 19)
        corrected = FILE.read_text("utf-8").replace("v: 414", "v: 415").replace("112.7", "112.8")
        third = bring(session, plan, corrected.encode())
        assert (third.entries, third.broadcasts, third.unchanged) == (1, 1, 17)
        assert [(row.where, row.what, row.printed, row.ours) for row in third.unlike] == [
            ("西双版纳州文化馆／注册用户", "完成率", "138%", "138.3%")
        ]
        replaced = session.scalars(select(Entry).where(Entry.replaced_by.is_not(None))).one()
        assert replaced.value == 414
        assert session.scalar(select(func.count()).select_from(PastBroadcast)) == 5
        ticks = select(AuditEntry.details).where(AuditEntry.action == "past_broadcast.set")
        last = session.scalars(ticks.order_by(AuditEntry.id.desc())).first()
        assert last is not None
        assert last["finished_ticks"] == [608_580_000, 609_120_000]


def test_bad_rows_are_told_and_good_ones_kept(database: Database) -> None:
    data = """
centres:
- name: 景洪市文化馆
  indicators:
    {注册用户: {v: -3}, 更新信息资源: 12.5, 没有这一项: 1, 在线展览图片: 三十, 预约配送: null}
- name: 没有的馆
  indicators: {注册用户: 1}
- {level: 县}
broadcasts:
- {date: '2020-05-01', title: 五一, mode: 直播, final: 10.1, raw: 0, img: 1, clicks: 2}
- {date: '2020-05-01', title: 五一, mode: 直播, final: 11}
- {date: '2027-05-01', title: 将来, mode: 直播, final: 1}
- {date: '2019-05-01', title: 去年, mode: 直播, final: 1}
- {date: 五月一日, title: 没有日期, mode: 直播, final: 1}
- {date: '2020-05-02', title: 负的, mode: 直播, final: -1}
- {date: '2020-05-02', title: 太细, mode: 直播, final: 1.1234567}
- {date: '2020-05-02', title: 转播, mode: 转播, final: 1}
- {date: '2020-05-02', title: '', mode: 直播, final: 1}
""".encode()
    with database.transaction() as session:
        plan, _, county = stand(session)
        made = bring(session, plan, data)
        assert [(bad.where, bad.code) for bad in made.bad] == [
            ("景洪市文化馆／注册用户", "return_row_negative"),
            ("景洪市文化馆／在线展览图片", "return_row_number"),
            ("第3个单位", "return_row_centre"),
            ("第2场“五一”", "return_row_twice"),
            ("第3场“将来”", "return_row_future"),
            ("第4场“去年”", "return_row_year"),
            ("第5场“没有日期”", "return_row_date"),
            ("第6场“负的”", "return_row_negative"),
            ("第7场“太细”", "return_row_digits"),
            ("第8场“转播”", "return_row_mode"),
            ("第9场“”", "return_row_title"),
            ("没有的馆", "return_row_centre_unknown"),
            ("景洪市文化馆／没有这一项", "return_row_indicator"),
        ]
        assert (made.entries, made.broadcasts) == (1, 1)
        kept = session.scalars(select(PastBroadcast)).one()
        assert (kept.centre_id, kept.finished_ticks) == (county.id, 54_540_000)


def test_what_cannot_be_kept_is_no_error_of_ours(database: Database) -> None:
    data = rb"""
source: {doc: "\0"}
centres:
- {name: "\u666f\0", indicators: {"\0\a": 1}}
broadcasts:
- {date: '2020-05-01', title: "\0\a", mode: "\0", final: "\0", centre: "\0"}
"""
    with database.transaction() as session:
        plan, _, _ = stand(session)
        made = bring(session, plan, data)
        assert (made.entries, made.broadcasts) == (0, 0)
        assert made.bad


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\xc4\xea: 2020", "return_file_text"),
        (b"a: [1, 2", "return_file_yaml"),
        (b"a: &x [1]\nb: *x", "return_file_yaml"),
        (b"[" * 50, "return_file_yaml"),
        (rb'a: "\ud800"', "return_file_yaml"),
        (b"centres: 3", "return_file_shape"),
        (b"- 1", "return_file_shape"),
        (b"", "return_file_shape"),
        (b"centres: []\ncentres: []", "return_file_key"),
        (b"source: {year: 2019}\ncentres: [{name: x}]", "return_file_year"),
        (b"#" * (1 << 20) + b"#", "return_file_large"),
    ],
)
def test_a_file_that_cannot_be_read(database: Database, data: bytes, code: str) -> None:
    with database.transaction() as session:
        plan, _, _ = stand(session)
        with pytest.raises(Refused) as refused:
            bring_in(session, ADMIN, data, plan, 2020, now=NOW)
        assert refused.value.code == code


def test_centres_are_made_only_when_wished(database: Database) -> None:
    with database.transaction() as session:
        province = add_centre(session, "云南省文化馆", level="province")
        plan = load_template(session, ADMIN, "chuxiong-2020", province)
        made = bring(session, plan)
        assert (made.entries, made.broadcasts) == (0, 0)
        assert {bad.code for bad in made.bad} == {"return_row_centre_unknown"}
        staff = Actor(None, "王", "staff", province.path)
        with pytest.raises(Refused, match="return_centres_admin"):
            bring_in(session, staff, FILE.read_bytes(), plan, 2020, create_centres=True, now=NOW)
        made = bring_in(session, ADMIN, FILE.read_bytes(), plan, 2020, create_centres=True, now=NOW)
        assert made.centres_made == ["西双版纳州文化馆", "景洪市文化馆"]
        assert (made.bad, made.unlike, made.entries, made.broadcasts) == ([], [], 14, 5)
        county = session.scalars(select(Centre).where(Centre.name == "景洪市文化馆")).one()
        parent = session.get_one(Centre, county.parent_id)
        assert (parent.name, parent.level, parent.parent_id) == (
            "西双版纳州文化馆", "prefecture", province.id,
        )  # fmt: skip
