"""What each part should be doing next: the supervisor's decisions, without processes or clocks.

What is wanted (run everything, or stop everything) is kept apart from what is observed (a state
per part). Observations and the time go in, actions come out.

    WAITING ──needs met──▶ STARTING ──answered──▶ READY
       ▲                      │ exited              │ exited
       └──────wait over── BACKOFF ◀─────────────────┘
    STARTING, READY ──stop──▶ STOPPING ──exited──▶ STOPPED ◀──stop── WAITING, BACKOFF, DONE
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

BACKOFF_SECONDS: Final = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)
"""Pause before the n-th start in a row that failed; the last value repeats."""

HEALTHY_AFTER_SECONDS: Final = 30.0
"""Up for this long, a part's earlier failures are forgotten."""

HOPELESS_FAILURES: Final = 5
"""Failures in a row, without ever having answered, after which a first start is given up."""


class State(Enum):
    WAITING = "waiting"
    """For the parts it needs."""
    STARTING = "starting"
    """Its process runs and does not answer yet."""
    READY = "ready"
    DONE = "done"
    """It had one thing to do, and did it."""
    BACKOFF = "backoff"
    """It died; the next start waits a little."""
    STOPPING = "stopping"
    STOPPED = "stopped"


class Event(Enum):
    NEEDS_MET = "needs met"
    ANSWERED = "answered"
    FINISHED = "finished"
    """A part with one thing to do ended well."""
    EXITED = "exited"
    OVERDUE = "overdue"
    """Not ready, or not gone, by its deadline."""
    STALLED = "stalled"
    """Its process lives but has not answered for too long."""
    WAIT_OVER = "wait over"
    STOP = "stop"


class Do(Enum):
    SPAWN = "spawn"
    ASK = "ask"
    """Ask it to stop."""
    KILL = "kill"


TRANSITIONS: Final[dict[tuple[State, Event], tuple[State, Do | None]]] = {
    (State.WAITING, Event.NEEDS_MET): (State.STARTING, Do.SPAWN),
    (State.WAITING, Event.STOP): (State.STOPPED, None),
    (State.STARTING, Event.ANSWERED): (State.READY, None),
    (State.STARTING, Event.FINISHED): (State.DONE, None),
    (State.STARTING, Event.EXITED): (State.BACKOFF, None),
    (State.STARTING, Event.OVERDUE): (State.STARTING, Do.KILL),
    (State.STARTING, Event.STOP): (State.STOPPING, Do.ASK),
    (State.READY, Event.EXITED): (State.BACKOFF, None),
    (State.READY, Event.STALLED): (State.READY, Do.KILL),
    (State.READY, Event.STOP): (State.STOPPING, Do.ASK),
    (State.DONE, Event.STOP): (State.STOPPED, None),
    (State.BACKOFF, Event.WAIT_OVER): (State.WAITING, None),
    (State.BACKOFF, Event.STOP): (State.STOPPED, None),
    (State.STOPPING, Event.OVERDUE): (State.STOPPING, Do.KILL),
    (State.STOPPING, Event.EXITED): (State.STOPPED, None),
    (State.STOPPING, Event.FINISHED): (State.STOPPED, None),
}

_UP: Final = (State.READY, State.DONE)


class PlanError(Exception):
    """An event that cannot happen in that state: our bug."""


@dataclass(frozen=True, slots=True)
class PartSpec:
    """What the plan must know of a part."""

    name: str
    needs: tuple[str, ...] = ()
    """Parts that must be ready before this one starts."""
    stop_stage: int = 0
    """Parts of stage 0 are stopped first, together; those of stage 1 when they are gone; …"""
    start_seconds: float = 60.0
    """It is killed if it does not answer by then."""
    stop_seconds: float = 10.0
    """It is killed if it has not gone by then."""
    stall_seconds: float | None = None
    """It is killed if it has not answered for so long; None: never."""


@dataclass(frozen=True, slots=True)
class Action:
    part: str
    do: Do


@dataclass(slots=True)
class _Part:
    spec: PartSpec
    state: State
    since: float
    deadline: float | None = None
    answered_at: float = 0.0
    failures: int = 0
    ever_up: bool = False


class Plan:
    """All parts of one instance. Times are seconds on any one clock that does not go back."""

    def __init__(self, specs: Sequence[PartSpec], now: float) -> None:
        self._parts = {spec.name: _Part(spec, State.WAITING, now) for spec in specs}
        self.stopping = False
        for spec in specs:
            unknown = set(spec.needs) - set(self._parts)
            if unknown:
                raise PlanError(f"{spec.name} needs {unknown}, which is no part")

    # --- what is known -----------------------------------------------------------------------

    def state(self, name: str) -> State:
        return self._parts[name].state

    def failures(self, name: str) -> int:
        """How often in a row it has died, before or shortly after it was ready."""
        return self._parts[name].failures

    @property
    def all_up(self) -> bool:
        return all(part.state in _UP for part in self._parts.values())

    @property
    def all_stopped(self) -> bool:
        return all(part.state is State.STOPPED for part in self._parts.values())

    @property
    def hopeless(self) -> str | None:
        """A part that has never been up and will not be, as far as one can tell."""
        for name, part in self._parts.items():
            if not part.ever_up and part.failures >= HOPELESS_FAILURES:
                return name
        return None

    # --- what happens ------------------------------------------------------------------------

    def stop(self, now: float) -> list[Action]:
        """Everything is to stop from now on."""
        self.stopping = True
        return self.tick(now)

    def observe(self, name: str, event: Event, now: float) -> list[Action]:
        """Something was seen of a part. Answers that come too late are of no interest."""
        part = self._parts[name]
        if event is Event.ANSWERED:
            part.answered_at = now
            if part.state is not State.STARTING:
                return []
        return self._apply(part, event, now) + self.tick(now)

    def tick(self, now: float) -> list[Action]:
        """Time has passed."""
        actions: list[Action] = []
        while True:
            due = [(part, e) for part in self._parts.values() if (e := self._due(part, now))]
            if not due:
                return actions
            for part, event in due:
                actions += self._apply(part, event, now)

    def next_deadline(self) -> float | None:
        """When :meth:`tick` next has something to do by the clock alone."""
        times = [part.deadline for part in self._parts.values() if part.deadline is not None]
        if not self.stopping:
            times += [at for part in self._parts.values() if (at := self._stalls_at(part))]
        return min(times, default=None)

    # --- how ---------------------------------------------------------------------------------

    def _due(self, part: _Part, now: float) -> Event | None:
        if self.stopping and part.state not in (State.STOPPING, State.STOPPED):
            return Event.STOP if self._may_stop(part) else None
        if part.deadline is not None and now >= part.deadline:
            return Event.WAIT_OVER if part.state is State.BACKOFF else Event.OVERDUE
        if part.state is State.WAITING and self._needs_met(part):
            return Event.NEEDS_MET
        stalls_at = self._stalls_at(part)
        return Event.STALLED if stalls_at is not None and now >= stalls_at else None

    def _needs_met(self, part: _Part) -> bool:
        return all(self._parts[name].state in _UP for name in part.spec.needs)

    def _may_stop(self, part: _Part) -> bool:
        return all(
            other.state is State.STOPPED
            for other in self._parts.values()
            if other.spec.stop_stage < part.spec.stop_stage
        )

    def _stalls_at(self, part: _Part) -> float | None:
        """A part that only waits for another one (Redis, say) is not stalled."""
        limit = part.spec.stall_seconds
        if limit is None or part.state is not State.READY or not self._needs_met(part):
            return None
        needs_up_since = max((self._parts[name].since for name in part.spec.needs), default=0.0)
        return max(part.answered_at, part.since, needs_up_since) + limit

    def _apply(self, part: _Part, event: Event, now: float) -> list[Action]:
        try:
            state, do = TRANSITIONS[part.state, event]
        except KeyError:
            raise PlanError(f"{part.spec.name}: {event.value} while {part.state.value}") from None
        if event is Event.EXITED and state is State.BACKOFF:
            if part.state is State.READY and now - part.since >= HEALTHY_AFTER_SECONDS:
                part.failures = 0
            part.failures += 1
        if state in _UP:
            part.ever_up = True
        if event is Event.STALLED:
            part.answered_at = now  # It is killed once; the exit is about to be seen.
        if state is not part.state:
            part.since = now
        part.state = state
        part.deadline = self._deadline(part, event, now)
        return [Action(part.spec.name, do)] if do else []

    @staticmethod
    def _deadline(part: _Part, event: Event, now: float) -> float | None:
        if event is Event.OVERDUE:
            return None  # It is being killed; the exit is about to be seen.
        match part.state:
            case State.STARTING:
                return now + part.spec.start_seconds
            case State.STOPPING:
                return now + part.spec.stop_seconds
            case State.BACKOFF:
                return now + BACKOFF_SECONDS[min(part.failures, len(BACKOFF_SECONDS)) - 1]
            case _:
                return None
