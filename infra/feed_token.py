"""A secret that opens the feed of one take and nothing else.

The worker's FFmpeg reads a feed log over HTTP and can be given a header only in its arguments,
which everyone on the machine may read. So it gets a token made from the internal one for just
that take, from which the internal one cannot be found again.
"""

from __future__ import annotations

import hashlib
import hmac


def take_token(internal_token: str, take_id: str) -> str:
    """The token of a take: HMAC-SHA256 of its id under the internal token, hex."""
    return hmac.new(internal_token.encode(), take_id.encode(), hashlib.sha256).hexdigest()


def opens_take(given: str, internal_token: str, take_id: str) -> bool:
    """Whether ``given`` is the token of this take. Takes as long for every answer."""
    return same_secret(given, take_token(internal_token, take_id))


def same_secret(given: str, wanted: str) -> bool:
    """Compare what a peer shows with a secret, in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), wanted.encode())
