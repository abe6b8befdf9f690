"""The list of broadcasts of a report, with the minutes, images and clicks of each. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from catalog.minutes import footage_ticks, together
from catalog.plans.measures import Switches, clicks_of
from catalog.plans.report import BroadcastLine
from catalog.year.facts import Facts
from catalog.year.footage import Once


def broadcast_lines(
    facts: Facts, switches: Switches, names: Mapping[str, str]
) -> tuple[BroadcastLine, ...]:
    """In order of date; 场 are numbered from 1. ``names``: centre id → name.

    Minutes are each row's share of the union, images each row's share of the distinct ones, so
    that the rows add up to the sums printed under them. One signal is one row, however many
    relay it.
    """
    finished, raw = Once(), Once()
    images = _images(facts)
    signals = {show.signal for show in facts.shows if show.standing == "own"}
    made: list[BroadcastLine] = []
    number = 0
    for show in facts.shows:
        own = show.standing == "own"
        if show.standing == "linked" and show.signal in signals:
            continue
        signals |= {show.signal} if show.standing == "linked" else set()
        number += own
        footage = together(show.original, show.optimised) if show.optimised else show.original
        made.append(
            BroadcastLine(
                nr=number if own else 0,
                id=show.id,
                title=show.title,
                date=show.date,
                mode=show.mode,
                standing=show.standing,
                finished_ticks=footage_ticks(finished.take(footage)) if own else 0,
                raw_ticks=footage_ticks(raw.take(show.raw)) if own else 0,
                images=show.images + images[show.id] if own else 0,
                clicks=clicks_of(facts, show, switches.clicks),
                source="past" if show.past else "xitai",
                href="" if show.past else f"/b/{show.id}",
                centre_id=show.centre_id,
                centre_name=names.get(show.centre_id, ""),
            )
        )
    return tuple(made)


def _images(facts: Facts) -> Counter[str]:
    """Broadcast → its distinct stills in the broadcast ledger."""
    seen: set[str] = set()
    found: Counter[str] = Counter()
    for still in facts.stills:
        if still.same not in seen and still.ledger == "broadcast" and still.broadcast_id:
            found[still.broadcast_id] += 1
        seen.add(still.same)
    return found
