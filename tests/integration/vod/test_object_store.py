"""The same work with media in an object store instead of a folder."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from catalog.models import Take, Work
from infra.database import Database
from infra.settings import Settings
from tests.integration.vod.show import Show, air_take, new_show
from tests.support.media import Footage, read_numbers
from vod.clips import make_clip, request_clip
from vod.compaction import clean_up, compact
from vod.shipping import ship_take

BUCKET = "vod"


@pytest.fixture
def endpoint(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    app = DomainDispatcherApplication(create_backend_app)
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    client = boto3.client("s3", endpoint_url=url)
    client.create_bucket(Bucket=BUCKET)
    client.close()
    yield url
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def show(
    settings: Settings, database: Database, ffmpeg: str, media_folder: Path, tmp_path: Path,
    endpoint: str,
) -> Show:  # fmt: skip
    stored = settings.model_copy(
        update={"storage_url": f"s3://{BUCKET}/xitai", "s3_endpoint": endpoint}
    )
    made = new_show(stored, database, ffmpeg, tmp_path)
    air_take(made, Footage(seconds=6, b_frames=2, preset="veryfast"), media_folder)
    air_take(made, Footage(seconds=6, first=1000), media_folder)
    made.end()
    return made


def clip_numbers(show: Show, start: int, end: int, folder: Path) -> list[int | None]:
    with show.database.transaction() as session:
        work, _ = request_clip(
            session, pieces=[(show.broadcast_id, start, end)], title="片段",
            created_by=None,
        )  # fmt: skip
    make_clip(show.tools, work.id)
    with show.database.transaction() as session:
        done = session.get_one(Work, work.id)
    path = folder / f"{work.id}.mp4"
    show.storage.fetch(done.mp4_key or "", path)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == done.sha256
    return read_numbers(path)


def test_clip_compaction_and_shipping(show: Show, tmp_path: Path) -> None:
    start, end = 200_000, 900_000
    wanted = [number for tick, number in show.frames() if start <= tick < end]
    assert clip_numbers(show, start, end, tmp_path) == wanted
    compact(show.tools, show.broadcast_id)
    clean_up(show.tools, show.broadcast_id)
    assert [key.split("/", 2)[2] for key in show.storage.list("live/")] == [
        "a/replay1.mp4",
        "v360/replay1.mp4",
    ]
    assert clip_numbers(show, start, end, tmp_path) == wanted
    take = show.takes[0]
    ship_take(show.tools, take.take_id)
    with show.database.transaction() as session:
        key = session.get_one(Take, take.take_id).storage_key
    assert show.storage.get(key or "") == take.path.read_bytes()
