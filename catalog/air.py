"""The air list: what viewers get, slot by slot, each registered after its bytes are kept.

A slot (``AirItem``) and the segments of all its rungs are written in one transaction, so a
reader of the catalogue never sees half a slot.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from catalog.models import AirItem, Broadcast, InitSection, Rendition, Run, Segment


@dataclass(frozen=True, slots=True)
class RenditionSpec:
    """What a rung is, as players are told."""

    name: str
    kind: str
    copied: bool
    codecs: str
    width: int | None
    height: int | None
    frame_rate: float | None


@dataclass(frozen=True, slots=True)
class SlotSegment:
    """One rung's media of a slot. Durations in ticks, sizes in bytes."""

    rendition_id: int
    init_number: int
    storage_key: str
    size_bytes: int
    duration_ticks: int
    parts: list[tuple[int, int, bool]] = field(default_factory=list)
    """(duration ticks, size, independent), in order."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One air item with its segments."""

    token: str
    msn: int
    take_id: str
    run_id: int
    take_start_ms: int
    start_ticks: int
    duration_ticks: int
    pdt_us: int
    discontinuity: bool
    segments: list[SlotSegment]


def start_run(
    session: Session,
    *,
    broadcast_id: str,
    take_id: str,
    ladder: dict[str, object],
    take_start_ticks: int,
    air_start_ticks: int,
) -> int:
    """Note an FFmpeg session and where its timeline stands; its id."""
    run = Run(
        broadcast_id=broadcast_id,
        take_id=take_id,
        ladder=ladder,
        take_start_ticks=take_start_ticks,
        air_start_ticks=air_start_ticks,
    )
    session.add(run)
    session.flush()
    return run.id


def fix_timing(
    session: Session, broadcast_id: str, *, part_target_us: int, target_duration: int
) -> tuple[int, int]:
    """Set the broadcast's playlist timing if it has none, and give what now holds.

    EXT-X-TARGETDURATION and PART-TARGET never change in a playlist's life (rfc8216bis §6.2.1),
    so the first run decides for all that follow.
    """
    broadcast = session.get_one(Broadcast, broadcast_id, with_for_update=True)
    if not broadcast.target_duration:
        broadcast.part_target_us = part_target_us
        broadcast.target_duration = target_duration
        session.flush()
    return broadcast.part_target_us, broadcast.target_duration


def ensure_rendition(session: Session, token: str, spec: RenditionSpec) -> int:
    """The row of a rung, made or brought up to date; its id."""
    values = {
        "kind": spec.kind,
        "copied": spec.copied,
        "codecs": spec.codecs,
        "width": spec.width,
        "height": spec.height,
        "frame_rate": spec.frame_rate,
    }
    statement = (
        insert(Rendition)
        .values(token=token, name=spec.name, **values)
        .on_conflict_do_update(index_elements=["token", "name"], set_=values)
        .returning(Rendition.id)
    )
    return session.execute(statement).scalar_one()


def ensure_init(
    session: Session, rendition_id: int, *, sha256: str, storage_key_pattern: str, size: int
) -> tuple[int, str, bool]:
    """The number and storage key of an init section; the flag says whether it is a new one.

    The same bytes keep the same number, so a restart with equal parameters needs no new
    EXT-X-MAP. ``storage_key_pattern`` has one ``{n}``.
    """
    rows = session.execute(
        select(InitSection.number, InitSection.sha256, InitSection.storage_key)
        .where(InitSection.rendition_id == rendition_id)
        .order_by(InitSection.number)
    ).all()
    for number, digest, key in rows:
        if digest == sha256:
            return number, key, False
    number = rows[-1][0] + 1 if rows else 0
    key = storage_key_pattern.format(n=number)
    session.add(
        InitSection(
            rendition_id=rendition_id,
            number=number,
            sha256=sha256,
            storage_key=key,
            size_bytes=size,
        )
    )
    session.flush()
    return number, key, True


def register_slot(session: Session, slot: Slot) -> bool:
    """Write a slot and its segments; False when that media sequence number stands already.

    The number is the primary key: of two live jobs that both believe they own a broadcast,
    only one can register a slot.
    """
    made = session.execute(
        insert(AirItem)
        .values(
            token=slot.token,
            msn=slot.msn,
            source="feed",
            take_id=slot.take_id,
            run_id=slot.run_id,
            take_start_ms=slot.take_start_ms,
            start_ticks=slot.start_ticks,
            duration_ticks=slot.duration_ticks,
            pdt_us=slot.pdt_us,
            discontinuity=slot.discontinuity,
        )
        .on_conflict_do_nothing()
        .returning(AirItem.msn)
    ).first()
    if made is None:
        return False
    session.execute(
        insert(Segment),
        [
            {
                "rendition_id": segment.rendition_id,
                "msn": slot.msn,
                "init_number": segment.init_number,
                "storage_key": segment.storage_key,
                "size_bytes": segment.size_bytes,
                "duration_ticks": segment.duration_ticks,
                "parts": [[dur, size, int(ind)] for dur, size, ind in segment.parts],
            }
            for segment in slot.segments
        ],
    )
    return True


def run_of_slot(session: Session, token: str, msn: int) -> int | None:
    """The run that registered a slot; None when the slot does not stand."""
    return session.scalar(select(AirItem.run_id).where(AirItem.token == token, AirItem.msn == msn))


def set_bandwidth(session: Session, rendition_id: int, *, peak: int, average: int) -> None:
    """Bits per second as the multivariant playlist says them; the peak only grows."""
    rendition = session.get_one(Rendition, rendition_id)
    rendition.bandwidth = max(rendition.bandwidth, peak)
    rendition.average_bandwidth = average


@dataclass(frozen=True, slots=True)
class AirEnd:
    """Where the air list ends: what a live job goes on from."""

    next_msn: int
    next_ticks: int
    last_take_id: str | None
    last_take_end_ticks: int
    """End of the last slot on its take's own timeline, in ticks."""
    last_ladder: dict[str, object] | None
    """Of the run that made the last slot."""


def air_end(session: Session, token: str) -> AirEnd:
    """The end of a broadcast's air list; zeros when it is empty."""
    last = session.scalars(
        select(AirItem).where(AirItem.token == token).order_by(AirItem.msn.desc()).limit(1)
    ).first()
    if last is None:
        return AirEnd(0, 0, None, 0, None)
    ticks = last.start_ticks + last.duration_ticks
    end_on_take, ladder = 0, None
    if last.run_id is not None:
        run = session.get_one(Run, last.run_id)
        end_on_take = ticks - run.air_start_ticks + run.take_start_ticks
        ladder = dict(run.ladder)
    return AirEnd(last.msn + 1, ticks, last.take_id, end_on_take, ladder)


@dataclass(frozen=True, slots=True)
class ListedSegment:
    """One row of a rendition's playlist."""

    msn: int
    start_ticks: int
    duration_ticks: int
    pdt_us: int
    discontinuity: bool
    gap: bool
    init_number: int
    storage_key: str
    byte_offset: int
    size_bytes: int
    parts: list[tuple[int, int, bool]]
    run_id: int | None


def renditions(session: Session, token: str) -> list[Rendition]:
    """All rungs of a token, tallest picture first, sound last."""
    rows = session.scalars(select(Rendition).where(Rendition.token == token)).all()
    return sorted(rows, key=lambda r: (r.kind != "video", -(r.height or 0), r.name))


def init_sections(session: Session, rendition_id: int) -> list[InitSection]:
    return list(
        session.scalars(
            select(InitSection)
            .where(InitSection.rendition_id == rendition_id)
            .order_by(InitSection.number)
        )
    )


def known_inits(session: Session, token: str) -> dict[str, list[str]]:
    """Digests of every init section of a token, by rendition name, in number order."""
    rows = session.execute(
        select(Rendition.name, InitSection.sha256)
        .join(InitSection, InitSection.rendition_id == Rendition.id)
        .where(Rendition.token == token)
        .order_by(Rendition.name, InitSection.number)
    )
    found: dict[str, list[str]] = {}
    for name, digest in rows:
        found.setdefault(name, []).append(digest)
    return found


def listed_segments(
    session: Session, token: str, rendition_id: int, *, from_msn: int = 0
) -> list[ListedSegment]:
    """A rendition's segments in air order."""
    rows = session.execute(
        select(AirItem, Segment)
        .outerjoin(Segment, (Segment.msn == AirItem.msn) & (Segment.rendition_id == rendition_id))
        .where(AirItem.token == token, AirItem.msn >= from_msn)
        .order_by(AirItem.msn)
    ).all()
    listed: list[ListedSegment] = []
    for item, segment in rows:
        # A rung that was not made for a slot (added or dropped during the show) is a gap in
        # its own playlist: the number is kept and players go to another rung (§4.4.4.7).
        missing = segment is None
        listed.append(
            ListedSegment(
                msn=item.msn,
                start_ticks=item.start_ticks,
                duration_ticks=item.duration_ticks if missing else segment.duration_ticks,
                pdt_us=item.pdt_us,
                discontinuity=item.discontinuity,
                gap=item.gap or missing,
                init_number=-1 if missing else segment.init_number,
                storage_key="" if missing else segment.storage_key,
                byte_offset=0 if missing else segment.byte_offset,
                size_bytes=0 if missing else segment.size_bytes,
                parts=[] if missing else [(int(d), int(s), bool(i)) for d, s, i in segment.parts],
                run_id=item.run_id,
            )
        )
    return listed


def window_start(session: Session, token: str, ticks: int) -> tuple[int, int]:
    """(first msn, discontinuity sequence) of the last ``ticks`` of the air list."""
    end = air_end(session, token)
    first = session.scalar(
        select(func.min(AirItem.msn)).where(
            AirItem.token == token, AirItem.start_ticks >= end.next_ticks - ticks
        )
    )
    first_msn = end.next_msn if first is None else int(first)
    before = session.scalar(
        select(func.count())
        .select_from(AirItem)
        .where(AirItem.token == token, AirItem.msn < first_msn, AirItem.discontinuity)
    )
    return first_msn, int(before or 0)
