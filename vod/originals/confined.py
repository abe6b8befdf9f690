"""Runs the sandboxed reader: limited, without network, told when to stop, and fed from storage."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import msgspec

import transcode
import vod
from infra.storage import Storage, StorageError
from transcode.sandbox import GIB, Limits, View, launcher, upload_limits
from vod.encode import Beat
from vod.originals.excerpt import CutResult
from vod.originals.original import ASK, BLOCK, LENGTH, Order
from vod.originals.reader import EXIT_DIFFERS
from vod.originals.table import Table, read_table
from vod.originals.wanted import PictureJob, SoundJob
from vod.tools import Tools

_LOOK_SECONDS: Final = 0.5
_STALL_SECONDS: Final = 120.0
_LEAST_SECONDS: Final = 600.0
_SLOWEST_BYTES: Final = 2_000_000
"""A second: a reader slower than this on average is given up."""
_WORDS: Final = 1_000
_LIMITS: Final = Limits(cpu_seconds=2 * 3600, file_bytes=16 * GIB, open_files=64)


class ReadError(Exception):
    """An original that cannot be read; ``code`` is stable, the text is the reader's own."""

    def __init__(self, code: str, words: str = "") -> None:
        super().__init__(words or code)
        self.code = code


def scan(tools: Tools, key: str, folder: Path, beat: Beat) -> tuple[Table, int]:
    """The packet table of an original in storage, and its size in bytes. Raises ReadError."""
    with _order(tools, key, folder) as order:
        data = _run(tools.storage, key, order, folder, beat)
        try:
            return read_table(data), order.size
        except (msgspec.DecodeError, ValueError) as error:
            raise ReadError("unreadable", str(error)) from error


@dataclass(frozen=True, slots=True)
class Excerpt:
    """What to cut out of an original, and the local files it goes to; None: not wanted."""

    video: PictureJob | None
    audio: SoundJob | None
    video_index: int
    audio_index: int
    """Of the streams, in the file."""
    keep: tuple[int, int]
    """Ticks that are the chunk's own."""
    pictures: Path | None
    copied: Path | None
    """Those of ``keep`` again, as fragments."""
    samples: Path | None


def excerpt(tools: Tools, key: str, wanted: Excerpt, folder: Path, beat: Beat) -> CutResult:
    """Cut a chunk out of an original in storage. Raises ReadError."""
    with _order(tools, key, folder) as order:
        if wanted.pictures is not None:
            order.video, order.video_index = wanted.video, wanted.video_index
            order.pictures = str(wanted.pictures)
        if wanted.copied is not None:
            order.copied, order.keep = str(wanted.copied), wanted.keep
        if wanted.samples is not None:
            order.audio, order.audio_index = wanted.audio, wanted.audio_index
            order.samples = str(wanted.samples)
        data = _run(tools.storage, key, order, folder, beat)
        return msgspec.msgpack.decode(data, type=CutResult)


@contextmanager
def _order(tools: Tools, key: str, folder: Path) -> Iterator[Order]:
    size = tools.storage.size(key)
    if size is None:
        raise ReadError("original_missing", key)
    local = tools.storage.local_path(key)
    options = {name: str(value) for name, value in upload_limits().items()}
    yield Order(options, str(folder / "read.out"), None if local is None else str(local), size=size)


def _run(storage: Storage, key: str, order: Order, folder: Path, beat: Beat) -> bytes:
    written = folder / "read.in"
    with _pipes(storage, key, order) as passed:
        written.write_bytes(msgspec.msgpack.encode(order))
        reads = [written, *_code(), *([] if order.path is None else [Path(order.path)])]
        argv = [
            *launcher(_LIMITS, View((*reads, folder), (folder,))),
            *(sys.executable, "-I", "-m", "vod.originals.reader", str(written)),
        ]
        with subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            pass_fds=passed, process_group=0,
        ) as process:  # fmt: skip
            try:
                words = _watch(process, order, beat)
            finally:
                process.kill()
    if process.returncode == EXIT_DIFFERS:
        raise ReadError("original_changed", words)
    if process.returncode != 0:
        raise ReadError("unreadable", words)
    return Path(order.result).read_bytes()


def _code() -> tuple[Path, ...]:
    """Where Python and its packages lie, and all that the reader imports of ours."""
    ours = (Path(package.__path__[0]) for package in (vod, transcode))
    return Path(sys.prefix), Path(sys.base_prefix), *ours


def _watch(process: subprocess.Popen[bytes], order: Order, beat: Beat) -> str:
    """Wait for its end, telling ``beat`` how far it is; its last words. Raises ReadError."""
    assert process.stdout is not None
    assert process.stderr is not None
    words, line = b"", b""
    began = moved = time.monotonic()
    deadline = began + _LEAST_SECONDS + order.size / _SLOWEST_BYTES
    streams = [process.stdout, process.stderr]
    while streams:
        ready, _, _ = select.select(streams, [], [], _LOOK_SECONDS)
        for stream in ready:
            data = os.read(stream.fileno(), 1 << 16)
            if not data:
                streams.remove(stream)
            elif stream is process.stderr:
                words = (words + data)[-_WORDS:]
            else:
                moved = time.monotonic()
                *lines, line = (line + data).split(b"\n")
                if lines and order.size:
                    beat(min(1.0, int(lines[-1]) / order.size), None)
        beat(None, None)
        now = time.monotonic()
        if now > deadline or now - moved > _STALL_SECONDS + order.size / _SLOWEST_BYTES:
            raise ReadError("reader_hangs", words.decode("utf-8", "replace"))
    process.wait(_STALL_SECONDS)
    return words.decode("utf-8", "replace").strip()


@contextmanager
def _pipes(storage: Storage, key: str, order: Order) -> Iterator[tuple[int, ...]]:
    """For an original that is no local file: pipes to ask for pieces of it, served by a thread."""
    if order.path is not None:
        yield ()
        return
    theirs_ask, ours_ask = os.pipe()[::-1]
    ours_answer, theirs_answer = os.pipe()[::-1]
    order.ask_fd, order.answer_fd = theirs_ask, theirs_answer
    server = threading.Thread(
        target=_serve, args=(storage, key, ours_ask, ours_answer), name="original", daemon=True
    )
    try:
        server.start()
        yield theirs_ask, theirs_answer
    finally:
        os.close(theirs_ask)
        os.close(theirs_answer)
        server.join(_STALL_SECONDS)


def _serve(storage: Storage, key: str, ask_fd: int, answer_fd: int) -> None:
    """Answer until the reader is gone. What it asks for is bounded, whatever it is."""
    # Gone in the middle of an answer, too: then what is not written cannot be flushed either.
    with (
        contextlib.suppress(BrokenPipeError),
        open(ask_fd, "rb") as ask,
        open(answer_fd, "wb") as answer,
    ):
        while len(wish := ask.read(ASK.size)) == ASK.size:
            start, end = ASK.unpack(wish)
            _answer(answer, _piece(storage, key, start, min(end, start + BLOCK)))


def _answer(answer: IO[bytes], data: bytes | None) -> None:
    answer.write(LENGTH.pack(-1 if data is None else len(data)))
    answer.write(data or b"")
    answer.flush()


def _piece(storage: Storage, key: str, start: int, end: int) -> bytes | None:
    try:
        return storage.open_range(key, start, end) if 0 <= start <= end else None
    except StorageError:
        return None
