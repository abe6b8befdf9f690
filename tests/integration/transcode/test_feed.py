"""The feed server's client: what an answer means, by who gives it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from transcode.live.feed import FeedAway, FeedClient, FeedGone

HERE = "node-a"


class _NotHere(BaseHTTPRequestHandler):
    """A node that has no take at all."""

    def do_GET(self) -> None:
        self.send_response(404)
        self.send_header("X-Xitai-Node", HERE)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def node() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _NotHere)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("recorded_by", "error"),
    [(HERE, FeedGone), ("", FeedGone), ("node-b", FeedAway)],
    ids=["its own node", "before nodes had names", "another node at its address"],
)
def test_only_its_own_node_can_say_that_a_take_is_gone(
    node: str, recorded_by: str, error: type[Exception]
) -> None:
    feed = FeedClient(node, "take", "token", recorded_by)
    with pytest.raises(error):
        feed.index(0)
    with pytest.raises(error):
        feed.head(1)
    feed.close()
