"""Beacons written together: an error nobody foresaw leaves no player waiting."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from api.beacons import BeaconWriter
from catalog.plays import Batch, Taken
from infra.database import Database


def a_batch() -> Batch:
    return Batch([{"at": dt.datetime.now(dt.UTC)}], 0)


async def test_an_error_reaches_all_who_wait_and_the_next_are_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes: list[int] = []

    def keep(_writer: BeaconWriter, batches: list[Batch]) -> list[Taken]:
        sizes.append(len(batches))
        if len(sizes) == 1:
            raise RuntimeError("a row nobody foresaw")
        return [Taken(len(batch.rows), 0, 0) for batch in batches]

    monkeypatch.setattr(BeaconWriter, "_keep", keep)
    writer = BeaconWriter(Database("postgresql+psycopg://nobody@/nothing"))
    async with asyncio.timeout(10):
        first = await asyncio.gather(
            writer.take(a_batch()), writer.take(a_batch()), return_exceptions=True
        )
        assert [str(error) for error in first] == ["a row nobody foresaw"] * 2
        assert await writer.take(a_batch()) == Taken(1, 0, 0)
    assert sizes == [2, 1]
