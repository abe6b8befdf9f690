"""Clears up after a supervisor that was killed the hard way; a script of its own.

    guardian.py MARKER   (run as python -I -S; stdin is a pipe from the supervisor)

The supervisor tells it the process group of each child (`+PGID`, `-PGID`) and says `bye` before
it ends by itself. A pipe that closes without it means the supervisor is dead: the groups are
asked to stop, then killed, and so is every process whose environment carries MARKER, wherever it
has hidden. It holds the instance lock meanwhile (an inherited descriptor), so that a new
supervisor waits.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress

STOP_SECONDS = 10.0


def groups_left(groups: set[int]) -> set[int]:
    left: set[int] = set()
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, 0)
            left.add(group)
    return left


def signal_groups(groups: set[int], number: signal.Signals) -> None:
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def kill_marked(marker: bytes) -> None:
    """Kill processes that inherited ``marker`` in their environment, but not ourselves."""
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        with suppress(OSError), open(f"/proc/{entry}/environ", "rb") as f:
            if marker in f.read().split(b"\0"):
                os.kill(int(entry), signal.SIGKILL)


def main(marker: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in iter(sys.stdin.buffer.readline, b""):
        word = line.decode().strip()
        if word == "bye":
            return
        if word.startswith("+"):
            groups.add(int(word[1:]))
        elif word.startswith("-"):
            groups.discard(int(word[1:]))
    # The children have had their death signal by now (launch.py); this is for their children.
    signal_groups(groups, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while groups_left(groups) and time.monotonic() < deadline:
        time.sleep(0.1)
    signal_groups(groups, signal.SIGKILL)
    kill_marked(marker.encode())


if __name__ == "__main__":
    main(sys.argv[1])
