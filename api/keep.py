"""Keeps what many viewers ask for at once, for a moment: one computes, the others wait for it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

T = TypeVar("T")

_ENTRIES_MAX: Final = 2_000


class _Entry:
    __slots__ = ("lock", "until", "value")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.until = 0.0
        self.value: Any = None


class Keep:
    """A small cache with a time for each entry. Values must not be changed by who gets them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: dict[object, _Entry] = {}

    def get(self, key: object, seconds: float, make: Callable[[], T]) -> T:
        """The kept value, or a new one. What took long to make is kept longer: 20 times as long
        as the making, so that one costly question never takes more than 5 % of a core."""
        with self._lock:
            if len(self._entries) >= _ENTRIES_MAX and key not in self._entries:
                self._drop_stale()
            entry = self._entries.setdefault(key, _Entry())
        with entry.lock:
            began = self._clock()
            if entry.until <= began:
                entry.value = make()
                ended = self._clock()
                entry.until = ended + max(seconds, 20 * (ended - began))
            return cast("T", entry.value)

    def peek(self, key: object) -> Any:
        """The kept value if it is fresh, else None; never waits."""
        entry = self._entries.get(key)
        return entry.value if entry is not None and entry.until > self._clock() else None

    def forget(self, key: object) -> None:
        """Compute anew at the next question."""
        with self._lock:
            self._entries.pop(key, None)

    def forget_all(self) -> None:
        """Compute everything anew; what is being made just now is not kept either."""
        with self._lock:
            self._entries.clear()

    def _drop_stale(self) -> None:
        now = self._clock()
        self._entries = {k: e for k, e in self._entries.items() if e.until > now}
        if len(self._entries) >= _ENTRIES_MAX:
            self._entries.clear()
