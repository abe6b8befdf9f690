"""A report's lines from facts, entries and targets: the counting rules, case by case."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import Refused
from catalog.minutes import TICKS_A_MINUTE, by_timeline, footage_ticks, together
from catalog.plans.bench import Asked, Bench, Given, Place
from catalog.plans.lines import line, rolled_up
from catalog.plans.measures import Switches, measure, total
from catalog.plans.queries import Query, query_of
from catalog.plans.report import Line
from catalog.plans.shows import broadcast_lines
from catalog.year.facts import Course, Facts, Lesson, Piece, Record, Show, Still

YEAR = (dt.date(2026, 1, 1), dt.date(2026, 12, 31))
MIN = TICKS_A_MINUTE
A = Place("a", "景洪市文化馆", "county", "r/a/", frozenset({"县"}))
B = Place("b", "勐海县文化馆", "county", "r/b/", frozenset({"县"}))
ROOT = Place("r", "西双版纳州文化馆", "prefecture", "r/", frozenset({"州"}))


def day(text: str) -> dt.date:
    return dt.date.fromisoformat(f"2026-{text}")


def show(key: str, on: str = "03-01", centre: str = "a", **more: Any) -> Show:
    row: dict[str, Any] = {
        "title": "元宵晚会",
        "mode": "live",
        "standing": "own",
        "signal": key,
        "past": False,
        "settled": True,
        "original": {},
        "optimised": {},
        "raw": {},
    }
    return Show(id=key, centre_id=centre, date=day(on), **(row | more))


def piece(key: str, kind: str, ticks: int, centre: str = "a", **more: Any) -> Piece:
    row: dict[str, Any] = {
        "title": "开场舞",
        "date": day("03-02"),
        "optimised": kind == "micro",
        "broadcast_id": None,
        "footage": {f"file:{key}": ((0, ticks),)},
        "length": ticks,
    }
    return Piece(id=key, centre_id=centre, kind=kind, **(row | more))


def facts(**parts: Any) -> Facts:
    return Facts(*YEAR, **parts)


def ask(raw: Mapping[str, Any], found: Facts, switches: Switches | None = None) -> Fraction:
    query = query_of(raw)
    return total(query, measure(query, found, switches or Switches()))


def asked(code: str = "t", **more: Any) -> Asked:
    row: dict[str, Any] = {
        "indicator": "指标",
        "unit": "条",
        "who": "县",
        "level": "县",
        "per": "per_unit",
        "period": "year",
        "parent": None,
        "depth": 0,
        "op": ">=",
        "value": Fraction(10),
        "overrides": {},
        "denominator": None,
        "query": None,
    }
    return Asked(code=code, **(row | more))


def entry(centre: str, code: str, value: int, period: str = "") -> Given:
    return Given(1, centre, code, period, Fraction(value), day("06-01"), "台账照片")


def bench(
    targets: Sequence[Asked],
    *,
    entries: Iterable[Given] = (),
    found: Facts | None = None,
    places: Sequence[Place] = (A, B),
    group_sizes: Counter[str] | None = None,
    **switches: Any,
) -> Bench:
    by_cell: dict[tuple[str, str], list[Given]] = {}
    for row in entries:
        by_cell.setdefault((row.centre_id, row.code), []).append(row)
    sizes = group_sizes or Counter(who for place in places for who in place.groups)
    centres = [(place.id, place.path) for place in (ROOT, A, B)]
    return Bench(
        asked=targets,
        places=places,
        group_sizes=sizes,
        facts=found or facts(),
        given=by_cell,
        switches=Switches(**switches),
        detail=True,
        centres=centres,
    )


def whole(ready: Bench, target: Asked, places: Sequence[Place] = (A, B)) -> Line:
    return rolled_up(
        line(ready, target, places, ROOT), [line(ready, target, [place], place) for place in places]
    )


def of(made: Line, *names: str) -> list[Any]:
    """Several of a line's values at once."""
    return [getattr(made, name) for name in names]


# --- 场 ---------------------------------------------------------------------------------------


def test_recorded_is_not_live_and_a_relay_is_no_show() -> None:
    found = facts(
        shows=(
            show("1"),
            show("2", mode="recorded"),
            show("3", standing="linked", signal="x"),
            show("4", "03-02", "b", standing="linked", signal="x"),
            show("5", standing="reshown", signal="1"),
        )
    )
    assert ask({"measure": "broadcasts", "mode": "live"}, found) == 1
    assert ask({"measure": "broadcasts", "mode": "recorded"}, found) == 1
    assert ask({"measure": "broadcasts"}, found) == 2
    assert ask({"measure": "broadcasts", "reshown": True}, found) == 3
    assert ask({"measure": "broadcasts"}, found, Switches(reshown=True)) == 3
    # One signal: one for each centre, one for them together.
    assert ask({"measure": "linked"}, found) == 1
    assert [ask({"measure": "linked"}, found.part({c})) for c in "ab"] == [1, 1]
    # What does not count stands there, with the reason.
    hits = measure(query_of({"measure": "broadcasts"}), found, Switches())
    assert [(hit.id, hit.amount) for hit in hits][2:] == [("3", 0), ("4", 0), ("5", 0)]
    assert "联动" in hits[2].note
    assert "重播" in hits[4].note
    rows = broadcast_lines(found, Switches(), {"a": "景洪", "b": "勐海"})
    assert [(row.id, row.nr) for row in rows] == [("1", 1), ("2", 2), ("3", 0), ("5", 0)]


# --- minutes ----------------------------------------------------------------------------------


def test_versions_and_recuts_count_once_and_ledgers_stay_apart() -> None:
    take = {"take:1": ((0, 100 * MIN),)}
    recut = {"take:1": ((50 * MIN, 120 * MIN),)}
    found = facts(
        shows=(show("1", original=take, raw=take), show("2", optimised={"take:2": ((0, MIN),)})),
        pieces=(
            piece("cut", "finished", 70 * MIN, footage=recut),
            piece("clip", "micro", 3 * MIN, footage={"take:1": ((0, 3 * MIN),)}, broadcast_id="1"),
            piece("long", "micro", 16 * MIN),
            piece("card", "raw", 8 * MIN),
        ),
    )
    assert ask({"measure": "finished_minutes"}, found) == 121
    assert ask({"measure": "finished_minutes", "of": "broadcasts"}, found) == 101
    assert ask({"measure": "finished_minutes", "origin": "original"}, found) == 120
    assert ask({"measure": "finished_hours", "origin": "original"}, found) == 2
    # 优化: what was re-worked and what was clipped, never again as 原创.
    assert ask({"measure": "finished_minutes", "origin": "optimised"}, found) == 1 + 3 + 16
    assert ask({"measure": "micro_count"}, found) == 1
    assert ask({"measure": "micro_minutes"}, found) == 3
    assert ask({"measure": "micro_count"}, found, Switches(micro_max_minutes=20)) == 2
    assert ask({"measure": "raw_minutes"}, found) == 108
    assert ask({"measure": "raw_minutes"}, found, Switches(programme_only=True)) == 100


footages = st.dictionaries(
    st.sampled_from(["take:1", "take:2", "file:x"]),
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=4),
).map(lambda loose: by_timeline((t, a, b) for t, rows in loose.items() for a, b in rows))


@given(st.lists(st.tuples(st.sampled_from("ab"), st.booleans(), footages), max_size=8))
def test_minutes_are_unions(rows: list[tuple[str, bool, dict[str, Any]]]) -> None:
    found = facts(
        shows=tuple(
            show(str(n), centre=c, original=f) for n, (c, is_show, f) in enumerate(rows) if is_show
        ),
        pieces=tuple(
            piece(str(n), "finished", 1, centre=c, footage=f)
            for n, (c, is_show, f) in enumerate(rows)
            if not is_show
        ),
    )
    query = Query("finished_minutes")
    hits = measure(query, found, Switches())
    union = footage_ticks(together(*(f for _, _, f in rows)))
    assert sum(hit.amount for hit in hits) == union
    assert union <= sum(footage_ticks(f) for _, _, f in rows)
    assert measure(query, found, Switches()) == hits
    # The rows of the printed list add up to the sum printed under them.
    lines = broadcast_lines(found, Switches(), {})
    assert sum(one.finished_ticks for one in lines) == footage_ticks(
        together(*(f for _, is_show, f in rows if is_show))
    )
    # Centres apart never have less than centres together.
    apart = sum(
        (total(query, measure(query, found.part({c}), Switches())) for c in "ab"), Fraction(0)
    )
    assert apart >= total(query, hits)
    # What is relayed adds nothing, whatever it shows.
    relayed = facts(shows=tuple(one._replace(standing="linked") for one in found.shows))
    assert total(query, measure(query, relayed, Switches())) == 0


# --- pieces -----------------------------------------------------------------------------------


def test_a_still_is_one_and_in_one_ledger() -> None:
    def still(key: str, ledger: str, same: str, broadcast: str | None = None) -> Still:
        return Still(key, "a", "剧照", day("03-01"), ledger, same, broadcast)

    found = facts(
        shows=(show("1"), show("2", past=True, images=40)),
        stills=(
            still("i1", "broadcast", "h1", "1"),
            still("i2", "exhibition", "h1"),
            still("i3", "exhibition", "h2"),
            still("i4", "broadcast", "h2", "1"),
            still("i5", "broadcast", "h3", "1"),
        ),
    )
    assert ask({"measure": "images", "ledger": "broadcast"}, found) == 42
    assert ask({"measure": "images", "ledger": "exhibition"}, found) == 1
    assert ask({"measure": "images"}, found) == 43
    assert [row.images for row in broadcast_lines(found, Switches(), {})] == [2, 40]


def test_a_course_is_complete_with_its_last_lesson() -> None:
    def lessons(*days: str | None) -> tuple[Lesson, ...]:
        return tuple(
            Lesson(f"l{n}", "课", dt.date.fromisoformat(d) if d else None)
            for n, d in enumerate(days)
        )

    def course(key: str, planned: int, *days: str | None) -> Course:
        return Course(key, "a", "葫芦丝", dt.date(2025, 9, 1), "music", planned, lessons(*days))

    found = facts(
        courses=(
            course("done in 2025", 2, "2025-10-01", "2025-10-02"),
            course("last lesson this year", 2, "2025-10-01", "2026-01-05"),
            course("one is a draft", 0, "2026-01-01", None),
            course("fewer than announced", 3, "2026-01-01", "2026-01-02"),
            course("none", 0),
        )
    )
    hits = measure(Query("courses"), found, Switches())
    assert [hit.id for hit in hits if hit.amount] == ["last lesson this year"]
    assert {hit.id: hit.note for hit in hits}["fewer than announced"] == "章节不全：2/3"
    assert ask({"measure": "courses", "min_lessons": 3}, found) == 0
    assert ask({"measure": "lessons"}, found) == 4
    assert ask({"measure": "lessons", "genres": ["dance"]}, found) == 0


def test_a_changed_record_counts_only_where_the_plan_says() -> None:
    def record(key: str, on: str, kind: str = "news", *, edit: bool = False) -> Record:
        return Record(key, "a", kind, "简讯", day(on), None, edit)

    found = facts(
        records=(
            record("1", "01-05"),
            record("2", "01-06", "finished"),
            record("3", "01-07", "image"),
            record("4", "01-07", "raw"),
            record("1", "01-20", edit=True),
            record("1", "02-20", edit=True),
        )
    )
    assert ask({"measure": "records"}, found) == 2
    assert ask({"measure": "records", "av_only": True}, found) == 1
    assert ask({"measure": "records", "kinds": ["image"]}, found) == 1
    # Made and changed in January is one; February's change is another.
    assert ask({"measure": "records", "edits": True}, found) == 3
    with pytest.raises(Refused):
        query_of({"measure": "records", "mode": "live"})


# --- lines ------------------------------------------------------------------------------------


def test_a_share_is_of_the_target_unless_the_plan_says_otherwise() -> None:
    parent = asked("info", value=Fraction(120))
    share = asked("av", unit="%", value=Fraction(50), parent="info")
    entries = [entry("a", "info", 161), entry("a", "av", 64)]
    made = line(bench([parent, share], entries=entries), share, [A], A)
    assert of(made, "count", "count_target", "owed_unit") == [64, 60, "条"]
    assert made.rate == Fraction(64, 60) * 100
    assert made.met is True
    of_actual = line(bench([parent, share], entries=entries, share_of="actual"), share, [A], A)
    assert of_actual.actual == Fraction(6400, 161)
    assert of_actual.met is False
    assert of_actual.owed == Fraction(161, 2) - 64
    nothing = line(bench([parent, share]), share, [A], A)
    assert of(nothing, "actual", "rate", "met", "source") == [None, None, None, "none"]
    assert nothing.owed == 60
    # Over two centres the counts and the targets add up.
    both = whole(bench([parent, share], entries=entries), share)
    assert of(both, "count", "count_target") == [64, 120]
    assert both.met is False
    assert both.note == "2个单位中1个完成"


def test_a_surplus_here_hides_no_arrears_there() -> None:
    target = asked()
    both = whole(bench([target], entries=[entry("a", "t", 25), entry("b", "t", 3)]), target)
    assert of(both, "target", "actual", "met", "owed") == [20, 28, False, 7]
    assert both.rate == 140


def test_what_several_are_asked_together_is_nobodys_alone() -> None:
    target = asked(per="total", value=Fraction(30))
    ready = bench([target], entries=[entry("a", "t", 25), entry("b", "t", 5)])
    alone = line(ready, target, [A], A)
    assert of(alone, "joint", "met", "owed", "target") == [True, None, 0, 30]
    both = whole(ready, target)
    assert of(both, "joint", "met", "actual") == [False, True, 30]


def test_each_month_pays_for_itself() -> None:
    target = asked(period="month", value=Fraction(2), query=Query("records"))
    records = tuple(
        Record(f"{m}-{n}", "a", "news", "简讯", dt.date(2026, m, 3), None)
        for m, number in ((1, 5), (2, 1), (3, 2))
        for n in range(number)
    )
    ready = bench([target], found=Facts(YEAR[0], day("04-10"), records=records))
    made = line(ready, target, [A], A)
    assert [cell.actual for cell in made.cells[:5]] == [5, 1, 2, 0, None]
    assert [cell.met for cell in made.cells[:5]] == [True, False, True, None, None]
    assert made.actual == Fraction(2 + 1 + 2, 12)
    assert made.met is False
    assert made.owed == 24 - 5
    quarter = target._replace(period="quarter")
    by_quarter = line(bench([quarter], found=ready.facts), quarter, [A], A)
    assert [cell.actual for cell in by_quarter.cells] == [8, 0, None, None]


def test_an_entry_adds_what_the_ledger_does_not_hold() -> None:
    target = asked(query=Query("records"))
    record = Record("1", "a", "news", "简讯", day("03-01"), None)
    made = line(
        bench([target], found=facts(records=(record,)), entries=[entry("a", "t", 9)]),
        target,
        [A],
        A,
    )
    assert of(made, "actual", "met", "source") == [10, True, "hand"]
    assert made.note == "其中台账1条，手工填报9条"
    assert [f"{row.kind} {row.amount}" for row in made.evidence] == ["resource 1", "entry 9"]


@pytest.mark.parametrize(
    ("op", "value", "given_value", "met", "rate", "owed"),
    [
        (">=", 0, None, True, None, 0),
        (">=", 0, 5, True, None, 0),
        (">", 0, None, None, None, 0),
        (">", 3, 3, False, 100, 0),
        ("<=", 3, 4, False, Fraction(400, 3), 0),
        ("<=", 3, 2, True, Fraction(200, 3), 0),
        ("=", 3, 4, False, Fraction(400, 3), 0),
        (">=", 3, 0, False, 0, 3),
    ],
)
def test_comparisons_and_a_target_of_nothing(
    op: str, value: int, given_value: int | None, met: bool | None, rate: Any, owed: int
) -> None:
    target = asked(op=op, value=Fraction(value))
    entries = [] if given_value is None else [entry("a", "t", given_value)]
    made = line(bench([target], entries=entries), target, [A], A)
    assert of(made, "met", "rate", "owed") == [met, rate, owed]


def test_exceptions_by_name_and_the_least_session() -> None:
    target = asked(overrides={"勐海": Fraction(3)})
    ready = bench([target])
    assert [line(ready, target, [p], p).target for p in (A, B)] == [10, 3]
    assert whole(ready, target).target == 13
    days = asked(per="per_session", value=Fraction(3))
    made = whole(bench([days], entries=[entry("a", "t", 5), entry("b", "t", 2)]), days)
    assert of(made, "actual", "target", "met") == [2, 3, False]


def test_a_query_may_reach_down_the_tree() -> None:
    target = asked(who="州", query=Query("broadcasts", scope="subtree"))
    own = asked("own", who="州", query=Query("broadcasts"))
    found = facts(shows=(show("1", centre="a"), show("2", centre="r")))
    ready = bench([target, own], found=found, places=[ROOT])
    assert line(ready, target, [ROOT], ROOT).actual == 2
    assert line(ready, own, [ROOT], ROOT).actual == 1


# --- hard cases --------------------------------------------------------------------------------


def test_what_is_shown_again_is_never_live() -> None:
    found = facts(shows=(show("1"), show("2", standing="reshown", signal="0")))
    switched = Switches(reshown=True)
    assert ask({"measure": "broadcasts"}, found, switched) == 2
    assert ask({"measure": "broadcasts", "mode": "live"}, found, switched) == 1
    assert ask({"measure": "broadcasts", "mode": "recorded"}, found, switched) == 0


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("娄烦县文化馆", 3),
        ("太原市娄烦县文化馆", 3),
        ("大同市文化馆", 2),
        ("大同云冈区文化馆", 5),
        ("小大同社区文化站", 1),
        ("平遥县文化馆", 1),
    ],
)
def test_the_most_exact_exception_stands(name: str, wanted: int) -> None:
    # PostgreSQL keeps the keys of a JSON object in an order of its own, short ones first.
    overrides = {"大同": Fraction(2), "娄烦": Fraction(3), "大同云冈": Fraction(5)}
    target = asked(value=Fraction(1), overrides=overrides)
    assert target.of(A._replace(name=name)) == wanted


def test_months_that_all_reach_it_are_not_capped() -> None:
    target = asked(period="month", value=Fraction(15))
    entries = [entry("a", "t", 30, f"{month:02}") for month in range(1, 13)]
    full = line(bench([target], entries=entries), target, [A], A)
    assert of(full, "actual", "rate", "met") == [30, 200, True]
    entries[4] = entry("a", "t", 3, "05")
    poor = line(bench([target], entries=entries), target, [A], A)
    assert of(poor, "actual", "rate", "met", "owed") == [14, Fraction(280, 3), False, 12]
