"""An FFmpeg process with a pipe per output: started, read, asked to stop, killed if it must be.

Blocking and threadless: the owner calls `read()` with a time limit and gets what came in.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from transcode.confine import harmless

READ_BYTES = 256 * 1024
PIPE_BYTES = 1024 * 1024
STDERR_LINES = 40
_STDERR_LINE_MAX = 500
_PROGRESS = "progress"
_STDERR = "stderr"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Bytes from one pipe; empty bytes are its end."""

    pipe: str
    data: bytes


class FFmpegProcess:
    """One run of FFmpeg.

    ``arguments`` gets the descriptors of the named pipes and of the progress pipe and gives the
    argv. Reports arrive as chunks of the pipe "progress". ``stdin`` is a descriptor it reads from;
    the caller closes its own copy.
    """

    def __init__(
        self,
        arguments: Callable[[dict[str, int], int], list[str]],
        pipes: Sequence[str],
        *,
        stdin: int = subprocess.DEVNULL,
    ) -> None:
        self._selector = selectors.DefaultSelector()
        self._open: set[int] = set()
        self._stderr_tail: deque[str] = deque(maxlen=STDERR_LINES)
        self._stderr_pending = b""
        ends = {name: os.pipe() for name in (*pipes, _PROGRESS)}
        writers = {name: write for name, (_, write) in ends.items()}
        try:
            self.argv = arguments({name: writers[name] for name in pipes}, writers[_PROGRESS])
            self._process: subprocess.Popen[bytes] = subprocess.Popen(
                self.argv,
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=list(writers.values()),
                # It decodes what a stranger may send: it is told none of our passwords.
                env=harmless(os.environ),
                # Its own group: a Ctrl-C at the terminal is for Xitai to handle, in order.
                process_group=0,
            )
        except BaseException:
            for read, _ in ends.values():
                os.close(read)
            raise
        finally:
            for write in writers.values():
                os.close(write)
        for name, (read, _) in ends.items():
            self._watch(read, name)
        assert self._process.stderr is not None
        self._watch(os.dup(self._process.stderr.fileno()), _STDERR)
        self._process.stderr.close()
        self.started = time.monotonic()

    def _watch(self, fd: int, name: str) -> None:
        os.set_blocking(fd, False)
        with contextlib.suppress(OSError):
            # Larger pipes save wake-ups; an unprivileged user's limit may refuse it.
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._selector.register(fd, selectors.EVENT_READ, name)
        self._open.add(fd)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def drained(self) -> bool:
        """True when every pipe has ended."""
        return not self._open

    @property
    def returncode(self) -> int | None:
        return self._process.poll()

    @property
    def last_words(self) -> str:
        """The end of stderr, for a log line or an error."""
        return "\n".join(self._stderr_tail)

    def read(self, timeout: float) -> list[Chunk]:
        """What came in within ``timeout`` seconds, in the order it was found."""
        chunks: list[Chunk] = []
        for key, _ in self._selector.select(timeout if self._open else 0):
            data = self._read_one(key)
            if data is None:
                continue
            if key.data == _STDERR:
                self._note_stderr(data)
            else:
                chunks.append(Chunk(key.data, data))
        return chunks

    def _read_one(self, key: selectors.SelectorKey) -> bytes | None:
        fd = key.fd
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        if not data:
            self._close(fd)
        return data

    def _close(self, fd: int) -> None:
        self._selector.unregister(fd)
        self._open.discard(fd)
        os.close(fd)

    def _note_stderr(self, data: bytes) -> None:
        *lines, rest = (self._stderr_pending + data).split(b"\n")
        self._stderr_pending = rest[-_STDERR_LINE_MAX:]
        for line in lines:
            self._stderr_tail.append(line[:_STDERR_LINE_MAX].decode("utf-8", "replace"))

    def kill(self) -> None:
        """End it now, stopped (SIGSTOP) or not."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def close(self, patience: float = 3.0) -> int:
        """Make sure it is gone and nothing is left open; its exit code."""
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
        for fd in list(self._open):
            self._close(fd)
        self._selector.close()
        return self._process.returncode

    def __enter__(self) -> FFmpegProcess:
        return self

    def __exit__(self, *exc: Any) -> None:
        self.kill()
        self.close()
