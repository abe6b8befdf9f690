"""The watch over a run: stalled or too slow, judged by progress and never by the process id. Pure.

Two clocks are compared, both on the take's timeline: how far the log has come and how far the
run has. Waiting for storage or the database is not FFmpeg's fault and is not counted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Literal

START_SECONDS = 12.0
"""Patience until the first fragment: probing, and a decoder's first key frame."""
STALL_SECONDS = 5.0
BEHIND_MS = 3_000
"""Only with this much of the log unread can silence be FFmpeg's."""
LAG_MS = 6_000
LAG_SECONDS = 10.0
GAIN_MS = 30
"""What a run that is behind must gain each second: 1.03 times real time."""

Verdict = Literal["fine", "stalled", "slow"]


@dataclass(slots=True)
class _Point:
    at: float
    lag_ms: float


class RunWatch:
    """Judges one run. ``now`` is monotonic seconds."""

    def __init__(self, now: float) -> None:
        self._begun = now
        self._moved = now
        self._reached: float | None = None
        self._lags: deque[_Point] = deque()

    def note(self, now: float, reached_ms: float | None, log_ms: int, *, waiting: bool) -> Verdict:
        """Take a reading; what it means."""
        if waiting:
            self._moved = now
            self._lags.clear()
            return "fine"
        if reached_ms != self._reached:
            self._reached = reached_ms
            self._moved = now
        lag = log_ms - (reached_ms or 0.0)
        patience = START_SECONDS if reached_ms is None else STALL_SECONDS
        if now - self._moved > patience and lag > BEHIND_MS:
            return "stalled"
        return self._slow(now, lag)

    def _slow(self, now: float, lag: float) -> Verdict:
        self._lags.append(_Point(now, lag))
        while now - self._lags[0].at > LAG_SECONDS:
            self._lags.popleft()
        first = self._lags[0]
        if now - self._begun < LAG_SECONDS or now - first.at < LAG_SECONDS * 0.8:
            return "fine"
        # A run that is catching up after a restart has a lag that shrinks, if it is a large one by
        # a small share only: let it.
        gained = first.lag_ms - lag
        if min(p.lag_ms for p in self._lags) > LAG_MS and gained < (now - first.at) * GAIN_MS:
            return "slow"
        return "fine"
