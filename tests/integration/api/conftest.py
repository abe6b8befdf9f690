"""A web application on the test's own database, and credentials of every role."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from httpx import ASGITransport, AsyncClient

from api.app import Application, make_application
from api.edge.app import Edge
from catalog.accounts import create_user, issue_token, open_session
from catalog.centres import add_centre
from catalog.models import ROLES
from infra.database import Database
from infra.settings import Settings

PASSWORD = "correct-horse-9"
BROWSER = {"user-agent": "Mozilla/5.0 (Linux; Android 13) AppleWebKit/537.36 MicroMessenger/8.0"}
"""What a script says it is would make it a known robot."""


@dataclass(frozen=True)
class Cast:
    """Two counties under one prefecture, tokens of every role in the first, an outsider."""

    prefecture: str
    county: str
    other: str
    tokens: dict[str, str]
    outsider: str
    """A staff token of the other county."""
    admin_session: str

    def bearer(self, role: str) -> dict[str, str]:
        return {"authorization": f"Bearer {self.tokens[role]}"}

    @property
    def stranger(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.outsider}"}


@pytest.fixture
def application(settings: Settings, redis_client: object) -> Iterator[Application]:
    made = make_application(settings)
    yield made
    made.parts.database.close()


@pytest.fixture
async def web(application: Application) -> AsyncIterator[AsyncClient]:
    transport = ASGITransport(
        app=application.asgi, raise_app_exceptions=False, client=("203.0.113.9", 40_000)
    )
    faces = application.faces
    async with (
        faces.router.lifespan_context(faces),
        AsyncClient(transport=transport, base_url="http://stage.test", headers=BROWSER) as client,
    ):
        yield client
        await application.release_held()
    edge = application.asgi
    assert isinstance(edge, Edge)
    await edge.state.close()
    if edge.state.client is not None:
        await edge.state.client.aclose()


@pytest.fixture
def cast(database: Database) -> Cast:
    now = dt.datetime.now(dt.UTC)
    with database.transaction() as session:
        prefecture = add_centre(session, "西双版纳州文化馆", level="prefecture")
        county = add_centre(session, "勐海县文化馆", parent=prefecture)
        other = add_centre(session, "勐腊县文化馆", parent=prefecture)
        tokens = {
            role: issue_token(
                session, role=role, centre=None if role == "admin" else county, now=now
            )
            for role in ROLES
        }
        outsider = issue_token(session, role="staff", centre=other, now=now)
        admin = create_user(
            session, login="admin", name="馆长", role="admin", centre=county, password=PASSWORD
        )
        secret = open_session(session, admin, now)
        return Cast(prefecture.id, county.id, other.id, tokens, outsider, secret)
