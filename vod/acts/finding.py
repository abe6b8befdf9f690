"""Finding a programme's acts: the shell around the pure parts.

One pass over the lowest picture and the sound gives what is observed; it is kept, so that another
wish after the list or the marks have changed costs seconds. What people confirmed stays and holds
the rest; earlier proposals are replaced in the transaction that also lists the extras.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy.orm import Session

from catalog.acts import Proposal, acts, marks, programme, propose
from catalog.models import TIMESCALE, Extra
from catalog.programmes import lock
from infra.jobs import JobFailed
from infra.storage import NotFound
from vod.acts import keeping
from vod.acts.align import align
from vod.acts.cues import Observed, gather
from vod.acts.grid import PEAKS_PER_SECOND, cell_of
from vod.acts.observing import Programme
from vod.acts.proposing import Known, Listed, Said, entries_of, fixed_of, proposals_of
from vod.acts.service import KIND
from vod.acts.stretches import Stretch, plan
from vod.acts.watching import watch
from vod.encode import Beat, Patience
from vod.footage import join_part
from vod.storyboard import keep_extra
from vod.tools import Tools

_SHARE_SEEN: Final = 0.95
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class _Order:
    """What stands when the job begins."""

    stretches: list[Stretch]
    end: int
    """Of the footage, ticks: with the number of slots it names what is observed."""
    kept: dict[str, Any] | None


def find_acts(tools: Tools, token: str, beat: Beat) -> dict[str, Any]:
    """Analyse a programme and propose its acts; what came of it.

    Raises JobFailed, EncodeError, StorageError and what ``beat`` raises; then nothing has changed.
    """
    order = _read(tools, token)
    if not order.stretches:
        raise JobFailed("acts_no_footage", "还没有录到画面和声音，无法分析。", retry=False)
    observed, peaks = _observed_before(tools, token, order), None
    if observed is None:
        made = _observe(tools, order, beat)
        if not made.cells:
            # Footage, but not a quarter of a second of it that could be decoded.
            raise JobFailed("acts_no_footage", "还没有录到画面和声音，无法分析。", retry=False)
        observed, peaks = made.observed(), made.peaks().tobytes()
    beat(_SHARE_SEEN, "正在划分节目")
    for _ in range(_TRIES):
        known = _known(tools, token)
        entries, fixed = entries_of(known), fixed_of(known, len(observed.loud))
        cues = gather(observed, [cell_of(mark) for mark in known.marks])
        found = align(cues, entries, fixed, lambda: beat(None, None))
        proposals = proposals_of(found, known, order.end)
        if (count := _publish(tools, token, order, known, proposals, observed, peaks)) is not None:
            return {"acts": count, "listed": sum(p.entry_id is not None for p in proposals)}
    raise JobFailed("acts_changed", "节目单或节目段一直在改动，请稍后再分析。")


def _read(tools: Tools, token: str) -> _Order:
    with tools.database.transaction() as session:
        stretches = plan(session, token)
        kept = session.get(Extra, (token, "analysis"))
        facts = None if kept is None else dict(kept.facts)
    return _Order(stretches, stretches[-1].end if stretches else 0, facts)


def _key(token: str, name: str) -> str:
    return f"extras/{token}/{name}"


def _facts(order: _Order) -> dict[str, Any]:
    return {
        "version": keeping.VERSION,
        "end_ticks": order.end,
        "segments": sum(len(part.segments) for s in order.stretches for part in s.parts),
    }


def _observed_before(tools: Tools, token: str, order: _Order) -> Observed | None:
    """What an earlier analysis observed, if the footage is still the same."""
    wanted = _facts(order)
    if order.kept is None or any(order.kept.get(name) != wanted[name] for name in wanted):
        return None
    try:
        return keeping.unpack(tools.storage.get(_key(token, "observed.npz")))
    except NotFound:
        return None


def _observe(tools: Tools, order: _Order, beat: Beat) -> Programme:
    total = sum(stretch.end - stretch.start for stretch in order.stretches)
    made, done = Programme(), 0
    for stretch in order.stretches:
        length = stretch.end - stretch.start

        def tell(seconds: float, done: int = done, length: int = length) -> None:
            share = (done + min(length, seconds * TIMESCALE)) / max(1, total)
            beat(share * _SHARE_SEEN, "正在听声音、看画面")

        tools.require_room(stretch.size)
        with tools.work_folder(KIND) as folder:
            paths: dict[int, Path] = {}
            for number, part in enumerate(stretch.parts):
                paths[id(part)] = folder / f"part{number}.mp4"
                join_part(tools.storage, part, paths[id(part)], lambda: beat(None, None))
            # Slower than a fourth of real time means that something is stuck.
            patience = Patience(deadline=120 + 4 * length / TIMESCALE, stall=120)
            heard, seen = watch(
                tools.ffmpeg,
                paths[id(stretch.video)] if stretch.video else None,
                paths[id(stretch.audio)] if stretch.audio else None,
                patience=patience, tell=tell,
            )  # fmt: skip
        made.add(stretch.start, heard, seen)
        done += length
    return made


def _known(tools: Tools, token: str) -> Known:
    with tools.database.transaction() as session:
        return _known_now(session, token)


def _known_now(session: Session, token: str) -> Known:
    return Known(
        entries=tuple(
            Listed(line.id, line.title, line.genre, line.about_ticks, line.length_ticks)
            for line in programme(session, token)
        ),
        marks=tuple(mark.at_ticks for mark in marks(session, token)),
        confirmed=tuple(
            Said(act.start_ticks, act.end_ticks, act.entry_id)
            for act in acts(session, token)
            if act.state == "confirmed"
        ),
    )


def _publish(
    tools: Tools, token: str, order: _Order, known: Known, proposals: list[Proposal],
    observed: Observed, peaks: bytes | None,
) -> int | None:  # fmt: skip
    """Files first, then all rows at once; None when people have meanwhile said otherwise."""
    sounds = None
    if peaks is not None:
        sounds = keeping.sounds(observed)
        tools.require_room(len(peaks) + (4 << 20))
        tools.storage.put_bytes(_key(token, "waveform.bin"), peaks)
        tools.storage.put_bytes(_key(token, "observed.npz"), keeping.pack(observed))
        tools.storage.put_bytes(_key(token, "analysis.json"), sounds)
    with tools.database.transaction() as session:
        tools.fence(session)
        lock(session, token)
        if _known_now(session, token) != known:
            return None
        count = propose(session, token, proposals)
        if peaks is not None and sounds is not None:
            wave = {"per_second": PEAKS_PER_SECOND, "bytes": len(peaks)}
            keep_extra(session, token, "waveform", _key(token, "waveform.bin"), wave)
            facts = _facts(order) | {"bytes": len(sounds)}
            keep_extra(session, token, "analysis", _key(token, "analysis.json"), facts)
    return count
