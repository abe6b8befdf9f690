"""The instance that runs on a data folder: its addresses, its lock, its internal secret."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
from pathlib import Path

import msgspec
import psutil

from infra.embedded.folders import private_folder, run_folder
from infra.settings import Settings

_ANY_ADDRESS = ("0.0.0.0", "::", "[::]", "")


class InstanceRunning(Exception):
    """Another `xitai up` holds the data folder; the message is a plain sentence."""


class Instance(msgspec.Struct, frozen=True):
    """What `xitai up` writes down so that other commands find it."""

    http_url: str
    rtmp_url: str
    """Where encoders push to, without the stream key: rtmp://host:port/live."""
    ingest_url: str
    """The ingest node's internal feed server."""
    pid: int
    """The supervisor."""
    pid_started: float
    """Its start time (s since 1970), so that a reused pid is not taken for it."""
    pids: dict[str, int] = msgspec.field(default_factory=dict)
    """Part → process id, as of the last (re)start."""
    started: float = 0.0
    """When the instance was started (s since 1970)."""


# --- addresses -------------------------------------------------------------------------------


def split_address(address: str) -> tuple[str, int]:
    """``HOST:PORT``, ``[V6]:PORT`` or ``PORT`` → (host, port). Raises ValueError."""
    host, _, port = address.rpartition(":")
    number = int(port)
    if not 0 <= number <= 65_535:
        raise ValueError(f"{address}: a port is a number from 0 to 65535")
    return host.strip("[]") or "127.0.0.1", number


def _reachable(address: str) -> str:
    host, port = split_address(address)
    if host in _ANY_ADDRESS:
        host = "127.0.0.1"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def local_http_url(settings: Settings) -> str:
    """The web face as this machine reaches it."""
    return f"http://{_reachable(settings.http)}"


def http_url(settings: Settings) -> str:
    """The web face as viewers reach it, without a slash at the end."""
    return (settings.public_url or local_http_url(settings)).rstrip("/")


def rtmp_url(settings: Settings) -> str:
    """Where encoders push to, without the stream key."""
    return (settings.public_rtmp_url or f"rtmp://{_reachable(settings.rtmp)}/live").rstrip("/")


def ingest_url(settings: Settings) -> str:
    """The internal feed server (meaningful once its port is fixed)."""
    return f"http://{_reachable(settings.ingest_http)}"


# --- the instance file -----------------------------------------------------------------------


def write_instance(settings: Settings, instance: Instance) -> None:
    """Replace the instance file in one step: readers see the old one or the new one."""
    path = run_folder(settings) / "instance.json"
    fresh = path.with_suffix(".json.new")
    fresh.write_bytes(msgspec.json.encode(instance))
    fresh.rename(path)


def load_instance(settings: Settings) -> Instance | None:
    """The instance running on this data folder, or None."""
    try:
        found = msgspec.json.decode(
            (settings.run_dir / "instance.json").read_bytes(), type=Instance
        )
    except (OSError, msgspec.DecodeError):
        return None
    try:
        process = psutil.Process(found.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None  # Dead, and its parent has not noticed yet.
        return found if abs(process.create_time() - found.pid_started) < 2 else None
    except psutil.Error:
        return None


def forget_instance(settings: Settings) -> None:
    (settings.run_dir / "instance.json").unlink(missing_ok=True)


# --- the lock --------------------------------------------------------------------------------


class InstanceLock:
    """Held by the one supervisor of a data folder; the kernel lets go of it when its holders die.

    The lock is on the open file, so a process that inherits ``fd`` holds it too: a supervisor
    killed the hard way stays locked until its guardian has cleared up after it.
    """

    def __init__(self, data: Path) -> None:
        self.path = data / "xitai.lock"
        self.fd = -1

    def acquire(self, wait_seconds: float = 0.0) -> None:
        """Raise :class:`InstanceRunning` when somebody else still holds it after the wait."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + wait_seconds
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    os.close(fd)
                    raise InstanceRunning(
                        f"Xitai already runs on {self.path.parent}. Stop it first, or name "
                        "another folder with --data."
                    ) from None
                time.sleep(0.1)
            else:
                self.fd = fd
                return

    def release(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


# --- the secret between the parts ------------------------------------------------------------


def internal_token(settings: Settings) -> str:
    """The secret the parts show each other: from the settings, else made once and kept (0600)."""
    if settings.internal_token is not None:
        return settings.internal_token.get_secret_value()
    folder = private_folder(settings.data / "secret")
    path = folder / "internal_token"
    with contextlib.suppress(FileExistsError):
        # Complete before it has its name: two parts may start at the same moment.
        fresh = folder / f".internal_token.{os.getpid()}.{secrets.token_hex(4)}"
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(32))
        try:
            os.link(fresh, path)
        finally:
            fresh.unlink()
    return path.read_text().strip()
