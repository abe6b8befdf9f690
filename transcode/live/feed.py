"""The feed server's client: the head of a take for probing, and its key frame index."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from transcode.probe import PROBE_BYTES

_TIMEOUT = httpx.Timeout(3.0, read=3.0)
_NODE_HEADER = "X-Xitai-Node"
"""What ingest's feed server names itself by in every answer."""


class FeedAway(Exception):
    """The node that holds the take does not answer."""


class FeedGone(Exception):
    """The node that recorded the take answers, and says it has no such take."""


@dataclass(frozen=True, slots=True)
class FeedIndex:
    """A take's key frames from some place on: (ms, byte offset, arrival µs) each."""

    entries: list[tuple[int, int, int]]
    closed: bool
    last_video_ms: int | None
    last_audio_ms: int | None
    first_arrival_us: int
    size: int

    @property
    def last_ms(self) -> int:
        """The newest frame of either kind."""
        return max(self.last_video_ms or 0, self.last_audio_ms or 0)


class FeedClient:
    """Talks to the ingest node of one take, with that take's own token."""

    def __init__(self, node_url: str, take_id: str, token: str, node_id: str = "") -> None:
        self.token = token
        self._node_id = node_id
        self.url = f"{node_url.rstrip('/')}/takes/{take_id}.flv"
        self._index_url = f"{node_url.rstrip('/')}/takes/{take_id}/index"
        self._http = httpx.Client(
            headers={"Authorization": f"Bearer {token}"}, timeout=_TIMEOUT, trust_env=False
        )

    def index(self, from_ms: int) -> FeedIndex:
        """Key frames at or after ``from_ms`` and the state of the take."""
        try:
            answer = self._http.get(self._index_url, params={"from_ms": from_ms})
        except httpx.HTTPError as error:
            raise FeedAway(str(error)) from error
        self._check(answer)
        data = answer.json()
        return FeedIndex(
            entries=[(int(ms), int(at), int(us)) for ms, at, us in data["entries"]],
            closed=bool(data["closed"]),
            last_video_ms=data["last_video_ms"],
            last_audio_ms=data["last_audio_ms"],
            first_arrival_us=int(data["first_arrival_us"]),
            size=int(data["size"]),
        )

    def head(self, enough: int, from_ms: int = 0) -> bytes:
        """The preamble and first bytes of the take, at most ``enough`` of them; ``from_ms``: of
        what comes from that key frame on."""
        enough = min(enough, PROBE_BYTES)
        got = bytearray()
        try:
            with self._http.stream("GET", self.url, params={"from_ms": from_ms}) as answer:
                self._check(answer)
                for piece in answer.iter_raw(64 * 1024):
                    got += piece
                    if len(got) >= enough:
                        break
        except httpx.ReadTimeout:
            # The tail is being followed and nothing new comes in: what came is the head.
            if not got:
                raise FeedAway("feed sends nothing") from None
        except httpx.HTTPError as error:
            raise FeedAway(str(error)) from error
        return bytes(got[:enough])

    def _check(self, answer: httpx.Response) -> None:
        """Whether this is the take. An address may have gone to another node since: what that
        one does not have may still lie on the disk of the first."""
        if answer.status_code == 404:
            answering = answer.headers.get(_NODE_HEADER, "")
            if self._node_id and answering != self._node_id:
                raise FeedAway(f"node {answering or 'unnamed'} answers, not {self._node_id}")
            raise FeedGone(self.url)
        if answer.status_code != 200:
            raise FeedAway(f"{answer.request.url.path} answers {answer.status_code}")

    def close(self) -> None:
        self._http.close()
