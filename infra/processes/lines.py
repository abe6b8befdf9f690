"""The lines the parts write: cut out of pipes, and passed on to stderr and to a file."""

from __future__ import annotations

import asyncio
import logging
import logging.handlers
import re
import sys
from collections.abc import Callable
from typing import Final

from infra.settings import Settings
from infra.telemetry import configure_logging, get_logger, hide_secrets, make_formatter

MAX_LINE_BYTES: Final = 8192
"""Longer lines are cut into several: a flood without line ends must not fill our memory."""
FILE_BYTES: Final = 10 * 2**20
FILES: Final = 5

_READ_BYTES: Final = 65_536
# PostgreSQL's words; what Redis says is for the record only.
_WARNINGS: Final = re.compile(r"^(?:WARNING|ERROR|FATAL|PANIC):")


async def read_lines(reader: asyncio.StreamReader, write: Callable[[str], None]) -> None:
    """Give ``write`` each line until the pipe closes."""
    rest = b""
    while chunk := await reader.read(_READ_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        while len(rest) > MAX_LINE_BYTES:
            lines.append(rest[:MAX_LINE_BYTES])
            rest = rest[MAX_LINE_BYTES:]
        for line in lines:
            if line.strip():
                write(line.decode("utf-8", "replace"))
    if rest.strip():
        write(rest.decode("utf-8", "replace"))


class _Formatter(logging.Formatter):
    """Formats our own events; lines of parts that format their own pass as they are."""

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self._inner = inner

    def format(self, record: logging.LogRecord) -> str:
        if getattr(record, "finished", False):
            return hide_secrets(record.getMessage())
        return self._inner.format(record)


def open_logs(settings: Settings) -> None:
    """Route our own logging to stderr and to {data}/logs/xitai.log, kept to 50 MB."""
    folder = settings.data / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    handlers: list[logging.Handler] = [
        logging.StreamHandler(sys.stderr),
        logging.handlers.RotatingFileHandler(
            folder / "xitai.log", maxBytes=FILE_BYTES, backupCount=FILES - 1, encoding="utf-8"
        ),
    ]
    for handler in handlers:
        handler.setFormatter(_Formatter(make_formatter(settings, "up")))
    configure_logging(settings, "up", handlers=handlers)


# The part has applied its level; ours must not take lines away again.
_ALWAYS: Final = logging.CRITICAL


def finished_line(line: str) -> None:
    """Pass on a line of a part that logs as we do, already tagged."""
    logging.getLogger("xitai.parts").log(_ALWAYS, "%s", line, extra={"finished": True})


def foreign_line(part: str) -> Callable[[str], None]:
    """Writer for a program that knows nothing of our logs."""
    log = get_logger("xitai.parts")

    def write(line: str) -> None:
        level = logging.WARNING if _WARNINGS.match(line) else logging.INFO
        log.log(level, line.strip(), part=part)

    return write
