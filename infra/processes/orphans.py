"""Grandchildren whose parent died: the kernel gives them to us, and we end them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from collections.abc import Container
from pathlib import Path
from typing import Final

_PR_SET_CHILD_SUBREAPER: Final = 36


def become_reaper() -> None:
    """From now on orphaned descendants become our children instead of init's (prctl(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def children() -> set[int]:
    """Pids of all our children, by whichever of our threads."""
    found: set[int] = set()
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found.update(int(word) for word in path.read_text().split())
    return found


def end_orphans(ours: Container[int]) -> list[int]:
    """Kill and reap every child that we did not start ourselves. Returns their pids.

    What a part started cannot be of use without it: an FFmpeg whose job runner died would write
    into closed pipes.
    """
    ended: list[int] = []
    for pid in children():
        if pid in ours:
            continue
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        ended.append(pid)
    return ended


def kill_group(pid: int) -> None:
    """SIGKILL what is left of a part's process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
