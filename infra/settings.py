"""Settings: read once from the environment (`XITAI_*`) and handed down.

A machine that runs everything (`xitai up`) needs none of them; a province sets the three URLs.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

# sun_path is 108 bytes on Linux, and PostgreSQL adds "/.s.PGSQL.5432.lock" to the folder's name.
_SOCKET_FOLDER_MAX = 80


class Settings(BaseSettings):
    """Everything that differs between installations. Immutable after start."""

    model_config = SettingsConfigDict(env_prefix="XITAI_", frozen=True, extra="ignore")

    data: Path = Field(default=Path("data"), description="Folder for all kept data.")
    http: str = Field(default="127.0.0.1:8080", description="HOST:PORT of the web face.")
    rtmp: str = Field(default="0.0.0.0:1935", description="HOST:PORT encoders push to.")
    ingest_http: str = Field(
        default="127.0.0.1:0", description="HOST:PORT of the internal feed server (0 = any port)."
    )
    ingest_url: str | None = Field(
        default=None,
        description="Address workers reach the feed server at, e.g. http://ingest1.example.cn:9000.",
    )
    public_url: str | None = Field(
        default=None, description="Address viewers use, e.g. https://live.example.cn."
    )
    public_rtmp_url: str | None = Field(
        default=None, description="Address encoders use, e.g. rtmp://live.example.cn/live."
    )

    database_url: str | None = Field(default=None, description="postgresql://…; empty: embedded.")
    redis_url: str | None = Field(default=None, description="redis:// or unix://; empty: embedded.")
    storage_url: str | None = Field(default=None, description="file:///… or s3://bucket/prefix.")
    s3_endpoint: str | None = Field(default=None, description="S3 endpoint, when not AWS.")
    s3_public_endpoint: str | None = Field(
        default=None, description="S3 endpoint as browsers reach it; empty: the same one."
    )
    ffmpeg: str | None = Field(default=None, description="FFmpeg binary; empty: the wheel's.")
    internal_token: SecretStr | None = Field(
        default=None, description="Secret shared by the parts; empty: made at first start."
    )

    grace_seconds: int = Field(default=300, ge=5, le=86_400)
    live_slots: int = Field(default=2, ge=1, le=64, description="Broadcasts one worker transcodes.")
    rungs: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Rungs to make, e.g. v720,v480,a; empty: chosen by the machine."
    )
    web_workers: int = Field(default=1, ge=1, le=64)
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Addresses whose X-Forwarded-* is believed."
    )
    disk_warn_bytes: int = Field(default=5 * 2**30, ge=0, description="Warn below this much free.")
    disk_log_only_bytes: int = Field(
        default=2 * 2**30, ge=0, description="Below this, only the feed log is still written."
    )
    keep_shipped_logs_hours: int = Field(
        default=24, ge=0, description="How long a feed log stays here once storage has it."
    )
    upload_max_bytes: int = Field(
        default=200 * 10**9, ge=1, description="Largest recording that may be sent in."
    )
    upload_hours_max: int = Field(default=8, ge=1, le=100, description="Longest one, in hours.")
    upload_open_max: int = Field(
        default=100, ge=1, description="Uploads one person may have under way."
    )
    upload_days: int = Field(
        default=7, ge=1, le=365, description="How long an unfinished upload waits to be resumed."
    )
    chunk_seconds: int = Field(
        default=60, ge=2, le=3600, description="Least length of what one worker transcodes at once."
    )
    admin_email: str | None = Field(
        default=None, description="Who answers for the shared catalogue; empty: postmaster@host."
    )
    webhook_reach: Literal["public", "private", "any"] = Field(
        default="private",
        description="Where webhooks may go: public addresses only; also private networks; any "
        "(this machine too). Link-local and cloud metadata addresses never.",
    )
    log_level: str = "INFO"
    log_json: bool = False

    @field_validator("rungs", "trusted_proxies", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("data")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @property
    def feeds_dir(self) -> Path:
        """Feed logs of this node."""
        return self.data / "feeds"

    @property
    def uploads_dir(self) -> Path:
        """Files on their way in, under names of our own."""
        return self.data / "uploads"

    @property
    def run_dir(self) -> Path:
        """Sockets, pid and instance files: short enough for a Unix socket's name."""
        inside = self.data / "run"
        if len(os.fsencode(inside)) <= _SOCKET_FOLDER_MAX:
            return inside
        digest = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:12]
        base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
        return base / f"xitai-{os.getuid()}-{digest}"

    @property
    def embedded_database(self) -> bool:
        return self.database_url is None

    @property
    def embedded_redis(self) -> bool:
        return self.redis_url is None

    @property
    def resolved_database_url(self) -> str:
        """SQLAlchemy URL (psycopg 3), embedded or given."""
        if self.database_url is None:
            return f"postgresql+psycopg://xitai@/xitai?host={quote(str(self.run_dir))}"
        for prefix in ("postgresql://", "postgres://"):
            if self.database_url.startswith(prefix):
                return "postgresql+psycopg://" + self.database_url.removeprefix(prefix)
        return self.database_url

    @property
    def resolved_redis_url(self) -> str:
        return self.redis_url or f"unix://{quote(str(self.run_dir / 'redis.sock'))}?db=0"

    @property
    def resolved_storage_url(self) -> str:
        return self.storage_url or (self.data / "media").as_uri()
