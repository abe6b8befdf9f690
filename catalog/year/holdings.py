"""The catalogue's holdings of a year: footage apart from broadcasts, stills, records, courses."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import and_, case, extract, func, or_, select
from sqlalchemy.orm import aliased

from catalog.clock import CHINA, china_date
from catalog.models import Broadcast, Centre, Resource, ResourceVersion, Work
from catalog.year.facts import Course, Lesson, Piece, Record, Still
from catalog.year.footage import INTERVALS, resource_footage
from catalog.year.span import Span, any_of

_IS_A_PIECE: Final = or_(
    # A clip is out when it is ready; anything described by hand when it is public.
    and_(
        Resource.kind == "micro",
        or_(Resource.work_id.is_not(None), Resource.first_published_at.is_not(None)),
    ),
    and_(
        Resource.kind == "finished",
        Resource.broadcast_id.is_(None),
        or_(Resource.work_id.is_not(None), Resource.storage_key.is_not(None)),
        Resource.first_published_at.is_not(None),
    ),
    and_(
        Resource.kind == "raw",
        Resource.broadcast_id.is_(None),
        or_(Resource.take_id.is_not(None), Resource.storage_key.is_not(None)),
    ),
)


# A test, or what did not take place, counts nothing, and neither does what came of it.
_OF_NOTHING: Final = (
    select(Broadcast.id)
    .where(
        Broadcast.id == Resource.broadcast_id,
        or_(Broadcast.standing == "test", Broadcast.state == "cancelled"),
    )
    .correlate(Resource)
    .exists()
)

# A phone form of a clip is that clip in another shape: one micro-video, not two.
_FORM, _CLIP = aliased(Work), aliased(Resource)
_A_FORM: Final = (
    select(_FORM.id)
    .join(_CLIP, _CLIP.work_id == _FORM.form_of_id)
    .where(_FORM.id == Resource.work_id, _CLIP.withdrawn_at.is_(None))
    .correlate(Resource)
    .exists()
)


def _counted_before(span: Span) -> Any:
    """Condition: the same file in an earlier year of this centre has been counted there."""
    before = aliased(Resource)
    counted = case(
        (before.kind == "image", before.confirmed_at.is_not(None)),
        (before.kind == "finished", before.first_published_at.is_not(None)),
        else_=before.kind == "raw",
    )
    return (
        select(before.id)
        .where(
            before.sha256 == Resource.sha256,
            before.centre_id == Resource.centre_id,
            before.kind == Resource.kind,
            before.withdrawn_at.is_(None),
            before.event_date < span.first,
            counted,
        )
        .exists()
    )


def pieces(span: Span) -> tuple[Piece, ...]:
    """Footage with a record of its own: micro-videos, uploads, pick-ups."""
    query = span.within(
        select(
            Resource.id,
            Resource.centre_id,
            Resource.kind,
            Resource.title,
            Resource.event_date,
            Resource.origin,
            Resource.broadcast_id,
            Resource.sha256,
            Resource.duration_ticks,
            INTERVALS,
        ),
        Resource.centre_id,
        Resource.event_date,
    ).where(Resource.withdrawn_at.is_(None), Resource.duration_ticks > 0, _IS_A_PIECE)
    query = query.where(~_counted_before(span), ~_OF_NOTHING, ~_A_FORM)
    return tuple(
        Piece(
            row.id,
            row.centre_id,
            row.kind,
            row.title,
            row.event_date,
            row.origin == "optimised" or row.kind == "micro",
            row.broadcast_id,
            resource_footage(row.id, row.sha256, row.duration_ticks, row.intervals),
            row.duration_ticks,
        )
        for row in span.session.execute(query.order_by(Resource.event_date, Resource.id))
    )


def stills(span: Span) -> tuple[Still, ...]:
    """Confirmed images, in order of confirmation."""
    query = _stills(
        span,
        Resource.id,
        Resource.centre_id,
        Resource.title,
        Resource.event_date,
        _LEDGER.label("ledger"),
        _SAME.label("same"),
        Resource.broadcast_id,
    ).order_by(Resource.confirmed_at, Resource.id)
    return tuple(Still(*row) for row in span.session.execute(query))


def still_counts(span: Span) -> tuple[Still, ...]:
    """The same as ``stills``, but those that have no like are only counted by month."""
    found = _stills(
        span,
        Resource.id,
        Resource.centre_id,
        Resource.event_date,
        Resource.confirmed_at,
        _LEDGER.label("ledger"),
        _SAME.label("same"),
        func.count().over(partition_by=_SAME).label("alike"),
    ).cte("found")
    # A group a month, and one for each of those that have their like elsewhere.
    key = case((found.c.alike > 1, found.c.id))
    same = case((found.c.alike > 1, found.c.same))
    month = extract("month", found.c.event_date)
    query = (
        select(
            key,
            found.c.centre_id,
            func.max(found.c.event_date),
            found.c.ledger,
            same,
            func.count(),
        )
        .group_by(key, same, found.c.centre_id, found.c.ledger, month)
        .order_by(func.min(found.c.confirmed_at), key)
    )
    return tuple(
        Still(key or "", centre_id, "", day, ledger, same or "", None, number)
        for key, centre_id, day, ledger, same, number in span.session.execute(query)
    )


_LEDGER: Final = func.coalesce(Resource.ledger, "broadcast")
_SAME: Final = func.coalesce(Resource.sha256, Resource.id)


def _stills(span: Span, *columns: Any) -> Any:
    query = span.within(select(*columns), Resource.centre_id, Resource.event_date)
    return query.where(Resource.kind == "image", Resource.confirmed_at.is_not(None)).where(
        Resource.withdrawn_at.is_(None), ~_counted_before(span), ~_OF_NOTHING
    )


def records(span: Span) -> tuple[Record, ...]:
    """条: first public in the span and not withdrawn since."""
    query = (
        select(
            Resource.id,
            Resource.centre_id,
            Resource.kind,
            Resource.title,
            Resource.first_published_at,
            Resource.genre_id,
        )
        .join(Centre, Centre.id == Resource.centre_id)
        .where(
            Resource.first_published_at >= span.begin,
            Resource.first_published_at < span.end,
            Resource.withdrawn_at.is_(None),
            span.reach(),
        )
        .order_by(Resource.first_published_at, Resource.id)
    )
    return tuple(
        Record(key, centre_id, kind, title, china_date(at), genre)
        for key, centre_id, kind, title, at, genre in span.session.execute(query)
        if at is not None
    )


def record_counts(span: Span) -> tuple[Record, ...]:
    """The same as ``records``, as numbers of a centre's month, kind and genre: where nobody asks
    which they are."""
    last = func.max(Resource.first_published_at)
    month = extract("month", func.timezone(CHINA.key, Resource.first_published_at))
    query = (
        select(Resource.centre_id, Resource.kind, Resource.genre_id, last, func.count())
        .join(Centre, Centre.id == Resource.centre_id)
        .where(
            Resource.first_published_at >= span.begin,
            Resource.first_published_at < span.end,
            Resource.withdrawn_at.is_(None),
            span.reach(),
        )
        .group_by(Resource.centre_id, Resource.kind, Resource.genre_id, month)
    )
    return tuple(
        Record("", centre_id, kind, "", china_date(at), genre, number=number)
        for centre_id, kind, genre, at, number in span.session.execute(query)
        if at is not None
    )


def edits(span: Span) -> tuple[Record, ...]:
    """Records changed after they were first public: once a month each."""
    day = func.min(ResourceVersion.at)
    month = extract("month", func.timezone(CHINA.key, ResourceVersion.at))
    query = (
        select(
            Resource.id,
            Resource.centre_id,
            Resource.kind,
            Resource.title,
            day,
            Resource.genre_id,
        )
        .join(Resource, Resource.id == ResourceVersion.resource_id)
        .join(Centre, Centre.id == Resource.centre_id)
        .where(
            ResourceVersion.version > 1,
            ResourceVersion.at >= span.begin,
            ResourceVersion.at < span.end,
            ResourceVersion.at > Resource.first_published_at,
            # What the system itself brings up to date is nobody's work.
            ResourceVersion.via != "system",
            Resource.withdrawn_at.is_(None),
            span.reach(),
        )
        .group_by(Resource.id, month)
        .order_by(day, Resource.id)
    )
    return tuple(
        Record(key, centre_id, kind, title, china_date(at), genre, edit=True)
        for key, centre_id, kind, title, at, genre in span.session.execute(query)
    )


def courses(span: Span) -> tuple[Course, ...]:
    """Every public course, of whatever year: the last lesson decides when it is complete."""
    query = (
        select(
            Resource.id,
            Resource.centre_id,
            Resource.title,
            Resource.first_published_at,
            Resource.genre_id,
            Resource.technical["lessons_planned"].astext,
        )
        .join(Centre, Centre.id == Resource.centre_id)
        .where(
            Resource.kind == "course",
            Resource.first_published_at < span.end,
            Resource.withdrawn_at.is_(None),
            span.reach(),
        )
        .order_by(Resource.first_published_at, Resource.id)
    )
    courses = span.session.execute(query).all()
    lessons: dict[str, list[Lesson]] = {}
    query_lessons = (
        select(Resource.parent_id, Resource.id, Resource.title, Resource.first_published_at)
        .where(
            Resource.parent_id == any_of([course.id for course in courses]),
            Resource.kind == "lesson",
            Resource.withdrawn_at.is_(None),
        )
        .order_by(Resource.first_published_at, Resource.position, Resource.id)
    )
    for course_id, key, title, at in span.session.execute(query_lessons):
        public = china_date(at) if at is not None and at < span.end else None
        lessons.setdefault(course_id or "", []).append(Lesson(key, title, public))
    return tuple(
        Course(
            key,
            centre_id,
            title,
            china_date(at),
            genre,
            int(planned) if planned and planned.isdecimal() else 0,
            tuple(lessons.get(key, ())),
        )
        for key, centre_id, title, at, genre, planned in courses
        if at is not None
    )
