"""Exact amounts, and the text they are printed as."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.plans.amounts import (
    amount_text,
    completion,
    is_met,
    missing,
    number_text,
    rate_text,
)
from catalog.plans.periods import period_of, span_of
from catalog.plans.templates import Group, group_of_words, groups_of


@pytest.mark.parametrize(
    ("actual", "target", "printed"),
    [
        (176, 30, "586.7%"),
        (414, 300, "138%"),
        (213, 180, "118.3%"),
        (64, 60, "106.7%"),
        (258, 300, "86%"),
        (1, 3, "33.3%"),
        (0, 3, "0%"),
        (2001, 2000, "100.1%"),  # 100.05: half goes up
        (Fraction("299.999"), 300, "100%"),  # printed so, and not met
    ],
)
def test_rates_as_printed(actual: Fraction | int, target: int, printed: str) -> None:
    rate = completion(Fraction(actual), Fraction(target))
    assert rate is not None
    assert rate_text(rate) == printed
    assert is_met(Fraction(actual), ">=", Fraction(target)) == (actual >= target)


@given(st.fractions(min_value=0, max_value=10**9))
def test_one_decimal_half_up(value: Fraction) -> None:
    exact = Decimal(value.numerator) / Decimal(value.denominator)
    tenths = (value * 10 + Fraction(1, 2)).__floor__()
    assert Fraction(number_text(value)) == Fraction(tenths, 10)
    assert abs(Fraction(number_text(value)) - value) <= Fraction(1, 20)
    assert not number_text(value).endswith(".0")
    if value.denominator in (1, 2, 4, 5, 8, 10, 16, 20):
        rounded = exact.quantize(Decimal("0.1"), ROUND_HALF_UP)
        assert Decimal(number_text(value)) == rounded


@given(st.fractions(0, 1000), st.fractions(0, 1000))
def test_what_is_missing_closes_the_gap(actual: Fraction, target: Fraction) -> None:
    owed = missing(actual, ">=", target)
    assert owed >= 0
    assert is_met(actual + owed, ">=", target)
    assert (owed == 0) == is_met(actual, ">=", target)
    assert missing(actual, "<=", target) == 0


def test_texts() -> None:
    assert amount_text(Fraction(1127, 10), "分钟") == "112.7分钟"
    assert amount_text(Fraction(300), "幅") == "300幅"
    assert number_text(Fraction(-1, 20)) == "-0.1"
    assert number_text(Fraction(-1, 100)) == "0"
    assert completion(Fraction(3), Fraction(0)) is None


def test_parts_of_a_year_cover_it() -> None:
    for period in ("month", "quarter"):
        days = [span_of(period_of(span_of(f"{m:02}", 2024)[0], period), 2024) for m in range(1, 13)]
        assert days[0][0].isoformat() == "2024-01-01"
        assert days[-1][1].isoformat() == "2024-12-31"
    assert span_of("02", 2024)[1].day == 29


@pytest.mark.parametrize(
    ("who", "level", "kind"),
    [
        ("州文化馆", "prefecture", "culture"),
        ("县（市）文化馆", "county", "culture"),
        ("市级文化馆", "prefecture", "culture"),
        ("省级图书馆、省级文化（群艺）馆", "province", ""),
        ("各省级图书馆", "province", "library"),
        ("乡镇文化站", "station", "culture"),
        ("百姓大舞台制播工作点", "", ""),
    ],
)
def test_what_a_groups_words_mean(who: str, level: str, kind: str) -> None:
    assert group_of_words(who) == Group(level=level, kind=kind)


def test_a_named_centre_is_none_of_the_others() -> None:
    groups = {
        "脱贫县": Group(level="county", names=("娄烦",)),
        "其他县": Group(level="county", kind="culture", others=True),
        "全省": Group(owner=True),
    }
    for name, expected in (("娄烦县文化馆", {"脱贫县"}), ("平遥县文化馆", {"其他县"})):
        assert groups_of(groups, name=name, level="county", is_owner=False) == expected
    assert groups_of(groups, name="平遥县图书馆", level="county", is_owner=False) == frozenset()
    assert groups_of(groups, name="省文化馆", level="province", is_owner=True) == {"全省"}
