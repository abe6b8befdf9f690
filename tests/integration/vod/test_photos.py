"""Photographs taken in: the same picture in another packing is found, another one of the same stage
is not; the file is kept to the byte, and what pages show tells nobody where the camera stood."""

from __future__ import annotations

import datetime as dt
import hashlib
import io
import threading
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select

from catalog.audit import Actor
from catalog.intakes import insist
from catalog.models import Broadcast, Centre, Resource, Upload
from catalog.records import service
from catalog.records.files import large_key, small_key
from catalog.uploads import Bounds, Wish, begin, finish
from infra.database import Database
from infra.jobs import JobFailed
from infra.settings import Settings
from infra.storage import open_storage
from infra.upload_folder import UploadFolder
from tests.support.catalogue import make_actor, make_town
from tests.support.scenes import Scene
from vod.encode import silent
from vod.intake import take_in
from vod.tools import Tools

NOW = dt.datetime.now(dt.UTC)
STAGE = Scene(5, size=(1500, 1000))


def picture(number: int, scene: Scene = STAGE) -> Image.Image:
    return Image.fromarray(scene(number))


def packed(image: Image.Image, form: str = "JPEG", **how: object) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **how)
    return out.getvalue()


@dataclass
class Desk:
    tools: Tools
    staff: Actor
    centre_id: str

    def send(self, data: bytes, name: str = "DSC_0001.JPG", **more: object) -> str:
        """A whole upload that nobody has looked at yet."""
        folder = UploadFolder(self.tools.settings.uploads_dir)
        folder.make()
        wish = Wish(purpose="photo", file_name=name, size=len(data), **more)  # type: ignore[arg-type]
        with self.tools.database.transaction() as session:
            centre = session.get_one(Centre, self.centre_id)
            bounds = Bounds(1 << 30, 1_000, 1 << 30)
            upload_id = begin(session, self.staff, centre, wish, bounds, NOW).id
            folder.part(upload_id).write_bytes(data)
            folder.put_offset(upload_id, len(data))
            assert finish(session, upload_id, NOW)
        return upload_id

    def take(self, data: bytes, name: str = "DSC_0001.JPG", **more: object) -> Resource:
        made = take_in(self.tools, self.send(data, name, **more), silent)
        with self.tools.database.transaction() as session:
            return session.get_one(Resource, made["resource_id"])

    def refused(self, data: bytes, **more: object) -> Upload:
        upload_id = self.send(data, **more)  # type: ignore[arg-type]
        with pytest.raises(JobFailed) as failed:
            take_in(self.tools, upload_id, silent)
        assert not failed.value.retry
        with self.tools.database.transaction() as session:
            upload = session.get_one(Upload, upload_id)
        assert (upload.state, upload.error_code) == ("refused", failed.value.code)
        return upload

    def images(self) -> int:
        with self.tools.database.transaction() as session:
            return len(session.scalars(select(Resource.id).where(Resource.kind == "image")).all())


@pytest.fixture
def desk(database: Database, settings: Settings) -> Desk:
    with database.transaction() as session:
        town = make_town(session)
        staff = make_actor(session, "岩温罕", "staff", town.county)
        session.add(
            Broadcast(
                id="show", centre_id=town.county.id, title="村晚", media_token="t" * 22,
                state="ended", started_at=dt.datetime(2026, 2, 3, 12, tzinfo=dt.UTC),
            )
        )  # fmt: skip
    return Desk(Tools(settings, database, open_storage(settings)), staff, town.county.id)


def test_a_photograph_is_kept_to_the_byte_and_waits_to_be_confirmed(desk: Desk) -> None:
    exif = Image.Exif()
    exif[0x0110], exif[0x013B], exif[0x0112] = "Canon EOS R6", "王丽华".encode(), 6
    exif.get_ifd(0x8769)[0x9003] = "2025:12:30 23:30:00"
    exif.get_ifd(0x8825)[1] = "N"
    big = picture(3, Scene(6, size=(3000, 2000)))
    data = packed(big, quality=90, exif=exif.tobytes())
    made = desk.take(data, name="../DSC 0815.JPG", broadcast_id="show")
    assert (made.title, made.confirmed_at, made.ledger) == ("DSC 0815", None, "broadcast")
    assert made.event_date == dt.date(2026, 2, 3), "it counts on the day of its show"
    assert made.people == [{"name": "王丽华", "role": "photographer"}]
    assert made.technical == {
        "width": 2000, "height": 3000, "large": True, "camera": "Canon EOS R6",
        "taken_at": "2025-12-30T23:30:00+08:00",
    }  # fmt: skip
    assert made.sha256 == hashlib.sha256(data).hexdigest()
    assert made.storage_key is not None
    storage = desk.tools.storage
    assert storage.get(made.storage_key) == data
    for key, edge in ((small_key(made.storage_key), 960), (large_key(made.storage_key), 2048)):
        with Image.open(io.BytesIO(storage.get(key))) as shown:
            assert (shown.height, shown.width < shown.height) == (edge, True), "upright"
            assert not shown.getexif(), "where the camera stood is nobody's business"
    assert not list((desk.tools.settings.data / "tmp").iterdir())
    # Of no show and no exhibition: the day it was taken on.
    alone = desk.take(packed(picture(9), exif=exif.tobytes()), name="晚会.jpg")
    assert (alone.event_date, alone.ledger, alone.title) == (dt.date(2025, 12, 30), None, "晚会")


PACKINGS = {
    "packed harder": packed(picture(30), quality=40),
    "half the size": packed(picture(30).resize((750, 500)), quality=80),
    "as PNG": packed(picture(30).resize((1200, 800)), "PNG"),
    "as WebP": packed(picture(30), "WEBP", quality=60),
    "a little brighter": packed(picture(30).point(lambda level: min(255, int(level * 1.1) + 4))),
}


def test_the_same_picture_in_another_packing_is_found_and_named(desk: Desk) -> None:
    first = desk.take(packed(picture(30), quality=95), name="原片.jpg")
    for name, data in PACKINGS.items():
        upload = desk.refused(data)
        assert upload.error_code == "upload_duplicate", name
        same = {"kind": "resource", "id": first.id, "title": "原片"}
        assert upload.technical["same"] == same, name
        assert "原片" in (upload.error or "")
    assert desk.images() == 1
    # Somebody looked, and says it is another.
    with desk.tools.database.transaction() as session:
        insist(session, desk.staff, upload.id, NOW)
    assert take_in(desk.tools, upload.id, silent)["taken"]
    assert desk.images() == 2


def test_another_picture_of_the_same_stage_is_another(desk: Desk) -> None:
    for number in (30, 32, 36, 50, 80):
        desk.take(packed(picture(number), quality=90))
    assert desk.images() == 5
    # Another centre may have the very same.
    with desk.tools.database.transaction() as session:
        other = session.scalars(select(Centre).where(Centre.name == "勐腊县文化馆")).one()
        stranger = make_actor(session, "别人", "staff", other)
    away = Desk(desk.tools, stranger, other.id)
    assert away.take(packed(picture(30), quality=50)).centre_id == other.id


def test_photographs_of_an_exhibition_hang_one_after_another(desk: Desk) -> None:
    with desk.tools.database.transaction() as session:
        wall = service.create(
            session, desk.staff, kind="exhibition", centre=session.get_one(Centre, desk.centre_id),
            fields={"title": "茶山四季", "event_date": "2025-06-01"},
        )  # fmt: skip
    made = [
        desk.take(packed(picture(n, Scene(20 + n, size=(300, 200)))), parent_id=wall.id)
        for n in range(4)
    ]
    assert [row.position for row in made] == [1, 2, 3, 4]
    assert {row.event_date for row in made} == {dt.date(2025, 6, 1)}
    assert {row.ledger for row in made} == {"exhibition"}
    assert {row.confirmed_at for row in made} == {None}


def test_of_two_that_come_at_once_one_is_the_other(desk: Desk) -> None:
    ids = [desk.send(packed(picture(7), quality=quality)) for quality in (92, 60)]
    taken: list[str] = []

    def take(upload_id: str) -> None:
        try:
            taken.append(take_in(desk.tools, upload_id, silent)["resource_id"])
        except JobFailed as failed:
            taken.append(failed.code)

    threads = [threading.Thread(target=take, args=(upload_id,)) for upload_id in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one == "upload_duplicate" for one in taken) == [False, True]
    assert desk.images() == 1


def test_what_is_no_photograph_is_named_and_leaves_nothing(desk: Desk) -> None:
    whole = packed(picture(1))
    frames = [picture(1).resize((90, 60)), picture(40).resize((90, 60))]
    noise = np.random.default_rng(1).integers(0, 255, 40_000, dtype=np.uint8).tobytes()
    cases = {
        "upload_picture_broken": whole[: len(whole) // 2],
        "upload_picture_type": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
        "upload_picture_moves": packed(
            frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True
        ),
        "upload_pixels": packed(Image.new("L", (12_000, 9_000)), "PNG"),
    }
    for code, data in cases.items():
        assert desk.refused(data).error_code == code
    assert desk.refused(whole[:200] + noise).error_code == "upload_picture_broken"
    assert desk.refused(b"\0\0\0\x18ftypheic" + noise).error_code == "upload_picture_type"
    assert desk.images() == 0
    assert list(desk.tools.storage.list("files/")) == []
