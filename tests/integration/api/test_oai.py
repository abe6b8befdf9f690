"""The harvest: real harvesters at a real web process, and the protocol's own rules."""

from __future__ import annotations

import datetime as dt
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest
from httpx import AsyncClient
from oaipmh_scythe import Scythe
from sickle import Sickle
from sickle.oaiexceptions import BadArgument, BadResumptionToken, NoRecordsMatch
from sqlalchemy import update

from catalog.centres import add_centre
from catalog.models import Centre, Resource
from catalog.sharing import oai
from catalog.sharing.licences import lapse
from infra.database import Database
from infra.processes.up import child_environment
from infra.settings import Settings

ROOT = Path(__file__).parents[3]
NOW = dt.datetime.now(dt.UTC).replace(microsecond=123_456)
TODAY = NOW.date()
COUNT = 2 * oai.BATCH + 30
TOKEN = "verb=ListRecords&resumptionToken=cursor%3D1%26metadataPrefix%3Doai_dc"
NS = {"o": "http://www.openarchives.org/OAI/2.0/", "dc": "http://purl.org/dc/elements/1.1/"}


@dataclass(frozen=True)
class Stock:
    """Centres, and the ids of the records that are given out, oldest datestamp first."""

    prefecture: str
    county: str
    other: str
    ids: list[str]


def row(number: int, centre: Centre, **fields: Any) -> Resource:
    given = {
        "id": f"r{number:04d}", "kind": "finished", "state": "published", "licence": "nation",
        "title": f"第 {number} 场 <村晚> & 联欢", "event_date": dt.date(2025, 1, 1),
        # Three to a second: the pages end in the middle of one.
        "changed_at": NOW - dt.timedelta(seconds=10_000 - number // 3, microseconds=-number),
    }  # fmt: skip
    return Resource(centre_id=centre.id, **{**given, **fields})


@pytest.fixture
def stock(database: Database) -> Stock:
    with database.transaction() as session:
        prefecture = add_centre(session, "西双版纳州文化馆", level="prefecture")
        county = add_centre(session, "勐海县文化馆", parent=prefecture)
        other = add_centre(session, "勐腊县文化馆", parent=prefecture)
        rows = [row(n, county) for n in range(COUNT)]
        rows += [
            row(9000, other, kind="image", genre_id="dance", keywords=["鼓舞", "非遗"]),
            row(9100, county, licence="centre"),
            row(9101, county, licence="province"),
            row(9102, county, state="review_3"),
            row(9103, county, state="withdrawn"),
        ]
        session.add_all(rows)
        session.flush()
        # One that is withdrawn after it was given out, and one that is being changed.
        for key, state in (("r0003", "withdrawn"), ("r0004", "draft")):
            session.execute(update(Resource).where(Resource.id == key).values(state=state))
        given = sorted(rows[: COUNT + 1], key=lambda r: (r.changed_at, r.id))
        return Stock(prefecture.id, county.id, other.id, [r.id for r in given])


@pytest.fixture
def address(settings: Settings, redis_client: object, stock: Stock) -> Iterator[str]:
    """Of `xitai web`, over a real socket."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    ours = settings.model_copy(update={"http": f"127.0.0.1:{port}", "public_url": None})
    ours.data.mkdir(parents=True, exist_ok=True)
    argv = [sys.executable, "-m", "api.cli", "web"]
    with (ours.data / "web.log").open("wb") as log:
        process = subprocess.Popen(
            argv, env=child_environment(ours), cwd=ROOT, stdout=log, stderr=log
        )
    url = f"http://{ours.http}"
    deadline = time.monotonic() + 60
    while True:
        try:
            httpx.get(f"{url}/healthz", timeout=2)
            break
        except httpx.TransportError:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
    yield url
    process.terminate()
    process.wait(20)


def name_of(identifier: str) -> str:
    start = "oai:127.0.0.1:"
    assert identifier.startswith(start)
    return identifier.removeprefix(start)


def test_harvesters_get_everything_once_in_order(address: str, stock: Stock) -> None:
    sickle = Sickle(f"{address}/oai")
    told = sickle.Identify()
    assert told.baseURL == f"{address}/oai"
    assert told.repositoryName == "西双版纳州文化馆数字资源目录"
    assert told.deletedRecord == "persistent"
    assert told.granularity == "YYYY-MM-DDThh:mm:ssZ"
    assert told.adminEmail == "postmaster@127.0.0.1"
    assert [found.metadataPrefix for found in sickle.ListMetadataFormats()] == ["oai_dc"]
    records = list(sickle.ListRecords(metadataPrefix="oai_dc"))
    assert [name_of(r.header.identifier) for r in records] == stock.ids
    assert [r.header.datestamp for r in records] == sorted(r.header.datestamp for r in records)
    assert records[0].header.datestamp >= told.earliestDatestamp
    assert {name_of(r.header.identifier) for r in records if r.deleted} == {"r0003", "r0004"}
    first = records[0].metadata
    assert first["title"] == ["第 0 场 <村晚> & 联欢"]
    assert first["identifier"] == ["urn:xitai:resource:r0000", f"{address}/r/r0000"]
    assert first["publisher"] == ["勐海县文化馆"]
    # By POST, only headers, leaving out what is gone: the same.
    heads = Sickle(f"{address}/oai", http_method="POST").ListIdentifiers(
        metadataPrefix="oai_dc", ignore_deleted=True
    )
    assert [name_of(h.identifier) for h in heads] == [
        key for key in stock.ids if key not in ("r0003", "r0004")
    ]


def test_another_harvester_and_sets(address: str, stock: Stock) -> None:
    with Scythe(f"{address}/oai") as scythe:
        assert scythe.identify().protocolVersion == "2.0"
        listed: list[Any] = list(scythe.list_sets())
        sets = {found.setSpec: found.setName for found in listed}
        assert sets[f"centre:{stock.county}"] == "勐海县文化馆"
        assert sets["kind:image"] == "图片"
        counts = {
            wanted: len(list(scythe.list_records(metadata_prefix="oai_dc", set_=wanted)))
            for wanted in (
                f"centre:{stock.prefecture}",
                f"centre:{stock.county}",
                f"centre:{stock.other}",
                "kind:finished",
                "kind:image",
                "kind",
            )
        }
        assert list(counts.values()) == [COUNT + 1, COUNT, 1, COUNT, 1, COUNT + 1]
        image: Any = scythe.get_record(identifier="oai:127.0.0.1:r9000", metadata_prefix="oai_dc")
        assert image.header.setSpecs == [
            f"centre:{stock.prefecture}", f"centre:{stock.other}", "kind:image",
        ]  # fmt: skip
        assert image.metadata["subject"] == ["舞蹈", "鼓舞", "非遗"]
        assert image.metadata["type"] == ["StillImage", "图片"]


def test_only_what_changed_since(address: str, stock: Stock, database: Database) -> None:
    sickle = Sickle(f"{address}/oai")
    records = list(sickle.ListRecords(metadataPrefix="oai_dc"))
    stamp = records[100].header.datestamp
    same = [r for r in records if r.header.datestamp == stamp]
    assert len(same) == 3
    only = sickle.ListIdentifiers(metadataPrefix="oai_dc", **{"from": stamp, "until": stamp})
    assert [h.identifier for h in only] == [r.header.identifier for r in same]
    # A licence that has run out takes a record away, as soon as harvesters can hear of it.
    with database.transaction() as session:
        ended = TODAY - dt.timedelta(days=2)
        lapsing = session.get_one(Resource, "r0010")
        lapsing.licence_until, lapsing.changed_at = ended, NOW - dt.timedelta(days=9)
        session.get_one(Resource, "r0011").licence_until = TODAY + dt.timedelta(days=9)
        session.flush()
        assert lapse(session, NOW) == 1
        assert lapse(session, NOW) == 0
    news = list(sickle.ListRecords(metadataPrefix="oai_dc", **{"from": f"{NOW:%Y-%m-%d}"}))
    gone = {name_of(r.header.identifier) for r in news if r.deleted}
    assert "r0010" in gone
    assert "r0011" not in gone
    with pytest.raises(NoRecordsMatch):
        sickle.ListRecords(metadataPrefix="oai_dc", **{"from": "2100-01-01"})
    with pytest.raises(BadArgument):
        sickle.ListRecords(metadataPrefix="oai_dc", **{"from": "2021-01-02", "until": "2021-01-01"})
    everything = sickle.ListIdentifiers(metadataPrefix="oai_dc", until="9999-12-31T23:59:59Z")
    assert len(list(everything)) == len(stock.ids)
    with pytest.raises(BadResumptionToken):
        sickle.ListRecords(resumptionToken="nonsense")


def test_a_record_that_changes_under_a_harvest_is_not_missed(
    address: str, stock: Stock, database: Database
) -> None:
    harvest = Sickle(f"{address}/oai").ListIdentifiers(metadataPrefix="oai_dc")
    got = [name_of(next(harvest).identifier) for _ in range(oai.BATCH)]
    with database.transaction() as session:
        # One of the first page and one that is still to come move to the end.
        for key in (got[5], stock.ids[oai.BATCH]):
            session.get_one(Resource, key).changed_at = NOW
    got += [name_of(header.identifier) for header in harvest]
    assert set(got) == set(stock.ids)
    assert sorted(got) == sorted([*stock.ids, got[5]])


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "badVerb"),
        ("verb=Nonsense", "badVerb"),
        ("verb=GetMetadata&identifier=x&metadataPrefix=oai_dc", "badVerb"),
        ("verb=Identify&verb=Identify", "badArgument"),
        ("verb=Identify&x=1", "badArgument"),
        ("verb=ListRecords", "badArgument"),
        ("verb=ListRecords&metadataPrefix=oai_dc&resumptionToken=x", "badArgument"),
        ("verb=ListRecords&metadataPrefix=oai_dc&from=yesterday", "badArgument"),
        ("verb=ListRecords&metadataPrefix=oai_dc&from=2020-01-01&until=2020-01-01T00:00:00Z",
         "badArgument"),
        ("verb=ListRecords&metadataPrefix=%00", "badArgument"),
        ("verb=ListRecords&metadataPrefix=" + "x" * 600, "badArgument"),
        ("verb=ListRecords&metadataPrefix=marc", "cannotDisseminateFormat"),
        ("verb=ListRecords&metadataPrefix=oai_dc&set=centre:nowhere", "noRecordsMatch"),
        ("verb=ListRecords&resumptionToken=cursor%3D1%26after%3Dx", "badResumptionToken"),
        (f"{TOKEN}%26from_%3Dx%26after%3D1.x", "badResumptionToken"),
        (f"{TOKEN}%26after%3D99999999999999999.x", "badResumptionToken"),
        ("verb=ListSets&resumptionToken=x", "badResumptionToken"),
        ("verb=GetRecord&metadataPrefix=oai_dc&identifier=oai:127.0.0.1:r9100", "idDoesNotExist"),
        ("verb=GetRecord&metadataPrefix=oai_dc&identifier=oai:127.0.0.1:r9103", "idDoesNotExist"),
        ("verb=GetRecord&metadataPrefix=oai_dc&identifier=r0001", "idDoesNotExist"),
        ("verb=ListMetadataFormats&identifier=x", "idDoesNotExist"),
    ],
)  # fmt: skip
async def test_wrong_questions(web: AsyncClient, database: Database, query: str, code: str) -> None:
    with database.transaction() as session:
        centre = add_centre(session, "勐海县文化馆")
        session.add_all(
            [row(1, centre), row(9100, centre, licence="centre"),
             row(9103, centre, state="withdrawn")]
        )  # fmt: skip
    answer = await web.get(f"/oai?{query}")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/xml")
    tree = ElementTree.fromstring(answer.content)
    found = tree.find("o:error", NS)
    assert found is not None
    assert found.get("code") == code
    asked = tree.find("o:request", NS)
    assert asked is not None
    assert asked.text == "http://stage.test/oai"
    # What was asked is repeated, except where the question itself was bad.
    assert bool(asked.attrib) == (code not in ("badVerb", "badArgument"))


async def test_a_last_page_says_so_and_odd_text_spoils_nothing(
    web: AsyncClient, database: Database
) -> None:
    with database.transaction() as session:
        centre = add_centre(session, "勐海县文化馆")
        rows = [row(n, centre) for n in range(oai.BATCH + 1)]
        rows[0].title = "坏\x0b字\ufffe符"
        session.add_all(rows)
    url = "/oai?verb=ListRecords"
    first = ElementTree.fromstring((await web.get(f"{url}&metadataPrefix=oai_dc")).content)
    assert first.findtext(".//dc:title", namespaces=NS) == "坏字符"
    token = first.find(".//o:resumptionToken", NS)
    assert token is not None
    assert token.text
    last = ElementTree.fromstring(
        (await web.get(url, params={"verb": "ListRecords", "resumptionToken": token.text})).content
    )
    assert len(last.findall(".//o:record", NS)) == 1
    token = last.find(".//o:resumptionToken", NS)
    assert token is not None, "an empty token ends a list that came in parts"
    assert not token.text
