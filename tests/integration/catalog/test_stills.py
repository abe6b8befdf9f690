"""Stills answered: a confirmed one is one picture in the ledger, its file tells where and when it
was taken, taking it back uncounts it, and nobody's out of reach is touched."""

from __future__ import annotations

import datetime as dt
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select
from sqlalchemy.orm import Session

from catalog import stills
from catalog.audit import Actor
from catalog.errors import Missing, Refused
from catalog.exhibitions import by_numbers, moved, set_order
from catalog.exhibitions import confirm as confirm_hung
from catalog.models import Act, AirItem, Broadcast, PictureHash, Resource, Still
from catalog.programmes import Programme, find_programme
from catalog.records import files, service
from catalog.year.load import load_facts
from infra.database import Database
from infra.storage.folder import FolderStorage
from tests.support.catalogue import Town, make_actor, make_town
from tests.support.library_stage import picture
from tests.support.scenes import Scene
from vod import record_files
from vod.stills.frames import jpeg, small_jpeg

TICKS = 90_000
BEGAN = dt.datetime(2026, 2, 3, 11, 30, tzinfo=dt.UTC)
NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
BASE = "https://xitai.example.cn"


@dataclass
class Desk:
    session: Session
    town: Town
    staff: Actor
    storage: FolderStorage
    show: Broadcast
    programme: Programme
    stills: list[Still]

    @property
    def keys(self) -> list[str]:
        return [f"s{still.id}" for still in self.stills]

    def confirm(self, keys: list[str], **more: object) -> list[Resource]:
        return stills.confirm(
            self.session, self.storage, self.staff, self.programme, keys,
            base_url=BASE, now=NOW, **more,  # type: ignore[arg-type]
        )  # fmt: skip

    def counted(self) -> list[str]:
        """Ledgers of the pictures the year counts."""
        facts = load_facts(
            self.session, 2026, centre_path=None, cut_off=NOW + dt.timedelta(days=1),
            parts={"stills"},
        )  # fmt: skip
        return [still.ledger for still in facts.stills]

    def states(self) -> dict[str, str]:
        listed = stills.proposals(self.session, self.staff, self.programme)
        return {picture.key: picture.state for picture in listed}


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> object:
    with database.transaction() as session:
        town = make_town(session)
        staff = make_actor(session, "岩温罕", "staff", town.county)
        storage = FolderStorage(tmp_path / "media")
        show = Broadcast(
            id="show", centre_id=town.county.id, title="勐混镇乡村春晚", media_token="t" * 22,
            state="ended", started_at=BEGAN, ended_at=BEGAN, contract="合同七",
        )  # fmt: skip
        session.add(show)
        session.flush()
        # Half an hour in, the encoder was away for ten minutes.
        for msn, (start, seconds) in enumerate(((0, 0), (1800 * TICKS, 2400))):
            session.add(
                AirItem(
                    token=show.media_token, msn=msn, source="feed", take_start_ms=0,
                    start_ticks=start, duration_ticks=1800 * TICKS,
                    pdt_us=round((BEGAN.timestamp() + seconds) * 1e6),
                )
            )  # fmt: skip
        session.add(
            Act(token=show.media_token, start_ticks=0, end_ticks=900 * TICKS, title="象脚鼓舞")
        )
        made = [_still(session, storage, show, n, at) for n, at in enumerate((95, 1000, 2000))]
        session.flush()
        programme = find_programme(session, staff, show.id)
        yield Desk(session, town, staff, storage, show, programme, made)


def _still(
    session: Session, storage: FolderStorage, show: Broadcast, number: int, second: int
) -> Still:
    rgb = Scene(number + 1)(number)
    base = f"works/{show.media_token}/stills/{second}"
    storage.put_bytes(f"{base}.jpg", jpeg(rgb))
    storage.put_bytes(f"{base}-small.jpg", small_jpeg(rgb, 320))
    still = Still(
        token=show.media_token, at_ticks=second * TICKS + 40_500, score=900,
        phash=f"{number:016x}", width=640, height=360, storage_key=f"{base}.jpg",
        small_key=f"{base}-small.jpg",
    )  # fmt: skip
    session.add(still)
    session.flush()
    return still


def photo(desk: Desk, title: str, hue: int, **fields: object) -> Resource:
    made = service.create(
        desk.session, desk.staff, kind="image", centre=desk.town.county,
        fields={"title": title, "event_date": "2026-02-03", **fields},
    )  # fmt: skip
    path = Path(str(desk.storage.local_path("x"))).with_name(f"in{hue}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(picture(hue, 600, 400))
    return service.attach(
        desk.session, desk.staff, made.id, record_files.keep(desk.storage, "image", path)
    )


def test_a_confirmed_still_is_one_picture_and_its_file_says_where_it_is_from(desk: Desk) -> None:
    assert desk.counted() == []
    made = desk.confirm(desk.keys[:2], fields={"place": "曼蚌村", "title": "不能改"})
    assert desk.confirm(desk.keys[:2]) == [], "once more is once"
    assert desk.counted() == ["broadcast", "broadcast"]
    first, second = made
    assert first.title == "勐混镇乡村春晚《象脚鼓舞》0:01:35"
    assert second.title == "勐混镇乡村春晚 0:16:40"
    assert (first.kind, first.state, first.ledger) == ("image", "draft", "broadcast")
    assert (first.broadcast_id, first.place, first.contract) == ("show", "曼蚌村", "合同七")
    assert first.event_date == dt.date(2026, 2, 3)
    assert first.technical["taken_at"] == "2026-02-03T19:31:35.450+08:00"
    assert desk.session.get_one(PictureHash, first.id).phash == desk.stills[0].phash
    assert first.storage_key is not None
    kept = desk.storage.get(first.storage_key)
    proposed = desk.storage.get(desk.stills[0].storage_key)
    with Image.open(io.BytesIO(kept)) as image:
        exif = image.getexif()
        times = exif.get_ifd(0x8769)
        assert times[0x9003] == "2026:02:03 19:31:35"
        assert (times[0x9011], times[0x9291]) == ("+08:00", "450")
        assert exif[0x013B].encode("latin-1").decode() == "勐海县文化馆"
        told = exif[0x010E].encode("latin-1").decode()
        assert told == f"{first.title} (勐混镇乡村春晚) {BASE}/b/show"
        assert exif[0x9C9B].decode("utf-16-le").rstrip("\0") == first.title
        xmp = image.info["xmp"].decode()
        pixels = np.asarray(image)
    for words in (
        f"<dc:source>{BASE}/b/show</dc:source>",
        "<dc:identifier>show</dc:identifier>",
        "<rdf:li>勐海县文化馆</rdf:li>",
        "<xmp:CreateDate>2026-02-03T19:31:35.450+08:00</xmp:CreateDate>",
        "《象脚鼓舞》",
    ):
        assert words in xmp
    assert np.array_equal(pixels, np.asarray(Image.open(io.BytesIO(proposed)))), "not packed again"
    small = desk.storage.get(files.small_key(first.storage_key))
    assert small == desk.storage.get(desk.stills[0].small_key)


def test_the_clock_of_a_still_is_the_cameras_not_the_replays(desk: Desk) -> None:
    """What was seen after a break of ten minutes was seen ten minutes later."""
    (made,) = desk.confirm(desk.keys[2:])
    assert made.technical["taken_at"] == "2026-02-03T20:13:20.450+08:00"


def test_taking_back_uncounts_and_confirming_again_is_the_same_picture(desk: Desk) -> None:
    made = desk.confirm(desk.keys)
    assert stills.undo(desk.session, desk.staff, desk.programme, desk.keys[:1], now=NOW) == 1
    assert len(desk.counted()) == 2
    gone = desk.session.get_one(Resource, made[0].id)
    assert (gone.state, gone.confirmed_at) == ("withdrawn", None)
    assert desk.states()[desk.keys[0]] == "proposed"
    assert [row.id for row in desk.confirm(desk.keys)] == [made[0].id]
    assert len(desk.counted()) == 3
    assert desk.session.scalars(select(Resource.id)).all().__len__() == 3


def test_dismissed_ones_stay_out_and_come_back_when_asked_for(desk: Desk) -> None:
    desk.confirm(desk.keys[:1])
    assert stills.waiting(desk.session, desk.show.media_token) == 2
    assert stills.dismiss(desk.session, desk.staff, desk.programme, desk.keys, now=NOW) == 2
    assert list(desk.states().values()) == ["confirmed", "dismissed", "dismissed"]
    assert stills.waiting(desk.session, desk.show.media_token) == 0
    assert desk.counted() == ["broadcast"]
    assert stills.undo(desk.session, desk.staff, desk.programme, desk.keys[1:2], now=NOW) == 1
    assert desk.states()[desk.keys[1]] == "proposed"


def test_photographs_of_the_show_are_answered_in_the_same_place(desk: Desk) -> None:
    mine = photo(desk, "后台", 10, broadcast_id="show")
    other = photo(desk, "散场", 90, broadcast_id="show")
    keys = [f"p{mine.id}", f"p{other.id}"]
    assert stills.unanswered(desk.session, desk.show) == 5
    assert desk.counted() == []
    assert [row.id for row in desk.confirm([keys[0], desk.keys[0]])] != []
    assert stills.dismiss(desk.session, desk.staff, desk.programme, keys, now=NOW) == 1
    assert sorted(desk.counted()) == ["broadcast", "broadcast"]
    assert {desk.states()[key] for key in keys} == {"confirmed", "dismissed"}
    assert stills.undo(desk.session, desk.staff, desk.programme, keys, now=NOW) == 2
    assert desk.counted() == ["broadcast"]
    # Its own stills are no photographs once they have records.
    assert list(desk.states()).count(desk.keys[0]) == 1
    assert len(desk.states()) == 5


def test_what_is_not_there_or_not_theirs_is_unknown(desk: Desk) -> None:
    stranger = make_actor(desk.session, "别人", "staff", desk.town.other)
    with pytest.raises(Missing):
        find_programme(desk.session, stranger, "show")
    elsewhere = Broadcast(
        id="other", centre_id=desk.town.county.id, title="另一场", media_token="o" * 22
    )
    desk.session.add(elsewhere)
    desk.session.flush()
    programme = find_programme(desk.session, desk.staff, "other")
    for keys in (desk.keys[:1], ["s999999"], ["pnothing"], ["x"], ["s9" * 16], [f"s{2**63}"]):
        with pytest.raises(Missing):
            stills.dismiss(desk.session, desk.staff, programme, keys)
        with pytest.raises(Missing):
            stills.picture(desk.session, desk.staff, programme, keys[0])
    for wrong, code in (([], "stills_none"), ([f"s{n}" for n in range(400)], "stills_many")):
        with pytest.raises(Refused) as refused:
            desk.confirm(wrong)
        assert refused.value.code == code
    assert set(desk.states().values()) == {"proposed"}


def test_an_exhibition_is_hung_in_the_order_people_want(desk: Desk) -> None:
    wall = service.create(
        desk.session, desk.staff, kind="exhibition", centre=desk.town.county,
        fields={"title": "茶山四季", "event_date": "2026-02-03"},
    )  # fmt: skip
    ids = [photo(desk, f"图{n}", 20 * n, parent_id=wall.id, position=n).id for n in range(1, 6)]

    def hung() -> list[int]:
        rows = service.children(desk.session, desk.staff, wall.id)
        return [ids.index(row.id) + 1 for row in rows]

    def numbers(**wish: int) -> list[str]:
        return by_numbers(ids, {ids[int(key[1:]) - 1]: number for key, number in wish.items()})

    assert set_order(desk.session, desk.staff, wall.id, moved(ids, ids[3], "first")) == 4
    assert hung() == [4, 1, 2, 3, 5]
    assert set_order(desk.session, desk.staff, wall.id, ids) == 4
    assert numbers(_5=2) == [ids[n - 1] for n in (1, 5, 2, 3, 4)]
    assert numbers(_2=5) == [ids[n - 1] for n in (1, 3, 4, 5, 2)]
    assert numbers(_1=2, _2=1) == [ids[n - 1] for n in (2, 1, 3, 4, 5)]
    assert moved(ids, ids[0], "down") == [ids[n - 1] for n in (2, 1, 3, 4, 5)]
    assert moved(ids, ids[0], "up") == moved(ids, "nothing", "up") == ids
    assert confirm_hung(desk.session, desk.staff, wall.id, [*ids[:2], "nothing"], now=NOW) == 2
    assert confirm_hung(desk.session, desk.staff, wall.id, ids[:2], now=NOW) == 0
    assert desk.counted() == ["exhibition", "exhibition"]
    with pytest.raises(Missing):
        set_order(desk.session, desk.staff, ids[0], ids)
