"""Search on a real PostgreSQL: what is found and counted is what a plain look at each record says,
whether it was packed into bits, written since, or changed after it was packed."""

from __future__ import annotations

import datetime as dt
import random
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

import catalog.search.job  # noqa: F401 - registers the handlers
from catalog.audit import Actor
from catalog.centres import add_centre
from catalog.errors import Refused
from catalog.models import Centre, Genre, Resource
from catalog.models.search import CHUNK, SearchChunk, SearchFresh, SearchRow
from catalog.search import index, packed, packing, query, rows
from catalog.search.facets import FACETS
from catalog.search.query import Found, Query, query_for, search
from catalog.search.suggest import suggest
from catalog.search.tokens import letter_tokens, query_of, tokens
from infra.database import Database
from infra.jobs import JobRunner, enqueue
from infra.settings import Settings
from infra.tables import Job

EVENTS = ("泼水节晚会", "火把节展演", "乡村春晚", "書法作品展")
JOBS = ("search_fill", "search")
ARTS = ("孔雀舞", "花灯戏", "葫芦丝", "左脚舞")


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    with database.transaction() as opened:
        yield opened


@pytest.fixture(params=["all in bits", "few by rows"])
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is packed, however little there is, and counted so, however little is found."""
    monkeypatch.setattr(packing, "ROWS_FROM", 0)
    monkeypatch.setattr(packing, "TERM_FROM", 1)
    if request.param == "all in bits":
        monkeypatch.setattr(packed, "FEW", -1)


def centres(session: Session) -> list[Centre]:
    """A prefecture with two counties, one of which has a station; the prefecture first."""
    top = add_centre(session, "楚雄州文化馆", level="prefecture")
    county = add_centre(session, "双柏县文化馆", parent=top)
    other = add_centre(session, "元谋县文化馆", parent=top)
    return [top, county, other, add_centre(session, "妥甸镇文化站", parent=county)]


def add(session: Session, key: str, centre: Centre, title: str, **values: Any) -> Resource:
    made = Resource(
        **{
            "id": key, "centre_id": centre.id, "kind": "finished", "state": "published",
            "title": title, "event_date": dt.date(2020, 4, 13), **values,
        }
    )  # fmt: skip
    session.add(made)
    session.flush()
    return made


def many(session: Session, count: int, seed: int = 1) -> list[Resource]:
    """Records of every kind, in no order."""
    dice = random.Random(seed)
    houses = session.scalars(select(Centre).order_by(Centre.name)).all()
    made = [
        add(
            session, f"s{seed}n{number:05d}", dice.choice(houses),
            f"{dice.choice(EVENTS)}：{dice.choice(ARTS)}{number % 7}号",
            kind=dice.choice(("finished", "micro", "image")),
            state=dice.choice(("published", "published", "draft")),
            genre_id=dice.choice(("dance", "opera", None)),
            languages=dice.choice((["zh"], ["zh", "ii"], [])),
            contract=dice.choice(("", "甲合同")),
            event_date=dt.date(2019, 1, 1) + dt.timedelta(days=dice.randrange(900)),
        )
        for number in range(count)
    ]  # fmt: skip
    index.refresh(session, [resource.id for resource in made])
    return made


QUERIES = (
    Query(),
    Query(words="泼水节"),
    Query(words="書法 孔雀舞", order="newest"),
    Query(words="zjw"),
    Query(words="舞", kinds=["micro", "image"]),
    Query(words="晚会", kinds=["image"], years=[2019, 2021], languages=["ii"]),
    Query(genres=["dance"], states=["draft"], limit=5, offset=7),
    Query(words="花灯戏", public_only=True, contract="甲合同"),
    Query(words="没有这个词"),
    Query(words="3号 文化"),
)


def expected(session: Session, query: Query) -> Found:
    """The same by looking at each record, one after the other."""
    paths = {centre.id: centre.path for centre in session.scalars(select(Centre))}
    names = {centre.id: centre.name for centre in session.scalars(select(Centre))}
    children = {c.id for c in session.scalars(select(Centre)) if c.path.count("/") == 2}
    counts: dict[str, Counter[Any]] = {name: Counter() for name in FACETS}
    passing = []
    for record in session.scalars(select(Resource)):
        known = {*tokens(record.title), *letter_tokens(record.title)}
        known |= {*tokens(names[record.centre_id])}
        if record.genre_id:
            genre = session.get_one(Genre, record.genre_id).name
            known |= {*tokens(genre), *letter_tokens(genre)}
        if not set(query_of(query.words)) <= known:
            continue
        if query.contract is not None and record.contract != query.contract:
            continue
        if query.public_only and record.state != "published":
            continue
        path = paths[record.centre_id]
        if not path.startswith(query.centre_path or ""):
            continue
        has: dict[str, Any] = {
            "kind": [record.kind], "state": [record.state], "year": [record.event_date.year],
            "genre": [record.genre_id] if record.genre_id else [],
            "language": record.languages, "centre": path.split("/")[:-1],
        }  # fmt: skip
        wanted: dict[str, Any] = {
            "kind": query.kinds, "state": query.states, "year": query.years,
            "genre": query.genres, "language": query.languages,
            "centre": [query.centre_id] if query.centre_id else [],
        }  # fmt: skip
        failed = {n for n, chosen in wanted.items() if chosen and not set(chosen) & set(has[n])}
        for name, values in has.items():
            if not failed - {name}:
                counts[name].update(v for v in values if name != "centre" or v in children)
        if not failed:
            passing.append(record)
    return Found(
        [r.id for r in passing],
        len(passing),
        True,
        {name: sorted(counter.items()) for name, counter in counts.items()},
    )


def check(session: Session) -> None:
    houses = {centre.name: centre for centre in session.scalars(select(Centre))}
    county = houses["双柏县文化馆"]
    for asked in (
        *QUERIES,
        Query(words="火把节", centre_id=county.id),
        Query(words="晚会", centre_path=houses["楚雄州文化馆"].path, centre_id=county.id),
    ):
        wanted = expected(session, asked)
        got = search(session, asked)
        assert (got.total, got.total_exact) == (wanted.total, True), asked
        assert {n: sorted(values) for n, values in got.facets.items()} == wanted.facets, asked
        assert len(got.ids) == max(0, min(asked.limit, wanted.total - asked.offset))
        assert set(got.ids) <= set(wanted.ids)
        if asked.order == "newest":
            days = {r.id: r.event_date for r in session.scalars(select(Resource))}
            newest = sorted((days[key] for key in wanted.ids), reverse=True)
            page = slice(asked.offset, asked.offset + asked.limit)
            assert [days[key] for key in got.ids] == newest[page]


def packed_chunks(session: Session) -> int:
    return session.scalars(select(func.count()).select_from(SearchChunk)).one()


def fresh(session: Session) -> int:
    return session.scalars(select(func.count()).select_from(SearchFresh)).one()


def test_counts_are_those_of_a_plain_look(session: Session) -> None:
    centres(session)
    many(session, 150)
    assert packed_chunks(session) == 0
    check(session)


@pytest.mark.usefixtures("small")
def test_packing_changes_nothing_but_the_time_it_takes(session: Session) -> None:
    centres(session)
    # The records lie in two chunks.
    session.execute(text(f"ALTER TABLE search_rows ALTER ord RESTART WITH {CHUNK - 60}"))
    made = many(session, 150)
    while packing.pack_next(session, least=1):
        pass
    assert (packed_chunks(session), fresh(session)) == (2, 0)
    check(session)
    # Changed after it was packed: its bits say what is no longer true.
    for resource in made[::4]:
        resource.title, resource.kind = "乡村春晚：葫芦丝", "image"
        resource.event_date = dt.date(2021, 5, 1)
        resource.state = "published"
    many(session, 20, seed=2)
    index.refresh(session, [resource.id for resource in made[::4]])
    assert fresh(session) == len(made[::4]) + 20
    check(session)
    while packing.pack_next(session, least=1):
        pass
    assert fresh(session) == 0
    check(session)


@pytest.mark.usefixtures("small")
def test_a_word_that_became_frequent_is_packed_everywhere(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    centres(session)
    monkeypatch.setattr(packing, "TERM_FROM", 40)
    monkeypatch.setattr(packing, "GROWTH", 1)
    session.execute(text(f"ALTER TABLE search_rows ALTER ord RESTART WITH {CHUNK - 50}"))
    many(session, 50)
    assert packing.pack_next(session, least=1)
    many(session, 150, seed=2)
    while packing.pack_next(session, least=1):
        pass
    terms = session.scalars(text("SELECT DISTINCT chunk FROM search_words WHERE term = '晚会'"))
    assert set(terms) == {0, 1}
    check(session)


@pytest.mark.usefixtures("small")
def test_rebuilding_comes_to_the_same(session: Session) -> None:
    centres(session)
    many(session, 120)
    index.rebuild(session)
    assert (packed_chunks(session), fresh(session)) == (1, 0)
    check(session)
    session.execute(update(Resource).where(Resource.id == "s1n00001").values(title="新的名字"))
    index.refresh(session, ["s1n00001"])
    assert search(session, Query(words="新的名字")).ids == ["s1n00001"]


@pytest.mark.usefixtures("small")
def test_what_is_written_while_a_chunk_is_packed_stays_fresh(database: Database) -> None:
    with database.transaction() as session:
        centres(session)
        key = many(session, 30)[0].id
    rename = update(Resource).where(Resource.id == key).values(title="谁也没有的戏")
    with database.transaction() as writer:
        writer.execute(rename)
        with database.transaction() as packer:
            assert packing.pack_next(packer, least=1)
        index.refresh(writer, [key])
    with database.transaction() as reader:
        assert fresh(reader) == 1
        check(reader)
        assert search(reader, Query(words="谁也没有的戏")).ids == [key]
    # Once the writer has said what is new, the packer leaves its record alone.
    with database.transaction() as writer:
        writer.execute(rename.values(title="又一出戏"))
        index.refresh(writer, [key])
        with database.transaction() as packer:
            packer.execute(text("SET LOCAL lock_timeout = '1s'"))
            assert not packing.pack_next(packer, least=1)
    with database.transaction() as packer:
        assert packing.pack_next(packer, least=1)
        assert fresh(packer) == 0
        check(packer)
        assert search(packer, Query(words="又一出戏")).ids == [key]


def test_who_sees_what(session: Session) -> None:
    top, county, other, _ = centres(session)
    add(session, "own", county, "泼水节")
    add(session, "draft", county, "泼水节 草稿", state="draft")
    add(session, "made", county, "泼水节 合同", contract="甲合同")
    add(session, "far", other, "泼水节")
    index.refresh(session, ["own", "draft", "made", "far"])

    def ids(role: str, contract: str = "", **choices: Any) -> set[str]:
        actor = Actor(None, "", role, county.path, contract)
        return set(search(session, query_for(actor, words="泼水节", **choices)).ids)

    assert ids("staff") == {"own", "draft", "made"}
    assert ids("studio", "甲合同") == {"made"}
    assert ids("studio") == set()
    assert ids("staff", centre_id=other.id) == set()
    assert set(search(session, Query(public_only=True)).ids) == {"own", "made", "far"}
    facets = search(session, Query(centre_path=top.path)).facets
    assert facets["centre"] == [(county.id, 3), (other.id, 1)]
    assert suggest(session, "草稿", centre_path=None, public_only=True) == []
    assert suggest(session, "草稿", centre_path=other.path, public_only=False) == []
    assert suggest(session, "草稿", centre_path=county.path, public_only=False) == ["泼水节 草稿"]


def test_everything_said_of_a_record_is_found(session: Session) -> None:
    top = centres(session)[0]
    add(
        session, "rich", top, "晚会", description="由老年大学承办", body="盛况空前",
        keywords=["象脚鼓"], people=[{"name": "玉香", "role": "performer"}], place="勐遮镇",
        rights_holder="州歌舞团", genre_id="quyi",
    )  # fmt: skip
    index.refresh(session, ["rich"])
    for words in ("老年大学", "盛况", "象脚鼓", "玉香", "yx", "勐遮", "歌舞团", "曲艺", "楚雄州"):
        assert search(session, Query(words=words)).ids == ["rich"], words
    assert search(session, Query(words="x'; DROP TABLE resources; --")).ids == []
    assert search(session, Query(words="晚会 & | ! ( :*")).ids == ["rich"]
    assert search(session, Query(words="！！")).total == 0


def test_the_best_come_first_and_pages_meet(session: Session) -> None:
    top = centres(session)[0]
    for number in range(12):
        day = dt.date(2020, 1, 1) + dt.timedelta(days=number)
        add(session, f"k{number:02d}", top, "演出", keywords=["泼水节"], event_date=day)
    add(session, "title", top, "泼水节", event_date=dt.date(2013, 1, 1))
    index.refresh(session, [*(f"k{number:02d}" for number in range(12)), "title"])
    best = [
        key
        for offset in (0, 5, 10)
        for key in search(session, Query(words="泼水节", limit=5, offset=offset)).ids
    ]
    assert best == ["title", *(f"k{number:02d}" for number in reversed(range(12)))]
    newest = search(session, Query(words="泼水节", order="newest")).ids
    assert newest == [*best[1:], "title"]


def test_suggestions_complete_names_and_initials(session: Session) -> None:
    top = centres(session)[0]
    add(session, "one", top, "2020年泼水节晚会", keywords=["泼水节", "傣族"])
    add(session, "two", top, "泼水节文艺汇演", keywords=["泼水节"])
    index.refresh(session, ["one", "two"])
    for typed in ("泼水", "泼", "psj", "潑水"):
        assert suggest(session, typed, centre_path=None, public_only=True)[0] == "泼水节", typed
    assert suggest(session, "汇演", centre_path=None, public_only=True) == ["泼水节文艺汇演"]
    assert suggest(session, " ", centre_path=None, public_only=True) == []


def test_what_cannot_be_counted_says_so(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    centres(session)
    many(session, 30)
    monkeypatch.setattr(rows, "ROWS_MOST", 10)
    found = search(session, Query())
    assert (found.total, found.total_exact) == (10, False)
    with pytest.raises(Refused, match="search_page"):
        search(session, Query(limit=query.LIMIT_MOST + 1))


def test_records_older_than_search_are_brought_in(session: Session) -> None:
    top = centres(session)[0]
    for number in range(3):
        add(session, f"old{number}", top, "旧录像")
    assert search(session, Query()).total == 0
    assert [index.fill_in(session, 2), index.fill_in(session, 2), index.fill_in(session, 2)] == [
        2, 1, 0,
    ]  # fmt: skip
    assert search(session, Query()).total == 3
    assert session.scalars(select(func.max(SearchRow.ord))).one() == 2


@pytest.mark.usefixtures("small")
def test_the_jobs_fill_in_and_pack(database: Database, settings: Settings) -> None:
    with database.transaction() as session:
        top = centres(session)[0]
        for number in range(40):
            add(session, f"old{number:02d}", top, "旧录像")
        jobs = [enqueue(session, kind=kind, queue="catalog", args={}).id for kind in JOBS]
    runner = JobRunner(database, settings, threading.Event())
    for job_id in jobs:
        runner.look(job_id)
    with database.transaction() as session:
        results = [session.get_one(Job, job_id).result for job_id in jobs]
        assert results == [{"written": 40}, {"packed": 1}]
        assert fresh(session) == 0
        check(session)
