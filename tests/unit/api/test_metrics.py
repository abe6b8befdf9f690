"""Who may read /metrics on the public port."""

from __future__ import annotations

from pathlib import Path

import pytest
from httpx import ASGITransport, AsyncClient

from api.app import make_application
from infra.settings import Settings

TOKEN = "a-secret-of-the-parts"


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        ("127.0.0.1", {}, 200),
        ("::1", {}, 200),
        ("::ffff:127.0.0.1", {}, 200),
        ("203.0.113.9", {}, 404),
        # A proxy on this machine speaks for somebody else.
        ("127.0.0.1", {"x-forwarded-for": "203.0.113.9"}, 404),
        ("127.0.0.1", {"forwarded": "for=203.0.113.9"}, 404),
        ("127.0.0.1", {"x-real-ip": "127.0.0.1"}, 404),
        ("203.0.113.9", {"authorization": f"Bearer {TOKEN}"}, 200),
        ("203.0.113.9", {"authorization": f"Basic {TOKEN}"}, 404),
        ("203.0.113.9", {"authorization": "Bearer wrong"}, 404),
        ("203.0.113.9", {"authorization": "Bearer"}, 404),
    ],
)
async def test_metrics_are_for_us(
    tmp_path: Path, peer: str, headers: dict[str, str], status: int
) -> None:
    settings = Settings(data=tmp_path, internal_token=TOKEN)  # type: ignore[arg-type]
    application = make_application(settings)
    transport = ASGITransport(app=application.faces, client=(peer, 40_000))
    async with AsyncClient(transport=transport, base_url="http://stage.test") as client:
        answer = await client.get("/metrics", headers=headers)
    application.parts.database.close()
    assert answer.status_code == status
    if status == 404:
        assert answer.json()["code"] == "not_found"
    else:
        assert "xitai_" in answer.text
