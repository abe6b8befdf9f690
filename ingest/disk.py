"""How much disk is left, and what that forbids: derived media first, the feed log last."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

from infra.settings import Settings

MIB = 2**20


class DiskLevel(IntEnum):
    """From good to bad; each level forbids what the one before forbade, and more."""

    OK = 0
    LOW = 1
    """Warn: the staff page says so, nothing changes yet."""
    LOG_ONLY = 2
    """Derived media (segments, replays, clips) stop; only feed logs are still written."""
    FULL = 3
    """No new take begins. An open log goes on until the file system itself refuses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskRules:
    """Free bytes below which each level begins."""

    warn_bytes: int
    log_only_bytes: int
    floor_bytes: int = 48 * MIB
    """Under a minute and a half at 4 Mbit/s: too little to begin anything with."""

    @classmethod
    def of(cls, settings: Settings) -> DiskRules:
        return cls(warn_bytes=settings.disk_warn_bytes, log_only_bytes=settings.disk_log_only_bytes)

    def level(self, free_bytes: int) -> DiskLevel:
        if free_bytes < self.floor_bytes:
            return DiskLevel.FULL
        if free_bytes < self.log_only_bytes:
            return DiskLevel.LOG_ONLY
        if free_bytes < self.warn_bytes:
            return DiskLevel.LOW
        return DiskLevel.OK


def free_bytes(folder: Path) -> int:
    """Bytes an unprivileged writer may still use in the file system of ``folder``."""
    status = os.statvfs(folder)
    return status.f_bavail * status.f_frsize


class DiskWatch:
    """The last look at the disk; `look` is called once a second, so nobody else needs to."""

    def __init__(self, folder: Path, rules: DiskRules) -> None:
        self._folder = folder
        self._rules = rules
        self.free_bytes = free_bytes(folder)
        self.level = rules.level(self.free_bytes)

    def look(self) -> DiskLevel:
        """Measure again. A statvfs is answered from memory: it does not wait for the disk."""
        self.free_bytes = free_bytes(self._folder)
        self.level = self._rules.level(self.free_bytes)
        return self.level
