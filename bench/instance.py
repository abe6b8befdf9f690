"""A throw-away Xitai for demo and benches: started as a user would, spoken to by its commands."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import psutil

START_SECONDS = 90.0
STOP_SECONDS = 40.0


class CommandFailed(Exception):
    """A command of Xitai ended with an error; the message is what it said."""


class Instance:
    """A running `xitai up` on a folder of its own."""

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        self.data = folder / "data"
        self._log = (folder / "up.log").open("wb")
        self.log_path = folder / "up.log"
        # The machine may be short of disk without that being what is measured here.
        self._environment = {
            **os.environ,
            "XITAI_DATA": str(self.data),
            "XITAI_DISK_WARN_BYTES": "0",
            "XITAI_DISK_LOG_ONLY_BYTES": "0",
            **(environment or {}),
        }
        began = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "api.cli", "up", "--http", "127.0.0.1:0", "--rtmp",
             "127.0.0.1:0"],
            stdout=subprocess.PIPE, stderr=self._log, env=self._environment, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        self.url = self._wait_ready(self.process.stdout)
        self.start_seconds = time.monotonic() - began

    def _wait_ready(self, lines: IO[str]) -> str:
        guard = threading.Timer(START_SECONDS, self.process.kill)
        guard.start()
        try:
            for line in lines:
                if line.startswith("ready "):
                    return line.split()[1]
        finally:
            guard.cancel()
        raise CommandFailed(f"xitai up did not become ready; see {self.log_path}")

    def run(self, *words: str) -> Any:
        """A command's JSON answer. Raises CommandFailed."""
        done = subprocess.run(
            [sys.executable, "-m", "api.cli", *words, "--json"],
            capture_output=True, text=True, env=self._environment, check=False,
        )  # fmt: skip
        if done.returncode:
            raise CommandFailed(f"xitai {' '.join(words[:2])}: {done.stderr.strip()[-500:]}")
        return json.loads(done.stdout)

    def run_plain(self, *words: str) -> str:
        """A command's text. Raises CommandFailed."""
        done = subprocess.run(
            [sys.executable, "-m", "api.cli", *words],
            capture_output=True, text=True, env=self._environment, check=False,
        )  # fmt: skip
        if done.returncode:
            raise CommandFailed(f"xitai {' '.join(words[:2])}: {done.stderr.strip()[-500:]}")
        return done.stdout

    def processes(self) -> list[psutil.Process]:
        """Everything the instance runs at the moment, `up` included."""
        root = psutil.Process(self.process.pid)
        with contextlib.suppress(psutil.NoSuchProcess):
            return [root, *root.children(recursive=True)]
        return []

    def stop(self) -> None:
        """Stop it as Ctrl-C does."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()
        self._log.close()


@contextlib.contextmanager
def throwaway(environment: dict[str, str] | None = None) -> Iterator[Instance]:
    """An instance for the length of a block; its folder is kept when the block fails."""
    folder = Path(tempfile.mkdtemp(prefix="xitai-"))
    instance = Instance(folder, environment)
    try:
        yield instance
    finally:
        instance.stop()
    shutil.rmtree(folder, ignore_errors=True)
