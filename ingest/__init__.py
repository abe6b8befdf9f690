"""Footage comes in and is kept: protocols, feed logs, feed server."""
