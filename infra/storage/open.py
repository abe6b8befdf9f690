"""Chooses the storage adapter by the settings' URL: `file:///folder` or `s3://bucket/prefix`."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from infra.settings import Settings
from infra.storage.folder import FolderStorage
from infra.storage.port import Storage


def open_storage(settings: Settings) -> Storage:
    """The storage of this installation. Does no network I/O; a missing folder is made."""
    url = urlsplit(settings.resolved_storage_url)
    if url.scheme == "file":
        if url.netloc not in ("", "localhost"):
            raise ValueError("a file:// storage URL names a folder of this machine: file:///path")
        return FolderStorage(Path(unquote(url.path)))
    if url.scheme == "s3":
        # Imported here because boto3 costs tens of megabytes and half a second, and most
        # installations keep their media in a folder.
        from infra.storage.s3 import S3Storage

        return S3Storage(
            url.netloc,
            url.path.strip("/"),
            endpoint=settings.s3_endpoint,
            public_endpoint=settings.s3_public_endpoint,
        )
    raise ValueError(f"XITAI_STORAGE_URL must start with file:/// or s3://, not {url.scheme!r}")
