"""Nudging: "look at job 17", sent to a queue. Only a hint: a lost one the reconciler repeats."""

from __future__ import annotations

from typing import Protocol


class Nudger(Protocol):
    """Sends a hint, quickly and without raising: it runs after the commit, and nothing depends
    on its success."""

    def __call__(self, job_id: int, queue: str) -> None: ...


class _Installed:
    """The process's nudger. One per process because `enqueue` is called from deep inside the
    catalogue, where nobody should have to carry the queue around."""

    nudger: Nudger | None = None


def install_nudger(nudger: Nudger | None) -> None:
    """Set what :func:`nudge` uses in this process; None: leave it to the reconciler."""
    _Installed.nudger = nudger


def nudge(job_id: int, queue: str) -> None:
    """Hint that a job may be due."""
    if _Installed.nudger is not None:
        _Installed.nudger(job_id, queue)
