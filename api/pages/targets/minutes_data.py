"""时长账: what was finished, kept raw and photographed, by broadcast, month and centre.

Every number is a sum of hits, each a row's share of a union; every number leads to its rows.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final, Literal
from urllib.parse import urlencode

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from api.pages.targets.view import ChartView
from api.rights import covers
from catalog.audit import Actor
from catalog.centres import centres_within
from catalog.clock import china_date
from catalog.errors import Missing
from catalog.minutes import RULE_VERSION
from catalog.models import Broadcast, PastBroadcast, Resource
from catalog.plans.amounts import number_text
from catalog.plans.measures import Hit, Switches, measure, scale
from catalog.plans.queries import Query
from catalog.year.facts import Facts
from catalog.year.load import load_facts

By = Literal["broadcast", "month", "centre"]
BYS: Final[dict[str, str]] = {"broadcast": "按场次", "month": "按月", "centre": "按馆"}
LEDGERS: Final[dict[str, tuple[str, str, Query]]] = {
    "original": (
        "成片·原创",
        "分钟",
        Query("finished_minutes", origin="original"),
    ),
    "optimised": ("成片·优化", "分钟", Query("finished_minutes", origin="optimised")),
    "raw": ("素材", "分钟", Query("raw_minutes")),
    "stills": ("图片·直录播", "幅", Query("images", ledger="broadcast")),
    "exhibits": ("图片·展览", "幅", Query("images", ledger="exhibition")),
}
PARTS: Final = ("shows", "pieces", "stills")
ROWS_MAX: Final = 500


@dataclass(frozen=True, slots=True)
class MinutesAsked:
    year: int
    by: By = "broadcast"
    centre: str = ""
    """Its subtree; empty: all one may see."""
    month: int = 0
    what: str = ""
    """The ledger whose rows are wanted; empty: the table."""
    row: str = ""
    """Of one row of the table: a broadcast's or a centre's id."""

    def path(self, **changes: Any) -> str:
        wanted = {
            "year": self.year,
            "by": self.by,
            "centre": self.centre,
            "month": self.month,
            "what": self.what,
            "row": self.row,
        } | changes
        return "/desk/minutes?" + urlencode({k: v for k, v in wanted.items() if v})


@dataclass(frozen=True, slots=True)
class Figure:
    text: str
    href: str
    """Its rows; empty where there are none."""


@dataclass(frozen=True, slots=True)
class Sum:
    name: str
    unit: str
    figure: Figure
    chosen: bool


@dataclass(frozen=True, slots=True)
class TableRow:
    name: str
    about: str
    href: str
    figures: tuple[Figure, ...]


@dataclass(frozen=True, slots=True)
class HitRow:
    date: str
    title: str
    about: str
    amount: str
    counts: bool
    href: str


@dataclass(frozen=True, slots=True)
class MinutesView:
    asked: MinutesAsked
    years: tuple[tuple[int, str], ...]
    centres: tuple[tuple[str, str], ...]
    months: tuple[tuple[int, str], ...]
    bys: tuple[tuple[str, str, bool], ...]
    """(way, word, is this one)"""
    sums: tuple[Sum, ...]
    columns: tuple[tuple[str, str], ...]
    rows: tuple[TableRow, ...]
    more: int
    hits: tuple[HitRow, ...] | None
    """The rows of one number; None: the table is shown."""
    hits_name: str
    chart: ChartView | None
    rule_version: str
    table_href: str


@dataclass
class _Tally:
    """Hits of all ledgers, and where each row belongs."""

    facts: Facts
    month: int
    hits: dict[str, list[Hit]] = field(default_factory=dict)
    homes: dict[str, str] = field(default_factory=dict)
    """Row id → centre id."""
    shows: dict[str, str] = field(default_factory=dict)
    """Row id → the broadcast it belongs to."""

    def __post_init__(self) -> None:
        for name, (_, _, query) in LEDGERS.items():
            found = measure(query, self.facts, Switches())
            self.hits[name] = [h for h in found if not self.month or h.date.month == self.month]
        for show in self.facts.shows:
            self.homes[show.id] = show.centre_id
            self.shows[show.id] = show.id
        for piece in self.facts.pieces:
            self.homes[piece.id] = piece.centre_id
            self.shows[piece.id] = piece.broadcast_id or ""
        for still in self.facts.stills:
            self.homes[still.id] = still.centre_id
            self.shows[still.id] = still.broadcast_id or ""

    def grouped(self, key: Callable[[Hit], str]) -> dict[str, dict[str, int]]:
        """Group → ledger → sum of hits."""
        made: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(LEDGERS, 0))
        for name, hits in self.hits.items():
            for hit in hits:
                made[key(hit)][name] += hit.amount
        return made


def minutes_page(
    session: Session, actor: Actor, asked: MinutesAsked, now: dt.datetime
) -> MinutesView:
    """Raises Missing for a centre out of reach."""
    centres = centres_within(session, actor.centre_path)
    names = {centre.id: centre.name for centre in centres}
    paths = {centre.id: centre.path for centre in centres}
    if asked.centre and asked.centre not in paths:
        raise Missing("centre_unknown", centre=asked.centre)
    path = paths.get(asked.centre, actor.centre_path)
    assert path is None or covers(actor.centre_path, path)
    facts = load_facts(session, asked.year, centre_path=path, cut_off=now, parts=PARTS)
    tally = _Tally(facts, asked.month)
    table, more = _table(tally, asked, names)
    return MinutesView(
        asked=asked,
        years=tuple((year, f"{year} 年") for year in _years(session, now, asked.year)),
        centres=(("", "全部"), *names.items()),
        months=((0, "全年"), *((month, f"{month}月") for month in range(1, 13))),
        bys=tuple((asked.path(by=by, what="", row=""), word, by == asked.by and not asked.what)
                  for by, word in BYS.items()),
        sums=_sums(tally, asked),
        columns=tuple((name, unit) for name, unit, _ in LEDGERS.values()),
        rows=table,
        more=more,
        hits=_hits(tally, asked, names) if asked.what else None,
        hits_name=_hits_name(asked, tally, names),
        chart=_chart(tally) if not asked.month else None,
        rule_version=RULE_VERSION,
        table_href=asked.path(what="", row=""),
    )  # fmt: skip


def _years(session: Session, now: dt.datetime, asked: int) -> list[int]:
    """From the first year anything is known of to this one."""
    first = [
        session.scalar(select(func.min(PastBroadcast.held_on))),
        session.scalar(select(func.min(Resource.event_date))),
    ]
    began = session.scalar(select(func.min(Broadcast.started_at)))
    first.append(china_date(began) if began else None)
    this = china_date(now).year
    known = [day.year for day in first if day is not None]
    return sorted({*range(min([*known, this]), this + 1), asked}, reverse=True)


def _text(ledger: str, amount: int) -> str:
    return number_text(Fraction(amount, scale(LEDGERS[ledger][2])))


def _figures(amounts: Mapping[str, int], asked: MinutesAsked, **changes: Any) -> tuple[Figure, ...]:
    return tuple(
        Figure(
            _text(ledger, amount),
            asked.path(what=ledger, **changes) if amount else "",
        )
        for ledger, amount in amounts.items()
    )


def _sums(tally: _Tally, asked: MinutesAsked) -> tuple[Sum, ...]:
    all_of = tally.grouped(lambda _: "")[""]
    figures = _figures(all_of, asked, row="")
    return tuple(
        Sum(name, unit, figure, asked.what == key and not asked.row)
        for (key, (name, unit, _)), figure in zip(LEDGERS.items(), figures, strict=True)
    )


def _table(
    tally: _Tally, asked: MinutesAsked, names: Mapping[str, str]
) -> tuple[tuple[TableRow, ...], int]:
    if asked.by == "month":
        found = tally.grouped(lambda hit: str(hit.date.month))
        listed = [
            TableRow(f"{month}月", "", asked.path(month=int(month), by="broadcast"),
                     _figures(found[month], asked, month=int(month), row=""))
            for month in sorted(found, key=int)
        ]  # fmt: skip
    elif asked.by == "centre":
        found = tally.grouped(lambda hit: tally.homes.get(hit.id, ""))
        listed = [
            TableRow(name, "", asked.path(centre=key, by="broadcast"),
                     _figures(found[key], asked, row=key))
            for key, name in names.items()
            if key in found
        ]  # fmt: skip
    else:
        listed = list(_shows(tally, asked, names))
    return tuple(listed[:ROWS_MAX]), max(0, len(listed) - ROWS_MAX)


def _shows(tally: _Tally, asked: MinutesAsked, names: Mapping[str, str]) -> Iterable[TableRow]:
    """A row a broadcast, latest first, and one for what belongs to none."""
    found = tally.grouped(lambda hit: tally.shows.get(hit.id, ""))
    for show in sorted(tally.facts.shows, key=lambda s: s.date, reverse=True):
        if show.id not in found:
            continue
        about = f"{show.date.month}月{show.date.day}日 · {names.get(show.centre_id, '')}"
        yield TableRow(
            show.title,
            f"{about} · 旧年报" if show.past else about,
            "" if show.past else f"/b/{show.id}",
            _figures(found[show.id], asked, row=show.id),
        )
    rest = found.get("")
    if rest and any(rest.values()):
        yield TableRow(
            "不属于某一场的", "上传、展览和单独登记的", "", _figures(rest, asked, row="-")
        )


def _hits(tally: _Tally, asked: MinutesAsked, names: Mapping[str, str]) -> tuple[HitRow, ...]:
    found = tally.hits.get(asked.what, [])
    unit = LEDGERS[asked.what][1]
    if asked.row:
        wanted = "" if asked.row == "-" else asked.row
        place = tally.homes if wanted in names else tally.shows
        found = [hit for hit in found if place.get(hit.id, "") == wanted]
    found = sorted(found, key=lambda hit: hit.date, reverse=True)
    return tuple(
        HitRow(
            date=f"{hit.date.month}月{hit.date.day}日",
            title=hit.title,
            about=" · ".join(
                part for part in (names.get(tally.homes.get(hit.id, ""), ""), hit.note) if part
            ),
            amount=f"{_text(asked.what, hit.amount)} {unit}",
            counts=hit.amount != 0,
            href=hit.href,
        )
        for hit in found[:ROWS_MAX]
    )


def _hits_name(asked: MinutesAsked, tally: _Tally, names: Mapping[str, str]) -> str:
    if not asked.what:
        return ""
    titles = {show.id: show.title for show in tally.facts.shows}
    of = names.get(asked.row) or titles.get(asked.row, "")
    when = f"{asked.year} 年" + (f"{asked.month}月" if asked.month else "")
    return " · ".join(part for part in (LEDGERS[asked.what][0], when, of) if part)


def _chart(tally: _Tally) -> ChartView | None:
    """Finished and raw minutes month by month."""
    found = tally.grouped(lambda hit: str(hit.date.month))
    if not found:
        return None
    months = range(1, max(int(month) for month in found) + 1)
    blank = dict.fromkeys(LEDGERS, 0)

    def minutes(*ledgers: str) -> list[float]:
        rows = [found.get(str(month), blank) for month in months]
        return [float(_text(ledgers[0], sum(row[key] for key in ledgers))) for row in rows]

    finished = minutes("original", "optimised")
    data = {
        "unit": "分钟",
        "labels": [f"{month}月" for month in months],
        "series": [
            {"name": "成片", "look": "bar", "values": finished},
            {"name": "素材", "look": "beside", "values": minutes("raw")},
        ],
    }
    return ChartView(data, finished)
