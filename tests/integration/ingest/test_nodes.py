"""Several nodes on one catalogue: whose take is whose, and a feed that moves between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis
from sqlalchemy import select

from catalog import broadcasts
from catalog.models import Centre, Take
from infra.database import Database
from infra.redis import connect_async
from infra.settings import Settings
from ingest import hub
from ingest.book import CatalogLedger
from ingest.main import Ingest
from tests.integration.ingest.conftest import NO_RULES
from tests.support.publisher import Tag, publishing, repeat, until
from tests.support.stage import make_stage

NODE_URL = "http://same-name:9000"


def a_broadcast(database: Database) -> broadcasts.NewBroadcast:
    with database.transaction() as session:
        session.add(Centre(id="c1", name="文化馆", path="c1/"))
        session.flush()
        return broadcasts.create_broadcast(session, title="春晚", centre_id="c1")


def takes(database: Database) -> list[Take]:
    with database.transaction() as session:
        return list(session.scalars(select(Take).order_by(Take.seq)))


@asynccontextmanager
async def a_node(
    database: Database, data: Path, redis_settings: Settings | None = None
) -> AsyncIterator[Ingest]:
    client = connect_async(redis_settings) if redis_settings is not None else None
    settings = Settings(
        data=data, rtmp="127.0.0.1:0", ingest_http="127.0.0.1:0", ingest_url=f"{NODE_URL}/"
    )
    node = Ingest(
        settings,
        token="t",
        ledger=lambda url, node_id: CatalogLedger(database, url, node_id),
        redis_client=client,
        disk_rules=NO_RULES,
    )
    await node.start()
    try:
        yield node
    finally:
        await node.stop()
        if client is not None:
            await client.aclose()


def test_a_node_closes_only_takes_that_are_its_own(database: Database) -> None:
    """Two machines of one name: the address says nothing, the id does."""
    with database.transaction() as session:
        stage = make_stage(session)
        kept, lost, foreign = stage.open(), stage.open(), stage.open()
        for take, node in ((kept, "a"), (lost, "a"), (foreign, "b")):
            take.node_url, take.node_id = NODE_URL, node
        ids = kept.id, lost.id, foreign.id
    CatalogLedger(database, "http://moved:9000", "a").settle_in([ids[0]])
    found = {take.id: take for take in takes(database)}
    assert [found[take_id].state for take_id in ids] == ["open", "closed", "open"]
    assert found[ids[1]].ended_by == "log_missing"
    assert [found[take_id].node_url for take_id in ids] == ["http://moved:9000", NODE_URL, NODE_URL]


@pytest.mark.parametrize("by", ["letter", "poll"])
async def test_a_feed_that_begins_on_another_node_ends_here(
    by: str,
    database: Database,
    settings: Settings,
    redis_client: redis.Redis,
    tmp_path: Path,
    tags: list[Tag],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if by == "letter":
        monkeypatch.setattr(hub, "POLL_SECONDS", 60.0)
    told = settings if by == "letter" else None
    new = a_broadcast(database)
    async with (
        a_node(database, tmp_path / "a", told) as first,
        a_node(database, tmp_path / "b", told) as second,
        publishing(first.rtmp_port, new.stream_key) as old,
        publishing(second.rtmp_port, new.stream_key) as young,
        asyncio.timeout(15),
    ):
        if told is not None:
            while redis_client.pubsub_numsub("x:ctl")[0][1] < 2:
                await asyncio.sleep(0.02)
        pushing = asyncio.create_task(old.push(repeat(tags)))
        while not await asyncio.to_thread(takes, database):
            await asyncio.sleep(0.05)
        await young.push(until(tags, 1500), speed=None)
        await old.closed.wait()
        await pushing
        while (await asyncio.to_thread(takes, database))[0].state == "open":
            await asyncio.sleep(0.05)
        # The one that came last stays, whatever it hears or reads about itself.
        await asyncio.sleep(1.2 if by == "poll" else 0.3)
        assert not young.closed.is_set()
        one, two = await asyncio.to_thread(takes, database)
        assert (one.ended_by, one.node_id) == ("taken_over", first.node_id)
        assert (two.state, two.node_id, two.node_url) == ("open", second.node_id, NODE_URL)
        with database.transaction() as session:
            assert session.get_one(Take, two.id).broadcast.state == "live"
