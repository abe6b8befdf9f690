"""The feed server's client: the head of a take for probing, and its key frame index."""

from __future__ import annotations

from dataclasses import dataclass

import httpx

from transcode.probe import PROBE_BYTES

_TIMEOUT = httpx.Timeout(3.0, read=3.0)


class FeedAway(Exception):
    """The node that holds the take does not answer."""


class FeedGone(Exception):
    """The node answers and says it has no such take."""


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

    def __init__(self, node_url: str, take_id: str, token: str) -> None:
        self.token = token
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
        if answer.status_code == 404:
            raise FeedGone(self.url)
        if answer.status_code != 200:
            raise FeedAway(f"index answers {answer.status_code}")
        data = answer.json()
        return FeedIndex(
            entries=[(int(ms), int(at), int(us)) for ms, at, us in data["entries"]],
            closed=bool(data["closed"]),
            last_video_ms=data["last_video_ms"],
            last_audio_ms=data["last_audio_ms"],
            first_arrival_us=int(data["first_arrival_us"]),
            size=int(data["size"]),
        )

    def head(self, enough: int) -> bytes:
        """The preamble and first bytes of the take, at most ``enough`` of them."""
        enough = min(enough, PROBE_BYTES)
        got = bytearray()
        try:
            with self._http.stream("GET", self.url, params={"from_ms": 0}) as answer:
                if answer.status_code == 404:
                    raise FeedGone(self.url)
                if answer.status_code != 200:
                    raise FeedAway(f"feed answers {answer.status_code}")
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

    def close(self) -> None:
        self._http.close()
