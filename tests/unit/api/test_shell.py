"""The shell around requests: proxies that are trusted and those that are not, and the host."""

from __future__ import annotations

from typing import Any

import pytest

from api.parts import _rtmp, request_host
from api.shell import Shell
from infra.settings import Settings


async def seen(
    headers: dict[str, str] | list[tuple[str, str]],
    *,
    trusted: tuple[str, ...] = (),
    peer: str = "10.0.0.1",
) -> dict[str, Any]:
    """The scope the application gets."""
    lines = headers if isinstance(headers, list) else list(headers.items())
    found: dict[str, Any] = {}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.update(scope, asked=request_host.get())
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    async def send(message: Any) -> None:
        found.setdefault("sent", []).append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": "/static/x",
        "scheme": "http",
        "client": (peer, 1),
        "headers": [(k.encode(), v.encode()) for k, v in lines],
    }
    await Shell(app, trusted_proxies=trusted)(scope, receive, send)
    return found


@pytest.mark.parametrize(
    ("forwarded", "trusted", "client"),
    [
        ("203.0.113.9", (), "10.0.0.1"),
        ("203.0.113.9", ("10.0.0.1",), "203.0.113.9"),
        # What the client wrote itself stands before what our proxy added.
        ("1.1.1.1, 203.0.113.9", ("10.0.0.0/8",), "203.0.113.9"),
        ("1.1.1.1, 203.0.113.9, 10.9.9.9", ("10.0.0.0/8",), "203.0.113.9"),
        ("1.1.1.1, nonsense", ("10.0.0.0/8",), "nonsense"),
        ("", ("10.0.0.0/8",), "10.0.0.1"),
    ],
)
async def test_the_client_behind_a_proxy(
    forwarded: str, trusted: tuple[str, ...], client: str
) -> None:
    found = await seen({"x-forwarded-for": forwarded}, trusted=trusted)
    assert found["client"][0] == client


@pytest.mark.parametrize(
    ("lines", "client"),
    [
        # The client's own line, then the one our proxy added.
        (("1.1.1.1", "203.0.113.9"), "203.0.113.9"),
        (("1.1.1.1, 2.2.2.2", "203.0.113.9, 10.9.9.9", "10.8.8.8"), "203.0.113.9"),
        (("203.0.113.9", ""), "203.0.113.9"),
    ],
)
async def test_forwarded_lines_are_one_list(lines: tuple[str, ...], client: str) -> None:
    headers = [("x-forwarded-for", line) for line in lines]
    found = await seen(headers, trusted=("10.0.0.0/8",))
    assert found["client"][0] == client


async def test_the_last_word_on_the_scheme_counts() -> None:
    headers = [("x-forwarded-proto", "https"), ("x-forwarded-proto", "https, http")]
    found = await seen([*headers, ("host", "stage.cn")], trusted=("10.0.0.1",))
    assert found["asked"] == "http://stage.cn"


async def test_the_scheme_is_the_proxys_word_if_it_is_trusted() -> None:
    headers = {"x-forwarded-proto": "https", "host": "stage.cn"}
    assert (await seen(headers))["asked"] == "http://stage.cn"
    assert (await seen(headers, trusted=("10.0.0.1",)))["asked"] == "https://stage.cn"


async def test_a_length_that_lies_or_is_too_long_is_refused() -> None:
    for length in ("99999999", "-1", "1e3", "٣"):
        found = await seen({"content-length": length} if length.isascii() else {})
        status = found["sent"][0]["status"]
        assert status == (413 if length.isascii() else 204)


@pytest.mark.parametrize(
    ("rtmp", "public", "asked", "url"),
    [
        ("0.0.0.0:1935", None, "http://192.168.1.20:8080", "rtmp://192.168.1.20:1935/live"),
        ("0.0.0.0:1935", None, "https://stage.cn", "rtmp://stage.cn:1935/live"),
        ("0.0.0.0:1935", None, "http://[fd00::2]:8080", "rtmp://[fd00::2]:1935/live"),
        ("0.0.0.0:1935", None, "http://[fd00::2]", "rtmp://[fd00::2]:1935/live"),
        ("0.0.0.0:1935", None, None, "rtmp://127.0.0.1:1935/live"),
        ("10.0.0.5:1936", None, "http://stage.cn", "rtmp://10.0.0.5:1936/live"),
        ("0.0.0.0:1935", "rtmp://in.cn/live", "http://stage.cn", "rtmp://in.cn/live"),
    ],
)
def test_where_encoders_push_to(rtmp: str, public: str | None, asked: str | None, url: str) -> None:
    assert _rtmp(Settings(rtmp=rtmp, public_rtmp_url=public), asked) == url
