"""What a query counts among the facts, by the rules of COUNTING.md. Pure.

A measure gives *hits*: rows with their share of the number as integers (pieces, or ticks), whose
sum is the number. What the rules leave out stands among them with a share of 0 and the reason,
where a reader would look for it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from operator import attrgetter
from typing import Any, Final, Literal, NamedTuple

from catalog.minutes import TICKS_A_MINUTE, Footage, footage_ticks, together
from catalog.plans.queries import AV_KINDS, DEFAULT_KINDS, Figure, Query
from catalog.plans.report import Evidence, EvidenceKind
from catalog.year.facts import MICRO_MAX_MINUTES, Course, Facts, Piece, Show
from catalog.year.footage import Once

_TICKS: Final = {"minutes": TICKS_A_MINUTE, "hours": 60 * TICKS_A_MINUTE}
_AGAIN: Final = "与前面的素材重叠，不重复计"
_MODES: Final = {"live": "直播", "recorded": "录播"}


class Hit(NamedTuple):
    """One row behind a number."""

    kind: EvidenceKind
    id: str
    title: str
    date: dt.date
    amount: int
    """Pieces, or ticks (see ``scale``)."""
    note: str
    href: str


@dataclass(frozen=True, slots=True)
class Switches:
    """What a plan may decide differently. Every other rule is the same for all."""

    programme_only: bool = False
    """素材 is the programme feed alone."""
    reshown: bool = False
    """展播、重播 count as 场 (推广服务点)."""
    clicks: Figure = "effective_plays"
    """The reported 点击量."""
    share_of: Literal["target", "actual"] = "target"
    """A share is taken of the "target" or of the "actual" of its parent."""
    micro_max_minutes: int = MICRO_MAX_MINUTES
    edits: bool = False
    """更新 includes records that were changed."""


def scale(query: Query) -> int:
    """What a sum of hits is divided by."""
    return _TICKS.get(query.measure.rpartition("_")[2], 1)


def total(query: Query, hits: Iterable[Hit]) -> Fraction:
    """The number: exact, in the unit the measure names."""
    return Fraction(sum(hit.amount for hit in hits), scale(query))


def evidence(query: Query, hits: Iterable[Hit]) -> tuple[Evidence, ...]:
    """Hits as a report keeps them, in order of date."""
    divisor = scale(query)
    return tuple(
        Evidence(kind, key, title, date, _fraction(amount, divisor), note, href)
        for kind, key, title, date, amount, note, href in sorted(hits, key=_day)
    )


_day: Final = attrgetter("date")


@lru_cache(maxsize=4096)
def _fraction(amount: int, divisor: int) -> Fraction:
    """Most rows are one piece; a fraction takes a while to make."""
    return Fraction(amount, divisor)


def measure(query: Query, facts: Facts, switches: Switches) -> list[Hit]:
    """The rows a query counts among the facts."""
    found = _HOW[query.measure](query, facts, switches)
    if query.title_has:
        return [hit for hit in found if any(word in hit.title for word in query.title_has)]
    return list(found)


# --- 场 ---------------------------------------------------------------------------------------


def _broadcasts(query: Query, facts: Facts, switches: Switches) -> Iterator[Hit]:
    reshown = query.reshown or switches.reshown
    for show in facts.shows:
        # What is shown again nobody watches while it happens.
        mode = "" if show.standing == "reshown" else show.mode
        if query.mode not in ("any", mode):
            continue
        if show.standing == "linked":
            yield _hit(show, 0, "联动，计联动次数，不计场次")
        elif show.standing == "reshown" and not reshown:
            yield _hit(show, 0, "展播、重播，不计场次")
        else:
            note = _MODES.get(mode, "展播、重播")
            yield _hit(show, 1, f"{note}；{show.short}" if show.short else note)


def _linked(_query: Query, facts: Facts, _switches: Switches) -> Iterator[Hit]:
    """One a signal: a roll-up of ten that relay the same has one."""
    seen: set[str] = set()
    for show in facts.shows:
        if show.standing != "linked":
            continue
        again = show.signal in seen
        seen.add(show.signal)
        yield _hit(show, 0 if again else 1, "同一信号，已计" if again else "联动")


def _clicks(query: Query, facts: Facts, switches: Switches) -> Iterator[Hit]:
    figure = query.figure or switches.clicks
    for show in facts.shows:
        if show.standing != "reshown" and query.mode in ("any", show.mode):
            yield _hit(show, clicks_of(facts, show, figure), "", kind="plays")


def clicks_of(facts: Facts, show: Show, figure: Figure) -> int:
    """The reported 点击量 of one broadcast; what a re-showing drew stands at the original."""
    if show.past:
        return show.clicks
    counts = facts.clicks.get(show.id)
    if counts is None or show.standing == "reshown":
        return 0
    return int(getattr(counts, figure))


def _hit(show: Show, amount: int, note: str, *, kind: EvidenceKind = "broadcast") -> Hit:
    if show.past:
        return Hit("past", show.id, show.title, show.date, amount, note, "")
    return Hit(kind, show.id, show.title, show.date, amount, note, f"/b/{show.id}")


# --- minutes ----------------------------------------------------------------------------------


def _finished(query: Query, facts: Facts, _switches: Switches) -> Iterator[Hit]:
    """成片: masters, and of 优化 also what was cut from them; each tick once."""

    def of_show(show: Show) -> Footage:
        if query.origin == "original":
            return show.original
        if query.origin == "optimised":
            return show.optimised
        return together(show.original, show.optimised) if show.optimised else show.original

    def wanted(piece: Piece) -> bool:
        if piece.kind == "micro":
            return query.origin == "optimised"
        ledger = "optimised" if piece.optimised else "original"
        return piece.kind == "finished" and query.origin in ("any", ledger)

    return _minutes(query, facts, of_show, wanted)


def _raw(query: Query, facts: Facts, switches: Switches) -> Iterator[Hit]:
    def programme(footage: Footage) -> Footage:
        """The programme feed alone: no cameras, no pick-ups."""
        return {
            timeline: intervals
            for timeline, intervals in footage.items()
            if timeline not in facts.cameras and not timeline.startswith("file:")
        }

    def of_show(show: Show) -> Footage:
        return programme(show.raw) if switches.programme_only else show.raw

    def wanted(piece: Piece) -> bool:
        return piece.kind == "raw" and not switches.programme_only

    return _minutes(query, facts, of_show, wanted)


def _minutes(
    query: Query,
    facts: Facts,
    of_show: Callable[[Show], Footage],
    wanted: Callable[[Piece], bool],
) -> Iterator[Hit]:
    once = Once()
    for show in facts.shows:
        footage = of_show(show) if show.standing == "own" else {}
        if footage:
            ticks = footage_ticks(once.take(footage))
            yield _hit(show, ticks, _MODES[show.mode] if ticks else _AGAIN)
    for piece in facts.pieces:
        if wanted(piece) and (query.of == "any" or piece.broadcast_id is not None):
            ticks = footage_ticks(once.take(piece.footage))
            yield _piece(piece, ticks, "" if ticks else _AGAIN)


def _micro(query: Query, facts: Facts, switches: Switches) -> Iterator[Hit]:
    """微视频: pieces, or minutes in their own ledger; longer ones are none."""
    longest = switches.micro_max_minutes * TICKS_A_MINUTE
    once = Once()
    for piece in facts.pieces:
        if piece.kind != "micro":
            continue
        if piece.length > longest:
            yield _piece(piece, 0, f"超过{switches.micro_max_minutes}分钟，不计微视频")
        elif query.measure == "micro_count":
            yield _piece(piece, 1, "")
        else:
            ticks = footage_ticks(once.take(piece.footage))
            yield _piece(piece, ticks, "" if ticks else _AGAIN)


def _piece(piece: Piece, amount: int, note: str) -> Hit:
    return _resource(piece.id, piece.title, piece.date, amount, note)


# --- pieces -----------------------------------------------------------------------------------


def _images(query: Query, facts: Facts, _switches: Switches) -> Iterator[Hit]:
    """Distinct confirmed stills; one is in one ledger, the one it was first confirmed for."""
    if query.ledger != "exhibition":
        for show in facts.shows:
            if show.images:
                yield _hit(show, show.images, "")
    seen: set[str] = set()
    for still in facts.stills:
        again = bool(still.same) and still.same in seen
        seen.add(still.same)
        if query.ledger in ("any", still.ledger):
            note = "同一图片，已计" if again else ""
            yield _resource(still.id, still.title, still.date, 0 if again else still.number, note)


def _records(query: Query, facts: Facts, switches: Switches) -> Iterator[Hit]:
    kinds = frozenset(query.kinds) or DEFAULT_KINDS
    if query.av_only:
        kinds &= AV_KINDS
    edits = query.edits or switches.edits
    seen: set[tuple[str, int]] = set()
    for record in facts.records:
        if record.kind not in kinds or (record.edit and not edits):
            continue
        if query.genres and record.genre not in query.genres:
            continue
        # New and changed in one month is one 条; the new ones come first.
        if record.edit and (record.id, record.date.month) in seen:
            continue
        seen.add((record.id, record.date.month))
        note = "更新" if record.edit else ""
        yield _resource(record.id, record.title, record.date, record.number, note)


def _courses(query: Query, facts: Facts, _switches: Switches) -> Iterator[Hit]:
    """门: on the day the last lesson that makes it complete was public."""
    for course in facts.courses:
        if query.genres and course.genre not in query.genres:
            continue
        public = sorted(day for lesson in course.lessons if (day := lesson.date) is not None)
        public = [day for day in public if day <= facts.last]
        asked = _lessons_asked(course, query.min_lessons)
        if asked and len(public) >= asked:
            done = max(course.date, public[asked - 1])
            if facts.holds(done):
                yield _resource(course.id, course.title, done, 1, f"{len(public)}章节")
        else:
            note = f"章节不全：{len(public)}/{asked}" if asked else "没有章节"
            yield _resource(course.id, course.title, course.date, 0, note)


def _lessons_asked(course: Course, least: int) -> int:
    """How many lessons a course is complete with: as announced, else all that there are."""
    return max(course.planned or len(course.lessons), least)


def _lessons(query: Query, facts: Facts, _switches: Switches) -> Iterator[Hit]:
    for course in facts.courses:
        if query.genres and course.genre not in query.genres:
            continue
        for lesson in course.lessons:
            if lesson.date is not None and facts.holds(lesson.date):
                yield _resource(lesson.id, lesson.title, lesson.date, 1, course.title)


def _resource(key: str, title: str, date: dt.date, amount: int, note: str) -> Hit:
    return Hit("resource", key, title, date, amount, note, f"/desk/library/{key}")


_HOW: Final[dict[str, Callable[[Query, Facts, Switches], Iterator[Hit]]]] = {
    "broadcasts": _broadcasts,
    "linked": _linked,
    "finished_minutes": _finished,
    "finished_hours": _finished,
    "raw_minutes": _raw,
    "raw_hours": _raw,
    "micro_count": _micro,
    "micro_minutes": _micro,
    "micro_hours": _micro,
    "images": _images,
    "records": _records,
    "courses": _courses,
    "lessons": _lessons,
    "clicks": _clicks,
}


def parts_of(query: Query, switches: Switches, *, detail: bool) -> set[str]:
    """Which facts have to be loaded to answer a query; with ``detail`` the rows too."""
    match query.measure.partition("_")[0]:
        case "finished":
            return {"shows", "pieces"}
        case "raw":
            return {"shows", "pieces"} | ({"cameras"} if switches.programme_only else set())
        case "micro":
            return {"pieces"}
        case "images":
            past = {"bare_shows"} if query.ledger != "exhibition" else set()
            return past | {"stills" if detail or query.title_has else "still_counts"}
        case "records":
            if query.edits or switches.edits:
                return {"records", "edits"}
            return {"records" if detail or query.title_has else "record_counts"}
        case "courses" | "lessons":
            return {"courses"}
        case "clicks":
            return {"bare_shows", "clicks"}
        case _:
            return {"bare_shows"}


def switches_of(raw: Mapping[str, Any]) -> Switches:
    """A plan's switches; see catalog.plans.fields for how they are checked."""
    known = {name: raw[name] for name in Switches.__dataclass_fields__ if name in raw}
    return Switches(**known)
