"""Folders only we may enter: sockets without passwords live in them."""

from __future__ import annotations

import os
import pwd
import stat
from pathlib import Path

from infra.settings import Settings


class SetupError(Exception):
    """Something about this machine stops us; the message is a plain sentence for its owner."""


def private_folder(path: Path) -> Path:
    """Make ``path`` with mode 0700, or check that it is ours and nobody else may enter it."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    info = path.lstat()
    # The run folder may lie in /tmp under a name others can guess and take first.
    if not stat.S_ISDIR(info.st_mode) or info.st_uid not in _trusted_owners():
        raise SetupError(f"{path} belongs to somebody else; remove it or choose another folder.")
    if stat.S_IMODE(info.st_mode) & 0o077:
        path.chmod(0o700)
    return path


def unprivileged_user() -> pwd.struct_passwd:
    """Who runs PostgreSQL, which refuses to be root: a user that every system knows."""
    try:
        return pwd.getpwnam("nobody")
    except KeyError:
        return next(user for user in pwd.getpwall() if user.pw_uid != 0)


def _trusted_owners() -> tuple[int, ...]:
    # For root the socket folder may have been given to whoever runs PostgreSQL.
    return (os.geteuid(),) if os.geteuid() else (0, unprivileged_user().pw_uid)


def run_folder(settings: Settings) -> Path:
    """The folder of sockets and instance files, made if need be."""
    return private_folder(settings.run_dir)
