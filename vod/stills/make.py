"""Finds a programme's stills: its key frames looked over on the lowest rung, good moments looked at
frame by frame, and the sharpest frame of each decoded at full size from the best.

Cost is bounded whatever the programme's length: so many key frames, so many moments. Pictures are
in storage before any row speaks of one, and all rows come in one transaction.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog.minutes import TICKS_A_SECOND
from catalog.models import Act, AirItem
from catalog.records.files import SMALL_EDGE
from vod.encode import Beat, EncodeError, silent
from vod.footage import plan_parts
from vod.stills.choose import Candidate, Stretch, choose, stretches
from vod.stills.frames import (
    Span,
    Whole,
    jpeg,
    key_pictures,
    small_jpeg,
    small_pictures,
    whole_pictures,
)
from vod.stills.judge import fault, marks_of, worth
from vod.stills.look import Grey, Look, look, sharpness
from vod.stills.moments import Moment, Shot, moments
from vod.stills.rows import Found, known_stills, publish
from vod.stills.spots import LOOKS_A_STILL, Spot, batches, in_order, spots_of
from vod.tools import Tools

_KEYS_AT_ONCE: Final = 60
_TRIES: Final = 3
"""Moments of one spot that are looked at in full."""
_APART_TICKS: Final = TICKS_A_SECOND * 2 // 5
_WINDOW_TICKS: Final = TICKS_A_SECOND * 9 // 100
_EARLY_TICKS: Final = TICKS_A_SECOND // 10
"""A key frame may be shown a little before its slot is said to begin."""
_SHARE_KEYS: Final = 0.25
_SHARE_LOOKS: Final = 0.92
_ROOM: Final = 1 << 30


@dataclass(slots=True)
class _Job:
    """One search: what to work with, what the rows said, and what has been found so far."""

    tools: Tools
    folder: Path
    beat: Beat
    token: str
    spots: list[Spot]
    pieces: list[Stretch]
    taken: list[str]
    """Hashes of what was proposed before, whatever people said to it."""
    wanted: int
    looks: list[Look] = field(default_factory=list)
    found: dict[int, tuple[Found, Look, float]] = field(default_factory=dict)

    def chosen(self) -> list[Found]:
        """The best varied set of what was found, by the programme's own marks."""
        marks = marks_of(self.looks)
        candidates = [
            Candidate(at, worth(seen, marks, stillness), seen.phash)
            for at, (_, seen, stillness) in self.found.items()
            if fault(seen, marks) is None
        ]
        picked = choose(candidates, self.wanted, self.pieces, taken=self.taken)
        return [replace(self.found[c.at_ticks][0], worth=c.worth) for c in picked]


def make_stills(tools: Tools, token: str, count: int, beat: Beat = silent) -> dict[str, Any]:
    """Propose stills until ``count`` of them wait for an answer; doing it again changes nothing.

    Raises EncodeError, StorageError, Fmp4Error and what ``beat`` raises; nothing is listed then.
    """
    beat(0.0, "正在看画面")
    with tools.work_folder("stills") as folder:
        with tools.database.transaction() as session:
            job = _begin(session, tools, folder, beat, token, count)
        if job.wanted <= 0 or not job.spots:
            return {"proposed": 0, "looked_at": 0}
        tools.require_room(_ROOM)
        spots = list(_with_keys(job))
        if all(spot.look is None for spot in spots):
            raise EncodeError("not one key frame could be decoded")
        order = in_order(spots, job.pieces, job.wanted)
        chosen: list[Found] = []
        looked = 0
        for batch in batches(order):
            through = max(looked / (LOOKS_A_STILL * job.wanted), len(chosen) / job.wanted)
            beat(
                _SHARE_KEYS + (_SHARE_LOOKS - _SHARE_KEYS) * min(1.0, through),
                f"已挑出 {len(chosen)} 张",
            )
            _look_closely(job, batch)
            looked += len(batch)
            chosen = job.chosen()
            if len(chosen) >= job.wanted and looked >= job.wanted * 3 // 2:
                break
        beat(_SHARE_LOOKS, "正在保存")
        made = publish(tools, token, chosen, lambda: beat(None, None))
    return {"proposed": made, "looked_at": looked}


def _begin(
    session: Session, tools: Tools, folder: Path, beat: Beat, token: str, count: int
) -> _Job:
    rows = session.execute(
        select(AirItem.msn, AirItem.start_ticks, AirItem.duration_ticks)
        # A slate is nobody's picture, and a gap has none.
        .where(AirItem.token == token, AirItem.source == "feed", AirItem.gap.is_(False))
        .order_by(AirItem.msn)
    ).all()
    slots = [(msn, start, ticks) for msn, start, ticks in rows]
    acts = session.execute(select(Act.start_ticks, Act.end_ticks).where(Act.token == token))
    known = known_stills(session, token)
    return _Job(
        tools=tools,
        folder=folder,
        beat=beat,
        token=token,
        spots=spots_of(slots),
        pieces=stretches(
            [(start, end) for start, end in acts], max((s + t for _, s, t in slots), default=0)
        ),
        taken=[still.phash for still in known],
        wanted=count - sum(still.state == "proposed" for still in known),
    )


def _with_keys(job: _Job) -> Iterator[Spot]:
    """The spots with what their key frames look like."""
    for first in range(0, len(job.spots), _KEYS_AT_ONCE):
        job.beat(_SHARE_KEYS * first / len(job.spots), None)
        batch = job.spots[first : first + _KEYS_AT_ONCE]
        starts = [spot.start for spot in batch]
        seen: dict[int, Look] = {}
        with job.tools.database.transaction() as session:
            msns = sorted({spot.msn for spot in batch})
            parts = plan_parts(session, job.token, "video", msns, smallest=True)
        for part in parts:
            for at, grey in key_pictures(job.tools, part, job.folder, job.beat):
                place = max(0, bisect_right(starts, at + _EARLY_TICKS) - 1)
                seen.setdefault(place, look(grey))
        yield from (replace(spot, look=seen.get(place)) for place, spot in enumerate(batch))


# --- looking closely -------------------------------------------------------------------------


def _look_closely(job: _Job, spots: Sequence[Spot]) -> None:
    shown = _small(job, spots)
    for spot in spots:
        job.beat(None, None)
        start, end = spot.around
        near = [at for at in shown if start <= at < end]
        found = moments(Shot(near, [shown[at] for at in near]), spot.start, spot.end)
        if tries := _apart(found):
            _take_best(job, spot, tries)


def _small(job: _Job, spots: Sequence[Spot]) -> dict[int, Grey]:
    """Small frames of the spots and of what is around them, by their ticks, in order."""
    spans: list[Span] = [spot.around for spot in spots]
    with job.tools.database.transaction() as session:
        msns: set[int] = set()
        for start, end in spans:
            within = select(AirItem.msn).where(
                AirItem.token == job.token,
                AirItem.start_ticks < end,
                AirItem.start_ticks + AirItem.duration_ticks > start,
            )
            msns.update(session.scalars(within))
        parts = plan_parts(session, job.token, "video", sorted(msns), smallest=True)
    shown: dict[int, Grey] = {}
    for part in parts:
        shown |= dict(small_pictures(job.tools, part, job.folder, spans, job.beat))
    return dict(sorted(shown.items()))


def _apart(found: Sequence[Moment]) -> list[Moment]:
    """The stillest few that are not all of one instant, in order of time."""
    tries: list[Moment] = []
    for moment in found:
        if all(abs(moment.at_ticks - other.at_ticks) >= _APART_TICKS for other in tries):
            tries.append(moment)
        if len(tries) == _TRIES:
            break
    return sorted(tries, key=lambda moment: moment.at_ticks)


def _take_best(job: _Job, spot: Spot, tries: Sequence[Moment]) -> None:
    """The sharpest frame around the moments of a spot, kept as JPEGs in the work folder."""
    with job.tools.database.transaction() as session:
        parts = plan_parts(session, job.token, "video", [spot.msn])
    spans = [(m.at_ticks - _WINDOW_TICKS, m.at_ticks + _WINDOW_TICKS + 1) for m in tries]
    found: list[Whole] = []
    for part in parts:
        found += whole_pictures(job.tools, part, job.folder, spans, job.beat)
    if not found:
        return
    whole = max(found, key=lambda each: sharpness(each.grey()))
    job.beat(None, None)
    seen = look(whole.grey())
    job.looks.append(seen)
    nearest = min(tries, key=lambda moment: abs(moment.at_ticks - whole.at_ticks))
    job.found[whole.at_ticks] = _keep(job, whole, seen), seen, nearest.stillness


def _keep(job: _Job, whole: Whole, seen: Look) -> Found:
    rgb = whole.rgb()
    path = job.folder / f"{whole.at_ticks}.jpg"
    small = job.folder / f"{whole.at_ticks}-small.jpg"
    path.write_bytes(jpeg(rgb))
    small.write_bytes(small_jpeg(rgb, SMALL_EDGE))
    return Found(whole.at_ticks, seen.phash, whole.width, whole.height, path, small)
