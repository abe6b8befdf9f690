"""Application and stream names: what may be in them, and what of a URL may be shown.

A name that reached a path, a shell or a log unchecked was the hole in three other servers. Here
the rule is positive (letters, digits, ``-``, ``_``), holds before any event, and says nothing
about the name itself when it fails: the name may be a key.
"""

import re
from urllib.parse import urlsplit

from ingest.rtmp.errors import NameRefused
from ingest.rtmp.limits import Limits

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")


def parse_name(what: str, raw: str, code: str, limits: Limits) -> tuple[str, str]:
    """Split ``name?query`` and check both. Raises `NameRefused` with ``code``."""
    name, _, query = raw.partition("?")
    if not name:
        raise NameRefused(f"{what} is empty", code=code)
    if len(name) > limits.name_chars:
        problem = f"{what} has {len(name)} characters, limit {limits.name_chars}"
        raise NameRefused(problem, code=code)
    if _NAME.fullmatch(name) is None:
        problem = f"{what} holds something else than letters, digits, '-' and '_'"
        raise NameRefused(problem, code=code)
    if len(query) > limits.query_chars:
        problem = f"query of the {what} has {len(query)} characters, limit {limits.query_chars}"
        raise NameRefused(problem, code=code)
    if not query.isprintable():
        raise NameRefused(f"query of the {what} holds control characters", code=code)
    return name, query


def redact_url(url: str, app: str) -> str:
    """scheme://host[:port]/app of a tcUrl. What else it held (user, query, key) is dropped."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    host = parts.netloc.rpartition("@")[2]
    if parts.scheme not in ("rtmp", "rtmps", "rtmpt", "rtmpe") or not _HOST.fullmatch(host):
        return ""
    return f"{parts.scheme}://{host}/{app}"


def printable(text: str, limit: int) -> str:
    """Make a peer's free text fit for one line of a log."""
    return "".join(c if c.isprintable() else "?" for c in text[:limit])
