"""The address of a search: everything it says comes back, and nothing senseless gets through."""

from __future__ import annotations

from urllib.parse import parse_qs

from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from api.pages.library.ask import PAGE_MAX, PAGE_SIZE, Ask, ask_of, facet, pager

PATH = "/desk/library"
_VALUES = st.lists(
    st.sampled_from(("finished", "image", "khb", "2026")), max_size=3, unique=True
).map(tuple)


def _back(ask: Ask) -> Ask:
    return ask_of(QueryParams(ask.href.partition("?")[2]), PATH)


@given(
    words=st.text(max_size=60).map(lambda s: " ".join(s.split())),
    kind=_VALUES,
    state=_VALUES,
    newest=st.booleans(),
    table=st.booleans(),
    page=st.integers(1, PAGE_MAX),
)
def test_an_address_says_the_whole_search(
    words: str,
    kind: tuple[str, ...],
    state: tuple[str, ...],
    newest: bool,
    table: bool,
    page: int,
) -> None:
    ask = Ask(PATH, words=words, kind=kind, state=state, newest=newest, table=table, page=page)
    if "\ud800" <= max(words, default="") <= "\udfff":
        return
    assert _back(ask) == ask


def test_choosing_and_dropping_a_value_begins_at_the_first_page() -> None:
    ask = Ask(PATH, words="歌", kind=("image",), centre="c1", page=7)
    more = ask.toggled("kind", "finished")
    assert (more.kind, more.page) == (("image", "finished"), 1)
    assert more.toggled("kind", "image").kind == ("finished",)
    assert ask.toggled("centre", "c1").centre == ""
    assert ask.toggled("centre", "c2").centre == "c2"
    assert ask.narrowed == 2


def test_senseless_addresses_mean_something_all_the_same() -> None:
    raw = "q=%20%20&year=abcd&year=2026&page=-3&kind=&kind=image&kind=image&centre=" + "x" * 99
    ask = ask_of(QueryParams(raw), PATH)
    assert (ask.words, ask.year, ask.page, ask.kind) == ("", ("2026",), 1, ("image",))
    assert len(ask.centre) == 32
    assert ask_of(QueryParams("page=99999"), PATH).page == PAGE_MAX
    assert ask_of(QueryParams("page=٣"), PATH).page == 1


def test_an_export_takes_all_pages() -> None:
    ask = Ask(PATH, words="泼水节", kind=("image",), page=3, table=True)
    assert parse_qs(ask.query) == {"q": ["泼水节"], "kind": ["image"]}


def test_pages_end_where_the_records_end() -> None:
    ask = Ask(PATH)
    assert pager(ask, 0).pages == 1
    assert pager(ask, PAGE_SIZE).after is None
    two = pager(ask, PAGE_SIZE + 1)
    assert (two.pages, two.after) == (2, f"{PATH}?page=2")
    assert pager(ask.on_page(2), PAGE_SIZE + 1).before == PATH
    assert pager(ask, 10**6).pages == PAGE_MAX


def test_a_chosen_value_stays_in_sight_though_nothing_has_it() -> None:
    ask = Ask(PATH, kind=("audio",))
    shown = facet(ask, "kind", "种类", [("image", 3)], {"image": "图片", "audio": "音频"})
    assert [(c.name, c.count, c.chosen) for c in shown.choices] == [
        ("图片", 3, False),
        ("音频", 0, True),
    ]
    assert shown.choices[1].href == PATH
