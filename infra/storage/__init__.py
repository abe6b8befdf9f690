"""Object storage: one port, two adapters (a folder, S3)."""

from infra.storage.open import open_storage
from infra.storage.port import (
    AlreadyThere,
    InvalidKey,
    NotFound,
    Storage,
    StorageError,
    StorageFull,
    check_key,
)

__all__ = [
    "AlreadyThere",
    "InvalidKey",
    "NotFound",
    "Storage",
    "StorageError",
    "StorageFull",
    "check_key",
    "open_storage",
]
