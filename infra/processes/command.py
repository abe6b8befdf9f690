"""What to run: a program with its arguments, and how it wants to be stopped."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

_LAUNCH = Path(__file__).with_name("launch.py")


@dataclass(frozen=True, slots=True)
class Command:
    """A program for the supervisor (or a test) to run."""

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] | None = None
    """Whole environment; None: ours."""
    cwd: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    """Asks for an orderly stop."""
    stop_seconds: float = 10.0
    """How long the orderly stop may take before SIGKILL."""
    launch_options: tuple[str, ...] = field(default=())
    """Options for launch.py: the user to run as."""

    def launch_argv(self, parent_pid: int | None = None) -> list[str]:
        """The argv to give to the kernel: our launcher, which becomes the program.

        The program gets ``stop_signal`` when the process ``parent_pid`` (default: ours) ends.
        """
        parent = os.getpid() if parent_pid is None else parent_pid
        return [
            *(sys.executable, "-I", "-S", str(_LAUNCH), *self.launch_options),
            *(str(parent), str(int(self.stop_signal)), "--", *self.argv),
        ]
