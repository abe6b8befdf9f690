"""An ingest node in the test's own event loop, with a ledger in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from infra.settings import Settings
from ingest.disk import DiskRules
from ingest.log import IndexEntry, LogMeta
from ingest.main import Ingest
from ingest.rtmp import Limits
from tests.support.ledger import MemoryLedger
from tests.support.media import Footage, make_footage
from tests.support.publisher import Tag, read_tags

TOKEN = "internal"
NO_RULES = DiskRules(warn_bytes=0, log_only_bytes=0, floor_bytes=0)


@dataclass
class Node:
    """A running ingest node."""

    ingest: Ingest
    ledger: MemoryLedger
    folder: Path

    def url(self, key: str) -> str:
        return f"rtmp://127.0.0.1:{self.ingest.rtmp_port}/live/{key}"

    def client(self, seconds: float = 5.0) -> httpx.AsyncClient:
        """Shows the internal token."""
        return httpx.AsyncClient(timeout=seconds, headers={"Authorization": f"Bearer {TOKEN}"})

    def take_url(self, take_id: str, from_ms: int = 0) -> str:
        base = f"http://127.0.0.1:{self.ingest.http_port}"
        return f"{base}/takes/{take_id}.flv?from_ms={from_ms}"

    async def index(self, take_id: str, from_ms: int = 0) -> dict[str, object]:
        url = f"http://127.0.0.1:{self.ingest.http_port}/takes/{take_id}/index"
        async with self.client() as client:
            answer = await client.get(url, params={"from_ms": from_ms})
        answer.raise_for_status()
        found: dict[str, object] = answer.json()
        found["entries"] = [IndexEntry(*entry) for entry in answer.json()["entries"]]
        return found

    def log(self, take_id: str) -> Path:
        return self.folder / f"{take_id}.flv"

    async def wait(self, what: Callable[[], object], seconds: float = 10.0) -> None:
        """Until ``what()`` is true."""
        async with asyncio.timeout(seconds):
            while not what():
                await asyncio.sleep(0.01)

    async def closed(self, count: int = 1, seconds: float = 10.0) -> list[LogMeta]:
        """The takes told closed, once there are ``count``."""
        await self.wait(lambda: len(self.ledger.closed) >= count, seconds)
        return self.ledger.closed


@pytest.fixture
async def node(tmp_path: Path) -> AsyncIterator[Node]:
    settings = Settings(data=tmp_path / "data", rtmp="127.0.0.1:0", ingest_http="127.0.0.1:0")
    ledger = MemoryLedger()
    ingest = Ingest(
        settings,
        token=TOKEN,
        ledger=lambda *_node: ledger,
        limits=Limits(idle_seconds=2.0, setup_seconds=3.0),
        disk_rules=NO_RULES,
    )
    await ingest.start()
    yield Node(ingest, ledger, settings.feeds_dir)
    await ingest.stop()


@pytest.fixture(scope="session")
def footage(ffmpeg: str, media_folder: Path) -> Path:
    """4 s of picture and sound, a keyframe a second."""
    return make_footage(
        ffmpeg, media_folder / "ingest.flv", Footage(4, gop_seconds=1, bitrate="600k")
    )


@pytest.fixture(scope="session")
def tags(footage: Path) -> list[Tag]:
    return read_tags(footage)
