"""Logs leave the node once storage has them and nobody reads them here, and never before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog.clock import from_us
from catalog.models import Take
from infra.database import Database
from infra.settings import Settings
from ingest.book import CatalogLedger, LedgerAway, TakeBook
from ingest.log import LogMeta, LogShelf
from ingest.main import Ingest
from ingest.retention import Retention
from tests.integration.ingest.conftest import NO_RULES, Node
from tests.support.ledger import MemoryLedger
from tests.support.publisher import Tag, publishing
from tests.support.stage import NOON_US, make_stage

HOUR_US = 3_600_000_000
NOW_US = NOON_US + 100 * HOUR_US
HEAD = b"FLV\x01\x05\x00\x00\x00\x09\x00\x00\x00\x00"


@pytest.fixture
def shelf(tmp_path: Path) -> LogShelf:
    return LogShelf(tmp_path / "feeds")


@pytest.fixture
def book(shelf: LogShelf, database: Database) -> Iterator[TakeBook]:
    made = TakeBook(CatalogLedger(database, "http://127.0.0.1:1", "n1"), shelf, lambda _meta: None)
    yield made
    made.close()


def take_with_log(
    database: Database, shelf: LogShelf, *, open_log: bool = False, **row: Any
) -> str:
    """A take that may go, but for what ``row`` says otherwise; its log on the shelf."""
    with database.transaction() as session:
        stage = make_stage(session)
        take = stage.open()
        stage.close(take, end_ms=4_000)
        values: dict[str, Any] = {
            "aired_at": from_us(take.last_arrival_us or 0),
            "storage_key": f"takes/{take.id}.flv",
            "sha256": "0" * 64,
            "size_bytes": len(HEAD) + 26,
            **row,
        }
        for name, value in values.items():
            setattr(take, name, value)
        take_id = take.id
    meta = LogMeta.begin(
        take_id=take_id, feed_id="f", broadcast_id="b", first_arrival_us=NOON_US, codecs={},
        preamble_size=len(HEAD),
    )  # fmt: skip
    writer = shelf.create(meta, HEAD)
    writer.append(9, 0, b"\x17\x01" + bytes(9), NOON_US, key=True)
    if open_log:
        writer.flush()
        return take_id
    assert writer.finish("unpublished", drop=True) is None
    writer.release(sync=True)
    del shelf.open[take_id]
    return take_id


def files(shelf: LogShelf) -> list[str]:
    return sorted(path.name for path in shelf.folder.iterdir())


async def test_what_is_shipped_and_old_goes(
    database: Database, shelf: LogShelf, book: TakeBook
) -> None:
    take_id = take_with_log(database, shelf)
    retention = Retention(shelf, book, keep_hours=24)
    assert await retention.sweep(NOON_US + 23 * HOUR_US) == []
    assert shelf.view(take_id) is not None
    assert await retention.sweep(NOW_US) == [take_id]
    assert files(shelf) == []
    assert shelf.view(take_id) is None
    assert await retention.sweep(NOW_US) == []


@pytest.mark.parametrize(
    "row",
    [
        pytest.param({"storage_key": None, "sha256": None}, id="not shipped"),
        pytest.param({"sha256": None}, id="not counted"),
        pytest.param({"aired_at": None}, id="not aired"),
        pytest.param({"aired_at": from_us(NOW_US - HOUR_US)}, id="aired lately"),
        pytest.param({"last_arrival_us": NOW_US - HOUR_US}, id="over since lately"),
        pytest.param({"state": "open"}, id="open in the catalogue"),
        pytest.param({"open_log": True}, id="open here"),
        pytest.param({"size_bytes": 7}, id="another size"),
    ],
)
async def test_anything_else_stays(
    database: Database, shelf: LogShelf, book: TakeBook, row: dict[str, Any]
) -> None:
    take_with_log(database, shelf, **row)
    before = files(shelf)
    assert await Retention(shelf, book, keep_hours=24).sweep(NOW_US) == []
    assert files(shelf) == before


async def test_a_log_without_a_row_stays(
    database: Database, shelf: LogShelf, book: TakeBook
) -> None:
    take_id = take_with_log(database, shelf)
    with database.transaction() as session:
        session.delete(session.get_one(Take, take_id))
    assert await Retention(shelf, book, keep_hours=0).sweep(NOW_US) == []
    assert len(files(shelf)) == 4


async def test_the_node_sweeps_when_it_starts(node: Node, tags: list[Tag], tmp_path: Path) -> None:
    key, _ = node.ledger.feed()
    async with publishing(node.ingest.rtmp_port, key) as pusher:
        await pusher.push(tags, speed=None)
        await pusher.finish()
    [meta] = await node.closed()
    await node.ingest.stop()
    ledger = MemoryLedger(closed=[meta], stored={meta.take_id: meta.counts.size})
    settings = Settings(
        data=tmp_path / "data", rtmp="127.0.0.1:0", ingest_http="127.0.0.1:0",
        keep_shipped_logs_hours=0,
    )  # fmt: skip
    again = Ingest(settings, token="t", ledger=lambda *_node: ledger, disk_rules=NO_RULES)
    await again.start()
    try:
        await node.wait(lambda: not list(again.shelf.takes()))
    finally:
        await again.stop()


async def test_a_catalogue_that_is_away_costs_nothing(shelf: LogShelf) -> None:
    book = TakeBook(MemoryLedger(away=True), shelf, lambda _meta: None)
    (shelf.folder / "abcdef.flv").write_bytes(HEAD)
    with pytest.raises(LedgerAway):
        await Retention(shelf, book, keep_hours=0).sweep(NOW_US)
    assert files(shelf) == ["abcdef.flv"]
    book.close()
