"""Logs go to storage whole, from this node or another one, and are registered once."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlalchemy import select

from catalog.models import Resource, Take
from infra.database import Database
from infra.settings import Settings
from tests.integration.vod.show import Show, air_take, new_show
from tests.support.media import Footage
from vod.shipping import ShipError, ship_take

TOKEN = "internal-token"


@pytest.fixture
def show(
    settings: Settings, database: Database, ffmpeg: str, media_folder: Path, tmp_path: Path
) -> Show:
    made = new_show(settings, database, ffmpeg, tmp_path)
    air_take(made, Footage(seconds=4), media_folder)
    return made


def own_log(show: Show) -> Path:
    return show.settings.feeds_dir / f"{show.takes[0].take_id}.flv"


def shipped(show: Show) -> tuple[Take, list[Resource]]:
    with show.database.transaction() as session:
        take = session.get_one(Take, show.takes[0].take_id)
        resources = session.scalars(select(Resource).where(Resource.take_id == take.id)).all()
        return take, list(resources)


def test_log_of_this_node_is_one_file_under_two_names(show: Show) -> None:
    log = own_log(show)
    data = log.read_bytes()
    take_id = show.takes[0].take_id
    ship_take(show.tools, take_id)
    take, resources = shipped(show)
    assert take.storage_key == f"takes/{take_id}.flv"
    assert take.sha256 == hashlib.sha256(data).hexdigest()
    assert show.storage.get(take.storage_key) == data
    path = show.storage.local_path(take.storage_key)
    assert path is not None
    assert path.samefile(log)
    (resource,) = resources
    assert (resource.kind, resource.sha256) == ("raw", take.sha256)
    # To the end of what viewers got, which is that of the last sound.
    assert 4 * 90_000 <= resource.duration_ticks < 4.1 * 90_000
    # Retention takes the log away: storage still has it.
    log.unlink()
    assert show.storage.get(take.storage_key) == data
    ship_take(show.tools, take_id)
    assert len(shipped(show)[1]) == 1


def test_shipping_killed_before_its_row_is_done_again(show: Show) -> None:
    take_id = show.takes[0].take_id
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vod.shipping._register", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            ship_take(show.tools, take_id)
    assert shipped(show)[0].storage_key is None
    ship_take(show.tools, take_id)
    assert shipped(show)[0].storage_key is not None
    folder = show.settings.data / "media" / "takes"
    assert [path.name for path in folder.iterdir()] == [f"{take_id}.flv"]


def test_open_take_is_not_shipped(show: Show) -> None:
    with show.database.transaction() as session:
        session.get_one(Take, show.takes[0].take_id).state = "open"
    with pytest.raises(ShipError):
        ship_take(show.tools, show.takes[0].take_id)


def test_log_that_is_not_whole_is_not_registered(show: Show) -> None:
    log = own_log(show)
    log.write_bytes(log.read_bytes()[:-1])
    with pytest.raises(ShipError):
        ship_take(show.tools, show.takes[0].take_id)
    take, resources = shipped(show)
    assert (take.storage_key, resources) == (None, [])


@contextmanager
def feed_server(show: Show, data: bytes) -> Iterator[None]:
    """Another node's feed server, which has one log."""

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            allowed = self.headers["Authorization"] == f"Bearer {TOKEN}"
            there = url.path == f"/takes/{show.takes[0].take_id}.flv"
            whole = parse_qs(url.query) == {"whole": ["1"]}
            self.send_response(200 if allowed and there and whole else 401)
            self.end_headers()
            if allowed:
                self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with show.database.transaction() as session:
            take = session.get_one(Take, show.takes[0].take_id)
            take.node_url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def test_log_of_another_node_is_fetched(show: Show) -> None:
    data = own_log(show).read_bytes()
    own_log(show).unlink()
    take_id = show.takes[0].take_id
    with feed_server(show, data):
        with pytest.raises(ShipError, match="401"):
            ship_take(show.tools, take_id, "wrong")
        ship_take(show.tools, take_id, TOKEN)
    take, resources = shipped(show)
    assert take.sha256 == hashlib.sha256(data).hexdigest()
    assert show.storage.get(take.storage_key or "") == data
    assert len(resources) == 1
    assert list((show.settings.data / "tmp").iterdir()) == []


def test_node_that_is_down_or_cuts_off_is_tried_again_later(show: Show) -> None:
    data = own_log(show).read_bytes()
    own_log(show).unlink()
    with pytest.raises(ShipError):
        ship_take(show.tools, show.takes[0].take_id, TOKEN)
    with feed_server(show, data[: len(data) // 2]), pytest.raises(ShipError):
        ship_take(show.tools, show.takes[0].take_id, TOKEN)
    assert shipped(show)[0].storage_key is None
