"""Logs: structured, every line tagged with its part, secrets taken out before they are written."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, Final

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.types import EventDict, Processor

from infra.settings import Settings

HIDDEN: Final = "[hidden]"

_SECRET_NAMES: Final = frozenset(
    {
        "authorization",
        "cookie",
        "internal_token",
        "k",
        "password",
        "secret",
        "set_cookie",
        "setup_link",
        "stream_key",
        "token_secret",
    }
)

# What comes before a secret is kept (group 1), the secret itself is not.
_SECRETS_IN_TEXT: Final = (
    # rtmp://host/app/KEY?…: all behind the application's name.
    re.compile(r"(rtmps?://[^\s/\"']+/[^\s/\"'?]+/)[^\s\"']+", re.IGNORECASE),
    re.compile(r"(\bBearer\s+)[\w.~+/=-]+", re.IGNORECASE),
    re.compile(r"([?&](?:k|key|token|access_token|X-Amz-Signature|X-Amz-Credential)=)[^\s&\"']+"),
    re.compile(r"(/setup/)[\w-]{16,}"),
    re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s:/@\"']*:)[^\s/@\"']+(?=@)"),
)
_MAX_DEPTH: Final = 4

# Their INFO is a diary of their own affairs.
_QUIET: Final = {
    "aiohttp.access": logging.WARNING,
    "alembic": logging.WARNING,
    "asyncio": logging.WARNING,
    "boto3": logging.WARNING,
    "botocore": logging.WARNING,
    "celery.bootsteps": logging.WARNING,
    "httpcore": logging.WARNING,
    "httpx": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "urllib3": logging.WARNING,
}


def hide_secrets(text: str) -> str:
    """``text`` without stream keys, bearer tokens, passwords and signed queries."""
    for pattern in _SECRETS_IN_TEXT:
        text = pattern.sub(rf"\g<1>{HIDDEN}", text)
    return text


def _clean(name: str, value: object, depth: int) -> object:
    if name.lower().replace("-", "_") in _SECRET_NAMES and value is not None:
        return HIDDEN
    if isinstance(value, str):
        return hide_secrets(value)
    if isinstance(value, bytes):
        return hide_secrets(value.decode("utf-8", "replace"))
    if isinstance(value, Mapping) and depth:
        return {k: _clean(str(k), v, depth - 1) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset) and depth:
        return [_clean("", v, depth - 1) for v in value]
    if isinstance(value, bool | int | float) or value is None:
        return value
    return hide_secrets(str(value))


def redact(_logger: object, _method: str, event: EventDict) -> EventDict:
    """Processor: take secrets out of every field, also out of tracebacks."""
    return {name: _clean(name, value, _MAX_DEPTH) for name, value in event.items()}


def _tag(part: str) -> Processor:
    def add_part(_logger: object, _method: str, event: EventDict) -> MutableMapping[str, Any]:
        event.setdefault("part", part)
        return event

    return add_part


def make_formatter(settings: Settings, part: str, *, colors: bool = False) -> ProcessorFormatter:
    """One line per event: JSON when the settings say so, else for people."""
    renderer: Processor = (
        structlog.processors.JSONRenderer(ensure_ascii=False)
        if settings.log_json
        else structlog.dev.ConsoleRenderer(
            colors=colors, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
        )
    )
    return ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
        ],
        processors=[
            ProcessorFormatter.remove_processors_meta,
            _tag(part),
            structlog.processors.format_exc_info,
            redact,
            renderer,
        ],
    )


def configure_logging(
    settings: Settings, part: str, *, handlers: list[logging.Handler] | None = None
) -> None:
    """Route structlog and stdlib logging of this process to stderr, tagged and redacted.

    ``handlers``: where to instead of stderr (the supervisor adds its file). Calling it again
    replaces what it set before.
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.filter_by_level,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        # Loggers are module-level; a cached one would keep the settings of before this call.
        cache_logger_on_first_use=False,
    )
    if handlers is None:
        handlers = [logging.StreamHandler(sys.stderr)]
    for handler in handlers:
        if handler.formatter is None:
            handler.setFormatter(make_formatter(settings, part, colors=_is_terminal(handler)))
    root = logging.getLogger()
    root.handlers[:] = handlers
    root.setLevel(settings.log_level.upper())
    for name, level in _QUIET.items():
        logging.getLogger(name).setLevel(max(level, root.level))
    # Granian and Celery bring handlers of their own; their lines must pass through ours.
    for name in ("_granian", "granian", "granian.access", "celery", "kombu"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
    logging.captureWarnings(True)


def _is_terminal(handler: logging.Handler) -> bool:
    return isinstance(handler, logging.StreamHandler) and bool(
        getattr(handler.stream, "isatty", lambda: False)()
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module: ``log = get_logger(__name__)``; events are words, data are fields."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
