"""tus as we speak it: cuts, offsets, locks, lengths, checksums, garbage, and whose upload it is."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import random
from pathlib import Path

import pytest
from httpx import AsyncClient
from sqlalchemy import select, text

from api.app import Application
from api.routes import PREFIX
from api.uploads.names import PATH
from catalog import intakes
from catalog.accounts import create_user, issue_token, open_session
from catalog.centres import get_centre
from catalog.models import ROLES, Broadcast, Upload
from infra.database import Database
from infra.settings import Settings
from infra.tables import Job
from tests.integration.api.conftest import Cast
from tests.support.tus import HEAD, create, creating, cut_patch, offset, patch, patching

DATA = random.Random(7).randbytes(3 << 20)
SMALL = DATA[:50_000]


def where(settings: Settings, path: str, ending: str = "part") -> Path:
    return settings.data / "uploads" / f"{path.rpartition('/')[2]}.{ending}"


def code(answer: object) -> str:
    return str(answer.json()["code"])  # type: ignore[attr-defined]


# --- interrupted -----------------------------------------------------------------------------


async def test_interrupted_a_hundred_times(
    web: AsyncClient, cast: Cast, application: Application, settings: Settings, database: Database
) -> None:
    who = cast.bearer("staff")
    path = await create(web, who, len(DATA), sha256=hashlib.sha256(DATA).hexdigest())
    dice = random.Random(31)
    cuts = 0
    at = 0
    while cuts < 100:
        summed = dice.random() < 0.3
        # On the average half of it arrives: a hundred of them stay within the file.
        length = dice.randrange(2, len(DATA) // 90)
        whole = DATA[at : at + length]
        sent = whole[: dice.randrange(0, length)]
        pieces = [sent[i : i + 7_000] for i in range(0, len(sent), 7_000)]
        told = {**patching(at, data=whole if summed else None), **who}
        await cut_patch(application.asgi, told, path, length, pieces)
        cuts += 1
        found = await offset(web, who, path)
        # With a checksum a piece counts whole or not at all.
        assert found == (at if summed else at + len(sent))
        at = found
        if dice.random() < 0.2 and at + length < len(DATA):
            answer = await patch(web, who, path, at, DATA[at : at + length], summed=summed)
            assert answer.status_code == 204, answer.text
            at += length
            assert answer.headers["upload-offset"] == str(at)
    assert at < len(DATA)
    answer = await patch(web, who, path, at, DATA[at:], summed=True)
    assert answer.status_code == 204
    assert hashlib.sha256(where(settings, path).read_bytes()).digest() == (
        hashlib.sha256(DATA).digest()
    )
    with database.transaction() as session:
        upload = session.scalars(select(Upload)).one()
        job = session.scalars(select(Job).where(Job.kind == "intake")).one()
        assert (upload.state, job.args["upload_id"]) == ("received", upload.id)


async def test_bytes_that_no_number_counts_are_written_over(
    web: AsyncClient, cast: Cast, settings: Settings
) -> None:
    """What a killed process or a power cut left beyond the promised offset is not kept."""
    who = cast.bearer("staff")
    path = await create(web, who, len(SMALL))
    await patch(web, who, path, 0, SMALL[:10_000])
    with where(settings, path).open("ab") as file:
        file.write(b"\0" * 5_000)
    assert await offset(web, who, path) == 10_000
    answer = await patch(web, who, path, 10_000, SMALL[10_000:])
    assert answer.status_code == 204
    assert where(settings, path).read_bytes() == SMALL


async def test_a_crash_between_the_last_byte_and_its_row(
    web: AsyncClient, cast: Cast, database: Database
) -> None:
    who = cast.bearer("staff")
    path = await create(web, who, len(SMALL))
    await patch(web, who, path, 0, SMALL)
    with database.transaction() as session:
        session.execute(text("UPDATE uploads SET state = 'receiving'"))
        session.execute(text("DELETE FROM jobs"))
    assert await offset(web, who, path) == len(SMALL)
    with database.transaction() as session:
        assert session.scalars(select(Upload.state)).one() == "received"
        assert session.scalars(select(Job.kind)).one() == "intake"


# --- row 39 ----------------------------------------------------------------------------------


async def test_wrong_offsets_and_lengths(web: AsyncClient, cast: Cast, settings: Settings) -> None:
    who = cast.bearer("staff")
    path = await create(web, who, len(SMALL))
    await patch(web, who, path, 0, SMALL[:1000])
    for at in (0, 999, 1001, 40_000):
        answer = await patch(web, who, path, at, SMALL[at : at + 10])
        assert (answer.status_code, code(answer)) == (409, "tus_offset_other")
    for at, data in ((1000, SMALL[1000:] + b"!"), (0, SMALL + b"!"), (len(SMALL), b"!")):
        answer = await patch(web, who, path, at, data)
        assert (answer.status_code, code(answer)) == (413, "upload_over_length")
    assert await offset(web, who, path) == 1000
    assert where(settings, path).stat().st_size == 1000
    assert (await patch(web, who, path, 1000, SMALL[1000:])).status_code == 204
    assert (await patch(web, who, path, len(SMALL), b"")).status_code == 409


async def test_two_at_once(
    web: AsyncClient, cast: Cast, application: Application, settings: Settings
) -> None:
    """The second is told at once, the server goes on serving, and nothing is mixed."""
    who = cast.bearer("staff")
    path = await create(web, who, len(SMALL))
    began, go_on = asyncio.Event(), asyncio.Event()

    # httpx gathers a body before it calls the application: so we call it ourselves.
    async def raw() -> int:
        return await held_patch(application, {**patching(0), **who}, path, began, go_on)

    task = asyncio.create_task(raw())
    await began.wait()
    for _ in range(3):
        answer = await asyncio.wait_for(patch(web, who, path, 0, SMALL[:10]), 2)
        assert (answer.status_code, code(answer)) == (423, "upload_locked")
    go_on.set()
    assert await task == 204
    assert where(settings, path).read_bytes() == SMALL


async def held_patch(
    application: Application,
    headers: dict[str, str],
    path: str,
    began: asyncio.Event,
    go_on: asyncio.Event,
) -> int:
    """A PATCH of SMALL that stops in the middle until it may go on."""
    status = 0
    stage = 0

    async def receive() -> dict[str, object]:
        nonlocal stage
        stage += 1
        if stage == 1:
            return {"type": "http.request", "body": SMALL[:20_000], "more_body": True}
        if stage == 2:
            began.set()
            await go_on.wait()
            return {"type": "http.request", "body": SMALL[20_000:], "more_body": False}
        await asyncio.sleep(3600)
        return {"type": "http.disconnect"}

    async def send(message: dict[str, object]) -> None:
        nonlocal status
        if message["type"] == "http.response.start":
            status = int(message["status"])  # type: ignore[call-overload]

    told = {"host": "stage.test", "content-length": str(len(SMALL)), **headers}
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "PATCH",
        "scheme": "http", "path": path, "raw_path": path.encode(), "root_path": "",
        "query_string": b"", "client": ("203.0.113.9", 1), "server": ("stage.test", 80),
        "headers": [(k.encode(), v.encode()) for k, v in told.items()],
    }  # fmt: skip
    await application.asgi(scope, receive, send)  # type: ignore[arg-type]
    return status


async def test_a_silent_connection_gives_way(
    web: AsyncClient,
    cast: Cast,
    application: Application,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A phone that changed its network goes on at once, though its old connection never ended."""
    monkeypatch.setattr("api.uploads.patience.GIVE_WAY_SECONDS", 0.2)
    monkeypatch.setattr("api.uploads.patience._LOOK_SECONDS", 0.05)
    who = cast.bearer("staff")
    path = await create(web, who, len(SMALL))
    began, never = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(held_patch(application, {**patching(0), **who}, path, began, never))
    await began.wait()
    assert (await patch(web, who, path, 0, SMALL)).status_code == 423
    await asyncio.wait_for(task, 5)
    # What the lost connection brought is kept.
    assert await offset(web, who, path) == 20_000
    assert (await patch(web, who, path, 20_000, SMALL[20_000:])).status_code == 204
    assert where(settings, path).read_bytes() == SMALL


async def test_nothing_is_joined(web: AsyncClient, cast: Cast, settings: Settings) -> None:
    """tuspyserver#93."""
    before = files_below(settings)
    for header in (
        "partial",
        "final;../../x",
        "final;/files/../../etc/passwd",
        "final;.",
        "final;http://127.0.0.1/a b",
    ):
        told = {**creating(10), "upload-concat": header, **cast.bearer("staff")}
        answer = await web.post(PATH, headers=told)
        assert (answer.status_code, code(answer)) == (400, "tus_concat")
    assert files_below(settings) == before


def files_below(settings: Settings) -> list[str]:
    return sorted(str(p) for p in settings.data.parent.rglob("*") if p.is_file())


GARBAGE = [
    "filename",
    "filename ****",
    "filename Zm9v Zm9v",
    "filename Zm9v,filename Zm9v",
    " Zm9v",
    "file\x01name Zm9v",
    "filename " + base64.b64encode(b"a\0b").decode(),
    "filename " + base64.b64encode(b"\xff\xfe").decode(),
    "filename " + base64.b64encode(b"x" * 4096).decode(),
    "filename Zm9v," + ",".join(f"k{i} Zm9v" for i in range(30)),
    "filename " + "A" * 9000,
]


async def test_garbage_metadata(
    web: AsyncClient, cast: Cast, settings: Settings, database: Database
) -> None:
    for header in GARBAGE:
        told = {**HEAD, "upload-length": "10", "upload-metadata": header, **cast.bearer("staff")}
        answer = await web.post(PATH, headers=told)
        assert answer.status_code in (400, 422), header
        assert answer.json()["code"] in ("tus_metadata", "upload_name"), header
    assert files_below(settings) == []
    with database.transaction() as session:
        assert session.scalars(select(Upload)).all() == []


async def test_names_are_shown_and_never_followed(
    web: AsyncClient, cast: Cast, settings: Settings, database: Database
) -> None:
    who = cast.bearer("staff")
    names = {
        "../../../etc/passwd": "passwd",
        "C:\\夜\\晚会.mp4": "晚会.mp4",
        "-i": "-i",
        "a\u202eb\r\nc.mp4": "a b c.mp4",
        "长" * 300 + ".mp4": "长" * 251 + ".mp4",
    }
    for given in names:
        await create(web, who, 10, filename=given)
    with database.transaction() as session:
        kept = session.scalars(select(Upload).order_by(Upload.created_at)).all()
        assert [row.file_name for row in kept] == list(names.values())
    parts = {p.name for p in (settings.data / "uploads").glob("*.part")}
    assert parts == {f"{row.id}.part" for row in kept}
    for bad in ("..", "/", "\u200b"):
        answer = await web.post(PATH, headers={**creating(10, filename=bad), **who})
        assert (answer.status_code, code(answer)) == (422, "upload_name")


async def test_headers_are_read_strictly(web: AsyncClient, cast: Cast) -> None:
    who = cast.bearer("staff")
    good = creating(10)

    async def post(change: dict[str, str], *, content: bytes = b"", without: str = "") -> str:
        told = {k: v for k, v in good.items() if k != without} | change | who
        answer = await web.post(PATH, headers=told, content=content)
        assert answer.headers["tus-resumable"] == "1.0.0"
        assert (answer.status_code == 412) == ("tus-version" in answer.headers)
        return code(answer)

    assert await post({}, without="tus-resumable") == "tus_version"
    assert await post({"tus-resumable": "0.2.2"}) == "tus_version"
    assert await post({"upload-defer-length": "1"}, without="upload-length") == "tus_length"
    assert await post({"upload-length": "-1"}) == "tus_length"
    assert await post({"upload-length": "9" * 30}) == "tus_length"
    assert await post({"upload-length": "1e3"}) == "tus_length"
    assert await post({"upload-length": "0"}) == "upload_empty"
    assert await post({"upload-length": str(1 << 50)}) == "upload_large"
    assert await post({}, content=b"0123456789") == "tus_creation_body"
    assert await post({"x-http-method-override": "PATCH"}) == "tus_method"
    path = await create(web, who, 10)
    for change, wrong in (
        ({"content-type": "text/plain"}, "tus_type"),
        ({"upload-offset": "abc"}, "tus_offset"),
        ({"upload-offset": "-1"}, "tus_offset"),
        ({"upload-length": "20"}, "tus_length"),
        ({"upload-checksum": "md5 Zm9v"}, "tus_checksum_kind"),
        ({"upload-checksum": "sha256 Zm9v"}, "tus_checksum_kind"),
    ):
        answer = await web.patch(path, headers={**patching(0), **change, **who}, content=b"0")
        assert code(answer) == wrong
    told = await web.options(PATH, headers=who)
    assert told.headers["tus-extension"] == "creation,termination,checksum"
    assert told.headers["tus-checksum-algorithm"] == "sha256"


async def test_a_piece_that_came_out_otherwise(
    web: AsyncClient, cast: Cast, settings: Settings
) -> None:
    who = cast.bearer("staff")
    path = await create(web, who, len(SMALL))
    told = {**patching(0, data=SMALL[:1000]), **who}
    answer = await web.patch(path, headers=told, content=b"?" + SMALL[1:1000])
    assert (answer.status_code, code(answer)) == (460, "tus_checksum")
    assert await offset(web, who, path) == 0
    assert (await patch(web, who, path, 0, SMALL, summed=True)).status_code == 204
    assert where(settings, path).read_bytes() == SMALL


async def test_a_host_that_a_proxy_made_up_leads_nowhere(web: AsyncClient, cast: Cast) -> None:
    told = {
        **creating(10), "x-forwarded-host": "evil.example", "x-forwarded-proto": "gopher",
        **cast.bearer("staff"),
    }  # fmt: skip
    made = await web.post(PATH, headers=told)
    assert made.headers["location"].startswith(f"{PATH}/")


# --- bounds ----------------------------------------------------------------------------------


async def test_no_more_than_there_is_room_for(
    web: AsyncClient, cast: Cast, application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = cast.bearer("staff")
    disk = application.faces.state.uploads.disk
    monkeypatch.setattr(disk, "room", lambda: 1000)
    answer = await web.post(PATH, headers={**creating(501), **who})
    # It lies there twice for a while.
    assert (answer.status_code, code(answer)) == (507, "upload_no_room")
    path = await create(web, who, 300)
    answer = await web.post(PATH, headers={**creating(400), **who})
    assert code(answer) == "upload_no_room", "what is promised to others is not promised again"
    monkeypatch.setattr(disk, "room", lambda: 10)
    answer = await patch(web, who, path, 0, b"x" * 300)
    assert (answer.status_code, code(answer)) == (507, "upload_disk_full")
    assert await offset(web, who, path) == 0


async def test_only_so_many_at_a_time(
    web: AsyncClient, cast: Cast, database: Database, application: Application
) -> None:
    who = cast.bearer("staff")
    for _ in range(3):
        path = await create(web, who, 10)
    limit = application.parts.settings.upload_open_max
    with database.transaction() as session:
        session.execute(
            text(
                "INSERT INTO uploads (id, centre_id, purpose, file_name, size_bytes)"
                " SELECT md5(n::text), :centre, 'photo', 'x.jpg', 1 FROM generate_series(1, :n) n"
            ),
            {"centre": cast.county, "n": limit - 3},
        )
    answer = await web.post(PATH, headers={**creating(10), **who})
    assert (answer.status_code, code(answer)) == (429, "upload_many_open")
    assert (await web.delete(path, headers={**HEAD, **who})).status_code == 204
    await create(web, who, 10)


async def test_what_nobody_goes_on_with_expires(
    web: AsyncClient, cast: Cast, database: Database
) -> None:
    who = cast.bearer("staff")
    old = await create(web, who, 100)
    young = await create(web, who, 100)
    with database.transaction() as session:
        session.execute(
            text("UPDATE uploads SET changed_at = now() - interval '8 days' WHERE id = :id"),
            {"id": old.rpartition("/")[2]},
        )
        assert intakes.expire(session, dt.datetime.now(dt.UTC), 7) == 1
    assert (await web.head(old, headers={**HEAD, **who})).status_code == 410
    assert await offset(web, who, young) == 0


# --- whose it is -----------------------------------------------------------------------------


async def test_only_its_sender_goes_on_with_it(
    web: AsyncClient, cast: Cast, database: Database
) -> None:
    """Every method × nobody, every role of the centre, a colleague, another county."""
    with database.transaction() as session:
        county = get_centre(session, cast.county)
        people = {}
        for login in ("one", "two"):
            user = create_user(
                session, login=login, name=login, role="staff", centre=county,
                password="correct-horse-9",
            )  # fmt: skip
            token = issue_token(
                session, role="staff", centre=county, user=user, now=dt.datetime.now(dt.UTC)
            )
            people[login] = {"authorization": f"Bearer {token}"}
    path = await create(web, people["one"], 100)
    upload_id = path.rpartition("/")[2]

    async def ask(method: str, who: dict[str, str]) -> int:
        told = {**patching(0), **who} if method == "PATCH" else {**HEAD, **who}
        content = b"x" if method == "PATCH" else b""
        return (await web.request(method, path, headers=told, content=content)).status_code

    methods = ("HEAD", "PATCH", "DELETE")
    for method in methods:
        assert await ask(method, {}) == 401
        assert await ask(method, {"authorization": "Bearer nonsense"}) == 401
        assert await ask(method, people["two"]) == 404
        assert await ask(method, cast.stranger) == 404
        for role in ROLES:
            may = role in ("studio", "staff", "admin")
            assert await ask(method, cast.bearer(role)) == (404 if may else 403), (method, role)
    assert await ask("HEAD", people["one"]) == 200
    # The centre's people see it and may clear it away; a studio and another county do not.
    shown = f"{PREFIX}/uploads/{upload_id}"
    assert (await web.get(shown, headers=people["two"])).json()["upload_path"] is None
    assert (await web.get(shown, headers=people["one"])).json()["upload_path"] == path
    for stranger in (cast.stranger, cast.bearer("studio")):
        assert (await web.get(shown, headers=stranger)).status_code == 404
        assert (await web.delete(shown, headers=stranger)).status_code == 404
        assert (await web.get(f"{PREFIX}/uploads", headers=stranger)).json()["items"] == []
    assert (await web.delete(shown, headers=people["two"])).json()["state"] == "removed"
    assert await ask("HEAD", people["one"]) == 410


async def test_a_cookie_sends_only_from_our_own_pages(web: AsyncClient, cast: Cast) -> None:
    web.cookies.set("xitai_session", cast.admin_session)
    ours = {"sec-fetch-site": "same-origin"}
    refused = await web.post(PATH, headers=creating(10))
    assert (refused.status_code, code(refused)) == (403, "foreign_post")
    path = await create(web, ours, 10)
    for method in ("PATCH", "DELETE"):
        answer = await web.request(
            method, path, headers={**patching(0), "sec-fetch-site": "cross-site"}, content=b"x"
        )
        assert answer.status_code == 403
    assert (await patch(web, ours, path, 0, b"0123456789")).status_code == 204


async def test_sent_only_to_ones_own_places(web: AsyncClient, cast: Cast) -> None:
    who = cast.bearer("staff")

    async def told(**meta: str) -> tuple[int, str]:
        answer = await web.post(PATH, headers={**creating(10, **meta), **who})
        return answer.status_code, answer.json()["code"]

    assert await told(centre=cast.other) == (404, "centre_unknown")
    assert await told(centre=cast.prefecture) == (404, "centre_unknown")
    assert await told(broadcast="nothing") == (404, "broadcast_not_found")
    assert await told(exhibition="nothing", purpose="photo") == (404, "resource_unknown")
    assert await told(purpose="virus") == (422, "upload_purpose")
    answer = await web.post(PATH, headers={**creating(10), **cast.bearer("studio")})
    assert code(answer) == "contract_needed"


async def test_what_is_for_a_show_belongs_to_its_centre(
    web: AsyncClient, cast: Cast, database: Database
) -> None:
    """Whoever sends it: a prefecture's colleague helps out with a county's show."""
    with database.transaction() as session:
        session.add(Broadcast(id="show", centre_id=cast.county, title="村晚", media_token="t" * 22))
    for meta, centre in (({"broadcast": "show"}, cast.county), ({}, cast.prefecture)):
        answer = await web.post(PATH, headers={**creating(10, **meta), **cast.bearer("admin")})
        upload_id = answer.headers["location"].rpartition("/")[2]
        with database.transaction() as session:
            assert session.get_one(Upload, upload_id).centre_id == centre


async def test_the_whole_sum_is_told_before_the_end(
    web: AsyncClient, cast: Cast, database: Database
) -> None:
    who = cast.bearer("staff")
    path = await create(web, who, len(SMALL))
    claim = f"{PREFIX}/uploads/{path.rpartition('/')[2]}/sha256"
    wanted = hashlib.sha256(SMALL).hexdigest()
    assert (await web.put(claim, json={"sha256": "x"}, headers=who)).status_code == 422
    assert (await web.put(claim, json={"sha256": wanted}, headers=cast.stranger)).status_code == 404
    assert (await web.put(claim, json={"sha256": wanted}, headers=who)).status_code == 200
    await patch(web, who, path, 0, SMALL)
    late = await web.put(claim, json={"sha256": "0" * 64}, headers=who)
    assert (late.status_code, code(late)) == (409, "upload_over")
    with database.transaction() as session:
        assert session.scalars(select(Upload.claimed_sha256)).one() == wanted


async def test_a_locked_out_person_sends_nothing_more(
    web: AsyncClient, cast: Cast, database: Database
) -> None:
    with database.transaction() as session:
        user = create_user(
            session, login="gone", name="", role="staff",
            centre=get_centre(session, cast.county), password="correct-horse-9",
        )  # fmt: skip
        secret = open_session(session, user, dt.datetime.now(dt.UTC))
    web.cookies.set("xitai_session", secret)
    ours = {"sec-fetch-site": "same-origin"}
    path = await create(web, ours, 10)
    with database.transaction() as session:
        session.execute(text("UPDATE users SET disabled_at = now() WHERE login = 'gone'"))
    assert (await patch(web, ours, path, 0, b"x")).status_code == 401
