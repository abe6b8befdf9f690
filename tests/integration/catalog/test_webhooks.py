"""Webhooks: told of what was committed and nothing else, signed, tried again, within bounds."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session
from standardwebhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from catalog.audit import Actor
from catalog.centres import add_centre
from catalog.errors import Missing, Refused
from catalog.models import AuditEntry, Centre, Resource, Webhook, WebhookDelivery
from catalog.records import service, takedown
from catalog.sharing import hooks
from catalog.sharing.jobs import forget_deliveries, promise_due
from catalog.sharing.sender import GIVE_UP_AFTER, poster, send_due
from infra.database import Database
from infra.jobs import JobRunner, enqueue
from infra.settings import Settings
from infra.tables import Job

ADMIN = Actor(user_id=None, name="管理员", role="admin", via="api")
NOW = dt.datetime.now(dt.UTC)


@dataclass
class Receiver:
    """A server that keeps what it is sent and answers what it is told to."""

    url: str = ""
    answers: list[tuple[int, dict[str, str]]] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def bodies(self) -> list[dict[str, object]]:
        return [json.loads(body) for _, body in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    kept = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            kept.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
            status, headers = kept.answers.pop(0) if kept.answers else (204, {})
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    kept.url = f"http://127.0.0.1:{server.server_port}/in?who=we"
    yield kept
    server.shutdown()
    thread.join()
    server.server_close()


@dataclass(frozen=True)
class House:
    database: Database
    county: Centre
    other: Centre

    @contextlib.contextmanager
    def session(self) -> Iterator[Session]:
        with self.database.transaction() as session:
            yield session

    def hook(self, url: str, *events: str, centre: Centre | None = None) -> Webhook:
        with self.session() as session:
            home = session.get_one(Centre, (centre or self.county).id)
            return hooks.add(session, ADMIN, centre=home, url=url, events=events)

    def record(self, title: str, centre: Centre | None = None) -> str:
        with self.session() as session:
            home = session.get_one(Centre, (centre or self.county).id)
            made = service.create(session, ADMIN, kind="news", centre=home, fields={"title": title})
            return made.id

    def send(self, hook: Webhook, reach: str = "any") -> dict[str, object]:
        return send_due(self.database, hook.id, poster(reach))

    def deliveries(self, hook: Webhook) -> list[WebhookDelivery]:
        with self.session() as session:
            return list(reversed(hooks.deliveries(session, ADMIN, hook.id)))

    def due_now(self) -> None:
        with self.session() as session:
            session.execute(update(WebhookDelivery).values(next_at=NOW))


@pytest.fixture
def house(database: Database) -> House:
    with database.transaction() as session:
        prefecture = add_centre(session, "西双版纳州文化馆", level="prefecture")
        county = add_centre(session, "勐海县文化馆", parent=prefecture)
        return House(database, county, add_centre(session, "勐腊县文化馆", parent=prefecture))


def test_a_records_life_is_told_in_order_and_signed(house: House, receiver: Receiver) -> None:
    hook = house.hook(receiver.url)
    key = house.record("三跳")
    with house.session() as session:
        service.change(session, ADMIN, key, {"place": "打洛镇"})
        service.withdraw(session, ADMIN, key, "重复登记")
        service.restore(session, ADMIN, key)
    assert house.send(hook) == {"sent": 4, "failed": 0}
    assert [body["type"] for body in receiver.bodies()] == [
        "resource.created", "resource.changed", "resource.withdrawn", "resource.restored",
    ]  # fmt: skip
    headers, body = receiver.got[1]
    told = Verifier(hook.secret).verify(body, headers)
    assert told["data"] == {
        "id": key, "kind": "news", "state": "draft", "version": 2, "title": "三跳",
        "centre_id": house.county.id, "centre": "勐海县文化馆", "sha256": None,
        "event_date": told["data"]["event_date"],
    }  # fmt: skip
    assert headers["webhook-id"].startswith("msg_")
    with pytest.raises(WebhookVerificationError):
        Verifier(hooks.new_secret()).verify(body, headers)
    # Nothing is sent twice.
    assert house.send(hook) == {"sent": 0, "failed": 0}
    assert {d.state for d in house.deliveries(hook)} == {"done"}


def test_nothing_is_told_of_what_was_not_committed(house: House, receiver: Receiver) -> None:
    hook = house.hook(receiver.url)
    with contextlib.suppress(KeyError), house.session() as session:
        service.create(session, ADMIN, kind="news", centre=house.county, fields={"title": "无"})
        raise KeyError
    with house.session() as session:
        with contextlib.suppress(KeyError), session.begin_nested():
            service.create(session, ADMIN, kind="news", centre=house.county, fields={"title": "假"})
            raise KeyError
        service.create(session, ADMIN, kind="news", centre=house.county, fields={"title": "真"})
    with house.session() as session:
        # The promise made in the savepoint went with it; the one after it stands.
        promised = session.scalars(select(Job).where(Job.kind == "webhook")).all()
        assert [job.args for job in promised] == [{"webhook_id": hook.id}]
    house.send(hook)
    assert [body["data"]["title"] for body in receiver.bodies()] == ["真"]  # type: ignore[index]


def test_a_long_import_keeps_nobody_waiting(house: House, receiver: Receiver) -> None:
    """Two changes that are told to the same address do not wait for each other's end."""
    hook = house.hook(receiver.url)
    key = house.record("三跳")
    with house.session() as session:
        session.execute(update(Job).values(state="done"))
    with house.session() as session:
        service.create(session, ADMIN, kind="news", centre=house.county, fields={"title": "长"})
        with ThreadPoolExecutor(1) as pool:

            def down() -> None:
                with house.session() as other:
                    takedown.take_down(other, ADMIN, resource_id=key, why="有误")

            pool.submit(down).result(timeout=5)
    assert house.send(hook) == {"sent": 3, "failed": 0}


def test_a_hook_hears_of_its_subtree_and_its_events_only(house: House, receiver: Receiver) -> None:
    with house.session() as session:
        parent = session.get_one(Centre, house.county.parent_id)
    above = house.hook(receiver.url, centre=parent)
    picky = house.hook(receiver.url, "resource.published", "resource.withdrawn")
    off = house.hook(receiver.url)
    with house.session() as session:
        hooks.change(session, ADMIN, off.id, enabled=False, now=NOW)
    key = house.record("三跳")
    house.record("别处", centre=house.other)
    with house.session() as session:
        service.withdraw(session, ADMIN, key, "重复登记")
    assert [d.event for d in house.deliveries(above)] == [
        "resource.created", "resource.created", "resource.withdrawn",
    ]  # fmt: skip
    assert [d.event for d in house.deliveries(picky)] == ["resource.withdrawn"]
    assert house.deliveries(off) == []


def test_what_is_not_taken_waits_and_is_sent_again(house: House, receiver: Receiver) -> None:
    hook = house.hook(receiver.url)
    house.record("一")
    house.record("二")
    receiver.answers = [(503, {"retry-after": "120"}), (302, {"location": receiver.url})]
    assert house.send(hook) == {"sent": 0, "failed": 1}
    first, second = house.deliveries(hook)
    assert (first.state, first.attempts, first.last_status) == ("waiting", 1, 503)
    assert first.next_at - dt.datetime.now(dt.UTC) > dt.timedelta(seconds=100)
    # The failure of one leaves the others to the next run, each tried in its turn.
    assert (second.state, second.attempts) == ("waiting", 0)
    house.send(hook)
    assert len(receiver.got) == 2, "a redirect is not followed"
    assert "302" in house.deliveries(hook)[1].last_error
    house.due_now()
    with house.session() as session:
        assert promise_due(session, dt.datetime.now(dt.UTC)) == 1
    assert house.send(hook) == {"sent": 2, "failed": 0}
    ids = [headers["webhook-id"] for headers, _ in receiver.got]
    assert ids[0] == ids[2]
    assert ids[1] == ids[3]


def test_three_days_are_the_end_of_it(house: House, receiver: Receiver) -> None:
    hook = house.hook(receiver.url)
    house.record("一")
    with house.session() as session:
        session.execute(update(WebhookDelivery).values(created_at=NOW - GIVE_UP_AFTER))
    receiver.answers = [(500, {})]
    house.send(hook)
    (delivery,) = house.deliveries(hook)
    assert (delivery.state, delivery.attempts) == ("failed", 1)
    with house.session() as session:
        hooks.send_again(session, ADMIN, hook.id, delivery.id, NOW)
    house.send(hook)
    (delivery,) = house.deliveries(hook)
    assert (delivery.state, delivery.last_error) == ("done", "")
    with house.session() as session:
        assert forget_deliveries(session, NOW) == 0
        assert forget_deliveries(session, NOW + dt.timedelta(days=31)) == 1


def test_gone_for_good_switches_it_off(house: House, receiver: Receiver) -> None:
    hook = house.hook(receiver.url)
    house.record("一")
    receiver.answers = [(410, {})]
    house.send(hook)
    with house.session() as session:
        assert session.get_one(Webhook, hook.id).disabled_at is not None
        gone = select(AuditEntry).where(AuditEntry.action == "webhook.gone")
        assert session.scalars(gone).one().object_id == hook.id


@pytest.mark.parametrize(
    ("url", "reach", "why"),
    [
        ("{receiver}", "private", "禁止访问"),
        ("http://localhost:{port}/", "private", "禁止访问"),
        ("http://169.254.169.254/latest/meta-data/", "any", "禁止访问"),
        ("http://127.0.0.1:1/", "any", "连不上"),
        ("http://no-such-host.invalid/", "any", "解析不到"),
        ("https://127.0.0.1:{port}/", "any", "连不上"),
    ],
)
def test_where_it_may_not_go(
    house: House, receiver: Receiver, url: str, reach: str, why: str
) -> None:
    port = receiver.url.split(":")[2].partition("/")[0]
    hook = house.hook(url.format(receiver=receiver.url, port=port))
    house.record("一")
    assert house.send(hook, reach) == {"sent": 0, "failed": 1}
    (delivery,) = house.deliveries(hook)
    assert why in delivery.last_error
    assert delivery.last_status is None
    assert receiver.got == []


def test_it_is_the_name_that_is_asked_for(house: House, receiver: Receiver) -> None:
    """The connection goes to the judged address, under the name that was entered."""
    hook = house.hook(receiver.url.replace("127.0.0.1", "localhost"))
    house.record("一")
    house.send(hook)
    assert receiver.got[0][0]["host"].startswith("localhost:")


def test_the_jobs_send_and_keep_house(house: House, receiver: Receiver, settings: Settings) -> None:
    hook = house.hook(receiver.url)
    house.record("一")
    within = settings.model_copy(update={"webhook_reach": "any"})
    runner = JobRunner(house.database, within, threading.Event())

    def run(kind: str) -> dict[str, object]:
        with house.session() as session:
            job = enqueue(session, kind=kind, queue="catalog", args={}, unique_key=kind)
        assert runner.look(job.id) == "done"
        with house.session() as session:
            return session.get_one(Job, job.id).result

    with house.session() as session:
        (promised,) = session.scalars(select(Job.id).where(Job.kind == "webhook"))
    assert runner.look(promised) == "done"
    assert [body["type"] for body in receiver.bodies()] == ["resource.created"]
    # A promise that was lost is made anew by the clock.
    house.record("二")
    with house.session() as session:
        session.execute(delete(Job).where(Job.state == "queued"))
    assert run("webhooks") == {"addresses": 1}
    with house.session() as session:
        (promised,) = session.scalars(
            select(Job.id).where(Job.kind == "webhook", Job.state == "queued")
        )
    assert runner.look(promised) == "done"
    assert [d.state for d in house.deliveries(hook)] == ["done", "done"]
    assert run("sharing") == {"lapsed": 0, "forgotten": 0}


def test_administrators_manage_their_own(house: House, receiver: Receiver) -> None:
    hook = house.hook(receiver.url)
    stranger = Actor(None, "别馆", "admin", centre_path=house.other.path)
    with house.session() as session:
        assert hooks.listed(session, stranger) == []
        for act in (hooks.get, hooks.remove):
            with pytest.raises(Missing):
                act(session, stranger, hook.id)
        with pytest.raises(Refused):
            hooks.change(session, ADMIN, hook.id, events=["resource.deleted"], now=NOW)
        with pytest.raises(Refused):
            hooks.change(session, ADMIN, hook.id, url="gopher://x/", now=NOW)
        assert session.get_one(Webhook, hook.id).url == receiver.url
        hooks.ping(session, ADMIN, hook.id, NOW)
    house.send(hook)
    assert receiver.bodies()[0]["type"] == "webhook.ping"
    with house.session() as session:
        hooks.remove(session, ADMIN, hook.id)
    with house.session() as session:
        # More people read the log than may see addresses, and those have keys in them.
        told = session.scalars(select(AuditEntry.details).where(AuditEntry.object_id == hook.id))
        assert all("who=we" not in json.dumps(details) for details in told.all())
        assert session.scalars(select(WebhookDelivery)).all() == []
        assert session.scalars(select(Resource)).all() == []
