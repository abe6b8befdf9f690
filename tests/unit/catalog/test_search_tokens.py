"""Chinese words in all their spellings lead to the same tokens; nothing typed breaks a query."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.search.rank import ranked
from catalog.search.tokens import fold, initials, letter_tokens, query_of, tokens

TITLE = "2020年勐海县文化馆文化惠民巡演：KTV《泼水节》"
HAN = st.text(alphabet="勐海县文化馆惠民巡演泼水节的年在人书法", min_size=1, max_size=20)


def found(typed: str, text: str = TITLE) -> bool:
    """Whether a record of that title has what is asked for."""
    wanted = query_of(typed)
    return bool(wanted) and set(wanted) <= {*tokens(text), *letter_tokens(text)}


@pytest.mark.parametrize(
    "typed",
    [
        "文化", "化馆", "泼水", "水节", "勐海县文化馆", "惠民巡演 泼水节", "泼水节2020", "馆",
        "潑水節", "文化館", "２０２０年", "ＫＴＶ", "ktv", "whhm", "WHG", "psj",
        "mhx", "文化hm", "勐海的泼水节",
    ],
)  # fmt: skip
def test_is_found(typed: str) -> None:
    assert found(typed), (typed, query_of(typed))


@pytest.mark.parametrize("typed", ["文艺", "泼水舞", "whjc", "2021", "kt v2", "202", "，。", ""])
def test_is_not_found(typed: str) -> None:
    assert not found(typed), (typed, query_of(typed))


def test_a_character_of_many_sounds_has_the_initial_of_its_word() -> None:
    assert initials("重庆音乐会") == "cqyyh"
    assert initials("快乐重阳") == "klcy"
    assert initials("KTV大赛，2020") == "ktvds  "


def test_jieba_s_words_are_tokens() -> None:
    assert {"文化馆", "泼水节", "2020", "ktv"} <= set(tokens(TITLE))


@given(HAN, st.data())
def test_every_part_of_a_text_is_found(text: str, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(first + 1, len(text)))
    assert set(query_of(text[first:end])) <= set(tokens(text))


@given(st.text(max_size=60))
def test_tokens_hold_nothing_a_query_would_read_as_more(text: str) -> None:
    for token in [*tokens(text), *letter_tokens(text), *query_of(text)]:
        assert token
        assert not set(token) & set(" \t\n\r&|!()<>:*'\"\\\0")


def test_the_best_title_comes_first() -> None:
    titles = ["演出集锦", "泼水欢庆节", "民族泼水节", "泼水节", "勐海泼水节"]
    order = ranked([(fold(title), title) for title in titles], "潑水節")
    assert order == ["泼水节", "民族泼水节", "勐海泼水节", "演出集锦", "泼水欢庆节"]
    assert ranked([("演出", 1), ("文化惠民", 2)], "whhm") == [2, 1]
