"""Runs one command for the length of a `with` block: for tests and developers' tools."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

from infra.embedded.folders import SetupError
from infra.processes.command import Command


@contextmanager
def running(
    command: Command,
    is_ready: Callable[[], bool],
    *,
    seconds: float = 20.0,
    output: IO[bytes] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Start ``command``, wait until it is ready, stop it at the end. It dies with us."""
    process = start(command, is_ready, seconds=seconds, output=output)
    try:
        yield process
    finally:
        stop(process, command)


def start(
    command: Command,
    is_ready: Callable[[], bool],
    *,
    seconds: float = 20.0,
    output: IO[bytes] | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``command`` and return when it is ready. Raises SetupError."""
    process = subprocess.Popen(
        command.launch_argv(),
        env=command.env,
        cwd=command.cwd,
        stdin=subprocess.DEVNULL,
        stdout=output or subprocess.DEVNULL,
        stderr=output or subprocess.DEVNULL,
    )
    deadline = time.monotonic() + seconds
    while not is_ready():
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            process.wait()
            raise SetupError(f"{command.name} did not start (exit code {process.returncode}).")
        time.sleep(0.02)
    return process


def stop(process: subprocess.Popen[bytes], command: Command) -> None:
    """Ask it to stop, and insist after its deadline."""
    if process.poll() is None:
        process.send_signal(command.stop_signal)
    try:
        process.wait(command.stop_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
