"""Which footage a programme is heard and seen from: runs of slots without a break, of the lowest
picture and the sound alone, each short enough to lie on the disk for a while."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.models import TIMESCALE, AirItem
from vod.footage import Part, plan_parts

MOST_TICKS: Final = 10 * 60 * TIMESCALE
_SLACK: Final = TIMESCALE // 10
_SOUND_CODEC: Final = "mp4a"


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot that has footage. Ticks."""

    msn: int
    start: int
    end: int
    breaks: bool
    """Another timeline begins here."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """One file of pictures and one of sound; None: there is none. They may be the same part."""

    start: int
    end: int
    video: Part | None
    audio: Part | None

    @property
    def parts(self) -> list[Part]:
        """What is to be fetched."""
        same = self.audio is self.video
        return [p for p in (self.video, None if same else self.audio) if p is not None]

    @property
    def size(self) -> int:
        """Bytes to fetch."""
        return sum(part.size for part in self.parts)


def plan(session: Session, token: str) -> list[Stretch]:
    """The stretches of a programme, in order of time."""
    rows = session.execute(
        select(AirItem.msn, AirItem.start_ticks, AirItem.duration_ticks, AirItem.discontinuity)
        .where(AirItem.token == token, AirItem.source == "feed", AirItem.gap.is_(False))
        .order_by(AirItem.msn)
    )
    slots = [Slot(msn, start, start + length, breaks) for msn, start, length, breaks in rows]
    return [made for run in runs(slots) for made in _whole(session, token, run)]


def runs(slots: Sequence[Slot]) -> Iterator[list[Slot]]:
    """Slots that follow one another without a break, at most MOST_TICKS together."""
    run: list[Slot] = []
    for slot in slots:
        if run and (
            slot.breaks
            or slot.msn != run[-1].msn + 1
            or abs(slot.start - run[-1].end) > _SLACK
            or slot.end - run[0].start > MOST_TICKS
        ):
            yield run
            run = []
        run.append(slot)
    if run:
        yield run


def _whole(session: Session, token: str, run: Sequence[Slot]) -> Iterator[Stretch]:
    """A run as one stretch; halved where a rung is missing in part of it or was begun anew, since
    a joined file does not say which slot each picture is of."""
    msns = [slot.msn for slot in run]
    video = plan_parts(session, token, "video", msns, smallest=True)
    audio = plan_parts(session, token, "audio", msns) or [p for p in video if _has_sound(p)]
    if all(_covers(parts, len(run)) for parts in (video, audio)):
        yield Stretch(
            run[0].start, run[-1].end, video[0] if video else None, audio[0] if audio else None
        )
    elif len(run) > 1:
        middle = len(run) // 2
        yield from _whole(session, token, run[:middle])
        yield from _whole(session, token, run[middle:])


def _covers(parts: Sequence[Part], slots: int) -> bool:
    return not parts or (len(parts) == 1 and len(parts[0].segments) == slots)


def _has_sound(part: Part) -> bool:
    return _SOUND_CODEC in part.rendition.codecs
