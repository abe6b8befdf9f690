"""Sentences, differences and figures of returns, on reports made by hand."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from fractions import Fraction

import pytest

from catalog.plans.report import Milestone
from catalog.returns.differences import differences
from catalog.returns.sentences import (
    broadcast_sentences,
    numeral,
    owed_sentence,
    progress_sentences,
    sum_sentence,
    unit_sentence,
)
from catalog.returns.shown import shown
from tests.support.reports import a_line, a_report, a_show, a_unit


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (1, "一"), (10, "十"), (11, "十一"), (20, "二十"), (99, "九十九"), (100, "一百"),
        (101, "一百零一"), (110, "一百一十"), (1005, "一千零五"), (1050, "一千零五十"),
        (2010, "二千零一十"),
    ],
)  # fmt: skip
def test_numerals(number: int, said: str) -> None:
    assert numeral(number) == said


def test_a_broadcasts_sentence_and_its_tenths() -> None:
    shows = [
        a_show(1, "甲", 1127, date=dt.date(2020, 1, 2)),
        a_show(0, "转播", 0, standing="linked"),
        a_show(2, "乙", 390, mode="recorded", date=dt.date(2020, 10, 31)),
    ]
    # 112.74 and 112.75 minutes: cut half up, once; 39.0 loses its .0.
    shows[0] = replace(shows[0], raw_ticks=608_850_000)
    assert broadcast_sentences(shows) == [
        "一是1月2日，甲直播活动，总成片112.7分钟，素材112.8分钟，图片10幅，点击量1234次；",
        "二是10月31日，乙录播活动，总成片39分钟，素材39分钟，图片10幅，点击量1234次；",
    ]
    assert sum_sentence(shows) == (
        "全年开展直录播活动2场，其中直播1场、录播1场；另有联动直播1场（只计联动，不计场次和时长）；"
        "总成片151.7分钟，素材151.8分钟，图片20幅，点击量2468次。"
    )


def test_sums_are_of_ticks_and_cut_once() -> None:
    third = [replace(a_show(n, "x", 0), finished_ticks=180_000) for n in (1, 2, 3)]
    assert "总成片0.1分钟" in sum_sentence(third)  # 3 × 0.0333…, each of which prints 0


def test_a_units_sentence_has_what_is_known_in_the_printed_order() -> None:
    share = replace(
        a_line("av", "其中音视频资源", 50, [Fraction(190, 3)]),
        unit="%", count=Fraction(114), count_target=Fraction(90), owed_unit="条",
        rate=Fraction(380, 3), met=True,
    )  # fmt: skip
    unit = a_unit(
        "某馆",
        [
            a_line("info", "年更新信息资源", 180, [213]),
            share,
            a_line("users", "年新增注册用户数", 300, [414], unit="人"),
            a_line("blank", "培训", 2, None),
            a_line("month", "月更新", 15, [3], period="month"),
            a_line("zero", "不设任务", 0, [7]),
        ],
    )
    names = {"users": "注册用户", "info": "更新信息资源", "av": "音视频更新"}
    assert unit_sentence(unit, names) == (
        "某馆注册用户414人，完成138%；更新信息资源213条，完成118.3%；音视频更新114条，完成126.7%；"
        "不设任务7条。"
    )
    assert owed_sentence(unit, names) == "某馆：月更新还差12条；尚未填报：培训。"
    told = shown(share)
    assert (told.target_text, told.actual_text, told.unit, told.rate_text, told.note) == (
        "90", "114", "条", "126.7%", "不少于50%",
    )  # fmt: skip


def test_progress_is_told_with_its_formula_and_what_was_due() -> None:
    unit = a_unit("某馆", [a_line("a", "甲", 10, [20]), a_line("b", "乙", 10, [1])])
    asked = [
        Milestone(dt.date(2020, 9, 30), Fraction(80)),
        Milestone(dt.date(2020, 12, 31), Fraction(50)),
        Milestone(dt.date(2021, 1, 1), Fraction(100)),
    ]
    assert progress_sentences(replace(a_report([unit]), milestones=tuple(asked))) == [
        (
            "按照《楚雄州2020年任务》要求，某馆2020年年度建设任务量平均完成55%，进度最慢的指标是“乙”，"
            f"完成10%（{unit.progress.formula}）。"
        ),
        "计划要求2020年12月31日前完成年度建设任务量的50%，已达到。",
    ]


def test_nothing_known_is_said_so() -> None:
    unit = a_unit("某馆", [a_line("a", "甲", 1, None)])
    assert unit_sentence(unit, {}) == "某馆尚无填报。"


def test_differences_are_exact_and_ready_to_print() -> None:
    old = a_unit(
        "某馆",
        [
            a_line("a", "成片", 300, [Fraction(10001, 100)], unit="分钟"),
            a_line("b", "图片", 5, [1, 1]),
            a_line("c", "培训", 2, None),
            a_line("gone", "旧任务", 1, [1]),
        ],
        [a_show(1, "甲", 390), a_show(2, "乙", 390)],
    )
    moved = a_line("b", "图片", 5, [1, 1])
    rows = (moved.evidence[0], replace(moved.evidence[1], id="another"))
    new = a_unit(
        "某馆",
        [
            a_line("a", "成片", 310, [Fraction(10003, 100)], unit="分钟"),
            replace(moved, evidence=rows),
            a_line("c", "培训", 2, [3]),
        ],
        [a_show(1, "甲", 400), a_show(3, "丙", 10)],
    )
    found = differences(a_report([old]), a_report([new]))
    assert [(d.what, d.name, d.old, d.new) for d in found] == [
        ("target", "成片", "300分钟", "310分钟"),
        ("actual", "成片", "100.01分钟", "100.03分钟"),  # both print 100
        ("evidence", "图片", "2项依据", "2项依据（有增减或更换）"),
        ("actual", "培训", "未填报", "3条"),
        ("line", "旧任务", "1条", "—"),
        (
            "broadcast", "甲",
            "2020-03-01，直播，成片39分钟，素材39分钟，图片10幅，点击量1234次",
            "2020-03-01，直播，成片40分钟，素材40分钟，图片10幅，点击量1234次",
        ),
        (
            "broadcast", "乙",
            "2020-03-02，直播，成片39分钟，素材39分钟，图片10幅，点击量1234次", "—",
        ),
        ("broadcast", "丙", "—", "2020-03-03，直播，成片1分钟，素材1分钟，图片10幅，点击量1234次"),
    ]  # fmt: skip
    assert differences(a_report([new]), a_report([new])) == []


def test_numerals_go_on_beyond_ten_thousand() -> None:
    said = {
        10_000: "一万",
        10_012: "一万零一十二",
        20_103: "二万零一百零三",
        123_456: "十二万三千四百五十六",
    }
    assert {number: numeral(number) for number in said} == said


def test_a_trace_that_is_owed_is_not_nothing() -> None:
    trace = a_line("final", "成片", 300, [Fraction(300) - Fraction(1, 5_400_000)], unit="分钟")
    done = replace(a_line("none", "不设任务", 0, None), met=True)
    assert owed_sentence(a_unit("某馆", [trace, done]), {}) == "某馆：成片还差不到0.1分钟。"
