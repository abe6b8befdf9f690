"""Words for a form: what is drawn of what was typed, where lines break, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import Refused
from vod.forms.lettering import SAFE, cleaned, drawable, lower_third, title_card
from vod.forms.wishes import THIRDS_MAX, Third, Wish, checked, wish_of
from vod.forms.wording import balance, break_lines, clean, fit

T = 90_000
LONG = "二〇二六年勐海县勐混镇曼蚌村傣族泼水节暨乡村春节联欢晚会与非遗展演现场直播第一场"
NASTY = "%{pts}':drawtext=text='x\\:y';[in]\nmovie=/etc/passwd"


def wide(words: str) -> float:
    """One em for a Chinese character, half of one for a letter."""
    return sum(0.5 if ord(c) < 0x2E80 else 1.0 for c in words)


@pytest.mark.parametrize(
    ("typed", "drawn", "left_out"),
    [
        ("  勐海县\n文化馆\t", "勐海县 文化馆", ""),
        ("春晚😀🎉第一场", "春晚第一场", "😀🎉"),
        ("a\u202eb\u200dc\u0000d\u0007\ufeff", "abcd", ""),
        ("❤\ufe0f", "", "❤"),
        ("e\u0301\u0301\u0301\u0301\u0301x", "é\u0301\u0301x", ""),
        ("泰族 ᦑᧃ", "泰族", "ᦑᧃ"),
        (NASTY, NASTY.replace("\n", " "), ""),
        ("𠮷野", "𠮷野", ""),
        ("\ud800 \ue000", "", ""),
    ],
)
def test_only_what_can_be_drawn_is_kept(typed: str, drawn: str, left_out: str) -> None:
    found = cleaned(typed)
    assert (found.text, found.left_out) == (drawn, left_out)


@given(st.text(max_size=80))
def test_cleaned_text_is_one_line_of_drawable_characters(typed: str) -> None:
    found = clean(typed, drawable).text
    assert clean(found, drawable).text == found
    assert "".join(c for c in found if not c.isprintable()) == ""
    assert found == " ".join(found.split())


def test_lines_break_as_chinese_does() -> None:
    assert break_lines("第一场，第二场。", 4, wide) == ["第一场，", "第二场。"]
    # Punctuation neither begins a line nor is left hanging at the end of one.
    assert break_lines("春晚第一场，欢迎", 5, wide) == ["春晚第一", "场，欢迎"]
    assert break_lines("我们看《春晚》吧", 4, wide) == ["我们看", "《春晚》", "吧"]
    # Words stay whole while they fit, and are torn only if they must.
    assert break_lines("勐海 Menghai 2026 春晚", 4.5, wide) == ["勐海", "Menghai", "2026 春晚"]
    assert "".join(break_lines("W" * 30, 5, wide)) == "W" * 30


@given(
    st.text(st.sampled_from("春晚《》，。！ab1 （）…"), min_size=1, max_size=60), st.integers(4, 12)
)
def test_no_character_is_lost_and_no_line_too_long(text: str, width: int) -> None:
    lines = break_lines(text, width, wide)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
    assert all(wide(line) <= width for line in lines)


def test_lines_are_even() -> None:
    lines = balance("象脚鼓舞布朗弹唱傣族武术合唱一", 14, wide)
    assert len(lines) == 2
    assert abs(len(lines[0]) - len(lines[1])) <= 1


def test_long_titles_are_set_smaller_then_cut() -> None:
    def measure(words: str, size: int) -> float:
        return wide(words) * size

    assert fit("象脚鼓舞", 600, [100, 60], [1, 2], measure).size == 100
    small = fit(LONG[:18], 600, [100, 60], [1, 2], measure)
    assert (small.size, len(small.lines)) == (60, 2)
    cut = fit(LONG, 600, [100, 60], [1, 2], measure)
    assert cut.lines[-1].endswith("…")
    assert all(measure(line, 60) <= 600 for line in cut.lines)


@pytest.mark.parametrize("form", ["vertical", "square"])
@pytest.mark.parametrize("text", ["象", "象脚鼓舞", LONG, "W" * 60, NASTY[:60]])
def test_words_keep_out_of_where_phones_put_theirs(form: str, text: str) -> None:
    size = (720, 1280) if form == "vertical" else (720, 720)
    safe = SAFE[form]
    card = title_card(form, size, cleaned(text).text, "勐海县文化馆")
    words = card[..., :3].astype(int).sum(axis=2) > 300
    slip = lower_third(form, size, cleaned(text).text[:20], "领舞 · 勐混镇曼蚌村")[..., 3] > 0
    for drawn, bottom in ((words, safe.title_bottom), (slip, safe.third_bottom)):
        rows, columns = (np.flatnonzero(drawn.any(axis=axis)) for axis in (1, 0))
        assert columns[0] >= 720 * safe.left - 1
        assert columns[-1] <= 720 * (1 - safe.right) + 1
        assert rows[-1] <= size[1] * bottom + 6
        assert rows[0] > size[1] * 0.12
    # Words are there: more ink than the bar alone.
    assert words.sum() > 500


def wish(**given: object) -> Wish:
    asked: dict[str, object] = {
        "form": "vertical", "length": 20 * T, "title": "象脚鼓舞", "centre": "勐海县文化馆",
        "thirds": (), **given,
    }  # fmt: skip
    return checked(cleaned, **asked)  # type: ignore[arg-type]


def test_a_wish_is_kept_and_read_back() -> None:
    thirds = [Third("玉香", "独唱", 9 * T, 12 * T), Third("岩温罕😀", "领舞", T, 4 * T)]
    made = wish(title="春晚\n第一场🎉", thirds=thirds)
    assert made.title == "春晚 第一场"
    assert made.left_out == "🎉😀"
    assert [t.text for t in made.thirds] == ["岩温罕", "玉香"]
    assert wish_of("vertical", made.kept()) == made
    assert wish(title=None).centre == ""
    # Lengths are shown rounded, and typed in again.
    assert wish(thirds=[Third("玉香", "", 18 * T, 20 * T + 8_000)]).thirds[0].stop == 20 * T


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"form": "round"}, "form_kind"),
        ({"title": "  "}, "form_title_empty"),
        ({"title": "😀"}, "form_text_undrawable"),
        ({"title": "长" * 61}, "form_text_long"),
        ({"title": "长" * 10_000}, "form_text_long"),
        ({"thirds": [Third("", "领舞", 0, 3 * T)]}, "form_third_empty"),
        ({"thirds": [Third("玉" * 21, "", 0, 3 * T)]}, "form_text_long"),
        ({"thirds": [Third("玉香", "", 3 * T, 3 * T)]}, "form_third_times"),
        ({"thirds": [Third("玉香", "", -T, 3 * T)]}, "form_third_times"),
        ({"thirds": [Third("玉香", "", 3 * T, 21 * T)]}, "form_third_times"),
        (
            {"thirds": [Third("玉香", "", 3 * T, 8 * T), Third("岩", "", 7 * T, 9 * T)]},
            "form_thirds_overlap",
        ),
        ({"thirds": [Third("玉香", "", 0, 3 * T)] * (THIRDS_MAX + 1)}, "form_thirds_many"),
    ],
)
def test_what_cannot_be_is_refused(given: dict[str, object], code: str) -> None:
    with pytest.raises(Refused) as refused:
        wish(**given)
    assert refused.value.code == code
