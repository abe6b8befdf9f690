"""Identifiers and secrets: public ids that can be read aloud, secrets that cannot be guessed."""

from __future__ import annotations

import hashlib
import secrets

# Crockford's base 32 in lower case: no i, l, o, u, so that an id survives a phone call.
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def public_id(length: int = 10) -> str:
    """A short random id for rows people see (50 bits at the default length)."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def secret_token() -> str:
    """128 random bits as 22 URL-safe characters: stream keys, media tokens, bearer tokens."""
    return secrets.token_urlsafe(16)


def hash_secret(secret: str) -> str:
    """One-way form in which a full-entropy secret is stored (SHA-256, hex).

    Enough for 128-bit random secrets; passwords go through argon2 instead.
    """
    return hashlib.sha256(secret.encode()).hexdigest()
