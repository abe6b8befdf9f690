"""Who holds a lease: `host:pid:start`, so that a machine can tell that its own process is gone."""

from __future__ import annotations

import hashlib
import os
import socket
from functools import lru_cache
from pathlib import Path
from typing import Final

_HOST_NAME_MAX: Final = 24
_STATE_FIELD: Final = 0
_START_FIELD: Final = 19


@lru_cache(maxsize=1)
def this_host() -> str:
    """Names the space our pids are numbers in, which the host's name alone does not: two machines
    may both be called "localhost", and two containers of one machine may share a name. Hence the
    boot and the pid namespace are in it, as a digest."""
    space = hashlib.sha256()
    for read in (_boot_id, _pid_namespace):
        space.update(read().encode() + b"\n")
    name = socket.gethostname().partition(".")[0].replace(":", "-")[:_HOST_NAME_MAX]
    return f"{name}.{space.hexdigest()[:10]}"


def this_process() -> str:
    """The owner string of this process (≤ 64 characters)."""
    pid = os.getpid()
    return f"{this_host()}:{pid}:{_start_ticks(pid) or 0}"


def is_gone(owner: str) -> bool:
    """Whether ``owner`` was a process of this host that has ended. When in doubt: False.

    The start is compared in the kernel's ticks since boot, not as a time of day: that would move
    when the clock is set, and a living process would be declared dead.
    """
    host, _, process = owner.rpartition(":")[0].rpartition(":")
    start = owner.rpartition(":")[2]
    if host != this_host() or not process.isdecimal() or not start.isdecimal():
        return False
    if not Path("/proc/self/stat").exists():
        return False
    return _start_ticks(int(process)) != int(start)


def _start_ticks(pid: int) -> int | None:
    """When a process started; None when it is gone, or a zombie that nobody has buried yet.

    psutil has this only as a time of day (see :func:`is_gone`), hence /proc; see proc(5).
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in parentheses, which may contain anything.
    fields = stat.rpartition(")")[2].split()
    if fields[_STATE_FIELD] in ("Z", "X"):
        return None
    return int(fields[_START_FIELD])


def _boot_id() -> str:
    return _read("/proc/sys/kernel/random/boot_id")


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
