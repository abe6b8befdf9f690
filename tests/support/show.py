"""A broadcast on a running instance: the encoder that feeds it and what its viewers would see."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from bench.footage import Encoder
from bench.hls_client import HlsClient, MediaPlaylist, PlaylistError
from bench.instance import Instance
from tests.support.media import read_numbers


@dataclass
class Show:
    """Made on entering the block; on leaving, no encoder is left behind."""

    instance: Instance
    title: str
    encoder: Encoder | None = None
    made: dict[str, Any] = field(default_factory=dict)
    client: HlsClient = field(default_factory=HlsClient)

    def __enter__(self) -> Show:
        self.made = self.instance.run("broadcast", "create", "--title", self.title)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.drop()
        self.client.close()

    @property
    def id(self) -> str:
        return str(self.made["id"])

    @property
    def target(self) -> str:
        """Where the encoder pushes to, with the key."""
        return f"{self.made['publish']['rtmp_url']}/{self.made['publish']['stream_key']}"

    def url(self, name: str) -> str:
        """Address of a multivariant playlist: main, plain or replay."""
        return str(self.made["hls_url"]).replace("main.m3u8", f"{name}.m3u8")

    def publish(self, source: Path, *extra: str) -> None:
        """An encoder begins; one that is already there is taken over from."""
        before, self.encoder = self.encoder, Encoder(self.target, source, *extra)
        if before is not None:
            before.drop()

    def drop(self) -> None:
        """kill -9 of the encoder."""
        if self.encoder is not None:
            self.encoder.drop()
            self.encoder = None

    def end(self) -> float:
        """Staff end it; seconds the command took."""
        began = time.monotonic()
        self.instance.run("broadcast", "end", self.id)
        return time.monotonic() - began

    def shown(self) -> dict[str, Any]:
        """`broadcast show`."""
        found: dict[str, Any] = self.instance.run("broadcast", "show", self.id)
        return found

    def variants(self, name: str) -> list[tuple[dict[str, str], str]]:
        """(attributes, media playlist) with a picture; none while it is not on air."""
        try:
            listed = self.client.variants(self.url(name))
        except (PlaylistError, httpx.HTTPError):
            return []
        return [variant for variant in listed if "RESOLUTION" in variant[0]]

    def on_air(self, segments: int = 1, seconds: float = 30.0) -> None:
        """Wait until plain playlists list so many segments."""

        def there() -> bool:
            variants = self.variants("plain")
            return bool(variants) and len(self.media(variants[0][1]).segments) >= segments

        wait_for(there, seconds, f"{segments} segments on air")

    def media(self, url: str) -> MediaPlaylist:
        """A media playlist; an empty one while there is none."""
        try:
            return self.client.media(url)
        except (PlaylistError, httpx.HTTPError):
            return MediaPlaylist(url)

    def final_replay(self, seconds: float = 30.0) -> MediaPlaylist:
        """The replay's first picture playlist, once it will not grow any more."""

        def over() -> bool:
            return self.media(self.variants("replay")[0][1]).ended

        wait_for(over, seconds, "the replay complete")
        return self.media(self.variants("replay")[0][1])

    def numbers(self, playlist: MediaPlaylist, folder: Path) -> list[list[int | None]]:
        """Frame numbers of a media playlist, one list for each stretch of one encoding."""
        stretches: list[tuple[str, bytearray]] = []
        for segment in playlist.segments:
            if not stretches or segment.init != stretches[-1][0] or segment.discontinuity:
                stretches.append((segment.init, bytearray(self.client.init(segment.init))))
            stretches[-1][1].extend(self.client.fetch(segment))
        numbers = []
        for index, (_, data) in enumerate(stretches):
            path = folder / f"stretch{index}.mp4"
            path.write_bytes(data)
            numbers.append(read_numbers(path))
        return numbers


def wait_for(there: Callable[[], object], seconds: float, what: str) -> float:
    """Wait for something to come true; how many seconds it took. Raises AssertionError."""
    began = time.monotonic()
    while not there():
        assert time.monotonic() - began < seconds, f"not within {seconds} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - began
